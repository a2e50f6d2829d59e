package durability_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/smtpmail"
	"github.com/ostiary/auth/store"
)

// asProgram is the variable that makes the test binary the program under test: its value is the order.
const asProgram = "AUTH_DURABILITY_PROGRAM"

var (
	kills = flag.Int("kills", int(number("AUTH_TEST_KILLS", 20)), "how often the program is killed, for each database")
	seed  = flag.Uint64("seed", number("AUTH_TEST_SEED", uint64(time.Now().UnixNano())), "what the moments and the calls are drawn from")
)

// number reads a number from the environment.
func number(name string, otherwise uint64) uint64 {
	text, set := os.LookupEnv(name)
	if !set {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	return n
}

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(asProgram); ok {
		fmt.Fprintln(os.Stderr, run(text))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// order says what the program under test is to do.
type order struct {
	Place  place
	Secret []byte
	Post   string // where letters are to be posted
	SMTP   int    // unless 0: the port of the mail server that letters are to be sent to instead
	Loop   bool   // deliver letters by Engine.Run, and not before the call returns

	Ahead time.Duration // by how much its clock is ahead
}

// run is the program under test. It says on its standard output where it listens, once it serves.
func run(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	// It does not outlive the test, whatever becomes of that.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	ctx := context.Background()
	s, closeStore, err := o.Place.open(ctx)
	if err != nil {
		return err
	}
	defer closeStore()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	sender := postTo(o.Post)
	if o.SMTP != 0 {
		if sender, err = smtpTo(o.SMTP); err != nil {
			return err
		}
	}
	c := config(o.Secret, sender, logger)
	c.Now = func() time.Time { return time.Now().Add(o.Ahead) }
	engine, handler, err := newServer(s, c)
	if err != nil {
		return err
	}
	if o.Loop {
		go func() { _ = engine.Run(ctx) }()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	return httpadapter.NewServer("", handler).Serve(listener)
}

func newServer(s store.Store, c auth.Config) (*auth.Engine, http.Handler, error) {
	engine, err := auth.New(s, c)
	if err != nil {
		return nil, nil, err
	}
	handler, err := httpadapter.New(engine, httpadapter.Options{Logger: c.Logger})
	return engine, handler, err
}

// serverURL is what links in letters begin with. The programs listen elsewhere, and serve at the root.
const serverURL = "https://auth.test"

func config(secret []byte, sender mail.Sender, logger *slog.Logger) auth.Config {
	return auth.Config{
		ServerURL: serverURL,
		ClientURL: "https://app.test",
		Secret:    secret,
		// The least that Argon2id can do: it is the stores that are to be kept busy.
		Password:  &auth.PasswordConfig{Argon2: auth.Argon2{MemoryKiB: 8, Time: 1, Threads: 1}},
		Anonymous: &auth.AnonymousConfig{},
		// A client that lost an answer has to come back within the grace period, however long the restart takes here.
		Sessions: auth.SessionsConfig{Grace: time.Minute},
		// All clients of the world are one to it.
		Limits: auth.LimitsConfig{Off: true},
		Mail:   sender,
		Logger: logger,
		Events: auth.EventFunc(func(context.Context, auth.Event) {}),
	}
}

// senderFunc is a function that is a [mail.Sender].
type senderFunc func(context.Context, mail.Message) error

func (f senderFunc) Send(ctx context.Context, m mail.Message) error { return f(ctx, m) }

// postTo is a sender that posts letters to a URL: another process takes responsibility for them, as a mail server does.
func postTo(url string) mail.Sender {
	return senderFunc(func(ctx context.Context, m mail.Message) error {
		body, err := json.Marshal(m)
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			return fmt.Errorf("posting a letter: %s", answer.Status)
		}
		return nil
	})
}

// smtpTo is a sender that sends letters to a mail server on this host, in the clear: what a letter is worth in transit is
// tested elsewhere.
func smtpTo(port int) (mail.Sender, error) {
	return smtpmail.New(smtpmail.Config{
		Host: "127.0.0.1", Port: port, TLS: smtpmail.NoTLS, From: "Ostiary <noreply@example.org>",
	})
}

// program is a running program under test.
type program struct {
	url    string
	cmd    *exec.Cmd
	stderr *tail
}

// start runs a program and waits until it serves. It is killed when the test ends, if not before.
func start(t *testing.T, o order) *program {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(exe), stderr: &tail{}}
	p.cmd.Env = append(os.Environ(), asProgram+"="+string(text))
	p.cmd.Stderr = p.stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // open until the test lets go of it
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(t) })
	late := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !late.Stop() || err != nil {
		t.Fatalf("the program does not start: %v\n%s", err, p.stderr)
	}
	p.url = strings.TrimSpace(line)
	return p
}

// kill ends the program as kill -9 does. What it had to say of data races and panics fails the test.
func (p *program) kill(t *testing.T) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("kill the program: %v", err)
	}
	_ = p.cmd.Wait() // "signal: killed"
	said := p.stderr.String()
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(said, bad) {
			t.Errorf("the program said %q:\n%s", bad, said)
		}
	}
	if t.Failed() && said != "" {
		t.Logf("the program said last:\n%s", said)
	}
}

// tail keeps the beginning and the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(b []byte) (int, error) {
	const most = 32 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if len(l.text) > 2*most {
		l.text = append(l.text[:most:most], l.text[len(l.text)-most:]...)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
