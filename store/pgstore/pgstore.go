// Package pgstore keeps a realm in PostgreSQL, version 13 or later, or in a database that speaks its protocol and its
// SQL. It uses nothing that CockroachDB lacks: no advisory lock, no LISTEN, no extension, no function of its own.
//
//	pool, err := pgxpool.New(ctx, dsn)
//	…
//	if err := pgstore.Migrate(ctx, pool); err != nil { … }
//	s, err := pgstore.New(pool)
//
// # Round trips
//
// An operation that succeeds is one statement, or a few that are sent together as one transaction, and so one round trip
// to the database. These take more:
//
//   - A refresh whose token is not the current one takes a second, which finds out why.
//   - A change or a deletion that is refused takes a second, which finds out which condition did not hold.
//   - [store.NewUser].Within runs between the writes and the commit, which is a second.
//   - A transaction that lost against another one (SQLSTATE 40001 or 40P01) is repeated, up to ten times.
//
// # Transactions
//
// With [WithTx] the store works in a transaction of the service. With [TxFrom] a hook of the engine works in the store's.
//
// The store is correct at every isolation level that the pool's connections may default to, and fastest at READ
// COMMITTED, PostgreSQL's own default: there nothing has to be repeated but what really collides.
//
// # Statements
//
// pgx prepares each statement when a connection first needs it and keeps it. Behind a pooler that gives every
// transaction another connection, as PgBouncer in transaction mode, choose a mode that leaves nothing on the connection,
// by default_query_exec_mode=exec (or cache_describe) in the connection string or by
// pgx.ConnConfig.DefaultQueryExecMode. All modes work.
//
// A call ends when its context does: pgx then closes the connection and asks the server to cancel the statement.
// Whether that was in time is not known.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/store"
)

// DefaultSchema is the schema that holds the tables unless [Schema] says otherwise.
const DefaultSchema = "auth"

// Store is a [store.Store] in PostgreSQL, made by [New] or [Open]. It is safe for concurrent use, by any number of
// processes with one database.
type Store struct {
	pool   *pgxpool.Pool
	owned  bool // by the store, which closes it
	tables *strings.Replacer
	fixed  fixed

	plans   sync.Map // of shape to *plan
	lookups sync.Map // of lookup to string
}

var _ store.Store = (*Store)(nil)

// Option changes how [New], [Open], [Migrate], [Status] and [SQL] work.
type Option func(*options)

type options struct{ schema string }

// Schema names the schema that holds the tables: one for each realm that shares a database. A name is up to 63 lower
// case ASCII letters, digits and underscores and does not begin with a digit. The default is [DefaultSchema].
func Schema(name string) Option { return func(o *options) { o.schema = name } }

var validSchema = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func resolve(opts []Option) (options, error) {
	o := options{schema: DefaultSchema}
	for _, opt := range opts {
		opt(&o)
	}
	if !validSchema.MatchString(o.schema) {
		return o, fmt.Errorf("pgstore: %q cannot be the name of a schema", o.schema)
	}
	return o, nil
}

// render returns a replacer that puts the schema's name into SQL. What it replaces is the same in the migrations.
func (o options) render() *strings.Replacer {
	return strings.NewReplacer("{schema}", pgx.Identifier{o.schema}.Sanitize())
}

// New returns a store that uses the service's own pool, which stays the service's to close. It does not connect; see
// [Store.Ping]. The tables must be there, see [Migrate].
//
// It returns an error where an option is invalid.
func New(pool *pgxpool.Pool, opts ...Option) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgstore: no pool")
	}
	o, err := resolve(opts)
	if err != nil {
		return nil, err
	}
	tables := o.render()
	return &Store{pool: pool, tables: tables, fixed: newFixed(tables)}, nil
}

// Open returns a store with a pool of its own, which [Store.Close] closes. The data source name is a URL or a list of
// parameters as [pgxpool.ParseConfig] reads them, those of the pool included. It does not connect; see [Store.Ping].
//
// It returns an error where the data source name or an option is invalid.
func Open(ctx context.Context, dsn string, opts ...Option) (*Store, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("pgstore: %w", err)
	}
	s, err := New(pool, opts...)
	if err != nil {
		pool.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// Pool returns the pool that the store uses: the one given to [New], or made by [Open] and then to be closed with the
// store alone.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close closes the pool if [Open] made it, after the calls that are under way. The pool given to [New] stays open.
func (s *Store) Close() {
	if s.owned {
		s.pool.Close()
	}
}

// Ping implements [store.Store]: it connects to the server if there is no connection yet, and asks it something. It does
// not look at the tables.
func (s *Store) Ping(ctx context.Context) error {
	return wrap("ping", s.run(ctx, read, statement{sql: "SELECT 1"}))
}
