package main

import (
	"fmt"
	"net/http"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oidc"
)

// devProvider is what the routes call the provider of [startProvider].
const devProvider = "dev"

// devAccounts are the accounts at the provider. Their ids stay, so that their owners are known after a restart.
var devAccounts = []fakeidp.Account{
	{Subject: "ada", Name: "Ada Lovelace", Email: "ada@example.com", EmailVerified: true},
	{Subject: "grace", Name: "Grace Hopper", Email: "grace@example.com"},
	{Subject: "mary", Name: "Mary Somerville"},
}

// startProvider starts a toy of an identity provider in this process, with which people sign in on the page, and tells the
// engine of it, as a real service does of its registration at a real one. The caller closes it.
//
// Whoever reaches it comes into any of its accounts: so it listens on loopback alone, at a port that is free. Browsers on other
// machines would look for it on their own. Where the page is for these there is none, and it returns nil.
func startProvider(c *auth.Config) (*fakeidp.Provider, error) {
	if !named(c.ClientURL) {
		return nil, nil
	}
	idp, err := fakeidp.Start("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	for _, account := range devAccounts {
		idp.Account(account)
	}
	client := idp.Client(fakeidp.Client{
		ID: "Quickstart", RequirePKCE: true,
		RedirectURIs: []string{c.ServerURL + "/signin/provider/" + devProvider + "/callback"},
	})
	p, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: client.ID, ClientSecret: client.Secret})
	if err != nil {
		idp.Close()
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	c.Providers = map[string]provider.Provider{devProvider: p}
	c.IDTokens = map[string]provider.IDTokenVerifier{devProvider: p}
	return idp, nil
}

// providers tells the page with which providers somebody can sign in: on this machine, see [startProvider].
func providers(engine *auth.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		names := []string{}
		if here(r) {
			names = append(names, engine.Providers()...)
		}
		answer(w, http.StatusOK, map[string][]string{"providers": names})
	}
}
