package otelauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/ostiary/auth"
)

// outboxTime is how long counting the outbox may take.
const outboxTime = 5 * time.Second

type outboxStates struct{ due, waiting, dead, all metric.ObserveOption }

// Watch measures the outbox of an engine whenever metrics are collected, at the price of one call of the store, until
// Unregister is called on what it returns. [Telemetry.NewEngine] has done so already.
//
// All engines over one store have one outbox, and measure the same: of several replicas take the maximum and not the sum.
func (t *Telemetry) Watch(e *auth.Engine) (metric.Registration, error) {
	in := &t.instruments
	r, err := in.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		s, err := outboxOf(ctx, e)
		if err != nil {
			return err
		}
		o.ObserveInt64(in.messages, int64(s.Due), t.outbox.due)
		o.ObserveInt64(in.messages, int64(s.Waiting), t.outbox.waiting)
		o.ObserveInt64(in.messages, int64(s.Dead), t.outbox.dead)
		o.ObserveFloat64(in.delay, s.Delay.Seconds(), t.outbox.all)
		return nil
	}, in.messages, in.delay)
	if err != nil {
		return nil, fmt.Errorf("otelauth: %w", err)
	}
	return r, nil
}

// outboxOf asks for the state of the outbox on the goroutine of whoever collects metrics, which must go on.
func outboxOf(ctx context.Context, e *auth.Engine) (s auth.OutboxState, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("otelauth: counting the outbox panicked")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, outboxTime)
	defer cancel()
	if s, err = e.Outbox(ctx); err != nil {
		return s, fmt.Errorf("otelauth: %w", err)
	}
	return s, nil
}
