package idp

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// algorithm returns the algorithm that a JWT says it is signed with, if any.
func algorithm(token string) string {
	used, _ := part(token, 0)["alg"].(string)
	return used
}

// claim returns a claim of a JWT without checking the JWT's signature.
func claim[T any](token, name string) (value T, ok bool) {
	value, ok = part(token, 1)[name].(T)
	return value, ok
}

// part decodes a JWT's header (part 0) or claims (part 1). It returns nil for
// anything that is not a JWT.
func part(token string, n int) map[string]any {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		return nil
	}
	var members map[string]any
	_ = json.Unmarshal(text, &members)
	return members
}
