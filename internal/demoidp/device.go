package demoidp

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

const (
	// userCodeLetters are FusionAuth's without those that look alike.
	userCodeLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	pollInterval    = 5 * time.Second
)

// startDevice is the device authorization endpoint (RFC 8628, section 3.1). It
// fails if the random user code is taken.
func (p *Provider) startDevice(w http.ResponseWriter, r *http.Request) {
	d := device{
		grant: grant{ClientID: p.clientID, Scopes: slices.DeleteFunc(strings.Fields(r.PostForm.Get("scope")), func(scope string) bool {
			return !slices.Contains(scopes, scope)
		})},
		Secret:  rand.Text(),
		Expires: time.Now().Add(p.deviceCodes),
	}
	code, err := op.NewUserCode([]rune(userCodeLetters), 6, 0)
	if err == nil {
		err = p.storage.devices.CreateAs(r.Context(), code, d)
	}
	if err != nil {
		p.serverError(w, "device authorization", err)
		return
	}
	uri := p.app.OauthConfiguration.DeviceVerificationURL
	writeJSON(w, http.StatusOK, oidc.DeviceAuthorizationResponse{
		DeviceCode:              code + "." + d.Secret,
		UserCode:                code,
		VerificationURI:         uri,
		VerificationURIComplete: uri + "?user_code=" + code,
		ExpiresIn:               int(p.deviceCodes.Seconds()),
		Interval:                int(pollInterval.Seconds()),
	})
}

// pollDevice is the token endpoint's device grant (RFC 8628, sections 3.4 and
// 3.5). It deletes an approved code before it issues tokens, so that only one
// poll gets them.
func (p *Provider) pollDevice(w http.ResponseWriter, r *http.Request) {
	code, secret, _ := strings.Cut(r.PostForm.Get("device_code"), ".")
	var answer string
	d, err := p.storage.devices.Update(r.Context(), code, func(d *device) error {
		if subtle.ConstantTimeCompare([]byte(secret), []byte(d.Secret)) == 0 {
			return store.ErrNotFound
		}
		now := time.Now()
		switch {
		case now.After(d.Expires):
			answer = "expired_token"
		case d.Subject != "":
			answer = "approved"
		case now.Before(d.Polled.Add(pollInterval * 9 / 10)): // a tenth for network jitter
			answer = "slow_down"
		default:
			answer = "authorization_pending"
		}
		d.Polled = now
		return nil
	})
	if err == nil && answer == "approved" {
		_, err = p.storage.devices.Delete(r.Context(), code)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		writeError(w, http.StatusBadRequest, "invalid_grant", "", "the device code is unknown or was used before")
		return
	case err != nil:
		p.serverError(w, "poll", err)
		return
	case answer != "approved":
		writeError(w, http.StatusBadRequest, answer, "", "no tokens yet")
		return
	}
	tokens, err := op.CreateDeviceTokenResponse(r.Context(), &op.DeviceAuthorizationState{
		ClientID: d.ClientID, Scopes: d.Scopes, Subject: d.Subject, AuthTime: d.AuthTime,
	}, p.op, client{p.setup})
	if err != nil {
		p.serverError(w, "device login", err)
		return
	}
	writeJSON(w, http.StatusOK, tokens)
}

// approveDevice is FusionAuth's Device Approve call. A person approved the user
// code on the application's page, and the application passes that on with its
// secret and the person's access token. The first approval stands.
func (p *Provider) approveDevice(w http.ResponseWriter, r *http.Request) {
	claims, err := p.storage.accessToken(r.Context(), r.PostForm.Get("token"))
	if err != nil {
		writeError(w, http.StatusBadRequest, "invalid_token", "access_token_invalid", "the access token is invalid")
		return
	}
	_, err = p.storage.devices.Update(r.Context(), r.PostForm.Get("user_code"), func(d *device) error {
		if d.Subject != "" || time.Now().After(d.Expires) {
			return store.ErrNotFound
		}
		d.Subject, d.AuthTime = claims.Subject, time.Unix(claims.AuthTime, 0)
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		writeError(w, http.StatusBadRequest, "invalid_request", "invalid_user_code", "the user code is unknown, expired or was used before")
	case err != nil:
		p.serverError(w, "device approval", err)
	default:
		p.log.Info("demo provider: device approved", "person", claims.Subject)
		writeJSON(w, http.StatusOK, map[string]any{
			"deviceGrantStatus": "Approved",
			"deviceInfo":        struct{}{},
			"tenantId":          p.tenantID,
			"userId":            claims.Subject,
		})
	}
}
