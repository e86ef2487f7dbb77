package devicegrant

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// State is how far an [Attempt] has come. Pages and event streams use these
// words.
type State string

const (
	Waiting   State = "waiting"   // no phone has opened the code yet
	Opened    State = "opened"    // a person is looking at the question
	Number    State = "number"    // the person approved; the laptop must type the number that the phone shows
	Yes       State = "yes"       // the person approved, and the number was right if one was asked for: redemption may begin
	Approved  State = "approved"  // the tokens are that person's, and a pending session waits for the laptop
	Claimed   State = "claimed"   // the laptop has its session
	Denied    State = "denied"    // the person, or the provider's page, denied
	Expired   State = "expired"   // time ran out
	Cancelled State = "cancelled" // the laptop cancelled, or logged in another way
	Failed    State = "failed"    // Attempt.Reason says why
)

// next has every transition. Waiting leads straight to Approved or Denied only
// with a ProviderPage.
var next = map[State][]State{
	Waiting:  {Opened, Approved, Denied, Cancelled, Expired, Failed},
	Opened:   {Number, Yes, Denied, Cancelled, Expired, Failed},
	Number:   {Yes, Denied, Cancelled, Expired, Failed},
	Yes:      {Approved, Denied, Cancelled, Expired, Failed},
	Approved: {Claimed, Denied, Cancelled, Expired, Failed},
}

// Ended reports whether no transition leads on.
func (s State) Ended() bool { return len(next[s]) == 0 }

// Answered reports whether the person has approved and the attempt has not
// ended.
func (s State) Answered() bool { return s == Number || s == Yes || s == Approved }

// Reason says why an attempt failed, or what was missing when it expired.
type Reason string

const (
	ReasonRefused      Reason = "refused"       // the provider refused the tokens
	ReasonClient       Reason = "client"        // the provider refused this application: its settings are wrong
	ReasonCodeGone     Reason = "code gone"     // the provider no longer knows the code
	ReasonOtherPerson  Reason = "other person"  // the tokens belong to someone other than the approver
	ReasonUnverified   Reason = "unverified"    // the tokens could not be verified
	ReasonNumber       Reason = "wrong number"  // the laptop typed a wrong number too often
	ReasonMoved        Reason = "moved"         // another browser, or another network, showed the laptop's cookie after the approval
	ReasonLoggedOut    Reason = "logged out"    // the session that approved was logged out
	ReasonSessionEnded Reason = "session ended" // the pending session was ended before the claim
	ReasonUnfinished   Reason = "unfinished"    // with Expired: the person had approved in time
)

// Approval is the outcome of the call that passes an approval on to the
// provider.
type Approval string

const (
	ApprovalSent      Approval = "sent"       // on its way, or lost in a crash
	ApprovalSentAgain Approval = "sent again" // more than once: a refusal may mean that an earlier one succeeded
	ApprovalConfirmed Approval = "confirmed"
	ApprovalRefused   Approval = "refused" // the person can continue only at FallbackURL
	ApprovalUnknown   Approval = "unknown" // the provider did not answer; it may have approved
)

// Answered reports whether the provider has answered, so that the person need
// not approve again.
func (a Approval) Answered() bool { return a == ApprovalConfirmed || a == ApprovalRefused }

// Attempt is one QR login as its pages may see it: without its secrets.
type Attempt struct {
	ID  string `json:"-"` // secret: its holder is treated as the laptop
	Ref string // public name in forms and logs

	State  State
	Reason Reason `json:",omitzero"` // of Failed, and of Expired if there is one

	Approval Approval `json:",omitzero"` // empty before the person approved
	// FallbackURL is the provider's own page for the code, where the person can
	// continue when the provider has not taken the approval. What is approved
	// there still counts only for the person who approved here.
	FallbackURL  string `json:",omitzero"`
	ProviderDown bool   `json:",omitzero"` // the last poll failed or had no usable answer
	// ProviderErrors says that the last poll was answered with a server error.
	// Authelia answers so after a denial on its own page.
	ProviderErrors bool `json:",omitzero"`

	UserCode         string // exactly as the provider issued it
	URI, URIComplete string // where the phone goes, without and with the code (RFC 8628, section 3.2); the same where the person types it
	ProviderPage     bool   `json:",omitzero"` // the provider's own page asks the person, and we learn only the outcome

	Laptop           browser.Browser // until the approval: as last seen; then: as shown to the person
	Phone            browser.Browser `json:",omitzero"`
	Person           idp.Person      `json:",omitzero"` // who opened it first, and from the approval on who approved
	OpenedByOthers   bool            `json:",omitzero"` // someone else opened it too, in another browser
	DifferentNetwork bool            `json:",omitzero"` // the laptop and the phone are not known to be on the same network
	Tries            int             `json:",omitzero"` // wrong numbers typed

	Started, Expires time.Time
}

// Fingerprint names the question that is asked about the attempt: the attempt,
// and the laptop as shown. An approval counts only for what was shown.
func (a Attempt) Fingerprint() string {
	sum := sha256.Sum256([]byte(a.Laptop.Agent + "\n" + a.Laptop.Addr))
	return a.Ref + "-" + hex.EncodeToString(sum[:6])
}

// record is an Attempt as it is stored.
type record struct {
	Attempt
	Secret  string            // half of the ID; see idOf
	Shown   []browser.Browser // the laptop's addresses until the approval; see moveLaptop
	Voucher string            `json:",omitzero"` // the session that approved; see [Sessions]
	Number  string            `json:",omitzero"` // in State Number: four digits
	Device  idp.DeviceCode
	Tokens  idp.Tokens `json:",omitzero"` // from the poll that brought them until Approved, when the session has them
	Session string     `json:",omitzero"` // the ID of the laptop's session, chosen by that poll

	Lease   store.Lease   `json:",omitzero"` // of the poller
	Due     time.Time     `json:",omitzero"` // the earliest time of the next poll
	Backoff time.Duration `json:",omitzero"` // the last wait, while the provider is in trouble
}

// hasSecret reports whether the secret of an ID is the attempt's. The other half of
// the ID, the user code, is no secret.
func (r *record) hasSecret(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(secret), []byte(r.Secret)) == 1
}

// keepEnded is how long the laptop's page can tell how the last attempt ended.
const keepEnded = time.Hour

// KeepUntil implements [store.Record].
func (r record) KeepUntil() time.Time { return r.Expires.Add(keepEnded) }

// seen returns what pages may see.
func (r record) seen(id string) Attempt {
	r.ID = id
	return r.Attempt
}

// errTransition says that no transition leads from the attempt's state to the
// one that was wanted.
var errTransition = errors.New("devicegrant: no such transition")

// to moves the attempt to a state, and drops the secrets that nothing needs
// there.
func (r *record) to(s State) error {
	if !slices.Contains(next[r.State], s) {
		return errTransition
	}
	r.State = s
	r.ProviderDown, r.ProviderErrors = false, false
	if s != Number {
		r.Number = ""
	}
	if s == Approved || s.Ended() {
		r.Tokens = idp.Tokens{}
		r.Device.Device = ""
	}
	return nil
}

func (r *record) fail(reason Reason) error {
	err := r.to(Failed)
	if err == nil {
		r.Reason = reason
	}
	return err
}

// maxAhead is how far in the future an attempt may have been started, since the
// clocks of replicas differ a little.
const maxAhead = time.Minute

// overdue reports whether the attempt has expired by our own clock, which counts
// even if the provider would still answer. An attempt from before the clock
// was set back is overdue too: its times are no longer meaningful, and its page
// would show the code until the old time.
func (r *record) overdue() bool {
	now := time.Now()
	return !r.State.Ended() && (!now.Before(r.Expires) || r.Started.After(now.Add(maxAhead)))
}

// expire ends the attempt if it is overdue.
func (r *record) expire() {
	if r.overdue() {
		_ = r.timeOut() // allowed from every state that is not an end
	}
}

// timeOut ends the attempt because its time is over, here or at the provider.
func (r *record) timeOut() error {
	if r.State.Answered() {
		r.Reason = ReasonUnfinished
	}
	return r.to(Expired)
}

// pollable reports whether the token endpoint may be asked: with our page after
// the approval there, since no other counts; with the provider's page always.
func (r *record) pollable() bool {
	return r.State == Yes || r.ProviderPage && r.State == Waiting
}

// mustBeWatched reports whether polls are made only while somebody looks at the
// attempt. Where the person must approve on the provider's page, they may never
// do so, and the provider would be polled for nobody until the code expires.
func (a Attempt) mustBeWatched() bool { return a.ProviderPage || a.Approval == ApprovalRefused }

// maxShown is how many addresses a laptop may have and still count as being on
// the phone's network.
const maxShown = 4

// moveLaptop notes which browser has the laptop's cookie, before the approval.
// The question may have shown any of its addresses. The first maxShown are kept,
// and the latest one beyond those; then near no longer holds.
func (r *record) moveLaptop(laptop browser.Browser) {
	r.Laptop = laptop
	shown := browser.Browser{Addr: laptop.Addr, Relayed: laptop.Relayed, Shared: laptop.Shared}
	if !slices.Contains(r.Shown, shown) {
		r.Shown = append(r.Shown[:min(len(r.Shown), maxShown)], shown)
	}
}

// near reports whether the phone is known to be on the same network as every
// address that the laptop has had. An attacker's laptop that visits the phone's
// network, or claims to, has been on its own network before.
func (r *record) near(phone browser.Browser, local bool) bool {
	return len(r.Shown) <= maxShown && !slices.ContainsFunc(r.Shown, func(shown browser.Browser) bool {
		return !browser.Near(shown, phone, local)
	})
}

// isLaptop reports whether b may be the laptop that the approval was given
// about: it has the same User-Agent, and one of the addresses that were shown
// or one on their networks.
func (r *record) isLaptop(b browser.Browser, local bool) bool {
	return b.Agent == r.Laptop.Agent && slices.ContainsFunc(r.Shown, func(shown browser.Browser) bool {
		return shown.Addr == b.Addr || browser.Near(shown, b, local)
	})
}
