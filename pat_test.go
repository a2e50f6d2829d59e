package auth_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func createPAT(t *testing.T, e *authtest.Engine, p *auth.Principal, life time.Duration) *auth.PAT {
	t.Helper()
	made, err := e.CreatePAT(t.Context(), p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(life)})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func signInPAT(t *testing.T, e *authtest.Engine, token string) (*auth.Session, error) {
	t.Helper()
	in, err := e.SignInPAT(t.Context(), auth.SignInPATParams{PersonalAccessToken: token})
	if err != nil {
		return nil, err
	}
	return in.Session, nil
}

func TestPersonalAccessTokens(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := authtest.New(t)
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	expires := e.Clock.Now().Add(24 * time.Hour)
	made, err := e.CreatePAT(ctx, p, auth.CreatePATParams{
		ExpiresAt: expires, Metadata: json.RawMessage(`{"name": "ci"}`), Scopes: []string{"repo:read", "repo:write", "repo:read"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := uuid.Parse(made.Token); err != nil || id.String() != made.Token || id == made.ID {
		t.Errorf("token %q, id %s", made.Token, made.ID)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v %s", made, *made, made, made), made.Token) {
		t.Error("it prints")
	}
	if text := fmt.Sprint(made); !strings.Contains(text, made.ID.String()) {
		t.Errorf("it does not say which it is: %s", text)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "pat-created" || strings.Contains(l.Text+l.HTML, made.Token) { // PW-19
		t.Errorf("letter %s", l.Template)
	}
	e.Clock.Advance(time.Hour)
	in, err := signInPAT(t, e, made.Token)
	if err != nil {
		t.Fatal(err)
	}
	who := e.Principal(t, in)
	if in.User.ID != s.User.ID || !cmp.Equal(who.AMR, []string{"pat"}) || !cmp.Equal(who.Scopes, []string{"repo:read", "repo:write"}) {
		t.Errorf("%+v", who)
	}
	// A refresh does not forget what the token is for.
	if again := e.Principal(t, mustRefresh(t, e, in.RefreshToken)); !cmp.Equal(again.Scopes, who.Scopes) || !cmp.Equal(again.AMR, who.AMR) {
		t.Errorf("%+v", again)
	}
	if regular := e.Principal(t, e.SignIn(t, "ada@example.com")); regular.Scopes != nil {
		t.Errorf("a password brings scopes: %v", regular.Scopes)
	}
	list, err := e.ListPATs(ctx, p)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if l := list[0]; l.ID != made.ID || string(l.Metadata) != `{"name":"ci"}` || !l.ExpiresAt.Equal(expires) || !l.LastUsedAt.Equal(e.Clock.Now()) || strings.Contains(asJSON(l), made.Token) {
		t.Errorf("%s", asJSON(l))
	}
	if err := e.RevokePAT(ctx, p, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := signInPAT(t, e, made.Token); !errors.Is(err, auth.ErrInvalidPAT) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := refresh(t, e, in.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) { // PA-08
		t.Errorf("its session: %v", err)
	}
	mustRefresh(t, e, s.RefreshToken)
	for _, id := range []uuid.UUID{made.ID, uuid.New()} {
		if err := e.RevokePAT(ctx, p, id); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("nothing to revoke: %v", err)
		}
	}
	theirs := createPAT(t, e, p, time.Hour)
	if err := e.RevokePAT(ctx, p, made.ID); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("one that is gone, with another left: %v", err)
	}
	mallory := e.Principal(t, e.SignUp(t, "mallory@example.com"))
	if err := e.RevokePAT(ctx, mallory, theirs.ID); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("another's: %v", err)
	}
	if n := len(e.Events.Of(auth.EventPATCreated, auth.EventPATRevoked)); n != 3 {
		t.Errorf("%d events", n)
	}
}

// PA-04, PA-05, PA-12, W29.
func TestCreatePATRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := authtest.New(t, func(c *auth.Config) { c.PAT = &auth.PATConfig{MaxLifetime: 30 * 24 * time.Hour, MaxPerUser: 10} })
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	now := e.Clock.Now()
	for name, c := range map[string]auth.CreatePATParams{
		"no expiry":             {},
		"now":                   {ExpiresAt: now},
		"in the past":           {ExpiresAt: now.Add(-time.Hour)},
		"later than it may":     {ExpiresAt: now.Add(30*24*time.Hour + time.Microsecond)},
		"in the year 9999":      {ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		"metadata that is none": {ExpiresAt: now.Add(time.Hour), Metadata: json.RawMessage(`[]`)},
		"an empty scope":        {ExpiresAt: now.Add(time.Hour), Scopes: []string{""}},
		"a scope with a blank":  {ExpiresAt: now.Add(time.Hour), Scopes: []string{"a b"}},
		"too many scopes":       {ExpiresAt: now.Add(time.Hour), Scopes: strings.Split(strings.Repeat("a ", 33), " ")[:33]},
	} {
		if _, err := e.CreatePAT(ctx, p, c); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	scopes := strings.Split(strings.Repeat("a ", 32), " ")[:32]
	if _, err := e.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: now.Add(30 * 24 * time.Hour), Scopes: scopes}); err != nil {
		t.Errorf("as late as it may, with as many scopes: %v", err)
	}
	var ok atomic.Int64
	atOnce(50, func(int) {
		switch _, err := e.CreatePAT(background, p, auth.CreatePATParams{ExpiresAt: now.Add(time.Hour)}); {
		case err == nil:
			ok.Add(1)
		case !errors.Is(err, auth.ErrInvalidRequest):
			t.Error(err)
		}
	})
	if ok.Load() != 9 {
		t.Errorf("%d of fifty, beside one", ok.Load())
	}
	for name, who := range map[string]struct {
		p    *auth.Principal
		want error
	}{
		"nobody":  {nil, auth.ErrUnauthenticated},
		"no user": {&auth.Principal{}, auth.ErrUnauthenticated},
		"a guest": {e.Principal(t, guest(t, e)), auth.ErrForbiddenAnonymous},
	} {
		if _, err := e.CreatePAT(ctx, who.p, auth.CreatePATParams{ExpiresAt: now.Add(time.Hour)}); !errors.Is(err, who.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	off := replica(t, e, func(c *auth.Config) { c.PAT = nil })
	if _, err := off.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: now.Add(time.Hour)}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("where they are off: %v", err)
	}
	if _, err := signInPAT(t, off, uuid.NewString()); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("where they are off: %v", err)
	}
	if err := e.SignOut(ctx, p, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: now.Add(time.Hour)}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a session that has ended: %v", err)
	}
}

// Where a step-up is demanded it is demanded of who makes a token: of users with a key, with a second factor, or of all.
func TestCreatePATNeedsAStepUp(t *testing.T) {
	t.Parallel()
	for mode, want := range map[auth.ElevationMode][3]bool{ // of a user with nothing, with a key, with a second factor
		auth.ElevationDisabled: {false, false, true}, auth.ElevationRecommended: {false, true, true}, auth.ElevationRequired: {true, true, true},
	} {
		e := authtest.New(t)
		plain := e.Principal(t, e.SignUp(t, "plain@example.com"))
		keyed := e.Principal(t, withKey(t, e, "keyed@example.com", &authtest.Authenticator{}))
		s := e.SignUp(t, "totp@example.com")
		secret := e.EnrolTOTP(t, s)
		strict := replica(t, e, func(c *auth.Config) { c.Elevation.Mode = mode })
		for i, p := range []*auth.Principal{plain, keyed, e.Principal(t, s)} {
			_, err := strict.CreatePAT(t.Context(), p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
			if errors.Is(err, auth.ErrElevationRequired) != want[i] || !want[i] && err != nil {
				t.Errorf("%s, user %d: %v", mode, i, err)
			}
		}
		up, err := strict.VerifyElevation(t.Context(), e.Principal(t, s), auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := strict.CreatePAT(t.Context(), e.Principal(t, up), auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)}); err != nil {
			t.Errorf("%s, after a step-up: %v", mode, err)
		}
	}
}

// MF-07, MF-22: where a step-up is recommended, a sign-in with both factors is as good for ten minutes; for longer, and only to
// make a token, to who has no way to step up.
func TestASignInWithBothFactorsIsAStepUpForAWhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		methods []auth.ElevationMethod
		later   error
	}{
		"by the app": {nil, auth.ErrElevationRequired},
		"by a key":   {[]auth.ElevationMethod{auth.ElevateByWebAuthn}, nil},
	} {
		e := authtest.New(t, func(x *auth.Config) {
			x.Elevation = auth.ElevationConfig{Mode: auth.ElevationRecommended, Methods: c.methods}
		})
		ticket, secret := challenged(t, e, "ada@example.com")
		in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: ticket, OTP: nextCode(t, e, secret)})
		if err != nil {
			t.Fatal(err)
		}
		create := func(p *auth.Principal) error {
			_, err := e.CreatePAT(t.Context(), p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
			return err
		}
		e.Clock.Advance(10 * time.Minute)
		if err := create(e.Principal(t, in.Session)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := e.GenerateTOTP(t.Context(), e.Principal(t, in.Session), auth.GenerateTOTPParams{}); err != nil {
			t.Errorf("%s, another app: %v", name, err)
		}
		e.Clock.Advance(time.Second)
		if err := create(e.Principal(t, in.Session)); !errors.Is(err, c.later) || c.later == nil && err != nil {
			t.Errorf("%s, later: %v", name, err)
		}
		if _, err := e.GenerateTOTP(t.Context(), e.Principal(t, in.Session), auth.GenerateTOTPParams{}); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("%s, another app, later: %v", name, err)
		}
	}
}

// PA-02, PA-06..PA-08, PA-13, RT-27, W29: what a token and its sessions are not, cannot do, and do not outlive.
func TestWhatAPersonalAccessTokenIsNot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	fresh := func(t *testing.T, life time.Duration) (*authtest.Engine, *auth.Session, *auth.PAT) {
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		return e, s, createPAT(t, e, e.Principal(t, s), life)
	}
	t.Run("a refresh token, or the other way about", func(t *testing.T) {
		t.Parallel()
		e, s, made := fresh(t, time.Hour)
		if _, err := refresh(t, e, made.Token); !errors.Is(err, auth.ErrInvalidRefreshToken) {
			t.Error(err)
		}
		if _, err := signInPAT(t, e, s.RefreshToken); !errors.Is(err, auth.ErrInvalidPAT) {
			t.Error(err)
		}
		if err := e.SignOut(ctx, nil, auth.SignOutParams{RefreshToken: made.Token}); err != nil {
			t.Error(err)
		}
		if _, err := signInPAT(t, e, made.Token); err != nil {
			t.Errorf("after a sign-out with it: %v", err)
		}
		for _, bad := range []string{"", strings.ToUpper(made.Token), made.Token + " ", "{" + made.Token + "}", uuid.NewString(), made.ID.String(), strings.Repeat("x", 1<<16)} {
			if _, err := signInPAT(t, e, bad); !errors.Is(err, auth.ErrInvalidPAT) {
				t.Errorf("%.40q: %v", bad, err)
			}
		}
	})
	t.Run("longer than it lives", func(t *testing.T) {
		t.Parallel()
		e, _, made := fresh(t, time.Hour)
		s, err := signInPAT(t, e, made.Token)
		if err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(59 * time.Minute)
		s = mustRefresh(t, e, s.RefreshToken)
		if p := e.Principal(t, s); s.AccessTokenExpiresIn != 60 || !p.Expires.Equal(e.Clock.Now().Add(time.Minute).Truncate(time.Second)) {
			t.Errorf("an access token expires in %d s, at %v", s.AccessTokenExpiresIn, p.Expires)
		}
		late, err := signInPAT(t, e, made.Token)
		if err != nil || late.AccessTokenExpiresIn != 60 {
			t.Errorf("a later one: %+v, %v", late, err)
		}
		e.Clock.Advance(time.Minute - time.Microsecond)
		s = mustRefresh(t, e, s.RefreshToken)
		if _, err := signInPAT(t, e, made.Token); err != nil {
			t.Error(err)
		}
		e.Clock.Advance(time.Microsecond)
		if _, err := refresh(t, e, s.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
			t.Errorf("its session: %v", err)
		}
		if _, err := refresh(t, e, late.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
			t.Errorf("one that was never refreshed: %v", err)
		}
		if _, err := e.Authenticate(ctx, late.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("an access token of its session: %v", err)
		}
		if _, err := signInPAT(t, e, made.Token); !errors.Is(err, auth.ErrInvalidPAT) {
			t.Errorf("itself: %v", err)
		}
	})
	t.Run("good for an account that has changed", func(t *testing.T) {
		t.Parallel()
		yes := true
		for name, c := range map[string]struct {
			change  func(e *authtest.Engine, s *auth.Session) error
			token   error
			session error
		}{
			"disabled": {func(e *authtest.Engine, s *auth.Session) error {
				_, err := e.UpdateUser(ctx, s.User.ID, auth.UserUpdate{Disabled: &yes})
				return err
			}, auth.ErrDisabledUser, auth.ErrDisabledUser},
			"deleted": {func(e *authtest.Engine, s *auth.Session) error { return e.DeleteUser(ctx, s.User.ID) }, auth.ErrInvalidPAT, auth.ErrInvalidRefreshToken},
			"with a new password": {func(e *authtest.Engine, s *auth.Session) error {
				return e.ChangePassword(ctx, e.Principal(t, s), auth.ChangePasswordParams{NewPassword: newPassword, CurrentPassword: authtest.Password})
			}, auth.ErrInvalidPAT, auth.ErrInvalidRefreshToken},
			"signed out everywhere": {func(e *authtest.Engine, s *auth.Session) error { // PA-03: the token stays …
				return e.SignOut(ctx, e.Principal(t, s), auth.SignOutParams{All: true})
			}, nil, auth.ErrInvalidRefreshToken},
			"signed out with its tokens": {func(e *authtest.Engine, s *auth.Session) error { // … unless they go as well
				return e.SignOut(ctx, e.Principal(t, s), auth.SignOutParams{All: true, PATs: true})
			}, auth.ErrInvalidPAT, auth.ErrInvalidRefreshToken},
		} {
			e, s, made := fresh(t, time.Hour)
			in, err := signInPAT(t, e, made.Token)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.change(e, s); err != nil {
				t.Fatal(err)
			}
			if _, err := refresh(t, e, in.RefreshToken); !errors.Is(err, c.session) {
				t.Errorf("%s: the session: %v", name, err)
			}
			if _, err := signInPAT(t, e, made.Token); !errors.Is(err, c.token) || c.token == nil && err != nil {
				t.Errorf("%s: the token: %v", name, err)
			}
		}
	})
}

// PA-02: what has not the form of a token is not looked for.
func TestWhatIsNoTokenCostsNoLook(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter)
	token := uuid.NewString()
	for _, bad := range []string{"", "x", token[:35], token + "0", "{" + token + "}", "urn:uuid:" + token, strings.ReplaceAll(token, "-", ""), token[:35] + "x"} {
		if _, err := signInPAT(t, e, bad); !errors.Is(err, auth.ErrInvalidPAT) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n := counter.Trips(); n != 0 {
		t.Errorf("%v", counter.Calls())
	}
	if _, err := signInPAT(t, e, token); !errors.Is(err, auth.ErrInvalidPAT) || counter.Trips() != 1 {
		t.Errorf("%v, %v", err, counter.Calls())
	}
}

// The round trips of a new token, beside the two for the letter: one where it is known that both factors were shown, and that there
// was a step-up if one may be demanded.
func TestRoundTripsOfANewToken(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for _, factors := range []int{1, 2} {
			for _, stepUp := range []bool{false, true} {
				counter := storetest.Count(memstore.New())
				e := authtest.NewWithStore(t, counter, func(c *auth.Config) {
					c.Elevation.Mode = mode
					c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByTOTP, auth.ElevateByPassword}
				})
				s := e.SignUp(t, "ada@example.com")
				up := auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password}
				if factors == 2 {
					secret := e.EnrolTOTP(t, s)
					in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: askedAgain(t, e, "ada@example.com"), OTP: nextCode(t, e, secret)})
					if err != nil {
						t.Fatal(err)
					}
					s, up = in.Session, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)}
				}
				if stepUp {
					var err error
					if s, err = e.VerifyElevation(t.Context(), e.Principal(t, s), up); err != nil {
						t.Fatal(err)
					}
				}
				p := e.Principal(t, s)
				counter.Reset()
				_, err := e.CreatePAT(t.Context(), p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
				want := 2
				switch {
				case mode == auth.ElevationRequired && !stepUp:
					if !errors.Is(err, auth.ErrElevationRequired) || counter.Trips() != 0 {
						t.Errorf("%s, %d factors: %v, %v", mode, factors, err, counter.Calls())
					}
					continue
				case factors == 2 && (mode == auth.ElevationDisabled || stepUp):
					want = 1
				}
				if n := counter.Trips() - 2; err != nil || n != want {
					t.Errorf("%s, %d factors, step-up %t: %d trips, not %d: %v, %v", mode, factors, stepUp, n, want, counter.Calls(), err)
				}
			}
		}
	}
}

// PA-08: a token of a user of whom something is revoked again and again meanwhile is asked for once more.
func TestTokensAreRevokedTwiceDuringASignIn(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	made, first, second := createPAT(t, e.Engine, p, time.Hour), createPAT(t, e.Engine, p, time.Hour), createPAT(t, e.Engine, p, time.Hour)
	revoke := func(id uuid.UUID) {
		if err := e.RevokePAT(background, p, id); err != nil {
			t.Error(err)
		}
	}
	e.arm(func() {
		revoke(first.ID)
		e.arm(func() { revoke(second.ID) })
	})
	if _, err := signInPAT(t, e.Engine, made.Token); !errors.Is(err, auth.ErrInvalidPAT) {
		t.Errorf("%v", err)
	}
	if _, err := signInPAT(t, e.Engine, made.Token); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// PA-06, RT-27: what a session of a token may do, of all that a principal can: see who its user is, in every mode.
func TestWhatASessionOfATokenMayDo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			s := withKey(t, e, "ada@example.com", &authtest.Authenticator{})
			owner := e.Principal(t, s)
			made, other := createPAT(t, e, owner, 24*time.Hour), createPAT(t, e, owner, 24*time.Hour)
			key := addKey(t, e, owner, &authtest.Authenticator{})
			change := textings()[1]
			code := change.code(t, e, owner, adaPhone)
			adding, err := e.AddSecurityKey(ctx, owner)
			if err != nil {
				t.Fatal(err)
			}
			strict := replica(t, e, withSomewhere(&somewhere{}, &somewhere{}), func(c *auth.Config) { c.Elevation.Mode = mode })
			in, err := signInPAT(t, strict, made.Token)
			if err != nil {
				t.Fatal(err)
			}
			p := strict.Principal(t, in)
			may := map[string]func() error{
				"CheckRole": func() error { return strict.CheckRole(ctx, p, "me") },
				"User":      func() error { _, err := strict.User(ctx, p); return err },
			}
			mayNot := map[string]func() error{
				"AddSecurityKey": func() error { _, err := strict.AddSecurityKey(ctx, p); return err },
				"ChangeEmail":    func() error { return strict.ChangeEmail(ctx, p, auth.ChangeEmailParams{NewEmail: "m@example.com"}) },
				"ChangePassword": func() error {
					return strict.ChangePassword(ctx, p, auth.ChangePasswordParams{NewPassword: newPassword, CurrentPassword: authtest.Password})
				},
				"ChangePhone":    func() error { return strict.ChangePhone(ctx, p, auth.ChangePhoneParams{NewPhoneNumber: bobPhone}) },
				"CheckElevation": func() error { return strict.CheckElevation(ctx, p, 0) },
				"CreatePAT": func() error {
					_, err := strict.CreatePAT(ctx, p, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(time.Hour)})
					return err
				},
				"DeleteAccount":    func() error { return strict.DeleteAccount(ctx, p) },
				"Elevate":          func() error { _, err := strict.Elevate(ctx, p, auth.ElevateParams{}); return err },
				"ElevationMethods": func() error { _, err := strict.ElevationMethods(ctx, p); return err },
				"ExportAccount":    func() error { _, err := strict.ExportAccount(ctx, p); return err },
				"GenerateRecoveryCodes": func() error {
					_, err := strict.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{})
					return err
				},
				"GenerateTOTP": func() error { _, err := strict.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{}); return err },
				"LinkIDToken": func() error {
					return strict.LinkIDToken(ctx, p, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "", false))})
				},
				"LinkProvider": func() error {
					_, err := strict.LinkProvider(ctx, p, auth.LinkProviderParams{Provider: "here"})
					return err
				},
				"ListActivity":     func() error { _, err := strict.ListActivity(ctx, p, auth.ActivityQuery{}); return err },
				"ListIdentities":   func() error { _, err := strict.ListIdentities(ctx, p); return err },
				"ListPATs":         func() error { _, err := strict.ListPATs(ctx, p); return err },
				"ListSecurityKeys": func() error { _, err := strict.ListSecurityKeys(ctx, p); return err },
				"ListSessions":     func() error { _, err := strict.ListSessions(ctx, p); return err },
				"MFA":              func() error { _, err := strict.MFA(ctx, p); return err },
				"ProviderTokens":   func() error { _, err := strict.ProviderTokens(ctx, p, "here"); return err },
				"RefreshProviderTokens": func() error {
					_, err := strict.RefreshProviderTokens(ctx, p, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "x"})
					return err
				},
				"RemoveSecurityKey": func() error {
					_, err := strict.RemoveSecurityKey(ctx, p, auth.RemoveSecurityKeyParams{ID: key.ID})
					return err
				},
				"RenameSecurityKey": func() error {
					_, err := strict.RenameSecurityKey(ctx, p, auth.RenameSecurityKeyParams{ID: key.ID, Nickname: "m"})
					return err
				},
				"RevokePAT":     func() error { return strict.RevokePAT(ctx, p, other.ID) },
				"RevokeSession": func() error { return strict.RevokeSession(ctx, p, s.RefreshTokenID) },
				"SetMFA":        func() error { return strict.SetMFA(ctx, p, auth.SetMFAParams{Code: "123456"}) },
				"Unlink":        func() error { return strict.Unlink(ctx, p, auth.UnlinkParams{Provider: "here", Subject: "1"}) },
				"SignOut":       func() error { return strict.SignOut(ctx, p, auth.SignOutParams{All: true, PATs: true}) },
				"VerifyAddSecurityKey": func() error {
					_, err := strict.VerifyAddSecurityKey(ctx, p, auth.VerifyAddSecurityKeyParams{Credential: (&authtest.Authenticator{Unchecked: true}).Create(t, adding)})
					return err
				},
				"VerifyChangePhone": func() error { return change.redeem(strict, p, adaPhone, code) },
				"VerifyElevation": func() error {
					_, err := strict.VerifyElevation(ctx, p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: "123456"})
					return err
				},
			}
			guests := map[string]bool{"Deanonymize": true, "VerifyDeanonymize": true}
			engine, principal := reflect.TypeFor[*auth.Engine](), reflect.TypeFor[*auth.Principal]()
			for m := range engine.Methods() {
				takes := false
				for in := range m.Type.Ins() {
					takes = takes || in == principal
				}
				if takes && may[m.Name] == nil && mayNot[m.Name] == nil && !guests[m.Name] {
					t.Errorf("nothing is said of %s", m.Name)
				}
			}
			for name, try := range mayNot {
				err := try()
				said := name == "CheckElevation" || strings.Contains(fmt.Sprint(err), "personal access token")
				if !errors.Is(err, auth.ErrElevationRequired) || !said {
					t.Errorf("%s: %v", name, err)
				}
			}
			for name, try := range may {
				if err := try(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			// Nothing has come of it.
			mustRefresh(t, e, s.RefreshToken)
			if _, err := signInPAT(t, e, other.Token); err != nil {
				t.Errorf("the other token: %v", err)
			}
			if u, err := e.FindUser(ctx, auth.UserBy{ID: owner.UserID}); err != nil || u.PhoneNumber != "" || u.Email != "ada@example.com" {
				t.Errorf("%s, %v", asJSON(u), err)
			}
			if list, err := e.ListSecurityKeys(ctx, owner); err != nil || len(list.Keys) != 2 || list.Keys[0].Nickname+list.Keys[1].Nickname != "" {
				t.Errorf("%s, %v", asJSON(list), err)
			}
			if err := change.redeem(e, owner, adaPhone, code); err != nil {
				t.Errorf("the owner's code: %v", err)
			}
			if err := strict.SignOut(ctx, nil, auth.SignOutParams{RefreshToken: in.RefreshToken}); err != nil {
				t.Errorf("to sign out: %v", err)
			}
			if _, err := strict.User(ctx, p); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// PA-08: of two tokens, the one that is not revoked at this very moment signs in.
func TestAnotherTokenIsRevokedDuringASignIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		itself bool
		want   error
	}{"another": {false, nil}, "this": {true, auth.ErrInvalidPAT}} {
		e := interruptible(t)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		made, revoked := createPAT(t, e.Engine, p, time.Hour), createPAT(t, e.Engine, p, time.Hour)
		if c.itself {
			revoked = made
		}
		e.arm(func() {
			if err := e.RevokePAT(background, p, revoked.ID); err != nil {
				t.Error(err)
			}
		})
		if _, err := signInPAT(t, e.Engine, made.Token); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// EL-06: a session that has ended in the meantime revokes nothing.
func TestASessionEndsBeforeItRevokesAToken(t *testing.T) {
	t.Parallel()
	e := interruptible(t)
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	made := createPAT(t, e.Engine, p, time.Hour)
	e.arm(func() {
		if err := e.SignOut(background, nil, auth.SignOutParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Error(err)
		}
	})
	if err := e.RevokePAT(t.Context(), p, made.ID); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
	if _, err := signInPAT(t, e.Engine, made.Token); err != nil {
		t.Errorf("the token: %v", err)
	}
}

// A program that signs in again and again signs out itself, and nobody else.
func TestATokenCrowdsNobodyOut(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Sessions.MaxPerUser = 2 })
	own := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, own)
	var tokens [2]*auth.PAT
	for i := range tokens {
		tokens[i] = createPAT(t, e, p, time.Hour)
	}
	open := func(token *auth.PAT) *auth.Session {
		t.Helper()
		e.Clock.Advance(time.Second)
		s, err := signInPAT(t, e, token.Token)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	other, first, second, third := open(tokens[1]), open(tokens[0]), open(tokens[0]), open(tokens[0])
	e.Clock.Advance(time.Second)
	again := e.SignIn(t, "ada@example.com")
	if _, err := refresh(t, e, first.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("the oldest of a token: %v", err)
	}
	for _, s := range []*auth.Session{own, other, second, third, again} {
		mustRefresh(t, e, s.RefreshToken)
	}
}

// Stepping up by what the user has.
func TestStepUpByOtherMeans(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	all := func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByPassword}
	}
	e := authtest.New(t, all)
	methods := func(p *auth.Principal) string {
		t.Helper()
		got, err := e.ElevationMethods(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got)
	}
	up := func(p *auth.Principal, params auth.VerifyElevationParams) (*auth.Principal, error) {
		s, err := e.VerifyElevation(ctx, p, params)
		if err != nil {
			return nil, err
		}
		mustRefresh(t, e, s.RefreshToken)
		return e.Principal(t, s), nil
	}
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	password := auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password}
	if got := methods(p); got != "[password]" {
		t.Errorf("with nothing: %s", got)
	}
	if elevation, err := e.Elevate(ctx, p, auth.ElevateParams{Method: auth.ElevateByPassword}); err != nil || elevation.WebAuthn != nil {
		t.Errorf("%+v, %v", elevation, err)
	}
	if _, err := up(p, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: "wrong password"}); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	e.Clock.Advance(time.Hour)
	p = e.Principal(t, mustRefresh(t, e, s.RefreshToken))
	got, err := up(p, password)
	if err != nil || !got.Elevated || got.ElevatedBy != uuid.Nil || got.SessionID != p.SessionID || !got.AuthTime.Equal(e.Clock.Now().Truncate(time.Second)) {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := e.CheckElevation(ctx, got, time.Minute); err != nil {
		t.Error(err)
	}
	if err := e.CheckElevation(ctx, p, 0); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("the token from before: %v", err)
	}
	checked := replica(t, e, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
	if err := checked.CheckElevation(ctx, got, time.Minute); err != nil {
		t.Errorf("with a look at the account: %v", err)
	}

	// Who has something stronger cannot use a password.
	secret := e.EnrolTOTP(t, e.SignIn(t, "ada@example.com"))
	if got := methods(p); got != "[totp]" {
		t.Errorf("with a second factor: %s", got)
	}
	for _, params := range []auth.VerifyElevationParams{password, {Method: "pigeon"}} {
		if _, err := up(p, params); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", params.Method, err)
		}
		if _, err := e.Elevate(ctx, p, auth.ElevateParams{Method: params.Method}); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", params.Method, err)
		}
	}
	code := nextCode(t, e, secret)
	if _, err := up(p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: otherCode(code)}); !errors.Is(err, auth.ErrInvalidTOTP) {
		t.Errorf("a wrong code: %v", err)
	}
	got, err = up(p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: code})
	if err != nil || !got.Elevated || !cmp.Equal(got.AMR[len(got.AMR)-2:], []string{"otp", "mfa"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := up(p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: code}); !errors.Is(err, auth.ErrInvalidTOTP) { // MF-12
		t.Errorf("the code again: %v", err)
	}
	if n := len(e.Events.Of(auth.EventElevated)); n != 2 {
		t.Errorf("%d events", n)
	}
	if n := len(e.Events.Of(auth.EventElevationFailed)); n != 3 {
		t.Errorf("%d failures", n)
	}

	// A method that is off is off, and a session that has ended steps up no more.
	byKey := replica(t, e, func(c *auth.Config) { c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn} })
	if _, err := byKey.VerifyElevation(ctx, p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("%v", err)
	}
	if err := e.SignOut(ctx, p, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := up(p, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("after sign-out: %v", err)
	}
	if _, err := e.ElevationMethods(ctx, e.Principal(t, guest(t, e))); !errors.Is(err, auth.ErrForbiddenAnonymous) {
		t.Errorf("a guest: %v", err)
	}
	c := validConfig()
	c.Elevation.Methods = []auth.ElevationMethod{"pigeon"}
	if _, err := auth.New(nil, c); err == nil || !strings.Contains(err.Error(), "Elevation.Methods[0]") {
		t.Errorf("%v", err)
	}
}

// EL-12: who has a key steps up by nothing weaker, also if the key will not do.
func TestAKeyThatWillNotDoLeavesNothingWeaker(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.WebAuthn.UserVerification = auth.UserVerificationDiscouraged
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByPassword}
	})
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	addKey(t, e, p, &authtest.Authenticator{NoUserVerification: true})
	if got, err := e.ElevationMethods(t.Context(), p); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	_, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password})
	if !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("by password: %v", err)
	}
}

// Codes that are sent: for who has nothing stronger, each for its own session, and for nothing else.
func TestStepUpByACodeThatIsSent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := authtest.New(t, letters, func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByEmailOTP, auth.ElevateBySMSOTP}
	})
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	change := textings()[1]
	if err := change.redeem(e, p, adaPhone, change.code(t, e, p, adaPhone)); err != nil {
		t.Fatal(err)
	}
	if got, err := e.ElevationMethods(ctx, p); err != nil || fmt.Sprint(got) != "[otp-email otp-sms]" {
		t.Errorf("%v, %v", got, err)
	}
	p = e.Principal(t, e.SignIn(t, "ada@example.com"))
	other := e.Principal(t, e.SignIn(t, "ada@example.com"))
	for method, code := range map[auth.ElevationMethod]func() string{
		auth.ElevateByEmailOTP: func() string {
			l := e.Mailbox.Last(t, "ada@example.com")
			if l.Template != "elevate-otp" {
				t.Errorf("letter %s", l.Template)
			}
			return l.Ticket()
		},
		auth.ElevateBySMSOTP: func() string { return e.Phone.Last(t, adaPhone).Code },
	} {
		begin := func() string {
			t.Helper()
			if _, err := e.Elevate(ctx, p, auth.ElevateParams{Method: method}); err != nil {
				t.Fatal(err)
			}
			return code()
		}
		end := func(p *auth.Principal, code string) (*auth.Session, error) {
			return e.VerifyElevation(ctx, p, auth.VerifyElevationParams{Method: method, OTP: code})
		}
		if _, err := end(p, "123456"); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: nothing was sent: %v", method, err)
		}
		right := begin()
		for name, try := range map[string]func() error{
			"another session": func() error { _, err := end(other, right); return err },
			"a wrong code":    func() error { _, err := end(p, otherCode(right)); return err },
			"another form":    func() error { _, err := end(p, right+" "); return err },
			"a sign-in by letter": func() error {
				_, err := e.VerifyEmailOTP(ctx, auth.VerifyEmailOTPParams{Email: "ada@example.com", OTP: right})
				if errors.Is(err, auth.ErrInvalidTicket) {
					return auth.ErrInvalidRequest
				}
				return err
			},
			"a sign-in by text message": func() error {
				_, err := e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: adaPhone, OTP: right})
				return err
			},
		} {
			if err := try(); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%s: %s: %v", method, name, err)
			}
		}
		up, err := end(p, right)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		amr := map[auth.ElevationMethod]string{auth.ElevateByEmailOTP: "email", auth.ElevateBySMSOTP: "sms"}[method]
		if who := e.Principal(t, up); !who.Elevated || who.SessionID != p.SessionID || !cmp.Equal(who.AMR, []string{"pwd", amr}) {
			t.Errorf("%s: %+v", method, who)
		}
		if _, err := end(p, right); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: again: %v", method, err)
		}
		late := begin()
		e.Clock.Advance(10 * time.Minute)
		if _, err := end(p, late); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: late: %v", method, err)
		}
		// It tells of a session that it was asked for in, and dies with that.
		p = e.Principal(t, e.SignIn(t, "ada@example.com"))
	}
	gone := e.Principal(t, e.SignIn(t, "ada@example.com"))
	if _, err := e.Elevate(ctx, gone, auth.ElevateParams{Method: auth.ElevateByEmailOTP}); err != nil {
		t.Fatal(err)
	}
	if err := e.SignOut(ctx, gone, auth.SignOutParams{All: true}); err != nil {
		t.Fatal(err)
	}
	_, err := e.VerifyElevation(ctx, gone, auth.VerifyElevationParams{Method: auth.ElevateByEmailOTP, OTP: e.Mailbox.Last(t, "ada@example.com").Ticket()})
	if !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("after sign-out: %v", err)
	}
	// A gateway that fails voids the code, as everywhere.
	p = e.Principal(t, e.SignIn(t, "ada@example.com"))
	e.Phone.Refuse(errors.New("down"))
	if _, err := e.Elevate(ctx, p, auth.ElevateParams{Method: auth.ElevateBySMSOTP}); !errors.Is(err, auth.ErrCannotSendSMS) {
		t.Errorf("%v", err)
	}
	// Who has something stronger is not sent a code.
	e.EnrolTOTP(t, e.SignIn(t, "ada@example.com"))
	for _, m := range []auth.ElevationMethod{auth.ElevateByEmailOTP, auth.ElevateBySMSOTP} {
		if _, err := e.Elevate(ctx, p, auth.ElevateParams{Method: m}); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// dumping keeps everything that is written, as bytes.
type dumping struct {
	store.Store
	dump *bytes.Buffer
}

func (d dumping) keep(v any) {
	if err := gob.NewEncoder(d.dump).Encode(v); err != nil {
		panic(err)
	}
}

func (d dumping) CreateUser(ctx context.Context, n store.NewUser) (store.User, error) {
	d.keep(n)
	return d.Store.CreateUser(ctx, n)
}

func (d dumping) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	d.keep(c)
	return d.Store.ChangeUser(ctx, c)
}

func (d dumping) PutTicket(ctx context.Context, t store.Ticket) error {
	d.keep(t)
	return d.Store.PutTicket(ctx, t)
}

// PA-10, MF-23, TK-07, W31: what lies in the store shows no secret.
func TestTheStoreShowsNoSecret(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var dump bytes.Buffer
	e := authtest.NewWithStore(t, dumping{authtest.New(t).Store, &dump}, letters)
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	secrets := map[string]string{"password": authtest.Password, "refresh token": s.RefreshToken}
	made := createPAT(t, e, p, time.Hour)
	secrets["personal access token"] = made.Token
	enrolment, err := e.GenerateTOTP(ctx, p, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	code := authtest.TOTPCode(t, enrolment.Secret, e.Clock.Now())
	if err := e.SetMFA(ctx, p, auth.SetMFAParams{Type: "totp", Code: code}); err != nil {
		t.Fatal(err)
	}
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(enrolment.Secret)
	if err != nil {
		t.Fatal(err)
	}
	secrets["seed"], secrets["bytes of the seed"] = enrolment.Secret, string(raw)
	secrets["seed in hex"], secrets["seed in base64"] = hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw)
	recovery, err := e.GenerateRecoveryCodes(ctx, p, auth.GenerateRecoveryCodesParams{Code: nextCode(t, e, enrolment.Secret)})
	if err != nil {
		t.Fatal(err)
	}
	secrets["recovery code"], secrets["recovery code without hyphens"] = recovery[0], strings.ReplaceAll(recovery[0], "-", "")
	secrets["ticket"] = askedAgain(t, e, "ada@example.com")
	for _, m := range mailings[:3] {
		if err := m.send(e, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		secrets["secret of "+m.name] = e.Mailbox.Last(t, "ada@example.com").Ticket()
	}
	_, uuidOf, _ := strings.Cut(secrets["ticket"], ":")
	secrets["bare ticket"] = uuidOf
	for name, secret := range secrets {
		if bytes.Contains(dump.Bytes(), []byte(secret)) {
			t.Errorf("the store has the %s in clear", name)
		}
		if id, err := uuid.Parse(secret); err == nil && bytes.Contains(dump.Bytes(), id[:]) {
			t.Errorf("the store has the bytes of the %s", name)
		}
	}
	if log := e.Logs.String(); strings.Contains(log, enrolment.Secret) || strings.Contains(log, made.Token) {
		t.Error("a secret was logged")
	}
}
