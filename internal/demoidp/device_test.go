package demoidp

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (w *world) startDevice() answer {
	w.t.Helper()
	a := w.call("/oauth2/device_authorize", url.Values{"scope": {"openid profile email offline_access"}})
	if a.status != http.StatusOK {
		w.t.Fatalf("device_authorize: %d %v", a.status, a.body)
	}
	return a
}

func (w *world) poll(device answer) answer {
	w.t.Helper()
	return w.call("/oauth2/token", url.Values{"grant_type": {deviceGrant}, "device_code": {device.text("device_code")}})
}

func (w *world) approve(device answer, by *oauth2.Token) answer {
	w.t.Helper()
	return w.call("/oauth2/device/approve", url.Values{"token": {by.AccessToken}, "user_code": {device.text("user_code")}})
}

func TestDeviceFlow(t *testing.T) {
	w := start(t)
	device := w.startDevice()
	code := device.text("user_code")
	if !regexp.MustCompile(`^[A-HJ-NP-Z2-9]{6}$`).MatchString(code) {
		t.Errorf("user code %q", code)
	}
	if got, want := device.text("verification_uri"), appURL+"/activate"; got != want {
		t.Errorf("verification_uri %q, want %q", got, want)
	}
	if got, want := device.text("verification_uri_complete"), appURL+"/activate?user_code="+code; got != want {
		t.Errorf("verification_uri_complete %q, want %q", got, want)
	}
	if device.body["expires_in"] != 600.0 || device.body["interval"] != 5.0 {
		t.Errorf("expires_in %v, interval %v, want 600 and 5", device.body["expires_in"], device.body["interval"])
	}
	w.wantError(w.poll(device), http.StatusBadRequest, "authorization_pending", "")

	a := w.call("/oauth2/device/approve", url.Values{"token": {w.logIn("richard@example.com").AccessToken}, "user_code": {strings.ToLower(code)}})
	if a.status != http.StatusOK || a.text("deviceGrantStatus") != "Approved" || a.text("userId") != richard || a.text("tenantId") == "" || a.body["deviceInfo"] == nil {
		t.Fatalf("approve: %d %v", a.status, a.body)
	}

	a = w.poll(device)
	if a.status != http.StatusOK || a.text("refresh_token") == "" {
		t.Fatalf("poll: %d %v, want tokens", a.status, a.body)
	}
	token := (&oauth2.Token{AccessToken: a.text("access_token")}).WithExtra(a.body)
	if id := w.verify(token); id.Subject != richard || id.Nonce != "" {
		t.Errorf("ID token for %q with nonce %q, want %s and none", id.Subject, id.Nonce, richard)
	}
	w.wantError(w.poll(device), http.StatusBadRequest, "invalid_grant", "")
}

// x/oauth2's own device flow works against it.
func TestDeviceFlowOfOAuth2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		started, err := w.oauth2().DeviceAuth(w.context(), param("client_secret", secret))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		person := w.logIn("richard@example.com")
		time.AfterFunc(12*time.Second, func() {
			if a := w.call("/oauth2/device/approve", url.Values{"token": {person.AccessToken}, "user_code": {started.UserCode}}); a.status != http.StatusOK {
				t.Errorf("approve: %d %v", a.status, a.body)
			}
		})
		token, err := w.oauth2().DeviceAccessToken(w.context(), started)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("took %v, want 15s: three polls, none of them too fast", took)
		}
		if id := w.verify(token); id.Subject != richard {
			t.Errorf("ID token for %q, want %s", id.Subject, richard)
		}
	})
}

func TestDevicePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		device := w.startDevice()
		for i, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "authorization_pending"}, // the first may come at once
			{4 * time.Second, "slow_down"},
			{4 * time.Second, "slow_down"}, // counted from the refused one
			{5 * time.Second, "authorization_pending"},
			{600 * time.Second, "expired_token"},
			{5 * time.Second, "expired_token"},
		} {
			time.Sleep(step.wait)
			if a := w.poll(device); a.status != http.StatusBadRequest || a.text("error") != step.want {
				t.Errorf("poll %d: %d %v, want %s", i, a.status, a.body, step.want)
			}
		}
	})
}

// Nobody waits for tokens that are there.
func TestApprovedDeviceIsNotSlowedDown(t *testing.T) {
	w := start(t)
	device := w.startDevice()
	w.wantError(w.poll(device), http.StatusBadRequest, "authorization_pending", "")
	w.approve(device, w.logIn("richard@example.com"))
	if a := w.poll(device); a.status != http.StatusOK {
		t.Errorf("poll: %d %v, want tokens", a.status, a.body)
	}
}

func TestDeviceIsRedeemedOnce(t *testing.T) {
	w := start(t)
	device := w.startDevice()
	w.approve(device, w.logIn("richard@example.com"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := make(map[int]int)
	for range 8 {
		wg.Go(func() {
			a := w.poll(device)
			mu.Lock()
			defer mu.Unlock()
			got[a.status]++
		})
	}
	wg.Wait()
	if got[http.StatusOK] != 1 || got[http.StatusBadRequest] != 7 {
		t.Errorf("statuses of 8 polls at once: %v, want one 200", got)
	}
}

func TestUnknownDeviceCode(t *testing.T) {
	w := start(t)
	w.wantError(w.call("/oauth2/token", url.Values{"grant_type": {deviceGrant}, "device_code": {"unknown"}}), http.StatusBadRequest, "invalid_grant", "")
	w.wantError(w.call("/oauth2/token", url.Values{"grant_type": {deviceGrant}}), http.StatusBadRequest, "invalid_request", "")
}

// Chance gives the second device the codes of the first.
func TestUserCodeIsTaken(t *testing.T) {
	w := start(t)
	cryptotest.SetGlobalRandom(t, 1)
	first := w.startDevice()
	cryptotest.SetGlobalRandom(t, 1)
	if second := w.startDevice(); second.text("user_code") == first.text("user_code") {
		t.Errorf("both have the user code %s", first.text("user_code"))
	}
}

func TestApproveRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		person := w.logIn("richard@example.com")
		device := w.startDevice()
		approve := func(token, code string) answer {
			return w.call("/oauth2/device/approve", url.Values{"token": {token}, "user_code": {code}})
		}
		code, token := device.text("user_code"), person.AccessToken
		idToken, _ := person.Extra("id_token").(string)
		w.wantError(approve("", code), 400, "invalid_request", "missing_token")
		w.wantError(approve(token, ""), 400, "invalid_request", "missing_user_code")
		w.wantError(approve("x", code), 400, "invalid_token", "access_token_invalid")
		w.wantError(approve(token[:len(token)-8]+"AAAAAAAA", code), 400, "invalid_token", "access_token_invalid")
		w.wantError(approve(idToken, code), 400, "invalid_token", "access_token_invalid")
		w.wantError(approve(token, "NOSUCH"), 400, "invalid_request", "invalid_user_code")
		w.wantError(w.poll(device), 400, "authorization_pending", "")
		if a := approve(token, code); a.status != http.StatusOK {
			t.Fatalf("approve: %d %v", a.status, a.body)
		}
		w.wantError(approve(token, code), 400, "invalid_request", "invalid_user_code") // approved already
		if a := w.poll(device); a.status != http.StatusOK {
			t.Fatalf("poll: %d %v", a.status, a.body)
		}
		w.wantError(approve(token, code), 400, "invalid_request", "invalid_user_code") // redeemed

		late, never := w.startDevice(), w.startDevice()
		if a := w.approve(late, person); a.status != http.StatusOK {
			t.Fatalf("approve: %d %v", a.status, a.body)
		}
		time.Sleep(601 * time.Second)
		w.wantError(w.approve(never, person), 400, "invalid_request", "user_code_expired")
		w.wantError(w.poll(late), 400, "expired_token", "") // approved, but fetched too late
		time.Sleep(time.Hour)
		w.wantError(w.approve(w.startDevice(), person), 400, "invalid_token", "access_token_expired")
	})
}

// Every endpoint for the client wants its secret, in the body or in the
// header, and whole.
func TestClientAuthentication(t *testing.T) {
	w := start(t)
	person := w.logIn("richard@example.com")
	forms := map[string]func() url.Values{
		"/oauth2/token": func() url.Values {
			device := w.startDevice()
			w.approve(device, person)
			return url.Values{"grant_type": {deviceGrant}, "device_code": {device.text("device_code")}}
		},
		"/oauth2/device_authorize": func() url.Values { return url.Values{"scope": {"openid"}} },
		"/oauth2/device/approve": func() url.Values {
			return url.Values{"token": {person.AccessToken}, "user_code": {w.startDevice().text("user_code")}}
		},
		"/oauth2/introspect": func() url.Values { return url.Values{"token": {person.AccessToken}} },
		"/oauth2/revoke":     func() url.Values { return url.Values{"token": {"unknown"}} },
	}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
	}
	post := func(id, secret string) url.Values {
		return url.Values{"client_id": {id}, "client_secret": {secret}}
	}
	for _, tt := range []struct {
		name         string
		body         url.Values
		header       func(*http.Request)
		status       int
		code, reason string
	}{
		{"post", post(clientID, secret), nil, 200, "", ""},
		{"basic", nil, basic(clientID, secret), 200, "", ""},
		{"basic, id in body", url.Values{"client_id": {clientID}}, basic(clientID, secret), 200, "", ""},
		{"basic, other id in body", url.Values{"client_id": {"other"}}, basic(clientID, secret), 401, "invalid_client", "client_authentication_missing"},
		{"none", url.Values{"client_id": {clientID}}, nil, 401, "invalid_client", "client_authentication_missing"},
		{"nothing", nil, nil, 401, "invalid_client", "client_authentication_missing"},
		{"wrong post", post(clientID, "wrong"), nil, 401, "invalid_client", "invalid_client_authentication"},
		{"wrong basic", nil, basic(clientID, "wrong"), 401, "invalid_client", "invalid_client_authentication"},
		{"unknown post", post("unknown", secret), nil, 401, "invalid_client", "invalid_client_authentication"},
		{"unknown basic", nil, basic("unknown", secret), 401, "invalid_client", "invalid_client_authentication"},
		{"basic not encoded", nil, func(r *http.Request) { r.SetBasicAuth(clientID, "%") }, 401, "invalid_client", "client_authentication_missing"},
		{"both", post(clientID, secret), basic(clientID, secret), 400, "invalid_request", "invalid_client_authentication_scheme"},
		{"in the URL", nil, func(r *http.Request) { r.URL.RawQuery = post(clientID, secret).Encode() }, 401, "invalid_client", "client_authentication_missing"},
	} {
		for path, form := range forms {
			t.Run(tt.name+path, func(t *testing.T) {
				a := w.post(path, merge(form(), tt.body), tt.header)
				if a.status != tt.status || a.text("error") != tt.code || a.text("error_reason") != tt.reason {
					t.Errorf("got %d %v, want %d %s %s", a.status, a.body, tt.status, tt.code, tt.reason)
				}
			})
		}
	}
}
