package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

const (
	backchannelPath = "/backchannel-logout"
	maxLogoutBody   = 16 << 10 // bytes; a logout token has less than one
)

// errUsedToken says that a logout token was sent a second time: it must not log
// out the person who has logged in again since.
var errUsedToken = errors.New("logout token used before")

// mark says that a logout token was used.
type mark struct{ Until time.Time }

// KeepUntil implements [store.Record].
func (m mark) KeepUntil() time.Time { return m.Until }

// backchannelLogout is where the provider sends word of logins that it has ended
// (OpenID Connect Back-Channel Logout 1.0, section 2.5). Anyone can send such a
// request, so nothing is read from the store or written to it before the token is
// verified, and refused tokens do not fill the log.
func (s *Server) backchannelLogout(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutBody)
	err := s.endAtProvider(r.Context(), r)
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	// Section 2.8 has one status for everything that fails.
	code, text := "invalid_request", "The logout token is missing, invalid, too old or used. Changebank's log says which."
	if !errors.Is(err, idp.ErrInvalidToken) && !errors.Is(err, errUsedToken) {
		code, text = "temporarily_unavailable", "The logout was not completed. Send it again."
	}
	s.logoutWarn.Do(func() { s.log.Warn("back-channel logout failed", "err", err) })
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text}) // the provider may have left
	return nil
}

// endAtProvider ends the sessions that the logout token in r names. The token is
// marked as used only after that: if the store fails half way, the provider can
// send it again.
func (s *Server) endAtProvider(ctx context.Context, r *http.Request) error {
	err := r.ParseForm()
	tokens := r.PostForm["logout_token"]
	if err != nil || len(tokens) != 1 {
		return fmt.Errorf("%w: the request has no logout_token, or too many, or is too large", idp.ErrInvalidToken)
	}
	logout, err := s.cfg.Provider.VerifyLogout(ctx, tokens[0])
	if err != nil {
		return err
	}
	switch _, err := s.usedLogouts.Get(ctx, logout.TokenID); {
	case err == nil:
		return errUsedToken
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	n, err := s.cfg.Sessions.EndByProvider(ctx, logout.Person, logout.SID)
	if err != nil {
		return err
	}
	s.log.Info("back-channel logout", "person", logout.Person, "sessions", n)
	err = s.usedLogouts.CreateAs(context.WithoutCancel(ctx), logout.TokenID, mark{logout.Until})
	if errors.Is(err, store.ErrExists) {
		return nil // the same token came twice at once
	}
	return err
}
