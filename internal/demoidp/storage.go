package demoidp

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

const (
	authRequestLife = 30 * time.Minute
	authCodeLife    = 30 * time.Second
	ssoLife         = 12 * time.Hour
)

var supportedScopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess}

var errUnsupported = errors.New("the demo provider does not have this")

// storage is what op asks about clients, people and tokens.
type storage struct {
	*setup
	key          signingKey
	pollInterval time.Duration
	log          *slog.Logger

	requests  *store.Table[*authRequest]
	codes     *store.Table[*authRequest]
	sso       *store.Table[ssoSession]
	devices   *store.Table[device]
	userCodes *store.Table[userCode]
	families  *store.Table[*refreshFamily]
}

func newStorage(ctx context.Context, cfg Config, set *setup) (*storage, error) {
	key, err := loadKey(ctx, cfg.Store, set)
	if err != nil {
		return nil, err
	}
	return &storage{
		setup:        set,
		key:          key,
		pollInterval: cfg.PollInterval,
		log:          cfg.Log,
		requests:     store.NewTable[*authRequest](cfg.Store, "demo auth request"),
		codes:        store.NewTable[*authRequest](cfg.Store, "demo auth code"),
		sso:          store.NewTable[ssoSession](cfg.Store, "demo sso"),
		devices:      store.NewTable[device](cfg.Store, "demo device"),
		userCodes:    store.NewTable[userCode](cfg.Store, "demo user code"),
		families:     store.NewTable[*refreshFamily](cfg.Store, "demo refresh"),
	}, nil
}

// GetClientByClientID answers an OAuth error, since op makes a fault of its
// own (500) of any other.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.clientID {
		return nil, oidc.ErrInvalidClient().WithDescription("unknown client")
	}
	return client{s.setup}, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if !s.isClient(id, secret) {
		return oidc.ErrInvalidClient()
	}
	return nil
}

func (s *storage) CreateAuthRequest(ctx context.Context, r *oidc.AuthRequest, hinted string) (op.AuthRequest, error) {
	if r.ResponseMode != "" && r.ResponseMode != oidc.ResponseModeQuery {
		return nil, oidc.ErrInvalidRequest().WithDescription("only response_mode query is supported")
	}
	if r.CodeChallenge != "" && r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("only code_challenge_method S256 is supported")
	}
	a := &authRequest{
		grant:         grant{ClientID: r.ClientID, Scopes: r.Scopes},
		ID:            rand.Text(),
		RedirectURI:   r.RedirectURI,
		State:         r.State,
		Nonce:         r.Nonce,
		CodeChallenge: r.CodeChallenge,
		Prompt:        r.Prompt,
		MaxAge:        r.MaxAge,
		LoginHint:     r.LoginHint,
		HintedSubject: hinted,
		Expires:       time.Now().Add(authRequestLife),
	}
	return a, s.requests.CreateAs(ctx, a.ID, a)
}

// SaveAuthCode turns a request into a code. Whoever deletes the request makes
// the only code there will be for it.
func (s *storage) SaveAuthCode(ctx context.Context, id, code string) error {
	a, err := s.requests.Delete(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return oidc.ErrInvalidRequest().WithDescription("this login is over")
	}
	if err != nil {
		return err
	}
	a.Expires = time.Now().Add(authCodeLife)
	return s.codes.CreateAs(ctx, code, a)
}

// AuthRequestByCode spends the code: of two that present it, one gets tokens.
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	a, err := s.codes.Delete(ctx, code)
	if err == nil && time.Now().After(a.Expires) {
		err = store.ErrNotFound
	}
	return a, err
}

// DeleteAuthRequest has nothing to do: SaveAuthCode did it.
func (s *storage) DeleteAuthRequest(context.Context, string) error { return nil }

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (id string, expires time.Time, err error) {
	return rand.Text(), time.Now().Add(s.accessTokens()), nil
}

// endBrowser is the context key of a func() error that logs out the browser a
// logout request came from; TerminateSession cannot see that browser.
type endBrowser struct{}

func (s *storage) TerminateSession(ctx context.Context, _, _ string) error {
	if end, ok := ctx.Value(endBrowser{}).(func() error); ok {
		return end()
	}
	return nil
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{s.key.public()}, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, userID, _ string, scopes []string) error {
	who, err := s.person(userID)
	if err != nil {
		return err
	}
	info.Subject = who.ID
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email, info.EmailVerified = who.Email, true
	}
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name, info.GivenName, info.FamilyName = who.Name, who.GivenName, who.FamilyName
	}
	return nil
}

// person may find nobody for a token or a session that is older than the
// present kickstart.
func (s *storage) person(id string) (person, error) {
	i := slices.IndexFunc(s.people, func(p person) bool { return p.ID == id })
	if i < 0 {
		return person{}, oidc.ErrInvalidGrant().WithDescription("this person is not here any more")
	}
	return s.people[i], nil
}

// GetPrivateClaimsFromRequest puts into an access token what userinfo and
// approve must know of it later (RFC 9068).
func (s *storage) GetPrivateClaimsFromRequest(_ context.Context, request op.TokenRequest, _ []string) (map[string]any, error) {
	claims := map[string]any{"scope": strings.Join(request.GetScopes(), " ")}
	if of, ok := request.(op.IDTokenRequest); ok {
		claims["auth_time"] = of.GetAuthTime().Unix()
	}
	return claims, nil
}

// SetIntrospectionFromToken is told the jti, which an ID token does not have.
func (s *storage) SetIntrospectionFromToken(_ context.Context, response *oidc.IntrospectionResponse, tokenID, subject, clientID string) error {
	if _, err := s.person(subject); err != nil || tokenID == "" {
		return oidc.ErrInvalidGrant()
	}
	response.Subject, response.ClientID, response.JWTID = subject, clientID, tokenID
	return nil
}

// The rest of op's interface is about what the server type does in op's place,
// or about what the application does not use.

func (s *storage) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, errUnsupported
}

func (s *storage) SetUserinfoFromToken(context.Context, *oidc.UserInfo, string, string, string) error {
	return errUnsupported
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, errUnsupported
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnsupported
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errUnsupported
}

func (s *storage) Health(context.Context) error { return nil }
