package handlers

import (
	"html/template"
	"image"
	"image/color"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

var states = []devicegrant.State{
	devicegrant.Waiting, devicegrant.Opened, devicegrant.Number, devicegrant.Yes, devicegrant.Approved, devicegrant.Claimed,
	devicegrant.Denied, devicegrant.Expired, devicegrant.Cancelled, devicegrant.Failed,
}

func TestOwnPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"/activate?user_code=ABC", "/activate?user_code=ABC"},
		{"/", "/"},
		{"", "/account"},
		{"account", "/account"},
		{"https://evil.example/", "/account"},
		{"//evil.example/", "/account"},
		{`/\evil.example/`, "/account"},
		{`\\evil.example/`, "/account"},
		{"/\t/evil.example/", "/account"},
		{"/\n/evil.example/", "/account"},
		{"javascript:alert(1)", "/account"},
		{"///evil.example", "/account"},
		{"/%", "/account"},
		{"/" + strings.Repeat("a", 255), "/" + strings.Repeat("a", 255)},
		{"/" + strings.Repeat("a", 256), "/account"},
	} {
		if got := ownPath(tt.path); got != tt.want {
			t.Errorf("ownPath(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second:                "just now",
		2 * time.Second:            "2 seconds ago",
		119 * time.Second:          "119 seconds ago",
		2 * time.Minute:            "2 minutes ago",
		119 * time.Minute:          "119 minutes ago",
		2 * time.Hour:              "2 hours ago",
		47 * time.Hour:             "47 hours ago",
		48 * time.Hour:             "2 days ago",
		7*24*time.Hour - time.Hour: "6 days ago",
	} {
		if got := ago(time.Now().Add(-d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
}

// A stolen cookie shows in the last visit of a device: another browser, at
// another address than the login's.
func TestLastSeen(t *testing.T) {
	const firefox, curl = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.1\u202e"
	home, away := "192.0.2.1", "203.0.113.7"
	now := time.Now()
	for _, tt := range []struct {
		name   string
		seen   time.Time
		latest browser.Browser
		want   string
	}{
		{"never", time.Time{}, browser.Browser{}, "not yet"},
		{"now", now, browser.Browser{Agent: firefox, Addr: home}, "in the last few minutes"},
		{"long ago", now.Add(-3 * time.Hour), browser.Browser{Agent: firefox, Addr: home}, "3 hours ago"},
		{"from elsewhere", now.Add(-3 * time.Hour), browser.Browser{Agent: firefox, Addr: away}, "3 hours ago, from " + away},
		{"by another", now, browser.Browser{Agent: curl, Addr: home}, "in the last few minutes, by another browser: An unknown browser"},
		{"by another from elsewhere", now, browser.Browser{Agent: curl, Addr: away}, "in the last few minutes, by another browser: An unknown browser, from " + away},
	} {
		got := lastSeen(session.Session{Browser: browser.Browser{Agent: firefox, Addr: home}, Seen: tt.seen, Latest: tt.latest})
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The drawing is a QR code that can be read, dark on white, with its quiet zone.
func TestQRCode(t *testing.T) {
	var codes qrCodes
	for _, text := range []string{"http://localhost:5000/activate?user_code=ABC234", "https://bank.example.com/activate?user_code=" + strings.Repeat("W", 80)} {
		svg, err := codes.draw(text)
		if err != nil {
			t.Fatal(err)
		}
		source, err := gozxing.NewBinaryBitmapFromImage(drawn(t, svg))
		if err != nil {
			t.Fatal(err)
		}
		read, err := qrcode.NewQRCodeReader().Decode(source, nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if read.GetText() != text {
			t.Errorf("the code reads %q, want %q", read.GetText(), text)
		}
	}
	// Version 6 is what a text of this length takes at the medium level, which
	// still reads with a smudge on the screen.
	svg, err := codes.draw(strings.Repeat("x", 100))
	if err != nil || !strings.Contains(string(svg), `viewBox="0 0 49 49"`) {
		t.Errorf("100 bytes are drawn as %.80s, %v; want 41 modules and the quiet zone", svg, err)
	}
	if _, err := codes.draw(strings.Repeat("x", 5000)); err == nil {
		t.Error("a text that no QR code can hold is drawn")
	}
	if again, err := codes.draw(strings.Repeat("x", 100)); again != svg || err != nil {
		t.Errorf("drawn again, %v: %.80s", err, again)
	}
}

// However many codes are drawn, the memory is bounded, and each is its own.
func TestQRCodesAreBounded(t *testing.T) {
	code, err := encodeQR("one")
	if err != nil {
		t.Fatal(err)
	}
	codes := qrCodes{of: make(map[string]qrCode)}
	for i := range maxQRCodes {
		codes.of[strconv.Itoa(i)] = code
	}
	svg, err := codes.draw("another")
	if err != nil || svg == code.svg() || len(codes.of) > maxQRCodes {
		t.Errorf("another code: the same drawing: %t, %v, %d are kept; want a drawing of its own, and %d at most", svg == code.svg(), err, len(codes.of), maxQRCodes)
	}
}

// drawn renders our own kind of SVG, four pixels a module.
func drawn(t *testing.T, svg template.HTML) image.Image {
	t.Helper()
	size := regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`).FindStringSubmatch(string(svg))
	dark := regexp.MustCompile(`fill="#000000" d="([^"]*)"`).FindStringSubmatch(string(svg))
	if size == nil || dark == nil || !strings.Contains(string(svg), `<path fill="#ffffff" d="M0 0h`+size[1]+`v`+size[1]+`H0z"/>`) {
		t.Fatalf("not a dark drawing on white: %.300s", svg)
	}
	n := number(t, size[1])
	const scale = 4
	picture := image.NewGray(image.Rect(0, 0, n*scale, n*scale))
	for i := range picture.Pix {
		picture.Pix[i] = 255
	}
	for _, run := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(dark[1], -1) {
		x, y, width := number(t, run[1]), number(t, run[2]), number(t, run[3])
		if x < 4 || y < 4 || x+width > n-4 || y >= n-4 {
			t.Fatalf("the run %s is in the quiet zone of 4 modules", run[0])
		}
		for px := x * scale; px < (x+width)*scale; px++ {
			for py := y * scale; py < (y+1)*scale; py++ {
				picture.SetGray(px, py, color.Gray{})
			}
		}
	}
	return picture
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Every state, and every reason for failing, has words of its own.
func TestWords(t *testing.T) {
	attempts := []devicegrant.Attempt{{State: devicegrant.Expired, Reason: devicegrant.ReasonUnfinished}}
	for _, state := range states {
		attempts = append(attempts, devicegrant.Attempt{State: state})
	}
	for _, reason := range []devicegrant.Reason{
		devicegrant.ReasonOtherPerson, devicegrant.ReasonUnverified, devicegrant.ReasonClient, devicegrant.ReasonCodeGone,
		devicegrant.ReasonNumber, devicegrant.ReasonMoved, devicegrant.ReasonLoggedOut, devicegrant.ReasonSessionEnded,
	} {
		attempts = append(attempts, devicegrant.Attempt{State: devicegrant.Failed, Reason: reason})
	}
	seen := make(map[words]devicegrant.Attempt)
	for _, a := range attempts {
		w := laptopWords(a)
		if w.Tab == "" || w.Title == "" || w.Text == "" || strings.Contains(w.Title+w.Tab, "{") {
			t.Errorf("%s %s: %+v", a.State, a.Reason, w)
		}
		if other, ok := seen[w]; ok {
			t.Errorf("%s %s and %s %s have the same words", a.State, a.Reason, other.State, other.Reason)
		}
		seen[w] = a
		if w := phoneWords(a); a.State.Ended() && (w.Title == "" || w.Text == "") {
			t.Errorf("%s %s: no words for the phone", a.State, a.Reason)
		}
	}
}

// Every page, with hostile data in every place, lets none of it through as
// markup.
func TestPagesEscape(t *testing.T) {
	pages, err := parsePages("https://bank.example")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{pages: pages}
	const evil = `"><script>alert(1)</script>`
	f := frame{Person: evil}
	asks := approvePage{
		frame: f, Problem: evil, FallbackURL: "javascript:" + evil, UserCode: evil, Fingerprint: evil, Browser: evil, Addr: evil,
		Requested: evil, State: evil, DifferentNetwork: true, Switch: "javascript:" + evil, Number: evil, AppURL: evil, Watch: evil,
	}
	evilDevice := device{Ref: evil, Browser: evil, Began: evil, Addr: evil, Seen: evil}
	for name, data := range map[string]any{
		"home": struct {
			frame
			People []string
			Ended  session.Ending
			Phone  bool
		}{f, []string{evil}, session.EndedByDevice, true},
		"account": struct {
			frame
			ByPhone        bool
			MustLogInAgain bool
			New            []device
		}{f, true, true, []device{evilDevice}},
		"end-others": othersPage{f, evil, []device{evilDevice}},
		"ended":      endedPage{f, evil, evil, evil},
		"devices":    devicesPage{f, []device{evilDevice}, []device{evilDevice}, true},
		"logout": struct {
			frame
			AtProvider bool
		}{f, true},
		"this-phone": f,
		"notice":     notice{frame: f, Title: evil, Text: evil, Next: link{"/" + evil, evil}, Refresh: 2, Status: 400, Reference: evil},
		"activate":   activatePage{f, evil, evil, evil},
		"change":     changePage{f, evil, evil, evil},
		"approve":    asks,
		"continue":   asks,
		"number":     asks,
		"answered":   answeredPage{f, evil, evil, evil, evil, true},
		"qrlogin":    qrPage{frame: f, Tab: evil, Ref: evil, Steps: []string{evil}, Lasts: evil, Title: evil, Text: evil, Note: evil, QR: "<svg></svg>", UserCode: evil, URI: evil, URIComplete: "javascript:" + evil, TimeLeft: evil, State: evil, Problem: evil},
	} {
		w := httptest.NewRecorder()
		if err := s.render(w, name, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(w.Body.String(), "script&gt;alert") {
			t.Errorf("%s does not show the data", name)
		}
		for _, bad := range []string{"<script>alert", `href="javascript:`} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s lets %q through", name, bad)
			}
		}
		delete(pages, name)
	}
	for name := range pages {
		t.Errorf("the page %s is not tested here", name)
	}
}

func TestSpelled(t *testing.T) {
	for code, want := range map[string]string{
		"1023":      "1 0 2 3",
		"AB12CD":    "A B 1, 2 C D",
		"WDJBMJHT":  "W D J B, M J H T",
		"WDJB-MJHT": "W D J B, M J H T",
		"wd-jb--":   "w d, j b",
		"WDJBM-":    "W D J, B M",
		"ABCDEFG":   "A B C, D E F, G",
		"":          "",
	} {
		if got := spelled(code); got != want {
			t.Errorf("spelled(%q) = %q, want %q", code, got, want)
		}
	}
}
