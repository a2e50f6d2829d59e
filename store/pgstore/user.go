package pgstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ostiary/auth/store"
)

// userColumns are the columns of u, a user, in the order of userRow.
const userColumns = `u.id, u.created_at, u.updated_at, u.last_seen_at, u.epoch, u.totp_step,
	u.disabled, u.anonymous, u.email_verified, u.phone_verified,
	u.email, coalesce(u.email_key, ''), coalesce(u.phone, ''), u.display_name, u.avatar_url, u.locale, u.default_role,
	u.roles, u.metadata, u.password_hash, u.totp_secret, u.totp_pending, u.recovery_codes`

// userReturning are the columns that userColumns needs of a row written by a CTE called u.
const userReturning = `u.id, u.created_at, u.updated_at, u.last_seen_at, u.epoch, u.totp_step,
	u.disabled, u.anonymous, u.email_verified, u.phone_verified,
	u.email, u.email_key, u.phone, u.display_name, u.avatar_url, u.locale, u.default_role,
	u.roles, u.metadata, u.password_hash, u.totp_secret, u.totp_pending, u.recovery_codes`

// userRow returns where to scan userColumns. After it, finishUser must be called.
func userRow(u *store.User) []any {
	return []any{
		id(&u.ID), &u.CreatedAt, &u.UpdatedAt, &u.LastSeenAt, &u.Epoch, &u.TOTPStep,
		&u.Disabled, &u.Anonymous, &u.EmailVerified, &u.PhoneVerified,
		&u.Email, &u.EmailKey, &u.Phone, &u.DisplayName, &u.AvatarURL, &u.Locale, &u.DefaultRole,
		&u.Roles, (*[]byte)(&u.Metadata), &u.PasswordHash, &u.TOTPSecret, &u.TOTPPending, &u.RecoveryCodes,
	}
}

func finishUser(u *store.User) { inUTC(&u.CreatedAt, &u.UpdatedAt, &u.LastSeenAt) }

// scanUser returns a function that scans the one user there may be.
func scanUser(u *store.User, found *bool) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		*found = rows.Next()
		if !*found {
			return nil
		}
		*u = store.User{}
		err := rows.Scan(userRow(u)...)
		finishUser(u)
		return err
	}
}

// lookup is the shape of a query for one user.
type lookup struct {
	by   by
	with store.With
}

type by int

const (
	byID by = iota
	byEmail
	byPhone
	byIdentity
	byIdentityOrEmail
	byCredential
	byPAT
	byPATs
	bySession
)

// find is where the user of a look-up is found. The parameters that it does not use itself begin at next.
var find = map[by]struct {
	columns, from string
	next          int
}{
	byID:    {"", "{schema}.users u WHERE u.id = $1::uuid", 2},
	byEmail: {"", "{schema}.users u WHERE u.email_key = $1::text", 2},
	byPhone: {"", "{schema}.users u WHERE u.phone = $1::text", 2},
	byIdentity: {"", `{schema}.identities i JOIN {schema}.users u ON u.id = i.user_id
		WHERE i.provider = $1::text AND i.subject = $2::text`, 3},
	byIdentityOrEmail: {"", `{schema}.users u WHERE u.id = coalesce(
		(SELECT i.user_id FROM {schema}.identities i WHERE i.provider = $1::text AND i.subject = $2::text),
		(SELECT o.id FROM {schema}.users o WHERE o.email_key = $3::text))`, 4},
	byCredential: {"", `{schema}.security_keys k JOIN {schema}.users u ON u.id = k.user_id
		WHERE k.credential_id = $1::bytea`, 2},
	byPAT: {", " + patColumns, `{schema}.pats p JOIN {schema}.users u ON u.id = p.user_id
		WHERE p.hash = $1::bytea AND p.expires_at > $2::timestamptz`, 2},
	byPATs: {", " + patColumns, `{schema}.pats p JOIN {schema}.users u ON u.id = p.user_id
		WHERE p.hash = ANY ($1::bytea[]) AND p.expires_at > $2::timestamptz LIMIT 1`, 2},
	bySession: {", " + sessionColumns, `{schema}.sessions s JOIN {schema}.users u ON u.id = s.user_id
		WHERE s.id = $1::uuid AND s.expires_at > $2::timestamptz`, 2},
}

// query returns the statement for a look-up.
func (s *Store) query(l lookup) string {
	if sql, ok := s.lookups.Load(l); ok {
		return sql.(string)
	}
	f := find[l.by]
	sql := "SELECT " + userColumns + f.columns
	for _, list := range lists {
		if l.with&list.with != 0 {
			sql += ",\n" + list.sql(fmt.Sprintf("$%d::timestamptz", f.next))
		}
	}
	sql = s.tables.Replace(sql + "\nFROM " + f.from)
	s.lookups.Store(l, sql)
	return sql
}

// User implements [store.Store].
func (s *Store) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	const listed = store.WithIdentities | store.WithSecurityKeys | store.WithSessions | store.WithPATs
	l := lookup{with: q.With & listed}
	var args []any
	possible := true
	switch {
	case q.ID != uuid.Nil:
		l.by, args = byID, []any{ref(q.ID)}
	case q.Identity != store.IdentityKey{} && q.EmailKey != "":
		// One of the two may be possible without the other.
		l.by, args = byIdentityOrEmail, []any{storedText(q.Identity.Provider), storedText(q.Identity.Subject), storedText(q.EmailKey)}
	case q.EmailKey != "":
		l.by, args = byEmail, []any{q.EmailKey}
		possible = storable(q.EmailKey)
	case q.Phone != "":
		l.by, args = byPhone, []any{q.Phone}
		possible = storable(q.Phone)
	case q.Identity != store.IdentityKey{}:
		l.by, args = byIdentity, []any{q.Identity.Provider, q.Identity.Subject}
		possible = storable(q.Identity.Provider) && storable(q.Identity.Subject)
	case len(q.CredentialID) > 0:
		l.by, args = byCredential, []any{q.CredentialID}
	case len(q.PATHashes) == 1: // see bySecretAlone
		l.by, args = byPAT, []any{full(q.PATHashes[0])}
	case len(q.PATHashes) > 1:
		l.by, args = byPATs, []any{q.PATHashes}
	default:
		l.by, args = bySession, []any{ref(q.SessionID)}
	}
	if l.by == byPAT || l.by == byPATs || l.by == bySession || l.with&(store.WithSessions|store.WithPATs) != 0 {
		args = append(args, q.Now)
	}

	var a store.Account
	found := false
	if !possible {
		return store.Account{}, absent(ctx)
	}
	err := s.run(ctx, read, statement{s.query(l), args, func(rows pgx.Rows) error {
		a = store.Account{}
		if found = rows.Next(); !found {
			return nil
		}
		return scanAccount(rows, l, &a)
	}})
	if err != nil {
		return store.Account{}, wrap("find user", err)
	}
	if !found {
		return store.Account{}, store.ErrNotFound
	}
	return a, nil
}

func scanAccount(rows pgx.Rows, l lookup, a *store.Account) error {
	row := userRow(&a.User)
	switch l.by {
	case byPAT, byPATs:
		a.PAT = &store.PAT{}
		row = append(row, patRow(a.PAT)...)
	case bySession:
		a.Session = &store.Session{}
		row = append(row, sessionRow(a.Session)...)
	}
	raw := make([][]byte, len(lists))
	for i, list := range lists {
		if l.with&list.with != 0 {
			row = append(row, &raw[i])
		}
	}
	if err := rows.Scan(row...); err != nil {
		return err
	}
	finishUser(&a.User)
	if a.PAT != nil {
		finishPAT(a.PAT)
	}
	if a.Session != nil {
		finishSession(a.Session)
	}
	for i, list := range lists {
		if raw[i] == nil {
			continue
		}
		if err := list.read(raw[i], a); err != nil {
			return err
		}
	}
	return nil
}

// Users implements [store.Store].
func (s *Store) Users(ctx context.Context, after uuid.UUID, limit int) ([]store.User, error) {
	var page []store.User
	err := s.run(ctx, read, statement{
		s.fixed.users,
		[]any{pgtype.UUID{Bytes: after, Valid: true}, max(limit, 0)},
		func(rows pgx.Rows) error {
			page = nil
			for rows.Next() {
				page = append(page, store.User{})
				u := &page[len(page)-1]
				if err := rows.Scan(userRow(u)...); err != nil {
					return err
				}
				finishUser(u)
			}
			return nil
		},
	})
	if err != nil {
		return nil, wrap("list users", err)
	}
	return page, nil
}

// CreateUser implements [store.Store]. Where n.Within is set, the callback runs in a transaction with the writes; see
// [TxFrom]. Its context belongs to that transaction until the callback returns.
func (s *Store) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	c := subject{
		user: &n.User,
		change: &store.UserChange{
			UserID: n.User.ID, Now: n.User.CreatedAt, Redeem: n.Redeem,
			Identity: n.Identity, SecurityKey: n.SecurityKey, Session: n.Session, Ticket: n.Ticket, Messages: n.Messages,
		},
	}
	var u, copied store.User
	created := false
	statements := s.plan(shapeOf(&c)).statements(&c, func(rows pgx.Rows) error {
		if created = rows.Next(); !created {
			return nil
		}
		// The callback gets one of its own, which it may scribble on.
		u, copied = store.User{}, store.User{}
		for _, u := range []*store.User{&u, &copied} {
			if err := rows.Scan(userRow(u)...); err != nil {
				return err
			}
			finishUser(u)
		}
		return nil
	})
	var refusal error // which is the result as it is
	proceed := func() error {
		if !created {
			refusal = store.ErrUnmet{Condition: store.ConditionTicket}
		}
		return refusal
	}
	var err error
	if n.Within == nil {
		if err = s.run(ctx, write, statements...); err == nil {
			err = proceed()
		}
	} else {
		err = s.runWithin(ctx, statements, proceed, func(ctx context.Context) error {
			refusal = n.Within(ctx, copied)
			return refusal
		})
	}
	switch {
	case refusal != nil:
		return store.User{}, refusal
	case err != nil:
		return store.User{}, wrap("create user", err)
	}
	return u, nil
}

// lists are the lists that can come along with a user. Each is one column of JSON, so that all of them, however long, are
// read by one statement and from one snapshot.
var lists = []struct {
	with store.With
	sql  func(now string) string
	read func(raw []byte, a *store.Account) error
}{
	{
		store.WithIdentities,
		func(string) string {
			return `(SELECT json_agg(json_build_object('Provider', i.provider, 'Subject', i.subject, 'Email', i.email,
				'CreatedAt', i.created_at AT TIME ZONE 'UTC', 'LastUsedAt', i.last_used_at AT TIME ZONE 'UTC',
				'Tokens', encode(i.tokens, 'base64')) ORDER BY i.created_at, i.provider, i.subject)
				FROM {schema}.identities i WHERE i.user_id = u.id)`
		},
		func(raw []byte, a *store.Account) error {
			list, err := decode[struct {
				Provider, Subject, Email string
				CreatedAt, LastUsedAt    jsonTime
				Tokens                   []byte
			}](raw)
			for _, i := range list {
				a.Identities = append(a.Identities, store.Identity{
					Provider: i.Provider, Subject: i.Subject, UserID: a.ID, Email: i.Email,
					CreatedAt: i.CreatedAt.Time, LastUsedAt: i.LastUsedAt.Time, Tokens: i.Tokens,
				})
			}
			return err
		},
	},
	{
		store.WithSecurityKeys,
		func(string) string {
			return `(SELECT json_agg(json_build_object('ID', k.id, 'CredentialID', encode(k.credential_id, 'base64'),
				'PublicKey', encode(k.public_key, 'base64'), 'UserHandle', encode(k.user_handle, 'base64'), 'SignCount', k.sign_count, 'BackupEligible', k.backup_eligible,
				'BackupState', k.backup_state, 'UserVerified', k.user_verified, 'Transports', k.transports, 'AAGUID', k.aaguid,
				'AttestationFormat', k.attestation_format, 'Attachment', k.attachment, 'Nickname', k.nickname,
				'CreatedAt', k.created_at AT TIME ZONE 'UTC', 'LastUsedAt', k.last_used_at AT TIME ZONE 'UTC')
				ORDER BY k.created_at, k.id)
				FROM {schema}.security_keys k WHERE k.user_id = u.id)`
		},
		func(raw []byte, a *store.Account) error {
			list, err := decode[struct {
				ID                                        uuid.UUID
				CredentialID, PublicKey, UserHandle       []byte
				SignCount                                 uint32
				BackupEligible, BackupState, UserVerified bool
				Transports                                []string
				AAGUID                                    uuid.UUID
				AttestationFormat, Attachment, Nickname   string
				CreatedAt, LastUsedAt                     jsonTime
			}](raw)
			for _, k := range list {
				a.SecurityKeys = append(a.SecurityKeys, store.SecurityKey{
					ID: k.ID, UserID: a.ID, CredentialID: k.CredentialID, PublicKey: k.PublicKey, UserHandle: k.UserHandle, SignCount: k.SignCount,
					BackupEligible: k.BackupEligible, BackupState: k.BackupState, UserVerified: k.UserVerified,
					Transports: k.Transports, AAGUID: k.AAGUID, AttestationFormat: k.AttestationFormat,
					Attachment: k.Attachment, Nickname: k.Nickname, CreatedAt: k.CreatedAt.Time, LastUsedAt: k.LastUsedAt.Time,
				})
			}
			return err
		},
	},
	{
		store.WithSessions,
		func(now string) string {
			return `(SELECT json_agg(json_build_object('ID', s.id, 'PATID', s.pat_id, 'Generation', s.generation,
				'CreatedAt', s.created_at AT TIME ZONE 'UTC', 'RotatedAt', s.rotated_at AT TIME ZONE 'UTC',
				'AuthTime', s.auth_time AT TIME ZONE 'UTC', 'ExpiresAt', s.expires_at AT TIME ZONE 'UTC',
				'EndsAt', s.ends_at AT TIME ZONE 'UTC', 'AMR', s.amr, 'Client', s.client, 'Address', s.address,
				'Scopes', s.scopes)
				ORDER BY s.created_at, s.id)
				FROM {schema}.sessions s WHERE s.user_id = u.id AND s.expires_at > ` + now + `)`
		},
		func(raw []byte, a *store.Account) error {
			list, err := decode[struct {
				ID, PATID                                         uuid.UUID
				Generation                                        uint32
				CreatedAt, RotatedAt, AuthTime, ExpiresAt, EndsAt jsonTime
				AMR, Scopes                                       []string
				Client, Address                                   string
			}](raw)
			for _, v := range list {
				a.Sessions = append(a.Sessions, store.Session{
					ID: v.ID, UserID: a.ID, Generation: v.Generation, CreatedAt: v.CreatedAt.Time, RotatedAt: v.RotatedAt.Time,
					AuthTime: v.AuthTime.Time, AMR: v.AMR, Client: v.Client, Address: v.Address, PATID: v.PATID,
					Scopes: v.Scopes, ExpiresAt: v.ExpiresAt.Time, EndsAt: v.EndsAt.Time,
				})
			}
			return err
		},
	},
	{
		store.WithPATs,
		func(now string) string {
			return `(SELECT json_agg(json_build_object('ID', p.id, 'Hash', encode(p.hash, 'base64'), 'Scopes', p.scopes,
				'Metadata', p.metadata, 'CreatedAt', p.created_at AT TIME ZONE 'UTC', 'ExpiresAt', p.expires_at AT TIME ZONE 'UTC',
				'LastUsedAt', p.last_used_at AT TIME ZONE 'UTC') ORDER BY p.created_at, p.id)
				FROM {schema}.pats p WHERE p.user_id = u.id AND p.expires_at > ` + now + `)`
		},
		func(raw []byte, a *store.Account) error {
			list, err := decode[struct {
				ID                               uuid.UUID
				Hash                             []byte
				Scopes                           []string
				Metadata                         *json.RawMessage // nil for null
				CreatedAt, ExpiresAt, LastUsedAt jsonTime
			}](raw)
			for _, p := range list {
				v := store.PAT{
					ID: p.ID, UserID: a.ID, Hash: p.Hash, Scopes: p.Scopes,
					CreatedAt: p.CreatedAt.Time, ExpiresAt: p.ExpiresAt.Time, LastUsedAt: p.LastUsedAt.Time,
				}
				if p.Metadata != nil {
					v.Metadata = *p.Metadata
				}
				a.PATs = append(a.PATs, v)
			}
			return err
		},
	},
}
