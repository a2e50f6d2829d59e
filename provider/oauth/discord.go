package oauth

import (
	"context"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// Discord returns Discord. The error names every mistake in c.
//
// Source: https://discord.com/developers/docs/topics/oauth2 and https://discord.com/developers/docs/resources/user
func Discord(c Config) (provider.Provider, error) {
	r, err := register("discord", c, Config{
		Scopes:           []string{"identify", "email"},
		AuthorizationURL: "https://discord.com/api/oauth2/authorize",
		TokenURL:         "https://discord.com/api/oauth2/token",
		ProfileURL:       "https://discord.com/api/users/@me",
	}, oauth2.AuthStyleInHeader)
	if err != nil {
		return nil, err
	}
	r.profile = discordProfile
	return r, nil
}

func discordProfile(ctx context.Context, l lookup) (provider.Profile, error) {
	user, err := l.object(ctx, l.ProfileURL)
	if err != nil {
		return provider.Profile{}, err
	}
	id, err := user.id("id")
	if err != nil {
		return provider.Profile{}, err
	}
	p := provider.Profile{
		Subject: id, Email: user.text("email"), EmailVerified: user.flag("verified"), Name: user.text("global_name"),
	}
	if p.Name == "" {
		p.Name = user.text("username")
		// "0" is the discriminator of those who have a name of their own, which are by now nearly all.
		if d := user.text("discriminator"); p.Name != "" && d != "" && d != "0" {
			p.Name += "#" + d
		}
	}
	if avatar := user.text("avatar"); avatar != "" {
		p.Picture = "https://cdn.discordapp.com/avatars/" + url.PathEscape(id) + "/" + url.PathEscape(avatar) + ".png"
	}
	return p, nil
}
