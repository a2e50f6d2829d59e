package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func appleKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return strings.ReplaceAll(text, "\n", `\n`)
}

func TestProvidersOfTheEnvironment(t *testing.T) {
	t.Parallel()
	const googleApps, appleApps = "AUTH_PROVIDER_GOOGLE_AUDIENCE", "AUTH_PROVIDER_APPLE_AUDIENCE"
	all := map[string]string{
		"AUTH_PROVIDER_APPLE_TEAM_ID": "TEAM", "AUTH_PROVIDER_APPLE_KEY_ID": "KEY", "AUTH_PROVIDER_APPLE_PRIVATE_KEY": appleKey(t),
		"AUTH_PROVIDER_TWITTER_CONSUMER_KEY": "k", "AUTH_PROVIDER_TWITTER_CONSUMER_SECRET": "canary",
		"AUTH_PROVIDER_WORKOS_DEFAULT_ORGANIZATION": "org_1", googleApps: "web, android", appleApps: "com.example.app",
		"AUTH_OIDC_PROVIDERS": `[{"name":"corp","issuer":"https://id.example.com","clientId":"c","clientSecret":"canary","scopes":["openid"],"audiences":["app"],"distrustEmail":true},` +
			`{"name":"dev","issuer":"http://127.0.0.1:9000","clientId":"c"}]`,
	}
	for _, x := range []string{
		"APPLE", "AZUREAD", "BITBUCKET", "DISCORD", "ENTRAID", "FACEBOOK", "GITHUB", "GITLAB", "GOOGLE", "LINKEDIN", "SPOTIFY", "STRAVA",
		"TWITCH", "TWITTER", "WINDOWS_LIVE", "WORKOS", "X",
	} {
		all["AUTH_PROVIDER_"+x+"_ENABLED"] = "true"
		if x != "TWITTER" {
			all["AUTH_PROVIDER_"+x+"_CLIENT_ID"] = "id"
		}
		if x != "TWITTER" && x != "APPLE" {
			all["AUTH_PROVIDER_"+x+"_CLIENT_SECRET"] = "canary"
		}
	}
	every := []string{
		"apple", "azuread", "bitbucket", "corp", "dev", "discord", "entraid", "facebook", "github", "gitlab", "google", "linkedin", "spotify",
		"strava", "twitch", "twitter", "windowslive", "workos", "x",
	}
	for name, tt := range map[string]struct {
		env              map[string]string
		visits, idTokens []string
	}{
		"none":             {nil, nil, nil},
		"switched off":     {map[string]string{"AUTH_PROVIDER_GITHUB_ENABLED": "false", "AUTH_PROVIDER_GITHUB_CLIENT_ID": "c"}, nil, nil},
		"all":              {all, every, []string{"apple", "corp", "google"}},
		"id tokens alone":  {map[string]string{googleApps: "a", appleApps: "b"}, nil, []string{"apple", "google"}},
		"one of one's own": {map[string]string{"AUTH_PROVIDER_GITHUB_ENABLED": "true", "AUTH_PROVIDER_GITHUB_CLIENT_ID": "c", "AUTH_PROVIDER_GITHUB_CLIENT_SECRET": "s", "AUTH_PROVIDER_GITHUB_TOKEN_URL": "http://127.0.0.1:1/token"}, []string{"github"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(good(tt.env), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.visits, slices.Sorted(maps.Keys(s.auth.Providers))); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.idTokens, slices.Sorted(maps.Keys(s.auth.IDTokens))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProvidersThatCannotBe(t *testing.T) {
	t.Parallel()
	on := func(x string, more ...string) map[string]string {
		env := map[string]string{"AUTH_PROVIDER_" + x + "_ENABLED": "true", "AUTH_PROVIDER_" + x + "_CLIENT_ID": "c", "AUTH_PROVIDER_" + x + "_CLIENT_SECRET": "canary"}
		for i := 0; i < len(more); i += 2 {
			env["AUTH_PROVIDER_"+x+"_"+more[i]] = more[i+1]
		}
		return env
	}
	list := func(text string) map[string]string { return map[string]string{"AUTH_OIDC_PROVIDERS": text} }
	const corp = `{"name":"corp","issuer":"https://id.example.com","clientId":"c","clientSecret":"canary"}`
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no client id":           {map[string]string{"AUTH_PROVIDER_GITHUB_ENABLED": "true"}, "AUTH_PROVIDER_GITHUB_ENABLED: oauth: github: ClientID"},
		"no secret":              {map[string]string{"AUTH_PROVIDER_SPOTIFY_ENABLED": "true", "AUTH_PROVIDER_SPOTIFY_CLIENT_ID": "c"}, "AUTH_PROVIDER_SPOTIFY_ENABLED: oauth: spotify: ClientSecret"},
		"http elsewhere":         {on("GITLAB", "TOKEN_URL", "http://gitlab.example.com/token"), "AUTH_PROVIDER_GITLAB_ENABLED: oauth: gitlab: TokenURL"}, // SS-01
		"a file":                 {on("GITLAB", "USER_PROFILE_URL", "file:///etc/passwd"), "AUTH_PROVIDER_GITLAB_ENABLED: oauth: gitlab: ProfileURL"},
		"link-local":             {on("GITHUB", "AUTHORIZATION_URL", "http://169.254.169.254/"), "AUTH_PROVIDER_GITHUB_ENABLED: oauth: github: AuthorizationURL"},
		"a key that is none":     {on("APPLE", "TEAM_ID", "t", "KEY_ID", "k", "PRIVATE_KEY", "canary"), "AUTH_PROVIDER_APPLE_ENABLED: oauth: apple: "},
		"neither true nor false": {map[string]string{"AUTH_PROVIDER_X_ENABLED": "maybe"}, "AUTH_PROVIDER_X_ENABLED: "},
		"not JSON":               {list("canary"), "AUTH_OIDC_PROVIDERS: is not a JSON list"},
		"an unknown member":      {list(`[{"name":"a","secret":"canary"}]`), "AUTH_OIDC_PROVIDERS: is not a JSON list"},
		"two lists":              {list(`[][]`), "AUTH_OIDC_PROVIDERS: is not a JSON list"},
		"no issuer":              {list(`[{"name":"a","clientId":"c"}]`), "AUTH_OIDC_PROVIDERS: entry 1: "},
		"an issuer over http":    {list(`[` + corp + `,{"name":"a","issuer":"http://id.example.com","clientId":"c"}]`), "AUTH_OIDC_PROVIDERS: entry 2: "},
		"one name for two":       {list(`[` + corp + `,` + corp + `]`), `AUTH_OIDC_PROVIDERS: entry 2: there is another provider called "corp"`},
		"a well-known name":      {list(strings.Replace(`[`+corp+`]`, `"corp"`, `"google"`, 1)), `AUTH_OIDC_PROVIDERS: entry 1: there is another provider called "google"`},
		"a name that is none":    {list(strings.Replace(`[`+corp+`]`, `"corp"`, `"The Corporation"`, 1)), `AUTH_OIDC_PROVIDERS: "The Corporation" is not a name`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(good(tt.env), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
}
