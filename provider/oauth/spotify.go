package oauth

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// Spotify returns Spotify. The error names every mistake in c.
//
// Source: https://developer.spotify.com/documentation/web-api/tutorials/code-flow
func Spotify(c Config) (provider.Provider, error) {
	r, err := register("spotify", c, Config{
		Scopes:           []string{"user-read-email", "user-read-private"},
		AuthorizationURL: "https://accounts.spotify.com/authorize",
		TokenURL:         "https://accounts.spotify.com/api/token",
		ProfileURL:       "https://api.spotify.com/v1/me",
	}, oauth2.AuthStyleInHeader)
	if err != nil {
		return nil, err
	}
	r.profile = spotifyProfile
	return r, nil
}

func spotifyProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.id("id")
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id,
		Email:   user.text("email"), // unverified, by its documentation
		Name:    user.text("display_name"), Picture: user.first("images").text("url"),
	}, nil
}
