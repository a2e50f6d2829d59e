package oauth

import (
	"cmp"
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/provider"
)

const googleJWKSURL = "https://www.googleapis.com/oauth2/v3/certs"

// googleIssuers are the names that Google documents for itself.
var googleIssuers = []string{"https://accounts.google.com", "accounts.google.com"}

// GoogleConfig is a registration at Google.
type GoogleConfig struct {
	Config
	Issuer  string // if not Google's own
	JWKSURL string // as the other URLs of Config
}

// Google returns Google. The account is who the profile says, and the id token, if there is one, must say the same. Addresses
// come from the profile. The error names every mistake in c.
//
// Source: https://developers.google.com/identity/openid-connect/openid-connect
func Google(c GoogleConfig) (provider.Provider, error) {
	const name = "google"
	v, mistake := verifier(name, cmp.Or(c.JWKSURL, googleJWKSURL), issuers(c.Issuer, googleIssuers...))
	r, err := register(name, c.Config, Config{
		Scopes:           []string{"openid", "email", "profile"},
		AuthorizationURL: "https://accounts.google.com/o/oauth2/auth",
		TokenURL:         "https://oauth2.googleapis.com/token",
		ProfileURL:       "https://www.googleapis.com/oauth2/v2/userinfo",
	}, oauth2.AuthStyleInParams)
	if err := errors.Join(mistake, err); err != nil {
		return nil, err
	}
	r.nonce = true
	r.issuers = issuers(c.Issuer, googleIssuers...)
	r.profile = func(ctx context.Context, l lookup) (provider.Profile, error) {
		if l.tokens.IDToken == "" {
			return googleProfile(ctx, l)
		}
		claims, err := l.idToken(ctx, v)
		if err != nil {
			return provider.Profile{}, err
		}
		p, err := googleProfile(ctx, l)
		if err == nil && p.Subject != claims.Text("sub") {
			err = errors.New("the id token is about another account")
		}
		return p, err
	}
	return r, nil
}

// GoogleIDTokens returns a verifier of the id tokens of apps and of pages that use Google's own button. On Android the
// audience is the client id of the service, and the token is issued to that of the app: both are Audiences. The error
// names every mistake in c.
//
// Source: https://developers.google.com/identity/gsi/web/guides/verify-google-id-token
func GoogleIDTokens(c IDTokenConfig) (provider.IDTokenVerifier, error) {
	t, err := newIDTokens("google", c, googleJWKSURL, idtoken.Claims.Profile, googleIssuers...)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// googleProfile reads both forms that Google has for profiles: that of its API, version 2, and that of OpenID Connect.
func googleProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	member, flag := "id", "verified_email"
	if _, ok := user["sub"]; ok {
		member, flag = "sub", "email_verified"
	}
	id, err := user.id(member)
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id, Email: user.text("email"), EmailVerified: user.flag(flag),
		Name: user.text("name"), Picture: user.text("picture"),
	}, nil
}
