package idp

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// scopeLists returns the scopes to ask for, and after each invalid_scope fewer:
// who the person is, and a session that may outlive its first access token. The
// provider's list of its scopes counts only then, except for offline_access:
// Hydra's list has neither email nor profile, and Hydra knows both. all says that
// the provider has every one of them.
func (c *Client) scopeLists(offered []string, all bool) [][]string {
	if len(c.cfg.Scopes) > 0 {
		return [][]string{c.cfg.Scopes}
	}
	wanted := []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
	withoutRefresh := supported(wanted, offered)
	lists := [][]string{wanted, withoutRefresh, {oidc.ScopeOpenID}}
	if all || len(offered) == 0 || slices.Contains(offered, oidc.ScopeOfflineAccess) {
		refresh := []string{oidc.ScopeOfflineAccess}
		lists = [][]string{
			slices.Concat(wanted, refresh), slices.Concat(withoutRefresh, refresh), withoutRefresh, {oidc.ScopeOpenID},
		}
	}
	return slices.CompactFunc(lists, slices.Equal)
}

// supported returns the wanted scopes that the provider lists, and all of them if
// it lists none. It always keeps openid, without which there is no ID token.
func supported(wanted, offered []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(scope string) bool {
		return scope != oidc.ScopeOpenID && len(offered) > 0 && !slices.Contains(offered, scope)
	})
}

// scope returns the scope parameter after so many refusals of one login, or of
// any request that was not sent through a browser.
func (p *provider) scope(refusals int) string {
	refusals = max(refusals, int(p.refusals.Load()))
	return strings.Join(p.scopes[min(refusals, len(p.scopes)-1)], " ")
}

// postScoped is post with the scopes, and again with fewer while the provider
// refuses them. refusals counts those of the login that it is for.
func (c *Client) postScoped(ctx context.Context, p *provider, endpoint string, form url.Values, refusals int, result any) error {
	for {
		known := p.refusals.Load()
		form.Set("scope", p.scope(refusals))
		err := c.post(ctx, p, endpoint, form, result)
		if refused, ok := errors.AsType[*Error](err); !ok || !refused.OfScopes() || !c.narrow(p, known) {
			return err
		}
	}
}

// narrow is called after the provider itself has refused the scopes that it was
// sent after so many refusals. It reports whether there are fewer to try, and
// remembers that.
func (c *Client) narrow(p *provider, refusals int32) bool {
	if int(refusals)+1 >= len(p.scopes) {
		return false
	}
	if p.refusals.CompareAndSwap(refusals, refusals+1) {
		c.cfg.Log.Warn("the provider refused the scopes, asking for fewer; set SCOPES to those that it allows this application",
			"refused", strings.Join(p.scopes[refusals], " "), "scopes", strings.Join(p.scopes[refusals+1], " "))
	}
	return true
}

// Narrower returns a new flow in place of one whose scopes the provider has
// refused with invalid_scope, and false if there are no fewer to ask for. That
// refusal came through the browser, where anyone can forge it, so it counts for
// this login only.
func (c *Client) Narrower(refused Flow) (Flow, bool) {
	p, err := c.ready()
	if err != nil || refused.Refusals+1 >= len(p.scopes) {
		return Flow{}, false
	}
	p.warnOnce.Do(func() {
		c.cfg.Log.Warn("the provider refused the scopes of a login, which tries again with fewer; set SCOPES to those that it allows this application",
			"refused", p.scope(refused.Refusals), "scopes", p.scope(refused.Refusals+1))
	})
	flow := NewFlow()
	flow.Prompt, flow.Reauthenticate, flow.Subject = refused.Prompt, refused.Reauthenticate, refused.Subject
	flow.Refusals = refused.Refusals + 1
	return flow, true
}
