package breach

import (
	"container/list"
	"sync"
	"time"
)

// A cache keeps the ranges that were used last, each for a limited time. It is
// safe for concurrent use.
type cache struct {
	size int
	ttl  time.Duration
	now  func() time.Time

	mu     sync.Mutex
	byUse  list.List // of *cached, the last used first
	lookup map[string]*list.Element
}

type cached struct {
	prefix  string
	hashes  leaked
	expires time.Time
}

func newCache(size int, ttl time.Duration, now func() time.Time) *cache {
	return &cache{size: size, ttl: ttl, now: now, lookup: make(map[string]*list.Element)}
}

func (c *cache) get(prefix string) (leaked, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.lookup[prefix]
	if !ok {
		return nil, false
	}
	entry := e.Value.(*cached)
	if !c.now().Before(entry.expires) {
		c.drop(e)
		return nil, false
	}
	c.byUse.MoveToFront(e)
	return entry.hashes, true
}

func (c *cache) put(prefix string, hashes leaked) {
	if c.size == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.lookup[prefix]; ok {
		c.drop(e)
	}
	for c.byUse.Len() >= c.size {
		c.drop(c.byUse.Back())
	}
	c.lookup[prefix] = c.byUse.PushFront(&cached{prefix, hashes, c.now().Add(c.ttl)})
}

// drop removes an element. The caller holds c.mu.
func (c *cache) drop(e *list.Element) {
	delete(c.lookup, e.Value.(*cached).prefix)
	c.byUse.Remove(e)
}
