package durability_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
)

// world is all that is outside of the programs: clients, the post, and the database's own tools.
type world struct {
	place   place
	secret  []byte
	post    *post
	fleet   fleet
	tally   tally
	clients []*client
	random  *mathrand.Rand // of the test's goroutine

	// trouble says that a program may answer with 5xx, because its database is down at times. Otherwise it may not.
	trouble bool

	mu     sync.Mutex
	faults []string // what should not be
}

func newWorld(t *testing.T, p place, clients int) *world {
	t.Helper()
	w := &world{
		place: p, secret: make([]byte, 32), post: newPost(t),
		random: mathrand.New(mathrand.NewPCG(*seed, uint64(len(t.Name())))),
	}
	rand.Read(w.secret) //nolint:errcheck // never fails; a broken source ends the program
	t.Logf("seed %d", *seed)
	for i := range clients {
		w.clients = append(w.clients, &client{
			world: w, name: fmt.Sprintf("client%d", i), random: mathrand.New(mathrand.NewPCG(*seed, uint64(i))),
		})
	}
	return w
}

// order is for a program of this world.
func (w *world) order() order {
	return order{Place: w.place, Secret: w.secret, Post: w.post.url, Loop: w.random.IntN(2) == 0}
}

// fault notes something that should not be.
func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// settle fails the test if there were faults.
func (w *world) settle(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		t.Error(f)
	}
	if len(w.faults) > 0 {
		t.FailNow()
	}
}

// patience is how long a round may take before it counts as hung.
const patience = 90 * time.Second

// round has all clients make calls until disturb, which does its worst meanwhile, has returned. Each client then still
// ends what it is at. Faults fail the test.
func (w *world) round(t *testing.T, disturb func(ctx context.Context)) {
	t.Helper()
	w.load(t, disturb)
	w.settle(t)
}

func (w *world) load(t *testing.T, disturb func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	over := make(chan struct{})
	var all sync.WaitGroup
	for _, c := range w.clients {
		all.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-over:
					return
				default:
					c.step(ctx)
				}
			}
		})
	}
	func() {
		defer close(over) // also where the test ends here
		disturb(ctx)
	}()
	all.Wait()
	if ctx.Err() != nil {
		w.fault("the round did not end in time")
	}
}

// audit compares what the clients remember with the tables, and then with what the programs say: of the people whom they
// had to do with since the last audit, or of everyone. Faults fail the test.
func (w *world) audit(t *testing.T, everyone bool) {
	t.Helper()
	w.deliverAll(t)
	w.compare(t)
	w.settle(t)
	w.visit(t, everyone)
	w.settle(t)
}

func (w *world) visit(t *testing.T, everyone bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var all sync.WaitGroup
	for _, c := range w.clients {
		all.Go(func() {
			for _, p := range c.people {
				if everyone || p.touched {
					c.visit(ctx, p)
					p.touched = false
				}
			}
		})
	}
	all.Wait()
}

// deliverAll has every letter delivered that is in the outbox, also those that a killed program had in hand: to the engine
// that does it two minutes have passed.
func (w *world) deliverAll(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, closeStore, err := w.place.open(ctx)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	defer closeStore()
	if err := deliverAll(ctx, s, w.secret, w.post); err != nil {
		t.Fatal(err)
	}
}

func deliverAll(ctx context.Context, s store.Store, secret []byte, post *post) error {
	ctx, cancel := context.WithCancelCause(ctx)
	c := config(secret, senderFunc(post.send), slog.New(slog.DiscardHandler))
	c.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	engine, err := auth.New(outbox{s, cancel}, c)
	if err != nil {
		return err
	}
	_ = engine.Run(ctx)
	if err := context.Cause(ctx); !errors.Is(err, errEmpty) {
		return fmt.Errorf("deliver what is in the outbox: %w", err)
	}
	return nil
}

var errEmpty = errors.New("the outbox is empty")

// outbox ends the loop that uses it when there is no letter left to claim.
type outbox struct {
	store.Store
	end context.CancelCauseFunc
}

func (o outbox) ClaimMessages(ctx context.Context, c store.MessageClaim) ([]store.Message, error) {
	list, err := o.Store.ClaimMessages(ctx, c)
	switch {
	case err != nil:
		o.end(err)
	case len(list) == 0 && c.Channel == "mail":
		o.end(errEmpty)
	}
	return list, err
}

// compare compares what the clients remember with the tables. Nobody may be making calls.
func (w *world) compare(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := w.place.look(t)
	defer b.close()
	b.check(ctx, w.fault)
	if n, err := b.count(ctx, `SELECT count(*) FROM {t}messages`); err != nil || n != 0 {
		w.fault("%d letters are stuck in the outbox, %v", n, err)
	}
	addresses, err := b.addresses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := b.sessions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, c := range w.clients {
		for _, p := range c.people {
			if p.email != "" {
				known++
				verified, there := addresses[p.email]
				switch {
				case !there:
					w.fault("%s has signed up and is not there", p.email)
				case verified != p.verified:
					w.fault("%s: verified is %t, and the client was told %t", p.email, verified, p.verified)
				case !verified && w.post.link(p.email) == "":
					w.fault("%s has signed up and gets no letter", p.email)
				}
			}
			for _, s := range p.sessions {
				if generation, there := sessions[s.id]; !there || generation != s.rotations {
					w.fault("%s: session %s, there %t, has generation %d, and was refreshed %d times", p, s.id, there, generation, s.rotations)
				}
			}
			for _, s := range p.ended {
				if _, there := sessions[s.id]; there {
					w.fault("%s: session %s was signed out and is there", p, s.id)
				}
			}
		}
	}
	if known != len(addresses) {
		w.fault("%d people have signed up, and there are %d users with an address", known, len(addresses))
	}
}

// fleet are the programs that clients can turn to. It is safe for concurrent use.
type fleet struct {
	mu      sync.Mutex
	urls    map[int]string
	changed chan struct{} // closed by the next change
}

// set says where program i is. Clients who wait for one go on.
func (f *fleet) set(i int, url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.urls == nil {
		f.urls = map[int]string{}
	}
	f.urls[i] = url
	if url == "" {
		delete(f.urls, i)
	}
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// pick returns one of the programs, by any number. Where there is none it waits for one.
func (f *fleet) pick(ctx context.Context, any int) (string, error) {
	for {
		f.mu.Lock()
		if n := any % max(len(f.urls), 1); len(f.urls) > 0 {
			defer f.mu.Unlock()
			for i := 0; ; i++ {
				if url, up := f.urls[i]; up {
					if n == 0 {
						return url, nil
					}
					n--
				}
			}
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// tally counts answers. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	n      int
	target int
	done   chan struct{}
}

func (a *tally) add() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	if a.done != nil && a.n >= a.target {
		close(a.done)
		a.done = nil
	}
}

func (a *tally) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// await waits for n more answers. One goroutine at a time may.
func (a *tally) await(ctx context.Context, n int) {
	done := make(chan struct{})
	a.mu.Lock()
	a.target, a.done = a.n+n, done
	a.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// moment waits until something between from and to more answers have come, and then for up to some milliseconds, so that it
// is no moment at which anything in particular happens.
func (w *world) moment(ctx context.Context, from, to int) {
	w.tally.await(ctx, from+w.random.IntN(to-from+1))
	select {
	case <-time.After(time.Duration(w.random.IntN(5000)) * time.Microsecond):
	case <-ctx.Done():
	}
}

// post takes letters and keeps the links in them. It is safe for concurrent use.
type post struct {
	url    string
	lose   func(mail.Message) bool // unless nil: letters to accept and lose
	mu     sync.Mutex
	links  map[string]string
	amount int
}

func newPost(t *testing.T) *post {
	p := &post{links: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m mail.Message
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err == nil {
			err = p.send(r.Context(), m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// send implements [mail.Sender], as a function.
func (p *post) send(_ context.Context, m mail.Message) error {
	link, ours := strings.CutPrefix(m.Variables["link"], serverURL)
	if m.Template != "email-verify" || !ours {
		return fmt.Errorf("an unexpected letter %s", m.Template)
	}
	if p.lose != nil && p.lose(m) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[strings.Trim(m.To, "<>")] = link
	p.amount++
	return nil
}

// link returns the link in the last letter to an address, from /verify on, or the empty string if none has come.
func (p *post) link(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.links[address]
}
