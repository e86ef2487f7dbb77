package main

import (
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"changebank/internal/config"
	"changebank/internal/demoidp"
	"changebank/internal/store"
	"changebank/qrlogin"
)

// site is the application with its provider.
type site struct {
	*testing.T
	url, provider string
}

const password = "correct horse battery"

// newSite starts the application, with settings changed by change, and the demo
// provider. It makes the test parallel, since people take time to read.
func newSite(t *testing.T, change func(*qrlogin.Config)) *site {
	t.Helper()
	t.Parallel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	app, provider := listen(t), listen(t)
	settings, err := config.Load([]string{
		"APP_URL=" + app.url, "DEMO_URL=" + provider.url, "CLIENT_SECRET=secret of the client", "USER_PASSWORD=" + password,
	}, "", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := store.Open(t.Context(), "", filepath.Join(t.TempDir(), "provider"), nil, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	demo, _, err := demoidp.New(t.Context(), settings, kept, log)
	if err != nil {
		t.Fatal(err)
	}
	provider.serve(demo)

	cfg := qrlogin.Config{
		Issuer: provider.url, ClientID: settings.ClientID, ClientSecret: string(settings.ClientSecret),
		AppURL: app.url, DataDir: filepath.Join(t.TempDir(), "data"), Log: log,
	}
	if change != nil {
		change(&cfg)
	}
	handler, qr, err := newApp(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := qr.Close(); err != nil {
			t.Error(err)
		}
	})
	app.serve(handler)
	s := &site{t, app.url, provider.url}
	for b, began := s.browser("waits"), time.Now(); strings.Contains(b.get("/qr-login/login").body, "unavailable"); {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the provider is not found")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return s
}

// listener is a server that has its address before its handler.
type listener struct {
	t   *testing.T
	on  net.Listener
	url string
}

func listen(t *testing.T) *listener {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &listener{t, on, "http://" + strings.Replace(on.Addr().String(), "127.0.0.1", "localhost", 1)}
}

func (l *listener) serve(h http.Handler) {
	server := &httptest.Server{Listener: l.on, Config: &http.Server{Handler: h}}
	server.Start()
	l.t.Cleanup(server.Close)
}

// browser is a person's browser.
type browser struct {
	*site
	client *http.Client
	agent  string
}

func (s *site) browser(agent string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, Timeout: 30 * time.Second}, agent}
}

type answer struct {
	status int
	at     *url.URL
	body   string
}

func (b *browser) do(r *http.Request) answer {
	b.Helper()
	r.Header.Set("User-Agent", b.agent)
	resp, err := b.client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Request.URL, string(body)}
}

func (b *browser) request(method, target string, form url.Values) *http.Request {
	b.Helper()
	if !strings.HasPrefix(target, "http") {
		target = b.url + target
	}
	r, err := http.NewRequestWithContext(b.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (b *browser) get(target string) answer {
	b.Helper()
	return b.do(b.request(http.MethodGet, target, nil))
}

func (b *browser) post(target string, form url.Values) answer {
	b.Helper()
	return b.do(b.request(http.MethodPost, target, form))
}

var hidden = regexp.MustCompile(`type="hidden" name="([^"]*)" value="([^"]*)"`)

// fields returns the hidden fields of a page.
func (a answer) fields() url.Values {
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(a.body, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	return form
}

func (a answer) find(pattern string) string {
	found := regexp.MustCompile(pattern).FindStringSubmatch(a.body)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

// logIn fills in the provider's page at which a request has ended.
func (b *browser) logIn(page answer, email string) answer {
	b.Helper()
	form := page.fields()
	form.Set("email", email)
	form.Set("password", password)
	return b.post(b.provider+"/login", form)
}

// phone is a browser in which a person is logged in.
func (s *site) phone(email string) *browser {
	s.Helper()
	b := s.browser("phone of " + email)
	b.logIn(b.get("/qr-login/login"), email)
	b.wantPerson(email)
	return b
}

// wantPerson checks who is logged in, "" for nobody.
func (b *browser) wantPerson(want string) {
	b.Helper()
	if got := b.get("/").find(`id="person">([^<]*)<`); got != want {
		b.Errorf("%s is logged in as %q, want %q", b.agent, got, want)
	}
}

// code shows a code, and returns the link in it.
func (b *browser) code() string {
	b.Helper()
	page := b.get("/qr-login")
	link := page.find(`<a href="([^"]*user_code[^"]*)"`)
	if link == "" || !strings.Contains(page.body, "<svg") {
		b.Fatalf("no code: %d %s", page.status, page.body)
	}
	return link
}

// approve opens a link and approves.
func (b *browser) approve(link string) answer {
	b.Helper()
	question := b.get(link)
	if !strings.Contains(question.body, `value="yes"`) {
		b.Fatalf("no question: %d %s", question.status, question.body)
	}
	time.Sleep(time.Second) // the minimum reading time
	form := question.fields()
	form.Set("answer", "yes")
	return b.post("/activate", form)
}

// await asks, as the page's script does, until the login has another state.
func (b *browser) await(since string) {
	b.Helper()
	for range 30 {
		told := b.get("/qr-login/events?since=" + since)
		if told.status != http.StatusOK || !strings.Contains(told.body, `"state":"`+since+`"`) {
			return
		}
	}
	b.Fatalf("the login is still %s", since)
}

const richard, erlich = "richard@example.com", "erlich@example.com"

func TestLogin(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop := s.phone(richard), s.browser("laptop")
	link := laptop.code()
	if shown := phone.approve(link); !strings.Contains(shown.body, "You approved") {
		t.Errorf("the phone shows %s", shown.body)
	}
	laptop.await("yes")
	laptop.get("/qr-login")
	laptop.wantPerson(richard)
	if home := laptop.get("/"); !strings.Contains(home.body, "by phone") {
		t.Errorf("the application does not know that the login came from a phone: %s", home.body)
	}

	laptop.post("/logout", nil)
	laptop.wantPerson("")
	phone.wantPerson(richard)
}

// Two people log in two laptops at the same time.
func TestTwoPeople(t *testing.T) {
	s := newSite(t, nil)
	for _, person := range []string{richard, erlich} {
		t.Run(person, func(t *testing.T) {
			t.Parallel()
			s := &site{t, s.url, s.provider}
			phone, laptop := s.phone(person), s.browser("laptop of "+person)
			phone.approve(laptop.code())
			laptop.await("yes")
			laptop.get("/qr-login")
			laptop.wantPerson(person)
		})
	}
}

// A phone that logs out after it has approved takes its approval back, and so does
// one that has been logged out elsewhere.
func TestPhoneLogsOut(t *testing.T) {
	s := newSite(t, func(cfg *qrlogin.Config) { cfg.AlwaysNumber = true })
	phone, laptop := s.phone(richard), s.browser("laptop")
	shown := phone.approve(laptop.code())
	number := shown.find(`id="number">([0-9]{4})`)
	phone.post("/logout", nil)
	page := laptop.post("/qr-login/number", url.Values{"number": {number}})
	if number == "" || !strings.Contains(page.body, "The phone logged out") {
		t.Errorf("after the number %q the laptop shows %s", number, page.body)
	}
	laptop.wantPerson("")
}

func TestNumber(t *testing.T) {
	s := newSite(t, func(cfg *qrlogin.Config) { cfg.AlwaysNumber = true })
	phone, laptop := s.phone(richard), s.browser("laptop")
	number := phone.approve(laptop.code()).find(`id="number">([0-9]{4})`)
	wrong := "0000"
	if number == wrong {
		wrong = "0001"
	}
	if page := laptop.post("/qr-login/number", url.Values{"number": {wrong}}); !strings.Contains(page.body, "Tries left: 2") {
		t.Errorf("after a wrong number the laptop shows %s", page.body)
	}
	laptop.post("/qr-login/number", url.Values{"number": {number}})
	laptop.await("yes")
	laptop.get("/qr-login")
	laptop.wantPerson(richard)
}

// The second click of a double click does not approve.
func TestTooQuick(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop := s.phone(richard), s.browser("laptop")
	question := phone.get(laptop.code())
	form := question.fields()
	form.Set("answer", "yes")
	if again := phone.post("/activate", form); !strings.Contains(again.body, "very quick") || !strings.Contains(again.body, `value="yes"`) {
		t.Errorf("an answer at once: %s", again.body)
	}
	form.Del("shown")
	if again := phone.post("/activate", form); !strings.Contains(again.body, "very quick") {
		t.Errorf("an answer without a time: %s", again.body)
	}
}

// A laptop that a phone logged in cannot log in the next one (chaining): its
// person must first log in with a password.
func TestChaining(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop, next := s.phone(richard), s.browser("laptop"), s.browser("next laptop")
	phone.approve(laptop.code())
	laptop.await("yes")
	laptop.get("/qr-login")
	laptop.wantPerson(richard)

	link := next.code()
	page := laptop.get(link)
	if page.at.Path != "/login" || !strings.HasPrefix(page.at.String(), s.provider) {
		t.Fatalf("a browser that a phone logged in is at %v: %s", page.at, page.body)
	}
	if page := laptop.logIn(page, erlich); page.status != http.StatusForbidden {
		t.Errorf("someone else's password there: %d %s", page.status, page.body)
	}
	if page = laptop.logIn(laptop.get(link), richard); !strings.Contains(page.body, `value="yes"`) {
		t.Errorf("after a login with a password there is no question: %s", page.body)
	}
}

// A denial ends the login, even after an approval, and a page of another site
// answers nothing.
func TestDenial(t *testing.T) {
	s := newSite(t, func(cfg *qrlogin.Config) { cfg.AlwaysNumber = true })
	phone, laptop := s.phone(richard), s.browser("laptop")
	link := laptop.code()
	form := phone.get(link).fields()
	phone.approve(link)
	form.Set("answer", "no")
	forged := phone.request(http.MethodPost, "/activate", form)
	forged.Header.Set("Sec-Fetch-Site", "cross-site")
	if page := phone.do(forged); page.status != http.StatusForbidden {
		t.Errorf("another site's form: %d %s", page.status, page.body)
	}
	phone.post("/activate", form)
	if page := laptop.get("/qr-login"); !strings.Contains(page.body, "Denied on") || !strings.Contains(page.body, "Show a new code") {
		t.Errorf("the laptop shows %s", page.body)
	}
	laptop.post("/qr-login", nil)
	if again := laptop.code(); again == link {
		t.Error("the new code is the old one")
	}
}

// A login belongs to the browser that showed the code, and to nobody after it.
func TestClaimOnce(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop := s.phone(richard), s.browser("laptop")
	link := laptop.code()
	app, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	thief := s.browser("laptop") // with the same user agent and address
	thief.client.Jar.SetCookies(app, laptop.client.Jar.Cookies(app))
	stranger := s.browser("another laptop")
	phone.approve(link)
	laptop.await("yes")
	stranger.get("/qr-login")
	stranger.wantPerson("")
	laptop.get("/qr-login")
	laptop.wantPerson(richard)
	if page := thief.get("/qr-login"); !strings.Contains(page.body, "This code has been used") {
		t.Errorf("a thief of the laptop's cookie gets %s", page.body)
	}
	thief.wantPerson("")
}

// An ordinary login ends the code that its browser shows: it must not log it in as
// someone else afterwards.
func TestLoginEndsTheCode(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop := s.phone(richard), s.browser("laptop")
	link := laptop.code()
	laptop.logIn(laptop.get("/qr-login/login"), erlich)
	if page := phone.get(link); !strings.Contains(page.body, "Login cancelled") {
		t.Errorf("the phone shows %s", page.body)
	}
	laptop.get("/qr-login")
	laptop.wantPerson(erlich)
}

// A crawler without cookies and a prefetch start no code.
func TestCrawlerGetsNoCode(t *testing.T) {
	s := newSite(t, nil)
	crawler := s.browser("crawler")
	crawler.client.Jar = nil
	if page := crawler.get("/qr-login"); page.status != http.StatusBadRequest || !strings.Contains(page.body, "Cookies are off") {
		t.Errorf("a crawler gets %d %s", page.status, page.body)
	}
	b := s.browser("browser")
	prefetch := b.request(http.MethodGet, "/qr-login", nil)
	prefetch.Header.Set("Sec-Purpose", "prefetch")
	if page := b.do(prefetch); page.status != http.StatusServiceUnavailable {
		t.Errorf("a prefetch gets %d", page.status)
	}
}

// A laptop whose session ended before it reloaded the page is not logged in a second
// time.
func TestSessionIsLost(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop := s.phone(richard), s.browser("laptop")
	phone.approve(laptop.code())
	laptop.await("yes")
	laptop.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	laptop.get("/qr-login") // which sets the cookies
	laptop.wantPerson(richard)
	laptop.post("/logout", nil)
	if page := laptop.get("/qr-login"); !strings.Contains(page.body, "This code has been used") {
		t.Errorf("the laptop's page: %d %s", page.status, page.body)
	}
	laptop.wantPerson("")
}

// A laptop that was logged out within a minute does not get in again with the
// cookie that it had before. An attacker may have kept the cookie for that.
func TestOldCookieAfterLogout(t *testing.T) {
	s := newSite(t, nil)
	phone, laptop := s.phone(richard), s.browser("laptop")
	phone.approve(laptop.code())
	laptop.await("yes")
	app, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	kept := laptop.client.Jar.Cookies(app)
	repeat := func() *browser { // as if the answer had been lost
		b := s.browser("laptop")
		b.client.Jar.SetCookies(app, kept)
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		b.get("/qr-login")
		return b
	}
	first := repeat()
	first.wantPerson(richard)
	second := repeat()
	second.wantPerson(richard)
	second.post("/logout", nil)
	repeat().wantPerson("")
}
