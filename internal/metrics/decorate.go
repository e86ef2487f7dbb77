package metrics

import (
	"context"
	"errors"
	"strconv"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

// ProviderCall counts a request to the provider. Status 0: no answer.
func (m *Metrics) ProviderCall(call string, status int, took time.Duration) {
	answer := "none"
	if status > 0 {
		answer = strconv.Itoa(status/100) + "xx"
	}
	m.provider.WithLabelValues(known(calls, call), answer).Observe(took.Seconds())
}

// Refresh returns a function that counts the refreshes of another one.
func (m *Metrics) Refresh(refresh session.RefreshFunc) session.RefreshFunc {
	return func(ctx context.Context, old idp.Tokens, person idp.Person) (idp.Tokens, error) {
		tokens, err := refresh(ctx, old, person)
		outcome := "failed"
		switch refusal, ok := errors.AsType[*idp.Error](err); {
		case err == nil:
			outcome = "ok"
		case ok && refusal.Final() && refusal.Code == "invalid_grant":
			outcome = "ended" // the login, by the provider
		}
		m.refreshes.WithLabelValues(outcome).Inc()
		return tokens, err
	}
}

// Provider returns a provider that counts the polls of another one.
func (m *Metrics) Provider(p devicegrant.Provider) devicegrant.Provider { return provider{p, m} }

type provider struct {
	devicegrant.Provider
	metrics *Metrics
}

// PollDevice implements [devicegrant.Provider].
func (p provider) PollDevice(ctx context.Context, deviceCode string) (idp.Tokens, error) {
	tokens, err := p.Provider.PollDevice(ctx, deviceCode)
	p.metrics.polls.WithLabelValues(pollAnswer(err)).Inc()
	return tokens, err
}

var pollAnswers = []string{"tokens", "pending", "slow down", "denied", "expired", "refused", "unusable", "none"}

func pollAnswer(err error) string {
	refusal, ok := errors.AsType[*idp.Error](err)
	switch {
	case err == nil:
		return "tokens"
	case !ok:
		return "none"
	case !refusal.Final():
		return "unusable"
	}
	switch refusal.Code {
	case idp.CodePending:
		return "pending"
	case idp.CodeSlowDown:
		return "slow down"
	case idp.CodeDenied, idp.CodeDeclined:
		return "denied"
	case idp.CodeExpired:
		return "expired"
	}
	return "refused"
}

// Store returns a backend that measures another one.
func (m *Metrics) Store(b store.Backend) store.Backend { return backend{b, m} }

type backend struct {
	store.Backend
	metrics *Metrics
}

// Get implements [store.Backend].
func (b backend) Get(ctx context.Context, key string) ([]byte, error) {
	began := time.Now()
	value, err := b.Backend.Get(ctx, key)
	b.done("get", began, err)
	return value, err
}

// Swap implements [store.Backend].
func (b backend) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	began := time.Now()
	swapped, err := b.Backend.Swap(ctx, writes...)
	if err == nil && !swapped {
		err = store.ErrConflict
	}
	b.done("swap", began, err)
	if errors.Is(err, store.ErrConflict) {
		err = nil
	}
	return swapped, err
}

// Ping implements [store.Backend].
func (b backend) Ping(ctx context.Context) error {
	began := time.Now()
	err := b.Backend.Ping(ctx)
	b.done("ping", began, err)
	return err
}

func (b backend) done(operation string, began time.Time, err error) {
	outcome := "error"
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, store.ErrConflict):
		outcome = "conflict"
	case errors.Is(err, context.Canceled):
		outcome = "canceled" // the browser has left
	}
	b.metrics.storeAccess.WithLabelValues(operation, outcome).Observe(time.Since(began).Seconds())
}
