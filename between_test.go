package auth_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// interrupted is an engine in whose next change something happens first, once it is armed.
type interrupted struct {
	*authtest.Engine
	arm func(first func())
}

func interruptible(t *testing.T, amend ...func(*auth.Config)) interrupted {
	t.Helper()
	var first atomic.Pointer[func()]
	e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "ChangeUser", Do: func(context.Context) {
		if f := first.Swap(nil); f != nil {
			(*f)()
		}
	}}), amend...)
	return interrupted{e, func(f func()) { first.Store(&f) }}
}

// What was decided on an account that has changed since is decided again, or refused.
func TestTheAccountChangesBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	t.Run("two changes of the password", func(t *testing.T) {
		t.Parallel()
		e := interruptible(t)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		change := func(to string) error {
			return e.ChangePassword(background, p, auth.ChangePasswordParams{NewPassword: to, CurrentPassword: authtest.Password})
		}
		e.arm(func() {
			if err := change("the earlier change"); err != nil {
				t.Error(err)
			}
		})
		if err := change("the later change"); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%v", err)
		}
		if _, err := signIn(t, e.Engine, "ada@example.com", "the earlier change"); err != nil {
			t.Errorf("%v", err)
		}
	})
	t.Run("two visits to a provider by who has the address of a sign-up", func(t *testing.T) {
		t.Parallel()
		e := interruptible(t, withSomewhere(&somewhere{}, &somewhere{}))
		pendingUser(t, e.Engine, "ada@example.com")
		visit := func() *auth.Session {
			in, err := e.SignInIDToken(background, auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "ada@example.com", true))})
			if err != nil {
				t.Fatal(err)
			}
			return in.Session
		}
		var earlier *auth.Session
		e.arm(func() { earlier = visit() })
		if later := visit(); earlier == nil || later.User.ID != earlier.User.ID {
			t.Errorf("they are %v and %v", earlier, later)
		}
	})
	t.Run("a password is reset while the old one is given", func(t *testing.T) {
		t.Parallel()
		e := interruptible(t)
		e.EnrolTOTP(t, e.SignUp(t, "ada@example.com"))
		ticket := resetTicket(t, e.Engine, "ada@example.com")
		e.arm(func() {
			if err := e.ChangePassword(background, nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: newPassword}); err != nil {
				t.Error(err)
			}
		})
		if in, err := signIn(t, e.Engine, "ada@example.com", authtest.Password); !errors.Is(err, auth.ErrInvalidEmailPassword) {
			t.Errorf("%v, %v", in, err)
		}
	})
	t.Run("two conversions of a guest", func(t *testing.T) {
		t.Parallel()
		e := interruptible(t, unverified)
		p := e.Principal(t, guest(t, e.Engine))
		convert := func(email string) error {
			return e.Deanonymize(background, p, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: email, Password: authtest.Password})
		}
		e.arm(func() {
			if err := convert("ada@example.com"); err != nil {
				t.Error(err)
			}
		})
		if err := convert("bob@example.com"); !errors.Is(err, auth.ErrUserNotAnonymous) {
			t.Errorf("%v", err)
		}
	})
}

// An address that the lists refuse neither resets a password nor moves to another one.
func TestRefusedAddressesStayOut(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	blocking := replica(t, e, func(c *auth.Config) { c.Email.BlockedDomains = []string{"example.com"} })
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	reset, move := resetTicket(t, e, "ada@example.com"), changeEmail(t, e, p, "ada@other.test")
	err := blocking.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: reset, NewPassword: newPassword})
	if !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("reset: %v", err)
	}
	if _, err := blocking.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: move}); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("change of address: %v", err)
	}
}

// unadmitted are the calls that succeed whatever the address is; each name is one of those in calls.
var unadmitted = []string{
	"DeleteUser", "FindUser", "Health", "ImportUser", "ListUsers", "Outbox", "RefreshKeptProviderTokens", "RemoveMFA", "RevokePassword",
	"UpdateUser", "UpdateUser, of roles", // of the service
	"Deanonymize, with a text message", "DeleteAccount, of a guest", "SignInAnonymous", "VerifyDeanonymize", "VerifySMSOTP, of somebody new", // of somebody without one
	"SendPasswordReset", "SendSMSOTP", "SignInWebAuthn", "StartProvider", // which let nobody in, and do not tell
	"SignOut", "SignOut, everywhere",
}

// Whoever has an address that the lists refuse gets in nowhere, and does nothing with a session from before.
func TestWhoeverHasARefusedAddressStaysOut(t *testing.T) {
	t.Parallel()
	for name, prepare := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, everyWay)
			c := prepare(t, v)
			blocking := v.replica(t, v.Store, everyWay, func(c *auth.Config) { c.Email.BlockedAddresses = []string{"ada@example.com"} })
			err := c(t.Context(), blocking)
			if slices.Contains(unadmitted, name) && err != nil || !slices.Contains(unadmitted, name) && !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Error(err)
			}
		})
	}
}

// MF-12: of two who give one code for two tickets at the same moment, the second is told that it is wrong, and that is recorded.
func TestACodeIsUsedBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	first, secret := challenged(t, e.Engine, "ada@example.com")
	second := askedAgain(t, e.Engine, "ada@example.com")
	code := nextCode(t, e.Engine, secret)
	e.arm(func() {
		if err := verifyMFA(e.Engine, first, code); err != nil {
			t.Error(err)
		}
	})
	if err := verifyMFA(e.Engine, second, code); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("%v", err)
	}
	if events := e.Events.Of(auth.EventSignInFailed); len(events) != 1 || events[0].Code != auth.CodeInvalidTOTP || events[0].Method != "password" {
		t.Errorf("%+v", events)
	}
}

// TK-04: a code that another one takes the place of at that moment is told to be none, as one that was exchanged before, and that
// is recorded.
func TestACodeIsReplacedBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	e := interruptible(t, letters)
	id := e.SignUp(t, "ada@example.com").User.ID
	ask := func() {
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(verifier)}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	first, second := followLink(t, e.Engine, "ada@example.com").Code, ""
	ask()
	e.arm(func() { second = followLink(t, e.Engine, "ada@example.com").Code })
	in, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: first, CodeVerifier: verifier})
	if in != nil || !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("%v, %v", in, err)
	}
	if events := e.Events.Of(auth.EventTicketRefused); len(events) != 1 || events[0].UserID != id || events[0].Detail != "code" {
		t.Errorf("%+v", events)
	}
	if _, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: second, CodeVerifier: verifier}); err != nil {
		t.Errorf("the second: %v", err)
	}
}

// TK-04: a later link or code voids the one before also while that is being used: what it proved is not what is wanted now.
func TestALinkIsReplacedBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	reset := mailings[2]
	for name, c := range map[string]struct {
		mailing
		use func(e *authtest.Engine, email, secret string) error
	}{
		"a magic link":        {mailing: mailings[0]},
		"a code":              {mailing: mailings[1]},
		"a reset link":        {mailing: reset},
		"a change of address": {mailing: newAddressMailings[0]},
		"the reset by a link": {reset, func(e *authtest.Engine, _, secret string) error {
			return e.ChangePassword(background, nil, auth.ChangePasswordParams{Ticket: secret, NewPassword: newPassword})
		}},
	} {
		e := interruptible(t, letters)
		email := "ada@example.com"
		if c.kind == "emailConfirmChange" {
			e.SignUp(t, "mover@example.com")
		} else {
			e.SignUp(t, email)
		}
		send := func() string {
			if err := c.send(e.Engine, email, ""); err != nil {
				t.Error(err)
			}
			return e.Mailbox.Last(t, email).Ticket()
		}
		use := func(secret string) error {
			if c.use != nil {
				return c.use(e.Engine, email, secret)
			}
			_, err := c.redeemSecret(e.Engine, email, secret)
			return err
		}
		first, second := send(), ""
		e.arm(func() { second = send() })
		if err := use(first); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%s: %v", name, err)
		}
		if err := use(second); err != nil {
			t.Errorf("%s that came later: %v", name, err)
		}
	}
}

// SU-05: whose address or number is taken between the look and the sign-up, by a second click of theirs, gets what they asked for as
// whoever has taken it.
func TestAnAddressIsTakenBetweenTheLookAndTheSignUp(t *testing.T) {
	t.Parallel()
	text := func(e *authtest.Engine) error {
		return e.SendSMSOTP(background, auth.SendSMSOTPParams{PhoneNumber: adaPhone})
	}
	letter := func(m mailing) func(e *authtest.Engine) error {
		return func(e *authtest.Engine) error { return m.send(e, "ada@example.com", "") }
	}
	for name, c := range map[string]struct {
		send  func(e *authtest.Engine) error
		enter func(e *authtest.Engine) error
		field store.Field
	}{
		"a magic link": {letter(mailings[0]), func(e *authtest.Engine) error {
			_, err := mailings[0].redeem(t, e, "ada@example.com")
			return err
		}, store.FieldEmail},
		"a code": {letter(mailings[1]), func(e *authtest.Engine) error {
			_, err := mailings[1].redeem(t, e, "ada@example.com")
			return err
		}, store.FieldEmail},
		"a text message": {text, func(e *authtest.Engine) error {
			return textings()[0].redeem(e, nil, adaPhone, e.Phone.Last(t, adaPhone).Code)
		}, store.FieldPhone},
	} {
		s := memstore.New()
		click := authtest.NewWithStore(t, s, letters)
		e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "CreateUser", Do: func(context.Context) {
			if err := c.send(click); err != nil {
				t.Error(err)
			}
		}}), letters)
		if err := c.send(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.enter(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := userCount(t, s); n != 1 {
			t.Errorf("%s: %d users", name, n)
		}
		// One that is taken and that nobody has is a fault of the store.
		broken := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "CreateUser", Err: store.ErrConflict{Field: c.field}}), letters)
		if err := c.send(broken); !errors.Is(err, auth.ErrInternal) {
			t.Errorf("%s, neither free nor taken: %v", name, err)
		}
	}
}

// EN-01: whoever asks for a letter to a user who is disabled at that moment hears what they would hear at any other, and that they
// asked is recorded.
func TestAUserIsDisabledBetweenTheLookAndTheLetter(t *testing.T) {
	t.Parallel()
	for _, m := range mailings {
		if m.name == "a verification link" {
			continue // which nobody can ask for whose address is verified
		}
		e := interruptible(t, letters)
		id := e.SignUp(t, "ada@example.com").User.ID
		if err := m.send(e.Engine, "ada@example.com", ""); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		events, sent := e.Events.All(), len(e.Mailbox.All())
		want := events[len(events)-1].Type // which says that somebody has asked
		e.Clock.Advance(time.Hour)
		e.arm(func() {
			yes := true
			if _, err := e.UpdateUser(background, id, auth.UserUpdate{Disabled: &yes}); err != nil {
				t.Error(err)
			}
		})
		if err := m.send(e.Engine, "ada@example.com", ""); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		events = e.Events.All()
		if got := events[len(events)-1]; got.Type != want || len(e.Mailbox.All()) != sent {
			t.Errorf("%s: %+v, and %d letters more", m.name, got, len(e.Mailbox.All())-sent)
		}
	}
}
