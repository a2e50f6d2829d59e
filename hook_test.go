package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

var errForbidden = &auth.Error{Code: auth.CodeSignUpDisabled, Message: "Not on a Sunday"}

// ST-24, W26: a hook that fails, in whatever way, leaves nothing behind.
func TestAFailingHookFailsTheCallWhole(t *testing.T) {
	t.Parallel()
	for how, fail := range map[string]func() error{
		"with an error":      func() error { return errors.New("no") },
		"with a panic":       func() error { panic("no") },
		"with a nil pointer": func() error { var u *auth.User; return errors.New(u.Email) },
		"with an auth.Error": func() error { return errForbidden },
	} {
		for which, set := range map[string]func(*auth.Hooks){
			"BeforeSignUp": func(h *auth.Hooks) { h.BeforeSignUp = func(context.Context, *auth.SignUp) error { return fail() } },
			"UserCreated":  func(h *auth.Hooks) { h.UserCreated = func(context.Context, *auth.User) error { return fail() } },
			"BeforeSession": func(h *auth.Hooks) {
				h.BeforeSession = func(context.Context, *auth.User, []string) error { return fail() }
			},
			"Claims": func(h *auth.Hooks) {
				h.Claims = func(context.Context, *auth.User) (map[string]any, error) { return nil, fail() }
			},
		} {
			t.Run(which+" "+how, func(t *testing.T) {
				t.Parallel()
				e := authtest.New(t, unverified, func(c *auth.Config) { set(&c.Hooks) })
				_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
				want := error(auth.ErrInternal)
				if how == "with an auth.Error" {
					want = errForbidden
				}
				wantErr(t, err, want)
				if want != errForbidden && !strings.Contains(err.Error(), "hook "+which) {
					t.Errorf("nobody is told which hook it was: %v", err)
				}
				if n := userCount(t, e.Store); n != 0 {
					t.Errorf("%d users", n)
				}
				if _, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err == nil {
					t.Error("another way in does not ask the hook")
				}
				if n := len(e.Events.Of(auth.EventUserCreated, auth.EventSignedIn)); n != 0 {
					t.Errorf("%d events say that it happened", n)
				}
			})
		}
	}
}

// A letter belongs to the change that causes it.
func TestAFailingHookSendsNoLetter(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.UserCreated = func(context.Context, *auth.User) error { return errors.New("no") }
	})
	_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
	wantErr(t, err, auth.ErrInternal)
	due, err := e.Store.ClaimMessages(t.Context(), store.MessageClaim{Now: e.Clock.Now().AddDate(1, 0, 0), Until: e.Clock.Now().AddDate(2, 0, 0), Limit: 10})
	if err != nil || len(due) != 0 || len(e.Mailbox.All()) != 0 {
		t.Errorf("%d in the outbox, %d sent, %v", len(due), len(e.Mailbox.All()), err)
	}
}

// What a hook causes in the transaction is no more certain than the transaction: its letter waits for a loop.
func TestALetterCausedInATransactionWaits(t *testing.T) {
	t.Parallel()
	var e *authtest.Engine
	e = authtest.New(t, func(c *auth.Config) {
		c.Hooks.UserCreated = func(ctx context.Context, u *auth.User) error {
			if u.Email != "ada@example.com" {
				return nil
			}
			_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "companion@example.com", Password: authtest.Password})
			if n := len(e.Mailbox.To("companion@example.com")); n != 0 {
				t.Errorf("%d letters have come before the commit", n)
			}
			return err
		}
	})
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	e.Mailbox.Last(t, "ada@example.com")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	e.Mailbox.Next(t, "companion@example.com")
	stop()
	<-done
}

func TestHooksSeeAndAmend(t *testing.T) {
	t.Parallel()
	var seen *auth.SignUp
	var inside *auth.User
	var amr []string
	var e *authtest.Engine
	e = authtest.New(t, unverified, func(c *auth.Config) {
		c.Roles.Allowed = []string{"me", "editor"}
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			copied := *s
			seen = &copied
			s.DisplayName, s.Roles, s.Metadata = "Amended", []string{"user"}, []byte(`{"by":"hook"}`)
			return nil
		}
		c.Hooks.UserCreated = func(ctx context.Context, u *auth.User) error {
			// The context carries the transaction: what was just written can be read with it.
			a, err := e.Store.User(ctx, store.UserQuery{ID: u.ID, Now: e.Clock.Now()})
			inside = u
			if err == nil && a.Email != u.Email {
				err = errors.New("another user")
			}
			return err
		}
		c.Hooks.BeforeSession = func(_ context.Context, _ *auth.User, a []string) error { amr = a; return nil }
	})
	in, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{DisplayName: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Method != "password" || seen.Email != "ada@example.com" || seen.DisplayName != "Ada" || strings.Join(seen.Roles, " ") != "me editor user" {
		t.Errorf("BeforeSignUp saw %+v", seen)
	}
	u := in.Session.User
	if u.DisplayName != "Amended" || strings.Join(u.Roles, " ") != "user" || string(u.Metadata) != `{"by":"hook"}` {
		t.Errorf("user %s", asJSON(u))
	}
	if inside.ID != u.ID || strings.Join(amr, " ") != "pwd" {
		t.Errorf("UserCreated saw %s, BeforeSession %v", asJSON(inside), amr)
	}
}

// ST-24: a hook before the fact can narrow what a user gets, and never widen it.
func TestAHookCannotGrantRoles(t *testing.T) {
	t.Parallel()
	for name, amend := range map[string]func(*auth.SignUp){
		"a role that was not asked for":  func(s *auth.SignUp) { s.Roles = append(s.Roles, "editor") },
		"a display name with a line end": func(s *auth.SignUp) { s.DisplayName = "a\nb" },
		"a role that is not allowed":     func(s *auth.SignUp) { s.Roles = append(s.Roles, "admin") },
		"a default role outside of its":  func(s *auth.SignUp) { s.DefaultRole = "admin" },
		"no roles":                       func(s *auth.SignUp) { s.Roles = nil },
		"metadata that is no object":     func(s *auth.SignUp) { s.Metadata = []byte(`[]`) },
	} {
		e := authtest.New(t, unverified, func(c *auth.Config) {
			c.Roles.Allowed = []string{"editor"}
			c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error { amend(s); return nil }
		})
		if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{AllowedRoles: []string{"user"}}); err == nil || userCount(t, e.Store) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ST-24: the observers' faults are their own.
func TestAnEventSinkThatPanicsHarmsNobody(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) {
		panics := auth.EventFunc(func(context.Context, auth.Event) { panic("sink") })
		c.Events = auth.FanOut(auth.FanOut(panics), c.Events, panics)
	})
	if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Error(err)
	}
	if len(e.Events.Of(auth.EventUserCreated)) != 1 {
		t.Error("the sink beside it got no event")
	}
	if n := strings.Count(e.Logs.String(), `msg="event sink failed" event=user-created`); n != 2 {
		t.Errorf("the log tells of %d:\n%s", n, e.Logs)
	}
}

// A step that has been committed is told of although its caller has left: what a sink does about it is not cut short.
func TestASinkIsNotInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	left := storetest.Fault{Method: "CreateUser", After: true, Do: func(context.Context) { cancel() }}
	e := authtest.NewWithStore(t, storetest.Break(memstore.New(), left), func(c *auth.Config) {
		c.Events = auth.EventFunc(func(own context.Context, _ auth.Event) {
			told++
			if ctx.Err() == nil || own.Err() != nil {
				t.Errorf("the caller: %v, the sink: %v", ctx.Err(), own.Err())
			}
		})
	})
	if _, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{}); err != nil || told != 2 {
		t.Errorf("%d events, %v", told, err)
	}
}

// A sink of several can stand within another of the service's own.
func TestFanOut(t *testing.T) {
	t.Parallel()
	var told []string
	to := func(name string) auth.EventSink {
		return auth.EventFunc(func(_ context.Context, ev auth.Event) { told = append(told, name+" "+string(ev.Type)) })
	}
	auth.FanOut(to("a"), auth.FanOut(to("b"), to("c"))).Emit(t.Context(), auth.Event{Type: auth.EventSignedIn})
	if got := strings.Join(told, ", "); got != "a signed-in, b signed-in, c signed-in" {
		t.Errorf("got %s", got)
	}
}

// E1, E2, AN-03: anonymous users can refresh and read themselves, even where addresses are verified, and have one role.
func TestAnonymousUsers(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Locales.Allowed = []string{"fr"} })
	in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{DisplayName: "Guest 7", Metadata: []byte(`{"cart":[1]}`), Locale: "xx"})
	if err != nil {
		t.Fatal(err)
	}
	s := mustRefresh(t, e, in.Session.RefreshToken)
	p := e.Principal(t, s)
	if !p.Anonymous || p.DefaultRole != "anonymous" || strings.Join(p.Roles, " ") != "anonymous" || len(p.AMR) != 0 {
		t.Errorf("principal %+v", p)
	}
	u, err := e.User(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !u.IsAnonymous || u.DisplayName != "Guest 7" || u.Locale != "en" || string(u.Metadata) != `{"cart":[1]}` || u.Email != "" {
		t.Errorf("user %s", asJSON(u))
	}
	if u, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err != nil || u.Session.User.DisplayName != "Anonymous User" {
		t.Errorf("default name: %v", err)
	}
	long := strings.Repeat("é", 128)
	if in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{DisplayName: long, Locale: "fr"}); err != nil {
		t.Errorf("a name as long as can be: %v", err)
	} else if u := in.Session.User; u.DisplayName != long || u.Locale != "fr" {
		t.Errorf("user %s", asJSON(u))
	}
	for name, params := range map[string]auth.SignInAnonymousParams{
		"a long name":             {DisplayName: strings.Repeat("a", 129)},
		"a name with a line end":  {DisplayName: "a\nb"},
		"metadata that's a list":  {Metadata: []byte(`[]`)},
		"metadata with NUL in it": {Metadata: []byte(`{"a":"\u0000"}`)},
	} {
		_, err := e.SignInAnonymous(t.Context(), params)
		if !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	off := authtest.New(t, func(c *auth.Config) { c.Anonymous = nil })
	_, err = off.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	wantErr(t, err, auth.ErrDisabledEndpoint)
}

// A caller without a principal is nobody, and no reason to panic.
func TestNobodyIsNotAuthenticated(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	_, err := e.User(t.Context(), nil)
	wantErr(t, err, auth.ErrUnauthenticated)
	_, err = e.ListSessions(t.Context(), nil)
	wantErr(t, err, auth.ErrUnauthenticated)
	wantErr(t, e.RevokeSession(t.Context(), nil, uuid.New()), auth.ErrUnauthenticated)
	wantErr(t, e.CheckRole(t.Context(), nil, "user"), auth.ErrUnauthenticated)
}

func TestUsersForTheService(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified)
	for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		if _, err := signUp(t, e, email, authtest.Password, auth.SignUpOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var all []auth.User
	for after := uuid.Nil; ; after = all[len(all)-1].ID {
		page, err := e.ListUsers(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
	}
	if len(all) != 3 {
		t.Errorf("listed %d users", len(all))
	}
	if one, err := e.ListUsers(t.Context(), uuid.Nil, 1); err != nil || len(one) != 1 {
		t.Errorf("a page of one: %v, %v", one, err)
	}
	_, err := e.ListUsers(t.Context(), uuid.Nil, 0)
	wantErr(t, err, auth.ErrInvalidRequest)
	_, err = e.FindUser(t.Context(), auth.UserBy{ID: uuid.New()})
	wantErr(t, err, auth.ErrNotFound)
	_, err = e.FindUser(t.Context(), auth.UserBy{Email: "nobody"})
	wantErr(t, err, auth.ErrInvalidRequest)
	_, err = e.FindUser(t.Context(), auth.UserBy{Phone: "0123"})
	wantErr(t, err, auth.ErrInvalidRequest)
	_, err = e.FindUser(t.Context(), auth.UserBy{Phone: "+41 79 123 45 67"})
	wantErr(t, err, auth.ErrNotFound)
	for _, update := range []auth.UserUpdate{{Roles: []string{"user"}}, {Disabled: new(true)}} {
		_, err = e.UpdateUser(t.Context(), uuid.New(), update)
		wantErr(t, err, auth.ErrNotFound)
	}
	french, editor := "fr", "editor"
	_, err = e.UpdateUser(t.Context(), all[0].ID, auth.UserUpdate{Locale: &french})
	wantErr(t, err, auth.ErrLocaleNotAllowed)
	_, err = e.UpdateUser(t.Context(), all[0].ID, auth.UserUpdate{DefaultRole: &editor})
	wantErr(t, err, auth.ErrDefaultRoleNotAllowed)
	_, err = e.UpdateUser(t.Context(), all[0].ID, auth.UserUpdate{Roles: []string{"editor"}})
	wantErr(t, err, auth.ErrDefaultRoleNotAllowed)
	_, err = e.UpdateUser(t.Context(), all[0].ID, auth.UserUpdate{Metadata: []byte("1")})
	wantErr(t, err, auth.ErrInvalidRequest)
	_, err = e.UpdateUser(t.Context(), all[0].ID, auth.UserUpdate{Roles: []string{"user", "a b"}})
	wantErr(t, err, auth.ErrInvalidRequest)
	u, err := e.UpdateUser(t.Context(), all[0].ID, auth.UserUpdate{Metadata: []byte(`{"a":1}`), Roles: []string{"user", "editor", "user"}})
	if err != nil || string(u.Metadata) != `{"a":1}` || len(u.Roles) != 2 {
		t.Errorf("%s, %v", asJSON(u), err)
	}
}

// LG-13: who has proven who they are and is refused by the service is recorded, as refused.
func TestASessionThatTheServiceRefusesIsRecorded(t *testing.T) {
	t.Parallel()
	refuse := false
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error {
			if refuse {
				return errForbidden
			}
			return nil
		}
	})
	id := e.SignUp(t, "ada@example.com").User.ID
	refuse = true
	_, err := signIn(t, e, "ada@example.com", authtest.Password)
	wantErr(t, err, errForbidden)
	if events := e.Events.Of(auth.EventSignInFailed); len(events) != 1 || events[0].UserID != id || events[0].Method != "password" || events[0].Code != errForbidden.Code {
		t.Errorf("%+v", events)
	}
}
