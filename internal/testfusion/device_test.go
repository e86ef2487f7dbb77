package testfusion

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

func regexpFind(t *testing.T, pattern, text string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in %s", pattern, text)
	}
	return html.UnescapeString(match[1])
}

// The application's own page: the person is logged in there, and the
// application approves for them. x/oauth2 polls meanwhile, at its pace.
func TestDeviceFlow(t *testing.T) {
	w := start(t, Options{Behaviour: Behaviour{Interval: time.Second}})
	phone := w.logIn(richard)
	d := w.startDevice()
	if !regexp.MustCompile(`^[A-Z0-9]{6}$`).MatchString(d.UserCode) || d.VerificationURI != appURL+"/activate" ||
		d.VerificationURIComplete != appURL+"/activate?user_code="+d.UserCode || d.Interval != 1 || time.Until(d.Expiry) < 9*time.Minute {
		t.Errorf("device authorization: %+v", d)
	}
	approved := make(chan reply)
	go func() {
		for len(w.Polls()) == 0 { // one is pending
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
		t.Errorf("approve is answered %v", r.fields)
	}
	id := w.verify(token)
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if id.Subject != richardID || claims["nonce"] != nil || claims["sid"] != nil || claims["email"] != richard || claims["tid"] == nil || claims["auth_time"] == nil {
		t.Errorf("the ID token says %v", claims)
	}
	polls := w.Polls()
	if len(polls) != 2 || polls[0].Error != "authorization_pending" || polls[1].Status != 200 || polls[1].Person != richard {
		t.Errorf("the polls are %+v", polls)
	}
	if a := w.Requests("/oauth2/device/approve"); len(a) != 1 || a[0].Person != richard || a[0].Form.Get("token") != "…" {
		t.Errorf("the approval is recorded as %+v", a)
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

	w.Behave(func(b *Behaviour) { b.TokenLifetime = time.Nanosecond })
	w.approve(d, w.logIn(richard).AccessToken).is(t, 400, "invalid_token", "access_token_expired")

	w.Behave(func(b *Behaviour) { b.DeviceLifetime = time.Nanosecond })
	old := w.startDeviceRaw()
	w.poll(old).is(t, 400, "expired_token", "")
	w.approve(old, phone.AccessToken).is(t, 400, "invalid_request", "user_code_expired")
	w.Behave(func(b *Behaviour) { b.Purged = true })
	w.poll(old).is(t, 400, "invalid_request", "invalid_device_code")
	w.approve(old, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code")

	w.approve(d, phone.AccessToken).is(t, 200, "", "")
	w.approve(d, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code") // the first yes stands

	w.Behave(func(b *Behaviour) { b.NoDeviceGrant = true })
	w.poll(d).is(t, 400, "unauthorized_client", "grant_type_disabled")
	w.post("/oauth2/device_authorize", url.Values{"scope": {"openid"}}).is(t, 400, "unauthorized_client", "grant_type_disabled")
	w.Behave(func(b *Behaviour) { b.NoDeviceGrant = false })
	w.post("/oauth2/device_authorize", url.Values{"scope": {"everything"}}).is(t, 400, "invalid_scope", "unknown_scope")
}

// startDeviceRaw is startDevice for codes that expire at once, which x/oauth2
// does not take.
func (w *world) startDeviceRaw() *oauth2.DeviceAuthResponse {
	w.t.Helper()
	r := w.post("/oauth2/device_authorize", url.Values{"scope": {"openid"}})
	r.is(w.t, 200, "", "")
	return &oauth2.DeviceAuthResponse{DeviceCode: r.fields["device_code"].(string), UserCode: r.fields["user_code"].(string)}
}

func TestDeviceInfo(t *testing.T) {
	w := start(t, Options{})
	r := w.post("/oauth2/device_authorize", url.Values{"scope": {"openid email"}, "metaData.device.name": {"Firefox"}, "metaData.device.type": {"BROWSER"}})
	code := r.fields["user_code"].(string)
	r = w.post("/oauth2/device/user-code", url.Values{"user_code": {code}})
	info, _ := r.fields["deviceInfo"].(map[string]any)
	if r.status != 200 || info["name"] != "Firefox" || info["type"] != "BROWSER" || r.fields["scope"] != "email" || r.fields["client_id"] != clientID || r.fields["tenantId"] != w.TenantID() {
		t.Errorf("user-code is answered %d %v", r.status, r.fields)
	}
	w.post("/oauth2/device/user-code", url.Values{"user_code": {"another"}}).is(t, 400, "invalid_request", "invalid_user_code")

	for query, want := range map[string]string{
		"client_id=" + clientID + "&user_code=" + code: "",
		"client_id=" + clientID + "&user_code=another": "invalid_user_code",
		"client_id=" + clientID:                        "missing_user_code",
		"user_code=" + code:                            "missing_client_id",
	} {
		p := w.open("/oauth2/device/validate?" + query)
		if ok := p.status == 200 && p.body == ""; ok != (want == "") || !strings.Contains(p.body, want) {
			t.Errorf("validate?%s is answered %d %s, want %q", query, p.status, p.body, want)
		}
	}
}

// FusionAuth's own page asks for a login and then for nothing.
func TestHostedPage(t *testing.T) {
	w := start(t, Options{})
	d := w.startDevice()
	short := "/oauth2/device?user_code=" + d.UserCode
	form := w.open(short) // the code says whose it is, while it lives
	if !strings.Contains(form.body, `value="`+d.UserCode+`"`) {
		t.Fatalf("the page is %d %s", form.status, form.body)
	}
	p := w.submit(w.submit(form, url.Values{"interactive_user_code": {d.UserCode}}), as(richard))
	if p.status != 200 || !strings.Contains(p.body, "successfully connected") {
		t.Errorf("in the end the page is %d %s", p.status, p.body)
	}
	w.poll(d).is(t, 200, "", "")

	missing := func(address, reason string) {
		t.Helper()
		if p := w.open(address); p.status != 400 || !strings.Contains(html.UnescapeString(p.body), `"error_reason":"`+reason+`"`) {
			t.Errorf("%s is answered %d %s, want %s", address, p.status, p.body, reason)
		}
	}
	missing(short, "missing_client_id")
	missing("/oauth2/device", "missing_client_id")
	missing("/oauth2/device-complete", "missing_client_id")
	missing(short+"&client_id="+clientID, "missing_tenant_id")
	whole := "&client_id=" + clientID + "&tenantId=" + w.TenantID()
	if p := w.open(short + whole); p.status != 200 || !strings.Contains(p.body, "Invalid user code") {
		t.Errorf("with the client a dead code is answered %d %s", p.status, p.body)
	}

	// Who is known is not even asked to log in.
	keep := as(richard)
	keep.Set("rememberDevice", "true")
	w.submit(w.open(w.authURL()), keep)
	d = w.startDevice()
	form = w.open("/oauth2/device?user_code=" + d.UserCode + whole)
	if !strings.Contains(form.body, "without another prompt") {
		t.Errorf("the page does not warn: %s", form.body)
	}
	w.submit(form, url.Values{"interactive_user_code": {d.UserCode}})
	w.poll(d).is(t, 200, "", "")
}

func TestSlowDown(t *testing.T) {
	w := start(t, Options{Behaviour: Behaviour{SlowDowns: 1}})
	d := w.startDevice()
	w.poll(d).is(t, 400, "slow_down", "")
	w.poll(d).is(t, 400, "authorization_pending", "")
	w.violated("the interval is 10s")
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
		t.Errorf("the answer has %v", r.fields)
	}
	if id := w.verify(new(oauth2.Token).WithExtra(r.fields)); id.Subject != richardID || id.Nonce != "" {
		t.Errorf("the ID token is of %s with the nonce %q, want none", id.Subject, id.Nonce)
	}
	w.Behave(func(b *Behaviour) { b.OneTimeRefresh = true })
	r = refresh(first.RefreshToken)
	r.is(t, 200, "", "")
	next, _ := r.fields["refresh_token"].(string)
	refresh(first.RefreshToken).is(t, 400, "invalid_grant", "refresh_token_not_found")
	refresh(next).is(t, 200, "", "")
}

func TestUserCodesAsTheTenantSays(t *testing.T) {
	w := start(t, Options{}, `"deviceCodeTimeToLiveInSeconds": 600`, `"deviceUserCodeIdGenerator": {"length": 9, "type": "randomDigits"}`)
	d := w.startDevice()
	if !regexp.MustCompile(`^[0-9]{9}$`).MatchString(d.UserCode) || time.Until(d.Expiry) > 5*time.Minute {
		t.Errorf("device authorization: %+v, want nine digits that live for five minutes", d)
	}
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
		t.Errorf("with another person's: %d, want 404", got)
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
	if got := revoke("?token="+another.RefreshToken, "", another.AccessToken); got != 200 || w.RefreshTokens() != 0 {
		t.Errorf("by the address: %d, %d left", got, w.RefreshTokens())
	}
	w.violated("token is in the address")
}

func TestFaults(t *testing.T) {
	w := start(t, Options{})
	phone := w.logIn(richard)
	d := w.startDevice()
	w.Fault("/oauth2/device/approve", Refuse(400, "invalid_request", "invalid_user_code"))
	w.approve(d, phone.AccessToken).is(t, 400, "invalid_request", "invalid_user_code")
	w.Fault("/oauth2/device/approve", Break(http.StatusNotFound))
	w.approve(d, phone.AccessToken).is(t, 404, "", "")
	w.Fault("/oauth2/device/approve", w.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+"/oauth2/device/approve", nil)
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hanging endpoint: %v", err)
	}
	w.Fault("/oauth2/device/approve", nil)
	w.approve(d, phone.AccessToken).is(t, 200, "", "")
	var told []int
	for _, r := range w.Requests("/oauth2/device/approve") {
		told = append(told, r.Status)
	}
	if len(told) != 4 || told[0] != 400 || told[1] != 404 || told[2] != 0 || told[3] != 200 {
		t.Errorf("the statuses are %v", told)
	}
}
