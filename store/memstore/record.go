package memstore

import (
	"bytes"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// This file keeps the maps of a [Store] in step: for each kind of record there is one function that puts it in and one
// that takes it out. What they are given must not be changed afterwards.

func (s *Store) putUser(u *store.User) error {
	old, ok := s.users[u.ID]
	if !ok {
		old = &store.User{}
		s.userIDs = nil
	}
	if err := s.rename(s.emails, old.EmailKey, u.EmailKey, u.ID, store.FieldEmail); err != nil {
		return err
	}
	if err := s.rename(s.phones, old.Phone, u.Phone, u.ID, store.FieldPhone); err != nil {
		return err
	}
	if u.Anonymous {
		enqueue(&s.journal, s.anonymous, u.ID, u.LastSeenAt)
	} else if old.Anonymous {
		dequeue(&s.journal, s.anonymous, u.ID)
	}
	put(&s.journal, s.users, u.ID, u)
	return nil
}

// rename moves the user id from one unique name to another. The empty name is nobody's.
func (s *Store) rename(names map[string]uuid.UUID, from, to string, id uuid.UUID, field store.Field) error {
	if from == to {
		return nil
	}
	if to != "" {
		if _, taken := names[to]; taken {
			return store.ErrConflict{Field: field}
		}
		put(&s.journal, names, to, id)
	}
	if from != "" {
		remove(&s.journal, names, from)
	}
	return nil
}

func (s *Store) removeUser(u *store.User) {
	for key := range s.identitiesOf[u.ID] {
		s.removeIdentity(s.identities[key])
	}
	for id := range s.keysOf[u.ID] {
		s.removeKey(s.keys[id])
	}
	for id := range s.patsOf[u.ID] {
		s.removePAT(s.pats[id])
	}
	for id := range s.sessionsOf[u.ID] {
		s.removeSession(s.sessions[id])
	}
	for id := range s.ticketsOf[u.ID] {
		s.removeTicket(s.tickets[id])
	}
	if u.EmailKey != "" {
		remove(&s.journal, s.emails, u.EmailKey)
	}
	if u.Phone != "" {
		remove(&s.journal, s.phones, u.Phone)
	}
	dequeue(&s.journal, s.anonymous, u.ID)
	remove(&s.journal, s.users, u.ID)
	s.userIDs = nil
}

// putIdentity adds an identity, or updates the one that its user has already.
func (s *Store) putIdentity(i *store.Identity) error {
	key := store.IdentityKey{Provider: i.Provider, Subject: i.Subject}
	if old, ok := s.identities[key]; ok {
		if old.UserID != i.UserID {
			return store.ErrConflict{Field: store.FieldIdentity}
		}
		i.CreatedAt = old.CreatedAt
	}
	put(&s.journal, s.identities, key, i)
	link(&s.journal, s.identitiesOf, i.UserID, key)
	return nil
}

// replaceIdentity puts an identity in the place of the one with its key; the user is the same.
func (s *Store) replaceIdentity(i *store.Identity) {
	put(&s.journal, s.identities, store.IdentityKey{Provider: i.Provider, Subject: i.Subject}, i)
}

func (s *Store) removeIdentity(i *store.Identity) {
	key := store.IdentityKey{Provider: i.Provider, Subject: i.Subject}
	remove(&s.journal, s.identities, key)
	unlink(&s.journal, s.identitiesOf, i.UserID, key)
}

func (s *Store) addKey(k *store.SecurityKey) error {
	if _, taken := s.keys[k.ID]; taken {
		return store.ErrConflict{Field: store.FieldID}
	}
	if _, taken := s.keyIDs[string(k.CredentialID)]; taken {
		return store.ErrConflict{Field: store.FieldCredential}
	}
	put(&s.journal, s.keys, k.ID, k)
	put(&s.journal, s.keyIDs, string(k.CredentialID), k.ID)
	link(&s.journal, s.keysOf, k.UserID, k.ID)
	return nil
}

// replaceKey puts a key in the place of the one with its id; user and credential are the same.
func (s *Store) replaceKey(k *store.SecurityKey) { put(&s.journal, s.keys, k.ID, k) }

func (s *Store) removeKey(k *store.SecurityKey) {
	remove(&s.journal, s.keys, k.ID)
	remove(&s.journal, s.keyIDs, string(k.CredentialID))
	unlink(&s.journal, s.keysOf, k.UserID, k.ID)
}

var errPATHash = errors.New("memstore: the hash of a personal access token is taken")

func (s *Store) addPAT(p *store.PAT) error {
	if _, taken := s.pats[p.ID]; taken {
		return store.ErrConflict{Field: store.FieldID}
	}
	if _, taken := s.patIDs[string(p.Hash)]; taken {
		return errPATHash
	}
	put(&s.journal, s.pats, p.ID, p)
	put(&s.journal, s.patIDs, string(p.Hash), p.ID)
	link(&s.journal, s.patsOf, p.UserID, p.ID)
	enqueue(&s.journal, s.patEnds, p.ID, p.ExpiresAt)
	return nil
}

// replacePAT puts a token in the place of the one with its id; all that it is found by is the same.
func (s *Store) replacePAT(p *store.PAT) { put(&s.journal, s.pats, p.ID, p) }

// removePAT takes out a token and the sessions opened with it.
func (s *Store) removePAT(p *store.PAT) {
	for id := range s.sessionsOf[p.UserID] {
		if session := s.sessions[id]; session.PATID == p.ID {
			s.removeSession(session)
		}
	}
	remove(&s.journal, s.pats, p.ID)
	remove(&s.journal, s.patIDs, string(p.Hash))
	unlink(&s.journal, s.patsOf, p.UserID, p.ID)
	dequeue(&s.journal, s.patEnds, p.ID)
}

func (s *Store) addSession(v *store.Session) error {
	if _, taken := s.sessions[v.ID]; taken {
		return store.ErrConflict{Field: store.FieldID}
	}
	link(&s.journal, s.sessionsOf, v.UserID, v.ID)
	s.replaceSession(v)
	return nil
}

// replaceSession puts a session in the place of the one with its id; the user is the same.
func (s *Store) replaceSession(v *store.Session) {
	put(&s.journal, s.sessions, v.ID, v)
	enqueue(&s.journal, s.ends, v.ID, v.ExpiresAt)
}

func (s *Store) removeSession(v *store.Session) {
	remove(&s.journal, s.sessions, v.ID)
	unlink(&s.journal, s.sessionsOf, v.UserID, v.ID)
	dequeue(&s.journal, s.ends, v.ID)
}

// putTicket adds a ticket, in place of the one that lies where it belongs.
func (s *Store) putTicket(t *store.Ticket) error {
	place := slot{t.Kind, t.Slot}
	if id, ok := s.slots[place]; ok {
		s.removeTicket(s.tickets[id])
	}
	if _, taken := s.tickets[t.ID]; taken {
		return store.ErrConflict{Field: store.FieldID}
	}
	s.replaceTicket(t)
	put(&s.journal, s.slots, place, t.ID)
	link(&s.journal, s.secrets, secret{t.Kind, string(t.Hash)}, t.ID)
	if t.UserID != uuid.Nil {
		link(&s.journal, s.ticketsOf, t.UserID, t.ID)
	}
	enqueue(&s.journal, s.ticketEnds, t.ID, t.ExpiresAt)
	return nil
}

// replaceTicket puts a ticket in the place of the one with its id; all that it is found by is the same.
func (s *Store) replaceTicket(t *store.Ticket) { put(&s.journal, s.tickets, t.ID, t) }

func (s *Store) removeTicket(t *store.Ticket) {
	remove(&s.journal, s.tickets, t.ID)
	remove(&s.journal, s.slots, slot{t.Kind, t.Slot})
	unlink(&s.journal, s.secrets, secret{t.Kind, string(t.Hash)}, t.ID)
	if t.UserID != uuid.Nil {
		unlink(&s.journal, s.ticketsOf, t.UserID, t.ID)
	}
	dequeue(&s.journal, s.ticketEnds, t.ID)
}

func (s *Store) addMessage(m *store.Message) error {
	if _, taken := s.outbox[m.ID]; taken {
		return store.ErrConflict{Field: store.FieldID}
	}
	put(&s.journal, s.outbox, m.ID, m)
	return nil
}

// The following copy records so that they share no memory with the original.

func cloneUser(u *store.User) store.User {
	c := *u
	c.Roles = slices.Clone(u.Roles)
	c.Metadata = bytes.Clone(u.Metadata)
	c.TOTPSecret = bytes.Clone(u.TOTPSecret)
	c.TOTPPending = bytes.Clone(u.TOTPPending)
	c.RecoveryCodes = cloneAll(u.RecoveryCodes)
	return c
}

func cloneAll(list [][]byte) [][]byte {
	c := slices.Clone(list)
	for i := range c {
		c[i] = bytes.Clone(c[i])
	}
	return c
}

func cloneIdentity(i *store.Identity) store.Identity {
	c := *i
	c.Tokens = bytes.Clone(i.Tokens)
	return c
}

func cloneKey(k *store.SecurityKey) store.SecurityKey {
	c := *k
	c.CredentialID = bytes.Clone(k.CredentialID)
	c.PublicKey = bytes.Clone(k.PublicKey)
	c.UserHandle = bytes.Clone(k.UserHandle)
	c.Transports = slices.Clone(k.Transports)
	return c
}

func clonePAT(p *store.PAT) store.PAT {
	c := *p
	c.Hash = bytes.Clone(p.Hash)
	c.Scopes = slices.Clone(p.Scopes)
	c.Metadata = bytes.Clone(p.Metadata)
	return c
}

func cloneSession(v *store.Session) store.Session {
	c := *v
	c.AMR = slices.Clone(v.AMR)
	c.Scopes = slices.Clone(v.Scopes)
	return c
}

func cloneTicket(t *store.Ticket) store.Ticket {
	c := *t
	c.Hash = bytes.Clone(t.Hash)
	c.Data = bytes.Clone(t.Data)
	return c
}

func cloneSigningKey(k *store.SigningKey) store.SigningKey {
	c := *k
	c.Private = bytes.Clone(k.Private)
	return c
}

func cloneMessage(m *store.Message) store.Message {
	c := *m
	c.Body = bytes.Clone(m.Body)
	return c
}

func cloneEvent(e *store.Event) store.Event {
	c := *e
	c.Link = bytes.Clone(e.Link)
	return c
}
