package httpadapter_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

// Only the bearer of the token itself is let in, once and by one scheme.
func FuzzAuthorization(f *testing.F) {
	x := newFixture(f, httpadapter.Options{}, open)
	token := x.engine.SignUp(f, "ada@example.com").AccessToken
	for _, value := range []string{
		"Bearer TOKEN", "bearer TOKEN", "BEARER TOKEN", "Bearer  TOKEN", "Bearer TOKEN ", "Bearer\tTOKEN", "Bearer TOKEN,Bearer TOKEN", "Basic TOKEN", "TOKEN", "Bearer", "Bearer ", "Bearer Bearer TOKEN", "",
	} {
		f.Add(value, "")
		f.Add(value, "Bearer TOKEN")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		values := []string{strings.ReplaceAll(first, "TOKEN", token)}
		if second != "" {
			values = append(values, strings.ReplaceAll(second, "TOKEN", token))
		}
		r := httptest.NewRequest("GET", "/user", nil)
		r.Header["Authorization"] = values
		w := httptest.NewRecorder()
		x.ServeHTTP(w, r)
		scheme, rest, _ := strings.Cut(values[0], " ")
		switch good := len(values) == 1 && strings.EqualFold(scheme, "bearer") && rest == token; {
		case good && w.Code != 200:
			t.Fatalf("%q: status %d", values, w.Code)
		case !good:
			wantRefused(t, w, 401, auth.CodeUnauthenticated)
		}
	})
}

// In cookie mode a browser is let in by a cookie that is there once, and has its exact name and value.
func FuzzCookies(f *testing.F) {
	x := newFixture(f, httpadapter.Options{Cookies: &httpadapter.CookieOptions{}}, open)
	token := x.engine.SignUp(f, "ada@example.com").AccessToken
	const name = "__Host-auth-access"
	for _, value := range []string{
		name + "=TOKEN", name + "=TOKEN; " + name + "=TOKEN", name + "=x; " + name + "=TOKEN", " " + name + " = TOKEN", name + `="TOKEN"`, "__host-auth-access=TOKEN", "__Host-auth-refresh=TOKEN",
		name + "=TOKEN;", name + "=TOKEN,x=y", name + "=TOKEN\x00", "a=" + name + "=TOKEN", name + "=", ";;;", "",
	} {
		f.Add(value, "")
		f.Add(value, name+"=TOKEN")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		r := httptest.NewRequest("GET", "/user", nil)
		for _, value := range []string{first, second} {
			if value != "" {
				r.Header["Cookie"] = append(r.Header["Cookie"], strings.ReplaceAll(value, "TOKEN", token))
			}
		}
		w := httptest.NewRecorder()
		x.ServeHTTP(w, r)
		// There may be more that look like it to somebody, and less that are it.
		switch n := strings.Count(strings.Join(r.Header["Cookie"], ";"), token); {
		case w.Code == 200 && n == 0:
			t.Fatalf("%q lets in", r.Header["Cookie"])
		case w.Code == 200 && len(r.CookiesNamed(name)) != 1:
			t.Fatalf("%q lets in, with %d cookies", r.Header["Cookie"], len(r.CookiesNamed(name)))
		case w.Code != 200:
			wantRefused(t, w, 401, auth.CodeUnauthenticated)
		}
		for _, line := range w.Header()["Set-Cookie"] {
			if c, err := http.ParseSetCookie(line); err != nil || c.MaxAge >= 0 || c.Value != "" {
				t.Fatalf("%q gets the cookie %q", r.Header["Cookie"], line)
			}
		}
	})
}

// A page is let in by an origin that is configured, to the letter, and what can be configured is what a browser sends.
func FuzzOrigin(f *testing.F) {
	engine := newFixture(f, httpadapter.Options{}).engine.Engine
	for _, pair := range [][2]string{
		{"https://app.test", "https://app.test"},
		{"https://app.test", "https://APP.test"},
		{"https://app.test", "https://app.test.evil.test"},
		{"https://app.test:443", "https://app.test"},
		{"https://app.test/", "https://app.test"},
		{"https://*.app.test", "https://x.app.test"},
		{"null", "null"},
		{"https://user@app.test", "https://user@app.test"},
		{"https://app.test?x", "https://app.test?x"},
		{"http://[::1]:3000", "http://[::1]:3000"},
		{"https://a,b", "https://a,b"},
		{"https://app.test:", "https://app.test"},
		{"https://app.test:99999", "https://app.test:99999"},
		{"capacitor://localhost", "capacitor://localhost"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, configured, sent string) {
		if configured == "*" {
			return // which is all of them
		}
		h, err := httpadapter.New(engine, httpadapter.Options{AllowedOrigins: []string{configured}})
		if err != nil {
			return
		}
		u, err := url.Parse(configured)
		if err != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Host == "" || strings.ToLower(configured) != configured || strings.ContainsAny(configured, "*?#@ \r\n\t") {
			t.Fatalf("%q is taken for an origin: %+v, %v", configured, u, err)
		}
		r := httptest.NewRequest("GET", "/version", nil)
		r.Header["Origin"] = []string{sent}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		allow := ""
		if sent == configured {
			allow = sent
		}
		wantHeaders(t, w.Header(), "Access-Control-Allow-Origin", allow, "Vary", "Origin", "Access-Control-Allow-Credentials", "")
	})
}

// The page that asks whether to follow a link posts what stands in the link, whatever that is, and shows nothing of it.
func FuzzConfirmPage(f *testing.F) {
	x := newFixture(f, httpadapter.Options{ConfirmLinks: true})
	plain := readPage(f, do(f, x, "GET", "/verify?ticket=verifyEmail:x&type=emailVerify&redirectTo=https://app.test", ""))
	for _, ticket := range []string{"verifyEmail:x", `"><script>alert(1)</script>`, "'", "&quot;", "\x00", "\xff", "</form><form action=https://evil.test>", "{{.}}", "\r\n", "`${x}`"} {
		f.Add(ticket, "https://app.test/a?b=%22c%22#d", "bg;q=0.5, *")
		f.Add("verifyEmail:x", ticket, ticket)
	}
	f.Fuzz(func(t *testing.T, ticket, redirectTo, language string) {
		query := url.Values{"ticket": {ticket}, "redirectTo": {redirectTo}, "type": {"emailVerify"}}
		w := do(t, x, "GET", "/verify?"+query.Encode(), "", "Accept-Language", language)
		if w.Code != 200 {
			if w.Code != 400 && w.Code != 302 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			return
		}
		got := readPage(t, w)
		if got.method != plain.method || got.action != plain.action || got.style != plain.style || len(got.fields["ticket"]) != 1 || len(got.fields["redirectTo"]) != 1 || len(got.fields) != len(plain.fields) {
			t.Fatalf("%q makes the page %+v", query, got)
		}
		if readable := utf8.ValidString(ticket) && !strings.ContainsAny(ticket, "\x00\r"); readable && got.fields.Get("ticket") != ticket {
			t.Fatalf("%q is posted as %q", ticket, got.fields.Get("ticket"))
		}
		if len(ticket) > 20 && strings.Contains(got.text, ticket) {
			t.Fatalf("%q is shown", ticket)
		}
		if !slices.Contains([]string{"en", "bg", "cs", "es", "fr"}, got.lang) {
			t.Fatalf("%q is answered in %q", language, got.lang)
		}
	})
}
