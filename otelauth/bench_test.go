package otelauth_test

import (
	"testing"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store/memstore"
)

// What telemetry costs a call: nothing is watched; providers that do nothing; an SDK that samples no trace and has a
// reader of metrics.
func Benchmark(b *testing.B) {
	for _, with := range []struct {
		name    string
		options *otelauth.Options
	}{
		{"none", nil},
		{"noop", &otelauth.Options{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}},
		{"sdk", &otelauth.Options{
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
			MeterProvider:  metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())),
		}},
	} {
		engine := func(b *testing.B) *authtest.Engine {
			if with.options == nil {
				return authtest.New(b)
			}
			t, err := otelauth.New(*with.options)
			if err != nil {
				b.Fatal(err)
			}
			return authtest.NewWithStore(b, t.Store(memstore.New()), func(c *auth.Config) {
				c.Observer, c.Events = t, auth.FanOut(c.Events, t)
			})
		}
		b.Run("VerifyToken/"+with.name, func(b *testing.B) {
			e := engine(b)
			token := auth.VerifyTokenParams{Token: e.SignUp(b, "ada@example.com").AccessToken}
			b.ReportAllocs()
			for b.Loop() {
				if err := e.VerifyToken(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Refresh/"+with.name, func(b *testing.B) {
			e := engine(b)
			token := e.SignUp(b, "ada@example.com").RefreshToken
			b.ReportAllocs()
			for b.Loop() {
				s, err := e.Refresh(b.Context(), auth.RefreshParams{RefreshToken: token})
				if err != nil {
					b.Fatal(err)
				}
				token = s.RefreshToken
			}
		})
	}
}
