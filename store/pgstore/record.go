package pgstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ostiary/auth/store"
)

// This file keeps what belongs to the engine and not to a user, and tokens as they are read.

const patColumns = `p.id, p.user_id, p.hash, p.scopes, p.metadata, p.created_at, p.expires_at, p.last_used_at`

// patRow returns where to scan patColumns. After it, finishPAT must be called.
func patRow(p *store.PAT) []any {
	return []any{
		id(&p.ID), id(&p.UserID), &p.Hash, &p.Scopes, (*[]byte)(&p.Metadata), &p.CreatedAt, &p.ExpiresAt,
		(*optionalTime)(&p.LastUsedAt),
	}
}

func finishPAT(p *store.PAT) { inUTC(&p.CreatedAt, &p.ExpiresAt, &p.LastUsedAt) }

// SigningKeys implements [store.Store].
func (s *Store) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	var keys []store.SigningKey
	err := s.run(ctx, read, statement{s.fixed.signingKeys, []any{now}, func(rows pgx.Rows) error {
		keys = nil
		for rows.Next() {
			var k store.SigningKey
			if err := rows.Scan(&k.ID, &k.Algorithm, &k.Private, &k.CreatedAt, &k.ActiveAt, &k.ExpiresAt); err != nil {
				return err
			}
			inUTC(&k.CreatedAt, &k.ActiveAt, &k.ExpiresAt)
			keys = append(keys, k)
		}
		return nil
	}})
	if err != nil {
		return nil, wrap("list signing keys", err)
	}
	return keys, nil
}

// AddSigningKey implements [store.Store]. Replicas take turns: each waits for the one before with the first statement and
// sees with the second what that one has done.
func (s *Store) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (bool, error) {
	var n int64
	err := s.run(ctx, write,
		statement{sql: s.fixed.lockSigningKeys},
		statement{
			s.fixed.addSigningKey,
			[]any{k.ID, k.Algorithm, full(k.Private), k.CreatedAt, k.ActiveAt, k.ExpiresAt, since},
			scanAffected(&n),
		},
	)
	if err != nil {
		return false, wrap("add signing key", err)
	}
	return n > 0, nil
}

// PutMessages implements [store.Store].
func (s *Store) PutMessages(ctx context.Context, messages []store.Message) error {
	if len(messages) == 0 {
		return ctx.Err()
	}
	return wrap("put messages", s.run(ctx, write, statement{
		sql: s.fixed.putMessages,
		args: []any{
			column(messages, func(m *store.Message) pgtype.UUID { return ref(m.ID) }),
			column(messages, func(m *store.Message) time.Time { return m.CreatedAt }),
			column(messages, func(m *store.Message) time.Time { return m.NextAt }),
			column(messages, func(m *store.Message) int64 { return int64(m.Attempts) }),
			column(messages, func(m *store.Message) bool { return m.Dead }),
			column(messages, func(m *store.Message) string { return m.Channel }),
			column(messages, func(m *store.Message) []byte { return full(m.Body) }),
		},
	}))
}

// ExpireSigningKey implements [store.Store].
func (s *Store) ExpireSigningKey(ctx context.Context, id string, at time.Time) error {
	var n int64
	err := s.run(ctx, write, statement{s.fixed.expireSigningKey, []any{id, at}, scanAffected(&n)})
	if err != nil {
		return wrap("expire signing key", err)
	}
	if n == 0 {
		return store.ErrNotFound
	}
	return nil
}

// ClaimMessages implements [store.Store].
func (s *Store) ClaimMessages(ctx context.Context, c store.MessageClaim) ([]store.Message, error) {
	sql, args := s.fixed.claimMessages, []any{c.Now, c.Until, max(c.Limit, 0), append([]string{}, c.Except...)}
	if c.Channel != "" {
		sql, args[3] = s.fixed.claimMessagesOf, c.Channel
	}
	var list []store.Message
	err := s.run(ctx, write, statement{
		sql, args,
		func(rows pgx.Rows) error {
			list = nil
			for rows.Next() {
				var m store.Message
				if err := rows.Scan(id(&m.ID), &m.Channel, &m.Body, &m.CreatedAt, &m.NextAt, &m.Attempts, &m.Dead); err != nil {
					return err
				}
				inUTC(&m.CreatedAt, &m.NextAt)
				list = append(list, m)
			}
			return nil
		},
	})
	if err != nil {
		return nil, wrap("claim messages", err)
	}
	slices.SortFunc(list, func(a, b store.Message) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return list, nil
}

// SettleMessage implements [store.Store].
func (s *Store) SettleMessage(ctx context.Context, v store.Settlement) error {
	st := statement{sql: s.fixed.resettle, args: []any{ref(v.ID), v.Dead, v.RetryAt}}
	if v.Delivered {
		st = statement{sql: s.fixed.settle, args: []any{ref(v.ID)}}
	}
	return wrap("settle message", s.run(ctx, write, st))
}

// Outbox implements [store.Store].
func (s *Store) Outbox(ctx context.Context, now time.Time) (store.OutboxState, error) {
	var o store.OutboxState
	err := s.run(ctx, read, statement{s.fixed.outbox, []any{now}, func(rows pgx.Rows) error {
		o = store.OutboxState{}
		for rows.Next() {
			if err := rows.Scan(&o.Due, &o.Waiting, (*optionalTime)(&o.DueSince), &o.Dead); err != nil {
				return err
			}
			inUTC(&o.DueSince)
		}
		return nil
	}})
	if err != nil {
		return store.OutboxState{}, wrap("count messages", err)
	}
	return o, nil
}

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, a store.Append) (head []byte, appended bool, err error) {
	var moved int64
	events := a.Events
	statements := []statement{{
		s.fixed.appendEvents,
		[]any{
			full(a.After), full(a.Head),
			column(events, func(e *store.Event) int64 { return e.Seq }),
			column(events, func(e *store.Event) pgtype.UUID { return pgtype.UUID{Bytes: e.ID, Valid: true} }),
			column(events, func(e *store.Event) time.Time { return e.At }),
			column(events, func(e *store.Event) string { return e.Type }),
			column(events, func(e *store.Event) pgtype.UUID { return ref(e.UserID) }),
			column(events, func(e *store.Event) pgtype.UUID { return ref(e.SessionID) }),
			column(events, func(e *store.Event) string { return e.Address }),
			column(events, func(e *store.Event) string { return e.Method }),
			column(events, func(e *store.Event) string { return e.Code }),
			column(events, func(e *store.Event) string { return e.Detail }),
			column(events, func(e *store.Event) []byte { return full(e.Link) }),
		},
		scanCount(&moved),
	}}
	if a.Through != 0 {
		statements = append(statements, statement{sql: s.fixed.removeEvents, args: []any{a.Through, full(a.Head)}})
	}
	// Who has waited for another sees with a statement of its own what that one has done.
	statements = append(statements, statement{s.fixed.trailHead, nil, func(rows pgx.Rows) error {
		head = nil
		if !rows.Next() {
			return nil
		}
		return rows.Scan(&head)
	}})
	if err := s.run(ctx, write, statements...); err != nil {
		return nil, false, wrap("append events", err)
	}
	return head, moved > 0, nil
}

// eventRow returns where to scan eventColumns. A row that somebody has changed by hand is read all the same, for whoever
// verifies the trail to find it.
func eventRow(e *store.Event) []any {
	return []any{
		&e.Seq, (*optionalID)(&e.ID), (*optionalTime)(&e.At), &e.Type, (*optionalID)(&e.UserID), (*optionalID)(&e.SessionID),
		&e.Address, &e.Method, &e.Code, &e.Detail, &e.Link,
	}
}

// Events implements [store.Store].
func (s *Store) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	if !storable(q.Type) {
		return nil, ctx.Err()
	}
	before := pgtype.Timestamptz{Time: q.Before.At, Valid: true}
	if q.Before.At.IsZero() {
		before.InfinityModifier = pgtype.Infinity
	}
	sql, args := s.fixed.events, []any{before, q.Before.Seq, q.From, max(q.Limit, 0)}
	switch {
	case q.UserID != uuid.Nil && q.Type != "":
		sql, args = s.fixed.eventsOfUserAndType, append(args, ref(q.UserID), q.Type)
	case q.UserID != uuid.Nil:
		sql, args = s.fixed.eventsOfUser, append(args, ref(q.UserID))
	case q.Type != "":
		sql, args = s.fixed.eventsOfType, append(args, q.Type)
	}
	var page []store.Event
	err := s.run(ctx, read, statement{sql, args, func(rows pgx.Rows) error {
		page = nil
		for rows.Next() {
			var e store.Event
			if err := rows.Scan(eventRow(&e)...); err != nil {
				return err
			}
			inUTC(&e.At)
			page = append(page, e)
		}
		return nil
	}})
	if err != nil {
		return nil, wrap("list events", err)
	}
	return page, nil
}

// Trail implements [store.Store].
func (s *Store) Trail(ctx context.Context, from int64, limit int) (head []byte, events []store.Event, err error) {
	err = s.run(ctx, read, statement{s.fixed.trail, []any{from, max(limit, 0)}, func(rows pgx.Rows) error {
		head, events = nil, nil
		for rows.Next() {
			var part int
			var e store.Event
			if err := rows.Scan(append([]any{&part}, eventRow(&e)...)...); err != nil {
				return err
			}
			if part == 0 {
				head = e.Link
				continue
			}
			inUTC(&e.At)
			events = append(events, e)
		}
		return nil
	}})
	if err != nil {
		return nil, nil, wrap("read the audit trail", err)
	}
	return head, events, nil
}

// Purge implements [store.Store]. Rows that others have locked are left for the next time, so that a purge holds up
// nobody and is held up by nobody.
func (s *Store) Purge(ctx context.Context, p store.Purge) (int, error) {
	before := pgtype.Timestamptz{Time: p.AnonymousBefore, Valid: !p.AnonymousBefore.IsZero()}
	for removed := 0; ; {
		limit := max(p.Limit-removed, 0)
		var sessions, users, n int64
		err := s.run(ctx, write,
			statement{s.fixed.requeueSessions, []any{p.Now, limit}, scanAffected(&sessions)},
			statement{s.fixed.requeueUsers, []any{before, limit}, scanAffected(&users)},
			statement{s.fixed.purge, []any{p.Now, limit, before}, scanCount(&n)},
		)
		if err != nil {
			return removed, wrap("purge", err)
		}
		// What only got a new place in its queue may have hidden what has ended: fewer than the limit would be taken for
		// all that there are.
		if removed += int(n); removed >= p.Limit || sessions+users == 0 {
			return removed, nil
		}
	}
}
