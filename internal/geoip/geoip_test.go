package geoip_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"changebank/internal/geoip"
	"changebank/internal/testgeoip"
)

// denver is a database with one location.
var denver = map[string]testgeoip.Location{"203.0.113.0/24": {City: "Denver", Country: "United States"}}

// open opens the database at path. What it logs is written to the buffer.
func open(t *testing.T, path string) (*geoip.DB, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	db, err := geoip.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return db, &log
}

// want checks the location of an address.
func want(t *testing.T, db *geoip.DB, addr, location string) {
	t.Helper()
	if got := db.Of(addr); got != location {
		t.Errorf("the location of %s is %+q, want %+q", addr, got, location)
	}
}

// file returns where a test keeps its database.
func file(t *testing.T) string { return filepath.Join(t.TempDir(), "places.mmdb") }

func TestOf(t *testing.T) {
	path := file(t)
	testgeoip.Write(t, path, map[string]testgeoip.Location{
		"203.0.113.0/24":  {City: "Denver", Country: "United States"},
		"198.51.100.0/24": {Country: "France"},
		"192.0.2.0/25":    {City: "Atlantis"},
		"192.0.2.128/25":  {City: " \u200b", Country: "France"},
		"2001:db8::/32":   {City: "Lyon", Country: "France"},
		"10.0.0.0/8":      {City: "Atlantis", Country: "Atlantis"},
		"192.168.0.0/16":  {City: "Atlantis", Country: "Atlantis"},
		"127.0.0.0/8":     {City: "Atlantis", Country: "Atlantis"},
		"169.254.0.0/16":  {City: "Atlantis", Country: "Atlantis"},
		"fc00::/7":        {City: "Atlantis", Country: "Atlantis"},
		"fe80::/10":       {City: "Atlantis", Country: "Atlantis"},
	})
	db, _ := open(t, path)
	for addr, place := range map[string]string{
		"203.0.113.7":        "near Denver, United States",
		"::ffff:203.0.113.7": "near Denver, United States",
		"2001:db8::1":        "near Lyon, France",
		"198.51.100.66":      "France", // the city is unknown
		"192.0.2.200":        "France", // the city's name has nothing to show
		"192.0.2.99":         "",       // the country is unknown

		"8.8.8.8": "", // unknown
		"::1":     "", "127.0.0.1": "", "10.1.2.3": "", "192.168.1.20": "", "169.254.1.1": "", "fd00::1": "", "fe80::1": "",
		"": "", "invalid IP": "", "localhost": "",
	} {
		want(t, db, addr, place)
	}
}

// Names in a database are untrusted text.
func TestUntrustedNames(t *testing.T) {
	path := file(t)
	testgeoip.Write(t, path, map[string]testgeoip.Location{
		"203.0.113.0/24":  {City: "\u202erevneD\u2066\n\x1b[31m", Country: strings.Repeat("W", 300)},
		"198.51.100.0/24": {City: "D\xffenver", Country: "Zea\u200bland"},
	})
	db, _ := open(t, path)
	want(t, db, "203.0.113.7", "near revneD [31m, "+strings.Repeat("W", 60))
	want(t, db, "198.51.100.66", "near D\ufffdenver, Zealand")
}

func TestNoFile(t *testing.T) {
	db, err := geoip.Open("", slog.New(slog.DiscardHandler))
	if db != nil || err != nil {
		t.Fatalf("without a path: %v, %v, want nil and no error", db, err)
	}
	want(t, db, "203.0.113.7", "")
}

// Each error names the file and says what is wrong with it.
func TestUnusableFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := filepath.Join(dir, "whole")
	testgeoip.Write(t, whole, denver)
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	asn := filepath.Join(dir, "asn")
	testgeoip.WriteRecords(t, asn, "GeoLite2-ASN", map[string]mmdbtype.Map{
		"203.0.113.0/24": {"autonomous_system_number": mmdbtype.Uint32(64500), "autonomous_system_organization": mmdbtype.String("Example")},
	})
	flat := filepath.Join(dir, "flat")
	testgeoip.WriteRecords(t, flat, "other lite", map[string]mmdbtype.Map{
		"203.0.113.0/24": {"city": mmdbtype.String("Denver"), "country": mmdbtype.String("United States")},
	})
	for path, words := range map[string]string{
		filepath.Join(dir, "missing"):          "no such file",
		dir:                                    "is a directory",
		write("empty", nil):                    "not in MaxMind's format",
		write("text", []byte("GeoLite2-City")): "not in MaxMind's format",
		write("truncated", content[:len(content)/2]):                                         "damaged",
		write("beheaded", content[bytes.Index(content, []byte("\xab\xcd\xefMaxMind.com")):]): "damaged",
		asn:  `its type is "GeoLite2-ASN", without countries`,
		flat: `its type is "other lite", without countries`,
	} {
		_, err := geoip.Open(path, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names it and says %q", path, err, words)
		}
	}
}

// A new file is used within a minute. A damaged one changes nothing and does not
// fill the log.
func TestReplacedFile(t *testing.T) {
	path := file(t)
	testgeoip.Write(t, path, denver)
	synctest.Test(t, func(t *testing.T) {
		db, log := open(t, path)
		want(t, db, "203.0.113.7", "near Denver, United States")

		testgeoip.Write(t, path, map[string]testgeoip.Location{"203.0.113.0/24": {City: "Boulder", Country: "United States"}})
		want(t, db, "203.0.113.7", "near Denver, United States")
		time.Sleep(time.Minute)
		want(t, db, "203.0.113.7", "near Boulder, United States")
		if !strings.Contains(log.String(), "GEOIP_DB reloaded") {
			t.Errorf("the log does not say that it was reloaded: %s", log)
		}

		// An open file that is truncated and written in place.
		if err := os.WriteFile(path, []byte("half a file"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			time.Sleep(time.Minute)
			want(t, db, "203.0.113.7", "near Boulder, United States")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(time.Minute)
			want(t, db, "203.0.113.7", "near Boulder, United States")
		}
		if got := strings.Count(log.String(), "not reloaded"); got != 1 {
			t.Errorf("the log has %d warnings in an hour, want 1: %s", got, log)
		}

		testgeoip.Write(t, path, denver)
		time.Sleep(time.Minute)
		want(t, db, "203.0.113.7", "near Denver, United States")
	})
}
