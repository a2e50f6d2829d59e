package pgstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

// population is how many users the benchmarks find, each with a session.
const population = 20_000

// populated returns a store with users, and their sessions.
func populated(b *testing.B) (s *pgstore.Store, schema string, users []store.User, sessions []uuid.UUID) {
	b.Helper()
	pool := open(b)
	schema = newSchemaWithTables(b, pool)
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	must(b, err)
	tx, err := pool.Begin(b.Context())
	must(b, err)
	ctx := pgstore.WithTx(b.Context(), tx)
	for range population {
		n := store.NewUser{User: newUser(), Session: newSession()}
		n.Session.EndsAt = base.AddDate(1, 0, 0)
		u, err := s.CreateUser(ctx, n)
		must(b, err)
		users, sessions = append(users, u), append(sessions, n.Session.ID)
	}
	must(b, tx.Commit(b.Context()))
	for _, table := range []string{"users", "sessions"} {
		_, err = pool.Exec(b.Context(), "VACUUM ANALYZE "+pgx.Identifier{schema, table}.Sanitize())
		must(b, err)
	}
	return s, schema, users, sessions
}

// BenchmarkOperations compares the operations on every request with the least that could be done instead: the same pool,
// in turns, so that a disk that has a bad day has it for both.
func BenchmarkOperations(b *testing.B) {
	s, schema, users, sessions := populated(b)
	ctx, pool := b.Context(), s.Pool()
	sessionsTable, usersTable := pgx.Identifier{schema, "sessions"}.Sanitize(), pgx.Identifier{schema, "users"}.Sanitize()
	one := func(sql string, args ...any) {
		rows, err := pool.Query(ctx, sql, args...)
		must(b, err)
		for rows.Next() {
		}
		must(b, rows.Err())
	}
	generations := make([]uint32, population)
	i := 0
	next := func() int {
		i = (i + 7919) % population
		return i
	}
	for _, pair := range []struct {
		name       string
		call, bare func()
	}{
		{
			"refresh",
			func() {
				at := next()
				r := present(sessions[at], generations[at])
				generations[at]++
				got, err := s.RotateSession(ctx, r)
				if err != nil || got.Outcome != store.Rotated {
					b.Fatal(got.Outcome, err)
				}
			},
			func() {
				at := next()
				generations[at]++
				one("UPDATE "+sessionsTable+" SET generation = generation + 1, rotated_at = $2 WHERE id = $1 RETURNING *", sessions[at].String(), base)
			},
		},
		{
			"sign-in",
			func() {
				u := &users[next()]
				a, err := s.User(ctx, store.UserQuery{EmailKey: u.EmailKey, Now: base})
				must(b, err)
				_, err = s.ChangeUser(ctx, store.UserChange{
					UserID: a.ID, Now: base, If: store.Conditions{Epoch: a.Epoch}, Session: newSession(), MaxSessions: 100,
				})
				must(b, err)
			},
			func() {
				u, v := &users[next()], newSession()
				one("SELECT * FROM "+usersTable+" WHERE email_key = $1", u.EmailKey)
				one("INSERT INTO "+sessionsTable+` (id, user_id, created_at, rotated_at, auth_time, expires_at, ends_at, purge_at,
					generation, amr, client, address) VALUES ($1, $2, $3, $3, $3, $4, $5, $4, 0, $6, $7, $8)`,
					v.ID.String(), u.ID.String(), v.CreatedAt, v.ExpiresAt, v.EndsAt, v.AMR, v.Client, v.Address)
			},
		},
		{
			"user by id",
			func() {
				_, err := s.User(ctx, store.UserQuery{ID: users[next()].ID, Now: base})
				must(b, err)
			},
			func() { one("SELECT * FROM "+usersTable+" WHERE id = $1", users[next()].ID.String()) },
		},
	} {
		b.Run(pair.name, func(b *testing.B) {
			var store, bare []time.Duration
			for b.Loop() {
				start := time.Now()
				pair.call()
				middle := time.Now()
				pair.bare()
				store, bare = append(store, middle.Sub(start)), append(bare, time.Since(middle))
			}
			b.ReportMetric(float64(median(store).Nanoseconds()), "ns/store")
			b.ReportMetric(float64(median(bare).Nanoseconds()), "ns/bare")
			b.ReportMetric(float64(median(store))/float64(median(bare)), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
