package serve

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"changebank/internal/browser"
)

// A health check passes only if this program answers that it is alive, wherever
// it listens.
func TestCheckHealth(t *testing.T) {
	status := http.StatusOK
	ours, err := Listen(t.Context(), []string{"0.0.0.0"}, 0, "PORT")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(Start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			t.Errorf("the check asks for %s", r.URL)
		}
		w.WriteHeader(status)
	}), ours, browser.Networks{}, nil, make(chan error, 1), slog.New(slog.DiscardHandler)))
	check := func(name string, hosts []string, port int, want string) {
		t.Helper()
		err := CheckHealth(t.Context(), hosts, port)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	check("everywhere", []string{"0.0.0.0"}, ours.Port(), "")
	check("the second address", []string{"not an address", "127.0.0.1"}, ours.Port(), "")
	status = http.StatusInternalServerError
	check("an error", []string{"127.0.0.1"}, ours.Port(), "answers 500")
	check("any port", []string{"127.0.0.1"}, 0, "PORT is 0")

	other := httptest.NewServer(http.RedirectHandler("http://"+ours[0].Addr().String()+"/healthz", http.StatusFound))
	check("another program", []string{"127.0.0.1"}, Listeners{other.Listener}.Port(), "another program answers")
	other.Close()
	check("nothing", []string{"127.0.0.1"}, Listeners{other.Listener}.Port(), "nothing answers")
}
