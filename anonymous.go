package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// AnonymousConfig turns on anonymous users.
type AnonymousConfig struct {
	// MaxIdle is how long an anonymous user may be away before [Engine.Run] removes them. The default is 0: for ever.
	MaxIdle time.Duration
}

const (
	methodAnonymous = "anonymous"
	roleAnonymous   = "anonymous"
)

// SignInAnonymousParams is a user without a name. All fields are optional.
type SignInAnonymousParams struct {
	DisplayName string // "Anonymous User" if empty; at most 128 printable characters
	Locale      string // a locale that is not allowed falls back to the default one
	Metadata    json.RawMessage
}

// SignInAnonymous creates a user with no way in but the session that it returns, and only the role "anonymous". It costs
// one round trip. Idle anonymous users are removed by [Engine.Run] if Config.Anonymous.MaxIdle says so.
//
// Errors: [ErrSignUpDisabled]; [ErrDisabledEndpoint] without Config.Anonymous; [ErrInvalidRequest] for a display name or
// metadata of the wrong form; [ErrTooManyRequests]; [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set;
// [ErrCaptchaFailed] with Config.Captcha.Anonymous.
func (e *Engine) SignInAnonymous(ctx context.Context, p SignInAnonymousParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "SignInAnonymous").end(&err)
	if e.config.SignUp.Disabled {
		return nil, ErrSignUpDisabled
	}
	if e.config.Anonymous == nil {
		return nil, ErrDisabledEndpoint
	}
	u, err := e.newUser(SignUpOptions{Locale: p.Locale, Metadata: p.Metadata}, "Anonymous User")
	if err != nil {
		return nil, err
	}
	if p.DisplayName != "" {
		unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
		if utf8.RuneCountInString(p.DisplayName) > 128 || strings.ContainsFunc(p.DisplayName, unprintable) {
			return nil, ErrInvalidRequest.saying("displayName must be at most 128 printable characters")
		}
		u.DisplayName = p.DisplayName
	}
	if err := e.captcha(ctx, signingInAnonymously); err != nil {
		return nil, err
	}
	if err := e.mayJoin(ctx); err != nil {
		return nil, err
	}
	u.Anonymous, u.DefaultRole, u.Roles = true, roleAnonymous, []string{roleAnonymous}
	u.LastSeenAt = u.CreatedAt // from which on they are idle
	if u, err = e.signUp(ctx, u, methodAnonymous); err != nil {
		return nil, err
	}
	if u.Disabled {
		if _, err := e.create(ctx, store.NewUser{User: u}, methodAnonymous); err != nil {
			return nil, err
		}
		return nil, ErrDisabledUser
	}
	return e.enter(ctx, entry{user: u, method: methodAnonymous, create: &store.NewUser{User: u}})
}

// The ways in which an anonymous user can become a regular one.
const (
	DeanonymizeByPassword     DeanonymizeMethod = "email-password"
	DeanonymizeByPasswordless DeanonymizeMethod = "passwordless"
	DeanonymizeBySMS          DeanonymizeMethod = "passwordless-sms"
)

// DeanonymizeMethod names a way in which an anonymous user becomes a regular one.
type DeanonymizeMethod string

// DeanonymizeParams is who an anonymous user turns out to be.
type DeanonymizeParams struct {
	Method      DeanonymizeMethod
	Email       string // with DeanonymizeByPassword and DeanonymizeByPasswordless
	Password    string // with DeanonymizeByPassword
	PhoneNumber string // with DeanonymizeBySMS
	Options     SignUpOptions
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// Format keeps the password out of logs, whatever the verb.
func (p DeanonymizeParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [DeanonymizeParams.Format] for package slog.
func (p DeanonymizeParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Deanonymize makes an anonymous user a regular one, with the same id: all that belongs to them stays theirs. Where a
// letter goes to the address, because it is to be verified or the link in it is the way in, all sessions end, and
// following the link begins the next. It costs two round trips, and one more for the letter.
//
// With DeanonymizeBySMS, a code goes to the number, as at [Engine.SendSMSOTP], and nothing changes before
// [Engine.VerifyDeanonymize].
//
// What the user was given as an anonymous one, roles and name, gives way to what a sign-up gives.
//
// Errors: [ErrUserNotAnonymous]; [ErrInvalidRequest] for an unknown method, and for an address, a number, a password or
// options of the wrong form; [ErrCannotSendSMS]; [ErrDisabledEndpoint] if the method is off; [ErrSignUpDisabled];
// [ErrPasswordTooShort], [ErrPasswordBreached]; [ErrInvalidEmailPassword] if the access lists refuse the address;
// [ErrRoleNotAllowed], [ErrDefaultRoleNotAllowed], [ErrRedirectNotAllowed]; [ErrEmailAlreadyInUse]; [ErrTooManyRequests];
// [ErrCaptchaFailed] with Config.Captcha.Messages; otherwise as at [Engine.User].
func (e *Engine) Deanonymize(ctx context.Context, principal *Principal, p DeanonymizeParams) (err error) {
	defer e.begin(&ctx, "Deanonymize").end(&err)
	switch {
	case principal == nil:
		return ErrUnauthenticated
	case p.Method != DeanonymizeByPassword && p.Method != DeanonymizeByPasswordless && p.Method != DeanonymizeBySMS:
		return ErrInvalidRequest.saying("signInMethod must be email-password or passwordless")
	case p.Method == DeanonymizeByPassword && e.hasher == nil, p.Method == DeanonymizeByPasswordless && e.config.MagicLink == nil,
		p.Method == DeanonymizeBySMS && e.config.SMS == nil:
		return ErrDisabledEndpoint
	case e.config.SignUp.Disabled:
		return ErrSignUpDisabled
	case p.Method == DeanonymizeBySMS:
		return e.deanonymizeBySMS(ctx, principal, p)
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return err
	}
	address, err := e.admit(p.Email)
	if err != nil {
		return err
	}
	redirectTo, err := e.RedirectTo(p.Options.RedirectTo)
	if err != nil {
		return err
	}
	wanted, err := e.newUser(p.Options, address.Typed)
	if err != nil {
		return err
	}
	if err := e.captcha(ctx, havingMessagesSent); err != nil {
		return err
	}
	wanted.Email, wanted.EmailKey, wanted.AvatarURL = address.Typed, address.Canonical, e.gravatar(address)
	a, wanted, err := e.guest(ctx, principal, wanted)
	if err != nil {
		return err
	}
	if p.Method == DeanonymizeByPassword {
		if wanted.PasswordHash, err = e.chosen(ctx, p.Password, &wanted); err != nil {
			return err
		}
	}
	byLetter := p.Method == DeanonymizeByPasswordless || !e.config.Email.AllowUnverified
	if byLetter { // last of what can be refused: a budget is not to be spent on letters that are not sent
		if err := e.mayWrite(ctx, address.Canonical); err != nil {
			return err
		}
	}
	change := store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID, Anonymous: true},
		Set: becoming(&wanted),
	}
	change.Set.Email, change.Set.PasswordHash = &store.Email{Typed: wanted.Email, Key: wanted.EmailKey}, &wanted.PasswordHash
	var told letters
	if byLetter {
		l := linkVerifyEmail
		if p.Method == DeanonymizeByPasswordless {
			l = linkMagic
		}
		posted, err := e.post(ctx, l, &wanted, redirectTo, p.CodeChallenge)
		if err != nil {
			return err
		}
		told = letters{posted.letter}
		change.Ticket, change.Messages, change.Drop = posted.ticket, told.rows(), store.Drop{Sessions: true, AllTickets: true}
	}
	_, err = e.store.ChangeUser(ctx, change)
	if err != nil {
		return taken(unprotected(err))
	}
	e.emit(ctx, Event{Type: EventDeanonymized, UserID: a.ID, SessionID: principal.SessionID, Method: string(p.Method)})
	e.deliver(ctx, told...)
	return nil
}

// guest reads the account of an anonymous principal, and passes who they want to be through the service's hook.
func (e *Engine) guest(ctx context.Context, principal *Principal, wanted store.User) (store.Account, store.User, error) {
	a, err := e.account(ctx, principal, 0)
	if err != nil {
		return a, wanted, err
	}
	if !a.Anonymous { // whatever the token says, which may be older
		return a, wanted, ErrUserNotAnonymous
	}
	wanted.ID = a.ID
	wanted, err = e.signUp(ctx, wanted, methodAnonymous)
	return a, wanted, err
}

// becoming is what changes of an anonymous user who becomes a regular one, but for how they sign in.
func becoming(wanted *store.User) store.UserSet {
	regular := false
	return store.UserSet{
		Anonymous: &regular, DisplayName: &wanted.DisplayName, AvatarURL: &wanted.AvatarURL, Locale: &wanted.Locale,
		DefaultRole: &wanted.DefaultRole, Roles: wanted.Roles, Metadata: wanted.Metadata,
	}
}

// guestTicket is who an anonymous user is to be once their number is proven.
type guestTicket struct {
	DisplayName string          `json:"displayName"`
	AvatarURL   string          `json:"avatarUrl"`
	Locale      string          `json:"locale"`
	DefaultRole string          `json:"defaultRole"`
	Roles       []string        `json:"roles"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
}

func (e *Engine) deanonymizeBySMS(ctx context.Context, principal *Principal, p DeanonymizeParams) error {
	number, err := e.phoneNumber(p.PhoneNumber)
	if err != nil {
		return err
	}
	if _, err := e.RedirectTo(p.Options.RedirectTo); err != nil {
		return err
	}
	wanted, err := e.newUser(p.Options, number)
	if err != nil {
		return err
	}
	if err := e.captcha(ctx, havingMessagesSent); err != nil {
		return err
	}
	wanted.Phone = number
	a, wanted, err := e.guest(ctx, principal, wanted)
	if err != nil {
		return err
	}
	if err := e.mayText(ctx, number); err != nil {
		return err
	}
	l, err := e.postCode(ctx, kindDeanonymize, "signin-passwordless-sms", a.ID, number, wanted.Locale, guestTicket{
		wanted.DisplayName, wanted.AvatarURL, wanted.Locale, wanted.DefaultRole, wanted.Roles, wanted.Metadata,
	})
	if err != nil {
		return err
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID, Anonymous: true},
		Ticket: l.ticket, Messages: []store.Message{l.letter.row},
	})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventPhoneChangeAsked, UserID: a.ID, SessionID: principal.SessionID, Method: string(p.Method)})
	return e.hand(ctx, l)
}

// VerifyDeanonymizeParams is a code that an anonymous user has received at the number that is to be theirs.
type VerifyDeanonymizeParams struct {
	PhoneNumber string
	OTP         string
}

// VerifyDeanonymize makes an anonymous user a regular one, by the code that [Engine.Deanonymize] sent to their number. All
// their sessions end but the one that it returns. It costs two round trips. Wrong codes count as at [Engine.VerifySMSOTP].
//
// Errors: [ErrDisabledEndpoint] without Config.SMS; [ErrSignUpDisabled]; [ErrUserNotAnonymous]; [ErrInvalidRequest] if
// PhoneNumber is not a number, for a wrong, expired or used code, and if the number is another user's;
// [ErrTooManyRequests]; otherwise as at [Engine.User].
func (e *Engine) VerifyDeanonymize(ctx context.Context, principal *Principal, p VerifyDeanonymizeParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "VerifyDeanonymize").end(&err)
	switch {
	case principal == nil, principal.UserID == uuid.Nil:
		return nil, ErrUnauthenticated
	case e.config.SMS == nil:
		return nil, ErrDisabledEndpoint
	case e.config.SignUp.Disabled:
		return nil, ErrSignUpDisabled
	}
	number, err := e.phoneNumber(p.PhoneNumber)
	if err != nil {
		return nil, err
	}
	var wanted guestTicket
	t, u, err := e.checkCode(ctx, store.TicketQuery{Kind: kindDeanonymize, UserID: principal.UserID}, number, p.OTP, &wanted)
	if err != nil {
		return nil, err
	}
	u.Anonymous, u.Phone, u.PhoneVerified = false, number, true
	u.DisplayName, u.AvatarURL, u.Locale = wanted.DisplayName, wanted.AvatarURL, wanted.Locale
	u.DefaultRole, u.Roles = wanted.DefaultRole, wanted.Roles
	if wanted.Metadata != nil {
		u.Metadata = wanted.Metadata
	}
	change := &store.UserChange{
		If: store.Conditions{Session: principal.SessionID, Anonymous: true}, Redeem: t.ID,
		Set: becoming(&u), Drop: store.Drop{Sessions: true, AllTickets: true},
	}
	change.Set.Phone, change.Set.PhoneVerified = &u.Phone, &u.PhoneVerified
	var in *SignInResult
	err = e.taking(ctx, number, func() error {
		in, err = e.enter(ctx, entry{user: u, method: methodSMS, amr: amrSMS, change: change})
		return err
	})
	if err != nil {
		return nil, unprotected(wrongCode(spent(phoneTaken(err))))
	}
	e.answered(ctx, number)
	e.emit(ctx, Event{Type: EventDeanonymized, UserID: u.ID, SessionID: principal.SessionID, Method: string(DeanonymizeBySMS)})
	return in, nil
}
