package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
)

// limited turns limits on, at their defaults.
func limited(c *auth.Config) { c.Limits = auth.LimitsConfig{} }

// retryAfter is when an error says to come back.
func retryAfter(err error) time.Duration {
	var known *auth.Error
	if !errors.As(err, &known) {
		return -1
	}
	return known.RetryAfter
}

// EO-02, EO-03, EO-16, SM-01, W14: guesses are counted for the address or the number, not for the code. Another code brings
// no further ones, nor does any number of clients.
func TestGuessesAreCountedForTheAccount(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known %t", known), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, limited, func(c *auth.Config) { c.Limits.EmailsPerAddress = limit.Rate{Burst: 1000, Per: time.Hour} })
			if known {
				e.SignUp(t, "ada@example.com")
			}
			code := "000000"
			ask := func() {
				t.Helper()
				if !known {
					return
				}
				if err := e.SendEmailOTP(background, auth.SendEmailOTPParams{Email: "ada@example.com"}); err != nil {
					t.Fatal(err)
				}
				code = e.Mailbox.Last(t, "ada@example.com").Ticket()
			}
			guess := func(code string) error {
				_, err := e.VerifyEmailOTP(background, auth.VerifyEmailOTPParams{Email: "Ada@Example.com", OTP: code})
				return err
			}
			for range 5 { // EO-02: four wrong, another code, four wrong, …
				ask()
				for range 2 {
					if err := guess(otherCode(code)); !errors.Is(err, auth.ErrInvalidTicket) {
						t.Fatal(err)
					}
				}
			}
			ask()
			err := guess(code)
			if !errors.Is(err, auth.ErrTooManyRequests) || retryAfter(err) != 6*time.Minute {
				t.Errorf("the eleventh guess: %v, after %v", err, retryAfter(err))
			}
			if limits := e.Events.Of(auth.EventLimited); len(limits) != 1 || limits[0].Detail != "guesses-account" {
				t.Errorf("%+v", limits)
			}
			// EO-03: in the long run there are fewer still. Fifty, and as many again over a month, are all that anybody has.
			if !known {
				return // where there is no code, there is nothing to guess
			}
			wrong := 10
			for range 30 * 24 {
				e.Clock.Advance(time.Hour)
				ask()
				switch err := guess(otherCode(code)); {
				case errors.Is(err, auth.ErrInvalidTicket):
					wrong++
				case !errors.Is(err, auth.ErrTooManyRequests):
					t.Fatal(err)
				}
			}
			if wrong > 100 { // NIST SP 800-63B-4 §3.2.2
				t.Errorf("%d guesses in a month", wrong)
			}
			e.SignIn(t, "ada@example.com") // another way in is open
		})
	}
}

// A right code ends the count of the hour, so that who errs now and then is never locked out.
func TestARightCodeEndsTheCount(t *testing.T) {
	t.Parallel()
	for _, x := range textings()[:2] {
		e := authtest.New(t, limited, func(c *auth.Config) { c.Limits.SMSPerNumber = limit.Rate{Burst: 1000, Per: time.Hour} })
		p := x.who(t, e, "ada")
		for i := range 12 {
			number := adaPhone
			if p != nil && i%2 == 1 { // there and back
				number = bobPhone
			}
			code := x.code(t, e, p, number)
			for range 4 {
				if err := x.redeem(e, p, number, otherCode(code)); !errors.Is(err, auth.ErrInvalidRequest) {
					t.Fatalf("%s: %v", x.name, err)
				}
			}
			if err := x.redeem(e, p, number, code); err != nil {
				t.Fatalf("%s, round %d: %v", x.name, i, err)
			}
		}
	}
}

// SM-01, SM-03: for codes in text messages as well, however the number is spelt, and of many guesses at once no more are
// looked at than the budget has.
func TestTextedGuessesAreCountedForTheNumber(t *testing.T) {
	t.Parallel()
	for _, x := range textings() {
		for _, provider := range []bool{false, true} {
			e := withProvider(t, provider, limited, func(c *auth.Config) {
				c.Limits.SMSPerNumber = limit.Rate{Burst: 1000, Per: time.Hour}
				c.SMS.Tries = 10
			})
			p := x.who(t, e, "ada")
			var looked atomic.Int64
			for range 3 {
				code := x.code(t, e, p, adaPhone)
				parallel(20, func() {
					switch err := x.redeem(e, p, "+41 79 123 45 67", otherCode(code)); {
					case errors.Is(err, auth.ErrInvalidRequest):
						looked.Add(1)
					case !errors.Is(err, auth.ErrTooManyRequests):
						t.Error(err)
					}
				})
			}
			if n := looked.Load(); n != 10 {
				t.Errorf("%s: %d guesses", x.name, n)
			}
			if err := x.redeem(e, p, adaPhone, x.code(t, e, p, adaPhone)); !errors.Is(err, auth.ErrTooManyRequests) {
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
}

// What anybody can have sent to an address or a number has a budget, one for all ways to ask, whoever it belongs to.
func TestMessagesToOneRecipientAreLimited(t *testing.T) {
	t.Parallel()
	ways := map[string]func(t *testing.T, e *authtest.Engine, email string) error{
		"a change of address": func(t *testing.T, e *authtest.Engine, email string) error {
			return e.ChangeEmail(background, e.Principal(t, e.SignIn(t, "mover@example.com")), auth.ChangeEmailParams{NewEmail: email})
		},
		"a sign-up": func(t *testing.T, e *authtest.Engine, email string) error {
			_, err := signUp(t, e, email, authtest.Password, auth.SignUpOptions{})
			return err
		},
		"a sign-up with a key": func(t *testing.T, e *authtest.Engine, email string) error {
			_, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, email)))
			return err
		},
		"a guest who stays": func(t *testing.T, e *authtest.Engine, email string) error {
			err := e.Deanonymize(background, e.Principal(t, guest(t, e)), auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless, Email: email})
			if errors.Is(err, auth.ErrInvalidRequest) { // the address is taken, which concealment hides
				err = nil
			}
			return err
		},
	}
	for _, m := range mailings {
		ways[m.name] = func(_ *testing.T, e *authtest.Engine, email string) error {
			return m.send(e, strings.ToUpper(email), "")
		}
	}
	for name, ask := range ways {
		for _, known := range []bool{true, false} {
			e := authtest.New(t, letters, limited, func(c *auth.Config) { c.ConcealErrors = true })
			e.SignUp(t, "mover@example.com")
			email := "nobody@example.com"
			if known {
				email = "ada@example.com"
				e.SignUp(t, email)
				e.Clock.Advance(time.Hour) // that took a letter
			}
			if err := ask(t, e, email); err != nil {
				t.Fatalf("%s, known %t: %v", name, known, err)
			}
			for i := range 9 {
				if err := mailings[0].send(e, email, ""); err != nil {
					t.Fatalf("%s, known %t: letter %d: %v", name, known, i+2, err)
				}
			}
			if err := mailings[0].send(e, email, ""); !errors.Is(err, auth.ErrTooManyRequests) {
				t.Errorf("%s, known %t, takes no letter from the budget: %v", name, known, err)
			}
			if err := ask(t, e, email); !errors.Is(err, auth.ErrTooManyRequests) || retryAfter(err) != 6*time.Minute {
				t.Errorf("%s, known %t: %v, after %v", name, known, err, retryAfter(err))
			}
			if err := mailings[0].send(e, "another@example.com", ""); err != nil {
				t.Errorf("another address: %v", err)
			}
			e.Clock.Advance(6 * time.Minute)
			if err := ask(t, e, email); err != nil {
				t.Errorf("%s, known %t, later: %v", name, known, err)
			}
		}
	}
	e := authtest.New(t, limited)
	mover, guests := e.Principal(t, e.SignUp(t, "mover@example.com")), e.Principal(t, guest(t, e))
	who := []*auth.Principal{nil, mover, guests}
	for i := range 5 {
		if err := textings()[i%3].send(e, who[i%3], adaPhone); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range textings() {
		if err := x.send(e, who[i], "+41 (79) 123 45 67"); !errors.Is(err, auth.ErrTooManyRequests) || retryAfter(err) != 12*time.Minute {
			t.Errorf("%s: %v, after %v", x.name, err, retryAfter(err))
		}
	}
	if err := textings()[0].send(e, nil, bobPhone); err != nil {
		t.Errorf("another number: %v", err)
	}
}

// What is refused for another reason takes nothing from the budget of whom it names.
func TestRefusedConversionsTakeNoLetters(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, limited)
	regular := e.Principal(t, e.SignUp(t, "mallory@example.com"))
	gone := e.Principal(t, guest(t, e))
	if err := e.SignOut(t.Context(), gone, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		for _, p := range []*auth.Principal{regular, gone} {
			err := e.Deanonymize(t.Context(), p, auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless, Email: "victim@example.com"})
			if err == nil || errors.Is(err, auth.ErrTooManyRequests) {
				t.Fatal(err)
			}
		}
	}
	if err := mailings[0].send(e, "victim@example.com", ""); err != nil {
		t.Error(err)
	}
}

// Nor does what sends no letter.
func TestConversionsWithoutALetterTakeNone(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, limited, unverified)
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	p := e.Principal(t, guest(t, e))
	for range 20 {
		err := e.Deanonymize(t.Context(), p, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: "ada@example.com", Password: authtest.Password})
		wantErr(t, err, auth.ErrEmailAlreadyInUse)
	}
	if err := mailings[0].send(e, "ada@example.com", ""); err != nil {
		t.Error(err)
	}
}

// Whoever guesses at codes that do not exist keeps nobody out for long.
func TestGuessesAtNothingAreForgottenSoon(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, limited)
	x := textings()[0]
	for range 200 {
		_ = x.redeem(e, nil, adaPhone, "123456")
		e.Clock.Advance(6 * time.Minute)
	}
	e.Clock.Advance(time.Hour)
	if err := x.redeem(e, nil, adaPhone, x.code(t, e, nil, adaPhone)); err != nil {
		t.Error(err)
	}
}

// brokenLimiter cannot count.
type brokenLimiter struct{}

func (brokenLimiter) Take(_ context.Context, takes ...limit.Take) (limit.Decision, error) {
	return limit.Unavailable(errors.New("no connection"), takes...)
}

// Where nothing can be counted, letters are sent; guesses and what costs money are refused.
func TestALimiterThatCannotCount(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, func(c *auth.Config) { c.Limits = auth.LimitsConfig{Limiter: brokenLimiter{}} })
	e.SignUp(t, "ada@example.com")
	if _, err := mailings[0].redeemAfterSending(t, e); err != nil {
		t.Errorf("a link: %v", err)
	}
	if err := mailings[1].send(e, "ada@example.com", ""); err != nil {
		t.Errorf("a code: %v", err)
	}
	if _, err := mailings[1].redeem(t, e, "ada@example.com"); !errors.Is(err, auth.ErrInternal) {
		t.Errorf("a guess: %v", err)
	}
	if err := textings()[0].send(e, nil, adaPhone); !errors.Is(err, auth.ErrInternal) || len(e.Phone.All()) != 0 {
		t.Errorf("a text message: %v", err)
	}
}

// Whoever turns limits off does not make codes guessable.
func TestGuessesAreCountedWhereLimitsAreOff(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, func(c *auth.Config) { c.Limits = auth.LimitsConfig{Off: true} })
	for range 20 {
		if err := mailings[1].send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 11 {
		_, err := e.VerifyEmailOTP(t.Context(), auth.VerifyEmailOTPParams{Email: "ada@example.com", OTP: "000000"})
		if errors.Is(err, auth.ErrTooManyRequests) != (i == 10) {
			t.Errorf("guess %d: %v", i+1, err)
		}
	}
}

func TestLimitsConfig(t *testing.T) {
	t.Parallel()
	c := validConfig()
	c.Limits.EmailsPerAddress = limit.Rate{Burst: -1, Per: time.Hour}
	c.Limits.GuessesPerAccountLong = limit.Rate{Burst: 1}
	_, err := auth.New(nil, c)
	for _, field := range []string{"Limits.EmailsPerAddress", "Limits.GuessesPerAccountLong"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What the service's own hook could not decide is no guess of the client.
func TestAFailureOfTheServiceIsNoGuess(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, onlyLimits(limit.Rate{Burst: 1, Per: time.Hour}, auth.BudgetGuessesPerClient), func(c *auth.Config) {
		c.Hooks.BeforeSession = func(_ context.Context, u *auth.User, _ []string) error {
			if u.DisplayName == "Ada" {
				return auth.ErrInternal
			}
			return nil
		}
	})
	ada := e.Principal(t, e.SignUp(t, "ada@example.com"))
	pat := createPAT(t, e, ada, time.Hour).Token
	name := "Ada"
	if _, err := e.UpdateUser(t.Context(), ada.UserID, auth.UserUpdate{DisplayName: &name}); err != nil {
		t.Fatal(err)
	}
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.1")})
	for range 3 {
		_, err := e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: pat})
		wantErr(t, err, auth.ErrInternal)
	}
}

// RL-05: codes for a step-up are letters and texts as any, and come out of the budgets of their recipients.
func TestCodesOfAStepUpAreLimited(t *testing.T) {
	t.Parallel()
	for method, most := range map[auth.ElevationMethod]int{auth.ElevateByEmailOTP: 10, auth.ElevateBySMSOTP: 5} {
		e := authtest.New(t, limited, func(c *auth.Config) {
			c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByEmailOTP, auth.ElevateBySMSOTP}
		})
		p, change := e.Principal(t, e.SignUp(t, "ada@example.com")), textings()[1]
		if err := change.redeem(e, p, adaPhone, change.code(t, e, p, adaPhone)); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(24 * time.Hour)
		p = e.Principal(t, e.SignIn(t, "ada@example.com"))
		for n := 1; n <= most; n++ {
			if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{Method: method}); err != nil {
				t.Fatalf("%s, code %d: %v", method, n, err)
			}
		}
		if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{Method: method}); !errors.Is(err, auth.ErrTooManyRequests) || retryAfter(err) <= 0 {
			t.Errorf("%s, code %d: %v", method, most+1, err)
		}
	}
}
