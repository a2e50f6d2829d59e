package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

const (
	idle  = time.Hour
	grace = 10 * time.Second
	skew  = time.Minute
)

// present is the presentation of a generation of a session.
func present(session uuid.UUID, generation uint32, now time.Time) store.SessionRotation {
	return store.SessionRotation{
		Candidates: []store.SessionGeneration{{ID: session, Generation: generation}},
		Now:        now, Idle: idle, Grace: grace, Skew: skew,
	}
}

func rotate(t *testing.T, s store.Store, r store.SessionRotation) store.RotatedSession {
	t.Helper()
	got, err := s.RotateSession(t.Context(), r)
	if err != nil {
		t.Fatalf("RotateSession: %v", err)
	}
	return got
}

func stateOf(v store.Session) store.SessionState {
	return store.SessionState{Generation: v.Generation, RotatedAt: v.RotatedAt, ExpiresAt: v.ExpiresAt, Address: v.Address}
}

// refusesRotation checks that there is no session to rotate.
func refusesRotation(t *testing.T, s store.Store, r store.SessionRotation) {
	t.Helper()
	got, err := s.RotateSession(t.Context(), r)
	wants(t, err, store.ErrNotFound)
	equal(t, "what is returned with an error", got, store.RotatedSession{})
}

var sessionTests = []test{
	{"a presented generation has the outcome that the contract says", func(t *testing.T, s store.Store) { // W16, RT-01, RT-02
		const current = 5
		for name, test := range map[string]struct {
			presented uint32
			after     time.Duration // between the beginning of the current generation and the presentation
			want      store.Outcome
		}{
			"the current one":                              {current, time.Minute, store.Rotated},
			"the current one in the same instant":          {current, 0, store.Rotated},
			"the current one by a clock that is behind":    {current, -2 * skew, store.Rotated},
			"the next one, after writes were lost":         {current + 1, time.Minute, store.Rotated},
			"one far ahead, after many writes were lost":   {current + 1000, time.Minute, store.Rotated},
			"the last one in the same instant":             {current - 1, 0, store.Repeated},
			"the last one in the grace period":             {current - 1, grace - tick, store.Repeated},
			"the last one as the grace period ends":        {current - 1, grace, store.Repeated},
			"the last one when the grace period is over":   {current - 1, grace + tick, store.Reused},
			"the last one much later":                      {current - 1, 40 * time.Minute, store.Reused},
			"the last one by a clock that is behind":       {current - 1, -tick, store.Repeated},
			"the last one by a clock as far as allowed":    {current - 1, -skew, store.Repeated},
			"the last one by a clock that is too far":      {current - 1, -skew - tick, store.Reused},
			"the one before the last in the same instant":  {current - 2, 0, store.Reused},
			"the one before the last in the grace period":  {current - 2, grace / 2, store.Reused},
			"the first one":                                {0, time.Minute, store.Reused},
			"the first one by a clock that is behind":      {0, -tick, store.Reused},
			"the one before the last by a clock too early": {current - 2, -2 * skew, store.Reused},
		} {
			t.Run(name, func(t *testing.T) {
				u := someone(t, s)
				v := newSession()
				v.Generation, v.RotatedAt = current, base.Add(10*time.Minute)
				v.Scopes = []string{"write", "admin", "read"} // which no presentation changes
				v = signIn(t, s, u.ID, v)
				u = find(t, s, u.ID).User
				other := signIn(t, s, someone(t, s).ID, newSession())

				r := present(v.ID, test.presented, v.RotatedAt.Add(test.after))
				r.Address = "198.51.100.7"
				got := rotate(t, s, r)
				want := store.RotatedSession{Outcome: test.want, Session: v, User: u}
				left := []store.Session{v}
				switch test.want {
				case store.Rotated:
					want.Session.Generation = test.presented + 1
					want.Session.RotatedAt = r.Now
					want.Session.ExpiresAt = r.Now.Add(idle)
					want.Session.Address = "198.51.100.7"
					want.Before = stateOf(v)
					left = []store.Session{want.Session}
				case store.Reused:
					left = nil
				}
				equal(t, "the answer", got, want)
				equal(t, "the account afterwards", find(t, s, u.ID), store.Account{User: u, Sessions: left})
				if !stays(t, s, other.ID) {
					t.Error("another user's session is gone")
				}
			})
		}
	}},
	{"a family goes on", func(t *testing.T, s store.Store) {
		v := signIn(t, s, someone(t, s).ID, newSession())
		now := base
		for generation := range uint32(20) {
			now = now.Add(30 * time.Minute)
			for i, want := range []store.Outcome{store.Rotated, store.Repeated, store.Repeated} {
				got := rotate(t, s, present(v.ID, generation, now.Add(time.Duration(i)*time.Second)))
				if got.Outcome != want || got.Session.Generation != generation+1 {
					t.Fatalf("generation %d has outcome %d and goes to %d", generation, got.Outcome, got.Session.Generation)
				}
			}
		}
		// A second that is one too late ends it, for everyone.
		got := rotate(t, s, present(v.ID, 19, now.Add(grace+time.Second)))
		if got.Outcome != store.Reused || got.Session.Generation != 20 {
			t.Errorf("got outcome %d at generation %d, want Reused at 20", got.Outcome, got.Session.Generation)
		}
		for _, generation := range []uint32{20, 19, 0, 21} {
			refusesRotation(t, s, present(v.ID, generation, now))
		}
	}},
	{"a reuse ends one family and no other", func(t *testing.T, s store.Store) { // RT-05
		u := someone(t, s)
		stolen, other := newSession(), newSession()
		stolen.Generation = 3
		signIn(t, s, u.ID, stolen)
		signIn(t, s, u.ID, other)
		if got := rotate(t, s, present(stolen.ID, 1, base)); got.Outcome != store.Reused {
			t.Errorf("got outcome %d", got.Outcome)
		}
		livesOnly(t, s, u.ID, base, other.ID)
		if got := rotate(t, s, present(other.ID, 0, base)); got.Outcome != store.Rotated {
			t.Errorf("the other family has outcome %d", got.Outcome)
		}
	}},
	{"without grace and skew only the same instant repeats", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for after, want := range map[time.Duration]store.Outcome{0: store.Repeated, tick: store.Reused, -tick: store.Reused} {
			v := newSession()
			v.Generation = 1
			signIn(t, s, u.ID, v)
			r := present(v.ID, 0, v.RotatedAt.Add(after))
			r.Grace, r.Skew = 0, 0
			if got := rotate(t, s, r); got.Outcome != want {
				t.Errorf("%v later: got outcome %d, want %d", after, got.Outcome, want)
			}
		}
	}},
	{"the grace period begins with the rotation", func(t *testing.T, s store.Store) {
		v := signIn(t, s, someone(t, s).ID, newSession())
		now := base.Add(30 * time.Minute)
		rotate(t, s, present(v.ID, 0, now))
		if got := rotate(t, s, present(v.ID, 0, now.Add(grace))); got.Outcome != store.Repeated {
			t.Errorf("got outcome %d", got.Outcome)
		}
		// Its end does not move with the repetitions.
		if got := rotate(t, s, present(v.ID, 0, now.Add(grace+tick))); got.Outcome != store.Reused {
			t.Errorf("got outcome %d", got.Outcome)
		}
	}},
	{"a rotation moves the end, never beyond the absolute one", func(t *testing.T, s store.Store) { // RT-06
		u := someone(t, s)
		v := newSession()
		v.EndsAt = base.Add(100 * time.Minute)
		v = signIn(t, s, u.ID, v)
		for generation, step := range []struct{ now, want time.Duration }{
			{10 * time.Minute, 70 * time.Minute},
			{40*time.Minute - tick, 100*time.Minute - tick},
			{40 * time.Minute, 100 * time.Minute},
			{40*time.Minute + tick, 100 * time.Minute},
			{99 * time.Minute, 100 * time.Minute},
			{100*time.Minute - tick, 100 * time.Minute},
		} {
			got := rotate(t, s, present(v.ID, uint32(generation), base.Add(step.now)))
			if got.Outcome != store.Rotated || !got.Session.ExpiresAt.Equal(base.Add(step.want)) || !got.Session.EndsAt.Equal(v.EndsAt) {
				t.Errorf("after %v: got %+v, want it to expire after %v", step.now, got.Session, step.want)
			}
			equal(t, "the session", find(t, s, u.ID).Sessions, []store.Session{got.Session})
		}
		refusesRotation(t, s, present(v.ID, 6, v.EndsAt))
	}},
	{"an idle life that became shorter counts at once", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		r := present(v.ID, 0, base)
		r.Idle = time.Minute
		if got := rotate(t, s, r); !got.Session.ExpiresAt.Equal(base.Add(time.Minute)) {
			t.Errorf("the session expires at %v", got.Session.ExpiresAt)
		}
		livesOnly(t, s, u.ID, base.Add(time.Minute))
		n, err := s.Purge(t.Context(), store.Purge{Now: base.Add(time.Minute), Limit: 10})
		wants(t, err, nil)
		if n != 1 {
			t.Errorf("%d rows were purged, want the session", n)
		}
	}},
	{"a rotation without an address keeps the old one", func(t *testing.T, s store.Store) {
		v := signIn(t, s, someone(t, s).ID, newSession())
		if got := rotate(t, s, present(v.ID, 0, base)); got.Session.Address != v.Address {
			t.Errorf("the address is %q, want %q", got.Session.Address, v.Address)
		}
	}},
	{"an expired session is not found and does not come back", func(t *testing.T, s store.Store) { // RT-07, RT-26
		u := someone(t, s)
		for _, generation := range []uint32{0, 2, 3, 4} {
			v := newSession()
			v.Generation = 3
			v = signIn(t, s, u.ID, v)
			refusesRotation(t, s, present(v.ID, generation, v.ExpiresAt))
			refusesRotation(t, s, present(v.ID, 3, base))
			if stays(t, s, v.ID) {
				t.Error("the expired session was not removed")
			}
		}
		v := signIn(t, s, u.ID, newSession())
		if got := rotate(t, s, present(v.ID, 0, v.ExpiresAt.Add(-tick))); got.Outcome != store.Rotated {
			t.Errorf("just before its end the session has outcome %d", got.Outcome)
		}
	}},
	{"the session of a disabled user is left as it is", func(t *testing.T, s store.Store) { // RT-18
		u := someone(t, s)
		v := newSession()
		v.Generation = 5
		v = signIn(t, s, u.ID, v)
		change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{Disabled: new(true)}})
		want := find(t, s, u.ID)
		for _, generation := range []uint32{6, 5, 4, 3, 0} {
			r := present(v.ID, generation, base.Add(30*time.Minute))
			r.Address = "198.51.100.7"
			equal(t, "the answer", rotate(t, s, r), store.RotatedSession{Outcome: store.UserDisabled, Session: v, User: want.User})
			equal(t, "the account", find(t, s, u.ID), want)
		}
		refusesRotation(t, s, present(v.ID, 5, v.ExpiresAt))
		if stays(t, s, v.ID) {
			t.Error("the expired session was not removed")
		}
	}},
	{"a token may stand for several sessions of which one exists", func(t *testing.T, s store.Store) {
		v := newSession()
		v.Generation = 4
		signIn(t, s, someone(t, s).ID, v)
		signIn(t, s, someone(t, s).ID, newSession())
		r := present(uuid.New(), 7, base)
		r.Candidates = append(r.Candidates,
			store.SessionGeneration{ID: v.ID, Generation: 4}, store.SessionGeneration{ID: uuid.New(), Generation: 4})
		got := rotate(t, s, r)
		if got.Outcome != store.Rotated || got.Session.ID != v.ID || got.Session.Generation != 5 {
			t.Errorf("got outcome %d of %s at %d", got.Outcome, got.Session.ID, got.Session.Generation)
		}
	}},
	{"a token that stands for no session is not found", func(t *testing.T, s store.Store) {
		v := signIn(t, s, someone(t, s).ID, newSession())
		refusesRotation(t, s, store.SessionRotation{Now: base, Idle: idle})
		r := present(uuid.New(), 0, base)
		r.Candidates = append(r.Candidates, store.SessionGeneration{ID: v.UserID}, store.SessionGeneration{})
		refusesRotation(t, s, r)
	}},
	{"a rotation reads the user afresh", func(t *testing.T, s store.Store) { // RT-16
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		u = change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{Roles: []string{"user"}, Metadata: []byte(`{"a":1}`)}})
		equal(t, "the user", rotate(t, s, present(v.ID, 0, base)).User, u)
	}},

	{"a rotation is taken back", func(t *testing.T, s store.Store) { // RT-23, RT-24
		u := someone(t, s)
		v := newSession()
		v.Generation = 3
		v = signIn(t, s, u.ID, v)
		now := base.Add(time.Minute)
		r := present(v.ID, 3, now)
		r.Address = "198.51.100.7"
		wants(t, s.UnrotateSession(t.Context(), rotate(t, s, r)), nil)
		// RT-07: nothing is left of it; above all, the session lives no longer for it.
		equal(t, "the session", find(t, s, u.ID).Sessions, []store.Session{v})
		// The token presented is good again.
		got := rotate(t, s, present(v.ID, 3, now.Add(30*time.Minute)))
		if got.Outcome != store.Rotated || got.Session.Generation != 4 {
			t.Errorf("got outcome %d at generation %d", got.Outcome, got.Session.Generation)
		}
	}},
	{"a rotation that another followed is not taken back", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		v := newSession()
		v.Generation = 5
		v = signIn(t, s, u.ID, v)
		other := signIn(t, s, u.ID, newSession())
		first := rotate(t, s, present(v.ID, 5, base))
		rotate(t, s, present(v.ID, 6, base.Add(time.Second)))
		before := look(t, s)
		elsewhere, nowhere := first, first
		elsewhere.Session.ID, nowhere.Session.ID = other.ID, uuid.New()
		for _, r := range []store.RotatedSession{first, elsewhere, nowhere, {}} {
			wants(t, s.UnrotateSession(t.Context(), r), nil)
			unchanged(t, s, before)
		}
	}},
	{"a rotation that is taken back opens no grace period", func(t *testing.T, s store.Store) { // RT-03, RT-26
		v := signIn(t, s, someone(t, s).ID, newSession())
		rotate(t, s, present(v.ID, 0, base))
		later := base.Add(30 * time.Minute)
		wants(t, s.UnrotateSession(t.Context(), rotate(t, s, present(v.ID, 1, later))), nil)
		if got := rotate(t, s, present(v.ID, 0, later.Add(tick))); got.Outcome != store.Reused {
			t.Errorf("got outcome %d", got.Outcome)
		}
	}},
	{"a rotation to a generation further on is taken back", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		wants(t, s.UnrotateSession(t.Context(), rotate(t, s, present(v.ID, 7, base))), nil)
		equal(t, "the session", find(t, s, u.ID).Sessions, []store.Session{v})
	}},

	{"sessions are ended by id", func(t *testing.T, s store.Store) { // RT-14
		u, other := someone(t, s), someone(t, s)
		var mine, theirs []uuid.UUID
		for range 4 {
			mine = append(mine, signIn(t, s, u.ID, newSession()).ID)
			theirs = append(theirs, signIn(t, s, other.ID, newSession()).ID)
		}
		end := func(owner uuid.UUID, want int, ids ...uuid.UUID) {
			t.Helper()
			n, err := s.EndSessions(t.Context(), owner, ids...)
			wants(t, err, nil)
			if n != want {
				t.Errorf("%d sessions were ended, want %d", n, want)
			}
		}
		end(uuid.Nil, 0)
		end(u.ID, 0)
		end(u.ID, 0, uuid.New(), theirs[0])
		livesOnly(t, s, u.ID, base, mine...)
		livesOnly(t, s, other.ID, base, theirs...)
		end(u.ID, 2, mine[0], theirs[0], mine[1], uuid.New(), mine[0])
		livesOnly(t, s, u.ID, base, mine[2:]...)
		livesOnly(t, s, other.ID, base, theirs...)
		end(uuid.Nil, 2, mine[0], mine[2], theirs[0])
		end(uuid.Nil, 0, mine[2])
		livesOnly(t, s, u.ID, base, mine[3])
		livesOnly(t, s, other.ID, base, theirs[1:]...)
		refusesRotation(t, s, present(mine[2], 0, base))
	}},
}
