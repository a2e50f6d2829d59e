package otelauth

import "sync"

// memo makes a value for each of a few keys once.
type memo[K comparable, V any] struct {
	make  func(K) V
	mu    sync.RWMutex
	known map[K]V
}

func (m *memo[K, V]) of(k K) V {
	m.mu.RLock()
	v, ok := m.known[k]
	m.mu.RUnlock()
	if ok {
		return v
	}
	v = m.make(k)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[K]V{}
	}
	m.known[k] = v
	return v
}
