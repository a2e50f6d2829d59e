package jwks_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/ostiary/auth/internal/jwks"
)

// block returns der as a PEM block.
func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// der returns what the functions of crypto/x509 return.
func der(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// spellings returns the ways to write PEM text that mean the same.
func spellings(text string) map[string]string {
	return map[string]string{
		"as it is":                    text,
		"without the last line break": strings.TrimSpace(text),
		"with white space around":     "\n\t " + text + " \n\n",
		"with much of it":             text + strings.Repeat(" ", 32<<10-len(text)),
		"with CRLF":                   strings.ReplaceAll(text, "\n", "\r\n"),
		`with literal \n`:             strings.ReplaceAll(text, "\n", `\n`),
		`with literal \r\n`:           strings.ReplaceAll(text, "\n", `\r\n`),
		`with both`:                   strings.Replace(text, "\n", `\n`, 1),
	}
}

func TestParsePrivatePEM(t *testing.T) {
	t.Parallel()
	rsaPrivate, ecPrivate, edPrivate := generated()["2048"], newP256(t), newEd25519(t)
	parameters := block("EC PARAMETERS", []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07})
	for _, tc := range []struct {
		name string
		text string
		want crypto.Signer
	}{
		{"RSA in PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaPrivate)), rsaPrivate},
		{"RSA in PKCS #8", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(rsaPrivate))), rsaPrivate},
		{"P-256 in SEC 1", block("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(ecPrivate))), ecPrivate},
		{"P-256 in SEC 1 with parameters", parameters + block("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(ecPrivate))), ecPrivate},
		{"P-256 in PKCS #8", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(ecPrivate))), ecPrivate},
		{"Ed25519 in PKCS #8", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(edPrivate))), edPrivate},
	} {
		for spelling, text := range spellings(tc.text) {
			got, err := jwks.ParsePrivatePEM([]byte(text))
			if err != nil {
				t.Errorf("%s %s: %v", tc.name, spelling, err)
				continue
			}
			if !got.(interface{ Equal(crypto.PrivateKey) bool }).Equal(tc.want) {
				t.Errorf("%s %s: another key", tc.name, spelling)
			}
		}
	}
}

func TestParsePublicPEM(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		text string
		want crypto.PublicKey
	}{
		{"RSA in PKCS #1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaKey(t))), rsaKey(t)},
		{"RSA in PKIX", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(rsaKey(t)))), rsaKey(t)},
		{"P-256 in PKIX", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(ecKey(t)))), ecKey(t)},
		{"Ed25519 in PKIX", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(edKey(t)))), edKey(t)},
	} {
		for spelling, text := range spellings(tc.text) {
			got, err := jwks.ParsePublicPEM([]byte(text))
			if err != nil {
				t.Errorf("%s %s: %v", tc.name, spelling, err)
				continue
			}
			if !got.(interface{ Equal(crypto.PublicKey) bool }).Equal(tc.want) {
				t.Errorf("%s %s: another key", tc.name, spelling)
			}
		}
	}
}

// offCurve returns the PKIX form of a P-256 key whose last byte is changed.
func offCurve(t testing.TB) []byte {
	b := der(x509.MarshalPKIXPublicKey(ecKey(t)))
	b[len(b)-1] ^= 1
	return b
}

// JW-12
func TestParsePEMRefuses(t *testing.T) {
	t.Parallel()
	rsaPrivate, ecPrivate := generated()["2048"], newP256(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(ecPrivate)))
	public := block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(ecKey(t))))
	inconsistent := *rsaPrivate
	inconsistent.D = new(big.Int).Add(rsaPrivate.D, big.NewInt(2))
	weakExponent := der(asn1.Marshal(struct {
		N *big.Int
		E int
	}{rsaPrivate.N, 1}))

	for _, tc := range []struct {
		name, text string
		private    bool
		public     bool
		want       error
	}{
		{"RSA of 1024 bits in PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(generated()["1024"])), true, false, jwks.ErrKey},
		{"RSA of 2040 bits in PKCS #8", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(generated()["2040"]))), true, false, jwks.ErrKey},
		{"RSA that does not fit together", block("RSA PRIVATE KEY", marshalUnchecked(&inconsistent)), true, false, jwks.ErrPEM},
		{"P-384 in SEC 1", block("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(p384))), true, false, jwks.ErrKey},
		{"P-384 in PKCS #8", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(p384))), true, false, jwks.ErrKey},
		{"X25519", block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(x25519))), true, false, jwks.ErrKey},
		{"an encrypted key", block("ENCRYPTED PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(ecPrivate))), true, true, jwks.ErrPEM},
		{"a key with headers", strings.Replace(private, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n\n", 1), true, true, jwks.ErrPEM},
		{"one kind under the name of another", block("RSA PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(ecPrivate))), true, false, jwks.ErrPEM},
		{"a public key for a private one", public, true, false, jwks.ErrPEM},
		{"two private keys", private + private, true, true, jwks.ErrPEM},
		{"a private and a public key", private + public, true, true, jwks.ErrPEM},

		{"public RSA of 1024 bits in PKCS #1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&generated()["1024"].PublicKey)), false, true, jwks.ErrKey},
		{"public RSA of 2040 bits in PKIX", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(generated()["2040"].Public()))), false, true, jwks.ErrKey},
		{"public RSA with the exponent 1", block("RSA PUBLIC KEY", weakExponent), false, true, jwks.ErrKey},
		{"public P-384", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(p384.Public()))), false, true, jwks.ErrKey},
		{"public X25519", block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(x25519.Public()))), false, true, jwks.ErrKey},
		{"a point off the curve", block("PUBLIC KEY", offCurve(t)), false, true, jwks.ErrPEM},
		{"a private key for a public one", private, false, true, jwks.ErrPEM},
		{"a certificate", block("CERTIFICATE", der(x509.MarshalPKIXPublicKey(ecKey(t)))), true, true, jwks.ErrPEM},

		{"nothing", "", true, true, jwks.ErrPEM},
		{"no PEM", "secret", true, true, jwks.ErrPEM},
		{"text before the block", "x\n" + private, true, true, jwks.ErrPEM},
		{"text behind the block", private + "x", true, true, jwks.ErrPEM},
		{"a broken block before a good one", "-----BEGIN PRIVATE KEY-----\n" + private, true, true, jwks.ErrPEM},
		{"a broken public block before a good one", "-----BEGIN PUBLIC KEY-----\n" + public, true, true, jwks.ErrPEM},
		{"half a block", private[:len(private)/2], true, true, jwks.ErrPEM},
		{"an empty block", block("PRIVATE KEY", nil), true, true, jwks.ErrPEM},
		{"an empty public block", block("PUBLIC KEY", nil), true, true, jwks.ErrPEM},
		{"parameters only", block("EC PARAMETERS", []byte{5, 0}), true, true, jwks.ErrPEM},
		{"data behind the DER", block("PRIVATE KEY", append(der(x509.MarshalPKCS8PrivateKey(ecPrivate)), 0)), true, false, jwks.ErrPEM},
		{"data behind the SEC 1 DER", block("EC PRIVATE KEY", append(der(x509.MarshalECPrivateKey(ecPrivate)), 0)), true, false, jwks.ErrPEM},
		{"data behind the public DER", block("PUBLIC KEY", append(der(x509.MarshalPKIXPublicKey(ecKey(t))), 0)), false, true, jwks.ErrPEM},
		{"no DER", block("PRIVATE KEY", []byte("x")), true, false, jwks.ErrPEM},
		{"no public DER", block("PUBLIC KEY", []byte("x")), false, true, jwks.ErrPEM},
		{"a long private text", private + strings.Repeat("\n", 32<<10+1-len(private)), true, false, jwks.ErrPEM},
		{"a long public text", public + strings.Repeat("\n", 32<<10+1-len(public)), false, true, jwks.ErrPEM},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.private {
				if got, err := jwks.ParsePrivatePEM([]byte(tc.text)); got != nil || !errors.Is(err, tc.want) {
					t.Errorf("as private key: got %v, %v; want %v", got, err, tc.want)
				}
			}
			if tc.public {
				if got, err := jwks.ParsePublicPEM([]byte(tc.text)); got != nil || !errors.Is(err, tc.want) {
					t.Errorf("as public key: got %v, %v; want %v", got, err, tc.want)
				}
			}
		})
	}
}

// marshalUnchecked is the PKCS #1 form of key (RFC 8017 A.1.2) as crypto/x509 would not write it.
func marshalUnchecked(key *rsa.PrivateKey) []byte {
	return der(asn1.Marshal(struct {
		Version               int
		N                     *big.Int
		E                     int
		D, P, Q, Dp, Dq, Qinv *big.Int
	}{0, key.N, key.E, key.D, key.Primes[0], key.Primes[1], key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv}))
}

func TestParsePEMLeavesTheTextAlone(t *testing.T) {
	t.Parallel()
	text := []byte(strings.ReplaceAll(block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(ecKey(t)))), "\n", `\n`))
	before := bytes.Clone(text)
	if _, err := jwks.ParsePublicPEM(text); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, before) {
		t.Error("text was changed")
	}
}

// FuzzPEM: a key that is accepted works, and is the same key when it is written and read again.
func FuzzPEM(f *testing.F) {
	ecPrivate, edPrivate := newP256(f), newEd25519(f)
	for _, text := range []string{
		block("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(ecPrivate))),
		block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(ecPrivate))),
		block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(edPrivate))),
		block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(generated()["2048"])),
		block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(edPrivate.Public()))),
		block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(ecPrivate.Public()))),
		block("PUBLIC KEY", offCurve(f)),
		block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(rsaKey(f))),
		block("EC PARAMETERS", []byte{5, 0}), "-----BEGIN PRIVATE KEY-----", `-----BEGIN X-----\n-----END X-----\n`, "",
	} {
		f.Add([]byte(text))
		f.Add([]byte(strings.ReplaceAll(text, "\n", `\n`)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		public, err := jwks.ParsePublicPEM(text)
		switch {
		case err == nil:
			again, err := jwks.ParsePublicPEM([]byte(block("PUBLIC KEY", der(x509.MarshalPKIXPublicKey(public)))))
			if err != nil || thumbprint(t, again) != thumbprint(t, public) {
				t.Fatalf("read again: %v, %v", again, err)
			}
		case public != nil || !errors.Is(err, jwks.ErrPEM) && !errors.Is(err, jwks.ErrKey):
			t.Fatalf("got %v, %v", public, err)
		}

		private, err := jwks.ParsePrivatePEM(text)
		switch {
		case err == nil:
			name := thumbprint(t, private.Public())
			again, err := jwks.ParsePrivatePEM([]byte(block("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(private)))))
			if err != nil || thumbprint(t, again.Public()) != name {
				t.Fatalf("read again: %v", err)
			}
			digest, opts := sha256.Sum256([]byte("message")), crypto.SignerOpts(crypto.SHA256)
			message := digest[:]
			if _, ok := private.(ed25519.PrivateKey); ok {
				message, opts = []byte("message"), crypto.Hash(0)
			}
			if _, err := private.Sign(rand.Reader, message, opts); err != nil {
				t.Fatalf("accepted key does not sign: %v", err)
			}
		case private != nil || !errors.Is(err, jwks.ErrPEM) && !errors.Is(err, jwks.ErrKey):
			t.Fatalf("got %T, %v", private, err)
		}
	})
}

func thumbprint(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	name, err := jwks.Thumbprint(key)
	if err != nil || len(name) != 43 {
		t.Fatalf("thumbprint %q: %v", name, err)
	}
	return name
}
