package devicegrant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

// lines returns the logged lines that contain a text.
func (w *world) lines(text string) (lines []string) {
	for line := range strings.Lines(w.logged.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// The log has failed polls, and pending ones only when debugging.
func TestPendingPollsAreLoggedAtDebug(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {err: pending}, {err: &idp.Error{Status: 503}}, {after: pollTime}}
		a := w.answered()
		time.Sleep(time.Minute)
		w.want(a, Approved)
		for text, want := range map[string]int{"authorization pending": 2, "authorization_pending": 0, "poll failed": 1} {
			if lines := w.lines(text); len(lines) != want {
				w.Errorf("%d lines say %q, want %d: %q", len(lines), text, want, lines)
			}
		}
		for _, line := range w.lines("authorization pending") {
			if !strings.Contains(line, "level=DEBUG") {
				w.Errorf("a pending poll is logged as %q", line)
			}
		}
	})
}

// The log tells one login as one line per step, in the words of the states.
func TestLoginIsLogged(t *testing.T) {
	inBubble(t, func(w *world) {
		a, number := w.asked()
		_, _ = w.m.Confirm(w.Context(), a.ID, another(number))
		w.noError(w.m.Confirm(w.Context(), a.ID, number))
		w.settle()
		w.wantClaim(w.m, a)
		var steps []string
		for _, line := range w.lines("attempt=" + a.Ref) {
			_, after, ok := strings.Cut(line, "step=")
			if ok {
				step, _, _ := strings.Cut(after, " attempt=")
				steps = append(steps, strings.Trim(step, `"`))
			}
		}
		if want := []string{"started", "opened", "number", "number wrong", "yes", "approved", "claimed"}; !slices.Equal(steps, want) {
			w.Errorf("the log tells %q, want %q", steps, want)
		}
	})
}

// The log names the people and addresses that a rule refused.
func TestRefusalsAreLogged(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.limits.CodesPerAddress, w.limits.WrongCodes, w.confirm = 1, 1, NumberAuto })
		a := w.open(w.start())
		_, _ = w.m.Start(w.Context(), laptop)
		time.Sleep(codeLifetime)
		_, _ = w.m.Open(w.Context(), visit(a.UserCode, tablet, mallory))
		w.noError(w.yes(a))
		_, _ = w.m.Open(w.Context(), visit(a.UserCode, tablet, mallory))
		w.wantUnknown(mallory, 1)
		_ = w.guess(mallory, w.unknown())
		for _, rule := range []string{codesRule, "opened too late", "other person", "unknown code", guessesRule} {
			lines := slices.Concat(w.lines("rule="+rule), w.lines(`rule="`+rule+`"`))
			if len(lines) != 1 || !strings.Contains(lines[0], "level=WARN") {
				w.Errorf("lines about %q: %q, want one warning", rule, lines)
			}
		}
	})
}
