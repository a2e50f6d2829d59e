package httpadapter_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store/memstore"
)

// stepUp is the challenge of a request that needs one (RFC 9470 §3).
const stepUp = `Bearer error="insufficient_user_authentication", error_description="Elevated claim is required"`

func mode(m auth.ElevationMode) func(*auth.Config) {
	return func(c *auth.Config) { c.Elevation.Mode = m }
}

func wantStepUp(t testing.TB, w *httptest.ResponseRecorder, challenge string) {
	t.Helper()
	wantRefused(t, w, 403, auth.CodeElevationRequired)
	wantHeaders(t, w.Header(), "WWW-Authenticate", challenge)
}

// EL-01: what is protected demands a step-up in the words of RFC 9470, and goes through with one.
func TestProtectedRoutesDemandAStepUp(t *testing.T) {
	t.Parallel()
	for _, m := range []auth.ElevationMode{auth.ElevationDisabled, auth.ElevationRecommended, auth.ElevationRequired} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, open, mode(m))
			phone := h.page(&authtest.Authenticator{})
			plain := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session
			up := phone.elevated(t, plain)
			key := want200[added](t, h.page(authtest.NewSecurityKey()).add(t, up, ""))
			begin := func() string { // an answer to a beginning of the same session
				return answer(authtest.NewSecurityKey().Create(t, phone.options(t, "/user/webauthn/add", "", up)), "")
			}
			none := func() string { return "" }
			for _, rt := range []struct {
				method, path string
				body         func() string
			}{
				{"POST", "/user/webauthn/add", none},
				{"POST", "/user/webauthn/verify", begin},
				{"DELETE", "/user/webauthn/keys/" + key.ID, none},
			} {
				w := phone.send(t, rt.method, rt.path, rt.body(), plain)
				if m == auth.ElevationDisabled {
					want200[object](t, w)
					continue
				}
				wantStepUp(t, w, stepUp)
				want200[object](t, phone.send(t, rt.method, rt.path, rt.body(), up))
			}
			// Nothing else is protected.
			want200[auth.SecurityKeys](t, phone.send(t, "GET", "/user/webauthn/keys", "", plain))
			want200[auth.User](t, phone.send(t, "GET", "/user", "", plain))
		})
	}
}

// EL-09: a user without a key may add the first one where a step-up is required, below any prefix; no other spelling of the
// path is a way around the rule.
func TestTheFirstKeyNeedsNoStepUp(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/v1", "/a/b"} {
		t.Run("below "+prefix, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, open, mode(auth.ElevationRequired))
			ada := h.engine.SignUp(t, "ada@example.com")
			phone := &page{h.below(prefix), prefix, &authtest.Authenticator{}}
			want200[added](t, phone.add(t, ada, ""))
			wantStepUp(t, phone.send(t, "POST", "/user/webauthn/add", "", ada), stepUp)
			begun := phone.elevated(t, ada)
			wantStepUp(t, phone.send(t, "POST", "/user/webauthn/verify",
				answer(authtest.NewSecurityKey().Create(t, phone.options(t, "/user/webauthn/add", "", begun)), ""), ada), stepUp)
			end := answer(authtest.NewSecurityKey().Create(t, phone.options(t, "/user/webauthn/add", "", begun)), "")
			for _, path := range []string{"/user/webauthn/add", "/user/webauthn/verify"} {
				body := ""
				if strings.HasSuffix(path, "verify") {
					body = end
				}
				last := path[strings.LastIndexByte(path, '/')+1:]
				for _, variant := range []string{
					path + "/", "/" + path, strings.Replace(path, "/webauthn/", "//webauthn/", 1), strings.ToUpper(path),
					"/user/webauthn/" + strings.ToUpper(last), "/user/webauthn%2F" + last, "/user%2fwebauthn/" + last,
					"/user/webauthn/%" + strings.ToUpper(hex(last[0])) + last[1:], "/user/./webauthn/" + last, "/user/x/../webauthn/" + last,
					"/user/webauthn/" + last + "%00", "/user/webauthn/" + last + ";x=1", "/user/webauthn/" + last + ".json", "/user/webauthn/" + last + "%20",
				} {
					for _, s := range []*auth.Session{ada, begun, nil} {
						w := phone.send(t, "POST", variant, body, s)
						if w.Header().Get("Location") == prefix+path {
							continue // the service's mux cleans paths; the client has to come again
						}
						wantRefused(t, w, 404, auth.CodeRouteNotFound)
					}
				}
			}
			// The step-up counts, on the same path.
			want200[added](t, phone.send(t, "POST", "/user/webauthn/verify", end, begun))
		})
	}
}

func hex(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// The first key may be wanted soon after the sign-in.
func TestTheFirstKeyMayBeTooLate(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Elevation.FirstKeyWithin = 5 * time.Minute })
	ada := h.engine.SignUp(t, "ada@example.com")
	h.engine.Clock.Advance(6 * time.Minute)
	wantStepUp(t, h.page(nil).send(t, "POST", "/user/webauthn/add", "", ada), stepUp)
}

// Older clients say whose step-up it is. It is the bearer's, or nobody's.
func TestTheAddressOfAStepUp(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	ada := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session
	h.engine.SignUp(t, "eve@example.com")
	for _, c := range []struct {
		name, begin, end string
		refused          string // which of the two
	}{
		{"as documented", ``, ``, ""},
		{"in the older way", `{"email":"ada@example.com"}`, `"email":"ada@example.com"`, ""},
		{"in another spelling", `{"email":"ADA@example.com"}`, `"email":"Ada@Example.com"`, ""},
		{"with another's address", `{"email":"eve@example.com"}`, ``, "begin"},
		{"with nobody's address", `{"email":"nobody@example.com"}`, ``, "begin"},
		{"with what is no address", `{"email":"ada"}`, ``, "begin"},
		{"with another's address at the end", ``, `"email":"eve@example.com"`, "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.refused == "begin" {
				wantRefused(t, phone.send(t, "POST", "/elevate/webauthn", c.begin, ada), 400, auth.CodeInvalidRequest)
				return
			}
			w := phone.elevate(t, ada, c.begin, c.end)
			if c.refused == "end" {
				wantRefused(t, w, 400, auth.CodeInvalidRequest)
				return
			}
			got := want200[object](t, w)
			if len(got) != 1 || got["session"].(object)["accessToken"] == ada.AccessToken {
				t.Errorf("answer %v", got)
			}
		})
	}
}

// EL-08: only a step-up is one.
func TestSigningInIsNoStepUp(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	phone := h.page(&authtest.Authenticator{})
	up := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session
	in := want200[auth.SignInResult](t, phone.signIn(t, "", "")).Session
	for _, s := range []*auth.Session{up, in} {
		wantStepUp(t, do(t, h.RequireElevation(0)(whoami), "GET", "/own", "", bearer(s)...), stepUp)
	}
}

func TestRequireElevation(t *testing.T) {
	t.Parallel()
	const soon = stepUp + `, max_age="300"`
	for _, c := range []struct {
		name      string
		maxAge    time.Duration
		elevated  bool
		later     time.Duration
		challenge string // empty if the request goes through
	}{
		{"lets in who has stepped up", 0, true, 0, ""},
		{"lets them in for as long as their token is good", 0, true, 14 * time.Minute, ""},
		{"lets nobody else in", 0, false, 0, stepUp},
		{"lets in who has just stepped up", 5 * time.Minute, true, 0, ""},
		{"lets in who stepped up not too long ago", 5 * time.Minute, true, 5 * time.Minute, ""},
		{"wants another step-up after that", 5 * time.Minute, true, 5*time.Minute + time.Second, soon},
		{"says how old the first one may be", 5 * time.Minute, false, 0, soon},
		{"rounds down", 5*time.Minute + 999*time.Millisecond, false, 0, soon},
		{"may ask for one at every request", time.Millisecond, true, time.Second, stepUp + `, max_age="0"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, open)
			phone := h.page(&authtest.Authenticator{})
			s := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session
			if c.elevated {
				s = phone.elevated(t, s)
			}
			h.engine.Clock.Advance(c.later)
			inner := h.RequireElevation(c.maxAge)
			for name, protected := range map[string]http.Handler{
				"alone":                 inner(whoami),
				"behind RequireUser":    h.RequireUser(inner(whoami)),
				"before RequireRole":    inner(h.RequireRole("user")(whoami)),
				"behind one like it":    h.RequireRole("user")(inner(inner(whoami))),
				"behind another's user": newHandler(t, h.engine.Engine, httpadapter.Options{}).RequireUser(inner(whoami)),
			} {
				w := do(t, protected, "POST", "/own", "", bearer(s)...)
				if c.challenge != "" {
					wantStepUp(t, w, c.challenge)
				} else if w.Code != http.StatusOK || w.Header().Get("User") != s.User.ID.String() {
					t.Errorf("%s: %d for user %q: %s", name, w.Code, w.Header().Get("User"), w.Body)
				}
				wantRefused(t, do(t, protected, "POST", "/own", ""), 401, auth.CodeUnauthenticated)
				wantRefused(t, do(t, protected, "POST", "/own", "", "Authorization", "Bearer x"), 401, auth.CodeUnauthenticated)
			}
		})
	}
	t.Run("takes no negative age", func(t *testing.T) {
		t.Parallel()
		defer func() {
			if recover() == nil {
				t.Error("a negative age is accepted")
			}
		}()
		newFixture(t, httpadapter.Options{}).RequireElevation(-time.Second)
	})
}

// EL-06: where tokens are checked with the store, a step-up ends with its key.
func TestAStepUpEndsWithItsKey(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
	phone := h.page(&authtest.Authenticator{})
	ada := h.engine.SignUp(t, "ada@example.com")
	key := want200[added](t, phone.add(t, ada, ""))
	up := phone.elevated(t, ada)
	protected := h.RequireElevation(0)(whoami)
	if w := do(t, protected, "GET", "/own", "", bearer(up)...); w.Code != http.StatusOK {
		t.Fatalf("before: %d %s", w.Code, w.Body)
	}
	want200[auth.SecurityKeys](t, phone.send(t, "DELETE", "/user/webauthn/keys/"+key.ID, "", up))
	wantStepUp(t, do(t, protected, "GET", "/own", "", bearer(up)...), stepUp)
	want200[string](t, phone.send(t, "POST", "/signout", `{"all":true}`, up))
	wantRefused(t, do(t, protected, "GET", "/own", "", bearer(up)...), 401, auth.CodeUnauthenticated)
}

// What the check itself runs into is answered like all else.
func TestFaultsOfRequireElevation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &faulty{memstore.New(), func(context.Context) error { return nil }}
		e := authtest.NewWithStore(t, s, open, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
		logs := authtest.NewLogs()
		h := &fixture{Handler: newHandler(t, e.Engine, httpadapter.Options{Timeout: time.Minute, Logger: logs.Logger()}), engine: e}
		phone := h.page(&authtest.Authenticator{})
		up := phone.elevated(t, want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session)
		for _, c := range []struct {
			name   string
			before func(context.Context) error
			status int
			took   time.Duration
		}{
			{"an error", func(context.Context) error { return errors.New("the disk is full") }, 500, 0},
			{"a panic", func(context.Context) error { panic("the disk") }, 500, 0},
			{"no answer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503, time.Minute},
		} {
			// The user is known by the time that the store fails.
			protected := h.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.before = c.before
				h.RequireElevation(0)(whoami).ServeHTTP(w, r)
			}))
			start := time.Now()
			wantRefused(t, do(t, protected, "GET", "/own", "", bearer(up)...), c.status, auth.CodeInternal)
			if took := time.Since(start); took != c.took {
				t.Errorf("%s took %v, want %v", c.name, took, c.took)
			}
			s.before = func(context.Context) error { return nil }
		}
		if n := strings.Count(logs.String(), `"msg":`); n != 3 {
			t.Errorf("%d lines, want 3:\n%s", n, logs)
		}
	})
}

// A hook's own words are in the challenge as far as it can hold them (RFC 6750 §3).
func TestAChallengeHoldsAnyMessage(t *testing.T) {
	t.Parallel()
	refuse := &auth.Error{Code: auth.CodeElevationRequired, Message: "say \"please\", \\o/ \r\nX-Evil: é"}
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) {
		c.Hooks.BeforeSession = func(context.Context, *auth.User, []string) error { return refuse }
	})
	wantStepUp(t, do(t, h, "POST", "/signin/anonymous", ""),
		`Bearer error="insufficient_user_authentication", error_description="say 'please', ?o/ ??X-Evil: ?"`)
}

// A step-up by someone who is signed in with cookies puts its access token into the cookie, and nowhere else.
func TestAStepUpWithCookies(t *testing.T) {
	t.Parallel()
	o := httpadapter.Options{Cookies: &httpadapter.CookieOptions{SignedOut: http.RedirectHandler("/sign-in", http.StatusSeeOther)}}
	s := newSite(t, o)
	protected := s.RequireElevation(5 * time.Minute)(whoami)
	page := func(cookies map[string]string) *httptest.ResponseRecorder {
		var header []string
		for name, value := range cookies {
			header = append(header, name+"="+value)
		}
		return do(t, protected, "GET", "/own", "", "Cookie", strings.Join(header, "; "))
	}
	if w := page(nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/sign-in" {
		t.Errorf("nobody: %d to %q", w.Code, w.Header().Get("Location"))
	}

	key := &authtest.Authenticator{}
	_, options := s.visit(t, "POST", "/auth/signup/webauthn", `{"email":"ada@example.com"}`)
	response, body := s.visit(t, "POST", "/auth/signup/webauthn/verify", answer(key.Create(t, options), ""))
	wantCookieSession(t, response, body)
	before := s.cookies(t)
	wantStepUp(t, page(before), stepUp+`, max_age="300"`)

	_, options = s.visit(t, "POST", "/auth/elevate/webauthn", "")
	response, body = s.visit(t, "POST", "/auth/elevate/webauthn/verify", answer(key.Get(t, options), ""))
	wantCookieSession(t, response, body)
	after := s.cookies(t)
	if after[accessCookie] == before[accessCookie] || after[refreshCookie] != before[refreshCookie] {
		t.Errorf("cookies %v and then %v", before, after)
	}
	w := page(after)
	if w.Code != http.StatusOK || w.Header().Get("User") == "" {
		t.Errorf("after the step-up: %d %s", w.Code, w.Body)
	}
	wantHeaders(t, w.Header(), "Cache-Control", "no-store")
	response, body = s.visit(t, "GET", "/auth/user/webauthn/keys", "")
	if response.StatusCode != http.StatusOK {
		t.Errorf("keys: %d %s", response.StatusCode, body)
	}

	_, options = s.visit(t, "POST", "/auth/signin/webauthn", "")
	response, body = s.visit(t, "POST", "/auth/signin/webauthn/verify", answer(key.Get(t, options), ""))
	wantCookieSession(t, response, body)
	wantStepUp(t, page(s.cookies(t)), stepUp+`, max_age="300"`) // EL-08
}

// wantCookieSession checks that a session is in the cookies and not in the body.
func wantCookieSession(t *testing.T, response *http.Response, body string) {
	t.Helper()
	if response.StatusCode != http.StatusOK || len(response.Header["Set-Cookie"]) != 2 {
		t.Fatalf("%d %s, cookies %q", response.StatusCode, body, response.Header["Set-Cookie"])
	}
	if !strings.HasPrefix(body, `{"session":{"accessToken":"","accessTokenExpiresIn":900,"refreshToken":"","refreshTokenId":"`) {
		t.Errorf("body %s", body)
	}
	wantHeaders(t, response.Header, "Cache-Control", "no-store")
}

// LG-02: no other site begins or ends a ceremony in a user's name, or touches their keys.
func TestOtherOriginsHaveNoCeremonies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	s.signUp(t)
	for _, rt := range ceremonies {
		if rt.method == "GET" {
			continue
		}
		response, body := s.visit(t, rt.method, "/auth"+rt.path, rt.body, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
		wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	}
	// A form of another site has no JSON, even where no origin is looked at.
	h := newFixture(t, httpadapter.Options{}, open)
	ada := h.engine.SignUp(t, "ada@example.com")
	for _, path := range []string{"/user/webauthn/add", "/elevate/webauthn", "/signin/webauthn"} {
		w := do(t, h, "POST", path, "", append(bearer(ada), "Content-Type", "text/plain")...)
		wantRefused(t, w, 415, auth.CodeInvalidRequest)
	}
}

// Other ways than a security key, for those who have them; a password is for those who have nothing stronger.
func TestOtherWaysToStepUp(t *testing.T) {
	t.Parallel()
	all := func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByPassword}
	}
	h := newFixture(t, httpadapter.Options{}, open, mode(auth.ElevationRequired), all)
	ada := h.engine.SignUp(t, "ada@example.com")
	send := func(method, path, body string) *httptest.ResponseRecorder {
		return do(t, h, method, path, body, bearer(ada)...)
	}
	ways := func(want string) {
		t.Helper()
		if w := send("GET", "/elevate", ""); w.Code != 200 || w.Body.String() != `{"methods":`+want+"}\n" {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
	// wantElevated checks the answer to a step-up.
	wantElevated := func(w *httptest.ResponseRecorder) *auth.Session {
		t.Helper()
		got := want200[auth.SignInResult](t, w).Session
		if got == nil || got.RefreshTokenID != ada.RefreshTokenID || got.RefreshToken != ada.RefreshToken || got.AccessToken == ada.AccessToken {
			t.Fatalf("session %s", w.Body)
		}
		if w := do(t, h.RequireElevation(time.Minute)(whoami), "GET", "/own", "", bearer(got)...); w.Code != http.StatusOK {
			t.Errorf("after the step-up: %d %s", w.Code, w.Body)
		}
		return got
	}
	password := `{"password":` + text(authtest.Password) + `}`

	ways(`["password"]`)
	wantStepUp(t, send("POST", "/pat", h.until("")), stepUp)
	wantRefused(t, send("POST", "/elevate/password", `{"password":"wrong"}`), 401, auth.CodeInvalidEmailPassword)
	h.newPAT(t, wantElevated(send("POST", "/elevate/password", password)))

	secret := h.engine.EnrolTOTP(t, ada)
	ways(`["totp"]`)
	wantRefused(t, send("POST", "/elevate/password", password), 400, auth.CodeInvalidRequest)
	wantRefused(t, send("POST", "/elevate/totp", `{"otp":"000000"}`), 401, auth.CodeInvalidTOTP)
	code := `{"otp":"` + h.nextCode(t, secret) + `"}`
	up := wantElevated(send("POST", "/elevate/totp", code))
	wantRefused(t, send("POST", "/elevate/totp", code), 401, auth.CodeInvalidTOTP) // MF-12
	h.newPAT(t, up)

	want200[added](t, h.page(&authtest.Authenticator{}).add(t, up, ""))
	ways(`["webauthn","totp"]`)

	// What is not configured is off for everybody.
	keys := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn} })
	ada = keys.engine.SignUp(t, "ada@example.com")
	keys.engine.EnrolTOTP(t, ada)
	wantRefused(t, do(t, keys, "POST", "/elevate/totp", `{"otp":"123456"}`, bearer(ada)...), 409, auth.CodeDisabledEndpoint)
	wantRefused(t, do(t, keys, "POST", "/elevate/password", password, bearer(ada)...), 409, auth.CodeDisabledEndpoint)
	if w := do(t, keys, "GET", "/elevate", "", bearer(ada)...); w.Body.String() != `{"methods":[]}`+"\n" {
		t.Errorf("body %s", w.Body)
	}
}

// A step-up by a code puts its access token into the cookie, and nowhere else.
func TestAStepUpByACodeWithCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	s.signUp(t)
	secret := s.engine.EnrolTOTP(t, &auth.Session{AccessToken: s.cookies(t)[accessCookie]})
	before := s.cookies(t)
	response, body := s.visit(t, "POST", "/auth/elevate/totp", `{"otp":"`+s.nextCode(t, secret)+`"}`)
	wantCookieSession(t, response, body)
	if after := s.cookies(t); after[accessCookie] == before[accessCookie] || after[refreshCookie] != before[refreshCookie] {
		t.Errorf("cookies %v and then %v", before, after)
	}
	response, body = s.visit(t, "POST", "/auth/elevate/totp", `{"otp":"`+s.nextCode(t, secret)+`"}`, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
	wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
}
