package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// joined is a transaction that operations join.
type joined struct {
	tx   *sql.Tx
	db   *sql.DB       // whose stores it is for; nil where the service says so itself
	turn chan struct{} // holds a value while an operation uses the transaction
	over bool          // looked at in turn
}

// joinedKey is where a context carries its joined transaction.
type joinedKey struct{}

var errOver = errors.New("sqlitestore: the sign-up that this context belongs to is over")

// WithTx returns a context with which the operations of a store become part of tx: they see what it has done, and are
// committed or rolled back with it. That holds for a try that a wrong secret costs as well. An operation that fails
// leaves nothing behind and leaves tx as it was: each is put into a savepoint.
//
// Operations that are given the context at the same moment happen one after the other. The transaction must not be used
// beside them, nor ended before they have returned. It must be of the store's own [Store.DB]; the calls of a store on
// another database fail. If it was not begun as immediate (see [New]), it should not have read anything before, because
// SQLite refuses to let it write once somebody else has.
//
// SQLite gives up the whole transaction on a full disk, for example, or if a statement of the service that writes is
// interrupted. The operation that finds this out fails, and rolls tx back: what is done with it afterwards returns
// [sql.ErrTxDone] instead of being committed by itself.
func WithTx(ctx context.Context, tx *sql.Tx) context.Context {
	if j, ok := ctx.Value(joinedKey{}).(*joined); ok && j.tx == tx {
		return ctx
	}
	return context.WithValue(ctx, joinedKey{}, &joined{tx: tx, turn: make(chan struct{}, 1)})
}

// TxFrom returns the transaction that ctx carries: the one given to [WithTx], or within a
// [github.com/ostiary/auth/store.NewUser].Within callback that of the sign-up. The callback's own statements belong to
// the sign-up if they use it. It must not end it. Nor should it pass contexts to it that may be cancelled: an
// interrupted write is the end of the transaction, see WithTx.
func TxFrom(ctx context.Context) (*sql.Tx, bool) {
	j, ok := ctx.Value(joinedKey{}).(*joined)
	if !ok {
		return nil, false
	}
	return j.tx, true
}

// joined returns the transaction that an operation with ctx is part of, or nil. A callback of a store that calls one on
// another database does not take its transaction along.
func (s *Store) joined(ctx context.Context) *joined {
	j, ok := ctx.Value(joinedKey{}).(*joined)
	if !ok || j.db != nil && j.db != s.db {
		return nil
	}
	return j
}

// op is an operation under way.
type op struct {
	ctx   context.Context        // of the caller
	stmts *[statements]*sql.Stmt // of the database that the operation uses
	tx    *sql.Tx                // nil: a statement by itself, which reads
}

// write does something in one transaction: the caller's, or one that begins by taking the lock that one writer has at a
// time. So whatever do reads stays true while it runs. What it has written stays if it returns nil.
func (s *Store) write(ctx context.Context, do func(*op) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if j := s.joined(ctx); j != nil {
		return s.join(ctx, j, do)
	}
	wait, cancel := context.WithTimeoutCause(ctx, s.busy, ErrBusy)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-wait.Done():
		return waited(ctx)
	}
	conn, err := s.db.Conn(wait)
	if err != nil {
		return failed(ctx, wait, "waiting for a connection", err)
	}
	defer conn.Close()
	var tx *sql.Tx
	if err := poll(wait, func() (err error) {
		tx, err = s.begin(ctx, conn)
		return err
	}); err != nil {
		return failed(ctx, wait, "beginning a transaction", err)
	}
	// This does nothing after a commit. Panics of callbacks come by here, too.
	defer tx.Rollback()
	if err := do(&op{ctx, &s.writes, tx}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlitestore: committing: %w", err)
	}
	return nil
}

// begin begins a transaction that can write. The connections of a service may begin theirs as deferred: then the first
// statement takes the lock, which writes nothing and is nothing to one that has it.
func (s *Store) begin(ctx context.Context, conn *sql.Conn) (*sql.Tx, error) {
	// The context would be what database/sql ends the transaction with at any moment, between our statements and the
	// callback's.
	ctx = context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil || s.owned {
		return tx, err
	}
	if _, err := tx.StmtContext(ctx, s.writes[lock]).ExecContext(ctx); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// poll repeats try until it returns something else than that the database is busy, or ctx is done.
func poll(ctx context.Context, try func() error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, pollWriteLock) {
		err := try()
		if !isBusy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// waited says why waiting came to its end.
func waited(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrBusy
}

// failed is the error of an operation that could not begin because of err.
func failed(ctx, wait context.Context, doing string, err error) error {
	if wait.Err() != nil {
		return waited(ctx)
	}
	return fmt.Errorf("sqlitestore: %s: %w", doing, err)
}

// use gives do its turn with the transaction.
func (s *Store) use(ctx context.Context, j *joined, do func(*op) error) error {
	wait, cancel := context.WithTimeoutCause(ctx, s.busy, ErrBusy)
	defer cancel()
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-wait.Done():
		return waited(ctx)
	}
	if j.over {
		return errOver
	}
	return do(&op{ctx, &s.writes, j.tx})
}

// join does something that writes as a part of a transaction, from which it vanishes again if it fails.
func (s *Store) join(ctx context.Context, j *joined, do func(*op) error) error {
	return s.use(ctx, j, func(o *op) (err error) {
		// Where SQLite has given up the transaction, the savepoint would begin one and its release commit it. What must
		// not be possible tells whether it has.
		if err := o.run("BEGIN"); err == nil {
			return fmt.Errorf("sqlitestore: the transaction that the context carries: %w", errors.Join(sql.ErrTxDone, o.tx.Rollback()))
		}
		if err := o.run("SAVEPOINT sqlitestore"); err != nil {
			return err
		}
		done := false
		defer func() {
			if done {
				return
			}
			if undo := errors.Join(o.run("ROLLBACK TO sqlitestore"), o.run("RELEASE sqlitestore")); undo != nil {
				// There is no transaction any more. The next statement would be committed by itself if the caller were
				// not told.
				err = errors.Join(err, undo, o.tx.Rollback())
			}
		}()
		if err := do(o); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := o.run("RELEASE sqlitestore"); err != nil {
			return err
		}
		done = true
		return nil
	})
}

// read does something that consists of one statement, which reads.
func (s *Store) read(ctx context.Context, do func(*op) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if j := s.joined(ctx); j != nil {
		return s.use(ctx, j, do)
	}
	if s.readers == s.db {
		// The service may hold the connection.
		return s.snapshot(ctx, do)
	}
	return do(&op{ctx, &s.reads, nil})
}

// snapshot does something that reads, and sees one state of the database.
func (s *Store) snapshot(ctx context.Context, do func(*op) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if j := s.joined(ctx); j != nil {
		return s.use(ctx, j, do)
	}
	wait, cancel := context.WithTimeoutCause(ctx, s.busy, ErrBusy)
	defer cancel()
	conn, err := s.readers.Conn(wait)
	if err != nil {
		return failed(ctx, wait, "waiting for a connection", err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("sqlitestore: beginning a transaction: %w", err)
	}
	defer tx.Rollback()
	return do(&op{ctx, &s.reads, tx})
}

// within calls a callback with a context that carries the operation's transaction.
func (s *Store) within(o *op, call func(context.Context) error) error {
	j := &joined{tx: o.tx, db: s.db, turn: make(chan struct{}, 1)}
	defer func() {
		j.turn <- struct{}{} // a goroutine of the callback may still be at it
		j.over = true
		<-j.turn
	}()
	return call(context.WithValue(o.ctx, joinedKey{}, j))
}

// run executes one of the statements that steer transactions.
func (o *op) run(text string) error {
	if _, err := o.tx.ExecContext(context.WithoutCancel(o.ctx), text); err != nil {
		return fmt.Errorf("sqlitestore: %s: %w", text, err)
	}
	return nil
}

// prepared returns a statement and the context for it. A transaction's statements are not interrupted, see the package's
// comment.
func (o *op) prepared(st statement) (*sql.Stmt, context.Context, error) {
	if err := o.ctx.Err(); err != nil {
		return nil, nil, err
	}
	if o.tx == nil {
		return o.stmts[st], o.ctx, nil
	}
	ctx := context.WithoutCancel(o.ctx)
	return o.tx.StmtContext(ctx, o.stmts[st]), ctx, nil
}

// exec executes a statement and returns how many rows it changed, not counting those that went along with one.
func (o *op) exec(st statement, args ...any) (int, error) {
	stmt, ctx, err := o.prepared(st)
	if err != nil {
		return 0, err
	}
	r, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, st.failed(err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, st.failed(err)
	}
	return int(n), nil
}

// row scans the only row of a result, and reports whether there was one.
func (o *op) row(st statement, dest []any, args ...any) (bool, error) {
	found := false
	err := o.rows(st, func(scan func(...any) error) error {
		found = true
		return scan(dest...)
	}, args...)
	return found, err
}

// rows calls each for every row of a result.
func (o *op) rows(st statement, each func(scan func(dest ...any) error) error, args ...any) error {
	stmt, ctx, err := o.prepared(st)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return st.failed(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return st.failed(err)
		}
	}
	if err := rows.Err(); err != nil {
		return st.failed(err)
	}
	return nil
}
