package tests

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// secureProvider is a provider over https that has nothing but a discovery
// document. It returns the settings with which the program trusts it.
func secureProvider(t *testing.T, change map[string]any) (settings []string) {
	t.Helper()
	var document map[string]any
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document)
	}))
	t.Cleanup(srv.Close)
	document = map[string]any{
		"issuer":                        srv.URL,
		"authorization_endpoint":        srv.URL + "/authorize",
		"token_endpoint":                srv.URL + "/token",
		"device_authorization_endpoint": srv.URL + "/device",
		"jwks_uri":                      srv.URL + "/keys",
	}
	maps.Copy(document, change)
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"ISSUER=" + srv.URL, "CLIENT_ID=bank", "SSL_CERT_FILE=" + trusted}
}

// An https provider with one http endpoint would get the client secret and the
// tokens in the clear. Nobody logs in, and the log has the name and the value.
func TestUnsafeEndpoint(t *testing.T) {
	t.Parallel()
	const unsafe = "http://login.example/token"
	b := startBank(t, secureProvider(t, map[string]any{"token_endpoint": unsafe})...)
	if line := b.log.await(t, `(identity provider not found yet.*)`); !strings.Contains(line, "token_endpoint is ") ||
		!strings.Contains(line, unsafe) || !strings.Contains(line, "not https") {
		t.Errorf("the log says %s, want the name and the value", line)
	}
	if p := b.browser(t).get("/login"); p.Status != http.StatusServiceUnavailable {
		t.Errorf("/login: %v, want 503", p)
	}
}

// A script in place of a page's address, or an address without a host, is not
// shown as a QR code. The page names it, for the provider's administrator.
func TestUnsafeVerificationPage(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	laptop := b.browser(t)
	for field, value := range map[string]string{
		"verification_uri":          "javascript:alert(1)",
		"verification_uri_complete": "https://login.example@evil.example/device",
	} {
		b.demo.changes(func(answer map[string]any) {
			if answer["device_code"] != nil {
				answer["verification_uri"] = b.DemoURL + "/device"
				answer[field] = value
			}
		})
		p := laptop.get(qrPage)
		if p.Status != http.StatusBadGateway || !p.links("/login") || !p.says(field) || !p.says(value) {
			t.Errorf("with %s %s the QR page is %v, want 502 and both: %s", field, value, p, p.text("main"))
		}
		if p.find("svg", "qr-code") != nil || p.has("user-code") {
			t.Errorf("with %s %s a code is shown", field, value)
		}
	}
}

// Google calls the verification URI a URL, and its page, GitHub's and Microsoft's
// ask for the code. The QR code leads to the page as it is, and the laptop says to
// type the code there.
func TestTypeTheCodeThere(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	laptop, theirs := b.browser(t), b.DemoURL+"/device"
	b.demo.changes(func(answer map[string]any) {
		if answer["device_code"] != nil {
			delete(answer, "verification_uri")
			delete(answer, "verification_uri_complete")
			answer["verification_url"] = theirs
			answer["expires_in"], answer["interval"] = "600", "5"
		}
	})
	p, link := laptop.showCode()
	if link != theirs {
		t.Errorf("the code leads to %s, want %s", link, theirs)
	}
	if !p.says("type the code") || p.says("check that it shows") {
		t.Errorf("the laptop says %s, want to type the code there", p.text("login-words"))
	}
}

// A provider may refuse a scope on its login page only. The login tries again with
// fewer, and ends where it should. What one browser says narrows no other login.
func TestScopesRefusedAtLogin(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	refuse := true
	asked := []string{}
	b.demo.answers(func(w http.ResponseWriter, r *http.Request) bool {
		query := r.URL.Query()
		if r.URL.Path != "/oauth2/authorize" || query.Get("scope") == "" {
			return false
		}
		asked = append(asked, query.Get("scope"))
		if !refuse || query.Get("scope") == "openid" {
			return false
		}
		back := url.Values{"error": {"invalid_scope"}, "state": {query.Get("state")}}
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
		return true
	})
	visitor := b.browser(t)
	if p := visitor.atProvider(visitor.get("/login?return_to=/devices"), richard); p.URL.Path != "/devices" {
		t.Errorf("the login leads to %v, want /devices", p)
	}
	all := "openid profile email offline_access"
	if want := []string{all, "openid profile email", "openid"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if n := strings.Count(b.log.String(), "set SCOPES"); n != 1 {
		t.Errorf("the log says %d times what to set, want once", n)
	}

	refuse, asked = false, nil
	b.browser(t).get("/login")
	if want := []string{all}; !slices.Equal(asked, want) {
		t.Errorf("another browser is asked for %q, want %q", asked, want)
	}
}

// Scopes that the operator has chosen are not changed: the log names the setting.
func TestScopesChosen(t *testing.T) {
	t.Parallel()
	b := startProxied(t, "SCOPES=openid email")
	b.demo.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/oauth2/device_authorize" {
			return false
		}
		if got := postedForm(r).Get("scope"); got != "openid email" {
			t.Errorf("a device asks for %q, want openid email", got)
		}
		answerJSON(w, http.StatusBadRequest, `{"error":"invalid_scope"}`)
		return true
	})
	if p := b.browser(t).get(qrPage); p.Status != http.StatusBadGateway || !p.says("administrator") {
		t.Errorf("the QR page: %v, want 502 and that the settings are wrong", p)
	}
	if !strings.Contains(b.log.String(), "check SCOPES") {
		t.Error("the log does not name the setting")
	}
}

// Discovery does not say for which method a client is registered. The program
// finds out with its first request, in one more.
func TestAuthMethodFound(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	var refused, accepted atomic.Int32
	b.demo.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || r.URL.Path == "/login" {
			return false
		}
		if !postedForm(r).Has("client_secret") {
			accepted.Add(1)
			return false
		}
		refused.Add(1)
		answerJSON(w, http.StatusUnauthorized, `{"error":"Client authentication failed"}`)
		return true
	})
	laptop := b.browser(t)
	link := laptop.code()
	b.browserOf(t, richard).approve(link)
	laptop.claim(richard)
	if refused.Load() != 1 || accepted.Load() < 3 {
		t.Errorf("%d requests with the secret in the body and %d without, want one and the rest", refused.Load(), accepted.Load())
	}
	if !strings.Contains(b.log.String(), "accepted=basic") {
		t.Error("the log does not say what to set")
	}
}

// On its own page a provider may refuse every poll with a server error once the
// person has denied, as Authelia does. The laptop says so, and the log once.
func TestServerErrorsAtThePolls(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	b.demo.changes(func(answer map[string]any) {
		if answer["device_code"] != nil {
			answer["verification_uri"] = b.DemoURL + "/device"
			answer["verification_uri_complete"] = b.DemoURL + "/device?user_code=x"
			answer["interval"] = 1
		}
	})
	b.demo.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/oauth2/token" {
			return false
		}
		answerJSON(w, http.StatusInternalServerError, `{"error":"server_error"}`)
		return true
	})
	laptop := b.browser(t)
	laptop.code()
	laptop.await("the note", func() string {
		if strings.Contains(laptop.get(qrPage).text("login-note"), "If you denied") {
			return "the note"
		}
		return ""
	})
	laptop.wantState("waiting")
	if n := strings.Count(b.log.String(), "answers polls with server errors"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}
