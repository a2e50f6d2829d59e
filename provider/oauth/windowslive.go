package oauth

import (
	"cmp"
	"context"
	"strings"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// WindowsLive returns Windows Live, the predecessor of what Microsoft has now. There are refresh tokens if the scope
// "wl.offline_access" is asked for. The error names every mistake in c.
func WindowsLive(c Config) (provider.Provider, error) {
	r, err := register("windowslive", c, Config{
		Scopes:           []string{"wl.basic", "wl.emails"},
		AuthorizationURL: "https://login.live.com/oauth20_authorize.srf",
		TokenURL:         "https://login.live.com/oauth20_token.srf",
		ProfileURL:       "https://apis.live.net/v5.0/me",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	r.profile = windowsLiveProfile
	return r, nil
}

func windowsLiveProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.id("id")
	if err != nil {
		return provider.Profile{}, err
	}
	name, last := user.words("name"), user.words("last_name")
	if !strings.HasSuffix(name, last) { // the name is the whole one, as a rule
		name = strings.TrimSpace(name + " " + last)
	}
	emails := user.object("emails")
	return provider.Profile{
		Subject: id, Email: cmp.Or(emails.text("preferred"), emails.text("account")), Name: name,
		Picture: user.text("profile_image_url"),
	}, nil
}
