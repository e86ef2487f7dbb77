package tests

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"
)

// Every refusal is a page of ours with a link, is not cached, and has a
// reference that the log has, too.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	b, laptop, visitor := pair(t, "LIMIT_CODES_PER_ADDRESS=1")
	laptop.showCode()
	laptop.post(qrPage+"/cancel", nil)
	alone := startBank(t, "ISSUER=http://127.0.0.1:1", "CLIENT_ID=x", "CLIENT_SECRET=y")
	ask := func(method, path string, header ...string) page {
		return visitor.do(visitor.request(method, path, nil, header...))
	}
	elsewhere := visitor.request("POST", "/logout", nil)
	elsewhere.Host = "elsewhere.example"

	for _, tt := range []struct {
		page          page
		status        int
		next          string // where the page leads
		header, value string // of the answer; any value if empty
		bank          *bank
	}{
		{visitor.post("/activate", url.Values{"user_code": {"x"}, "answer": {"perhaps"}}), http.StatusBadRequest, "/activate?user_code=x", "", "", b},
		{ask("POST", "/logout", "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "/", "", "", b},
		{visitor.get("/nosuch"), http.StatusNotFound, "/", "", "", b},
		{ask("DELETE", "/account"), http.StatusMethodNotAllowed, "/", "Allow", "GET, HEAD", b},
		{ask("PUT", "/activate"), http.StatusMethodNotAllowed, "/", "Allow", "GET, HEAD, POST", b},
		{visitor.do(elsewhere), http.StatusMisdirectedRequest, b.URL + "/", "", "", b},
		{laptop.post(qrPage, nil), http.StatusTooManyRequests, "/login", "Retry-After", "", b},
		{alone.browser(t).get("/login"), http.StatusServiceUnavailable, "/", "Retry-After", "5", alone},
	} {
		p := tt.page
		if p.Status != tt.status || !p.has("error") {
			t.Errorf("got %v, want an error page with %d", p, tt.status)
			continue
		}
		if !p.links(tt.next) {
			t.Errorf("%d does not lead to %s: %v", tt.status, tt.next, p)
		}
		if got := p.Header.Get(tt.header); tt.header != "" && (got == "" || tt.value != "" && got != tt.value) {
			t.Errorf("%d: %s is %q, want %q", tt.status, tt.header, got, tt.value)
		}
		if got := p.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%d: Cache-Control is %q, want no-store", tt.status, got)
		}
		reference := p.text("reference")
		if reference == "" || !regexp.MustCompile(`status=\d+ reference=`+reference+" ").MatchString(tt.bank.log.String()) {
			t.Errorf("%d: the reference %q is not in the log", tt.status, reference)
		}
	}
}
