package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/internal/strictjson"
	"github.com/ostiary/auth/provider"
)

// validity is how long metadata is used without another look.
const validity = 12 * time.Hour

// metadata is what is known of a provider.
type metadata struct {
	authorizationURL, tokenURL, userInfoURL string

	verifier       *idtoken.Verifier
	style          oauth2.AuthStyle
	issuerRequired bool // answers say who they are from (RFC 9207 §3)
}

// metadata returns what is configured, or else what the provider says of itself.
func (p *Provider) metadata(ctx context.Context, env provider.Env) (metadata, error) {
	if p.configured != nil {
		return *p.configured, nil
	}
	m, err := p.discovered.Get(ctx, env.HTTP, env.Now)
	if err != nil {
		return metadata{}, fmt.Errorf("fetch the metadata of the provider: %w", err)
	}
	return m, nil
}

// discover is OpenID Connect Discovery §4. The cache has one call of it at a time.
func (p *Provider) discover(ctx context.Context, c *http.Client) (metadata, time.Duration, error) {
	body, _, err := outbound.Get(ctx, c, strings.TrimSuffix(p.config.Issuer, "/")+"/.well-known/openid-configuration", "")
	if err != nil {
		return metadata{}, 0, err
	}
	d, err := parseDocument(body)
	if err != nil {
		return metadata{}, 0, err
	}
	// §4.3: or somebody else's server could speak for this one.
	if d.Issuer != p.config.Issuer {
		return metadata{}, 0, fmt.Errorf("it is the metadata of %.200q", d.Issuer)
	}
	jwks := override(p.config.JWKSURL, d.JWKSURL)
	if p.keys == nil || p.keysURL != jwks {
		p.keys, p.keysURL = idtoken.NewKeys(jwks), jwks
	}
	m := metadata{
		authorizationURL: override(p.config.AuthorizationURL, d.AuthorizationURL),
		tokenURL:         override(p.config.TokenURL, d.TokenURL),
		userInfoURL:      override(p.config.UserInfoURL, d.UserInfoURL),
		verifier:         &idtoken.Verifier{Keys: p.keys, Issuer: idtoken.IssuedBy(p.config.Issuer), Algorithms: d.Algorithms},
		style:            p.style(d.AuthMethods),
		issuerRequired:   d.IssuerRequired,
	}
	for _, u := range []struct {
		name, url string
		optional  bool
	}{
		{"authorization_endpoint", m.authorizationURL, false},
		{"token_endpoint", m.tokenURL, false},
		{"jwks_uri", jwks, false},
		{"userinfo_endpoint", m.userInfoURL, true},
	} {
		if u.url == "" && u.optional {
			continue
		}
		if err := outbound.CheckURL(u.url); err != nil {
			return metadata{}, 0, fmt.Errorf("%s %w", u.name, err)
		}
		// A provider elsewhere has nothing to say about what runs here.
		if strings.HasPrefix(p.config.Issuer, "https:") && !strings.HasPrefix(u.url, "https:") && !p.configures(u.url) {
			return metadata{}, 0, fmt.Errorf("%s is not https", u.name)
		}
	}
	return m, validity, nil
}

// configures reports whether the URL is in the configuration.
func (p *Provider) configures(url string) bool {
	return slices.Contains([]string{p.config.AuthorizationURL, p.config.TokenURL, p.config.JWKSURL, p.config.UserInfoURL}, url)
}

func override(configured, discovered string) string {
	if configured != "" {
		return configured
	}
	return discovered
}

// style says how the client secret is sent. It is never found out by trying, which sends the code twice.
func (p *Provider) style(methods []string) oauth2.AuthStyle {
	inBody := p.config.SecretInBody
	if len(methods) > 0 {
		inBody = slices.Contains(methods, "client_secret_post") &&
			(p.config.SecretInBody || !slices.Contains(methods, "client_secret_basic"))
	}
	if inBody || p.config.ClientSecret == "" { // a public client has its id in the form
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// document is what counts of the metadata (OpenID Connect Discovery §3).
type document struct {
	Issuer           string
	AuthorizationURL string
	TokenURL         string
	UserInfoURL      string
	JWKSURL          string
	Algorithms       []string
	AuthMethods      []string
	IssuerRequired   bool
}

func parseDocument(body []byte) (document, error) {
	d := document{}
	members := map[string]any{
		"issuer":                                &d.Issuer,
		"authorization_endpoint":                &d.AuthorizationURL,
		"token_endpoint":                        &d.TokenURL,
		"userinfo_endpoint":                     &d.UserInfoURL,
		"jwks_uri":                              &d.JWKSURL,
		"id_token_signing_alg_values_supported": &d.Algorithms,
		"token_endpoint_auth_methods_supported": &d.AuthMethods,
		"authorization_response_iss_parameter_supported": &d.IssuerRequired,
	}
	err := strictjson.Members(body, func(name, value []byte) error {
		if member, ok := members[string(name)]; ok {
			return json.Unmarshal(value, member)
		}
		return nil
	})
	if err != nil {
		return document{}, errors.New("the answer is not the metadata of a provider")
	}
	if len(d.Algorithms) == 0 {
		d.Algorithms = []string{"RS256"} // which every provider has (OpenID Connect Discovery §3)
	}
	return d, nil
}
