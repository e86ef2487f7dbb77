package tests

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/testpeer"
)

// peerBank is a bank with oidc-provider, a provider that is not ours: it has a
// verification page of its own and no call to approve a device.
type peerBank struct {
	*bank
	provider *testpeer.Provider
}

// The provider takes any name and password, and makes an address of the name.
const (
	jared      = "jared"
	jaredsMail = jared + "@example.com"
)

func startWithPeer(t *testing.T, o testpeer.Options, settings ...string) *peerBank {
	t.Helper()
	app := newFront(t)
	o.AppURL = app.URL
	if o.ClientAuth != "none" {
		o.ClientSecret = "a+b/c=d:e%f g%20h&i" // what is special in a form
	}
	provider := testpeer.Start(t, o)
	b := newBank(t, append([]string{
		"APP_URL=" + app.URL,
		"ISSUER=" + provider.Issuer,
		"CLIENT_ID=" + testpeer.ClientID,
		"CLIENT_SECRET=" + o.ClientSecret,
		"LOG_LEVEL=debug",
	}, settings...))
	b.app = app
	b.start()
	b.awaitProvider()
	return &peerBank{b, provider}
}

// showing is startWithPeer with a laptop that shows a code, its states, and the
// link in the code.
func showing(t *testing.T, o testpeer.Options) (b *peerBank, laptop *browser, states stream, link string) {
	t.Helper()
	b = startWithPeer(t, o)
	laptop = b.browser(t)
	link = laptop.code()
	states = laptop.events()
	states.want("waiting")
	return b, laptop, states, link
}

// signIn fills in the provider's two pages: the login, and the consent to tell
// the bank who it is.
func (b *browser) signIn(p page) page {
	b.t.Helper()
	return b.submit(b.submit(p, "", url.Values{"login": {jared}, "password": {"any"}}), "", nil)
}

// atPeer opens the provider's verification page, up to the question whether the
// code is the right one.
func (b *browser) atPeer(link string) page {
	b.t.Helper()
	return b.submit(b.get(link), "", nil) // with JavaScript it submits itself
}

// approveAtPeer approves on the provider's own page.
func (b *browser) approveAtPeer(question page) {
	b.t.Helper()
	if p := b.signIn(b.submit(question, "op.deviceConfirmForm", nil)); !strings.Contains(p.Body, "Sign-in Success") {
		b.t.Fatalf("after the approval the provider's page says %s", p.Body)
	}
}

// awaitPolls waits until the provider has answered n polls, and returns them.
func (b *peerBank) awaitPolls(n int) []testpeer.Request {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		polls := b.provider.Polls(b.t)
		if len(polls) >= n && polls[n-1].Status != 0 {
			return polls[:n]
		}
	}
	b.t.Fatalf("the provider has not been polled %d times", n)
	return nil
}

func TestPeerLogins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ setting, offered, want string }{
		{"basic", "client_secret_basic", "client_secret_basic"},
		{"post", "client_secret_post", "client_secret_post"},
		{"none", "none", "none"},
		{"auto", "client_secret_basic", "client_secret_basic"},
		{"auto", "", "client_secret_post"},
	} {
		t.Run(tt.setting+" of "+tt.offered, func(t *testing.T) {
			t.Parallel()
			b := startWithPeer(t, testpeer.Options{ClientAuth: tt.offered, Interval: 1}, "CLIENT_AUTH="+tt.setting)
			desktop, laptop, phone := b.browser(t), b.browser(t), b.browser(t)
			if p := desktop.signIn(desktop.get("/login")); p.URL.String() != b.URL+"/account" || p.person() != jaredsMail {
				t.Errorf("the ordinary login leads to %v as %q, want the account of %s", p, p.person(), jaredsMail)
			}

			p, link := laptop.showCode()
			if !strings.HasPrefix(link, b.provider.Issuer+"/device?") {
				t.Errorf("the code leads to %s, want the provider's page", link)
			}
			states := laptop.events()
			states.want("waiting")
			// Our own page leads those who type the code there to the provider's.
			if p := desktop.get("/activate?user_code=" + url.QueryEscape(p.text("user-code"))); !strings.Contains(p.Body, `href="`+html.EscapeString(link)+`"`) {
				t.Errorf("our page is %v, want a link to %s", p, link)
			}
			question := phone.atPeer(link)
			if !strings.Contains(question.Body, p.text("user-code")) {
				t.Errorf("the provider's page does not show the code %q", p.text("user-code"))
			}
			phone.approveAtPeer(question)
			states.want("approved")
			laptop.claim(jaredsMail)

			seen := map[string]bool{}
			for _, r := range b.provider.State(t).Requests {
				seen[r.Path+" "+r.Grant] = true
				if r.Auth != tt.want {
					t.Errorf("%s %s was asked with %s, want %s", r.Path, r.Grant, r.Auth, tt.want)
				}
			}
			for _, want := range []string{"/device/auth ", "/token authorization_code", "/token " + testpeer.DeviceGrant} {
				if !seen[want] {
					t.Errorf("%s was not asked", want)
				}
			}
		})
	}
}

// A wrong secret shows before a code does, in two requests.
func TestPeerWrongSecret(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1}, "CLIENT_SECRET=wrong")
	p := b.browser(t).get(qrPage)
	if p.Status != http.StatusBadGateway || p.find("svg", "qr-code") != nil || !p.says("administrator") {
		t.Errorf("the QR page: %v, want 502 and that the settings are wrong", p)
	}
	if got := len(b.provider.State(t).Requests); got != 2 {
		t.Errorf("the provider was asked %d times, want 2", got)
	}
	if !strings.Contains(b.log.String(), "check CLIENT_ID, CLIENT_SECRET and CLIENT_AUTH") {
		t.Error("the log does not name the settings")
	}
}

// A provider may want authorization requests from the program, not from browsers.
func TestPeerRequiresPush(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{RequiresPush: true})
	desktop := b.browser(t)
	p := desktop.get("/login?return_to=/devices")
	if query := p.URL.Query(); query.Has("state") {
		t.Errorf("the browser carries the request: %s", p.URL)
	}
	if p := desktop.signIn(p); p.URL.String() != b.URL+"/devices" {
		t.Errorf("the login leads to %v, want /devices", p)
	}
	if r := b.provider.State(t).Requests[0]; r.Path != "/request" || r.Status != http.StatusCreated {
		t.Errorf("the first request is %+v, want a pushed authorization request", r)
	}
}

// We have no key for encrypted ID tokens. The log names the provider's setting.
func TestPeerEncryptsIDTokens(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{EncryptsIDTokens: true})
	desktop := b.browser(t)
	if p := desktop.signIn(desktop.get("/login")); p.Status != http.StatusBadGateway || !p.has("error") {
		t.Errorf("the login leads to %v, want 502", p)
	}
	desktop.wantPerson("")
	if !strings.Contains(b.log.String(), "id_token_encrypted_response_alg") {
		t.Error("the log does not name the setting")
	}
}

// Without the device grant the ordinary login works, and only the phone login
// says why it does not.
func TestPeerWithoutDeviceGrant(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{NoDeviceGrant: true})
	desktop := b.browser(t)
	p := desktop.get(qrPage)
	if p.Status != http.StatusNotImplemented || !p.says("device authorization grant") || !p.links("/login") {
		t.Errorf("the QR page: %v, want 501, the reason and the ordinary login", p)
	}
	if line := b.log.await(t, `(phone login is off.*)`); !strings.Contains(line, "device_authorization_endpoint") {
		t.Errorf("the log says %s, want what is missing", line)
	}
	if p := desktop.signIn(desktop.get("/login")); p.person() != jaredsMail {
		t.Errorf("the ordinary login leads to %v, want the account", p)
	}
}

func TestPeerCodeExpires(t *testing.T) {
	t.Parallel()
	_, laptop, states, _ := showing(t, testpeer.Options{Interval: 1, DeviceTTL: 3})
	states.want("expired")
	states.wantEnd()
	p := laptop.get(qrPage)
	if p.state() != "expired" || p.find("svg", "qr-code") != nil {
		t.Errorf("the laptop's page is %q, want expired without a QR code", p.state())
	}
	if p := laptop.submit(p, "new-code", nil); p.state() != "waiting" {
		t.Errorf("the new code: %v, want waiting", p)
	}
}

func TestPeerDenied(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]func(phone *browser, question page){
		"at the question": func(phone *browser, question page) {
			phone.submit(question, "op.deviceConfirmForm", url.Values{"abort": {"yes"}})
		},
		"at the sign-in page": func(phone *browser, question page) {
			p := phone.submit(question, "op.deviceConfirmForm", nil)
			phone.get(p.URL.String() + "/abort")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, laptop, states, link := showing(t, testpeer.Options{Interval: 1})
			phone := b.browser(t)
			deny(phone, phone.atPeer(link))
			states.want("denied")
			states.wantEnd()
			if p := laptop.get(qrPage); p.state() != "denied" || p.find("svg", "qr-code") != nil {
				t.Errorf("the laptop's page is %q, want denied without a QR code", p.state())
			}
			laptop.wantNoLogin("after the denial")
		})
	}
}

// Logging out ends the refresh token (RFC 7009), and the browser's login at the
// provider if it has one.
func TestPeerLogout(t *testing.T) {
	t.Parallel()
	b, laptop, _, link := showing(t, testpeer.Options{Interval: 1})
	phone := b.browser(t)
	phone.approveAtPeer(phone.atPeer(link))
	laptop.claim(jaredsMail)
	if got := b.provider.State(t).RefreshTokens; got != 1 {
		t.Fatalf("%d refresh tokens after the login, want 1", got)
	}
	// Nobody is logged in there with this browser, and the ID token is the phone's.
	var visited []string
	laptop.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		visited = append(visited, req.URL.String())
		return nil
	}
	if p := laptop.logOut(); p.URL.String() != b.URL+"/" || !slices.Equal(visited, []string{b.URL + "/"}) {
		t.Errorf("the logout leads to %v by way of %q, want the home page at once", p, visited)
	}
	laptop.http.CheckRedirect = nil
	laptop.wantPerson("")
	laptop.await("0 refresh tokens", func() string {
		return fmt.Sprintf("%d refresh tokens", b.provider.State(t).RefreshTokens)
	})
	asksPassword := func(p page) bool { return strings.Contains(p.Body, `name="password"`) }
	if p := phone.get("/login"); asksPassword(p) || !asksPassword(laptop.get("/login")) {
		t.Errorf("the phone is logged out at the provider: %v", p)
	}

	desktop := b.browser(t)
	desktop.signIn(desktop.get("/login"))
	p := desktop.submit(desktop.logOut(), "op.logoutForm", url.Values{"logout": {"yes"}})
	if p.URL.String() != b.URL+"/" {
		t.Errorf("the logout leads to %v, want the home page", p)
	}
	if p = desktop.get("/login"); !strings.HasPrefix(p.URL.String(), b.provider.Issuer+"/interaction/") {
		t.Errorf("after the logout /login leads to %v, want the provider's sign-in page", p)
	}
}

// Where the provider's own page asks, a laptop that a phone logged in could
// approve nothing on ours. It need not prove a fresh login, which some providers
// cannot say anything about.
func TestPeerNeedsNoFreshLogin(t *testing.T) {
	t.Parallel()
	b, laptop, _, link := showing(t, testpeer.Options{Interval: 1})
	phone := b.browser(t)
	phone.approveAtPeer(phone.atPeer(link))
	laptop.claim(jaredsMail)
	to, err := url.Parse(laptop.getOnce("/login").Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if query := to.Query(); query.Has("prompt") || query.Has("max_age") {
		t.Errorf("/login asks for a fresh login: %s", to)
	}
	if p := laptop.signIn(laptop.get("/login")); p.person() != jaredsMail {
		t.Errorf("the login leads to %v, want the account", p)
	}
}

// The provider's own page cannot show a number. If the operator always wants
// one there is no QR login, and the page says so.
func TestPeerHasNoNumber(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1}, "CONFIRM_NUMBER=always")
	laptop := b.browser(t)
	p := laptop.get(qrPage)
	if p.Status != http.StatusForbidden || !p.has("error") || !p.links("/login") {
		t.Errorf("the QR page: %v, want 403 and the ordinary login", p)
	}
	if p.find("svg", "qr-code") != nil || p.has("user-code") {
		t.Error("a code is shown")
	}
	if p := laptop.signIn(laptop.get("/login")); p.person() != jaredsMail {
		t.Errorf("the ordinary login leads to %v, want the account", p)
	}
}
