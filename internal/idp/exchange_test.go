package idp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

// exchange completes a login whose callback has the given query.
func exchange(t *testing.T, c *idp.Client, query string) (idp.Tokens, error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return c.Exchange(t.Context(), idp.Flow{Verifier: "verifier"}, values)
}

func TestExchange(t *testing.T) {
	p, c := start(t)
	p.on("/oauth2/token", respond(200, `{"access_token":"a","refresh_token":"r","refresh_token_id":"rid","id_token":"i","token_type":"Bearer","expires_in":3600}`))
	got, err := exchange(t, c, "code=the-code&state=s")
	if err != nil {
		t.Fatalf("Exchange: %v", err)
	}
	wantIn(t, "Expires", got.Expires, time.Hour)
	got.Expires = time.Time{}
	if want := (idp.Tokens{Access: "a", Refresh: "r", RefreshID: "rid", ID: "i"}); got != want {
		t.Errorf("Exchange: %+v, want %+v", got, want)
	}
	want := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {"the-code"},
		"code_verifier": {"verifier"},
		"redirect_uri":  {redirectURL},
		"client_id":     {clientID},
		"client_secret": {"secret"},
	}
	if got := p.one(t, "/oauth2/token").form; got.Encode() != want.Encode() {
		t.Errorf("the form has\n%s, want\n%s", got.Encode(), want.Encode())
	}
}

// An access token of unknown lifetime must not be taken for an eternal one.
func TestExchangeLifetime(t *testing.T) {
	p, c := start(t)
	for more, want := range map[string]time.Duration{
		``:                            5 * time.Minute,
		`,"expires_in":"600"`:         10 * time.Minute,
		`,"expires_in":600.0`:         10 * time.Minute,
		`,"expires_in":null`:          5 * time.Minute,
		`,"expires_in":-1`:            5 * time.Minute,
		`,"expires_in":"soon"`:        5 * time.Minute,
		`,"expires_in":1e300`:         24 * time.Hour,
		`,"expires_in":` + long + `5`: 5 * time.Minute,
	} {
		p.on("/oauth2/token", respond(200, `{"access_token":"a","id_token":"i"`+more+`}`))
		got, err := exchange(t, c, "code=c")
		if err != nil {
			t.Errorf("%.40s: Exchange: %v", more, err)
		}
		wantIn(t, "with "+more[:min(len(more), 40)]+" it expires", got.Expires, want)
	}
}

// long is the start of a number of 64 KB.
var long = strings.Repeat("1", 1<<16)

func TestExchangeOfARefusal(t *testing.T) {
	tests := []struct {
		name        string
		namesIssuer bool // the provider says that its responses name their issuer
		query       string
		code        string // of an [idp.Error]; "" if it is none
	}{
		{"access_denied", false, "error=access_denied&error_description=denied+by+the+user", "access_denied"},
		{"access_denied with this issuer", true, "error=access_denied&iss=ISSUER", "access_denied"},
		{"access_denied without its issuer", true, "error=access_denied", "access_denied"},
		// RFC 9207: another provider's response passed off as this one's.
		{"another issuer's code", false, "code=c&iss=https://evil.example", ""},
		{"another issuer's code, issuer required", true, "code=c&iss=https://evil.example", ""},
		{"another issuer's error", true, "error=access_denied&iss=https://evil.example", ""},
		{"issuer with a slash", true, "code=c&iss=ISSUER/", ""},
		{"issuer missing, required", true, "code=c", ""},
		{"issuer empty, required", true, "code=c&iss=", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			p.set("authorization_response_iss_parameter_supported", tt.namesIssuer)
			p.calls(t)
			_, err := exchange(t, p.client(t), strings.ReplaceAll(tt.query, "ISSUER", p.url))
			if tt.code == "" {
				wantFault(t, err)
			} else {
				wantRefusal(t, err, 0, tt.code)
			}
			p.wantRequests(t, 0)
		})
	}
}

func TestExchangeWithTheRightIssuer(t *testing.T) {
	for _, namesIssuer := range []bool{true, false} {
		p := newProvider(t)
		p.set("authorization_response_iss_parameter_supported", namesIssuer)
		p.calls(t)
		if _, err := exchange(t, p.client(t), "code=c&iss="+url.QueryEscape(p.url)); err != nil {
			t.Errorf("issuer required %v: Exchange: %v", namesIssuer, err)
		}
	}
}

// An error reaches the log, so it must not contain what the token endpoint sent.
func TestExchangeErrorsAreDiscreet(t *testing.T) {
	const private = "PRIVATE"
	tests := []struct {
		name        string
		status      int
		contentType string
		body        string
		code        string
		refused     bool
	}{
		{"invalid_grant", 400, "application/json", `{"error":"invalid_grant","error_description":"PRIVATE"}`, "invalid_grant", true},
		{"invalid_client", 401, "application/json", `{"error":"invalid_client","error_description":"PRIVATE"}`, "invalid_client", true},
		{"no code", 400, "application/json", `{"message":"PRIVATE"}`, "", true},
		{"text/plain", 400, "text/plain; charset=utf-8", `{"error":"invalid_grant","error_description":"PRIVATE; 100%"}`, "invalid_grant", true},
		{"a page", 502, "text/html", `<html>PRIVATE</html>`, "", true},
		{"an error with 200", 200, "application/json", `{"error":"invalid_grant","x":"PRIVATE"}`, "invalid_grant", true},
		{"garbage", 200, "application/json", `PRIVATE`, "", false},
		{"a form", 200, "application/x-www-form-urlencoded", `id_token=PRIVATE`, "", false},
		{"half a form", 200, "application/x-www-form-urlencoded", `access_token=PRIVATE&id_token=%PRIVATE`, "", false},
		{"an error in a form", 400, "application/x-www-form-urlencoded", `error=invalid_grant&error_description=PRIVATE`, "invalid_grant", true},
		{"no access token", 200, "application/json", `{"id_token":"PRIVATE"}`, "", false},
		{"no ID token", 200, "application/json", `{"access_token":"PRIVATE"}`, "", false},
		{"an ID token of another type", 200, "application/json", `{"access_token":"PRIVATE","id_token":["PRIVATE"]}`, "", false},
		{"a number for a token", 200, "application/json", `{"access_token":70617373,"id_token":"PRIVATE"}`, "", false},
		{"a long number for a token", 200, "application/json", `{"access_token":` + long + `,"id_token":"PRIVATE"}`, "", false},
		{"too much", 200, "application/json", `{"x":"` + strings.Repeat("x", 2<<20) + `","access_token":"PRIVATE","id_token":"PRIVATE"}`, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			c := p.client(t, byPost)
			p.on("/oauth2/token", respondAs(tt.status, tt.contentType, tt.body))
			got, err := exchange(t, c, "code=c")
			if tt.refused {
				wantRefusal(t, err, tt.status, tt.code)
			} else {
				wantFault(t, err)
			}
			wantShortLine(t, err)
			if err != nil && (strings.Contains(err.Error(), private) || strings.Contains(err.Error(), "70617373")) {
				t.Errorf("error %q quotes the response", err)
			}
			if got != (idp.Tokens{}) {
				t.Errorf("Exchange: %+v beside the error, want nothing", got)
			}
			p.one(t, "/oauth2/token")
		})
	}
}

// golang.org/x/oauth2 takes a form for an answer, so some provider sends one.
func TestExchangeAsForm(t *testing.T) {
	for _, contentType := range []string{"application/x-www-form-urlencoded; charset=utf-8", "text/plain"} {
		p, c := start(t)
		p.on("/oauth2/token", respondAs(200, contentType, `access_token=a%2B&id_token=i&expires_in=600`))
		got, err := exchange(t, c, "code=c")
		if err != nil || got.Access != "a+" || got.ID != "i" {
			t.Errorf("%s: Exchange: %+v, %v", contentType, got, err)
		}
		wantIn(t, "Expires", got.Expires, 600*time.Second)
	}
}

// Some providers and proxies send JSON as text/plain.
func TestExchangeAsText(t *testing.T) {
	for _, contentType := range []string{"text/plain", "text/html; charset=utf-8", "application/octet-stream", ""} {
		p, c := start(t)
		p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			_, _ = w.Write([]byte(`{"access_token":"a","id_token":"i"}`))
		})
		if got, err := exchange(t, c, "code=c"); err != nil || got.Access != "a" {
			t.Errorf("%q: Exchange: %+v, %v", contentType, got, err)
		}
	}
}
