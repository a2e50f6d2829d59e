package httpadapter_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// site is a server-rendered site in cookie mode and a browser that visits it.
type site struct {
	*fixture
	server  *httptest.Server
	browser *http.Client
}

func newSite(t *testing.T, o httpadapter.Options, amend ...func(*auth.Config)) *site {
	t.Helper()
	if o.Cookies == nil {
		o.Cookies = &httpadapter.CookieOptions{}
	}
	f := newFixture(t, o, append([]func(*auth.Config){open}, amend...)...)
	mux := http.NewServeMux()
	f.Mount(mux, "/auth")
	mux.Handle("/page", f.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := httpadapter.PrincipalFrom(r.Context())
		_, _ = io.WriteString(w, p.UserID.String())
	})))
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := server.Client()
	browser.Jar = jar
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &site{f, server, browser}
}

// visit makes the browser send a request. headers are names and values in turn.
func (s *site) visit(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// cookies are those that the browser has, by name.
func (s *site) cookies(t *testing.T) map[string]string {
	t.Helper()
	u, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, c := range s.browser.Jar.Cookies(u) {
		found[c.Name] = c.Value
	}
	return found
}

// forget makes the browser lose a cookie, as it does when its time has come.
func (s *site) forget(t *testing.T, name string) {
	t.Helper()
	u, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.browser.Jar.SetCookies(u, []*http.Cookie{{Name: name, Path: "/", Secure: true, MaxAge: -1}})
}

const (
	accessCookie  = "__Host-auth-access"
	refreshCookie = "__Host-auth-refresh"
)

func (s *site) signUp(t *testing.T) {
	t.Helper()
	if response, body := s.visit(t, "POST", "/auth/signup/email-password", credentials("ada@example.com")); response.StatusCode != http.StatusOK {
		t.Fatalf("sign-up: %d %s", response.StatusCode, body)
	}
}

func wantPage(t *testing.T, response *http.Response, body string) {
	t.Helper()
	if response.StatusCode != http.StatusOK || len(body) != 36 {
		t.Errorf("page: %d %s", response.StatusCode, body)
	}
}

// LG-03: the tokens are where no script, no other site and no plain connection reaches them, and nowhere else.
func TestCookiesHoldTheTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options httpadapter.CookieOptions
		prefix  string
		maxAge  int
	}{
		{"by default until the browser is closed", httpadapter.CookieOptions{}, "__Host-auth-", 0},
		{"with a name and a time", httpadapter.CookieOptions{Name: "shop", Persist: 48 * time.Hour}, "__Host-shop-", 48 * 3600},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, httpadapter.Options{Cookies: &c.options})
			response, body := s.visit(t, "POST", "/auth/signup/email-password", credentials("ada@example.com"))
			var got []http.Cookie
			for _, cookie := range response.Cookies() {
				if cookie.Value == "" || strings.Contains(body, cookie.Value) {
					t.Errorf("cookie %s is %q; the body is %s", cookie.Name, cookie.Value, body)
				}
				cookie.Value, cookie.Raw = "", ""
				got = append(got, *cookie)
			}
			cookie := func(name string, maxAge int) http.Cookie {
				return http.Cookie{
					Name: c.prefix + name, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: maxAge,
				}
			}
			if diff := cmp.Diff([]http.Cookie{cookie("access", 900), cookie("refresh", c.maxAge)}, got); diff != "" {
				t.Errorf("cookies (-want +got):\n%s", diff)
			}
			if !strings.Contains(body, `"accessToken":""`) || !strings.Contains(body, `"refreshToken":""`) || !strings.Contains(body, `"refreshTokenId":"`) {
				t.Errorf("body %s", body)
			}
			if cc := response.Header.Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control %q", cc)
			}
		})
	}
}

func TestACookieSessionFromSignUpToSignOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	response, _ := s.visit(t, "GET", "/page", "")
	if response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a page for nobody: %d", response.StatusCode)
	}
	s.signUp(t)
	response, body := s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)
	if got := response.Header.Get("Cache-Control"); got != "no-store" || len(response.Cookies()) != 0 {
		t.Errorf("a page with Cache-Control %q and cookies %v", got, response.Cookies())
	}
	if response, body := s.visit(t, "GET", "/auth/user", ""); response.StatusCode != http.StatusOK {
		t.Errorf("user: %d %s", response.StatusCode, body)
	}
	if response, body := s.visit(t, "POST", "/auth/token/verify", ""); response.StatusCode != http.StatusOK {
		t.Errorf("verify: %d %s", response.StatusCode, body)
	}

	before := s.cookies(t)
	response, body = s.visit(t, "POST", "/auth/token", "")
	after := s.cookies(t)
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(body, `{"accessToken":"",`) || before[refreshCookie] == after[refreshCookie] {
		t.Errorf("refresh: %d %s, cookies %v and then %v", response.StatusCode, body, before, after)
	}
	// The token in a body is no token here: a page that could plant one would choose the session.
	response, body = s.visit(t, "POST", "/auth/token", `{"refreshToken":`+text(after[refreshCookie])+`}`)
	wantFailure(t, response.StatusCode, response.Header, body, 400, auth.CodeInvalidRequest)

	response, body = s.visit(t, "POST", "/auth/signout", "")
	if response.StatusCode != http.StatusOK || len(s.cookies(t)) != 0 {
		t.Errorf("sign-out: %d %s, cookies %v", response.StatusCode, body, s.cookies(t))
	}
	response, body = s.visit(t, "POST", "/auth/signout", `{}`) // again
	if response.StatusCode != http.StatusOK {
		t.Errorf("second sign-out: %d %s", response.StatusCode, body)
	}
	if _, err := s.engine.Refresh(t.Context(), auth.RefreshParams{RefreshToken: after[refreshCookie]}); err == nil {
		t.Error("the session lives")
	}
	response, body = s.visit(t, "POST", "/auth/token", "")
	wantFailure(t, response.StatusCode, response.Header, body, 401, auth.CodeInvalidRefreshToken)
}

func TestCookiesAreRefreshedOnTheWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		age  func(t *testing.T, s *site)
	}{
		{"the access token has expired", func(_ *testing.T, s *site) { s.engine.Clock.Advance(16 * time.Minute) }},
		{"the access cookie is gone", func(t *testing.T, s *site) { s.forget(t, accessCookie) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, httpadapter.Options{})
			s.signUp(t)
			before := s.cookies(t)
			c.age(t, s)
			response, body := s.visit(t, "GET", "/page", "")
			wantPage(t, response, body)
			after := s.cookies(t)
			if after[accessCookie] == before[accessCookie] || after[refreshCookie] == before[refreshCookie] {
				t.Errorf("cookies %v and then %v", before, after)
			}
			response, body = s.visit(t, "GET", "/page", "")
			wantPage(t, response, body)
			if len(response.Cookies()) != 0 {
				t.Errorf("refreshed again: %v", response.Cookies())
			}
		})
	}

	t.Run("by fifty requests at once with one result", func(t *testing.T) { // RT-02
		t.Parallel()
		s := newSite(t, httpadapter.Options{})
		s.signUp(t)
		stale := s.cookies(t)[refreshCookie]
		var group sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]int{}
		for range 50 {
			group.Go(func() {
				w := do(t, s.RequireUser(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), "GET", "/page", "", "Cookie", refreshCookie+"="+stale)
				mu.Lock()
				defer mu.Unlock()
				for _, cookie := range w.Result().Cookies() {
					if cookie.Name == refreshCookie {
						seen[cookie.Value]++
					}
				}
			})
		}
		group.Wait()
		if len(seen) != 1 {
			t.Errorf("%d different successors: %v", len(seen), seen)
		}
		for token, n := range seen {
			if n != 50 || token == stale {
				t.Errorf("%d of 50 requests were refreshed, to %q", n, token)
			}
		}
	})

	t.Run("and removed when the session has ended", func(t *testing.T) {
		t.Parallel()
		for _, conceal := range []bool{false, true} {
			s := newSite(t, httpadapter.Options{}, func(c *auth.Config) { c.ConcealErrors = conceal })
			s.signUp(t)
			s.engine.Clock.Advance(31 * 24 * time.Hour)
			response, body := s.visit(t, "GET", "/page", "")
			wantFailure(t, response.StatusCode, response.Header, body, 401, auth.CodeUnauthenticated)
			if got := s.cookies(t); len(got) != 0 {
				t.Errorf("cookies %v", got)
			}
		}
	})

	t.Run("and kept when the user is only kept out", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, httpadapter.Options{})
		s.signUp(t)
		u, err := s.engine.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		disabled := true
		if _, err := s.engine.UpdateUser(t.Context(), u.ID, auth.UserUpdate{Disabled: &disabled}); err != nil {
			t.Fatal(err)
		}
		s.engine.Clock.Advance(16 * time.Minute)
		response, body := s.visit(t, "GET", "/page", "")
		wantFailure(t, response.StatusCode, response.Header, body, 401, auth.CodeDisabledUser)
		if s.cookies(t)[refreshCookie] == "" {
			t.Error("the refresh cookie is gone")
		}
	})
}

func TestSigningOutEverywhereTakesTheCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	s.signUp(t)
	other := s.engine.SignIn(t, "ada@example.com")
	s.engine.Clock.Advance(16 * time.Minute) // the session is refreshed on the way to its end
	response, body := s.visit(t, "POST", "/auth/signout", `{"all":true}`)
	if response.StatusCode != http.StatusOK || len(s.cookies(t)) != 0 {
		t.Errorf("sign-out: %d %s, cookies %v", response.StatusCode, body, s.cookies(t))
	}
	if n := len(response.Header["Set-Cookie"]); n != 2 { // RFC 6265 §4.1.1
		t.Errorf("Set-Cookie: %q, want each cookie once", response.Header["Set-Cookie"])
	}
	if _, err := s.engine.Refresh(t.Context(), auth.RefreshParams{RefreshToken: other.RefreshToken}); err == nil {
		t.Error("another session lives")
	}
}

func TestRevokingOnesOwnSessionTakesTheCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	s.signUp(t)
	other := s.engine.SignIn(t, "ada@example.com")
	mine := s.engine.Principal(t, &auth.Session{AccessToken: s.cookies(t)[accessCookie]}).SessionID
	s.visit(t, "DELETE", "/auth/user/sessions/"+other.RefreshTokenID.String(), "")
	if len(s.cookies(t)) != 2 {
		t.Errorf("cookies after the end of another session: %v", s.cookies(t))
	}
	s.visit(t, "DELETE", "/auth/user/sessions/"+mine.String(), "")
	if len(s.cookies(t)) != 0 {
		t.Errorf("cookies after the end of one's own: %v", s.cookies(t))
	}
}

func TestALinkSignsInWithCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{}, func(c *auth.Config) { c.Email.AllowUnverified = false })
	s.visit(t, "POST", "/auth/signup/email-password", credentials("ada@example.com"))
	if len(s.cookies(t)) != 0 {
		t.Fatal("cookies before the proof of the address")
	}
	ticket := s.engine.Mailbox.Last(t, "ada@example.com").Ticket()
	response, _ := s.visit(t, "GET", "/auth/verify?"+url.Values{"ticket": {ticket}, "redirectTo": {authtest.ClientURL + "/in?refreshToken=x"}}.Encode(), "")
	if got, want := response.Header.Get("Location"), authtest.ClientURL+"/in?type=verifyEmail"; got != want { // LG-09
		t.Errorf("Location %s, want %s", got, want)
	}
	response, body := s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)
}

// LG-02: with the user's cookies, only the site's own pages change anything.
func TestOtherOriginsCannotUseTheCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{AllowedOrigins: []string{"https://spa.test"}})
	s.signUp(t)
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"a cross-site form", "POST", "/page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403},
		{"a form of a sibling site", "POST", "/page", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.test"}, 403},
		{"an old browser", "POST", "/page", []string{"Origin", "https://evil.test"}, 403},
		{"a sandboxed page", "POST", "/page", []string{"Origin", "null"}, 403},
		{"another method", "DELETE", "/page", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a route", "POST", "/auth/token", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403},
		{"sign-in, with an account of the attacker's", "POST", "/auth/signin/anonymous", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"sign-out", "POST", "/auth/signout", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"the site's own form", "POST", "/page", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"a link from elsewhere", "GET", "/page", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		{"a listed origin", "POST", "/page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://spa.test"}, 200},
		{"what is no browser", "POST", "/page", nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			response, body := s.visit(t, c.method, c.path, "", c.headers...)
			if c.status == http.StatusForbidden {
				wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
				return
			}
			wantPage(t, response, body)
		})
	}
	t.Run("and a listed origin's page may read the answer", func(t *testing.T) {
		response, _ := s.visit(t, "GET", "/auth/user", "", "Origin", "https://spa.test", "Sec-Fetch-Site", "cross-site")
		wantHeaders(t, response.Header, "Access-Control-Allow-Origin", "https://spa.test", "Access-Control-Allow-Credentials", "true")
		response, _ = s.visit(t, "GET", "/auth/user", "", "Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site")
		wantHeaders(t, response.Header, "Access-Control-Allow-Origin", "", "Access-Control-Allow-Credentials", "")
	})
}

func TestWhoSpeaksWhereThereAreSeveralTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	ada, eve := s.engine.SignUp(t, "ada@example.com"), s.engine.SignUp(t, "eve@example.com")
	for _, c := range []struct {
		name    string
		headers []string
		want    string // the user's id, or nobody's
	}{
		{"the bearer goes before the cookie", append(bearer(ada), "Cookie", accessCookie+"="+eve.AccessToken), ada.User.ID.String()},
		{"a bad bearer is not made good by a cookie", []string{"Authorization", "Bearer x", "Cookie", accessCookie + "=" + eve.AccessToken}, ""},
		{"nor is an empty one", []string{"Authorization", "Bearer ", "Cookie", accessCookie + "=" + eve.AccessToken}, ""},
		{"nor an empty header", []string{"Authorization", "", "Cookie", accessCookie + "=" + eve.AccessToken}, ""},
		{"of two cookies with one name none counts", []string{"Cookie", accessCookie + "=" + eve.AccessToken + "; " + accessCookie + "=" + ada.AccessToken}, ""},
		{"a cookie without the prefix is none", []string{"Cookie", "auth-access=" + ada.AccessToken}, ""},
		{"a refresh token is no access token", []string{"Cookie", accessCookie + "=" + ada.RefreshToken}, ""},
		{"a cookie", []string{"Cookie", accessCookie + "=" + eve.AccessToken}, eve.User.ID.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(t, s.Handler, "GET", "/user", "", c.headers...)
			if c.want == "" {
				wantRefused(t, w, 401, auth.CodeUnauthenticated)
				return
			}
			if got := want200[auth.User](t, w).ID.String(); got != c.want {
				t.Errorf("user %s, want %s", got, c.want)
			}
		})
	}
}

func TestSignedOutVisitorsGetWhatTheSiteSays(t *testing.T) {
	t.Parallel()
	o := httpadapter.Options{Cookies: &httpadapter.CookieOptions{SignedOut: http.RedirectHandler("/sign-in", http.StatusSeeOther)}}
	s := newSite(t, o)
	response, _ := s.visit(t, "GET", "/page", "")
	if response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/sign-in" {
		t.Errorf("page: %d to %q", response.StatusCode, response.Header.Get("Location"))
	}
	response, body := s.visit(t, "GET", "/auth/user", "") // the routes are an API still
	wantFailure(t, response.StatusCode, response.Header, body, 401, auth.CodeUnauthenticated)
	response, body = s.visit(t, "POST", "/page", "", "Sec-Fetch-Site", "cross-site")
	wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	s.signUp(t)
	response, body = s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)
}

func TestWithoutCookieModeNoCookieIsSet(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	for _, w := range []*httptest.ResponseRecorder{
		do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")),
		do(t, h, "POST", "/token", `{"refreshToken":`+text(session.RefreshToken)+`}`),
		do(t, h, "POST", "/signout", `{"refreshToken":`+text(session.RefreshToken)+`}`),
	} {
		wantHeaders(t, w.Header(), "Set-Cookie", "")
	}
	// And no origin is looked at: a bearer token is sent by no form.
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"))
}
