// Package demosetup sets up the demo provider from the program's settings, and
// derives the secrets that the settings leave out.
package demosetup

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"

	"changebank/internal/config"
	"changebank/internal/demoidp"
	"changebank/internal/store"
	"changebank/kickstart"
)

// New returns the demo provider. Missing secrets are derived from the data's
// key, so that they survive a restart, and are put into cfg. The password is
// that of the demo's people, for the terminal; it is empty if the operator
// chose it.
func New(ctx context.Context, cfg *config.Config, records *store.Store, log *slog.Logger) (provider *demoidp.Provider, password string, err error) {
	if cfg.ClientSecret == "" {
		// A default in the source code would be no secret.
		cfg.ClientSecret = config.Secret(hex.EncodeToString(records.DeriveKeys("client secret")[0]))
	}
	if cfg.UserPassword == config.KnownPassword {
		password = config.KnownPassword
	}
	if cfg.UserPassword == "" {
		password = newPassword(records.DeriveKeys("user password")[0])
		cfg.UserPassword = config.Secret(password)
	}
	if cfg.AdminPassword == "" {
		cfg.AdminPassword = config.Secret(newPassword(records.DeriveKeys("admin password")[0]))
	}
	provider, err = demoidp.New(ctx, demoidp.Config{
		Issuer:    cfg.DemoURL,
		AppURL:    cfg.AppURL,
		Kickstart: kickstart.JSON,
		Env: map[string]string{
			"APP_URL":        cfg.AppURL,
			"ISSUER":         cfg.DemoURL,
			"CLIENT_ID":      cfg.ClientID,
			"CLIENT_SECRET":  string(cfg.ClientSecret),
			"USER_PASSWORD":  string(cfg.UserPassword),
			"ADMIN_PASSWORD": string(cfg.AdminPassword),
		},
		Store: records,
		Log:   log,
	})
	return provider, password, err
}

// newPassword makes a password from a key. It is short, since people type it on
// a phone: three groups of four letters, without those that look like others.
// Those 54 bits cannot be guessed even at thousands of tries a second.
func newPassword(key []byte) string {
	const letters = "abcdefghjkmnpqrstuvwxyz"
	var password []byte
	n := binary.BigEndian.Uint64(key)
	for i := range 12 {
		if i > 0 && i%4 == 0 {
			password = append(password, '-')
		}
		password = append(password, letters[n%uint64(len(letters))])
		n /= uint64(len(letters))
	}
	return string(password)
}
