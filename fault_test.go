package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// flow is something that a user does, which an engine that works can finish after one that does not has failed at it.
type flow struct {
	// prepare makes what the flow needs, with an engine that works.
	prepare func(*testing.T, *authtest.Engine) any
	// run is the flow itself.
	run func(context.Context, *authtest.Engine, any) error
	// recover is what the user does next, with an engine that works, whatever became of run. lost says that run was told of a
	// failure although the store had done what it was asked.
	recover func(t *testing.T, e *authtest.Engine, made any, lost bool)
}

func flows() map[string]flow {
	ada := func(t *testing.T, e *authtest.Engine) any { return e.SignUp(t, "ada@example.com") }
	return map[string]flow{
		"sign-up": {
			prepare: func(*testing.T, *authtest.Engine) any { return nil },
			run: func(ctx context.Context, e *authtest.Engine, _ any) error {
				_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
				return err
			},
			// SU-20: whoever signs up again either gets through, or is told that they did, and then the letter comes.
			recover: func(t *testing.T, e *authtest.Engine, _ any, _ bool) {
				_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
				if err != nil && !errors.Is(err, auth.ErrEmailAlreadyInUse) {
					t.Error(err)
				}
				if n := userCount(t, e.Store); n != 1 {
					t.Errorf("%d users", n)
				}
				e.Clock.Advance(time.Hour)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- e.Run(ctx) }()
				letter := e.Mailbox.Next(t, "ada@example.com")
				stop()
				<-done
				if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: letter.Ticket()}); err != nil {
					t.Errorf("verify: %v", err)
				}
			},
		},
		"sign-in": {
			prepare: ada,
			run: func(ctx context.Context, e *authtest.Engine, _ any) error {
				_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
				return err
			},
			recover: func(t *testing.T, e *authtest.Engine, _ any, _ bool) { e.SignIn(t, "ada@example.com") },
		},
		"anonymous sign-in": {
			prepare: func(*testing.T, *authtest.Engine) any { return nil },
			run: func(ctx context.Context, e *authtest.Engine, _ any) error {
				_, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
				return err
			},
			recover: func(t *testing.T, e *authtest.Engine, _ any, lost bool) {
				if n := userCount(t, e.Store); n > 1 || n == 1 && !lost {
					t.Errorf("%d users", n)
				}
			},
		},
		"refresh": {
			prepare: ada,
			run: func(ctx context.Context, e *authtest.Engine, made any) error {
				_, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: made.(*auth.Session).RefreshToken})
				return err
			},
			// RT-23: the token is good, or its successor can still be had.
			recover: func(t *testing.T, e *authtest.Engine, made any, _ bool) {
				mustRefresh(t, e, made.(*auth.Session).RefreshToken)
			},
		},
		"following a link": {
			prepare: func(t *testing.T, e *authtest.Engine) any {
				if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
					t.Fatal(err)
				}
				return e.Mailbox.Last(t, "ada@example.com").Ticket()
			},
			run: func(ctx context.Context, e *authtest.Engine, made any) error {
				_, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: made.(string)})
				return err
			},
			// TK-19: the ticket is there, or it had its effect.
			recover: func(t *testing.T, e *authtest.Engine, made any, lost bool) {
				_, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: made.(string)})
				if err != nil && !(lost && errors.Is(err, auth.ErrInvalidTicket)) {
					t.Error(err)
				}
				e.SignIn(t, "ada@example.com")
			},
		},
		"sign-out everywhere": {
			prepare: func(t *testing.T, e *authtest.Engine) any {
				s := e.SignUp(t, "ada@example.com")
				return [2]any{s, e.Principal(t, s)}
			},
			run: func(ctx context.Context, e *authtest.Engine, made any) error {
				return e.SignOut(ctx, made.([2]any)[1].(*auth.Principal), auth.SignOutParams{All: true})
			},
			// ST-14: who is told OK is signed out, and who is told of a failure can try again.
			recover: func(t *testing.T, e *authtest.Engine, made any, lost bool) {
				err := e.SignOut(t.Context(), made.([2]any)[1].(*auth.Principal), auth.SignOutParams{All: true})
				if err != nil && !(lost && errors.Is(err, auth.ErrUnauthenticated)) {
					t.Error(err)
				}
				_, err = refresh(t, e, made.([2]any)[0].(*auth.Session).RefreshToken)
				wantErr(t, err, auth.ErrInvalidRefreshToken)
			},
		},
	}
}

// ST-01, ST-08, ST-09, ST-14, ST-17, TK-19, RT-23, SU-20: the store fails, or the client goes away, before and after each call of each
// flow. The caller is told of a failure of the service, never of a mistake of the user; nothing is half done; and the user gets on afterwards.
func TestEveryFlowSurvivesAFaultAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, f := range flows() {
		counter := storetest.Count(memstore.New())
		counted := authtest.NewWithStore(t, counter)
		made := f.prepare(t, counted)
		counter.Reset()
		if err := f.run(t.Context(), counted, made); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for call := 1; call <= counter.Trips(); call++ {
			for _, after := range []bool{false, true} {
				for _, how := range []string{"fails", "is cancelled"} {
					t.Run(fmt.Sprintf("%s, call %d, after %v, %s", name, call, after, how), func(t *testing.T) {
						t.Parallel()
						s := memstore.New()
						healthy := authtest.NewWithStore(t, s)
						made := f.prepare(t, healthy)
						ctx, cancel := context.WithCancel(t.Context())
						fault := storetest.Fault{Call: call, After: after}
						if how == "is cancelled" {
							fault.Do = func(context.Context) { cancel() }
							if !after {
								fault.Err = context.Canceled
							}
						}
						broken := storetest.Break(s, fault)
						e := authtest.NewWithStore(t, broken, func(c *auth.Config) { c.Mail = healthy.Mailbox })
						err := f.run(ctx, e, made)
						cancel()
						if broken.Fired() == 0 {
							t.Fatal("no fault has happened")
						}
						if err != nil && !errors.Is(err, auth.ErrInternal) {
							t.Errorf("got %v", err)
						}
						f.recover(t, healthy, made, after)
						checkInvariants(t, s)
					})
				}
			}
		}
	}
}

// checkInvariants looks for what must never be, whatever has failed.
func checkInvariants(t *testing.T, s store.Store) {
	t.Helper()
	users, err := s.Users(t.Context(), uuid.Nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	emails := map[string]bool{}
	for _, u := range users {
		if u.EmailKey != "" && emails[u.EmailKey] {
			t.Errorf("two users with the address %s", u.EmailKey)
		}
		emails[u.EmailKey] = true
		if u.EmailKey == "" && !u.Anonymous || u.EmailKey != "" && u.PasswordHash == "" {
			t.Errorf("user %s has no way in", u.ID)
		}
	}
}

// ST-18: a store that hangs is given up when the caller's time is up.
func TestAStoreThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	session := authtest.NewWithStore(t, s).SignUp(t, "ada@example.com")
	e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{
		Do: func(ctx context.Context) { <-ctx.Done() }, Err: context.DeadlineExceeded,
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: session.RefreshToken})
	wantErr(t, err, auth.ErrInternal)
	wantErr(t, err, context.DeadlineExceeded)
}

// LG-08: a store that panics is no concern of the sink or the hooks; a panic of the store itself is the adapter's to answer. What must
// hold here is that nothing which was logged or emitted in a whole life has a secret in it (LG-10, W17, PW-26, LG-11).
func TestNothingLoggedOrEmittedHasASecretInIt(t *testing.T) {
	t.Parallel()
	fail := false
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) {
			if fail {
				panic("canary-plum-tractor")
			}
			return nil, nil
		}
	})
	const email, password = "canary-person@example.com", "canary-plum-tractor"
	secrets := []string{password, email, "canary-person"}
	keep := func(s *auth.Session) {
		secrets = append(secrets, s.RefreshToken, s.AccessToken, strings.Split(s.AccessToken, ".")[2])
	}
	e.Mailbox.Refuse(errors.New("the server said no"))
	if _, err := signUp(t, e, email, password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	e.Mailbox.Refuse(nil)
	e.Clock.Advance(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	ticket := e.Mailbox.Next(t, email).Ticket()
	stop()
	<-done
	secrets = append(secrets, ticket, strings.TrimPrefix(ticket, "verifyEmail:"))
	v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	keep(v.Session)
	_, _ = e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
	_, _ = signUp(t, e, email, password, auth.SignUpOptions{})
	_, _ = signIn(t, e, email, password+"!")
	in, err := signIn(t, e, email, password)
	if err != nil {
		t.Fatal(err)
	}
	keep(in.Session)
	next := mustRefresh(t, e, in.Session.RefreshToken)
	keep(next)
	fail = true
	_, errClaims := refresh(t, e, next.RefreshToken)
	fail = false
	e.Clock.Advance(time.Minute)
	_, errReuse := refresh(t, e, in.Session.RefreshToken)
	_, errToken := e.Authenticate(t.Context(), next.AccessToken+"x")
	if err := e.SignOut(t.Context(), e.Principal(t, v.Session), auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}

	said := e.Logs.String()
	for _, event := range e.Events.All() {
		said += fmt.Sprintf("%+v\n", event)
	}
	for _, err := range []error{errClaims, errReuse, errToken} {
		said += fmt.Sprintf("%+v %#v\n", err, err)
	}
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("%q was told", secret)
		}
	}
	if !strings.Contains(said, string(auth.EventRefreshTokenReused)) {
		t.Error("nothing was recorded; the test looks in the wrong place")
	}
}

// LG-16: what the engine hands out is random, all of it, and never the same.
func TestWhatIsHandedOutIsRandom(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	seen := map[string]bool{}
	var ones [128]int
	const n = 2000
	for range n {
		in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{in.Session.RefreshToken, in.Session.RefreshTokenID.String(), e.Principal(t, in.Session).TokenID} {
			if seen[s] {
				t.Fatalf("%s twice", s)
			}
			seen[s] = true
		}
		id, err := uuid.Parse(in.Session.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range ones {
			if id[bit/8]>>(bit%8)&1 == 1 {
				ones[bit]++
			}
		}
	}
	// Each bit is set in half of the tokens; six standard deviations are 134.
	for bit, count := range ones {
		if count < n/2-134 || count > n/2+134 {
			t.Errorf("bit %d is set in %d of %d tokens", bit, count, n)
		}
	}
}
