package httpadapter_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// links are the kinds of links: what their tickets and their letters call them, how a letter with one to ada@example.com, or
// to ada's new address, is caused, and whether following it signs in.
var links = []struct {
	kind, linkType, to string
	signsIn            bool
	cause              func(t *testing.T, h *fixture)
}{
	{"verifyEmail", "emailVerify", "ada@example.com", true, func(t *testing.T, h *fixture) {
		do(t, h, "POST", "/signup/email-password", credentials("ada@example.com"))
	}},
	{"passwordlessEmail", "signinPasswordless", "ada@example.com", true, func(t *testing.T, h *fixture) {
		h.engine.SignUp(t, "ada@example.com")
		wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
	}},
	{"passwordReset", "passwordReset", "ada@example.com", true, func(t *testing.T, h *fixture) {
		h.engine.SignUp(t, "ada@example.com")
		wantOK(t, do(t, h, "POST", "/user/password/reset", `{"email":"ada@example.com"}`))
	}},
	{"emailConfirmChange", "emailConfirmChange", "new@example.com", false, func(t *testing.T, h *fixture) {
		wantOK(t, do(t, h, "POST", "/user/email/change", `{"newEmail":"new@example.com"}`, bearer(h.engine.SignUp(t, "ada@example.com"))...))
	}},
}

// verify is a request that follows a link. more are further parameters, as they stand in the query.
func verify(ticket, redirectTo, more string) string {
	return "/verify?" + url.Values{"ticket": {ticket}, "redirectTo": {redirectTo}}.Encode() + more
}

// What holds of a link of any kind.
func TestLinksOfEveryKind(t *testing.T) {
	t.Parallel()
	for _, l := range links {
		// prepared is a fixture in whose mailbox there is a link, and its ticket.
		prepared := func(t *testing.T, amend ...func(*auth.Config)) (*fixture, string) {
			h := newFixture(t, httpadapter.Options{}, append([]func(*auth.Config){letters}, amend...)...)
			l.cause(t, h)
			return h, h.engine.Mailbox.Last(t, l.to).Ticket()
		}
		// wantGood checks that a ticket has not been redeemed, by redeeming it: once.
		wantGood := func(t *testing.T, h *fixture, ticket string) {
			t.Helper()
			w := do(t, h, "GET", verify(ticket, "", ""), "")
			if l.signsIn {
				h.followed(t, w, authtest.ClientURL, l.kind)
			} else {
				wantHeaders(t, w.Header(), "Location", authtest.ClientURL+"?type="+l.kind)
			}
			w = do(t, h, "GET", verify(ticket, "", ""), "") // TK-02
			wantLocation(t, w, authtest.ClientURL+"?error=invalid-ticket&errorDescription=Invalid+ticket")
		}
		t.Run(l.kind, func(t *testing.T) {
			t.Parallel()
			t.Run("is in the letter as documented", func(t *testing.T) {
				t.Parallel()
				h, ticket := prepared(t)
				want := "/verify?" + url.Values{"redirectTo": {authtest.ClientURL}, "ticket": {ticket}, "type": {l.linkType}}.Encode()
				if got := h.link(t, l.to); got != want || !strings.HasPrefix(ticket, l.kind+":") || !id.MatchString(ticket[len(l.kind)+1:]) {
					t.Errorf("link %s, want %s", got, want)
				}
			})
			t.Run("that leads elsewhere leads home, and is good still", func(t *testing.T) { // TK-08, ML-06
				t.Parallel()
				h, ticket := prepared(t)
				for _, place := range []string{"https://evil.test/?error=x", "//evil.test", "/", "javascript:alert(1)", "https://app.test@evil.test", "https://app.test.evil.test"} {
					wantLocation(t, do(t, h, "GET", verify(ticket, place, ""), ""),
						authtest.ClientURL+"?error=redirectTo-not-allowed&errorDescription=The+value+of+%22options.redirectTo%22+is+not+allowed.")
				}
				wantGood(t, h, ticket)
			})
			t.Run("that is looked at is good still", func(t *testing.T) { // TK-09, ML-03
				t.Parallel()
				h, ticket := prepared(t)
				target := verify(ticket, "", "&type="+l.linkType)
				if w := do(t, h, "HEAD", target, ""); w.Code != 200 || w.Header().Get("Location") != "" || w.Body.Len() != 0 {
					t.Errorf("HEAD: %d to %q", w.Code, w.Header().Get("Location"))
				}
				wantRefused(t, do(t, h, "OPTIONS", target, ""), 405, auth.CodeMethodNotAllowed)
				wantRefused(t, do(t, h, "POST", target, ""), 415, auth.CodeInvalidRequest)
				wantRefused(t, do(t, h, "PUT", target, ""), 405, auth.CodeMethodNotAllowed)
				for _, header := range [][2]string{{"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}, {"X-Moz", "prefetch"}, {"Sec-Fetch-Dest", "image"}} {
					wantRefused(t, do(t, h, "GET", target, "", header[0], header[1]), 400, auth.CodeInvalidRequest)
				}
				wantGood(t, h, ticket)
			})
			t.Run("does what its ticket says, whatever its type", func(t *testing.T) { // TK-12
				t.Parallel()
				for _, more := range []string{
					"", "&type=" + l.linkType, "&type=emailVerify", "&type=emailConfirmChange", "&type=signinPasswordless", "&type=passwordReset",
					"&type=passwordReset&type=emailVerify",
				} {
					h, ticket := prepared(t)
					w := do(t, h, "GET", verify(ticket, "", more), "")
					if l.signsIn {
						h.followed(t, w, authtest.ClientURL, l.kind)
					} else {
						wantLocation(t, w, authtest.ClientURL+"?type="+l.kind)
					}
				}
				h, ticket := prepared(t)
				for _, more := range []string{"&type=" + l.kind + "x", "&type=", "&type=mfaTotp", "&type=emailVerify&type=x"} {
					wantRefused(t, do(t, h, "GET", verify(ticket, "", more), ""), 400, auth.CodeInvalidRequest)
				}
				wantGood(t, h, ticket)
			})
			t.Run("speaks for us alone", func(t *testing.T) { // TK-20, RD-18
				t.Parallel()
				h, ticket := prepared(t)
				place := "https://app.test/in?refreshToken=evil&mfaTicket=evil&mf%61Ticket=2&code=evil&type=evil&refreshToken=2&%63ode=2&error=e&errorDescription=d&%65rror=f&z=1&type=x#frag"
				w := do(t, h, "GET", verify(ticket, place, ""), "")
				location, err := url.Parse(w.Header().Get("Location"))
				if err != nil {
					t.Fatal(err)
				}
				want := "type=" + l.kind + "&z=1"
				if l.signsIn {
					token := location.Query()["refreshToken"]
					if len(token) != 1 || !id.MatchString(token[0]) {
						t.Fatalf("Location %s", location)
					}
					want = "refreshToken=" + token[0] + "&" + want
				}
				wantLocation(t, w, "https://app.test/in?"+want+"#frag")
				wantLocation(t, do(t, h, "GET", verify(ticket, place, ""), ""), "https://app.test/in?error=invalid-ticket&errorDescription=Invalid+ticket&z=1#frag")
			})
			t.Run("leaves no trace of another's failure", func(t *testing.T) { // TK-18, W6
				t.Parallel()
				h := newFixture(t, httpadapter.Options{}, letters)
				for _, place := range []string{"https://evil.test/?error=x", "", "https://app.test/?a=b"} {
					do(t, h, "GET", verify(l.kind+":x", place, ""), "")
				}
				l.cause(t, h)
				for _, letter := range h.engine.Mailbox.All() {
					if strings.Contains(letter.Link()+letter.Text+letter.HTML, "error") {
						t.Errorf("letter %s", letter.Text)
					}
				}
				wantGood(t, h, h.engine.Mailbox.Last(t, l.to).Ticket())
			})
			t.Run("of a disabled user signs nobody in", func(t *testing.T) { // TK-11
				t.Parallel()
				h, ticket := prepared(t)
				u, err := h.engine.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
				if err != nil {
					t.Fatal(err)
				}
				h.disable(t, &auth.Session{User: u})
				wantLocation(t, do(t, h, "GET", verify(ticket, "", ""), ""), authtest.ClientURL+"?error=disabled-user&errorDescription=User+is+disabled")
			})
			t.Run("tells no more than it must where errors are concealed", func(t *testing.T) { // EN-08
				t.Parallel()
				h, ticket := prepared(t, func(c *auth.Config) { c.ConcealErrors = true })
				u, err := h.engine.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"})
				if err != nil {
					t.Fatal(err)
				}
				h.disable(t, &auth.Session{User: u})
				for _, ticket := range []string{ticket, l.kind + ":x", ""} {
					wantLocation(t, do(t, h, "GET", verify(ticket, "", ""), ""), authtest.ClientURL+"?error=invalid-request&errorDescription=The+request+payload+is+incorrect")
				}
			})
			t.Run("survives a fault of the store", func(t *testing.T) { // TK-19
				t.Parallel()
				s := &readOnly{Store: memstore.New()}
				e := authtest.NewWithStore(t, s, letters)
				h := &fixture{Handler: newHandler(t, e.Engine, httpadapter.Options{}), engine: e}
				l.cause(t, h)
				ticket := e.Mailbox.Last(t, l.to).Ticket()
				s.full.Store(true)
				w := do(t, h, "GET", verify(ticket, "", ""), "")
				wantRefused(t, w, 500, auth.CodeInternal)
				wantHeaders(t, w.Header(), "Location", "")
				s.full.Store(false)
				wantGood(t, h, ticket)
			})
		})
	}
}

// readOnly is a store that cannot change users while it is full.
type readOnly struct {
	store.Store
	full atomic.Bool
}

func (s *readOnly) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	if s.full.Load() {
		return store.User{}, errors.New("the disk is full")
	}
	return s.Store.ChangeUser(ctx, c)
}

// wantLocation checks where a browser is sent, with what no redirect may leave to chance.
func wantLocation(t testing.TB, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if w.Code != 302 || w.Body.Len() != 0 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	wantHeaders(t, w.Header(), "Location", want, "Cache-Control", "no-store", "Referrer-Policy", "no-referrer", "Set-Cookie", "")
}

// TK-01, TK-16, TK-17: what is no ticket of a link is told where the browser is sent, in few words, however long it was.
func TestWhatIsNoTicketOfALink(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	ada := h.engine.SignUp(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/signin/otp/email", `{"email":"ada@example.com"}`))
	code := h.engine.Mailbox.Last(t, "ada@example.com").Ticket()
	tickets := []string{
		"", ":", code, "emailOTP:" + code, "otp:" + code, "otp:", "mfaTotp:2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24", "webauthnSignIn:x",
		ada.AccessToken, ada.RefreshToken, "refreshToken:" + ada.RefreshToken, "VERIFYEMAIL:x", " verifyEmail:x", "verifyEmail", "verifyEmail:\x00",
	}
	for _, l := range links {
		tickets = append(tickets, l.kind+":", l.kind+":x", l.kind+":"+strings.Repeat("x", 1<<20))
	}
	for _, ticket := range tickets {
		w := do(t, h, "GET", verify(ticket, "https://app.test/in", ""), "")
		wantLocation(t, w, "https://app.test/in?error=invalid-ticket&errorDescription=Invalid+ticket")
	}
	// What was refused is good where it belongs.
	want200[auth.SignInResult](t, do(t, h, "POST", "/signin/otp/email/verify", `{"email":"ada@example.com","otp":`+text(code)+`}`))
	want200[auth.Session](t, h.refresh(t, ada))
}

// ML-10: a link of what has been turned off since is refused where it leads, and is good when that is on again.
func TestALinkOfWhatIsOff(t *testing.T) {
	t.Parallel()
	on := newFixture(t, httpadapter.Options{}, letters)
	wantOK(t, do(t, on, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
	off := authtest.NewWithStore(t, on.engine.Store, func(c *auth.Config) { c.Now = on.engine.Clock.Now })
	target := on.link(t, "ada@example.com")
	w := do(t, newHandler(t, off.Engine, httpadapter.Options{}), "GET", target, "")
	wantLocation(t, w, authtest.ClientURL+"?error=disabled-endpoint&errorDescription=This+endpoint+is+disabled")
	on.followed(t, do(t, on, "GET", target, ""), authtest.ClientURL, "passwordlessEmail")
}

// FuzzWithParams: whatever stands in an accepted URL, the parameters of a redirect arrive once and as sent, and nothing
// else of the URL changes.
func FuzzWithParams(f *testing.F) {
	for _, target := range []string{
		"https://app.test", "https://app.test/", "https://app.test/a?b=c", "https://app.test?x=1&x=2#frag",
		"https://app.test/?refreshToken=x&type=y", "https://app.test/?%72efreshToken=x&a%&=&&b", "myapp://in?error=1#a?b=c",
		"https://app.test/?code=x&%63ode=y", "https://app.test/?mfaTicket=x&mfa%54icket=y",
	} {
		f.Add(target, "value & more")
	}
	engine := newFixture(f, httpadapter.Options{}).engine
	f.Fuzz(func(t *testing.T, wish, value string) {
		target, err := engine.RedirectTo(wish)
		if err != nil {
			return
		}
		got := httpadapter.WithParams(target, url.Values{"refreshToken": {value}})
		before, err1 := url.Parse(target)
		after, err2 := url.Parse(got)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q and %q: %v, %v", target, got, err1, err2)
		}
		q := after.Query()
		if len(q["refreshToken"]) != 1 || q.Get("refreshToken") != value || q.Has("type") || q.Has("code") || q.Has("mfaTicket") || q.Has("error") || q.Has("errorDescription") {
			t.Fatalf("%q becomes %q", target, got)
		}
		for name, values := range before.Query() {
			switch name {
			case "refreshToken", "mfaTicket", "type", "code", "error", "errorDescription":
			default:
				if strings.Join(values, "\x00") != strings.Join(q[name], "\x00") {
					t.Fatalf("%q becomes %q: %s is %q", target, got, name, q[name])
				}
			}
		}
		before.RawQuery, after.RawQuery, before.ForceQuery, after.ForceQuery = "", "", false, false
		if before.String() != after.String() {
			t.Fatalf("%q becomes %q", target, got)
		}
	})
}

// What stands in the redirect is a code, of use to nobody but the client that asked for the link.
func TestACodeInPlaceOfARefreshToken(t *testing.T) {
	t.Parallel()
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	for _, path := range []string{"/signup/email-password", "/signin/passwordless/email", "/user/password/reset", "/user/email/send-verification-email", "/user/deanonymize"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{}, letters)
			var more string
			var headers []string
			switch path {
			case "/signup/email-password":
				more = `,"password":"` + authtest.Password + `"`
			case "/user/password/reset", "/user/email/send-verification-email":
				want200[object](t, do(t, h, "POST", "/signup/email-password", `{"email":"ada@example.com","password":"`+authtest.Password+`"}`))
			case "/user/deanonymize":
				more, headers = `,"signInMethod":"passwordless"`, bearer(h.guest(t))
			}
			w := do(t, h, "POST", path, `{"email":"ada@example.com","codeChallenge":"`+challenge+`","options":{"redirectTo":"https://app.test/in?code=mine"}`+more+`}`, headers...)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			w = do(t, h, "GET", h.link(t, "ada@example.com"), "")
			u, err := url.Parse(w.Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			if len(q["code"]) != 1 || !strings.HasPrefix(q.Get("code"), "code:") || q.Has("refreshToken") || q.Get("type") == "" {
				t.Fatalf("redirect to %s", u)
			}
			wantRefused(t, do(t, h, "POST", "/token/exchange", `{"code":"`+q.Get("code")+`"}`), 400, auth.CodeInvalidRequest)
			in := want200[auth.SignInResult](t, do(t, h, "POST", "/token/exchange", `{"code":"`+q.Get("code")+`","codeVerifier":"`+verifier+`"}`))
			if in.Session == nil || in.Session.User.Email != "ada@example.com" {
				t.Errorf("%+v", in)
			}
			wantRefused(t, do(t, h, "POST", "/token/exchange", `{"code":"`+q.Get("code")+`","codeVerifier":"`+verifier+`"}`), 400, auth.CodeInvalidRequest)
		})
	}
}
