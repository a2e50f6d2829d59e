// Command compare measures whole flows over HTTP, of this repository's engine beside other products that do them, all on the
// same machine, the same PostgreSQL and in the same run.
//
//	go run ./bench/cmd/compare -out docs/performance.md
//
// It needs Linux, PostgreSQL at AUTH_TEST_POSTGRES, and for better-auth Node 20 or later with npm. Each server is built, or
// installed by npm ci, in a directory of its own, has a schema of its own, and is a new process for each measurement, so that
// its memory is that of the one flow. Products take turns within a flow, so that a machine that gets slower does so for all.
// Every answer is checked, and the first that is wrong ends the run with status 1.
//
// How many statements a request takes is counted apart from the times, by a proxy between server and database.
//
// The result is Markdown. With -out it replaces what stands in that file between the two lines
//
//	<!-- compare: begin -->
//	<!-- compare: end -->
//
// With -quick the run takes less than two minutes, with four connections, and shows whether everything works, not how fast it
// is. With -cpuprofile profiles of our own server are written, one for each measurement of it, for go tool pprof.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/auth/bench/internal/product"
)

// settings are what the flags say.
type settings struct {
	measure, warmup time.Duration
	users           int
	connections     counts
	// Statements are counted of so many requests, after as many during which they may still be prepared.
	counted, unprepared int
	products            names
	flows               names
	profiles            string // a directory; "": none
	prefix              string // of the names of schemas
	progress            func(format string, args ...any)
}

// counts are numbers of connections.
type counts []int

func (c *counts) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*c)), " ", ","), "[]")
}

// Set implements [flag.Value].
func (c *counts) Set(s string) error {
	*c = nil
	for text := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if n < 1 || n > 1000 {
			return errors.New("not from 1 to 1000")
		}
		*c = append(*c, n)
	}
	return nil
}

// names are some of those that there are.
type names struct{ chosen, all []string }

func (n *names) String() string { return strings.Join(n.chosen, ",") }

// Set implements [flag.Value].
func (n *names) Set(s string) error {
	n.chosen = nil
	for name := range strings.SplitSeq(s, ",") {
		if !slices.Contains(n.all, name) {
			return fmt.Errorf("%q is none of %s", name, strings.Join(n.all, ", "))
		}
		n.chosen = append(n.chosen, name)
	}
	return nil
}

func (n *names) has(name string) bool { return slices.Contains(n.chosen, name) }

func everything() settings {
	var s settings
	for _, p := range product.All() {
		s.products.all = append(s.products.all, p.Name)
	}
	for _, f := range product.Flows {
		s.flows.all = append(s.flows.all, string(f))
	}
	s.products.chosen, s.flows.chosen = s.products.all, s.flows.all
	s.users, s.connections = 100, counts{1, 16}
	s.counted, s.unprepared = 9, 3
	s.prefix, s.progress = "auth_compare_", log.Printf
	return s
}

// brief makes a run quick.
func (s *settings) brief() {
	s.measure, s.warmup, s.users, s.connections = 200*time.Millisecond, 50*time.Millisecond, 4, counts{4}
	s.counted, s.unprepared = 3, 1
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("compare: ")
	s := everything()
	seconds := flag.Float64("seconds", 5, "measure each flow of each product for `n` seconds, after a fifth of that to warm up")
	quick := flag.Bool("quick", false, "only show that everything works, within two minutes")
	out := flag.String("out", "", "write the result into `file`, between its two marks; the default is standard output")
	limit := flag.Duration("timeout", 15*time.Minute, "give up after `d`")
	flag.IntVar(&s.users, "users", s.users, "sign `n` users up beforehand with each product")
	flag.Var(&s.connections, "connections", "measure with these `numbers` of connections at a time")
	flag.Var(&s.products, "products", "measure these products, by `names`")
	flag.Var(&s.flows, "flows", "measure these flows, by `names`")
	flag.StringVar(&s.profiles, "cpuprofile", "", "write profiles of our own server into `directory`, which is made if need be")
	flag.Parse()
	s.measure = time.Duration(*seconds * float64(time.Second))
	s.warmup = s.measure / 5
	if *quick {
		s.brief()
		flag.Parse() // so that users and connections are those that are asked for, if any
	}
	if s.measure <= 0 || s.users < slices.Max(s.connections) || flag.NArg() > 0 {
		fmt.Fprintln(flag.CommandLine.Output(), "there must be time to measure, and a user for each connection")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, s, *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, s settings, out string) error {
	// put writes the result, or with none only looks whether it could.
	put := func(result []byte) error {
		if out == "" {
			_, err := os.Stdout.Write(result)
			return err
		}
		text, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		replaced, err := replace(text, result)
		if err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		if result == nil {
			return nil
		}
		return os.WriteFile(out, replaced, 0o644)
	}
	if err := put(nil); err != nil { // before anything is measured in vain
		return err
	}
	r, err := measure(ctx, s, product.All())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	r.print(&b)
	return put(b.Bytes())
}

// The marks between which a file has the result.
const (
	beginMark = "<!-- compare: begin -->\n"
	endMark   = "<!-- compare: end -->\n"
)

// replace puts the result between the marks of a text, which must have each once.
func replace(text, result []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(text, []byte(beginMark))
	if !ok || bytes.Contains(rest, []byte(beginMark)) {
		return nil, fmt.Errorf("needs one line %q", strings.TrimSpace(beginMark))
	}
	_, after, ok := bytes.Cut(rest, []byte(endMark))
	if !ok || bytes.Contains(after, []byte(endMark)) {
		return nil, fmt.Errorf("needs one line %q after the other mark", strings.TrimSpace(endMark))
	}
	return slices.Concat(before, []byte(beginMark+"\n"), result, []byte("\n"+endMark), after), nil
}
