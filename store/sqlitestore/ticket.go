package sqlitestore

import (
	"context"
	"crypto/subtle"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// PutTicket implements [store.Store].
func (s *Store) PutTicket(ctx context.Context, t store.Ticket) error {
	var user []byte
	if t.UserID != uuid.Nil {
		user = t.UserID[:]
	}
	return s.write(ctx, func(o *op) error { return o.putTicket(&t, user) })
}

// TakeTicket implements [store.Store].
func (s *Store) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	var taken store.Ticket
	err := s.write(ctx, func(o *op) error {
		presented, err := o.presented(&q)
		if err != nil {
			return err
		}
		for _, t := range presented {
			if opens(&t, q.Hashes) {
				taken = t
				_, err := o.exec(removeTicket, t.ID[:])
				return err
			}
		}
		return store.ErrNotFound
	})
	if err != nil {
		return store.Ticket{}, err
	}
	return taken, nil
}

// CheckTicket implements [store.Store].
func (s *Store) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	var found store.Ticket
	var u store.User
	matches := false
	err := s.write(ctx, func(o *op) error {
		presented, err := o.presented(&q)
		if err != nil {
			return err
		}
		if len(presented) == 0 {
			return store.ErrNotFound
		}
		for _, t := range presented {
			if t.Tries > 0 {
				if _, err := o.exec(tryTicket, t.ID[:]); err != nil {
					return err
				}
				t.Tries--
			}
			if !matches && opens(&t, q.Hashes) {
				found, matches = t, true
			}
		}
		if matches && found.UserID != uuid.Nil {
			_, err = o.row(userByID, userDest(&u), found.UserID[:])
		}
		return err // a mismatch is none: its tries are gone
	})
	if err == nil && !matches {
		err = store.ErrMismatch
	}
	if err != nil {
		return store.Ticket{}, store.User{}, err
	}
	return found, u, nil
}

// presented returns the live tickets with tries left that q may mean: those of the owner, or else the one with the
// secret.
func (o *op) presented(q *store.TicketQuery) ([]store.Ticket, error) {
	owner, found := q.UserID, true
	var err error
	switch {
	case q.UserID != uuid.Nil:
	case q.EmailKey != "":
		found, err = o.row(userIDByEmail, []any{&owner}, q.EmailKey)
	case q.Phone != "":
		found, err = o.row(userIDByPhone, []any{&owner}, q.Phone)
	default:
		for _, hash := range q.Hashes {
			tickets, err := all(o, ticketBySecret, ticketDest, q.Kind, full(hash), micros(q.Now))
			if len(tickets) > 0 || err != nil {
				return tickets, err
			}
		}
		return nil, nil
	}
	if !found || err != nil {
		return nil, err
	}
	return all(o, ticketsOf, ticketDest, owner[:], q.Kind, micros(q.Now))
}

// opens says whether the ticket's secret is among those with the hashes.
func opens(t *store.Ticket, hashes [][]byte) bool {
	for _, hash := range hashes {
		if subtle.ConstantTimeCompare(t.Hash, hash) == 1 {
			return true
		}
	}
	return false
}
