package pgstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5/pgconn"
)

// ST-19
func TestALostCollisionIsRepeatedWithABound(t *testing.T) {
	t.Parallel()
	collision := func(code string) error { return &pgconn.PgError{Code: code} }
	other := errors.New("other")
	for name, test := range map[string]struct {
		errs  []error // of the first calls; all that follow succeed
		calls int
		want  error
	}{
		"success is not repeated":                 {nil, 1, nil},
		"a serialization failure is repeated":     {[]error{collision("40001"), collision("40001")}, 3, nil},
		"a deadlock is repeated":                  {[]error{collision("40P01")}, 2, nil},
		"a conflict is not repeated":              {[]error{collision("23505")}, 1, collision("23505")},
		"another error is not repeated":           {[]error{other}, 1, other},
		"an error after a collision ends it":      {[]error{collision("40001"), other}, 2, other},
		"a connection that fails is not repeated": {[]error{&pgconn.ConnectError{}}, 1, &pgconn.ConnectError{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := (&Store{}).repeat(t.Context(), func() error {
					calls++
					if calls <= len(test.errs) {
						return test.errs[calls-1]
					}
					return nil
				})
				if calls != test.calls {
					t.Errorf("%d calls, want %d", calls, test.calls)
				}
				if (err == nil) != (test.want == nil) || test.want == other && !errors.Is(err, other) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			})
		})
	}
	t.Run("who always loses gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			err := (&Store{}).repeat(t.Context(), func() error {
				calls++
				return collision("40001")
			})
			if calls != attempts || err == nil {
				t.Errorf("%d calls, error %v", calls, err)
			}
		})
	})
	t.Run("a context that ends is not waited out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			err := (&Store{}).repeat(ctx, func() error {
				calls++
				cancel()
				return collision("40001")
			})
			if calls != 1 || err == nil {
				t.Errorf("%d calls, error %v", calls, err)
			}
		})
	})
}
