package demoidp

import (
	"testing"

	"changebank/kickstart"
)

// A kickstart is read or refused. It does not make the program crash.
func FuzzKickstart(f *testing.F) {
	f.Add(kickstart.JSON)
	f.Add([]byte(`{"variables":{"a":"#{ENV.X}"},"requests":[{"url":"/api/tenant/#{a}","body":{}}]}`))
	f.Add([]byte(`{"variables":{"a":"\"\\\u0000"},"requests":["#{a}"]}`))
	f.Add([]byte(`{"requests":[{"url":"/api/application/","body":{"application":{"jwtConfiguration":{"timeToLiveInSeconds":9e18}}}}]`))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := parseKickstart(file, map[string]string{"X": `"}`})
		if (s == nil) == (err == nil) {
			t.Errorf("%v, %v", s, err)
		}
	})
}
