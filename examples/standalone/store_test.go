package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/examples/internal/pgtest"
)

// database is a PostgreSQL server and a schema in it that is dropped after the test.
type database struct {
	pool   *pgxpool.Pool
	schema string
}

func newDatabase(t *testing.T) database {
	t.Helper()
	pool, schema := pgtest.Schema(t)
	return database{pool, schema}
}

// url is that of the database at an address, which is the server's own unless it is set, with further parameters.
func (d database) url(address string, more url.Values) string {
	c := d.pool.Config().ConnConfig
	query := url.Values{}
	for name, values := range more {
		query[name] = values
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: address, Path: "/" + c.Database}
	switch {
	case address != "":
	case filepath.IsAbs(c.Host):
		query.Set("host", c.Host)
		query.Set("port", strconv.Itoa(int(c.Port)))
	default:
		u.Host = net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func (d database) hasTables(t *testing.T) (has bool) {
	t.Helper()
	const query = `SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1::text AND tablename = 'users')`
	if err := d.pool.QueryRow(t.Context(), query, d.schema).Scan(&has); err != nil {
		t.Fatal(err)
	}
	return has
}

// survives signs a user up, starts the program again, and uses what the user got.
func survives(t *testing.T, env map[string]string) {
	t.Helper()
	env["AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED"] = "false"
	p := start(t, env)
	var in auth.SignInResult
	if status := p.call(t, "POST", "/v1/signup/email-password", "", ada, &in); status != http.StatusOK || in.Session == nil {
		t.Fatalf("sign up: %d, no session", status)
	}
	p.stop(t)

	p = start(t, env)
	var next auth.Session
	if status := p.call(t, "POST", "/v1/token", "", `{"refreshToken":"`+in.Session.RefreshToken+`"}`, &next); status != http.StatusOK {
		t.Errorf("refresh after a restart: %d", status)
	}
	var user auth.User
	if status := p.call(t, "GET", "/v1/user", next.AccessToken, "", &user); status != http.StatusOK || user.ID != in.Session.User.ID {
		t.Errorf("user after a restart: %d, %s, want %s", status, user.ID, in.Session.User.ID)
	}
	if status := p.call(t, "GET", "/v1/user", in.Session.AccessToken, "", nil); status != http.StatusOK {
		t.Errorf("an access token from before the restart: %d", status)
	}
	if status := p.call(t, "POST", "/v1/signin/email-password", "", ada, nil); status != http.StatusOK {
		t.Errorf("sign in after a restart: %d", status)
	}
	p.stop(t)
}

func TestUsersAndSessionsSurviveARestartInAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.db")
	survives(t, map[string]string{"AUTH_STORE": "sqlite:" + file})
	if stat, err := os.Stat(file); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("the file has the permissions %v, %v, want 0600", stat.Mode(), err)
	}
}

func TestUsersAndSessionsSurviveARestartInPostgreSQL(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	survives(t, map[string]string{"AUTH_STORE": d.url("", nil), "AUTH_STORE_SCHEMA": d.schema})
}

func TestUsersAreKeptInAFileUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	t.Parallel()
	p := start(t, map[string]string{"AUTH_STORE": ""})
	p.stop(t)
	if _, err := os.Stat(filepath.Join(p.cmd.Dir, "auth.db")); err != nil {
		t.Error(err)
	}
}

// refused runs the program in an environment in which it should not get as far as listening, and returns its log.
func refused(t *testing.T, env map[string]string) string {
	t.Helper()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stdout, stderr bytes.Buffer
	lines := append(good(env), "AUTH_LISTEN="+taken.Addr().String()) // so that it ends if it does
	status := run(lines, &stdout, &stderr)
	log := stdout.String() + stderr.String()
	if status != 1 || !strings.Contains(log, "open store: ") {
		t.Errorf("status %d, want 1 and a word about the store:\n%s", status, log)
	}
	return log
}

func TestMigrationsRunAsTheOwner(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	// A role that may not make tables, as far as these tests can have one without making it.
	serving := d.url("", url.Values{"default_transaction_read_only": {"on"}})
	env := map[string]string{"AUTH_STORE": serving, "AUTH_STORE_SCHEMA": d.schema}
	refused(t, env)
	if d.hasTables(t) {
		t.Fatal("there are tables before the owner has made them")
	}
	env["POSTGRES_MIGRATIONS_CONNECTION"] = d.url("", nil)
	start(t, env).stop(t)
	if !d.hasTables(t) {
		t.Error("the owner made no tables")
	}
}

func TestMigrationsAreLeftToThoseWhoWantIt(t *testing.T) {
	t.Parallel()
	t.Run("in PostgreSQL", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		env := map[string]string{"AUTH_STORE": d.url("", nil), "AUTH_STORE_SCHEMA": d.schema, "AUTH_STORE_MIGRATE": "false"}
		start(t, env).stop(t)
		if d.hasTables(t) {
			t.Error("there are tables")
		}
	})
	t.Run("in a file", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"AUTH_STORE": "sqlite:" + filepath.Join(t.TempDir(), "users.db"), "AUTH_STORE_MIGRATE": "false"}
		if log := refused(t, env); !strings.Contains(log, "no such table") {
			t.Errorf("the log has no word about tables:\n%s", log)
		}
	})
}

// wire is a way to a server that can be cut.
type wire struct {
	address string
	server  *pgx.ConnConfig

	mu       sync.Mutex
	listener net.Listener
	ends     []net.Conn
}

func newWire(t *testing.T, server *pgx.ConnConfig) *wire {
	t.Helper()
	w := &wire{address: "127.0.0.1:0", server: server}
	w.mend(t)
	t.Cleanup(w.cut)
	return w
}

// mend makes a way that is cut whole again, or a new one.
func (w *wire) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener, w.address = listener, listener.Addr().String()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			w.carry(near, listener)
		}
	}()
}

func (w *wire) carry(near net.Conn, listener net.Listener) {
	network, address := pgNetwork(w.server)
	far, err := net.Dial(network, address)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || w.listener != listener {
		near.Close()
		if far != nil {
			far.Close()
		}
		return
	}
	w.ends = append(w.ends, near, far)
	for _, c := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(c[0], c[1]) // until one of them is closed
			c[0].Close()
		}()
	}
}

func pgNetwork(c *pgx.ConnConfig) (network, address string) {
	if filepath.IsAbs(c.Host) {
		return "unix", filepath.Join(c.Host, ".s.PGSQL."+strconv.Itoa(int(c.Port)))
	}
	return "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		w.listener.Close()
	}
	for _, c := range w.ends {
		c.Close()
	}
	w.listener, w.ends = nil, nil
}

func TestTheProgramIsHealthyAsLongAsItsDatabaseIs(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	w := newWire(t, d.pool.Config().ConnConfig)
	p := start(t, map[string]string{"AUTH_STORE": d.url(w.address, nil), "AUTH_STORE_SCHEMA": d.schema})
	healthy := func(when string, want int) {
		t.Helper()
		for _, path := range []string{"/healthz", "/v1/healthz"} {
			if status := p.call(t, "GET", path, "", "", nil); status != want {
				t.Errorf("%s: GET %s: %d, want %d", when, path, status, want)
			}
		}
	}
	healthy("at start", http.StatusOK)
	w.cut()
	healthy("without the database", http.StatusServiceUnavailable)
	w.mend(t)
	// An attempt to connect that began without it may still be under way, as whoever probes a program allows for.
	for deadline := time.Now().Add(10 * time.Second); p.call(t, "GET", "/healthz", "", "", nil) != http.StatusOK && time.Now().Before(deadline); {
	}
	healthy("with the database again", http.StatusOK)
	p.stop(t)
}

func TestTheProgramStartsBeforeItsDatabase(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // nobody listens there
	const password = "canary-of-the-database"
	env := map[string]string{"AUTH_STORE": "postgres://app:" + password + "@" + address + "/auth?sslmode=disable", "AUTH_STORE_MIGRATE": "false"}
	p := start(t, env)
	if status := p.call(t, "GET", "/healthz", "", "", nil); status != http.StatusServiceUnavailable {
		t.Errorf("GET /healthz: %d, want 503", status)
	}
	if status := p.call(t, "POST", "/v1/signin/email-password", "", ada, nil); status != http.StatusInternalServerError {
		t.Errorf("sign in: %d, want 500", status)
	}
	p.stop(t)

	env["AUTH_STORE_MIGRATE"] = "true"
	atStart := refused(t, env)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, log := range []string{fmt.Sprint(p.lines), p.stderr.String(), atStart} {
		if strings.Contains(log, password) { // LG-10
			t.Errorf("the password is in the log:\n%s", log)
		}
	}
}
