package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ostiary/auth/store"
)

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
// metadata of the wrong form; [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set.
func (e *Engine) SignInAnonymous(ctx context.Context, p SignInAnonymousParams) (_ *SignInResult, err error) {
	defer e.settle(&err)
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
	u.Anonymous, u.DefaultRole, u.Roles = true, roleAnonymous, []string{roleAnonymous}
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
)

// DeanonymizeMethod names a way in which an anonymous user becomes a regular one.
type DeanonymizeMethod string

// DeanonymizeParams is who an anonymous user turns out to be.
type DeanonymizeParams struct {
	Method   DeanonymizeMethod
	Email    string
	Password string // with DeanonymizeByPassword
	Options  SignUpOptions
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// Format keeps the password out of logs, whatever the verb.
func (p DeanonymizeParams) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is [DeanonymizeParams.Format] for package slog.
func (p DeanonymizeParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// Deanonymize makes an anonymous user a regular one, with the same id: all that belongs to them stays theirs. Where a
// letter goes to the address, because it is to be verified or the link in it is the way in, all sessions end, and
// following the link begins the next. It costs two round trips, and one more for the letter.
//
// What the user was given as an anonymous one, roles and name, gives way to what a sign-up gives.
//
// Errors: [ErrUserNotAnonymous]; [ErrInvalidRequest] for an unknown method, and for an address, a password or options of
// the wrong form; [ErrDisabledEndpoint] if the method is off; [ErrSignUpDisabled]; [ErrPasswordTooShort],
// [ErrPasswordBreached]; [ErrInvalidEmailPassword] if the access lists refuse the address; [ErrRoleNotAllowed],
// [ErrDefaultRoleNotAllowed], [ErrRedirectNotAllowed]; [ErrEmailAlreadyInUse]; [ErrTooManyRequests]; otherwise as at
// [Engine.User].
func (e *Engine) Deanonymize(ctx context.Context, principal *Principal, p DeanonymizeParams) (err error) {
	defer e.settle(&err)
	switch {
	case principal == nil:
		return ErrUnauthenticated
	case p.Method != DeanonymizeByPassword && p.Method != DeanonymizeByPasswordless:
		return ErrInvalidRequest.saying("signInMethod must be email-password or passwordless")
	case p.Method == DeanonymizeByPassword && e.hasher == nil, p.Method == DeanonymizeByPasswordless && e.config.MagicLink == nil:
		return ErrDisabledEndpoint
	case e.config.SignUp.Disabled:
		return ErrSignUpDisabled
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
	wanted.Email, wanted.EmailKey, wanted.AvatarURL = address.Typed, address.Canonical, e.gravatar(address)
	a, err := e.account(ctx, principal, 0)
	if err != nil {
		return err
	}
	if !a.Anonymous { // whatever the token says, which may be older
		return ErrUserNotAnonymous
	}
	wanted.ID = a.ID
	if wanted, err = e.signUp(ctx, wanted, methodAnonymous); err != nil {
		return err
	}
	if p.Method == DeanonymizeByPassword {
		if wanted.PasswordHash, err = e.chosen(ctx, p.Password, &wanted); err != nil {
			return err
		}
	}
	regular := false
	change := store.UserChange{
		UserID: a.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID, Anonymous: true},
		Set: store.UserSet{
			Anonymous: &regular, Email: &store.Email{Typed: wanted.Email, Key: wanted.EmailKey}, PasswordHash: &wanted.PasswordHash,
			DisplayName: &wanted.DisplayName, AvatarURL: &wanted.AvatarURL, Locale: &wanted.Locale,
			DefaultRole: &wanted.DefaultRole, Roles: wanted.Roles,
		},
	}
	if wanted.Metadata != nil {
		change.Set.Metadata = wanted.Metadata
	}
	var l posted
	switch {
	case p.Method == DeanonymizeByPasswordless:
		l, err = e.post(ctx, linkMagic, &wanted, redirectTo, p.CodeChallenge)
	case !e.config.Email.AllowUnverified:
		l, err = e.post(ctx, linkVerifyEmail, &wanted, redirectTo, p.CodeChallenge)
	}
	if err != nil {
		return err
	}
	if l.ticket != nil {
		change.Ticket, change.Messages, change.Drop = l.ticket, []store.Message{l.letter.row}, store.Drop{Sessions: true, AllTickets: true}
	}
	_, err = e.store.ChangeUser(ctx, change)
	if errors.Is(err, store.ErrUnmet{Condition: store.ConditionAnonymous}) {
		return ErrUserNotAnonymous.because(err)
	}
	if err != nil {
		return taken(unprotected(err))
	}
	e.emit(ctx, Event{Type: EventDeanonymized, UserID: a.ID, SessionID: principal.SessionID, Method: string(p.Method)})
	if l.ticket != nil {
		e.deliver(ctx, l.letter)
	}
	return nil
}
