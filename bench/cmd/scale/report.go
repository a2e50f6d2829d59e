package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"time"
)

// growth is how much greater the median of an operation may be with the greatest number of users than with the smallest.
const growth = 1.2

// result is what was measured.
type result struct {
	server string
	realms []*realm // in ascending order of users
}

// quantile returns the q-quantile of times, or 0 where there are none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (l latencies) median(op string) time.Duration { return quantile(l[op], 0.5) }
func (l latencies) slow(op string) time.Duration   { return quantile(l[op], 0.99) }

// growth is how many times as long the median of an operation is at the last number of users as it is at the first.
func (r *result) growth(op string) float64 {
	first, last := r.realms[0], r.realms[len(r.realms)-1]
	return float64(last.quiet.median(op)) / float64(first.quiet.median(op))
}

// faults lists what is not as it must be; with latency, operations that become too slow are among it.
func (r *result) faults(latency bool) []string {
	var list []string
	for _, op := range operations {
		if got := r.growth(op.name); latency && !(got <= growth) { // so that NaN is no success
			list = append(list, fmt.Sprintf("the median of %s grows to %.2f×, more than %.2f×", op.name, got, growth))
		}
	}
	for _, v := range r.realms {
		for _, name := range append(names(), purging.name) {
			for _, path := range v.plans[name].bad {
				list = append(list, fmt.Sprintf("%d users: %s reads %s", v.caller.users, name, path))
			}
		}
	}
	return list
}

func names() []string {
	list := make([]string, len(operations))
	for i, op := range operations {
		list[i] = op.name
	}
	return list
}

// print writes the result as Markdown.
func (r *result) print(to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "%s; %d CPUs.\n\n", r.server, runtime.NumCPU())
	r.printLatency(w)
	r.printPurge(w)
	r.printPlans(w)
	r.printSizes(w)
	return w.Flush()
}

func (r *result) printLatency(w io.Writer) {
	fmt.Fprintf(w, "## Latency in µs\n\n| operation |")
	for _, v := range r.realms {
		fmt.Fprintf(w, " %d users: p50 | p99 |", v.caller.users)
	}
	fmt.Fprint(w, " growth of p50 |\n|---|")
	for range r.realms {
		fmt.Fprint(w, "--:|--:|")
	}
	fmt.Fprint(w, "--:|\n")
	for _, name := range names() {
		fmt.Fprintf(w, "| %s |", name)
		for _, v := range r.realms {
			fmt.Fprintf(w, " %d | %d |", v.quiet.median(name).Microseconds(), v.quiet.slow(name).Microseconds())
		}
		mark := ""
		if got := r.growth(name); !(got <= growth) {
			mark = " EXCEEDED"
		}
		fmt.Fprintf(w, " %.2f×%s |\n", r.growth(name), mark)
	}
}

func (r *result) printPurge(w io.Writer) {
	fmt.Fprintf(w, "\n## Latency in µs beside a purge\n\n| operation |")
	for _, v := range r.realms {
		fmt.Fprintf(w, " %d users: p50 | p99 |", v.caller.users)
	}
	fmt.Fprint(w, "\n|---|")
	for range r.realms {
		fmt.Fprint(w, "--:|--:|")
	}
	fmt.Fprintln(w)
	for _, name := range names() {
		fmt.Fprintf(w, "| %s |", name)
		for _, v := range r.realms {
			fmt.Fprintf(w, " %d | %d |", v.busy.median(name).Microseconds(), v.busy.slow(name).Microseconds())
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\n| users | rows purged | s | rows/s | other calls meanwhile/s |\n|--:|--:|--:|--:|--:|\n")
	for _, v := range r.realms {
		calls := 0
		for _, times := range v.busy {
			calls += len(times)
		}
		s := v.purgeTook.Seconds()
		fmt.Fprintf(w, "| %d | %d | %.1f | %.0f | %.0f |\n", v.caller.users, v.purged, s, float64(v.purged)/s, float64(calls)/s)
	}
}

func (r *result) printPlans(w io.Writer) {
	fmt.Fprintf(w, "\n## Ways to the rows\n\nNo plan may read all of a table of at least %d rows, or look at %d rows in one place.\n\n| operation |", large, many)
	for _, v := range r.realms {
		fmt.Fprintf(w, " %d users |", v.caller.users)
	}
	fmt.Fprint(w, "\n|---|")
	for range r.realms {
		fmt.Fprint(w, "---|")
	}
	fmt.Fprintln(w)
	for _, name := range append(names(), purging.name) {
		fmt.Fprintf(w, "| %s |", name)
		for _, v := range r.realms {
			fmt.Fprintf(w, " %s |", v.plans[name])
		}
		fmt.Fprintln(w)
	}
}

func (r *result) printSizes(w io.Writer) {
	fmt.Fprintf(w, "\n## Size\n\n| users | table | rows | bytes/row | of its indexes/row |\n|--:|---|--:|--:|--:|\n")
	for _, v := range r.realms {
		var bytes int64
		for _, t := range v.sizes {
			bytes += t.ofTable + t.ofIndexes
			if t.rows < v.caller.users/100 {
				continue // it does not grow with the users
			}
			fmt.Fprintf(w, "| %d | %s | %d | %s | %s |\n", v.caller.users, t.name, t.rows, each(t.ofTable, t.rows), each(t.ofIndexes, t.rows))
		}
		fmt.Fprintf(w, "| %d | all, for each user | %d | %s | |\n", v.caller.users, v.caller.users, each(bytes, v.caller.users))
	}
	fmt.Fprintln(w)
	for _, v := range r.realms {
		fmt.Fprintf(w, "%d users, with %d sessions, were filled in within %.0f s.\n", v.caller.users, v.caller.sessions(), v.filled.Seconds())
	}
}

func each(bytes int64, rows int) string {
	return fmt.Sprintf("%.0f", math.Round(float64(bytes)/float64(rows)))
}
