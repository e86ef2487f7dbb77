package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"changebank/cmd/loadtest/provider"
)

const (
	qrPath = "/logged-out-qr-login"

	// readingTime is how long a question must be on the screen before a person
	// may approve.
	readingTime = time.Second
	// moment is how long the laptop's script waits after the phone's yes.
	moment = 500 * time.Millisecond
	// look is how often the script of the phone's page looks for changes.
	look = 2 * time.Second
)

// laptop shows a code and waits for a phone, as static/qrlogin.js does.
type laptop struct {
	*browser
	link  string // in the QR code
	ref   string // names the attempt
	state string
}

func newLaptop(s *site, addr string) *laptop {
	return &laptop{browser: newBrowser(s, laptopAgent, addr)}
}

// showCode opens the page with the code.
func (l *laptop) showCode(ctx context.Context) error {
	p, err := l.get(ctx, qrPath)
	if err != nil {
		return err
	}
	if l.draw(p); l.link == "" {
		return fault{kind: "the laptop's page shows no code"}
	}
	return nil
}

// draw puts a page on the screen.
func (l *laptop) draw(p page) {
	l.link = p.attr(`id="verification-link"`, "href")
	l.ref = p.attr(`id="login-state"`, "data-attempt")
	l.state = p.attr(`id="login-state"`, "data-state")
}

// stream is an open stream of events.
type stream struct {
	resp  *http.Response
	lines *bufio.Reader
}

func (s *stream) close() { _ = s.resp.Body.Close() }

// listen opens the event stream of the code on the screen. It ends with ctx.
func (l *laptop) listen(ctx context.Context) (*stream, error) {
	resp, err := l.send(ctx, http.MethodGet, qrPath+"/events?attempt="+url.QueryEscape(l.ref), nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fault{kind: fmt.Sprintf("the laptop's event stream: status %d", resp.StatusCode)}
	}
	return &stream{resp, bufio.NewReaderSize(resp.Body, 512)}, nil
}

type event struct {
	state string
	err   error // the stream's end
}

// events returns what the stream tells, until it or ctx ends.
func (s *stream) events(ctx context.Context) <-chan event {
	events := make(chan event)
	go func() {
		for e := (event{}); e.err == nil; {
			e.state, e.err = s.next()
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}

// next waits for the next state. Other events and comments are signs of life.
func (s *stream) next() (string, error) {
	for name := ""; ; {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return "", fault{"the laptop's event stream ended", err}
		}
		if event, ok := strings.CutPrefix(line, "event: "); ok {
			name = strings.TrimSpace(event)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || name != "state" {
			continue
		}
		var event struct{ State string }
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return "", fault{"the laptop's event stream is not JSON", err}
		}
		return event.State, nil
	}
}

// await follows the stream until the laptop is logged in, and returns the
// account page. At each change the page is fetched again; after the phone's yes
// only if the login does not follow within a moment.
func (l *laptop) await(ctx context.Context, s *stream) (page, error) {
	defer s.close()
	events := s.events(ctx)
	var redraw <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return page{}, fault{"the laptop's event stream ended", ctx.Err()}
		case e := <-events:
			switch {
			case e.err != nil:
				return page{}, e.err
			case e.state == "approved":
				s.close()
				return l.get(ctx, "/reload")
			case e.state == "yes":
				redraw = time.After(moment)
			case e.state != l.state:
				redraw = time.After(0)
			}
		case <-redraw:
			p, err := l.redraw(ctx)
			if err != nil {
				return page{}, err
			}
			if p.path == "" { // approved by now
				s.close()
				return l.get(ctx, qrPath)
			}
			if l.draw(p); p.attr(`id="login-state"`, "data-ended") != "false" {
				return page{}, fault{kind: "the login ended as " + l.state}
			}
		}
	}
}

// redraw fetches the page without following a redirect.
func (l *laptop) redraw(ctx context.Context) (page, error) {
	once := *l.browser
	client := *l.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	once.http = &client
	return once.do(ctx, http.MethodGet, qrPath, nil)
}

// phone is a phone on which a person is logged in. It was here before: scripts
// and styles are in its cache.
type phone struct {
	*browser
	person string
}

// newPhone logs a person in.
func newPhone(ctx context.Context, s *site, issuer, person, addr string) (*phone, error) {
	p := &phone{newBrowser(s, phoneAgent, addr), person}
	return p, p.logIn(ctx, issuer)
}

// logIn logs the browser in at the provider.
func (p *phone) logIn(ctx context.Context, issuer string) error {
	at, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	p.http.Jar.SetCookies(at, []*http.Cookie{{Name: provider.PersonCookie, Value: p.person, Path: "/"}})
	account, err := p.get(ctx, "/login")
	if err != nil {
		return err
	}
	if got := account.text("account-email"); got != provider.Email(p.person) {
		return fault{kind: "after its login a phone is at " + account.path + ", not at the account"}
	}
	return nil
}

// question is the form on the phone.
type question struct {
	form  url.Values
	shown time.Time
}

// scan opens the link of a QR code.
func (p *phone) scan(ctx context.Context, link string) (question, error) {
	found, err := p.get(ctx, link)
	if err != nil {
		return question{}, err
	}
	form := url.Values{}
	for _, name := range []string{"user_code", "attempt", "shown"} {
		value := found.attr(`name="`+name+`"`, "value")
		if value == "" {
			return question{}, fault{kind: "the phone was not asked to approve"}
		}
		form.Set(name, value)
	}
	return question{form, time.Now()}, nil
}

// read waits until the person has read the question.
func (q question) read(ctx context.Context) error {
	select {
	case <-time.After(time.Until(q.shown.Add(readingTime))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer says yes or no.
func (p *phone) answer(ctx context.Context, q question, answer string) (page, error) {
	q.form.Set("answer", answer)
	after, err := p.post(ctx, "/activate", q.form)
	if err == nil && strings.Contains(after.body, `id="approve"`) {
		err = fault{kind: "the phone was asked again after its answer"}
	}
	return after, err
}

// follow looks at the phone's page as static/activate.js does, until nothing
// changes any longer.
func (p *phone) follow(ctx context.Context, after page) error {
	for range 30 {
		watch := after.attr(`id="login-state"`, "data-watch")
		if watch == "" {
			return nil
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if after, err = p.get(ctx, watch); err != nil {
			return err
		}
	}
	return errors.New("the phone's page still waits for the laptop")
}
