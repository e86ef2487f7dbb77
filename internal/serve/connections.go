package serve

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"changebank/internal/browser"
)

// maxConnections is how many connections one address may have open at a time: a
// hundred people behind it have up to six each. Idle ones cost memory and a file
// descriptor each, and otherwise one client could use up all there are.
const maxConnections = 1000

// connections counts the open connections of each address, in IPv6 of each /64.
// Those of trusted proxies, and of addresses that many strangers share, are not
// bounded: a proxy bounds its own clients.
type connections struct {
	unbounded browser.Networks
	log       *slog.Logger
	warn      rate.Sometimes

	mu sync.Mutex
	of map[string]int
}

func newConnections(unbounded browser.Networks, log *slog.Logger) *connections {
	return &connections{unbounded: unbounded, log: log, warn: rate.Sometimes{Interval: time.Minute}, of: make(map[string]int)}
}

// track is a [http.Server]'s ConnState. It closes a new connection that is one
// too many, without an answer, which would cost more.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	if state != http.StateNew && state != http.StateClosed && state != http.StateHijacked {
		return
	}
	block, ok := c.block(conn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateNew {
		if c.of[block]--; c.of[block] == 0 {
			delete(c.of, block)
		}
		return
	}
	if c.of[block]++; c.of[block] > maxConnections {
		_ = conn.Close() // the server notices, and says that it is closed
		c.warn.Do(func() {
			c.log.Warn("an address has too many connections, and more are closed; if it is a proxy's, TRUSTED_PROXIES must name it",
				"addr", block, "connections", maxConnections)
		})
	}
}

// block returns the block of addresses that a connection counts for. It is false
// if that is not bounded.
func (c *connections) block(conn net.Conn) (string, bool) {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return "", false
	}
	addr := peer.Addr().Unmap().WithZone("")
	if browser.Contain(slices.Concat(c.unbounded.Proxies, c.unbounded.Shared), addr) {
		return "", false
	}
	blocks := browser.Blocks(addr.String())
	return blocks[len(blocks)-1], true
}
