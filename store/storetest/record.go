package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// text is a string that a careless store would mangle.
const text = "Жанна d'Arc \"🦀\" \\ % _ $1 ? \u00e9 e\u0301 \u200f\t\r\n --;/* "

// fullUser and the following have something in every field.
func fullUser() store.User {
	u := newUser()
	u.CreatedAt = base.Add(1 * tick)
	u.UpdatedAt = base.Add(2 * tick)
	u.LastSeenAt = base.Add(3 * tick)
	u.Disabled, u.Anonymous, u.EmailVerified, u.PhoneVerified = true, true, true, true
	u.DisplayName, u.AvatarURL, u.Locale, u.DefaultRole = text, "https://example.org/"+text, "zh-Hant-TW", text
	u.Roles = []string{"z", text, "a", "", "NULL", "{a,b}"}
	u.Metadata = json.RawMessage(`{"b": [1, 2.5, -3e10, true, null, "ж\"\\"], "a": {"": {}}, "длинный": "` + strings.Repeat("x", 1000) + `"}`)
	u.PasswordHash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA"
	u.TOTPSecret, u.TOTPPending = allBytes(256), allBytes(300)
	u.TOTPStep = 1<<62 + 1
	u.RecoveryCodes = [][]byte{newHash(), allBytes(256), newHash()}
	u.Epoch = 1
	return u
}

func fullIdentity() store.Identity {
	return store.Identity{
		Provider: "apple", Subject: text + uuid.NewString(), UserID: uuid.New(), Email: text,
		CreatedAt: base.Add(1 * tick), LastUsedAt: base.Add(2 * tick), Tokens: allBytes(100_000),
	}
}

func fullKey() store.SecurityKey {
	id := allBytes(1023) // WebAuthn Level 3, §4 "credential id"
	copy(id, newHash())
	return store.SecurityKey{
		ID: uuid.New(), UserID: uuid.New(), CredentialID: id, PublicKey: allBytes(2000), UserHandle: allBytes(64), SignCount: 1<<32 - 1,
		BackupEligible: true, BackupState: true, UserVerified: true, Transports: []string{"usb", "hybrid", "internal"},
		AAGUID: uuid.New(), AttestationFormat: "packed", Attachment: "cross-platform", Nickname: text,
		CreatedAt: base.Add(1 * tick), LastUsedAt: base.Add(2 * tick),
	}
}

func fullPAT() store.PAT {
	return store.PAT{
		ID: uuid.New(), UserID: uuid.New(), Hash: newHash(), Scopes: []string{"write", text, "read"},
		Metadata: json.RawMessage(`{"name": "ж", "n": [1, {}]}`), CreatedAt: base.Add(1 * tick),
		ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), LastUsedAt: base.Add(2 * tick),
	}
}

func fullSession() store.Session {
	return store.Session{
		ID: uuid.New(), UserID: uuid.New(), Generation: 3_000_000_000, CreatedAt: base.Add(1 * tick), RotatedAt: base.Add(2 * tick),
		AuthTime: base.Add(3 * tick), AMR: []string{"pwd", "otp", "mfa"}, Client: text, Address: "2001:db8::1%eth0",
		PATID: uuid.New(), Scopes: []string{"write", text, "", "read", "NULL", "{a,b}", "read"},
		ExpiresAt: base.AddDate(0, 1, 0).Add(tick), EndsAt: base.AddDate(1, 0, 0).Add(tick),
	}
}

func fullTicket() store.Ticket {
	return store.Ticket{
		ID: uuid.New(), Kind: "kind " + text, Slot: text, UserID: uuid.New(), Hash: newHash(), Data: allBytes(100_000), Tries: 5,
		CreatedAt: base.Add(1 * tick), ExpiresAt: base.AddDate(0, 1, 0).Add(tick),
	}
}

func fullMessage() store.Message {
	return store.Message{
		ID: uuid.New(), Channel: text, Body: allBytes(100_000), CreatedAt: base.Add(-2 * tick), NextAt: base.Add(-1 * tick), Attempts: 6,
	}
}

func fullSigningKey() store.SigningKey {
	return store.SigningKey{
		ID: "kid-_" + uuid.NewString(), Algorithm: "EdDSA", Private: allBytes(5000),
		CreatedAt: base.Add(1 * tick), ActiveAt: base.Add(2 * tick), ExpiresAt: base.AddDate(1, 0, 0).Add(tick),
	}
}

func fullEvent() store.Event {
	return store.Event{
		Seq: 1, ID: uuid.New(), At: base.Add(1 * tick), Type: "type " + text, UserID: uuid.New(), SessionID: uuid.New(),
		Address: "address " + text, Method: "method " + text, Code: "code " + text, Detail: "detail " + text, Link: allBytes(256),
	}
}

func allBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// complete fails the test if a field of record is left out, except those named.
func complete(t *testing.T, record any, except ...string) {
	t.Helper()
	v := reflect.ValueOf(record)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && !slices.Contains(except, name) {
			t.Errorf("the test leaves %T.%s at its zero value", record, name)
		}
	}
}

// precise fails the test if a time in record is not UTC or has more than microseconds.
func precise(t *testing.T, record any) {
	t.Helper()
	walk(reflect.TypeOf(record).String(), reflect.ValueOf(record), func(path string, v reflect.Value) {
		if at, ok := v.Interface().(time.Time); ok && (at.Location() != time.UTC || at.Nanosecond()%int(tick) != 0) {
			t.Errorf("%s is %v, want UTC and microseconds", path, at)
		}
	})
}

// manifest reads everything that belongs to one user and one of all else. It changes what it reads.
type manifest struct {
	Account     store.Account
	Ticket      store.Ticket
	TicketUser  store.User
	SigningKeys []store.SigningKey
	Messages    []store.Message
	Events      []store.Event
	Trail       []store.Event
	Head        []byte
	Users       []store.User
	Rotated     store.RotatedSession
}

// records is one of everything.
type records struct {
	User       store.User
	Identity   store.Identity
	Key        store.SecurityKey
	PAT        store.PAT
	Session    store.Session
	Ticket     store.Ticket
	Message    store.Message
	SigningKey store.SigningKey
	Event      store.Event
	Head       []byte
}

func fullRecords() *records {
	r := &records{
		fullUser(), fullIdentity(), fullKey(), fullPAT(), fullSession(), fullTicket(), fullMessage(), fullSigningKey(), fullEvent(),
		allBytes(256),
	}
	r.Session.PATID = r.PAT.ID
	return r
}

// write writes the records, half of them with the user and half later, or the other way round. It returns what the
// store returned.
func (r *records) write(t *testing.T, s store.Store, later bool) []any {
	t.Helper()
	ctx := t.Context()
	n := store.NewUser{User: r.User}
	c := store.UserChange{UserID: r.User.ID, Now: base, If: store.Conditions{Disabled: true}, PAT: &r.PAT}
	var returned []any
	if later {
		c.Identity, c.SecurityKey, c.Ticket, c.Messages = &r.Identity, &r.Key, &r.Ticket, []store.Message{r.Message}
	} else {
		n.Identity, n.SecurityKey, n.Ticket, n.Messages = &r.Identity, &r.Key, &r.Ticket, []store.Message{r.Message}
	}
	n.Within = func(_ context.Context, u store.User) error {
		returned = append(returned, u)
		return nil
	}
	u, err := s.CreateUser(ctx, n)
	wants(t, err, nil)
	returned = append(returned, u)
	u, err = s.ChangeUser(ctx, c)
	wants(t, err, nil)
	returned = append(returned, u)
	u, err = s.ChangeUser(ctx, store.UserChange{
		UserID: r.User.ID, Now: r.User.LastSeenAt, If: store.Conditions{Disabled: true}, Session: &r.Session,
	})
	wants(t, err, nil)
	returned = append(returned, u)
	if _, err = s.AddSigningKey(ctx, r.SigningKey, r.SigningKey.CreatedAt); err != nil {
		t.Errorf("AddSigningKey: %v", err)
	}
	head, _, err := s.AppendEvents(ctx, store.Append{Head: r.Head, Events: []store.Event{r.Event}})
	wants(t, err, nil)
	returned = append(returned, head)
	return returned
}

func (r *records) read(t *testing.T, s store.Store) manifest {
	t.Helper()
	ctx := t.Context()
	var m manifest
	var err error
	m.Account, err = s.User(ctx, store.UserQuery{ID: r.User.ID, Now: base, With: everything})
	wants(t, err, nil)
	q := bySecret(r.Ticket, base)
	q.UserID = r.User.ID
	m.Ticket, m.TicketUser, err = s.CheckTicket(ctx, q)
	wants(t, err, nil)
	m.SigningKeys, err = s.SigningKeys(ctx, base)
	wants(t, err, nil)
	m.Messages, err = s.ClaimMessages(ctx, store.MessageClaim{Now: base, Until: base, Limit: 10})
	wants(t, err, nil)
	m.Events, err = s.Events(ctx, store.EventQuery{Limit: 10})
	wants(t, err, nil)
	m.Head, m.Trail, err = s.Trail(ctx, 1, 10)
	wants(t, err, nil)
	m.Users, err = s.Users(ctx, uuid.Nil, 10)
	wants(t, err, nil)
	m.Rotated, err = s.RotateSession(ctx, present(r.Session.ID, r.Session.Generation, base))
	wants(t, err, nil)
	return m
}

// found is what read must find the first time.
func (r *records) found() manifest {
	u := r.User
	identity, key, pat, session, ticket, message := r.Identity, r.Key, r.PAT, r.Session, r.Ticket, r.Message
	identity.UserID, key.UserID, pat.UserID, session.UserID, ticket.UserID = u.ID, u.ID, u.ID, u.ID, u.ID
	ticket.Tries--
	message.Attempts++
	message.NextAt = base
	return manifest{
		Account: store.Account{
			User: u, Identities: []store.Identity{identity}, SecurityKeys: []store.SecurityKey{key},
			Sessions: []store.Session{session}, PATs: []store.PAT{pat},
		},
		Ticket: ticket, TicketUser: u,
		SigningKeys: []store.SigningKey{r.SigningKey}, Messages: []store.Message{message}, Events: []store.Event{r.Event},
		Trail: []store.Event{r.Event}, Head: r.Head,
		Users:   []store.User{u},
		Rotated: store.RotatedSession{Outcome: store.UserDisabled, Session: session, User: u},
	}
}

// compare reads everything, checks that it is as it was written, and returns it.
func (r *records) compare(t *testing.T, s store.Store) manifest {
	t.Helper()
	got := r.read(t, s)
	equal(t, "what was read", got, r.found())
	precise(t, got)
	return got
}

var recordTests = []test{
	{"every field comes back as it went in", roundTrip(false)},
	{"every field comes back as it went in, added later", roundTrip(true)},
	{"fields left empty come back empty", func(t *testing.T, s store.Store) {
		r := &records{
			User:     store.User{ID: uuid.New(), CreatedAt: base, UpdatedAt: base, Disabled: true, Epoch: 1},
			Identity: newIdentity(), Key: newKey(), PAT: newPAT(), Session: newSession(), Ticket: newTicket(), Message: newMessage(),
			SigningKey: newSigningKey(), Event: store.Event{Seq: 1, ID: uuid.New(), At: base, Type: "kind", Link: []byte{0}}, Head: []byte{0},
		}
		r.Identity.LastUsedAt, r.Identity.Tokens = time.Time{}, nil
		r.Key.SignCount, r.Key.Nickname = 0, ""
		r.Session.AMR, r.Session.Address, r.Session.Scopes = nil, "", nil
		r.Ticket.Data, r.Ticket.Tries = nil, 1
		r.write(t, s, false)
		r.compare(t, s)
	}},
	{"what was passed in may be changed afterwards", passedIn(false)},
	{"what was passed in may be changed afterwards, added later", passedIn(true)},
	{"values set may be changed afterwards", func(t *testing.T, s store.Store) {
		identity := newIdentity()
		u := create(t, s, store.NewUser{User: newUser(), Identity: &identity})
		tokens := store.IdentityTokens{Key: keyOf(identity), Tokens: []byte("tokens")}
		set := store.UserSet{
			Roles: []string{"user", "editor"}, Metadata: json.RawMessage(`{"a":1}`), TOTPSecret: new([]byte("secret")),
			TOTPPending: new([]byte("pending")), RecoveryCodes: &[][]byte{[]byte("one"), []byte("two")},
		}
		got := change(t, s, store.UserChange{UserID: u.ID, Set: set, PutTokens: &tokens})
		scribble(set)
		scribble(tokens)
		want := u
		want.Roles, want.Metadata = []string{"user", "editor"}, json.RawMessage(`{"a":1}`)
		want.TOTPSecret, want.TOTPPending = []byte("secret"), []byte("pending")
		want.RecoveryCodes = [][]byte{[]byte("one"), []byte("two")}
		equal(t, "the user returned", got, want)
		a := find(t, s, u.ID)
		equal(t, "the user found", a.User, want)
		identity.UserID, identity.Tokens = u.ID, []byte("tokens")
		equal(t, "the identities", a.Identities, []store.Identity{identity})
	}},
	{"letters and tickets passed alone may be changed afterwards", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		ticket := ticketOf(u.ID)
		passed := ticket
		passed.Hash, passed.Data = bytes.Clone(ticket.Hash), bytes.Clone(ticket.Data)
		put(t, s, passed)
		scribble(passed)
		takes(t, s, bySecret(ticket, base), ticket)
		message := newMessage()
		message.Body = bytes.Clone(message.Body)
		wants(t, s.DeleteUser(t.Context(), deletion(u.ID, message)), nil)
		scribble(message)
		for _, m := range claim(t, s, base, base.Add(time.Hour), 10) {
			equal(t, "the body", m.Body, []byte("sealed"))
		}
	}},
	{"what was returned may be changed", func(t *testing.T, s store.Store) {
		r := fullRecords()
		for _, v := range clone(r).write(t, s, true) {
			scribble(v)
		}
		for range 2 {
			scribble(r.compare(t, s))
			r.Ticket.Tries--
			r.Message.Attempts++
		}
		// By the other look-ups, and after a rotation.
		for range 2 {
			for _, q := range []store.UserQuery{
				{SessionID: r.Session.ID},
				{PATHashes: [][]byte{r.PAT.Hash}},
				{EmailKey: r.User.EmailKey},
				{Identity: keyOf(r.Identity), EmailKey: r.User.EmailKey},
			} {
				q.Now = base
				a, err := s.User(t.Context(), q)
				wants(t, err, nil)
				equal(t, "the user", a.User, r.User)
				if a.Session != nil {
					equal(t, "AMR and scopes", []any{a.Session.AMR, a.Session.Scopes}, []any{r.Session.AMR, r.Session.Scopes})
				}
				if a.PAT != nil {
					equal(t, "hash and scopes", []any{a.PAT.Hash, a.PAT.Scopes}, []any{r.PAT.Hash, r.PAT.Scopes})
				}
				scribble(a)
			}
		}
		enabled := change(t, s, store.UserChange{
			UserID: r.User.ID, If: store.Conditions{Disabled: true}, Set: store.UserSet{Disabled: new(false)},
		})
		want := clone(enabled)
		scribble(enabled)
		for i := range uint32(2) {
			got := rotate(t, s, present(r.Session.ID, r.Session.Generation+i, base))
			equal(t, "the user", got.User, want)
			equal(t, "AMR and scopes", []any{got.Session.AMR, got.Session.Scopes}, []any{r.Session.AMR, r.Session.Scopes})
			scribble(got)
		}
	}},
}

// passedIn tests that a store keeps no hold of what it was given.
func passedIn(later bool) func(*testing.T, store.Store) {
	return func(t *testing.T, s store.Store) {
		r := fullRecords()
		passed := clone(r)
		passed.write(t, s, later)
		scribble(passed)
		r.compare(t, s)
	}
}

// roundTrip tests that what is written is read again, down to the last bit.
func roundTrip(later bool) func(*testing.T, store.Store) {
	return func(t *testing.T, s store.Store) {
		r := fullRecords()
		complete(t, r.User)
		complete(t, r.Identity)
		complete(t, r.Key)
		complete(t, r.PAT)
		complete(t, r.Session)
		complete(t, r.Ticket)
		complete(t, r.Message, "Dead")
		complete(t, r.SigningKey)
		complete(t, r.Event)

		for _, u := range r.write(t, s, later) {
			if _, isUser := u.(store.User); isUser {
				equal[any](t, "a user returned by a write", u, r.User)
				precise(t, u)
			}
		}
		r.compare(t, s)
		// One byte more, and it is another credential, token or subject.
		for _, q := range []store.UserQuery{
			{CredentialID: append(bytes.Clone(r.Key.CredentialID), 0)},
			{Identity: store.IdentityKey{Provider: r.Identity.Provider, Subject: r.Identity.Subject + " "}},
			{PATHashes: [][]byte{func() []byte { h := sha256.Sum256(r.PAT.Hash); return h[:] }()}},
		} {
			q.Now = base
			_, err := s.User(t.Context(), q)
			wants(t, err, store.ErrNotFound)
		}
	}
}
