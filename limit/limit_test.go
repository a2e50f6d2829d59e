package limit_test

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
)

func TestRatesThatCanBeCounted(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, r := range []limit.Rate{
		{Burst: 1, Per: time.Microsecond},
		{Burst: 100, Per: 30 * day},
		{Burst: 1, Per: 100 * 365 * day},
		{Burst: 1_000_000, Per: day},
		{Burst: math.MaxInt32, Per: time.Second},
		{Burst: 1 << 52, Per: time.Microsecond},
	} {
		if err := r.Check(); err != nil {
			t.Errorf("%d per %v: %v", r.Burst, r.Per, err)
		}
		n, micros := r.LowestTerms()
		if n*r.Per.Microseconds() != micros*int64(r.Burst) && r.Burst < 1<<31 || n < 1 || micros < 1 {
			t.Errorf("%d per %v: in lowest terms %d per %dµs", r.Burst, r.Per, n, micros)
		}
		for d := int64(2); d < 100; d++ {
			if n%d == 0 && micros%d == 0 {
				t.Errorf("%d per %v: %d and %d can be divided by %d", r.Burst, r.Per, n, micros, d)
			}
		}
	}
	for burst := 1; burst <= 1700; burst++ {
		for _, per := range []time.Duration{30 * day, 30*day - time.Microsecond, 30*day - 3*time.Microsecond} {
			if err := (limit.Rate{Burst: burst, Per: per}).Check(); err != nil {
				t.Fatalf("%d per %v: %v", burst, per, err)
			}
		}
	}
	for _, r := range []limit.Rate{
		{},
		{Burst: -1, Per: day},
		{Burst: 1, Per: -day},
		{Burst: 1, Per: 999 * time.Nanosecond},
		{Burst: 1<<52 + 1, Per: time.Microsecond},
		{Burst: math.MaxInt, Per: math.MaxInt64},
		{Burst: 999_983, Per: day},
		{Burst: 2_999, Per: 30*day + time.Microsecond},
		{Burst: 1, Per: math.MaxInt64},
	} {
		if err := r.Check(); err == nil {
			t.Errorf("%d per %v can be counted", r.Burst, r.Per)
		}
	}
}

func TestSecondsAreRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{
		0: 0, 1: 1, time.Second - 1: 1, time.Second: 1, time.Second + 1: 2, time.Hour: 3600, math.MaxInt64: 9223372037,
	} {
		if got := limit.Seconds(d); got != want {
			t.Errorf("%v are %d seconds, want %d", d, got, want)
		}
	}
}

func TestUnavailableAllowsOnlyWhatFailsOpenAsAWhole(t *testing.T) { // RL-11
	t.Parallel()
	open := guess("a")
	open.FailOpen = true
	for _, takes := range [][]limit.Take{{guess("b")}, {open, guess("b")}, {guess("b"), open}} {
		d, err := limit.Unavailable(io.ErrUnexpectedEOF, takes...)
		if d != (limit.Decision{}) || !errors.Is(err, limit.ErrUnavailable) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%+v, %v; want an error that is ErrUnavailable and the cause", d, err)
		}
	}
	d, err := limit.Unavailable(io.ErrUnexpectedEOF, open, open)
	if want := (limit.Decision{Allowed: true, Degraded: true}); d != want || err != nil {
		t.Errorf("%+v, %v; want %+v", d, err, want)
	}
}
