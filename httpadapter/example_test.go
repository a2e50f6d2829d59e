package httpadapter_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store/memstore"
)

// A service mounts the routes beside its own, which it protects.
func Example() {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret(),
		Anonymous: &auth.AnonymousConfig{},
		Email:     auth.EmailConfig{AllowUnverified: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{AllowedOrigins: []string{"https://example.com"}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")
	mux.Handle("GET /notes", routes.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := httpadapter.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "the notes of a user with the roles %v\n", p.Roles)
	})))
	// A service would now call httpadapter.NewServer(":8080", mux).ListenAndServe().

	ask := func(method, path, token string) string {
		r := httptest.NewRequest(method, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return fmt.Sprint(w.Code, " ", w.Body)
	}
	in, err := engine.SignInAnonymous(context.Background(), auth.SignInAnonymousParams{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(ask("GET", "/notes", ""))
	fmt.Print(ask("GET", "/notes", in.Session.AccessToken))
	fmt.Print(ask("GET", "/v1/token", ""))
	// Output:
	// 401 {"status":401,"error":"unauthenticated-user","message":"User is not logged in"}
	// 200 the notes of a user with the roles [anonymous]
	// 405 {"status":405,"error":"method-not-allowed","message":"Method not allowed"}
}

// A server-rendered site keeps the tokens in cookies and sends visitors to its sign-in page.
func ExampleCookieOptions() {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://example.com/auth",
		ClientURL: "https://example.com",
		Secret:    secret(),
		Anonymous: &auth.AnonymousConfig{},
		Email:     auth.EmailConfig{AllowUnverified: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{Cookies: &httpadapter.CookieOptions{
		SignedOut: http.RedirectHandler("/sign-in", http.StatusSeeOther),
	}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/auth")
	mux.Handle("GET /{$}", routes.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "<h1>Welcome back</h1>")
	})))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Header().Get("Location"))

	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "/auth/signin/anonymous", nil))
	page := httptest.NewRequest("GET", "/", nil)
	for _, cookie := range w.Result().Cookies() {
		fmt.Println(cookie.Name)
		page.AddCookie(cookie)
	}
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, page)
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	// Output:
	// 303 /sign-in
	// __Host-auth-access
	// __Host-auth-refresh
	// 200 <h1>Welcome back</h1>
}

// What cannot be undone is for users who have just proven, with a security key, that they are there.
func ExampleHandler_RequireElevation() {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret(),
		WebAuthn:  &auth.WebAuthnConfig{},
		Anonymous: &auth.AnonymousConfig{},
		Email:     auth.EmailConfig{AllowUnverified: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")
	justNow := routes.RequireElevation(5 * time.Minute)
	mux.Handle("DELETE /notes", justNow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := httpadapter.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "all notes of %s are gone\n", p.UserID)
	})))

	in, err := engine.SignInAnonymous(context.Background(), auth.SignInAnonymousParams{})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("DELETE", "/notes", nil)
	r.Header.Set("Authorization", "Bearer "+in.Session.AccessToken)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// The client now steps up with POST /v1/elevate/webauthn and asks again with the access token that comes of it.

	// Output:
	// 403 Bearer error="insufficient_user_authentication", error_description="Elevated claim is required", max_age="300"
}

// A page signs its visitors in with an identity provider by sending them to a route. They come back to the page, with a refresh
// token of theirs, or with what has gone wrong.
func ExampleHandler_provider() {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret(),
		Email:     auth.EmailConfig{AllowUnverified: true},
		Providers: map[string]provider.Provider{"acme": acme{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("To be registered at the provider:", engine.ProviderRedirectURI("acme"))
	routes, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")

	// Somebody follows a link of the page.
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/v1/signin/provider/acme?redirectTo=https://example.com/welcome", nil))
	to, err := w.Result().Location()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Code, "to", to.Host)

	// They agree there, and their browser comes back with a code and with the cookie that it got.
	back := httptest.NewRequest("GET", "/v1/signin/provider/acme/callback?code=1234&state="+to.Query().Get("state"), nil)
	back.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, back)
	if to, err = w.Result().Location(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Code, "to", to.Host+to.Path, "with a refresh token:", to.Query().Has("refreshToken"))
	// Output:
	// To be registered at the provider: https://api.example.com/v1/signin/provider/acme/callback
	// 302 to acme.example
	// 302 to example.com/welcome with a refresh token: true
}

// acme stands for a provider of package provider/oauth or provider/oidc.
type acme struct{ provider.Provider }

func (acme) Authorize(_ context.Context, _ provider.Env, r provider.Request) (provider.Authorization, error) {
	return provider.Authorization{URL: "https://acme.example/authorize?state=" + r.State}, nil
}

func (acme) Exchange(context.Context, provider.Env, provider.Return) (provider.Tokens, error) {
	return provider.Tokens{AccessToken: "token"}, nil
}

func (acme) Profile(context.Context, provider.Env, provider.Return, provider.Tokens) (provider.Profile, error) {
	return provider.Profile{Subject: "1", Email: "ada@example.com", EmailVerified: true}, nil
}

func secret() auth.Secret {
	s := make(auth.Secret, 32)
	rand.Read(s) //nolint:errcheck // never fails; a broken source ends the program
	return s
}
