// Package idtoken checks id tokens (OpenID Connect Core §2, §3.1.3.7) of any issuer. It knows no provider.
package idtoken

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/ostiary/auth/internal/strictjson"
	"github.com/ostiary/auth/provider"
)

// Algorithms are those that id tokens may be signed with: asymmetric ones alone. With the others, whoever can check a token
// can make one.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Bounds of a token.
const (
	// maxToken is the length in bytes. Tokens that list hundreds of groups have a third of it.
	maxToken = 64 << 10
	// MaxSubject is the length of a subject in bytes (OpenID Connect Core §2).
	MaxSubject = 255
	// skew is how far the clock of an issuer may be ahead.
	skew = time.Minute
)

// Verifier checks the id tokens of one issuer. It is safe for concurrent use; its fields do not change.
//
// Where a token is from, and for whom, it decides by itself and not with go-oidc, which knows one audience, one issuer and no
// type, and matches the names of claims whatever their case.
type Verifier struct {
	Keys *Keys
	// Issuer reports whether the claim "iss" is that of the issuer, given all claims. See [IssuedBy].
	Issuer func(Claims) bool
	// Algorithms are those that the issuer signs with; of these, those in the list of this package count.
	Algorithms []string
}

// IssuedBy is an issuer known by one of these names.
func IssuedBy(names ...string) func(Claims) bool {
	return func(c Claims) bool {
		name, ok := c["iss"].(string)
		return ok && slices.Contains(names, name)
	}
}

// FromTokenEndpoint checks a token that came with an access token in exchange for a code: it is for clientID, whoever it is
// for besides is in trusted, it has the nonce, and it belongs to the access token if it says to which (at_hash).
func (v *Verifier) FromTokenEndpoint(
	ctx context.Context, env provider.Env, raw, clientID string, trusted []string, nonce, accessToken string,
) (Claims, error) {
	token, claims, err := v.verify(ctx, env, raw)
	if err != nil {
		return nil, failed(err)
	}
	audiences, err := claims.audiences()
	azp, _ := claims["azp"].(string)
	given, _ := claims["nonce"].(string)
	switch {
	case err != nil:
		return nil, failed(err)
	case !slices.Contains(audiences, clientID):
		return nil, failed(errors.New("it is for another client"))
	case claims.has("azp") && azp != clientID:
		return nil, failed(errors.New("it was issued to another client"))
	case nonce == "" || subtle.ConstantTimeCompare([]byte(given), []byte(nonce)) != 1:
		return nil, failed(errors.New("it has another nonce"))
	}
	if err := trust(audiences, claims, append([]string{clientID}, trusted...)); err != nil {
		return nil, failed(err)
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(accessToken); err != nil {
			return nil, failed(errors.New("it belongs to another access token"))
		}
	}
	return claims, nil
}

// FromApp checks a token that somebody hands in: all whom it is for are in audiences, and its nonce is the one given or the
// lower-case hexadecimal SHA-256 of that. Without audiences no token is right.
func (v *Verifier) FromApp(
	ctx context.Context, env provider.Env, raw string, audiences []string, nonce string,
) (Claims, error) {
	_, claims, err := v.verify(ctx, env, raw)
	if err != nil {
		return nil, failed(err)
	}
	its, err := claims.audiences()
	if err != nil {
		return nil, failed(err)
	}
	if err := trust(its, claims, audiences); err != nil {
		return nil, failed(err)
	}
	if !sameNonce(claims, nonce) {
		return nil, failed(errors.New("it has another nonce"))
	}
	return claims, nil
}

func failed(err error) error { return fmt.Errorf("id token refused: %w", err) }

// trust is OpenID Connect Core §3.1.3.7, steps 3 to 5, for clients that are one party: every audience is in trusted; if there
// are several, the token says which of them it was issued to; and if it says so, that one is in trusted, too.
func trust(audiences []string, c Claims, trusted []string) error {
	for _, a := range audiences {
		if !slices.Contains(trusted, a) {
			return errors.New("it is for others, too, or for others alone")
		}
	}
	azp, _ := c["azp"].(string)
	switch {
	case len(audiences) > 1 && !c.has("azp"):
		return errors.New("it is for several clients, and does not say which it was issued to")
	case c.has("azp") && !slices.Contains(trusted, azp):
		return errors.New("it was issued to another client")
	}
	return nil
}

// sameNonce reports whether the nonce that was given is the token's. Apps hand the hash of theirs to the libraries of some
// providers, and those of others make it.
func sameNonce(c Claims, nonce string) bool {
	if nonce == "" {
		return !c.has("nonce")
	}
	its := c.Text("nonce")
	hash := sha256.Sum256([]byte(nonce))
	plain := subtle.ConstantTimeCompare([]byte(its), []byte(nonce))
	hashed := subtle.ConstantTimeCompare([]byte(its), []byte(hex.EncodeToString(hash[:])))
	return plain|hashed == 1
}

// compact is the form of a signed token (RFC 7515 §7.1). The library takes others, and blanks.
var compact = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// verify checks what holds for every token: the signature, the issuer, the times and the subject.
func (v *Verifier) verify(ctx context.Context, env provider.Env, raw string) (*oidc.IDToken, Claims, error) {
	if env.HTTP == nil || env.Now == nil {
		return nil, nil, errors.New("no HTTP or no Now in Env")
	}
	if len(raw) > maxToken || !compact.MatchString(raw) {
		return nil, nil, errors.New("it is not a signed token")
	}
	algorithms := v.algorithms()
	if len(algorithms) == 0 {
		return nil, nil, errors.New("the issuer has no algorithm that is good enough")
	}
	keys := &keySet{keys: v.Keys, env: env, algorithms: algorithms}
	token, err := oidc.NewVerifier("", keys, &oidc.Config{
		SkipClientIDCheck:    true, // FromTokenEndpoint and FromApp do
		SkipIssuerCheck:      true, // see below
		SupportedSigningAlgs: algorithms,
		Now:                  env.Now,
	}).Verify(ctx, raw)
	if err != nil {
		return nil, nil, keys.reason(err)
	}
	claims, err := ParseClaims(keys.payload)
	if err != nil {
		return nil, nil, err
	}
	now := env.Now()
	expires, err := claims.date("exp")
	if err != nil {
		return nil, nil, err
	}
	issued, err := claims.date("iat")
	switch {
	case err != nil:
		return nil, nil, err
	case !v.Issuer(claims):
		return nil, nil, errors.New("it is of another issuer")
	case !now.Before(expires):
		return nil, nil, errors.New("it has expired")
	case issued.After(now.Add(skew)):
		return nil, nil, errors.New("it is of the future")
	}
	if err := CheckSubject(claims.Text("sub")); err != nil {
		return nil, nil, err
	}
	return token, claims, nil
}

func (v *Verifier) algorithms() []string {
	return slices.DeleteFunc(slices.Clone(v.Algorithms), func(a string) bool { return !slices.Contains(Algorithms, a) })
}

// CheckSubject refuses what cannot be a subject: it has 1 to 255 characters of ASCII (OpenID Connect Core §2), none of which
// is a control character, and not only blanks.
func CheckSubject(sub string) error {
	switch {
	case strings.TrimSpace(sub) == "":
		return errors.New("there is no subject, or it is not a string")
	case len(sub) > MaxSubject:
		return errors.New("the subject is too long")
	case strings.ContainsFunc(sub, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("the subject has characters that no subject has")
	}
	return nil
}

// keySet is Keys for one call. It implements [oidc.KeySet].
type keySet struct {
	keys       *Keys
	env        provider.Env
	algorithms []string
	payload    []byte // these two are what VerifySignature has returned
	refused    error
}

// reason is why the library has refused a token. What it says itself repeats the token, in which anybody may have written
// anything.
func (s *keySet) reason(err error) error {
	if s.refused != nil {
		return s.refused
	}
	if _, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		return errors.New("it has expired")
	}
	return errors.New("it is not an id token, or not valid yet")
}

// VerifySignature implements [oidc.KeySet].
func (s *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	s.payload, s.refused = s.verify(ctx, raw)
	return s.payload, s.refused
}

func (s *keySet) verify(ctx context.Context, raw string) ([]byte, error) {
	var algorithms []jose.SignatureAlgorithm
	for _, a := range s.algorithms {
		algorithms = append(algorithms, jose.SignatureAlgorithm(a))
	}
	token, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return nil, errors.New("it is not a signed token")
	}
	// RFC 8725 §3.11: access tokens and logout tokens of the same issuer, with the same keys, are no id tokens.
	if typ, ok := token.Signatures[0].Header.ExtraHeaders[jose.HeaderType]; ok {
		if name, _ := typ.(string); !strings.EqualFold(name, "JWT") {
			return nil, errors.New("it is of another type")
		}
	}
	return s.keys.verify(ctx, s.env, token)
}

// Claims are the members of a JSON object that a provider answers for, by their exact names. Numbers are [json.Number].
type Claims map[string]any

// ParseClaims reads one JSON object, in which no name is given twice.
func ParseClaims(text []byte) (Claims, error) {
	claims := Claims{}
	err := strictjson.Members(text, func(name, value []byte) error {
		d := json.NewDecoder(bytes.NewReader(value))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return err
		}
		claims[string(name)] = v
		return nil
	})
	if err != nil {
		return nil, errors.New("the claims are not one JSON object")
	}
	return claims, nil
}

func (c Claims) has(name string) bool {
	_, ok := c[name]
	return ok
}

// Text returns a claim that is a string, or "".
func (c Claims) Text(name string) string {
	s, _ := c[name].(string)
	return s
}

// Flag reports whether a claim is true, and not something like it.
func (c Claims) Flag(name string) bool { return c[name] == true }

// Profile is what the standard claims say (OpenID Connect Core §5.1).
func (c Claims) Profile() provider.Profile {
	p := provider.Profile{Subject: c.Text("sub"), Email: c.Text("email"), Name: c.Text("name"), Picture: c.Text("picture")}
	p.EmailVerified = p.Email != "" && c.Flag("email_verified")
	return p
}

// audiences returns the claim "aud": a string or an array of them (RFC 7519 §4.1.3), none of which is empty.
func (c Claims) audiences() ([]string, error) {
	list, ok := c["aud"].([]any)
	if !ok {
		list = []any{c["aud"]}
	}
	var audiences []string
	for _, v := range list {
		s, _ := v.(string)
		if s == "" {
			return nil, errors.New("it does not say for whom it is")
		}
		audiences = append(audiences, s)
	}
	if len(audiences) == 0 {
		return nil, errors.New("it does not say for whom it is")
	}
	return audiences, nil
}

// date returns a claim that is a time: seconds since 1970, which may have a fraction (RFC 7519 §2).
func (c Claims) date(name string) (time.Time, error) {
	n, _ := c[name].(json.Number)
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, fmt.Errorf("%q is not a time", name)
	}
	return time.Unix(int64(seconds), 0), nil
}
