package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/storetest"
)

func TestDeletingOnesAccount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode   auth.ElevationMode
		key    bool
		stepUp bool
		gone   bool          // the key is, since
		after  time.Duration // since the sign-in
		want   error
	}{
		"just signed in":                 {after: 10 * time.Minute},
		"signed in long ago":             {after: 10*time.Minute + time.Second, want: auth.ErrElevationRequired},
		"stepped up":                     {key: true, stepUp: true, after: time.Hour},
		"stepped up, the key is gone":    {key: true, stepUp: true, gone: true, after: time.Hour, want: auth.ErrElevationRequired},
		"stepped up without a key":       {stepUp: true, after: time.Hour},
		"a key, recommended":             {mode: auth.ElevationRecommended, key: true, want: auth.ErrElevationRequired},
		"a key, recommended, stepped up": {mode: auth.ElevationRecommended, key: true, stepUp: true},
		"no key, required":               {mode: auth.ElevationRequired, want: auth.ErrElevationRequired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) {
				c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByPassword}
			})
			guarded := replica(t, e, func(x *auth.Config) { x.Elevation.Mode = c.mode })
			key := &authtest.Authenticator{}
			s := e.SignUp(t, "ada@example.com")
			var added *auth.SecurityKey
			if c.key {
				added = addKey(t, e, e.Principal(t, s), key)
			}
			e.Clock.Advance(c.after)
			s, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken})
			if err != nil {
				t.Fatal(err)
			}
			p := e.Principal(t, s)
			switch {
			case c.stepUp && c.key:
				_, p = elevate(t, e, p, key)
			case c.stepUp:
				up, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password})
				if err != nil {
					t.Fatal(err)
				}
				p = e.Principal(t, up)
			}
			if c.gone {
				if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: added.ID}); err != nil {
					t.Fatal(err)
				}
			}
			err = guarded.DeleteAccount(t.Context(), p)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v, not %v", err, c.want)
			}
			_, err = e.FindUser(t.Context(), auth.UserBy{ID: p.UserID})
			if c.want != nil {
				if err != nil {
					t.Errorf("the user: %v", err)
				}
				return
			}
			if !errors.Is(err, auth.ErrNotFound) {
				t.Errorf("the user: %v", err)
			}
			if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Errorf("the session: %v", err)
			}
			if err := e.DeleteAccount(t.Context(), p); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("again: %v", err)
			}
			if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "account-deleted" {
				t.Errorf("letter %s", l.Template)
			}
			e.SignUp(t, "ada@example.com") // the address is free
		})
	}
}

func TestDeletingOthers(t *testing.T) {
	t.Parallel()
	yes := true
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteAccount(t.Context(), e.Principal(t, s)); !errors.Is(err, auth.ErrDisabledUser) {
		t.Errorf("a disabled user: %v", err)
	}
	if err := e.DeleteUser(t.Context(), s.User.ID); err != nil {
		t.Errorf("%v", err)
	}
	for _, id := range []uuid.UUID{s.User.ID, uuid.New(), uuid.Nil} {
		if err := e.DeleteUser(t.Context(), id); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	g := guest(t, e)
	e.Clock.Advance(14 * time.Minute)
	if err := e.DeleteAccount(t.Context(), e.Principal(t, g)); err != nil {
		t.Errorf("a guest: %v", err)
	}
	if err := e.DeleteAccount(t.Context(), nil); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}

	// Of two deletions at once, the second finds nobody.
	bob := e.SignUp(t, "bob@example.com").User.ID
	first := storetest.Fault{Method: "DeleteUser", Do: func(ctx context.Context) {
		if err := e.DeleteUser(ctx, bob); err != nil {
			t.Error(err)
		}
	}}
	second := authtest.NewWithStore(t, storetest.Break(e.Store, first), func(c *auth.Config) { c.Now = e.Clock.Now })
	wantErr(t, second.DeleteUser(t.Context(), bob), auth.ErrNotFound)
}

// A recovery of the account that comes between the look and the deletion saves it.
func TestADeletionGivesWayToARecovery(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	ticket := resetTicket(t, e, "ada@example.com")
	if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: newPassword}); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteAccount(t.Context(), p); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
}

// A guest needs no fresh sign-in to go, but whoever has become a user at that moment does.
func TestAGuestBecomesAUserBetweenTheLookAndTheDeletion(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified)
	p := e.Principal(t, guest(t, e))
	become := storetest.Fault{Method: "DeleteUser", Do: func(ctx context.Context) {
		err := e.Deanonymize(ctx, p, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: "ada@example.com", Password: authtest.Password})
		if err != nil {
			t.Error(err)
		}
	}}
	late := authtest.NewWithStore(t, storetest.Break(e.Store, become), unverified, func(c *auth.Config) { c.Now = e.Clock.Now })
	wantErr(t, late.DeleteAccount(t.Context(), p), auth.ErrElevationRequired)
	e.SignIn(t, "ada@example.com")
}

func TestExportingOnesAccount(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, withKey(t, e, "ada@example.com", &authtest.Authenticator{}))
	_, err := e.Store.ChangeUser(t.Context(), store.UserChange{
		UserID: p.UserID, Now: e.Clock.Now(),
		Identity: &store.Identity{Provider: "github", Subject: "1", CreatedAt: e.Clock.Now(), Tokens: []byte("SECRET")},
		PAT:      &store.PAT{ID: uuid.New(), Hash: []byte(strings.Repeat("H", 32)), Scopes: []string{"read"}, CreatedAt: e.Clock.Now(), ExpiresAt: e.Clock.Now().Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := e.Clock.Now()
	e.Clock.Advance(time.Minute)
	d, err := e.ExportAccount(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := &auth.AccountData{HasPassword: true, LastSeenAt: seen}
	want.User, err = e.User(t.Context(), p)
	if err == nil {
		want.Sessions, err = e.ListSessions(t.Context(), p)
	}
	if err == nil {
		want.Identities, err = e.ListIdentities(t.Context(), p)
	}
	if err == nil {
		want.PersonalAccessTokens, err = e.ListPATs(t.Context(), p)
	}
	keys, kerr := e.ListSecurityKeys(t.Context(), p)
	if err != nil || kerr != nil {
		t.Fatal(err, kerr)
	}
	want.SecurityKeys = keys.Keys
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if len(d.Sessions) != 1 || !d.Sessions[0].Current || len(d.SecurityKeys) != 1 || len(d.Identities) != 1 || len(d.PersonalAccessTokens) != 1 {
		t.Errorf("%s", asJSON(d))
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"SECRET", "HHHH", "argon2", "SEhI"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s in %s", secret, text)
		}
	}
	if d, err := e.ExportAccount(t.Context(), e.Principal(t, signUpByPhone(t, e, adaPhone))); err != nil || d.HasPassword {
		t.Errorf("without a password: %s, %v", asJSON(d), err)
	}
	if _, err := e.ExportAccount(t.Context(), nil); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
}
