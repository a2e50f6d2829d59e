package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// These are calls that end with a change of an account, by who may make them; each name is one of those in calls.
var (
	// bySession are calls of users with a session.
	bySession = append([]string{
		"Deanonymize", "Deanonymize, with a text message", "DeleteAccount, of a guest", "Elevate, with a letter", "Elevate, with a text message",
		"GenerateRecoveryCodes", "GenerateTOTP", "ProviderTokens", "RenameSecurityKey", "RevokePAT", "SetMFA", "SetMFA, off",
		"SignOut, everywhere", "VerifyChangePhone", "VerifyDeanonymize", "VerifyElevation", "VerifyElevation, with a code of the app",
		"VerifyElevation, with a letter", "VerifyElevation, with a text message",
	}, byFactors...)
	// byFactors are those for which all factors that a user has must have been shown.
	byFactors = []string{
		"ChangeEmail", "ChangePassword", "ChangePhone", "CreatePAT", "DeleteAccount", "FinishProvider, which links", "LinkIDToken",
		"RemoveSecurityKey", "Unlink", "VerifyAddSecurityKey",
	}
	// byGuest are those of anonymous users.
	byGuest = []string{"Deanonymize", "Deanonymize, with a text message", "DeleteAccount, of a guest", "VerifyDeanonymize"}
	// byAuthority are calls of the service.
	byAuthority = []string{
		"DeleteUser", "RefreshKeptProviderTokens", "RemoveMFA", "RevokePassword", "UpdateUser", "UpdateUser, of roles",
	}
	// byAddress are calls of anybody, who is not to learn what becomes of them.
	byAddress = []string{"SendEmailOTP", "SendMagicLink", "SendPasswordReset", "SendSMSOTP", "SendVerificationEmail"}
	// byProvider are calls that begin again with whoever is there then.
	byProvider = []string{
		"FinishProvider, in place of an abandoned sign-up", "FinishProvider, of somebody known",
		"FinishProvider, of somebody who signed up with the address", "FinishProvider, of somebody with the address",
	}
	// byLook are calls that were decided on what the account was like, so that a revocation voids them.
	byLook = []string{
		"ChangePassword", "ChangePassword, with a ticket", "CreatePAT", "DeleteAccount", "DeleteAccount, of a guest", "ExchangeCode",
		"FinishProvider, which links", "GenerateRecoveryCodes", "GenerateTOTP", "LinkIDToken", "RemoveSecurityKey", "SetMFA", "SetMFA, off", "SignUpPassword, of a pending address",
		"Unlink", "VerifyDeanonymize", "VerifyEmailOTP", "VerifyMFA", "VerifyMFA, with a recovery code", "VerifySMSOTP", "VerifySMSOTP, of somebody new",
		"VerifySignInWebAuthn", "VerifySignUpWebAuthn, of a pending address", "VerifyTicket", "VerifyTicket, for a code",
		"VerifyTicket, of a new address",
	}
)

func among(lists ...[]string) func(string) bool {
	return func(name string) bool { return slices.Contains(slices.Concat(lists...), name) }
}

func notAmong(lists ...[]string) func(string) bool {
	return func(name string) bool { return !slices.Contains(slices.Concat(lists...), name) }
}

// meanwhile is what may happen to users while one of them is in a call.
var meanwhile = []struct {
	what    string
	happens func(ctx context.Context, e *authtest.Engine, a *store.Account) error
	refused func(call string) bool
	with    error // nil is for refusals of several kinds
}{
	{"their sessions end", func(ctx context.Context, e *authtest.Engine, a *store.Account) error {
		var ids []uuid.UUID
		for _, s := range a.Sessions {
			ids = append(ids, s.ID)
		}
		_, err := e.Store.EndSessions(ctx, a.ID, ids...)
		return err
	}, among(bySession), auth.ErrUnauthenticated},
	{"something is revoked", changing(func(c *store.UserChange) { c.Drop.Tickets = []string{"none"} }), among(byLook), nil},
	{"the service verifies their address", func(ctx context.Context, e *authtest.Engine, a *store.Account) error {
		yes := true
		return only(e.UpdateUser(ctx, a.ID, auth.UserUpdate{EmailVerified: &yes}))
	}, among(byLook, []string{"FinishProvider, in place of an abandoned sign-up"}), nil},
	{
		"they are disabled", changing(func(c *store.UserChange) { yes := true; c.Set.Disabled = &yes }),
		notAmong(byAuthority, byAddress, []string{"SignOut, everywhere"}), nil,
	},
	{"they are deleted", func(ctx context.Context, e *authtest.Engine, a *store.Account) error {
		return e.Store.DeleteUser(ctx, store.UserDeletion{UserID: a.ID, Now: e.Clock.Now()})
	}, notAmong(byAddress, byProvider), nil},
	{"they become regular users", changing(func(c *store.UserChange) { no := false; c.Set.Anonymous = &no }), among(byGuest), nil},
	{
		"they get a second factor", changing(func(c *store.UserChange) { secret := []byte("secret"); c.Set.TOTPSecret = &secret }),
		among(byFactors), auth.ErrElevationRequired,
	},
}

func changing(f func(c *store.UserChange)) func(context.Context, *authtest.Engine, *store.Account) error {
	return func(ctx context.Context, e *authtest.Engine, a *store.Account) error {
		c := store.UserChange{UserID: a.ID, Now: e.Clock.Now()}
		f(&c)
		_, err := e.Store.ChangeUser(ctx, c)
		return err
	}
}

// ST-03, ST-06: a call that has looked at an account changes it only as long as what permits the change still holds.
func TestWhatHappensBetweenTheLookAndTheChange(t *testing.T) {
	t.Parallel()
	for name, prepare := range calls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counter := storetest.Count(memstore.New())
			counted := newVisitorWithStore(t, counter, everyWay)
			c := prepare(t, counted)
			counter.Reset()
			if err := c(t.Context(), counted.Engine); err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{"ChangeUser", "DeleteUser"} {
				for n := range counter.Calls()[method] {
					if slices.Contains(afterwards, fmt.Sprintf("%s: %s, %d", name, method, n+1)) {
						continue
					}
					for _, m := range meanwhile {
						v := newVisitor(t, everyWay)
						c := prepare(t, v)
						e := v.replica(t, storetest.Break(v.Store, storetest.Fault{Method: method, Call: n + 1, Do: func(ctx context.Context) {
							befall(ctx, t, v.Engine, m.happens)
						}}), everyWay)
						switch err := c(t.Context(), e); {
						case !m.refused(name):
							if err != nil {
								t.Errorf("%s: %v", m.what, err)
							}
						case err == nil, errors.Is(err, auth.ErrInternal), m.with != nil && !errors.Is(err, m.with):
							t.Errorf("%s: %v", m.what, err)
						}
					}
				}
			}
		})
	}
}

// befall makes something happen to all users.
func befall(ctx context.Context, t *testing.T, e *authtest.Engine, happens func(context.Context, *authtest.Engine, *store.Account) error) {
	t.Helper()
	users, err := e.Store.Users(ctx, uuid.Nil, 10)
	if err != nil {
		t.Error(err)
	}
	for _, u := range users {
		a, err := e.Store.User(ctx, store.UserQuery{ID: u.ID, Now: e.Clock.Now(), With: store.WithSessions})
		if err == nil {
			err = happens(ctx, e, &a)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// unaddressed is a store in which the addresses of users are none that a letter could go to.
type unaddressed struct{ store.Store }

func (s unaddressed) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	a, err := s.Store.User(ctx, q)
	a.Email = "nowhere"
	return a, err
}

func (s unaddressed) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	t, u, err := s.Store.CheckTicket(ctx, q)
	u.Email = "nowhere"
	return t, u, err
}

// ST-06: a way in neither comes nor goes without the letter that tells the owner of it, even if that cannot be written at all.
func TestNoWayInChangesWithoutALetter(t *testing.T) {
	t.Parallel()
	all := calls()
	for _, name := range []string{
		"FinishProvider, of somebody with the address", "FinishProvider, which links", "LinkIDToken", "RemoveSecurityKey", "Unlink", "VerifyAddSecurityKey",
	} {
		v := newVisitor(t, everyWay)
		c := all[name](t, v)
		waysIn := func() (n int) {
			users, err := v.Store.Users(t.Context(), uuid.Nil, 10)
			for _, u := range users {
				a, err := v.Store.User(t.Context(), store.UserQuery{ID: u.ID, Now: v.Clock.Now(), With: store.WithIdentities | store.WithSecurityKeys})
				if err != nil {
					t.Error(err)
				}
				n += len(a.Identities) + len(a.SecurityKeys)
			}
			if err != nil {
				t.Error(err)
			}
			return n
		}
		before := waysIn()
		if err := c(t.Context(), v.replica(t, unaddressed{v.Store}, everyWay)); !errors.Is(err, auth.ErrInternal) {
			t.Errorf("%s: %v", name, err)
		}
		if n := waysIn(); n != before {
			t.Errorf("%s: there were %d ways in, and are %d", name, before, n)
		}
	}
}
