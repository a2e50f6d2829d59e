package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/bench/internal/database"
)

// A run of some seconds, so that the command works and what it looks for does not stay unseen for long. The time goes to the
// loops, which look at the clock every five seconds. Passwords cost hardly anything, so that more happens. Nothing else runs
// meanwhile: goroutines and the heap are those of the process.
func TestSoak(t *testing.T) {
	for _, name := range []string{"memory", "postgres"} {
		t.Run(name, func(t *testing.T) {
			if name == "postgres" {
				needPostgres(t)
			}
			var out bytes.Buffer
			err := soak(t.Context(), settings{
				period: 12 * time.Second, day: 500 * time.Millisecond, store: name, workers: 4, seed: uint64(time.Now().UnixNano()),
				argon2: auth.Argon2{MemoryKiB: 8, Time: 1, Threads: 1},
			}, &out)
			t.Log("\n" + out.String())
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// needPostgres skips a test where no server can be reached, except in CI, where it fails.
func needPostgres(t *testing.T) {
	t.Helper()
	pool, err := database.Open(t.Context())
	if err == nil {
		pool.Close()
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	// grow is a morning after the other, in which something has become more by a step each.
	grow := func(n int, step func(m *morning, i int)) []morning {
		all := make([]morning, n)
		for i := range all {
			all[i] = morning{goroutines: 12, heap: 8 << 20, descriptors: 30, connections: 10}
			step(&all[i], i)
		}
		return all
	}
	for _, c := range []struct {
		name   string
		all    []morning
		faults []string
	}{
		{"what stays is fine", grow(20, func(*morning, int) {}), nil},
		{"what warms up in the first quarter is fine", grow(20, func(m *morning, i int) {
			m.heap, m.goroutines = uint64(min(i, 5))<<22, 10*min(i, 5)
		}), nil},
		{"one morning is no trend", grow(20, func(m *morning, i int) {
			if i == 15 {
				m.goroutines, m.heap = 500, 1<<30
			}
		}), nil},
		{"two goroutines more each day are too many", grow(20, func(m *morning, i int) { m.goroutines += 2 * i }), []string{"goroutines"}},
		{"half a MiB more each day is too much", grow(20, func(m *morning, i int) { m.heap += uint64(i) << 19 }), []string{"live heap"}},
		{"two descriptors more each day are too many", grow(20, func(m *morning, i int) { m.descriptors += 2 * i }), []string{"file descriptors"}},
		{"a connection more each day is too much", grow(20, func(m *morning, i int) { m.connections += i }), []string{"connections"}},
		{"three mornings have two halves", grow(minMornings, func(m *morning, i int) { m.goroutines += 20 * i }), []string{"goroutines"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faults := verdict(io.Discard, c.all)
			if len(faults) != len(c.faults) {
				t.Fatalf("the faults are %v, want %q", faults, c.faults)
			}
			for i, f := range faults {
				if !strings.HasPrefix(f.Error(), c.faults[i]) {
					t.Errorf("the fault is %v, want one of %s", f, c.faults[i])
				}
			}
		})
	}
}

func TestWhatIsLoggedEndsTheRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		ends bool
	}{
		{"a warning does not", func(l *slog.Logger) { l.Warn("something") }, false},
		{"an error does", func(l *slog.Logger) { l.Error("something") }, true},
		{"a webhook that the receiver refused does not", func(l *slog.Logger) {
			l.Error("deliver message", slog.String("channel", "webhook:soak"), slog.Bool("given up", false))
		}, false},
		{"a webhook that is given up does", func(l *slog.Logger) {
			l.Error("deliver message", slog.String("channel", "webhook:soak"), slog.Bool("given up", true))
		}, true},
		{"a letter that is not delivered does", func(l *slog.Logger) {
			l.Error("deliver message", slog.String("channel", "mail"), slog.Bool("given up", false))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ended := false
			w := &world{fail: func(error) { ended = true }}
			c.log(slog.New(w))
			if ended != c.ends {
				t.Errorf("it ends: %t", ended)
			}
		})
	}
}
