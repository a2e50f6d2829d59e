package auth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

const (
	// auditTime is how long writing events may take, and auditPatience how long a call waits for its own to be written, by
	// itself or by another.
	auditTime     = 5 * time.Second
	auditPatience = 2 * auditTime
	// auditQueue is how many events can wait to be written, and so how many are written at once at most.
	auditQueue = 1000
	// auditText is to how many bytes texts of events are cut.
	auditText = 512
)

// auditSink writes events to the audit trail. While one call writes, the events of others gather; the next to come writes
// them all.
type auditSink struct {
	engine *Engine
	chain  auditChain
	omit   map[EventType]bool

	turn     chan struct{} // held by who writes
	head     []byte        // of the trail when it was last seen; for the holder of turn
	resealed bool          // the head is under the present secret; for the holder of turn

	mu    sync.Mutex
	queue []*auditEntry
	lost  int // events that were lost and of which the trail does not tell yet
}

// auditEntry is an event that waits to be written.
type auditEntry struct {
	event Event
	done  chan struct{} // closed when it was written or lost
}

func newAuditSink(e *Engine) *auditSink {
	s := &auditSink{engine: e, chain: auditChain{e.box}, omit: map[EventType]bool{EventAuditLost: true}, turn: make(chan struct{}, 1)}
	for _, t := range e.config.Audit.Omit {
		s.omit[t] = true
	}
	return s
}

// Emit returns when the event has been written, or cannot be. One that belongs to a transaction of the service's waits for the
// next event or loop: its transaction may hold what the write needs, and is not the trail's to wait for.
func (s *auditSink) Emit(ctx context.Context, ev Event) {
	// Attempts to deliver a webhook are many where an endpoint is down, and end in an event that is written.
	if s.omit[ev.Type] || ev.Type == EventMessageFailed && isWebhook(ev.Method) {
		return
	}
	entry := &auditEntry{event: ev, done: make(chan struct{})}
	s.mu.Lock()
	full := len(s.queue) >= auditQueue
	if !full {
		s.queue = append(s.queue, entry)
	}
	s.mu.Unlock()
	switch {
	case full:
		s.lose([]*auditEntry{entry}, errors.New("too many events wait to be written"))
		return
	case s.engine.store.Joined(ctx):
		rouse(s.engine.outbox.tend)
		return
	}
	select {
	case <-entry.done:
	case s.turn <- struct{}{}:
		_ = s.write() // what is lost has been told
	case <-time.After(auditPatience):
		if s.withdraw(entry) {
			s.lose([]*auditEntry{entry}, context.DeadlineExceeded)
		}
	}
}

// withdraw takes an entry from the queue, unless somebody is already writing it.
func (s *auditSink) withdraw(entry *auditEntry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.queue {
		if other == entry {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			return true
		}
	}
	return false
}

// flush writes all events that wait. The context is for the waiting: who has begun to write ends it, for the events are others'.
func (s *auditSink) flush(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	return s.write()
}

// take waits for the turn to write.
func (s *auditSink) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write writes all events that wait, and gives the turn, which the caller has, to the next.
func (s *auditSink) write() error {
	s.mu.Lock()
	entries, lost := s.queue, s.lost
	s.queue = nil
	s.mu.Unlock()
	err := guard(func() error { return s.writeAll(entries, lost) })
	for _, entry := range entries {
		close(entry.done)
	}
	<-s.turn
	if err != nil {
		s.lose(entries, err)
	}
	return err
}

func (s *auditSink) writeAll(entries []*auditEntry, lost int) error {
	if len(entries) == 0 {
		return nil
	}
	events := make([]store.Event, 0, len(entries)+1)
	if lost > 0 {
		events = append(events, s.row(Event{ID: uuid.New(), Type: EventAuditLost, At: s.engine.now(), Detail: strconv.Itoa(lost)}))
	}
	for _, entry := range entries {
		events = append(events, s.row(entry.event))
	}
	ctx, cancel := auditContext()
	defer cancel()
	if err := s.append(ctx, events, nil); err != nil {
		return err
	}
	s.mu.Lock()
	s.lost -= lost
	s.mu.Unlock()
	return nil
}

// auditContext is a context for calls of the store that belong to no transaction, whoever makes them, and end in time.
func auditContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), auditTime)
}

// auditCut removes the beginning of a trail: what comes after one event, which is the base so far, up to another.
type auditCut struct{ after, through AuditAnchor }

// append writes events to the end of the trail, wherever that is by now, and makes the cut, unless it is nil or somebody else
// has made one meanwhile.
func (s *auditSink) append(ctx context.Context, events []store.Event, cut *auditCut) error {
	failed := false
	var seen int64
	for {
		a := store.Append{After: s.head, Events: events}
		head, err := s.chain.decode(s.head)
		if err != nil {
			s.head = nil
			return err
		}
		if head.last.Seq < seen {
			s.engine.config.Logger.ErrorContext(ctx, "the audit trail was set back",
				slog.Int64("from", seen), slog.Int64("to", head.last.Seq))
		}
		seen = head.last.Seq
		if cut != nil {
			if head.base != cut.after {
				return nil
			}
			head.base, a.Through = cut.through, cut.through.Seq
		}
		for i := range events {
			events[i].Seq = head.last.Seq + 1
			head.last = s.chain.link(head.last, &events[i])
			events[i].Link = bytes.Clone(head.last.Link[:])
		}
		a.Head = s.chain.encode(head)
		again, err := s.extend(ctx, a, &failed)
		if !again {
			return err
		}
	}
}

// extend changes the trail. It reports that it is to be tried again from the head that the trail has now. A first failure is
// forgiven: where only the answer was lost, the head that is found then is the wanted one.
func (s *auditSink) extend(ctx context.Context, a store.Append, failed *bool) (again bool, err error) {
	for {
		head, appended, err := s.engine.store.AppendEvents(ctx, a)
		if err != nil {
			if *failed || ctx.Err() != nil {
				return false, err
			}
			*failed = true
			continue
		}
		s.head = head
		switch {
		case appended || bytes.Equal(head, a.Head):
			return false, nil
		case bytes.Equal(head, a.After):
			return false, &AuditFault{Problem: AuditHeadInvalid} // there is no place for one
		}
		return true, nil
	}
}

// row is an event as the trail has it: what every store can keep, to the last bit.
func (s *auditSink) row(ev Event) store.Event {
	return store.Event{
		ID: ev.ID, At: ev.At, Type: plain(string(ev.Type)), UserID: ev.UserID, SessionID: ev.SessionID,
		Address: plain(ev.Client.address()), Method: plain(ev.Method), Code: plain(string(ev.Code)), Detail: plain(ev.Detail),
	}
}

// plain returns a text without control characters, cut where it is long.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\uFFFD' {
			return -1
		}
		return r
	}, text)
	if len(text) > auditText {
		text = strings.ToValidUTF8(text[:auditText], "")
	}
	return text
}

// lose tells of events that are not in the trail: the log what they were, the other sinks and, later, the trail how many. If
// the store failed at the last moment they may be there all the same.
func (s *auditSink) lose(entries []*auditEntry, err error) {
	s.mu.Lock()
	s.lost += len(entries)
	s.mu.Unlock()
	ctx := context.Background()
	for _, entry := range entries {
		s.engine.config.Logger.LogAttrs(ctx, slog.LevelError, "event is not in the audit trail",
			append(entry.event.attrs(), slog.String("event", string(entry.event.Type)), slog.Any("error", err))...)
	}
	s.engine.emit(ctx, Event{Type: EventAuditLost, Detail: strconv.Itoa(len(entries))})
}
