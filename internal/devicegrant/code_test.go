package devicegrant

import (
	"errors"
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
	} {
		if got := Fold(tt.code); got != tt.want {
			t.Errorf("Fold(%q): %q, want %q", tt.code, got, tt.want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, code := range []string{"WDJB-MJHT", "wdjb mjht", "ſK", "\xff", ""} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		folded := Fold(code)
		if strings.Trim(folded, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("Fold(%q): %q, want letters and digits", code, folded)
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
		for _, typed := range []string{"WdjB-mjHt", "WDJBMJHT", "wdjb mjht", " w-d-j-b–MJHT\n"} {
			got, err := w.m.Open(w.Context(), typed, phone, richard)
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
			"Open": func() (Attempt, error) { return w.m.Open(w.Context(), foreign.User, phone, richard) },
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
