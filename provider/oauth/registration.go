package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/internal/client"
)

// registration is a provider that speaks OAuth 2.0. How one differs from another is in its fields, which do not change once
// it is made: make one with [register], and then set those that are not usual.
type registration struct {
	Config // complete
	name   string
	style  oauth2.AuthStyle // never to be found out by trying, which sends the code twice

	extra     map[string]string // further parameters of authorisation requests; they may replace response_type
	header    map[string]string // further headers of requests for profiles
	noPKCE    bool              // the provider refuses the verifier
	noRefresh bool              // the provider has no refresh tokens
	nonce     bool              // the authorisation request has Request.Nonce
	formPost  bool              // Authorization.FormPost
	issuers   []string          // what an answer that says who it is from may say (RFC 9207); nil if that is not known

	// params says which parameters of the authorisation request Request.Params become. If it is nil, none is known.
	params func(url.Values) (map[string]string, error)
	// secret makes the client secret, if that is not the one of Config.
	secret func(now time.Time) (string, error)
	// profile says whose tokens they are.
	profile func(context.Context, lookup) (provider.Profile, error)
}

// register returns a registration for c, completed by def, or every mistake in c.
func register(name string, c, def Config, style oauth2.AuthStyle) (*registration, error) {
	c, err := c.withDefaults(name, def)
	if err != nil {
		return nil, err
	}
	return &registration{Config: c, name: name, style: style}, nil
}

// Format keeps the secret out of logs.
func (r *registration) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "oauth."+r.name) }

// Authorize implements [provider.Provider].
func (r *registration) Authorize(_ context.Context, _ provider.Env, q provider.Request) (provider.Authorization, error) {
	extra, err := r.check(q)
	if err != nil {
		return provider.Authorization{}, r.failed("authorize", err)
	}
	var options []oauth2.AuthCodeOption
	for name, value := range extra {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	if !r.noPKCE {
		options = append(options, oauth2.S256ChallengeOption(q.Verifier))
	}
	if r.nonce {
		options = append(options, oauth2.SetAuthURLParam("nonce", q.Nonce))
	}
	return provider.Authorization{URL: r.library(q, "").AuthCodeURL(q.State, options...), FormPost: r.formPost}, nil
}

// check refuses a request that would go without its protection, and returns the parameters that are this provider's own.
func (r *registration) check(q provider.Request) (map[string]string, error) {
	if err := client.CheckRequest(q, r.nonce); err != nil {
		return nil, err
	}
	if r.params == nil {
		return r.extra, client.CheckParams(q.Params)
	}
	own, err := r.params(q.Params)
	if err != nil {
		return nil, err
	}
	extra := map[string]string{}
	maps.Copy(extra, r.extra)
	maps.Copy(extra, own)
	return extra, nil
}

// library is made anew for each request: nothing of one reaches another.
func (r *registration) library(q provider.Request, secret string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     r.ClientID,
		ClientSecret: secret,
		Endpoint:     oauth2.Endpoint{AuthURL: r.AuthorizationURL, TokenURL: r.TokenURL, AuthStyle: r.style},
		RedirectURL:  q.RedirectURI,
		Scopes:       r.Scopes,
	}
}

// Exchange implements [provider.Provider].
func (r *registration) Exchange(ctx context.Context, env provider.Env, back provider.Return) (provider.Tokens, error) {
	const doing = "exchange the code"
	if _, err := r.check(back.Request); err != nil {
		return provider.Tokens{}, r.failed(doing, err)
	}
	if r.issuers != nil {
		if err := client.CheckIssuer(back, false, r.issuers...); err != nil {
			return provider.Tokens{}, r.failed(doing, err)
		}
	}
	c, err := r.confidential(env, back.Request)
	if err != nil {
		return provider.Tokens{}, r.failed(doing, err)
	}
	var options []oauth2.AuthCodeOption
	if !r.noPKCE {
		options = append(options, oauth2.VerifierOption(back.Verifier))
	}
	t, err := client.Exchange(ctx, env, c, back.Values.Get("code"), options...)
	if err != nil {
		return provider.Tokens{}, r.failed(doing, err)
	}
	return t, nil
}

// Refresh implements [provider.Provider].
func (r *registration) Refresh(ctx context.Context, env provider.Env, refreshToken string) (provider.Tokens, error) {
	const doing = "refresh"
	if r.noRefresh {
		return provider.Tokens{}, r.failed(doing, provider.ErrNoRefresh)
	}
	c, err := r.confidential(env, provider.Request{})
	if err != nil {
		return provider.Tokens{}, r.failed(doing, err)
	}
	t, err := client.Refresh(ctx, env, c, refreshToken)
	if err != nil {
		return provider.Tokens{}, r.failed(doing, err)
	}
	return t, nil
}

// confidential is library with the client secret.
func (r *registration) confidential(env provider.Env, q provider.Request) (*oauth2.Config, error) {
	if env.HTTP == nil || env.Now == nil {
		return nil, client.ErrNoEnv
	}
	secret := r.ClientSecret
	if r.secret != nil {
		var err error
		if secret, err = r.secret(env.Now()); err != nil {
			return nil, fmt.Errorf("make the client secret: %w", err)
		}
	}
	return r.library(q, secret), nil
}

// Profile implements [provider.Provider].
func (r *registration) Profile(
	ctx context.Context, env provider.Env, back provider.Return, t provider.Tokens,
) (provider.Profile, error) {
	const doing = "fetch the profile"
	if env.HTTP == nil || env.Now == nil {
		return provider.Profile{}, r.failed(doing, client.ErrNoEnv)
	}
	p, err := r.profile(ctx, lookup{r, env, back, t})
	if err == nil {
		p, err = checked(p)
	}
	if err != nil {
		return provider.Profile{}, r.failed(doing, err)
	}
	return p, nil
}

var (
	errRequest  = errors.New("a request cannot be made of it") // what the library says may have secrets in it
	errNoObject = errors.New("the answer is not a JSON object")
)

func (r *registration) failed(doing string, err error) error { return failed(r.name, doing, err) }

func failed(name, doing string, err error) error {
	return fmt.Errorf("oauth: %s: %s: %w", name, doing, err)
}

// lookup is one request for a profile.
type lookup struct {
	*registration
	env    provider.Env
	back   provider.Return
	tokens provider.Tokens
}

// object fetches a JSON object with the access token.
func (l lookup) object(ctx context.Context, from string) (object, error) {
	v, err := l.fetch(ctx, from)
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errNoObject
	}
	return o, nil
}

// fetch fetches JSON with the access token: nil, bool, string, json.Number, []any or map[string]any.
func (l lookup) fetch(ctx context.Context, from string) (any, error) {
	if l.tokens.AccessToken == "" {
		return nil, errors.New("there is no access token")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, errRequest
	}
	req.Header.Set("Authorization", "Bearer "+l.tokens.AccessToken)
	for name, value := range l.header {
		req.Header.Set(name, value)
	}
	return answer(l.env.HTTP, req)
}

// answer makes a request whose answer is JSON.
func answer(c *http.Client, req *http.Request) (any, error) {
	req.Header.Set("Accept", "application/json")
	body, _, err := outbound.Do(c, req)
	if err != nil {
		return nil, err
	}
	return parse(body)
}
