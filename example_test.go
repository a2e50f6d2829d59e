package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
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

// Signing up with a passkey takes two calls, with the browser in between: the page hands the options to
// navigator.credentials.create and sends back what it returns. Here authtest plays the browser.
func ExampleEngine_SignUpWebAuthn() {
	ctx := context.Background()
	engine := newEngine(func(c *auth.Config) { c.WebAuthn = &auth.WebAuthnConfig{} })
	browser := &authtest.Authenticator{Origin: "https://example.com"}

	options, err := engine.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: "ada@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	credential, err := browser.TryCreate(options)
	if err != nil {
		log.Fatal(err)
	}
	in, err := engine.VerifySignUpWebAuthn(ctx, auth.VerifySignUpWebAuthnParams{Credential: credential, Nickname: "Phone"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed up:", in.Session.User.Email)

	// Later: no address is needed, the passkey knows whose it is.
	request, err := engine.SignInWebAuthn(ctx, auth.SignInWebAuthnParams{})
	if err != nil {
		log.Fatal(err)
	}
	if credential, err = browser.TryGet(request); err != nil {
		log.Fatal(err)
	}
	if in, err = engine.VerifySignInWebAuthn(ctx, auth.VerifySignInWebAuthnParams{Credential: credential}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed in:", in.Session.User.Email)
	// Output:
	// signed up: ada@example.com
	// signed in: ada@example.com
}

// Before something that cannot be undone, a service lets its user prove once more that they are there.
func ExampleEngine_Elevate() {
	ctx := context.Background()
	engine := newEngine(func(c *auth.Config) {
		c.WebAuthn = &auth.WebAuthnConfig{}
		c.Elevation.Mode = auth.ElevationRecommended
	})
	browser := &authtest.Authenticator{Origin: "https://example.com"}
	principal := signUpWithPasskey(engine, browser)

	deleteEverything := func(p *auth.Principal) error {
		if err := engine.CheckElevation(ctx, p, 5*time.Minute); err != nil {
			return err
		}
		fmt.Println("everything is gone")
		return nil
	}
	err := deleteEverything(principal)
	fmt.Println(errors.Is(err, auth.ErrElevationRequired))

	elevation, err := engine.Elevate(ctx, principal, auth.ElevateParams{})
	if err != nil {
		log.Fatal(err)
	}
	credential, err := browser.TryGet(elevation.WebAuthn)
	if err != nil {
		log.Fatal(err)
	}
	session, err := engine.VerifyElevation(ctx, principal, auth.VerifyElevationParams{Credential: credential})
	if err != nil {
		log.Fatal(err)
	}
	elevated, err := engine.Authenticate(ctx, session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	if err := deleteEverything(elevated); err != nil {
		log.Fatal(err)
	}
	// Output:
	// true
	// everything is gone
}

// signUpWithPasskey signs a user up and says who they are.
func signUpWithPasskey(engine *auth.Engine, browser *authtest.Authenticator) *auth.Principal {
	ctx := context.Background()
	options, err := engine.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: "ada@example.com"})
	if err != nil {
		log.Fatal(err)
	}
	credential, err := browser.TryCreate(options)
	if err != nil {
		log.Fatal(err)
	}
	in, err := engine.VerifySignUpWebAuthn(ctx, auth.VerifySignUpWebAuthnParams{Credential: credential})
	if err != nil {
		log.Fatal(err)
	}
	principal, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	return principal
}
