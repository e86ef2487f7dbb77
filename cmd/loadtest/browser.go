package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// site is where browsers find a server: the origin that they know, and the
// replicas behind it.
type site struct {
	origin   string
	replicas []string // host:port
	next     atomic.Uint64
}

// dial connects to the next replica, as a load balancer would.
func (s *site) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, _ := hostPort(s.origin); addr == host {
		addr = s.replicas[s.next.Add(1)%uint64(len(s.replicas))]
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// hostPort returns the address that an origin is reached at.
func hostPort(origin string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not an address like http://localhost:5000", origin)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

const (
	laptopAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
	phoneAgent  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"

	requestTimeout = 30 * time.Second
)

// browser is one browser of one person: its cookies and connections are its own.
type browser struct {
	site   *site
	http   *http.Client
	agent  string
	addr   string          // where it seems to come from
	assets map[string]bool // scripts and styles in its cache; nil: it loads none
}

func newBrowser(s *site, agent, addr string) *browser {
	jar, _ := cookiejar.New(nil) // it has no error
	transport := &http.Transport{DialContext: s.dial}
	return &browser{site: s, http: &http.Client{Transport: transport, Jar: jar}, agent: agent, addr: addr}
}

// close ends the browser's connections.
func (b *browser) close() { b.http.CloseIdleConnections() }

// page is what a browser shows.
type page struct {
	path string // after redirects; empty: a redirect that was not followed
	head http.Header
	body string
}

// get loads a page, and what it needs that is not in the cache.
func (b *browser) get(ctx context.Context, target string) (page, error) {
	p, err := b.do(ctx, http.MethodGet, target, nil)
	if err != nil || b.assets == nil {
		return p, err
	}
	// All scripts, styles and pictures of a page are here. A regular expression
	// would take a tenth of the processor time of a login.
	const folder = `="/static/`
	for _, rest := range strings.Split(p.body, folder)[1:] {
		name, _, _ := strings.Cut(rest, `"`)
		if path := "/static/" + name; !b.assets[path] {
			b.assets[path] = true
			if _, err := b.do(ctx, http.MethodGet, path, nil); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// post sends a form of one of our pages.
func (b *browser) post(ctx context.Context, target string, form url.Values) (page, error) {
	return b.do(ctx, http.MethodPost, target, form)
}

func (b *browser) do(ctx context.Context, method, target string, form url.Values) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := b.send(ctx, method, target, form)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	p := page{path: resp.Request.URL.Path, head: resp.Header}
	var body bytes.Buffer
	body.Grow(int(max(0, resp.ContentLength)) + bytes.MinRead)
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return page{}, faultOf(method, target, err)
	}
	p.body = body.String()
	switch {
	case resp.StatusCode/100 == 3:
		p.path = ""
	case resp.StatusCode != http.StatusOK:
		return page{}, faultOf(method, p.path, fmt.Errorf("status %d %s", resp.StatusCode, p.heading()))
	}
	return p, nil
}

// send sends a request as a browser does, through a proxy that names its
// address. target is a path, or a whole URL.
func (b *browser) send(ctx context.Context, method, target string, form url.Values) (*http.Response, error) {
	if strings.HasPrefix(target, "/") {
		target = b.site.origin + target
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	from := "none"
	if method == http.MethodPost {
		from = "same-origin"
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", b.agent)
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	req.Header.Set("Sec-Fetch-Site", from)
	req.Header.Set("X-Forwarded-For", b.addr)
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, faultOf(method, target, err)
	}
	return resp, nil
}

// fault is what went wrong for a person. Faults of one kind have one text, so
// that they can be counted.
type fault struct {
	kind  string
	cause error
}

func (f fault) Error() string { return f.kind }
func (f fault) Unwrap() error { return f.cause }

func faultOf(method, target string, err error) error {
	if f, ok := errors.AsType[fault](err); ok {
		return f
	}
	path := target
	if u, parseErr := url.Parse(target); parseErr == nil {
		path = u.Path // a query has codes, and each would be a kind of its own
	}
	cause := err
	if u, ok := errors.AsType[*url.Error](err); ok {
		cause = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		cause = fmt.Errorf("%s: %w", op.Op, op.Err) // without the ports, which differ
	}
	return fault{strings.TrimSpace(fmt.Sprintf("%s %s: %v", method, path, cause)), err}
}

// attr returns an attribute's value in the first tag that has the text mark.
func (p page) attr(mark, name string) string {
	at := strings.Index(p.body, mark)
	if at < 0 {
		return ""
	}
	begin, end := strings.LastIndexByte(p.body[:at], '<'), strings.IndexByte(p.body[at:], '>')
	if begin < 0 || end < 0 {
		return ""
	}
	_, rest, _ := strings.Cut(p.body[begin:at+end], " "+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return html.UnescapeString(value)
}

// text returns the text of the element with that ID, if it has no elements
// inside.
func (p page) text(id string) string {
	_, rest, _ := strings.Cut(p.body, ` id="`+id+`"`)
	_, rest, _ = strings.Cut(rest, ">")
	text, _, _ := strings.Cut(rest, "<")
	return strings.TrimSpace(html.UnescapeString(text))
}

// heading returns the text of the page's heading.
func (p page) heading() string {
	_, rest, _ := strings.Cut(p.body, "<h1>")
	text, _, _ := strings.Cut(rest, "<")
	return html.UnescapeString(text)
}
