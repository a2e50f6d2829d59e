// Package memstore keeps a realm in the memory of one process. It is for tests, and for a service that runs as a single
// process and may forget everybody when it restarts: nothing is written anywhere.
//
// It grows with what is put into it. [Store.Purge] takes out what has ended.
//
// # Transactions
//
// Operations happen one after the other, under one lock. CreateUser holds it while it runs NewUser.Within, so the
// callback should be short. Calls of the store made with the context that the callback was given, or one derived from
// it, are part of the sign-up and are undone with it if the callback returns an error or panics. A call made by the
// callback with any other context waits for the sign-up to end, and so for ever. When the callback has returned, calls
// with its context fail.
package memstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
)

// Store is a [store.Store] in memory, made by [New]. It is safe for concurrent use.
//
// A record is never changed once a map holds it; a change replaces it. So the journal can keep the old one, and
// records may share what they point to. Records are copied deeply where they enter and leave the store.
type Store struct {
	mu      sync.Mutex
	journal journal

	users      map[uuid.UUID]*store.User
	emails     map[string]uuid.UUID // by User.EmailKey
	phones     map[string]uuid.UUID
	anonymous  *queue      // anonymous users by LastSeenAt
	userIDs    []uuid.UUID // ascending; nil where it must be made anew
	identities map[store.IdentityKey]*store.Identity
	keys       map[uuid.UUID]*store.SecurityKey
	keyIDs     map[string]uuid.UUID // by SecurityKey.CredentialID
	pats       map[uuid.UUID]*store.PAT
	patIDs     map[string]uuid.UUID // by PAT.Hash
	patEnds    *queue               // by ExpiresAt
	sessions   map[uuid.UUID]*store.Session
	ends       *queue // sessions by ExpiresAt
	tickets    map[uuid.UUID]*store.Ticket
	slots      map[slot]uuid.UUID
	secrets    index[secret, uuid.UUID] // tickets; a short code may be that of several users
	ticketEnds *queue                   // by ExpiresAt

	identitiesOf index[uuid.UUID, store.IdentityKey] // by user, as are the following
	keysOf       index[uuid.UUID, uuid.UUID]
	patsOf       index[uuid.UUID, uuid.UUID]
	sessionsOf   index[uuid.UUID, uuid.UUID]
	ticketsOf    index[uuid.UUID, uuid.UUID]

	signingKeys map[string]*store.SigningKey
	outbox      map[uuid.UUID]*store.Message
	events      []store.Event // by Seq
	head        []byte        // of the events
}

// slot is where a ticket lies.
type slot struct{ kind, slot string }

// secret is what a ticket is found by.
type secret struct{ kind, hash string }

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		users:        map[uuid.UUID]*store.User{},
		emails:       map[string]uuid.UUID{},
		phones:       map[string]uuid.UUID{},
		anonymous:    newQueue(),
		identities:   map[store.IdentityKey]*store.Identity{},
		keys:         map[uuid.UUID]*store.SecurityKey{},
		keyIDs:       map[string]uuid.UUID{},
		pats:         map[uuid.UUID]*store.PAT{},
		patIDs:       map[string]uuid.UUID{},
		patEnds:      newQueue(),
		sessions:     map[uuid.UUID]*store.Session{},
		ends:         newQueue(),
		tickets:      map[uuid.UUID]*store.Ticket{},
		slots:        map[slot]uuid.UUID{},
		secrets:      index[secret, uuid.UUID]{},
		ticketEnds:   newQueue(),
		identitiesOf: index[uuid.UUID, store.IdentityKey]{},
		keysOf:       index[uuid.UUID, uuid.UUID]{},
		patsOf:       index[uuid.UUID, uuid.UUID]{},
		sessionsOf:   index[uuid.UUID, uuid.UUID]{},
		ticketsOf:    index[uuid.UUID, uuid.UUID]{},
		signingKeys:  map[string]*store.SigningKey{},
		outbox:       map[uuid.UUID]*store.Message{},
	}
}

// Ping implements [store.Store]. It fails only where ctx is done.
func (s *Store) Ping(ctx context.Context) error { return ctx.Err() }

// Joined implements [store.Store].
func (s *Store) Joined(ctx context.Context) bool { return ctx.Value(withinKey{s}) != nil }

// within is a NewUser.Within callback that is running.
type within struct {
	mu   sync.Mutex // one call of the callback's goroutines at a time
	over bool
}

// withinKey is where the context of a callback carries its within.
type withinKey struct{ store *Store }

var errOver = errors.New("memstore: the sign-up that this context belongs to is over")

// enter begins an operation. Unless it returns an error, leave must follow.
func (s *Store) enter(ctx context.Context) (*within, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w, ok := ctx.Value(withinKey{s}).(*within); ok {
		w.mu.Lock()
		if w.over {
			w.mu.Unlock()
			return nil, errOver
		}
		return w, nil
	}
	s.mu.Lock()
	// Waiting may have taken long.
	if err := ctx.Err(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return nil, nil
}

func (s *Store) leave(w *within) {
	if w != nil {
		w.mu.Unlock()
		return
	}
	s.mu.Unlock()
}

// atomically runs do and takes back what it has written if it fails or panics.
func (s *Store) atomically(do func() error) error {
	outer, mark := s.journal.recording, len(s.journal.undo)
	s.journal.recording = true
	done := false
	defer func() {
		if !done {
			s.journal.rollBack(mark)
			s.userIDs = nil
		}
		s.journal.recording = outer
		if !outer {
			s.journal.forget()
		}
	}()
	if err := do(); err != nil {
		return err
	}
	done = true
	return nil
}

// call runs a Within callback as part of the operation that is under way.
func (s *Store) call(ctx context.Context, callback func(context.Context, store.User) error, u store.User) error {
	w := &within{}
	defer func() {
		w.mu.Lock()
		w.over = true
		w.mu.Unlock()
	}()
	return callback(context.WithValue(ctx, withinKey{s}, w), u)
}

// live says whether something that ends at end has not ended yet.
func live(end, now time.Time) bool { return now.Before(end) }
