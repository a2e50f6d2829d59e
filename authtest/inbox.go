package authtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for a message that a running loop delivers. It is only spent by a test that fails.
const patience = 10 * time.Second

// inbox keeps messages in the order of their arrival.
type inbox[M any] struct {
	mu       sync.Mutex
	messages []M
	read     map[int]bool  // by index: those that next has returned
	arrived  chan struct{} // closed when a message comes, and replaced
	refuse   error
}

func newInbox[M any]() inbox[M] {
	return inbox[M]{read: make(map[int]bool), arrived: make(chan struct{})}
}

func (b *inbox[M]) put(ctx context.Context, m M) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	b.messages = append(b.messages, m)
	close(b.arrived)
	b.arrived = make(chan struct{})
	return nil
}

func (b *inbox[M]) refuseWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = err
}

func (b *inbox[M]) all() []M {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

// wait returns the first message, by its index and content, that take takes, or false if there is none when ctx ends. It
// holds the lock while it asks.
func (b *inbox[M]) wait(ctx context.Context, take func(int, M) bool) (m M, ok bool) {
	for seen := 0; ; {
		b.mu.Lock()
		for ; seen < len(b.messages); seen++ {
			if take(seen, b.messages[seen]) {
				defer b.mu.Unlock()
				return b.messages[seen], true
			}
		}
		arrived := b.arrived
		b.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return m, false
		}
	}
}

// next returns the first message that matches and that it has not returned before, or fails the test.
func (b *inbox[M]) next(t testing.TB, what string, matches func(M) bool) M {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, ok := b.wait(ctx, func(i int, m M) bool {
		if b.read[i] || !matches(m) {
			return false
		}
		b.read[i] = true
		return true
	})
	if !ok {
		t.Fatalf("authtest: no further %s has come", what)
	}
	return m
}

// last returns the latest of messages, or fails the test.
func last[M any](t testing.TB, messages []M, what string) M {
	t.Helper()
	if len(messages) == 0 {
		t.Fatalf("authtest: no %s", what)
	}
	return messages[len(messages)-1]
}
