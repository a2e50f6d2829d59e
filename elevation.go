package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/store"
)

// ElevationConfig says when a user must step up: prove once more that they are there, with a security key or a code of their
// authenticator app for example, before they do what cannot be undone. See [Engine.Elevate].
type ElevationConfig struct {
	// Mode says of whom a step-up is demanded. The default is [ElevationDisabled].
	Mode ElevationMode
	// Methods are the ways to step up. The default is [ElevateByWebAuthn] and [ElevateByTOTP]. The others are weaker: a user who
	// has one of these two cannot use them.
	Methods []ElevationMethod
	// UserVerification is asked for when a user steps up with a security key. The default is [UserVerificationRequired]:
	// whoever has found a key cannot step up with it (NIST SP 800-63B-4 §2.2). With preferred a touch is enough.
	UserVerification UserVerification
	// FirstKeyWithin, unless 0, is how long after they signed in a user who has no security key yet may add one. The
	// default is as long as the session lives, as documented: whoever has stolen an access token of a user without a
	// key can give them one. The owner of a verified address gets a letter.
	FirstKeyWithin time.Duration
}

func (c *ElevationConfig) withDefaults(m *mistakes) {
	def(&c.Mode, ElevationDisabled)
	m.oneOf("Elevation.Mode", string(c.Mode), string(ElevationDisabled), string(ElevationRecommended), string(ElevationRequired))
	if c.Methods == nil {
		c.Methods = []ElevationMethod{ElevateByWebAuthn, ElevateByTOTP}
	}
	for i, method := range c.Methods {
		if !slices.Contains(elevationMethods, method) {
			m.add(fmt.Sprintf("Elevation.Methods[%d]", i), "there is no way to step up called %q", method)
		}
	}
	c.Methods = slices.Clone(c.Methods)
	def(&c.UserVerification, UserVerificationRequired)
	m.userVerification("Elevation.UserVerification", c.UserVerification)
	m.duration("Elevation.FirstKeyWithin", c.FirstKeyWithin, 0, 10*365*24*time.Hour)
}

// ElevationMode says of whom a step-up is demanded.
type ElevationMode string

// The modes of elevation. Adding a first security key never needs a step-up.
const (
	ElevationDisabled    ElevationMode = "disabled"    // of nobody
	ElevationRecommended ElevationMode = "recommended" // of users with a security key or a second factor
	ElevationRequired    ElevationMode = "required"    // of everybody
)

// Protection: what a method demands of its caller beyond a live session.
type protection int

const (
	anything          protection = iota
	enrolling                    // a second factor: what is needed of who has one, its own methods demand
	addingKey                    // a user without a key is let through: they cannot step up
	addingFirstUseful            // a key, by somebody who cannot step up with those they have: decided when it began
)

// protected says what must hold of the account, at the moment of the change, for the principal to do what is protected.
func (e *Engine) protected(p *Principal, what protection) (store.Conditions, error) {
	if err := regular(p); err != nil {
		return store.Conditions{}, err
	}
	// A second factor that is turned on while this is under way has not been shown.
	rule := store.Conditions{Session: p.SessionID, NoTOTP: what != enrolling && !e.shownTwo(p)}
	switch mode := e.config.Elevation.Mode; {
	case what == addingFirstUseful:
	case e.isElevated(p):
		rule.SecurityKey = p.ElevatedBy
	case mode == ElevationRecommended:
		rule.NoSecurityKeys = true
	case mode == ElevationRequired && (what == addingKey || what == enrolling):
		rule.NoSecurityKeys = true
	case mode == ElevationRequired:
		return rule, ErrElevationRequired
	}
	return rule, nil
}

// isElevated reports whether the token of a step-up still is one. A principal can be kept for longer.
func (e *Engine) isElevated(p *Principal) bool {
	return p.Elevated && e.now().Before(p.Expires)
}

// shownTwo reports whether two factors were shown. What a step-up has shown counts for as long as the rest of it.
func (e *Engine) shownTwo(p *Principal) bool {
	return slices.Contains(p.AMR, amrMFA) && (!p.Elevated || e.isElevated(p))
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
	p = e.standing(a, p)
	rule, err := e.protected(p, what)
	switch {
	case err != nil:
		return rule, err
	case rule.NoSecurityKeys && len(a.SecurityKeys) > 0:
		return rule, ErrElevationRequired
	case what != enrolling:
		return rule, e.mayWithSecond(a, p)
	}
	return rule, nil
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

// freshAccount is protectedAccount for who changes the ways in: by an old session nobody makes themselves a new one.
func (e *Engine) freshAccount(ctx context.Context, p *Principal, with store.With) (store.Account, store.Conditions, error) {
	a, rule, err := e.protectedAccount(ctx, p, anything, with)
	if err == nil && !e.justThere(&a, p) {
		err = errNotJustThere
	}
	return a, rule, err
}

// mayWithSecond demands of who has a second factor that they have shown it: in this session, or by a step-up. Where the mode
// demands a step-up of them, having signed in with both just now is as good.
func (e *Engine) mayWithSecond(a *store.Account, p *Principal) error {
	switch {
	case len(a.TOTPSecret) == 0:
		return nil
	case !e.shownTwo(p):
		return errSecondFactor
	case e.config.Elevation.Mode != ElevationDisabled && slices.Contains(e.config.Elevation.Methods, ElevateByTOTP) &&
		!e.isElevated(p) && e.sinceSignIn(a, p) > justNow:
		return ErrElevationRequired
	}
	return nil
}

// shownBoth reports whether the principal has shown two factors, and has just now been there.
func (e *Engine) shownBoth(a *store.Account, p *Principal) bool {
	return e.shownTwo(e.standing(a, p)) && e.justThere(a, p)
}

// errSecondFactor is for what a session of one factor cannot do to an account that has two.
var errSecondFactor = ErrElevationRequired.saying("A sign-in with the second factor, or a step-up with it, is required")

// errPATSession is for what a session of a personal access token cannot do, whoever holds the token.
var errPATSession = ErrElevationRequired.saying("This cannot be done with a personal access token")

// errNotJustThere is for what needs more than a session that lives.
var errNotJustThere = ErrElevationRequired.saying("To have signed in just now, or a step-up, is required")

// justThere reports whether the principal has shown just now who they are: by a step-up, or by signing in.
func (e *Engine) justThere(a *store.Account, p *Principal) bool {
	return e.steppedUp(a, p) || e.sinceSignIn(a, p) <= justNow
}

// justNow is how long after a sign-in its user is taken to be the one who is there.
const justNow = 10 * time.Minute

// cannotStepUp reports whether the user has nothing with which they can step up, and has just signed in themselves. They may
// add a key with which they can; otherwise they could neither do that nor remove what keeps them from it.
func (e *Engine) cannotStepUp(a *store.Account, p *Principal) bool {
	return !a.Anonymous && len(e.elevationMethods(a)) == 0 && len(a.TOTPSecret) == 0 && e.sinceSignIn(a, p) <= justNow
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
		return e.changeProtected(ctx, withoutStepUp(p, nil), what, change)
	}
	return unprotected(err)
}

// withoutStepUp is the principal whose step-up has ended, and with it what it had shown. Their token is as good as any other of the
// session; where that is not at hand, nobody knows what it has shown.
func withoutStepUp(p *Principal, s *store.Session) *Principal {
	plain := *p
	plain.Elevated, plain.ElevatedBy, plain.AMR = false, uuid.Nil, nil
	if s != nil {
		plain.AMR = s.AMR
	}
	return &plain
}

// steppedUp reports whether the principal's token is one of a step-up whose key, if there was one, is still there.
func (e *Engine) steppedUp(a *store.Account, p *Principal) bool {
	return e.isElevated(p) && (p.ElevatedBy == uuid.Nil || indexOfKey(a.SecurityKeys, p.ElevatedBy) >= 0)
}

// standing is the principal as far as their step-up still stands, given their account with its keys.
func (e *Engine) standing(a *store.Account, p *Principal) *Principal {
	if !p.Elevated || e.steppedUp(a, p) {
		return p
	}
	return withoutStepUp(p, a.Session)
}

// unprotected translates the store's word that a rule no longer holds.
func unprotected(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrUnauthenticated.because(err)
	}
	unmet, _ := errors.AsType[store.ErrUnmet](err)
	switch unmet.Condition {
	case store.ConditionSession:
		return ErrUnauthenticated.because(err)
	case store.ConditionEnabled:
		return ErrDisabledUser.because(err)
	case store.ConditionNoSecurityKeys, store.ConditionSecurityKey:
		return ErrElevationRequired.because(err)
	case store.ConditionNoTOTP:
		return errSecondFactor.because(err)
	case store.ConditionAnonymous:
		return ErrUserNotAnonymous.because(err)
	case store.ConditionEpoch:
		return ErrInvalidRequest.saying("the account was changed at the same moment: try again").because(err)
	}
	return err
}

// ElevationMethod names a way to step up.
type ElevationMethod string

// The ways to step up. From the third on they are weak: they are for users who have nothing stronger.
const (
	ElevateByWebAuthn ElevationMethod = "webauthn" // with a security key
	ElevateByTOTP     ElevationMethod = "totp"     // with a code of the authenticator app
	ElevateByPassword ElevationMethod = "password"
	ElevateByEmailOTP ElevationMethod = "otp-email" // with a code in a letter to the user's proven address
	ElevateBySMSOTP   ElevationMethod = "otp-sms"   // with a code in a text message to the user's proven number
)

// ElevateParams says how the principal wants to step up.
type ElevateParams struct {
	Method ElevationMethod // ElevateByWebAuthn if empty
	Email  string          // not needed; if set, it must be the principal's
}

// elevationMethods are all ways that there are.
var elevationMethods = []ElevationMethod{ElevateByWebAuthn, ElevateByTOTP, ElevateByPassword, ElevateByEmailOTP, ElevateBySMSOTP}

// ElevationMethods returns the ways in which the principal can step up now, the strongest first. It costs one round trip.
//
// Errors: [ErrForbiddenAnonymous]; [ErrElevationRequired] for a session of a personal access token; otherwise as at
// [Engine.User].
func (e *Engine) ElevationMethods(ctx context.Context, principal *Principal) (_ []ElevationMethod, err error) {
	defer e.begin(&ctx, "ElevationMethods").end(&err)
	defer e.refusal(ctx, principal, "ElevationMethods", &err)
	a, err := e.elevating(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return nil, err
	}
	return e.elevationMethods(&a), nil
}

// elevationMethods are the ways that the configuration and the account leave open.
func (e *Engine) elevationMethods(a *store.Account) []ElevationMethod {
	methods := []ElevationMethod{}
	add := func(m ElevationMethod, usable bool) {
		if usable && slices.Contains(e.config.Elevation.Methods, m) {
			methods = append(methods, m)
		}
	}
	add(ElevateByWebAuthn, e.config.WebAuthn != nil && e.stepsUp(a.SecurityKeys))
	add(ElevateByTOTP, len(a.TOTPSecret) > 0)
	if len(a.TOTPSecret) > 0 || len(a.SecurityKeys) > 0 {
		return methods // what cannot be used here is stronger all the same
	}
	add(ElevateByPassword, e.hasher != nil && a.PasswordHash != "")
	add(ElevateByEmailOTP, e.config.Mail != nil && a.EmailVerified)
	add(ElevateBySMSOTP, e.config.SMS != nil && a.PhoneVerified)
	return methods
}

// Elevation is what a client needs to step up.
type Elevation struct {
	Method   ElevationMethod
	WebAuthn *RequestOptions // with ElevateByWebAuthn
}

// Elevate begins a step-up: the principal proves once more that they are there, and gets an access token that says so.
// Which of the engine's methods are protected, that is, demand such a token, is decided by Config.Elevation: with mode
// recommended they demand it of users who have a security key or a second factor, with required of all, and otherwise of
// nobody. With mode recommended, who has no key and has signed in with both factors need not step up in the ten minutes that
// follow. The protected methods say so in their documentation; for a service's own there is [Engine.CheckElevation].
//
// In every mode, a session in which the second factor was not shown, by somebody who has one, does nothing that is protected
// before it is, at a step-up say. The methods of a second factor ask for its code themselves: see [Engine.SetMFA].
//
// A security key is asked to answer the challenge that Elevate returns, and a code is sent by it. A code of an authenticator
// app and a password need no beginning: [Engine.VerifyElevation] takes them as they are. It costs two round trips, one where
// there is nothing to begin, and one more for a letter or a text message.
//
// Errors: [ErrDisabledEndpoint] for a method that is not one of Config.Elevation.Methods, or whose section of Config is nil;
// [ErrInvalidRequest] for a method that does not exist or that the user cannot use, such as a security key if they have none,
// and for an address that is not theirs; [ErrTooManyRequests] and [ErrCannotSendSMS] for a code; [ErrForbiddenAnonymous];
// [ErrElevationRequired] for a session of a personal access token; otherwise as at [Engine.User].
func (e *Engine) Elevate(ctx context.Context, principal *Principal, p ElevateParams) (_ *Elevation, err error) {
	defer e.begin(&ctx, "Elevate").end(&err)
	defer e.refusal(ctx, principal, "Elevate", &err)
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
	if p.Method != "" && p.Method != ElevateByWebAuthn {
		if !slices.Contains(e.elevationMethods(&a), p.Method) {
			return nil, errNoSuchWay
		}
		if err := e.sendElevationCode(ctx, principal, &a, p.Method); err != nil {
			return nil, err
		}
		return &Elevation{Method: p.Method}, nil
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
	OTP        string          // with ElevateByTOTP, ElevateByEmailOTP and ElevateBySMSOTP
	Password   string          // with ElevateByPassword
}

// Format keeps all of it out of logs, whatever the verb.
func (VerifyElevationParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [VerifyElevationParams.Format] for package slog.
func (VerifyElevationParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// VerifyElevation ends a step-up: one that the same session began, with one of the principal's own security keys; or,
// without a beginning, one with a code of their authenticator app or their password; or one with the code that the
// beginning sent them. It returns the same session with an access token that carries the claim x-hasura-auth-elevated. The
// step-up lives as long as that token: a refresh does not carry it on. No second session is opened, and the session's
// current refresh token stays what it was. It costs three round trips, and two with a password. The challenge is used up,
// whatever comes of it.
//
// A code of the app is good once, here or elsewhere, as [Engine.VerifyMFA] says, and the token of its step-up has "otp" and "mfa"
// in the claim amr: for its life the session is one of two factors. Guesses of codes and of passwords count for the account; see
// Config.Limits.GuessesPerAccount. A step-up with a security key ends when the key is removed, and with it what it has shown.
// One of another kind lasts as long as its token, also if what it was done with is turned off or replaced meanwhile; what ends
// the session ends it, as [Engine.RemoveMFA] does, and a new password where it was set in another session.
//
// Errors: [ErrDisabledEndpoint] as at [Engine.Elevate]; [ErrInvalidRequest] for a credential that is not an answer to a
// challenge of this session, or is not one of its user's, or that WebAuthn L3 §7.2 or the configuration refuse, and for a
// method that this user cannot use, and a code that was sent and is not this; [ErrInvalidTOTP]; [ErrInvalidEmailPassword]
// for a wrong password; [ErrTooManyRequests]; [ErrForbiddenAnonymous]; [ErrElevationRequired] for a session of a personal
// access token; otherwise as at [Engine.User].
func (e *Engine) VerifyElevation(ctx context.Context, principal *Principal, p VerifyElevationParams) (_ *Session, err error) {
	defer e.begin(&ctx, "VerifyElevation").end(&err)
	if err := e.checkElevationMethod(p.Method); err != nil {
		return nil, err
	}
	if err := mayElevate(principal); err != nil {
		e.refusal(ctx, principal, "VerifyElevation", &err) // not deferred: a wrong code is told of as a step-up that failed
		return nil, err
	}
	if p.Method != "" && p.Method != ElevateByWebAuthn {
		return e.elevateByKnowledge(ctx, principal, p)
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
	if err != nil {
		return nil, refused(unprotected(err))
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

var errNoSuchWay = ErrInvalidRequest.saying("the user cannot step up in this way")

// elevateByKnowledge is a step-up by what the principal types.
func (e *Engine) elevateByKnowledge(ctx context.Context, principal *Principal, p VerifyElevationParams) (_ *Session, err error) {
	a, err := e.elevating(ctx, principal, store.WithSecurityKeys)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(e.elevationMethods(&a), p.Method) {
		return nil, errNoSuchWay
	}
	defer func() {
		if err != nil {
			e.emit(ctx, Event{Type: EventElevationFailed, UserID: a.ID, SessionID: principal.SessionID, Method: string(p.Method), Code: codeOf(err)})
		}
	}()
	up := &stepUp{at: e.now()}
	change := store.UserChange{UserID: a.ID, Now: up.at, If: store.Conditions{Session: principal.SessionID}}
	switch p.Method {
	case ElevateByPassword:
		up.amr = amrPassword
		err = e.checkOwnPassword(ctx, &a.User, p.Password)
	case ElevateByTOTP:
		up.amr = []string{amrOTP, amrMFA}
		err = e.second(ctx, &a.User, "step-up", p.OTP, "", &change)
	case ElevateByEmailOTP:
		up.amr = amrEmail
		change.Redeem, err = e.checkElevationLetter(ctx, principal, &a, p.OTP)
	case ElevateBySMSOTP:
		up.amr = amrSMS
		var begun boundTo
		var t store.Ticket
		t, _, err = e.checkCode(ctx, store.TicketQuery{Kind: kindElevateSMS, UserID: a.ID}, a.Phone, p.OTP, &begun)
		if change.Redeem = t.ID; err == nil && begun.Session != principal.SessionID {
			err = wrongCode(ErrInvalidTicket.because(errors.New("another session's")))
		}
	}
	if err != nil {
		return nil, err
	}
	if p.Method != ElevateByPassword {
		if _, err := e.store.ChangeUser(ctx, change); err != nil {
			return nil, unprotected(wrongCode(spent(wrongSecond(err))))
		}
	}
	if p.Method == ElevateBySMSOTP {
		e.answered(ctx, a.Phone)
	}
	// Again, because another tab may refresh or sign out meanwhile: the answer has the refresh token that is current now.
	if a, err = e.elevating(ctx, principal, 0); err != nil {
		return nil, err
	}
	session, err := e.session(ctx, &a.User, a.Session, up)
	if err != nil {
		return nil, err
	}
	e.emit(ctx, Event{Type: EventElevated, UserID: a.ID, SessionID: principal.SessionID, Method: string(p.Method)})
	return session, nil
}

// sendElevationCode begins a step-up by a code that is sent.
func (e *Engine) sendElevationCode(ctx context.Context, principal *Principal, a *store.Account, m ElevationMethod) (err error) {
	var p posted
	begun := boundTo{Session: principal.SessionID}
	switch m {
	case ElevateByEmailOTP:
		if err := e.mayWrite(ctx, a.EmailKey); err != nil {
			return err
		}
		p, err = e.mailCode(ctx, kindElevateOTP, "elevate-otp", &a.User, codeTries, begun, nil)
	case ElevateBySMSOTP:
		if err := e.mayText(ctx, a.Phone); err != nil {
			return err
		}
		p, err = e.postCode(ctx, kindElevateSMS, "elevate-otp-sms", a.ID, a.Phone, a.Locale, begun)
	default:
		return nil // there is nothing to send
	}
	if err != nil {
		return err
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID}, Ticket: p.ticket, Messages: []store.Message{p.letter.row},
	})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventElevationAsked, UserID: a.ID, SessionID: principal.SessionID, Method: string(m)})
	return e.hand(ctx, p)
}

// checkElevationLetter looks at a code that a letter has brought, and returns its ticket.
func (e *Engine) checkElevationLetter(ctx context.Context, principal *Principal, a *store.Account, code string) (uuid.UUID, error) {
	if !isCode(code) {
		return uuid.Nil, wrongCode(ErrInvalidTicket.because(errors.New("not six digits")))
	}
	var begun boundTo
	t, _, err := e.checkMailedCode(ctx, store.TicketQuery{Kind: kindElevateOTP, UserID: a.ID}, a.EmailKey, code, &begun)
	if err == nil && begun.Session != principal.SessionID {
		err = ErrInvalidTicket.because(errors.New("another session's"))
	}
	return t.ID, wrongCode(err)
}

// CheckElevation is for the service's own protected actions, whatever Config.Elevation.Mode is: it returns nil if the
// principal has stepped up, at most maxAge ago; with maxAge 0, at any time that their access token still vouches for. How they
// did does not matter: by any of Config.Elevation.Methods. A sign-in is no step-up, with however many factors, and who has
// nothing to step up with is refused. It costs no round trip, and with Config.Sessions.CheckOnVerify one, by which a session
// that has ended is refused and a step-up by a key that is gone.
//
// Errors: [ErrUnauthenticated]; [ErrElevationRequired]; with CheckOnVerify also the account's state, as at [Engine.User].
func (e *Engine) CheckElevation(ctx context.Context, principal *Principal, maxAge time.Duration) (err error) {
	defer e.begin(&ctx, "CheckElevation").end(&err)
	defer e.refusal(ctx, principal, "CheckElevation", &err)
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
	m = cmp.Or(m, ElevateByWebAuthn)
	switch {
	case !slices.Contains(elevationMethods, m):
		return ErrInvalidRequest.saying("there is no such method")
	case m == ElevateByWebAuthn && e.config.WebAuthn == nil, m == ElevateByPassword && e.hasher == nil,
		m == ElevateByEmailOTP && e.config.Mail == nil, m == ElevateBySMSOTP && e.config.SMS == nil,
		!slices.Contains(e.config.Elevation.Methods, m):
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

// regular demands a principal who is not anonymous, and there in person.
func regular(p *Principal) error {
	if err := inPerson(p); err != nil {
		return err
	}
	if p.Anonymous {
		return ErrForbiddenAnonymous
	}
	return nil
}

// inPerson demands a principal who has signed in themselves, and not a program with a personal access token of theirs; see
// [Engine.SignInPAT].
func inPerson(p *Principal) error {
	if p == nil || p.UserID == uuid.Nil {
		return ErrUnauthenticated
	}
	if slices.Contains(p.AMR, amrPAT) {
		return errPATSession
	}
	return nil
}

// ownAccount is account for what only a principal who is there in person may see or do.
func (e *Engine) ownAccount(ctx context.Context, p *Principal, with store.With) (store.Account, error) {
	if err := inPerson(p); err != nil {
		return store.Account{}, err
	}
	return e.account(ctx, p, with)
}

// stepUp is what an elevated access token says beyond an ordinary one.
type stepUp struct {
	by  uuid.UUID // the security key; zero for another method
	at  time.Time
	amr []string
}

// apply returns the session as the token of the step-up describes it.
func (s *stepUp) apply(row store.Session) store.Session {
	row.AuthTime = s.at
	row.AMR = unique(slices.Concat(row.AMR, s.amr))
	return row
}
