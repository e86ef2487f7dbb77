package reach

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// With any answer of the agent, tunnels lead from an address that a browser can
// open to a port of this machine.
func FuzzAgentAnswer(f *testing.F) {
	f.Add(`{"tunnels":[{"public_url":"https://A.ngrok.app","config":{"addr":"http://localhost:5000"}}]}`, `{"endpoints":[{"url":"https://b.ngrok.app","upstream":{"url":"5000"}}]}`)
	f.Add(`{"tunnels":[{"public_url":"tcp://x:1","config":{"addr":80}},{"public_url":"https://","config":{"addr":"[::1]:99999"}}]}`, `[]`)
	f.Add(`{"tunnels":null}`, "<html>")
	f.Add(`{"tunnels":[{"public_url":"https://u:p@h/x?y#z","config":{"addr":"localhost:-1"}}]}`, `{"endpoints":[{"url":"https://a b","upstream":{"url":{}}}]}`)
	answers := make(map[string]string)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(answers[r.URL.Path])) }))
	f.Cleanup(agent.Close)
	f.Fuzz(func(t *testing.T, tunnels, endpoints string) {
		answers["/api/tunnels"], answers["/api/endpoints"] = tunnels, endpoints
		found, err := Tunnels(t.Context(), agent.URL+"/api")
		if err != nil && (len(err.Error()) > 500 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%v", err)
		}
		for port, public := range found {
			if port < 1 || port > 65535 {
				t.Errorf("port %d", port)
			}
			for _, origin := range public {
				if u, err := url.Parse(origin); err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.Scheme != "http" && u.Scheme != "https" {
					t.Errorf("the address %q", origin)
				}
			}
		}
	})
}
