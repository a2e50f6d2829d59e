// Package oidc has identity providers that speak OpenID Connect, known by the name of their issuer.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/internal/client"
)

// Provider is a registration at a provider that speaks OpenID Connect: the authorisation code flow (OpenID Connect Core §3.1)
// with PKCE (RFC 7636, S256), nonce and, where the provider has it, the name of the issuer in the answer (RFC 9207).
//
// An account is known by the claim "sub" of an id token that has come from the token endpoint, and which is
//
//   - signed by a key that the issuer publishes, with an asymmetric algorithm that its metadata names,
//   - of type JWT, or none: access tokens and logout tokens are refused (RFC 8725 §3.11),
//   - of the issuer, for ClientID, and for nobody else but those in Audiences,
//   - if it says to whom it was issued ("azp"), issued to ClientID; with several audiences it must say so,
//   - live, and issued not more than a minute ahead of the engine's clock,
//   - for this attempt, by its nonce, and for the access token that came with it, if it says for which.
//
// If it has no e-mail address, the userinfo endpoint is asked, whose answer must be about the same subject. An address is
// verified if "email_verified", from the same source as the address, is true and not something like it.
//
// Nothing is fetched before it is needed. Metadata and keys are kept; see New.
type Provider struct {
	config     Config    // complete
	configured *metadata // nil with discovery
	discovered *outbound.Cached[metadata]

	// Of the last metadata. Keys outlive it, unless their place has changed.
	keys    *idtoken.Keys
	keysURL string
}

var (
	_ provider.Provider        = (*Provider)(nil)
	_ provider.IDTokenVerifier = (*Provider)(nil)
)

// New returns a provider, or every mistake in c. It makes no request.
//
// The provider's metadata is fetched when it is first needed and kept for 12 hours; its keys for as long as their server says,
// between 5 minutes and 12 hours, and fetched earlier, though at most once a minute, when a token names one that is not
// known. When they cannot be fetched again, they are used until they are a day old. A failure is the answer to everybody
// for 10 seconds.
func New(c Config) (*Provider, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Provider{config: c}
	p.discovered = outbound.NewCached(p.discover)
	if c.AuthorizationURL != "" && c.TokenURL != "" && c.JWKSURL != "" {
		p.configured = &metadata{
			authorizationURL: c.AuthorizationURL, tokenURL: c.TokenURL, userInfoURL: c.UserInfoURL, style: p.style(nil),
			verifier: &idtoken.Verifier{
				Keys: idtoken.NewKeys(c.JWKSURL), Issuer: idtoken.IssuedBy(c.Issuer), Algorithms: idtoken.Algorithms,
			},
		}
	}
	return p, nil
}

// Format keeps the secret out of logs.
func (p *Provider) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "oidc.Provider{"+p.config.Issuer+"}")
}

// LogValue implements [slog.LogValuer].
func (p *Provider) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

func (p *Provider) failed(doing string, err error) error {
	return fmt.Errorf("oidc: %s: %s: %w", p.config.Issuer, doing, err)
}

// Authorize implements [provider.Provider].
func (p *Provider) Authorize(ctx context.Context, env provider.Env, q provider.Request) (provider.Authorization, error) {
	const doing = "authorize"
	m, err := p.begin(ctx, env, q)
	if err != nil {
		return provider.Authorization{}, p.failed(doing, err)
	}
	options := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(q.Verifier), oauth2.SetAuthURLParam("nonce", q.Nonce),
	}
	if p.config.FormPost {
		options = append(options, oauth2.SetAuthURLParam("response_mode", "form_post"))
	}
	for name, value := range p.config.Params {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	for name := range q.Params {
		options = append(options, oauth2.SetAuthURLParam(name, q.Params.Get(name)))
	}
	return provider.Authorization{URL: p.library(m, q).AuthCodeURL(q.State, options...), FormPost: p.config.FormPost}, nil
}

// begin checks a request and returns what is known of the provider.
func (p *Provider) begin(ctx context.Context, env provider.Env, q provider.Request) (metadata, error) {
	if env.HTTP == nil || env.Now == nil {
		return metadata{}, client.ErrNoEnv
	}
	if err := client.CheckRequest(q, true); err != nil {
		return metadata{}, err
	}
	if err := client.CheckParams(q.Params, p.config.RequestParams...); err != nil {
		return metadata{}, err
	}
	return p.metadata(ctx, env)
}

// library is made anew for each request: nothing of one reaches another.
func (p *Provider) library(m metadata, q provider.Request) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.config.ClientID,
		ClientSecret: p.config.ClientSecret,
		Endpoint:     oauth2.Endpoint{AuthURL: m.authorizationURL, TokenURL: m.tokenURL, AuthStyle: m.style},
		RedirectURL:  q.RedirectURI,
		Scopes:       p.config.Scopes,
	}
}

// Exchange implements [provider.Provider]. An answer without an id token is an error.
func (p *Provider) Exchange(ctx context.Context, env provider.Env, back provider.Return) (provider.Tokens, error) {
	const doing = "exchange the code"
	m, err := p.begin(ctx, env, back.Request)
	if err != nil {
		return provider.Tokens{}, p.failed(doing, err)
	}
	if err := client.CheckIssuer(back, m.issuerRequired, p.config.Issuer); err != nil {
		return provider.Tokens{}, p.failed(doing, err)
	}
	t, err := client.Exchange(ctx, env, p.library(m, back.Request), back.Values.Get("code"), oauth2.VerifierOption(back.Verifier))
	if err == nil && t.IDToken == "" {
		err = errors.New("there is no id token")
	}
	if err != nil {
		return provider.Tokens{}, p.failed(doing, err)
	}
	return t, nil
}

// Profile implements [provider.Provider].
func (p *Provider) Profile(
	ctx context.Context, env provider.Env, back provider.Return, t provider.Tokens,
) (provider.Profile, error) {
	const doing = "check whose tokens they are"
	m, err := p.begin(ctx, env, back.Request)
	if err != nil {
		return provider.Profile{}, p.failed(doing, err)
	}
	claims, err := m.verifier.FromTokenEndpoint(ctx, env, t.IDToken, p.config.ClientID, p.config.Audiences, back.Nonce, t.AccessToken)
	if err != nil {
		return provider.Profile{}, p.failed(doing, err)
	}
	profile := claims.Profile()
	if profile.Email == "" && m.userInfoURL != "" {
		info, err := p.userInfo(ctx, env, m.userInfoURL, t.AccessToken, profile.Subject)
		if err != nil {
			return provider.Profile{}, p.failed("fetch the profile", err)
		}
		profile.Email, profile.EmailVerified = info.Email, info.EmailVerified
		if profile.Name == "" {
			profile.Name = info.Name
		}
		if profile.Picture == "" {
			profile.Picture = info.Picture
		}
	}
	return p.checked(profile), nil
}

// userInfo is OpenID Connect Core §5.3.
func (p *Provider) userInfo(ctx context.Context, env provider.Env, from, accessToken, subject string) (provider.Profile, error) {
	body, _, err := outbound.Get(ctx, env.HTTP, from, accessToken)
	if err != nil {
		return provider.Profile{}, err
	}
	claims, err := idtoken.ParseClaims(body)
	if err != nil {
		return provider.Profile{}, err
	}
	// §5.3.2: or somebody else's access token could stand in for this one.
	if claims.Text("sub") != subject {
		return provider.Profile{}, errors.New("it is about another subject")
	}
	return claims.Profile(), nil
}

func (p *Provider) checked(profile provider.Profile) provider.Profile {
	if p.config.DistrustEmail {
		profile.EmailVerified = false
	}
	profile.Picture = client.Picture(profile.Picture)
	return profile
}

// Refresh implements [provider.Provider]. Providers give refresh tokens when asked for the scope "offline_access", and
// some without.
func (p *Provider) Refresh(ctx context.Context, env provider.Env, refreshToken string) (provider.Tokens, error) {
	const doing = "refresh"
	if env.HTTP == nil || env.Now == nil {
		return provider.Tokens{}, p.failed(doing, client.ErrNoEnv)
	}
	m, err := p.metadata(ctx, env)
	if err != nil {
		return provider.Tokens{}, p.failed(doing, err)
	}
	t, err := client.Refresh(ctx, env, p.library(m, provider.Request{}), refreshToken)
	if err != nil {
		return provider.Tokens{}, p.failed(doing, err)
	}
	return t, nil
}

// VerifyIDToken implements [provider.IDTokenVerifier]. What holds for tokens of the token endpoint holds, but for the audience: the
// token may be for ClientID or any of Audiences, for several of them, and for no one else. If it says to whom it was issued
// ("azp"), that one must be among them, and with several audiences it must say so.
func (p *Provider) VerifyIDToken(ctx context.Context, env provider.Env, idToken, nonce string) (provider.Profile, error) {
	const doing = "check an id token"
	if env.HTTP == nil || env.Now == nil {
		return provider.Profile{}, p.failed(doing, client.ErrNoEnv)
	}
	m, err := p.metadata(ctx, env)
	if err != nil {
		return provider.Profile{}, p.failed(doing, err)
	}
	claims, err := m.verifier.FromApp(ctx, env, idToken, append([]string{p.config.ClientID}, p.config.Audiences...), nonce)
	if err != nil {
		return provider.Profile{}, p.failed(doing, err)
	}
	return p.checked(claims.Profile()), nil
}
