package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oidc"
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

func ExampleEngine_SendMagicLink() {
	ctx := context.Background()
	mailbox := authtest.NewMailbox() // a real service has a sender, such as one of package smtpmail
	engine := newEngine(func(c *auth.Config) {
		c.MagicLink = &auth.MagicLinkConfig{}
		c.Mail = mailbox
	})
	if err := engine.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	letter := mailbox.All()[0]
	fmt.Println(letter.Subject)
	// The link leads to the route /verify of the HTTP adapter, which does this:
	followed, err := engine.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: letter.Ticket()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(followed.Session.User.Email, followed.Session.User.EmailVerified, followed.RedirectTo)
	// Output:
	// Your link to sign in
	// ada@example.com true https://example.com
}

func ExampleEngine_SendSMSOTP() {
	ctx := context.Background()
	phone := authtest.NewPhone() // a real service has a sender, such as one of package twilio
	engine := newEngine(func(c *auth.Config) { c.SMS = &auth.SMSConfig{Sender: phone} })
	if err := engine.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: "+41 79 123 45 67"}); err != nil {
		log.Fatal(err)
	}
	code := phone.All()[0].Code
	in, err := engine.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: "+41 79 123 45 67", OTP: code})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(in.Session.User.PhoneNumber, in.Session.User.PhoneNumberVerified)
	_, err = engine.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: "+41 79 123 45 67", OTP: code})
	fmt.Println(errors.Is(err, auth.ErrInvalidRequest)) // a code works once
	// Output:
	// +41791234567 true
	// true
}

// A client that has a link sent gives a code challenge, and what comes back in the URL is of use to nobody but itself.
func ExampleEngine_ExchangeCode() {
	ctx := context.Background()
	mailbox := authtest.NewMailbox()
	engine := newEngine(func(c *auth.Config) {
		c.MagicLink = &auth.MagicLinkConfig{}
		c.Mail = mailbox
	})
	verifier := rand.Text() + rand.Text() // the client keeps it
	sum := sha256.Sum256([]byte(verifier))
	err := engine.SendMagicLink(ctx, auth.SendMagicLinkParams{
		Email: "ada@example.com", CodeChallenge: base64.RawURLEncoding.EncodeToString(sum[:]),
	})
	if err != nil {
		log.Fatal(err)
	}
	followed, err := engine.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: mailbox.All()[0].Ticket()})
	if err != nil {
		log.Fatal(err)
	}
	in, err := engine.ExchangeCode(ctx, auth.ExchangeCodeParams{Code: followed.Code, CodeVerifier: verifier})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(followed.Session == nil, in.Session.User.Email)
	// Output: true ada@example.com
}

func ExampleEngine_ChangePassword() {
	ctx := context.Background()
	mailbox := authtest.NewMailbox()
	engine := newEngine(func(c *auth.Config) { c.Mail = mailbox })
	credentials := auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"}
	if _, err := engine.SignUpPassword(ctx, credentials); err != nil {
		log.Fatal(err)
	}
	// Who has forgotten their password has a link sent …
	if err := engine.SendPasswordReset(ctx, auth.SendPasswordResetParams{Email: "ada@example.com"}); err != nil {
		log.Fatal(err)
	}
	// … and the page that it leads to, or an app that takes the ticket from it, sets another.
	err := engine.ChangePassword(ctx, nil, auth.ChangePasswordParams{
		Ticket: mailbox.All()[0].Ticket(), NewPassword: "walnut-harbour-nine",
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = engine.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	fmt.Println(errors.Is(err, auth.ErrInvalidEmailPassword))
	fmt.Println(mailbox.All()[1].Subject)
	// Output:
	// true
	// Your password has been changed
}

func ExampleEngine_SetMFA() {
	ctx := context.Background()
	engine := newEngine(func(c *auth.Config) { c.MFA = &auth.MFAConfig{Issuer: "Example"} })
	credentials := auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"}
	in, err := engine.SignUpPassword(ctx, credentials)
	if err != nil {
		log.Fatal(err)
	}
	ada, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	// The user scans the QR code of enrolment.ImageURL with their app and types the code that it shows.
	enrolment, err := engine.GenerateTOTP(ctx, ada, auth.GenerateTOTPParams{})
	if err != nil {
		log.Fatal(err)
	}
	app := func(at time.Time) string {
		code, err := totp.GenerateCode(enrolment.Secret, at)
		if err != nil {
			log.Fatal(err)
		}
		return code
	}
	if err := engine.SetMFA(ctx, ada, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: app(time.Now())}); err != nil {
		log.Fatal(err)
	}
	// From now on a password is not enough.
	in, err = engine.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(in.Session == nil, in.MFA != nil)
	in, err = engine.VerifyMFA(ctx, auth.VerifyMFAParams{Ticket: in.MFA.Ticket, OTP: app(time.Now().Add(30 * time.Second))})
	if err != nil {
		log.Fatal(err)
	}
	ada, err = engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ada.AMR)
	// Output:
	// true true
	// [pwd otp mfa]
}

func ExampleEngine_CreatePAT() {
	ctx := context.Background()
	engine := newEngine(func(c *auth.Config) { c.PAT = &auth.PATConfig{} })
	in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		log.Fatal(err)
	}
	ada, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	token, err := engine.CreatePAT(ctx, ada, auth.CreatePATParams{ExpiresAt: time.Now().AddDate(0, 1, 0), Scopes: []string{"notes:read"}})
	if err != nil {
		log.Fatal(err)
	}
	// A program signs in with it, and the service sees what it is for.
	in, err = engine.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: token.Token})
	if err != nil {
		log.Fatal(err)
	}
	program, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(program.UserID == ada.UserID, program.Scopes)
	// Output: true [notes:read]
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

// Who has a second factor steps up with a code of their authenticator app, in one call.
func ExampleEngine_VerifyElevation() {
	ctx := context.Background()
	engine := newEngine(func(c *auth.Config) {
		c.MFA = &auth.MFAConfig{Issuer: "Example"}
		c.Elevation.Mode = auth.ElevationRecommended
	})
	ada, app := signUpWithApp(engine)

	// A client that was refused asks what its user can do about it.
	methods, err := engine.ElevationMethods(ctx, ada)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(engine.CheckElevation(ctx, ada, 0) != nil, methods)
	session, err := engine.VerifyElevation(ctx, ada, auth.VerifyElevationParams{Method: auth.ElevateByTOTP, OTP: app()})
	if err != nil {
		log.Fatal(err)
	}
	elevated, err := engine.Authenticate(ctx, session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(engine.CheckElevation(ctx, elevated, 5*time.Minute), elevated.AMR)
	// Output:
	// true [totp]
	// <nil> [pwd otp mfa]
}

// signUpWithApp signs a user up who has an authenticator app, and returns who they are and the app, which shows a new code each
// time.
func signUpWithApp(engine *auth.Engine) (*auth.Principal, func() string) {
	ctx := context.Background()
	in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		log.Fatal(err)
	}
	principal, err := engine.Authenticate(ctx, in.Session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	enrolment, err := engine.GenerateTOTP(ctx, principal, auth.GenerateTOTPParams{})
	if err != nil {
		log.Fatal(err)
	}
	at := time.Now().Add(-30 * time.Second)
	app := func() string {
		at = at.Add(30 * time.Second) // a code is good once, and a little before its time
		code, err := totp.GenerateCode(enrolment.Secret, at)
		if err != nil {
			log.Fatal(err)
		}
		return code
	}
	if err := engine.SetMFA(ctx, principal, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: app()}); err != nil {
		log.Fatal(err)
	}
	return principal, app
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

// A browser is sent to a provider and comes back with a code. Package httpadapter does this for a service's pages, and keeps
// the binding in a cookie.
func ExampleEngine_StartProvider() {
	ctx := context.Background()
	idp, err := fakeidp.Start("127.0.0.1:0") // a provider that the example brings along
	if err != nil {
		log.Fatal(err)
	}
	defer idp.Close()
	client := idp.Client(fakeidp.Client{RedirectURIs: []string{"https://api.example.com/v1/signin/provider/corp/callback"}})
	idp.SignedIn(idp.Account(fakeidp.Account{Name: "Ada", Email: "ada@example.com", EmailVerified: true}))

	corp, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: client.ID, ClientSecret: client.Secret})
	if err != nil {
		log.Fatal(err)
	}
	engine := newEngine(func(c *auth.Config) { c.Providers = map[string]provider.Provider{"corp": corp} })
	start, err := engine.StartProvider(ctx, auth.StartProviderParams{Provider: "corp"})
	if err != nil {
		log.Fatal(err)
	}
	// The browser goes to start.URL, and keeps start.Binding. The provider knows Ada and sends it back.
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Get(start.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		log.Fatal(err)
	}
	result, err := engine.FinishProvider(ctx, auth.FinishProviderParams{Provider: "corp", Values: back.Query(), Binding: start.Binding})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Session.User.DisplayName, result.Session.User.EmailVerified, result.RedirectTo)
	// Output: Ada true https://example.com
}
