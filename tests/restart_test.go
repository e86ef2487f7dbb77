package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A restart at any step of a login loses nothing: not the laptop's code, the
// phone's session, the question, nor what the demo provider knows.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bank){"stopped": (*bank).stop, "killed": (*bank).kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, laptop, phone := proxiedPair(t)
			restart := func() {
				t.Helper()
				end(b)
				b.start()
			}
			p, link := laptop.showCode()
			restart()
			if again, _ := laptop.showCode(); again.text("user-code") != p.text("user-code") {
				t.Error("after a restart the laptop shows another code")
			}
			question := phone.get(link)
			restart()
			laptop.wantState("opened")
			phone.answer(question, "yes")
			// A kill before the provider's answer is saved loses the
			// tokens, and the laptop says so. This one comes later.
			laptop.awaitApproved()
			restart()
			laptop.claim(richard)
			restart()
			laptop.wantPerson(richard)
			// Single sign-on: the provider still knows the phone.
			if p := phone.get("/login"); p.person() != richard {
				t.Errorf("after a restart the provider does not know the phone: %v", p)
			}
		})
	}
}

// A stop right after the approval waits for the tokens, or leaves them to the
// next start.
func TestStopAfterApproval(t *testing.T) {
	t.Parallel()
	b, laptop, phone := proxiedPair(t)
	phone.approve(laptop.code())
	b.restart()
	laptop.claim(richard)
}

// Damaged data is set aside, the log says so, and the program starts.
func TestDamagedData(t *testing.T) {
	t.Parallel()
	first := t.TempDir()
	b := startBank(t, "DATA_DIR="+first)
	for range 40 {
		b.browserOf(t, richard)
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
		"cut short":          whole[:20<<10],
		"a few bytes":        whole[:100],
		"another file":       []byte(strings.Repeat("not a store\n", 4000)),
		"overwritten head":   overwritten(0, 16<<10),
		"overwritten middle": overwritten(16<<10, len(whole)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "changebank.db"), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			b := startBank(t, "DATA_DIR="+dir)
			if !strings.Contains(b.log.String(), "damaged and set aside") {
				t.Error("the log does not mention the damage")
			}
			b.browserOf(t, richard)
			aside, err := filepath.Glob(filepath.Join(dir, "changebank.db.damaged-*"))
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside: %v %v, want one file", aside, err)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, damaged) {
				t.Error("the file that was set aside is not the one that was there")
			}
		})
	}
}
