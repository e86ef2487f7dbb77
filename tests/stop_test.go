package tests

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process stops within the time that docs/operations.md states, however its
// provider and its visitors behave: an event stream is open, a request does not
// end, a poll and a revocation get no answer.
func TestLongestStop(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	b, laptop, phone := proxiedPair(t, "SHUTDOWN_DELAY="+delay.String())
	other := b.browserOf(t, erlich)
	link := laptop.code()
	stream := laptop.events()
	stream.want("waiting")
	question := phone.get(link)

	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	b.demo.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/token") && !strings.HasSuffix(r.URL.Path, "/revoke") {
			return false
		}
		select {
		case <-silent:
		case <-r.Context().Done():
		}
		return true
	})
	phone.answer(question, "yes")
	stream.wantEventually("yes")
	slow, err := net.Dial("tcp", "127.0.0.1:"+b.log.await(t, `[ "]port"?[=:](\d+)`))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := fmt.Fprintf(slow, "POST /make-change HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\namount", strings.TrimPrefix(b.URL, "http://")); err != nil {
		t.Fatal(err)
	}
	other.logOut() // whose revocation is not answered

	began := time.Now()
	_ = b.process.command.Process.Signal(syscall.SIGTERM)
	<-b.process.ended
	took := time.Since(began)
	t.Logf("stopped after %v", took)
	if took < delay+10*time.Second || took > delay+longestStop {
		t.Errorf("the process stopped after %v, want the delay of %v, ten seconds for the request, and at most %v after the delay", took, delay, longestStop)
	}
	stream.wantEnd()
	b.log.await(t, "(requests cut off)")
}
