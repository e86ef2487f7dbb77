package demoidp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"changebank/internal/config"
	"changebank/internal/limit"
)

// Wrong passwords are counted where others can reach the demo provider. An
// address gets few tries at an account, so a guesser uses up its own. The limit
// for the account, from all addresses together, is much higher, so that it takes
// strangers at many addresses to keep its owner out, and only while they go on.
const (
	guessesFromAddress = 10
	guessesForAccount  = 100
	guessWindow        = 10 * time.Minute
)

var errWrongPassword = errors.New("demo provider: wrong email address or password")

// checkPassword returns the person with that email address and password,
// [errWrongPassword], or a [*limit.TooManyError] after too many wrong passwords:
// then not even the right one is accepted, since a guesser may have found it.
func (p *Provider) checkPassword(ctx context.Context, email, password, addr string) (person, error) {
	i := slices.IndexFunc(p.people, func(who person) bool { return strings.EqualFold(who.Email, email) })
	var who person // nobody, for an unknown address
	if i >= 0 {
		who = p.people[i]
	}
	if !p.exposed {
		return who, compare(who, password)
	}
	fromAddress := limit.Rule{Name: "wrong passwords from one address for account " + who.ID, N: guessesFromAddress, Window: guessWindow}
	forAccount := limit.Rule{Name: "wrong passwords for one account", N: guessesForAccount, Window: guessWindow}
	// Counted before the comparison: many guesses may come at once.
	if err := p.limiter.AllowAddr(ctx, fromAddress, addr, nil); err != nil {
		return person{}, err
	}
	if err := p.limiter.Allow(ctx, forAccount, who.ID); err != nil {
		return person{}, err
	}
	if err := compare(who, password); err != nil {
		return person{}, err
	}
	p.limiter.RefundAddr(ctx, fromAddress, addr)
	p.limiter.Refund(ctx, forAccount, who.ID)
	return who, nil
}

func compare(who person, password string) error {
	if who.ID == "" || subtle.ConstantTimeCompare([]byte(who.Password), []byte(password)) != 1 {
		return errWrongPassword
	}
	return nil
}

// checkLength returns an error if others can guess a person's password. The
// settings have been checked, but a kickstart can have passwords of its own.
func checkLength(people []person) error {
	for _, who := range people {
		if utf8.RuneCountInString(who.Password) < config.MinPassword {
			return fmt.Errorf("the password of %s is shorter than %d characters, and others can reach the demo provider; choose a longer one", who.Email, config.MinPassword)
		}
	}
	return nil
}

// refuseGuess asks for the password again, and says when it may be tried.
func (p *Provider) refuseGuess(w http.ResponseWriter, a *authRequest, email string, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	p.askPassword(w, http.StatusTooManyRequests, a, email, fmt.Sprintf("There were too many wrong passwords. Try again in %d seconds.", seconds))
}
