package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/phone"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/store"
)

// SMSConfig turns on phone numbers: signing in by a code in a text message, and having a number.
//
// Whoever holds a number holds what it opens, and numbers are given away, taken over and given to somebody else when they
// are no longer paid for: NIST SP 800-63B-4 §3.1.3.3 restricts their use.
type SMSConfig struct {
	// Sender delivers codes that the engine makes. Verifier is a provider that makes, delivers and checks codes of its
	// own; it is asked about numbers that somebody waits at, which takes time and so tells, whatever Config.ConcealErrors
	// says, and its messages do not say what a code is for. Exactly one of them is required.
	Sender   sms.Sender
	Verifier sms.Verifier

	// ParsePhone reads a number as somebody typed it and returns it in E.164, such as "+41791234567", or an error, which
	// the client gets as [ErrInvalidRequest] without its text. The default takes anything in international form; package
	// sms/phone knows numbering plans, and can tell which countries are served.
	ParsePhone func(string) (string, error)

	// ExistingUsersOnly keeps codes from signing anybody up: they are for users who exist.
	ExistingUsersOnly bool
	// Tries is how many wrong codes void a code. The default is 5, the maximum 10.
	Tries int
}

func (s *SMSConfig) withDefaults(m *mistakes) *SMSConfig {
	c := *s
	if (c.Sender == nil) == (c.Verifier == nil) {
		m.add("SMS", "needs either a Sender or a Verifier")
	}
	if c.ParsePhone == nil {
		c.ParsePhone = phone.Parse
	}
	def(&c.Tries, 5)
	m.within("SMS.Tries", c.Tries, 1, 10)
	return &c
}

// ChangePhoneParams is a new number for the principal.
type ChangePhoneParams struct {
	NewPhoneNumber string // as Config.SMS.ParsePhone takes it
}

// ChangePhone begins a change of the principal's phone number, or gives them their first one: a text message with a code
// goes to the new number. Nothing else changes until [Engine.VerifyChangePhone]. A later change voids the code. Whether the
// number is another user's is not looked at before somebody has shown that it is theirs. It is protected, see
// [Engine.Elevate], and needs a step-up or a sign-in within the last ten minutes: a number is a way in. It costs two round
// trips, and one more for the message, which is sent as at [Engine.SendSMSOTP].
//
// Errors: [ErrDisabledEndpoint] without Config.SMS; [ErrForbiddenAnonymous]; [ErrElevationRequired]; [ErrInvalidRequest] if
// NewPhoneNumber is not one, or is the user's already; [ErrTooManyRequests]; [ErrCannotSendSMS]; otherwise as at
// [Engine.User].
func (e *Engine) ChangePhone(ctx context.Context, principal *Principal, p ChangePhoneParams) (err error) {
	defer e.begin(&ctx, "ChangePhone").end(&err)
	defer e.refusal(ctx, principal, "ChangePhone", &err)
	if e.config.SMS == nil {
		return ErrDisabledEndpoint
	}
	number, err := e.phoneNumber(p.NewPhoneNumber)
	if err != nil {
		return err
	}
	a, rule, err := e.freshAccount(ctx, principal, 0)
	if err != nil {
		return err
	}
	if number == a.Phone && a.PhoneVerified {
		return ErrInvalidRequest.saying("newPhoneNumber is the user's number already")
	}
	if err := e.mayText(ctx, number); err != nil {
		return err
	}
	l, err := e.postCode(ctx, kindPhoneChange, "phone-change-sms", a.ID, number, a.Locale, struct{}{})
	if err != nil {
		return err
	}
	_, err = e.store.ChangeUser(ctx, store.UserChange{
		UserID: a.ID, Now: e.now(), If: rule, Ticket: l.ticket, Messages: []store.Message{l.letter.row},
	})
	if err != nil {
		return unprotected(err)
	}
	e.emit(ctx, Event{Type: EventPhoneChangeAsked, UserID: a.ID, SessionID: principal.SessionID})
	return e.hand(ctx, l)
}

// VerifyChangePhoneParams is a code that the principal has received at their new number.
type VerifyChangePhoneParams struct {
	NewPhoneNumber string
	OTP            string
}

// VerifyChangePhone makes a number the principal's, by the code that [Engine.ChangePhone] sent there, and tells the owner of
// a verified address by a letter. It costs two round trips, and one more for the letter. Wrong codes count as at [Engine.VerifySMSOTP].
//
// Errors: [ErrDisabledEndpoint] without Config.SMS; [ErrForbiddenAnonymous]; [ErrInvalidRequest] if NewPhoneNumber is not a
// number, for a wrong, expired or used code, and if the number is another user's;
// [ErrTooManyRequests]; otherwise as at [Engine.User].
func (e *Engine) VerifyChangePhone(ctx context.Context, principal *Principal, p VerifyChangePhoneParams) (err error) {
	defer e.begin(&ctx, "VerifyChangePhone").end(&err)
	defer e.refusal(ctx, principal, "VerifyChangePhone", &err)
	if e.config.SMS == nil {
		return ErrDisabledEndpoint
	}
	if err := regular(principal); err != nil {
		return err
	}
	number, err := e.phoneNumber(p.NewPhoneNumber)
	if err != nil {
		return err
	}
	t, u, err := e.checkCode(ctx, store.TicketQuery{Kind: kindPhoneChange, UserID: principal.UserID}, number, p.OTP, nil)
	if err != nil {
		return err
	}
	if err := e.mayEnter(&u); err != nil {
		return err
	}
	told, err := e.notice(ctx, "phone-changed", &u)
	if err != nil {
		return err
	}
	verified := true
	err = e.taking(ctx, number, func() error {
		_, err := e.store.ChangeUser(ctx, store.UserChange{
			UserID: u.ID, Now: e.now(), If: store.Conditions{Session: principal.SessionID}, Redeem: t.ID,
			Set:      store.UserSet{Phone: &number, PhoneVerified: &verified}, // a code to the old number opens nothing any more
			Messages: told.rows(),
		})
		return err
	})
	if err != nil {
		return unprotected(wrongCode(spent(phoneTaken(err))))
	}
	e.answered(ctx, number)
	e.emit(ctx, Event{Type: EventPhoneChanged, UserID: u.ID, SessionID: principal.SessionID})
	e.deliver(ctx, told...)
	return nil
}

// phoneNumber reads a number as somebody typed it.
func (e *Engine) phoneNumber(typed string) (string, error) {
	wrong := ErrInvalidRequest.saying("the phone number is not one that can be used")
	if len(typed) > 64 {
		return "", wrong
	}
	var number string
	err := guard(func() (err error) { number, err = e.config.SMS.ParsePhone(typed); return err })
	if err != nil {
		return "", wrong.because(err)
	}
	if err := sms.CheckNumber(number); err != nil {
		return "", fmt.Errorf("SMS.ParsePhone: %w", err)
	}
	return number, nil
}

// postCode makes a code and the text message that brings it to a number. With a Verifier there is only the ticket, which
// says that somebody may try codes on that number, and how many.
func (e *Engine) postCode(ctx context.Context, kind, template string, userID uuid.UUID, number, locale string, data any) (posted, error) {
	code := ""
	if e.config.SMS.Verifier == nil {
		code = newCode()
	}
	ticket, err := e.issueCode(kind, userID, number, code, e.config.SMS.Tries, data)
	if err != nil {
		return posted{}, err
	}
	letter, err := e.text(ctx, template, number, locale, code, ticket.ExpiresAt)
	return posted{ticket, letter}, err
}

// checkCode reads the ticket of a code that went to a number, and its user, and has the code checked. Whatever is wrong with
// it is [ErrInvalidRequest], as documented.
func (e *Engine) checkCode(ctx context.Context, q store.TicketQuery, number, code string, data any) (t store.Ticket, u store.User, err error) {
	verifier := e.config.SMS.Verifier
	own, wellFormed := code, isCode(code)
	if verifier != nil {
		own, wellFormed = "", isForeignCode(code)
	}
	if !wellFormed {
		return t, u, wrongCode(ErrInvalidTicket.because(errors.New("not a code")))
	}
	guessed, err := e.mayGuess(ctx, number)
	if err != nil {
		return t, u, err
	}
	q.Hashes = e.codeHashes(q.Kind, number, own)
	t, u, err = e.checkTicket(ctx, q, data)
	if err == nil && verifier != nil {
		var right bool
		right, err = e.checkByProvider(ctx, number, code)
		if err != nil { // nobody knows whether it was compared: the guess counts
			return t, u, fmt.Errorf("check a code: %w", err)
		}
		if !right {
			err = ErrInvalidTicket.because(errors.New("the provider says that the code is wrong"))
		}
	}
	guessed(err)
	if errors.Is(err, ErrInvalidTicket) && q.Kind == kindSMSOTP {
		e.emit(ctx, Event{Type: EventSignInFailed, UserID: u.ID, Method: methodSMS, Code: CodeInvalidRequest})
	}
	if q.Kind == kindPhoneChange || q.Kind == kindDeanonymize {
		e.refusedTicket(ctx, q.UserID, q.Kind, err)
	}
	return t, u, wrongCode(err)
}

// checkByProvider asks the provider that made a code.
func (e *Engine) checkByProvider(ctx context.Context, number, code string) (right bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTime)
	defer cancel()
	err = guard(func() (err error) { right, err = e.config.SMS.Verifier.Check(ctx, number, code); return err })
	return right && err == nil, err
}

// isForeignCode accepts what providers send: 4 to 10 ASCII digits.
func isForeignCode(s string) bool {
	return len(s) >= 4 && len(s) <= 10 && strings.Trim(s, "0123456789") == ""
}

// wrongCode gives a ticket that is none the documented name of a wrong code.
func wrongCode(err error) error {
	if errors.Is(err, ErrInvalidTicket) {
		return ErrInvalidRequest.saying("the code is wrong or has expired").because(err)
	}
	return err
}

// phoneTaken translates the store's word that a number is taken. It is told to who has shown that the number is theirs.
func phoneTaken(err error) error {
	if errors.Is(err, store.ErrConflict{Field: store.FieldPhone}) {
		return ErrInvalidRequest.saying("the phone number is in use").because(err)
	}
	return err
}

// taking makes a change that gives a user a number which they have proven. Nobody can keep it from them who has not: it is
// taken from an account that has it without a proof, and such an account goes if it is nothing but a sign-up.
func (e *Engine) taking(ctx context.Context, number string, change func() error) error {
	err := change()
	if !errors.Is(err, store.ErrConflict{Field: store.FieldPhone}) {
		return err
	}
	holder, lookErr := e.store.User(ctx, store.UserQuery{Phone: number, Now: e.now()})
	switch {
	case errors.Is(lookErr, store.ErrNotFound):
		return change() // it has become free a moment ago
	case lookErr != nil:
		return fmt.Errorf("find the holder of a number: %w", lookErr)
	case holder.PhoneVerified:
		return err
	}
	now, unseen, none := e.now(), store.Conditions{Epoch: holder.Epoch, Disabled: true}, ""
	lost := Event{Type: EventPhoneChanged, UserID: holder.ID, Detail: "taken"}
	if holder.EmailKey == "" && holder.LastSeenAt.IsZero() {
		lost.Type = EventUserDeleted
		lookErr = e.store.DeleteUser(ctx, store.UserDeletion{UserID: holder.ID, Now: now, If: unseen})
	} else {
		_, lookErr = e.store.ChangeUser(ctx, store.UserChange{UserID: holder.ID, Now: now, If: unseen, Set: store.UserSet{Phone: &none}})
	}
	if lookErr != nil && !errors.Is(lookErr, store.ErrNotFound) && !errors.Is(lookErr, store.ErrUnmet{Condition: store.ConditionEpoch}) {
		return fmt.Errorf("free a number: %w", lookErr)
	}
	if lookErr == nil {
		e.emit(ctx, lost)
	}
	return change()
}

// provenPhone adds to a change that a user has proven their number for the first time. Until then anybody may have signed up
// with it; see proven.
func (e *Engine) provenPhone(u *store.User, c *store.UserChange) {
	verified, nobody := true, false
	displace(c)
	c.Set.PhoneVerified = &verified
	c.Set.Email, c.Set.EmailVerified = &store.Email{}, &nobody
	u.PhoneVerified, u.Email, u.EmailKey, u.EmailVerified, u.TOTPSecret = true, "", "", false, nil
}

// isWayIn reports whether a user's number lets them in. One that nobody has proven must not open an account that somebody
// else has shown to be theirs.
func isWayIn(u *store.User) bool { return u.PhoneVerified || !u.EmailVerified }
