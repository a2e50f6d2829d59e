package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// check fails the test if index, entries and queue of a shard do not describe the same.
func (s *shard) check(t *testing.T) {
	t.Helper()
	if len(s.entries) != len(s.index) || len(s.entries) != len(s.queue) || len(s.entries) > s.max {
		t.Fatalf("%d entries, %d in the index, %d in the queue, at most %d", len(s.entries), len(s.index), len(s.queue), s.max)
	}
	for i, e := range s.entries {
		if s.index[e.name] != int32(i) {
			t.Fatalf("entry %d is in the index as %d", i, s.index[e.name])
		}
		if s.queue[e.queued] != int32(i) {
			t.Fatalf("entry %d is not where it is in the queue", i)
		}
		if e.owed <= 0 || e.owed > e.terms.whole {
			t.Fatalf("entry %d owes %d of %d", i, e.owed, e.terms.whole)
		}
	}
	for i := 1; i < len(s.queue); i++ {
		if s.before(int32(i), int32((i-1)/2)) {
			t.Fatalf("in the queue %d is full before %d", i, (i-1)/2)
		}
	}
}

func TestTheTablesOfAMemoryStayConsistent(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	now := time.Unix(0, 0)
	m := NewMemory(MemoryConfig{MaxEntries: 50, Now: func() time.Time { return now }})
	rates := []Rate{{3, time.Minute}, {7, time.Hour}, {1, time.Second}, {100, 30 * 24 * time.Hour}}
	failed := 0
	for range 5_000 {
		takes := make([]Take, 1+r.IntN(5))
		for i := range takes {
			key := r.IntN(100)*5 + i
			takes[i] = Take{Bucket: "b", Key: fmt.Sprint(key), Rate: rates[r.IntN(len(rates))], Peek: r.IntN(10) == 0, FailOpen: r.IntN(3) == 0}
			takes[i].Cost = r.IntN(2*takes[i].Rate.Burst+1) - takes[i].Rate.Burst
			if r.IntN(2) == 0 {
				takes[i].Cost = takes[i].Rate.Burst
			}
		}
		if _, err := m.Take(t.Context(), takes...); err != nil {
			failed++
		}
		now = now.Add(time.Duration(r.Int64N(int64(30*time.Second)) - int64(time.Second)))
		for i := range m.shards {
			m.shards[i].check(t)
		}
	}
	if failed == 0 || failed > 2_500 {
		t.Errorf("%d calls found no room: too few or too many to mean anything", failed)
	}
}
