package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A step is what the log tells of one step of a login by phone.
type step struct {
	Level, Step, Attempt string
	Laptop, Phone        struct{ Addr, Agent string }
	Person               struct{ Issuer, Subject string }
}

// steps reads a log of JSON lines; whatever else the program says is left out.
func (l *logBuffer) steps(t *testing.T) []step {
	t.Helper()
	var steps []step
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, `"msg":"qr login"`) {
			continue
		}
		var s step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Errorf("a line of the log cannot be read: %v: %s", err, line)
		}
		steps = append(steps, s)
	}
	return steps
}

// Whoever looks into a phished login finds a line for each step, by one
// reference: which browsers, from where, and who said yes.
func TestLogOfALogin(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LOG_FORMAT=json")
	laptop, phone := b.browser(t).at(attackers), b.browser(t).as(phoneAgent).at(victims)
	phone.logIn(richard)
	_, link := laptop.showCode()
	number := phone.answer(link, "yes").wantNumber()
	wrong := "0000"
	if number == wrong {
		wrong = "1111"
	}
	laptop.post("/logged-out-qr-login/confirm", url.Values{"number": {wrong}})
	laptop.confirms(number)
	laptop.submit(laptop.get("/logout"), "logout", nil)

	_, link = laptop.showCode()
	phone.answer(link, "no")
	laptop.post("/logged-out-qr-login", nil)
	laptop.post("/logged-out-qr-login/cancel", nil)
	b.stop()

	if says(b.log.String(), wrong) || says(b.log.String(), number) {
		t.Error("a number that was typed is in the log")
	}
	var told []string
	refs := map[string]int{}
	for _, s := range b.log.steps(t) {
		told = append(told, s.Step)
		refs[s.Attempt]++
		if s.Level != "INFO" || s.Attempt == "" || s.Laptop.Addr != attackers || s.Laptop.Agent != laptopAgent {
			t.Errorf("a step is logged without the reference or the laptop: %+v", s)
		}
		if s.Step == "started" || s.Step == "cancelled" {
			continue // nobody had opened it
		}
		if s.Phone.Addr != victims || s.Phone.Agent != phoneAgent || s.Person.Subject != richardsID || s.Person.Issuer != b.DemoURL {
			t.Errorf("a step is logged without the phone or the person: %+v", s)
		}
	}
	want := []string{
		"started", "opened", "number shown", "number wrong", "yes", "approved", "claimed",
		"started", "opened", "no",
		"started", "cancelled",
	}
	if !slices.Equal(told, want) {
		t.Errorf("the log tells %q, want %q", told, want)
	}
	if len(refs) != 3 {
		t.Errorf("the steps of three logins have %d references", len(refs))
	}
}

// Neither a number nor anything else that opens a door is in the log or, but
// for the phone's screen, on a page. The user code is for two screens only.
func TestNoSecretOfANumberedLogin(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		b := startRestartable(t, func(t testing.TB, settings ...string) *bank {
			return startBank(t, append(settings, "LOG_FORMAT="+format)...)
		})
		laptop, phone, other := b.browser(t).at(attackers), b.browser(t).at(victims), b.browser(t).at(elsewhere)
		phone.logIn(richard)
		other.logIn(erlich)
		p, link := laptop.showCode()
		code := p.text("user-code")
		cookies := []string{laptop.cookie(), phone.cookie()}
		number := phone.answer(link, "yes").wantNumber()
		other.get(link) // is refused
		laptop.post("/logged-out-qr-login/confirm", url.Values{"number": {"12345"}})
		laptop.confirms(number)
		cookies = append(cookies, laptop.cookie())
		b.stop()

		secrets := b.demo.seen()
		if len(secrets) < 1+3*3 {
			t.Fatalf("only %d secrets went by; is anything remembered?", len(secrets))
		}
		for _, secret := range append(append(secrets, cookies...), b.secret) {
			if strings.Contains(b.log.String(), secret) {
				t.Errorf("a secret is in the log: %.12s…", secret)
			}
			if strings.Contains(b.shown.String(), secret) {
				t.Errorf("a secret is on a page or in an address: %.12s…", secret)
			}
		}
		if strings.Contains(b.log.String(), code) {
			t.Error("the user code is in the log")
		}
		for name, text := range map[string]string{"the log": b.log.String(), "what the laptop got": laptop.seen.String(), "what another person got": other.seen.String()} {
			if says(text, number) {
				t.Errorf("the number is in %s", name)
			}
		}
		if !says(phone.seen.String(), number) {
			t.Error("the number is not even in what the phone got")
		}
	}
}

// The user agent and the forwarded address are whatever somebody likes to send.
// On the pages they are a few words, in the log one line, and nobody is kept
// from logging in.
func TestUntrustedText(t *testing.T) {
	t.Parallel()
	const forgedLine = `msg="qr login" step=claimed`
	for name, agent := range map[string]string{
		"long":     "Mozilla/5.0 " + strings.Repeat("x", 10<<10),
		"bidi":     "Fire\u202efox\u2066 on \u200fyour own laptop\u2069/1.0 (\u202eX11\u202c; Linux)",
		"controls": "Firefox\u0085/1.0\u2028" + forgedLine + "\u2029\u009b31m (Windows)",
		"bytes":    "Firefox\xff\xfe/1.0 (\xc3\x28; \xe2\x80)",
		"markup":   `<script>alert(1)</script>/1.0 (</dd><form action="https://evil.example"><button name="answer" value="yes">; "'>&lt;)`,
		"a tab":    "Firefox\t/1.0\t" + forgedLine,
		"none":     " ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBank(t, "CONFIRM_NUMBER=never") // who is behind a proxy like that is nobody's neighbour
			laptop, phone := b.browser(t).as(agent), b.browser(t)
			laptop.at("rubbish" + strings.Repeat(", <b>1.2.3.4</b>", 1000) + ", 192.0.2.1\u202e, \u2028" + forgedLine)
			phone.logIn(richard)
			_, link := laptop.showCode()
			question := phone.get(link)
			// The proxy vouches for nothing here, so it is its own address that counts.
			if got := question.text("asking-from"); got != "127.0.0.1" && got != "::1" {
				t.Errorf("the phone is told of the address %q", got)
			}
			if got := question.text("asking"); got == "" || len(got) > 200 {
				t.Errorf("the phone is told of the browser %.300q", got)
			}
			phone.submit(question, "approve", url.Values{"answer": {"yes"}})
			if got := laptop.awaitReload().text("account-email"); got != richard {
				t.Errorf("the laptop is logged in as %q, want %s", got, richard)
			}
			for _, p := range []page{question, phone.get("/devices"), phone.get("/account")} {
				for _, bad := range []string{"\u202e", "\u2066", "\u200f", "\u0085", "\u2028", "\u009b", "<script>alert", "evil.example\"", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\ufffd"} {
					if strings.Contains(p.Body, bad) {
						t.Errorf("%s lets %q through", p.URL.Path, bad)
					}
				}
				buttons := 0
				for node := range p.doc.Descendants() {
					if node.Data == "button" && attr(node, "value") == "yes" {
						buttons++
					}
				}
				if buttons > 1 {
					t.Errorf("%s has %d buttons for yes", p.URL.Path, buttons)
				}
			}
			b.stop()
			claimed := 0
			for line := range strings.Lines(b.log.String()) {
				if len(line) > 2000 {
					t.Errorf("a line of the log has %d bytes: %.300s…", len(line), line)
				}
				if strings.Contains(line, "\u2028") || strings.Contains(line, "\u202e") || strings.Contains(line, "\u0085") {
					t.Errorf("a line of the log has what is not to be printed: %q", line)
				}
				if strings.HasPrefix(line, "time=") && strings.Contains(line, forgedLine) {
					claimed++
				}
			}
			if claimed != 1 {
				t.Errorf("the log has %d lines of a claim, want one", claimed)
			}
		})
	}
}

// A header that HTTP does not allow, or that is longer than any real one, gets
// no page and leaves no line.
func TestForbiddenHeader(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for _, header := range []string{"User-Agent: a\x00b", "User-Agent: \x1b[31m", "X-Forwarded-For: 192.0.2.1\x08", "User-Agent: " + strings.Repeat("x", 100<<10)} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "GET /logged-out-qr-login HTTP/1.1\r\nHost: %s\r\n%s\r\nConnection: close\r\n\r\n", strings.TrimPrefix(b.URL, "http://"), header)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = conn.Close()
		if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%.60q is answered with %d, want 400 or 431", header, resp.StatusCode)
		}
	}
	if strings.Contains(b.log.String(), "\x1b") || strings.Contains(b.log.String(), "xxxxxxxx") || strings.Contains(b.log.String(), "qr login") {
		t.Error("the log has a trace of it")
	}
}
