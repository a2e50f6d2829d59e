package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// results is what a round prints if every benchmark takes as long as it may, and the given ones as long as they do.
func results(measured map[string]int) string {
	var b strings.Builder
	for _, alg := range []string{"HS256", "EdDSA", "ES256"} {
		fmt.Fprintf(&b, "BenchmarkVerifyToken/alg=%s/of=engine-2\t100\t7 ns/op\t0 B/op\t15 allocs/op\n", alg)
		fmt.Fprintf(&b, "BenchmarkVerifyToken/alg=%s/of=jwt-2\t100\t7 ns/op\t0 B/op\t10 allocs/op\n", alg)
		fmt.Fprintf(&b, "BenchmarkInTurns/VerifyToken/alg=%s-2\t100\t7 ns/op\t1300 engine-ns\t1000 jwt-ns\n", alg)
		fmt.Fprintf(&b, "BenchmarkInTurns/Refresh/alg=%s-2\t100\t7 ns/op\t45000 engine-ns\t20000 signature-ns\n", alg)
	}
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		fmt.Fprintf(&b, "BenchmarkSignInWebAuthn/key=%s-2\t100\t7 ns/op\t100000 bare-ns\t%d engine-ns\n", alg, cmp.Or(measured[alg], 125000))
	}
	fmt.Fprintf(&b, "BenchmarkPostgres/Refresh-2\t100\t7 ns/op\t1000 bare-ns\t%d engine-ns\n", cmp.Or(measured["refresh"], 1300))
	fmt.Fprintf(&b, "BenchmarkPostgres/SignIn-2\t100\t7 ns/op\t1000 bare-ns\t%d engine-ns\n", cmp.Or(measured["sign-in"], 1100))
	b.WriteString("BenchmarkInTurns/SignIn-2\t30\t420 ns/op")
	for _, unit := range []string{"argon2-ns", "right-ns", "unknown-ns", "wrong-ns"} {
		value := map[string]int{"argon2-ns": 100, "right-ns": 105, "unknown-ns": 105, "wrong-ns": 100}[unit]
		if other, ok := measured[unit]; ok {
			value = other
		}
		fmt.Fprintf(&b, "\t%d %s", value, unit)
	}
	return b.String() + "\n"
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		measured map[string]int
		exceeded int
	}{
		{"what is just within its budget is within it", nil, 0},
		{"a sign-in that takes longer than it may exceeds its budget", map[string]int{"right-ns": 106}, 1},
		{"an unknown address that answers too late exceeds the budget", map[string]int{"unknown-ns": 106}, 1},
		{"an unknown address that answers too early exceeds the budget", map[string]int{"unknown-ns": 94}, 1},
		{"a sign-in with a key that takes longer than it may exceeds its budget", map[string]int{"RS256": 126000}, 1},
		{"a refresh on PostgreSQL that takes longer than it may exceeds its budget", map[string]int{"refresh": 1310}, 1},
		{"a sign-in on PostgreSQL that takes longer than it may exceeds its budget", map[string]int{"sign-in": 1110}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := measurements{}
			if err := m.read(strings.NewReader(results(c.measured))); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			ok, err := report(&out, m, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(out.String(), "EXCEEDED"); got != c.exceeded || ok != (c.exceeded == 0) {
				t.Errorf("%d budgets are exceeded and ok is %t, want %d\n%s", got, ok, c.exceeded, &out)
			}
		})
	}
	t.Run("a benchmark that was not run is an error", func(t *testing.T) {
		t.Parallel()
		m := measurements{}
		text := strings.ReplaceAll(results(nil), "BenchmarkInTurns/SignIn", "BenchmarkSomethingElse")
		if err := m.read(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := report(new(bytes.Buffer), m, nil); err == nil || !strings.Contains(err.Error(), "InTurns/SignIn") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("what is about PostgreSQL is skipped with the reason if there is none", func(t *testing.T) {
		t.Parallel()
		m := measurements{}
		text := strings.ReplaceAll(results(nil), "BenchmarkPostgres/", "BenchmarkSomethingElse/")
		if err := m.read(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		ok, err := report(&out, m, errors.New("nobody is there"))
		if err != nil || !ok {
			t.Errorf("ok is %t (%v)", ok, err)
		}
		if got := strings.Count(out.String(), "skipped"); got != 3 || !strings.Contains(out.String(), "skipped: nobody is there") {
			t.Errorf("the report is\n%s", &out)
		}
		if _, err := report(&out, m, nil); err == nil {
			t.Error("and is not missed if there is one")
		}
	})
	t.Run("the median of the comparisons counts and not the mean", func(t *testing.T) {
		t.Parallel()
		m := measurements{}
		for _, right := range []int{101, 102, 900} {
			if err := m.read(strings.NewReader(results(map[string]int{"right-ns": right}))); err != nil {
				t.Fatal(err)
			}
		}
		b := budget{a: measurement{"InTurns/SignIn", "right-ns"}, b: measurement{"InTurns/SignIn", "argon2-ns"}, compare: quotient}
		if got, err := b.got(m); err != nil || got != 1.02 {
			t.Errorf("the median is %v (%v), want 1.02", got, err)
		}
	})
}
