package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// front stands before a server as a proxy does, with an address that stays
// while what is behind it is stopped and started again. It can spoil answers,
// and it remembers the secrets that it saw go by.
type front struct {
	URL    string
	behind atomic.Pointer[url.URL]
	spoil  atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // answers in place of the server, or says no

	change atomic.Pointer[func(answer map[string]any)] // what the server answers as JSON

	mu      sync.Mutex
	secrets map[string][]string // by their names
}

func newFront(t testing.TB) *front {
	f := &front{secrets: make(map[string][]string)}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(f.behind.Load())
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // to which it appends
			r.SetXForwarded()
		},
		ModifyResponse: f.remember,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoil := f.spoil.Load(); spoil != nil && (*spoil)(w, r) {
			return
		}
		if f.behind.Load() == nil {
			http.Error(w, "nobody is there", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return f
}

func (f *front) toPort(port string) {
	f.behind.Store(&url.URL{Scheme: "http", Host: "localhost:" + port})
}

// remember keeps what a provider's answer has that nobody else may see.
func (f *front) remember(resp *http.Response) error {
	if resp.Header.Get("Content-Type") != "application/json" {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	if change := f.change.Load(); change != nil {
		(*change)(answer)
		if body, err = json.Marshal(answer); err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		resp.ContentLength = int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range []string{"device_code", "access_token", "refresh_token", "id_token"} {
		if secret, ok := answer[name].(string); ok && secret != "" {
			f.secrets[name] = append(f.secrets[name], secret)
		}
	}
	return nil
}

// seen returns the secrets of these names that went by, or all of them, the
// newest of each last.
func (f *front) seen(names ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(f.secrets))
	}
	var secrets []string
	for _, name := range names {
		secrets = append(secrets, f.secrets[name]...)
	}
	return secrets
}

// tee returns a body that is written to w while it is read.
func tee(body io.ReadCloser, w io.Writer) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, w), body}
}

// again returns a body that has been read before.
func again(body string) io.ReadCloser { return io.NopCloser(strings.NewReader(body)) }
