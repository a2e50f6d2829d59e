package oauth

import (
	"context"
	"strings"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// Strava returns Strava, which tells no e-mail addresses. The error names every mistake in c.
//
// Source: https://developers.strava.com/docs/authentication/
func Strava(c Config) (provider.Provider, error) {
	r, err := register("strava", c, Config{
		Scopes:           []string{"profile:read_all"},
		AuthorizationURL: "https://www.strava.com/api/v3/oauth/authorize",
		TokenURL:         "https://www.strava.com/api/v3/oauth/token",
		ProfileURL:       "https://www.strava.com/api/v3/athlete",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.Scopes = []string{strings.Join(r.Scopes, ",")} // not by blanks, as everywhere else
	r.extra = map[string]string{"approval_prompt": "force"}
	r.profile = stravaProfile
	return r, nil
}

func stravaProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	athlete, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := athlete.number("id")
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id, Name: athlete.words("firstname", "lastname"),
		Picture: athlete.text("profile_medium"), // without a picture, "avatar/athlete/medium.png", which is no URL
	}, nil
}
