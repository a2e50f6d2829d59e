package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// expiringKey is the id of the signing key that methods expires.
const expiringKey = "expiring"

// methods calls every method of a store in a way that does something, given that the population of the test is there.
func methods(s store.Store, p *owner, budget store.Ticket, further store.Append) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"CreateUser": func(ctx context.Context) error {
			n := newPerson()
			n.Redeem = budget.ID
			n.Within = func(context.Context, store.User) error { return errors.New("the callback of Within was called") }
			_, err := s.CreateUser(ctx, n)
			return err
		},
		"User": func(ctx context.Context) error {
			_, err := s.User(ctx, store.UserQuery{ID: p.User.ID, Now: base, With: everything})
			return err
		},
		"User by identity or address": func(ctx context.Context) error {
			_, err := s.User(ctx, store.UserQuery{Identity: keyOf(*p.Identity), EmailKey: p.User.EmailKey, Now: base})
			return err
		},
		"Users": func(ctx context.Context) error {
			_, err := s.Users(ctx, uuid.Nil, 10)
			return err
		},
		"ChangeUser": func(ctx context.Context) error {
			c := busyChange(p.User.ID)
			c.Drop = store.Drop{Sessions: true, AllTickets: true}
			c.TakeTokens = &store.IdentityTokens{Key: keyOf(*p.Identity), Tokens: p.Identity.Tokens}
			c.PutTokens = &store.IdentityTokens{Key: keyOf(*p.Identity), Tokens: newTokens()}
			_, err := s.ChangeUser(ctx, c)
			return err
		},
		"DeleteUser": func(ctx context.Context) error {
			return s.DeleteUser(ctx, deletion(p.User.ID, newMessage()))
		},
		"RotateSession": func(ctx context.Context) error {
			_, err := s.RotateSession(ctx, present(p.Session.ID, 0, base.Add(time.Minute)))
			return err
		},
		"RotateSession of an expired one": func(ctx context.Context) error {
			_, err := s.RotateSession(ctx, present(p.Session.ID, 0, base.AddDate(1, 0, 0)))
			return err
		},
		"UnrotateSession": func(ctx context.Context) error {
			return s.UnrotateSession(ctx, store.RotatedSession{
				Outcome: store.Rotated, Session: p.through, Before: store.SessionState{Generation: p.through.Generation - 1},
			})
		},
		"EndSessions": func(ctx context.Context) error {
			_, err := s.EndSessions(ctx, uuid.Nil, p.Session.ID)
			return err
		},
		"PutTicket": func(ctx context.Context) error {
			later := *p.Ticket
			later.ID, later.Hash = uuid.New(), newHash()
			return s.PutTicket(ctx, later)
		},
		"TakeTicket": func(ctx context.Context) error {
			_, err := s.TakeTicket(ctx, bySecret(*p.Ticket, base))
			return err
		},
		"CheckTicket": func(ctx context.Context) error {
			_, _, err := s.CheckTicket(ctx, bySecret(budget, base))
			return err
		},
		"SigningKeys": func(ctx context.Context) error {
			_, err := s.SigningKeys(ctx, base)
			return err
		},
		"AddSigningKey": func(ctx context.Context) error {
			_, err := s.AddSigningKey(ctx, newSigningKey(), base.Add(time.Hour))
			return err
		},
		"PutMessages": func(ctx context.Context) error {
			return s.PutMessages(ctx, []store.Message{newMessage()})
		},
		"ExpireSigningKey": func(ctx context.Context) error {
			return s.ExpireSigningKey(ctx, expiringKey, base)
		},
		"ClaimMessages": func(ctx context.Context) error {
			_, err := s.ClaimMessages(ctx, store.MessageClaim{Now: base, Until: base.Add(time.Hour), Limit: 10})
			return err
		},
		"SettleMessage": func(ctx context.Context) error {
			return s.SettleMessage(ctx, store.Settlement{ID: p.Messages[0].ID, Delivered: true})
		},
		"Outbox": func(ctx context.Context) error {
			_, err := s.Outbox(ctx, base)
			return err
		},
		"AppendEvents": func(ctx context.Context) error {
			_, _, err := s.AppendEvents(ctx, further)
			return err
		},
		"Events": func(ctx context.Context) error {
			_, err := s.Events(ctx, store.EventQuery{Limit: 10})
			return err
		},
		"Trail": func(ctx context.Context) error {
			_, _, err := s.Trail(ctx, 0, 10)
			return err
		},
		"Purge": func(ctx context.Context) error {
			_, err := s.Purge(ctx, store.Purge{Now: base.AddDate(1, 0, 0), Limit: 100})
			return err
		},
		"Ping": s.Ping,
	}
}

var contextTests = []test{
	{"a store in order answers a Ping", func(t *testing.T, s store.Store) {
		wants(t, s.Ping(t.Context()), nil)
	}},
	{"a method whose context is done returns its error and does nothing", func(t *testing.T, s store.Store) { // ST-17
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
		defer cancelLate()

		p := newOwner(t, s)
		for _, ticket := range []*store.Ticket{p.Ticket, &p.code} {
			if !lies(t, s, *ticket) {
				t.Fatal("a ticket is missing")
			}
		}
		p.through.Generation = 3
		p.through.ID = uuid.New()
		signIn(t, s, p.User.ID, p.through)
		budget := newTicket()
		budget.Tries = 1
		put(t, s, budget)
		k := newSigningKey()
		k.ID = expiringKey
		addKey(t, s, k, base)
		record(t, s, newEvent(p.User.ID, "before"))
		further := next(t, s, newEvent(p.User.ID, "kind"))
		further.Through = 1
		before := look(t, s)
		for name, call := range methods(s, p, budget, further) {
			if err := call(canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("%s returns %v, want %v", name, err, context.Canceled)
			}
			if err := call(late); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s returns %v, want %v", name, err, context.DeadlineExceeded)
			}
			unchanged(t, s, before)
		}
		if !lies(t, s, *p.Ticket) || !lies(t, s, p.code) {
			t.Error("a ticket is gone")
		}
		check(t, s, bySecret(budget, base), nil)
		if got := claim(t, s, base, base.Add(time.Hour), 10); len(got) != len(p.Messages) || got[0].Attempts != 1 {
			t.Errorf("the outbox has %+v", got)
		}
	}},
}
