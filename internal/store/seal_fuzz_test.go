package store

import (
	"bytes"
	"testing"
)

// What opens was sealed by us, for this very place.
func FuzzSealed(f *testing.F) {
	s := &Store{keys: [][]byte{newKey, oldKey}}
	seals := s.sealer("table t")
	sealed, sealedBefore := seals.seal("place", []byte("record")), seals[1:].seal("place", []byte("record"))
	f.Add("place", sealed)
	f.Add("place", sealedBefore)
	f.Add("place", sealed[:len(sealed)-1])
	f.Add("", []byte{})
	f.Add("place2", append(bytes.Clone(sealed), 0))
	f.Fuzz(func(t *testing.T, place string, text []byte) {
		if plain, _, ok := seals.open(place, text); ok && (place != "place" || string(plain) != "record") {
			t.Errorf("%x opens at %q as %q", text, place, plain)
		}
		if again, _, ok := seals.open(place, seals.seal(place, text)); !ok || !bytes.Equal(again, text) {
			t.Errorf("sealed at %q, %x opens as %x (%t)", place, text, again, ok)
		}
	})
}
