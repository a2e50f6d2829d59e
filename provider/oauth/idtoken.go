package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
)

// IDTokenConfig says which id tokens apps may hand in that they got by themselves, from the provider's own library for a
// platform. Audiences are required: without one, every app of the provider's would be as good as the service's own.
type IDTokenConfig struct {
	// Audiences are the client ids of the service's apps: a token is for one of them, or several, and for no one else. If it
	// says to whom it was issued ("azp"), that one must be among them, too; with several audiences it must say so
	// (OpenID Connect Core §3.1.3.7).
	Audiences []string

	// Where the provider is, if not at its usual place. Issuer is compared as it stands, and JWKSURL is an absolute URL of https,
	// or of http to this host, without user and fragment.
	Issuer  string
	JWKSURL string
}

// issuers returns the issuer that is configured, or those that the provider has.
func issuers(configured string, own ...string) []string {
	if configured != "" {
		return []string{configured}
	}
	return own
}

// rs256 is what all providers of this package sign with.
var rs256 = []string{"RS256"}

// verifier returns a verifier of tokens of one of the issuers, signed by keys at the URL, or what is wrong with that.
func verifier(name, jwksURL string, issuers []string) (*idtoken.Verifier, error) {
	if err := outbound.CheckURL(jwksURL); err != nil {
		return nil, fmt.Errorf("oauth: %s: JWKSURL %w", name, err)
	}
	return &idtoken.Verifier{
		Keys: idtoken.NewKeys(jwksURL), Issuer: idtoken.IssuedBy(issuers...), Algorithms: rs256,
	}, nil
}

// idTokens is what apps of one provider hand in.
type idTokens struct {
	name      string
	audiences []string
	verifier  *idtoken.Verifier
	profile   func(idtoken.Claims) provider.Profile
}

// newIDTokens returns a verifier for c, or every mistake in it.
func newIDTokens(
	name string, c IDTokenConfig, jwksURL string, profile func(idtoken.Claims) provider.Profile, own ...string,
) (*idTokens, error) {
	v, err := verifier(name, cmp.Or(c.JWKSURL, jwksURL), issuers(c.Issuer, own...))
	if len(c.Audiences) == 0 {
		err = errors.Join(err, fmt.Errorf("oauth: %s: Audiences are required", name))
	}
	if slices.Contains(c.Audiences, "") {
		err = errors.Join(err, fmt.Errorf("oauth: %s: Audiences has an empty entry", name))
	}
	if err != nil {
		return nil, err
	}
	return &idTokens{name: name, audiences: slices.Clone(c.Audiences), verifier: v, profile: profile}, nil
}

// Format is that of other providers.
func (t *idTokens) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "oauth."+t.name) }

// VerifyIDToken implements [provider.IDTokenVerifier].
func (t *idTokens) VerifyIDToken(ctx context.Context, env provider.Env, raw, nonce string) (provider.Profile, error) {
	var p provider.Profile
	claims, err := t.verifier.FromApp(ctx, env, raw, t.audiences, nonce)
	if err == nil {
		p, err = checked(t.profile(claims))
	}
	if err != nil {
		return provider.Profile{}, failed(t.name, "check an id token", err)
	}
	return p, nil
}

// idToken checks the id token that came with the access token, for this client alone and this attempt.
func (l lookup) idToken(ctx context.Context, v *idtoken.Verifier) (idtoken.Claims, error) {
	if l.tokens.IDToken == "" {
		return nil, errors.New("there is no id token")
	}
	return v.FromTokenEndpoint(ctx, l.env, l.tokens.IDToken, l.ClientID, nil, l.back.Nonce, l.tokens.AccessToken)
}
