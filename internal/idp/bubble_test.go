package idp_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
)

// inBubble runs a test in which time passes as in a [synctest] bubble. Its
// provider is at the other end of pipes: real sockets would stop the clock.
func inBubble(t *testing.T, test func(*testing.T, *provider)) {
	t.Helper()
	usual := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = usual })
	synctest.Test(t, func(t *testing.T) {
		l := listener{conns: make(chan net.Conn), closed: make(chan struct{})}
		http.DefaultTransport = &http.Transport{DialContext: l.dial, DialTLSContext: l.dial} // https without TLS
		p := &provider{}
		p.setUp("http://idp.example")
		srv := &http.Server{Handler: p}
		go func() { _ = srv.Serve(l) }()
		t.Cleanup(func() { _ = srv.Close() })
		test(t, p)
	})
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error {
	close(l.closed)
	return nil
}

func (l listener) Addr() net.Addr { return &net.TCPAddr{} }
