package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/store"
)

const methodEmail = "email"

// SendMagicLinkParams says who wants a link that signs them in.
type SendMagicLinkParams struct {
	Email   string
	Options SignUpOptions // for a new user; of a user who exists, only RedirectTo counts
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// SendMagicLink sends a letter with a link that signs its reader in; see [Engine.VerifyTicket]. A later one voids it. Who
// has no account gets one, unless sign-ups are off or Config.MagicLink.ExistingUsers is set. It costs two round trips, and
// one more for the letter.
//
// It is not told who exists but is disabled, and gets no letter. With Config.ConcealErrors, nor is it told who could not
// sign up.
//
// Errors: [ErrDisabledEndpoint] without Config.MagicLink; [ErrInvalidRequest]; [ErrInvalidEmailPassword] if the access
// lists refuse the address; [ErrRoleNotAllowed], [ErrDefaultRoleNotAllowed], [ErrRedirectNotAllowed]; [ErrSignUpDisabled];
// [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set, although the user was created.
func (e *Engine) SendMagicLink(ctx context.Context, p SendMagicLinkParams) (err error) {
	defer e.settle(&err)
	c := e.config.MagicLink
	if c == nil {
		return ErrDisabledEndpoint
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return err
	}
	return e.invite(ctx, p.Email, p.Options, c.ExistingUsers, func(u *store.User, redirectTo string) (posted, error) {
		return e.post(ctx, linkMagic, u, redirectTo, p.CodeChallenge)
	})
}

// SendEmailOTPParams says who wants a code to sign in with.
type SendEmailOTPParams struct {
	Email   string
	Options SignUpOptions // for a new user; of a user who exists, only RedirectTo counts
}

// SendEmailOTP sends a letter with a code for [Engine.VerifyEmailOTP]. In everything else it is [Engine.SendMagicLink].
//
// Errors: [ErrDisabledEndpoint] without Config.EmailOTP; otherwise as at [Engine.SendMagicLink].
func (e *Engine) SendEmailOTP(ctx context.Context, p SendEmailOTPParams) (err error) {
	defer e.settle(&err)
	c := e.config.EmailOTP
	if c == nil {
		return ErrDisabledEndpoint
	}
	return e.invite(ctx, p.Email, p.Options, c.ExistingUsers, func(u *store.User, redirectTo string) (posted, error) {
		code := newCode()
		ticket, err := e.newTicket(kindEmailOTP, u.ID.String(), u.ID, "", e.life(kindEmailOTP), addressTicket{EmailKey: u.EmailKey})
		if err != nil {
			return posted{}, err
		}
		hash := e.box.MAC("code", []byte(kindEmailOTP), []byte(u.EmailKey), []byte(code))
		ticket.Hash, ticket.Tries = hash[:], c.Tries
		letter, err := e.letter(ctx, "signin-otp", u, map[string]string{"ticket": code, "redirectTo": redirectTo})
		return posted{ticket, letter}, err
	})
}

// VerifyEmailOTPParams is a code that somebody has received.
type VerifyEmailOTPParams struct {
	Email string
	OTP   string // six digits
}

// VerifyEmailOTP opens a session for the code of a letter, and marks the address verified; see also
// [Engine.VerifyTicket]. Wrong codes, Config.EmailOTP.Tries of them, void the right one. It costs two round trips.
//
// Errors: [ErrDisabledEndpoint] without Config.EmailOTP; [ErrInvalidRequest] if Email is not an address;
// [ErrInvalidTicket] for a wrong, expired or used code and for an unknown address alike; the account's state, as at
// [Engine.Refresh].
func (e *Engine) VerifyEmailOTP(ctx context.Context, p VerifyEmailOTPParams) (_ *SignInResult, err error) {
	defer e.settle(&err)
	if e.config.EmailOTP == nil {
		return nil, ErrDisabledEndpoint
	}
	address, err := emailaddr.Parse(p.Email)
	if err != nil {
		return nil, ErrInvalidRequest.saying("email is not an address").because(err)
	}
	if !isCode(p.OTP) {
		return nil, ErrInvalidTicket.because(errors.New("not six digits"))
	}
	t, u, _, err := e.checkAddressed(ctx, store.TicketQuery{
		Kind: kindEmailOTP, EmailKey: address.Canonical,
		Hashes: hashes(e.box.MACs("code", []byte(kindEmailOTP), []byte(address.Canonical), []byte(p.OTP))),
	})
	if errors.Is(err, ErrInvalidTicket) {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: u.ID, Method: methodEmail, Code: CodeInvalidTicket})
	}
	if err != nil {
		return nil, err
	}
	return e.enterByAddress(ctx, u, t)
}

// invite sends a new or existing user what lets them in.
func (e *Engine) invite(ctx context.Context, email string, o SignUpOptions, existing bool, post func(u *store.User, redirectTo string) (posted, error)) error {
	address, err := e.admit(email)
	blocked := err
	if err != nil && !errors.Is(err, ErrInvalidEmailPassword) {
		return err
	}
	redirectTo, err := e.RedirectTo(o.RedirectTo)
	if err != nil {
		return err
	}
	u, err := e.newUser(o, address.Typed)
	if err != nil {
		return err
	}
	if blocked != nil && e.config.ConcealErrors {
		return e.pretend(ctx)
	}
	if blocked != nil {
		return blocked
	}
	u.Email, u.EmailKey, u.AvatarURL = address.Typed, address.Canonical, e.gravatar(address)
	for range 2 { // the address may be taken between the look and the sign-up: by a second click, say
		a, err := e.store.User(ctx, store.UserQuery{EmailKey: address.Canonical, Now: e.now()})
		switch {
		case err == nil:
			return e.inviteUser(ctx, a.User, redirectTo, post)
		case !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("find user: %w", err)
		case existing || e.config.SignUp.Disabled:
			if e.config.ConcealErrors {
				return e.pretend(ctx)
			}
			return ErrSignUpDisabled
		}
		err = e.inviteStranger(ctx, u, redirectTo, post)
		if !errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) {
			return err
		}
	}
	return ErrInternal.because(errors.New("the address was neither free nor taken"))
}

func (e *Engine) inviteUser(ctx context.Context, u store.User, redirectTo string, post func(*store.User, string) (posted, error)) error {
	if u.Disabled {
		return e.pretend(ctx)
	}
	p, err := post(&u, redirectTo)
	if err != nil {
		return err
	}
	return e.send(ctx, &u, p)
}

func (e *Engine) inviteStranger(ctx context.Context, u store.User, redirectTo string, post func(*store.User, string) (posted, error)) error {
	u, err := e.signUp(ctx, u, methodEmail)
	if err != nil {
		return err
	}
	if u.Disabled {
		if _, err := e.create(ctx, store.NewUser{User: u}, methodEmail); err != nil || e.config.ConcealErrors {
			return err
		}
		return ErrDisabledUser
	}
	p, err := post(&u, redirectTo)
	if err != nil {
		return err
	}
	if _, err = e.create(ctx, store.NewUser{User: u, Ticket: p.ticket, Messages: []store.Message{p.letter.row}}, methodEmail); err != nil {
		return err
	}
	e.deliver(ctx, p.letter)
	return nil
}

// send writes a user's ticket together with its letter, and delivers that. A user who is gone or disabled by now gets
// none, and nobody hears of it.
func (e *Engine) send(ctx context.Context, u *store.User, p posted) error {
	_, err := e.store.ChangeUser(ctx, store.UserChange{
		UserID: u.ID, Now: e.now(), Ticket: p.ticket, Messages: []store.Message{p.letter.row},
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnmet{Condition: store.ConditionEnabled}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("send a letter: %w", err)
	}
	e.deliver(ctx, p.letter)
	return nil
}

// pretend takes as long as sending somebody something.
func (e *Engine) pretend(ctx context.Context) error {
	now := e.now()
	id := uuid.New()
	hash := e.box.MAC("ticket", id[:])
	err := e.store.PutTicket(ctx, store.Ticket{
		ID: id, Kind: "nothing", Slot: id.String(), Hash: hash[:], CreatedAt: now, ExpiresAt: now,
	})
	if err != nil {
		return fmt.Errorf("send nothing: %w", err)
	}
	return nil
}

// newCode returns six random digits, each as likely as any other.
func newCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // never: a broken source ends the program
	}
	return fmt.Sprintf("%06d", n.Int64())
}

// isCode accepts six ASCII digits and no other spelling of them.
func isCode(s string) bool {
	if len(s) != 6 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
