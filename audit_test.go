package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func audited(c *auth.Config) { c.Audit = &auth.AuditConfig{} }

func mustVerify(t *testing.T, e *authtest.Engine) auth.AuditAnchor {
	t.Helper()
	a, err := e.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return a
}

// list reads the whole trail in pages, the latest event first.
func list(t *testing.T, e *authtest.Engine, q auth.AuditQuery) []auth.AuditEvent {
	t.Helper()
	var all []auth.AuditEvent
	for {
		page, err := e.AuditTrail(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if page.Next == "" {
			return all
		}
		if len(page.Events) != q.Limit {
			t.Fatalf("a page of %d has %d events and is not the last", q.Limit, len(page.Events))
		}
		q.Cursor = page.Next
	}
}

// guess fails to sign in, which is an event.
func guess(ctx context.Context, e *authtest.Engine) error {
	_, err := e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: uuid.NewString()})
	if errors.Is(err, auth.ErrInvalidPAT) {
		return nil
	}
	return err
}

func TestTheAuditTrailHasEveryEventWhenItsCallReturns(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, audited)
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("2001:db8::1"), UserAgent: "kept elsewhere"})
	if _, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{}); err != nil {
		t.Fatal(err)
	}
	if err := guess(ctx, e); err != nil {
		t.Fatal(err)
	}
	e.SignUp(t, "ada@example.com")
	want := e.Events.All()
	got := list(t, e, auth.AuditQuery{Limit: 2})
	if len(got) != len(want) {
		t.Fatalf("%d events of %d", len(got), len(want))
	}
	for i, ev := range want {
		ev.Client.UserAgent = ""
		entry := got[len(got)-1-i]
		if diff := cmp.Diff(ev, entry.Event, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || entry.Seq != int64(i)+1 || entry.ID == uuid.Nil {
			t.Errorf("event %d has number %d, id %v (-want +got):\n%s", i+1, entry.Seq, entry.ID, diff)
		}
	}
	if end := mustVerify(t, e); end.Seq != int64(len(want)) {
		t.Errorf("it ends at %v", end)
	}
	if log := e.Logs.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

// timely is a store that no event of a time is asked of that another store does not have.
type timely struct {
	store.Store
	t *testing.T
}

func (s timely) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	for _, at := range []time.Time{q.From, q.Before.At} {
		if at.Year() < 1 || at.Year() > 9999 {
			s.t.Errorf("events are asked for of the year %d", at.Year())
		}
	}
	return s.Store.Events(ctx, q)
}

func TestEventsAreSelected(t *testing.T) {
	t.Parallel()
	e := authtest.NewWithStore(t, timely{memstore.New(), t}, audited, func(c *auth.Config) { c.Audit.Omit = []auth.EventType{auth.EventUserCreated} })
	begin := e.Clock.Now()
	var users []uuid.UUID
	for range 3 {
		in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, in.Session.User.ID)
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(time.Hour)
	}
	latest, err := e.AuditTrail(t.Context(), auth.AuditQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]struct {
		query auth.AuditQuery
		want  []int64
	}{
		"all but what is left out":             {auth.AuditQuery{}, []int64{6, 5, 4, 3, 2, 1}},
		"of a user":                            {auth.AuditQuery{UserID: users[1]}, []int64{3}},
		"of a type":                            {auth.AuditQuery{Type: auth.EventSignInFailed}, []int64{6, 4, 2}},
		"of a user and type":                   {auth.AuditQuery{UserID: users[1], Type: auth.EventSignInFailed}, nil},
		"from a time":                          {auth.AuditQuery{From: begin.Add(time.Hour)}, []int64{6, 5, 4, 3}},
		"until a time, from a cursor after it": {auth.AuditQuery{Until: begin.Add(time.Hour), Cursor: latest.Next}, []int64{2, 1}},
		"until a time":                         {auth.AuditQuery{Until: begin.Add(time.Hour)}, []int64{2, 1}},
		"between times":                        {auth.AuditQuery{From: begin.Add(time.Minute), Until: begin.Add(2 * time.Hour)}, []int64{4, 3}},
		"in another zone":                      {auth.AuditQuery{From: begin.Add(time.Hour).In(time.FixedZone("", 7200))}, []int64{6, 5, 4, 3}},
		// ST-20: what is asked for is a value and never a part of a statement.
		"of a type with a quote":    {auth.AuditQuery{Type: "' OR 1=1 --"}, nil},
		"of a type with a wildcard": {auth.AuditQuery{Type: "%"}, nil},
		"of a type with a NUL":      {auth.AuditQuery{Type: "signed-in\x00"}, nil},
		"of a type in no encoding":  {auth.AuditQuery{Type: "\xff"}, nil},
		"from before all times":     {auth.AuditQuery{From: time.Unix(-1<<62, 0)}, []int64{6, 5, 4, 3, 2, 1}},
		"from after all times":      {auth.AuditQuery{From: time.Unix(1<<62, 0)}, nil},
		"until before all times":    {auth.AuditQuery{Until: time.Unix(-1<<62, 0)}, nil},
		"until after all times":     {auth.AuditQuery{Until: time.Unix(1<<62, 0)}, []int64{6, 5, 4, 3, 2, 1}},
	} {
		for _, limit := range []int{1, 2, 1000} {
			w.query.Limit = limit
			var got []int64
			for _, ev := range list(t, e, w.query) {
				got = append(got, ev.Seq)
			}
			if diff := cmp.Diff(w.want, got); diff != "" {
				t.Errorf("%s, %d at a time (-want +got):\n%s", name, limit, diff)
			}
		}
	}
}

// ST-20
func TestABadCursorOrLimitIsRefused(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, audited)
	ada := e.Principal(t, e.SignUp(t, "ada@example.com"))
	page, err := e.AuditTrail(t.Context(), auth.AuditQuery{Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatalf("%v, %v", page, err)
	}
	other := authtest.New(t, audited, func(c *auth.Config) { c.Secret = auth.Secret(strings.Repeat("other", 8)) })
	_, err = other.AuditTrail(t.Context(), auth.AuditQuery{Cursor: page.Next})
	wantErr(t, err, auth.ErrInvalidRequest)
	for _, cursor := range []string{"1", "-1", "' OR 1=1 --", "%00", "\x00", "99999999999999999999999999", page.Next + "A", page.Next[1:], page.Next + "=", strings.Repeat("A", 100)} {
		_, err := e.AuditTrail(t.Context(), auth.AuditQuery{Cursor: cursor})
		wantErr(t, err, auth.ErrInvalidRequest)
		_, err = e.ListActivity(t.Context(), ada, auth.ActivityQuery{Cursor: cursor})
		wantErr(t, err, auth.ErrInvalidRequest)
	}
	for _, limit := range []int{-1, 1001, math.MaxInt, math.MinInt} {
		_, err := e.AuditTrail(t.Context(), auth.AuditQuery{Limit: limit})
		wantErr(t, err, auth.ErrInvalidRequest)
		_, err = e.ListActivity(t.Context(), ada, auth.ActivityQuery{Limit: limit})
		wantErr(t, err, auth.ErrInvalidRequest)
	}
}

// An owner sees what happened to their account, and nothing of anybody else's, whatever cursor they have got hold of.
func TestListActivityIsOnesOwn(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, audited)
	ada := e.Principal(t, e.SignUp(t, "ada@example.com"))
	e.SignUp(t, "bob@example.com")
	e.SignIn(t, "ada@example.com") // elsewhere
	_, err := e.SignInPassword(auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("203.0.113.9")}),
		auth.SignInPasswordParams{Email: "ada@example.com", Password: "a-guess-of-bobs"})
	wantErr(t, err, auth.ErrInvalidEmailPassword)
	operators, err := e.AuditTrail(t.Context(), auth.AuditQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	var types []auth.EventType
	for _, cursor := range []string{"", operators.Next} {
		q := auth.ActivityQuery{Cursor: cursor, Limit: 2}
		for {
			page, err := e.ListActivity(t.Context(), ada, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page.Events {
				if cursor == "" {
					types = append(types, a.Type)
				}
				if own, err := e.AuditTrail(t.Context(), auth.AuditQuery{UserID: ada.UserID}); err != nil || !strings.Contains(fmt.Sprint(own.Events), a.ID.String()) {
					t.Errorf("%v is not ada's: %v", a, err)
				}
				if a.Current != (a.SessionID == ada.SessionID) {
					t.Errorf("current: %+v", a)
				}
				if (a.Address == "203.0.113.9") != (a.Code == auth.CodeInvalidEmailPassword) {
					t.Errorf("address: %+v", a)
				}
			}
			if q.Cursor = page.Next; page.Next == "" {
				break
			}
		}
	}
	if diff := cmp.Diff([]auth.EventType{auth.EventSignInFailed, auth.EventSignedIn, auth.EventEmailVerified, auth.EventSignedIn, auth.EventUserCreated}, types); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Not for a session that has ended.
	if err := e.SignOut(t.Context(), ada, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	_, err = e.ListActivity(t.Context(), ada, auth.ActivityQuery{})
	wantErr(t, err, auth.ErrUnauthenticated)
}

func TestWithoutAnAuditTrailItsMethodsAreOff(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter)
	ada := e.Principal(t, e.SignUp(t, "ada@example.com"))
	if n := counter.Calls()["AppendEvents"]; n != 0 {
		t.Errorf("%d events were written", n)
	}
	_, err := e.AuditTrail(t.Context(), auth.AuditQuery{})
	wantErr(t, err, auth.ErrDisabledEndpoint)
	_, err = e.ListActivity(t.Context(), ada, auth.ActivityQuery{})
	wantErr(t, err, auth.ErrDisabledEndpoint)
	_, err = e.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{})
	wantErr(t, err, auth.ErrDisabledEndpoint)
	wantErr(t, e.FlushAuditTrail(t.Context()), auth.ErrDisabledEndpoint)
}

// ST-09: an event that cannot be written fails nothing; it is logged, told to the other sinks, and counted in the trail. One whose
// answer alone was lost is there, once.
func TestALostEventFailsNothingAndIsToldOf(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]struct {
		faults []storetest.Fault
		lost   int
	}{
		"an answer is lost":            {[]storetest.Fault{{Method: "AppendEvents", Call: 1, After: true}}, 0},
		"a later answer is lost":       {[]storetest.Fault{{Method: "AppendEvents", Call: 2, After: true}}, 0},
		"the store fails once":         {[]storetest.Fault{{Method: "AppendEvents", Call: 1}}, 0},
		"the store fails twice":        {[]storetest.Fault{{Method: "AppendEvents", Call: 1}, {Method: "AppendEvents", Call: 2}}, 1},
		"the store fails four times":   {[]storetest.Fault{{Method: "AppendEvents", Call: 1}, {Method: "AppendEvents", Call: 2}, {Method: "AppendEvents", Call: 3}, {Method: "AppendEvents", Call: 4}}, 2},
		"a call of the store panics":   {[]storetest.Fault{{Method: "AppendEvents", Call: 1, Do: func(context.Context) { panic("no") }}}, 1},
		"two answers in a row go lost": {[]storetest.Fault{{Method: "AppendEvents", Call: 1, After: true}, {Method: "AppendEvents", Call: 2, After: true}}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			e := authtest.NewWithStore(t, storetest.Break(s, w.faults...), audited)
			for range 3 {
				if err := guess(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
			mustVerify(t, e)
			var guesses, counted int
			for _, ev := range list(t, e, auth.AuditQuery{Limit: 100}) {
				switch ev.Type {
				case auth.EventSignInFailed:
					guesses++
				case auth.EventAuditLost:
					n, err := strconv.Atoi(ev.Detail)
					if err != nil || ev.ID == uuid.Nil || !ev.At.Equal(e.Clock.Now()) {
						t.Errorf("the trail says %+v", ev)
					}
					counted += n
				}
			}
			if w.lost < 0 { // what is told to be lost may be there
				if guesses != 3 || counted != 1 {
					t.Errorf("%d of 3 events are there, %d are told to be lost", guesses, counted)
				}
				return
			}
			if told := len(e.Events.Of(auth.EventAuditLost)); guesses != 3-w.lost || counted != w.lost || told != w.lost {
				t.Errorf("%d of 3 events are there; the trail tells of %d that are not, the sinks of %d, want %d", guesses, counted, told, w.lost)
			}
			if logged := strings.Count(e.Logs.String(), `msg="event is not in the audit trail"`); logged != w.lost {
				t.Errorf("%d are logged:\n%s", logged, e.Logs)
			}
			if said := strings.Count(e.Logs.String(), "event=sign-in-failed"); said != w.lost || w.lost > 0 && !strings.Contains(e.Logs.String(), "method=pat code=invalid-pat") {
				t.Errorf("the log does not say what is lost:\n%s", e.Logs)
			}
		})
	}
}

// ST-18: a store that hangs holds calls up for a while and not for ever, and no more of them than can wait.
func TestAStoreThatHangsHoldsNobodyUpForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := storetest.Fault{Method: "AppendEvents", Do: func(ctx context.Context) { <-ctx.Done() }, Err: context.DeadlineExceeded}
		e := authtest.NewWithStore(t, storetest.Break(memstore.New(), hang), audited)
		const calls = 1500
		began := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		atOnce := 0
		for range calls {
			wg.Go(func() {
				if err := guess(t.Context(), e); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if time.Since(began) == 0 {
					atOnce++
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > 16*time.Second {
			t.Errorf("it took %v", took)
		}
		if atOnce < calls-1001-1 {
			t.Errorf("%d did not wait", atOnce)
		}
		lost := 0
		for _, ev := range e.Events.Of(auth.EventAuditLost) {
			n, _ := strconv.Atoi(ev.Detail)
			lost += n
		}
		if lost != calls {
			t.Errorf("%d of %d are told to be lost", lost, calls)
		}
	})
}

// deaf is a store that hangs and does not look at its context.
type deaf struct {
	store.Store
	wait chan struct{}
}

func (d deaf) AppendEvents(ctx context.Context, a store.Append) ([]byte, bool, error) {
	<-d.wait
	return d.Store.AppendEvents(ctx, a)
}

// ST-18: even then, only the call that writes is held up for good; the others give up, each its own event and nobody else's.
func TestACallBehindAnotherThatHangsGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := deaf{memstore.New(), make(chan struct{})}
		e := authtest.NewWithStore(t, joining{d}, audited)
		from := func(address string) context.Context {
			return auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr(address)})
		}
		first := make(chan error)
		go func() { first <- guess(from("192.0.2.1"), e) }()
		synctest.Wait()
		if err := guess(context.WithValue(from("192.0.2.2"), transaction{}, true), e); err != nil { // which has time
			t.Error(err)
		}
		began := time.Now()
		if err := guess(from("192.0.2.3"), e); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took == 0 || took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(e.Events.Of(auth.EventAuditLost)) != 1 {
			t.Error("nobody was told")
		}
		close(d.wait)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := e.FlushAuditTrail(t.Context()); err != nil {
			t.Error(err)
		}
		var addresses []string
		for _, ev := range list(t, e, auth.AuditQuery{Type: auth.EventSignInFailed, Limit: 10}) {
			addresses = append(addresses, ev.Client.Address.String())
		}
		if diff := cmp.Diff([]string{"192.0.2.2"}, addresses); diff != "" { // the time of the first was up
			t.Errorf("the trail has events from (-want +got):\n%s", diff)
		}
	})
}

// gated is a store in which each write waits for its own gate.
type gated struct {
	store.Store
	writes *atomic.Int32
	gates  []chan struct{}
}

func (g gated) AppendEvents(ctx context.Context, a store.Append) ([]byte, bool, error) {
	<-g.gates[g.writes.Add(1)-1]
	return g.Store.AppendEvents(ctx, a)
}

// A call waits until its own event is written, by whomever, and not until those are that have come since.
func TestACallWaitsForItsOwnEventAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gated{memstore.New(), new(atomic.Int32), []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}}
		e := authtest.NewWithStore(t, g, audited)
		var ended [4]atomic.Bool
		var wg sync.WaitGroup
		begin := func(i int) {
			wg.Go(func() {
				if err := guess(t.Context(), e); err != nil {
					t.Error(err)
				}
				ended[i].Store(true)
			})
			synctest.Wait()
		}
		open := func(i int, want ...bool) {
			t.Helper()
			close(g.gates[i])
			synctest.Wait()
			for i := range ended {
				if ended[i].Load() != want[i] {
					t.Errorf("call %d has ended: %t", i, !want[i])
				}
			}
		}
		begin(0)
		begin(1)
		begin(2)
		open(0, true, false, false, false) // now the second writes, for the third as well
		begin(3)
		open(1, true, true, true, false)
		open(2, true, true, true, true)
		wg.Wait()
		if end := mustVerify(t, e); end.Seq != 4 || g.writes.Load() != 3 {
			t.Errorf("there are %d events, of %d writes", end.Seq, g.writes.Load())
		}
	})
}

// While one call writes, the events of all others gather, a thousand of them, and go together.
func TestEventsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := deaf{memstore.New(), make(chan struct{})}
		counter := storetest.Count(d)
		e := authtest.NewWithStore(t, counter, audited)
		var wg sync.WaitGroup
		begin := func() {
			wg.Go(func() {
				if err := guess(t.Context(), e); err != nil {
					t.Error(err)
				}
			})
		}
		begin()
		synctest.Wait()
		for range 1000 {
			begin()
		}
		synctest.Wait()
		if lost := e.Events.Of(auth.EventAuditLost); len(lost) != 0 {
			t.Errorf("%d events are lost", len(lost))
		}
		if err := guess(t.Context(), e); err != nil { // which does not wait
			t.Error(err)
		}
		if lost := e.Events.Of(auth.EventAuditLost); len(lost) != 1 {
			t.Errorf("%d events are lost, want 1", len(lost))
		}
		close(d.wait)
		wg.Wait()
		if n := counter.Calls()["AppendEvents"]; n != 2 {
			t.Errorf("1001 events took %d writes, not 2", n)
		}
		if end := mustVerify(t, e); end.Seq != 1002 { // and one that tells of the lost one
			t.Errorf("there are %d events", end.Seq)
		}
	})
}

// What is too old goes, and the trail still verifies, also from an anchor whose event has gone. Nothing goes that is not as it was
// written.
func TestEventsThatAreTooOldAreRemoved(t *testing.T) {
	t.Parallel()
	const days = 24 * time.Hour
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited, func(c *auth.Config) { c.Audit.Retention = 10 * days })
	for range 1500 { // more than one removal takes
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	anchor := mustVerify(t, e)
	e.Clock.Advance(5 * days)
	if err := guess(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	oldest := func() int64 {
		t.Helper()
		_, events, err := s.Trail(t.Context(), math.MinInt64, 1)
		if err != nil {
			t.Fatal(err)
		}
		return events[0].Seq
	}
	e.Clock.Advance(6*days - 1)
	auth.PurgeAudit(t.Context(), e.Engine)
	if n := oldest(); n != 1 {
		t.Errorf("before a day is due, the oldest is %d", n)
	}
	e.Clock.Advance(time.Hour)
	auth.PurgeAudit(t.Context(), e.Engine)
	if n := oldest(); n != 1501 {
		t.Errorf("the oldest is %d, want 1501", n)
	}
	removals := list(t, e, auth.AuditQuery{Type: auth.EventAuditPurged, Limit: 10})
	if len(removals) != 2 || removals[0].Detail != "1500" || removals[1].Detail != "1000" {
		t.Errorf("the trail says %v", removals)
	}
	end := mustVerify(t, e)
	for _, newer := range []bool{false, true} {
		if got, err := e.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: anchor, Newer: newer}); err != nil || got != end {
			t.Errorf("from an event that has gone: %v, %v", got, err)
		}
	}
	if err := guess(t.Context(), e); err != nil {
		t.Fatal(err)
	}

	// Somebody has made an event look old, so that it goes before its time.
	head, events, err := s.Trail(t.Context(), math.MinInt64, 10)
	if err != nil {
		t.Fatal(err)
	}
	edited := tampered{s, head, events}
	edited.events[0].At = edited.events[0].At.AddDate(-1, 0, 0)
	victim := authtest.NewWithStore(t, edited, audited, func(c *auth.Config) { c.Audit.Retention, c.Now = 10*days, e.Clock.Now })
	auth.PurgeAudit(t.Context(), victim.Engine)
	if n := oldest(); n != 1501 || !strings.Contains(victim.Logs.String(), "event 1501 of the audit trail: edited") {
		t.Errorf("the oldest is %d, and the log says %s", n, victim.Logs)
	}
}

// tampered is a store whose trail has been changed.
type tampered struct {
	store.Store
	head   []byte
	events []store.Event
}

func (s tampered) Trail(_ context.Context, from int64, limit int) ([]byte, []store.Event, error) {
	var page []store.Event
	for _, ev := range s.events {
		if ev.Seq >= from && len(page) < limit {
			page = append(page, ev)
		}
	}
	return s.head, page, nil
}

// The removal is itself an event: a beginning that was moved without one is found, even if the head is genuine.
func TestABeginningThatWasMovedIsFound(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited)
	for range 5 {
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	end := mustVerify(t, e)
	_, events, err := s.Trail(t.Context(), math.MinInt64, 10)
	if err != nil {
		t.Fatal(err)
	}
	base := auth.AuditAnchor{Seq: 2, Link: [32]byte(events[1].Link)}
	moved := tampered{s, auth.ForgeAuditHead(e.Engine, base, end), events[2:]}
	for _, newer := range []bool{false, true} { // newer than nothing is all
		_, err = authtest.NewWithStore(t, moved, audited).VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Newer: newer})
		wantFault(t, err, auth.AuditFault{Problem: auth.AuditHeadInvalid})
	}
}

// Two events under one number, which the store's own constraint would not allow: wherever they lie, also between two pages.
func TestTwoEventsOfOneNumberAreFound(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited)
	for range 1002 {
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	head, events, err := s.Trail(t.Context(), math.MinInt64, 2000)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 500, 998, 999, 1000, 1001} {
		double := append(append([]store.Event(nil), events[:i+1]...), events[i:]...)
		double[i+1].Detail = "forged"
		_, err := authtest.NewWithStore(t, tampered{s, head, double}, audited).VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{})
		var fault *auth.AuditFault
		if !errors.As(err, &fault) || *fault != (auth.AuditFault{Seq: int64(i) + 1, Problem: auth.AuditEventUnexpected}) {
			t.Errorf("event %d twice: got %v", i+1, err)
		}
	}
}

// Nobody goes on from a head that was changed: that would make it genuine.
func TestAHeadThatWasChangedIsNotContinued(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited)
	for range 3 {
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	head, events, err := s.Trail(t.Context(), math.MinInt64, 10)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte(nil), head...)
	forged[20] ^= 1
	if _, ok, err := s.AppendEvents(t.Context(), store.Append{After: head, Head: forged, Through: 1}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, engine := range []*authtest.Engine{e, authtest.NewWithStore(t, s, audited)} {
		if err := guess(t.Context(), engine); err != nil {
			t.Error(err)
		}
		if now, after, err := s.Trail(t.Context(), math.MinInt64, 10); err != nil || string(now) != string(forged) || len(after) != len(events)-1 {
			t.Errorf("the trail went on: %d events, %v", len(after), err)
		}
		if !strings.Contains(engine.Logs.String(), "the audit trail's head is not one that was written") {
			t.Errorf("the log says %s", engine.Logs)
		}
	}
	// Once it is as it was, the trail goes on.
	if _, ok, err := s.AppendEvents(t.Context(), store.Append{After: forged, Head: head}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := guess(t.Context(), e); err != nil {
		t.Error(err)
	}
	if _, after, err := s.Trail(t.Context(), math.MinInt64, 10); err != nil || len(after) <= len(events)-1 {
		t.Errorf("the trail has not gone on: %d events, %v", len(after), err)
	}
}

// An engine that has seen a later state tells of an earlier one.
func TestATrailThatWasSetBackIsLogged(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited)
	var older []byte
	for i := range 3 {
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			older, _, _ = s.Trail(t.Context(), 0, 1)
		}
	}
	head, _, err := s.Trail(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.AppendEvents(t.Context(), store.Append{After: head, Head: older, Through: 3}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := guess(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(e.Logs.String(), "the audit trail was set back") {
		t.Errorf("the log says %s", e.Logs)
	}
}

// A new secret goes on where the old one ended; without the old one the rest is verified from an anchor.
func TestTheChainOutlivesItsSecret(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	one, two := auth.Secret(strings.Repeat("1", 32)), auth.Secret(strings.Repeat("2", 32))
	with := func(secrets ...auth.Secret) *authtest.Engine {
		return authtest.NewWithStore(t, s, audited, func(c *auth.Config) { c.Secret, c.PreviousSecrets = secrets[0], secrets[1:] })
	}
	live := func(e *authtest.Engine) {
		t.Helper()
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	old := with(one)
	live(old)
	// Replicas with the old and the new one side by side.
	both, swapped := with(two, one), with(one, two)
	live(both)
	live(swapped)
	live(both)
	anchor := mustVerify(t, both)
	mustVerify(t, swapped)
	alone := with(two)
	live(alone)
	if _, err := alone.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{}); err == nil {
		t.Error("events of a secret that is gone were verified")
	}
	end, err := alone.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: anchor, Newer: true})
	if err != nil || end.Seq != 5 {
		t.Errorf("from the anchor: %v, %v", end, err)
	}
	_, err = with(auth.Secret(strings.Repeat("3", 32))).VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{})
	var fault *auth.AuditFault
	if !errors.As(err, &fault) || fault.Problem != auth.AuditHeadInvalid {
		t.Errorf("by a stranger's secret: %v", err)
	}
}

// LG-12: what clients say of themselves cannot make two rows, or lines, of one.
func TestTextsOfEventsArePlain(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, audited)
	const before = "fe80::1%"
	long := strings.Repeat("x", 512-len(before))
	for text, want := range map[string]string{
		"z\x00\r\n\x1b[31m":        "z[31m",
		"a\x1f !~\x7f\u0080\u009f": "a !~",
		"\u00a0\u2027\u202aé":      "\u00a0\u2027\u202aé",
		"a\u2028\u2029\uFFFD\xff":  "a",
		long:                       long,
		long + "y":                 long,
		long[1:] + "é":             long[1:],
		"\n" + long:                long,
		strings.Repeat("é", 600):   strings.Repeat("é", len(long)/2),
	} {
		ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("fe80::1").WithZone(text)})
		if err := guess(ctx, e); err != nil {
			t.Fatal(err)
		}
		_, events, err := e.Store.Trail(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got := events[len(events)-1].Address; got != before+want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	mustVerify(t, e)
}

// W17, LG-10, LG-11: the trail has no secret and no address of a person.
func TestTheAuditTrailHasNoSecret(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, audited)
	session := e.SignUp(t, "canary-person@example.com")
	_, _ = e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "canary-person@example.com", Password: "canary-guess-1"})
	_, _ = e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken})
	_, _ = e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "canary-person@example.com").Ticket()})
	_, events, err := e.Store.Trail(t.Context(), 0, 100)
	if err != nil || len(events) < 4 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for _, secret := range []string{"canary", authtest.Password, session.RefreshToken, e.Mailbox.Last(t, "canary-person@example.com").Ticket()} {
		if strings.Contains(fmt.Sprintf("%+v", events), secret) {
			t.Errorf("the trail has %q", secret)
		}
	}
}

func TestAnAnchorIsALineOfText(t *testing.T) {
	t.Parallel()
	a := auth.AuditAnchor{Seq: 1042, Link: [32]byte{0: 0x8f, 31: 0x0c}}
	text, err := a.MarshalText()
	if err != nil || string(text) != a.String() || !strings.HasPrefix(a.String(), "1042:8f00") {
		t.Errorf("%s, %v", text, err)
	}
	var b auth.AuditAnchor
	zero, err := b.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.UnmarshalText(text); err != nil || b != a {
		t.Errorf("%v, %v", b, err)
	}
	if err := b.UnmarshalText(zero); err != nil || b != (auth.AuditAnchor{}) {
		t.Errorf("before the first event: %v, %v", b, err)
	}
	b = a
	for _, bad := range []string{"", "1042", "1042:", "x:" + a.String()[5:], "-1:" + a.String()[5:], a.String() + "00", a.String() + "0", a.String()[:len(a.String())-1] + "x", "9" + strings.Repeat("9", 30) + a.String()[4:]} {
		if err := b.UnmarshalText([]byte(bad)); err == nil || b != a {
			t.Errorf("%q was read: %v", bad, b)
		}
	}
}
