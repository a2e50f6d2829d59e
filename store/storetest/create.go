package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

var createTests = []test{
	{"a new user starts at epoch 1", func(t *testing.T, s store.Store) {
		n := store.NewUser{User: newUser()}
		want := n.User
		n.User.Epoch, want.Epoch = 9, 1
		equal(t, "the user returned", create(t, s, n), want)
		equal(t, "the user found", find(t, s, want.ID).User, want)
	}},
	{"all that comes with a new user is theirs", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		want := store.Account{
			User: u, Identities: []store.Identity{*n.Identity}, SecurityKeys: []store.SecurityKey{*n.SecurityKey},
			Sessions: []store.Session{*n.Session},
		}
		want.Identities[0].UserID, want.SecurityKeys[0].UserID, want.Sessions[0].UserID = u.ID, u.ID, u.ID
		equal(t, "the account", find(t, s, u.ID), want)

		ticket, owner, err := s.CheckTicket(t.Context(), bySecret(*n.Ticket, base))
		wants(t, err, nil)
		n.Ticket.UserID = u.ID
		equal(t, "the ticket", ticket, *n.Ticket)
		equal(t, "its owner", owner, u)
		if got := emptyOutbox(t, s); got != len(n.Messages) {
			t.Errorf("%d messages in the outbox, want %d", got, len(n.Messages))
		}
	}},
	{"a ticket of the same kind and slot is replaced", func(t *testing.T, s store.Store) {
		old := put(t, s, newTicket())
		n := newPerson()
		n.Ticket.Slot = old.Slot
		create(t, s, n)
		if lies(t, s, old) || !lies(t, s, *n.Ticket) {
			t.Error("the old ticket is still there, or the new one is not")
		}
	}},
	{"a taken id is a conflict", createConflict(store.FieldID, func(n, taken *store.NewUser) {
		n.User.ID = taken.User.ID
	})},
	{"a taken e-mail key is a conflict", createConflict(store.FieldEmail, func(n, taken *store.NewUser) {
		n.User.EmailKey = taken.User.EmailKey
	})},
	{"a taken phone number is a conflict", createConflict(store.FieldPhone, func(n, taken *store.NewUser) {
		n.User.Phone = taken.User.Phone
	})},
	{"a taken identity is a conflict", createConflict(store.FieldIdentity, func(n, taken *store.NewUser) {
		identity := *n.Identity
		identity.Provider, identity.Subject = taken.Identity.Provider, taken.Identity.Subject
		n.Identity = &identity
	})},
	{"a taken credential id is a conflict", createConflict(store.FieldCredential, func(n, taken *store.NewUser) {
		key := *n.SecurityKey
		key.CredentialID = taken.SecurityKey.CredentialID
		n.SecurityKey = &key
	})},
	{"a taken id of a security key is a conflict", createConflict(store.FieldID, func(n, taken *store.NewUser) {
		key := *n.SecurityKey
		key.ID = taken.SecurityKey.ID
		n.SecurityKey = &key
	})},
	{"a taken id of a session is a conflict", createConflict(store.FieldID, func(n, taken *store.NewUser) {
		session := *n.Session
		session.ID = taken.Session.ID
		n.Session = &session
	})},
	{"a taken id of a ticket is a conflict", createConflict(store.FieldID, func(n, taken *store.NewUser) {
		ticket := *n.Ticket
		ticket.ID = taken.Ticket.ID
		n.Ticket = &ticket
	})},
	{"a taken id of a message is a conflict", createConflict(store.FieldID, func(n, taken *store.NewUser) {
		n.Messages = []store.Message{n.Messages[0], taken.Messages[1]}
	})},
	{"no address and no number are nobody's", func(t *testing.T, s store.Store) {
		for range 2 {
			u := newUser()
			u.Email, u.EmailKey, u.Phone = "", "", ""
			create(t, s, store.NewUser{User: u})
		}
	}},
	{"an identity is a subject of a provider", func(t *testing.T, s store.Store) {
		for _, key := range []store.IdentityKey{
			{Provider: "github", Subject: "1"},
			{Provider: "google", Subject: "1"},
			{Provider: "github", Subject: "2"},
			{Provider: "github", Subject: "a"},
			{Provider: "github", Subject: "A"},
			{Provider: "github", Subject: "a "},
		} {
			identity := newIdentity()
			identity.Provider, identity.Subject = key.Provider, key.Subject
			u := create(t, s, store.NewUser{User: newUser(), Identity: &identity})
			a, err := s.User(t.Context(), store.UserQuery{Identity: key, Now: base})
			wants(t, err, nil)
			equal(t, "the user found", a.User, u)
		}
	}},
	{"a sign-up uses up a ticket of nobody", func(t *testing.T, s store.Store) {
		ticket := newTicket()
		ticket.Tries = 0 // the last one went when it was presented
		put(t, s, ticket)
		n := newPerson()
		n.Redeem = ticket.ID
		create(t, s, n)
		again := newPerson()
		again.Redeem = ticket.ID
		refusesNewUser(t, s, again, unmet(store.ConditionTicket))
	}},
	{"a sign-up needs its ticket", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.Redeem = uuid.New()
		refusesNewUser(t, s, n, unmet(store.ConditionTicket))
	}},
	{"a sign-up does not use up an expired ticket", func(t *testing.T, s store.Store) { // TK-04
		ticket := put(t, s, newTicket())
		n := newPerson()
		n.Redeem = ticket.ID
		n.User.CreatedAt = ticket.ExpiresAt
		refusesNewUser(t, s, n, unmet(store.ConditionTicket))
		n.User.CreatedAt = ticket.ExpiresAt.Add(-tick)
		create(t, s, n)
	}},
	{"a sign-up does not use up the ticket of a user", func(t *testing.T, s store.Store) {
		ticket := put(t, s, ticketOf(someone(t, s).ID))
		n := newPerson()
		n.Redeem = ticket.ID
		refusesNewUser(t, s, n, unmet(store.ConditionTicket))
		if !lies(t, s, ticket) {
			t.Error("the ticket is gone")
		}
	}},
	{"a missing ticket is told before a taken address", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.User.EmailKey = someone(t, s).EmailKey
		n.Redeem = uuid.New()
		refusesNewUser(t, s, n, unmet(store.ConditionTicket))
	}},
	{"Within sees the user with the context that it gets", func(t *testing.T, s store.Store) {
		n := newPerson()
		calls := 0
		if s.Joined(t.Context()) {
			t.Error("a context like any other is said to carry a transaction")
		}
		n.Within = func(ctx context.Context, u store.User) error {
			if !s.Joined(ctx) {
				t.Error("the context does not say that it carries a transaction")
			}
			calls++
			want := n.User
			want.Epoch = 1
			equal(t, "the user passed", u, want)
			a, err := s.User(ctx, store.UserQuery{ID: u.ID, Now: base, With: everything})
			if err != nil {
				return err
			}
			equal(t, "the user found", a.User, want)
			if len(a.Identities) != 1 || len(a.SecurityKeys) != 1 || len(a.Sessions) != 1 {
				t.Errorf("Within finds %+v, which lacks something", a)
			}
			_, _, err = s.CheckTicket(ctx, bySecret(*n.Ticket, base))
			return err
		}
		create(t, s, n)
		if calls != 1 {
			t.Errorf("Within was called %d times", calls)
		}
	}},
	{"what Within does stays with the sign-up", func(t *testing.T, s store.Store) {
		neighbour := create(t, s, newPerson())
		n := newPerson()
		ticket := newTicket()
		n.Within = func(ctx context.Context, u store.User) error {
			ticket.UserID = u.ID
			_, err := s.ChangeUser(ctx, store.UserChange{UserID: u.ID, Now: base, Set: store.UserSet{Locale: new("bg")}})
			return errors.Join(err, s.PutTicket(ctx, ticket), s.DeleteUser(ctx, deletion(neighbour.ID)))
		}
		u := create(t, s, n)
		if got := find(t, s, u.ID); got.Locale != "bg" {
			t.Errorf("the locale that Within set is %q", got.Locale)
		}
		if !lies(t, s, ticket) {
			t.Error("the ticket that Within put is gone")
		}
		_, err := s.User(t.Context(), store.UserQuery{ID: neighbour.ID, Now: base})
		wants(t, err, store.ErrNotFound)
	}},
	{"an error from Within undoes all that it and the sign-up did", func(t *testing.T, s store.Store) { // W26, ST-01
		refusal := errors.New("refused")
		first := newPerson()
		neighbour := create(t, s, first)
		family := signIn(t, s, neighbour.ID, newSession())
		budget := ticketOf(neighbour.ID)
		budget.Tries = 1
		put(t, s, budget)
		spent := put(t, s, newTicket())
		record(t, s, newEvent(neighbour.ID, "before"))
		further := next(t, s, newEvent(neighbour.ID, "within"))
		further.Through = 1
		before := look(t, s)

		n := newPerson()
		n.Redeem = spent.ID
		stray, strayMessage, token, key := newTicket(), newMessage(), newPAT(), newSigningKey()
		n.Within = func(ctx context.Context, u store.User) error {
			_, err := s.ChangeUser(ctx, store.UserChange{
				UserID: u.ID, Now: base, PAT: &token, Messages: []store.Message{strayMessage}, Set: store.UserSet{Locale: new("bg")},
			})
			_, err2 := s.RotateSession(ctx, store.SessionRotation{
				Candidates: []store.SessionGeneration{{ID: family.ID}}, Now: base.Add(time.Minute), Idle: time.Hour,
			})
			_, _, err3 := s.CheckTicket(ctx, bySecret(budget, base))
			_, err4 := s.AddSigningKey(ctx, key, early)
			_, err5 := s.EndSessions(ctx, uuid.Nil, first.Session.ID)
			_, err6 := s.TakeTicket(ctx, bySecret(*first.Ticket, base))
			_, err7 := s.CreateUser(ctx, newPerson())
			_, err8 := s.Purge(ctx, store.Purge{Now: base.AddDate(1, 0, 0), Limit: 100})
			err9 := s.DeleteUser(ctx, deletion(neighbour.ID, newMessage()))
			_, err10 := s.ClaimMessages(ctx, store.MessageClaim{Now: base, Until: base.Add(time.Hour), Limit: 100})
			_, appended, err11 := s.AppendEvents(ctx, further)
			outbox, err12 := s.Outbox(ctx, base)
			if outbox.Due != 0 || outbox.Waiting == 0 {
				t.Errorf("Within sees an outbox that is not its own: %+v", outbox)
			}
			if err := errors.Join(
				err, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, s.PutTicket(ctx, stray),
			); err != nil || !appended {
				t.Errorf("a call made by Within failed: %v", err)
			}
			return refusal
		}
		refusesNewUser(t, s, n, refusal)
		unchanged(t, s, before)
		if !lies(t, s, spent) || !lies(t, s, *first.Ticket) || lies(t, s, stray) {
			t.Error("a ticket is gone, or one is there that Within put")
		}
		if _, _, err := s.CheckTicket(t.Context(), bySecret(budget, base)); err != nil {
			t.Errorf("the only try, which Within took, did not come back: %v", err)
		}
		claimed, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: base, Until: base.Add(time.Hour), Limit: 100})
		wants(t, err, nil)
		if len(claimed) != len(first.Messages) {
			t.Errorf("%d messages in the outbox, want %d", len(claimed), len(first.Messages))
		}
		for _, m := range claimed {
			if m.Attempts != 1 {
				t.Errorf("a message has had %d attempts, want 1", m.Attempts)
			}
		}
		n.Within = nil
		create(t, s, n)
	}},
	{"Within is not called for a sign-up that fails", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.User.EmailKey = someone(t, s).EmailKey
		n.Within = func(context.Context, store.User) error {
			t.Error("Within was called")
			return nil
		}
		refusesNewUser(t, s, n, conflict(store.FieldEmail))
		n = newPerson()
		n.Redeem = uuid.New()
		n.Within = func(context.Context, store.User) error {
			t.Error("Within was called")
			return nil
		}
		refusesNewUser(t, s, n, unmet(store.ConditionTicket))
	}},
}

// refusesNewUser checks that n is refused and that nothing of it is left behind, which is where a later sign-up with the
// same records would stumble.
func refusesNewUser(t *testing.T, s store.Store, n store.NewUser, want error) {
	t.Helper()
	before := look(t, s)
	got, err := s.CreateUser(t.Context(), n)
	wants(t, err, want)
	equal(t, "the user returned with an error", got, store.User{})
	unchanged(t, s, before)
	if n.Ticket != nil && lies(t, s, *n.Ticket) {
		t.Error("the ticket of the sign-up was left behind")
	}
}

// createConflict tests that a sign-up like one before in what collide copies is a conflict and leaves nothing behind.
func createConflict(field store.Field, collide func(n, taken *store.NewUser)) func(*testing.T, store.Store) {
	return func(t *testing.T, s store.Store) {
		taken, n := newPerson(), newPerson()
		create(t, s, taken)
		n.Redeem = put(t, s, newTicket()).ID

		colliding := n
		collide(&colliding, &taken)
		refusesNewUser(t, s, colliding, conflict(field))
		if !lies(t, s, *taken.Ticket) {
			t.Error("the other user's ticket is gone")
		}

		u := create(t, s, n)
		if a := find(t, s, u.ID); len(a.Identities) != 1 || len(a.SecurityKeys) != 1 || len(a.Sessions) != 1 {
			t.Errorf("the second attempt made %+v, which lacks something", a)
		}
		if got, want := emptyOutbox(t, s), len(taken.Messages)+len(n.Messages); got != want {
			t.Errorf("%d messages in the outbox, want %d", got, want)
		}
	}
}
