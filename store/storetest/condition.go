package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

var conditionTests = []test{
	{"a user who does not exist cannot be changed", func(t *testing.T, s store.Store) {
		m := newMessage()
		_, err := s.ChangeUser(t.Context(), store.UserChange{
			UserID: uuid.New(), Now: base, Messages: []store.Message{m}, If: store.Conditions{Disabled: true},
		})
		wants(t, err, store.ErrNotFound)
		if n := emptyOutbox(t, s); n != 0 {
			t.Errorf("%d messages were written", n)
		}
	}},
	{"the first condition that does not hold is told", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.User.Disabled, n.User.TOTPStep, n.User.TOTPSecret = true, 10, []byte("sealed")
		n.User.RecoveryCodes = [][]byte{newHash()}
		u := create(t, s, n)
		change(t, s, store.UserChange{UserID: u.ID, If: store.Conditions{Disabled: true}, PAT: new(newPAT())})
		taken := someone(t, s)
		// Nothing of this holds, and then one thing after the other is put right.
		c := store.UserChange{
			UserID: u.ID, Now: base,
			If: store.Conditions{
				Session: uuid.New(), Epoch: u.Epoch + 1, Anonymous: true, NoSecurityKeys: true, SecurityKey: uuid.New(),
				NoTOTP: true,
			},
			Redeem:       uuid.New(),
			TOTPStep:     10,
			RecoveryCode: newHash(),
			UseKey:       &store.KeyUse{ID: n.SecurityKey.ID, WasSignCount: n.SecurityKey.SignCount + 1},
			TakeTokens:   &store.IdentityTokens{Key: keyOf(*n.Identity), Tokens: newTokens()},
			PAT:          new(newPAT()),
			MaxPATs:      1,
			Set:          store.UserSet{Phone: new(taken.Phone)},
		}
		for _, step := range []struct {
			want   error
			mended func()
		}{
			{unmet(store.ConditionEnabled), func() { c.If.Disabled = true }},
			{unmet(store.ConditionSession), func() { c.If.Session = n.Session.ID }},
			{unmet(store.ConditionTicket), func() { c.Redeem = n.Ticket.ID }},
			{unmet(store.ConditionEpoch), func() { c.If.Epoch = u.Epoch }},
			{unmet(store.ConditionAnonymous), func() { c.If.Anonymous = false }},
			{unmet(store.ConditionNoSecurityKeys), func() { c.If.NoSecurityKeys = false }},
			{unmet(store.ConditionSecurityKey), func() { c.If.SecurityKey = n.SecurityKey.ID }},
			{unmet(store.ConditionNoTOTP), func() { c.If.NoTOTP = false }},
			{unmet(store.ConditionTOTPStep), func() { c.TOTPStep = 11 }},
			{unmet(store.ConditionRecoveryCode), func() { c.RecoveryCode = n.User.RecoveryCodes[0] }},
			{unmet(store.ConditionSignCount), func() { c.UseKey.WasSignCount-- }},
			{unmet(store.ConditionTokens), func() { c.TakeTokens.Tokens = n.Identity.Tokens }},
			{unmet(store.ConditionPATs), func() { c.MaxPATs = 2 }},
			{conflict(store.FieldPhone), func() { c.Set.Phone = nil }},
		} {
			refusesChange(t, s, c, step.want)
			step.mended()
		}
		change(t, s, c)
	}},

	{"a disabled user is changed only where that is allowed", func(t *testing.T, s store.Store) { // RT-18
		n := store.NewUser{User: newUser()}
		n.User.Disabled = true
		u := create(t, s, n)
		c := busyChange(u.ID)
		refusesChange(t, s, c, unmet(store.ConditionEnabled))
		// That the change itself enables the user comes too late.
		c.Set.Disabled = new(false)
		refusesChange(t, s, c, unmet(store.ConditionEnabled))
		c.If.Disabled = true
		if change(t, s, c).Disabled {
			t.Error("the user is still disabled")
		}
		change(t, s, store.UserChange{UserID: u.ID})
	}},
	{"a condition on a session holds while it is live and the user's", func(t *testing.T, s store.Store) { // EL-16, RT-13
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		foreign := signIn(t, s, someone(t, s).ID, newSession())
		c := busyChange(u.ID)
		for _, id := range []uuid.UUID{uuid.New(), foreign.ID, u.ID} {
			c.If.Session = id
			refusesChange(t, s, c, unmet(store.ConditionSession))
		}
		c.If.Session = v.ID
		c.Now = v.ExpiresAt
		refusesChange(t, s, c, unmet(store.ConditionSession))
		c.Now = v.ExpiresAt.Add(-tick)
		change(t, s, c)
		if _, err := s.EndSessions(t.Context(), u.ID, v.ID); err != nil {
			t.Fatal(err)
		}
		c = busyChange(u.ID)
		c.If.Session = v.ID
		refusesChange(t, s, c, unmet(store.ConditionSession))
	}},
	{"a session that the change opens does not meet its condition", func(t *testing.T, s store.Store) {
		c := busyChange(someone(t, s).ID)
		c.If.Session = c.Session.ID
		refusesChange(t, s, c, unmet(store.ConditionSession))
	}},
	{"a ticket is redeemed once", func(t *testing.T, s store.Store) { // TK-02
		u := someone(t, s)
		for _, owner := range []uuid.UUID{u.ID, uuid.Nil} {
			ticket := put(t, s, ticketOf(owner))
			c := busyChange(u.ID)
			c.Redeem = ticket.ID
			change(t, s, c)
			if lies(t, s, ticket) {
				t.Error("the ticket is still there")
			}
			c = busyChange(u.ID)
			c.Redeem = ticket.ID
			refusesChange(t, s, c, unmet(store.ConditionTicket))
		}
	}},
	{"a ticket that is unknown or another user's is not redeemed", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		foreign := put(t, s, ticketOf(someone(t, s).ID))
		c := busyChange(u.ID)
		for _, id := range []uuid.UUID{uuid.New(), foreign.ID} {
			c.Redeem = id
			refusesChange(t, s, c, unmet(store.ConditionTicket))
		}
		if !lies(t, s, foreign) {
			t.Error("the other user's ticket is gone")
		}
	}},
	{"a ticket is not redeemed from the instant it expires", func(t *testing.T, s store.Store) { // TK-04
		u := someone(t, s)
		ticket := put(t, s, ticketOf(u.ID))
		c := busyChange(u.ID)
		c.Redeem = ticket.ID
		c.Now = ticket.ExpiresAt
		refusesChange(t, s, c, unmet(store.ConditionTicket))
		c.Now = ticket.ExpiresAt.Add(-tick)
		change(t, s, c)
	}},
	{"a ticket whose last try went is redeemed", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		ticket := ticketOf(u.ID)
		ticket.Tries = 1
		put(t, s, ticket)
		_, _, err := s.CheckTicket(t.Context(), bySecret(ticket, base))
		wants(t, err, nil)
		c := busyChange(u.ID)
		c.Redeem = ticket.ID
		change(t, s, c)
	}},
	{"a ticket that was replaced is not redeemed", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		old, later := ticketOf(u.ID), ticketOf(u.ID)
		later.Slot = old.Slot
		put(t, s, old)
		put(t, s, later)
		c := busyChange(u.ID)
		c.Redeem = old.ID
		refusesChange(t, s, c, unmet(store.ConditionTicket))
		c.Redeem = later.ID
		change(t, s, c)
	}},
	{"a condition on the epoch holds until something is revoked", func(t *testing.T, s store.Store) { // ST-06
		u := someone(t, s)
		c := busyChange(u.ID)
		c.If.Epoch = u.Epoch
		change(t, s, c)
		u = change(t, s, store.UserChange{UserID: u.ID, Drop: store.Drop{Sessions: true}})
		c = busyChange(u.ID)
		for _, epoch := range []int64{u.Epoch - 1, u.Epoch + 1} {
			c.If.Epoch = epoch
			refusesChange(t, s, c, unmet(store.ConditionEpoch))
		}
		c.If.Epoch = 0
		change(t, s, c)
	}},
	{"only an anonymous user is deanonymised", func(t *testing.T, s store.Store) { // W25
		n := store.NewUser{User: newUser()}
		n.User.Anonymous = true
		u := create(t, s, n)
		c := busyChange(u.ID)
		c.If.Anonymous = true
		c.Set.Anonymous = new(false)
		if change(t, s, c).Anonymous {
			t.Error("the user is still anonymous")
		}
		c = busyChange(u.ID)
		c.If.Anonymous = true
		c.Set.Anonymous = new(true)
		refusesChange(t, s, c, unmet(store.ConditionAnonymous))
	}},
	{"a user without security keys is told from one with", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		create(t, s, newPerson()) // who has one
		key := newKey()
		c := busyChange(u.ID)
		c.If.NoSecurityKeys = true
		c.SecurityKey = &key
		change(t, s, c)
		c = busyChange(u.ID)
		c.If.NoSecurityKeys = true
		refusesChange(t, s, c, unmet(store.ConditionNoSecurityKeys))
		// That the change itself drops them comes too late.
		c.Drop.SecurityKeys = true
		refusesChange(t, s, c, unmet(store.ConditionNoSecurityKeys))
		change(t, s, store.UserChange{UserID: u.ID, RemoveKey: key.ID})
		c.Drop.SecurityKeys = false
		change(t, s, c)
	}},
	{"a user who has a security key is told from one who has another, or had it", func(t *testing.T, s store.Store) {
		n, other := newPerson(), newPerson()
		u := create(t, s, n)
		create(t, s, other)
		key := newKey()
		c := busyChange(u.ID)
		c.SecurityKey = &key
		// That the change itself adds the key comes too late.
		for _, id := range []uuid.UUID{uuid.New(), other.SecurityKey.ID, u.ID, key.ID} {
			c.If.SecurityKey = id
			refusesChange(t, s, c, unmet(store.ConditionSecurityKey))
		}
		c.If.SecurityKey = n.SecurityKey.ID
		change(t, s, c)
		// Of several keys each is one, whatever has become of it.
		for _, id := range []uuid.UUID{n.SecurityKey.ID, key.ID} {
			c = busyChange(u.ID)
			c.If.SecurityKey = id
			c.RenameKey = &store.KeyName{ID: id, Nickname: "green"}
			c.UseKey = &store.KeyUse{ID: id, WasSignCount: key.SignCount, SignCount: key.SignCount + 1}
			change(t, s, c)
			c = busyChange(u.ID)
			c.If.SecurityKey = id
			change(t, s, c)
		}
		// That the change itself takes the key away makes no difference to it.
		c = busyChange(u.ID)
		c.If.SecurityKey, c.RemoveKey = key.ID, key.ID
		change(t, s, c)
		c = busyChange(u.ID)
		c.If.SecurityKey = key.ID
		refusesChange(t, s, c, unmet(store.ConditionSecurityKey))
		c = busyChange(u.ID)
		c.If.SecurityKey, c.Drop.SecurityKeys = n.SecurityKey.ID, true
		change(t, s, c)
		if keys := find(t, s, u.ID).SecurityKeys; len(keys) != 0 {
			t.Errorf("%d keys are left", len(keys))
		}
		c = busyChange(u.ID)
		c.If.SecurityKey = n.SecurityKey.ID
		refusesChange(t, s, c, unmet(store.ConditionSecurityKey))
		// The key of an authenticator that is registered again is another.
		again := newKey()
		again.CredentialID = n.SecurityKey.CredentialID
		change(t, s, store.UserChange{UserID: u.ID, SecurityKey: &again})
		refusesChange(t, s, c, unmet(store.ConditionSecurityKey))
		c.If.SecurityKey = again.ID
		change(t, s, c)
	}},
	{"a user without a second factor is told from one with", func(t *testing.T, s store.Store) {
		n, other := store.NewUser{User: newUser()}, store.NewUser{User: newUser()}
		n.User.TOTPPending, n.User.TOTPStep, n.User.RecoveryCodes = []byte("sealed"), 10, [][]byte{newHash()}
		other.User.TOTPSecret = []byte("sealed")
		u := create(t, s, n)
		create(t, s, other)
		for _, off := range [][]byte{nil, {}} {
			c := busyChange(u.ID)
			c.If.NoTOTP = true
			c.SecurityKey = new(newKey())
			// That the change itself turns it on makes no difference.
			c.Set.TOTPSecret = new([]byte("sealed"))
			change(t, s, c)
			c = busyChange(u.ID)
			c.If.NoTOTP = true
			refusesChange(t, s, c, unmet(store.ConditionNoTOTP))
			// That the change itself turns it off comes too late.
			c.Set.TOTPSecret = &off
			refusesChange(t, s, c, unmet(store.ConditionNoTOTP))
			change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{TOTPSecret: &off}})
		}
		c := busyChange(u.ID)
		c.If.NoTOTP = true
		change(t, s, c)
	}},
	{"a TOTP step is accepted once, and no earlier one after it", func(t *testing.T, s store.Store) {
		n := store.NewUser{User: newUser()}
		n.User.TOTPStep = 50_000_000
		u := create(t, s, n)
		c := busyChange(u.ID)
		for _, step := range []int64{u.TOTPStep, u.TOTPStep - 1, 1} {
			c.TOTPStep = step
			refusesChange(t, s, c, unmet(store.ConditionTOTPStep))
		}
		c.TOTPStep = u.TOTPStep + 3
		if got := change(t, s, c).TOTPStep; got != c.TOTPStep {
			t.Errorf("the last step is %d, want %d", got, c.TOTPStep)
		}
		again := busyChange(u.ID)
		for _, step := range []int64{c.TOTPStep, c.TOTPStep - 1} {
			again.TOTPStep = step
			refusesChange(t, s, again, unmet(store.ConditionTOTPStep))
		}
		if got := change(t, s, store.UserChange{UserID: u.ID}).TOTPStep; got != c.TOTPStep {
			t.Errorf("a change without a step made the last one %d", got)
		}
	}},
	{"a recovery code is used once", func(t *testing.T, s store.Store) {
		n := store.NewUser{User: newUser()}
		codes := [][]byte{newHash(), newHash(), newHash()}
		n.User.RecoveryCodes = codes
		u := create(t, s, n)
		other := store.NewUser{User: newUser()}
		other.User.RecoveryCodes = [][]byte{newHash(), codes[1]}
		create(t, s, other)

		c := busyChange(u.ID)
		for _, code := range [][]byte{newHash(), codes[0][:31], other.User.RecoveryCodes[0]} {
			c.RecoveryCode = code
			refusesChange(t, s, c, unmet(store.ConditionRecoveryCode))
		}
		c.RecoveryCode = codes[1]
		equal(t, "the codes left", change(t, s, c).RecoveryCodes, [][]byte{codes[0], codes[2]})
		c = busyChange(u.ID)
		c.RecoveryCode = codes[1]
		refusesChange(t, s, c, unmet(store.ConditionRecoveryCode))
		equal(t, "the other user's codes", find(t, s, other.User.ID).RecoveryCodes, other.User.RecoveryCodes)
		for _, code := range [][]byte{codes[2], codes[0]} {
			change(t, s, store.UserChange{UserID: u.ID, RecoveryCode: code})
		}
		if left := find(t, s, u.ID).RecoveryCodes; len(left) != 0 {
			t.Errorf("%d codes are left", len(left))
		}
	}},
	{"the use of a security key is noted", func(t *testing.T, s store.Store) {
		n := newPerson()
		n.SecurityKey.BackupEligible, n.SecurityKey.BackupState = true, true
		u := create(t, s, n)
		want := find(t, s, u.ID).SecurityKeys[0]
		for _, use := range []store.KeyUse{
			{SignCount: 8, BackupState: false, UserVerified: false},
			{SignCount: 9, BackupState: true, UserVerified: true},
			{SignCount: 0, BackupState: true, UserVerified: false}, // whether it may fall is the engine's affair
		} {
			use.ID, use.WasSignCount = want.ID, want.SignCount
			c := busyChange(u.ID)
			c.Now = base.Add(time.Duration(use.SignCount+1) * time.Second)
			c.UseKey = &use
			change(t, s, c)
			want.SignCount, want.BackupState, want.LastUsedAt = use.SignCount, use.BackupState, c.Now
			want.UserVerified = want.UserVerified || use.UserVerified
			equal(t, "the keys", find(t, s, u.ID).SecurityKeys, []store.SecurityKey{want})
		}
	}},
	{"a security key that does not count is used again and again", func(t *testing.T, s store.Store) { // WebAuthn L3 §6.1.1
		n := newPerson()
		n.SecurityKey.SignCount = 0
		u := create(t, s, n)
		for i := range 3 {
			at := base.Add(time.Duration(i+1) * time.Minute)
			change(t, s, store.UserChange{UserID: u.ID, Now: at, UseKey: &store.KeyUse{ID: n.SecurityKey.ID}})
			key := find(t, s, u.ID).SecurityKeys[0]
			if key.SignCount != 0 || !key.LastUsedAt.Equal(at) {
				t.Errorf("after use %d the key is %+v", i+1, key)
			}
		}
	}},
	{"a security key whose counter has moved, or that is not the user's, is not used", func(t *testing.T, s store.Store) {
		n, other := newPerson(), newPerson()
		u := create(t, s, n)
		create(t, s, other)
		use := store.KeyUse{ID: n.SecurityKey.ID, WasSignCount: n.SecurityKey.SignCount, SignCount: 20}
		c := busyChange(u.ID)
		for _, wrong := range []store.KeyUse{
			{ID: use.ID, WasSignCount: use.WasSignCount + 1, SignCount: 20},
			{ID: use.ID, WasSignCount: use.WasSignCount - 1, SignCount: 20},
			{ID: use.ID, WasSignCount: 0, SignCount: 20},
			{ID: uuid.New(), WasSignCount: use.WasSignCount, SignCount: 20},
			{ID: uuid.New(), WasSignCount: 0, SignCount: 20},
			{ID: other.SecurityKey.ID, WasSignCount: other.SecurityKey.SignCount, SignCount: 20},
		} {
			c.UseKey = &wrong
			refusesChange(t, s, c, unmet(store.ConditionSignCount))
		}
		c.UseKey = &use
		change(t, s, c)
		again := busyChange(u.ID)
		again.UseKey = &use
		refusesChange(t, s, again, unmet(store.ConditionSignCount))
		change(t, s, store.UserChange{UserID: u.ID, RemoveKey: use.ID})
		again.UseKey = &store.KeyUse{ID: use.ID, WasSignCount: use.SignCount, SignCount: 21}
		refusesChange(t, s, again, unmet(store.ConditionSignCount))
	}},
	{"the tokens of an identity are taken once, by whoever knows them", func(t *testing.T, s store.Store) { // ST-03
		n, other := newPerson(), newPerson()
		other.Identity.Tokens = n.Identity.Tokens
		u := create(t, s, n)
		create(t, s, other)
		second, without, empty := newIdentity(), newIdentity(), newIdentity()
		without.Tokens, empty.Tokens = nil, []byte{}
		for _, i := range []*store.Identity{&second, &without, &empty} {
			change(t, s, store.UserChange{UserID: u.ID, Identity: i})
		}
		take := store.IdentityTokens{Key: keyOf(*n.Identity), Tokens: n.Identity.Tokens}
		c := busyChange(u.ID)
		for _, wrong := range []store.IdentityTokens{
			{},
			{Key: take.Key},
			{Key: take.Key, Tokens: []byte{}},
			{Key: take.Key, Tokens: second.Tokens},
			{Key: take.Key, Tokens: take.Tokens[:len(take.Tokens)-1]},
			{Key: take.Key, Tokens: append(bytes.Clone(take.Tokens), 0)},
			{Key: keyOf(second), Tokens: take.Tokens},
			{Key: keyOf(without)},
			{Key: keyOf(without), Tokens: []byte{}},
			{Key: keyOf(empty)},
			{Key: keyOf(empty), Tokens: []byte{}},
			{Key: keyOf(*other.Identity), Tokens: take.Tokens},
			{Key: keyOf(newIdentity()), Tokens: take.Tokens},
			{Key: store.IdentityKey{Provider: "google", Subject: take.Key.Subject}, Tokens: take.Tokens},
		} {
			c.TakeTokens = &wrong
			refusesChange(t, s, c, unmet(store.ConditionTokens))
		}
		// That the change itself gives the identity these tokens, or brings it, comes too late.
		c.TakeTokens = &store.IdentityTokens{Key: keyOf(without), Tokens: take.Tokens}
		c.PutTokens = c.TakeTokens
		refusesChange(t, s, c, unmet(store.ConditionTokens))
		c.TakeTokens = &store.IdentityTokens{Key: keyOf(*c.Identity), Tokens: c.Identity.Tokens}
		refusesChange(t, s, c, unmet(store.ConditionTokens))

		before := look(t, s)
		change(t, s, store.UserChange{UserID: u.ID, Now: base.Add(time.Minute), TakeTokens: &take})
		for i := range before.Accounts {
			for j := range before.Accounts[i].Identities {
				if identity := &before.Accounts[i].Identities[j]; keyOf(*identity) == take.Key {
					identity.Tokens = nil
				}
			}
		}
		unchanged(t, s, before)
		c = busyChange(u.ID)
		c.TakeTokens = &take
		refusesChange(t, s, c, unmet(store.ConditionTokens))
		// What is put in their place can be taken in turn, and they can no more.
		put := store.IdentityTokens{Key: take.Key, Tokens: newTokens()}
		change(t, s, store.UserChange{UserID: u.ID, PutTokens: &put})
		refusesChange(t, s, c, unmet(store.ConditionTokens))
		c.TakeTokens = &put
		change(t, s, c)
		// Those of an identity that was removed are gone with it.
		change(t, s, store.UserChange{UserID: u.ID, RemoveIdentity: keyOf(second)})
		c = busyChange(u.ID)
		c.TakeTokens = &store.IdentityTokens{Key: keyOf(second), Tokens: second.Tokens}
		refusesChange(t, s, c, unmet(store.ConditionTokens))
	}},
	{"a token is added while its user has fewer live ones than allowed", func(t *testing.T, s store.Store) { // PA-12
		u, other := someone(t, s), someone(t, s)
		end := base.Add(time.Minute)
		first, second, ended := newPAT(), newPAT(), newPAT()
		second.ExpiresAt, ended.ExpiresAt = end, base
		for _, token := range []store.PAT{first, second, ended} {
			change(t, s, store.UserChange{UserID: u.ID, Now: early, PAT: &token})
		}
		for range 3 { // which do not count
			change(t, s, store.UserChange{UserID: other.ID, PAT: new(newPAT())})
		}
		c := busyChange(u.ID)
		for _, most := range []int{1, 2} { // there may be more than are allowed, since when more were
			c.MaxPATs = most
			refusesChange(t, s, c, unmet(store.ConditionPATs))
		}
		// Nor does the new one count less because it ends sooner.
		c.PAT.ExpiresAt = base.Add(tick)
		refusesChange(t, s, c, unmet(store.ConditionPATs))
		c.PAT.ExpiresAt = first.ExpiresAt
		// That the change itself takes some away comes too late.
		for _, taken := range []func(c *store.UserChange){
			func(c *store.UserChange) { c.Drop.PATs = true },
			func(c *store.UserChange) { c.RemovePAT = first.ID },
		} {
			c := c
			taken(&c)
			refusesChange(t, s, c, unmet(store.ConditionPATs))
		}
		// What has ended does not count, from that instant.
		c.Now = end.Add(-tick)
		refusesChange(t, s, c, unmet(store.ConditionPATs))
		c.Now = end
		change(t, s, c)
		c = busyChange(u.ID)
		c.Now, c.MaxPATs = end, 2
		refusesChange(t, s, c, unmet(store.ConditionPATs))
		// Nor does what was removed.
		change(t, s, store.UserChange{UserID: u.ID, RemovePAT: first.ID})
		change(t, s, c)
	}},
	{"any number of tokens is added without a limit, and a limit without a token is none", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for i := range 5 {
			change(t, s, store.UserChange{UserID: u.ID, PAT: new(newPAT())})
			if n := len(find(t, s, u.ID).PATs); n != i+1 {
				t.Errorf("there are %d tokens, want %d", n, i+1)
			}
		}
		c := busyChange(u.ID)
		c.PAT, c.MaxPATs = nil, 1
		change(t, s, c)
		if n := len(find(t, s, u.ID).PATs); n != 5 {
			t.Errorf("there are %d tokens, want 5", n)
		}
	}},
}

// busyChange leaves its traces everywhere if it happens.
func busyChange(user uuid.UUID) store.UserChange {
	identity, token, session, ticket := newIdentity(), newPAT(), newSession(), newTicket()
	return store.UserChange{
		UserID: user, Now: base, Set: store.UserSet{DisplayName: new(uuid.NewString())},
		Identity: &identity, PAT: &token, Session: &session, Ticket: &ticket, Messages: []store.Message{newMessage()},
	}
}

// refusesChange checks that c is refused with an error and that nothing has happened.
func refusesChange(t *testing.T, s store.Store, c store.UserChange, want error) {
	t.Helper()
	mark := newMessage()
	c.Messages = append([]store.Message{mark}, c.Messages...)
	before := look(t, s)
	got, err := s.ChangeUser(t.Context(), c)
	wants(t, err, want)
	equal(t, "the user returned with an error", got, store.User{})
	unchanged(t, s, before)
	if c.Ticket != nil && lies(t, s, *c.Ticket) {
		t.Error("the ticket of the change was left behind")
	}
	list, err := s.ClaimMessages(t.Context(), store.MessageClaim{Now: base, Until: base, Limit: 1000})
	wants(t, err, nil)
	for _, m := range list {
		if m.ID == mark.ID {
			t.Error("a message of the change was left behind")
		}
	}
}

var conflictTests = []test{
	{"a taken e-mail key is a conflict", changeConflict(store.FieldEmail, func(c *store.UserChange, other *store.NewUser) {
		c.Set.Email = &store.Email{Typed: "someone", Key: other.User.EmailKey}
	})},
	{"a taken phone number is a conflict", changeConflict(store.FieldPhone, func(c *store.UserChange, other *store.NewUser) {
		c.Set.Phone = new(other.User.Phone)
	})},
	{"a taken identity is a conflict", changeConflict(store.FieldIdentity, func(c *store.UserChange, other *store.NewUser) {
		c.Identity = new(newIdentity())
		c.Identity.Provider, c.Identity.Subject = other.Identity.Provider, other.Identity.Subject
	})},
	{"a taken credential id is a conflict", changeConflict(store.FieldCredential, func(c *store.UserChange, other *store.NewUser) {
		c.SecurityKey = new(newKey())
		c.SecurityKey.CredentialID = other.SecurityKey.CredentialID
	})},
	{"a taken id of a security key is a conflict", changeConflict(store.FieldID, func(c *store.UserChange, other *store.NewUser) {
		c.SecurityKey = new(newKey())
		c.SecurityKey.ID = other.SecurityKey.ID
	})},
	{"a taken id of a session is a conflict", changeConflict(store.FieldID, func(c *store.UserChange, other *store.NewUser) {
		c.Session = new(newSession())
		c.Session.ID = other.Session.ID
	})},
	{"a taken id of a ticket is a conflict", changeConflict(store.FieldID, func(c *store.UserChange, other *store.NewUser) {
		c.Ticket = new(newTicket())
		c.Ticket.ID = other.Ticket.ID
	})},
	{"a taken id of a message is a conflict", changeConflict(store.FieldID, func(c *store.UserChange, other *store.NewUser) {
		c.Messages = []store.Message{newMessage(), other.Messages[0]}
	})},
	{"a taken id of a token is a conflict", func(t *testing.T, s store.Store) {
		token := newPAT()
		change(t, s, store.UserChange{UserID: someone(t, s).ID, PAT: &token})
		c := busyChange(someone(t, s).ID)
		c.PAT.ID = token.ID
		refusesChange(t, s, c, conflict(store.FieldID))
	}},
	{"the hash of a token is unique", func(t *testing.T, s store.Store) {
		token := newPAT()
		u := someone(t, s)
		change(t, s, store.UserChange{UserID: u.ID, PAT: &token})
		c := busyChange(someone(t, s).ID)
		before := look(t, s)
		c.PAT.Hash = token.Hash
		if _, err := s.ChangeUser(t.Context(), c); err == nil {
			t.Error("a second token with the same hash was accepted")
		}
		unchanged(t, s, before)
		a, err := s.User(t.Context(), store.UserQuery{PATHashes: [][]byte{token.Hash}, Now: base})
		wants(t, err, nil)
		equal(t, "the token's user", a.ID, u.ID)
	}},
	{"a security key is not added twice", func(t *testing.T, s store.Store) {
		n := newPerson()
		c := busyChange(create(t, s, n).ID)
		c.SecurityKey = new(newKey())
		c.SecurityKey.CredentialID = n.SecurityKey.CredentialID
		refusesChange(t, s, c, conflict(store.FieldCredential))
	}},
	{"a credential that is refused to others goes on working for its owner", func(t *testing.T, s store.Store) { // WA-20
		n := newPerson()
		u := create(t, s, n)
		again := func() *store.SecurityKey {
			key := newKey()
			key.CredentialID = n.SecurityKey.CredentialID
			return &key
		}
		for i, refused := range []func(){
			func() {
				refusesNewUser(t, s, store.NewUser{User: newUser(), SecurityKey: again()}, conflict(store.FieldCredential))
			},
			func() {
				c := store.UserChange{UserID: someone(t, s).ID, Now: base, SecurityKey: again()}
				refusesChange(t, s, c, conflict(store.FieldCredential))
			},
			func() {
				c := store.UserChange{UserID: u.ID, Now: base, SecurityKey: again()}
				refusesChange(t, s, c, conflict(store.FieldCredential))
			},
		} {
			refused()
			a, err := s.User(t.Context(), store.UserQuery{
				CredentialID: n.SecurityKey.CredentialID, With: store.WithSecurityKeys, Now: base,
			})
			wants(t, err, nil)
			want := *n.SecurityKey
			want.UserID, want.SignCount = u.ID, n.SecurityKey.SignCount+uint32(i)
			if i > 0 {
				want.LastUsedAt = base
			}
			equal(t, "the account", a, store.Account{User: u, SecurityKeys: []store.SecurityKey{want}})
			change(t, s, store.UserChange{
				UserID: u.ID, If: store.Conditions{SecurityKey: want.ID},
				UseKey: &store.KeyUse{ID: want.ID, WasSignCount: want.SignCount, SignCount: want.SignCount + 1},
			})
		}
	}},
	{"a user's own address and number are not taken", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		u = change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{
			Email: &store.Email{Typed: "typed otherwise", Key: u.EmailKey}, Phone: new(u.Phone),
		}})
		if u.Email != "typed otherwise" {
			t.Errorf("the address is %q", u.Email)
		}
	}},
	{"what a user gives up is free", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		change(t, s, store.UserChange{
			UserID: u.ID, Set: store.UserSet{Email: &store.Email{}, Phone: new("")},
			RemoveKey: n.SecurityKey.ID, RemoveIdentity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject},
		})
		_, err := s.User(t.Context(), store.UserQuery{EmailKey: u.EmailKey, Now: base})
		wants(t, err, store.ErrNotFound)
		key := newKey()
		key.CredentialID = n.SecurityKey.CredentialID
		heir := change(t, s, store.UserChange{
			UserID: someone(t, s).ID, Set: store.UserSet{Email: &store.Email{Typed: u.Email, Key: u.EmailKey}, Phone: new(u.Phone)},
			Identity: n.Identity, SecurityKey: &key,
		})
		for _, q := range []store.UserQuery{
			{EmailKey: u.EmailKey},
			{Phone: u.Phone},
			{CredentialID: key.CredentialID},
			{Identity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject}},
		} {
			q.Now = base
			a, err := s.User(t.Context(), q)
			wants(t, err, nil)
			equal(t, "the user found", a.User, heir)
		}
	}},
	{"many users have no address and no number", func(t *testing.T, s store.Store) {
		for range 2 {
			change(t, s, store.UserChange{UserID: someone(t, s).ID, Set: store.UserSet{Email: &store.Email{}, Phone: new("")}})
		}
	}},
}

// changeConflict tests that a change which wants what another user has is a conflict and does nothing.
func changeConflict(field store.Field, collide func(c *store.UserChange, other *store.NewUser)) func(*testing.T, store.Store) {
	return func(t *testing.T, s store.Store) {
		other, mine := newPerson(), newPerson()
		create(t, s, other)
		mine.User.RecoveryCodes = [][]byte{newHash(), newHash(), newHash()}
		u := create(t, s, mine)
		redeemed := put(t, s, ticketOf(u.ID))
		c := busyChange(u.ID)
		c.Redeem = redeemed.ID
		c.Drop = store.Drop{Sessions: true, SecurityKeys: true, Identities: true, AllTickets: true}
		c.UseKey = &store.KeyUse{ID: mine.SecurityKey.ID, WasSignCount: mine.SecurityKey.SignCount, SignCount: 20}
		c.TOTPStep, c.RecoveryCode = 50_000_000, mine.User.RecoveryCodes[0]
		c.TakeTokens = &store.IdentityTokens{Key: keyOf(*mine.Identity), Tokens: mine.Identity.Tokens}
		collide(&c, &other)
		refusesChange(t, s, c, conflict(field))
		if !lies(t, s, redeemed) || !lies(t, s, *mine.Ticket) || !lies(t, s, *other.Ticket) {
			t.Error("a ticket is gone")
		}
	}
}
