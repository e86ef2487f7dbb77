package tests

import (
	"net/http"
	"net/url"
	"testing"
)

// maxWeight is how many bytes a page may have with everything that it loads.
const maxWeight = 60_000

func TestPageWeight(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	p, link := laptop.showCode()
	for name, p := range map[string]page{
		"home": b.browser(t).get("/"), "the laptop's page": p, "the question": phone.get(link),
		"account": phone.get("/account"), "devices": phone.get("/devices"), "an error": phone.get("/nosuch"),
		"the demo provider's login": b.browser(t).get("/login"),
	} {
		weight, files := len(p.Body), 0
		for node := range p.doc.Descendants() {
			file := ""
			switch node.Data {
			case "script", "img":
				file = attr(node, "src")
			case "link":
				file = attr(node, "href")
			}
			if file == "" {
				continue
			}
			loaded := phone.get(p.URL.ResolveReference(&url.URL{Path: file}).String())
			if loaded.Status != http.StatusOK {
				t.Errorf("%s loads %s: %d", name, file, loaded.Status)
			}
			weight, files = weight+len(loaded.Body), files+1
		}
		if weight > maxWeight || files < 2 {
			t.Errorf("%s has %d bytes in %d files, want at most %d", name, weight, files, maxWeight)
		}
		t.Logf("%s: %d bytes", name, weight)
	}
}
