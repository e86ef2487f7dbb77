package testfusion

import (
	"crypto/rand"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A device is a device code with its user code (RFC 8628).
type device struct {
	grant           // of nobody until it is approved
	code, userCode  string
	info            map[string]string // what the application told of it
	expires, polled time.Time
	interval        time.Duration
}

func (s *Server) deviceAuthorize(c *call) (answer, error) {
	app, err := s.client(c, false, false)
	if err != nil {
		return answer{}, err
	}
	if err := s.may(app, deviceGrant); err != nil {
		return answer{}, err
	}
	if c.form.Get("scope") == "" {
		s.violate(c, "no scope: which ones are meant then is not documented")
	}
	scopes, err := s.scopesOf(app, c.form.Get("scope"))
	if err != nil {
		return answer{}, err
	}
	life := lifetime(s.b.DeviceLifetime, s.setup.tenant.Identifiers.DeviceCodeLifetime)
	d := &device{
		grant:    grant{app: app, scopes: scopes, types: []string{deviceGrant}},
		code:     rand.Text() + rand.Text(),
		userCode: s.newUserCode(),
		info:     make(map[string]string),
		expires:  time.Now().Add(life),
		interval: lifetime(s.b.Interval, 5),
	}
	for _, name := range []string{"name", "type", "description"} {
		if value := c.form.Get("metaData.device." + name); value != "" {
			d.info[name] = value
		}
	}
	s.devices = append(s.devices, d)
	page := app.OAuth.DeviceVerificationURL
	return answer{body: map[string]any{
		"device_code": d.code, "user_code": d.userCode,
		"verification_uri": page, "verification_uri_complete": page + "?user_code=" + d.userCode,
		"expires_in": int(life.Seconds()), "interval": int(d.interval.Seconds()),
	}}, nil
}

func (s *Server) newUserCode() string {
	format := s.setup.tenant.Identifiers.UserCodes
	alphabet := alphabets[format.Type]
	var text strings.Builder
	for range format.Length {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // never
		}
		text.WriteByte(alphabet[n.Int64()])
	}
	return text.String()
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
	// A tenth is for a network that is not even.
	if !d.polled.IsZero() && now.Sub(d.polled) < d.interval*9/10 {
		s.violate(c, "polled "+now.Sub(d.polled).String()+" after the poll before, the interval is "+d.interval.String())
	}
	d.polled = now
	if s.b.SlowDowns > 0 {
		s.b.SlowDowns--
		d.interval += 5 * time.Second
		return nil, &oauthError{400, "slow_down", "", "The interval is five seconds longer from now on."}
	}
	return nil, &oauthError{400, "authorization_pending", "", "The authorization request is still pending."}
}

// find returns the device that waits for somebody to approve its user code,
// which counts exactly as it was given out.
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

// deviceValidate tells anybody whether a user code can be approved.
func (s *Server) deviceValidate(c *call) (answer, error) {
	id := c.query.Get("client_id")
	if id == "" {
		return answer{}, invalid("missing_client_id", "client_id is missing.")
	}
	d, err := s.find(c.query.Get("user_code"))
	if err == nil && d.app.ID != id {
		err = invalid("invalid_client_id", "The user_code is not this client's.")
	}
	return answer{}, err
}

// deviceUserCode tells the application what waits behind a user code.
func (s *Server) deviceUserCode(c *call) (answer, error) {
	app, err := s.client(c, true, false)
	if err != nil {
		return answer{}, err
	}
	d, err := s.find(c.form.Get("user_code"))
	if err == nil && d.app != app {
		err = invalid("invalid_user_code", "The user_code is invalid.")
	}
	if err != nil {
		return answer{}, err
	}
	shown := slices.DeleteFunc(slices.Clone(d.scopes), func(scope string) bool { return scope == "openid" || scope == "offline_access" })
	return answer{body: map[string]any{
		"client_id": app.ID, "deviceInfo": d.info, "expires_in": int(time.Until(d.expires).Seconds()),
		"scope": strings.Join(shown, " "), "tenantId": s.setup.tenantID, "user_code": d.userCode,
	}}, nil
}

// deviceApprove lets the application say yes for the person whose access token
// it has.
func (s *Server) deviceApprove(c *call) (answer, error) {
	app, err := s.client(c, true, false)
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
		"deviceGrantStatus": "Approved", "deviceInfo": d.info, "tenantId": s.setup.tenantID, "userId": d.user.ID,
	}}, nil
}
