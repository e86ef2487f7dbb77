package handlers

import (
	"errors"
	"net/http"

	"changebank/internal/change"
	"changebank/internal/session"
)

// changePage is the form for an amount, with the answer or what was wrong.
type changePage struct {
	frame
	Amount, Problem, Answer string
}

// makeChange is the bank's one service.
func (s *Server) makeChange(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	page := changePage{frame: frameOf(sess)}
	if r.Method != http.MethodPost {
		return s.render(w, "change", page)
	}
	err := r.ParseForm()
	if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
		page.Problem = amountWords(change.ErrNotAmount)
		return s.renderStatus(w, http.StatusRequestEntityTooLarge, "change", page)
	}
	page.Amount = r.PostForm.Get("amount") // a form that does not parse has none
	amount, err := change.Parse(page.Amount)
	if err != nil {
		page.Problem = amountWords(err)
		return s.renderStatus(w, http.StatusUnprocessableEntity, "change", page)
	}
	page.Answer = change.Make(amount).String()
	return s.render(w, "change", page)
}

// amountWords say what to type instead.
func amountWords(err error) string {
	switch {
	case errors.Is(err, change.ErrEmpty):
		return "Enter an amount, like 1.25."
	case errors.Is(err, change.ErrNegative):
		return "Enter an amount without a minus sign, like 1.25."
	case errors.Is(err, change.ErrDecimals):
		return "Enter at most two digits after the point, like 1.25. A penny is the smallest coin."
	case errors.Is(err, change.ErrGrouping):
		return "Use commas or spaces between thousands only, like 1,234, and a point before the cents, like 1.25."
	case errors.Is(err, change.ErrTooLarge):
		return "Enter an amount of at most " + change.Max.String() + "."
	}
	return "Enter dollars and cents in digits, like 1.25."
}
