package tests

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "the folder that TestScreenshots writes the README's pictures to, seen from the tests' folder")

// maxPicture is how large a picture of the README may be, in bytes.
const maxPicture = 120_000

// TestScreenshots takes the pictures of the README, if it is told to:
//
//	go test -run TestScreenshots ./tests -screenshots ../docs
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return
	}
	b, laptop, phone := windowPair(t)
	laptop.as(windowsAgent)
	laptop.at(homeAddr)
	phone.as(iPhoneAgent)
	phone.at(awayAddr)
	keep := func(w *window, name, selector string) {
		t.Helper()
		w.await(selector)
		shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if len(shot) > maxPicture {
			t.Errorf("%s is %d bytes, want at most %d", name, len(shot), maxPicture)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	link := laptop.showCode(b)
	keep(laptop, "laptop", `#qr-code`)
	laptop.resize(1280, 800, "dark")
	keep(laptop, "laptop-dark", `#qr-code`)
	laptop.resize(1280, 800, "light")

	phone.open(link)
	keep(phone, "phone", `#approve button:not([aria-disabled])`)
	phone.answer("yes")
	keep(phone, "phone-number", `#number`)
	keep(laptop, "laptop-number", `#confirm-number`)
	laptop.typeNumber(phone.text(`#number`) + "\r")
	keep(laptop, "account", `.balance`)
}
