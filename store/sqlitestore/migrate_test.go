package sqlitestore_test

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// schema lists all that was created in a database.
func schema(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.Query("SELECT name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		m[name] = text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMigratingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	s := open(t, path)
	u := newUser()
	_, err := s.CreateUser(t.Context(), store.NewUser{User: u})
	wants(t, err, nil)
	before := schema(t, s.DB())
	for range 2 {
		wants(t, sqlitestore.Migrate(t.Context(), s.DB()), nil)
	}
	again := open(t, path)
	_, err = again.User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
	wants(t, err, nil)
	if diff := cmp.Diff(before, schema(t, again.DB())); diff != "" {
		t.Errorf("the tables have changed (-before +after):\n%s", diff)
	}
	for name := range before {
		if !strings.HasPrefix(name, "auth_") && !strings.HasPrefix(name, "sqlite_") {
			t.Errorf("%s lacks the prefix", name)
		}
	}
}

func TestStatusTellsWhatWasApplied(t *testing.T) {
	t.Parallel()
	s, err := sqlitestore.Open(t.Context(), sqlitestore.Memory, sqlitestore.NoMigrate())
	if err == nil {
		s.Close()
		t.Fatal("a store without tables was opened")
	}
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db")+"?_pragma=foreign_keys(1)")
	wants(t, err, nil)
	t.Cleanup(func() { db.Close() })
	for _, applied := range []bool{false, true} {
		list, err := sqlitestore.Status(t.Context(), db)
		wants(t, err, nil)
		if len(list) == 0 {
			t.Fatal("there are no migrations")
		}
		for _, m := range list {
			if got := !m.AppliedAt.IsZero(); got != applied {
				t.Errorf("%s is applied: %t, want %t", m.Name, got, applied)
			}
		}
		wants(t, sqlitestore.Migrate(t.Context(), db), nil)
	}
}

func TestTheSQLMakesTheSameTables(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db")+"?_pragma=foreign_keys(1)")
	wants(t, err, nil)
	t.Cleanup(func() { db.Close() })
	files, err := sqlitestore.SQL(sqlitestore.Prefix("realm_"))
	wants(t, err, nil)
	names, err := fs.Glob(files, "*.sql")
	wants(t, err, nil)
	status, err := sqlitestore.Status(t.Context(), db, sqlitestore.Prefix("realm_"))
	wants(t, err, nil)
	if len(names) != len(status) {
		t.Fatalf("there are %d files and %d migrations", len(names), len(status))
	}
	if got := schema(t, db); len(got) != 0 {
		t.Errorf("Status has created %v", got)
	}
	for i, name := range names {
		if name != status[i].Name || status[i].Version != int64(i)+1 {
			t.Errorf("file %s is migration %+v", name, status[i])
		}
		text, err := fs.ReadFile(files, name)
		wants(t, err, nil)
		if _, err := db.Exec(string(text)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sqlitestore.New(t.Context(), db, sqlitestore.Prefix("realm_"))
	wants(t, err, nil)
	t.Cleanup(func() { s.Close() })
	wants(t, s.Ping(t.Context()), nil)

	want := schema(t, open(t, sqlitestore.Memory, sqlitestore.Prefix("realm_")).DB())
	delete(want, "realm_migrations")
	delete(want, "sqlite_sequence") // of the former
	for _, m := range []map[string]string{want, schema(t, db)} {
		for name, text := range m {
			if strings.Contains(text, "--") || strings.Contains(text, "{") {
				t.Errorf("%s is not plain: %s", name, text)
			}
		}
	}
	if diff := cmp.Diff(want, schema(t, db)); diff != "" {
		t.Errorf("the tables differ (-migrated +by hand):\n%s", diff)
	}
}

func TestManyMayOpenANewFileAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	var wg sync.WaitGroup
	stores := make([]*sqlitestore.Store, 8)
	for i := range stores {
		wg.Go(func() {
			s, err := sqlitestore.Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
		})
	}
	wg.Wait()
	u := newUser()
	for i, s := range stores {
		if s == nil {
			continue
		}
		if i == 0 {
			_, err := s.CreateUser(t.Context(), store.NewUser{User: u})
			wants(t, err, nil)
		}
		_, err := s.User(t.Context(), store.UserQuery{ID: u.ID, Now: start})
		wants(t, err, nil)
		list, err := sqlitestore.Status(t.Context(), s.DB())
		wants(t, err, nil)
		var n int
		wants(t, s.DB().QueryRow("SELECT count(*) FROM auth_migrations WHERE version_id > 0").Scan(&n), nil)
		if n != len(list) {
			t.Errorf("%d migrations are noted, want %d", n, len(list))
		}
		wants(t, s.Close(), nil)
	}
}

func TestAMigrationThatFailsIsReported(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	wants(t, err, nil)
	t.Cleanup(func() { db.Close() })
	_, err = db.Exec("CREATE TABLE auth_tickets (mine TEXT)")
	wants(t, err, nil)
	if err := sqlitestore.Migrate(t.Context(), db, sqlitestore.BusyTimeout(time.Minute)); err == nil || !strings.Contains(err.Error(), "auth_tickets already exists") {
		t.Errorf("got %v", err)
	}
	if _, ok := schema(t, db)["auth_users"]; ok {
		t.Error("half of a migration was left behind")
	}
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no permissions of this kind")
	}
	path := filepath.Join(t.TempDir(), "auth.db")
	open(t, path)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has permissions %v, want 0600", info.Name(), info.Mode().Perm())
		}
	}
}

func TestAnyPathWillDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "100%25.db", "what?mode=memory", "a#b.db", "file:x", "ж&_pragma=x.db", "it's"} {
		s := open(t, filepath.Join(dir, name))
		wants(t, s.Ping(t.Context()), nil)
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(dir)
	wants(t, err, nil)
	if len(entries) != 3*7 { // each with its log and shared memory
		t.Errorf("the directory has %v", entries)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]sqlitestore.Option{
		"a prefix with a quote":         sqlitestore.Prefix(`a"b`),
		"a prefix with a space":         sqlitestore.Prefix("a b"),
		"a prefix that SQLite reserves": sqlitestore.Prefix("sqlite_x"),
		"a prefix that is too long":     sqlitestore.Prefix(strings.Repeat("a", 33)),
		"a prefix with a digit first":   sqlitestore.Prefix("1a"),
		"no time":                       sqlitestore.BusyTimeout(0),
		"no readers":                    sqlitestore.Readers(0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "auth.db")
			if s, err := sqlitestore.Open(t.Context(), path, o); err == nil {
				t.Error("Open returns no error")
				s.Close()
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the file was created")
			}
			if _, err := sqlitestore.SQL(o); err == nil {
				t.Error("SQL returns no error")
			}
		})
	}
	for _, prefix := range []string{"", "_", "a1_", strings.Repeat("a", 32)} {
		s := open(t, sqlitestore.Memory, sqlitestore.Prefix(prefix))
		_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser()})
		wants(t, err, nil)
	}
}

func TestADatabaseWithoutForeignKeysIsRefused(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	wants(t, err, nil)
	t.Cleanup(func() { db.Close() })
	wants(t, sqlitestore.Migrate(t.Context(), db), nil)
	if _, err := sqlitestore.New(t.Context(), db); err == nil || !strings.Contains(err.Error(), "foreign keys") {
		t.Errorf("got %v", err)
	}
}

func TestAFileThatIsNoDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	wants(t, os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600), nil)
	if s, err := sqlitestore.Open(t.Context(), path); err == nil {
		s.Close()
		t.Error("Open returns no error")
	}
	if s, err := sqlitestore.Open(t.Context(), filepath.Join(path, "in", "a", "file")); err == nil {
		s.Close()
		t.Error("Open returns no error")
	}
}
