package browser

import (
	"net/http"
	"strings"
)

// FromSite reports whether a page of the site at appURL sent the browser here. Over
// plain http, browsers send no Sec-Fetch-Site, so the Referer is used.
func FromSite(r *http.Request, appURL string) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "same-origin" || site == "" && strings.HasPrefix(r.Referer(), appURL+"/")
}

// MayBeLinked reports whether another site may have sent the browser here. None has
// if the code was scanned, or typed into a form of the site at appURL.
func MayBeLinked(r *http.Request, appURL string) bool {
	return r.Header.Get("Sec-Fetch-Site") != "none" && !FromSite(r, appURL)
}

// IsPrefetch reports whether a browser or mail program fetches the page in advance,
// without a person having asked for it.
func IsPrefetch(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") || strings.Contains(v, "prerender") {
			return true
		}
	}
	return false
}
