package devicegrant

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/store"
)

const limitWindow = 10 * time.Minute

// maxCodes is how many user codes are tried when the provider gives out one
// that another live attempt has.
const maxCodes = 5

// Start begins an attempt for a laptop. Its ID belongs in the laptop's cookie.
// A [*limit.TooManyError] says that a limit is reached.
func (m *Manager) Start(ctx context.Context, laptop browser.Browser) (Attempt, error) {
	ref := rand.Text()[:8]
	if err := m.allowStart(ctx, ref, laptop); err != nil {
		if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
			m.logRefused(tooMany.Rule, "laptop", laptop, "wait", tooMany.Wait)
		}
		return Attempt{}, err
	}
	var a Attempt
	err := store.ErrExists
	for tries := 0; errors.Is(err, store.ErrExists) && tries < maxCodes; tries++ {
		a, err = m.start(ctx, ref, laptop)
	}
	if errors.Is(err, store.ErrExists) {
		err = fmt.Errorf("%w: every user code is taken: %w", ErrNoCode, err)
	}
	if err != nil {
		m.live.remove(ref)
	}
	return a, err
}

func (m *Manager) codesRule() limit.Rule {
	return limit.Rule{Name: "new codes for one address", N: m.cfg.Limits.CodesPerAddress, Window: limitWindow}
}

// allowStart counts a new code and takes a place among the live attempts.
func (m *Manager) allowStart(ctx context.Context, ref string, laptop browser.Browser) error {
	if !m.live.add(ref, time.Now().Add(m.cfg.CodeLifetime)) {
		return &limit.TooManyError{Rule: "live attempts", Wait: liveWait}
	}
	err := m.limiter.AllowAddr(ctx, m.codesRule(), laptop.Addr, nil)
	if err != nil {
		m.live.remove(ref)
	}
	return err
}

func (m *Manager) start(ctx context.Context, ref string, laptop browser.Browser) (Attempt, error) {
	// Asked to the end even if the browser leaves: a client that always leaves
	// early would otherwise start codes without paying for one.
	device, err := m.cfg.Provider.StartDevice(context.WithoutCancel(ctx))
	if err != nil {
		if refusal, ok := errors.AsType[*idp.Error](err); !ok || refusal.Status >= 500 { // not answered
			m.limiter.RefundAddr(ctx, m.codesRule(), laptop.Addr)
		}
		return Attempt{}, fmt.Errorf("%w: %w", ErrNoCode, err)
	}
	if Fold(device.User) == "" {
		return Attempt{}, fmt.Errorf("%w: the user code %.20q cannot be typed", ErrNoCode, device.User)
	}
	providerPage, err := m.isProviderPage(device.URI)
	if err != nil {
		return Attempt{}, err
	}
	if providerPage && m.cfg.ConfirmNumber == NumberAlways {
		return Attempt{}, ErrNoNumber
	}
	now := time.Now()
	r := record{
		Attempt: Attempt{
			Ref:          ref,
			State:        Waiting,
			UserCode:     device.User,
			URI:          device.URI,
			URIComplete:  device.URIComplete,
			ProviderPage: providerPage,
			Started:      now,
			Expires:      earlier(now.Add(m.cfg.CodeLifetime), device.Expires),
		},
		Secret: rand.Text(),
		Device: device,
	}
	r.moveLaptop(laptop)
	if providerPage {
		r.Expires = device.Expires // nobody tells us when it is opened
		r.Due = now.Add(r.pace())  // the first poll comes after one interval
	}
	code := Fold(device.User)
	if err := m.attempts.CreateAs(ctx, code, r); err != nil {
		return Attempt{}, err
	}
	m.logStep("started", r.Attempt)
	return r.seen(idOf(code, r.Secret)), nil
}

// isProviderPage reports whether the verification URI is the provider's own
// page. Our page at another address is an error: the tunnel has changed its name,
// or the provider's settings have a typo, and the phone would not reach us.
func (m *Manager) isProviderPage(uri string) (bool, error) {
	if uri == m.cfg.VerificationURI {
		return false, nil
	}
	theirs, err := url.Parse(uri)
	if err != nil {
		return false, ErrStrayPage
	}
	ours, err := url.Parse(m.cfg.VerificationURI)
	if err != nil {
		return false, err
	}
	looksLikeOurs := strings.EqualFold(theirs.Hostname(), ours.Hostname()) ||
		strings.EqualFold(strings.TrimRight(theirs.Path, "/"), ours.Path)
	if looksLikeOurs && !m.cfg.Provider.Owns(uri) {
		return false, ErrStrayPage
	}
	m.warnOnce.Do(func() {
		m.log.Warn("people approve on the provider's own page, which does not show them which laptop is asking; "+
			"if the provider allows it, set its verification URI to ours", "theirs", uri, "ours", m.cfg.VerificationURI)
	})
	return true, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
