package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migration is a step in the life of the tables.
type Migration struct {
	Version   int64
	Name      string    // of the file, see [SQL]
	AppliedAt time.Time // zero while it is pending
}

// SQL returns the migrations as files of plain SQL, with the schema's name in them, for those who run migrations with
// tools of their own: in the order of the files' names, each once and in one transaction, after CREATE SCHEMA. The
// annotations in them are comments, and those of goose.
//
// There is only a way forward. It returns an error where an option is invalid.
func SQL(opts ...Option) (fs.FS, error) {
	o, err := resolve(opts)
	if err != nil {
		return nil, err
	}
	entries, err := embedded.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("pgstore: %w", err)
	}
	// For all its name it is just a file system in memory.
	files := fstest.MapFS{}
	for _, entry := range entries {
		sql, err := embedded.ReadFile("migrations/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("pgstore: %w", err)
		}
		files[entry.Name()] = &fstest.MapFile{Data: []byte(o.render().Replace(string(sql))), Mode: 0o444}
	}
	return files, nil
}

// Migrate brings the tables up to date: it creates the schema if it is missing and runs the migrations that have not run,
// each in a transaction. Replicas that start at the same moment wait for each other. Programs of the version before go on
// working with the tables that it leaves, unless the release notes say otherwise.
//
// It takes two connections of the pool. The role needs the right to create tables in the schema and, where the schema is
// missing, schemas in the database.
func Migrate(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	o, err := resolve(opts)
	if err != nil {
		return err
	}
	if pool.Config().MaxConns < 2 {
		return errors.New("pgstore: migrate: the pool must allow two connections")
	}
	if err := o.prepare(ctx, pool); err != nil {
		return fmt.Errorf("pgstore: migrate: %w", err)
	}
	// goose would lock with an advisory lock, or with a lease that a crash leaves behind. A row lock is neither.
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		const lock = `UPDATE {schema}.locks SET turns = turns + 1 WHERE name = 'migrations'`
		if _, err := tx.Exec(ctx, o.render().Replace(lock)); err != nil {
			return err
		}
		return o.withProvider(pool, func(p *goose.Provider) error {
			_, err := p.Up(ctx)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("pgstore: migrate: %w", err)
	}
	return nil
}

// Status lists the migrations in their order and says which have run. It changes nothing.
func Status(ctx context.Context, pool *pgxpool.Pool, opts ...Option) ([]Migration, error) {
	o, err := resolve(opts)
	if err != nil {
		return nil, err
	}
	var list []Migration
	err = o.withProvider(pool, func(p *goose.Provider) error {
		there, err := versions{schema: o.schema}.exists(ctx, pool)
		if err != nil {
			return err
		}
		if !there {
			for _, source := range p.ListSources() {
				list = append(list, Migration{Version: source.Version, Name: source.Path})
			}
			return nil
		}
		status, err := p.Status(ctx)
		for _, m := range status {
			list = append(list, Migration{Version: m.Source.Version, Name: m.Source.Path, AppliedAt: m.AppliedAt})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgstore: migration status: %w", err)
	}
	return list, nil
}

// prepare makes what must be there before there can be a lock. IF NOT EXISTS is no help against those who do the same at
// the same moment; what they do is.
func (o options) prepare(ctx context.Context, pool *pgxpool.Pool) error {
	var err error
	for range attempts {
		var there bool
		err = pool.QueryRow(ctx,
			`SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1::text)`, o.schema).Scan(&there)
		if err != nil {
			return err
		}
		statements := []string{
			`CREATE TABLE IF NOT EXISTS {schema}.locks (
				name text NOT NULL, turns bigint NOT NULL DEFAULT 0, CONSTRAINT locks_pkey PRIMARY KEY (name)
			)`,
			`INSERT INTO {schema}.locks (name) VALUES ('migrations') ON CONFLICT DO NOTHING`,
		}
		if !there {
			statements = append([]string{`CREATE SCHEMA IF NOT EXISTS {schema}`}, statements...)
		}
		err = nil
		for _, statement := range statements {
			if _, err = pool.Exec(ctx, o.render().Replace(statement)); err != nil {
				break
			}
		}
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) {
			return err
		}
		switch pgErr.Code {
		case "23505", "42P06", "42P07", "42710", "40001": // unique_violation, duplicate_schema, _table, _object
		default:
			return err
		}
	}
	return err
}

func (o options) withProvider(pool *pgxpool.Pool, do func(*goose.Provider) error) (err error) {
	files, err := SQL(Schema(o.schema))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	table := pgx.Identifier{o.schema, versionTable}.Sanitize()
	inner, err := database.NewStore(database.DialectPostgres, table)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(
		"", db, files, goose.WithStore(versions{inner, o.schema}), goose.WithDisableGlobalRegistry(true),
	)
	if err != nil {
		return err
	}
	return do(provider)
}

const versionTable = "migrations"

// versions is goose's table of what has run, in the schema. goose itself would not find it there, because it looks for
// the name with its quotes.
type versions struct {
	database.Store
	schema string
}

// TableExists overrides goose's.
func (v versions) TableExists(ctx context.Context, db database.DBTxConn) (there bool, err error) {
	err = db.QueryRowContext(ctx, sqlTableExists, v.schema, versionTable).Scan(&there)
	return there, err
}

func (v versions) exists(ctx context.Context, pool *pgxpool.Pool) (there bool, err error) {
	err = pool.QueryRow(ctx, sqlTableExists, v.schema, versionTable).Scan(&there)
	return there, err
}

const sqlTableExists = `SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1::text AND tablename = $2::text)`
