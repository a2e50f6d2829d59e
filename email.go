package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/store"
)

// EmailConfig governs addresses, whatever the method.
type EmailConfig struct {
	// AllowUnverified lets users in before they have shown that their address is theirs. Anyone can then hold an
	// account in anybody's name until the owner of the address comes.
	AllowUnverified bool

	// Allowed and blocked addresses and domains, compared in their canonical form: a blocked address is refused; an
	// allowed one accepted; a blocked domain refused; an allowed one accepted; anything else is accepted if both
	// allow-lists are empty. They hold for every way in, and for refreshing: an address that the lists refuse gets
	// [ErrInvalidEmailPassword].
	AllowedAddresses, AllowedDomains []string
	BlockedAddresses, BlockedDomains []string
}

// compile returns the access lists, each of which is checked by itself.
func (c *EmailConfig) compile(m *mistakes) *emailaddr.ACL {
	for _, list := range []*[]string{&c.AllowedAddresses, &c.AllowedDomains, &c.BlockedAddresses, &c.BlockedDomains} {
		*list = slices.Clone(*list)
	}
	m.acl("Email.AllowedAddresses", c.AllowedAddresses, nil, nil, nil)
	m.acl("Email.AllowedDomains", nil, c.AllowedDomains, nil, nil)
	m.acl("Email.BlockedAddresses", nil, nil, c.BlockedAddresses, nil)
	m.acl("Email.BlockedDomains", nil, nil, nil, c.BlockedDomains)
	lists, _ := emailaddr.CompileACL(c.AllowedAddresses, c.AllowedDomains, c.BlockedAddresses, c.BlockedDomains)
	return lists
}

// acl checks one of the access lists by itself, so that a mistake in it has its name.
func (m *mistakes) acl(field string, allowed, allowedDomains, blocked, blockedDomains []string) {
	if _, err := emailaddr.CompileACL(allowed, allowedDomains, blocked, blockedDomains); err != nil {
		m.add(field, "%w", err)
	}
}

// SendVerificationEmailParams names an address that is yet to be proven.
type SendVerificationEmailParams struct {
	Email      string
	RedirectTo string // Config.ClientURL if empty
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// SendVerificationEmail sends the letter of a sign-up once more, with another link, which voids the one before. It costs
// two round trips, and one more for the letter.
//
// It is not told that a user is disabled. With Config.ConcealErrors nothing is told, and a letter goes only to who needs
// it.
//
// Errors: [ErrDisabledEndpoint] if no sender is configured; [ErrInvalidRequest] if Email is not an address; [ErrRedirectNotAllowed];
// [ErrInvalidEmailPassword] if there is no such user, or the access lists refuse the address; [ErrEmailAlreadyVerified];
// [ErrTooManyRequests]; [ErrCaptchaFailed] with Config.Captcha.Messages.
func (e *Engine) SendVerificationEmail(ctx context.Context, p SendVerificationEmailParams) (err error) {
	defer e.begin(&ctx, "SendVerificationEmail").end(&err)
	if e.config.Mail == nil {
		return ErrDisabledEndpoint
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return err
	}
	redirectTo, err := e.RedirectTo(p.RedirectTo)
	if err != nil {
		return err
	}
	u, err := e.addressee(ctx, p.Email)
	switch {
	case err != nil:
	case u.Disabled:
		return e.pretend(ctx, Event{Type: EventVerificationAsked})
	case u.EmailVerified:
		err = ErrEmailAlreadyVerified
	default:
		l, err := e.post(ctx, linkVerifyEmail, u, redirectTo, p.CodeChallenge)
		if err != nil {
			return err
		}
		return e.send(ctx, u, l, Event{Type: EventVerificationAsked})
	}
	if e.config.ConcealErrors && (errors.Is(err, ErrEmailAlreadyVerified) || errors.Is(err, ErrInvalidEmailPassword)) {
		return e.pretend(ctx, Event{Type: EventVerificationAsked})
	}
	return err
}

// addressee finds whom to write to at an address that a stranger has given.
func (e *Engine) addressee(ctx context.Context, email string) (*store.User, error) {
	address, refused := e.admit(email)
	if refused != nil && !errors.Is(refused, ErrInvalidEmailPassword) {
		return nil, refused
	}
	if err := e.captcha(ctx, havingMessagesSent); err != nil {
		return nil, err
	}
	if err := e.mayWrite(ctx, address.Canonical); err != nil {
		return nil, err
	}
	// An address that the access lists refuse is looked for as well: that, too, is to take as long as any other.
	a, err := e.store.User(ctx, store.UserQuery{EmailKey: address.Canonical, Now: e.now()})
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("find user: %w", err)
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, ErrInvalidEmailPassword.because(err)
	}
	return &a.User, nil
}

// ChangeEmailParams is a new address for the principal.
type ChangeEmailParams struct {
	NewEmail   string
	RedirectTo string // Config.ClientURL if empty
}

// ChangeEmail begins a change of the principal's address: a letter with a link goes to the new one, and a notice to the old
// one. Nothing else changes until the link is followed; see [Engine.VerifyTicket]. A later change voids the link. It is
// protected, see [Engine.Elevate], and needs a step-up or a sign-in within the last ten minutes: an address is a way in. It
// costs three round trips, and one more for each letter.
//
// Errors: [ErrDisabledEndpoint] if no sender is configured; [ErrForbiddenAnonymous]; [ErrElevationRequired];
// [ErrInvalidRequest] if NewEmail is not an address, or is the user's already; [ErrInvalidEmailPassword] if the access
// lists refuse it; [ErrRedirectNotAllowed]; [ErrEmailAlreadyInUse], which Config.ConcealErrors hides; [ErrTooManyRequests];
// otherwise as at [Engine.User].
func (e *Engine) ChangeEmail(ctx context.Context, principal *Principal, p ChangeEmailParams) (err error) {
	defer e.begin(&ctx, "ChangeEmail").end(&err)
	defer e.refusal(ctx, principal, "ChangeEmail", &err)
	if e.config.Mail == nil {
		return ErrDisabledEndpoint
	}
	address, err := e.admit(p.NewEmail)
	if err != nil {
		return err
	}
	redirectTo, err := e.RedirectTo(p.RedirectTo)
	if err != nil {
		return err
	}
	a, rule, err := e.freshAccount(ctx, principal, 0)
	if err != nil {
		return err
	}
	if address.Canonical == a.EmailKey {
		return ErrInvalidRequest.saying("newEmail is the user's address already")
	}
	if err := e.mayWrite(ctx, address.Canonical); err != nil {
		return err
	}
	other, err := e.store.User(ctx, store.UserQuery{EmailKey: address.Canonical, Now: e.now()})
	inUse := err == nil
	switch {
	case inUse && !e.config.ConcealErrors:
		return ErrEmailAlreadyInUse
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("find user: %w", err)
	}
	to := a.User
	to.Email = address.Typed
	l, err := e.postTo(ctx, linkEmailChange, &a.User, &to, addressTicket{EmailKey: a.EmailKey, NewEmail: address.Typed}, redirectTo,
		map[string]string{"email": a.Email, "newEmail": address.Typed})
	if err != nil {
		return err
	}
	told, err := e.notice(ctx, "email-change-requested", &a.User)
	if err != nil {
		return err
	}
	both := append(letters{l.letter}, told...)
	if inUse {
		// Whoever asks sees what they would see of a free address, and their earlier link is void as well. The owner of this
		// one hears of it in place of getting a link.
		both = told
		if other.EmailVerified && !other.Disabled {
			owners, err := e.letter(ctx, "signup-attempt", &other.User, nil)
			if err != nil {
				return err
			}
			both = append(letters{owners}, told...)
		}
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: rule, Ticket: l.ticket, Messages: both.rows(),
	})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventEmailChangeAsked, UserID: a.ID, SessionID: principal.SessionID})
	e.deliver(ctx, both...)
	return nil
}

// confirmEmail makes a new address a user's, whose link has been followed. The owner of the old one gets a letter.
func (e *Engine) confirmEmail(ctx context.Context, u *store.User, ticket uuid.UUID, newEmail string) error {
	if err := e.mayEnter(u); err != nil {
		return err
	}
	address, err := e.admit(newEmail)
	if err != nil {
		return err
	}
	told, err := e.notice(ctx, "email-changed", u)
	if err != nil {
		return err
	}
	verified := true
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: u.ID, Now: e.now(), If: store.Conditions{Epoch: u.Epoch}, Redeem: ticket,
		Set:      store.UserSet{Email: &store.Email{Typed: address.Typed, Key: address.Canonical}, EmailVerified: &verified},
		Drop:     store.Drop{AllTickets: true}, // what went to the old address
		Messages: told.rows(),
	})
	if err != nil {
		return taken(err)
	}
	e.emit(ctx, Event{Type: EventEmailChanged, UserID: u.ID})
	e.deliver(ctx, told...)
	return nil
}
