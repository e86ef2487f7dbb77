package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// wantSentence wants an error that names everything in contents.
func wantSentence(t *testing.T, err error, contents ...string) {
	t.Helper()
	for _, content := range contents {
		if err == nil || !strings.Contains(err.Error(), content) {
			t.Errorf("the error is %v, want one that names %s", err, content)
		}
	}
}

func TestOpenDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "above", "data")
	f, log := openDir(t, dir)
	mustSwap(t, f, "key", nil, []byte("v"), later())
	closeFile(t, f)
	wantLines(t, log, 0)
	f, log = openDir(t, dir)
	wantValue(t, f, "key", []byte("v"))
	wantLines(t, log, 0)
}

func TestOpenDirErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the time that a lock is waited for passes at once
		inUse, file, folder := newDir(t), newPath(t), newDir(t)
		openDir(t, inUse)
		mustWrite(t, file, nil)
		mustMkdir(t, filepath.Join(folder, dataName))
		for _, tt := range []struct{ dir, path, sentence string }{
			{inUse, inUse, "another Changebank"},
			{file, file, "cannot create the data folder"},
			{filepath.Join(file, "data"), file, "cannot create the data folder"},
			{folder, folder, "cannot open the data"},
		} {
			_, err := OpenDir(tt.dir, discard())
			wantSentence(t, err, tt.path, tt.sentence, "DATA_DIR")
		}
	})
}

// damage returns damaged versions of a data file.
func damage(whole []byte) map[string][]byte {
	overwritten := func(from, to int) []byte {
		damaged := bytes.Clone(whole)
		for i := from; i < to; i++ {
			damaged[i] ^= 0x5a
		}
		return damaged
	}
	return map[string][]byte{
		"a part of it":       whole[:20<<10],
		"a few bytes":        whole[:100],
		"another file":       []byte(strings.Repeat("not a store\n", 4000)),
		"its head is gone":   overwritten(0, 16<<10),
		"its middle is gone": overwritten(16<<10, len(whole)),
	}
}

// A damaged file would stop every start. It is set aside as it was, with one
// line in the log.
func TestDamagedFileIsSetAside(t *testing.T) {
	for name, damaged := range damage(mustRead(t, fillDir(t, 150))) {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			mustWrite(t, filepath.Join(dir, dataName), damaged)
			f, log := openDir(t, dir)
			wantLines(t, log, 1, "level=ERROR", "damaged and set aside")
			mustSwap(t, f, "key", nil, []byte("v"), later())
			aside, err := filepath.Glob(filepath.Join(dir, dataName+".damaged-*"))
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside: %v %v, want one file", aside, err)
			}
			if !bytes.Equal(mustRead(t, aside[0]), damaged) {
				t.Error("the file that was set aside was changed")
			}
			closeFile(t, f)
			f, log = openDir(t, dir)
			wantValue(t, f, "key", []byte("v"))
			wantLines(t, log, 0)
		})
	}
}

// Of processes that start at once, one gets the data, also if it is damaged or
// must be compacted. No other may replace the file that this one uses.
func TestStartsAtOnce(t *testing.T) {
	whole := mustRead(t, fillDir(t, 150))
	contents := damage(whole)
	contents["whole"], contents["mostly free"], contents["missing"] = whole, mustRead(t, fillDir(t, 0)), nil
	for name, content := range contents {
		synctest.Test(t, func(t *testing.T) {
			dir := newDir(t)
			if content != nil {
				mustWrite(t, filepath.Join(dir, dataName), content)
			}
			files := make([]*File, 8)
			var owners []*File
			for i, err := range errorsOf(len(files), func(i int) (err error) {
				files[i], err = OpenDir(dir, discard())
				return err
			}) {
				if err != nil {
					wantSentence(t, err, "another Changebank")
				} else {
					owners = append(owners, files[i])
				}
			}
			if len(owners) != 1 {
				t.Fatalf("%s: %d processes have the data, want 1", name, len(owners))
			}
			mustSwap(t, owners[0], "new", nil, []byte(name), later())
			closeFile(t, owners[0])
			f, _ := openDir(t, dir)
			wantValue(t, f, "new", []byte(name))
		})
	}
}

func TestSecretKey(t *testing.T) {
	dir := newDir(t)
	f, _ := openDir(t, dir)
	path := filepath.Join(dir, keyName)
	mustWrite(t, path+".new", bytes.Repeat([]byte("x"), 100)) // from a crash
	key, err := f.SecretKey()
	if err != nil || len(key) < 32 {
		t.Fatalf("SecretKey = %q, %v; want a key of 32 bytes or more", key, err)
	}
	if kept := mustRead(t, path); !bytes.Equal(kept, key) {
		t.Errorf("the file has the key %q, want %q", kept, key)
	}
	if entries, err := filepath.Glob(path + "*"); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %q, want only %s (%v)", entries, path, err)
	}
	closeFile(t, f)
	f, log := openDir(t, dir)
	if again, err := f.SecretKey(); err != nil || !bytes.Equal(again, key) {
		t.Errorf("after a restart, SecretKey = %q, %v; want %q", again, err, key)
	}
	wantLines(t, log, 0)

	other, _ := openDir(t, newDir(t))
	if another, err := other.SecretKey(); err != nil || bytes.Equal(another, key) {
		t.Errorf("in another folder, SecretKey = %q, %v; want another key", another, err)
	}
}

func TestSecretKeyErrors(t *testing.T) {
	dir := newDir(t)
	f, _ := openDir(t, dir)
	path := filepath.Join(dir, keyName)
	for _, part := range []string{"", "0123456789012345678901234567890"} {
		mustWrite(t, path, []byte(part))
		_, err := f.SecretKey()
		wantSentence(t, err, path, "DATA_DIR")
		if kept := string(mustRead(t, path)); kept != part {
			t.Errorf("an incomplete key was replaced by %q", kept)
		}
	}
	for _, inTheWay := range []string{path, path + ".new"} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		mustMkdir(t, inTheWay)
		_, err := f.SecretKey()
		wantSentence(t, err, path, "APP_SECRET_KEY", "DATA_DIR")
	}
}
