package httpadapter_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
)

// confirmation is what a test reads of the page that asks whether to follow a link.
type confirmation struct {
	lang, method, action, style, text string
	fields                            url.Values
}

func readPage(t testing.TB, w *httptest.ResponseRecorder) confirmation {
	t.Helper()
	if w.Code != 200 {
		t.Fatalf("status %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	root, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	p := confirmation{fields: url.Values{}}
	for n := range root.Descendants() {
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("the page has the handler %s", a.Key)
			}
		}
		switch n.Data {
		case "html":
			p.lang = at["lang"]
		case "form":
			p.method, p.action = at["method"], at["action"]
		case "input":
			p.fields.Add(at["name"], at["value"])
		case "style":
			p.style = n.FirstChild.Data
		case "script", "link", "img", "iframe", "base":
			t.Errorf("the page has a %s", n.Data)
		default:
			if n.Type == html.TextNode {
				p.text += n.Data
			}
		}
	}
	return p
}

func post(t testing.TB, h *fixture, p confirmation) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", "/verify", strings.NewReader(p.fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TK-09, ML-03, W17: where links are confirmed, nothing that only opens one follows it.
func TestConfirmedLinks(t *testing.T) {
	t.Parallel()
	for _, l := range links {
		t.Run(l.kind, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, httpadapter.Options{ConfirmLinks: true}, letters)
			l.cause(t, h)
			target := h.link(t, l.to)
			var p confirmation
			for range 3 {
				w := do(t, h, "GET", target, "", "User-Agent", "Scanner")
				p = readPage(t, w)
				sum := sha256.Sum256([]byte(p.style))
				wantHeaders(t, w.Header(), "Location", "", "Cache-Control", "no-store", "Referrer-Policy", "same-origin",
					"Content-Type", "text/html; charset=utf-8", "X-Content-Type-Options", "nosniff", "Content-Language", "en",
					"Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
						"'; base-uri 'none'; frame-ancestors 'none'")
			}
			ticket := h.engine.Mailbox.Last(t, l.to).Ticket()
			if p.method != "post" || p.action != "?" || p.fields.Get("ticket") != ticket || p.fields.Get("redirectTo") != authtest.ClientURL {
				t.Errorf("form %+v", p)
			}
			w := post(t, h, p)
			if w.Code != 303 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			location, err := url.Parse(w.Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if q := location.Query(); q.Get("type") != l.kind || q.Has("refreshToken") != l.signsIn {
				t.Errorf("Location %s", location)
			}
			w = post(t, h, p) // TK-02
			wantHeaders(t, w.Header(), "Location", authtest.ClientURL+"?error=invalid-ticket&errorDescription=Invalid+ticket")
			if w.Code != 303 {
				t.Errorf("status %d", w.Code)
			}
		})
	}
}

func TestTheConfirmationPage(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{ConfirmLinks: true}, letters)
	for _, c := range []struct{ accept, lang, button string }{
		{"", "en", "Continue"},
		{"de", "en", "Continue"},
		{"fr-CH, de;q=0.9", "fr", "Continuer"},
		{"cs", "cs", "Pokračovat"},
		{"de, es;q=0.5", "es", "Continuar"},
		{"bg-BG", "bg", "Продължете"},
		{strings.Repeat("x-", 10_000), "en", "Continue"},
	} {
		w := do(t, h, "GET", verify("verifyEmail:x", "", ""), "", "Accept-Language", c.accept)
		wantHeaders(t, w.Header(), "Content-Language", c.lang)
		if p := readPage(t, w); p.lang != c.lang || !strings.Contains(p.text, c.button) {
			t.Errorf("%.20q: %s, %s", c.accept, p.lang, p.text)
		}
	}
	// RD-34: whatever stands in a link stands in a value of the form, and nowhere else.
	for _, evil := range []string{`"><script>alert(1)</script>`, `' onmouseover='alert(1)`, "{{.Lang}}", "${link}", "a\r\nb", "\u2028<!--"} {
		p := readPage(t, do(t, h, "GET", verify(evil, "https://app.test/?a="+url.QueryEscape(evil), "&codeChallenge="+url.QueryEscape(evil)), ""))
		if p.fields.Get("ticket") != strings.ReplaceAll(evil, "\r\n", "\n") && p.fields.Get("ticket") != evil || strings.Contains(p.text, "alert") {
			t.Errorf("%q: %+v", evil, p)
		}
	}
	// A place that is refused is no place to send anybody to, nor to show.
	w := do(t, h, "GET", verify("verifyEmail:x", "https://evil.test", ""), "")
	if w.Code != 302 || !strings.HasPrefix(w.Header().Get("Location"), authtest.ClientURL+"?error=redirectTo-not-allowed") {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	// HEAD says nothing.
	if w := do(t, h, "HEAD", verify("verifyEmail:x", "", ""), ""); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %s", w.Code, w.Body)
	}
}

// A client may ask for a code when it follows a link itself.
func TestALinkIsFollowedForACode(t *testing.T) {
	t.Parallel()
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	for _, confirm := range []bool{false, true} {
		h := newFixture(t, httpadapter.Options{ConfirmLinks: confirm}, letters)
		h.engine.SignUp(t, "ada@example.com")
		wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
		target := h.link(t, "ada@example.com")
		if !confirm {
			w := do(t, h, "GET", target+"&codeChallenge=x", "")
			wantHeaders(t, w.Header(), "Location", authtest.ClientURL+
				"?error=invalid-request&errorDescription=codeChallenge+must+be+the+base64url+of+a+SHA-256%2C+43+characters")
		}
		w := do(t, h, "GET", target+"&codeChallenge="+challenge, "")
		if confirm {
			w = post(t, h, readPage(t, w))
		}
		location, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		q := location.Query()
		if !q.Has("code") || q.Has("refreshToken") {
			t.Fatalf("Location %s", location)
		}
		body := `{"code":` + text(q.Get("code")) + `,"codeVerifier":"` + verifier + `"}`
		want200[auth.SignInResult](t, do(t, h, "POST", "/token/exchange", body))
	}
}

// LG-02: the form is that of the service's own page.
func TestALinkIsNotPostedFromElsewhere(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{}, letters)
	h.engine.SignUp(t, "ada@example.com")
	wantOK(t, do(t, h, "POST", "/signin/passwordless/email", `{"email":"ada@example.com"}`))
	form := url.Values{"ticket": {h.engine.Mailbox.Last(t, "ada@example.com").Ticket()}, "redirectTo": {""}}.Encode()
	for _, site := range []string{"cross-site", "same-site", "same-origin"} {
		r := httptest.NewRequest("POST", "/verify", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if want := map[bool]int{true: 303, false: 403}[site == "same-origin"]; w.Code != want {
			t.Errorf("%s: %d, want %d", site, w.Code, want)
		}
	}
}
