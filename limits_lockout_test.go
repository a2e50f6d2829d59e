package auth_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
)

// EN-10, SI-04, RL-10: the account's budgets are exhausted at the same count, with the same error and the same time to wait,
// whether there is an account and whether the password is right, at once and over weeks.
func TestABudgetForPasswordsTellsNothing(t *testing.T) {
	t.Parallel()
	type outcome struct {
		count int
		code  auth.Code
		by    auth.Budget
		after time.Duration
	}
	var first []outcome
	for _, who := range []string{"ada@example.com", "nobody@example.com", "pending@example.com", "disabled@example.com", "passkeys@example.com"} {
		e := authtest.New(t, limited)
		e.SignUp(t, "ada@example.com")
		for _, u := range []auth.ImportUserParams{
			{Email: "passkeys@example.com", EmailVerified: true},
			{Email: "disabled@example.com", EmailVerified: true, Disabled: true},
		} {
			if _, err := e.ImportUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := signUp(t, e, "pending@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		var seen []outcome
		n := 0
		for range 40 * 24 { // hours
			for range 12 {
				n++
				err := tryPassword(e, from(n), who, "wrong")
				var known *auth.Error
				if !errors.As(err, &known) {
					t.Fatal(err)
				}
				if exceeded(err) == "" {
					if known.Code != auth.CodeInvalidEmailPassword {
						t.Fatal(err)
					}
					continue
				}
				seen = append(seen, outcome{n, known.Code, exceeded(err), known.RetryAfter})
				if right := tryPassword(e, from(n), who, authtest.Password); exceeded(right) != exceeded(err) || retryAfter(right) != retryAfter(err) {
					t.Fatalf("the right password while it is exhausted: %v, want %v", right, err)
				}
			}
			e.Clock.Advance(time.Hour)
		}
		if first == nil {
			first = seen
			long := 0
			for _, o := range seen {
				if o.by == auth.BudgetPasswordsPerAccountLong {
					long++
				}
			}
			if long == 0 || long == len(seen) {
				t.Fatalf("%d of %d refusals are by the budget for the long run", long, len(seen))
			}
			continue
		}
		if len(seen) != len(first) {
			t.Fatalf("%s: %d refusals, want %d as for %s", who, len(seen), len(first), "ada@example.com")
		}
		for i := range seen {
			if seen[i] != first[i] {
				t.Fatalf("%s: refusal %d: %+v, want %+v", who, i, seen[i], first[i])
			}
		}
	}
}

// EN-10: with ConcealErrors, guesses of codes are refused at the same count whether there is an account that was sent one, at
// once and over weeks.
func TestABudgetForCodesTellsNothing(t *testing.T) {
	t.Parallel()
	var counts []string
	for _, who := range []string{"ada@example.com", "nobody@example.com"} {
		e := authtest.New(t, letters, limited, func(c *auth.Config) { c.ConcealErrors, c.SignUp.Disabled = true, true })
		if _, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true}); err != nil {
			t.Fatal(err)
		}
		seen := ""
		n := 0
		for range 100 {
			n++
			if err := e.SendEmailOTP(from(n), auth.SendEmailOTPParams{Email: who}); err != nil {
				seen += fmt.Sprintf("letter %d by %s; ", n, exceeded(err))
			}
			for range 2 {
				n++
				_, err := e.VerifyEmailOTP(from(n), auth.VerifyEmailOTPParams{Email: who, OTP: "x"})
				if err == nil {
					t.Fatal("no digits, and right")
				}
				if by := exceeded(err); by != "" {
					seen += fmt.Sprintf("%d by %s after %v; ", n, by, retryAfter(err))
				}
			}
			e.Clock.Advance(time.Hour)
		}
		counts = append(counts, seen)
	}
	if counts[0] != counts[1] {
		t.Errorf("with an account:\n%s\nwithout one:\n%s", counts[0], counts[1])
	}
}

// MF-13, EO-03, RL-13: in the long run, too, no more guesses are looked at than there are, however many come at the same moment.
func TestNoMoreGuessesInTheLongRunThanThereAre(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, ready, func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{
			GuessesPerAccount: limit.Rate{Burst: 50, Per: time.Minute}, GuessesPerAccountLong: limit.Rate{Burst: 60, Per: 30 * 24 * time.Hour},
		}
	})
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	var looked atomic.Int64
	for range 5 {
		parallel(50, func() {
			err := e.ChangePassword(background, p, auth.ChangePasswordParams{NewPassword: "another-" + authtest.Password, CurrentPassword: "wrong"})
			switch {
			case errors.Is(err, auth.ErrInvalidEmailPassword):
				looked.Add(1)
			case exceeded(err) == "":
				t.Error(err)
			}
		})
		e.Clock.Advance(time.Minute)
	}
	if n := looked.Load(); n != 60 {
		t.Errorf("%d guesses were looked at, want 60", n)
	}
}

// MF-13, RL-13: a right code ends the count of the hour, and not that of the long run: whoever guesses while the owner comes and
// goes gets no more guesses by it.
func TestARightCodeDoesNotEndTheLongCount(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, onlyLimits(limit.Rate{Burst: 5, Per: 30 * 24 * time.Hour}, auth.BudgetGuessesPerAccountLong))
	secret := e.EnrolTOTP(t, e.SignUp(t, "ada@example.com"))
	second := func(code string) error {
		in, err := signIn(t, e, "ada@example.com", authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.VerifyMFA(background, auth.VerifyMFAParams{Ticket: in.MFA.Ticket, OTP: code})
		return err
	}
	wrong := 0
	for range 10 {
		e.Clock.Advance(time.Minute)
		code := authtest.TOTPCode(t, secret, e.Clock.Now())
		if err := second(otherCode(code)); exceeded(err) == "" {
			wrong++
		}
		if err := second(code); err != nil && wrong < 5 {
			t.Fatalf("a right code after %d wrong ones: %v", wrong, err)
		}
	}
	if wrong != 5 {
		t.Errorf("%d wrong codes were looked at, want 5", wrong)
	}
}

// MF-08: a code of the app that has been used ends no count: whoever has seen one go by guesses no more often than others.
func TestAUsedCodeEndsNoCount(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, limited, func(c *auth.Config) {
		c.Limits.PasswordsPerAccount = limit.Rate{Burst: 1000, Per: time.Hour}
		c.Limits.GuessesPerAccountLong = limit.Rate{Burst: 1000, Per: time.Hour}
	})
	secret := e.EnrolTOTP(t, e.SignUp(t, "ada@example.com"))
	e.Clock.Advance(time.Minute)
	code := authtest.TOTPCode(t, secret, e.Clock.Now())
	second := func(code string) error {
		in, err := signIn(t, e, "ada@example.com", authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.VerifyMFA(background, auth.VerifyMFAParams{Ticket: in.MFA.Ticket, OTP: code})
		return err
	}
	if err := second(code); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for range 30 {
		if err := second(code); exceeded(err) == "" {
			wantErr(t, err, auth.ErrInvalidTOTP)
			wrong++
		}
		if err := second(otherCode(code)); exceeded(err) == "" {
			wrong++
		}
	}
	if wrong != 10 {
		t.Errorf("%d wrong and used codes were looked at, want 10", wrong)
	}
}

// RL-09: what is right does not count. Whoever comes in gives back what they took from the budget of their client, which others
// share, and no more.
func TestWhatIsRightDoesNotCount(t *testing.T) {
	t.Parallel()
	ways := map[string]func(t *testing.T, e *authtest.Engine) func() error{
		"a password": func(*testing.T, *authtest.Engine) func() error { return nil },
		"a token": func(t *testing.T, e *authtest.Engine) func() error {
			pat, err := e.CreatePAT(t.Context(), e.Principal(t, e.SignIn(t, "ada@example.com")), auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			return func() error {
				_, err := e.SignInPAT(from(1), auth.SignInPATParams{PersonalAccessToken: pat.Token})
				return err
			}
		},
		"a code": func(t *testing.T, e *authtest.Engine) func() error {
			return func() error {
				if err := e.SendEmailOTP(background, auth.SendEmailOTPParams{Email: "ada@example.com"}); err != nil {
					t.Fatal(err)
				}
				_, err := e.VerifyEmailOTP(from(1), auth.VerifyEmailOTPParams{Email: "ada@example.com", OTP: e.Mailbox.Last(t, "ada@example.com").Ticket()})
				return err
			}
		},
		"a link": func(t *testing.T, e *authtest.Engine) func() error {
			return func() error {
				if err := e.SendMagicLink(background, auth.SendMagicLinkParams{Email: "ada@example.com"}); err != nil {
					t.Fatal(err)
				}
				_, err := e.VerifyTicket(from(1), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()})
				return err
			}
		},
		"a passkey": func(t *testing.T, e *authtest.Engine) func() error {
			key := &authtest.Authenticator{}
			addKey(t, e, e.Principal(t, e.SignIn(t, "ada@example.com")), key)
			return func() error {
				_, err := e.VerifySignInWebAuthn(from(1), auth.VerifySignInWebAuthnParams{Credential: key.Get(t, beginKeySignIn(t, e, ""))})
				return err
			}
		},
		"the admin secret": func(_ *testing.T, e *authtest.Engine) func() error {
			return func() error { return e.AuthenticateAdmin(from(1), "plum-admin-secret") }
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 10, Per: time.Hour}, auth.BudgetGuessesPerClient), func(c *auth.Config) {
				c.AdminSecret = auth.Secret("plum-admin-secret")
			})
			e.SignUp(t, "ada@example.com")
			come := way(t, e)
			if come == nil {
				come = func() error { return tryPassword(e, from(1), "ada@example.com", authtest.Password) }
			}
			for n := range 30 {
				if err := come(); err != nil {
					t.Fatalf("time %d: %v", n+1, err)
				}
			}
			for n := range 9 {
				if err := aToken.call(e, 1, n); exceeded(err) != "" {
					t.Fatalf("wrong one %d: %v", n+1, err)
				}
			}
			for range 5 { // with one left
				if err := come(); err != nil {
					t.Fatal(err)
				}
			}
			if err := aToken.call(e, 1, 0); exceeded(err) != "" {
				t.Fatal(err)
			}
			if err := aToken.call(e, 1, 0); exceeded(err) == "" {
				t.Error("more was given back than taken")
			}
			if err := come(); exceeded(err) != auth.BudgetGuessesPerClient {
				t.Errorf("without a guess left: %v", err)
			}
		})
	}
}

// The right password ends both counts of wrong ones, and so does a new one: by a link, and by a change.
func TestANewPasswordEndsTheCount(t *testing.T) {
	t.Parallel()
	const changed = "walnut-tractor-twelve"
	for name, set := range map[string]func(t *testing.T, e *authtest.Engine, s *auth.Session) string{
		"a link": func(t *testing.T, e *authtest.Engine, _ *auth.Session) string {
			if err := e.SendPasswordReset(background, auth.SendPasswordResetParams{Email: "ada@example.com"}); err != nil {
				t.Fatal(err)
			}
			if err := e.ChangePassword(background, nil, auth.ChangePasswordParams{NewPassword: changed, Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()}); err != nil {
				t.Fatal(err)
			}
			return changed
		},
		"a change": func(t *testing.T, e *authtest.Engine, s *auth.Session) string {
			if err := e.ChangePassword(background, e.Principal(t, s), auth.ChangePasswordParams{NewPassword: changed}); err != nil {
				t.Fatal(err)
			}
			return changed
		},
	} {
		for _, both := range [][]auth.Budget{
			{auth.BudgetPasswordsPerAccount},
			{auth.BudgetPasswordsPerAccountLong},
			{auth.BudgetGuessesPerAccount},
			{auth.BudgetGuessesPerAccountLong},
		} {
			t.Run(name+", "+string(both[0]), func(t *testing.T) {
				t.Parallel()
				e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 10, Per: 30 * 24 * time.Hour}, both...))
				s := e.SignUp(t, "ada@example.com")
				own := func(password string) error {
					return e.ChangePassword(background, e.Principal(t, s), auth.ChangePasswordParams{NewPassword: "no", CurrentPassword: password})
				}
				guess := func() error {
					if both[0] == auth.BudgetGuessesPerAccount || both[0] == auth.BudgetGuessesPerAccountLong {
						return own("wrong")
					}
					return tryPassword(e, background, "ada@example.com", "wrong")
				}
				count := func() (n int) {
					for exceeded(guess()) == "" {
						n++
					}
					return n
				}
				if n := count(); n != 10 {
					t.Fatalf("%d guesses", n)
				}
				password := set(t, e, s)
				in, err := signIn(t, e, "ada@example.com", password)
				if err != nil {
					t.Fatalf("with the new one: %v", err)
				}
				s = in.Session
				if n := count(); n != 10 {
					t.Errorf("%d guesses after %s, want 10", n, name)
				}
			})
		}
	}
	for _, budget := range []auth.Budget{auth.BudgetPasswordsPerAccount, auth.BudgetPasswordsPerAccountLong} {
		e := authtest.New(t, onlyLimits(limit.Rate{Burst: 10, Per: 30 * 24 * time.Hour}, budget))
		e.SignUp(t, "ada@example.com")
		for n := range 50 {
			password := "wrong"
			if n%10 == 9 {
				password = authtest.Password
			}
			if err := tryPassword(e, background, "ada@example.com", password); exceeded(err) != "" {
				t.Fatalf("%s: attempt %d: %v", budget, n+1, err)
			}
		}
	}
}

// RL-17: M takes all there is of A's address and number, from a thousand networks and over days. A comes in meanwhile by each way
// whose budget is another, or that has none, and whatever had arrived stays good.
func TestNobodyKeepsTheOwnerOut(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, limited, ready)
	const ada, number = "ada@example.com", "+41791234567"
	key := &authtest.Authenticator{}
	session := withKey(t, e, ada, key)
	p := e.Principal(t, session)
	if err := e.ChangePhone(from(0), p, auth.ChangePhoneParams{NewPhoneNumber: number}); err != nil {
		t.Fatal(err)
	}
	if err := e.VerifyChangePhone(from(0), p, auth.VerifyChangePhoneParams{NewPhoneNumber: number, OTP: e.Phone.Last(t, number).Code}); err != nil {
		t.Fatal(err)
	}
	pat, err := e.CreatePAT(t.Context(), e.Principal(t, e.SignIn(t, ada)), auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(90 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(24 * time.Hour) // what that took is back

	network := 1000
	attack := func(what ...string) {
		t.Helper()
		for _, what := range what {
			refused := 0
			for range 1000 {
				network++
				var err error
				switch ctx := from(network % 100_000); what {
				case "passwords":
					err = tryPassword(e, ctx, ada, "wrong")
				case "codes":
					_, err = e.VerifyEmailOTP(ctx, auth.VerifyEmailOTPParams{Email: ada, OTP: "000000"})
				case "texted codes":
					_, err = e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: number, OTP: "000000"})
				case "letters":
					err = e.SendEmailOTP(ctx, auth.SendEmailOTPParams{Email: ada})
				case "texts":
					err = e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: number})
				case "tokens":
					_, err = e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: uuid.NewString()})
				case "challenges":
					_, err = e.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{Email: ada})
				}
				if exceeded(err) != "" {
					refused++
				}
			}
			if exhaustible := what != "tokens" && what != "challenges"; (refused > 0) != exhaustible {
				t.Fatalf("%s: %d of 1000 attempts were refused", what, refused)
			}
		}
	}
	comeIn := func(name string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("A cannot come in by %s: %v", name, err)
		}
	}
	last := func() string { return e.Mailbox.Last(t, ada).Ticket() }

	// What arrived before M began, of each kind its own: a later one of another kind voids none of them.
	if err := e.SendMagicLink(from(0), auth.SendMagicLinkParams{Email: ada}); err != nil {
		t.Fatal(err)
	}
	magic := last()
	if err := e.SendPasswordReset(from(0), auth.SendPasswordResetParams{Email: ada}); err != nil {
		t.Fatal(err)
	}
	reset := last()
	everything := []string{"letters", "passwords", "codes", "texted codes", "texts", "tokens", "challenges"}
	attack(everything...)
	_, err = e.VerifyTicket(from(0), auth.VerifyTicketParams{Ticket: magic})
	comeIn("a magic link that has arrived", err)
	_, err = e.VerifySignInWebAuthn(from(0), auth.VerifySignInWebAuthnParams{Credential: key.Get(t, beginKeySignIn(t, e, ada))})
	comeIn("a passkey", err)
	_, err = e.SignInPAT(from(0), auth.SignInPATParams{PersonalAccessToken: pat.Token})
	comeIn("a personal access token", err)
	v, err := e.VerifyTicket(from(0), auth.VerifyTicketParams{Ticket: reset})
	comeIn("a reset link that has arrived", err)
	if err == nil {
		comeIn("the session of that link", e.ChangePassword(from(0), e.Principal(t, v.Session), auth.ChangePasswordParams{NewPassword: "walnut-tractor-twelve"}))
		comeIn("the new password", tryPassword(e, from(0), ada, "walnut-tractor-twelve"))
	}

	// M goes on for days. Passwords are exhausted for the long run; codes are not, as long as M leaves them alone.
	for range 14 {
		e.Clock.Advance(time.Hour)
		attack("passwords")
	}
	if err := tryPassword(e, from(0), ada, "walnut-tractor-twelve"); exceeded(err) != auth.BudgetPasswordsPerAccountLong {
		t.Errorf("the right password: %v", err)
	}
	e.Clock.Advance(24 * time.Hour)
	attack("passwords")
	comeIn("asking for an e-mail code", e.SendEmailOTP(from(0), auth.SendEmailOTPParams{Email: ada}))
	_, err = e.VerifyEmailOTP(from(0), auth.VerifyEmailOTPParams{Email: ada, OTP: last()})
	comeIn("an e-mail code", err)
	comeIn("asking for a text message", e.SendSMSOTP(from(0), auth.SendSMSOTPParams{PhoneNumber: number}))
	_, err = e.VerifySMSOTP(from(0), auth.VerifySMSOTPParams{PhoneNumber: number, OTP: e.Phone.Last(t, number).Code})
	comeIn("a text message", err)

	// Codes are exhausted, and letters are not.
	attack("codes", "texted codes", "passwords")
	comeIn("asking for a link", e.SendMagicLink(from(0), auth.SendMagicLinkParams{Email: ada}))
	_, err = e.VerifyTicket(from(0), auth.VerifyTicketParams{Ticket: last()})
	comeIn("a link", err)

	// Each lock is for a time: an hour after M has gone codes are taken again.
	e.Clock.Advance(time.Hour)
	comeIn("asking for an e-mail code, later", e.SendEmailOTP(from(0), auth.SendEmailOTPParams{Email: ada}))
	_, err = e.VerifyEmailOTP(from(0), auth.VerifyEmailOTPParams{Email: ada, OTP: last()})
	comeIn("an e-mail code, later", err)
	e.Clock.Advance(8 * time.Hour)
	comeIn("the password, later", tryPassword(e, from(0), ada, "walnut-tractor-twelve"))
}

// SM-02, W24: texts whose codes nobody enters stop in the country that they go to, and only there. Where one in four is
// answered they do not, and one code answers for one text, however often it is presented.
func TestTextsThatNobodyAnswersStop(t *testing.T) {
	t.Parallel()
	amend := func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{SMSPerCountry: limit.Rate{Burst: 100_000, Per: time.Hour}, SMS: limit.Rate{Burst: 100_000, Per: time.Hour}}
	}
	send := func(e *authtest.Engine, country, n int) error {
		return e.SendSMSOTP(from(n), auth.SendSMSOTPParams{PhoneNumber: fmt.Sprintf("+%d20123%05d", country, n)})
	}
	t.Run("pumping", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, amend)
		sent := 0
		for n := range 500 {
			switch err := send(e, 371, n); exceeded(err) {
			case "":
				sent++
			case auth.BudgetUnansweredSMS:
			default:
				t.Fatal(err)
			}
		}
		if sent != 50 || len(e.Phone.All()) != 50 {
			t.Errorf("%d sent", sent)
		}
		for _, country := range []int{370, 372, 41, 1, 7} {
			if err := send(e, country, 1); err != nil {
				t.Errorf("to +%d: %v", country, err)
			}
		}
		e.Clock.Advance(time.Hour)
		if err := send(e, 371, 1000); err != nil {
			t.Errorf("later: %v", err)
		}
	})
	answer := func(t *testing.T, e *authtest.Engine, country, n int) {
		t.Helper()
		number := fmt.Sprintf("+%d20123%05d", country, n)
		if _, err := e.VerifySMSOTP(from(n), auth.VerifySMSOTPParams{PhoneNumber: number, OTP: e.Phone.Last(t, number).Code}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("one in four is answered", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, amend)
		for n := range 400 {
			if err := send(e, 371, n); err != nil {
				t.Fatalf("text %d: %v", n+1, err)
			}
			if n%4 == 3 {
				answer(t, e, 371, n)
			}
		}
	})
	t.Run("one in eight is answered", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, amend)
		sent := 0
		for n := range 400 {
			if err := send(e, 371, n); err != nil {
				break
			}
			sent++
			if n%8 == 7 {
				answer(t, e, 371, n)
			}
		}
		if sent < 50 || sent > 110 {
			t.Errorf("%d sent", sent)
		}
	})
	t.Run("one answer many times", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, amend)
		for n := range 50 {
			if err := send(e, 371, n); err != nil {
				t.Fatal(err)
			}
		}
		number := "+3712012300000"
		code := e.Phone.Last(t, number).Code
		var in atomic.Int64
		parallel(50, func() {
			if _, err := e.VerifySMSOTP(background, auth.VerifySMSOTPParams{PhoneNumber: number, OTP: code}); err == nil {
				in.Add(1)
			}
		})
		more := 0
		for n := range 50 {
			if send(e, 371, 100+n) == nil {
				more++
			}
		}
		if in.Load() != 1 || more != 4 {
			t.Errorf("%d sign-ins paid for %d texts, want 1 and 4", in.Load(), more)
		}
	})
}

// Every way to enter a texted code answers for the text.
func TestEveryAnswerCounts(t *testing.T) {
	t.Parallel()
	few := onlyLimits(limit.Rate{Burst: 4, Per: 1000 * time.Hour}, auth.BudgetUnansweredSMS)
	for _, x := range textings() {
		e := authtest.New(t, few)
		for n := range 10 {
			number := fmt.Sprintf("+4179123%04d", n)
			p := x.who(t, e, fmt.Sprintf("u%d", n))
			if err := x.redeem(e, p, number, x.code(t, e, p, number)); err != nil {
				t.Fatalf("%s, %d: %v", x.name, n, err)
			}
		}
	}
	e := authtest.New(t, few, func(c *auth.Config) { c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateBySMSOTP} })
	for n := range 10 {
		s := signUpByPhone(t, e, "+41791234567")
		p := e.Principal(t, s)
		if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{Method: auth.ElevateBySMSOTP}); err != nil {
			t.Fatalf("step-up %d: %v", n, err)
		}
		if _, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: auth.ElevateBySMSOTP, OTP: e.Phone.Last(t, "+41791234567").Code}); err != nil {
			t.Fatal(err)
		}
	}
}
