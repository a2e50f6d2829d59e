package sqlitestore

import (
	"github.com/ostiary/auth/store"
)

// This file writes and scans records, in the order of the columns in statement.go.

func userValues(u *store.User) []any {
	return []any{
		u.ID[:], micros(u.CreatedAt), micros(u.UpdatedAt), micros(u.LastSeenAt), u.Disabled, u.Anonymous, u.Email,
		null(u.EmailKey), u.EmailVerified, null(u.Phone), u.PhoneVerified, u.DisplayName, u.AvatarURL, u.Locale,
		u.DefaultRole, array(u.Roles), document(u.Metadata), u.PasswordHash, u.TOTPSecret, u.TOTPPending, u.TOTPStep,
		array(u.RecoveryCodes), u.Epoch,
	}
}

func userDest(u *store.User) []any {
	return []any{
		&u.ID, (*instant)(&u.CreatedAt), (*instant)(&u.UpdatedAt), (*instant)(&u.LastSeenAt), &u.Disabled, &u.Anonymous,
		&u.Email, (*text)(&u.EmailKey), &u.EmailVerified, (*text)(&u.Phone), &u.PhoneVerified, &u.DisplayName,
		&u.AvatarURL, &u.Locale, &u.DefaultRole, (*list[string])(&u.Roles), (*raw)(&u.Metadata), &u.PasswordHash,
		&u.TOTPSecret, &u.TOTPPending, &u.TOTPStep, (*list[[]byte])(&u.RecoveryCodes), &u.Epoch,
	}
}

func identityDest(i *store.Identity) []any {
	return []any{
		&i.Provider, &i.Subject, &i.UserID, &i.Email, (*instant)(&i.CreatedAt), (*instant)(&i.LastUsedAt), &i.Tokens,
	}
}

func keyDest(k *store.SecurityKey) []any {
	return []any{
		&k.ID, &k.UserID, &k.CredentialID, &k.PublicKey, &k.UserHandle, &k.SignCount, &k.BackupEligible, &k.BackupState,
		&k.UserVerified, (*list[string])(&k.Transports), &k.AAGUID, &k.AttestationFormat, &k.Attachment, &k.Nickname,
		(*instant)(&k.CreatedAt), (*instant)(&k.LastUsedAt),
	}
}

func patDest(p *store.PAT) []any {
	return []any{
		&p.ID, &p.UserID, &p.Hash, (*list[string])(&p.Scopes), (*raw)(&p.Metadata), (*instant)(&p.CreatedAt),
		(*instant)(&p.ExpiresAt), (*instant)(&p.LastUsedAt),
	}
}

func sessionDest(v *store.Session) []any {
	return []any{
		&v.ID, &v.UserID, &v.Generation, (*instant)(&v.CreatedAt), (*instant)(&v.RotatedAt), (*instant)(&v.AuthTime),
		(*list[string])(&v.AMR), &v.Client, &v.Address, &v.PATID, (*list[string])(&v.Scopes), (*instant)(&v.ExpiresAt),
		(*instant)(&v.EndsAt),
	}
}

func ticketDest(t *store.Ticket) []any {
	return []any{
		&t.ID, &t.Kind, &t.Slot, &t.UserID, &t.Hash, &t.Data, &t.Tries, (*instant)(&t.CreatedAt), (*instant)(&t.ExpiresAt),
	}
}

func signingKeyDest(k *store.SigningKey) []any {
	return []any{
		&k.ID, &k.Algorithm, &k.Private, (*instant)(&k.CreatedAt), (*instant)(&k.ActiveAt), (*instant)(&k.ExpiresAt),
	}
}

func messageDest(m *store.Message) []any {
	return []any{
		&m.ID, &m.Channel, &m.Body, (*instant)(&m.CreatedAt), (*instant)(&m.NextAt), &m.Attempts, &m.Dead,
	}
}

func eventDest(e *store.Event) []any {
	return []any{
		&e.Seq, (*rawID)(&e.ID), (*instant)(&e.At), &e.Type, (*rawID)(&e.UserID), (*rawID)(&e.SessionID), &e.Address, &e.Method,
		&e.Code, &e.Detail, &e.Link,
	}
}

// all reads the records that a statement finds.
func all[T any](o *op, st statement, dest func(*T) []any, args ...any) ([]T, error) {
	var found []T
	err := o.rows(st, func(scan func(...any) error) error {
		var record T
		if err := scan(dest(&record)...); err != nil {
			return err
		}
		found = append(found, record)
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// putIdentity adds an identity, or updates the one that the user has already.
func (o *op) putIdentity(i *store.Identity, user []byte) error {
	n, err := o.exec(putIdentity, i.Provider, i.Subject, user, i.Email, micros(i.CreatedAt), micros(i.LastUsedAt), i.Tokens)
	if err == nil && n == 0 {
		return store.ErrConflict{Field: store.FieldIdentity}
	}
	return err
}

func (o *op) addKey(k *store.SecurityKey, user []byte) error {
	_, err := o.exec(addKey, k.ID[:], user, full(k.CredentialID), full(k.PublicKey), full(k.UserHandle), k.SignCount,
		k.BackupEligible, k.BackupState, k.UserVerified, array(k.Transports), k.AAGUID[:], k.AttestationFormat, k.Attachment, k.Nickname,
		micros(k.CreatedAt), micros(k.LastUsedAt))
	return err
}

func (o *op) addPAT(p *store.PAT, user []byte) error {
	_, err := o.exec(addPAT, p.ID[:], user, full(p.Hash), array(p.Scopes), document(p.Metadata), micros(p.CreatedAt),
		micros(p.ExpiresAt), micros(p.LastUsedAt))
	return err
}

func (o *op) addSession(v *store.Session, user []byte) error {
	_, err := o.exec(addSession, v.ID[:], user, v.Generation, micros(v.CreatedAt), micros(v.RotatedAt), micros(v.AuthTime),
		array(v.AMR), v.Client, v.Address, id(v.PATID), array(v.Scopes), micros(v.ExpiresAt), micros(v.EndsAt))
	return err
}

// putTicket adds a ticket of a user, or of nobody where user is nil, in place of the one that lies where it belongs.
func (o *op) putTicket(t *store.Ticket, user []byte) error {
	if _, err := o.exec(clearSlot, t.Kind, t.Slot); err != nil {
		return err
	}
	_, err := o.exec(addTicket, t.ID[:], t.Kind, t.Slot, user, full(t.Hash), t.Data, t.Tries, micros(t.CreatedAt),
		micros(t.ExpiresAt))
	return err
}

func (o *op) addMessages(messages []store.Message) error {
	for i := range messages {
		m := &messages[i]
		if _, err := o.exec(addMessage, m.ID[:], m.Channel, full(m.Body), micros(m.CreatedAt), micros(m.NextAt),
			m.Attempts, m.Dead); err != nil {
			return err
		}
	}
	return nil
}
