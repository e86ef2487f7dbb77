package demoidp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

// A grant is who may have tokens for what. Its methods are those that op asks
// of everything tokens are made for.
type grant struct {
	ClientID string
	Subject  string
	Scopes   []string
	AuthTime time.Time // when the person typed the password
}

func (g *grant) GetAMR() []string            { return nil }
func (g *grant) GetAudience() []string       { return []string{g.ClientID} }
func (g *grant) GetAuthTime() time.Time      { return g.AuthTime }
func (g *grant) GetClientID() string         { return g.ClientID }
func (g *grant) GetScopes() []string         { return g.Scopes }
func (g *grant) GetSubject() string          { return g.Subject }
func (g *grant) SetCurrentScopes(s []string) { g.Scopes = s }

// An authRequest is a login that an application asked for and, with its
// person, what an authorization code stands for.
type authRequest struct {
	grant
	ID            string
	RedirectURI   string
	State, Nonce  string
	CodeChallenge string
	Prompt        []string
	MaxAge        *uint
	LoginHint     string
	HintedSubject string // whom the id_token_hint names
	Expires       time.Time
}

func (a *authRequest) KeepUntil() time.Time               { return a.Expires }
func (a *authRequest) GetID() string                      { return a.ID }
func (a *authRequest) GetACR() string                     { return "" }
func (a *authRequest) GetNonce() string                   { return a.Nonce }
func (a *authRequest) GetRedirectURI() string             { return a.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return oidc.ResponseTypeCode }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return oidc.ResponseModeQuery }
func (a *authRequest) GetState() string                   { return a.State }
func (a *authRequest) Done() bool                         { return a.Subject != "" }

func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if a.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: a.CodeChallenge, Method: oidc.CodeChallengeMethodS256}
}

// A ssoSession is a browser that is logged in at the demo provider itself.
type ssoSession struct {
	Subject  string
	AuthTime time.Time
	Expires  time.Time
}

func (s ssoSession) KeepUntil() time.Time { return s.Expires }

// A device waits for tokens; it has a Subject once a person approved it.
type device struct {
	grant
	Expires time.Time
	Polled  time.Time
}

// KeepUntil is well past the end, so that a late poll hears expired_token and
// not that the code never was.
func (d device) KeepUntil() time.Time { return d.Expires.Add(10 * time.Minute) }

// A userCode leads to its device.
type userCode struct {
	DeviceCode string
	Until      time.Time
}

func (c userCode) KeepUntil() time.Time { return c.Until }

// A refreshFamily is a login that can be renewed. Of its refresh tokens only
// the last one is good; they all begin with the identifier of this record.
type refreshFamily struct {
	grant
	Secret  string
	Expires time.Time
}

func (f *refreshFamily) KeepUntil() time.Time { return f.Expires }

// A keyRecord is the signing key as it is kept.
type keyRecord struct {
	ID  string
	DER []byte // PKCS #8
}

// KeepUntil is as good as for ever, and still a time in 64 bits of nanoseconds.
func (keyRecord) KeepUntil() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

// A signingKey is both what op signs with and, by its public method, what it
// publishes.
type signingKey struct {
	id  string
	key any
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) Use() string                                 { return oidc.KeyUseSignature }
func (k signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (k signingKey) public() op.Key {
	return signingKey{k.id, k.key.(*rsa.PrivateKey).Public()}
}

// loadKey returns the kept signing key. The first to start makes it; of two
// that start at once, both use the one that got into the store.
func loadKey(ctx context.Context, s *store.Store, set *setup) (signingKey, error) {
	table := store.NewTable[keyRecord](s, "demo key")
	record, err := table.Get(ctx, set.keyID)
	if errors.Is(err, store.ErrNotFound) {
		if record, err = newKey(set.keyBits); err != nil {
			return signingKey{}, err
		}
		if err = table.CreateAs(ctx, set.keyID, record); errors.Is(err, store.ErrExists) {
			record, err = table.Get(ctx, set.keyID)
		}
	}
	if err != nil {
		return signingKey{}, fmt.Errorf("load the signing key: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(record.DER)
	if err != nil {
		return signingKey{}, fmt.Errorf("read the signing key: %w", err)
	}
	return signingKey{record.ID, key}, nil
}

func newKey(bits int) (keyRecord, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return keyRecord{}, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return keyRecord{rand.Text(), der}, err
}
