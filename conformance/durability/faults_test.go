package durability_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/storetest"
)

// flow is something that a user does, and what they do next, with an engine that works, whatever became of it.
type flow struct {
	name    string
	effect  int // which call of the store has it
	prepare func(*testing.T, *authtest.Engine) made
	run     func(context.Context, *authtest.Engine, made) error
	// recover gets doubt, which is whether the flow may have had its effect although it was told of a failure.
	recover func(t *testing.T, e *authtest.Engine, m made, doubt bool)
}

// made is what was there before a flow.
type made struct {
	session   *auth.Session
	principal *auth.Principal
	ticket    string
}

const ada = "ada@example.com"

func nothing(*testing.T, *authtest.Engine) made { return made{} }

func member(t *testing.T, e *authtest.Engine) made {
	s := e.SignUp(t, ada)
	return made{session: s, principal: e.Principal(t, s)}
}

func signsUp(ctx context.Context, e *authtest.Engine, _ made) error {
	_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: ada, Password: authtest.Password})
	return err
}

var flows = []flow{
	{
		name: "sign-up", effect: 1, prepare: nothing, run: signsUp,
		// SU-20: whoever signs up again gets through or is told that they did, and the letter comes.
		recover: func(t *testing.T, e *authtest.Engine, m made, doubt bool) {
			err := signsUp(t.Context(), e, m)
			if err != nil && !(doubt && errors.Is(err, auth.ErrEmailAlreadyInUse)) {
				t.Errorf("sign up again: %v", err)
			}
			deliverLate(t, e)
			in, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, ada).Ticket()})
			if err != nil {
				t.Fatalf("follow the link: %v", err)
			}
			refreshes(t, e, in.Session.RefreshToken)
			e.SignIn(t, ada)
		},
	},
	{
		name: "sign-in", effect: 2, prepare: member,
		run: func(ctx context.Context, e *authtest.Engine, _ made) error {
			_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: ada, Password: authtest.Password})
			return err
		},
		recover: func(t *testing.T, e *authtest.Engine, m made, doubt bool) {
			a, err := e.Store.User(t.Context(), store.UserQuery{ID: m.principal.UserID, With: store.WithSessions, Now: e.Clock.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(a.Sessions); n < 1 || n > 2 || n == 2 && !doubt {
				t.Errorf("%d sessions after a sign-in that failed", n)
			}
			refreshes(t, e, e.SignIn(t, ada).RefreshToken)
			refreshes(t, e, m.session.RefreshToken)
		},
	},
	{
		name: "anonymous sign-in", effect: 1, prepare: nothing,
		run: func(ctx context.Context, e *authtest.Engine, _ made) error {
			_, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
			return err
		},
		recover: func(t *testing.T, e *authtest.Engine, _ made, doubt bool) {
			if n := len(users(t, e.Store)); n > 1 || n == 1 && !doubt {
				t.Errorf("%d users after a sign-in that failed", n)
			}
			in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
			if err != nil {
				t.Fatal(err)
			}
			refreshes(t, e, in.Session.RefreshToken)
		},
	},
	{
		name: "refresh", effect: 1, prepare: member,
		run: func(ctx context.Context, e *authtest.Engine, m made) error {
			_, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: m.session.RefreshToken})
			return err
		},
		// RT-23: the token is good, or its successor can still be had. Either way there is one session, and one token of it.
		recover: func(t *testing.T, e *authtest.Engine, m made, _ bool) {
			next := refreshes(t, e, m.session.RefreshToken)
			if again := refreshes(t, e, m.session.RefreshToken); again.RefreshToken != next.RefreshToken {
				t.Error("a token has two successors")
			}
			refreshes(t, e, next.RefreshToken)
		},
	},
	{
		name: "following a link", effect: 2,
		prepare: func(t *testing.T, e *authtest.Engine) made {
			if err := signsUp(t.Context(), e, made{}); err != nil {
				t.Fatal(err)
			}
			return made{ticket: e.Mailbox.Last(t, ada).Ticket()}
		},
		run: func(ctx context.Context, e *authtest.Engine, m made) error {
			_, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: m.ticket})
			return err
		},
		// TK-19: the ticket is there, or it had its effect.
		recover: func(t *testing.T, e *authtest.Engine, m made, doubt bool) {
			_, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: m.ticket})
			if err != nil && !(doubt && errors.Is(err, auth.ErrInvalidTicket)) {
				t.Errorf("follow the link again: %v", err)
			}
			e.SignIn(t, ada)
		},
	},
	{
		name: "sign-out everywhere", effect: 1, prepare: member,
		run: func(ctx context.Context, e *authtest.Engine, m made) error {
			return e.SignOut(ctx, m.principal, auth.SignOutParams{All: true})
		},
		// ST-14: who is told OK is signed out, and who is told of a failure can try again.
		recover: func(t *testing.T, e *authtest.Engine, m made, doubt bool) {
			err := e.SignOut(t.Context(), m.principal, auth.SignOutParams{All: true})
			if err != nil && !(doubt && errors.Is(err, auth.ErrUnauthenticated)) {
				t.Errorf("sign out again: %v", err)
			}
			_, err = e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: m.session.RefreshToken})
			if !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Errorf("refresh after signing out: %v", err)
			}
			e.SignIn(t, ada)
		},
	},
}

func refreshes(t *testing.T, e *authtest.Engine, token string) *auth.Session {
	t.Helper()
	s, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: token})
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return s
}

func users(t *testing.T, s store.Store) []store.User {
	t.Helper()
	list, err := s.Users(t.Context(), uuid.Nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// deliverLate delivers what is in the outbox, also what a process that is gone had in hand.
func deliverLate(t *testing.T, e *authtest.Engine) {
	t.Helper()
	ctx, end := context.WithCancelCause(t.Context())
	late := authtest.NewWithStore(t, outbox{e.Store, end}, func(c *auth.Config) {
		c.Mail = e.Mailbox
		c.Now = func() time.Time { return e.Clock.Now().Add(2 * time.Minute) }
	})
	_ = late.Run(ctx)
	if err := context.Cause(ctx); !errors.Is(err, errEmpty) {
		t.Fatalf("deliver what is in the outbox: %v", err)
	}
}

// harm is a way in which a call of a store goes wrong.
type harm struct {
	name string
	// fault returns what befalls the call. cancel ends the context of the flow.
	fault func(cancel func()) storetest.Fault
	// doubt is whether the call may have been done, and later whether one that follows may.
	doubt, later bool
}

var harms = []harm{
	{"fails", func(func()) storetest.Fault { return storetest.Fault{} }, false, false},
	{"loses its answer", func(func()) storetest.Fault { return storetest.Fault{After: true} }, true, false},
	{"is cancelled before", func(cancel func()) storetest.Fault {
		return storetest.Fault{Do: func(context.Context) { cancel() }} // and goes on to a store that must see it
	}, false, false},
	{"is cancelled after", func(cancel func()) storetest.Fault {
		return storetest.Fault{After: true, Do: func(context.Context) { cancel() }}
	}, true, false},
	{"is cancelled and loses its answer", func(cancel func()) storetest.Fault {
		return storetest.Fault{After: true, Do: func(context.Context) { cancel() }, Err: context.Canceled}
	}, true, false},
	{"is cancelled meanwhile", func(cancel func()) storetest.Fault {
		return storetest.Fault{Do: func(context.Context) { time.AfterFunc(rand.N(3*time.Millisecond), cancel) }}
	}, true, true},
}

// ST-01, ST-14, ST-17, TK-19, RT-23, SU-20: each call of each flow goes wrong in each way, in each store. The caller is told
// of a failure of the service, never of a mistake of the user; nothing is half done; and the user gets on afterwards.
func TestEveryFlowSurvivesAFaultAtEveryStepInEveryStore(t *testing.T) {
	t.Parallel()
	for name, newPlace := range map[string]func(*testing.T) place{
		"memory": func(*testing.T) place { return place{} }, "SQLite": quickPlace, "PostgreSQL": postgresPlace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			s, closeStore, err := p.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore()
			for _, f := range flows {
				for call := 1; call <= trips(t, s, f); call++ {
					for _, h := range harms {
						t.Run(fmt.Sprintf("%s, call %d %s", f.name, call, h.name), func(t *testing.T) {
							survives(t, p, s, f, call, h)
						})
					}
				}
			}
		})
	}
}

// trips counts the calls of a flow.
func trips(t *testing.T, s store.Store, f flow) int {
	t.Helper()
	defer empty(t, s)
	counter := storetest.Count(s)
	e := authtest.NewWithStore(t, counter)
	m := f.prepare(t, e)
	counter.Reset()
	if err := f.run(t.Context(), e, m); err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	if counter.Trips() < f.effect {
		t.Fatalf("%s makes %d calls", f.name, counter.Trips())
	}
	return counter.Trips()
}

// empty removes all users, and with them all that is theirs.
func empty(t *testing.T, s store.Store) {
	t.Helper()
	for _, u := range users(t, s) {
		if err := s.DeleteUser(t.Context(), store.UserDeletion{UserID: u.ID, If: store.Conditions{Disabled: true}}); err != nil {
			t.Fatal(err)
		}
	}
}

func survives(t *testing.T, p place, s store.Store, f flow, call int, h harm) {
	defer empty(t, s)
	healthy := authtest.NewWithStore(t, s)
	m := f.prepare(t, healthy)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fault := h.fault(cancel)
	fault.Call = call
	broken := storetest.Break(s, fault)
	e := authtest.NewWithStore(t, broken, func(c *auth.Config) { c.Mail, c.Now = healthy.Mailbox, healthy.Clock.Now })
	err := f.run(ctx, e, m)
	if broken.Fired() == 0 {
		t.Fatal("no fault has happened")
	}
	if err != nil && !errors.Is(err, auth.ErrInternal) {
		t.Errorf("the caller is told of %v", err)
	}
	check := func() {
		if p.Driver != "" {
			b := p.look(t)
			defer b.close()
			b.check(t.Context(), t.Errorf)
		}
	}
	check() // before anybody has put anything right

	f.recover(t, healthy, m, call > f.effect || call == f.effect && h.doubt || call < f.effect && h.later)
	for _, u := range users(t, s) {
		if (u.EmailKey == "") != u.Anonymous || (u.EmailKey == "") != (u.PasswordHash == "") {
			t.Errorf("user %s is half made", u.ID)
		}
	}
	if n := len(users(t, s)); n != 1 && f.name != "anonymous sign-in" {
		t.Errorf("%d users, want 1", n)
	}
	check()
	deliverLate(t, healthy)
	if n := len(healthy.Mailbox.All()); (n > 0) != (f.name != "anonymous sign-in") {
		t.Errorf("%d letters have come", n)
	}
}
