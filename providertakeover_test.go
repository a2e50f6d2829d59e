package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/provider"
)

// together returns one engine that knows several of the well-known providers.
func together(t *testing.T, names []string, amend ...func(*auth.Config)) map[string]*tourist {
	t.Helper()
	places := map[string]*abroad{}
	var transport http.RoundTripper
	for _, name := range names {
		places[name] = newAbroad(t, name, transport)
		transport = places[name].transport
	}
	known := func(c *auth.Config) {
		c.Providers = map[string]provider.Provider{}
		for name, a := range places {
			c.Providers[name] = a.provider
		}
		c.HTTPClient = &http.Client{Transport: transport}
	}
	e := authtest.New(t, append([]func(*auth.Config){known}, amend...)...)
	tourists := map[string]*tourist{}
	for name, a := range places {
		a.idp.SetNow(e.Clock.Now)
		tourists[name] = &tourist{e, a}
	}
	return tourists
}

// arrival is how the owner of an address comes, and proves that it is theirs.
type arrival struct {
	name string
	come func(t *testing.T, e *authtest.Engine, google *tourist) *auth.Session
}

const (
	theirAddress     = "v@example.com"
	theirPassword    = "slow-heron-nineteen"
	mallorysPassword = "mallory's password"
)

// byLetter comes with what a letter brings.
func byLetter(m mailing) arrival {
	return arrival{m.name, func(t *testing.T, e *authtest.Engine, _ *tourist) *auth.Session {
		if err := m.send(e, theirAddress, ""); err != nil {
			t.Fatal(err)
		}
		ticket := e.Mailbox.Last(t, theirAddress).Ticket()
		if m.kind == "passwordReset" {
			if err := e.ChangePassword(t.Context(), nil, auth.ChangePasswordParams{Ticket: ticket, NewPassword: theirPassword}); err != nil {
				t.Fatal(err)
			}
			in, err := signIn(t, e, theirAddress, theirPassword)
			if err != nil {
				t.Fatal(err)
			}
			return in.Session
		}
		s, err := m.redeemSecret(e, theirAddress, ticket)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}}
}

// byGoogle comes from a provider that has seen a proof.
var byGoogle = arrival{"Google", func(t *testing.T, _ *authtest.Engine, google *tourist) *auth.Session {
	return google.in(t, google.account(1, theirAddress, true))
}}

// bySignUp comes as if nobody had been there.
var bySignUp = arrival{"a sign-up", func(t *testing.T, e *authtest.Engine, _ *tourist) *auth.Session {
	if _, err := signUp(t, e, theirAddress, theirPassword, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, theirAddress).Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	return v.Session
}}

// PH-01, PH-02, PH-03, W4: an account at a provider that somebody linked before the owner of the address came is linked no more, nor is
// one that they were about to link.
func TestTheOwnerOfAnAddressFindsNoLinks(t *testing.T) {
	t.Parallel()
	// A verification link is the answer to a sign-up, and what that set stands.
	for _, by := range []arrival{byGoogle, byLetter(mailings[0]), byLetter(mailings[1]), byLetter(mailings[2])} {
		t.Run("by "+by.name, func(t *testing.T) {
			t.Parallel()
			at := together(t, []string{"google", "github", "twitter"}, letters, unverified)
			google, github, twitter := at["google"], at["github"], at["twitter"]
			e := google.Engine
			mallory := e.SignUp(t, theirAddress)
			p := e.Principal(t, mallory)
			account, other, third := github.account(1, "m@example.com", true), twitter.account(1, "", nil), github.account(2, "", nil)
			for at, who := range map[*tourist]fakeidp.Account{github: account, twitter: other} {
				if err := at.link(t, p, who); err != nil {
					t.Fatal(err)
				}
			}
			if in := github.in(t, account); in.User.ID != mallory.User.ID {
				t.Fatal("the link does not let its owner in")
			}
			begun, err := e.LinkProvider(t.Context(), p, auth.LinkProviderParams{Provider: "github"})
			if err != nil {
				t.Fatal(err)
			}

			theirs := by.come(t, e, google)
			if theirs == nil || !theirs.User.EmailVerified {
				t.Fatal("the owner of the address does not come in")
			}
			list, err := e.ListIdentities(t.Context(), e.Principal(t, theirs))
			if err != nil || len(list) > 1 || len(list) == 1 && list[0].Provider != "google" {
				t.Errorf("%v, %v", list, err)
			}
			if r, err := github.finish(t, begun, github.idp.Visit(t, begun.URL, third).Values()); !errors.Is(err, auth.ErrInvalidState) || r.Linked {
				t.Errorf("a link that had begun: %v", err)
			}
			for at, who := range map[*tourist]fakeidp.Account{github: account, twitter: other} {
				if r, err := at.visit(t, who); err != nil || r.Session == nil || r.Session.User.ID == theirs.User.ID {
					t.Errorf("%s: %v", at.name, err)
				}
			}
			if in := github.in(t, third); in.User.ID == theirs.User.ID {
				t.Error("an account that was about to be linked comes in")
			}
			if _, err := signIn(t, e, theirAddress, authtest.Password); !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Errorf("the password: %v", err)
			}
			if _, err := refresh(t, e, mallory.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Errorf("the session: %v", err)
			}
			if _, err := e.ProviderTokens(t.Context(), e.Principal(t, theirs), "github"); !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("the tokens of the link: %v", err)
			}
		})
	}
}

// PH-10: whoever sits on an address, in whatever way, keeps nobody from it, and does not come in once its owner has come.
func TestWhoeverSitsOnAnAddressKeepsNobodyFromIt(t *testing.T) {
	t.Parallel()
	squats := map[string]func(t *testing.T, e *authtest.Engine, facebook *tourist, key *authtest.Authenticator) *auth.Session{
		"a password": func(t *testing.T, e *authtest.Engine, _ *tourist, _ *authtest.Authenticator) *auth.Session {
			if _, err := signUp(t, e, theirAddress, mallorysPassword, auth.SignUpOptions{}); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"a key": func(t *testing.T, e *authtest.Engine, _ *tourist, key *authtest.Authenticator) *auth.Session {
			if _, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, theirAddress))); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"a provider": func(t *testing.T, _ *authtest.Engine, facebook *tourist, _ *authtest.Authenticator) *auth.Session {
			if r, err := facebook.visit(t, facebook.account(1, theirAddress, nil)); err != nil || r.Session != nil {
				t.Fatalf("%v, %v", r.Session, err)
			}
			return nil
		},
		"a guest": func(t *testing.T, e *authtest.Engine, _ *tourist, _ *authtest.Authenticator) *auth.Session {
			s := guest(t, e)
			err := e.Deanonymize(t.Context(), e.Principal(t, s), auth.DeanonymizeParams{Method: auth.DeanonymizeByPassword, Email: theirAddress, Password: mallorysPassword})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"a code": func(t *testing.T, e *authtest.Engine, _ *tourist, _ *authtest.Authenticator) *auth.Session {
			if err := e.SendEmailOTP(t.Context(), auth.SendEmailOTPParams{Email: theirAddress}); err != nil {
				t.Fatal(err)
			}
			return nil
		},
	}
	for squat, sit := range squats {
		for _, by := range []arrival{byGoogle, byLetter(mailings[0]), byLetter(mailings[1]), bySignUp} {
			if squat == "a guest" && by.name == bySignUp.name {
				continue // whose account a sign-up does not take; PH-08
			}
			t.Run(squat+" and "+by.name, func(t *testing.T) {
				t.Parallel()
				at := together(t, []string{"google", "facebook"}, letters)
				e, key := at["google"].Engine, &authtest.Authenticator{}
				session := sit(t, e, at["facebook"], key)
				theirs := by.come(t, e, at["google"])
				if theirs == nil || !theirs.User.EmailVerified || theirs.User.Email != theirAddress {
					t.Fatal("the owner of the address does not come in")
				}
				if _, err := signIn(t, e, theirAddress, mallorysPassword); !errors.Is(err, auth.ErrInvalidEmailPassword) {
					t.Errorf("the password: %v", err)
				}
				if squat == "a key" {
					if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err == nil {
						t.Error("the key opens it")
					}
				}
				if r, err := at["facebook"].visit(t, at["facebook"].account(1, theirAddress, nil)); !errors.Is(err, auth.ErrEmailAlreadyInUse) || r.Session != nil {
					t.Errorf("the account at the provider: %v", err)
				}
				if session != nil {
					if _, err := refresh(t, e, session.RefreshToken); !errors.Is(err, auth.ErrInvalidRefreshToken) {
						t.Errorf("the guest: %v", err)
					}
				}
				list, err := e.ListIdentities(t.Context(), e.Principal(t, theirs))
				if err != nil || len(list) > 1 || len(list) == 1 && list[0].Provider != "google" {
					t.Errorf("%v, %v", list, err)
				}
			})
		}
	}
}

// PH-12: an address that looks like somebody's is not theirs, whoever says that it is verified.
func TestAddressesThatLookLikeAnothers(t *testing.T) {
	t.Parallel()
	for i, email := range []string{
		"vіctim@example.com", "victim@exаmple.com", "ｖictim@example.com", "vıctim@example.com", "victim+a@example.com", "vic.tim@example.com", `"victim"@example.com`,
		"victim@example.com.", "victim@example.com.evil.example", "victim@example.co", "victim\u200b@example.com", "victim@example.com\u200b", "victim%40example.com@evil.example",
		"victim@[127.0.0.1]", "victim\u00ad@example.com", "victi\u0301m@example.com", "ⅴictim@example.com",
	} {
		t.Run(fmt.Sprintf("%q", email), func(t *testing.T) {
			t.Parallel()
			v := newAbroad(t, "discord", nil).engine(t, letters)
			victim := v.SignUp(t, "victim@example.com").User.ID
			r, err := v.visit(t, v.account(i, email, true))
			if err == nil && r.Session.User.ID == victim {
				t.Fatal("they are one")
			}
			for _, m := range mailings[:3] {
				for _, to := range []string{"victim@example.com", email} {
					before := len(v.Mailbox.All())
					err := m.send(v.Engine, to, "")
					for _, l := range v.Mailbox.All()[before:] {
						if (l.To == "victim@example.com") != (to == "victim@example.com") {
							t.Errorf("%s for %q goes to %q, %v", m.name, to, l.To, err)
						}
					}
				}
			}
			if u, err := v.FindUser(t.Context(), auth.UserBy{Email: "victim@example.com"}); err != nil || u.ID != victim {
				t.Errorf("they are %v, %v", u, err)
			}
		})
	}
	// And one that is the same, in another spelling.
	v := newAbroad(t, "discord", nil).engine(t)
	victim := v.SignUp(t, "victim@example.com").User.ID
	if in := v.in(t, v.account(1, "Victim@EXAMPLE.com", true)); in.User.ID != victim {
		t.Error("another spelling is another user")
	}
}

// PH-14, ID-12: an account at a provider that gets another address stays its user's, and takes nobody's.
func TestAnAccountAtAProviderChangesItsAddress(t *testing.T) {
	t.Parallel()
	everywhere(t, func(w *wellKnown) bool { return w.told(true) == proof }, func(t *testing.T, a *abroad) {
		v := a.engine(t)
		ada := v.in(t, a.account(1, "a@example.com", a.flagged())).User
		bob := v.SignUp(t, "b@example.com")
		for _, email := range []string{"b@example.com", "c@example.com", "", "a@example.com"} {
			in := v.in(t, a.account(1, email, a.flagged()))
			if in.User.ID != ada.ID || in.User.Email != "a@example.com" || !in.User.EmailVerified {
				t.Errorf("with %q they are %s, %s", email, in.User.ID, in.User.Email)
			}
		}
		if got := v.SignIn(t, "b@example.com"); got.User.ID != bob.User.ID || v.owner(t, a.account(1, "", nil)) != ada.ID {
			t.Error("the other is not who they were")
		}
		// Somebody else who now has the first address there does not come into its account here: OA-28.
		r, err := v.visit(t, a.account(2, "a@example.com", a.flagged()))
		if !errors.Is(err, auth.ErrEmailAlreadyInUse) || r.Session != nil || v.owner(t, a.account(2, "", nil)) != uuid.Nil {
			t.Errorf("another account with the same address: %v", err)
		}
	})
}
