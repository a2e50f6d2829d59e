package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ostiary/auth/internal/strictjson"
)

// maxKeys is how many keys a set that is read has at most. The largest of the well-known providers have a dozen.
const maxKeys = 100

// PublicKey is a key of a set that [Parse] has read.
type PublicKey struct {
	ID        string           // "kid"
	Algorithm string           // "alg", which goes with the key
	Key       crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// Parse reads a JWK Set as [Set] writes it. Keys that [PublicJWK] would not publish are left out (RFC 7517 §5): those of other
// types and algorithms, for other uses, without a name or an algorithm, weak ones, and those that are not public, with which
// anybody may have signed. Two keys with one kid, between which a reader could not choose, are an error, and so is a document
// of another form; a set without any key is none.
func Parse(set []byte) ([]PublicKey, error) {
	var keys []PublicKey
	seen := map[string]bool{}
	err := Each(set, func(value []byte) error {
		key, ok := parseKey(value)
		if !ok {
			return nil
		}
		if seen[key.ID] {
			return errors.New("two keys with one kid")
		}
		seen[key.ID] = true
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	return keys, nil
}

// Errors of [Each].
var (
	ErrNotSet  = errors.New("not a JWK Set")
	ErrTooMany = fmt.Errorf("more than %d keys", maxKeys)
)

// Each calls f with the JSON text of each key of a JWK Set, in their order, until it returns an error, which is then that of Each.
// It returns [ErrNotSet] for a document of another form, and [ErrTooMany] for one that nobody would write.
func Each(set []byte, f func(key []byte) error) error {
	var list []byte
	err := strictjson.Members(set, func(name, value []byte) error {
		if string(name) == "keys" {
			list = value
		}
		return nil
	})
	if err != nil || list == nil {
		return ErrNotSet
	}
	count := 0
	var failed error
	err = strictjson.Elements(list, func(key []byte) error {
		if count++; count > maxKeys {
			failed = ErrTooMany
		} else {
			failed = f(key)
		}
		return failed
	})
	if failed == nil && err != nil {
		return ErrNotSet
	}
	return failed
}

func parseKey(text []byte) (PublicKey, bool) {
	var k JWK
	fields := map[string]*string{
		"alg": &k.Alg, "crv": &k.Crv, "e": &k.E, "kid": &k.Kid, "kty": &k.Kty, "n": &k.N, "use": &k.Use, "x": &k.X, "y": &k.Y,
	}
	var operations []string
	err := strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			return ErrKey
		case "key_ops":
			return json.Unmarshal(value, &operations)
		}
		if field, ok := fields[string(name)]; ok {
			return json.Unmarshal(value, field)
		}
		return nil
	})
	if err != nil || k.Kid == "" || k.Use != "" && k.Use != "sig" || operations != nil && !verifies(operations) {
		return PublicKey{}, false
	}
	pub, ok := k.public()
	if !ok {
		return PublicKey{}, false
	}
	if _, err := PublicJWK(pub, k.Kid, k.Alg); err != nil {
		return PublicKey{}, false
	}
	return PublicKey{k.Kid, k.Alg, pub}, true
}

// verifies reports whether a key is for verifying (RFC 7517 §4.3).
func verifies(operations []string) bool {
	for _, o := range operations {
		if o == "verify" {
			return true
		}
	}
	return false
}

// public returns the key. Whether it is acceptable is for [PublicJWK] to say.
func (k JWK) public() (crypto.PublicKey, bool) {
	switch {
	case k.Kty == "RSA":
		n, ok1 := decode(k.N)
		e, ok2 := decode(k.E)
		if !ok1 || !ok2 || len(n) > maxRSABits/8 || len(e) > 4 {
			return nil, false
		}
		exponent := new(big.Int).SetBytes(e)
		if exponent.BitLen() > 31 {
			return nil, false
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, true
	case k.Kty == "EC" && k.Crv == "P-256":
		x, ok1 := decode(k.X)
		y, ok2 := decode(k.Y)
		if !ok1 || !ok2 || len(x) != 32 || len(y) != 32 {
			return nil, false
		}
		point := append(append([]byte{4}, x...), y...)
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return pub, err == nil
	case k.Kty == "OKP" && k.Crv == "Ed25519":
		x, ok := decode(k.X)
		return ed25519.PublicKey(x), ok && len(x) == ed25519.PublicKeySize
	}
	return nil, false
}

var strictBase64 = base64.RawURLEncoding.Strict()

func decode(s string) ([]byte, bool) {
	b, err := strictBase64.DecodeString(s)
	return b, err == nil && len(b) > 0
}
