package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
	"github.com/ostiary/auth/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("in a file", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "auth.db")) })
	})
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, sqlitestore.Memory) })
	})
	t.Run("in the service's database", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("the suite ran on the store's own")
		}
		storetest.Run(t, func(t *testing.T) store.Store { return join(t) })
	})
}

// open opens a store for the time of a test.
func open(t testing.TB, path string, opts ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestEachCommitIsFlushedUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		opts []sqlitestore.Option
		want int // https://sqlite.org/pragma.html#pragma_synchronous
	}{{nil, 2}, {[]sqlitestore.Option{sqlitestore.SyncNormal()}, 1}} {
		s := open(t, filepath.Join(t.TempDir(), "auth.db"), test.opts...)
		var got int
		wants(t, s.DB().QueryRow("PRAGMA synchronous").Scan(&got), nil)
		if got != test.want {
			t.Errorf("synchronous is %d, want %d", got, test.want)
		}
	}
}
