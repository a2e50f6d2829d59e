package auth_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// acr is the claim "acr" of a session's access token.
func acr(t *testing.T, s *auth.Session) any {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(s.AccessToken, claims); err != nil {
		t.Fatal(err)
	}
	return claims["acr"]
}

// EL-01, EL-12, MF-22, RT-17: an access token says how many factors its session began with, and never more.
func TestAccessTokensTellTheirAssurance(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, everything)
	e := v.Engine
	u := equip(t, e, "ada", adaPhone)
	for _, f := range firstFactors() {
		s, _, err := f.enter(t, e, u)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		want := "aal1"
		if f.name == "a key that knows its user" {
			want = "aal2"
		}
		if got := acr(t, s); got != want {
			t.Errorf("%s: %v, not %s", f.name, got, want)
		}
		if got := acr(t, mustRefresh(t, e, s.RefreshToken)); got != want {
			t.Errorf("%s, refreshed: %v, not %s", f.name, got, want)
		}
	}
	visit, err := v.visit(t, "here", person("1", "bob@example.com", true))
	if err != nil {
		t.Fatal(err)
	}
	if got := acr(t, visit.Session); got != "aal1" {
		t.Errorf("a provider: %v", got)
	}

	carol := e.SignUp(t, "carol@example.com")
	secret := e.EnrolTOTP(t, carol)
	in, err := e.VerifyMFA(t.Context(), auth.VerifyMFAParams{Ticket: askedAgain(t, e, "carol@example.com"), OTP: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	if got := acr(t, mustRefresh(t, e, in.Session.RefreshToken)); got != "aal2" {
		t.Errorf("a password and a code: %v", got)
	}
	// The session from before stays one of one factor, but for the token of a step-up.
	carol = mustRefresh(t, e, carol.RefreshToken)
	up, err := e.VerifyElevation(t.Context(), e.Principal(t, carol), auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: nextCode(t, e, secret)})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][2]any{
		"before a step-up":          {acr(t, carol), "aal1"},
		"a step-up by a code":       {acr(t, up), "aal2"},
		"refreshed after a step-up": {acr(t, mustRefresh(t, e, carol.RefreshToken)), "aal1"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, not %v", name, got[0], got[1])
		}
	}
}

// RT-06, RT-07: the periods of NIST SP 800-63B-4 can be had, and hold for access tokens as well.
func TestSessionsOfEveryAssuranceLevelEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ idle, absolute time.Duration }{
		"level 1": {30 * 24 * time.Hour, 30 * 24 * time.Hour},
		"level 2": {time.Hour, 24 * time.Hour},
		"level 3": {15 * time.Minute, 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(config *auth.Config) {
				config.Sessions.Idle, config.Sessions.Absolute = c.idle, c.absolute
				config.AccessTokens.Lifetime = 7 * time.Minute // the last of which would outlive the session
			})
			idle := e.SignUp(t, "ada@example.com")
			e.Clock.Advance(c.idle)
			_, err := refresh(t, e, idle.RefreshToken)
			wantErr(t, err, auth.ErrInvalidRefreshToken)

			s := e.SignUp(t, "bob@example.com")
			end := e.Clock.Now().Add(c.absolute)
			for ; e.Clock.Now().Before(end.Add(-c.idle / 2)); e.Clock.Advance(c.idle / 2) {
				s = mustRefresh(t, e, s.RefreshToken)
			}
			e.Clock.Set(end.Add(-2 * time.Minute))
			s = mustRefresh(t, e, s.RefreshToken)
			if p := e.Principal(t, s); !p.Expires.Equal(end) {
				t.Errorf("an access token is good until %s, and its session ends at %s", p.Expires, end)
			}
			e.Clock.Set(end)
			_, err = refresh(t, e, s.RefreshToken)
			wantErr(t, err, auth.ErrInvalidRefreshToken)
			_, err = e.Authenticate(t.Context(), s.AccessToken)
			wantErr(t, err, auth.ErrUnauthenticated)
		})
	}
}

// PW-17: nothing but evidence makes a password bad; age is none.
func TestPasswordsDoNotExpire(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	e.SignUp(t, "ada@example.com")
	e.Clock.Advance(10 * 365 * 24 * time.Hour)
	e.SignIn(t, "ada@example.com")
}
