package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

var findTests = []test{
	{"each key finds its user, disabled or not", func(t *testing.T, s store.Store) {
		for _, disabled := range []bool{false, true} {
			create(t, s, newPerson())
			n, token := newPerson(), newPAT()
			create(t, s, n)
			token.UserID = n.User.ID
			u := change(t, s, store.UserChange{UserID: n.User.ID, PAT: &token, Set: store.UserSet{Disabled: new(disabled)}})
			n.Session.UserID = u.ID

			for key, q := range map[string]store.UserQuery{
				"ID":                                    {ID: u.ID},
				"EmailKey":                              {EmailKey: u.EmailKey},
				"Phone":                                 {Phone: u.Phone},
				"Identity":                              {Identity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject}},
				"Identity and EmailKey":                 {Identity: keyOf(*n.Identity), EmailKey: u.EmailKey},
				"Identity, and an EmailKey of nobody's": {Identity: keyOf(*n.Identity), EmailKey: "nobody@example.org"},
				"EmailKey, and an Identity of nobody's": {Identity: keyOf(newIdentity()), EmailKey: u.EmailKey},
				"EmailKey, and a Provider":              {Identity: store.IdentityKey{Provider: "github"}, EmailKey: u.EmailKey},
				"CredentialID":                          {CredentialID: n.SecurityKey.CredentialID},
				"PATHashes":                             {PATHashes: [][]byte{newHash(), token.Hash, newHash()}},
				"SessionID":                             {SessionID: n.Session.ID},
			} {
				q.Now = base
				got, err := s.User(t.Context(), q)
				wants(t, err, nil)
				want := store.Account{User: u}
				switch key {
				case "PATHashes":
					want.PAT = &token
				case "SessionID":
					want.Session = n.Session
				}
				equal(t, "the account found by "+key, got, want)
			}
		}
	}},
	{"what nobody has finds nobody", func(t *testing.T, s store.Store) {
		n := newPerson()
		create(t, s, n)
		nameless := newUser()
		nameless.Email, nameless.EmailKey, nameless.Phone = "", "", ""
		create(t, s, store.NewUser{User: nameless})
		for _, q := range []store.UserQuery{
			{},
			{ID: uuid.New()},
			{ID: n.Session.ID},
			{EmailKey: "nobody@example.org"},
			{EmailKey: n.User.Email},
			{EmailKey: n.User.EmailKey + " "},
			{EmailKey: "jane.%"},
			{EmailKey: n.User.Phone},
			{Phone: "+990"},
			{Phone: n.User.EmailKey},
			{Identity: store.IdentityKey{Provider: "google", Subject: n.Identity.Subject}},
			{Identity: store.IdentityKey{Provider: n.Identity.Provider, Subject: "unknown"}},
			{Identity: store.IdentityKey{Provider: n.Identity.Provider}},
			{Identity: keyOf(newIdentity()), EmailKey: "nobody@example.org"},
			{Identity: store.IdentityKey{Provider: "google", Subject: n.Identity.Subject}, EmailKey: n.User.Email},
			{Identity: store.IdentityKey{Provider: n.Identity.Provider}, EmailKey: n.Identity.Subject},
			{Identity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.User.EmailKey}, EmailKey: n.Identity.Subject},
			{CredentialID: newHash()},
			{CredentialID: n.SecurityKey.CredentialID[:16]},
			{PATHashes: [][]byte{newHash(), newHash()}},
			{PATHashes: [][]byte{}},
			{SessionID: uuid.New()},
			{SessionID: n.User.ID},
		} {
			q.Now, q.With = base, everything
			got, err := s.User(t.Context(), q)
			wants(t, err, store.ErrNotFound)
			equal(t, "the account returned with an error", got, store.Account{})
		}
	}},
	{"an identity comes before an address, whoever has that", func(t *testing.T, s store.Store) { // OA-28
		n, other := newPerson(), newPerson()
		u := create(t, s, n)
		create(t, s, other)
		q := store.UserQuery{Identity: keyOf(*n.Identity), EmailKey: other.User.EmailKey, With: everything, Now: early}
		finds := func(id uuid.UUID) {
			t.Helper()
			got, err := s.User(t.Context(), q)
			wants(t, err, nil)
			want, err := s.User(t.Context(), store.UserQuery{ID: id, With: q.With, Now: q.Now})
			wants(t, err, nil)
			equal(t, "the account", got, want)
		}
		finds(u.ID)
		// Also where its user is disabled, or has no address.
		change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{Disabled: new(true), Email: &store.Email{}}})
		finds(u.ID)
		change(t, s, store.UserChange{UserID: u.ID, If: store.Conditions{Disabled: true}, RemoveIdentity: keyOf(*n.Identity)})
		finds(other.User.ID)
		n.Identity.CreatedAt = base.Add(time.Second) // when the other has one already
		change(t, s, store.UserChange{UserID: other.User.ID, Identity: n.Identity})
		finds(other.User.ID)
		change(t, s, store.UserChange{UserID: other.User.ID, Set: store.UserSet{Email: &store.Email{}}})
		finds(other.User.ID)
		wants(t, s.DeleteUser(t.Context(), deletion(other.User.ID)), nil)
		_, err := s.User(t.Context(), q)
		wants(t, err, store.ErrNotFound)
	}},
	{"a session finds its user until the instant it expires", func(t *testing.T, s store.Store) {
		v := signIn(t, s, someone(t, s).ID, newSession())
		_, err := s.User(t.Context(), store.UserQuery{SessionID: v.ID, Now: v.ExpiresAt.Add(-tick)})
		wants(t, err, nil)
		_, err = s.User(t.Context(), store.UserQuery{SessionID: v.ID, Now: v.ExpiresAt})
		wants(t, err, store.ErrNotFound)
	}},
	{"a token finds its user until the instant it expires", func(t *testing.T, s store.Store) {
		p := newPAT()
		change(t, s, store.UserChange{UserID: someone(t, s).ID, PAT: &p})
		_, err := s.User(t.Context(), store.UserQuery{PATHashes: [][]byte{p.Hash}, Now: p.ExpiresAt.Add(-tick)})
		wants(t, err, nil)
		_, err = s.User(t.Context(), store.UserQuery{PATHashes: [][]byte{p.Hash}, Now: p.ExpiresAt})
		wants(t, err, store.ErrNotFound)
	}},
	{"an end in the next century has not come", func(t *testing.T, s store.Store) {
		// A store that looked at its own clock would believe now to be past it, or the end to be far off.
		v := newSession()
		v.ExpiresAt = base.AddDate(200, 0, 0)
		v.EndsAt = v.ExpiresAt
		signIn(t, s, someone(t, s).ID, v)
		_, err := s.User(t.Context(), store.UserQuery{SessionID: v.ID, Now: v.ExpiresAt.Add(-tick)})
		wants(t, err, nil)
		_, err = s.User(t.Context(), store.UserQuery{SessionID: v.ID, Now: v.ExpiresAt})
		wants(t, err, store.ErrNotFound)
	}},
	{"the lists asked for are complete, the oldest first, without what has expired", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		other := newPerson()
		token := newPAT()
		create(t, s, other)
		change(t, s, store.UserChange{UserID: other.User.ID, PAT: &token})
		// In an order that is neither that of creation nor its reverse. The ends are in another order still.
		for _, i := range []int{2, 0, 3, 1} {
			identity, key, session, token := newIdentity(), newKey(), newSession(), newPAT()
			created := base.Add(time.Duration(i) * time.Second)
			identity.CreatedAt, key.CreatedAt, session.CreatedAt, token.CreatedAt = created, created, created, created
			session.ExpiresAt = base.Add(time.Duration(10-i) * time.Minute)
			token.ExpiresAt = session.ExpiresAt
			u = change(t, s, store.UserChange{
				UserID: u.ID, Identity: &identity, SecurityKey: &key, Session: &session, PAT: &token,
			})
		}
		full, err := s.User(t.Context(), store.UserQuery{ID: u.ID, Now: early, With: everything})
		wants(t, err, nil)
		if len(full.Identities) != 4 || len(full.SecurityKeys) != 4 || len(full.Sessions) != 4 || len(full.PATs) != 4 {
			t.Fatalf("got %+v, want four of each", full)
		}
		for i := range 4 {
			created := base.Add(time.Duration(i) * time.Second)
			equal(t, "CreatedAt in order", []time.Time{
				full.Identities[i].CreatedAt, full.SecurityKeys[i].CreatedAt, full.Sessions[i].CreatedAt, full.PATs[i].CreatedAt,
			}, []time.Time{created, created, created, created})
		}

		for with := range everything + 1 {
			want := store.Account{User: u}
			if with&store.WithIdentities != 0 {
				want.Identities = full.Identities
			}
			if with&store.WithSecurityKeys != 0 {
				want.SecurityKeys = full.SecurityKeys
			}
			if with&store.WithSessions != 0 {
				want.Sessions = full.Sessions[:2] // those after expire at this instant or before
			}
			if with&store.WithPATs != 0 {
				want.PATs = full.PATs[:2]
			}
			got, err := s.User(t.Context(), store.UserQuery{EmailKey: u.EmailKey, With: with, Now: full.Sessions[2].ExpiresAt})
			wants(t, err, nil)
			equal(t, "the account", got, want)
		}
	}},
	{"lists come with every key", func(t *testing.T, s store.Store) {
		create(t, s, newPerson())
		n, token := newPerson(), newPAT()
		u := create(t, s, n)
		token.UserID, n.Session.UserID = u.ID, u.ID
		change(t, s, store.UserChange{UserID: u.ID, PAT: &token})
		// Those that have ended are left out, by whatever key the user is found.
		ended, endedToken := newSession(), newPAT()
		ended.ExpiresAt, endedToken.ExpiresAt = base, base
		change(t, s, store.UserChange{UserID: u.ID, Session: &ended, PAT: &endedToken})
		for key, q := range map[string]store.UserQuery{
			"ID":                                    {ID: u.ID},
			"EmailKey":                              {EmailKey: u.EmailKey},
			"Phone":                                 {Phone: u.Phone},
			"Identity":                              {Identity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject}},
			"Identity and EmailKey":                 {Identity: keyOf(*n.Identity), EmailKey: u.EmailKey},
			"EmailKey, and an Identity of nobody's": {Identity: keyOf(newIdentity()), EmailKey: u.EmailKey},
			"CredentialID":                          {CredentialID: n.SecurityKey.CredentialID},
			"one PATHash":                           {PATHashes: [][]byte{token.Hash}},
			"two PATHashes":                         {PATHashes: [][]byte{newHash(), token.Hash}},
			"SessionID":                             {SessionID: n.Session.ID},
		} {
			all := find(t, s, u.ID)
			for with := range everything + 1 {
				want := store.Account{User: u}
				if with&store.WithIdentities != 0 {
					want.Identities = all.Identities
				}
				if with&store.WithSecurityKeys != 0 {
					want.SecurityKeys = all.SecurityKeys
				}
				if with&store.WithSessions != 0 {
					want.Sessions = []store.Session{*n.Session}
				}
				if with&store.WithPATs != 0 {
					want.PATs = []store.PAT{token}
				}
				switch key {
				case "one PATHash", "two PATHashes":
					want.PAT = &token
				case "SessionID":
					want.Session = n.Session
				}
				q.With, q.Now = with, base
				got, err := s.User(t.Context(), q)
				wants(t, err, nil)
				equal(t, "the account found by "+key, got, want)
			}
		}
	}},
	{"Users are read page by page", func(t *testing.T, s store.Store) {
		page, err := s.Users(t.Context(), uuid.Nil, 10)
		wants(t, err, nil)
		if len(page) != 0 {
			t.Fatalf("an empty store has %d users", len(page))
		}
		want := map[uuid.UUID]store.User{}
		for range 7 {
			u := someone(t, s)
			want[u.ID] = u
		}
		var last uuid.UUID
		var sizes []int
		seen := map[uuid.UUID]store.User{}
		for {
			page, err := s.Users(t.Context(), last, 3)
			wants(t, err, nil)
			sizes = append(sizes, len(page))
			if len(page) == 0 || len(sizes) > 7 {
				break
			}
			for _, u := range page {
				if u.ID.String() <= last.String() {
					t.Errorf("user %s after %s", u.ID, last)
				}
				last = u.ID
				seen[u.ID] = u
			}
		}
		equal(t, "sizes of the pages", sizes, []int{3, 3, 1, 0})
		equal(t, "the users", seen, want)
	}},
	{"Users may begin after one who is gone, and miss nobody who comes", func(t *testing.T, s store.Store) {
		ids := []uuid.UUID{{0: 1}, {0: 2}, {0: 0x80}, {0: 0xff}}
		for _, id := range []uuid.UUID{ids[3], ids[0], ids[1]} {
			u := newUser()
			u.ID = id
			create(t, s, store.NewUser{User: u})
		}
		if _, err := s.Users(t.Context(), uuid.Nil, 10); err != nil {
			t.Fatal(err)
		}
		wants(t, s.DeleteUser(t.Context(), deletion(ids[1])), nil)
		u := newUser()
		u.ID = ids[2]
		create(t, s, store.NewUser{User: u})
		page, err := s.Users(t.Context(), ids[1], 10)
		wants(t, err, nil)
		var got []uuid.UUID
		for _, u := range page {
			got = append(got, u.ID)
		}
		equal(t, "the page", got, ids[2:])
	}},
}
