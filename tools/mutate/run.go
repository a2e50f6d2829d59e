package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A suite is the compiled tests of one package, with all mutants of another in them.
type suite struct {
	pkg    string // import path
	dir    string
	binary string
}

// tests lists the top-level tests, examples and fuzz targets whose names match one expression, and not the other.
func (s suite) tests(ctx context.Context, match, skip *regexp.Regexp) ([]testName, error) {
	cmd := exec.CommandContext(ctx, s.binary, "-test.list", ".")
	cmd.Dir = s.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w", s.pkg, err)
	}
	var all []testName
	for _, name := range strings.Fields(string(out)) {
		if !strings.HasPrefix(name, "Benchmark") && match.MatchString(name) && (skip == nil || !skip.MatchString(name)) {
			all = append(all, testName{s.pkg, name})
		}
	}
	return all, nil
}

// errTimeout is of tests that do not come to an end.
var errTimeout = errors.New("timeout")

// run runs tests and returns the name of the first that fails, which may be empty if the process does. It does not wait
// for the others then.
func (s suite) run(ctx context.Context, tests []string, limit time.Duration, env ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.count=1",
		"-test.v", "-test.failfast", "-test.parallel=2", "-test.timeout="+(limit+time.Minute).String())
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	var output, complaints bytes.Buffer // two, because two goroutines write
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var failed string
	for lines := bufio.NewReader(stdout); ; {
		line, err := lines.ReadString('\n')
		output.WriteString(line)
		// With -test.v a subtest says at once that it has failed, not when the whole test ends.
		if name, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "--- FAIL: "); ok {
			failed, _, _ = strings.Cut(name, " ")
			failed, _, _ = strings.Cut(failed, "/")
			cancel()
			break
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	switch {
	case failed != "":
		return failed, fmt.Errorf("%s fails", failed)
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	default:
		return "", fmt.Errorf("%w\n%s%s", err, output.Bytes(), complaints.Bytes())
	}
}

// trace runs a test alone, to learn how long it takes and what it reaches.
func (s suite) trace(ctx context.Context, test testName, dir string, limit time.Duration) (trace, error) {
	f, err := os.CreateTemp(dir, "trace")
	if err != nil {
		return trace{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	begin := time.Now()
	if _, err := s.run(ctx, []string{test.Name}, limit, "MUTANT_TRACE="+f.Name()); err != nil {
		return trace{}, fmt.Errorf("%s: %s without a mutant: %w", test.Pkg, test.Name, err)
	}
	t := trace{Seconds: time.Since(begin).Seconds()}
	reached := map[int]bool{} // a child process of the test reaches things again
	for lines := bufio.NewScanner(f); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return trace{}, err
		}
		reached[n] = true
	}
	t.Reached = slices.Sorted(maps.Keys(reached))
	return t, nil
}

// atOnce calls f for each of all, for some of them at a time, until one returns an error.
func atOnce[T any](ctx context.Context, jobs int, all []T, f func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			for one := range next {
				if err := f(ctx, one); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, one := range all {
		select {
		case next <- one:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// A session runs the mutants of one package.
type session struct {
	tool
	target  *target
	suites  map[string]suite // by import path
	sources string
	traces  map[testName]trace

	mu      sync.Mutex
	killers map[string]map[testName]int // how many mutants of a function a test has killed
}

// learn runs each test alone, unless it is known what comes of it.
func (s *session) learn(ctx context.Context) error {
	var unknown []testName
	s.traces = map[testName]trace{}
	for _, suite := range s.suites {
		tests, err := suite.tests(ctx, s.match, s.skip)
		if err != nil {
			return err
		}
		for _, t := range tests {
			if known, ok := s.state.trace(traceKey{s.sources, t}); ok {
				s.traces[t] = known
			} else {
				unknown = append(unknown, t)
			}
		}
	}
	s.log("%s: %d mutants, %d tests, of which %d have to be traced", s.target.path, len(s.target.mutants), len(s.traces)+len(unknown), len(unknown))
	return atOnce(ctx, s.jobs, unknown, func(ctx context.Context, t testName) error {
		known, err := s.suites[t.Pkg].trace(ctx, t, s.dir, s.limit)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.traces[t] = known
		s.mu.Unlock()
		return s.state.add(record{Sources: s.sources, Test: &t, Trace: &known})
	})
}

// try tells what becomes of a mutant.
func (s *session) try(ctx context.Context, m mutant) (verdict, error) {
	v := verdict{Hash: m.hash, Result: notCovered}
	for _, batch := range s.batches(m) {
		v.Result = survived
		var names []string
		var seconds float64
		for _, t := range batch {
			names = append(names, t.Name)
			seconds += s.traces[t].Seconds
		}
		limit := 5*time.Second + time.Duration(3*seconds*float64(time.Second))
		failed, err := s.suites[batch[0].Pkg].run(ctx, names, limit, "MUTANT="+strconv.Itoa(m.id))
		switch {
		case ctx.Err() != nil:
			return v, context.Cause(ctx)
		case err == nil:
			continue
		case errors.Is(err, errTimeout):
			v.By = errTimeout.Error()
		case failed == "" && len(names) == 1:
			failed = names[0]
			fallthrough
		case failed != "":
			v.By = failed
			s.mu.Lock()
			if s.killers[m.Func] == nil {
				s.killers[m.Func] = map[testName]int{}
			}
			s.killers[m.Func][testName{batch[0].Pkg, failed}]++
			s.mu.Unlock()
		default:
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				return v, err
			}
			v.By = "panic"
		}
		v.Result = killed
		break
	}
	return v, nil
}

// batches returns the tests that reach a mutant, those first that have killed most of the same function, and then the
// fastest. A batch runs in one process; the first is small, because few mutants survive it.
func (s *session) batches(m mutant) [][]testName {
	var tests []testName
	for t, known := range s.traces {
		if _, ok := slices.BinarySearch(known.Reached, m.id); ok {
			tests = append(tests, t)
		}
	}
	s.mu.Lock()
	kills := maps.Clone(s.killers[m.Func])
	s.mu.Unlock()
	slices.SortFunc(tests, func(a, b testName) int {
		return cmp.Or(kills[b]-kills[a], cmp.Compare(s.traces[a].Seconds, s.traces[b].Seconds), strings.Compare(a.Name, b.Name))
	})
	var all [][]testName
	for size := 6; len(tests) > 0; size *= 4 {
		n := min(size, len(tests))
		byPkg := map[string][]testName{}
		for _, t := range tests[:n] {
			byPkg[t.Pkg] = append(byPkg[t.Pkg], t)
		}
		for _, pkg := range slices.Sorted(maps.Keys(byPkg)) {
			all = append(all, byPkg[pkg])
		}
		tests = tests[n:]
	}
	return all
}

// build compiles the tests of a package, with an overlay.
func build(ctx context.Context, dir, overlay, binary, pkg string) error {
	args := []string{"test", "-c", "-overlay", overlay, "-o", binary, pkg}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// sourcesOf returns a digest of the Go files and test data in directories.
func sourcesOf(dirs []string) (string, error) {
	var all bytes.Buffer
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		for _, f := range entries {
			if filepath.Ext(f.Name()) != ".go" {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&all, f.Name(), digest(b))
		}
	}
	return digest(all.Bytes()), nil
}
