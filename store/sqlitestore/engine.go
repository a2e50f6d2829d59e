package sqlitestore

import (
	"context"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// This file keeps what belongs to the engine and not to a user.

// SigningKeys implements [store.Store].
func (s *Store) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	var keys []store.SigningKey
	err := s.read(ctx, func(o *op) (err error) {
		keys, err = all(o, signingKeys, signingKeyDest, micros(now))
		return err
	})
	return keys, err
}

// AddSigningKey implements [store.Store].
func (s *Store) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (bool, error) {
	added := false
	err := s.write(ctx, func(o *op) error {
		later, err := o.row(hasSigningKeySince, []any{new(int)}, micros(since))
		if later || err != nil {
			return err
		}
		_, err = o.exec(addSigningKey, k.ID, k.Algorithm, full(k.Private), micros(k.CreatedAt), micros(k.ActiveAt),
			micros(k.ExpiresAt))
		added = err == nil
		return err
	})
	return added && err == nil, err
}

// ExpireSigningKey implements [store.Store].
func (s *Store) ExpireSigningKey(ctx context.Context, id string, at time.Time) error {
	return s.write(ctx, func(o *op) error {
		n, err := o.exec(expireSigningKey, micros(at), id)
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// ClaimMessages implements [store.Store].
func (s *Store) ClaimMessages(ctx context.Context, now, until time.Time, limit int) ([]store.Message, error) {
	var claimed []store.Message
	err := s.write(ctx, func(o *op) (err error) {
		claimed, err = all(o, dueMessages, messageDest, micros(now), limit)
		if err != nil {
			return err
		}
		for i := range claimed {
			m := &claimed[i]
			m.Attempts++
			m.NextAt = until
			if _, err := o.exec(claimMessage, micros(until), m.ID[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// SettleMessage implements [store.Store].
func (s *Store) SettleMessage(ctx context.Context, v store.Settlement) error {
	return s.write(ctx, func(o *op) error {
		if v.Delivered {
			_, err := o.exec(removeMessage, v.ID[:])
			return err
		}
		_, err := o.exec(postponeMessage, v.Dead, micros(v.RetryAt), v.ID[:])
		return err
	})
}

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, list []store.Event) error {
	return s.write(ctx, func(o *op) error {
		for i := range list {
			e := &list[i]
			if _, err := o.exec(addEvent, e.ID[:], micros(e.At), e.Type, id(e.UserID), id(e.SessionID), e.Address,
				document(e.Detail)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events implements [store.Store].
func (s *Store) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	before := q.Before
	if before <= 0 {
		before = math.MaxInt64
	}
	var page []store.Event
	err := s.read(ctx, func(o *op) (err error) {
		switch {
		case q.UserID != uuid.Nil:
			page, err = all(o, eventsOfUser, eventDest, q.UserID[:], before, q.Type, q.Type, q.Limit)
		case q.Type != "":
			page, err = all(o, eventsOfType, eventDest, q.Type, before, q.Limit)
		default:
			page, err = all(o, events, eventDest, before, q.Limit)
		}
		return err
	})
	return page, err
}

// Purge implements [store.Store].
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	total := 0
	err := s.write(ctx, func(o *op) error {
		steps := []struct {
			st     statement
			before time.Time
		}{{purgeSessions, p.Now}, {purgeTickets, p.Now}, {purgePATs, p.Now}, {purgeSigningKeys, p.Now}}
		if !p.AnonymousBefore.IsZero() {
			steps = append(steps, struct {
				st     statement
				before time.Time
			}{purgeAnonymous, p.AnonymousBefore})
		}
		for _, step := range steps {
			if total >= p.Limit {
				break
			}
			n, err := o.exec(step.st, micros(step.before), p.Limit-total)
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return total, nil
}
