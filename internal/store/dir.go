package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

const dataName = "changebank.db"

// OpenDir opens the data file in the folder dir (the setting DATA_DIR), and
// creates both if they are missing. It closes them to other users, sets a
// damaged file aside, and compacts a file that is mostly free. Its errors are
// written for the operator.
func OpenDir(dir string, log *slog.Logger) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the data folder; set DATA_DIR to another folder: %w", err)
	}
	if err := closeToOthers(dir, log); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, dataName)
	lock, err := lockFile(path)
	if err != nil {
		return nil, dirError(dir, err)
	}
	db, err := openOrSetAside(path, log)
	if err == nil {
		db, err = compact(db, log)
	}
	if err != nil {
		return nil, errors.Join(dirError(dir, err), lock.Close())
	}
	return newFile(db, lock), nil
}

func dirError(dir string, err error) error {
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("another Changebank is using the data in %s; stop it, or set DATA_DIR to another folder", dir)
	}
	return fmt.Errorf("cannot open the data in %s (DATA_DIR): %w", dir, err)
}

// openOrSetAside opens the file at path. A damaged one is renamed and a new one
// created, because otherwise the program could never start again. The caller
// holds the lock: two starts at once must not rename each other's new file.
func openOrSetAside(path string, log *slog.Logger) (*bolt.DB, error) {
	db, damage := openWhole(path)
	if !errors.Is(damage, ErrDamaged) {
		return db, damage
	}
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("%w; move it away: %w", damage, err)
	}
	log.Error("data file damaged and set aside; everyone must log in again", "kept_as", aside, "err", damage)
	return openWhole(path)
}
