// Package database gives a measurement a place in PostgreSQL: schemas of its own, which it drops.
package database

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store/pgstore"
)

// Open returns a pool that has reached the server of [need.PostgresDSN]. It gives up after ten seconds.
func Open(ctx context.Context, change ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(need.PostgresDSN())
	if err != nil {
		return nil, fmt.Errorf("AUTH_TEST_POSTGRES: %w", err)
	}
	for _, c := range change {
		c(config)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("AUTH_TEST_POSTGRES: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := pool.Ping(limited); err != nil {
		pool.Close()
		return nil, fmt.Errorf("no PostgreSQL, set AUTH_TEST_POSTGRES: %w", err)
	}
	return pool, nil
}

// Create makes a schema with the store's tables and returns its name, which begins with the prefix. The schema is then to be
// dropped, whether or not there is an error.
func Create(ctx context.Context, pool *pgxpool.Pool, prefix string) (string, error) {
	name := fmt.Sprintf("%s_%016x", prefix, rand.Uint64())
	if err := pgstore.Migrate(ctx, pool, pgstore.Schema(name)); err != nil {
		return name, err
	}
	return name, nil
}

// Drop removes a schema and all that is in it, also when the context is done.
func Drop(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	if _, err := pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE"); err != nil {
		return fmt.Errorf("drop schema %s: %w", schema, err)
	}
	return nil
}

// Settle brings a table to the state in which autovacuum leaves it: its statistics are those of its rows, and no reader
// has to find out any more whether a row is visible.
func Settle(ctx context.Context, pool *pgxpool.Pool, schema string, tables ...string) error {
	for _, table := range tables {
		if _, err := pool.Exec(ctx, "VACUUM (ANALYZE) "+pgx.Identifier{schema, table}.Sanitize()); err != nil {
			return fmt.Errorf("vacuum %s: %w", table, err)
		}
	}
	return nil
}

// Address returns the network and the address of the server that the pool's connections go to first.
func Address(pool *pgxpool.Pool) (network, address string) {
	c := pool.Config().ConnConfig
	return pgconn.NetworkAddress(c.Host, c.Port)
}
