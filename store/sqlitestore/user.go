package sqlitestore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// CreateUser implements [store.Store]. For what n.Within can do with its context see [TxFrom].
func (s *Store) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	u := clone(n.User)
	u.Epoch = 1
	err := s.write(ctx, func(o *op) error {
		if n.Redeem != uuid.Nil {
			redeemed, err := o.exec(redeemNobodys, n.Redeem[:], micros(u.CreatedAt))
			if err != nil {
				return err
			}
			if redeemed == 0 {
				return store.ErrUnmet{Condition: store.ConditionTicket}
			}
		}
		if _, err := o.exec(addUser, userValues(&u)...); err != nil {
			return err
		}
		if err := o.add(&store.UserChange{
			UserID: u.ID, Identity: n.Identity, SecurityKey: n.SecurityKey,
			Session: n.Session, Ticket: n.Ticket, Messages: n.Messages,
		}); err != nil {
			return err
		}
		if n.Within == nil {
			return nil
		}
		return s.within(o, func(ctx context.Context) error { return n.Within(ctx, clone(u)) })
	})
	if err != nil {
		return store.User{}, err
	}
	return u, nil
}

// User implements [store.Store].
func (s *Store) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	do := s.read
	if q.With != 0 || len(q.PATHashes) > 1 {
		do = s.snapshot
	}
	var a store.Account
	err := do(ctx, func(o *op) error {
		found, err := o.find(&q, &a)
		if err != nil {
			return err
		}
		if !found {
			return store.ErrNotFound
		}
		return o.load(&a, q.With, q.Now)
	})
	if err != nil {
		return store.Account{}, err
	}
	return a, nil
}

// find looks for the user that q names, and reports whether there is one. A session or token that names it is noted
// in a.
func (o *op) find(q *store.UserQuery, a *store.Account) (bool, error) {
	u := userDest(&a.User)
	switch {
	case q.ID != uuid.Nil:
		return o.row(userByID, u, q.ID[:])
	case q.Identity != store.IdentityKey{} && q.EmailKey != "":
		return o.row(userByIdentityOrEmail, u, q.Identity.Provider, q.Identity.Subject, q.EmailKey)
	case q.EmailKey != "":
		return o.row(userByEmail, u, q.EmailKey)
	case q.Phone != "":
		return o.row(userByPhone, u, q.Phone)
	case q.Identity != store.IdentityKey{}:
		return o.row(userByIdentity, u, q.Identity.Provider, q.Identity.Subject)
	case len(q.CredentialID) > 0:
		return o.row(userByCredential, u, q.CredentialID)
	case len(q.PATHashes) > 0:
		var p store.PAT
		dest := append(u, patDest(&p)...)
		for _, hash := range q.PATHashes {
			found, err := o.row(userByPAT, dest, full(hash), micros(q.Now))
			if found {
				a.PAT = &p
			}
			if found || err != nil {
				return found, err
			}
		}
		return false, nil
	default:
		var v store.Session
		found, err := o.row(userBySession, append(u, sessionDest(&v)...), q.SessionID[:], micros(q.Now))
		if found {
			a.Session = &v
		}
		return found, err
	}
}

// load fills the lists that with asks for.
func (o *op) load(a *store.Account, with store.With, now time.Time) error {
	var err error
	if with&store.WithIdentities != 0 {
		if a.Identities, err = all(o, identitiesOf, identityDest, a.ID[:]); err != nil {
			return err
		}
	}
	if with&store.WithSecurityKeys != 0 {
		if a.SecurityKeys, err = all(o, keysOf, keyDest, a.ID[:]); err != nil {
			return err
		}
	}
	if with&store.WithSessions != 0 {
		if a.Sessions, err = all(o, sessionsOf, sessionDest, a.ID[:], micros(now)); err != nil {
			return err
		}
	}
	if with&store.WithPATs != 0 {
		if a.PATs, err = all(o, patsOf, patDest, a.ID[:], micros(now)); err != nil {
			return err
		}
	}
	return nil
}

// Users implements [store.Store].
func (s *Store) Users(ctx context.Context, after uuid.UUID, limit int) ([]store.User, error) {
	var page []store.User
	err := s.read(ctx, func(o *op) (err error) {
		page, err = all(o, usersAfter, userDest, after[:], limit)
		return err
	})
	return page, err
}

// DeleteUser implements [store.Store].
func (s *Store) DeleteUser(ctx context.Context, d store.UserDeletion) error {
	return s.write(ctx, func(o *op) error {
		if _, err := o.meeting(&store.UserChange{UserID: d.UserID, Now: d.Now, If: d.If}); err != nil {
			return err
		}
		if _, err := o.exec(removeUser, d.UserID[:]); err != nil {
			return err
		}
		return o.addMessages(d.Messages)
	})
}

// clone copies a user so that the two share no memory.
func clone(u store.User) store.User {
	u.Roles = slices.Clone(u.Roles)
	u.Metadata = slices.Clone(u.Metadata)
	u.TOTPSecret = slices.Clone(u.TOTPSecret)
	u.TOTPPending = slices.Clone(u.TOTPPending)
	u.RecoveryCodes = slices.Clone(u.RecoveryCodes)
	for i, code := range u.RecoveryCodes {
		u.RecoveryCodes[i] = slices.Clone(code)
	}
	return u
}
