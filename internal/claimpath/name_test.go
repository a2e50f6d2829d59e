package claimpath_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/ostiary/auth/internal/claimpath"
)

// JW-21
func TestName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, want string }{
		{"Plan", "x-hasura-plan"},
		{"X-Hasura-Plan", "X-Hasura-Plan"},
		{"User-Id", ""},
		{"X-HASURA-ALLOWED-ROLES", ""},
		{"default-role", ""},
		{"x-hasura-user-is-anonymous", ""},
		{"auth-elevated", ""},
		{"x-hasura-", ""},
		{"to\u212aen", ""},
		{"", ""},
	} {
		got, err := claimpath.Name(tc.name)
		var mistake *claimpath.Error
		if got != tc.want || (tc.want == "") != errors.As(err, &mistake) {
			t.Errorf("%q: got %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{"a", `a`},
		{7, `7`},
		{json.Number("1.50"), `1.50`},
		{[]string{"a", `b","c`}, `{"a","b\",\"c"}`},
		{[]string{}, `{}`},
		{map[string]any{"k": "<"}, `{"k":"<"}`},
	} {
		if got, err := claimpath.Encode(tc.value); err != nil || got != tc.want {
			t.Errorf("%v: got %s, %v; want %s", tc.value, got, err, tc.want)
		}
	}
	for _, value := range []any{make(chan int), math.NaN(), []any{math.Inf(1)}, func() {}} {
		if got, err := claimpath.Encode(value); err == nil {
			t.Errorf("%T: got %q, want an error", value, got)
		}
	}
}
