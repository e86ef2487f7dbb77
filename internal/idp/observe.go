package idp

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

func (c *Client) observe(req *http.Request, resp *http.Response, took time.Duration) {
	if c.cfg.Observe == nil {
		return
	}
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	c.cfg.Observe(c.callOf(req.URL), status, took)
}

// callOf says what a request to the provider is for.
func (c *Client) callOf(target *url.URL) string {
	p, err := c.ready()
	if err != nil {
		return "discovery"
	}
	switch to := target.String(); {
	case to == p.keys.url:
		return "keys"
	case to == p.oauth.Endpoint.TokenURL:
		return "token"
	case to == p.oauth.Endpoint.DeviceAuthURL:
		return "device authorization"
	case to == p.approve:
		return "device approval"
	case to == p.pushed:
		return "pushed request"
	case to == p.oidc.UserInfoEndpoint():
		return "userinfo"
	case to == p.revocation, p.refreshTokens != "" && strings.HasPrefix(to, p.refreshTokens):
		return "revocation"
	}
	return "other"
}
