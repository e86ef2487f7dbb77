package demoidp

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// An answer is what an endpoint for the application answered.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (a answer) token() *oauth2.Token {
	return (&oauth2.Token{AccessToken: a.text("access_token")}).WithExtra(a.body)
}

// call posts a form as the application, with its secret in the body.
func (w *world) call(path string, form url.Values) answer {
	w.t.Helper()
	return w.post(path, merge(form, credentials(clientID, secret)), nil)
}

func credentials(id, secret string) url.Values {
	return url.Values{"client_id": {id}, "client_secret": {secret}}
}

func (w *world) post(path string, form url.Values, change func(*http.Request)) answer {
	w.t.Helper()
	r, _ := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	response, err := w.transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if body := read(w.t, response); body != "" {
		if err := json.Unmarshal([]byte(body), &a.body); err != nil {
			w.t.Fatalf("%s %s: %d, not JSON: %s", r.Method, r.URL, a.status, body)
		}
	}
	return a
}

func merge(forms ...url.Values) url.Values {
	all := url.Values{}
	for _, form := range forms {
		maps.Copy(all, form)
	}
	return all
}

func (w *world) wantError(a answer, status int, code, reason string) {
	w.t.Helper()
	if a.status != status || a.text("error") != code || a.text("error_reason") != reason {
		w.t.Errorf("got %d %v, want %d %s %s", a.status, a.body, status, code, reason)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		w.t.Errorf("Cache-Control %q, want no-store", got)
	}
}
