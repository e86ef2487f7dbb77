package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// closeToOthers takes the data away from other users of the machine: the folder
// becomes 0700 and our files in it 0600. It returns an error if it cannot.
func closeToOthers(dir string, log *slog.Logger) error {
	if runtime.GOOS == "windows" {
		return nil // a folder has an access list, inherited from the one above
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dirError(dir, err)
	}
	paths := []string{dir}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, dataName) || strings.HasPrefix(name, keyName) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	var tightened []string
	for _, path := range paths {
		changed, err := tighten(path)
		if err != nil {
			return fmt.Errorf("other users have access to %s; set DATA_DIR to a folder that only this user can access, such as %s: %w",
				path, filepath.Join(dir, "changebank"), err)
		}
		if changed {
			tightened = append(tightened, path)
		}
	}
	if len(tightened) > 0 {
		log.Warn("other users had access to the data; permissions tightened", "paths", tightened)
	}
	return nil
}

// tighten leaves only the owner's permissions on a file or folder, and reports
// whether there were others.
func tighten(path string) (changed bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // a process that starts at the same time removed it
	}
	if err != nil {
		return false, err
	}
	mode := fs.FileMode(0o600)
	if info.IsDir() {
		mode = 0o700
	}
	switch {
	case info.Mode().Perm()&^mode == 0:
		return false, nil
	case info.Mode()&fs.ModeSticky != 0:
		return false, errors.New("it is shared by all users") // such as /tmp
	}
	if err := os.Chmod(path, mode); err != nil {
		return false, err
	}
	// A file system without permissions ignores the change.
	if info, err = os.Stat(path); err == nil && info.Mode().Perm()&^mode != 0 {
		err = fmt.Errorf("its mode is %o and cannot be changed", info.Mode().Perm())
	}
	return true, err
}
