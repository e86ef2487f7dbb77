package tests

import (
	"strings"
	"testing"
)

// Tokens, device codes, cookies and the client secret are never in the log, on
// a page, in an address, or among the metrics and profiles. The number is on the phone only, and the user code
// on the two screens.
func TestNoSecretIsSeen(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			b, laptop, phone := proxiedPair(t, "LOG_FORMAT="+format, onMetrics)
			laptop.at(awayAddr)
			phone.at(homeAddr)
			other := b.browserOf(t, erlich).at(thirdAddr)
			p, link := laptop.showCode()
			cookies := append(laptop.cookieValues(), phone.cookieValues()...)
			number := phone.approve(link).number()
			other.get(link) // is refused
			laptop.typeNumber("12345")
			b.demo.once("/oauth2/token", "device_code", faults["half an answer"])
			laptop.confirm(number, richard)
			cookies = append(cookies, laptop.cookieValues()...)
			laptop.logOut()
			phone.get("/activate?user_code=WRONG1")
			metrics := b.metrics(t) + b.profiles(t)
			b.stop()

			secrets := append(append(b.demo.seen(), cookies...), b.secret)
			// A device code, three tokens of each login, and a few cookies.
			if len(secrets) < 1+3*3+3+1 {
				t.Fatalf("only %d secrets passed", len(secrets))
			}
			for _, secret := range secrets {
				if strings.Contains(b.log.String(), secret) {
					t.Errorf("a secret is in the log: %.12s…", secret)
				}
				if strings.Contains(metrics, secret) {
					t.Errorf("a secret is among the metrics or the profiles: %.12s…", secret)
				}
				if strings.Contains(b.seen.String(), secret) {
					t.Errorf("a secret is on a page or in an address: %.12s…", secret)
				}
			}
			if strings.Contains(b.log.String(), p.text("user-code")) {
				t.Error("the user code is in the log")
			}
			if strings.Contains(metrics, p.text("user-code")) {
				t.Error("the user code is among the metrics or the profiles")
			}
			for name, text := range map[string]string{"the log": b.log.String(), "what the laptop received": laptop.seen.String(), "what another person received": other.seen.String()} {
				if hasNumber(text, number) {
					t.Errorf("the number is in %s", name)
				}
			}
			if !hasNumber(phone.seen.String(), number) {
				t.Error("what the phone received was not kept")
			}
		})
	}
}
