package devicegrant

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	for _, tt := range []struct{ code, want string }{
		{"WDJB-MJHT", "WDJBMJHT"},
		{"wdjb mjht", "WDJBMJHT"},
		{" WdJb–mJhT\r\n", "WDJBMJHT"},
		{"7BQ5ZQ", "7BQ5ZQ"},
		{"0O1I", "0O1I"}, // nobody knows better than the person what was read
		{"WDJB\x00MJHT\u00a0\u200b", "WDJBMJHT"},
		{"\xffA\xfe", "A"},
		{"", ""},
		{"ＷＤＪＢ－ｍｊｈｔ", "WDJBMJHT"},                   // full-width
		{"٠١٢ ۳۴۵ ६७८ ９", "0123456789"},             // Arabic, Persian, Devanagari, full-width
		{"\u200e\u202aWDJB‑MJHT\u202c", "WDJBMJHT"}, // direction marks and another dash
		{strings.Repeat("A", maxTyped), strings.Repeat("A", maxTyped)},
		{strings.Repeat("A", maxTyped+1), ""},
	} {
		if got := Fold(tt.code); got != tt.want {
			t.Errorf("Fold(%q): %q, want %q", tt.code, got, tt.want)
		}
	}
}

func TestCodeIn(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"WDJB-MJHT", "WDJB-MJHT"},
		{" wdjb mjht\n", "wdjb mjht"},
		{"", ""},
		{"100%", "100%"}, // not an escape
		{"ABC%2D123", "ABC-123"},

		{"https://bank.example/activate?user_code=ABC-123", "ABC-123"},
		{"bank.example/activate?user_code=ABC-123", "ABC-123"},
		{"127.0.0.1:5000/activate?user_code=ABC-123", "ABC-123"},
		{"HTTPS://BANK.EXAMPLE/ACTIVATE?USER_CODE=ABC-123", "ABC-123"},
		{"user_code=ABC-123", "ABC-123"},
		{"https://idp.example/oauth2/device?client_id=b&user_code=ABC-123&tenantId=t#top", "ABC-123"},
		{"https://idp.example/device?client_id=b&amp;user_code=ABC-123", "ABC-123"},
		{"https://idp.example/#/device?user_code=ABC-123", "ABC-123"},
		{"https://bank.example/activate?user_code=ABC%2D123%20", "ABC-123"},
		{"https://bank.example/activate?user_code=ABC+123", "ABC 123"},
		{"https%3A%2F%2Fbank.example%2Factivate%3Fuser_code%3DABC-123", "ABC-123"},
		{"https://bank.example/login?return_to=%2Factivate%3Fuser_code%3DABC%252D123", "ABC-123"},
		{"Open https://bank.example/activate?user_code=ABC-123 on your phone", "ABC-123"},
		{"\u200ehttps://bank.example/activate?user_code=ABC‑\u200b123\u200e", "ABC-123"},
		{"https://bank.example/activate?user_code=%EF%BC%A1BC%E2%80%8E-%D9%A1%D9%A2%D9%A3", "ABC-123"},

		{"https://bank.example/activate?user_code=", ""},
		{"https://bank.example/activate?my_user_code=ABC-123", "https://bank.example/activate?my_user_code=ABC-123"},
		{strings.Repeat("A", maxTyped+1), ""},
	} {
		if got := CodeIn(tt.text); got != tt.want {
			t.Errorf("CodeIn(%.80q): %q, want %q", tt.text, got, tt.want)
		}
	}
}

// The code that was found is a code: it is found again in itself, and folds to
// the same.
func FuzzCodeIn(f *testing.F) {
	for _, text := range []string{"WDJB-MJHT", "https://b.example/activate?user_code=A%20B", "%3Fuser_code%3D%252541", "?user_code=user_code%3DA", "%", "\xff%ff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code := CodeIn(text)
		if len(code) > maxTyped || len(text) > maxTyped && code != "" {
			t.Errorf("CodeIn of %d bytes: %d bytes", len(text), len(code))
		}
		if !strings.ContainsAny(text, "%+=") && Fold(code) != Fold(text) {
			t.Errorf("CodeIn(%q): %q, which is another code", text, code)
		}
		if link := "https://b.example/activate?user_code=" + url.QueryEscape(Fold(code)); Fold(CodeIn(link)) != Fold(code) && len(link) <= maxTyped {
			t.Errorf("CodeIn(%q): %q", link, CodeIn(link))
		}
	})
}

func FuzzFold(f *testing.F) {
	for _, code := range []string{"WDJB-MJHT", "wdjb mjht", "ſK", "\xff", "", "１٢", "\u200e"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		folded := Fold(code)
		if strings.Trim(folded, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("Fold(%q): %q, want letters and digits", code, folded)
		}
		if len(code) > maxTyped/2 {
			return // with dashes in it, it may be too long
		}
		for _, typed := range []string{folded, strings.ToLower(folded), strings.Join(strings.Split(folded, ""), "-"), " " + code + "\n"} {
			if got := Fold(typed); got != folded {
				t.Errorf("Fold(%q): %q, but Fold(%q) is %q", typed, got, code, folded)
			}
		}
	})
}

// People type codes in many ways. The provider gets them as it issued them.
func TestTypedCodes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.userCodes = []string{"WdjB-mjHt"}
		a := w.start()
		for _, typed := range []string{"WdjB-mjHt", "WDJBMJHT", "wdjb mjht", " w-d-j-b–MJHT\n", "ＷＤＪＢｍｊｈｔ", "\u200fWDJB−MJHT\u200b"} {
			got, err := w.m.Open(w.Context(), visit(typed, phone, richard))
			if err != nil || got.ID != a.ID {
				w.Errorf("Open(%q): %q, %v, want the attempt", typed, got.ID, err)
			}
		}
		answer := answerOf(a, richard, phone)
		answer.UserCode = "wdjb mjht"
		w.noError(w.m.Yes(w.Context(), answer))
		if got := w.provider.approved; !slices.Equal(got, []string{"WdjB-mjHt"}) {
			w.Errorf("the provider was asked to approve %q, want WdjB-mjHt", got)
		}
	})
}

// A code that we do not know may be live at the provider all the same: anyone
// can start one at its device endpoint with our client ID.
func TestForeignCodeIsNotApproved(t *testing.T) {
	inBubble(t, func(w *world) {
		foreign, err := w.provider.StartDevice(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		a := w.open(w.start())
		answer := answerOf(a, richard, phone)
		answer.UserCode = foreign.User
		for name, call := range map[string]func() (Attempt, error){
			"Open": func() (Attempt, error) { return w.m.Open(w.Context(), visit(foreign.User, phone, richard)) },
			"Yes":  func() (Attempt, error) { return w.m.Yes(w.Context(), answer) },
			"No":   func() (Attempt, error) { return w.m.No(w.Context(), answer) },
		} {
			if got, err := call(); !errors.Is(err, ErrUnknownCode) || got != (Attempt{}) {
				w.Errorf("%s: %+v, %v, want %v", name, got, err, ErrUnknownCode)
			}
		}
		w.provider.wantApprovals(0)
		w.want(a, Opened)
	})
}
