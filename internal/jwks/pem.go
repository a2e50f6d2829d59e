package jwks

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// ErrPEM is wrapped by every error about text that is not the PEM form of one key of the wanted kind.
var ErrPEM = errors.New("jwks: not a PEM key")

// maxPEM is how long the text of a key can be, in bytes. The longest acceptable RSA key takes less than half of it.
const maxPEM = 32 << 10

// ParsePrivatePEM reads a private key: PKCS #8 (PRIVATE KEY), PKCS #1 (RSA PRIVATE KEY) or SEC 1 (EC PRIVATE KEY). The
// result is an [*rsa.PrivateKey], [*ecdsa.PrivateKey] or [ed25519.PrivateKey] whose public key [PublicJWK] takes.
//
// Line breaks can be written as the two characters \n, as they are in environment variables. There is one key, with
// nothing but white space around it, save for the parameters (EC PARAMETERS) that OpenSSL puts before a SEC 1 key.
// Encrypted keys are refused.
//
// The error wraps [ErrPEM] or [ErrKey] and holds nothing of the key.
func ParsePrivatePEM(text []byte) (crypto.Signer, error) {
	block, err := decodePEM(text)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, fmt.Errorf("%w: key is encrypted", ErrPEM)
	default:
		return nil, fmt.Errorf("%w: block %q is not a private key", ErrPEM, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPEM, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: type %T does not sign", ErrKey, key)
	}
	if _, err := parameters(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// ParsePublicPEM reads a public key: PKIX (PUBLIC KEY) or PKCS #1 (RSA PUBLIC KEY). The result has one of the types that
// [PublicJWK] takes. The text has the form described for [ParsePrivatePEM].
//
// The error wraps [ErrPEM] or [ErrKey].
func ParsePublicPEM(text []byte) (crypto.PublicKey, error) {
	block, err := decodePEM(text)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%w: block %q is not a public key", ErrPEM, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPEM, err)
	}
	if _, err := parameters(key); err != nil {
		return nil, err
	}
	return key, nil
}

// decodePEM returns the one block in text.
func decodePEM(text []byte) (*pem.Block, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrPEM, maxPEM)
	}
	// No PEM text has a backslash of its own.
	text = bytes.ReplaceAll(text, []byte(`\r`), nil)
	text = bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))

	begin := []byte("-----BEGIN ")
	for {
		text = bytes.TrimSpace(text)
		// pem.Decode searches for a block that it can read and passes over what it cannot. Here the first must be it.
		if !bytes.HasPrefix(text, begin) {
			return nil, fmt.Errorf("%w: no block at the start", ErrPEM)
		}
		block, rest := pem.Decode(text)
		if block == nil || bytes.Count(text[:len(text)-len(rest)], begin) != 1 {
			return nil, fmt.Errorf("%w: block is malformed", ErrPEM)
		}
		if block.Type == "EC PARAMETERS" {
			text = rest
			continue
		}
		if len(block.Headers) > 0 {
			return nil, fmt.Errorf("%w: block has headers, as encrypted keys do", ErrPEM)
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("%w: data behind the key", ErrPEM)
		}
		// Some functions of crypto/x509 ignore what stands behind the key.
		var der asn1.RawValue
		if rest, err := asn1.Unmarshal(block.Bytes, &der); err != nil || len(rest) > 0 {
			return nil, fmt.Errorf("%w: content is not one DER value", ErrPEM)
		}
		return block, nil
	}
}
