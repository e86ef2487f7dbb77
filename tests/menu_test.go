package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// menu returns where the links of the page's menu lead, by their words.
func (p page) menu() map[string]string {
	p.t.Helper()
	nav := p.find("nav", "")
	if nav == nil {
		p.t.Fatalf("no menu on the page: %v", p)
	}
	links := make(map[string]string)
	for node := range nav.Descendants() {
		if node.Type == html.ElementNode && node.Data == "a" {
			links[textOf(node)] = attr(node, "href")
		}
	}
	return links
}

// Every link of the menu leads to a page that is there, and to a place on it
// that is there, for people who are logged in and for people who are not.
func TestMenu(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for name, tt := range map[string]struct {
		person *browser
		pages  []string
		want   string
	}{
		"logged out": {b.browser(t), []string{"/", "/nosuch"}, "About"},
		"logged in":  {b.browserOf(t, richard), []string{"/account", "/devices", "/nosuch"}, "Your account"},
	} {
		for _, path := range tt.pages {
			menu := tt.person.get(path).menu()
			if menu[tt.want] == "" {
				t.Errorf("%s: the menu of %s lacks %q: %v", name, path, tt.want, menu)
			}
			for words, href := range menu {
				to, place, _ := strings.Cut(href, "#")
				p := tt.person.get(to)
				if p.Status != http.StatusOK || place != "" && !p.has(place) {
					t.Errorf("%s: %q on %s leads to %v, which has no #%s", name, words, path, p, place)
				}
			}
		}
	}
}

// On a phone the ordinary login comes first. Few people have another phone that
// could scan this one's screen.
func TestHomeOnPhone(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for agent, want := range map[string]string{
		iPhoneAgent:  "Log in",
		firefoxAgent: "Log In Using Mobile Device",
	} {
		var filled, plain []string
		for node := range b.browser(t).as(agent).get("/").find("main", "").Descendants() {
			switch attr(node, "class") {
			case "button":
				filled = append(filled, textOf(node))
			case "button plain":
				plain = append(plain, textOf(node))
			}
		}
		if len(filled) != 1 || filled[0] != want || len(plain) != 1 {
			t.Errorf("%s: the filled button is %q and the plain one %q, want %q filled", agent, filled, plain, want)
		}
	}
}

// A device that a phone logged in must log in again before it may approve
// another's login, and says so beside the button that leads there.
func TestLoginIsAnnounced(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	if phone.get("/account").has("log-in-again") {
		t.Error("a password login is told to log in again")
	}
	if got := laptop.logInWith(phone).text("log-in-again"); !strings.Contains(got, "password") {
		t.Errorf("a login by phone is told %q, want that it takes a password", got)
	}
	if p := laptop.getOnce("/activate"); p.Header.Get("Location") != "/login?return_to="+url.QueryEscape("/activate") {
		t.Errorf("the button leads to %q, want the login", p.Header.Get("Location"))
	}
}
