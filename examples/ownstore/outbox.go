package ownstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ostiary/auth/store"
)

// post adds messages to the outbox.
func (st *state) post(messages []store.Message) error {
	for _, m := range messages {
		if first(st.Messages, func(o *store.Message) bool { return o.ID == m.ID }) != nil {
			return store.ErrConflict{Field: store.FieldID}
		}
		st.Messages = append(st.Messages, m)
	}
	return nil
}

// PutMessages implements [store.Store].
func (s *Store) PutMessages(ctx context.Context, messages []store.Message) error {
	return s.do(ctx, func(st *state) error { return st.post(messages) })
}

// ClaimMessages implements [store.Store].
func (s *Store) ClaimMessages(ctx context.Context, c store.MessageClaim) (claimed []store.Message, err error) {
	err = s.do(ctx, func(st *state) error {
		claimed = nil
		slices.SortStableFunc(st.Messages, func(a, b store.Message) int { return a.NextAt.Compare(b.NextAt) })
		for i := range st.Messages {
			m := &st.Messages[i]
			mine := c.Channel == "" && !slices.Contains(c.Except, m.Channel) || c.Channel != "" && c.Channel == m.Channel
			if len(claimed) < c.Limit && mine && !m.Dead && !m.NextAt.After(c.Now) {
				m.Attempts, m.NextAt = m.Attempts+1, c.Until
				claimed = append(claimed, *m)
			}
		}
		return nil
	})
	return claimed, err
}

// SettleMessage implements [store.Store].
func (s *Store) SettleMessage(ctx context.Context, t store.Settlement) error {
	return s.do(ctx, func(st *state) error {
		m := first(st.Messages, func(m *store.Message) bool { return m.ID == t.ID })
		switch {
		case m == nil:
		case t.Delivered:
			drop(&st.Messages, func(m *store.Message) bool { return m.ID == t.ID })
		case t.Dead:
			m.Dead = true
		default:
			m.NextAt = t.RetryAt
		}
		return nil
	})
}

// Outbox implements [store.Store].
func (s *Store) Outbox(ctx context.Context, now time.Time) (o store.OutboxState, err error) {
	err = s.do(ctx, func(st *state) error {
		o = store.OutboxState{}
		for _, m := range st.Messages {
			switch {
			case m.Dead:
				o.Dead++
			case m.NextAt.After(now):
				o.Waiting++
			default:
				o.Due++
				if o.DueSince.IsZero() || m.NextAt.Before(o.DueSince) {
					o.DueSince = m.NextAt
				}
			}
		}
		return nil
	})
	return o, err
}

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, a store.Append) (head []byte, appended bool, err error) {
	err = s.do(ctx, func(st *state) error {
		if head, appended = st.Head, string(st.Head) == string(a.After); !appended {
			return nil
		}
		drop(&st.Events, func(e *store.Event) bool { return a.Through != 0 && e.Seq <= a.Through })
		for _, e := range a.Events {
			if first(st.Events, func(o *store.Event) bool { return o.Seq == e.Seq }) != nil {
				return store.ErrConflict{Field: store.FieldID}
			}
			st.Events = append(st.Events, e)
		}
		st.Head, head = a.Head, a.Head
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return slices.Clone(head), appended, nil
}

// Events implements [store.Store].
func (s *Store) Events(ctx context.Context, q store.EventQuery) (events []store.Event, err error) {
	listed := func(a, b store.EventKey) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Seq, a.Seq)) }
	key := func(e *store.Event) store.EventKey { return store.EventKey{At: e.At, Seq: e.Seq} }
	err = s.do(ctx, func(st *state) error {
		events = some(st.Events, func(e *store.Event) bool {
			return (q.UserID == e.UserID || q.UserID == [16]byte{}) && (q.Type == "" || q.Type == e.Type) && !e.At.Before(q.From) &&
				(q.Before == store.EventKey{} || listed(key(e), q.Before) > 0)
		})
		return nil
	})
	slices.SortFunc(events, func(a, b store.Event) int { return listed(key(&a), key(&b)) })
	return events[:min(q.Limit, len(events))], err
}

// Trail implements [store.Store].
func (s *Store) Trail(ctx context.Context, from int64, limit int) (head []byte, events []store.Event, err error) {
	err = s.do(ctx, func(st *state) error {
		head, events = st.Head, some(st.Events, func(e *store.Event) bool { return e.Seq >= from })
		return nil
	})
	slices.SortFunc(events, func(a, b store.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return head, events[:min(limit, len(events))], err
}
