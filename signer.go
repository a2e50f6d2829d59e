package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ContextSigner is a [crypto.Signer] that can be told how long there is to wait, as one should that asks a key management
// service over the network. Where [Key.Private] is one, the engine calls SignContext in place of Sign, with the arguments
// that Sign would get: the SHA-2 digest and its hash, or for Ed25519 the message itself and [crypto.Hash] 0. For ECDSA the
// answer is the ASN.1 form, as of any Signer.
//
// Whatever its kind, a signer other than the keys of the standard library is given five seconds, and its signature is
// verified with its public key before anything depends on it. One that fails, is late or signs with another key costs
// nobody their refresh token or their ticket: the call ends with [ErrInternal]. At most 256 calls of it are under way at
// once; those who come while that many hang wait for one, within the same five seconds.
type ContextSigner interface {
	crypto.Signer
	SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

const (
	// signTime is how long a signer outside of this process may take.
	signTime = 5 * time.Second
	// maxSigning is how many calls of one may be under way.
	maxSigning = 256
)

// remoteSigner bounds a signer that is not ours to trust with time.
type remoteSigner struct {
	signer crypto.Signer
	slots  chan struct{}
}

// newRemoteSigner returns nil for the keys of the standard library, and for none.
func newRemoteSigner(s crypto.Signer) *remoteSigner {
	switch s.(type) {
	case nil, *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return nil
	}
	return &remoteSigner{s, make(chan struct{}, maxSigning)}
}

// sign returns when the signer has answered, when its time is over, or when ctx is done.
func (r *remoteSigner) sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the signer: %w", context.Cause(ctx))
	}
	type answer struct {
		signature []byte
		err       error
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-r.slots }()
		var a answer
		a.err = guard(func() (err error) {
			if s, ok := r.signer.(ContextSigner); ok {
				a.signature, err = s.SignContext(ctx, digest, hash)
			} else {
				a.signature, err = r.signer.Sign(rand.Reader, digest, hash)
			}
			return err
		})
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.signature, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the signer is late: %w", context.Cause(ctx))
	}
}

// sign makes a JWS in compact form (RFC 7515 §7.1).
func (k *key) sign(ctx context.Context, payload []byte) (string, error) {
	n := len(k.header) + 1 + base64.RawURLEncoding.EncodedLen(len(payload))
	b := make([]byte, 0, n+1+base64.RawURLEncoding.EncodedLen(64))
	b = append(b, k.header...)
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, payload)
	signature, err := k.signature(ctx, b)
	if err != nil {
		return "", err
	}
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, signature)), nil
}

func (k *key) signature(ctx context.Context, input []byte) ([]byte, error) {
	if k.symmetric {
		return k.method.Sign(string(input), k.verifier)
	}
	digest := input
	if k.hash != 0 {
		h := k.hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	var signature []byte
	var err error
	if k.remote != nil {
		signature, err = k.remote.sign(ctx, digest, k.hash)
	} else {
		signature, err = k.private.Sign(rand.Reader, digest, k.hash)
	}
	if err == nil && k.algorithm == "ES256" {
		signature, err = rawECDSA(signature)
	}
	if err != nil {
		return nil, err
	}
	// Another version of the key, or another key: a token that nobody accepts must not end a refresh token.
	if k.remote != nil && k.method.Verify(string(input), signature, k.verifier) != nil {
		return nil, errors.New("the signer returned a signature that its public key does not verify")
	}
	return signature, nil
}

// rawECDSA turns the ASN.1 SEQUENCE of r and s that crypto.Signer gives into the two side by side, as JWS wants them
// (RFC 7518 §3.4).
func rawECDSA(signature []byte) ([]byte, error) {
	var r, s []byte
	var pair cryptobyte.String
	der := cryptobyte.String(signature)
	if !der.ReadASN1(&pair, asn1.SEQUENCE) || !pair.ReadASN1Integer(&r) || !pair.ReadASN1Integer(&s) || len(r) > 32 || len(s) > 32 {
		return nil, errors.New("the signer returned no ECDSA signature")
	}
	raw := make([]byte, 64)
	copy(raw[32-len(r):], r)
	copy(raw[64-len(s):], s)
	return raw, nil
}
