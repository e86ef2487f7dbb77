package idp_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// Who closes the page, or stops the program, is not kept waiting by a provider
// that does not answer.
func TestCallsEndWithTheirContext(t *testing.T) {
	p := newScripted(t)
	calls := append(p.calls(t),
		call{"Verify, userinfo", "/oauth2/userinfo", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Verify(ctx, idp.Tokens{Access: "a"}, "")
			return err
		}},
		call{"Verify, keys", "/jwks", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Verify(ctx, idp.Tokens{Access: "a", ID: signer{}.sign(t, p.claims(nil))}, "")
			return err
		}},
	)
	c := p.client(t)
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			arrived := make(chan struct{}, 1)
			p.on(call.path, p.hangs(arrived))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan error, 1)
			go func() { got <- call.do(ctx, c) }()
			<-arrived
			cancel()
			select {
			case err := <-got:
				fault(t, err)
			case <-time.After(5 * time.Second): // half of the client's own patience
				t.Error("still waiting after its context has ended")
			}
		})
	}
}

func TestCloseEndsDiscovery(t *testing.T) {
	p := newScripted(t)
	arrived := make(chan struct{}, 1)
	p.on("/.well-known/openid-configuration", p.hangs(arrived))
	c := p.newClient(t)
	<-arrived
	closed := make(chan struct{})
	go func() { c.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("Close waits for a provider that does not answer")
	}
}

// A request must be over before the turn of another poller begins, which is
// after 15 seconds: else there are two, and two redemptions end the login.
func TestSilentProvider(t *testing.T) {
	inBubble(t, func(t *testing.T, p *scripted) {
		arrived := make(chan struct{}, 100)
		c := p.newClient(t)
		synctest.Wait()
		for _, call := range p.calls(t) {
			p.on(call.path, p.hangs(arrived))
			start := time.Now()
			err := call.do(t.Context(), c)
			fault(t, err)
			if took := time.Since(start); took == 0 || took > 12*time.Second {
				t.Errorf("%s gave up after %v (%v), want about 10s", call.name, took, err)
			}
		}
	})
}

// A provider that is being started is found soon, and one that is down for the
// night is not hammered.
func TestDiscoveryBacksOff(t *testing.T) {
	inBubble(t, func(t *testing.T, p *scripted) {
		const path = "/.well-known/openid-configuration"
		found := p.answers[path]
		p.on(path, says(http.StatusServiceUnavailable, `{}`))
		c := p.newClient(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		asked := p.requests(path)
		if n := len(asked); n < 300 || n > 400 {
			t.Fatalf("%d tries in an hour, want about 360", n)
		}
		if first := asked[1].at.Sub(asked[0].at); first > time.Second {
			t.Errorf("the second try came after %v, want soon", first)
		}
		for i := 2; i < len(asked); i++ {
			before, wait := asked[i-1].at.Sub(asked[i-2].at), asked[i].at.Sub(asked[i-1].at)
			if wait < before || wait > 10*time.Second {
				t.Fatalf("try %d came %v after the last, and that %v after its own: want a growing wait up to 10s", i+1, wait, before)
			}
		}

		p.on(path, found)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := c.Ready(); err != nil {
			t.Errorf("Ready: %v ten seconds after the provider came back", err)
		}
		tries := len(p.requests(path))
		time.Sleep(time.Hour)
		if n := len(p.requests(path)) - tries; n != 0 {
			t.Errorf("%d more tries after the provider was found, want 0", n)
		}
	})
}

func TestCloseWhileBackingOff(t *testing.T) {
	inBubble(t, func(t *testing.T, p *scripted) {
		p.on("/.well-known/openid-configuration", says(http.StatusServiceUnavailable, `{}`))
		c := p.newClient(t)
		time.Sleep(10 * time.Minute)
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := c.Ready(); err == nil || errors.Is(err, idp.ErrNotReady) {
			t.Errorf("Ready: %v, want the reason", err)
		}
	})
}

// inBubble runs a test with a provider at the other end of pipes, for which
// time passes as in the bubble.
func inBubble(t *testing.T, test func(*testing.T, *scripted)) {
	t.Helper()
	usual := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = usual })
	synctest.Test(t, func(t *testing.T) {
		l := listener{conns: make(chan net.Conn), closed: make(chan struct{})}
		http.DefaultTransport = &http.Transport{DialContext: l.dial}
		p := &scripted{}
		p.script("http://idp.example")
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
