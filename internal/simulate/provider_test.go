package simulate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
)

const (
	issuer    = "https://idp.example"
	appURL    = "https://bank.example"
	verifyURI = appURL + "/activate"

	interval     = 5 * time.Second
	expiresIn    = 10 * time.Minute
	codeLifetime = 5 * time.Minute
)

var (
	errKilled  = errors.New("simulated: the process is dead")
	errNoReply = errors.New("simulated: no answer")
)

// provider is the identity provider. Its clients are the replicas.
type provider struct {
	w         *world
	accessFor time.Duration // how long an access token is good for
	page      bool          // it has a page of its own for codes
	generous  bool          // gives out tokens again for a code that was redeemed, as Dex does
	sids      bool          // names its sessions, and tells us when one has ended

	mu       sync.Mutex
	byCode   map[string]*device
	byUser   map[string]*device
	families []*family
	owners   map[string]*family // by access and refresh token
	slow     time.Time          // until when everything takes seconds
	busy     time.Time          // until when it asks everybody to come later
}

// device is a device code.
type device struct {
	code, user string
	expires    time.Time
	approvedBy idp.Person

	interval time.Duration // as the client knows it
	polled   time.Time     // when the latest poll began
	slowed   time.Time     // when the latest poll began that was answered slow_down
	wait     time.Time     // until when the provider has asked not to be asked
	told     time.Time     // when the poll began that it did so to
	teller   *replica      // that polled then
	redeemed *family       // the latest tokens
}

// family is what came of one login at the provider: tokens, and those that they
// were refreshed to.
type family struct {
	n          int
	person     idp.Person
	device     *device // nil after a login at the provider's page
	given      time.Time
	by         *replica
	arrived    bool // the answer with the first tokens reached its replica, which was alive
	made       int
	latest     idp.Tokens
	revoked    bool
	refreshing *replica  // that has asked for new ones, and has no answer yet
	asked      time.Time // when it has
	torn       bool      // the provider has ended it, on its own or because a refresh token was used twice
	ended      time.Time // when it did so on its own
}

func newProvider(w *world) *provider {
	return &provider{w: w, byCode: make(map[string]*device), byUser: make(map[string]*device), owners: make(map[string]*family)}
}

// give makes tokens for a person.
func (p *provider) give(person idp.Person, d *device, by *replica) (idp.Tokens, *family) {
	f := &family{n: len(p.families), person: person, device: d, given: time.Now(), by: by}
	p.families = append(p.families, f)
	return p.fresh(f), f
}

// fresh makes the next tokens of a family. The earlier ones are worth nothing.
func (p *provider) fresh(f *family) idp.Tokens {
	f.made++
	text := fmt.Sprintf("%d-%d", f.n, f.made)
	f.latest = idp.Tokens{
		Access: "SECRET-access-" + text, Refresh: "SECRET-refresh-" + text, ID: "SECRET-id-" + text,
		Expires: time.Now().Add(p.accessFor),
	}
	if p.sids {
		f.latest.SID = fmt.Sprint("sid-", f.n)
	}
	p.owners[f.latest.Access], p.owners[f.latest.Refresh] = f, f
	return f.latest
}

// logIn is a person logging in at the provider's page.
func (p *provider) logIn(person idp.Person) (idp.Tokens, *family) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.give(person, nil, nil)
}

// approver returns the subject of the person who has approved a code here.
func (p *provider) approver(user string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byUser[user].approvedBy.Subject
}

// isIn reports whether a spell of trouble has not ended.
func (p *provider) isIn(spell *time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(*spell)
}

func (p *provider) setUntil(spell *time.Time, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*spell = until
}

// end ends the newest login but skip, as an administrator does, and returns it:
// nil if there is none.
func (p *provider) end(skip int) *family {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.families) - 1 - skip
	if n < 0 || p.families[n].torn {
		return nil
	}
	f := p.families[n]
	f.torn, f.ended = true, time.Now()
	return f
}

// endedAt returns when the provider has ended the login that tokens came from by
// itself: zero if it has not.
func (p *provider) endedAt(tokens idp.Tokens) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.owners[tokens.Refresh]; f != nil {
		return f.ended
	}
	return time.Time{}
}

// hasEnded reports whether tokens are good for nothing any longer.
func (p *provider) hasEnded(tokens idp.Tokens) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.owners[tokens.Refresh]
	return f == nil || f.revoked || f.torn
}

// approve is a person approving at the provider's own page, or through us.
func (p *provider) approve(user string, person idp.Person) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.byUser[user]
	switch {
	case d == nil || !time.Now().Before(d.expires) || d.redeemed != nil:
		return &idp.Error{Status: 404}
	case d.approvedBy.Subject != "":
		return &idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_user_code"}
	}
	d.approvedBy = person
	return nil
}

// client is a replica's connection to the provider. It implements
// [devicegrant.Provider].
type client struct {
	p       *provider
	replica *replica
}

var _ devicegrant.Provider = (*client)(nil)

// exchange sends one request: it arrives at the provider or not, and its answer
// arrives here or not. A request on its way is not held back by the death of its
// sender.
func exchange[T any](ctx context.Context, c *client, who string, arrive func() (T, error)) (T, error) {
	type answer struct {
		is  T
		err error
	}
	var none T
	w, trouble := c.p.w, c.p.w.now().provider
	switch {
	case c.replica.isDead():
		return none, errKilled
	case ctx.Err() != nil:
		return none, ctx.Err()
	}
	there, back := w.upTo(who, 300*time.Millisecond), w.upTo(who, 200*time.Millisecond)
	if w.chance(who, trouble) {
		there = w.upTo(who, providerLimit/2)
	}
	if w.chance(who, trouble) {
		back = w.upTo(who, providerLimit)
	}
	if c.p.isIn(&c.p.slow) {
		there, back = time.Second+w.upTo(who, 4*time.Second), w.upTo(who, 4*time.Second)
	}
	var (
		unheard = w.chance(who, trouble/3)
		lost    = w.chance(who, trouble/3)
		refuses = w.chance(who, trouble/2) || c.p.isIn(&c.p.busy)
		kills   = w.chance(who, w.now().kill)
		freezes = w.chance(who, 30*w.now().freeze)
		refusal = w.refusal(who)
		gaveUp  = w.instant(who, providerLimit)
		replied = w.instant(who, there+back)
		answers = make(chan answer, 1)
	)
	time.AfterFunc(time.Until(w.instant(who, there)), func() {
		if unheard {
			return
		}
		a := answer{err: refusal}
		if !refuses {
			a.is, a.err = arrive()
		}
		if !lost {
			time.AfterFunc(time.Until(replied), func() { answers <- a })
		}
	})
	if freezes {
		c.replica.freeze(who)
	}
	if kills && w.pause(ctx, who, there) == nil {
		c.replica.kill("in " + who)
	}
	select {
	case a := <-answers:
		if c.replica.waitForThaw(who); c.replica.isDead() {
			return none, errKilled
		}
		return a.is, a.err
	case <-time.After(time.Until(gaveUp)):
		return none, errNoReply
	case <-ctx.Done():
		return none, ctx.Err()
	case <-c.replica.link.dead:
		return none, errKilled
	}
}

// refusal is what a provider in trouble answers, sometimes with Retry-After.
func (w *world) refusal(who string) *idp.Error {
	e := &idp.Error{Status: []int{500, 502, 503, 429, 408}[w.roll(who, 5)]}
	if w.provider.isIn(&w.provider.busy) {
		e.Status = 503
	}
	if (e.Status == 503 || e.Status == 429) && w.chance(who, 700) {
		e.Interval = 5*time.Second + w.upTo(who, 40*time.Second)
	}
	return e
}

func (c *client) StartDevice(ctx context.Context) (idp.DeviceCode, error) {
	return exchange(ctx, c, whoIn(ctx)+" start", func() (idp.DeviceCode, error) {
		p := c.p
		p.mu.Lock()
		defer p.mu.Unlock()
		n := len(p.byCode) + 1
		d := &device{
			code: fmt.Sprintf("SECRET-device-%d", n), user: fmt.Sprintf("CODE-%04d", n),
			expires: time.Now().Add(expiresIn), interval: interval,
		}
		p.byCode[d.code], p.byUser[d.user] = d, d
		return idp.DeviceCode{
			Device: d.code, User: d.user, URI: verifyURI, URIComplete: verifyURI + "?user_code=" + d.user,
			Expires: d.expires, Interval: interval,
		}, nil
	})
}

func (c *client) ApproveDevice(ctx context.Context, userCode, access string) error {
	_, err := exchange(ctx, c, whoIn(ctx)+" approve", func() (none struct{}, err error) {
		c.p.mu.Lock()
		f := c.p.owners[access]
		ok := f != nil && f.latest.Access == access && !f.revoked && !f.torn && time.Now().Before(f.latest.Expires)
		c.p.mu.Unlock()
		if !ok {
			c.p.w.model.excuse(userCode, "the approver's access token was refused")
			return none, &idp.Error{Status: 401}
		}
		err = c.p.approve(userCode, f.person)
		c.p.w.tell("provider", "approval of %s by %s: %s", userCode, f.person.Subject, said(err))
		return none, err
	})
	return err
}

// DevicePage is where a person can continue whose approval was refused.
func (c *client) DevicePage(user, _ string) string {
	if !c.p.page {
		return ""
	}
	return issuer + "/device?user_code=" + user
}

func (c *client) Owns(uri string) bool { return strings.HasPrefix(uri, issuer) }

// Verify fails as if the provider's keys were away.
func (c *client) Verify(ctx context.Context, tokens idp.Tokens, _ string) (idp.Person, error) {
	return exchange(ctx, c, "verify "+c.replica.name+" "+tokens.ID, func() (idp.Person, error) {
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		return c.p.owners[tokens.Access].person, nil
	})
}

// Revoke ends the family of tokens, unless the process is dead.
func (c *client) Revoke(tokens idp.Tokens) {
	if c.replica.isDead() || tokens == (idp.Tokens{}) {
		return
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if f := c.p.owners[tokens.Refresh]; f != nil {
		f.revoked = true
	}
}

// Refresh is the session's Refresh. A refresh token is good for one use, so two
// refreshes at once would end the login. A process that stands still after it has
// asked outlasts its lease, and nothing can be done about that.
func (c *client) Refresh(ctx context.Context, old idp.Tokens, _ idp.Person) (idp.Tokens, error) {
	c.p.mu.Lock()
	f := c.p.owners[old.Refresh]
	if f.refreshing != nil && !f.refreshing.isDead() && !f.refreshing.frozen.since(f.asked) {
		c.p.w.violated("two refreshes at once of tokens of %s", f.person.Subject)
	}
	f.refreshing, f.asked = c.replica, time.Now()
	c.p.mu.Unlock()
	tokens, err := exchange(ctx, c, "refresh "+c.replica.name+" "+old.Refresh, func() (idp.Tokens, error) {
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		if f.latest.Refresh != old.Refresh || f.revoked || f.torn {
			f.torn = true
			c.p.w.model.disturbed(f.person) // the session ends
			c.p.w.tell("provider", "refuses the refresh of tokens of %s", f.person.Subject)
			return idp.Tokens{}, &idp.Error{Status: 400, Code: "invalid_grant"}
		}
		return c.p.fresh(f), nil
	})
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	f.refreshing = nil
	return tokens, err
}
