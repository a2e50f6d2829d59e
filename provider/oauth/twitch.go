package oauth

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// Twitch returns Twitch. The error names every mistake in c.
//
// Source: https://dev.twitch.tv/docs/authentication/getting-tokens-oauth/ and
// https://dev.twitch.tv/docs/api/reference/#get-users
func Twitch(c Config) (provider.Provider, error) {
	r, err := register("twitch", c, Config{
		Scopes:           []string{"user:read:email"},
		AuthorizationURL: "https://id.twitch.tv/oauth2/authorize",
		TokenURL:         "https://id.twitch.tv/oauth2/token",
		ProfileURL:       "https://api.twitch.tv/helix/users",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.header = map[string]string{"Client-Id": r.ClientID}
	r.profile = twitchProfile
	return r, nil
}

func twitchProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	answer, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	// Asked for nobody, it answers with whose token it is. More than one is an answer to something else.
	if users, _ := answer["data"].([]any); len(users) != 1 {
		return provider.Profile{}, errors.New("the answer has not one user")
	}
	user := answer.first("data")
	id, err := user.id("id")
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id, Email: user.text("email"), Name: user.text("display_name"), Picture: user.text("profile_image_url"),
	}, nil
}
