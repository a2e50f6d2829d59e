package passhash

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// A gate is a weighted semaphore whose queue is bounded. Whoever waits is
// served in the order of arrival, so that a caller who needs many slots is not
// overtaken for ever by callers who need one.
type gate struct {
	mu         sync.Mutex
	free       int
	maxWaiting int
	waiting    list.List // of *waiter
}

type waiter struct {
	n     int
	ready chan struct{} // closed, under gate.mu, when the slots are taken for the waiter
}

func newGate(slots, maxWaiting int) *gate {
	return &gate{free: slots, maxWaiting: maxWaiting}
}

// enter takes n slots, waiting for them if it must. On success the caller owes
// a leave with the same n. It fails with ErrBusy if too many are waiting, and
// with the wrapped error of ctx if that ended first; a ctx that has ended
// never takes a slot.
func (g *gate) enter(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return ended(err)
	}

	g.mu.Lock()
	if g.waiting.Len() == 0 && g.free >= n {
		g.free -= n
		g.mu.Unlock()
		return nil
	}
	if g.waiting.Len() >= g.maxWaiting {
		g.mu.Unlock()
		return ErrBusy
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	e := g.waiting.PushBack(w)
	g.mu.Unlock()

	select {
	case <-w.ready:
		// Both may have happened, and select chooses at random.
		if err := ctx.Err(); err != nil {
			g.leave(n)
			return ended(err)
		}
		return nil
	case <-ctx.Done():
		g.abandon(e)
		return ended(ctx.Err())
	}
}

// leave gives n slots back.
func (g *gate) leave(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += n
	g.admit()
}

// abandon takes a waiter that gave up out of the queue, or gives back the
// slots if it was admitted in the meantime.
func (g *gate) abandon(e *list.Element) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := e.Value.(*waiter)
	select {
	case <-w.ready:
		g.free += w.n
	default:
		g.waiting.Remove(e)
	}
	// Either way the head of the queue may fit now: there are more free slots,
	// or the head was the one that needed many.
	g.admit()
}

// admit lets in those at the head of the queue for whom there is room. The
// caller holds g.mu.
func (g *gate) admit() {
	for e := g.waiting.Front(); e != nil; e = g.waiting.Front() {
		w := e.Value.(*waiter)
		if w.n > g.free {
			return
		}
		g.free -= w.n
		g.waiting.Remove(e)
		close(w.ready)
	}
}

func ended(err error) error {
	return fmt.Errorf("passhash: waiting to hash: %w", err)
}
