package oauth

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// Bitbucket returns Bitbucket Cloud. The addresses come from "emails" below the ProfileURL. The error names every mistake in
// c.
//
// Source: https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/
func Bitbucket(c Config) (provider.Provider, error) {
	r, err := register("bitbucket", c, Config{
		Scopes:           []string{"account"}, // which includes "email"
		AuthorizationURL: "https://bitbucket.org/site/oauth2/authorize",
		TokenURL:         "https://bitbucket.org/site/oauth2/access_token",
		ProfileURL:       "https://api.bitbucket.org/2.0/user",
	}, oauth2.AuthStyleInHeader)
	if err != nil {
		return nil, err
	}
	r.profile = bitbucketProfile
	return r, nil
}

func bitbucketProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.id("uuid")
	if err != nil {
		return provider.Profile{}, err
	}
	emails, err := below(l.ProfileURL, "emails")
	if err != nil {
		return provider.Profile{}, err
	}
	page, err := l.object(ctx, emails)
	if err != nil {
		return provider.Profile{}, fmt.Errorf("fetch the addresses: %w", err)
	}
	list, ok := page["values"].([]any)
	if !ok {
		return provider.Profile{}, errNoAddresses
	}
	// A page has more addresses than an account can have in practice. Should the primary one be on another, there is none.
	email := primary(list, "email", "is_primary", "is_confirmed")
	return provider.Profile{
		Subject: id, Email: email, EmailVerified: email != "",
		Name: user.text("display_name"), Picture: user.object("links").object("avatar").text("href"),
	}, nil
}
