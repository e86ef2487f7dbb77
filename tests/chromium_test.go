package tests

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"os"
	"path/filepath"
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

	"changebank/internal/testneed"
)

// stepTimeout is how long one step in a window may take on a busy machine.
const stepTimeout = time.Minute

// chromiums bounds how many browsers run at once. With more of them each step
// takes long enough to fail. A test that has a browser must not have parallel
// subtests: they could wait for tests that wait for its browser.
var chromiums = make(chan struct{}, 2)

// startChromium returns a context with a browser that runs until the test ends.
func startChromium(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path := testneed.Program(t, "Chromium is not installed, so nothing is tested in a real browser.", "chromium", "chromium-browser", "google-chrome")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // it runs as root in most containers
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	options = append(options, more...)
	chromiums <- struct{}{}
	t.Cleanup(func() { <-chromiums })
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	chromium, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(chromium); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return chromium
}

// window is one person's browser, with cookies of its own.
type window struct {
	t             *testing.T
	name          string
	ctx           context.Context
	width, height int64

	mu       sync.Mutex
	problems []string // what pages reported to the console
	expected []string // words of problems that the test itself causes
}

// windows opens a laptop's window, and a phone's on which nobody is logged in
// yet.
func windows(t *testing.T, chromium context.Context) (laptop, phone *window) {
	t.Helper()
	return newWindow(t, chromium, "laptop", 1280, 800), newWindow(t, chromium, "phone", 390, 844)
}

// windowPair runs the program, and opens a laptop's window, and a phone's on
// which richard is logged in.
func windowPair(t *testing.T) (b *bank, laptop, phone *window) {
	t.Helper()
	b = startBank(t)
	laptop, phone = windows(t, startChromium(t))
	phone.logIn(b, richard)
	return b, laptop, phone
}

// newWindow opens a window. The test fails if one of its pages reports an error
// or breaks its Content-Security-Policy.
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
	// Each person looks at their own screen: one window of this Chromium must not
	// take the focus from another.
	w.call("keep the focus", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	})
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
			if !slices.ContainsFunc(w.expected, func(words string) bool { return strings.Contains(problem, words) }) {
				t.Errorf("%s's console: %s", name, problem)
			}
		}
	})
	return w
}

// expect lets the window's console report problems with these words.
func (w *window) expect(words ...string) { w.expected = append(w.expected, words...) }

// call sends commands to the window's browser.
func (w *window) call(what string, commands ...func(ctx context.Context) error) {
	w.t.Helper()
	w.do(what, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		for _, command := range commands {
			if err := command(ctx); err != nil {
				return chromedp.Void{}, err
			}
		}
		return chromedp.Void{}, nil
	})
}

// at moves the window's browser to an address, as a trusted proxy would say.
func (w *window) at(addr string) {
	w.t.Helper()
	w.call("set the address", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"X-Forwarded-For": addr},
		})
		return err
	})
}

// as gives the window's browser another name.
func (w *window) as(agent string) {
	w.t.Helper()
	w.call("set the user agent", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent})
		return err
	})
}

// disableScript turns JavaScript off.
func (w *window) disableScript() {
	w.t.Helper()
	w.call("turn JavaScript off", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}

// resize gives the window another size, and its person's wish for light or dark.
func (w *window) resize(width, height int64, scheme string) {
	w.t.Helper()
	w.call("set the size", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < height,
		})
		return err
	}, func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
}

// beforeEachPage runs a script in every page that is opened from now on, before
// the page's own.
func (w *window) beforeEachPage(script string) {
	w.t.Helper()
	w.call("add a script", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})
}

// do runs one step, with the time that a busy machine needs.
func (w *window) do(what string, action chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	// The first step opens the window, which then lives as long as the context
	// of that step. So it must have no deadline.
	if chromedp.FromContext(w.ctx).Target == nil {
		if err := chromedp.Do(w.ctx); err != nil {
			w.t.Fatalf("%s: open a window: %v", w.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		at, _ := chromedp.Run(w.ctx, chromedp.Location())
		w.t.Fatalf("%s at %s: %s: %v", w.name, at, what, err)
	}
}

// scan returns what a phone's camera reads off the window's screen. A camera
// keeps looking, since the page may be changing.
func (w *window) scan() string {
	w.t.Helper()
	w.await(`#qr-code`)
	for deadline := time.Now().Add(stepTimeout); ; time.Sleep(50 * time.Millisecond) {
		read, err := w.look()
		if err == nil {
			return read
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no QR code can be read off %s's screen: %v", w.name, err)
		}
	}
}

func (w *window) look() (string, error) {
	shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return "", err
	}
	screen, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return "", err
	}
	read, err := readQR(screen, nil)
	if err == nil {
		return read, nil
	}
	// Some codes are not found among everything else on the screen. A person
	// holds the phone closer then.
	box := evaluate[[]float64](w, `(box => box ? [box.left, box.top, box.right, box.bottom] : [])(document.querySelector("#qr-code")?.getBoundingClientRect())`)
	closer, ok := screen.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if !ok || len(box) != 4 {
		return "", err // the page has changed
	}
	code := closer.SubImage(image.Rect(int(box[0]), int(box[1]), int(box[2]), int(box[3])))
	return readQR(code, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
}

func readQR(picture image.Image, hints map[gozxing.DecodeHintType]any) (string, error) {
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		return "", err
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, hints)
	if err != nil {
		return "", err
	}
	return read.GetText(), nil
}

// keepScreenshot leaves a picture of the window to help with a failure
// (go test -artifacts).
func (w *window) keepScreenshot() {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	if shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(filepath.Join(w.t.ArtifactDir(), w.name+".png"), shot, 0o600)
	}
}
