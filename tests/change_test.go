package tests

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestMakeChange(t *testing.T) {
	t.Parallel()
	customer := startBank(t).browser(t)
	if account := customer.logIn(richard); !account.links("/make-change") {
		t.Errorf("the account does not lead to making change: %v", account)
	}
	form := customer.get("/make-change")
	if form.Status != http.StatusOK || form.has("problem") || form.has("change") {
		t.Fatalf("the page is %v", form)
	}
	for amount, want := range map[string]string{
		"0.30":        "We can make change for $0.30 with 6 nickels and 0 pennies!", // not 5 and 5
		" $1,234.56 ": "We can make change for $1,234.56 with 24,691 nickels and 1 penny!",
		".06":         "We can make change for $0.06 with 1 nickel and 1 penny!",
		"١٬٢٣٤٫٥٦":    "We can make change for $1,234.56 with 24,691 nickels and 1 penny!",
		"０．３０":        "We can make change for $0.30 with 6 nickels and 0 pennies!",
		"0":           "We can make change for $0.00 with 0 nickels and 0 pennies!",
	} {
		p := customer.submit(form, "make-change", url.Values{"amount": {amount}})
		if got := p.text("change"); p.Status != http.StatusOK || got != want {
			t.Errorf("%q: %d %q, want %q", amount, p.Status, got, want)
		}
		if p.has("problem") {
			t.Errorf("%q: an answer with a problem: %s", amount, p.text("problem"))
		}
		if got := p.attr("amount", "value"); got != amount {
			t.Errorf("%q: the field then has %q", amount, got)
		}
	}
}

// If the text is not an amount, the page says what to type instead, keeps the
// text, and works with the next amount.
func TestMakeChangeRefuses(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	customer := b.browserOf(t, richard)
	megabyte := strings.Repeat("1", 1<<20)
	const unprintable = "\x00\xff"
	for name, tt := range map[string]struct {
		form   url.Values
		status int
		want   string // words of the sentence
	}{
		"empty":        {url.Values{"amount": {""}}, http.StatusUnprocessableEntity, "Enter an amount"},
		"no field":     {nil, http.StatusUnprocessableEntity, "Enter an amount"},
		"words":        {url.Values{"amount": {`five "dollars"><script>alert(1)</script>`}}, http.StatusUnprocessableEntity, "Enter dollars and cents"},
		"infinity":     {url.Values{"amount": {"inf"}}, http.StatusUnprocessableEntity, "Enter dollars and cents"},
		"exponent":     {url.Values{"amount": {"1e308"}}, http.StatusUnprocessableEntity, "Enter dollars and cents"},
		"negative":     {url.Values{"amount": {"-1"}}, http.StatusUnprocessableEntity, "minus sign"},
		"half a cent":  {url.Values{"amount": {"0.005"}}, http.StatusUnprocessableEntity, "two digits"},
		"comma":        {url.Values{"amount": {"1,23"}}, http.StatusUnprocessableEntity, "thousands"},
		"too large":    {url.Values{"amount": {"1000000000000.01"}}, http.StatusUnprocessableEntity, "$1,000,000,000,000.00"},
		"unprintable":  {url.Values{"amount": {unprintable}}, http.StatusUnprocessableEntity, "Enter dollars and cents"},
		"one megabyte": {url.Values{"amount": {megabyte}}, http.StatusRequestEntityTooLarge, "Enter dollars and cents"},
	} {
		p := customer.post("/make-change", tt.form)
		if p.Status != tt.status || !strings.Contains(p.text("problem"), tt.want) {
			t.Errorf("%s: %v, want %d and %q", name, p, tt.status, tt.want)
			continue
		}
		if got := p.attr("problem", "role"); got != "alert" {
			t.Errorf("%s: the problem's role is %q, want alert", name, got)
		}
		if got := p.attr("amount", "aria-describedby"); got != "problem" {
			t.Errorf("%s: the field is described by %q, want problem", name, got)
		}
		if p.has("change") {
			t.Errorf("%s: a problem with an answer: %s", name, p.text("change"))
		}
		typed := tt.form.Get("amount")
		if strings.Contains(p.Body, "<script>alert") {
			t.Errorf("%s: the text becomes markup:\n%s", name, p.Body)
		}
		if kept := typed != unprintable && typed != megabyte; kept && p.attr("amount", "value") != typed {
			t.Errorf("%s: the field has %q, want %q as it was typed", name, p.attr("amount", "value"), typed)
		}
		if next := customer.submit(p, "make-change", url.Values{"amount": {"1"}}); !strings.Contains(next.text("change"), "$1.00") {
			t.Errorf("%s: the next amount: %v", name, next)
		}
	}

	const notAForm = "amount=%zz"
	broken := customer.request(http.MethodPost, "/make-change", nil)
	broken.Body, broken.ContentLength = io.NopCloser(strings.NewReader(notAForm)), int64(len(notAForm))
	if p := customer.do(broken); p.Status != http.StatusUnprocessableEntity || p.text("problem") == "" {
		t.Errorf("a form that does not parse: %v, want 422 and a sentence", p)
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Error("a wrong amount is logged as an error")
	}
}

// Only customers can make change, and only they find the page.
func TestMakeChangeNeedsLogin(t *testing.T) {
	t.Parallel()
	visitor := startBank(t).browser(t)
	for _, p := range []page{visitor.get("/make-change"), visitor.post("/make-change", url.Values{"amount": {"1"}})} {
		if p.URL.Path != "/" || p.has("change") {
			t.Errorf("without a login: %v, want the home page", p)
		}
		if strings.Contains(p.Body, "/make-change") {
			t.Errorf("%s leads visitors to a page that is not theirs", p.URL)
		}
	}
	visitor.logIn(richard)
	if p := visitor.get("/activate"); !strings.Contains(p.Body, `href="/make-change"`) {
		t.Error("the menu does not lead customers to making change")
	}
}
