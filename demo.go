package main

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

// newDemo returns the demo provider, and the password of its people unless one
// was chosen. Secrets that are missing it derives from the data's key, and puts
// into cfg.
func newDemo(ctx context.Context, cfg *config.Config, s *store.Store, log *slog.Logger) (demo *demoidp.Provider, password string, err error) {
	if cfg.ClientSecret == "" {
		// A secret that everybody can read in the repository would be none.
		cfg.ClientSecret = config.Secret(hex.EncodeToString(s.DeriveKeys("client secret")[0]))
	}
	if cfg.UserPassword == config.KnownPassword {
		password = config.KnownPassword
	}
	if cfg.UserPassword == "" {
		password = newPassword(s, "user password")
		cfg.UserPassword = config.Secret(password)
	}
	if cfg.AdminPassword == "" {
		cfg.AdminPassword = config.Secret(newPassword(s, "admin password"))
	}
	demo, err = demoidp.New(ctx, demoidp.Config{
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
		Store: s,
		Log:   log,
	})
	return demo, password, err
}

// newPassword returns a password that is the same at every start with the same
// data, and short, since it is typed on a phone.
func newPassword(s *store.Store, purpose string) string {
	// Three groups of four letters, without those that look like others. That is
	// 54 bits: too many to try, even at thousands a second.
	const letters = "abcdefghjkmnpqrstuvwxyz"
	var password []byte
	n := binary.BigEndian.Uint64(s.DeriveKeys(purpose)[0])
	for i := range 12 {
		if i > 0 && i%4 == 0 {
			password = append(password, '-')
		}
		password = append(password, letters[n%uint64(len(letters))])
		n /= uint64(len(letters))
	}
	return string(password)
}
