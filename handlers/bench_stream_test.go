package handlers

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"changebank/internal/teststore"
)

// BenchmarkStream reports the memory and the goroutines of a laptop that waits
// for its phone, and those of a stream that only waits.
func BenchmarkStream(b *testing.B) {
	b.Run("laptop", func(b *testing.B) {
		s := benchServer(b)
		benchStreams(b, s, func() *http.Request {
			return laptopRequest(http.MethodGet, qrPath+"/events", "", showCode(b, s))
		})
	})
	b.Run("bare", func(b *testing.B) {
		bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				_, _ = io.WriteString(w, "event: state\ndata: {\"state\": \"waiting\"}\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(15 * time.Second):
				}
			}
		})
		benchStreams(b, bare, func() *http.Request { return laptopRequest(http.MethodGet, "/", "") })
	})
}

// benchStreams opens as many streams as the benchmark has rounds.
func benchStreams(b *testing.B, h http.Handler, request func() *http.Request) {
	server := httptest.NewServer(h)
	defer server.Close()
	defer server.CloseClientConnections()
	requests := make([]*http.Request, b.N)
	teststore.Many(b.N, func(i int) { requests[i] = request() })
	memory, goroutines := held()
	b.ResetTimer()
	for _, r := range requests {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if err := r.Write(conn); err != nil {
			b.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		var answer strings.Builder
		for part := make([]byte, 1024); !strings.Contains(answer.String(), "event: state"); {
			n, err := conn.Read(part)
			if answer.Write(part[:n]); err != nil {
				b.Fatal(err, answer.String())
			}
		}
	}
	b.StopTimer()
	now, running := held()
	b.ReportMetric(float64(now-memory)/float64(b.N), "B/stream")
	b.ReportMetric(float64(running-goroutines)/float64(b.N), "goroutines/stream")
}

// held returns the memory of objects and stacks that are in use, and the number
// of goroutines.
func held() (bytes int64, goroutines int) {
	for range 3 { // what a pool holds goes with the second collection
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse), runtime.NumGoroutine()
}
