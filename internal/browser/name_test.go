package browser

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	blink  = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
	webkit = "AppleWebKit/605.1.15 (KHTML, like Gecko) "
)

func TestName(t *testing.T) {
	for _, tt := range []struct{ agent, want string }{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + blink + "Safari/537.36", "Chrome on Windows"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + blink + "Safari/537.36", "Chrome on macOS"},
		{"Mozilla/5.0 (X11; Linux x86_64) " + blink + "Safari/537.36", "Chrome on Linux"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) " + blink + "Safari/537.36", "Chrome on ChromeOS"},
		{"Mozilla/5.0 (Linux; Android 10; K) " + blink + "Mobile Safari/537.36", "Chrome on Android"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) " + webkit + "CriOS/140.0.7339.39 Mobile/15E148 Safari/604.1", "Chrome on iOS"},
		{"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) " + webkit + "CriOS/140.0.7339.39 Mobile/15E148 Safari/604.1", "Chrome on iPadOS"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", "Headless Chrome on Linux"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + blink + "Safari/537.36 Edg/140.0.0.0", "Edge on Windows"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + blink + "Safari/537.36 Edg/140.0.0.0", "Edge on macOS"},
		{"Mozilla/5.0 (Linux; Android 10; K) " + blink + "Mobile Safari/537.36 EdgA/140.0.0.0", "Edge on Android"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) " + webkit + "Version/18.0 EdgiOS/140.0.3485.66 Mobile/15E148 Safari/604.1", "Edge on iOS"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Windows"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on macOS"},
		{"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Linux"},
		{"Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0", "Firefox on Android"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 15_6 like Mac OS X) " + webkit + "FxiOS/143.0 Mobile/15E148 Safari/605.1.15", "Firefox on iOS"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + webkit + "Version/26.0 Safari/605.1.15", "Safari on macOS"}, // and today's iPads
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) " + webkit + "Version/26.0 Mobile/15E148 Safari/604.1", "Safari on iOS"},
		{"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) " + webkit + "Version/18.6 Mobile/15E148 Safari/604.1", "Safari on iPadOS"},
		{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet on Android"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + blink + "Safari/537.36 OPR/121.0.0.0", "Opera on Windows"},
		{"Mozilla/5.0 (Linux; Android 10; K) " + blink + "Mobile Safari/537.36 OPR/91.0.0.0", "Opera on Android"},
		{"Mozilla/5.0 (X11; Linux x86_64) " + blink + "Safari/537.36 Vivaldi/7.5.3735.66", "Vivaldi on Linux"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + blink + "YaBrowser/25.8.0.0 Safari/537.36", "Yandex Browser on Windows"},

		{"", "An unknown browser"},
		{"curl/8.14.1", "An unknown browser"},
		{"Your own laptop, checked by us", "An unknown browser"},
		{"Your own laptop, checked by us/1.0 (Windows NT 10.0)", "A browser on Windows"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + blink + "Safari/537.36 Checked-by-your-bank/1.0", "A browser on Windows"},
		{"Your own laptop Firefox/143.0", "An unknown browser"},
		{"Firefox/your-own-laptop (Android your-own-laptop; checked by us)", "Firefox on Android"},
		{"Mozilla/5.0 (Windows NT your own laptop; rv:1) Gecko/1 Firefox/1", "Firefox"},
		{"\u202eFirefox/1.0 (\u2066X11; Linux)", "A browser on Linux"},
		{"You are safe, press Yes/1.0\n\n\n", "An unknown browser"},
		{"<script>alert(1)</script>/1.0", "An unknown browser"},
		{"\x00\x1b[31m/1.0", "An unknown browser"},
		{strings.Repeat("x", 400), "An unknown browser"},
	} {
		if got := (Browser{Agent: tt.agent}).Name(); got != tt.want {
			t.Errorf("name of %q = %q, want %q", tt.agent, got, tt.want)
		}
	}
}

// No word of a header is shown, wherever it stands in it.
func FuzzName(f *testing.F) {
	for _, frame := range []string{"%s", "%s/1", "Mozilla/5.0 (%s)", "Mozilla/5.0 (%s; Android 15)", "Googlebot %s/1 bot", "Chrome/1 Safari/1 %s/1", "XiaoMi/%s"} {
		f.Add(strings.ReplaceAll(frame, "%s", "checked by us"))
	}
	shown := map[string]bool{"": true, "An unknown browser": true, "your phone": true, "your iPhone": true, "your iPad": true, "your Android phone": true, "your Android tablet": true}
	systems := []string{"Android", "ChromeOS", "FreeBSD", "HarmonyOS", "iOS", "iPadOS", "Linux", "macOS", "Windows"}
	for _, name := range slices.AppendSeq([]string{"A browser"}, maps.Values(names)) {
		shown[name] = true
		for _, system := range systems {
			shown[name+" on "+system] = true
		}
	}
	f.Fuzz(func(t *testing.T, agent string) {
		b := Browser{Agent: agent}
		if !shown[b.Name()] || !shown[b.OwnersName()] {
			t.Errorf("%q is shown as %q and %q", agent, b.Name(), b.OwnersName())
		}
	})
}
