// Package geoip looks up the approximate location of an IP address in a file in
// MaxMind's format: https://maxmind.github.io/MaxMind-DB. A location can be far
// off, and an attacker can choose an address for its location.
package geoip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/time/rate"

	"changebank/internal/typed"
)

// checkInterval is the least time between two checks whether the file was replaced.
// Publishers have a new one every few days.
const checkInterval = time.Minute

// DB looks up locations. Make one with [Open]. A nil DB knows none.
type DB struct {
	path   string
	log    *slog.Logger
	reader atomic.Pointer[maxminddb.Reader]
	check  rate.Sometimes // also guards loaded
	loaded os.FileInfo    // of the file that was read last
	warn   rate.Sometimes
}

// Open reads the file at path. If path is empty, it returns nil. Its errors are
// written for the operator.
//
// The file is read into memory, and not mapped: a mapped file that is truncated
// in place kills the process (SIGBUS).
func Open(path string, log *slog.Logger) (*DB, error) {
	if path == "" {
		return nil, nil
	}
	d := &DB{
		path:  path,
		log:   log,
		check: rate.Sometimes{Interval: checkInterval},
		warn:  rate.Sometimes{Interval: time.Hour},
	}
	return d, d.load()
}

// Of returns the approximate location of addr, like "near Denver, United States",
// or only the country, or "" if it is unknown. A private address has no location.
func (d *DB) Of(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if d == nil || err != nil {
		return ""
	}
	d.check.Do(d.reload)
	if ip = ip.Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return ""
	}
	return locationIn(d.reader.Load().Lookup(ip))
}

// reload reads the file again if it has changed. If that fails, perhaps because the
// file is still being written, the old one stays in use.
func (d *DB) reload() {
	before := d.reader.Load()
	if err := d.load(); err != nil {
		d.warn.Do(func() { d.log.Warn("GEOIP_DB not reloaded; still using the previous file", "err", err) })
	} else if now := d.reader.Load(); now != before {
		d.log.Info("GEOIP_DB reloaded", "built", now.Metadata.BuildTime().UTC())
	}
}

// load reads the file unless it is unchanged since it was last read.
func (d *DB) load() error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	if d.loaded != nil && os.SameFile(info, d.loaded) && info.Size() == d.loaded.Size() && info.ModTime().Equal(d.loaded.ModTime()) {
		return nil
	}
	content, err := os.ReadFile(d.path)
	if err != nil {
		return err
	}
	d.loaded = info // an unusable file is not read again until it changes
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return fmt.Errorf("%s is damaged, or not in MaxMind's format: %w", d.path, err)
	}
	if err := checkLocations(reader); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	d.reader.Store(reader)
	return nil
}

// checkLocations returns an error unless one of the first records has a country.
// Files in this format can be about other things, such as ASNs.
func checkLocations(reader *maxminddb.Reader) error {
	looked := 0
	for record := range reader.Networks() {
		if locationIn(record) != "" {
			return nil
		}
		if looked++; looked == 1000 {
			break
		}
	}
	return fmt.Errorf("its type is %q, without countries in English; use a City or a Country database", reader.Metadata.DatabaseType)
}

// names has the name of a city or country in the language of our pages.
type names struct {
	Names struct {
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}

// maxName bounds how many characters of a name are shown.
const maxName = 60

// text returns the name, safe to show.
func (n names) text() string { return typed.Short(n.Names.English, maxName) }

// locationIn returns the location in a record, "" if it has none or cannot be read.
func locationIn(found maxminddb.Result) string {
	var record struct {
		City    names `maxminddb:"city"`
		Country names `maxminddb:"country"`
	}
	if err := found.Decode(&record); err != nil {
		return ""
	}
	city, country := record.City.text(), record.Country.text()
	if city == "" || country == "" {
		return country
	}
	return "near " + city + ", " + country
}
