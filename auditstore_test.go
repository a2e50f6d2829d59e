package auth_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
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

// kept says how long events are kept.
func kept(d time.Duration) func(*auth.Config) {
	return func(c *auth.Config) { c.Audit = &auth.AuditConfig{Retention: d} }
}

// written are the events that a trail has.
func written(t *testing.T, s store.Store) (head []byte, events []store.Event) {
	t.Helper()
	head, events, err := s.Trail(t.Context(), math.MinInt64, 5000)
	if err != nil {
		t.Fatal(err)
	}
	return head, events
}

// What is as old as events get is kept, what is older goes, in one write; and the trail says when, and up to which.
func TestWhatIsAsOldAsEventsGet(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := memstore.New()
	counter := storetest.Count(s)
	e := authtest.NewWithStore(t, counter, kept(10*day))
	auth.PurgeAudit(t.Context(), e.Engine) // there is nothing
	if got := counter.Calls(); !cmp.Equal(got, map[string]int{"Trail": 1}) {
		t.Errorf("for no event: %v", got)
	}
	begun := e.Clock.Now()
	for _, at := range []time.Duration{0, time.Microsecond, day, day + time.Microsecond} {
		e.Clock.Set(begun.Add(at))
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	e.Clock.Set(begun.Add(11 * day)) // the first may be overdue by a day
	counter.Reset()
	auth.PurgeAudit(t.Context(), e.Engine)
	if got := counter.Calls(); !cmp.Equal(got, map[string]int{"Trail": 1}) {
		t.Errorf("before it is time: %v", got)
	}
	// Another replica has written since this one last did.
	if err := guess(t.Context(), authtest.NewWithStore(t, s, audited, func(c *auth.Config) { c.Now = e.Clock.Now })); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(time.Microsecond)
	counter.Reset()
	auth.PurgeAudit(t.Context(), e.Engine)
	if got := counter.Calls(); !cmp.Equal(got, map[string]int{"Trail": 2, "AppendEvents": 1}) {
		t.Errorf("it took %v", got)
	}
	_, events := written(t, s)
	if len(events) != 3 || events[0].Seq != 4 || !events[0].At.Equal(begun.Add(day+time.Microsecond)) {
		t.Fatalf("there are %+v", events)
	}
	if note := events[2]; note.Type != string(auth.EventAuditPurged) || note.Detail != "3" || note.ID == uuid.Nil || !note.At.Equal(e.Clock.Now()) {
		t.Errorf("the trail says %+v", note)
	}
	mustVerify(t, e)
}

// ST-18: a removal that fails leaves everything as it was, and is told of, unless nobody waits for it any more.
func TestARemovalWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		faults []storetest.Fault
		quiet  bool
	}{
		"to look for what is too old": {[]storetest.Fault{{Method: "Trail", Call: 1}}, false},
		"to read it":                  {[]storetest.Fault{{Method: "Trail", Call: 2}}, false},
		"to remove it, twice":         {[]storetest.Fault{{Method: "AppendEvents", Call: 1}, {Method: "AppendEvents", Call: 2}}, false},
		"when the loop has ended":     {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			e := authtest.NewWithStore(t, s, audited)
			if err := guess(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.quiet {
				tt.faults = []storetest.Fault{{Method: "Trail", Call: 1, After: true, Do: func(context.Context) { cancel() }}}
			}
			broken := authtest.NewWithStore(t, storetest.Break(s, tt.faults...), kept(24*time.Hour))
			broken.Clock.Set(e.Clock.Now().Add(3 * 24 * time.Hour))
			auth.PurgeAudit(ctx, broken.Engine)
			if _, events := written(t, s); len(events) != 1 {
				t.Errorf("there are %d events", len(events))
			}
			if said := strings.Contains(broken.Logs.String(), "purge the audit trail"); said == tt.quiet {
				t.Errorf("the log says %s", broken.Logs)
			}
			auth.PurgeAudit(t.Context(), broken.Engine)
			if _, events := written(t, s); len(events) != 1 || events[0].Type != string(auth.EventAuditPurged) {
				t.Errorf("after that there is %+v", events)
			}
			mustVerify(t, broken)
		})
	}
}

// Once it has begun, a removal is not interrupted: its write belongs to no caller.
func TestARemovalIsNotInterrupted(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	ctx, cancel := context.WithCancel(t.Context())
	e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "AppendEvents", Call: 2, Do: func(own context.Context) {
		cancel()
		if _, bounded := own.Deadline(); own.Err() != nil || !bounded {
			t.Errorf("the write has the context of its caller: %v", own.Err())
		}
	}}), kept(24*time.Hour))
	if err := guess(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(3 * 24 * time.Hour)
	auth.PurgeAudit(ctx, e.Engine)
	if _, events := written(t, s); ctx.Err() == nil || len(events) != 1 || events[0].Seq != 2 {
		t.Errorf("there are %+v", events)
	}
}

// Two replicas that remove at the same moment remove once, and say so once, wherever the one overtakes the other.
func TestTwoReplicasRemoveOnce(t *testing.T) {
	t.Parallel()
	for name, overtaken := range map[string]storetest.Fault{
		"before it has read":    {Method: "Trail", Call: 1, After: true},
		"before it has written": {Method: "AppendEvents", Call: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			other := authtest.NewWithStore(t, s, kept(24*time.Hour))
			overtaken.Do = func(context.Context) { auth.PurgeAudit(background, other.Engine) }
			broken := storetest.Break(s, overtaken)
			e := authtest.NewWithStore(t, broken, kept(24*time.Hour))
			for range 2 {
				if err := guess(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			e.Clock.Advance(3 * 24 * time.Hour)
			other.Clock.Set(e.Clock.Now())
			auth.PurgeAudit(t.Context(), e.Engine)
			if _, events := written(t, s); len(events) != 1 || events[0].Type != string(auth.EventAuditPurged) || events[0].Detail != "2" {
				t.Errorf("there are %+v", events)
			}
			if text := e.Logs.String(); strings.Contains(text, "purge the audit trail") || broken.Fired() != 1 {
				t.Errorf("the log says %s", text)
			}
			mustVerify(t, e)
		})
	}
}

// A head of a former secret is put under the present one by the loop, once, although nothing happens.
func TestTheHeadPassesToTheNewSecret(t *testing.T) {
	t.Parallel()
	one, two := auth.Secret(strings.Repeat("1", 32)), auth.Secret(strings.Repeat("2", 32))
	secrets := func(secrets ...auth.Secret) func(*auth.Config) {
		return func(c *auth.Config) { c.Secret, c.PreviousSecrets = secrets[0], secrets[1:] }
	}
	// begin is a trail of one event under the first secret, and what has been asked of the store.
	begin := func(t *testing.T) (*memstore.Store, *storetest.Counter, auth.AuditAnchor) {
		t.Helper()
		s := memstore.New()
		e := authtest.NewWithStore(t, s, audited, realTime, secrets(one))
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return s, storetest.Count(s), mustVerify(t, e)
	}
	run := func(t *testing.T, name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, f)
		})
	}
	run(t, "once", func(t *testing.T) {
		s, counter, anchor := begin(t)
		looping(t, authtest.NewWithStore(t, counter, audited, realTime, secrets(two, one)), time.Minute)
		if got := counter.Calls(); got["Trail"] != 1 || got["AppendEvents"] != 1 {
			t.Errorf("it took %v", got)
		}
		alone := authtest.NewWithStore(t, s, audited, realTime, secrets(two))
		if got, err := alone.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: anchor, Newer: true}); err != nil || got != anchor {
			t.Errorf("%v, %v", got, err)
		}
	})
	run(t, "where it is already", func(t *testing.T) {
		_, counter, _ := begin(t)
		looping(t, authtest.NewWithStore(t, counter, audited, realTime, secrets(one, two)), time.Minute)
		if got := counter.Calls(); got["Trail"] != 1 || got["AppendEvents"] != 0 {
			t.Errorf("it took %v", got)
		}
	})
	run(t, "where there is none", func(t *testing.T) {
		counter := storetest.Count(memstore.New())
		looping(t, authtest.NewWithStore(t, counter, audited, realTime), time.Minute)
		if got := counter.Calls(); got["Trail"] != 1 || got["AppendEvents"] != 0 {
			t.Errorf("it took %v", got)
		}
	})
	for name, fault := range map[string]storetest.Fault{
		"after a failure to read":  {Method: "Trail", Call: 1},
		"after a failure to write": {Method: "AppendEvents", Call: 1},
	} {
		run(t, name, func(t *testing.T) {
			s, counter, anchor := begin(t)
			e := authtest.NewWithStore(t, storetest.Break(counter, fault), audited, realTime, secrets(two, one))
			looping(t, e, time.Minute)
			if n := strings.Count(e.Logs.String(), `"msg":"seal the audit trail's head"`); n != 1 {
				t.Errorf("it is told %d times:\n%s", n, e.Logs)
			}
			alone := authtest.NewWithStore(t, s, audited, realTime, secrets(two))
			if _, err := alone.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: anchor, Newer: true}); err != nil {
				t.Error(err)
			}
		})
	}
	run(t, "although an event came first", func(t *testing.T) {
		s, counter, anchor := begin(t)
		old := authtest.NewWithStore(t, s, audited, realTime, secrets(one))
		e := authtest.NewWithStore(t, storetest.Break(counter, storetest.Fault{Method: "AppendEvents", Call: 1, Do: func(context.Context) {
			if err := guess(background, old); err != nil {
				t.Error(err)
			}
		}}), audited, realTime, secrets(two, one))
		looping(t, e, time.Minute)
		if got := counter.Calls(); got["Trail"] != 2 || got["AppendEvents"] != 2 || strings.Contains(e.Logs.String(), "seal the audit") {
			t.Errorf("it took %v:\n%s", got, e.Logs)
		}
		end := mustVerify(t, e)
		alone := authtest.NewWithStore(t, s, audited, realTime, secrets(two))
		if _, err := alone.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: end, Newer: true}); err != nil || end == anchor {
			t.Errorf("%v, %v", end, err)
		}
	})
	run(t, "not of one that was changed", func(t *testing.T) {
		s, counter, _ := begin(t)
		head, events := written(t, s)
		forged := bytes.Clone(head)
		forged[20] ^= 1
		e := authtest.NewWithStore(t, tampered{counter, forged, events}, audited, realTime, secrets(two, one))
		looping(t, e, time.Minute)
		if n := strings.Count(e.Logs.String(), `"msg":"seal the audit trail's head"`); n != 1 || counter.Calls()["AppendEvents"] != 0 {
			t.Errorf("it is told %d times, and took %v", n, counter.Calls())
		}
	})
}

// Events of a transaction of the service's are written when they are asked for; who has not the time leaves them where they are.
func TestFlushAuditTrail(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, joining{counter}, audited)
	joined := context.WithValue(t.Context(), transaction{}, true)
	for range 3 {
		if err := guess(joined, e); err != nil {
			t.Fatal(err)
		}
	}
	if n := counter.Calls()["AppendEvents"]; n != 0 {
		t.Errorf("%d writes within the transaction", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 32 { // although nobody else writes
		err := e.FlushAuditTrail(ended)
		wantErr(t, err, auth.ErrInternal)
		wantErr(t, err, context.Canceled)
	}
	if _, events := written(t, counter); len(events) != 0 {
		t.Errorf("%d events were written", len(events))
	}
	for range 2 { // the second has nothing to do
		if err := e.FlushAuditTrail(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, events := written(t, counter); len(events) != 3 || counter.Calls()["AppendEvents"] != 1 {
		t.Errorf("%d events in %v", len(events), counter.Calls())
	}
	mustVerify(t, e)

	broken := authtest.NewWithStore(t, joining{storetest.Break(memstore.New(),
		storetest.Fault{Method: "AppendEvents", Call: 1}, storetest.Fault{Method: "AppendEvents", Call: 2})}, audited)
	if err := guess(joined, broken); err != nil {
		t.Fatal(err)
	}
	err := broken.FlushAuditTrail(t.Context())
	wantErr(t, err, auth.ErrInternal)
	wantErr(t, err, storetest.ErrFault)
	if lost := broken.Events.Of(auth.EventAuditLost); len(lost) != 1 || lost[0].Detail != "1" {
		t.Errorf("%+v", lost)
	}
	if err := broken.FlushAuditTrail(t.Context()); err != nil { // what is lost does not wait
		t.Error(err)
	}
}

// The context is for the waiting alone: who has begun to write writes what is others' too.
func TestAFlushThatHasBegunIsFinished(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	ctx, cancel := context.WithCancel(t.Context())
	e := authtest.NewWithStore(t, joining{storetest.Break(s, storetest.Fault{Method: "AppendEvents", Do: func(own context.Context) {
		cancel()
		if own.Err() != nil {
			t.Error("the write has the context of its caller")
		}
	}})}, audited)
	if err := guess(context.WithValue(t.Context(), transaction{}, true), e); err != nil {
		t.Fatal(err)
	}
	if err := e.FlushAuditTrail(ctx); err != nil {
		t.Error(err)
	}
	if _, events := written(t, s); len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
}

// Who waits for the turn to write may leave.
func TestAFlushBehindAWriteThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := deaf{memstore.New(), make(chan struct{})}
		e := authtest.NewWithStore(t, d, audited)
		first := make(chan error)
		go func() { first <- guess(t.Context(), e) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, e.FlushAuditTrail(ctx), context.DeadlineExceeded)
		close(d.wait)
		wantErr(t, <-first, nil)
	})
}

// ST-18: a write whose time is up is not tried again.
func TestAWriteWhoseTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := storetest.Break(memstore.New(), storetest.Fault{
			Method: "AppendEvents", Do: func(ctx context.Context) { <-ctx.Done() }, Err: context.DeadlineExceeded,
		})
		began := time.Now()
		if err := guess(t.Context(), authtest.NewWithStore(t, broken, audited)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 5*time.Second || broken.Fired() != 1 {
			t.Errorf("it took %v and %d attempts", took, broken.Fired())
		}
	})
}

// An event whose first attempt fails, while another replica writes one, comes after that one.
func TestAnEventThatIsOvertakenAfterAFailure(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	other := authtest.NewWithStore(t, s, audited)
	e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "AppendEvents", Call: 1, Err: storetest.ErrFault, Do: func(context.Context) {
		if err := guess(background, other); err != nil {
			t.Error(err)
		}
	}}), audited)
	if err := guess(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if end := mustVerify(t, e); end.Seq != 2 || len(e.Events.Of(auth.EventAuditLost)) != 0 {
		t.Errorf("the trail ends at %v:\n%s", end, e.Logs)
	}
}

// stuck is a store whose trail has no place for another event, although its head is as it was.
type stuck struct{ store.Store }

func (stuck) AppendEvents(_ context.Context, a store.Append) ([]byte, bool, error) {
	return a.After, false, nil
}

// A trail to which nothing can be added is not tried for ever: the event is lost, and told of.
func TestATrailWithNoPlaceForAnEvent(t *testing.T) {
	t.Parallel()
	e := authtest.NewWithStore(t, stuck{memstore.New()}, audited)
	if err := guess(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if len(e.Events.Of(auth.EventAuditLost)) != 1 || !strings.Contains(e.Logs.String(), "the audit trail's head is not one that was written") {
		t.Errorf("the log says %s", e.Logs)
	}
}

// Of messages that fail, the trail tells of letters, and of webhooks only when they are given up: those are tried often.
func TestFailedMessagesInTheTrail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: func(context.Context, int, hookCall) *http.Response { return response(410) }}
		e := authtest.New(t, audited, realTime, hooked(r, hookTo("x", auth.EventSignInFailed)))
		e.Mailbox.Refuse(errors.New("421 not now"))
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		looping(t, e, time.Second)
		r.answer = func(context.Context, int, hookCall) *http.Response { return response(500) }
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		looping(t, e, time.Second)
		if n := len(e.Events.Of(auth.EventMessageFailed)); n != 2 {
			t.Errorf("%d messages have failed", n)
		}
		var got []string
		for _, ev := range list(t, e, auth.AuditQuery{Limit: 100}) {
			if ev.Type == auth.EventMessageFailed || ev.Type == auth.EventMessageGivenUp {
				got = append(got, string(ev.Type)+" "+ev.Method)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"message-failed mail", "message-given-up webhook:x"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// An owner's list says of each event what the trail says.
func TestListActivityIsWhatTheTrailSays(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, audited)
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("203.0.113.9")})
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	if _, err := e.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)}); err != nil { // which has a detail
		t.Fatal(err)
	}
	all, err := e.AuditTrail(t.Context(), auth.AuditQuery{UserID: p.UserID})
	if err != nil {
		t.Fatal(err)
	}
	var want []auth.Activity
	for _, ev := range all.Events {
		address := ""
		if ev.Client.Address.IsValid() {
			address = ev.Client.Address.String()
		}
		want = append(want, auth.Activity{
			ID: ev.ID, At: ev.At, Type: ev.Type, SessionID: ev.SessionID, Current: ev.SessionID == p.SessionID, Address: address,
			Method: ev.Method, Code: ev.Code, Detail: ev.Detail,
		})
	}
	got, err := e.ListActivity(t.Context(), p, auth.ActivityQuery{Limit: len(want)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Events); diff != "" || got.Next != "" {
		t.Errorf("next %q (-want +got):\n%s", got.Next, diff)
	}
	// For whoever names no session, none is the one that asks.
	got, err = e.ListActivity(t.Context(), &auth.Principal{UserID: p.UserID}, auth.ActivityQuery{})
	if err != nil || len(got.Events) != len(want) {
		t.Fatal(got, err)
	}
	for _, a := range got.Events {
		if a.Current {
			t.Errorf("current: %+v", a)
		}
	}
	if !slices.ContainsFunc(want, func(a auth.Activity) bool { return a.Detail != "" && a.Method == "" && a.Address != "" }) {
		t.Errorf("nothing has a detail: %+v", want)
	}
}
