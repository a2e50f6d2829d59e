package limittest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
)

// What a text message costs: four buckets in one call.
var (
	number = limit.Take{Bucket: "sms-number", Key: "+41791234567", Rate: limit.Rate{Burst: 2, Per: time.Hour}}
	prefix = limit.Take{Bucket: "sms-prefix", Key: "+41", Rate: limit.Rate{Burst: 4, Per: time.Hour}}
	client = limit.Take{Bucket: "sms-client", Key: "192.0.2.1", Rate: limit.Rate{Burst: 4, Per: 4 * time.Hour}}
	global = limit.Take{Bucket: "sms-global", Rate: limit.Rate{Burst: 100, Per: 24 * time.Hour}}
)

var severalTests = []test{
	{"all are withdrawn or none", func(t *testing.T, b *bench) { // SM-02
		all := []limit.Take{number, prefix, client, global}
		b.allowed(t, all...)
		b.allowed(t, all...)
		for range 3 {
			equal(t, b.refused(t, all...), limit.Decision{
				Bucket: "sms-number", Rate: number.Rate, RetryAfter: 30 * time.Minute, Reset: time.Hour,
			})
		}
		b.lefts(t, []int{0, 2, 2, 98}, all...)
		other := number
		other.Key = "+41791234568"
		b.allowed(t, other, prefix, client, global)
		b.allowed(t, other, prefix, client, global)
		b.lefts(t, []int{0, 0, 0, 0, 96}, number, other, prefix, client, global)
	}},
	{"none is given back if one refuses", func(t *testing.T, b *bench) {
		b.allowed(t, costing(number, 2))
		b.allowed(t, costing(client, 3))
		b.refused(t, costing(client, -3), number)
		b.refused(t, number, costing(client, -3))
		b.lefts(t, []int{0, 1}, number, client)
	}},
	{"withdrawing and giving back are one step", func(t *testing.T, b *bench) {
		b.allowed(t, costing(number, 2))
		b.allowed(t, costing(number, -1), client)
		b.lefts(t, []int{1, 3}, number, client)
	}},
	{"what is only looked at can refuse the others", func(t *testing.T, b *bench) {
		look := number
		look.Peek = true
		b.allowed(t, look, client)
		b.lefts(t, []int{2, 3}, number, client)
		b.allowed(t, costing(number, 2))
		if d := b.refused(t, client, look); d.Bucket != number.Bucket {
			t.Errorf("refused by %s, want %s", d.Bucket, number.Bucket)
		}
		b.lefts(t, []int{0, 3}, number, client)
	}},
	{"the decision is about the one that refuses for longest", func(t *testing.T, b *bench) {
		b.allowed(t, costing(prefix, 4))
		b.allowed(t, costing(number, 2))
		b.allowed(t, costing(client, 3))
		for _, order := range [][]limit.Take{
			{number, prefix, costing(client, 2), global},
			{global, costing(client, 2), prefix, number},
			{prefix, global, number, costing(client, 2)},
		} {
			equal(t, b.refused(t, order...), limit.Decision{
				Bucket: "sms-client", Rate: client.Rate, Remaining: 1, RetryAfter: time.Hour, Reset: 3 * time.Hour,
			})
			if d := b.refused(t, prefix, global, number); d.Bucket != number.Bucket {
				t.Errorf("refused by %s, want %s", d.Bucket, number.Bucket)
			}
		}
		b.pass(time.Hour)
		b.allowed(t, number, prefix, costing(client, 2), global)
	}},
	{"the decision is about the one with the least left", func(t *testing.T, b *bench) {
		equal(t, b.allowed(t, global, client, number, prefix), limit.Decision{
			Allowed: true, Bucket: "sms-number", Rate: number.Rate, Remaining: 1, Reset: 30 * time.Minute,
		})
		// Of equals it is the first.
		if d := b.allowed(t, global, client, prefix); d.Bucket != client.Bucket {
			t.Errorf("the decision is about %s, want %s", d.Bucket, client.Bucket)
		}
		if d := b.allowed(t, global, prefix, client); d.Bucket != prefix.Bucket {
			t.Errorf("the decision is about %s, want %s", d.Bucket, prefix.Bucket)
		}
	}},
	{"as many as there may be", func(t *testing.T, b *bench) {
		takes := make([]limit.Take, limit.MaxTakes)
		want := make([]int, len(takes))
		for i := range takes {
			takes[i] = limit.Take{Bucket: "many", Key: fmt.Sprint(i), Rate: limit.Rate{Burst: 2 + i, Per: time.Hour}}
			want[i] = i
		}
		b.allowed(t, takes...)
		b.allowed(t, takes...)
		b.refused(t, takes...)
		b.lefts(t, want, takes...)
	}},
}

var keyTests = []test{
	{"every bucket and key has a budget of its own", func(t *testing.T, b *bench) { // RL-05
		rate := limit.Rate{Burst: 1, Per: time.Hour}
		long := strings.Repeat("k", limit.MaxKey)
		keys := []string{
			"", " ", "\x00", "\x00\x00", "0", "a", "A", "a ", " a", "a\x00", "a\n", "a\r\nDEL a\r\n", "a:b", "a}b", "{a}b", "{a}c", "*", "?", "a*", "[a-z]",
			"é", "e\u0301", "\xff", "\xfe\xff", "$1", "%s", "' OR ''='", "\"", "\\", "../a", "nil", "KEYS[1]",
			long, long[1:], long[1:] + "l", "l" + long[1:],
		}
		for _, bucket := range []string{"a", "a-a", "a/a", "a.a", "a_a", "aa", "0", strings.Repeat("b", limit.MaxBucket)} {
			for _, key := range keys {
				take := limit.Take{Bucket: bucket, Key: key, Rate: rate}
				b.allowed(t, take)
				b.refused(t, take)
			}
		}
	}},
	{"what name and key are together is not confused", func(t *testing.T, b *bench) {
		rate := limit.Rate{Burst: 1, Per: time.Hour}
		b.allowed(t,
			limit.Take{Bucket: "a", Key: "bc", Rate: rate}, limit.Take{Bucket: "ab", Key: "c", Rate: rate}, limit.Take{Bucket: "abc", Rate: rate},
			limit.Take{Bucket: "a", Key: "\x00bc", Rate: rate}, limit.Take{Bucket: "a", Key: "b\x00c", Rate: rate})
	}},
}

var refusedTests = []test{
	{"what makes no sense is an error and takes nothing", func(t *testing.T, b *bench) {
		many := make([]limit.Take, limit.MaxTakes+1)
		for i := range many {
			many[i] = limit.Take{Bucket: "many", Key: fmt.Sprint(i), Rate: codes.Rate}
		}
		with := func(change func(*limit.Take)) []limit.Take {
			bad := number
			bad.FailOpen = true
			change(&bad)
			return []limit.Take{codes, bad}
		}
		for name, takes := range map[string][]limit.Take{
			"none":              nil,
			"too many":          many,
			"one twice":         {codes, number, codes},
			"one twice, looked": {codes, {Bucket: codes.Bucket, Key: codes.Key, Rate: codes.Rate, Peek: true}},
			"no name":           with(func(t *limit.Take) { t.Bucket = "" }),
			"a long name":       with(func(t *limit.Take) { t.Bucket = strings.Repeat("a", limit.MaxBucket+1) }),
			"a name with NUL":   with(func(t *limit.Take) { t.Bucket = "a\x00b" }),
			"a name with \"":    with(func(t *limit.Take) { t.Bucket = `a"b` }),
			"a name in capital": with(func(t *limit.Take) { t.Bucket = "Codes" }),
			"a name with {":     with(func(t *limit.Take) { t.Bucket = "{a}" }),
			"a long key":        with(func(t *limit.Take) { t.Key = strings.Repeat("a", limit.MaxKey+1) }),
			"no rate":           with(func(t *limit.Take) { t.Rate = limit.Rate{} }),
			"no burst":          with(func(t *limit.Take) { t.Rate.Burst = 0 }),
			"a negative burst":  with(func(t *limit.Take) { t.Rate.Burst = -1 }),
			"no period":         with(func(t *limit.Take) { t.Rate.Per = 0 }),
			"a negative period": with(func(t *limit.Take) { t.Rate.Per = -time.Hour }),
			"a short period":    with(func(t *limit.Take) { t.Rate.Per = time.Microsecond - 1 }),
			"a fine rate":       with(func(t *limit.Take) { t.Rate = limit.Rate{Burst: 1 << 40, Per: 24*time.Hour + time.Microsecond} }),
			"too high a cost":   with(func(t *limit.Take) { t.Cost = 3 }),
		} {
			d, err := b.Take(t.Context(), takes...)
			if !errors.Is(err, limit.ErrTake) {
				t.Errorf("%s: error %v, want ErrTake", name, err)
			}
			equal(t, d, limit.Decision{})
			if err != nil && (strings.Contains(err.Error(), codes.Key) || strings.Contains(err.Error(), number.Key)) {
				t.Errorf("%s: the error shows a key: %v", name, err)
			}
		}
		b.lefts(t, []int{5}, codes)
	}},
	{"a context that has ended is an error and takes nothing", func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		for _, open := range []bool{false, true} {
			take := codes
			take.FailOpen = open
			for ctx, want := range map[context.Context]error{ctx: context.Canceled, late: context.DeadlineExceeded} {
				d, err := b.Take(ctx, take)
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
				equal(t, d, limit.Decision{})
			}
		}
		b.lefts(t, []int{5}, codes)
	}},
	{"FailOpen changes nothing while the limiter works", func(t *testing.T, b *bench) {
		take := number
		take.FailOpen = true
		b.allowed(t, take)
		b.allowed(t, take)
		equal(t, b.refused(t, take), limit.Decision{Bucket: "sms-number", Rate: number.Rate, RetryAfter: 30 * time.Minute, Reset: time.Hour})
	}},
}
