package otelauth_test

import (
	"context"
	"crypto/rand"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store/memstore"
)

// An engine whose calls are traced and counted. Here spans and metrics stay in memory; a service has exporters in their
// place, such as those of OTLP, and need not name the providers if it has made them the global ones.
func Example() {
	ctx := context.Background()
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	metrics := metric.NewMeterProvider(metric.WithReader(reader))

	telemetry, err := otelauth.New(otelauth.Options{TracerProvider: traces, MeterProvider: metrics, DBSystem: "postgresql"})
	if err != nil {
		fmt.Println(err)
		return
	}
	secret := make(auth.Secret, 32)
	rand.Read(secret)
	engine, err := telemetry.NewEngine(memstore.New(), auth.Config{ // in place of auth.New
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret,
		Anonymous: &auth.AnonymousConfig{},
		Email:     auth.EmailConfig{AllowUnverified: true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	in, err := engine.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, token := range []string{in.Session.RefreshToken, "no token"} {
		_, _ = engine.Refresh(ctx, auth.RefreshParams{RefreshToken: token})
	}
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name, s.Status.Code)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name == "auth.refreshes" {
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				outcome, _ := p.Attributes.Value("auth.outcome")
				fmt.Println(m.Name, outcome.AsString(), p.Value)
			}
		}
	}
	// Unordered output:
	// auth.store.CreateUser Unset
	// auth.SignInAnonymous Unset
	// auth.store.RotateSession Unset
	// auth.Refresh Unset
	// auth.Refresh Unset
	// auth.refreshes ok 1
	// auth.refreshes invalid-refresh-token 1
}
