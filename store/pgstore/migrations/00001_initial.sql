-- +goose Up

-- Times are timestamptz and come from the engine's clock; the database's own is never read. An empty text stands for
-- "none", except where the column is unique and therefore NULL.

-- Each row is a lock that replicas take, by updating it, for what only one of them may do at a time. An advisory lock
-- would do as well, but CockroachDB has none.
CREATE TABLE IF NOT EXISTS {schema}.locks (
    name  text   NOT NULL,
    turns bigint NOT NULL DEFAULT 0,
    CONSTRAINT locks_pkey PRIMARY KEY (name)
);
INSERT INTO {schema}.locks (name) VALUES ('signing-keys') ON CONFLICT DO NOTHING;

-- No index has a column that a sign-in changes, and pages keep some room, so that the new version of the row goes to
-- the same page and no index is written (a heap-only tuple update).
CREATE TABLE {schema}.users (
    id             uuid        NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    last_seen_at   timestamptz NOT NULL,
    idle_since     timestamptz NOT NULL, -- never after last_seen_at, and moved up to it by the purge alone
    epoch          bigint      NOT NULL,
    totp_step      bigint      NOT NULL,
    change         bigint      NOT NULL, -- the number of the last change, which is random: see change.go
    disabled       boolean     NOT NULL,
    anonymous      boolean     NOT NULL,
    email_verified boolean     NOT NULL,
    phone_verified boolean     NOT NULL,
    email          text        NOT NULL,
    email_key      text,
    phone          text,
    display_name   text        NOT NULL,
    avatar_url     text        NOT NULL,
    locale         text        NOT NULL,
    default_role   text        NOT NULL,
    roles          text[]      NOT NULL,
    metadata       jsonb,
    password_hash  text        NOT NULL,
    totp_secret    bytea,
    totp_pending   bytea,
    recovery_codes bytea[]     NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key_key UNIQUE (email_key),
    CONSTRAINT users_phone_key UNIQUE (phone)
) WITH (fillfactor = 90);
CREATE INDEX users_idle_since_idx ON {schema}.users (idle_since) WHERE anonymous;

CREATE TABLE {schema}.identities (
    user_id      uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    provider     text        NOT NULL,
    subject      text        NOT NULL,
    email        text        NOT NULL,
    tokens       bytea,
    CONSTRAINT identities_pkey PRIMARY KEY (provider, subject),
    CONSTRAINT identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES {schema}.users (id) ON DELETE CASCADE
);
CREATE INDEX identities_user_id_idx ON {schema}.identities (user_id);

CREATE TABLE {schema}.security_keys (
    id                 uuid        NOT NULL,
    user_id            uuid        NOT NULL,
    aaguid             uuid,
    created_at         timestamptz NOT NULL,
    last_used_at       timestamptz,
    sign_count         bigint      NOT NULL,
    backup_eligible    boolean     NOT NULL,
    backup_state       boolean     NOT NULL,
    user_verified      boolean     NOT NULL,
    credential_id      bytea       NOT NULL,
    public_key         bytea       NOT NULL,
    user_handle        bytea       NOT NULL,
    transports         text[]      NOT NULL,
    attestation_format text        NOT NULL,
    attachment         text        NOT NULL,
    nickname           text        NOT NULL,
    CONSTRAINT security_keys_pkey PRIMARY KEY (id),
    CONSTRAINT security_keys_credential_id_key UNIQUE (credential_id),
    CONSTRAINT security_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES {schema}.users (id) ON DELETE CASCADE
);
CREATE INDEX security_keys_user_id_idx ON {schema}.security_keys (user_id);

CREATE TABLE {schema}.pats (
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    hash         bytea       NOT NULL,
    scopes       text[]      NOT NULL,
    metadata     jsonb,
    CONSTRAINT pats_pkey PRIMARY KEY (id),
    CONSTRAINT pats_hash_key UNIQUE (hash),
    CONSTRAINT pats_user_id_fkey FOREIGN KEY (user_id) REFERENCES {schema}.users (id) ON DELETE CASCADE
);
CREATE INDEX pats_user_id_idx ON {schema}.pats (user_id);
CREATE INDEX pats_expires_at_idx ON {schema}.pats (expires_at);

-- A rotation changes expires_at, so that is not indexed: the update stays within its page, as with users. The purge
-- goes by purge_at, which is never after expires_at and which only the purge moves up: once in the idle life of a
-- session, instead of with every rotation.
CREATE TABLE {schema}.sessions (
    id         uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    pat_id     uuid,
    created_at timestamptz NOT NULL,
    rotated_at timestamptz NOT NULL,
    auth_time  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    purge_at   timestamptz NOT NULL,
    generation bigint      NOT NULL,
    amr        text[]      NOT NULL,
    client     text        NOT NULL,
    address    text        NOT NULL,
    scopes     text[], -- NULL where there are none, as in nearly every row
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES {schema}.users (id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX sessions_user_id_idx ON {schema}.sessions (user_id);
CREATE INDEX sessions_pat_id_idx ON {schema}.sessions (pat_id) WHERE pat_id IS NOT NULL;
CREATE INDEX sessions_purge_at_idx ON {schema}.sessions (purge_at);

CREATE TABLE {schema}.tickets (
    id         uuid        NOT NULL,
    user_id    uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    tries      bigint      NOT NULL,
    kind       text        NOT NULL,
    slot       text        NOT NULL,
    hash       bytea       NOT NULL,
    data       bytea,
    CONSTRAINT tickets_pkey PRIMARY KEY (id),
    CONSTRAINT tickets_kind_slot_key UNIQUE (kind, slot),
    CONSTRAINT tickets_user_id_fkey FOREIGN KEY (user_id) REFERENCES {schema}.users (id) ON DELETE CASCADE
) WITH (fillfactor = 90);
CREATE INDEX tickets_hash_idx ON {schema}.tickets (hash, kind);
CREATE INDEX tickets_user_id_idx ON {schema}.tickets (user_id, kind) WHERE user_id IS NOT NULL;
CREATE INDEX tickets_expires_at_idx ON {schema}.tickets (expires_at);

CREATE TABLE {schema}.signing_keys (
    id         text        NOT NULL,
    algorithm  text        NOT NULL,
    private    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    active_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (id)
);
CREATE INDEX signing_keys_created_at_idx ON {schema}.signing_keys (created_at);
CREATE INDEX signing_keys_expires_at_idx ON {schema}.signing_keys (expires_at);

CREATE TABLE {schema}.messages (
    id         uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    next_at    timestamptz NOT NULL,
    attempts   bigint      NOT NULL,
    dead       boolean     NOT NULL,
    channel    text        NOT NULL,
    body       bytea       NOT NULL,
    CONSTRAINT messages_pkey PRIMARY KEY (id)
);
CREATE INDEX messages_channel_idx ON {schema}.messages (channel, created_at, next_at) WHERE NOT dead;
-- To count those that were given up, and to find them.
CREATE INDEX messages_dead_idx ON {schema}.messages (created_at) WHERE dead;

-- The audit trail outlives its users, so nothing here refers to them. Each row is linked to the one before, and trail has
-- the one row that says where they begin and end: whoever changes a row by hand is found out.
CREATE TABLE {schema}.events (
    seq        bigint      NOT NULL,
    id         uuid        NOT NULL,
    at         timestamptz NOT NULL,
    user_id    uuid,
    session_id uuid,
    type       text        NOT NULL,
    address    text        NOT NULL,
    method     text        NOT NULL,
    code       text        NOT NULL,
    detail     text        NOT NULL,
    link       bytea       NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (seq)
);
CREATE INDEX events_at_idx ON {schema}.events (at, seq);
CREATE INDEX events_user_id_idx ON {schema}.events (user_id, at, seq) WHERE user_id IS NOT NULL;
CREATE INDEX events_type_idx ON {schema}.events (type, at, seq);

CREATE TABLE {schema}.trail (
    one  bigint NOT NULL,
    head bytea  NOT NULL,
    CONSTRAINT trail_pkey PRIMARY KEY (one),
    CONSTRAINT trail_one_check CHECK (one = 1)
) WITH (fillfactor = 50);
INSERT INTO {schema}.trail (one, head) VALUES (1, '');
