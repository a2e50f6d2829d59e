// Package sqlitestore keeps a realm in a SQLite database: a file of the service's own, or one that it shares with the
// service's other tables. It needs no cgo.
//
//	s, err := sqlitestore.Open(ctx, "auth.db")
//	if err != nil { … }
//	defer s.Close()
//
// [Open] creates the file, readable by its owner alone, and brings its tables up to date. [New] takes a database that is
// open already. Several realms live in one database under different prefixes, see [Prefix].
//
// # One writer, many readers
//
// SQLite lets one transaction write at a time. A [Store] that was opened by [Open] has one connection that writes, and
// others that read the last committed state meanwhile (write-ahead log). Other processes may use the same file on the
// same machine. An operation waits for its turn to write until its context is done, and no longer than [BusyTimeout];
// then it returns [ErrBusy] and has done nothing.
//
// Once an operation has its turn, its statements are not interrupted: they take microseconds, and SQLite would roll back
// the caller's whole transaction if they were. The context is looked at between them and before the commit.
//
// # What survives
//
// What was acknowledged survives the death of the process. It also survives a loss of power, because every commit is
// flushed to the disk (synchronous=FULL); see [SyncNormal] for those who would rather be fast.
//
// # The service's own transaction
//
// A context made by [WithTx] carries a transaction of the service: the store's operations join it and are committed or
// rolled back with it. It must be one of [Store.DB], which begins them so that they can write at once. The context that
// [store.NewUser].Within gets carries the operation's own transaction, which [TxFrom] returns.
//
// While a transaction is open that can write, an operation whose context does not carry it waits, in vain if the
// transaction waits for the operation. It ends with [ErrBusy]. In memory even reading waits, because there is one
// connection for all.
package sqlitestore
