package authtest

import (
	"context"
	"slices"
	"sync"

	"github.com/ostiary/auth"
)

// Events is an [auth.EventSink] that remembers. It is safe for concurrent use, and the zero value is ready.
type Events struct {
	mu     sync.Mutex
	events []auth.Event
}

// Emit implements [auth.EventSink].
func (e *Events) Emit(_ context.Context, event auth.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, event)
}

// All returns all events in the order of their arrival.
func (e *Events) All() []auth.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

// Of returns the events of the given types in the order of their arrival.
func (e *Events) Of(types ...auth.EventType) []auth.Event {
	return slices.DeleteFunc(e.All(), func(event auth.Event) bool { return !slices.Contains(types, event.Type) })
}
