package idp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"changebank/internal/idp"
)

// wantRefusal checks that err is an error response of the provider, and returns it.
func wantRefusal(t *testing.T, err error, status int, code string) *idp.Error {
	t.Helper()
	refused, ok := errors.AsType[*idp.Error](err)
	if !ok {
		t.Fatalf("error %v, want an *idp.Error with %d %q", err, status, code)
	}
	if refused.Status != status || refused.Code != code {
		t.Errorf("error with %d %q, want %d %q", refused.Status, refused.Code, status, code)
	}
	return refused
}

// wantFault checks that err may pass: it is neither an error response nor final.
func wantFault(t *testing.T, err error) {
	t.Helper()
	if refused, ok := errors.AsType[*idp.Error](err); err == nil || ok {
		t.Errorf("error %v (an error response: %v), want a fault", err, refused != nil)
	}
	if errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("error %v, want one that may pass", err)
	}
}

// wantFinal checks that err says that a token is invalid for good.
func wantFinal(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("error %v, want %v", err, idp.ErrInvalidToken)
	}
}

// wantShortLine checks an error that may contain a whole response of the
// provider: it must not fill a log or forge its lines.
func wantShortLine(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	if text := err.Error(); len(text) > 400 || strings.ContainsAny(text, "\r\n\t\u2028") || !utf8.ValidString(text) {
		t.Errorf("an error of %d bytes, want one short line: %.500q", len(text), text)
	}
}

// wantIn checks a time that was set by a real clock.
func wantIn(t *testing.T, name string, got time.Time, want time.Duration) {
	t.Helper()
	if left := time.Until(got); left > want+time.Second || left < want-30*time.Second {
		t.Errorf("%s in %v, want %v", name, left, want)
	}
}

// wantRequests checks how many requests there were besides discovery.
func (p *provider) wantRequests(t *testing.T, want int) {
	t.Helper()
	var paths []string
	for _, r := range p.afterDiscovery() {
		paths = append(paths, r.path)
	}
	if len(paths) != want {
		t.Errorf("requests to %q, want %d", paths, want)
	}
}

// wantUnavailable checks that err says that the provider failed for now.
func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("error %v, want one that may pass", err)
	}
	wantRefusal(t, err, http.StatusServiceUnavailable, "")
}
