package outbound

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// How long a [Cached] document goes unasked for.
const (
	// retry is how long a failure is the answer to everybody.
	retry = 10 * time.Second
	// again is how long a document that lacks something is not asked for it once more.
	again = time.Minute
	// keep is how long a document is used whose server no longer gives it.
	keep = 24 * time.Hour
)

// Cached is a document that somebody else publishes, which changes rarely. It is fetched when it is first needed, by one
// request for all who wait for it; each of them waits no longer than its own context allows. It is safe for concurrent use.
//
// However often it is asked for, there is at most one request in 10 seconds while they fail, and one a minute while they do
// not. Once fetched it is used for up to 24 hours when it cannot be fetched again.
type Cached[T any] struct {
	fetch func(context.Context, *http.Client) (T, time.Duration, error)

	mu       sync.Mutex
	running  chan struct{} // closed at the end of the request under way; nil without
	tried    time.Time     // when the last request began
	err      error         // of the last request
	value    T             // of the last one that succeeded
	fetched  time.Time     // when that began; zero if none has
	validity time.Duration
}

// NewCached returns a document that fetch gets, with how long it may be used without another look.
func NewCached[T any](fetch func(context.Context, *http.Client) (T, time.Duration, error)) *Cached[T] {
	return &Cached[T]{fetch: fetch}
}

// Get returns the document.
func (d *Cached[T]) Get(ctx context.Context, c *http.Client, now func() time.Time) (T, error) {
	return d.get(ctx, c, now, false)
}

// GetNewer is [Cached.Get] for a caller who has found the document wanting. It returns the same one if it is too early to
// ask, or if asking fails.
func (d *Cached[T]) GetNewer(ctx context.Context, c *http.Client, now func() time.Time) (T, error) {
	return d.get(ctx, c, now, true)
}

func (d *Cached[T]) get(ctx context.Context, c *http.Client, now func() time.Time, newer bool) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	d.mu.Lock()
	t := now()
	if !newer && d.within(t, d.validity) {
		defer d.mu.Unlock()
		return d.value, nil
	}
	if d.running == nil {
		pause := again
		if d.err != nil {
			pause = retry
		}
		// A clock that has been set back ends the pause.
		if since := t.Sub(d.tried); !d.tried.IsZero() && since >= 0 && since < pause {
			defer d.mu.Unlock()
			return d.last(t)
		}
		d.tried = t
		d.running = make(chan struct{})
		go d.run(context.WithoutCancel(ctx), c, t)
	}
	running := d.running
	d.mu.Unlock()

	select {
	case <-running:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last(t)
}

// run makes the request that began at t. Whoever began it may be gone before it has ended, and others wait for it.
func (d *Cached[T]) run(ctx context.Context, c *http.Client, t time.Time) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	value, validity, err := d.attempt(ctx, c)

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err = err; err == nil {
		d.value, d.fetched, d.validity = value, t, validity
	}
	close(d.running)
	d.running = nil
}

// attempt calls fetch. A panic in the caller's transport is a failure like others: nobody else would recover it here.
func (d *Cached[T]) attempt(ctx context.Context, c *http.Client) (value T, validity time.Duration, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("outbound: panic with a value of type %T\n%s", r, debug.Stack())
		}
	}()
	return d.fetch(ctx, c)
}

// last returns what there is at t.
func (d *Cached[T]) last(t time.Time) (T, error) {
	if d.err == nil || d.within(t, keep) {
		return d.value, nil
	}
	var none T
	return none, d.err
}

// within reports whether the document has been fetched, and less than life before t.
func (d *Cached[T]) within(t time.Time, life time.Duration) bool {
	age := t.Sub(d.fetched)
	return !d.fetched.IsZero() && age >= 0 && age < life
}
