package idp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	revokeTimeout = 10 * time.Second // for one revocation, the wait for discovery included
	revokeWorkers = 4                // revocations at a time
	revokeQueue   = 1000             // revocations that wait; more are dropped
	drainTimeout  = 3 * time.Second  // for the queue, when the program stops
)

// Revoke ends tokens that nobody may use any longer, in the background: by
// RFC 7009 where the provider has an endpoint for that, by FusionAuth's own
// call at FusionAuth. Elsewhere they live until they expire. Failures are
// logged. Empty tokens need no revocation.
func (c *Client) Revoke(tokens Tokens) {
	if tokens.Access == "" && tokens.Refresh == "" {
		return
	}
	if !c.revoker.add(tokens) {
		c.cfg.Log.Warn("token revocation dropped: the queue is full or closed")
	}
}

// revokeOrLog waits until the provider has been discovered, and revokes tokens.
func (c *Client) revokeOrLog(ctx context.Context, tokens Tokens) {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	select {
	case <-c.discovered:
	case <-ctx.Done():
	}
	p, err := c.ready()
	if err == nil {
		err = c.revoke(ctx, p, tokens)
	}
	if err != nil {
		c.cfg.Log.Warn("token revocation failed", "err", brief{err})
	}
}

// revoke ends the refresh token, which ends the grant, or the access token if
// there is no refresh token.
func (c *Client) revoke(ctx context.Context, p *provider, tokens Tokens) error {
	switch {
	case p.revocation != "" && tokens.Refresh != "":
		return c.post(ctx, p, p.revocation, url.Values{"token": {tokens.Refresh}, "token_type_hint": {"refresh_token"}}, nil)
	case p.revocation != "":
		err := c.post(ctx, p, p.revocation, url.Values{"token": {tokens.Access}, "token_type_hint": {"access_token"}}, nil)
		if refused, ok := errors.AsType[*Error](err); ok && refused.Code == "unsupported_token_type" {
			return nil // access tokens of this provider cannot be revoked (RFC 7009, section 2.2.1)
		}
		return err
	case p.refreshTokens != "" && tokens.Refresh != "":
		err := c.deleteRefreshToken(ctx, p, tokens)
		if refused, ok := errors.AsType[*Error](err); ok && refused.Status == http.StatusUnauthorized {
			// The access token has expired. The refresh token gets another.
			if renewed, renewErr := c.renew(ctx, p, tokens); renewErr == nil {
				return c.deleteRefreshToken(ctx, p, renewed)
			}
		}
		return err
	}
	return nil
}

// deleteRefreshToken is FusionAuth's revocation. A person's access token
// authorizes the deletion of that person's refresh tokens.
func (c *Client) deleteRefreshToken(ctx context.Context, p *provider, tokens Tokens) error {
	target, form := p.refreshTokens, url.Values{}
	if tokens.RefreshID != "" {
		target += "/" + url.PathEscape(tokens.RefreshID)
	} else {
		form.Set("token", tokens.Refresh) // not in the URL, since URLs are logged
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+tokens.Access)
	return c.send(req, nil)
}

// revoker is a bounded queue of tokens with a bounded number of workers, so
// that a provider that hangs costs neither a person's time nor our memory.
type revoker struct {
	workers sync.WaitGroup
	cancel  context.CancelFunc // of the revocations under way

	mu     sync.Mutex
	queue  chan Tokens
	closed bool
}

func newRevoker(revoke func(context.Context, Tokens)) *revoker {
	ctx, cancel := context.WithCancel(context.Background())
	r := &revoker{cancel: cancel, queue: make(chan Tokens, revokeQueue)}
	for range revokeWorkers {
		r.workers.Go(func() {
			for tokens := range r.queue {
				revoke(ctx, tokens)
			}
		})
	}
	return r
}

// add reports whether there was room in the queue.
func (r *revoker) add(tokens Tokens) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	select {
	case r.queue <- tokens:
		return true
	default:
		return false
	}
}

// close takes no more tokens, and gives those in the queue drainTimeout.
func (r *revoker) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.queue)
	}
	r.mu.Unlock()
	defer time.AfterFunc(drainTimeout, r.cancel).Stop()
	r.workers.Wait()
	r.cancel()
}
