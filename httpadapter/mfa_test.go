package httpadapter_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// nextCode moves on to a time step whose code has not been used, and returns that code.
func (f *fixture) nextCode(t testing.TB, secret string) string {
	t.Helper()
	f.engine.Clock.Advance(30 * time.Second)
	return authtest.TOTPCode(t, secret, f.engine.Clock.Now())
}

var ticketOfMFA = regexp.MustCompile(`^mfaTotp:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// wantChallenge checks that a sign-in was answered with a ticket and nothing else, and returns the ticket.
func wantChallenge(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	got := want200[map[string]map[string]string](t, w)
	ticket := got["mfa"]["ticket"]
	if len(got) != 1 || len(got["mfa"]) != 1 || !ticketOfMFA.MatchString(ticket) {
		t.Fatalf("body %s", w.Body)
	}
	wantHeaders(t, w.Header(), "Set-Cookie", "")
	return ticket
}

// challenged signs a user in with their password, who has a second factor, and returns the ticket.
func (f *fixture) challenged(t testing.TB, email string) string {
	t.Helper()
	return wantChallenge(t, do(t, f, "POST", "/signin/email-password", credentials(email)))
}

// second is the body that ends a sign-in.
func second(ticket, otp string) string {
	return `{"ticket":` + text(ticket) + `,"otp":` + text(otp) + `}`
}

func recovery(ticket, code string) string {
	return `{"ticket":` + text(ticket) + `,"recoveryCode":` + text(code) + `}`
}

// A second factor from its enrolment to its end, as a client sees it.
func TestASecondFactor(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	ada := h.engine.SignUp(t, "ada@example.com")
	send := func(method, path, body string) *httptest.ResponseRecorder {
		return do(t, h, method, path, body, bearer(ada)...)
	}
	active := func(want any) {
		t.Helper()
		if got := want200[object](t, send("GET", "/user", ""))["activeMfaType"]; got != want {
			t.Errorf("activeMfaType %v, want %v", got, want)
		}
	}
	status := func(want string) {
		t.Helper()
		if got := send("GET", "/mfa", ""); got.Body.String() != want+"\n" {
			t.Errorf("status %s, want %s", got.Body, want)
		}
	}
	// enrolment checks what a secret is shown in, and returns it.
	enrolment := func(w *httptest.ResponseRecorder) string {
		t.Helper()
		got := want200[object](t, w)
		image := take(t, got, "imageUrl", `^data:image/png;base64,`)
		png, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(image, "data:image/png;base64,"))
		if err != nil || !strings.HasPrefix(string(png), "\x89PNG\r\n\x1a\n") {
			t.Errorf("image of %d bytes, %v", len(png), err)
		}
		secret := take(t, got, "totpSecret", `^[A-Z2-7]{52}$`)
		take(t, got, "totpUri", `^otpauth://totp/app\.test:ada@example\.com\?.*secret=`+secret)
		if len(got) > 0 {
			t.Errorf("further members %v", got)
		}
		return secret
	}

	status(`{"totp":false,"recoveryCodes":0}`)
	first := enrolment(send("GET", "/mfa/totp/generate", ""))
	secret := enrolment(send("GET", "/mfa/totp/generate", ""))
	if first == secret {
		t.Error("one secret twice")
	}
	wantRefused(t, send("POST", "/user/mfa", `{"code":"000000","activeMfaType":"totp"}`), 401, auth.CodeInvalidTOTP)
	wantRefused(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, first))+`,"activeMfaType":"totp"}`), 401, auth.CodeInvalidTOTP)
	active(nil) // MF-10
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")))
	wantOK(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, secret))+`,"activeMfaType":"totp"}`))
	active("totp")
	status(`{"totp":true,"recoveryCodes":0}`)
	wantRefused(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, secret))+`,"activeMfaType":"totp"}`), 400, auth.CodeTOTPAlreadyActive)

	wantRefused(t, send("POST", "/mfa/recovery-codes", ""), 403, auth.CodeElevationRequired)
	codes := want200[map[string][]string](t, send("POST", "/mfa/recovery-codes", `{"code":`+text(h.nextCode(t, secret))+`}`))["recoveryCodes"]
	if len(codes) != 10 || !regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`).MatchString(codes[9]) {
		t.Errorf("recovery codes %q", codes)
	}
	status(`{"totp":true,"recoveryCodes":10}`)

	ticket, code := h.challenged(t, "ada@example.com"), h.nextCode(t, secret)
	wantRefused(t, do(t, h, "POST", "/signin/mfa/totp", second(ticket, "000000")), 401, auth.CodeInvalidTOTP)
	in := want200[object](t, do(t, h, "POST", "/signin/mfa/totp", second(ticket, code)))
	if diff := cmp.Diff([]string{"session"}, members(in)); diff != "" {
		t.Fatalf("answer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sessionMembers, members(in["session"].(object))); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	wantRefused(t, do(t, h, "POST", "/signin/mfa/totp", second(ticket, h.nextCode(t, secret))), 401, auth.CodeInvalidTicket)
	ticket = h.challenged(t, "ada@example.com")
	wantRefused(t, do(t, h, "POST", "/signin/mfa/totp", second(ticket, code)), 401, auth.CodeInvalidTOTP) // MF-12
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/mfa/recovery", recovery(ticket, strings.ToUpper(codes[0]))))
	status(`{"totp":true,"recoveryCodes":9}`)
	ticket = h.challenged(t, "ada@example.com")
	wantRefused(t, do(t, h, "POST", "/signin/mfa/recovery", recovery(ticket, codes[0])), 401, auth.CodeInvalidTOTP) // MF-19
	for range 4 {                                                                                                   // MF-01
		wantRefused(t, do(t, h, "POST", "/signin/mfa/totp", second(ticket, "000000")), 401, auth.CodeInvalidTOTP)
	}
	wantRefused(t, do(t, h, "POST", "/signin/mfa/totp", second(ticket, h.nextCode(t, secret))), 401, auth.CodeInvalidTicket)

	// Another takes its place only with a code of the first, and once a code of it has come (MF-07).
	w := send("GET", "/mfa/totp/generate", "")
	wantRefused(t, w, 403, auth.CodeElevationRequired)
	if c := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(c, `Bearer error="insufficient_user_authentication"`) {
		t.Errorf("challenge %q", c)
	}
	wantRefused(t, send("POST", "/mfa/totp/generate", `{"code":"000000"}`), 401, auth.CodeInvalidTOTP)
	next := enrolment(send("POST", "/mfa/totp/generate", `{"code":`+text(h.nextCode(t, secret))+`}`))
	wantRefused(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, next))+`}`), 401, auth.CodeInvalidTOTP)
	wantOK(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, next))+`,"activeMfaType":"totp"}`))
	status(`{"totp":true,"recoveryCodes":0}`)
	wantRefused(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, secret))+`,"activeMfaType":""}`), 401, auth.CodeInvalidTOTP)

	// And it ends: with a code, or with a recovery code.
	wantOK(t, send("POST", "/user/mfa", `{"code":`+text(h.nextCode(t, next))+`,"activeMfaType":""}`))
	active(nil)
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")))
	h.engine.Clock.Advance(30 * time.Second) // the code of this step is used, whatever the secret
	ada = h.engine.SignIn(t, "ada@example.com")
	secret = h.engine.EnrolTOTP(t, ada)
	codes = want200[map[string][]string](t, send("POST", "/mfa/recovery-codes", `{"code":`+text(h.nextCode(t, secret))+`}`))["recoveryCodes"]
	wantRefused(t, send("POST", "/user/mfa", `{"recoveryCode":"aaaa-aaaa-aaaa-aaaa"}`), 401, auth.CodeInvalidTOTP)
	wantOK(t, send("POST", "/user/mfa", `{"recoveryCode":`+text(codes[9])+`}`))
	active(nil)
}

// asSecondFactorDemands is each way to sign in, up to the ticket: for ada@example.com, who has a second factor, a number and
// a key that was only touched.
var asSecondFactorDemands = map[string]func(t *testing.T, h *fixture, key *authtest.Authenticator) string{
	"POST /signin/email-password": func(t *testing.T, h *fixture, _ *authtest.Authenticator) string {
		return h.challenged(t, "ada@example.com")
	},
	"POST /signin/otp/email/verify": func(t *testing.T, h *fixture, _ *authtest.Authenticator) string {
		wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"ada@example.com"}`))
		otp := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
		return wantChallenge(t, do(t, h, "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":`+text(otp)+`}`))
	},
	"POST /signin/passwordless/sms/otp": func(t *testing.T, h *fixture, _ *authtest.Authenticator) string {
		wantOK(t, do(t, h, "POST", "/signin/passwordless/sms", `{"phoneNumber":"`+number+`"}`))
		return wantChallenge(t, do(t, h, "POST", "/signin/passwordless/sms/otp", h.texted(t, "phoneNumber")))
	},
	"POST /signin/webauthn/verify": func(t *testing.T, h *fixture, key *authtest.Authenticator) string {
		return wantChallenge(t, h.page(key).signIn(t, `{"email":"ada@example.com"}`, ""))
	},
	"GET /verify": func(t *testing.T, h *fixture, _ *authtest.Authenticator) string {
		wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com","options":{"redirectTo":"https://app.test/in?mfaTicket=x&refreshToken=y&a=b"}}`))
		w := do(t, h, "GET", h.link(t, "ada@example.com"), "")
		return ticketIn(t, w, 302, "https://app.test/in?a=b&mfaTicket=", "&type=passwordlessEmail")
	},
	"POST /verify": func(t *testing.T, h *fixture, _ *authtest.Authenticator) string { // MF-03
		wantOK(t, do(t, h, "POST", "/user/password/reset", `{"email":"ada@example.com"}`))
		ticket := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
		w := post(t, h, confirmation{fields: url.Values{"ticket": {ticket}, "redirectTo": {""}}})
		return ticketIn(t, w, 303, authtest.ClientURL+"?mfaTicket=", "&type=passwordReset")
	},
	"POST /token/exchange": func(t *testing.T, h *fixture, _ *authtest.Authenticator) string {
		wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com","codeChallenge":"`+codeChallenge+`"}`))
		location, err := url.Parse(do(t, h, "GET", h.link(t, "ada@example.com"), "").Header().Get("Location"))
		if err != nil || location.Query().Has("mfaTicket") {
			t.Fatal(location, err)
		}
		return wantChallenge(t, do(t, h, "POST", "/token/exchange", `{"code":`+text(location.Query().Get("code"))+`,"codeVerifier":"`+codeVerifier+`"}`))
	},
}

// ticketIn checks where a link leads and returns the ticket that stands between two parts of the place.
func ticketIn(t testing.TB, w *httptest.ResponseRecorder, status int, before, after string) string {
	t.Helper()
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != status {
		t.Fatalf("%d to %q: %v", w.Code, w.Header().Get("Location"), err)
	}
	ticket := location.Query().Get("mfaTicket")
	if !ticketOfMFA.MatchString(ticket) {
		t.Fatalf("redirect to %s", location)
	}
	wantHeaders(t, w.Header(), "Location", before+url.QueryEscape(ticket)+after, "Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "Set-Cookie", "")
	return ticket
}

// MF-04, MF-06: whatever the first factor, it brings a ticket and nothing that a session is made of, and the second one brings
// the session.
func TestEverySignInAsksForTheSecondFactor(t *testing.T) {
	t.Parallel()
	for route, signIn := range asSecondFactorDemands {
		for mode, o := range map[string]httpadapter.Options{"": {}, " with cookies": {Cookies: &httpadapter.CookieOptions{}}} {
			t.Run(route+mode, func(t *testing.T) {
				t.Parallel()
				h := newFixture(t, o, letters, func(c *auth.Config) { c.WebAuthn.UserVerification = auth.UserVerificationDiscouraged })
				ada := h.engine.SignUp(t, "ada@example.com")
				key := &authtest.Authenticator{NoUserVerification: true}
				want200[added](t, h.page(key).add(t, ada, ""))
				wantOK(t, do(t, h, "POST", "/user/phone-number/change", `{"newPhoneNumber":"`+number+`"}`, bearer(ada)...))
				wantOK(t, do(t, h, "POST", "/user/phone-number/change/verify", h.texted(t, "newPhoneNumber"), bearer(ada)...))
				secret := h.engine.EnrolTOTP(t, ada)
				before := len(h.engine.Events.Of(auth.EventSignedIn))

				ticket := signIn(t, h, key)
				if n := len(h.engine.Events.Of(auth.EventSignedIn)) - before; n != 0 {
					t.Errorf("%d sign-ins before the second factor", n)
				}
				w := do(t, h, "POST", "/signin/mfa/totp", second(ticket, h.nextCode(t, secret)))
				in := want200[auth.SignInResult](t, w)
				if in.Session == nil || in.MFA != nil || in.Session.User.ID != ada.User.ID {
					t.Fatalf("body %s", w.Body)
				}
				if cookies := w.Result().Cookies(); mode == "" != (len(cookies) == 0) || mode == "" != (in.Session.AccessToken != "") || mode == "" != (in.Session.RefreshToken != "") {
					t.Errorf("cookies %v, body %s", cookies, w.Body)
				}
			})
		}
	}
}

// LG-02: with the user's cookies another site ends no enrolment by beginning one, though that is a GET.
func TestOtherOriginsBeginNoEnrolment(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{AllowedOrigins: []string{"https://spa.test"}})
	s.signUp(t)
	enrol := func(headers ...string) (*http.Response, string) {
		return s.visit(t, "GET", "/auth/mfa/totp/generate", "", headers...)
	}
	secret := func(response *http.Response, body string) string {
		t.Helper()
		m := regexp.MustCompile(`"totpSecret":"([A-Z2-7]+)"`).FindStringSubmatch(body)
		if response.StatusCode != 200 || m == nil {
			t.Fatalf("%d %s", response.StatusCode, body)
		}
		return m[1]
	}
	secret(enrol())
	secret(enrol("Sec-Fetch-Site", "cross-site", "Origin", "https://spa.test"))
	pending := secret(enrol("Sec-Fetch-Site", "same-origin"))
	for _, site := range []string{"cross-site", "same-site"} {
		response, body := enrol("Sec-Fetch-Site", site)
		wantFailure(t, response.StatusCode, response.Header, body, 403, auth.CodeInvalidRequest)
	}
	code := authtest.TOTPCode(t, pending, s.engine.Clock.Now())
	response, body := s.visit(t, "POST", "/auth/user/mfa", `{"code":"`+code+`","activeMfaType":"totp"}`)
	if response.StatusCode != 200 {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

// MF-18: what is off is off for those who begin. Who has a second factor is still asked for it, and can end it.
func TestWhereSecondFactorsAreOff(t *testing.T) {
	t.Parallel()
	on := newFixture(t, httpadapter.Options{}, open)
	ada, eve := on.engine.SignUp(t, "ada@example.com"), on.engine.SignUp(t, "eve@example.com")
	secret := on.engine.EnrolTOTP(t, ada)
	e := authtest.NewWithStore(t, on.engine.Store, open, func(c *auth.Config) { c.Now, c.MFA = on.engine.Clock.Now, nil })
	off := newHandler(t, e.Engine, httpadapter.Options{})
	for _, q := range []struct{ method, path, body string }{
		{"GET", "/mfa/totp/generate", ""},
		{"POST", "/mfa/totp/generate", `{"code":"123456"}`},
		{"POST", "/user/mfa", `{"code":"123456","activeMfaType":"totp"}`},
		{"POST", "/signin/mfa/totp", second("mfaTotp:x", "123456")},
		{"POST", "/signin/mfa/recovery", recovery("mfaTotp:x", "x")},
	} {
		wantRefused(t, do(t, off, q.method, q.path, q.body, bearer(eve)...), 409, auth.CodeDisabledEndpoint)
	}
	ticket := wantChallenge(t, do(t, off, "POST", "/signin/email-password", credentials("ada@example.com")))
	in := want200[auth.SignInResult](t, do(t, off, "POST", "/signin/mfa/totp", second(ticket, on.nextCode(t, secret))))
	wantOK(t, do(t, off, "POST", "/user/mfa", `{"code":"`+on.nextCode(t, secret)+`"}`, bearer(in.Session)...))
}

// What is a user's is nobody's, whatever else is wrong with a request.
func TestNobodyHasNoSecondFactorAndNoTokens(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open)
	for _, route := range []string{
		"GET /mfa", "GET /mfa/totp/generate", "POST /mfa/totp/generate", "POST /mfa/recovery-codes", "POST /user/mfa",
		"POST /pat", "GET /pat", "DELETE /pat/x", "GET /elevate", "POST /elevate/totp", "POST /elevate/password",
	} {
		method, path, _ := strings.Cut(route, " ")
		wantRefused(t, do(t, h, method, path, ""), 401, auth.CodeUnauthenticated)
		wantRefused(t, do(t, h, method, path, "[", "Authorization", "Bearer x"), 401, auth.CodeUnauthenticated)
	}
}
