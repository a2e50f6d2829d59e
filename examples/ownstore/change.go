package ownstore

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// ChangeUser implements [store.Store].
func (s *Store) ChangeUser(ctx context.Context, c store.UserChange) (after store.User, err error) {
	err = s.do(ctx, func(st *state) error {
		u := st.user(c.UserID)
		if u == nil {
			return store.ErrNotFound
		}
		if err := st.mayChange(u, &c); err != nil {
			return err
		}
		if c.UseKey != nil {
			k := st.key(c.UserID, c.UseKey.ID)
			k.SignCount, k.BackupState, k.LastUsedAt = c.UseKey.SignCount, c.UseKey.BackupState, c.Now
			k.UserVerified = k.UserVerified || c.UseKey.UserVerified
		}
		if c.TOTPStep != 0 {
			u.TOTPStep = c.TOTPStep
		}
		if c.RecoveryCode != nil {
			u.RecoveryCodes = slices.DeleteFunc(u.RecoveryCodes, func(hash []byte) bool { return bytes.Equal(hash, c.RecoveryCode) })
		}
		if c.TakeTokens != nil {
			st.identity(c.UserID, c.TakeTokens.Key).Tokens = nil
		}
		if set(u, &c.Set) {
			u.UpdatedAt = c.Now
		}
		if err := st.unique(u); err != nil {
			return err
		}
		if st.take(&c) || c.Set.Disabled != nil {
			u.Epoch++
		}
		if c.Session != nil {
			u.LastSeenAt = c.Now
		}
		if err := st.add(&c); err != nil {
			return err
		}
		st.touch(&c)
		after, err = copied(u) // whose parts may be the caller's
		return err
	})
	if err != nil {
		return store.User{}, err
	}
	return after, nil
}

func (st *state) key(user, id uuid.UUID) *store.SecurityKey {
	return first(st.Keys, func(k *store.SecurityKey) bool { return k.UserID == user && k.ID == id })
}

func (st *state) identity(user uuid.UUID, key store.IdentityKey) *store.Identity {
	return first(st.Identities, func(i *store.Identity) bool { return i.UserID == user && i.Key() == key })
}

// mayChange says whether all conditions of a change hold, in their order, and redeems its ticket.
func (st *state) mayChange(u *store.User, c *store.UserChange) error {
	err := st.met(u, &c.If, c.Now)
	early := err == store.ErrUnmet{Condition: store.ConditionEnabled} || err == store.ErrUnmet{Condition: store.ConditionSession}
	if !early && c.Redeem != uuid.Nil && !st.redeem(c.Redeem, u.ID, c.Now) {
		return store.ErrUnmet{Condition: store.ConditionTicket}
	}
	if err != nil {
		return err
	}
	tokens := true
	if c.TakeTokens != nil {
		i := st.identity(u.ID, c.TakeTokens.Key)
		tokens = i != nil && len(i.Tokens) > 0 && bytes.Equal(i.Tokens, c.TakeTokens.Tokens)
	}
	used := true
	if c.UseKey != nil {
		k := st.key(u.ID, c.UseKey.ID)
		used = k != nil && k.SignCount == c.UseKey.WasSignCount
	}
	pats := len(some(st.PATs, func(p *store.PAT) bool { return p.UserID == u.ID && live(p.ExpiresAt, c.Now) }))
	for _, condition := range []struct {
		name  store.Condition
		holds bool
	}{
		{store.ConditionTOTPStep, c.TOTPStep == 0 || c.TOTPStep > u.TOTPStep},
		{store.ConditionRecoveryCode, c.RecoveryCode == nil || among(u.RecoveryCodes, c.RecoveryCode)},
		{store.ConditionSignCount, used},
		{store.ConditionTokens, tokens},
		{store.ConditionPATs, c.PAT == nil || c.MaxPATs == 0 || pats < c.MaxPATs},
	} {
		if !condition.holds {
			return store.ErrUnmet{Condition: condition.name}
		}
	}
	return nil
}

// put sets a field that has a new value, and notes that.
func put[T any](field, value *T, changed *bool) {
	if value != nil {
		*field, *changed = *value, true
	}
}

// set gives the user new values, and reports whether there are any.
func set(u *store.User, v *store.UserSet) (changed bool) {
	if v.Email != nil {
		u.Email, u.EmailKey, changed = v.Email.Typed, v.Email.Key, true
	}
	put(&u.EmailVerified, v.EmailVerified, &changed)
	put(&u.Phone, v.Phone, &changed)
	put(&u.PhoneVerified, v.PhoneVerified, &changed)
	put(&u.Disabled, v.Disabled, &changed)
	put(&u.Anonymous, v.Anonymous, &changed)
	put(&u.DisplayName, v.DisplayName, &changed)
	put(&u.AvatarURL, v.AvatarURL, &changed)
	put(&u.Locale, v.Locale, &changed)
	put(&u.DefaultRole, v.DefaultRole, &changed)
	if v.Roles != nil {
		put(&u.Roles, &v.Roles, &changed)
	}
	if v.Metadata != nil {
		put(&u.Metadata, &v.Metadata, &changed)
	}
	put(&u.PasswordHash, v.PasswordHash, &changed)
	put(&u.TOTPSecret, v.TOTPSecret, &changed)
	put(&u.TOTPPending, v.TOTPPending, &changed)
	put(&u.RecoveryCodes, v.RecoveryCodes, &changed)
	return changed
}

// take removes what a change takes away, and reports whether it wants anything taken.
func (st *state) take(c *store.UserChange) bool {
	d, mine := &c.Drop, func(id uuid.UUID) bool { return id == c.UserID }
	if d.Sessions {
		drop(&st.Sessions, func(v *store.Session) bool { return mine(v.UserID) && v.ID != d.KeepSession })
	}
	for _, p := range some(st.PATs, func(p *store.PAT) bool { return mine(p.UserID) && (d.PATs || p.ID == c.RemovePAT) }) {
		st.removePAT(p.ID)
	}
	drop(&st.Keys, func(k *store.SecurityKey) bool { return mine(k.UserID) && (d.SecurityKeys || k.ID == c.RemoveKey) })
	drop(&st.Identities, func(i *store.Identity) bool { return mine(i.UserID) && (d.Identities || i.Key() == c.RemoveIdentity) })
	drop(&st.Tickets, func(t *store.Ticket) bool {
		return mine(t.UserID) && (d.AllTickets || slices.Contains(d.Tickets, t.Kind))
	})
	return d.Sessions || d.PATs || d.SecurityKeys || d.Identities || d.AllTickets || len(d.Tickets) > 0 ||
		c.RemoveKey != uuid.Nil || c.RemovePAT != uuid.Nil || c.RemoveIdentity != store.IdentityKey{}
}

// add adds what a change or a sign-up brings.
func (st *state) add(c *store.UserChange) error {
	if c.Identity != nil {
		i := *c.Identity
		i.UserID = c.UserID
		old := first(st.Identities, func(o *store.Identity) bool { return o.Key() == i.Key() })
		switch {
		case old == nil:
			st.Identities = append(st.Identities, i)
		case old.UserID != c.UserID:
			return store.ErrConflict{Field: store.FieldIdentity}
		default:
			old.Email, old.LastUsedAt, old.Tokens = i.Email, i.LastUsedAt, i.Tokens
		}
	}
	if c.SecurityKey != nil {
		k := *c.SecurityKey
		k.UserID = c.UserID
		if first(st.Keys, func(o *store.SecurityKey) bool { return o.ID == k.ID }) != nil {
			return store.ErrConflict{Field: store.FieldID}
		}
		if first(st.Keys, func(o *store.SecurityKey) bool { return bytes.Equal(o.CredentialID, k.CredentialID) }) != nil {
			return store.ErrConflict{Field: store.FieldCredential}
		}
		st.Keys = append(st.Keys, k)
	}
	if c.PAT != nil {
		p := *c.PAT
		p.UserID = c.UserID
		if first(st.PATs, func(o *store.PAT) bool { return o.ID == p.ID || bytes.Equal(o.Hash, p.Hash) }) != nil {
			return store.ErrConflict{Field: store.FieldID}
		}
		st.PATs = append(st.PATs, p)
	}
	if c.Session != nil {
		v := *c.Session
		v.UserID = c.UserID
		if first(st.Sessions, func(o *store.Session) bool { return o.ID == v.ID }) != nil {
			return store.ErrConflict{Field: store.FieldID}
		}
		st.Sessions = append(st.Sessions, v)
		if c.MaxSessions > 0 {
			st.end(c.UserID, v.PATID, v.ID, c.MaxSessions, c.Now)
		}
	}
	if c.Ticket != nil {
		t := *c.Ticket
		t.UserID = c.UserID
		if err := st.putTicket(t); err != nil {
			return err
		}
	}
	return st.post(c.Messages)
}

// touch renames and notes, where there is still something to be renamed or noted.
func (st *state) touch(c *store.UserChange) {
	if p := first(st.PATs, func(p *store.PAT) bool { return p.UserID == c.UserID && p.ID == c.UsePAT }); p != nil {
		p.LastUsedAt = c.Now
	}
	if c.PutTokens != nil {
		if i := st.identity(c.UserID, c.PutTokens.Key); i != nil {
			i.Tokens = c.PutTokens.Tokens
		}
	}
	if c.RenameKey != nil {
		if k := st.key(c.UserID, c.RenameKey.ID); k != nil {
			k.Nickname = c.RenameKey.Nickname
		}
	}
}
