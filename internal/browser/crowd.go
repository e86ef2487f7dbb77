package browser

import (
	"hash/maphash"
	"sync"
	"time"
)

// CrowdSize is how many browsers in one day are a crowd: more than a household
// or a small office has, and far fewer than share a VPN's exit.
const CrowdSize = 100

// crowdAddresses bounds the memory of [Crowds], to about 2 MB.
const crowdAddresses = 1000

// Crowds notices addresses that very many browsers share. The zero value is
// ready for use.
type Crowds struct {
	mu      sync.Mutex
	seed    maphash.Seed
	day     time.Time
	seen    map[string]map[uint64]bool // by address or /64: the browsers' hashes
	noticed map[string]bool            // addresses that need no more counting today
}

// Add counts a browser in which a person is logged in: only those, since anyone
// can invent others. It reports true if that makes a crowd of its address, once
// for each address and day (UTC). Two browsers of one person are told apart by
// their User-Agent.
func (c *Crowds) Add(b Browser, person string) bool {
	if b.Shared || b.Relayed || b.Addr == "" {
		return false // it never counts as near
	}
	blocks := Blocks(b.Addr)
	addr := blocks[len(blocks)-1]
	c.mu.Lock()
	defer c.mu.Unlock()
	if today := time.Now().UTC().Truncate(24 * time.Hour); c.day != today {
		c.day, c.seed = today, maphash.MakeSeed()
		c.seen, c.noticed = make(map[string]map[uint64]bool), make(map[string]bool)
	}
	if c.noticed[addr] || len(c.noticed) == crowdAddresses {
		return false
	}
	if c.seen[addr] == nil {
		c.makeRoom()
		c.seen[addr] = make(map[uint64]bool)
	}
	c.seen[addr][maphash.String(c.seed, person+"\n"+b.Agent)] = true
	if len(c.seen[addr]) < CrowdSize {
		return false
	}
	delete(c.seen, addr)
	c.noticed[addr] = true
	return true
}

// makeRoom forgets any one address if there are too many.
func (c *Crowds) makeRoom() {
	for addr := range c.seen {
		if len(c.seen) < crowdAddresses {
			return
		}
		delete(c.seen, addr)
	}
}
