package httpadapter_test

import (
	"net/http"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

// LG-01, W37: an origin that is not listed to the letter gets nothing, and by default none is listed.
func TestOnlyListedOriginsAreLetIn(t *testing.T) {
	t.Parallel()
	const listed = "https://app.test"
	list := []string{listed, "http://localhost:3000", "capacitor://localhost"}
	for _, c := range []struct {
		name    string
		options httpadapter.Options
		origin  string
		allow   string
	}{
		{"by default none", httpadapter.Options{}, listed, ""},
		{"a listed one", httpadapter.Options{AllowedOrigins: list}, listed, listed},
		{"a listed one with a port", httpadapter.Options{AllowedOrigins: list}, "http://localhost:3000", "http://localhost:3000"},
		{"a listed one of an application", httpadapter.Options{AllowedOrigins: list}, "capacitor://localhost", "capacitor://localhost"},
		{"another scheme", httpadapter.Options{AllowedOrigins: list}, "http://app.test", ""},
		{"another port", httpadapter.Options{AllowedOrigins: list}, "https://app.test:8443", ""},
		{"a subdomain", httpadapter.Options{AllowedOrigins: list}, "https://x.app.test", ""},
		{"a suffix", httpadapter.Options{AllowedOrigins: list}, "https://app.test.evil.test", ""},
		{"a prefix", httpadapter.Options{AllowedOrigins: list}, "https://evilapp.test", ""},
		{"another case", httpadapter.Options{AllowedOrigins: list}, "https://APP.test", ""},
		{"a slash", httpadapter.Options{AllowedOrigins: list}, "https://app.test/", ""},
		{"null", httpadapter.Options{AllowedOrigins: list}, "null", ""},
		{"two in one", httpadapter.Options{AllowedOrigins: list}, listed + " " + listed, ""},
		{"every one", httpadapter.Options{AllowedOrigins: []string{"*"}}, "https://anything.test", "*"},
		{"every one, null too", httpadapter.Options{AllowedOrigins: []string{"*"}}, "null", "*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, c.options)
			expose, vary := "", ""
			if c.allow != "" {
				expose = "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"
			}
			if len(c.options.AllowedOrigins) > 1 {
				vary = "Origin"
			}
			// A success and a failure: a page must be able to read both.
			for _, target := range []string{"/version", "/user"} {
				w := do(t, h, "GET", target, "", "Origin", c.origin)
				wantHeaders(t, w.Header(),
					"Access-Control-Allow-Origin", c.allow,
					"Access-Control-Allow-Credentials", "",
					"Access-Control-Expose-Headers", expose,
					"Access-Control-Allow-Methods", "",
					"Vary", vary)
			}

			w := do(t, h, "OPTIONS", "/token", "", "Origin", c.origin,
				"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
			if c.allow == "" {
				wantRefused(t, w, 405, auth.CodeMethodNotAllowed)
				wantHeaders(t, w.Header(), "Access-Control-Allow-Origin", "", "Access-Control-Allow-Methods", "")
				return
			}
			if w.Code != http.StatusNoContent || w.Body.Len() != 0 {
				t.Errorf("preflight: %d %s", w.Code, w.Body)
			}
			wantHeaders(t, w.Header(),
				"Access-Control-Allow-Origin", c.allow,
				"Access-Control-Allow-Credentials", "",
				"Access-Control-Allow-Methods", "DELETE, GET, HEAD, PATCH, POST",
				"Access-Control-Allow-Headers", "authorization,content-type",
				"Access-Control-Max-Age", "86400",
				"Vary", vary)
		})
	}
}

func TestCrossOriginAnswersAreKeptApart(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{AllowedOrigins: []string{"https://app.test"}})
	// What has no Origin may be cached, and then it must not be given to a page that has one.
	wantHeaders(t, do(t, h, "GET", "/.well-known/jwks.json", "").Header(), "Vary", "Origin", "Access-Control-Allow-Origin", "")
	w := do(t, h, "GET", "/version", "", "Origin", "https://app.test", "Origin", "https://evil.test")
	wantHeaders(t, w.Header(), "Access-Control-Allow-Origin", "")
	// OPTIONS that is no preflight is a method like others.
	wantRefused(t, do(t, h, "OPTIONS", "/token", "", "Origin", "https://app.test"), 405, auth.CodeMethodNotAllowed)
	wantRefused(t, do(t, h, "GET", "/user", "", "Origin", "https://app.test", "Access-Control-Request-Method", "POST"), 401, auth.CodeUnauthenticated)
}
