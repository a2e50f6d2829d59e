package pgstore

import (
	"fmt"
	"strings"
)

// fixed are the statements that are always the same, with the schema's name in them.
type fixed struct {
	users string

	rotate, rotateAny, present, presentAny string
	unrotate, endSessions, endSessionsOf   string

	putTicket   string
	take, check [ticketForms]string

	signingKeys, lockSigningKeys, addSigningKey             string
	expireSigningKey                                        string
	claimMessages, settle, resettle                         string
	appendEvents                                            string
	events, eventsOfUser, eventsOfType, eventsOfUserAndType string
	requeueSessions, requeueUsers, purge                    string
}

func newFixed(tables *strings.Replacer) fixed {
	f := fixed{
		users: `SELECT ` + userColumns + ` FROM {schema}.users AS u WHERE u.id > $1::uuid ORDER BY u.id LIMIT $2::bigint`,

		rotate:     fmt.Sprintf(sqlRotate, oneCandidate),
		rotateAny:  fmt.Sprintf(sqlRotate, allCandidates),
		present:    fmt.Sprintf(sqlPresent, oneCandidate),
		presentAny: fmt.Sprintf(sqlPresent, allCandidates),
		unrotate: `UPDATE {schema}.sessions SET generation = $3::bigint, rotated_at = $4::timestamptz,
			expires_at = $5::timestamptz, purge_at = least(purge_at, $5::timestamptz), address = $6::text
			WHERE id = $1::uuid AND generation = $2::bigint`,
		endSessions:   `DELETE FROM {schema}.sessions WHERE id = ANY ($1::uuid[])`,
		endSessionsOf: `DELETE FROM {schema}.sessions WHERE id = ANY ($1::uuid[]) AND user_id = $2::uuid`,

		putTicket: `INSERT INTO {schema}.tickets (id, kind, slot, user_id, hash, data, tries, created_at, expires_at)
			SELECT $1::uuid, $2::text, $3::text, $4::uuid, $5::bytea, $6::bytea, $7::bigint, $8::timestamptz, $9::timestamptz
			WHERE $4::uuid IS NULL OR EXISTS (SELECT 1 FROM {schema}.users WHERE id = $4::uuid FOR KEY SHARE)
			` + onSlotTaken,

		signingKeys: `SELECT id, algorithm, private, created_at, active_at, expires_at
			FROM {schema}.signing_keys WHERE expires_at > $1::timestamptz ORDER BY created_at, id`,
		lockSigningKeys: `UPDATE {schema}.locks SET turns = turns + 1 WHERE name = 'signing-keys'`,
		addSigningKey: `INSERT INTO {schema}.signing_keys (id, algorithm, private, created_at, active_at, expires_at)
			SELECT $1::text, $2::text, $3::bytea, $4::timestamptz, $5::timestamptz, $6::timestamptz
			WHERE NOT EXISTS (SELECT 1 FROM {schema}.signing_keys WHERE created_at > $7::timestamptz)`,
		expireSigningKey: `UPDATE {schema}.signing_keys SET expires_at = least(expires_at, $2::timestamptz) WHERE id = $1::text`,

		// MATERIALIZED keeps the planner from looking more than once for what is due, and finding more than the limit.
		claimMessages: `WITH due AS MATERIALIZED (
			SELECT id FROM {schema}.messages WHERE NOT dead AND next_at <= $1::timestamptz
			ORDER BY created_at LIMIT $3::bigint FOR UPDATE SKIP LOCKED
		)
		UPDATE {schema}.messages AS m SET attempts = m.attempts + 1, next_at = $2::timestamptz
		FROM due WHERE m.id = due.id
		RETURNING m.id, m.channel, m.body, m.created_at, m.next_at, m.attempts, m.dead`,
		settle:   `DELETE FROM {schema}.messages WHERE id = $1::uuid`,
		resettle: `UPDATE {schema}.messages SET dead = $2::boolean, next_at = $3::timestamptz WHERE id = $1::uuid`,

		appendEvents: `INSERT INTO {schema}.events (id, at, user_id, session_id, type, address, detail)
			SELECT e.id, e.at, e.user_id, e.session_id, e.type, e.address, e.detail::jsonb FROM unnest(
				$1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[]
			) WITH ORDINALITY AS e (id, at, user_id, session_id, type, address, detail, place)
			ORDER BY e.place`,

		// A session that was rotated since it was last looked at gets its new place in the queue, and likewise an
		// anonymous user who came back. Only the purge pays for this, and once in the idle life of a row.
		requeueSessions: `UPDATE {schema}.sessions SET purge_at = expires_at WHERE expires_at > $1::timestamptz AND id IN (
			SELECT id FROM {schema}.sessions WHERE purge_at <= $1::timestamptz
			ORDER BY purge_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
		)`,
		requeueUsers: `UPDATE {schema}.users SET idle_since = last_seen_at WHERE last_seen_at >= $1::timestamptz AND id IN (
			SELECT id FROM {schema}.users WHERE anonymous AND idle_since < $1::timestamptz
			ORDER BY idle_since LIMIT $2::bigint FOR UPDATE SKIP LOCKED
		)`,
		purge: sqlPurge,
	}
	for _, kind := range []struct {
		sql   *string
		where string
	}{
		{&f.events, ``},
		{&f.eventsOfUser, ` AND user_id = $3::uuid`},
		{&f.eventsOfType, ` AND type = $3::text`},
		{&f.eventsOfUserAndType, ` AND user_id = $3::uuid AND type = $4::text`},
	} {
		*kind.sql = `SELECT seq, id, at, type, user_id, session_id, address, detail
			FROM {schema}.events WHERE seq < $1::bigint` + kind.where + ` ORDER BY seq DESC LIMIT $2::bigint`
	}
	for form := range ticketForms {
		f.take[form], f.check[form] = tables.Replace(sqlTake(form)), tables.Replace(sqlCheck(form))
	}
	for _, sql := range []*string{
		&f.users,
		&f.rotate, &f.rotateAny, &f.present, &f.presentAny, &f.unrotate, &f.endSessions, &f.endSessionsOf,
		&f.putTicket,
		&f.signingKeys, &f.lockSigningKeys, &f.addSigningKey, &f.expireSigningKey, &f.claimMessages, &f.settle, &f.resettle,
		&f.appendEvents, &f.events, &f.eventsOfUser, &f.eventsOfType, &f.eventsOfUserAndType,
		&f.requeueSessions, &f.requeueUsers, &f.purge,
	} {
		*sql = tables.Replace(*sql)
	}
	return f
}

// sqlPurge chooses what goes, up to the limit in all, and removes it. $1 is now, $2 the limit and $3 AnonymousBefore. Of a
// queue it looks at no more rows than the limit, so that a batch costs the same however long the queue is. The
// sessions of a token go with it without being counted, and so does what belongs to a user, by the foreign keys.
const sqlPurge = `WITH s AS (
	SELECT id FROM (
		SELECT id, expires_at FROM {schema}.sessions WHERE purge_at <= $1::timestamptz
		ORDER BY purge_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
	) AS due WHERE expires_at <= $1::timestamptz
), t AS (
	SELECT id FROM {schema}.tickets WHERE expires_at <= $1::timestamptz
	ORDER BY expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
), p AS (
	SELECT id FROM {schema}.pats WHERE expires_at <= $1::timestamptz
	ORDER BY expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
), k AS (
	SELECT id FROM {schema}.signing_keys WHERE expires_at <= $1::timestamptz
	ORDER BY expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED
), u AS (
	SELECT id FROM (
		SELECT id, last_seen_at FROM {schema}.users WHERE anonymous AND idle_since < $3::timestamptz
		ORDER BY idle_since LIMIT $2::bigint FOR UPDATE SKIP LOCKED
	) AS due WHERE last_seen_at < $3::timestamptz
), gone AS MATERIALIZED (
	SELECT * FROM (
		SELECT 's' AS kind, id, '' AS name FROM s
		UNION ALL SELECT 't', id, '' FROM t
		UNION ALL SELECT 'p', id, '' FROM p
		UNION ALL SELECT 'k', NULL, id FROM k
		UNION ALL SELECT 'u', id, '' FROM u
	) AS ended LIMIT $2::bigint
), ended_sessions AS (
	DELETE FROM {schema}.sessions WHERE id IN (
		SELECT id FROM gone WHERE kind = 's'
		UNION
		SELECT v.id FROM gone JOIN {schema}.sessions AS v ON v.pat_id = gone.id WHERE gone.kind = 'p'
	)
), ended_tickets AS (
	DELETE FROM {schema}.tickets WHERE id IN (SELECT id FROM gone WHERE kind = 't')
), ended_pats AS (
	DELETE FROM {schema}.pats WHERE id IN (SELECT id FROM gone WHERE kind = 'p')
), ended_signing_keys AS (
	DELETE FROM {schema}.signing_keys WHERE id IN (SELECT name FROM gone WHERE kind = 'k')
), ended_users AS (
	DELETE FROM {schema}.users WHERE id IN (SELECT id FROM gone WHERE kind = 'u')
)
SELECT count(*) FROM gone`
