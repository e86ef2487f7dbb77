package tests

import (
	"net/http"
	"net/url"
	"strings"
)

// cookieName returns the session cookie's name. The names of the bank's other
// cookies begin with it.
func (b *bank) cookieName() string {
	u, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	if u.Scheme == "https" {
		return "__Host-changebank"
	}
	return "changebank-" + u.Port()
}

// cookie returns the value of the session cookie, "" if there is none.
func (b *browser) cookie() string {
	for _, cookie := range b.cookies() {
		if cookie.Name == b.bank.cookieName() {
			return cookie.Value
		}
	}
	return ""
}

// cookies returns the bank's cookies. Those of other servers on this machine
// are left out: browsers send them, too, since cookies ignore ports.
func (b *browser) cookies() []*http.Cookie {
	var cookies []*http.Cookie
	for _, cookie := range b.http.Jar.Cookies(b.bankURL()) {
		if strings.HasPrefix(cookie.Name, b.bank.cookieName()) {
			cookies = append(cookies, cookie)
		}
	}
	return cookies
}

// cookieValues returns what is secret in the bank's cookies.
func (b *browser) cookieValues() []string {
	var values []string
	for _, cookie := range b.cookies() {
		values = append(values, cookie.Value)
	}
	return values
}

// setCookies replaces the bank's cookies with those of another browser, or of
// another time.
func (b *browser) setCookies(cookies []*http.Cookie) {
	for _, cookie := range b.cookies() {
		b.http.Jar.SetCookies(b.bankURL(), []*http.Cookie{{Name: cookie.Name, Path: "/", MaxAge: -1}})
	}
	for _, cookie := range cookies {
		b.http.Jar.SetCookies(b.bankURL(), []*http.Cookie{{Name: cookie.Name, Value: cookie.Value, Path: "/"}})
	}
}

func (b *browser) bankURL() *url.URL {
	b.t.Helper()
	u, err := url.Parse(b.bank.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}
