package httpadapter_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store"
)

// The verifier and the challenge of RFC 7636, appendix B.
const (
	codeVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	codeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// redirected checks that a link leads home with an error, or, without one, in.
func redirected(t testing.TB, w *httptest.ResponseRecorder, code auth.Code) {
	t.Helper()
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != 302 {
		t.Fatalf("%d to %q: %v", w.Code, w.Header().Get("Location"), err)
	}
	if got := location.Query().Get("error"); got != string(code) {
		t.Errorf("redirect to %s, want the error %q", location, code)
	}
}

// takers are the routes that take a secret: how one is presented there, which kinds are good there, and how a good one and
// another are answered.
var takers = []struct {
	route           string
	good            []string
	present         func(t *testing.T, h *fixture, address, secret string) *httptest.ResponseRecorder
	accepts, denies func(t *testing.T, w *httptest.ResponseRecorder)
}{
	{
		"GET /verify",
		[]string{"verifyEmail", "passwordlessEmail", "passwordReset", "emailConfirmChange"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "GET", verify(secret, "", ""), "")
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { redirected(t, w, "") },
		func(t *testing.T, w *httptest.ResponseRecorder) { redirected(t, w, auth.CodeInvalidTicket) },
	},
	{
		"POST /signin/otp/email/verify",
		[]string{"emailOTP"},
		func(t *testing.T, h *fixture, address, secret string) *httptest.ResponseRecorder {
			return do(t, h, "POST", "/signin/otp/email/verify", `{"email":`+text(address)+`,"otp":`+text(secret)+`}`)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { want200[auth.SignInResult](t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) { wantRefused(t, w, 401, auth.CodeInvalidTicket) },
	},
	{
		"POST /user/password",
		[]string{"passwordReset"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "POST", "/user/password", setTo(newPassword, `"ticket":`+text(secret)))
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { wantOK(t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) { wantRefused(t, w, 401, auth.CodeInvalidTicket) },
	},
	{
		"POST /token/exchange",
		[]string{"code"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "POST", "/token/exchange", `{"code":`+text(secret)+`,"codeVerifier":"`+codeVerifier+`"}`)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { want200[auth.SignInResult](t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) { wantRefused(t, w, 400, auth.CodeInvalidRequest) },
	},
	{
		"POST /signin/mfa/totp",
		[]string{"mfaTotp"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			otp := "000000"
			if h.totp != "" {
				otp = authtest.TOTPCode(t, h.totp, h.engine.Clock.Now().Add(30*time.Second)) // that of the enrolment is used
			}
			return do(t, h, "POST", "/signin/mfa/totp", `{"ticket":`+text(secret)+`,"otp":"`+otp+`"}`)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { want200[auth.SignInResult](t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) {
			if w.Code == 400 { // not even of its form
				wantRefused(t, w, 400, auth.CodeInvalidRequest)
			} else {
				wantRefused(t, w, 401, auth.CodeInvalidTicket)
			}
		},
	},
	{
		"POST /signin/pat",
		[]string{"personalAccessToken"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "POST", "/signin/pat", `{"personalAccessToken":`+text(secret)+`}`)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { want200[auth.SignInResult](t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) { wantRefused(t, w, 401, auth.CodeInvalidPAT) },
	},
	{
		"POST /token",
		[]string{"refreshToken"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "POST", "/token", `{"refreshToken":`+text(secret)+`}`)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { want200[auth.Session](t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) {
			if w.Code == 400 { // not even of its form
				wantRefused(t, w, 400, auth.CodeInvalidRequest)
			} else {
				wantRefused(t, w, 401, auth.CodeInvalidRefreshToken)
			}
		},
	},
	{
		"POST /token/verify",
		[]string{"accessToken"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "POST", "/token/verify", `{"token":`+text(secret)+`}`)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { wantOK(t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) { wantRefused(t, w, 400, auth.CodeInvalidRequest) },
	},
	{
		"GET /user",
		[]string{"accessToken"},
		func(t *testing.T, h *fixture, _, secret string) *httptest.ResponseRecorder {
			return do(t, h, "GET", "/user", "", "Authorization", "Bearer "+secret)
		},
		func(t *testing.T, w *httptest.ResponseRecorder) { want200[auth.User](t, w) },
		func(t *testing.T, w *httptest.ResponseRecorder) { wantRefused(t, w, 401, auth.CodeUnauthenticated) },
	},
}

// TK-01, X19, W1: each kind of secret at each route that takes one: it is good on its own, and once it was refused everywhere
// else it is good there still.
func TestEverySecretAtEveryRoute(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T, h *fixture) (address, secret string){
		"passwordlessEmail": func(t *testing.T, h *fixture) (string, string) {
			wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
			return "ada@example.com", h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
		},
		"emailOTP": func(t *testing.T, h *fixture) (string, string) {
			wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"ada@example.com"}`))
			return "ada@example.com", h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
		},
		"code": func(t *testing.T, h *fixture) (string, string) {
			wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com","codeChallenge":"`+codeChallenge+`"}`))
			location, err := url.Parse(do(t, h, "GET", h.link(t, "ada@example.com"), "").Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			return "ada@example.com", location.Query().Get("code")
		},
		"refreshToken": func(t *testing.T, h *fixture) (string, string) {
			return "ada@example.com", h.engine.SignUp(t, "ada@example.com").RefreshToken
		},
		"mfaTotp": func(t *testing.T, h *fixture) (string, string) {
			h.totp = h.engine.EnrolTOTP(t, h.engine.SignUp(t, "ada@example.com"))
			return "ada@example.com", h.challenged(t, "ada@example.com")
		},
		"personalAccessToken": func(t *testing.T, h *fixture) (string, string) {
			return "ada@example.com", h.newPAT(t, h.engine.SignUp(t, "ada@example.com")).Token
		},
		"accessToken": func(t *testing.T, h *fixture) (string, string) {
			return "ada@example.com", h.engine.SignUp(t, "ada@example.com").AccessToken
		},
	}
	for _, l := range links {
		if l.kind == "passwordlessEmail" {
			continue
		}
		kinds[l.kind] = func(t *testing.T, h *fixture) (string, string) {
			l.cause(t, h)
			return l.to, h.engine.Mailbox.Last(t, l.to).Ticket()
		}
	}
	for kind, make := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			own := 0
			for i, place := range takers {
				if !slices.Contains(place.good, kind) {
					continue
				}
				own++
				h := newFixture(t, httpadapter.Options{}, letters)
				address, secret := make(t, h)
				bare := secret[strings.Index(secret, ":")+1:]
				for j, other := range takers {
					spellings := []string{secret, bare}
					for _, l := range links {
						spellings = append(spellings, l.kind+":"+bare)
					}
					spellings = append(spellings, "emailOTP:"+bare, "code:"+bare, "otp:"+bare, "mfaTotp:"+bare)
					for _, spelling := range spellings {
						if spelling == secret && (i == j || slices.Contains(other.good, kind)) {
							continue
						}
						t.Run(fmt.Sprintf("%.20s at %s", spelling, other.route), func(t *testing.T) {
							other.denies(t, other.present(t, h, address, spelling))
						})
					}
				}
				t.Run("good at "+place.route, func(t *testing.T) {
					place.accepts(t, place.present(t, h, address, secret))
				})
			}
			if own == 0 {
				t.Errorf("no route takes it")
			}
		})
	}
}

// TK-16, TK-17: what is no secret is refused, in few words, however short or long it is.
func TestWhatIsNoSecretAtAnyRoute(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"ada@example.com"}`)) // an account with a live code, and no password
	for _, place := range takers {
		for _, secret := range []string{
			":", "otp:", "code:", "emailOTP:", "passwordReset:", "verifyEmail:", "null", "undefined", strings.Repeat("0", 60_000), "code:" + strings.Repeat("x", 60_000),
			"00000000-0000-0000-0000-000000000000", "passwordReset:00000000-0000-0000-0000-000000000000",
		} {
			t.Run(fmt.Sprintf("%.20q at %s", secret, place.route), func(t *testing.T) {
				w := place.present(t, h, "ada@example.com", secret)
				place.denies(t, w)
				if w.Body.Len() > 300 || len(w.Header().Get("Location")) > 300 {
					t.Errorf("an answer of %d bytes", w.Body.Len())
				}
			})
		}
		if strings.HasPrefix(place.route, "POST") {
			t.Run("1 MiB at "+place.route, func(t *testing.T) {
				wantRefused(t, place.present(t, h, "ada@example.com", strings.Repeat("x", 1<<20)), 413, auth.CodeInvalidRequest)
			})
		}
	}
}

// EO-10, EN-05: whoever presents a code that is not the right one sees one answer, whether there is a right one or not.
func TestAWrongCodeTellsNothing(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	h.engine.SignUp(t, "never@example.com")
	h.disable(t, h.engine.SignUp(t, "disabled@example.com"))
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"asked@example.com"}`))
	right := h.engine.Mailbox.Last(t, "asked@example.com").Ticket()
	var first *httptest.ResponseRecorder
	for _, address := range []string{"asked@example.com", "never@example.com", "disabled@example.com", "unknown@example.com"} {
		for _, otp := range []string{wrong(right), "", "null", "1", "passwordReset:x"} {
			w := do(t, h, "POST", "/signin/otp/email/verify", `{"email":`+text(address)+`,"otp":`+text(otp)+`}`)
			wantRefused(t, w, 401, auth.CodeInvalidTicket)
			if first == nil {
				first = w
			}
			wantSame(t, otp+" of "+address, first, w)
		}
	}
}

// PW-01, E15: whatever the state of the account, or if there is none, whoever asks for a link to reset a password sees the same
// answer. A link comes to who could sign in with it.
func TestAResetTellsNothingOfTheAccount(t *testing.T) {
	t.Parallel()
	for _, concealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("concealed %t", concealed), func(t *testing.T) {
			t.Parallel()
			conceal := func(c *auth.Config) { c.ConcealErrors = concealed }
			before := newFixture(t, httpadapter.Options{}, letters, conceal)
			signUp := func(address string) *auth.Session { return before.engine.SignUp(t, address) }
			pending := func(address string) {
				want200[object](t, do(t, before, "POST", "/signup/email-password", credentials(address)))
			}
			change := func(address string, c store.UserChange) {
				u, err := before.engine.FindUser(t.Context(), auth.UserBy{Email: address})
				if err != nil {
					t.Fatal(err)
				}
				c.UserID, c.Now = u.ID, before.engine.Clock.Now()
				if _, err := before.engine.Store.ChangeUser(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			nothing, github := "", store.Identity{Provider: "github", Subject: "1", CreatedAt: before.engine.Clock.Now()}
			accounts := []struct {
				name, address string
				letter        bool
				make          func(address string)
			}{
				{"known", "known@example.com", true, func(a string) { signUp(a) }},
				{"unknown", "unknown@example.com", false, func(string) {}},
				{"disabled", "disabled@example.com", false, func(a string) { before.disable(t, signUp(a)) }},
				{"not verified", "pending@example.com", true, pending},
				{"disabled and not verified", "both@example.com", false, func(a string) {
					pending(a)
					u, err := before.engine.FindUser(t.Context(), auth.UserBy{Email: a})
					if err != nil {
						t.Fatal(err)
					}
					before.disable(t, &auth.Session{User: u})
				}},
				{"with a provider and no password", "provider@example.com", true, func(a string) {
					signUp(a)
					change(a, store.UserChange{Set: store.UserSet{PasswordHash: &nothing}, Identity: &github})
				}},
				{"with a passkey and no password", "passkey@example.com", true, func(a string) {
					signUp(a)
					change(a, store.UserChange{Set: store.UserSet{PasswordHash: &nothing}, SecurityKey: &store.SecurityKey{
						ID: uuid.New(), CredentialID: []byte("key"), PublicKey: []byte("key"), CreatedAt: before.engine.Clock.Now(),
					}})
				}},
				{"anonymous until now", "guest@example.com", true, func(a string) {
					wantOK(t, do(t, before, "POST", "/user/deanonymize", `{"signInMethod":"passwordless","email":`+text(a)+`}`, bearer(before.guest(t))...))
				}},
				{"blocked", "known@blocked.test", false, func(a string) { signUp(a) }},
				{"blocked and unknown", "unknown@blocked.test", false, func(string) {}},
				{"deleted", "deleted@example.com", false, func(a string) {
					if err := before.engine.DeleteUser(t.Context(), signUp(a).User.ID); err != nil {
						t.Fatal(err)
					}
				}},
			}
			for _, a := range accounts {
				a.make(a.address)
			}
			e := authtest.NewWithStore(t, before.engine.Store, letters, conceal, func(c *auth.Config) {
				c.Now, c.Email.BlockedDomains = before.engine.Clock.Now, []string{"blocked.test"}
			})
			h := newHandler(t, e.Engine, httpadapter.Options{})
			var first *httptest.ResponseRecorder
			for _, a := range accounts {
				w := do(t, h, "POST", "/user/password/reset", `{"email":`+text(a.address)+`,"options":{"redirectTo":"https://app.test/reset"}}`)
				wantOK(t, w)
				if first == nil {
					first = w
				}
				wantSame(t, a.name, first, w)
				sent := e.Mailbox.To(a.address)
				if len(sent) != map[bool]int{true: 1}[a.letter] || a.letter && sent[0].Template != "password-reset" {
					t.Errorf("%s: letters %+v", a.name, sent)
				}
			}
			if n := len(e.Mailbox.All()); n != 5 {
				t.Errorf("%d letters, want 5", n)
			}
		})
	}
}

// AN-02, EC-01: what an anonymous user may do, of all that needs a user.
func TestWhatAnAnonymousUserMayDo(t *testing.T) {
	t.Parallel()
	forbidden := map[string]string{
		"POST /user/password":           setTo(newPassword, ""),
		"POST /user/email/change":       `{"newEmail":"new@example.com"}`,
		"POST /user/webauthn/add":       `{}`,
		"POST /user/webauthn/verify":    `{"credential":{}}`,
		"DELETE /user/webauthn/keys/x":  "",
		"POST /elevate/webauthn":        `{}`,
		"POST /elevate/webauthn/verify": `{"credential":{}}`,
		"GET /elevate":                  "",
		"POST /elevate/totp":            `{"otp":"123456"}`,
		"GET /mfa/totp/generate":        "", // MF-26
		"POST /mfa/totp/generate":       `{"code":"123456"}`,
		"POST /mfa/recovery-codes":      "",
		"POST /user/mfa":                `{"code":"123456","activeMfaType":"totp"}`,
		"POST /pat":                     `{"expiresAt":"2030-01-01T00:00:00Z"}`, // PA-05

		"POST /link/provider/here":                  "",                                   // OA-04
		"POST /link/idtoken":                        `{"provider":"here","idToken":"{}"}`, // ID-13
		"POST /token/provider/here":                 `{"refreshToken":"x"}`,
		"GET /signin/provider/here/callback/tokens": "",
		"DELETE /user/identities/here?subject=1":    "",
	}
	allowed := map[string]string{
		"GET /mfa": "", "GET /pat": "", "GET /user/identities": "",
		"GET /user": "", "GET /user/export": "", "GET /user/sessions": "", "GET /user/webauthn/keys": "", "POST /token/verify": `{}`,
		"POST /user/deanonymize": `{"signInMethod":"passwordless","email":"new@example.com"}`,
		"POST /signout":          `{"all":true}`, "DELETE /user": "",
	}
	for _, amend := range []func(*auth.Config){func(*auth.Config) {}, open} {
		h := newVisitor(t, httpadapter.Options{}, letters, amend)
		guest := h.guest(t)
		for route, body := range forbidden {
			method, path, _ := strings.Cut(route, " ")
			path = strings.Replace(path, "/x", "/"+uuid.NewString(), 1)
			w := do(t, h, method, path, body, bearer(guest)...)
			if w.Code != 403 {
				t.Errorf("%s: %d %s", route, w.Code, w.Body)
				continue
			}
			wantRefused(t, w, 403, auth.CodeForbiddenAnonymous)
		}
		for route, body := range allowed {
			method, path, _ := strings.Cut(route, " ")
			if w := do(t, h, method, path, body, bearer(h.guest(t))...); w.Code != 200 {
				t.Errorf("%s: %d %s", route, w.Code, w.Body)
			}
		}
		// They have no keys, so that none is found to rename.
		w := do(t, h, "PATCH", "/user/webauthn/keys/"+uuid.NewString(), `{"nickname":"x"}`, bearer(guest)...)
		wantRefused(t, w, 404, auth.CodeRouteNotFound)
		if got := want200[auth.User](t, do(t, h, "GET", "/user", "", bearer(guest)...)); !got.IsAnonymous || got.Email != "" {
			t.Errorf("afterwards: %+v", got)
		}
	}
}

// AN-03: nothing that a guest says of themselves makes them more than a guest.
func TestAGuestIsAGuest(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	for _, member := range []string{
		`"roles":["admin"]`, `"allowedRoles":["user"]`, `"defaultRole":"user"`, `"options":{"allowedRoles":["user"]}`, `"options":{}`,
		`"email":"ada@example.com"`, `"isAnonymous":false`, `"is_anonymous":false`, `"emailVerified":true`, `"id":"x"`,
	} {
		wantRefused(t, do(t, h, "POST", "/signin/anonymous", `{"displayName":"Guest",`+member+`}`), 400, auth.CodeInvalidRequest)
	}
	in := want200[auth.SignInResult](t, do(t, h, "POST", "/signin/anonymous", `{"metadata":{"roles":["admin"],"isAnonymous":false}}`))
	p := h.engine.Principal(t, in.Session)
	if diff := cmp.Diff([]string{"anonymous"}, p.Roles); diff != "" || !p.Anonymous || p.DefaultRole != "anonymous" {
		t.Errorf("principal %+v", p)
	}
}

// EC-15: a verification link that is opened where somebody else is signed in verifies the address of its user, and ends nothing
// of the other's.
func TestALinkOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, httpadapter.Options{}, func(c *auth.Config) { c.Email.AllowUnverified = false })
	eve := s.engine.SignUp(t, "eve@example.com")
	want200[object](t, do(t, s.fixture, "POST", "/signup/email-password", credentials("ada@example.com")))
	response, body := s.visit(t, "POST", "/auth/signin/email-password", credentials("eve@example.com"))
	if response.StatusCode != 200 {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	before := s.cookies(t)
	response, _ = s.visit(t, "GET", "/auth"+s.link(t, "ada@example.com"), "")
	wantHeaders(t, response.Header, "Location", authtest.ClientURL+"?type=verifyEmail")

	ada, err := s.engine.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
	if err != nil || !ada.EmailVerified {
		t.Errorf("ada: %+v, %v", ada, err)
	}
	if _, body := s.visit(t, "GET", "/page", ""); body != ada.ID.String() {
		t.Errorf("the page is for %s, not %s", body, ada.ID)
	}
	// What was eve's is eve's, in this browser and elsewhere.
	s.engine.Clock.Advance(time.Minute)
	for _, token := range []string{before[refreshCookie], eve.RefreshToken} {
		w := do(t, s.fixture, "POST", "/token", "", "Cookie", refreshCookie+"="+token)
		if got := want200[auth.Session](t, w); got.User.ID != eve.User.ID {
			t.Errorf("a session of %s", got.User.ID)
		}
	}
}
