package otelauth

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/ostiary/auth/otelauth"

// Options say where telemetry goes. The zero value sends it to the global providers.
type Options struct {
	// TracerProvider makes the spans. The default is the global one, also if that is set later.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. The default is the global one, also if that is set later.
	MeterProvider metric.MeterProvider

	// Realm is the attribute auth.realm of all spans and metrics. It tells several engines of one process apart, each of
	// which needs a Telemetry of its own. The default is none.
	Realm string
	// DBSystem is what database the store uses, as the semantic conventions name it in db.system.name: "postgresql",
	// "sqlite". The default is none.
	DBSystem string
}

// Telemetry is the OpenTelemetry of one engine. It is an [auth.Observer] and an [auth.EventSink]. It is safe for concurrent
// use.
type Telemetry struct {
	tracer      trace.Tracer
	instruments instruments

	// What goes with each span and each measurement, made once.
	methods, operations memo[string, spanKind]
	ofMethod, ofStore   memo[labels, []metric.RecordOption]
	ofWait              memo[verdict, []metric.RecordOption]
	ofSignIn            memo[signIn, []metric.AddOption]
	ofRefresh           memo[string, []metric.AddOption] // by outcome
	ofBucket, ofEvent   memo[string, []metric.AddOption]
	ofNothing           []metric.AddOption
	outbox              outboxStates
}

var (
	_ auth.Observer  = (*Telemetry)(nil)
	_ auth.EventSink = (*Telemetry)(nil)
)

// New returns the telemetry of one engine. [Telemetry.NewEngine] puts it to use; a service that needs another order does the
// same with [Telemetry.Store], auth.Config.Observer, auth.Config.Events and [Telemetry.Watch].
//
// It fails where the MeterProvider refuses an instrument, as one does that has another of the same name.
func New(o Options) (*Telemetry, error) {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	var always, ofStore []attribute.KeyValue
	if o.Realm != "" {
		always = append(always, attribute.String("auth.realm", o.Realm))
		ofStore = append(ofStore, always...)
	}
	if o.DBSystem != "" {
		ofStore = append(ofStore, semconv.DBSystemNameKey.String(o.DBSystem))
	}
	t := &Telemetry{tracer: o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))}
	var err error
	if t.instruments, err = newInstruments(o.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))); err != nil {
		return nil, fmt.Errorf("otelauth: %w", err)
	}
	t.remember(always, ofStore)
	return t, nil
}

// NewEngine is [auth.New] with telemetry: it watches the methods of the engine, the calls of its store, its events, which go
// to c.Events as well, or to c.Logger where that is nil, and the outbox for as long as there is the MeterProvider.
//
// Its errors are those of [auth.New]; and one where c.Observer is set, which it would replace.
func (t *Telemetry) NewEngine(s store.Store, c auth.Config) (*auth.Engine, error) {
	if c.Observer != nil {
		return nil, errors.New("otelauth: Config.Observer is set already")
	}
	c.Observer = t
	switch {
	case c.Events != nil:
		c.Events = auth.FanOut(c.Events, t)
	case c.Logger != nil:
		c.Events = auth.FanOut(auth.LogEvents(c.Logger), t)
	default:
		c.Events = t
	}
	e, err := auth.New(t.Store(s), c)
	if err != nil {
		return nil, err
	}
	if _, err := t.Watch(e); err != nil {
		return nil, err
	}
	return e, nil
}
