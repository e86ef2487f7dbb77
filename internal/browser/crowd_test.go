package browser

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// An address that many strangers share never counts as near, even if only one of
// the two browsers is marked as sharing it.
func TestNear(t *testing.T) {
	plain := Browser{Addr: "203.0.113.7"}
	relayed, shared := plain, plain
	relayed.Relayed, shared.Shared = true, true
	if !Near(plain, plain, false) {
		t.Error("the same public address is not near")
	}
	for name, b := range map[string]Browser{"relayed": relayed, "shared": shared} {
		if Near(plain, b, false) || Near(b, plain, false) || Near(b, b, true) {
			t.Errorf("%s addresses are near", name)
		}
	}
}

func TestSharedNetworks(t *testing.T) {
	n := Networks{Shared: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/48")}}
	for addr, want := range map[string]bool{
		"198.51.100.7:1":          true,
		"[::ffff:198.51.100.7]:1": true,
		"[2001:db8:0:5::1]:1":     true,
		"203.0.113.7:1":           false,
		"[2001:db8:1::1]:1":       false,
		"unknown":                 false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = addr
		if got := n.Of(r).Shared; got != want {
			t.Errorf("%s is shared: %v, want %v", addr, got, want)
		}
	}
}

// fill adds n browsers, and returns how often they were reported as a crowd.
func (c *Crowds) fill(b Browser, from, n int) (reports int) {
	for i := range n {
		b.Agent = "agent " + strconv.Itoa(from+i)
		for range 2 { // each comes twice
			if c.Add(b, "richard") {
				reports++
			}
		}
	}
	return reports
}

func TestCrowds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crowds
		want := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: reported %d times, want %d", what, got, want)
			}
		}
		home := Browser{Addr: "203.0.113.7"}
		want("almost a crowd", c.fill(home, 0, CrowdSize-1), 0)
		want("the same once more", c.fill(home, 0, CrowdSize-1), 0)
		want("one more", c.fill(home, CrowdSize, 1), 1)
		want("more and more", c.fill(home, 1000, 3*CrowdSize), 0)
		want("another address", c.fill(Browser{Addr: "203.0.113.8"}, 0, CrowdSize), 1)
		want("half a crowd of a /64", c.fill(Browser{Addr: "2001:db8:1:2::1"}, 0, CrowdSize/2), 0)
		want("the other half", c.fill(Browser{Addr: "2001:db8:1:2::2"}, CrowdSize/2, CrowdSize/2), 1)
		want("a listed exit", c.fill(Browser{Addr: "203.0.113.9", Shared: true}, 0, CrowdSize), 0)
		want("a proxy that the other warning is about", c.fill(Browser{Addr: "203.0.113.9", Relayed: true}, 0, CrowdSize), 0)
		want("an unknown address", c.fill(Browser{}, 0, CrowdSize), 0)
		want("half a crowd today", c.fill(Browser{Addr: "203.0.113.10"}, 0, CrowdSize/2), 0)
		time.Sleep(24 * time.Hour)
		want("the other half tomorrow", c.fill(Browser{Addr: "203.0.113.10"}, CrowdSize/2, CrowdSize/2), 0)
		want("the first address tomorrow", c.fill(home, 0, CrowdSize), 1)
	})
}

// However many addresses come, the memory is bounded, and a crowd still shows.
func TestCrowdsAreBounded(t *testing.T) {
	var c Crowds
	for i := range 3 * crowdAddresses {
		c.Add(Browser{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()}, "mallory")
	}
	if got := len(c.seen); got > crowdAddresses {
		t.Errorf("%d addresses are kept, want %d at most", got, crowdAddresses)
	}
	if got := c.fill(Browser{Addr: "203.0.113.7"}, 0, CrowdSize); got != 1 {
		t.Errorf("a crowd is reported %d times, want once", got)
	}
}
