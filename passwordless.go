package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math/big"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/store"
)

// MagicLinkConfig turns on signing in by a link in a letter.
type MagicLinkConfig struct {
	// ExistingUsersOnly keeps links from signing anybody up: they are for users who exist.
	ExistingUsersOnly bool
}

// EmailOTPConfig turns on signing in by a code of six digits in a letter.
type EmailOTPConfig struct {
	// ExistingUsersOnly keeps codes from signing anybody up: they are for users who exist.
	ExistingUsersOnly bool
	// Tries is how many wrong codes void a code. The default is 5, the maximum 10.
	Tries int
}

func (o *EmailOTPConfig) withDefaults(m *mistakes) *EmailOTPConfig {
	c := *o
	def(&c.Tries, 5)
	m.within("EmailOTP.Tries", c.Tries, 1, 10)
	return &c
}

const (
	methodEmail = "email"
	methodSMS   = "sms"
)

var (
	amrEmail = []string{"email"}
	amrSMS   = []string{"sms"} // RFC 8176
)

// SendMagicLinkParams says who wants a link that signs them in.
type SendMagicLinkParams struct {
	Email   string
	Options SignUpOptions // for a new user; of a user who exists, only RedirectTo counts
	// CodeChallenge asks for a code in place of a session in the redirect that follows the link; see
	// [Engine.ExchangeCode].
	CodeChallenge string
}

// SendMagicLink sends a letter with a link that signs its reader in; see [Engine.VerifyTicket]. A later one voids it. Who
// has no account gets one, unless sign-ups are off or Config.MagicLink.ExistingUsersOnly is set. It costs two round trips, and
// one more for the letter.
//
// It is not told who exists but is disabled, and gets no letter. With Config.ConcealErrors, nor is it told who could not
// sign up.
//
// Errors: [ErrDisabledEndpoint] without Config.MagicLink; [ErrInvalidRequest]; [ErrInvalidEmailPassword] if the access
// lists refuse the address; [ErrRoleNotAllowed], [ErrDefaultRoleNotAllowed], [ErrRedirectNotAllowed]; [ErrTooManyRequests];
// [ErrSignUpDisabled]; [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set, although the user was created;
// [ErrCaptchaFailed] with Config.Captcha.Messages.
func (e *Engine) SendMagicLink(ctx context.Context, p SendMagicLinkParams) (err error) {
	defer e.begin(&ctx, "SendMagicLink").end(&err)
	c := e.config.MagicLink
	if c == nil {
		return ErrDisabledEndpoint
	}
	if err := checkChallenge(p.CodeChallenge); err != nil {
		return err
	}
	return e.invite(ctx, p.Email, p.Options, c.ExistingUsersOnly, func(u *store.User, redirectTo string) (posted, error) {
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
	defer e.begin(&ctx, "SendEmailOTP").end(&err)
	c := e.config.EmailOTP
	if c == nil {
		return ErrDisabledEndpoint
	}
	return e.invite(ctx, p.Email, p.Options, c.ExistingUsersOnly, func(u *store.User, redirectTo string) (posted, error) {
		return e.mailCode(ctx, kindEmailOTP, "signin-otp", u, c.Tries, addressTicket{EmailKey: u.EmailKey},
			map[string]string{"redirectTo": redirectTo})
	})
}

// VerifyEmailOTPParams is a code that somebody has received.
type VerifyEmailOTPParams struct {
	Email string
	OTP   string // six digits
}

// VerifyEmailOTP opens a session for the code of a letter, and marks the address verified; see also
// [Engine.VerifyTicket]. Wrong codes, Config.EmailOTP.Tries of them, void the right one; see also Config.Limits. It costs
// two round trips.
//
// Errors: [ErrDisabledEndpoint] without Config.EmailOTP; [ErrInvalidRequest] if Email is not an address;
// [ErrInvalidTicket] for a wrong, expired or used code and for an unknown address alike; [ErrTooManyRequests]; the account's
// state, as at [Engine.Refresh].
func (e *Engine) VerifyEmailOTP(ctx context.Context, p VerifyEmailOTPParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "VerifyEmailOTP").end(&err)
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
	var data addressTicket
	t, u, err := e.checkMailedCode(ctx, store.TicketQuery{Kind: kindEmailOTP, EmailKey: address.Canonical}, address.Canonical, p.OTP, &data)
	if err == nil {
		err = data.goodFor(&u)
	}
	if errors.Is(err, ErrInvalidTicket) {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: u.ID, Method: methodEmail, Code: CodeInvalidTicket})
	}
	if err != nil {
		return nil, err
	}
	return e.enterByAddress(ctx, u, t, "")
}

// SendSMSOTPParams says who wants a code to sign in with.
type SendSMSOTPParams struct {
	PhoneNumber string        // as Config.SMS.ParsePhone takes it
	Options     SignUpOptions // for a new user, without an effect on one who exists
}

// SendSMSOTP sends a text message with a code for [Engine.VerifySMSOTP]. A later one voids it. Whoever has no account gets one,
// unless sign-ups are off or Config.SMS.ExistingUsersOnly is set. It costs two round trips, and one more for the message.
//
// The message is sent before the call returns, whether or not a loop runs, so that its caller hears of a failure; the code
// is void then. With Config.ConcealErrors it is sent as letters are, and nothing is heard of it. Whoever exists but is disabled
// gets no message and is not told so; nor is, with Config.ConcealErrors, who could not sign up.
//
// A number that nobody has proven is no way into an account whose address has been.
//
// Errors: [ErrDisabledEndpoint] without Config.SMS; [ErrInvalidRequest] if PhoneNumber is not one, and for options of the
// wrong form; [ErrRoleNotAllowed], [ErrDefaultRoleNotAllowed], [ErrRedirectNotAllowed]; [ErrTooManyRequests];
// [ErrSignUpDisabled]; [ErrCannotSendSMS]; [ErrDisabledUser] if Config.SignUp.DisableNewUsers is set, although the user was created;
// [ErrCaptchaFailed] with Config.Captcha.Messages.
func (e *Engine) SendSMSOTP(ctx context.Context, p SendSMSOTPParams) (err error) {
	defer e.begin(&ctx, "SendSMSOTP").end(&err)
	c := e.config.SMS
	if c == nil {
		return ErrDisabledEndpoint
	}
	number, err := e.phoneNumber(p.PhoneNumber)
	if err != nil {
		return err
	}
	if _, err := e.RedirectTo(p.Options.RedirectTo); err != nil {
		return err
	}
	u, err := e.newUser(p.Options, number)
	if err != nil {
		return err
	}
	if err := e.captcha(ctx, havingMessagesSent); err != nil {
		return err
	}
	if err := e.mayText(ctx, number); err != nil {
		return err
	}
	u.Phone = number
	return e.inviteTo(ctx, invitation{
		guest: u, who: store.UserQuery{Phone: number}, unique: store.FieldPhone, method: methodSMS, existing: c.ExistingUsersOnly,
		post: func(u *store.User) (posted, error) {
			return e.postCode(ctx, kindSMSOTP, "signin-passwordless-sms", u.ID, number, u.Locale, struct{}{})
		},
	})
}

// VerifySMSOTPParams is a code that somebody has received.
type VerifySMSOTPParams struct {
	PhoneNumber string
	OTP         string // six digits, or what Config.SMS.Verifier sends
}

// VerifySMSOTP opens a session for the code of a text message, and marks the number verified. Wrong codes,
// Config.SMS.Tries of them, void the right one; see also Config.Limits. It costs two round trips.
//
// The first proof of a number takes away what was set before, by whomever: as [Engine.VerifyTicket] says, and an address
// that nobody has proven.
//
// Errors: [ErrDisabledEndpoint] without Config.SMS; [ErrInvalidRequest] if PhoneNumber is not one, for a wrong, expired or
// used code and for an unknown number alike; [ErrTooManyRequests]; the account's state, as at [Engine.Refresh].
func (e *Engine) VerifySMSOTP(ctx context.Context, p VerifySMSOTPParams) (_ *SignInResult, err error) {
	defer e.begin(&ctx, "VerifySMSOTP").end(&err)
	if e.config.SMS == nil {
		return nil, ErrDisabledEndpoint
	}
	number, err := e.phoneNumber(p.PhoneNumber)
	if err != nil {
		return nil, err
	}
	t, u, err := e.checkCode(ctx, store.TicketQuery{Kind: kindSMSOTP, Phone: number}, number, p.OTP, nil)
	if err != nil {
		return nil, err
	}
	if !isWayIn(&u) {
		return nil, wrongCode(ErrInvalidTicket.because(errors.New("the account has a proven address, and the number is not")))
	}
	change := &store.UserChange{Redeem: t.ID}
	first := !u.PhoneVerified
	if first {
		e.provenPhone(&u, change)
	}
	in, err := e.enter(ctx, entry{user: u, method: methodSMS, amr: amrSMS, change: change})
	if err != nil {
		return nil, wrongCode(spent(overtaken(err)))
	}
	e.answered(ctx, number)
	if first {
		e.emit(ctx, Event{Type: EventPhoneVerified, UserID: u.ID, SessionID: sessionOf(in), Detail: displaced})
	}
	return in, nil
}

// invitation is what lets a new or an existing user in, and who they are.
type invitation struct {
	guest    store.User // who is signed up if there is nobody
	who      store.UserQuery
	unique   store.Field // what who asks for
	method   string
	existing bool // nobody is to be signed up
	blocked  bool // by the access lists, and nobody is to know
	post     func(u *store.User) (posted, error)
}

// invite sends a new or existing user what lets them in, by letter.
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
	if blocked != nil && !e.config.ConcealErrors {
		return blocked
	}
	if err := e.captcha(ctx, havingMessagesSent); err != nil {
		return err
	}
	if err := e.mayWrite(ctx, address.Canonical); err != nil {
		return err
	}
	u.Email, u.EmailKey, u.AvatarURL = address.Typed, address.Canonical, e.gravatar(address)
	return e.inviteTo(ctx, invitation{
		guest: u, who: store.UserQuery{EmailKey: address.Canonical}, unique: store.FieldEmail, method: methodEmail, existing: existing, blocked: blocked != nil,
		post: func(u *store.User) (posted, error) { return post(u, redirectTo) },
	})
}

// asked is the event of an invitation of who exists, or does not and is not to be told.
func (i *invitation) asked() Event { return Event{Type: EventSignInAsked, Method: i.method} }

func (e *Engine) inviteTo(ctx context.Context, i invitation) error {
	for range 2 { // the address may be taken between the look and the sign-up: by a second click, say
		i.who.Now = e.now()
		a, err := e.store.User(ctx, i.who)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("find user: %w", err)
		case i.blocked: // and looked for all the same: the answer takes as long as any other
			return e.pretend(ctx, i.asked())
		case err == nil:
			return e.inviteUser(ctx, a.User, i)
		case i.existing || e.config.SignUp.Disabled:
			if e.config.ConcealErrors {
				return e.pretend(ctx, i.asked())
			}
			return ErrSignUpDisabled
		}
		err = e.inviteStranger(ctx, i)
		if !errors.Is(err, store.ErrConflict{Field: i.unique}) {
			return err
		}
	}
	return ErrInternal.because(errors.New("the address was neither free nor taken"))
}

func (e *Engine) inviteUser(ctx context.Context, u store.User, i invitation) error {
	if u.Disabled || i.unique == store.FieldPhone && !isWayIn(&u) {
		return e.pretend(ctx, i.asked())
	}
	p, err := i.post(&u)
	if err != nil {
		return err
	}
	return e.send(ctx, &u, p, i.asked())
}

func (e *Engine) inviteStranger(ctx context.Context, i invitation) error {
	u, err := e.signUp(ctx, i.guest, i.method)
	if err != nil {
		return err
	}
	if u.Disabled {
		if _, err := e.create(ctx, store.NewUser{User: u}, i.method); err != nil || e.config.ConcealErrors {
			return err
		}
		return ErrDisabledUser
	}
	p, err := i.post(&u)
	if err != nil {
		return err
	}
	if _, err = e.create(ctx, store.NewUser{User: u, Ticket: p.ticket, Messages: []store.Message{p.letter.row}}, i.method); err != nil {
		return err
	}
	return e.hand(ctx, p)
}

// send writes a user's ticket together with its message, and delivers that. A user who is gone or disabled by now gets
// none, and nobody hears of it. The event says that it was asked for.
func (e *Engine) send(ctx context.Context, u *store.User, p posted, asked Event) error {
	_, err := e.store.ChangeUser(ctx, store.UserChange{
		UserID: u.ID, Now: e.now(), Ticket: p.ticket, Messages: []store.Message{p.letter.row},
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnmet{Condition: store.ConditionEnabled}) {
		e.emit(ctx, asked)
		return nil
	}
	if err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	asked.UserID = u.ID
	e.emit(ctx, asked)
	return e.hand(ctx, p)
}

// pretend takes as long as sending somebody something, and emits the event of it without a user.
func (e *Engine) pretend(ctx context.Context, asked Event) error {
	now := e.now()
	id := uuid.New()
	hash := e.box.MAC("ticket", id[:])
	err := e.store.PutTicket(ctx, store.Ticket{
		ID: id, Kind: "nothing", Slot: id.String(), Hash: hash[:], CreatedAt: now, ExpiresAt: now,
	})
	if err != nil {
		return fmt.Errorf("send nothing: %w", err)
	}
	e.emit(ctx, asked) // a sink may take its time, and so must it for who does not exist
	return nil
}

// issueCode makes a ticket for a code that went to an address or a number, and is worth nothing with another.
func (e *Engine) issueCode(kind string, userID uuid.UUID, to, code string, tries int, data any) (*store.Ticket, error) {
	t, err := e.newTicket(kind, userID.String(), userID, "", e.life(kind), data)
	if err != nil {
		return nil, err
	}
	hash := e.box.MAC("code", []byte(kind), []byte(to), []byte(code))
	t.Hash, t.Tries = hash[:], tries
	return t, nil
}

// mailCode makes a code and the letter that brings it to a user's address, as its variable ticket; see also postCode.
func (e *Engine) mailCode(ctx context.Context, kind, template string, u *store.User, tries int, data any, vars map[string]string) (posted, error) {
	code := newCode()
	ticket, err := e.issueCode(kind, u.ID, u.EmailKey, code, tries, data)
	if err != nil {
		return posted{}, err
	}
	all := map[string]string{"ticket": code}
	maps.Copy(all, vars)
	letter, err := e.letter(ctx, template, u, all)
	return posted{ticket, letter}, err
}

// checkMailedCode reads the ticket of a code that went to an address, and its user, and counts the guess; see also checkCode.
func (e *Engine) checkMailedCode(ctx context.Context, q store.TicketQuery, emailKey, code string, data any) (store.Ticket, store.User, error) {
	guessed, err := e.mayGuess(ctx, emailKey)
	if err != nil {
		return store.Ticket{}, store.User{}, err
	}
	q.Hashes = e.codeHashes(q.Kind, emailKey, code)
	t, u, err := e.checkTicket(ctx, q, data)
	guessed(err)
	return t, u, err
}

// codeHashes are those that the ticket of a code can have.
func (e *Engine) codeHashes(kind, to, code string) [][]byte {
	return hashes(e.box.MACs("code", []byte(kind), []byte(to), []byte(code)))
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
