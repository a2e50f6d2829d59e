package memstore

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// This file keeps what belongs to the engine and not to a user.

// SigningKeys implements [store.Store].
func (s *Store) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.leave(w)
	var list []store.SigningKey
	for _, k := range s.signingKeys {
		if live(k.ExpiresAt, now) {
			list = append(list, cloneSigningKey(k))
		}
	}
	slices.SortFunc(list, func(a, b store.SigningKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// AddSigningKey implements [store.Store].
func (s *Store) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (bool, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer s.leave(w)
	for _, other := range s.signingKeys {
		if other.CreatedAt.After(since) {
			return false, nil
		}
	}
	if _, taken := s.signingKeys[k.ID]; taken {
		return false, store.ErrConflict{Field: store.FieldID}
	}
	c := cloneSigningKey(&k)
	put(&s.journal, s.signingKeys, k.ID, &c)
	return true, nil
}

// ExpireSigningKey implements [store.Store].
func (s *Store) ExpireSigningKey(ctx context.Context, id string, at time.Time) error {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	old, ok := s.signingKeys[id]
	if !ok {
		return store.ErrNotFound
	}
	if at.Before(old.ExpiresAt) {
		k := cloneSigningKey(old)
		k.ExpiresAt = at
		put(&s.journal, s.signingKeys, id, &k)
	}
	return nil
}

// PutMessages implements [store.Store].
func (s *Store) PutMessages(ctx context.Context, messages []store.Message) (err error) {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	return s.atomically(func() error { return s.addMessages(messages) })
}

// ClaimMessages implements [store.Store]. It looks at the whole outbox.
func (s *Store) ClaimMessages(ctx context.Context, c store.MessageClaim) ([]store.Message, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.leave(w)
	var due []*store.Message
	for _, m := range s.outbox {
		if !m.Dead && !m.NextAt.After(c.Now) && wants(&c, m.Channel) {
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b *store.Message) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), compareIDs(a.ID, b.ID))
	})
	claimed := make([]store.Message, min(c.Limit, len(due)))
	for i := range claimed {
		m := *due[i]
		m.Attempts++
		m.NextAt = c.Until
		put(&s.journal, s.outbox, m.ID, &m)
		claimed[i] = cloneMessage(&m)
	}
	return claimed, nil
}

// wants reports whether a claim is for messages of a channel.
func wants(c *store.MessageClaim, channel string) bool {
	if c.Channel != "" {
		return channel == c.Channel
	}
	return !slices.Contains(c.Except, channel)
}

// SettleMessage implements [store.Store].
func (s *Store) SettleMessage(ctx context.Context, v store.Settlement) error {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	old, ok := s.outbox[v.ID]
	switch {
	case !ok:
	case v.Delivered:
		remove(&s.journal, s.outbox, v.ID)
	default:
		m := *old
		m.Dead, m.NextAt = v.Dead, v.RetryAt
		put(&s.journal, s.outbox, m.ID, &m)
	}
	return nil
}

// Outbox implements [store.Store]. It looks at the whole outbox.
func (s *Store) Outbox(ctx context.Context, now time.Time) (store.OutboxState, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.OutboxState{}, err
	}
	defer s.leave(w)
	var o store.OutboxState
	for _, m := range s.outbox {
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
	return o, nil
}

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, a store.Append) ([]byte, bool, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer s.leave(w)
	if !bytes.Equal(s.head, a.After) {
		return bytes.Clone(s.head), false, nil
	}
	last := int64(math.MinInt64)
	if n := len(s.events); n > 0 {
		last = s.events[n-1].Seq
	}
	for i := range a.Events {
		if a.Events[i].Seq <= last {
			return nil, false, store.ErrConflict{Field: store.FieldID}
		}
		last = a.Events[i].Seq
	}
	replace(&s.journal, &s.head, bytes.Clone(a.Head))
	if a.Through != 0 {
		replace(&s.journal, &s.events, s.events[s.numbered(a.Through+1):])
	}
	for i := range a.Events {
		push(&s.journal, &s.events, cloneEvent(&a.Events[i]))
	}
	return bytes.Clone(s.head), true, nil
}

// numbered is where in the trail the events begin that have the number seq or a higher one.
func (s *Store) numbered(seq int64) int {
	i, _ := slices.BinarySearchFunc(s.events, seq, func(e store.Event, seq int64) int { return cmp.Compare(e.Seq, seq) })
	return i
}

// Events implements [store.Store]. It looks at the whole trail.
func (s *Store) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.leave(w)
	var found []*store.Event
	for i := range s.events {
		e := &s.events[i]
		if (q.UserID == uuid.Nil || q.UserID == e.UserID) && (q.Type == "" || q.Type == e.Type) && !e.At.Before(q.From) &&
			(q.Before.At.IsZero() || cmp.Or(e.At.Compare(q.Before.At), cmp.Compare(e.Seq, q.Before.Seq)) < 0) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *store.Event) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Seq, a.Seq)) })
	page := make([]store.Event, min(q.Limit, len(found)))
	for i := range page {
		page[i] = cloneEvent(found[i])
	}
	return page, nil
}

// Trail implements [store.Store].
func (s *Store) Trail(ctx context.Context, from int64, limit int) ([]byte, []store.Event, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.leave(w)
	rest := s.events[s.numbered(from):]
	page := make([]store.Event, min(limit, len(rest)))
	for i := range page {
		page[i] = cloneEvent(&rest[i])
	}
	return bytes.Clone(s.head), page, nil
}
