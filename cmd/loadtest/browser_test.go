package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// A laptop loads the scripts, styles and pictures of a page once. A browser that
// keeps no list of them loads none.
func TestAssets(t *testing.T) {
	const html = `<link rel="stylesheet" href="/static/style.1.css"><img src="/static/coin.svg" alt="a /static/ coin">
		<a href="/account">Account</a><script src="/static/login.js" defer></script><img src="/static/coin.svg">`
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		_, _ = io.WriteString(w, html)
	}))
	defer server.Close()
	s := &site{origin: server.URL, replicas: []string{server.Listener.Addr().String()}}
	for name, tt := range map[string]struct {
		assets map[string]bool
		want   []string
	}{
		"new laptop":     {make(map[string]bool), []string{"/", "/static/style.1.css", "/static/coin.svg", "/static/login.js", "/"}},
		"phone":          {nil, []string{"/", "/"}},
		"style in cache": {map[string]bool{"/static/style.1.css": true}, []string{"/", "/static/coin.svg", "/static/login.js", "/"}},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			one := newBrowser(s, laptopAgent, "192.0.2.1")
			defer one.close()
			one.assets = tt.assets
			for range 2 {
				if p, err := one.get(t.Context(), "/"); err != nil || p.body != html {
					t.Fatalf("get: %v, %q", err, p.body)
				}
			}
			if !slices.Equal(asked, tt.want) {
				t.Errorf("it asked for %q, want %q", asked, tt.want)
			}
		})
	}
}
