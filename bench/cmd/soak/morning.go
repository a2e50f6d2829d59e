package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// morning is what there is when a night has gone by: nobody is there yet.
type morning struct {
	at          time.Duration // since the start
	lives       int           // that have gone by
	requests    int
	goroutines  int
	heap        uint64 // bytes that live after a collection
	descriptors int    // open files and sockets of this process; 0 where that cannot be told
	connections int    // to the database
	rows        map[string]int
	purged      int // rows that the loops have removed, since the start
}

// tables are those of a realm, in the order in which they are shown. Not every store tells of all.
var tables = []string{"users", "identities", "security_keys", "pats", "sessions", "tickets", "signing_keys", "messages", "events"}

func header(out io.Writer) {
	fmt.Fprintf(out, "%8s %8s %10s %8s %10s %5s %5s %8s", "time", "lives", "requests", "gorout.", "heap KiB", "fds", "conns", "purged")
	for _, t := range tables {
		fmt.Fprintf(out, " %*s", len(t), t)
	}
	fmt.Fprintln(out)
}

func (m *morning) print(out io.Writer) {
	fmt.Fprintf(out, "%8s %8d %10d %8d %10d %5d %5d %8d", m.at.Round(time.Second), m.lives, m.requests, m.goroutines, m.heap>>10,
		m.descriptors, m.connections, m.purged)
	for _, t := range tables {
		text := "–"
		if n, ok := m.rows[t]; ok {
			text = fmt.Sprint(n)
		}
		fmt.Fprintf(out, " %*s", len(t), text)
	}
	fmt.Fprintln(out)
}

// measure looks at this process. Two collections empty what package sync pools.
func (m *morning) measure() {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.heap, m.goroutines = stats.HeapAlloc, runtime.NumGoroutine()
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.descriptors = len(list)
	}
}

// minMornings are enough for two halves after the first quarter.
const minMornings = 3

// bounds are what may grow from the first half to the second: by a part of the median, and a number besides.
var bounds = []struct {
	what string
	of   func(*morning) float64
	part float64
	more float64
}{
	{"goroutines", func(m *morning) float64 { return float64(m.goroutines) }, 0, 8},
	{"live heap in KiB", func(m *morning) float64 { return float64(m.heap >> 10) }, 0.10, 2048},
	{"file descriptors", func(m *morning) float64 { return float64(m.descriptors) }, 0, 8},
	{"connections to the database", func(m *morning) float64 { return float64(m.connections) }, 0, 2},
}

// verdict compares the halves, and says what has grown.
func verdict(out io.Writer, all []morning) []error {
	var faults []error
	all = all[len(all)/4:]
	if len(all) > 2 && len(all)%2 == 1 {
		all = all[1:] // so that the halves are equal, the first of it is as good as warming up
	}
	first, second := all[:len(all)/2], all[len(all)/2:]
	fmt.Fprintf(out, "\n%-28s %12s %12s %12s\n", "median", "first half", "second half", "bound")
	for _, b := range bounds {
		before, after := median(first, b.of), median(second, b.of)
		most := before*(1+b.part) + b.more
		fmt.Fprintf(out, "%-28s %12.0f %12.0f %12.0f\n", b.what, before, after, most)
		if after > most {
			faults = append(faults, fmt.Errorf("%s have grown from %.0f to %.0f, and %.0f is the most", b.what, before, after, most))
		}
	}
	return faults
}

func median(list []morning, of func(*morning) float64) float64 {
	values := make([]float64, len(list))
	for i := range list {
		values[i] = of(&list[i])
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// summary prints how often people did what.
func (w *world) summary(out io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(w.deeds)) {
		list = append(list, fmt.Sprintf("%s %d", name, w.deeds[name]))
	}
	fmt.Fprintf(out, "\ndone: %s\n", strings.Join(list, ", "))
	list = nil
	for _, status := range slices.Sorted(maps.Keys(w.statuses)) {
		list = append(list, fmt.Sprintf("%d %d", status, w.statuses[status]))
	}
	fmt.Fprintf(out, "answers: %s\n", strings.Join(list, ", "))
	fmt.Fprintf(out, "letters %d, webhooks %d of which %d failed by intent, keys %d\n", w.post.count(), w.hooks.taken.Load(), w.hooks.failed.Load(), len(w.keys))
}
