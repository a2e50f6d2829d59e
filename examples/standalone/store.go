package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

// The kinds of store that there are.
const (
	memory   = "memory"
	sqlite   = "sqlite"
	postgres = "postgres"
)

// defaultFile is where users are kept if no variable says where.
const defaultFile = "auth.db"

// place is where users are kept.
type place struct {
	kind     string
	file     string          // of SQLite
	database *pgxpool.Config // of PostgreSQL
	owner    *pgxpool.Config // the same database for the role that migrates; nil: no other
	schema   string          // of PostgreSQL
	migrate  bool            // at start
}

// storePlace reads where users are to be kept, and what the operator should know of that. No mistake and no warning
// repeats a value, because a password may stand in each of them.
func storePlace(e *environment) (p place, warnings []string) {
	const (
		own        = "AUTH_STORE"
		connection = "POSTGRES_CONNECTION"
		hasura     = "HASURA_GRAPHQL_DATABASE_URL"
		owner      = "POSTGRES_MIGRATIONS_CONNECTION"
		schema     = "AUTH_STORE_SCHEMA"
	)
	ineffective := func(name, why string) {
		if e.text(name, "") != "" {
			warnings = append(warnings, fmt.Sprintf("%s has no effect: %s", name, why))
		}
	}
	from := "" // the variable that says
	for _, name := range []string{own, connection, hasura} {
		if from != "" {
			ineffective(name, from+" is set, too")
		} else if e.text(name, "") != "" {
			from = name
		}
	}
	var err error
	switch value := e.values[from]; from {
	case "":
		p.kind, p.file = sqlite, defaultFile
		warnings = append(warnings, "AUTH_STORE is not set: users are kept in the file "+defaultFile+" in the working directory")
	case own:
		p, err = parsePlace(value)
	default:
		p.kind = postgres
		p.database, err = parsePostgres(value)
	}
	if err != nil {
		e.wrong(from, "%v", err)
	}
	if p.kind == memory {
		warnings = append(warnings, "AUTH_STORE is memory: users and sessions end with this program")
	}

	p.migrate = e.flag("AUTH_STORE_MIGRATE", true)
	p.schema = e.text(schema, pgstore.DefaultSchema)
	if url := e.text(owner, ""); url != "" {
		if p.owner, err = parsePostgres(url); err != nil {
			e.wrong(owner, "%v", err)
		}
	}
	if _, err := pgstore.SQL(pgstore.Schema(p.schema)); err != nil {
		e.wrong(schema, "%v", err)
	}
	switch {
	case p.kind == memory || p.kind == sqlite:
		const why = "users are not kept in PostgreSQL"
		ineffective(owner, why)
		ineffective(schema, why)
	case !p.migrate:
		ineffective(owner, "AUTH_STORE_MIGRATE is false")
	}
	return p, warnings
}

// parsePlace reads a value of AUTH_STORE.
func parsePlace(value string) (p place, err error) {
	kind, rest, found := strings.Cut(value, ":")
	switch {
	case kind == memory && found:
		return p, errors.New("memory takes no further words")
	case kind == memory:
		return place{kind: memory}, nil
	case kind == sqlite:
		return place{kind: sqlite, file: rest}, checkFile(rest)
	case isPostgres(value):
		p.kind = postgres
		p.database, err = parsePostgres(value)
		return p, err
	}
	return p, errors.New("is none of the stores that this program has: memory, sqlite:PATH, postgres://…")
}

// checkFile looks whether a path is one, without opening the file.
func checkFile(path string) error {
	switch {
	case path == "" || strings.HasPrefix(path, "//") || strings.HasPrefix(path, "file:") || strings.Contains(path, "?"):
		return errors.New("has no plain path behind sqlite:, as in sqlite:auth.db or sqlite:/var/lib/auth/auth.db")
	case path == sqlitestore.Memory:
		return errors.New("is a database in memory; say memory if that is meant")
	}
	return nil
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// parsePostgres reads a URL, without connecting. What pgx has to say of one that it cannot read may repeat a part of the
// password.
func parsePostgres(url string) (*pgxpool.Config, error) {
	if !isPostgres(url) {
		return nil, errors.New("is no URL that begins with postgres:// or postgresql://")
	}
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("is no URL of a PostgreSQL database, such as " +
			"postgres://user:password@host:5432/database?sslmode=verify-full, or names a file that cannot be used")
	}
	// A part of a password that was not encoded would be shown when a connection fails.
	names := []string{c.ConnConfig.Host, c.ConnConfig.Database}
	for _, f := range c.ConnConfig.Fallbacks {
		names = append(names, f.Host)
	}
	if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "@") }) {
		return nil, errors.New("has an @ in the name of its host or database: " +
			"in a password, the characters @ : / ? # are written %40 %3A %2F %3F %23")
	}
	return c, nil
}

// openStore opens the store at a place. What it returns besides closes it.
func openStore(ctx context.Context, p place) (s store.Store, closeStore func() error, err error) {
	switch p.kind {
	case sqlite:
		s, closeStore, err = openSQLite(ctx, p)
	case postgres:
		s, closeStore, err = openPostgres(ctx, p)
	default:
		s, closeStore = memstore.New(), func() error { return nil }
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open store: %w", err)
	}
	return s, closeStore, nil
}

func openSQLite(ctx context.Context, p place) (store.Store, func() error, error) {
	var options []sqlitestore.Option
	if !p.migrate {
		options = append(options, sqlitestore.NoMigrate())
	}
	s, err := sqlitestore.Open(ctx, p.file, options...)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

func openPostgres(ctx context.Context, p place) (store.Store, func() error, error) {
	if p.migrate {
		if err := migrate(ctx, cmp.Or(p.owner, p.database), p.schema); err != nil {
			return nil, nil, err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, p.database.Copy())
	if err != nil {
		return nil, nil, err
	}
	s, err := pgstore.New(pool, pgstore.Schema(p.schema))
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return s, func() error { pool.Close(); return nil }, nil
}

// migrate brings the tables up to date, over connections of its own.
func migrate(ctx context.Context, database *pgxpool.Config, schema string) error {
	pool, err := pgxpool.NewWithConfig(ctx, database.Copy())
	if err != nil {
		return err
	}
	defer pool.Close()
	return pgstore.Migrate(ctx, pool, pgstore.Schema(schema))
}
