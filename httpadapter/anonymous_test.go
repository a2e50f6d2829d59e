package httpadapter_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

func (f *fixture) guest(t testing.TB) *auth.Session {
	t.Helper()
	return want200[auth.SignInResult](t, do(t, f, "POST", "/signin/anonymous", "")).Session
}

// AN-09, AN-10: the user stays the same, and what signs them in next is what the method says.
func TestAnAnonymousUserBecomesARegularOne(t *testing.T) {
	t.Parallel()
	const options = `"options":{"displayName":"Ada","metadata":{"a":1},"allowedRoles":["user","me"],"defaultRole":"me","redirectTo":"https://app.test/in"}`
	for _, c := range []struct {
		name, body string
		amend      func(*auth.Config)
		kind       string // of the link that comes; empty if none does
	}{
		{"by a link", `"signInMethod":"passwordless"`, letters, "passwordlessEmail"},
		{"by a link, where addresses are not verified", `"signInMethod":"passwordless"`, func(c *auth.Config) { letters(c); open(c) }, "passwordlessEmail"},
		{"by a password", `"signInMethod":"email-password","password":"plum-tractor-eleven"`, func(*auth.Config) {}, "verifyEmail"},
		{"by a password, where addresses are not verified", `"signInMethod":"email-password","password":"plum-tractor-eleven"`, open, ""},
		{"as older clients ask", `"signInMethod":"email-password","password":"plum-tractor-eleven","connection":"x"`, open, ""},
		{"with null for what is absent", `"signInMethod":"passwordless","password":null,"connection":null`, letters, "passwordlessEmail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, c.amend)
			guest := h.guest(t)
			wantOK(t, do(t, h, "POST", "/user/deanonymize", `{"email":"Ada@Example.com",`+c.body+`,`+options+`}`, bearer(guest)...))
			var s *auth.Session
			if c.kind == "" {
				r := want200[auth.Session](t, h.refresh(t, guest))
				s = &r
			} else {
				wantRefused(t, h.refresh(t, guest), 401, auth.CodeInvalidRefreshToken)
				s = h.followed(t, do(t, h, "GET", h.link(t, "ada@example.com"), ""), "https://app.test/in", c.kind)
			}
			got := want200[object](t, do(t, h, "GET", "/user", "", bearer(s)...))
			for name, want := range map[string]any{
				"id": guest.User.ID.String(), "isAnonymous": false, "email": "Ada@Example.com", "emailVerified": c.kind != "",
				"displayName": "Ada", "defaultRole": "me", "roles": []any{"user", "me"}, "metadata": object{"a": 1.0},
			} {
				if diff := cmp.Diff(want, got[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			// AN-06, AN-14: nobody is anonymous twice, whatever the old token says.
			w := do(t, h, "POST", "/user/deanonymize", `{"email":"victim@example.com",`+c.body+`}`, bearer(s)...)
			wantRefused(t, w, 400, auth.CodeUserNotAnonymous)
			w = do(t, h, "POST", "/user/deanonymize", `{"email":"victim@example.com",`+c.body+`}`, bearer(guest)...)
			if c.kind == "" {
				wantRefused(t, w, 400, auth.CodeUserNotAnonymous)
			} else {
				wantRefused(t, w, 401, auth.CodeUnauthenticated)
			}
			if n := len(h.engine.Mailbox.To("victim@example.com")); n != 0 {
				t.Errorf("%d letters to somebody else", n)
			}
		})
	}
}

// AN-04, AN-05, AN-11 to AN-14: what is refused leaves the user anonymous and signed in.
func TestWhoBecomesNoRegularUser(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters, func(c *auth.Config) { c.Email.BlockedDomains = []string{"blocked.test"} })
	ada := h.engine.SignUp(t, "ada@example.com")
	guest := h.guest(t)
	const password = `"signInMethod":"email-password","password":"plum-tractor-eleven"`
	for _, c := range []struct {
		name, body string
		by         *auth.Session
		status     int
		code       auth.Code
	}{
		{"nobody", `{"email":"new@example.com",` + password + `}`, nil, 401, auth.CodeUnauthenticated},
		{"a regular user", `{"email":"new@example.com",` + password + `}`, ada, 400, auth.CodeUserNotAnonymous},
		{"without a password", `{"email":"new@example.com","signInMethod":"email-password"}`, guest, 400, auth.CodeInvalidRequest},
		{"with null for a password", `{"email":"new@example.com","signInMethod":"email-password","password":null}`, guest, 400, auth.CodeInvalidRequest},
		{"with an empty password", `{"email":"new@example.com","signInMethod":"email-password","password":""}`, guest, 400, auth.CodePasswordTooShort},
		{"with a common password", `{"email":"new@example.com","signInMethod":"email-password","password":"password123"}`, guest, 400, auth.CodePasswordBreached},
		{"by another method", `{"email":"new@example.com","signInMethod":"webauthn"}`, guest, 400, auth.CodeInvalidRequest},
		{"by no method", `{"email":"new@example.com","signInMethod":""}`, guest, 400, auth.CodeInvalidRequest},
		{"with a taken address", `{"email":"ADA@example.com",` + password + `}`, guest, 409, auth.CodeEmailAlreadyInUse},
		{"with a blocked address", `{"email":"a@blocked.test",` + password + `}`, guest, 401, auth.CodeInvalidEmailPassword},
		{"with no address", `{"email":"ada",` + password + `}`, guest, 400, auth.CodeInvalidRequest},
		{"as an administrator", `{"email":"new@example.com",` + password + `,"options":{"allowedRoles":["admin"]}}`, guest, 400, auth.CodeRoleNotAllowed},
		{"with another default role", `{"email":"new@example.com",` + password + `,"options":{"defaultRole":"admin"}}`, guest, 400, auth.CodeDefaultRoleNotAllowed},
		{"to go elsewhere", `{"email":"new@example.com",` + password + `,"options":{"redirectTo":"https://evil.test"}}`, guest, 400, auth.CodeRedirectNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.by != nil {
				headers = bearer(c.by)
			}
			wantRefused(t, do(t, h, "POST", "/user/deanonymize", c.body, headers...), c.status, c.code)
		})
	}
	w := do(t, h, "POST", "/user/deanonymize", "[", "Authorization", "Bearer x") // a bad bearer goes before a bad body
	wantRefused(t, w, 401, auth.CodeUnauthenticated)
	wantHeaders(t, w.Header(), "WWW-Authenticate", `Bearer error="invalid_token"`)
	if got := want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(guest)...)); !got.IsAnonymous || got.Email != "" {
		t.Errorf("user %+v", got)
	}
	want200[auth.Session](t, h.refresh(t, guest))
	if n := len(h.engine.Mailbox.All()); n != 1 { // ada's
		t.Errorf("%d letters, want 1", n)
	}

	h.disable(t, guest)
	w = do(t, h, "POST", "/user/deanonymize", `{"email":"new@example.com",`+password+`}`, bearer(guest)...)
	wantRefused(t, w, 401, auth.CodeDisabledUser) // AN-13
}

// AN-09: with cookies, those of the anonymous session are good for nothing afterwards, and following the link replaces them.
func TestAnAnonymousUserWithCookiesBecomesARegularOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{}, letters, func(c *auth.Config) { c.Sessions.CheckOnVerify = true })
	response, body := s.visit(t, "POST", "/auth/signin/anonymous", "")
	wantCookieSession(t, response, body)
	guest := s.cookies(t)
	response, body = s.visit(t, "POST", "/auth/user/deanonymize", `{"signInMethod":"passwordless","email":"ada@example.com"}`, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
	wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	response, body = s.visit(t, "POST", "/auth/user/deanonymize", `{"signInMethod":"passwordless","email":"ada@example.com"}`)
	if response.StatusCode != 200 || body != "\"OK\"\n" {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	response, body = s.visit(t, "GET", "/page", "")
	wantFailure(t, response.StatusCode, response.Header, body, 401, auth.CodeUnauthenticated)
	if len(s.cookies(t)) != 0 {
		t.Errorf("cookies of a session that has ended: %v", s.cookies(t))
	}
	response, _ = s.visit(t, "GET", "/auth"+s.link(t, "ada@example.com"), "")
	wantHeaders(t, response.Header, "Location", authtest.ClientURL+"?type=passwordlessEmail")
	response, body = s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)
	if after := s.cookies(t); after[refreshCookie] == guest[refreshCookie] {
		t.Errorf("cookies %v", after)
	}
}
