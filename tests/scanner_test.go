package tests

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/skip2/go-qrcode"
)

// fakeCamera gives Chromium a camera, and lets each page use it that is allowed to by
// its Permissions-Policy.
var fakeCamera = []chromedp.ExecAllocatorOption{
	chromedp.Flag("use-fake-device-for-media-stream", true),
	chromedp.Flag("use-fake-ui-for-media-stream", true),
}

// fakeDetector stands in for the browser's reader of QR codes, which Chromium has
// on some systems only. It sees what a test puts into window.inView. The camera
// fails with the error named in window.failure.
const fakeDetector = `
window.BarcodeDetector = class {
	static async getSupportedFormats() { return window.formats ?? ["ean_13", "qr_code"]; }
	async detect(video) {
		if (video.videoWidth === 0) throw new Error("no picture");
		return (window.inView ?? []).map((rawValue) => ({ rawValue }));
	}
};
if (navigator.mediaDevices) {
	const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
	navigator.mediaDevices.getUserMedia = async (asked) => {
		if (window.failure) throw new DOMException("", window.failure);
		return window.stream = await open(asked);
	};
}`

const (
	scanButton = `#scanner.can-scan button`
	// cameraIsOff holds once the scan that was started has let go of the camera.
	cameraIsOff = `stream.getTracks().every((track) => track.readyState === "ended") && document.querySelector("#scanner video").hidden`
	pointCamera = "Point the camera at the code on the other device."
)

// scanningPhone opens a phone's window with a camera that sees the picture in a
// file, or moving colors without one. Richard is logged in, and is asked for a
// code.
func scanningPhone(t *testing.T, b *bank, picture string) *window {
	t.Helper()
	options := fakeCamera
	if picture != "" {
		options = append(options[:len(options):len(options)], chromedp.Flag("use-file-for-fake-video-capture", picture))
	}
	phone := newWindow(t, startChromium(t, options...), "phone", 390, 844)
	phone.beforeEachPage(fakeDetector)
	phone.logIn(b, richard)
	phone.open(b.URL + "/activate")
	return phone
}

// startScan presses the button and waits for the camera.
func (w *window) startScan() {
	w.t.Helper()
	w.click(scanButton)
	w.awaitNote(pointCamera)
}

// see puts codes in front of the camera.
func (w *window) see(texts ...string) {
	w.t.Helper()
	w.run(fmt.Sprintf("inView = [%s]", `"`+strings.Join(texts, `", "`)+`"`))
}

// awaitTrue waits until an expression in the window's page is true.
func (w *window) awaitTrue(expression string) {
	w.t.Helper()
	evaluate[bool](w, `new Promise((done) => { const look = () => `+expression+` ? done(true) : setTimeout(look, 20); look(); })`)
}

// awaitNote waits until the scanner says something.
func (w *window) awaitNote(want string) {
	w.t.Helper()
	w.awaitTrue(fmt.Sprintf("document.getElementById('scan-note').textContent === %q", want))
}

// cameraFilm writes a film of one picture in the form that Chromium's camera takes: a
// QR code, as large as the picture allows.
func cameraFilm(t *testing.T, text string) string {
	t.Helper()
	code, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		t.Fatal(err)
	}
	const size = 480
	modules := code.Bitmap()
	scale := size / len(modules)
	y := bytes.Repeat([]byte{235}, size*size) // white
	for row := range scale * len(modules) {
		for column := range scale * len(modules) {
			if modules[row/scale][column/scale] {
				y[row*size+column] = 16
			}
		}
	}
	colors := bytes.Repeat([]byte{128}, size*size/2) // none
	path := filepath.Join(t.TempDir(), "film.y4m")
	text = fmt.Sprintf("YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420\nFRAME\n%s%s", size, size, y, colors)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The camera shows the laptop's code, and the phone goes to the question about
// it. What the browser's reader would read is read off the phone's screen here.
func TestScan(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	phone := scanningPhone(t, b, cameraFilm(t, laptop.code()))
	phone.startScan()
	if evaluate[string](phone, `document.activeElement.textContent`) != "Stop the camera" {
		t.Error("the button that stops the camera does not have the focus")
	}
	phone.see(phone.scanCamera())
	phone.await(`#approve`)
	laptop.wantState("opened")
	phone.answer("yes")
	laptop.claim(richard)
}

// scanCamera reads the code that the camera shows on the window's screen.
func (w *window) scanCamera() string {
	w.t.Helper()
	for deadline := time.Now().Add(stepTimeout); ; time.Sleep(50 * time.Millisecond) {
		shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			w.t.Fatal(err)
		}
		screen, err := png.Decode(bytes.NewReader(shot))
		if err != nil {
			w.t.Fatal(err)
		}
		if text, err := readQR(screen, nil); err == nil {
			return text
		} else if time.Now().After(deadline) {
			w.t.Fatalf("no QR code can be read off the camera's picture: %v", err)
		}
	}
}

// A code that is not ours is never opened, no matter what it contains.
func TestScanForeignCode(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	link := b.browser(t).code()
	code := link[strings.LastIndex(link, "=")+1:]
	phone := scanningPhone(t, b, "")
	phone.startScan()
	for _, foreign := range []string{
		"https://evil.example/activate?user_code=" + code,
		"//evil.example/activate?user_code=" + code,
		b.URL + "@evil.example/activate?user_code=" + code,
		strings.Replace(link, "http:", "https:", 1),
		"javascript:location='" + link + "'",
		b.URL + "/logout?user_code=" + code,
		b.URL + "/activate",
		b.URL + "/activate?user_code=",
		b.DemoURL + "/oauth2/device?user_code=" + code,
		code,
		"WIFI:S:cafe;;",
		"",
	} {
		phone.run(`document.getElementById("scan-note").textContent = ""`)
		phone.see(foreign)
		phone.awaitNote("This isn't a Changebank code.")
		if at := phone.location(); at != b.URL+"/activate" {
			t.Fatalf("%q leads to %s", foreign, at)
		}
	}
	// Beside one of ours it does no harm.
	phone.see("https://evil.example/", link)
	phone.await(`#approve`)
}

// A scanned code counts as typed by the person, not as a link that another site
// may have sent: those have tries of their own (TestLinksOfAnotherSite).
func TestScanIsNotALink(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_WRONG_CODES=1")
	phone := scanningPhone(t, b, "")
	phone.expect("status of 404", "status of 429")
	phone.startScan()
	phone.see(b.URL + "/activate?user_code=AAAAAA")
	phone.await(`#problem`)
	phone.startScan()
	phone.see(b.URL + "/activate?user_code=BBBBBB")
	phone.await(`#error`)
}

// The camera is on only while the person scans.
func TestScanStops(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := scanningPhone(t, b, "")
	const off = "The camera is off."
	for _, tt := range []struct{ how, stop, note string }{
		{"pressed", `document.querySelector("#scanner button").click()`, off},
		{"unplugged", `stream.getVideoTracks()[0].onended()`, off},
		{"left", `dispatchEvent(new PageTransitionEvent("pagehide"))`, ""},
		{"found", `document.getElementById("activate").requestSubmit = () => {}; inView = [location.href + "?user_code=A"]`, "Code found."},
		{"hidden", `Object.defineProperty(document, "hidden", { get: () => true }); document.dispatchEvent(new Event("visibilitychange"))`, off},
	} {
		phone.run("inView = []")
		phone.startScan()
		phone.run(tt.stop)
		phone.awaitNote(tt.note)
		if !evaluate[bool](phone, cameraIsOff) {
			t.Errorf("%s: the camera is still on", tt.how)
		}
		if got := phone.text(scanButton); got != "Scan with the camera" {
			t.Errorf("%s: the button says %q", tt.how, got)
		}
	}
	// Stopped before the browser gave the camera.
	phone.run(`document.querySelector("#scanner button").click(); document.querySelector("#scanner button").click(); stream = undefined`)
	phone.awaitTrue(`window.stream?.getTracks()[0].readyState === "ended"`)
}

// Each failure of the camera is a sentence, and codes can still be typed.
func TestScanFailures(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := scanningPhone(t, b, "")
	for failure, words := range map[string]string{
		"NotAllowedError":  "The camera is blocked.",
		"NotFoundError":    "No camera was found.",
		"NotReadableError": "The camera is busy.",
		"AbortError":       "Scanning doesn't work here.",
	} {
		phone.run(`document.getElementById("scan-note").textContent = ""; failure = "` + failure + `"`)
		phone.click(scanButton)
		phone.awaitTrue(fmt.Sprintf("document.getElementById('scan-note').textContent.startsWith(%q)", words))
		if evaluate[bool](phone, `!document.querySelector("#scanner video").hidden`) {
			t.Errorf("%s: the picture of the camera stays", failure)
		}
	}
	// The reader itself fails, as where a part of the system is missing.
	phone.run(`failure = ""; BarcodeDetector.prototype.detect = async () => { throw new DOMException("", "NotSupportedError"); }`)
	phone.click(scanButton)
	phone.awaitNote("Scanning doesn't work here. Enter the code instead.")
	if !evaluate[bool](phone, cameraIsOff) {
		t.Error("the camera is still on when no code can be read")
	}
}

// The browser itself keeps the camera from all other pages.
func TestCameraOnOnePage(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	link := b.browser(t).code()
	phone := scanningPhone(t, b, "")
	const camera = `navigator.mediaDevices.getUserMedia({ video: true }).then(() => "on", (error) => error.name)`
	phone.expect("Permissions policy violation")
	for path, want := range map[string]string{"/activate": "on", "/account": "NotAllowedError", "/devices": "NotAllowedError", link: "NotAllowedError"} {
		if strings.HasPrefix(path, "/") {
			path = b.URL + path
		}
		phone.open(path)
		if got := evaluate[string](phone, camera); got != want {
			t.Errorf("the camera on %s: %s, want %s", path, got, want)
		}
	}
}

// Without a camera and a reader of QR codes in the browser there is no button.
func TestScannerNeedsSupport(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	chromium := startChromium(t, fakeCamera...)
	const shown = `document.querySelector("#scanner button").checkVisibility({ visibilityProperty: true })`
	phone := newWindow(t, chromium, "phone", 390, 844)
	phone.logIn(b, richard)
	phone.open(b.URL + "/activate")
	phone.await(`#activate`)
	if evaluate[bool](phone, shown) {
		t.Error("the button is shown in this Chromium, which cannot read codes")
	}
	for _, missing := range []string{
		`formats = []`,
		`formats = ["ean_13"]`,
		`BarcodeDetector.getSupportedFormats = async () => { throw new Error("down"); }`,
		`Object.defineProperty(navigator, "mediaDevices", { value: undefined })`, // as without https
	} {
		tab := phone.newTab()
		tab.beforeEachPage(fakeDetector + ";" + missing)
		tab.open(b.URL + "/activate")
		tab.await(`#activate`)
		evaluate[bool](tab, `new Promise((done) => setTimeout(() => done(true), 200))`) // for the script to ask
		if evaluate[bool](tab, shown) {
			t.Errorf("the button is shown with %s", missing)
		}
	}
	phone.beforeEachPage(fakeDetector)
	phone.disableScript()
	phone.open(b.URL + "/activate")
	phone.await(`#activate`)
	if evaluate[bool](phone, shown) {
		t.Error("the button is shown without scripts")
	}
}
