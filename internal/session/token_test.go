package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

func TestCanAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			name            string
			person          idp.Person
			access, refresh string
			left            time.Duration
			want            bool
		}{
			{"both tokens", richard, "access", "refresh", time.Hour, true},
			{"an old one that can be refreshed", richard, "access", "refresh", -time.Hour, true},
			{"a refresh token alone", richard, "", "refresh", 0, true},
			{"an hour left", richard, "access", "", time.Hour, true},
			{"11 s left", richard, "access", "", 11 * time.Second, true},
			// It might expire on its way to the provider.
			{"10 s left", richard, "access", "", 10 * time.Second, false},
			{"at its end", richard, "access", "", 0, false},
			{"past its end", richard, "access", "", -time.Hour, false},
			{"no token", richard, "", "", time.Hour, false},
			{"nobody", idp.Person{}, "access", "refresh", time.Hour, false},
		}
		for _, tt := range tests {
			s := session.Session{Person: tt.person, Tokens: idp.Tokens{Access: tt.access, Refresh: tt.refresh, Expires: time.Now().Add(tt.left)}}
			if got := s.CanAct(); got != tt.want {
				t.Errorf("%s: CanAct() = %t, want %t", tt.name, got, tt.want)
			}
		}
		pending := session.Session{Person: richard, Pending: true, Tokens: tokensOf("richard")}
		if pending.CanAct() || (session.Session{}).CanAct() {
			t.Error("CanAct() of a pending or the zero Session = true, want false")
		}
	})
}

// TestTokenExpires: only a token that is about to expire is refreshed.
func TestTokenExpires(t *testing.T) {
	tests := []struct {
		name string
		left time.Duration
		want int // refreshings
	}{
		{"an hour left", time.Hour, 0},
		{"just over 10 s left", 10*time.Second + time.Nanosecond, 0},
		{"10 s left", 10 * time.Second, 1},
		{"at its end", 0, 1},
		{"past its end", -time.Hour, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bearing(t, tt.left, func(t *testing.T, b *bearer) {
				b.idp.will(answer{tokens: tokens(1)})
				want := tokens(tt.want)
				b.wantToken(b.Manager, want, "Token")
				b.wantToken(b.Manager, want, "Token, once more")
				b.wantTokens(want)
				if n := b.idp.count(); n != tt.want {
					t.Errorf("the tokens were refreshed %d times, want %d", n, tt.want)
				}
			})
		})
	}
}

// TestTokenMissing: there is a refresh token, but no access token.
func TestTokenMissing(t *testing.T) {
	bearing(t, time.Hour, func(t *testing.T, b *bearer) {
		b.idp.will(answer{tokens: tokens(1)})
		b.wantToken(b.Manager, tokens(1), "Token")
	}, func(first *idp.Tokens) { first.Access = "" })
}

// TestTokenOnce: a refresh token may be good for one use only, and a second
// use may end the whole login.
func TestTokenOnce(t *testing.T) {
	bearing(t, 10*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{after: 3 * time.Second, tokens: tokens(1)})
		managers := []*session.Manager{b.Manager, b.replica()} // two replicas
		begun := time.Now()
		for i, got := range b.askAtOnce(t.Context(), 50, managers...) {
			if got.err != nil || got.access != tokens(1).Access {
				t.Errorf("number %d: Token = %q, %v; want %q", i, got.access, got.err, tokens(1).Access)
			}
			if took := got.at.Sub(begun); took != 3*time.Second {
				t.Errorf("number %d got its token after %v, want 3s", i, took)
			}
		}
		b.wantTokens(tokens(1))
		// A request that loaded the session before still has the old token.
		for _, m := range managers {
			b.wantToken(m, tokens(1), "Token of an older Session")
		}
		if n := b.idp.count(); n != 1 {
			t.Errorf("the tokens were refreshed %d times, want once", n)
		}
	})
}

// TestTokenRotation: the latest tokens of the provider are stored, all of them.
func TestTokenRotation(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		for i := 1; i <= 3; i++ {
			b.idp.will(answer{after: time.Second, tokens: tokens(i)})
			b.wantToken(b.Manager, tokens(i), fmt.Sprint("refreshing ", i))
			b.wantTokens(tokens(i))
			used := b.idp.asked[i-1]
			want := tokens(i - 1)
			if used.Refresh != want.Refresh || used.ID != want.ID || used.RefreshID != want.RefreshID {
				t.Errorf("refreshing %d used the tokens %+v, want %+v", i, used, want)
			}
			time.Sleep(time.Hour)
		}
	})
}

// refused wraps an error as [idp.Client.Refresh] does.
func refused(err error) error { return fmt.Errorf("idp: refresh: %w", err) }

// TestTokenEnded: a person who was locked out at the provider is logged out here.
func TestTokenEnded(t *testing.T) {
	for name, err := range map[string]error{
		"refused":                 refused(&idp.Error{Status: 400, Code: "invalid_grant"}),
		"refused with 401":        refused(&idp.Error{Status: 401, Code: "invalid_grant"}),
		"another person's tokens": refused(fmt.Errorf("%w: it is another person's", idp.ErrInvalidToken)),
	} {
		t.Run(name, func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				b.idp.will(answer{after: 3 * time.Second, err: err})
				begun, ended := time.Now(), 0
				for i, got := range b.askAtOnce(t.Context(), 10, b.Manager, b.replica()) {
					switch {
					case got.access != "":
						t.Errorf("number %d: Token = %q, %v; want none", i, got.access, got.err)
					case errors.Is(got.err, session.ErrLoginEnded):
						ended++
					case !errors.Is(got.err, session.ErrNoToken):
						t.Errorf("number %d: Token: %v, want %v or %v", i, got.err, session.ErrLoginEnded, session.ErrNoToken)
					}
					if took := got.at.Sub(begun); took != 3*time.Second {
						t.Errorf("number %d was told after %v, want 3s", i, took)
					}
				}
				if ended == 0 {
					t.Errorf("nobody got %v", session.ErrLoginEnded)
				}
				b.laptop.wantNone(b.Manager, "after the provider has ended the login")
				b.laptop.wantWasEnded(b.Manager, session.EndedByProvider, "by a refused refresh")
				b.wantNoToken(b.Manager, session.ErrNoToken, "Token after that")
				if n := b.idp.count(); n != 1 {
					t.Errorf("the provider was asked %d times, want once", n)
				}
				if text := b.logged(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "person.subject="+richard.Subject) {
					t.Errorf("the log has\n%s, want a warning that names the person", text)
				}
			})
		})
	}
}

// TestTokenFaults: nobody is logged out because the provider, or the way to
// it, has a fault.
func TestTokenFaults(t *testing.T) {
	for name, err := range map[string]error{
		"network":                        errors.New("connection refused"),
		"timeout":                        context.DeadlineExceeded,
		"not discovered":                 idp.ErrNotReady,
		"503":                            &idp.Error{Status: 503},
		"503 with the code of a refusal": &idp.Error{Status: 503, Code: "invalid_grant"},
		"400 of a proxy":                 &idp.Error{Status: 400},
		"404 of a proxy":                 &idp.Error{Status: 404},
		"wrong client":                   &idp.Error{Status: 401, Code: "invalid_client"},
		"bad request":                    &idp.Error{Status: 400, Code: "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				err := refused(err)
				b.idp.will(answer{after: time.Second, err: err}, answer{tokens: tokens(1)})
				b.wantNoToken(b.Manager, err, "Token")
				b.wantTokens(tokens(0)) // and the lease is released
				b.laptop.wantPerson(b.Manager, richard, "after the fault")
				again := time.Now()
				b.wantToken(b.replica(), tokens(1), "next Token, in another process")
				if took := time.Since(again); took != 0 {
					t.Errorf("the next Token waited for %v, want not at all", took)
				}
				b.wantTokens(tokens(1))
			})
		})
	}
}

// TestTokenFaultWithOthers: a fault is reported to the one request that asked.
// Those that waited for its answer try themselves, one after the other.
func TestTokenFaultWithOthers(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		fault := refused(errors.New("connection reset"))
		b.idp.will(answer{after: 2 * time.Second, err: fault}, answer{after: 2 * time.Second, tokens: tokens(1)})
		faults := 0
		for i, got := range b.askAtOnce(t.Context(), 20, b.Manager, b.replica()) {
			switch {
			case errors.Is(got.err, fault) && got.access == "":
				faults++
			case got.err != nil || got.access != tokens(1).Access:
				t.Errorf("number %d: Token = %q, %v; want %q", i, got.access, got.err, tokens(1).Access)
			}
		}
		if faults != 1 || b.idp.count() != 2 {
			t.Errorf("%d got the fault, and the provider was asked %d times; want 1 and 2", faults, b.idp.count())
		}
		b.wantTokens(tokens(1))
	})
}

// TestTokenWithoutRefresh: not every provider gives refresh tokens. Then the
// access token is used until it expires, and the person stays logged in.
func TestTokenWithoutRefresh(t *testing.T) {
	for left, want := range map[time.Duration]bool{
		time.Hour: true, 11 * time.Second: true, 10 * time.Second: true, time.Second: true, time.Nanosecond: true,
		0: false, -time.Second: false, -time.Hour: false,
	} {
		t.Run(left.String(), func(t *testing.T) {
			bearing(t, left, func(t *testing.T, b *bearer) {
				if want {
					b.wantToken(b.Manager, tokens(0), "Token")
				} else {
					b.wantNoToken(b.Manager, session.ErrNoToken, "Token")
				}
				b.laptop.wantPerson(b.Manager, richard, "after Token")
			}, func(first *idp.Tokens) { first.Refresh = "" })
		})
	}
}
