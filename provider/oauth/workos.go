package oauth

import (
	"context"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/internal/client"
)

// WorkOSConfig is a registration at WorkOS, whose ClientSecret is the API key. Scopes are not asked for unless given.
type WorkOSConfig struct {
	Config

	// Which sign-in at WorkOS to go to, if the request does not say. WorkOS wants one of them, and refuses two. None is a
	// restriction: whoever signs in may choose another that the environment of the API key has.
	DefaultOrganization string // "org_" and the id
	DefaultConnection   string // "conn_" and the id
	DefaultDomain       string // of the e-mail addresses of an organization; WorkOS advises against it
}

// WorkOS returns WorkOS single sign-on. The parameters "organization", "connection", "domain" and "provider" of a request
// take the place of all the defaults. It has no refresh tokens. The error names every mistake in c.
//
// Source: https://workos.com/docs/reference/sso
func WorkOS(c WorkOSConfig) (provider.Provider, error) {
	r, err := register("workos", c.Config, Config{
		AuthorizationURL: "https://api.workos.com/sso/authorize",
		TokenURL:         "https://api.workos.com/sso/token",
		ProfileURL:       "https://api.workos.com/sso/profile",
	}, oauth2.AuthStyleInParams)
	if err != nil {
		return nil, err
	}
	defaults := url.Values{
		"organization": {c.DefaultOrganization}, "connection": {c.DefaultConnection}, "domain": {c.DefaultDomain},
	}
	r.noRefresh = true
	r.params = func(asked url.Values) (map[string]string, error) {
		if err := client.CheckParams(asked, "organization", "connection", "domain", "provider"); err != nil {
			return nil, err
		}
		chosen := nonEmpty(asked)
		if len(chosen) == 0 {
			chosen = nonEmpty(defaults)
		}
		return chosen, nil
	}
	r.profile = workOSProfile
	return r, nil
}

// nonEmpty returns those parameters that have a value.
func nonEmpty(from url.Values) map[string]string {
	to := map[string]string{}
	for name := range from {
		if value := from.Get(name); value != "" {
			to[name] = value
		}
	}
	return to
}

func workOSProfile(ctx context.Context, l lookup) (provider.Profile, error) {
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
		Email:   user.text("email"), // what the organization says, about whomever it likes
		Name:    user.words("first_name", "last_name"),
	}, nil
}
