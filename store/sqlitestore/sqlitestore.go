package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver

	"github.com/ostiary/auth/store"
)

// driver is the name under which the SQLite driver is registered.
const driver = "sqlite"

// Memory is the path of a database in memory. Each that is opened is another one, and is gone when it is closed.
const Memory = ":memory:"

// Store is a [store.Store] in a SQLite database, made by [Open] or [New]. It is safe for concurrent use.
type Store struct {
	db      *sql.DB // where is written
	readers *sql.DB // the same as db where there is one connection for all, or it is the service's
	keeper  *sql.DB // holds a database in memory open; else nil
	owned   bool    // by the store, which opened it
	busy    time.Duration

	// turn holds a value while an operation has its turn to write. Goroutines queue here, in order, rather than where
	// SQLite would have them poll.
	turn chan struct{}

	// The statements, prepared once for each connection that uses them.
	writes, reads [statements]*sql.Stmt
}

var _ store.Store = (*Store)(nil)

// An Option changes how a store is opened.
type Option func(*config)

type config struct {
	prefix      string
	busy        time.Duration
	readers     int
	synchronous string
	migrate     bool
}

// Prefix is what the names of all tables, indexes and triggers of the realm begin with. The default is "auth_". It may be
// empty or consist of up to 32 lower-case letters, digits and underscores, not beginning with a digit or "sqlite_".
func Prefix(name string) Option { return func(c *config) { c.prefix = name } }

// BusyTimeout is how long an operation waits for its turn to write. The default is 10 seconds.
func BusyTimeout(d time.Duration) Option { return func(c *config) { c.busy = d } }

// Readers is how many connections [Open] makes for reading, at most. The default is the number of CPUs, and at least 4. A
// database in memory has none.
func Readers(n int) Option { return func(c *config) { c.readers = n } }

// SyncNormal makes [Open] flush the log to the disk now and then only, instead of at each commit (synchronous=NORMAL
// instead of FULL). Nothing that was acknowledged is lost when the process dies. When the machine does, the last changes
// may be: a session that was ended or a user who was disabled in the last moments may be back, and a one-time secret
// may be good once more. The database stays whole. What it gains depends on the disk: a refresh took 0.6 ms with the
// flush and 0.1 ms without, on a busy virtual machine.
func SyncNormal() Option { return func(c *config) { c.synchronous = "normal" } }

// NoMigrate keeps [Open] from bringing the tables up to date, for those who call [Migrate] themselves or apply
// [SQL] with a tool of their own.
func NoMigrate() Option { return func(c *config) { c.migrate = false } }

var validPrefix = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,31})?$`)

func configure(opts []Option) (config, error) {
	c := config{
		prefix: "auth_", busy: 10 * time.Second, readers: max(4, runtime.NumCPU()), synchronous: "full", migrate: true,
	}
	for _, o := range opts {
		o(&c)
	}
	var errs []error
	if !validPrefix.MatchString(c.prefix) || strings.HasPrefix(c.prefix, "sqlite_") {
		errs = append(errs, fmt.Errorf("sqlitestore: Prefix(%q) is not a table name's beginning", c.prefix))
	}
	if c.busy <= 0 {
		errs = append(errs, fmt.Errorf("sqlitestore: BusyTimeout(%v) is not positive", c.busy))
	}
	if c.readers < 1 {
		errs = append(errs, fmt.Errorf("sqlitestore: Readers(%d) is less than one", c.readers))
	}
	return c, errors.Join(errs...)
}

// Open opens the database file at path, which is a plain path and not a URI, or one in memory if it is [Memory]. It
// creates the file if there is none, with permissions for its owner alone, and migrates it; see [NoMigrate]. The
// directory must exist and be on a local file system: SQLite's log needs shared memory.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{owned: true, busy: c.busy, turn: make(chan struct{}, 1)}
	if path == Memory {
		err = s.openMemory(ctx)
	} else {
		err = s.openFile(ctx, path, &c)
	}
	if err == nil && c.migrate {
		err = Migrate(ctx, s.db, opts...)
	}
	if err == nil {
		err = s.prepare(ctx, c.prefix)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// pollWriteLock is how long SQLite itself waits for a lock before the store looks at its context again.
const pollWriteLock = 50 * time.Millisecond

// logLimit is the size in bytes to which the write-ahead log is cut back after it had to grow beyond it.
const logLimit = 64 << 20

func (s *Store) openFile(ctx context.Context, path string, c *config) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("sqlitestore: %w", err)
	}
	if err := createFile(path); err != nil {
		return fmt.Errorf("sqlitestore: creating the database: %w", err)
	}
	s.db, err = open("file:"+escape(path), "immediate", 1,
		"busy_timeout("+strconv.FormatInt(pollWriteLock.Milliseconds(), 10)+")", "foreign_keys(1)",
		"synchronous("+c.synchronous+")", "temp_store(memory)", "journal_size_limit("+strconv.Itoa(logLimit)+")")
	if err != nil {
		return err
	}
	if err := s.useLog(ctx); err != nil {
		return err
	}
	s.readers, err = open("file:"+escape(path), "deferred", c.readers,
		"busy_timeout("+strconv.FormatInt(c.busy.Milliseconds(), 10)+")", "query_only(1)", "temp_store(memory)")
	return err
}

// createFile makes the file if it does not exist. SQLite would make it readable by others if the umask lets it, and
// gives its log and shared memory the permissions of the file. A file that is there is not opened: closing it again
// would drop the locks that this process may hold on it (https://sqlite.org/howtocorrupt.html §2.2), which is also why
// only one goroutine at a time is in here.
func createFile(path string) error {
	creating.Lock()
	defer creating.Unlock()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

var creating sync.Mutex

// escape makes a path part of a URI.
func escape(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return (&url.URL{Path: path}).EscapedPath()
}

// useLog switches to the write-ahead log, which the file remembers. Who is first needs the file for itself, and SQLite
// does not wait for that.
func (s *Store) useLog(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.busy, ErrBusy)
	defer cancel()
	return poll(ctx, func() error {
		var mode string
		if err := s.db.QueryRowContext(ctx, "PRAGMA journal_mode = wal").Scan(&mode); err != nil {
			return fmt.Errorf("sqlitestore: opening the database: %w", err)
		}
		if mode != "wal" {
			return fmt.Errorf("sqlitestore: the database keeps its journal mode %q, want a write-ahead log", mode)
		}
		return nil
	})
}

// openMemory opens a database that lives as long as a connection to it. That is why there is an idle one besides the one
// that works, which is closed if a statement of the service is interrupted.
func (s *Store) openMemory(ctx context.Context) error {
	name := "file:" + uuid.NewString() + "?mode=memory&cache=shared"
	var err error
	if s.keeper, err = open(name, "deferred", 1); err != nil {
		return err
	}
	if err := s.keeper.PingContext(ctx); err != nil {
		return fmt.Errorf("sqlitestore: opening the database: %w", err)
	}
	if s.db, err = open(name, "immediate", 1, "foreign_keys(1)"); err != nil {
		return err
	}
	s.readers = s.db
	return nil
}

// open makes a pool of up to n connections, which stay open.
func open(uri, lock string, n int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {lock}, "_pragma": pragmas}
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	db, err := sql.Open(driver, uri+separator+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: opening the database: %w", err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// New makes a store of a database that the service has opened with the driver "sqlite" of modernc.org/sqlite, or of the
// [Store.DB] of another one. The tables must be there, see [Migrate]. [BusyTimeout] and [Prefix] are the options that
// count.
//
// Each of its connections must enforce foreign keys, which New checks with one of them; a write-ahead log and
// transactions that begin as immediate are advised:
//
//	sql.Open("sqlite", "file:app.db?_txlock=immediate&_pragma=foreign_keys(1)&_pragma=journal_mode(wal)&_pragma=busy_timeout(50)")
func New(ctx context.Context, db *sql.DB, opts ...Option) (*Store, error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	var enforced bool
	if err := db.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&enforced); err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	if !enforced {
		return nil, errors.New("sqlitestore: the database does not enforce foreign keys; open it with _pragma=foreign_keys(1)")
	}
	s := &Store{db: db, readers: db, busy: c.busy, turn: make(chan struct{}, 1)}
	if err := s.prepare(ctx, c.prefix); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare prepares all statements, so that a missing or different table is found at once.
func (s *Store) prepare(ctx context.Context, prefix string) error {
	for i := range statements {
		var err error
		text := i.text(prefix)
		if s.writes[i], err = s.db.PrepareContext(ctx, text); err != nil {
			return fmt.Errorf("sqlitestore: preparing to %s: %w", i, err)
		}
		if s.readers == s.db {
			s.reads[i] = s.writes[i]
			continue
		}
		if !strings.HasPrefix(text, "SELECT") {
			continue
		}
		if s.reads[i], err = s.readers.PrepareContext(ctx, text); err != nil {
			return fmt.Errorf("sqlitestore: preparing to %s: %w", i, err)
		}
	}
	return nil
}

// DB returns the database that the store writes to: the one given to [New], or the single connection of [Open], whose
// transactions take the right to write as they begin and keep all other writers waiting until they end.
func (s *Store) DB() *sql.DB { return s.db }

// Close releases what the store holds, and closes the database if [Open] opened it. No operation may be under way.
func (s *Store) Close() error {
	var errs []error
	for i := range statements {
		for _, stmt := range []*sql.Stmt{s.writes[i], s.reads[i]} {
			if stmt != nil {
				errs = append(errs, stmt.Close())
			}
		}
	}
	if s.owned {
		// The writer is last: it tidies the log away.
		for _, db := range []*sql.DB{s.readers, s.db, s.keeper} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// Joined implements [store.Store].
func (s *Store) Joined(ctx context.Context) bool { return s.joined(ctx) != nil }

// Ping implements [store.Store]. It reads from the database.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, func(o *op) error {
		_, err := o.row(ping, nil)
		return err
	})
}
