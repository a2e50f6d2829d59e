package limittest

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ostiary/auth/limit"
)

// model is a limiter that is too simple to be wrong: it counts in fractions of a token.
type model struct {
	now     time.Time
	buckets map[string]*bucket
}

type bucket struct {
	at      time.Time
	missing *big.Rat // tokens
}

// look returns what is missing from a bucket.
func (m *model) look(t limit.Take) *big.Rat {
	b := m.buckets[t.Bucket+"\x00"+t.Key]
	if b == nil {
		return new(big.Rat)
	}
	back := big.NewRat(m.now.Sub(b.at).Microseconds(), 1)
	back.Mul(back, perMicrosecond(t.Rate))
	left := new(big.Rat).Sub(b.missing, back)
	if left.Sign() < 0 {
		left.SetInt64(0)
	}
	return left
}

func (m *model) take(takes ...limit.Take) limit.Decision {
	var d limit.Decision
	missing := make([]*big.Rat, len(takes))
	for i, t := range takes {
		now := m.look(t)
		after := new(big.Rat).Add(now, big.NewRat(int64(t.Amount()), 1))
		if after.Sign() < 0 {
			after.SetInt64(0)
		}
		this := limit.Decision{Allowed: true, Bucket: t.Bucket, Rate: t.Rate}
		burst := big.NewRat(int64(t.Rate.Burst), 1)
		if after.Cmp(burst) > 0 {
			this.Allowed = false
			this.RetryAfter = time.Duration(ceil(new(big.Rat).Quo(new(big.Rat).Sub(after, burst), perMicrosecond(t.Rate)))) * time.Microsecond
			after = now
		} else if t.Peek {
			after = now
		}
		missing[i] = after
		this.Remaining = t.Rate.Burst - int(ceil(after))
		this.Reset = time.Duration(ceil(new(big.Rat).Quo(after, perMicrosecond(t.Rate)))) * time.Microsecond
		switch {
		case i == 0:
			d = this
		case this.Allowed && d.Allowed && this.Remaining < d.Remaining:
			d = this
		case !this.Allowed && this.RetryAfter > d.RetryAfter:
			d = this
		}
	}
	if d.Allowed {
		for i, t := range takes {
			if !t.Peek {
				m.buckets[t.Bucket+"\x00"+t.Key] = &bucket{at: m.now, missing: missing[i]}
			}
		}
	}
	return d
}

func perMicrosecond(r limit.Rate) *big.Rat { return big.NewRat(int64(r.Burst), r.Per.Microseconds()) }

// ceil rounds up a number that is not negative.
func ceil(r *big.Rat) int64 {
	n := new(big.Int).Add(r.Num(), new(big.Int).Sub(r.Denom(), big.NewInt(1)))
	return n.Div(n, r.Denom()).Int64()
}

var randomTests = []test{
	{"any sequence of calls is decided as by simple arithmetic", func(t *testing.T, b *bench) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		m := &model{buckets: map[string]*bucket{}}
		// Each of these buckets has one rate.
		all := make([]limit.Take, 24)
		for i := range all {
			all[i] = limit.Take{Bucket: fmt.Sprintf("b%d", i%len(rates)), Key: fmt.Sprint(i), Rate: rates[i%len(rates)]}
		}
		verdicts := map[bool]int{}
		for step := range 3000 {
			takes := make([]limit.Take, 1+r.IntN(4))
			for i, n := range r.Perm(len(all))[:len(takes)] {
				takes[i] = all[n]
				burst := takes[i].Rate.Burst
				switch r.IntN(8) {
				case 0:
					takes[i].Cost = -1 - r.IntN(burst)
				case 1:
					takes[i].Cost = burst
				case 2, 3:
					takes[i].Cost = 1 + r.IntN(burst)
				case 4:
					takes[i].Peek = true
				}
			}
			b.pass(time.Duration(r.Int64N(3)) * time.Microsecond)
			if r.IntN(3) == 0 {
				per := slices.MaxFunc(takes, func(a, b limit.Take) int { return a.Rate.Burst - b.Rate.Burst }).Rate.Per
				b.pass(time.Duration(r.Int64N(int64(per))))
			}
			m.now = b.clock.Now().Truncate(time.Microsecond)
			b.pass(m.now.Sub(b.clock.Now()))
			got, want := b.take(t, takes...), m.take(takes...)
			if got != want {
				t.Fatalf("step %d: take %s\ngot  %+v\nwant %+v", step, show(takes), got, want)
			}
			verdicts[got.Allowed]++
		}
		if verdicts[true] < 300 || verdicts[false] < 300 {
			t.Errorf("%d were allowed, %d refused: too few to mean anything", verdicts[true], verdicts[false])
		}
	}},
}
