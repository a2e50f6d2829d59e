// Package idtokentest has keys that sign id tokens, right ones and wrong ones, and a web without a network, for tests of what
// reads key sets and id tokens: with any algorithm, and any text in their place. What a provider does as a whole, package fakeidp
// plays.
package idtokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // of the algorithms
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
)

// Key is a private key.
type Key struct {
	Kid, Alg string
	private  crypto.Signer
}

// rsaKeys are made once for each size: it takes long.
var (
	rsaMu   sync.Mutex
	rsaKeys = map[string]*rsa.PrivateKey{}
)

// NewKey returns a key for an algorithm. Those for RSA of the same kid are the same in a process, and have 2048 bits. Those for
// EdDSA of the same kid are always the same.
func NewKey(t testing.TB, alg, kid string) *Key {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		seed := sha256.Sum256([]byte(kid))
		private = ed25519.NewKeyFromSeed(seed[:])
	default:
		return NewRSA(t, alg, kid, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Key{kid, alg, private}
}

// NewRSA returns an RSA key of this size.
func NewRSA(t testing.TB, alg, kid string, bits int) *Key {
	t.Helper()
	rsaMu.Lock()
	defer rsaMu.Unlock()
	name := fmt.Sprint(kid, bits)
	if rsaKeys[name] == nil {
		private, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		rsaKeys[name] = private
	}
	return &Key{kid, alg, rsaKeys[name]}
}

// Encode is base64url.
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JWK returns the public key, whose members a test may change.
func (k *Key) JWK() map[string]any {
	jwk := map[string]any{"kid": k.Kid, "alg": k.Alg, "use": "sig"}
	switch public := k.private.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", Encode(public.N.Bytes()), Encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, _ := public.Bytes()
		size := len(point) / 2
		jwk["kty"], jwk["crv"] = "EC", public.Params().Name
		jwk["x"], jwk["y"] = Encode(point[1:1+size]), Encode(point[1+size:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", Encode(public)
	}
	return jwk
}

// Set returns a JWK Set.
func Set(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Sign returns a token with the usual header.
func (k *Key) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	return k.SignHeader(t, map[string]any{"alg": k.Alg, "kid": k.Kid, "typ": "JWT"}, claims)
}

// SignHeader returns a token with any header.
func (k *Key) SignHeader(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return k.SignText(t, string(h), string(c))
}

// SignText returns a token of any text, signed with the key's algorithm.
func (k *Key) SignText(t testing.TB, header, claims string) string {
	t.Helper()
	input := Encode([]byte(header)) + "." + Encode([]byte(claims))
	hash := map[string]crypto.Hash{
		"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512, "DSA": 0,
	}[k.Alg[2:]]
	digest := []byte(input)
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	var options crypto.SignerOpts = hash
	if k.Alg[0] == 'P' {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	var signature []byte
	var err error
	if private, ok := k.private.(*ecdsa.PrivateKey); ok {
		r, s, failed := ecdsa.Sign(rand.Reader, private, digest)
		if failed != nil {
			t.Fatal(failed)
		}
		size := (private.Params().BitSize + 7) / 8
		signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	} else if signature, err = k.private.Sign(rand.Reader, digest, options); err != nil {
		t.Fatal(err)
	}
	return input + "." + Encode(signature)
}

// Web is what the URLs of a test answer, queries aside. A URL that is not there fails, as do all requests of a client
// whose context has ended.
type Web struct {
	mu       sync.Mutex
	pages    map[string]http.HandlerFunc
	requests []*http.Request
}

// NewWeb returns a web without pages.
func NewWeb() *Web { return &Web{pages: map[string]http.HandlerFunc{}} }

// Serve sets what a URL answers.
func (w *Web) Serve(url string, page http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = page
}

// JSON sets a document.
func (w *Web) JSON(url, document string) {
	w.Serve(url, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(document))
	})
}

// Requests returns all requests so far, to this URL if it is not empty. Their forms have been parsed.
func (w *Web) Requests(url string) []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var requests []*http.Request
	for _, r := range w.requests {
		if url == "" || plain(r) == url {
			requests = append(requests, r)
		}
	}
	return requests
}

func plain(r *http.Request) string { return r.URL.Scheme + "://" + r.URL.Host + r.URL.Path }

// RoundTrip implements [http.RoundTripper].
func (w *Web) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body != nil {
		_ = r.ParseForm()
	}
	w.mu.Lock()
	w.requests = append(w.requests, r)
	page := w.pages[plain(r)]
	w.mu.Unlock()
	if page == nil {
		return nil, fmt.Errorf("nobody is at %s", plain(r))
	}
	recorder := httptest.NewRecorder()
	page(recorder, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := recorder.Result()
	response.Request = r
	return response, nil
}

// Env returns an environment of the web and the clock.
func Env(w *Web, c *authtest.Clock) provider.Env {
	return provider.Env{HTTP: &http.Client{Transport: w}, Now: c.Now}
}
