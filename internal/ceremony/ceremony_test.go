package ceremony_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/ostiary/auth/internal/ceremony"
)

func TestNew(t *testing.T) {
	t.Parallel()
	set := func(origins ...string) func(*ceremony.Config) {
		return func(c *ceremony.Config) { c.Origins = origins }
	}
	tests := []struct {
		name   string
		change func(*ceremony.Config)
		why    string // empty: accepted
	}{
		{"the usual", func(*ceremony.Config) {}, ""},
		{"localhost", func(c *ceremony.Config) {
			c.ID, c.Origins = "localhost", []string{"http://localhost", "http://localhost:3000"}
		}, ""},
		{"apps", set(origin, "android:apk-key-hash:kLGi2hCFTdMSAMeYD4Mx7bXZ2lBFJPPfJZ8kEOaxUYU", "ios:bundle-id:test.example"), ""},
		{"an extension", set("chrome-extension://abcdefgh"), ""},
		{"an origin of another domain", set("https://example.test"), ""},
		{"an internationalised host", set("https://xn--exmple-cua.test:8443"), ""},
		{"every algorithm", func(c *ceremony.Config) {
			c.Algorithms = []int64{-7, -8, -9, -19, -35, -36, -37, -38, -39, -51, -52, -257, -258, -259}
		}, ""},
		{"no RP ID", func(c *ceremony.Config) { c.ID = "" }, "RP ID"},
		{"an RP ID with a scheme", func(c *ceremony.Config) { c.ID = origin }, "RP ID"},
		{"an RP ID with a port", func(c *ceremony.Config) { c.ID = "localhost:80" }, "RP ID"},
		{"an RP ID that is an address", func(c *ceremony.Config) { c.ID = "127.0.0.1" }, "RP ID"},
		{"no origin", set(), "at least one"},
		{"an empty origin", set(origin, ""), "scheme"},
		{"the null origin", set("null"), "scheme"},
		{"an origin without a scheme", set("://example.org"), "scheme"},
		{"a host", set("example.org"), "scheme"},
		{"an origin with a slash", set("https://example.org/"), `which is "https://example.org"`},
		{"an origin with a path", set("https://example.org/login"), `which is "https://example.org"`},
		{"an origin with capitals", set("https://Example.org"), `which is "https://example.org"`},
		{"a scheme with capitals", set("HTTPS://example.org"), `which is "https://example.org"`},
		{"an origin with its default port", set("https://example.org:443"), `which is "https://example.org"`},
		{"an origin with an empty port", set("https://example.org:"), "form of clients"},
		{"an origin with user information", set("https://a:b@example.org"), `which is "https://example.org"`},
		{"an origin with a query", set("https://example.org?a"), "form of clients"},
		{"an origin without a host", set("https://"), "form of clients"},
		{"an origin without slashes", set("https:example.org"), "form of clients"},
		{"an origin that is no URL", set("https://[example.org"), "origin"},
		{"an origin with the default port of http", set("http://localhost:80"), `which is "http://localhost"`},
		{"the other's default port", set("http://localhost:443", "https://example.org:80"), ""},
		{"http with capitals", set("HTTP://localhost"), `which is "http://localhost"`},
		{"the first and the last printable character", set("ios:bundle-id:!~"), ""},
		{"a character after the last printable one", set("ios:bundle-id:\x7f"), "ASCII"},
		{"an RP ID with capitals", func(c *ceremony.Config) { c.ID = "Example.org" }, "lower case"},
		{"an origin in Unicode", set("https://ex\u00e4mple.test"), "ASCII"},
		{"an origin with a blank", set(" https://example.org"), "ASCII"},
		{"an embedding page with a slash", func(c *ceremony.Config) { c.TopOrigins = []string{"https://shop.test/"} }, "form of clients"},
		{"an empty embedding page", func(c *ceremony.Config) { c.TopOrigins = []string{""} }, "scheme"},
		{"no algorithm", func(c *ceremony.Config) { c.Algorithms = nil }, "at least one"},
		{"Ed448", func(c *ceremony.Config) { c.Algorithms = []int64{-7, -53} }, "-53 is not supported"},
		{"RS1", func(c *ceremony.Config) { c.Algorithms = []int64{-65535} }, "-65535 is not supported"},
		{"secp256k1", func(c *ceremony.Config) { c.Algorithms = []int64{-47} }, "-47 is not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := config()
			tt.change(&c)
			rp, err := ceremony.New(c)
			if tt.why == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, tt.why)
			if rp != nil {
				t.Error("a relying party beside an error")
			}
		})
	}
}

// What New was given can change afterwards.
func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	c := config()
	c.Origins, c.Algorithms = []string{origin}, []int64{-7}
	rp, err := ceremony.New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Origins[0], c.Algorithms[0] = "https://evil.test", -8
	if _, err := register(rp, newRegistration(t, newDevice(t, -7)).text(), expected()); err != nil {
		t.Error(err)
	}
}

// Errors say what the library has to say, wrap it, and can be logged.
func TestErrorsAreForOperators(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t)
	r := newRegistration(t, newDevice(t, -7))
	r.data.rpID = "evil.test"
	_, err := register(rp, r.text(), expected())
	var cause *protocol.Error
	if !errors.As(err, &cause) || cause.Type != "verification_error" {
		t.Fatalf("%v wraps %v", err, cause)
	}
	for _, part := range []string{"ceremony: ", cause.Type, cause.Details, "RP Hash mismatch"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}

	r = newRegistration(t, newDevice(t, -7))
	replace(origin, ` !}~\u007f\u001f\"`)(r)
	_, err = register(rp, r.text(), expected())
	wantError(t, err, `origin " !}~??\"" is not expected`)

	for _, change := range []func(*registration){
		replace(origin, "https://\\n\\u001b[31m\u202e"+strings.Repeat("x", 3000)),
		replace("webauthn.create", "\\n\\u001b[31m\u202e"+strings.Repeat("x", 3000)),
		func(r *registration) { r.format = "\n\x1b[31m\u202e" + strings.Repeat("x", 3000) },
		func(r *registration) { r.response["\n\u202e<script>"+strings.Repeat("x", 3000)] = 1 },
	} {
		r := newRegistration(t, newDevice(t, -7))
		change(r)
		_, err := register(rp, r.text(), expected())
		if err == nil {
			t.Fatal("accepted")
		}
		text := err.Error()
		if len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
	}
}

// A relying party and a parsed answer can be used by many at once. (For the race detector.)
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t, keepAttestation)
	d := newDevice(t, -7)
	text := newRegistration(t, d)
	selfAttested(text)
	r, err := ceremony.ParseRegistration(text.text())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ceremony.ParseAssertion(newAssertion(t, d).text())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			c, err := rp.Register(r, expected())
			if err != nil {
				t.Error(err)
			}
			if _, err := rp.Assert(a, c, expected()); err != nil {
				t.Error(err)
			}
			rp.Decoy(a, ceremony.Expectation{UserHandle: []byte(fmt.Sprint(i))})
		})
	}
	group.Wait()
}

// The zero values of the answers are refused.
func TestZeroAnswersAreRefused(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t)
	_, err := rp.Register(&ceremony.Registration{}, expected())
	wantError(t, err, "is not expected")
	_, err = rp.Assert(&ceremony.Assertion{}, ceremony.Credential{}, expected())
	wantError(t, err, "is not expected")
	rp.Decoy(&ceremony.Assertion{}, ceremony.Expectation{})
}
