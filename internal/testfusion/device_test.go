package testfusion

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// The user approves on the application's own page, and the application passes it
// on. x/oauth2 polls in the meantime.
func TestDeviceFlow(t *testing.T) {
	w := start(t, Options{Behavior: Behavior{Interval: time.Second}})
	phone := w.logIn(richard)
	d := w.startDevice()
	if !regexp.MustCompile(`^[A-Z0-9]{6}$`).MatchString(d.UserCode) || d.VerificationURI != appURL+"/activate" ||
		d.VerificationURIComplete != appURL+"/activate?user_code="+d.UserCode || d.Interval != 1 || time.Until(d.Expiry) < 9*time.Minute {
		t.Errorf("device authorization: %+v", d)
	}
	approved := make(chan reply)
	go func() {
		for len(w.Polls()) == 0 { // the first is pending
			time.Sleep(time.Millisecond)
		}
		approved <- w.approve(d, phone.AccessToken)
	}()
	token, err := w.app.DeviceAccessToken(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	r := <-approved
	r.is(t, 200, "", "")
	if r.fields["deviceGrantStatus"] != "Approved" || r.fields["userId"] != richardID || r.fields["tenantId"] != w.TenantID() {
		t.Errorf("approve: %v", r.fields)
	}
	id := w.verify(token)
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if id.Subject != richardID || claims["nonce"] != nil || claims["sid"] != nil || claims["email"] != richard || claims["tid"] == nil || claims["auth_time"] == nil {
		t.Errorf("ID token claims: %v", claims)
	}
	polls := w.Polls()
	if len(polls) != 2 || polls[0].Error != "authorization_pending" || polls[1].Status != 200 || polls[1].Person != richard {
		t.Errorf("polls: %+v", polls)
	}
	if a := w.Requests("/oauth2/device/approve"); len(a) != 1 || a[0].Person != richard || a[0].Form.Get("token") != "…" {
		t.Errorf("recorded approval: %+v", a)
	}
	w.poll(d).is(t, 400, "invalid_request", "invalid_device_code")
	w.approve(d, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code")
}

func TestDeviceErrors(t *testing.T) {
	w := start(t, Options{})
	phone := w.logIn(richard)
	w.poll(&oauth2.DeviceAuthResponse{DeviceCode: "another"}).is(t, 400, "invalid_request", "invalid_device_code")
	w.poll(&oauth2.DeviceAuthResponse{}).is(t, 400, "invalid_request", "missing_device_code")

	d := w.startDevice()
	w.approve(d, "another").is(t, 400, "invalid_token", "access_token_invalid")
	w.approve(d, "").is(t, 400, "invalid_request", "missing_token")
	w.approve(&oauth2.DeviceAuthResponse{}, phone.AccessToken).is(t, 400, "invalid_request", "missing_user_code")
	w.approve(&oauth2.DeviceAuthResponse{UserCode: strings.ToLower(d.UserCode)}, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code")

	w.Behave(func(b *Behavior) { b.TokenLifetime = time.Nanosecond })
	w.approve(d, w.logIn(richard).AccessToken).is(t, 400, "invalid_token", "access_token_expired")

	w.Behave(func(b *Behavior) { b.DeviceLifetime = time.Nanosecond })
	old := w.startDeviceRaw()
	w.poll(old).is(t, 400, "expired_token", "")
	w.approve(old, phone.AccessToken).is(t, 400, "invalid_request", "user_code_expired")
	w.Behave(func(b *Behavior) { b.Purged = true })
	w.poll(old).is(t, 400, "invalid_request", "invalid_device_code")
	w.approve(old, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code")

	w.approve(d, phone.AccessToken).is(t, 200, "", "")
	w.approve(d, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code") // the first approval stands

	w.Behave(func(b *Behavior) { b.NoDeviceGrant = true })
	w.poll(d).is(t, 400, "unauthorized_client", "grant_type_disabled")
	w.post("/oauth2/device_authorize", url.Values{"scope": {"openid"}}).is(t, 400, "unauthorized_client", "grant_type_disabled")
	w.Behave(func(b *Behavior) { b.NoDeviceGrant = false })
	w.post("/oauth2/device_authorize", url.Values{"scope": {"everything"}}).is(t, 400, "invalid_scope", "unknown_scope")
}

// startDeviceRaw is startDevice for codes that expire at once, which x/oauth2
// rejects.
func (w *world) startDeviceRaw() *oauth2.DeviceAuthResponse {
	w.t.Helper()
	r := w.post("/oauth2/device_authorize", url.Values{"scope": {"openid"}})
	r.is(w.t, 200, "", "")
	return &oauth2.DeviceAuthResponse{DeviceCode: r.fields["device_code"].(string), UserCode: r.fields["user_code"].(string)}
}

// FusionAuth's own page asks for a login, and approves without a question.
func TestHostedPage(t *testing.T) {
	w := start(t, Options{})
	d := w.startDevice()
	short := "/oauth2/device?user_code=" + d.UserCode
	form := w.open(short) // a valid code names its client
	if !strings.Contains(form.body, `value="`+d.UserCode+`"`) {
		t.Fatalf("the page is %d %s", form.status, form.body)
	}
	p := w.submit(w.submit(form, url.Values{"interactive_user_code": {d.UserCode}}), as(richard))
	if p.status != 200 || !strings.Contains(p.body, "successfully connected") {
		t.Errorf("the last page is %d %s", p.status, p.body)
	}
	w.poll(d).is(t, 200, "", "")

	missing := func(address, reason string) {
		t.Helper()
		if p := w.open(address); p.status != 400 || !strings.Contains(html.UnescapeString(p.body), `"error_reason":"`+reason+`"`) {
			t.Errorf("%s: %d %s, want %s", address, p.status, p.body, reason)
		}
	}
	missing(short, "missing_client_id")
	missing("/oauth2/device", "missing_client_id")
	missing("/oauth2/device-complete", "missing_client_id")
	missing(short+"&client_id="+clientID, "missing_tenant_id")
	whole := "&client_id=" + clientID + "&tenantId=" + w.TenantID()
	if p := w.open(short + whole); p.status != 200 || !strings.Contains(p.body, "Invalid user code") {
		t.Errorf("a used code with its client: %d %s", p.status, p.body)
	}

	// A user who is logged in is not even asked for a password.
	w.submit(w.open(w.authURL()), keep(richard))
	d = w.startDevice()
	form = w.open("/oauth2/device?user_code=" + d.UserCode + whole)
	if !strings.Contains(form.body, "without another prompt") {
		t.Errorf("the page does not warn: %s", form.body)
	}
	w.submit(form, url.Values{"interactive_user_code": {d.UserCode}})
	w.poll(d).is(t, 200, "", "")
}

func TestRefresh(t *testing.T) {
	w := start(t, Options{})
	first := w.logIn(richard)
	refresh := func(token string) reply {
		return w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}
	r := refresh(first.RefreshToken)
	r.is(t, 200, "", "")
	if r.fields["refresh_token"] != nil || r.fields["id_token"] == nil || r.fields["scope"] != nil || r.fields["userId"] != richardID {
		t.Errorf("answer: %v", r.fields)
	}
	if id := w.verify(new(oauth2.Token).WithExtra(r.fields)); id.Subject != richardID || id.Nonce != "" {
		t.Errorf("ID token for %s with nonce %q, want none", id.Subject, id.Nonce)
	}
	w.Behave(func(b *Behavior) { b.OneTimeRefresh = true })
	r = refresh(first.RefreshToken)
	r.is(t, 200, "", "")
	next, _ := r.fields["refresh_token"].(string)
	refresh(first.RefreshToken).is(t, 400, "invalid_grant", "refresh_token_not_found")
	refresh(next).is(t, 200, "", "")
}

func TestRevoke(t *testing.T) {
	w := start(t, Options{})
	richards, erlichs := w.logIn(richard), w.logIn("erlich@example.com")
	revoke := func(path, form, access string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.URL+"/api/jwt/refresh"+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		if access != "" {
			req.Header.Set("Authorization", "Bearer "+access)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return w.do(req).status
	}
	id := "/" + richards.Extra("refresh_token_id").(string)
	if got := revoke(id, "", ""); got != 401 {
		t.Errorf("without an access token: %d, want 401", got)
	}
	if got := revoke(id, "", erlichs.AccessToken); got != 404 {
		t.Errorf("with another user's: %d, want 404", got)
	}
	if w.RefreshTokens() != 2 {
		t.Errorf("%d refresh tokens are left, want both", w.RefreshTokens())
	}
	if got := revoke(id, "", richards.AccessToken); got != 200 || w.RefreshTokens() != 1 {
		t.Errorf("by its ID: %d, %d left", got, w.RefreshTokens())
	}
	if got := revoke("", "token="+erlichs.RefreshToken, erlichs.AccessToken); got != 200 || w.RefreshTokens() != 0 {
		t.Errorf("by the form: %d, %d left", got, w.RefreshTokens())
	}
	another := w.logIn(richard)
	if got := revoke("?token="+another.RefreshToken, "", another.AccessToken); got != 400 || w.RefreshTokens() != 1 {
		t.Errorf("by the URL: %d, %d left", got, w.RefreshTokens())
	}
	w.violated("token is in the URL")
}

func TestFaults(t *testing.T) {
	w := start(t, Options{})
	phone := w.logIn(richard)
	d := w.startDevice()
	w.Fault("/oauth2/device/approve", Refuse(400, "invalid_request", "invalid_user_code"))
	w.approve(d, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code")
	w.Fault("/oauth2/device/approve", Break(http.StatusNotFound))
	w.approve(d, phone.AccessToken).is(t, 404, "", "")
	w.Fault("/oauth2/device/approve", nil)
	w.approve(d, phone.AccessToken).is(t, 200, "", "")
	var statuses []int
	for _, r := range w.Requests("/oauth2/device/approve") {
		statuses = append(statuses, r.Status)
	}
	if !slices.Equal(statuses, []int{400, 404, 200}) {
		t.Errorf("recorded statuses: %v", statuses)
	}
}
