package auth_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
)

const newPassword = "quiet-otter-seventeen"

func resetTicket(t *testing.T, e *authtest.Engine, email string) string {
	t.Helper()
	if err := e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: email}); err != nil {
		t.Fatal(err)
	}
	return e.Mailbox.Last(t, email).Ticket()
}

// PW-08, PW-09, ASVS 6.2.3: by what right a password is changed.
func TestByWhatRightAPasswordIsChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after   time.Duration // since the sign-in
		current string
		stepUp  bool
		mode    auth.ElevationMode
		key     bool
		want    error
	}{
		"just signed in":                                  {after: 10 * time.Minute},
		"signed in long ago":                              {after: 10*time.Minute + time.Second, want: auth.ErrElevationRequired},
		"signed in long ago, with the current one":        {after: time.Hour, current: authtest.Password},
		"with a wrong one":                                {current: "not the current one", want: auth.ErrInvalidEmailPassword},
		"signed in long ago, with a step-up":              {after: time.Hour, key: true, stepUp: true},
		"a key, recommended":                              {mode: auth.ElevationRecommended, key: true, current: authtest.Password, want: auth.ErrElevationRequired},
		"a key and a step-up, recommended":                {mode: auth.ElevationRecommended, key: true, stepUp: true},
		"no key, recommended":                             {mode: auth.ElevationRecommended},
		"no key, required":                                {mode: auth.ElevationRequired, current: authtest.Password, want: auth.ErrElevationRequired},
		"a key and a step-up, required, with a wrong one": {mode: auth.ElevationRequired, key: true, stepUp: true, current: "wrong", want: auth.ErrInvalidEmailPassword},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			guarded := replica(t, e, func(x *auth.Config) { x.Elevation.Mode = c.mode })
			key := &authtest.Authenticator{}
			s := e.SignUp(t, "ada@example.com")
			if c.key {
				addKey(t, e, e.Principal(t, s), key)
			}
			e.Clock.Advance(c.after)
			s, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken})
			if err != nil {
				t.Fatal(err)
			}
			p := e.Principal(t, s)
			if c.stepUp {
				_, p = elevate(t, e, p, key)
			}
			err = guarded.ChangePassword(t.Context(), p, auth.ChangePasswordParams{NewPassword: newPassword, CurrentPassword: c.current})
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v, not %v", err, c.want)
			}
			works, fails := newPassword, authtest.Password
			if c.want != nil {
				works, fails = fails, works
			}
			if _, err := signIn(t, e, "ada@example.com", works); err != nil {
				t.Errorf("the password that should work: %v", err)
			}
			if _, err := signIn(t, e, "ada@example.com", fails); !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Errorf("the password that should not: %v", err)
			}
		})
	}
}

// PW-03, PW-07, PW-19, W12: what ends with a password, and who is told.
func TestWhatEndsWithAPassword(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{false, true} {
		e := authtest.New(t, letters)
		own := e.SignUp(t, "ada@example.com")
		other := e.SignIn(t, "ada@example.com")
		p := e.Principal(t, own)
		pat := store.PAT{ID: uuid.New(), Hash: make([]byte, 32), CreatedAt: e.Clock.Now(), ExpiresAt: e.Clock.Now().Add(time.Hour)}
		if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: p.UserID, Now: e.Clock.Now(), PAT: &pat}); err != nil {
			t.Fatal(err)
		}
		var secrets []string
		for _, m := range mailings[:3] {
			if err := m.send(e, "ada@example.com", ""); err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, e.Mailbox.Last(t, "ada@example.com").Ticket())
		}
		params := auth.ChangePasswordParams{NewPassword: newPassword}
		caller := p
		if reset {
			params.Ticket, caller = secrets[2], nil
		}
		if err := e.ChangePassword(t.Context(), caller, params); err != nil {
			t.Fatal(err)
		}
		if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "password-changed" || strings.Contains(l.Text+l.HTML, newPassword) {
			t.Errorf("letter %+v", l)
		}
		_, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: own.RefreshToken})
		if reset != errors.Is(err, auth.ErrInvalidRefreshToken) || !reset && err != nil {
			t.Errorf("reset %t: the own session: %v", reset, err)
		}
		if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: other.RefreshToken}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
			t.Errorf("reset %t: the other session: %v", reset, err)
		}
		for i, m := range mailings[:3] {
			if _, err := m.redeemSecret(e, "ada@example.com", secrets[i]); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("reset %t: %s: %v", reset, m.name, err)
			}
		}
		a, err := e.Store.User(t.Context(), store.UserQuery{ID: p.UserID, With: store.WithPATs, Now: e.Clock.Now()})
		if err != nil || len(a.PATs) != 0 {
			t.Errorf("reset %t: %d personal access tokens, %v", reset, len(a.PATs), err)
		}
		if got := e.Events.Of(auth.EventPasswordChanged); len(got) != 1 || got[0].UserID != p.UserID {
			t.Errorf("events %v", got)
		}
		if len(e.Events.Of(auth.EventSignedIn)) != 2 {
			t.Error("a session was opened")
		}
	}
}

// PW-03, PW-07: a password that somebody else may know is worth nothing from the moment when the service says so, and its owner
// comes back by a link.
func TestRevokePassword(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	own := e.SignUp(t, "ada@example.com")
	pat := store.PAT{ID: uuid.New(), Hash: make([]byte, 32), CreatedAt: e.Clock.Now(), ExpiresAt: e.Clock.Now().Add(time.Hour)}
	if _, err := e.Store.ChangeUser(t.Context(), store.UserChange{UserID: own.User.ID, Now: e.Clock.Now(), PAT: &pat}); err != nil {
		t.Fatal(err)
	}
	if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	link := e.Mailbox.Last(t, "ada@example.com").Ticket()
	if err := e.RevokePassword(t.Context(), own.User.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := signIn(t, e, "ada@example.com", authtest.Password); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("the password: %v", err)
	}
	if _, err := refresh(t, e, own.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
		t.Errorf("the session: %v", err)
	}
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: link}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("the link: %v", err)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: own.User.ID, With: store.WithPATs, Now: e.Clock.Now()})
	if err != nil || len(a.PATs) != 0 {
		t.Errorf("%d personal access tokens, %v", len(a.PATs), err)
	}
	if err := e.RevokePassword(t.Context(), own.User.ID); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("again: %v", err)
	}
	letter := e.Mailbox.Last(t, "ada@example.com")
	if letter.Template != "password-reset" {
		t.Fatalf("letter %s", letter.Template)
	}
	if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: letter.Ticket(), NewPassword: newPassword}); err != nil {
		t.Fatal(err)
	}
	if _, err := signIn(t, e, "ada@example.com", newPassword); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := e.RevokePassword(t.Context(), uuid.New()); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if err := authtest.New(t, func(c *auth.Config) { c.Password = nil }).RevokePassword(t.Context(), own.User.ID); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("without passwords: %v", err)
	}
}

// Whoever is disabled is kept out, and is not written to.
func TestRevokingThePasswordOfADisabledUser(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	id, yes := e.SignUp(t, "ada@example.com").User.ID, true
	if _, err := e.UpdateUser(t.Context(), id, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	before := len(e.Mailbox.All())
	if err := e.RevokePassword(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	a, err := e.Store.User(t.Context(), store.UserQuery{ID: id, Now: e.Clock.Now()})
	if err != nil || a.PasswordHash != "" {
		t.Errorf("the password is there still, %v", err)
	}
	if got := len(e.Mailbox.All()); got != before {
		t.Errorf("%d letters", got-before)
	}
}

// Whoever has no address can have a password all the same, and lose it, and is not written to; nor is anybody where there is no sender.
func TestPasswordsOfWhoeverCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s := signUpByPhone(t, e, adaPhone)
	if err := e.ChangePassword(t.Context(), e.Principal(t, s), auth.ChangePasswordParams{NewPassword: newPassword}); err != nil {
		t.Error(err)
	}
	mute := replica(t, e, unverified, func(c *auth.Config) { c.Mail = nil })
	ada := e.SignUp(t, "ada@example.com")
	for id, by := range map[uuid.UUID]*authtest.Engine{s.User.ID: e, ada.User.ID: mute} {
		before := len(e.Mailbox.All())
		if err := by.RevokePassword(t.Context(), id); err != nil {
			t.Error(err)
		}
		a, err := e.Store.User(t.Context(), store.UserQuery{ID: id, Now: e.Clock.Now()})
		if err != nil || a.PasswordHash != "" {
			t.Errorf("the password is there still, %v", err)
		}
		if n := len(e.Mailbox.All()) - before + countMessages(t, e); n != 0 {
			t.Errorf("%d letters", n)
		}
	}
}

// PW-10, E13: a password that is refused costs no ticket.
func TestARefusedPasswordCostsNoTicket(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	ticket := resetTicket(t, e, "ada@example.com")
	for password, want := range map[string]error{
		"": auth.ErrPasswordTooShort, "short": auth.ErrPasswordTooShort, "password123": auth.ErrPasswordBreached,
		"ada@example.com": auth.ErrPasswordBreached, strings.Repeat("x", 200): auth.ErrInvalidRequest, "with\x00nul-inside": auth.ErrInvalidRequest,
	} {
		if err := e.ChangePassword(t.Context(), p, auth.ChangePasswordParams{NewPassword: password}); !errors.Is(err, want) {
			t.Errorf("%.20q, of who is signed in: %v, not %v", password, err, want)
		}
		err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: password})
		if !errors.Is(err, want) {
			t.Errorf("%.20q: %v, not %v", password, err, want)
		}
	}
	if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: newPassword}); err != nil {
		t.Errorf("%v", err)
	}
	if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: newPassword}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("again: %v", err)
	}
}

// PW-02..PW-04, TK-02..TK-04.
func TestAResetWorksOnceAndInTime(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Tickets.PasswordReset = 20 * time.Minute })
	e.SignUp(t, "ada@example.com")
	first, second := resetTicket(t, e, "ada@example.com"), resetTicket(t, e, "ada@example.com")
	use := func(ticket, password string) error {
		return e.ChangePassword(background, nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: password})
	}
	if err := use(first, newPassword); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("the first of two: %v", err)
	}
	var ok atomic.Int64
	parallel(20, func() {
		switch err := use(second, newPassword); {
		case err == nil:
			ok.Add(1)
		case !errors.Is(err, auth.ErrInvalidTicket):
			t.Error(err)
		}
	})
	if ok.Load() != 1 {
		t.Errorf("%d of twenty", ok.Load())
	}
	in := resetTicket(t, e, "ada@example.com")
	e.Clock.Advance(20*time.Minute - time.Microsecond)
	if err := use(in, newPassword+"!"); err != nil {
		t.Errorf("in time: %v", err)
	}
	late := resetTicket(t, e, "ada@example.com")
	e.Clock.Advance(20 * time.Minute)
	if err := use(late, newPassword); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("too late: %v", err)
	}
	for _, bad := range []string{"passwordReset:", "passwordReset:" + uuid.NewString(), "verifyEmail:x"} {
		if err := use(bad, newPassword); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// EL-15: with a ticket it is the ticket's user whose password is set, and nobody's right counts but the ticket's.
func TestATicketIsForItsUser(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Elevation.Mode = auth.ElevationRequired })
	e.SignUp(t, "ada@example.com")
	bob := e.Principal(t, e.SignUp(t, "bob@example.com"))
	ticket := resetTicket(t, e, "ada@example.com")
	if err := e.ChangePassword(t.Context(), bob, auth.ChangePasswordParams{NewPassword: newPassword}); !errors.Is(err, auth.ErrElevationRequired) {
		t.Errorf("without a ticket: %v", err)
	}
	if err := e.ChangePassword(t.Context(), bob, auth.ChangePasswordParams{NewPassword: newPassword, Ticket: "passwordReset:" + uuid.NewString()}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("with a ticket of nobody: %v", err)
	}
	if err := e.ChangePassword(t.Context(), bob, auth.ChangePasswordParams{NewPassword: newPassword, Ticket: ticket}); err != nil {
		t.Fatal(err)
	}
	if _, err := signIn(t, e, "ada@example.com", newPassword); err != nil {
		t.Errorf("the ticket's user: %v", err)
	}
	e.SignIn(t, "bob@example.com")
	if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{NewPassword: newPassword}); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("nobody: %v", err)
	}
}

// E15: who has not proven their address can do so by resetting the password.
func TestAResetProvesTheAddress(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	pendingUser(t, e, "ada@example.com")
	link := e.Mailbox.Last(t, "ada@example.com").Ticket()
	ticket := resetTicket(t, e, "ada@example.com")
	if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: newPassword}); err != nil {
		t.Fatal(err)
	}
	in, err := signIn(t, e, "ada@example.com", newPassword)
	if err != nil || !in.Session.User.EmailVerified {
		t.Errorf("%v", err)
	}
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: link}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("the earlier link: %v", err)
	}
}

func TestPasswordsThatAreOff(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	off := replica(t, e, letters, func(c *auth.Config) { c.Password = nil })
	if err := off.ChangePassword(t.Context(), p, auth.ChangePasswordParams{NewPassword: newPassword}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("change: %v", err)
	}
	if err := off.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: "ada@example.com"}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("reset: %v", err)
	}
}

// PW-08: whoever has taken a session over does not find the password with it: neither by changing it, nor by stepping up,
// nor by the one after the other.
func TestGuessesOfTheCurrentPasswordAreCounted(t *testing.T) {
	t.Parallel()
	byPassword := auth.ElevateByPassword
	e := authtest.New(t, func(c *auth.Config) {
		c.Limits = auth.LimitsConfig{Off: true}
		c.Elevation.Methods = []auth.ElevationMethod{byPassword}
	})
	p := e.Principal(t, e.SignUp(t, "ada@example.com"))
	change := func(current string) error {
		return e.ChangePassword(t.Context(), p, auth.ChangePasswordParams{CurrentPassword: current, NewPassword: newPassword})
	}
	stepUp := func(password string) error {
		_, err := e.VerifyElevation(t.Context(), p, auth.VerifyElevationParams{Method: byPassword, Password: password})
		return err
	}
	for i := range 10 {
		try := []func(string) error{change, stepUp}[i%2]
		if err := try("a wrong password"); !errors.Is(err, auth.ErrInvalidEmailPassword) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	for name, try := range map[string]func(string) error{"a change": change, "a step-up": stepUp} {
		if err := try(authtest.Password); !errors.Is(err, auth.ErrTooManyRequests) {
			t.Errorf("%s, with the right one: %v", name, err)
		}
	}
	e.SignIn(t, "ada@example.com") // is no worse for it
	e.Clock.Advance(7 * time.Minute)
	if err := stepUp(authtest.Password); err != nil { // a right one ends the count
		t.Errorf("later: %v", err)
	}
	for i := range 9 {
		if err := change("a wrong password"); !errors.Is(err, auth.ErrInvalidEmailPassword) {
			t.Fatalf("guess %d, later: %v", i, err)
		}
	}
	if err := change(authtest.Password); err != nil {
		t.Errorf("the right one, later: %v", err)
	}
}

// Who is disabled gets no letter with which to come back, and whoever asks for it is not told.
func TestADisabledUserGetsNoResetLink(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	s, yes := e.SignUp(t, "ada@example.com"), true
	if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	before := len(e.Mailbox.All())
	if err := e.SendPasswordReset(t.Context(), auth.SendPasswordResetParams{Email: "ada@example.com"}); err != nil {
		t.Error(err)
	}
	if n := len(e.Mailbox.All()) - before; n != 0 {
		t.Errorf("%d letters", n)
	}
}
