package metrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// wantSeries checks that the metrics have these lines.
func wantSeries(t *testing.T, m *Metrics, lines ...string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, line := range lines {
		if !strings.Contains(w.Body.String(), "\nchangebank_"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// A word that is in no list is counted, without becoming a label.
func TestUnknownWords(t *testing.T) {
	m := New("")
	for _, word := range []string{"one", "two"} {
		m.Attempt(devicegrant.Event{Step: word, Reason: devicegrant.Reason(word)})
		m.Refused(word)
		m.Session("started", word)
		m.ProviderCall(word, 200, 0)
	}
	wantSeries(t, m,
		`qr_login_steps_total{reason="other",step="other"} 2`, `refused_total{rule="other"} 2`,
		`sessions_started_total{how="other"} 2`, `provider_request_seconds_count{answer="2xx",call="other"} 2`)
}

// fakeStore answers every call with err, and refuses every swap.
type fakeStore struct {
	store.Backend
	err error
}

func (f fakeStore) Get(context.Context, string) ([]byte, error) { return []byte("value"), f.err }

func (f fakeStore) Swap(context.Context, ...store.Write) (bool, error) {
	return false, f.err
}

func (f fakeStore) Ping(context.Context) error { return f.err }

// What a backend answers passes unchanged, and is counted.
func TestStore(t *testing.T) {
	m := New("")
	for _, err := range []error{nil, store.ErrUnavailable, context.Canceled} {
		b := m.Store(fakeStore{err: err})
		if value, got := b.Get(t.Context(), ""); string(value) != "value" || !errors.Is(got, err) {
			t.Errorf("Get = %q, %v, want value, %v", value, got, err)
		}
		if ok, got := b.Swap(t.Context()); ok || !errors.Is(got, err) {
			t.Errorf("Swap = %t, %v, want false, %v", ok, got, err)
		}
		if got := b.Ping(t.Context()); !errors.Is(got, err) {
			t.Errorf("Ping: %v, want %v", got, err)
		}
	}
	count := func(operation, outcome string) string {
		return `store_operation_seconds_count{operation="` + operation + `",outcome="` + outcome + `"} 1`
	}
	wantSeries(t, m, count("get", "ok"), count("get", "error"), count("get", "canceled"),
		count("swap", "conflict"), count("swap", "error"), count("swap", "canceled"), count("ping", "ok"), count("ping", "error"))
}

// What the provider answers is counted by what it means.
func TestAnswers(t *testing.T) {
	for want, err := range map[string]error{
		"tokens":    nil,
		"pending":   &idp.Error{Status: 400, Code: "authorization_pending"},
		"slow down": &idp.Error{Status: 429, Code: "slow_down"},
		"denied":    &idp.Error{Status: 400, Code: "access_denied"},
		"expired":   &idp.Error{Status: 400, Code: "expired_token"},
		"refused":   &idp.Error{Status: 400, Code: "invalid_grant"},
		"unusable":  &idp.Error{Status: 503, Code: "access_denied"},
		"none":      context.DeadlineExceeded,
	} {
		if got := pollAnswer(err); got != want {
			t.Errorf("%v counts as %q, want %q", err, got, want)
		}
	}
	m := New("")
	for _, err := range []error{nil, &idp.Error{Status: 400, Code: "invalid_grant"}, &idp.Error{Status: 500}} {
		refresh := m.Refresh(func(context.Context, idp.Tokens, idp.Person) (idp.Tokens, error) {
			return idp.Tokens{Access: "a"}, err
		})
		if tokens, got := refresh(t.Context(), idp.Tokens{}, idp.Person{}); tokens.Access != "a" || !errors.Is(got, err) {
			t.Errorf("a refresh gives %v, %v", tokens, got)
		}
	}
	wantSeries(t, m, `refreshes_total{outcome="ok"} 1`, `refreshes_total{outcome="ended"} 1`, `refreshes_total{outcome="failed"} 1`)
}
