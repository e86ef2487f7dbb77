package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestMakeChange(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	customer := b.browser(t)
	account := customer.logIn(richard)
	if !strings.Contains(account.text("main"), "Make change") {
		t.Errorf("the account does not lead to making change: %s", account.text("main"))
	}
	form := customer.get("/make-change")
	if form.Status != http.StatusOK || form.find("", "problem") != nil || form.find("", "change") != nil {
		t.Fatalf("the page greets with %d: %s", form.Status, form.text("main"))
	}
	for amount, want := range map[string]string{
		"0.30":        "We can make change for $0.30 with 6 nickels and 0 pennies!", // not 5 and 5
		" $1,234.56 ": "We can make change for $1,234.56 with 24,691 nickels and 1 penny!",
		".06":         "We can make change for $0.06 with 1 nickel and 1 penny!",
		"0":           "We can make change for $0.00 with 0 nickels and 0 pennies!",
	} {
		p := customer.submit(form, "make-change", url.Values{"amount": {amount}})
		if got := p.text("change"); p.Status != http.StatusOK || got != want {
			t.Errorf("%q: %d %q, want %q", amount, p.Status, got, want)
		}
		if p.find("", "problem") != nil {
			t.Errorf("%q: a problem beside the answer: %s", amount, p.text("problem"))
		}
		if got := p.attr("amount", "value"); got != amount {
			t.Errorf("%q: the field then has %q", amount, got)
		}
	}
}

// Whatever is typed, the page says what to type instead, keeps the text, and
// can be used again at once.
func TestMakeChangeRefuses(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	customer := b.browser(t)
	customer.logIn(richard)
	megabyte := strings.Repeat("1", 1<<20)
	tests := []struct {
		name   string
		form   url.Values
		status int
		want   string // words of the sentence
	}{
		{"empty", url.Values{"amount": {""}}, http.StatusUnprocessableEntity, "type an amount"},
		{"no field", nil, http.StatusUnprocessableEntity, "type an amount"},
		{"words", url.Values{"amount": {`five "dollars"><script>alert(1)</script>`}}, http.StatusUnprocessableEntity, "not an amount"},
		{"infinity", url.Values{"amount": {"inf"}}, http.StatusUnprocessableEntity, "not an amount"},
		{"exponent", url.Values{"amount": {"1e308"}}, http.StatusUnprocessableEntity, "not an amount"},
		{"negative", url.Values{"amount": {"-1"}}, http.StatusUnprocessableEntity, "minus sign"},
		{"half a cent", url.Values{"amount": {"0.005"}}, http.StatusUnprocessableEntity, "two digits after the point"},
		{"comma for a point", url.Values{"amount": {"1,23"}}, http.StatusUnprocessableEntity, "between thousands"},
		{"too large", url.Values{"amount": {"1000000000000.01"}}, http.StatusUnprocessableEntity, "at most $1,000,000,000,000.00"},
		{"zero bytes", url.Values{"amount": {"\x00\xff"}}, http.StatusUnprocessableEntity, "not an amount"},
		{"a megabyte", url.Values{"amount": {megabyte}}, http.StatusRequestEntityTooLarge, "not an amount"},
	}
	for _, tt := range tests {
		p := customer.post("/make-change", tt.form)
		if got := p.text("problem"); p.Status != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %d %q, want %d and %q", tt.name, p.Status, got, tt.status, tt.want)
			continue
		}
		if got := p.attr("problem", "role"); got != "alert" {
			t.Errorf("%s: the problem's role is %q, want alert", tt.name, got)
		}
		if got := p.attr("amount", "aria-describedby"); got != "problem" {
			t.Errorf("%s: the field is described by %q, want problem", tt.name, got)
		}
		if p.find("", "change") != nil {
			t.Errorf("%s: an answer beside the problem: %s", tt.name, p.text("change"))
		}
		typed := tt.form.Get("amount")
		if strings.Contains(p.Body, "<script>alert") {
			t.Errorf("%s: the text becomes markup:\n%s", tt.name, p.Body)
		}
		if readable := !strings.Contains(typed, "\x00") && typed != megabyte; readable && p.attr("amount", "value") != typed {
			t.Errorf("%s: the field has %q, want %q as it was typed", tt.name, p.attr("amount", "value"), typed)
		}
		if again := customer.submit(p, "make-change", url.Values{"amount": {"1"}}); !strings.Contains(again.text("change"), "$1.00") {
			t.Errorf("%s: after it the form answers %q", tt.name, again.text("main"))
		}
	}

	broken, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+"/make-change", strings.NewReader("amount=%zz"))
	if err != nil {
		t.Fatal(err)
	}
	broken.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p := customer.do(broken); p.Status != http.StatusUnprocessableEntity || p.text("problem") == "" {
		t.Errorf("a form that does not parse: %d %q, want 422 and a sentence", p.Status, p.text("problem"))
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Error("what people type is logged as a fault of ours")
	}
}

// Change is made for customers only, and only they are led to it.
func TestMakeChangeNeedsLogin(t *testing.T) {
	t.Parallel()
	visitor := startBank(t).browser(t)
	for _, p := range []page{visitor.get("/make-change"), visitor.post("/make-change", url.Values{"amount": {"1"}})} {
		if p.URL.Path != "/" || p.find("", "change") != nil {
			t.Errorf("without a login it leads to %s: %s", p.URL, p.text("main"))
		}
		if strings.Contains(p.Body, "/make-change") {
			t.Errorf("%s leads visitors to a page that is not theirs", p.URL)
		}
	}
	visitor.logIn(richard)
	if p := visitor.get("/activate"); !strings.Contains(p.Body, `href="/make-change"`) {
		t.Error("the navigation does not lead customers to making change")
	}
}
