package memstore

import (
	"context"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// RotateSession implements [store.Store].
func (s *Store) RotateSession(ctx context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.RotatedSession{}, err
	}
	defer s.leave(w)
	for _, candidate := range r.Candidates {
		v, ok := s.sessions[candidate.ID]
		if !ok {
			continue
		}
		if !live(v.ExpiresAt, r.Now) {
			s.removeSession(v)
			continue
		}
		outcome, after := s.rotate(v, candidate.Generation, &r)
		answer := store.RotatedSession{
			Outcome: outcome, Session: cloneSession(after), User: cloneUser(s.users[v.UserID]),
		}
		if outcome == store.Rotated {
			answer.Before = store.SessionState{
				Generation: v.Generation, RotatedAt: v.RotatedAt, ExpiresAt: v.ExpiresAt, Address: v.Address,
			}
		}
		return answer, nil
	}
	return store.RotatedSession{}, store.ErrNotFound
}

// rotate decides what becomes of a live session of which a generation is presented, and returns it as it is then.
func (s *Store) rotate(v *store.Session, presented uint32, r *store.SessionRotation) (store.Outcome, *store.Session) {
	if s.users[v.UserID].Disabled {
		return store.UserDisabled, v
	}
	if presented >= v.Generation {
		next := *v
		next.Generation = presented + 1
		next.RotatedAt = r.Now
		next.ExpiresAt = r.Now.Add(r.Idle)
		if next.ExpiresAt.After(v.EndsAt) {
			next.ExpiresAt = v.EndsAt
		}
		if r.Address != "" {
			next.Address = r.Address
		}
		s.replaceSession(&next)
		return store.Rotated, &next
	}
	age := r.Now.Sub(v.RotatedAt)
	if presented == v.Generation-1 && age <= r.Grace && -age <= r.Skew {
		return store.Repeated, v
	}
	s.removeSession(v)
	return store.Reused, v
}

// UnrotateSession implements [store.Store].
func (s *Store) UnrotateSession(ctx context.Context, r store.RotatedSession) error {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	if v, ok := s.sessions[r.Session.ID]; ok && v.Generation == r.Session.Generation {
		previous := *v
		previous.Generation, previous.RotatedAt = r.Before.Generation, r.Before.RotatedAt
		previous.ExpiresAt, previous.Address = r.Before.ExpiresAt, r.Before.Address
		s.replaceSession(&previous)
	}
	return nil
}

// EndSessions implements [store.Store].
func (s *Store) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (int, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer s.leave(w)
	n := 0
	for _, id := range ids {
		if v, ok := s.sessions[id]; ok && (owner == uuid.Nil || v.UserID == owner) {
			s.removeSession(v)
			n++
		}
	}
	return n, nil
}
