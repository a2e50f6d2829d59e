package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/bench/internal/load"
	"github.com/ostiary/auth/bench/internal/pgcount"
	"github.com/ostiary/auth/bench/internal/process"
	"github.com/ostiary/auth/bench/internal/product"
	"github.com/ostiary/auth/bench/internal/server"
)

// result is a real one, of n requests, with another rate.
func result(t *testing.T, n int, rate float64) load.Result {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	l := load.New(strings.TrimPrefix(s.URL, "http://"), []load.Script{{
		Next:  func() load.Request { return load.Request{Method: "GET", Path: "/"} },
		Check: func(load.Answer) error { return nil },
	}})
	defer l.Close()
	r, err := l.Repeat(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	r.Rate = rate
	return r
}

func TestTheReportShowsWhereOursLoses(t *testing.T) {
	t.Parallel()
	ours := &realm{built: built{version: "this repository", Product: product.Product{
		Name: "ours", Hash: "a", Ways: map[product.Flow]product.Way{product.User: {Request: "GET /user"}},
	}}}
	peer := &realm{built: built{version: "v1", Product: product.Product{
		Name: "peer", Hash: "b", Module: "example.org/peer", Ways: map[product.Flow]product.Way{product.User: {Request: "GET /me", Note: "Something else."}},
	}}}
	lacking := &realm{built: built{version: "v2", Product: product.Product{
		Name: "lacking", Package: "lacking", Missing: map[product.Flow]string{product.User: "It has no users."},
	}}}
	cellOf := func(r *realm, connections, n int, rate float64, cpu time.Duration, memory int64, statements int64) cell {
		return cell{
			hash: server.HashDefault, flow: product.User, product: r, connections: connections, Result: result(t, n, rate),
			usage: process.Usage{CPU: cpu, Memory: memory << 20}, count: pgcount.Count{Statements: statements, Trips: statements},
		}
	}
	c := &comparison{
		settings: settings{connections: counts{1, 16}, measure: time.Second},
		products: []*realm{ours, peer, lacking},
		cells: []cell{
			cellOf(ours, 1, 100, 1000, 200*time.Millisecond, 30, 1), cellOf(peer, 1, 100, 400.4, 500*time.Millisecond, 20, 2),
			cellOf(ours, 16, 100, 2000, 50*time.Millisecond, 40, 1), cellOf(peer, 16, 100, 3000, 300*time.Millisecond, 50, 2),
		},
	}
	var b strings.Builder
	c.print(&b)
	// Of each line: connections, product, requests/s, CPU, memory, statements, round trips.
	var got [][]string
	for line := range strings.Lines(b.String()) {
		f := strings.Split(line, " | ")
		if len(f) == 9 && (strings.HasPrefix(line, "| 1 ") || strings.HasPrefix(line, "| 16 ")) {
			got = append(got, []string{f[0], f[1], f[2], f[5], f[6], f[7], strings.TrimSpace(f[8])})
		}
	}
	want := [][]string{
		{"| 1", "ours", "**1000**", "**2 ms**", "30 MiB", "1", "1 |"},
		{"| 1", "peer", "400", "5 ms", "**20 MiB**", "2", "2 |"},
		{"| 1", "lacking", "–", "–", "–", "–", "– |"},
		{"| 16", "ours", "2000", "–", "**40 MiB**", "1", "1 |"},
		{"| 16", "peer", "**3000**", "**3 ms**", "50 MiB", "2", "2 |"},
		{"| 16", "lacking", "–", "–", "–", "–", "– |"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, &b)
	}
	for _, want := range []string{
		"- peer: `GET /me`. Something else.\n", "- lacking: It has no users.\n", "| peer | v1 | b |\n",
		"another\n\n- user at 16 connections: peer answers 1.50 times as many\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "user at 1 connection:") {
		t.Errorf("ours is said to lose where it does not:\n%s", &b)
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		987 * time.Nanosecond: "0.99 µs", 12345 * time.Nanosecond: "12.3 µs", 1234 * time.Microsecond: "1.23 ms",
		2 * time.Millisecond: "2 ms", 345678 * time.Microsecond: "346 ms", 12 * time.Second: "12.0 s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is shown as %q, want %q", d, got, want)
		}
	}
}
