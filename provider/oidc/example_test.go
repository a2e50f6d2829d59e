package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oidc"
)

// A provider is known by its issuer. Where it is, its metadata says; here it is configured, so that none is asked for.
func ExampleNew() {
	p, err := oidc.New(oidc.Config{
		Issuer:           "https://id.example.com/realms/staff",
		ClientID:         "portal",
		ClientSecret:     "a secret",
		Audiences:        []string{"portal-ios", "portal-android"},
		AuthorizationURL: "https://id.example.com/realms/staff/authorize",
		TokenURL:         "https://id.example.com/realms/staff/token",
		JWKSURL:          "https://id.example.com/realms/staff/keys",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := p.Authorize(context.Background(), provider.Env{HTTP: http.DefaultClient, Now: time.Now}, provider.Request{
		RedirectURI: "https://auth.example.com/signin/provider/staff/callback",
		State:       "state", Nonce: "nonce", Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	u, err := url.Parse(a.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(u.Host+u.Path, u.Query().Get("client_id"), u.Query().Get("scope"))
	// Output: id.example.com/realms/staff/authorize portal openid email profile
}
