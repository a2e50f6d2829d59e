package memstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/storetest"
)

var start = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		t.Parallel()
		s := New()
		t.Cleanup(func() { consistent(t, s) })
		return s
	})
}

// consistent checks that every index of the store says what the records say, and that the journal is closed.
func consistent(t *testing.T, s *Store) {
	t.Helper()
	want := New()
	for id, u := range s.users {
		want.users[id] = u
		if u.EmailKey != "" {
			want.emails[u.EmailKey] = id
		}
		if u.Phone != "" {
			want.phones[u.Phone] = id
		}
	}
	j := &journal{}
	for key, i := range s.identities {
		link(j, want.identitiesOf, i.UserID, key)
	}
	for id, k := range s.keys {
		want.keyIDs[string(k.CredentialID)] = id
		link(j, want.keysOf, k.UserID, id)
	}
	for id, p := range s.pats {
		want.patIDs[string(p.Hash)] = id
		link(j, want.patsOf, p.UserID, id)
	}
	for id, v := range s.sessions {
		link(j, want.sessionsOf, v.UserID, id)
	}
	for id, v := range s.tickets {
		want.slots[slot{v.Kind, v.Slot}] = id
		link(j, want.secrets, secret{v.Kind, string(v.Hash)}, id)
		if v.UserID != uuid.Nil {
			link(j, want.ticketsOf, v.UserID, id)
		}
	}
	for what, diff := range map[string]string{
		"emails":       cmp.Diff(want.emails, s.emails),
		"phones":       cmp.Diff(want.phones, s.phones),
		"keyIDs":       cmp.Diff(want.keyIDs, s.keyIDs),
		"patIDs":       cmp.Diff(want.patIDs, s.patIDs),
		"slots":        cmp.Diff(want.slots, s.slots, cmp.AllowUnexported(slot{})),
		"secrets":      cmp.Diff(want.secrets, s.secrets, cmp.AllowUnexported(secret{})),
		"identitiesOf": cmp.Diff(want.identitiesOf, s.identitiesOf),
		"keysOf":       cmp.Diff(want.keysOf, s.keysOf),
		"patsOf":       cmp.Diff(want.patsOf, s.patsOf),
		"sessionsOf":   cmp.Diff(want.sessionsOf, s.sessionsOf),
		"ticketsOf":    cmp.Diff(want.ticketsOf, s.ticketsOf),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	for what, q := range map[string]struct {
		queue *queue
		ends  map[uuid.UUID]time.Time
	}{
		"ends":       {s.ends, endsOf(s.sessions, func(v *store.Session) time.Time { return v.ExpiresAt })},
		"patEnds":    {s.patEnds, endsOf(s.pats, func(v *store.PAT) time.Time { return v.ExpiresAt })},
		"ticketEnds": {s.ticketEnds, endsOf(s.tickets, func(v *store.Ticket) time.Time { return v.ExpiresAt })},
		"anonymous": {s.anonymous, endsOf(s.users, func(v *store.User) time.Time {
			if v.Anonymous {
				return v.LastSeenAt
			}
			return never
		})},
	} {
		for id, end := range q.ends {
			if at, ok := q.queue.get(id); ok != (end != never) || ok && at > micros(end) {
				t.Errorf("%s has %d, %t for what ends at %v", what, at, ok, end)
			}
			delete(q.queue.positions, id)
		}
		if n := len(q.queue.positions); n != 0 {
			t.Errorf("%s has %d entries of what is gone", what, n)
		}
	}
	if s.journal.recording || len(s.journal.undo) != 0 {
		t.Errorf("the journal was left open: %+v", s.journal)
	}
}

var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func endsOf[T any](records map[uuid.UUID]T, end func(T) time.Time) map[uuid.UUID]time.Time {
	ends := map[uuid.UUID]time.Time{}
	for id, v := range records {
		ends[id] = end(v)
	}
	return ends
}

func newUser() store.User {
	id := uuid.New()
	return store.User{ID: id, CreatedAt: start, EmailKey: id.String() + "@example.org"}
}

// emails lists the users.
func emails(t *testing.T, s *Store) []string {
	t.Helper()
	list, err := s.Users(t.Context(), uuid.Nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, u := range list {
		keys = append(keys, u.EmailKey)
	}
	return keys
}

// ST-24
func TestSignUpIsUndoneWhereWithin(t *testing.T) {
	t.Parallel()
	for name, within := range map[string]func(){
		"panics":             func() { panic("oh") },
		"ends its goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New()
			n := store.NewUser{User: newUser()}
			ctx := t.Context()
			n.Within = func(ctx context.Context, u store.User) error {
				locale := "bg"
				if _, err := s.ChangeUser(ctx, store.UserChange{UserID: u.ID, Set: store.UserSet{Locale: &locale}}); err != nil {
					t.Error(err)
				}
				within()
				return nil
			}
			var recovered any
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { recovered = recover() }()
				_, _ = s.CreateUser(ctx, n)
				t.Error("CreateUser returned")
			})
			wg.Wait()
			if name == "panics" && recovered != "oh" {
				t.Errorf("recovered %v", recovered)
			}
			if got := emails(t, s); got != nil {
				t.Errorf("the store has %v", got)
			}
			n.Within = nil
			if _, err := s.CreateUser(ctx, n); err != nil {
				t.Error(err)
			}
			consistent(t, s)
		})
	}
}

func TestContextOfWithinEndsWithIt(t *testing.T) {
	t.Parallel()
	s := New()
	var kept context.Context
	u, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Within: func(ctx context.Context, _ store.User) error {
		kept = ctx
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteUser(kept, store.UserDeletion{UserID: u.ID}); !errors.Is(err, errOver) {
		t.Errorf("got %v, want %v", err, errOver)
	}
	if got := emails(t, s); len(got) != 1 {
		t.Errorf("the store has %v", got)
	}
}

func TestContextOfWithinIsOfOneStore(t *testing.T) {
	t.Parallel()
	s, other := New(), New()
	refusal := errors.New("refused")
	_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Within: func(ctx context.Context, _ store.User) error {
		if _, err := other.CreateUser(ctx, store.NewUser{User: newUser()}); err != nil {
			t.Error(err)
		}
		return refusal
	}})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want %v", err, refusal)
	}
	if len(emails(t, s)) != 0 || len(emails(t, other)) != 1 {
		t.Error("the error undid the work of another store, or not that of its own")
	}
}

func TestCallsThatFailWithinUndoThemselvesAlone(t *testing.T) {
	t.Parallel()
	s := New()
	outer, inner, innermost := newUser(), newUser(), newUser()
	clash := store.NewUser{User: newUser(), Messages: []store.Message{{ID: uuid.New()}, {ID: uuid.Nil}, {ID: uuid.Nil}}}
	refusal := errors.New("refused")
	_, err := s.CreateUser(t.Context(), store.NewUser{User: outer, Within: func(ctx context.Context, _ store.User) error {
		if _, err := s.CreateUser(ctx, clash); !errors.Is(err, store.ErrConflict{Field: store.FieldID}) {
			t.Errorf("got %v", err)
		}
		_, err := s.CreateUser(ctx, store.NewUser{User: inner, Within: func(ctx context.Context, _ store.User) error {
			if _, err := s.CreateUser(ctx, store.NewUser{User: innermost}); err != nil {
				t.Error(err)
			}
			return refusal
		}})
		if !errors.Is(err, refusal) {
			t.Errorf("got %v, want %v", err, refusal)
		}
		list, err := s.Users(ctx, uuid.Nil, 10)
		if len(list) != 1 || err != nil {
			t.Errorf("Within sees %v, %v", list, err)
		}
		return nil
	}})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{outer.EmailKey}, emails(t, s)); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	consistent(t, s)
}

func TestWithinMayWorkInParallel(t *testing.T) {
	t.Parallel()
	s := New()
	_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Within: func(ctx context.Context, _ store.User) error {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := s.CreateUser(ctx, store.NewUser{User: newUser()}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return nil
	}})
	if err != nil {
		t.Error(err)
	}
	if n := len(emails(t, s)); n != 21 {
		t.Errorf("%d users, want 21", n)
	}
	consistent(t, s)
}

// impatient is a context that is done when its error is asked for the second time.
type impatient struct {
	context.Context
	asked int
}

func (c *impatient) Err() error {
	if c.asked++; c.asked > 1 {
		return context.DeadlineExceeded
	}
	return nil
}

// ST-18
func TestCallWhoseContextEndsWhileItWaitsDoesNothing(t *testing.T) {
	t.Parallel()
	s := New()
	_, err := s.CreateUser(&impatient{Context: t.Context()}, store.NewUser{User: newUser()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if got := emails(t, s); got != nil {
		t.Errorf("the store has %v", got)
	}
}

func TestPurgeEndsWhereTimesAreFinerThanTheContractSays(t *testing.T) {
	t.Parallel()
	s := New()
	u, err := s.CreateUser(t.Context(), store.NewUser{User: newUser()})
	if err != nil {
		t.Fatal(err)
	}
	end := start.Add(700 * time.Nanosecond)
	v := store.Session{ID: uuid.New(), ExpiresAt: end, EndsAt: end}
	if _, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: start, Session: &v}); err != nil {
		t.Fatal(err)
	}
	for now, want := range map[time.Duration]int{0: 0, 300: 0, 699: 0} {
		if n, err := s.Purge(t.Context(), store.Purge{Now: start.Add(now), Limit: 10}); n != want || err != nil {
			t.Errorf("%v later: %d, %v, want %d", now, n, err, want)
		}
	}
	if n, err := s.Purge(t.Context(), store.Purge{Now: start.Add(time.Microsecond), Limit: 10}); n != 1 || err != nil {
		t.Errorf("a microsecond later: %d, %v, want 1", n, err)
	}
}

func TestQueueKnowsTheFirst(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	q, model := newQueue(), map[uuid.UUID]int64{}
	for range 5000 {
		id := uuid.UUID{byte(r.IntN(40))}
		if r.IntN(3) == 0 {
			q.remove(id)
			delete(model, id)
		} else {
			at := int64(r.IntN(100))
			q.set(id, at)
			model[id] = at
		}
		first, ok := q.first()
		if ok != (len(model) > 0) || ok && model[first.id] != first.at || q.Len() != len(model) {
			t.Fatalf("the queue has %v of %d first, the model %v", first, q.Len(), model)
		}
		for id, at := range model {
			if at < first.at {
				t.Fatalf("%v is first and %s at %d is not", first, id, at)
			}
			if got, ok := q.get(id); !ok || got != at {
				t.Fatalf("%s is at %d, %t, want %d", id, got, ok, at)
			}
		}
	}
}

// ST-11, ST-12
func TestManyUsersAtOnce(t *testing.T) {
	t.Parallel()
	s := New()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if err := life(t.Context(), s, i); err != nil {
				t.Errorf("user %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	consistent(t, s)
	if n := len(s.users); n != 1000 {
		t.Errorf("%d users, want 1000", n)
	}
}

// record adds an event of a user to the audit trail, after those of the others. The head tells its number.
func record(ctx context.Context, s *Store, user uuid.UUID) error {
	var a store.Append
	for {
		e := store.Event{Seq: 1, ID: uuid.New(), UserID: user}
		if len(a.After) > 0 {
			e.Seq = int64(binary.BigEndian.Uint64(a.After)) + 1
		}
		a.Head, a.Events = append(binary.BigEndian.AppendUint64(nil, uint64(e.Seq)), e.ID[:]...), []store.Event{e}
		head, appended, err := s.AppendEvents(ctx, a)
		if appended || err != nil {
			return err
		}
		a.After = head
	}
}

// life is what one user does, none of which may show in another's.
func life(ctx context.Context, s *Store, i int) error {
	n := store.NewUser{User: newUser(), Session: &store.Session{
		ID: uuid.New(), RotatedAt: start, ExpiresAt: start.Add(time.Hour), EndsAt: start.Add(time.Hour),
	}}
	n.User.DisplayName = fmt.Sprint(i)
	u, err := s.CreateUser(ctx, n)
	if err != nil {
		return err
	}
	for generation := range uint32(5) {
		r, err := s.RotateSession(ctx, store.SessionRotation{
			Candidates: []store.SessionGeneration{{ID: n.Session.ID, Generation: generation}}, Now: start, Idle: time.Hour,
		})
		if err != nil {
			return err
		}
		if r.Outcome != store.Rotated || r.User.DisplayName != u.DisplayName {
			return fmt.Errorf("outcome %d, user %s", r.Outcome, r.User.DisplayName)
		}
		ticket := store.Ticket{
			ID: uuid.New(), Kind: "code", Slot: u.ID.String(), UserID: u.ID, Hash: []byte("123456"), Tries: 1, ExpiresAt: start.Add(time.Hour),
		}
		if err := s.PutTicket(ctx, ticket); err != nil {
			return err
		}
		q := store.TicketQuery{Kind: "code", EmailKey: u.EmailKey, Hashes: [][]byte{ticket.Hash}, Now: start}
		_, owner, err := s.CheckTicket(ctx, q)
		if err != nil || owner.DisplayName != u.DisplayName {
			return fmt.Errorf("ticket of %q: %w", owner.DisplayName, err)
		}
		if _, err := s.ChangeUser(ctx, store.UserChange{UserID: u.ID, Now: start, Redeem: ticket.ID}); err != nil {
			return err
		}
		if err := record(ctx, s, u.ID); err != nil {
			return err
		}
	}
	events, err := s.Events(ctx, store.EventQuery{UserID: u.ID, Limit: 10})
	if len(events) != 5 {
		return fmt.Errorf("%d events: %w", len(events), err)
	}
	return nil
}
