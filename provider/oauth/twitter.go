package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/internal/client"
)

// TwitterConfig is a registration for OAuth 1.0a: ClientID is the consumer key, ClientSecret the consumer secret. There are
// no Scopes.
type TwitterConfig struct {
	Config
	RequestTokenURL string // as the other URLs of Config
}

// Twitter returns X, once Twitter, by OAuth 1.0a (RFC 5849). Its ids are those of [X]. The app must be allowed to ask for
// addresses. The state travels in the query of the callback, and the request token with its secret in
// [provider.Authorization] from there to Exchange. There are no refresh tokens. The error names every mistake in c.
//
// Source: https://docs.x.com/fundamentals/authentication/oauth-1-0a/obtaining-user-access-tokens
func Twitter(c TwitterConfig) (provider.Provider, error) {
	const name = "twitter"
	complete, err := c.withDefaults(name, Config{
		AuthorizationURL: "https://api.twitter.com/oauth/authorize",
		TokenURL:         "https://api.twitter.com/oauth/access_token",
		ProfileURL:       "https://api.twitter.com/1.1/account/verify_credentials.json",
	})
	if len(complete.Scopes) > 0 {
		err = errors.Join(err, fmt.Errorf("oauth: %s: Scopes are not for OAuth 1.0a", name))
	}
	c.Config = complete
	c.RequestTokenURL = cmp.Or(c.RequestTokenURL, "https://api.twitter.com/oauth/request_token")
	if wrong := outbound.CheckURL(c.RequestTokenURL); wrong != nil {
		err = errors.Join(err, fmt.Errorf("oauth: %s: RequestTokenURL %w", name, wrong))
	}
	if err != nil {
		return nil, err
	}
	return &twitter{c}, nil
}

type twitter struct{ TwitterConfig }

// Format keeps the secret out of logs.
func (*twitter) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "oauth.twitter") }

func (*twitter) failed(doing string, err error) error { return failed("twitter", doing, err) }

// Authorize implements [provider.Provider].
func (t *twitter) Authorize(
	ctx context.Context, env provider.Env, q provider.Request,
) (provider.Authorization, error) {
	a, err := t.authorize(ctx, env, q)
	if err != nil {
		return provider.Authorization{}, t.failed("authorize", err)
	}
	return a, nil
}

func (t *twitter) authorize(ctx context.Context, env provider.Env, q provider.Request) (provider.Authorization, error) {
	var none provider.Authorization
	if err := client.CheckParams(q.Params); err != nil {
		return none, err
	}
	if q.RedirectURI == "" || q.State == "" {
		return none, errors.New("there is no RedirectURI or no State")
	}
	callback, err := asking(q.RedirectURI, "state", q.State)
	if err != nil {
		return none, errors.New("RedirectURI is not a URL")
	}
	got, err := t.form(ctx, env, t.RequestTokenURL, oauth1{}, map[string]string{"oauth_callback": callback})
	if err != nil {
		return none, fmt.Errorf("get a request token: %w", err)
	}
	if got.Get("oauth_callback_confirmed") != "true" { // RFC 5849 §2.1: else it is the attackable 1.0
		return none, errors.New("get a request token: the callback is not confirmed")
	}
	to, err := asking(t.AuthorizationURL, "oauth_token", got.Get("oauth_token"))
	if err != nil {
		return none, err
	}
	secret := url.Values{"token": {got.Get("oauth_token")}, "secret": {got.Get("oauth_token_secret")}}
	return provider.Authorization{URL: to, Secret: secret.Encode()}, nil
}

// Exchange implements [provider.Provider].
func (t *twitter) Exchange(ctx context.Context, env provider.Env, back provider.Return) (provider.Tokens, error) {
	tokens, err := t.exchange(ctx, env, back)
	if err != nil {
		return provider.Tokens{}, t.failed("exchange the verifier", err)
	}
	return tokens, nil
}

func (t *twitter) exchange(ctx context.Context, env provider.Env, back provider.Return) (provider.Tokens, error) {
	secret, err := url.ParseQuery(back.Secret)
	if err != nil || secret.Get("token") == "" || secret.Get("secret") == "" {
		return provider.Tokens{}, errors.New("there is no request token")
	}
	if back.Values.Get("denied") == secret.Get("token") {
		return provider.Tokens{}, provider.ErrDenied
	}
	if back.Values.Get("oauth_token") != secret.Get("token") {
		return provider.Tokens{}, errors.New("the request token is that of another attempt")
	}
	code := back.Values.Get("oauth_verifier")
	if code == "" {
		return provider.Tokens{}, errors.New("there is none")
	}
	as := oauth1{token: secret.Get("token"), tokenSecret: secret.Get("secret")}
	got, err := t.form(ctx, env, t.TokenURL, as, map[string]string{"oauth_verifier": code})
	if err != nil {
		return provider.Tokens{}, err
	}
	return provider.Tokens{AccessToken: got.Get("oauth_token"), Secret: got.Get("oauth_token_secret")}, nil
}

// Profile implements [provider.Provider].
func (t *twitter) Profile(
	ctx context.Context, env provider.Env, _ provider.Return, tokens provider.Tokens,
) (provider.Profile, error) {
	p, err := t.profile(ctx, env, tokens)
	if err == nil {
		p, err = checked(p)
	}
	if err != nil {
		return provider.Profile{}, t.failed("fetch the profile", err)
	}
	return p, nil
}

func (t *twitter) profile(ctx context.Context, env provider.Env, tokens provider.Tokens) (provider.Profile, error) {
	from, err := asking(t.ProfileURL, "include_email", "true")
	if err != nil {
		return provider.Profile{}, err
	}
	as := oauth1{token: tokens.AccessToken, tokenSecret: tokens.Secret}
	req, err := t.request(ctx, env, http.MethodGet, from, as, nil)
	if err != nil {
		return provider.Profile{}, err
	}
	v, err := answer(env.HTTP, req)
	if err != nil {
		return provider.Profile{}, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return provider.Profile{}, errNoObject
	}
	user := object(m)
	id, err := user.id("id_str") // "id" is the same as a number
	if err != nil {
		return provider.Profile{}, err
	}
	return provider.Profile{
		Subject: id, Email: user.text("email"), Name: user.text("name"), Picture: user.text("profile_image_url_https"),
	}, nil
}

// Refresh implements [provider.Provider]. It returns [provider.ErrNoRefresh].
func (t *twitter) Refresh(context.Context, provider.Env, string) (provider.Tokens, error) {
	return provider.Tokens{}, t.failed("refresh", provider.ErrNoRefresh)
}

// request returns a request that is signed with the tokens of as.
func (t *twitter) request(
	ctx context.Context, env provider.Env, method, to string, as oauth1, more map[string]string,
) (*http.Request, error) {
	if env.HTTP == nil || env.Now == nil {
		return nil, client.ErrNoEnv
	}
	req, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return nil, errRequest
	}
	as.consumer, as.consumerSecret = t.ClientID, t.ClientSecret
	as.sign(req, env.Now(), more)
	return req, nil
}

// form makes a request whose answer is a form with a token and its secret.
func (t *twitter) form(
	ctx context.Context, env provider.Env, to string, as oauth1, more map[string]string,
) (url.Values, error) {
	req, err := t.request(ctx, env, http.MethodPost, to, as, more)
	if err != nil {
		return nil, err
	}
	body, _, err := outbound.Do(env.HTTP, req)
	if err != nil {
		return nil, err
	}
	got, err := url.ParseQuery(string(body))
	if err != nil || got.Get("oauth_token") == "" || got.Get("oauth_token_secret") == "" {
		return nil, errors.New("the answer has no token")
	}
	return got, nil
}
