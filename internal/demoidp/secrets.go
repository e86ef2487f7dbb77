package demoidp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"changebank/internal/config"
	"changebank/internal/store"
)

// deriveSecrets sets the secrets that are missing in cfg: secrets in the
// repository would be known to everyone. It derives the same ones at each start
// with the same data. It returns the people's password, or "" if the operator
// chose it.
func deriveSecrets(cfg *config.Config, s *store.Store) (password string) {
	if cfg.ClientSecret == "" {
		cfg.ClientSecret = config.Secret(hex.EncodeToString(s.DeriveKeys("client secret")[0]))
	}
	switch cfg.UserPassword {
	case config.KnownPassword:
		return config.KnownPassword
	case "":
		password = newPassword(s.DeriveKeys("user password")[0])
		cfg.UserPassword = config.Secret(password)
	}
	return password
}

// newPassword returns three groups of four letters. It is short because it is
// typed on a phone, has no letters that look alike, and its 54 bits are too many
// to guess.
func newPassword(key []byte) string {
	const letters = "abcdefghjkmnpqrstuvwxyz"
	n := binary.BigEndian.Uint64(key)
	text := make([]byte, 12)
	for i := range text {
		text[i] = letters[n%uint64(len(letters))]
		n /= uint64(len(letters))
	}
	return fmt.Sprintf("%s-%s-%s", text[:4], text[4:8], text[8:])
}
