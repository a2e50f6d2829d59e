package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// operation is a call of the store. Each of its calls is about a record picked at random from all that there are.
type operation struct {
	name string
	// ready picks the record. The time of call is what counts; undo, which may be nil, is called after it.
	ready func(*caller) (call, undo func(context.Context) error)
}

// caller calls operations on one population, one after the other.
type caller struct {
	population
	store store.Store
	// generations are those of the sessions that were rotated.
	generations map[int]uint32
}

func newCaller(p population, s store.Store) *caller {
	return &caller{population: p, store: s, generations: map[int]uint32{}}
}

// Sessions with an even number are rotated and those with an odd one ended, so that neither disturbs the other. Of three
// tickets one is looked at, one taken and one replaced.
func (c *caller) rotated() int { return 2 * rand.IntN(c.sessions()/2) }
func (c *caller) ended() int   { return 2*rand.IntN(c.sessions()/2) + 1 }

const (
	checked = iota
	taken
	replaced
)

func (c *caller) someTicket(use int) int { return 3*rand.IntN(c.tickets()/3) + use }

func (c *caller) find(q store.UserQuery) (call, undo func(context.Context) error) {
	q.Now = c.now
	return func(ctx context.Context) error {
		_, err := c.store.User(ctx, q)
		return err
	}, nil
}

func (c *caller) change(u store.UserChange) func(context.Context) error {
	u.Now = c.now
	return func(ctx context.Context) error {
		_, err := c.store.ChangeUser(ctx, u)
		return err
	}
}

// opened is a new session of a user who signs in now.
func (c *caller) opened(user uuid.UUID) *store.Session {
	v := c.session(0)
	v.ID, v.UserID, v.Generation = uuid.New(), user, 0
	return &v
}

const allLists = store.WithIdentities | store.WithSecurityKeys | store.WithSessions | store.WithPATs

// operations are those that requests wait for.
var operations = []operation{
	{"User by id", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{ID: id("user", rand.IntN(c.users))})
	}},
	{"User by id, with all lists", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{ID: id("user", rand.IntN(c.users)), With: allLists})
	}},
	{"User by e-mail", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{EmailKey: c.user(rand.IntN(c.users)).EmailKey})
	}},
	{"User by session", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{SessionID: id("session", c.rotated())})
	}},
	{"User by identity", func(c *caller) (call, undo func(context.Context) error) {
		i := c.identity(rand.IntN(c.identities()))
		return c.find(store.UserQuery{Identity: store.IdentityKey{Provider: i.Provider, Subject: i.Subject}})
	}},
	{"User by identity or e-mail", func(c *caller) (call, undo func(context.Context) error) {
		i := c.identity(rand.IntN(c.identities()))
		return c.find(store.UserQuery{
			Identity: store.IdentityKey{Provider: i.Provider, Subject: i.Subject},
			EmailKey: c.user(rand.IntN(c.users)).EmailKey, With: store.WithIdentities,
		})
	}},
	{"User by e-mail, since nobody has the identity", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{
			Identity: store.IdentityKey{Provider: "github", Subject: uuid.NewString()},
			EmailKey: c.user(rand.IntN(c.users)).EmailKey, With: store.WithIdentities,
		})
	}},
	{"User by credential", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{CredentialID: c.key(rand.IntN(c.keys())).CredentialID})
	}},
	{"User by access token", func(c *caller) (call, undo func(context.Context) error) {
		return c.find(store.UserQuery{PATHashes: [][]byte{c.pat(rand.IntN(c.pats())).Hash}})
	}},
	{"RotateSession", func(c *caller) (call, undo func(context.Context) error) {
		i := c.rotated()
		v := c.session(i)
		generation, ok := c.generations[i]
		if !ok {
			generation = v.Generation
		}
		r := store.SessionRotation{
			Candidates: []store.SessionGeneration{{ID: v.ID, Generation: generation}},
			Now:        c.now, Idle: 30 * 24 * time.Hour, Grace: 10 * time.Second, Skew: time.Minute, Address: "192.0.2.2",
		}
		return func(ctx context.Context) error {
			got, err := c.store.RotateSession(ctx, r)
			if err == nil && got.Outcome != store.Rotated {
				return fmt.Errorf("outcome %d", got.Outcome)
			}
			c.generations[i] = got.Session.Generation
			return err
		}, nil
	}},
	{"ChangeUser that opens a session", func(c *caller) (call, undo func(context.Context) error) {
		user := id("user", rand.IntN(c.users))
		return c.change(store.UserChange{
			UserID: user, If: store.Conditions{Epoch: 1}, Session: c.opened(user), MaxSessions: 100,
		}), nil
	}},
	{"ChangeUser that sets the name", func(c *caller) (call, undo func(context.Context) error) {
		name := fmt.Sprint("Somebody ", rand.Uint32())
		return c.change(store.UserChange{UserID: id("user", rand.IntN(c.users)), Set: store.UserSet{DisplayName: &name}}), nil
	}},
	{"CreateUser with session, ticket and message", func(c *caller) (call, undo func(context.Context) error) {
		u, t := c.user(1), c.ticket(0)
		u.ID = uuid.New()
		u.Email = u.ID.String() + "@example.org"
		u.EmailKey = u.Email
		t.ID, t.UserID, t.Slot, t.Hash = uuid.New(), u.ID, u.ID.String(), digest(u.Email, 0)
		n := store.NewUser{User: u, Session: c.opened(u.ID), Ticket: &t, Messages: []store.Message{
			{ID: uuid.New(), Channel: "mail", Body: make([]byte, 500), CreatedAt: c.now, NextAt: c.now},
		}}
		return func(ctx context.Context) error {
			_, err := c.store.CreateUser(ctx, n)
			return err
		}, nil
	}},
	{"EndSessions", func(c *caller) (call, undo func(context.Context) error) {
		v := c.session(c.ended())
		return func(ctx context.Context) error {
			n, err := c.store.EndSessions(ctx, uuid.Nil, v.ID)
			if err == nil && n != 1 {
				return fmt.Errorf("%d sessions ended", n)
			}
			return err
		}, c.change(store.UserChange{UserID: v.UserID, Session: &v})
	}},
	{"CheckTicket by secret", func(c *caller) (call, undo func(context.Context) error) {
		t := c.ticket(c.someTicket(checked))
		return c.check(store.TicketQuery{Kind: t.Kind, Hashes: [][]byte{t.Hash}}), nil
	}},
	{"CheckTicket by e-mail", func(c *caller) (call, undo func(context.Context) error) {
		i := c.someTicket(checked)
		t := c.ticket(i)
		return c.check(store.TicketQuery{Kind: t.Kind, EmailKey: c.user(i * usersPerTicket).EmailKey, Hashes: [][]byte{t.Hash}}), nil
	}},
	{"PutTicket in place of another", func(c *caller) (call, undo func(context.Context) error) {
		t := c.ticket(c.someTicket(replaced))
		t.ID = uuid.New()
		t.Hash = digest(t.ID.String(), 0)
		return func(ctx context.Context) error { return c.store.PutTicket(ctx, t) }, nil
	}},
	{"TakeTicket", func(c *caller) (call, undo func(context.Context) error) {
		t := c.ticket(c.someTicket(taken))
		return func(ctx context.Context) error {
				_, err := c.store.TakeTicket(ctx, store.TicketQuery{Kind: t.Kind, Hashes: [][]byte{t.Hash}, Now: c.now})
				return err
			}, func(ctx context.Context) error {
				return c.store.PutTicket(ctx, t)
			}
	}},
}

func (c *caller) check(q store.TicketQuery) func(context.Context) error {
	q.Now = c.now
	return func(ctx context.Context) error {
		_, _, err := c.store.CheckTicket(ctx, q)
		return err
	}
}

// purgeLimit is the batch in which the engine purges.
const purgeLimit = 100

// purging is one call of the purge, which nobody waits for.
var purging = operation{"Purge", func(c *caller) (call, undo func(context.Context) error) {
	return func(ctx context.Context) error {
		_, err := c.purgeOnce(ctx)
		return err
	}, nil
}}

func (c *caller) purgeOnce(ctx context.Context) (int, error) {
	return c.store.Purge(ctx, store.Purge{Now: c.now, Limit: purgeLimit, AnonymousBefore: c.now.AddDate(0, -6, 0)})
}

// purge removes all that has ended and returns how many rows that were. It gives up, without an error, at the context's
// deadline.
func (c *caller) purge(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := c.purgeOnce(ctx)
		total += n
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return total, nil
		case err != nil:
			return total, err
		case n < purgeLimit:
			return total, nil
		}
	}
}

// time calls an operation and returns how long that took.
func (c *caller) time(ctx context.Context, op *operation) (time.Duration, error) {
	call, undo := op.ready(c)
	start := time.Now()
	err := call(ctx)
	took := time.Since(start)
	if err == nil && undo != nil {
		err = undo(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op.name, err)
	}
	return took, nil
}
