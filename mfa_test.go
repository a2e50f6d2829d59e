package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
)

// nextCode moves on to a time step whose code has not been used, and returns that code.
func nextCode(t *testing.T, e *authtest.Engine, secret string) string {
	t.Helper()
	e.Clock.Advance(30 * time.Second)
	return authtest.TOTPCode(t, secret, e.Clock.Now())
}

// everything turns on all that somebody can sign in with.
func everything(c *auth.Config) {
	letters(c)
	c.WebAuthn.UserVerification = auth.UserVerificationDiscouraged
}

// firstFactor is a way to sign in, for a user with an address, a number, a key and a token.
type firstFactor struct {
	name     string
	password bool // policy MFAPasswords asks for a second one after it
	exempt   bool // it is two factors, or stands for both
	enter    func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error)
}

// equipped is a user with every first factor.
type equipped struct {
	email, phone string
	principal    *auth.Principal
	session      *auth.Session
	touch, pin   *authtest.Authenticator // without and with user verification
	pat          string
	secret       string // of their second factor, once they have one
}

func equip(t *testing.T, e *authtest.Engine, name, phone string) *equipped {
	t.Helper()
	u := &equipped{email: name + "@example.com", phone: phone, touch: &authtest.Authenticator{NoUserVerification: true}, pin: &authtest.Authenticator{}}
	u.session = e.SignUp(t, u.email)
	u.principal = e.Principal(t, u.session)
	change := textings()[1]
	if err := change.redeem(e, u.principal, phone, change.code(t, e, u.principal, phone)); err != nil {
		t.Fatal(err)
	}
	addKey(t, e, u.principal, u.touch)
	addKey(t, e, u.principal, u.pin)
	made, err := e.CreatePAT(t.Context(), u.principal, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	u.pat = made.Token
	return u
}

func earned(in *auth.SignInResult, err error) (*auth.Session, *auth.MFAChallenge, error) {
	if err != nil {
		return nil, nil, err
	}
	return in.Session, in.MFA, nil
}

func firstFactors() []firstFactor {
	letter := func(m mailing) func(*testing.T, *authtest.Engine, *equipped) (*auth.Session, *auth.MFAChallenge, error) {
		return func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) {
			if err := m.send(e, u.email, ""); err != nil {
				return nil, nil, err
			}
			secret := e.Mailbox.Last(t, u.email).Ticket()
			if m.kind == "emailOTP" {
				return earned(e.VerifyEmailOTP(background, auth.VerifyEmailOTPParams{Email: u.email, OTP: secret}))
			}
			v, err := e.VerifyTicket(background, auth.VerifyTicketParams{Ticket: secret})
			if err != nil {
				return nil, nil, err
			}
			return v.Session, v.MFA, nil
		}
	}
	key := func(which func(*equipped) *authtest.Authenticator) func(*testing.T, *authtest.Engine, *equipped) (*auth.Session, *auth.MFAChallenge, error) {
		return func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) {
			return earned(endKeySignIn(t, e, which(u).Get(t, beginKeySignIn(t, e, u.email))))
		}
	}
	return []firstFactor{
		{"a password", true, false, func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) {
			return earned(signIn(t, e, u.email, authtest.Password))
		}},
		{"a magic link", false, false, letter(mailings[0])},
		{"an e-mail code", false, false, letter(mailings[1])},
		{"a reset link", false, false, letter(mailings[2])},
		{"a text message", false, false, func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) {
			code := textings()[0].code(t, e, nil, u.phone)
			return earned(e.VerifySMSOTP(background, auth.VerifySMSOTPParams{PhoneNumber: u.phone, OTP: code}))
		}},
		{"the code of a client that asked for a link", false, false, func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) {
			if err := e.SendMagicLink(background, auth.SendMagicLinkParams{Email: u.email, CodeChallenge: challengeFor(verifier)}); err != nil {
				return nil, nil, err
			}
			v := followLink(t, e, u.email)
			return earned(e.ExchangeCode(background, auth.ExchangeCodeParams{Code: v.Code, CodeVerifier: verifier}))
		}},
		{"a key that was touched", false, false, key(func(u *equipped) *authtest.Authenticator { return u.touch })},
		{"a key that knows its user", false, true, key(func(u *equipped) *authtest.Authenticator { return u.pin })},
		{"a personal access token", false, true, func(_ *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) {
			return earned(e.SignInPAT(background, auth.SignInPATParams{PersonalAccessToken: u.pat}))
		}},
		{"a new password", true, false, func(t *testing.T, e *authtest.Engine, u *equipped) (*auth.Session, *auth.MFAChallenge, error) { // MF-03, PW-20
			err := e.ChangePassword(background, nil, auth.ChangePasswordParams{Ticket: resetTicket(t, e, u.email), NewPassword: newPassword})
			if err != nil {
				return nil, nil, err
			}
			return earned(signIn(t, e, u.email, newPassword))
		}},
	}
}

// MF-04, MF-06, MF-10, MF-18, W9, E16: no first factor is a session of who has a second one, whatever the configuration.
func TestNoFirstFactorIsASessionOfWhoHasASecond(t *testing.T) {
	t.Parallel()
	configs := map[string]func(*auth.Config){
		"always":    everything,
		"passwords": func(c *auth.Config) { everything(c); c.MFA.Policy = auth.MFAPasswords },
		"off":       func(c *auth.Config) { everything(c); c.MFA = nil }, // for a user who has one already
	}
	states := map[string]func(t *testing.T, e *authtest.Engine, u *equipped) bool{ // which return whether there is a second factor
		"none": func(*testing.T, *authtest.Engine, *equipped) bool { return false },
		"pending": func(t *testing.T, e *authtest.Engine, u *equipped) bool {
			if _, err := e.GenerateTOTP(t.Context(), u.principal, auth.GenerateTOTPParams{}); err != nil {
				t.Fatal(err)
			}
			return false
		},
		"on": func(t *testing.T, e *authtest.Engine, u *equipped) bool {
			u.secret = e.EnrolTOTP(t, u.session)
			return true
		},
		"off again": func(t *testing.T, e *authtest.Engine, u *equipped) bool {
			secret := e.EnrolTOTP(t, u.session)
			if err := e.SetMFA(t.Context(), u.principal, auth.SetMFAParams{Code: nextCode(t, e, secret)}); err != nil {
				t.Fatal(err)
			}
			return false
		},
	}
	for policy, amend := range configs {
		for state, set := range states {
			t.Run(policy+", "+state, func(t *testing.T) {
				t.Parallel()
				enrolling := authtest.New(t, everything)
				u := equip(t, enrolling, "ada", adaPhone)
				second := set(t, enrolling, u)
				e := replica(t, enrolling, amend)
				for _, f := range firstFactors() {
					t.Run(f.name, func(t *testing.T) {
						before := sessionCount(t, e, u)
						session, challenge, err := f.enter(t, e, u)
						if err != nil {
							t.Fatal(err)
						}
						asked := second && !f.exempt && (policy != "passwords" || f.password)
						if asked != (session == nil) || asked != (challenge != nil) {
							t.Fatalf("session %t, challenge %t; a second factor is owed: %t", session != nil, challenge != nil, asked)
						}
						if !asked {
							return
						}
						if f.name != "a new password" && sessionCount(t, e, u) != before { // which ends them
							t.Error("a session was opened")
						}
						in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: challenge.Ticket, OTP: nextCode(t, enrolling, u.secret)})
						if err != nil {
							t.Fatal(err)
						}
						p := e.Principal(t, in.Session)
						if !slices.Contains(p.AMR, "otp") || !slices.Contains(p.AMR, "mfa") || len(p.AMR) < 3 {
							t.Errorf("amr %v", p.AMR)
						}
						mustRefresh(t, e, in.Session.RefreshToken)
					})
				}
			})
		}
	}
}

func sessionCount(t *testing.T, e *authtest.Engine, u *equipped) int {
	t.Helper()
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: u.session.User.ID, With: store.WithSessions, Now: e.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return len(a.Sessions)
}

// challenged is a user with a second factor who has given their password, and their secret.
func challenged(t *testing.T, e *authtest.Engine, email string) (ticket, secret string) {
	t.Helper()
	secret = e.EnrolTOTP(t, e.SignUp(t, email))
	return askedAgain(t, e, email), secret
}

func askedAgain(t *testing.T, e *authtest.Engine, email string) string {
	t.Helper()
	in, err := signIn(t, e, email, authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	if in.MFA == nil || !strings.HasPrefix(in.MFA.Ticket, "mfaTotp:") {
		t.Fatalf("%s", asJSON(in))
	}
	return in.MFA.Ticket
}

func verifyMFA(e *authtest.Engine, ticket, code string) error {
	_, err := e.VerifyMFA(background, auth.VerifyMFAParams{Ticket: ticket, OTP: code})
	return err
}

// MF-01, MF-02, MF-12, MF-16, MF-24, MF-27, W1.
func TestVerifyMFA(t *testing.T) {
	t.Parallel()
	t.Run("five codes to a ticket", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket, secret := challenged(t, e, "ada@example.com")
		code := nextCode(t, e, secret)
		for _, odd := range []string{" " + code, code + "0", "１２３４５６"} { // none of these is a guess
			if err := verifyMFA(e, ticket, odd); !errors.Is(err, auth.ErrInvalidTOTP) {
				t.Errorf("%q: %v", odd, err)
			}
		}
		ticket = askedAgain(t, e, "ada@example.com")
		before := len(e.Events.Of(auth.EventSignInFailed))
		for range 4 {
			if err := verifyMFA(e, ticket, otherCode(code)); !errors.Is(err, auth.ErrInvalidTOTP) {
				t.Fatal(err)
			}
		}
		if n := len(e.Events.Of(auth.EventSignInFailed)) - before; n != 4 {
			t.Errorf("%d events", n)
		}
		if err := verifyMFA(e, ticket, code); err != nil {
			t.Errorf("the fifth, right: %v", err)
		}
		if err := verifyMFA(e, ticket, nextCode(t, e, secret)); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("the ticket again: %v", err)
		}
		ticket = askedAgain(t, e, "ada@example.com")
		for range 5 {
			_ = verifyMFA(e, ticket, otherCode(nextCode(t, e, secret)))
		}
		if err := verifyMFA(e, ticket, nextCode(t, e, secret)); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("the sixth, right: %v", err)
		}
	})
	t.Run("the codes of three steps, and no earlier one again", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		_, secret := challenged(t, e, "ada@example.com")
		e.Clock.Advance(time.Hour)
		for _, c := range []struct {
			steps int
			want  error
		}{
			{-2, auth.ErrInvalidTOTP},
			{2, auth.ErrInvalidTOTP},
			{-1, nil},
			{-1, auth.ErrInvalidTOTP},
			{0, nil},
			{-1, auth.ErrInvalidTOTP},
			{0, auth.ErrInvalidTOTP},
			{1, nil},
			{1, auth.ErrInvalidTOTP},
			{0, auth.ErrInvalidTOTP},
		} {
			ticket := askedAgain(t, e, "ada@example.com")
			code := authtest.TOTPCode(t, secret, e.Clock.Now().Add(time.Duration(c.steps)*30*time.Second))
			if err := verifyMFA(e, ticket, code); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("step %d: %v", c.steps, err)
			}
		}
		e.Clock.Advance(-time.Hour) // MF-27
		ticket := askedAgain(t, e, "ada@example.com")
		if err := verifyMFA(e, ticket, authtest.TOTPCode(t, secret, e.Clock.Now())); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("after the clock was set back: %v", err)
		}
	})
	t.Run("of another", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, letters)
		ada, _ := challenged(t, e, "ada@example.com")
		bob, secret := challenged(t, e, "bob@example.com")
		code := nextCode(t, e, secret)
		if err := verifyMFA(e, ada, code); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("another's code: %v", err)
		}
		flipped := []byte(bob)
		flipped[len(flipped)-1] ^= 1
		for _, bad := range []string{"", "mfaTotp:", string(flipped), strings.Replace(bob, "mfaTotp", "passwordReset", 1), strings.Repeat("x", 1<<16)} {
			if err := verifyMFA(e, bad, code); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
		// W1: the ticket is worth nothing elsewhere.
		if _, err := e.VerifyEmailOTP(t.Context(), auth.VerifyEmailOTPParams{Email: "bob@example.com", OTP: bob}); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("as a code: %v", err)
		}
		if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: bob}); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("as a link: %v", err)
		}
		if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: bob, NewPassword: newPassword}); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("as a reset: %v", err)
		}
		askedAgain(t, e, "bob@example.com") // of who knows the password: it voids nobody's ticket
		if err := verifyMFA(e, bob, code); err != nil {
			t.Errorf("after all that: %v", err)
		}
	})
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket, secret := challenged(t, e, "ada@example.com")
		e.Clock.Advance(5 * time.Minute)
		if err := verifyMFA(e, ticket, nextCode(t, e, secret)); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Error(err)
		}
	})
	t.Run("of an account that has changed", func(t *testing.T) {
		t.Parallel()
		yes := true
		for name, c := range map[string]struct {
			change func(t *testing.T, e *authtest.Engine, id uuid.UUID) error
			want   error
		}{
			"disabled": {func(t *testing.T, e *authtest.Engine, id uuid.UUID) error {
				_, err := e.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &yes})
				return err
			}, auth.ErrDisabledUser},
			"deleted":                 {func(t *testing.T, e *authtest.Engine, id uuid.UUID) error { return e.DeleteUser(t.Context(), id) }, auth.ErrInvalidTicket},
			"without a second factor": {func(t *testing.T, e *authtest.Engine, id uuid.UUID) error { return e.RemoveMFA(t.Context(), id) }, auth.ErrInvalidTicket},
			"signed out everywhere": {func(t *testing.T, e *authtest.Engine, id uuid.UUID) error {
				return e.SignOut(t.Context(), &auth.Principal{UserID: id}, auth.SignOutParams{All: true})
			}, auth.ErrInvalidTicket},
			"with a new password": {func(t *testing.T, e *authtest.Engine, _ uuid.UUID) error {
				return e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: resetTicket(t, e, "ada@example.com"), NewPassword: newPassword})
			}, auth.ErrInvalidTicket},
		} {
			e := authtest.New(t)
			s := e.SignUp(t, "ada@example.com")
			secret := e.EnrolTOTP(t, s)
			ticket := askedAgain(t, e, "ada@example.com")
			if err := c.change(t, e, s.User.ID); err != nil {
				t.Fatal(err)
			}
			if err := verifyMFA(e, ticket, nextCode(t, e, secret)); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("neither or both", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket, _ := challenged(t, e, "ada@example.com")
		for _, p := range []auth.VerifyMFAParams{{Ticket: ticket}, {Ticket: ticket, OTP: "123456", RecoveryCode: "x"}} {
			if _, err := e.VerifyMFA(t.Context(), p); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Error(err)
			}
		}
		off := replica(t, e, func(c *auth.Config) { c.MFA = nil })
		if err := verifyMFA(off, "mfaTotp:nothing", "123456"); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("where it is off: %v", err)
		}
	})
}

// MF-14, EO-16: guesses count for the account, over any number of tickets, wherever they come from.
func TestGuessesOfASecondFactorAreCounted(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Limits = auth.LimitsConfig{Off: true} })
	_, secret := challenged(t, e, "ada@example.com")
	e.Clock.Advance(time.Hour)
	code := authtest.TOTPCode(t, secret, e.Clock.Now())
	var looked atomic.Int64
	for range 5 {
		ticket := askedAgain(t, e, "ada@example.com")
		parallel(5, func() {
			switch err := verifyMFA(e, ticket, otherCode(code)); {
			case errors.Is(err, auth.ErrInvalidTOTP):
				looked.Add(1)
			case !errors.Is(err, auth.ErrTooManyRequests):
				t.Error(err)
			}
		})
	}
	if n := looked.Load(); n != 10 {
		t.Errorf("%d guesses", n)
	}
	if err := verifyMFA(e, askedAgain(t, e, "ada@example.com"), code); !errors.Is(err, auth.ErrTooManyRequests) {
		t.Errorf("%v", err)
	}
	e.Clock.Advance(time.Hour)
	if err := verifyMFA(e, askedAgain(t, e, "ada@example.com"), authtest.TOTPCode(t, secret, e.Clock.Now())); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

// MF-11: guesses of the code that turns a secret on are counted as well.
func TestGuessesAtAnEnrolmentAreCounted(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Limits = auth.LimitsConfig{Off: true} })
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	enrolment, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	code := authtest.TOTPCode(t, enrolment.Secret, e.Clock.Now())
	on := func(code string) error {
		return e.SetMFA(t.Context(), p, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: code})
	}
	for range 10 {
		if err := on(otherCode(code)); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Fatal(err)
		}
	}
	if err := on(code); !errors.Is(err, auth.ErrTooManyRequests) {
		t.Errorf("the right one: %v", err)
	}
}

// MF-15, MF-19: of fifty at once, with tickets enough, one code opens one session, and so does one recovery code.
func TestOneOfFiftySecondFactorsSucceeds(t *testing.T) {
	t.Parallel()
	for _, recovery := range []bool{false, true} {
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		secret := e.EnrolTOTP(t, s)
		codes, err := e.GenerateRecoveryCodes(t.Context(), e.Principal(t, s), auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)})
		if err != nil {
			t.Fatal(err)
		}
		tickets := make([]string, 50)
		for i := range tickets {
			ticket, text, err := auth.Issue(e.Engine, "mfaTotp", s.User.ID, map[string]any{"method": "password", "amr": []string{"pwd"}})
			if err != nil {
				t.Fatal(err)
			}
			ticket.Slot = fmt.Sprint(i)
			if err := e.Store.PutTicket(t.Context(), *ticket); err != nil {
				t.Fatal(err)
			}
			tickets[i] = text
		}
		p := auth.VerifyMFAParams{OTP: nextCode(t, e, secret)}
		if recovery {
			p = auth.VerifyMFAParams{RecoveryCode: codes[0]}
		}
		var ok atomic.Int64
		atOnce(len(tickets), func(i int) {
			p := p
			p.Ticket = tickets[i]
			switch _, err := e.VerifyMFA(background, p); {
			case err == nil:
				ok.Add(1)
			case !errors.Is(err, auth.ErrInvalidTOTP) && !errors.Is(err, auth.ErrInvalidTicket):
				t.Error(err)
			}
		})
		if ok.Load() != 1 {
			t.Errorf("recovery %t: %d of fifty", recovery, ok.Load())
		}
		// And one ticket opens one session.
		ok.Store(0)
		ticket := askedAgain(t, e, "ada@example.com")
		p = auth.VerifyMFAParams{OTP: nextCode(t, e, secret), Ticket: ticket}
		atOnce(5, func(int) {
			if _, err := e.VerifyMFA(background, p); err == nil {
				ok.Add(1)
			}
		})
		if ok.Load() != 1 {
			t.Errorf("%d sessions for one ticket", ok.Load())
		}
	}
}

// MF-07, MF-08, MF-09, MF-11, MF-22, MF-25, MF-26, W8.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := authtest.New(t, func(c *auth.Config) { c.MFA.Issuer = "Ada: & \"Co\"" })
	s := e.SignUp(t, "ada+x@example.com")
	p := e.Principal(t, s)
	on := func(code string) error {
		return e.SetMFA(ctx, p, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: code})
	}
	off := func(code string) error { return e.SetMFA(ctx, p, auth.SetMFAParams{Code: code}) }
	if err := on("123456"); !errors.Is(err, auth.ErrNoTOTPSecret) {
		t.Errorf("nothing generated: %v", err)
	}
	if err := off("123456"); !errors.Is(err, auth.ErrDisabledMFATOTP) {
		t.Errorf("nothing to turn off: %v", err)
	}
	if err := e.SetMFA(ctx, p, auth.SetMFAParams{Type: "sms", Code: "123456"}); !errors.Is(err, auth.ErrMFATypeNotFound) {
		t.Errorf("another kind: %v", err)
	}
	first, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	want := "otpauth://totp/Ada%3A%20&%20%22Co%22:ada+x@example.com?algorithm=SHA1&digits=6&issuer=Ada%3A%20%26%20%22Co%22&period=30&secret=" + first.Secret
	if first.URI != want || len(first.Secret) != 52 {
		t.Errorf("URI\n%s\n%s", first.URI, want)
	}
	if u, err := url.Parse(first.URI); err != nil || u.Query().Get("issuer") != "Ada: & \"Co\"" || u.Path != "/Ada: & \"Co\":ada+x@example.com" {
		t.Errorf("%v, %v", u, err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(first.ImageURL, "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	if picture, err := png.Decode(bytes.NewReader(raw)); err != nil || picture.Bounds().Dx() != 200 || picture.Bounds().Dy() != 200 {
		t.Errorf("%v", err)
	}
	second, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "000", authtest.TOTPCode(t, first.Secret, e.Clock.Now())} {
		if err := on(bad); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	e.Clock.Advance(11 * time.Minute)
	if err := on(authtest.TOTPCode(t, second.Secret, e.Clock.Now())); !errors.Is(err, auth.ErrElevationRequired) { // MF-08
		t.Errorf("eleven minutes later: %v", err)
	}
	old := p
	p = e.Principal(t, e.SignIn(t, "ada+x@example.com"))
	if err := on(authtest.TOTPCode(t, second.Secret, e.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	if l := e.Mailbox.Last(t, "ada+x@example.com"); l.Template != "mfa-enabled" {
		t.Errorf("letter %s", l.Template)
	}
	if err := on(nextCode(t, e, second.Secret)); !errors.Is(err, auth.ErrTOTPAlreadyActive) {
		t.Errorf("twice: %v", err)
	}
	u, err := e.User(ctx, p)
	if err != nil || u.ActiveMFAType == nil || *u.ActiveMFAType != "totp" || strings.Contains(asJSON(u), second.Secret) { // MF-23
		t.Errorf("%s, %v", asJSON(u), err)
	}

	// MF-07, W8: while it is on, another secret needs a code of this one, and changes nothing before it is confirmed.
	if _, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("without a code: %v", err)
	}
	if _, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{Code: otherCode(nextCode(t, e, second.Secret))}); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("with a wrong code: %v", err)
	}
	third, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{Code: nextCode(t, e, second.Secret)})
	if err != nil {
		t.Fatal(err)
	}
	if err := off(nextCode(t, e, third.Secret)); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("off with the secret that is not on: %v", err)
	}
	if err := verifyMFA(e, askedAgain(t, e, "ada+x@example.com"), nextCode(t, e, second.Secret)); err != nil {
		t.Errorf("the one that is on: %v", err)
	}
	if err := on(nextCode(t, e, third.Secret)); err != nil {
		t.Errorf("the other is confirmed: %v", err)
	}
	if err := verifyMFA(e, askedAgain(t, e, "ada+x@example.com"), nextCode(t, e, second.Secret)); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("the old one: %v", err)
	}

	// MF-09, MF-22: turning it off needs a code, and to have signed in just now.
	for _, bad := range []string{"", otherCode(nextCode(t, e, third.Secret))} {
		if err := off(bad); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("off with %q: %v", bad, err)
		}
	}
	if err := e.SetMFA(ctx, old, auth.SetMFAParams{Code: nextCode(t, e, third.Secret)}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("off by a session from before: %v", err)
	}
	if err := off(nextCode(t, e, third.Secret)); err != nil {
		t.Fatal(err)
	}
	if l := e.Mailbox.Last(t, "ada+x@example.com"); l.Template != "mfa-disabled" {
		t.Errorf("letter %s", l.Template)
	}
	if in, err := signIn(t, e, "ada+x@example.com", authtest.Password); err != nil || in.Session == nil {
		t.Errorf("afterwards: %v", err)
	}

	g := e.Principal(t, guest(t, e)) // MF-26
	if _, err := e.GenerateTOTP(ctx, g, auth.GenerateTOTPParams{}); !errors.Is(err, auth.ErrForbiddenAnonymous) {
		t.Errorf("a guest: %v", err)
	}
	if err := e.SetMFA(ctx, g, auth.SetMFAParams{Type: "totp", Code: "123456"}); !errors.Is(err, auth.ErrForbiddenAnonymous) {
		t.Errorf("a guest: %v", err)
	}
	no := replica(t, e, func(c *auth.Config) { c.MFA = nil })
	if _, err := no.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("where it is off: %v", err)
	}
	if err := no.SetMFA(ctx, p, auth.SetMFAParams{Type: "totp", Code: "123456"}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("where it is off: %v", err)
	}
}

// An app shows whose secret it has: by the address, or the number without one, or the name without either.
func TestWhoseSecretAnAppHas(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	both, change := e.SignUp(t, "ada@example.com"), textings()[1]
	p := e.Principal(t, both)
	if err := change.redeem(e, p, adaPhone, change.code(t, e, p, adaPhone)); err != nil {
		t.Fatal(err)
	}
	number := signUpByPhone(t, e, bobPhone)
	none, name := "", "Ada L."
	for _, s := range []*auth.Session{both, number} {
		if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{DisplayName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	nameless, named := signUpByPhone(t, e, "+41791234569"), signUpByPhone(t, e, "+41791234570")
	for id, shown := range map[uuid.UUID]string{nameless.User.ID: "", named.User.ID: name} {
		_, err := e.Store.ChangeUser(t.Context(), store.UserChange{
			UserID: id, Now: e.Clock.Now(), Set: store.UserSet{Phone: &none, DisplayName: &shown},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for want, s := range map[string]*auth.Session{
		"ada@example.com": both, bobPhone: number, name: named, nameless.User.ID.String(): nameless,
	} {
		made, err := e.GenerateTOTP(t.Context(), e.Principal(t, s), auth.GenerateTOTPParams{})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(made.URI)
		if err != nil || u.Path != "/app.test:"+want {
			t.Errorf("%s is shown as %v, %v", want, u, err)
		}
	}
}

// MF-18: who has a second factor can end it where enrolment is off.
func TestASecondFactorEndsWhereEnrolmentIsOff(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	ticket, secret := challenged(t, e, "ada@example.com")
	off := replica(t, e, func(c *auth.Config) { c.MFA = nil })
	in, err := off.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: ticket, OTP: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	if err := off.SetMFA(t.Context(), e.Principal(t, in.Session), auth.SetMFAParams{Code: nextCode(t, e, secret)}); err != nil {
		t.Error(err)
	}
}

// MF-19: recovery codes.
func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	if _, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{}); !errors.Is(err, auth.ErrDisabledMFATOTP) {
		t.Errorf("without a second factor: %v", err)
	}
	secret := e.EnrolTOTP(t, s)
	// MF-09, MF-22: a session of one factor makes none: with one of them it could turn the second factor off.
	if _, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("without a code: %v", err)
	}
	if _, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: otherCode(nextCode(t, e, secret))}); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("with a wrong code: %v", err)
	}
	first, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	codes, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "recovery-codes-renewed" || strings.Contains(l.Text+l.HTML, codes[0]) {
		t.Errorf("letter %s: %s", l.Template, l.Text)
	}
	seen := map[string]bool{}
	for _, c := range codes {
		if seen[c] = true; len(c) != 19 || strings.Trim(c, "abcdefghijklmnopqrstuvwxyz234567-") != "" {
			t.Errorf("code %q", c)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d codes", len(seen))
	}
	use := func(email, code string) error {
		_, err := e.VerifyMFA(ctx, auth.VerifyMFAParams{Ticket: askedAgain(t, e, email), RecoveryCode: code})
		return err
	}
	left := func(want int) {
		t.Helper()
		if m, err := e.MFA(ctx, p); err != nil || !m.TOTP || m.RecoveryCodes != want {
			t.Errorf("%+v, %v; want %d left", m, err, want)
		}
	}
	left(10)
	for _, bad := range []string{first[0], "x", strings.Repeat("a", 16), codes[0][:18]} {
		if err := use("ada@example.com", bad); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	e.Mailbox.Refuse(errors.New("down"))
	if err := use("ada@example.com", codes[5]); err != nil {
		t.Fatal(err)
	}
	e.Mailbox.Refuse(nil)
	if n := countMessages(t, e); n != 1 {
		t.Errorf("%d letters wait", n)
	}
	left(9)
	if err := use("ada@example.com", codes[0]); err != nil {
		t.Fatal(err)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "recovery-code-used" || l.Variables["left"] != "8" {
		t.Errorf("letter %s, %v", l.Template, l.Variables)
	}
	left(8)
	if err := use("ada@example.com", codes[0]); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("again: %v", err)
	}
	if err := use("ada@example.com", strings.ToUpper(strings.ReplaceAll(codes[1], "-", " "))); err != nil {
		t.Errorf("in another spelling: %v", err)
	}
	challenged(t, e, "bob@example.com")
	if err := use("bob@example.com", codes[2]); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("another's: %v", err)
	}
	for _, both := range []auth.SetMFAParams{{Code: "123456", RecoveryCode: codes[3]}, {Type: "totp", RecoveryCode: codes[3]}} {
		if err := e.SetMFA(ctx, p, both); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%+v: %v", both.Type, err)
		}
	}
	if err := e.SetMFA(ctx, p, auth.SetMFAParams{RecoveryCode: codes[3]}); err != nil {
		t.Errorf("to turn it off: %v", err)
	}
	a, err := e.Store.User(ctx, store.UserQuery{ID: s.User.ID, Now: e.Clock.Now()})
	if err != nil || len(a.TOTPSecret)+len(a.TOTPPending)+len(a.RecoveryCodes) != 0 {
		t.Errorf("%v and %d recovery codes left, %v", a.TOTPSecret, len(a.RecoveryCodes), err)
	}
	if m, err := e.MFA(ctx, p); err != nil || m.TOTP || m.RecoveryCodes != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	e.Clock.Advance(30 * time.Second)
	secret = e.EnrolTOTP(t, e.SignIn(t, "ada@example.com"))
	if err := use("ada@example.com", codes[4]); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("of the second factor before: %v", err)
	}
	e.Clock.Advance(11 * time.Minute)
	if _, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("eleven minutes later: %v", err)
	}
	if _, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("eleven minutes later, with a code: %v", err)
	}
	if _, err := e.GenerateRecoveryCodes(ctx, nil, auth.GenerateRecoveryCodesParams{}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
}

// A second factor passes to the engine's new secret when it is used, wherever that is, and is then independent of the old one.
func TestASecondFactorPassesToTheNewSecret(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	oldSecret, newSecret := auth.Secret(strings.Repeat("o", 32)), auth.Secret(strings.Repeat("n", 32))
	for name, use := range map[string]func(t *testing.T, e *authtest.Engine, p *auth.Principal, secret string) error{
		"a sign-in": func(t *testing.T, e *authtest.Engine, _ *auth.Principal, secret string) error {
			return verifyMFA(e, askedAgain(t, e, "ada@example.com"), nextCode(t, e, secret))
		},
		"a step-up": func(t *testing.T, e *authtest.Engine, p *auth.Principal, secret string) error {
			_, err := e.VerifyElevation(ctx, p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)})
			return err
		},
		"the beginning of another": func(t *testing.T, e *authtest.Engine, p *auth.Principal, secret string) error {
			_, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{Code: nextCode(t, e, secret)})
			return err
		},
		"new recovery codes": func(t *testing.T, e *authtest.Engine, p *auth.Principal, secret string) error {
			_, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)})
			return err
		},
		"an enrolment that began before": nil,
		"nothing":                        nil,
		"a wrong code": func(t *testing.T, e *authtest.Engine, _ *auth.Principal, secret string) error {
			if err := verifyMFA(e, askedAgain(t, e, "ada@example.com"), otherCode(nextCode(t, e, secret))); !errors.Is(err, auth.ErrInvalidTOTP) {
				return fmt.Errorf("%w: it was taken", err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := authtest.New(t, func(c *auth.Config) { c.Secret = oldSecret })
			during := replica(t, before, func(c *auth.Config) { c.Secret, c.PreviousSecrets = newSecret, []auth.Secret{oldSecret} })
			after := replica(t, before, func(c *auth.Config) { c.Secret = newSecret })
			during.Clock, after.Clock = before.Clock, before.Clock
			s := before.SignUp(t, "ada@example.com")
			var secret string
			if name == "an enrolment that began before" {
				enrolment, err := before.GenerateTOTP(ctx, before.Principal(t, s), auth.GenerateTOTPParams{})
				if err != nil {
					t.Fatal(err)
				}
				secret = enrolment.Secret
				err = during.SetMFA(ctx, before.Principal(t, s), auth.SetMFAParams{Type: "totp", Code: nextCode(t, before, secret)})
				if err != nil {
					t.Fatal(err)
				}
			} else {
				secret = before.EnrolTOTP(t, s)
			}
			if use != nil {
				if err := use(t, during, before.Principal(t, s), secret); err != nil {
					t.Fatal(err)
				}
			}
			want := error(nil)
			if name == "nothing" || name == "a wrong code" {
				want = auth.ErrInternal
			}
			if err := verifyMFA(after, askedAgain(t, after, "ada@example.com"), nextCode(t, after, secret)); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("under the new secret alone: %v", err)
			}
		})
	}
}

// What passes to the new secret is not what has been turned off or replaced at the same moment.
func TestARenewedSecretDoesNotComeBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	oldSecret, newSecret := auth.Secret(strings.Repeat("o", 32)), auth.Secret(strings.Repeat("n", 32))
	before := interruptible(t, func(c *auth.Config) { c.Secret = oldSecret })
	during := replica(t, before.Engine, func(c *auth.Config) { c.Secret, c.PreviousSecrets = newSecret, []auth.Secret{oldSecret} })
	s := before.SignUp(t, "ada@example.com")
	p := before.Principal(t, s)
	secret := before.EnrolTOTP(t, s)
	codes, err := before.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, before.Engine, secret)})
	if err != nil {
		t.Fatal(err)
	}
	code := nextCode(t, before.Engine, secret)
	before.arm(func() {
		if err := during.SetMFA(background, p, auth.SetMFAParams{RecoveryCode: codes[0]}); err != nil {
			t.Error(err)
		}
	})
	if _, err := during.VerifyElevation(ctx, p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: code}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("%v", err)
	}
	if m, err := during.MFA(ctx, p); err != nil || m.TOTP {
		t.Errorf("%+v, %v", m, err)
	}
	// Nor does turning it off with a code of it keep it.
	secret = before.EnrolTOTP(t, before.SignIn(t, "ada@example.com"))
	if err := during.SetMFA(ctx, p, auth.SetMFAParams{Code: nextCode(t, before.Engine, secret)}); err != nil {
		t.Error(err)
	}
	if m, err := during.MFA(ctx, p); err != nil || m.TOTP {
		t.Errorf("%+v, %v", m, err)
	}
}

// MF-14: whoever knows the password can use up the guesses, in the hour and in the long run. A recovery code is taken all the
// same, and ends the count for the codes of the app.
func TestARecoveryCodeEndsTheCountOfGuesses(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]auth.LimitsConfig{
		"in the hour": {Off: true, GuessesPerAccountLong: limit.Rate{Burst: 1000, Per: time.Hour}},
		"in the long run": {
			Off:                   true,
			GuessesPerAccount:     limit.Rate{Burst: 1000, Per: time.Hour},
			GuessesPerAccountLong: limit.Rate{Burst: 5, Per: 30 * 24 * time.Hour},
		},
	} {
		e := authtest.New(t, func(c *auth.Config) { c.Limits = limits })
		s := e.SignUp(t, "ada@example.com")
		secret := e.EnrolTOTP(t, s)
		codes, err := e.GenerateRecoveryCodes(t.Context(), e.Principal(t, s), auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)})
		if err != nil {
			t.Fatal(err)
		}
		guess := func(code string) error { return verifyMFA(e, askedAgain(t, e, "ada@example.com"), code) }
		code := nextCode(t, e, secret)
		for range 10 {
			_ = guess(otherCode(code))
		}
		if err := guess(code); !errors.Is(err, auth.ErrTooManyRequests) {
			t.Errorf("%s, the right one: %v", name, err)
		}
		// Who is signed in is not kept from stepping up by it.
		_, err = e.VerifyElevation(t.Context(), e.Principal(t, s), auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: otherCode(code)})
		if !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("%s, a step-up: %v", name, err)
		}
		// Nor is anybody else.
		bob, bobs := challenged(t, e, "bob@example.com")
		if err := verifyMFA(e, bob, nextCode(t, e, bobs)); err != nil {
			t.Errorf("%s, another user: %v", name, err)
		}
		code = authtest.TOTPCode(t, secret, e.Clock.Now())
		recover := func(code string) error {
			_, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: askedAgain(t, e, "ada@example.com"), RecoveryCode: code})
			return err
		}
		if err := recover(strings.Repeat("a", 16)); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("%s, a wrong recovery code: %v", name, err)
		}
		if err := guess(code); !errors.Is(err, auth.ErrTooManyRequests) {
			t.Errorf("%s, after a wrong recovery code: %v", name, err)
		}
		if err := recover(codes[0]); err != nil {
			t.Errorf("%s, a recovery code: %v", name, err)
		}
		if err := guess(code); err != nil {
			t.Errorf("%s, after it: %v", name, err)
		}
	}
}

// MF-03, PH-03: an address that the service takes for unproven is proven by its verification link, which asks for the second
// factor, or by another letter, which as a first proof leaves nothing of what was set before.
func TestProvingAnAddressOnceMore(t *testing.T) {
	t.Parallel()
	no := false
	for name, c := range map[string]struct {
		mailing mailing
		asked   bool
	}{"the verification link": {mailings[3], true}, "a reset link": {mailings[2], false}} {
		e := authtest.New(t, letters)
		s := e.SignUp(t, "v@example.com")
		e.EnrolTOTP(t, s)
		if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{EmailVerified: &no}); err != nil {
			t.Fatal(err)
		}
		if err := c.mailing.send(e, "v@example.com", ""); err != nil {
			t.Fatal(err)
		}
		v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "v@example.com").Ticket()})
		if err != nil || (v.MFA != nil) != c.asked || (v.Session != nil) == c.asked {
			t.Fatalf("%s: %+v, %v", name, v, err)
		}
		if _, err := signIn(t, e, "v@example.com", authtest.Password); errors.Is(err, auth.ErrInvalidEmailPassword) == c.asked {
			t.Errorf("%s: the password: %v", name, err)
		}
	}
}

// MF-24: what the service takes away.
func TestRemoveMFA(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	if err := e.RemoveMFA(t.Context(), s.User.ID); !errors.Is(err, auth.ErrDisabledMFATOTP) {
		t.Error(err)
	}
	secret, p := e.EnrolTOTP(t, s), e.Principal(t, s)
	if _, err := e.GenerateRecoveryCodes(t.Context(), p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{Code: nextCode(t, e, secret)}); err != nil {
		t.Fatal(err)
	}
	if err := e.RemoveMFA(t.Context(), s.User.ID); err != nil {
		t.Fatal(err)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: s.User.ID, Now: e.Clock.Now()})
	if err != nil || len(a.TOTPSecret)+len(a.TOTPPending)+len(a.RecoveryCodes) != 0 {
		t.Errorf("%v, %v and %d recovery codes left, %v", a.TOTPSecret, a.TOTPPending, len(a.RecoveryCodes), err)
	}
	if _, err := refresh(t, e, s.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Error(err)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "mfa-disabled" {
		t.Errorf("letter %s", l.Template)
	}
	e.SignIn(t, "ada@example.com")
	if err := e.RemoveMFA(t.Context(), uuid.New()); !errors.Is(err, auth.ErrNotFound) {
		t.Error(err)
	}
}

// MF-28, ST-13: a store that fails while a second factor is looked for is no user without one.
func TestAFaultIsNoMissingSecondFactor(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	challenged(t, e, "ada@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if in, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password}); err == nil && in.Session != nil {
		t.Error("a session")
	}
}

// MF-17: the vectors of RFC 6238, appendix B, cut to six digits, against the engine: the secret is put where the engine keeps
// its own.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // "12345678901234567890"
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := authtest.TOTPCode(t, secret, time.Unix(at, 0)); got != want {
			t.Errorf("authtest at %d: %s, not %s", at, got, want)
		}
		got, err := auth.CodeAt([]byte("12345678901234567890"), at/30)
		if err != nil || got != want {
			t.Errorf("at %d: %s, %v, not %s", at, got, err, want)
		}
	}
}

// Of a user with a second factor a step-up is demanded before a key is added, also of one who has just signed in; and an issuer
// that no app could show is a mistake.
func TestASecondFactorProtectsTheFirstKey(t *testing.T) {
	t.Parallel()
	for _, mode := range []auth.ElevationMode{auth.ElevationRecommended, auth.ElevationRequired} {
		e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = mode })
		s := e.SignUp(t, "ada@example.com")
		p := e.Principal(t, s)
		secret := e.EnrolTOTP(t, s)
		if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s: %v", mode, err)
		}
		up, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)})
		if err != nil {
			t.Fatal(err)
		}
		addKey(t, e, e.Principal(t, up), &authtest.Authenticator{})
	}
	// Also where the factor has come since the beginning.
	e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRecommended })
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	options, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	e.EnrolTOTP(t, s)
	credential := (&authtest.Authenticator{}).Create(t, options)
	if _, err := e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: credential}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("a factor that has come since: %v", err)
	}
	authtest.New(t, func(c *auth.Config) { c.MFA.Issuer = strings.Repeat("x", 64) })
	for _, issuer := range []string{strings.Repeat("x", 65), "a\nb"} {
		c := validConfig()
		c.MFA = &auth.MFAConfig{Issuer: issuer}
		if _, err := auth.New(nil, c); err == nil || !strings.Contains(err.Error(), "MFA.Issuer") {
			t.Errorf("%.10q: %v", issuer, err)
		}
	}
}

// PH-03: whoever proves an address first is not asked for the second factor of who had named it.
func TestTheFirstProofAsksForNobodyElsesSecondFactor(t *testing.T) {
	t.Parallel()
	for _, m := range mailings[:3] {
		e := authtest.New(t, letters, unverified)
		in, err := signUp(t, e, "v@example.com", authtest.Password, auth.SignUpOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e.EnrolTOTP(t, in.Session)
		if s, err := m.redeemAfterSending(t, e); err != nil || s == nil || s.User.ActiveMFAType != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// MF-04, MF-22, EL-10: a session of one factor makes nothing that stands for two, and replaces no second factor, in any mode.
func TestASessionOfOneFactorStaysOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, mode := range modes {
		e := authtest.New(t, letters, func(c *auth.Config) {
			c.Elevation.Mode = mode
			c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByPassword} // and not the app
		})
		s := e.SignUp(t, "ada@example.com")
		before := e.Principal(t, s)
		up, err := e.VerifyElevation(ctx, before, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password})
		if err != nil {
			t.Fatal(err)
		}
		elevated := e.Principal(t, up)
		key := &authtest.Authenticator{}
		begun, err := e.AddSecurityKey(ctx, elevated)
		if err != nil {
			t.Fatal(err)
		}
		secret := e.EnrolTOTP(t, s)
		for name, try := range map[string]func(p *auth.Principal) error{
			"a token": func(p *auth.Principal) error {
				_, err := e.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
				return err
			},
			"a key": func(p *auth.Principal) error { _, err := e.AddSecurityKey(ctx, p); return err },
			"a key that was begun before": func(p *auth.Principal) error {
				_, err := e.VerifyAddSecurityKey(ctx, p, auth.VerifyAddSecurityKeyParams{Credential: key.Create(t, begun)})
				if errors.Is(err, auth.ErrInvalidRequest) { // its one try
					err = auth.ErrElevationRequired
				}
				return err
			},
			"another secret": func(p *auth.Principal) error { _, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{}); return err },
			"recovery codes": func(p *auth.Principal) error {
				_, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{})
				return err
			},
			"a step-up by password": func(p *auth.Principal) error {
				_, err := e.VerifyElevation(ctx, p, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password})
				if errors.Is(err, auth.ErrInvalidRequest) {
					err = auth.ErrElevationRequired
				}
				return err
			},
		} {
			for who, p := range map[string]*auth.Principal{"a session": before, "a step-up by password from before": elevated} {
				if err := try(p); !errors.Is(err, auth.ErrElevationRequired) {
					t.Errorf("%s, %s makes %s: %v", mode, who, name, err)
				}
			}
		}
		// Who has just shown both can do it, and replace an app that is lost, having come in by a recovery code.
		codes, err := e.GenerateRecoveryCodes(ctx, before, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, secret)})
		if err != nil {
			t.Fatal(err)
		}
		in, err := e.VerifyMFA(ctx, auth.VerifyMFAParams{Ticket: askedAgain(t, e, "ada@example.com"), RecoveryCode: codes[0]})
		if err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, in.Session)
		if _, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{}); mode != auth.ElevationRequired && err != nil {
			t.Errorf("%s, another app: %v", mode, err)
		}
		if _, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{}); mode != auth.ElevationRequired && err != nil {
			t.Errorf("%s, recovery codes: %v", mode, err)
		}
		if mode == auth.ElevationDisabled {
			if _, err := e.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)}); err != nil {
				t.Errorf("a token: %v", err)
			}
		}
	}
}

// MF-07: with a code of the app that has been replaced at this moment, the other one is not turned off, and no recovery codes are
// made for it.
func TestAnAppIsReplacedBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(e *authtest.Engine, p *auth.Principal, code string) error{
		"to turn it off": func(e *authtest.Engine, p *auth.Principal, code string) error {
			return e.SetMFA(background, p, auth.SetMFAParams{Code: code})
		},
		"for recovery codes": func(e *authtest.Engine, p *auth.Principal, code string) error {
			_, err := e.GenerateRecoveryCodes(background, p, auth.GenerateRecoveryCodesParams{Code: code})
			return err
		},
	} {
		e := interruptible(t)
		s := e.SignUp(t, "ada@example.com")
		p := e.Principal(t, s)
		old := e.EnrolTOTP(t, s)
		enrolment, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{Code: nextCode(t, e.Engine, old)})
		if err != nil {
			t.Fatal(err)
		}
		code := nextCode(t, e.Engine, enrolment.Secret)
		later := authtest.TOTPCode(t, old, e.Clock.Now().Add(30*time.Second))
		e.arm(func() {
			if err := e.SetMFA(background, p, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: code}); err != nil {
				t.Error(err)
			}
		})
		if err := use(e.Engine, p, later); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
		if m, err := e.MFA(t.Context(), p); err != nil || !m.TOTP || m.RecoveryCodes != 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// MF-15: of two who give the code of one ticket at the same moment, the second is told that it is used.
func TestATicketIsUsedBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	ticket, secret := challenged(t, e.Engine, "ada@example.com")
	code := nextCode(t, e.Engine, secret)
	e.arm(func() {
		if err := verifyMFA(e.Engine, ticket, code); err != nil {
			t.Error(err)
		}
	})
	if err := verifyMFA(e.Engine, ticket, code); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("%v", err)
	}
	if failed, refused := e.Events.Of(auth.EventSignInFailed), e.Events.Of(auth.EventTicketRefused); len(failed) != 0 || len(refused) != 1 {
		t.Errorf("recorded: %+v, %+v", failed, refused)
	}
}

// A code that another sign-in uses between the look and the change is used: neither it nor a recovery code brings in two.
func TestASecondFactorIsUsedBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	s := e.SignUp(t, "ada@example.com")
	secret := e.EnrolTOTP(t, s)
	codes, err := e.GenerateRecoveryCodes(t.Context(), e.Principal(t, s), auth.GenerateRecoveryCodesParams{Code: nextCode(t, e.Engine, secret)})
	if err != nil {
		t.Fatal(err)
	}
	for name, params := range map[string]auth.VerifyMFAParams{
		"a code": {OTP: nextCode(t, e.Engine, secret)}, "a recovery code": {RecoveryCode: codes[0]},
	} {
		first, second := params, params
		first.Ticket, second.Ticket = askedAgain(t, e.Engine, "ada@example.com"), askedAgain(t, e.Engine, "ada@example.com")
		e.arm(func() {
			if _, err := e.VerifyMFA(background, first); err != nil {
				t.Error(err)
			}
		})
		used := len(e.Events.Of(auth.EventRecoveryCodeUsed))
		before := len(e.Events.Of(auth.EventSignInFailed))
		if _, err := e.VerifyMFA(background, second); !errors.Is(err, auth.ErrInvalidTOTP) {
			t.Errorf("%s: %v", name, err)
		}
		failed := e.Events.Of(auth.EventSignInFailed)[before:]
		if len(failed) != 1 || failed[0].UserID != s.User.ID || failed[0].Method != "password" || failed[0].Code != auth.CodeInvalidTOTP {
			t.Errorf("%s: recorded: %+v", name, failed)
		}
		if n := len(e.Events.Of(auth.EventRecoveryCodeUsed)) - used; (n == 1) != (params.RecoveryCode != "") {
			t.Errorf("%s: %d recovery codes recorded as used", name, n)
		}
	}
}

// The service takes the second factor of a disabled user away as of any other.
func TestRemoveMFAOfADisabledUser(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s, yes := e.SignUp(t, "ada@example.com"), true
	e.EnrolTOTP(t, s)
	if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := e.RemoveMFA(t.Context(), s.User.ID); err != nil {
		t.Error(err)
	}
}

// Whoever has looked at an account before a second factor was turned on comes too late.
func TestActivationBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(e *authtest.Engine, p *auth.Principal) error{
		"another secret": func(e *authtest.Engine, p *auth.Principal) error {
			_, err := e.GenerateTOTP(background, p, auth.GenerateTOTPParams{})
			return err
		},
		"a token": func(e *authtest.Engine, p *auth.Principal) error {
			_, err := e.CreatePAT(background, p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
			return err
		},
		"a sign-in": func(e *authtest.Engine, _ *auth.Principal) error {
			in, err := e.SignInPassword(background, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
			if err == nil && in.Session == nil {
				err = auth.ErrInvalidRequest // it was asked for the second factor
			}
			return err
		},
	} {
		e := interruptible(t)
		s := e.SignUp(t, "ada@example.com")
		p := e.Principal(t, s)
		enrolment, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{})
		if err != nil {
			t.Fatal(err)
		}
		e.arm(func() {
			err := e.SetMFA(background, p, auth.SetMFAParams{Type: "totp", Code: authtest.TOTPCode(t, enrolment.Secret, e.Clock.Now())})
			if err != nil {
				t.Error(err)
			}
		})
		if err := late(e.Engine, p); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key whose addition began before there was a second factor is not added after, however close.
func TestActivationWhileAKeyIsAdded(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	enrolment, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	adding, err := e.AddSecurityKey(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	credential := (&authtest.Authenticator{}).Create(t, adding)
	e.arm(func() {
		err := e.SetMFA(background, p, auth.SetMFAParams{Type: "totp", Code: authtest.TOTPCode(t, enrolment.Secret, e.Clock.Now())})
		if err != nil {
			t.Error(err)
		}
	})
	_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: credential})
	if !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("%v", err)
	}
}
