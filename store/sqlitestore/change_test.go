package sqlitestore_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// What cannot be read is not what was asked for, least of all a counter of 0.
func TestACounterThatCannotBeReadMeetsNoCondition(t *testing.T) {
	t.Parallel()
	s := open(t, sqlitestore.Memory)
	key := store.SecurityKey{ID: uuid.New(), CredentialID: []byte("id"), PublicKey: []byte("key"), CreatedAt: start}
	u, err := s.CreateUser(t.Context(), store.NewUser{User: newUser(), SecurityKey: &key})
	wants(t, err, nil)
	use := store.UserChange{UserID: u.ID, Now: start, UseKey: &store.KeyUse{ID: key.ID}}
	_, err = s.ChangeUser(t.Context(), use)
	wants(t, err, nil)
	if _, err := s.DB().Exec("UPDATE auth_security_keys SET sign_count = -1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeUser(t.Context(), use); err == nil {
		t.Error("a change on a counter that cannot be read was made")
	}
}
