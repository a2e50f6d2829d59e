package auth_test

import (
	"encoding/json"
	"errors"
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, append(c.amend, func(c *auth.Config) { c.Roles.Allowed = []string{"me", "editor"} })...)
			s := guest(t, e)
			c.params.Email, c.params.Options = "Ada@Example.com", auth.SignUpOptions{DisplayName: "Ada", AllowedRoles: []string{"user", "editor"}}
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
				v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: l.Ticket()})
				if err != nil {
					t.Fatal(err)
				}
				s = v.Session
			} else if err != nil {
				t.Errorf("the session: %v", err)
			}
			got, err := e.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			want := &auth.User{
				ID: s.User.ID, CreatedAt: e.Clock.Now(), Email: "Ada@Example.com", EmailVerified: c.letter != "", DisplayName: "Ada", Locale: "en",
				DefaultRole: "user", Roles: []string{"user", "editor"}, Metadata: json.RawMessage(`{"cart":1}`),
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
	if err := e.Deanonymize(t.Context(), nil, good); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	if err := e.Deanonymize(t.Context(), e.Principal(t, e.SignIn(t, "ada@example.com")), good); !errors.Is(err, auth.ErrUserNotAnonymous) {
		t.Errorf("a regular user: %v", err)
	}
	off := replica(t, e, func(c *auth.Config) { c.Password = nil })
	for _, method := range []auth.DeanonymizeMethod{auth.DeanonymizeByPassword, auth.DeanonymizeByPasswordless} {
		if err := off.Deanonymize(t.Context(), e.Principal(t, guest(t, e)), with(func(p *auth.DeanonymizeParams) { p.Method = method })); !errors.Is(err, auth.ErrDisabledEndpoint) {
			t.Errorf("%s that is off: %v", method, err)
		}
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
