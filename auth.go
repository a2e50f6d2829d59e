package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/passhash"
	"github.com/ostiary/auth/internal/refreshtoken"
	"github.com/ostiary/auth/internal/seal"
	"github.com/ostiary/auth/store"
)

// Engine is the authentication engine of one realm. It is safe for concurrent use and keeps nothing in memory that
// another engine over the same store and with the same Config would miss.
type Engine struct {
	config Config
	rules  *rules
	store  store.Store
	box    *seal.Box
	tokens *refreshtoken.Codec
	hasher *passhash.Hasher // nil where passwords are off
	keys   keyring
	outbox outbox
	sinks  []EventSink // for events: the configured one, and the engine's own
	audit  *auditSink  // nil without an audit trail

	limiters limiters
	outside  *http.Client // for requests to identity providers
}

// New returns an engine over a store. It reports every mistake in the configuration at once, by field path, and does
// not touch the store.
func New(s store.Store, c Config) (*Engine, error) {
	config, rules, err := c.withDefaults()
	if s == nil {
		err = errors.Join(errors.New("the store is nil"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	previous := make([][]byte, len(config.PreviousSecrets))
	for i, p := range config.PreviousSecrets {
		previous[i] = p
	}
	box, err := seal.New(config.Secret, previous...)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", &ConfigError{"Secret", err})
	}
	tokens, err := refreshtoken.New(box.Subkeys("refresh token", 32)...)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	e := &Engine{config: config, rules: rules, store: s, box: box, tokens: tokens, limiters: newLimiters(&config), outside: config.HTTPClient}
	e.outbox.wake, e.outbox.tend = make(chan struct{}, 1), make(chan struct{}, 1)
	e.sinks = single(config.Events)
	if len(rules.webhooks) > 0 {
		e.sinks = append(e.sinks, EventFunc(e.writeWebhooks))
	}
	if config.Audit != nil {
		e.audit = newAuditSink(e)
		e.sinks = append(e.sinks, e.audit)
	}
	keys := config.AccessTokens.Keys
	if keys.empty() {
		keys = derivedKeys(box)
	}
	set, err := e.compileKeys(keys)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	e.keys.base = set
	e.keys.current.Store(set)
	// What can be derived has been: nobody who prints the service's memory needs to find the rest.
	e.config.Secret, e.config.PreviousSecrets, e.config.AccessTokens.Keys = nil, nil, Keys{}
	if p := config.Password; p != nil {
		e.hasher, err = passhash.New(passhash.Options{
			Params:        passhash.Params{MemoryKiB: p.Argon2.MemoryKiB, Time: p.Argon2.Time, Threads: p.Argon2.Threads},
			MaxConcurrent: p.MaxHashes,
			MaxWaiting:    p.MaxWaiting,
			Waited:        e.hashWaited(),
		})
		if err != nil {
			return nil, fmt.Errorf("auth: %w", &ConfigError{"Password", err})
		}
	}
	return e, nil
}

// Format keeps the engine's secrets out of logs, whatever the verb: a service's own struct that holds an Engine can be
// printed.
func (*Engine) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "auth.Engine") }

// Principal is who a verified access token speaks for.
type Principal struct {
	UserID    uuid.UUID
	SessionID uuid.UUID // zero if the token was issued by a server that does not name sessions
	TokenID   string    // "jti"

	Anonymous   bool
	DefaultRole string
	Roles       []string          // all that the user may take
	Elevated    bool              // this is the token of a step-up; see [Engine.Elevate]
	ElevatedBy  uuid.UUID         // the security key of the step-up; zero without one
	Scopes      []string          // what the personal access token is for that the session began with; nil without one
	Claims      map[string]string // the custom claims, by their full lower-case name

	AMR      []string  // how the user proved who they are (RFC 8176)
	AuthTime time.Time // when they last did; in the token of a step-up, when that was
	Expires  time.Time
}

// HasRole reports whether the principal may take the role.
func (p *Principal) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

// CheckRole is for the service's own actions: it returns nil if the principal may take the role, and otherwise emits
// [EventRefused] (OWASP ASVS 5.0 16.3.2). It goes by the access token, as [Principal.HasRole] does, and costs no round trip.
//
// Errors: [ErrUnauthenticated] without a principal; [ErrRoleNotAllowed], which Config.ConcealErrors does not hide.
func (e *Engine) CheckRole(ctx context.Context, principal *Principal, role string) (err error) {
	defer e.begin(&ctx, "CheckRole").end(&err)
	defer e.refusal(ctx, principal, "CheckRole", &err)
	switch {
	case principal == nil:
		return ErrUnauthenticated
	case !principal.HasRole(role):
		return errNotInRole
	}
	return nil
}

// errNotInRole is told to whom it concerns, and nobody else: there is nothing to conceal.
var errNotInRole = sentinel(CodeRoleNotAllowed, ErrRoleNotAllowed.Message)

// Authenticate verifies an access token and says who it speaks for. It costs no round trip to the store unless
// Config.Sessions.CheckOnVerify is set, or the keys rotate and it is time to look for new ones (see [RotationConfig]). Any
// token that this engine would not have issued, or that has expired, gets [ErrUnauthenticated].
//
// Without CheckOnVerify a token of a session that was revoked stays good until it expires. Methods that change an
// account check the session themselves.
func (e *Engine) Authenticate(ctx context.Context, accessToken string) (_ *Principal, err error) {
	defer e.begin(&ctx, "Authenticate").end(&err)
	p, err := e.verify(ctx, accessToken)
	if err != nil {
		return nil, err
	}
	if !e.config.Sessions.CheckOnVerify {
		return p, nil
	}
	if p.SessionID == uuid.Nil {
		return nil, ErrUnauthenticated.because(errors.New("the token names no session"))
	}
	if _, err := e.account(ctx, p, 0); err != nil {
		if known := (*Error)(nil); errors.As(err, &known) {
			return nil, ErrUnauthenticated.because(err)
		}
		return nil, err // the store's fault, not the token's
	}
	return p, nil
}

// VerifyTokenParams is a token to verify.
type VerifyTokenParams struct {
	Token string // an access token; a leading "Bearer " is ignored
}

// VerifyToken reports with a nil error that an access token is good. It is [Engine.Authenticate] for those who need no
// more, and answers a bad token with [ErrInvalidRequest], as documented.
func (e *Engine) VerifyToken(ctx context.Context, p VerifyTokenParams) (err error) {
	defer e.begin(&ctx, "VerifyToken").end(&err)
	_, err = e.Authenticate(ctx, strings.TrimPrefix(p.Token, "Bearer "))
	if errors.Is(err, ErrUnauthenticated) {
		return ErrInvalidRequest.because(err)
	}
	return err
}

// Health returns nil if the engine can serve: its store answers.
func (e *Engine) Health(ctx context.Context) (err error) {
	defer e.begin(&ctx, "Health").end(&err)
	return e.store.Ping(ctx)
}

// Version is the version of this module in the running program, or the empty string if it was not built from one.
func (e *Engine) Version() string { return moduleVersion() }

var moduleVersion = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return versionIn(info)
})

// versionIn is the version of this module in a program, of which nothing may be known.
func versionIn(info *debug.BuildInfo) string {
	if info == nil {
		return ""
	}
	const path = "github.com/ostiary/auth"
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path && m.Version != "(devel)" {
			return m.Version
		}
	}
	return ""
}

// Client is what is known of the program that calls.
type Client struct {
	Address   netip.Addr // where it calls from, after trusted proxies; zero if unknown
	UserAgent string     // what it calls itself; cut to 256 bytes when kept
}

type clientKey struct{}

// WithClient tells the engine who calls. The HTTP adapter does so for every request. Sessions and events keep it, and
// limits count by it.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

func clientOf(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}

// label is how a client is shown to the user whose session it holds.
func (c Client) label() string {
	const most = 256
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, c.UserAgent)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

func (c Client) address() string {
	if !c.Address.IsValid() {
		return ""
	}
	return c.Address.String()
}

// now is the engine's clock, as precise as every store can keep it.
func (e *Engine) now() time.Time { return e.config.Now().UTC().Truncate(time.Microsecond) }
