package fakeidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"strconv"
	"time"
)

// Lie makes the provider tell lies in all id tokens from now on, in addition to those that it tells already.
func (p *Provider) Lie(lies ...func(*IDToken)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lies = append(p.lies, lies...)
}

// LieOnce is [Provider.Lie] for the next id token, whether it comes from the token endpoint or from [Provider.IDToken].
func (p *Provider) LieOnce(lies ...func(*IDToken)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.liesOnce = append(p.liesOnce, lies...)
}

// What lies speak of.
const (
	otherAudience = "another-client"
	otherIssuer   = "https://another-issuer.example"
	otherSubject  = "another-subject"
)

// LieWrongNonce gives an id token a nonce that is not the request's.
func LieWrongNonce(token *IDToken) { token.Claims["nonce"] = "another-nonce" }

// LieNoNonce leaves the nonce out.
func LieNoNonce(token *IDToken) { delete(token.Claims, "nonce") }

// LieWrongAudience makes an id token one for another client.
func LieWrongAudience(token *IDToken) { token.Claims["aud"] = otherAudience }

// LieExtraAudience makes an id token one for another client as well, without saying which of them has asked.
func LieExtraAudience(token *IDToken) {
	delete(token.Claims, "azp")
	token.Claims["aud"] = []any{token.Claims["aud"], otherAudience}
}

// LieWrongAZP says that another client has asked for an id token.
func LieWrongAZP(token *IDToken) { token.Claims["azp"] = otherAudience }

// LieExpired makes an id token one that has expired an hour ago.
func LieExpired(token *IDToken) { shift(token, -time.Hour-idTokenLife) }

// LieNotYetIssued makes an id token one that is issued in an hour.
func LieNotYetIssued(token *IDToken) { shift(token, time.Hour) }

// shift moves an id token in time.
func shift(token *IDToken, by time.Duration) {
	for _, name := range []string{"iat", "exp", "auth_time"} {
		if seconds, ok := token.Claims[name].(int64); ok {
			token.Claims[name] = seconds + int64(by.Seconds())
		}
	}
}

// LieAlgNone takes the signature away and says so (RFC 8725 §2.1).
func LieAlgNone(token *IDToken) {
	token.Header["alg"] = "none"
	token.Key = nil
}

// LieSignedWithPublicKey signs with HS256 and the public key, in PEM, for a secret (RFC 8725 §2.1).
func LieSignedWithPublicKey(token *IDToken) {
	key, ok := token.Key.(crypto.Signer)
	if !ok {
		return
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		token.Key = err // with which it cannot be signed
		return
	}
	token.Header["alg"] = "HS256"
	token.Key = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// LieUnknownKeyName names a key that is not in the key set. It is signed with the one that is.
func LieUnknownKeyName(token *IDToken) { token.Header["kid"] = "unknown" }

// LieWrongKey signs with a key that is not in the key set, by the name of one that is.
func LieWrongKey(token *IDToken) {
	key, ok := token.Key.(crypto.Signer)
	if !ok {
		return
	}
	other, err := otherKey(key)
	if err != nil {
		token.Key = err // with which it cannot be signed
		return
	}
	token.Key = other
}

// otherKey makes a key of the same kind.
func otherKey(key crypto.Signer) (crypto.Signer, error) {
	switch key.(type) {
	case *ecdsa.PrivateKey:
		return generateKey("ES256")
	case ed25519.PrivateKey:
		return generateKey("EdDSA")
	default:
		return generateKey("RS256")
	}
}

// LieOtherIssuer makes an id token one of another issuer.
func LieOtherIssuer(token *IDToken) { token.Claims["iss"] = otherIssuer }

// LieNoSubject leaves the subject out.
func LieNoSubject(token *IDToken) { delete(token.Claims, "sub") }

// LieNumericSubject makes the subject a number: that which it is the text of, or else 12345.
func LieNumericSubject(token *IDToken) {
	number := int64(12345)
	if subject, ok := token.Claims["sub"].(string); ok {
		if n, err := strconv.ParseInt(subject, 10, 64); err == nil {
			number = n
		}
	}
	token.Claims["sub"] = number
}

// LieOtherSubject makes an id token one of another account.
func LieOtherSubject(token *IDToken) { token.Claims["sub"] = otherSubject }

// LieEmailVerifiedIsText makes the claim email_verified the text "true".
func LieEmailVerifiedIsText(token *IDToken) { token.Claims["email_verified"] = "true" }

// LieWrongHash makes an id token one that came with another code and another access token.
func LieWrongHash(token *IDToken) {
	for _, name := range []string{"at_hash", "c_hash"} {
		if _, ok := token.Claims[name]; ok {
			token.Claims[name] = "AAAAAAAAAAAAAAAAAAAAAA"
		}
	}
}
