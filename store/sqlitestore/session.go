package sqlitestore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// RotateSession implements [store.Store].
func (s *Store) RotateSession(ctx context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	var answer store.RotatedSession
	err := s.write(ctx, func(o *op) error {
		for _, candidate := range r.Candidates {
			v := &answer.Session
			found, err := o.row(sessionAndUser, append(userDest(&answer.User), sessionDest(v)...), candidate.ID[:])
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			if !r.Now.Before(v.ExpiresAt) {
				if _, err := o.exec(removeSession, v.ID[:]); err != nil {
					return err
				}
				continue
			}
			before := store.SessionState{
				Generation: v.Generation, RotatedAt: v.RotatedAt, ExpiresAt: v.ExpiresAt, Address: v.Address,
			}
			answer.Outcome, err = o.rotate(v, candidate.Generation, answer.User.Disabled, &r)
			if answer.Outcome == store.Rotated {
				answer.Before = before
			}
			return err
		}
		return nil // what has expired is removed
	})
	if err != nil {
		return store.RotatedSession{}, err
	}
	if answer.Outcome == 0 {
		return store.RotatedSession{}, store.ErrNotFound
	}
	return answer, nil
}

// rotate decides what becomes of a live session of which a generation is presented, and does it.
func (o *op) rotate(v *store.Session, presented uint32, disabled bool, r *store.SessionRotation) (store.Outcome, error) {
	if disabled {
		return store.UserDisabled, nil
	}
	if presented >= v.Generation {
		v.Generation = presented + 1
		v.RotatedAt = r.Now
		v.ExpiresAt = r.Now.Add(r.Idle).Truncate(time.Microsecond)
		if v.ExpiresAt.After(v.EndsAt) {
			v.ExpiresAt = v.EndsAt
		}
		if r.Address != "" {
			v.Address = r.Address
		}
		_, err := o.exec(rotateSession, v.Generation, micros(v.RotatedAt), v.Address, micros(v.ExpiresAt), v.ID[:])
		return store.Rotated, err
	}
	age := r.Now.Sub(v.RotatedAt)
	if presented == v.Generation-1 && age <= r.Grace && -age <= r.Skew {
		return store.Repeated, nil
	}
	_, err := o.exec(removeSession, v.ID[:])
	return store.Reused, err
}

// UnrotateSession implements [store.Store].
func (s *Store) UnrotateSession(ctx context.Context, r store.RotatedSession) error {
	return s.write(ctx, func(o *op) error {
		b := &r.Before
		_, err := o.exec(unrotateSession, b.Generation, micros(b.RotatedAt), b.Address, micros(b.ExpiresAt),
			r.Session.ID[:], r.Session.Generation)
		return err
	})
}

// EndSessions implements [store.Store].
func (s *Store) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (int, error) {
	total := 0
	err := s.write(ctx, func(o *op) error {
		for _, id := range ids {
			var n int
			var err error
			if owner == uuid.Nil {
				n, err = o.exec(removeSession, id[:])
			} else {
				n, err = o.exec(removeSessionOf, id[:], owner[:])
			}
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return total, nil
}
