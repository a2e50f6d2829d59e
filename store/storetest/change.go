package storetest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

var changeTests = []test{
	{"an empty change changes nothing", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		before := look(t, s)
		equal(t, "the user returned", change(t, s, store.UserChange{UserID: u.ID, Now: base.Add(time.Hour)}), u)
		unchanged(t, s, before)
		if !lies(t, s, *n.Ticket) {
			t.Error("a ticket is gone")
		}
	}},
	{"each field is set alone, and cleared", func(t *testing.T, s store.Store) {
		sets := map[string]struct {
			set, clear func(*store.UserSet)
			get        func(u *store.User) any
			want, none any
		}{
			"Email": {
				func(n *store.UserSet) { n.Email = &store.Email{Typed: "New@Example.org", Key: "new@example.org"} },
				func(n *store.UserSet) { n.Email = &store.Email{} },
				func(u *store.User) any {
					e := store.Email{Typed: u.Email, Key: u.EmailKey}
					u.Email, u.EmailKey = "", ""
					return e
				},
				store.Email{Typed: "New@Example.org", Key: "new@example.org"},
				store.Email{},
			},
			"EmailVerified": {
				func(n *store.UserSet) { n.EmailVerified = new(true) },
				func(n *store.UserSet) { n.EmailVerified = new(false) },
				func(u *store.User) any { return reset(&u.EmailVerified) }, true, false,
			},
			"Phone": {
				func(n *store.UserSet) { n.Phone = new("+4477") },
				func(n *store.UserSet) { n.Phone = new("") },
				func(u *store.User) any { return reset(&u.Phone) }, "+4477", "",
			},
			"PhoneVerified": {
				func(n *store.UserSet) { n.PhoneVerified = new(true) },
				func(n *store.UserSet) { n.PhoneVerified = new(false) },
				func(u *store.User) any { return reset(&u.PhoneVerified) }, true, false,
			},
			"Disabled": {
				func(n *store.UserSet) { n.Disabled = new(true) },
				func(n *store.UserSet) { n.Disabled = new(false) },
				func(u *store.User) any { return reset(&u.Disabled) }, true, false,
			},
			"Anonymous": {
				func(n *store.UserSet) { n.Anonymous = new(true) },
				func(n *store.UserSet) { n.Anonymous = new(false) },
				func(u *store.User) any { return reset(&u.Anonymous) }, true, false,
			},
			"DisplayName": {
				func(n *store.UserSet) { n.DisplayName = new("Jane") },
				func(n *store.UserSet) { n.DisplayName = new("") },
				func(u *store.User) any { return reset(&u.DisplayName) }, "Jane", "",
			},
			"AvatarURL": {
				func(n *store.UserSet) { n.AvatarURL = new("https://example.org/jane") },
				func(n *store.UserSet) { n.AvatarURL = new("") },
				func(u *store.User) any { return reset(&u.AvatarURL) }, "https://example.org/jane", "",
			},
			"Locale": {
				func(n *store.UserSet) { n.Locale = new("bg") },
				func(n *store.UserSet) { n.Locale = new("") },
				func(u *store.User) any { return reset(&u.Locale) }, "bg", "",
			},
			"DefaultRole": {
				func(n *store.UserSet) { n.DefaultRole = new("admin") },
				func(n *store.UserSet) { n.DefaultRole = new("") },
				func(u *store.User) any { return reset(&u.DefaultRole) }, "admin", "",
			},
			"Roles": {
				func(n *store.UserSet) { n.Roles = []string{"z", "a", "m"} },
				func(n *store.UserSet) { n.Roles = []string{} },
				func(u *store.User) any { return reset(&u.Roles) },
				[]string{"z", "a", "m"},
				[]string(nil),
			},
			"Metadata": {
				func(n *store.UserSet) { n.Metadata = json.RawMessage(`{"a":1}`) },
				func(n *store.UserSet) { n.Metadata = json.RawMessage(`{}`) },
				func(u *store.User) any { return reset(&u.Metadata) }, json.RawMessage(`{"a": 1}`), json.RawMessage(`{}`),
			},
			"PasswordHash": {
				func(n *store.UserSet) { n.PasswordHash = new("$argon2id$") },
				func(n *store.UserSet) { n.PasswordHash = new("") },
				func(u *store.User) any { return reset(&u.PasswordHash) }, "$argon2id$", "",
			},
			"TOTPSecret": {
				func(n *store.UserSet) { n.TOTPSecret = new([]byte("sealed")) },
				func(n *store.UserSet) { n.TOTPSecret = new([]byte(nil)) },
				func(u *store.User) any { return reset(&u.TOTPSecret) }, []byte("sealed"), []byte(nil),
			},
			"TOTPPending": {
				func(n *store.UserSet) { n.TOTPPending = new([]byte("sealed")) },
				func(n *store.UserSet) { n.TOTPPending = new([]byte(nil)) },
				func(u *store.User) any { return reset(&u.TOTPPending) }, []byte("sealed"), []byte(nil),
			},
			"RecoveryCodes": {
				func(n *store.UserSet) { n.RecoveryCodes = &[][]byte{{1}, {2}} },
				func(n *store.UserSet) { n.RecoveryCodes = new([][]byte(nil)) },
				func(u *store.User) any { return reset(&u.RecoveryCodes) },
				[][]byte{{1}, {2}},
				[][]byte(nil),
			},
		}
		if got, want := len(sets), reflect.TypeFor[store.UserSet]().NumField(); got != want {
			t.Errorf("%d fields are tested, UserSet has %d", got, want)
		}
		for _, start := range []store.User{newUser(), fullUser()} {
			start.Disabled = false
			create(t, s, store.NewUser{User: start})
			for field, test := range sets {
				for _, step := range []struct {
					set  func(*store.UserSet)
					want any
				}{{test.set, test.want}, {test.clear, test.none}, {test.set, test.want}, {test.clear, test.none}} {
					before := find(t, s, start.ID).User
					c := store.UserChange{UserID: start.ID, Now: before.UpdatedAt.Add(time.Second), If: store.Conditions{Disabled: true}}
					step.set(&c.Set)
					after := change(t, s, c)
					equal(t, "the user found after setting "+field, find(t, s, start.ID).User, after)
					if !after.UpdatedAt.Equal(c.Now) {
						t.Errorf("after setting %s, UpdatedAt is %v, want %v", field, after.UpdatedAt, c.Now)
					}
					equal(t, field, test.get(&after), step.want)
					// Apart from this, nothing is different.
					test.get(&before)
					before.UpdatedAt = after.UpdatedAt
					if field == "Disabled" {
						before.Epoch = after.Epoch
					}
					equal(t, "the user after setting "+field, after, before)
				}
			}
		}
	}},
	{"the epoch grows with what takes away or disables, and with nothing else", func(t *testing.T, s store.Store) { // ST-06
		n := newPerson()
		u := create(t, s, n)
		recovery, token, identity := newHash(), newPAT(), newIdentity()
		u = change(t, s, store.UserChange{
			UserID: u.ID, PAT: &token, Identity: &identity, Set: store.UserSet{RecoveryCodes: &[][]byte{recovery}},
		})
		ticket := put(t, s, ticketOf(u.ID))

		for name, c := range map[string]store.UserChange{
			"nothing":     {},
			"fields":      {Set: store.UserSet{PasswordHash: new("$argon2id$"), TOTPSecret: new([]byte("sealed")), Roles: []string{"user"}}},
			"Session":     {Session: new(newSession()), MaxSessions: 1},
			"Redeem":      {Redeem: ticket.ID},
			"TOTP":        {TOTPStep: 77},
			"recovery":    {RecoveryCode: recovery},
			"UseKey":      {UseKey: &store.KeyUse{ID: n.SecurityKey.ID, WasSignCount: n.SecurityKey.SignCount, SignCount: 50}},
			"TakeTokens":  {TakeTokens: &store.IdentityTokens{Key: keyOf(*n.Identity), Tokens: n.Identity.Tokens}},
			"UsePAT":      {UsePAT: token.ID},
			"PutTokens":   {PutTokens: &store.IdentityTokens{Key: keyOf(identity), Tokens: newTokens()}},
			"no tokens":   {PutTokens: &store.IdentityTokens{Key: keyOf(identity)}},
			"additions":   {Ticket: new(newTicket()), Identity: new(newIdentity()), SecurityKey: new(newKey()), PAT: new(newPAT())},
			"RenameKey":   {RenameKey: &store.KeyName{ID: n.SecurityKey.ID, Nickname: "green"}},
			"KeepSession": {Drop: store.Drop{KeepSession: n.Session.ID}},
			"no Tickets":  {Drop: store.Drop{Tickets: []string{}}},
		} {
			c.UserID = u.ID
			if got := change(t, s, c).Epoch; got != u.Epoch {
				t.Errorf("with %s the epoch has changed from %d to %d", name, u.Epoch, got)
			}
		}
		// Twice: whether there is anything left to take away makes no difference to whoever read the user before.
		for range 2 {
			for name, c := range map[string]store.UserChange{
				"Drop.Sessions":     {Drop: store.Drop{Sessions: true}},
				"Drop.KeepSession":  {Drop: store.Drop{Sessions: true, KeepSession: uuid.New()}},
				"Drop.PATs":         {Drop: store.Drop{PATs: true}},
				"Drop.SecurityKeys": {Drop: store.Drop{SecurityKeys: true}},
				"Drop.Identities":   {Drop: store.Drop{Identities: true}},
				"Drop.Tickets":      {Drop: store.Drop{Tickets: []string{"link"}}},
				"Drop.AllTickets":   {Drop: store.Drop{AllTickets: true}},
				"RemoveKey":         {RemoveKey: n.SecurityKey.ID},
				"RemovePAT":         {RemovePAT: token.ID},
				"RemoveIdentity": {
					RemoveIdentity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject},
				},
				"Set.Disabled to true":  {Set: store.UserSet{Disabled: new(true)}},
				"Set.Disabled to false": {Set: store.UserSet{Disabled: new(false)}},
			} {
				c.UserID, c.If.Disabled = u.ID, true
				got := change(t, s, c)
				if got.Epoch <= u.Epoch {
					t.Errorf("with %s the epoch has gone from %d to %d", name, u.Epoch, got.Epoch)
				}
				u = got
			}
		}
		equal(t, "the user", find(t, s, u.ID).User, u)
	}},
	{"a recovery code is used by a change that sets the codes", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		used, left, renewed := newHash(), newHash(), newHash()
		change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{RecoveryCodes: &[][]byte{used, left}}})
		set := store.UserChange{UserID: u.ID, RecoveryCode: used, Set: store.UserSet{RecoveryCodes: &[][]byte{renewed}}}
		equal(t, "the codes", change(t, s, set).RecoveryCodes, [][]byte{renewed})
		_, err := s.ChangeUser(t.Context(), set)
		wants(t, err, unmet(store.ConditionRecoveryCode))
		set.RecoveryCode, set.Set.RecoveryCodes = renewed, &[][]byte{}
		equal(t, "the codes after the last", len(change(t, s, set).RecoveryCodes), 0)
	}},
	{"a session is opened", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		other := someone(t, s)
		v := newSession()
		v.UserID = other.ID
		got := change(t, s, store.UserChange{UserID: u.ID, Now: base.Add(time.Minute), Session: &v})
		v.UserID = u.ID
		want := u
		want.LastSeenAt = base.Add(time.Minute)
		equal(t, "the account", find(t, s, u.ID), store.Account{User: want, Sessions: []store.Session{v}})
		equal(t, "the user returned", got, want)
		equal(t, "another user", find(t, s, other.ID), store.Account{User: other})
		equal(t, "the user after a change without a session",
			change(t, s, store.UserChange{UserID: u.ID, Now: base.Add(time.Hour)}), want)
	}},
	{"the least recently used sessions make room", func(t *testing.T, s store.Store) { // RT-25
		u, other := someone(t, s), someone(t, s)
		foreign := signIn(t, s, other.ID, newSession())
		var ids []uuid.UUID
		// Opened in one order, used in another.
		for _, used := range []time.Duration{3, 1, 4, 2, 5} {
			v := newSession()
			v.RotatedAt = base.Add(used * time.Second)
			ids = append(ids, signIn(t, s, u.ID, v).ID)
		}
		now := base.Add(time.Minute)
		expired := newSession()
		expired.RotatedAt, expired.ExpiresAt = now, now
		signIn(t, s, u.ID, expired)
		latest := newSession()
		latest.RotatedAt = now

		c := store.UserChange{UserID: u.ID, Now: now, Session: &latest, MaxSessions: 6}
		change(t, s, c)
		livesOnly(t, s, u.ID, now, latest.ID, ids[0], ids[1], ids[2], ids[3], ids[4])

		second := newSession()
		second.RotatedAt = now
		c.Session, c.MaxSessions = &second, 4
		change(t, s, c)
		livesOnly(t, s, u.ID, now, second.ID, latest.ID, ids[4], ids[2])

		// The new one stays although another replica's clock makes it look old.
		third := newSession()
		third.RotatedAt = base.Add(-time.Minute)
		c.Session, c.MaxSessions = &third, 1
		change(t, s, c)
		livesOnly(t, s, u.ID, now, third.ID)

		fourth := newSession()
		c.Session, c.MaxSessions = &fourth, 0
		change(t, s, c)
		livesOnly(t, s, u.ID, now, third.ID, fourth.ID)
		change(t, s, store.UserChange{UserID: u.ID, Now: now, MaxSessions: 1})
		livesOnly(t, s, u.ID, now, third.ID, fourth.ID)
		livesOnly(t, s, other.ID, now, foreign.ID)
	}},
	{"sessions of a token make room for each other, and for no others", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		one, two := newPAT(), newPAT()
		change(t, s, store.UserChange{UserID: u.ID, PAT: &one})
		change(t, s, store.UserChange{UserID: u.ID, PAT: &two})
		at := base
		open := func(token uuid.UUID) uuid.UUID {
			at = at.Add(time.Second)
			v := newSession()
			v.PATID, v.RotatedAt = token, at
			change(t, s, store.UserChange{UserID: u.ID, Now: at, Session: &v, MaxSessions: 2})
			return v.ID
		}
		own, first, other := open(uuid.Nil), open(one.ID), open(two.ID)
		second := open(one.ID)
		livesOnly(t, s, u.ID, at, own, first, other, second)
		third := open(one.ID)
		livesOnly(t, s, u.ID, at, own, other, second, third)
		latest := open(uuid.Nil)
		livesOnly(t, s, u.ID, at, own, other, second, third, latest)
		last := open(uuid.Nil)
		livesOnly(t, s, u.ID, at, other, second, third, latest, last)
	}},
	{"a use makes a session recent", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		old, later := newSession(), newSession()
		later.RotatedAt = base.Add(time.Second)
		signIn(t, s, u.ID, old)
		signIn(t, s, u.ID, later)
		_, err := s.RotateSession(t.Context(), store.SessionRotation{
			Candidates: []store.SessionGeneration{{ID: old.ID}}, Now: base.Add(time.Minute), Idle: time.Hour,
		})
		wants(t, err, nil)
		latest := newSession()
		latest.RotatedAt = base.Add(2 * time.Minute)
		change(t, s, store.UserChange{UserID: u.ID, Now: base.Add(2 * time.Minute), Session: &latest, MaxSessions: 2})
		livesOnly(t, s, u.ID, base, old.ID, latest.ID)
	}},
	{"records added are the user's, whoever they say", func(t *testing.T, s store.Store) {
		u, other := someone(t, s), someone(t, s)
		identity, key, token, ticket := newIdentity(), newKey(), newPAT(), ticketOf(other.ID)
		identity.UserID, key.UserID, token.UserID = other.ID, other.ID, uuid.New()
		change(t, s, store.UserChange{
			UserID: u.ID, Identity: &identity, SecurityKey: &key, PAT: &token, Ticket: &ticket,
			Messages: []store.Message{newMessage(), newMessage()},
		})
		identity.UserID, key.UserID, token.UserID = u.ID, u.ID, u.ID
		equal(t, "the account", find(t, s, u.ID), store.Account{
			User: u, Identities: []store.Identity{identity}, SecurityKeys: []store.SecurityKey{key}, PATs: []store.PAT{token},
		})
		equal(t, "the other account", find(t, s, other.ID), store.Account{User: other})
		got, owner, err := s.CheckTicket(t.Context(), bySecret(ticket, base))
		wants(t, err, nil)
		equal(t, "the ticket's users", []uuid.UUID{got.UserID, owner.ID}, []uuid.UUID{u.ID, u.ID})
		if n := emptyOutbox(t, s); n != 2 {
			t.Errorf("%d messages in the outbox, want 2", n)
		}
	}},
	{"a ticket issued replaces the one before, also the one redeemed", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		first, second, third := ticketOf(u.ID), ticketOf(u.ID), ticketOf(u.ID)
		second.Slot, third.Slot = first.Slot, first.Slot
		put(t, s, first)
		change(t, s, store.UserChange{UserID: u.ID, Ticket: &second})
		if lies(t, s, first) || !lies(t, s, second) {
			t.Error("the first ticket is still there, or the second is not")
		}
		change(t, s, store.UserChange{UserID: u.ID, Redeem: second.ID, Ticket: &third})
		if lies(t, s, second) || !lies(t, s, third) {
			t.Error("the second ticket is still there, or the third is not")
		}
	}},
	{"an identity that the user has is updated", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.Identity.Email, n.Identity.Tokens = "before@example.org", []byte("sealed before")
		u := create(t, s, n)
		want := find(t, s, u.ID).Identities[0]
		for i, tokens := range [][]byte{[]byte("sealed after"), nil} {
			later := base.Add(time.Duration(i+1) * time.Minute)
			update := store.Identity{
				Provider: want.Provider, Subject: want.Subject, Email: later.String(), Tokens: tokens, CreatedAt: later, LastUsedAt: later,
			}
			change(t, s, store.UserChange{UserID: u.ID, Now: later, Identity: &update})
			want.Email, want.Tokens, want.LastUsedAt = update.Email, tokens, later
			equal(t, "the identities", find(t, s, u.ID).Identities, []store.Identity{want})
		}
	}},
	{"the tokens of an identity are set, and nothing else of it", func(t *testing.T, s store.Store) {
		n, other := newPerson(), newPerson()
		n.Identity.Email = "jane@example.org"
		u := create(t, s, n)
		create(t, s, other)
		change(t, s, store.UserChange{UserID: u.ID, Identity: new(newIdentity())})
		want := look(t, s)
		for i, tokens := range [][]byte{newTokens(), newTokens(), nil, newTokens(), {}, allBytes(100_000)} {
			change(t, s, store.UserChange{
				UserID: u.ID, Now: base.Add(time.Duration(i+1) * time.Minute),
				PutTokens: &store.IdentityTokens{Key: keyOf(*n.Identity), Tokens: tokens},
			})
			for i := range want.Accounts {
				for j := range want.Accounts[i].Identities {
					if identity := &want.Accounts[i].Identities[j]; keyOf(*identity) == keyOf(*n.Identity) {
						identity.Tokens = tokens
					}
				}
			}
			unchanged(t, s, want)
		}
	}},
	{"tokens are taken before the same change does anything else, and put after it adds an identity", func(t *testing.T, s store.Store) {
		for name, test := range map[string]struct {
			do   func(c *store.UserChange, mine store.IdentityKey)
			want string // the tokens afterwards
			gone bool
		}{
			"nothing else": {do: func(*store.UserChange, store.IdentityKey) {}, want: "before"},
			"Identity": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.Identity = &store.Identity{Provider: mine.Provider, Subject: mine.Subject, Tokens: []byte("added")}
				},
				want: "added",
			},
			"Identity without tokens": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.Identity = &store.Identity{Provider: mine.Provider, Subject: mine.Subject}
				},
			},
			"PutTokens": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.PutTokens = &store.IdentityTokens{Key: mine, Tokens: []byte("put")}
				},
				want: "put",
			},
			"Identity and PutTokens": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.Identity = &store.Identity{Provider: mine.Provider, Subject: mine.Subject, Tokens: []byte("added")}
					c.PutTokens = &store.IdentityTokens{Key: mine, Tokens: []byte("put")}
				},
				want: "put",
			},
			"RemoveIdentity": {
				do:   func(c *store.UserChange, mine store.IdentityKey) { c.RemoveIdentity = mine },
				gone: true,
			},
			"PutTokens and RemoveIdentity": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.PutTokens = &store.IdentityTokens{Key: mine, Tokens: []byte("put")}
					c.RemoveIdentity = mine
				},
				gone: true,
			},
			"Drop": {
				do:   func(c *store.UserChange, _ store.IdentityKey) { c.Drop.Identities = true },
				gone: true,
			},
			"Drop and PutTokens": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.Drop.Identities = true
					c.PutTokens = &store.IdentityTokens{Key: mine, Tokens: []byte("put")}
				},
				gone: true,
			},
			"Drop, Identity and PutTokens": {
				do: func(c *store.UserChange, mine store.IdentityKey) {
					c.Drop.Identities = true
					c.Identity = &store.Identity{Provider: mine.Provider, Subject: mine.Subject, Tokens: []byte("added")}
					c.PutTokens = &store.IdentityTokens{Key: mine, Tokens: []byte("put")}
				},
				want: "put",
			},
		} {
			for _, taken := range []bool{false, true} {
				n := newPerson()
				n.Identity.Tokens = []byte("before")
				mine := keyOf(*n.Identity)
				c := store.UserChange{UserID: create(t, s, n).ID}
				test.do(&c, mine)
				want := test.want
				if taken {
					c.TakeTokens = &store.IdentityTokens{Key: mine, Tokens: n.Identity.Tokens}
					want = strings.TrimPrefix(want, "before")
				}
				if c.Identity != nil {
					c.Identity.Email, c.Identity.CreatedAt, c.Identity.LastUsedAt = "now@example.org", base, base.Add(time.Minute)
				}
				change(t, s, c)
				got := find(t, s, c.UserID).Identities
				if test.gone {
					equal(t, name+" leaves identities", got, nil)
					continue
				}
				left := *n.Identity
				if c.Identity != nil {
					left = *c.Identity
				}
				left.UserID, left.Tokens = c.UserID, []byte(want)
				equal(t, name+" leaves identities", got, []store.Identity{left})
			}
		}
	}},
	{"the use of a token is noted", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		token, idle := newPAT(), newPAT()
		idle.CreatedAt = base.Add(time.Second)
		change(t, s, store.UserChange{UserID: u.ID, PAT: &token})
		change(t, s, store.UserChange{UserID: u.ID, PAT: &idle})
		change(t, s, store.UserChange{UserID: u.ID, Now: base.Add(time.Minute), UsePAT: token.ID})
		token.UserID, idle.UserID, token.LastUsedAt = u.ID, u.ID, base.Add(time.Minute)
		a, err := s.User(t.Context(), store.UserQuery{ID: u.ID, With: store.WithPATs, Now: base})
		wants(t, err, nil)
		equal(t, "the tokens", a.PATs, []store.PAT{token, idle})
	}},
	{"a security key is renamed", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		want := find(t, s, u.ID)
		change(t, s, store.UserChange{UserID: u.ID, RenameKey: &store.KeyName{ID: n.SecurityKey.ID, Nickname: "green"}})
		want.SecurityKeys[0].Nickname = "green"
		equal(t, "the account", find(t, s, u.ID), want)
	}},
	{"a key, a token and an identity are removed, alone", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		token, key, identity := newPAT(), newKey(), newIdentity()
		change(t, s, store.UserChange{UserID: u.ID, PAT: &token, SecurityKey: &key, Identity: &identity})
		for _, remove := range []struct {
			what string
			c    store.UserChange
			gone func(*store.Account)
		}{
			{"key", store.UserChange{RemoveKey: key.ID}, func(a *store.Account) {
				a.SecurityKeys = without(a.SecurityKeys, func(k store.SecurityKey) bool { return k.ID == key.ID })
			}},
			{"token", store.UserChange{RemovePAT: token.ID}, func(a *store.Account) { a.PATs = nil }},
			{
				"identity",
				store.UserChange{RemoveIdentity: store.IdentityKey{Provider: identity.Provider, Subject: identity.Subject}},
				func(a *store.Account) {
					a.Identities = without(a.Identities, func(i store.Identity) bool { return i.Subject == identity.Subject })
				},
			},
		} {
			want := find(t, s, u.ID)
			remove.gone(&want)
			remove.c.UserID = u.ID
			want.User = change(t, s, remove.c)
			equal(t, "the account without the "+remove.what, find(t, s, u.ID), want)
		}
		for _, q := range []store.UserQuery{
			{CredentialID: key.CredentialID},
			{PATHashes: [][]byte{token.Hash}},
			{Identity: store.IdentityKey{Provider: identity.Provider, Subject: identity.Subject}},
		} {
			q.Now = base
			_, err := s.User(t.Context(), q)
			wants(t, err, store.ErrNotFound)
		}
	}},
	{"a session ends with the token that it was opened with", func(t *testing.T, s store.Store) { // PA-13
		u := someone(t, s)
		token, other := newPAT(), newPAT()
		change(t, s, store.UserChange{UserID: u.ID, PAT: &token})
		change(t, s, store.UserChange{UserID: u.ID, PAT: &other})
		plain, through, throughOther := newSession(), newSession(), newSession()
		through.PATID, throughOther.PATID = token.ID, other.ID
		for _, v := range []store.Session{plain, through, throughOther} {
			signIn(t, s, u.ID, v)
		}
		change(t, s, store.UserChange{UserID: u.ID, RemovePAT: token.ID})
		livesOnly(t, s, u.ID, base, plain.ID, throughOther.ID)
		_, err := s.RotateSession(t.Context(), store.SessionRotation{
			Candidates: []store.SessionGeneration{{ID: through.ID}}, Now: base, Idle: time.Hour,
		})
		wants(t, err, store.ErrNotFound)
	}},
	{"what is another user's, or nobody's, is not touched, and that is no error", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		n, token := newPerson(), newPAT()
		other := create(t, s, n)
		change(t, s, store.UserChange{UserID: other.ID, PAT: &token})
		through := newSession()
		through.PATID = token.ID
		signIn(t, s, other.ID, through)
		before := look(t, s)
		for _, c := range []store.UserChange{
			{UsePAT: token.ID},
			{UsePAT: uuid.New()},
			{RenameKey: &store.KeyName{ID: n.SecurityKey.ID, Nickname: "mine"}},
			{RenameKey: &store.KeyName{ID: uuid.New(), Nickname: "mine"}},
			{PutTokens: &store.IdentityTokens{Key: keyOf(*n.Identity), Tokens: newTokens()}},
			{PutTokens: &store.IdentityTokens{Key: keyOf(*n.Identity)}},
			{PutTokens: &store.IdentityTokens{Key: keyOf(newIdentity()), Tokens: newTokens()}},
			{PutTokens: &store.IdentityTokens{}},
		} {
			c.UserID, c.Now = u.ID, base.Add(time.Minute)
			change(t, s, c)
			unchanged(t, s, before)
		}
		want := find(t, s, other.ID)
		for _, c := range []store.UserChange{
			{RemoveKey: n.SecurityKey.ID},
			{RemoveKey: uuid.New()},
			{RemovePAT: token.ID},
			{RemovePAT: uuid.New()},
			{RemoveIdentity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject}},
			{RemoveIdentity: store.IdentityKey{Provider: n.Identity.Provider, Subject: "unknown"}},
		} {
			c.UserID = u.ID
			change(t, s, c)
			equal(t, "the other user's account", find(t, s, other.ID), want)
		}
	}},
}

// reset returns the value of a field and clears it.
func reset[T any](field *T) any {
	v := *field
	*field = *new(T)
	return v
}

func without[T any](list []T, out func(T) bool) []T {
	var rest []T
	for _, v := range list {
		if !out(v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// livesOnly checks which sessions of a user are live.
func livesOnly(t *testing.T, s store.Store, user uuid.UUID, now time.Time, want ...uuid.UUID) {
	t.Helper()
	a, err := s.User(t.Context(), store.UserQuery{ID: user, With: store.WithSessions, Now: now})
	if err != nil {
		t.Fatalf("User: %v", err)
	}
	got, wanted := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	for _, v := range a.Sessions {
		got[v.ID] = true
	}
	for _, id := range want {
		wanted[id] = true
	}
	equal(t, "live sessions", got, wanted)
}

var dropTests = []test{
	{"each part of Drop takes away what it says, of that user alone", func(t *testing.T, s store.Store) {
		for name, test := range map[string]struct {
			drop func(p *owner) store.Drop
			gone func(p *owner, a *store.Account)
			link bool // whether the ticket of kind "link" goes
			code bool
		}{
			"Sessions": {
				drop: func(*owner) store.Drop { return store.Drop{Sessions: true} },
				gone: func(_ *owner, a *store.Account) { a.Sessions = nil },
			},
			"Sessions but one": {
				drop: func(p *owner) store.Drop { return store.Drop{Sessions: true, KeepSession: p.Session.ID} },
				gone: func(p *owner, a *store.Account) {
					a.Sessions = without(a.Sessions, func(v store.Session) bool { return v.ID != p.Session.ID })
				},
			},
			"Sessions but an unknown one": {
				drop: func(*owner) store.Drop { return store.Drop{Sessions: true, KeepSession: uuid.New()} },
				gone: func(_ *owner, a *store.Account) { a.Sessions = nil },
			},
			"PATs": {
				drop: func(*owner) store.Drop { return store.Drop{PATs: true} },
				gone: func(p *owner, a *store.Account) {
					a.PATs = nil
					a.Sessions = without(a.Sessions, func(v store.Session) bool { return v.PATID == p.token.ID })
				},
			},
			"PATs and all sessions but one of a PAT": {
				drop: func(p *owner) store.Drop { return store.Drop{PATs: true, Sessions: true, KeepSession: p.through.ID} },
				gone: func(_ *owner, a *store.Account) { a.PATs, a.Sessions = nil, nil },
			},
			"SecurityKeys": {
				drop: func(*owner) store.Drop { return store.Drop{SecurityKeys: true} },
				gone: func(_ *owner, a *store.Account) { a.SecurityKeys = nil },
			},
			"Identities": {
				drop: func(*owner) store.Drop { return store.Drop{Identities: true} },
				gone: func(_ *owner, a *store.Account) { a.Identities = nil },
			},
			"Tickets of one kind": {
				drop: func(*owner) store.Drop { return store.Drop{Tickets: []string{"other", "link"}} },
				link: true,
			},
			"Tickets of two kinds": {
				drop: func(*owner) store.Drop { return store.Drop{Tickets: []string{"code", "link"}} },
				link: true, code: true,
			},
			"AllTickets": {
				drop: func(*owner) store.Drop { return store.Drop{AllTickets: true} },
				link: true, code: true,
			},
		} {
			p, neighbour := newOwner(t, s), newOwner(t, s)
			nobodys := put(t, s, newTicket())
			want, wantNeighbour := find(t, s, p.User.ID), find(t, s, neighbour.User.ID)
			if test.gone != nil {
				test.gone(p, &want)
			}
			want.User = change(t, s, store.UserChange{UserID: p.User.ID, Drop: test.drop(p)})
			equal(t, "after dropping "+name+" the account", find(t, s, p.User.ID), want)
			equal(t, "after dropping "+name+" the neighbour's account", find(t, s, neighbour.User.ID), wantNeighbour)
			if lies(t, s, *p.Ticket) == test.link || lies(t, s, p.code) == test.code {
				t.Errorf("after dropping %s the wrong tickets are there", name)
			}
			if !lies(t, s, *neighbour.Ticket) || !lies(t, s, neighbour.code) || !lies(t, s, nobodys) {
				t.Errorf("after dropping %s a ticket is gone that is not the user's", name)
			}
		}
	}},
	{"what the same change adds is not dropped", func(t *testing.T, s store.Store) {
		p := newOwner(t, s)
		session, ticket, code, token := newSession(), newTicket(), newTicket(), newPAT()
		session.PATID = token.ID
		code.Kind = p.code.Kind
		// The authenticator and the account at the provider are the old ones.
		key, identity := newKey(), newIdentity()
		key.CredentialID = p.SecurityKey.CredentialID
		identity.Provider, identity.Subject, identity.CreatedAt = p.Identity.Provider, p.Identity.Subject, base.Add(time.Minute)
		u := change(t, s, store.UserChange{
			UserID: p.User.ID,
			Drop: store.Drop{
				Sessions: true, PATs: true, SecurityKeys: true, Identities: true, Tickets: []string{"link"}, AllTickets: true,
			},
			Session: &session, Ticket: &ticket, PAT: &token, SecurityKey: &key, Identity: &identity,
			Messages: []store.Message{newMessage()},
		})
		session.UserID, token.UserID, key.UserID, identity.UserID = u.ID, u.ID, u.ID, u.ID
		equal(t, "the account", find(t, s, u.ID), store.Account{
			User: u, Identities: []store.Identity{identity}, SecurityKeys: []store.SecurityKey{key},
			Sessions: []store.Session{session}, PATs: []store.PAT{token},
		})
		if lies(t, s, *p.Ticket) || lies(t, s, p.code) || !lies(t, s, ticket) {
			t.Error("an old ticket is there, or the new one is not")
		}
		if got, want := emptyOutbox(t, s), len(p.Messages)+1; got != want {
			t.Errorf("%d messages in the outbox, want %d", got, want)
		}
	}},
	{"a condition on a session holds although the change drops it", func(t *testing.T, s store.Store) {
		p := newOwner(t, s)
		change(t, s, store.UserChange{
			UserID: p.User.ID, If: store.Conditions{Session: p.Session.ID}, Redeem: p.code.ID,
			Drop: store.Drop{Sessions: true, AllTickets: true},
		})
		livesOnly(t, s, p.User.ID, base)
	}},
	{"a dropped session is refused for good", func(t *testing.T, s store.Store) { // RT-08
		p := newOwner(t, s)
		change(t, s, store.UserChange{UserID: p.User.ID, Drop: store.Drop{Sessions: true}})
		for generation := range uint32(3) {
			_, err := s.RotateSession(t.Context(), store.SessionRotation{
				Candidates: []store.SessionGeneration{{ID: p.Session.ID, Generation: generation}},
				Now:        base, Idle: time.Hour, Grace: time.Hour, Skew: time.Hour,
			})
			wants(t, err, store.ErrNotFound)
		}
		_, err := s.User(t.Context(), store.UserQuery{SessionID: p.Session.ID, Now: early})
		wants(t, err, store.ErrNotFound)
	}},
}

// owner is a person who has one of everything, and some things more.
type owner struct {
	store.NewUser
	token   store.PAT
	through store.Session // opened with the token
	code    store.Ticket  // of another kind than Ticket
}

func newOwner(t *testing.T, s store.Store) *owner {
	t.Helper()
	p := &owner{NewUser: newPerson(), token: newPAT(), through: newSession()}
	u := create(t, s, p.NewUser)
	p.through.PATID = p.token.ID
	p.through.CreatedAt = base.Add(time.Second)
	change(t, s, store.UserChange{UserID: u.ID, PAT: &p.token})
	signIn(t, s, u.ID, p.through)
	p.code = ticketOf(u.ID)
	p.code.Kind = "code"
	put(t, s, p.code)
	return p
}
