package tests

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// The laptop's page follows its login whatever is on the way.

// requests counts what laptops' pages have asked a front.
type requests struct {
	streams, polls, looks atomic.Int32
	waiting               atomic.Int32 // streams and long polls that have not ended
	redraws               atomic.Int32 // of the page, by its script
}

// holdBack makes the front hold back every answer until it has ended, as some
// tunnels, proxies and virus scanners do. Of an event stream it lets the first
// events through, as many as given.
func (f *front) holdBack(events int) *requests {
	var seen requests
	f.answers(func(w http.ResponseWriter, r *http.Request) bool {
		behind := f.behind.Load()
		if behind == nil {
			return false // the front says so
		}
		r = r.Clone(r.Context())
		r.RequestURI, r.URL.Scheme, r.URL.Host = "", behind.Scheme, behind.Host
		defer seen.count(r)()
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		defer resp.Body.Close()
		maps.Copy(w.Header(), resp.Header)
		body := bufio.NewReader(resp.Body)
		if resp.Header.Get("Content-Type") == "text/event-stream" && events > 0 {
			letThrough(w, body, events)
		}
		rest, err := io.ReadAll(body)
		if err == nil {
			w.WriteHeader(resp.StatusCode)
			_, _ = w.Write(rest)
		}
		return true
	})
	return &seen
}

// letThrough passes the first events of a stream on.
func letThrough(w http.ResponseWriter, stream *bufio.Reader, events int) {
	for events >= 0 { // an empty line also ends what comes before the first
		line, err := stream.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = io.WriteString(w, line)
		if line == "\n" {
			events--
		}
	}
	_ = http.NewResponseController(w).Flush()
}

// watchRequests counts requests and changes nothing.
func (f *front) watchRequests() *requests {
	var seen requests
	f.answers(func(w http.ResponseWriter, r *http.Request) bool {
		defer seen.count(r)()
		if r.URL.Path != qrPage+"/events" {
			return false
		}
		f.proxy.ServeHTTP(w, r)
		return true
	})
	return &seen
}

// count notes a request. The function that it returns notes its end.
func (s *requests) count(r *http.Request) (ended func()) {
	switch query := r.URL.Query(); {
	case r.URL.Path == qrPage && r.Header.Get("X-Requested-With") != "":
		s.redraws.Add(1)
		return func() {}
	case r.URL.Path != qrPage+"/events":
		return func() {}
	case query.Has("hidden"):
		s.looks.Add(1)
		return func() {}
	case query.Has("since"):
		s.polls.Add(1)
	default:
		s.streams.Add(1)
	}
	s.waiting.Add(1)
	return func() { s.waiting.Add(-1) }
}

// A proxy holds the event stream back, entirely or after its first event. The
// page asks instead, for the rest of its life, and the laptop is logged in within
// seconds of the approval, without a reload.
func TestBufferingProxy(t *testing.T) {
	t.Parallel()
	chromium := startChromium(t)
	for _, events := range []int{0, 1} {
		t.Run(fmt.Sprintf("after %d events", events), func(t *testing.T) {
			b := startProxied(t)
			seen := b.app.holdBack(events)
			phone := b.browserOf(t, richard)
			laptop := newWindow(t, chromium, "laptop", 1280, 800)
			link := laptop.showCode(b)
			laptop.run(`window.loaded = "once"`)
			phone.awaitAny("long polls", &seen.polls)
			phone.get(link)
			laptop.awaitState("opened")
			if note := laptop.text(`#login-note`); note != "" {
				t.Errorf("the page notes %q, want nothing", note)
			}
			if got := evaluate[string](laptop, `String(window.loaded)`); got != "once" {
				t.Error("the page was reloaded")
			}
			approved := time.Now()
			phone.approve(link)
			laptop.awaitPerson(richard)
			if took := time.Since(approved); took > 30*time.Second {
				t.Errorf("the laptop was logged in %v after the approval", took)
			}
			if got := seen.streams.Load(); got != 1 {
				t.Errorf("%d streams, want the first and none after it", got)
			}
		})
	}
}

// The fallback outlives a stop of the server, and what a proxy answers then.
func TestBufferingProxyAndRestart(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	seen := b.app.holdBack(0)
	phone := b.browserOf(t, richard)
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	laptop.expect("Failed to load resource") // while the bank is stopped
	link := laptop.showCode(b)
	phone.awaitAny("long polls", &seen.polls)
	b.stop()
	laptop.await(`#login-note:not([hidden])`)
	b.start()
	laptop.do("wait for the connection", chromedp.WaitNotPresent(chromedp.CSS(`#login-note:not([hidden])`)))
	phone.approve(link)
	laptop.awaitPerson(richard)
	if got := seen.streams.Load(); got != 1 {
		t.Errorf("%d streams, want the first and none after it", got)
	}
}

// awaitAny waits until there has been at least one.
func (b *browser) awaitAny(what string, count *atomic.Int32) {
	b.t.Helper()
	b.await("some "+what, func() string {
		if count.Load() == 0 {
			return "no " + what
		}
		return "some " + what
	})
}

// block keeps a script from loading, as a filter does, while scripting is on.
func (w *window) block(script string) {
	w.t.Helper()
	w.expect("net::ERR_BLOCKED_BY_CLIENT")
	w.call("block "+script, func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, network.SetBlockedURLs, network.SetBlockedURLsParams{
			URLPatterns: []*network.BlockPattern{{URLPattern: "*://*:*/*" + script + "*", Block: true}},
		})
		return err
	})
}

// A filter blocks the scripts of both pages. They refresh as without JavaScript,
// but not while the number is being typed.
func TestBlockedScripts(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	laptop, phone := windows(t, startChromium(t))
	laptop.at(awayAddr)
	phone.at(homeAddr)
	phone.logIn(b, richard)
	laptop.block("qrlogin")
	phone.block("activate")

	link := laptop.showCode(b)
	phone.open(link)
	laptop.awaitState("opened")
	phone.do("wait for the reading time", chromedp.Sleep(readingTime))
	phone.answer("yes")
	number := phone.text(`#number`)
	laptop.awaitState("number")
	if laptop.has(`meta[http-equiv="refresh"]`) {
		t.Error("the page refreshes while a number is typed")
	}
	laptop.typeNumber(number + "\r")
	laptop.awaitPerson(richard)
	phone.awaitState("claimed")
	if phone.has(`meta[http-equiv="refresh"]`) {
		t.Error("the page still refreshes after the end")
	}
}

// A page in the background closes its stream, since six streams block a whole
// site over HTTP/1.1. It still changes its title, and logs in.
func TestHiddenTab(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	seen := b.app.watchRequests()
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	phone := b.browserOf(t, richard)
	link := laptop.showCode(b)
	phone.awaitCount("waiting requests", &seen.waiting, 1)
	began := time.Now()
	laptop.setHidden(true)
	phone.awaitCount("waiting requests", &seen.waiting, 0)

	waiting := evaluate[string](laptop, `document.title`)
	phone.get(link)
	laptop.awaitState("opened")
	if opened := evaluate[string](laptop, `document.title`); opened == waiting {
		t.Errorf("the title is %q before and after", opened)
	}
	laptop.setHidden(false)
	phone.awaitCount("waiting requests", &seen.waiting, 1)
	laptop.setHidden(true)
	phone.approve(link)
	laptop.awaitPerson(richard)
	most := 1 + int32(time.Since(began)/(15*time.Second))
	if looks := seen.looks.Load(); looks < 2 || looks > most {
		t.Errorf("%d looks, want from 2 to %d, one each 15 s", looks, most)
	}
}

// Many tabs of one browser show the code, over HTTP/1.1. The browser opens at
// most six connections to the bank, which still answers it.
func TestSevenTabs(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	seen := b.app.watchRequests()
	laptop := newWindow(t, startChromium(t), "laptop", 1280, 800)
	tabs := []*window{laptop}
	for range 6 {
		tabs = append(tabs, laptop.newTab())
	}
	for i, tab := range tabs {
		tab.open(b.URL + qrPage)
		tab.awaitState("waiting")
		if i < 6 {
			tab.setHidden(true) // by the next tab
		}
	}
	phone := b.browser(t)
	phone.awaitCount("waiting requests", &seen.waiting, 1)
	laptop.open(b.URL + "/")
	laptop.await(`main a[href="/login"]`)
}

// A question that stays open asks less and less, and not at all while nobody
// sees it. It still notices a change.
func TestOpenQuestionAsksLittle(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	var looks atomic.Int32
	b.app.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/activate" && r.Method == http.MethodGet {
			looks.Add(1)
		}
		return false
	})
	phone := newWindow(t, startChromium(t), "phone", 390, 844)
	phone.logIn(b, richard)
	laptop := b.browser(t)
	link := laptop.code()
	const faster = 50 // than a clock
	phone.beforeEachPage(fmt.Sprintf(`const slow = setTimeout; let waited = 0;
		window.setTimeout = (f, ms) => { waited += ms; return slow(f, ms / %d); }`, faster))
	phone.open(link)
	phone.await(`#approve`)
	laptop.await("ten minutes: true", func() string { return fmt.Sprint("ten minutes: ", evaluate[bool](phone, `waited > 600e3`)) })
	if got := looks.Load(); got > 60 {
		t.Errorf("%d looks in ten minutes, want at most 60", got)
	}

	phone.setHidden(true)
	before := looks.Load()
	phone.do("wait a minute of the page's", chromedp.Sleep(time.Minute/faster))
	if got := looks.Load(); got > before+1 { // one may be on its way
		t.Errorf("%d looks in a minute although nobody sees the page", got-before)
	}
	laptop.press(laptop.get(qrPage), qrPage+"/cancel")
	phone.setHidden(false)
	phone.awaitState("cancelled")
}
