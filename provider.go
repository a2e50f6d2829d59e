package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
)

var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// provider checks one entry of a map of providers.
func (m *mistakes) provider(field, name string, missing bool) {
	switch {
	case !providerName.MatchString(name):
		m.add(field, "%q is not a name: at most 32 of a to z, 0 to 9, - and _, and neither of the last two first", name)
	case missing:
		m.add(fmt.Sprintf("%s[%q]", field, name), "is nil")
	}
}

// amrProvider is the first factor of who has shown an account at an identity provider.
var amrProvider = []string{"oauth"}

// methodOf is what events and hooks call a provider.
func methodOf(name string) string { return "provider:" + name }

// providerTime bounds what a provider is asked in one step, however many requests that takes.
const providerTime = 20 * time.Second

// StartProviderParams says with which provider somebody wants to sign in.
type StartProviderParams struct {
	Provider string        // a name in Config.Providers
	Options  SignUpOptions // for a new user; of a user who exists, only RedirectTo counts
	// State is the client's own and comes back with it, unread; at most 1024 bytes.
	State string
	// CodeChallenge asks for a code in place of a session in the redirect at the end; see [Engine.ExchangeCode].
	CodeChallenge string
	// Params are wishes that this provider knows, such as "organization" for WorkOS.
	Params url.Values
}

// ProviderStart sends a browser to a provider.
type ProviderStart struct {
	URL string // where the browser is to go
	// State identifies the attempt. It is in URL and comes back with the browser.
	State string
	// Binding must come back from the same browser, and from nowhere else, for FinishProviderParams.Binding: in a cookie that
	// scripts cannot read. It keeps somebody else's attempt from ending in this browser, and this one in somebody else's
	// (RFC 9700 §4.7).
	Binding string
	// FormPost says that the browser comes back with a form that another site's page posts: the cookie needs SameSite=None.
	FormPost bool
	// Life is how long the browser can be away.
	Life time.Duration
}

// Format keeps the binding out of logs, whatever the verb.
func (ProviderStart) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [ProviderStart.Format] for package slog.
func (ProviderStart) LogValue() slog.Value { return slog.StringValue(redacted) }

// Providers lists the names in Config.Providers, in order.
func (e *Engine) Providers() []string { return slices.Sorted(maps.Keys(e.config.Providers)) }

// IDTokenProviders lists the names in Config.IDTokens, in order.
func (e *Engine) IDTokenProviders() []string { return slices.Sorted(maps.Keys(e.config.IDTokens)) }

// StartProvider begins a sign-in with an identity provider: a browser goes to the URL, its user agrees, and it comes back
// with what [Engine.FinishProvider] takes. The options are checked now, so that nobody hears only at the end that they
// were wrong. It costs one round trip, and what the provider needs.
//
// Errors: [ErrDisabledEndpoint] if there is no such provider; [ErrRedirectNotAllowed], [ErrRoleNotAllowed],
// [ErrDefaultRoleNotAllowed]; [ErrInvalidRequest] for other options of the wrong form and for Params that the provider does
// not know; [ErrTooManyRequests]; [ErrInternal] if the provider cannot be reached.
func (e *Engine) StartProvider(ctx context.Context, p StartProviderParams) (_ *ProviderStart, err error) {
	defer e.begin(&ctx, "StartProvider").end(&err)
	if e.config.Providers[p.Provider] == nil {
		return nil, ErrDisabledEndpoint
	}
	if _, err := e.newUser(p.Options, ""); err != nil {
		return nil, err
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return nil, err
	}
	if err := e.mayBegin(ctx); err != nil {
		return nil, err
	}
	return e.leave(ctx, p.Provider, p.Params, attempt{Options: p.Options, State: p.State, CodeChallenge: p.CodeChallenge})
}

// LinkProviderParams says which account the principal wants to sign in with from now on.
type LinkProviderParams struct {
	Provider   string // a name in Config.Providers
	RedirectTo string // Config.ClientURL if empty
	State      string // as at [StartProviderParams]
	Params     url.Values
}

// LinkProvider begins to link an account at a provider to the principal's. It goes on like [Engine.StartProvider], and ends in
// [Engine.FinishProvider] without a session: the one that it began in must still live then. It is protected, see
// [Engine.Elevate], and needs a step-up or a sign-in within the last ten minutes: such an account is a way in. It costs two
// round trips.
//
// Errors: [ErrForbiddenAnonymous]; [ErrElevationRequired]; otherwise as at [Engine.StartProvider] and [Engine.User].
func (e *Engine) LinkProvider(ctx context.Context, principal *Principal, p LinkProviderParams) (_ *ProviderStart, err error) {
	defer e.begin(&ctx, "LinkProvider").end(&err)
	defer e.refusal(ctx, principal, "LinkProvider", &err)
	if e.config.Providers[p.Provider] == nil {
		return nil, ErrDisabledEndpoint
	}
	a, rule, err := e.freshAccount(ctx, principal, store.WithIdentities)
	if err != nil {
		return nil, err
	}
	return e.leave(ctx, p.Provider, p.Params, attempt{
		Options: SignUpOptions{RedirectTo: p.RedirectTo}, State: p.State,
		UserID: a.ID, SessionID: principal.SessionID, If: rule,
	})
}

// attempt is what is remembered of a browser that has been sent to a provider.
type attempt struct {
	Options       SignUpOptions `json:"options"` // RedirectTo as it was asked for
	State         string        `json:"state,omitempty"`
	CodeChallenge string        `json:"codeChallenge,omitempty"`

	Verifier string     `json:"verifier"`
	Nonce    string     `json:"nonce"`
	Secret   string     `json:"secret,omitempty"` // the provider's own
	Params   url.Values `json:"params,omitempty"`

	// Of a user who links an account; zero for who signs in.
	UserID    uuid.UUID        `json:"userId"`
	SessionID uuid.UUID        `json:"sessionId"`
	If        store.Conditions `json:"if"` // by which they may
}

const maxState = 1024

// leave sends a browser to a provider and remembers why. Whoever has only the state, from an address bar or a log, or only
// the cookie, has nothing: what is remembered is found by both together, and by the name of the provider.
func (e *Engine) leave(ctx context.Context, name string, params url.Values, a attempt) (*ProviderStart, error) {
	if len(a.State) > maxState {
		return nil, ErrInvalidRequest.saying(fmt.Sprintf("state must be at most %d bytes", maxState))
	}
	if _, err := e.RedirectTo(a.Options.RedirectTo); err != nil {
		return nil, err
	}
	if n := len(params.Encode()); n > maxState {
		return nil, ErrInvalidRequest.saying("the parameters for the provider are too long")
	}
	state, binding := rand.Text(), rand.Text()
	a.Verifier, a.Nonce, a.Params = rand.Text()+rand.Text(), rand.Text(), params
	var to provider.Authorization
	err := e.askProvider(ctx, func(ctx context.Context, env provider.Env) (err error) {
		to, err = e.config.Providers[name].Authorize(ctx, env, e.request(name, state, &a))
		return err
	})
	if errors.Is(err, provider.ErrParams) {
		return nil, ErrInvalidRequest.saying("the provider does not know these parameters").because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("begin at provider %s: %w", name, err)
	}
	a.Secret = to.Secret
	life := e.life(kindState)
	t, err := e.newTicket(kindState, "", a.UserID, attemptSecret(name, state, binding), life, a)
	if err != nil {
		return nil, err
	}
	t.Slot = t.ID.String()
	err = e.store.PutTicket(ctx, *t)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnauthenticated.because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("put state: %w", err)
	}
	return &ProviderStart{URL: to.URL, State: state, Binding: binding, FormPost: to.FormPost, Life: life}, nil
}

// attemptSecret is what an attempt is found by. None of the parts that an engine makes has a colon, so no others make the same.
func attemptSecret(name, state, binding string) string {
	return strings.Join([]string{kindState, name, state, binding}, ":")
}

// ProviderRedirectURI is where the provider of a name sends browsers back to. It is to be registered there.
func (e *Engine) ProviderRedirectURI(name string) string {
	return e.config.ServerURL + "/signin/provider/" + name + "/callback"
}

// request is what a provider is told of an attempt, when it begins and again when it ends.
func (e *Engine) request(name, state string, a *attempt) provider.Request {
	return provider.Request{
		RedirectURI: e.ProviderRedirectURI(name), State: state, Verifier: a.Verifier, Nonce: a.Nonce, Params: a.Params,
	}
}

// askProvider has a provider make its requests. They end in time, and a panic of its is a failure.
func (e *Engine) askProvider(ctx context.Context, ask func(context.Context, provider.Env) error) error {
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	return guard(func() error { return ask(ctx, provider.Env{HTTP: e.outside, Now: e.now}) })
}

// tellOperator says why a provider did not answer as it should: a wrong client secret, say, which users cannot do anything about.
func (e *Engine) tellOperator(ctx context.Context, name string, err error) {
	e.config.Logger.WarnContext(ctx, "identity provider failed", slog.String("provider", name), slog.Any("error", err))
}

// FinishProviderParams is what a browser has brought back from a provider.
type FinishProviderParams struct {
	Provider string     // whose redirect URI the browser came to
	Values   url.Values // the query, or the form
	Binding  string     // ProviderStart.Binding, from the cookie; empty where there is none
}

// Format keeps all of it out of logs, whatever the verb.
func (FinishProviderParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [FinishProviderParams.Format] for package slog.
func (FinishProviderParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// ProviderResult is how a visit to a provider ended.
type ProviderResult struct {
	// RedirectTo is where the browser is to go, and State the client's own, if any: also if there is an error.
	RedirectTo string
	State      string
	// Refusal is what the provider said, with [ErrOAuthProviderError].
	Refusal *ProviderRefusal

	SignInResult      // empty if an account was linked, and if a sign-up awaits the proof of its address
	Linked       bool // the account was linked to the user who began
}

// Format keeps the session out of logs, whatever the verb.
func (ProviderResult) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [ProviderResult.Format] for package slog.
func (ProviderResult) LogValue() slog.Value { return slog.StringValue(redacted) }

// ProviderRefusal is why a provider sent a browser back with nothing (RFC 6749 §4.1.2.1). It may be anybody's text: it is cut
// to 256 characters each and has no control characters, and is not to be trusted beyond.
type ProviderRefusal struct{ Error, Description, URI string }

// FinishProvider ends what [Engine.StartProvider] or [Engine.LinkProvider] began, for the browser that began it: once, within
// Config.Tickets.ProviderState, at the same provider. Whoever has shown an account there comes into the account here that it is
// linked to; for those that are not linked, what the provider says of their address decides:
//
//	the address here            the address there   outcome
//	of a user, verified         verified            the account is linked to that user, who gets a letter
//	of a user, not verified     verified            the same, and everything that was set before goes
//	of a user                   not verified        ErrEmailAlreadyInUse, if errors are not concealed
//	of an abandoned sign-up     not verified        sign-up in its place
//	nobody's                    verified            sign-up with a verified address
//	nobody's                    not verified        sign-up whose address is yet to be verified: by a letter
//	                            none                sign-up without an address
//
// A user who has another account of the same provider is not linked to a second one by an address alone: it may have been
// given to somebody else (ErrEmailAlreadyInUse). Only the provider's id of an account identifies it (OpenID Connect Core
// §5.7): a change of its address there changes nothing here. If that address is the user's own and now verified there, it is
// verified here as well.
//
// What a visit brings is written together with the session: an account is linked when its user has shown their second factor,
// and when the code is exchanged. A sign-up is abandoned that nobody has come in with within Config.Tickets.VerifyEmail.
//
// The result is never nil: its RedirectTo is where the browser is to go, after an error as well. It costs three round trips,
// and what the provider needs.
//
// Errors: [ErrInvalidState] for an attempt that is unknown, over, of another browser or of another provider, which leaves the
// right one as it was; [ErrOAuthProviderError] if the provider refused; [ErrOAuthTokenExchangeFailed],
// [ErrOAuthProfileFetchFailed]; [ErrDisabledEndpoint], [ErrRedirectNotAllowed] if the configuration has changed since;
// [ErrInvalidEmailPassword] if the access lists refuse the address; [ErrEmailAlreadyInUse]; [ErrSignUpDisabled];
// [ErrTooManyRequests]; [ErrProviderAccountLinked] when linking, and [ErrUnauthenticated] if the session has ended; the
// account's state, as at [Engine.Refresh].
func (e *Engine) FinishProvider(ctx context.Context, p FinishProviderParams) (_ *ProviderResult, err error) {
	defer e.begin(&ctx, "FinishProvider").end(&err)
	r := &ProviderResult{}
	r.RedirectTo, _ = e.RedirectTo("")
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return r, err
	}
	a, state, err := e.returned(ctx, p)
	presented(err)
	if err != nil {
		e.refusedTicket(ctx, uuid.Nil, kindState, err)
		return r, err
	}
	r.State = a.State
	if a.Options.RedirectTo, err = e.RedirectTo(a.Options.RedirectTo); err != nil {
		return r, err
	}
	r.RedirectTo = a.Options.RedirectTo
	asked := e.config.Providers[p.Provider]
	if asked == nil {
		return r, ErrDisabledEndpoint
	}
	for name, values := range p.Values {
		if len(values) > 1 {
			return r, ErrInvalidRequest.saying("a parameter is given more than once").because(fmt.Errorf("parameter %.32q", name))
		}
	}
	if refusal := p.Values.Get("error"); refusal != "" {
		r.Refusal = &ProviderRefusal{shorten(refusal, 256), shorten(p.Values.Get("error_description"), 256), shorten(p.Values.Get("error_uri"), 256)}
		e.emit(ctx, a.failed(p.Provider, ErrOAuthProviderError))
		return r, ErrOAuthProviderError
	}
	back := provider.Return{Request: e.request(p.Provider, state, a), Secret: a.Secret, Values: p.Values}
	var tokens provider.Tokens
	var profile provider.Profile
	err = e.askProvider(ctx, func(ctx context.Context, env provider.Env) (err error) {
		if tokens, err = asked.Exchange(ctx, env, back); errors.Is(err, provider.ErrDenied) {
			r.Refusal = &ProviderRefusal{Error: "access_denied"}
			return ErrOAuthProviderError.because(err)
		} else if err != nil {
			return ErrOAuthTokenExchangeFailed.because(err)
		}
		if profile, err = asked.Profile(ctx, env, back, tokens); err != nil {
			return ErrOAuthProfileFetchFailed.because(err)
		}
		return nil
	})
	if err != nil {
		e.emit(ctx, a.failed(p.Provider, err))
		if r.Refusal == nil {
			e.tellOperator(ctx, p.Provider, err)
		}
		return r, err
	}
	who, err := e.somebody(p.Provider, profile)
	if err != nil {
		e.emit(ctx, a.failed(p.Provider, err))
		return r, err
	}
	if who.tokens, err = e.sealTokens(who.key, tokens); err != nil {
		return r, err
	}
	if a.UserID != uuid.Nil {
		if err = e.finishLink(ctx, a, who); err != nil {
			e.emit(ctx, a.failed(p.Provider, err))
		}
		r.Linked = err == nil
		return r, err
	}
	in, err := e.enterBySomebody(ctx, who, a.Options, a.CodeChallenge)
	if err != nil {
		return r, err
	}
	r.SignInResult = *in
	return r, nil
}

// failed is the event of an attempt that came to nothing.
func (a *attempt) failed(name string, err error) Event {
	if a.UserID == uuid.Nil {
		return Event{Type: EventSignInFailed, Method: methodOf(name), Code: codeOf(err)}
	}
	return Event{Type: EventIdentityLinkFailed, UserID: a.UserID, SessionID: a.SessionID, Detail: name, Code: codeOf(err)}
}

// returned finds the attempt of a browser that has come back, which ends with this.
func (e *Engine) returned(ctx context.Context, p FinishProviderParams) (_ *attempt, state string, err error) {
	states := p.Values["state"]
	if len(states) != 1 {
		return nil, "", ErrInvalidState
	}
	q := e.bySecret(kindState, attemptSecret(p.Provider, states[0], p.Binding))
	q.Now = e.now()
	t, err := e.store.TakeTicket(ctx, q)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", ErrInvalidState.because(err)
	}
	if err != nil {
		return nil, "", fmt.Errorf("take state: %w", err)
	}
	var a attempt
	if err := e.openTicket(&t, &a); err != nil {
		return nil, "", err
	}
	return &a, states[0], nil
}

// shorten cuts a text that is for show to so many characters, without control characters.
func shorten(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		if most == 0 {
			break
		}
		if r != utf8.RuneError && !unicode.IsControl(r) {
			b.WriteRune(r)
			most--
		}
	}
	return b.String()
}
