package idp

import (
	"fmt"
	"net/url"
)

// A URLError says that the provider gave a URL that must not be used.
type URLError struct {
	Field string // of the discovery document, or of a device authorization response
	Value string
	Fault string // what is wrong with it
}

func (e *URLError) Error() string {
	return fmt.Sprintf("%s is %.100q, which %s", e.Field, e.Value, e.Fault)
}

// checkURL checks a URL that the provider gave. The rule is the same for all of
// them. Over plain http, anyone on the way can read secrets, codes and tokens, or
// replace the page on which people enter their passwords. Only a provider whose
// issuer is http, on this machine or in a local network, may use it.
func (c *Client) checkURL(field, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return &URLError{field, text, "is not an http or https URL with a host"}
	case u.User != nil: // it makes a host look like another
		return &URLError{field, text, "has a user name in it"}
	case u.Scheme == "http" && !c.plain():
		return &URLError{field, text, "is not https, although ISSUER is"}
	}
	return nil
}

// checkEndpoint is checkURL for the provider's endpoints, which have no fragment
// (RFC 6749, section 3).
func (c *Client) checkEndpoint(field, text string) error {
	if err := c.checkURL(field, text); err != nil {
		return err
	}
	if u, err := url.Parse(text); err != nil || u.Fragment != "" {
		return &URLError{field, text, "has a fragment"}
	}
	return nil
}

// plain reports whether the issuer is a plain http URL.
func (c *Client) plain() bool {
	issuer, err := url.Parse(c.cfg.Issuer)
	return err == nil && issuer.Scheme == "http"
}
