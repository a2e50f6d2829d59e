package oauth

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// Facebook returns Facebook, whose ids are those of the person for this app. It has no refresh tokens. The error names
// every mistake in c.
//
// Source: https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow
func Facebook(c Config) (provider.Provider, error) {
	r, err := register("facebook", c, Config{
		Scopes:           []string{"email"},
		AuthorizationURL: "https://www.facebook.com/v22.0/dialog/oauth",
		TokenURL:         "https://graph.facebook.com/v22.0/oauth/access_token",
		ProfileURL:       "https://graph.facebook.com/me",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.noRefresh = true
	r.profile = facebookProfile
	return r, nil
}

func facebookProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	from, err := asking(l.ProfileURL, "fields", "id,name,email,picture")
	if err != nil {
		return provider.Profile{}, err
	}
	user, err := l.object(ctx, from)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.id("id")
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id, Email: user.text("email"), Name: user.text("name"),
		Picture: user.object("picture").object("data").text("url"),
	}, nil
}
