package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/pgstore"
)

// behind runs second while the transaction of first has not ended, waits until the server says that second waits for a
// lock of first's, and lets first commit. It returns the error of second.
func behind(t *testing.T, pool *pgxpool.Pool, first, second func(context.Context) error) error {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	must(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	must(t, first(pgstore.WithTx(t.Context(), tx)))
	done := make(chan error, 1)
	go func() { done <- second(t.Context()) }()
	waitUntilBlocked(t, pool, tx)
	must(t, tx.Commit(t.Context()))
	return <-done
}

// waitUntilBlocked returns when somebody waits for tx.
func waitUntilBlocked(t *testing.T, pool *pgxpool.Pool, tx pgx.Tx) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var blocked bool
		err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND $1 = ANY (pg_blocking_pids(pid)))`,
			tx.Conn().PgConn().PID()).Scan(&blocked)
		if err != nil {
			t.Fatalf("nobody waits for the transaction: %v", err)
		}
		if blocked {
			return
		}
	}
}

// What a change finds out after it had to wait is how things are then, not how they were when it began. ST-06, W15, W26
func TestAChangeThatHadToWaitSeesWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	changes := func(c store.UserChange) func(uuid.UUID) func(context.Context) error {
		return func(user uuid.UUID) func(context.Context) error {
			return func(ctx context.Context) error {
				c := c
				c.UserID, c.Now = user, base
				_, err := s.ChangeUser(ctx, c)
				return err
			}
		}
	}
	disabled := true
	early := newSession()
	early.RotatedAt = base.Add(-time.Minute)
	stale := newSession()
	secret := []byte("sealed")
	linked, relinked := newIdentity(), newIdentity()
	for name, test := range map[string]struct {
		first, second func(user uuid.UUID) func(context.Context) error
		want          error
		check         func(t *testing.T, a store.Account)
	}{
		"a session opened meanwhile is dropped with the others": {
			first:  changes(store.UserChange{Session: newSession()}),
			second: changes(store.UserChange{Drop: store.Drop{Sessions: true}}),
			check: func(t *testing.T, a store.Account) {
				if len(a.Sessions) != 0 {
					t.Errorf("%d sessions are left", len(a.Sessions))
				}
			},
		},
		"a session opened meanwhile is dropped with the others before another is opened": {
			first:  changes(store.UserChange{Session: newSession()}),
			second: changes(store.UserChange{Drop: store.Drop{Sessions: true}, Session: stale, MaxSessions: 9}),
			check: func(t *testing.T, a store.Account) {
				if len(a.Sessions) != 1 || a.Sessions[0].ID != stale.ID {
					t.Errorf("got %+v", a.Sessions)
				}
			},
		},
		"a session opened meanwhile counts": {
			first:  changes(store.UserChange{Session: early}),
			second: changes(store.UserChange{Session: newSession(), MaxSessions: 2}),
			check: func(t *testing.T, a store.Account) {
				if len(a.Sessions) != 2 {
					t.Errorf("there are %d sessions, want 2", len(a.Sessions))
				}
			},
		},
		"tokens, keys, identities and tickets added meanwhile are dropped": {
			first: changes(store.UserChange{
				PAT: newPAT(), SecurityKey: newKey(), Identity: newIdentity(), Ticket: newTicket(uuid.Nil),
			}),
			second: changes(store.UserChange{
				Drop: store.Drop{PATs: true, SecurityKeys: true, Identities: true, AllTickets: true},
			}),
			check: func(t *testing.T, a store.Account) {
				if len(a.PATs)+len(a.SecurityKeys)+len(a.Identities) != 0 {
					t.Errorf("got %+v", a)
				}
				q := store.TicketQuery{Kind: "link", UserID: a.ID, Now: base}
				if _, _, err := s.CheckTicket(t.Context(), q); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("got %v for the ticket", err)
				}
			},
		},
		"a security key added meanwhile is one": {
			first:  changes(store.UserChange{Drop: store.Drop{SecurityKeys: true}, SecurityKey: newKey()}),
			second: changes(store.UserChange{If: store.Conditions{NoSecurityKeys: true}, Session: newSession()}),
			want:   store.ErrUnmet{Condition: store.ConditionNoSecurityKeys},
		},
		"a token added meanwhile counts": {
			first:  changes(store.UserChange{PAT: newPAT()}),
			second: changes(store.UserChange{PAT: newPAT(), MaxPATs: 1, Session: newSession()}),
			want:   store.ErrUnmet{Condition: store.ConditionPATs},
			check: func(t *testing.T, a store.Account) {
				if len(a.PATs) != 1 || len(a.Sessions) != 1 { // the session that the user had
					t.Errorf("got %+v", a)
				}
			},
		},
		"a token added meanwhile leaves room for another": {
			first:  changes(store.UserChange{PAT: newPAT()}),
			second: changes(store.UserChange{PAT: newPAT(), MaxPATs: 2}),
			check: func(t *testing.T, a store.Account) {
				if len(a.PATs) != 2 {
					t.Errorf("there are %d tokens, want 2", len(a.PATs))
				}
			},
		},
		"a second factor turned on meanwhile is one": {
			first:  changes(store.UserChange{Set: store.UserSet{TOTPSecret: &secret}}),
			second: changes(store.UserChange{If: store.Conditions{NoTOTP: true}, SecurityKey: newKey()}),
			want:   store.ErrUnmet{Condition: store.ConditionNoTOTP},
			check: func(t *testing.T, a store.Account) {
				if len(a.SecurityKeys) != 1 { // the one that the user had
					t.Errorf("got %+v", a.SecurityKeys)
				}
			},
		},
		"tokens of an identity added meanwhile are set": {
			first: changes(store.UserChange{Identity: linked}),
			second: changes(store.UserChange{
				PutTokens: &store.IdentityTokens{Key: keyOf(linked), Tokens: secret},
			}),
			check: func(t *testing.T, a store.Account) {
				if len(a.Identities) != 2 || !slices.ContainsFunc(a.Identities, func(i store.Identity) bool {
					return bytes.Equal(i.Tokens, secret)
				}) {
					t.Errorf("got %+v", a.Identities)
				}
			},
		},
		"tokens of an identity added meanwhile are taken": {
			first: changes(store.UserChange{Identity: relinked}),
			second: changes(store.UserChange{
				TakeTokens: &store.IdentityTokens{Key: keyOf(relinked), Tokens: relinked.Tokens},
			}),
			check: func(t *testing.T, a store.Account) {
				if len(a.Identities) != 2 || !slices.ContainsFunc(a.Identities, func(i store.Identity) bool { return i.Tokens == nil }) {
					t.Errorf("got %+v", a.Identities)
				}
			},
		},
		"what was revoked meanwhile changes the epoch": {
			first:  changes(store.UserChange{Drop: store.Drop{Sessions: true}}),
			second: changes(store.UserChange{If: store.Conditions{Epoch: 1}, Session: newSession()}),
			want:   store.ErrUnmet{Condition: store.ConditionEpoch},
			check: func(t *testing.T, a store.Account) {
				if len(a.Sessions) != 0 {
					t.Errorf("%d sessions are left", len(a.Sessions))
				}
			},
		},
		"a user disabled meanwhile cannot sign in": {
			first:  changes(store.UserChange{Set: store.UserSet{Disabled: &disabled}}),
			second: changes(store.UserChange{Session: newSession()}),
			want:   store.ErrUnmet{Condition: store.ConditionEnabled},
		},
		"a user deleted meanwhile is gone": {
			first: func(user uuid.UUID) func(context.Context) error {
				return func(ctx context.Context) error { return s.DeleteUser(ctx, store.UserDeletion{UserID: user, Now: base}) }
			},
			second: changes(store.UserChange{Session: newSession(), Drop: store.Drop{PATs: true}}),
			want:   store.ErrNotFound,
		},
		"a ticket for a user deleted meanwhile is not put": {
			first: func(user uuid.UUID) func(context.Context) error {
				return func(ctx context.Context) error { return s.DeleteUser(ctx, store.UserDeletion{UserID: user, Now: base}) }
			},
			second: func(user uuid.UUID) func(context.Context) error {
				return func(ctx context.Context) error { return s.PutTicket(ctx, *newTicket(user)) }
			},
			want: store.ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := create(t, s).User.ID
			if err := behind(t, pool, test.first(user), test.second(user)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if test.check != nil {
				test.check(t, find(t, s, user))
			}
		})
	}
}

// Sessions and tickets change without their user's lock. Who depends on one and had to wait asks anew.
func TestWhatIsTakenAwayMeanwhileCannotBeUsed(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	for name, test := range map[string]struct {
		first  func(context.Context, store.NewUser, store.Ticket) error
		second store.UserChange
		want   error
	}{
		"a session that ends": {
			first: func(ctx context.Context, n store.NewUser, _ store.Ticket) error {
				_, err := s.EndSessions(ctx, uuid.Nil, n.Session.ID)
				return err
			},
			want: store.ErrUnmet{Condition: store.ConditionSession},
		},
		"a ticket that is taken": {
			first: func(ctx context.Context, _ store.NewUser, ticket store.Ticket) error {
				_, err := s.TakeTicket(ctx, bySecret(&ticket))
				return err
			},
			want: store.ErrUnmet{Condition: store.ConditionTicket},
		},
		"a ticket that is replaced": {
			first: func(ctx context.Context, _ store.NewUser, ticket store.Ticket) error {
				ticket.ID, ticket.Hash = uuid.New(), newHash()
				return s.PutTicket(ctx, ticket)
			},
			want: store.ErrUnmet{Condition: store.ConditionTicket},
		},
		"a security key that is removed": {
			first: func(ctx context.Context, n store.NewUser, _ store.Ticket) error {
				_, err := s.ChangeUser(ctx, store.UserChange{UserID: n.User.ID, Now: base, RemoveKey: n.SecurityKey.ID})
				return err
			},
			want: store.ErrUnmet{Condition: store.ConditionSecurityKey},
		},
		"tokens that are taken": {
			first: func(ctx context.Context, n store.NewUser, _ store.Ticket) error {
				_, err := s.ChangeUser(ctx, store.UserChange{
					UserID: n.User.ID, Now: base,
					TakeTokens: &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: n.Identity.Tokens},
				})
				return err
			},
			want: store.ErrUnmet{Condition: store.ConditionTokens},
		},
		"tokens in whose place others are put": {
			first: func(ctx context.Context, n store.NewUser, _ store.Ticket) error {
				_, err := s.ChangeUser(ctx, store.UserChange{
					UserID: n.User.ID, Now: base, PutTokens: &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: newHash()},
				})
				return err
			},
			want: store.ErrUnmet{Condition: store.ConditionTokens},
		},
		"an identity that is removed": {
			first: func(ctx context.Context, n store.NewUser, _ store.Ticket) error {
				_, err := s.ChangeUser(ctx, store.UserChange{UserID: n.User.ID, Now: base, RemoveIdentity: keyOf(n.Identity)})
				return err
			},
			want: store.ErrUnmet{Condition: store.ConditionTokens},
		},
		"a security key that is used is still there": {
			first: func(ctx context.Context, n store.NewUser, _ store.Ticket) error {
				_, err := s.ChangeUser(ctx, store.UserChange{
					UserID: n.User.ID, Now: base, UseKey: &store.KeyUse{ID: n.SecurityKey.ID, SignCount: 1},
				})
				return err
			},
		},
		"a ticket that has lost a try is still good": {
			first: func(ctx context.Context, _ store.NewUser, ticket store.Ticket) error {
				_, _, err := s.CheckTicket(ctx, bySecret(&ticket))
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := create(t, s)
			ticket := newTicket(n.User.ID)
			must(t, s.PutTicket(t.Context(), *ticket))
			name := "another name"
			c := store.UserChange{
				UserID: n.User.ID, Now: base, Redeem: ticket.ID,
				If:  store.Conditions{Session: n.Session.ID, SecurityKey: n.SecurityKey.ID},
				Set: store.UserSet{DisplayName: &name}, PAT: newPAT(),
				TakeTokens: &store.IdentityTokens{Key: keyOf(n.Identity), Tokens: n.Identity.Tokens},
			}
			err := behind(t, pool,
				func(ctx context.Context) error { return test.first(ctx, n, *ticket) },
				func(ctx context.Context) error {
					_, err := s.ChangeUser(ctx, c)
					return err
				})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			a := find(t, s, n.User.ID)
			if changed := a.DisplayName == name && len(a.PATs) == 1; changed != (test.want == nil) {
				t.Errorf("got %+v", a)
			}
		})
	}
}

// A deletion that had to wait finds the user as they are then. ST-06, W26
func TestADeletionThatHadToWaitSeesWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	changes := func(c func(n store.NewUser) store.UserChange) func(context.Context, store.NewUser) error {
		return func(ctx context.Context, n store.NewUser) error {
			c := c(n)
			c.UserID, c.Now = n.User.ID, base
			_, err := s.ChangeUser(ctx, c)
			return err
		}
	}
	yes, secret := true, []byte("sealed")
	for name, test := range map[string]struct {
		first func(context.Context, store.NewUser) error
		on    func(n store.NewUser) store.Conditions
		want  error
	}{
		"a sign-up verified meanwhile stays": {
			first: changes(func(store.NewUser) store.UserChange {
				return store.UserChange{Set: store.UserSet{EmailVerified: &yes}, Drop: store.Drop{Sessions: true}}
			}),
			on:   func(store.NewUser) store.Conditions { return store.Conditions{Epoch: 1} },
			want: store.ErrUnmet{Condition: store.ConditionEpoch},
		},
		"a user disabled meanwhile stays": {
			first: changes(func(store.NewUser) store.UserChange { return store.UserChange{Set: store.UserSet{Disabled: &yes}} }),
			on:    func(store.NewUser) store.Conditions { return store.Conditions{} },
			want:  store.ErrUnmet{Condition: store.ConditionEnabled},
		},
		"a second factor turned on meanwhile is one": {
			first: changes(func(store.NewUser) store.UserChange {
				return store.UserChange{Set: store.UserSet{TOTPSecret: &secret}}
			}),
			on:   func(store.NewUser) store.Conditions { return store.Conditions{NoTOTP: true} },
			want: store.ErrUnmet{Condition: store.ConditionNoTOTP},
		},
		"a user whose first key was added meanwhile has one": {
			first: changes(func(store.NewUser) store.UserChange {
				return store.UserChange{Drop: store.Drop{SecurityKeys: true}, SecurityKey: newKey()}
			}),
			on:   func(store.NewUser) store.Conditions { return store.Conditions{NoSecurityKeys: true} },
			want: store.ErrUnmet{Condition: store.ConditionNoSecurityKeys},
		},
		"a key removed meanwhile is not one": {
			first: changes(func(n store.NewUser) store.UserChange { return store.UserChange{RemoveKey: n.SecurityKey.ID} }),
			on:    func(n store.NewUser) store.Conditions { return store.Conditions{SecurityKey: n.SecurityKey.ID} },
			want:  store.ErrUnmet{Condition: store.ConditionSecurityKey},
		},
		"a session ended meanwhile is not one": {
			first: func(ctx context.Context, n store.NewUser) error {
				_, err := s.EndSessions(ctx, uuid.Nil, n.Session.ID)
				return err
			},
			on:   func(n store.NewUser) store.Conditions { return store.Conditions{Session: n.Session.ID} },
			want: store.ErrUnmet{Condition: store.ConditionSession},
		},
		"a user deleted meanwhile is gone": {
			first: func(ctx context.Context, n store.NewUser) error {
				return s.DeleteUser(ctx, store.UserDeletion{UserID: n.User.ID, Now: base})
			},
			on:   func(n store.NewUser) store.Conditions { return store.Conditions{Session: n.Session.ID} },
			want: store.ErrNotFound,
		},
		"what was added meanwhile goes along": {
			first: func(ctx context.Context, n store.NewUser) error {
				ticket := newTicket(n.User.ID)
				return errors.Join(s.PutTicket(ctx, *ticket), changes(func(store.NewUser) store.UserChange {
					return store.UserChange{Session: newSession(), SecurityKey: newKey(), PAT: newPAT(), Identity: newIdentity()}
				})(ctx, n))
			},
			on: func(n store.NewUser) store.Conditions {
				return store.Conditions{Session: n.Session.ID, Epoch: 1, SecurityKey: n.SecurityKey.ID}
			},
		},
		"a ticket put meanwhile goes along": {
			first: func(ctx context.Context, n store.NewUser) error { return s.PutTicket(ctx, *newTicket(n.User.ID)) },
			on:    func(n store.NewUser) store.Conditions { return store.Conditions{Session: n.Session.ID} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := create(t, s)
			letter := newMessage()
			err := behind(t, pool,
				func(ctx context.Context) error { return test.first(ctx, n) },
				func(ctx context.Context) error {
					return s.DeleteUser(ctx, store.UserDeletion{
						UserID: n.User.ID, Now: base, If: test.on(n), Messages: []store.Message{letter},
					})
				})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			_, err = s.User(t.Context(), store.UserQuery{ID: n.User.ID, Now: base})
			if deleted := errors.Is(err, store.ErrNotFound); deleted != (test.want == nil || test.want == store.ErrNotFound) {
				t.Errorf("to find the user: %v", err)
			}
			// A letter that was not written is no obstacle to one with its id.
			taken := s.DeleteUser(t.Context(), store.UserDeletion{
				UserID: create(t, s).User.ID, Now: base, Messages: []store.Message{letter},
			})
			if written := errors.Is(taken, store.ErrConflict{Field: store.FieldID}); written != (test.want == nil) {
				t.Errorf("to write the letter again: %v", taken)
			}
		})
	}
}

// Of two presentations at the same moment the second sees what the first has done. RT-02, W16
func TestARefreshThatHadToWaitLooksAgain(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	var before sync.Map // by session
	rotates := func(session uuid.UUID, generation uint32, want store.Outcome) func(context.Context) error {
		return func(ctx context.Context) error {
			r, err := s.RotateSession(ctx, present(session, generation))
			before.Store(session, r.Before)
			if err == nil && r.Outcome != want {
				t.Errorf("got outcome %d, want %d", r.Outcome, want)
			}
			return err
		}
	}
	for name, test := range map[string]struct {
		first  func(context.Context, store.NewUser) error
		want   store.Outcome
		before store.SessionState // not looked at where it is zero
		err    error
	}{
		"it repeats a rotation": {
			first: func(ctx context.Context, n store.NewUser) error {
				return rotates(n.Session.ID, 0, store.Rotated)(ctx)
			},
			want: store.Repeated,
		},
		"it is a reuse after two": {
			first: func(ctx context.Context, n store.NewUser) error {
				return errors.Join(rotates(n.Session.ID, 0, store.Rotated)(ctx), rotates(n.Session.ID, 1, store.Rotated)(ctx))
			},
			want: store.Reused,
		},
		"it rotates after one was taken back": {
			first: func(ctx context.Context, n store.NewUser) error {
				r, err := s.RotateSession(ctx, present(n.Session.ID, 0))
				return errors.Join(err, s.UnrotateSession(ctx, r))
			},
			want: store.Rotated,
		},
		"it says how things were before it, not before it waited": {
			first: func(ctx context.Context, n store.NewUser) error {
				r, err := s.RotateSession(ctx, present(n.Session.ID, 0))
				r.Before.Address, r.Before.RotatedAt = "203.0.113.1", base.Add(time.Second)
				return errors.Join(err, s.UnrotateSession(ctx, r))
			},
			want:   store.Rotated,
			before: store.SessionState{RotatedAt: base.Add(time.Second), ExpiresAt: base.Add(time.Hour), Address: "203.0.113.1"},
		},
		"it finds nothing once the session has ended": {
			first: func(ctx context.Context, n store.NewUser) error {
				_, err := s.EndSessions(ctx, n.User.ID, n.Session.ID)
				return err
			},
			err: store.ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := create(t, s)
			err := behind(t, pool, func(ctx context.Context) error { return test.first(ctx, n) }, rotates(n.Session.ID, 0, test.want))
			if !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if got, _ := before.Load(n.Session.ID); test.before != (store.SessionState{}) && got != test.before {
				t.Errorf("got %+v, want %+v", got, test.before)
			}
		})
	}
}

// EO-16, W15
func TestATryThatHadToWaitIsCounted(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	n := create(t, s)
	ticket := newTicket(n.User.ID)
	check := func(ctx context.Context) error {
		_, _, err := s.CheckTicket(ctx, bySecret(ticket))
		return err
	}
	take := func(ctx context.Context) error {
		_, err := s.TakeTicket(ctx, bySecret(ticket))
		return err
	}
	for name, second := range map[string]func(context.Context) error{"check": check, "take": take} {
		ticket.Tries = 1
		must(t, s.PutTicket(t.Context(), *ticket))
		if err := behind(t, pool, check, second); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s after the last try: %v", name, err)
		}
	}
}

func TestReplicasThatRotateAtTheSameMomentMakeOneKey(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	add := func(want bool) func(context.Context) error {
		return func(ctx context.Context) error {
			added, err := s.AddSigningKey(ctx, store.SigningKey{ID: uuid.NewString(), CreatedAt: base, ExpiresAt: base.Add(time.Hour)}, base.Add(-time.Hour))
			if added != want {
				t.Errorf("added: %t, want %t", added, want)
			}
			return err
		}
	}
	must(t, behind(t, pool, add(true), add(false)))
}

// A call ends with its context, and so does what the server does for it. ST-17, ST-18
func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	pool := open(t)
	s := newStore(t, pool)
	n := create(t, s)
	tx, err := pool.Begin(t.Context())
	must(t, err)
	locked := pgstore.WithTx(t.Context(), tx)
	name := "another name"
	_, err = s.ChangeUser(locked, store.UserChange{UserID: n.User.ID, Now: base, Set: store.UserSet{Locale: &name}})
	must(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.ChangeUser(ctx, store.UserChange{
			UserID: n.User.ID, Now: base, Set: store.UserSet{DisplayName: &name}, Drop: store.Drop{Sessions: true},
		})
		done <- err
	}()
	waitUntilBlocked(t, pool, tx)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	// Nobody waits on the server any more, who would go on when the lock is released.
	limit, cancelLimit := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancelLimit()
	for blocked := true; blocked; {
		err := pool.QueryRow(limit, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND $1 = ANY (pg_blocking_pids(pid)))`,
			tx.Conn().PgConn().PID()).Scan(&blocked)
		must(t, err)
	}
	must(t, tx.Commit(t.Context()))
	if a := find(t, s, n.User.ID); a.DisplayName == name || len(a.Sessions) != 1 || a.Epoch != 1 {
		t.Errorf("the change that was cancelled has happened: %+v", a)
	}
}
