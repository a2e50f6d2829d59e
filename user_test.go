package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func TestWhatRolesAndLanguagesMayBeCalled(t *testing.T) {
	t.Parallel()
	for section, c := range map[string]struct {
		set   func(c *auth.Config, name string)
		names map[string]bool
	}{
		"Roles": {
			func(c *auth.Config, name string) { c.Roles.Allowed = []string{name} },
			map[string]bool{"!": true, "~": true, "a-b": true, "é": true, "": false, " ": false, "a b": false, "a\x1f": false, "\x7f": false},
		},
		"Locales": {
			func(c *auth.Config, name string) { c.Locales.Allowed = []string{name} },
			map[string]bool{
				"aa": true, "zz": true, "gsw": true, "": false, "e": false, "engl": false, "EN": false, "e1": false, "`a": false, "{a": false, "de-CH": false,
			},
		},
	} {
		for name, ok := range c.names {
			config := validConfig()
			c.set(&config, name)
			_, err := auth.New(memstore.New(), config)
			var mistake *auth.ConfigError
			if ok != (err == nil) || !ok && (!errors.As(err, &mistake) || mistake.Field != section+".Allowed[0]") {
				t.Errorf("%s %q: %v", section, name, err)
			}
		}
	}
}

// SU-08, UR-06: what a client says of a user has bounds, to the letter.
func TestWhatAClientSaysOfAUserIsBounded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) { c.SignUp.MaxMetadata = 100 })
	object := func(size int) json.RawMessage {
		return json.RawMessage(`{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`)
	}
	for name, c := range map[string]struct {
		o  auth.SignUpOptions
		ok bool
	}{
		"a name of 32 letters":       {auth.SignUpOptions{DisplayName: strings.Repeat("é", 32)}, true},
		"a name of 33 letters":       {auth.SignUpOptions{DisplayName: strings.Repeat("e", 33)}, false},
		"metadata as long as can be": {auth.SignUpOptions{Metadata: object(100)}, true},
		"metadata that is too long":  {auth.SignUpOptions{Metadata: object(101)}, false},
	} {
		_, err := signUp(t, e, uuid.NewString()+"@example.com", authtest.Password, c.o)
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A principal whom the service vouches for by their id alone is who they are said to be.
func TestAPrincipalWithoutASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	id := e.SignUp(t, "ada@example.com").User.ID
	if u, err := e.User(t.Context(), &auth.Principal{UserID: id}); err != nil || u.ID != id {
		t.Errorf("%v, %v", u, err)
	}
	for _, nobody := range []uuid.UUID{uuid.New(), uuid.Nil} {
		_, err := e.User(t.Context(), &auth.Principal{UserID: nobody})
		wantErr(t, err, auth.ErrUnauthenticated)
	}
}

// A service changes what it names and nothing else, in one step, and whoever listens is told what it was.
func TestUpdatingAUser(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, func(c *auth.Config) { c.Locales.Allowed = []string{"fr"} })
	want := e.SignUp(t, "ada@example.com").User
	for _, step := range []struct {
		change func(p *auth.UserUpdate, u *auth.User)
		trips  int
		tells  []auth.EventType // beyond that there was a change
	}{
		{func(p *auth.UserUpdate, u *auth.User) { u.DisplayName = "Ada"; p.DisplayName = &u.DisplayName }, 1, nil},
		{func(p *auth.UserUpdate, u *auth.User) {
			u.AvatarURL = "https://example.com/ada.png"
			p.AvatarURL = &u.AvatarURL
		}, 1, nil},
		{func(p *auth.UserUpdate, u *auth.User) { u.Locale = "fr"; p.Locale = &u.Locale }, 1, nil},
		{func(p *auth.UserUpdate, u *auth.User) {
			u.Metadata = json.RawMessage(`{"a":1}`)
			p.Metadata = u.Metadata
		}, 1, nil},
		{func(p *auth.UserUpdate, u *auth.User) { u.DefaultRole = "me"; p.DefaultRole = &u.DefaultRole }, 2, []auth.EventType{auth.EventRolesChanged}},
		{func(p *auth.UserUpdate, u *auth.User) { u.Roles = []string{"editor", "me"}; p.Roles = u.Roles }, 2, []auth.EventType{auth.EventRolesChanged}},
		{func(p *auth.UserUpdate, u *auth.User) {
			u.Roles, u.DefaultRole = []string{"user"}, "user"
			p.Roles, p.DefaultRole = u.Roles, &u.DefaultRole
		}, 2, []auth.EventType{auth.EventRolesChanged}},
		{func(p *auth.UserUpdate, u *auth.User) { u.EmailVerified = false; p.EmailVerified = &u.EmailVerified }, 1, nil},
		{func(p *auth.UserUpdate, u *auth.User) { u.EmailVerified = true; p.EmailVerified = &u.EmailVerified }, 1, []auth.EventType{auth.EventEmailVerified}},
		{func(p *auth.UserUpdate, u *auth.User) { u.Disabled = true; p.Disabled = &u.Disabled }, 1, []auth.EventType{auth.EventUserDisabled}},
		{func(p *auth.UserUpdate, u *auth.User) { u.Disabled = false; p.Disabled = &u.Disabled }, 1, []auth.EventType{auth.EventUserEnabled}},
	} {
		before := len(e.Events.All())
		counter.Reset()
		var p auth.UserUpdate
		step.change(&p, want)
		what := fmt.Sprintf("to %s", asJSON(want))
		got, err := e.UpdateUser(t.Context(), want.ID, p)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := counter.Trips(); n != step.trips {
			t.Errorf("%s: %d trips", what, n)
		}
		kept, err := e.FindUser(t.Context(), auth.UserBy{ID: want.ID})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(want, kept); diff != "" {
			t.Error(diff)
		}
		var told []auth.EventType
		for _, event := range e.Events.All()[before:] {
			told = append(told, event.Type)
		}
		if diff := cmp.Diff(append([]auth.EventType{auth.EventUserUpdated}, step.tells...), told); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}
