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
	putMessages, claimMessages, claimMessagesOf             string
	settle, resettle, outbox                                string
	appendEvents, removeEvents, trailHead, trail            string
	events, eventsOfUser, eventsOfType, eventsOfUserAndType string
	requeueSessions, requeueUsers, purge                    string
}

const eventColumns = `seq, id, at, type, user_id, session_id, address, method, code, detail, link`

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

		putMessages: `INSERT INTO {schema}.messages (id, created_at, next_at, attempts, dead, channel, body)
			SELECT m.* FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::boolean[], $6::text[],
			$7::bytea[]) AS m`,
		claimMessages:   claim(`channel <> ALL ($4::text[])`),
		claimMessagesOf: claim(`channel = $4::text`),
		settle:          `DELETE FROM {schema}.messages WHERE id = $1::uuid`,
		resettle:        `UPDATE {schema}.messages SET dead = $2::boolean, next_at = $3::timestamptz WHERE id = $1::uuid`,
		// Two counts, so that each is of an index: the rows hold the bodies.
		outbox: `SELECT live.due, live.waiting, live.since, given_up.n FROM (
			SELECT count(*) FILTER (WHERE next_at <= $1::timestamptz) AS due,
				count(*) FILTER (WHERE next_at > $1::timestamptz) AS waiting,
				min(next_at) FILTER (WHERE next_at <= $1::timestamptz) AS since
			FROM {schema}.messages WHERE NOT dead
		) AS live, (SELECT count(*) AS n FROM {schema}.messages WHERE dead) AS given_up`,

		// The second and third statement see what the first has done.
		appendEvents: `WITH moved AS (
			UPDATE {schema}.trail SET head = $2::bytea WHERE one = 1 AND head = $1::bytea RETURNING one
		), added AS (
			INSERT INTO {schema}.events (` + eventColumns + `)
			SELECT ` + eventColumns + ` FROM unnest(
				$3::bigint[], $4::uuid[], $5::timestamptz[], $6::text[], $7::uuid[], $8::uuid[], $9::text[], $10::text[],
				$11::text[], $12::text[], $13::bytea[]
			) AS e (` + eventColumns + `) WHERE EXISTS (SELECT 1 FROM moved)
		)
		SELECT count(*) FROM moved`,
		removeEvents: `DELETE FROM {schema}.events
			WHERE seq <= $1::bigint AND EXISTS (SELECT 1 FROM {schema}.trail WHERE one = 1 AND head = $2::bytea)`,
		trailHead: `SELECT head FROM {schema}.trail WHERE one = 1`,
		// One statement, so that head and events are those of one moment at any isolation level. The head comes first.
		trail: `SELECT 0 AS part, 0::bigint AS seq, NULL::uuid, NULL::timestamptz, '', NULL::uuid, NULL::uuid, '', '', '', '', head
			FROM {schema}.trail WHERE one = 1
			UNION ALL
			(SELECT 1, ` + eventColumns + ` FROM {schema}.events WHERE seq >= $1::bigint ORDER BY seq LIMIT $2::bigint)
			ORDER BY part, seq`,

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
		{&f.eventsOfUser, ` AND user_id = $5::uuid`},
		{&f.eventsOfType, ` AND type = $5::text`},
		{&f.eventsOfUserAndType, ` AND user_id = $5::uuid AND type = $6::text`},
	} {
		*kind.sql = `SELECT ` + eventColumns + ` FROM {schema}.events
			WHERE (at, seq) < ($1::timestamptz, $2::bigint) AND at >= $3::timestamptz` + kind.where + `
			ORDER BY at DESC, seq DESC LIMIT $4::bigint`
	}
	for form := range ticketForms {
		f.take[form], f.check[form] = tables.Replace(sqlTake(form)), tables.Replace(sqlCheck(form))
	}
	for _, sql := range []*string{
		&f.users,
		&f.rotate, &f.rotateAny, &f.present, &f.presentAny, &f.unrotate, &f.endSessions, &f.endSessionsOf,
		&f.putTicket,
		&f.signingKeys, &f.lockSigningKeys, &f.addSigningKey, &f.expireSigningKey, &f.putMessages, &f.claimMessages, &f.claimMessagesOf,
		&f.settle, &f.resettle, &f.outbox,
		&f.appendEvents, &f.removeEvents, &f.trailHead, &f.trail, &f.events, &f.eventsOfUser, &f.eventsOfType, &f.eventsOfUserAndType,
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

// claim takes due messages. MATERIALIZED keeps the planner from looking more than once for what is due, and finding more than
// the limit.
func claim(which string) string {
	return `WITH due AS MATERIALIZED (
			SELECT id FROM {schema}.messages WHERE ` + which + ` AND NOT dead AND next_at <= $1::timestamptz
			ORDER BY created_at LIMIT $3::bigint FOR UPDATE SKIP LOCKED
		)
		UPDATE {schema}.messages AS m SET attempts = m.attempts + 1, next_at = $2::timestamptz
		FROM due WHERE m.id = due.id
		RETURNING m.id, m.channel, m.body, m.created_at, m.next_at, m.attempts, m.dead`
}
