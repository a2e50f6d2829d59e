// Package jwks writes public keys as JSON Web Keys (RFC 7517), names them by their thumbprints (RFC 7638) and reads keys
// from PEM.
//
// It knows the keys that access tokens are signed with and nothing else: RSA of 2048 to 16384 bits, ECDSA on P-256
// (RFC 7518 §6.2, §6.3) and Ed25519 (RFC 8037). There is no way to publish a symmetric or private key.
package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// ErrKey is wrapped by every error about a key that is well-formed and yet not acceptable: another type or curve, an
// RSA key that is too short (RFC 7518 §3.3) or too long, a point that is not on its curve, an algorithm that does not go
// with the key.
var ErrKey = errors.New("jwks: unacceptable key")

// Bounds of an RSA modulus, in bits. Below the first a key is weak (RFC 7518 §3.3, NIST SP 800-131A), above the second
// checking a signature takes so long that nobody can mean it.
const (
	minRSABits = 2048
	maxRSABits = 16384
)

// JWK is a public key for checking signatures. Its JSON has the members in alphabetical order and is the same for
// the same key always. Values come from [PublicJWK].
type JWK struct {
	Alg string `json:"alg"`           // RFC 7518 §3.1, RFC 8037 §3.1
	Crv string `json:"crv,omitempty"` // P-256 or Ed25519
	E   string `json:"e,omitempty"`   // RSA exponent, base64url of its shortest big-endian form
	Kid string `json:"kid"`
	Kty string `json:"kty"`         // RSA, EC or OKP
	N   string `json:"n,omitempty"` // RSA modulus, base64url of its shortest big-endian form
	Use string `json:"use"`         // always sig
	X   string `json:"x,omitempty"` // coordinate or Ed25519 key, base64url of 32 bytes
	Y   string `json:"y,omitempty"` // coordinate, base64url of 32 bytes
}

// PublicJWK returns pub, an [*rsa.PublicKey], [*ecdsa.PublicKey] or [ed25519.PublicKey], as a key named kid for use with
// alg: RS256, RS384 or RS512 for RSA, ES256 for P-256, EdDSA for Ed25519. An empty kid stands for the thumbprint of the
// key.
//
// The error wraps [ErrKey].
func PublicJWK(pub crypto.PublicKey, kid, alg string) (JWK, error) {
	key, err := parameters(pub)
	if err != nil {
		return JWK{}, err
	}
	if !slices.Contains(algorithms[key.Kty], alg) {
		return JWK{}, fmt.Errorf("%w: algorithm %q is not for keys of type %s", ErrKey, alg, key.Kty)
	}
	if kid == "" {
		kid = key.thumbprint()
	}
	key.Alg, key.Kid, key.Use = alg, kid, "sig"
	return key, nil
}

var algorithms = map[string][]string{
	"RSA": {"RS256", "RS384", "RS512"},
	"EC":  {"ES256"},
	"OKP": {"EdDSA"},
}

// Thumbprint returns the JWK thumbprint of pub (RFC 7638; RFC 8037 §2 for Ed25519): the base64url form, without
// padding, of a SHA-256 hash, 43 characters. It depends on the key alone, so equal keys have equal names everywhere.
//
// pub has one of the types that [PublicJWK] takes. The error wraps [ErrKey].
func Thumbprint(pub crypto.PublicKey) (string, error) {
	key, err := parameters(pub)
	if err != nil {
		return "", err
	}
	return key.thumbprint(), nil
}

// thumbprint hashes the required members in lexicographic order without white space (RFC 7638 §3). None of their values
// has a character that JSON escapes.
func (k JWK) thumbprint() string {
	var canonical string
	switch k.Kty {
	case "RSA":
		canonical = `{"e":"` + k.E + `","kty":"RSA","n":"` + k.N + `"}`
	case "EC":
		canonical = `{"crv":"` + k.Crv + `","kty":"EC","x":"` + k.X + `","y":"` + k.Y + `"}`
	case "OKP":
		canonical = `{"crv":"` + k.Crv + `","kty":"OKP","x":"` + k.X + `"}`
	}
	sum := sha256.Sum256([]byte(canonical))
	return encode(sum[:])
}

// parameters checks pub and returns a JWK of its type and parameters only.
func parameters(pub crypto.PublicKey) (JWK, error) {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(pub); err != nil {
			return JWK{}, err
		}
		return JWK{Kty: "RSA", N: encode(pub.N.Bytes()), E: encode(big.NewInt(int64(pub.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		if pub == nil || pub.Curve != elliptic.P256() {
			return JWK{}, fmt.Errorf("%w: curve is not P-256", ErrKey)
		}
		//lint:ignore SA1019 Bytes panics on a key without coordinates
		if pub.X == nil || pub.Y == nil {
			return JWK{}, fmt.Errorf("%w: no point", ErrKey)
		}
		point, err := pub.Bytes() // 0x04, X, Y; fails unless the point is on the curve
		if err != nil {
			return JWK{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return JWK{Kty: "EC", Crv: "P-256", X: encode(point[1:33]), Y: encode(point[33:65])}, nil
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return JWK{}, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(pub))
		}
		return JWK{Kty: "OKP", Crv: "Ed25519", X: encode(pub)}, nil
	default:
		return JWK{}, fmt.Errorf("%w: type %T", ErrKey, pub)
	}
}

func checkRSA(pub *rsa.PublicKey) error {
	switch {
	case pub == nil || pub.N == nil || pub.N.Sign() != 1 || pub.N.Bit(0) == 0:
		return fmt.Errorf("%w: RSA modulus is not a product of odd primes", ErrKey)
	case pub.N.BitLen() < minRSABits || pub.N.BitLen() > maxRSABits:
		return fmt.Errorf("%w: RSA key of %d bits, want %d to %d", ErrKey, pub.N.BitLen(), minRSABits, maxRSABits)
	case pub.E < 3 || pub.E%2 == 0:
		return fmt.Errorf("%w: RSA exponent %d", ErrKey, pub.E)
	}
	return nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Set is a JWK Set (RFC 7517 §5). Its JSON is {"keys":[…]} with the keys in order; a nil Set has an empty array.
type Set []JWK

// NewSet returns the set of keys. It is an error if two keys have the same kid, between which a reader could not choose,
// or if one has none.
func NewSet(keys ...JWK) (Set, error) {
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if key.Kid == "" {
			return nil, errors.New("jwks: key without kid")
		}
		if seen[key.Kid] {
			return nil, fmt.Errorf("jwks: two keys with the kid %q", key.Kid)
		}
		seen[key.Kid] = true
	}
	return slices.Clone(keys), nil
}

// MarshalJSON implements [json.Marshaler].
func (s Set) MarshalJSON() ([]byte, error) {
	keys := []JWK(s)
	if keys == nil {
		keys = []JWK{}
	}
	return json.Marshal(struct {
		Keys []JWK `json:"keys"`
	}{keys})
}
