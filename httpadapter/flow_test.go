package httpadapter_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// userMembers and sessionMembers are the documented members, in the order of their names.
var (
	userMembers = []string{
		"activeMfaType", "avatarUrl", "createdAt", "defaultRole", "displayName", "email", "emailVerified", "id",
		"isAnonymous", "locale", "metadata", "phoneNumberVerified", "roles",
	}
	sessionMembers = []string{"accessToken", "accessTokenExpiresIn", "refreshToken", "refreshTokenId", "user"}
)

type object = map[string]any

func members(o object) []string { return slices.Sorted(maps.Keys(o)) }

func TestSuccessBodiesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	checkSession := func(t *testing.T, s object) {
		t.Helper()
		if diff := cmp.Diff(sessionMembers, members(s)); diff != "" {
			t.Fatalf("session (-want +got):\n%s", diff)
		}
		if !uuid.MatchString(s["refreshToken"].(string)) || !uuid.MatchString(s["refreshTokenId"].(string)) {
			t.Errorf("refreshToken %v and refreshTokenId %v are not lower-case UUIDs", s["refreshToken"], s["refreshTokenId"])
		}
		if s["accessTokenExpiresIn"] != 900.0 || strings.Count(s["accessToken"].(string), ".") != 2 {
			t.Errorf("access token %v for %v seconds", s["accessToken"], s["accessTokenExpiresIn"])
		}
	}

	body := `{"email":"Ada@Example.com","password":"plum-tractor-eleven","options":{"displayName":"Ada","locale":null,` +
		`"metadata":{"a":[1,{"b":null}]},"redirectTo":"https://app.test/hello","allowedRoles":["user","me"],"defaultRole":"me"}}`
	in := want200[object](t, do(t, h, "POST", "/signup/email-password", body))
	if diff := cmp.Diff([]string{"session"}, members(in)); diff != "" {
		t.Fatalf("sign-up (-want +got):\n%s", diff)
	}
	session := in["session"].(object)
	checkSession(t, session)
	user := session["user"].(object)
	if diff := cmp.Diff(userMembers, members(user)); diff != "" {
		t.Fatalf("user (-want +got):\n%s", diff)
	}
	for name, want := range map[string]any{
		"email": "Ada@Example.com", "displayName": "Ada", "locale": "en", "defaultRole": "me", "roles": []any{"user", "me"},
		"metadata": object{"a": []any{1.0, object{"b": nil}}}, "activeMfaType": nil, "isAnonymous": false, "avatarUrl": "",
	} {
		if diff := cmp.Diff(want, user[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	in = want200[object](t, do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")))
	checkSession(t, in["session"].(object))

	anonymous := want200[object](t, do(t, h, "POST", "/signin/anonymous", ""))["session"].(object)
	checkSession(t, anonymous)
	if diff := cmp.Diff(slices.DeleteFunc(slices.Clone(userMembers), func(m string) bool { return m == "email" }), members(anonymous["user"].(object))); diff != "" {
		t.Errorf("anonymous user (-want +got):\n%s", diff)
	}

	next := want200[object](t, do(t, h, "POST", "/token", `{"refreshToken":`+text(session["refreshToken"].(string))+`}`)) // not wrapped
	checkSession(t, next)
	if next["refreshTokenId"] != session["refreshTokenId"] || next["refreshToken"] == session["refreshToken"] {
		t.Errorf("refreshed %v\nto %v", session, next)
	}

	access := "Bearer " + next["accessToken"].(string)
	got := want200[object](t, do(t, h, "GET", "/user", "", "Authorization", access))
	if diff := cmp.Diff(next["user"], any(got)); diff != "" {
		t.Errorf("user (-session +GET /user):\n%s", diff)
	}
	sessions := want200[object](t, do(t, h, "GET", "/user/sessions", "", "Authorization", access))
	if diff := cmp.Diff([]string{"address", "amr", "createdAt", "current", "expiresAt", "id", "lastUsedAt", "userAgent"}, members(sessions["sessions"].([]any)[0].(object))); diff != "" {
		t.Errorf("session details (-want +got):\n%s", diff)
	}
	for _, r := range []*httptest.ResponseRecorder{
		do(t, h, "POST", "/token/verify", "", "Authorization", access),
		do(t, h, "POST", "/token/verify", `{"token":`+text(access)+`}`),
		do(t, h, "DELETE", "/user/sessions/"+session["refreshTokenId"].(string), "", "Authorization", access),
		do(t, h, "POST", "/signout", `{"refreshToken":`+text(next["refreshToken"].(string))+`}`),
		do(t, h, "GET", "/healthz", ""),
	} {
		want200[string](t, r)
		if r.Body.String() != "\"OK\"\n" {
			t.Errorf("body %q, want OK as a JSON string and a line end", r.Body)
		}
	}
	if got := do(t, h, "GET", "/version", ""); got.Body.String() != `{"version":`+text(h.engine.Version())+"}\n" {
		t.Errorf("version %s", got.Body)
	}
}

func TestASignUpThatAwaitsItsProofIsAnEmptyObject(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	w := do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
	want200[object](t, w)
	if w.Body.String() != "{}\n" {
		t.Errorf("body %q, want {}", w.Body)
	}
}

// UR-13: null for an optional member counts as absent.
func TestNullCountsAsAbsent(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	for _, r := range []*httptest.ResponseRecorder{
		do(t, h, "POST", "/signup/email-password", `{"email":"b@example.com","password":"plum-tractor-eleven","options":null}`),
		do(t, h, "POST", "/signup/email-password", `{"email":"c@example.com","password":"plum-tractor-eleven","options":{"allowedRoles":null,"defaultRole":null,"displayName":null,"locale":null,"metadata":null,"redirectTo":null}}`),
		do(t, h, "POST", "/signin/anonymous", `{"displayName":null,"locale":null,"metadata":null}`),
	} {
		want200[auth.SignInResult](t, r)
	}
	want200[string](t, do(t, h, "POST", "/token/verify", `{"token":null}`, bearer(session)...))
	want200[string](t, do(t, h, "POST", "/signout", `{"all":null,"personalAccessTokens":null,"refreshToken":`+text(session.RefreshToken)+`}`))
}

func TestContentTypeMaySayUTF8(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	for _, contentType := range []string{"application/json; charset=utf-8", `Application/JSON;charset="UTF-8"`, "application/json;"} {
		r := httptest.NewRequest("POST", "/signin/anonymous", strings.NewReader(`{}`))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", contentType, w.Code, w.Body)
		}
	}
}

func TestMetadataMayBeAsLargeAsTheEngineAllows(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{MaxBody: 256 << 10}, func(c *auth.Config) { c.SignUp.MaxMetadata = 100 << 10 })
	body := func(n int) string { return `{"metadata":{"a":"` + strings.Repeat("x", n) + `"}}` }
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", body(90<<10)))
	wantRefused(t, do(t, h, "POST", "/signin/anonymous", body(110<<10)), 400, auth.CodeInvalidRequest)
	wantRefused(t, do(t, h, "POST", "/signin/anonymous", body(300<<10)), 413, auth.CodeInvalidRequest)
}

// JW-23: every presented token must be good, wherever it stands; the header is looked at first.
func TestTokenVerifyVouchesForNoBadToken(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	s := h.engine.SignUp(t, "ada@example.com")
	other := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Secret = make([]byte, 32) }).engine.SignUp(t, "ada@example.com")
	good, bad := s.AccessToken, other.AccessToken
	for _, c := range []struct {
		name, header, body string
		status             int
	}{
		{"good in the header", good, "", 200},
		{"good in the body", "", good, 200},
		{"good in both", good, good, 200},
		{"good in the header, bad in the body", good, bad, 400},
		{"bad in the header, good in the body", bad, good, 401},
		{"bad in both", bad, bad, 401},
		{"bad in the header", bad, "", 401},
		{"bad in the body", "", bad, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			body := ""
			if c.header != "" {
				headers = []string{"Authorization", "Bearer " + c.header}
			}
			if c.body != "" {
				body = `{"token":` + text(c.body) + `}`
			}
			w := do(t, h, "POST", "/token/verify", body, headers...)
			switch c.status {
			case 200:
				want200[string](t, w)
			case 400:
				wantRefused(t, w, 400, auth.CodeInvalidRequest)
			case 401:
				wantRefused(t, w, 401, auth.CodeUnauthenticated)
				wantHeaders(t, w.Header(), "WWW-Authenticate", `Bearer error="invalid_token"`)
			}
		})
	}
}

// RFC 6750 §3.1: who presented no token is told no more than that one is wanted.
func TestChallenges(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	disabled := true
	if _, err := h.engine.UpdateUser(t.Context(), session.User.ID, auth.UserUpdate{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, authorization string
		code                auth.Code
		challenge           string
	}{
		{"no token", "", auth.CodeUnauthenticated, "Bearer"},
		{"another scheme", "Basic YTpi", auth.CodeUnauthenticated, "Bearer"},
		{"a bad token", "Bearer x", auth.CodeUnauthenticated, `Bearer error="invalid_token"`},
		{"a bad token, the scheme in lower case", "bearer x", auth.CodeUnauthenticated, `Bearer error="invalid_token"`},
		{"a good token of a disabled user", "Bearer " + session.AccessToken, auth.CodeDisabledUser, "Bearer"},
		{"a good token, the scheme in upper case", "BEARER " + session.AccessToken, auth.CodeDisabledUser, "Bearer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			if c.authorization != "" {
				headers = []string{"Authorization", c.authorization}
			}
			w := do(t, h, "GET", "/user", "", headers...)
			wantRefused(t, w, 401, c.code)
			wantHeaders(t, w.Header(), "WWW-Authenticate", c.challenge)
		})
	}
}

func TestSignOutEndsWhatItSays(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	one := h.engine.SignUp(t, "ada@example.com")
	two := h.engine.SignIn(t, "ada@example.com")
	stranger := h.engine.SignUp(t, "eve@example.com")
	refresh := func(s *auth.Session) *httptest.ResponseRecorder {
		return do(t, h, "POST", "/token", `{"refreshToken":`+text(s.RefreshToken)+`}`)
	}

	// No bearer is needed, a bad one is not looked at, and members that the documented client sends are no error.
	body := `{"refreshToken":` + text(one.RefreshToken) + `,"all":false,"client":{"x":[1]}}`
	want200[string](t, do(t, h, "POST", "/signout", body, "Authorization", "Bearer bad"))
	wantRefused(t, refresh(one), 401, auth.CodeInvalidRefreshToken)
	want200[string](t, do(t, h, "POST", "/signout", body)) // again

	// RT-14: the bearer's sessions end, whatever token stands in the body.
	body = `{"all":true,"personalAccessTokens":true,"refreshToken":` + text(stranger.RefreshToken) + `}`
	want200[string](t, do(t, h, "POST", "/signout", body, bearer(two)...))
	wantRefused(t, refresh(two), 401, auth.CodeInvalidRefreshToken)
	want200[auth.Session](t, refresh(stranger))
}

// UR-09: another user's session is no session.
func TestSessionsAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	ada, eve := h.engine.SignUp(t, "ada@example.com"), h.engine.SignUp(t, "eve@example.com")
	wantRefused(t, do(t, h, "DELETE", "/user/sessions/"+ada.RefreshTokenID.String(), "", bearer(eve)...), 404, auth.CodeRouteNotFound)
	list := want200[struct{ Sessions []auth.SessionDetails }](t, do(t, h, "GET", "/user/sessions", "", bearer(ada)...)).Sessions
	if len(list) != 1 || list[0].ID != ada.RefreshTokenID || !list[0].Current {
		t.Errorf("sessions %+v", list)
	}
	want200[string](t, do(t, h, "DELETE", "/user/sessions/"+ada.RefreshTokenID.String(), "", bearer(ada)...))
	wantRefused(t, do(t, h, "POST", "/token", `{"refreshToken":`+text(ada.RefreshToken)+`}`), 401, auth.CodeInvalidRefreshToken)
}

func TestHEADHasTheHeadersOfGET(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for _, path := range []string{"/healthz", "/version", "/.well-known/jwks.json", "/.well-known/webauthn", "/openapi.yaml", "/user", "/nowhere"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			get, err := server.Client().Get(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			get.Body.Close()
			head, err := server.Client().Head(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			head.Body.Close()
			get.Header.Del("Date")
			head.Header.Del("Date")
			if diff := cmp.Diff(get.Header, head.Header); diff != "" || get.StatusCode != head.StatusCode {
				t.Errorf("GET %d, HEAD %d; headers (-GET +HEAD):\n%s", get.StatusCode, head.StatusCode, diff)
			}
		})
	}
}

// JW-19.
func TestTheKeySetMayBeCached(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	w := do(t, h, "GET", "/.well-known/jwks.json", "")
	wantHeaders(t, w.Header(), "Content-Type", "application/json", "Cache-Control", "public, max-age=300", "Access-Control-Allow-Origin", "")
	set, err := h.engine.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.Body.String(), string(set)+"\n"; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
	tag := w.Header().Get("ETag")
	for _, c := range []struct {
		name, ifNoneMatch string
		status            int
	}{
		{"the same tag", tag, 304},
		{"the same tag, weakly", "W/" + tag, 304},
		{"the same tag among others", `"a", W/"b" ,` + tag, 304},
		{"any", "*", 304},
		{"another tag", `"a"`, 200},
		{"an empty list", ",", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(t, h, "GET", "/.well-known/jwks.json", "", "If-None-Match", c.ifNoneMatch)
			if w.Code != c.status || (w.Body.Len() == 0) != (c.status == 304) {
				t.Errorf("status %d with %d bytes, want %d", w.Code, w.Body.Len(), c.status)
			}
			wantHeaders(t, w.Header(), "ETag", tag, "Cache-Control", "public, max-age=300")
		})
	}

	keys := auth.Keys{Active: auth.Key{Algorithm: "HS256", Secret: make([]byte, 32)}}
	if err := h.engine.SetKeys(keys); err != nil {
		t.Fatal(err)
	}
	w = do(t, h, "GET", "/.well-known/jwks.json", "", "If-None-Match", tag)
	if w.Code != http.StatusOK || w.Body.String() != `{"keys":[]}`+"\n" { // W39
		t.Errorf("after a change of keys: %d %s", w.Code, w.Body)
	}
}

// Contract of GET /verify: what it redirects to, and what it answers itself.
func TestFollowingALink(t *testing.T) {
	t.Parallel()
	link := func(ticket, redirectTo string) string {
		return "/verify?" + url.Values{"ticket": {ticket}, "redirectTo": {redirectTo}, "type": {"emailVerify"}}.Encode()
	}
	for _, c := range []struct {
		name, redirectTo string
		location         string // of success, with REFRESH for the token
	}{
		{"the client URL", "https://app.test", "https://app.test?refreshToken=REFRESH&type=verifyEmail"},
		{"no place", "", "https://app.test?refreshToken=REFRESH&type=verifyEmail"},
		{"a path", "https://app.test/in/here", "https://app.test/in/here?refreshToken=REFRESH&type=verifyEmail"},
		{"a query and a fragment", "https://app.test/x?a=1&b=%C3%A9&c#frag", "https://app.test/x?a=1&b=%C3%A9&c=&refreshToken=REFRESH&type=verifyEmail#frag"},                               // RD-18
		{"parameters of ours", "https://app.test/?refreshToken=evil&type=x&error=e&%65rrorDescription=d&refreshToken=2&z=1", "https://app.test/?refreshToken=REFRESH&type=verifyEmail&z=1"}, // TK-20
	} {
		t.Run("goes to "+c.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{})
			do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
			ticket := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
			w := do(t, h, "GET", link(ticket, c.redirectTo)+"&utm_source=mail", "")
			refresh := regexp.MustCompile(`refreshToken=([0-9a-f-]{36})`).FindStringSubmatch(w.Header().Get("Location"))
			if w.Code != http.StatusFound || refresh == nil {
				t.Fatalf("status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
			}
			wantHeaders(t, w.Header(),
				"Location", strings.Replace(c.location, "REFRESH", refresh[1], 1),
				"Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "Content-Type", "")
			if w.Body.Len() != 0 {
				t.Errorf("body %q, want none", w.Body)
			}
			want200[auth.Session](t, do(t, h, "POST", "/token", `{"refreshToken":`+text(refresh[1])+`}`))
			w = do(t, h, "GET", link(ticket, "https://app.test/x?error=1&type=y&a=b"), "") // TK-02
			wantHeaders(t, w.Header(), "Location", "https://app.test/x?a=b&error=invalid-ticket&errorDescription=Invalid+ticket")
		})
	}

	t.Run("to a place that is not allowed keeps the ticket and the place out of it", func(t *testing.T) { // TK-08, TK-18, W6
		t.Parallel()
		h := newFixture(t, httpadapter.Options{})
		do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
		ticket := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
		w := do(t, h, "GET", link(ticket, "https://evil.test/?error=x"), "")
		if w.Code != http.StatusFound {
			t.Errorf("status %d", w.Code)
		}
		wantHeaders(t, w.Header(), "Location", authtest.ClientURL+`?error=redirectTo-not-allowed&errorDescription=The+value+of+%22options.redirectTo%22+is+not+allowed.`)
		w = do(t, h, "GET", link("verifyEmail:x", ""), "")
		wantHeaders(t, w.Header(), "Location", authtest.ClientURL+`?error=invalid-ticket&errorDescription=Invalid+ticket`)
		w = do(t, h, "GET", link(ticket, ""), "")
		if l := w.Header().Get("Location"); !strings.HasPrefix(l, authtest.ClientURL+"?refreshToken=") {
			t.Errorf("the ticket is spent: %s", l)
		}
	})

	t.Run("is not what HEAD, a prefetch or OPTIONS does", func(t *testing.T) { // TK-09
		t.Parallel()
		h := newFixture(t, httpadapter.Options{})
		do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
		target := link(h.engine.Mailbox.Last(t, "ada@example.com").Ticket(), "")
		w := do(t, h, "HEAD", target, "")
		if w.Code != http.StatusOK || w.Header().Get("Location") != "" {
			t.Errorf("HEAD: %d to %q", w.Code, w.Header().Get("Location"))
		}
		wantHeaders(t, w.Header(), "Cache-Control", "no-store")
		for _, header := range [][2]string{
			{"Sec-Purpose", "prefetch"},
			{"Sec-Fetch-Dest", "image"},
			{"Sec-Fetch-Dest", "iframe"},
			{"Sec-Purpose", "prefetch;prerender"},
			{"Purpose", "prefetch"},
			{"Purpose", "Preview"},
			{"X-Moz", "prefetch"},
		} {
			wantRefused(t, do(t, h, "GET", target, "", header[0], header[1]), 400, auth.CodeInvalidRequest)
		}
		wantRefused(t, do(t, h, "OPTIONS", target, ""), 405, auth.CodeMethodNotAllowed)
		if l := do(t, h, "GET", target, "").Header().Get("Location"); !strings.Contains(l, "refreshToken=") {
			t.Errorf("the ticket is spent: %s", l)
		}
	})

	t.Run("with a type that says otherwise changes nothing", func(t *testing.T) { // TK-12
		t.Parallel()
		h := newFixture(t, httpadapter.Options{})
		do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
		w := do(t, h, "GET", link(h.engine.Mailbox.Last(t, "ada@example.com").Ticket(), "")+"&type=passwordReset", "")
		if l := w.Header().Get("Location"); !strings.HasSuffix(l, "&type=verifyEmail") {
			t.Errorf("Location %s", l)
		}
	})

	t.Run("conceals what it is told to", func(t *testing.T) {
		t.Parallel()
		h := newFixture(t, httpadapter.Options{}, func(c *auth.Config) { c.ConcealErrors = true })
		w := do(t, h, "GET", link("verifyEmail:x", ""), "")
		wantHeaders(t, w.Header(), "Location", authtest.ClientURL+"?error=invalid-request&errorDescription=The+request+payload+is+incorrect")
	})
}

// Where errors are concealed, the adapter has nothing of its own to tell.
func TestConcealedErrorsAreBadRequests(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, func(c *auth.Config) { c.ConcealErrors = true })
	for _, w := range []*httptest.ResponseRecorder{
		do(t, h, "POST", "/signin/email-password", credentials("nobody@example.com")),
		do(t, h, "POST", "/token", `{"refreshToken":"00000000-0000-4000-8000-000000000000"}`),
	} {
		wantRefused(t, w, 400, auth.CodeInvalidRequest)
		if want := `{"status":400,"error":"invalid-request","message":"The request payload is incorrect"}` + "\n"; w.Body.String() != want {
			t.Errorf("body %s, want %s", w.Body, want)
		}
	}
}

func TestSessionsShowTheirClient(t *testing.T) { // W22
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	want200[auth.SignInResult](t, do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"),
		"User-Agent", "Test/1\u202e", "X-Forwarded-For", "203.0.113.9", "Forwarded", "for=203.0.113.9", "X-Real-Ip", "203.0.113.9"))
	list, err := h.engine.ListSessions(t.Context(), h.engine.Principal(t, h.engine.SignIn(t, "ada@example.com")))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if !s.Current && (s.Address != "192.0.2.1" || !strings.HasPrefix(s.UserAgent, "Test/1")) {
			t.Errorf("session %+v, want the peer's address and Test/1", s)
		}
	}
}

func TestBodiesAreValidWhateverTheMetadata(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	w := do(t, h, "POST", "/signin/anonymous", `{"displayName":"<script>&","metadata":{"k":"<\/script>\u2028"}}`)
	if !json.Valid(w.Body.Bytes()) || strings.ContainsAny(w.Body.String(), "<>&\u2028") { // LG-06
		t.Errorf("body %s", w.Body)
	}
}

func TestAServerMadeHereHasLimits(t *testing.T) { // RL-18, W35
	t.Parallel()
	s := httpadapter.NewServer("127.0.0.1:1", http.NotFoundHandler())
	for name, limit := range map[string]time.Duration{
		"ReadHeaderTimeout": s.ReadHeaderTimeout, "ReadTimeout": s.ReadTimeout, "WriteTimeout": s.WriteTimeout, "IdleTimeout": s.IdleTimeout,
	} {
		if limit <= 0 || limit > 5*time.Minute {
			t.Errorf("%s is %v", name, limit)
		}
	}
}
