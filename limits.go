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
	bucketIDTokens    = "id-tokens"
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

// limiters are the engine's own, where the configuration has none. They are several so that nobody who fills one with
// recipients, or one provider with id tokens, keeps another from counting.
type limiters struct {
	letters, texts, guesses limit.Limiter
	idTokens                map[string]limit.Limiter // by provider
}

func newLimiters(c *Config) limiters {
	next := func() limit.Limiter {
		if c.Limits.Limiter != nil {
			return c.Limits.Limiter
		}
		return limit.NewMemory(limit.MemoryConfig{Now: c.Now})
	}
	l := limiters{letters: next(), texts: next(), guesses: next(), idTokens: map[string]limit.Limiter{}}
	for name := range c.IDTokens {
		l.idTokens[name] = next()
	}
	return l
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
	short, long := e.guesses(to)
	left := long
	left.Peek = true
	if err := e.spend(ctx, short, left); err != nil {
		return nil, err
	}
	return func(err error) {
		switch {
		case err == nil:
			e.giveBack(ctx, short)
		case !errors.Is(err, store.ErrNotFound):
			_ = e.spend(ctx, long)
		}
	}, nil
}

// forgive ends the count of guesses, in the long run as well.
func (e *Engine) forgive(ctx context.Context, to string) {
	short, long := e.guesses(to)
	e.giveBack(ctx, short, long)
}

// guesses are the budgets of guesses of what is somebody's.
func (e *Engine) guesses(to string) (short, long limit.Take) {
	c := &e.config.Limits
	return limit.Take{Bucket: bucketGuesses, Key: to, Rate: c.GuessesPerAccount},
		limit.Take{Bucket: bucketGuessesLong, Key: to, Rate: c.GuessesPerAccountLong}
}

// giveBack fills budgets again. If it fails, at worst there is less in them than there might be.
func (e *Engine) giveBack(ctx context.Context, takes ...limit.Take) {
	for i := range takes {
		takes[i].Cost, takes[i].FailOpen = -takes[i].Rate.Burst, true
	}
	_ = e.spend(ctx, takes...)
}
