package idp_test

import (
	"io"
	"net/http"
	"strings"
)

// respond is a JSON response.
func respond(status int, body string) http.HandlerFunc {
	return respondAs(status, "application/json", body)
}

func respondAs(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func redirect(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusTemporaryRedirect) }
}

// cut closes the connection in place of a response.
func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// hang never responds. It reports each request that has arrived.
func (p *provider) hang(arrived chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-p.done:
		}
	}
}

// longPage is the kind of response that must not fill a log, or forge its lines.
var longPage = strings.Repeat("<p>\r\nlevel=ERROR\tmsg=forged ü\u2028\xff\n", 1<<14)
