package otelauth

import (
	"context"

	"github.com/ostiary/auth"
)

// Emit implements [auth.EventSink]. Of an event it counts the type and, where there are, the method, the code and the
// budget; nothing else of it is looked at.
func (t *Telemetry) Emit(ctx context.Context, e auth.Event) {
	t.instruments.events.Add(ctx, 1, t.ofEvent.of(name(string(e.Type)))...)
	switch e.Type {
	case auth.EventSignedIn:
		t.signIn(ctx, e, outcomeOK)
	case auth.EventSecondFactorAsked:
		t.signIn(ctx, e, outcomeAsked)
	case auth.EventSignInFailed:
		t.signIn(ctx, e, outcomeOf(e.Code))
	case auth.EventRefreshTokenReused:
		t.instruments.reuses.Add(ctx, 1, t.ofNothing...)
	case auth.EventLimited:
		t.instruments.hits.Add(ctx, 1, t.ofBucket.of(name(e.Detail))...)
	}
}

func (t *Telemetry) signIn(ctx context.Context, e auth.Event, outcome string) {
	t.instruments.signIns.Add(ctx, 1, t.ofSignIn.of(signIn{name(e.Method), outcome})...)
}
