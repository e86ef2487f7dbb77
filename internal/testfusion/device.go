package testfusion

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// A device is a device code with its user code (RFC 8628).
type device struct {
	grant           // without a user until it is approved
	code, userCode  string
	expires, polled time.Time
	interval        time.Duration
}

func (s *Server) deviceAuthorize(c *call) (answer, error) {
	app, err := s.client(c, false)
	if err != nil {
		return answer{}, err
	}
	if err := s.may(app, deviceGrant); err != nil {
		return answer{}, err
	}
	if c.form.Get("scope") == "" {
		s.violate(c, "no scope: what that means is not documented")
	}
	scopes, err := scopesOf(c.form.Get("scope"))
	if err != nil {
		return answer{}, err
	}
	life := lifetime(s.b.DeviceLifetime, s.setup.tenant.Identifiers.DeviceCodeLifetime)
	d := &device{
		grant:    grant{app: app, scopes: scopes, types: []string{deviceGrant}},
		code:     rand.Text() + rand.Text(),
		userCode: rand.Text()[:6], // upper case and digits, like FusionAuth's
		expires:  time.Now().Add(life),
		interval: lifetime(s.b.Interval, 5),
	}
	s.devices = append(s.devices, d)
	page := app.OAuth.DeviceVerificationURL
	return answer{body: map[string]any{
		"device_code": d.code, "user_code": d.userCode,
		"verification_uri": page, "verification_uri_complete": page + "?user_code=" + d.userCode,
		"expires_in": int(life.Seconds()), "interval": int(d.interval.Seconds()),
	}}, nil
}

// poll is the token endpoint's device grant (RFC 8628, sections 3.4 and 3.5).
func (s *Server) poll(c *call, app *application) (map[string]any, error) {
	value, now := c.form.Get("device_code"), time.Now()
	if value == "" {
		return nil, invalid("missing_device_code", "device_code is missing.")
	}
	i := slices.IndexFunc(s.devices, func(d *device) bool { return d.code == value && d.app == app })
	if i < 0 || s.b.Purged && now.After(s.devices[i].expires) {
		return nil, invalid("invalid_device_code", "The device_code is invalid.")
	}
	d := s.devices[i]
	switch {
	case now.After(d.expires):
		return nil, &oauthError{400, "expired_token", "", "The device_code has expired."}
	case d.user != nil:
		s.devices = slices.Delete(s.devices, i, i+1)
		tokens := s.issue(c, d.grant, "")
		maps.Copy(tokens, s.newRefreshToken(d.grant))
		return tokens, nil
	}
	if !d.polled.IsZero() && now.Sub(d.polled) < d.interval*9/10 { // a tenth for network jitter
		s.violate(c, "polled after "+now.Sub(d.polled).String()+", the interval is "+d.interval.String())
	}
	d.polled = now
	return nil, &oauthError{400, "authorization_pending", "", "The authorization request is still pending."}
}

// find returns the device that waits for approval under a user code, which must
// be exactly as it was issued.
func (s *Server) find(userCode string) (*device, error) {
	if userCode == "" {
		return nil, invalid("missing_user_code", "user_code is missing.")
	}
	i := slices.IndexFunc(s.devices, func(d *device) bool { return d.userCode == userCode && d.user == nil })
	switch {
	case i < 0 || s.b.Purged && time.Now().After(s.devices[i].expires):
		return nil, invalid("invalid_user_code", "The user_code is invalid.")
	case time.Now().After(s.devices[i].expires):
		return nil, invalid("user_code_expired", "The user_code has expired.")
	}
	return s.devices[i], nil
}

// deviceApprove lets the application approve a device for the user whose access
// token it has.
func (s *Server) deviceApprove(c *call) (answer, error) {
	app, err := s.client(c, true)
	if err != nil {
		return answer{}, err
	}
	if c.form.Get("token") == "" {
		return answer{}, invalid("missing_token", "token is missing.")
	}
	access, err := s.accessTokenOf(c, c.form.Get("token"), 400)
	if err != nil {
		return answer{}, err
	}
	d, err := s.find(c.form.Get("user_code"))
	if err == nil && (d.app != app || access.app != app) {
		err = invalid("invalid_user_code", "The user_code is invalid.")
	}
	if err != nil {
		return answer{}, err
	}
	d.user, d.authTime = access.user, access.authTime
	return answer{body: map[string]any{
		"deviceGrantStatus": "Approved", "deviceInfo": struct{}{}, "tenantId": s.setup.tenantID, "userId": d.user.id,
	}}, nil
}
