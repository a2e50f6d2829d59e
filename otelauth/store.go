package otelauth

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
)

// Store returns a store that is s, with a span and a measurement for each call. Contexts go through as they are: calls join
// a transaction of the service's (see pgstore.WithTx) as those of s itself do. It is nil where s is.
func (t *Telemetry) Store(s store.Store) store.Store {
	if s == nil {
		return nil
	}
	return &watched{t, s}
}

// watched names the methods of a store one by one, so that it does not compile when one is added and forgotten here.
type watched struct {
	telemetry *Telemetry
	store     store.Store
}

var _ store.Store = (*watched)(nil)

// around makes a call of the store. The error that refused points to, if any, is one that the store returns on behalf of a
// hook.
func (w *watched) around(ctx context.Context, method string, refused *error, call func(context.Context) error) (err error) {
	t := w.telemetry
	began := time.Now()
	kind := t.operations.of(method)
	ctx, span := t.tracer.Start(ctx, kind.name, kind.options...)
	returned := false
	defer func() {
		why := err
		if !returned {
			why = auth.ErrPanic
		}
		var by error
		if refused != nil {
			by = *refused
		}
		v := onStore(ctx, why, by)
		t.instruments.store.Record(ctx, time.Since(began).Seconds(), t.ofStore.of(labels{method, v})...)
		v.end(span)
	}()
	err = call(ctx)
	returned = true
	return err
}

func (w *watched) CreateUser(ctx context.Context, n store.NewUser) (u store.User, err error) {
	var refused error
	if within := n.Within; within != nil {
		n.Within = func(ctx context.Context, u store.User) error {
			refused = within(ctx, u)
			return refused
		}
	}
	err = w.around(ctx, "CreateUser", &refused, func(ctx context.Context) error { u, err = w.store.CreateUser(ctx, n); return err })
	return u, err
}

func (w *watched) User(ctx context.Context, q store.UserQuery) (a store.Account, err error) {
	err = w.around(ctx, "User", nil, func(ctx context.Context) error { a, err = w.store.User(ctx, q); return err })
	return a, err
}

func (w *watched) Users(ctx context.Context, after uuid.UUID, limit int) (list []store.User, err error) {
	err = w.around(ctx, "Users", nil, func(ctx context.Context) error { list, err = w.store.Users(ctx, after, limit); return err })
	return list, err
}

func (w *watched) ChangeUser(ctx context.Context, c store.UserChange) (u store.User, err error) {
	err = w.around(ctx, "ChangeUser", nil, func(ctx context.Context) error { u, err = w.store.ChangeUser(ctx, c); return err })
	return u, err
}

func (w *watched) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	return w.around(ctx, "DeleteUser", nil, func(ctx context.Context) error { return w.store.DeleteUser(ctx, d) })
}

func (w *watched) RotateSession(ctx context.Context, r store.SessionRotation) (v store.RotatedSession, err error) {
	err = w.around(ctx, "RotateSession", nil, func(ctx context.Context) error { v, err = w.store.RotateSession(ctx, r); return err })
	return v, err
}

func (w *watched) UnrotateSession(ctx context.Context, r store.RotatedSession) error {
	return w.around(ctx, "UnrotateSession", nil, func(ctx context.Context) error { return w.store.UnrotateSession(ctx, r) })
}

func (w *watched) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (n int, err error) {
	err = w.around(ctx, "EndSessions", nil, func(ctx context.Context) error { n, err = w.store.EndSessions(ctx, owner, ids...); return err })
	return n, err
}

func (w *watched) PutTicket(ctx context.Context, t store.Ticket) error {
	return w.around(ctx, "PutTicket", nil, func(ctx context.Context) error { return w.store.PutTicket(ctx, t) })
}

func (w *watched) TakeTicket(ctx context.Context, q store.TicketQuery) (t store.Ticket, err error) {
	err = w.around(ctx, "TakeTicket", nil, func(ctx context.Context) error { t, err = w.store.TakeTicket(ctx, q); return err })
	return t, err
}

func (w *watched) CheckTicket(ctx context.Context, q store.TicketQuery) (t store.Ticket, u store.User, err error) {
	err = w.around(ctx, "CheckTicket", nil, func(ctx context.Context) error { t, u, err = w.store.CheckTicket(ctx, q); return err })
	return t, u, err
}

func (w *watched) SigningKeys(ctx context.Context, now time.Time) (list []store.SigningKey, err error) {
	err = w.around(ctx, "SigningKeys", nil, func(ctx context.Context) error { list, err = w.store.SigningKeys(ctx, now); return err })
	return list, err
}

func (w *watched) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (added bool, err error) {
	err = w.around(ctx, "AddSigningKey", nil, func(ctx context.Context) error { added, err = w.store.AddSigningKey(ctx, k, since); return err })
	return added, err
}

func (w *watched) ExpireSigningKey(ctx context.Context, id string, at time.Time) error {
	return w.around(ctx, "ExpireSigningKey", nil, func(ctx context.Context) error { return w.store.ExpireSigningKey(ctx, id, at) })
}

func (w *watched) PutMessages(ctx context.Context, messages []store.Message) error {
	return w.around(ctx, "PutMessages", nil, func(ctx context.Context) error { return w.store.PutMessages(ctx, messages) })
}

func (w *watched) ClaimMessages(ctx context.Context, c store.MessageClaim) (list []store.Message, err error) {
	err = w.around(ctx, "ClaimMessages", nil, func(ctx context.Context) error { list, err = w.store.ClaimMessages(ctx, c); return err })
	return list, err
}

func (w *watched) SettleMessage(ctx context.Context, v store.Settlement) error {
	return w.around(ctx, "SettleMessage", nil, func(ctx context.Context) error { return w.store.SettleMessage(ctx, v) })
}

func (w *watched) Outbox(ctx context.Context, now time.Time) (o store.OutboxState, err error) {
	err = w.around(ctx, "Outbox", nil, func(ctx context.Context) error { o, err = w.store.Outbox(ctx, now); return err })
	return o, err
}

func (w *watched) AppendEvents(ctx context.Context, a store.Append) (head []byte, appended bool, err error) {
	err = w.around(ctx, "AppendEvents", nil, func(ctx context.Context) error {
		head, appended, err = w.store.AppendEvents(ctx, a)
		return err
	})
	return head, appended, err
}

func (w *watched) Trail(ctx context.Context, from int64, limit int) (head []byte, list []store.Event, err error) {
	err = w.around(ctx, "Trail", nil, func(ctx context.Context) error { head, list, err = w.store.Trail(ctx, from, limit); return err })
	return head, list, err
}

func (w *watched) Events(ctx context.Context, q store.EventQuery) (list []store.Event, err error) {
	err = w.around(ctx, "Events", nil, func(ctx context.Context) error { list, err = w.store.Events(ctx, q); return err })
	return list, err
}

func (w *watched) Purge(ctx context.Context, p store.Purge) (n int, err error) {
	err = w.around(ctx, "Purge", nil, func(ctx context.Context) error { n, err = w.store.Purge(ctx, p); return err })
	return n, err
}

// Joined is no call of a database, and has no span.
func (w *watched) Joined(ctx context.Context) bool { return w.store.Joined(ctx) }

func (w *watched) Ping(ctx context.Context) error {
	return w.around(ctx, "Ping", nil, func(ctx context.Context) error { return w.store.Ping(ctx) })
}
