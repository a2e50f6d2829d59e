package oauth

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// LinkedIn returns LinkedIn, its product "Sign In with LinkedIn using OpenID Connect". It refuses token requests with a PKCE
// verifier, other than those of apps on devices, and its id tokens have no nonce: they are not looked at. The error
// names every mistake in c.
//
// Source: https://learn.microsoft.com/en-us/linkedin/consumer/integrations/self-serve/sign-in-with-linkedin-v2
func LinkedIn(c Config) (provider.Provider, error) {
	r, err := register("linkedin", c, Config{
		Scopes:           []string{"openid", "profile", "email"},
		AuthorizationURL: "https://www.linkedin.com/oauth/v2/authorization",
		TokenURL:         "https://www.linkedin.com/oauth/v2/accessToken",
		ProfileURL:       "https://api.linkedin.com/v2/userinfo",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.noPKCE = true
	r.profile = linkedInProfile
	return r, nil
}

func linkedInProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.id("sub")
	if err != nil {
		return provider.Profile{}, err
	}
	p := provider.Profile{
		Subject: id, Email: user.text("email"), EmailVerified: user.flag("email_verified"),
		Name: user.words("given_name", "family_name"), Picture: user.text("picture"),
	}
	if p.Name == "" {
		p.Name = user.text("name")
	}
	return p, nil
}
