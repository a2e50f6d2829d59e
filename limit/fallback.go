package limit

import (
	"context"
	"errors"
)

// WithFallback returns a limiter that counts with first and, what that cannot count, with second: what replicas share while
// they can reach it, say, and what each has in its own memory meanwhile. The budgets of second are full when it is first
// needed, so that an outage gives everybody another one in each process, and neither learns of what the other has counted.
//
// [Take.FailOpen] then decides only where second cannot count, either. A call that first has refused or allowed is never
// counted by second.
func WithFallback(first, second Limiter) Limiter { return fallback{first, second} }

type fallback struct{ first, second Limiter }

func (f fallback) Take(ctx context.Context, takes ...Take) (Decision, error) {
	closed := make([]Take, len(takes))
	for i, t := range takes {
		closed[i] = t
		closed[i].FailOpen = false
	}
	d, err := f.first.Take(ctx, closed...)
	if !errors.Is(err, ErrUnavailable) {
		return d, err
	}
	return f.second.Take(ctx, takes...)
}
