package flows

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/cookies"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/store"
	"changebank/internal/teststore"
)

const fallback = "/account"

// newStore returns an empty store, and the cookies of the application at appURL.
func newStore(t testing.TB, appURL string) (*store.Store, *cookies.Jar) {
	t.Helper()
	kept := teststore.In(t, teststore.File(t))
	jar, err := cookies.New(appURL, kept.DeriveKeys)
	if err != nil {
		t.Fatal(err)
	}
	return kept, jar
}

// flowTest is a browser with its cookies, and the flows of an application.
type flowTest struct {
	*testing.T
	Flows
	jar map[string]string
}

// withFlows runs a test in a bubble, in which time passes only while it waits.
func withFlows(t *testing.T, test func(f *flowTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		kept, jar := newStore(t, "https://bank.example")
		test(&flowTest{t, New(jar, kept, fallback), make(map[string]string)})
	})
}

// exchange runs one request of the browser and keeps the cookies of the answer.
func (f *flowTest) exchange(handle func(w http.ResponseWriter, r *http.Request)) {
	r, w := httptest.NewRequestWithContext(f.Context(), http.MethodGet, "/", nil), httptest.NewRecorder()
	for name, value := range f.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	handle(w, r)
	for _, cookie := range w.Result().Cookies() {
		if cookie.MaxAge < 0 {
			delete(f.jar, cookie.Name)
		} else {
			f.jar[cookie.Name] = cookie.Value
		}
	}
}

// start begins a login and returns its state.
func (f *flowTest) start(returnTo string) (state string) {
	f.Helper()
	state, err := f.NewState(returnTo)
	if err != nil {
		f.Fatal(err)
	}
	flow := idp.NewFlow()
	flow.Subject = "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a02"
	f.exchange(func(w http.ResponseWriter, r *http.Request) {
		if err := f.Begin(w, r, state, flow); err != nil {
			f.Fatal(err)
		}
	})
	return state
}

// finish takes the login with that state.
func (f *flowTest) finish(state string) (flow idp.Flow, err error) {
	f.exchange(func(w http.ResponseWriter, r *http.Request) {
		id, _ := f.ParseState(state)
		flow, err = f.Take(w, r, id, "203.0.113.7")
	})
	return flow, err
}

func TestFlowIsUsedOnce(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		state := f.start("/account")
		stolen := maps.Clone(f.jar)
		flow, err := f.finish(state)
		if err != nil || flow.Nonce == "" || flow.Verifier == "" || flow.Subject == "" || time.Since(flow.Started) > time.Second {
			t.Errorf("take: %+v, %v", flow, err)
		}
		if len(f.jar) != 0 {
			t.Errorf("the cookie is still there after its callback: %v", f.jar)
		}
		f.jar = stolen
		if _, err := f.finish(state); !errors.Is(err, ErrNone) {
			t.Errorf("the same cookie once more: %v, want %v", err, ErrNone)
		}
	})
}

// No moment is left between the end of the mark and that of the cookie.
func TestFlowIsUsedOnceToItsEnd(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		state := f.start("/account")
		stolen := maps.Clone(f.jar)
		if _, err := f.finish(state); err != nil {
			t.Fatal(err)
		}
		time.Sleep(flowLifetime - time.Second)
		for range 50 {
			f.jar = maps.Clone(stolen)
			if _, err := f.finish(state); !errors.Is(err, ErrNone) {
				t.Fatalf("the same cookie once more: %v, want %v", err, ErrNone)
			}
			time.Sleep(time.Second / 10)
		}
	})
}

func TestFlowNeedsItsBrowser(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		state := f.start("/account")
		victim := &flowTest{f.T, f.Flows, make(map[string]string)}
		for _, forged := range []string{state, "", "x", state[:8], strings.Repeat("A", 26)} {
			if _, err := victim.finish(forged); !errors.Is(err, ErrNone) {
				t.Errorf("state %q in a browser that started nothing: %v, want %v", forged, err, ErrNone)
			}
		}
		own := victim.start("/account")
		if _, err := victim.finish(own[:8] + state[8:]); !errors.Is(err, ErrNone) {
			t.Errorf("a state that names the browser's own cookie: %v, want %v", err, ErrNone)
		}
	})
}

func TestFlowExpires(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		state := f.start("/devices")
		time.Sleep(flowLifetime + 2*time.Second)
		if _, err := f.finish(state); !errors.Is(err, ErrNone) {
			t.Errorf("a late callback: %v, want %v", err, ErrNone)
		}
		if _, returnTo := f.ParseState(state); returnTo != "/devices" {
			t.Errorf("a late callback leads to %q, want back to /devices", returnTo)
		}
	})
}

// The headers of a browser with several logins in progress stay short enough
// for the 8 KB of common proxies.
func TestFlowsAreFewAndShort(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		longest := "/activate?user_code=" + strings.Repeat("W", maxReturnPath-len("/activate?user_code="))
		var states []string
		for range maxFlows + 1 {
			states = append(states, f.start(longest))
			time.Sleep(time.Second)
		}
		if len(f.jar) != maxFlows {
			t.Errorf("%d cookies, want %d", len(f.jar), maxFlows)
		}
		for name, value := range f.jar {
			if n := len(name) + len(value); n > 600 {
				t.Errorf("the cookie %s has %d bytes, want at most 600", name, n)
			}
		}
		if n := len(states[0]); n > 800 {
			t.Errorf("the longest state has %d bytes", n)
		}
		if state := f.start(fallback); len(state) > 40 {
			t.Errorf("a state without a return path has %d bytes", len(state))
		}
		for i, state := range states {
			_, err := f.finish(state)
			if gone := i < 2; gone != errors.Is(err, ErrNone) {
				t.Errorf("login %d of %d: %v; the oldest are to go", i+1, len(states), err)
			}
		}
	})
}

// A request with cookies that were made up costs no more than another.
func TestForgedFlowsAreCheap(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		for i := range 1500 {
			f.jar[fmt.Sprintf("__Host-changebank-login-%08d", i)] = "x"
		}
		f.start(fallback)
		if gone := 1501 - len(f.jar); gone > 100 {
			t.Errorf("%d cookies were read and deleted", gone)
		}
	})
}

// The return path comes from us: a state that was put together by someone else
// leads to the account.
func TestStateIsSealed(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		state, other := f.start("/devices"), f.start("/make-change")
		id, sealed, _ := strings.Cut(state, ".")
		otherID, _, _ := strings.Cut(other, ".")
		for _, forged := range []string{id, id + "./devices", id + "." + sealed[1:], otherID + "." + sealed} {
			if _, returnTo := f.ParseState(forged); returnTo != fallback {
				t.Errorf("%q leads to %q", forged, returnTo)
			}
		}
	})
}

// Callbacks store marks, so one address can have only so many of them.
func TestCallbacksAreLimited(t *testing.T) {
	withFlows(t, func(f *flowTest) {
		for i := range loginsPerAddress.N {
			if err := f.useOnce(f.Context(), fmt.Sprint(i), "203.0.113.7"); err != nil {
				t.Fatal(err)
			}
		}
		err := f.useOnce(f.Context(), "another", "203.0.113.7")
		if _, ok := errors.AsType[*limit.TooManyError](err); !ok {
			t.Errorf("callback %d: %v, want a refusal", loginsPerAddress.N+1, err)
		}
		if err := f.useOnce(f.Context(), "another", "198.51.100.1"); err != nil {
			t.Errorf("another address: %v", err)
		}
	})
}

func TestOwnPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"/activate?user_code=ABC", "/activate?user_code=ABC"},
		{"/", "/"},
		{"", "/account"},
		{"account", "/account"},
		{"https://evil.example/", "/account"},
		{"//evil.example/", "/account"},
		{`/\evil.example/`, "/account"},
		{`\\evil.example/`, "/account"},
		{"/\t/evil.example/", "/account"},
		{"/\n/evil.example/", "/account"},
		{"javascript:alert(1)", "/account"},
		{"///evil.example", "/account"},
		{"/%", "/account"},
		{"/" + strings.Repeat("a", 255), "/" + strings.Repeat("a", 255)},
		{"/" + strings.Repeat("a", 256), "/account"},
	} {
		if got := (Flows{fallback: fallback}).OwnPath(tt.path); got != tt.want {
			t.Errorf("OwnPath(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}
