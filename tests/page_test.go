package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// page is what a browser got for a request.
type page struct {
	t      testing.TB
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	came   time.Time
	doc    *html.Node
}

// String returns what a failure message says about a page.
func (p page) String() string {
	return fmt.Sprintf("%d at %s: %s", p.Status, p.URL, p.text("main"))
}

// find returns the first element of that kind with that id; "" is any.
func (p page) find(kind, id string) *html.Node {
	for node := range p.doc.Descendants() {
		if node.Type == html.ElementNode && (kind == "" || node.Data == kind) && (id == "" || attr(node, "id") == id) {
			return node
		}
	}
	return nil
}

// has reports whether the page has an element with that id.
func (p page) has(id string) bool { return p.find("", id) != nil }

// links reports whether the page's main part has a link to that address.
func (p page) links(href string) bool {
	main := p.find("main", "")
	if main == nil {
		return false
	}
	for node := range main.Descendants() {
		if node.Data == "a" && attr(node, "href") == href {
			return true
		}
	}
	return false
}

// text returns what the element with that id says, "" if there is none.
func (p page) text(id string) string {
	node := p.find("", id)
	if node == nil {
		return ""
	}
	return textOf(node)
}

// says reports whether the page's main part has these words.
func (p page) says(words string) bool { return strings.Contains(p.text("main"), words) }

// attr returns an attribute of the element with that id, which must be there.
func (p page) attr(id, name string) string {
	node := p.find("", id)
	if node == nil {
		p.t.Helper()
		p.t.Fatalf("no #%s on the page: %v", id, p)
	}
	return attr(node, name)
}

// continues returns where the page leads by itself, at once, or "".
func (p page) continues() string {
	p.t.Helper()
	for node := range p.doc.Descendants() {
		if node.Data != "meta" || attr(node, "http-equiv") != "refresh" {
			continue
		}
		if to, ok := strings.CutPrefix(attr(node, "content"), "0; url="); ok {
			at, err := p.URL.Parse(to)
			if err != nil {
				p.t.Fatal(err)
			}
			return at.String()
		}
	}
	return ""
}

// state returns the state of the login that the page is about, or "".
func (p page) state() string {
	if !p.has("login-state") {
		return ""
	}
	return p.attr("login-state", "data-state")
}

// person returns who is logged in, according to the page.
func (p page) person() string { return p.text("account-email") }

// number returns the number on the phone's page, which must show one.
func (p page) number() string {
	p.t.Helper()
	number := p.text("number")
	if !regexp.MustCompile(`^[0-9]{4}$`).MatchString(number) || p.state() != "number" {
		p.t.Fatalf("the phone's page is %q with the number %q, want four digits: %v", p.state(), number, p)
	}
	return number
}

// wrongNumber returns another number than the right one.
func wrongNumber(right string) string {
	if right == "0000" {
		return "1111"
	}
	return "0000"
}

func attr(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(node *html.Node) string {
	var text strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			text.WriteString(child.Data)
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}
