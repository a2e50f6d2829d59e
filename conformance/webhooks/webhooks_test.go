package webhooks_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/conformance/internal/postgres"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
	"github.com/ostiary/auth/webhook"
)

// place is a store, and a way to call it in a transaction of the service's.
type place struct {
	store store.Store
	// within calls do in a transaction, and then commits or rolls back; nil where there are no transactions.
	within func(ctx context.Context, commit bool, do func(context.Context)) error
}

// everywhere runs a test with each of the stores.
func everywhere(t *testing.T, test func(*testing.T, place)) {
	for name, open := range map[string]func(*testing.T) place{
		"memory":     func(*testing.T) place { return place{store: memstore.New()} },
		"SQLite":     openSQLite,
		"PostgreSQL": openPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func openSQLite(t *testing.T) place {
	s, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "auth.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return place{s, func(ctx context.Context, commit bool, do func(context.Context)) error {
		tx, err := s.DB().BeginTx(ctx, &sql.TxOptions{})
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
		do(sqlitestore.WithTx(ctx, tx))
		if !commit {
			return tx.Rollback()
		}
		return tx.Commit()
	}}
}

func openPostgres(t *testing.T) place {
	d := postgres.Open(t)
	return place{d.Store, func(ctx context.Context, commit bool, do func(context.Context)) error {
		tx, err := d.Pool.BeginTx(ctx, pgx.TxOptions{})
		if err != nil {
			return err
		}
		do(pgstore.WithTx(ctx, tx))
		if !commit {
			return tx.Rollback(ctx)
		}
		return tx.Commit(ctx)
	}}
}

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// receiver is a server that takes webhooks, and refuses what the library of the standard refuses.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	faults []error
	times  map[string]int // by webhook-id, those that were answered with success
	asked  map[string]int // likewise, all
	bodies []string
}

// newReceiver returns a receiver that fails the first time that it gets a message, if it is to.
func newReceiver(t *testing.T, failFirst bool) *receiver {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{times: map[string]int{}, asked: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err == nil {
			err = library.Verify(body, q.Header)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		id := q.Header.Get("webhook-id")
		if r.asked[id]++; failFirst && r.asked[id] == 1 {
			http.Error(w, "not now", http.StatusConflict)
			return
		}
		r.bodies = append(r.bodies, string(body))
		if r.times[id]++; err != nil {
			r.faults = append(r.faults, err)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// messages waits until so many have come, and returns how many there are.
func (r *receiver) messages(ctx context.Context, n int) int {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		got := len(r.times)
		r.mu.Unlock()
		if got >= n {
			return got
		}
		select {
		case <-ctx.Done():
			return got
		case <-tick.C:
		}
	}
}

func newEngine(t *testing.T, s store.Store, now func() time.Time, list ...auth.WebhookConfig) *auth.Engine {
	t.Helper()
	e, err := auth.New(s, auth.Config{
		ServerURL: "https://auth.test", ClientURL: "https://app.test", Secret: auth.Secret("0123456789abcdef0123456789abcdef"),
		Anonymous: &auth.AnonymousConfig{}, Email: auth.EmailConfig{AllowUnverified: true}, Now: now, Webhooks: list,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Fifty at once cause events at two replicas, and both of these deliver: each message arrives once where it is taken, and at
// least once where it is refused at first.
func TestReplicasDeliverEachMessageOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		sound, shaky := newReceiver(t, false), newReceiver(t, true)
		list := []auth.WebhookConfig{
			{Name: "sound", URL: sound.URL, Secrets: []auth.Secret{auth.Secret(secret)}},
			{Name: "shaky", URL: shaky.URL, Secrets: []auth.Secret{auth.Secret(secret)}, Events: []auth.EventType{auth.EventSignedIn}},
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		running, end := context.WithCancel(ctx)
		var loops, callers sync.WaitGroup
		var engines []*auth.Engine
		for range 2 {
			e := newEngine(t, p.store, nil, list...)
			engines = append(engines, e)
			loops.Go(func() { _ = e.Run(running) })
		}
		const n = 50
		for i := range n {
			callers.Go(func() {
				if _, err := engines[i%2].SignInAnonymous(ctx, auth.SignInAnonymousParams{}); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if got := sound.messages(ctx, 2*n); got != 2*n {
			t.Errorf("%d messages have come", got)
		}
		end()
		loops.Wait()

		// What was refused is due again in some seconds: to this engine it is later. The receiver's library goes by the
		// time of the machine, so that is still within five minutes.
		later := newEngine(t, p.store, func() time.Time { return time.Now().Add(2 * time.Minute) }, list...)
		running, end = context.WithCancel(ctx)
		loops.Go(func() { _ = later.Run(running) })
		if got := shaky.messages(ctx, n); got != n {
			t.Errorf("%d messages have come to who refused them at first", got)
		}
		end()
		loops.Wait()
		for id, times := range sound.times {
			if times != 1 || sound.asked[id] != 1 {
				t.Errorf("message %s has come %d times", id, sound.asked[id])
			}
		}
		for _, r := range []*receiver{sound, shaky} {
			if err := errors.Join(r.faults...); err != nil {
				t.Errorf("the library of the standard refuses: %v", err)
			}
		}
	})
}

// What is written within a transaction of the service's comes if it is committed, and never if it is rolled back.
func TestMessagesStandOrFallWithATransaction(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		if p.within == nil {
			t.Skip("this store has no transactions")
		}
		r := newReceiver(t, false)
		e := newEngine(t, p.store, nil, auth.WebhookConfig{
			Name: "x", URL: r.URL, Secrets: []auth.Secret{auth.Secret(secret)}, Events: []auth.EventType{auth.EventSignedIn},
		})
		var kept *auth.SignInResult
		for _, commit := range []bool{false, true} {
			err := p.within(t.Context(), commit, func(ctx context.Context) {
				var err error
				if kept, err = e.SignInAnonymous(ctx, auth.SignInAnonymousParams{}); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		running, end := context.WithCancel(ctx)
		done := make(chan error)
		go func() { done <- e.Run(running) }()
		r.messages(ctx, 1)
		end()
		<-done
		due, err := p.store.ClaimMessages(ctx, store.MessageClaim{Now: time.Now().AddDate(1, 0, 0), Until: time.Now().AddDate(2, 0, 0), Limit: 10})
		if err != nil || len(due) != 0 || len(r.bodies) != 1 {
			t.Fatalf("%d have come and %d are left, %v", len(r.bodies), len(due), err)
		}
		request := httptest.NewRequest(http.MethodPost, "/", nil)
		key, err := webhook.ParseSecret(secret)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = webhook.Sign("id", time.Now(), []byte(r.bodies[0]), key)
		request.Body = io.NopCloser(strings.NewReader(r.bodies[0]))
		m, err := webhook.Read(request, time.Now(), key)
		if err != nil || m.Data.UserID != kept.Session.User.ID.String() {
			t.Errorf("%+v, %v; want user %s", m, err, kept.Session.User.ID)
		}
	})
}

// What either library signs, the other takes; and what it refuses, so does the other.
func TestTheLibraryOfTheStandardAgrees(t *testing.T) {
	t.Parallel()
	theirs, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := webhook.ParseSecret("whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=")
	if err != nil {
		t.Fatal(err)
	}
	now, body := time.Now(), []byte(`{"type":"signed-in"}`)
	for name, tt := range map[string]struct {
		header http.Header
		body   string
		good   bool
	}{
		"ours":                 {webhook.Sign("id", now, body, ours), string(body), true},
		"ours, of two secrets": {webhook.Sign("id", now, body, other, ours), string(body), true},
		"of another secret":    {webhook.Sign("id", now, body, other), string(body), false},
		"of another body":      {webhook.Sign("id", now, body, ours), "{}", false},
		"old":                  {webhook.Sign("id", now.Add(-6*time.Minute), body, ours), string(body), false},
		"of the future":        {webhook.Sign("id", now.Add(6*time.Minute), body, ours), string(body), false},
		"of nobody":            {http.Header{}, string(body), false},
	} {
		_, err := webhook.Verify(tt.header, []byte(tt.body), now, ours)
		if (err == nil) != tt.good || (theirs.Verify([]byte(tt.body), tt.header) == nil) != tt.good {
			t.Errorf("%s: we say %v, they %v", name, err, theirs.Verify([]byte(tt.body), tt.header))
		}
	}
	signature, err := theirs.Sign("id", now, body)
	if err != nil {
		t.Fatal(err)
	}
	h := webhook.Sign("id", now, body, other)
	h.Set(webhook.HeaderSignature, signature)
	if _, err := webhook.Verify(h, body, now, ours); err != nil {
		t.Errorf("theirs: %v", err)
	}
}
