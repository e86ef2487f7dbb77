package reach_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/reach"
)

// agent starts an API that answers with these texts, by path, and with 404
// elsewhere.
func agent(t *testing.T, answers map[string]string) (api string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/api"
}

func TestTunnels(t *testing.T) {
	const tunnelList = `{"tunnels":[` +
		`{"name":"bank","ID":"1","uri":"/api/tunnels/bank","public_url":"https://bank.ngrok-free.app","proto":"https","config":{"addr":"http://localhost:5000","inspect":true},"metrics":{}},` +
		`{"name":"demo","public_url":"https://demo.ngrok-free.app","proto":"https","config":{"addr":"http://localhost:9011"}}],"uri":"/api/tunnels"}`
	const endpointList = `{"endpoints":[` +
		`{"name":"bank","url":"https://bank.ngrok-free.app","upstream":{"url":"http://localhost:5000","protocol":"http1"}},` +
		`{"name":"demo","url":"https://demo.ngrok-free.app","upstream":"9011"}],"uri":"/api/endpoints"}`
	one := func(addr string) map[string]string {
		return map[string]string{"/api/tunnels": `{"tunnels":[{"public_url":"https://bank.ngrok-free.app","config":{"addr":` + addr + `}}]}`}
	}
	both := map[int][]string{5000: {"https://bank.ngrok-free.app"}, 9011: {"https://demo.ngrok-free.app"}}
	bank := map[int][]string{5000: {"https://bank.ngrok-free.app"}}
	tests := []struct {
		name    string
		answers map[string]string
		want    map[int][]string
	}{
		{"tunnels", map[string]string{"/api/tunnels": tunnelList}, both},
		{"endpoints", map[string]string{"/api/endpoints": endpointList}, both},
		{"endpoints and no tunnels", map[string]string{"/api/tunnels": `{"tunnels":[],"uri":"/api/tunnels"}`, "/api/endpoints": endpointList}, both},
		{"the same in both", map[string]string{"/api/tunnels": tunnelList, "/api/endpoints": endpointList}, both},
		{"no tunnels", map[string]string{"/api/tunnels": `{"tunnels":[],"uri":"/api/tunnels"}`}, map[int][]string{}},
		{"null", map[string]string{"/api/tunnels": `{"tunnels":null}`}, map[int][]string{}},
		{"addr with a host", one(`"localhost:5000"`), bank},
		{"addr with an address", one(`"http://127.0.0.1:5000"`), bank},
		{"addr with an IPv6 address", one(`"http://[::1]:5000/"`), bank},
		{"addr as a port", one(`"5000"`), bank},
		{"addr as a number", one(`5000`), bank},
		{"addr without a port", one(`"http://localhost"`), map[int][]string{80: {"https://bank.ngrok-free.app"}}},
		// A tunnel to another machine's port 5000 does not lead here.
		{"addr of another machine", one(`"http://192.168.1.9:5000"`), map[int][]string{}},
		{"addr of another name", one(`"http://localhost.example.com:5000"`), map[int][]string{}},
		{"addr with TLS", one(`"https://localhost:5000"`), map[int][]string{}}, // the servers here do not use TLS
		{"addr of a file", one(`"file:///srv/www"`), map[int][]string{}},
		{"addr with a bad port", one(`"http://localhost:99999"`), map[int][]string{}},
		{"addr of another form", one(`[true,{}]`), map[int][]string{}},
		{"no addr", one(`null`), map[int][]string{}},
		{"tcp", map[string]string{"/api/tunnels": `{"tunnels":[{"public_url":"tcp://0.tcp.ngrok.io:12345","config":{"addr":"localhost:5000"}}]}`}, map[int][]string{}},
		{"no public URL", map[string]string{"/api/tunnels": `{"tunnels":[{"config":{"addr":"localhost:5000"}}]}`}, map[int][]string{}},
		{
			"http and https", map[string]string{"/api/tunnels": `{"tunnels":[{"public_url":"http://bank.ngrok-free.app","config":{"addr":"5000"}},{"public_url":"https://Bank.ngrok-free.app/","config":{"addr":"5000"}}]}`},
			map[int][]string{5000: {"http://bank.ngrok-free.app", "https://bank.ngrok-free.app"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, slash := range []string{"", "/"} {
				got, err := reach.Tunnels(t.Context(), agent(t, tt.answers)+slash)
				if err != nil {
					t.Fatalf("Tunnels: %v", err)
				}
				if !maps.EqualFunc(got, tt.want, slices.Equal) {
					t.Errorf("Tunnels: %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestNoTunnels(t *testing.T) {
	gone := agent(t, nil)
	server := httptest.NewServer(nil)
	closed := server.URL + "/api"
	server.Close()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, agent(t, map[string]string{"/api/tunnels": `{"tunnels":[]}`})+"/tunnels", http.StatusFound)
	}))
	t.Cleanup(elsewhere.Close)
	answering := func(answer string) string { return agent(t, map[string]string{"/api/tunnels": answer}) }
	tests := []struct {
		name, api string
		want      string
	}{
		{"no server", closed, "no ngrok agent listens at " + closed + " (NGROK_API); start it with: ngrok start --all --config ngrok.yml"},
		{"another server", gone, "it answers 404"},
		{"a redirect", elsewhere.URL + "/api", "it answers 302"},
		{"HTML", answering("<!doctype html><title>ngrok</title>"), "not the agent's JSON"},
		{"JSON of another form", answering(`{"apps":[]}`), "no list of tunnels"},
		{"a list of another form", answering(`{"tunnels":{"bank":"https://bank.ngrok-free.app"}}`), "no list of tunnels"},
		{"an array", answering(`[]`), "not the agent's JSON"},
		{"null", answering(`null`), "no list of tunnels"},
		{"empty", answering(``), "not the agent's JSON"},
		{"too long", answering(`{"tunnels":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`), "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := reach.Tunnels(t.Context(), tt.api)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "NGROK_API") || strings.Contains(err.Error(), "\n") {
				t.Errorf("Tunnels: %v\nwant one sentence with %q and NGROK_API", err, tt.want)
			}
		})
	}
}

// An agent that sends nothing, or only half of its answer, delays the start by a
// few seconds only.
func TestSilentAgent(t *testing.T) {
	for name, first := range map[string]string{"nothing": "", "half": `{"tunnels":[`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if first != "" {
					_, _ = io.WriteString(w, first)
					_ = http.NewResponseController(w).Flush()
				}
				<-done
			}))
			t.Cleanup(server.Close)
			defer close(done)
			began := time.Now()
			_, err := reach.Tunnels(t.Context(), server.URL)
			if err == nil || !strings.Contains(err.Error(), "does not answer") || !strings.Contains(err.Error(), "ngrok start") {
				t.Errorf("Tunnels: %v, want that the agent does not answer, and what to do", err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
