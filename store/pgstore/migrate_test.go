package pgstore_test

import (
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

func TestReplicasThatMigrateAtTheSameMomentDoItOnce(t *testing.T) {
	t.Parallel()
	pool := open(t)
	schema := pgstore.Schema(newSchema(t, pool))
	before, err := pgstore.Status(t.Context(), pool, schema)
	must(t, err)
	if len(before) == 0 {
		t.Fatal("there are no migrations")
	}
	for _, m := range before {
		if !m.AppliedAt.IsZero() || m.Version == 0 || m.Name == "" {
			t.Errorf("before: %+v", m)
		}
	}
	var all sync.WaitGroup
	for range 6 {
		replica := open(t, func(c *pgxpool.Config) { c.MaxConns = 2 })
		all.Go(func() {
			if err := pgstore.Migrate(t.Context(), replica, schema); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	must(t, pgstore.Migrate(t.Context(), pool, schema))
	after, err := pgstore.Status(t.Context(), pool, schema)
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d migrations, want %d", len(after), len(before))
	}
	for i, m := range after {
		if m.AppliedAt.IsZero() || m.Version != before[i].Version || m.Name != before[i].Name {
			t.Errorf("after: %+v", m)
		}
	}
	s, err := pgstore.New(pool, schema)
	must(t, err)
	create(t, s)
}

func TestMigrationsRunWithEveryModeOfPgx(t *testing.T) {
	t.Parallel()
	for name, set := range settings {
		t.Run("with "+name, func(t *testing.T) {
			t.Parallel()
			pool := open(t, func(c *pgxpool.Config) { set(c.ConnConfig) })
			schema := pgstore.Schema(newSchema(t, pool))
			for range 2 {
				must(t, pgstore.Migrate(t.Context(), pool, schema))
			}
			s, err := pgstore.New(pool, schema)
			must(t, err)
			create(t, s)
		})
	}
}

func TestMigrateNeedsTwoConnections(t *testing.T) {
	t.Parallel()
	pool := open(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	if err := pgstore.Migrate(t.Context(), pool, pgstore.Schema(newSchema(t, pool))); err == nil {
		t.Error("a pool of one connection was accepted")
	}
}

// What the migrations and the plain SQL make is the same, whatever the schema is called.
func TestASchemaMayBeCalledByAReservedWord(t *testing.T) {
	t.Parallel()
	pool := open(t)
	const name = "user"
	var there bool
	must(t, pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", name).Scan(&there))
	if there {
		t.Skipf("there is a schema %q already, and it may be somebody's", name)
	}
	t.Cleanup(func() { dropSchema(t, pool, name) })
	must(t, pgstore.Migrate(t.Context(), pool, pgstore.Schema(name)))
	s, err := pgstore.New(pool, pgstore.Schema(name))
	must(t, err)
	create(t, s)
}

func TestANameThatIsNoneForASchemaIsRefused(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/nowhere")
	must(t, err)
	defer pool.Close()
	for _, name := range []string{
		"", "Auth", "a b", "a-b", `a"b`, "a.b", "1a", "аuth", "a\x00", "a;drop", "{schema}", strings.Repeat("a", 64),
	} {
		schema := pgstore.Schema(name)
		if _, err := pgstore.New(pool, schema); err == nil {
			t.Errorf("New accepts %q", name)
		}
		if _, err := pgstore.Open(t.Context(), "postgres://127.0.0.1:1/nowhere", schema); err == nil {
			t.Errorf("Open accepts %q", name)
		}
		if _, err := pgstore.SQL(schema); err == nil {
			t.Errorf("SQL accepts %q", name)
		}
		if err := pgstore.Migrate(t.Context(), pool, schema); err == nil || strings.Contains(err.Error(), "connect") {
			t.Errorf("Migrate accepts %q: %v", name, err)
		}
		if _, err := pgstore.Status(t.Context(), pool, schema); err == nil || strings.Contains(err.Error(), "connect") {
			t.Errorf("Status accepts %q: %v", name, err)
		}
	}
}

func TestThePlainSQLIsAFileSystem(t *testing.T) {
	t.Parallel()
	files, err := pgstore.SQL(pgstore.Schema("realm"))
	must(t, err)
	must(t, fstest.TestFS(files, "00001_initial.sql"))
	names, err := fs.Glob(files, "*")
	must(t, err)
	for _, name := range names {
		sql, err := fs.ReadFile(files, name)
		must(t, err)
		text := string(sql)
		if strings.Contains(text, "{schema}") || !strings.Contains(text, `"realm".`) || !strings.HasPrefix(text, "-- +goose Up") {
			t.Errorf("%s is %.100s…", name, text)
		}
		if strings.Contains(text, "+goose Down") {
			t.Errorf("%s would be run down by who runs it as it is", name)
		}
	}
}

// Every foreign key has an index that begins with it, and so has what the purge goes by.
func TestEveryForeignKeyHasAnIndex(t *testing.T) {
	t.Parallel()
	pool := open(t)
	schema := newSchemaWithTables(t, pool)
	rows, err := pool.Query(t.Context(), `SELECT c.conrelid::regclass::text || ' ' || c.conname,
		EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
		FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = $1::regnamespace`, schema)
	must(t, err)
	type key struct {
		Name    string
		Indexed bool
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[key])
	must(t, err)
	if len(keys) != 5 {
		t.Errorf("there are %d foreign keys: %v", len(keys), keys)
	}
	for _, k := range keys {
		if !k.Indexed {
			t.Errorf("%s has no index", k.Name)
		}
	}
}

func TestOnlyAnOwnPoolIsClosed(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s, err := pgstore.New(pool)
	must(t, err)
	s.Close()
	must(t, s.Ping(t.Context()))

	own, err := pgstore.Open(t.Context(), need.PostgresDSN())
	must(t, err)
	must(t, own.Ping(t.Context()))
	own.Close()
	if err := own.Ping(t.Context()); err == nil {
		t.Error("the pool is still open")
	}
	if _, err := pgstore.New(nil); err == nil {
		t.Error("New accepts no pool")
	}
	if _, err := pgstore.Open(t.Context(), "postgres://[::1"); err == nil {
		t.Error("Open accepts a URL that is none")
	}
}

// What cannot be in the database is not there; the database is not asked, because it would fail. ST-20
func TestATextThatCannotBeStoredIsNotFound(t *testing.T) {
	t.Parallel()
	s := newStore(t, open(t))
	n := create(t, s)
	for _, bad := range []string{"\x00", n.User.EmailKey + "\x00", "\xff", "\xed\xa0\x80"} {
		for _, q := range []store.UserQuery{
			{EmailKey: bad},
			{Phone: bad},
			{Identity: store.IdentityKey{Provider: bad}},
			{Identity: store.IdentityKey{Provider: "github", Subject: bad}},
			{Identity: store.IdentityKey{Provider: "github", Subject: bad}, EmailKey: bad},
			{Identity: store.IdentityKey{Provider: bad, Subject: n.Identity.Subject}, EmailKey: "nobody@example.org"},
		} {
			if _, err := s.User(t.Context(), q); err != store.ErrNotFound {
				t.Errorf("%+q: got %v", q, err)
			}
		}
		// What else is asked for may be there.
		for _, q := range []store.UserQuery{
			{Identity: keyOf(n.Identity), EmailKey: bad},
			{Identity: store.IdentityKey{Provider: bad, Subject: bad}, EmailKey: n.User.EmailKey},
			{Identity: store.IdentityKey{Provider: "github", Subject: bad}, EmailKey: n.User.EmailKey},
		} {
			if a, err := s.User(t.Context(), q); err != nil || a.ID != n.User.ID {
				t.Errorf("%+q: got %s, %v", q, a.ID, err)
			}
		}
		for _, key := range []store.IdentityKey{{Provider: bad}, {Provider: "github", Subject: bad}} {
			tokens := &store.IdentityTokens{Key: key, Tokens: n.Identity.Tokens}
			for _, test := range []struct {
				change store.UserChange
				want   error
			}{
				{store.UserChange{TakeTokens: tokens}, store.ErrUnmet{Condition: store.ConditionTokens}},
				{store.UserChange{PutTokens: tokens}, nil},
				{store.UserChange{RemoveIdentity: key}, nil},
			} {
				test.change.UserID, test.change.Now = n.User.ID, base
				if _, err := s.ChangeUser(t.Context(), test.change); err != test.want {
					t.Errorf("%+q: got %v, want %v", key, err, test.want)
				}
			}
		}
		for _, q := range []store.TicketQuery{{Kind: bad}, {EmailKey: bad}, {Phone: bad}, {Kind: bad, UserID: n.User.ID}} {
			if _, err := s.TakeTicket(t.Context(), q); err != store.ErrNotFound {
				t.Errorf("%+q: got %v", q, err)
			}
			if _, _, err := s.CheckTicket(t.Context(), q); err != store.ErrNotFound {
				t.Errorf("%+q: got %v", q, err)
			}
		}
		if list, err := s.Events(t.Context(), store.EventQuery{Type: bad, Limit: 1}); len(list) > 0 || err != nil {
			t.Errorf("%q: got %v, %v", bad, list, err)
		}
		u := newUser()
		u.DisplayName = bad
		if _, err := s.CreateUser(t.Context(), store.NewUser{User: u}); err == nil || exists(t, s, u.ID) {
			t.Errorf("a user called %q was created: %v", bad, err)
		}
	}
}
