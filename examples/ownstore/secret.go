package ownstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// RotateSession implements [store.Store].
func (s *Store) RotateSession(ctx context.Context, r store.SessionRotation) (out store.RotatedSession, err error) {
	found := false
	err = s.do(ctx, func(st *state) error {
		out, found = store.RotatedSession{}, false
		for _, c := range r.Candidates {
			v := first(st.Sessions, func(v *store.Session) bool { return v.ID == c.ID })
			if v == nil {
				continue
			}
			if !live(v.ExpiresAt, r.Now) {
				drop(&st.Sessions, func(v *store.Session) bool { return v.ID == c.ID })
				continue
			}
			found = true
			out.User = *st.user(v.UserID)
			switch since := r.Now.Sub(v.RotatedAt); {
			case out.User.Disabled:
				out.Outcome, out.Session = store.UserDisabled, *v
			case c.Generation >= v.Generation:
				out.Outcome = store.Rotated
				out.Before = store.SessionState{Generation: v.Generation, RotatedAt: v.RotatedAt, ExpiresAt: v.ExpiresAt, Address: v.Address}
				v.Generation, v.RotatedAt, v.ExpiresAt = c.Generation+1, r.Now, r.Now.Add(r.Idle)
				if v.EndsAt.Before(v.ExpiresAt) {
					v.ExpiresAt = v.EndsAt
				}
				if r.Address != "" {
					v.Address = r.Address
				}
				out.Session = *v
			case c.Generation == v.Generation-1 && since <= r.Grace && -since <= r.Skew:
				out.Outcome, out.Session = store.Repeated, *v
			default:
				out.Outcome, out.Session = store.Reused, *v
				drop(&st.Sessions, func(v *store.Session) bool { return v.ID == c.ID })
			}
			return nil
		}
		return nil // an expired session has been removed
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return out, err
}

// UnrotateSession implements [store.Store].
func (s *Store) UnrotateSession(ctx context.Context, r store.RotatedSession) error {
	return s.do(ctx, func(st *state) error {
		v := first(st.Sessions, func(v *store.Session) bool { return v.ID == r.Session.ID && v.Generation == r.Session.Generation })
		if v != nil && r.Outcome == store.Rotated {
			v.Generation, v.RotatedAt, v.ExpiresAt, v.Address = r.Before.Generation, r.Before.RotatedAt, r.Before.ExpiresAt, r.Before.Address
		}
		return nil
	})
}

// EndSessions implements [store.Store].
func (s *Store) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (n int, err error) {
	err = s.do(ctx, func(st *state) error {
		n = drop(&st.Sessions, func(v *store.Session) bool {
			return slices.Contains(ids, v.ID) && (owner == uuid.Nil || v.UserID == owner)
		})
		return nil
	})
	return n, err
}

// PutTicket implements [store.Store].
func (s *Store) PutTicket(ctx context.Context, t store.Ticket) error {
	return s.do(ctx, func(st *state) error {
		if t.UserID != uuid.Nil && st.user(t.UserID) == nil {
			return store.ErrNotFound
		}
		return st.putTicket(t)
	})
}

func (st *state) putTicket(t store.Ticket) error {
	drop(&st.Tickets, func(o *store.Ticket) bool { return o.Kind == t.Kind && o.Slot == t.Slot })
	if first(st.Tickets, func(o *store.Ticket) bool { return o.ID == t.ID }) != nil {
		return store.ErrConflict{Field: store.FieldID}
	}
	st.Tickets = append(st.Tickets, t)
	return nil
}

// owned says whether a live ticket is one that q may mean, its secret aside.
func (st *state) owned(t *store.Ticket, q *store.TicketQuery) bool {
	if t.Kind != q.Kind || !live(t.ExpiresAt, q.Now) || t.Tries == 0 {
		return false
	}
	u := st.user(t.UserID)
	switch {
	case q.UserID != uuid.Nil:
		return t.UserID == q.UserID
	case q.EmailKey != "":
		return u != nil && u.EmailKey == q.EmailKey
	case q.Phone != "":
		return u != nil && u.Phone == q.Phone
	}
	return among(q.Hashes, t.Hash)
}

// TakeTicket implements [store.Store].
func (s *Store) TakeTicket(ctx context.Context, q store.TicketQuery) (taken store.Ticket, err error) {
	err = s.do(ctx, func(st *state) error {
		t := first(st.Tickets, func(t *store.Ticket) bool { return st.owned(t, &q) && among(q.Hashes, t.Hash) })
		if t == nil {
			return store.ErrNotFound
		}
		taken = *t
		drop(&st.Tickets, func(t *store.Ticket) bool { return t.ID == taken.ID })
		return nil
	})
	if err != nil {
		return store.Ticket{}, err
	}
	return taken, nil
}

// CheckTicket implements [store.Store].
func (s *Store) CheckTicket(ctx context.Context, q store.TicketQuery) (right store.Ticket, owner store.User, err error) {
	var refused error
	err = s.do(ctx, func(st *state) error {
		right, owner, refused = store.Ticket{}, store.User{}, store.ErrNotFound
		for i := range st.Tickets {
			t := &st.Tickets[i]
			if !st.owned(t, &q) {
				continue
			}
			if t.Tries > 0 {
				t.Tries--
			}
			switch {
			case refused == nil:
			case !among(q.Hashes, t.Hash):
				refused = store.ErrMismatch
			default:
				right, refused = *t, nil
				if u := st.user(t.UserID); u != nil {
					owner = *u
				}
			}
		}
		return nil // a try is lost also where the secret is wrong
	})
	if err == nil {
		err = refused
	}
	return right, owner, err
}

// SigningKeys implements [store.Store].
func (s *Store) SigningKeys(ctx context.Context, now time.Time) (keys []store.SigningKey, err error) {
	err = s.do(ctx, func(st *state) error {
		keys = some(st.SigningKeys, func(k *store.SigningKey) bool { return live(k.ExpiresAt, now) })
		return nil
	})
	slices.SortStableFunc(keys, func(a, b store.SigningKey) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return keys, err
}

// AddSigningKey implements [store.Store].
func (s *Store) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (added bool, err error) {
	err = s.do(ctx, func(st *state) error {
		added = false
		if first(st.SigningKeys, func(o *store.SigningKey) bool { return o.CreatedAt.After(since) }) != nil {
			return nil
		}
		if first(st.SigningKeys, func(o *store.SigningKey) bool { return o.ID == k.ID }) != nil {
			return store.ErrConflict{Field: store.FieldID}
		}
		st.SigningKeys, added = append(st.SigningKeys, k), true
		return nil
	})
	return added, err
}

// ExpireSigningKey implements [store.Store].
func (s *Store) ExpireSigningKey(ctx context.Context, id string, at time.Time) error {
	return s.do(ctx, func(st *state) error {
		k := first(st.SigningKeys, func(k *store.SigningKey) bool { return k.ID == id })
		if k == nil {
			return store.ErrNotFound
		}
		if at.Before(k.ExpiresAt) {
			k.ExpiresAt = at
		}
		return nil
	})
}
