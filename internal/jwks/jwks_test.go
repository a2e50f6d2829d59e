package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ostiary/auth/internal/jwks"
)

func b64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The keys of the tests.
const (
	// RFC 7638 §3.1.
	rsaN = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2" +
		"W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qN" +
		"Lyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	// RFC 7517 A.1.
	ecX = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
	ecY = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
	// RFC 8037 A.2.
	edX = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
)

func rsaKey(t testing.TB) *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).SetBytes(b64(t, rsaN)), E: 65537}
}

func ecKey(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	point := append([]byte{4}, append(b64(t, ecX), b64(t, ecY)...)...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t testing.TB) ed25519.PublicKey { return b64(t, edX) }

// generated holds private keys that take long to make.
var generated = sync.OnceValue(func() map[string]*rsa.PrivateKey {
	keys := map[string]*rsa.PrivateKey{}
	for name, bits := range map[string]int{"1024": 1024, "2040": 2040, "2048": 2048} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func TestThumbprint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		key  crypto.PublicKey
		want string
	}{
		{"RSA, RFC 7638 §3.1", rsaKey(t), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"P-256, key of RFC 7517 A.1", ecKey(t), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"},
		{"Ed25519, RFC 8037 A.3", edKey(t), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := jwks.Thumbprint(tc.key)
			if err != nil || got != tc.want {
				t.Errorf("got %s, %v; want %s", got, err, tc.want)
			}
		})
	}
}

func TestPublicJWK(t *testing.T) {
	t.Parallel()
	longest := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 16384), big.NewInt(1))
	for _, tc := range []struct {
		name     string
		key      crypto.PublicKey
		kid, alg string
		want     string
	}{
		{"RSA", rsaKey(t), "k1", "RS256", `{"alg":"RS256","e":"AQAB","kid":"k1","kty":"RSA","n":"` + rsaN + `","use":"sig"}`},
		{"RSA for SHA-512", rsaKey(t), "k1", "RS512", `{"alg":"RS512","e":"AQAB","kid":"k1","kty":"RSA","n":"` + rsaN + `","use":"sig"}`},
		{
			"RSA with the exponent 3", &rsa.PublicKey{N: rsaKey(t).N, E: 3}, "k1", "RS384",
			`{"alg":"RS384","e":"Aw","kid":"k1","kty":"RSA","n":"` + rsaN + `","use":"sig"}`,
		},
		{
			"RSA of 16384 bits", &rsa.PublicKey{N: longest, E: 65537}, "k1", "RS256",
			`{"alg":"RS256","e":"AQAB","kid":"k1","kty":"RSA","n":"` + base64.RawURLEncoding.EncodeToString(longest.Bytes()) + `","use":"sig"}`,
		},
		{"P-256", ecKey(t), "k1", "ES256", `{"alg":"ES256","crv":"P-256","kid":"k1","kty":"EC","use":"sig","x":"` + ecX + `","y":"` + ecY + `"}`},
		{"Ed25519", edKey(t), "k1", "EdDSA", `{"alg":"EdDSA","crv":"Ed25519","kid":"k1","kty":"OKP","use":"sig","x":"` + edX + `"}`},
		{
			"no kid", edKey(t), "", "EdDSA",
			`{"alg":"EdDSA","crv":"Ed25519","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kty":"OKP","use":"sig","x":"` + edX + `"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			key, err := jwks.PublicJWK(tc.key, tc.kid, tc.alg)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// RFC 7518 §6.2.1.2: coordinates have the width of the field, whatever their value.
func TestCoordinatesHaveFixedWidth(t *testing.T) {
	t.Parallel()
	short := 0
	scalar := make([]byte, 32)
	for d := 1; d < 1000; d++ {
		scalar[30], scalar[31] = byte(d>>8), byte(d)
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwks.PublicJWK(private.Public(), "k", "ES256")
		if err != nil {
			t.Fatal(err)
		}
		x, y := b64(t, key.X), b64(t, key.Y)
		if len(x) != 32 || len(y) != 32 {
			t.Fatalf("coordinates of %d and %d bytes", len(x), len(y))
		}
		if x[0] == 0 || y[0] == 0 {
			short++
		}
		parsed, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, append(x, y...)...))
		if err != nil || !parsed.Equal(private.Public()) {
			t.Fatalf("another key: %v", err)
		}
	}
	if short == 0 {
		t.Error("no coordinate with a leading zero was tried")
	}
}

// unacceptable returns public keys that must never be used. JW-12
func unacceptable(t testing.TB) map[string]crypto.PublicKey {
	t.Helper()
	n := rsaKey(t).N
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 there is no other way to make a bad key
	point := func(x, y *big.Int) *ecdsa.PublicKey { return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y} }
	return map[string]crypto.PublicKey{
		"nil":                          nil,
		"nil RSA key":                  (*rsa.PublicKey)(nil),
		"nil P-256 key":                (*ecdsa.PublicKey)(nil),
		"nil Ed25519 key":              ed25519.PublicKey(nil),
		"RSA of 1024 bits":             generated()["1024"].Public(),
		"RSA of 2040 bits":             generated()["2040"].Public(),
		"RSA of 2047 bits":             &rsa.PublicKey{N: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(1)), E: 65537},
		"RSA with the modulus 0":       &rsa.PublicKey{N: new(big.Int), E: 65537},
		"RSA with the exponent 2":      &rsa.PublicKey{N: n, E: 2},
		"RSA of 16385 bits":            &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16384, 1), E: 65537},
		"RSA without modulus":          &rsa.PublicKey{E: 65537},
		"RSA with an even modulus":     &rsa.PublicKey{N: new(big.Int).Lsh(n, 1), E: 65537},
		"RSA with a negative modulus":  &rsa.PublicKey{N: new(big.Int).Neg(n), E: 65537},
		"RSA with the exponent 0":      &rsa.PublicKey{N: n},
		"RSA with the exponent 1":      &rsa.PublicKey{N: n, E: 1},
		"RSA with an even exponent":    &rsa.PublicKey{N: n, E: 65536},
		"RSA with a negative exponent": &rsa.PublicKey{N: n, E: -3},
		"RSA by value":                 *rsaKey(t),
		"P-384":                        p384.Public(),
		"P-224":                        p224.Public(),
		"no curve":                     &ecdsa.PublicKey{},
		"no point":                     point(nil, nil),
		"half a point":                 point(big.NewInt(1), nil),
		"the other half":               point(nil, big.NewInt(1)),
		"the point at infinity":        point(new(big.Int), new(big.Int)),
		"a point off the curve":        point(big.NewInt(1), big.NewInt(1)),
		"a negative coordinate":        point(big.NewInt(-1), big.NewInt(1)),
		"a coordinate that is too big": point(new(big.Int).Lsh(big.NewInt(1), 300), big.NewInt(1)),
		"a short Ed25519 key":          edKey(t)[:31],
		"a long Ed25519 key":           append(edKey(t), 0),
		"a symmetric key":              []byte("secret"),
		"a private key":                generated()["2048"],
	}
}

// JW-12
func TestUnacceptableKeys(t *testing.T) {
	t.Parallel()
	for name, key := range unacceptable(t) {
		got, reason := jwks.Thumbprint(key)
		if !errors.Is(reason, jwks.ErrKey) || got != "" {
			t.Errorf("%s: thumbprint %q, %v", name, got, reason)
			continue
		}
		for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
			got, err := jwks.PublicJWK(key, "k", alg)
			if !errors.Is(err, jwks.ErrKey) || got != (jwks.JWK{}) {
				t.Errorf("%s: key %v, %v", name, got, err)
			} else if err.Error() != reason.Error() { // whatever it is for
				t.Errorf("%s: %v, and for a thumbprint %v", name, err, reason)
			}
		}
	}
}

// JW-12: the algorithm goes with the key.
func TestAlgorithmMustFit(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"", "none", "HS256", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "rs256"} {
		for name, key := range map[string]crypto.PublicKey{"RS": rsaKey(t), "ES256": ecKey(t), "EdDSA": edKey(t)} {
			_, err := jwks.PublicJWK(key, "k", alg)
			if fits := strings.HasPrefix(alg, name); fits != (err == nil) || err != nil && !errors.Is(err, jwks.ErrKey) {
				t.Errorf("%q with a key for %s: %v", alg, name, err)
			}
		}
	}
}

// JW-19
func TestSet(t *testing.T) {
	t.Parallel()
	first, err := jwks.PublicJWK(edKey(t), "first", "EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	second, err := jwks.PublicJWK(ecKey(t), "second", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	empty, err := jwks.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	both, err := jwks.NewSet(second, first)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		set  any
		want string
	}{
		{"empty", empty, `{"keys":[]}`},
		{"nil", jwks.Set(nil), `{"keys":[]}`},
		{"pointer to nil", new(jwks.Set), `{"keys":[]}`},
		{"two keys in order", both, `{"keys":[{"alg":"ES256","crv":"P-256","kid":"second","kty":"EC","use":"sig","x":"` + ecX + `","y":"` + ecY +
			`"},{"alg":"EdDSA","crv":"Ed25519","kid":"first","kty":"OKP","use":"sig","x":"` + edX + `"}]}`},
	} {
		got, err := json.Marshal(tc.set)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: got %s, %v; want %s", tc.name, got, err, tc.want)
		}
	}
}

// JW-20
func TestSetRefusesTwoKeysOfOneName(t *testing.T) {
	t.Parallel()
	first, err := jwks.PublicJWK(edKey(t), "k", "EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	second, err := jwks.PublicJWK(ecKey(t), "k", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]jwks.JWK{{first, second}, {first, first}, {{}}} {
		if set, err := jwks.NewSet(keys...); err == nil || set != nil {
			t.Errorf("got %v, %v", set, err)
		}
	}
}
