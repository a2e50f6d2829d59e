package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

func guest(t *testing.T, e *authtest.Engine) *auth.Session {
	t.Helper()
	in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{Metadata: json.RawMessage(`{"cart":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session
}

// adasPicture is what Gravatar has of ada@example.com.
const adasPicture = "https://www.gravatar.com/avatar/3e3417d7ef77d5932a6734b916515ed5?d=blank&r=g"

func TestDeanonymize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amend  []func(*auth.Config)
		params auth.DeanonymizeParams
		letter string // its template, if there is one
	}{
		"with a password": {nil, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Password: authtest.Password}, "email-verify"},
		"with a password, unverified": {
			[]func(*auth.Config){unverified}, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Password: authtest.Password}, "",
		},
		"without a password": {[]func(*auth.Config){letters}, auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless}, "signin-passwordless"},
		"without a password, unverified": {
			[]func(*auth.Config){letters, unverified}, auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless}, "signin-passwordless",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, append(c.amend, func(c *auth.Config) {
				c.Roles.Allowed, c.Locales.Allowed, c.Gravatar = []string{"me", "editor"}, []string{"fr"}, &auth.GravatarConfig{}
			})...)
			s := guest(t, e)
			c.params.Email, c.params.Options = "Ada@Example.com", auth.SignUpOptions{DisplayName: "Ada", AllowedRoles: []string{"user", "editor"}, Locale: "fr"}
			if err := e.Deanonymize(t.Context(), e.Principal(t, s), c.params); err != nil {
				t.Fatal(err)
			}
			_, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken})
			if c.letter != "" {
				if !errors.Is(err, auth.ErrInvalidRefreshToken) { // AN-09
					t.Errorf("the old session: %v", err)
				}
				if c.params.Password != "" {
					if _, err := signIn(t, e, "ada@example.com", authtest.Password); !errors.Is(err, auth.ErrUnverifiedUser) { // AN-10
						t.Errorf("before the proof: %v", err)
					}
				}
				l := e.Mailbox.Last(t, "ada@example.com")
				if l.Template != c.letter {
					t.Errorf("letter %s", l.Template)
				}
				m := mailings[slices.IndexFunc(mailings, func(m mailing) bool { return m.template == c.letter })]
				if err := m.send(e, "ada@example.com", ""); err != nil {
					t.Fatal(err)
				}
				if _, err := m.redeemSecret(e, "ada@example.com", l.Ticket()); !errors.Is(err, auth.ErrInvalidTicket) {
					t.Errorf("a link after which another was asked for: %v", err)
				}
				if s, err = m.redeem(t, e, "ada@example.com"); err != nil {
					t.Fatal(err)
				}
			} else if err != nil {
				t.Errorf("the session: %v", err)
			}
			got, err := e.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			want := &auth.User{
				ID: s.User.ID, CreatedAt: e.Clock.Now(), Email: "Ada@Example.com", EmailVerified: c.letter != "", DisplayName: "Ada", Locale: "fr",
				DefaultRole: "user", Roles: []string{"user", "editor"}, Metadata: json.RawMessage(`{"cart":1}`),
				AvatarURL: adasPicture,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			_, err = signIn(t, e, "ada@example.com", authtest.Password)
			if c.params.Password == "" != errors.Is(err, auth.ErrInvalidEmailPassword) || c.params.Password != "" && err != nil {
				t.Errorf("the password: %v", err)
			}
			for _, none := range []string{"", "null", "undefined"} { // SI-05
				if _, err := signIn(t, e, "ada@example.com", none); !errors.Is(err, auth.ErrInvalidEmailPassword) {
					t.Errorf("password %q: %v", none, err)
				}
			}
		})
	}
}

// AN-04..AN-06, AN-11..AN-14, W25.
func TestDeanonymizeRefuses(t *testing.T) {
	t.Parallel()
	yes := true
	e := authtest.New(t, letters, func(c *auth.Config) { c.Email.BlockedDomains = []string{"blocked.test"} })
	e.SignUp(t, "ada@example.com")
	pendingUser(t, e, "pending@example.com")
	good := auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: "new@example.com", Password: authtest.Password}
	with := func(f func(*auth.DeanonymizeParams)) auth.DeanonymizeParams { p := good; f(&p); return p }
	for name, c := range map[string]struct {
		params auth.DeanonymizeParams
		want   error
	}{
		"no method":             {with(func(p *auth.DeanonymizeParams) { p.Method = "" }), auth.ErrInvalidRequest},
		"an unknown method":     {with(func(p *auth.DeanonymizeParams) { p.Method = "x" }), auth.ErrInvalidRequest},
		"no password":           {with(func(p *auth.DeanonymizeParams) { p.Password = "" }), auth.ErrPasswordTooShort},
		"a weak password":       {with(func(p *auth.DeanonymizeParams) { p.Password = "password123" }), auth.ErrPasswordBreached},
		"the address as one":    {with(func(p *auth.DeanonymizeParams) { p.Password = "new@example.com" }), auth.ErrPasswordBreached},
		"a role that is not":    {with(func(p *auth.DeanonymizeParams) { p.Options.AllowedRoles = []string{"admin"} }), auth.ErrRoleNotAllowed},
		"a redirect elsewhere":  {with(func(p *auth.DeanonymizeParams) { p.Options.RedirectTo = "https://evil.test" }), auth.ErrRedirectNotAllowed},
		"a taken address":       {with(func(p *auth.DeanonymizeParams) { p.Email = "ADA@example.com" }), auth.ErrEmailAlreadyInUse},
		"a pending address":     {with(func(p *auth.DeanonymizeParams) { p.Email = "pending@example.com" }), auth.ErrEmailAlreadyInUse},
		"a blocked address":     {with(func(p *auth.DeanonymizeParams) { p.Email = "a@blocked.test" }), auth.ErrInvalidEmailPassword},
		"no address":            {with(func(p *auth.DeanonymizeParams) { p.Email = "ada" }), auth.ErrInvalidRequest},
		"metadata of no object": {with(func(p *auth.DeanonymizeParams) { p.Options.Metadata = json.RawMessage("[]") }), auth.ErrInvalidRequest},
	} {
		s := guest(t, e)
		if err := e.Deanonymize(t.Context(), e.Principal(t, s), c.params); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
		r, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken})
		if err != nil || !r.User.IsAnonymous || r.User.Email != "" {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
	for _, p := range []auth.DeanonymizeParams{good, {}} {
		if err := e.Deanonymize(t.Context(), nil, p); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("nobody: %v", err)
		}
	}
	if err := e.Deanonymize(t.Context(), e.Principal(t, e.SignIn(t, "ada@example.com")), good); !errors.Is(err, auth.ErrUserNotAnonymous) {
		t.Errorf("a regular user: %v", err)
	}
	closed := replica(t, e, func(c *auth.Config) { c.SignUp.Disabled = true })
	if err := closed.Deanonymize(t.Context(), e.Principal(t, guest(t, e)), good); !errors.Is(err, auth.ErrSignUpDisabled) {
		t.Errorf("sign-ups off: %v", err)
	}
	s := guest(t, e)
	if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := e.Deanonymize(t.Context(), e.Principal(t, s), good); !errors.Is(err, auth.ErrDisabledUser) {
		t.Errorf("a disabled guest: %v", err)
	}

	// The same token again, for another address.
	open := authtest.New(t, unverified)
	p := open.Principal(t, guest(t, open))
	if err := open.Deanonymize(t.Context(), p, good); err != nil {
		t.Fatal(err)
	}
	if err := open.Deanonymize(t.Context(), p, with(func(p *auth.DeanonymizeParams) { p.Email = "victim@example.com" })); !errors.Is(err, auth.ErrUserNotAnonymous) {
		t.Errorf("again: %v", err)
	}
}

// deanonymizeMethods are all, each with what turns it off.
var deanonymizeMethods = map[auth.DeanonymizeMethod]func(*auth.Config){
	auth.DeanonymizeByPassword:     func(c *auth.Config) { c.Password = nil },
	auth.DeanonymizeByPasswordless: func(c *auth.Config) { c.MagicLink = nil },
	auth.DeanonymizeBySMS:          func(c *auth.Config) { c.SMS = nil },
}

// A guest becomes a user by what is on, whatever else is off.
func TestDeanonymizeNeedsItsOwnMethod(t *testing.T) {
	t.Parallel()
	for off, amend := range deanonymizeMethods {
		e := authtest.New(t, letters, amend)
		for method := range deanonymizeMethods {
			err := e.Deanonymize(t.Context(), e.Principal(t, guest(t, e)), auth.DeanonymizeParams{
				Method: method, Email: string(method) + "@example.com", Password: authtest.Password, PhoneNumber: adaPhone,
			})
			if off != method && err != nil || off == method && !errors.Is(err, auth.ErrDisabledEndpoint) {
				t.Errorf("%s where %s is off: %v", method, off, err)
			}
		}
	}
}

// ST-24: the hook of sign-ups sees who a guest is to be, may refuse that, and amend it.
func TestAHookDecidesOnConversions(t *testing.T) {
	t.Parallel()
	for method := range deanonymizeMethods {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			var seen auth.SignUp
			refuse := true
			e := authtest.New(t, letters, func(c *auth.Config) {
				c.Locales.Allowed, c.Gravatar = []string{"cs", "fr"}, &auth.GravatarConfig{}
				c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
					if s.Anonymous {
						return nil
					}
					if seen = *s; refuse {
						return errForbidden
					}
					s.DisplayName, s.AvatarURL, s.Locale = "Amended", "https://example.com/ada.png", "cs"
					s.DefaultRole, s.Roles, s.Metadata = "me", []string{"me"}, []byte(`{"by":"hook"}`)
					return nil
				}
			})
			s := guest(t, e)
			p := e.Principal(t, s)
			params := auth.DeanonymizeParams{
				Method: method, Options: auth.SignUpOptions{DisplayName: "Ada", Locale: "fr", Metadata: json.RawMessage(`{"a":1}`)},
			}
			want := auth.SignUp{
				Method: "anonymous", DisplayName: "Ada", Locale: "fr", DefaultRole: "user", Roles: []string{"me", "user"}, Metadata: []byte(`{"a":1}`),
			}
			if method == auth.DeanonymizeBySMS {
				params.PhoneNumber, want.Phone = adaPhone, adaPhone
			} else {
				params.Email, params.Password, want.Email, want.AvatarURL = "ada@example.com", authtest.Password, "ada@example.com", adasPicture
			}
			wantErr(t, e.Deanonymize(t.Context(), p, params), errForbidden)
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Error(diff)
			}
			u, err := e.User(t.Context(), p)
			if err != nil || !u.IsAnonymous || len(e.Mailbox.All())+len(e.Phone.All()) != 0 {
				t.Errorf("after the refusal: %s, %v, %d letters", asJSON(u), err, len(e.Mailbox.All()))
			}

			refuse = false
			if err := e.Deanonymize(t.Context(), p, params); err != nil {
				t.Fatal(err)
			}
			if method == auth.DeanonymizeBySMS {
				if err := textings()[2].redeem(e, p, adaPhone, e.Phone.Last(t, adaPhone).Code); err != nil {
					t.Fatal(err)
				}
			}
			got, err := e.FindUser(t.Context(), auth.UserBy{ID: s.User.ID})
			if err != nil {
				t.Fatal(err)
			}
			amended := &auth.User{
				ID: s.User.ID, CreatedAt: s.User.CreatedAt, Email: want.Email, PhoneNumber: want.Phone, PhoneNumberVerified: want.Phone != "",
				DisplayName: "Amended", AvatarURL: "https://example.com/ada.png", Locale: "cs", DefaultRole: "me", Roles: []string{"me"},
				Metadata: json.RawMessage(`{"by":"hook"}`),
			}
			if diff := cmp.Diff(amended, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What hooks are told of who comes in is what is kept of them.
func TestWhoComesInByTheirNumberIsWhoTheyAreFromThenOn(t *testing.T) {
	t.Parallel()
	var entering *auth.User
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.BeforeSession = func(_ context.Context, u *auth.User, _ []string) error { entering = u; return nil }
	})
	p, x := e.Principal(t, guest(t, e)), textings()[2]
	if err := x.redeem(e, p, adaPhone, x.code(t, e, p, adaPhone)); err != nil {
		t.Fatal(err)
	}
	kept, err := e.FindUser(t.Context(), auth.UserBy{ID: p.UserID})
	if err != nil || string(kept.Metadata) != `{"cart":1}` {
		t.Fatalf("%s, %v", asJSON(kept), err)
	}
	if diff := cmp.Diff(kept, entering); diff != "" {
		t.Error(diff)
	}
}

// AN-07: of conversions at once one succeeds.
func TestParallelDeanonymize(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified)
	one := e.Principal(t, guest(t, e))
	var ok atomic.Int64
	parallel(20, func() {
		err := e.Deanonymize(background, one, auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: "ada@example.com", Password: authtest.Password})
		if err == nil {
			ok.Add(1)
		} else if !errors.Is(err, auth.ErrUserNotAnonymous) {
			t.Error(err)
		}
	})
	var guests []*auth.Principal
	for range 20 {
		guests = append(guests, e.Principal(t, guest(t, e)))
	}
	var next, address atomic.Int64
	parallel(20, func() {
		err := e.Deanonymize(background, guests[next.Add(1)-1], auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: "bob@example.com", Password: authtest.Password})
		if err == nil {
			address.Add(1)
		} else if !errors.Is(err, auth.ErrEmailAlreadyInUse) {
			t.Error(err)
		}
	})
	if ok.Load() != 1 || address.Load() != 1 {
		t.Errorf("%d and %d", ok.Load(), address.Load())
	}
}
