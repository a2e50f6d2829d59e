package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// base is when everything starts. A store that has another clock in mind thinks that all of it has ended.
var base = time.Date(2001, time.February, 3, 4, 5, 6, 789012000, time.UTC)

// early is a time at which nothing has ended.
var early = base.Add(-time.Hour)

// tick is the resolution of the engine's clock.
const tick = time.Microsecond

const everything = store.WithIdentities | store.WithSecurityKeys | store.WithSessions | store.WithPATs

// newHash is what stands in for the hash of a secret.
func newHash() []byte {
	id := uuid.New()
	sum := sha256.Sum256(id[:])
	return sum[:]
}

func newUser() store.User {
	id := uuid.New()
	return store.User{
		ID: id, CreatedAt: base, UpdatedAt: base, LastSeenAt: base,
		Email: "Jane." + id.String() + "@Example.org", EmailKey: "jane." + id.String() + "@example.org",
		Phone:       fmt.Sprintf("+99%012d", binary.BigEndian.Uint64(id[8:])%1e12),
		DefaultRole: "user", Roles: []string{"user", "me"},
	}
}

// newIdentity and the following make records that belong to nobody yet.
func newIdentity() store.Identity {
	return store.Identity{
		Provider: "github", Subject: uuid.NewString(), CreatedAt: base, LastUsedAt: base, Tokens: newTokens(),
	}
}

func newTokens() []byte { return []byte("sealed " + uuid.NewString()) }

func keyOf(i store.Identity) store.IdentityKey {
	return store.IdentityKey{Provider: i.Provider, Subject: i.Subject}
}

func newKey() store.SecurityKey {
	return store.SecurityKey{
		ID: uuid.New(), CredentialID: newHash(), PublicKey: newHash(), SignCount: 7, Nickname: "blue", CreatedAt: base,
	}
}

func newPAT() store.PAT {
	return store.PAT{ID: uuid.New(), Hash: newHash(), CreatedAt: base, ExpiresAt: base.Add(time.Hour)}
}

func newSession() store.Session {
	return store.Session{
		ID: uuid.New(), CreatedAt: base, RotatedAt: base, AuthTime: base, AMR: []string{"pwd"}, Address: "192.0.2.1",
		Scopes: []string{"write", "read"}, ExpiresAt: base.Add(time.Hour), EndsAt: base.Add(24 * time.Hour),
	}
}

// newTicket stands any number of presentations.
func newTicket() store.Ticket {
	return store.Ticket{
		ID: uuid.New(), Kind: "link", Slot: uuid.NewString(), Hash: newHash(), Data: []byte("sealed"), Tries: -1,
		CreatedAt: base, ExpiresAt: base.Add(time.Hour),
	}
}

func ticketOf(user uuid.UUID) store.Ticket {
	t := newTicket()
	t.UserID = user
	return t
}

func newMessage() store.Message {
	return store.Message{ID: uuid.New(), Channel: "mail", Body: []byte("sealed"), CreatedAt: base, NextAt: base}
}

func newSigningKey() store.SigningKey {
	return store.SigningKey{
		ID: uuid.NewString(), Algorithm: "ES256", Private: []byte("sealed"),
		CreatedAt: base, ActiveAt: base, ExpiresAt: base.Add(time.Hour),
	}
}

func newEvent(user uuid.UUID, kind string) store.Event {
	return store.Event{ID: uuid.New(), At: base, Type: kind, UserID: user, Link: newHash()}
}

// record adds events to the audit trail and returns them with their numbers.
func record(t *testing.T, s store.Store, events ...store.Event) []store.Event {
	t.Helper()
	a := next(t, s, events...)
	head, appended, err := s.AppendEvents(t.Context(), a)
	if err != nil || !appended || !bytes.Equal(head, a.Head) {
		t.Fatalf("AppendEvents: %x, %v, %v", head, appended, err)
	}
	return a.Events
}

// next is what adds events to the audit trail as it is now.
func next(t *testing.T, s store.Store, events ...store.Event) store.Append {
	t.Helper()
	head, all := trail(t, s)
	a := store.Append{After: head, Head: newHash(), Events: clone(events)}
	seq := int64(0)
	if len(all) > 0 {
		seq = all[len(all)-1].Seq
	}
	for i := range a.Events {
		seq++
		a.Events[i].Seq = seq
	}
	return a
}

// trail reads the whole audit trail.
func trail(t *testing.T, s store.Store) (head []byte, events []store.Event) {
	t.Helper()
	head, events, err := s.Trail(t.Context(), math.MinInt64, 10_000)
	if err != nil {
		t.Fatalf("Trail: %v", err)
	}
	return head, events
}

// newPerson is a new user with one of everything. The records say that they are somebody else's, which must not matter.
func newPerson() store.NewUser {
	stranger := uuid.New()
	identity, key, session, ticket := newIdentity(), newKey(), newSession(), ticketOf(stranger)
	identity.UserID, key.UserID, session.UserID = stranger, stranger, stranger
	return store.NewUser{
		User: newUser(), Identity: &identity, SecurityKey: &key, Session: &session, Ticket: &ticket,
		Messages: []store.Message{newMessage(), newMessage()},
	}
}

func create(t *testing.T, s store.Store, n store.NewUser) store.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), n)
	if err != nil {
		t.Fatalf("CreateUser: %v", err)
	}
	return u
}

// someone creates a user like any other.
func someone(t *testing.T, s store.Store) store.User {
	t.Helper()
	return create(t, s, store.NewUser{User: newUser()})
}

func change(t *testing.T, s store.Store, c store.UserChange) store.User {
	t.Helper()
	if c.Now.IsZero() {
		c.Now = base
	}
	u, err := s.ChangeUser(t.Context(), c)
	if err != nil {
		t.Fatalf("ChangeUser: %v", err)
	}
	return u
}

// signIn opens a session of a user.
func signIn(t *testing.T, s store.Store, user uuid.UUID, v store.Session) store.Session {
	t.Helper()
	change(t, s, store.UserChange{UserID: user, Session: &v})
	v.UserID = user
	return v
}

func put(t *testing.T, s store.Store, ticket store.Ticket) store.Ticket {
	t.Helper()
	if err := s.PutTicket(t.Context(), ticket); err != nil {
		t.Fatalf("PutTicket: %v", err)
	}
	return ticket
}

// deletion is the end of a user, on no condition.
func deletion(user uuid.UUID, messages ...store.Message) store.UserDeletion {
	return store.UserDeletion{UserID: user, Now: base, If: store.Conditions{Disabled: true}, Messages: messages}
}

// find returns a user with all that can be listed, ended or not. Since the contract does not say what comes first of two
// records of one instant, it orders them by something else.
func find(t *testing.T, s store.Store, id uuid.UUID) store.Account {
	t.Helper()
	a, err := s.User(t.Context(), store.UserQuery{ID: id, Now: early, With: everything})
	if err != nil {
		t.Fatalf("User: %v", err)
	}
	slices.SortFunc(a.Identities, func(a, b store.Identity) int { return strings.Compare(a.Provider+a.Subject, b.Provider+b.Subject) })
	slices.SortFunc(a.SecurityKeys, func(a, b store.SecurityKey) int { return compareIDs(a.ID, b.ID) })
	slices.SortFunc(a.Sessions, func(a, b store.Session) int { return compareIDs(a.ID, b.ID) })
	slices.SortFunc(a.PATs, func(a, b store.PAT) int { return compareIDs(a.ID, b.ID) })
	return a
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func bySecret(ticket store.Ticket, now time.Time) store.TicketQuery {
	return store.TicketQuery{Kind: ticket.Kind, Hashes: [][]byte{ticket.Hash}, Now: now}
}

// lies says whether a ticket that stands any number of presentations is there, ended or not.
func lies(t *testing.T, s store.Store, ticket store.Ticket) bool {
	t.Helper()
	got, _, err := s.CheckTicket(t.Context(), bySecret(ticket, early))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("CheckTicket: %v", err)
	}
	return err == nil && got.ID == ticket.ID
}

// stays says whether a session is there, ended or not.
func stays(t *testing.T, s store.Store, session uuid.UUID) bool {
	t.Helper()
	_, err := s.User(t.Context(), store.UserQuery{SessionID: session, Now: early})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("User: %v", err)
	}
	return err == nil
}

// emptyOutbox claims all that is in the outbox and returns how many messages that are.
func emptyOutbox(t *testing.T, s store.Store) int {
	t.Helper()
	far := base.AddDate(100, 0, 0)
	list, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: far, Until: far.AddDate(1, 0, 0), Limit: 1000})
	if err != nil {
		t.Fatalf("ClaimMessages: %v", err)
	}
	return len(list)
}

// world is all that can be read of a store without changing it.
type world struct {
	Accounts    []store.Account
	SigningKeys []store.SigningKey
	Head        []byte
	Events      []store.Event
}

func look(t *testing.T, s store.Store) world {
	t.Helper()
	var w world
	users, err := s.Users(t.Context(), uuid.Nil, 1000)
	if err != nil {
		t.Fatalf("Users: %v", err)
	}
	for _, u := range users {
		w.Accounts = append(w.Accounts, find(t, s, u.ID))
	}
	if w.SigningKeys, err = s.SigningKeys(t.Context(), early); err != nil {
		t.Fatalf("SigningKeys: %v", err)
	}
	w.Head, w.Events = trail(t, s)
	return w
}

// unchanged fails the test if the store holds anything else than before.
func unchanged(t *testing.T, s store.Store, before world) {
	t.Helper()
	equal(t, "the store", look(t, s), before)
}

// equal compares records as a store must keep them: an empty slice is as good as nil, and JSON may be written in
// another way.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), sameJSON, sameBytes); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var sameJSON = cmp.FilterPath(
	// To a filter by values alone, any byte slice would be JSON.
	func(p cmp.Path) bool { return p.Last().Type() == reflect.TypeFor[json.RawMessage]() },
	cmp.FilterValues(
		func(a, b json.RawMessage) bool { return len(a)+len(b) > 0 }, // or else EquateEmpty has its say, too
		cmp.Transformer("JSON", func(raw json.RawMessage) any {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				return "not JSON: " + string(raw)
			}
			return v
		}),
	),
)

// sameBytes spares cmp the comparison of long slices byte by byte.
var sameBytes = cmp.FilterPath(
	func(p cmp.Path) bool { return p.Last().Type() == reflect.TypeFor[[]byte]() },
	cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal)),
)

// wants fails the test unless err is the one that was wanted.
func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func unmet(c store.Condition) error { return store.ErrUnmet{Condition: c} }

func conflict(f store.Field) error { return store.ErrConflict{Field: f} }

// walk calls visit for v and everything that it is made of, down to slices of bytes.
func walk(path string, v reflect.Value, visit func(path string, v reflect.Value)) {
	visit(path, v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(path, v.Elem(), visit)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i), visit)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			walk(path+"."+v.Type().Field(i).Name, v.Field(i), visit)
		}
	}
}

// scribble overwrites everything that record points to.
func scribble(record any) {
	walk("", reflect.ValueOf(record), func(_ string, v reflect.Value) {
		switch {
		case v.Kind() != reflect.Slice:
		case v.Type().Elem().Kind() == reflect.Uint8:
			b := v.Bytes()
			for i := range b {
				b[i] ^= 0xff
			}
		case v.Type().Elem().Kind() == reflect.String:
			for i := range v.Len() {
				v.Index(i).SetString("scribble")
			}
		}
	})
}

// clone copies a record with everything that it points to.
func clone[T any](record T) T {
	c := record
	unshare(reflect.ValueOf(&c).Elem())
	return c
}

func unshare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(v.Elem())
		v.Set(c)
		unshare(c.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		v.Set(c)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range c.Len() {
			unshare(c.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			unshare(v.Field(i))
		}
	}
}
