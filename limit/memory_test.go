package limit_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/limittest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(t *testing.T, now func() time.Time) limit.Limiter {
		t.Parallel()
		return limit.NewMemory(limit.MemoryConfig{Now: now})
	})
}

// Where there is hardly room for what the suite uses at a time, all of it is counted as well.
func TestMemoryKeepsTheContractInASmallTable(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(t *testing.T, now func() time.Time) limit.Limiter {
		t.Parallel()
		return limit.NewMemory(limit.MemoryConfig{MaxEntries: 1000, Now: now})
	})
}

// clock is one that tests move.
type clock struct{ micros atomic.Int64 }

func (c *clock) Now() time.Time       { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.micros.Add(d.Microseconds()) }

func newMemory(max int) (*limit.Memory, *clock) {
	c := new(clock)
	return limit.NewMemory(limit.MemoryConfig{MaxEntries: max, Now: c.Now}), c
}

func take(t *testing.T, l limit.Limiter, takes ...limit.Take) limit.Decision {
	t.Helper()
	d, err := l.Take(t.Context(), takes...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var perHour = limit.Rate{Burst: 5, Per: time.Hour}

func guess(key any) limit.Take {
	return limit.Take{Bucket: "guess", Key: fmt.Sprint(key), Rate: perHour}
}

func spent(key any) limit.Take {
	g := guess(key)
	g.Cost = 5
	return g
}

func left(t *testing.T, l limit.Limiter, of limit.Take) int {
	t.Helper()
	of.Peek, of.Cost = true, 0
	return take(t, l, of).Remaining
}

func TestMemoryIsBounded(t *testing.T) { // RL-12
	t.Parallel()
	for _, max := range []int{1, 2, 7, 100, 5000} {
		m, _ := newMemory(max)
		for i := range 4 * max {
			if d := take(t, m, guess(i)); !d.Allowed {
				t.Fatalf("%d at most: key %d is refused", max, i)
			}
			if n := m.Len(); n > max {
				t.Fatalf("%d at most: %d entries", max, n)
			}
		}
		if n := m.Len(); n < max*9/10 {
			t.Errorf("%d at most: only %d entries, although more are in use", max, n)
		}
	}
}

func TestMemoryTakesAnyNumberOfKeysInBoundedMemory(t *testing.T) { // RL-12
	m, _ := newMemory(0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 3 * 100_000 {
		take(t, m, guess(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if used > 20<<20 {
		t.Errorf("%d bytes in use, want at most 20 MiB", used)
	}
	t.Logf("%d bytes for %d entries", used, m.Len())
	runtime.KeepAlive(m)
}

func TestMemoryForgetsWhatIsFullAgainBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	m, clock := newMemory(100)
	for i := range 99 {
		take(t, m, guess(i)) // full again after 12 minutes
	}
	clock.pass(11 * time.Minute)
	spentBefore := guess("jane")
	spentBefore.Cost = 4
	take(t, m, spentBefore)
	clock.pass(2 * time.Minute)
	for i := range 99 {
		take(t, m, guess(-1-i))
		if n := left(t, m, spentBefore); n != 1 {
			t.Fatalf("%d are left after %d others, want 1", n, i+1)
		}
	}
}

func TestMemoryShrinksWhenLittleIsUsed(t *testing.T) {
	t.Parallel()
	m, clock := newMemory(100)
	for i := range 100 {
		take(t, m, guess(i))
	}
	clock.pass(time.Hour)
	for i := range 150 {
		take(t, m, guess(1000+i))
		clock.pass(time.Minute)
	}
	if n := m.Len(); n > 20 {
		t.Errorf("%d entries are kept, of which 12 are not full", n)
	}
}

func TestMemoryForgetsABucketThatIsGivenBackOrLookedAt(t *testing.T) {
	t.Parallel()
	m, clock := newMemory(100)
	back := guess("jane")
	back.Cost = -1
	take(t, m, back)
	left(t, m, guess("jane"))
	if n := m.Len(); n != 0 {
		t.Errorf("%d entries for a bucket that was never used", n)
	}
	take(t, m, guess("jane"))
	take(t, m, back)
	if n := m.Len(); n != 0 {
		t.Errorf("%d entries for a bucket that is full", n)
	}
	take(t, m, guess("jane"))
	clock.pass(time.Hour)
	left(t, m, guess("jane"))
	if n := m.Len(); n != 0 {
		t.Errorf("%d entries for a bucket that is full again", n)
	}
}

// A flood of new keys gives nobody a new budget for the key that is attacked.
func TestMemoryNeverForgetsAnExhaustedBucket(t *testing.T) {
	t.Parallel()
	m, _ := newMemory(100)
	take(t, m, spent("jane"))
	for i := range 10_000 {
		take(t, m, guess(i))
	}
	if d := take(t, m, guess("jane")); d.Allowed {
		t.Errorf("jane has a new budget: %+v", d)
	}
}

func TestMemoryForgetsTheLeastUsed(t *testing.T) {
	t.Parallel()
	m, _ := newMemory(8) // so few that all are looked at
	perMinute := limit.Rate{Burst: 5, Per: time.Minute}
	for i := range 8 {
		g := guess(i)
		g.Cost = 2
		if i == 5 {
			g.Cost = 1
		}
		// The least part of a budget counts, not the least number and not the least time.
		if i == 6 {
			g.Rate = perMinute
		}
		if i == 7 {
			g.Rate, g.Cost = limit.Rate{Burst: 2, Per: 10 * time.Hour}, 1
		}
		take(t, m, g)
	}
	take(t, m, guess("new"))
	for i := range 8 {
		want := 3
		if i == 5 {
			want = 5
		}
		g := guess(i)
		if i == 6 {
			g.Rate = perMinute
		}
		if i == 7 {
			g.Rate, want = limit.Rate{Burst: 2, Per: 10 * time.Hour}, 1
		}
		if n := left(t, m, g); n != want {
			t.Errorf("%d of %d are left, want %d", n, i, want)
		}
	}
}

func TestMemoryHoldsOnToWhatIsMoreUsedThanAFlood(t *testing.T) {
	t.Parallel()
	// More than half of its budget is used, and those of the flood use a fifth each.
	m, _ := newMemory(1000)
	hot := guess("jane")
	hot.Cost = 3
	take(t, m, hot)
	for i := range 20_000 {
		take(t, m, guess(i))
	}
	if n := left(t, m, hot); n != 2 {
		t.Errorf("%d are left, want 2", n)
	}
}

func TestMemoryThatIsFullOfExhaustedBucketsCountsNoNewOnes(t *testing.T) { // RL-11
	t.Parallel()
	m, clock := newMemory(100)
	for i := range 100 {
		take(t, m, spent(i))
	}

	d, err := m.Take(t.Context(), guess("jane"))
	if !errors.Is(err, limit.ErrUnavailable) || d != (limit.Decision{}) {
		t.Errorf("a new bucket: %+v, %v; want ErrUnavailable", d, err)
	}
	open := guess("jane")
	open.FailOpen = true
	if d := take(t, m, open); !d.Allowed || !d.Degraded {
		t.Errorf("a new bucket that fails open: %+v, want it allowed and degraded", d)
	}

	// What exists is counted as ever, whatever comes with it.
	if d := take(t, m, guess(7)); d.Allowed {
		t.Errorf("an exhausted bucket: %+v, want it refused", d)
	}
	exists := guess(7)
	exists.Cost = -2
	if d := take(t, m, exists, open); !d.Allowed || !d.Degraded || d.Remaining != 2 {
		t.Errorf("with a new bucket that fails open: %+v, want it allowed and degraded", d)
	}
	if n := left(t, m, exists); n != 2 {
		t.Errorf("%d are left, want 2", n)
	}
	exists.Cost = 1
	if d := take(t, m, open, exists); !d.Degraded || left(t, m, exists) != 1 {
		t.Errorf("what can be counted was not: %+v", d)
	}
	if d := take(t, m, exists); !d.Allowed || d.Degraded {
		t.Errorf("without the new one: %+v, want nothing degraded", d)
	}

	// When some are full again, there is room.
	clock.pass(time.Hour)
	if d := take(t, m, guess("jane")); !d.Allowed || d.Degraded {
		t.Errorf("an hour later: %+v, want it counted", d)
	}
}

func TestMemoryForgetsABucketThatWasExhausted(t *testing.T) {
	t.Parallel()
	m, clock := newMemory(100)
	for i := range 100 {
		take(t, m, spent(i))
	}
	clock.pass(12*time.Minute - time.Microsecond)
	if _, err := m.Take(t.Context(), guess("jane")); !errors.Is(err, limit.ErrUnavailable) {
		t.Errorf("while all are exhausted: %v, want ErrUnavailable", err)
	}
	clock.pass(time.Microsecond)
	if d := take(t, m, guess("jane")); !d.Allowed {
		t.Errorf("when they no longer are: %+v, want it allowed", d)
	}
}

func TestMemoryWithoutRoomForAllTakesNone(t *testing.T) {
	t.Parallel()
	m, _ := newMemory(3)
	take(t, m, spent(1))
	exists := guess(2)
	take(t, m, exists)
	d, err := m.Take(t.Context(), exists, guess("a"), guess("b"))
	if !errors.Is(err, limit.ErrUnavailable) || d.Allowed {
		t.Errorf("%+v, %v; want ErrUnavailable", d, err)
	}
	for of, want := range map[string]int{"2": 4, "a": 5, "b": 5} {
		if n := left(t, m, guess(of)); n != want {
			t.Errorf("%d of %s are left, want %d", n, of, want)
		}
	}
	if n := m.Len(); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// The buckets of one call do not push each other out.
func TestMemoryForgetsNothingThatTheSameCallWants(t *testing.T) {
	t.Parallel()
	m, _ := newMemory(16)
	for round := range 100 {
		takes := make([]limit.Take, 16)
		for i := range takes {
			takes[i] = guess(fmt.Sprint(round, i))
		}
		take(t, m, takes...)
		for _, g := range takes {
			if n := left(t, m, g); n != 4 {
				t.Fatalf("round %d: %d of %s are left, want 4", round, n, g.Key)
			}
		}
	}
}

func TestMemoryTakesWithoutAllocating(t *testing.T) {
	m, _ := newMemory(1000)
	many := limit.Rate{Burst: 1_000_000, Per: time.Hour}
	takes := []limit.Take{
		{Bucket: "client", Key: "192.0.2.1", Rate: many},
		{Bucket: "account", Key: "jane@example.org", Rate: many},
		{Bucket: "global", Rate: many},
		{Bucket: "refused", Rate: perHour, Peek: true},
	}
	keys := make([]string, 20_000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
		take(t, m, guess(i)) // so that the tables have grown
	}
	ctx, next := context.Background(), 0
	for name, f := range map[string]func(){
		"one":     func() { _, _ = m.Take(ctx, takes[0]) },
		"several": func() { _, _ = m.Take(ctx, takes...) },
		"a new one": func() {
			next++
			_, _ = m.Take(ctx, limit.Take{Bucket: "new", Key: keys[next], Rate: perHour})
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	many := limit.Rate{Burst: 1_000_000, Per: time.Second}
	client := limit.Take{Bucket: "client", Key: "192.0.2.1", Rate: many}
	four := []limit.Take{
		client,
		{Bucket: "account", Key: "jane@example.org", Rate: many},
		{Bucket: "prefix", Key: "+41", Rate: many},
		{Bucket: "global", Rate: many},
	}
	keys := make([]string, 1<<20)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	run := func(name string, takes func(i int, buffer []limit.Take) []limit.Take) {
		b.Run(name, func(b *testing.B) {
			m := limit.NewMemory(limit.MemoryConfig{})
			b.ReportAllocs()
			var worker atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				buffer := make([]limit.Take, 1)
				for i := int(worker.Add(1)) * 7919; pb.Next(); i++ {
					if _, err := m.Take(context.Background(), takes(i, buffer)...); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	run("one", func(int, []limit.Take) []limit.Take { return four[:1] })
	run("four", func(int, []limit.Take) []limit.Take { return four })
	run("a flood of new keys", func(i int, buffer []limit.Take) []limit.Take {
		buffer[0] = limit.Take{Bucket: "guess", Key: keys[i%len(keys)], Rate: perHour}
		return buffer
	})
}
