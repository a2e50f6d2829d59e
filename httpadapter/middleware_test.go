package httpadapter_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

// whoami answers with the id of the principal.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p, found := httpadapter.PrincipalFrom(r.Context())
	if !found || p == nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	w.Header().Set("User", p.UserID.String())
})

func TestRequireUserLetsInWhoeverIsSignedIn(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	protected := h.RequireUser(whoami)
	w := do(t, protected, "POST", "/own", "", bearer(session)...)
	if w.Code != http.StatusOK || w.Header().Get("User") != session.User.ID.String() {
		t.Errorf("%d for user %q", w.Code, w.Header().Get("User"))
	}
	wantHeaders(t, w.Header(), "Cache-Control", "", "Referrer-Policy", "", "Content-Security-Policy", "") // the service's response is the service's

	anonymous, err := h.engine.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	if w := do(t, protected, "GET", "/own", "", bearer(anonymous.Session)...); w.Code != http.StatusOK {
		t.Errorf("anonymous: %d", w.Code)
	}
	for name, headers := range map[string][]string{
		"no token":    nil,
		"a bad token": {"Authorization", "Bearer x"},
		"a cookie":    {"Cookie", "__Host-auth-access=" + session.AccessToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, do(t, protected, "GET", "/own", "", headers...), 401, auth.CodeUnauthenticated)
		})
	}
}

func TestPrincipalFromNowhereIsNobody(t *testing.T) {
	t.Parallel()
	if p, found := httpadapter.PrincipalFrom(t.Context()); found || p != nil {
		t.Errorf("principal %v", p)
	}
}

func TestRequireRole(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Roles.Allowed = []string{"me", "editor"} })
	in := want200[auth.SignInResult](t, do(t, h, "POST", "/signup/email-password",
		`{"email":"ada@example.com","password":"plum-tractor-eleven","options":{"allowedRoles":["user","editor"]}}`))
	for role, status := range map[string]int{"user": 200, "editor": 200, "me": 403, "admin": 403, "": 403, "Editor": 403} {
		t.Run("for "+role, func(t *testing.T) {
			t.Parallel()
			protected := h.RequireRole(role)(whoami)
			w := do(t, protected, "GET", "/own", "", bearer(in.Session)...)
			if status == http.StatusOK && w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if status == http.StatusForbidden {
				wantRefused(t, w, 403, auth.CodeRoleNotAllowed)
			}
			wantRefused(t, do(t, protected, "GET", "/own", ""), 401, auth.CodeUnauthenticated)
		})
	}
}

// A program with two realms must not take a user of one for a user of the other, however the middleware is nested.
func TestRealmsAreKeptApart(t *testing.T) {
	t.Parallel()
	one := newFixture(t, httpadapter.Options{}, open)
	two := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Secret = make([]byte, 32) })
	session := one.engine.SignUp(t, "ada@example.com")
	w := do(t, one.RequireUser(one.RequireRole("user")(whoami)), "GET", "/", "", bearer(session)...)
	if w.Code != http.StatusOK || w.Header().Get("User") != session.User.ID.String() {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantRefused(t, do(t, one.RequireUser(two.RequireUser(whoami)), "GET", "/", "", bearer(session)...), 401, auth.CodeUnauthenticated)
	wantRefused(t, do(t, one.RequireUser(two.RequireRole("user")(whoami)), "GET", "/", "", bearer(session)...), 401, auth.CodeUnauthenticated)
}

// What the service's handler does with the engine is done for the client of the request.
func TestHandlersBehindRequireUserHaveTheClient(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	protected := h.RequireUser(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p, _ := httpadapter.PrincipalFrom(r.Context())
		if err := h.engine.SignOut(r.Context(), p, auth.SignOutParams{All: true}); err != nil {
			t.Error(err)
		}
	}))
	do(t, protected, "POST", "/own", "", append(bearer(session), "User-Agent", "Test/1")...)
	events := h.engine.Events.Of(auth.EventSignedOut)
	if len(events) != 1 || events[0].Client.UserAgent != "Test/1" || events[0].Client.Address.String() != "192.0.2.1" {
		t.Errorf("events %+v", events)
	}
}

// A panic of the engine's is answered, one of the service's own handler is the service's.
func TestRequireUserDoesNotCatchForTheService(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	protected := h.RequireUser(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v", v)
		}
	}()
	do(t, protected, "GET", "/own", "", bearer(session)...)
}

func TestTheServicesContextIsTheRequests(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	var ctx context.Context
	do(t, h.RequireUser(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })), "GET", "/", "", bearer(session)...)
	if _, bounded := ctx.Deadline(); bounded || ctx.Err() != nil {
		t.Errorf("the handler's timeout is the service's: %v", ctx)
	}
}
