package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
	"github.com/ostiary/auth/provider/oidc"
)

// plainProviders are those that need no more than a registration: what the environment calls them, and how they are made.
var plainProviders = []struct {
	name, variable string
	make           func(oauth.Config) (provider.Provider, error)
}{
	{"bitbucket", "BITBUCKET", oauth.Bitbucket},
	{"discord", "DISCORD", oauth.Discord},
	{"facebook", "FACEBOOK", oauth.Facebook},
	{"github", "GITHUB", oauth.GitHub},
	{"gitlab", "GITLAB", oauth.GitLab},
	{"linkedin", "LINKEDIN", oauth.LinkedIn},
	{"spotify", "SPOTIFY", oauth.Spotify},
	{"strava", "STRAVA", oauth.Strava},
	{"twitch", "TWITCH", oauth.Twitch},
	{"windowslive", "WINDOWS_LIVE", oauth.WindowsLive},
	{"x", "X", oauth.X},
}

// identityProviders is what the environment says of identity providers: those with which users sign in, and those whose id
// tokens apps hand in.
func identityProviders(e *environment, c *auth.Config) {
	p := &providers{environment: e, visits: map[string]provider.Provider{}, idTokens: map[string]provider.IDTokenVerifier{}}
	for _, known := range plainProviders {
		r := p.registration(known.variable)
		p.add(known.name, r, func() (provider.Provider, error) { return known.make(r.Config) })
	}
	p.google()
	p.apple()
	for _, known := range []struct {
		name, variable string
		make           func(oauth.EntraConfig) (provider.Provider, error)
	}{
		{"azuread", "AZUREAD", oauth.AzureAD},
		{"entraid", "ENTRAID", oauth.Entra},
	} {
		r := p.registration(known.variable)
		entra := oauth.EntraConfig{Config: r.Config, Tenant: r.text("TENANT"), Issuer: r.text("ISSUER"), JWKSURL: r.text("JWKS_URL")}
		p.add(known.name, r, func() (provider.Provider, error) { return known.make(entra) })
	}
	p.workOS()
	p.twitter()
	p.openID()
	c.Providers, c.IDTokens = p.visits, p.idTokens
}

type providers struct {
	*environment
	known    []string // names, of those that are off as well
	visits   map[string]provider.Provider
	idTokens map[string]provider.IDTokenVerifier
}

// registration is what all providers have in the environment.
type registration struct {
	oauth.Config
	e      *environment
	prefix string // of its variables
	on     bool
}

func (r *registration) text(name string) string { return r.e.text(r.prefix+name, "") }

func (p *providers) registration(variable string) *registration {
	r := &registration{e: p.environment, prefix: "AUTH_PROVIDER_" + variable + "_"}
	r.on = p.flag(r.prefix+"ENABLED", false)
	r.Config = oauth.Config{
		ClientID: r.text("CLIENT_ID"), ClientSecret: r.text("CLIENT_SECRET"), Scopes: p.list(r.prefix + "SCOPE"),
		AuthorizationURL: r.text("AUTHORIZATION_URL"), TokenURL: r.text("TOKEN_URL"), ProfileURL: r.text("USER_PROFILE_URL"),
	}
	return r
}

// add makes a provider that is on.
func (p *providers) add(name string, r *registration, make func() (provider.Provider, error)) {
	p.known = append(p.known, name)
	if !r.on {
		return
	}
	made, err := make()
	if err != nil {
		p.wrongAll(r.prefix+"ENABLED", err)
		return
	}
	p.visits[name] = made
}

// accept makes a verifier of the id tokens that apps hand in, if it is said for whom they are.
func (p *providers) accept(name string, r *registration, make func(oauth.IDTokenConfig) (provider.IDTokenVerifier, error)) {
	c := oauth.IDTokenConfig{Audiences: p.list(r.prefix + "AUDIENCE"), Issuer: r.text("ISSUER"), JWKSURL: r.text("JWKS_URL")}
	if len(c.Audiences) == 0 {
		return
	}
	made, err := make(c)
	if err != nil {
		p.wrongAll(r.prefix+"AUDIENCE", err)
		return
	}
	p.idTokens[name] = made
}

func (p *providers) wrongAll(name string, err error) {
	for _, m := range lines(name, err) {
		p.wrong(m.name, "%s", m.reason)
	}
}

func (p *providers) google() {
	r := p.registration("GOOGLE")
	c := oauth.GoogleConfig{Config: r.Config, Issuer: r.text("ISSUER"), JWKSURL: r.text("JWKS_URL")}
	p.add("google", r, func() (provider.Provider, error) { return oauth.Google(c) })
	p.accept("google", r, oauth.GoogleIDTokens)
}

func (p *providers) apple() {
	r := p.registration("APPLE")
	c := oauth.AppleConfig{
		Config: r.Config, TeamID: r.text("TEAM_ID"), KeyID: r.text("KEY_ID"), PrivateKey: r.text("PRIVATE_KEY"),
		Issuer: r.text("ISSUER"), JWKSURL: r.text("JWKS_URL"),
	}
	p.add("apple", r, func() (provider.Provider, error) { return oauth.Apple(c) })
	p.accept("apple", r, oauth.AppleIDTokens)
}

func (p *providers) workOS() {
	r := p.registration("WORKOS")
	c := oauth.WorkOSConfig{
		Config:              r.Config,
		DefaultOrganization: r.text("DEFAULT_ORGANIZATION"), DefaultConnection: r.text("DEFAULT_CONNECTION"), DefaultDomain: r.text("DEFAULT_DOMAIN"),
	}
	p.add("workos", r, func() (provider.Provider, error) { return oauth.WorkOS(c) })
}

// twitter has other names for what it knows the client by. Where only its other places are given, the request token comes from
// beside the access token.
func (p *providers) twitter() {
	r := p.registration("TWITTER")
	r.ClientID, r.ClientSecret = r.text("CONSUMER_KEY"), r.text("CONSUMER_SECRET")
	c := oauth.TwitterConfig{Config: r.Config, RequestTokenURL: r.text("REQUEST_TOKEN_URL")}
	if i := strings.LastIndexByte(c.TokenURL, '/'); c.RequestTokenURL == "" && i >= 0 {
		c.RequestTokenURL = c.TokenURL[:i] + "/request_token"
	}
	p.add("twitter", r, func() (provider.Provider, error) { return oauth.Twitter(c) })
}

// openID reads AUTH_OIDC_PROVIDERS: a JSON list of providers that speak OpenID Connect.
func (p *providers) openID() {
	const variable = "AUTH_OIDC_PROVIDERS"
	text := p.text(variable, "")
	if text == "" {
		return
	}
	var list []struct {
		Name         string   `json:"name"`
		Issuer       string   `json:"issuer"`
		ClientID     string   `json:"clientId"`
		ClientSecret string   `json:"clientSecret"`
		Scopes       []string `json:"scopes"`
		Audiences    []string `json:"audiences"` // of apps that hand in id tokens
		// DistrustEmail is for a provider whose operator may not speak for every address, such as that of a customer.
		DistrustEmail bool `json:"distrustEmail"`
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil || decoder.Decode(new(any)) != io.EOF {
		p.wrong(variable, "is not a JSON list of objects with name, issuer, clientId, clientSecret, scopes, audiences and distrustEmail") // it has secrets
		return
	}
	for i, one := range list {
		_, taken := p.visits[one.Name]
		if _, ok := p.idTokens[one.Name]; ok || slices.Contains(p.known, one.Name) {
			taken = true // it would share its accounts with another
		}
		made, err := oidc.New(oidc.Config{
			Issuer: one.Issuer, ClientID: one.ClientID, ClientSecret: one.ClientSecret, Scopes: one.Scopes, Audiences: one.Audiences,
			DistrustEmail: one.DistrustEmail,
		})
		switch {
		case err != nil:
			for _, m := range lines(variable, err) {
				p.wrong(m.name, "entry %d: %s", i+1, m.reason)
			}
		case taken:
			p.wrong(variable, "entry %d: there is another provider called %q", i+1, one.Name)
		default:
			p.visits[one.Name] = made
			if len(one.Audiences) > 0 {
				p.idTokens[one.Name] = made
			}
		}
	}
}
