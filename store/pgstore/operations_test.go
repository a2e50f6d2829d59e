package pgstore_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// operation is a call of the store, to be made after what prepare, which may be nil, has done.
type operation struct {
	name  string
	trips int
	// ready makes what the call needs, and returns the call and the error that it is to end with.
	ready func(t testing.TB, s store.Store) (call func(context.Context) error, want error)
}

// change is a call of ChangeUser.
func change(of func(n store.NewUser) store.UserChange, want error) func(testing.TB, store.Store) (func(context.Context) error, error) {
	return func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		c := of(n)
		c.UserID, c.Now = n.User.ID, base
		if c.Redeem == (uuid.UUID{0: 1}) { // stands for a ticket that is there
			ticket := newTicket(n.User.ID)
			must(t, s.PutTicket(t.Context(), *ticket))
			c.Redeem = ticket.ID
		}
		return func(ctx context.Context) error {
			_, err := s.ChangeUser(ctx, c)
			return err
		}, want
	}
}

var aTicket = uuid.UUID{0: 1}

// deletion is a call of DeleteUser.
func deletion(on func(n store.NewUser) store.Conditions, want error) func(testing.TB, store.Store) (func(context.Context) error, error) {
	return func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		d := store.UserDeletion{UserID: n.User.ID, Now: base, If: on(n), Messages: []store.Message{newMessage()}}
		return func(ctx context.Context) error { return s.DeleteUser(ctx, d) }, want
	}
}

// operations are the calls that an engine makes, those on every request first.
var operations = []operation{
	{"RotateSession", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		return func(ctx context.Context) error {
			_, err := s.RotateSession(ctx, present(n.Session.ID, 0))
			return err
		}, nil
	}},
	{"RotateSession with a second secret", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		r := present(uuid.New(), 4)
		r.Candidates = append(r.Candidates, store.SessionGeneration{ID: n.Session.ID})
		return func(ctx context.Context) error {
			_, err := s.RotateSession(ctx, r)
			return err
		}, nil
	}},
	{"RotateSession repeated", 2, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		_, err := s.RotateSession(t.Context(), present(n.Session.ID, 0))
		must(t, err)
		return func(ctx context.Context) error {
			_, err := s.RotateSession(ctx, present(n.Session.ID, 0))
			return err
		}, nil
	}},
	{"RotateSession of nobody", 2, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.RotateSession(ctx, present(uuid.New(), 0))
			return err
		}, store.ErrNotFound
	}},
	user("User by id", func(n store.NewUser, _ *store.PAT) store.UserQuery { return store.UserQuery{ID: n.User.ID} }),
	user("User by e-mail", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{EmailKey: n.User.EmailKey}
	}),
	user("User by phone", func(n store.NewUser, _ *store.PAT) store.UserQuery { return store.UserQuery{Phone: n.User.Phone} }),
	user("User by identity", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{Identity: store.IdentityKey{Provider: n.Identity.Provider, Subject: n.Identity.Subject}}
	}),
	user("User by identity or e-mail", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{Identity: keyOf(n.Identity), EmailKey: n.User.EmailKey}
	}),
	user("User by e-mail, since nobody has the identity", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{Identity: keyOf(newIdentity()), EmailKey: n.User.EmailKey, With: store.WithIdentities}
	}),
	user("User by credential", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{CredentialID: n.SecurityKey.CredentialID}
	}),
	user("User by token", func(_ store.NewUser, p *store.PAT) store.UserQuery {
		return store.UserQuery{PATHashes: [][]byte{newHash(), p.Hash}}
	}),
	user("User by session", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{SessionID: n.Session.ID}
	}),
	user("User with everything", func(n store.NewUser, _ *store.PAT) store.UserQuery {
		return store.UserQuery{
			ID: n.User.ID, With: store.WithIdentities | store.WithSecurityKeys | store.WithSessions | store.WithPATs,
		}
	}),
	{"Users", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.Users(ctx, uuid.New(), 10)
			return err
		}, nil
	}},

	{"CreateUser", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, store.NewUser{
				User: newUser(), Identity: newIdentity(), SecurityKey: newKey(), Session: newSession(), Ticket: newTicket(uuid.Nil),
				Messages: []store.Message{newMessage(), newMessage()},
			})
			return err
		}, nil
	}},
	{"CreateUser that uses up a ticket and leaves another", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		ticket := newTicket(uuid.Nil)
		must(t, s.PutTicket(t.Context(), *ticket))
		return func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, store.NewUser{
				User: newUser(), Session: newSession(), Redeem: ticket.ID, Ticket: newTicket(uuid.Nil),
			})
			return err
		}, nil
	}},
	{"CreateUser without its ticket", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, store.NewUser{User: newUser(), Redeem: uuid.New()})
			return err
		}, store.ErrUnmet{Condition: store.ConditionTicket}
	}},
	// After an error pgx prepares the statement again.
	{"CreateUser with a taken address", 2, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := store.NewUser{User: newUser()}
		n.User.EmailKey = create(t, s).User.EmailKey
		return func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, n)
			return err
		}, store.ErrConflict{Field: store.FieldEmail}
	}},
	{"CreateUser with work inside", 2, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.CreateUser(ctx, store.NewUser{
				User: newUser(), Session: newSession(), Within: func(context.Context, store.User) error { return nil },
			})
			return err
		}, nil
	}},
	{"DeleteUser", 1, deletion(func(store.NewUser) store.Conditions { return store.Conditions{} }, nil)},
	{"DeleteUser on conditions about the user", 1, deletion(func(store.NewUser) store.Conditions {
		return store.Conditions{Disabled: true, Epoch: 1}
	}, nil)},
	{"DeleteUser on conditions about what is the user's", 1, deletion(func(n store.NewUser) store.Conditions {
		return store.Conditions{Session: n.Session.ID, Epoch: 1, SecurityKey: n.SecurityKey.ID}
	}, nil)},
	{"DeleteUser: a condition does not hold", 2, deletion(func(store.NewUser) store.Conditions {
		return store.Conditions{Epoch: 9}
	}, store.ErrUnmet{Condition: store.ConditionEpoch})},

	{"ChangeUser: sign in", 1, change(func(store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Epoch: 1}, Session: newSession(), MaxSessions: 100}
	}, nil)},
	{"ChangeUser: sign in and end another session", 1, change(func(store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Epoch: 1}, Session: newSession(), MaxSessions: 1}
	}, nil)},
	{"ChangeUser: sign in with a link", 1, change(func(store.NewUser) store.UserChange {
		verified := true
		return store.UserChange{
			If: store.Conditions{Epoch: 1}, Redeem: aTicket, Set: store.UserSet{EmailVerified: &verified},
			Session: newSession(), MaxSessions: 100,
		}
	}, nil)},
	{"ChangeUser: sign in with a provider", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Epoch: 1}, Identity: n.Identity, Session: newSession(), MaxSessions: 100}
	}, nil)},
	{"ChangeUser: sign in with a security key", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{
			If: store.Conditions{Epoch: 1}, UseKey: &store.KeyUse{ID: n.SecurityKey.ID, SignCount: 1},
			Session: newSession(), MaxSessions: 100,
		}
	}, nil)},
	{"ChangeUser: add a security key where there is no second factor", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Session: n.Session.ID, Epoch: 1, NoTOTP: true}, SecurityKey: newKey()}
	}, nil)},
	{"ChangeUser: take the tokens of an identity", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{TakeTokens: &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: n.Identity.Tokens}}
	}, nil)},
	{"ChangeUser: put the tokens of an identity", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{PutTokens: &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: newHash()}}
	}, nil)},
	{"ChangeUser: remove an identity", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Session: n.Session.ID, Epoch: 1}, RemoveIdentity: keyOf(n.Identity)}
	}, nil)},
	{"ChangeUser: rename a security key", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{
			If:        store.Conditions{Session: n.Session.ID, SecurityKey: n.SecurityKey.ID},
			RenameKey: &store.KeyName{ID: n.SecurityKey.ID, Nickname: "green"},
		}
	}, nil)},
	{"ChangeUser: set a password and drop what there was", 1, change(func(n store.NewUser) store.UserChange {
		hash := "$argon2id$"
		return store.UserChange{
			If: store.Conditions{Session: n.Session.ID, Epoch: 1}, Redeem: aTicket, Set: store.UserSet{PasswordHash: &hash},
			Drop:     store.Drop{Sessions: true, PATs: true, AllTickets: true},
			Session:  newSession(),
			Messages: []store.Message{newMessage()},
		}
	}, nil)},
	{"ChangeUser: all at once", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{
			If: store.Conditions{Session: n.Session.ID, Epoch: 1, NoTOTP: true}, Redeem: aTicket,
			UseKey: &store.KeyUse{ID: n.SecurityKey.ID}, TOTPStep: 1,
			TakeTokens: &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: n.Identity.Tokens},
			PutTokens:  &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: newHash()},
			Drop:       store.Drop{Sessions: true, PATs: true, SecurityKeys: true, Identities: true, AllTickets: true},
			Session:    newSession(), MaxSessions: 1, Ticket: newTicket(uuid.Nil), PAT: newPAT(), MaxPATs: 1,
			Identity: newIdentity(), SecurityKey: newKey(), Messages: []store.Message{newMessage()}, UsePAT: uuid.New(),
			RenameKey: &store.KeyName{ID: uuid.New()}, RemoveKey: uuid.New(), RemovePAT: uuid.New(),
			RemoveIdentity: store.IdentityKey{Provider: "a", Subject: "b"},
		}
	}, nil)},
	{"ChangeUser: a token", 1, change(func(store.NewUser) store.UserChange { return store.UserChange{PAT: newPAT()} }, nil)},
	{"ChangeUser: a token, of so many at most", 1, change(func(n store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Session: n.Session.ID}, PAT: newPAT(), MaxPATs: 10}
	}, nil)},
	{"ChangeUser: a condition does not hold", 2, change(func(store.NewUser) store.UserChange {
		return store.UserChange{If: store.Conditions{Epoch: 9}, Session: newSession()}
	}, store.ErrUnmet{Condition: store.ConditionEpoch})},

	{"UnrotateSession", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		return func(ctx context.Context) error {
			return s.UnrotateSession(ctx, store.RotatedSession{Session: store.Session{ID: n.Session.ID, Generation: 1}})
		}, nil
	}},
	{"EndSessions", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		return func(ctx context.Context) error {
			_, err := s.EndSessions(ctx, uuid.Nil, n.Session.ID)
			return err
		}, nil
	}},
	{"EndSessions of an owner", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		return func(ctx context.Context) error {
			_, err := s.EndSessions(ctx, n.User.ID, n.Session.ID)
			return err
		}, nil
	}},

	{"PutTicket", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		return func(ctx context.Context) error { return s.PutTicket(ctx, *newTicket(n.User.ID)) }, nil
	}},
	ticket("TakeTicket by secret", store.Store.TakeTicket, func(*store.TicketQuery, store.User) {}),
	ticket("TakeTicket by address", store.Store.TakeTicket, func(q *store.TicketQuery, u store.User) { q.EmailKey = u.EmailKey }),
	ticket("TakeTicket by number", store.Store.TakeTicket, func(q *store.TicketQuery, u store.User) { q.Phone = u.Phone }),
	ticket("TakeTicket by user", store.Store.TakeTicket, func(q *store.TicketQuery, u store.User) { q.UserID = u.ID }),
	ticket("CheckTicket by secret", checkTicket, func(*store.TicketQuery, store.User) {}),
	ticket("CheckTicket by address", checkTicket, func(q *store.TicketQuery, u store.User) { q.EmailKey = u.EmailKey }),
	ticket("CheckTicket by number", checkTicket, func(q *store.TicketQuery, u store.User) { q.Phone = u.Phone }),
	ticket("CheckTicket by user", checkTicket, func(q *store.TicketQuery, u store.User) { q.UserID = u.ID }),

	{"SigningKeys", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.SigningKeys(ctx, base)
			return err
		}, nil
	}},
	{"AddSigningKey", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			k := store.SigningKey{ID: uuid.NewString(), CreatedAt: base, ExpiresAt: base.Add(time.Hour)}
			_, err := s.AddSigningKey(ctx, k, base)
			return err
		}, nil
	}},
	{"PutMessages", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			return s.PutMessages(ctx, []store.Message{{ID: uuid.New(), Channel: "a"}, {ID: uuid.New(), Channel: "b"}})
		}, nil
	}},
	{"ExpireSigningKey", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			return s.ExpireSigningKey(ctx, "unknown", base)
		}, store.ErrNotFound
	}},
	{"ClaimMessages", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.ClaimMessages(ctx, store.MessageClaim{Now: base, Until: base.Add(time.Minute), Limit: 10})
			return err
		}, nil
	}},
	{"ClaimMessages of a channel", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.ClaimMessages(ctx, store.MessageClaim{Now: base, Until: base.Add(time.Minute), Limit: 10, Channel: "a"})
			return err
		}, nil
	}},
	{"SettleMessage, delivered", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			return s.SettleMessage(ctx, store.Settlement{ID: uuid.New(), Delivered: true})
		}, nil
	}},
	{"SettleMessage, to be repeated", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			return s.SettleMessage(ctx, store.Settlement{ID: uuid.New(), RetryAt: base})
		}, nil
	}},
	{"Outbox", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.Outbox(ctx, base)
			return err
		}, nil
	}},
	{"AppendEvents", 1, extend(0)},
	{"AppendEvents, and a shorter trail", 1, extend(1)},
	{"AppendEvents after somebody else", 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		a := next(t, s, store.Event{ID: uuid.New(), Type: "a"})
		a.After = newHash()
		return func(ctx context.Context) error {
			_, _, err := s.AppendEvents(ctx, a)
			return err
		}, nil
	}},
	events("Events", store.EventQuery{Limit: 10}),
	events("Events of a user", store.EventQuery{Limit: 10, UserID: uuid.New()}),
	events("Events of a type", store.EventQuery{Limit: 10, Type: "a"}),
	events("Events of a user and type", store.EventQuery{Limit: 10, UserID: uuid.New(), Type: "a"}),
	events("Events between times", store.EventQuery{Limit: 10, From: base, Before: store.EventKey{At: base.Add(3 * time.Second)}}),
	{"Trail", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, _, err := s.Trail(ctx, 1000, 10)
			return err
		}, nil
	}},
	{"Purge", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.Purge(ctx, store.Purge{Now: base.Add(-time.Hour), Limit: 100, AnonymousBefore: base.Add(-time.Hour)})
			return err
		}, nil
	}},
	{"Ping", 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) { return s.Ping, nil }},
}

func user(name string, query func(store.NewUser, *store.PAT) store.UserQuery) operation {
	return operation{name, 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n, token := create(t, s), newPAT()
		_, err := s.ChangeUser(t.Context(), store.UserChange{UserID: n.User.ID, Now: base, PAT: token})
		must(t, err)
		q := query(n, token)
		q.Now = base
		return func(ctx context.Context) error {
			_, err := s.User(ctx, q)
			return err
		}, nil
	}}
}

func checkTicket(s store.Store, ctx context.Context, q store.TicketQuery) (store.Ticket, error) {
	t, _, err := s.CheckTicket(ctx, q)
	return t, err
}

func ticket(
	name string, call func(store.Store, context.Context, store.TicketQuery) (store.Ticket, error),
	by func(*store.TicketQuery, store.User),
) operation {
	return operation{name, 1, func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		n := create(t, s)
		v := newTicket(n.User.ID)
		must(t, s.PutTicket(t.Context(), *v))
		q := bySecret(v)
		by(&q, n.User)
		return func(ctx context.Context) error {
			_, err := call(s, ctx, q)
			return err
		}, nil
	}}
}

func events(name string, q store.EventQuery) operation {
	return operation{name, 1, func(_ testing.TB, s store.Store) (func(context.Context) error, error) {
		return func(ctx context.Context) error {
			_, err := s.Events(ctx, q)
			return err
		}, nil
	}}
}

// extend adds two events to the trail, from which as many of the first go as through says.
func extend(through int64) func(testing.TB, store.Store) (func(context.Context) error, error) {
	return func(t testing.TB, s store.Store) (func(context.Context) error, error) {
		a := next(t, s, store.Event{ID: uuid.New(), Type: "a"}, store.Event{ID: uuid.New(), Type: "b"})
		a.Through = through
		return func(ctx context.Context) error {
			_, appended, err := s.AppendEvents(ctx, a)
			if err == nil && !appended {
				return errors.New("it was not done")
			}
			return err
		}, nil
	}
}

// next is what adds events to the audit trail as it is now.
func next(t testing.TB, s store.Store, events ...store.Event) store.Append {
	head, there, err := s.Trail(t.Context(), math.MinInt64, 10_000)
	must(t, err)
	last := int64(0)
	if n := len(there); n > 0 {
		last = there[n-1].Seq
	}
	for i := range events {
		events[i].Seq = last + int64(i) + 1
	}
	return store.Append{After: head, Head: newHash(), Events: events}
}
