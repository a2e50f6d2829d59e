package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/store"
)

// Protection: what a method demands of its caller beyond a live session.
type protection int

const (
	anything          protection = iota
	addingKey                    // a user without a key is let through: they cannot step up
	addingFirstUseful            // a key, by somebody who cannot step up with those they have: decided when it began
)

// protected says what must hold of the account, at the moment of the change, for the principal to do what is protected.
func (e *Engine) protected(p *Principal, what protection) (store.Conditions, error) {
	if err := regular(p); err != nil {
		return store.Conditions{}, err
	}
	rule := store.Conditions{Session: p.SessionID}
	switch mode := e.config.Elevation.Mode; {
	case what == addingFirstUseful:
	case e.isElevated(p):
		rule.SecurityKey = p.ElevatedBy
	case mode == ElevationRecommended:
		rule.NoSecurityKeys = true
	case mode == ElevationRequired && what == addingKey:
		rule.NoSecurityKeys = true
	case mode == ElevationRequired:
		return rule, ErrElevationRequired
	}
	return rule, nil
}

// isElevated reports whether the token of a step-up still is one. A principal can be kept for longer.
func (e *Engine) isElevated(p *Principal) bool {
	return p.Elevated && (p.Expires.IsZero() || e.now().Before(p.Expires))
}

// sinceSignIn is how long ago the principal signed in, which a step-up does not change.
func (e *Engine) sinceSignIn(a *store.Account, p *Principal) time.Duration {
	at := p.AuthTime
	if a.Session != nil {
		at = a.Session.AuthTime
	}
	return e.now().Sub(at)
}

// mayDo applies the rule to an account that has been read with its security keys, and returns it for the change.
func (e *Engine) mayDo(a *store.Account, p *Principal, what protection) (store.Conditions, error) {
	rule, err := e.protected(p, what)
	if err == nil && rule.SecurityKey != uuid.Nil && indexOfKey(a.SecurityKeys, rule.SecurityKey) < 0 {
		rule, err = e.protected(withoutStepUp(p), what)
	}
	if err == nil && rule.NoSecurityKeys && len(a.SecurityKeys) > 0 {
		err = ErrElevationRequired
	}
	return rule, err
}

// protectedAccount reads the account of a principal who may do what is protected, with its security keys, and returns the
// rule for the change.
func (e *Engine) protectedAccount(ctx context.Context, p *Principal, what protection, with store.With) (store.Account, store.Conditions, error) {
	if rule, err := e.protected(p, what); err != nil {
		return store.Account{}, rule, err // whatever the account is like
	}
	a, err := e.account(ctx, p, with|store.WithSecurityKeys)
	if err != nil {
		return a, store.Conditions{}, err
	}
	rule, err := e.mayDo(&a, p, what)
	return a, rule, err
}

// justNow is how long after a sign-in its user is taken to be the one who is there.
const justNow = 10 * time.Minute

// cannotStepUp reports whether the user has only keys with which they cannot step up, and has just signed in. They may add
// one with which they can; otherwise they could neither do that nor remove what keeps them from it.
func (e *Engine) cannotStepUp(a *store.Account, p *Principal) bool {
	return !a.Anonymous && !e.stepsUp(a.SecurityKeys) && e.sinceSignIn(a, p) <= justNow
}

// stepsUp reports whether any of the keys will do for a step-up.
func (e *Engine) stepsUp(keys []store.SecurityKey) bool {
	return slices.ContainsFunc(keys, func(k store.SecurityKey) bool {
		return k.UserVerified || e.config.Elevation.UserVerification != UserVerificationRequired
	})
}

// changeProtected makes a change of the principal's account under the rule, without having read the account.
func (e *Engine) changeProtected(ctx context.Context, p *Principal, what protection, change store.UserChange) error {
	var err error
	if change.If, err = e.protected(p, what); err != nil {
		return err
	}
	_, err = e.store.ChangeUser(ctx, change)
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionSecurityKey}) {
		return e.changeProtected(ctx, withoutStepUp(p), what, change)
	}
	return unprotected(err)
}

// withoutStepUp is the principal whose step-up has ended, because its key is gone. Their token is as good as any other.
func withoutStepUp(p *Principal) *Principal {
	plain := *p
	plain.Elevated, plain.ElevatedBy = false, uuid.Nil
	return &plain
}

// unprotected translates the store's word that a rule no longer holds.
func unprotected(err error) error {
	var unmet store.ErrUnmet
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrUnauthenticated.because(err)
	case !errors.As(err, &unmet):
		return err
	}
	switch unmet.Condition {
	case store.ConditionSession:
		return ErrUnauthenticated.because(err)
	case store.ConditionEnabled:
		return ErrDisabledUser.because(err)
	case store.ConditionNoSecurityKeys, store.ConditionSecurityKey:
		return ErrElevationRequired.because(err)
	case store.ConditionEpoch:
		return ErrInvalidRequest.saying("the account was changed at the same moment: try again").because(err)
	}
	return err
}

// ElevationMethod names a way to step up.
type ElevationMethod string

// The ways to step up.
const ElevateByWebAuthn ElevationMethod = "webauthn" // with a security key

// ElevateParams says how the principal wants to step up.
type ElevateParams struct {
	Method ElevationMethod // ElevateByWebAuthn if empty
	Email  string          // not needed; if set, it must be the principal's
}

// Elevation is what a client needs to step up.
type Elevation struct {
	Method   ElevationMethod
	WebAuthn *RequestOptions // with ElevateByWebAuthn
}

// Elevate begins a step-up: the principal proves once more that they are there, and gets an access token that says so.
// Which of the engine's methods are protected, that is, demand such a token, is decided by Config.Elevation: with mode
// recommended they demand it of users who have a security key, with required of all, and otherwise of nobody. The
// protected methods say so in their documentation; for a service's own there is [Engine.CheckElevation]. It costs two
// round trips.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrInvalidRequest] if the user has no security key, or for an
// address that is not theirs or a method that does not exist; [ErrForbiddenAnonymous]; otherwise as at [Engine.User].
func (e *Engine) Elevate(ctx context.Context, principal *Principal, p ElevateParams) (_ *Elevation, err error) {
	defer e.settle(&err)
	if err := e.checkElevationMethod(p.Method); err != nil {
		return nil, err
	}
	a, err := e.elevating(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return nil, err
	}
	if p.Email != "" && !isAddress(p.Email, a.EmailKey) {
		return nil, ErrInvalidRequest.saying("email is not the user's")
	}
	switch {
	case len(a.SecurityKeys) == 0:
		return nil, ErrInvalidRequest.saying("the user has no security key")
	case !e.stepsUp(a.SecurityKeys):
		return nil, ErrInvalidRequest.saying("the user has no security key that verifies who they are")
	}
	challenge, err := e.challenge(ctx, kindElevateKey, slotOf(principal), principal.UserID,
		boundTo{Session: principal.SessionID, Keys: a.SecurityKeys})
	if err != nil {
		return nil, err
	}
	options := e.requestOptions(challenge, descriptors(a.SecurityKeys), e.config.Elevation.UserVerification)
	return &Elevation{Method: ElevateByWebAuthn, WebAuthn: options}, nil
}

// VerifyElevationParams ends a step-up.
type VerifyElevationParams struct {
	Method     ElevationMethod // ElevateByWebAuthn if empty
	Email      string          // not needed; if set, it must be the principal's
	Credential json.RawMessage // with ElevateByWebAuthn: PublicKeyCredential.toJSON()
}

// VerifyElevation ends a step-up that the same session began, with one of the principal's own security keys. It returns
// the same session with an access token that carries the claim x-hasura-auth-elevated. The step-up lives as long as that
// token: a refresh does not carry it on. No second session is opened, and the session's current refresh token stays what
// it was. It costs three round trips. The challenge is used up, whatever comes of it.
//
// Errors: [ErrDisabledEndpoint] without Config.WebAuthn; [ErrInvalidRequest] for a credential that is not an answer to a
// challenge of this session, or is not one of its user's, or that WebAuthn L3 §7.2 or the configuration refuse;
// [ErrForbiddenAnonymous]; otherwise as at [Engine.User].
func (e *Engine) VerifyElevation(ctx context.Context, principal *Principal, p VerifyElevationParams) (_ *Session, err error) {
	defer e.settle(&err)
	if err := e.checkElevationMethod(p.Method); err != nil {
		return nil, err
	}
	if err := mayElevate(principal); err != nil {
		return nil, err
	}
	answer, err := ceremony.ParseAssertion(p.Credential)
	if err != nil {
		return nil, errCredential.because(err)
	}
	var begun boundTo
	ticket, u, err := e.presented(ctx, kindElevateKey, answer.Challenge(), &begun)
	switch {
	case err != nil:
		return nil, err
	case u.ID != principal.UserID || begun.Session != principal.SessionID:
		return nil, errCredential.because(errors.New("the challenge is another session's"))
	case p.Email != "" && !isAddress(p.Email, u.EmailKey):
		return nil, ErrInvalidRequest.saying("email is not the user's")
	}
	// The keys are those of the beginning. One that has been removed or used since does not meet the change's condition.
	use, err := e.assert(ctx, &store.Account{User: u, SecurityKeys: begun.Keys}, answer, nil, e.config.Elevation.UserVerification)
	if err != nil {
		e.emit(ctx, Event{Type: EventElevationFailed, UserID: u.ID, SessionID: principal.SessionID, Method: methodWebAuthn, Code: codeOf(err)})
		return nil, err
	}
	now := e.now()
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: u.ID, Now: now,
		If:     store.Conditions{Session: principal.SessionID},
		Redeem: ticket, UseKey: use,
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnmet{Condition: store.ConditionSession}) {
		return nil, ErrUnauthenticated.because(err)
	}
	if err != nil {
		return nil, refused(err)
	}
	// Last, because another tab may refresh meanwhile: the answer has the refresh token that is current now.
	a, err := e.elevating(ctx, principal, 0)
	if err != nil {
		return nil, err
	}
	session, err := e.session(ctx, &a.User, a.Session, &stepUp{by: use.ID, at: now, amr: amrOfKey(use.UserVerified)})
	if err != nil {
		return nil, err
	}
	e.emit(ctx, Event{Type: EventElevated, UserID: a.ID, SessionID: principal.SessionID, Method: methodWebAuthn, Detail: use.ID.String()})
	return session, nil
}

// CheckElevation is for the service's own protected actions, whatever Config.Elevation.Mode is: it returns nil if the
// principal has stepped up, at most maxAge ago; with maxAge 0, at any time that their access token still vouches for. It
// costs no round trip, and with Config.Sessions.CheckOnVerify one, by which a session that has ended is refused and a
// step-up by a key that is gone.
//
// Errors: [ErrUnauthenticated]; [ErrElevationRequired]; with CheckOnVerify also the account's state, as at [Engine.User].
func (e *Engine) CheckElevation(ctx context.Context, principal *Principal, maxAge time.Duration) (err error) {
	defer e.settle(&err)
	switch {
	case principal == nil:
		return ErrUnauthenticated
	case !e.isElevated(principal), maxAge != 0 && e.now().Sub(principal.AuthTime) > maxAge:
		return ErrElevationRequired
	case !e.config.Sessions.CheckOnVerify:
		return nil
	}
	a, err := e.account(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return err
	}
	if principal.ElevatedBy != uuid.Nil && indexOfKey(a.SecurityKeys, principal.ElevatedBy) < 0 {
		return ErrElevationRequired
	}
	return nil
}

// isAddress reports whether s is a spelling of the address.
func isAddress(s, emailKey string) bool {
	a, err := emailaddr.Parse(s)
	return err == nil && a.Canonical == emailKey
}

// checkElevationMethod refuses methods that do not exist or are off.
func (e *Engine) checkElevationMethod(m ElevationMethod) error {
	if m != "" && m != ElevateByWebAuthn {
		return ErrInvalidRequest.saying("there is no such method")
	}
	if e.config.WebAuthn == nil {
		return ErrDisabledEndpoint
	}
	return nil
}

// elevating reads the account of a principal who wants to step up. What is elevated is a session: a token that names none
// cannot be.
func (e *Engine) elevating(ctx context.Context, principal *Principal, with store.With) (store.Account, error) {
	if err := mayElevate(principal); err != nil {
		return store.Account{}, err
	}
	a, err := e.account(ctx, principal, with)
	if err == nil && a.Session == nil {
		err = fmt.Errorf("the store found a user by session %s and did not return it", principal.SessionID)
	}
	return a, err
}

func mayElevate(p *Principal) error {
	if err := regular(p); err != nil {
		return err
	}
	if p.SessionID == uuid.Nil {
		return ErrUnauthenticated.because(errors.New("the token names no session"))
	}
	return nil
}

// regular demands a principal who is not anonymous.
func regular(p *Principal) error {
	if p == nil {
		return ErrUnauthenticated
	}
	if p.Anonymous {
		return ErrForbiddenAnonymous
	}
	return nil
}

// stepUp is what an elevated access token says beyond an ordinary one.
type stepUp struct {
	by  uuid.UUID // the security key
	at  time.Time
	amr []string
}

// apply returns the session as the token of the step-up describes it.
func (s *stepUp) apply(row store.Session) store.Session {
	row.AuthTime = s.at
	row.AMR = unique(slices.Concat(row.AMR, s.amr))
	return row
}
