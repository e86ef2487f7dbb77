package tests

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// longMoment makes the laptop's page wait a minute for the login that follows
// the phone's yes, instead of half a second, however slow the machine is.
const longMoment = `const timeout = setTimeout; window.setTimeout = (f, ms) => timeout(f, ms === 500 ? 60e3 : ms)`

// toldOf makes the laptop's page remember what its streams told.
const toldOf = `window.told = ""; window.EventSource = class extends EventSource {
	constructor(url) { super(url); this.addEventListener("state", (event) => { window.told += event.data }) }
}`

// A page keeps its stream until the laptop is logged in. It is fetched again
// when the phone opens the code, and not for the yes, which the login follows.
func TestOneStream(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	seen := b.app.watchRequests()
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	laptop.beforeEachPage(longMoment)
	phone := b.browserOf(t, richard)
	link := laptop.showCode(b)
	phone.get(link)
	laptop.awaitState("opened")
	phone.approve(link)
	laptop.awaitPerson(richard)
	if streams, redraws := seen.streams.Load(), seen.redraws.Load(); streams != 1 || redraws != 1 {
		t.Errorf("%d streams and %d redraws, want 1 and 1", streams, redraws)
	}
}

// The provider takes longer than a moment: the page says that the phone approved.
func TestPageShowsYes(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	release := make(chan struct{})
	b.demo.once("/oauth2/token", "device_code", func(w http.ResponseWriter, r *http.Request) {
		<-release
		b.demo.proxy.ServeHTTP(w, r)
	})
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	phone := b.browserOf(t, richard)
	phone.approve(laptop.showCode(b))
	laptop.awaitState("yes")
	close(release)
	laptop.awaitPerson(richard)
}

// The state changes again while the page is being fetched: it is not lost.
func TestChangeDuringRedraw(t *testing.T) {
	t.Parallel()
	b := startProxied(t, "CONFIRM_NUMBER=always")
	phone := b.browserOf(t, richard)
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	laptop.beforeEachPage(toldOf)
	link := laptop.showCode(b)
	var redraws atomic.Int32
	release := make(chan struct{})
	b.app.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != qrPage || r.Header.Get("X-Requested-With") == "" || redraws.Add(1) > 1 {
			return false
		}
		b.app.proxy.ServeHTTP(&late{w, release}, r)
		return true
	})
	phone.get(link)
	phone.awaitAny("redraws", &redraws)
	phone.answer(phone.get(link), "yes")
	phone.await("number: true", func() string {
		return fmt.Sprint("number: ", strings.Contains(evaluate[string](laptop, `window.told`), `"number"`))
	})
	close(release)
	laptop.awaitState("number")
}

// late holds an answer back after its server has made it.
type late struct {
	http.ResponseWriter
	release <-chan struct{}
}

func (w *late) WriteHeader(status int) {
	<-w.release
	w.ResponseWriter.WriteHeader(status)
}
