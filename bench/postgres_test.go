package bench

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store/pgstore"
)

// durable is an engine over PostgreSQL with as many users.
type durable struct {
	engine *auth.Engine
	pool   *pgxpool.Pool
	schema string
	tables func(name string) string
}

// newDurable makes one in a schema of its own. Where no server can be reached the benchmark is skipped, except in CI,
// where it fails.
func newDurable(b *testing.B) *durable {
	b.Helper()
	pool, err := database.Open(b.Context())
	if err != nil {
		need.Missing(b, err)
	}
	b.Cleanup(pool.Close)
	schema, err := database.Create(b.Context(), pool, "auth_bench")
	b.Cleanup(func() {
		if err := database.Drop(b.Context(), pool, schema); err != nil {
			b.Error(err)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	if err != nil {
		b.Fatal(err)
	}
	secret := make([]byte, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	engine, err := auth.New(s, auth.Config{
		ServerURL:    "https://bench.example",
		ClientURL:    "https://bench.example",
		Secret:       secret,
		Password:     &auth.PasswordConfig{},
		Anonymous:    &auth.AnonymousConfig{},
		Email:        auth.EmailConfig{AllowUnverified: true},
		Limits:       plenty,
		AccessTokens: auth.AccessTokensConfig{Issuer: issuer, Keys: auth.Keys{Active: algorithms(b)[1].key}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return &durable{engine, pool, schema, func(name string) string { return pgx.Identifier{schema, name}.Sanitize() }}
}

// together does something in one transaction, which spares the disk, and then lets the tables settle.
func (d *durable) together(b *testing.B, do func(*testing.B, *auth.Engine, pgx.Tx)) {
	b.Helper()
	err := pgx.BeginFunc(b.Context(), d.pool, func(tx pgx.Tx) error {
		do(b, d.engine, tx)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, table := range []string{"users", "sessions"} {
		if _, err := d.pool.Exec(b.Context(), "VACUUM (ANALYZE) "+d.tables(table)); err != nil {
			b.Fatal(err)
		}
	}
}

// population is how many users the benchmarks on PostgreSQL find for each side of a comparison.
const population = 1000

// BenchmarkPostgres compares operations with the least that could be done on the same pool instead, in turns: a refresh
// with one bare UPDATE of one row by its key, and a sign-in with its hash, one bare SELECT and one bare INSERT. All writes
// are committed. Each side has rows of its own in the same tables.
func BenchmarkPostgres(b *testing.B) {
	b.Run("Refresh", func(b *testing.B) {
		d := newDurable(b)
		ctx := b.Context()
		var tokens []string
		var bare []uuid.UUID
		d.together(b, func(b *testing.B, e *auth.Engine, tx pgx.Tx) {
			for i := range 2 * population {
				in, err := e.SignInAnonymous(pgstore.WithTx(ctx, tx), auth.SignInAnonymousParams{})
				if err != nil {
					b.Fatal(err)
				}
				if i%2 == 0 {
					tokens = append(tokens, in.Session.RefreshToken)
				} else {
					bare = append(bare, in.Session.RefreshTokenID)
				}
			}
		})
		update := "UPDATE " + d.tables("sessions") + ` SET generation = generation + 1, rotated_at = $2, expires_at = $3
			WHERE id = $1 RETURNING user_id, generation`
		inTurns(b, []turn{
			{"engine-ns", func() {
				i := mathrand.IntN(population)
				s, err := d.engine.Refresh(ctx, auth.RefreshParams{RefreshToken: tokens[i]})
				if err != nil {
					b.Fatal(err)
				}
				tokens[i] = s.RefreshToken
			}},
			{"bare-ns", func() {
				var user [16]byte
				var generation int64
				now := time.Now()
				row := d.pool.QueryRow(ctx, update, [16]byte(bare[mathrand.IntN(population)]), now, now.AddDate(0, 1, 0))
				if err := row.Scan(&user, &generation); err != nil {
					b.Fatal(err)
				}
			}},
		})
	})

	b.Run("SignIn", func(b *testing.B) {
		d := newDurable(b)
		ctx := b.Context()
		address := func(i int) string { return fmt.Sprintf("someone-%d@bench.example", i) }
		d.together(b, func(b *testing.B, e *auth.Engine, tx pgx.Tx) {
			ctx := pgstore.WithTx(ctx, tx)
			first, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: password})
			if err != nil {
				b.Fatal(err)
			}
			// One hash for all spares the time of the others.
			var passwordHash string
			row := tx.QueryRow(ctx, "SELECT password_hash FROM "+d.tables("users")+" WHERE id = $1", [16]byte(first.Session.User.ID))
			if err := row.Scan(&passwordHash); err != nil {
				b.Fatal(err)
			}
			for i := range 2 * population {
				p := auth.ImportUserParams{Email: address(i), EmailVerified: true, PasswordHash: passwordHash}
				if _, err := e.ImportUser(ctx, p); err != nil {
					b.Fatal(err)
				}
			}
		})
		find := "SELECT id, password_hash, epoch FROM " + d.tables("users") + " WHERE email_key = $1"
		insert := "INSERT INTO " + d.tables("sessions") + ` (id, user_id, created_at, rotated_at, auth_time, expires_at, ends_at,
			purge_at, generation, amr, client, address) VALUES ($1, $2, $3, $3, $3, $4, $4, $4, 0, $5, '', '')`
		salt := make([]byte, 16)
		inTurns(b, []turn{
			{"engine-ns", func() {
				p := auth.SignInPasswordParams{Email: address(mathrand.IntN(population)), Password: password}
				if _, err := d.engine.SignInPassword(ctx, p); err != nil {
					b.Fatal(err)
				}
			}},
			{"bare-ns", func() {
				var user [16]byte
				var passwordHash string
				var epoch int64
				row := d.pool.QueryRow(ctx, find, address(population+mathrand.IntN(population)))
				if err := row.Scan(&user, &passwordHash, &epoch); err != nil {
					b.Fatal(err)
				}
				hash(salt)
				now := time.Now()
				_, err := d.pool.Exec(ctx, insert, [16]byte(uuid.New()), user, now, now.AddDate(0, 1, 0), []string{"pwd"})
				if err != nil {
					b.Fatal(err)
				}
			}},
		})
	})
}
