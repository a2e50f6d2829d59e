package docs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oidc"
)

// diary is a service with one page for each user.
type diary struct{ pages map[string]string }

// configure is what the service wants of the engine, in main and in tests.
func (d *diary) configure(c *auth.Config) {
	c.WebAuthn = &auth.WebAuthnConfig{}
	c.Hooks.UserCreated = func(_ context.Context, u *auth.User) error {
		d.pages[u.ID.String()] = "Dear diary,"
		return nil
	}
}

// routes are those of the service, the engine's among them.
func (d *diary) routes(engine *auth.Engine) (http.Handler, error) {
	routes, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")
	mux.Handle("GET /page", routes.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := httpadapter.PrincipalFrom(r.Context())
		fmt.Fprint(w, d.pages[user.UserID.String()])
	})))
	mux.Handle("DELETE /page", routes.RequireElevation(5*time.Minute)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, _ := httpadapter.PrincipalFrom(r.Context())
		delete(d.pages, user.UserID.String())
	})))
	return mux, nil
}

// under is the service with an engine that the test holds in its hand.
type under struct {
	*authtest.Engine
	routes http.Handler
}

func newDiary(t *testing.T) under {
	t.Helper()
	d := &diary{pages: map[string]string{}}
	engine := authtest.New(t, d.configure)
	routes, err := d.routes(engine.Engine)
	if err != nil {
		t.Fatal(err)
	}
	return under{engine, routes}
}

// call sends a request as somebody, or as nobody, and returns the answer.
func (u under) call(t *testing.T, as *auth.Session, method, path string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	if as != nil {
		r.Header.Set("Authorization", "Bearer "+as.AccessToken)
	}
	w := httptest.NewRecorder()
	u.routes.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestANewUserHasAPage(t *testing.T) {
	t.Parallel()
	u := newDiary(t)
	ada := u.SignUp(t, "ada@example.com")
	if status, page := u.call(t, ada, "GET", "/page"); status != http.StatusOK || page != "Dear diary," {
		t.Errorf("Ada reads %d %q", status, page)
	}
	if status, _ := u.call(t, nil, "GET", "/page"); status != http.StatusUnauthorized {
		t.Errorf("a stranger is answered %d", status)
	}
}

func TestAnAccessTokenIsGoodForAWhile(t *testing.T) {
	t.Parallel()
	u := newDiary(t)
	ada := u.SignUp(t, "ada@example.com")
	u.Clock.Advance(15 * time.Minute)
	if status, _ := u.call(t, ada, "GET", "/page"); status != http.StatusUnauthorized {
		t.Errorf("an expired token is answered %d", status)
	}
	ada, err := u.Refresh(t.Context(), auth.RefreshParams{RefreshToken: ada.RefreshToken})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := u.call(t, ada, "GET", "/page"); status != http.StatusOK {
		t.Errorf("a new one is answered %d", status)
	}
}

func TestAPageIsErasedByWhoIsThere(t *testing.T) {
	t.Parallel()
	u := newDiary(t)
	key := &authtest.Authenticator{} // a passkey of hers, and the browser
	options, err := u.SignUpWebAuthn(t.Context(), auth.SignUpWebAuthnParams{Email: "ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = u.VerifySignUpWebAuthn(t.Context(), auth.VerifySignUpWebAuthnParams{Credential: key.Create(t, options)})
	if err != nil {
		t.Fatal(err)
	}
	link := u.Mailbox.Last(t, "ada@example.com")
	in, err := u.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: link.Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	ada := in.Session
	if status, body := u.call(t, ada, "DELETE", "/page"); status != http.StatusForbidden || !strings.Contains(body, "elevated-claim-required") {
		t.Errorf("before the step-up: %d %s", status, body)
	}

	principal := u.Principal(t, ada)
	request, err := u.Elevate(t.Context(), principal, auth.ElevateParams{})
	if err != nil {
		t.Fatal(err)
	}
	ada, err = u.VerifyElevation(t.Context(), principal, auth.VerifyElevationParams{Credential: key.Get(t, request.WebAuthn)})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := u.call(t, ada, "DELETE", "/page"); status != http.StatusOK {
		t.Errorf("after it: %d %s", status, body)
	}
}

func TestSigningInWithAProvider(t *testing.T) {
	t.Parallel()
	idp := fakeidp.New(t)
	client := idp.Client(fakeidp.Client{RedirectURIs: []string{authtest.ServerURL + "/signin/provider/corp/callback"}})
	ada := idp.Account(fakeidp.Account{Name: "Ada", Email: "ada@example.com", EmailVerified: true})
	corp, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: client.ID, ClientSecret: client.Secret})
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.New(t, func(c *auth.Config) {
		c.Providers = map[string]provider.Provider{"corp": corp}
		c.HTTPClient = &http.Client{} // the provider is on loopback, and the engine may ask it
		c.Now = time.Now              // by which the provider goes
	})

	start, err := e.StartProvider(t.Context(), auth.StartProviderParams{Provider: "corp"})
	if err != nil {
		t.Fatal(err)
	}
	back := idp.Visit(t, start.URL, ada).Values()
	in, err := e.FinishProvider(t.Context(), auth.FinishProviderParams{Provider: "corp", Binding: start.Binding, Values: back})
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Session.User.Email; got != "ada@example.com" {
		t.Errorf("signed in as %s", got)
	}

	idp.Break(fakeidp.Token, fakeidp.FaultStatus(http.StatusInternalServerError))
	if start, err = e.StartProvider(t.Context(), auth.StartProviderParams{Provider: "corp"}); err != nil {
		t.Fatal(err)
	}
	back = idp.Visit(t, start.URL, ada).Values()
	_, err = e.FinishProvider(t.Context(), auth.FinishProviderParams{Provider: "corp", Binding: start.Binding, Values: back})
	if !errors.Is(err, auth.ErrOAuthTokenExchangeFailed) {
		t.Errorf("while the provider is in trouble: %v", err)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	u := newDiary(t)
	ada := u.SignUp(t, "ada@example.com")
	u.Logs.AssertAbsent(t, authtest.Password, ada.AccessToken, ada.RefreshToken)
	if created := u.Events.Of(auth.EventUserCreated); len(created) != 1 || created[0].UserID != ada.User.ID {
		t.Errorf("the events are %+v", created)
	}
}
