package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// check presents a secret and returns how many tries are left.
func check(t *testing.T, s store.Store, q store.TicketQuery, want error) int {
	t.Helper()
	ticket, u, err := s.CheckTicket(t.Context(), q)
	wants(t, err, want)
	if err != nil {
		equal(t, "the ticket returned with an error", ticket, store.Ticket{})
		equal(t, "the user returned with an error", u, store.User{})
	}
	return ticket.Tries
}

// takes takes a ticket that is there.
func takes(t *testing.T, s store.Store, q store.TicketQuery, want store.Ticket) {
	t.Helper()
	got, err := s.TakeTicket(t.Context(), q)
	wants(t, err, nil)
	equal(t, "the ticket taken", got, want)
}

// misses tries to take a ticket that is not there.
func misses(t *testing.T, s store.Store, q store.TicketQuery) {
	t.Helper()
	got, err := s.TakeTicket(t.Context(), q)
	wants(t, err, store.ErrNotFound)
	equal(t, "the ticket returned with an error", got, store.Ticket{})
}

// ways are the look-ups that find a ticket of u.
func ways(u store.User, ticket store.Ticket) map[string]store.TicketQuery {
	hashes := [][]byte{newHash(), ticket.Hash, newHash()}
	return map[string]store.TicketQuery{
		"the secret alone":        {Kind: ticket.Kind, Hashes: hashes, Now: base},
		"the user and the secret": {Kind: ticket.Kind, Hashes: hashes, UserID: u.ID, Now: base},
		"address and secret":      {Kind: ticket.Kind, Hashes: hashes, EmailKey: u.EmailKey, Now: base},
		"number and secret":       {Kind: ticket.Kind, Hashes: hashes, Phone: u.Phone, Now: base},
	}
}

var ticketTests = []test{
	{"a ticket is taken once, whichever way it is looked for", func(t *testing.T, s store.Store) { // TK-02
		u := someone(t, s)
		for _, tries := range []int{-1, 1, 5} {
			for way := range ways(u, newTicket()) {
				ticket := ticketOf(u.ID)
				ticket.Tries = tries
				put(t, s, ticket)
				takes(t, s, ways(u, ticket)[way], ticket)
				misses(t, s, ways(u, ticket)[way])
				check(t, s, ways(u, ticket)[way], store.ErrNotFound)
			}
		}
	}},
	{"a ticket is checked any number of times, whichever way it is looked for", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for way := range ways(u, newTicket()) {
			ticket := put(t, s, ticketOf(u.ID))
			for range 3 {
				got, owner, err := s.CheckTicket(t.Context(), ways(u, ticket)[way])
				wants(t, err, nil)
				equal(t, "the ticket found by "+way, got, ticket)
				equal(t, "its user", owner, u)
			}
			takes(t, s, bySecret(ticket, base), ticket)
		}
	}},
	{"a ticket of nobody has no user", func(t *testing.T, s store.Store) {
		someone(t, s)
		ticket := put(t, s, newTicket())
		got, u, err := s.CheckTicket(t.Context(), bySecret(ticket, base))
		wants(t, err, nil)
		equal(t, "the ticket", got, ticket)
		equal(t, "the user", u, store.User{})
		takes(t, s, bySecret(ticket, base), ticket)
	}},
	{"a ticket of a disabled user is found", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		ticket := put(t, s, ticketOf(u.ID))
		u = change(t, s, store.UserChange{UserID: u.ID, Set: store.UserSet{Disabled: new(true)}})
		_, got, err := s.CheckTicket(t.Context(), bySecret(ticket, base))
		wants(t, err, nil)
		equal(t, "the user", got, u)
	}},
	{"a secret of one kind is worth nothing as another", func(t *testing.T, s store.Store) { // TK-01
		u := someone(t, s)
		ticket := put(t, s, ticketOf(u.ID))
		for _, q := range ways(u, ticket) {
			for _, kind := range []string{"code", "", "LINK", "lin", "link "} {
				q.Kind = kind
				misses(t, s, q)
				check(t, s, q, store.ErrNotFound)
			}
		}
		if !lies(t, s, ticket) {
			t.Error("a look-up of another kind consumed the ticket")
		}
	}},
	{"a ticket expires at its instant", func(t *testing.T, s store.Store) { // TK-04
		u := someone(t, s)
		ticket := put(t, s, ticketOf(u.ID))
		for _, q := range ways(u, ticket) {
			q.Now = ticket.ExpiresAt
			misses(t, s, q)
			check(t, s, q, store.ErrNotFound)
			q.Now = ticket.ExpiresAt.Add(-tick)
			check(t, s, q, nil)
			q.Hashes = [][]byte{newHash()}
			q.Now = ticket.ExpiresAt
			check(t, s, q, store.ErrNotFound)
		}
		q := bySecret(ticket, ticket.ExpiresAt.Add(-tick))
		takes(t, s, q, ticket)
	}},
	{"an unknown secret, user or address finds nothing", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		nameless := newUser()
		nameless.Email, nameless.EmailKey, nameless.Phone = "", "", ""
		create(t, s, store.NewUser{User: nameless})
		ticket := put(t, s, ticketOf(u.ID))
		hidden := put(t, s, ticketOf(nameless.ID))
		nobodys := put(t, s, newTicket())
		for _, q := range []store.TicketQuery{
			{},
			{Kind: "link"},
			{Kind: "link", Hashes: [][]byte{}},
			{Kind: "link", Hashes: [][]byte{nil}},
			{Kind: "link", Hashes: [][]byte{newHash(), newHash()}},
			{Kind: "link", Hashes: [][]byte{ticket.Hash[:31]}},
			{Kind: "link", Hashes: [][]byte{ticket.Hash}, UserID: uuid.New()},
			{Kind: "link", Hashes: [][]byte{ticket.Hash}, EmailKey: "nobody@example.org"},
			{Kind: "link", Hashes: [][]byte{ticket.Hash}, EmailKey: u.EmailKey + " "},
			{Kind: "link", Hashes: [][]byte{ticket.Hash}, Phone: "+990"},
			{Kind: "link", Hashes: [][]byte{nobodys.Hash}, UserID: uuid.New()},
		} {
			q.Now = base
			misses(t, s, q)
			check(t, s, q, store.ErrNotFound)
		}
		for _, ticket := range []store.Ticket{ticket, hidden, nobodys} {
			if !lies(t, s, ticket) {
				t.Error("a ticket is gone")
			}
		}
	}},
	{"a secret opens its owner's ticket alone", func(t *testing.T, s store.Store) {
		u, other := someone(t, s), someone(t, s)
		mine, theirs, nobodys := put(t, s, ticketOf(u.ID)), put(t, s, ticketOf(other.ID)), put(t, s, newTicket())
		for _, foreign := range []store.Ticket{theirs, nobodys} {
			for way, q := range ways(u, foreign) {
				if way == "the secret alone" {
					continue
				}
				check(t, s, q, store.ErrMismatch)
				misses(t, s, q)
			}
		}
		for _, ticket := range []store.Ticket{mine, theirs, nobodys} {
			if !lies(t, s, ticket) {
				t.Error("a ticket is gone")
			}
		}
	}},
	{"two users may have the same code", func(t *testing.T, s store.Store) {
		users := []store.User{someone(t, s), someone(t, s)}
		var tickets []store.Ticket
		for _, u := range users {
			ticket := ticketOf(u.ID)
			if len(tickets) > 0 {
				ticket.Hash = tickets[0].Hash
			}
			tickets = append(tickets, put(t, s, ticket))
		}
		for i, u := range users {
			q := bySecret(tickets[i], base)
			q.UserID = u.ID
			got, owner, err := s.CheckTicket(t.Context(), q)
			wants(t, err, nil)
			equal(t, "the ticket", got, tickets[i])
			equal(t, "the user", owner, u)
			takes(t, s, q, tickets[i])
			misses(t, s, q)
		}
	}},

	{"a later ticket of the same kind and slot replaces the one before", func(t *testing.T, s store.Store) {
		u, other := someone(t, s), someone(t, s)
		old := put(t, s, ticketOf(u.ID))
		for _, owner := range []uuid.UUID{u.ID, other.ID, uuid.Nil, u.ID} {
			later := ticketOf(owner)
			later.Slot = old.Slot
			put(t, s, later)
			misses(t, s, bySecret(old, base))
			check(t, s, bySecret(old, base), store.ErrNotFound)
			if !lies(t, s, later) {
				t.Error("the later ticket is not there")
			}
			old = later
		}
		for _, id := range []uuid.UUID{other.ID, uuid.Nil} {
			q := bySecret(old, base)
			q.UserID = id
			if id != uuid.Nil {
				check(t, s, q, store.ErrNotFound)
			}
		}
		again := old
		again.Data, again.Hash = []byte("sealed again"), newHash()
		put(t, s, again) // with the same id
		takes(t, s, bySecret(again, base), again)
	}},
	{"tickets of another kind or slot stay", func(t *testing.T, s store.Store) { // W32, TK-06
		u := someone(t, s)
		link, code, second := ticketOf(u.ID), ticketOf(u.ID), ticketOf(u.ID)
		link.Slot, code.Slot, code.Kind = u.ID.String(), u.ID.String(), "code"
		for _, ticket := range []store.Ticket{link, code, second} {
			put(t, s, ticket)
		}
		for _, ticket := range []store.Ticket{link, code, second} {
			takes(t, s, bySecret(ticket, base), ticket)
		}
	}},
	{"a ticket of a user who does not exist is not stored", func(t *testing.T, s store.Store) {
		ticket := ticketOf(uuid.New())
		wants(t, s.PutTicket(t.Context(), ticket), store.ErrNotFound)
		u := someone(t, s)
		gone := ticketOf(u.ID)
		wants(t, s.DeleteUser(t.Context(), deletion(u.ID)), nil)
		wants(t, s.PutTicket(t.Context(), gone), store.ErrNotFound)
		if lies(t, s, ticket) || lies(t, s, gone) {
			t.Error("the ticket is there")
		}
	}},

	{"each presentation takes a try, and the last one is the last", func(t *testing.T, s store.Store) { // EO-16
		u := someone(t, s)
		for way := range ways(u, newTicket()) {
			ticket := ticketOf(u.ID)
			ticket.Tries = 3
			put(t, s, ticket)
			right := ways(u, ticket)[way]
			for left := 2; left >= 0; left-- {
				if got := check(t, s, right, nil); got != left {
					t.Errorf("by %s: %d tries left, want %d", way, got, left)
				}
			}
			for range 2 {
				check(t, s, right, store.ErrNotFound)
				misses(t, s, right)
			}
			wrong := right
			wrong.Hashes = [][]byte{newHash()}
			check(t, s, wrong, store.ErrNotFound)
			// That it is still there can be seen: it can be redeemed.
			change(t, s, store.UserChange{UserID: u.ID, Redeem: ticket.ID})
		}
	}},
	{"a ticket with one try is presented once, and redeemed once after", func(t *testing.T, s store.Store) { // TK-02, WA-03
		for way := range ways(newUser(), newTicket()) {
			u := someone(t, s)
			ticket := ticketOf(u.ID)
			ticket.Tries = 1
			put(t, s, ticket)
			if left := check(t, s, ways(u, ticket)[way], nil); left != 0 {
				t.Errorf("by %s: %d tries left, want 0", way, left)
			}
			for _, q := range ways(u, ticket) {
				check(t, s, q, store.ErrNotFound)
				misses(t, s, q)
			}
			refusesNewUser(t, s, store.NewUser{User: newUser(), Redeem: ticket.ID}, unmet(store.ConditionTicket))
			c := busyChange(u.ID)
			c.Redeem = ticket.ID
			change(t, s, c)
			c = busyChange(u.ID)
			c.Redeem = ticket.ID
			refusesChange(t, s, c, unmet(store.ConditionTicket))
		}
	}},
	{"a ticket of nobody with one try is presented once, and redeemed once after", func(t *testing.T, s store.Store) { // TK-02, WA-03
		for name, redeem := range map[string]func(ticket uuid.UUID){
			"by a sign-up": func(ticket uuid.UUID) { create(t, s, store.NewUser{User: newUser(), Redeem: ticket}) },
			"by a user":    func(ticket uuid.UUID) { change(t, s, store.UserChange{UserID: someone(t, s).ID, Redeem: ticket}) },
		} {
			ticket := newTicket()
			ticket.Tries = 1
			put(t, s, ticket)
			if left := check(t, s, bySecret(ticket, base), nil); left != 0 {
				t.Errorf("%s: %d tries left, want 0", name, left)
			}
			check(t, s, bySecret(ticket, base), store.ErrNotFound)
			misses(t, s, bySecret(ticket, base))
			redeem(ticket.ID)
			refusesNewUser(t, s, store.NewUser{User: newUser(), Redeem: ticket.ID}, unmet(store.ConditionTicket))
			c := busyChange(someone(t, s).ID)
			c.Redeem = ticket.ID
			refusesChange(t, s, c, unmet(store.ConditionTicket))
		}
	}},
	{"a wrong secret takes a try and is a mismatch", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for way := range ways(u, newTicket()) {
			if way == "the secret alone" {
				continue
			}
			ticket := ticketOf(u.ID)
			ticket.Tries = 3
			put(t, s, ticket)
			wrong := ways(u, ticket)[way]
			wrong.Hashes = [][]byte{newHash(), newHash()}
			check(t, s, wrong, store.ErrMismatch)
			wrong.Hashes = nil
			check(t, s, wrong, store.ErrMismatch)
			if got := check(t, s, ways(u, ticket)[way], nil); got != 0 {
				t.Errorf("by %s: %d tries left, want 0", way, got)
			}
			check(t, s, wrong, store.ErrNotFound)
			check(t, s, ways(u, ticket)[way], store.ErrNotFound)
			change(t, s, store.UserChange{UserID: u.ID, Redeem: ticket.ID})
		}
	}},
	{"a ticket without a budget stands any number of wrong secrets", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		for _, tries := range []int{-1, -7} {
			ticket := ticketOf(u.ID)
			ticket.Tries = tries
			put(t, s, ticket)
			wrong := store.TicketQuery{Kind: ticket.Kind, UserID: u.ID, Hashes: [][]byte{newHash()}, Now: base}
			for range 10 {
				check(t, s, wrong, store.ErrMismatch)
			}
			takes(t, s, bySecret(ticket, base), ticket)
		}
	}},
	{"an exhausted ticket is not found", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		ticket := ticketOf(u.ID)
		ticket.Tries = 0
		put(t, s, ticket)
		for _, q := range ways(u, ticket) {
			check(t, s, q, store.ErrNotFound)
			misses(t, s, q)
		}
	}},
	{"to miss a ticket with TakeTicket costs nothing", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		ticket := ticketOf(u.ID)
		ticket.Tries = 1
		put(t, s, ticket)
		for range 3 {
			misses(t, s, store.TicketQuery{Kind: ticket.Kind, UserID: u.ID, Hashes: [][]byte{newHash()}, Now: base})
		}
		takes(t, s, bySecret(ticket, base), ticket)
	}},
	{"a secret is presented to all tickets of the kind that its owner has", func(t *testing.T, s store.Store) {
		u := someone(t, s)
		first, second, other, free := ticketOf(u.ID), ticketOf(u.ID), ticketOf(u.ID), ticketOf(u.ID)
		first.Tries, second.Tries, other.Tries = 4, 3, 1
		other.Kind = "code"
		expired := ticketOf(u.ID)
		expired.ExpiresAt = base
		for _, ticket := range []store.Ticket{first, second, other, free, expired} {
			put(t, s, ticket)
		}
		q := store.TicketQuery{Kind: "link", UserID: u.ID, Now: base}
		for _, step := range []struct {
			hash []byte
			want error
			left int
		}{
			{newHash(), store.ErrMismatch, 0},
			{first.Hash, nil, 2},
			{free.Hash, nil, -1},
			{second.Hash, store.ErrMismatch, 0},
			{expired.Hash, store.ErrMismatch, 0},
			{first.Hash, store.ErrMismatch, 0},
		} {
			q.Hashes = [][]byte{step.hash}
			if got := check(t, s, q, step.want); got != step.left {
				t.Errorf("%d tries left, want %d", got, step.left)
			}
		}
		if got := check(t, s, bySecret(other, base), nil); got != 0 {
			t.Errorf("the ticket of another kind has %d tries left, want 0", got)
		}
	}},
}
