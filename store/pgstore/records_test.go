package pgstore_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// base is when everything in these tests happens.
var base = time.Date(2001, time.February, 3, 4, 5, 6, 789012000, time.UTC)

func newHash() []byte {
	id := uuid.New()
	sum := sha256.Sum256(id[:])
	return sum[:]
}

func newUser() store.User {
	id := uuid.New()
	return store.User{
		ID: id, CreatedAt: base, UpdatedAt: base, LastSeenAt: base,
		Email: "Jane@Example.org", EmailKey: id.String() + "@example.org", EmailVerified: true,
		Phone:       fmt.Sprintf("+99%012d", binary.BigEndian.Uint64(id[8:])%1e12),
		DisplayName: "Jane", Locale: "en", DefaultRole: "user", Roles: []string{"user", "me"},
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
	}
}

func newSession() *store.Session {
	return &store.Session{
		ID: uuid.New(), CreatedAt: base, RotatedAt: base, AuthTime: base, AMR: []string{"pwd"},
		Client: "Firefox on Linux", Address: "192.0.2.1", ExpiresAt: base.Add(time.Hour), EndsAt: base.Add(24 * time.Hour),
	}
}

func newTicket(user uuid.UUID) *store.Ticket {
	return &store.Ticket{
		ID: uuid.New(), Kind: "link", Slot: uuid.NewString(), UserID: user, Hash: newHash(), Data: []byte("sealed"), Tries: 5,
		CreatedAt: base, ExpiresAt: base.Add(time.Hour),
	}
}

func newKey() *store.SecurityKey {
	return &store.SecurityKey{ID: uuid.New(), CredentialID: newHash(), PublicKey: newHash(), CreatedAt: base}
}

func newPAT() *store.PAT {
	return &store.PAT{ID: uuid.New(), Hash: newHash(), CreatedAt: base, ExpiresAt: base.Add(time.Hour)}
}

func newIdentity() *store.Identity {
	return &store.Identity{Provider: "github", Subject: uuid.NewString(), CreatedAt: base, LastUsedAt: base, Tokens: newHash()}
}

func keyOf(i *store.Identity) store.IdentityKey {
	return store.IdentityKey{Provider: i.Provider, Subject: i.Subject}
}

func newMessage() store.Message {
	return store.Message{ID: uuid.New(), Channel: "mail", Body: []byte("sealed"), CreatedAt: base, NextAt: base}
}

func bySecret(t *store.Ticket) store.TicketQuery {
	return store.TicketQuery{Kind: t.Kind, Hashes: [][]byte{t.Hash}, Now: base}
}

func present(session uuid.UUID, generation uint32) store.SessionRotation {
	return store.SessionRotation{
		Candidates: []store.SessionGeneration{{ID: session, Generation: generation}},
		Now:        base.Add(time.Minute), Idle: time.Hour, Grace: 10 * time.Second, Skew: time.Minute, Address: "192.0.2.2",
	}
}

// create creates a user like any other, with one of everything.
func create(t testing.TB, s store.Store) store.NewUser {
	t.Helper()
	n := store.NewUser{User: newUser(), Identity: newIdentity(), SecurityKey: newKey(), Session: newSession()}
	if _, err := s.CreateUser(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

func find(t testing.TB, s store.Store, id uuid.UUID) store.Account {
	t.Helper()
	a, err := s.User(t.Context(), store.UserQuery{
		ID: id, Now: base, With: store.WithIdentities | store.WithSecurityKeys | store.WithSessions | store.WithPATs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
