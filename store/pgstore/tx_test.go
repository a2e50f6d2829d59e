package pgstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

var errRefused = errors.New("refused")

func exists(t *testing.T, s store.Store, user uuid.UUID) bool {
	t.Helper()
	_, err := s.User(t.Context(), store.UserQuery{ID: user, Now: base})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestCallsOfATransactionStandOrFallWithIt(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	for name, end := range map[string]error{"commit": nil, "rollback": errRefused} {
		t.Run(name, func(t *testing.T) {
			n := store.NewUser{User: newUser(), Session: newSession()}
			ticket := newTicket(n.User.ID)
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				ctx := pgstore.WithTx(t.Context(), tx)
				if got, ok := pgstore.TxFrom(ctx); !ok || got != tx {
					t.Errorf("TxFrom returns %v, %t", got, ok)
				}
				_, err := s.CreateUser(ctx, n)
				must(t, err)
				must(t, s.PutTicket(ctx, *ticket))
				if _, err = s.User(ctx, store.UserQuery{ID: n.User.ID, Now: base}); err != nil {
					t.Errorf("the transaction does not see its user: %v", err)
				}
				if exists(t, s, n.User.ID) {
					t.Error("others see the user before the commit")
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			if got := exists(t, s, n.User.ID); got != (end == nil) {
				t.Errorf("the user is there afterwards: %t", got)
			}
			if _, err := s.TakeTicket(t.Context(), bySecret(ticket)); (err == nil) != (end == nil) {
				t.Errorf("the ticket afterwards: %v", err)
			}
		})
	}
}

func TestARefusedCallDoesNotEndTheTransaction(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	taken := create(t, s)
	first, second := store.NewUser{User: newUser()}, store.NewUser{User: newUser()}
	colliding := store.NewUser{User: newUser(), Session: newSession()}
	colliding.User.EmailKey = taken.User.EmailKey
	must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		ctx := pgstore.WithTx(t.Context(), tx)
		_, err := s.CreateUser(ctx, first)
		must(t, err)
		for range 2 {
			if _, err := s.CreateUser(ctx, colliding); !errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) {
				t.Errorf("got %v", err)
			}
		}
		identity := *taken.Identity
		_, err = s.ChangeUser(ctx, store.UserChange{UserID: first.User.ID, Now: base, Identity: &identity, Session: newSession()})
		if !errors.Is(err, store.ErrConflict{Field: store.FieldIdentity}) {
			t.Errorf("got %v", err)
		}
		_, err = s.ChangeUser(ctx, store.UserChange{UserID: first.User.ID, Now: base, Redeem: uuid.New(), Session: newSession()})
		if !errors.Is(err, store.ErrUnmet{Condition: store.ConditionTicket}) {
			t.Errorf("got %v", err)
		}
		colliding.Within = func(context.Context, store.User) error {
			t.Error("Within was called")
			return nil
		}
		if _, err := s.CreateUser(ctx, colliding); !errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) {
			t.Errorf("got %v", err)
		}
		_, err = s.CreateUser(ctx, second)
		return err
	}))
	for _, n := range []store.NewUser{first, second} {
		if a := find(t, s, n.User.ID); len(a.Sessions)+len(a.Identities) != 0 {
			t.Errorf("a call that was refused has left something: %+v", a)
		}
	}
	if exists(t, s, colliding.User.ID) {
		t.Error("the colliding user is there")
	}
}

func TestCallsOfATransactionTakeTurns(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	var ids []uuid.UUID
	must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		ctx := pgstore.WithTx(t.Context(), tx)
		var all sync.WaitGroup
		for range 20 {
			n := store.NewUser{User: newUser(), Session: newSession()}
			ids = append(ids, n.User.ID)
			all.Go(func() {
				if _, err := s.CreateUser(ctx, n); err != nil {
					t.Error(err)
				}
				if _, err := s.User(ctx, store.UserQuery{SessionID: n.Session.ID, Now: base}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return nil
	}))
	for _, id := range ids {
		if !exists(t, s, id) {
			t.Errorf("user %s is missing", id)
		}
	}
}

// profiles makes a table of the service, and returns how to add a user's row to it and how to look for one.
func profiles(t *testing.T, s *pgstore.Store) (add func(context.Context, uuid.UUID) error, has func(uuid.UUID) bool) {
	t.Helper()
	schema := newSchema(t, s.Pool())
	table := pgx.Identifier{schema, "profiles"}.Sanitize()
	_, err := s.Pool().Exec(t.Context(), "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
	must(t, err)
	// The name of the constraint is one of the store's.
	_, err = s.Pool().Exec(t.Context(), "CREATE TABLE "+table+" (id uuid, name text, CONSTRAINT users_email_key_key PRIMARY KEY (name))")
	must(t, err)
	add = func(ctx context.Context, id uuid.UUID) error {
		tx, ok := pgstore.TxFrom(ctx)
		if !ok {
			return errors.New("there is no transaction")
		}
		_, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1::text::uuid, $1::text)", id.String())
		return err
	}
	has = func(id uuid.UUID) bool {
		var n int
		must(t, s.Pool().QueryRow(t.Context(), "SELECT count(*) FROM "+table+" WHERE name = $1", id.String()).Scan(&n))
		return n > 0
	}
	return add, has
}

// A hook's rows and the user are there together or not at all.
func TestAHooksRowsStandOrFallWithTheUser(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	add, has := profiles(t, s)
	outside := func(do func(context.Context) error) error { return do(t.Context()) }
	inside := func(do func(context.Context) error) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return do(pgstore.WithTx(t.Context(), tx)) })
	}
	for name, transaction := range map[string]func(func(context.Context) error) error{
		"alone": outside, "in a transaction of the service": inside,
	} {
		for how, end := range map[string]error{"accepted": nil, "refused": errRefused} {
			t.Run(name+", "+how, func(t *testing.T) {
				n := store.NewUser{User: newUser()}
				var late context.Context
				n.Within = func(ctx context.Context, u store.User) error {
					late = ctx
					must(t, add(ctx, u.ID))
					return end
				}
				err := transaction(func(ctx context.Context) error {
					_, err := s.CreateUser(ctx, n)
					return err
				})
				if !errors.Is(err, end) {
					t.Errorf("got %v, want %v", err, end)
				}
				if has(n.User.ID) != (end == nil) || exists(t, s, n.User.ID) != (end == nil) {
					t.Errorf("profile: %t, user: %t", has(n.User.ID), exists(t, s, n.User.ID))
				}
				if _, err := s.User(late, store.UserQuery{ID: n.User.ID, Now: base}); !errors.Is(err, pgx.ErrTxClosed) {
					t.Errorf("a call with the callback's context, after it: %v", err)
				}
			})
		}
	}
	t.Run("an error of the hook's own is not the store's", func(t *testing.T) {
		n := store.NewUser{User: newUser()}
		n.Within = func(ctx context.Context, u store.User) error {
			return errors.Join(add(ctx, u.ID), add(ctx, u.ID))
		}
		_, err := s.CreateUser(t.Context(), n)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || errors.As(err, new(store.ErrConflict)) || exists(t, s, n.User.ID) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a hook that panics leaves nothing", func(t *testing.T) { // ST-24
		n := store.NewUser{User: newUser()}
		n.Within = func(ctx context.Context, u store.User) error {
			must(t, add(ctx, u.ID))
			panic("hook")
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = s.CreateUser(t.Context(), n)
		}()
		if has(n.User.ID) || exists(t, s, n.User.ID) {
			t.Error("something is left")
		}
		if in := pool.Stat().AcquiredConns(); in != 0 {
			t.Errorf("%d connections were not given back", in)
		}
	})
}

// The transaction of a callback is not taken to another pool, which may be of another database.
func TestACallbacksTransactionIsForStoresOnItsPool(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s, sibling, stranger := newStore(t, pool), newStore(t, pool), newStore(t, open(t))
	n, with, without := store.NewUser{User: newUser()}, store.NewUser{User: newUser()}, store.NewUser{User: newUser()}
	n.Within = func(ctx context.Context, _ store.User) error {
		_, err := sibling.CreateUser(ctx, with)
		must(t, err)
		_, err = stranger.CreateUser(ctx, without)
		must(t, err)
		return errRefused
	}
	if _, err := s.CreateUser(t.Context(), n); !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
	if exists(t, sibling, with.User.ID) {
		t.Error("the user of a store on the same pool was not rolled back")
	}
	if !exists(t, stranger, without.User.ID) {
		t.Error("the user of a store on another pool was rolled back")
	}
}

// The update of a refresh and of a sign-in stays within the page and writes no index, and the rows that a purge looks at
// are those that it has not looked at before.
func TestRotationsAndSignInsWriteNoIndex(t *testing.T) {
	t.Parallel()
	pool := open(t)
	schema := newSchemaWithTables(t, pool)
	s, err := pgstore.New(pool, pgstore.Schema(schema))
	must(t, err)
	n := create(t, s)
	must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		ctx := pgstore.WithTx(t.Context(), tx)
		for generation := range uint32(3) {
			_, err := s.RotateSession(ctx, present(n.Session.ID, generation))
			must(t, err)
			_, err = s.ChangeUser(ctx, store.UserChange{
				UserID: n.User.ID, Now: base, If: store.Conditions{Epoch: 1}, Session: newSession(), MaxSessions: 100,
			})
			must(t, err)
		}
		for _, table := range []string{"sessions", "users"} {
			var updates, hot int
			must(t, tx.QueryRow(ctx, `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables
				WHERE schemaname = $1 AND relname = $2`, schema, table).Scan(&updates, &hot))
			if updates != 3 || hot != updates {
				t.Errorf("%s: %d updates, %d of them without an index, want 3", table, updates, hot)
			}
		}
		return nil
	}))
}

func TestATransactionThatHasEndedIsAnError(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	// With a transaction that has ended, calls fail and do nothing.
	tx, err := pool.Begin(t.Context())
	must(t, err)
	must(t, tx.Rollback(t.Context()))
	ctx := pgstore.WithTx(t.Context(), tx)
	n := store.NewUser{User: newUser()}
	for range 2 {
		if _, err := s.CreateUser(ctx, n); !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("got %v, want %v", err, pgx.ErrTxClosed)
		}
		n.Within = func(context.Context, store.User) error { return nil }
	}
	if exists(t, s, n.User.ID) {
		t.Error("the user is there")
	}
}

// A purge goes by a time of its own, which must never be after the end of a session.
func TestASessionWhoseRotationIsTakenBackAfterAPurgeIsPurgedInTime(t *testing.T) {
	t.Parallel()
	s := newStore(t, open(t))
	v := create(t, s).Session
	r := present(v.ID, 0)
	r.Now = v.ExpiresAt.Add(-time.Minute)
	rotated, err := s.RotateSession(t.Context(), r)
	must(t, err)
	for _, want := range []int{0, 1} {
		n, err := s.Purge(t.Context(), store.Purge{Now: v.ExpiresAt, Limit: 10})
		must(t, err)
		if n != want {
			t.Errorf("%d rows were purged, want %d", n, want)
		}
		must(t, s.UnrotateSession(t.Context(), rotated))
	}
}
