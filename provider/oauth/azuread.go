package oauth

import (
	"github.com/ostiary/auth/provider"
)

// AzureAD returns version 1 of what is now Microsoft Entra ID. New services use [Entra].
//
// Accounts are known by "oid", the id of the object in the directory, which is the same for all clients. What is said of tenants,
// addresses and scopes at [EntraConfig] and [Entra] holds here, too. Where there is no "email", the address is that of
// "preferred_username" or "upn", if they look like one. They are names for signing in and no proof of a mailbox, and
// never verified. The error names every mistake in c.
//
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference
func AzureAD(c EntraConfig) (provider.Provider, error) {
	r, err := newMicrosoft("azuread", c, "oid", []string{"preferred_username", "upn"}, EntraConfig{
		Config: Config{
			Scopes:           []string{"openid", "email", "profile"},
			AuthorizationURL: "https://login.microsoftonline.com/{tenant}/oauth2/authorize",
			TokenURL:         "https://login.microsoftonline.com/{tenant}/oauth2/token",
			ProfileURL:       "https://login.microsoftonline.com/{tenant}/openid/userinfo",
		},
		Issuer:  "https://sts.windows.net/{tenantid}/",
		JWKSURL: "https://login.microsoftonline.com/{tenant}/discovery/keys",
	})
	if err != nil {
		return nil, err
	}
	r.extra = map[string]string{"prompt": "select_account"}
	return r, nil
}
