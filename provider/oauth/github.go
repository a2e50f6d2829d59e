package oauth

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// GitHub returns GitHub, or the GitHub Enterprise Server that the URLs of c name. The addresses come from "emails" below the
// ProfileURL. The error names every mistake in c.
//
// Source: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
func GitHub(c Config) (provider.Provider, error) {
	r, err := register("github", c, Config{
		Scopes:           []string{"user:email"},
		AuthorizationURL: "https://github.com/login/oauth/authorize",
		TokenURL:         "https://github.com/login/oauth/access_token",
		ProfileURL:       "https://api.github.com/user",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.profile = gitHubProfile
	return r, nil
}

func gitHubProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.number("id")
	if err != nil {
		return provider.Profile{}, err
	}
	// The "email" of the user is what the public sees, and nobody says whether it is verified.
	emails, err := below(l.ProfileURL, "emails")
	if err != nil {
		return provider.Profile{}, err
	}
	answer, err := l.fetch(ctx, emails)
	if err != nil {
		return provider.Profile{}, fmt.Errorf("fetch the addresses: %w", err)
	}
	list, ok := answer.([]any)
	if !ok {
		return provider.Profile{}, errNoAddresses
	}
	email := primary(list, "email", "primary", "verified")
	return provider.Profile{
		Subject: id, Email: email, EmailVerified: email != "", Name: user.text("name"), Picture: user.text("avatar_url"),
	}, nil
}
