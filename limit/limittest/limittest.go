// Package limittest checks that a [limit.Limiter] keeps its contract.
package limittest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
)

// Run checks every sentence of the contract of [limit.Limiter], what happens at the same moment included. It should be run
// with the race detector, too.
//
// It calls open once for each of its subtests, with the subtest's t, for a limiter whose buckets are full, that is used by
// nobody else and whose clock is now; open registers with t.Cleanup what must be closed. If open calls t.Parallel, the
// subtests run side by side. A limiter that asks a server for the time needs a way to be told another one in tests.
//
// The clock begins in 2001, so that a limiter which looks at a clock of its own is found out, and stands still between
// steps. A limiter that has a server forget its buckets, by the server's clock, must keep that from happening meanwhile.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) limit.Limiter) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Budget", budgetTests},
		{"Several", severalTests},
		{"Keys", keyTests},
		{"Refused calls", refusedTests},
		{"Clock", clockTests},
		{"At once", raceTests},
		{"At random", randomTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					c := &clock{now: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)}
					test.run(t, &bench{Limiter: open(t, c.Now), clock: c})
				})
			}
		})
	}
}

// test is one of the suite, to be run on a limiter whose buckets are full.
type test struct {
	name string
	run  func(t *testing.T, b *bench)
}

// bench is a limiter with its clock.
type bench struct {
	limit.Limiter
	clock *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// pass lets time pass, or turns it back.
func (b *bench) pass(d time.Duration) {
	b.clock.mu.Lock()
	defer b.clock.mu.Unlock()
	b.clock.now = b.clock.now.Add(d)
}

// take is a call that must not fail.
func (b *bench) take(t *testing.T, takes ...limit.Take) limit.Decision {
	t.Helper()
	d, err := b.Take(t.Context(), takes...)
	if err != nil {
		t.Fatalf("take %s: %v", show(takes), err)
	}
	return d
}

// allowed is a call that must be allowed.
func (b *bench) allowed(t *testing.T, takes ...limit.Take) limit.Decision {
	t.Helper()
	d := b.take(t, takes...)
	if !d.Allowed || d.RetryAfter != 0 {
		t.Fatalf("take %s: %+v, want it allowed", show(takes), d)
	}
	return d
}

// refused is a call that must be refused.
func (b *bench) refused(t *testing.T, takes ...limit.Take) limit.Decision {
	t.Helper()
	d := b.take(t, takes...)
	if d.Allowed || d.RetryAfter <= 0 {
		t.Fatalf("take %s: %+v, want it refused", show(takes), d)
	}
	return d
}

// left returns what is left of a bucket, looking only.
func (b *bench) left(t *testing.T, take limit.Take) int {
	t.Helper()
	take.Peek, take.Cost = true, 0
	return b.take(t, take).Remaining
}

// lefts checks what is left of one bucket after the other.
func (b *bench) lefts(t *testing.T, want []int, takes ...limit.Take) {
	t.Helper()
	for i, take := range takes {
		if got := b.left(t, take); got != want[i] {
			t.Errorf("%d left in %s of %q, want %d", got, take.Bucket, take.Key, want[i])
		}
	}
}

// equal checks a decision.
func equal(t *testing.T, got, want limit.Decision) {
	t.Helper()
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// costing returns take with another cost.
func costing(take limit.Take, cost int) limit.Take {
	take.Cost = cost
	return take
}

func show(takes []limit.Take) string {
	s := ""
	for i, t := range takes {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%d from %s of %.40q", t.Amount(), t.Bucket, t.Key)
	}
	return s
}
