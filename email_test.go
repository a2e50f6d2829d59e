package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

func changeEmail(t *testing.T, e *authtest.Engine, p *auth.Principal, to string) string {
	t.Helper()
	if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: to}); err != nil {
		t.Fatal(err)
	}
	return e.Mailbox.Last(t, to).Ticket()
}

// EC-02, EC-05, EC-06, W10: nothing changes before the new address is proven, and who proves it is not signed in.
func TestChangingTheAddress(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, letters)
	s := e.SignUp(t, "ada@example.com")
	p := e.Principal(t, s)
	ticket := changeEmail(t, e, p, "New@Example.com")
	if l := e.Mailbox.Last(t, "new@example.com"); l.Template != "email-confirm-change" || l.Variables["email"] != "ada@example.com" || l.Variables["newEmail"] != "New@Example.com" {
		t.Errorf("letter to the new address %+v", l)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "email-change-requested" || strings.Contains(l.Text+l.HTML, "New@") || l.Ticket() != "" {
		t.Errorf("letter to the old address %+v", l)
	}
	before, err := e.User(t.Context(), p)
	if err != nil || before.Email != "ada@example.com" || !before.EmailVerified {
		t.Errorf("before: %s, %v", asJSON(before), err)
	}
	e.SignIn(t, "ada@example.com")

	sessions := len(e.Events.Of(auth.EventSignedIn))
	v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
	if err != nil || v.Session != nil || v.Kind != "emailConfirmChange" || v.RedirectTo != authtest.ClientURL {
		t.Fatalf("%+v, %v", v, err)
	}
	if len(e.Events.Of(auth.EventSignedIn)) != sessions {
		t.Error("a session was opened")
	}
	after, err := e.User(t.Context(), p)
	if err != nil || after.Email != "New@Example.com" || !after.EmailVerified {
		t.Errorf("after: %s, %v", asJSON(after), err)
	}
	if l := e.Mailbox.Last(t, "ada@example.com"); l.Template != "email-changed" {
		t.Errorf("letter to the old address %+v", l)
	}
	if _, err := signIn(t, e, "new@example.com", authtest.Password); err != nil {
		t.Errorf("the new address: %v", err)
	}
	if _, err := signIn(t, e, "ada@example.com", authtest.Password); !errors.Is(err, auth.ErrInvalidEmailPassword) {
		t.Errorf("the old address: %v", err)
	}
	if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket}); !errors.Is(err, auth.ErrInvalidTicket) {
		t.Errorf("again: %v", err)
	}
}

// EC-01, EC-03, EC-07, EC-10, SU-08, SU-11.
func TestAddressesThatCannotBeChangedTo(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		e := authtest.New(t, func(c *auth.Config) {
			c.ConcealErrors, c.Email.BlockedDomains = concealed, []string{"blocked.test"}
			c.Anonymous = &auth.AnonymousConfig{}
		})
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		e.SignUp(t, "taken@example.com")
		pendingUser(t, e, "pending@example.com")
		hidden := func(err error) error {
			if concealed {
				return auth.ErrInvalidRequest
			}
			return err
		}
		for address, want := range map[string]error{
			"": auth.ErrInvalidRequest, "x": auth.ErrInvalidRequest, "a@b.test,c@d.test": auth.ErrInvalidRequest, "a@b.test\r\nBcc: c@d.test": auth.ErrInvalidRequest,
			"ada@example.com": auth.ErrInvalidRequest, "ADA@Example.com": auth.ErrInvalidRequest, "a@Blocked.test": hidden(auth.ErrInvalidEmailPassword),
		} {
			if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: address}); !errors.Is(err, want) {
				t.Errorf("%q: %v, not %v", address, err, want)
			}
		}
		for _, address := range []string{"taken@example.com", "Taken@Example.com", "pending@example.com"} {
			before := e.Mailbox.To(address)
			err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: address})
			if concealed && err != nil || !concealed && !errors.Is(err, auth.ErrEmailAlreadyInUse) {
				t.Errorf("%s: %v", address, err)
			}
			for _, l := range e.Mailbox.To(address)[len(before):] {
				if l.Template != "signup-attempt" || l.Ticket() != "" {
					t.Errorf("%s: letter %+v", address, l)
				}
			}
		}
		if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "ok@example.com", RedirectTo: "https://evil.test"}); !errors.Is(err, auth.ErrRedirectNotAllowed) {
			t.Errorf("redirect: %v", err)
		}
		guest, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.ChangeEmail(t.Context(), e.Principal(t, guest.Session), auth.ChangeEmailParams{NewEmail: "ok@example.com"}); !errors.Is(err, hidden(auth.ErrForbiddenAnonymous)) {
			t.Errorf("a guest: %v", err)
		}
		if n := len(e.Mailbox.To("ok@example.com")); n != 0 {
			t.Errorf("%d letters", n)
		}
	}
}

// EC-04, EC-09, EC-13, EC-16, PH-07, TK-04.
func TestConfirmingANewAddress(t *testing.T) {
	t.Parallel()
	yes := true
	confirm := func(e *authtest.Engine, ticket string) error {
		_, err := e.VerifyTicket(background, auth.VerifyTicketParams{Ticket: ticket})
		return err
	}
	t.Run("an earlier request", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		first := changeEmail(t, e, p, "first@example.com")
		second := changeEmail(t, e, p, "second@example.com")
		if err := confirm(e, first); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%v", err)
		}
		if err := confirm(e, second); err != nil {
			t.Errorf("%v", err)
		}
	})
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		ticket := changeEmail(t, e, p, "new@example.com")
		e.Clock.Advance(time.Hour)
		if err := confirm(e, ticket); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%v", err)
		}
	})
	t.Run("taken meanwhile", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		ticket := changeEmail(t, e, e.Principal(t, s), "new@example.com")
		e.SignUp(t, "new@example.com")
		if err := confirm(e, ticket); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
			t.Errorf("%v", err)
		}
		if u, err := e.User(t.Context(), e.Principal(t, s)); err != nil || u.Email != "ada@example.com" {
			t.Errorf("%v, %v", u, err)
		}
	})
	t.Run("blocked meanwhile", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		ticket := changeEmail(t, e, e.Principal(t, e.SignUp(t, "ada@example.com")), "new@later.test")
		blocking := replica(t, e, func(c *auth.Config) { c.Email.BlockedDomains = []string{"later.test"} })
		if err := confirm(blocking, ticket); !errors.Is(err, auth.ErrInvalidEmailPassword) {
			t.Errorf("%v", err)
		}
	})
	t.Run("disabled meanwhile", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		s := e.SignUp(t, "ada@example.com")
		ticket := changeEmail(t, e, e.Principal(t, s), "new@example.com")
		if _, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if err := confirm(e, ticket); !errors.Is(err, auth.ErrDisabledUser) {
			t.Errorf("%v", err)
		}
	})
	t.Run("the password changed meanwhile", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		ticket := changeEmail(t, e, p, "new@example.com")
		if err := e.ChangePassword(t.Context(), p, auth.ChangePasswordParams{NewPassword: newPassword}); err != nil {
			t.Fatal(err)
		}
		if err := confirm(e, ticket); !errors.Is(err, auth.ErrInvalidTicket) {
			t.Errorf("%v", err)
		}
	})
	t.Run("by two users at once", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t)
		var tickets []string
		for i := range 20 {
			p := e.Principal(t, e.SignUp(t, fmt.Sprintf("user%d@example.com", i)))
			tickets = append(tickets, changeEmail(t, e, p, "wanted@example.com"))
		}
		var next, ok atomic.Int64
		parallel(len(tickets), func() {
			switch err := confirm(e, tickets[next.Add(1)-1]); {
			case err == nil:
				ok.Add(1)
			case !errors.Is(err, auth.ErrEmailAlreadyInUse):
				t.Error(err)
			}
		})
		if ok.Load() != 1 {
			t.Errorf("%d of twenty", ok.Load())
		}
	})
}

// EC-08, EO-11, TK-10: once a change is confirmed, nothing that went to the old address is good, wherever it is taken.
func TestWhatWentToTheOldAddressIsVoid(t *testing.T) {
	t.Parallel()
	for name, amend := range map[string]func(*auth.Config){"not verified": unverified, "verified": func(*auth.Config) {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters, amend)
			p := e.Principal(t, e.SignUp(t, "ada@example.com"))
			confirm := changeEmail(t, e, p, "new@example.com")
			var code string
			if name == "verified" { // as a first proof it would end the session that asks for the change
				params := auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(verifier)}
				if err := e.SendMagicLink(t.Context(), params); err != nil {
					t.Fatal(err)
				}
				code = followLink(t, e, "ada@example.com").Code
			}
			secrets := map[string]string{}
			for _, m := range mailings {
				if err := m.send(e, "ada@example.com", ""); err == nil {
					secrets[m.kind] = e.Mailbox.Last(t, "ada@example.com").Ticket()
				} else if !errors.Is(err, auth.ErrEmailAlreadyVerified) {
					t.Fatal(err)
				}
			}
			if _, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: confirm}); err != nil {
				t.Fatal(err)
			}
			for _, m := range mailings {
				for _, email := range []string{"ada@example.com", "new@example.com"} {
					if _, err := m.redeemSecret(e, email, secrets[m.kind]); !errors.Is(err, auth.ErrInvalidTicket) {
						t.Errorf("%s, for %s: %v", m.name, email, err)
					}
				}
			}
			err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: secrets["passwordReset"], NewPassword: newPassword})
			wantErr(t, err, auth.ErrInvalidTicket)
			_, err = e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: code, CodeVerifier: verifier})
			wantErr(t, err, auth.ErrInvalidRequest)
			e.SignIn(t, "new@example.com")
			if u, err := e.FindUser(t.Context(), auth.UserBy{Email: "new@example.com"}); err != nil || !u.EmailVerified {
				t.Errorf("the new address, whose link was followed, is not verified: %v", err)
			}
		})
	}
}

// EC-13, TK-11: what was sent to a user who has been deleted is good for nobody, not even for who has the address now.
func TestSecretsOfADeletedUser(t *testing.T) {
	t.Parallel()
	for _, m := range append(append([]mailing{}, mailings...), newAddressMailings...) {
		e := authtest.New(t, letters)
		email, owner := "new@example.com", "new@example.com"
		mover := e.SignUp(t, "mover@example.com").User.ID
		switch m.kind {
		case "verifyEmail", "passwordReset":
			pendingUser(t, e, email)
		case "emailConfirmChange":
			owner = "mover@example.com"
		}
		if err := m.send(e, email, ""); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		secret := e.Mailbox.Last(t, email).Ticket()
		u, err := e.FindUser(t.Context(), auth.UserBy{Email: owner})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []uuid.UUID{u.ID, mover} {
			if err := e.DeleteUser(t.Context(), id); err != nil && !errors.Is(err, auth.ErrNotFound) {
				t.Fatal(err)
			}
		}
		try := func(when string) {
			if _, err := m.redeemSecret(e, email, secret); !errors.Is(err, auth.ErrInvalidTicket) {
				t.Errorf("%s, %s: %v", m.name, when, err)
			}
		}
		try("deleted")
		if n := userCount(t, e.Store); n != 0 {
			t.Errorf("%s: %d users", m.name, n)
		}
		e.SignUp(t, email)
		try("signed up again")
	}
}

// EL-01: the change of the address and of the password are protected.
func TestChangesOfAddressAndPasswordAreProtected(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		e := authtest.New(t)
		guarded := replica(t, e, func(c *auth.Config) { c.Elevation.Mode = mode })
		key := &authtest.Authenticator{}
		plain := e.Principal(t, withKey(t, e, "ada@example.com", key))
		_, up := elevate(t, e, plain, key)
		for name, change := range map[string]func(p *auth.Principal) error{
			"address": func(p *auth.Principal) error {
				return guarded.ChangeEmail(background, p, auth.ChangeEmailParams{NewEmail: "new@example.com"})
			},
			"password": func(p *auth.Principal) error {
				return guarded.ChangePassword(background, p, auth.ChangePasswordParams{NewPassword: newPassword})
			},
		} {
			if err := change(plain); mode == auth.ElevationDisabled && err != nil || mode != auth.ElevationDisabled && !errors.Is(err, auth.ErrElevationRequired) {
				t.Errorf("%s, %s, plain: %v", mode, name, err)
			}
			if err := change(up); err != nil {
				t.Errorf("%s, %s, elevated: %v", mode, name, err)
			}
			if err := change(nil); name == "address" && !errors.Is(err, auth.ErrUnauthenticated) || err == nil {
				t.Errorf("%s, %s, nobody: %v", mode, name, err)
			}
		}
	}
}

// A service that says that an address is not verified does not void the link that would show it.
func TestALinkStaysGoodForAnAddressThatIsNotVerified(t *testing.T) {
	t.Parallel()
	for verified, want := range map[bool]error{false: nil, true: auth.ErrInvalidTicket} {
		e := authtest.New(t)
		pendingUser(t, e, "ada@example.com")
		update(t, e, "ada@example.com", auth.UserUpdate{EmailVerified: &verified})
		_, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()})
		if !errors.Is(err, want) {
			t.Errorf("%t: %v, not %v", verified, err, want)
		}
	}
}
