package sqlitestore

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// ChangeUser implements [store.Store].
func (s *Store) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	var u store.User
	err := s.write(ctx, func(o *op) (err error) {
		if u, err = o.meeting(&c); err != nil {
			return err
		}
		if err := o.spend(&c); err != nil {
			return err
		}
		if err := o.amend(&u, &c); err != nil {
			return err
		}
		if err := o.drop(&c); err != nil {
			return err
		}
		if err := o.add(&c); err != nil {
			return err
		}
		return o.edit(&c)
	})
	if err != nil {
		return store.User{}, err
	}
	return u, nil
}

// meeting returns the user of c, who meets its conditions. Nobody else writes until the operation is committed, so
// conditions that hold stay true.
func (o *op) meeting(c *store.UserChange) (store.User, error) {
	var u store.User
	found, err := o.row(userByID, userDest(&u), c.UserID[:])
	if err != nil {
		return store.User{}, err
	}
	if !found {
		return store.User{}, store.ErrNotFound
	}
	condition, err := o.unmet(&u, c)
	if err != nil {
		return store.User{}, err
	}
	if condition != "" {
		return store.User{}, store.ErrUnmet{Condition: condition}
	}
	return u, nil
}

// unmet returns the first condition of c that does not hold, or "".
func (o *op) unmet(u *store.User, c *store.UserChange) (store.Condition, error) {
	if u.Disabled && !c.If.Disabled {
		return store.ConditionEnabled, nil
	}
	if c.If.Session != uuid.Nil {
		if found, err := o.row(hasSession, []any{new(int)}, c.If.Session[:], u.ID[:], micros(c.Now)); !found || err != nil {
			return store.ConditionSession, err
		}
	}
	if c.Redeem != uuid.Nil {
		if found, err := o.row(ticketOf, []any{new(int)}, c.Redeem[:], u.ID[:], micros(c.Now)); !found || err != nil {
			return store.ConditionTicket, err
		}
	}
	if c.If.Epoch != 0 && c.If.Epoch != u.Epoch {
		return store.ConditionEpoch, nil
	}
	if c.If.Anonymous && !u.Anonymous {
		return store.ConditionAnonymous, nil
	}
	if c.If.NoSecurityKeys {
		if found, err := o.row(hasKeys, []any{new(int)}, u.ID[:]); found || err != nil {
			return store.ConditionNoSecurityKeys, err
		}
	}
	if c.If.SecurityKey != uuid.Nil {
		if found, err := o.row(hasKey, []any{new(int)}, c.If.SecurityKey[:], u.ID[:]); !found || err != nil {
			return store.ConditionSecurityKey, err
		}
	}
	if c.If.NoTOTP && len(u.TOTPSecret) > 0 {
		return store.ConditionNoTOTP, nil
	}
	if c.TOTPStep != 0 && c.TOTPStep <= u.TOTPStep {
		return store.ConditionTOTPStep, nil
	}
	if len(c.RecoveryCode) > 0 && recoveryCode(u, c.RecoveryCode) < 0 {
		return store.ConditionRecoveryCode, nil
	}
	if c.UseKey != nil {
		var count uint32
		found, err := o.row(signCount, []any{&count}, c.UseKey.ID[:], u.ID[:])
		if !found || count != c.UseKey.WasSignCount || err != nil {
			return store.ConditionSignCount, err
		}
	}
	if t := c.TakeTokens; t != nil {
		if len(t.Tokens) == 0 {
			return store.ConditionTokens, nil
		}
		found, err := o.row(hasTokens, []any{new(int)}, t.Key.Provider, t.Key.Subject, u.ID[:], t.Tokens)
		if !found || err != nil {
			return store.ConditionTokens, err
		}
	}
	if c.PAT != nil && c.MaxPATs > 0 {
		var n int
		if _, err := o.row(livePATs, []any{&n}, u.ID[:], micros(c.Now)); n >= c.MaxPATs || err != nil {
			return store.ConditionPATs, err
		}
	}
	return "", nil
}

// recoveryCode returns the place of a code among the user's, or -1.
func recoveryCode(u *store.User, code []byte) int {
	return slices.IndexFunc(u.RecoveryCodes, func(c []byte) bool { return bytes.Equal(c, code) })
}

// spend uses up what c presents; see [op.unmet].
func (o *op) spend(c *store.UserChange) error {
	if c.Redeem != uuid.Nil {
		if _, err := o.exec(removeTicket, c.Redeem[:]); err != nil {
			return err
		}
	}
	if k := c.UseKey; k != nil {
		if _, err := o.exec(useKey, k.SignCount, k.BackupState, k.UserVerified, micros(c.Now), k.ID[:]); err != nil {
			return err
		}
	}
	if t := c.TakeTokens; t != nil {
		_, err := o.exec(setTokens, nil, t.Key.Provider, t.Key.Subject, c.UserID[:])
		return err
	}
	return nil
}

// amend changes the user itself.
func (o *op) amend(u *store.User, c *store.UserChange) error {
	changed := set(u, &c.Set)
	if changed {
		u.UpdatedAt = c.Now
	}
	if c.TOTPStep != 0 {
		u.TOTPStep, changed = c.TOTPStep, true
	}
	if len(c.RecoveryCode) > 0 {
		if i := recoveryCode(u, c.RecoveryCode); i >= 0 {
			u.RecoveryCodes = slices.Delete(u.RecoveryCodes, i, i+1)
			changed = true
		}
	}
	if c.Set.Disabled != nil || takesAway(c) {
		u.Epoch++
		changed = true
	}
	if c.Session != nil {
		u.LastSeenAt = c.Now
	}
	var err error
	switch {
	case changed:
		_, err = o.exec(updateUser, append(userValues(u)[1:], u.ID[:])...)
	case c.Session != nil:
		// The rest of the row and of its indexes need not be written.
		_, err = o.exec(seeUser, micros(u.LastSeenAt), u.ID[:])
	}
	return err
}

// set gives fields of the user new values and reports whether there were any.
func set(u *store.User, n *store.UserSet) bool {
	changed := n.Roles != nil || n.Metadata != nil
	if n.Email != nil {
		u.Email, u.EmailKey, changed = n.Email.Typed, n.Email.Key, true
	}
	if n.Roles != nil {
		u.Roles = n.Roles
	}
	if n.Metadata != nil {
		u.Metadata = n.Metadata
	}
	assign(&u.EmailVerified, n.EmailVerified, &changed)
	assign(&u.Phone, n.Phone, &changed)
	assign(&u.PhoneVerified, n.PhoneVerified, &changed)
	assign(&u.Disabled, n.Disabled, &changed)
	assign(&u.Anonymous, n.Anonymous, &changed)
	assign(&u.DisplayName, n.DisplayName, &changed)
	assign(&u.AvatarURL, n.AvatarURL, &changed)
	assign(&u.Locale, n.Locale, &changed)
	assign(&u.DefaultRole, n.DefaultRole, &changed)
	assign(&u.PasswordHash, n.PasswordHash, &changed)
	assign(&u.TOTPSecret, n.TOTPSecret, &changed)
	assign(&u.TOTPPending, n.TOTPPending, &changed)
	assign(&u.RecoveryCodes, n.RecoveryCodes, &changed)
	if changed {
		*u = clone(*u) // the caller's values must not be the result's
	}
	return changed
}

// assign sets a field unless its new value is nil, and notes in changed that it did.
func assign[T any](field, value *T, changed *bool) {
	if value != nil {
		*field, *changed = *value, true
	}
}

// takesAway says whether c asks for something to go, be it there or not.
func takesAway(c *store.UserChange) bool {
	d := &c.Drop
	return d.Sessions || d.PATs || d.SecurityKeys || d.Identities || d.AllTickets || len(d.Tickets) > 0 ||
		c.RemoveKey != uuid.Nil || c.RemovePAT != uuid.Nil || c.RemoveIdentity != store.IdentityKey{}
}

// drop takes from the user what c takes away in bulk.
func (o *op) drop(c *store.UserChange) error {
	d, user := &c.Drop, c.UserID[:]
	if d.Sessions {
		if _, err := o.exec(removeSessionsOf, user, d.KeepSession[:]); err != nil {
			return err
		}
	}
	if d.PATs {
		// Also those whose token has gone already.
		if _, err := o.exec(removePATSessionsOf, user); err != nil {
			return err
		}
		if _, err := o.exec(removePATsOf, user); err != nil {
			return err
		}
	}
	if d.SecurityKeys {
		if _, err := o.exec(removeKeysOf, user); err != nil {
			return err
		}
	}
	if d.Identities {
		if _, err := o.exec(removeIdentitiesOf, user); err != nil {
			return err
		}
	}
	if d.AllTickets {
		_, err := o.exec(removeAllTicketsOf, user)
		return err
	}
	for _, kind := range d.Tickets {
		if _, err := o.exec(removeTicketsOf, user, kind); err != nil {
			return err
		}
	}
	return nil
}

// add gives the user what c adds.
func (o *op) add(c *store.UserChange) error {
	user := c.UserID[:]
	if c.PAT != nil {
		if err := o.addPAT(c.PAT, user); err != nil {
			return err
		}
	}
	if c.Session != nil {
		if err := o.addSession(c.Session, user); err != nil {
			return err
		}
		if c.MaxSessions > 0 {
			if _, err := o.exec(endOldest, user, c.Session.ID[:], micros(c.Now), id(c.Session.PATID), c.MaxSessions-1); err != nil {
				return err
			}
		}
	}
	if c.Ticket != nil {
		if err := o.putTicket(c.Ticket, user); err != nil {
			return err
		}
	}
	if c.Identity != nil {
		if err := o.putIdentity(c.Identity, user); err != nil {
			return err
		}
	}
	if c.SecurityKey != nil {
		if err := o.addKey(c.SecurityKey, user); err != nil {
			return err
		}
	}
	return o.addMessages(c.Messages)
}

// edit does what c says about single records of the user, where they are the user's.
func (o *op) edit(c *store.UserChange) error {
	user := c.UserID[:]
	if c.UsePAT != uuid.Nil {
		if _, err := o.exec(usePAT, micros(c.Now), c.UsePAT[:], user); err != nil {
			return err
		}
	}
	if t := c.PutTokens; t != nil {
		if _, err := o.exec(setTokens, t.Tokens, t.Key.Provider, t.Key.Subject, user); err != nil {
			return err
		}
	}
	if k := c.RenameKey; k != nil {
		if _, err := o.exec(renameKey, k.Nickname, k.ID[:], user); err != nil {
			return err
		}
	}
	if c.RemoveKey != uuid.Nil {
		if _, err := o.exec(removeKey, c.RemoveKey[:], user); err != nil {
			return err
		}
	}
	if c.RemovePAT != uuid.Nil {
		if _, err := o.exec(removePAT, c.RemovePAT[:], user); err != nil {
			return err
		}
	}
	if i := c.RemoveIdentity; i != (store.IdentityKey{}) {
		if _, err := o.exec(removeIdentity, i.Provider, i.Subject, user); err != nil {
			return err
		}
	}
	return nil
}
