package tests

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// detour has the provider send browsers through a third origin on their way to
// its login and logout pages. It counts those that pass there, and keeps what
// pages say about themselves on the way (Referer).
func (f *front) detour(t *testing.T) (passed *atomic.Int32, referers *record) {
	passed, referers = new(atomic.Int32), new(record)
	const mark = "&came=by"
	third := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed.Add(1)
		_, _ = referers.Write([]byte(r.Referer() + "\n"))
		http.Redirect(w, r, f.URL+r.URL.RequestURI()+mark, http.StatusFound)
	}))
	t.Cleanup(third.Close)
	f.answers(func(w http.ResponseWriter, r *http.Request) bool {
		isPage := r.URL.Path == "/oauth2/authorize" || r.URL.Path == "/oauth2/logout"
		if !isPage || r.Method != http.MethodGet || strings.HasSuffix(r.URL.RawQuery, mark) {
			return false
		}
		_, _ = referers.Write([]byte(r.Referer() + "\n"))
		http.Redirect(w, r, third.URL+r.URL.RequestURI(), http.StatusFound)
		return true
	})
	return passed, referers
}

// countPosts counts the forms that arrive at a path of the bank.
func (f *front) countPosts(path string) *atomic.Int32 {
	var count atomic.Int32
	f.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && r.URL.Path == path {
			count.Add(1)
		}
		return false
	})
	return &count
}

// eachScripting runs a test with JavaScript and without, with a bank whose
// provider redirects to a third origin.
func eachScripting(t *testing.T, test func(t *testing.T, b *bank, person *window, passed *atomic.Int32)) {
	chromium := startChromium(t)
	for name, scripting := range map[string]bool{"with JavaScript": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			b := startProxied(t)
			passed, referers := b.demo.detour(t)
			person := newWindow(t, chromium, "phone", 390, 844)
			if !scripting {
				person.disableScript()
			}
			person.logIn(b, richard)
			test(t, b, person, passed)
			if said := strings.TrimSpace(referers.String()); strings.Contains(said, b.URL) {
				t.Errorf("the provider and the third origin learn where the person was: %s", said)
			}
		})
	}
}

// Logging out ends at the home page, by way of origins that the bank does not
// know. Going back does not log out again.
func TestLogoutLeavesOurOrigin(t *testing.T) {
	t.Parallel()
	eachScripting(t, func(t *testing.T, b *bank, person *window, passed *atomic.Int32) {
		posts := b.app.countPosts("/logout")
		person.open(b.URL + "/logout")
		before := passed.Load()
		person.click(`#logout button`)
		person.await(`main a[href="/login"]`)
		if got := person.location(); got != b.URL+"/" || passed.Load() != before+1 {
			t.Errorf("the logout leads to %s, and %d times to the third origin, want the home page and once", got, passed.Load()-before)
		}
		person.back()
		person.await(`main`)
		if got := posts.Load(); got != 1 {
			t.Errorf("the logout arrived %d times, want once", got)
		}
	})
}

// The person was logged out before pressing Yes, so they log in first, and then
// answer. Going back does not send the answer again.
func TestAnswerLeavesOurOrigin(t *testing.T) {
	t.Parallel()
	eachScripting(t, func(t *testing.T, b *bank, person *window, passed *atomic.Int32) {
		laptop := b.browser(t)
		person.open(laptop.code())
		person.await(`#approve`)
		person.logOutElsewhere(b)
		posts := b.app.countPosts("/activate")
		before := passed.Load()
		person.answer("yes")
		person.await(`input[name="email"]`)
		if got := passed.Load() - before; got != 1 {
			t.Errorf("the answer leads to the third origin %d times, want once", got)
		}
		person.back()
		person.await(`input[name="email"]`) // the question leads here again
		if got := posts.Load(); got != 1 {
			t.Errorf("the answer arrived %d times, want once", got)
		}
		person.fill(`input[name="email"]`, richard)
		person.fill(`input[name="password"]`, b.password+"\r")
		person.await(`#approve`)
		person.do("wait for the reading time", chromedp.Sleep(readingTime))
		person.answer("yes")
		laptop.claim(richard)
	})
}

// A code is typed by someone who was logged out since the form was opened. The
// form is a GET, and form-action applies to it, too.
func TestTypedCodeLeavesOurOrigin(t *testing.T) {
	t.Parallel()
	eachScripting(t, func(t *testing.T, b *bank, person *window, _ *atomic.Int32) {
		laptop := b.browser(t)
		p, _ := laptop.showCode()
		person.open(b.URL + "/activate")
		person.logOutElsewhere(b)
		person.fill(`#activate input[name="user_code"]`, p.text("user-code")+"\r")
		person.fill(`input[name="email"]`, richard)
		person.fill(`input[name="password"]`, b.password+"\r")
		person.await(`#approve`)
	})
}

// logOutElsewhere logs out in another tab. The window's own page does not notice.
func (w *window) logOutElsewhere(b *bank) {
	w.t.Helper()
	w.setHidden(true)
	other := w.newTab()
	other.open(b.URL + "/logout")
	other.click(`#logout button`)
	other.await(`main a[href="/login"]`)
}
