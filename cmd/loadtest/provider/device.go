package provider

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

const deviceLifetime = 30 * time.Minute

// device is a device code with its user code (RFC 8628).
type device struct {
	userCode string
	person   string // who approved
	ownPage  bool
	expires  time.Time
}

func (p *Provider) deviceAuthorize(w http.ResponseWriter, _ *http.Request) {
	code, page, own := rand.Text(), p.cfg.VerificationURI, p.ownPage.Load()
	if own {
		page = p.cfg.Issuer + "/oauth2/device"
	}
	p.mu.Lock()
	d := &device{userCode: newUserCode(), ownPage: own, expires: time.Now().Add(deviceLifetime)}
	for p.users[d.userCode] != nil {
		d.userCode = newUserCode()
	}
	p.devices[code], p.users[d.userCode] = d, d
	p.mu.Unlock()
	answer(w, map[string]any{
		"device_code":               code,
		"user_code":                 d.userCode,
		"verification_uri":          page,
		"verification_uri_complete": page + "?user_code=" + url.QueryEscape(d.userCode),
		"expires_in":                int(deviceLifetime.Seconds()),
		"interval":                  int(p.cfg.Interval.Seconds()),
	})
}

// newUserCode has two characters more than FusionAuth's, for the many codes of a
// load test.
func newUserCode() string { return rand.Text()[:8] }

// deviceApprove is FusionAuth's call: the application approves a device for the
// person whose access token it sends.
func (p *Provider) deviceApprove(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	person, known := p.access[r.PostFormValue("token")]
	userCode := r.PostFormValue("user_code")
	d := p.users[userCode]
	if known && d != nil {
		d.person = person
		delete(p.users, userCode)
	}
	p.mu.Unlock()
	if !known || d == nil {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	answer(w, map[string]any{"deviceGrantStatus": "Approved", "userId": person})
}

// poll redeems a device code, once.
func (p *Provider) poll(w http.ResponseWriter, r *http.Request) {
	code := r.PostFormValue("device_code")
	p.mu.Lock()
	d := p.devices[code]
	var person string
	if d != nil {
		person = d.person
	}
	if person != "" {
		delete(p.devices, code)
	}
	p.mu.Unlock()
	if d != nil && d.ownPage {
		p.ownPagePolls.Add(1)
	} else {
		p.polls.Add(1)
	}
	switch {
	case d == nil:
		refuse(w, http.StatusBadRequest, "invalid_request")
	case time.Now().After(d.expires):
		refuse(w, http.StatusBadRequest, "expired_token")
	case person == "":
		refuse(w, http.StatusBadRequest, "authorization_pending")
	default:
		p.issue(w, person, "", rand.Text())
	}
}
