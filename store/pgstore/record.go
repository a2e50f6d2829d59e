package pgstore

import (
	"context"
	"math"
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
func (s *Store) ClaimMessages(ctx context.Context, now, until time.Time, limit int) ([]store.Message, error) {
	var list []store.Message
	err := s.run(ctx, write, statement{
		s.fixed.claimMessages,
		[]any{now, until, max(limit, 0)},
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

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, events []store.Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	return wrap("append events", s.run(ctx, write, statement{
		sql: s.fixed.appendEvents,
		args: []any{
			column(events, func(e *store.Event) pgtype.UUID { return pgtype.UUID{Bytes: e.ID, Valid: true} }),
			column(events, func(e *store.Event) time.Time { return e.At }),
			column(events, func(e *store.Event) pgtype.UUID { return ref(e.UserID) }),
			column(events, func(e *store.Event) pgtype.UUID { return ref(e.SessionID) }),
			column(events, func(e *store.Event) string { return e.Type }),
			column(events, func(e *store.Event) string { return e.Address }),
			column(events, func(e *store.Event) *string { return document(e.Detail) }),
		},
	}))
}

// Events implements [store.Store]. Events get their number when they are appended and are seen when that is committed, so
// one with a smaller number may come to be seen a moment after one with a greater.
func (s *Store) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	if !storable(q.Type) {
		return nil, ctx.Err()
	}
	before := q.Before
	if before == 0 {
		before = math.MaxInt64
	}
	sql, args := s.fixed.events, []any{before, max(q.Limit, 0)}
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
			if err := rows.Scan(
				&e.Seq, id(&e.ID), &e.At, &e.Type, (*optionalID)(&e.UserID), (*optionalID)(&e.SessionID), &e.Address,
				(*[]byte)(&e.Detail),
			); err != nil {
				return err
			}
			inUTC(&e.At)
			page = append(page, e)
		}
		return nil
	}})
	if err != nil {
		return nil, wrap("read events", err)
	}
	return page, nil
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
