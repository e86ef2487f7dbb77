package testfusion

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

// A grant is what a user granted an application.
type grant struct {
	app            *application
	user           *user
	scopes         []string
	types          []string // the grant types that led here
	authTime       time.Time
	nonce, session string // empty in the device flow
}

// A code is an authorization code. It can be used once.
type code struct {
	grant
	redirectURI, challenge string
	expires                time.Time
}

type accessToken struct {
	grant
	expires time.Time
}

type refreshToken struct {
	grant
	id, token string // the ID is not secret
	expires   time.Time
}

func (s *Server) token(c *call) (answer, error) {
	kind := c.form.Get("grant_type")
	app, err := s.client(c, true)
	if err != nil {
		return answer{}, err
	}
	var do func(*call, *application) (map[string]any, error)
	switch kind {
	case "":
		return answer{}, invalid("missing_grant_type", "grant_type is missing.")
	case "authorization_code":
		do = s.redeemCode
	case "refresh_token":
		do = s.redeemRefresh
	case deviceGrant:
		do = s.poll
	default:
		return answer{}, &oauthError{400, "unsupported_grant_type", "invalid_grant_type", "The double does not have this grant."}
	}
	if err := s.may(app, kind); err != nil {
		return answer{}, err
	}
	tokens, err := do(c, app)
	if err != nil {
		return answer{}, err
	}
	for _, name := range s.b.Omit {
		delete(tokens, name)
	}
	return answer{body: tokens}, nil
}

func (s *Server) redeemCode(c *call, app *application) (map[string]any, error) {
	value, verifier := c.form.Get("code"), c.form.Get("code_verifier")
	if value == "" {
		return nil, invalid("missing_code", "code is missing.")
	}
	code := s.codes[value]
	delete(s.codes, value)
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case code == nil || code.app != app || time.Now().After(code.expires):
		return nil, &oauthError{400, "invalid_grant", "auth_code_not_found", "The code is unknown, used or expired."}
	case c.form.Get("redirect_uri") != code.redirectURI:
		return nil, &oauthError{400, "invalid_grant", "invalid_redirect_uri", "The redirect_uri is not that of the authorization request."}
	case code.challenge != "" && verifier == "":
		return nil, &oauthError{400, "invalid_grant", "missing_code_verifier", "code_verifier is missing."}
	case code.challenge != "" && base64.RawURLEncoding.EncodeToString(sum[:]) != code.challenge:
		return nil, &oauthError{400, "invalid_grant", "invalid_pkce_code_verifier", "The code_verifier does not match."}
	}
	tokens := s.issue(c, code.grant, halfHash(value))
	maps.Copy(tokens, s.newRefreshToken(code.grant))
	return tokens, nil
}

func (s *Server) redeemRefresh(c *call, app *application) (map[string]any, error) {
	if c.form.Get("refresh_token") == "" {
		return nil, invalid("missing_refresh_token", "refresh_token is missing.")
	}
	i := slices.IndexFunc(s.refresh, func(r *refreshToken) bool { return r.token == c.form.Get("refresh_token") })
	if i < 0 || s.refresh[i].app != app || time.Now().After(s.refresh[i].expires) {
		return nil, &oauthError{400, "invalid_grant", "refresh_token_not_found", "The refresh_token is invalid."}
	}
	r := s.refresh[i]
	g := r.grant
	g.nonce = "" // OpenID Connect Core, section 12.2
	g.types = append(slices.Clone(g.types), "refresh_token")
	tokens := s.issue(c, g, "")
	delete(tokens, "scope") // only the first grant's answer has it
	if s.b.OneTimeRefresh {
		r.token = rand.Text()
		tokens["refresh_token"], tokens["refresh_token_id"] = r.token, r.id
	}
	return tokens, nil
}

// issue makes the access token and the ID token of a grant.
func (s *Server) issue(c *call, g grant, codeHash string) map[string]any {
	c.record.Person = g.user.Email
	j := g.app.jwt()
	now := time.Now()
	expires := now.Add(lifetime(s.b.TokenLifetime, j.TokenLifetime))
	common := map[string]any{
		"iss": s.setup.tenant.Issuer, "sub": g.user.id, "aud": g.app.id,
		"iat": now.Unix(), "exp": expires.Unix(), "auth_time": g.authTime.Unix(),
		"authenticationType": "PASSWORD", "scope": strings.Join(g.scopes, " "), "tid": s.setup.tenantID,
	}
	if g.session != "" {
		common["sid"] = g.session
	}

	claims := maps.Clone(common)
	claims["jti"], claims["applicationId"] = newUUID(), g.app.id
	if roles, ok := g.user.roles[g.app.id]; ok {
		claims["roles"] = append([]string{}, roles...)
	}
	access := s.sign(g.app, j.AccessKey, g.types, claims)
	s.access[access] = &accessToken{g, expires}
	tokens := map[string]any{
		"access_token": access, "token_type": "Bearer", "userId": g.user.id,
		"expires_in": int(expires.Sub(now).Seconds()), "scope": strings.Join(g.scopes, " "),
	}
	if !slices.Contains(g.scopes, "openid") {
		return tokens
	}

	claims = maps.Clone(common)
	maps.Copy(claims, g.user.claims(g.scopes))
	claims["jti"], claims["at_hash"] = newUUID(), halfHash(access)
	if codeHash != "" {
		claims["c_hash"] = codeHash
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	id := s.sign(g.app, j.IDKey, g.types, claims)
	s.idHints[id] = g.app
	tokens["id_token"] = id
	return tokens
}

// newRefreshToken returns the members with a new refresh token, if the grant
// includes one.
func (s *Server) newRefreshToken(g grant) map[string]any {
	if !slices.Contains(g.scopes, "offline_access") || !g.app.OAuth.RefreshTokens || !g.app.grants("refresh_token") {
		return nil
	}
	life := time.Duration(g.app.jwt().RefreshLifetime) * time.Minute
	r := &refreshToken{g, newUUID(), rand.Text(), time.Now().Add(life)}
	s.refresh = append(s.refresh, r)
	return map[string]any{"refresh_token": r.token, "refresh_token_id": r.id}
}

// lifetime returns d if a test set it, and otherwise the configured seconds.
func lifetime(d time.Duration, seconds int) time.Duration {
	return cmp.Or(d, time.Duration(seconds)*time.Second)
}
