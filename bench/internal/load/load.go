// Package load puts a server over HTTP under load and says how it fares.
//
// The load is a closed loop: each connection has one request under way and sends the next as soon as the answer is there. A
// server that gets slower is so asked less often, and the latencies are those of a server that is never asked more than it
// can answer. Every answer is checked, and the first that is wrong ends the measurement.
package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// Script is what one connection does over and over: it sends what Next returns and gives the answer to Check, whose error
// ends the measurement. Neither is called concurrently with itself or the other.
type Script struct {
	Next  func() Request
	Check func(Answer) error
}

// Result is what was measured.
type Result struct {
	Requests int64   // how many were answered
	Rate     float64 // how many are answered in a second: the sum of the rates of the connections
	latency  *hdrhistogram.Histogram
}

// Latency returns the latency that so many percent of the answers did not exceed, to three significant digits.
func (r Result) Latency(percent float64) time.Duration {
	return time.Duration(r.latency.ValueAtPercentile(percent))
}

// newHistogram has room for everything that takes from a microsecond to twice our patience, in nanoseconds.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(2*patience), 3)
}

// Load is a number of connections to one server, each with its script.
type Load struct {
	scripts []Script
	clients []*Client
}

// New returns the load of as many connections as there are scripts. Close ends them.
func New(address string, scripts []Script) *Load {
	l := &Load{scripts: scripts}
	for range scripts {
		l.clients = append(l.clients, NewClient(address))
	}
	return l
}

// Close ends the connections.
func (l *Load) Close() {
	for _, c := range l.clients {
		c.Close()
	}
}

// Run sends requests on all connections for as long as d says, and to the end those that are then under way, but at least
// one on each. It returns the first error.
func (l *Load) Run(ctx context.Context, d time.Duration) (Result, error) {
	begin := time.Now()
	return l.run(ctx, func(int64) bool { return time.Since(begin) < d })
}

// Repeat sends n requests on each connection.
func (l *Load) Repeat(ctx context.Context, n int) (Result, error) {
	return l.run(ctx, func(done int64) bool { return done < int64(n) })
}

func (l *Load) run(ctx context.Context, more func(done int64) bool) (Result, error) {
	if len(l.scripts) == 0 {
		return Result{}, errors.New("load without a connection")
	}
	rates := make([]float64, len(l.scripts))
	histograms := make([]*hdrhistogram.Histogram, len(l.scripts))
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.scripts {
		histograms[i] = newHistogram()
		group.Go(func() (err error) {
			rates[i], err = repeat(ctx, l.clients[i], l.scripts[i], histograms[i], more)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	result := Result{latency: newHistogram()}
	for i, h := range histograms {
		if dropped := result.latency.Merge(h); dropped > 0 {
			return Result{}, fmt.Errorf("%d latencies were lost", dropped)
		}
		result.Rate += rates[i]
	}
	result.Requests = result.latency.TotalCount()
	return result, nil
}

// repeat is one connection. It returns how many requests were answered in a second.
func repeat(ctx context.Context, c *Client, s Script, h *hdrhistogram.Histogram, more func(done int64) bool) (float64, error) {
	begin := time.Now()
	done := int64(0)
	for done == 0 || more(done) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		request := s.Next()
		sent := time.Now()
		answer, err := c.Do(ctx, request)
		took := time.Since(sent)
		if err != nil {
			return 0, err
		}
		if err := s.Check(answer); err != nil {
			return 0, fmt.Errorf("%s %s answers %d: %w", request.Method, request.Path, answer.Status, err)
		}
		if err := h.RecordValue(max(int64(took), int64(time.Microsecond))); err != nil {
			return 0, err
		}
		done++
	}
	return float64(done) / time.Since(begin).Seconds(), nil
}
