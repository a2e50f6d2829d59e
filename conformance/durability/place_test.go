package durability_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

// place is where a realm is kept: what stays when the programs that use it are gone. It travels to them as JSON.
type place struct {
	Driver string // of database/sql: "pgx" or "sqlite"; empty for memory
	DSN    string // for pgx: the server; for sqlite: the path of the file
	Schema string // for pgx
	Quick  bool   // for sqlite: commits are not flushed to the disk, for tests in which nothing dies
}

// connections is how many one program may have to PostgreSQL.
const connections = 6

// open opens a store, with its tables up to date. The second result closes it.
func (p place) open(ctx context.Context) (store.Store, func(), error) {
	switch p.Driver {
	case "pgx":
		config, err := pgxpool.ParseConfig(p.DSN)
		if err != nil {
			return nil, nil, err
		}
		config.MaxConns = connections
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return nil, nil, err
		}
		if err = pgstore.Migrate(ctx, pool, pgstore.Schema(p.Schema)); err == nil {
			var s *pgstore.Store
			if s, err = pgstore.New(pool, pgstore.Schema(p.Schema)); err == nil {
				return s, pool.Close, nil
			}
		}
		pool.Close()
		return nil, nil, err
	case "sqlite":
		var opts []sqlitestore.Option
		if p.Quick {
			opts = append(opts, sqlitestore.SyncNormal())
		}
		s, err := sqlitestore.Open(ctx, p.DSN, opts...)
		if err != nil {
			return nil, nil, err
		}
		return s, func() { _ = s.Close() }, nil
	}
	return memstore.New(), func() {}, nil
}

// look opens the tables for reading. It is closed again before a program is killed: with no other program at the file,
// SQLite has to recover it.
func (p place) look(t testing.TB) *tables {
	t.Helper()
	dsn, prefix := p.DSN, p.Schema+"."
	if p.Driver == "sqlite" {
		dsn, prefix = "file:"+p.DSN+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)", "auth_"
	}
	db, err := sql.Open(p.Driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return &tables{db, p.Driver, strings.NewReplacer("{t}", prefix)}
}

func sqlitePlace(t *testing.T) place {
	return place{Driver: "sqlite", DSN: filepath.Join(t.TempDir(), "auth.db")}
}

func quickPlace(t *testing.T) place {
	p := sqlitePlace(t)
	p.Quick = true
	return p
}

// postgresPlace is a schema of the test's own, dropped at its end.
func postgresPlace(t *testing.T) place {
	t.Helper()
	dsn := need.PostgresDSN()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		need.Missing(t, fmt.Errorf("no PostgreSQL, set AUTH_TEST_POSTGRES: %w", err))
	}
	p := place{Driver: "pgx", DSN: dsn, Schema: fmt.Sprintf("auth_durability_%016x", rand.Uint64())}
	t.Cleanup(func() {
		defer db.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for {
			_, err := db.ExecContext(ctx, "DROP SCHEMA IF EXISTS "+p.Schema+" CASCADE")
			var collision *pgconn.PgError
			if errors.As(err, &collision) && collision.Code == "40P01" {
				continue // with the last statement of a program that has just been killed
			}
			if err != nil {
				t.Errorf("drop the schema: %v", err)
			}
			return
		}
	})
	return p
}

// tables are a realm as its database sees it.
type tables struct {
	db     *sql.DB
	driver string
	names  *strings.Replacer
}

func (b *tables) close() { _ = b.db.Close() }

// rules are what must never be found, whatever has failed, in a realm whose users sign up with a password and a letter, or
// anonymously. Each query counts the rows that break one.
var rules = []struct{ broken, query string }{
	{
		"two users have one address",
		`SELECT count(*) FROM (
			SELECT email_key FROM {t}users WHERE email_key IS NOT NULL GROUP BY email_key HAVING count(*) > 1
		) AS doubles`,
	},
	{"a user has neither an address nor is anonymous, or both", `SELECT count(*) FROM {t}users WHERE (email_key IS NULL) <> anonymous`},
	{
		"a user has an address and no password, or a password and no address",
		`SELECT count(*) FROM {t}users WHERE (email_key IS NULL) <> (password_hash = '')`,
	},
	{
		"an anonymous user has no session and so no way in",
		`SELECT count(*) FROM {t}users AS u WHERE anonymous AND NOT EXISTS (SELECT 1 FROM {t}sessions AS s WHERE s.user_id = u.id)`,
	},
	{
		"a link is spent and its address not verified, or the other way round",
		`SELECT count(*) FROM {t}users AS u WHERE email_key IS NOT NULL AND email_verified = EXISTS (
			SELECT 1 FROM {t}tickets AS t WHERE t.user_id = u.id AND t.kind = 'verifyEmail'
		)`,
	},
	{
		"a session is of a user who has never been let in",
		`SELECT count(*) FROM {t}sessions AS s WHERE NOT EXISTS (
			SELECT 1 FROM {t}users AS u WHERE u.id = s.user_id AND (u.anonymous OR u.email_verified)
		)`,
	},
	{
		"a ticket belongs to nobody",
		`SELECT count(*) FROM {t}tickets AS t WHERE NOT EXISTS (SELECT 1 FROM {t}users AS u WHERE u.id = t.user_id)`,
	},
	{"a session outlives its end", `SELECT count(*) FROM {t}sessions WHERE expires_at > ends_at`},
}

// check looks for broken rules.
func (b *tables) check(ctx context.Context, report func(format string, args ...any)) {
	for _, r := range rules {
		n, err := b.count(ctx, r.query)
		if err != nil {
			report("%s: %v", r.broken, err)
		} else if n != 0 {
			report("%s (%d times)", r.broken, n)
		}
	}
	if b.driver != "sqlite" {
		return
	}
	for _, pragma := range []string{"integrity_check", "foreign_key_check"} {
		said, err := b.texts(ctx, "SELECT * FROM pragma_"+pragma)
		if err != nil || len(said) > 0 && strings.Join(said, "") != "ok" {
			report("%s: %q, %v", pragma, said, err)
		}
	}
}

func (b *tables) count(ctx context.Context, query string) (n int, err error) {
	err = b.db.QueryRowContext(ctx, b.names.Replace(query)).Scan(&n)
	return n, err
}

// texts returns the first column of a result.
func (b *tables) texts(ctx context.Context, query string) ([]string, error) {
	rows, err := b.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var list []string
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		var first string
		row[0] = &first
		if err := rows.Scan(row...); err != nil {
			return nil, err
		}
		list = append(list, first)
	}
	return list, rows.Err()
}

// addresses returns the users who have one, and whether it is verified.
func (b *tables) addresses(ctx context.Context) (map[string]bool, error) {
	return pairs[string, bool](ctx, b, `SELECT email_key, email_verified FROM {t}users WHERE email_key IS NOT NULL`)
}

// sessions returns the generations of all sessions.
func (b *tables) sessions(ctx context.Context) (map[uuid.UUID]int, error) {
	return pairs[uuid.UUID, int](ctx, b, `SELECT id, generation FROM {t}sessions`)
}

func pairs[K comparable, V any](ctx context.Context, b *tables, query string) (map[K]V, error) {
	rows, err := b.db.QueryContext(ctx, b.names.Replace(query))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := make(map[K]V)
	for rows.Next() {
		var k K
		var v V
		if err := rows.Scan(&k, &v); err != nil {
			return nil, err
		}
		m[k] = v
	}
	return m, rows.Err()
}
