package oauth

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// GitLab returns gitlab.com, or the GitLab that the URLs of c name. The error names every mistake in c.
//
// Source: https://docs.gitlab.com/api/oauth2/ and https://docs.gitlab.com/api/users/
func GitLab(c Config) (provider.Provider, error) {
	r, err := register("gitlab", c, Config{
		Scopes:           []string{"read_user"},
		AuthorizationURL: "https://gitlab.com/oauth/authorize",
		TokenURL:         "https://gitlab.com/oauth/token",
		ProfileURL:       "https://gitlab.com/api/v4/user",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.profile = gitLabProfile
	return r, nil
}

func gitLabProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.number("id")
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id,
		Email:   user.text("email"), // the primary one: a new one takes its place when it is confirmed
		// When the address was confirmed, and null before.
		EmailVerified: user.text("confirmed_at") != "",
		Name:          user.text("name"), Picture: user.text("avatar_url"),
	}, nil
}
