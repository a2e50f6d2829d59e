package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
)

// SignInIDTokenParams is an id token that an app has got from a provider by itself.
type SignInIDTokenParams struct {
	Provider string // a name in Config.IDTokens
	IDToken  string // a JWT (OpenID Connect Core §2)
	// Nonce is what the app asked the provider to put into the token, in the token as it is or as its SHA-256. A nonce that
	// is given must be in the token, and one that is in the token must be given: a token then signs in once.
	Nonce   string
	Options SignUpOptions // for a new user; without an effect on one who exists
}

// Format keeps the token out of logs, whatever the verb.
func (SignInIDTokenParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [SignInIDTokenParams.Format] for package slog.
func (SignInIDTokenParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// SignInIDToken lets somebody in who has an id token for one of the configured audiences. Which account that is is decided as
// at [Engine.FinishProvider]. It costs two round trips.
//
// Errors: [ErrDisabledEndpoint] if there is no such provider in Config.IDTokens; [ErrInvalidRequest] for a token that is not
// good, whatever is wrong with it, and for options of the wrong form; [ErrRedirectNotAllowed], [ErrRoleNotAllowed],
// [ErrDefaultRoleNotAllowed]; [ErrInvalidEmailPassword] if the access lists refuse the address; [ErrEmailAlreadyInUse];
// [ErrSignUpDisabled]; [ErrTooManyRequests]; the account's state, as at [Engine.Refresh].
func (e *Engine) SignInIDToken(ctx context.Context, p SignInIDTokenParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "SignInIDToken").end(&err)
	if e.config.IDTokens[p.Provider] == nil {
		return nil, ErrDisabledEndpoint
	}
	if _, err := e.newUser(p.Options, ""); err != nil {
		return nil, err
	}
	if p.Options.RedirectTo, err = e.RedirectTo(p.Options.RedirectTo); err != nil {
		return nil, err
	}
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return nil, err
	}
	who, err := e.bearerOf(ctx, p.Provider, p.IDToken, p.Nonce)
	presented(err)
	if err != nil {
		e.emit(ctx, Event{Type: EventSignInFailed, Method: methodOf(p.Provider), Code: codeOf(err)})
		return nil, err
	}
	return e.enterBySomebody(ctx, who, p.Options, "")
}

// LinkIDTokenParams is an id token that an app has got from a provider by itself; see [SignInIDTokenParams].
type LinkIDTokenParams struct {
	Provider string
	IDToken  string
	Nonce    string
}

// Format keeps the token out of logs, whatever the verb.
func (LinkIDTokenParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [LinkIDTokenParams.Format] for package slog.
func (LinkIDTokenParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// LinkIDToken links the account that an id token is about to the principal's. Their addresses need not be the same, and the
// user's does not change. It is protected, see [Engine.Elevate], and needs a step-up or a sign-in within the last ten minutes.
// The owner of a verified address gets a letter. It costs two round trips, and one more for the letter.
//
// Errors: [ErrDisabledEndpoint]; [ErrForbiddenAnonymous]; [ErrElevationRequired]; [ErrInvalidRequest] for a token that is not
// good; [ErrInvalidEmailPassword] if the access lists refuse its address; [ErrProviderAccountLinked]; otherwise as at
// [Engine.User].
func (e *Engine) LinkIDToken(ctx context.Context, principal *Principal, p LinkIDTokenParams) (err error) {
	defer e.begin(&ctx, "LinkIDToken").end(&err)
	defer e.refusal(ctx, principal, "LinkIDToken", &err)
	if e.config.IDTokens[p.Provider] == nil {
		return ErrDisabledEndpoint
	}
	a, rule, err := e.freshAccount(ctx, principal, store.WithIdentities)
	if err != nil {
		return err
	}
	who, err := e.bearerOf(ctx, p.Provider, p.IDToken, p.Nonce)
	if err == nil {
		err = e.link(ctx, &a, rule, who)
	}
	if err != nil {
		e.emit(ctx, Event{Type: EventIdentityLinkFailed, UserID: a.ID, SessionID: principal.SessionID, Detail: p.Provider, Code: codeOf(err)})
	}
	return err
}

// Bounds in bytes of what an app hands in; a real id token has some hundreds.
const (
	maxIDToken = 16 << 10
	maxNonce   = 1024
)

// bearerOf says whom an id token is about.
func (e *Engine) bearerOf(ctx context.Context, name, token, nonce string) (*somebody, error) {
	wrong := ErrInvalidRequest.saying("the id token is not good")
	if len(token) > maxIDToken || len(nonce) > maxNonce {
		return nil, wrong.because(errors.New("too long"))
	}
	var p provider.Profile
	err := e.askProvider(ctx, func(ctx context.Context, env provider.Env) (err error) {
		p, err = e.config.IDTokens[name].VerifyIDToken(ctx, env, token, nonce)
		return err
	})
	if err != nil {
		return nil, wrong.because(err)
	}
	who, err := e.somebody(name, p)
	if errors.Is(err, ErrOAuthProfileFetchFailed) {
		return nil, wrong.because(err)
	}
	if err != nil || nonce == "" {
		return who, err
	}
	return who, e.once(ctx, name, token, wrong)
}

// maxIDTokenLife is how long an id token lives at most that is to be good once; those of Apple live a day.
const maxIDTokenLife = 48 * time.Hour

// once refuses an id token that has been used (OWASP ASVS 5.0 10.5.1). The limiter knows: one use in the life of the token. What
// tells one token from another are the claims, which are signed: a signature and its encoding can be written in several ways.
func (e *Engine) once(ctx context.Context, name, token string, wrong *Error) error {
	claims, life := claimsOf(token), maxIDTokenLife
	var c struct {
		Expires float64 `json:"exp"`
	}
	if err := json.Unmarshal(claims, &c); err == nil && c.Expires > 0 {
		left := c.Expires - float64(e.now().Unix())
		if left > maxIDTokenLife.Seconds() {
			return wrong.because(errors.New("the token lives for too long to be good once"))
		}
		life = time.Duration(max(left, 0))*time.Second + clockSkew
	}
	sum := sha256.Sum256(claims)
	d, err := e.limiters.idTokens[name].Take(ctx, limit.Take{
		Bucket: bucketIDTokens, Key: name + " " + hex.EncodeToString(sum[:]), Rate: limit.Rate{Burst: 1, Per: life},
	})
	switch {
	case err != nil:
		return fmt.Errorf("limits: %w", err)
	case !d.Allowed:
		return wrong.because(errors.New("the token has been used"))
	}
	return nil
}

// claimsOf returns the payload of a JWT as it was signed, or all of what is none.
func claimsOf(token string) []byte {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, found := strings.Cut(rest, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if !found || err != nil {
		return []byte(token)
	}
	return claims
}
