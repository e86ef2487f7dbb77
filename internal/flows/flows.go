// Package flows keeps the logins in progress at the provider, in the browsers
// themselves: what the callback must match in a sealed cookie for each, and the
// return path in the OAuth state. The store holds only a mark for each login whose
// callback was used.
package flows

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"changebank/internal/cookies"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/store"
)

const (
	flowLifetime  = 15 * time.Minute
	stateLifetime = 24 * time.Hour // of the return path: a callback that comes late still leads back
	maxFlows      = 4              // in one browser; with more, headers grow too long for proxies
	maxReturnPath = 256            // bytes
)

// loginsPerAddress bounds the callbacks of one address, each of which stores a
// mark.
var loginsPerAddress = limit.Rule{Name: "logins from one address", N: 600, Window: 10 * time.Minute}

// ErrNone says that the browser has no login with that state in progress.
var ErrNone = errors.New("no login with this state is in progress in this browser, or it was used before")

// Flows manages an application's logins in progress. Create it with [New].
type Flows struct {
	fallback string        // the return path of a login without one
	cookie   *cookies.Kind // named for the login's ID
	state    *cookies.Kind // seals the return path
	used     *store.Table[mark]
	limiter  *limit.Limiter
}

// mark says that a flow was used.
type mark struct{ Until time.Time }

// KeepUntil implements [store.Record].
func (m mark) KeepUntil() time.Time { return m.Until }

// New returns the Flows of an application. fallback is the return path of a login
// without one.
func New(jar *cookies.Jar, s *store.Store, fallback string) Flows {
	return Flows{
		fallback: fallback,
		cookie:   jar.Kind("login", flowLifetime),
		state:    jar.Kind("state", stateLifetime),
		used:     store.NewTable[mark](s, "used states"),
		limiter:  limit.New(s),
	}
}

// NewState returns the OAuth state of a new login: a random ID, and the return
// path behind it unless that is the default.
func (f Flows) NewState(returnTo string) (string, error) {
	id := rand.Text()
	if returnTo == f.fallback {
		return id, nil
	}
	sealed, err := f.state.Seal(cookies.Values{"id": id, "path": returnTo})
	return id + "." + sealed, err
}

// ParseState returns the login's ID and its return path.
func (f Flows) ParseState(state string) (id, returnTo string) {
	id, sealed, _ := strings.Cut(state, ".")
	if opened := f.state.Open(sealed); opened != nil && opened["id"] == id {
		return id, f.OwnPath(opened["path"])
	}
	return id, f.fallback
}

// Begin gives the browser the cookie of a new login. If it has too many already,
// the oldest are cleared.
func (f Flows) Begin(w http.ResponseWriter, r *http.Request, state string, flow idp.Flow) error {
	id, _ := f.ParseState(state)
	type inProgress struct {
		name    string
		started string
	}
	var others []inProgress
	names := f.cookie.Suffixes(r)
	// No browser of ours has many more than it may. To open the two thousand
	// that fit into a request would take a while, and anyone can send them.
	for _, name := range names[:min(len(names), 2*maxFlows)] {
		values := f.cookie.Named(name).Read(r)
		if values == nil {
			f.cookie.Named(name).Clear(w)
			continue
		}
		others = append(others, inProgress{name, values["started"]})
	}
	slices.SortFunc(others, func(a, b inProgress) int { return strings.Compare(a.started, b.started) })
	for len(others) >= maxFlows {
		f.cookie.Named(others[0].name).Clear(w)
		others = others[1:]
	}
	return f.cookie.Named(id[:8]).Write(w, r, cookies.Values{
		"id":             id,
		"nonce":          flow.Nonce,
		"verifier":       flow.Verifier,
		"subject":        flow.Subject,
		"prompt":         strconv.FormatBool(flow.Prompt),
		"reauthenticate": strconv.FormatBool(flow.Reauthenticate),
		"refusals":       strconv.Itoa(flow.Refusals),
		"started":        strconv.FormatInt(flow.Started.Unix(), 10),
	})
}

// Take returns the login with that ID, once, and clears its cookie. It returns
// [ErrNone] if this browser has no such login in progress, or has used it. That
// stops login CSRF: an attacker's own callback, sent to a victim as a link.
func (f Flows) Take(w http.ResponseWriter, r *http.Request, id, addr string) (idp.Flow, error) {
	if len(id) < 8 {
		return idp.Flow{}, ErrNone // an empty state matches nothing
	}
	cookie := f.cookie.Named(id[:8])
	values := cookie.Read(r)
	if values == nil || subtle.ConstantTimeCompare([]byte(values["id"]), []byte(id)) != 1 {
		return idp.Flow{}, ErrNone
	}
	cookie.Clear(w)
	if err := f.useOnce(r.Context(), id, addr); err != nil {
		return idp.Flow{}, err
	}
	started, err := strconv.ParseInt(values["started"], 10, 64)
	if err != nil {
		return idp.Flow{}, err
	}
	refusals, _ := strconv.Atoi(values["refusals"]) // older cookies have none
	return idp.Flow{
		Nonce:          values["nonce"],
		Verifier:       values["verifier"],
		Subject:        values["subject"],
		Prompt:         values["prompt"] == "true",
		Reauthenticate: values["reauthenticate"] == "true",
		Refusals:       refusals,
		Started:        time.Unix(started, 0),
	}, nil
}

// useOnce marks a flow as used before its code is exchanged: a cookie can be
// sent again, by a double click or by a thief.
func (f Flows) useOnce(ctx context.Context, id, addr string) error {
	err := f.limiter.AllowAddr(ctx, loginsPerAddress, addr, func(ctx context.Context) error {
		// The cookie's age is counted in whole seconds, so it may open a little longer.
		return f.used.CreateAs(ctx, id, mark{time.Now().Add(flowLifetime + time.Minute)})
	})
	if errors.Is(err, store.ErrExists) {
		return ErrNone
	}
	return err
}

// OwnPath returns path if it is one of our pages, otherwise the fallback: a link
// to our login must not lead to another site (open redirect).
func (f Flows) OwnPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(path, "/") || len(path) > maxReturnPath {
		return f.fallback
	}
	// Browsers read a backslash as a slash and skip control characters.
	if strings.HasPrefix(path, "//") || strings.ContainsFunc(path, func(c rune) bool { return c == '\\' || c <= ' ' || c == 0x7f }) {
		return f.fallback
	}
	return path
}
