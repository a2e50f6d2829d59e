package otelauth

import (
	"context"
	"time"
)

// Begin implements [auth.Observer].
func (t *Telemetry) Begin(ctx context.Context, method string) (context.Context, func(error)) {
	began := time.Now()
	kind := t.methods.of(method)
	ctx, span := t.tracer.Start(ctx, kind.name, kind.options...)
	return ctx, func(err error) {
		v := onMethod(ctx, err)
		t.instruments.methods.Record(ctx, time.Since(began).Seconds(), t.ofMethod.of(labels{method, v})...)
		if method == "Refresh" {
			t.instruments.refreshes.Add(ctx, 1, t.ofRefresh.of(v.outcome)...)
		}
		v.end(span)
	}
}

// HashWaited implements [auth.Observer].
func (t *Telemetry) HashWaited(ctx context.Context, waited time.Duration, err error) {
	t.instruments.waits.Record(ctx, waited.Seconds(), t.ofWait.of(verdict{outcome: onMethod(ctx, err).outcome})...)
}
