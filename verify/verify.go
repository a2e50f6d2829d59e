// Package verify checks the access tokens of an [auth.Engine] in services that do not run one. It needs the URL of the
// engine's key set and nothing else: no secret, no database, no call for each token. Besides the standard library it brings
// golang-jwt into a program, and neither the engine nor what that depends on.
//
//	v, err := verify.New("https://api.example.com/v1/.well-known/jwks.json", verify.Options{})
//	…
//	mux.Handle("GET /notes", v.Require(notes)) // verify.FromContext says who is asking
//
// A token that passes is one that [auth.Engine.Authenticate] accepts, by the same rules. What this package cannot know is whether
// the session has been ended since: a token is good until it expires, 15 minutes by default. Tokens that are signed with a
// symmetric key (HS256 …) are refused, whatever the key set says.
//
// # Keys
//
// The key set is fetched when it is first needed and kept for as long as its server says (Cache-Control), but no less
// than a minute and no more than an hour (five minutes where it says nothing); then one call in the background fetches it again. A token that names a key that is
// not in the set has it fetched at once, at most every 10 seconds, however many such tokens come: with the engine's rotation of
// keys, which publishes a key before it signs, that is for emergencies.
//
// While the server does not answer the keys stay as they were, for [Options.MaxStale] after the set should have been fetched
// again. A key that has been taken out of the set is accepted for no longer than the set is kept, and MaxStale longer if the
// server is kept from saying so.
//
// [auth.Engine]: https://pkg.go.dev/github.com/ostiary/auth#Engine
// [auth.Engine.Authenticate]: https://pkg.go.dev/github.com/ostiary/auth#Engine.Authenticate
package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ostiary/auth/internal/accesstoken"
	"github.com/ostiary/auth/internal/outbound"
)

var (
	// ErrInvalidToken says that a token is not an access token of this issuer for this service, or no longer. What is wrong
	// with it is in the text of the error, for the service's own log and not for its client.
	ErrInvalidToken = errors.New("verify: invalid token")
	// ErrNoKeys says that there is no telling whether a token is good, because the key set could not be fetched. It is the
	// service's fault or its network's (503), and not the token's (401).
	ErrNoKeys = errors.New("verify: the key set is not available")
)

// clockSkew is how far ahead of this clock that of the issuer may be.
const clockSkew = time.Minute

// Options are for [New]. The zero value is for an engine with the default configuration.
type Options struct {
	// Issuer is what "iss" must be: AccessTokens.Issuer of the engine. The default is
	// "hasura-auth", as that of the engine.
	Issuer string
	// Audience, if set, are the values of which "aud" must have one. Set it where one key set is for several services that must
	// not accept each other's tokens.
	Audience []string
	// ClaimsNamespace is the claim with the roles: AccessTokens.ClaimsNamespace of the engine. The default is
	// "https://hasura.io/jwt/claims", as that of the engine.
	ClaimsNamespace string
	// MaxStale is for how long the keys are used that should have been fetched again and cannot be. The default is an hour,
	// the maximum 24 hours; a negative value is none.
	MaxStale time.Duration
	// HTTPClient fetches the keys. Whatever it is, an answer has 5 seconds and 1 MiB, and redirects are refused. The default
	// takes proxies from the environment.
	HTTPClient *http.Client
	// Now is the clock. The default is [time.Now].
	Now func() time.Time
}

// Verifier checks access tokens. It is safe for concurrent use; make one for each key set, and keep it.
type Verifier struct {
	keys      *keys
	now       func() time.Time
	issuer    string
	audience  []string
	namespace string
}

// New returns a Verifier for the key set at a URL, which it does not ask yet. The URL is an https one, or http on this very
// machine: whoever can change the answer on its way could sign tokens.
func New(jwksURL string, o Options) (*Verifier, error) {
	if err := outbound.CheckURL(jwksURL); err != nil {
		return nil, fmt.Errorf("verify: the URL of the key set %w", err)
	}
	if slices.Contains(o.Audience, "") {
		return nil, errors.New("verify: Audience has an empty entry")
	}
	switch {
	case o.MaxStale == 0:
		o.MaxStale = time.Hour
	case o.MaxStale > 24*time.Hour:
		return nil, fmt.Errorf("verify: MaxStale is %v, more than 24 hours", o.MaxStale)
	}
	v := &Verifier{now: o.Now, issuer: o.Issuer, audience: slices.Clone(o.Audience), namespace: o.ClaimsNamespace}
	if v.now == nil {
		v.now = time.Now
	}
	if v.issuer == "" {
		v.issuer = "hasura-auth"
	}
	if v.namespace == "" {
		v.namespace = "https://hasura.io/jwt/claims"
	}
	v.keys = newKeys(jwksURL, o.HTTPClient, max(o.MaxStale, 0))
	return v, nil
}

// Claims are what a token says of who presents it. Ids are UUIDs in lower case.
type Claims struct {
	UserID    string // "sub"
	SessionID string // "sid"; empty if the token was issued by a server that does not name sessions
	TokenID   string // "jti"

	Anonymous   bool
	DefaultRole string
	Roles       []string          // all that the user may take
	Elevated    bool              // this is the token of a step-up
	ElevatedBy  string            // the security key of the step-up; empty without one
	Scopes      []string          // what the personal access token is for that the session began with; nil without one
	Custom      map[string]string // the custom claims, by their full lower-case name

	AMR      []string  // how the user proved who they are (RFC 8176)
	Audience []string  // "aud"
	AuthTime time.Time // when they last did
	IssuedAt time.Time
	Expires  time.Time
}

// HasRole reports whether the user may take the role.
func (c *Claims) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// Verify checks an access token, without "Bearer " before it, and returns what it says. It asks for the key set where that is
// missing or lacks the key that the token names, waits for it no longer than ctx allows, and otherwise does nothing outside
// of this process.
//
// Errors: [ErrInvalidToken], [ErrNoKeys], and that of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	t, ok := accesstoken.Split(token)
	if !ok {
		return nil, invalid("not a JWS in compact form")
	}
	algorithm, id, ok := accesstoken.ParseHeader(t.Header)
	switch {
	case !ok:
		return nil, invalid("not the header of an access token")
	case id == "" || methods[algorithm] == nil:
		return nil, invalid("it names no public key")
	}
	now := v.now()
	k, err := v.keys.get(ctx, id, now)
	switch {
	case err != nil:
		return nil, err
	case k == nil:
		return nil, invalid("it names a key that is not in the set")
	case k.Algorithm != algorithm: // RFC 8725 §3.1
		return nil, invalid("it names another algorithm than its key has")
	case methods[algorithm].Verify(t.Input, t.Signature, k.Key) != nil:
		return nil, invalid("the signature is wrong")
	}
	c, err := accesstoken.Parse(t.Payload, accesstoken.Rules{
		Issuer: v.issuer, Audience: v.audience, Namespace: v.namespace, Now: now, Skew: clockSkew,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	return &Claims{
		UserID: accesstoken.FormatID(c.UserID), SessionID: accesstoken.FormatID(c.SessionID), TokenID: c.TokenID,
		Anonymous: c.Anonymous, DefaultRole: c.DefaultRole, Roles: c.Roles,
		Elevated: c.Elevated, ElevatedBy: accesstoken.FormatID(c.ElevatedBy), Scopes: c.Scopes, Custom: c.Custom,
		AMR: c.AMR, Audience: c.Audience, AuthTime: c.AuthTime, IssuedAt: c.IssuedAt, Expires: c.Expires,
	}, nil
}

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalidToken, why) }
