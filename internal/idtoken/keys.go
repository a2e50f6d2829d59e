package idtoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ostiary/auth/internal/jwks"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/internal/strictjson"
	"github.com/ostiary/auth/provider"
)

// Bounds of a key set.
const (
	// Below the first an RSA key is weak (RFC 7518 §3.3), above the second checking a signature takes so long that nobody can
	// mean it. It is also what go-jose takes, unless a program has told it otherwise.
	minRSABits, maxRSABits = 2048, 4096
)

// How long a key set is used without another look: as its server says, within bounds.
const (
	defaultValidity = time.Hour
	minValidity     = 5 * time.Minute
	maxValidity     = 12 * time.Hour
)

// Keys are the public keys that an issuer publishes (RFC 7517), at one URL. They are fetched when they are first needed, and
// again when they are old or a token names a key that is not among them, but then at most once a minute, however many
// tokens do. Keys that are good stay so when their server fails, for a day. They are safe for concurrent use.
//
// Keys that are private, symmetric, weak, for encryption or of an unknown kind do not count.
//
// They are in place of the RemoteKeySet of go-oidc, which has every unknown key make a request, takes a set as a whole or not
// at all and knows no age.
type Keys struct {
	cached *outbound.Cached[[]jose.JSONWebKey]
}

// NewKeys returns the keys at an URL.
func NewKeys(url string) *Keys {
	return &Keys{outbound.NewCached(func(ctx context.Context, c *http.Client) ([]jose.JSONWebKey, time.Duration, error) {
		body, header, err := outbound.Get(ctx, c, url, "")
		if err != nil {
			return nil, 0, err
		}
		keys, err := parseKeys(body)
		return keys, validity(header), err
	})}
}

// validity is how long an answer may be used (RFC 9111 §5.2.2.1).
func validity(h http.Header) time.Duration {
	for _, directive := range strings.Split(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
			return min(max(time.Duration(seconds)*time.Second, minValidity), maxValidity)
		}
	}
	return defaultValidity
}

// verify checks the signature by a key of the set and returns the payload.
func (k *Keys) verify(ctx context.Context, env provider.Env, token *jose.JSONWebSignature) ([]byte, error) {
	keys, err := k.cached.Get(ctx, env.HTTP, env.Now)
	if err != nil {
		return nil, fmt.Errorf("fetch the keys: %w", err)
	}
	if payload, ok := verify(keys, token); ok {
		return payload, nil
	}
	// OpenID Connect Core §10.1.1: a key that is not known may be new.
	if keys, err = k.cached.GetNewer(ctx, env.HTTP, env.Now); err != nil {
		return nil, fmt.Errorf("fetch the keys: %w", err)
	}
	if payload, ok := verify(keys, token); ok {
		return payload, nil
	}
	return nil, errors.New("it is not signed by a key of the issuer")
}

// verify tries the keys that the token names; one that names none may be signed by any.
func verify(keys []jose.JSONWebKey, token *jose.JSONWebSignature) ([]byte, bool) {
	header := token.Signatures[0].Header
	for _, key := range keys {
		if header.KeyID != "" && header.KeyID != key.KeyID || !fits(key, header.Algorithm) {
			continue
		}
		if payload, err := token.Verify(key.Key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// fits reports whether alg is an algorithm for the key (RFC 8725 §3.1).
func fits(key jose.JSONWebKey, alg string) bool {
	if key.Algorithm != "" && key.Algorithm != alg {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[public.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// parseKeys reads a JWK Set. A set without a usable key is an error: it would replace one that has.
func parseKeys(set []byte) ([]jose.JSONWebKey, error) {
	var keys []jose.JSONWebKey
	err := jwks.Each(set, func(value []byte) error {
		if key, ok := parseKey(value); ok {
			keys = append(keys, key)
		}
		return nil
	})
	switch {
	case errors.Is(err, jwks.ErrTooMany):
		return nil, fmt.Errorf("the JWK Set has %w", err)
	case err != nil:
		return nil, errors.New("the answer is not a JWK Set")
	case len(keys) == 0:
		return nil, errors.New("the JWK Set has no usable key")
	}
	return keys, nil
}

// parseKey reads a public key for checking signatures. Others are to be ignored (RFC 7517 §5).
func parseKey(text []byte) (jose.JSONWebKey, bool) {
	var k struct {
		Kty string `json:"kty"`
		Kid string `json:"kid,omitempty"`
		Alg string `json:"alg,omitempty"`
		Crv string `json:"crv,omitempty"`
		N   string `json:"n,omitempty"`
		E   string `json:"e,omitempty"`
		X   string `json:"x,omitempty"`
		Y   string `json:"y,omitempty"`
	}
	var use string
	operations := []string{"verify"}
	fields := map[string]any{
		"kty": &k.Kty, "kid": &k.Kid, "alg": &k.Alg, "crv": &k.Crv, "n": &k.N, "e": &k.E, "x": &k.X, "y": &k.Y,
		"use": &use, "key_ops": &operations,
	}
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			return errors.New("the key is not public") // so anybody may have signed with it
		}
		if field, ok := fields[string(name)]; ok {
			return json.Unmarshal(value, field)
		}
		return nil
	})
	if err != nil || use != "" && use != "sig" || !slices.Contains(operations, "verify") {
		return jose.JSONWebKey{}, false
	}
	// The library sees nothing but the key: it would also read certificates, and refuse keys for what is wrong with those.
	bare, err := json.Marshal(k)
	if err != nil {
		return jose.JSONWebKey{}, false
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(bare); err != nil {
		return jose.JSONWebKey{}, false
	}
	if public, ok := key.Key.(*rsa.PublicKey); ok {
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits { // crypto/rsa knows what an exponent is
			return jose.JSONWebKey{}, false
		}
	}
	return key, true
}
