package auth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// complete is a store that notes what an engine leaves out: the memory store, for one, does not mind all of it.
type complete struct {
	store.Store
	now func() time.Time

	mu      sync.Mutex
	missing map[string]bool
}

func (c *complete) want(ok bool, format string, args ...any) {
	if ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing[fmt.Sprintf(format, args...)] = true
}

func (c *complete) time(call string, now time.Time) {
	c.want(now.Equal(c.now()), "%s at %v", call, now)
}

func (c *complete) session(s *store.Session, guest bool) {
	if s == nil {
		return
	}
	c.want(s.ID != uuid.Nil && guest == (len(s.AMR) == 0), "a session of nobody, or by no means: %+v", s)
	c.want(!s.CreatedAt.IsZero() && !s.RotatedAt.IsZero() && !s.AuthTime.IsZero() && !s.EndsAt.IsZero(), "a session without a time: %+v", s)
	c.want(s.ExpiresAt.After(c.now()) && !s.EndsAt.Before(s.ExpiresAt), "a session that ends before it expires, or has: %+v", s)
}

func (c *complete) ticket(t *store.Ticket) {
	if t == nil {
		return
	}
	c.want(t.ID != uuid.Nil && t.Kind != "" && t.Slot != "" && len(t.Hash) == 32, "a ticket without a name: %+v", t)
	c.time("a ticket", t.CreatedAt)
	c.want(t.ExpiresAt.After(c.now()) || t.Kind == "nothing" && !t.ExpiresAt.IsZero(), "a ticket without a life: %+v", t)
}

func (c *complete) identity(i *store.Identity) {
	if i != nil {
		c.want(i.Provider != "" && i.Subject != "" && !i.CreatedAt.IsZero() && !i.LastUsedAt.IsZero(), "an identity: %+v", i)
	}
}

func (c *complete) key(k *store.SecurityKey) {
	if k != nil {
		c.want(k.ID != uuid.Nil && len(k.CredentialID) > 0 && len(k.PublicKey) > 0, "a security key: %+v", k)
		c.time("a security key", k.CreatedAt)
	}
}

func (c *complete) messages(list []store.Message) {
	for _, m := range list {
		c.want(m.ID != uuid.Nil && m.Channel != "" && len(m.Body) > 0 && !m.NextAt.IsZero(), "a message: %+v", m)
		c.time("a message", m.CreatedAt)
	}
}

func (c *complete) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	u := &n.User
	c.want(u.ID != uuid.Nil && u.Locale != "" && u.DefaultRole != "" && len(u.Roles) > 0, "a user: %+v", u)
	c.time("a user", u.UpdatedAt)
	c.session(n.Session, u.Anonymous)
	c.ticket(n.Ticket)
	c.identity(n.Identity)
	c.key(n.SecurityKey)
	c.messages(n.Messages)
	return c.Store.CreateUser(ctx, n)
}

func (c *complete) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	c.time("User", q.Now)
	return c.Store.User(ctx, q)
}

func (c *complete) ChangeUser(ctx context.Context, u store.UserChange) (store.User, error) {
	c.want(u.UserID != uuid.Nil, "ChangeUser of nobody")
	c.time("ChangeUser", u.Now)
	c.session(u.Session, false)
	c.want(u.Session == nil || u.MaxSessions > 0 || u.Session.PATID != uuid.Nil, "a session without a bound on their number")
	c.ticket(u.Ticket)
	c.identity(u.Identity)
	c.key(u.SecurityKey)
	c.messages(u.Messages)
	if u.PAT != nil {
		c.want(u.PAT.ID != uuid.Nil && len(u.PAT.Hash) == 32 && u.PAT.ExpiresAt.After(u.Now) && u.MaxPATs > 0, "a token: %+v", u.PAT)
		c.time("a token", u.PAT.CreatedAt)
	}
	return c.Store.ChangeUser(ctx, u)
}

func (c *complete) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	c.time("DeleteUser", d.Now)
	c.messages(d.Messages)
	return c.Store.DeleteUser(ctx, d)
}

func (c *complete) RotateSession(ctx context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	c.time("RotateSession", r.Now)
	c.want(r.Idle > 0 && r.Grace > 0 && r.Skew > 0, "a rotation: %+v", r)
	return c.Store.RotateSession(ctx, r)
}

func (c *complete) PutMessages(ctx context.Context, list []store.Message) error {
	c.messages(list)
	return c.Store.PutMessages(ctx, list)
}

func (c *complete) SettleMessage(ctx context.Context, s store.Settlement) error {
	c.want(s.ID != uuid.Nil && !(s.Delivered && s.Dead) && (s.Delivered || s.Dead || s.RetryAt.After(c.now())), "an attempt that ends in nothing, or in two things: %+v", s)
	return c.Store.SettleMessage(ctx, s)
}

func (c *complete) PutTicket(ctx context.Context, t store.Ticket) error {
	c.ticket(&t)
	return c.Store.PutTicket(ctx, t)
}

func (c *complete) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	c.time("TakeTicket", q.Now)
	return c.Store.TakeTicket(ctx, q)
}

func (c *complete) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	c.time("CheckTicket", q.Now)
	return c.Store.CheckTicket(ctx, q)
}

// ST-16: whatever an engine does, it tells the store when, by its own clock, and leaves nothing out of what it writes.
func TestEveryCallOfTheStoreIsComplete(t *testing.T) {
	t.Parallel()
	for _, f := range eventFlows {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := &complete{missing: map[string]bool{}}
			s := newScene(t, f.over(func(inner store.Store) store.Store {
				c.Store = inner
				return c
			}))
			c.now = s.Clock.Now
			f.run(s)
			for what := range c.missing {
				t.Error(what)
			}
		})
	}
}
