package httpadapter_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

func TestNewNamesEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := httpadapter.New(nil, httpadapter.Options{
		AllowedOrigins: []string{"https://ok.test", "*", "https://a.test/", "https://A.test", "https://*.a.test", "https://a.test:443", "a.test", "null", "https://é.test"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), {}},
		ProxyHeader:    "X-Real-IP",
		MaxBody:        1,
		Timeout:        -time.Second,
		Cookies:        &httpadapter.CookieOptions{Name: "a b", Persist: -1},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"engine: is nil",
		`AllowedOrigins: "*"`, `"https://a.test/"`, `"https://A.test"`, `"https://*.a.test"`, `"https://a.test:443"`, `"a.test"`, `"null"`, `"https://é.test"`,
		"TrustedProxies: ", "takes in every address", "is not valid",
		`ProxyHeader: "X-Real-IP"`,
		"MaxBody: is 1",
		"Timeout: is -1s",
		`Cookies.Name: "a b"`, "Cookies.Persist: is",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if first := (*httpadapter.OptionError)(nil); !errors.As(err, &first) || first.Field != "engine" || first.Unwrap() == nil {
		t.Errorf("the first mistake is %v, want that of the engine", first)
	}
	if strings.Contains(err.Error(), "ok.test") {
		t.Errorf("the error names what is right:\n%v", err)
	}

	e := authtest.New(t)
	for name, o := range map[string]httpadapter.Options{
		"a header without proxies":   {ProxyHeader: "Forwarded"},
		"a body without bound":       {MaxBody: 1 << 40},
		"a very long timeout":        {Timeout: time.Hour},
		"every origin, with cookies": {AllowedOrigins: []string{"*"}, Cookies: &httpadapter.CookieOptions{}}, // LG-01
	} {
		if _, err := httpadapter.New(e.Engine, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMountServesBelowAnyPrefix(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	strip := func(prefix string) http.Handler { return http.StripPrefix(prefix, h) }
	for _, c := range []struct {
		name, prefix string
		mount        func(mux *http.ServeMux)
	}{
		{"the root", "", func(mux *http.ServeMux) { h.Mount(mux, "") }},
		{"a slash", "", func(mux *http.ServeMux) { h.Mount(mux, "/") }},
		{"a prefix", "/v1", func(mux *http.ServeMux) { h.Mount(mux, "/v1") }},
		{"a prefix with a slash at its end", "/v1", func(mux *http.ServeMux) { h.Mount(mux, "/v1/") }},
		{"a long prefix", "/a/b", func(mux *http.ServeMux) { h.Mount(mux, "/a/b") }},
		{"http.StripPrefix", "/v1", func(mux *http.ServeMux) { mux.Handle("/v1/", strip("/v1")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("GET /own", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
			c.mount(mux)
			want200[auth.User](t, do(t, mux, "GET", c.prefix+"/user", "", bearer(session)...))
			want200[auth.SignInResult](t, do(t, mux, "POST", c.prefix+"/signin/anonymous", ""))
			// A path parameter arrives under a prefix too.
			other := h.engine.SignIn(t, "ada@example.com").RefreshTokenID.String()
			want200[string](t, do(t, mux, "DELETE", c.prefix+"/user/sessions/"+other, "", bearer(session)...))
			wantRefused(t, do(t, mux, "GET", c.prefix+"/nowhere", ""), 404, auth.CodeRouteNotFound)
			wantRefused(t, do(t, mux, "GET", c.prefix+"/", ""), 404, auth.CodeRouteNotFound)
			wantRefused(t, do(t, mux, "GET", c.prefix+"/token", ""), 405, auth.CodeMethodNotAllowed)
			if got := do(t, mux, "GET", "/own", "").Code; got != http.StatusTeapot {
				t.Errorf("the service's own route: %d", got)
			}
			if c.prefix != "" {
				if got := do(t, mux, "GET", "/user", "", bearer(session)...).Code; got != http.StatusNotFound {
					t.Errorf("without the prefix: %d", got)
				}
			}
		})
	}
	t.Run("but not below what is no path", func(t *testing.T) {
		t.Parallel()
		for _, prefix := range []string{"v1", "/a//b", "/a/../b", "/{"} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%q is accepted", prefix)
					}
				}()
				h.Mount(http.NewServeMux(), prefix)
			}()
		}
	})
	t.Run("and the prefix itself is not redirected", func(t *testing.T) {
		t.Parallel()
		mux := http.NewServeMux()
		h.Mount(mux, "/v1")
		wantRefused(t, do(t, mux, "GET", "/v1", ""), 404, auth.CodeRouteNotFound)
	})
}

// LG-05: no answer can be shown in a frame, whichever layer makes it.
func TestEveryAnswerForbidsFrames(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	for request, status := range map[string]int{
		"GET /user": 200, "GET /healthz": 200, "GET /.well-known/jwks.json": 200, "GET /openapi.yaml": 200, "GET /verify?ticket=verifyEmail:x&type=emailVerify&redirectTo=https://app.test": 302,
		"GET /nowhere": 404, "GET /token": 405, "POST /token": 400,
	} {
		method, path, _ := strings.Cut(request, " ")
		w := do(t, h, method, path, "", bearer(session)...)
		if w.Code != status {
			t.Errorf("%s: %d", request, w.Code)
		}
		wantHeaders(t, w.Header(), "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	}
}

// The documented codes have the documented statuses: the right-hand side is contract and not code.
func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[auth.Code]int{
		"cannot-send-sms": 400, "default-role-must-be-in-allowed-roles": 400, "disabled-endpoint": 409, "disabled-mfa-totp": 401,
		"disabled-user": 401, "email-already-in-use": 409, "email-already-verified": 400, "forbidden-anonymous": 403,
		"internal-server-error": 500, "invalid-email-password": 401, "invalid-otp": 400, "invalid-pat": 401,
		"invalid-refresh-token": 401, "invalid-request": 400, "invalid-state": 400, "invalid-ticket": 401, "invalid-totp": 401,
		"locale-not-allowed": 400, "mfa-type-not-found": 400, "no-totp-secret": 400, "oauth-profile-fetch-failed": 400,
		"oauth-provider-error": 400, "oauth-token-echange-failed": 400, "password-in-hibp-database": 400,
		"password-too-short": 400, "provider-account-already-linked": 400, "redirectTo-not-allowed": 400,
		"role-not-allowed": 400, "signup-disabled": 403, "totp-already-active": 400, "unverified-user": 401,
		"user-not-anonymous": 400, "captcha-failed": 403, "elevated-claim-required": 403, "method-not-allowed": 405,
		"route-not-found": 404, "too-many-requests": 429, "unauthenticated-user": 401,
		"a-code-of-the-service's-own": 400,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			refuse := &auth.Error{Code: code, Message: "because"}
			h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) {
				c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error { return refuse }
			})
			w := do(t, h, "POST", "/signin/anonymous", "")
			if want == 405 {
				w.Header().Set("Allow", "what a route adds")
			}
			wantRefused(t, w, want, code)
			if code == auth.CodeElevationRequired { // RFC 9470 §3
				wantHeaders(t, w.Header(), "WWW-Authenticate", `Bearer error="insufficient_user_authentication", error_description="because"`)
			}
		})
	}
}

// faulty is a store whose calls first do something else.
type faulty struct {
	store.Store
	before func(context.Context) error
}

func (s *faulty) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	if err := s.before(ctx); err != nil {
		return store.Account{}, err
	}
	return s.Store.User(ctx, q)
}

func (s *faulty) CheckTicket(ctx context.Context, q store.TicketQuery) (store.Ticket, store.User, error) {
	if err := s.before(ctx); err != nil {
		return store.Ticket{}, store.User{}, err
	}
	return s.Store.CheckTicket(ctx, q)
}

func (s *faulty) Ping(ctx context.Context) error { return s.before(ctx) }

func TestFaultsAreLoggedOnceAndToldToNobody(t *testing.T) { // LG-08, E11
	t.Parallel()
	const secret = "a-secret-of-the-store"
	for _, c := range []struct {
		name   string
		before func(context.Context) error
		logged string
	}{
		{"an error", func(context.Context) error { return errors.New("the disk is full") }, "the disk is full"},
		{"a panic", func(context.Context) error { panic(secret) }, "panic of type string"},
		{"a panic with an error", func(context.Context) error { panic(errors.New(secret)) }, "panic of type *errors.errorString"},
		{"a panic of the runtime", func(ctx context.Context) error { return []error{nil}[len(secret)] }, "panic: runtime error: index out of range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &faulty{memstore.New(), func(context.Context) error { return nil }}
			e := authtest.NewWithStore(t, s, open)
			session := e.SignUp(t, "ada@example.com")
			logs := authtest.NewLogs()
			h := newHandler(t, e.Engine, httpadapter.Options{Logger: logs.Logger()})
			s.before = c.before

			w := do(t, h, "GET", "/user?ticket=a-secret-of-the-query", "", bearer(session)...)
			wantRefused(t, w, 500, auth.CodeInternal)
			if want := `{"status":500,"error":"internal-server-error","message":"Internal server error"}` + "\n"; w.Body.String() != want {
				t.Errorf("body %s, want %s", w.Body, want)
			}
			text := logs.String()
			for _, want := range []string{`"route":"GET /user"`, `"status":500`, `"level":"ERROR"`, c.logged} {
				if !strings.Contains(text, want) {
					t.Errorf("the log does not say %s:\n%s", want, text)
				}
			}
			if n := strings.Count(text, `"msg":`); n != 1 {
				t.Errorf("%d lines, want 1:\n%s", n, text)
			}
			logs.AssertAbsent(t, secret, "a-secret-of-the-query", session.AccessToken, session.RefreshToken)

			// A browser is not sent on with a fault of ours: what the link is good for, it still is.
			w = do(t, h, "GET", "/verify?ticket=verifyEmail:x&redirectTo=https://app.test", "")
			wantRefused(t, w, 500, auth.CodeInternal)
			w = do(t, h, "GET", "/healthz", "")
			wantRefused(t, w, map[bool]int{true: 503, false: 500}[c.name == "an error"], auth.CodeInternal)
		})
	}
}

func TestAFailingHookIsAFault(t *testing.T) {
	t.Parallel()
	logs := authtest.NewLogs()
	h := newFixture(t, httpadapter.Options{Logger: logs.Logger()}, open, func(c *auth.Config) {
		c.Hooks.UserCreated = func(context.Context, *auth.User) error { panic("the hook") }
	})
	wantRefused(t, do(t, h, "POST", "/signup/email-password", credentials("ada@example.com")), 500, auth.CodeInternal)
	if !strings.Contains(logs.String(), `"route":"POST /signup/email-password"`) {
		t.Errorf("log: %s", logs)
	}
	logs.AssertAbsent(t, authtest.Password, "ada@example.com")
}

func TestAnAbortedHandlerStaysAborted(t *testing.T) {
	t.Parallel()
	s := &faulty{memstore.New(), func(context.Context) error { panic(http.ErrAbortHandler) }}
	h := newHandler(t, authtest.NewWithStore(t, s).Engine, httpadapter.Options{})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
	}()
	do(t, h, "GET", "/healthz", "")
}

// ST-18: a store that hangs holds a request for as long as the handler's timeout, and a probe for less.
func TestWhatTakesTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{memstore.New(), func(context.Context) error { return nil }}
		e := authtest.NewWithStore(t, s, open, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
		session := e.SignUp(t, "ada@example.com")
		h := newHandler(t, e.Engine, httpadapter.Options{Timeout: time.Minute})
		s.before = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for _, c := range []struct {
			handler http.Handler
			target  string
			want    time.Duration
		}{
			{h, "/user", time.Minute},
			{h, "/healthz", 5 * time.Second},
			{h.RequireUser(whoami), "/own", time.Minute},
		} {
			start := time.Now()
			wantRefused(t, do(t, c.handler, "GET", c.target, "", bearer(session)...), 503, auth.CodeInternal)
			if took := time.Since(start); took != c.want {
				t.Errorf("%s took %v, want %v", c.target, took, c.want)
			}
		}
	})
}

// ST-17: who hangs up is no fault of ours.
func TestAClientThatIsGoneIsNotLogged(t *testing.T) {
	t.Parallel()
	logs := authtest.NewLogs()
	s := &faulty{memstore.New(), func(ctx context.Context) error { return ctx.Err() }}
	e := authtest.NewWithStore(t, s, open)
	session := e.SignUp(t, "ada@example.com")
	h := newHandler(t, e.Engine, httpadapter.Options{Logger: logs.Logger()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/user", nil)
	r.Header.Set("Authorization", "Bearer "+session.AccessToken)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	wantRefused(t, w, 503, auth.CodeInternal)
	if logs.String() != "" {
		t.Errorf("log: %s", logs)
	}
}

// W22, RL-07: the client's address is the peer's, unless the peer is a proxy that we know.
func TestTheClientIsBehindTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name    string
		options httpadapter.Options
		headers []string
		want    string
	}{
		{"nobody is trusted", httpadapter.Options{}, []string{"X-Forwarded-For", "203.0.113.1"}, "192.0.2.1"},
		{"one proxy", httpadapter.Options{TrustedProxies: proxies}, []string{"X-Forwarded-For", "203.0.113.1"}, "203.0.113.1"},
		{"two proxies, and what the client said", httpadapter.Options{TrustedProxies: proxies}, []string{"X-Forwarded-For", "198.51.100.1, 203.0.113.1, 10.1.2.3"}, "203.0.113.1"},
		{"the other header", httpadapter.Options{TrustedProxies: proxies}, []string{"Forwarded", "for=203.0.113.1"}, "192.0.2.1"},
		{"RFC 7239", httpadapter.Options{TrustedProxies: proxies, ProxyHeader: "forwarded"}, []string{"Forwarded", `for="[2001:db8::1]"`, "X-Forwarded-For", "203.0.113.1"}, "2001:db8::1"},
		{"another peer", httpadapter.Options{TrustedProxies: proxies[1:]}, []string{"X-Forwarded-For", "203.0.113.1"}, "192.0.2.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, c.options, open)
			want200[auth.SignInResult](t, do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"), append(c.headers, "User-Agent", "Test/1")...))
			got := h.engine.Events.Of(auth.EventSignedIn)[0].Client
			if diff := cmp.Diff(auth.Client{Address: netip.MustParseAddr(c.want), UserAgent: "Test/1"}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("client (-want +got):\n%s", diff)
			}
		})
	}
}

// RD-30: nothing is built from what a request says about where it was sent to.
func TestLinksDoNotDependOnTheRequest(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	for i, headers := range [][]string{
		nil,
		{"X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "http", "X-Forwarded-Prefix", "/evil", "Forwarded", "host=evil.test;proto=http"},
		{"X-Original-Url", "https://evil.test/", "X-Host", "evil.test", "Origin", "https://evil.test", "Referer", "https://evil.test"},
	} {
		address := string(rune('a'+i)) + "@example.com"
		r := httptest.NewRequest("POST", "https://evil.test/signup/email-password", strings.NewReader(credentials(address)))
		r.Host = "evil.test"
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		letter := h.engine.Mailbox.Last(t, address)
		if !strings.HasPrefix(letter.Link(), authtest.ServerURL+"/verify?") || strings.Contains(letter.HTML+letter.Text+letter.Subject, "evil") {
			t.Errorf("letter %+v", letter)
		}
	}
}

// The document lists the routes and the codes that there are.
func TestTheDocumentDescribesTheRoutes(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	w := do(t, h, "GET", "/openapi.yaml", "")
	wantHeaders(t, w.Header(), "Content-Type", "application/yaml", "Cache-Control", "public, max-age=3600")
	document := w.Body.String()
	var documented []string
	path := ""
	for line := range strings.Lines(document) {
		if m := regexp.MustCompile(`^  (/\S+):\s*$`).FindStringSubmatch(line); m != nil {
			path = m[1]
		}
		if m := regexp.MustCompile(`^    (get|head|post|put|patch|delete):\s*$`).FindStringSubmatch(line); m != nil {
			documented = append(documented, strings.ToUpper(m[1])+" "+path)
		}
	}
	// What GET does HEAD does; the document says so where probes and scanners rely on it.
	want := append(httpadapter.Routes(), "HEAD /healthz")
	slices.Sort(documented)
	slices.Sort(want)
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("routes (-served +documented):\n%s", diff)
	}
	for code := range httpadapter.Statuses() {
		if !strings.Contains(document, "            - "+string(code)+"\n") {
			t.Errorf("code %s is not documented", code)
		}
	}
}
