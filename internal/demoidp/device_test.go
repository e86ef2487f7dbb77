package demoidp

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (w *world) startDevice() answer {
	w.t.Helper()
	a := w.call("/oauth2/device_authorize", url.Values{"scope": {"openid profile email offline_access unknown"}})
	if a.status != http.StatusOK {
		w.t.Fatalf("device_authorize: %d %v", a.status, a.body)
	}
	return a
}

func (w *world) poll(device answer) answer { return w.pollCode(device.text("device_code")) }

func (w *world) pollCode(code string) answer {
	w.t.Helper()
	return w.call("/oauth2/token", url.Values{"grant_type": {deviceGrant}, "device_code": {code}})
}

func (w *world) approve(device answer, by *oauth2.Token) answer {
	return w.approveCode(device.text("user_code"), by.AccessToken)
}

func (w *world) approveCode(code, token string) answer {
	w.t.Helper()
	return w.call("/oauth2/device/approve", url.Values{"token": {token}, "user_code": {code}})
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

	a := w.approve(device, w.logIn(richard))
	if a.status != http.StatusOK || a.text("deviceGrantStatus") != "Approved" || a.text("userId") != richardID || a.text("tenantId") == "" || a.body["deviceInfo"] == nil {
		t.Fatalf("approve: %d %v", a.status, a.body)
	}
	a = w.poll(device) // at once: nobody waits for tokens that are there
	if a.status != http.StatusOK || a.text("refresh_token") == "" || a.text("scope") != "openid profile email offline_access" {
		t.Fatalf("poll: %d %v, want tokens", a.status, a.body)
	}
	if id := w.verify(a.token()); id.Subject != richardID || id.Nonce != "" {
		t.Errorf("ID token for %q with nonce %q, want %s and none", id.Subject, id.Nonce, richardID)
	}
	w.wantError(w.poll(device), http.StatusBadRequest, "invalid_grant", "")
}

// x/oauth2's own device flow works against the demo provider.
func TestDeviceFlowOfOAuth2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		started, err := w.oauth2().DeviceAuth(w.context(), param("client_secret", secret))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		person := w.logIn(richard)
		time.AfterFunc(12*time.Second, func() {
			if a := w.approveCode(started.UserCode, person.AccessToken); a.status != http.StatusOK {
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
		if id := w.verify(token); id.Subject != richardID || !w.authTime(token).Equal(w.authTime(person)) {
			t.Errorf("ID token for %q with auth_time %v, want the phone's", id.Subject, w.authTime(token))
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

func TestDeviceCodeIsUsedOnce(t *testing.T) {
	w := start(t)
	device := w.startDevice()
	w.approve(device, w.logIn(richard))
	if got := statuses(func() answer { return w.poll(device) }); got[http.StatusOK] != 1 || got[http.StatusBadRequest] != 7 {
		t.Errorf("statuses of 8 polls at once: %v, want one 200", got)
	}
}

// A user code alone, which anyone may have seen, is not enough to poll with.
func TestUnknownDeviceCode(t *testing.T) {
	w := start(t)
	device := w.startDevice()
	w.approve(device, w.logIn(richard))
	userCode := device.text("user_code")
	for _, code := range []string{"", "unknown", userCode, userCode + ".", userCode + ".wrong"} {
		w.wantError(w.pollCode(code), http.StatusBadRequest, "invalid_grant", "")
	}
	if a := w.poll(device); a.status != http.StatusOK {
		t.Errorf("poll: %d %v, want tokens", a.status, a.body)
	}
}

// Chance gives a second device the user code of the first.
func TestUserCodeIsTaken(t *testing.T) {
	w := start(t)
	cryptotest.SetGlobalRandom(t, 1)
	first := w.startDevice()
	cryptotest.SetGlobalRandom(t, 1)
	w.wantError(w.call("/oauth2/device_authorize", url.Values{"scope": {"openid"}}), http.StatusInternalServerError, "server_error", "")
	w.wantError(w.poll(first), http.StatusBadRequest, "authorization_pending", "")
}

func TestApprovalRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		person := w.logIn(richard)
		device := w.startDevice()
		code, token := device.text("user_code"), person.AccessToken
		for _, bad := range []string{"", "x", "e30.bnVsbA.e30", token[:len(token)-8] + "AAAAAAAA", idToken(person)} {
			w.wantError(w.approveCode(code, bad), 400, "invalid_token", "access_token_invalid")
		}
		for _, bad := range []string{"", "NOSUCH", strings.ToLower(code), device.text("device_code")} {
			w.wantError(w.approveCode(bad, token), 400, "invalid_request", "invalid_user_code")
		}
		w.wantError(w.poll(device), 400, "authorization_pending", "")
		if a := w.approve(device, person); a.status != http.StatusOK {
			t.Fatalf("approve: %d %v", a.status, a.body)
		}
		w.wantError(w.approve(device, w.logIn(erlich)), 400, "invalid_request", "invalid_user_code") // the first approval stands
		if id := w.verify(w.poll(device).token()); id.Subject != richardID {
			t.Errorf("ID token for %s, want the first who approved", id.Subject)
		}
		w.wantError(w.approve(device, person), 400, "invalid_request", "invalid_user_code") // redeemed

		late, never := w.startDevice(), w.startDevice()
		if a := w.approve(late, person); a.status != http.StatusOK {
			t.Fatalf("approve: %d %v", a.status, a.body)
		}
		time.Sleep(601 * time.Second)
		w.wantError(w.approve(never, person), 400, "invalid_request", "invalid_user_code")
		w.wantError(w.poll(late), 400, "expired_token", "") // approved, but polled too late
		time.Sleep(time.Hour)
		w.wantError(w.approve(w.startDevice(), person), 400, "invalid_token", "access_token_invalid") // expired
	})
}
