package otelauth

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// instruments are what is measured with.
type instruments struct {
	meter metric.Meter

	methods, store, waits                    metric.Float64Histogram
	signIns, refreshes, reuses, hits, events metric.Int64Counter
	messages                                 metric.Int64ObservableGauge
	delay                                    metric.Float64ObservableGauge
}

// seconds are the bounds of histograms: from checking a token, which takes less than any, to giving up.
var seconds = metric.WithExplicitBucketBoundaries(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

func newInstruments(m metric.Meter) (instruments, error) {
	in := instruments{meter: m}
	var errs []error
	histogram := func(name, description string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), seconds)
		errs = append(errs, err)
		return h
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	in.methods = histogram("auth.operation.duration", "How long calls of the engine take.")
	in.store = histogram("auth.store.duration", "How long calls of the store take.")
	in.waits = histogram("auth.password.wait", "How long passwords wait for their turn to be hashed.")
	in.signIns = counter("auth.sign_ins", "{sign_in}", "Attempts to sign in.")
	in.refreshes = counter("auth.refreshes", "{refresh}", "Refresh tokens that were presented.")
	in.reuses = counter("auth.refresh_token.reuses", "{reuse}", "Sessions that ended because an old refresh token was presented.")
	in.hits = counter("auth.limit.hits", "{hit}", "Budgets that somebody has exhausted, once a minute for each of them.")
	in.events = counter("auth.events", "{event}", "What happened.")
	var err error
	in.messages, err = m.Int64ObservableGauge("auth.outbox.messages", metric.WithUnit("{message}"), metric.WithDescription("Messages in the outbox."))
	errs = append(errs, err)
	in.delay, err = m.Float64ObservableGauge("auth.outbox.delay", metric.WithUnit("s"),
		metric.WithDescription("For how long the message has been due that has been due longest."))
	return in, errors.Join(append(errs, err)...)
}

// The attributes that no convention names.
const (
	operationKey  = attribute.Key("auth.operation")
	outcomeKey    = attribute.Key("auth.outcome")
	signInKey     = attribute.Key("auth.sign_in.method")
	bucketKey     = attribute.Key("auth.limit.bucket")
	eventKey      = attribute.Key("auth.event.type")
	outboxKey     = attribute.Key("auth.outbox.state")
	methodPrefix  = "auth."
	operationName = "auth.store."
)

// labels are those of a call.
type labels struct {
	name string
	verdict
}

// signIn are the labels of an attempt to sign in.
type signIn struct{ method, outcome string }

// spanKind is what a span is begun with.
type spanKind struct {
	name    string
	options []trace.SpanStartOption
}

// remember says what is made for which labels.
func (t *Telemetry) remember(always, ofStore []attribute.KeyValue) {
	with := func(common []attribute.KeyValue, own ...attribute.KeyValue) attribute.Set {
		return attribute.NewSet(append(own, common...)...)
	}
	span := func(prefix string, kind trace.SpanKind, key attribute.Key, common []attribute.KeyValue) func(string) spanKind {
		return func(name string) spanKind {
			set := with(common, key.String(name))
			return spanKind{prefix + name, []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(set.ToSlice()...)}}
		}
	}
	calls := func(key attribute.Key, common []attribute.KeyValue) func(labels) []metric.RecordOption {
		return func(l labels) []metric.RecordOption {
			return []metric.RecordOption{metric.WithAttributeSet(with(common, append(l.attributes(), key.String(l.name))...))}
		}
	}
	adds := func(own ...attribute.KeyValue) []metric.AddOption {
		return []metric.AddOption{metric.WithAttributeSet(with(always, own...))}
	}
	by := func(key attribute.Key) func(string) []metric.AddOption {
		return func(s string) []metric.AddOption { return adds(key.String(s)) }
	}
	t.methods.make = span(methodPrefix, trace.SpanKindInternal, operationKey, always)
	t.operations.make = span(operationName, trace.SpanKindClient, semconv.DBOperationNameKey, ofStore)
	t.ofMethod.make = calls(operationKey, always)
	t.ofStore.make = calls(semconv.DBOperationNameKey, ofStore)
	t.ofWait.make = func(v verdict) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(with(always, outcomeKey.String(v.outcome)))}
	}
	t.ofSignIn.make = func(s signIn) []metric.AddOption {
		return adds(signInKey.String(s.method), outcomeKey.String(s.outcome))
	}
	t.ofRefresh.make = by(outcomeKey)
	t.ofBucket.make = by(bucketKey)
	t.ofEvent.make = by(eventKey)
	t.ofNothing = adds()
	t.outbox = outboxStates{
		due:     metric.WithAttributeSet(with(always, outboxKey.String("due"))),
		waiting: metric.WithAttributeSet(with(always, outboxKey.String("waiting"))),
		dead:    metric.WithAttributeSet(with(always, outboxKey.String("dead"))),
		all:     metric.WithAttributeSet(with(always)),
	}
}
