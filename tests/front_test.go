package tests

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

// front is a proxy in front of a server. Its address stays while the server is
// stopped and started again. It can answer in the server's place, change
// answers, and it remembers the secrets in them.
type front struct {
	URL    string
	behind atomic.Pointer[url.URL] // the server; nil while it is stopped
	answer atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	change atomic.Pointer[func(answer map[string]any)] // of JSON answers
	proxy  *httputil.ReverseProxy

	mu      sync.Mutex
	secrets map[string][]string // by their names
}

func newFront(t testing.TB) *front {
	f := &front{secrets: make(map[string][]string)}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(f.behind.Load())
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // SetXForwarded appends to it
			r.SetXForwarded()
		},
		ModifyResponse: f.modify,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := f.answer.Load(); answer != nil && (*answer)(w, r) {
			return
		}
		if f.behind.Load() == nil {
			http.Error(w, "the server is stopped", http.StatusBadGateway)
			return
		}
		f.proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return f
}

func (f *front) toPort(port string) {
	f.behind.Store(&url.URL{Scheme: "http", Host: "localhost:" + port})
}

// answers has a function see every request; true means that it has answered
// in the server's place. nil ends that.
func (f *front) answers(how func(http.ResponseWriter, *http.Request) bool) {
	if how == nil {
		f.answer.Store(nil)
		return
	}
	f.answer.Store(&how)
}

// changes has a function change every JSON answer.
func (f *front) changes(how func(answer map[string]any)) { f.change.Store(&how) }

// once answers the next request to path whose form has this field, "" for any,
// with a fault. It counts such requests, and without a fault it only counts.
func (f *front) once(path, field string, fault func(http.ResponseWriter, *http.Request)) *atomic.Int32 {
	var count atomic.Int32
	f.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path || field != "" && !postedForm(r).Has(field) || count.Add(1) > 1 || fault == nil {
			return false
		}
		fault(w, r)
		return true
	})
	return &count
}

// postedForm reads the form in a request, and leaves it for the server.
func postedForm(r *http.Request) url.Values {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, parseErr := url.ParseQuery(string(body))
	if err != nil || parseErr != nil {
		return nil
	}
	return form
}

// modify changes a JSON answer if the test wants that, and remembers what
// nobody but the bank may see of it.
func (f *front) modify(resp *http.Response) error {
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

// seen returns the secrets with these names that passed, or all of them, the
// newest of each name last.
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
