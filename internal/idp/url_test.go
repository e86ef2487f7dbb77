package idp_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// wantURLError checks that err names a field and its value, shortly.
func wantURLError(t *testing.T, err error, field, value string) {
	t.Helper()
	e, ok := errors.AsType[*idp.URLError](err)
	if !ok || e.Field != field || e.Value != value {
		t.Fatalf("error %v, want one about %s %.100q", err, field, value)
	}
	if !strings.Contains(err.Error(), field+" is ") {
		t.Errorf("error %q, want %s in it", err, field)
	}
	wantShortLine(t, err)
}

var endpointFields = []string{
	"authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "jwks_uri",
	"userinfo_endpoint", "revocation_endpoint", "end_session_endpoint", "pushed_authorization_request_endpoint",
}

// unusable are URLs that no provider may give for a page or an endpoint.
var unusable = map[string]string{
	"relative":         "/oauth2/x",
	"without a scheme": "//idp.example/x",
	"another scheme":   "ftp://idp.example/x",
	"a script":         "javascript://idp.example/%0aalert()",
	"without a host":   "https:///x",
	"only a port":      "https://:443/x",
	"without slashes":  "https:idp.example/x",
	"a user name":      "https://idp.example@evil.example/x",
	"not a URL":        "https://[",
	"long":             "x\r\n" + strings.Repeat("x", 1<<16),
}

// Over plain http, the client secret and the tokens can be read on the way.
func TestUnsafeEndpoints(t *testing.T) {
	for _, issuer := range []string{"http://idp.example", "https://idp.example"} {
		bad := map[string]string{"a fragment": "https://idp.example/x#y"}
		maps.Copy(bad, unusable)
		if strings.HasPrefix(issuer, "https:") {
			bad["http"] = "http://idp.example/x"
			bad["http in capitals"] = "HTTP://idp.example/x"
		}
		for _, field := range endpointFields {
			for name, value := range bad {
				t.Run(strings.Join([]string{issuer[:5], field, name}, " "), func(t *testing.T) {
					inBubble(t, func(t *testing.T, p *provider) {
						p.setUp(issuer)
						p.set(field, value)
						c := p.newClient(t)
						synctest.Wait()
						wantURLError(t, c.Ready(), field, value)
					})
				})
			}
		}
	}
}

// An http issuer is on this machine or in a local network, and may use https for
// a part. Fields that a provider need not have may be missing.
func TestSafeEndpoints(t *testing.T) {
	for name, change := range map[string]func(*provider){
		"http":                    func(p *provider) { p.setUp("http://idp.example") },
		"http, an https endpoint": func(p *provider) { p.set("end_session_endpoint", "https://idp.example/x?y=z") },
		"https":                   func(p *provider) { p.setUp("https://idp.example") },
		"https, on another host": func(p *provider) {
			p.setUp("https://idp.example")
			p.set("token_endpoint", "https://idp.example:8443/token")
		},
		"https, nothing optional": func(p *provider) {
			p.setUp("https://idp.example")
			p.set("userinfo_endpoint", nil)
			p.set("revocation_endpoint", "")
			p.set("end_session_endpoint", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *provider) {
				change(p)
				c := p.newClient(t)
				synctest.Wait()
				if err := c.Ready(); err != nil {
					t.Errorf("Ready: %v", err)
				}
			})
		})
	}
}

// People enter their passwords on the page that the code leads to.
func TestUnsafeVerificationURI(t *testing.T) {
	const page = "https://idp.example/device"
	for _, issuer := range []string{"http://idp.example", "https://idp.example"} {
		bad := map[string]string{}
		maps.Copy(bad, unusable)
		if strings.HasPrefix(issuer, "https:") {
			bad["http"] = "http://idp.example/device"
			bad["ours, but for the path"] = strings.Replace(verifyURI, "https", "http", 1)
		}
		for name, value := range bad {
			for field, answer := range map[string]map[string]string{
				"verification_uri":          {"verification_uri": value},
				"verification_uri_complete": {"verification_uri": page, "verification_uri_complete": value},
			} {
				t.Run(strings.Join([]string{issuer[:5], field, name}, " "), func(t *testing.T) {
					inBubble(t, func(t *testing.T, p *provider) {
						p.setUp(issuer)
						c := p.newClient(t)
						synctest.Wait()
						answer["device_code"], answer["user_code"] = "d", userCode
						body, err := json.Marshal(answer)
						if err != nil {
							t.Fatal(err)
						}
						p.on(startPath, respond(200, string(body)))
						got, err := c.StartDevice(t.Context())
						wantURLError(t, err, field, value)
						if got != (idp.DeviceCode{}) {
							t.Errorf("StartDevice: %+v beside the error, want nothing", got)
						}
					})
				})
			}
		}
	}
}

// A developer's page is http://localhost, whatever the provider is.
func TestOwnVerificationURIOverHTTP(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		p.setUp("https://idp.example")
		c := p.newClient(t, func(cfg *idp.Config) { cfg.AppURL = "http://localhost:5000" })
		time.Sleep(time.Second)
		const ours = "http://localhost:5000/activate"
		p.on(startPath, respond(200, `{"device_code":"d","user_code":"ABC","verification_uri":"`+ours+`","verification_uri_complete":"`+ours+`?user_code=ABC"}`))
		got, err := c.StartDevice(t.Context())
		if err != nil || got.URIComplete != ours+"?user_code=ABC" {
			t.Errorf("StartDevice: %+v, %v, want our page", got, err)
		}
	})
}
