package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ostiary/auth/internal/jwks"
	"github.com/ostiary/auth/internal/seal"
	"github.com/ostiary/auth/internal/strictjson"
	"github.com/ostiary/auth/store"
)

// The claims of an access token outside the namespace.
var registeredClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "auth_time", "amr", "acr"}

// The claims inside the namespace that only the engine sets.
const (
	claimUserID       = "x-hasura-user-id"
	claimDefaultRole  = "x-hasura-default-role"
	claimAllowedRoles = "x-hasura-allowed-roles"
	claimIsAnonymous  = "x-hasura-user-is-anonymous"
	claimElevated     = "x-hasura-auth-elevated"
)

// Keys is the set of keys for access tokens.
type Keys struct {
	// Active signs.
	Active Key
	// Next are published and accepted, and do not sign yet: services that cache the key set learn of them in time.
	Next []Key
	// Retired are published and accepted, and sign no more.
	Retired []Key
}

func (k Keys) empty() bool {
	return k.Active.Algorithm == "" && len(k.Next) == 0 && len(k.Retired) == 0
}

// Key signs access tokens, or only verifies them. Its algorithm is part of it: a token that names another one is not
// verified with it (RFC 8725 §3.1).
type Key struct {
	// ID is the "kid". The default is the RFC 7638 thumbprint; a symmetric key has none unless one is given. No two keys
	// of a set have the same.
	ID string
	// Algorithm is HS256, HS384, HS512, RS256, RS384, RS512, ES256 or EdDSA (Ed25519).
	Algorithm string
	// Secret is the key for HS algorithms, at least as long as the hash (RFC 7518 §3.2).
	Secret Secret
	// Private is the key for the others: RSA of at least 2048 bits, ECDSA on P-256, Ed25519. It may live elsewhere and
	// only sign.
	Private crypto.Signer
	// Public stands in for Private where a key only verifies.
	Public crypto.PublicKey
	// RetiredAt, on a retired key, is when it signed last. It leaves the set one token lifetime later. Zero keeps it
	// until the configuration drops it.
	RetiredAt time.Time
}

// keySet is a checked [Keys]. It is never changed.
type keySet struct {
	active *key
	all    []*key
}

type key struct {
	id, algorithm string
	method        jwt.SigningMethod
	hash          crypto.Hash // zero for EdDSA
	private       crypto.Signer
	verifier      any // what method.Verify takes
	header        string
	until         time.Time // zero for ever
	jwk           jwks.JWK  // unless symmetric
	symmetric     bool
}

// SetKeys replaces the key set, at once and for all calls that begin after it: the way to rotate keys without a
// restart. Keep the former active key among the retired ones.
//
// It reports every mistake at once: a key that is too short, not of its algorithm, on another curve, or not of its
// public half, and two keys with one id.
func (e *Engine) SetKeys(keys Keys) error {
	var m mistakes
	set := &keySet{}
	add := func(field string, k Key, signs bool) *key {
		c, err := compileKey(k, signs)
		if err != nil {
			m.add("AccessTokens.Keys."+field, "%v", err)
			return nil
		}
		for _, other := range set.all {
			if c.id != "" && c.id == other.id {
				m.add("AccessTokens.Keys."+field, "has the id of another key")
			}
		}
		if !k.RetiredAt.IsZero() {
			c.until = k.RetiredAt.Add(e.config.AccessTokens.Lifetime)
		}
		set.all = append(set.all, c)
		return c
	}
	set.active = add("Active", keys.Active, true)
	for i, k := range keys.Next {
		add(fmt.Sprintf("Next[%d]", i), k, false)
	}
	for i, k := range keys.Retired {
		add(fmt.Sprintf("Retired[%d]", i), k, false)
	}
	if err := errors.Join(m...); err != nil {
		return err
	}
	e.keys.Store(set)
	return nil
}

func compileKey(k Key, signs bool) (*key, error) {
	c := &key{id: k.ID, algorithm: k.Algorithm, private: k.Private, method: jwt.GetSigningMethod(k.Algorithm)}
	public := k.Public
	if k.Private != nil {
		public = k.Private.Public()
		if p, ok := public.(interface{ Equal(crypto.PublicKey) bool }); ok && k.Public != nil && !p.Equal(k.Public) {
			return nil, errors.New("has a Public that is not the public half of Private")
		}
	}
	var err error
	switch method := c.method.(type) {
	case *jwt.SigningMethodHMAC:
		c.symmetric, c.verifier, c.hash = true, []byte(k.Secret), method.Hash
		if k.Private != nil || k.Public != nil {
			err = errors.New("has an asymmetric key and a symmetric algorithm")
		} else if len(k.Secret) < method.Hash.Size() {
			err = fmt.Errorf("%s needs a Secret of at least %d bytes and has %d", k.Algorithm, method.Hash.Size(), len(k.Secret))
		}
	case *jwt.SigningMethodRSA:
		c.hash = method.Hash
		if p, ok := public.(*rsa.PublicKey); ok {
			c.verifier = p
		} else {
			err = fmt.Errorf("%s needs an RSA key and has %T", k.Algorithm, public)
		}
	case *jwt.SigningMethodECDSA:
		c.hash = method.Hash
		if p, ok := public.(*ecdsa.PublicKey); ok && k.Algorithm == "ES256" {
			c.verifier = p
		} else {
			err = fmt.Errorf("%s with %T is not supported; ECDSA is ES256 with P-256", k.Algorithm, public)
		}
	case *jwt.SigningMethodEd25519:
		if p, ok := public.(ed25519.PublicKey); ok {
			c.verifier = p
		} else {
			err = fmt.Errorf("EdDSA needs an Ed25519 key and has %T", public)
		}
	default:
		err = fmt.Errorf("algorithm %q is not one of HS256, HS384, HS512, RS256, RS384, RS512, ES256, EdDSA", k.Algorithm)
	}
	switch {
	case err != nil:
		return nil, err
	case !c.symmetric && len(k.Secret) > 0:
		return nil, errors.New("has a symmetric key and an asymmetric algorithm")
	case !c.symmetric && signs && k.Private == nil:
		return nil, errors.New("a key that signs needs Private")
	}
	if !c.symmetric {
		if c.id == "" {
			if c.id, err = jwks.Thumbprint(public); err != nil {
				return nil, err
			}
		}
		if c.jwk, err = jwks.PublicJWK(public, c.id, c.algorithm); err != nil {
			return nil, err
		}
	}
	header := map[string]string{"alg": c.algorithm, "typ": "JWT"}
	if c.id != "" {
		header["kid"] = c.id
	}
	h, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	c.header = base64.RawURLEncoding.EncodeToString(h)
	return c, nil
}

// derivedKeys are the keys of an engine that was given none: Ed25519, from its secrets.
func derivedKeys(box *seal.Box) Keys {
	var keys Keys
	for i, seed := range box.Subkeys("access token Ed25519", ed25519.SeedSize) {
		k := Key{Algorithm: "EdDSA", Private: ed25519.NewKeyFromSeed(seed)}
		if i == 0 {
			keys.Active = k
		} else {
			keys.Retired = append(keys.Retired, k)
		}
	}
	return keys
}

// KeySet returns the public keys that verify this engine's access tokens, as a JSON Web Key Set (RFC 7517 §5).
// Symmetric keys are not in it; it is never without the member "keys".
func (e *Engine) KeySet() json.RawMessage {
	var set jwks.Set
	now := e.now()
	for _, k := range e.keys.Load().all {
		if !k.symmetric && k.live(now) {
			set = append(set, k.jwk)
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic(err) // a set of strings
	}
	return text
}

func (k *key) live(now time.Time) bool { return k.until.IsZero() || now.Before(k.until) }

// sign makes an access token for a user's session.
func (e *Engine) sign(ctx context.Context, u *store.User, s *store.Session, elevated bool) (string, error) {
	custom, err := e.customClaims(ctx, u)
	if err != nil {
		return "", err
	}
	c := &e.config.AccessTokens
	now := e.now()
	id := u.ID.String()
	var jti [16]byte
	rand.Read(jti[:]) //nolint:errcheck // never fails; a broken source ends the program

	b := make([]byte, 0, 768)
	b = append(b, `{"sub":"`...)
	b = append(b, id...)
	b = append(b, `","iss":`...)
	b = appendJSON(b, c.Issuer)
	switch len(c.Audience) {
	case 0:
	case 1:
		b = append(b, `,"aud":`...)
		b = appendJSON(b, c.Audience[0])
	default:
		b = append(b, `,"aud":`...)
		b = appendList(b, c.Audience)
	}
	b = append(b, `,"iat":`...)
	b = strconv.AppendInt(b, now.Unix(), 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, now.Add(c.Lifetime).Unix(), 10)
	b = append(b, `,"jti":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, jti[:])
	b = append(b, `","sid":"`...)
	b = append(b, s.ID.String()...)
	b = append(b, `","auth_time":`...)
	b = strconv.AppendInt(b, s.AuthTime.Unix(), 10)
	if len(s.AMR) > 0 {
		b = append(b, `,"amr":`...)
		b = appendList(b, s.AMR)
	}
	b = append(b, ',')
	b = appendJSON(b, c.ClaimsNamespace)
	b = append(b, `:{"`+claimAllowedRoles+`":`...)
	b = appendList(b, u.Roles)
	b = append(b, `,"`+claimDefaultRole+`":`...)
	b = appendJSON(b, u.DefaultRole)
	b = append(b, `,"`+claimUserID+`":"`...)
	b = append(b, id...)
	b = append(b, `","`+claimIsAnonymous+`":"`...)
	b = strconv.AppendBool(b, u.Anonymous)
	b = append(b, '"')
	if elevated {
		b = append(b, `,"`+claimElevated+`":"`...)
		b = append(b, id...)
		b = append(b, '"')
	}
	for _, name := range sortedKeys(custom) {
		b = append(b, ',')
		b = appendJSON(b, name)
		b = append(b, ':')
		b = appendJSON(b, custom[name])
	}
	b = append(b, "}}"...)
	token, err := e.keys.Load().active.sign(b)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return token, nil
}

// sign makes a JWS in compact form (RFC 7515 §7.1).
func (k *key) sign(payload []byte) (string, error) {
	n := len(k.header) + 1 + base64.RawURLEncoding.EncodedLen(len(payload))
	b := make([]byte, 0, n+1+base64.RawURLEncoding.EncodedLen(64))
	b = append(b, k.header...)
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, payload)
	signature, err := k.signature(b)
	if err != nil {
		return "", err
	}
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, signature)), nil
}

func (k *key) signature(input []byte) ([]byte, error) {
	if k.symmetric {
		return k.method.Sign(string(input), k.verifier)
	}
	digest := input
	if k.hash != 0 {
		h := k.hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	signature, err := k.private.Sign(rand.Reader, digest, k.hash)
	if err != nil || k.algorithm != "ES256" {
		return signature, err
	}
	// crypto.Signer gives an ASN.1 SEQUENCE of r and s; JWS wants them side by side (RFC 7518 §3.4).
	var r, s []byte
	der := cryptobyte.String(signature)
	var pair cryptobyte.String
	if !der.ReadASN1(&pair, asn1.SEQUENCE) || !pair.ReadASN1Integer(&r) || !pair.ReadASN1Integer(&s) || len(r) > 32 || len(s) > 32 {
		return nil, errors.New("the signer returned no ECDSA signature")
	}
	raw := make([]byte, 64)
	copy(raw[32-len(r):], r)
	copy(raw[64-len(s):], s)
	return raw, nil
}

const (
	maxToken = 16 << 10 // bytes
	// maxClaim bounds the instants in a token: beyond the year 9999 arithmetic on them is nonsense.
	maxClaim = 253402300799
)

var errToken = errors.New("not an access token of this engine")

// verify checks an access token and everything in it: the form, the key and its algorithm, the signature before
// anything is believed, and then issuer, audience, time and the role claims (RFC 8725 §3).
func (e *Engine) verify(token string) (*Principal, error) {
	// Go's base64 skips line ends, which would give one token many spellings.
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return nil, errToken
	}
	header, rest, ok1 := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.IndexByte(signature, '.') >= 0 {
		return nil, errToken
	}
	now := e.now()
	sig, err := strictBase64.DecodeString(signature)
	if err != nil {
		return nil, errToken
	}
	if !e.keys.Load().verify(header, token[:len(header)+1+len(payload)], sig, now) {
		return nil, errToken
	}
	claims, err := strictBase64.DecodeString(payload)
	if err != nil {
		return nil, errToken
	}
	p, err := e.parseClaims(claims, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return p, nil
}

// strictBase64 refuses the several spellings that a last character can have.
var strictBase64 = base64.RawURLEncoding.Strict()

// verify reports whether a live key of the set made the signature.
func (s *keySet) verify(header, input string, signature []byte, now time.Time) bool {
	// The header is nearly always one that this engine wrote, to the letter.
	for _, k := range s.all {
		if header == k.header && k.live(now) {
			return k.method.Verify(input, signature, k.verifier) == nil
		}
	}
	algorithm, id, ok := parseHeader(header)
	if !ok {
		return false
	}
	for _, k := range s.all {
		// A token without a key id, as other servers issue, may be of any key of its algorithm.
		if k.algorithm == algorithm && (id == "" || k.id == id) && k.live(now) && k.method.Verify(input, signature, k.verifier) == nil {
			return true
		}
	}
	return false
}

// parseHeader accepts a JOSE header with "alg", "typ":"JWT" and perhaps "kid", and nothing else: what a token asks for
// beyond that (jku, jwk, x5u, x5c, crit, zip, b64 …) is never asked for by a token of this engine.
func parseHeader(header string) (algorithm, id string, ok bool) {
	text, err := strictBase64.DecodeString(header)
	if err != nil {
		return "", "", false
	}
	var typ string
	err = strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "alg":
			return textClaim(value, &algorithm)
		case "typ":
			return textClaim(value, &typ)
		case "kid":
			return textClaim(value, &id)
		}
		return errToken
	})
	return algorithm, id, err == nil && typ == "JWT"
}

// parseClaims reads a payload whose signature has been verified.
func (e *Engine) parseClaims(text []byte, now time.Time) (*Principal, error) {
	c := &e.config.AccessTokens
	p := &Principal{}
	var sub, iss, sid string
	var exp, nbf, iat, authTime int64
	var audience []string
	var namespace []byte
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "sub":
			return textClaim(value, &sub)
		case "iss":
			return textClaim(value, &iss)
		case "aud":
			return listClaim(value, &audience, true)
		case "exp":
			return timeClaim(value, &exp)
		case "nbf":
			return timeClaim(value, &nbf)
		case "iat":
			return timeClaim(value, &iat)
		case "jti":
			return textClaim(value, &p.TokenID)
		case "sid":
			return textClaim(value, &sid)
		case "auth_time":
			return timeClaim(value, &authTime)
		case "amr":
			return listClaim(value, &p.AMR, false)
		case c.ClaimsNamespace:
			namespace = value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Replicas may disagree on the time by a little, which matters for tokens that have just been issued; an expired
	// one has had its time.
	skewed := now.Add(clockSkew).Unix()
	switch {
	case iss != c.Issuer:
		return nil, errors.New("another issuer")
	case exp == 0 || now.Unix() >= exp:
		return nil, errors.New("expired")
	case iat > skewed || nbf > skewed:
		return nil, errors.New("not yet valid")
	case len(c.Audience) > 0 && !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(c.Audience, a) }):
		return nil, errors.New("another audience")
	}
	if p.UserID, err = parseID(sub); err != nil {
		return nil, fmt.Errorf("sub: %w", err)
	}
	if sid != "" {
		if p.SessionID, err = parseID(sid); err != nil {
			return nil, fmt.Errorf("sid: %w", err)
		}
	}
	p.Expires = time.Unix(exp, 0).UTC()
	if authTime > 0 {
		p.AuthTime = time.Unix(authTime, 0).UTC()
	}
	return p, p.parseRoles(namespace, sub)
}

// parseRoles reads the claims in the namespace.
func (p *Principal) parseRoles(text []byte, sub string) error {
	var userID, elevated, anonymous string
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case claimUserID:
			return textClaim(value, &userID)
		case claimDefaultRole:
			return textClaim(value, &p.DefaultRole)
		case claimAllowedRoles:
			return listClaim(value, &p.Roles, false)
		case claimIsAnonymous:
			return textClaim(value, &anonymous)
		case claimElevated:
			// Only the documented form says something: the user's own id, as a string.
			if textClaim(value, &elevated) != nil {
				elevated = ""
			}
			return nil
		}
		var custom string
		if textClaim(value, &custom) == nil {
			if p.Claims == nil {
				p.Claims = make(map[string]string)
			}
			p.Claims[string(name)] = custom
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case userID != sub:
		return errors.New("sub and " + claimUserID + " differ")
	case p.DefaultRole == "":
		return errors.New("no " + claimDefaultRole)
	}
	p.Anonymous, p.Elevated = anonymous == "true", elevated == sub
	return nil
}

// parseID accepts a UUID in its one canonical form.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return id, err
	}
	if text, err := id.MarshalText(); err != nil || string(text) != s {
		return id, errors.New("not in canonical form")
	}
	return id, nil
}

// textClaim reads a JSON string.
func textClaim(value []byte, into *string) error {
	if len(value) < 2 || value[0] != '"' {
		return errors.New("not a string")
	}
	for _, c := range value {
		if c == '\\' {
			return json.Unmarshal(value, into)
		}
	}
	*into = string(value[1 : len(value)-1])
	return nil
}

// listClaim reads a JSON array of strings, or where lone is set a single string.
func listClaim(value []byte, into *[]string, lone bool) error {
	if lone && len(value) > 0 && value[0] == '"' {
		*into = make([]string, 1)
		return textClaim(value, &(*into)[0])
	}
	if len(value) == 0 || value[0] != '[' {
		return errors.New("not a list")
	}
	return strictjson.Elements(value, func(element []byte) error {
		var s string
		if err := textClaim(element, &s); err != nil {
			return err
		}
		*into = append(*into, s)
		return nil
	})
}

// timeClaim reads a NumericDate (RFC 7519 §2). A fraction of a second is cut off.
func timeClaim(value []byte, into *int64) error {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(value), 64)
		if err != nil || math.IsNaN(f) || math.Abs(f) > maxClaim {
			return errors.New("not a time")
		}
		n = int64(f)
	}
	if n < 0 || n > maxClaim {
		return errors.New("not a time")
	}
	*into = n
	return nil
}

// appendJSON appends s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, s)
	}
	return append(b, ']')
}

func sortedKeys(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ParseHasuraJWTSecret reads the key configuration that Hasura and the documented server share, a JSON object with the
// members type, key, signing_key, kid, issuer and claims_namespace, into a configuration for access tokens. For HS
// types key is the secret; for the others key is the public key and signing_key the private one, both in PEM, where a
// line end may be written as \n. Other members are ignored.
func ParseHasuraJWTSecret(text string) (AccessTokensConfig, error) {
	var s struct {
		Type            string `json:"type"`
		Key             string `json:"key"`
		SigningKey      string `json:"signing_key"`
		KeyID           string `json:"kid"`
		Issuer          string `json:"issuer"`
		ClaimsNamespace string `json:"claims_namespace"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		// The decoder's own words may quote the secret.
		return AccessTokensConfig{}, errors.New("auth: JWT secret: not a JSON object with string members")
	}
	c := AccessTokensConfig{Issuer: s.Issuer, ClaimsNamespace: s.ClaimsNamespace}
	k := Key{ID: s.KeyID, Algorithm: s.Type}
	if s.Type == "Ed25519" { // Hasura's name for it
		k.Algorithm = "EdDSA"
	}
	if strings.HasPrefix(s.Type, "HS") {
		k.Secret = Secret(s.Key)
	} else {
		var err error
		if k.Private, err = jwks.ParsePrivatePEM([]byte(s.SigningKey)); err != nil {
			return c, fmt.Errorf("auth: JWT secret: signing_key: %w", err)
		}
		if s.Key != "" {
			if k.Public, err = jwks.ParsePublicPEM([]byte(s.Key)); err != nil {
				return c, fmt.Errorf("auth: JWT secret: key: %w", err)
			}
		}
	}
	if _, err := compileKey(k, true); err != nil {
		return c, fmt.Errorf("auth: JWT secret: %w", err)
	}
	c.Keys.Active = k
	return c, nil
}
