//go:build unix

package durability_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/need"
)

// A primary and its synchronous standby: under load the primary is killed as by kill -9 and the standby promoted. The
// program is not restarted and was told of both from the start. Nothing acknowledged is lost, and clients who insist get on.
func TestFailoverLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	primary := c.initdb("primary")
	// A commit is acknowledged when the standby has flushed it (synchronous_commit is on by default).
	primary.start("accept connections", "-c", "synchronous_standby_names=*")
	standby := c.copy(primary, "standby")
	// When it is promoted it must not wait for a standby of its own, nor long for the primary to come back.
	standby.start("accept read-only connections", "-c", "synchronous_standby_names=", "-c", "wal_retrieve_retry_interval=100ms")

	// The way to set up clients: both servers, of which the one that can write is meant, and a bound on how long one that
	// does not answer is waited for.
	dsn := fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?target_session_attrs=read-write&connect_timeout=2",
		primary.port, standby.port)
	w := newWorld(t, place{Driver: "pgx", DSN: dsn, Schema: "auth"}, 6)
	p := start(t, w.order())
	w.fleet.set(0, p.url)
	standby.mustBe(t, "in recovery", "SELECT pg_is_in_recovery()")
	primary.mustBe(t, "synchronous", "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')")
	began := time.Now()

	w.round(t, func(ctx context.Context) { w.moment(ctx, 100, 200) })
	w.audit(t, false)

	w.trouble = true // from here on, answers of 5xx are to be expected
	var down, back time.Time
	w.round(t, func(ctx context.Context) {
		w.moment(ctx, 50, 100)
		primary.kill()
		down = time.Now()
		standby.mustBe(t, "promoted", "SELECT pg_promote(true, 60)")
		back = time.Now()
		w.moment(ctx, 200, 300)
	})
	w.trouble = false
	w.audit(t, true)
	t.Logf("promoted after %v", back.Sub(down).Round(time.Millisecond))

	// And afterwards nothing is left of it.
	w.round(t, func(ctx context.Context) { w.moment(ctx, 100, 200) })
	w.audit(t, true)
	w.tell(t, began)
}

// cluster is where servers of PostgreSQL come from.
type cluster struct {
	t    *testing.T
	bin  string
	dir  string
	user *syscall.SysProcAttr // whom they run as
}

// newCluster finds PostgreSQL's binaries, or skips the test.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, user: &syscall.SysProcAttr{}}
	missing := func(why any) {
		if os.Getenv("AUTH_TEST_POSTGRES") != "" {
			t.Skipf("the database is elsewhere, and its binaries are not here: %v", why)
		}
		need.Missing(t, why)
	}
	dirs, err := binDirs()
	if err != nil {
		missing(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			c.bin = dir
			break
		}
	}
	if c.bin == "" {
		missing(errors.New("no initdb; set AUTH_TEST_POSTGRES_BIN to the directory of PostgreSQL's server binaries"))
	}
	if c.dir, err = os.MkdirTemp("", "auth-durability-"); err != nil { // that of the test is closed to other users
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(c.dir); err != nil {
			t.Error(err)
		}
	})
	if os.Getuid() != 0 {
		return c
	}
	// The server refuses to run as root.
	u, err := user.Lookup("postgres")
	if err != nil {
		missing(err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(c.dir, int(uid), int(gid))); err != nil {
		t.Fatal(err)
	}
	c.user.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return c
}

// binDirs are the directories in which the binaries may be, the likeliest first.
func binDirs() ([]string, error) {
	if dir := os.Getenv("AUTH_TEST_POSTGRES_BIN"); dir != "" {
		return []string{dir}, nil
	}
	var dirs []string
	if path, err := exec.LookPath("pg_config"); err == nil {
		if said, err := exec.Command(path, "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(said)))
		}
	}
	debian, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(debian, func(a, b string) int { return version(b) - version(a) })
	return append(dirs, debian...), err
}

// command is one of the binaries.
func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+c.dir)
	cmd.SysProcAttr = c.user
	return cmd
}

func (c *cluster) must(cmd *exec.Cmd) {
	c.t.Helper()
	if said, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", cmd.Path, err, said)
	}
}

// server is a server of PostgreSQL.
type server struct {
	*cluster
	data string
	port int
	cmd  *exec.Cmd
	log  *tail
	read chan struct{} // closed when the log has ended
}

func (c *cluster) newServer(name string) *server {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	return &server{cluster: c, data: filepath.Join(c.dir, name), port: l.Addr().(*net.TCPAddr).Port, log: &tail{}}
}

func (c *cluster) initdb(name string) *server {
	c.t.Helper()
	s := c.newServer(name)
	c.must(c.command("initdb", "--pgdata", s.data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync"))
	return s
}

// copy makes a standby of a running server.
func (c *cluster) copy(from *server, name string) *server {
	c.t.Helper()
	s := c.newServer(name)
	c.must(c.command("pg_basebackup", "--pgdata", s.data, "--host", "127.0.0.1", "--port", strconv.Itoa(from.port),
		"--username", "postgres", "--write-recovery-conf", "--checkpoint", "fast", "--no-sync"))
	return s
}

// start starts the server and waits until it says that it is ready.
func (s *server) start(ready string, args ...string) {
	s.t.Helper()
	s.cmd = s.command("postgres", append([]string{
		"-D", s.data, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "logging_collector=off", "-c", "log_destination=stderr", "-c", "shared_buffers=32MB",
	}, args...)...)
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stderr = w
	err = s.cmd.Start()
	_ = w.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
	is := make(chan struct{})
	read := make(chan struct{})
	s.read = read
	go func() {
		defer close(read)
		defer r.Close()
		said := sync.OnceFunc(func() { close(is) })
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadBytes('\n')
			_, _ = s.log.Write(line)
			if bytes.Contains(line, []byte("ready to "+ready)) {
				said()
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					_, _ = s.log.Write([]byte(err.Error()))
				}
				return
			}
		}
	}()
	select {
	case <-is:
	case <-read:
		s.t.Fatalf("the server does not start:\n%s", s.log)
	case <-time.After(time.Minute):
		s.t.Fatalf("the server is not ready to %s:\n%s", ready, s.log)
	}
}

// kill ends the server as kill -9 does: its processes notice that their parent is gone and end.
func (s *server) kill() {
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Errorf("kill the server: %v", err)
	}
	_ = s.cmd.Wait() // "signal: killed"
}

// stop shuts the server down. One that was killed is started once more before, to give back its shared memory.
func (s *server) stop() {
	if s.t.Failed() {
		s.t.Logf("the server in %s said:\n%s", filepath.Base(s.data), s.log)
	}
	if s.cmd.ProcessState != nil {
		<-s.read // its last process is gone
		single := s.command("postgres", "--single", "-D", s.data, "postgres")
		if said, err := single.CombinedOutput(); err != nil {
			s.t.Errorf("recover the server: %v\n%s", err, said)
		}
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil { // "fast": it does not wait for clients
		s.t.Errorf("stop the server: %v", err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("stop the server: %v", err)
	}
}

// mustBe asks the server itself something to which the answer must be yes.
func (s *server) mustBe(t *testing.T, what, query string) {
	t.Helper()
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var yes bool
	if err := db.QueryRowContext(ctx, query).Scan(&yes); err != nil || !yes {
		t.Fatalf("the server in %s is not %s: %v", filepath.Base(s.data), what, err)
	}
}
