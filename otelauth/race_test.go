package otelauth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store/memstore"
)

// Many calls at once are each counted and each a span, below the one that they belong to.
func TestManyCallsAtOnceAreAllSeen(t *testing.T) {
	t.Parallel()
	const crowd = 50
	w := newWatch(t, otelauth.Options{})
	e := w.engine(t, memstore.New())
	if _, err := w.Watch(e.Engine); err != nil {
		t.Fatal(err)
	}
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			<-start
			ctx, span := w.tracer.Start(context.Background(), fmt.Sprint("request ", i))
			defer span.End()
			in, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: in.Session.RefreshToken}); err != nil {
				t.Error(err)
			}
			if i%10 == 0 {
				var m metricdata.ResourceMetrics
				if err := w.reader.Collect(ctx, &m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(start)
	all.Wait()

	below := map[string]int{} // spans of the engine and its store, by trace
	for _, s := range w.take() {
		if s.Name != "auth.Outbox" && s.Name != "auth.store.Outbox" {
			below[s.SpanContext.TraceID().String()]++
		}
	}
	if len(below) != crowd {
		t.Errorf("%d traces, want %d", len(below), crowd)
	}
	for id, n := range below {
		if n != 5 { // the request, two methods, and a call of the store for each
			t.Errorf("trace %s has %d spans", id, n)
		}
	}
	w.wantPoints(t, "auth.refreshes", map[string]float64{"ok": crowd})
	w.wantPoints(t, "auth.sign_ins", map[string]float64{"ok anonymous": crowd})
}

// What telemetry costs a call that nobody looks at is bounded: some objects for each method and each call of the store.
func TestTelemetryAllocations(t *testing.T) {
	measure := func(amend func(*auth.Config)) float64 {
		e := authtest.New(t, amend)
		token := auth.VerifyTokenParams{Token: e.SignUp(t, "ada@example.com").AccessToken}
		return testing.AllocsPerRun(100, func() {
			if err := e.VerifyToken(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	telemetry, err := otelauth.New(otelauth.Options{
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		t.Fatal(err)
	}
	without, with := measure(func(*auth.Config) {}), measure(func(c *auth.Config) { c.Observer = telemetry })
	if more := with - without; more > 2*3 { // VerifyToken and, in it, Authenticate
		t.Errorf("%v allocations more than the %v without", more, without)
	}
}
