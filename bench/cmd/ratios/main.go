// Command ratios measures what the engine costs beyond the work that it cannot avoid and compares it with the budgets.
//
// It builds the benchmarks of package bench, runs them in several rounds, compares within each round and takes the median
// of the comparisons, so that what else the machine does falls on both sides alike. It prints one line for each budget
// and exits with status 1 if one is exceeded.
//
// Budgets of the store on PostgreSQL are about the database of the environment variable AUTH_TEST_POSTGRES. If it cannot
// be reached they are skipped, with the reason; in CI that is an error.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/perf/benchfmt"

	"github.com/ostiary/auth/bench/internal/database"
	"github.com/ostiary/auth/internal/need"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("ratios: ")
	rounds := flag.Int("rounds", 7, "run every benchmark `n` times; the median of the comparisons counts")
	benchtime := flag.Duration("benchtime", 300*time.Millisecond, "compare for `d` in each round, and ten times as long where passwords are hashed")
	flag.Parse()
	if *rounds < 1 || *benchtime <= 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	absent := reach(ctx)
	if absent != nil && need.CI() {
		log.Fatal(absent)
	}
	m, err := measure(ctx, *rounds, *benchtime, absent == nil)
	if err != nil {
		log.Fatal(err)
	}
	ok, err := report(os.Stdout, m, absent)
	if err != nil {
		log.Fatal(err)
	}
	if !ok {
		os.Exit(1)
	}
}

// reach says why PostgreSQL cannot be reached, if that is so.
func reach(ctx context.Context) error {
	pool, err := database.Open(ctx)
	if err != nil {
		return err
	}
	pool.Close()
	return nil
}

// measurements are the values of each benchmark by its full name and unit, one for each round.
type measurements map[string]map[string][]float64

// measure runs the benchmarks, those on PostgreSQL only if durable says so.
func measure(ctx context.Context, rounds int, benchtime time.Duration, durable bool) (measurements, error) {
	dir, err := os.MkdirTemp("", "ratios")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "github.com/ostiary/auth/bench")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the benchmarks: %w", err)
	}
	runs := [][]string{
		{"-test.bench=" + counted, "-test.benchtime=100x"},
		{"-test.bench=" + short, "-test.benchtime=" + benchtime.String()},
		{"-test.bench=" + keys, "-test.benchtime=" + benchtime.String()},
		{"-test.bench=" + long, "-test.benchtime=" + (10 * benchtime).String()},
	}
	if durable {
		runs = append(runs, []string{"-test.bench=" + postgres, "-test.benchtime=" + (10 * benchtime).String()})
	}
	m := measurements{}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		for _, flags := range runs {
			run := exec.CommandContext(ctx, program, append(flags, "-test.run=^$")...)
			run.Dir = dir
			out, err := run.CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("run the benchmarks: %w\n%s", err, out)
			}
			if err := m.read(bytes.NewReader(out)); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m measurements) read(r io.Reader) error {
	b := benchfmt.NewReader(r, "round")
	for b.Scan() {
		result, ok := b.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		// The last part is the number of CPUs, which Go appends to the name.
		name, _, _ := strings.Cut(string(result.Name), "-")
		if m[name] == nil {
			m[name] = map[string][]float64{}
		}
		for _, v := range result.Values {
			value, unit := v.Value, v.Unit
			if v.OrigUnit != "" {
				value, unit = v.OrigValue, v.OrigUnit
			}
			m[name][unit] = append(m[name][unit], value)
		}
	}
	return b.Err()
}

// The benchmarks that budgets are about: those that count allocations, and those that compare times, of operations that
// take microseconds, of those that hash and of those on PostgreSQL.
const (
	counted  = "^BenchmarkVerifyToken$/./^of=(engine|jwt)$"
	short    = "^BenchmarkInTurns$/^(VerifyToken|Refresh)$"
	keys     = "^BenchmarkSignInWebAuthn$"
	long     = "^BenchmarkInTurns$/^SignIn$"
	postgres = "^BenchmarkPostgres$"
)

// budget is a bound on how two measurements compare.
type budget struct {
	what    string
	a, b    measurement
	compare func(a, b float64) float64
	limit   float64
	show    string // how to print a comparison
	durable bool   // it is about the store on PostgreSQL
}

type measurement struct{ name, unit string }

const allocs = "allocs/op"

func quotient(a, b float64) float64     { return a / b }
func microseconds(a, b float64) float64 { return (a - b) / 1000 }

func budgets() []budget {
	var list []budget
	for _, alg := range []string{"HS256", "EdDSA", "ES256"} {
		verify, refresh := "InTurns/VerifyToken/alg="+alg, "InTurns/Refresh/alg="+alg
		list = append(
			list,
			budget{
				"time of VerifyToken over golang-jwt, " + alg,
				measurement{verify, "engine-ns"},
				measurement{verify, "jwt-ns"},
				quotient, 1.3, "%.2f×", false,
			},
			budget{
				"allocations of VerifyToken over golang-jwt, " + alg,
				measurement{"VerifyToken/alg=" + alg + "/of=engine", allocs},
				measurement{"VerifyToken/alg=" + alg + "/of=jwt", allocs},
				quotient, 1.5, "%.2f×", false,
			},
			budget{
				"time of Refresh beyond its signature, " + alg,
				measurement{refresh, "engine-ns"},
				measurement{refresh, "signature-ns"},
				microseconds, 25, "%.1f µs", false,
			},
		)
	}
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		finish := "SignInWebAuthn/key=" + alg
		list = append(list, budget{
			"time of VerifySignInWebAuthn over go-webauthn and a signature, " + alg,
			measurement{finish, "engine-ns"},
			measurement{finish, "bare-ns"},
			quotient, 1.25, "%.2f×", false,
		})
	}
	const signIn = "InTurns/SignIn"
	right, hash := measurement{signIn, "right-ns"}, measurement{signIn, "argon2-ns"}
	wrong, unknown := measurement{signIn, "wrong-ns"}, measurement{signIn, "unknown-ns"}
	return append(
		list,
		budget{"time of SignInPassword over its hash", right, hash, quotient, 1.05, "%.3f×", false},
		budget{"time of an unknown address over a wrong password", unknown, wrong, quotient, 1.05, "%.3f×", false},
		budget{"time of a wrong password over an unknown address", wrong, unknown, quotient, 1.05, "%.3f×", false},
		budget{
			"time of Refresh on PostgreSQL over a bare UPDATE",
			measurement{"Postgres/Refresh", "engine-ns"},
			measurement{"Postgres/Refresh", "bare-ns"},
			quotient, 1.3, "%.2f×", true,
		},
		budget{
			"time of SignInPassword on PostgreSQL over its hash, a bare SELECT and a bare INSERT",
			measurement{"Postgres/SignIn", "engine-ns"},
			measurement{"Postgres/SignIn", "bare-ns"},
			quotient, 1.1, "%.2f×", true,
		},
	)
}

// got is the median of the comparisons of all rounds.
func (b budget) got(m measurements) (float64, error) {
	x, y := m[b.a.name][b.a.unit], m[b.b.name][b.b.unit]
	if len(x) == 0 || len(x) != len(y) {
		return 0, fmt.Errorf("%s: %d measurements of %s and %d of %s", b.what, len(x), b.a, len(y), b.b)
	}
	compared := make([]float64, len(x))
	for i := range x {
		compared[i] = b.compare(x[i], y[i])
	}
	slices.Sort(compared)
	return (compared[len(compared)/2] + compared[(len(compared)-1)/2]) / 2, nil
}

// report prints how each budget is met and says whether all are. Those of PostgreSQL are skipped if it is absent, which
// is the reason.
func report(w io.Writer, m measurements, absent error) (bool, error) {
	var faults []error
	ok := true
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "measured\tgot\tbudget\t")
	for _, b := range budgets() {
		if b.durable && absent != nil {
			fmt.Fprintf(table, "%s\t-\t"+b.show+"\tskipped\n", b.what, b.limit)
			continue
		}
		got, err := b.got(m)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		verdict := "ok"
		if !(got <= b.limit) { // so that NaN is no success
			verdict, ok = "EXCEEDED", false
		}
		fmt.Fprintf(table, "%s\t"+b.show+"\t"+b.show+"\t%s\n", b.what, got, b.limit, verdict)
	}
	if err := table.Flush(); err != nil {
		faults = append(faults, err)
	}
	if absent != nil {
		fmt.Fprintln(w, "skipped:", absent)
	}
	return ok, errors.Join(faults...)
}
