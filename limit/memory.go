package limit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"
)

// defaultMaxEntries take up to 17 MB.
const defaultMaxEntries = 100_000

// MemoryConfig configures a [Memory]. Its zero value works.
type MemoryConfig struct {
	// MaxEntries is how many buckets are kept at most, of those that are not full. The default is 100000.
	// An entry takes up to 170 bytes.
	MaxEntries int

	// Now is the clock. The default is [time.Now]. It must be safe for concurrent use and must not call the Memory.
	Now func() time.Time
}

// Memory is a [Limiter] within one process: a restart forgets everything, and of several replicas each has budgets of its
// own. It has no goroutine, and is not disturbed when the time of day is set.
//
// # When there are too many buckets
//
// A bucket that is full again is the same as one that has never been used, and is forgotten. If a new bucket finds no room
// although all of those have been forgotten, someone must lose, and what an attacker gets who floods the limiter with new
// keys should not be a new budget for the key that is attacked:
//
//   - A bucket that is exhausted, with less than one left, is never forgotten.
//   - Of eight that are picked at random, the one goes that has used the smallest part of its budget. So, to have a bucket
//     forgotten of which some part is used, most of the others have to be used as much.
//   - If all of them are exhausted, the new bucket cannot be counted: [ErrUnavailable], or [Take.FailOpen]. That holds until
//     some are full again.
//
// The first thing to do about it is more room: choose MaxEntries above what can be used within the longest Per of a rate.
// Calls that are refused make no entries, so that a bucket for the client in the same call holds back a flood from few
// clients. Buckets that strangers fill should not share a Memory with those that must never fail.
type Memory struct {
	now    func() time.Time
	start  time.Time
	seed   [32]byte // so that nobody knows which keys share a shard
	shards []shard  // a power of two of them
}

// NewMemory returns a limiter whose buckets are full.
func NewMemory(c MemoryConfig) *Memory {
	if c.MaxEntries <= 0 {
		c.MaxEntries = defaultMaxEntries
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	n := 1
	for n < maxShards && c.MaxEntries/(2*n) >= minPerShard {
		n *= 2
	}
	m := &Memory{now: c.Now, start: c.Now(), shards: make([]shard, n)}
	_, _ = rand.Read(m.seed[:]) // never fails
	for i := range m.shards {
		m.shards[i].max = c.MaxEntries / n
		m.shards[i].index = make(map[name]int32)
	}
	return m
}

const (
	maxShards   = 64
	minPerShard = 1024 // so that none is full long before the others
	sample      = 8    // how many entries are looked at to find one to forget
	few         = 64   // so many that all of them are looked at
)

var errFull = errors.New("too many buckets in use")

// Take implements [Limiter].
func (m *Memory) Take(ctx context.Context, takes ...Take) (Decision, error) {
	if err := Check(takes...); err != nil {
		return Decision{}, err
	}
	if err := ctx.Err(); err != nil {
		return Decision{}, fmt.Errorf("limit: %w", err)
	}
	var array [MaxTakes]draft
	drafts := array[:len(takes)]
	m.name(drafts, takes)
	locked := m.lock(drafts)
	defer locked.unlock(m)
	now := m.now().Sub(m.start).Microseconds() // monotonic, if the clock is

	var d Decision
	for i := range drafts {
		f, s := &drafts[i], m.shard(drafts[i].name)
		owed := s.owes(f.name, now, f.terms)
		after, wait := f.terms.take(owed, takes[i].Amount())
		f.after = after
		if takes[i].Peek {
			after, f.after = owed, owed
		}
		d.add(&takes[i], f.terms, after, wait)
	}
	if !d.Allowed {
		return d, nil
	}

	// From here on nothing fails but finding room, so that comes first.
	for i := range drafts {
		f, s := &drafts[i], m.shard(drafts[i].name)
		if _, exists := s.index[f.name]; exists || f.after == 0 {
			continue
		}
		switch {
		case s.room(now, drafts):
			s.insert(f.name)
			s.set(f.name, now, f.after, f.terms)
			f.inserted = true
		case takes[i].FailOpen:
			f.after = 0
			d.Degraded = true
		default:
			for j := range drafts[:i] {
				if drafts[j].inserted {
					m.shard(drafts[j].name).remove(drafts[j].name)
				}
			}
			return Unavailable(errFull, takes[i])
		}
	}
	for i := range drafts {
		if f := &drafts[i]; !takes[i].Peek && !f.inserted {
			m.shard(f.name).set(f.name, now, f.after, f.terms)
		}
	}
	return d, nil
}

// Len returns how many buckets are kept, of which some may be full again.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}

// name is the hash of a bucket's name and key, half of a SHA-256.
type name [16]byte

// draft is what will become of one bucket if the call is allowed.
type draft struct {
	name     name
	terms    terms
	after    int64 // what it owes then
	inserted bool
}

func (m *Memory) name(drafts []draft, takes []Take) {
	var text [len(m.seed) + MaxBucket + 1 + MaxKey]byte
	for i := range takes {
		b := append(text[:0], m.seed[:]...)
		b = append(b, takes[i].Bucket...)
		b = append(b, 0) // is in no name
		b = append(b, takes[i].Key...)
		sum := sha256.Sum256(b)
		drafts[i].name = name(sum[:])
		drafts[i].terms = newTerms(takes[i].Rate)
	}
}

// number returns which shard a name is in.
func (m *Memory) number(n name) int {
	return int(binary.LittleEndian.Uint32(n[:]) & uint32(len(m.shards)-1))
}

func (m *Memory) shard(n name) *shard { return &m.shards[m.number(n)] }

// locked are the numbers of shards that are locked.
type locked struct {
	numbers [MaxTakes]uint8
	n       int
}

// lock locks the shards of all drafts, in the order of their numbers, so that calls which need several never wait for each
// other in a circle.
func (m *Memory) lock(drafts []draft) (l locked) {
	for i := range drafts {
		l.numbers[i] = uint8(m.number(drafts[i].name))
	}
	slices.Sort(l.numbers[:len(drafts)])
	l.n = len(slices.Compact(l.numbers[:len(drafts)]))
	for _, i := range l.numbers[:l.n] {
		m.shards[i].mu.Lock()
	}
	return l
}

func (l *locked) unlock(m *Memory) {
	for _, i := range l.numbers[:l.n] {
		m.shards[i].mu.Unlock()
	}
}

// shard is a part of the buckets. Entries have no order; queue has their positions as a heap, the one first that is full
// again first. Both are slices, so that an entry is found, picked at random and removed without a walk.
type shard struct {
	mu      sync.Mutex
	max     int
	index   map[name]int32 // position in entries
	entries []entry
	queue   []int32
}

type entry struct {
	name
	debt
	full   int64 // when the bucket is full again
	terms  terms
	queued int32 // position in queue
}

// owes returns what a bucket owes. One that is full again is forgotten, so that an entry which exists owes something.
func (s *shard) owes(n name, now int64, t terms) int64 {
	i, exists := s.index[n]
	if !exists {
		return 0
	}
	owed := s.entries[i].owes(now, t)
	// The clock was set back. What was taken at a time that has yet to come must not be owed until then and longer.
	if owed == 0 || s.entries[i].at > now {
		s.set(n, now, owed, t)
	}
	return owed
}

// set makes a bucket owe so much. One that owes nothing is no entry.
func (s *shard) set(n name, now, owed int64, t terms) {
	if owed == 0 {
		s.remove(n)
		return
	}
	e := &s.entries[s.index[n]]
	e.debt = debt{at: now, owed: owed, back: t.back}
	e.full = now + ceil(owed, t.back)
	e.terms = t
	s.fix(e.queued)
}

// room reports whether there is room for another entry, and makes it if need be. It keeps those of drafts.
func (s *shard) room(now int64, drafts []draft) bool {
	// Two for each that is new, so that what nobody uses again goes sooner or later.
	for range 2 {
		if len(s.queue) > 0 && s.entries[s.queue[0]].full <= now {
			s.remove(s.entries[s.queue[0]].name)
		}
	}
	if len(s.entries) < s.max {
		return true
	}
	victim, least := -1, 0.0
	looks := len(s.entries)
	if looks > few {
		looks = sample
	}
	for i := range looks {
		if looks < len(s.entries) {
			i = mathrand.IntN(len(s.entries))
		}
		e := &s.entries[i]
		owed := e.owes(now, e.terms)
		if owed > e.terms.whole-e.terms.token || slices.ContainsFunc(drafts, func(f draft) bool { return f.name == e.name }) {
			continue
		}
		if used := float64(owed) / float64(e.terms.whole); victim < 0 || used < least {
			victim, least = i, used
		}
	}
	if victim < 0 {
		return false
	}
	s.remove(s.entries[victim].name)
	return true
}

// insert adds an entry, which has to be set at once.
func (s *shard) insert(n name) {
	i := int32(len(s.entries))
	s.index[n] = i
	s.entries = append(s.entries, entry{name: n, queued: i})
	s.queue = append(s.queue, i)
	s.fix(i)
}

// remove removes an entry if there is one.
func (s *shard) remove(n name) {
	i, exists := s.index[n]
	if !exists {
		return
	}
	last := int32(len(s.entries) - 1)
	at := s.entries[i].queued
	s.swap(at, last)
	s.queue = s.queue[:last]
	if at < last {
		s.fix(at)
	}
	if i < last {
		s.entries[i] = s.entries[last]
		s.index[s.entries[i].name] = i
		s.queue[s.entries[i].queued] = i
	}
	s.entries = s.entries[:last]
	delete(s.index, n)
}

// fix moves what is at position i of the queue to where it belongs.
func (s *shard) fix(i int32) {
	for i > 0 && s.before(i, (i-1)/2) {
		s.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		next := 2*i + 1
		if next+1 < int32(len(s.queue)) && s.before(next+1, next) {
			next++
		}
		if next >= int32(len(s.queue)) || !s.before(next, i) {
			return
		}
		s.swap(i, next)
		i = next
	}
}

func (s *shard) before(i, j int32) bool {
	return s.entries[s.queue[i]].full < s.entries[s.queue[j]].full
}

func (s *shard) swap(i, j int32) {
	s.queue[i], s.queue[j] = s.queue[j], s.queue[i]
	s.entries[s.queue[i]].queued = i
	s.entries[s.queue[j]].queued = j
}
