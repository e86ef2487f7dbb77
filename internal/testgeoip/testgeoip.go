// Package testgeoip writes small GeoIP databases for tests.
package testgeoip

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Location is a network's entry in a database, with names in English.
type Location struct{ City, Country string }

// Write writes a City database to path, with these locations by network.
func Write(t testing.TB, path string, locations map[string]Location) {
	t.Helper()
	records := make(map[string]mmdbtype.Map)
	for network, location := range locations {
		records[network] = mmdbtype.Map{}
		for key, name := range map[mmdbtype.String]string{"city": location.City, "country": location.Country} {
			if name != "" {
				records[network][key] = mmdbtype.Map{"names": mmdbtype.Map{
					"de": mmdbtype.String("in German"), "en": mmdbtype.String(name),
				}}
			}
		}
	}
	WriteRecords(t, path, "Test-City", records)
}

// WriteRecords writes a database of any kind to path, with these records by
// network. It renames the finished file into place, as operators should.
func WriteRecords(t testing.TB, path, kind string, records map[string]mmdbtype.Map) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range records {
		_, parsed, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(parsed, record); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.CreateTemp(filepath.Dir(path), "*.mmdb")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := tree.WriteTo(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		t.Fatal(err)
	}
}
