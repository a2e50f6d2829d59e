package storetest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// A wrapper must not change what it wraps: the suite passes through both.
func TestWrappersKeepTheContract(t *testing.T) {
	t.Parallel()
	Run(t, func(t *testing.T) store.Store {
		t.Parallel()
		return Count(Break(memstore.New()))
	})
}

// population is a store with what methods needs.
func population(t *testing.T) (s store.Store, p *owner, budget store.Ticket) {
	t.Helper()
	s = memstore.New()
	p = newOwner(t, s)
	budget = newTicket()
	budget.Tries = 3
	return s, p, put(t, s, budget)
}

// methodsOf are the names of the methods of a store that are calls to a database.
func methodsOf() []string {
	var names []string
	for m := range reflect.TypeFor[store.Store]().Methods() {
		if m.Name != "Joined" {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestCounterCountsEveryMethod(t *testing.T) {
	t.Parallel()
	for _, name := range methodsOf() {
		s, p, budget := population(t)
		c := Count(s)
		call := methods(c, p, budget, store.Append{})[name]
		if call == nil {
			t.Fatalf("methods does not call %s", name)
		}
		for range 2 {
			_ = call(t.Context())
		}
		equal(t, "calls", c.Calls(), map[string]int{name: 2})
		if n := c.Trips(); n != 2 {
			t.Errorf("%d trips, want 2", n)
		}
		c.Reset()
		if n := c.Trips(); n != 0 {
			t.Errorf("%d trips after a Reset", n)
		}
	}
}

func TestCounterCountsWhatWithinDoes(t *testing.T) {
	t.Parallel()
	c := Count(memstore.New())
	n := store.NewUser{User: newUser(), Within: func(ctx context.Context, u store.User) error {
		_, err := c.User(ctx, store.UserQuery{ID: u.ID, Now: base})
		return err
	}}
	create(t, c, n)
	equal(t, "calls", c.Calls(), map[string]int{"CreateUser": 1, "User": 1})
	calls := c.Calls()
	calls["User"] = 100
	equal(t, "calls", c.Calls(), map[string]int{"CreateUser": 1, "User": 1})
}

func TestCounterCountsInParallel(t *testing.T) {
	t.Parallel()
	c := Count(memstore.New())
	race(crowd, func(int) error { return c.Ping(t.Context()) })
	if n := c.Trips(); n != crowd {
		t.Errorf("%d trips, want %d", n, crowd)
	}
}

func TestFaultBeforeACallPreventsIt(t *testing.T) {
	t.Parallel()
	for _, name := range methodsOf() {
		s, p, budget := population(t)
		before := look(t, s)
		f := Break(s, Fault{Method: name})
		wants(t, methods(f, p, budget, store.Append{})[name](t.Context()), ErrFault)
		unchanged(t, s, before)
		if f.Fired() != 1 {
			t.Errorf("%s: %d faults", name, f.Fired())
		}
	}
}

func TestFaultAfterACallLosesItsAnswer(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	n := store.NewUser{User: newUser()}
	f := Break(s, Fault{Method: "CreateUser", After: true}, Fault{Method: "ChangeUser", After: true, Err: context.Canceled})
	got, err := f.CreateUser(t.Context(), n)
	wants(t, err, ErrFault)
	equal(t, "the user returned", got, store.User{})
	find(t, f, n.User.ID)
	_, err = f.ChangeUser(t.Context(), store.UserChange{UserID: n.User.ID, Now: base, Set: store.UserSet{Locale: new("bg")}})
	wants(t, err, context.Canceled)
	if a := find(t, f, n.User.ID); a.Locale != "bg" {
		t.Errorf("the locale is %q", a.Locale)
	}
	if f.Fired() != 2 {
		t.Errorf("%d faults, want 2", f.Fired())
	}
}

func TestFaultBefallsTheCallThatItNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault Fault
		want  []bool // which of User, Ping, User, Ping fails
	}{
		"the first call":                 {Fault{Call: 1}, []bool{true, false, false, false}},
		"the third call":                 {Fault{Call: 3}, []bool{false, false, true, false}},
		"the second of a method":         {Fault{Call: 2, Method: "Ping"}, []bool{false, false, false, true}},
		"the second of a method, after":  {Fault{Call: 2, Method: "User", After: true}, []bool{false, false, true, false}},
		"the third of a method":          {Fault{Call: 3, Method: "Ping"}, []bool{false, false, false, false}},
		"each of a method":               {Fault{Method: "User"}, []bool{true, false, true, false}},
		"each":                           {Fault{}, []bool{true, true, true, true}},
		"one that does but does not err": {Fault{Do: func(context.Context) {}}, []bool{false, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			u := someone(t, s)
			f := Break(s, test.fault)
			var got []bool
			for range 2 {
				_, err := f.User(t.Context(), store.UserQuery{ID: u.ID, Now: base})
				got = append(got, err != nil)
				got = append(got, f.Ping(t.Context()) != nil)
			}
			equal(t, "failures", got, test.want)
		})
	}
}

func TestFaultMayCancelTheContext(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	u := someone(t, s)
	for _, after := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		f := Break(s, Fault{Call: 2, After: after, Do: func(context.Context) { cancel() }})
		wants(t, f.Ping(ctx), nil)
		_, err := f.ChangeUser(ctx, store.UserChange{UserID: u.ID, Now: base, Set: store.UserSet{Locale: new("bg")}})
		wantErr, wantLocale := context.Canceled, ""
		if after {
			wantErr, wantLocale = nil, "bg"
		}
		wants(t, err, wantErr)
		if got := find(t, s, u.ID).Locale; got != wantLocale {
			t.Errorf("the locale is %q, want %q", got, wantLocale)
		}
		cancel()
	}
}

func TestFaultMayStallUntilReleased(t *testing.T) {
	t.Parallel()
	stalled, release := make(chan struct{}), make(chan struct{})
	f := Break(memstore.New(), Fault{Method: "Ping", Do: func(context.Context) {
		close(stalled)
		<-release
	}})
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = f.Ping(t.Context()) })
	<-stalled
	// Others are not held up.
	if _, err := f.SigningKeys(t.Context(), base); err != nil {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	wants(t, err, nil)
}

func TestFaultMayChangeTheStoreBehindTheCallersBack(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	u := someone(t, s)
	f := Break(s, Fault{Method: "ChangeUser", Call: 1, Do: func(ctx context.Context) {
		if _, err := s.ChangeUser(ctx, store.UserChange{UserID: u.ID, Now: base, Drop: store.Drop{Sessions: true}}); err != nil {
			t.Error(err)
		}
	}})
	_, err := f.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, If: store.Conditions{Epoch: u.Epoch}})
	wants(t, err, unmet(store.ConditionEpoch))
}

func TestFaultInAWithinCallbackUndoesTheSignUp(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	f := Break(s, Fault{Method: "PutTicket", After: true})
	n := store.NewUser{User: newUser(), Within: func(ctx context.Context, u store.User) error {
		return f.PutTicket(ctx, ticketOf(u.ID))
	}}
	_, err := f.CreateUser(t.Context(), n)
	wants(t, err, ErrFault)
	equal(t, "the store", look(t, s), world{})
	if !errors.Is(f.DeleteUser(t.Context(), deletion(uuid.New())), store.ErrNotFound) {
		t.Error("a call that has no fault does not return the store's error")
	}
}

func TestFaultsOfOneCallBefallItInOrder(t *testing.T) {
	t.Parallel()
	var order []int
	note := func(i int) func(context.Context) { return func(context.Context) { order = append(order, i) } }
	f := Break(memstore.New(),
		Fault{After: true, Do: note(3)}, Fault{Do: note(1)}, Fault{Do: note(2)}, Fault{After: true, Do: note(4), Err: ErrFault},
		Fault{After: true, Do: note(5)})
	_, err := f.SigningKeys(t.Context(), time.Time{})
	wants(t, err, ErrFault)
	equal(t, "the order", order, []int{1, 2, 3, 4})
	if f.Fired() != 4 {
		t.Errorf("%d faults, want 4", f.Fired())
	}
}
