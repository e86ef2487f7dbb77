package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"changebank/internal/testgeoip"
)

// geoIPFile writes a GeoIP database and returns its path.
func geoIPFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "places.mmdb")
	testgeoip.Write(t, path, map[string]testgeoip.Location{
		homeAddr + "/32":  {City: "Denver", Country: "United States"},
		awayAddr + "/32":  {City: "Denver", Country: "United States"},
		thirdAddr + "/32": {City: "<img src=x>\u202e", Country: "<script>alert(1)</script>\u202e\n&amp;"},
		"2001:db8::/32":   {Country: "France"},
		"127.0.0.0/8":     {City: "Atlantis", Country: "Atlantis"},
		"192.168.0.0/16":  {City: "Atlantis", Country: "Atlantis"},
	})
	return path
}

// The question shows the approximate location of the laptop's address, as a
// trusted proxy reports it. An attacker can choose an address near his victim, so
// the location reassures nobody: the page calls it approximate, the phone still
// warns of a different network, and the laptop must still type the number.
func TestLocationIsNoReassurance(t *testing.T) {
	t.Parallel()
	_, laptop, phone := farPair(t, "GEOIP_DB="+geoIPFile(t))
	question := phone.get(laptop.code())
	if got := question.text("location"); got != "near Denver, United States" {
		t.Errorf("the location is %q", got)
	}
	if !question.says("Approximate location") || !question.says("can be far off, and an attacker can choose an IP address near you") {
		t.Errorf("the question does not say that the location is approximate: %v", question)
	}
	if !question.has("far") || !question.says("Only approve if that device is in front of you") {
		t.Errorf("the question does not warn: %v", question)
	}
	for _, calming := range []string{"same", "Same", "your place", "also"} {
		if question.says(calming) {
			t.Errorf("the question says %q: %v", calming, question)
		}
	}
	if got := question.text("asking-from"); got != awayAddr {
		t.Errorf("the address is %q, want %s alone", got, awayAddr)
	}
	number := phone.answer(question, "yes").number()
	laptop.wantNoLogin("without the number")
	laptop.confirm(number, richard)
	devices := phone.get("/devices")
	if got := strings.Count(devices.text("devices"), "near Denver, United States It can be far off."); got != 1 { // the phone logged in on this machine
		t.Errorf("the list has %d locations, want the laptop's alone: %v", got, devices)
	}

	// A forged header gets no location.
	b := startPublic(t, "GEOIP_DB="+geoIPFile(t), "TRUSTED_PROXIES=192.0.2.1")
	laptop, phone = b.resolvingPair(t, awayAddr, homeAddr)
	if question := phone.get(laptop.code()); question.has("location") || question.says("Approximate") {
		t.Errorf("with a forged address: %v, want no location", question)
	}
}

// An unknown location is not shown, and names are shown as harmless text.
func TestLocationNames(t *testing.T) {
	t.Parallel()
	b := startBank(t, "GEOIP_DB="+geoIPFile(t))
	phone := b.browserOf(t, richard)
	for addr, want := range map[string]string{
		"2001:db8::7":  "France",
		"127.0.0.1":    "",
		"192.168.1.20": "",
		"192.0.2.1":    "",
		thirdAddr:      `near <img src=x>, <script>alert(1)</script> &amp;`,
	} {
		question := phone.get(b.browser(t).at(addr).code())
		if got := question.text("location"); got != want || question.says("Approximate location") != (want != "") {
			t.Errorf("the location of %s is %q, want %q: %v", addr, got, want, question)
		}
		question.wantHarmless()
	}
	_, laptop, phone := farPair(t) // no database
	if question := phone.get(laptop.code()); question.has("location") {
		t.Errorf("without a database: %v, want no location", question)
	}
}

// A database that cannot be used stops the start, with a sentence that says why.
func TestUnusableGeoIP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wantRefusal(t, []string{"GEOIP_DB=" + filepath.Join(dir, "none.mmdb")}, "invalid settings:", "GEOIP_DB: ", "none.mmdb", "no such file")
	damaged := filepath.Join(dir, "damaged.mmdb")
	if err := os.WriteFile(damaged, []byte(strings.Repeat("x", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, []string{"GEOIP_DB=" + damaged}, "GEOIP_DB: "+damaged+" is damaged, or not in MaxMind's format")
	asn := filepath.Join(dir, "asn.mmdb")
	testgeoip.WriteRecords(t, asn, "GeoLite2-ASN", map[string]mmdbtype.Map{
		homeAddr + "/32": {"autonomous_system_number": mmdbtype.Uint32(64500)},
	})
	wantRefusal(t, []string{"GEOIP_DB=" + asn}, "GEOIP_DB: "+asn, `"GeoLite2-ASN"`, "use a City or a Country database")
}
