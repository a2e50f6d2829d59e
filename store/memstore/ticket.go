package memstore

import (
	"context"
	"crypto/subtle"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// PutTicket implements [store.Store].
func (s *Store) PutTicket(ctx context.Context, t store.Ticket) error {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	if _, ok := s.users[t.UserID]; !ok && t.UserID != uuid.Nil {
		return store.ErrNotFound
	}
	c := cloneTicket(&t)
	return s.atomically(func() error { return s.putTicket(&c) })
}

// TakeTicket implements [store.Store].
func (s *Store) TakeTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.Ticket{}, err
	}
	defer s.leave(w)
	for _, t := range s.presented(&q) {
		if opens(t, q.Hashes) {
			s.removeTicket(t)
			return cloneTicket(t), nil
		}
	}
	return store.Ticket{}, store.ErrNotFound
}

// CheckTicket implements [store.Store].
func (s *Store) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.Ticket{}, store.User{}, err
	}
	defer s.leave(w)
	presented := s.presented(&q)
	if len(presented) == 0 {
		return store.Ticket{}, store.User{}, store.ErrNotFound
	}
	var found *store.Ticket
	for _, t := range presented {
		if t.Tries > 0 {
			tried := *t
			tried.Tries--
			t = &tried
			s.replaceTicket(t)
		}
		if found == nil && opens(t, q.Hashes) {
			found = t
		}
	}
	if found == nil {
		return store.Ticket{}, store.User{}, store.ErrMismatch
	}
	var u store.User
	if owner, ok := s.users[found.UserID]; ok {
		u = cloneUser(owner)
	}
	return cloneTicket(found), u, nil
}

// presented returns the live tickets with tries left that q may mean: those of the owner, or else the one with the
// secret.
func (s *Store) presented(q *store.TicketQuery) []*store.Ticket {
	var tickets []*store.Ticket
	consider := func(id uuid.UUID) {
		if t := s.tickets[id]; t.Kind == q.Kind && t.Tries != 0 && live(t.ExpiresAt, q.Now) {
			tickets = append(tickets, t)
		}
	}
	owner := q.UserID
	switch {
	case q.UserID != uuid.Nil:
	case q.EmailKey != "":
		owner = s.emails[q.EmailKey]
	case q.Phone != "":
		owner = s.phones[q.Phone]
	default:
		for _, hash := range q.Hashes {
			for id := range s.secrets[secret{q.Kind, string(hash)}] {
				if len(tickets) == 0 {
					consider(id)
				}
			}
		}
		return tickets
	}
	for id := range s.ticketsOf[owner] {
		consider(id)
	}
	return tickets
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
