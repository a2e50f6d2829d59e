package httpadapter_test

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// letters turns on what signs in by a letter.
func letters(c *auth.Config) {
	c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
}

// disable disables a user.
func (f *fixture) disable(t testing.TB, s *auth.Session) {
	t.Helper()
	disabled := true
	if _, err := f.engine.UpdateUser(t.Context(), s.User.ID, auth.UserUpdate{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
}

// wantOK checks that a request was answered with nothing but that it is done.
func wantOK(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	want200[string](t, w)
	if w.Body.String() != "\"OK\"\n" {
		t.Errorf("body %q, want OK as a JSON string and a line end", w.Body)
	}
}

// link returns the target of the request that the link in the latest letter to an address makes.
func (f *fixture) link(t testing.TB, address string) string {
	t.Helper()
	letter := f.engine.Mailbox.Last(t, address)
	target, found := strings.CutPrefix(letter.Link(), authtest.ServerURL)
	if !found {
		t.Fatalf("link %q of letter %s, want one that begins with %s", letter.Link(), letter.Template, authtest.ServerURL)
	}
	return target
}

// followed checks that a link that was followed leads to a place and signs in there as the kind of its ticket says, and
// returns the session.
func (f *fixture) followed(t testing.TB, w *httptest.ResponseRecorder, place, kind string) *auth.Session {
	t.Helper()
	if w.Code != 302 || w.Body.Len() != 0 {
		t.Fatalf("status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	token := location.Query().Get("refreshToken")
	if !id.MatchString(token) {
		t.Fatalf("Location %s has no refresh token", location)
	}
	separator := "?"
	if strings.Contains(place, "?") {
		separator = "&"
	}
	wantHeaders(t, w.Header(), "Location", place+separator+"refreshToken="+token+"&type="+kind,
		"Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "Content-Type", "")
	s := want200[auth.Session](t, do(t, f, "POST", "/token", `{"refreshToken":`+text(token)+`}`))
	return &s
}

func TestAMagicLinkSignsUpAndIn(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"Ada@Example.com","options":{"displayName":"Ada","locale":"en",`+
		`"metadata":{"plan":"x"},"allowedRoles":["user","me"],"defaultRole":"me","redirectTo":"https://app.test/in?a=1"}}`))
	target := h.link(t, "ada@example.com")
	if !regexp.MustCompile(`^/verify\?redirectTo=https%3A%2F%2Fapp\.test%2Fin%3Fa%3D1&ticket=passwordlessEmail%3A[0-9a-f-]{36}&type=signinPasswordless$`).MatchString(target) {
		t.Errorf("link %s", target)
	}
	s := h.followed(t, do(t, h, "GET", target, ""), "https://app.test/in?a=1", "passwordlessEmail")
	got := want200[object](t, do(t, h, "GET", "/user", "", bearer(s)...))
	for name, want := range map[string]any{
		"email": "Ada@Example.com", "emailVerified": true, "displayName": "Ada", "defaultRole": "me",
		"metadata": object{"plan": "x"}, "roles": []any{"user", "me"},
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	w := do(t, h, "GET", target, "") // ML-02
	wantHeaders(t, w.Header(), "Location", "https://app.test/in?a=1&error=invalid-ticket&errorDescription=Invalid+ticket")

	// The same address again is the same user.
	wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com","options":null}`))
	if again := h.followed(t, do(t, h, "GET", h.link(t, "ada@example.com"), ""), authtest.ClientURL, "passwordlessEmail"); again.User.ID != s.User.ID {
		t.Errorf("user %s, and then %s", s.User.ID, again.User.ID)
	}
}

func TestACodeSignsUpAndIn(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"Ada@Example.com","options":{"displayName":"Ada"}}`))
	letter := h.engine.Mailbox.Last(t, "ada@example.com")
	if letter.Template != "signin-otp" || letter.Link() != "" {
		t.Errorf("letter %s with the link %q", letter.Template, letter.Link())
	}
	body := `{"email":"ada@example.com","otp":` + text(letter.Ticket()) + `}`
	in := want200[object](t, do(t, h, "POST", "/signin/otp/email/verify", body))
	if diff := cmp.Diff([]string{"session"}, members(in)); diff != "" {
		t.Fatalf("answer (-want +got):\n%s", diff)
	}
	session := in["session"].(object)
	if diff := cmp.Diff(sessionMembers, members(session)); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	if u := session["user"].(object); u["displayName"] != "Ada" || u["emailVerified"] != true {
		t.Errorf("user %v", u)
	}
	wantRefused(t, do(t, h, "POST", "/signin/otp/email/verify", body), 401, auth.CodeInvalidTicket) // EO-06
}

// EO-01, EO-07: a code has one spelling, and is text. What is malformed costs no try.
func TestACodeIsTakenAsItStands(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"ada@example.com"}`))
	code := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
	verify := func(otp string) *httptest.ResponseRecorder {
		return do(t, h, "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":`+otp+`}`)
	}
	number := strings.TrimLeft(code, "0") + ".0"
	for _, otp := range []string{"1" + code, number, `[` + text(code) + `]`, `{"$ne":""}`, `true`, `null`} {
		wantRefused(t, verify(otp), 400, auth.CodeInvalidRequest)
	}
	fullWidth := strings.Map(func(c rune) rune { return c - '0' + '０' }, code)
	arabic := strings.Map(func(c rune) rune { return c - '0' + '٠' }, code)
	for _, otp := range []string{
		"", "null", " " + code, code + " ", code + "\n", code[:3] + " " + code[3:], code + "0", code[1:], "+" + code, fullWidth, arabic,
		"emailOTP:" + code, "signin-otp:" + code,
	} {
		w := verify(text(otp))
		wantRefused(t, w, 401, auth.CodeInvalidTicket)
		wantHeaders(t, w.Header(), "WWW-Authenticate", "Bearer")
	}
	want200[auth.SignInResult](t, verify(text(code)))
}

// EO-01: the tries of a code are few, and the adapter gives no others.
func TestWrongCodesVoidTheRightOne(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"ada@example.com"}`))
	code := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
	bad := wrong(code)
	for _, otp := range []string{bad, bad, bad, bad, bad, code} {
		w := do(t, h, "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":`+text(otp)+`}`)
		wantRefused(t, w, 401, auth.CodeInvalidTicket)
	}
}

// W1, X19: a code is good for its address, and a secret of another kind is no code.
func TestOnlyTheCodeOfTheAddressIsOne(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	h.engine.SignUp(t, "ada@example.com")
	h.engine.SignUp(t, "eve@example.com")
	var secrets []string
	for _, path := range []string{"/signin/passwordless/email", "/user/password/reset"} {
		wantOK(t, do(t, h, "POST", path, `{"email":"ada@example.com"}`))
		secrets = append(secrets, h.engine.Mailbox.Last(t, "ada@example.com").Ticket())
	}
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"eve@example.com"}`))
	secrets = append(secrets, h.engine.Mailbox.Last(t, "eve@example.com").Ticket())
	for _, s := range secrets {
		w := do(t, h, "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":`+text(s)+`}`)
		wantRefused(t, w, 401, auth.CodeInvalidTicket)
	}
}

// letterRoutes are the routes that send a letter to whoever asks, each with a body for an address.
func letterRoutes(address string) map[string]string {
	return map[string]string{
		"/signin/passwordless/email":          `{"email":` + text(address) + `}`,
		"/signin/otp/email":                   `{"email":` + text(address) + `}`,
		"/user/password/reset":                `{"email":` + text(address) + `}`,
		"/user/email/send-verification-email": `{"email":` + text(address) + `}`,
	}
}

// ML-08, PW-01, EC-11, EN-01, EN-05: where errors are concealed, no answer depends on who has an account, and in what state.
func TestConcealedRoutesTellNothing(t *testing.T) {
	t.Parallel()
	for name, amend := range map[string]func(*auth.Config){
		"open to all":             func(*auth.Config) {},
		"for users who exist":     func(c *auth.Config) { c.MagicLink.ExistingUsersOnly, c.EmailOTP.ExistingUsersOnly = true, true },
		"closed":                  func(c *auth.Config) { c.SignUp.Disabled = true },
		"with new users disabled": func(c *auth.Config) { c.SignUp.DisableNewUsers = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conceal := func(c *auth.Config) {
				c.ConcealErrors, c.Email.BlockedDomains = true, []string{"blocked.test"}
			}
			before := authtest.New(t, letters, conceal)
			e := authtest.NewWithStore(t, before.Store, letters, conceal, amend, func(c *auth.Config) { c.Now = before.Clock.Now })
			h := &fixture{Handler: newHandler(t, e.Engine, httpadapter.Options{}), engine: e}
			before.SignUp(t, "verified@example.com")
			h.disable(t, before.SignUp(t, "disabled@example.com"))
			if _, err := before.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "pending@example.com", Password: authtest.Password}); err != nil {
				t.Fatal(err)
			}
			addresses := []string{"verified@example.com", "disabled@example.com", "pending@example.com", "a@blocked.test"}
			for path := range letterRoutes("") {
				var first *httptest.ResponseRecorder
				unknown := strings.ReplaceAll(path, "/", ".")[1:] + "@example.com" // not one that another route has signed up
				for _, address := range append(addresses, unknown) {
					w := do(t, h, "POST", path, letterRoutes(address)[path])
					wantOK(t, w)
					if first == nil {
						first = w
					}
					wantSame(t, path+" for "+address, first, w)
				}
			}
			codes := map[string]string{}
			for _, l := range e.Mailbox.All() {
				if l.Template == "signin-otp" {
					codes[l.To] = l.Ticket()
				}
			}
			var first *httptest.ResponseRecorder
			for _, address := range append(addresses, "nobody@example.com") {
				for _, otp := range []string{"x", "", "passwordReset:x", wrong(codes[address])} {
					w := do(t, h, "POST", "/signin/otp/email/verify", `{"email":`+text(address)+`,"otp":`+text(otp)+`}`)
					wantRefused(t, w, 400, auth.CodeInvalidRequest)
					if first == nil {
						first = w
					}
					wantSame(t, otp+" of "+address, first, w)
				}
			}
		})
	}
}

// wrong returns another code than one, which may be none.
func wrong(code string) string {
	if code == "" {
		return "123456"
	}
	return string('0'+(code[0]-'0'+1)%10) + code[1:]
}

// wantSame checks that two answers differ in nothing.
func wantSame(t testing.TB, name string, a, b *httptest.ResponseRecorder) {
	t.Helper()
	if a.Code != b.Code || a.Body.String() != b.Body.String() {
		t.Errorf("%s: %d %s, want %d %s", name, b.Code, b.Body, a.Code, a.Body)
	}
	if diff := cmp.Diff(a.Header(), b.Header()); diff != "" {
		t.Errorf("%s: headers (-want +got):\n%s", name, diff)
	}
}

// ML-10, EO-09, PW-01: what is off says so, to everybody alike.
func TestLettersMayBeOff(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, open, func(c *auth.Config) { c.Mail = nil })
	h.engine.SignUp(t, "ada@example.com")
	for _, address := range []string{"ada@example.com", "nobody@example.com"} {
		for path, body := range letterRoutes(address) {
			if w := do(t, h, "POST", path, body); w.Code != 409 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			} else {
				wantRefused(t, w, 409, auth.CodeDisabledEndpoint)
			}
		}
		wantRefused(t, do(t, h, "POST", "/signin/otp/email/verify", `{"email":`+text(address)+`,"otp":"123456"}`), 409, auth.CodeDisabledEndpoint)
	}
	in := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", ""))
	wantRefused(t, do(t, h, "POST", "/user/deanonymize", `{"signInMethod":"passwordless","email":"new@example.com"}`, bearer(in.Session)...), 409, auth.CodeDisabledEndpoint)
	wantRefused(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"new@example.com"}`, bearer(h.engine.SignIn(t, "ada@example.com"))...), 409, auth.CodeDisabledEndpoint)
}

// RD-30: links are made of the configured URL, on every route that sends one.
func TestNoLetterRouteBelievesTheRequest(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	hostile := []string{"X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.test", "Origin", "https://evil.test", "Referer", "https://evil.test"}
	ada := h.engine.SignUp(t, "ada@example.com")
	if _, err := h.engine.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "pending@example.com", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	before := len(h.engine.Mailbox.All())
	for path, body := range letterRoutes("pending@example.com") {
		wantOK(t, do(t, h, "POST", "https://evil.test"+path, body, hostile...))
	}
	wantOK(t, do(t, h, "POST", "https://evil.test/user/email/change", `{"newEmail":"new@example.com"}`, append(hostile, bearer(ada)...)...))
	guest := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", ""))
	wantOK(t, do(t, h, "POST", "https://evil.test/user/deanonymize", `{"signInMethod":"passwordless","email":"guest@example.com"}`, append(hostile, bearer(guest.Session)...)...))
	sent := h.engine.Mailbox.All()[before:]
	if len(sent) != 7 { // with the notice of the change to the old address
		t.Fatalf("%d letters, want 7", len(sent))
	}
	for _, l := range sent {
		if l.Link() != "" && !strings.HasPrefix(l.Link(), authtest.ServerURL+"/verify?") || strings.Contains(l.Subject+l.Text+l.HTML, "evil") {
			t.Errorf("letter %s: %s", l.Template, l.Text)
		}
	}
}

// LG-02, LG-03: with cookies, a code and a link sign in by cookies alone.
func TestLettersSignInWithCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{}, letters)
	response, body := s.visit(t, "POST", "/auth/signin/otp/email", `{"email":"ada@example.com"}`)
	if response.StatusCode != 200 || len(s.cookies(t)) != 0 {
		t.Fatalf("%d %s, cookies %v", response.StatusCode, body, s.cookies(t))
	}
	code := s.engine.Mailbox.Last(t, "ada@example.com").Ticket()
	response, body = s.visit(t, "POST", "/auth/signin/otp/email/verify", `{"email":"ada@example.com","otp":`+text(code)+`}`)
	wantCookieSession(t, response, body)
	before := s.cookies(t)

	for _, c := range []struct{ path, kind string }{
		{"/signin/passwordless/email", "passwordlessEmail"},
		{"/user/password/reset", "passwordReset"},
	} {
		s.visit(t, "POST", "/auth"+c.path, `{"email":"ada@example.com","options":{"redirectTo":"https://app.test/in?refreshToken=x"}}`)
		response, _ = s.visit(t, "GET", "/auth"+s.link(t, "ada@example.com"), "")
		if response.StatusCode != 302 || len(response.Header["Set-Cookie"]) != 2 {
			t.Errorf("%s: %d with the cookies %q", c.path, response.StatusCode, response.Header["Set-Cookie"])
		}
		wantHeaders(t, response.Header, "Location", "https://app.test/in?type="+c.kind, "Cache-Control", "no-store", "Referrer-Policy", "no-referrer")
		after := s.cookies(t)
		if after[accessCookie] == before[accessCookie] || after[refreshCookie] == before[refreshCookie] {
			t.Errorf("%s: cookies %v and then %v", c.path, before, after)
		}
		before = after
		response, body = s.visit(t, "GET", "/page", "")
		wantPage(t, response, body)
	}
}
