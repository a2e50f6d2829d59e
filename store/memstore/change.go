package memstore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// ChangeUser implements [store.Store].
func (s *Store) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	w, err := s.enter(ctx)
	if err != nil {
		return store.User{}, err
	}
	defer s.leave(w)
	old, ok := s.users[c.UserID]
	if !ok {
		return store.User{}, store.ErrNotFound
	}
	if condition := s.unmet(old, &c); condition != "" {
		return store.User{}, store.ErrUnmet{Condition: condition}
	}
	u := *old
	err = s.atomically(func() error {
		s.use(&u, &c)
		set(&u, &c)
		if err := s.putUser(&u); err != nil {
			return err
		}
		s.drop(&c)
		if err := s.add(&c); err != nil {
			return err
		}
		s.edit(&c)
		return nil
	})
	if err != nil {
		return store.User{}, err
	}
	return cloneUser(&u), nil
}

// unmet returns the first condition of c that does not hold, or "".
func (s *Store) unmet(u *store.User, c *store.UserChange) store.Condition {
	if u.Disabled && !c.If.Disabled {
		return store.ConditionEnabled
	}
	if c.If.Session != uuid.Nil {
		v, ok := s.sessions[c.If.Session]
		if !ok || v.UserID != u.ID || !live(v.ExpiresAt, c.Now) {
			return store.ConditionSession
		}
	}
	if c.Redeem != uuid.Nil {
		t, ok := s.tickets[c.Redeem]
		if !ok || t.UserID != u.ID && t.UserID != uuid.Nil || !live(t.ExpiresAt, c.Now) {
			return store.ConditionTicket
		}
	}
	if c.If.Epoch != 0 && c.If.Epoch != u.Epoch {
		return store.ConditionEpoch
	}
	if c.If.Anonymous && !u.Anonymous {
		return store.ConditionAnonymous
	}
	if c.If.NoSecurityKeys && len(s.keysOf[u.ID]) > 0 {
		return store.ConditionNoSecurityKeys
	}
	if c.If.SecurityKey != uuid.Nil {
		if k, ok := s.keys[c.If.SecurityKey]; !ok || k.UserID != u.ID {
			return store.ConditionSecurityKey
		}
	}
	if c.If.NoTOTP && len(u.TOTPSecret) > 0 {
		return store.ConditionNoTOTP
	}
	if c.TOTPStep != 0 && c.TOTPStep <= u.TOTPStep {
		return store.ConditionTOTPStep
	}
	if len(c.RecoveryCode) > 0 && recoveryCode(u, c.RecoveryCode) < 0 {
		return store.ConditionRecoveryCode
	}
	if c.UseKey != nil {
		k, ok := s.keys[c.UseKey.ID]
		if !ok || k.UserID != u.ID || k.SignCount != c.UseKey.WasSignCount {
			return store.ConditionSignCount
		}
	}
	if t := c.TakeTokens; t != nil {
		i, ok := s.identities[t.Key]
		if !ok || i.UserID != u.ID || len(t.Tokens) == 0 || !bytes.Equal(i.Tokens, t.Tokens) {
			return store.ConditionTokens
		}
	}
	if c.PAT != nil && c.MaxPATs > 0 && s.livePATs(u.ID, c.Now) >= c.MaxPATs {
		return store.ConditionPATs
	}
	return ""
}

// livePATs counts the tokens of a user that have not expired.
func (s *Store) livePATs(user uuid.UUID, now time.Time) int {
	n := 0
	for id := range s.patsOf[user] {
		if live(s.pats[id].ExpiresAt, now) {
			n++
		}
	}
	return n
}

// recoveryCode returns the place of a code among the user's, or -1.
func recoveryCode(u *store.User, code []byte) int {
	return slices.IndexFunc(u.RecoveryCodes, func(c []byte) bool { return bytes.Equal(c, code) })
}

// use spends what c presents; see [Store.unmet].
func (s *Store) use(u *store.User, c *store.UserChange) {
	if c.Redeem != uuid.Nil {
		s.removeTicket(s.tickets[c.Redeem])
	}
	if c.TOTPStep != 0 {
		u.TOTPStep = c.TOTPStep
	}
	if len(c.RecoveryCode) > 0 {
		i := recoveryCode(u, c.RecoveryCode)
		u.RecoveryCodes = slices.Concat(u.RecoveryCodes[:i], u.RecoveryCodes[i+1:])
	}
	if c.UseKey != nil {
		k := *s.keys[c.UseKey.ID]
		k.SignCount, k.BackupState, k.LastUsedAt = c.UseKey.SignCount, c.UseKey.BackupState, c.Now
		k.UserVerified = k.UserVerified || c.UseKey.UserVerified
		s.replaceKey(&k)
	}
	if c.TakeTokens != nil {
		i := *s.identities[c.TakeTokens.Key]
		i.Tokens = nil
		s.replaceIdentity(&i)
	}
}

// set changes the fields of the user themselves.
func set(u *store.User, c *store.UserChange) {
	n := &c.Set
	changes := n.Roles != nil || n.Metadata != nil
	if n.Email != nil {
		u.Email, u.EmailKey = n.Email.Typed, n.Email.Key
		changes = true
	}
	assign(&u.EmailVerified, n.EmailVerified, &changes)
	assign(&u.Phone, n.Phone, &changes)
	assign(&u.PhoneVerified, n.PhoneVerified, &changes)
	assign(&u.Disabled, n.Disabled, &changes)
	assign(&u.Anonymous, n.Anonymous, &changes)
	assign(&u.DisplayName, n.DisplayName, &changes)
	assign(&u.AvatarURL, n.AvatarURL, &changes)
	assign(&u.Locale, n.Locale, &changes)
	assign(&u.DefaultRole, n.DefaultRole, &changes)
	if n.Roles != nil {
		u.Roles = slices.Clone(n.Roles)
	}
	if n.Metadata != nil {
		u.Metadata = bytes.Clone(n.Metadata)
	}
	assign(&u.PasswordHash, n.PasswordHash, &changes)
	if assign(&u.TOTPSecret, n.TOTPSecret, &changes) {
		u.TOTPSecret = bytes.Clone(u.TOTPSecret)
	}
	if assign(&u.TOTPPending, n.TOTPPending, &changes) {
		u.TOTPPending = bytes.Clone(u.TOTPPending)
	}
	if assign(&u.RecoveryCodes, n.RecoveryCodes, &changes) {
		u.RecoveryCodes = cloneAll(u.RecoveryCodes)
	}
	if changes {
		u.UpdatedAt = c.Now
	}
	if c.Session != nil {
		u.LastSeenAt = c.Now
	}
	if n.Disabled != nil || takesAway(c) {
		u.Epoch++
	}
}

// assign sets a field unless its new value is nil, and notes in changes that it did.
func assign[T any](field, value *T, changes *bool) bool {
	if value == nil {
		return false
	}
	*field, *changes = *value, true
	return true
}

// takesAway says whether c asks for something to go, be it there or not.
func takesAway(c *store.UserChange) bool {
	d := &c.Drop
	return d.Sessions || d.PATs || d.SecurityKeys || d.Identities || d.AllTickets || len(d.Tickets) > 0 ||
		c.RemoveKey != uuid.Nil || c.RemovePAT != uuid.Nil || c.RemoveIdentity != store.IdentityKey{}
}

func (s *Store) drop(c *store.UserChange) {
	d := &c.Drop
	if d.Sessions {
		for id := range s.sessionsOf[c.UserID] {
			if id != d.KeepSession {
				s.removeSession(s.sessions[id])
			}
		}
	}
	if d.PATs {
		for id := range s.patsOf[c.UserID] {
			s.removePAT(s.pats[id])
		}
	}
	if d.SecurityKeys {
		for id := range s.keysOf[c.UserID] {
			s.removeKey(s.keys[id])
		}
	}
	if d.Identities {
		for key := range s.identitiesOf[c.UserID] {
			s.removeIdentity(s.identities[key])
		}
	}
	if d.AllTickets || len(d.Tickets) > 0 {
		for id := range s.ticketsOf[c.UserID] {
			if t := s.tickets[id]; d.AllTickets || slices.Contains(d.Tickets, t.Kind) {
				s.removeTicket(t)
			}
		}
	}
}

// add gives the user what c adds.
func (s *Store) add(c *store.UserChange) error {
	if c.PAT != nil {
		p := clonePAT(c.PAT)
		p.UserID = c.UserID
		if err := s.addPAT(&p); err != nil {
			return err
		}
	}
	if c.Session != nil {
		v := cloneSession(c.Session)
		v.UserID = c.UserID
		if err := s.addSession(&v); err != nil {
			return err
		}
		s.endOldest(c)
	}
	if c.Ticket != nil {
		t := cloneTicket(c.Ticket)
		t.UserID = c.UserID
		if err := s.putTicket(&t); err != nil {
			return err
		}
	}
	if c.Identity != nil {
		i := cloneIdentity(c.Identity)
		i.UserID = c.UserID
		if err := s.putIdentity(&i); err != nil {
			return err
		}
	}
	if c.SecurityKey != nil {
		k := cloneKey(c.SecurityKey)
		k.UserID = c.UserID
		if err := s.addKey(&k); err != nil {
			return err
		}
	}
	return s.addMessages(c.Messages)
}

func (s *Store) addMessages(messages []store.Message) error {
	for i := range messages {
		m := cloneMessage(&messages[i])
		if err := s.addMessage(&m); err != nil {
			return err
		}
	}
	return nil
}

// endOldest makes room for the session that c has opened.
func (s *Store) endOldest(c *store.UserChange) {
	if c.MaxSessions <= 0 || len(s.sessionsOf[c.UserID]) <= c.MaxSessions {
		return
	}
	for { // mostly there is one too many
		var oldest *store.Session
		others := 0
		for id := range s.sessionsOf[c.UserID] {
			v := s.sessions[id]
			if id == c.Session.ID || v.PATID != c.Session.PATID || !live(v.ExpiresAt, c.Now) {
				continue
			}
			if others++; oldest == nil || v.RotatedAt.Before(oldest.RotatedAt) {
				oldest = v
			}
		}
		if others < c.MaxSessions {
			return
		}
		s.removeSession(oldest)
	}
}

// edit does what c says about single records of the user, where they are the user's.
func (s *Store) edit(c *store.UserChange) {
	if p, ok := s.pats[c.UsePAT]; ok && p.UserID == c.UserID {
		used := *p
		used.LastUsedAt = c.Now
		s.replacePAT(&used)
	}
	if t := c.PutTokens; t != nil {
		if i, ok := s.identities[t.Key]; ok && i.UserID == c.UserID {
			changed := *i
			changed.Tokens = bytes.Clone(t.Tokens)
			s.replaceIdentity(&changed)
		}
	}
	if c.RenameKey != nil {
		if k, ok := s.keys[c.RenameKey.ID]; ok && k.UserID == c.UserID {
			renamed := *k
			renamed.Nickname = c.RenameKey.Nickname
			s.replaceKey(&renamed)
		}
	}
	if k, ok := s.keys[c.RemoveKey]; ok && k.UserID == c.UserID {
		s.removeKey(k)
	}
	if p, ok := s.pats[c.RemovePAT]; ok && p.UserID == c.UserID {
		s.removePAT(p)
	}
	if i, ok := s.identities[c.RemoveIdentity]; ok && i.UserID == c.UserID {
		s.removeIdentity(i)
	}
}
