package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

// wire counts the round trips on the connections of a pool: how often something was sent after something was received.
type wire struct {
	trips atomic.Int64
	// deaf is how many of the next writes fail without sending anything, as on a connection that is dead.
	deaf atomic.Int64
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: conn, wire: w}
	c.received.Store(true)
	return c, nil
}

type wireConn struct {
	net.Conn
	wire     *wire
	received atomic.Bool
}

func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.received.Store(true)
	}
	return n, err
}

func (c *wireConn) Write(b []byte) (int, error) {
	if c.wire.deaf.Add(-1) >= 0 {
		_ = c.Conn.Close()
		return 0, errors.New("the connection is dead")
	}
	if c.received.Swap(false) {
		c.wire.trips.Add(1)
	}
	return c.Conn.Write(b)
}

// watched returns a pool of one connection whose round trips are counted.
func watched(t testing.TB, w *wire, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	return open(t, append(change, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.DialFunc = w.dial
		c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	})...)
}

// Every operation that succeeds is one round trip, also in a transaction of the service.
func TestOperationsKeepTheirBudgetOfRoundTrips(t *testing.T) {
	t.Parallel()
	for name, set := range settings {
		if name != "prepared statements" && name != "statements without a name" {
			continue
		}
		t.Run("with "+name, func(t *testing.T) {
			t.Parallel()
			var w wire
			pool := watched(t, &w, func(c *pgxpool.Config) { set(c.ConnConfig) })
			s := newStore(t, pool)
			for _, op := range operations {
				count := func(t *testing.T, ctx context.Context, guard int64) {
					// The first call may prepare statements.
					for warm := range 2 {
						call, want := op.ready(t, within(ctx, s))
						before := w.trips.Load()
						if err := call(ctx); !errors.Is(err, want) {
							t.Fatalf("%s: got %v, want %v", op.name, err, want)
						}
						if got := w.trips.Load() - before; warm == 1 && got > int64(op.trips)+guard {
							t.Errorf("%s took %d round trips, want %d", op.name, got, int64(op.trips)+guard)
						}
					}
				}
				t.Run(op.name, func(t *testing.T) { count(t, t.Context(), 0) })
				t.Run(op.name+", in a transaction", func(t *testing.T) {
					var guard int64
					if strings.Contains(op.name, "taken") || strings.Contains(op.name, "work inside") {
						guard = 1 // to roll back to the savepoint, or to begin with one
					}
					err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
						count(t, pgstore.WithTx(t.Context(), tx), guard)
						return nil
					})
					must(t, err)
				})
			}
		})
	}
}

// within returns a store whose calls with another context than ctx are made with it.
func within(ctx context.Context, s store.Store) store.Store { return &contextStore{s, ctx} }

// contextStore makes what an operation needs, within the transaction of a context.
type contextStore struct {
	store.Store
	ctx context.Context
}

func (c *contextStore) CreateUser(_ context.Context, n store.NewUser) (store.User, error) {
	return c.Store.CreateUser(c.ctx, n)
}

func (c *contextStore) ChangeUser(_ context.Context, u store.UserChange) (store.User, error) {
	return c.Store.ChangeUser(c.ctx, u)
}

func (c *contextStore) Trail(_ context.Context, from int64, limit int) ([]byte, []store.Event, error) {
	return c.Store.Trail(c.ctx, from, limit)
}

func (c *contextStore) AppendEvents(_ context.Context, a store.Append) ([]byte, bool, error) {
	return c.Store.AppendEvents(c.ctx, a)
}

func (c *contextStore) PutTicket(_ context.Context, t store.Ticket) error {
	return c.Store.PutTicket(c.ctx, t)
}

func (c *contextStore) RotateSession(_ context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	return c.Store.RotateSession(c.ctx, r)
}

func TestAConnectionFoundDeadBeforeAnythingWasSentIsNoError(t *testing.T) {
	t.Parallel()
	var w wire
	s := newStore(t, watched(t, &w))
	n := create(t, s)
	w.deaf.Store(1)
	if _, err := s.RotateSession(t.Context(), present(n.Session.ID, 0)); err != nil {
		t.Errorf("after the connection had died: %v", err)
	}
}

// However many rows there are, no operation looks at more than a few; the count of the outbox looks once at each of its own.
func TestNoOperationLooksAtManyRows(t *testing.T) {
	t.Parallel()
	const many, few = 2000, 20
	pool := open(t)
	schema := newSchemaWithTables(t, pool)
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	must(t, err)
	must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		ctx := pgstore.WithTx(t.Context(), tx)
		var head []byte
		for i := range many {
			n := store.NewUser{User: newUser(), Identity: newIdentity(), SecurityKey: newKey(), Session: newSession()}
			n.User.Anonymous = true
			later := newMessage()
			later.NextAt = base.Add(time.Hour)
			n.Ticket, n.Messages = newTicket(uuid.Nil), []store.Message{later}
			_, err := s.CreateUser(ctx, n)
			must(t, err)
			_, err = s.ChangeUser(ctx, store.UserChange{UserID: n.User.ID, Now: base, PAT: newPAT()})
			must(t, err)
			event := store.Event{
				Seq: int64(i) + 1, ID: uuid.New(), At: base.Add(time.Duration(i) * time.Second), UserID: n.User.ID, Type: fmt.Sprint(i),
			}
			a := store.Append{After: head, Head: newHash(), Events: []store.Event{event}}
			head, _, err = s.AppendEvents(ctx, a)
			must(t, err)
		}
		return nil
	}))
	rows, err := pool.Query(t.Context(), "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'", schema)
	must(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	for _, table := range tables {
		_, err := pool.Exec(t.Context(), "VACUUM ANALYZE "+pgx.Identifier{schema, table}.Sanitize())
		must(t, err)
	}
	for _, op := range operations {
		call, want := op.ready(t, s)
		must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			ctx := pgstore.WithTx(t.Context(), tx)
			// The server's counters go on from those of transactions before.
			before := read(t, tx, schema)
			if err := call(ctx); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", op.name, err, want)
			}
			most := few
			if op.name == "Outbox" {
				most += many // it counts, and where rows are as short as here, not by the index
			}
			for table, n := range read(t, tx, schema) {
				if n -= before[table]; n > most {
					t.Errorf("%s looks at %d rows of %s", op.name, n, table)
				}
			}
			return nil
		}))
	}
}

// read returns how many rows of each table of a schema the connection of tx has read.
func read(t *testing.T, tx pgx.Tx, schema string) map[string]int {
	t.Helper()
	rows, err := tx.Query(t.Context(), `SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
		FROM pg_stat_xact_user_tables WHERE schemaname = $1`, schema)
	must(t, err)
	counts := map[string]int{}
	var table string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&table, &n}, func() error {
		counts[table] = n
		return nil
	})
	must(t, err)
	return counts
}
