package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/store"
)

// How many of each there are: so many sessions for every user, and one of the others for every so many users.
const (
	sessionsPerUser   = 2
	usersPerIdentity  = 2
	usersPerTicket    = 4
	usersPerKey       = 5
	usersPerPAT       = 10
	usersPerPhone     = 5
	usersPerTOTP      = 10
	minimumPopulation = 1000 // so that there are some of each
)

// population is what a realm is filled with. Each record follows from its number alone, so that any of them can be asked
// for and none has to be kept.
type population struct {
	users int
	now   time.Time
}

func (p population) sessions() int   { return p.users * sessionsPerUser }
func (p population) identities() int { return p.users / usersPerIdentity }
func (p population) tickets() int    { return p.users / usersPerTicket }
func (p population) keys() int       { return p.users / usersPerKey }
func (p population) pats() int       { return p.users / usersPerPAT }

// digest is 32 bytes that look random, as keys and hashes do.
func digest(kind string, i int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, i))
	return sum[:]
}

func id(kind string, i int) uuid.UUID {
	u := uuid.UUID(digest(kind, i)[:16])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}

// A password hash is as long as one with the engine's parameters.
const passwordHash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

func (p population) user(i int) store.User {
	address := hex.EncodeToString(digest("address", i)[:8]) + "@example.org"
	created := p.now.Add(-time.Duration(i%1000) * time.Hour)
	u := store.User{
		ID: id("user", i), CreatedAt: created, UpdatedAt: created, LastSeenAt: created, Epoch: 1,
		Email: address, EmailKey: address, EmailVerified: true, DisplayName: "Someone Else", Locale: "en",
		AvatarURL:   "https://www.gravatar.com/avatar/" + hex.EncodeToString(digest("avatar", i)[:16]),
		DefaultRole: "user", Roles: []string{"user", "me"}, PasswordHash: passwordHash,
	}
	if i%usersPerPhone == 0 {
		u.Phone = fmt.Sprintf("+999%011d", i)
	}
	if i%usersPerTOTP == 0 {
		u.TOTPSecret, u.TOTPStep = append(digest("totp", i), digest("nonce", i)...), 1
		u.Metadata = json.RawMessage(`{"plan": "team"}`)
	}
	return u
}

func (p population) session(i int) store.Session {
	opened := p.now.Add(-time.Duration(i%1000) * time.Minute)
	return store.Session{
		ID: id("session", i), UserID: id("user", i/sessionsPerUser), Generation: 7, CreatedAt: opened, RotatedAt: opened,
		AuthTime: opened, AMR: []string{"pwd"}, Client: "Firefox on Linux", Address: "192.0.2.1",
		ExpiresAt: opened.AddDate(0, 1, 0), EndsAt: opened.AddDate(1, 0, 0),
	}
}

func (p population) identity(i int) store.Identity {
	return store.Identity{
		Provider: "github", Subject: hex.EncodeToString(digest("subject", i)[:8]), UserID: id("user", i*usersPerIdentity),
		Email: "someone@example.org", CreatedAt: p.now, LastUsedAt: p.now,
	}
}

func (p population) key(i int) store.SecurityKey {
	owner := id("user", i*usersPerKey)
	return store.SecurityKey{
		ID: id("key", i), UserID: owner, UserHandle: owner[:], CredentialID: digest("credential", i),
		PublicKey: append(digest("x", i), digest("y", i)...), SignCount: 1, BackupEligible: true, UserVerified: true,
		Transports: []string{"internal", "hybrid"}, AttestationFormat: "none", Attachment: "platform",
		Nickname: "a key", CreatedAt: p.now, LastUsedAt: p.now,
	}
}

func (p population) pat(i int) store.PAT {
	return store.PAT{
		ID: id("pat", i), UserID: id("user", i*usersPerPAT), Hash: digest("token", i), Scopes: []string{"user"},
		CreatedAt: p.now, ExpiresAt: p.now.AddDate(1, 0, 0),
	}
}

const ticketKind = "code"

// A ticket has more tries than can be made of it here, so that every look at it writes.
func (p population) ticket(i int) store.Ticket {
	owner := id("user", i*usersPerTicket)
	return store.Ticket{
		ID: id("ticket", i), Kind: ticketKind, Slot: owner.String(), UserID: owner, Hash: digest("secret", i),
		Data: digest("sealed", i), Tries: 1_000_000, CreatedAt: p.now, ExpiresAt: p.now.AddDate(0, 0, 1),
	}
}

// endedSession is one that the purge is to remove, of some user.
func (p population) endedSession(i int) store.Session {
	v := p.session(int(spread(i)) % p.sessions())
	v.ID = id("ended session", i)
	v.ExpiresAt = p.now.Add(-time.Duration(i%1000) * time.Minute)
	return v
}

// endedTicket is one that the purge is to remove, of some user.
func (p population) endedTicket(i int) store.Ticket {
	t := p.ticket(int(spread(i)) % p.tickets())
	t.ID, t.Kind, t.Slot = id("ended ticket", i), "link", id("ended slot", i).String()
	t.ExpiresAt = p.now.Add(-time.Duration(i%1000) * time.Minute)
	return t
}

// idleUser is an anonymous one that the purge is to remove.
func (p population) idleUser(i int) store.User {
	seen := p.now.AddDate(-1, 0, 0)
	return store.User{
		ID: id("idle user", i), CreatedAt: seen, UpdatedAt: seen, LastSeenAt: seen, Epoch: 1, Anonymous: true,
		Locale: "en", DefaultRole: "anonymous", Roles: []string{"anonymous"},
	}
}

// spread takes neighbours far from each other.
func spread(i int) uint32 { return uint32(i) * 2654435761 >> 1 }

// The columns of each table in the order of the rows.
var columns = map[string][]string{
	"users": {
		"id", "created_at", "updated_at", "last_seen_at", "idle_since", "epoch", "totp_step", "change", "disabled", "anonymous",
		"email_verified", "phone_verified", "email", "email_key", "phone", "display_name", "avatar_url", "locale",
		"default_role", "roles", "metadata", "password_hash", "totp_secret", "totp_pending", "recovery_codes",
	},
	"sessions": {
		"id", "user_id", "created_at", "rotated_at", "auth_time", "expires_at", "ends_at", "purge_at", "generation", "amr",
		"client", "address",
	},
	"identities": {"user_id", "created_at", "last_used_at", "provider", "subject", "email", "tokens"},
	"security_keys": {
		"id", "user_id", "created_at", "last_used_at", "sign_count", "backup_eligible", "backup_state", "user_verified",
		"credential_id", "public_key", "user_handle", "transports", "attestation_format", "attachment", "nickname",
	},
	"pats":    {"id", "user_id", "created_at", "expires_at", "last_used_at", "hash", "scopes", "metadata"},
	"tickets": {"id", "user_id", "created_at", "expires_at", "tries", "kind", "slot", "hash", "data"},
}

func userRow(u store.User) []any {
	var metadata *string
	if u.Metadata != nil {
		s := string(u.Metadata)
		metadata = &s
	}
	return []any{
		[16]byte(u.ID), u.CreatedAt, u.UpdatedAt, u.LastSeenAt, u.LastSeenAt, u.Epoch, u.TOTPStep, int64(0), u.Disabled, u.Anonymous,
		u.EmailVerified, u.PhoneVerified, u.Email, unlessEmpty(u.EmailKey), unlessEmpty(u.Phone), u.DisplayName, u.AvatarURL, u.Locale,
		u.DefaultRole, u.Roles, metadata, u.PasswordHash, u.TOTPSecret, u.TOTPPending,
		[][]byte{},
	}
}

func sessionRow(v store.Session) []any {
	return []any{
		[16]byte(v.ID), [16]byte(v.UserID), v.CreatedAt, v.RotatedAt, v.AuthTime, v.ExpiresAt, v.EndsAt, v.ExpiresAt,
		int64(v.Generation), v.AMR, v.Client, v.Address,
	}
}

func identityRow(v store.Identity) []any {
	return []any{[16]byte(v.UserID), v.CreatedAt, v.LastUsedAt, v.Provider, v.Subject, v.Email, v.Tokens}
}

func keyRow(k store.SecurityKey) []any {
	return []any{
		[16]byte(k.ID), [16]byte(k.UserID), k.CreatedAt, k.LastUsedAt, int64(k.SignCount), k.BackupEligible, k.BackupState,
		k.UserVerified, k.CredentialID, k.PublicKey, k.UserHandle, k.Transports, k.AttestationFormat, k.Attachment, k.Nickname,
	}
}

func patRow(v store.PAT) []any {
	return []any{[16]byte(v.ID), [16]byte(v.UserID), v.CreatedAt, v.ExpiresAt, nil, v.Hash, v.Scopes, nil}
}

func ticketRow(t store.Ticket) []any {
	return []any{
		[16]byte(t.ID), [16]byte(t.UserID), t.CreatedAt, t.ExpiresAt, int64(t.Tries), t.Kind, t.Slot, t.Hash, t.Data,
	}
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// load is the rows that one table is filled with.
type load struct {
	table string
	rows  int
	row   func(i int) []any
}

// living is the population.
func (p population) living() []load {
	return []load{
		{"users", p.users, func(i int) []any { return userRow(p.user(i)) }},
		{"sessions", p.sessions(), func(i int) []any { return sessionRow(p.session(i)) }},
		{"identities", p.identities(), func(i int) []any { return identityRow(p.identity(i)) }},
		{"security_keys", p.keys(), func(i int) []any { return keyRow(p.key(i)) }},
		{"pats", p.pats(), func(i int) []any { return patRow(p.pat(i)) }},
		{"tickets", p.tickets(), func(i int) []any { return ticketRow(p.ticket(i)) }},
	}
}

// ended is so many rows for the purge.
func (p population) ended(rows int) []load {
	users, tickets := rows/10, rows/5
	return []load{
		{"users", users, func(i int) []any { return userRow(p.idleUser(i)) }},
		{"tickets", tickets, func(i int) []any { return ticketRow(p.endedTicket(i)) }},
		{"sessions", rows - users - tickets, func(i int) []any { return sessionRow(p.endedSession(i)) }},
	}
}

// chunk is how many rows are copied at once. The server keeps note of each until it has checked the foreign keys.
const chunk = 100_000

// fill copies rows into a schema.
func fill(ctx context.Context, pool *pgxpool.Pool, schema string, loads []load) error {
	for _, l := range loads {
		for from := 0; from < l.rows; from += chunk {
			next, end := from, min(from+chunk, l.rows)
			_, err := pool.CopyFrom(ctx, pgx.Identifier{schema, l.table}, columns[l.table], pgx.CopyFromFunc(func() ([]any, error) {
				if next == end {
					return nil, nil
				}
				next++
				return l.row(next - 1), nil
			}))
			if err != nil {
				return fmt.Errorf("copy into %s: %w", l.table, err)
			}
		}
	}
	return nil
}
