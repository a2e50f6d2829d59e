package durability_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
)

// saboteur is a store that does not do some of what it says it has done. A nil function is no sabotage.
type saboteur struct {
	store.Store
	create func(context.Context, store.Store, store.NewUser) (store.User, error)
	change func(context.Context, store.Store, store.UserChange) (store.User, error)
	rotate func(context.Context, store.Store, store.SessionRotation) (store.RotatedSession, error)
	end    func(ids []uuid.UUID) (int, error)
}

func (s saboteur) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	if s.create != nil {
		return s.create(ctx, s.Store, n)
	}
	return s.Store.CreateUser(ctx, n)
}

func (s saboteur) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	if s.change != nil {
		return s.change(ctx, s.Store, c)
	}
	return s.Store.ChangeUser(ctx, c)
}

func (s saboteur) RotateSession(ctx context.Context, r store.SessionRotation) (store.RotatedSession, error) {
	if s.rotate != nil {
		return s.rotate(ctx, s.Store, r)
	}
	return s.Store.RotateSession(ctx, r)
}

func (s saboteur) EndSessions(ctx context.Context, owner uuid.UUID, ids ...uuid.UUID) (int, error) {
	if s.end != nil {
		return s.end(ids)
	}
	return s.Store.EndSessions(ctx, owner, ids...)
}

// The tests of this package are worth what their clients notice. Here is what they must: each way in which something
// acknowledged can be lost, or half done, or done twice.
func TestClientsNoticeWhatIsLost(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		store saboteur
		lose  func(mail.Message) bool
		want  string // part of what is noticed
	}{
		"nothing": {},
		"sign-ups": {store: saboteur{create: func(ctx context.Context, s store.Store, n store.NewUser) (store.User, error) {
			if n.User.Anonymous {
				return s.CreateUser(ctx, n)
			}
			return n.User, nil
		}}, want: "has signed up and is not there"},
		"the ticket of a sign-up": {store: saboteur{create: func(ctx context.Context, s store.Store, n store.NewUser) (store.User, error) {
			n.Ticket = nil
			return s.CreateUser(ctx, n)
		}}, want: "a link is spent and its address not verified"},
		"the letter of a sign-up": {store: saboteur{create: func(ctx context.Context, s store.Store, n store.NewUser) (store.User, error) {
			n.Messages = nil
			return s.CreateUser(ctx, n)
		}}, lose: func(mail.Message) bool { return true }, want: "has signed up and gets no letter"},
		"the session of an anonymous user": {store: saboteur{create: func(ctx context.Context, s store.Store, n store.NewUser) (store.User, error) {
			n.Session = nil
			return s.CreateUser(ctx, n)
		}}, want: "an anonymous user has no session"},
		"that an address is unique": {store: saboteur{create: func(ctx context.Context, s store.Store, n store.NewUser) (store.User, error) {
			u, err := s.CreateUser(ctx, n)
			if errors.Is(err, store.ErrConflict{Field: store.FieldEmail}) {
				n.User.EmailKey = n.User.ID.String() + n.User.EmailKey
				u, err = s.CreateUser(ctx, n)
			}
			return u, err
		}}, want: "simultaneous calls for one sign-up 3 succeeded"},
		"refreshes": {store: saboteur{rotate: func(ctx context.Context, s store.Store, r store.SessionRotation) (store.RotatedSession, error) {
			v, err := s.RotateSession(ctx, r)
			if err == nil && v.Outcome == store.Rotated {
				err = s.UnrotateSession(ctx, v)
			}
			return v, err
		}}, want: "and was refreshed"},
		"sessions": {store: saboteur{change: func(ctx context.Context, s store.Store, c store.UserChange) (store.User, error) {
			if c.Redeem == uuid.Nil {
				c.Session = nil
			}
			return s.ChangeUser(ctx, c)
		}}, want: "refresh: refused: invalid-refresh-token"},
		"sign-outs": {store: saboteur{end: func(ids []uuid.UUID) (int, error) { return len(ids), nil }}, want: "was signed out and is there"},
		"sign-outs everywhere": {store: saboteur{change: func(ctx context.Context, s store.Store, c store.UserChange) (store.User, error) {
			c.Drop.Sessions = false
			return s.ChangeUser(ctx, c)
		}}, want: "was signed out and is there"},
		"the effect of links": {store: saboteur{change: func(ctx context.Context, s store.Store, c store.UserChange) (store.User, error) {
			c.Set.EmailVerified = nil
			return s.ChangeUser(ctx, c)
		}}, want: "a link is spent and its address not verified"},
		"that a link is spent": {store: saboteur{change: func(ctx context.Context, s store.Store, c store.UserChange) (store.User, error) {
			if c.Redeem != uuid.Nil {
				c.Redeem, c.Drop, c.If.Epoch = uuid.Nil, store.Drop{}, 0
			}
			return s.ChangeUser(ctx, c)
		}}, want: "simultaneous calls for one link 3 succeeded"},
		"5xx": {store: saboteur{change: func() func(ctx context.Context, s store.Store, c store.UserChange) (store.User, error) {
			var calls atomic.Int32
			return func(ctx context.Context, s store.Store, c store.UserChange) (store.User, error) {
				if calls.Add(1)%10 == 0 {
					return store.User{}, errors.New("the disk is on fire")
				}
				return s.ChangeUser(ctx, c)
			}
		}()}, want: "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quickPlace(t), 2)
			w.post.lose = test.lose
			s, closeStore, err := w.place.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore()
			test.store.Store = s
			_, handler, err := newServer(test.store, config(w.secret, senderFunc(w.post.send), slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(handler)
			defer server.Close()
			w.fleet.set(0, server.URL)
			w.load(t, func(ctx context.Context) { w.tally.await(ctx, 300) })
			w.deliverAll(t)
			w.compare(t)
			w.visit(t, true)
			noticed := strings.Join(w.faults, "\n")
			if test.want == "" && noticed != "" || !strings.Contains(noticed, test.want) {
				t.Errorf("the clients notice %q, want %q", noticed, test.want)
			}
		})
	}
}
