package memstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// population fills a store with users who have three sessions each.
func population(b *testing.B, users int) (*Store, []store.User, []store.Session) {
	b.Helper()
	s := New()
	var people []store.User
	var sessions []store.Session
	for i := range users {
		id := uuid.New()
		u, err := s.CreateUser(b.Context(), store.NewUser{User: store.User{
			ID: id, CreatedAt: start, UpdatedAt: start, LastSeenAt: start,
			Email: id.String() + "@example.org", EmailKey: id.String() + "@example.org",
			DefaultRole: "user", Roles: []string{"user", "me"}, Metadata: json.RawMessage(`{"plan":"free"}`),
			PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA",
		}})
		if err != nil {
			b.Fatal(err)
		}
		for range 3 {
			v := newSession(id)
			v.ExpiresAt = v.ExpiresAt.Add(time.Duration(i) * time.Second)
			if _, err := s.ChangeUser(b.Context(), store.UserChange{UserID: id, Now: start, Session: &v}); err != nil {
				b.Fatal(err)
			}
			sessions = append(sessions, v)
		}
		people = append(people, u)
	}
	return s, people, sessions
}

func newSession(user uuid.UUID) store.Session {
	return store.Session{
		ID: uuid.New(), UserID: user, CreatedAt: start, RotatedAt: start, AuthTime: start, AMR: []string{"pwd", "otp"},
		Client: "Firefox", Address: "192.0.2.1", ExpiresAt: start.Add(30 * 24 * time.Hour), EndsAt: start.Add(180 * 24 * time.Hour),
	}
}

func BenchmarkRotateSession(b *testing.B) {
	s, _, sessions := population(b, 10_000)
	b.ReportAllocs()
	candidates := make([]store.SessionGeneration, 1)
	for i := 0; b.Loop(); i++ {
		candidates[0] = store.SessionGeneration{ID: sessions[i%len(sessions)].ID, Generation: uint32(i / len(sessions))}
		r, err := s.RotateSession(b.Context(), store.SessionRotation{
			Candidates: candidates, Now: start.Add(time.Duration(i)), Idle: 30 * 24 * time.Hour, Grace: 10 * time.Second,
		})
		if err != nil || r.Outcome != store.Rotated {
			b.Fatal(r.Outcome, err)
		}
	}
}

func BenchmarkRotateSessionInParallel(b *testing.B) {
	s, _, sessions := population(b, 10_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_, err := s.RotateSession(b.Context(), store.SessionRotation{
				Candidates: []store.SessionGeneration{{ID: sessions[i%len(sessions)].ID, Generation: 1 << 20}},
				Now:        start, Idle: 30 * 24 * time.Hour,
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkUser(b *testing.B) {
	s, people, sessions := population(b, 10_000)
	for _, by := range []struct {
		name  string
		query func(i int) store.UserQuery
	}{
		{"by id", func(i int) store.UserQuery { return store.UserQuery{ID: people[i%len(people)].ID, Now: start} }},
		{"by e-mail", func(i int) store.UserQuery {
			return store.UserQuery{EmailKey: people[i%len(people)].EmailKey, Now: start}
		}},
		{"by session", func(i int) store.UserQuery {
			return store.UserQuery{SessionID: sessions[i%len(sessions)].ID, Now: start}
		}},
		{"with sessions", func(i int) store.UserQuery {
			return store.UserQuery{ID: people[i%len(people)].ID, Now: start, With: store.WithSessions}
		}},
	} {
		b.Run(by.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.User(b.Context(), by.query(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A sign-in: the session of a user who may have five.
func BenchmarkOpenSession(b *testing.B) {
	s, people, _ := population(b, 10_000)
	b.ReportAllocs()
	v := newSession(uuid.Nil)
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint64(v.ID[:], uint64(i))
		v.RotatedAt = start.Add(time.Duration(i) * time.Microsecond)
		_, err := s.ChangeUser(b.Context(), store.UserChange{
			UserID: people[i%len(people)].ID, Now: start, If: store.Conditions{Epoch: 1}, Session: &v, MaxSessions: 5,
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutAndTakeTicket(b *testing.B) {
	s, people, _ := population(b, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var t store.Ticket
		binary.BigEndian.PutUint64(t.ID[:], uint64(i))
		hash := sha256.Sum256(t.ID[:])
		t.Kind, t.UserID, t.Hash, t.Tries = "link", people[i%len(people)].ID, hash[:], -1
		t.Slot, t.ExpiresAt = string(t.UserID[:]), start.Add(time.Hour)
		if err := s.PutTicket(b.Context(), t); err != nil {
			b.Fatal(err)
		}
		if _, err := s.TakeTicket(b.Context(), store.TicketQuery{Kind: "link", Hashes: [][]byte{hash[:]}, Now: start}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateUser(b *testing.B) {
	s := New()
	b.ReportAllocs()
	v := newSession(uuid.Nil)
	for i := 0; b.Loop(); i++ {
		u := store.User{CreatedAt: start, LastSeenAt: start, Anonymous: true, Roles: []string{"anonymous"}}
		binary.BigEndian.PutUint64(u.ID[:], uint64(i)+1)
		v.ID = u.ID
		if _, err := s.CreateUser(b.Context(), store.NewUser{User: u, Session: &v}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPurge(b *testing.B) {
	const limit = 1000
	b.ReportAllocs()
	s := New()
	u, err := s.CreateUser(b.Context(), store.NewUser{User: store.User{ID: uuid.New(), CreatedAt: start}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		for range limit {
			v := newSession(u.ID)
			if _, err := s.ChangeUser(b.Context(), store.UserChange{UserID: u.ID, Now: start, Session: &v}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if n, err := s.Purge(b.Context(), store.Purge{Now: start.Add(365 * 24 * time.Hour), Limit: limit}); err != nil || n != limit {
			b.Fatal(n, err)
		}
	}
}
