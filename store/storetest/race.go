package storetest

import (
	"context"
	"errors"
	"sync"
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
	{"a user is deleted once, and nothing is added to them after", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		session, ticket := newSession(), ticketOf(u.ID)
		errs := race(crowd, func(i int) error {
			switch i % 3 {
			case 0:
				return s.DeleteUser(t.Context(), u.ID, []store.Message{newMessage()})
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
			claims[i], err = s.ClaimMessages(t.Context(), base, base.Add(time.Minute), 3)
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
	{"every event gets a number of its own", func(t *testing.T, s store.Store) {
		successes(t, race(crowd, func(i int) error {
			return s.AppendEvents(t.Context(), []store.Event{newEvent(uuid.Nil, "kind"), newEvent(uuid.Nil, "kind")})
		}), nil)
		events, err := s.Events(t.Context(), store.EventQuery{Limit: 3 * crowd})
		wants(t, err, nil)
		numbers := map[int64]bool{}
		for _, e := range events {
			numbers[e.Seq] = true
		}
		if len(numbers) != 2*crowd || len(events) != 2*crowd {
			t.Errorf("%d events have %d numbers, want %d", len(events), len(numbers), 2*crowd)
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
