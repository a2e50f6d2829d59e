package oauth_test

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

// A registration needs an id and a secret; everything else is the provider's own. It goes into auth.Config.Providers.
func ExampleGitHub() {
	github, err := oauth.GitHub(oauth.Config{ClientID: "Iv1.8a61f9b3a7aba766", ClientSecret: "from the settings of the app"})
	fmt.Println(github, err)

	_, err = oauth.GitHub(oauth.Config{ClientID: "Iv1.8a61f9b3a7aba766", TokenURL: "http://github.example/login/oauth/access_token"})
	fmt.Println(err)
	// Output:
	// oauth.github <nil>
	// oauth: github: ClientSecret is required
	// oauth: github: TokenURL has the scheme "http", want https
}

// Whoever signs in with WorkOS comes from an organization, which the client may name when it starts.
func ExampleWorkOS() {
	workos, err := oauth.WorkOS(oauth.WorkOSConfig{
		Config:              oauth.Config{ClientID: "client_01HXRMBQ9BJ3E7QSTQ9X2PHVB7", ClientSecret: "the API key"},
		DefaultOrganization: "org_01HXRMBQ9BJ3E7QSTQ9X2PHVB7",
	})
	if err != nil {
		panic(err)
	}
	a, err := workos.Authorize(context.Background(), provider.Env{}, provider.Request{
		RedirectURI: "https://auth.example/signin/provider/workos/callback",
		State:       "xyz",
		Verifier:    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		Params:      map[string][]string{"connection": {"conn_01HXRMBQ9BJ3E7QSTQ9X2PHVB7"}},
	})
	if err != nil {
		panic(err)
	}
	to, err := url.Parse(a.URL)
	fmt.Println(to.Host, to.Query()["connection"], to.Query()["organization"], err)
	// Output:
	// api.workos.com [conn_01HXRMBQ9BJ3E7QSTQ9X2PHVB7] [] <nil>
}
