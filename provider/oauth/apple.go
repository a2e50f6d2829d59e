package oauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/jwks"
	"github.com/ostiary/auth/provider"
)

// What Apple is known by.
const (
	appleIssuer  = "https://appleid.apple.com"
	appleJWKSURL = "https://appleid.apple.com/auth/keys"
)

// AppleConfig is a registration at Apple, whose ClientID is the Services ID. It has no ClientSecret, which is made of the
// rest for each request, and no ProfileURL.
type AppleConfig struct {
	Config
	TeamID string // the id of the developer account. Required.
	KeyID  string // the id of PrivateKey. Required.
	// PrivateKey is the key for Sign in with Apple, a P-256 key: the .p8 file as it came from Apple, with line breaks or with
	// \n in their place, or the base64 of it. Required.
	PrivateKey string

	Issuer  string // of id tokens, if not Apple's own; it is also the audience of the client secret
	JWKSURL string // as the other URLs of Config
}

// Apple returns Sign in with Apple. The browser comes back with a form, as Apple demands where the name or the address is asked
// for. Only the code in it counts: the response type is "code", and an id token from the browser is never looked at.
// The account is who the id token of the token endpoint says. What the form says of the user (Apple tells it once,
// at the first sign-in) is shown as their name and nothing else. The error names every mistake in c.
//
// Source: https://developer.apple.com/documentation/signinwithapplerestapi
func Apple(c AppleConfig) (provider.Provider, error) {
	const name = "apple"
	var mistakes []error
	wrong := func(text string) { mistakes = append(mistakes, fmt.Errorf("oauth: %s: %s", name, text)) }
	if c.ClientSecret != "" {
		wrong("ClientSecret is made of PrivateKey")
	}
	if c.ProfileURL != "" {
		wrong("ProfileURL: there is no such thing")
	}
	if c.TeamID == "" {
		wrong("TeamID is required")
	}
	if c.KeyID == "" {
		wrong("KeyID is required")
	}
	key, err := parseAppleKey(c.PrivateKey)
	if err != nil {
		wrong("PrivateKey: " + err.Error())
	}
	v, err := verifier(name, cmp.Or(c.JWKSURL, appleJWKSURL), issuers(c.Issuer, appleIssuer))
	if err != nil {
		mistakes = append(mistakes, err)
	}
	c.ClientSecret = "made by the function below"
	r, err := register(name, c.Config, Config{
		Scopes:           []string{"name", "email"},
		AuthorizationURL: "https://appleid.apple.com/auth/authorize",
		TokenURL:         "https://appleid.apple.com/auth/token",
	}, oauth2.AuthStyleInParams)
	if err := errors.Join(append(mistakes, err)...); err != nil {
		return nil, err
	}
	r.nonce, r.formPost = true, true
	r.extra = map[string]string{"response_mode": "form_post"}
	r.secret = func(now time.Time) (string, error) {
		return appleSecret(key, c.KeyID, c.TeamID, c.ClientID, cmp.Or(c.Issuer, appleIssuer), now)
	}
	r.profile = func(ctx context.Context, l lookup) (provider.Profile, error) {
		claims, err := l.idToken(ctx, v)
		if err != nil {
			return provider.Profile{}, err
		}
		p := appleProfile(claims)
		p.Name = appleName(l.back.Values.Get("user"))
		return p, nil
	}
	return r, nil
}

// AppleIDTokens returns a verifier of the id tokens of apps on Apple's platforms, whose audience is the app's bundle id. They
// do not have the name of the user. The error names every mistake in c.
func AppleIDTokens(c IDTokenConfig) (provider.IDTokenVerifier, error) {
	t, err := newIDTokens("apple", c, appleJWKSURL, appleProfile, appleIssuer)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func appleProfile(c idtoken.Claims) provider.Profile {
	// Apple documents the flag as a string or a boolean.
	verified := c.Flag("email_verified") || c.Text("email_verified") == "true"
	return provider.Profile{Subject: c.Text("sub"), Email: c.Text("email"), EmailVerified: verified}
}

// maxAppleUser bounds the form field "user", in bytes.
const maxAppleUser = 4 << 10

// appleName reads the name in the form field "user", which the browser can have made up: {"name":{"firstName":…,"lastName":…}}.
func appleName(user string) string {
	if len(user) > maxAppleUser {
		return ""
	}
	v, err := parse([]byte(user))
	if err != nil {
		return ""
	}
	o, _ := v.(map[string]any)
	return object(o).object("name").words("firstName", "lastName")
}

// appleSecretLife is how long a client secret lives. It is sent once, at once; Apple allows six months.
const appleSecretLife = 5 * time.Minute

// appleSecret makes the client secret for one request.
//
// Source: https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret
func appleSecret(key *ecdsa.PrivateKey, keyID, teamID, clientID, audience string, now time.Time) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: keyID}}, nil,
	)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(struct {
		Issuer   string           `json:"iss"`
		IssuedAt *jwt.NumericDate `json:"iat"`
		Expiry   *jwt.NumericDate `json:"exp"`
		Audience string           `json:"aud"` // a string, and not an array of one
		Subject  string           `json:"sub"`
	}{teamID, jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(appleSecretLife)), audience, clientID}).Serialize()
}

// parseAppleKey reads a P-256 key from PEM or its base64. The error holds nothing of the key.
func parseAppleKey(text string) (*ecdsa.PrivateKey, error) {
	if text == "" {
		return nil, errors.New("is required")
	}
	raw := []byte(text)
	if !bytes.Contains(raw, []byte("-----BEGIN")) {
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, errors.New("is neither PEM nor base64")
		}
		if raw = decoded; !bytes.Contains(raw, []byte("-----BEGIN")) { // the text between the lines of PEM
			raw = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: decoded})
		}
	}
	signer, err := jwks.ParsePrivatePEM(raw)
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey) // of P-256, as ParsePrivatePEM knows no other curve
	if !ok {
		return nil, errors.New("is not a P-256 key")
	}
	return key, nil
}
