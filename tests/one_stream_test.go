package tests

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// longMoment makes the laptop's page wait a minute for the login that follows
// the phone's yes, instead of half a second, however slow the machine is.
const longMoment = `const timeout = setTimeout; window.setTimeout = (f, ms) => timeout(f, ms === 500 ? 60e3 : ms)`

// streamsKept makes a laptop's page remember its streams, and what they told.
const streamsKept = `window.streams = []; window.told = ""; window.EventSource = class extends EventSource {
	constructor(url) { super(url); window.streams.push(this); this.addEventListener("state", (event) => { window.told += event.data }) }
}`

// A page keeps its stream until the laptop is being logged in. It is fetched
// again when the phone opens the code, and not for the yes, which the login
// follows. What happens during the claim leads the browser nowhere else.
func TestOneStream(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	var seen requests
	release := make(chan struct{})
	b.app.answers(func(w http.ResponseWriter, r *http.Request) bool {
		defer seen.count(r)()
		switch r.URL.Path {
		case "/reload":
			w = &late{w, release}
		case qrPage + "/events":
		default:
			return false
		}
		b.app.proxy.ServeHTTP(w, r)
		return true
	})
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	laptop.beforeEachPage(longMoment)
	phone := b.browserOf(t, richard)
	link := laptop.showCode(b)
	phone.get(link)
	laptop.awaitState("opened")
	phone.approve(link)
	phone.awaitCount("waiting requests", &seen.waiting, 0)
	close(release)
	laptop.awaitPerson(richard)
	if streams, redraws := seen.streams.Load(), seen.redraws.Load(); streams != 1 || redraws != 1 {
		t.Errorf("%d streams and %d redraws, want 1 and 1", streams, redraws)
	}
}

// Another tab has started a code of its own, as when both began at once. A change
// of the first code shows the second on the page, and from then on the page
// follows that.
func TestOtherTabsCode(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browserOf(t, richard)
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	laptop.beforeEachPage(streamsKept)
	link := laptop.showCode(b)
	phone.await("listening: true", func() string {
		return fmt.Sprint("listening: ", evaluate[bool](laptop, `window.told !== ""`))
	})
	laptop.call("forget the cookies", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, network.ClearBrowserCookies, cdp.Empty{})
		return err
	})
	other := laptop.newTab().showCode(b)
	phone.get(link)
	laptop.await(`#verification-link[href="` + other + `"]`)
	phone.get(other)
	laptop.awaitState("opened")
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

// The state changes again while the page is being fetched: the change is not
// lost. At the end of the login the stream does not reconnect.
func TestChangeDuringRedraw(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ answer, told, state string }{
		{"yes", `window.told.includes('"number"')`, "number"},
		{"no", `window.streams[0].readyState === EventSource.CLOSED && window.told.split("denied").length === 2`, "denied"},
	} {
		t.Run(test.state, func(t *testing.T) {
			t.Parallel()
			b := startProxied(t, "CONFIRM_NUMBER=always")
			phone := b.browserOf(t, richard)
			laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
			laptop.beforeEachPage(streamsKept)
			link := laptop.showCode(b)
			var seen requests
			release := make(chan struct{})
			b.app.answers(func(w http.ResponseWriter, r *http.Request) bool {
				seen.count(r)
				if r.URL.Path != qrPage || seen.redraws.Load() != 1 {
					return false
				}
				b.app.proxy.ServeHTTP(&late{w, release}, r)
				return true
			})
			phone.get(link)
			phone.awaitAny("redraws", &seen.redraws)
			phone.answer(phone.get(link), test.answer)
			phone.await("told: true", func() string { return fmt.Sprint("told: ", evaluate[bool](laptop, test.told)) })
			close(release)
			laptop.awaitState(test.state)
		})
	}
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
