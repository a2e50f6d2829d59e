package sqlitestore_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

var start = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

func newUser() store.User {
	id := uuid.New()
	return store.User{
		ID: id, CreatedAt: start, UpdatedAt: start, LastSeenAt: start,
		Email: id.String() + "@Example.org", EmailKey: id.String() + "@example.org",
		DefaultRole: "user", Roles: []string{"user", "me"}, Metadata: json.RawMessage(`{"plan":"free"}`),
		PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA",
	}
}

func newSession() store.Session {
	return store.Session{
		ID: uuid.New(), CreatedAt: start, RotatedAt: start, AuthTime: start, AMR: []string{"pwd", "otp"},
		Client: "Firefox", Address: "192.0.2.1", ExpiresAt: start.Add(30 * 24 * time.Hour), EndsAt: start.Add(180 * 24 * time.Hour),
	}
}

// population fills a store with users who have three sessions each.
func population(b *testing.B, s *sqlitestore.Store, users int) (people []store.User, sessions []store.Session) {
	b.Helper()
	tx, err := s.DB().BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx := sqlitestore.WithTx(b.Context(), tx)
	for range users {
		u, err := s.CreateUser(ctx, store.NewUser{User: newUser()})
		if err != nil {
			b.Fatal(err)
		}
		people = append(people, u)
		for range 3 {
			v := newSession()
			if _, err := s.ChangeUser(ctx, store.UserChange{UserID: u.ID, Now: start, Session: &v}); err != nil {
				b.Fatal(err)
			}
			sessions = append(sessions, v)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return people, sessions
}

// BenchmarkStore measures the hot operations on a file: with each commit flushed to the disk, and with SyncNormal.
func BenchmarkStore(b *testing.B) {
	const users = 10_000
	for _, sync := range []struct {
		name string
		opts []sqlitestore.Option
	}{{"FULL", nil}, {"NORMAL", []sqlitestore.Option{sqlitestore.SyncNormal()}}} {
		s := open(b, filepath.Join(b.TempDir(), "auth.db"), sync.opts...)
		people, sessions := population(b, s, users)
		n := 0 // of rotations so far, in turn through the sessions

		b.Run(fmt.Sprintf("sync=%s/rotate a session", sync.name), func(b *testing.B) {
			b.ReportAllocs()
			candidates := make([]store.SessionGeneration, 1)
			for b.Loop() {
				candidates[0] = store.SessionGeneration{ID: sessions[n%len(sessions)].ID, Generation: uint32(n / len(sessions))}
				r, err := s.RotateSession(b.Context(), store.SessionRotation{
					Candidates: candidates, Now: start.Add(time.Duration(n) * time.Microsecond), Idle: 30 * 24 * time.Hour,
				})
				if err != nil || r.Outcome != store.Rotated {
					b.Fatal(r.Outcome, err)
				}
				n++
			}
		})
		b.Run(fmt.Sprintf("sync=%s/sign in", sync.name), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v := newSession()
				v.RotatedAt = start.Add(time.Duration(i) * time.Microsecond)
				if _, err := s.ChangeUser(b.Context(), store.UserChange{
					UserID: people[i%users].ID, Now: start, If: store.Conditions{Epoch: 1}, Session: &v, MaxSessions: 5,
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("sync=%s/put and take a ticket", sync.name), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t := store.Ticket{ID: uuid.New(), Kind: "link", UserID: people[i%users].ID, Hash: make([]byte, 32), Tries: -1, ExpiresAt: start.Add(time.Hour)}
				binary.BigEndian.PutUint64(t.Hash, uint64(i))
				t.Slot = t.UserID.String()
				if err := s.PutTicket(b.Context(), t); err != nil {
					b.Fatal(err)
				}
				if _, err := s.TakeTicket(b.Context(), store.TicketQuery{Kind: "link", Hashes: [][]byte{t.Hash}, Now: start}); err != nil {
					b.Fatal(err)
				}
			}
		})
		if sync.name != "FULL" {
			continue // reading is the same
		}
		for _, by := range []struct {
			name  string
			query func(i int) store.UserQuery
		}{
			{"by id", func(i int) store.UserQuery { return store.UserQuery{ID: people[i%users].ID, Now: start} }},
			{"by e-mail", func(i int) store.UserQuery { return store.UserQuery{EmailKey: people[i%users].EmailKey, Now: start} }},
			{"by session", func(i int) store.UserQuery { return store.UserQuery{SessionID: sessions[i%users].ID, Now: start} }},
			{"with sessions", func(i int) store.UserQuery {
				return store.UserQuery{ID: people[i%users].ID, Now: start, With: store.WithSessions}
			}},
		} {
			b.Run("user "+by.name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := s.User(b.Context(), by.query(i)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("user by id, many at once", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := s.User(b.Context(), store.UserQuery{ID: people[i%users].ID, Now: start}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkBare measures what the hot operations cannot be faster than: their statements, prepared, without what the
// store adds.
func BenchmarkBare(b *testing.B) {
	for _, sync := range []struct {
		name string
		opts []sqlitestore.Option
	}{{"FULL", nil}, {"NORMAL", []sqlitestore.Option{sqlitestore.SyncNormal()}}} {
		s := open(b, filepath.Join(b.TempDir(), "auth.db"), sync.opts...)
		people, sessions := population(b, s, 10_000)
		b.Run(fmt.Sprintf("sync=%s/update a session", sync.name), func(b *testing.B) {
			b.ReportAllocs()
			stmt, err := s.DB().Prepare("UPDATE auth_sessions SET generation = generation + 1, rotated_at = ?, expires_at = ? WHERE id = ? RETURNING generation")
			if err != nil {
				b.Fatal(err)
			}
			defer stmt.Close()
			for i := 0; b.Loop(); i++ {
				var generation int
				id := sessions[i%len(sessions)].ID
				if err := stmt.QueryRow(i, start.UnixMicro()+int64(i), id[:]).Scan(&generation); err != nil {
					b.Fatal(err)
				}
			}
		})
		if sync.name != "FULL" {
			continue
		}
		b.Run("select a user", func(b *testing.B) {
			b.ReportAllocs()
			stmt, err := s.DB().Prepare("SELECT * FROM auth_users WHERE id = ?")
			if err != nil {
				b.Fatal(err)
			}
			defer stmt.Close()
			for i := 0; b.Loop(); i++ {
				var columns [23]any
				var dest [23]any
				for i := range columns {
					dest[i] = &columns[i]
				}
				if err := stmt.QueryRow(people[i%len(people)].ID[:]).Scan(dest[:]...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
