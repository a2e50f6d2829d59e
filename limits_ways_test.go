package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/sms"
)

// wrongs are all ways to present what is wrong, each at an account of its own.
var wrongs = map[string]func(t *testing.T, v *visitor, ctx context.Context, n int) error{
	"a password": func(_ *testing.T, v *visitor, ctx context.Context, n int) error {
		return aPassword.call(v.Engine, 0, n)
	},
	"a code": func(_ *testing.T, v *visitor, ctx context.Context, n int) error { return aCode.call(v.Engine, 0, n) },
	"a texted code": func(_ *testing.T, v *visitor, ctx context.Context, n int) error {
		_, err := v.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: fmt.Sprintf("+4179123%04d", n), OTP: "000000"})
		return err
	},
	"a link": func(_ *testing.T, v *visitor, ctx context.Context, _ int) error {
		_, err := v.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: "verifyEmail:" + uuid.NewString()})
		return err
	},
	"a token": func(_ *testing.T, v *visitor, ctx context.Context, n int) error { return aToken.call(v.Engine, 0, n) },
	"a code of a redirect": func(_ *testing.T, v *visitor, ctx context.Context, _ int) error {
		_, err := v.ExchangeCode(ctx, auth.ExchangeCodeParams{Code: uuid.NewString(), CodeVerifier: strings.Repeat("v", 43)})
		return err
	},
	"a passkey": func(t *testing.T, v *visitor, ctx context.Context, _ int) error {
		elsewhere := authtest.New(t, unverified)
		key := &authtest.Authenticator{}
		withKey(t, elsewhere, "ada@example.com", key)
		_, err := v.VerifySignInWebAuthn(ctx, auth.VerifySignInWebAuthnParams{Credential: key.Get(t, beginKeySignIn(t, elsewhere, ""))})
		return err
	},
	"an id token": func(_ *testing.T, v *visitor, ctx context.Context, _ int) error {
		_, err := v.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: "here", IDToken: "not a token"})
		return err
	},
	"a return from a provider": func(_ *testing.T, v *visitor, ctx context.Context, _ int) error {
		_, err := v.FinishProvider(ctx, auth.FinishProviderParams{Provider: "here", Binding: "x", Values: url.Values{"state": {uuid.NewString()}, "code": {"x"}}})
		return err
	},
	"an admin secret": func(_ *testing.T, v *visitor, ctx context.Context, _ int) error {
		return v.AuthenticateAdmin(ctx, "another")
	},
}

// Whatever a client presents and is wrong is a guess of one budget, which the others of its network share.
func TestEveryWrongThingIsAGuess(t *testing.T) {
	t.Parallel()
	for name, present := range wrongs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, letters, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, auth.BudgetGuessesPerClient), func(c *auth.Config) {
				c.ConcealErrors = false
				c.AdminSecret = auth.Secret("plum-admin-secret")
			})
			for n := range 8 {
				if err := present(t, v, from(0), n); err == nil || errors.Is(err, auth.ErrInternal) || (exceeded(err) == auth.BudgetGuessesPerClient) != (n >= 5) {
					t.Errorf("time %d: %v", n+1, err)
				}
			}
			if err := aToken.call(v.Engine, 0, 0); exceeded(err) == "" {
				t.Errorf("has a budget of its own: %v", err)
			}
			if err := aToken.call(v.Engine, 1, 0); exceeded(err) != "" {
				t.Errorf("of another client: %v", err)
			}
		})
	}
}

// RL-09: what is right is no guess: of a busy office everybody comes in.
func TestWhatIsRightIsNoGuess(t *testing.T) {
	t.Parallel()
	for name, present := range map[string]func(t *testing.T, v *visitor) error{
		"an id token": func(_ *testing.T, v *visitor) error {
			return only(v.SignInIDToken(from(0), auth.SignInIDTokenParams{Provider: "here", IDToken: `{"Subject": "1"}`}))
		},
		"a return from a provider": func(t *testing.T, v *visitor) error {
			start := v.start(t, "here", auth.SignUpOptions{})
			_, err := v.FinishProvider(from(0), auth.FinishProviderParams{Provider: "here", Binding: start.Binding, Values: url.Values{
				"state": {start.State}, "code": {v.here.consent(start, person("1", "", false), nil)},
			}})
			return err
		},
		"a passkey": func(t *testing.T, v *visitor) error {
			key := &authtest.Authenticator{}
			withKey(t, v.Engine, fmt.Sprintf("%s@example.com", uuid.New()), key)
			return only(v.VerifySignInWebAuthn(from(0), auth.VerifySignInWebAuthnParams{Credential: key.Get(t, beginKeySignIn(t, v.Engine, ""))}))
		},
	} {
		v := newVisitor(t, unverified, onlyLimits(limit.Rate{Burst: 2, Per: time.Hour}, auth.BudgetGuessesPerClient))
		for n := range 5 {
			if err := present(t, v); err != nil {
				t.Errorf("%s, time %d: %v", name, n+1, err)
			}
		}
	}
}

// Every way to sign up takes from the client's budget, and none of the ways to come in again does.
func TestEverySignUpCounts(t *testing.T) {
	t.Parallel()
	idToken := func(n int) string {
		p, err := json.Marshal(person(fmt.Sprint(n), fmt.Sprintf("u%d@example.com", n), true))
		if err != nil {
			panic(err)
		}
		return string(p)
	}
	for name, x := range map[string]struct {
		join, again func(t *testing.T, v *visitor, n int) error
	}{
		"a guest": {join: func(_ *testing.T, v *visitor, n int) error { return aSignUp.call(v.Engine, 0, n) }},
		"a password": {
			join: func(_ *testing.T, v *visitor, n int) error {
				_, err := v.SignUpPassword(from(0), auth.SignUpPasswordParams{Email: fmt.Sprintf("u%d@example.com", n), Password: authtest.Password})
				return err
			},
			again: func(_ *testing.T, v *visitor, n int) error {
				return tryPassword(v.Engine, from(0), fmt.Sprintf("u%d@example.com", n), authtest.Password)
			},
		},
		"a password, for an address that is taken": {join: func(_ *testing.T, v *visitor, _ int) error {
			_, err := v.SignUpPassword(from(0), auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
			if errors.Is(err, auth.ErrEmailAlreadyInUse) {
				return nil
			}
			return err
		}},
		"a passkey": {join: func(_ *testing.T, v *visitor, n int) error {
			_, err := v.SignUpWebAuthn(from(0), auth.SignUpWebAuthnParams{Email: fmt.Sprintf("u%d@example.com", n)})
			return err
		}},
		"an id token": {
			join: func(_ *testing.T, v *visitor, n int) error {
				_, err := v.SignInIDToken(from(0), auth.SignInIDTokenParams{Provider: "here", IDToken: idToken(n)})
				return err
			},
			again: func(_ *testing.T, v *visitor, n int) error {
				_, err := v.SignInIDToken(from(0), auth.SignInIDTokenParams{Provider: "here", IDToken: idToken(n)})
				return err
			},
		},
		"a provider": {join: func(t *testing.T, v *visitor, n int) error {
			start := v.start(t, "here", auth.SignUpOptions{})
			code := v.here.consent(start, person(fmt.Sprint(n), fmt.Sprintf("u%d@example.com", n), true), nil)
			_, err := v.FinishProvider(from(0), auth.FinishProviderParams{Provider: "here", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}}})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t, unverified, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, auth.BudgetSignUpsPerClient), func(c *auth.Config) { c.ConcealErrors = false })
			v.SignUp(t, "ada@example.com")
			for n := range 8 {
				if err := x.join(t, v, n); (exceeded(err) == auth.BudgetSignUpsPerClient) != (n >= 5) || n < 5 && err != nil {
					t.Errorf("time %d: %v", n+1, err)
				}
			}
			for n := range 5 {
				if x.again == nil {
					break
				}
				if err := x.again(t, v, n); err != nil {
					t.Errorf("again, %d: %v", n+1, err)
				}
			}
		})
	}
}

// OA-12: every sign-in that has to be remembered takes from the client's budget when it begins.
func TestEveryBeginCounts(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(v *visitor, n int) error{
		"a passkey": func(v *visitor, n int) error { return aBegin.call(v.Engine, 0, n) },
		"a passkey of an address": func(v *visitor, n int) error {
			_, err := v.SignInWebAuthn(from(0), auth.SignInWebAuthnParams{Email: fmt.Sprintf("u%d@example.com", n)})
			return err
		},
		"a visit to a provider": func(v *visitor, _ int) error {
			_, err := v.StartProvider(from(0), auth.StartProviderParams{Provider: "here"})
			return err
		},
	} {
		v := newVisitor(t, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, auth.BudgetChallengesPerClient))
		for n := range 8 {
			if err := begin(v, n); (exceeded(err) == auth.BudgetChallengesPerClient) != (n >= 5) || n < 5 && err != nil {
				t.Errorf("%s, time %d: %v", name, n+1, err)
			}
		}
	}
}

// Where a provider checks codes and does not say what came of it, nobody knows whether one was compared: that is a guess.
func TestACodeThatTheProviderDoesNotAnswerForIsAGuess(t *testing.T) {
	t.Parallel()
	e := withProvider(t, true, onlyLimits(limit.Rate{Burst: 5, Per: time.Hour}, auth.BudgetGuessesPerAccount), func(c *auth.Config) {
		c.SMS.Tries, c.SMS.Verifier = 10, unanswered{c.SMS.Verifier}
	})
	x := textings()[0]
	code := x.code(t, e, nil, adaPhone)
	for n := range 8 {
		if err := x.redeem(e, nil, adaPhone, code); errors.Is(err, auth.ErrInternal) != (n < 5) || (exceeded(err) != "") != (n >= 5) {
			t.Errorf("time %d: %v", n+1, err)
		}
	}
}

// unanswered is a provider that sends codes and does not answer when it is asked about one.
type unanswered struct{ sms.Verifier }

func (unanswered) Check(context.Context, string, string) (bool, error) {
	return false, errors.New("the provider is down")
}
