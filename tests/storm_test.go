package tests

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"changebank/kickstart"
)

var stormLogins = flag.Int("storm", 100, "how many logins the storm over three replicas has")

const (
	stormPeople = 24
	patience    = 4 * time.Minute // with one login of the storm
)

// The storm: many people log in at once, over three replicas. Every second one
// of these is killed and started again, and Redis is killed and started again
// once. Every login completes as the person who approved, or its page says
// plainly what to do. No code is redeemed twice, and none is polled too fast.
func TestStorm(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 3, crowd(t, stormPeople), "LIMIT_CODES_PER_ADDRESS=1000000")
	var phones []*browser
	for i := range stormPeople {
		phone := r.browser(t)
		phone.logIn(personOf(i))
		phones = append(phones, phone)
	}

	ctx, stop := context.WithCancel(t.Context())
	var weather sync.WaitGroup
	weather.Go(func() { r.storm(ctx) })
	var left, completed, gaveUp atomic.Int64
	left.Store(int64(*stormLogins))
	var people sync.WaitGroup
	for i, phone := range phones {
		people.Go(func() {
			for left.Add(-1) >= 0 {
				if t.Failed() {
					return
				}
				// On the phone's network or elsewhere: then a number is asked for.
				laptop := r.browser(t).at([]string{homeAddr, awayAddr}[rand.N(2)])
				if weathered(laptop, phone.at(homeAddr), personOf(i)) {
					completed.Add(1)
				} else {
					gaveUp.Add(1)
				}
			}
		})
	}
	people.Wait()
	stop()
	weather.Wait()

	t.Logf("%d logins completed, %d ended with a sentence that says to start again", completed.Load(), gaveUp.Load())
	if n := completed.Load(); n < int64(*stormLogins)*8/10 {
		t.Errorf("%d of %d logins completed; want most", n, *stormLogins)
	}
	phones[0].await("no connection is left over", func() string {
		// Each keeps connections to Redis and the provider, but none for a browser.
		if n := r.openFiles(); n > 100*len(r.all) {
			return fmt.Sprintf("%d files are open", n)
		}
		return "no connection is left over"
	})
	for _, key := range r.redis.Do("KEYS", "*").([]any) {
		if r.redis.Do("PTTL", key).(int64) < 0 && !strings.HasSuffix(key.(string), "lookup-key") {
			t.Errorf("%s never expires", key)
		}
	}
}

// storm kills and starts one replica a second until ctx ends, and Redis once.
func (r *replicas) storm(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n == 3 {
			r.redis.Kill()
			r.redis.Restart()
		}
		i := rand.N(len(r.all))
		r.kill(i)
		r.start(i)
	}
}

// crowd is the kickstart with n more people.
func crowd(t *testing.T, n int) []byte {
	t.Helper()
	var setup map[string]any
	if err := json.Unmarshal(kickstart.JSON, &setup); err != nil {
		t.Fatal(err)
	}
	requests := setup["requests"].([]any)
	for i := range n {
		requests = append(requests, map[string]any{
			"method": "POST", "url": fmt.Sprintf("/api/user/registration/6c9d1a52-61a5-4d0a-9a55-1f6f1f0b%04d", i), "tenantId": "#{defaultTenantId}",
			"body": map[string]any{
				"user":         map[string]any{"email": personOf(i), "password": "#{userPassword}"},
				"registration": map[string]any{"applicationId": "#{applicationId}"},
			},
		})
	}
	setup["requests"] = requests
	text, err := json.Marshal(setup)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func personOf(i int) string { return fmt.Sprintf("person%d@example.com", i) }

// weathered logs the laptop in with the phone, and repeats what fails, as people
// do: they reload a page that did not come, and press the button again. It
// reports whether the login completed; else its page said what to do.
func weathered(laptop, phone *browser, person string) bool {
	t := laptop.t
	deadline := time.Now().Add(patience)
	// until repeats a step until done says so of its page.
	until := func(what string, step func() page, done func(page) bool) page {
		for {
			p := step()
			if done(p) {
				return p
			}
			if p.person() != "" && p.person() != person {
				t.Errorf("%s: logged in as %s, approved by %s", what, p.person(), person)
			}
			if time.Now().After(deadline) {
				t.Errorf("%s: nothing for %v but %v", what, patience, p)
				return p
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	ended := func(p page) bool {
		return p.state() == "failed" || p.state() == "expired" || p.state() == "denied" || p.state() == "cancelled"
	}
	code := until("a code", func() page { return laptop.get(qrPage) }, func(p page) bool { return p.state() != "" })
	link := code.attr("verification-link", "href")
	question := func() page { return phone.get(link) }
	hasState := func(p page) bool { return p.state() != "" }
	// It asks again after the provider's answer, or the page with it, was lost.
	approve := func() page {
		p := until("the question", question, hasState)
		for strings.Contains(p.Body, `value="yes"`) && time.Now().Before(deadline) {
			if p = phone.answer(p, "yes"); !hasState(p) {
				p = until("the question again", question, hasState)
			}
		}
		return p
	}
	approve()
	number, next := "", qrPage
	last := until("the account", func() page {
		p := laptop.get(next)
		if next = qrPage; p.URL.Path == "/reload" { // the answer with the cookie was lost
			next = "/reload"
		}
		switch {
		case p.state() == "number" && number == "":
			number = approve().text("number") // "" of a page that did not come
		case p.state() == "number":
			p = laptop.post(qrPage+"/confirm", url.Values{"number": {number}})
		}
		return p
	}, func(p page) bool { return p.person() != "" || ended(p) })
	switch {
	case last.person() == person:
		return true
	case ended(last) && last.find("form", "new-code") != nil && last.text("login-words") != "":
		return false
	}
	t.Errorf("a login ended with %v", last)
	return false
}
