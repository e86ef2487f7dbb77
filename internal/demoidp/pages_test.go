package demoidp

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestPageHeaders(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	r := w.get("/login?id=" + url.QueryEscape(id))
	body := html.UnescapeString(read(t, r)) // a password may have characters that are escaped
	for name, want := range map[string]string{
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "form-action 'self' " + appURL + ";",
		"Referrer-Policy":         "same-origin",
		"X-Content-Type-Options":  "nosniff",
	} {
		if got := r.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, want := range []string{richard, erlich, `autocomplete="username"`, `autocomplete="current-password"`, "emo identity provider"} {
		if !strings.Contains(body, want) {
			t.Errorf("the login page lacks %s", want)
		}
	}
	if strings.Contains(body, password) || strings.Contains(body, "admin@example.com") {
		t.Error("the login page reveals too much")
	}
	for _, path := range []string{"/", "/oauth2/device", "/logged-out", "/demo.css", "/favicon.svg"} {
		r := w.get(path)
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %d", path, r.StatusCode)
		}
	}
}

// Another site cannot log a browser in here with the attacker's password.
func TestLoginFromAnotherSite(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	form := url.Values{"id": {id}, "email": {richard}, "password": {password}}
	for origin, want := range map[string]int{w.issuer: http.StatusFound, "http://evil.example": http.StatusForbidden} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.issuer+"/login", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		response, err := w.transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("from %s: %d, want %d", origin, response.StatusCode, want)
		}
	}
}
