package sqlitestore

import (
	"errors"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ostiary/auth/store"
)

// ErrBusy says that an operation did not get its turn to write within [BusyTimeout], and that nothing was done.
var ErrBusy = errors.New("sqlitestore: another transaction is writing to the database")

// isBusy says whether another connection has the lock that a statement needs.
func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}

// isOrphan says whether a statement failed because the row that its row belongs to does not exist.
func isOrphan(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}

// conflicts maps the columns of unique indexes, without the prefix of the table, to what the contract calls them.
var conflicts = map[string]store.Field{
	"users.id":                    store.FieldID,
	"users.email_key":             store.FieldEmail,
	"users.phone":                 store.FieldPhone,
	"security_keys.id":            store.FieldID,
	"security_keys.credential_id": store.FieldCredential,
	"pats.id":                     store.FieldID,
	"sessions.id":                 store.FieldID,
	"tickets.id":                  store.FieldID,
	"signing_keys.id":             store.FieldID,
	"messages.id":                 store.FieldID,
	"events.seq":                  store.FieldID,
}

// conflict returns the [store.ErrConflict] that err stands for. SQLite names the columns in its message and nowhere
// else: "UNIQUE constraint failed: auth_users.email_key".
func conflict(err error) (store.ErrConflict, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return store.ErrConflict{}, false
	}
	if e.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && e.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return store.ErrConflict{}, false
	}
	_, columns, _ := strings.Cut(e.Error(), "UNIQUE constraint failed: ")
	columns, _, _ = strings.Cut(columns, " ")
	for name, field := range conflicts {
		if strings.HasSuffix(columns, name) {
			return store.ErrConflict{Field: field}, true
		}
	}
	return store.ErrConflict{}, false
}
