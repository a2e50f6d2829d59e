package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// letters turns on every way to sign in by letter.
func letters(c *auth.Config) {
	c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
}

// mailing is a way to have a letter sent to an address.
type mailing struct {
	name     string
	template string
	kind     string
	send     func(e *authtest.Engine, email, redirectTo string) error
}

// mailings are those that anybody can ask for.
var mailings = []mailing{
	{"a magic link", "signin-passwordless", "passwordlessEmail", func(e *authtest.Engine, email, redirectTo string) error {
		return e.SendMagicLink(background, auth.SendMagicLinkParams{Email: email, Options: auth.SignUpOptions{RedirectTo: redirectTo}})
	}},
	{"a code", "signin-otp", "emailOTP", func(e *authtest.Engine, email, redirectTo string) error {
		return e.SendEmailOTP(background, auth.SendEmailOTPParams{Email: email, Options: auth.SignUpOptions{RedirectTo: redirectTo}})
	}},
	{"a reset link", "password-reset", "passwordReset", func(e *authtest.Engine, email, redirectTo string) error {
		return e.SendPasswordReset(background, auth.SendPasswordResetParams{Email: email, RedirectTo: redirectTo})
	}},
	{"a verification link", "email-verify", "verifyEmail", func(e *authtest.Engine, email, redirectTo string) error {
		return e.SendVerificationEmail(background, auth.SendVerificationEmailParams{Email: email, RedirectTo: redirectTo})
	}},
}

// redeem signs in with what the last letter of a mailing brought.
func (m mailing) redeem(t *testing.T, e *authtest.Engine, email string) (*auth.Session, error) {
	t.Helper()
	return m.redeemSecret(e, email, e.Mailbox.Last(t, email).Ticket())
}

func (m mailing) redeemSecret(e *authtest.Engine, email, secret string) (*auth.Session, error) {
	if m.kind == "emailOTP" {
		in, err := e.VerifyEmailOTP(background, auth.VerifyEmailOTPParams{Email: email, OTP: secret})
		if err != nil {
			return nil, err
		}
		return in.Session, nil
	}
	v, err := e.VerifyTicket(background, auth.VerifyTicketParams{Ticket: secret})
	if err != nil {
		return nil, err
	}
	return v.Session, nil
}

func TestLettersSignUpAndIn(t *testing.T) {
	t.Parallel()
	for _, m := range mailings[:2] {
		e := authtest.New(t, letters, func(c *auth.Config) { c.AllowedRedirectURLs = []string{"https://other.test"} })
		if err := m.send(e, "Ada@Example.com", "https://other.test/x"); err != nil {
			t.Fatal(err)
		}
		letter := e.Mailbox.Last(t, "ada@example.com")
		if letter.Template != m.template || letter.Variables["redirectTo"] != "https://other.test/x" {
			t.Errorf("%s: letter %+v", m.name, letter)
		}
		if m.kind == "emailOTP" != (letter.Link() == "") {
			t.Errorf("%s: link %q", m.name, letter.Link())
		}
		s, err := m.redeem(t, e, "ada@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if u := s.User; u.Email != "Ada@Example.com" || !u.EmailVerified || u.DisplayName != "Ada@Example.com" {
			t.Errorf("%s: user %s", m.name, asJSON(u))
		}
		if p := e.Principal(t, s); !cmp.Equal(p.AMR, []string{"email"}) {
			t.Errorf("%s: amr %v", m.name, p.AMR)
		}
		if err := m.send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		again, err := m.redeem(t, e, "ada@example.com")
		if err != nil || again.User.ID != s.User.ID {
			t.Errorf("%s: again: %v", m.name, err)
		}
		if n := len(e.Events.Of(auth.EventUserCreated)); n != 1 {
			t.Errorf("%s: %d users", m.name, n)
		}
		if n := len(e.Events.Of(auth.EventEmailVerified)); n != 1 {
			t.Errorf("%s: verified %d times", m.name, n)
		}
	}
}

// TK-01, TK-16, TK-17, W1: a secret is worth something in its own place alone, however it is spelled elsewhere, and is not used up
// there.
func TestSecretsOfOneKindAreWorthNothingElsewhere(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	secrets := map[string]string{}
	for i, m := range mailings {
		email := fmt.Sprintf("user%d@example.com", i)
		pendingUser(t, e, email)
		if err := m.send(e, email, ""); err != nil {
			t.Fatal(err)
		}
		secrets[m.kind] = e.Mailbox.Last(t, email).Ticket()
	}
	mover := e.Principal(t, e.SignUp(t, "mover@example.com"))
	if err := e.ChangeEmail(t.Context(), mover, auth.ChangeEmailParams{NewEmail: "moved@example.com"}); err != nil {
		t.Fatal(err)
	}
	secrets["emailConfirmChange"] = e.Mailbox.Last(t, "moved@example.com").Ticket()

	challenged := auth.SendMagicLinkParams{Email: "client@example.com", CodeChallenge: challengeFor(verifier)}
	if err := e.SendMagicLink(t.Context(), challenged); err != nil {
		t.Fatal(err)
	}
	secrets["code"] = followLink(t, e, "client@example.com").Code

	// Where secrets are taken, and which are good there.
	places := map[string]struct {
		take func(secret string) error
		good []string
	}{
		"a link": {func(secret string) error {
			_, err := e.VerifyTicket(background, auth.VerifyTicketParams{Ticket: secret})
			return err
		}, []string{"verifyEmail", "passwordlessEmail", "passwordReset", "emailConfirmChange"}},
		"a code": {func(secret string) error {
			for _, email := range []string{
				"user0@example.com", "user1@example.com", "user2@example.com", "user3@example.com", "mover@example.com", "client@example.com",
			} {
				if _, err := e.VerifyEmailOTP(background, auth.VerifyEmailOTPParams{Email: email, OTP: secret}); !errors.Is(err, auth.ErrInvalidTicket) {
					return fmt.Errorf("%s: %w", email, err)
				}
			}
			return auth.ErrInvalidTicket
		}, []string{"emailOTP"}},
		"a reset": {func(secret string) error {
			return e.ChangePassword(background, nil, auth.ChangePasswordParams{Ticket: secret, NewPassword: "another-fine-one"})
		}, []string{"passwordReset"}},
		"an exchange": {func(secret string) error {
			_, err := e.ExchangeCode(background, auth.ExchangeCodeParams{Code: secret, CodeVerifier: verifier})
			return as(err, auth.ErrInvalidRequest)
		}, []string{"code"}},
		"a refresh token": {func(secret string) error {
			_, err := e.Refresh(background, auth.RefreshParams{RefreshToken: secret})
			return as(err, auth.ErrInvalidRefreshToken)
		}, nil},
		"an access token": {func(secret string) error {
			_, err := e.Authenticate(background, secret)
			return as(err, auth.ErrUnauthenticated)
		}, nil},
	}
	for kind, secret := range secrets {
		bare := secret[strings.Index(secret, ":")+1:]
		spellings := []string{secret, bare}
		for other := range secrets {
			spellings = append(spellings, other+":"+bare)
		}
		for name, place := range places {
			for _, spelling := range spellings {
				if spelling == secret && slices.Contains(place.good, kind) {
					continue
				}
				if err := place.take(spelling); !errors.Is(err, auth.ErrInvalidTicket) {
					t.Errorf("%s, spelled %s, as %s: %v", kind, spelling, name, err)
				}
			}
		}
	}
	for _, bad := range []string{"", ":", "passwordReset:", "verifyEmail:", "otp:", "emailOTP:123456", "nothing:", strings.Repeat("x", 1<<20)} { // TK-16, TK-17
		if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: bad}); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	for i, m := range mailings { // none of it is used up
		if _, err := m.redeemSecret(e, fmt.Sprintf("user%d@example.com", i), secrets[m.kind]); err != nil {
			t.Errorf("%s after all that: %v", m.name, err)
		}
	}
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: secrets["emailConfirmChange"]}); err != nil {
		t.Errorf("a change of address after all that: %v", err)
	}
	if _, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: secrets["code"], CodeVerifier: verifier}); err != nil {
		t.Errorf("a code of a link after all that: %v", err)
	}
}

// as translates how a place refuses what it does not know into how most do.
func as(err, refusal error) error {
	if errors.Is(err, refusal) {
		return auth.ErrInvalidTicket
	}
	return err
}

// TK-02..TK-04, TK-06, PW-02..PW-04, ML-02, ML-04, EO-06: each secret works once, in time, and until a later one of its kind.
func TestSecretsWorkOnceAndInTime(t *testing.T) {
	t.Parallel()
	lives := map[string]time.Duration{
		"passwordlessEmail": time.Hour, "emailOTP": 10 * time.Minute, "passwordReset": time.Hour, "verifyEmail": 7 * 24 * time.Hour,
	}
	for i := range 2 * len(mailings) {
		i, verified := i/2, i%2 == 1
		m := mailings[i]
		if verified && m.kind == "verifyEmail" {
			continue // nobody gets one
		}
		t.Run(fmt.Sprintf("%s, verified %t", m.name, verified), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters)
			email := func(n int) string { return fmt.Sprintf("user%d@example.com", n) }
			get := func(n int) string {
				if err := m.send(e, email(n), ""); err != nil {
					t.Fatal(err)
				}
				return e.Mailbox.Last(t, email(n)).Ticket()
			}
			for n := range 4 {
				if verified { // nothing but the redemption voids the secret
					e.SignUp(t, email(n))
				} else {
					pendingUser(t, e, email(n))
				}
			}
			// An earlier one of its kind is void; those of other kinds are not.
			first, second := get(0), get(0)
			for j, other := range mailings {
				if j != i && !(verified && other.kind == "verifyEmail") {
					if err := other.send(e, email(0), ""); err != nil {
						t.Fatal(err)
					}
				}
			}
			if first != second {
				if _, err := m.redeemSecret(e, email(0), first); !errors.Is(err, auth.ErrInvalidTicket) {
					t.Errorf("the first: %v", err)
				}
			}
			var ok atomic.Int64
			parallel(50, func() {
				switch _, err := m.redeemSecret(e, email(0), second); {
				case err == nil:
					ok.Add(1)
				case !errors.Is(err, auth.ErrInvalidTicket):
					t.Error(err)
				}
			})
			if ok.Load() != 1 { // of a code, too, although its tries are fewer: it stands until it is redeemed
				t.Errorf("%d redemptions", ok.Load())
			}
			in, late := get(1), get(2)
			e.Clock.Advance(lives[m.kind] - time.Microsecond)
			if _, err := m.redeemSecret(e, email(1), in); err != nil {
				t.Errorf("in time: %v", err)
			}
			if _, err := m.redeemSecret(e, email(1), in); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("again: %v", err)
			}
			e.Clock.Advance(time.Microsecond)
			if _, err := m.redeemSecret(e, email(2), late); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("too late: %v", err)
			}
		})
	}
}

// EO-01, EO-07, EO-10, EO-16, W14.
func TestCodesAreHardToGuess(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	guess := func(email, code string) error {
		_, err := e.VerifyEmailOTP(background, auth.VerifyEmailOTPParams{Email: email, OTP: code})
		return err
	}
	wrong := func(right string) string {
		if right == "000000" {
			return "000001"
		}
		return "000000"
	}
	send := func(email string) string {
		if err := mailings[1].send(e, email, ""); err != nil {
			t.Fatal(err)
		}
		return e.Mailbox.Last(t, email).Ticket()
	}
	code := send("ada@example.com")
	for range 4 {
		if err := guess("ada@example.com", wrong(code)); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Fatal(err)
		}
	}
	for _, odd := range []string{
		"", " " + code, code + " ", code[:3] + " " + code[3:], "+" + code, code + "0", code[1:], "null",
		"１２３４５６", "١٢٣٤٥٦", code + "\x00", "emailOTP:" + code,
	} { // none of these is a guess
		if err := guess("ada@example.com", odd); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%q: %v", odd, err)
		}
	}
	if err := guess("ada@example.com", code); err != nil {
		t.Errorf("the fifth guess, right: %v", err)
	}
	code = send("ada@example.com")
	for range 5 {
		if err := guess("ada@example.com", wrong(code)); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Fatal(err)
		}
	}
	if err := guess("ada@example.com", code); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("the sixth guess, right: %v", err)
	}
	code = send("ada@example.com")
	parallel(20, func() { _ = guess("ada@example.com", wrong(code)) })
	if err := guess("ada@example.com", code); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("after twenty guesses at once: %v", err)
	}
	if err := guess("nobody@example.com", "123456"); !errors.Is(err, auth.ErrInvalidTicket) { // EN-05
		t.Errorf("nobody's: %v", err)
	}
	// EO-04, EO-11: a code is that of its address.
	bob := send("bob@example.com")
	if err := guess("ada@example.com", bob); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("another's: %v", err)
	}
	if err := guess("bob@example.com", bob); err != nil {
		t.Errorf("one's own after that: %v", err)
	}
}

// EO-08: all codes are possible, with their zeros.
func TestCodesAreSixDigits(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	var first [10]int
	for range 300 {
		if err := mailings[1].send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		code := e.Mailbox.Last(t, "ada@example.com").Ticket()
		if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("code %q", code)
		}
		first[code[0]-'0']++
	}
	for digit, n := range first {
		if n < 5 { // 30 are expected: that so few come by chance happens once in 10^8 times
			t.Errorf("%d codes of 300 begin with %d", n, digit)
		}
	}
}

// PH-01..PH-03, PH-06, W4: the first proof of an address that is not its verification link leaves nobody else a way in.
func TestTheFirstProofLeavesNobodyElseAWayIn(t *testing.T) {
	t.Parallel()
	proofs := map[string]func(t *testing.T, e *authtest.Engine) error{
		"a magic link": func(t *testing.T, e *authtest.Engine) error {
			_, err := mailings[0].redeemAfterSending(t, e)
			return err
		},
		"a code": func(t *testing.T, e *authtest.Engine) error {
			_, err := mailings[1].redeemAfterSending(t, e)
			return err
		},
		"a reset link": func(t *testing.T, e *authtest.Engine) error {
			_, err := mailings[2].redeemAfterSending(t, e)
			return err
		},
		"a new password by a reset link": func(t *testing.T, e *authtest.Engine) error {
			if err := mailings[2].send(e, "v@example.com", ""); err != nil {
				return err
			}
			return e.ChangePassword(background, nil, auth.ChangePasswordParams{
				Ticket: e.Mailbox.Last(t, "v@example.com").Ticket(), NewPassword: "the owner's own",
			})
		},
	}
	for name, prove := range proofs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, unverified)
			key := &authtest.Authenticator{}
			mallory := withKey(t, e, "v@example.com", key)
			p := e.Principal(t, mallory)
			if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "m@example.com"}); err != nil {
				t.Fatal(err)
			}
			pendingChange := e.Mailbox.Last(t, "m@example.com").Ticket()
			_, err := e.Store.ChangeUser(t.Context(), store.UserChange{
				UserID: p.UserID, Now: e.Clock.Now(),
				Set:      store.UserSet{TOTPSecret: &[][]byte{[]byte("seed")}[0], RecoveryCodes: &[][]byte{make([]byte, 32)}, Phone: &[]string{"+420777111222"}[0]},
				Identity: &store.Identity{Provider: "github", Subject: "1", CreatedAt: e.Clock.Now()},
				PAT:      &store.PAT{ID: uuid.New(), Hash: make([]byte, 32), CreatedAt: e.Clock.Now(), ExpiresAt: e.Clock.Now().Add(time.Hour)},
			})
			if err != nil {
				t.Fatal(err)
			}

			if err := prove(t, e); err != nil {
				t.Fatal(err)
			}
			if _, err := signIn(t, e, "v@example.com", authtest.Password); !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Errorf("the password: %v", err)
			}
			if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: mallory.RefreshToken}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Errorf("the session: %v", err)
			}
			if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("the key: %v", err)
			}
			if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: pendingChange}); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("the pending change of address: %v", err)
			}
			a, err := e.Store.User(t.Context(), store.UserQuery{
				ID: p.UserID, Now: e.Clock.Now(), With: store.WithIdentities | store.WithPATs | store.WithSecurityKeys,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Identities)+len(a.PATs)+len(a.SecurityKeys)+len(a.TOTPSecret)+len(a.RecoveryCodes) != 0 || a.Phone != "" || !a.EmailVerified {
				t.Errorf("left: %s", asJSON(a))
			}
		})
	}
}

func (m mailing) redeemAfterSending(t *testing.T, e *authtest.Engine) (*auth.Session, error) {
	t.Helper()
	if err := m.send(e, "v@example.com", ""); err != nil {
		return nil, err
	}
	return m.redeem(t, e, "v@example.com")
}

// What was set after the address was proven stays.
func TestALaterProofTakesNothingAway(t *testing.T) {
	t.Parallel()
	for _, m := range mailings[:3] {
		e := authtest.New(t, letters)
		key := &authtest.Authenticator{}
		s := withKey(t, e, "v@example.com", key)
		if _, err := m.redeemAfterSending(t, e); err != nil {
			t.Fatal(err)
		}
		e.SignIn(t, "v@example.com")
		if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Errorf("%s: the session: %v", m.name, err)
		}
		if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err != nil {
			t.Errorf("%s: the key: %v", m.name, err)
		}
	}
}

// ML-07, EO-17: options of a stranger change nothing of a user who exists.
func TestOptionsDoNotChangeAUser(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, func(c *auth.Config) { c.Locales.Allowed = []string{"cs"} })
	s := e.SignUp(t, "ada@example.com")
	o := auth.SignUpOptions{DisplayName: "Mallory", Locale: "cs", Metadata: json.RawMessage(`{"a":1}`), AllowedRoles: []string{"user"}}
	if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", Options: o}); err != nil {
		t.Fatal(err)
	}
	if err := e.SendEmailOTP(t.Context(), auth.SendEmailOTPParams{Email: "ada@example.com", Options: o}); err != nil {
		t.Fatal(err)
	}
	got, err := e.User(t.Context(), e.Principal(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.User, got); diff != "" {
		t.Error(diff)
	}
}

// ML-08, PW-01, EC-11, EN-01, EN-04: who is told what, and who gets a letter.
func TestWhatIsToldToWhoAsksForALetter(t *testing.T) {
	t.Parallel()
	yes := true
	for _, concealed := range []bool{false, true} {
		for _, m := range mailings {
			t.Run(fmt.Sprintf("%s, concealed %t", m.name, concealed), func(t *testing.T) {
				t.Parallel()
				conceal := func(c *auth.Config) { c.ConcealErrors = concealed; c.Email.BlockedDomains = []string{"blocked.test"} }
				open := authtest.New(t, letters)
				open.SignUp(t, "known@blocked.test")
				e := replica(t, open, letters, conceal)
				closed := replica(t, e, letters, conceal, func(c *auth.Config) { c.SignUp.Disabled = true })
				e.SignUp(t, "verified@example.com")
				pendingUser(t, e, "pending@example.com")
				disabled := e.SignUp(t, "disabled@example.com").User.ID
				if _, err := e.UpdateUser(t.Context(), disabled, auth.UserUpdate{Disabled: &yes}); err != nil {
					t.Fatal(err)
				}
				signsUp := m.kind == "passwordlessEmail" || m.kind == "emailOTP"
				for _, c := range []struct {
					email  string
					e      *authtest.Engine
					letter bool
					want   error // unless concealed
				}{
					{"verified@example.com", e, m.kind != "verifyEmail", map[bool]error{true: auth.ErrEmailAlreadyVerified}[m.kind == "verifyEmail"]},
					{"pending@example.com", e, true, nil},
					{"disabled@example.com", e, false, nil},
					{"unknown@example.com", closed, false, map[string]error{
						"passwordlessEmail": auth.ErrSignUpDisabled, "emailOTP": auth.ErrSignUpDisabled, "verifyEmail": auth.ErrInvalidEmailPassword,
					}[m.kind]},
					{"a@blocked.test", e, false, map[bool]error{true: auth.ErrInvalidEmailPassword}[m.kind != "passwordReset"]},
					{"known@blocked.test", e, false, map[bool]error{true: auth.ErrInvalidEmailPassword}[m.kind != "passwordReset"]},
					{"fresh@example.com", e, signsUp, map[bool]error{true: auth.ErrInvalidEmailPassword}[m.kind == "verifyEmail"]},
				} {
					before := len(e.Mailbox.All())
					err := m.send(c.e, c.email, "")
					want := c.want
					if concealed {
						want = nil
					}
					if !errors.Is(err, want) || want == nil && err != nil {
						t.Errorf("%s: %v, not %v", c.email, err, want)
					}
					if got := len(e.Mailbox.All()) > before; got != c.letter {
						t.Errorf("%s: letter %t", c.email, got)
					}
				}
				for _, bad := range []string{"", "ada", "a@example.com,b@example.com", "a@b@example.com"} {
					if err := m.send(e, bad, ""); !errors.Is(err, auth.ErrInvalidRequest) {
						t.Errorf("%q: %v", bad, err)
					}
				}
				if err := m.send(e, "verified@example.com", "https://evil.test"); !errors.Is(err, auth.ErrRedirectNotAllowed) {
					t.Errorf("a redirect elsewhere: %v", err)
				}
			})
		}
	}
}

// PW-01, ML-08: the same number of round trips and the same event, whoever is asked for: with a loop running, all that a stranger can
// measure. None of it is left out: if the store fails, whoever asks is told.
func TestAskingForALetterTakesTheSameTrips(t *testing.T) {
	t.Parallel()
	for _, m := range mailings {
		e := authtest.New(t)
		counter := storetest.Count(e.Store)
		concealing := func(c *auth.Config) {
			c.Now, c.ConcealErrors, c.SignUp.Disabled = e.Clock.Now, true, true
			c.Email.BlockedDomains = []string{"blocked.test"}
		}
		counted := authtest.NewWithStore(t, counter, letters, concealing)
		asked := auth.Event{Type: auth.EventSignInAsked, Method: viaEmail}
		switch m.kind {
		case "passwordReset":
			asked = auth.Event{Type: auth.EventPasswordResetAsked}
		case "verifyEmail":
			asked = auth.Event{Type: auth.EventVerificationAsked}
		}
		e.SignUp(t, "verified@example.com")
		pendingUser(t, e, "pending@example.com")
		e.SignUp(t, "known@blocked.test")
		yes, disabled := true, e.SignUp(t, "disabled@example.com").User.ID
		if _, err := e.UpdateUser(t.Context(), disabled, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		for _, email := range []string{
			"verified@example.com", "pending@example.com", "unknown@example.com", "disabled@example.com", "known@blocked.test", "unknown@blocked.test",
		} {
			counter.Reset()
			events, sent := len(counted.Events.All()), len(counted.Mailbox.All())
			if err := m.send(counted, email, ""); err != nil {
				t.Fatal(err)
			}
			if trips := counter.Trips() - counter.Calls()["SettleMessage"]; trips != 2 { // that is the loop's, where one runs
				t.Errorf("%s to %s: %d trips %v", m.name, email, trips, counter.Calls())
			}
			got := counted.Events.All()[events:]
			if len(got) != 1 || got[0].Type != asked.Type || got[0].Method != asked.Method || (got[0].UserID != uuid.Nil) != (len(counted.Mailbox.All()) > sent) {
				t.Errorf("%s to %s: %+v", m.name, email, got)
			}
			for trip := range 2 {
				broken := authtest.NewWithStore(t, storetest.Break(e.Store, storetest.Fault{Call: trip + 1}), letters, concealing)
				if err := m.send(broken, email, ""); !errors.Is(err, auth.ErrInternal) {
					t.Errorf("%s to %s, whose trip %d fails: %v", m.name, email, trip+1, err)
				}
				if n := len(broken.Events.All()) + len(broken.Mailbox.All()); n != 0 {
					t.Errorf("%s to %s, whose trip %d fails: %d events and letters", m.name, email, trip+1, n)
				}
			}
		}
	}
}

// ML-10, EO-09.
func TestLettersThatAreOff(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	off := replica(t, e)
	for _, m := range mailings[:2] {
		if err := m.send(off, "ada@example.com", ""); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%s: %v", m.name, err)
		}
		if err := m.send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := m.redeem(t, off, "ada@example.com"); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%s that was sent before: %v", m.name, err)
		}
		if _, err := m.redeem(t, e, "ada@example.com"); err != nil { // and is not used up
			t.Errorf("%s where it is on: %v", m.name, err)
		}
	}
	existing := authtest.New(t, func(c *auth.Config) {
		c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{ExistingUsersOnly: true}, &auth.EmailOTPConfig{ExistingUsersOnly: true}
	})
	newUsersOff := authtest.New(t, letters, func(c *auth.Config) { c.SignUp.DisableNewUsers = true })
	for _, m := range mailings[:2] {
		if err := m.send(existing, "ada@example.com", ""); !errors.Is(err, auth.ErrSignUpDisabled) {
			t.Errorf("%s for existing users: %v", m.name, err)
		}
		if err := m.send(newUsersOff, m.kind+"@example.com", ""); !errors.Is(err, auth.ErrDisabledUser) {
			t.Errorf("%s where new users are disabled: %v", m.name, err)
		}
	}
	if len(existing.Mailbox.All())+len(newUsersOff.Mailbox.All()) != 0 {
		t.Error("a letter was sent")
	}
	mute := authtest.New(t, unverified, func(c *auth.Config) { c.Mail = nil })
	for _, m := range mailings[2:] {
		if err := m.send(mute, "ada@example.com", ""); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%s without a sender: %v", m.name, err)
		}
	}
	p := mute.Principal(t, mute.SignUp(t, "ada@example.com"))
	if err := mute.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "new@example.com"}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("a change of address without a sender: %v", err)
	}
}

// TK-11, TK-10: the account's state and address count when the secret is redeemed.
func TestSecretsOfAccountsThatHaveChanged(t *testing.T) {
	t.Parallel()
	yes := true
	for _, m := range mailings[:3] {
		e := authtest.New(t, letters)
		id := e.SignUp(t, "ada@example.com").User.ID
		if err := m.send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := e.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.redeem(t, e, "ada@example.com"); !errors.Is(err, auth.ErrDisabledUser) {
			t.Errorf("%s of a disabled user: %v", m.name, err)
		}

		e = authtest.New(t, letters)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "new@example.com"}); err != nil {
			t.Fatal(err)
		}
		confirm := e.Mailbox.Last(t, "new@example.com").Ticket()
		if err := m.send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		secret := e.Mailbox.Last(t, "ada@example.com").Ticket()
		if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: confirm}); err != nil {
			t.Fatal(err)
		}
		for _, email := range []string{"ada@example.com", "new@example.com"} { // EC-08, EO-11
			if _, err := m.redeemSecret(e, email, secret); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("%s that went to the old address: %v", m.name, err)
			}
		}
	}
}

// TK-07, EO-15: what the store keeps is worth nothing.
func TestTheStoreKeepsNoSecret(t *testing.T) {
	t.Parallel()
	var tickets []store.Ticket
	e := authtest.New(t)
	recording := recorder{Store: e.Store, seen: func(ts ...*store.Ticket) {
		for _, ticket := range ts {
			if ticket != nil {
				tickets = append(tickets, *ticket)
			}
		}
	}}
	e = authtest.NewWithStore(t, recording, letters)
	pendingUser(t, e, "ada@example.com")
	for _, m := range mailings {
		if err := m.send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		secret := e.Mailbox.Last(t, "ada@example.com").Ticket()
		last := tickets[len(tickets)-1]
		for _, stored := range []string{string(last.Hash), fmt.Sprintf("%x", last.Hash), last.ID.String(), m.kind + ":" + last.ID.String(), fmt.Sprintf("%s:%x", m.kind, last.Hash)} {
			if _, err := m.redeemSecret(e, "ada@example.com", stored); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("%s: %q: %v", m.name, stored, err)
			}
		}
		if text := asJSON(last) + string(last.Hash) + string(last.Data); strings.Contains(text, secret) || strings.Contains(text, "ada@") {
			t.Errorf("%s: the store has it in clear", m.name)
		}
	}
}

// recorder sees the tickets that are written.
type recorder struct {
	store.Store
	seen func(...*store.Ticket)
}

func (r recorder) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	r.seen(n.Ticket)
	return r.Store.CreateUser(ctx, n)
}

func (r recorder) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	r.seen(c.Ticket)
	return r.Store.ChangeUser(ctx, c)
}

// What is not six digits is no guess: it is refused before anything is looked for.
func TestWhatIsNoCodeIsNotLookedFor(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, letters)
	for _, code := range []string{"", "12345", "1234567", "12345/", "12345:", ":23456", "12 456", "１２"} {
		counter.Reset()
		_, err := e.VerifyEmailOTP(t.Context(), auth.VerifyEmailOTPParams{Email: "ada@example.com", OTP: code})
		if !errors.Is(err, auth.ErrInvalidTicket) || counter.Trips() != 0 {
			t.Errorf("%q: %v, %v", code, err, counter.Calls())
		}
		_, err = e.VerifySMSOTP(t.Context(), auth.VerifySMSOTPParams{PhoneNumber: adaPhone, OTP: code})
		if !errors.Is(err, auth.ErrInvalidRequest) || counter.Trips() != 0 {
			t.Errorf("%q to a number: %v, %v", code, err, counter.Calls())
		}
	}
	if _, err := e.VerifyEmailOTP(t.Context(), auth.VerifyEmailOTPParams{Email: "ada", OTP: "123456"}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Error(err)
	}
}

// ST-24: a hook that keeps somebody out keeps them out whatever they asked for, and nothing is sent to them.
func TestAHookKeepsOutWhoeverAsksForAMessage(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, func(c *auth.Config) {
		c.Hooks.BeforeSignUp = func(context.Context, *auth.SignUp) error { return errForbidden }
	})
	for _, m := range mailings[:2] {
		wantErr(t, m.send(e, "ada@example.com", ""), errForbidden)
	}
	wantErr(t, textings()[0].send(e, nil, adaPhone), errForbidden)
	if n := userCount(t, e.Store) + len(e.Mailbox.All()) + len(e.Phone.All()); n != 0 {
		t.Errorf("%d users and messages", n)
	}
}

// Where new users are disabled, whoever signs up is kept and gets no message, and where errors are concealed hears nothing of it.
func TestNewUsersAreDisabledWhateverTheyAskFor(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		closed := func(c *auth.Config) { c.SignUp.DisableNewUsers, c.ConcealErrors = true, concealed }
		sends := map[string]func(e *authtest.Engine) error{
			"a text message": func(e *authtest.Engine) error { return textings()[0].send(e, nil, adaPhone) },
		}
		for _, m := range mailings[:2] {
			sends[m.name] = func(e *authtest.Engine) error { return m.send(e, "ada@example.com", "") }
		}
		for name, send := range sends {
			e := authtest.New(t, letters, closed)
			if err := send(e); concealed && err != nil || !concealed && !errors.Is(err, auth.ErrDisabledUser) {
				t.Errorf("%s, concealed %t: %v", name, concealed, err)
			}
			if users, messages := userCount(t, e.Store), len(e.Mailbox.All())+len(e.Phone.All()); users != 1 || messages != 0 {
				t.Errorf("%s, concealed %t: %d users and %d messages", name, concealed, users, messages)
			}
			broken := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "CreateUser"}), letters, closed)
			if err := send(broken); !errors.Is(err, auth.ErrInternal) {
				t.Errorf("%s, concealed %t, with a store that fails: %v", name, concealed, err)
			}
		}
	}
}
