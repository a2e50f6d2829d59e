package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ostiary/auth/store"
)

// SignUpConfig governs how users come into being, whatever the method.
type SignUpConfig struct {
	// Disabled refuses every new user with [ErrSignUpDisabled].
	Disabled bool
	// DisableNewUsers creates users disabled, for an operator to enable: the call returns [ErrDisabledUser].
	DisableNewUsers bool
	// MaxMetadata bounds the metadata that a client may send, in bytes. The default is 16 KiB.
	MaxMetadata int
}

// newcomer is somebody who signs up with an address that they have yet to prove.
type newcomer struct {
	user       store.NewUser
	method     string   // for events
	amr        []string // RFC 8176
	redirectTo string   // where the link in their letter leads
	challenge  string   // the code challenge, if any: see [Engine.ExchangeCode]
}

// enrol creates a newcomer's account. Where addresses are verified it sends them a letter in place of a session, and leaves
// it to again to decide what becomes of a sign-up whose address has an account.
func (e *Engine) enrol(ctx context.Context, n newcomer, again func(context.Context, newcomer) (*SignInResult, error)) (*SignInResult, error) {
	switch {
	case n.user.User.Disabled:
		_, err := e.create(ctx, n.user, n.method)
		if err == nil {
			err = ErrDisabledUser
		}
		return nil, taken(err)
	case e.config.Email.AllowUnverified:
		in, err := e.enter(ctx, entry{user: n.user.User, method: n.method, amr: n.amr, create: &n.user})
		return in, taken(err)
	}
	letter, err := e.verifyEmail(ctx, &n.user, n.redirectTo, n.challenge)
	if err != nil {
		return nil, err
	}
	_, err = e.create(ctx, n.user, n.method)
	if errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) {
		return again(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	e.deliver(ctx, letter)
	return &SignInResult{}, nil
}

// replaceSignUp puts a sign-up in the place of one that nobody has verified.
func (e *Engine) replaceSignUp(ctx context.Context, old store.User, n newcomer) (*SignInResult, error) {
	u := &n.user.User
	u.ID, n.user.Messages = old.ID, nil
	letter, err := e.verifyEmail(ctx, &n.user, n.redirectTo, n.challenge)
	if err != nil {
		return nil, err
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: old.ID, Now: e.now(), If: store.Conditions{Epoch: old.Epoch},
		Set: store.UserSet{
			Email: &store.Email{Typed: u.Email, Key: u.EmailKey}, PasswordHash: &u.PasswordHash,
			DisplayName: &u.DisplayName, AvatarURL: &u.AvatarURL, Locale: &u.Locale,
			DefaultRole: &u.DefaultRole, Roles: u.Roles, Metadata: orEmpty(u.Metadata),
		},
		Drop:   store.Drop{Sessions: true, PATs: true, SecurityKeys: true, Identities: true, AllTickets: true},
		Redeem: n.user.Redeem, SecurityKey: n.user.SecurityKey, Identity: n.user.Identity, Ticket: n.user.Ticket, Messages: n.user.Messages,
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnmet{Condition: store.ConditionEnabled}),
		errors.Is(err, store.ErrUnmet{Condition: store.ConditionEpoch}):
		// Removed, disabled, verified, or signed up with again, a moment ago.
		if e.config.ConcealErrors {
			return &SignInResult{}, nil
		}
		return nil, ErrEmailAlreadyInUse.because(err)
	case err != nil:
		return nil, fmt.Errorf("replace pending sign-up: %w", err)
	}
	e.emit(ctx, Event{Type: EventUserUpdated, UserID: old.ID, Method: n.method, Detail: "a pending sign-up was replaced"})
	e.deliver(ctx, letter)
	return &SignInResult{}, nil
}

// orEmpty is for a change of metadata, in which nil leaves what is there.
func orEmpty(metadata json.RawMessage) json.RawMessage {
	if metadata == nil {
		return json.RawMessage("{}")
	}
	return metadata
}

// taken translates the store's word that an address is taken.
func taken(err error) error {
	if errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) {
		return ErrEmailAlreadyInUse.because(err)
	}
	return err
}

// signUpTaken is a sign-up with an address whose owner has proven it.
func (e *Engine) signUpTaken(ctx context.Context, owner store.User, method string) (*SignInResult, error) {
	e.emit(ctx, Event{Type: EventSignUpFailed, UserID: owner.ID, Method: method, Code: CodeEmailAlreadyInUse})
	if !e.config.ConcealErrors {
		return nil, ErrEmailAlreadyInUse
	}
	if err := e.tellOwner(ctx, "signup-attempt", owner); err != nil {
		// The answer must not depend on it: who asks would learn that the address has an owner.
		e.config.Logger.ErrorContext(ctx, "tell the owner of an address", slog.Any("error", err))
	}
	return &SignInResult{}, nil
}

// tellOwner writes to a user what a stranger has done: to the owner of a taken address, say, in place of the letter that a
// new user would have got.
func (e *Engine) tellOwner(ctx context.Context, template string, owner store.User) error {
	letter, err := e.letter(ctx, template, &owner, nil)
	if err != nil {
		return err
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: owner.ID, Now: e.now(), If: store.Conditions{Disabled: true}, Messages: []store.Message{letter.row},
	})
	if err != nil {
		return err
	}
	e.deliver(ctx, letter)
	return nil
}
