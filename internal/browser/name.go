package browser

import (
	"net/http"
	"strings"
	"unicode"

	"github.com/mileusna/useragent"
)

// Name names the browser and its system in a few words, as far as the
// User-Agent header can be believed.
func (b Browser) Name() string {
	ua := useragent.Parse(b.Agent)
	name, system := plain(ua.Name), plain(ua.OS)
	switch {
	case name == "" && system == "":
		return "An unknown browser"
	case name == "":
		return "A browser on " + system
	case system == "":
		return name
	}
	return name + " on " + system
}

// OwnersName names the phone to its owner: "your iPhone".
func (b Browser) OwnersName() string {
	ua := useragent.Parse(b.Agent)
	switch {
	case b.Agent == "":
		return "your phone"
	case ua.OS == useragent.IOS && ua.Tablet:
		return "your iPad"
	case ua.OS == useragent.IOS:
		return "your iPhone"
	case ua.OS == useragent.Android && ua.Tablet:
		return "your Android tablet"
	case ua.OS == useragent.Android:
		return "your Android phone"
	}
	return b.Name()
}

// IsPhone reports whether r says that it comes from a phone.
func IsPhone(r *http.Request) bool {
	if hint := r.Header.Get("Sec-CH-UA-Mobile"); hint != "" {
		return hint == "?1"
	}
	return useragent.Parse(agentOf(r)).Mobile
}

// plain makes a word from a header short and printable.
func plain(word string) string {
	word = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || unicode.Is(unicode.Bidi_Control, c) {
			return -1
		}
		return c
	}, word)
	if runes := []rune(word); len(runes) > 30 {
		word = string(runes[:30]) + "…"
	}
	return strings.TrimSpace(word)
}
