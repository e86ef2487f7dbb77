package store

import (
	"crypto/aes"
	"crypto/cipher"
)

// A sealer encrypts with AES-256-GCM under the first of its keys, and decrypts
// with any of them. What it seals opens only at its own place: a writer without
// a key cannot put one record where another belongs.
type sealer []cipher.AEAD

// sealer returns a sealer with keys of its own for one purpose.
func (s *Store) sealer(purpose string) (seals sealer) {
	for _, key := range s.DeriveKeys(purpose) {
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err) // 32 bytes are always a key
		}
		seal, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err) // AES always has the block size of GCM
		}
		seals = append(seals, seal)
	}
	return seals
}

func (s sealer) seal(place string, plain []byte) []byte {
	return s[0].Seal(nil, nil, plain, []byte(place))
}

// open also returns which key has opened sealed.
func (s sealer) open(place string, sealed []byte) (plain []byte, key int, ok bool) {
	for i, seal := range s {
		if plain, err := seal.Open(nil, nil, sealed, []byte(place)); err == nil {
			return plain, i, true
		}
	}
	return nil, 0, false
}
