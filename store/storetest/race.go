package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// crowd is how many do the same at the same moment.
const crowd = 50

// race calls f at the same moment in as many goroutines as n and returns the errors.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

// successes counts the calls that did not fail. Those that did must have failed with lost.
func successes(t *testing.T, errs []error, lost error) int {
	t.Helper()
	n := 0
	for _, err := range errs {
		switch {
		case err == nil:
			n++
		case lost == nil || !errors.Is(err, lost):
			t.Errorf("a call failed with %v, want %v", err, lost)
		}
	}
	return n
}

// once fails the test unless one call succeeded and the others failed with lost.
func once(t *testing.T, errs []error, lost error) {
	t.Helper()
	if n := successes(t, errs, lost); n != 1 {
		t.Errorf("%d calls succeeded, want 1", n)
	}
}

var raceTests = []test{
	{"of many sign-ups with one address one succeeds", func(t *testing.T, s store.Store) { // ST-04
		people := make([]store.NewUser, crowd)
		for i := range people {
			people[i] = newPerson()
			people[i].User.EmailKey = "jane@example.org"
		}
		once(t, race(crowd, func(i int) error {
			_, err := s.CreateUser(t.Context(), people[i])
			return err
		}), conflict(store.FieldEmail))
		w := look(t, s)
		if len(w.Accounts) != 1 {
			t.Fatalf("there are %d users, want 1", len(w.Accounts))
		}
		for _, n := range people {
			if won := n.User.ID == w.Accounts[0].ID; stays(t, s, n.Session.ID) != won || lies(t, s, *n.Ticket) != won {
				t.Error("something of a failed sign-up was left behind, or of the other lost")
			}
		}
		if n := emptyOutbox(t, s); n != len(people[0].Messages) {
			t.Errorf("%d messages in the outbox, want %d", n, len(people[0].Messages))
		}
	}},
	{"of many users who want one address, identity or credential one gets it", func(t *testing.T, s store.Store) { // ST-04
		users := make([]store.User, crowd)
		for i := range users {
			users[i] = someone(t, s)
		}
		for field, wish := range map[store.Field]func(*store.UserChange){
			store.FieldEmail: func(c *store.UserChange) {
				c.Set.Email = &store.Email{Typed: "Jane@example.org", Key: "jane@example.org"}
			},
			store.FieldPhone:    func(c *store.UserChange) { c.Set.Phone = new("+4477") },
			store.FieldIdentity: func(c *store.UserChange) { c.Identity = new(newIdentity()); c.Identity.Subject = "1" },
			store.FieldCredential: func(c *store.UserChange) {
				c.SecurityKey = new(newKey())
				c.SecurityKey.CredentialID = allBytes(32)
			},
		} {
			once(t, race(crowd, func(i int) error {
				c := store.UserChange{UserID: users[i].ID, Now: base}
				wish(&c)
				_, err := s.ChangeUser(t.Context(), c)
				return err
			}), conflict(field))
		}
	}},
	{"of many who sign up with one identity, or add it, one gets it", func(t *testing.T, s store.Store) { // ST-04, OA-06
		for range 3 {
			identity := newIdentity()
			users := make([]uuid.UUID, crowd)
			for i := range users {
				users[i] = uuid.New()
				if i%2 == 0 {
					users[i] = someone(t, s).ID
				}
			}
			once(t, race(crowd, func(i int) error {
				mine := identity
				mine.Tokens = newTokens()
				if i%2 == 0 {
					_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: users[i], Now: base, Identity: &mine})
					return err
				}
				n := store.NewUser{User: newUser(), Identity: &mine}
				n.User.ID = users[i]
				_, err := s.CreateUser(t.Context(), n)
				return err
			}), conflict(store.FieldIdentity))
			owners := 0
			for _, a := range look(t, s).Accounts {
				owners += len(a.Identities)
				wants(t, s.DeleteUser(t.Context(), deletion(a.ID)), nil)
			}
			if owners != 1 {
				t.Errorf("the identity is that of %d users, want 1", owners)
			}
		}
	}},
	{"of many who remove the identities of a user as they were read one succeeds", func(t *testing.T, s store.Store) { // ST-06
		for range 3 {
			n, second := newPerson(), newIdentity()
			u := create(t, s, n)
			u = change(t, s, store.UserChange{UserID: u.ID, Identity: &second})
			keys := []store.IdentityKey{keyOf(*n.Identity), keyOf(second)}
			once(t, race(crowd, func(i int) error {
				_, err := s.ChangeUser(t.Context(), store.UserChange{
					UserID: u.ID, Now: base, If: store.Conditions{Epoch: u.Epoch}, RemoveIdentity: keys[i%2],
				})
				return err
			}), unmet(store.ConditionEpoch))
			if left := find(t, s, u.ID).Identities; len(left) != 1 {
				t.Errorf("%d identities are left, want 1", len(left))
			}
		}
	}},
	{"of many who take the tokens of an identity one gets them", func(t *testing.T, s store.Store) { // ST-03
		for range 3 {
			n := newPerson()
			u := create(t, s, n)
			take := store.IdentityTokens{Key: keyOf(*n.Identity), Tokens: n.Identity.Tokens}
			once(t, race(crowd, func(int) error {
				_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, TakeTokens: &take})
				return err
			}), unmet(store.ConditionTokens))
			n.Identity.UserID, n.Identity.Tokens = u.ID, nil
			equal(t, "the identities", find(t, s, u.ID).Identities, []store.Identity{*n.Identity})
		}
	}},
	{"of many who put tokens in the place of those that they take one does", func(t *testing.T, s store.Store) { // ST-03
		n := newPerson()
		u := create(t, s, n)
		key := keyOf(*n.Identity)
		put := make([][]byte, crowd)
		errs := race(crowd, func(i int) error {
			put[i] = newTokens()
			_, err := s.ChangeUser(t.Context(), store.UserChange{
				UserID: u.ID, Now: base, TakeTokens: &store.IdentityTokens{Key: key, Tokens: n.Identity.Tokens},
				PutTokens: &store.IdentityTokens{Key: key, Tokens: put[i]},
			})
			return err
		})
		once(t, errs, unmet(store.ConditionTokens))
		for i, err := range errs {
			if err == nil {
				n.Identity.UserID, n.Identity.Tokens = u.ID, put[i]
			}
		}
		equal(t, "the identities", find(t, s, u.ID).Identities, []store.Identity{*n.Identity})
	}},
	{"no change that demands that there be no second factor comes after one", func(t *testing.T, s store.Store) {
		for range 5 {
			u := someone(t, s)
			changed := make([]store.User, crowd)
			errs := race(crowd, func(i int) (err error) {
				c := store.UserChange{UserID: u.ID, Now: base, If: store.Conditions{NoTOTP: true}, SecurityKey: new(newKey())}
				if i == crowd/2 {
					c = store.UserChange{UserID: u.ID, Now: base, Set: store.UserSet{TOTPSecret: new([]byte("sealed"))}}
				}
				changed[i], err = s.ChangeUser(t.Context(), c)
				return err
			})
			added := successes(t, errs, unmet(store.ConditionNoTOTP)) - 1
			wants(t, errs[crowd/2], nil)
			for i, got := range changed {
				if errs[i] == nil && i != crowd/2 && len(got.TOTPSecret) > 0 {
					t.Error("a key was added after a second factor was turned on")
				}
			}
			if n := len(find(t, s, u.ID).SecurityKeys); n != added {
				t.Errorf("there are %d keys, want %d", n, added)
			}
		}
	}},
	{"of many sign-ups with one ticket one succeeds", func(t *testing.T, s store.Store) { // ST-03
		ticket := put(t, s, newTicket())
		once(t, race(crowd, func(int) error {
			_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Redeem: ticket.ID})
			return err
		}), unmet(store.ConditionTicket))
		if n := len(look(t, s).Accounts); n != 1 {
			t.Errorf("there are %d users, want 1", n)
		}
	}},
	{"of many who take one ticket one gets it", func(t *testing.T, s store.Store) { // TK-03, W15
		u := someone(t, s)
		for _, owner := range []uuid.UUID{u.ID, uuid.Nil} {
			ticket := put(t, s, ticketOf(owner))
			q := bySecret(ticket, base)
			q.UserID = owner
			once(t, race(crowd, func(int) error {
				_, err := s.TakeTicket(t.Context(), q)
				return err
			}), store.ErrNotFound)
		}
	}},
	{"a ticket is redeemed by one change of its user", func(t *testing.T, s store.Store) { // TK-03, W15
		u := someone(t, s)
		ticket := put(t, s, ticketOf(u.ID))
		once(t, race(crowd, func(int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, Redeem: ticket.ID, Session: new(newSession())})
			return err
		}), unmet(store.ConditionTicket))
		if n := len(find(t, s, u.ID).Sessions); n != 1 {
			t.Errorf("%d sessions were opened, want 1", n)
		}
	}},
	{"a ticket of nobody is redeemed by one user", func(t *testing.T, s store.Store) { // TK-03, W15
		ticket := put(t, s, newTicket())
		users := make([]store.User, crowd)
		for i := range users {
			users[i] = someone(t, s)
		}
		once(t, race(crowd, func(i int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: users[i].ID, Now: base, Redeem: ticket.ID, Session: new(newSession())})
			return err
		}), unmet(store.ConditionTicket))
		sessions := 0
		for _, a := range look(t, s).Accounts {
			sessions += len(a.Sessions)
		}
		if sessions != 1 {
			t.Errorf("%d sessions were opened, want 1", sessions)
		}
	}},
	{"a ticket is redeemed or taken, not both", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for range 5 {
			ticket := put(t, s, ticketOf(u.ID))
			errs := race(crowd, func(i int) error {
				if i%2 == 0 {
					_, err := s.TakeTicket(t.Context(), bySecret(ticket, base))
					return err
				}
				_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, Redeem: ticket.ID})
				if errors.Is(err, unmet(store.ConditionTicket)) {
					return store.ErrNotFound
				}
				return err
			})
			once(t, errs, store.ErrNotFound)
		}
	}},
	{"many guesses at the same moment cost as many tries", func(t *testing.T, s store.Store) { // EO-16
		u := someone(t, s)
		ticket := ticketOf(u.ID)
		ticket.Tries = 5
		put(t, s, ticket)
		errs := race(crowd, func(int) error {
			_, _, err := s.CheckTicket(t.Context(), store.TicketQuery{
				Kind: ticket.Kind, EmailKey: u.EmailKey, Hashes: [][]byte{newHash()}, Now: base,
			})
			return err
		})
		mismatches := 0
		for _, err := range errs {
			switch {
			case errors.Is(err, store.ErrMismatch):
				mismatches++
			case !errors.Is(err, store.ErrNotFound):
				t.Errorf("a guess came to %v", err)
			}
		}
		if mismatches != ticket.Tries {
			t.Errorf("%d guesses were looked at, want %d", mismatches, ticket.Tries)
		}
		check(t, s, bySecret(ticket, base), store.ErrNotFound)
	}},
	{"of many who present a ticket with one try one succeeds", func(t *testing.T, s store.Store) { // TK-03, WA-03
		u := someone(t, s)
		for way := range ways(u, newTicket()) {
			ticket := ticketOf(u.ID)
			ticket.Tries = 1
			put(t, s, ticket)
			once(t, race(crowd, func(int) error {
				_, _, err := s.CheckTicket(t.Context(), ways(u, ticket)[way])
				return err
			}), store.ErrNotFound)
			once(t, race(crowd, func(int) error {
				_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, Redeem: ticket.ID})
				return err
			}), unmet(store.ConditionTicket))
		}
	}},
	{"of many who sign up with a ticket whose one try went one succeeds", func(t *testing.T, s store.Store) { // TK-03, WA-03
		ticket := newTicket()
		ticket.Tries = 1
		put(t, s, ticket)
		once(t, race(crowd, func(int) error {
			_, _, err := s.CheckTicket(t.Context(), bySecret(ticket, base))
			return err
		}), store.ErrNotFound)
		once(t, race(crowd, func(int) error {
			_, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), Redeem: ticket.ID, SecurityKey: new(newKey())})
			return err
		}), unmet(store.ConditionTicket))
		if n := len(look(t, s).Accounts); n != 1 {
			t.Errorf("there are %d users, want 1", n)
		}
	}},
	{"tickets with slots of their own lie and are taken side by side", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		tickets := make([]store.Ticket, crowd)
		for i := range tickets {
			tickets[i] = newTicket()
			if i%2 == 0 {
				tickets[i].UserID = u.ID
			}
		}
		successes(t, race(crowd, func(i int) error { return s.PutTicket(t.Context(), tickets[i]) }), nil)
		for _, ticket := range tickets {
			if !lies(t, s, ticket) {
				t.Error("a ticket is gone")
			}
		}
		taken := make([]store.Ticket, crowd)
		successes(t, race(crowd, func(i int) (err error) {
			taken[i], err = s.TakeTicket(t.Context(), bySecret(tickets[i], base))
			return err
		}), nil)
		equal(t, "the tickets taken", taken, tickets)
		for _, ticket := range tickets {
			misses(t, s, bySecret(ticket, base))
		}
	}},
	{"a slot holds one ticket", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		tickets := make([]store.Ticket, crowd)
		for i := range tickets {
			tickets[i] = ticketOf(u.ID)
			tickets[i].Slot = u.ID.String()
		}
		successes(t, race(crowd, func(i int) error {
			if i%2 == 0 {
				return s.PutTicket(t.Context(), tickets[i])
			}
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, Ticket: &tickets[i]})
			return err
		}), nil)
		n := 0
		for _, ticket := range tickets {
			if lies(t, s, ticket) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d tickets lie in one slot", n)
		}
	}},

	{"of many refreshes with one token one rotates and the others repeat it", func(t *testing.T, s store.Store) { // RT-02, ST-02
		u := someone(t, s)
		v := signIn(t, s, u.ID, newSession())
		for generation := range uint32(3) {
			answers := make([]store.RotatedSession, crowd)
			successes(t, race(crowd, func(i int) (err error) {
				answers[i], err = s.RotateSession(t.Context(), present(v.ID, generation, base.Add(time.Duration(i)*tick)))
				return err
			}), nil)
			outcomes := map[store.Outcome]int{}
			for _, a := range answers {
				outcomes[a.Outcome]++
				if a.Session.Generation != generation+1 {
					t.Errorf("an answer is at generation %d, want %d", a.Session.Generation, generation+1)
				}
			}
			equal(t, "the outcomes", outcomes, map[store.Outcome]int{store.Rotated: 1, store.Repeated: crowd - 1})
		}
	}},
	{"no session opened before a password change survives it", func(t *testing.T, s store.Store) { // ST-06
		for range 5 {
			u := someone(t, s)
			sessions := make([]store.Session, crowd)
			for i := range sessions {
				sessions[i] = newSession()
			}
			successes(t, race(crowd, func(i int) error {
				c := store.UserChange{UserID: u.ID, Now: base, If: store.Conditions{Epoch: u.Epoch}, Session: &sessions[i]}
				if i == crowd/2 {
					c = store.UserChange{
						UserID: u.ID, Now: base, Set: store.UserSet{PasswordHash: new("$argon2id$new")}, Drop: store.Drop{Sessions: true},
						Session: &sessions[i],
					}
				}
				_, err := s.ChangeUser(t.Context(), c)
				return err
			}), unmet(store.ConditionEpoch))
			livesOnly(t, s, u.ID, base, sessions[crowd/2].ID)
		}
	}},
	{"no session survives a sign-out from all amid refreshes", func(t *testing.T, s store.Store) { // RT-15
		for range 5 {
			u := someone(t, s)
			sessions := make([]store.Session, crowd)
			for i := range sessions {
				sessions[i] = signIn(t, s, u.ID, newSession())
			}
			successes(t, race(crowd, func(i int) error {
				if i == crowd/2 {
					_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, Drop: store.Drop{Sessions: true}})
					return err
				}
				_, err := s.RotateSession(t.Context(), present(sessions[i].ID, 0, base))
				return err
			}), store.ErrNotFound)
			livesOnly(t, s, u.ID, base)
			for _, v := range sessions {
				refusesRotation(t, s, present(v.ID, 1, base))
			}
		}
	}},
	{"a session is ended once", func(t *testing.T, s store.Store) {
		v := signIn(t, s, someone(t, s).ID, newSession())
		counts := make([]int, crowd)
		successes(t, race(crowd, func(i int) (err error) {
			counts[i], err = s.EndSessions(t.Context(), uuid.Nil, v.ID)
			return err
		}), nil)
		total := 0
		for _, n := range counts {
			total += n
		}
		if total != 1 {
			t.Errorf("one session was ended %d times", total)
		}
	}},
	{"many sign-ins at the same moment leave no more sessions than allowed", func(t *testing.T, s store.Store) { // RT-25
		u := someone(t, s)
		successes(t, race(crowd, func(i int) error {
			v := newSession()
			v.RotatedAt = base.Add(time.Duration(i) * tick)
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, Session: &v, MaxSessions: 5})
			return err
		}), nil)
		if n := len(find(t, s, u.ID).Sessions); n != 5 {
			t.Errorf("there are %d sessions, want 5", n)
		}
	}},
	{"an anonymous user is deanonymised once", func(t *testing.T, s store.Store) { // W25
		n := store.NewUser{User: newUser()}
		n.User.Anonymous = true
		u := create(t, s, n)
		once(t, race(crowd, func(int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{
				UserID: u.ID, Now: base, If: store.Conditions{Anonymous: true}, Set: store.UserSet{Anonymous: new(false)},
			})
			return err
		}), unmet(store.ConditionAnonymous))
	}},
	{"a TOTP step is accepted once", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		once(t, race(crowd, func(int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, TOTPStep: 50_000_000})
			return err
		}), unmet(store.ConditionTOTPStep))
	}},
	{"a recovery code is used once, and others at the same moment are too", func(t *testing.T, s store.Store) {
		n := store.NewUser{User: newUser()}
		for range 10 {
			n.User.RecoveryCodes = append(n.User.RecoveryCodes, newHash())
		}
		u := create(t, s, n)
		errs := race(crowd, func(i int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, RecoveryCode: u.RecoveryCodes[i%8]})
			return err
		})
		if n := successes(t, errs, unmet(store.ConditionRecoveryCode)); n != 8 {
			t.Errorf("%d uses of 8 codes succeeded", n)
		}
		equal(t, "the codes left", find(t, s, u.ID).RecoveryCodes, u.RecoveryCodes[8:])
	}},
	{"one assertion with a counter is accepted", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		once(t, race(crowd, func(i int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, UseKey: &store.KeyUse{
				ID: n.SecurityKey.ID, WasSignCount: n.SecurityKey.SignCount, SignCount: n.SecurityKey.SignCount + 1 + uint32(i),
			}})
			return err
		}), unmet(store.ConditionSignCount))
	}},
	{"every assertion of a key that does not count is accepted", func(t *testing.T, s store.Store) { // WebAuthn L3 §6.1.1
		n := newPerson()
		n.SecurityKey.SignCount = 0
		u := create(t, s, n)
		successes(t, race(crowd, func(i int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{
				UserID: u.ID, Now: base, UseKey: &store.KeyUse{ID: n.SecurityKey.ID, UserVerified: i == crowd/2},
			})
			return err
		}), nil)
		if key := find(t, s, u.ID).SecurityKeys[0]; !key.UserVerified {
			t.Error("that the user was verified is forgotten")
		}
	}},
	{"of many tokens added at the same moment as many succeed as are allowed", func(t *testing.T, s store.Store) { // PA-12
		const most = 10
		for _, had := range []int{0, 3, most} {
			u := someone(t, s)
			for range had {
				change(t, s, store.UserChange{UserID: u.ID, PAT: new(newPAT())})
			}
			errs := race(crowd, func(int) error {
				_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: u.ID, Now: base, PAT: new(newPAT()), MaxPATs: most})
				return err
			})
			if n := successes(t, errs, unmet(store.ConditionPATs)); n != most-had {
				t.Errorf("%d tokens were added to %d, want %d", n, had, most-had)
			}
			if n := len(find(t, s, u.ID).PATs); n != most {
				t.Errorf("there are %d tokens, want %d", n, most)
			}
		}
	}},
	{"no change that demands a security key comes after its removal", func(t *testing.T, s store.Store) { // WA-24
		for name, removal := range map[string]func(key uuid.UUID) store.UserChange{
			"RemoveKey": func(key uuid.UUID) store.UserChange { return store.UserChange{RemoveKey: key} },
			"Drop":      func(uuid.UUID) store.UserChange { return store.UserChange{Drop: store.Drop{SecurityKeys: true}} },
		} {
			for range 5 {
				n := newPerson()
				u := create(t, s, n)
				// Only the removal makes the epoch grow, and so tells who came before it.
				var removed store.User
				changed := make([]store.User, crowd)
				errs := race(crowd, func(i int) (err error) {
					if i == crowd/2 {
						c := removal(n.SecurityKey.ID)
						c.UserID, c.Now = u.ID, base
						removed, err = s.ChangeUser(t.Context(), c)
						return err
					}
					changed[i], err = s.ChangeUser(t.Context(), store.UserChange{
						UserID: u.ID, Now: base, If: store.Conditions{SecurityKey: n.SecurityKey.ID}, Ticket: new(newTicket()),
					})
					return err
				})
				successes(t, errs, unmet(store.ConditionSecurityKey))
				wants(t, errs[crowd/2], nil)
				for i, got := range changed {
					if errs[i] == nil && i != crowd/2 && got.Epoch >= removed.Epoch {
						t.Errorf("a change that demands the key was made after %s", name)
					}
				}
			}
		}
	}},
	{"of many who remove the key that they demand one succeeds", func(t *testing.T, s store.Store) {
		n := newPerson()
		u := create(t, s, n)
		once(t, race(crowd, func(int) error {
			_, err := s.ChangeUser(t.Context(), store.UserChange{
				UserID: u.ID, Now: base, If: store.Conditions{SecurityKey: n.SecurityKey.ID}, RemoveKey: n.SecurityKey.ID,
			})
			return err
		}), unmet(store.ConditionSecurityKey))
	}},
	{"a user is deleted as they were read, or something else happened first", func(t *testing.T, s store.Store) { // ST-06, W26
		// Of the change and the deletion of each pair, whichever comes second is refused.
		for name, test := range map[string]struct {
			change store.UserChange
			cond   func(n *store.NewUser) store.Conditions
			unmet  store.Condition // by the deletion, after the change
		}{
			"a sign-up is verified": {
				store.UserChange{
					Set: store.UserSet{EmailVerified: new(true)}, Drop: store.Drop{Sessions: true}, Session: new(newSession()),
				},
				func(*store.NewUser) store.Conditions { return store.Conditions{Epoch: 1} },
				store.ConditionEpoch,
			},
			"a user is disabled": {
				store.UserChange{Set: store.UserSet{Disabled: new(true)}},
				func(*store.NewUser) store.Conditions { return store.Conditions{} },
				store.ConditionEnabled,
			},
			"a guest stays": {
				store.UserChange{Set: store.UserSet{Anonymous: new(false)}},
				func(*store.NewUser) store.Conditions { return store.Conditions{Anonymous: true} },
				store.ConditionAnonymous,
			},
			"a session ends": {
				store.UserChange{Drop: store.Drop{Sessions: true}},
				func(n *store.NewUser) store.Conditions { return store.Conditions{Session: n.Session.ID} },
				store.ConditionSession,
			},
			"a key is removed": {
				store.UserChange{Drop: store.Drop{SecurityKeys: true}},
				func(n *store.NewUser) store.Conditions { return store.Conditions{SecurityKey: n.SecurityKey.ID} },
				store.ConditionSecurityKey,
			},
			"a key is added": {
				store.UserChange{SecurityKey: new(newKey())},
				func(*store.NewUser) store.Conditions { return store.Conditions{NoSecurityKeys: true} },
				store.ConditionNoSecurityKeys,
			},
			"a second factor is turned on": {
				store.UserChange{Set: store.UserSet{TOTPSecret: new([]byte("sealed"))}},
				func(*store.NewUser) store.Conditions { return store.Conditions{NoTOTP: true} },
				store.ConditionNoTOTP,
			},
		} {
			for round := range 6 {
				n := newPerson()
				n.User.Anonymous = true
				if test.change.SecurityKey != nil {
					n.SecurityKey = nil
				}
				u := create(t, s, n)
				emptyOutbox(t, s)
				letters := make([]store.Message, crowd)
				// One change among deletions: whether it comes first is chance, and differs from round to round.
				at := round * (crowd - 1) / 5
				errs := race(crowd, func(i int) error {
					if i == at {
						c := test.change
						c.UserID, c.Now = u.ID, base
						_, err := s.ChangeUser(t.Context(), c)
						return err
					}
					letters[i] = newMessage()
					return s.DeleteUser(t.Context(), store.UserDeletion{
						UserID: u.ID, Now: base, If: test.cond(&n), Messages: letters[i : i+1],
					})
				})
				want, left := unmet(test.unmet), 1
				if errs[at] != nil {
					want, left = store.ErrNotFound, 0
				}
				once(t, errs, want)
				if got := len(look(t, s).Accounts); got != left {
					t.Errorf("%s: %d users are left, want %d", name, got, left)
				}
				if got := emptyOutbox(t, s); got != 1-left {
					t.Errorf("%s: %d letters were written, want %d", name, got, 1-left)
				}
				if left == 1 {
					wants(t, s.DeleteUser(t.Context(), deletion(u.ID)), nil)
				}
			}
		}
	}},
	{"a user is deleted on a session, or the session ends first", func(t *testing.T, s store.Store) { // RT-13
		for range 10 {
			u := someone(t, s)
			v := signIn(t, s, u.ID, newSession())
			ended := make([]int, crowd)
			errs := race(crowd, func(i int) (err error) {
				if i%10 == 0 {
					ended[i], err = s.EndSessions(t.Context(), u.ID, v.ID)
					return err
				}
				return s.DeleteUser(t.Context(), store.UserDeletion{UserID: u.ID, Now: base, If: store.Conditions{Session: v.ID}})
			})
			happened := 0
			for i, err := range errs {
				switch {
				case i%10 == 0:
					wants(t, err, nil)
					happened += ended[i]
				case err == nil:
					happened++
				case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, unmet(store.ConditionSession)):
					t.Errorf("a deletion failed with %v", err)
				}
			}
			if happened != 1 {
				t.Errorf("the session was used and ended %d times in all, want 1", happened)
			}
			for _, a := range look(t, s).Accounts {
				wants(t, s.DeleteUser(t.Context(), deletion(a.ID)), nil)
			}
		}
	}},
	{"a user is deleted once, and nothing is added to them after", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		session, ticket := newSession(), ticketOf(u.ID)
		errs := race(crowd, func(i int) error {
			switch i % 3 {
			case 0:
				return s.DeleteUser(t.Context(), deletion(u.ID, newMessage()))
			case 1:
				_, err := s.ChangeUser(t.Context(), store.UserChange{
					UserID: u.ID, Now: base, Drop: store.Drop{Sessions: true}, Session: &session, Identity: new(newIdentity()),
				})
				return err
			default:
				return s.PutTicket(t.Context(), ticket)
			}
		})
		successes(t, errs, store.ErrNotFound)
		equal(t, "the store", look(t, s), world{})
		if stays(t, s, session.ID) || lies(t, s, ticket) {
			t.Error("something is left of the user")
		}
		if n := emptyOutbox(t, s); n != 1 {
			t.Errorf("%d letters were written, want 1", n)
		}
	}},

	{"replicas that rotate at the same moment make one signing key", func(t *testing.T, s store.Store) {
		addKey(t, s, newSigningKey(), base)
		added := make([]bool, crowd)
		successes(t, race(crowd, func(i int) (err error) {
			k := newSigningKey()
			k.CreatedAt = base.Add(time.Minute + time.Duration(i)*tick)
			added[i], err = s.AddSigningKey(t.Context(), k, base)
			return err
		}), nil)
		n := 0
		for _, ok := range added {
			if ok {
				n++
			}
		}
		keys, err := s.SigningKeys(t.Context(), base)
		wants(t, err, nil)
		if n != 1 || len(keys) != 2 {
			t.Errorf("%d keys were added and %d are there, want 1 and 2", n, len(keys))
		}
	}},
	{"no message is claimed twice at once", func(t *testing.T, s store.Store) {
		var messages []store.Message
		for range 2 * crowd {
			messages = append(messages, newMessage())
		}
		post(t, s, messages...)
		claims := make([][]store.Message, crowd)
		successes(t, race(crowd, func(i int) (err error) {
			claims[i], err = s.ClaimMessages(t.Context(), store.MessageClaim{Now: base, Until: base.Add(time.Minute), Limit: 3})
			return err
		}), nil)
		times := map[uuid.UUID]int{}
		for _, list := range append(claims, claim(t, s, base, base.Add(time.Minute), 3*crowd)) {
			for _, m := range list {
				times[m.ID]++
			}
		}
		if len(times) != len(messages) {
			t.Errorf("%d messages were claimed, want %d", len(times), len(messages))
		}
		for id, n := range times {
			if n != 1 {
				t.Errorf("message %s was claimed %d times", id, n)
			}
		}
	}},
	{"of those who extend the audit trail from one head, one does", func(t *testing.T, s store.Store) {
		record(t, s, newEvent(uuid.Nil, "kind"))
		calls, heads := make([]store.Append, crowd), make([][]byte, crowd)
		for i := range calls {
			calls[i] = next(t, s, newEvent(uuid.Nil, fmt.Sprint(i)), newEvent(uuid.Nil, fmt.Sprint(i)))
		}
		var winner atomic.Int64
		successes(t, race(crowd, func(i int) error {
			head, appended, err := s.AppendEvents(t.Context(), calls[i])
			if heads[i] = head; appended {
				if winner.Add(int64(i)+1) != int64(i)+1 {
					return errors.New("two have done it")
				}
			}
			return err
		}), nil)
		won := int(winner.Load()) - 1
		if won < 0 {
			t.Fatal("nobody has done it")
		}
		for _, head := range heads {
			equal(t, "the head that somebody was told", head, calls[won].Head)
		}
		head, events := trail(t, s)
		equal(t, "the head", head, calls[won].Head)
		equal(t, "the events after the first", events[1:], calls[won].Events)
	}},
	{"everybody who goes on from the head that they are told gets their turn", func(t *testing.T, s store.Store) {
		var mu sync.Mutex
		seqs := map[string]int64{"": 0} // by head
		successes(t, race(crowd, func(i int) error {
			a := store.Append{Events: []store.Event{newEvent(uuid.Nil, fmt.Sprint(i))}}
			for {
				a.Head = newHash()
				mu.Lock()
				a.Events[0].Seq = seqs[string(a.After)] + 1
				seqs[string(a.Head)] = a.Events[0].Seq
				mu.Unlock()
				head, appended, err := s.AppendEvents(t.Context(), a)
				if appended || err != nil {
					return err
				}
				if bytes.Equal(head, a.After) {
					return errors.New("the head is the one that was given, and nothing was done")
				}
				a.After = head
			}
		}), nil)
		_, events := trail(t, s)
		kinds := map[string]bool{}
		for i, e := range events {
			kinds[e.Type] = true
			if e.Seq != int64(i)+1 {
				t.Errorf("event %d has the number %d", i+1, e.Seq)
			}
		}
		if len(events) != crowd || len(kinds) != crowd {
			t.Errorf("there are %d events of %d callers, want %d", len(events), len(kinds), crowd)
		}
	}},
	{"a row is purged once", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for range crowd {
			signIn(t, s, u.ID, newSession())
		}
		counts := make([]int, crowd)
		successes(t, race(crowd, func(i int) (err error) {
			counts[i], err = s.Purge(t.Context(), store.Purge{Now: base.AddDate(1, 0, 0), Limit: 10})
			return err
		}), nil)
		total := 0
		for _, n := range counts {
			if n > 10 {
				t.Errorf("a batch had %d rows", n)
			}
			total += n
		}
		// Those who came too late for a row may have gone without.
		rest, err := s.Purge(t.Context(), store.Purge{Now: base.AddDate(1, 0, 0), Limit: crowd})
		wants(t, err, nil)
		if total+rest != crowd {
			t.Errorf("%d rows were purged, want %d", total+rest, crowd)
		}
	}},
	{"sign-ups with work inside happen side by side", func(t *testing.T, s store.Store) {
		successes(t, race(crowd, func(i int) error {
			n := newPerson()
			n.Within = func(ctx context.Context, u store.User) error {
				_, err := s.ChangeUser(ctx, store.UserChange{UserID: u.ID, Now: base, Set: store.UserSet{Locale: new("bg")}})
				if i%2 == 0 && err == nil {
					err = store.ErrMismatch // any error will do
				}
				return err
			}
			_, err := s.CreateUser(t.Context(), n)
			return err
		}), store.ErrMismatch)
		accounts := look(t, s).Accounts
		if len(accounts) != crowd/2 {
			t.Errorf("there are %d users, want %d", len(accounts), crowd/2)
		}
		for _, a := range accounts {
			if a.Locale != "bg" || len(a.Sessions) != 1 {
				t.Errorf("got %+v", a)
			}
		}
	}},
}
