package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// stores opens the kinds of store that AUTH_STORE can name, by what stands before its colon.
var stores = map[string]func(ctx context.Context, name string) (s store.Store, close func(), err error){
	"memory": openMemory,
}

func openMemory(context.Context, string) (store.Store, func(), error) {
	return memstore.New(), func() {}, nil
}

// checkStore looks whether openStore could open a store, without doing so. Its error does not repeat the name, in which a
// password may stand.
func checkStore(name string) error {
	if name == "" {
		return fmt.Errorf("is required; this program has: %s", kinds())
	}
	if kind, _, _ := strings.Cut(name, ":"); stores[kind] == nil {
		return fmt.Errorf("is none of the stores that this program has: %s", kinds())
	}
	if strings.HasPrefix(name, "memory:") {
		return errors.New("memory takes no further words")
	}
	return nil
}

// kinds names the stores for a person.
func kinds() string { return strings.Join(slices.Sorted(maps.Keys(stores)), ", ") }

// openStore opens the store that AUTH_STORE names.
func openStore(ctx context.Context, name string) (store.Store, func(), error) {
	kind, _, _ := strings.Cut(name, ":")
	s, closeStore, err := stores[kind](ctx, name)
	if err != nil {
		return nil, nil, fmt.Errorf("open store: %w", err)
	}
	return s, closeStore, nil
}
