package ownstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// first is the record that is meant, in place, or nil.
func first[T any](list []T, meant func(*T) bool) *T {
	for i := range list {
		if meant(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// some are the records that are meant.
func some[T any](list []T, meant func(*T) bool) (found []T) {
	for i := range list {
		if meant(&list[i]) {
			found = append(found, list[i])
		}
	}
	return found
}

// drop removes the records that are meant and returns how many there were.
func drop[T any](list *[]T, meant func(*T) bool) int {
	before := len(*list)
	*list = slices.DeleteFunc(*list, func(v T) bool { return meant(&v) })
	return before - len(*list)
}

func live(end, now time.Time) bool { return now.Before(end) }

func (st *state) user(id uuid.UUID) *store.User {
	return first(st.Users, func(u *store.User) bool { return u.ID == id })
}

func (st *state) session(id uuid.UUID, now time.Time) *store.Session {
	return first(st.Sessions, func(v *store.Session) bool { return v.ID == id && live(v.ExpiresAt, now) })
}

// User implements [store.Store].
func (s *Store) User(ctx context.Context, q store.UserQuery) (a store.Account, err error) {
	err = s.do(ctx, func(st *state) error {
		u := st.find(&q, &a)
		if u == nil {
			return store.ErrNotFound
		}
		a.User = *u
		if q.With&store.WithIdentities != 0 {
			a.Identities = some(st.Identities, func(i *store.Identity) bool { return i.UserID == u.ID })
			slices.SortStableFunc(a.Identities, func(a, b store.Identity) int { return a.CreatedAt.Compare(b.CreatedAt) })
		}
		if q.With&store.WithSecurityKeys != 0 {
			a.SecurityKeys = some(st.Keys, func(k *store.SecurityKey) bool { return k.UserID == u.ID })
			slices.SortStableFunc(a.SecurityKeys, func(a, b store.SecurityKey) int { return a.CreatedAt.Compare(b.CreatedAt) })
		}
		if q.With&store.WithSessions != 0 {
			a.Sessions = some(st.Sessions, func(v *store.Session) bool { return v.UserID == u.ID && live(v.ExpiresAt, q.Now) })
			slices.SortStableFunc(a.Sessions, func(a, b store.Session) int { return a.CreatedAt.Compare(b.CreatedAt) })
		}
		if q.With&store.WithPATs != 0 {
			a.PATs = some(st.PATs, func(p *store.PAT) bool { return p.UserID == u.ID && live(p.ExpiresAt, q.Now) })
			slices.SortStableFunc(a.PATs, func(a, b store.PAT) int { return a.CreatedAt.Compare(b.CreatedAt) })
		}
		return nil
	})
	if err != nil {
		return store.Account{}, err
	}
	return a, nil
}

// find is the user that q describes, or nil. A session or token that it is found by is noted in a.
func (st *state) find(q *store.UserQuery, a *store.Account) *store.User {
	byEmail := func() *store.User {
		return first(st.Users, func(u *store.User) bool { return q.EmailKey != "" && u.EmailKey == q.EmailKey })
	}
	switch {
	case q.ID != uuid.Nil:
		return st.user(q.ID)
	case q.Identity != store.IdentityKey{}:
		if i := first(st.Identities, func(i *store.Identity) bool { return i.Key() == q.Identity }); i != nil {
			return st.user(i.UserID)
		}
		return byEmail()
	case q.EmailKey != "":
		return byEmail()
	case q.Phone != "":
		return first(st.Users, func(u *store.User) bool { return u.Phone == q.Phone })
	case len(q.CredentialID) > 0:
		if k := first(st.Keys, func(k *store.SecurityKey) bool { return bytes.Equal(k.CredentialID, q.CredentialID) }); k != nil {
			return st.user(k.UserID)
		}
	case len(q.PATHashes) > 0:
		a.PAT = first(st.PATs, func(p *store.PAT) bool { return among(q.PATHashes, p.Hash) && live(p.ExpiresAt, q.Now) })
		if a.PAT != nil {
			return st.user(a.PAT.UserID)
		}
	case q.SessionID != uuid.Nil:
		if a.Session = st.session(q.SessionID, q.Now); a.Session != nil {
			return st.user(a.Session.UserID)
		}
	}
	return nil
}

func among(hashes [][]byte, hash []byte) bool {
	return slices.ContainsFunc(hashes, func(h []byte) bool { return bytes.Equal(h, hash) })
}

// Users implements [store.Store].
func (s *Store) Users(ctx context.Context, after uuid.UUID, limit int) (page []store.User, err error) {
	err = s.do(ctx, func(st *state) error {
		page = some(st.Users, func(u *store.User) bool { return bytes.Compare(u.ID[:], after[:]) > 0 })
		return nil
	})
	slices.SortFunc(page, func(a, b store.User) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return page[:min(limit, len(page))], err
}

// CreateUser implements [store.Store].
func (s *Store) CreateUser(ctx context.Context, n store.NewUser) (u store.User, err error) {
	err = s.do(ctx, func(st *state) error {
		if u, err = copied(&n.User); err != nil {
			return err
		}
		u.Epoch = 1
		if n.Redeem != uuid.Nil {
			if !st.redeem(n.Redeem, uuid.Nil, u.CreatedAt) {
				return store.ErrUnmet{Condition: store.ConditionTicket}
			}
		}
		if st.user(u.ID) != nil {
			return store.ErrConflict{Field: store.FieldID}
		}
		st.Users = append(st.Users, u)
		if err := st.unique(&u); err != nil {
			return err
		}
		c := store.UserChange{
			UserID: u.ID, Identity: n.Identity, SecurityKey: n.SecurityKey, Session: n.Session, Ticket: n.Ticket, Messages: n.Messages,
		}
		if err := st.add(&c); err != nil {
			return err
		}
		if n.Within == nil {
			return nil
		}
		return s.within(ctx, st, n.Within, u)
	})
	if err != nil {
		return store.User{}, err
	}
	return u, nil
}

// unique says whether nobody else has the address or the number of u.
func (st *state) unique(u *store.User) error {
	if first(st.Users, func(o *store.User) bool { return o.ID != u.ID && u.EmailKey != "" && o.EmailKey == u.EmailKey }) != nil {
		return store.ErrConflict{Field: store.FieldEmail}
	}
	if first(st.Users, func(o *store.User) bool { return o.ID != u.ID && u.Phone != "" && o.Phone == u.Phone }) != nil {
		return store.ErrConflict{Field: store.FieldPhone}
	}
	return nil
}

// redeem removes a live ticket of the user or of nobody, and reports whether there was one.
func (st *state) redeem(id, user uuid.UUID, now time.Time) bool {
	return drop(&st.Tickets, func(t *store.Ticket) bool {
		return t.ID == id && live(t.ExpiresAt, now) && (t.UserID == uuid.Nil || t.UserID == user)
	}) == 1
}

// met says whether the conditions hold.
func (st *state) met(u *store.User, c *store.Conditions, now time.Time) error {
	keys := some(st.Keys, func(k *store.SecurityKey) bool { return k.UserID == u.ID })
	session := st.session(c.Session, now)
	for _, condition := range []struct {
		name  store.Condition
		holds bool
	}{
		{store.ConditionEnabled, c.Disabled || !u.Disabled},
		{store.ConditionSession, c.Session == uuid.Nil || session != nil && session.UserID == u.ID},
		{store.ConditionTicket, true}, // see ChangeUser
		{store.ConditionEpoch, c.Epoch == 0 || c.Epoch == u.Epoch},
		{store.ConditionAnonymous, !c.Anonymous || u.Anonymous},
		{store.ConditionNoSecurityKeys, !c.NoSecurityKeys || len(keys) == 0},
		{store.ConditionSecurityKey, c.SecurityKey == uuid.Nil || slices.ContainsFunc(keys, func(k store.SecurityKey) bool { return k.ID == c.SecurityKey })},
		{store.ConditionNoTOTP, !c.NoTOTP || len(u.TOTPSecret) == 0},
	} {
		if !condition.holds {
			return store.ErrUnmet{Condition: condition.name}
		}
	}
	return nil
}

// DeleteUser implements [store.Store].
func (s *Store) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	return s.do(ctx, func(st *state) error {
		u := st.user(d.UserID)
		if u == nil {
			return store.ErrNotFound
		}
		if err := st.met(u, &d.If, d.Now); err != nil {
			return err
		}
		st.removeUser(d.UserID)
		return st.post(d.Messages)
	})
}

func (st *state) removeUser(id uuid.UUID) {
	drop(&st.Users, func(u *store.User) bool { return u.ID == id })
	drop(&st.Identities, func(i *store.Identity) bool { return i.UserID == id })
	drop(&st.Keys, func(k *store.SecurityKey) bool { return k.UserID == id })
	drop(&st.PATs, func(p *store.PAT) bool { return p.UserID == id })
	drop(&st.Sessions, func(v *store.Session) bool { return v.UserID == id })
	drop(&st.Tickets, func(t *store.Ticket) bool { return t.UserID == id })
}

// Purge implements [store.Store].
func (s *Store) Purge(ctx context.Context, p store.Purge) (n int, err error) {
	err = s.do(ctx, func(st *state) error {
		n = 0
		// may says of each thing whether it goes.
		may := func(ended bool) bool {
			if ended && n < p.Limit {
				n++
				return true
			}
			return false
		}
		drop(&st.Tickets, func(t *store.Ticket) bool { return may(!live(t.ExpiresAt, p.Now)) })
		drop(&st.Sessions, func(v *store.Session) bool { return may(!live(v.ExpiresAt, p.Now)) })
		drop(&st.SigningKeys, func(k *store.SigningKey) bool { return may(!live(k.ExpiresAt, p.Now)) })
		for _, t := range some(st.PATs, func(t *store.PAT) bool { return may(!live(t.ExpiresAt, p.Now)) }) {
			st.removePAT(t.ID)
		}
		for _, u := range some(st.Users, func(u *store.User) bool {
			return may(u.Anonymous && !p.AnonymousBefore.IsZero() && u.LastSeenAt.Before(p.AnonymousBefore))
		}) {
			st.removeUser(u.ID)
		}
		return nil
	})
	return n, err
}

func (st *state) removePAT(id uuid.UUID) {
	drop(&st.PATs, func(p *store.PAT) bool { return p.ID == id })
	drop(&st.Sessions, func(v *store.Session) bool { return v.PATID == id })
}

// end ends the least recently used live sessions of who has more than most of one kind: of one token, or of none.
func (st *state) end(user, pat, keep uuid.UUID, most int, now time.Time) {
	others := some(st.Sessions, func(v *store.Session) bool {
		return v.UserID == user && v.PATID == pat && v.ID != keep && live(v.ExpiresAt, now)
	})
	slices.SortStableFunc(others, func(a, b store.Session) int {
		return cmp.Or(a.RotatedAt.Compare(b.RotatedAt), a.CreatedAt.Compare(b.CreatedAt))
	})
	for _, old := range others[:max(0, len(others)+1-most)] {
		drop(&st.Sessions, func(v *store.Session) bool { return v.ID == old.ID })
	}
}
