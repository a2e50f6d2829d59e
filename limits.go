package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
)

// The names of the budgets, as limiters and events have them.
const (
	bucketLetters     = "letters-address"
	bucketTexts       = "texts-number"
	bucketGuesses     = "guesses-account"
	bucketGuessesLong = "guesses-account-long"
)

// withDefaults completes c.
func (c *LimitsConfig) withDefaults(m *mistakes) {
	for _, r := range []struct {
		field string
		rate  *limit.Rate
		usual limit.Rate
	}{
		{"LettersPerAddress", &c.LettersPerAddress, limit.Rate{Burst: 10, Per: time.Hour}},
		{"TextsPerNumber", &c.TextsPerNumber, limit.Rate{Burst: 5, Per: time.Hour}},
		{"GuessesPerAccount", &c.GuessesPerAccount, limit.Rate{Burst: 10, Per: time.Hour}},
		{"GuessesPerAccountLong", &c.GuessesPerAccountLong, limit.Rate{Burst: 50, Per: 30 * 24 * time.Hour}},
	} {
		def(r.rate, r.usual)
		if err := r.rate.Check(); err != nil {
			m.add("Limits."+r.field, "%w", err)
		}
	}
}

// spend takes from budgets, or says when to come back. The error does not depend on whether there is such an account.
func (e *Engine) spend(ctx context.Context, takes ...limit.Take) error {
	d, err := e.limiterFor(takes[0].Bucket).Take(ctx, takes...)
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	if !d.Allowed {
		e.emit(ctx, Event{Type: EventLimited, Code: CodeTooManyRequests, Detail: d.Bucket})
		return ErrTooManyRequests.after(d.RetryAfter)
	}
	return nil
}

// limiters are the engine's own, where the configuration has none. They are three so that nobody who fills one with
// recipients keeps another from counting guesses.
type limiters struct{ letters, texts, guesses limit.Limiter }

func newLimiters(c *Config) limiters {
	if l := c.Limits.Limiter; l != nil {
		return limiters{l, l, l}
	}
	memory := func() limit.Limiter { return limit.NewMemory(limit.MemoryConfig{Now: c.Now}) }
	return limiters{memory(), memory(), memory()}
}

func (e *Engine) limiterFor(bucket string) limit.Limiter {
	switch bucket {
	case bucketLetters:
		return e.limiters.letters
	case bucketTexts:
		return e.limiters.texts
	default:
		return e.limiters.guesses
	}
}

// mayWrite takes a letter to an address from its budget. Where letters cannot be counted they are sent: nobody could sign
// in otherwise.
func (e *Engine) mayWrite(ctx context.Context, emailKey string) error {
	if e.config.Limits.Off {
		return nil
	}
	return e.spend(ctx, limit.Take{Bucket: bucketLetters, Key: emailKey, Rate: e.config.Limits.LettersPerAddress, FailOpen: true})
}

// mayWriteOnSignUp is mayWrite for a sign-up, which sends a letter where addresses are verified.
func (e *Engine) mayWriteOnSignUp(ctx context.Context, emailKey string) error {
	if e.config.Email.AllowUnverified {
		return nil
	}
	return e.mayWrite(ctx, emailKey)
}

// mayText takes a text message to a number from its budget.
func (e *Engine) mayText(ctx context.Context, number string) error {
	if e.config.Limits.Off {
		return nil
	}
	return e.spend(ctx, limit.Take{Bucket: bucketTexts, Key: number, Rate: e.config.Limits.TextsPerNumber})
}

// mayGuess takes a guess of a code from the budget of whom it went to, before it is looked at, and returns what is to be told
// of it afterwards. The budget belongs to the recipient and not to the code: another code brings no further guesses.
//
// In the long run only those count that were made while there was a code to be guessed: nobody is kept out for weeks by
// guesses of what there is not.
func (e *Engine) mayGuess(ctx context.Context, to string) (guessed func(error), err error) {
	c := &e.config.Limits
	short := limit.Take{Bucket: bucketGuesses, Key: to, Rate: c.GuessesPerAccount}
	long := limit.Take{Bucket: bucketGuessesLong, Key: to, Rate: c.GuessesPerAccountLong}
	left := long
	left.Peek = true
	if err := e.spend(ctx, short, left); err != nil {
		return nil, err
	}
	return func(err error) {
		switch {
		case err == nil: // at worst a guess too few is left
			short.Cost, short.FailOpen = -short.Rate.Burst, true
			_ = e.spend(ctx, short)
		case !errors.Is(err, store.ErrNotFound):
			_ = e.spend(ctx, long)
		}
	}, nil
}
