package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

// stores are the names of the stores that there are.
var stores = []string{"postgres", "sqlite", "memory"}

// place is a store, by as many handles as there are replicas, and what can be told of it.
type place struct {
	replicas    []store.Store
	rows        func(ctx context.Context) (map[string]int, error)
	connections func() int
	close       func(ctx context.Context) error
}

func open(ctx context.Context, name string) (*place, error) {
	switch name {
	case "postgres":
		return openPostgres(ctx)
	case "sqlite":
		return openSQLite(ctx)
	}
	s := memstore.New()
	return &place{
		replicas:    []store.Store{s, s},
		rows:        func(ctx context.Context) (map[string]int, error) { return contract(ctx, s) },
		connections: func() int { return 0 },
		close:       func(context.Context) error { return nil },
	}, nil
}

// contract counts what any store tells of.
func contract(ctx context.Context, s store.Store) (map[string]int, error) {
	rows := map[string]int{}
	var after uuid.UUID
	for {
		page, err := s.Users(ctx, after, 1000)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		rows["users"] += len(page)
		after = page[len(page)-1].ID
	}
	keys, err := s.SigningKeys(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	box, err := s.Outbox(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	_, events, err := s.Trail(ctx, math.MinInt64, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	rows["signing_keys"], rows["messages"], rows["events"] = len(keys), box.Due+box.Waiting+box.Dead, len(events)
	return rows, nil
}

// perReplica is how many connections to PostgreSQL a replica has at most.
const perReplica = 8

func openPostgres(ctx context.Context) (_ *place, err error) {
	tools, err := database.Open(ctx, func(c *pgxpool.Config) { c.MaxConns = 2 }) // of which a migration takes both
	if err != nil {
		return nil, err
	}
	schema, err := database.Create(ctx, tools, "auth_soak")
	pools := []*pgxpool.Pool{tools}
	p := &place{
		rows: func(ctx context.Context) (map[string]int, error) {
			return count(func(table string) (n int, err error) {
				err = tools.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{schema, table}.Sanitize()).Scan(&n)
				return n, err
			})
		},
		connections: func() (n int) {
			for _, pool := range pools {
				n += int(pool.Stat().TotalConns())
			}
			return n
		},
		close: func(ctx context.Context) error {
			for _, pool := range pools[1:] {
				pool.Close()
			}
			defer tools.Close()
			return database.Drop(ctx, tools, schema)
		},
	}
	for err == nil && len(p.replicas) < 2 {
		var pool *pgxpool.Pool
		pool, err = database.Open(ctx, func(c *pgxpool.Config) { c.MaxConns = perReplica })
		if err == nil {
			pools = append(pools, pool)
			var s store.Store
			s, err = pgstore.New(pool, pgstore.Schema(schema))
			p.replicas = append(p.replicas, s)
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	return p, nil
}

func openSQLite(ctx context.Context) (_ *place, err error) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return nil, err
	}
	var opened []*sqlitestore.Store
	var tools *sql.DB
	p := &place{
		rows: func(ctx context.Context) (map[string]int, error) {
			return count(func(table string) (n int, err error) {
				err = tools.QueryRowContext(ctx, "SELECT count(*) FROM auth_"+table).Scan(&n)
				return n, err
			})
		},
		connections: func() int { return 0 },
		close: func(context.Context) error {
			var errs []error
			if tools != nil {
				errs = append(errs, tools.Close())
			}
			for _, s := range opened {
				errs = append(errs, s.Close())
			}
			return errors.Join(append(errs, os.RemoveAll(dir))...)
		},
	}
	file := filepath.Join(dir, "soak.db")
	for err == nil && len(opened) < 2 {
		var s *sqlitestore.Store
		if s, err = sqlitestore.Open(ctx, file); err == nil {
			opened, p.replicas = append(opened, s), append(p.replicas, s)
		}
	}
	if err == nil {
		if tools, err = sql.Open("sqlite", file); err == nil {
			tools.SetMaxOpenConns(1)
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	return p, nil
}

func count(of func(table string) (int, error)) (map[string]int, error) {
	rows := map[string]int{}
	for _, t := range tables {
		n, err := of(t)
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", t, err)
		}
		rows[t] = n
	}
	return rows, nil
}

// watched is a store that tells how far the purge of a replica has come.
type watched struct {
	store.Store
	purged *atomic.Int64             // rows, of all replicas
	until  atomic.Pointer[time.Time] // what had ended by then is gone
}

// Purge implements [store.Store].
func (w *watched) Purge(ctx context.Context, p store.Purge) (int, error) {
	n, err := w.Store.Purge(ctx, p)
	w.purged.Add(int64(n))
	if err == nil && n < p.Limit {
		w.until.Store(&p.Now)
	}
	return n, err
}
