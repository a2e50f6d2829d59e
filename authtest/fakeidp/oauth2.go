package fakeidp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/auth/internal/emailaddr"
)

// Lives of what a [Provider] issues.
const (
	codeLife   = time.Minute // RFC 6749 §4.1.2 allows ten
	bearerLife = time.Hour
)

// grant is one consent of one account, and all that comes of it.
type grant struct {
	client      Client
	subject     string
	scope       []string
	redirectURI string
	challenge   string // of PKCE; empty: none
	nonce       string
	at          time.Time // when somebody signed in
	spent       bool      // its code was presented
	revoked     bool
	current     string // the refresh token that was issued last
}

type bearer struct {
	grant   *grant
	expires time.Time
}

// oauthError is an error in the words of OAuth.
type oauthError struct {
	status            int // of the token endpoint
	code, description string
}

func badRequest(code, description string) *oauthError {
	return &oauthError{http.StatusBadRequest, code, description}
}

// authorization is a request of the authorisation endpoint (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1).
type authorization struct {
	client      Client
	redirectURI string
	state       string
	mode        string // query or form_post
	hybrid      bool   // an id token comes with the code
	scope       []string
	challenge   string
	nonce       string
}

// serveAuthorization asks a person for an account, and sends the browser back. A POST is the answer of the page.
func (p *Provider) serveAuthorization(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	client, known := p.client(q.Get("client_id"))
	p.mu.Unlock()
	// Whoever cannot be trusted with a redirect gets none (RFC 6749 §4.1.2.1).
	switch {
	case !known || len(q["client_id"]) > 1:
		p.showError(w, "The parameter client_id is not the id of a client.")
		return
	case len(q["redirect_uri"]) != 1 || !slices.Contains(client.RedirectURIs, q.Get("redirect_uri")):
		p.showError(w, "The parameter redirect_uri is not one that the client has registered.")
		return
	}
	a, oops := readAuthorization(client, q)
	if oops != nil {
		p.sendBackError(w, a, oops.code, oops.description)
		return
	}
	if r.Method == http.MethodPost && r.PostForm.Has("cancel") {
		p.sendBackError(w, a, "access_denied", "The person has cancelled.")
		return
	}
	account, accounts, ok := p.choose(r)
	switch {
	case ok:
		p.sendBack(w, a, account)
	case q.Get("prompt") == "none":
		p.sendBackError(w, a, "login_required", "Nobody is signed in.")
	default:
		p.showAccounts(w, a.client.ID, accounts)
	}
}

// choose returns the account that somebody chose, or is signed in with, and otherwise those to choose from.
func (p *Provider) choose(r *http.Request) (account Account, accounts []Account, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Method == http.MethodPost {
		account, ok = p.account(r.PostForm.Get("account"))
		return account, slices.Clone(p.accounts), ok
	}
	q := r.URL.Query()
	if prompt := q.Get("prompt"); prompt != "" && prompt != "none" {
		return account, slices.Clone(p.accounts), false
	}
	if hint := q.Get("login_hint"); hint != "" {
		i := slices.IndexFunc(p.accounts, func(a Account) bool {
			return a.Subject == hint || a.Email != "" && emailaddr.Same(a.Email, hint)
		})
		if i >= 0 {
			return p.accounts[i], nil, true
		}
	}
	account, ok = p.account(p.signedIn)
	return account, slices.Clone(p.accounts), ok
}

// readAuthorization checks a request. With an error it returns as much of the request as it takes to send that back.
func readAuthorization(client Client, q url.Values) (authorization, *oauthError) {
	a := authorization{
		client: client, redirectURI: q.Get("redirect_uri"), state: q.Get("state"), mode: "query",
		scope: strings.Fields(q.Get("scope")), challenge: q.Get("code_challenge"), nonce: q.Get("nonce"),
	}
	if q.Get("response_mode") == "form_post" {
		a.mode = "form_post"
	}
	for name, values := range q {
		if len(values) > 1 { // RFC 6749 §3.1
			return a, badRequest("invalid_request", "The parameter "+name+" comes more than once.")
		}
	}
	types := strings.Fields(q.Get("response_type"))
	slices.Sort(types)
	switch strings.Join(types, " ") {
	case "code":
	case "code id_token":
		a.hybrid = true
	case "":
		return a, badRequest("invalid_request", "The parameter response_type is missing.")
	default:
		return a, badRequest("unsupported_response_type", "The response types are code, and code id_token.")
	}
	switch mode := q.Get("response_mode"); {
	case mode != "" && mode != "query" && mode != "form_post":
		return a, badRequest("invalid_request", "The response modes are query and form_post.")
	case a.hybrid && a.mode != "form_post": // OAuth 2.0 Multiple Response Types §5
		return a, badRequest("invalid_request", "An id token does not go into a query.")
	case q.Has("request"):
		return a, badRequest("request_not_supported", "Request objects are not supported.")
	case q.Has("request_uri"):
		return a, badRequest("request_uri_not_supported", "Request objects are not supported.")
	case client.Apple != nil:
		if len(a.scope) > 0 && a.mode != "form_post" {
			return a, badRequest("invalid_request", "The response mode must be form_post when a scope is asked for.")
		}
	case a.hybrid && !slices.Contains(a.scope, "openid"):
		return a, badRequest("invalid_scope", "An id token needs the scope openid.")
	case a.hybrid && a.nonce == "": // OpenID Connect Core §3.3.2.11
		return a, badRequest("invalid_request", "An id token needs a nonce.")
	}
	for _, scope := range a.scope {
		if client.Scopes != nil && !slices.Contains(client.Scopes, scope) {
			return a, badRequest("invalid_scope", "The client may not ask for one of the scopes.")
		}
	}
	return a, checkChallenge(client, q)
}

// checkChallenge checks what is sent of PKCE (RFC 7636 §4.3). The method plain is none (RFC 9700 §2.1.1), and it is what no
// method stands for.
func checkChallenge(client Client, q url.Values) *oauthError {
	switch challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method"); {
	case challenge == "" && method != "":
		return badRequest("invalid_request", "The parameter code_challenge is missing.")
	case challenge == "" && (client.RequirePKCE || client.Public):
		return badRequest("invalid_request", "A code challenge is required.")
	case challenge == "":
		return nil
	case method != "S256":
		return badRequest("invalid_request", "The code challenge method must be S256.")
	default:
		if sum, err := base64.RawURLEncoding.DecodeString(challenge); err != nil || len(sum) != sha256.Size {
			return badRequest("invalid_request", "The code challenge is not base64url of a SHA-256.")
		}
		return nil
	}
}

// sendBack sends the browser back with a code.
func (p *Provider) sendBack(w http.ResponseWriter, a authorization, account Account) {
	p.mu.Lock()
	g := &grant{
		client: a.client, subject: account.Subject, scope: a.scope, redirectURI: a.redirectURI,
		challenge: a.challenge, nonce: a.nonce, at: p.now(),
	}
	code := rand.Text()
	p.codes[code] = g
	values := url.Values{"code": {code}}
	var token *IDToken
	var err error
	if a.hybrid {
		token, err = p.draftIDToken(g, account, a.nonce, map[string]string{"c_hash": code})
	}
	if consent := [2]string{a.client.ID, account.Subject}; a.client.Apple != nil && !p.consents[consent] {
		p.consents[consent] = true
		if user := appleUser(account, a.scope); user != "" {
			values.Set("user", user)
		}
	}
	p.mu.Unlock()
	if err == nil && token != nil {
		var signed string
		signed, err = token.sign()
		values.Set("id_token", signed)
	}
	if err != nil {
		p.sendBackError(w, a, "server_error", err.Error())
		return
	}
	p.finish(w, a, values)
}

func (p *Provider) sendBackError(w http.ResponseWriter, a authorization, code, description string) {
	p.finish(w, a, url.Values{"error": {code}, "error_description": {description}})
}

// finish adds what every answer has, lets faults have their way, and sends the browser back.
func (p *Provider) finish(w http.ResponseWriter, a authorization, values url.Values) {
	if a.state != "" {
		values.Set("state", a.state)
	}
	if a.client.Apple == nil {
		values.Set("iss", p.Issuer()) // RFC 9207 §2
	}
	p.amendCallback(Authorization, values)
	if a.mode == "form_post" {
		p.showForm(w, a.redirectURI, values)
		return
	}
	redirectWith(w, a.redirectURI, values)
}

// redirectWith adds to the query that a redirect URI has (RFC 6749 §3.1.2).
func redirectWith(w http.ResponseWriter, redirectURI string, values url.Values) {
	if added := values.Encode(); added != "" {
		glue := "?"
		if strings.Contains(redirectURI, "?") {
			glue = "&"
		}
		redirectURI += glue + added
	}
	h := w.Header()
	h.Set("Location", redirectURI)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther) // and no other, where the browser has posted something (RFC 9700 §4.12)
}

// serveToken is the token endpoint (RFC 6749 §3.2).
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	answer, oops := p.token(r)
	if token, ok := answer["id_token"].(*IDToken); ok {
		signed, err := token.sign()
		if err != nil {
			oops = &oauthError{http.StatusInternalServerError, "server_error", err.Error()}
		}
		answer["id_token"] = signed
	}
	if oops == nil {
		answerJSON(w, http.StatusOK, answer)
		return
	}
	if oops.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="clients"`)
	}
	refuse(w, oops.status, oops.code, oops.description)
}

func (p *Provider) token(r *http.Request) (map[string]any, *oauthError) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("invalid_request", "The body is not a form.")
	}
	if r.URL.RawQuery != "" { // RFC 6749 §2.3.1: credentials must not be in the URL
		return nil, badRequest("invalid_request", "There are parameters in the URL.")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, badRequest("invalid_request", "The parameter "+name+" comes more than once.")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	client, oops := p.authenticateClient(r)
	if oops != nil {
		return nil, oops
	}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		return p.redeemCode(client, r.PostForm)
	case "refresh_token":
		return p.redeemRefreshToken(client, r.PostForm)
	case "":
		return nil, badRequest("invalid_request", "The parameter grant_type is missing.")
	default:
		return nil, badRequest("unsupported_grant_type", "The grant types are authorization_code and refresh_token.")
	}
}

// authenticateClient needs the lock. It says which client asks (RFC 6749 §2.3).
func (p *Provider) authenticateClient(r *http.Request) (Client, *oauthError) {
	invalid := &oauthError{http.StatusUnauthorized, "invalid_client", "The client is not known, or not by this."}
	id, secret, method := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), "client_secret_post"
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		if !ok {
			return Client{}, invalid
		}
		if secret != "" {
			return Client{}, badRequest("invalid_request", "The client proves itself twice.")
		}
		// Both are encoded as in a form before they become a user and a password (RFC 6749 §2.3.1).
		name, errName := url.QueryUnescape(user)
		pass, errPass := url.QueryUnescape(password)
		if errName != nil || errPass != nil || id != "" && id != name {
			return Client{}, invalid
		}
		id, secret, method = name, pass, "client_secret_basic"
	}
	client, ok := p.client(id)
	switch {
	case !ok, client.AuthMethod != "" && client.AuthMethod != method:
		return Client{}, invalid
	case client.Apple != nil:
		if method != "client_secret_post" {
			return Client{}, invalid
		}
		if err := client.Apple.check(secret, client.ID, p.issuer, p.now()); err != nil {
			return Client{}, &oauthError{http.StatusUnauthorized, "invalid_client", err.Error()}
		}
	case client.Public:
		if secret != "" {
			return Client{}, invalid
		}
	case subtle.ConstantTimeCompare([]byte(secret), []byte(client.Secret)) != 1:
		return Client{}, invalid
	}
	return client, nil
}

// redeemCode needs the lock. A code is spent by the first request of its client, right or wrong, and a second one ends what the
// first has got (RFC 6749 §4.1.2, §10.5).
func (p *Provider) redeemCode(client Client, form url.Values) (map[string]any, *oauthError) {
	g, ok := p.codes[form.Get("code")]
	verifier := form.Get("code_verifier")
	switch {
	case !form.Has("code"):
		return nil, badRequest("invalid_request", "The parameter code is missing.")
	case !ok || g.client.ID != client.ID:
		return nil, badRequest("invalid_grant", "There is no such code of this client.")
	case g.spent:
		g.revoked = true
		return nil, badRequest("invalid_grant", "The code was used before.")
	}
	g.spent = true
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case p.now().Sub(g.at) >= codeLife:
		return nil, badRequest("invalid_grant", "The code has expired.")
	case form.Get("redirect_uri") != g.redirectURI:
		return nil, badRequest("invalid_grant", "The redirect_uri is not the one of the authorization.")
	case g.challenge == "" && verifier != "": // RFC 9700 §2.1.1: somebody has taken the challenge away
		return nil, badRequest("invalid_grant", "There is a code verifier and was no challenge.")
	case g.challenge != "" && (!isVerifier(verifier) || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge):
		return nil, badRequest("invalid_grant", "The code verifier does not match.")
	}
	return p.issue(g, g.nonce, true)
}

// isVerifier reports whether s has the form of a code verifier (RFC 7636 §4.1).
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool { return !isUnreserved(r) }) < 0
}

func isUnreserved(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~", r)
}

// redeemRefreshToken needs the lock (RFC 6749 §6).
func (p *Provider) redeemRefreshToken(client Client, form url.Values) (map[string]any, *oauthError) {
	token := form.Get("refresh_token")
	g, ok := p.refreshes[token]
	switch {
	case token == "":
		return nil, badRequest("invalid_request", "The parameter refresh_token is missing.")
	case !ok || g.client.ID != client.ID || g.revoked:
		return nil, badRequest("invalid_grant", "There is no such refresh token of this client, or no longer.")
	case g.current != token && !client.KeepRefreshToken:
		g.revoked = true
		return nil, badRequest("invalid_grant", "The refresh token was used before.")
	}
	asked := strings.Fields(form.Get("scope"))
	for _, scope := range asked {
		if !slices.Contains(g.scope, scope) {
			return nil, badRequest("invalid_scope", "The scope is more than what was granted.")
		}
	}
	return p.issue(g, "", !client.KeepRefreshToken) // OpenID Connect Core §12.2: no nonce
}

// issue needs the lock. It answers with tokens (RFC 6749 §5.1).
func (p *Provider) issue(g *grant, nonce string, refresh bool) (map[string]any, *oauthError) {
	account, ok := p.account(g.subject)
	if !ok {
		return nil, badRequest("invalid_grant", "There is no such account.")
	}
	token := rand.Text()
	p.bearers[token] = bearer{g, p.now().Add(bearerLife)}
	answer := map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(bearerLife.Seconds()),
	}
	if len(g.scope) > 0 {
		answer["scope"] = strings.Join(g.scope, " ")
	}
	if refresh && !g.client.NoRefreshToken {
		g.current = rand.Text()
		p.refreshes[g.current] = g
		answer["refresh_token"] = g.current
	}
	if slices.Contains(g.scope, "openid") || g.client.Apple != nil {
		draft, err := p.draftIDToken(g, account, nonce, map[string]string{"at_hash": token})
		if err != nil {
			return nil, &oauthError{http.StatusInternalServerError, "server_error", err.Error()}
		}
		answer["id_token"] = draft // to be signed by serveToken
	}
	return answer, nil
}

// RevokeTokens ends all that an account has consented to, codes and tokens, as its owner can.
func (p *Provider) RevokeTokens(a Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range maps.Values(p.codes) {
		if g.subject == a.Subject {
			g.spent, g.revoked = true, true
		}
	}
	maps.DeleteFunc(p.v1.tokens, func(_ string, token *v1Token) bool { return token.subject == a.Subject })
}
