package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"changebank/kickstart"
)

// replicaPair is two replicas, a laptop's browser on the second, and a phone's
// on the first on which richard is logged in.
func replicaPair(t *testing.T, settings ...string) (r *replicas, laptop, phone *browser) {
	t.Helper()
	r = startReplicas(t, 2, kickstart.JSON, settings...)
	laptop, phone = r.browser(t).onReplica(1), r.browser(t).onReplica(0)
	phone.logIn(richard)
	return r, laptop, phone
}

// The replica that polls is killed in the middle of a poll. The laptop's page is
// at another, which takes over when the lease has expired.
func TestPollerKilled(t *testing.T) {
	t.Parallel()
	r, laptop, phone := replicaPair(t)
	link := laptop.code()
	r.polls.lasts(time.Minute, false)
	phone.approve(link) // nobody looks at the second replica, so the first one polls
	r.polls.await(t, 1)
	r.polls.lasts(0, false)
	r.kill(0)
	stream := laptop.events()
	stream.wantEventually("approved")
	laptop.claim(richard)
	phone.wantPerson(richard) // on the other replica
	r.wantNoFaults()
}

// The replica that polls is killed after the provider has given out the tokens,
// and before it could save them. Nobody can redeem the code again, so the page
// says how to start again, and then that works.
func TestKilledBeforeSaving(t *testing.T) {
	t.Parallel()
	r, laptop, phone := replicaPair(t)
	link := laptop.code()
	r.polls.lasts(time.Minute, true)
	tokens := r.fusion.RefreshTokens()
	phone.approve(link)
	phone.await("given out", func() string {
		if r.fusion.RefreshTokens() > tokens {
			return "given out"
		}
		return "not yet"
	})
	r.polls.lasts(0, false)
	r.kill(0)
	laptop.events().wantEventually("failed")
	p := laptop.get(qrPage)
	if p.state() != "failed" || p.find("form", "new-code") == nil {
		t.Fatalf("after tokens that were lost the laptop's page is %v, want failed, with a button for a new code", p)
	}
	phone.approve(laptop.submit(p, "new-code", nil).attr("verification-link", "href"))
	laptop.claim(richard)
}

// A replica is paused in the middle of a poll, for longer than its lease, and
// then continues. By then another has found that the code was redeemed, and has
// ended the login. That stays so, and nobody is logged in.
func TestPausedPoller(t *testing.T) {
	t.Parallel()
	r, laptop, phone := replicaPair(t)
	link := laptop.code()
	tokens := r.fusion.RefreshTokens()
	r.polls.lasts(2*time.Second, false)
	phone.approve(link)
	r.polls.await(t, 1)
	r.signal(0, sigStop)
	laptop.events().wantEventually("failed")
	r.signal(0, sigCont)
	// Either its request has timed out by now, or it gets the tokens, and revokes
	// them.
	phone.await("given up", func() string {
		if strings.Contains(r.all[0].log.String(), "poll failed") || r.fusion.RefreshTokens() == tokens {
			return "given up"
		}
		return "not yet"
	})
	if p := laptop.get(qrPage); p.state() != "failed" {
		t.Errorf("after the paused replica continued, the laptop's page is %v, want failed", p)
	}
	laptop.wantNoLogin("after the paused replica continued")
	phone.wantPerson(richard)
}

// The replica of the laptop's event stream dies. The browser reconnects, to the
// other one.
func TestStreamKilled(t *testing.T) {
	t.Parallel()
	r, laptop, phone := replicaPair(t)
	link := laptop.code()
	stream := laptop.events()
	stream.want("waiting")
	question := phone.get(link)
	stream.want("opened")
	r.kill(1)
	for range stream.states { // until it ends
	}
	again := laptop.events()
	again.want("opened")
	phone.answer(question, "yes")
	again.wantEventually("approved")
	laptop.claim(richard)
}

// Without Redis, pages that need no session are served, and the others say what
// is wrong. Nothing leaks meanwhile, and everything recovers by itself.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct{ begin, end func(*replicas) }{
		"killed":    {func(r *replicas) { r.redis.Kill() }, func(r *replicas) { r.redis.Restart() }},
		"paused":    {func(r *replicas) { r.redis.Pause() }, func(r *replicas) { r.redis.Resume() }},
		"read-only": {func(r *replicas) { r.redis.Do("REPLICAOF", "127.0.0.1", "1") }, func(r *replicas) { r.redis.Do("REPLICAOF", "NO", "ONE") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, laptop, phone := replicaPair(t)
			link := laptop.code()
			question := phone.get(link)
			stream := laptop.events()
			stream.want("opened")
			files := r.openFiles()
			outage.begin(r)
			visitor := r.browser(t)
			for i := range r.all {
				visitor.onReplica(i).await("503", func() string { return fmt.Sprint(visitor.get("/readyz").Status) })
			}
			for path, want := range map[string]int{"/": http.StatusOK, "/healthz": http.StatusOK, "/reload": http.StatusOK, qrPage: http.StatusServiceUnavailable} {
				if p := visitor.get(path); p.Status != want {
					t.Errorf("without the store, %s: %v, want %d", path, p, want)
				}
			}
			for range 20 {
				if p := phone.get("/devices"); p.Status != http.StatusServiceUnavailable && (name != "read-only" || p.Status != http.StatusOK) {
					t.Errorf("without the store, a page that needs a session: %v, want 503", p)
				}
			}
			if got := r.openFiles(); got > files+60 {
				t.Errorf("%d files open, %d before", got, files)
			}
			outage.end(r)
			for i := range r.all {
				visitor.onReplica(i).await("200", func() string { return fmt.Sprint(visitor.get("/readyz").Status) })
			}
			phone.wantPerson(richard)
			phone.answer(question, "yes")
			laptop.claim(richard)
			phone.await("few files", func() string {
				if got := r.openFiles(); got > files+20 {
					return fmt.Sprintf("%d files open, %d before", got, files)
				}
				return "few files"
			})
		})
	}
}

// A Redis that lost its memory has logged everyone out. The program keeps
// running, and a login can start again.
func TestRedisEmptied(t *testing.T) {
	t.Parallel()
	r, laptop, phone := replicaPair(t)
	link := laptop.code()
	laptop.events().want("waiting")
	r.redis.Do("FLUSHALL")
	laptop.wantState("waiting") // of a new code
	if p := phone.get("/account"); p.person() != "" || p.Status != http.StatusOK {
		t.Errorf("the phone's session has survived: %v", p)
	}
	phone.logIn(richard)
	if p := phone.get(link); p.Status != http.StatusNotFound {
		t.Errorf("the code from before is answered with %v, want 404", p)
	}
	laptop.logInWith(phone)
}

// A roll-out: each replica is stopped and started in turn, while people log in.
// Nobody notices.
func TestRollOut(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 3, kickstart.JSON, "SHUTDOWN_DELAY=1s", "LIMIT_CODES_PER_ADDRESS=1000")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range r.all {
			r.stop(i)
			r.start(i)
		}
	}()
	logins := 0
	phone := r.browser(t)
	phone.logIn(richard)
	for rolling := true; rolling || logins < 3; logins++ {
		laptop := r.browser(t)
		phone.approve(laptop.code())
		laptop.claim(richard)
		laptop.logOut()
		select {
		case <-done:
			rolling = false
		default:
		}
	}
	t.Logf("%d logins during the roll-out", logins)
	r.wantNoFaults()
	for i, b := range r.all {
		if strings.Contains(b.log.String(), "requests cut off") {
			t.Errorf("replica %d cut requests off", i)
		}
	}
}

// During a roll-out an open laptop's page moves to another replica, and says
// nothing about it.
func TestRollOutInBrowser(t *testing.T) {
	t.Parallel()
	laptop, _ := windows(t, startChromium(t))
	r := startReplicas(t, 2, kickstart.JSON, "SHUTDOWN_DELAY=1s")
	phone := r.browser(t)
	phone.logIn(richard)
	link := laptop.showCode(r.bank)
	laptop.run(`window.notes = []; new MutationObserver(() => {
		const note = document.getElementById("login-note").textContent;
		if (note) window.notes.push(note);
	}).observe(document.body, { childList: true, subtree: true, characterData: true })`)
	for i := range r.all {
		r.stop(i)
		r.start(i)
	}
	question := phone.get(link)
	laptop.awaitState("opened")
	if notes := evaluate[[]string](laptop, `window.notes`); len(notes) > 0 {
		t.Errorf("during the roll-out the page said %q", notes)
	}
	phone.answer(question, "yes")
	laptop.awaitPerson(richard)
}
