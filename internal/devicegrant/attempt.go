package devicegrant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

// State is how far an [Attempt] has come. The words are part of the pages and
// of the event stream.
type State string

const (
	Waiting   State = "waiting"   // for a phone to open the code
	Opened    State = "opened"    // a person is looking at the question
	Number    State = "number"    // the person said yes; the laptop must type the number that the phone shows
	Yes       State = "yes"       // the person said yes, and the number was right if one was asked: tokens may be fetched
	Approved  State = "approved"  // the tokens are here and are that person's
	Claimed   State = "claimed"   // the laptop has its session
	Denied    State = "denied"    // the person said no
	Expired   State = "expired"   // nobody was quick enough
	Cancelled State = "cancelled" // the laptop gave up, or logged in another way
	Failed    State = "failed"    // Attempt.Reason says why
)

// next is every step that an attempt can take. From Waiting straight to
// Approved or Denied goes only an attempt that is OnTheirPage.
var next = map[State][]State{
	Waiting:  {Opened, Approved, Denied, Cancelled, Expired, Failed},
	Opened:   {Number, Yes, Denied, Cancelled, Expired, Failed},
	Number:   {Yes, Denied, Cancelled, Expired, Failed},
	Yes:      {Approved, Denied, Cancelled, Expired, Failed},
	Approved: {Claimed, Denied, Cancelled, Expired, Failed},
}

// Ended reports whether nothing can follow.
func (s State) Ended() bool { return len(next[s]) == 0 }

// Reason says why an attempt failed, or what it lacked when it expired.
type Reason string

const (
	ReasonRefused     Reason = "refused"      // the provider would not let the laptop in
	ReasonClient      Reason = "client"       // the provider refused this application: its settings do not fit
	ReasonGone        Reason = "code gone"    // the provider no longer knew the code
	ReasonOtherPerson Reason = "other person" // the tokens are not those of the person who said yes
	ReasonUnverified  Reason = "unverified"   // the tokens are nobody's that we can tell
	ReasonNumber      Reason = "wrong number" // the laptop typed another number than the phone showed, too often
	ReasonMoved       Reason = "moved"        // the laptop's page came from another network after the yes
	ReasonUnfinished  Reason = "unfinished"   // of Expired: the person had said yes in time
)

// Attempt is one QR login, as its pages may see it: without its secrets.
type Attempt struct {
	ID  string `json:"-"` // known to the laptop's session only
	Ref string // a name for it in logs and forms; no secret

	State  State
	Reason Reason // of Failed, and of Expired if there is one
	Silent bool   // the provider did not answer when it was asked last
	Heard  bool   // of Number and Yes: the provider has answered the yes
	// Continue, of Number and Yes, is the provider's own page for the code, where the
	// person can go on after a yes that the provider did not take: if Heard it
	// has refused it, and this is the only way on. What is approved there
	// counts for nobody but the person who said yes here.
	Continue string

	UserCode         string // exactly as the provider wrote it
	URI, URIComplete string
	OnTheirPage      bool // the provider's own page asks the person: we hear of the end only

	Laptop browser.Browser
	Phone  browser.Browser
	Person idp.Person // who opened it first, and from the yes on who said yes
	Second bool       // another person opened it, too
	Far    bool       // laptop and phone are not known to be in the same network
	Tries  int        // wrong numbers typed

	Started, Expires time.Time
}

// record is an Attempt as it is stored.
type record struct {
	Attempt
	Number string // of State Number: four digits, for the phone's screen and the laptop's keyboard only
	Device idp.DeviceCode
	Tokens idp.Tokens // from their redemption to the claim

	// Who may ask the token endpoint is decided by compare-and-set: nobody does
	// before Due or while the Lease of another lasts, and whoever does takes
	// the next Turn. An answer that comes back in a later turn counts for nothing.
	Yeses      int // how often the person said it
	Due, Lease time.Time
	Turn       int
	Polled     time.Time
	Backoff    time.Duration // the last wait, while the provider is in trouble

	Session string // the session that claimed it
}

// pollable reports whether the token endpoint may be asked: on our page once
// the person has said yes there, since no other approval counts; on the
// provider's page all the time.
func (r *record) pollable() bool {
	return r.State == Yes || r.OnTheirPage && r.State == Waiting
}

// saidYes reports whether the person has said yes and the laptop is not through.
func (r *record) saidYes() bool { return r.State == Number || r.State == Yes || r.State == Approved }

// Shown names the question that is asked about the attempt: which attempt it
// is, and what is said of the laptop. A yes counts only for what was shown.
func (a Attempt) Shown() string {
	sum := sha256.Sum256([]byte(a.Laptop.Agent + "\n" + a.Laptop.Addr))
	return a.Ref + "-" + hex.EncodeToString(sum[:6])
}

// refused reports whether the provider did not take the yes, so that the person
// has to go on at its own page: that may take long, or never happen.
func (r *record) refused() bool { return r.Heard && r.Continue != "" }

// keepEnded is how long the laptop's page can tell how the last attempt ended.
const keepEnded = time.Hour

// KeepUntil implements [store.Record].
func (r record) KeepUntil() time.Time { return r.Expires.Add(keepEnded) }

// errStep says that the attempt is not where this step begins.
var errStep = errors.New("devicegrant: no such step from here")

// to takes a step, and forgets the secrets that are of no use after it.
func (r *record) to(s State) error {
	if !slices.Contains(next[r.State], s) {
		return errStep
	}
	r.State = s
	r.Silent = false
	if s != Number {
		r.Number = ""
	}
	if s.Ended() {
		r.Tokens = idp.Tokens{}
		r.Device.Device = ""
	}
	return nil
}

// expire ends r if its time is over: our own clock does that, whatever the
// provider says later.
func (r *record) expire(now time.Time) {
	if r.State.Ended() || now.Before(r.Expires) {
		return
	}
	if r.saidYes() {
		r.Reason = ReasonUnfinished
	}
	_ = r.to(Expired) // possible from every state that is not an end
}

// codeRecord finds an attempt by its user code.
type codeRecord struct {
	Attempt string
	Until   time.Time
}

// KeepUntil implements [store.Record].
func (c codeRecord) KeepUntil() time.Time { return c.Until }

// Fold returns a user code as people may type it: in any case, with dashes or
// spaces or without (RFC 8628, section 6.1).
func Fold(userCode string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z':
			return c - 'a' + 'A'
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			return c
		}
		return -1
	}, userCode)
}
