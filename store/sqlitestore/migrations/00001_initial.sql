-- +goose Up
-- Times are microseconds since 1970 in UTC, ids the 16 bytes of a UUID, lists JSON arrays. NULL stands for the empty value
-- where it keeps an index or a row small, or a unique index from seeing it.

CREATE TABLE {prefix}users (
	id             BLOB    NOT NULL PRIMARY KEY,
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL,
	last_seen_at   INTEGER NOT NULL,
	disabled       INTEGER NOT NULL,
	anonymous      INTEGER NOT NULL,
	email          TEXT    NOT NULL,
	email_key      TEXT,
	email_verified INTEGER NOT NULL,
	phone          TEXT,
	phone_verified INTEGER NOT NULL,
	display_name   TEXT    NOT NULL,
	avatar_url     TEXT    NOT NULL,
	locale         TEXT    NOT NULL,
	default_role   TEXT    NOT NULL,
	roles          TEXT    NOT NULL,
	metadata       TEXT,
	password_hash  TEXT    NOT NULL,
	totp_secret    BLOB,
	totp_pending   BLOB,
	totp_step      INTEGER NOT NULL,
	recovery_codes TEXT    NOT NULL,
	epoch          INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX {prefix}users_email_key ON {prefix}users (email_key) WHERE email_key IS NOT NULL;
CREATE UNIQUE INDEX {prefix}users_phone ON {prefix}users (phone) WHERE phone IS NOT NULL;
CREATE INDEX {prefix}users_anonymous ON {prefix}users (last_seen_at) WHERE anonymous = 1;

CREATE TABLE {prefix}identities (
	provider     TEXT    NOT NULL,
	subject      TEXT    NOT NULL,
	user_id      BLOB    NOT NULL REFERENCES {prefix}users (id) ON DELETE CASCADE,
	email        TEXT    NOT NULL,
	created_at   INTEGER NOT NULL,
	last_used_at INTEGER NOT NULL,
	tokens       BLOB,
	PRIMARY KEY (provider, subject)
) STRICT;
CREATE INDEX {prefix}identities_user_id ON {prefix}identities (user_id);

CREATE TABLE {prefix}security_keys (
	id                 BLOB    NOT NULL PRIMARY KEY,
	user_id            BLOB    NOT NULL REFERENCES {prefix}users (id) ON DELETE CASCADE,
	credential_id      BLOB    NOT NULL UNIQUE,
	public_key         BLOB    NOT NULL,
	user_handle        BLOB    NOT NULL,
	sign_count         INTEGER NOT NULL,
	backup_eligible    INTEGER NOT NULL,
	backup_state       INTEGER NOT NULL,
	user_verified      INTEGER NOT NULL,
	transports         TEXT    NOT NULL,
	aaguid             BLOB    NOT NULL,
	attestation_format TEXT    NOT NULL,
	attachment         TEXT    NOT NULL,
	nickname           TEXT    NOT NULL,
	created_at         INTEGER NOT NULL,
	last_used_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX {prefix}security_keys_user_id ON {prefix}security_keys (user_id);

CREATE TABLE {prefix}pats (
	id           BLOB    NOT NULL PRIMARY KEY,
	user_id      BLOB    NOT NULL REFERENCES {prefix}users (id) ON DELETE CASCADE,
	hash         BLOB    NOT NULL UNIQUE,
	scopes       TEXT    NOT NULL,
	metadata     TEXT,
	created_at   INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	last_used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX {prefix}pats_user_id ON {prefix}pats (user_id);
CREATE INDEX {prefix}pats_expires_at ON {prefix}pats (expires_at);

-- The rows are small and found by their id most of the time: that takes one walk down one tree here.
CREATE TABLE {prefix}sessions (
	id         BLOB    NOT NULL PRIMARY KEY,
	user_id    BLOB    NOT NULL REFERENCES {prefix}users (id) ON DELETE CASCADE,
	generation INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	rotated_at INTEGER NOT NULL,
	auth_time  INTEGER NOT NULL,
	amr        TEXT    NOT NULL,
	client     TEXT    NOT NULL,
	address    TEXT    NOT NULL,
	pat_id     BLOB,
	scopes     TEXT    NOT NULL,
	expires_at INTEGER NOT NULL,
	ends_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX {prefix}sessions_user_id ON {prefix}sessions (user_id);
CREATE INDEX {prefix}sessions_pat_id ON {prefix}sessions (pat_id) WHERE pat_id IS NOT NULL;
CREATE INDEX {prefix}sessions_expires_at ON {prefix}sessions (expires_at);

-- However a token goes, the sessions that were opened with it go too.
-- +goose StatementBegin
CREATE TRIGGER {prefix}pats_end_sessions AFTER DELETE ON {prefix}pats BEGIN
	DELETE FROM {prefix}sessions WHERE pat_id = old.id;
END;
-- +goose StatementEnd

CREATE TABLE {prefix}tickets (
	id         BLOB    NOT NULL PRIMARY KEY,
	kind       TEXT    NOT NULL,
	slot       TEXT    NOT NULL,
	user_id    BLOB    REFERENCES {prefix}users (id) ON DELETE CASCADE,
	hash       BLOB    NOT NULL,
	data       BLOB,
	tries      INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	UNIQUE (kind, slot)
) STRICT;
CREATE INDEX {prefix}tickets_hash ON {prefix}tickets (kind, hash);
CREATE INDEX {prefix}tickets_user_id ON {prefix}tickets (user_id, kind) WHERE user_id IS NOT NULL;
CREATE INDEX {prefix}tickets_expires_at ON {prefix}tickets (expires_at);

CREATE TABLE {prefix}signing_keys (
	id         TEXT    NOT NULL PRIMARY KEY,
	algorithm  TEXT    NOT NULL,
	private    BLOB    NOT NULL,
	created_at INTEGER NOT NULL,
	active_at  INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE {prefix}messages (
	id         BLOB    NOT NULL PRIMARY KEY,
	channel    TEXT    NOT NULL,
	body       BLOB    NOT NULL,
	created_at INTEGER NOT NULL,
	next_at    INTEGER NOT NULL,
	attempts   INTEGER NOT NULL,
	dead       INTEGER NOT NULL
) STRICT;
-- In the order in which messages of a channel are claimed; next_at is here so that those which wait are passed over in the
-- index.
CREATE INDEX {prefix}messages_due ON {prefix}messages (channel, created_at, next_at) WHERE dead = 0;
-- To count those that were given up, and to find them.
CREATE INDEX {prefix}messages_dead ON {prefix}messages (created_at) WHERE dead = 1;

-- The audit trail outlives its users, so nothing here refers to them. Each row is linked to the one before, and trail has
-- the one row that says where they begin and end: whoever changes a row by hand is found out.
CREATE TABLE {prefix}events (
	seq        INTEGER NOT NULL PRIMARY KEY,
	id         BLOB    NOT NULL,
	at         INTEGER NOT NULL,
	type       TEXT    NOT NULL,
	user_id    BLOB,
	session_id BLOB,
	address    TEXT    NOT NULL,
	method     TEXT    NOT NULL,
	code       TEXT    NOT NULL,
	detail     TEXT    NOT NULL,
	link       BLOB    NOT NULL
) STRICT;
CREATE INDEX {prefix}events_at ON {prefix}events (at, seq);
CREATE INDEX {prefix}events_user_id ON {prefix}events (user_id, at, seq) WHERE user_id IS NOT NULL;
CREATE INDEX {prefix}events_type ON {prefix}events (type, at, seq);

CREATE TABLE {prefix}trail (
	one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
	head BLOB    NOT NULL
) STRICT;
INSERT INTO {prefix}trail (one, head) VALUES (1, x'');
