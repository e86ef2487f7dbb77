package simulate

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/idp"
)

const (
	// Everything that takes time ends at an instant of its own, a little after a
	// multiple of slot. What the store's own random pauses after a lost
	// compare-and-set add (up to 16 ms) does not reach the next one.
	slot   = 32 * time.Millisecond
	offset = 8 * time.Millisecond

	storeLimit    = 3 * time.Second  // as a Redis operation has
	providerLimit = 10 * time.Second // as a request to the provider has
	longestFreeze = 40 * time.Second // of a process
)

// world is one run: its people, replicas, store and provider, and the dice. Each
// actor has dice of its own, so that what it does depends on the seed and on what
// it sees, and not on how goroutines are scheduled.
type world struct {
	t        *testing.T
	seed     uint64
	disk     *disk
	provider *provider
	model    *model
	log      *slog.Logger
	wg       sync.WaitGroup

	observer *replica
	confirm  string        // CONFIRM_NUMBER
	recheck  time.Duration // how old the proof of a login may be; 0: any age
	replicas []*replica

	mu          sync.Mutex
	logged      bytes.Buffer
	dice        map[string]*rand.Rand
	taken       map[time.Time]bool
	story       []line
	violations  []string
	calm        time.Time // since when nothing fails any longer; zero while things may
	weather     weather
	all         []*replica
	phones      []*phone
	killedAt    latest
	generations int
	over        bool // no more processes are started
}

// weather says how often things fail, in one of a thousand.
type weather struct{ store, provider, kill, freeze, network int }

// line is one line of the story.
type line struct {
	at        time.Time
	who, what string
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, seed: seed,
		dice: make(map[string]*rand.Rand), taken: make(map[time.Time]bool),
	}
	w.disk = &disk{w: w, values: make(map[string]value), names: make(map[string]string), kinds: make(map[string]int)}
	w.provider = newProvider(w)
	w.model = newModel(w)
	w.log = slog.New(slog.NewTextHandler(locked{w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return w
}

// locked collects the log of all replicas.
type locked struct{ w *world }

func (l locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.logged.Write(p)
}

// roll returns who's next random number below n.
func (w *world) roll(who string, n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rolled(who, n)
}

func (w *world) rolled(who string, n int) int {
	d := w.dice[who]
	if d == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(who))
		d = rand.New(rand.NewPCG(w.seed, h.Sum64()))
		w.dice[who] = d
	}
	return d.IntN(n)
}

// chance reports whether something happens that does so in one of a thousand
// cases.
func (w *world) chance(who string, permille int) bool { return w.roll(who, 1000) < permille }

// upTo returns a random duration.
func (w *world) upTo(who string, most time.Duration) time.Duration {
	return time.Duration(w.roll(who, int(most/time.Millisecond)+1)) * time.Millisecond
}

// instant returns when something that takes d is over: at a time of its own.
func (w *world) instant(who string, d time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Now().Add(d).Truncate(slot).Add(slot + time.Duration(w.rolled(who, int(offset))))
	for w.taken[at] {
		at = at.Add(1)
	}
	w.taken[at] = true
	return at
}

// pause lets d pass, or less if ctx ends.
func (w *world) pause(ctx context.Context, who string, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-time.After(time.Until(w.instant(who, d))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) sleep(who string, d time.Duration) { _ = w.pause(context.Background(), who, d) }

// tell adds a line to the story.
func (w *world) tell(who, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, line{time.Now(), who, fmt.Sprintf(format, args...)})
}

// violated notes that a promise was broken.
func (w *world) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tell("PROMISE BROKEN", "%s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, text)
}

// isCalm reports whether nothing has failed since at.
func (w *world) isCalm(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm.IsZero() && !at.Before(w.calm)
}

// now returns the weather.
func (w *world) now() weather {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.weather
}

func (w *world) setWeather(weather weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = weather
}

// storyText is the story, with times since the start. What happens at one
// instant is sorted by actor.
func (w *world) storyText(began time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := slices.Clone(w.story)
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.who, b.who)) })
	var text strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&text, "%9.3f  %-12s %s\n", l.at.Sub(began).Seconds(), l.who, l.what)
	}
	return text.String()
}

// Names of actors travel in the context of what they call.
type whoKey struct{}

func as(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, whoKey{}, who)
}

// whoIn returns the actor that has called, or "poller" for a Manager's own work.
func whoIn(ctx context.Context) string {
	who, _ := ctx.Value(whoKey{}).(string)
	return cmp.Or(who, "poller")
}

// people is how many there are.
const people = 6

// person returns one of the people.
func person(n int) idp.Person {
	return idp.Person{Issuer: issuer, Subject: fmt.Sprint("person-", n), Email: fmt.Sprintf("person-%d@example.com", n), EmailVerified: true}
}
