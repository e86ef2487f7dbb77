package testfusion

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"changebank/kickstart"
)

const (
	richard   = "richard@example.com"
	richardID = "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a02"
	verifier  = "a-verifier-of-forty-three-characters-or-more"
)

// world is a server, an application made of well-known libraries, and a browser.
type world struct {
	*Server
	t        *testing.T
	provider *oidc.Provider
	app      oauth2.Config
	browser  *http.Client
}

// start starts a server with the real kickstart, in which some texts are
// replaced: old, new, old, new.
func start(t *testing.T, o Options, replace ...string) *world {
	t.Helper()
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(kickstart.JSON), replace[i]) {
			t.Fatalf("the kickstart has no %s", replace[i])
		}
	}
	file := strings.NewReplacer(replace...).Replace(string(kickstart.JSON))
	w := &world{Server: Start(t, []byte(file), env, o), t: t}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.browser = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), appURL) {
			return http.ErrUseLastResponse // the application does not exist
		}
		return nil
	}}
	if o.Unfinished {
		return w
	}
	if w.provider, err = oidc.NewProvider(t.Context(), w.URL); err != nil {
		t.Fatal(err)
	}
	w.app = oauth2.Config{
		ClientID: clientID, ClientSecret: secret, RedirectURL: redirectURL,
		Endpoint: w.provider.Endpoint(), Scopes: []string{"openid", "profile", "email", "offline_access"},
	}
	w.app.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	return w
}

// view is what the browser sees.
type view struct {
	status   int
	body     string
	location *url.URL // where a redirect to the application leads
}

func (w *world) see(resp *http.Response, err error) view {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	p := view{status: resp.StatusCode, body: string(body)}
	if p.location, err = resp.Location(); err != nil {
		p.location = new(url.URL)
	}
	return p
}

func (w *world) open(address string) view {
	w.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = w.URL + address
	}
	return w.see(w.browser.Get(address))
}

var (
	input  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	action = regexp.MustCompile(`<form id="[^"]*" method="post" action="([^"]*)">`)
)

// submit sends the page's form with additional values.
func (w *world) submit(p view, values url.Values) view {
	w.t.Helper()
	form := make(url.Values)
	for _, match := range input.FindAllStringSubmatch(p.body, -1) {
		form.Set(match[1], html.UnescapeString(match[2]))
	}
	for name := range values {
		form.Set(name, values.Get(name))
	}
	target := action.FindStringSubmatch(p.body)
	if target == nil {
		w.t.Fatalf("no form on the page %d %s", p.status, p.body)
	}
	return w.see(w.browser.PostForm(w.URL+target[1], form))
}

// authURL returns the authorization URL of a correct client.
func (w *world) authURL(options ...oauth2.AuthCodeOption) string {
	options = append([]oauth2.AuthCodeOption{oidc.Nonce("a nonce"), oauth2.S256ChallengeOption(verifier)}, options...)
	return w.app.AuthCodeURL("a state", options...)
}

// as returns what a user types to log in.
func as(email string) url.Values { return url.Values{"email": {email}, "password": {password}} }

// keep is as with "Keep me signed in".
func keep(email string) url.Values {
	return url.Values{"email": {email}, "password": {password}, "rememberDevice": {"true"}}
}

// logIn is a whole login by the code flow.
func (w *world) logIn(email string) *oauth2.Token {
	w.t.Helper()
	p := w.submit(w.open(w.authURL()), as(email))
	token, err := w.app.Exchange(w.t.Context(), p.location.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		w.t.Fatalf("exchange after %s: %v", p.location, err)
	}
	return token
}

// verify checks an ID token with go-oidc.
func (w *world) verify(token *oauth2.Token) *oidc.IDToken {
	w.t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := w.provider.VerifierContext(w.t.Context(), &oidc.Config{ClientID: clientID}).Verify(w.t.Context(), raw)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// reply is the answer to a request that the application makes itself.
type reply struct {
	status int
	fields map[string]any
}

func (w *world) do(req *http.Request) reply {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode}
	_ = json.NewDecoder(resp.Body).Decode(&r.fields) // some answers are empty
	return r
}

// post sends a form with the client's secret. change may change it.
func (w *world) post(path string, form url.Values, change ...func(*http.Request, url.Values)) reply {
	w.t.Helper()
	form.Set("client_id", clientID)
	form.Set("client_secret", secret)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, spoil := range change {
		spoil(req, form)
	}
	req.Body = io.NopCloser(strings.NewReader(form.Encode()))
	return w.do(req)
}

// is checks an answer. An empty code means no error.
func (r reply) is(t *testing.T, status int, code, reason string) {
	t.Helper()
	got := func(name string) string { text, _ := r.fields[name].(string); return text }
	if r.status != status || got("error") != code || got("error_reason") != reason {
		t.Errorf("got %d %q %q, want %d %q %q", r.status, got("error"), got("error_reason"), status, code, reason)
	}
}

// startDevice requests a device code with x/oauth2, which sends no secret.
func (w *world) startDevice() *oauth2.DeviceAuthResponse {
	w.t.Helper()
	d, err := w.app.DeviceAuth(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) poll(d *oauth2.DeviceAuthResponse) reply {
	w.t.Helper()
	return w.post("/oauth2/token", url.Values{"grant_type": {deviceGrant}, "device_code": {d.DeviceCode}})
}

func (w *world) approve(d *oauth2.DeviceAuthResponse, access string) reply {
	w.t.Helper()
	return w.post("/oauth2/device/approve", url.Values{"user_code": {d.UserCode}, "token": {access}})
}

// violated takes the violations, and expects one that contains want.
func (w *world) violated(want string) {
	w.t.Helper()
	if got := w.Violations(); len(got) != 1 || !strings.Contains(got[0], want) {
		w.t.Errorf("violations: %q, want one with %q", got, want)
	}
}
