package ownstore

import (
	"path/filepath"
	"testing"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		t.Parallel()
		s, err := Open(filepath.Join(t.TempDir(), "realm"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
