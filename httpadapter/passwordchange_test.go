package httpadapter_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

const newPassword = "walnut-harbour-nine"

// setTo is the body of a change of password, with further members as JSON without the braces.
func setTo(password, more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"newPassword":` + text(password) + more + `}`
}

// reset asks for a link to reset a password and returns its ticket.
func (f *fixture) reset(t testing.TB, address string) string {
	t.Helper()
	wantOK(t, do(t, f, "POST", "/user/password/reset", `{"email":`+text(address)+`}`))
	letter := f.engine.Mailbox.Last(t, address)
	if letter.Template != "password-reset" {
		t.Fatalf("letter %s", letter.Template)
	}
	return letter.Ticket()
}

// wantPassword checks which of two passwords is a user's.
func (f *fixture) wantPassword(t testing.TB, address, good, bad string) {
	t.Helper()
	for _, password := range []string{good, bad} {
		w := do(t, f, "POST", "/signin/email-password", `{"email":`+text(address)+`,"password":`+text(password)+`}`)
		if password == good {
			want200[auth.SignInResult](t, w)
		} else {
			wantRefused(t, w, 401, auth.CodeInvalidEmailPassword)
		}
	}
}

func (f *fixture) refresh(t testing.TB, s *auth.Session) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, f, "POST", "/token", `{"refreshToken":`+text(s.RefreshToken)+`}`)
}

func TestAPasswordIsResetByATicket(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	ada := h.engine.SignUp(t, "ada@example.com")
	body := setTo(newPassword, `"ticket":`+text(h.reset(t, "ADA@example.com"))+`,"currentPassword":null`)
	wantOK(t, do(t, h, "POST", "/user/password", body))
	h.wantPassword(t, "ada@example.com", newPassword, authtest.Password)
	wantRefused(t, h.refresh(t, ada), 401, auth.CodeInvalidRefreshToken) // PW-07
	w := do(t, h, "POST", "/user/password", body)                        // PW-03
	wantRefused(t, w, 401, auth.CodeInvalidTicket)
	wantHeaders(t, w.Header(), "WWW-Authenticate", "Bearer")
}

// The other way: the link signs in, and for a while nothing else is asked of who has just come by it.
func TestAPasswordIsResetByALink(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	h.engine.SignUp(t, "ada@example.com")
	other := h.engine.SignIn(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/user/password/reset", `{"email":"ada@example.com","options":{"redirectTo":"https://app.test/reset"}}`))
	target := h.link(t, "ada@example.com")
	if !strings.HasPrefix(target, "/verify?redirectTo=https%3A%2F%2Fapp.test%2Freset&ticket=passwordReset%3A") || !strings.HasSuffix(target, "&type=passwordReset") {
		t.Errorf("link %s", target)
	}
	s := h.followed(t, do(t, h, "GET", target, ""), "https://app.test/reset", "passwordReset")
	wantOK(t, do(t, h, "POST", "/user/password", setTo(newPassword, ""), bearer(s)...))
	h.wantPassword(t, "ada@example.com", newPassword, authtest.Password)
	want200[auth.Session](t, h.refresh(t, s)) // one's own session stays
	wantRefused(t, h.refresh(t, other), 401, auth.CodeInvalidRefreshToken)
}

// PW-10, E13: a password that is refused costs no ticket, whichever layer refuses it.
func TestARefusedPasswordKeepsTheTicket(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	h.engine.SignUp(t, "ada@example.com")
	ticket := `"ticket":` + text(h.reset(t, "ada@example.com"))
	for body, code := range map[string]auth.Code{
		setTo("short", ticket):                auth.CodePasswordTooShort,
		setTo("", ticket):                     auth.CodePasswordTooShort,
		setTo("password123", ticket):          auth.CodePasswordBreached,
		setTo("ada@example.com", ticket):      auth.CodePasswordBreached,
		setTo(newPassword, ticket+`,"x":1`):   auth.CodeInvalidRequest,
		`{` + ticket + `}`:                    auth.CodeInvalidRequest,
		`{"newPassword":null,` + ticket + `}`: auth.CodeInvalidRequest,
	} {
		wantRefused(t, do(t, h, "POST", "/user/password", body), 400, code)
	}
	wantOK(t, do(t, h, "POST", "/user/password", setTo(newPassword, ticket)))
}

func TestTicketsThatSetNoPassword(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	ada := h.engine.SignUp(t, "ada@example.com")
	good := h.reset(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
	magic := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
	for ticket, code := range map[string]auth.Code{
		"passwordReset:2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24": auth.CodeInvalidTicket,
		"passwordReset:":             auth.CodeInvalidTicket,
		strings.ToUpper(good):        auth.CodeInvalidTicket,
		" " + good:                   auth.CodeInvalidTicket,
		good + " ":                   auth.CodeInvalidTicket,
		good[len("passwordReset:"):]: auth.CodeInvalidTicket,
		magic:                        auth.CodeInvalidTicket, // TK-01
		"passwordReset:" + magic[len("passwordlessEmail:"):]: auth.CodeInvalidTicket,
		"passwordReset:" + strings.Repeat("x", 60_000):       auth.CodeInvalidTicket, // TK-17
		ada.AccessToken:  auth.CodeInvalidTicket,
		ada.RefreshToken: auth.CodeInvalidTicket,
	} {
		wantRefused(t, do(t, h, "POST", "/user/password", setTo(newPassword, `"ticket":`+text(ticket)), bearer(ada)...), 401, code)
	}
	// TK-16: a ticket that is there and empty is not one that is not there.
	wantRefused(t, do(t, h, "POST", "/user/password", setTo(newPassword, `"ticket":""`), bearer(ada)...), 400, auth.CodeInvalidRequest)
	h.wantPassword(t, "ada@example.com", authtest.Password, newPassword)
	// TK-01: what was refused here is good where it belongs.
	w := do(t, h, "GET", "/verify?"+url.Values{"ticket": {magic}, "redirectTo": {""}}.Encode(), "")
	h.followed(t, w, authtest.ClientURL, "passwordlessEmail")
	wantOK(t, do(t, h, "POST", "/user/password", setTo(newPassword, `"ticket":null`), bearer(ada)...))
}

// Without a ticket somebody must be signed in, and a token that is not good is no sign that nobody is.
func TestWhoChangesAPassword(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	ada := h.engine.SignUp(t, "ada@example.com")
	old := bearer(ada)
	h.engine.Clock.Advance(16 * time.Minute)
	ticket := `"ticket":` + text(h.reset(t, "ada@example.com"))
	for _, c := range []struct {
		name      string
		headers   []string
		challenge string
	}{
		{"nobody", nil, "Bearer"},
		{"a bad token", []string{"Authorization", "Bearer x"}, `Bearer error="invalid_token"`},
		{"an expired token", old, `Bearer error="invalid_token"`},
		{"an empty header", []string{"Authorization", ""}, "Bearer"},
		{"another scheme", []string{"Authorization", "Basic YTpi"}, "Bearer"},
		{"a cookie", []string{"Cookie", accessCookie + "=" + ada.AccessToken}, "Bearer"},
	} {
		w := do(t, h, "POST", "/user/password", setTo(newPassword, ""), c.headers...)
		wantRefused(t, w, 401, auth.CodeUnauthenticated)
		wantHeaders(t, w.Header(), "WWW-Authenticate", c.challenge)
		// With a ticket it does not matter.
		wantOK(t, do(t, h, "POST", "/user/password", setTo(newPassword, ticket), c.headers...))
		ticket = `"ticket":` + text(h.reset(t, "ada@example.com"))
	}

	in := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", ""))
	wantRefused(t, do(t, h, "POST", "/user/password", setTo(newPassword, ""), bearer(in.Session)...), 403, auth.CodeForbiddenAnonymous)
}

// PW-08, ASVS 6.2.3: who signed in a while ago shows once more who they are, and the challenge says that they must.
func TestTheCurrentPasswordIsAskedFor(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	s := h.engine.SignUp(t, "ada@example.com")
	h.engine.Clock.Advance(11 * time.Minute)
	wantStepUp(t, do(t, h, "POST", "/user/password", setTo(newPassword, ""), bearer(s)...),
		`Bearer error="insufficient_user_authentication", error_description="The current password, or to have signed in just now, is required"`)
	wantRefused(t, do(t, h, "POST", "/user/password", setTo(newPassword, `"currentPassword":"wrong"`), bearer(s)...), 401, auth.CodeInvalidEmailPassword)
	wantOK(t, do(t, h, "POST", "/user/password", setTo(newPassword, `"currentPassword":`+text(authtest.Password)), bearer(s)...))
	h.wantPassword(t, "ada@example.com", newPassword, authtest.Password)
}

// EL-15: no ticket is a way around the step-up of who is signed in, and with one it is its user alone who is concerned.
func TestATicketIsNoWayAroundAStepUp(t *testing.T) {
	t.Parallel()
	for _, m := range []auth.ElevationMode{auth.ElevationRecommended, auth.ElevationRequired} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, mode(m))
			phone := h.page(&authtest.Authenticator{})
			eve := h.engine.SignUp(t, "eve@example.com")
			ada := h.engine.SignUp(t, "ada@example.com")
			want200[added](t, phone.add(t, ada, ""))

			for _, body := range []string{
				setTo(newPassword, ""), setTo(newPassword, `"ticket":null`), setTo(newPassword, `"currentPassword":`+text(authtest.Password)),
			} {
				wantStepUp(t, phone.send(t, "POST", "/user/password", body, ada), stepUp)
			}
			wantRefused(t, phone.send(t, "POST", "/user/password", setTo(newPassword, `"ticket":""`), ada), 400, auth.CodeInvalidRequest)
			wantRefused(t, phone.send(t, "POST", "/user/password", setTo(newPassword, `"ticket":"passwordReset:x"`), ada), 401, auth.CodeInvalidTicket)
			h.wantPassword(t, "ada@example.com", authtest.Password, newPassword)

			ticket := `"ticket":` + text(h.reset(t, "eve@example.com"))
			wantOK(t, phone.send(t, "POST", "/user/password", setTo(newPassword, ticket), ada))
			h.wantPassword(t, "ada@example.com", authtest.Password, newPassword)
			h.wantPassword(t, "eve@example.com", newPassword, authtest.Password)
			want200[auth.Session](t, h.refresh(t, ada))
			wantRefused(t, h.refresh(t, eve), 401, auth.CodeInvalidRefreshToken)

			wantOK(t, phone.send(t, "POST", "/user/password", setTo(newPassword, ""), phone.elevated(t, ada)))
			h.wantPassword(t, "ada@example.com", newPassword, authtest.Password)
		})
	}
}

// A change with cookies ends the other sessions and leaves that of the browser, which needs no new cookies.
func TestAPasswordIsChangedWithCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	s.signUp(t)
	other := s.engine.SignIn(t, "ada@example.com")
	before := s.cookies(t)
	response, body := s.visit(t, "POST", "/auth/user/password", setTo(newPassword, ""))
	if response.StatusCode != 200 || body != "\"OK\"\n" || len(response.Header["Set-Cookie"]) != 0 {
		t.Fatalf("%d %s, cookies %q", response.StatusCode, body, response.Header["Set-Cookie"])
	}
	response, body = s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)
	response, _ = s.visit(t, "POST", "/auth/token", "")
	if after := s.cookies(t); response.StatusCode != 200 || after[refreshCookie] == before[refreshCookie] {
		t.Errorf("the browser's session: %d, cookies %v and then %v", response.StatusCode, before, after)
	}
	wantRefused(t, s.refreshElsewhere(t, other), 401, auth.CodeInvalidRefreshToken)

	// With a ticket the cookies are not looked at, and not refreshed on the way.
	s.engine.SignUp(t, "eve@example.com")
	s.forget(t, accessCookie)
	ticket := `"ticket":` + text(s.reset(t, "eve@example.com"))
	response, body = s.visit(t, "POST", "/auth/user/password", setTo(newPassword, ticket))
	if response.StatusCode != 200 || len(response.Header["Set-Cookie"]) != 0 {
		t.Errorf("%d %s, cookies %q", response.StatusCode, body, response.Header["Set-Cookie"])
	}
	response, body = s.visit(t, "GET", "/page", "")
	wantPage(t, response, body)

	// LG-02: no other site changes it, by cookies or by a ticket.
	for _, body := range []string{setTo("another-long-one", ""), setTo("another-long-one", `"ticket":"passwordReset:x"`)} {
		response, answer := s.visit(t, "POST", "/auth/user/password", body, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
		wantFailure(t, response.StatusCode, response.Header, answer, 403, auth.CodeInvalidRequest)
	}
}

// refreshElsewhere refreshes a session that is not the browser's.
func (s *site) refreshElsewhere(t testing.TB, session *auth.Session) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, s.fixture, "POST", "/token", "", "Cookie", refreshCookie+"="+session.RefreshToken)
}

// PW-26: neither a failure nor a log repeats a password or a ticket.
func TestNoPasswordIsRepeated(t *testing.T) {
	t.Parallel()
	logs := authtest.NewLogs()
	h := newFixture(t, httpadapter.Options{Logger: logs.Logger()}, letters)
	ada := h.engine.SignUp(t, "ada@example.com")
	ticket := h.reset(t, "ada@example.com")
	const refused, current = "password123", "not-the-current-one"
	for _, body := range []string{
		setTo(refused, `"ticket":`+text(ticket)),
		setTo(newPassword, `"currentPassword":`+text(current)),
		setTo(newPassword, `"ticket":"passwordReset:`+newPassword+`"`),
		`{"newPassword":"` + newPassword + `","newPassword":"` + refused + `"}`,
	} {
		w := do(t, h, "POST", "/user/password", body, bearer(ada)...)
		for _, secret := range []string{refused, current, newPassword, ticket} {
			if strings.Contains(w.Body.String(), secret) || w.Code == 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	}
	for _, l := range []*authtest.Logs{logs, h.engine.Logs} {
		l.AssertAbsent(t, refused, current, newPassword, ticket)
	}
}
