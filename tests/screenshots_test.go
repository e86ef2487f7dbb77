package tests

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "the folder that TestScreenshots writes the README's pictures to, seen from the tests' folder")

// How large a picture of the README may be, in bytes.
const (
	maxPicture = 120_000
	maxFilm    = 500_000
)

// TestScreenshots takes the pictures of the README, if it is told to:
//
//	go test -run TestScreenshots ./tests -screenshots ../docs
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return
	}
	b, chromium := startBank(t), startChromium(t)
	laptop, phone := windows(t, chromium)
	for w, agent := range map[*window]string{laptop: windowsAgent, phone: iPhoneAgent} {
		w.as(agent)
		w.at(homeAddr)
	}
	phone.logIn(b, richard)
	keep := func(name string, picture []byte, most int) {
		t.Helper()
		if len(picture) > most {
			t.Errorf("%s is %d bytes, want at most %d", name, len(picture), most)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	keepStill := func(w *window, name, selector string) {
		t.Helper()
		w.await(selector)
		shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		keep(name, shot, maxPicture)
	}

	keep("login.gif", filmLogin(t, b, laptop, phone), maxFilm)

	// On different networks the laptop asks for a number.
	laptop = newWindow(t, chromium, "another laptop", 1280, 800)
	laptop.as(windowsAgent)
	laptop.at(homeAddr)
	phone.resize(390, 844, "light")
	phone.at(awayAddr)
	phone.open(laptop.showCode(b))
	keepStill(phone, "phone.png", `#approve button:not([aria-disabled])`)
	phone.answer("yes")
	phone.await(`#number`)
	keepStill(phone, "phone-number.png", `main button:not([aria-disabled])`)
	keepStill(laptop, "laptop-number.png", `#confirm-number`)
}

// filmLogin films one login, in windows that leave room for each other.
func filmLogin(t *testing.T, b *bank, laptop, phone *window) []byte {
	t.Helper()
	const short, long = 1800 * time.Millisecond, 3 * time.Second
	const yes = `#approve button[value="yes"]`
	laptop.width, laptop.height, phone.width, phone.height = 860, 680, 330, 680
	f := &film{t: t, laptop: laptop, phone: phone}
	for _, w := range []*window{laptop, phone} {
		w.resize(w.width, w.height, "light")
	}

	laptop.open(b.URL)
	laptop.await(`.hero`)
	phone.open(b.URL + "/account")
	phone.await(`.balance`)
	f.take(short)
	link := laptop.showCode(b)
	f.take(short)
	f.takeScan(short)
	phone.open(link)
	phone.await(yes + `:not([aria-disabled])`)
	laptop.awaitState("opened")
	f.take(long)
	phone.tabTo(yes)
	f.take(short)
	phone.press("\r")
	laptop.await(`.balance`)
	phone.awaitState("claimed")
	f.take(long)
	return f.gif()
}
