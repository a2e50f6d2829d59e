package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
)

// giving is a provider that gives whoever comes what a test wants it to.
type giving struct {
	*somewhere
	tokens, renewed provider.Tokens
	refuses         error
}

func (g *giving) Exchange(context.Context, provider.Env, provider.Return) (provider.Tokens, error) {
	return g.tokens, g.refuses
}

func (g *giving) Profile(context.Context, provider.Env, provider.Return, provider.Tokens) (provider.Profile, error) {
	return person("1", "", false), nil
}

func (g *giving) Refresh(context.Context, provider.Env, string) (provider.Tokens, error) {
	return g.renewed, g.refuses
}

func newGiving(t *testing.T) (*visitor, *giving) {
	t.Helper()
	g := &giving{}
	v := newVisitor(t, func(c *auth.Config) {
		g.somewhere = c.Providers["here"].(*somewhere)
		c.Providers["here"] = g
	})
	return v, g
}

// tooLate is a time that JSON cannot write.
var tooLate = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

// OA-39: of what a provider gives, an access token is kept that there is, with its refresh token, and of both together no more
// than 32 KiB. What cannot be kept as it should be is a failure, and brings nobody in.
func TestWhichTokensAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tokens provider.Tokens
		kept   bool
	}{
		"an access token":       {provider.Tokens{AccessToken: "a"}, true},
		"both":                  {provider.Tokens{AccessToken: "a", RefreshToken: "r"}, true},
		"no access token":       {provider.Tokens{RefreshToken: "r"}, false},
		"32 KiB":                {provider.Tokens{AccessToken: strings.Repeat("a", 32<<10-1), RefreshToken: "r"}, true},
		"32 KiB and one byte":   {provider.Tokens{AccessToken: strings.Repeat("a", 32<<10), RefreshToken: "r"}, false},
		"and nobody knows till": {provider.Tokens{AccessToken: "a", ExpiresAt: time.Time{}}, true},
	} {
		v, g := newGiving(t)
		g.tokens = c.tokens
		r, err := v.visit(t, "here", provider.Profile{})
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := v.ProviderTokens(t.Context(), v.Principal(t, r.Session), "here")
		if !c.kept {
			if !errors.Is(err, auth.ErrInvalidRequest) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if want := (&auth.ProviderTokens{AccessToken: c.tokens.AccessToken, RefreshToken: c.tokens.RefreshToken}); err != nil || !cmp.Equal(tokens, want) {
			t.Errorf("%s: %v, %v", name, err, cmp.Diff(tokens, want))
		}
	}
	v, g := newGiving(t)
	g.tokens = provider.Tokens{AccessToken: "a", ExpiresAt: tooLate}
	if r, err := v.visit(t, "here", provider.Profile{}); !errors.Is(err, auth.ErrInternal) || r.Session != nil || userCount(t, v.Store) != 0 {
		t.Errorf("%v, %v", r.Session, err)
	}
	g.tokens = provider.Tokens{AccessToken: "a", RefreshToken: "r"}
	r, err := v.visit(t, "here", provider.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	g.renewed = provider.Tokens{AccessToken: "b", ExpiresAt: tooLate}
	if err := v.RefreshKeptProviderTokens(t.Context(), r.Session.User.ID, "here"); !errors.Is(err, auth.ErrInternal) {
		t.Error(err)
	}
	if tokens, err := v.ProviderTokens(t.Context(), v.Principal(t, r.Session), "here"); err != nil || tokens.AccessToken != "a" {
		t.Errorf("%v, %v", tokens, err)
	}
}

// Of several accounts at a provider it is the tokens of the one last used that are handed out, of those that have any.
func TestTokensAreOfTheAccountLastUsed(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	r, err := v.visit(t, "here", person("1", "", false))
	if err != nil {
		t.Fatal(err)
	}
	ada := v.Principal(t, r.Session)
	v.Clock.Advance(time.Minute)
	v.here.suffix = " of the second"
	if err := v.linkTo(t, ada, "here", person("2", "", false)); err != nil {
		t.Fatal(err)
	}
	v.Clock.Advance(time.Minute)
	if err := v.LinkIDToken(t.Context(), ada, auth.LinkIDTokenParams{Provider: "here", IDToken: asJSON(person("3", "", false))}); err != nil {
		t.Fatal(err)
	}
	for _, second := range []bool{true, false} {
		tokens, err := v.ProviderTokens(t.Context(), ada, "here")
		if err != nil || strings.HasSuffix(tokens.AccessToken, " of the second") != second {
			t.Errorf("%s, %v", asJSON(tokens), err)
		}
	}
}

// Tokens of providers are for who is signed in, and for the service, where there are any to be had.
func TestTokensThatAreNotToBeHad(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	r, err := v.visit(t, "here", person("1", "", false))
	if err != nil {
		t.Fatal(err)
	}
	p := v.Principal(t, r.Session)
	refreshes := func(e *authtest.Engine, name, token string) error {
		return only(e.RefreshProviderTokens(t.Context(), p, auth.RefreshProviderTokensParams{Provider: name, RefreshToken: token}))
	}
	forgetful := v.replica(t, v.Store, func(c *auth.Config) { c.ForgetProviderTokens = true })
	restarted := v.replica(t, v.Store, func(c *auth.Config) { c.Secret = auth.Secret("another secret than the one from before") })
	for name, c := range map[string]struct{ err, want error }{
		"of no provider":             {only(v.ProviderTokens(t.Context(), p, "nowhere")), auth.ErrDisabledEndpoint},
		"renewed, of no provider":    {refreshes(v.Engine, "nowhere", "x"), auth.ErrDisabledEndpoint},
		"renewed by nothing":         {refreshes(v.Engine, "here", ""), auth.ErrInvalidRequest},
		"kept, of no provider":       {v.RefreshKeptProviderTokens(t.Context(), p.UserID, "nowhere"), auth.ErrDisabledEndpoint},
		"kept, where nothing is":     {forgetful.RefreshKeptProviderTokens(t.Context(), p.UserID, "here"), auth.ErrDisabledEndpoint},
		"sealed by another secret":   {restarted.RefreshKeptProviderTokens(t.Context(), p.UserID, "here"), auth.ErrInvalidRequest},
		"renewed where none is kept": {refreshes(forgetful, "here", "x"), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if err := v.SignOut(t.Context(), nil, auth.SignOutParams{RefreshToken: r.Session.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if err := refreshes(v.Engine, "here", "x"); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("for who has signed out: %v", err)
	}
}

// What is kept is renewed on the service's authority, for who is disabled as well; what has changed meanwhile stays as it is.
func TestKeptTokensChangeWhileTheyAreRenewed(t *testing.T) {
	t.Parallel()
	here := &somewhere{}
	i := interruptible(t, withSomewhere(here, &somewhere{}))
	v := &visitor{Engine: i.Engine, here: here}
	in := func() *auth.Principal {
		r, err := v.visit(t, "here", person("1", "", false))
		if err != nil {
			t.Fatal(err)
		}
		return v.Principal(t, r.Session)
	}
	take := func(p *auth.Principal) (string, error) {
		tokens, err := v.ProviderTokens(background, p, "here")
		if err != nil {
			return "", err
		}
		return tokens.AccessToken, nil
	}
	taking := func(p *auth.Principal) func() {
		return func() {
			if _, err := take(p); err != nil {
				t.Error(err)
			}
		}
	}
	p := in()
	i.arm(taking(p))
	if got, err := take(p); !errors.Is(err, auth.ErrInvalidRequest) {
		t.Errorf("taken twice: %s, %v", got, err)
	}
	p = in()
	i.arm(taking(p))
	if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, "here"); err != nil {
		t.Error(err)
	}
	if got, err := take(p); !errors.Is(err, auth.ErrInvalidRequest) || len(v.Events.Of(auth.EventProviderTokensRenewed)) != 0 {
		t.Errorf("renewed after they were taken: %s, %v", got, err)
	}
	p = in()
	yes, no := true, false
	for _, disabled := range []*bool{&yes, &no} {
		if _, err := v.UpdateUser(t.Context(), p.UserID, auth.UserUpdate{Disabled: disabled}); err != nil {
			t.Fatal(err)
		}
		if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, "here"); err != nil {
			t.Errorf("disabled %t: %v", *disabled, err)
		}
	}
	i.arm(func() {
		if err := v.Store.DeleteUser(background, store.UserDeletion{UserID: p.UserID, Now: v.Clock.Now()}); err != nil {
			t.Error(err)
		}
	})
	if err := v.RefreshKeptProviderTokens(t.Context(), p.UserID, "here"); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("of who is gone: %v", err)
	}
}

// The operator is told of a provider that does not answer as it should, and not of people who think better of it.
func TestTheOperatorIsToldOfProvidersThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuses error
		told    bool
	}{
		"the client secret is wrong": {errors.New("invalid_client"), true},
		"nobody agreed":              {provider.ErrDenied, false},
	} {
		v, g := newGiving(t)
		g.refuses = c.refuses
		r, err := v.visit(t, "here", provider.Profile{})
		if err == nil || errors.Is(err, auth.ErrOAuthProviderError) == c.told || (r.Refusal == nil) != c.told {
			t.Errorf("%s: %v, %+v", name, err, r.Refusal)
		}
		if told := strings.Contains(v.Logs.String(), "identity provider failed"); told != c.told {
			t.Errorf("%s: the logs are %s", name, v.Logs.String())
		}
	}
	for _, token := range []string{"", "x"} { // beside an error a token is none
		v, g := newGiving(t)
		p := v.Principal(t, v.SignUp(t, "ada@example.com"))
		g.refuses, g.renewed = errors.New("invalid_client"), provider.Tokens{AccessToken: token}
		err := only(v.RefreshProviderTokens(t.Context(), p, auth.RefreshProviderTokensParams{Provider: "here", RefreshToken: "x"}))
		if !errors.Is(err, auth.ErrOAuthProviderError) || !strings.Contains(v.Logs.String(), "invalid_client") {
			t.Errorf("%v; the logs are %s", err, v.Logs.String())
		}
	}
}
