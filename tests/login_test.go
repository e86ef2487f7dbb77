package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// An answer of the provider counts once, in the browser that asked for it.
func TestCallback(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	victim, attacker := b.browser(t), b.browser(t)

	// Login CSRF: an attacker sends a link with an answer about himself.
	var link string
	attacker.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Path == "/callback" {
			link = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	attacker.atProvider(attacker.get("/login"), erlich)
	if link == "" {
		t.Fatal("the attacker did not get as far as the callback")
	}
	if p := victim.get(link); p.Status != http.StatusBadRequest {
		t.Errorf("a link with another person's answer: %v, want 400", p)
	}
	victim.wantPerson("")
	attacker.http.CheckRedirect = nil
	if p := attacker.get(link); p.person() != erlich {
		t.Fatalf("the answer does not work in its own browser: %v", p)
	}
	if p := attacker.get(link); p.URL.Path != "/account" {
		t.Errorf("the answer opened twice leads to %v, want the account", p)
	}

	for _, query := range []string{"", "?state=", "?state=&code=x", "?code=x", "?state=nosuch&error=access_denied"} {
		if p := b.browser(t).get("/callback" + query); p.Status != http.StatusBadRequest || !p.has("error") {
			t.Errorf("/callback%s: %v, want 400", query, p)
		}
	}
}

// The provider's refusal is explained, and leads on to where the person wanted
// to go.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	visitor := startBank(t).browser(t)
	for _, tt := range []struct{ query, want string }{
		{"error=access_denied&error_description=%3Cscript%3E", ""},
		{"error=server_error", "has a problem"},
		{"error=access_denied&error_reason=registration_required", "create one"},
		{"error=something_new&error_reason=another", ""},
	} {
		to, err := url.Parse(visitor.getOnce("/login?return_to=/activate").Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		p := visitor.get("/callback?" + tt.query + "&state=" + url.QueryEscape(to.Query().Get("state")))
		if p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), tt.want) {
			t.Errorf("%s: %v, want 403 and %q", tt.query, p, tt.want)
		}
		if !p.links("/login?return_to=%2Factivate") || strings.Contains(p.Body, "<script>") {
			t.Errorf("%s: the page has no link to try again, or markup of the provider's:\n%s", tt.query, p.Body)
		}
	}
}

// What a provider says through the browser is for the person, or for the operator:
// then the log names a setting, and is not lost among people who cancel.
func TestRefusedLoginInTheLog(t *testing.T) {
	t.Parallel()
	b := startBank(t, "SCOPES=openid")
	visitor := b.browser(t)
	for _, tt := range []struct {
		code, level, hint string
		status            int
	}{
		{"access_denied", "INFO", "", http.StatusForbidden},
		{"login_required", "INFO", "", http.StatusForbidden},
		{"temporarily_unavailable", "WARN", "", http.StatusForbidden},
		{"something_new", "WARN", "", http.StatusForbidden},
		{"server_error", "ERROR", "the provider's own log", http.StatusForbidden},
		{"invalid_request", "ERROR", "check that APP_URL/callback is registered", http.StatusBadGateway},
		{"unauthorized_client", "ERROR", "check CLIENT_ID", http.StatusBadGateway},
		{"unsupported_response_type", "ERROR", "response type code", http.StatusBadGateway},
		{"invalid_scope", "ERROR", "check SCOPES", http.StatusBadGateway},
	} {
		to, err := url.Parse(visitor.getOnce("/login").Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		p := visitor.get("/callback?error=" + tt.code + "&state=" + url.QueryEscape(to.Query().Get("state")))
		if p.Status != tt.status || !p.has("error") {
			t.Errorf("%s: the page is %v, want %d", tt.code, p, tt.status)
		}
		line := b.log.await(t, `(level=\w+ msg="page (?:refused|failed)".*\b`+tt.code+`\b.*)`)
		if !strings.HasPrefix(line, "level="+tt.level+" ") || !strings.Contains(line, tt.hint) {
			t.Errorf("the log says %s, want level %s and %q", line, tt.level, tt.hint)
		}
	}
}

// Logging out ends the session, so its cookie is useless to a thief, and another
// person can log in.
func TestLogout(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	for _, person := range []string{richard, erlich} {
		b.browserOf(t, person).approve(laptop.code())
		laptop.claim(person)
		old := laptop.cookies()
		asked := laptop.get("/logout")
		laptop.wantPerson(person) // a link that someone sends must not log out
		if home := laptop.submit(asked, "logout", nil); home.URL.String() != b.URL+"/" {
			t.Errorf("logging out leads to %s, want the home page by way of the provider", home.URL)
		}
		laptop.wantPerson("")
		thief := b.browser(t)
		thief.setCookies(old)
		thief.wantPerson("")
	}
}
