package fakeidp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// idTokenLife is the life of an id token.
const idTokenLife = 10 * time.Minute

// keyPair is a key that a [Provider] signs with. Names count up from "1" at every provider: that two have keys of the same name says
// nothing about the keys.
type keyPair struct {
	kid     string
	private crypto.Signer
}

// RotateKey makes the provider sign with a new key from now on: for "RS256", which is what it begins with, "ES256" or "EdDSA".
// The older keys stay in the key set until [Provider.DropOldKeys]. Any other algorithm is an error.
func (p *Provider) RotateKey(algorithm string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rotateTo(func() (crypto.Signer, error) { return generateKey(algorithm) })
}

// RotateToWeakKey makes the provider sign with a key that is too short: RSA of 1024 bits (RFC 7518 §3.3).
func (p *Provider) RotateToWeakKey() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rotateTo(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) })
}

// DropOldKeys takes all keys but the one that signs out of the key set.
func (p *Provider) DropOldKeys() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[max(0, len(p.keys)-1):]
}

// rotateTo needs the lock.
func (p *Provider) rotateTo(generate func() (crypto.Signer, error)) error {
	if _, err := p.signingKey(); err != nil {
		return err
	}
	private, err := generate()
	if err != nil {
		return fmt.Errorf("identity provider: %w", err)
	}
	p.kids++
	p.keys = append(p.keys, keyPair{strconv.Itoa(p.kids), private})
	return nil
}

// signingKey needs the lock. It makes the first key when somebody asks for it: many tests have no id tokens, and RSA keys take
// their time.
func (p *Provider) signingKey() (keyPair, error) {
	if len(p.keys) == 0 {
		private, err := generateKey("RS256")
		if err != nil {
			return keyPair{}, fmt.Errorf("identity provider: %w", err)
		}
		p.kids = 1
		p.keys = []keyPair{{"1", private}}
	}
	return p.keys[len(p.keys)-1], nil
}

func generateKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "RS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return nil, fmt.Errorf("there is no algorithm %q", algorithm)
	}
}

// serveDiscovery answers with OpenID Connect Discovery §3.
func (p *Provider) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	issuer := p.Issuer()
	answerJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         issuer + Authorization,
		"token_endpoint":                                 issuer + Token,
		"userinfo_endpoint":                              issuer + Userinfo,
		"jwks_uri":                                       issuer + Keys,
		"response_types_supported":                       []string{"code", "code id_token"},
		"response_modes_supported":                       []string{"query", "form_post"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "ES256", "EdDSA"},
		"scopes_supported":                               []string{"openid", "email", "profile", "offline_access"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
		"claims_supported":                               []string{"sub", "email", "email_verified", "name", "picture"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"request_uri_parameter_supported":                false,
	})
}

// serveKeys answers with the key set (RFC 7517 §5).
func (p *Provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	set, err := p.keySet(false)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", err.Error())
		return
	}
	answerJSON(w, http.StatusOK, set)
}

type jwkSet struct {
	Keys []map[string]string `json:"keys"`
}

func (p *Provider) keySet(private bool) (jwkSet, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.signingKey(); err != nil {
		return jwkSet{}, err
	}
	var set jwkSet
	for _, key := range p.keys {
		jwk, err := key.jwk(private)
		if err != nil {
			return jwkSet{}, err
		}
		set.Keys = append(set.Keys, jwk)
	}
	return set, nil
}

// jwk is a key as a JSON Web Key (RFC 7518 §6, RFC 8037 §2). It is not of package jwks, which never writes a weak or a private
// one.
func (k keyPair) jwk(private bool) (map[string]string, error) {
	jwk := map[string]string{"kid": k.kid, "use": "sig"}
	var secret []byte
	switch key := k.private.(type) {
	case *rsa.PrivateKey:
		e := bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, uint64(key.E)), "\x00")
		jwk["kty"], jwk["alg"], jwk["n"], jwk["e"] = "RSA", "RS256", base64.RawURLEncoding.EncodeToString(key.N.Bytes()), base64.RawURLEncoding.EncodeToString(e)
		secret = key.D.Bytes()
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return nil, fmt.Errorf("identity provider: %w", err)
		}
		if secret, err = key.Bytes(); err != nil {
			return nil, fmt.Errorf("identity provider: %w", err)
		}
		jwk["kty"], jwk["crv"], jwk["alg"] = "EC", "P-256", "ES256"
		jwk["x"], jwk["y"] = base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
	case ed25519.PrivateKey:
		jwk["kty"], jwk["crv"], jwk["alg"] = "OKP", "Ed25519", "EdDSA"
		jwk["x"] = base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		secret = key.Seed()
	}
	if private {
		jwk["d"] = base64.RawURLEncoding.EncodeToString(secret)
	}
	return jwk, nil
}

// claims are what userinfo says of an account (OpenID Connect Core §5.1, §5.4). A nil scope covers all.
func (a Account) claims(scope []string) map[string]any {
	covers := func(name string) bool { return scope == nil || slices.Contains(scope, name) }
	claims := map[string]any{"sub": a.Subject}
	if a.Email != "" && covers("email") {
		claims["email"], claims["email_verified"] = a.Email, a.EmailVerified
	}
	if a.Name != "" && covers("profile") {
		claims["name"] = a.Name
	}
	if a.Picture != "" && covers("profile") {
		claims["picture"] = a.Picture
	}
	maps.Copy(claims, a.Extra)
	return claims
}

// serveUserinfo answers with the claims of the account of an access token (OpenID Connect Core §5.3).
func (p *Provider) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	account, scope, err := p.authenticate(r)
	if err != nil {
		p.challenge(w, err)
		return
	}
	if !slices.Contains(scope, "openid") {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="openid"`)
		refuse(w, http.StatusForbidden, "insufficient_scope", "The scope is not openid.")
		return
	}
	answerJSON(w, http.StatusOK, account.claims(scope))
}

// IDToken is an id token that a [Provider] is about to sign. A lie changes it:
//
//	token := idp.IDToken(t, ada, func(token *fakeidp.IDToken) { token.Claims["aud"] = "somebody else" })
//
// What a lie leaves alone stays honest. The lies that are wanted most often have names, such as [LieExpired].
type IDToken struct {
	// Header has alg, kid and typ. What it says in alg does not change how the token is signed.
	Header map[string]any
	// Claims are marshalled to JSON.
	Claims map[string]any
	// Key signs: an *rsa.PrivateKey with RS256, an *ecdsa.PrivateKey over P-256 with ES256, an ed25519.PrivateKey, a []byte with
	// HS256, and nil not at all.
	Key any

	lies []func(*IDToken)
}

// IDToken returns an id token, as an app on a device gets it from a provider: for the first client that was registered, and
// without a nonce unless one is given:
//
//	token := idp.IDToken(t, ada, fakeidp.For(client), fakeidp.Claim("nonce", nonce))
//
// One that cannot be made fails the test at once.
func (p *Provider) IDToken(t testing.TB, account Account, lies ...func(*IDToken)) string {
	t.Helper()
	p.mu.Lock()
	g := &grant{at: p.now()}
	if len(p.clients) > 0 {
		g.client = p.clients[0]
	}
	token, err := p.draftIDToken(g, account, "", nil)
	p.mu.Unlock()
	var signed string
	if err == nil {
		token.lies = append(token.lies, lies...)
		signed, err = token.sign()
	}
	if err != nil {
		t.Fatalf("fakeidp: %v", err)
	}
	return signed
}

// For makes an id token one for a client, or several: of these the first is the one that has asked, in azp (OpenID
// Connect Core §2).
func For(clients ...Client) func(*IDToken) {
	return func(token *IDToken) {
		audience := make([]string, len(clients))
		for i, c := range clients {
			audience[i] = c.ID
		}
		delete(token.Claims, "azp")
		token.Claims["aud"] = audience
		if len(audience) > 0 {
			token.Claims["azp"] = audience[0]
		}
		if len(audience) == 1 {
			token.Claims["aud"] = audience[0]
		}
	}
}

// Claim gives a claim a value, of any type.
func Claim(name string, value any) func(*IDToken) {
	return func(token *IDToken) { token.Claims[name] = value }
}

// Without leaves claims out.
func Without(names ...string) func(*IDToken) {
	return func(token *IDToken) {
		for _, name := range names {
			delete(token.Claims, name)
		}
	}
}

// draftIDToken needs the lock. hashes are claims that bind the token to what comes with it (OpenID Connect Core §3.3.2.11).
func (p *Provider) draftIDToken(g *grant, account Account, nonce string, hashes map[string]string) (*IDToken, error) {
	key, err := p.signingKey()
	if err != nil {
		return nil, err
	}
	now := p.now()
	scope := g.scope
	if g.client.Apple != nil { // which has no scope openid, and asks for the name elsewhere
		scope = []string{"email"}
	}
	claims := map[string]any{
		"iss": p.issuer, "aud": g.client.ID, "auth_time": g.at.Unix(),
		"iat": now.Unix(), "exp": now.Add(idTokenLife).Unix(),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	for name, of := range hashes {
		claims[name] = halfHash(key.private, of)
	}
	maps.Copy(claims, account.claims(scope))
	token := &IDToken{
		Header: map[string]any{"alg": methodOf(key.private).Alg(), "kid": key.kid, "typ": "JWT"},
		Claims: claims, Key: key.private,
		lies: slices.Concat(p.lies, p.liesOnce),
	}
	p.liesOnce = nil
	return token, nil
}

// halfHash is the first half of the hash of the algorithm of a key, as at_hash and c_hash have it.
func halfHash(key crypto.Signer, of string) string {
	if _, ok := key.(ed25519.PrivateKey); ok {
		sum := sha512.Sum512([]byte(of))
		return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	}
	sum := sha256.Sum256([]byte(of))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// methodOf returns how a key signs.
func methodOf(key any) jwt.SigningMethod {
	switch key.(type) {
	case *rsa.PrivateKey:
		return jwt.SigningMethodRS256
	case *ecdsa.PrivateKey:
		return jwt.SigningMethodES256
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA
	case []byte:
		return jwt.SigningMethodHS256
	default:
		return nil
	}
}

// sign tells the lies and signs. It needs the provider not to be locked: a lie may ask it for something.
func (token *IDToken) sign() (string, error) {
	for _, lie := range token.lies {
		lie(token)
	}
	header, err := json.Marshal(token.Header)
	if err != nil {
		return "", fmt.Errorf("header of the id token: %w", err)
	}
	claims, err := json.Marshal(token.Claims)
	if err != nil {
		return "", fmt.Errorf("claims of the id token: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	if token.Key == nil {
		return signed + ".", nil
	}
	if err, ok := token.Key.(error); ok { // of a lie
		return "", err
	}
	method := methodOf(token.Key)
	if method == nil {
		return "", fmt.Errorf("a %T does not sign id tokens", token.Key)
	}
	signature, err := method.Sign(signed, token.Key)
	if err != nil {
		return "", fmt.Errorf("signature of the id token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
