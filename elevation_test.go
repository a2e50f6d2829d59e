package auth_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

var modes = []auth.ElevationMode{auth.ElevationDisabled, auth.ElevationRecommended, auth.ElevationRequired}

// replica is another engine over the store of e, with e's clock and letters.
func replica(t *testing.T, e *authtest.Engine, amend ...func(*auth.Config)) *authtest.Engine {
	t.Helper()
	r := authtest.NewWithStore(t, e.Store, append([]func(*auth.Config){func(c *auth.Config) {
		c.Now, c.Mail = e.Clock.Now, e.Mailbox
	}}, amend...)...)
	r.Mailbox = e.Mailbox
	return r
}

// protectedMethod is a method that demands a step-up of some.
type protectedMethod struct {
	name     string
	firstKey bool // it lets users without a key through
	call     func(t *testing.T, e *authtest.Engine, p *auth.Principal) error
}

// open is an engine over the same store that demands a step-up of nobody, by which what a method needs is prepared.
func protectedMethods(open *authtest.Engine) []protectedMethod {
	return []protectedMethod{
		{"AddSecurityKey", true, func(t *testing.T, e *authtest.Engine, p *auth.Principal) error {
			_, err := e.AddSecurityKey(t.Context(), p)
			return err
		}},
		{"VerifyAddSecurityKey", true, func(t *testing.T, e *authtest.Engine, p *auth.Principal) error {
			begun, err := open.AddSecurityKey(t.Context(), p)
			if err != nil {
				return err
			}
			_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{
				Credential: (&authtest.Authenticator{Unchecked: true}).Create(t, begun),
			})
			return err
		}},
		{"RemoveSecurityKey", false, func(t *testing.T, e *authtest.Engine, p *auth.Principal) error {
			list, err := open.ListSecurityKeys(t.Context(), p)
			if err != nil {
				return err
			}
			id := uuid.New()
			if len(list.Keys) > 0 {
				id = list.Keys[len(list.Keys)-1].ID
			}
			_, err = e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: id})
			return err
		}},
	}
}

// EL-01: every protected method in every mode, for every kind of caller.
func TestWhoMustStepUp(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for _, m := range protectedMethods(nil) {
			t.Run(string(mode)+" "+m.name, func(t *testing.T) {
				t.Parallel()
				e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = mode })
				open := replica(t, e, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationDisabled })
				var method protectedMethod
				for _, candidate := range protectedMethods(open) {
					if candidate.name == m.name {
						method = candidate
					}
				}
				key, keyB := &authtest.Authenticator{}, &authtest.Authenticator{}
				plain := open.Principal(t, withKey(t, open, "ada@example.com", key))
				for range 5 { // to be removed
					addKey(t, open, plain, &authtest.Authenticator{Unchecked: true})
				}
				_, elevated := elevate(t, open, plain, key)
				keyless := open.Principal(t, open.SignUp(t, "bob@example.com"))
				_, elevatedB := elevate(t, open, open.Principal(t, withKey(t, open, "carol@example.com", keyB)), keyB)
				foreign := *plain
				foreign.ElevatedBy = elevatedB.ElevatedBy // says so, but not that it is elevated
				forged := *plain
				forged.Elevated, forged.ElevatedBy = true, elevatedB.ElevatedBy
				anonymous, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
				if err != nil {
					t.Fatal(err)
				}

				lets := func(ok bool) error {
					if ok {
						return nil
					}
					return auth.ErrElevationRequired
				}
				for _, c := range []struct {
					name string
					p    *auth.Principal
					want error
				}{
					{"a plain token of a user with a key", plain, lets(mode == auth.ElevationDisabled)},
					{"an elevated token", elevated, nil},
					{"a token that another user's key elevated", &forged, lets(mode == auth.ElevationDisabled)},
					{"a plain token with another user's key", &foreign, lets(mode == auth.ElevationDisabled)},
					{"nobody", nil, auth.ErrUnauthenticated},
					{"an anonymous user", e.Principal(t, anonymous.Session), auth.ErrForbiddenAnonymous},
				} {
					before := snapshot(t, e, c.p)
					err := method.call(t, e, c.p)
					if method.name == "VerifyAddSecurityKey" && c.p == nil && errors.Is(err, auth.ErrUnauthenticated) {
						continue
					}
					if !errors.Is(err, c.want) || c.want == nil && err != nil {
						t.Errorf("%s: %v, not %v", c.name, err, c.want)
					}
					if err != nil && before != snapshot(t, e, c.p) {
						t.Errorf("%s: a refused call had an effect", c.name)
					}
				}
				want := lets(mode != auth.ElevationRequired || method.firstKey)
				if want == nil && method.name == "RemoveSecurityKey" {
					want = auth.ErrNotFound // there is none to remove
				}
				if err := method.call(t, e, keyless); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("a user without a key: %v, not %v", err, want)
				}
			})
		}
	}
}

// snapshot tells whether a call changed the keys of a user.
func snapshot(t *testing.T, e *authtest.Engine, p *auth.Principal) string {
	t.Helper()
	if p == nil {
		return ""
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: p.UserID, With: store.WithSecurityKeys, Now: e.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return asJSON(a.SecurityKeys)
}

// W30: the exception for a first key is for one key, however many are added at once.
func TestTheFirstKeyIsOne(t *testing.T) {
	t.Parallel()
	for _, mode := range modes[1:] {
		e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = mode })
		e.SignUp(t, "ada@example.com")
		var answers []func() error
		for range 20 {
			p := e.Principal(t, e.SignIn(t, "ada@example.com"))
			options, err := e.AddSecurityKey(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			answer := (&authtest.Authenticator{}).Create(t, options)
			answers = append(answers, func() error {
				_, err := e.VerifyAddSecurityKey(background, p, auth.VerifyAddSecurityKeyParams{Credential: answer})
				return err
			})
		}
		var next, ok atomic.Int64
		parallel(len(answers), func() {
			switch err := answers[next.Add(1)-1](); {
			case err == nil:
				ok.Add(1)
			case !errors.Is(err, auth.ErrElevationRequired):
				t.Error(err)
			}
		})
		if ok.Load() != 1 {
			t.Errorf("%s: %d first keys", mode, ok.Load())
		}
	}
}

// EL-10, the strict form: a stolen token of an old session cannot give its user a first key.
func TestTheFirstKeyCanDemandARecentSignIn(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		e := authtest.New(t, func(c *auth.Config) {
			c.Elevation.Mode, c.Elevation.FirstKeyWithin = mode, 10*time.Minute
		})
		key := &authtest.Authenticator{}
		s := e.SignUp(t, "ada@example.com")
		e.Clock.Advance(10 * time.Minute)
		addKey(t, e, e.Principal(t, s), key)
		e.Clock.Advance(time.Hour)
		s, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		want := auth.ErrElevationRequired
		if _, err := e.AddSecurityKey(t.Context(), e.Principal(t, s)); mode == auth.ElevationDisabled && err != nil || mode != auth.ElevationDisabled && !errors.Is(err, want) {
			t.Errorf("%s: another key: %v", mode, err)
		}
		// A step-up is no sign-in, nor what is left of one when its key is gone.
		_, up := elevate(t, e, e.Principal(t, s), key)
		if _, err := e.AddSecurityKey(t.Context(), up); err != nil {
			t.Errorf("%s: another key after a step-up: %v", mode, err)
		}
		if _, err := e.RemoveSecurityKey(t.Context(), up, auth.RemoveSecurityKeyParams{ID: up.ElevatedBy}); err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]*auth.Principal{"plain": e.Principal(t, s), "stepped up with the key that is gone": up} {
			if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, want) {
				t.Errorf("%s: a first key, %s: %v", mode, name, err)
			}
		}
		addKey(t, e, e.Principal(t, e.SignIn(t, "ada@example.com")), &authtest.Authenticator{})
	}
}

// A user whose keys cannot verify who they are cannot step up; they can add a key that can, if they have just signed in.
func TestUsersWhoCannotStepUp(t *testing.T) {
	t.Parallel()
	for _, mode := range modes[1:] {
		e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = mode })
		plug, phone := authtest.NewSecurityKey(), &authtest.Authenticator{}
		s := withKey(t, e, "ada@example.com", plug)
		p := e.Principal(t, s)
		if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{}); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: step-up: %v", mode, err)
		}
		list, err := e.ListSecurityKeys(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID}); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s: removal: %v", mode, err)
		}
		e.Clock.Advance(10*time.Minute + time.Second)
		if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s: addition long after the sign-in: %v", mode, err)
		}
		p = e.Principal(t, e.SignIn(t, "ada@example.com"))
		addKey(t, e, p, phone)
		if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s: now that they can: %v", mode, err)
		}
		_, up := elevate(t, e, p, phone)
		if _, err := e.RemoveSecurityKey(t.Context(), up, auth.RemoveSecurityKeyParams{ID: list.Keys[0].ID}); err != nil {
			t.Errorf("%s: removal after a step-up: %v", mode, err)
		}
	}
}

// A principal can be kept for longer than their token is good.
func TestAKeptPrincipalIsNotElevatedForEver(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired })
	key := &authtest.Authenticator{}
	_, p := elevate(t, e, e.Principal(t, withKey(t, e, "ada@example.com", key)), key)
	e.Clock.Advance(15 * time.Minute)
	if err := e.CheckElevation(t.Context(), p, 0); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("CheckElevation: %v", err)
	}
	if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("AddSecurityKey: %v", err)
	}
}

// Another tab may refresh while this one steps up: the answer has the refresh token that is current then.
func TestSteppingUpWhileAnotherTabRefreshes(t *testing.T) {
	t.Parallel()
	inner := memstore.New()
	var refresh func()
	var armed atomic.Bool
	e := authtest.NewWithStore(t, storetest.Break(inner, storetest.Fault{Method: "ChangeUser", Do: func(context.Context) {
		if armed.CompareAndSwap(true, false) {
			refresh()
		}
	}}))
	key := &authtest.Authenticator{}
	s := withKey(t, e, "ada@example.com", key)
	refresh = func() {
		if _, err := e.Refresh(background, auth.RefreshParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Error(err)
		}
	}
	p := e.Principal(t, s)
	answer := key.Get(t, beginElevation(t, e, p))
	armed.Store(true)
	up, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: answer})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(time.Minute)
	if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: up.RefreshToken}); err != nil {
		t.Errorf("%v", err)
	}
}

func TestSteppingUp(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	s := withKey(t, e, "ada@example.com", key)
	plain := e.Principal(t, s)
	e.Clock.Advance(7 * time.Minute)
	sessions, err := e.ListSessions(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}

	up, p := elevate(t, e, plain, key)
	want := *plain
	want.TokenID, want.Elevated, want.AuthTime, want.Expires = p.TokenID, true, e.Clock.Now(), e.Clock.Now().Add(15*time.Minute)
	want.ElevatedBy, want.AMR = p.ElevatedBy, []string{"email", "pop", "user", "mfa"}
	if diff := cmp.Diff(&want, p); diff != "" {
		t.Error(diff)
	}
	list, err := e.ListSecurityKeys(t.Context(), p)
	if err != nil || list.Keys[0].ID != p.ElevatedBy || !list.Keys[0].LastUsedAt.Equal(e.Clock.Now()) {
		t.Errorf("%s, %v", asJSON(list), err)
	}
	if p.TokenID == plain.TokenID {
		t.Error("two tokens have one id")
	}

	// EL-16: no other session, and not another life.
	if up.RefreshTokenID != s.RefreshTokenID || up.RefreshToken != s.RefreshToken {
		t.Error("another session, or another refresh token")
	}
	after, err := e.ListSessions(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sessions, after); diff != "" {
		t.Error(diff)
	}
	if got := e.Events.Of(auth.EventElevated); len(got) != 1 || got[0].UserID != p.UserID || got[0].SessionID != p.SessionID {
		t.Errorf("events %v", got)
	}

	// EL-04: a refresh does not carry it on, and goes by the sign-in again.
	for _, token := range []string{up.RefreshToken, s.RefreshToken} {
		refreshed, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: token})
		if err != nil {
			t.Fatal(err)
		}
		r := e.Principal(t, refreshed)
		if r.Elevated || r.ElevatedBy != uuid.Nil || !r.AuthTime.Equal(plain.AuthTime) || !cmp.Equal(r.AMR, plain.AMR) {
			t.Errorf("refreshed: %+v", r)
		}
	}
	// After a refresh, a step-up comes with the refresh token that is current then.
	again, _ := elevate(t, e, plain, key)
	if again.RefreshToken == s.RefreshToken {
		t.Error("a refresh token that has had its turn")
	}
	if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: again.RefreshToken}); err != nil {
		t.Error(err)
	}
}

// EL-11: it lives as long as the access token, and no use of it makes that longer.
func TestAStepUpEndsWithItsToken(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired })
	key := &authtest.Authenticator{}
	s, p := elevate(t, e, e.Principal(t, withKey(t, e, "ada@example.com", key)), key)
	if s.AccessTokenExpiresIn != 900 {
		t.Errorf("%d seconds", s.AccessTokenExpiresIn)
	}
	e.Clock.Advance(15*time.Minute - time.Second)
	if _, err := e.AddSecurityKey(t.Context(), p); err != nil {
		t.Error(err)
	}
	e.Clock.Advance(time.Second)
	if _, err := e.Authenticate(t.Context(), s.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
}

// EL-06: what was elevated is worth nothing once its user, session or key is gone.
func TestAStepUpEndsWithItsUserSessionAndKey(t *testing.T) {
	t.Parallel()
	yes := true
	for name, c := range map[string]struct {
		end  func(t *testing.T, e *authtest.Engine, p *auth.Principal)
		want error
	}{
		"disabled": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			if _, err := e.UpdateUser(t.Context(), p.UserID, auth.UserUpdate{Disabled: &yes}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrDisabledUser},
		"signed out": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			if err := e.SignOut(t.Context(), p, auth.SignOutParams{All: true}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrUnauthenticated},
		"the key removed": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: p.ElevatedBy}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrElevationRequired},
		"deleted": {func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			if err := e.Store.DeleteUser(t.Context(), store.UserDeletion{UserID: p.UserID}); err != nil {
				t.Fatal(err)
			}
		}, auth.ErrUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired })
			checked := replica(t, e, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
			key, second := &authtest.Authenticator{}, &authtest.Authenticator{}
			_, p := elevate(t, e, e.Principal(t, withKey(t, e, "ada@example.com", key)), key)
			spare := addKey(t, e, p, second)
			begun, err := e.AddSecurityKey(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if err := checked.CheckElevation(t.Context(), p, 0); err != nil {
				t.Errorf("CheckElevation, before: %v", err)
			}
			c.end(t, e, p)
			if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, c.want) {
				t.Errorf("AddSecurityKey: %v, not %v", err, c.want)
			}
			if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: spare.ID}); !errors.Is(err, c.want) {
				t.Errorf("RemoveSecurityKey: %v, not %v", err, c.want)
			}
			_, err = e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: (&authtest.Authenticator{}).Create(t, begun)})
			if !errors.Is(err, c.want) && !errors.Is(err, auth.ErrInvalidRequest) { // the challenge may be gone too
				t.Errorf("VerifyAddSecurityKey: %v, not %v", err, c.want)
			}
			if err := checked.CheckElevation(t.Context(), p, 0); !errors.Is(err, c.want) {
				t.Errorf("CheckElevation: %v, not %v", err, c.want)
			}
		})
	}
}

// A removal that comes between the look at the account and the change counts as well.
func TestAStepUpEndsWithItsKeyAtTheLastMoment(t *testing.T) {
	t.Parallel()
	inner := memstore.New()
	var elevated *auth.Principal
	var armed atomic.Bool
	s := storetest.Break(inner, storetest.Fault{Method: "ChangeUser", Do: func(ctx context.Context) {
		if armed.CompareAndSwap(true, false) {
			_, err := inner.ChangeUser(ctx, store.UserChange{
				UserID: elevated.UserID, Now: authtest.NewClock().Now(), RemoveKey: elevated.ElevatedBy,
			})
			if err != nil {
				t.Error(err)
			}
		}
	}})
	e := authtest.NewWithStore(t, s, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired })
	key := &authtest.Authenticator{}
	_, elevated = elevate(t, e, e.Principal(t, withKey(t, e, "ada@example.com", key)), key)
	addKey(t, e, elevated, &authtest.Authenticator{})
	begun, err := e.AddSecurityKey(t.Context(), elevated)
	if err != nil {
		t.Fatal(err)
	}
	answer := (&authtest.Authenticator{}).Create(t, begun)
	armed.Store(true)
	_, err = e.VerifyAddSecurityKey(t.Context(), elevated, auth.VerifyAddSecurityKeyParams{Credential: answer})
	if !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("%v", err)
	}
}

// A step-up of a session that has ended, before or between its halves.
func TestSteppingUpWithoutASession(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	withKey(t, e, "ada@example.com", key)
	p := e.Principal(t, e.SignIn(t, "ada@example.com"))
	other := e.Principal(t, e.SignIn(t, "ada@example.com"))
	answer := key.Get(t, beginElevation(t, e, p))
	if err := e.RevokeSession(t.Context(), other, p.SessionID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: answer}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("VerifyElevation: %v", err)
	}
	if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("Elevate: %v", err)
	}
	sessionless := *other
	sessionless.SessionID = uuid.Nil
	for name, nobody := range map[string]*auth.Principal{"nil": nil, "without a session": &sessionless} {
		if _, err := e.Elevate(t.Context(), nobody, auth.ElevateParams{}); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := e.VerifyElevation(t.Context(), nobody, auth.VerifyElevationParams{Credential: answer}); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Signed out at the very moment of the step-up.
func TestSteppingUpWhileSignedOut(t *testing.T) {
	t.Parallel()
	inner := memstore.New()
	var p *auth.Principal
	var armed atomic.Bool
	s := storetest.Break(inner, storetest.Fault{Method: "ChangeUser", Do: func(ctx context.Context) {
		if armed.CompareAndSwap(true, false) {
			if _, err := inner.EndSessions(ctx, p.UserID, p.SessionID); err != nil {
				t.Error(err)
			}
		}
	}})
	e := authtest.NewWithStore(t, s)
	key := &authtest.Authenticator{}
	p = e.Principal(t, withKey(t, e, "ada@example.com", key))
	answer := key.Get(t, beginElevation(t, e, p))
	armed.Store(true)
	if _, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: answer}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
}

func TestWhoCannotStepUp(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	keyless := e.Principal(t, e.SignUp(t, "bob@example.com"))
	anonymous, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p      *auth.Principal
		params auth.ElevateParams
		want   error
	}{
		"one's own address":    {p, auth.ElevateParams{Email: "ADA@example.com"}, nil},
		"another's address":    {p, auth.ElevateParams{Email: "bob@example.com"}, auth.ErrInvalidRequest},
		"no address":           {p, auth.ElevateParams{Email: "ada"}, auth.ErrInvalidRequest},
		"an unknown method":    {p, auth.ElevateParams{Method: "magic"}, auth.ErrInvalidRequest},
		"a user without a key": {keyless, auth.ElevateParams{}, auth.ErrInvalidRequest},
		"an anonymous user":    {e.Principal(t, anonymous.Session), auth.ElevateParams{}, auth.ErrForbiddenAnonymous},
	} {
		_, err := e.Elevate(t.Context(), c.p, c.params)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("Elevate, %s: %v", name, err)
		}
		if c.p == keyless {
			continue
		}
		answer := key.Get(t, beginElevation(t, e, p))
		_, err = e.VerifyElevation(t.Context(), c.p, auth.VerifyElevationParams{Method: c.params.Method, Email: c.params.Email, Credential: answer})
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("VerifyElevation, %s: %v", name, err)
		}
	}
}

// EL-12: whoever has found a key that does not verify its user cannot step up with it, unless the operator says so.
func TestSteppingUpTakesUserVerification(t *testing.T) {
	t.Parallel()
	for _, relaxed := range []bool{false, true} {
		e := authtest.New(t)
		if relaxed {
			e = authtest.New(t, onlyPresence)
		}
		key := &authtest.Authenticator{}
		p := e.Principal(t, withKey(t, e, "ada@example.com", key))
		_, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{
			Credential: key.Get(t, beginElevation(t, e, p), func(c *authtest.Ceremony) { c.Flags &^= authtest.FlagUV }),
		})
		if relaxed && err != nil || !relaxed && !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("relaxed %v: %v", relaxed, err)
		}
	}
}

// EL-08: nothing else elevates.
func TestNothingElseElevates(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	s := withKey(t, e, "ada@example.com", key)
	byKey, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, "")))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*auth.Session{"a verification link": s, "a password": e.SignIn(t, "ada@example.com"), "a key": byKey.Session} {
		if p := e.Principal(t, s); p.Elevated {
			t.Errorf("%s elevates", name)
		}
	}
}

func TestCheckElevation(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	plain := e.Principal(t, withKey(t, e, "ada@example.com", key))
	_, p := elevate(t, e, plain, key)
	e.Clock.Advance(5 * time.Minute)
	for name, c := range map[string]struct {
		p      *auth.Principal
		maxAge time.Duration
		want   error
	}{
		"nobody":                 {nil, 0, auth.ErrUnauthenticated},
		"a plain token":          {plain, 0, auth.ErrElevationRequired},
		"whenever":               {p, 0, nil},
		"just in time":           {p, 5 * time.Minute, nil},
		"a nanosecond too late":  {p, 5*time.Minute - 1, auth.ErrElevationRequired},
		"a negative age":         {p, -time.Second, auth.ErrElevationRequired},
		"a plain token, any age": {plain, time.Hour, auth.ErrElevationRequired},
	} {
		err := e.CheckElevation(t.Context(), c.p, c.maxAge)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// LG-13: a step-up that fails is recorded, by whom it was tried and in which session.
func TestAStepUpWithAKeyThatFailsIsRecorded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	answer := key.Get(t, beginElevation(t, e, p), authtest.AfterSigning(func(a *authtest.Answer) { a.Signature[8] ^= 1 }))
	if _, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: answer}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Fatal(err)
	}
	events := e.Events.Of(auth.EventElevationFailed)
	if len(events) != 1 || events[0].UserID != p.UserID || events[0].SessionID != p.SessionID || events[0].Method != "webauthn" ||
		events[0].Code != auth.CodeInvalidRequest {
		t.Errorf("%+v", events)
	}
}

// What can be used without a key: a password by who has one, and codes to an address and a number that are proven.
func TestWaysToStepUpWithoutAKey(t *testing.T) {
	t.Parallel()
	methods := func(c *auth.Config) {
		letters(c)
		c.Email.AllowUnverified = true
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByPassword, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP}
	}
	e := authtest.New(t, methods)
	unproven, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s    *auth.Session
		want []auth.ElevationMethod
	}{
		"a password, and an address that is not proven": {unproven.Session, []auth.ElevationMethod{auth.ElevateByPassword}},
		"a number": {signUpByPhone(t, e, adaPhone), []auth.ElevationMethod{auth.ElevateBySMSOTP}},
	} {
		p := e.Principal(t, c.s)
		got, err := e.ElevationMethods(t.Context(), p)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		for _, m := range []auth.ElevationMethod{auth.ElevateByPassword, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP} {
			begun, err := e.Elevate(t.Context(), p, auth.ElevateParams{Method: m})
			if slices.Contains(c.want, m) != (err == nil) || err == nil && begun.Method != m {
				t.Errorf("%s: %s: %v, %v", name, m, begun, err)
			}
		}
		if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{}); messageOf(err) != "invalid-request: the user has no security key" {
			t.Errorf("%s: a key: %v", name, err)
		}
	}
	// Where it cannot be used any more, it is not offered.
	p := e.Principal(t, unproven.Session)
	without := replica(t, e, methods, func(c *auth.Config) { c.Password = nil })
	if got, err := without.ElevationMethods(t.Context(), p); err != nil || len(got) > 0 {
		t.Errorf("without passwords: %v, %v", got, err)
	}
}

// A sign-in with both factors that is some time ago is mended by a step-up with the second one.
func TestAStepUpWithTheAppMendsAnOldSignIn(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.Elevation = auth.ElevationConfig{Mode: auth.ElevationRecommended, Methods: []auth.ElevationMethod{auth.ElevateByTOTP}}
	})
	ticket, secret := challenged(t, e, "ada@example.com")
	in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: ticket, OTP: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Advance(10 * time.Minute)
	if _, err := e.AddSecurityKey(t.Context(), e.Principal(t, in.Session)); err != nil {
		t.Errorf("ten minutes later: %v", err)
	}
	e.Clock.Advance(time.Second)
	p := e.Principal(t, mustRefresh(t, e, in.Session.RefreshToken))
	if _, err := e.AddSecurityKey(t.Context(), p); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("later: %v", err)
	}
	open := replica(t, e, func(c *auth.Config) { c.Elevation = auth.ElevationConfig{Mode: auth.ElevationDisabled} })
	if _, err := open.AddSecurityKey(t.Context(), p); err != nil {
		t.Errorf("later, where no step-up is demanded: %v", err)
	}
	up, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.AddSecurityKey(t.Context(), e.Principal(t, up)); err != nil {
		t.Errorf("with the app: %v", err)
	}
}

// EL-06, EL-10: what a step-up has shown ends with it, whether its key is gone or its token has expired: a session of one factor is
// one of one factor again. One that was opened with two still is one of two.
func TestWhatAStepUpHasShownEndsWithIt(t *testing.T) {
	t.Parallel()
	type way struct {
		name  string
		after bool // in a session of two factors it is as good as before
		try   func() error
	}
	for name, end := range map[string]func(t *testing.T, e *authtest.Engine, p *auth.Principal){
		"its key is gone": func(t *testing.T, e *authtest.Engine, p *auth.Principal) {
			if _, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: p.ElevatedBy}); err != nil {
				t.Fatal(err)
			}
		},
		"its token has expired": func(_ *testing.T, e *authtest.Engine, _ *auth.Principal) { e.Clock.Advance(15 * time.Minute) },
	} {
		for _, factors := range []int{1, 2} {
			e := authtest.New(t, func(c *auth.Config) { c.Tickets.WebAuthn = time.Hour })
			key := &authtest.Authenticator{}
			s := withKey(t, e, "ada@example.com", key)
			left := addKey(t, e, e.Principal(t, s), &authtest.Authenticator{})
			secret := e.EnrolTOTP(t, s)
			if factors == 2 {
				in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: askedAgain(t, e, "ada@example.com"), OTP: nextCode(t, e, secret)})
				if err != nil {
					t.Fatal(err)
				}
				s = in.Session
			}
			_, p := elevate(t, e, e.Principal(t, s), key)
			ways := []way{
				{"CreatePAT", false, func() error {
					_, err := e.CreatePAT(t.Context(), p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
					return err
				}},
				{"GenerateTOTP", false, func() error { _, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{}); return err }},
				{"GenerateRecoveryCodes", false, func() error {
					_, err := e.GenerateRecoveryCodes(t.Context(), p, auth.GenerateRecoveryCodesParams{})
					return err
				}},
				{"AddSecurityKey", true, func() error { _, err := e.AddSecurityKey(t.Context(), p); return err }},
			}
			for _, w := range ways {
				if err := w.try(); err != nil {
					t.Errorf("%s, with %d factors, %s before: %v", name, factors, w.name, err)
				}
			}
			begun, err := e.AddSecurityKey(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			credential := (&authtest.Authenticator{Unchecked: true}).Create(t, begun)
			end(t, e, p)
			if _, err := e.VerifyAddSecurityKey(t.Context(), p, auth.VerifyAddSecurityKeyParams{Credential: credential}); !errors.Is(err, auth.ErrElevationRequired) {
				t.Errorf("%s, with %d factors, VerifyAddSecurityKey: %v", name, factors, err)
			}
			for _, w := range append(ways, way{"RemoveSecurityKey", true, func() error {
				_, err := e.RemoveSecurityKey(t.Context(), p, auth.RemoveSecurityKeyParams{ID: left.ID})
				return err
			}}) {
				err := w.try()
				if factors == 1 && !errors.Is(err, auth.ErrElevationRequired) || factors == 2 && w.after && err != nil {
					t.Errorf("%s, with %d factors, %s: %v", name, factors, w.name, err)
				}
			}
		}
	}
}

// EL-10: ten minutes after a sign-in its user is there no more, to the instant; also where the token names no session, as those of
// the documented server.
func TestHowLongASignInCounts(t *testing.T) {
	t.Parallel()
	recommended := func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRecommended }
	add := func(e *authtest.Engine, p *auth.Principal) error {
		_, err := e.AddSecurityKey(background, p)
		return err
	}
	for name, c := range map[string]struct {
		amend   func(*auth.Config)
		prepare func(t *testing.T, e *authtest.Engine) *auth.Session
		call    func(e *authtest.Engine, p *auth.Principal) error
	}{
		"for a new address": {func(*auth.Config) {}, func(t *testing.T, e *authtest.Engine) *auth.Session {
			return e.SignUp(t, "ada@example.com")
		}, func(e *authtest.Engine, p *auth.Principal) error {
			return e.ChangeEmail(background, p, auth.ChangeEmailParams{NewEmail: "new@example.com"})
		}},
		"for a first key, with both factors": {recommended, func(t *testing.T, e *authtest.Engine) *auth.Session {
			ticket, secret := challenged(t, e, "ada@example.com")
			in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: ticket, OTP: nextCode(t, e, secret)})
			if err != nil {
				t.Fatal(err)
			}
			return in.Session
		}, add},
		"for a first key that will do": {recommended, func(t *testing.T, e *authtest.Engine) *auth.Session {
			return withKey(t, e, "ada@example.com", authtest.NewSecurityKey())
		}, add},
	} {
		e := authtest.New(t, c.amend)
		p := *e.Principal(t, c.prepare(t, e))
		e.Clock.Advance(time.Hour)
		p.SessionID = uuid.Nil
		p.AuthTime = e.Clock.Now().Add(-10 * time.Minute)
		if err := c.call(e, &p); err != nil {
			t.Errorf("%s, in time: %v", name, err)
		}
		p.AuthTime = p.AuthTime.Add(-1)
		if err := c.call(e, &p); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s, too late: %v", name, err)
		}
	}
}

// A step-up of any kind does where one is demanded of all, and its token says of which it was.
func TestEveryStepUpIsOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		methods []auth.ElevationMethod
		amr     []string // beyond that of the sign-in
		prepare func(t *testing.T, e *authtest.Engine) (*auth.Principal, auth.VerifyElevationParams)
	}{
		"a password": {[]auth.ElevationMethod{auth.ElevateByPassword}, []string{"pwd"}, func(t *testing.T, e *authtest.Engine) (*auth.Principal, auth.VerifyElevationParams) {
			return e.Principal(t, e.SignUp(t, "ada@example.com")), auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password}
		}},
		"the app": {nil, []string{"otp", "mfa"}, func(t *testing.T, e *authtest.Engine) (*auth.Principal, auth.VerifyElevationParams) {
			s := e.SignUp(t, "ada@example.com")
			return e.Principal(t, s), auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, e.EnrolTOTP(t, s))}
		}},
		"a key, by name": {nil, []string{"pop", "user", "mfa"}, func(t *testing.T, e *authtest.Engine) (*auth.Principal, auth.VerifyElevationParams) {
			key := &authtest.Authenticator{}
			p := e.Principal(t, withKey(t, e, "ada@example.com", key))
			return p, auth.VerifyElevationParams{Method: auth.ElevateByWebAuthn, Credential: key.Get(t, beginElevation(t, e, p))}
		}},
	} {
		e := authtest.New(t, func(x *auth.Config) {
			x.Elevation = auth.ElevationConfig{Mode: auth.ElevationRequired, Methods: c.methods}
		})
		p, params := c.prepare(t, e)
		change := func(p *auth.Principal) error {
			return e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "new@example.com"})
		}
		if err := change(p); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s, before: %v", name, err)
		}
		up, err := e.VerifyElevation(t.Context(), p, params)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		elevated := e.Principal(t, up)
		if err := change(elevated); err != nil {
			t.Errorf("%s, after: %v", name, err)
		}
		if diff := cmp.Diff(slices.Concat(p.AMR, c.amr), elevated.AMR); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What a section of the configuration turns off is no way to step up, and nothing else is.
func TestStepUpByWhatIsOff(t *testing.T) {
	t.Parallel()
	methods := []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByPassword, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP}
	all := func(c *auth.Config) { c.Elevation.Methods = methods }
	e := authtest.New(t, all)
	users := map[auth.ElevationMethod]*auth.Principal{}
	plain, change := e.Principal(t, e.SignUp(t, "plain@example.com")), textings()[1]
	if err := change.redeem(e, plain, adaPhone, change.code(t, e, plain, adaPhone)); err != nil {
		t.Fatal(err)
	}
	for _, m := range methods {
		users[m] = plain
	}
	users[auth.ElevateByWebAuthn] = e.Principal(t, withKey(t, e, "keyed@example.com", &authtest.Authenticator{}))
	s := e.SignUp(t, "totp@example.com")
	e.EnrolTOTP(t, s)
	users[auth.ElevateByTOTP] = e.Principal(t, s)
	for off, amend := range map[auth.ElevationMethod]func(*auth.Config){
		"":                     func(*auth.Config) {},
		auth.ElevateByWebAuthn: func(c *auth.Config) { c.WebAuthn = nil },
		auth.ElevateByPassword: func(c *auth.Config) { c.Password = nil },
		auth.ElevateByEmailOTP: func(c *auth.Config) { c.Mail, c.Email.AllowUnverified = nil, true },
		auth.ElevateBySMSOTP:   func(c *auth.Config) { c.SMS = nil },
	} {
		r := replica(t, e, all, amend)
		for _, m := range methods {
			got, err := r.ElevationMethods(t.Context(), users[m])
			if err != nil || slices.Contains(got, m) != (m != off) {
				t.Errorf("without %q: ways %v, %v", off, got, err)
			}
			begun, err := r.Elevate(t.Context(), users[m], auth.ElevateParams{Method: m})
			if m == off {
				if !errors.Is(err, auth.ErrDisabledEndpoint) {
					t.Errorf("without %q: Elevate by %s: %v", off, m, err)
				}
			} else if err != nil || begun.Method != m {
				t.Errorf("without %q: Elevate by %s: %+v, %v", off, m, begun, err)
			}
			// Nothing is shown, so nothing comes of it.
			up, err := r.VerifyElevation(t.Context(), users[m], auth.VerifyElevationParams{Method: m})
			if up != nil || err == nil || errors.Is(err, auth.ErrDisabledEndpoint) != (m == off) {
				t.Errorf("without %q: VerifyElevation by %s: %v, %v", off, m, up, err)
			}
		}
	}
	if _, err := e.Elevate(t.Context(), plain, auth.ElevateParams{Method: "magic"}); messageOf(err) != "invalid-request: there is no such method" {
		t.Errorf("by magic: %v", err)
	}
	nowhere := e.Principal(t, signUpByPhone(t, e, bobPhone))
	for _, email := range []string{"nonsense", "plain@example.com"} {
		if _, err := e.Elevate(t.Context(), nowhere, auth.ElevateParams{Email: email}); messageOf(err) != "invalid-request: email is not the user's" {
			t.Errorf("with the address %s, by who has none: %v", email, err)
		}
	}
}

// EL-12: where a touch is enough, a key that never asks who its user is will do.
func TestSteppingUpByATouch(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, onlyPresence, func(c *auth.Config) { c.WebAuthn.UserVerification = auth.UserVerificationDiscouraged })
	key := &authtest.Authenticator{NoUserVerification: true}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	if got, err := e.ElevationMethods(t.Context(), p); err != nil || !cmp.Equal(got, []auth.ElevationMethod{auth.ElevateByWebAuthn}) {
		t.Errorf("%v, %v", got, err)
	}
	_, up := elevate(t, e, p, key)
	if !up.Elevated || slices.Contains(up.AMR, "mfa") {
		t.Errorf("%+v", up)
	}
	// With the key the step-up is gone, and what needs none can be done.
	if _, err := e.RemoveSecurityKey(t.Context(), up, auth.RemoveSecurityKeyParams{ID: up.ElevatedBy}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreatePAT(t.Context(), up, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)}); err != nil {
		t.Errorf("%v", err)
	}
}

// EO-02: a code of a step-up stands so many guesses. What is no code is none.
func TestGuessesAtACodeOfAStepUp(t *testing.T) {
	t.Parallel()
	for _, method := range []auth.ElevationMethod{auth.ElevateByEmailOTP, auth.ElevateBySMSOTP} {
		e := authtest.New(t, func(c *auth.Config) { c.Elevation.Methods = []auth.ElevationMethod{method} })
		p, change := e.Principal(t, e.SignUp(t, "ada@example.com")), textings()[1]
		if err := change.redeem(e, p, adaPhone, change.code(t, e, p, adaPhone)); err != nil {
			t.Fatal(err)
		}
		for guesses, want := range map[int]error{4: nil, 5: auth.ErrInvalidRequest} {
			if _, err := e.Elevate(t.Context(), p, auth.ElevateParams{Method: method}); err != nil {
				t.Fatal(err)
			}
			code := e.Mailbox.Last(t, "ada@example.com").Ticket()
			if method == auth.ElevateBySMSOTP {
				code = e.Phone.Last(t, adaPhone).Code
			}
			end := func(code string) error {
				_, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: method, OTP: code})
				return err
			}
			for _, wrong := range append(slices.Repeat([]string{otherCode(code)}, guesses), "", "1", "1234567", "12345a", "１２３４５６") {
				if err := end(wrong); !errors.Is(err, auth.ErrInvalidRequest) {
					t.Errorf("%s, %q: %v", method, wrong, err)
				}
			}
			if err := end(code); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s, after %d guesses: %v", method, guesses, err)
			}
		}
	}
}

// SM-01: whoever steps up by a text message has answered it, and nobody else has.
func TestAStepUpByTextAnswersIt(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		many := limit.Rate{Burst: 1000, Per: time.Hour}
		c.Limits = auth.LimitsConfig{SMSPerNumber: many, SMSPerNumberLong: many, UnansweredSMS: limit.Rate{Burst: 8, Per: time.Hour}}
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByPassword, auth.ElevateBySMSOTP}
	})
	p, change := e.Principal(t, e.SignUp(t, "ada@example.com")), textings()[1]
	if err := change.redeem(e, p, adaPhone, change.code(t, e, p, adaPhone)); err != nil {
		t.Fatal(err)
	}
	begin := func() error {
		_, err := e.Elevate(t.Context(), p, auth.ElevateParams{Method: auth.ElevateBySMSOTP})
		return err
	}
	end := func(params auth.VerifyElevationParams) {
		t.Helper()
		if _, err := e.VerifyElevation(t.Context(), p, params); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 20 {
		if err := begin(); err != nil {
			t.Fatalf("text %d: %v", n+1, err)
		}
		end(auth.VerifyElevationParams{Method: auth.ElevateBySMSOTP, OTP: e.Phone.Last(t, adaPhone).Code})
	}
	for n := range 8 {
		if err := begin(); err != nil {
			t.Fatalf("unanswered text %d: %v", n+1, err)
		}
		end(auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password})
	}
	if err := begin(); !errors.Is(err, auth.ErrTooManyRequests) {
		t.Errorf("%v", err)
	}
}

// forgetful is a store that finds accounts and does not return by what.
type forgetful struct{ store.Store }

func (s forgetful) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	a, err := s.Store.User(ctx, q)
	a.Session, a.PAT = nil, nil
	return a, err
}

// ST-01: a store that does not keep its contract is at fault, and takes nobody along.
func TestAStoreThatForgetsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := &authtest.Authenticator{}
	p := e.Principal(t, withKey(t, e, "ada@example.com", key))
	made := createPAT(t, e, p, time.Hour)
	answer := key.Get(t, beginElevation(t, e, p))
	broken := authtest.NewWithStore(t, forgetful{e.Store}, func(c *auth.Config) { c.Now = e.Clock.Now })
	_, err := broken.Elevate(t.Context(), p, auth.ElevateParams{})
	wantErr(t, err, auth.ErrInternal)
	_, err = broken.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Credential: answer})
	wantErr(t, err, auth.ErrInternal)
	_, err = signInPAT(t, broken, made.Token)
	wantErr(t, err, auth.ErrInternal)
}
