package durability_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store"
)

// elsewhere is a provider that is asked nothing: a code, and an id token, is the profile that it is good for, as JSON.
type elsewhere struct{}

func (elsewhere) Authorize(_ context.Context, _ provider.Env, r provider.Request) (provider.Authorization, error) {
	return provider.Authorization{URL: "https://idp.test/?state=" + r.State}, nil
}

func (elsewhere) Exchange(_ context.Context, _ provider.Env, r provider.Return) (provider.Tokens, error) {
	return provider.Tokens{AccessToken: r.Values.Get("code"), RefreshToken: "refresh"}, nil
}

func (elsewhere) Profile(_ context.Context, _ provider.Env, _ provider.Return, t provider.Tokens) (p provider.Profile, _ error) {
	return p, json.Unmarshal([]byte(t.AccessToken), &p)
}

func (elsewhere) Refresh(context.Context, provider.Env, string) (provider.Tokens, error) {
	return provider.Tokens{}, provider.ErrNoRefresh
}

func (elsewhere) VerifyIDToken(_ context.Context, _ provider.Env, idToken, _ string) (p provider.Profile, _ error) {
	return p, json.Unmarshal([]byte(idToken), &p)
}

// withElsewhere configures two providers, here and there.
func withElsewhere(c *auth.Config) {
	c.Providers = map[string]provider.Provider{"here": elsewhere{}, "there": elsewhere{}}
	c.IDTokens = map[string]provider.IDTokenVerifier{"here": elsewhere{}, "there": elsewhere{}}
}

// showing is what somebody shows of an account at a provider, as a code and as an id token.
func showing(subject, email string, verified bool) string {
	text, _ := json.Marshal(provider.Profile{Subject: subject, Email: email, EmailVerified: verified})
	return string(text)
}

// visit begins a visit and returns its end.
func visit(t *testing.T, e *authtest.Engine, code string) func(context.Context) (*auth.ProviderResult, error) {
	t.Helper()
	start, err := e.StartProvider(t.Context(), auth.StartProviderParams{Provider: "here"})
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (*auth.ProviderResult, error) {
		return e.FinishProvider(ctx, auth.FinishProviderParams{
			Provider: "here", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}},
		})
	}
}

// enters lets somebody in who has an id token.
func enters(ctx context.Context, e *authtest.Engine, name, token string) (*auth.Session, error) {
	in, err := e.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: name, IDToken: token})
	if err != nil {
		return nil, err
	}
	return in.Session, nil
}

// providerContests are those of accounts at providers.
var providerContests = []contest{
	// OA-07
	{"the end of a visit to a provider", auth.ErrInvalidState, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		end := visit(t, e, showing("1", ada, true))
		return func(ctx context.Context, _ int) error {
			_, err := end(ctx)
			return err
		}
	}, 1, false},
	// OA-06
	{"an account at a provider that many users link", auth.ErrProviderAccountLinked, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		principals := make([]*auth.Principal, crowd)
		for i := range principals {
			principals[i] = e.Principal(t, e.SignUp(t, fmt.Sprintf("user%d@example.com", i)))
		}
		return func(ctx context.Context, i int) error {
			return e.LinkIDToken(ctx, principals[i], auth.LinkIDTokenParams{Provider: "here", IDToken: showing("1", "", false)})
		}
	}, 0, false},
	// OA-39
	{"the tokens of a provider", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		r, err := visit(t, e, showing("1", ada, true))(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, r.Session)
		return func(ctx context.Context, _ int) error {
			_, err := e.ProviderTokens(ctx, p, "here")
			return err
		}
	}, 0, false},
	// OA-28
	{"an address that many accounts at a provider prove", auth.ErrEmailAlreadyInUse, func(_ *testing.T, e *authtest.Engine) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			_, err := enters(ctx, e, "here", showing(fmt.Sprint(i), ada, true))
			return err
		}
	}, 1, false},
	// PH-01
	{"an address that is not verified and that many accounts at a provider prove", auth.ErrEmailAlreadyInUse, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		if err := signsUp(t.Context(), e, made{}); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, i int) error {
			_, err := enters(ctx, e, "here", showing(fmt.Sprint(i), ada, true))
			return err
		}
	}, 1, false},
	{"one of the last two ways in", auth.ErrInvalidRequest, func(t *testing.T, e *authtest.Engine) func(context.Context, int) error {
		s, err := enters(t.Context(), e, "here", showing("1", "", false))
		if err != nil {
			t.Fatal(err)
		}
		p := e.Principal(t, s)
		if err := e.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: "there", IDToken: showing("1", "", false)}); err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, i int) error {
			err := e.Unlink(ctx, p, auth.UnlinkParams{Provider: []string{"here", "there"}[i%2], Subject: "1"})
			if errors.Is(err, auth.ErrNotFound) {
				return auth.ErrInvalidRequest // it has gone a moment ago
			}
			return err
		}
	}, 0, false},
}

// W4, OA-37: those who come from a provider at the same moment, and are one person, are one user in every store; whoever had their
// address before is nobody's way in.
func TestFirstVisitsAreOfOneUserInEveryStore(t *testing.T) {
	t.Parallel()
	for name, newPlace := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, closeStore, err := newPlace(t).open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore()
			for _, c := range []struct {
				name   string
				before func(*authtest.Engine) error // makes the user, or none
				email  string
			}{
				{"of nobody yet", nil, ada},
				{"of nobody yet, without an address", nil, ""},
				{"of a user who has verified the address", func(e *authtest.Engine) error { e.SignUp(t, ada); return nil }, ada},
				{"of a user who has not", func(e *authtest.Engine) error { return signsUp(t.Context(), e, made{}) }, ada},
			} {
				for _, way := range []string{"visits", "id tokens"} {
					t.Run(c.name+", by "+way, func(t *testing.T) {
						defer empty(t, s)
						together := &gathering{Store: s, settled: make(chan struct{})}
						e := authtest.NewWithStore(t, together, withElsewhere)
						if c.before != nil {
							if err := c.before(e); err != nil {
								t.Fatal(err)
							}
						}
						shown := showing("1", c.email, true)
						var ends []func(context.Context) (*auth.ProviderResult, error)
						for range crowd {
							ends = append(ends, visit(t, e, shown))
						}
						before := sessions(t, s, e)
						ids := make([]uuid.UUID, crowd)
						together.called.Store(true)
						in := 0
						for _, err := range atOnce(func(i int) error {
							var session *auth.Session
							var err error
							if way == "visits" {
								var r *auth.ProviderResult
								r, err = ends[i](t.Context())
								session = r.Session
							} else {
								session, err = enters(t.Context(), e, "here", shown)
							}
							if err == nil {
								ids[i] = session.User.ID
							}
							return err
						}) {
							if err != nil {
								t.Error(err)
							} else {
								in++
							}
						}
						list := users(t, s)
						if len(list) != 1 {
							t.Fatalf("they are %d users", len(list))
						}
						for i, id := range ids {
							if id != uuid.Nil && id != list[0].ID {
								t.Errorf("attempt %d is %s, and the user %s", i, id, list[0].ID)
							}
						}
						a, err := s.User(t.Context(), store.UserQuery{ID: list[0].ID, With: store.WithIdentities, Now: e.Clock.Now()})
						if err != nil || len(a.Identities) != 1 || a.EmailVerified != (c.email != "") {
							t.Errorf("there are %d identities, and the address is verified: %v, %v", len(a.Identities), a.EmailVerified, err)
						}
						if opened := sessions(t, s, e) - before; opened != in {
							t.Errorf("%d sessions were opened, want %d", opened, in)
						}
						if c.before != nil {
							_, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: ada, Password: authtest.Password})
							if kept := err == nil; kept != (c.name == "of a user who has verified the address") {
								t.Errorf("the password from before: %v", err)
							}
						}
					})
				}
			}
		})
	}
}
