package auth

import (
	"context"
	"encoding/json"
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
