// Package pgtest gives the test of an example a place in PostgreSQL.
package pgtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/internal/need"
)

// Schema returns a pool and the name of a schema that is not there yet and is dropped after the test. Where there is no server the
// test ends as [need.Missing] says.
func Schema(t testing.TB) (pool *pgxpool.Pool, name string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), need.PostgresDSN())
	if err != nil {
		t.Fatal("AUTH_TEST_POSTGRES cannot be used") // a password may stand in it
	}
	t.Cleanup(pool.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		need.Missing(t, fmt.Errorf("no PostgreSQL, set AUTH_TEST_POSTGRES: %w", err))
	}
	name = fmt.Sprintf("auth_example_%016x", rand.Uint64())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
			t.Errorf("drop the schema: %v", err)
		}
	})
	return pool, name
}
