package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// service is a service with a table of its own beside the realm's.
type service struct {
	*sqlitestore.Store
	t *testing.T
}

// services are the ways in which a service and a store may share a database.
func services(t *testing.T, test func(t *testing.T, s service), opts ...sqlitestore.Option) {
	for name, openStore := range map[string]func(t *testing.T) *sqlitestore.Store{
		"a file": func(t *testing.T) *sqlitestore.Store {
			return open(t, filepath.Join(t.TempDir(), "auth.db"), opts...)
		},
		"memory": func(t *testing.T) *sqlitestore.Store {
			return open(t, sqlitestore.Memory, opts...)
		},
		"the service's database": func(t *testing.T) *sqlitestore.Store {
			return join(t, opts...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t)
			if _, err := s.DB().Exec("CREATE TABLE profiles (id BLOB PRIMARY KEY)"); err != nil {
				t.Fatal(err)
			}
			test(t, service{s, t})
		})
	}
}

// join makes a store of a database with many connections, whose transactions begin as deferred.
func join(t testing.TB, opts ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	return joinFile(t, filepath.Join(t.TempDir(), "app.db"), opts...)
}

func joinFile(t testing.TB, path string, opts ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := sqlitestore.Migrate(t.Context(), db, opts...); err != nil {
		t.Fatal(err)
	}
	s, err := sqlitestore.New(t.Context(), db, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s service) begin() (context.Context, *sql.Tx) {
	s.t.Helper()
	tx, err := s.DB().BeginTx(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { tx.Rollback() })
	return sqlitestore.WithTx(s.t.Context(), tx), tx
}

func (s service) addProfile(tx *sql.Tx, id uuid.UUID) {
	s.t.Helper()
	if _, err := tx.Exec("INSERT INTO profiles (id) VALUES (?)", id[:]); err != nil {
		s.t.Error(err)
	}
}

// has fails the test unless the user and the profile are there, or neither is.
func (s service) has(id uuid.UUID, want bool) {
	s.t.Helper()
	_, err := s.User(s.t.Context(), store.UserQuery{ID: id, Now: start})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.t.Fatal(err)
	}
	if got := err == nil; got != want {
		s.t.Errorf("the user is there: %t, want %t", got, want)
	}
	var n int
	if err := s.DB().QueryRow("SELECT count(*) FROM profiles WHERE id = ?", id[:]).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	if got := n == 1; got != want {
		s.t.Errorf("the profile is there: %t, want %t", got, want)
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func TestOperationsAreCommittedWithTheServicesTransaction(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		ctx, tx := s.begin()
		u, err := s.CreateUser(ctx, store.NewUser{User: newUser()})
		wants(t, err, nil)
		s.addProfile(tx, u.ID)
		if a, err := s.User(ctx, store.UserQuery{ID: u.ID, Now: start, With: store.WithSessions}); err != nil || a.ID != u.ID {
			t.Errorf("the transaction does not see its user: %v", err)
		}
		wants(t, tx.Commit(), nil)
		s.has(u.ID, true)
		_, err = s.CreateUser(ctx, store.NewUser{User: newUser()})
		wants(t, err, sql.ErrTxDone)
	})
}

func TestOperationsAreRolledBackWithTheServicesTransaction(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		ctx, tx := s.begin()
		u, err := s.CreateUser(ctx, store.NewUser{User: newUser()})
		wants(t, err, nil)
		s.addProfile(tx, u.ID)
		wants(t, tx.Rollback(), nil)
		s.has(u.ID, false)
	})
}

func TestAFailedOperationLeavesTheServicesTransactionAsItWas(t *testing.T) { // W26
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		first, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), SecurityKey: &store.SecurityKey{CredentialID: []byte("taken")}})
		wants(t, err, nil)
		ctx, tx := s.begin()
		u, err := s.CreateUser(ctx, store.NewUser{User: newUser()})
		wants(t, err, nil)

		// The user is written before the key that is taken.
		half := newUser()
		_, err = s.CreateUser(ctx, store.NewUser{User: half, SecurityKey: &store.SecurityKey{ID: uuid.New(), CredentialID: []byte("taken")}})
		wants(t, err, store.ErrConflict{Field: store.FieldCredential})
		_, err = s.User(ctx, store.UserQuery{ID: half.ID, Now: start})
		wants(t, err, store.ErrNotFound)
		_, err = s.ChangeUser(ctx, store.UserChange{UserID: first.ID, Now: start, If: store.Conditions{Epoch: 9}})
		wants(t, err, store.ErrUnmet{Condition: store.ConditionEpoch})
		wants(t, s.PutTicket(ctx, store.Ticket{UserID: uuid.New()}), store.ErrNotFound)
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		_, err = s.EndSessions(canceled, uuid.Nil)
		wants(t, err, context.Canceled)

		s.addProfile(tx, u.ID)
		wants(t, tx.Commit(), nil)
		s.has(u.ID, true)
		s.has(half.ID, false)
	})
}

func TestTheServicesRowsStandOrFallWithTheSignUp(t *testing.T) { // W26
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		refusal := errors.New("refused")
		for _, want := range []error{nil, refusal} {
			n := store.NewUser{User: newUser(), Within: func(ctx context.Context, u store.User) error {
				tx, ok := sqlitestore.TxFrom(ctx)
				if !ok {
					t.Fatal("the context of the callback carries no transaction")
				}
				s.addProfile(tx, u.ID)
				return want
			}}
			_, err := s.CreateUser(t.Context(), n)
			wants(t, err, want)
			s.has(n.User.ID, want == nil)
		}
		if _, ok := sqlitestore.TxFrom(t.Context()); ok {
			t.Error("a context from elsewhere carries a transaction")
		}
	})
}

func TestAPanicInACallbackUndoesTheSignUp(t *testing.T) { // ST-24
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		n := store.NewUser{User: newUser()}
		n.Within = func(ctx context.Context, u store.User) error {
			tx, _ := sqlitestore.TxFrom(ctx)
			s.addProfile(tx, u.ID)
			panic("oops")
		}
		signUp := func(ctx context.Context) {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			s.CreateUser(ctx, n)
		}
		signUp(t.Context())
		s.has(n.User.ID, false)

		ctx, tx := s.begin()
		signUp(ctx)
		wants(t, tx.Commit(), nil)
		s.has(n.User.ID, false)
	})
}

func TestAContextThatEndsWithinUndoesTheSignUp(t *testing.T) { // ST-17
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		signUp := func(ctx context.Context) uuid.UUID {
			ctx, cancel := context.WithCancel(ctx)
			n := store.NewUser{User: newUser()}
			n.Within = func(ctx context.Context, u store.User) error {
				tx, _ := sqlitestore.TxFrom(ctx)
				s.addProfile(tx, u.ID)
				cancel()
				return nil
			}
			_, err := s.CreateUser(ctx, n)
			wants(t, err, context.Canceled)
			return n.User.ID
		}
		s.has(signUp(t.Context()), false)

		ctx, tx := s.begin()
		undone := signUp(ctx)
		u, err := s.CreateUser(ctx, store.NewUser{User: newUser()})
		wants(t, err, nil)
		s.addProfile(tx, u.ID)
		wants(t, tx.Commit(), nil)
		s.has(undone, false)
		s.has(u.ID, true)
	})
}

// If the callback went on with a transaction that SQLite has given up, its statements would be committed one by one.
func TestATransactionThatSQLiteGaveUpIsOver(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		ctx, tx := s.begin()
		n := store.NewUser{User: newUser(), Within: func(ctx context.Context, u store.User) error {
			tx, _ := sqlitestore.TxFrom(ctx)
			_, err := tx.Exec("ROLLBACK") // as SQLite itself does on a full disk
			return err
		}}
		if _, err := s.CreateUser(ctx, n); err == nil {
			t.Error("CreateUser returns no error")
		}
		_, err := tx.Exec("INSERT INTO profiles (id) VALUES (?)", n.User.ID[:])
		wants(t, err, sql.ErrTxDone)
		s.has(n.User.ID, false)

		if _, err := s.CreateUser(t.Context(), n); err == nil {
			t.Error("CreateUser returns no error")
		}
		s.has(n.User.ID, false)
	})
}

func TestNothingIsCommittedInATransactionThatSQLiteGaveUpBefore(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		ctx, tx := s.begin()
		lost, err := s.CreateUser(ctx, store.NewUser{User: newUser()})
		wants(t, err, nil)
		_, err = tx.Exec("ROLLBACK") // as SQLite itself does when a write is interrupted
		wants(t, err, nil)
		u := newUser()
		_, err = s.CreateUser(ctx, store.NewUser{User: u})
		wants(t, err, sql.ErrTxDone)
		wants(t, tx.Commit(), sql.ErrTxDone)
		s.has(lost.ID, false)
		s.has(u.ID, false)

		n := store.NewUser{User: newUser(), Within: func(ctx context.Context, _ store.User) error {
			tx, _ := sqlitestore.TxFrom(ctx)
			_, err := tx.Exec("ROLLBACK")
			wants(t, err, nil)
			_, err = s.CreateUser(ctx, store.NewUser{User: u})
			wants(t, err, sql.ErrTxDone)
			return nil
		}}
		if _, err := s.CreateUser(t.Context(), n); err == nil {
			t.Error("CreateUser returns no error")
		}
		s.has(n.User.ID, false)
		s.has(u.ID, false)
	})
}

func TestACallbackThatWaitsForItsOwnSignUpIsToldSo(t *testing.T) { // ST-18
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Within: func(context.Context, store.User) error {
			return s.PutTicket(t.Context(), store.Ticket{}) // the wrong context
		}})
		wants(t, err, sqlitestore.ErrBusy)

		ctx, tx := s.begin()
		_, err = s.CreateUser(ctx, store.NewUser{User: newUser(), Within: func(context.Context, store.User) error {
			return s.PutTicket(ctx, store.Ticket{})
		}})
		wants(t, err, sqlitestore.ErrBusy)
		wants(t, tx.Rollback(), nil)
		wants(t, s.PutTicket(t.Context(), store.Ticket{}), nil)
	}, sqlitestore.BusyTimeout(100*time.Millisecond))
}

func TestTheContextOfACallbackEndsWithIt(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		check := func(ctx context.Context) {
			var kept context.Context
			_, err := s.CreateUser(ctx, store.NewUser{User: newUser(), Within: func(ctx context.Context, _ store.User) error {
				kept = ctx
				return nil
			}})
			wants(t, err, nil)
			if err := s.PutTicket(kept, store.Ticket{}); err == nil {
				t.Error("the context of the callback outlives it")
			}
		}
		check(t.Context())
		ctx, _ := s.begin()
		check(ctx)
	})
}

func TestACallbackMayCallAStoreOnAnotherDatabase(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		other := open(t, sqlitestore.Memory)
		u := newUser()
		_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Within: func(ctx context.Context, _ store.User) error {
			_, err := other.CreateUser(ctx, store.NewUser{User: u})
			return errors.Join(err, errors.New("refused"))
		}})
		if err == nil {
			t.Error("the sign-up was not refused")
		}
		_, err = other.User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
		wants(t, err, nil)

		ctx, _ := s.begin()
		if _, err := other.User(ctx, store.UserQuery{ID: u.ID, Now: start}); err == nil {
			t.Error("a store joined a transaction of another database")
		}
	})
}

func TestOneTransactionServesManyGoroutines(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		taken, err := s.CreateUser(t.Context(), store.NewUser{User: newUser()})
		wants(t, err, nil)
		ctx, tx := s.begin()
		var wg sync.WaitGroup
		ids := make([]uuid.UUID, 20)
		for i := range ids {
			n := store.NewUser{User: newUser()}
			ids[i] = n.User.ID
			if i%2 == 0 {
				n.User.EmailKey = taken.EmailKey // must undo nothing of the others
			}
			wg.Go(func() {
				_, err := s.CreateUser(ctx, n)
				if want := error(store.ErrConflict{Field: store.FieldEmail}); i%2 == 0 {
					wants(t, err, want)
				} else {
					wants(t, err, nil)
				}
			})
		}
		wg.Wait()
		for i, id := range ids {
			if i%2 == 1 {
				s.addProfile(tx, id)
			}
		}
		wants(t, tx.Commit(), nil)
		for i, id := range ids {
			s.has(id, i%2 == 1)
		}
	})
}

// An operation that fails takes back what was done since its savepoint, which must not be anything of another one.
func TestAnOperationWaitsForTheOneThatHasTheTransaction(t *testing.T) { // W26
	t.Parallel()
	services(t, func(t *testing.T, s service) {
		ctx, tx := s.begin()
		u := newUser()
		second := make(chan error, 1)
		_, err := s.CreateUser(ctx, store.NewUser{User: newUser(), Within: func(context.Context, store.User) error {
			go func() {
				_, err := s.CreateUser(ctx, store.NewUser{User: u})
				second <- err
			}()
			select {
			case err := <-second:
				t.Error("the second operation did not wait for the first")
				second <- err
			case <-time.After(50 * time.Millisecond):
			}
			return errors.New("refused")
		}})
		if err == nil {
			t.Error("the first operation did not fail")
		}
		wants(t, <-second, nil)
		s.addProfile(tx, u.ID)
		wants(t, tx.Commit(), nil)
		s.has(u.ID, true)
	})
}

// Two processes whose transactions begin as deferred: without the lock, who has read before the other wrote could not
// write any more.
func TestStoresOfDeferredTransactionsTakeTurns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	stores := []*sqlitestore.Store{joinFile(t, path), joinFile(t, path)}
	u, err := stores[0].CreateUser(t.Context(), store.NewUser{User: newUser()})
	wants(t, err, nil)
	const changes = 50
	var wg sync.WaitGroup
	for _, s := range stores {
		for range 2 {
			wg.Go(func() {
				for range changes {
					_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: start, Drop: store.Drop{Sessions: true}})
					wants(t, err, nil)
				}
			})
		}
	}
	wg.Wait()
	a, err := stores[0].User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
	wants(t, err, nil)
	if want := int64(1 + 4*changes); a.Epoch != want {
		t.Errorf("the epoch is %d, want %d: a change was lost", a.Epoch, want)
	}
}

func TestSeveralRealmsLiveInOneDatabase(t *testing.T) {
	t.Parallel()
	a := open(t, filepath.Join(t.TempDir(), "auth.db"))
	if err := sqlitestore.Migrate(t.Context(), a.DB(), sqlitestore.Prefix("b_")); err != nil {
		t.Fatal(err)
	}
	b, err := sqlitestore.New(t.Context(), a.DB(), sqlitestore.Prefix("b_"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	u := newUser()
	for _, s := range []*sqlitestore.Store{a, b} {
		_, err := s.User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
		wants(t, err, store.ErrNotFound)
		_, err = s.CreateUser(t.Context(), store.NewUser{User: u})
		wants(t, err, nil)
		_, err = s.CreateUser(t.Context(), store.NewUser{User: u})
		wants(t, err, store.ErrConflict{Field: store.FieldEmail})
	}
	wants(t, b.DeleteUser(t.Context(), store.UserDeletion{UserID: u.ID}), nil)
	_, err = a.User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
	wants(t, err, nil)
}

func TestWaitingForAnotherWriterEnds(t *testing.T) { // ST-18
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	other := open(t, path) // another process would do the same
	s := open(t, path, sqlitestore.BusyTimeout(300*time.Millisecond))
	u := newUser()
	_, err := s.CreateUser(t.Context(), store.NewUser{User: u})
	wants(t, err, nil)

	tx, err := other.DB().BeginTx(t.Context(), nil)
	wants(t, err, nil)
	wants(t, s.PutTicket(t.Context(), store.Ticket{}), sqlitestore.ErrBusy)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	wants(t, s.PutTicket(short, store.Ticket{}), context.DeadlineExceeded)
	_, err = s.User(t.Context(), store.UserQuery{ID: u.ID, Now: start, With: store.WithSessions})
	wants(t, err, nil)

	done := make(chan error)
	go func() { done <- s.PutTicket(t.Context(), store.Ticket{}) }()
	wants(t, tx.Rollback(), nil)
	wants(t, <-done, nil)
}

// SQLite closes a connection that was interrupted, and with the last one a database in memory is gone.
func TestMemorySurvivesAnInterruptedStatement(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Memory)
	u := newUser()
	_, err := s.CreateUser(t.Context(), store.NewUser{User: u})
	wants(t, err, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var n int
	err = s.DB().QueryRowContext(ctx, "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c").Scan(&n)
	wants(t, err, context.DeadlineExceeded)
	_, err = s.User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
	wants(t, err, nil)
}
