// Package place says roughly where an IP address is used, from a file in
// MaxMind's format: https://maxmind.github.io/MaxMind-DB. It is a guess that can
// be far off, and an attacker can choose an address for its place.
package place

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

// checkInterval is how often the file may be checked for a newer one in its
// place. Providers have a new one every few days.
const checkInterval = time.Minute

// DB finds the places of addresses. Make one with [Open]. A nil DB knows none.
type DB struct {
	path   string
	log    *slog.Logger
	reader atomic.Pointer[maxminddb.Reader]
	check  rate.Sometimes // also guards loaded
	loaded os.FileInfo    // of the file that was read last
	warn   rate.Sometimes
}

// Open reads the file at path; if there is no path, it returns nil. The error is
// a sentence for the operator.
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

// Of returns roughly where addr is used, like "near Denver, United States", or
// only the country, or "" if nothing is known. A private address has no place.
func (d *DB) Of(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if d == nil || err != nil {
		return ""
	}
	d.check.Do(d.reload)
	if ip = ip.Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return ""
	}
	return placeIn(d.reader.Load().Lookup(ip))
}

// reload reads the file again if it has changed. If that fails, as while it is
// being written, the places stay those of the old one.
func (d *DB) reload() {
	before := d.reader.Load()
	if err := d.load(); err != nil {
		d.warn.Do(func() { d.log.Warn("GEOIP_DB not reloaded; the file read before is still used", "err", err) })
	} else if now := d.reader.Load(); now != before {
		d.log.Info("GEOIP_DB reloaded", "built", now.Metadata.BuildTime().UTC())
	}
}

// load reads the file unless it is the one that was read last.
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
	d.loaded = info // what is wrong with the content now is wrong until it changes
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return fmt.Errorf("%s is damaged, or not in MaxMind's format: %w", d.path, err)
	}
	if err := knowsPlaces(reader); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	d.reader.Store(reader)
	return nil
}

// knowsPlaces returns an error unless one of the first records has a country.
// There are files in this format about other things.
func knowsPlaces(reader *maxminddb.Reader) error {
	looked := 0
	for record := range reader.Networks() {
		if placeIn(record) != "" {
			return nil
		}
		if looked++; looked == 1000 {
			break
		}
	}
	return fmt.Errorf("its type is %q, without countries in English; use a City or a Country database", reader.Metadata.DatabaseType)
}

// names is what something is called in the language of our pages.
type names struct {
	Names struct {
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}

// maxName is how many characters of a name are shown.
const maxName = 60

// text returns the name, fit to be shown.
func (n names) text() string {
	letters := []rune(typed.Line(n.Names.English))
	return string(letters[:min(len(letters), maxName)])
}

// placeIn puts a record into words. One that cannot be read is the same as none.
func placeIn(found maxminddb.Result) string {
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
