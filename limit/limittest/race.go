package limittest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
)

// crowd is how many do the same at the same moment.
const crowd = 50

// race calls f at the same moment in as many goroutines as n.
func race(n int, f func(i int)) {
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// count returns how many calls were allowed, of a crowd that each make one.
func (b *bench) count(t *testing.T, takes func(i int) []limit.Take) int {
	t.Helper()
	var n atomic.Int64
	race(crowd, func(i int) {
		d, err := b.Take(t.Context(), takes(i)...)
		if err != nil {
			t.Errorf("take: %v", err)
		}
		if d.Allowed {
			n.Add(1)
		}
	})
	return int(n.Load())
}

var raceTests = []test{
	{"of many exactly as many are allowed as there are", func(t *testing.T, b *bench) { // RL-13, EO-03
		for burst := 1; burst < crowd; burst += 12 {
			take := limit.Take{Bucket: "race", Key: fmt.Sprint(burst), Rate: limit.Rate{Burst: burst, Per: time.Hour}}
			if n := b.count(t, func(int) []limit.Take { return []limit.Take{take} }); n != burst {
				t.Errorf("%d of %d were allowed, want %d", n, crowd, burst)
			}
			b.refused(t, take)
		}
	}},
	{"of many that want several, in any order, exactly as many are allowed", func(t *testing.T, b *bench) {
		takes := make([]limit.Take, 8)
		for i := range takes {
			takes[i] = limit.Take{Bucket: "race", Key: fmt.Sprint(i), Rate: limit.Rate{Burst: 20 + i, Per: time.Hour}}
		}
		n := b.count(t, func(i int) []limit.Take {
			turned := append([]limit.Take(nil), takes[i%8:]...)
			return append(turned, takes[:i%8]...)
		})
		if n != 20 {
			t.Errorf("%d were allowed, want 20", n)
		}
		b.lefts(t, []int{0, 1, 2, 3, 4, 5, 6, 7}, takes...)
	}},
	{"buckets that different calls have in common are not overdrawn", func(t *testing.T, b *bench) {
		rate := limit.Rate{Burst: 12, Per: time.Hour}
		take := func(i int) limit.Take { return limit.Take{Bucket: "ring", Key: fmt.Sprint(i % 5), Rate: rate} }
		n := b.count(t, func(i int) []limit.Take { return []limit.Take{take(i), take(i + 1)} })
		left := 0
		for i := range 5 {
			left += b.left(t, take(i))
		}
		if left != 5*12-2*n {
			t.Errorf("%d were allowed and %d are left, want %d", n, left, 5*12-2*n)
		}
	}},
	{"whoever gives back what they took lets others in, and no more", func(t *testing.T, b *bench) {
		rate := limit.Rate{Burst: 10, Per: time.Hour}
		take := limit.Take{Bucket: "slots", Rate: rate}
		var inside, most, passed atomic.Int64
		race(crowd, func(int) {
			for range 5 {
				d, err := b.Take(t.Context(), take)
				if err != nil {
					t.Errorf("take: %v", err)
				}
				if !d.Allowed {
					continue
				}
				passed.Add(1)
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				inside.Add(-1)
				if _, err := b.Take(t.Context(), costing(take, -1)); err != nil {
					t.Errorf("give back: %v", err)
				}
			}
		})
		if most.Load() > 10 || passed.Load() < 10 {
			t.Errorf("%d were inside at once, of %d who got in; want at most 10, at least 10", most.Load(), passed.Load())
		}
		b.lefts(t, []int{10}, take)
	}},
}
