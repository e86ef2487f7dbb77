package main

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

func TestInBrowsers(t *testing.T) {
	chromium := startChromium(t)
	walkThrough(t, chromium, startBank(t))
}

// walkThrough does by mouse and keyboard what two people do: everything that
// has a button.
func walkThrough(t *testing.T, chromium context.Context, b *bank) {
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	phone := newWindow(t, chromium, "phone", 390, 844)

	phone.open(b.URL + "/login")
	phone.logInAtProvider(b, richard)

	laptop.open(b.URL)
	laptop.click(`main a[href="/logged-out-qr-login"]`)
	laptop.await(`#login-state[data-state="waiting"]`)

	laptop.click(`form[action$="/cancel"] button`)
	laptop.await(`#login-state[data-state="cancelled"]`)
	laptop.click(`#new-code button`)
	laptop.await(`#login-state[data-state="waiting"]`)

	phone.open(laptop.scan())
	laptop.await(`#login-state[data-state="opened"]`)
	phone.click(`#approve button[value="no"]`)
	phone.await(`#login-state[data-state="denied"]`)
	laptop.await(`#login-state[data-state="denied"]`) // by itself
	laptop.click(`#new-code button`)
	laptop.await(`#login-state[data-state="waiting"]`)

	phone.open(laptop.scan())
	phone.click(`#approve button[value="yes"]`)
	laptop.await(`#account-email`) // by itself
	if got := laptop.at(); got != b.URL+"/account" {
		t.Errorf("the laptop is at %s, want /account", got)
	}
	if got := laptop.text(`#account-email`); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
	laptop.await(`#by-phone`)                         // said once, so no script may have fetched it unseen
	phone.await(`#login-state[data-state="claimed"]`) // by itself

	phone.open(b.URL + "/account")
	phone.click(`.new-device form[action$="/confirm"] button`)
	phone.click(`#devices li:not([data-here]) button`)
	phone.await(`main a[href="/devices"]`)
	laptop.open(b.URL + "/account")
	laptop.await(`#ended`)
	laptop.open(b.URL + "/login")
	laptop.logInAtProvider(b, richard)

	laptop.click(`.who a[href="/logout"]`)
	laptop.click(`#logout button`)
	laptop.await(`.who a[href="/login"]`)
	if got := laptop.at(); got != b.URL+"/" {
		t.Errorf("logging out leads to %s, want the home page by way of the provider", got)
	}
	laptop.open(b.URL + "/login") // as somebody else, without a restart
	laptop.logInAtProvider(b, erlich)
	phone.open(b.URL + "/devices")
	phone.click(`#devices li[data-here] button`)
	phone.await(`.who a[href="/login"]`)

	laptop.click(`main a[href="/make-change"]`)
	laptop.do("type an amount", chromedp.SendKeys(chromedp.CSS(`#make-change input[name="amount"]`), "0.30"))
	laptop.click(`#make-change button`)
	laptop.await(`#change`)
}

// need returns the path of a program that a test cannot do without.
func need(t *testing.T, what string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	lack(t, what+" is not installed, so what happens in a browser is not tested.")
	return ""
}

// lack skips a test for what this machine lacks, and fails it where everything
// has to be tested.
func lack(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(what + " REQUIRE_ALL=1 lets no test be skipped.")
	}
	t.Skip(what)
}

// startChromium returns a context with a browser that runs until the test ends.
func startChromium(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need(t, "Chromium", "chromium", "chromium-browser", "google-chrome")),
		chromedp.NoSandbox, // it runs as root in most containers
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	options = append(options, more...)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	chromium, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(chromium); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return chromium
}

// window is one person's browser: its cookies are its own.
type window struct {
	t             *testing.T
	name          string
	ctx           context.Context
	width, height int64

	mu       sync.Mutex
	problems []string // what the page reported to the console
	expected []string // words of problems that are the test's own doing
}

// expect lets the window's console report problems with these words.
func (w *window) expect(words ...string) { w.expected = append(w.expected, words...) }

// newWindow opens a window. The test fails if one of its pages reports an
// error or breaks its Content-Security-Policy.
func newWindow(t *testing.T, chromium context.Context, name string, width, height int64) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	return openWindow(t, ctx, cancel, name, width, height)
}

// newTab opens another tab of the same browser, with the same cookies.
func (w *window) newTab() *window {
	w.t.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx)
	return openWindow(w.t, ctx, cancel, w.name+"'s other tab", w.width, w.height)
}

func openWindow(t *testing.T, ctx context.Context, cancel context.CancelFunc, name string, width, height int64) *window {
	t.Helper()
	w := &window{t: t, name: name, ctx: ctx, width: width, height: height}
	w.resize(width, height, "light")
	var reading sync.WaitGroup
	messages := chromedp.Console(ctx)
	reading.Go(func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			if message.IsException() || message.Type == "error" || message.Type == "warning" {
				w.mu.Lock()
				w.problems = append(w.problems, message.String())
				w.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			w.keepScreenshot()
		}
		cancel()
		reading.Wait()
		for _, problem := range w.problems {
			if slices.ContainsFunc(w.expected, func(words string) bool { return strings.Contains(problem, words) }) {
				continue
			}
			t.Errorf("%s's console: %s", name, problem)
		}
	})
	return w
}

// comesFrom makes the window's browser say that it is another one, with
// another address, as by a proxy.
func (w *window) comesFrom(agent, addr string) {
	w.t.Helper()
	w.do("be another browser", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent})
		if err != nil {
			return chromedp.Void{}, err
		}
		_, err = chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"X-Forwarded-For": addr},
		})
		return chromedp.Void{}, err
	})
}

// resize gives the window another size, and its person's wish for light or dark.
func (w *window) resize(width, height int64, scheme string) {
	w.t.Helper()
	w.do("set the size", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < height,
		})
		if err != nil {
			return chromedp.Void{}, err
		}
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	})
}

// do runs one step, with the time that a busy machine needs.
func (w *window) do(what string, action chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	// The first step opens the window, which then lives as long as the context
	// of that step: so it must have no deadline.
	if chromedp.FromContext(w.ctx).Target == nil {
		if err := chromedp.Do(w.ctx); err != nil {
			w.t.Fatalf("%s: open a window: %v", w.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		at, _ := chromedp.Run(w.ctx, chromedp.Location())
		w.t.Fatalf("%s at %s: %s: %v", w.name, at, what, err)
	}
}

func (w *window) open(url string) {
	w.t.Helper()
	w.do("open "+url, chromedp.Navigate(url))
}

func (w *window) await(selector string) {
	w.t.Helper()
	w.do("wait for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// evaluate returns what an expression comes to in the window's page.
func evaluate[T any](w *window, expression string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s at %s: %v", w.name, w.at(), err)
	}
	return value
}

// has reports whether the page has such an element now.
func (w *window) has(selector string) bool {
	w.t.Helper()
	return evaluate[int](w, "document.querySelectorAll(`"+selector+"`).length") > 0
}

// beforeEachPage runs a script in every page that is opened from now on, before
// its own.
func (w *window) beforeEachPage(script string) {
	w.t.Helper()
	w.do("add a script", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return chromedp.Void{}, err
	})
}

func (w *window) click(selector string) {
	w.t.Helper()
	w.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (w *window) text(selector string) string {
	w.t.Helper()
	text, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		w.t.Fatalf("%s: read %s: %v", w.name, selector, err)
	}
	return text
}

func (w *window) at() string {
	w.t.Helper()
	at, err := chromedp.Run(w.ctx, chromedp.Location())
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

func (w *window) logInAtProvider(b *bank, email string) {
	w.t.Helper()
	w.do("type the e-mail address", chromedp.SendKeys(chromedp.CSS(`input[name="email"]`), email))
	w.do("type the password", chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), b.password+"\r"))
	w.await(`#account-email`)
	if got := w.text(`#account-email`); got != email {
		w.t.Fatalf("%s is logged in as %q, want %s", w.name, got, email)
	}
}

// scan returns what a phone's camera reads off the window's screen. A camera
// looks more than once: the page may just be moving.
func (w *window) scan() string {
	w.t.Helper()
	w.await(`#qr-code`)
	for tries := 1; ; tries++ {
		read, err := w.look()
		if err == nil {
			return read
		}
		if tries == 5 {
			w.keepScreenshot()
			w.t.Fatalf("no QR code can be read off %s's screen: %v", w.name, err)
		}
	}
}

func (w *window) look() (string, error) {
	shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return "", err
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return "", err
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		return "", err
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		return "", err
	}
	return read.GetText(), nil
}

// keepScreenshot leaves a picture of the window for whoever looks into a
// failure (go test -artifacts).
func (w *window) keepScreenshot() {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	if shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(w.t.ArtifactDir()+"/"+w.name+".png", shot, 0o600)
	}
}
