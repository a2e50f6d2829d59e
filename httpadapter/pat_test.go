package httpadapter_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// until is a body that makes a token for a day, with further members.
func (f *fixture) until(more string) string {
	return `{"expiresAt":` + text(f.engine.Clock.Now().Add(24*time.Hour).Format(time.RFC3339)) + more + `}`
}

func (f *fixture) newPAT(t testing.TB, s *auth.Session) auth.PAT {
	t.Helper()
	return want200[auth.PAT](t, do(t, f, "POST", "/pat", f.until(""), bearer(s)...))
}

func withPAT(token string) string { return `{"personalAccessToken":` + text(token) + `}` }

// A personal access token from its making to its end, as a client sees it.
func TestAPersonalAccessToken(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	ada, eve := h.engine.SignUp(t, "ada@example.com"), h.engine.SignUp(t, "eve@example.com")
	if w := do(t, h, "GET", "/pat", "", bearer(ada)...); w.Body.String() != `{"personalAccessTokens":[]}`+"\n" {
		t.Errorf("list %s", w.Body)
	}
	made := want200[object](t, do(t, h, "POST", "/pat", h.until(`,"metadata":{"name":"ci","a":[1]},"scopes":["read","repo:write"]`), bearer(ada)...))
	tokenID, token := take(t, made, "id", id.String()), take(t, made, "personalAccessToken", id.String())
	if len(made) > 0 {
		t.Errorf("further members %v", made)
	}
	now := h.engine.Clock.Now()
	h.engine.Clock.Advance(time.Second)
	h.newPAT(t, ada)
	w := do(t, h, "GET", "/pat", "", bearer(ada)...)
	if strings.Contains(w.Body.String(), token) { // PA-10
		t.Errorf("list %s", w.Body)
	}
	list := want200[map[string][]object](t, w)["personalAccessTokens"]
	want := object{
		"id": tokenID, "scopes": []any{"read", "repo:write"}, "metadata": object{"name": "ci", "a": []any{1.0}},
		"createdAt": now.Format(time.RFC3339), "expiresAt": now.Add(24 * time.Hour).Format(time.RFC3339), "lastUsedAt": "0001-01-01T00:00:00Z",
	}
	if len(list) != 2 {
		t.Fatalf("%d tokens, want 2", len(list))
	}
	if diff := cmp.Diff(want, list[0]); diff != "" {
		t.Errorf("first token (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{[]any{}, nil}, []any{list[1]["scopes"], list[1]["metadata"]}); diff != "" {
		t.Errorf("second token (-want +got):\n%s", diff)
	}
	if w := do(t, h, "GET", "/pat", "", bearer(eve)...); w.Body.String() != `{"personalAccessTokens":[]}`+"\n" {
		t.Errorf("another's list %s", w.Body)
	}

	// Whoever made it had the second factor: no other is asked for.
	h.engine.EnrolTOTP(t, ada)
	in := want200[object](t, do(t, h, "POST", "/signin/pat", withPAT(token)))
	if diff := cmp.Diff([]string{"session"}, members(in)); diff != "" {
		t.Fatalf("answer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sessionMembers, members(in["session"].(object))); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	session := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/pat", withPAT(token))).Session
	want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(session)...))
	for _, spelling := range []string{strings.ToUpper(token), " " + token, "urn:uuid:" + token, "{" + token + "}", strings.ReplaceAll(token, "-", "")} {
		wantRefused(t, do(t, h, "POST", "/signin/pat", withPAT(spelling)), 401, auth.CodeInvalidPAT)
	}
	wantRefused(t, do(t, h, "POST", "/token", `{"refreshToken":`+text(token)+`}`), 401, auth.CodeInvalidRefreshToken)
	wantOK(t, do(t, h, "POST", "/signout", `{"refreshToken":`+text(token)+`}`)) // PA-02
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/pat", withPAT(token)))

	wantRefused(t, do(t, h, "DELETE", "/pat/"+tokenID, "", bearer(eve)...), 404, auth.CodeRouteNotFound)
	wantRefused(t, do(t, h, "DELETE", "/pat/"+strings.ToUpper(tokenID), "", bearer(ada)...), 404, auth.CodeRouteNotFound)
	wantOK(t, do(t, h, "DELETE", "/pat/"+tokenID, "", bearer(ada)...))
	wantRefused(t, do(t, h, "DELETE", "/pat/"+tokenID, "", bearer(ada)...), 404, auth.CodeRouteNotFound)
	wantRefused(t, do(t, h, "POST", "/signin/pat", withPAT(token)), 401, auth.CodeInvalidPAT)
	wantRefused(t, h.refresh(t, session), 401, auth.CodeInvalidRefreshToken) // PA-08
	want200[auth.Session](t, h.refresh(t, ada))
}

// PA-06: a session that was opened with a token neither changes nor lists what the account has, and cannot step up.
func TestASessionOfATokenIsForTheServicesOwnRoutes(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) {
		c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByWebAuthn, auth.ElevateByTOTP, auth.ElevateByPassword}
	})
	ada := h.engine.SignUp(t, "ada@example.com")
	token := h.newPAT(t, ada)
	session := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/pat", withPAT(token.Token))).Session
	for route, body := range map[string]string{
		"POST /pat":                h.until(""),
		"GET /mfa/totp/generate":   "",
		"POST /mfa/totp/generate":  `{"code":"123456"}`,
		"POST /mfa/recovery-codes": "",
		"POST /user/mfa":           `{"code":"123456","activeMfaType":"totp"}`,
		"POST /user/password":      setTo(newPassword, ""),
		"POST /user/email/change":  `{"newEmail":"new@example.com"}`,
		"GET /elevate":             "",
		"POST /elevate/webauthn":   "",
		"POST /elevate/totp":       `{"otp":"123456"}`,
		"POST /elevate/password":   `{"password":` + text(authtest.Password) + `}`,
		"POST /signout":            `{"all":true}`,
		"GET /user/export":         "",
		"GET /user/sessions":       "",
		"GET /user/webauthn/keys":  "",
		"GET /mfa":                 "",
		"GET /pat":                 "",
		"DELETE /user":             "",
		"DELETE /user/sessions/" + ada.RefreshTokenID.String(): "",
		"DELETE /pat/" + token.ID.String():                     "",
	} {
		method, path, _ := strings.Cut(route, " ")
		w := do(t, h, method, path, body, bearer(session)...)
		if w.Code != 403 {
			t.Errorf("%s: %d %s", route, w.Code, w.Body)
			continue
		}
		wantStepUp(t, w, `Bearer error="insufficient_user_authentication", error_description="This cannot be done with a personal access token"`)
	}
	if n := len(want200[map[string][]object](t, do(t, h, "GET", "/pat", "", bearer(ada)...))["personalAccessTokens"]); n != 1 {
		t.Errorf("%d tokens", n)
	}
	want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(session)...))
	next := want200[auth.Session](t, h.refresh(t, session))
	wantOK(t, do(t, h, "POST", "/signout", `{"refreshToken":`+text(next.RefreshToken)+`}`))
}

// PA-04: a token lives until an instant that everybody reads alike, which comes and is not too far.
func TestWhenATokenExpires(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	ada := h.engine.SignUp(t, "ada@example.com")
	now := h.engine.Clock.Now()
	soon := now.Add(time.Hour)
	day := now.Add(48 * time.Hour).Format("2006-01-02")
	for expiresAt, want := range map[string]time.Time{
		soon.Format(time.RFC3339):                                     soon,
		soon.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339): soon,
		soon.In(time.FixedZone("", -12*3600)).Format(time.RFC3339):    soon,
		soon.Format("2006-01-02T15:04:05") + ".5Z":                    soon.Add(time.Second / 2),
		now.Add(366 * 24 * time.Hour).Format(time.RFC3339):            now.Add(366 * 24 * time.Hour),
	} {
		t.Run(expiresAt, func(t *testing.T) {
			made := want200[auth.PAT](t, do(t, h, "POST", "/pat", `{"expiresAt":`+text(expiresAt)+`}`, bearer(ada)...))
			list := want200[map[string][]auth.PATDetails](t, do(t, h, "GET", "/pat", "", bearer(ada)...))["personalAccessTokens"]
			i := slices.IndexFunc(list, func(d auth.PATDetails) bool { return d.ID == made.ID })
			if i < 0 || !list[i].ExpiresAt.Equal(want) || list[i].ExpiresAt.Location() != time.UTC {
				t.Errorf("tokens %+v, want %s until %v", list, made.ID, want)
			}
		})
	}
	for _, expiresAt := range []string{
		now.Add(366*24*time.Hour + time.Second).Format(time.RFC3339),
		now.Format(time.RFC3339),
		now.Add(-time.Hour).Format(time.RFC3339),
		day + "T12:00:00", // of which zone?
		day + " 12:00:00Z",
		day + "T12:00:00,5Z",
		day + "T12:00:00.Z",
		day + "T12:00Z",
		day + "T24:00:00Z",
		day + "T12:60:00Z",
		day + "T12:59:60Z",
		day + "T1:00:00Z",
		day + "T12:00:00+24:00",
		day + "T12:00:00+0100",
		day + "T12:00:00Z ",
		day + "T12:00:00Z\n",
		day,
		now.Add(48 * time.Hour).Format(time.RFC1123),
		day[:4] + "-02-30T00:00:00Z",
		"9999-12-31T23:59:59Z",
		"9999-12-31T23:59:59-23:59",
		"10000-01-01T00:00:00Z",
		"+10000-01-01T00:00:00Z",
		"0000-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z",
		"-001-01-01T00:00:00Z",
		"1893456000",
		"",
		"never",
	} {
		t.Run("not "+expiresAt, func(t *testing.T) {
			w := do(t, h, "POST", "/pat", `{"expiresAt":`+text(expiresAt)+`}`, bearer(ada)...)
			wantRefused(t, w, 400, auth.CodeInvalidRequest)
			if !strings.Contains(w.Body.String(), "expiresAt") {
				t.Errorf("body %s", w.Body)
			}
		})
	}
	wantRefused(t, do(t, h, "POST", "/pat", `{"expiresAt":1893456000}`, bearer(ada)...), 400, auth.CodeInvalidRequest)
	// A token whose time has come is none.
	token := want200[auth.PAT](t, do(t, h, "POST", "/pat", `{"expiresAt":`+text(now.Add(time.Minute).Format(time.RFC3339))+`}`, bearer(ada)...)).Token
	h.engine.Clock.Advance(time.Minute)
	wantRefused(t, do(t, h, "POST", "/signin/pat", withPAT(token)), 401, auth.CodeInvalidPAT)
}

func TestWhatIsNoToken(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.SignUp.MaxMetadata = 1024 })
	ada := h.engine.SignUp(t, "ada@example.com")
	for _, more := range []string{
		`,"scopes":[""]`, `,"scopes":["a b"]`, `,"scopes":["é"]`, `,"scopes":["` + strings.Repeat("x", 65) + `"]`,
		`,"scopes":["a"` + strings.Repeat(`,"a"`, 32) + `]`, `,"metadata":{"a":"` + strings.Repeat("x", 1024) + `"}`,
	} {
		wantRefused(t, do(t, h, "POST", "/pat", h.until(more), bearer(ada)...), 400, auth.CodeInvalidRequest)
	}
	pat := h.newPAT(t, ada)
	h.disable(t, ada)
	wantRefused(t, do(t, h, "POST", "/signin/pat", withPAT(pat.Token)), 401, auth.CodeDisabledUser) // PA-07

	off := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.PAT = nil })
	wantRefused(t, do(t, off, "POST", "/signin/pat", withPAT(pat.Token)), 409, auth.CodeDisabledEndpoint)
	wantRefused(t, do(t, off, "POST", "/pat", off.until(""), bearer(off.engine.SignUp(t, "ada@example.com"))...), 409, auth.CodeDisabledEndpoint)
}

// PA-05: where a step-up is demanded, a token is not made without.
func TestATokenNeedsAStepUp(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, mode(auth.ElevationRequired))
	phone := h.page(&authtest.Authenticator{})
	ada := want200[auth.SignInResult](t, phone.signUp(t, "ada@example.com", "")).Session
	wantStepUp(t, phone.send(t, "POST", "/pat", h.until(""), ada), stepUp)
	h.newPAT(t, phone.elevated(t, ada))
}

// PA-03: signing out everywhere spares the tokens, unless they are named.
func TestSigningOutEverywhereAndTokens(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	ada := h.engine.SignUp(t, "ada@example.com")
	token := h.newPAT(t, ada).Token
	wantOK(t, do(t, h, "POST", "/signout", `{"all":true}`, bearer(ada)...))
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/pat", withPAT(token)))
	wantOK(t, do(t, h, "POST", "/signout", `{"all":true,"personalAccessTokens":true}`, bearer(h.engine.SignIn(t, "ada@example.com"))...))
	wantRefused(t, do(t, h, "POST", "/signin/pat", withPAT(token)), 401, auth.CodeInvalidPAT)
}

func TestATokenSignsInWithCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	token := s.newPAT(t, s.engine.SignUp(t, "ada@example.com")).Token
	response, body := s.visit(t, "POST", "/auth/signin/pat", withPAT(token))
	wantCookieSession(t, response, body)
	response, body = s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)
	response, body = s.visit(t, "POST", "/auth/signin/pat", withPAT(token), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
	wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
}
