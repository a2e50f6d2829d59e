package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/auth/internal/outbound"
)

// A shelf is a document whose value is how often it has been asked for.
type shelf struct {
	*outbound.Cached[int]
	now   time.Time
	asked int
	err   error // of the next request
}

const validity = time.Hour

func newShelf() *shelf {
	s := &shelf{now: time.Unix(1_700_000_000, 0)}
	s.Cached = outbound.NewCached(func(context.Context, *http.Client) (int, time.Duration, error) {
		s.asked++
		return s.asked, validity, s.err
	})
	return s
}

func (s *shelf) clock() time.Time { return s.now }

var errDown = errors.New("the server is down")

// ID-02, ID-14: whoever asks, and how often, the server is asked no more than that; what it once said holds while it is down.
func TestADocumentIsAskedForWithRestraint(t *testing.T) {
	t.Parallel()
	const newer, failing = true, true
	for name, steps := range map[string][]struct {
		after time.Duration // since the step before
		newer bool
		fails bool // if the server is asked
		want  int  // 0 for an error
		asked int
	}{
		"as long as it is valid": {
			{0, !newer, !failing, 1, 1}, {0, !newer, !failing, 1, 1}, {validity - 1, !newer, !failing, 1, 1}, {1, !newer, !failing, 2, 2},
		},
		"once a minute for who wants a newer one": {
			{0, newer, !failing, 1, 1},
			{0, newer, !failing, 1, 1},
			{time.Minute - 1, newer, !failing, 1, 1},
			{1, newer, !failing, 2, 2},
			{time.Minute - 1, newer, !failing, 2, 2},
			{1, newer, !failing, 3, 3},
		},
		"once in ten seconds while it fails": {
			{0, !newer, failing, 0, 1},
			{0, newer, failing, 0, 1},
			{10*time.Second - 1, !newer, failing, 0, 1},
			{1, !newer, failing, 0, 2},
			{10*time.Second - 1, newer, failing, 0, 2},
			{1, newer, !failing, 3, 3},
			{0, !newer, !failing, 3, 3},
		},
		"the last one while it fails, for a day": {
			{0, !newer, !failing, 1, 1},
			{validity, !newer, failing, 1, 2},
			{9 * time.Second, newer, failing, 1, 2},
			{time.Second, newer, failing, 1, 3},
			{23*time.Hour - 10*time.Second - 1, !newer, failing, 1, 4},
			{1, !newer, failing, 0, 4},
			{10 * time.Second, !newer, failing, 0, 5},
			{10 * time.Second, !newer, !failing, 6, 6},
		},
		"a clock that is set back ends the pause": {
			{0, !newer, !failing, 1, 1}, {-1, !newer, !failing, 2, 2}, {-time.Hour, newer, !failing, 3, 3},
		},
		"a clock that is set back keeps nothing": {
			{0, !newer, !failing, 1, 1}, {-1, !newer, failing, 0, 2}, {-time.Hour, !newer, failing, 0, 3},
		},
		"a clock that is set back and on again": {
			{0, !newer, !failing, 1, 1},
			{-time.Minute, !newer, failing, 0, 2},
			{time.Minute, !newer, failing, 1, 2},
			{0, newer, failing, 1, 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			for i, step := range steps {
				s.now, s.err = s.now.Add(step.after), nil
				if step.fails {
					s.err = errDown
				}
				get := s.Get
				if step.newer {
					get = s.GetNewer
				}
				got, err := get(t.Context(), nil, s.clock)
				if got != step.want || s.asked != step.asked || (step.want == 0) != errors.Is(err, errDown) {
					t.Fatalf("step %d: got %d after %d requests, %v; want %d after %d", i+1, got, s.asked, err, step.want, step.asked)
				}
			}
		})
	}
}

// A clock that stands at its beginning, as that of a test may, does not pretend that there is a document.
func TestADocumentIsFetchedWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	s := newShelf()
	s.now, s.err = time.Time{}, errDown
	if _, err := s.Get(t.Context(), nil, s.clock); !errors.Is(err, errDown) {
		t.Errorf("while the server is down: %v", err)
	}
	s = newShelf()
	s.now = time.Time{}
	if got, err := s.Get(t.Context(), nil, s.clock); got != 1 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

// All who wait for a document wait for one request, each as long as they want to; it does not end with who began it.
func TestOneRequestServesAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		answer := make(chan int)
		d := outbound.NewCached(func(ctx context.Context, _ *http.Client) (int, time.Duration, error) {
			asked++
			select {
			case n := <-answer:
				return n, validity, nil
			case <-ctx.Done():
				return 0, 0, ctx.Err()
			}
		})
		over := errors.New("the caller is gone")
		first, leave := context.WithCancelCause(t.Context())
		_, err := d.Get(ended(over), nil, time.Now)
		synctest.Wait()
		if !errors.Is(err, over) || asked != 0 {
			t.Errorf("with a context that has ended: %v after %d requests", err, asked)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if got, err := d.Get(first, nil, time.Now); !errors.Is(err, over) || got != 0 {
				t.Errorf("who has left gets %d, %v", got, err)
			}
		})
		synctest.Wait()
		for range 3 {
			for _, get := range []func(context.Context, *http.Client, func() time.Time) (int, error){d.Get, d.GetNewer} {
				all.Go(func() {
					if got, err := get(t.Context(), nil, time.Now); got != 7 || err != nil {
						t.Errorf("who has waited gets %d, %v", got, err)
					}
				})
			}
		}
		synctest.Wait()
		leave(over)
		synctest.Wait()
		answer <- 7
		all.Wait()
		if asked != 1 {
			t.Errorf("%d requests", asked)
		}

		// Nor does it last for ever where nobody bounds it.
		time.Sleep(24 * time.Hour)
		began := time.Now()
		if _, err := d.Get(context.WithoutCancel(t.Context()), nil, time.Now); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != outbound.Timeout {
			t.Errorf("a server that says nothing: %v after %v", err, time.Since(began))
		}
	})
}

// ended returns a context that has ended.
func ended(why error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	return ctx
}

// A transport that panics does so on a goroutine of ours, where nobody else would recover it.
func TestAPanicIsAFailure(t *testing.T) {
	t.Parallel()
	d := outbound.NewCached(func(context.Context, *http.Client) (int, time.Duration, error) { panic("secret") })
	if _, err := d.Get(t.Context(), http.DefaultClient, time.Now); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
