package devicegrant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/idp"
)

// What the scripted provider answers unless a test changes it.
const (
	approveTime = 300 * time.Millisecond
	pollTime    = 200 * time.Millisecond
	verifyTime  = 100 * time.Millisecond

	interval  = 5 * time.Second
	expiresIn = 10 * time.Minute
	pace      = 5750 * time.Millisecond // interval and its margin
)

const (
	issuer    = "https://idp.example"
	verifyURI = "https://bank.example/activate"
)

var (
	richard = idp.Person{Issuer: issuer, Subject: "1", Email: "richard@example.com", Name: "Richard"}
	mallory = idp.Person{Issuer: issuer, Subject: "2", Email: "mallory@example.com", Name: "Mallory"}

	pending  = &idp.Error{Status: 400, Code: idp.CodePending}
	slowdown = &idp.Error{Status: 400, Code: idp.CodeSlowDown}
	spent    = &idp.Error{Status: 400, Code: "invalid_grant"}

	errForged   = fmt.Errorf("%w: the signature is wrong", idp.ErrInvalidToken)
	errKeysAway = errors.New("idp: verify: fetch the keys: 503 Service Unavailable")
)

// reply is one answer of the scripted provider.
type reply struct {
	after  time.Duration
	err    error
	person idp.Person // of Verify
}

func (r reply) wait(ctx context.Context) error {
	select {
	case <-time.After(r.after):
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// script has the answers to the first, the second … call; the last one repeats.
type script []reply

func (s script) at(call int) reply { return s[min(call, len(s)-1)] }

// provider is an identity provider that follows a script. In every test it
// complains of polls that must never be made: before the approval, two at once,
// faster than it allows, or for a device code that has been redeemed.
type provider struct {
	t *testing.T

	mu        sync.Mutex
	userCodes []string                // of the next device codes; made up when there are no more
	change    func(c *idp.DeviceCode) // of every device code
	startErr  error
	page      string // of its own, for codes whose approval it refused

	approvals, polls, verdicts script

	devices   map[string]*device // by device code
	redeemed  map[string]*device // by access token
	started   int
	approved  []string    // user codes
	polled    []time.Time // when
	verified  []idp.Tokens
	given     []idp.Tokens
	revoked   map[string]int // access tokens, by Revoke
	discarded map[string]int // access tokens, with their session

	takeover bool // a poller is paused in this test: its request stays open
	crashes  bool // a process dies in this test: the provider's answer may be lost
}

type device struct {
	user     string
	approved bool
	spent    bool
	asking   int
	last     time.Time
	interval time.Duration
}

func newProvider(t *testing.T) *provider {
	return &provider{
		t:         t,
		devices:   make(map[string]*device),
		redeemed:  make(map[string]*device),
		approvals: script{{after: approveTime}},
		polls:     script{{after: pollTime}},
		verdicts:  script{{after: verifyTime, person: richard}},
		revoked:   make(map[string]int),
		discarded: make(map[string]int),
	}
}

func (p *provider) StartDevice(context.Context) (idp.DeviceCode, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started++
	if p.startErr != nil {
		return idp.DeviceCode{}, p.startErr
	}
	user := fmt.Sprintf("WDJB-%04d", p.started)
	if len(p.userCodes) > 0 {
		user, p.userCodes = p.userCodes[0], p.userCodes[1:]
	}
	code := idp.DeviceCode{
		Device:      fmt.Sprintf("SECRET-device-%d", p.started),
		User:        user,
		URI:         verifyURI,
		URIComplete: verifyURI + "?user_code=" + user,
		Expires:     time.Now().Add(expiresIn),
		Interval:    interval,
	}
	if p.change != nil {
		p.change(&code)
	}
	p.devices[code.Device] = &device{user: user, interval: code.Interval}
	return code, nil
}

func (p *provider) ApproveDevice(ctx context.Context, userCode, access string) error {
	p.mu.Lock()
	r := p.approvals.at(len(p.approved))
	p.approved = append(p.approved, userCode)
	for _, d := range p.devices {
		d.approved = d.approved || d.user == userCode
	}
	p.mu.Unlock()
	if access != phoneToken {
		p.t.Errorf("approval with the access token %q, want the phone's", access)
	}
	return r.wait(ctx)
}

func (p *provider) PollDevice(ctx context.Context, deviceCode string) (idp.Tokens, error) {
	d, r := p.beginPoll(deviceCode)
	err := r.wait(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	d.asking--
	if r.err == slowdown {
		d.interval += 5 * time.Second
	}
	if err == nil && d.spent {
		err = spent
	}
	if err != nil {
		return idp.Tokens{}, fmt.Errorf("idp: poll: %w", err)
	}
	d.spent = true
	n := len(p.given) + 1
	tokens := idp.Tokens{
		Access:  fmt.Sprintf("SECRET-access-%d", n),
		Refresh: fmt.Sprintf("SECRET-refresh-%d", n),
		ID:      fmt.Sprintf("SECRET-id-%d", n),
		Expires: time.Now().Add(time.Hour),
	}
	p.given = append(p.given, tokens)
	p.redeemed[tokens.Access] = d
	return tokens, nil
}

// beginPoll notes a poll, and complains of it if it must never be made.
func (p *provider) beginPoll(deviceCode string) (*device, reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	r := p.polls.at(len(p.polled))
	p.polled = append(p.polled, now)
	d := p.devices[deviceCode]
	switch {
	case d == nil:
		p.t.Errorf("poll with the unknown device code %q", deviceCode)
		d = &device{}
	case !d.approved:
		p.t.Error("poll before the approval")
	case d.spent && !p.crashes:
		p.t.Error("poll for a device code that has been redeemed")
	case d.asking > 0 && !p.takeover && !p.crashes:
		p.t.Errorf("%d polls at once", d.asking+1)
	case !d.last.IsZero() && now.Sub(d.last) < d.interval:
		p.t.Errorf("poll %v after the last one, sooner than %v", now.Sub(d.last), d.interval)
	}
	d.asking++
	d.last = now
	return d, r
}

func (p *provider) Verify(ctx context.Context, tokens idp.Tokens, nonce string) (idp.Person, error) {
	p.mu.Lock()
	r := p.verdicts.at(len(p.verified))
	p.verified = append(p.verified, tokens)
	p.mu.Unlock()
	if nonce != "" {
		p.t.Errorf("verification with nonce %q, want none", nonce)
	}
	err := r.wait(ctx)
	return r.person, err
}

func (p *provider) Revoke(tokens idp.Tokens) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tokens != (idp.Tokens{}) {
		p.revoked[tokens.Access]++
	}
}

func (p *provider) DevicePage(userCode, access string) string {
	if access != phoneToken {
		p.t.Errorf("the provider's page is asked for with the access token %q, want the phone's", access)
	}
	return p.page
}

func (p *provider) Owns(uri string) bool { return strings.HasPrefix(uri, issuer+"/") }

// set changes the script while others may follow it.
func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// calls are how often something happened.
type calls struct{ given, approved, discarded int }

func (p *provider) count() calls {
	p.mu.Lock()
	defer p.mu.Unlock()
	return calls{len(p.given), len(p.approved), len(p.discarded)}
}

// pollTimes returns when the polls came, counted from the first of them.
func (p *provider) pollTimes() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var since []time.Duration
	for _, at := range p.polled {
		since = append(since, at.Sub(p.polled[0]))
	}
	return since
}

func (p *provider) wantPolls(n int) {
	p.t.Helper()
	if got := len(p.pollTimes()); got != n {
		p.t.Errorf("%d polls, want %d", got, n)
	}
}

func (p *provider) wantApprovals(n int) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.approved) != n {
		p.t.Errorf("the provider was asked to approve %d times, want %d", len(p.approved), n)
	}
}

func (p *provider) wantVerdicts(n int) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.verified) != n {
		p.t.Errorf("tokens were verified %d times, want %d", len(p.verified), n)
	}
}

// first returns the tokens of the first answer that had any.
func (p *provider) first() idp.Tokens {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.given) == 0 {
		p.t.Error("no tokens were given out")
		return idp.Tokens{}
	}
	return p.given[0]
}

// wantKept checks that no tokens have been revoked.
func (p *provider) wantKept() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.revoked) != 0 || len(p.discarded) != 0 {
		p.t.Errorf("%d sets of tokens revoked and %d discarded, want none", len(p.revoked), len(p.discarded))
	}
}

// wantRevoked checks that n sets of tokens were given out, and that each is
// revoked: directly, at most once, or with the session that had them.
func (p *provider) wantRevoked(n int) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.given) != n {
		p.t.Errorf("%d sets of tokens given out, want %d", len(p.given), n)
	}
	for i, tokens := range p.given {
		if revoked, discarded := p.revoked[tokens.Access], p.discarded[tokens.Access]; revoked+discarded == 0 || revoked > 1 {
			p.t.Errorf("the tokens of answer %d were revoked %d times and discarded %d times", i+1, revoked, discarded)
		}
	}
}
