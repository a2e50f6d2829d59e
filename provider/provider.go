// Package provider is the seam between the engine and identity providers: where people have accounts with which they sign
// in elsewhere. Package provider/oauth has the well-known ones, package provider/oidc any that speaks OpenID Connect.
//
// A provider is told what to prove and says what it found; it decides nothing. Which account somebody comes into, and whether,
// is the engine's business.
package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Provider is one registration at an identity provider. It is safe for concurrent use, and the same call may be made by
// different replicas: what a later step needs of an earlier one is in [Authorization] and comes back in [Return].
//
// Its errors are for operators. They carry no secret: no code, token or client secret.
type Provider interface {
	// Authorize says where the browser is to go. Errors: [ErrParams].
	Authorize(ctx context.Context, env Env, r Request) (Authorization, error)

	// Exchange trades what the browser brought back for tokens. Errors: [ErrDenied], and whatever the provider says.
	Exchange(ctx context.Context, env Env, r Return) (Tokens, error)

	// Profile says whose tokens they are. It is called once, with the same Return, right after Exchange.
	Profile(ctx context.Context, env Env, r Return, t Tokens) (Profile, error)

	// Refresh trades a refresh token for new tokens. The answer repeats the refresh token where the provider does not
	// replace it. Errors: [ErrNoRefresh], and whatever the provider says.
	Refresh(ctx context.Context, env Env, refreshToken string) (Tokens, error)
}

// IDTokenVerifier checks id tokens that an app got from a provider by itself (OpenID Connect Core §2).
type IDTokenVerifier interface {
	// VerifyIDToken checks that the token is signed by the provider, with an algorithm and a key of its own, for one of the
	// configured audiences and no other, and is live, and that its nonce is the one given or the lower-case hexadecimal
	// SHA-256 of that. A nonce that is given must be in the token; one that is in the token must be given.
	VerifyIDToken(ctx context.Context, env Env, idToken, nonce string) (Profile, error)
}

// Errors that mean something to the engine.
var (
	ErrNoRefresh = errors.New("provider: tokens of this provider cannot be refreshed")
	// ErrParams is for Request.Params that a provider does not know, or whose values cannot be.
	ErrParams = errors.New("provider: parameters that the provider does not know")
	// ErrDenied is for a browser that came back because its user did not agree, where that is not said by an "error".
	ErrDenied = errors.New("provider: the user did not agree")
)

// Env is what a provider gets of the engine.
type Env struct {
	// HTTP makes every request of the call. It bounds the time and the size of answers and follows no redirect to another
	// host.
	HTTP *http.Client
	// Now is the engine's clock.
	Now func() time.Time
}

// Request is one attempt to sign in or to link an account.
type Request struct {
	// RedirectURI is where the provider sends the browser back to; it is registered there.
	RedirectURI string
	// State comes back with the browser (RFC 6749 §10.12).
	State string
	// Verifier is the PKCE code verifier (RFC 7636), 43 to 128 characters: the challenge, of method S256, goes with the browser if
	// the provider takes one, and the verifier with the code.
	Verifier string
	// Nonce comes back in the id token, of providers that issue one (OpenID Connect Core §3.1.2.1).
	Nonce string
	// Params are wishes of the client that this provider knows, such as "organization"; others are [ErrParams].
	Params url.Values
}

// Format keeps the verifier, the state and the nonce out of logs, whatever the verb.
func (Request) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [Request.Format] for package slog.
func (Request) LogValue() slog.Value { return slog.StringValue(redacted) }

// Authorization is where the browser is to go.
type Authorization struct {
	URL string
	// FormPost says that the browser comes back with a form, by a POST from another site, and not with a query.
	FormPost bool
	// Secret is kept by the engine, sealed, and comes back in Return.Secret.
	Secret string
}

// Format keeps the secret, and the state and the nonce in the URL, out of logs, whatever the verb.
func (Authorization) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [Authorization.Format] for package slog.
func (Authorization) LogValue() slog.Value { return slog.StringValue(redacted) }

// Return is what the browser brought back.
type Return struct {
	Request        // as it was for Authorize
	Secret  string // Authorization.Secret
	// Values are the query or the form. The engine has seen that the state is right, that no name has more than one value, and
	// that there is no "error".
	Values url.Values
}

// Format keeps the code and the secret out of logs, whatever the verb.
func (Return) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [Return.Format] for package slog.
func (Return) LogValue() slog.Value { return slog.StringValue(redacted) }

// Tokens are what a provider gave for an account.
type Tokens struct {
	AccessToken  string
	RefreshToken string    // empty where there is none
	ExpiresAt    time.Time // of the access token; zero where the provider does not say
	IDToken      string    // unverified, for Profile; empty where there is none
	Secret       string    // the token secret of OAuth 1.0a
}

// Format keeps the tokens out of logs, whatever the verb.
func (Tokens) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [Tokens.Format] for package slog.
func (Tokens) LogValue() slog.Value { return slog.StringValue(redacted) }

const redacted = "[redacted]"

// hide prints what stands for a secret.
func hide(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// Profile is an account at a provider.
type Profile struct {
	// Subject is the provider's id of the account, exactly as it came, and never empty: it is what an account is known by.
	// Where ids are unique only within a part of the provider, it names that part, too.
	Subject string
	// Email is the account's address as it came, or empty. Where the provider knows several it is the primary one, if that
	// is verified, and otherwise none that is not the account's first choice.
	Email string
	// EmailVerified says that the provider has seen proof that the address belongs to the account: by a flag of its own, set
	// for this address. A provider that says nothing has seen nothing.
	EmailVerified bool
	Name          string // for display; empty where there is none
	Picture       string // a URL; empty where there is none. It is shown and never fetched.
}
