package auth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func challengeFor(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asks are the calls that take a code challenge, each of which brings a letter with a link to an address.
func asks(e *authtest.Engine, t *testing.T) map[string]func(email, challenge string) error {
	return map[string]func(email, challenge string) error{
		"SignUpPassword": func(email, challenge string) error {
			_, err := e.SignUpPassword(background, auth.SignUpPasswordParams{Email: email, Password: authtest.Password, CodeChallenge: challenge})
			return err
		},
		"VerifySignUpWebAuthn": func(email, challenge string) error {
			_, err := e.VerifySignUpWebAuthn(background, auth.VerifySignUpWebAuthnParams{
				Credential: (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, email)), CodeChallenge: challenge,
			})
			return err
		},
		"SendMagicLink": func(email, challenge string) error {
			return e.SendMagicLink(background, auth.SendMagicLinkParams{Email: email, CodeChallenge: challenge})
		},
		"SendPasswordReset": func(email, challenge string) error {
			pendingUser(t, e, email)
			return e.SendPasswordReset(background, auth.SendPasswordResetParams{Email: email, CodeChallenge: challenge})
		},
		"SendVerificationEmail": func(email, challenge string) error {
			pendingUser(t, e, email)
			return e.SendVerificationEmail(background, auth.SendVerificationEmailParams{Email: email, CodeChallenge: challenge})
		},
		"Deanonymize": func(email, challenge string) error {
			return e.Deanonymize(background, e.Principal(t, guest(t, e)), auth.DeanonymizeParams{
				Method: auth.DeanonymizeByPassword, Email: email, Password: authtest.Password, CodeChallenge: challenge,
			})
		},
		"Deanonymize without a password": func(email, challenge string) error {
			return e.Deanonymize(background, e.Principal(t, guest(t, e)), auth.DeanonymizeParams{
				Method: auth.DeanonymizeByPasswordless, Email: email, CodeChallenge: challenge,
			})
		},
	}
}

func followLink(t *testing.T, e *authtest.Engine, email string) *auth.VerifiedTicket {
	t.Helper()
	v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, email).Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestACodeIsTradedForASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	for name, ask := range asks(e, t) {
		email := strings.ToLower(strings.ReplaceAll(name, " ", "")) + "@example.com"
		if err := ask(email, challengeFor(verifier)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := len(e.Events.Of(auth.EventSignedIn))
		v := followLink(t, e, email)
		if v.Session != nil || v.Code == "" || len(e.Events.Of(auth.EventSignedIn)) != before {
			t.Errorf("%s: a session stands in the redirect: %+v", name, v)
		}
		if u, err := e.FindUser(t.Context(), auth.UserBy{Email: email}); err != nil || !u.EmailVerified {
			t.Errorf("%s: not verified: %v", name, err)
		}
		in, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: v.Code, CodeVerifier: verifier})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p := e.Principal(t, in.Session); in.Session.User.Email != email || len(p.AMR) != 1 || p.AMR[0] != "email" {
			t.Errorf("%s: %+v", name, p)
		}
		if err := ask("x"+email, "not a challenge"); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s with a bad challenge: %v", name, err)
		}
	}
}

func TestACodeIsWorthNothingToAnybodyElse(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	code := func(email string) string {
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: email, CodeChallenge: challengeFor(verifier)}); err != nil {
			t.Fatal(err)
		}
		return followLink(t, e, email).Code
	}
	exchange := func(code, verifier string) error {
		_, err := e.ExchangeCode(background, auth.ExchangeCodeParams{Code: code, CodeVerifier: verifier})
		return err
	}
	other := strings.Repeat("v", 43)
	for name, c := range map[string]struct{ code, verifier string }{
		"another verifier":        {code("a@example.com"), other},
		"the challenge itself":    {code("b@example.com"), challengeFor(verifier)},
		"a verifier that is long": {code("c@example.com"), strings.Repeat("v", 129)},
		"no verifier":             {code("d@example.com"), ""},
		"no code":                 {"", verifier},
		"an unknown code":         {"code:00000000-0000-4000-8000-000000000000", verifier},
	} {
		if err := exchange(c.code, c.verifier); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tried := code("e@example.com")
	if err := exchange(tried, other); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Error(err)
	}
	if err := exchange(tried, verifier); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("a second try: %v", err)
	}
	late := code("f@example.com")
	e.Clock.Advance(5 * time.Minute)
	if err := exchange(late, verifier); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("too late: %v", err)
	}
	one := code("g@example.com")
	var ok atomic.Int64
	parallel(50, func() {
		switch err := exchange(one, verifier); {
		case err == nil:
			ok.Add(1)
		case !errors.Is(err, auth.ErrInvalidRequest):
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d of fifty", ok.Load())
	}
	// A code is no link, and a link no code.
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: code("h@example.com")}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("a code as a link: %v", err)
	}
	if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "i@example.com", CodeChallenge: challengeFor(verifier)}); err != nil {
		t.Fatal(err)
	}
	if err := exchange(e.Mailbox.Last(t, "i@example.com").Ticket(), verifier); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("a link as a code: %v", err)
	}
}

// Who follows a link can ask for a code as well, unless another client has: it is that client's then.
func TestALinkIsFollowedWithACodeChallenge(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	e.SignUp(t, "ada@example.com")
	other := strings.Repeat("v", 43)
	for own, works := range map[string]string{"": other, challengeFor(verifier): verifier} {
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: own}); err != nil {
			t.Fatal(err)
		}
		p := auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket(), CodeChallenge: "not a challenge"}
		if _, err := e.VerifyTicket(t.Context(), p); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%v", err)
		}
		p.CodeChallenge = challengeFor(other)
		v, err := e.VerifyTicket(t.Context(), p)
		if err != nil || v.Session != nil {
			t.Fatalf("%+v, %v", v, err)
		}
		if _, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: v.Code, CodeVerifier: works}); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// The account's state counts at both ends.
func TestCodesOfAccountsThatHaveChanged(t *testing.T) {
	t.Parallel()
	yes := true
	e := authtest.New(t, letters)
	id := e.SignUp(t, "ada@example.com").User.ID
	ask := func() {
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(verifier)}); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	code := followLink(t, e, "ada@example.com").Code
	ask()
	ticket := e.Mailbox.Last(t, "ada@example.com").Ticket()
	if _, err := e.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket}); !errors.Is(err, auth.ErrDisabledUser) {
		t.Errorf("the link: %v", err)
	}
	if _, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: code, CodeVerifier: verifier}); !errors.Is(err, auth.ErrDisabledUser) {
		t.Errorf("the code: %v", err)
	}
}

// RFC 7636 §4.1: a verifier has 43 to 128 characters, whatever its challenge is.
func TestVerifiersHaveTheLengthOfTheStandard(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	for n, good := range map[int]bool{1: false, 42: false, 43: true, 128: true, 129: false} {
		own := strings.Repeat("v", n)
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(own)}); err != nil {
			t.Fatal(err)
		}
		_, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: followLink(t, e, "ada@example.com").Code, CodeVerifier: own})
		if good != (err == nil) || !good && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}

// RL-09: a code that is right is no guess.
func TestRightCodesAreNoGuesses(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters, onlyLimits(limit.Rate{Burst: 2, Per: time.Hour}, auth.BudgetGuessesPerClient))
	for range 5 {
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(verifier)}); err != nil {
			t.Fatal(err)
		}
		in, err := e.VerifyTicket(from(0), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.ExchangeCode(from(0), auth.ExchangeCodeParams{Code: in.Code, CodeVerifier: verifier}); err != nil {
			t.Fatal(err)
		}
	}
}

// RFC 7636 §4.2: a challenge is the base64url of 32 bytes without padding, spelled as its only spelling.
func TestChallengesHaveTheFormOfTheStandard(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	good := challengeFor(verifier)
	for _, challenge := range []string{
		good[:42], good[:40], good + "A", good + "AA", good + "AAA", good + "=", good + "!", good + "\n", good[:40] + "\r\n" + good[40:], " " + good, good + good,
		good[:42] + "N", good[:42] + "+", "+" + good[1:], good[:42] + "\n", "plain", verifier[:20], "=",
	} {
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challenge}); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%q: %v", challenge, err)
		}
	}
	if n := len(e.Mailbox.All()); n != 0 {
		t.Errorf("%d letters", n)
	}
	if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: good}); err != nil {
		t.Error(err)
	}
}
