package tests

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"

	"changebank/internal/testfusion"
	"changebank/kickstart"
)

// forgedLine is what an attacker would like to have in the log.
const forgedLine = `msg="qr login" step=claimed`

// A browser may send anything as its User-Agent and X-Forwarded-For. On pages
// that becomes a few printable words, in the log one line, and logins still
// work.
func TestUntrustedText(t *testing.T) {
	t.Parallel()
	for name, agent := range map[string]string{
		"long":     "Mozilla/5.0 " + strings.Repeat("x", 10<<10),
		"bidi":     "Fire\u202efox\u2066 on \u200fyour own laptop\u2069/1.0 (\u202eX11\u202c; Linux)",
		"controls": "Firefox\u0085/1.0\u2028" + forgedLine + "\u2029\u009b31m (Windows)",
		"bytes":    "Firefox\xff\xfe/1.0 (\xc3\x28; \xe2\x80)",
		"markup":   `<script>alert(1)</script>/1.0 (</dd><form action="https://evil.example"><button name="answer" value="yes">; "'>&lt;<img src=x>)`,
		"a tab":    "Firefox\t/1.0\t" + forgedLine,
		"none":     " ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, laptop, phone := pair(t, "CONFIRM_NUMBER=never") // which such an address would need
			laptop.as(agent).at("rubbish" + strings.Repeat(", <b>1.2.3.4</b>", 1000) + ", 192.0.2.1\u202e, \u2028" + forgedLine)
			question := phone.get(laptop.code())
			// The proxy vouches for no address, so its own counts.
			if got := question.text("asking-from"); !isLoopback(got) {
				t.Errorf("the phone is told the address %q", got)
			}
			if got := question.text("asking"); got == "" || len(got) > 200 {
				t.Errorf("the phone is told the browser %.300q", got)
			}
			phone.answer(question, "yes")
			laptop.claim(richard)
			for _, p := range []page{question, phone.get("/devices"), phone.get("/account")} {
				p.wantHarmless()
			}
			b.stop()
			b.wantHarmlessLog(t)
		})
	}
}

// A browser that names itself in words of its own is shown without them.
func TestUntrustedName(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t, "CONFIRM_NUMBER=never")
	const lie = "Your own laptop, checked by us"
	question := phone.get(laptop.as(lie).code())
	if got := question.text("asking"); got != "An unknown browser" {
		t.Errorf("the phone is told the browser %q", got)
	}
	phone.answer(question, "yes")
	laptop.claim(richard)
	laptop.as(lie + "/2.0 (Windows NT 10.0)").get("/account")
	for _, p := range []page{question, phone.get("/account"), phone.get("/devices")} {
		if strings.Contains(p.Body, "checked by us") {
			t.Errorf("%s shows what the browser calls itself:\n%s", p.URL.Path, p.Body)
		}
	}
}

// A long address wraps on every page, and scrolls none sideways. The header
// does not cut it off: its beginning may look like another person's address,
// and what marks it as unverified is at its end.
func TestLongAddress(t *testing.T) {
	t.Parallel()
	chromium := startChromium(t)
	for _, tt := range []struct{ address, want string }{
		{richard, richard},
		{"bartholomew.featherstonehaugh@bank.example", "bartholomew.featherstonehaugh@bank.example"},
		{strings.Repeat("W", 300) + "@example.com", strings.Repeat("W", 99) + "…"},
	} {
		setup := bytes.ReplaceAll(kickstart.JSON, []byte(richard), []byte(tt.address))
		b := startWithKickstart(t, setup, testfusion.Options{})
		laptop, phone := windows(t, chromium)
		phone.expect("status of 404") // of the provider's icon
		phone.open(b.URL + "/login")
		phone.fill(`input[name="email"]`, tt.address)
		phone.fill(`input[name="password"]`, b.password+"\r")
		phone.awaitPerson(tt.want)
		for _, at := range []string{b.URL + "/account", b.URL + "/devices", laptop.showCode(b.bank)} {
			phone.open(at)
			if got := phone.text(`main bdi`); got != tt.want {
				t.Errorf("%s names %q, want %s", at, got, tt.want)
			}
			for _, width := range []int64{320, 360, 1024, 1280} {
				phone.resize(width, 640, "light")
				if got := evaluate[int64](phone, `document.documentElement.scrollWidth`); got > width {
					t.Errorf("%s of %s is %d pixels wide in a window of %d", at, tt.want, got, width)
				}
				if evaluate[bool](phone, `(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector("#account-email"))`) {
					t.Errorf("%s cuts %s off in the header of a window of %d", at, tt.want, width)
				}
			}
		}
	}
}

// wantHarmless checks that nothing a browser sent does more than say something
// on the page.
func (p page) wantHarmless() {
	p.t.Helper()
	for _, bad := range []string{
		"\u202e", "\u2066", "\u200f", "\u0085", "\u2028", "\u009b", "\ufffd",
		"<script>alert", "<img src=x", `evil.example"`, strings.Repeat("x", 36),
	} {
		if strings.Contains(p.Body, bad) {
			p.t.Errorf("%s lets %q through", p.URL.Path, bad)
		}
	}
	buttons := 0
	for node := range p.doc.Descendants() {
		if node.Data == "button" && attr(node, "value") == "yes" {
			buttons++
		}
	}
	if buttons > 1 {
		p.t.Errorf("%s has %d buttons that approve", p.URL.Path, buttons)
	}
}

func (b *bank) wantHarmlessLog(t *testing.T) {
	t.Helper()
	claimed := 0
	for line := range strings.Lines(b.log.String()) {
		if len(line) > 2000 {
			t.Errorf("a line of the log has %d bytes: %.300s…", len(line), line)
		}
		if unprintable := slices.IndexFunc([]rune(line), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); unprintable >= 0 {
			t.Errorf("a line of the log cannot be printed: %q", line)
		}
		if strings.HasPrefix(line, "time=") && strings.Contains(line, forgedLine) {
			claimed++
		}
	}
	if claimed != 1 {
		t.Errorf("the log has %d claims, want 1", claimed)
	}
}
