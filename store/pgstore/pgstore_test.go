package pgstore_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/storetest"
)

// open returns a pool. The test is skipped where there is no server, except in CI, where that is a failure.
func open(t testing.TB, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(need.PostgresDSN())
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 10
	for _, c := range change {
		c(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		need.Missing(t, fmt.Errorf("no PostgreSQL, set AUTH_TEST_POSTGRES: %w", err))
	}
	return pool
}

// newSchema returns the name of a schema that is dropped after the test.
func newSchema(t testing.TB, pool *pgxpool.Pool) string {
	name := fmt.Sprintf("auth_test_%016x", rand.Uint64())
	t.Cleanup(func() { dropSchema(t, pool, name) })
	return name
}

func dropSchema(t testing.TB, pool *pgxpool.Pool, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
		t.Errorf("drop the schema: %v", err)
	}
}

// newStore returns a store with tables of its own, made by the plain SQL.
func newStore(t testing.TB, pool *pgxpool.Pool) *pgstore.Store {
	t.Helper()
	schema := pgstore.Schema(newSchemaWithTables(t, pool))
	s, err := pgstore.New(pool, schema)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSchemaWithTables(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	name := newSchema(t, pool)
	files, err := pgstore.SQL(pgstore.Schema(name))
	if err != nil {
		t.Fatal(err)
	}
	all := "CREATE SCHEMA " + pgx.Identifier{name}.Sanitize() + ";"
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range names {
		sql, err := fs.ReadFile(files, file)
		if err != nil {
			t.Fatal(err)
		}
		all += string(sql)
	}
	if _, err := pool.Exec(t.Context(), all, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	return name
}

// settings are the ways in which a service may have set up its pool. Each is right.
var settings = map[string]func(*pgx.ConnConfig){
	"prepared statements": func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement },

	// These leave nothing on a connection, for a pooler that gives each transaction another one.
	"statements without a name": func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeExec },
	"cached descriptions":       func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe },
	"the simple protocol":       func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol },

	"repeatable reads":        func(c *pgx.ConnConfig) { c.RuntimeParams["default_transaction_isolation"] = "repeatable read" },
	"serialized transactions": func(c *pgx.ConnConfig) { c.RuntimeParams["default_transaction_isolation"] = "serializable" },

	"a zone and formats of its own": func(c *pgx.ConnConfig) {
		c.RuntimeParams["timezone"] = "America/New_York"
		c.RuntimeParams["datestyle"] = "SQL, DMY"
		c.RuntimeParams["intervalstyle"] = "sql_standard"
		c.RuntimeParams["bytea_output"] = "escape"
		c.RuntimeParams["search_path"] = ""
	},
}

// ST-22, ST-19
func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, set := range settings {
		t.Run("with "+name, func(t *testing.T) {
			pool := open(t, func(c *pgxpool.Config) { set(c.ConnConfig) })
			storetest.Run(t, func(t *testing.T) store.Store {
				t.Parallel()
				return newStore(t, pool)
			})
		})
	}
}
