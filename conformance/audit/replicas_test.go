package audit_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// Two replicas write at the same moment, fifty calls each: every event is there once, and the chain has no gap.
func TestReplicasWriteOneChain(t *testing.T) {
	t.Parallel()
	const calls, rounds = 50, 3
	places(t, func(t *testing.T, p place) {
		a := authtest.NewWithStore(t, p, audited)
		b := authtest.NewWithStore(t, p, audited, func(c *auth.Config) { c.Now = a.Clock.Now })
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, e := range []*authtest.Engine{a, b} {
			for range calls {
				wg.Go(func() {
					<-start
					for range rounds {
						in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
						if err != nil {
							t.Error(err)
							return
						}
						// When the call has returned, its events are there.
						page, err := e.AuditTrail(t.Context(), auth.AuditQuery{UserID: in.Session.User.ID})
						if err != nil || len(page.Events) != 2 {
							t.Errorf("a user has %d events, want 2: %v", len(page.Events), err)
						}
					}
				})
			}
		}
		close(start)
		wg.Wait()
		const want = 2 * calls * rounds * 2 // created, and signed in
		if end := verified(t, b, auth.VerifyAuditTrailParams{}); end.Seq != want {
			t.Errorf("the trail ends with event %d, not %d", end.Seq, want)
		}
		seen := map[string]bool{}
		for _, ev := range p.look(t).events {
			seen[ev.Type+ev.UserID.String()] = true
		}
		if len(seen) != want {
			t.Errorf("there are %d different events, not %d", len(seen), want)
		}
		if len(a.Events.Of(auth.EventAuditLost))+len(b.Events.Of(auth.EventAuditLost)) > 0 {
			t.Error("events were lost")
		}
	})
}

// The trail neither waits for a transaction of the service's nor takes part in it: its events are there after the rollback, as soon
// as the next is written.
func TestATransactionOfTheServicesHoldsNothingUp(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p place) {
		if p.within == nil {
			return // the memory has no transactions but those of hooks
		}
		for name, flush := range map[string]func(*authtest.Engine) error{
			"by the next event": func(e *authtest.Engine) error {
				_, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
				return err
			},
			"by hand": func(e *authtest.Engine) error { return e.FlushAuditTrail(t.Context()) },
			"by the loop": func(e *authtest.Engine) error {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := e.Run(ctx); err != context.Canceled {
					return err
				}
				return nil
			},
		} {
			t.Run(name, func(t *testing.T) {
				e := authtest.NewWithStore(t, p, audited)
				var user uuid.UUID
				p.within(t, func(ctx context.Context) {
					in, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
					if err != nil {
						t.Fatal(err)
					}
					user = in.Session.User.ID
				})
				q := auth.AuditQuery{UserID: user}
				if page, err := e.AuditTrail(t.Context(), q); err != nil || len(page.Events) != 0 {
					t.Errorf("before: %v, %v", page, err)
				}
				if err := flush(e); err != nil {
					t.Fatal(err)
				}
				if page, err := e.AuditTrail(t.Context(), q); err != nil || len(page.Events) != 2 {
					t.Errorf("afterwards: %v, %v", page, err)
				}
				verified(t, e, auth.VerifyAuditTrailParams{})
				if lost := e.Events.Of(auth.EventAuditLost); len(lost) > 0 {
					t.Errorf("lost: %v", lost)
				}
			})
		}
	})
}

// A hook calls the engine in the midst of a sign-up, when the store may be locked.
func TestAHookThatCallsTheEngineHoldsNothingUp(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p place) {
		var e *authtest.Engine
		e = authtest.NewWithStore(t, p, audited, func(c *auth.Config) {
			c.Hooks.UserCreated = func(ctx context.Context, u *auth.User) error {
				_, err := e.UpdateUser(ctx, u.ID, auth.UserUpdate{DisplayName: new("Ada")})
				return err
			}
		})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if end := verified(t, e, auth.VerifyAuditTrailParams{}); end.Seq != 30 {
			t.Errorf("there are %d events, want 30: %s", end.Seq, fmt.Sprint(e.Events.Of(auth.EventAuditLost)))
		}
	})
}
