package sqlitestore

import (
	"bytes"
	"context"
	"database/sql"
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

// PutMessages implements [store.Store].
func (s *Store) PutMessages(ctx context.Context, messages []store.Message) error {
	return s.write(ctx, func(o *op) error { return o.addMessages(messages) })
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
func (s *Store) ClaimMessages(ctx context.Context, c store.MessageClaim) ([]store.Message, error) {
	var claimed []store.Message
	err := s.write(ctx, func(o *op) (err error) {
		if c.Channel != "" {
			claimed, err = all(o, dueMessagesOf, messageDest, c.Channel, micros(c.Now), c.Limit)
		} else {
			claimed, err = all(o, dueMessages, messageDest, array(c.Except), micros(c.Now), c.Limit)
		}
		if err != nil {
			return err
		}
		for i := range claimed {
			m := &claimed[i]
			m.Attempts++
			m.NextAt = c.Until
			if _, err := o.exec(claimMessage, micros(c.Until), m.ID[:]); err != nil {
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

// Outbox implements [store.Store].
func (s *Store) Outbox(ctx context.Context, now time.Time) (store.OutboxState, error) {
	var state store.OutboxState
	var since sql.NullInt64
	err := s.read(ctx, func(o *op) error {
		at := micros(now)
		_, err := o.row(countMessages, []any{&state.Due, &state.Waiting, &since, &state.Dead}, at, at, at)
		return err
	})
	if err != nil {
		return store.OutboxState{}, err
	}
	if since.Valid {
		state.DueSince = time.UnixMicro(since.Int64).UTC()
	}
	return state, nil
}

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, a store.Append) (head []byte, appended bool, err error) {
	err = s.write(ctx, func(o *op) error {
		n, err := o.exec(moveHead, full(a.Head), full(a.After))
		if err != nil {
			return err
		}
		if appended = n > 0; !appended {
			_, err := o.row(trailHead, []any{&head})
			return err
		}
		head = bytes.Clone(a.Head)
		if a.Through != 0 {
			if _, err := o.exec(removeEvents, a.Through); err != nil {
				return err
			}
		}
		for i := range a.Events {
			e := &a.Events[i]
			if _, err := o.exec(addEvent, e.Seq, e.ID[:], micros(e.At), e.Type, id(e.UserID), id(e.SessionID), e.Address,
				e.Method, e.Code, e.Detail, full(e.Link)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return head, appended, nil
}

// Events implements [store.Store].
func (s *Store) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	before := int64(math.MaxInt64)
	if !q.Before.At.IsZero() {
		before = micros(q.Before.At)
	}
	bounds := []any{before, q.Before.Seq, micros(q.From), q.Limit}
	var page []store.Event
	err := s.read(ctx, func(o *op) (err error) {
		switch {
		case q.UserID != uuid.Nil:
			page, err = all(o, eventsOfUser, eventDest, append([]any{q.UserID[:], q.Type, q.Type}, bounds...)...)
		case q.Type != "":
			page, err = all(o, eventsOfType, eventDest, append([]any{q.Type}, bounds...)...)
		default:
			page, err = all(o, events, eventDest, bounds...)
		}
		return err
	})
	return page, err
}

// Trail implements [store.Store].
func (s *Store) Trail(ctx context.Context, from int64, limit int) (head []byte, list []store.Event, err error) {
	err = s.snapshot(ctx, func(o *op) (err error) {
		if _, err = o.row(trailHead, []any{&head}); err != nil {
			return err
		}
		list, err = all(o, trailFrom, eventDest, from, limit)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return head, list, nil
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
