package otelauth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store"
)

// watch is telemetry that a test can look at.
type watch struct {
	*otelauth.Telemetry
	spans  *tracetest.InMemoryExporter
	reader *metric.ManualReader
	tracer trace.Tracer
}

func newWatch(t testing.TB, o otelauth.Options) *watch {
	t.Helper()
	w := &watch{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	o.TracerProvider = traces
	o.MeterProvider = metric.NewMeterProvider(metric.WithReader(w.reader))
	w.tracer = traces.Tracer("the service")
	var err error
	if w.Telemetry, err = otelauth.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

// engine is an engine that w watches.
func (w *watch) engine(t testing.TB, s store.Store, amend ...func(*auth.Config)) *authtest.Engine {
	t.Helper()
	amend = append([]func(*auth.Config){func(c *auth.Config) {
		c.Observer, c.Events = w.Telemetry, auth.FanOut(c.Events, w.Telemetry)
	}}, amend...)
	return authtest.NewWithStore(t, w.Store(s), amend...)
}

// take returns the spans that have ended since it was last called.
func (w *watch) take() tracetest.SpanStubs {
	spans := w.spans.GetSpans()
	w.spans.Reset()
	return spans
}

// line is a span as a line: its name, kind, attributes and status.
func line(s tracetest.SpanStub) string {
	parts := []string{s.Name, s.SpanKind.String()}
	set := attribute.NewSet(s.Attributes...)
	for _, a := range set.ToSlice() {
		parts = append(parts, fmt.Sprintf("%s=%s", a.Key, a.Value.AsString()))
	}
	if s.Status.Code != codes.Unset {
		parts = append(parts, s.Status.Code.String()+s.Status.Description)
	}
	return strings.Join(parts, " ")
}

func lines(spans tracetest.SpanStubs) []string {
	var all []string
	for _, s := range spans {
		all = append(all, line(s))
	}
	return all
}

func (w *watch) collect(t testing.TB) metricdata.ResourceMetrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// points are the points of a metric, by their attributes: the value, or of a histogram the number of values.
func (w *watch) points(t testing.TB, name string) map[string]float64 {
	t.Helper()
	points := map[string]float64{}
	put := func(set attribute.Set, v float64) {
		var parts []string
		for _, a := range set.ToSlice() {
			parts = append(parts, a.Value.AsString())
		}
		points[strings.Join(parts, " ")] += v
	}
	for _, scope := range w.collect(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					put(p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					put(p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					put(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					put(p.Attributes, float64(p.Count))
				}
			default:
				t.Fatalf("%s is a %T", name, d)
			}
		}
	}
	return points
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}
