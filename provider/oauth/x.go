package oauth

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// X returns X by OAuth 2.0. Its ids are those of [Twitter], which is the same by OAuth 1.0a, with other credentials. The app
// must be allowed to ask for addresses. There are refresh tokens if the scope "offline.access" is asked for. The error names
// every mistake in c.
//
// Source: https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code and
// https://docs.x.com/x-api/users/get-my-user
func X(c Config) (provider.Provider, error) {
	r, err := register("x", c, Config{
		Scopes:           []string{"tweet.read", "users.read", "users.email"}, // users/me wants the first two
		AuthorizationURL: "https://x.com/i/oauth2/authorize",
		TokenURL:         "https://api.x.com/2/oauth2/token",
		ProfileURL:       "https://api.x.com/2/users/me",
	}, oauth2.AuthStyleInHeader)
	if err != nil {
		return nil, err
	}
	r.profile = xProfile
	return r, nil
}

func xProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	from, err := asking(l.ProfileURL, "user.fields", "confirmed_email,profile_image_url")
	if err != nil {
		return provider.Profile{}, err
	}
	answer, err := l.object(ctx, from)
	if err != nil {
		return provider.Profile{}, err
	}
	user := answer.object("data")
	id, err := user.id("id")
	if err != nil {
		return provider.Profile{}, err
	}
	email := user.text("confirmed_email") // there is no other: the name is the flag
	return provider.Profile{
		Subject: id, Email: email, EmailVerified: email != "", Name: user.text("name"), Picture: user.text("profile_image_url"),
	}, nil
}
