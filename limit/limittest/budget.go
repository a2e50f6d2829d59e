package limittest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
)

// codes is the bucket of most tests: a token every two minutes.
var codes = limit.Take{Bucket: "codes", Key: "jane@example.org", Rate: limit.Rate{Burst: 5, Per: 10 * time.Minute}}

const every = 2 * time.Minute

// rates are some that divide well, and some that do not.
var rates = []limit.Rate{
	{Burst: 1, Per: time.Minute},
	{Burst: 3, Per: 10 * time.Minute},
	{Burst: 7, Per: time.Minute},
	{Burst: 59, Per: 61*time.Minute + 7*time.Microsecond},
	{Burst: 100, Per: 30 * 24 * time.Hour},
	{Burst: 97, Per: 30*24*time.Hour + time.Microsecond},
	{Burst: 1699, Per: 30*24*time.Hour - time.Microsecond}, // nearly as fine as there may be
	{Burst: 1, Per: 365 * 24 * time.Hour},
	{Burst: 1_000_000, Per: 24 * time.Hour},
	{Burst: 1_000, Per: time.Minute},
}

var budgetTests = []test{
	{"all of it is there at once, and no more", func(t *testing.T, b *bench) {
		for i := range 5 {
			equal(t, b.allowed(t, codes), limit.Decision{
				Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 4 - i, Reset: time.Duration(i+1) * every,
			})
		}
		want := limit.Decision{Bucket: "codes", Rate: codes.Rate, RetryAfter: every, Reset: 10 * time.Minute}
		for range 3 {
			equal(t, b.refused(t, codes), want)
		}
	}},
	{"it comes back evenly", func(t *testing.T, b *bench) {
		for range 5 {
			b.allowed(t, codes)
		}
		for range 12 {
			b.pass(every - time.Microsecond)
			equal(t, b.refused(t, codes), limit.Decision{
				Bucket: "codes", Rate: codes.Rate, RetryAfter: time.Microsecond, Reset: 8*time.Minute + time.Microsecond,
			})
			b.pass(time.Microsecond)
			b.allowed(t, codes)
			b.refused(t, codes)
		}
		b.pass(2*every + every/2)
		equal(t, b.allowed(t, codes), limit.Decision{
			Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 1, Reset: 3*every + every/2,
		})
		b.allowed(t, codes)
		if d := b.refused(t, codes); d.RetryAfter != every/2 {
			t.Errorf("RetryAfter is %v, want %v", d.RetryAfter, every/2)
		}
	}},
	{"it never grows beyond what it is", func(t *testing.T, b *bench) {
		for _, idle := range []time.Duration{10 * time.Minute, time.Hour, 100 * 365 * 24 * time.Hour} {
			for i := range 5 {
				if d := b.allowed(t, codes); d.Remaining != 4-i {
					t.Errorf("after %v %d remain, want %d", idle, d.Remaining, 4-i)
				}
			}
			b.refused(t, codes)
			b.pass(idle)
		}
	}},
	{"RetryAfter is exact, and nothing is lost to rounding", func(t *testing.T, b *bench) {
		for _, rate := range rates {
			take := limit.Take{Bucket: "rounding", Key: rate.Per.String(), Rate: rate}
			b.allowed(t, costing(take, rate.Burst))
			var waited time.Duration
			for range min(rate.Burst, 100) {
				d := b.refused(t, take)
				b.pass(d.RetryAfter - time.Microsecond)
				if short := b.refused(t, take); short.RetryAfter != time.Microsecond {
					t.Errorf("%d per %v: a microsecond before, RetryAfter is %v", rate.Burst, rate.Per, short.RetryAfter)
				}
				b.pass(time.Microsecond)
				b.allowed(t, take)
				waited += d.RetryAfter
			}
			// Waits are rounded up to a microsecond each, but what was waited too long is not forgotten.
			exact := float64(rate.Per) * float64(min(rate.Burst, 100)) / float64(rate.Burst)
			if diff := float64(waited) - exact; diff < -1 || diff > 1000 {
				t.Errorf("%d per %v: waited %v, want %v", rate.Burst, rate.Per, waited, time.Duration(exact))
			}
			b.pass(rate.Per - time.Microsecond)
			if d := b.refused(t, costing(take, rate.Burst)); d.RetryAfter != time.Microsecond {
				t.Errorf("%d per %v: a microsecond before it is full, RetryAfter is %v", rate.Burst, rate.Per, d.RetryAfter)
			}
			b.pass(time.Microsecond)
			b.allowed(t, costing(take, rate.Burst))
		}
	}},
	{"a cost is withdrawn as a whole or not at all", func(t *testing.T, b *bench) {
		equal(t, b.allowed(t, costing(codes, 3)), limit.Decision{
			Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 2, Reset: 3 * every,
		})
		equal(t, b.refused(t, costing(codes, 3)), limit.Decision{
			Bucket: "codes", Rate: codes.Rate, Remaining: 2, RetryAfter: every, Reset: 3 * every,
		})
		equal(t, b.refused(t, costing(codes, 5)), limit.Decision{
			Bucket: "codes", Rate: codes.Rate, Remaining: 2, RetryAfter: 3 * every, Reset: 3 * every,
		})
		b.allowed(t, costing(codes, 2))
		b.refused(t, codes)
	}},
	{"what was taken is given back, so that failures alone count", func(t *testing.T, b *bench) { // RL-09
		for range 20 {
			b.allowed(t, codes)
			b.allowed(t, costing(codes, -1))
		}
		b.allowed(t, costing(codes, 5))
		equal(t, b.allowed(t, costing(codes, -2)), limit.Decision{
			Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 2, Reset: 3 * every,
		})
		b.allowed(t, costing(codes, 2))
		b.refused(t, codes)
	}},
	{"no more is given back than was there", func(t *testing.T, b *bench) {
		full := limit.Decision{Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 5}
		for _, cost := range []int{-1, -5, -6, math.MinInt32, math.MinInt} {
			equal(t, b.allowed(t, costing(codes, cost)), full)
			b.allowed(t, codes)
			equal(t, b.allowed(t, costing(codes, cost)), full)
			b.allowed(t, costing(codes, 5))
			if cost <= -5 {
				equal(t, b.allowed(t, costing(codes, cost)), full)
			} else {
				b.allowed(t, costing(codes, -5))
			}
		}
		b.allowed(t, costing(codes, 5))
		b.refused(t, codes)
	}},
	{"part of a token that has come back stays when one is given back", func(t *testing.T, b *bench) {
		b.allowed(t, costing(codes, 5))
		b.pass(every / 2)
		b.allowed(t, costing(codes, -1))
		b.allowed(t, codes)
		if d := b.refused(t, codes); d.RetryAfter != every/2 {
			t.Errorf("RetryAfter is %v, want %v", d.RetryAfter, every/2)
		}
	}},
	{"looking takes nothing", func(t *testing.T, b *bench) {
		look := codes
		look.Peek = true
		equal(t, b.allowed(t, look), limit.Decision{Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 5})
		b.allowed(t, costing(codes, 4))
		for range 3 {
			equal(t, b.allowed(t, look), limit.Decision{Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 1, Reset: 4 * every})
			equal(t, b.allowed(t, costing(look, -3)), limit.Decision{Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 1, Reset: 4 * every})
		}
		equal(t, b.refused(t, costing(look, 2)), limit.Decision{Bucket: "codes", Rate: codes.Rate, Remaining: 1, RetryAfter: every, Reset: 4 * every})
		b.allowed(t, codes)
		b.refused(t, look)
	}},
}

var clockTests = []test{
	{"a clock that is set back refills nothing", func(t *testing.T, b *bench) {
		b.allowed(t, costing(codes, 5))
		b.pass(-time.Hour)
		equal(t, b.refused(t, codes), limit.Decision{Bucket: "codes", Rate: codes.Rate, RetryAfter: every, Reset: 5 * every})
	}},
	{"a clock that is set back takes nothing", func(t *testing.T, b *bench) {
		b.allowed(t, costing(codes, 2))
		b.pass(-time.Minute)
		equal(t, b.allowed(t, codes), limit.Decision{Allowed: true, Bucket: "codes", Rate: codes.Rate, Remaining: 2, Reset: 3 * every})
	}},
	{"a clock that was ahead keeps nobody waiting", func(t *testing.T, b *bench) {
		b.pass(10 * 365 * 24 * time.Hour)
		b.allowed(t, costing(codes, 5))
		b.pass(-10 * 365 * 24 * time.Hour)
		b.refused(t, codes)
		b.pass(every)
		b.allowed(t, codes)
		b.refused(t, codes)
	}},
	{"looking notices that the clock was ahead, too", func(t *testing.T, b *bench) {
		b.pass(10 * 365 * 24 * time.Hour)
		b.allowed(t, costing(codes, 5))
		b.pass(-10 * 365 * 24 * time.Hour)
		b.lefts(t, []int{0}, codes)
		b.pass(every)
		b.lefts(t, []int{1}, codes)
	}},
	{"another rate leaves the time to wait, at most its own", func(t *testing.T, b *bench) {
		with := func(burst int, per time.Duration) limit.Take {
			take := codes
			take.Rate = limit.Rate{Burst: burst, Per: per}
			return take
		}
		b.allowed(t, costing(codes, 4)) // 8 of 10 minutes
		for _, tt := range []struct {
			take limit.Take
			left int
			full time.Duration
		}{
			{codes, 1, 8 * time.Minute},
			{with(100, 10*time.Minute), 20, 8 * time.Minute},
			{with(7, 10*time.Minute), 1, 8 * time.Minute},
			{with(5, 20*time.Minute), 3, 8 * time.Minute},
			{with(5, 5*time.Minute), 0, 5 * time.Minute},
			{with(1, 5*time.Minute), 0, 5 * time.Minute},
			{with(3, time.Minute), 0, time.Minute},
			{with(1000, 30*24*time.Hour), 999, 8 * time.Minute},
		} {
			look := tt.take
			look.Peek = true
			equal(t, b.take(t, look), limit.Decision{
				Allowed: tt.left > 0, Bucket: "codes", Rate: look.Rate, Remaining: tt.left, Reset: tt.full,
				RetryAfter: retryAfter(look.Rate, tt.left, tt.full),
			})
		}
		// Of any two rates that can be counted, one can become the other.
		for i, from := range rates {
			for j, to := range append(rates, limit.Rate{Burst: math.MaxInt32, Per: time.Second}) {
				take := limit.Take{Bucket: "changing", Key: fmt.Sprint(i, " ", j), Rate: from}
				full := b.allowed(t, take).Reset
				take.Rate, take.Peek = to, true
				if d := b.take(t, take); d.Reset != min(full, to.Per) {
					t.Errorf("from %d per %v to %d per %v: full after %v, want %v", from.Burst, from.Per, to.Burst, to.Per, d.Reset, min(full, to.Per))
				}
			}
		}
		b.allowed(t, limit.Take{Bucket: "changing", Rate: limit.Rate{Burst: 1, Per: 50 * 365 * 24 * time.Hour}})
		fast := limit.Take{Bucket: "changing", Rate: limit.Rate{Burst: math.MaxInt32, Per: time.Second}, Peek: true}
		equal(t, b.refused(t, fast), limit.Decision{
			Bucket: "changing", Rate: fast.Rate, RetryAfter: time.Microsecond, Reset: time.Second,
		})

		wide := with(10, 30*time.Minute) // 3 minutes each
		equal(t, b.allowed(t, wide), limit.Decision{
			Allowed: true, Bucket: "codes", Rate: wide.Rate, Remaining: 6, Reset: 11 * time.Minute,
		})
		b.pass(2 * time.Minute)
		equal(t, b.refused(t, costing(codes, 2)), limit.Decision{
			Bucket: "codes", Rate: codes.Rate, Remaining: 0, RetryAfter: 3 * time.Minute, Reset: 9 * time.Minute,
		})
	}},
}

// retryAfter is how long it takes until one token is there in a bucket that is full after some time.
func retryAfter(r limit.Rate, left int, full time.Duration) time.Duration {
	if left > 0 {
		return 0
	}
	return full - r.Per + (r.Per+time.Duration(r.Burst)-1)/time.Duration(r.Burst)
}
