package main

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// restartable is a bank that keeps its addresses and its data when it starts
// again.
type restartable struct {
	*bank
	t         *testing.T
	begin     func(t testing.TB, settings ...string) *bank
	dir       string
	app, demo *front
}

func startRestartable(t *testing.T, begin func(t testing.TB, settings ...string) *bank) *restartable {
	t.Helper()
	r := &restartable{t: t, begin: begin, dir: t.TempDir(), app: newFront(t), demo: newFront(t)}
	r.start()
	return r
}

func (r *restartable) start() {
	r.t.Helper()
	// The demo provider must answer by its front before it can be found there.
	r.bank = r.begin(r.t, "DATA_DIR="+r.dir, "APP_URL="+r.app.URL, "DEMO_URL="+r.demo.URL, "LOG_LEVEL=debug")
	r.app.toPort(r.bank.log.await(r.t, `[ "]port"?[=:](\d+)`, nil))
	r.demo.toPort(r.bank.log.await(r.t, `demo_port"?[=:](\d+)`, nil))
	r.bank.log.await(r.t, `(identity provider found)`, nil)
}

func (r *restartable) restart() {
	r.t.Helper()
	r.stop()
	r.app.behind.Store(nil)
	r.demo.behind.Store(nil)
	r.start()
}

// A restart at any step of the login loses nothing: not the laptop's code, not
// the phone's session, not the question, not the demo provider's own memory.
func TestRestartAtEveryStep(t *testing.T) {
	for name, begin := range map[string]func(testing.TB, ...string) *bank{"stopped": startBank, "killed": startProcess} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restartAtEveryStep(t, startRestartable(t, begin))
		})
	}
}

func restartAtEveryStep(t *testing.T, b *restartable) {
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	p, link := laptop.showCode()
	b.restart()

	again, _ := laptop.showCode()
	if again.text("user-code") != p.text("user-code") {
		t.Errorf("after a restart the laptop shows another code")
	}
	question := phone.get(link)
	b.restart()

	if got := laptop.get("/logged-out-qr-login").state(); got != "opened" {
		t.Errorf("after a restart the laptop's page is %q, want opened", got)
	}
	phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	// A kill in the very moment between the provider's answer and our saving it
	// loses the tokens, and the laptop is told; this one comes after it.
	laptop.awaitApproved()
	b.restart()

	if got := laptop.awaitReload().text("account-email"); got != richard {
		t.Fatalf("the laptop is logged in as %q, want %s", got, richard)
	}
	b.restart()
	if got := laptop.person(); got != richard {
		t.Errorf("after a restart the laptop is %q, want %s", got, richard)
	}
	// Single sign-on: the provider still knows the phone.
	if got := phone.get("/login").text("account-email"); got != richard {
		t.Errorf("after a restart the provider does not know the phone: %q", got)
	}
}

// A stop right after the yes waits for the tokens, or leaves the fetching of
// them to the next start.
func TestStopRightAfterYes(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	phone.answer(link, "yes")
	b.restart()
	if got := laptop.awaitReload().text("account-email"); got != richard {
		t.Fatalf("the laptop is logged in as %q, want %s", got, richard)
	}
}

// Data that is damaged is set aside with a message, and the program starts.
func TestDamagedDataIsSetAside(t *testing.T) {
	t.Parallel()
	first := t.TempDir()
	b := startBank(t, "DATA_DIR="+first)
	for range 40 {
		b.browser(t).logIn(richard)
	}
	b.stop()
	whole, err := os.ReadFile(filepath.Join(first, "changebank.db"))
	if err != nil {
		t.Fatal(err)
	}
	overwritten := func(from, to int) []byte {
		damaged := bytes.Clone(whole)
		for i := from; i < to; i++ {
			damaged[i] ^= 0x5a
		}
		return damaged
	}
	for name, damaged := range map[string][]byte{
		"a part of it":       whole[:20<<10],
		"a few bytes":        whole[:100],
		"another file":       []byte(strings.Repeat("not a store\n", 4000)),
		"its head is gone":   overwritten(0, 16<<10),
		"its middle is gone": overwritten(16<<10, len(whole)),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "changebank.db"), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			again := startBank(t, "DATA_DIR="+dir)
			if !strings.Contains(again.log.String(), "damaged and set aside") {
				t.Error("nothing is said of the damage")
			}
			again.browser(t).logIn(richard)
			aside, err := filepath.Glob(filepath.Join(dir, "changebank.db.damaged-*"))
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside: %v %v, want one file", aside, err)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, damaged) {
				t.Error("what is set aside is not what was there")
			}
		})
	}
}
