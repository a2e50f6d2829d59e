package audit_test

import (
	"bytes"
	"context"
	"database/sql"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/ostiary/auth/conformance/internal/postgres"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

// place is a store, and a way to its rows that is not the engine's.
type place struct {
	store.Store
	// within calls do with the context of a transaction that is open meanwhile, and rolls it back; nil for the memory.
	within func(t *testing.T, do func(ctx context.Context))
	// overwrite makes a trail what it has never been.
	overwrite func(t *testing.T, v trail)
}

// trail is what the store has of the audit trail.
type trail struct {
	head   []byte
	events []store.Event
}

func (v trail) clone() trail {
	c := trail{bytes.Clone(v.head), append([]store.Event(nil), v.events...)}
	for i := range c.events {
		c.events[i].Link = bytes.Clone(c.events[i].Link)
	}
	return c
}

// look reads the trail as it is.
func (p place) look(t *testing.T) trail {
	t.Helper()
	head, events, err := p.Trail(t.Context(), math.MinInt64, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return trail{head, events}
}

// places calls test for each of the stores, empty.
func places(t *testing.T, test func(t *testing.T, p place)) {
	for name, open := range map[string]func(*testing.T) place{"memory": memory, "sqlite": sqlite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// overwritten is a store whose trail reads as somebody wants it to.
type overwritten struct {
	store.Store
	mu   sync.Mutex
	with *trail
}

func (o *overwritten) Trail(ctx context.Context, from int64, limit int) ([]byte, []store.Event, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.with == nil {
		return o.Store.Trail(ctx, from, limit)
	}
	var page []store.Event
	for _, e := range o.with.events {
		if e.Seq >= from && len(page) < limit {
			page = append(page, e)
		}
	}
	return o.with.head, page, nil
}

func memory(*testing.T) place {
	o := &overwritten{Store: memstore.New()}
	return place{Store: o, overwrite: func(_ *testing.T, v trail) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.with = &v
	}}
}

func sqlite(t *testing.T) place {
	s, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "auth.db"), sqlitestore.SyncNormal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return place{
		Store: s,
		overwrite: func(t *testing.T, v trail) {
			overwrite(t, s.DB(), "auth_", v, func(at time.Time) any { return at.UnixMicro() })
		},
		within: func(t *testing.T, do func(context.Context)) {
			tx, err := s.DB().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback() //nolint:errcheck // the test needs no more
			do(sqlitestore.WithTx(t.Context(), tx))
		},
	}
}

func onPostgres(t *testing.T) place {
	d := postgres.Open(t)
	db, err := sql.Open("pgx", d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return place{
		Store:     d.Store,
		overwrite: func(t *testing.T, v trail) { overwrite(t, db, d.Schema+".", v, func(at time.Time) any { return at }) },
		within: func(t *testing.T, do func(context.Context)) {
			tx, err := d.Pool.BeginTx(t.Context(), pgx.TxOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background()) //nolint:errcheck // the test needs no more
			do(pgstore.WithTx(t.Context(), tx))
		},
	}
}

// overwrite is what somebody does who has a password for the database.
func overwrite(t *testing.T, db *sql.DB, prefix string, v trail, instant func(time.Time) any) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // there is nothing to undo after the commit
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := tx.ExecContext(t.Context(), strings.ReplaceAll(query, "{t}", prefix), args...); err != nil {
			t.Fatal(err)
		}
	}
	id := func(u uuid.UUID) any {
		if u == uuid.Nil {
			return nil
		}
		if prefix == "auth_" {
			return u[:]
		}
		return u.String()
	}
	exec("DELETE FROM {t}events")
	for i := range v.events {
		e := &v.events[i]
		exec(`INSERT INTO {t}events (seq, id, at, type, user_id, session_id, address, method, code, detail, link)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			e.Seq, id(e.ID), instant(e.At), e.Type, id(e.UserID), id(e.SessionID), e.Address, e.Method, e.Code, e.Detail, e.Link)
	}
	exec("DELETE FROM {t}trail")
	if v.head != nil {
		exec("INSERT INTO {t}trail (one, head) VALUES (1, $1)", v.head)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
