package telemetry_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/conformance/internal/postgres"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/pgstore"
	"github.com/ostiary/auth/store/sqlitestore"
)

// database is a store, and how a service works with its transactions.
type database struct {
	store store.Store
	// within calls do in a transaction of the service's, which is committed if do returns nil. It is nil where there are none.
	within func(ctx context.Context, do func(context.Context) error) error
	// joins reports whether the hook that a context is given to is in a transaction.
	joins func(context.Context) bool
}

func memory(*testing.T) database { return database{store: memstore.New()} }

func sqlite(t *testing.T) database {
	s, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "auth.db"), sqlitestore.SyncNormal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return database{
		store: s,
		within: func(ctx context.Context, do func(context.Context) error) error {
			tx, err := s.DB().BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback() //nolint:errcheck // nothing, after the commit
			if err := do(sqlitestore.WithTx(ctx, tx)); err != nil {
				return err
			}
			return tx.Commit()
		},
		joins: func(ctx context.Context) bool { _, ok := sqlitestore.TxFrom(ctx); return ok },
	}
}

func onPostgres(t *testing.T) database {
	d := postgres.Open(t)
	return database{
		store: d.Store,
		within: func(ctx context.Context, do func(context.Context) error) error {
			return pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error { return do(pgstore.WithTx(ctx, tx)) })
		},
		joins: func(ctx context.Context) bool { _, ok := pgstore.TxFrom(ctx); return ok },
	}
}

// watched is an engine over a database, and what is seen of it.
type watched struct {
	*authtest.Engine
	spans   *tracetest.InMemoryExporter
	metrics *metric.ManualReader
}

func watch(t *testing.T, s store.Store, amend ...func(*auth.Config)) watched {
	t.Helper()
	w := watched{spans: tracetest.NewInMemoryExporter(), metrics: metric.NewManualReader()}
	telemetry, err := otelauth.New(otelauth.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans)),
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(w.metrics)),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Engine = authtest.NewWithStore(t, telemetry.Store(s), append(amend, func(c *auth.Config) {
		c.Observer, c.Events = telemetry, auth.FanOut(c.Events, telemetry)
	})...)
	if _, err := telemetry.Watch(w.Engine.Engine); err != nil {
		t.Fatal(err)
	}
	return w
}

// roots are the spans that have no parent among the others, by name.
func (w watched) roots() map[string]int {
	spans := w.spans.GetSpans()
	known := map[string]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID().String()] = true
	}
	roots := map[string]int{}
	for _, s := range spans {
		if !known[s.Parent.SpanID().String()] {
			roots[s.Name]++
		}
	}
	return roots
}

var errRefused = errors.New("the service changed its mind")

// A watched engine joins the service's transaction, and the service's hook joins that of the store.
func TestTransactionsAreJoined(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) database{"SQLite": sqlite, "PostgreSQL": onPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			hooked := 0
			w := watch(t, db.store, func(c *auth.Config) {
				c.Hooks.UserCreated = func(ctx context.Context, _ *auth.User) error {
					if hooked++; !db.joins(ctx) {
						t.Error("the hook has no transaction")
					}
					return nil
				}
			})
			for email, end := range map[string]error{"stays@example.com": nil, "goes@example.com": errRefused} {
				letters := len(w.Mailbox.All())
				err := db.within(t.Context(), func(ctx context.Context) error {
					if !w.Store.Joined(ctx) {
						t.Error("the store does not see the transaction")
					}
					if _, err := w.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: authtest.Password}); err != nil {
						return err
					}
					return end
				})
				if !errors.Is(err, end) {
					t.Fatalf("%s: %v", email, err)
				}
				if len(w.Mailbox.All()) != letters {
					t.Errorf("%s: a letter left before the commit", email)
				}
				if _, err := w.FindUser(t.Context(), auth.UserBy{Email: email}); (err == nil) != (end == nil) {
					t.Errorf("%s: afterwards: %v", email, err)
				}
			}
			if w.Store.Joined(t.Context()) {
				t.Error("a context of its own is joined")
			}
			if _, err := w.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "own@example.com", Password: authtest.Password}); err != nil {
				t.Fatal(err)
			}
			if hooked != 3 {
				t.Errorf("the hook was called %d times", hooked)
			}
			for root := range w.roots() {
				if root != "auth.SignUpPassword" && root != "auth.FindUser" {
					t.Errorf("%s is a trace of its own", root)
				}
			}
		})
	}
}

// Of many who present one refresh token at once all succeed with one result, watched or not, and each is seen.
func TestManyAtOnceAreSeenAndNotChanged(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) database{"memory": memory, "SQLite": sqlite, "PostgreSQL": onPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const crowd = 50
			w := watch(t, open(t).store)
			session := w.SignUp(t, "ada@example.com")
			w.spans.Reset()
			var mu sync.Mutex
			tokens := map[string]int{}
			start := make(chan struct{})
			var all sync.WaitGroup
			for i := range crowd {
				all.Go(func() {
					<-start
					s, err := w.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken})
					if err != nil {
						t.Error(err)
						return
					}
					if i%10 == 0 {
						var m metricdata.ResourceMetrics
						if err := w.metrics.Collect(t.Context(), &m); err != nil {
							t.Error(err)
						}
					}
					mu.Lock()
					defer mu.Unlock()
					tokens[s.RefreshToken]++
				})
			}
			close(start)
			all.Wait()
			if len(tokens) != 1 {
				t.Errorf("%d results", len(tokens))
			}
			if roots := w.roots(); roots["auth.Refresh"] != crowd || roots["auth.Outbox"] != crowd/10 || len(roots) != 2 {
				t.Errorf("the traces are %v", roots)
			}
		})
	}
}

// ST-17: a context that ends while a database is being asked ends the call, through the watch as without it.
func TestContextsEndCalls(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) database{"memory": memory, "SQLite": sqlite, "PostgreSQL": onPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, open(t).store)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := w.Store.User(ctx, store.UserQuery{ID: uuid.New(), Now: time.Now()})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			for _, s := range w.spans.GetSpans() {
				for _, a := range s.Attributes {
					if a.Key == "auth.outcome" && a.Value.AsString() != "canceled" {
						t.Errorf("%s is %s", s.Name, a.Value.AsString())
					}
				}
			}
		})
	}
}
