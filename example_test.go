package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store/memstore"
)

// newEngine is what most examples begin with: passwords, and users who come in without having verified their address.
func newEngine(amend ...func(*auth.Config)) *auth.Engine {
	secret := make(auth.Secret, 32)
	rand.Read(secret)
	config := auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret,
		Password:  &auth.PasswordConfig{},
		Email:     auth.EmailConfig{AllowUnverified: true},
	}
	for _, f := range amend {
		f(&config)
	}
	engine, err := auth.New(memstore.New(), config)
	if err != nil {
		log.Fatal(err)
	}
	return engine
}

func Example() {
	ctx := context.Background()
	engine := newEngine()
	in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{
		Email:    "ada@example.com",
		Password: "plum-tractor-eleven",
		Options:  auth.SignUpOptions{DisplayName: "Ada"},
	})
	if err != nil {
		log.Fatal(err)
	}
	// The client keeps the session and sends its access token with every request …
	principal, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(principal.UserID == in.Session.User.ID, principal.Roles, principal.AMR)
	// … and trades its refresh token for the next session before that expires.
	next, err := engine.Refresh(ctx, auth.RefreshParams{RefreshToken: in.Session.RefreshToken})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(next.User.DisplayName, next.RefreshTokenID == in.Session.RefreshTokenID)
	// Output:
	// true [me user] [pwd]
	// Ada true
}

func ExampleEngine_SignInPassword() {
	ctx := context.Background()
	engine := newEngine()
	_, err := engine.SignInPassword(ctx, auth.SignInPasswordParams{Email: "nobody@example.com", Password: "plum-tractor-eleven"})
	if errors.Is(err, auth.ErrInvalidEmailPassword) {
		fmt.Println("wrong address or password")
	}
	var failure *auth.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Code)
	}
	// Output:
	// wrong address or password
	// invalid-email-password
}

func ExampleEngine_SignOut() {
	ctx := context.Background()
	engine := newEngine()
	in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		log.Fatal(err)
	}
	principal, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.SignOut(ctx, principal, auth.SignOutParams{All: true}); err != nil {
		log.Fatal(err)
	}
	_, err = engine.Refresh(ctx, auth.RefreshParams{RefreshToken: in.Session.RefreshToken})
	fmt.Println(errors.Is(err, auth.ErrInvalidRefreshToken))
	// Output: true
}

// A service keeps a row of its own for every user. The row is written in the transaction that creates the user, where the
// store has one: there is never one without the other.
func ExampleHooks() {
	profiles := map[string]string{}
	engine := newEngine(func(c *auth.Config) {
		c.Anonymous = &auth.AnonymousConfig{}
		c.Hooks.UserCreated = func(_ context.Context, u *auth.User) error {
			profiles[u.ID.String()] = u.DisplayName
			return nil
		}
		c.Hooks.BeforeSignUp = func(_ context.Context, s *auth.SignUp) error {
			if s.Anonymous && s.DisplayName == "Anonymous User" {
				s.DisplayName = "Guest"
			}
			return nil
		}
	})
	in, err := engine.SignInAnonymous(context.Background(), auth.SignInAnonymousParams{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(profiles[in.Session.User.ID.String()])
	// Output: Guest
}

// Claims for the service's own APIs come from the user's record, or from a hook.
func ExampleAccessTokensConfig() {
	engine := newEngine(func(c *auth.Config) {
		c.AccessTokens.CustomClaims = map[string]string{"plan": "metadata.plan", "mail": "email"}
		c.AccessTokens.CustomClaimsDefaults = map[string]any{"plan": "free"}
	})
	ctx := context.Background()
	in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		log.Fatal(err)
	}
	principal, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(principal.Claims["x-hasura-plan"], principal.Claims["x-hasura-mail"])
	// Output: free ada@example.com
}
