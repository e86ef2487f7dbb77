package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"changebank/internal/testpeer"
)

const backchannelLogout = "/backchannel-logout"

// endedByProvider is what the home page says after the provider ended a login.
const endedByProvider = "The login service ended your login. Log in again."

// logOutAtPeer ends the browser's session at the provider, on the provider's own
// page.
func (b *browser) logOutAtPeer(provider *testpeer.Provider) {
	b.t.Helper()
	p := b.get(provider.Issuer + "/session/end")
	if p := b.submit(p, "op.logoutForm", url.Values{"logout": {"yes"}}); p.Status != http.StatusOK {
		b.t.Fatalf("the logout at the provider: %v", p)
	}
}

// wantEndedByProvider checks that the browser is logged out, and is told why.
func (b *browser) wantEndedByProvider(who string) {
	b.t.Helper()
	if p := b.get("/account"); p.URL.Path != "/" || !p.says(endedByProvider) {
		b.t.Errorf("%s: /account leads to %v, want the home page and that the login service ended the login", who, p)
	}
}

// wantLogoutRefused sends what may be a logout token, as a server would, and
// checks the answer.
func (b *browser) wantLogoutRefused(what string, form url.Values, header ...string) {
	b.t.Helper()
	p := b.doOnce(b.request(http.MethodPost, backchannelLogout, form, header...))
	if p.Status != http.StatusBadRequest || p.Header.Get("Content-Type") != "application/json" || p.Header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(p.Body, `"error":"invalid_request"`) {
		b.t.Errorf("%s: %v %v %s, want 400 and an error in JSON that is not cached", what, p, p.Header, p.Body)
	}
}

// logoutTokens remembers the logout tokens that pass the proxy in front of the
// bank.
type logoutTokens struct {
	mu  sync.Mutex
	all []string
}

func (l *logoutTokens) watch(f *front) *logoutTokens {
	f.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == backchannelLogout {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all = append(l.all, postedForm(r).Get("logout_token"))
		}
		return false
	})
	return l
}

// one returns the only token.
func (l *logoutTokens) one(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) != 1 || l.all[0] == "" {
		t.Fatalf("%d logout tokens came, want 1", len(l.all))
	}
	return l.all[0]
}

// A person who logs out at the provider is out here: in that browser and on the
// laptop that its login approved, or on all devices if that is what the provider
// says.
func TestPeerBackchannelLogout(t *testing.T) {
	t.Parallel()
	for names, others := range map[string]string{testpeer.SubAndSID: jaredsMail, testpeer.Sub: ""} {
		t.Run(names, func(t *testing.T) {
			t.Parallel()
			b := startWithPeer(t, testpeer.Options{Interval: 1, LogoutTokens: names})
			tokens := new(logoutTokens).watch(b.app)
			phone, desktop, laptop := b.browser(t), b.browser(t), b.browser(t)
			phone.signIn(phone.get("/login"))
			desktop.signIn(desktop.get("/login"))
			question := phone.atPeer(laptop.code())
			if p := phone.submit(phone.submit(question, "op.deviceConfirmForm", nil), "", nil); !strings.Contains(p.Body, "Sign-in Success") {
				t.Fatalf("after the approval the provider's page says %s", p.Body)
			}
			laptop.claim(jaredsMail)

			phone.logOutAtPeer(b.provider)
			if got := fmt.Sprintf("%q", b.provider.State(t).LogoutTokens); got != `[""]` {
				t.Errorf("the provider's logout tokens were answered %s, want one that was accepted", got)
			}
			phone.wantEndedByProvider("the phone")
			laptop.wantEndedByProvider("the laptop, which the phone's login approved")
			desktop.wantPerson(others)

			// The notice goes with the next login, and the same token does nothing more.
			phone.signIn(phone.get("/login"))
			phone.wantLogoutRefused("the same token again", url.Values{"logout_token": {tokens.one(t)}})
			phone.wantPerson(jaredsMail)
			if p := phone.logOut(); p.says(endedByProvider) {
				t.Error("after the person's own logout the page still says that the login service ended the login")
			}
		})
	}
}

// The provider sends logout tokens from a server of its own, by whichever name
// reaches this program. The rules for browsers do not apply, and a refused token
// does nothing.
func TestBackchannelRefusals(t *testing.T) {
	t.Parallel()
	b, _, phone := pair(t)
	token := func(text string) url.Values { return url.Values{"logout_token": {text}} }
	for what, form := range map[string]url.Values{
		"no token":    {},
		"empty token": token(""),
		"garbage":     token("garbage"),
		"unsigned":    token("eyJhbGciOiJub25lIn0.e30."),
		"two tokens":  {"logout_token": {"a.b.c", "a.b.c"}},
		"too large":   token(strings.Repeat("x", 1<<20)),
	} {
		phone.wantLogoutRefused(what, form)
	}
	phone.wantLogoutRefused("by another name", token("garbage"), "X-Forwarded-Host", "bank.internal")
	phone.wantLogoutRefused("from another site", token("garbage"), "Sec-Fetch-Site", "cross-site", "Origin", "https://login.example.com")
	if p := phone.getOnce(backchannelLogout); p.Status != http.StatusNotFound && p.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, want no page", p)
	}
	phone.wantPerson(richard)
	if n := strings.Count(b.log.String(), "back-channel logout failed"); n == 0 || n > 10 {
		t.Errorf("the log has %d warnings, want a few", n)
	}
}
