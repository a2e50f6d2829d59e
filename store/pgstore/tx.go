package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// membership is what a context carries whose calls belong to a transaction.
type membership struct {
	tx   pgx.Tx
	pool *pgxpool.Pool // whose stores the transaction is for; nil where the service says so itself
	turn chan struct{} // holds a token while a call uses the transaction, which can serve one at a time
}

type membershipKey struct{}

func withMembership(ctx context.Context, tx pgx.Tx, pool *pgxpool.Pool) context.Context {
	return context.WithValue(ctx, membershipKey{}, &membership{tx: tx, pool: pool, turn: make(chan struct{}, 1)})
}

// WithTx returns a context with which calls of a Store, and so of an engine on it, are part of the service's
// transaction: what they write is seen by others when the service commits it and never if the service rolls it back.
// A transaction of database/sql can be had as a pgx.Tx by way of stdlib's Conn.Raw.
//
// The transaction must be one of the database in which the store's tables are, and be open for as long as calls are
// made with the context. Every Store called with the context joins it. Calls from several goroutines take turns.
//
// Each call that writes does so under a savepoint, in the same round trip. If it is refused or fails it leaves nothing
// behind and the transaction can go on, at the cost of one more round trip; only where its context ended or the
// connection broke is the transaction lost. A call is not repeated where it lost against another transaction: the error
// (SQLSTATE 40001 or 40P01) is the service's to handle, by repeating all of its own. Rows that a call has written or
// locked stay locked until the transaction ends, so others who want to change the same user wait for it.
//
// What an engine tells to others, as events and metrics, it tells when a call returns, before the commit.
func WithTx(ctx context.Context, tx pgx.Tx) context.Context { return withMembership(ctx, tx, nil) }

// TxFrom returns the transaction that the context carries: the one given to [WithTx] or, in a callback
// [store.NewUser].Within and so in the hook Hooks.UserCreated of an engine, the one in which the user is created. What
// the callback does with it stands or falls with the sign-up. It must not end it. The store's own transaction is at READ
// COMMITTED, whatever the connection's default.
func TxFrom(ctx context.Context) (pgx.Tx, bool) {
	m, ok := ctx.Value(membershipKey{}).(*membership)
	if !ok {
		return nil, false
	}
	return m.tx, true
}

// joined returns the transaction that a call with ctx is part of, or nil. A callback of a store that calls another
// store, on another pool, does not take its transaction along: that could lead to the wrong database.
func (s *Store) joined(ctx context.Context) *membership {
	m, ok := ctx.Value(membershipKey{}).(*membership)
	if !ok || m.pool != nil && m.pool != s.pool {
		return nil
	}
	return m
}

// Joined implements [store.Store].
func (s *Store) Joined(ctx context.Context) bool { return s.joined(ctx) != nil }

// take waits until nobody else uses the transaction. The function it returns gives it back.
func (m *membership) take(ctx context.Context) (func(), error) {
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// statement is one statement of an operation, with what reads its result. An operation may be repeated, and then scan is
// called again.
type statement struct {
	sql  string
	args []any
	scan func(pgx.Rows) error // nil where the result does not matter
}

// access says what statements do to the database.
type access int

const (
	read access = iota
	write
)

// run sends the statements of an operation in one round trip and reads their results. They happen all or not at all.
//
// Several statements that are sent together without a BEGIN are one transaction: the server commits when it comes to the
// Sync message behind the last (PostgreSQL documentation, §55.2.3 "Extended Query"), and skips what follows an error. At
// READ COMMITTED each has a snapshot of its own, taken when it starts. That is why a change that must see what was
// committed while it waited for a lock takes the lock in one statement and looks in the next.
func (s *Store) run(ctx context.Context, a access, statements ...statement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := s.joined(ctx)
	if m == nil {
		return s.repeat(ctx, func() error { return send(ctx, s.pool, statements) })
	}
	release, err := m.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	if a == read {
		return send(ctx, m.tx, statements)
	}
	return sendGuarded(ctx, m.tx, statements)
}

// attempts is how often an operation is tried that loses against others.
const attempts = 10

// repeat calls do again as long as it loses against another transaction, after a pause that grows and is random, so that
// those who collided do not do so again.
func (s *Store) repeat(ctx context.Context, do func() error) error {
	pause := 2 * time.Millisecond
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == attempts || !passes(err) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w while waiting to repeat after: %w", ctx.Err(), err)
		}
		pause = min(2*pause, 250*time.Millisecond)
	}
}

// passes says whether err is one after which nothing has happened and the same may well succeed: a lost collision, or a
// connection that turned out to be dead before anything was sent on it.
func passes(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code == "40001" || pgErr.Code == "40P01" // serialization_failure, deadlock_detected
	}
	var connect *pgconn.ConnectError
	return pgconn.SafeToRetry(err) && !errors.As(err, &connect)
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func send(ctx context.Context, q querier, statements []statement) error {
	if len(statements) > 1 {
		return q.SendBatch(ctx, batchOf(statements)).Close()
	}
	// The error is in rows, too.
	rows, _ := q.Query(ctx, statements[0].sql, statements[0].args...)
	defer rows.Close()
	if scan := statements[0].scan; scan != nil {
		if err := scan(rows); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

func batchOf(statements []statement) *pgx.Batch {
	b := &pgx.Batch{}
	queue(b, statements)
	return b
}

func queue(b *pgx.Batch, statements []statement) {
	for _, st := range statements {
		queued := b.Queue(st.sql, st.args...)
		if st.scan != nil {
			queued.Query(st.scan)
		}
	}
}

const savepoint = "auth_pgstore"

// sendGuarded sends the statements such that an error among them does not end the transaction.
func sendGuarded(ctx context.Context, tx pgx.Tx, statements []statement) error {
	b := &pgx.Batch{}
	b.Queue("SAVEPOINT " + savepoint)
	queue(b, statements)
	b.Queue("RELEASE SAVEPOINT " + savepoint)
	err := tx.SendBatch(ctx, b).Close()
	if err == nil || errors.Is(err, pgx.ErrTxClosed) || tx.Conn().IsClosed() {
		return err
	}
	// By the simple protocol, because in a failed transaction the server prepares nothing that does not end it.
	const undo = "ROLLBACK TO SAVEPOINT " + savepoint + "; RELEASE SAVEPOINT " + savepoint
	if _, undoErr := tx.Exec(ctx, undo, pgx.QueryExecModeSimpleProtocol); undoErr != nil {
		return fmt.Errorf("%w; and to roll back to the savepoint: %w", err, undoErr)
	}
	return err
}

// runWithin is run with a callback between the statements and the commit. If proceed, which is asked before, returns an
// error then that is the result and the callback is not called. The operation is not repeated once the callback was
// called.
func (s *Store) runWithin(
	ctx context.Context, statements []statement, proceed func() error, callback func(context.Context) error,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := s.joined(ctx)
	if m == nil {
		called := false
		var final error // of the callback or after it
		err := s.repeat(ctx, func() error {
			err := s.transact(ctx, statements, func(tx pgx.Tx) error {
				if err := proceed(); err != nil {
					return err
				}
				called = true
				return callback(withMembership(ctx, tx, s.pool))
			})
			if called {
				final = err
				return nil
			}
			return err
		})
		if called {
			return final
		}
		return err
	}

	release, err := m.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	nested, err := m.tx.Begin(ctx)
	if err != nil {
		return err
	}
	defer rollBack(ctx, nested)
	if err := send(ctx, nested, statements); err != nil {
		return err
	}
	if err := proceed(); err != nil {
		return err
	}
	if err := callback(withMembership(ctx, nested, m.pool)); err != nil {
		return err
	}
	return nested.Commit(ctx)
}

// transact sends the statements along with a BEGIN, and commits if next returns no error.
func (s *Store) transact(ctx context.Context, statements []statement, next func(pgx.Tx) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	b := &pgx.Batch{}
	// The store needs no more than READ COMMITTED, where nobody loses once the statements have succeeded. At another level
	// the callback or the commit still could, and the callback cannot be called again.
	b.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	queue(b, statements)
	results := conn.SendBatch(ctx, b)
	tx := results.Tx()
	if tx == nil {
		return results.Close()
	}
	defer rollBack(ctx, tx)
	if err := results.Close(); err != nil {
		return err
	}
	if err := next(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// rollBack rolls tx back unless it has ended. A context that is done does not keep it from that, for then the connection
// would have to be closed.
func rollBack(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	// Where this fails the connection is closed, and the server rolls back.
	_ = tx.Rollback(ctx)
}
