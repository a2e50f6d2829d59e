// Command mutate looks for rules that no test holds: it changes the source of a package in one place at a time, and runs
// the tests that get there. A mutant that no test fails on has survived.
//
// Usage, in a module:
//
//	mutate [flags] [packages]
//
// All mutants of a package are compiled into its tests at once, each behind a number that is read from the environment
// once; the source on disk is not touched (go help build: -overlay). Each test, example and fuzz target first runs alone,
// to learn which mutants it reaches. After that every mutant runs with the tests that reach it, those first that
// have killed others of the same function, and then the fastest, until one of them fails. A mutant without which everything
// would have gone the same way, such as a condition that holds anyway and is made to hold, counts as not reached.
//
// The mutants are:
//
//	condition/true       a condition holds: of if, case, &&, ||, return and of every other comparison
//	condition/false      a condition does not hold; also of for
//	comparison/boundary  < for <=, >= for >, and the other way round
//	comparison/offset    the constant in <, <=, > or >= is off by one, to the other side
//	call/remove          a call whose results nobody uses is left out
//	defer/remove         the same with defer
//	go/remove            the same with go
//	assignment/remove    an assignment that declares nothing, ++ and --
//	control/remove       break, continue, and a return without results
//	field/remove         a field of a struct literal
//	error/nil            return …, nil in place of an error
//
// Log messages, the texts of errors, locks, constants and generated files are left alone.
//
// The flags are:
//
//	-C directory
//		Look for the packages from this directory. Default: the current one.
//	-files patterns
//		Only mutants in files whose names match one of these patterns (path.Match), which are separated by commas,
//		and in this order. A pattern without a slash is of the last element of the name.
//	-tests packages
//		Use the tests of these packages, too, which are separated by commas.
//	-run regexp
//		Use only tests with such names. What is known of mutants that they do not kill stays as it is.
//	-skip regexp
//		Do not use tests with such names.
//	-again
//		Try those again that are known to survive.
//	-state file
//		Remember in this file what became of a mutant, and go on from there. What is known of a mutant holds until the
//		source of its function changes.
//	-explained file
//		The mutants that may survive, each with the reason. Default: tools/mutate/explained.txt in the module, if there is
//		one.
//	-jobs n
//		How many processes run at once. Default: 2.
//	-limit duration
//		How long a test may take without a mutant. With one it may take five seconds more than three times as long as
//		without. Default: 2m.
//	-list
//		Print the mutants, and run nothing.
//
// It prints, sorted, what survives without an explanation, and what came of each package:
//
//	file:line: function: kind: text: survived|not covered
//
// An entry of the file of explanations is such a line without the number of the line and without the end, and the
// reason in indented lines below it; for many of a kind, a regular expression between slashes takes the place of the line.
// The second of several mutants with the same text has " #2" behind the text, and so on.
//
// The exit code is 0 if it is known of every mutant that it does not survive without an explanation, and every explanation
// of the files in question is of a mutant that exists; 1 if not; 2 if the tests fail without a mutant, or nothing
// could be found out for another reason.
//
// Mutants run in endless loops, some of which take memory: limit it (ulimit -v 8000000).
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/tools/go/packages"
)

func main() {
	log.SetFlags(log.Ltime)
	log.SetPrefix("mutate: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// A tool is what one run of the command has been told.
type tool struct {
	wd        string // in which packages are looked up
	patterns  []string
	files     []string
	tests     []string
	match     *regexp.Regexp
	skip      *regexp.Regexp // nil for no test
	limited   bool           // to some of the tests
	again     bool
	jobs      int
	limit     time.Duration
	list      bool
	state     *state
	explained []*explanation

	dir string // for temporary files
	out io.Writer
	log func(format string, v ...any)
}

// run is the command. It reports whether nothing is wrong with the tests.
func run(ctx context.Context, args []string, out io.Writer) (bool, error) {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	var (
		files     = flags.String("files", "", "only mutants in files that match one of these `patterns`")
		tests     = flags.String("tests", "", "use the tests of these `packages`, too")
		match     = flags.String("run", "", "use only tests whose names match this `regexp`")
		skip      = flags.String("skip", "", "do not use tests whose names match this `regexp`")
		again     = flags.Bool("again", false, "try those again that are known to survive")
		remember  = flags.String("state", "", "go on from what this `file` remembers")
		explained = flags.String("explained", "", "the `file` of the mutants that may survive")
		jobs      = flags.Int("jobs", 2, "run `n` processes at once")
		limit     = flags.Duration("limit", 2*time.Minute, "how `long` a test may take without a mutant")
		list      = flags.Bool("list", false, "print the mutants, and run nothing")
		dir       = flags.String("C", ".", "look for packages from this `directory`")
	)
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	t := tool{
		wd: *dir, limited: *match != "", again: *again, jobs: max(*jobs, 1), limit: *limit, list: *list, out: out, log: log.Printf,
	}
	var err error
	if t.match, err = regexp.Compile(*match); err != nil {
		return false, err
	}
	if *skip != "" {
		if t.skip, err = regexp.Compile(*skip); err != nil {
			return false, err
		}
	}
	if *files != "" {
		t.files = strings.Split(*files, ",")
	}
	if *tests != "" {
		t.tests = strings.Split(*tests, ",")
	}
	if t.state, err = openState(*remember); err != nil {
		return false, err
	}
	if t.patterns = flags.Args(); len(t.patterns) == 0 {
		t.patterns = []string{"."}
	}
	targets, err := t.load(ctx)
	if err != nil {
		return false, err
	}
	name := cmp.Or(*explained, filepath.Join(targets[0].module, "tools", "mutate", "explained.txt"))
	t.explained, err = explanations(name)
	if err != nil && (*explained != "" || !errors.Is(err, fs.ErrNotExist)) {
		return false, err
	}
	if t.dir, err = os.MkdirTemp("", "mutate"); err != nil {
		return false, err
	}
	defer os.RemoveAll(t.dir)
	return t.run(ctx, targets)
}

// A target is a package to mutate.
type target struct {
	path     string // import path
	dir      string
	module   string            // the directory of its module
	files    map[string][]byte // what takes the place of which file
	names    map[string]bool   // those with mutants to run, relative to the module
	mutants  []mutant
	withTest []suite
}

// load finds the packages to mutate, and those whose tests are used, and makes the mutants.
func (t *tool) load(ctx context.Context) ([]*target, error) {
	config := &packages.Config{
		Context: ctx, Dir: t.wd,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedModule | packages.NeedImports |
			packages.NeedDeps | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedSyntax,
	}
	pkgs, err := packages.Load(config, t.patterns...)
	if err != nil {
		return nil, err
	}
	var others []suite
	if len(t.tests) > 0 {
		found, err := packages.Load(&packages.Config{Context: ctx, Dir: t.wd, Mode: packages.NeedName | packages.NeedFiles}, t.tests...)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			others = append(others, suite{pkg: p.PkgPath, dir: p.Dir})
		}
	}
	var targets []*target
	for _, p := range pkgs {
		if len(p.Errors) > 0 {
			return nil, fmt.Errorf("%s: %w", p.PkgPath, p.Errors[0])
		}
		if p.Module == nil {
			return nil, fmt.Errorf("%s: not in a module", p.PkgPath)
		}
		target, err := t.mutate(p)
		if err != nil {
			return nil, err
		}
		target.withTest = append([]suite{{pkg: p.PkgPath, dir: p.Dir}}, slices.DeleteFunc(slices.Clone(others), func(s suite) bool { return s.pkg == p.PkgPath })...)
		targets = append(targets, target)
	}
	if len(targets) == 0 {
		return nil, errors.New("no packages")
	}
	return targets, nil
}

// mutate makes the mutants of a package.
func (t *tool) mutate(p *packages.Package) (*target, error) {
	to := &target{path: p.PkgPath, dir: p.Dir, module: p.Module.Dir, files: map[string][]byte{}, names: map[string]bool{}}
	for i, file := range p.Syntax {
		full := p.CompiledGoFiles[i]
		name, err := filepath.Rel(to.module, full)
		if err != nil {
			return nil, err
		}
		name = filepath.ToSlash(name)
		if ast.IsGenerated(file) || strings.HasPrefix(name, "../") { // the latter by cgo
			continue
		}
		source, err := os.ReadFile(full)
		if err != nil {
			return nil, err
		}
		r := rewriter{
			fset: p.Fset, info: p.TypesInfo, source: source, name: name,
			next: func() func() int {
				n := len(to.mutants)
				return func() int { n++; return n }
			}(),
		}
		changed, mutants := r.rewrite(file)
		to.files[full] = changed
		to.mutants = append(to.mutants, mutants...)
		to.names[name] = t.place(name) >= 0
	}
	to.files[filepath.Join(p.Dir, "mutate__.go")] = switchFile(p.Name, len(to.mutants))
	return to, nil
}

// place returns when the mutants of a file are to run, or a negative number for never.
func (t *tool) place(name string) int {
	if len(t.files) == 0 {
		return 0
	}
	return slices.IndexFunc(t.files, func(pattern string) bool {
		whole, _ := path.Match(pattern, name)
		last, _ := path.Match(pattern, path.Base(name))
		return whole || last
	})
}

// compile builds the tests of a target, with its mutants in them.
func (t *tool) compile(ctx context.Context, to *target, dir string) (map[string]suite, error) {
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for name, source := range to.files {
		replacement := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(replacement, source, 0o600); err != nil {
			return nil, err
		}
		overlay.Replace[name] = replacement
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, err
	}
	suites := map[string]suite{}
	for i, s := range to.withTest {
		s.binary = filepath.Join(dir, fmt.Sprintf("tests%d.exe", i))
		if err := build(ctx, t.wd, file, s.binary, s.pkg); err != nil {
			return nil, err
		}
		if _, err := os.Stat(s.binary); err == nil { // it has tests
			suites[s.pkg] = s
		}
	}
	return suites, nil
}

func (t *tool) run(ctx context.Context, targets []*target) (bool, error) {
	used := map[*explanation]bool{}
	names := map[string]bool{}
	var lines []string
	var totals strings.Builder
	known := true
	for _, to := range targets {
		var selected []mutant
		for _, m := range to.mutants {
			for _, e := range t.explained {
				used[e] = used[e] || e.of(m.key)
			}
			if to.names[m.File] {
				selected = append(selected, m)
			}
		}
		for name, wanted := range to.names {
			names[name] = wanted
		}
		if t.list {
			for _, m := range selected {
				lines = append(lines, fmt.Sprintf("%s:%d: %s: %s: %s", m.File, m.line, m.Func, m.Kind, m.Text))
			}
			continue
		}
		verdicts, err := t.try(ctx, to, selected)
		if err != nil {
			return false, err
		}
		count := map[string]int{}
		for _, m := range selected {
			v, ok := verdicts[m.key]
			if !ok {
				v.Result, known = "unknown", false
			} else if v.Result != killed && slices.ContainsFunc(t.explained, func(e *explanation) bool { return e.of(m.key) }) {
				v.Result = "explained"
			}
			count[v.Result]++
			if v.Result == survived || v.Result == notCovered {
				lines = append(lines, fmt.Sprintf("%s:%d: %s: %s: %s: %s", m.File, m.line, m.Func, m.Kind, m.Text, v.Result))
			}
		}
		fmt.Fprintf(&totals, "%s: %d mutants", to.path, len(selected))
		for _, result := range []string{killed, survived, notCovered, "explained", "unknown"} {
			if n := count[result]; n > 0 {
				fmt.Fprintf(&totals, ", %d %s", n, result)
			}
		}
		totals.WriteString("\n")
	}
	sortByPlace(lines)
	for _, line := range lines {
		fmt.Fprintln(t.out, line)
	}
	if t.list {
		return true, nil
	}
	ok := len(lines) == 0 && known
	for _, e := range t.explained {
		// An expression may be of files that are not looked at, unless they all are.
		file, _, _ := strings.Cut(e.key, ": ")
		if !used[e] && (names[file] || e.match != nil && slices.Contains(t.patterns, "./...")) {
			fmt.Fprintf(t.out, "%s: explained, but there is no such mutant\n", e.key)
			ok = false
		}
	}
	fmt.Fprint(t.out, totals.String())
	return ok, nil
}

// sortByPlace sorts lines by file, and by the number of the line.
func sortByPlace(lines []string) {
	place := regexp.MustCompile(`^([^:]*):(\d+):`)
	slices.SortStableFunc(lines, func(a, b string) int {
		x, y := place.FindStringSubmatch(a), place.FindStringSubmatch(b)
		return cmp.Or(strings.Compare(x[1], y[1]), len(x[2])-len(y[2]), strings.Compare(x[2], y[2]))
	})
}

// try tells what becomes of mutants of a target.
func (t *tool) try(ctx context.Context, to *target, selected []mutant) (map[key]verdict, error) {
	verdicts := map[key]verdict{}
	var left []mutant
	for _, m := range selected {
		v, ok := t.state.verdict(m)
		if ok {
			verdicts[m.key] = v
		}
		if !ok || t.again && v.Result != killed {
			left = append(left, m)
		}
	}
	slices.SortStableFunc(left, func(a, b mutant) int { return t.place(a.File) - t.place(b.File) })
	if len(left) == 0 {
		return verdicts, nil
	}
	dir, err := os.MkdirTemp(t.dir, "package")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := session{tool: *t, target: to, killers: map[string]map[testName]int{}}
	s.dir = dir
	if s.suites, err = t.compile(ctx, to, dir); err != nil {
		return nil, err
	}
	var dirs []string
	for _, suite := range to.withTest {
		dirs = append(dirs, suite.dir)
	}
	if s.sources, err = sourcesOf(dirs); err != nil {
		return nil, err
	}
	if err := s.learn(ctx); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var done atomic.Int64
	err = atOnce(ctx, t.jobs, left, func(ctx context.Context, m mutant) error {
		v, err := s.try(ctx, m)
		if err != nil {
			return err
		}
		if n := done.Add(1); n%100 == 0 {
			t.log("%s: %d of %d", to.path, n, len(left))
		}
		if t.limited && v.Result != killed {
			return nil // others may
		}
		mu.Lock()
		verdicts[m.key] = v
		mu.Unlock()
		return t.state.add(record{Key: &m.key, Verdict: &v})
	})
	return verdicts, err
}
