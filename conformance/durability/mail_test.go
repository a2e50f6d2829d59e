package durability_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/fakesmtp"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/mail/smtpmail"
	"github.com/ostiary/auth/store"
)

// later is by how much a clock is put forward to be past every claim and the delay after a first failure.
const later = 2 * time.Minute

// office is a realm and the mail server that its letters go to.
type office struct {
	place  place
	secret []byte
	server *fakesmtp.Server
}

// inEveryDatabase runs a test with each kind of database that outlives a process.
func inEveryDatabase(t *testing.T, test func(*testing.T, *office)) {
	t.Helper()
	for name, newPlace := range map[string]func(*testing.T) place{"SQLite": sqlitePlace, "PostgreSQL": postgresPlace} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &office{place: newPlace(t), secret: make([]byte, 32)}
			rand.Read(o.secret) //nolint:errcheck // never fails; a broken source ends the program
			test(t, o)
		})
	}
}

type (
	answer = func(c *fakesmtp.Conn, verb, argument string) fakesmtp.Reply
	reply  = fakesmtp.Reply
)

// serve starts the mail server. answer says how it misbehaves.
func (o *office) serve(t *testing.T, a answer) {
	t.Helper()
	o.server = fakesmtp.Start(t, fakesmtp.Options{Answer: a})
}

// sender sends to the mail server, or to another port of this host.
func (o *office) sender(t *testing.T, timeout time.Duration, port int) mail.Sender {
	t.Helper()
	s, err := smtpmail.New(smtpmail.Config{
		Host: o.server.Host, Port: port, TLS: smtpmail.NoTLS, From: "Ostiary <noreply@example.org>", Timeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// open opens the store until the test ends.
func (o *office) open(t *testing.T) store.Store {
	t.Helper()
	s, closeStore, err := o.place.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	return s
}

// engine is an engine of this process, whose clock is ahead, and its routes.
func (o *office) engine(t *testing.T, s store.Store, sender mail.Sender, ahead time.Duration) (*auth.Engine, http.Handler, *authtest.Events) {
	t.Helper()
	events := &authtest.Events{}
	c := config(o.secret, sender, slog.New(slog.DiscardHandler))
	c.Now = func() time.Time { return time.Now().Add(ahead) }
	c.Events = events
	e, handler, err := newServer(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return e, handler, events
}

// deliver has a loop deliver all that is due when the clock is ahead by some time, and returns what it tells the operator.
func (o *office) deliver(t *testing.T, s store.Store, sender mail.Sender, ahead time.Duration) *authtest.Events {
	t.Helper()
	ctx, end := context.WithCancelCause(t.Context())
	e, _, events := o.engine(t, outbox{s, end}, sender, ahead)
	_ = e.Run(ctx)
	if err := context.Cause(ctx); !errors.Is(err, errEmpty) {
		t.Fatalf("deliver what is in the outbox: %v", err)
	}
	return events
}

func signUpBody(email string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, authtest.Password)
}

// calls signs an address up, which causes a letter, and checks that the caller is told of success.
func calls(t *testing.T, handler http.Handler, email string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/signup/email-password", strings.NewReader(signUpBody(email)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("sign up %s: %d %s", email, w.Code, w.Body)
	}
}

// wantOutbox checks how many letters are in the outbox, those included that have been given up, and how many those are.
func (o *office) wantOutbox(t *testing.T, letters, dead int) {
	t.Helper()
	b := o.place.look(t)
	defer b.close()
	for query, want := range map[string]int{`SELECT count(*) FROM {t}messages`: letters, `SELECT count(*) FROM {t}messages WHERE dead`: dead} {
		if n, err := b.count(t.Context(), query); err != nil || n != want {
			t.Errorf("%s: %d, %v; want %d", query, n, err, want)
		}
	}
}

// awaitEmpty waits until others have delivered all letters and noted it. It only watches.
func (o *office) awaitEmpty(t *testing.T) {
	t.Helper()
	b := o.place.look(t)
	defer b.close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := b.count(ctx, `SELECT count(*) FROM {t}messages`)
		if err != nil {
			t.Fatalf("the letters are not delivered: %v", err)
		}
		if n == 0 {
			return
		}
		<-tick.C
	}
}

// accepted returns the Message-IDs of the letters that the server has accepted, by recipient.
func (o *office) accepted(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	for _, l := range o.server.Letters() {
		m, err := netmail.ReadMessage(strings.NewReader(l.Content))
		if err != nil {
			t.Fatal(err)
		}
		to := strings.Trim(l.To, "<>")
		names[to] = append(names[to], m.Header.Get("Message-Id"))
	}
	return names
}

// wantLetters checks that the server has accepted a number of letters, and that they are one and the same.
func (o *office) wantLetters(t *testing.T, to string, n int) {
	t.Helper()
	names := o.accepted(t)
	if len(names[to]) != n || len(o.server.Letters()) != n {
		t.Fatalf("%s gets %d letters of %d, want %d", to, len(names[to]), len(o.server.Letters()), n)
	}
	if different := slices.Compact(names[to]); len(different) != 1 || different[0] == "" {
		t.Errorf("one letter has the names %q", different)
	}
}

// ST-01: the process is killed while it talks to the mail server. A letter that was not accepted comes once; one that was,
// without anybody having noted it, comes once more, under the same name, by which a mailbox can tell. None is lost.
func TestALetterSurvivesKill9(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		verb  string // at which the process dies
		reply reply  // to nobody
		want  int    // letters in the end
	}{
		"before the server has answered":  {"CONNECT", reply{Drop: true}, 1},
		"before the recipient is known":   {"RCPT", reply{Drop: true}, 1},
		"before the letter is accepted":   {"CONTENT", reply{Drop: true}, 1},
		"before its acceptance was noted": {"CONTENT", reply{Unsaid: true}, 2},
	} {
		for _, loop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, loop %t", name, loop), func(t *testing.T) {
				t.Parallel()
				inEveryDatabase(t, func(t *testing.T, o *office) {
					reached, gone := make(chan struct{}), make(chan struct{})
					o.serve(t, func(c *fakesmtp.Conn, verb, _ string) reply {
						if c.Number != 1 || verb != tt.verb {
							return reply{}
						}
						close(reached)
						<-gone
						return tt.reply
					})
					first := start(t, order{Place: o.place, Secret: o.secret, SMTP: o.server.Port, Loop: loop})
					var call sync.WaitGroup
					call.Go(func() {
						// With a loop it is answered, without it is not. Either is fine; the letter comes.
						answer, err := http.Post(first.url+"/signup/email-password", "application/json", strings.NewReader(signUpBody(ada)))
						if err == nil {
							_ = answer.Body.Close()
						}
					})
					select {
					case <-reached:
					case <-time.After(patience):
						close(gone)
						t.Fatal("the letter is not sent")
					}
					o.wantOutbox(t, 1, 0)
					first.kill(t)
					close(gone)
					call.Wait()

					second := start(t, order{Place: o.place, Secret: o.secret, SMTP: o.server.Port, Loop: true, Ahead: later})
					o.awaitEmpty(t)
					second.kill(t)
					o.wantLetters(t, ada, tt.want)
				})
			})
		}
	}
}

// A mail server that is down delays letters and loses none: the caller is not told, the letter waits for its time, and a loop
// delivers it when the server is up. If the server has accepted it and the answer was lost, it comes twice by one name.
func TestAMailServerThatIsDown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		verb  string
		reply reply
		want  int
	}{
		"refuses connections":          {"", reply{}, 1},
		"hangs up":                     {"CONNECT", reply{Drop: true}, 1},
		"says that it is closing":      {"CONNECT", reply{Text: "421 4.3.2 closing", Drop: true}, 1},
		"says nothing":                 {"CONNECT", reply{Silence: true}, 1},
		"goes away during the letter":  {"CONTENT", reply{Drop: true}, 1},
		"goes away with its answer":    {"CONTENT", reply{Unsaid: true}, 2},
		"says nothing to the letter":   {"CONTENT", reply{Silence: true}, 1},
		"cannot deliver now":           {"RCPT", reply{Text: "450 4.2.0 try later"}, 1},
		"has no room for it":           {"CONTENT", reply{Text: "452 4.3.1 full"}, 1},
		"does not let us in":           {"MAIL", reply{Text: "530 5.7.0 authenticate"}, 1},
		"refuses by policy, grey list": {"RCPT", reply{Text: "554 5.7.1 who are you?"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inEveryDatabase(t, func(t *testing.T, o *office) {
				var up atomic.Bool
				o.serve(t, func(_ *fakesmtp.Conn, verb, _ string) reply {
					if verb == tt.verb && !up.Load() {
						return tt.reply
					}
					return reply{}
				})
				port, timeout := o.server.Port, time.Duration(0)
				if tt.verb == "" {
					port = closedPort(t)
				}
				if tt.reply.Silence {
					timeout = 50 * time.Millisecond
				}
				s := o.open(t)
				_, handler, events := o.engine(t, s, o.sender(t, timeout, port), 0)
				calls(t, handler, ada)
				if n, lost := len(events.Of(auth.EventMessageFailed)), len(events.Of(auth.EventMessageGivenUp)); n != 1 || lost != 0 {
					t.Errorf("%d failures, %d letters given up", n, lost)
				}
				o.wantOutbox(t, 1, 0)

				up.Store(true)
				sender := o.sender(t, 0, o.server.Port)
				before := len(o.server.Letters())
				o.deliver(t, s, sender, 0) // it is not due
				if n := len(o.server.Letters()); n != before {
					t.Errorf("it is tried again at once, and %d letters have come", n)
				}
				if failed := o.deliver(t, s, sender, later).Of(auth.EventMessageFailed, auth.EventMessageGivenUp); len(failed) != 0 {
					t.Errorf("failures: %v", failed)
				}
				o.wantOutbox(t, 0, 0)
				o.wantLetters(t, ada, tt.want)
			})
		})
	}
}

// closedPort is one at which nobody answers, or at least nobody who knows of us.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// How an operator sees the letters that have been given up, and has them sent after all, as the operating guide says it.
var (
	seeDead = map[string]string{
		"pgx":    "SELECT id, created_at, attempts FROM auth.messages WHERE dead ORDER BY created_at;",
		"sqlite": "SELECT lower(hex(id)), datetime(created_at / 1000000, 'unixepoch'), attempts FROM auth_messages WHERE dead ORDER BY created_at;",
	}
	requeueDead = map[string]string{
		"pgx":    "UPDATE auth.messages SET dead = false, attempts = 0, next_at = now() WHERE dead;",
		"sqlite": "UPDATE auth_messages SET dead = 0, attempts = 0, next_at = 0 WHERE dead;",
	}
)

// A letter that the mail server refuses for good is given up at once. It is kept: once the reason is gone, an operator can
// have it sent, and it is still the same letter.
func TestALetterThatIsRefusedForGood(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"RCPT", "CONTENT"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			inEveryDatabase(t, func(t *testing.T, o *office) {
				var attempts atomic.Int32
				var mended atomic.Bool
				o.serve(t, func(_ *fakesmtp.Conn, v, _ string) reply {
					if v != verb {
						return reply{}
					}
					attempts.Add(1)
					if mended.Load() {
						return reply{}
					}
					return reply{Text: "550 5.1.1 no such mailbox"}
				})
				s, sender := o.open(t), o.sender(t, 0, o.server.Port)
				_, handler, events := o.engine(t, s, sender, 0)
				calls(t, handler, ada)
				if failed, lost := len(events.Of(auth.EventMessageFailed)), len(events.Of(auth.EventMessageGivenUp)); failed != 0 || lost != 1 {
					t.Errorf("%d failures, %d letters given up", failed, lost)
				}
				o.wantOutbox(t, 1, 1)
				mended.Store(true)
				o.deliver(t, s, sender, 365*24*time.Hour)
				o.wantOutbox(t, 1, 1)
				if n := attempts.Load(); n != 1 {
					t.Errorf("%d attempts", n)
				}

				o.operate(t, guide, seeDead, 1)
				o.operate(t, guide, requeueDead, 0)
				o.deliver(t, s, sender, later)
				o.wantOutbox(t, 0, 0)
				o.wantLetters(t, ada, 1)
			})
		})
	}
}

// operate runs a statement of the operating guide, which returns so many rows.
func (o *office) operate(t *testing.T, guide []byte, statements map[string]string, want int) {
	t.Helper()
	statement := statements[o.place.Driver]
	if !strings.Contains(string(guide), statement) {
		t.Errorf("the operating guide does not say %q", statement)
	}
	db, err := sql.Open(o.place.Driver, o.place.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), strings.ReplaceAll(statement, "auth.", o.place.Schema+"."))
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil || n != want {
		t.Errorf("%s: %d rows, %v; want %d", statement, n, err, want)
	}
}

// watched tells when a loop has found nothing to do for the first time: from then on it is running, and idle.
type watched struct {
	store.Store
	once *sync.Once
	idle chan struct{}
}

func (w watched) ClaimMessages(ctx context.Context, c store.MessageClaim) ([]store.Message, error) {
	list, err := w.Store.ClaimMessages(ctx, c)
	if err == nil && len(list) == 0 {
		w.once.Do(func() { close(w.idle) })
	}
	return list, err
}

// With a loop, a mail server that does not answer holds up the loop and nobody else: all calls have returned while it still
// has the first letter in hand, and when it does answer, all letters come.
func TestACallDoesNotWaitForTheMailServer(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"CONNECT", "RCPT", "CONTENT"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			inEveryDatabase(t, func(t *testing.T, o *office) {
				held, release := make(chan struct{}), make(chan struct{})
				var once sync.Once
				o.serve(t, func(_ *fakesmtp.Conn, v, _ string) reply {
					if v == verb {
						once.Do(func() { close(held) })
						<-release
					}
					return reply{}
				})
				released := sync.OnceFunc(func() { close(release) })
				w := watched{o.open(t), &sync.Once{}, make(chan struct{})}
				e, handler, events := o.engine(t, w, o.sender(t, 0, o.server.Port), 0)
				ctx, stop := context.WithCancel(t.Context())
				var loop sync.WaitGroup
				loop.Go(func() { _ = e.Run(ctx) })
				defer loop.Wait()
				defer stop()
				defer released()
				<-w.idle

				people := []string{"ada@example.com", "bob@example.com", "eve@example.com"}
				for _, email := range people {
					calls(t, handler, email)
					// No attempt has ended, so the call has not waited for the end of one.
					if failed := events.Of(auth.EventMessageFailed, auth.EventMessageGivenUp); len(failed) != 0 || len(o.server.Letters()) != 0 {
						t.Fatalf("%d letters have come, and %v", len(o.server.Letters()), failed)
					}
				}
				<-held
				o.wantOutbox(t, len(people), 0)
				released()
				o.awaitEmpty(t)
				names := o.accepted(t)
				for _, email := range people {
					if len(names[email]) != 1 {
						t.Errorf("%s gets %d letters", email, len(names[email]))
					}
				}
			})
		})
	}
}

// Two programs with a loop each share one outbox: of many letters each is sent once, and no two by one name.
func TestLoopsOfReplicasSendEachLetterOnce(t *testing.T) {
	t.Parallel()
	const people = 200
	inEveryDatabase(t, func(t *testing.T, o *office) {
		// The first to have a letter in hand is held until the other is there as well: a loop has one at a time, so the second
		// connection is not its own.
		both := make(chan struct{})
		o.serve(t, func(c *fakesmtp.Conn, verb, _ string) reply {
			switch {
			case verb == "CONNECT" && c.Number == 2:
				close(both)
			case verb == "CONTENT" && c.Number == 1:
				<-both
			}
			return reply{}
		})
		_, handler, _ := o.engine(t, o.open(t), senderFunc(func(context.Context, mail.Message) error { return errors.New("not now") }), 0)
		for i := range people {
			calls(t, handler, fmt.Sprintf("user%d@example.com", i))
		}
		o.wantOutbox(t, people, 0)

		var programs [2]*program
		var starting sync.WaitGroup
		for i := range programs {
			starting.Go(func() {
				programs[i] = start(t, order{Place: o.place, Secret: o.secret, SMTP: o.server.Port, Loop: true, Ahead: later})
			})
		}
		starting.Wait()
		if t.Failed() {
			return
		}
		o.awaitEmpty(t)
		for _, p := range programs {
			p.kill(t)
		}
		seen := map[string]bool{}
		names := o.accepted(t)
		for to, ids := range names {
			if len(ids) != 1 || seen[ids[0]] {
				t.Errorf("%s gets the letters %q", to, ids)
			}
			seen[ids[0]] = true
		}
		if len(names) != people {
			t.Errorf("%d of %d letters have come", len(names), people)
		}
	})
}
