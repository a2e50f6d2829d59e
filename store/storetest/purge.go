package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

func purge(t *testing.T, s store.Store, p store.Purge, want int) {
	t.Helper()
	n, err := s.Purge(t.Context(), p)
	wants(t, err, nil)
	if n != want {
		t.Errorf("%d rows were purged, want %d", n, want)
	}
}

var purgeTests = []test{
	{"there is nothing to purge in an empty store", func(t *testing.T, s store.Store) {
		purge(t, s, store.Purge{Now: base, Limit: 1, AnonymousBefore: base}, 0)
	}},
	{"what has expired goes, at its instant, and nothing else", func(t *testing.T, s store.Store) {
		p := newOwner(t, s)
		newOwner(t, s)
		end := base.Add(30 * time.Minute)
		session, token, mine, nobodys, key := newSession(), newPAT(), ticketOf(p.User.ID), newTicket(), newSigningKey()
		session.ExpiresAt, token.ExpiresAt, mine.ExpiresAt, nobodys.ExpiresAt, key.ExpiresAt = end, end, end, end, end
		before := look(t, s)
		signIn(t, s, p.User.ID, session)
		change(t, s, store.UserChange{UserID: p.User.ID, PAT: &token})
		put(t, s, mine)
		put(t, s, nobodys)
		addKey(t, s, key, base)
		full := look(t, s)

		purge(t, s, store.Purge{Now: end.Add(-tick), Limit: 100}, 0)
		unchanged(t, s, full)
		purge(t, s, store.Purge{Now: end, Limit: 100}, 5)
		for i := range before.Accounts {
			before.Accounts[i].User = full.Accounts[i].User
		}
		unchanged(t, s, before)
		if lies(t, s, mine) || lies(t, s, nobodys) {
			t.Error("an expired ticket is still there")
		}
		if !lies(t, s, *p.Ticket) || !lies(t, s, p.code) {
			t.Error("a ticket is gone that had not expired")
		}
		_, err := s.User(t.Context(), store.UserQuery{PATHashes: [][]byte{token.Hash}, Now: early})
		wants(t, err, store.ErrNotFound)
		purge(t, s, store.Purge{Now: end, Limit: 100}, 0)
	}},
	{"a session that was rotated has not expired", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		rotate(t, s, present(v.ID, 0, base.Add(time.Minute)))
		purge(t, s, store.Purge{Now: v.ExpiresAt, Limit: 100}, 0)
		livesOnly(t, s, u.ID, v.ExpiresAt, v.ID)
		purge(t, s, store.Purge{Now: v.ExpiresAt.Add(time.Minute), Limit: 100}, 1)
		if stays(t, s, v.ID) {
			t.Error("the session is still there")
		}
	}},
	{"a purge goes in batches", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for range 4 {
			signIn(t, s, u.ID, newSession())
			token, key := newPAT(), newSigningKey()
			change(t, s, store.UserChange{UserID: u.ID, PAT: &token})
			put(t, s, ticketOf(u.ID))
			addKey(t, s, key, base)
			n := store.NewUser{User: newUser()}
			n.User.Anonymous = true
			create(t, s, n)
		}
		p := store.Purge{Now: base.AddDate(1, 0, 0), Limit: 7, AnonymousBefore: base.AddDate(1, 0, 0)}
		for _, want := range []int{7, 7, 6, 0} {
			purge(t, s, p, want)
		}
		w := look(t, s)
		equal(t, "what is left", w, world{Accounts: []store.Account{{User: w.Accounts[0].User}}})
	}},
	{"sessions go with the token that they were opened with", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		token := newPAT()
		token.ExpiresAt = base.Add(time.Minute)
		change(t, s, store.UserChange{UserID: u.ID, PAT: &token})
		through, plain := newSession(), newSession()
		through.PATID = token.ID
		signIn(t, s, u.ID, through)
		signIn(t, s, u.ID, plain)
		purge(t, s, store.Purge{Now: token.ExpiresAt, Limit: 100}, 1)
		livesOnly(t, s, u.ID, base, plain.ID)
	}},
	{"anonymous users go when they were last seen long ago, with all that is theirs", func(t *testing.T, s store.Store) {
		limit := base.AddDate(0, 1, 0)
		person := func(anonymous bool, seen time.Time) *owner {
			p := &owner{NewUser: newPerson(), token: newPAT()}
			p.User.Anonymous, p.User.LastSeenAt = anonymous, seen
			p.Session.ExpiresAt = base.AddDate(1, 0, 0)
			p.Ticket.ExpiresAt, p.token.ExpiresAt = p.Session.ExpiresAt, p.Session.ExpiresAt
			create(t, s, p.NewUser)
			change(t, s, store.UserChange{UserID: p.User.ID, PAT: &p.token})
			return p
		}
		regular := person(false, base)
		recent := person(true, limit)
		before := look(t, s)
		old := []*owner{person(true, limit.Add(-tick)), person(true, base), person(true, time.Time{})}

		purge(t, s, store.Purge{Now: limit, Limit: 100}, 0)
		purge(t, s, store.Purge{Now: limit, Limit: 100, AnonymousBefore: limit}, len(old))
		unchanged(t, s, before)
		for _, p := range []*owner{regular, recent} {
			if !lies(t, s, *p.Ticket) {
				t.Error("a ticket is gone of a user who is not")
			}
		}
		for _, p := range old {
			if lies(t, s, *p.Ticket) || stays(t, s, p.Session.ID) {
				t.Error("something is left of a user who is gone")
			}
		}
	}},
	{"an anonymous user who comes back or stops being anonymous stays", func(t *testing.T, s store.Store) {
		anonymous := func() uuid.UUID {
			n := store.NewUser{User: newUser()}
			n.User.Anonymous = true
			return create(t, s, n).ID
		}
		back, named, gone := anonymous(), anonymous(), anonymous()
		later := base.Add(30 * time.Minute)
		change(t, s, store.UserChange{UserID: back, Now: later, Session: new(newSession())})
		change(t, s, store.UserChange{UserID: named, Set: store.UserSet{Anonymous: new(false)}})
		became := someone(t, s).ID
		change(t, s, store.UserChange{UserID: became, Set: store.UserSet{Anonymous: new(true)}})
		purge(t, s, store.Purge{Now: later, Limit: 100, AnonymousBefore: later}, 2)
		for id, want := range map[uuid.UUID]error{back: nil, named: nil, gone: store.ErrNotFound, became: store.ErrNotFound} {
			_, err := s.User(t.Context(), store.UserQuery{ID: id, Now: later})
			wants(t, err, want)
		}
		purge(t, s, store.Purge{Now: later, Limit: 100, AnonymousBefore: later.Add(tick)}, 1)
	}},
}
