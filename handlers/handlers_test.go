package handlers

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/session"
)

// A stolen cookie shows in the last visit of a device: another browser, at
// another address than the login's.
func TestLastSeen(t *testing.T) {
	const firefox, curl = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.1\u202e"
	home, away := "192.0.2.1", "203.0.113.7"
	now := time.Now()
	for _, tt := range []struct {
		name   string
		seen   time.Time
		latest browser.Browser
		want   string
	}{
		{"never", time.Time{}, browser.Browser{}, "not yet"},
		{"now", now, browser.Browser{Agent: firefox, Addr: home}, "in the last few minutes"},
		{"long ago", now.Add(-3 * time.Hour), browser.Browser{Agent: firefox, Addr: home}, "3 hours ago"},
		{"from elsewhere", now.Add(-3 * time.Hour), browser.Browser{Agent: firefox, Addr: away}, "3 hours ago, from " + away},
		{"by another", now, browser.Browser{Agent: curl, Addr: home}, "in the last few minutes, by another browser: An unknown browser"},
		{"by another from elsewhere", now, browser.Browser{Agent: curl, Addr: away}, "in the last few minutes, by another browser: An unknown browser, from " + away},
	} {
		got := lastSeen(session.Session{Browser: browser.Browser{Agent: firefox, Addr: home}, Seen: tt.seen, Latest: tt.latest})
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Every page, with hostile data in every place, lets none of it through as
// markup.
func TestPagesEscape(t *testing.T) {
	pages, err := parsePages("https://bank.example")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{pages: pages}
	const evil = `"><script>alert(1)</script>`
	f := frame{Person: evil}
	asks := approvePage{
		frame: f, Problem: evil, FallbackURL: "javascript:" + evil, UserCode: evil, Fingerprint: evil, Browser: evil, Addr: evil,
		Requested: evil, State: evil, DifferentNetwork: true, Switch: "javascript:" + evil, Number: evil, AppURL: evil, Watch: evil,
	}
	evilDevice := device{Ref: evil, Name: evil, Browser: evil, Began: evil, Addr: evil, Seen: evil}
	for name, data := range map[string]any{
		"home": struct {
			frame
			People []string
			Ended  session.Ending
			Phone  bool
		}{f, []string{evil}, session.EndedByDevice, true},
		"account": struct {
			frame
			ByPhone        bool
			MustLogInAgain bool
			Public         bool
			New            []device
		}{f, true, true, true, []device{evilDevice}},
		"end-others": othersPage{f, evil, []device{evilDevice}},
		"ended":      endedPage{f, evil, evil, evil},
		"devices":    devicesPage{f, []device{evilDevice}, []device{evilDevice}, true, true},
		"logout": struct {
			frame
			AtProvider bool
		}{f, true},
		"this-phone": f,
		"notice":     notice{frame: f, Title: evil, Text: evil, Next: link{"/" + evil, evil}, Refresh: 2, Status: 400, Reference: evil},
		"activate":   activatePage{f, evil, evil, evil},
		"change":     changePage{f, evil, evil, evil},
		"approve":    asks,
		"continue":   asks,
		"number":     asks,
		"answered":   answeredPage{f, evil, evil, evil, evil, true},
		"qrlogin":    qrPage{frame: f, Tab: evil, Ref: evil, Steps: []string{evil}, Lasts: evil, Title: evil, Text: evil, Note: evil, QR: "<svg></svg>", UserCode: evil, URI: evil, URIComplete: "javascript:" + evil, TimeLeft: evil, State: evil, Problem: evil},
	} {
		w := httptest.NewRecorder()
		if err := s.render(w, name, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(w.Body.String(), "script&gt;alert") {
			t.Errorf("%s does not show the data", name)
		}
		for _, bad := range []string{"<script>alert", `href="javascript:`} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s lets %q through", name, bad)
			}
		}
		delete(pages, name)
	}
	for name := range pages {
		t.Errorf("the page %s is not tested here", name)
	}
}
