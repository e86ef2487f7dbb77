package demoidp

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/config"
	"changebank/internal/teststore"
)

// guess sends the login form from an address, and returns the status and how
// long to wait.
func (w *world) guess(addr, email, password string) (status int, wait time.Duration) {
	w.t.Helper()
	browser := w.browser.Transport
	w.browser.Transport = roundTripper(func(r *http.Request) *http.Response {
		r.RemoteAddr = net.JoinHostPort(addr, "1") // which a real server replaces
		response, _ := browser.RoundTrip(r)        // never fails
		return response
	})
	defer func() { w.browser.Transport = browser }()
	_, id := w.authorize(param("prompt", "login"))
	r := w.submit(id, email, password)
	body := read(w.t, r)
	seconds, _ := strconv.Atoi(r.Header.Get("Retry-After")) // 0 if there is none
	if says := strings.Contains(body, "Try again in "+strconv.Itoa(seconds)+" seconds"); says != (r.StatusCode == http.StatusTooManyRequests) {
		w.t.Errorf("status %d with Retry-After %q, and the page says so: %v", r.StatusCode, r.Header.Get("Retry-After"), says)
	}
	return r.StatusCode, time.Duration(seconds) * time.Second
}

// wantGuess checks the answer to a password.
func (w *world) wantGuess(addr, password string, want int) (wait time.Duration) {
	w.t.Helper()
	status, wait := w.guess(addr, richard, password)
	if status != want {
		w.t.Errorf("the password %q from %s: %d, want %d", password, addr, status, want)
	}
	return wait
}

const wrong, right, tooMany = http.StatusOK, http.StatusFound, http.StatusTooManyRequests

// Where others can reach the demo provider, an address has ten tries at an
// account. Then not even the right password is accepted, until the time that the
// answer names. Its owner, elsewhere, is not locked out.
func TestGuessedPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		const guesser, owner = "2001:db8:1:2::3", "198.51.100.1"
		for range guessesFromAddress {
			w.wantGuess(guesser, "wrong", wrong)
		}
		wait := w.wantGuess(guesser, password, tooMany)
		w.wantGuess("2001:db8:1:2::4", password, tooMany) // of the same network
		w.wantGuess(owner, password, right)
		if status, _ := w.guess(guesser, erlich, password); status != right {
			t.Errorf("another account from the guesser's address: %d, want a login", status)
		}
		if wait <= 0 || wait > time.Minute {
			t.Fatalf("a wait of %v, want a minute at most", wait)
		}
		time.Sleep(wait)
		w.wantGuess(guesser, password, right)
		w.wantGuess(guesser, password, right) // the right one is not counted
		w.wantGuess(guesser, "wrong", wrong)
		w.wantGuess(guesser, "wrong", tooMany)
	})
}

// Many addresses together have more tries at an account, but not without end.
func TestGuessedPasswordFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		for i := range guessesForAccount {
			w.wantGuess("203.0.113."+strconv.Itoa(i), "wrong", wrong)
		}
		wait := w.wantGuess("198.51.100.1", password, tooMany)
		if step := guessWindow / guessesForAccount; wait <= 0 || wait > step {
			t.Fatalf("a wait of %v, want %v at most", wait, step)
		}
		time.Sleep(wait)
		w.wantGuess("198.51.100.1", password, right)
	})
}

// Guesses at one moment are counted as well.
func TestGuessesAtOnce(t *testing.T) {
	w := start(t)
	w.idp.Load().exposed = true
	ids := make([]string, 3*guessesFromAddress)
	for i := range ids {
		_, ids[i] = w.authorize()
	}
	var mu sync.Mutex
	answers := make(map[int]int)
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			r := w.submit(id, richard, "wrong")
			r.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			answers[r.StatusCode]++
		})
	}
	all.Wait()
	if answers[wrong] > guessesFromAddress || answers[wrong]+answers[tooMany] != len(ids) {
		t.Errorf("%d guesses at once were answered %v, want %d with %d at most", len(ids), answers, wrong, guessesFromAddress)
	}
}

// On this machine only, nobody else can guess.
func TestGuessesOnLoopback(t *testing.T) {
	w := start(t)
	for range 2 * guessesFromAddress {
		w.wantGuess("127.0.0.1", "wrong", wrong)
	}
	w.wantGuess("127.0.0.1", password, right)
}

// A kickstart may have passwords of its own. Where others can reach the demo
// provider, a short one keeps it from starting.
func TestShortPasswordInKickstart(t *testing.T) {
	start := func(appURL string, password config.Secret) error {
		_, _, err := New(t.Context(), &config.Config{DemoURL: "http://localhost:9011", AppURL: appURL, UserPassword: password},
			openStore(t, teststore.File(t), "0123456789abcdef0123456789abcdef"), slog.New(slog.DiscardHandler))
		return err
	}
	const public, local = "https://bank.example.com", "http://localhost:5000"
	if err := start(public, "é-eleven-ch"); err == nil || !strings.Contains(err.Error(), "richard@example.com is shorter") {
		t.Errorf("a password of 11 characters: %v, want a refusal", err)
	}
	if err := start(public, "é-twelve-cha"); err != nil {
		t.Errorf("a password of 12 characters: %v", err)
	}
	if err := start(local, "a"); err != nil {
		t.Errorf("a password of one character on this machine: %v", err)
	}
}
