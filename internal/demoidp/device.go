package demoidp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

// userCodeFormat is like FusionAuth's, without the characters that people
// take for one another.
var userCodeFormat = op.UserCodeConfig{CharSet: "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", CharAmount: 6}

// StoreDeviceAuthorization implements op.DeviceAuthorizationStorage.
func (s *storage) StoreDeviceAuthorization(ctx context.Context, clientID, deviceCode, code string, expires time.Time, asked []string) error {
	d := device{
		grant: grant{
			ClientID: clientID,
			Scopes:   slices.DeleteFunc(asked, func(scope string) bool { return !slices.Contains(supportedScopes, scope) }),
		},
		Expires: expires,
	}
	err := s.userCodes.CreateAs(ctx, code, userCode{deviceCode, d.KeepUntil()})
	if errors.Is(err, store.ErrExists) {
		return op.ErrDuplicateUserCode
	}
	if err != nil {
		return err
	}
	return s.devices.CreateAs(ctx, deviceCode, d)
}

// GetDeviceAuthorizatonState implements op.DeviceAuthorizationStorage. It is
// called once per poll, and hands out an approved device only once: the record
// goes to one caller, so nobody redeems the same code again.
func (s *storage) GetDeviceAuthorizatonState(ctx context.Context, clientID, deviceCode string) (*op.DeviceAuthorizationState, error) {
	var tooFast, approved bool
	d, err := s.devices.Update(ctx, deviceCode, func(d *device) error {
		now := time.Now()
		approved = d.Subject != "" && now.Before(d.Expires)
		// A tenth of the interval is for a network that is not even. The first
		// poll may come at once.
		tooFast = !approved && now.Before(d.Polled.Add(s.pollInterval*9/10))
		d.Polled = now
		return nil
	})
	if err == nil && approved {
		d, err = s.devices.Delete(ctx, deviceCode)
	}
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && d.ClientID != clientID:
		return nil, oidc.ErrInvalidGrant().WithDescription("the device code is unknown or was used before")
	case err != nil:
		return nil, err
	case tooFast:
		return nil, context.DeadlineExceeded // op's word for slow_down
	}
	return &op.DeviceAuthorizationState{
		ClientID: d.ClientID,
		Scopes:   d.Scopes,
		Expires:  d.Expires,
		Done:     approved,
		Subject:  d.Subject,
		AuthTime: d.AuthTime,
	}, nil
}

var (
	errUserCode        = errors.New("the user code is unknown or was used before")
	errUserCodeExpired = errors.New("the user code has expired")
)

// approve is FusionAuth's Device Approve call: the application vouches, with
// its secret and the access token of the person who said yes on its own page.
func (p *Provider) approve(w http.ResponseWriter, r *http.Request) {
	token, code := r.PostForm.Get("token"), r.PostForm.Get("user_code")
	switch {
	case token == "":
		writeError(w, http.StatusBadRequest, "invalid_request", "missing_token", "token is missing")
		return
	case code == "":
		writeError(w, http.StatusBadRequest, "invalid_request", "missing_user_code", "user_code is missing")
		return
	}
	claims, err := p.storage.accessToken(r.Context(), token)
	if err != nil {
		reason := "access_token_invalid"
		if errors.Is(err, oidc.ErrExpired) {
			reason = "access_token_expired"
		}
		writeError(w, http.StatusBadRequest, "invalid_token", reason, "the access token is invalid")
		return
	}
	switch err := p.storage.approve(r.Context(), code, claims); {
	case errors.Is(err, errUserCode):
		writeError(w, http.StatusBadRequest, "invalid_request", "invalid_user_code", err.Error())
	case errors.Is(err, errUserCodeExpired):
		writeError(w, http.StatusBadRequest, "invalid_request", "user_code_expired", err.Error())
	case err != nil:
		p.log.Error("demo provider: approve a device", "err", err)
		writeError(w, http.StatusInternalServerError, "server_error", "unknown", "the approval could not be stored")
	default:
		p.log.Info("demo provider: device approved", "person", claims.Subject)
		writeJSON(w, http.StatusOK, map[string]any{
			"deviceGrantStatus": "Approved",
			"deviceInfo":        struct{}{},
			"tenantId":          p.setup.tenantID,
			"userId":            claims.Subject,
		})
	}
}

// approve gives a waiting device to a person. The first approval stands.
func (s *storage) approve(ctx context.Context, code string, by *oidc.AccessTokenClaims) error {
	index, err := s.userCodes.Get(ctx, strings.ToUpper(code))
	if err == nil {
		_, err = s.devices.Update(ctx, index.DeviceCode, func(d *device) error {
			switch {
			case d.Subject != "":
				return errUserCode
			case time.Now().After(d.Expires):
				return errUserCodeExpired
			}
			d.Subject, d.AuthTime = by.Subject, by.GetAuthTime()
			return nil
		})
	}
	if errors.Is(err, store.ErrNotFound) {
		return errUserCode
	}
	return err
}
