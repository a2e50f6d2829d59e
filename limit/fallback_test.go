package limit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/limittest"
)

// scripted is a limiter that answers as it is told, and remembers what it was asked.
type scripted struct {
	decision limit.Decision
	err      error
	asked    [][]limit.Take
}

func (s *scripted) Take(_ context.Context, takes ...limit.Take) (limit.Decision, error) {
	s.asked = append(s.asked, append([]limit.Take(nil), takes...))
	return s.decision, s.err
}

func TestFallbackKeepsTheContract(t *testing.T) {
	t.Parallel()
	memory := func(now func() time.Time) limit.Limiter { return limit.NewMemory(limit.MemoryConfig{Now: now}) }
	for name, two := range map[string]func(now func() time.Time) limit.Limiter{
		"the first counts":  func(now func() time.Time) limit.Limiter { return limit.WithFallback(memory(now), broken{}) },
		"the second counts": func(now func() time.Time) limit.Limiter { return limit.WithFallback(broken{}, memory(now)) },
		"one behind two that cannot": func(now func() time.Time) limit.Limiter {
			return limit.WithFallback(broken{}, limit.WithFallback(broken{}, memory(now)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limittest.Run(t, func(_ *testing.T, now func() time.Time) limit.Limiter { return two(now) })
		})
	}
}

// RL-11: the second is asked what the first could not count, and nothing else; FailOpen is the second's to apply.
func TestTheSecondCountsWhatTheFirstCannot(t *testing.T) {
	t.Parallel()
	unavailable := fmt.Errorf("%w: no connection", limit.ErrUnavailable)
	open := limit.Take{Bucket: "open", Rate: limit.Rate{Burst: 1, Per: time.Hour}, FailOpen: true}
	closed := limit.Take{Bucket: "closed", Rate: limit.Rate{Burst: 1, Per: time.Hour}}
	allowed, refused := limit.Decision{Allowed: true, Bucket: "open", Remaining: 3}, limit.Decision{Bucket: "open", RetryAfter: time.Minute}
	for name, x := range map[string]struct {
		decision limit.Decision
		err      error
		second   bool
	}{
		"allowed":               {allowed, nil, false},
		"refused":               {refused, nil, false},
		"unavailable":           {limit.Decision{}, unavailable, true},
		"makes no sense":        {limit.Decision{}, fmt.Errorf("%w: no bucket", limit.ErrTake), false},
		"the caller gave up":    {limit.Decision{}, fmt.Errorf("limit: %w", context.Canceled), false},
		"the caller's time":     {limit.Decision{}, context.DeadlineExceeded, false},
		"of no documented kind": {limit.Decision{}, errors.New("what is this"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := &scripted{decision: x.decision, err: x.err}
			second := &scripted{decision: limit.Decision{Allowed: true, Bucket: "second"}}
			d, err := limit.WithFallback(first, second).Take(t.Context(), open, closed)
			if len(first.asked) != 1 || (len(second.asked) == 1) != x.second {
				t.Fatalf("the first was asked %d times, the second %d", len(first.asked), len(second.asked))
			}
			for i, take := range first.asked[0] {
				want := []limit.Take{open, closed}[i]
				want.FailOpen = false // what it cannot count it is to say
				if take != want {
					t.Errorf("the first was asked %+v, want %+v", take, want)
				}
			}
			if !x.second {
				if d != x.decision || !errors.Is(err, x.err) {
					t.Errorf("%+v, %v; want what the first says", d, err)
				}
				return
			}
			if d != second.decision || err != nil || second.asked[0][0] != open || second.asked[0][1] != closed {
				t.Errorf("%+v, %v; the second was asked %+v", d, err, second.asked[0])
			}
		})
	}
}

func TestWithoutTheSecondEachBucketHasItsWay(t *testing.T) { // RL-11
	t.Parallel()
	l := limit.WithFallback(broken{}, broken{})
	rate := limit.Rate{Burst: 1, Per: time.Hour}
	open, closed := limit.Take{Bucket: "open", Rate: rate, FailOpen: true}, limit.Take{Bucket: "closed", Rate: rate}
	if d, err := l.Take(t.Context()); err == nil || d.Allowed {
		t.Errorf("nothing at all: %+v, %v", d, err)
	}
	if d, err := l.Take(t.Context(), open); err != nil || !d.Allowed || !d.Degraded {
		t.Errorf("%+v, %v", d, err)
	}
	for _, takes := range [][]limit.Take{{closed}, {open, closed}, {closed, open}} {
		if d, err := l.Take(t.Context(), takes...); !errors.Is(err, limit.ErrUnavailable) || d.Allowed {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

// A caller whose context has ended is counted nowhere.
func TestACallerWhoGaveUpIsNotCountedByTheSecond(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	second := limit.NewMemory(limit.MemoryConfig{})
	_, err := limit.WithFallback(limit.NewMemory(limit.MemoryConfig{}), second).Take(ctx, limit.Take{Bucket: "b", Rate: limit.Rate{Burst: 1, Per: time.Hour}, FailOpen: true})
	if !errors.Is(err, context.Canceled) || second.Len() != 0 {
		t.Errorf("%v, %d buckets", err, second.Len())
	}
}
