package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

var deleteTests = []test{
	{"all that belongs to a user goes with them", func(t *testing.T, s store.Store) {
		neighbour := newOwner(t, s)
		before := look(t, s)
		p := newOwner(t, s)
		identity := store.IdentityKey{Provider: p.Identity.Provider, Subject: p.Identity.Subject}
		emptyOutbox(t, s)

		wants(t, s.DeleteUser(t.Context(), deletion(p.User.ID, newMessage(), newMessage())), nil)
		unchanged(t, s, before)
		for _, q := range []store.UserQuery{
			{ID: p.User.ID},
			{EmailKey: p.User.EmailKey},
			{Phone: p.User.Phone},
			{Identity: identity},
			{CredentialID: p.SecurityKey.CredentialID},
			{PATHashes: [][]byte{p.token.Hash}},
			{SessionID: p.Session.ID},
			{SessionID: p.through.ID},
		} {
			q.Now = early
			_, err := s.User(t.Context(), q)
			wants(t, err, store.ErrNotFound)
		}
		if lies(t, s, *p.Ticket) || lies(t, s, p.code) {
			t.Error("a ticket of the user is still there")
		}
		if !lies(t, s, *neighbour.Ticket) || !lies(t, s, neighbour.code) {
			t.Error("a ticket of another user is gone")
		}
		for generation := range uint32(2) {
			_, err := s.RotateSession(t.Context(), store.SessionRotation{
				Candidates: []store.SessionGeneration{{ID: p.Session.ID, Generation: generation}}, Now: base, Idle: time.Hour,
			})
			wants(t, err, store.ErrNotFound)
		}
		claimed, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: base, Until: base.Add(time.Hour), Limit: 100})
		wants(t, err, nil)
		if len(claimed) != 2 {
			t.Errorf("%d messages were written, want 2", len(claimed))
		}
		_, err = s.ChangeUser(t.Context(), store.UserChange{UserID: p.User.ID, Now: base})
		wants(t, err, store.ErrNotFound)

		// Nothing that was unique is taken any more.
		p.Messages = nil
		create(t, s, p.NewUser)
		change(t, s, store.UserChange{UserID: p.User.ID, PAT: &p.token})
	}},
	{"the events of a user stay", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		record(t, s, newEvent(u.ID, "created"), newEvent(u.ID, "signed-in"))
		wants(t, s.DeleteUser(t.Context(), deletion(u.ID)), nil)
		events, err := s.Events(t.Context(), store.EventQuery{UserID: u.ID, Limit: 10})
		wants(t, err, nil)
		if len(events) != 2 {
			t.Errorf("%d events are left, want 2", len(events))
		}
	}},
	{"an unknown user cannot be deleted, and gets no letter", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		before := look(t, s)
		wants(t, s.DeleteUser(t.Context(), deletion(uuid.New(), newMessage())), store.ErrNotFound)
		unchanged(t, s, before)
		wants(t, s.DeleteUser(t.Context(), deletion(u.ID)), nil)
		wants(t, s.DeleteUser(t.Context(), deletion(u.ID, newMessage())), store.ErrNotFound)
		if n := emptyOutbox(t, s); n != 0 {
			t.Errorf("%d messages were written", n)
		}
	}},

	{"the first condition that does not hold is told, and nobody is deleted", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.User.Disabled, n.User.TOTPSecret = true, []byte("sealed")
		u := create(t, s, n)
		taken := newMessage()
		post(t, s, taken)
		// Nothing of this holds, and then one thing after the other is put right.
		d := store.UserDeletion{
			UserID: u.ID, Now: base,
			If: store.Conditions{
				Session: uuid.New(), Epoch: u.Epoch + 1, Anonymous: true, NoSecurityKeys: true, SecurityKey: uuid.New(),
				NoTOTP: true,
			},
			Messages: []store.Message{taken},
		}
		for _, step := range []struct {
			want   error
			mended func()
		}{
			{unmet(store.ConditionEnabled), func() { d.If.Disabled = true }},
			{unmet(store.ConditionSession), func() { d.If.Session = n.Session.ID }},
			{unmet(store.ConditionEpoch), func() { d.If.Epoch = u.Epoch }},
			{unmet(store.ConditionAnonymous), func() { d.If.Anonymous = false }},
			{unmet(store.ConditionNoSecurityKeys), func() { d.If.NoSecurityKeys = false }},
			{unmet(store.ConditionSecurityKey), func() { d.If.SecurityKey = n.SecurityKey.ID }},
			{unmet(store.ConditionNoTOTP), func() { d.If.NoTOTP = false }},
			{conflict(store.FieldID), func() { d.Messages = nil }},
		} {
			refusesDeletion(t, s, d, step.want)
			if !lies(t, s, *n.Ticket) {
				t.Error("the user's ticket is gone")
			}
			step.mended()
		}
		wants(t, s.DeleteUser(t.Context(), d), nil)
		_, err := s.User(t.Context(), store.UserQuery{ID: u.ID, Now: base})
		wants(t, err, store.ErrNotFound)
	}},
	{"a disabled user is deleted only where that is allowed", func(t *testing.T, s store.Store) { // RT-18
		n := store.NewUser{User: newUser()}
		n.User.Disabled = true
		d := deletion(create(t, s, n).ID, newMessage())
		d.If.Disabled = false
		refusesDeletion(t, s, d, unmet(store.ConditionEnabled))
		d.If.Disabled = true
		wants(t, s.DeleteUser(t.Context(), d), nil)
		// A user who is not may be deleted either way.
		for _, allowed := range []bool{false, true} {
			d := deletion(someone(t, s).ID)
			d.If.Disabled = allowed
			wants(t, s.DeleteUser(t.Context(), d), nil)
		}
		equal(t, "the store", look(t, s), world{})
	}},
	{"a deletion on a session is that of its user while it is live", func(t *testing.T, s store.Store) { // RT-13
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		ended := signIn(t, s, u.ID, newSession())
		foreign := signIn(t, s, someone(t, s).ID, newSession())
		if _, err := s.EndSessions(t.Context(), u.ID, ended.ID); err != nil {
			t.Fatal(err)
		}
		d := deletion(u.ID)
		for _, id := range []uuid.UUID{uuid.New(), foreign.ID, ended.ID, u.ID} {
			d.If.Session = id
			refusesDeletion(t, s, d, unmet(store.ConditionSession))
		}
		d.If.Session, d.Now = v.ID, v.ExpiresAt
		refusesDeletion(t, s, d, unmet(store.ConditionSession))
		d.Now = v.ExpiresAt.Add(-tick)
		wants(t, s.DeleteUser(t.Context(), d), nil)
	}},
	{"a deletion on an epoch is refused once something was revoked", func(t *testing.T, s store.Store) { // ST-06
		u := someone(t, s)
		read := u.Epoch
		u = change(t, s, store.UserChange{UserID: u.ID, Drop: store.Drop{Sessions: true}})
		d := deletion(u.ID)
		for _, epoch := range []int64{read, u.Epoch + 1} {
			d.If.Epoch = epoch
			refusesDeletion(t, s, d, unmet(store.ConditionEpoch))
		}
		d.If.Epoch = u.Epoch
		wants(t, s.DeleteUser(t.Context(), d), nil)
		d = deletion(change(t, s, store.UserChange{UserID: someone(t, s).ID, Drop: store.Drop{Sessions: true}}).ID)
		d.If.Epoch = 0
		wants(t, s.DeleteUser(t.Context(), d), nil)
	}},
	{"only an anonymous user is deleted as one", func(t *testing.T, s store.Store) { // W25
		n := store.NewUser{User: newUser()}
		n.User.Anonymous = true
		u := create(t, s, n)
		change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{Anonymous: new(false)}})
		d := deletion(u.ID)
		d.If.Anonymous = true
		refusesDeletion(t, s, d, unmet(store.ConditionAnonymous))
		change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{Anonymous: new(true)}})
		wants(t, s.DeleteUser(t.Context(), d), nil)
	}},
	{"a deletion tells a user with security keys from one without", func(t *testing.T, s store.Store) {
		n, other := newPerson(), newPerson()
		u := create(t, s, n)
		create(t, s, other)
		without, with := deletion(u.ID), deletion(u.ID)
		without.If.NoSecurityKeys = true
		refusesDeletion(t, s, without, unmet(store.ConditionNoSecurityKeys))
		for _, id := range []uuid.UUID{uuid.New(), other.SecurityKey.ID, u.ID} {
			with.If.SecurityKey = id
			refusesDeletion(t, s, with, unmet(store.ConditionSecurityKey))
		}
		with.If.SecurityKey = n.SecurityKey.ID
		change(t, s, store.UserChange{UserID: u.ID, RemoveKey: n.SecurityKey.ID})
		refusesDeletion(t, s, with, unmet(store.ConditionSecurityKey))
		wants(t, s.DeleteUser(t.Context(), without), nil)

		with = deletion(other.User.ID)
		with.If.SecurityKey = other.SecurityKey.ID
		wants(t, s.DeleteUser(t.Context(), with), nil)
		equal(t, "the store", look(t, s), world{})
	}},
	{"a deletion tells a user with a second factor from one without", func(t *testing.T, s store.Store) {
		n := store.NewUser{User: newUser()}
		n.User.TOTPSecret = []byte("sealed")
		d := deletion(create(t, s, n).ID)
		d.If.NoTOTP = true
		refusesDeletion(t, s, d, unmet(store.ConditionNoTOTP))
		change(t, s, store.UserChange{UserID: n.User.ID, Set: store.UserSet{TOTPSecret: new([]byte(nil))}})
		wants(t, s.DeleteUser(t.Context(), d), nil)
	}},
	{"a letter whose id is taken keeps its user from being deleted", func(t *testing.T, s store.Store) {
		p := newOwner(t, s)
		refusesDeletion(t, s, deletion(p.User.ID, newMessage(), p.Messages[0]), conflict(store.FieldID))
		if !lies(t, s, *p.Ticket) || !lies(t, s, p.code) {
			t.Error("a ticket of the user is gone")
		}
		wants(t, s.DeleteUser(t.Context(), deletion(p.User.ID)), nil)
	}},
}

// refusesDeletion checks that d is refused with an error and that nothing has happened.
func refusesDeletion(t *testing.T, s store.Store, d store.UserDeletion, want error) {
	t.Helper()
	mark := newMessage()
	d.Messages = append([]store.Message{mark}, d.Messages...)
	before := look(t, s)
	wants(t, s.DeleteUser(t.Context(), d), want)
	unchanged(t, s, before)
	list, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: base, Until: base, Limit: 1000})
	wants(t, err, nil)
	for _, m := range list {
		if m.ID == mark.ID {
			t.Error("a letter of the deletion was left behind")
		}
	}
}
