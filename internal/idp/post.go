package idp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// post sends a form with the client's authentication, and decodes the response
// into result unless that is nil. Where the method is ours to choose, and the
// provider refuses the client, the other method is tried once: which one a client
// is registered for is not in the discovery document.
func (c *Client) post(ctx context.Context, p *provider, endpoint string, form url.Values, result any) error {
	// Together, too: a poll must end before its lease.
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	method := *p.auth.Load()
	err := c.postAs(ctx, method, endpoint, form, result)
	if refused, ok := errors.AsType[*Error](err); !ok || !refused.ofSecret() || !c.mayChoose() || p.settled.Load() {
		return err
	}
	other := AuthBasic
	if method == AuthBasic {
		other = AuthPost
	}
	otherErr := c.postAs(ctx, other, endpoint, form, result)
	switch refused, ok := errors.AsType[*Error](otherErr); {
	case ok && refused.ofSecret():
		return err // the secret is wrong, however it is sent
	case otherErr == nil || ok && refused.Final():
		p.auth.Store(&other)
		c.cfg.Log.Info("the provider accepts the client secret sent in another way; set CLIENT_AUTH to that",
			"refused", string(method), "accepted", string(other))
	}
	return otherErr
}

// mayChoose reports whether the secret may be sent in either way.
func (c *Client) mayChoose() bool {
	return c.cfg.ClientSecret != "" && (c.cfg.Auth == AuthAuto || c.cfg.Auth == "")
}

func (c *Client) postAs(ctx context.Context, method AuthMethod, endpoint string, form url.Values, result any) error {
	form.Set("client_id", c.cfg.ClientID) // with Basic, too: Hydra wants both
	form.Del("client_secret")             // never in two ways at once (RFC 6749, section 2.3)
	if method == AuthPost {
		form.Set("client_secret", c.cfg.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if method == AuthBasic { // escaped as RFC 6749, section 2.3.1 requires
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.ClientSecret))
	}
	return c.send(req, result)
}
