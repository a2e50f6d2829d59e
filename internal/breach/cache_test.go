package breach

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (c *cache) prefixes() []string {
	var prefixes []string
	for e := c.byUse.Front(); e != nil; e = e.Next() {
		prefixes = append(prefixes, e.Value.(*cached).prefix)
	}
	return prefixes
}

func TestCacheForgetsTheRangeThatWasNotUsedForLongest(t *testing.T) {
	t.Parallel()
	c := newCache(3, time.Hour, time.Now)
	for _, prefix := range []string{"A", "B", "C"} {
		c.put(prefix, leaked{})
	}
	c.get("A")
	c.put("D", leaked{})
	c.put("C", leaked{})
	c.put("C", leaked{})
	if diff := cmp.Diff([]string{"C", "D", "A"}, c.prefixes()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if _, ok := c.get("B"); ok {
		t.Error("the range that was not used for longest is still there")
	}
	if len(c.lookup) != 3 {
		t.Errorf("%d ranges can be looked up, want 3", len(c.lookup))
	}
}

func TestCacheDropsWhatHasExpired(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := newCache(3, time.Minute, func() time.Time { return now })
	c.put("A", leaked{})
	now = now.Add(time.Minute)
	if _, ok := c.get("A"); ok {
		t.Error("a range is used after its life")
	}
	if len(c.lookup) != 0 || c.byUse.Len() != 0 {
		t.Error("a range is kept after its life was noticed to be over")
	}
}

func TestCacheOfNothingKeepsNothing(t *testing.T) {
	t.Parallel()
	c := newCache(0, time.Hour, time.Now)
	c.put("A", leaked{})
	if _, ok := c.get("A"); ok {
		t.Error("a range is kept")
	}
}

func TestCacheTakesConcurrentUse(t *testing.T) {
	t.Parallel()
	c := newCache(4, time.Hour, time.Now)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				prefix := fmt.Sprint((i + j) % 9)
				if _, ok := c.get(prefix); !ok {
					c.put(prefix, leaked{})
				}
			}
		})
	}
	wg.Wait()
	prefixes := c.prefixes()
	slices.Sort(prefixes)
	if len(prefixes) != 4 || len(slices.Compact(prefixes)) != 4 || len(c.lookup) != 4 {
		t.Errorf("kept %q, with %d to look up; want 4 different ones", prefixes, len(c.lookup))
	}
}
