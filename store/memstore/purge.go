package memstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// Purge implements [store.Store]. It looks at what it removes and at hardly anything else.
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer s.leave(w)
	n := s.purge(s.ends, p.Now, p.Limit, func(id uuid.UUID) (time.Time, func()) {
		v := s.sessions[id]
		return v.ExpiresAt, func() { s.removeSession(v) }
	})
	n += s.purge(s.ticketEnds, p.Now, p.Limit-n, func(id uuid.UUID) (time.Time, func()) {
		t := s.tickets[id]
		return t.ExpiresAt, func() { s.removeTicket(t) }
	})
	n += s.purge(s.patEnds, p.Now, p.Limit-n, func(id uuid.UUID) (time.Time, func()) {
		t := s.pats[id]
		return t.ExpiresAt, func() { s.removePAT(t) }
	})
	for id, k := range s.signingKeys {
		if n < p.Limit && !live(k.ExpiresAt, p.Now) {
			remove(&s.journal, s.signingKeys, id)
			n++
		}
	}
	if !p.AnonymousBefore.IsZero() {
		// The queue's times are in microseconds, so the last one before is one less.
		n += s.purge(s.anonymous, p.AnonymousBefore.Add(-time.Microsecond), p.Limit-n, func(id uuid.UUID) (time.Time, func()) {
			u := s.users[id]
			return u.LastSeenAt, func() { s.removeUser(u) }
		})
	}
	return n, nil
}

// purge removes up to limit records of a queue that ended at now or before. For each that may have, look tells when it
// really did or will, and how to remove it.
func (s *Store) purge(q *queue, now time.Time, limit int, look func(uuid.UUID) (end time.Time, remove func())) int {
	n := 0
	for n < limit {
		e, ok := q.first()
		if !ok || e.at > now.UnixMicro() {
			break
		}
		end, remove := look(e.id)
		if live(end, now) {
			requeue(&s.journal, q, e.id, end) // it has moved since the queue was told
			continue
		}
		remove()
		n++
	}
	return n
}
