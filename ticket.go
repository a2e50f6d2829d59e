package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// TicketsConfig says how long one-time secrets live.
type TicketsConfig struct {
	VerifyEmail   time.Duration // the link in the letter that verifies an address; default 7 days
	MagicLink     time.Duration // a link that signs in; default 1 hour
	PasswordReset time.Duration // a link to set a new password; default 1 hour
	EmailChange   time.Duration // the link in the letter to a new address; default 1 hour
	EmailOTP      time.Duration // a code in a letter; default 10 minutes
	SMSOTP        time.Duration // a code in a text message; default 5 minutes, and 10 with a Verifier
	MFA           time.Duration // what a first factor earns users who have a second; default 5 minutes
	Code          time.Duration // what a client with a code challenge gets in a redirect; default 5 minutes
	ProviderState time.Duration // a visit to an identity provider; default 10 minutes
	WebAuthn      time.Duration // a challenge; default WebAuthn.Timeout if that is set, and otherwise 5 minutes
}

// withDefaults completes t. Where c, as it was asked for, says how long to wait, that is the default.
func (t *TicketsConfig) withDefaults(m *mistakes, c *Config) {
	codeInText, challenge := 5*time.Minute, 5*time.Minute
	if c.SMS != nil && c.SMS.Verifier != nil {
		codeInText = 10 * time.Minute
	}
	if c.WebAuthn != nil && c.WebAuthn.Timeout != 0 {
		challenge = c.WebAuthn.Timeout
	}
	for _, l := range []struct {
		field              string
		life               *time.Duration
		usual, least, most time.Duration
	}{
		{"VerifyEmail", &t.VerifyEmail, 7 * 24 * time.Hour, time.Minute, 30 * 24 * time.Hour},
		{"MagicLink", &t.MagicLink, time.Hour, time.Minute, 24 * time.Hour},
		{"PasswordReset", &t.PasswordReset, time.Hour, time.Minute, 24 * time.Hour},
		{"EmailChange", &t.EmailChange, time.Hour, time.Minute, 24 * time.Hour},
		{"EmailOTP", &t.EmailOTP, 10 * time.Minute, time.Minute, time.Hour},
		{"SMSOTP", &t.SMSOTP, codeInText, time.Minute, time.Hour},
		{"MFA", &t.MFA, 5 * time.Minute, time.Minute, time.Hour},
		{"Code", &t.Code, 5 * time.Minute, time.Minute, 10 * time.Minute},
		{"ProviderState", &t.ProviderState, 10 * time.Minute, time.Minute, time.Hour},
		{"WebAuthn", &t.WebAuthn, challenge, time.Second, time.Hour},
	} {
		def(l.life, l.usual)
		m.duration("Tickets."+l.field, *l.life, l.least, l.most)
	}
}

// The kinds of tickets. The kind is the prefix of the secret that the user gets, part of its hash, and part of every
// look-up: a secret of one kind is worth nothing anywhere else.
const (
	kindVerifyEmail   = "verifyEmail"
	kindMagicLink     = "passwordlessEmail"
	kindPasswordReset = "passwordReset"
	kindEmailChange   = "emailConfirmChange"
	kindEmailOTP      = "emailOTP"
	kindSMSOTP        = "smsOTP"
	kindPhoneChange   = "phoneChange"
	kindDeanonymize   = "deanonymize"
	kindCode          = "code"
	kindMFA           = "mfaTotp"
	kindElevateOTP    = "elevateOTP"
	kindElevateSMS    = "elevateSMS"
	kindState         = "providerState"

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
	return e.checkTicket(ctx, e.bySecret(kind, secret), data)
}

// bySecret looks for a ticket that nobody can guess.
func (e *Engine) bySecret(kind, secret string) store.TicketQuery {
	return store.TicketQuery{Kind: kind, Hashes: hashes(e.box.MACs("ticket", []byte(secret)))}
}

// hashes is a list of sums as a query wants it.
func hashes(sums [][sha256.Size]byte) [][]byte {
	list := make([][]byte, len(sums))
	for i := range sums {
		list[i] = sums[i][:]
	}
	return list
}

// checkTicket is check for any way to find a ticket.
func (e *Engine) checkTicket(ctx context.Context, q store.TicketQuery, data any) (store.Ticket, store.User, error) {
	q.Now = e.now()
	t, u, err := e.store.CheckTicket(ctx, q)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMismatch) {
		return t, u, ErrInvalidTicket.because(err)
	}
	if err != nil {
		return t, u, fmt.Errorf("check ticket: %w", err)
	}
	return t, u, e.openTicket(&t, data)
}

// openTicket reads what was sealed into a ticket; nil for data only checks that it was.
func (e *Engine) openTicket(t *store.Ticket, data any) error {
	plain, err := e.box.Open("ticket "+t.Kind, t.ID[:], t.Data)
	if err != nil {
		return fmt.Errorf("open ticket: %w", err)
	}
	if data == nil {
		return nil
	}
	return json.Unmarshal(plain, data)
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

// link is a kind of link in a letter: the kind of its ticket, what letters call it, and which letter brings it.
type link struct{ kind, linkType, template string }

var (
	linkVerifyEmail   = link{kindVerifyEmail, "emailVerify", "email-verify"}
	linkMagic         = link{kindMagicLink, "signinPasswordless", "signin-passwordless"}
	linkPasswordReset = link{kindPasswordReset, "passwordReset", "password-reset"}
	linkEmailChange   = link{kindEmailChange, "emailConfirmChange", "email-confirm-change"}
)

func (e *Engine) life(kind string) time.Duration {
	switch t := &e.config.Tickets; kind {
	case kindVerifyEmail:
		return t.VerifyEmail
	case kindMagicLink:
		return t.MagicLink
	case kindPasswordReset:
		return t.PasswordReset
	case kindEmailChange:
		return t.EmailChange
	case kindCode:
		return t.Code
	case kindMFA:
		return t.MFA
	case kindState:
		return t.ProviderState
	case kindSMSOTP, kindPhoneChange, kindDeanonymize, kindElevateSMS:
		return t.SMSOTP
	default:
		return t.EmailOTP
	}
}

// addressTicket is what a ticket that went to an address proves: that address of the user, and no later one.
type addressTicket struct {
	EmailKey string `json:"email"`
	NewEmail string `json:"newEmail,omitempty"` // as typed; where it went there, to become the user's
	// CodeChallenge is that of the client that asked for the link, and is to get a code in place of a session.
	CodeChallenge string `json:"codeChallenge,omitempty"`
}

// checkAddressed is check for a ticket that went to an address, which must still be its user's.
func (e *Engine) checkAddressed(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, addressTicket, error) {
	var data addressTicket
	t, u, err := e.checkTicket(ctx, q, &data)
	if err == nil {
		err = data.goodFor(&u)
	}
	return t, u, data, err
}

// goodFor refuses a ticket that went to an address which is no more its user's.
func (t *addressTicket) goodFor(u *store.User) error {
	if t.EmailKey != u.EmailKey {
		return ErrInvalidTicket.because(errors.New("the address has changed since"))
	}
	return nil
}

// posted is a ticket and the letter that brings its secret.
type posted struct {
	ticket *store.Ticket
	letter letter
}

// post makes a link for a user and the letter that brings it.
func (e *Engine) post(ctx context.Context, l link, u *store.User, redirectTo, codeChallenge string) (posted, error) {
	return e.postTo(ctx, l, u, u, addressTicket{EmailKey: u.EmailKey, CodeChallenge: codeChallenge}, redirectTo, nil)
}

// postTo is post with a letter to somebody else than the user.
func (e *Engine) postTo(ctx context.Context, l link, u, to *store.User, data addressTicket, redirectTo string, vars map[string]string) (posted, error) {
	ticket, secret, err := e.issue(l.kind, u.ID, e.life(l.kind), data)
	if err != nil {
		return posted{}, err
	}
	all := map[string]string{"link": e.verifyLink(secret, l.linkType, redirectTo), "ticket": secret, "redirectTo": redirectTo}
	maps.Copy(all, vars)
	letter, err := e.letter(ctx, l.template, to, all)
	return posted{ticket, letter}, err
}

// verifyEmail adds to a sign-up the ticket that verifies its address and the letter that carries it.
func (e *Engine) verifyEmail(ctx context.Context, n *store.NewUser, redirectTo, codeChallenge string) (letter, error) {
	p, err := e.post(ctx, linkVerifyEmail, &n.User, redirectTo, codeChallenge)
	if err != nil {
		return letter{}, err
	}
	n.Ticket = p.ticket
	n.Messages = append(n.Messages, p.letter.row)
	return p.letter, nil
}

// VerifyTicketParams is a link that somebody has followed.
type VerifyTicketParams struct {
	Ticket     string
	RedirectTo string // Config.ClientURL if empty
	// CodeChallenge asks for a code in place of a session, where the link was asked for without one; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// VerifiedTicket is what following a link brought.
type VerifiedTicket struct {
	Kind       string        // "verifyEmail", "passwordlessEmail", "passwordReset" or "emailConfirmChange"
	RedirectTo string        // where the browser is to go
	Session    *Session      // nil after a change of address: who reads the new mailbox need not be the owner; or with MFA or Code
	MFA        *MFAChallenge // in place of a session, for a user who has a second factor
	Code       string        // in place of a session, where the link was asked for with a code challenge: see [Engine.ExchangeCode]
}

// VerifyTicket redeems the ticket of a link. Links that verify an address, that sign in, and those to reset a password sign
// their user in, and mark the address verified, if it is still the user's. A link that confirms a new address makes it the
// user's, ends every other link and code, and signs nobody in. It costs two round trips. Whatever goes wrong before the
// ticket's effect leaves the ticket as it was.
//
// The first proof of an address that is not its verification link takes away what was set before, by whomever: password,
// security keys, second factor, identities, phone number, personal access tokens and sessions.
//
// Errors: [ErrRedirectNotAllowed]; [ErrInvalidRequest] for a code challenge that is none; [ErrInvalidTicket] for a ticket
// that is unknown, of another kind, expired, used or overtaken by a later one; [ErrDisabledEndpoint] if what the link is
// for has been turned off; [ErrEmailAlreadyInUse] if the new address is by now another's; [ErrTooManyRequests]; the account's
// state, as at [Engine.Refresh].
func (e *Engine) VerifyTicket(ctx context.Context, p VerifyTicketParams) (_ *VerifiedTicket, err error) {
	defer e.begin(&ctx, "VerifyTicket").end(&err)
	redirectTo, err := e.RedirectTo(p.RedirectTo)
	if err != nil {
		return nil, err
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return nil, err
	}
	kind, _, _ := strings.Cut(p.Ticket, ":")
	defer func() { e.refusedTicket(ctx, uuid.Nil, kind, err) }()
	switch kind {
	case kindVerifyEmail, kindPasswordReset, kindEmailChange:
	case kindMagicLink:
		if e.config.MagicLink == nil {
			return nil, ErrDisabledEndpoint
		}
	default:
		kind = ""
		return nil, ErrInvalidTicket
	}
	presented, err := e.mayPresent(ctx)
	if err != nil {
		return nil, err
	}
	t, u, data, err := e.checkAddressed(ctx, e.bySecret(kind, p.Ticket))
	presented(err)
	if err != nil {
		return nil, err
	}
	v := &VerifiedTicket{Kind: kind, RedirectTo: redirectTo}
	if kind == kindEmailChange {
		if err := e.confirmEmail(ctx, &u, t.ID, data.NewEmail); err != nil {
			return nil, spent(overtaken(err))
		}
		return v, nil
	}
	in, err := e.enterByAddress(ctx, u, t, cmp.Or(data.CodeChallenge, p.CodeChallenge))
	if err != nil {
		return nil, err
	}
	v.Session, v.MFA, v.Code = in.Session, in.MFA, in.Code
	return v, nil
}

// enterByAddress lets in whoever has redeemed a ticket that went to a user's address.
func (e *Engine) enterByAddress(ctx context.Context, u store.User, t store.Ticket, challenge string) (*SignInResult, error) {
	change := &store.UserChange{Redeem: t.ID}
	e.proven(&u, t.Kind, change)
	first := !u.EmailVerified
	u.EmailVerified = true
	in, err := e.enter(ctx, entry{user: u, method: methodEmail, amr: amrEmail, change: change, challenge: challenge})
	if err != nil {
		return nil, spent(overtaken(err))
	}
	if first {
		detail := displaced
		if t.Kind == kindVerifyEmail {
			detail = ""
		}
		e.emit(ctx, Event{Type: EventEmailVerified, UserID: u.ID, SessionID: sessionOf(in), Detail: detail})
	}
	return in, nil
}

// proven adds to a change that the user has proven their address by a ticket of a kind.
//
// Until then anybody may have signed up with the address. A verification link is the answer to a sign-up: what that
// set stands. Any other proof comes from somebody who need not know of the sign-up, and nothing of it may let anybody
// else in.
func (e *Engine) proven(u *store.User, kind string, c *store.UserChange) {
	if u.EmailVerified {
		return
	}
	verified := true
	c.Set.EmailVerified = &verified
	if kind == kindVerifyEmail {
		// Dropping them is also what tells a sign-up that would replace a pending one that it comes too late.
		c.Drop.Tickets = []string{kindVerifyEmail}
		return
	}
	none, nobody := "", false
	displace(c)
	u.TOTPSecret = nil // nobody is asked for a second factor that is being dropped
	c.Set.Phone, c.Set.PhoneVerified = &none, &nobody
}

// Details of events.
const (
	displaced    = "displaced"
	byTheService = "by the service"
)

// sessionOf is the session that a way in led to, if it did.
func sessionOf(in *SignInResult) uuid.UUID {
	if in.Session == nil {
		return uuid.Nil
	}
	return in.Session.RefreshTokenID
}

// displace adds to a change that every way in goes, but for the address and the number.
func displace(c *store.UserChange) {
	none, nothing := "", []byte(nil)
	c.Set.PasswordHash, c.Set.TOTPSecret, c.Set.TOTPPending, c.Set.RecoveryCodes = &none, &nothing, &nothing, &[][]byte{}
	c.Drop = store.Drop{Sessions: true, PATs: true, SecurityKeys: true, Identities: true, AllTickets: true}
}

// RedirectTo checks a wish to be sent somewhere against Config.ClientURL and Config.AllowedRedirectURLs and returns the
// URL to use, re-serialised from what was checked. The empty wish is for Config.ClientURL.
//
// Errors: [ErrRedirectNotAllowed].
func (e *Engine) RedirectTo(wish string) (string, error) {
	if wish == "" {
		return e.rules.redirects.Default().String(), nil
	}
	u, err := e.rules.redirects.Check(wish)
	if err != nil {
		return "", ErrRedirectNotAllowed.because(err)
	}
	return u.String(), nil
}
