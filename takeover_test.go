package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// PH-08: a stranger's sign-up takes the place of another sign-up, and of nothing that somebody has come in with: neither of a
// guest who is about to prove an address, nor of a user whose address is to be proven once more.
func TestASignUpTakesNoAccountOver(t *testing.T) {
	t.Parallel()
	no := false
	established := map[string]func(t *testing.T, e *authtest.Engine) uuid.UUID{
		"a guest who chose a password": func(t *testing.T, e *authtest.Engine) uuid.UUID {
			s := guest(t, e)
			err := e.Deanonymize(t.Context(), e.Principal(t, s), auth.DeanonymizeParams{
				Method: auth.DeanonymizeByPassword, Email: "v@example.com", Password: authtest.Password,
			})
			if err != nil {
				t.Fatal(err)
			}
			return s.User.ID
		},
		"a guest who waits for a link": func(t *testing.T, e *authtest.Engine) uuid.UUID {
			s := guest(t, e)
			err := e.Deanonymize(t.Context(), e.Principal(t, s), auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless, Email: "v@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			return s.User.ID
		},
		"a user who is to verify again": func(t *testing.T, e *authtest.Engine) uuid.UUID {
			id := e.SignUp(t, "v@example.com").User.ID
			if _, err := e.UpdateUser(t.Context(), id, auth.UserUpdate{EmailVerified: &no}); err != nil {
				t.Fatal(err)
			}
			if err := mailings[3].send(e, "v@example.com", ""); err != nil {
				t.Fatal(err)
			}
			return id
		},
		"a user from elsewhere": func(t *testing.T, e *authtest.Engine) uuid.UUID {
			u, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "v@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			if err := mailings[3].send(e, "v@example.com", ""); err != nil {
				t.Fatal(err)
			}
			return u.ID
		},
	}
	for name, establish := range established {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, letters)
			id := establish(t, e)
			ticket := e.Mailbox.Last(t, "v@example.com").Ticket()
			key := &authtest.Authenticator{}
			if _, err := signUp(t, e, "v@example.com", "mallory's password", auth.SignUpOptions{}); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
				t.Errorf("a sign-up: %v", err)
			}
			if _, err := endKeySignUp(t, e, key.Create(t, beginKeySignUp(t, e, "v@example.com"))); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
				t.Errorf("a sign-up with a key: %v", err)
			}
			v, err := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
			if err != nil || v.Session.User.ID != id {
				t.Fatalf("the owner's link: %v", err)
			}
			if _, err := signIn(t, e, "v@example.com", "mallory's password"); !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Errorf("the stranger's password: %v", err)
			}
			if _, err := endKeySignIn(t, e, key.Get(t, beginKeySignIn(t, e, ""))); err == nil {
				t.Error("the stranger's key opens it")
			}
		})
	}
}

// OWASP ASVS 5.0 7.5.1: an old session cannot become a new sign-in by way of a new address or number.
func TestAnOldSessionGetsNoNewWayIn(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		e := authtest.New(t, letters, func(c *auth.Config) { c.ConcealErrors = concealed })
		p := e.Principal(t, e.SignUp(t, "ada@example.com"))
		e.Clock.Advance(10*time.Minute + time.Second)
		if err := e.ChangePhone(t.Context(), p, auth.ChangePhoneParams{NewPhoneNumber: bobPhone}); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("a number: %v", err)
		}
		if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "m@example.com"}); !errors.Is(err, auth.ErrElevationRequired) {
			t.Errorf("an address: %v", err)
		}
		if len(e.Phone.All()) != 0 || len(e.Mailbox.To("m@example.com")) != 0 {
			t.Error("a code or a link was sent")
		}
		key := &authtest.Authenticator{}
		addKey(t, e, p, key)
		_, up := elevate(t, e, p, key)
		if err := e.ChangePhone(t.Context(), up, auth.ChangePhoneParams{NewPhoneNumber: bobPhone}); err != nil {
			t.Errorf("a number after a step-up: %v", err)
		}
		if err := e.ChangeEmail(t.Context(), up, auth.ChangeEmailParams{NewEmail: "m@example.com"}); err != nil {
			t.Errorf("an address after a step-up: %v", err)
		}
	}
}

// EN-07: where errors are concealed, nothing that happens to who asks for a taken address differs from what a free one brings.
func TestAChangeOfAddressTellsNothingOfOthers(t *testing.T) {
	t.Parallel()
	yes := true
	e := authtest.New(t)
	counter := storetest.Count(e.Store)
	e = authtest.NewWithStore(t, counter, letters, func(c *auth.Config) { c.ConcealErrors = true })
	e.SignUp(t, "taken@example.com")
	pendingUser(t, e, "pending@example.com")
	disabled := e.SignUp(t, "disabled@example.com").User.ID
	if _, err := e.UpdateUser(t.Context(), disabled, auth.UserUpdate{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, to := range []string{"free@example.com", "taken@example.com", "pending@example.com", "disabled@example.com"} {
		email := "asks-for-" + to
		p := e.Principal(t, e.SignUp(t, email))
		if err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: "before-" + to}); err != nil {
			t.Fatal(err)
		}
		earlier := e.Mailbox.Last(t, "before-"+to).Ticket()
		mine, theirs := len(e.Mailbox.To(email)), len(e.Mailbox.To(to))
		counter.Reset()
		err := e.ChangeEmail(t.Context(), p, auth.ChangeEmailParams{NewEmail: to})
		trips := counter.Trips() - counter.Calls()["SettleMessage"]
		_, earlierErr := e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: earlier})
		seen[to] = fmt.Sprint(err, trips, len(e.Mailbox.To(email))-mine, e.Mailbox.Last(t, email).Template, earlierErr)
		if got := len(e.Mailbox.To(to)) - theirs; got != map[bool]int{true: 1}[to != "pending@example.com" && to != "disabled@example.com"] {
			t.Errorf("%s got %d letters", to, got)
		}
	}
	for to, what := range seen {
		if what != seen["free@example.com"] {
			t.Errorf("%s: %s\nfree: %s", to, what, seen["free@example.com"])
		}
	}
	if l := e.Mailbox.Last(t, "taken@example.com"); l.Template != "signup-attempt" {
		t.Errorf("the owner got %s", l.Template)
	}
}

// PH-12: nobody keeps a number from its owner by naming it first.
func TestAnUnprovenNumberGivesWay(t *testing.T) {
	t.Parallel()
	no, number := false, adaPhone
	holders := map[string]func(t *testing.T, e *authtest.Engine) (id uuid.UUID, stays bool){
		"a sign-up": func(t *testing.T, e *authtest.Engine) (uuid.UUID, bool) {
			textings()[0].code(t, e, nil, adaPhone)
			u, err := e.FindUser(t.Context(), auth.UserBy{Phone: adaPhone})
			if err != nil {
				t.Fatal(err)
			}
			return u.ID, false
		},
		"a user with an address": func(t *testing.T, e *authtest.Engine) (uuid.UUID, bool) {
			s := e.SignUp(t, "m@example.com")
			_, err := e.Store.ChangeUser(t.Context(), store.UserChange{
				UserID: s.User.ID, Now: e.Clock.Now(), Set: store.UserSet{Phone: &number, PhoneVerified: &no},
			})
			if err != nil {
				t.Fatal(err)
			}
			return s.User.ID, true
		},
	}
	for name, hold := range holders {
		for _, x := range textings()[1:] {
			for _, provider := range []bool{false, true} {
				e := withProvider(t, provider)
				owner := x.who(t, e, "owner")
				code := ""
				if name == "a user with an address" {
					code = x.code(t, e, owner, adaPhone)
				}
				id, stays := hold(t, e)
				if code == "" || provider {
					code = x.code(t, e, owner, adaPhone)
				}
				if err := x.redeem(e, owner, adaPhone, code); err != nil {
					t.Errorf("%s, %s: %v", name, x.name, err)
				}
				u, err := e.FindUser(t.Context(), auth.UserBy{Phone: adaPhone})
				if err != nil || u.ID != owner.UserID || !u.PhoneNumberVerified {
					t.Errorf("%s, %s: the number is %s's: %v", name, x.name, asJSON(u), err)
				}
				if _, err := e.FindUser(t.Context(), auth.UserBy{ID: id}); (err == nil) != stays {
					t.Errorf("%s, %s: the holder: %v", name, x.name, err)
				}
			}
		}
	}
}

// PH-12, ST-06: an account that changes while its number is taken from it, and a store that fails at that.
func TestAnAccountThatChangesWhileItsNumberIsTaken(t *testing.T) {
	t.Parallel()
	no, yes, number, none := false, true, adaPhone, ""
	give := func(t *testing.T, e *authtest.Engine, id uuid.UUID, verified *bool) {
		t.Helper()
		_, err := e.Store.ChangeUser(t.Context(), store.UserChange{
			UserID: id, Now: e.Clock.Now(), If: store.Conditions{Disabled: true}, Set: store.UserSet{Phone: &number, PhoneVerified: verified},
		})
		if err != nil {
			t.Error(err)
		}
	}
	holders := map[string]struct {
		hold  func(t *testing.T, e *authtest.Engine) uuid.UUID
		frees string // the method by which the number is taken
		which int    // the how many-th call of it
	}{
		"a sign-up": {func(t *testing.T, e *authtest.Engine) uuid.UUID {
			if err := textings()[0].send(e, nil, adaPhone); err != nil {
				t.Fatal(err)
			}
			u, err := e.FindUser(t.Context(), auth.UserBy{Phone: adaPhone})
			if err != nil {
				t.Fatal(err)
			}
			return u.ID
		}, "DeleteUser", 1},
		"a user with an address": {func(t *testing.T, e *authtest.Engine) uuid.UUID {
			id := e.SignUp(t, "m@example.com").User.ID
			give(t, e, id, &no)
			return id
		}, "ChangeUser", 2},
		"a user with an address who has never been there": {func(t *testing.T, e *authtest.Engine) uuid.UUID {
			pendingUser(t, e, "m@example.com")
			u, err := e.FindUser(t.Context(), auth.UserBy{Email: "m@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			give(t, e, u.ID, &no)
			return u.ID
		}, "ChangeUser", 2},
		"a user without an address who has been there": {func(t *testing.T, e *authtest.Engine) uuid.UUID {
			id := guest(t, e).User.ID
			give(t, e, id, &no)
			return id
		}, "ChangeUser", 2},
	}
	for name, h := range holders {
		for _, x := range textings()[1:] {
			t.Run(name+", "+x.name, func(t *testing.T) {
				t.Parallel()
				type scenario struct {
					e      *authtest.Engine
					holder uuid.UUID
					redeem func(e *authtest.Engine) error
				}
				prepare := func() scenario {
					e := authtest.New(t)
					owner := x.who(t, e, "owner")
					s := scenario{e: e, holder: h.hold(t, e)}
					code := x.code(t, e, owner, adaPhone)
					s.redeem = func(e *authtest.Engine) error { return x.redeem(e, owner, adaPhone, code) }
					return s
				}
				over := func(s scenario, db store.Store) *authtest.Engine {
					return authtest.NewWithStore(t, db, func(c *auth.Config) { c.Now, c.Mail = s.e.Clock.Now, s.e.Mailbox })
				}

				s := prepare()
				counter := storetest.Count(s.e.Store)
				if err := s.redeem(over(s, counter)); err != nil {
					t.Fatal(err)
				}
				u, err := s.e.FindUser(t.Context(), auth.UserBy{ID: s.holder})
				if stays := h.frees == "ChangeUser"; stays != (err == nil) || stays && u.PhoneNumber != "" {
					t.Errorf("the holder: %s, %v", asJSON(u), err)
				}
				for method, times := range counter.Calls() {
					for n := range times {
						if slices.Contains(afterwards, method) {
							continue
						}
						s := prepare()
						e := over(s, storetest.Break(s.e.Store, storetest.Fault{Method: method, Call: n + 1}))
						if err := s.redeem(e); !errors.Is(err, auth.ErrInternal) {
							t.Errorf("%s, %d, fails: %v", method, n+1, err)
						}
					}
				}

				look, free := storetest.Fault{Method: "User", Call: counter.Calls()["User"]}, storetest.Fault{Method: h.frees, Call: h.which}
				deleted := func(ctx context.Context, s scenario) error {
					return s.e.Store.DeleteUser(ctx, store.UserDeletion{UserID: s.holder, Now: s.e.Clock.Now()})
				}
				set := func(u store.UserSet) func(context.Context, scenario) error {
					return func(ctx context.Context, s scenario) error {
						_, err := s.e.Store.ChangeUser(ctx, store.UserChange{UserID: s.holder, Now: s.e.Clock.Now(), Set: u, Drop: store.Drop{Sessions: true}})
						return err
					}
				}
				for what, c := range map[string]struct {
					at      storetest.Fault
					happens func(ctx context.Context, s scenario) error
					fails   int // which call of ChangeUser fails after that; 0 for none
					want    error
				}{
					"deleted before the look":                {look, deleted, 0, nil},
					"deleted before the look, a fault later": {look, deleted, 2, auth.ErrInternal},
					"deleted after the look":                 {free, deleted, 0, nil},
					"deleted after the look, a fault later":  {free, deleted, h.which + 1, auth.ErrInternal},
					"proven before the look":                 {look, set(store.UserSet{PhoneVerified: &yes}), 0, auth.ErrInvalidRequest},
					"proven after the look":                  {free, set(store.UserSet{PhoneVerified: &yes}), 0, auth.ErrInvalidRequest},
					"given up after the look":                {free, set(store.UserSet{Phone: &none}), 0, nil},
					"disabled before the look":               {look, set(store.UserSet{Disabled: &yes}), 0, nil},
				} {
					s := prepare()
					c.at.Do = func(ctx context.Context) {
						if err := c.happens(ctx, s); err != nil {
							t.Error(err)
						}
					}
					faults := []storetest.Fault{c.at}
					if c.fails > 0 {
						faults = append(faults, storetest.Fault{Method: "ChangeUser", Call: c.fails})
					}
					e := over(s, storetest.Break(s.e.Store, faults...))
					if err := s.redeem(e); !errors.Is(err, c.want) || c.want == nil && err != nil {
						t.Errorf("%s: %v", what, err)
					}
					lost := slices.ContainsFunc(e.Events.All(), func(ev auth.Event) bool { return ev.UserID == s.holder })
					if want := what == "disabled before the look"; lost != want {
						t.Errorf("%s: %+v", what, e.Events.All())
					}
					if u, err := s.e.FindUser(t.Context(), auth.UserBy{Phone: adaPhone}); c.want == auth.ErrInvalidRequest && (err != nil || u.ID != s.holder) {
						t.Errorf("%s: the number is %s's, %v", what, asJSON(u), err)
					}
				}
			})
		}
	}
}

// A principal that no token stands for is nobody.
func TestNobodyProvesNoNumber(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	for _, x := range textings()[1:] {
		p := x.who(t, e, "ada")
		code := x.code(t, e, p, adaPhone)
		if err := x.redeem(e, &auth.Principal{}, adaPhone, code); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// ST-06: what ends every session ends the codes that would open another.
func TestCodesEndWithTheSessions(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, end := range map[string]func(t *testing.T, e *authtest.Engine, s *auth.Session) error{
		"signed out everywhere": func(t *testing.T, e *authtest.Engine, s *auth.Session) error {
			return e.SignOut(t.Context(), e.Principal(t, s), auth.SignOutParams{All: true})
		},
		"disabled and enabled": func(t *testing.T, e *authtest.Engine, s *auth.Session) error {
			_, err := e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &yes})
			if err == nil {
				_, err = e.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &no})
			}
			return err
		},
	} {
		e := authtest.New(t, letters)
		s := e.SignUp(t, "ada@example.com")
		if err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(verifier)}); err != nil {
			t.Fatal(err)
		}
		code := followLink(t, e, "ada@example.com").Code
		if err := end(t, e, s); err != nil {
			t.Fatal(err)
		}
		if _, err := e.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: code, CodeVerifier: verifier}); !errors.Is(err, auth.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// faultyVerifier panics, or never answers.
type faultyVerifier struct {
	*authtest.Phone
	check func(context.Context) (bool, error)
}

func (v faultyVerifier) Check(ctx context.Context, _, _ string) (bool, error) { return v.check(ctx) }

// SM-07: a provider in trouble lets nobody in, and takes nothing down with it.
func TestAProviderInTrouble(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(context.Context) (bool, error){
		"panics":      func(context.Context) (bool, error) { panic("at the provider's") },
		"contradicts": func(context.Context) (bool, error) { return true, errors.New("but no") },
		"has a deadline": func(ctx context.Context) (bool, error) {
			if _, ok := ctx.Deadline(); !ok {
				return true, nil
			}
			return false, context.DeadlineExceeded
		},
	} {
		phone := authtest.NewPhone()
		e := authtest.New(t, func(c *auth.Config) { c.SMS = &auth.SMSConfig{Verifier: faultyVerifier{phone, check}} })
		e.Phone = phone
		x := textings()[0]
		if err := x.redeem(e, nil, adaPhone, x.code(t, e, nil, adaPhone)); !errors.Is(err, auth.ErrInternal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was granted when a guest asked must still be granted when they have proven their number.
func TestAConversionIsCheckedWhenItIsMade(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	p := e.Principal(t, guest(t, e))
	err := e.Deanonymize(t.Context(), p, auth.DeanonymizeParams{
		Method: auth.DeanonymizeBySMS, PhoneNumber: adaPhone, Options: auth.SignUpOptions{Metadata: json.RawMessage(`{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	closed := replica(t, e, func(c *auth.Config) { c.SignUp.Disabled = true })
	_, err = closed.VerifyDeanonymize(t.Context(), p, auth.VerifyDeanonymizeParams{PhoneNumber: adaPhone, OTP: e.Phone.Last(t, adaPhone).Code})
	if !errors.Is(err, auth.ErrSignUpDisabled) {
		t.Errorf("%v", err)
	}
}

// LG-10: a struct with a secret that is logged by mistake shows none.
func TestParamsWithSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	const secret = "canary"
	for _, v := range []any{
		auth.VerifyTicketParams{Ticket: secret},
		auth.VerifiedTicket{Code: secret},
		auth.VerifyEmailOTPParams{OTP: secret},
		auth.VerifySMSOTPParams{OTP: secret},
		auth.VerifyChangePhoneParams{OTP: secret},
		auth.VerifyDeanonymizeParams{OTP: secret},
		auth.RefreshParams{RefreshToken: secret},
		auth.SignOutParams{RefreshToken: secret},
		auth.ExchangeCodeParams{Code: secret},
		auth.ChangePasswordParams{Ticket: secret},
		auth.DeanonymizeParams{Password: secret},
	} {
		for _, text := range prints(v) {
			if strings.Contains(text, secret) {
				t.Errorf("%T: %s", v, text)
			}
		}
	}
}

// PH-08, PH-11: nothing of a sign-up that nobody has proven outlives the next one with its address: no role, no language, no link.
func TestNothingOfAReplacedSignUpIsLeft(t *testing.T) {
	t.Parallel()
	roles := func(c *auth.Config) {
		letters(c)
		c.Locales.Allowed = []string{"cs"}
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			if s.Locale == "cs" {
				s.AvatarURL = "https://example.com/squatter.png"
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		again    func(t *testing.T, e *authtest.Engine)
		metadata string
	}{
		"with a password": {func(t *testing.T, e *authtest.Engine) {
			if _, err := signUp(t, e, "ada@example.com", newPassword, auth.SignUpOptions{Metadata: json.RawMessage(`{"b":2}`)}); err != nil {
				t.Fatal(err)
			}
		}, `{"b":2}`},
		"with a passkey": {func(t *testing.T, e *authtest.Engine) {
			if _, err := endKeySignUp(t, e, (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com"))); err != nil {
				t.Fatal(err)
			}
		}, "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within := &complete{Store: memstore.New(), missing: map[string]bool{}}
			strict := authtest.NewWithStore(t, within, roles, func(c *auth.Config) { within.now = c.Now })
			_, err := signUp(t, strict, "ada@example.com", authtest.Password, auth.SignUpOptions{
				Locale: "cs", AllowedRoles: []string{"me"}, DefaultRole: "me", Metadata: json.RawMessage(`{"a":1}`),
			})
			if err != nil {
				t.Fatal(err)
			}
			squatter := strict.Events.Of(auth.EventUserCreated)[0].UserID
			var old []string
			for _, m := range []mailing{mailings[0], mailings[2]} {
				if err := m.send(strict, "ada@example.com", ""); err != nil {
					t.Fatal(err)
				}
				old = append(old, strict.Mailbox.Last(t, "ada@example.com").Ticket())
			}
			c.again(t, strict)
			for what := range within.missing {
				t.Error(what)
			}
			events := strict.Events.Of(auth.EventUserUpdated)
			if len(events) != 1 || events[0].UserID != squatter || events[0].Method == "" || events[0].Detail == "" {
				t.Errorf("recorded: %+v", events)
			}
			letter := strict.Mailbox.Last(t, "ada@example.com")
			for _, ticket := range old {
				if _, err := strict.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket}); !errors.Is(err, auth.ErrInvalidTicket) {
					t.Errorf("an earlier link: %v", err)
				}
			}
			v, err := strict.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: letter.Ticket()})
			if err != nil {
				t.Fatal(err)
			}
			u := v.Session.User
			if u.DefaultRole != "user" || u.Locale != "en" || u.AvatarURL != "" || string(u.Metadata) != c.metadata {
				t.Errorf("user %s", asJSON(u))
			}
			fresh := strict.SignUp(t, "bob@example.com").User
			if !cmp.Equal(u.Roles, fresh.Roles) {
				t.Errorf("roles %v, not %v", u.Roles, fresh.Roles)
			}
		})
	}
}

// PH-08: an account whose address the service vouches for is its owner's, although they have never been there: no sign-up takes its
// place.
func TestASignUpDoesNotReplaceAnAccountThatTheServiceVouchesFor(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, e *authtest.Engine){
		"imported": func(t *testing.T, e *authtest.Engine) {
			if _, err := e.ImportUser(t.Context(), auth.ImportUserParams{Email: "ada@example.com", EmailVerified: true}); err != nil {
				t.Fatal(err)
			}
		},
		"verified by the service": func(t *testing.T, e *authtest.Engine) {
			pendingUser(t, e, "ada@example.com")
			u, err := e.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			yes := true
			if _, err := e.UpdateUser(t.Context(), u.ID, auth.UserUpdate{EmailVerified: &yes}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t)
			prepare(t, e)
			if _, err := signUp(t, e, "ada@example.com", newPassword, auth.SignUpOptions{DisplayName: "Mallory"}); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
				t.Errorf("with a password: %v", err)
			}
			answer := (&authtest.Authenticator{}).Create(t, beginKeySignUp(t, e, "ada@example.com"))
			if _, err := endKeySignUp(t, e, answer); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
				t.Errorf("with a passkey: %v", err)
			}
			u, err := e.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
			if err != nil || u.DisplayName == "Mallory" || !u.EmailVerified {
				t.Errorf("%s, %v", asJSON(u), err)
			}
			if _, err := signIn(t, e, "ada@example.com", newPassword); !errors.Is(err, auth.ErrInvalidEmailPassword) {
				t.Errorf("the stranger's password: %v", err)
			}
		})
	}
}
