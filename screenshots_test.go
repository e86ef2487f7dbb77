package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "the folder to which TestScreenshots writes the pictures of the README")

// maxPicture is how large a picture of the README may be, in bytes.
const maxPicture = 120_000

// TestScreenshots makes the pictures of the README, where it is told to:
//
//	go test -run TestScreenshots -screenshots docs .
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return
	}
	chromium := startChromium(t)
	b := startBank(t)
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	laptop.comesFrom(windows, "203.0.113.7")
	phone := newWindow(t, chromium, "phone", 390, 844)
	phone.comesFrom(iPhone, "198.51.100.4")
	keep := func(w *window, name, selector string) {
		t.Helper()
		w.await(selector)
		shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if len(shot) > maxPicture {
			t.Errorf("%s is %d bytes, want %d at most", name, len(shot), maxPicture)
		}
		folder := *screenshots
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(topFolder, folder)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".png"), shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	phone.open(b.URL + "/login")
	phone.logInAtProvider(b, richard)
	laptop.open(b.URL + "/logged-out-qr-login")
	keep(laptop, "laptop", `[data-state="waiting"]`)
	laptop.resize(1280, 800, "dark")
	keep(laptop, "laptop-dark", `[data-state="waiting"]`)
	laptop.resize(1280, 800, "light")

	phone.open(laptop.scan())
	keep(phone, "phone", `#approve`)
	phone.click(`#approve button[value="yes"]`)
	keep(phone, "phone-number", `#number`)
	keep(laptop, "laptop-number", `#the-number`)
	laptop.do("type the number", chromedp.SendKeys(chromedp.CSS(`#the-number`), phone.text(`#number`)+"\r"))
	keep(laptop, "account", `.balance`)
}
