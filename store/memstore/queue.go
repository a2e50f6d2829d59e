package memstore

import (
	"container/heap"
	"time"

	"github.com/google/uuid"
)

// queue knows which of many records ends first, so that a purge need not look at the others. The time that it holds for
// a record is a lower bound: what most often happens to an end is that it moves on, and then the queue is not told.
type queue struct {
	entries   []entry // a heap by at
	positions map[uuid.UUID]int
}

type entry struct {
	at int64 // see micros
	id uuid.UUID
}

// micros is the first full microsecond since 1970 that is not before t.
func micros(t time.Time) int64 {
	if t.Nanosecond()%int(time.Microsecond) != 0 {
		return t.UnixMicro() + 1
	}
	return t.UnixMicro()
}

func newQueue() *queue { return &queue{positions: map[uuid.UUID]int{}} }

// first returns the entry with the earliest time.
func (q *queue) first() (entry, bool) {
	if len(q.entries) == 0 {
		return entry{}, false
	}
	return q.entries[0], true
}

// get returns the time of id.
func (q *queue) get(id uuid.UUID) (int64, bool) {
	i, ok := q.positions[id]
	if !ok {
		return 0, false
	}
	return q.entries[i].at, true
}

// set gives id the time at, whether it was in the queue or not.
func (q *queue) set(id uuid.UUID, at int64) {
	if i, ok := q.positions[id]; ok {
		q.entries[i].at = at
		heap.Fix(q, i)
		return
	}
	heap.Push(q, entry{at, id})
}

// remove takes id from the queue, if it is there.
func (q *queue) remove(id uuid.UUID) {
	if i, ok := q.positions[id]; ok {
		heap.Remove(q, i)
	}
}

// Len, Less, Swap, Push and Pop implement [heap.Interface].

func (q *queue) Len() int { return len(q.entries) }

func (q *queue) Less(i, j int) bool { return q.entries[i].at < q.entries[j].at }

func (q *queue) Swap(i, j int) {
	q.entries[i], q.entries[j] = q.entries[j], q.entries[i]
	q.positions[q.entries[i].id] = i
	q.positions[q.entries[j].id] = j
}

func (q *queue) Push(x any) {
	e := x.(entry)
	q.positions[e.id] = len(q.entries)
	q.entries = append(q.entries, e)
}

func (q *queue) Pop() any {
	last := len(q.entries) - 1
	e := q.entries[last]
	q.entries = q.entries[:last]
	delete(q.positions, e.id)
	return e
}
