package passhash

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestGateServesInOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 10)
		if err := g.enter(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		var served []int
		for i, n := range []int{1, 2, 1, 1} {
			go func() {
				if err := g.enter(t.Context(), n); err != nil {
					t.Error(err)
				}
				served = append(served, i)
			}()
			synctest.Wait()
		}

		g.leave(1)
		synctest.Wait()
		if diff := cmp.Diff([]int{0}, served); diff != "" {
			t.Fatalf("after one slot (-want +got):\n%s", diff)
		}
		g.leave(1)
		synctest.Wait()
		if diff := cmp.Diff([]int{0}, served); diff != "" {
			t.Fatalf("one free slot was given past the caller who waits for two (-want +got):\n%s", diff)
		}
		g.leave(1)
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 1}, served); diff != "" {
			t.Fatalf("after two slots (-want +got):\n%s", diff)
		}
		g.leave(1)
		synctest.Wait()
		g.leave(1)
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 1, 2, 3}, served); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
	})
}

func TestGateDoesNotLetNewcomersOvertake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 1)
		if err := g.enter(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		go func() {
			if err := g.enter(t.Context(), 2); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if err := g.enter(t.Context(), 1); !errors.Is(err, ErrBusy) {
			t.Errorf("a newcomer got %v, want ErrBusy", err)
		}
		g.leave(1)
		synctest.Wait()
		if g.free != 0 {
			t.Errorf("%d slots are free, want 0", g.free)
		}
	})
}

func TestGateForgetsACallerThatGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 2)
		if err := g.enter(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { gaveUp <- g.enter(ctx, 2) }()
		synctest.Wait()
		next := make(chan error, 1)
		go func() { next <- g.enter(t.Context(), 1) }()
		synctest.Wait()

		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that gave up got %v", err)
		}
		synctest.Wait()
		select {
		case err := <-next:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Fatal("the caller behind the one that gave up still waits")
		}
		g.leave(1)
		g.leave(1)
		if g.free != 2 || g.waiting.Len() != 0 {
			t.Errorf("%d slots free and %d waiting, want 2 and 0", g.free, g.waiting.Len())
		}
	})
}

func TestGateRefusesACallerWhoseContextHasEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := newGate(1, 0)
	if err := g.enter(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("enter returned %v, want context.Canceled", err)
	}
	if g.free != 1 {
		t.Errorf("%d slots are free, want 1", g.free)
	}
}

// Being admitted and giving up at the same moment must neither lose a slot nor
// run a hash for nobody.
func TestGateKeepsItsSlotsWhenAdmissionAndCancellationMeet(t *testing.T) {
	t.Parallel()
	for range 2000 {
		g := newGate(1, 1)
		if err := g.enter(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		entered := make(chan error, 1)
		go func() { entered <- g.enter(ctx, 1) }()
		go cancel()
		g.leave(1)
		if err := <-entered; err == nil {
			g.leave(1)
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if g.free != 1 || g.waiting.Len() != 0 {
			t.Fatalf("%d slots free and %d waiting, want 1 and 0", g.free, g.waiting.Len())
		}
	}
}

// Whoever was admitted at the moment of giving up gives their slots back.
func TestGateTakesBackTheSlotsOfWhoGaveUp(t *testing.T) {
	t.Parallel()
	g := newGate(2, 1)
	if err := g.enter(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	e := g.waiting.PushBack(&waiter{n: 2, ready: make(chan struct{})})
	g.leave(2)
	if g.free != 0 {
		t.Fatalf("%d slots are free, want 0", g.free)
	}
	g.abandon(e)
	if g.free != 2 || g.waiting.Len() != 0 {
		t.Errorf("%d slots free and %d waiting, want 2 and 0", g.free, g.waiting.Len())
	}
}

// unnoticed is a context that has ended without anyone having been woken: what
// a caller sees that is admitted at the moment its context ends.
type unnoticed struct {
	context.Context
	ended atomic.Bool
}

func (c *unnoticed) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

func TestGateDoesNotAdmitAnEndedContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1)
		if err := g.enter(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx := &unnoticed{Context: t.Context()}
		entered := make(chan error, 1)
		go func() { entered <- g.enter(ctx, 1) }()
		synctest.Wait()
		ctx.ended.Store(true)
		g.leave(1)
		if err := <-entered; !errors.Is(err, context.Canceled) {
			t.Errorf("enter returned %v, want context.Canceled", err)
		}
		if g.free != 1 {
			t.Errorf("%d slots are free, want 1", g.free)
		}
	})
}

func TestGateIsNeverOverfull(t *testing.T) {
	t.Parallel()
	const slots = 3
	g := newGate(slots, 1000)
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			n := i%slots + 1
			if err := g.enter(t.Context(), n); err != nil {
				t.Error(err)
				return
			}
			now := inside.Add(int64(n))
			for {
				seen := most.Load()
				if now <= seen || most.CompareAndSwap(seen, now) {
					break
				}
			}
			inside.Add(int64(-n))
			g.leave(n)
		})
	}
	wg.Wait()
	if most.Load() > slots {
		t.Errorf("%d slots were taken at once, there are %d", most.Load(), slots)
	}
	if g.free != slots || g.waiting.Len() != 0 {
		t.Errorf("%d slots free and %d waiting at the end, want %d and 0", g.free, g.waiting.Len(), slots)
	}
}
