package sqlitestore

import (
	"fmt"
	"strings"

	"github.com/ostiary/auth/store"
)

// statement is a statement that a store has prepared.
type statement int

const (
	lock statement = iota
	ping

	addUser
	updateUser
	seeUser
	removeUser
	userByID
	userByEmail
	userByPhone
	userByIdentity
	userByCredential
	userByPAT
	userBySession
	usersAfter
	userIDByEmail
	userIDByPhone
	userByIdentityOrEmail

	putIdentity
	setTokens
	hasTokens
	removeIdentity
	removeIdentitiesOf
	identitiesOf

	addKey
	useKey
	renameKey
	removeKey
	removeKeysOf
	keysOf
	hasKeys
	hasKey
	signCount

	addPAT
	usePAT
	removePAT
	removePATsOf
	patsOf
	livePATs

	addSession
	rotateSession
	unrotateSession
	removeSession
	removeSessionOf
	removeSessionsOf
	removePATSessionsOf
	endOldest
	sessionAndUser
	sessionsOf
	hasSession

	addTicket
	clearSlot
	removeTicket
	redeemNobodys
	tryTicket
	ticketOf
	ticketBySecret
	ticketsOf
	removeTicketsOf
	removeAllTicketsOf

	addSigningKey
	signingKeys
	hasSigningKeySince
	expireSigningKey

	addMessage
	dueMessagesOf
	dueMessages
	claimMessage
	removeMessage
	postponeMessage
	countMessages

	addEvent
	removeEvents
	moveHead
	trailHead
	trailFrom
	events
	eventsOfUser
	eventsOfType

	purgeSessions
	purgeTickets
	purgePATs
	purgeSigningKeys
	purgeAnonymous

	statements // how many there are
)

// The columns of the records, in the order in which they are written and scanned.
const (
	userColumns = "id, created_at, updated_at, last_seen_at, disabled, anonymous, email, email_key, email_verified, phone, " +
		"phone_verified, display_name, avatar_url, locale, default_role, roles, metadata, password_hash, totp_secret, " +
		"totp_pending, totp_step, recovery_codes, epoch"
	identityColumns = "provider, subject, user_id, email, created_at, last_used_at, tokens"
	keyColumns      = "id, user_id, credential_id, public_key, user_handle, sign_count, backup_eligible, backup_state, " +
		"user_verified, transports, aaguid, attestation_format, attachment, nickname, created_at, last_used_at"
	patColumns     = "id, user_id, hash, scopes, metadata, created_at, expires_at, last_used_at"
	sessionColumns = "id, user_id, generation, created_at, rotated_at, auth_time, amr, client, address, pat_id, scopes, " +
		"expires_at, ends_at"
	ticketColumns     = "id, kind, slot, user_id, hash, data, tries, created_at, expires_at"
	signingKeyColumns = "id, algorithm, private, created_at, active_at, expires_at"
	messageColumns    = "id, channel, body, created_at, next_at, attempts, dead"
	eventColumns      = "seq, id, at, type, user_id, session_id, address, method, code, detail, link"
)

// texts says what each statement is for, as it appears in errors, and how it reads. A table is written {name}.
var texts = [statements]struct{ purpose, text string }{
	lock: {"take the write lock", "UPDATE {users} SET epoch = epoch WHERE 0"},
	ping: {"ping", "SELECT 1 FROM {users} LIMIT 1"},

	addUser:          {"add a user", insert("{users}", userColumns)},
	updateUser:       {"change a user", "UPDATE {users} SET " + assignments(strings.TrimPrefix(userColumns, "id, ")) + " WHERE id = ?"},
	seeUser:          {"note when a user was seen", "UPDATE {users} SET last_seen_at = ? WHERE id = ?"},
	removeUser:       {"delete a user", "DELETE FROM {users} WHERE id = ?"},
	userByID:         {"find a user", "SELECT " + userColumns + " FROM {users} WHERE id = ?"},
	userByEmail:      {"find a user", "SELECT " + userColumns + " FROM {users} WHERE email_key = ?"},
	userByPhone:      {"find a user", "SELECT " + userColumns + " FROM {users} WHERE phone = ?"},
	userByIdentity:   {"find a user", "SELECT " + of("u", userColumns) + " FROM {identities} r JOIN {users} u ON u.id = r.user_id WHERE r.provider = ? AND r.subject = ?"},
	userByCredential: {"find a user", "SELECT " + of("u", userColumns) + " FROM {security_keys} r JOIN {users} u ON u.id = r.user_id WHERE r.credential_id = ?"},
	userByPAT:        {"find a user", "SELECT " + of("u", userColumns) + ", " + of("r", patColumns) + " FROM {pats} r JOIN {users} u ON u.id = r.user_id WHERE r.hash = ? AND r.expires_at > ?"},
	userBySession:    {"find a user", "SELECT " + of("u", userColumns) + ", " + of("r", sessionColumns) + " FROM {sessions} r JOIN {users} u ON u.id = r.user_id WHERE r.id = ? AND r.expires_at > ?"},
	usersAfter:       {"list users", "SELECT " + userColumns + " FROM {users} WHERE id > ? ORDER BY id LIMIT ?"},
	userIDByEmail:    {"find a user", "SELECT id FROM {users} WHERE email_key = ?"},
	userIDByPhone:    {"find a user", "SELECT id FROM {users} WHERE phone = ?"},
	userByIdentityOrEmail: {"find a user", "SELECT " + userColumns + " FROM {users} WHERE id = coalesce(" +
		"(SELECT user_id FROM {identities} WHERE provider = ? AND subject = ?), (SELECT id FROM {users} WHERE email_key = ?))"},

	putIdentity: {"add an identity", insert("{identities}", identityColumns) +
		" ON CONFLICT (provider, subject) DO UPDATE SET email = excluded.email, last_used_at = excluded.last_used_at, tokens = excluded.tokens WHERE user_id = excluded.user_id"},
	setTokens:          {"set the tokens of an identity", "UPDATE {identities} SET tokens = ? WHERE provider = ? AND subject = ? AND user_id = ?"},
	hasTokens:          {"look for tokens", "SELECT 1 FROM {identities} WHERE provider = ? AND subject = ? AND user_id = ? AND tokens = ?"},
	removeIdentity:     {"remove an identity", "DELETE FROM {identities} WHERE provider = ? AND subject = ? AND user_id = ?"},
	removeIdentitiesOf: {"remove identities", "DELETE FROM {identities} WHERE user_id = ?"},
	identitiesOf:       {"list identities", "SELECT " + identityColumns + " FROM {identities} WHERE user_id = ? ORDER BY created_at"},

	addKey:       {"add a security key", insert("{security_keys}", keyColumns)},
	useKey:       {"note the use of a security key", "UPDATE {security_keys} SET sign_count = ?, backup_state = ?, user_verified = user_verified OR ?, last_used_at = ? WHERE id = ?"},
	renameKey:    {"rename a security key", "UPDATE {security_keys} SET nickname = ? WHERE id = ? AND user_id = ?"},
	removeKey:    {"remove a security key", "DELETE FROM {security_keys} WHERE id = ? AND user_id = ?"},
	removeKeysOf: {"remove security keys", "DELETE FROM {security_keys} WHERE user_id = ?"},
	keysOf:       {"list security keys", "SELECT " + keyColumns + " FROM {security_keys} WHERE user_id = ? ORDER BY created_at"},
	hasKeys:      {"look for security keys", "SELECT 1 FROM {security_keys} WHERE user_id = ? LIMIT 1"},
	hasKey:       {"look for a security key", "SELECT 1 FROM {security_keys} WHERE id = ? AND user_id = ?"},
	signCount:    {"read a signature counter", "SELECT sign_count FROM {security_keys} WHERE id = ? AND user_id = ?"},

	addPAT:       {"add a personal access token", insert("{pats}", patColumns)},
	usePAT:       {"note the use of a personal access token", "UPDATE {pats} SET last_used_at = ? WHERE id = ? AND user_id = ?"},
	removePAT:    {"remove a personal access token", "DELETE FROM {pats} WHERE id = ? AND user_id = ?"},
	removePATsOf: {"remove personal access tokens", "DELETE FROM {pats} WHERE user_id = ?"},
	patsOf:       {"list personal access tokens", "SELECT " + patColumns + " FROM {pats} WHERE user_id = ? AND expires_at > ? ORDER BY created_at"},
	livePATs:     {"count personal access tokens", "SELECT count(*) FROM {pats} WHERE user_id = ? AND expires_at > ?"},

	addSession:          {"open a session", insert("{sessions}", sessionColumns)},
	rotateSession:       {"rotate a session", "UPDATE {sessions} SET generation = ?, rotated_at = ?, address = ?, expires_at = ? WHERE id = ?"},
	unrotateSession:     {"take back a rotation", "UPDATE {sessions} SET generation = ?, rotated_at = ?, address = ?, expires_at = ? WHERE id = ? AND generation = ?"},
	removeSession:       {"end a session", "DELETE FROM {sessions} WHERE id = ?"},
	removeSessionOf:     {"end a session", "DELETE FROM {sessions} WHERE id = ? AND user_id = ?"},
	removeSessionsOf:    {"end sessions", "DELETE FROM {sessions} WHERE user_id = ? AND id <> ?"},
	removePATSessionsOf: {"end sessions", "DELETE FROM {sessions} WHERE user_id = ? AND pat_id IS NOT NULL"},
	endOldest: {"end the least recently used sessions", "DELETE FROM {sessions} WHERE id IN (SELECT id FROM {sessions} " +
		"WHERE user_id = ? AND id <> ? AND expires_at > ? AND pat_id IS ? ORDER BY rotated_at DESC, created_at DESC LIMIT -1 OFFSET ?)"},
	sessionAndUser: {"find a session", "SELECT " + of("u", userColumns) + ", " + of("r", sessionColumns) + " FROM {sessions} r JOIN {users} u ON u.id = r.user_id WHERE r.id = ?"},
	sessionsOf:     {"list sessions", "SELECT " + sessionColumns + " FROM {sessions} WHERE user_id = ? AND expires_at > ? ORDER BY created_at"},
	hasSession:     {"look for a session", "SELECT 1 FROM {sessions} WHERE id = ? AND user_id = ? AND expires_at > ?"},

	addTicket:          {"issue a ticket", insert("{tickets}", ticketColumns)},
	clearSlot:          {"replace a ticket", "DELETE FROM {tickets} WHERE kind = ? AND slot = ?"},
	removeTicket:       {"redeem a ticket", "DELETE FROM {tickets} WHERE id = ?"},
	redeemNobodys:      {"redeem a ticket", "DELETE FROM {tickets} WHERE id = ? AND user_id IS NULL AND expires_at > ?"},
	tryTicket:          {"count a try", "UPDATE {tickets} SET tries = tries - 1 WHERE id = ? AND tries > 0"},
	ticketOf:           {"find a ticket", "SELECT 1 FROM {tickets} WHERE id = ? AND (user_id = ? OR user_id IS NULL) AND expires_at > ?"},
	ticketBySecret:     {"find a ticket", "SELECT " + ticketColumns + " FROM {tickets} WHERE kind = ? AND hash = ? AND tries <> 0 AND expires_at > ? LIMIT 1"},
	ticketsOf:          {"find tickets", "SELECT " + ticketColumns + " FROM {tickets} WHERE user_id = ? AND kind = ? AND tries <> 0 AND expires_at > ?"},
	removeTicketsOf:    {"remove tickets", "DELETE FROM {tickets} WHERE user_id = ? AND kind = ?"},
	removeAllTicketsOf: {"remove tickets", "DELETE FROM {tickets} WHERE user_id = ?"},

	addSigningKey:      {"add a signing key", insert("{signing_keys}", signingKeyColumns)},
	signingKeys:        {"list signing keys", "SELECT " + signingKeyColumns + " FROM {signing_keys} WHERE expires_at > ? ORDER BY created_at"},
	hasSigningKeySince: {"look for a signing key", "SELECT 1 FROM {signing_keys} WHERE created_at > ? LIMIT 1"},
	expireSigningKey:   {"expire a signing key", "UPDATE {signing_keys} SET expires_at = min(expires_at, ?) WHERE id = ?"},

	addMessage: {"write a message", insert("{messages}", messageColumns)},
	// Messages of the same instant leave in the order in which they were written.
	dueMessagesOf: {"find messages", "SELECT " + messageColumns + " FROM {messages} WHERE channel = ? AND dead = 0 AND next_at <= ? ORDER BY created_at, rowid LIMIT ?"},
	dueMessages: {"find messages", "SELECT " + messageColumns + " FROM {messages} WHERE channel NOT IN (SELECT value FROM json_each(?)) " +
		"AND dead = 0 AND next_at <= ? ORDER BY created_at, rowid LIMIT ?"},
	claimMessage:    {"claim a message", "UPDATE {messages} SET attempts = attempts + 1, next_at = ? WHERE id = ?"},
	removeMessage:   {"settle a message", "DELETE FROM {messages} WHERE id = ?"},
	postponeMessage: {"settle a message", "UPDATE {messages} SET dead = ?, next_at = ? WHERE id = ?"},
	// Two counts, so that each is of an index: the rows hold the bodies.
	countMessages: {"count messages", "SELECT live.due, live.waiting, live.since, (SELECT count(*) FROM {messages} WHERE dead = 1) FROM (" +
		"SELECT count(*) FILTER (WHERE next_at <= ?) AS due, count(*) FILTER (WHERE next_at > ?) AS waiting, " +
		"min(next_at) FILTER (WHERE next_at <= ?) AS since FROM {messages} WHERE dead = 0) AS live"},

	addEvent:     {"add an event", insert("{events}", eventColumns)},
	removeEvents: {"shorten the audit trail", "DELETE FROM {events} WHERE seq <= ?"},
	moveHead:     {"move the head of the audit trail", "UPDATE {trail} SET head = ? WHERE one = 1 AND head = ?"},
	trailHead:    {"read the head of the audit trail", "SELECT head FROM {trail} WHERE one = 1"},
	trailFrom:    {"read the audit trail", "SELECT " + eventColumns + " FROM {events} WHERE seq >= ? ORDER BY seq LIMIT ?"},
	events:       {"list events", listEvents("")},
	eventsOfUser: {"list events", listEvents("user_id = ? AND (? = '' OR type = ?) AND ")},
	eventsOfType: {"list events", listEvents("type = ? AND ")},

	purgeSessions:    {"purge sessions", "DELETE FROM {sessions} WHERE id IN (SELECT id FROM {sessions} WHERE expires_at <= ? LIMIT ?)"},
	purgeTickets:     {"purge tickets", "DELETE FROM {tickets} WHERE rowid IN (SELECT rowid FROM {tickets} WHERE expires_at <= ? LIMIT ?)"},
	purgePATs:        {"purge personal access tokens", "DELETE FROM {pats} WHERE rowid IN (SELECT rowid FROM {pats} WHERE expires_at <= ? LIMIT ?)"},
	purgeSigningKeys: {"purge signing keys", "DELETE FROM {signing_keys} WHERE rowid IN (SELECT rowid FROM {signing_keys} WHERE expires_at <= ? LIMIT ?)"},
	purgeAnonymous:   {"purge anonymous users", "DELETE FROM {users} WHERE rowid IN (SELECT rowid FROM {users} WHERE anonymous = 1 AND last_seen_at < ? LIMIT ?)"},
}

// text returns the statement for tables with a prefix.
func (s statement) text(prefix string) string {
	return strings.NewReplacer("{", prefix, "}", "").Replace(texts[s].text)
}

func (s statement) String() string { return texts[s].purpose }

// failed returns what a failure of the statement means to the contract.
func (s statement) failed(err error) error {
	if conflict, ok := conflict(err); ok {
		return conflict
	}
	if isOrphan(err) {
		return store.ErrNotFound
	}
	return fmt.Errorf("sqlitestore: to %s: %w", s, err)
}

func insert(table, columns string) string {
	marks := strings.Repeat("?, ", strings.Count(columns, ",")) + "?"
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + marks + ")"
}

// listEvents lists those for which a condition holds, the latest first.
func listEvents(where string) string {
	return "SELECT " + eventColumns + " FROM {events} WHERE " + where + "(at, seq) < (?, ?) AND at >= ? ORDER BY at DESC, seq DESC LIMIT ?"
}

// assignments makes "a = ?, b = ?" of "a, b".
func assignments(columns string) string { return strings.ReplaceAll(columns, ",", " = ?,") + " = ?" }

// of makes "t.a, t.b" of "a, b".
func of(table, columns string) string {
	return table + "." + strings.ReplaceAll(columns, ", ", ", "+table+".")
}
