package auth_test

import (
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// The budgets of round trips on the success path. A call that takes one more than it must is a call that is slower than it must be.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByPassword, auth.ElevateByEmailOTP}
	})
	open := authtest.NewWithStore(t, counter, unverified)
	checked := authtest.NewWithStore(t, counter, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
	ctx := t.Context()
	session := e.SignUp(t, "ada@example.com")
	ada := e.Principal(t, session)
	other := e.SignIn(t, "ada@example.com")
	if _, err := signUp(t, e, "pending@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	ticket := e.Mailbox.Last(t, "pending@example.com").Ticket()
	passkey, spare := &authtest.Authenticator{}, &authtest.Authenticator{}
	keyed := e.Principal(t, withKey(t, e, "keyed@example.com", passkey))
	beginning, ending := beginKeySignUp(t, e, "new@example.com"), beginKeySignIn(t, e, "")
	lax := beginKeySignUp(t, open, "lax@example.com")
	_, elevated := elevate(t, e, keyed, passkey)
	rising := beginElevation(t, e, keyed)
	adding, err := e.AddSecurityKey(ctx, keyed)
	if err != nil {
		t.Fatal(err)
	}
	toRemove := addKey(t, e, e.Principal(t, e.SignIn(t, "keyed@example.com")), &authtest.Authenticator{})

	for _, flow := range []struct {
		name  string
		trips int
		run   func() error
	}{
		{"Authenticate", 0, func() error { _, err := e.Authenticate(ctx, session.AccessToken); return err }},
		{"Authenticate with CheckOnVerify", 1, func() error { _, err := checked.Authenticate(ctx, session.AccessToken); return err }},
		{"VerifyToken", 0, func() error { return e.VerifyToken(ctx, auth.VerifyTokenParams{Token: session.AccessToken}) }},
		{"KeySet", 0, func() error { _, err := e.KeySet(ctx); return err }},
		{"Refresh", 1, func() error {
			_, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: session.RefreshToken})
			return err
		}},
		{"Refresh again", 1, func() error {
			_, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: session.RefreshToken})
			return err
		}},
		{"Outbox", 1, func() error { _, err := e.Outbox(ctx); return err }},
		{"User", 1, func() error { _, err := e.User(ctx, ada); return err }},
		{"ListSessions", 1, func() error { _, err := e.ListSessions(ctx, ada); return err }},
		{"SignInAnonymous", 1, func() error { _, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{}); return err }},
		{"SignInPassword", 2, func() error {
			_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
			return err
		}},
		{"SignUpPassword with a letter", 2, func() error {
			_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "bob@example.com", Password: authtest.Password})
			return err
		}},
		{"SignUpPassword with a session", 1, func() error {
			_, err := open.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "eve@example.com", Password: authtest.Password})
			return err
		}},
		{"VerifyTicket", 2, func() error { _, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: ticket}); return err }},
		{"SignUpWebAuthn", 1, func() error {
			_, err := e.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: "begins@example.com"})
			return err
		}},
		{"VerifySignUpWebAuthn with a letter", 3, func() error {
			_, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginning))
			return err
		}},
		{"VerifySignUpWebAuthn with a session", 2, func() error {
			_, err := endKeySignUp(t, open, (&authtest.Authenticator{}).Create(t, lax))
			return err
		}},
		{"SignInWebAuthn", 1, func() error { _, err := e.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{}); return err }},
		{"SignInWebAuthn with an address", 2, func() error {
			_, err := e.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{Email: "keyed@example.com"})
			return err
		}},
		{"VerifySignInWebAuthn", 3, func() error { _, err := endKeySignIn(t, e, passkey.Get(t, ending)); return err }},
		{"AddSecurityKey", 2, func() error { _, err := e.AddSecurityKey(ctx, e.Principal(t, session)); return err }},
		{"VerifyAddSecurityKey with a letter", 3, func() error {
			_, err := e.VerifyAddSecurityKey(ctx, keyed, auth.VerifyAddSecurityKeyParams{Credential: spare.Create(t, adding)})
			return err
		}},
		{"VerifyElevation", 3, func() error {
			_, err := e.VerifyElevation(ctx, keyed, auth.VerifyElevationParams{Credential: passkey.Get(t, rising)})
			return err
		}},
		{"Elevate", 2, func() error { _, err := e.Elevate(ctx, keyed, auth.ElevateParams{}); return err }},
		{"Elevate with a letter", 3, func() error {
			_, err := e.Elevate(ctx, ada, auth.ElevateParams{Method: auth.ElevateByEmailOTP})
			return err
		}},
		{"VerifyElevation with a letter", 4, func() error {
			_, err := e.VerifyElevation(ctx, ada, auth.VerifyElevationParams{
				Method: auth.ElevateByEmailOTP, OTP: e.Mailbox.Last(t, "ada@example.com").Ticket(),
			})
			return err
		}},
		{"VerifyElevation with a password", 2, func() error {
			_, err := e.VerifyElevation(ctx, ada, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: authtest.Password})
			return err
		}},
		{"CheckElevation", 0, func() error { return e.CheckElevation(ctx, elevated, 0) }},
		{"CheckElevation with CheckOnVerify", 1, func() error { return checked.CheckElevation(ctx, elevated, 0) }},
		{"CheckRole", 0, func() error { return e.CheckRole(ctx, keyed, "me") }},
		{"ListSecurityKeys", 1, func() error { _, err := e.ListSecurityKeys(ctx, keyed); return err }},
		{"RenameSecurityKey", 2, func() error {
			_, err := e.RenameSecurityKey(ctx, keyed, auth.RenameSecurityKeyParams{ID: toRemove.ID, Nickname: "x"})
			return err
		}},
		{"RemoveSecurityKey with a letter", 3, func() error {
			_, err := e.RemoveSecurityKey(ctx, keyed, auth.RemoveSecurityKeyParams{ID: toRemove.ID})
			return err
		}},
		{"RevokeSession", 2, func() error { return e.RevokeSession(ctx, ada, other.RefreshTokenID) }},
		{"SignOut", 1, func() error {
			return e.SignOut(ctx, nil, auth.SignOutParams{RefreshToken: other.RefreshToken})
		}},
		{"SignOut everywhere", 1, func() error { return e.SignOut(ctx, ada, auth.SignOutParams{All: true}) }},
	} {
		counter.Reset()
		if err := flow.run(); err != nil {
			t.Errorf("%s: %v", flow.name, err)
		}
		if got := counter.Trips(); got != flow.trips {
			t.Errorf("%s took %d trips, not %d: %v", flow.name, got, flow.trips, counter.Calls())
		}
	}
}

// What verifying a token allocates: the token's bytes, and what it says.
func TestVerifyTokenAllocations(t *testing.T) {
	e := authtest.New(t, hs256)
	s := e.SignUp(t, "ada@example.com")
	got := testing.AllocsPerRun(100, func() {
		if err := e.VerifyToken(t.Context(), auth.VerifyTokenParams{Token: s.AccessToken}); err != nil {
			t.Error(err)
		}
	})
	if got > 40 {
		t.Errorf("%v allocations", got)
	}
}
