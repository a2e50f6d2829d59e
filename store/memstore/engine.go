package memstore

import (
	"cmp"
	"context"
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

// ClaimMessages implements [store.Store]. It looks at the whole outbox.
func (s *Store) ClaimMessages(ctx context.Context, now, until time.Time, limit int) ([]store.Message, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.leave(w)
	var due []*store.Message
	for _, m := range s.outbox {
		if !m.Dead && !m.NextAt.After(now) {
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b *store.Message) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), compareIDs(a.ID, b.ID))
	})
	claimed := make([]store.Message, min(limit, len(due)))
	for i := range claimed {
		m := *due[i]
		m.Attempts++
		m.NextAt = until
		put(&s.journal, s.outbox, m.ID, &m)
		claimed[i] = cloneMessage(&m)
	}
	return claimed, nil
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

// AppendEvents implements [store.Store].
func (s *Store) AppendEvents(ctx context.Context, events []store.Event) error {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	for i := range events {
		e := cloneEvent(&events[i])
		e.Seq = int64(len(s.events)) + 1
		push(&s.journal, &s.events, e)
	}
	return nil
}

// Events implements [store.Store]. A page of one user or type costs the reading of the trail between its events.
func (s *Store) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.leave(w)
	end := int64(len(s.events))
	if q.Before > 0 {
		end = min(end, q.Before-1)
	}
	var page []store.Event
	for i := end - 1; i >= 0 && len(page) < q.Limit; i-- {
		e := &s.events[i]
		if (q.UserID == uuid.Nil || q.UserID == e.UserID) && (q.Type == "" || q.Type == e.Type) {
			page = append(page, cloneEvent(e))
		}
	}
	return page, nil
}
