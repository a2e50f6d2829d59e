package pgstore

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ostiary/auth/store"
)

// sessionColumns are the columns of s, a session, in the order of sessionRow.
const sessionColumns = `s.id, s.user_id, s.generation, s.created_at, s.rotated_at, s.auth_time, s.amr, s.client, s.address,
	s.pat_id, s.scopes, s.expires_at, s.ends_at`

// sessionRow returns where to scan sessionColumns. After it, finishSession must be called.
func sessionRow(v *store.Session) []any {
	return []any{
		id(&v.ID), id(&v.UserID), &v.Generation, &v.CreatedAt, &v.RotatedAt, &v.AuthTime, &v.AMR, &v.Client, &v.Address,
		(*optionalID)(&v.PATID), &v.Scopes, &v.ExpiresAt, &v.EndsAt,
	}
}

func finishSession(v *store.Session) {
	inUTC(&v.CreatedAt, &v.RotatedAt, &v.AuthTime, &v.ExpiresAt, &v.EndsAt)
}

// beforeColumns are what a rotation changes of b, a session, in the order of beforeRow.
const beforeColumns = `b.generation, b.rotated_at, b.expires_at, b.address`

func beforeRow(v *store.SessionState) []any {
	return []any{&v.Generation, &v.RotatedAt, &v.ExpiresAt, &v.Address}
}

// sqlRotate is the refresh as it should be. It is one update of one row, found by its key and guarded by all that must
// hold. The parameters from $4 on are shared with sqlPresent. Where %s stands comes what the candidates are, see newFixed.
//
// b is the same row as s, for RETURNING gives the new values alone. If another refresh has the row, the update waits and
// looks at what that has left, but b stays as it was in the snapshot. So they are compared: if they differ, the update is
// left out and sqlPresent finds out how things are.
const sqlRotate = `UPDATE {schema}.sessions AS s SET
	generation = c.next,
	rotated_at = $4::timestamptz,
	expires_at = least($5::timestamptz, s.ends_at),
	purge_at = least(s.purge_at, $5::timestamptz, s.ends_at),
	address = CASE WHEN $6::text = '' THEN s.address ELSE $6::text END
FROM {schema}.users AS u, {schema}.sessions AS b, %s
WHERE s.id = c.id AND u.id = s.user_id
	AND s.generation <= c.presented AND s.expires_at > $4::timestamptz AND NOT u.disabled
	AND b.id = c.id AND b.generation = s.generation
	AND b.rotated_at = s.rotated_at AND b.expires_at = s.expires_at AND b.address = s.address
RETURNING ` + beforeColumns + `, ` + sessionColumns + `, ` + userColumns

// sqlPresent is for the presentations that sqlRotate leaves out. It locks the session, so that what it decides still
// holds when it is done, and removes it where it has expired or the generation is a reused one. (DELETE may have found
// an older version of the row than the one locked. It then goes on to that one, which is the last.)
const sqlPresent = `WITH s AS (
	SELECT ` + sessionColumns + `, c.presented, c.next
	FROM {schema}.sessions AS s, %s
	WHERE s.id = c.id
	FOR UPDATE OF s
), removed AS (
	DELETE FROM {schema}.sessions AS d USING s, {schema}.users AS u
	WHERE d.id = s.id AND u.id = s.user_id AND (
		s.expires_at <= $4::timestamptz
		OR NOT u.disabled AND s.presented < s.generation
			AND NOT (s.next = s.generation AND s.rotated_at BETWEEN $5::timestamptz AND $6::timestamptz)
	)
	RETURNING d.id
)
SELECT s.expires_at <= $4::timestamptz, s.presented >= s.generation, removed.id IS NOT NULL, ` +
	sessionColumns + `, ` + userColumns + `
FROM s JOIN {schema}.users AS u ON u.id = s.user_id LEFT JOIN removed ON removed.id = s.id`

const (
	oneCandidate  = `(SELECT $1::uuid AS id, $2::bigint AS presented, $3::bigint AS next) AS c`
	allCandidates = `unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS c (id, presented, next)`
)

// candidates returns the first three arguments of sqlRotate and sqlPresent. The next generation of the last that there
// can be is 0, which makes a uint32 of it.
func candidates(list []store.SessionGeneration) []any {
	if len(list) == 1 {
		return []any{ref(list[0].ID), int64(list[0].Generation), int64(list[0].Generation + 1)}
	}
	return []any{
		column(list, func(g *store.SessionGeneration) pgtype.UUID { return ref(g.ID) }),
		column(list, func(g *store.SessionGeneration) int64 { return int64(g.Generation) }),
		column(list, func(g *store.SessionGeneration) int64 { return int64(g.Generation + 1) }),
	}
}

var errUnsettled = errors.New("what was found changed again and again")

// RotateSession implements [store.Store].
func (s *Store) RotateSession(ctx context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	if len(r.Candidates) == 0 {
		return store.RotatedSession{}, absent(ctx)
	}
	rotate, present := s.fixed.rotateAny, s.fixed.presentAny
	if len(r.Candidates) == 1 {
		rotate, present = s.fixed.rotate, s.fixed.present
	}
	c := candidates(r.Candidates)
	for range attempts {
		var result store.RotatedSession
		err := s.run(ctx, write, statement{
			rotate,
			append(c[:3:3], r.Now, r.Now.Add(r.Idle), r.Address),
			func(rows pgx.Rows) error {
				result = store.RotatedSession{}
				if !rows.Next() {
					return nil
				}
				result.Outcome = store.Rotated
				err := scanSession(rows, &result, beforeRow(&result.Before)...)
				inUTC(&result.Before.RotatedAt, &result.Before.ExpiresAt)
				return err
			},
		})
		if err != nil {
			return store.RotatedSession{}, wrap("rotate session", err)
		}
		if result.Outcome != 0 {
			return result, nil
		}

		again := false
		err = s.run(ctx, write, statement{
			present,
			append(c[:3:3], r.Now, r.Now.Add(-r.Grace), r.Now.Add(r.Skew)),
			func(rows pgx.Rows) error {
				result, again = store.RotatedSession{}, false
				for result.Outcome == 0 && rows.Next() {
					var expired, current, removed bool
					if err := scanSession(rows, &result, &expired, &current, &removed); err != nil {
						return err
					}
					switch {
					case expired:
					case result.User.Disabled:
						result.Outcome = store.UserDisabled
					case current:
						// Another rotation was taken back since the first statement, or the user enabled.
						again = true
					case removed:
						result.Outcome = store.Reused
					default:
						result.Outcome = store.Repeated
					}
				}
				return nil
			},
		})
		if err != nil {
			return store.RotatedSession{}, wrap("rotate session", err)
		}
		if result.Outcome != 0 {
			return result, nil
		}
		if !again {
			return store.RotatedSession{}, store.ErrNotFound
		}
	}
	return store.RotatedSession{}, wrap("rotate session", errUnsettled)
}

// scanSession scans a session and its user, after what goes before them.
func scanSession(rows pgx.Rows, r *store.RotatedSession, before ...any) error {
	r.Session, r.User = store.Session{}, store.User{}
	row := append(before, sessionRow(&r.Session)...)
	if err := rows.Scan(append(row, userRow(&r.User)...)...); err != nil {
		return err
	}
	finishSession(&r.Session)
	finishUser(&r.User)
	return nil
}

// UnrotateSession implements [store.Store].
func (s *Store) UnrotateSession(ctx context.Context, r store.RotatedSession) error {
	return wrap("take back rotation", s.run(ctx, write, statement{
		sql: s.fixed.unrotate,
		args: []any{
			ref(r.Session.ID), int64(r.Session.Generation),
			int64(r.Before.Generation), r.Before.RotatedAt, r.Before.ExpiresAt, r.Before.Address,
		},
	}))
}

// EndSessions implements [store.Store].
func (s *Store) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (int, error) {
	sql, args := s.fixed.endSessions, []any{refs(ids)}
	if owner != uuid.Nil {
		sql, args = s.fixed.endSessionsOf, append(args, ref(owner))
	}
	var n int64
	if err := s.run(ctx, write, statement{sql, args, scanAffected(&n)}); err != nil {
		return 0, wrap("end sessions", err)
	}
	return int(n), nil
}
