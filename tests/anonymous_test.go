package tests

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A visitor who has not logged in costs no disk, however many requests they
// send: a full disk would keep everyone from logging in or out.
func TestAnonymousVisitorsStoreNothing(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	b.browser(t).get(b.DemoURL + "/.well-known/jwks.json") // the demo provider's key is being made and stored
	before := folder(t, b.setting("DATA_DIR"))
	const requests = 20_000
	paths := []string{"/", "/login?return_to=/" + strings.Repeat("x", 10_000), qrPage, qrPage + "?again=1", "/activate?user_code=ABC234", "/callback?state=x&code=y"}
	client := &http.Client{
		Transport:     b.browser(t).transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var next atomic.Int64
	var visitors sync.WaitGroup
	for range 8 {
		visitors.Go(func() {
			for n := next.Add(1); n <= requests; n = next.Add(1) {
				resp, err := client.Get(b.URL + paths[n%int64(len(paths))])
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode >= 500 {
					t.Errorf("%s: %s", paths[n%int64(len(paths))], resp.Status)
				}
			}
		})
	}
	visitors.Wait()
	if after := folder(t, b.setting("DATA_DIR")); after != before {
		t.Errorf("after %d requests the data folder has\n%s, want as before\n%s", requests, after, before)
	}
	b.browserOf(t, richard).wantPerson(richard)
}

// folder returns the names, sizes and digests of the files in a folder.
func folder(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&list, "%s %d %x\n", entry.Name(), len(content), sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// Logins in progress are kept in the browser, where they must not grow: common
// proxies refuse 8 KB of headers.
func TestLoginsInProgressAreBounded(t *testing.T) {
	t.Parallel()
	visitor := startBank(t).browser(t)
	for range 10 {
		visitor.getOnce("/login?return_to=/activate?user_code=" + strings.Repeat("W", 200))
	}
	size := 0
	for _, cookie := range visitor.cookies() {
		size += len(cookie.Name) + len(cookie.Value)
	}
	if n := len(visitor.cookies()); n != 4 || size > 4*600 {
		t.Errorf("ten logins in progress are %d cookies with %d bytes, want 4 with at most 600 each", n, size)
	}
	visitor.logIn(richard)
}

// lastCallback returns where the provider last sent the browser back to.
func (b *browser) lastCallback() string {
	b.t.Helper()
	callbacks := regexp.MustCompile(regexp.QuoteMeta(b.bank.URL)+`(/callback\?\S+)`).FindAllStringSubmatch(b.seen.String(), -1)
	if len(callbacks) == 0 {
		b.t.Fatal("the browser has seen no callback")
	}
	return callbacks[len(callbacks)-1][1]
}

// A callback that comes late, twice or in another browser still leads back to
// where the person wanted to go.
func TestCallbackLeadsBack(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	p := visitor.get("/login?return_to=/make-change")
	if p = visitor.atProvider(p, richard); p.URL.Path != "/make-change" {
		t.Fatalf("the login leads to %v, want /make-change", p)
	}
	callback := visitor.lastCallback()
	if p := visitor.get(callback); p.URL.Path != "/make-change" {
		t.Errorf("the callback once more, logged in by now: %v, want /make-change", p)
	}
	stranger := b.browser(t)
	p = stranger.get(callback)
	if p.Status != http.StatusBadRequest || !p.links("/login?return_to=%2Fmake-change") {
		t.Errorf("the callback in another browser: %v, want 400 and a login that leads to /make-change", p)
	}
	stranger.wantPerson("")
}
