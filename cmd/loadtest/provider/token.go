package provider

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenLifetime is FusionAuth's default.
const tokenLifetime = time.Hour

// login is what an authorization code stands for.
type login struct{ person, nonce, challenge, redirectURI string }

// authorize sends the browser back at once: its cookie says who is logged in.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	cookie, err := r.Cookie(PersonCookie)
	if err != nil || query.Get("client_id") != p.cfg.ClientID {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = login{cookie.Value, query.Get("nonce"), query.Get("code_challenge"), query.Get("redirect_uri")}
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {query.Get("state")}}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		p.redeemCode(w, r)
	case "refresh_token":
		p.redeemRefresh(w, r)
	case "urn:ietf:params:oauth:grant-type:device_code":
		p.poll(w, r)
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type")
	}
}

func (p *Provider) redeemCode(w http.ResponseWriter, r *http.Request) {
	code := r.PostFormValue("code")
	p.mu.Lock()
	l, ok := p.codes[code]
	delete(p.codes, code)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !ok || r.PostFormValue("redirect_uri") != l.redirectURI || subtle.ConstantTimeCompare([]byte(challenge), []byte(l.challenge)) != 1 {
		refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	p.issue(w, l.person, l.nonce, rand.Text())
}

func (p *Provider) redeemRefresh(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("refresh_token")
	p.mu.Lock()
	person, ok := p.refresh[refreshID(token)]
	p.mu.Unlock()
	if !ok {
		refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	p.issue(w, person, "", token)
}

// issue answers with new tokens of a person. Access tokens are as long as
// FusionAuth's.
func (p *Provider) issue(w http.ResponseWriter, person, nonce, refresh string) {
	now := time.Now()
	claims := map[string]any{
		"iss": p.cfg.Issuer, "sub": person, "aud": p.cfg.ClientID, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(tokenLifetime).Unix(), "auth_time": now.Unix(),
		"authenticationType": "PASSWORD", "scope": "openid profile email offline_access",
	}
	access, err := p.sign(claims)
	if err == nil {
		sum := sha256.Sum256([]byte(access))
		claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
		claims["email"], claims["email_verified"], claims["name"] = Email(person), true, person
		if nonce != "" {
			claims["nonce"] = nonce
		}
	}
	id, err2 := p.sign(claims)
	if err != nil || err2 != nil {
		refuse(w, http.StatusInternalServerError, "server_error")
		return
	}
	rid := refreshID(refresh)
	p.mu.Lock()
	p.access[access], p.refresh[rid] = person, person
	p.mu.Unlock()
	answer(w, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLifetime.Seconds()), "id_token": id,
		"refresh_token": refresh, "refresh_token_id": rid, "userId": person,
	})
}

func (p *Provider) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := p.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// refreshID is what a refresh token is called where it must not be told.
func refreshID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	person, ok := p.bearer(r)
	if !ok {
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	answer(w, map[string]any{"sub": person, "email": Email(person), "email_verified": true, "name": person})
}

// revoke is FusionAuth's call: a person's access token ends that person's
// refresh tokens. The access token is forgotten, too, so that a long test does
// not fill the memory.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	person, ok := p.bearer(r)
	if !ok {
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.access, bearerToken(r))
	if p.refresh[id] == person {
		delete(p.refresh, id)
	}
	w.WriteHeader(http.StatusOK)
}

func (p *Provider) bearer(r *http.Request) (person string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	person, ok = p.access[bearerToken(r)]
	return person, ok
}

func bearerToken(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}
