package idp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

const (
	startPath = "/oauth2/device_authorize"
	userCode  = "WDJB-MJHT"
)

// deviceCode is a response of the device endpoint with more fields at its end.
func deviceCode(more string) string {
	return `{"device_code":"the-device-code","user_code":"` + userCode + `","verification_uri":"` + verifyURI + `"` + more + `}`
}

// startDevice returns the device code in a response.
func startDevice(t *testing.T, response http.HandlerFunc) idp.DeviceCode {
	t.Helper()
	p, c := start(t)
	p.on(startPath, response)
	got, err := c.StartDevice(t.Context())
	if err != nil {
		t.Fatalf("StartDevice: %v", err)
	}
	if scope := p.one(t, startPath).form.Get("scope"); scope != "openid profile email offline_access" {
		t.Errorf("scope %q, want all of ours", scope)
	}
	return got
}

func TestStartDevice(t *testing.T) {
	const complete = verifyURI + "?user_code=" + userCode + "&x=1"
	got := startDevice(t, respond(200, deviceCode(`,"verification_uri_complete":"`+complete+`","expires_in":600,"interval":7`)))
	wantIn(t, "Expires", got.Expires, 600*time.Second)
	got.Expires = time.Time{}
	want := idp.DeviceCode{Device: "the-device-code", User: userCode, URI: verifyURI, URIComplete: complete, Interval: 7 * time.Second}
	if got != want {
		t.Errorf("StartDevice: %+v, want %+v", got, want)
	}
}

func TestStartDeviceTimes(t *testing.T) {
	tests := []struct {
		name, more        string
		expires, interval time.Duration
	}{
		{"strings", `,"expires_in":"600","interval":"7"`, 600 * time.Second, 7 * time.Second},
		{"floats", `,"expires_in":600.0,"interval":5.0`, 600 * time.Second, 5 * time.Second},
		{"small numbers", `,"expires_in":6e2,"interval":0.25`, 600 * time.Second, time.Second},
		{"missing", ``, 5 * time.Minute, 5 * time.Second},
		{"null", `,"expires_in":null,"interval":null`, 5 * time.Minute, 5 * time.Second},
		{"zero", `,"expires_in":0,"interval":0`, 5 * time.Minute, 5 * time.Second},
		// A time.Ticker with such an interval panics.
		{"negative", `,"expires_in":-1,"interval":-5`, 5 * time.Minute, 5 * time.Second},
		{"huge", `,"expires_in":1e300,"interval":99999999999999999999`, 30 * time.Minute, time.Minute},
		{"beyond floats", `,"expires_in":1e999,"interval":"Inf"`, 5 * time.Minute, time.Minute},
		{"not numbers", `,"expires_in":"soon","interval":"NaN"`, 5 * time.Minute, 5 * time.Second},
		{"not scalars", `,"expires_in":{"s":1},"interval":[1]`, 5 * time.Minute, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := startDevice(t, respond(200, deviceCode(tt.more)))
			wantIn(t, "Expires", got.Expires, tt.expires)
			if got.Interval != tt.interval {
				t.Errorf("interval %v, want %v", got.Interval, tt.interval)
			}
		})
	}
}

func TestStartDeviceAsText(t *testing.T) {
	got := startDevice(t, respondAs(200, "text/plain", deviceCode(`,"interval":7`)))
	if got.Device != "the-device-code" || got.Interval != 7*time.Second {
		t.Errorf("StartDevice: %+v, want the code and an interval of 7s", got)
	}
}

// People scan the QR code: it must lead to the verification URI only. On our own
// page we know how to add the code.
func TestStartDeviceCompleteURI(t *testing.T) {
	for name, complete := range map[string]string{
		"missing":               "",
		"on another host":       "https://evil.example/activate?user_code=" + userCode,
		"with http":             "http://bank.example/activate?user_code=" + userCode,
		"on another port":       "https://bank.example:8443/activate?user_code=" + userCode,
		"on another path":       "https://bank.example/logout?user_code=" + userCode,
		"on a path below":       "https://bank.example/activate/../logout?user_code=" + userCode,
		"user name of another":  "https://evil.example@bank.example/activate?user_code=" + userCode,
		"our host as user name": "https://bank.example@evil.example/activate?user_code=" + userCode,
		"without a host":        "/activate?user_code=" + userCode,
		"without slashes":       "https:bank.example/activate?user_code=" + userCode,
		"a script":              "javascript:alert(1)",
		"not a URI":             "https://[",
	} {
		t.Run(name, func(t *testing.T) {
			got := startDevice(t, respond(200, deviceCode(`,"verification_uri_complete":"`+complete+`"`)))
			if want := verifyURI + "?user_code=" + userCode; got.URIComplete != want || got.URI != verifyURI {
				t.Errorf("URIs %s and %s, want %s and %s", got.URI, got.URIComplete, verifyURI, want)
			}
		})
	}
	t.Run("missing, with special characters in the code", func(t *testing.T) {
		got := startDevice(t, respond(200, `{"device_code":"d","user_code":"A+B C","verification_uri":"`+verifyURI+`"}`))
		if want := verifyURI + "?user_code=A%2BB+C"; got.URIComplete != want || got.User != "A+B C" {
			t.Errorf("URI %s for %q, want %s", got.URIComplete, got.User, want)
		}
	})
}

// Another page may have any name for the code, or none: GitHub's and Microsoft's
// have people type it.
func TestStartDevicePlainURI(t *testing.T) {
	const page = "https://idp.example/device?tenant=t#/code"
	for name, more := range map[string]string{
		"no complete URI":   `"verification_uri":"` + page + `"`,
		"Google's name":     `"verification_url":"` + page + `"`,
		"an empty URI":      `"verification_uri":"","verification_url":"` + page + `"`,
		"on another host":   `"verification_uri":"` + page + `","verification_uri_complete":"https://evil.example/device?user_code=x"`,
		"both, differently": `"verification_uri":"` + page + `","verification_url":"https://idp.example/old"`,
	} {
		t.Run(name, func(t *testing.T) {
			got := startDevice(t, respond(200, `{"device_code":"d","user_code":"ABC",`+more+`}`))
			if got.URI != page || got.URIComplete != page {
				t.Errorf("URIs %s and %s, want %s as it is", got.URI, got.URIComplete, page)
			}
		})
	}
}

func TestStartDeviceFaults(t *testing.T) {
	without := func(old, new string) http.HandlerFunc {
		return respond(200, strings.Replace(deviceCode(``), old, new, 1))
	}
	for name, response := range map[string]http.HandlerFunc{
		"empty object": respond(200, `{}`),
		"empty":        respond(200, ``),
		"null":         respond(200, `null`),
		"array":        respond(200, `[{"device_code":"d"}]`),
		"garbage":      respond(200, `<html>`),
		"half":         respond(200, deviceCode(``)[:60]),
		"half of its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, deviceCode(``))
		},
		"connection cut": cut,
		"no device code": without("device_code", "x"),
		"no user code":   without("user_code", "x"),
		"no URI":         without("verification_uri", "x"),
		"2 MB":           without("the-device-code", strings.Repeat("x", 2<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			p, c := start(t)
			p.on(startPath, response)
			got, err := c.StartDevice(t.Context())
			wantFault(t, err)
			wantShortLine(t, err)
			if got != (idp.DeviceCode{}) {
				t.Errorf("StartDevice: %+v beside the error, want nothing", got)
			}
		})
	}
}
