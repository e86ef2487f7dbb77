package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"changebank/internal/testneed"
)

func skipOnWindows(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists, not modes")
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("the mode of %s is %o, want %o", path, got, want)
	}
}

// Other users of the machine must not read the sessions.
func TestFileMode(t *testing.T) {
	skipOnWindows(t)
	path := newPath(t)
	openFile(t, path)
	wantMode(t, path, 0o600)
}

func TestPermissions(t *testing.T) {
	skipOnWindows(t)
	dir := filepath.Join(t.TempDir(), "data")
	f, log := openDir(t, dir)
	if _, err := f.SecretKey(); err != nil {
		t.Fatal(err)
	}
	closeFile(t, f)
	wantLines(t, log, 0)
	path := filepath.Join(dir, dataName)
	mustWrite(t, path+".damaged-1", nil)
	ours := []string{path, path + ".lock", path + ".damaged-1", filepath.Join(dir, keyName)}
	foreign := filepath.Join(dir, "notes.txt")
	mustWrite(t, foreign, nil)
	all := append([]string{dir, foreign}, ours...)
	wantMode(t, dir, 0o700)
	for _, file := range ours {
		wantMode(t, file, 0o600)
	}

	for _, path := range all {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, log = openDir(t, dir)
	wantLines(t, log, 1, append([]string{"tightened", dir}, ours...)...)
	if strings.Contains(log.String(), foreign) {
		t.Errorf("a file that is not ours was changed:\n%s", log)
	}
	wantMode(t, dir, 0o700)
	wantMode(t, foreign, 0o755)
	for _, file := range ours {
		wantMode(t, file, 0o600)
	}
	closeFile(t, f)
	_, log = openDir(t, dir)
	wantLines(t, log, 0)
}

// A stricter mode than ours stays.
func TestPermissionsStricter(t *testing.T) {
	skipOnWindows(t)
	dir := newDir(t)
	f, _ := openDir(t, dir)
	if _, err := f.SecretKey(); err != nil {
		t.Fatal(err)
	}
	closeFile(t, f)
	path := filepath.Join(dir, keyName)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	_, log := openDir(t, dir)
	wantLines(t, log, 0)
	wantMode(t, path, 0o400)
}

// Permissions that cannot be tightened stop the start.
func TestPermissionsRefused(t *testing.T) {
	skipOnWindows(t)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777|fs.ModeSticky); err != nil { // such as /tmp
		t.Fatal(err)
	}
	_, err := OpenDir(shared, discard())
	wantSentence(t, err, shared, "DATA_DIR")
	wantMode(t, shared, 0o777)

	const fixed = "/proc/self/status" // not even root can change its mode
	if _, err := os.Stat(fixed); err != nil {
		testneed.Missing(t, "There is no "+fixed+", so a key whose mode cannot be changed is not tested.")
	}
	dir := newDir(t)
	link := filepath.Join(dir, keyName)
	if err := os.Symlink(fixed, link); err != nil {
		t.Fatal(err)
	}
	_, err = OpenDir(dir, discard())
	wantSentence(t, err, link, "DATA_DIR")
}
