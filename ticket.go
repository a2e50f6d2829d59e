package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// The kinds of tickets. The kind is the prefix of the secret that the user gets, part of its hash, and part of every
// look-up: a secret of one kind is worth nothing anywhere else.
const (
	kindVerifyEmail = "verifyEmail"

	kindSignUpKey  = "webauthnSignUp"
	kindSignInKey  = "webauthnSignIn"
	kindAddKey     = "webauthnAdd"
	kindElevateKey = "webauthnElevate"
)

// issue makes a ticket for a user and the secret that redeems it: kind, colon, and 128 random bits in the shape of a
// UUID. data is sealed into the ticket.
func (e *Engine) issue(kind string, userID uuid.UUID, life time.Duration, data any) (*store.Ticket, string, error) {
	var random uuid.UUID
	rand.Read(random[:]) //nolint:errcheck // never fails; a broken source ends the program
	secret := kind + ":" + random.String()
	t, err := e.newTicket(kind, userID.String(), userID, secret, life, data)
	return t, secret, err
}

// newTicket makes a ticket that any number of presentations leave alive.
func (e *Engine) newTicket(kind, slot string, userID uuid.UUID, secret string, life time.Duration, data any) (*store.Ticket, error) {
	id, now := uuid.New(), e.now()
	sealed, err := e.sealTicket(id, kind, data)
	if err != nil {
		return nil, err
	}
	hash := e.box.MAC("ticket", []byte(secret))
	return &store.Ticket{
		ID: id, Kind: kind, Slot: slot, UserID: userID,
		Hash: hash[:], Data: sealed, Tries: -1,
		CreatedAt: now, ExpiresAt: now.Add(life),
	}, nil
}

// check reads a ticket and its user. The ticket stays, for the change that gives it its effect to redeem.
func (e *Engine) check(ctx context.Context, kind, secret string, data any) (store.Ticket, store.User, error) {
	var hashes [][]byte
	for _, h := range e.box.MACs("ticket", []byte(secret)) {
		hashes = append(hashes, h[:])
	}
	t, u, err := e.store.CheckTicket(ctx, store.TicketQuery{Kind: kind, Hashes: hashes, Now: e.now()})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMismatch) {
		return t, u, ErrInvalidTicket.because(err)
	}
	if err != nil {
		return t, u, fmt.Errorf("check ticket: %w", err)
	}
	plain, err := e.box.Open("ticket "+kind, t.ID[:], t.Data)
	if err != nil {
		return t, u, fmt.Errorf("open ticket: %w", err)
	}
	return t, u, json.Unmarshal(plain, data)
}

func (e *Engine) sealTicket(id uuid.UUID, kind string, data any) ([]byte, error) {
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false) // metadata must come back as long as it was
	if err := enc.Encode(data); err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	return e.box.Seal("ticket "+kind, id[:], plain.Bytes()), nil
}

// spent translates the store's word that a ticket, or what it was good for, is no more.
func spent(err error) error {
	for _, c := range []store.Condition{store.ConditionTicket, store.ConditionEpoch} {
		if errors.Is(err, store.ErrUnmet{Condition: c}) {
			return ErrInvalidTicket.because(err)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return ErrInvalidTicket.because(err)
	}
	return err
}

// verifyEmailTicket is what a verification link proves: this address, and no later one of the same user.
type verifyEmailTicket struct {
	EmailKey string `json:"email"`
}

// verifyEmail adds to a sign-up the ticket that verifies its address and the letter that carries it.
func (e *Engine) verifyEmail(ctx context.Context, n *store.NewUser, redirectTo string) (letter, error) {
	ticket, secret, err := e.issue(kindVerifyEmail, n.User.ID, e.config.Tickets.VerifyEmail, verifyEmailTicket{n.User.EmailKey})
	if err != nil {
		return letter{}, err
	}
	l, err := e.letter(ctx, "email-verify", &n.User, map[string]string{
		"link":       e.verifyLink(secret, "emailVerify", redirectTo),
		"ticket":     secret,
		"redirectTo": redirectTo,
	})
	if err != nil {
		return letter{}, err
	}
	n.Ticket = ticket
	n.Messages = append(n.Messages, l.row)
	return l, nil
}

// VerifyTicketParams is a link that somebody has followed.
type VerifyTicketParams struct {
	Ticket     string
	RedirectTo string // Config.ClientURL if empty
}

// VerifiedTicket is what following a link brought.
type VerifiedTicket struct {
	Kind       string // "verifyEmail"
	RedirectTo string // where the browser is to go
	Session    *Session
}

// VerifyTicket redeems the ticket of a link and signs its user in. A verification link marks the address verified, if it
// is still the user's. It costs two round trips. Whatever goes wrong before the ticket's effect leaves the ticket as it
// was.
//
// Errors: [ErrRedirectNotAllowed]; [ErrInvalidTicket] for a ticket that is unknown, of another kind, expired, used or
// overtaken by a later one; the account's state, as at [Engine.Refresh].
func (e *Engine) VerifyTicket(ctx context.Context, p VerifyTicketParams) (_ *VerifiedTicket, err error) {
	defer e.settle(&err)
	redirectTo, err := e.RedirectTo(p.RedirectTo)
	if err != nil {
		return nil, err
	}
	kind, _, _ := strings.Cut(p.Ticket, ":")
	if kind != kindVerifyEmail {
		return nil, ErrInvalidTicket
	}
	var data verifyEmailTicket
	t, u, err := e.check(ctx, kind, p.Ticket, &data)
	if err != nil {
		return nil, err
	}
	if data.EmailKey != u.EmailKey {
		return nil, ErrInvalidTicket.because(errors.New("the address has changed since"))
	}
	verified := true
	u.EmailVerified = true
	in, err := e.enter(ctx, entry{
		user: u, method: "email", amr: []string{"email"},
		change: &store.UserChange{
			Redeem: t.ID,
			Set:    store.UserSet{EmailVerified: &verified},
			// Which is also what tells a sign-up that would replace a pending one that it comes too late.
			Drop: store.Drop{Tickets: []string{kindVerifyEmail}},
		},
	})
	if err != nil {
		return nil, spent(overtaken(err))
	}
	e.emit(ctx, Event{Type: EventEmailVerified, UserID: u.ID})
	return &VerifiedTicket{Kind: kind, RedirectTo: redirectTo, Session: in.Session}, nil
}

// RedirectTo checks a wish to be sent somewhere against Config.ClientURL and Config.AllowedRedirectURLs and returns the
// URL to use, re-serialised from what was checked. The empty wish is for Config.ClientURL.
//
// Errors: [ErrRedirectNotAllowed].
func (e *Engine) RedirectTo(wish string) (_ string, err error) {
	defer e.settle(&err)
	if wish == "" {
		return e.rules.redirects.Default().String(), nil
	}
	u, err := e.rules.redirects.Check(wish)
	if err != nil {
		return "", ErrRedirectNotAllowed.because(err)
	}
	return u.String(), nil
}
