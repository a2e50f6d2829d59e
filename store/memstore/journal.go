package memstore

import (
	"time"

	"github.com/google/uuid"
)

// journal remembers how to take back what has been written. All writes go through the functions of this file.
type journal struct {
	recording bool // off for operations of which nothing can fail once they write
	undo      []func()
}

// rollBack takes back everything written since the journal had mark entries.
func (j *journal) rollBack(mark int) {
	for i := len(j.undo) - 1; i >= mark; i-- {
		j.undo[i]()
	}
	clear(j.undo[mark:])
	j.undo = j.undo[:mark]
}

// forget makes everything written final.
func (j *journal) forget() {
	clear(j.undo)
	j.undo = j.undo[:0]
}

// put sets m[k].
func put[K comparable, V any](j *journal, m map[K]V, k K, v V) {
	if j.recording {
		old, had := m[k]
		j.undo = append(j.undo, func() {
			if had {
				m[k] = old
			} else {
				delete(m, k)
			}
		})
	}
	m[k] = v
}

// remove deletes m[k].
func remove[K comparable, V any](j *journal, m map[K]V, k K) {
	if j.recording {
		if old, had := m[k]; had {
			j.undo = append(j.undo, func() { m[k] = old })
		}
	}
	delete(m, k)
}

// An index holds the keys of the records that belong together.
type index[G, K comparable] map[G]map[K]struct{}

// link adds k to the group g.
func link[G, K comparable](j *journal, m index[G, K], g G, k K) {
	group := m[g]
	if group == nil {
		group = map[K]struct{}{}
		put(j, m, g, group)
	}
	put(j, group, k, struct{}{})
}

// unlink takes k from the group g.
func unlink[G, K comparable](j *journal, m index[G, K], g G, k K) {
	group := m[g]
	remove(j, group, k)
	if len(group) == 0 {
		remove(j, m, g)
	}
}

// replace gives a variable another value.
func replace[T any](j *journal, p *T, v T) {
	if j.recording {
		old := *p
		j.undo = append(j.undo, func() { *p = old })
	}
	*p = v
}

// push adds v to the end of list.
func push[T any](j *journal, list *[]T, v T) {
	if j.recording {
		n := len(*list)
		j.undo = append(j.undo, func() { *list = (*list)[:n] })
	}
	*list = append(*list, v)
}

// enqueue makes id come up in q no later than at.
func enqueue(j *journal, q *queue, id uuid.UUID, at time.Time) {
	if old, had := q.get(id); !had || old > micros(at) {
		requeue(j, q, id, at)
	}
}

// requeue gives id the time at in q.
func requeue(j *journal, q *queue, id uuid.UUID, at time.Time) {
	if j.recording {
		old, had := q.get(id)
		j.undo = append(j.undo, func() {
			if had {
				q.set(id, old)
			} else {
				q.remove(id)
			}
		})
	}
	q.set(id, micros(at))
}

// dequeue takes id from q.
func dequeue(j *journal, q *queue, id uuid.UUID) {
	old, had := q.get(id)
	if !had {
		return
	}
	if j.recording {
		j.undo = append(j.undo, func() { q.set(id, old) })
	}
	q.remove(id)
}
