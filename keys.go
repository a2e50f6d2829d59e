package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/auth/internal/accesstoken"
	"github.com/ostiary/auth/internal/jwks"
	"github.com/ostiary/auth/internal/seal"
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
	// Private is the key for the others: RSA of at least 2048 bits, ECDSA on P-256, Ed25519. It may live elsewhere, such as
	// in a key management service, and only sign; see [ContextSigner].
	Private crypto.Signer
	// Public stands in for Private where a key only verifies.
	Public crypto.PublicKey
	// RetiredAt, on a retired key, is when it signed last. It leaves the set one token lifetime later. Zero keeps it
	// until the configuration drops it.
	RetiredAt time.Time
}

// keySet is a checked [Keys], or what the keys of the store make with it. It is never changed.
type keySet struct {
	all       []*key
	signers   []*key    // of all, in the order in which they begin to sign
	loaded    time.Time // from the store; zero if it has not been
	published atomic.Pointer[publication]
}

// signer returns the key that signs at an instant: the last that has begun to, or before all the first. It is nil if there
// is none that lives.
func (s *keySet) signer(now time.Time) *key {
	var found *key
	for _, k := range s.signers {
		if k.live(now) && (found == nil || !k.from.After(now)) {
			found = k
		}
	}
	return found
}

// publication is a set of public keys in JSON, for as long as none of them leaves.
type publication struct {
	text        json.RawMessage
	from, until time.Time // until is zero where none will leave
}

type key struct {
	id, algorithm string
	method        jwt.SigningMethod
	hash          crypto.Hash // zero for EdDSA
	private       crypto.Signer
	remote        *remoteSigner // unless private is in this process
	verifier      any           // what method.Verify takes
	header        string
	from          time.Time // when it begins to sign
	until         time.Time // when it leaves the set; zero for never
	jwk           jwks.JWK  // unless symmetric
	symmetric     bool
}

// SetKeys replaces the key set, at once and for all calls that begin after it: the way to rotate keys without a
// restart. Keep the former active key among the retired ones.
//
// It reports every mistake at once: a key that is too short, not of its algorithm, on another curve, or not of its
// public half, and two keys with one id. Where AccessTokens.Rotate is set, keys are the engine's business, and it always
// fails: see [Engine.RotateKeys].
func (e *Engine) SetKeys(keys Keys) error {
	if e.config.AccessTokens.Rotate != nil {
		return errors.New("auth: SetKeys: AccessTokens.Rotate is set")
	}
	set, err := e.compileKeys(keys)
	if err != nil {
		return err
	}
	e.keys.current.Store(set)
	e.emit(context.Background(), Event{Type: EventKeysReplaced, Detail: set.signers[0].id})
	return nil
}

func (e *Engine) compileKeys(keys Keys) (*keySet, error) {
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
	set.signers = []*key{add("Active", keys.Active, true)}
	for i, k := range keys.Next {
		add(fmt.Sprintf("Next[%d]", i), k, false)
	}
	for i, k := range keys.Retired {
		add(fmt.Sprintf("Retired[%d]", i), k, false)
	}
	if err := errors.Join(m...); err != nil {
		return nil, err
	}
	return set, nil
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
		c.remote = newRemoteSigner(k.Private)
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
// Symmetric keys are not in it; it is never without the member "keys". It fails only where keys rotate and the store, which
// has them, has not answered yet: [ErrInternal].
func (e *Engine) KeySet(ctx context.Context) (_ json.RawMessage, err error) {
	defer e.begin(&ctx, "KeySet").end(&err)
	now := e.now()
	set, err := e.knownKeys(ctx, now)
	if err != nil {
		return nil, err
	}
	p := set.published.Load()
	if p == nil || now.Before(p.from) || !p.until.IsZero() && !now.Before(p.until) {
		if p, err = set.publish(now); err != nil {
			return nil, err
		}
	}
	return slices.Clone(p.text), nil
}

func (s *keySet) publish(now time.Time) (*publication, error) {
	var list jwks.Set
	p := &publication{from: now}
	for _, k := range s.all {
		if k.symmetric || !k.live(now) {
			continue
		}
		list = append(list, k.jwk)
		if !k.until.IsZero() && (p.until.IsZero() || k.until.Before(p.until)) {
			p.until = k.until
		}
	}
	var err error
	if p.text, err = json.Marshal(list); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	s.published.Store(p)
	return p, nil
}

func (k *key) live(now time.Time) bool { return k.until.IsZero() || now.Before(k.until) }

// signed reports whether a key of the engine made the signature of a token. Its error is the store's.
func (e *Engine) signed(ctx context.Context, t *accesstoken.Token, now time.Time) (bool, error) {
	set, err := e.knownKeys(ctx, now)
	if err != nil {
		return false, err
	}
	good, known := set.verify(t, now)
	if good || known || e.config.AccessTokens.Rotate == nil {
		return good, nil
	}
	// The key may be new.
	if set, err = e.newerKeys(ctx, now); err != nil {
		return false, err
	}
	good, _ = set.verify(t, now)
	return good, nil
}

// verify reports whether a live key of the set made the signature, and whether there is anything to be gained from a newer
// set: the token names no key that it could have.
func (s *keySet) verify(t *accesstoken.Token, now time.Time) (good, known bool) {
	// The header is nearly always one that this engine wrote, to the letter.
	for _, k := range s.all {
		if t.Header != k.header {
			continue
		}
		// Keys without an id have one header between them.
		if known = true; k.live(now) && k.method.Verify(t.Input, t.Signature, k.verifier) == nil {
			return true, true
		}
	}
	if known {
		return false, true
	}
	algorithm, id, ok := accesstoken.ParseHeader(t.Header)
	if !ok {
		return false, true
	}
	for _, k := range s.all {
		if known = known || id == k.id; k.algorithm != algorithm || !k.live(now) {
			continue
		}
		// A token without a key id, as other servers issue, may be of any key of its algorithm.
		if (id == "" || k.id == id) && k.method.Verify(t.Input, t.Signature, k.verifier) == nil {
			return true, true
		}
	}
	// The keys of the store have their thumbprints for names.
	return false, known || len(id) != base64.RawURLEncoding.EncodedLen(sha256.Size) || !slices.Contains(rotated, algorithm)
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
