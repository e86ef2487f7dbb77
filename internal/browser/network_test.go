package browser

import "testing"

func TestSameNetwork(t *testing.T) {
	for _, tt := range []struct {
		a, b          string
		public, local bool // the same, for an application that is reached like that
	}{
		{"203.0.113.7", "203.0.113.7", true, true},
		{"203.0.113.7", "203.0.113.8", false, false},
		{"::ffff:203.0.113.7", "203.0.113.7", true, true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true, true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false, false},
		{"2001:db8:1:2::1", "203.0.113.7", false, false},
		// Many share these, or all do behind a proxy that nobody configured.
		{"100.64.0.7", "100.64.0.7", false, false},
		{"10.0.0.5", "10.0.0.5", false, true},
		{"fd00:1:2:3::1", "fd00:1:2:3::2", false, true},
		{"fd00:1:2:3::1", "fd00:1:2:4::2", false, false},
		{"192.168.1.20", "192.168.1.77", false, true},
		{"192.168.1.20", "192.168.2.20", false, false},
		{"192.168.1.20", "203.0.113.7", false, false},
		{"127.0.0.1", "::1", false, true},
		{"127.0.0.1", "127.0.0.1", false, true},
		{"127.0.0.1", "192.168.1.20", false, false},
		{"169.254.1.1", "169.254.1.1", false, false},
		{"fe80::1%eth0", "fe80::1%eth0", false, false},
		{"0.0.0.0", "0.0.0.0", false, false},
		{"64:ff9b::203.0.113.7", "64:ff9b::198.51.100.66", false, false},
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:4136:e378:1234:63bf:2222:1111", false, false},
		{"192.0.0.2", "192.0.0.2", false, false},
		{"240.0.0.5", "240.0.0.5", false, false},
		{"198.18.0.1", "198.18.0.1", false, false},
		{"fec0::1", "fec0::2", false, false},
		{"", "", false, false},
		{"unknown", "unknown", false, false},
	} {
		for local, want := range map[bool]bool{false: tt.public, true: tt.local} {
			for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
				if got := sameNetwork(pair[0], pair[1], local); got != want {
					t.Errorf("sameNetwork(%q, %q, local %v): %v, want %v", pair[0], pair[1], local, got, want)
				}
			}
		}
	}
}
