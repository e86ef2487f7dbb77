package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const keyName = "secret.key"

// SecretKey returns the key in the file's folder, for a program without
// APP_SECRET_KEY. The first call creates it. The lock that f holds prevents
// another process from creating a different one at the same time.
func (f *File) SecretKey() ([]byte, error) {
	path := filepath.Join(filepath.Dir(f.db.Path()), keyName)
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = []byte(rand.Text() + rand.Text())
		err = writeWhole(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read or create the secret key; set APP_SECRET_KEY, or set DATA_DIR to another folder: %w", err)
	}
	if len(key) < 32 {
		return nil, fmt.Errorf("%s is incomplete; restore it, or delete everything in DATA_DIR to start over, which logs everyone out", path)
	}
	return key, nil
}

// writeWhole creates a file that is complete, even after a crash, or missing.
func writeWhole(path string, content []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
