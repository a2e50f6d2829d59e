package storetest

import (
	"context"
	"maps"
	"sync"

	"github.com/ostiary/auth/store"
)

// Counter is a store that counts the calls made to the one behind it, to hold code to a budget of round trips: a store
// needs one for each call. Calls that fail count, and so do those that a NewUser.Within callback makes through the
// Counter. It is safe for concurrent use.
type Counter struct {
	wrapped
	mu    sync.Mutex
	calls map[string]int
}

// Count returns a Counter in front of s.
func Count(s store.Store) *Counter {
	c := &Counter{calls: map[string]int{}}
	c.wrapped = wrapped{s, func(_ context.Context, method string, call func() error) error {
		c.mu.Lock()
		c.calls[method]++
		c.mu.Unlock()
		return call()
	}}
	return c
}

// Trips returns how many calls there have been since the last Reset.
func (c *Counter) Trips() int {
	n := 0
	for _, calls := range c.Calls() {
		n += calls
	}
	return n
}

// Calls returns how many calls there have been since the last Reset, by the name of the method. Methods that were not
// called are left out. The map is the caller's.
func (c *Counter) Calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

// Reset makes the Counter begin again at zero.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
}
