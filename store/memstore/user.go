package memstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// CreateUser implements [store.Store]. The context that NewUser.Within gets is explained at the package.
func (s *Store) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.User{}, err
	}
	defer s.leave(w)
	u := cloneUser(&n.User)
	u.Epoch = 1
	err = s.atomically(func() error {
		if err := s.create(&n, &u); err != nil {
			return err
		}
		if n.Within == nil {
			return nil
		}
		return s.call(ctx, n.Within, cloneUser(&u))
	})
	if err != nil {
		return store.User{}, err
	}
	return cloneUser(&u), nil
}

func (s *Store) create(n *store.NewUser, u *store.User) error {
	if n.Redeem != uuid.Nil {
		t, ok := s.tickets[n.Redeem]
		if !ok || t.UserID != uuid.Nil || !live(t.ExpiresAt, u.CreatedAt) {
			return store.ErrUnmet{Condition: store.ConditionTicket}
		}
		s.removeTicket(t)
	}
	if _, taken := s.users[u.ID]; taken {
		return store.ErrConflict{Field: store.FieldID}
	}
	if err := s.putUser(u); err != nil {
		return err
	}
	return s.add(&store.UserChange{
		UserID: u.ID, Identity: n.Identity, SecurityKey: n.SecurityKey,
		Session: n.Session, Ticket: n.Ticket, Messages: n.Messages,
	})
}

// User implements [store.Store].
func (s *Store) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.Account{}, err
	}
	defer s.leave(w)
	var a store.Account
	u, ok := s.find(&q, &a)
	if !ok {
		return store.Account{}, store.ErrNotFound
	}
	a.User = cloneUser(u)
	if q.With != 0 {
		s.load(&a, q.With, q.Now)
	}
	return a, nil
}

// find looks for the user that q names. A session or token that names it is noted in a.
func (s *Store) find(q *store.UserQuery, a *store.Account) (*store.User, bool) {
	switch {
	case q.ID != uuid.Nil:
		u, ok := s.users[q.ID]
		return u, ok
	case q.Identity != store.IdentityKey{}:
		if i, ok := s.identities[q.Identity]; ok {
			return s.users[i.UserID], true
		}
		id, ok := s.emails[q.EmailKey] // where there is none it is nobody's
		return s.users[id], ok
	case q.EmailKey != "":
		id, ok := s.emails[q.EmailKey]
		return s.users[id], ok
	case q.Phone != "":
		id, ok := s.phones[q.Phone]
		return s.users[id], ok
	case len(q.CredentialID) > 0:
		if id, ok := s.keyIDs[string(q.CredentialID)]; ok {
			return s.users[s.keys[id].UserID], true
		}
	case len(q.PATHashes) > 0:
		for _, hash := range q.PATHashes {
			id, ok := s.patIDs[string(hash)]
			if p := s.pats[id]; ok && live(p.ExpiresAt, q.Now) {
				found := clonePAT(p)
				a.PAT = &found
				return s.users[p.UserID], true
			}
		}
	default:
		if v, ok := s.sessions[q.SessionID]; ok && live(v.ExpiresAt, q.Now) {
			found := cloneSession(v)
			a.Session = &found
			return s.users[v.UserID], true
		}
	}
	return nil, false
}

// load fills the lists that with asks for.
func (s *Store) load(a *store.Account, with store.With, now time.Time) {
	if with&store.WithIdentities != 0 {
		for key := range s.identitiesOf[a.ID] {
			a.Identities = append(a.Identities, cloneIdentity(s.identities[key]))
		}
		slices.SortFunc(a.Identities, func(a, b store.Identity) int {
			return cmp.Or(
				a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Provider, b.Provider), strings.Compare(a.Subject, b.Subject),
			)
		})
	}
	if with&store.WithSecurityKeys != 0 {
		for id := range s.keysOf[a.ID] {
			a.SecurityKeys = append(a.SecurityKeys, cloneKey(s.keys[id]))
		}
		slices.SortFunc(a.SecurityKeys, func(a, b store.SecurityKey) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), compareIDs(a.ID, b.ID))
		})
	}
	if with&store.WithSessions != 0 {
		for id := range s.sessionsOf[a.ID] {
			if v := s.sessions[id]; live(v.ExpiresAt, now) {
				a.Sessions = append(a.Sessions, cloneSession(v))
			}
		}
		slices.SortFunc(a.Sessions, func(a, b store.Session) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), compareIDs(a.ID, b.ID))
		})
	}
	if with&store.WithPATs != 0 {
		for id := range s.patsOf[a.ID] {
			if p := s.pats[id]; live(p.ExpiresAt, now) {
				a.PATs = append(a.PATs, clonePAT(p))
			}
		}
		slices.SortFunc(a.PATs, func(a, b store.PAT) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), compareIDs(a.ID, b.ID))
		})
	}
}

// Users implements [store.Store]. The first page after a user was added or deleted costs the sorting of all ids.
func (s *Store) Users(ctx context.Context, after uuid.UUID, limit int) ([]store.User, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.leave(w)
	if s.userIDs == nil {
		s.userIDs = make([]uuid.UUID, 0, len(s.users))
		for id := range s.users {
			s.userIDs = append(s.userIDs, id)
		}
		slices.SortFunc(s.userIDs, compareIDs)
	}
	i, found := slices.BinarySearchFunc(s.userIDs, after, compareIDs)
	if found {
		i++
	}
	ids := s.userIDs[i:]
	ids = ids[:min(limit, len(ids))]
	page := make([]store.User, len(ids))
	for i, id := range ids {
		page[i] = cloneUser(s.users[id])
	}
	return page, nil
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// DeleteUser implements [store.Store].
func (s *Store) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	w, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer s.leave(w)
	u, ok := s.users[d.UserID]
	if !ok {
		return store.ErrNotFound
	}
	if condition := s.unmet(u, &store.UserChange{Now: d.Now, If: d.If}); condition != "" {
		return store.ErrUnmet{Condition: condition}
	}
	return s.atomically(func() error {
		s.removeUser(u)
		return s.addMessages(d.Messages)
	})
}
