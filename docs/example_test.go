package docs_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakecaptcha"
	"github.com/ostiary/auth/captcha"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
	"github.com/ostiary/auth/provider/oidc"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/webhook"
)

// These are what the guides quote, beside the examples of the packages and the programs in examples/.

// required is a configuration with what every engine needs.
func required() auth.Config {
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	return auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://app.example.com",
		Secret:    secret,
		Email:     auth.EmailConfig{AllowUnverified: true},
	}
}

// captcha.md
func Example_captcha() {
	verifier, err := captcha.NewTurnstile(captcha.TurnstileConfig{
		Secret:    os.Getenv("TURNSTILE_SECRET"),
		Hostnames: []string{"app.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	config := required()
	config.Captcha = &auth.CaptchaConfig{Verifier: verifier, Messages: true}
	if _, err = auth.New(memstore.New(), config); err != nil {
		log.Fatal(err)
	}
}

// captcha.md
func TestACaptchaThatTheTestSolves(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	verifier, err := captcha.NewTurnstile(captcha.TurnstileConfig{
		Secret: service.Secret(), Endpoint: service.URL(),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.New(t, func(c *auth.Config) { c.Captcha = &auth.CaptchaConfig{Verifier: verifier} })
	ada := auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password}
	if _, err := e.SignUpPassword(t.Context(), ada); !errors.Is(err, auth.ErrCaptchaFailed) {
		t.Errorf("without an answer: %v, want %v", err, auth.ErrCaptchaFailed)
	}
	ctx := auth.WithCaptcha(t.Context(), service.Solve(fakecaptcha.Solution{}))
	if _, err := e.SignUpPassword(ctx, ada); err != nil {
		t.Errorf("with one: %v", err)
	}
}

// letters.md
func Example_letters() {
	letters := fstest.MapFS{"en/email-verify/subject.txt": {Data: []byte("Welcome to Example")}}
	config := required()
	config.Templates = letters // an embed.FS, or os.DirFS
	_, err := auth.New(memstore.New(), config)
	fmt.Println(err)
	// Output: <nil>
}

// providers.md
func Example_providers() {
	github, err := oauth.GitHub(oauth.Config{ClientID: "…", ClientSecret: "…"})
	if err != nil {
		log.Fatal(err)
	}
	corp, err := oidc.New(oidc.Config{Issuer: "https://id.example.com", ClientID: "…", ClientSecret: "…"})
	if err != nil {
		log.Fatal(err)
	}
	apple, err := oauth.AppleIDTokens(oauth.IDTokenConfig{Audiences: []string{"com.example.app"}})
	if err != nil {
		log.Fatal(err)
	}
	config := required()
	config.Providers = map[string]provider.Provider{"github": github, "corp": corp}
	config.IDTokens = map[string]provider.IDTokenVerifier{"apple": apple, "corp": corp}
	engine, err := auth.New(memstore.New(), config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(engine.ProviderRedirectURI("github"))
	// Output: https://api.example.com/v1/signin/provider/github/callback
}

// webhooks.md
func Example_webhooks() {
	ctx := context.Background()
	config := required()
	config.Webhooks = []auth.WebhookConfig{{
		Name:    "crm",
		URL:     "https://crm.example.com/hooks/auth",
		Secrets: []auth.Secret{auth.Secret(os.Getenv("CRM_WEBHOOK_SECRET"))},    // whsec_…
		Events:  []auth.EventType{auth.EventUserCreated, auth.EventUserDeleted}, // nil for all
	}}
	engine, err := auth.New(memstore.New(), config)
	if err != nil {
		log.Fatal(err)
	}
	go engine.Run(ctx) // delivers: without it nothing is sent
}

// webhooks.md
func Example_receiving() {
	secret, err := webhook.ParseSecret(os.Getenv("CRM_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		message, err := webhook.Read(r, time.Now(), secret)
		if err != nil {
			http.Error(w, "not a message of the engine", http.StatusBadRequest)
			return
		}
		log.Print(message.Type)
	}
	http.HandleFunc("POST /hooks/auth", receive)
}

// embedding.md
func Example_errors() {
	engine := newEngine()
	_, err := engine.SignUpPassword(context.Background(), auth.SignUpPasswordParams{Email: "ada@example.com", Password: "short"})

	var refused *auth.Error
	switch {
	case err == nil:
		fmt.Println("welcome")
	case errors.Is(err, auth.ErrPasswordTooShort):
		fmt.Println("a longer one, please")
	case errors.As(err, &refused) && !errors.Is(err, auth.ErrInternal):
		fmt.Println(refused.Code, refused.Message) // safe to show
	default:
		log.Print(err) // for the operator alone
	}
	// Output: a longer one, please
}

// embedding.md
func Example_mistakes() {
	_, err := auth.New(memstore.New(), auth.Config{Secret: auth.Secret("short"), Password: &auth.PasswordConfig{MinLength: 2000}})
	fmt.Println(err)
	// Output:
	// auth: ServerURL: is required
	// ClientURL: is required
	// Secret: has 5 bytes; at least 32 random ones are needed
	// Password.MinLength: is 2000; it must be from 1 to 128
	// Mail: is required because addresses are verified; set it, or set Email.AllowUnverified
}

// embedding.md
func Example_claims() {
	plans := func(context.Context, *auth.User) string { return "pro" } // of the service's own tables
	config := required()
	config.Password = &auth.PasswordConfig{}
	config.Roles = auth.RolesConfig{Default: "user", Allowed: []string{"user", "author"}}
	config.Hooks.Claims = func(ctx context.Context, u *auth.User) (map[string]any, error) {
		return map[string]any{"plan": plans(ctx, u)}, nil
	}
	engine, err := auth.New(memstore.New(), config)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: "plum-tractor-eleven"})
	if err != nil {
		log.Fatal(err)
	}

	// The service makes her an admin. Her next access token says so.
	roles := auth.UserUpdate{Roles: []string{"user", "author", "admin"}}
	if _, err := engine.UpdateUser(ctx, in.Session.User.ID, roles); err != nil {
		log.Fatal(err)
	}
	session, err := engine.Refresh(ctx, auth.RefreshParams{RefreshToken: in.Session.RefreshToken})
	if err != nil {
		log.Fatal(err)
	}
	ada, err := engine.Authenticate(ctx, session.AccessToken)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ada.Claims["x-hasura-plan"], ada.HasRole("admin"))
	// Output: pro true
}

// embedding.md
func Example_realms() {
	mux := http.NewServeMux()
	for _, realm := range []string{"customers", "staff"} {
		config := required() // with a secret of its own
		config.ServerURL = "https://api.example.com/" + realm
		config.AccessTokens.Issuer = config.ServerURL
		engine, err := auth.New(memstore.New(), config) // pgstore.Schema(realm), sqlitestore.Prefix(realm)
		if err != nil {
			log.Fatal(err)
		}
		routes, err := httpadapter.New(engine, httpadapter.Options{Cookies: &httpadapter.CookieOptions{Name: realm}})
		if err != nil {
			log.Fatal(err)
		}
		routes.Mount(mux, "/"+realm)
	}
	for _, path := range []string{"/customers/healthz", "/staff/healthz"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /customers/healthz 200
	// /staff/healthz 200
}

func newEngine() *auth.Engine {
	config := required()
	config.Password = &auth.PasswordConfig{}
	engine, err := auth.New(memstore.New(), config)
	if err != nil {
		log.Fatal(err)
	}
	return engine
}
