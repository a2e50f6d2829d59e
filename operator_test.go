package auth_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/passhash"
)

// ST-15: a new engine has no users, and no secret of an administrator that anybody could know.
func TestANewEngineKnowsNobody(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	if users, err := e.ListUsers(t.Context(), uuid.Nil, 10); err != nil || len(users) > 0 {
		t.Errorf("%d users: %v", len(users), err)
	}
	for _, secret := range []string{"", "admin", "nhost-admin-secret"} {
		if err := e.AuthenticateAdmin(t.Context(), secret); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

// PW-21: the service can have a password reset, and cannot choose one for somebody who exists.
func TestTheServiceChoosesNobodysPassword(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	e.SignUp(t, "ada@example.com")
	for field := range reflect.TypeFor[auth.UserUpdate]().Fields() {
		if strings.Contains(field.Name, "Password") || strings.Contains(field.Name, "Hash") {
			t.Errorf("UserUpdate.%s", field.Name)
		}
	}
	h, err := passhash.New(passhash.Options{Params: passhash.Params{MemoryKiB: 8, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := h.Hash(t.Context(), newPassword)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.ImportUser(t.Context(), auth.ImportUserParams{Email: "Ada@Example.com", EmailVerified: true, PasswordHash: hash})
	wantErr(t, err, auth.ErrEmailAlreadyInUse)
	_, err = signIn(t, e, "ada@example.com", newPassword)
	wantErr(t, err, auth.ErrInvalidEmailPassword)

	// The link goes to the owner, and until it is used the password is what it was.
	if err := e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "password-reset" {
		t.Errorf("letter %s", l.Template)
	}
	e.SignIn(t, "ada@example.com")
}

// RT-14: the service ends all sessions of one user, and of nobody else.
func TestTheServiceEndsSomebodysSessions(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
	ada, bob := e.SignUp(t, "ada@example.com"), e.SignUp(t, "bob@example.com")
	again := e.SignIn(t, "ada@example.com")
	if err := e.SignOut(t.Context(), &auth.Principal{UserID: ada.User.ID}, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*auth.Session{ada, again} {
		_, err := refresh(t, e, s.RefreshToken)
		wantErr(t, err, auth.ErrInvalidRefreshToken)
		_, err = e.Authenticate(t.Context(), s.AccessToken)
		wantErr(t, err, auth.ErrUnauthenticated)
	}
	e.Principal(t, bob)
	mustRefresh(t, e, bob.RefreshToken)
}
