package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// OA-25: a picture is one that a page can show, of at most 2048 bytes, and goes before the one that an address has.
func TestPicturesOfProfiles(t *testing.T) {
	t.Parallel()
	long := "https://x.test/" + strings.Repeat("x", 2048-len("https://x.test/"))
	v := newVisitor(t, func(c *auth.Config) { c.Gravatar = &auth.GravatarConfig{} })
	for picture, kept := range map[string]bool{
		"https://x.test/a.png": true, long: true, long + "x": false, "https://[x": false, "https:///a.png": false, "https:a.png": false, "": false,
	} {
		r, err := v.visit(t, "here", provider.Profile{Subject: fmt.Sprint(len(picture)), Picture: picture})
		if err != nil || r.Session.User.AvatarURL != map[bool]string{true: picture}[kept] {
			t.Errorf("%s: %v, %v", picture, r.Session, err)
		}
	}
	for picture, host := range map[string]string{"": "www.gravatar.com", "https://x.test/a.png": "x.test"} {
		r, err := v.visit(t, "here", provider.Profile{Subject: "of " + host, Picture: picture, Email: "ada@" + host, EmailVerified: true})
		if err != nil || !strings.HasPrefix(r.Session.User.AvatarURL, "https://"+host+"/") {
			t.Errorf("%s: %v, %v", host, r.Session, err)
		}
	}
}

// Users see which accounts at providers are theirs, with what those have reported of them last.
func TestIdentitiesAreListed(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	r, err := v.visit(t, "here", person("1", "Ada@Example.com", true))
	if err != nil {
		t.Fatal(err)
	}
	ada, began := v.Principal(t, r.Session), v.Clock.Now()
	v.Clock.Advance(time.Minute)
	if err := v.linkTo(t, ada, "there", person("2", "", false)); err != nil {
		t.Fatal(err)
	}
	v.Clock.Advance(time.Minute)
	if _, err := v.visit(t, "here", person("1", "Countess@Example.com", false)); err != nil {
		t.Fatal(err)
	}
	list, err := v.ListIdentities(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	want := []auth.Identity{
		{Provider: "here", Subject: "1", Email: "Countess@Example.com", CreatedAt: began, LastUsedAt: began.Add(2 * time.Minute)},
		{Provider: "there", Subject: "2", CreatedAt: began.Add(time.Minute), LastUsedAt: began.Add(time.Minute)},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
}

// PH-10: only what nobody has proven, come in with or been shut out of makes room for another sign-up.
func TestWhatIsNoAbandonedSignUp(t *testing.T) {
	t.Parallel()
	yes := true
	for name, c := range map[string]struct {
		before func(t *testing.T, v *visitor)
		amend  func(*auth.Config)
		free   bool
	}{
		"a sign-up": {before: func(*testing.T, *visitor) {}, free: true},
		"a sign-up that the service has verified": {before: func(t *testing.T, v *visitor) {
			update(t, v.Engine, "v@example.com", auth.UserUpdate{EmailVerified: &yes})
		}},
		"a sign-up that the service has disabled": {before: func(t *testing.T, v *visitor) {
			update(t, v.Engine, "v@example.com", auth.UserUpdate{Disabled: &yes})
		}},
		"an account that somebody has come in with": {before: func(t *testing.T, v *visitor) {
			e := v.replica(t, v.Store, unverified)
			if _, err := signIn(t, e, "v@example.com", authtest.Password); err != nil {
				t.Fatal(err)
			}
		}},
		"a sign-up where addresses are not verified": {before: func(*testing.T, *visitor) {}, amend: unverified},
	} {
		v := newVisitor(t)
		pendingUser(t, v.Engine, "v@example.com")
		c.before(t, v)
		v.Clock.Advance(8 * 24 * time.Hour)
		e := v.Engine
		if c.amend != nil {
			e = v.replica(t, v.Store, c.amend)
		}
		_, err := e.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "v@example.com", false))})
		if c.free && err != nil || !c.free && !errors.Is(err, auth.ErrEmailAlreadyInUse) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func update(t *testing.T, e *authtest.Engine, email string, u auth.UserUpdate) {
	t.Helper()
	who, err := e.FindUser(t.Context(), auth.UserBy{Email: email})
	if err == nil {
		_, err = e.UpdateUser(t.Context(), who.ID, u)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A letter to who comes with an address that the provider has not verified leads to where they were going: to the page, and, if
// they began with a challenge, with a code.
func TestTheLetterOfANewcomerLeadsWhereAsked(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	start, err := v.StartProvider(t.Context(), auth.StartProviderParams{
		Provider: "here", Options: auth.SignUpOptions{RedirectTo: authtest.ClientURL + "/cart"}, CodeChallenge: challengeFor(verifier),
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := v.finish(t, "here", start, person("1", "ada@example.com", false)); err != nil || r.Session != nil || r.Code != "" {
		t.Fatalf("%v, %v", r.Session, err)
	}
	link, err := url.Parse(v.Mailbox.Last(t, "ada@example.com").Link())
	if err != nil || link.Query().Get("redirectTo") != authtest.ClientURL+"/cart" {
		t.Errorf("%v, %v", link, err)
	}
	in, err := v.ExchangeCode(t.Context(), auth.ExchangeCodeParams{Code: followLink(t, v.Engine, "ada@example.com").Code, CodeVerifier: verifier})
	if err != nil || in.Session.User.Email != "ada@example.com" {
		t.Errorf("%v, %v", in, err)
	}
	_, err = v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{
		Provider: "here", IDToken: asJSON(person("2", "bob@example.com", false)), Options: auth.SignUpOptions{RedirectTo: authtest.ClientURL + "/app"},
	})
	if err != nil {
		t.Fatal(err)
	}
	link, err = url.Parse(v.Mailbox.Last(t, "bob@example.com").Link())
	if err != nil || link.Query().Get("redirectTo") != authtest.ClientURL+"/app" {
		t.Errorf("%v, %v", link, err)
	}
	// Where addresses are not verified they come in at once, with a code as anybody.
	v = newVisitor(t, unverified)
	if start, err = v.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here", CodeChallenge: challengeFor(verifier)}); err != nil {
		t.Fatal(err)
	}
	if r, err := v.finish(t, "here", start, person("1", "ada@example.com", false)); err != nil || r.Session != nil || r.Code == "" {
		t.Errorf("%v, %v", r.Session, err)
	}
}

// What a newcomer asked for when they left must still be allowed when they come back, and the service may refuse them.
func TestANewcomerIsRefusedAtTheEnd(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, func(c *auth.Config) { c.Roles.Allowed = []string{"editor"} })
	for name, c := range map[string]struct {
		amend func(*auth.Config)
		want  error
	}{
		"a role that is no more":     {func(*auth.Config) {}, auth.ErrRoleNotAllowed},
		"a hook that refuses":        {func(c *auth.Config) { c.Roles.Allowed = []string{"editor"}; c.Hooks.BeforeSignUp = refuse }, errForbidden},
		"sign-ups are off meanwhile": {func(c *auth.Config) { c.SignUp.Disabled = true }, auth.ErrSignUpDisabled},
	} {
		e := v.replica(t, v.Store, c.amend)
		start := v.start(t, "here", auth.SignUpOptions{AllowedRoles: []string{"user", "editor"}})
		code := v.here.consent(start, person("1", "ada@example.com", true), nil)
		_, err := e.FinishProvider(t.Context(), auth.FinishProviderParams{
			Provider: "here", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}},
		})
		if !errors.Is(err, c.want) || userCount(t, v.Store) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func refuse(context.Context, *auth.SignUp) error { return errForbidden }

// An account that is another one whenever it has been looked at lets nobody in, and keeps nobody looking for ever.
func TestAnAccountThatNeverHoldsStill(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	v := newVisitorWithStore(t, s)
	if _, err := v.visit(t, "here", person("1", "", false)); err != nil {
		t.Fatal(err)
	}
	broken := storetest.Break(s, storetest.Fault{Method: "ChangeUser", Err: store.ErrUnmet{Condition: store.ConditionEpoch}})
	e := v.replica(t, broken)
	in, err := e.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "", false))})
	if !errors.Is(err, auth.ErrInternal) || in != nil || broken.Fired() != 3 {
		t.Errorf("%v after %d looks", err, broken.Fired())
	}
}

// EN-01, EN-09: with concealed errors, whoever has only an address at a provider hears of it what they would hear of one that is
// free. Who has it verified there learns that it is in use here.
func TestADoubtfulAddressIsConcealed(t *testing.T) {
	t.Parallel()
	concealing := func(c *auth.Config) { c.ConcealErrors = true }
	for name, c := range map[string]struct {
		amend func(*auth.Config)
		want  error // for who is nobody as well
	}{
		"as it comes":             {func(*auth.Config) {}, nil},
		"sign-ups are off":        {func(c *auth.Config) { c.SignUp.Disabled = true }, auth.ErrInvalidRequest},
		"new users are disabled":  {func(c *auth.Config) { c.SignUp.DisableNewUsers = true }, auth.ErrInvalidRequest},
		"addresses stand as such": {unverified, auth.ErrInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t)
			ada := v.SignUp(t, "ada@example.com").User.ID
			pendingUser(t, v.Engine, "pending@example.com")
			if err := v.linkTo(t, v.Principal(t, v.SignIn(t, "ada@example.com")), "here", person("of ada", "", false)); err != nil {
				t.Fatal(err)
			}
			letters := len(v.Mailbox.All())
			e := v.replica(t, v.Store, concealing, c.amend)
			come := func(p provider.Profile) (*auth.SignInResult, error) {
				return e.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(p)})
			}
			for i, email := range []string{"ada@example.com", "pending@example.com", "nobody@example.com"} {
				if email == "nobody@example.com" && name == "addresses stand as such" {
					continue // they come in, which is nothing that can be concealed
				}
				in, err := come(person(fmt.Sprint(i), email, false))
				if c.want == nil && (err != nil || in.Session != nil || in.MFA != nil) || c.want != nil && (!errors.Is(err, c.want) || in != nil) {
					t.Errorf("%s: %v, %v", email, in, err)
				}
			}
			failed := e.Events.Of(auth.EventSignUpFailed)
			pending, err := v.FindUser(t.Context(), auth.UserBy{Email: "pending@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			why := because(auth.CodeEmailAlreadyInUse)
			want := []auth.Event{
				ev(auth.EventSignUpFailed, of(ada), by("provider:here"), why), ev(auth.EventSignUpFailed, of(pending.ID), by("provider:here"), why),
			}
			if diff := cmp.Diff(want, failed, cmpopts.IgnoreFields(auth.Event{}, "ID", "At", "Client")); diff != "" {
				t.Error(diff)
			}
			var got []string
			for _, l := range v.Mailbox.All()[letters:] {
				got = append(got, l.To+": "+l.Template)
			}
			var letter []string
			if c.want == nil {
				letter = []string{"ada@example.com: signup-attempt", "nobody@example.com: email-verify"}
			}
			if diff := cmp.Diff(letter, got); diff != "" {
				t.Error(diff)
			}
			if in, err := come(person("another", "ada@example.com", true)); !errors.Is(err, auth.ErrInvalidRequest) || in != nil {
				t.Errorf("another account of the same provider: %v, %v", in, err)
			}
			e = v.replica(t, v.Store)
			for i, email := range []string{"ada@example.com", "pending@example.com"} {
				if in, err := come(person(fmt.Sprint(i), email, false)); !errors.Is(err, auth.ErrEmailAlreadyInUse) {
					t.Errorf("something has been linked to %s: %v, %v", email, in, err)
				}
			}
		})
	}
	// Nor does a store that fails tell.
	v := newVisitor(t)
	pendingUser(t, v.Engine, "pending@example.com")
	e := v.replica(t, storetest.Break(v.Store, storetest.Fault{Method: "PutTicket"}), concealing)
	in, err := e.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: asJSON(person("1", "pending@example.com", false))})
	if !errors.Is(err, auth.ErrInternal) || in != nil {
		t.Errorf("%v, %v", in, err)
	}
}
