package idp_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// wantClose closes a client and checks how long that took.
func wantClose(t *testing.T, c *idp.Client, want time.Duration) {
	t.Helper()
	began := time.Now()
	c.Close()
	if took := time.Since(began); took != want {
		t.Errorf("Close took %v, want %v", took, want)
	}
}

func numbered(i int) idp.Tokens { return idp.Tokens{Refresh: fmt.Sprint("refresh-", i)} }

// No request waits for a provider that hangs, and it uses up neither the memory
// nor the connections of the program.
func TestRevokerIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		arrived := make(chan struct{}, 1e4)
		p.on(revokePath, p.hang(arrived))
		var l log
		c := p.newClient(t, l.to)
		synctest.Wait()
		began := time.Now()
		for i := range 1100 {
			c.Revoke(numbered(i))
			if i < 10 {
				synctest.Wait() // the workers are all busy before the queue fills
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Revoke took %v", took)
		}
		synctest.Wait()
		if n := len(p.requests(revokePath)); n != 4 {
			t.Errorf("%d requests at once, want 4", n)
		}
		l.wantWarnings(t, 1100-1004, "dropped")

		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := len(p.requests(revokePath)); n != 8 {
			t.Errorf("%d requests after a time-out, want 8", n)
		}
	})
}

// Each failure is logged once, and the next revocation succeeds.
func TestRevokerTimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		p.on(revokePath, p.hang(make(chan struct{}, 10)))
		var l log
		c := p.newClient(t, l.to)
		synctest.Wait()
		c.Revoke(numbered(1))
		time.Sleep(9 * time.Second)
		l.wantWarnings(t, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		l.wantWarnings(t, 1, "token revocation failed")
		p.on(revokePath, respond(200, ``))
		c.Revoke(numbered(2))
		wantClose(t, c, 0)
		l.wantWarnings(t, 0)
		if got := p.requests(revokePath); len(got) != 2 || got[1].form.Get("token") != "refresh-2" {
			t.Errorf("requests %v, want the second to revoke the second token", got)
		}
	})
}

// A program that stops first revokes the tokens in its queue, in a few seconds.
func TestCloseDrainsTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		p.on(revokePath, slow(200*time.Millisecond))
		var l log
		c := p.newClient(t, l.to)
		synctest.Wait()
		for i := range 40 {
			c.Revoke(numbered(i))
		}
		wantClose(t, c, 2*time.Second)
		seen := make(map[string]bool)
		for _, r := range p.requests(revokePath) {
			seen[r.form.Get("token")] = true
		}
		if len(seen) != 40 {
			t.Errorf("%d tokens revoked, want 40", len(seen))
		}
		l.wantWarnings(t, 0)
		wantClose(t, c, 0) // a second time
	})
}

// slow is a response that takes its time.
func slow(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(d)
		respond(200, ``)(w, r)
	}
}

func TestCloseOfAHangingRevocation(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		p.on(revokePath, p.hang(make(chan struct{}, 10)))
		var l log
		c := p.newClient(t, l.to)
		synctest.Wait()
		for i := range 10 {
			c.Revoke(numbered(i))
		}
		wantClose(t, c, 3*time.Second)
		l.wantWarnings(t, 10, "context canceled")
	})
}

func TestRevokeAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		p.on(revokePath, respond(200, ``))
		var l log
		c := p.newClient(t, l.to)
		synctest.Wait()
		wantClose(t, c, 0)
		c.Revoke(numbered(1))
		synctest.Wait()
		p.wantRequests(t, 0)
		l.wantWarnings(t, 1, "dropped")
	})
}

// A login may end while the program and its provider are starting: its tokens are
// revoked once the provider is found.
func TestRevokeBeforeDiscovery(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		document := p.responses[discoveryPath]
		p.on(revokePath, respond(200, ``))
		var l log
		p.on(discoveryPath, respond(503, `{}`))
		c := p.newClient(t, l.to)
		synctest.Wait()
		l.wantWarnings(t, 1, "not found yet")
		c.Revoke(numbered(1))
		time.Sleep(11 * time.Second)
		l.wantWarnings(t, 1, "provider not discovered yet")

		c.Revoke(numbered(2))
		synctest.Wait()
		p.on(discoveryPath, document)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := p.one(t, revokePath).form.Get("token"); got != "refresh-2" {
			t.Errorf("token %q revoked, want refresh-2", got)
		}
		l.wantWarnings(t, 0)
	})
}

// A stopping program still gives a provider that is starting a moment.
func TestCloseBeforeDiscovery(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		document := p.responses[discoveryPath]
		p.on(revokePath, respond(200, ``))
		c := p.unready(t)
		synctest.Wait()
		c.Revoke(numbered(1))
		p.on(discoveryPath, document)
		wantClose(t, c, 100*time.Millisecond) // until the second attempt
		p.one(t, revokePath)
	})
}

// Requests that end sessions, and the stop of the program, come at any time.
func TestRevokeWhileClosing(t *testing.T) {
	p := newProvider(t)
	p.on(revokePath, respond(200, ``))
	var l log
	c := p.client(t, l.to)
	var sent atomic.Int64
	done := make(chan struct{})
	for range 4 {
		go func() {
			for range 50 {
				c.Revoke(numbered(int(sent.Add(1))))
			}
			done <- struct{}{}
		}()
	}
	c.Close()
	for range 4 {
		<-done
	}
	if got := len(p.requests(revokePath)) + len(l.warnings()); got != 200 {
		t.Errorf("%d tokens revoked or reported, want 200", got)
	}
}
