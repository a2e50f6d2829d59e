package storetest

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// wrapped is a store every call of which goes through around. It names the methods one by one, so that it does not
// compile when one is added and forgotten here.
type wrapped struct {
	store  store.Store
	around func(ctx context.Context, method string, call func() error) error
}

var _ store.Store = (*wrapped)(nil)

func (w *wrapped) CreateUser(ctx context.Context, n store.NewUser) (u store.User, err error) {
	err = w.around(ctx, "CreateUser", func() error { u, err = w.store.CreateUser(ctx, n); return err })
	return zeroUnless(u, err), err
}

func (w *wrapped) User(ctx context.Context, q store.UserQuery) (a store.Account, err error) {
	err = w.around(ctx, "User", func() error { a, err = w.store.User(ctx, q); return err })
	return zeroUnless(a, err), err
}

func (w *wrapped) Users(ctx context.Context, after uuid.UUID, limit int) (list []store.User, err error) {
	err = w.around(ctx, "Users", func() error { list, err = w.store.Users(ctx, after, limit); return err })
	return zeroUnless(list, err), err
}

func (w *wrapped) ChangeUser(ctx context.Context, c store.UserChange) (u store.User, err error) {
	err = w.around(ctx, "ChangeUser", func() error { u, err = w.store.ChangeUser(ctx, c); return err })
	return zeroUnless(u, err), err
}

func (w *wrapped) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	return w.around(ctx, "DeleteUser", func() error { return w.store.DeleteUser(ctx, d) })
}

func (w *wrapped) RotateSession(ctx context.Context, r store.SessionRotation) (v store.RotatedSession, err error) {
	err = w.around(ctx, "RotateSession", func() error { v, err = w.store.RotateSession(ctx, r); return err })
	return zeroUnless(v, err), err
}

func (w *wrapped) UnrotateSession(ctx context.Context, r store.RotatedSession) error {
	return w.around(ctx, "UnrotateSession", func() error { return w.store.UnrotateSession(ctx, r) })
}

func (w *wrapped) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (n int, err error) {
	err = w.around(ctx, "EndSessions", func() error { n, err = w.store.EndSessions(ctx, owner, ids...); return err })
	return zeroUnless(n, err), err
}

func (w *wrapped) PutTicket(ctx context.Context, t store.Ticket) error {
	return w.around(ctx, "PutTicket", func() error { return w.store.PutTicket(ctx, t) })
}

func (w *wrapped) TakeTicket(ctx context.Context, q store.TicketQuery) (t store.Ticket, err error) {
	err = w.around(ctx, "TakeTicket", func() error { t, err = w.store.TakeTicket(ctx, q); return err })
	return zeroUnless(t, err), err
}

func (w *wrapped) CheckTicket(ctx context.Context, q store.TicketQuery) (t store.Ticket, u store.User, err error) {
	err = w.around(ctx, "CheckTicket", func() error { t, u, err = w.store.CheckTicket(ctx, q); return err })
	return zeroUnless(t, err), zeroUnless(u, err), err
}

func (w *wrapped) SigningKeys(ctx context.Context, now time.Time) (list []store.SigningKey, err error) {
	err = w.around(ctx, "SigningKeys", func() error { list, err = w.store.SigningKeys(ctx, now); return err })
	return zeroUnless(list, err), err
}

func (w *wrapped) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (added bool, err error) {
	err = w.around(ctx, "AddSigningKey", func() error { added, err = w.store.AddSigningKey(ctx, k, since); return err })
	return zeroUnless(added, err), err
}

func (w *wrapped) ExpireSigningKey(ctx context.Context, id string, at time.Time) error {
	return w.around(ctx, "ExpireSigningKey", func() error { return w.store.ExpireSigningKey(ctx, id, at) })
}

func (w *wrapped) PutMessages(ctx context.Context, messages []store.Message) error {
	return w.around(ctx, "PutMessages", func() error { return w.store.PutMessages(ctx, messages) })
}

func (w *wrapped) ClaimMessages(ctx context.Context, c store.MessageClaim) (list []store.Message, err error) {
	err = w.around(ctx, "ClaimMessages", func() error { list, err = w.store.ClaimMessages(ctx, c); return err })
	return zeroUnless(list, err), err
}

func (w *wrapped) SettleMessage(ctx context.Context, v store.Settlement) error {
	return w.around(ctx, "SettleMessage", func() error { return w.store.SettleMessage(ctx, v) })
}

func (w *wrapped) AppendEvents(ctx context.Context, a store.Append) (head []byte, appended bool, err error) {
	err = w.around(ctx, "AppendEvents", func() error { head, appended, err = w.store.AppendEvents(ctx, a); return err })
	return zeroUnless(head, err), zeroUnless(appended, err), err
}

func (w *wrapped) Outbox(ctx context.Context, now time.Time) (o store.OutboxState, err error) {
	err = w.around(ctx, "Outbox", func() error { o, err = w.store.Outbox(ctx, now); return err })
	return zeroUnless(o, err), err
}

func (w *wrapped) Events(ctx context.Context, q store.EventQuery) (list []store.Event, err error) {
	err = w.around(ctx, "Events", func() error { list, err = w.store.Events(ctx, q); return err })
	return zeroUnless(list, err), err
}

func (w *wrapped) Trail(ctx context.Context, from int64, limit int) (head []byte, list []store.Event, err error) {
	err = w.around(ctx, "Trail", func() error { head, list, err = w.store.Trail(ctx, from, limit); return err })
	return zeroUnless(head, err), zeroUnless(list, err), err
}

func (w *wrapped) Purge(ctx context.Context, p store.Purge) (n int, err error) {
	err = w.around(ctx, "Purge", func() error { n, err = w.store.Purge(ctx, p); return err })
	return zeroUnless(n, err), err
}

// Joined is no call to a database and neither counts nor fails.
func (w *wrapped) Joined(ctx context.Context) bool { return w.store.Joined(ctx) }

func (w *wrapped) Ping(ctx context.Context) error {
	return w.around(ctx, "Ping", func() error { return w.store.Ping(ctx) })
}

// zeroUnless withholds an answer that came with an error, as a lost one is.
func zeroUnless[T any](v T, err error) T {
	if err != nil {
		var zero T
		return zero
	}
	return v
}
