package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/storetest"
)

const retention = 30 * 24 * time.Hour

func audited(c *auth.Config) { c.Audit = &auth.AuditConfig{Retention: retention} }

// grown is a trail whose beginning has been removed already, with the anchors that were made on the way: before the removal, at
// its base, in its middle and at its end.
type grown struct {
	engine  *authtest.Engine
	trail   trail
	earlier trail // as it was at anchors[2]
	anchors [4]auth.AuditAnchor
}

func grow(t *testing.T, p place) grown {
	t.Helper()
	e := authtest.NewWithStore(t, p, audited)
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.7")})
	live := func(name string) {
		if _, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: name + "@example.com", Password: authtest.Password}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, name+"@example.com").Ticket()}); err != nil {
			t.Fatal(err)
		}
		_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: name + "@example.com", Password: "wrong-horse"})
		if !errors.Is(err, auth.ErrInvalidEmailPassword) {
			t.Fatal(err)
		}
	}
	var g grown
	g.engine = e
	live("ada")
	g.anchors[0] = verified(t, e, auth.VerifyAuditTrailParams{})
	live("bob")
	g.anchors[1] = verified(t, e, auth.VerifyAuditTrailParams{})
	e.Clock.Advance(retention + 25*time.Hour)
	runOnce(t, e)
	live("eve")
	g.anchors[2] = verified(t, e, auth.VerifyAuditTrailParams{})
	g.earlier = p.look(t)
	live("zoe")
	g.anchors[3] = verified(t, e, auth.VerifyAuditTrailParams{})
	g.trail = p.look(t)
	if n := len(g.trail.events); n < 9 || g.trail.events[0].Seq != g.anchors[1].Seq+1 {
		t.Fatalf("the trail has %d events, from %d on", n, g.trail.events[0].Seq)
	}
	return g
}

// runOnce runs a loop until it has removed something from the trail.
func runOnce(t *testing.T, e *authtest.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := false
	loop := authtest.NewWithStore(t, storetest.Break(e.Store, storetest.Fault{
		Method: "AppendEvents", After: true, Do: func(context.Context) { done = true; cancel() },
	}), audited, func(c *auth.Config) { c.Now = e.Clock.Now })
	if err := loop.Run(ctx); !errors.Is(err, context.Canceled) || !done {
		t.Fatalf("the loop: %v", err)
	}
}

func verified(t *testing.T, e *authtest.Engine, p auth.VerifyAuditTrailParams) auth.AuditAnchor {
	t.Helper()
	a, err := e.VerifyAuditTrail(t.Context(), p)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return a
}

// finds verifies a trail in which there is something wrong.
func finds(t *testing.T, e *authtest.Engine, p auth.VerifyAuditTrailParams, want auth.AuditFault) {
	t.Helper()
	_, err := e.VerifyAuditTrail(t.Context(), p)
	var fault *auth.AuditFault
	if !errors.As(err, &fault) || !errors.Is(err, auth.ErrInternal) {
		t.Errorf("got %v, want %v", err, &want)
		return
	}
	if diff := cmp.Diff(want, *fault); diff != "" {
		t.Errorf("the fault (-want +got):\n%s", diff)
	}
}

// columns are ways to change each column of a row.
var columns = map[string]func(*store.Event){
	"id":                 func(e *store.Event) { e.ID = uuid.New() },
	"time, a bit later":  func(e *store.Event) { e.At = e.At.Add(time.Microsecond) },
	"time, much earlier": func(e *store.Event) { e.At = e.At.AddDate(-10, 0, 0) },
	"type":               func(e *store.Event) { e.Type = "signed-out" },
	"user":               func(e *store.Event) { e.UserID = uuid.New() },
	"session":            func(e *store.Event) { e.SessionID = uuid.New() },
	"address":            func(e *store.Event) { e.Address = "192.0.2.8" },
	"method":             func(e *store.Event) { e.Method += "x" },
	"code":               func(e *store.Event) { e.Code += "x" },
	"detail":             func(e *store.Event) { e.Detail += "x" },
	"link":               func(e *store.Event) { e.Link[31] ^= 1 },
	"link, longer":       func(e *store.Event) { e.Link = append(e.Link, 0) },
	"link, removed":      func(e *store.Event) { e.Link = []byte{} },
	"from one to another": func(e *store.Event) {
		if e.Address == "" { // the loop's
			e.Detail, e.Type = e.Type+e.Detail, ""
			return
		}
		e.Method, e.Address = e.Method+e.Address[:1], e.Address[1:]
	},
}

// ST-20, ST-22: editing, deleting or reordering any row of the audit table is found, and named.
func TestWhoeverChangesTheTrailIsFoundOut(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p place) {
		g := grow(t, p)
		first, last := g.trail.events[0].Seq, g.anchors[3].Seq
		try := func(name string, params auth.VerifyAuditTrailParams, want auth.AuditFault, change func(v *trail)) {
			t.Helper()
			v := g.trail.clone()
			change(&v)
			p.overwrite(t, v)
			t.Run(name, func(t *testing.T) { finds(t, g.engine, params, want) })
		}
		all := auth.VerifyAuditTrailParams{}
		for i := range g.trail.events {
			seq := first + int64(i)
			for name, edit := range columns {
				try(fmt.Sprintf("%s of event %d", name, seq), all, auth.AuditFault{Seq: seq, Problem: auth.AuditEventEdited}, func(v *trail) { edit(&v.events[i]) })
			}
			try(fmt.Sprintf("without event %d", seq), all, auth.AuditFault{Seq: seq, Problem: auth.AuditEventMissing}, func(v *trail) {
				v.events = append(v.events[:i:i], v.events[i+1:]...)
			})
			if seq == last {
				continue
			}
			try(fmt.Sprintf("without event %d, and the others renumbered", seq), all, auth.AuditFault{Seq: seq, Problem: auth.AuditEventEdited}, func(v *trail) {
				v.events = append(v.events[:i:i], v.events[i+1:]...)
				for j := range v.events[i:] {
					v.events[i+j].Seq--
				}
			})
			try(fmt.Sprintf("events %d and %d have changed places", seq, seq+1), all, auth.AuditFault{Seq: seq, Problem: auth.AuditEventEdited}, func(v *trail) {
				a, b := &v.events[i], &v.events[i+1]
				*a, *b = *b, *a
				a.Seq, b.Seq = b.Seq, a.Seq
			})
			try(fmt.Sprintf("events %d and %d have changed places, their links have not", seq, seq+1), all, auth.AuditFault{Seq: seq, Problem: auth.AuditEventEdited}, func(v *trail) {
				a, b := &v.events[i], &v.events[i+1]
				*a, *b = *b, *a
				a.Seq, b.Seq, a.Link, b.Link = b.Seq, a.Seq, b.Link, a.Link
			})
			try(fmt.Sprintf("one more between %d and %d", seq, seq+1), all, auth.AuditFault{Seq: seq + 1, Problem: auth.AuditEventEdited}, func(v *trail) {
				more := v.events[i]
				more.ID = uuid.New()
				for j := range v.events[i+1:] {
					v.events[i+1+j].Seq++
				}
				more.Seq++
				v.events = append(v.events[:i+1:i+1], append([]store.Event{more}, v.events[i+1:]...)...)
			})
		}
		beyond := func(v *trail, seq int64) {
			more := v.events[len(v.events)-1]
			more.ID, more.Seq = uuid.New(), seq
			if seq < first {
				v.events = append([]store.Event{more}, v.events...)
			} else {
				v.events = append(v.events, more)
			}
		}
		for _, seq := range []int64{-1, 0, 1, first - 1, last + 1, last + 1000} {
			try(fmt.Sprintf("one more, number %d", seq), all, auth.AuditFault{Seq: seq, Problem: auth.AuditEventUnexpected}, func(v *trail) { beyond(v, seq) })
		}
		head := auth.AuditFault{Problem: auth.AuditHeadInvalid}
		cut := func(v *trail) { v.events = v.events[:len(v.events)-2] }
		try("the tail is cut off", all, auth.AuditFault{Seq: last - 1, Problem: auth.AuditEventMissing}, cut)
		try("all is gone but the head", all, auth.AuditFault{Seq: first, Problem: auth.AuditEventMissing}, func(v *trail) { v.events = nil })
		try("the tail is cut off, and the head says so", all, head, func(v *trail) {
			cut(v)
			tail := v.events[len(v.events)-1]
			copy(v.head[1+40+7:], []byte{byte(tail.Seq)})
			copy(v.head[1+48:], tail.Link)
		})
		try("the beginning is cut off, and the head says so", all, head, func(v *trail) {
			v.head[1+7] = byte(v.events[1].Seq)
			copy(v.head[1+8:], v.events[1].Link)
			v.events = v.events[2:]
		})
		for i := range g.trail.head {
			try(fmt.Sprintf("byte %d of the head", i), all, head, func(v *trail) { v.head[i] ^= 1 })
		}
		try("the head is empty", all, head, func(v *trail) { v.head = []byte{} })
		try("the head is gone", all, head, func(v *trail) { v.head = nil })
		try("the head is cut", all, head, func(v *trail) { v.head = v.head[:40] })
		try("the head is an older one", all, auth.AuditFault{Seq: g.anchors[2].Seq + 1, Problem: auth.AuditEventUnexpected}, func(v *trail) { v.head = g.earlier.head })

		// What only an anchor finds: all of it as it was.
		back := func(v *trail) { *v = g.earlier.clone() }
		for _, newer := range []bool{false, true} {
			ended := auth.VerifyAuditTrailParams{Anchor: g.anchors[3], Newer: newer}
			try("all as it was", ended, auth.AuditFault{Seq: last, Problem: auth.AuditAnchorMismatch}, back)
			try("nothing at all", ended, auth.AuditFault{Seq: last, Problem: auth.AuditAnchorMismatch}, func(v *trail) { *v = trail{head: []byte{}} })
			middle := auth.VerifyAuditTrailParams{Anchor: g.anchors[2], Newer: newer}
			middle.Anchor.Link[0] ^= 1
			try("the anchor of another trail", middle, auth.AuditFault{Seq: middle.Anchor.Seq, Problem: auth.AuditAnchorMismatch}, func(*trail) {})
			base := auth.VerifyAuditTrailParams{Anchor: g.anchors[1], Newer: newer}
			base.Anchor.Link[0] ^= 1
			try("the anchor of another base", base, auth.AuditFault{Seq: base.Anchor.Seq, Problem: auth.AuditAnchorMismatch}, func(*trail) {})
		}
		newer := auth.VerifyAuditTrailParams{Anchor: g.anchors[2], Newer: true}
		at := int(g.anchors[2].Seq - first)
		try("the anchor's event is gone", newer, auth.AuditFault{Seq: newer.Anchor.Seq, Problem: auth.AuditEventMissing}, func(v *trail) {
			v.events = append(v.events[:at:at], v.events[at+1:]...)
		})
		try("the event after the anchor", newer, auth.AuditFault{Seq: newer.Anchor.Seq + 1, Problem: auth.AuditEventEdited}, func(v *trail) { v.events[at+1].Detail = "x" })

		// And what is right.
		p.overwrite(t, g.earlier.clone())
		if a := verified(t, g.engine, all); a != g.anchors[2] {
			t.Errorf("an older state ends at %v", a)
		}
		p.overwrite(t, g.trail.clone())
		for _, anchor := range append(g.anchors[:], auth.AuditAnchor{}) {
			for _, newer := range []bool{false, true} {
				if a := verified(t, g.engine, auth.VerifyAuditTrailParams{Anchor: anchor, Newer: newer}); a != g.anchors[3] {
					t.Errorf("from %v: it ends at %v, not at %v", anchor, a, g.anchors[3])
				}
			}
		}
	})
}

// However a trail is changed, it is found, unless nothing is different afterwards.
func TestRandomChangesAreFound(t *testing.T) {
	t.Parallel()
	p := memory(t)
	g := grow(t, p)
	edits := make([]func(*store.Event), 0, len(columns))
	for _, edit := range columns {
		edits = append(edits, edit)
	}
	for range 5000 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		v := g.trail.clone()
		for range 1 + r.IntN(4) {
			if len(v.events) < 2 {
				break
			}
			i, j := r.IntN(len(v.events)), r.IntN(len(v.events))
			switch r.IntN(8) {
			case 0:
				edits[r.IntN(len(edits))](&v.events[i])
			case 1:
				v.events = append(v.events[:i:i], v.events[i+1:]...)
			case 2:
				v.events[i].Seq, v.events[j].Seq = v.events[j].Seq, v.events[i].Seq
				v.events[i], v.events[j] = v.events[j], v.events[i]
			case 3:
				v.events = append(v.events[:i:i], append([]store.Event{v.events[j]}, v.events[i:]...)...)
			case 4:
				v.events = v.events[:i]
			case 5:
				v.events = v.events[i:]
			case 6:
				v.head = bytes.Clone(g.earlier.head)
			case 7:
				v.events[i].Link = bytes.Clone(v.events[j].Link)
			}
		}
		p.overwrite(t, v)
		_, err := g.engine.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: g.anchors[3]})
		same := cmp.Equal(v.head, g.trail.head) && cmp.Equal(v.events, g.trail.events)
		var fault *auth.AuditFault
		if same != (err == nil) || err != nil && !errors.As(err, &fault) {
			t.Fatalf("seed %d: the same: %v; got %v", seed, same, err)
		}
	}
}
