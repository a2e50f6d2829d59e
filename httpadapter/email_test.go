package httpadapter_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

func TestAnAddressIsVerifiedByTheSecondLetter(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
	first := h.link(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/user/email/send-verification-email", `{"email":"ADA@example.com","options":{"redirectTo":"https://app.test/welcome"}}`))
	second := h.link(t, "ada@example.com")
	if !strings.HasPrefix(second, "/verify?redirectTo=https%3A%2F%2Fapp.test%2Fwelcome&ticket=verifyEmail%3A") || !strings.HasSuffix(second, "&type=emailVerify") {
		t.Errorf("link %s", second)
	}
	wantHeaders(t, do(t, h, "GET", first, "").Header(), "Location", authtest.ClientURL+"?error=invalid-ticket&errorDescription=Invalid+ticket")
	if s := h.followed(t, do(t, h, "GET", second, ""), "https://app.test/welcome", "verifyEmail"); !s.User.EmailVerified {
		t.Errorf("user %+v", s.User)
	}
	// EC-11: without concealment, strangers are told.
	wantRefused(t, do(t, h, "POST", "/user/email/send-verification-email", `{"email":"ada@example.com"}`), 400, auth.CodeEmailAlreadyVerified)
	wantRefused(t, do(t, h, "POST", "/user/email/send-verification-email", `{"email":"nobody@example.com"}`), 401, auth.CodeInvalidEmailPassword)
}

// EC-02, EC-05, W10: nothing changes before the link is followed, and who follows it is not signed in.
func TestAnAddressIsChanged(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	ada := h.engine.SignUp(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
	toTheOld := h.link(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"Lovelace@example.com","options":{"redirectTo":"https://app.test/me?tab=1"}}`, bearer(ada)...))
	target := h.link(t, "lovelace@example.com")
	if !strings.HasPrefix(target, "/verify?redirectTo=https%3A%2F%2Fapp.test%2Fme%3Ftab%3D1&ticket=emailConfirmChange%3A") || !strings.HasSuffix(target, "&type=emailConfirmChange") {
		t.Errorf("link %s", target)
	}
	if u := want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(ada)...)); u.Email != "ada@example.com" || !u.EmailVerified {
		t.Errorf("before: %+v", u)
	}
	w := do(t, h, "GET", target, "")
	if w.Code != 302 || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantHeaders(t, w.Header(), "Location", "https://app.test/me?tab=1&type=emailConfirmChange",
		"Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "Set-Cookie", "")
	if u := want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(ada)...)); u.Email != "Lovelace@example.com" || !u.EmailVerified {
		t.Errorf("after: %+v", u)
	}
	w = do(t, h, "GET", target, "")
	wantHeaders(t, w.Header(), "Location", "https://app.test/me?error=invalid-ticket&errorDescription=Invalid+ticket&tab=1")
	w = do(t, h, "GET", toTheOld, "") // EC-08
	wantHeaders(t, w.Header(), "Location", authtest.ClientURL+"?error=invalid-ticket&errorDescription=Invalid+ticket")
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/email-password", credentials("lovelace@example.com")))
	wantRefused(t, do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")), 401, auth.CodeInvalidEmailPassword)
}

// EC-03, EC-16: whoever proves the address first has it, and the other is told where the link leads.
func TestANewAddressMayBeTakenMeanwhile(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	ada := h.engine.SignUp(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"new@example.com"}`, bearer(ada)...))
	target := h.link(t, "new@example.com")
	h.engine.SignUp(t, "new@example.com")
	w := do(t, h, "GET", target, "")
	wantHeaders(t, w.Header(), "Location", authtest.ClientURL+"?error=email-already-in-use&errorDescription=Email+already+in+use")
}

// A client that sends a code challenge with every request for a link is served: this link has nothing to protect.
func TestACodeChallengeDoesNotMatterToAChangeOfAddress(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	ada := h.engine.SignUp(t, "ada@example.com")
	for _, challenge := range []string{`"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"`, `null`} {
		wantOK(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"new@example.com","codeChallenge":`+challenge+`}`, bearer(ada)...))
	}
	wantLocation(t, do(t, h, "GET", h.link(t, "new@example.com"), ""), authtest.ClientURL+"?type=emailConfirmChange")
	wantRefused(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"a@example.com","codeChallenge":1}`, bearer(ada)...), 400, auth.CodeInvalidRequest)
}

func TestWhoChangesAnAddress(t *testing.T) {
	t.Parallel()
	const body = `{"newEmail":"new@example.com"}`
	h := newFixture(t, httpadapter.Options{}, mode(auth.ElevationRecommended))
	ada := h.engine.SignUp(t, "ada@example.com")
	h.engine.SignUp(t, "eve@example.com")
	guest := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", "")).Session
	w := do(t, h, "POST", "/user/email/change", body)
	wantRefused(t, w, 401, auth.CodeUnauthenticated)
	wantHeaders(t, w.Header(), "WWW-Authenticate", "Bearer")
	w = do(t, h, "POST", "/user/email/change", "[", "Authorization", "Bearer x") // a bad bearer goes before a bad body
	wantRefused(t, w, 401, auth.CodeUnauthenticated)
	wantHeaders(t, w.Header(), "WWW-Authenticate", `Bearer error="invalid_token"`)
	wantRefused(t, do(t, h, "POST", "/user/email/change", body, bearer(guest)...), 403, auth.CodeForbiddenAnonymous) // EC-01
	wantRefused(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"Eve@example.com"}`, bearer(ada)...), 409, auth.CodeEmailAlreadyInUse)
	wantRefused(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"Ada@Example.com"}`, bearer(ada)...), 400, auth.CodeInvalidRequest) // EC-10
	wantRefused(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"new@example.com","options":{"redirectTo":"https://evil.test"}}`, bearer(ada)...), 400, auth.CodeRedirectNotAllowed)

	phone := h.page(&authtest.Authenticator{})
	want200[added](t, phone.add(t, ada, ""))
	wantStepUp(t, phone.send(t, "POST", "/user/email/change", body, ada), stepUp)
	if n := len(h.engine.Mailbox.To("new@example.com")); n != 0 {
		t.Fatalf("%d letters before the step-up", n)
	}
	wantOK(t, phone.send(t, "POST", "/user/email/change", body, phone.elevated(t, ada)))
	h.engine.Mailbox.Last(t, "new@example.com")
}

// EN-07: where errors are concealed, a change is no way to find out who has an account.
func TestAConcealedChangeOfAddressTellsNothing(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, func(c *auth.Config) { c.ConcealErrors = true })
	ada := h.engine.SignUp(t, "ada@example.com")
	h.engine.SignUp(t, "verified@example.com")
	h.disable(t, h.engine.SignUp(t, "disabled@example.com"))
	do(t, h, "POST", "/signup/email-password", credentials("pending@example.com"))
	var first *httptest.ResponseRecorder
	for _, address := range []string{"free@example.com", "verified@example.com", "disabled@example.com", "pending@example.com"} {
		w := do(t, h, "POST", "/user/email/change", `{"newEmail":`+text(address)+`}`, bearer(ada)...)
		wantOK(t, w)
		if first == nil {
			first = w
		}
		wantSame(t, address, first, w)
	}
}

// EC-15: a link that somebody else follows leaves the session of their browser as it is.
func TestAChangeOfAddressSetsNoCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{})
	s.signUp(t)
	eve := s.engine.SignUp(t, "eve@example.com")
	wantOK(t, do(t, s.fixture, "POST", "/user/email/change", `{"newEmail":"new@example.com"}`, bearer(eve)...))
	before := s.cookies(t)
	response, _ := s.visit(t, "GET", "/auth"+s.link(t, "new@example.com"), "")
	wantHeaders(t, response.Header, "Location", authtest.ClientURL+"?type=emailConfirmChange", "Set-Cookie", "")
	if after := s.cookies(t); after[accessCookie] != before[accessCookie] || after[refreshCookie] != before[refreshCookie] {
		t.Errorf("cookies %v and then %v", before, after)
	}

	// With the cookies of the user the change is theirs, and no other site asks for one.
	response, body := s.visit(t, "POST", "/auth/user/email/change", `{"newEmail":"newer@example.com"}`)
	if response.StatusCode != 200 {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	response, body = s.visit(t, "POST", "/auth/user/email/change", `{"newEmail":"newer@example.com"}`, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
	wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
}
