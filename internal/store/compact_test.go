package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const marker = "DELETED-VALUE"

// fillDir makes a data folder whose file had many records, of which only some
// are left, and returns the file's path.
func fillDir(t *testing.T, left int) (path string) {
	t.Helper()
	const records = 200
	dir := newDir(t)
	f, _ := openDir(t, dir)
	value := func(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("%s-%d ", marker, i), 200)) }
	errorsOf(records, func(i int) error {
		mustSwap(t, f, fmt.Sprint("record ", i), nil, value(i), later())
		return nil
	})
	errorsOf(records-left, func(i int) error {
		mustSwap(t, f, fmt.Sprint("record ", left+i), value(left+i), nil, time.Time{})
		return nil
	})
	mustSwap(t, f, "key", nil, []byte("v"), later())
	mustPing(t, f)
	closeFile(t, f)
	return filepath.Join(dir, dataName)
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := fillDir(t, 0)
		before := size(t, path)
		if !bytes.Contains(mustRead(t, path), []byte(marker)) {
			t.Error("the file shows no deleted value: this test would find nothing")
		}
		f, log := openDir(t, filepath.Dir(path))
		wantValue(t, f, "key", []byte("v"))
		if after := size(t, path); after > before/3 { // the reserve stays, a quarter of a megabyte
			t.Errorf("the file has %d bytes, %d before; want less than a third", after, before)
		}
		if bytes.Contains(mustRead(t, path), []byte(marker)) {
			t.Error("the compacted file shows a deleted value")
		}
		wantLines(t, log, 0)

		mustSwap(t, f, "new", nil, []byte("w"), later().Add(time.Hour))
		time.Sleep(time.Hour + 2*sweepEvery)
		synctest.Wait()
		wantHeld(t, f, "new")
		closeFile(t, f)
		f, _ = openDir(t, filepath.Dir(path))
		wantValue(t, f, "new", []byte("w"))
	})
}

// Only a file of which more than half is free is rewritten.
func TestCompactionThreshold(t *testing.T) {
	for left, want := range map[int]bool{60: true, 150: false} {
		path := fillDir(t, left)
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		openDir(t, filepath.Dir(path))
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := !os.SameFile(before, after); got != want {
			t.Errorf("with %d of 200 records left, the file was replaced: %t, want %t", left, got, want)
		}
	}
}

// A crash during compaction leaves the file and a part of the copy.
func TestCompactionAfterCrash(t *testing.T) {
	for _, left := range []int{0, 150} { // with and without another compaction
		path := fillDir(t, left)
		temporary := path + ".compact"
		mustWrite(t, temporary, mustRead(t, path)[:10000])
		f, log := openDir(t, filepath.Dir(path))
		wantValue(t, f, "key", []byte("v"))
		if _, err := os.Stat(temporary); !os.IsNotExist(err) {
			t.Errorf("the part of the copy is still there (%v)", err)
		}
		wantLines(t, log, 0)
	}
}

// If the file cannot be copied, it is used as it is.
func TestCompactionFails(t *testing.T) {
	path := fillDir(t, 0)
	inTheWay := filepath.Join(path+".compact", "folder")
	mustMkdir(t, filepath.Dir(inTheWay))
	mustMkdir(t, inTheWay)
	f, log := openDir(t, filepath.Dir(path))
	wantValue(t, f, "key", []byte("v"))
	mustSwap(t, f, "key", []byte("v"), []byte("w"), later())
	wantLines(t, log, 1, "not compacted")
	closeFile(t, f)
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	f, _ = openDir(t, filepath.Dir(path))
	wantValue(t, f, "key", []byte("w"))
}

func TestCompactionTooLarge(t *testing.T) {
	f, _ := openDir(t, newDir(t))
	path := newPath(t)
	if err := copyTo(path, f.db, maxCompact+1); err == nil {
		t.Error("copyTo: no error")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("copyTo has made a file (%v)", err)
	}
}
