package auth_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// trailOf is a trail of n events, and a fresh engine over whatever somebody has made of it.
func trailOf(t *testing.T, n int) (head []byte, events []store.Event, over func(store.Store) *authtest.Engine) {
	t.Helper()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited)
	for range n {
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	head, events, err := s.Trail(t.Context(), math.MinInt64, n+1)
	if err != nil {
		t.Fatal(err)
	}
	return head, events, func(s store.Store) *authtest.Engine { return authtest.NewWithStore(t, s, audited) }
}

// at is the place of an event that is as it was written.
func at(ev store.Event) auth.AuditAnchor {
	return auth.AuditAnchor{Seq: ev.Seq, Link: [32]byte(ev.Link)}
}

// copied are the events of a trail, to be changed.
func copied(events []store.Event) []store.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].Link = bytes.Clone(events[i].Link)
	}
	return events
}

// wantFault compares what a verification has found; the zero fault stands for nothing.
func wantFault(t *testing.T, err error, want auth.AuditFault) {
	t.Helper()
	var fault *auth.AuditFault
	switch {
	case want == auth.AuditFault{}:
		if err != nil {
			t.Errorf("got %v", err)
		}
	case !errors.As(err, &fault) || *fault != want || !errors.Is(err, auth.ErrInternal):
		t.Errorf("got %v, want %+v", err, want)
	}
}

// LG-14: whatever somebody who can write to the database does to the trail is found, and where.
func TestTamperingWithTheTrailIsFound(t *testing.T) {
	t.Parallel()
	head, events, over := trailOf(t, 6)
	edit := func(i int, change func(*store.Event)) []store.Event {
		edited := copied(events)
		change(&edited[i])
		return edited
	}
	without := func(i, j int) []store.Event { return slices.Delete(copied(events), i, j) }
	none, anchored := auth.VerifyAuditTrailParams{}, auth.VerifyAuditTrailParams{Anchor: at(events[3])}
	newer := auth.VerifyAuditTrailParams{Anchor: at(events[3]), Newer: true}
	otherHead, others, _ := trailOf(t, 6) // under the same secret
	olderHead, older, _ := trailOf(t, 2)
	moved := copied(events)
	moved[1], moved[2] = moved[2], moved[1]
	moved[1].Seq, moved[2].Seq = 2, 3
	behind := append(copied(events), events[5])
	behind[6].Seq = 7
	ahead := append(copied(events[:1]), events...)
	ahead[0].Seq = -1
	flipped := func(i int) []byte { h := bytes.Clone(head); h[i] ^= 1; return h }
	fault := func(seq int64, p auth.AuditProblem) auth.AuditFault { return auth.AuditFault{Seq: seq, Problem: p} }
	badHead := fault(0, auth.AuditHeadInvalid)
	for name, tt := range map[string]struct {
		head   []byte
		events []store.Event
		p      auth.VerifyAuditTrailParams
		want   auth.AuditFault
	}{
		"nothing":                       {head, events, none, auth.AuditFault{}},
		"nothing, with an anchor":       {head, events, anchored, auth.AuditFault{}},
		"nothing, after an anchor":      {head, events, newer, auth.AuditFault{}},
		"nothing, after the last event": {head, events, auth.VerifyAuditTrailParams{Anchor: at(events[5]), Newer: true}, auth.AuditFault{}},
		"no event was ever written":     {nil, nil, none, auth.AuditFault{}},

		"the number is another":  {head, edit(2, func(ev *store.Event) { ev.Seq = 9 }), none, fault(9, auth.AuditEventUnexpected)},
		"the id is another":      {head, edit(0, func(ev *store.Event) { ev.ID = uuid.New() }), none, fault(1, auth.AuditEventEdited)},
		"the time is another":    {head, edit(1, func(ev *store.Event) { ev.At = ev.At.Add(time.Microsecond) }), none, fault(2, auth.AuditEventEdited)},
		"the type is another":    {head, edit(2, func(ev *store.Event) { ev.Type = "signed-in" }), none, fault(3, auth.AuditEventEdited)},
		"the user is another":    {head, edit(3, func(ev *store.Event) { ev.UserID = uuid.New() }), none, fault(4, auth.AuditEventEdited)},
		"the session is another": {head, edit(4, func(ev *store.Event) { ev.SessionID = uuid.New() }), none, fault(5, auth.AuditEventEdited)},
		"the address is another": {head, edit(5, func(ev *store.Event) { ev.Address = "192.0.2.1" }), none, fault(6, auth.AuditEventEdited)},
		"the method is another":  {head, edit(0, func(ev *store.Event) { ev.Method = "password" }), none, fault(1, auth.AuditEventEdited)},
		"the code is another":    {head, edit(0, func(ev *store.Event) { ev.Code = "" }), none, fault(1, auth.AuditEventEdited)},
		"the detail is another":  {head, edit(0, func(ev *store.Event) { ev.Detail = "x" }), none, fault(1, auth.AuditEventEdited)},
		"the link is another":    {head, edit(0, func(ev *store.Event) { ev.Link[0] ^= 1 }), none, fault(1, auth.AuditEventEdited)},
		"a text in another field": {head, edit(0, func(ev *store.Event) {
			ev.Method, ev.Code = ev.Code, ev.Method
		}), none, fault(1, auth.AuditEventEdited)},
		"two events change places": {head, moved, none, fault(2, auth.AuditEventEdited)},

		"the first is gone":                        {head, without(0, 1), none, fault(1, auth.AuditEventMissing)},
		"one is gone":                              {head, without(2, 3), none, fault(3, auth.AuditEventMissing)},
		"the last is gone":                         {head, without(5, 6), none, fault(6, auth.AuditEventMissing)},
		"all are gone":                             {head, nil, none, fault(1, auth.AuditEventMissing)},
		"one is added":                             {head, behind, none, fault(7, auth.AuditEventUnexpected)},
		"one is added before the first":            {head, ahead, none, fault(-1, auth.AuditEventUnexpected)},
		"the anchor's is gone":                     {head, without(3, 4), newer, fault(4, auth.AuditEventMissing)},
		"all after the anchor are gone":            {head, without(4, 6), newer, fault(5, auth.AuditEventMissing)},
		"all are gone, after an anchor":            {head, nil, newer, fault(4, auth.AuditEventMissing)},
		"the anchor's is another one":              {head, edit(3, func(ev *store.Event) { ev.Link[0] ^= 1 }), newer, fault(4, auth.AuditAnchorMismatch)},
		"before the anchor, which is believed":     {head, edit(1, func(ev *store.Event) { ev.Code = "" }), newer, auth.AuditFault{}},
		"before the anchor, which is not believed": {head, edit(1, func(ev *store.Event) { ev.Code = "" }), anchored, fault(2, auth.AuditEventEdited)},
		"after no anchor": {
			head, edit(0, func(ev *store.Event) { ev.Code = "" }),
			auth.VerifyAuditTrailParams{Newer: true},
			fault(1, auth.AuditEventEdited),
		},

		"all was put back":                         {olderHead, older, none, auth.AuditFault{}}, // which nobody can see
		"all was put back, and there is an anchor": {olderHead, older, anchored, fault(4, auth.AuditAnchorMismatch)},
		"all was put back, after an anchor":        {olderHead, older, newer, fault(4, auth.AuditAnchorMismatch)},
		"another trail":                            {otherHead, others, none, auth.AuditFault{}},
		"another trail, and there is an anchor":    {otherHead, others, anchored, fault(4, auth.AuditAnchorMismatch)},
		"another trail, after an anchor":           {otherHead, others, newer, fault(4, auth.AuditAnchorMismatch)},
		"all of it is gone":                        {nil, nil, anchored, fault(4, auth.AuditAnchorMismatch)},
		"the anchor is of another trail's end":     {head, events, auth.VerifyAuditTrailParams{Anchor: at(others[5])}, fault(6, auth.AuditAnchorMismatch)},

		"the head is gone":              {nil, events, none, badHead},
		"the head of one event is gone": {nil, events[:1], none, badHead},
		"the head of another trail":     {otherHead, events, none, badHead},
		"the head's version":            {flipped(0), events, none, badHead},
		"the head's beginning":          {flipped(8), events, none, badHead},
		"the head's end":                {flipped(48), events, none, badHead},
		"the head's own sum":            {flipped(len(head) - 1), events, none, badHead},
		"the head is one byte":          {[]byte{1}, events, none, badHead},
		"the head is short of its sum":  {head[:81], events, none, badHead},
		"the head is cut":               {head[:len(head)-1], events, none, badHead},
		"the head is longer":            {append(bytes.Clone(head), 0), events, none, badHead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := over(tampered{memstore.New(), tt.head, tt.events}).VerifyAuditTrail(t.Context(), tt.p)
			wantFault(t, err, tt.want)
			if err == nil && len(tt.events) > 0 && got != at(tt.events[len(tt.events)-1]) {
				t.Errorf("it ends at %v", got)
			}
		})
	}
}

// pages is a store whose trail is another one at each call.
type pages struct {
	store.Store
	calls *int
	of    []tampered
}

func (s pages) Trail(ctx context.Context, from int64, limit int) ([]byte, []store.Event, error) {
	p := s.of[min(*s.calls, len(s.of)-1)]
	*s.calls++
	return p.Trail(ctx, from, limit)
}

// A verification of many events is not one moment: what somebody does meanwhile is found, and what the engine does is not a fault.
func TestATrailThatChangesWhileItIsVerified(t *testing.T) {
	t.Parallel()
	head, events, over := trailOf(t, 1003)
	forger := over(memstore.New())
	end := at(events[1002])
	forged := func(base auth.AuditAnchor) []byte { return auth.ForgeAuditHead(forger.Engine, base, end) }
	edit := func(i int, change func(*store.Event)) []store.Event {
		edited := copied(events)
		change(&edited[i])
		return edited
	}
	other := at(events[999])
	other.Link[0] ^= 1
	// A removal that was told of, from which the beginning then was moved away.
	removal := store.Event{Seq: 1004, ID: uuid.New(), At: events[1002].At, Type: string(auth.EventAuditPurged), Detail: "1000"}
	link := auth.AuditLink(forger.Engine, end, removal)
	removal.Link = link[:]
	removed := append(copied(events)[1000:], removal)
	noAnchor, anchored := auth.VerifyAuditTrailParams{}, auth.VerifyAuditTrailParams{Anchor: at(events[999])}
	for name, tt := range map[string]struct {
		head   []byte
		events []store.Event // on the second page
		p      auth.VerifyAuditTrailParams
		want   auth.AuditFault
	}{
		"not at all": {head, events, noAnchor, auth.AuditFault{}},
		"the last that was seen is edited": {
			head, edit(999, func(ev *store.Event) { ev.Link[0] ^= 1 }), noAnchor, auth.AuditFault{Seq: 1000, Problem: auth.AuditEventEdited},
		},
		"the last that was seen, and is the anchor's, is edited": {
			head, edit(999, func(ev *store.Event) { ev.Link[0] ^= 1 }), anchored, auth.AuditFault{Seq: 1000, Problem: auth.AuditAnchorMismatch},
		},
		"the last that was seen is gone": {
			head, slices.Delete(copied(events), 999, 1000), noAnchor, auth.AuditFault{Seq: 1000, Problem: auth.AuditEventMissing},
		},
		"all the rest is gone": {head, copied(events)[:999], noAnchor, auth.AuditFault{Seq: 1000, Problem: auth.AuditEventMissing}},
		"the next is edited": {
			head, edit(1000, func(ev *store.Event) { ev.Code = "" }), noAnchor, auth.AuditFault{Seq: 1001, Problem: auth.AuditEventEdited},
		},
		// The beginning is moved by who has the secret, and says nothing of it.
		"it begins after what was seen": {forged(at(events[1000])), copied(events)[1001:], noAnchor, auth.AuditFault{Problem: auth.AuditHeadInvalid}},
		"it begins at what was seen":    {forged(at(events[999])), copied(events)[1000:], noAnchor, auth.AuditFault{Problem: auth.AuditHeadInvalid}},
		"it begins at another event of the number": {
			forged(other), copied(events)[1000:], noAnchor, auth.AuditFault{Problem: auth.AuditHeadInvalid},
		},
		"it begins at what was seen, and says so": {
			auth.ForgeAuditHead(forger.Engine, at(events[999]), at(removal)), removed, noAnchor, auth.AuditFault{},
		},
		"it begins at another event of the number, and says so": {
			auth.ForgeAuditHead(forger.Engine, other, at(removal)), removed, noAnchor, auth.AuditFault{Problem: auth.AuditHeadInvalid},
		},
		"it begins at another event than the anchor's": {
			forged(other), copied(events)[1000:], anchored, auth.AuditFault{Seq: 1000, Problem: auth.AuditAnchorMismatch},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pages{memstore.New(), new(int), []tampered{{nil, head, events}, {nil, tt.head, tt.events}}}
			_, err := over(s).VerifyAuditTrail(t.Context(), tt.p)
			wantFault(t, err, tt.want)
			if *s.calls != 2 {
				t.Errorf("%d pages", *s.calls)
			}
		})
	}
	// A page that is full is followed by another, which may have nothing new.
	for n, want := range map[int]int{999: 1, 1000: 2} {
		last := at(events[n-1])
		s := pages{memstore.New(), new(int), []tampered{{nil, auth.ForgeAuditHead(forger.Engine, auth.AuditAnchor{}, last), events[:n]}}}
		if got, err := over(s).VerifyAuditTrail(t.Context(), noAnchor); err != nil || got != last || *s.calls != want {
			t.Errorf("%d events: %v, %v after %d pages", n, got, err, *s.calls)
		}
	}
}

// What has been removed because it was too old is no fault, before and after an anchor, and what somebody else has removed is.
func TestAVerificationAfterARemoval(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, audited, func(c *auth.Config) { c.Audit.Retention = 24 * time.Hour })
	write := func() {
		t.Helper()
		if err := guess(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	write()
	write()
	first := mustVerify(t, e)
	e.Clock.Advance(3 * 24 * time.Hour)
	write()
	before := mustVerify(t, e)
	auth.PurgeAudit(t.Context(), e.Engine)
	after := mustVerify(t, e)
	write()
	mustVerify(t, e) // what is after the removal says nothing of it
	for name, p := range map[string]auth.VerifyAuditTrailParams{
		"an anchor that is where it begins": {Anchor: first}, "and what is newer": {Anchor: first, Newer: true},
		"an anchor from before": {Anchor: before}, "and what is newer than that": {Anchor: before, Newer: true},
		"an anchor from after": {Anchor: after}, "and what is newer than this": {Anchor: after, Newer: true},
	} {
		_, err := e.VerifyAuditTrail(t.Context(), p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := first
	wrong.Link[5] ^= 1
	_, err := e.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: wrong})
	wantFault(t, err, auth.AuditFault{Seq: first.Seq, Problem: auth.AuditAnchorMismatch})

	_, events, err := s.Trail(t.Context(), math.MinInt64, 10)
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	cut := tampered{s, auth.ForgeAuditHead(e.Engine, at(events[0]), at(events[2])), events[1:]}
	_, err = authtest.NewWithStore(t, cut, audited).VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: before, Newer: true})
	wantFault(t, err, auth.AuditFault{Problem: auth.AuditHeadInvalid})
}

// ST-18: where the store fails, nothing is said of the trail.
func TestReadingTheTrailWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	ada := authtest.NewWithStore(t, s, audited).SignUp(t, "ada@example.com")
	e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "Events"}, storetest.Fault{Method: "Trail"}, storetest.Fault{Method: "AppendEvents"}), audited)
	_, err := e.AuditTrail(t.Context(), auth.AuditQuery{})
	wantErr(t, err, auth.ErrInternal)
	wantErr(t, err, storetest.ErrFault)
	_, err = e.ListActivity(t.Context(), e.Principal(t, ada), auth.ActivityQuery{})
	wantErr(t, err, auth.ErrInternal)
	_, err = e.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{})
	wantErr(t, err, auth.ErrInternal)
	wantErr(t, err, storetest.ErrFault)
	if _, fault := errors.AsType[*auth.AuditFault](err); fault {
		t.Errorf("%v", err)
	}
}
