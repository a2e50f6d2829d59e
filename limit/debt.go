package limit

import "time"

// terms are a [Rate] in units, see [Rate.LowestTerms].
type terms struct {
	token int64 // what one token is worth
	back  int64 // how many come back in a microsecond
	whole int64 // the budget
}

func newTerms(r Rate) terms {
	n, micros := r.LowestTerms()
	return terms{token: micros, back: n, whole: int64(r.Burst) * micros}
}

// debt is what is missing from a bucket.
type debt struct {
	at   int64 // in microseconds
	owed int64 // at that moment, in units
	back int64 // the units: how many come back in a microsecond
}

// owes returns what is missing now, in the units of t and at most all of it. A clock that was set back refills nothing.
func (d debt) owes(now int64, t terms) int64 {
	gone := max(0, now-d.at)
	if gone > d.owed/d.back {
		return 0
	}
	owed := d.owed - gone*d.back
	if d.back != t.back {
		// The rate has changed. What stays is the time to wait.
		if left := ceil(owed, d.back); left > t.whole/t.back {
			owed = t.whole
		} else {
			owed = left * t.back
		}
	}
	return min(owed, t.whole)
}

// take returns what a bucket owes after a withdrawal and, if that is too much, how many microseconds it takes until it no
// longer is.
func (t terms) take(owed int64, amount int) (after, wait int64) {
	after = max(0, owed+int64(amount)*t.token)
	if after > t.whole {
		return owed, ceil(after-t.whole, t.back)
	}
	return after, 0
}

// add makes d the decision about one more bucket, if that is the one that matters.
func (d *Decision) add(take *Take, t terms, owed, wait int64) {
	retry, remaining := microseconds(wait), int((t.whole-owed)/t.token)
	switch {
	case d.Bucket == "":
	case wait == 0 && d.RetryAfter == 0 && remaining < d.Remaining:
	case wait > 0 && retry > d.RetryAfter:
	default:
		return
	}
	*d = Decision{
		Allowed: wait == 0, Bucket: take.Bucket, Rate: take.Rate,
		Remaining: remaining, RetryAfter: retry, Reset: microseconds(ceil(owed, t.back)),
	}
}

// microseconds returns a time that is at most a rate's Per.
func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// ceil returns a/b, rounded up, of numbers that are not negative.
func ceil(a, b int64) int64 { return (a + b - 1) / b }
