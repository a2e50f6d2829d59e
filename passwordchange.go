package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// SendPasswordResetParams says whose password is to be reset.
type SendPasswordResetParams struct {
	Email      string
	RedirectTo string // Config.ClientURL if empty
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// SendPasswordReset sends a letter with a link by which its reader can set a new password; see [Engine.VerifyTicket] and
// [Engine.ChangePassword]. A later one voids it. Whether there is such a user, and what state they are in, is never
// told; a letter goes to users who may sign in, or could if they proved their address. It costs two round trips, and one
// more for the letter.
//
// Errors: [ErrDisabledEndpoint] without Config.Password, or if no sender is configured; [ErrInvalidRequest] if Email is
// not an address; [ErrRedirectNotAllowed]; [ErrTooManyRequests]; [ErrCaptchaFailed] with Config.Captcha.Messages.
func (e *Engine) SendPasswordReset(ctx context.Context, p SendPasswordResetParams) (err error) {
	defer e.begin(&ctx, "SendPasswordReset").end(&err)
	if e.hasher == nil || e.config.Mail == nil {
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
	if errors.Is(err, ErrInvalidEmailPassword) || err == nil && u.Disabled {
		return e.pretend(ctx, Event{Type: EventPasswordResetAsked})
	}
	if err != nil {
		return err
	}
	l, err := e.post(ctx, linkPasswordReset, u, redirectTo, p.CodeChallenge)
	if err != nil {
		return err
	}
	return e.send(ctx, u, l, Event{Type: EventPasswordResetAsked})
}

// ChangePasswordParams is a new password, and by what right it is set.
type ChangePasswordParams struct {
	NewPassword string
	// CurrentPassword, of the principal. Not needed if they have stepped up, or signed in within
	// Config.Password.ChangeWithin.
	CurrentPassword string
	// Ticket is that of a link to reset the password. With it, it is the ticket's user whose password is set, whoever the
	// principal is.
	Ticket string
}

// Format keeps the passwords out of logs, whatever the verb.
func (p ChangePasswordParams) Format(f fmt.State, _ rune) { hide(f) }

// LogValue is [ChangePasswordParams.Format] for package slog.
func (p ChangePasswordParams) LogValue() slog.Value { return slog.StringValue(redacted) }

// ChangePassword sets a password: the principal's own, or by the ticket of a link that of the ticket's user. It ends all
// other sessions, revokes personal access tokens, voids every link and code, and tells the owner of a verified address by
// a letter. By a ticket it ends all sessions, and marks the address verified, as [Engine.VerifyTicket] says; it opens none.
// It costs two round trips, and one more for the letter.
//
// A change of one's own password is protected; see [Engine.Elevate]. It also needs the current password, a step-up or a
// sign-in within Config.Password.ChangeWithin. Current passwords that are wrong count as at [Engine.VerifyElevation], and with
// those. A password that is refused leaves the ticket as it was.
//
// Errors: [ErrDisabledEndpoint] without Config.Password; [ErrInvalidRequest] without principal and ticket, and for a
// password of the wrong form; [ErrPasswordTooShort], [ErrPasswordBreached]; [ErrInvalidTicket]; [ErrForbiddenAnonymous];
// [ErrElevationRequired], also where the current password is needed and not given; [ErrInvalidEmailPassword] if it is
// wrong; [ErrTooManyRequests]; otherwise as at [Engine.User].
func (e *Engine) ChangePassword(ctx context.Context, principal *Principal, p ChangePasswordParams) (err error) {
	defer e.begin(&ctx, "ChangePassword").end(&err)
	defer e.refusal(ctx, principal, "ChangePassword", &err)
	switch {
	case e.hasher == nil:
		return ErrDisabledEndpoint
	case p.Ticket != "":
		return e.resetPassword(ctx, p.Ticket, p.NewPassword)
	case principal == nil:
		return ErrInvalidRequest.saying("ticket is required of who is not signed in")
	}
	a, rule, err := e.protectedAccount(ctx, principal, anything, 0)
	if err != nil {
		return err
	}
	if err := e.mayChangePassword(ctx, &a, principal, p.CurrentPassword); err != nil {
		return err
	}
	hash, err := e.chosen(ctx, p.NewPassword, &a.User)
	if err != nil {
		return err
	}
	// Of two changes at once by the same password, the second was made without knowing of the first.
	rule.Epoch = a.Epoch
	return unprotected(e.setPassword(ctx, &a.User, "", store.UserChange{
		If:   rule,
		Set:  store.UserSet{PasswordHash: &hash},
		Drop: store.Drop{Sessions: true, KeepSession: principal.SessionID, PATs: true, AllTickets: true},
	}))
}

// mayChangePassword demands that the principal has just shown who they are (OWASP ASVS 5.0 6.2.3 and 7.5.1).
func (e *Engine) mayChangePassword(ctx context.Context, a *store.Account, p *Principal, current string) error {
	switch {
	case current != "":
		err := e.checkOwnPassword(ctx, &a.User, current)
		if errors.Is(err, ErrInvalidEmailPassword) {
			e.emit(ctx, Event{Type: EventSignInFailed, UserID: a.ID, SessionID: p.SessionID, Method: methodPassword, Code: CodeInvalidEmailPassword})
		}
		return err
	case e.steppedUp(a, p), e.sinceSignIn(a, p) <= e.config.Password.ChangeWithin:
		return nil
	}
	return ErrElevationRequired.saying("The current password, or to have signed in just now, is required")
}

// checkOwnPassword compares a password with that of who is signed in. Guesses count for the account, wherever it asks: whoever
// has taken a session over is not to find the password with it.
func (e *Engine) checkOwnPassword(ctx context.Context, u *store.User, password string) error {
	guessed, err := e.mayGuess(ctx, ownPassword(u))
	if err != nil {
		return err
	}
	_, err = e.checkPassword(ctx, u.PasswordHash, password)
	guessed(err)
	return err
}

func (e *Engine) resetPassword(ctx context.Context, ticket, password string) (err error) {
	defer func() { e.refusedTicket(ctx, uuid.Nil, kindPasswordReset, err) }()
	t, u, _, err := e.checkAddressed(ctx, e.bySecret(kindPasswordReset, ticket))
	if err != nil {
		return err
	}
	known := u
	known.EmailVerified = true // the ticket is the proof
	if err := e.mayEnter(&known); err != nil {
		return err
	}
	hash, err := e.chosen(ctx, password, &u)
	if err != nil {
		return err
	}
	change := store.UserChange{If: store.Conditions{Epoch: u.Epoch}, Redeem: t.ID}
	e.proven(&u, kindPasswordReset, &change)
	change.Set.PasswordHash = &hash
	change.Drop.Sessions, change.Drop.PATs, change.Drop.AllTickets = true, true, true
	if err := e.setPassword(ctx, &known, "reset", change); err != nil {
		return spent(overtaken(err))
	}
	if !u.EmailVerified {
		e.emit(ctx, Event{Type: EventEmailVerified, UserID: u.ID, Detail: displaced})
	}
	return nil
}

// chosen applies the rules for passwords to one that a user has chosen, and hashes it.
func (e *Engine) chosen(ctx context.Context, password string, u *store.User) (string, error) {
	normal, err := e.newPassword(ctx, password, u.EmailKey)
	if err != nil {
		return "", err
	}
	return e.hash(ctx, normal)
}

// RevokePassword voids a user's password because it may be known to somebody else (NIST SP 800-63B-4 §3.1.1.2), on the service's
// authority: the caller is trusted. Nobody gets in by it any more; all sessions end, personal access tokens are revoked, and
// links and codes void. Whoever is enabled and has an address is sent the letter of [Engine.SendPasswordReset], whose link leads
// to Config.ClientURL; no other ways in are taken away. It costs two round trips, and one more for the letter.
//
// Errors: [ErrDisabledEndpoint] without Config.Password; [ErrNotFound]; [ErrInvalidRequest] if the user has no password.
func (e *Engine) RevokePassword(ctx context.Context, id uuid.UUID) (err error) {
	defer e.begin(&ctx, "RevokePassword").end(&err)
	if e.hasher == nil {
		return ErrDisabledEndpoint
	}
	a, err := e.find(ctx, store.UserQuery{ID: id})
	if err != nil {
		return err
	}
	if a.PasswordHash == "" {
		return ErrInvalidRequest.saying("the user has no password")
	}
	none := ""
	change := store.UserChange{
		UserID: id, Now: e.now(), If: store.Conditions{Disabled: true},
		Set:  store.UserSet{PasswordHash: &none},
		Drop: store.Drop{Sessions: true, PATs: true, AllTickets: true},
	}
	var told letters
	if e.config.Mail != nil && !a.Disabled && a.EmailKey != "" {
		p, err := e.post(ctx, linkPasswordReset, &a.User, e.config.ClientURL, "")
		if err != nil {
			return err
		}
		told, change.Ticket = letters{p.letter}, p.ticket
	}
	change.Messages = told.rows()
	_, err = e.store.ChangeUser(ctx, change)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound.because(err)
	}
	if err != nil {
		return fmt.Errorf("revoke the password: %w", err)
	}
	e.emit(ctx, Event{Type: EventPasswordRevoked, UserID: id})
	e.deliver(ctx, told...)
	return nil
}

// setPassword makes the change and tells.
func (e *Engine) setPassword(ctx context.Context, u *store.User, how string, c store.UserChange) error {
	c.UserID, c.Now = u.ID, e.now()
	told, err := e.notice(ctx, "password-changed", u)
	if err != nil {
		return err
	}
	c.Messages = told.rows()
	if _, err := e.store.ChangeUser(ctx, c); err != nil {
		return err
	}
	e.forgivePasswords(ctx, u)
	e.emit(ctx, Event{Type: EventPasswordChanged, UserID: u.ID, SessionID: c.If.Session, Detail: how})
	e.deliver(ctx, told...)
	return nil
}
