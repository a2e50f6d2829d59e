// Package ownstore is the smallest store that keeps the contract of package store, for those who want to write one: a realm in
// one file, which every change rewrites. docs/stores.md walks through it. It is for reading, and for programs with a few
// users: an operation costs the more the more there is.
//
// All records are in a [state]. An operation decodes it, does its part, and encodes it again if that went well: that is what
// makes it atomic, and nothing that a caller holds is ever shared with the store.
package ownstore

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"os"
	"sync"

	"github.com/ostiary/auth/store"
)

// Store is a [store.Store] in a file. It is safe for concurrent use by one process.
type Store struct {
	path string
	mu   sync.Mutex
	data []byte // a state
}

var _ store.Store = (*Store)(nil)

// state is all that there is.
type state struct {
	Users       []store.User
	Identities  []store.Identity
	Keys        []store.SecurityKey
	PATs        []store.PAT
	Sessions    []store.Session
	Tickets     []store.Ticket
	SigningKeys []store.SigningKey
	Messages    []store.Message
	Events      []store.Event
	Head        []byte
}

// Open reads a file, which need not be there yet.
func Open(path string) (*Store, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		data, err = encode(&state{})
	}
	if err != nil {
		return nil, err
	}
	if _, err := decode(data); err != nil {
		return nil, err
	}
	return &Store{path: path, data: data}, nil
}

func encode(st *state) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(st)
	return b.Bytes(), err
}

func decode(data []byte) (*state, error) {
	st := new(state)
	return st, gob.NewDecoder(bytes.NewReader(data)).Decode(st)
}

// copied is a user who shares nothing with u.
func copied(u *store.User) (store.User, error) {
	data, err := encode(&state{Users: []store.User{*u}})
	if err != nil {
		return store.User{}, err
	}
	st, err := decode(data)
	if err != nil {
		return store.User{}, err
	}
	return st.Users[0], nil
}

// transaction is a NewUser.Within that is running: what it does is not in the store yet.
type transaction struct {
	mu   sync.Mutex
	data []byte
	over bool
}

// transactionKey is where the context of a Within carries its transaction.
type transactionKey struct{ *Store }

var errOver = errors.New("ownstore: the sign-up that this context belongs to is over")

// Joined implements [store.Store].
func (s *Store) Joined(ctx context.Context) bool { return ctx.Value(transactionKey{s}) != nil }

// Ping implements [store.Store].
func (s *Store) Ping(ctx context.Context) error { return ctx.Err() }

// do runs an operation: what it does to the state is kept unless it returns an error.
func (s *Store) do(ctx context.Context, operation func(*state) error) error {
	mu, data, save := &s.mu, &s.data, s.save
	tx, joined := ctx.Value(transactionKey{s}).(*transaction)
	if joined {
		mu, data, save = &tx.mu, &tx.data, func([]byte) error { return nil }
	}
	mu.Lock()
	defer mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if joined && tx.over {
		return errOver
	}
	st, err := decode(*data)
	if err != nil {
		return err
	}
	if err := operation(st); err != nil {
		return err
	}
	after, err := encode(st)
	if err != nil || bytes.Equal(after, *data) {
		return err
	}
	if err := save(after); err != nil {
		return err
	}
	*data = after
	return nil
}

// save writes the file in place of the one before.
func (s *Store) save(data []byte) error {
	next := s.path + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.path)
}

// within calls a NewUser.Within in the middle of an operation.
func (s *Store) within(ctx context.Context, st *state, f func(context.Context, store.User) error, u store.User) error {
	data, err := encode(st)
	if err != nil {
		return err
	}
	tx := &transaction{data: data}
	defer func() {
		tx.mu.Lock()
		tx.over = true
		tx.mu.Unlock()
	}()
	if err := f(context.WithValue(ctx, transactionKey{s}, tx), u); err != nil {
		return err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	after, err := decode(tx.data)
	if err == nil {
		*st = *after
	}
	return err
}
