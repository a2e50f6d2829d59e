// Package client is what a client of OAuth 2.0 does at every provider: it checks that a request goes with its protection, asks
// the token endpoint, and leaves out of a profile what no page could show.
package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/ostiary/auth/provider"
)

// verifier is RFC 7636 §4.1.
var verifier = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// Picture returns the URL of a picture, or nothing where it is none that a page could show.
func Picture(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return s
}

// CheckRequest refuses a request that would go without its protection. The verifier is demanded of providers without PKCE,
// too: an engine that has none is broken.
func CheckRequest(q provider.Request, nonce bool) error {
	switch {
	case q.RedirectURI == "":
		return errors.New("there is no RedirectURI")
	case q.State == "":
		return errors.New("there is no State")
	case !verifier.MatchString(q.Verifier):
		return errors.New("the Verifier is not one of RFC 7636")
	case nonce && q.Nonce == "":
		return errors.New("there is no Nonce")
	}
	return nil
}

// CheckParams refuses parameters other than those named, and such that are given twice. The error wraps [provider.ErrParams].
func CheckParams(params url.Values, names ...string) error {
	for given, values := range params {
		if len(values) != 1 || !slices.Contains(names, given) {
			return fmt.Errorf("%w: %.40q, or more than one of it", provider.ErrParams, given)
		}
	}
	return nil
}

// CheckIssuer refuses an answer of another issuer than one of these: the code would go to a provider that did not make it
// (RFC 9207 §2.4). Where required is set, an answer of nobody's is refused, too.
func CheckIssuer(back provider.Return, required bool, issuers ...string) error {
	switch named := back.Values.Has("iss"); {
	case !named && required:
		return errors.New("the answer does not say who it is from")
	case named && !slices.Contains(issuers, back.Values.Get("iss")):
		return errors.New("the answer is from another issuer")
	}
	return nil
}

// Exchange trades a code for tokens (RFC 6749 §4.1.3).
func Exchange(
	ctx context.Context, env provider.Env, c *oauth2.Config, code string, options ...oauth2.AuthCodeOption,
) (provider.Tokens, error) {
	if code == "" {
		return provider.Tokens{}, errors.New("there is none")
	}
	return ask(ctx, env, func(ctx context.Context) (*oauth2.Token, error) { return c.Exchange(ctx, code, options...) })
}

// Refresh trades a refresh token for new tokens (RFC 6749 §6).
func Refresh(ctx context.Context, env provider.Env, c *oauth2.Config, refreshToken string) (provider.Tokens, error) {
	if refreshToken == "" {
		return provider.Tokens{}, errors.New("there is no refresh token")
	}
	return ask(ctx, env, func(ctx context.Context) (*oauth2.Token, error) {
		return c.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	})
}

// ErrNoEnv is what a call comes to that has no means.
var ErrNoEnv = errors.New("the Env has no HTTP or no Now")

func ask(
	ctx context.Context, env provider.Env, request func(context.Context) (*oauth2.Token, error),
) (provider.Tokens, error) {
	if env.HTTP == nil || env.Now == nil {
		return provider.Tokens{}, ErrNoEnv
	}
	asked := env.Now()
	t, err := request(context.WithValue(ctx, oauth2.HTTPClient, env.HTTP))
	if err != nil {
		return provider.Tokens{}, safe(ctx, err)
	}
	idToken, _ := t.Extra("id_token").(string)
	return provider.Tokens{
		AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, ExpiresAt: expiry(t, asked), IDToken: idToken,
	}, nil
}

// expiry counts from when the token was asked for, by the engine's clock. The library goes by its own.
func expiry(t *oauth2.Token, asked time.Time) time.Time {
	seconds := t.ExpiresIn
	if form, ok := t.Extra("expires_in").(int64); ok { // an answer that is a form, and not JSON
		seconds = form
	}
	if seconds <= 0 {
		return time.Time{}
	}
	return asked.Add(time.Duration(min(seconds, math.MaxInt32)) * time.Second)
}

// code is what an error code of RFC 6749 §5.2 looks like; the longest in use are half as long.
var code = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

var errAnswer = errors.New("the answer is not one of RFC 6749 §5.1")

// safe keeps of a failure of the token endpoint what is no secret: the status and the error code, and not what the provider
// wrote, which may repeat the request. It is for errors of the library.
func safe(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if code.MatchString(refused.ErrorCode) {
			return fmt.Errorf("status %d: %s", refused.Response.StatusCode, refused.ErrorCode)
		}
		return fmt.Errorf("status %d", refused.Response.StatusCode)
	}
	if u, ok := errors.AsType[*url.Error](err); ok { // without the URL
		return u.Err
	}
	return errAnswer
}
