package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// processes are the servers that are measured, by their process IDs. Where the
// system has no /proc, and for a program that runs elsewhere, all measurements
// are 0.
type processes []int

// clockTick is what /proc counts processor time in: USER_HZ, 100 in a second
// on every Linux.
const clockTick = 10 * time.Millisecond

// cpu returns the processor time that was used so far.
func (ps processes) cpu() (total time.Duration) {
	for _, pid := range ps {
		// The command's name, in parentheses, may have spaces.
		_, rest, _ := strings.Cut(ps.read(pid, "stat"), ") ")
		if fields := strings.Fields(rest); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			total += time.Duration(user+system) * clockTick
		}
	}
	return total
}

// memory returns the bytes in memory that are not those of a file: the data
// file is mapped, and its pages belong to the system's cache.
func (ps processes) memory() (total int64) {
	for _, pid := range ps {
		_, rest, _ := strings.Cut(ps.read(pid, "status"), "RssAnon:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			kilobytes, _ := strconv.ParseInt(fields[0], 10, 64)
			total += kilobytes << 10
		}
	}
	return total
}

// descriptors returns the number of open files and connections.
func (ps processes) descriptors() (total int) {
	for _, pid := range ps {
		entries, _ := os.ReadDir(ps.path(pid, "fd"))
		total += len(entries)
	}
	return total
}

func (ps processes) path(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

func (ps processes) read(pid int, name string) string {
	text, _ := os.ReadFile(ps.path(pid, name))
	return string(text)
}

// written returns the bytes that were sent to the disk so far, the log's
// included.
func (ps processes) written() (total int64) {
	for _, pid := range ps {
		_, rest, _ := strings.Cut(ps.read(pid, "io"), "\nwrite_bytes: ")
		line, _, _ := strings.Cut(rest, "\n")
		bytes, _ := strconv.ParseInt(line, 10, 64)
		total += bytes
	}
	return total
}

// dataFile returns how many transactions were committed to a bbolt file so far,
// and how many bytes of it were ever used. It returns zeros if that cannot be
// known. The file begins with two copies of its meta page, each with the numbers
// of its transaction and of its first page that was never used.
func dataFile(path string) (commits, bytes int64) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	const magic, header, pages, transaction = 0xED0CDAED, 16, 56, 64
	meta := make([]byte, 72)
	pageSize := int64(os.Getpagesize())
	for _, at := range []int64{0, pageSize} {
		if _, err := f.ReadAt(meta, at); err != nil || binary.NativeEndian.Uint32(meta[header:]) != magic {
			return 0, 0
		}
		if latest := int64(binary.NativeEndian.Uint64(meta[transaction:])); latest > commits {
			commits, bytes = latest, pageSize*int64(binary.NativeEndian.Uint64(meta[pages:]))
		}
	}
	return commits, bytes
}
