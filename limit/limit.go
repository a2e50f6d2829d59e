// Package limit says how often something may happen: guesses of a password, letters to an address, text messages to a
// country. It has the mechanism and no policy.
//
// A bucket holds a budget ([Rate]), for each key its own. A [Limiter] withdraws from one bucket or from several at once,
// from all of them or from none:
//
//	d, err := limiter.Take(ctx,
//		limit.Take{Bucket: "emails-client", Key: client, Rate: limit.Rate{Burst: 20, Per: time.Hour}},
//		limit.Take{Bucket: "emails-recipient", Key: address, Rate: limit.Rate{Burst: 3, Per: 10 * time.Minute}},
//	)
//	if err != nil {
//		return err // not counted, so not allowed
//	}
//	if !d.Allowed {
//		return tooMany(d.RetryAfter)
//	}
//
// [Memory] counts within one process, package redislimit for replicas together. Both pass limittest.Run, and so must
// anyone's.
//
// # Guesses
//
// Withdraw before a secret is compared, and give back when it was right (a negative [Take.Cost]): then only failures
// count, and of many guesses made at the same moment no more are compared than the budget has. Whoever compares first and
// counts afterwards has no limit at all against an attacker who does not wait for the answers.
//
// # Arithmetic
//
// Budgets refill continuously (the generic cell rate algorithm, ITU-T I.371): there are no windows, and no moment to wait
// for at which one ends. Everything is counted in whole numbers: nothing is rounded in anyone's favour, however often and at
// however odd a rate. Time is counted in microseconds.
package limit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds on what [Limiter.Take] takes.
const (
	MaxTakes  = 16   // withdrawals in one call
	MaxBucket = 64   // bytes of a bucket's name
	MaxKey    = 1024 // bytes of a key
)

// Limiter counts. It is safe for concurrent use.
type Limiter interface {
	// Take withdraws from all of the buckets, or from none if one of them has too little. That is one atomic step: of any
	// number of calls at the same moment, in all processes that share the limiter, exactly as many are allowed as the
	// budgets have. A call that is refused costs nothing and postpones nothing.
	//
	// Being refused is no error but a [Decision] that is not Allowed. With an error, Allowed is false as well and nothing
	// is known about the budgets:
	//   - [ErrTake]: the call makes no sense, see [Check]. Nothing was withdrawn.
	//   - [ErrUnavailable]: the limiter could not count, and not all that it could not count is [Take.FailOpen]. Something
	//     may have been withdrawn.
	//   - the error of ctx, if that ended first, whatever FailOpen says.
	Take(ctx context.Context, takes ...Take) (Decision, error)
}

// Errors of [Limiter.Take].
var (
	ErrTake        = errors.New("limit: invalid withdrawal")
	ErrUnavailable = errors.New("limit: limiter unavailable")
)

// Rate is a budget: Burst at once, refilled evenly, so that one more is there every Per/Burst and all of it after Per.
//
// Whoever takes all they can get has Burst × (1 + t/Per) in a time t: Burst again after the first Per. The budget is kept as
// time until it is full again: if a bucket's Rate changes, who has to wait still has to, at most for the new Per.
type Rate struct {
	Burst int           // at least 1. Required.
	Per   time.Duration // at least a microsecond; fractions of one are dropped. Required.
}

// maxUnits bounds what a bucket counts to, so that twice as much is a whole number in a float64, which is what Redis
// computes with.
const maxUnits = 1 << 52

// Check returns an error if the rate is not positive, or so fine that a bucket cannot count it: Burst times Per in
// microseconds, divided by the greatest common divisor of the two, must not exceed 2^52. A Burst up to 1,700 is fine with any
// Per up to 30 days, and round numbers far beyond: a million per day.
func (r Rate) Check() error {
	if r.Burst < 1 {
		return fmt.Errorf("a burst of %d is not positive", r.Burst)
	}
	if r.Per < time.Microsecond {
		return fmt.Errorf("a period of %v is shorter than a microsecond", r.Per)
	}
	if _, micros := r.LowestTerms(); micros > maxUnits/int64(r.Burst) {
		return fmt.Errorf("%d per %v is too fine to count", r.Burst, r.Per)
	}
	return nil
}

// LowestTerms returns the refill as a fraction in lowest terms: n tokens every so many microseconds. Limiters count in
// units of which a token is worth micros and of which n come back every microsecond, which makes everything a whole number:
// the whole budget is Burst × micros of them, at most 2^52.
//
// The rate must be one that Check accepts.
func (r Rate) LowestTerms() (n, micros int64) {
	n, micros = int64(r.Burst), r.Per.Microseconds()
	a, b := n, micros
	for b != 0 {
		a, b = b, a%b
	}
	return n / a, micros / a
}

// Take is one withdrawal, from the bucket that Bucket and Key name together.
type Take struct {
	// Bucket is what is counted, such as "password-account". It is the program's own word, not a user's: 1 to [MaxBucket] of
	// a-z, 0-9, "-", "_", "." and "/". It appears in errors and may be shown to clients.
	Bucket string

	// Key is for whom it is counted, such as an address: any bytes up to [MaxKey], none for a bucket that all share. Two
	// spellings are two keys, so normalise first. It appears nowhere: limiters keep a hash.
	Key string

	// Rate is the budget. It should be the same in all calls for a bucket.
	Rate Rate

	// Cost is how much is withdrawn: 0 means 1, and it must not exceed Rate.Burst. A negative cost gives back. That is never
	// refused, and the budget never grows beyond Burst: -Burst makes it full again.
	Cost int

	// Peek looks without withdrawing: refused if the Cost is not there, and a part of the decision like the others. It is
	// not a way to limit anything, because many can look before the first withdraws.
	Peek bool

	// FailOpen allows what cannot be counted when the limiter is unavailable. Without it that is an error.
	FailOpen bool
}

// Amount returns how much is withdrawn, or given back if it is negative: Cost with its default, within ±Burst.
func (t Take) Amount() int {
	if t.Cost == 0 {
		return 1
	}
	return max(t.Cost, -t.Rate.Burst)
}

// Decision is the outcome of a call. Of several buckets it describes the one that matters: of those that refuse the one
// that does so for longest, and otherwise the one with the least remaining, the first of equals.
//
// It has what HTTP wants to know: [Seconds] of RetryAfter for Retry-After (RFC 9110 §10.2.3), Bucket, Rate, Remaining and
// Reset for RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers). But who learns how much is left of the
// bucket of somebody else learns what the other does.
type Decision struct {
	Allowed bool
	Bucket  string // the bucket's name
	Rate    Rate   // its budget

	// Remaining is what is left of the budget: after the withdrawal or, if the call was refused, as it is.
	Remaining int

	// RetryAfter is how long to wait until the same call is allowed, if nobody else takes meanwhile; 0 if it was allowed.
	RetryAfter time.Duration

	// Reset is the time until the bucket is full again, if nobody takes meanwhile.
	Reset time.Duration

	// Degraded says that a bucket was not counted, and the call allowed all the same because of [Take.FailOpen]. If none
	// was counted, there is no Bucket.
	Degraded bool
}

// Seconds returns d in whole seconds, rounded up: a client that waits that long does not come back too early.
func Seconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}

// Check returns an error that is [ErrTake] if a limiter cannot do as it is told: no withdrawal or more than [MaxTakes],
// a name or key outside of its bounds, a Rate that its Check refuses, a Cost above Burst, or a bucket that occurs twice
// with one key. It is for those who implement a [Limiter]; the error shows no key.
func Check(takes ...Take) error {
	if len(takes) == 0 || len(takes) > MaxTakes {
		return fmt.Errorf("%w: %d at once, want 1 to %d", ErrTake, len(takes), MaxTakes)
	}
	for i := range takes {
		t := &takes[i]
		if !validName(t.Bucket) {
			return fmt.Errorf("%w: %q cannot be the name of a bucket", ErrTake, t.Bucket)
		}
		if len(t.Key) > MaxKey {
			return fmt.Errorf("%w: bucket %s: a key of %d bytes, want at most %d", ErrTake, t.Bucket, len(t.Key), MaxKey)
		}
		if err := t.Rate.Check(); err != nil {
			return fmt.Errorf("%w: bucket %s: %w", ErrTake, t.Bucket, err)
		}
		if t.Cost > t.Rate.Burst {
			return fmt.Errorf("%w: bucket %s: %d will never be there of %d", ErrTake, t.Bucket, t.Cost, t.Rate.Burst)
		}
		for j := range i {
			if takes[j].Bucket == t.Bucket && takes[j].Key == t.Key {
				return fmt.Errorf("%w: bucket %s twice with one key", ErrTake, t.Bucket)
			}
		}
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > MaxBucket {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '/':
		default:
			return false
		}
	}
	return true
}

// Unavailable is what a limiter returns that could not count any of takes because of cause: permission if all of them are
// FailOpen, and otherwise an error that is [ErrUnavailable] and cause. No takes are no permission. It is for those who implement
// a [Limiter].
func Unavailable(cause error, takes ...Take) (Decision, error) {
	if len(takes) == 0 {
		return Decision{}, fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	for i := range takes {
		if !takes[i].FailOpen {
			return Decision{}, fmt.Errorf("%w: bucket %s: %w", ErrUnavailable, takes[i].Bucket, cause)
		}
	}
	return Decision{Allowed: true, Degraded: true}, nil
}
