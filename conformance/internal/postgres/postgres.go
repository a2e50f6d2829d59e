// Package postgres gives a test a store in a schema of its own.
package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store/pgstore"
)

// Database is a store on PostgreSQL, and what there is besides it.
type Database struct {
	Store  *pgstore.Store
	Pool   *pgxpool.Pool
	DSN    string // a password may stand in it
	Schema string
}

// Open makes all tables in a schema that is dropped after the test, on the server that AUTH_TEST_POSTGRES names. Where there is no
// server the test ends as [need.Missing] says.
func Open(t testing.TB) Database {
	t.Helper()
	d := Database{DSN: need.PostgresDSN(), Schema: fmt.Sprintf("auth_conformance_%016x", rand.Uint64())}
	var err error
	if d.Pool, err = pgxpool.New(t.Context(), d.DSN); err != nil {
		t.Fatal("AUTH_TEST_POSTGRES cannot be used")
	}
	t.Cleanup(d.Pool.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := d.Pool.Ping(ctx); err != nil {
		need.Missing(t, fmt.Errorf("no PostgreSQL, set AUTH_TEST_POSTGRES: %w", err))
	}
	t.Cleanup(func() {
		if _, err := d.Pool.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+d.Schema+" CASCADE"); err != nil {
			t.Errorf("drop the schema: %v", err)
		}
	})
	if err := pgstore.Migrate(t.Context(), d.Pool, pgstore.Schema(d.Schema)); err != nil {
		t.Fatal(err)
	}
	if d.Store, err = pgstore.New(d.Pool, pgstore.Schema(d.Schema)); err != nil {
		t.Fatal(err)
	}
	return d
}
