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
	for _, tc := range []struct{ name, want, why string }{
		{"Plan", "x-hasura-plan", ""},
		{"X-Hasura-Plan", "X-Hasura-Plan", ""},
		{"User-Id", "", `claim "User-Id": x-hasura-user-id is a built-in claim`},
		{"X-HASURA-ALLOWED-ROLES", "", `claim "X-HASURA-ALLOWED-ROLES": X-HASURA-ALLOWED-ROLES is a built-in claim`},
		{"default-role", "", `claim "default-role": x-hasura-default-role is a built-in claim`},
		{"x-hasura-user-is-anonymous", "", `claim "x-hasura-user-is-anonymous": x-hasura-user-is-anonymous is a built-in claim`},
		{"auth-elevated", "", `claim "auth-elevated": x-hasura-auth-elevated is a built-in claim`},
		{"x-hasura-", "", `claim "x-hasura-": name is only the prefix`},
		{"to\u212aen", "", "claim \"to\u212aen\": name must be printable ASCII without blanks"},
		{"", "", `claim "": name is empty`},
	} {
		got, err := claimpath.Name(tc.name)
		var mistake *claimpath.Error
		if got != tc.want || errors.As(err, &mistake) != (tc.why != "") || mistake != nil && mistake.Error() != tc.why {
			t.Errorf("%q: got %q, %v; want %q, %q", tc.name, got, err, tc.want, tc.why)
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
