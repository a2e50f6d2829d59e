package idtoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/idtoken/idtokentest"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
)

// accepted reports whether the token is accepted from the token endpoint.
func (f *fixture) accepted(t testing.TB, raw string) bool {
	t.Helper()
	_, err := f.fromTokenEndpoint(t, raw)
	return err == nil
}

func (f *fixture) signedBy(t testing.TB, key *idtokentest.Key) string {
	t.Helper()
	return key.Sign(t, f.claims(nil))
}

// ID-02
func TestUnknownKeysAreAskedForWithRestraint(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	stranger := idtokentest.NewKey(t, "ES256", "")
	for i := range 1000 {
		stranger.Kid = fmt.Sprint("unknown-", i)
		if f.accepted(t, f.signedBy(t, stranger)) {
			t.Fatal("a key that is not published signs")
		}
	}
	if n := len(f.web.Requests(jwksURL)); n > 2 {
		t.Errorf("%d requests for 1000 unknown keys", n)
	}
	if !f.accepted(t, f.signedBy(t, f.key)) {
		t.Error("the good key is lost")
	}
}

// A new key is found as soon as a minute has passed since the last look.
func TestNewKeyIsFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	if !f.accepted(t, f.signedBy(t, f.key)) {
		t.Fatal("the first key does not sign")
	}
	next := idtokentest.NewKey(t, "ES256", "key-2")
	f.web.JSON(jwksURL, idtokentest.Set(t, next.JWK()))
	f.clock.Advance(59 * time.Second)
	if f.accepted(t, f.signedBy(t, next)) {
		t.Error("the key set is asked for too often")
	}
	f.clock.Advance(time.Second)
	if !f.accepted(t, f.signedBy(t, next)) {
		t.Error("the new key is not found")
	}
	if f.accepted(t, f.signedBy(t, f.key)) {
		t.Error("the key that was taken back signs")
	}
}

// A key that has been taken back signs no longer than the set may be kept.
func TestKeysAreFetchedAgainWhenTheyAreOld(t *testing.T) {
	t.Parallel()
	for control, want := range map[string]time.Duration{
		"":                           time.Hour,
		"public, max-age=22000":      22000 * time.Second,
		"Max-Age=600, no-transform":  10 * time.Minute,
		"max-age=0":                  5 * time.Minute,
		"max-age=99999999":           12 * time.Hour,
		"max-age=-1":                 time.Hour,
		"max-age=9999999999999":      time.Hour,
		"s-maxage=600":               time.Hour,
		`max-age="600"`:              time.Hour,
		strings.Repeat("max-age", 9): time.Hour,
	} {
		f := newFixture(t, "ES256")
		old := f.key
		serve := func(key *idtokentest.Key) {
			set := idtokentest.Set(t, key.JWK())
			f.web.Serve(jwksURL, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", control)
				_, _ = w.Write([]byte(set))
			})
		}
		serve(old)
		if !f.accepted(t, f.signedBy(t, old)) {
			t.Fatalf("%q: refused", control)
		}
		serve(idtokentest.NewKey(t, "ES256", "key-2"))
		f.clock.Advance(want - time.Second)
		if !f.accepted(t, f.signedBy(t, old)) {
			t.Errorf("%q: the keys are not kept for %v", control, want)
		}
		f.clock.Advance(time.Second)
		if f.accepted(t, f.signedBy(t, old)) {
			t.Errorf("%q: the keys are kept for more than %v", control, want)
		}
	}
}

// ID-14: whatever the server of the keys does, those that are good stay good, for a day.
func TestGoodKeysSurvive(t *testing.T) {
	t.Parallel()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	weak := idtokentest.NewRSA(t, "RS256", "weak", 1024)
	private := idtokentest.NewKey(t, "ES256", "key-1").JWK()
	private["d"] = private["x"]
	many := make([]map[string]any, 101)
	for i := range many {
		many[i] = idtokentest.NewKey(t, "EdDSA", fmt.Sprint(i)).JWK()
	}
	for name, page := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"an error with keys": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(idtokentest.Set(t, idtokentest.NewKey(t, "ES256", "key-1").JWK())))
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		},
		"a page":             text("<!doctype html><title>Down</title>"),
		"nothing":            text(""),
		"no keys":            text("{}"),
		"empty keys":         text(`{"keys":[]}`),
		"keys of no type":    text(`{"keys":null}`),
		"keys of some type":  text(`{"keys":{"a":1}}`),
		"keys that are text": text(`{"keys":["a"]}`),
		"a list":             text(`[]`),
		"two documents":      text(`{"keys":[]}{"keys":[]}`),
		"keys twice":         text(`{"keys":[],"keys":[]}`),
		"a flood": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 2<<20))
		},
		"depth":                  text(`{"keys":` + strings.Repeat("[", 100_000)),
		"too many keys":          text(idtokentest.Set(t, many...)),
		"a weak key":             text(idtokentest.Set(t, weak.JWK())),
		"a private key":          text(idtokentest.Set(t, private)),
		"an unknown key":         text(`{"keys":[{"kty":"AKP","kid":"key-1","alg":"ML-DSA-44","pub":"AAAA"}]}`),
		"a key that is too wide": text(idtokentest.Set(t, wide(4097))),
		"keys and more":          text(idtokentest.Set(t, idtokentest.NewKey(t, "ES256", "key-1").JWK()) + "{}"),
		"half a document":        text(idtokentest.Set(t, weak.JWK())[:100]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "ES256")
			f.env.HTTP = outbound.Client(f.env.HTTP)
			if !f.accepted(t, f.signedBy(t, f.key)) {
				t.Fatal("refused at first")
			}
			f.web.Serve(jwksURL, page)
			f.clock.Advance(2 * time.Hour)
			if !f.accepted(t, f.signedBy(t, f.key)) {
				t.Error("the good key is lost")
			}
			if n := len(f.web.Requests(jwksURL)); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
			if n := len(f.web.Requests("")); n != 2 {
				t.Errorf("%d requests, want 2 and none to elsewhere", n)
			}
			f.clock.Advance(22*time.Hour - time.Second)
			if !f.accepted(t, f.signedBy(t, f.key)) {
				t.Error("the good key is lost before a day has passed")
			}
			f.clock.Advance(time.Second)
			if f.accepted(t, f.signedBy(t, f.key)) {
				t.Error("a key is used that was last seen a day ago")
			}
		})
	}
}

// wide returns an RSA key of this size, which nobody has the private key of.
func wide(bits int) map[string]any {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.SetBit(n, 0, 1)
	return map[string]any{"kty": "RSA", "kid": "key-1", "n": idtokentest.Encode(n.Bytes()), "e": "AQAB"}
}

// Whoever looks after the service learns why there are no keys.
func TestReasonsOfKeys(t *testing.T) {
	t.Parallel()
	many := make([]map[string]any, 101)
	for i := range many {
		many[i] = idtokentest.NewKey(t, "EdDSA", fmt.Sprint(i)).JWK()
	}
	for set, why := range map[string]string{
		"[]":                              "fetch the keys: the answer is not a JWK Set",
		`{"keys":[]}`:                     "fetch the keys: the JWK Set has no usable key",
		idtokentest.Set(t, many...):       "fetch the keys: the JWK Set has more than 100 keys",
		idtokentest.Set(t, wide(4097)):    "fetch the keys: the JWK Set has no usable key",
		idtokentest.Set(t, wide(4096)):    "it is not signed by a key of the issuer",
		idtokentest.Set(t, wide(2047)):    "fetch the keys: the JWK Set has no usable key",
		idtokentest.Set(t, many[:100]...): "it is not signed by a key of the issuer",
	} {
		f := newFixture(t, "ES256")
		f.web.JSON(jwksURL, set)
		if endpoint, app := f.both(t, f.signedBy(t, f.key)); !refused(endpoint, why) || !refused(app, why) {
			t.Errorf("%.200s: %v, %v; want %q", set, endpoint, app, why)
		}
	}
	f := newFixture(t, "ES256")
	f.web.Serve(jwksURL, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if _, err := f.fromApp(t, f.signedBy(t, f.key)); !refused(err, "fetch the keys: ") || !strings.Contains(err.Error(), "502") {
		t.Error(err)
	}
}

// Who waits for a key that may be new waits no longer than they want to.
func TestWhoWaitsForANewKeyMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, "ES256")
		if !f.accepted(t, f.signedBy(t, f.key)) {
			t.Fatal("refused at first")
		}
		f.clock.Advance(time.Minute)
		f.web.Serve(jwksURL, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		raw := f.signedBy(t, idtokentest.NewKey(t, "ES256", "key-2"))
		if _, err := f.verifier.FromApp(ctx, f.env, raw, []string{"client"}, "nonce"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(outbound.Timeout) // until the request has ended, too
	})
}

// ID-14: a server that is down is asked once in 10 seconds, and found again.
func TestFailureIsRemembered(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	set := idtokentest.Set(t, f.key.JWK())
	f.web.Serve(jwksURL, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	raw := f.signedBy(t, f.key)
	for range 100 {
		if f.accepted(t, raw) {
			t.Fatal("accepted without a key")
		}
	}
	f.clock.Advance(9 * time.Second)
	if f.accepted(t, raw) || len(f.web.Requests("")) != 1 {
		t.Errorf("%d requests in 10 seconds", len(f.web.Requests("")))
	}
	f.web.JSON(jwksURL, set)
	f.clock.Advance(time.Second)
	if !f.accepted(t, raw) {
		t.Error("a server that is back is not found")
	}
	// A clock that is set back does not keep the keys for ever, nor the pause.
	f.clock.Advance(-time.Hour)
	f.accepted(t, f.signedBy(t, f.key))
	if n := len(f.web.Requests("")); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// ID-14: keys that are not for checking signatures, or that anybody has, sign nothing.
func TestUnusableKeysDoNotCount(t *testing.T) {
	t.Parallel()
	change := func(k *idtokentest.Key, changes map[string]any) map[string]any {
		jwk := k.JWK()
		maps.Copy(jwk, changes)
		maps.DeleteFunc(jwk, func(_ string, v any) bool { return v == nil })
		return jwk
	}
	ec := idtokentest.NewKey(t, "ES256", "k")
	wide := idtokentest.NewKey(t, "RS256", "k")
	for _, tt := range []struct {
		name string
		key  *idtokentest.Key
		jwk  map[string]any
		ok   bool
	}{
		{"as it is", ec, ec.JWK(), true},
		{"no use", ec, change(ec, map[string]any{"use": nil}), true},
		{"no alg", ec, change(ec, map[string]any{"alg": nil}), true},
		{"for verifying", ec, change(ec, map[string]any{"key_ops": []string{"verify"}}), true},
		{"for verifying and signing", ec, change(ec, map[string]any{"key_ops": []string{"verify", "sign"}}), true},
		{"for nothing", ec, change(ec, map[string]any{"key_ops": []string{}}), false},
		{"certificates that are not", ec, change(ec, map[string]any{"x5c": []string{"AAAA"}, "x5t": "x", "x5u": "https://canary.example"}), true},
		{"members of others", ec, change(ec, map[string]any{"issuer": "https://idp.example/{tenantid}", "nbf": 1}), true},
		{"no kid", ec, change(ec, map[string]any{"kid": nil}), false},
		{"for encryption", ec, change(ec, map[string]any{"use": "enc"}), false},
		{"for signing", ec, change(ec, map[string]any{"key_ops": []string{"sign"}}), false},
		{"for another algorithm", ec, change(ec, map[string]any{"alg": "ES384"}), false},
		{"private", ec, change(ec, map[string]any{"d": ec.JWK()["x"]}), false},
		{"with a secret", ec, change(ec, map[string]any{"k": "c2VjcmV0"}), false},
		{"symmetric", ec, map[string]any{"kty": "oct", "kid": "k", "k": "c2VjcmV0"}, false},
		{"of no type", ec, change(ec, map[string]any{"kty": nil}), false},
		{"off its curve", ec, change(ec, map[string]any{"y": ec.JWK()["x"]}), false},
		{"of another curve", ec, change(ec, map[string]any{"crv": "secp256k1"}), false},
		{"without a coordinate", ec, change(ec, map[string]any{"y": nil}), false},
		{"a number for an algorithm", ec, change(ec, map[string]any{"alg": 1}), false},
		{"a number for a use", ec, change(ec, map[string]any{"use": 1}), false},
		{"a number for a kid", ec, change(ec, map[string]any{"kid": 1}), false},
		{"RSA", wide, wide.JWK(), true},
		{"RSA with a prime", wide, change(wide, map[string]any{"p": "AQAB"}), false},
		{"RSA with an even exponent", wide, change(wide, map[string]any{"e": "BA"}), false},
		{"RSA with the exponent 1", wide, change(wide, map[string]any{"e": "AQ"}), false},
		{"RSA without exponent", wide, change(wide, map[string]any{"e": nil}), false},
	} {
		f := newFixture(t, "EdDSA")
		f.web.JSON(jwksURL, idtokentest.Set(t, tt.jwk, f.key.JWK()))
		if got := f.accepted(t, f.signedBy(t, tt.key)); got != tt.ok {
			t.Errorf("%s: accepted: %v", tt.name, got)
		}
		if !f.accepted(t, f.signedBy(t, f.key)) {
			t.Errorf("%s: the other key of the set is lost", tt.name)
		}
	}
	for bits, ok := range map[int]bool{1024: false, 2047: false, 2048: true, 3072: true} {
		f := newFixture(t, "EdDSA")
		key := idtokentest.NewRSA(t, "RS256", "k", bits)
		f.web.JSON(jwksURL, idtokentest.Set(t, key.JWK()))
		if got := f.accepted(t, f.signedBy(t, key)); got != ok {
			t.Errorf("RSA with %d bits: accepted: %v", bits, got)
		}
	}
}

func TestKeysThatShareANameOrHaveNone(t *testing.T) {
	t.Parallel()
	one, two := idtokentest.NewKey(t, "ES256", "same"), idtokentest.NewKey(t, "ES256", "same")
	other := idtokentest.NewKey(t, "RS256", "same")
	f := newFixture(t, "ES256")
	f.web.JSON(jwksURL, idtokentest.Set(t, one.JWK(), other.JWK(), two.JWK()))
	for i, key := range []*idtokentest.Key{one, two, other} {
		if !f.accepted(t, f.signedBy(t, key)) {
			t.Errorf("key %d of the same name does not sign", i)
		}
	}
	// A token that names no key can be signed by any of the issuer's.
	nameless := map[string]any{"alg": "ES256"}
	if !f.accepted(t, two.SignHeader(t, nameless, f.claims(nil))) {
		t.Error("a token that names no key is refused")
	}
	if f.accepted(t, idtokentest.NewKey(t, "ES256", "").SignHeader(t, nameless, f.claims(nil))) {
		t.Error("a token that names no key is signed by anybody's")
	}
}

// ID-02: a key is its issuer's, whatever it is called.
func TestKeysOfOneIssuerAreNotAnothers(t *testing.T) {
	t.Parallel()
	f, other := newFixture(t, "ES256"), newFixture(t, "ES256")
	if !f.accepted(t, f.signedBy(t, f.key)) || !other.accepted(t, other.signedBy(t, other.key)) {
		t.Fatal("refused")
	}
	if f.accepted(t, f.signedBy(t, other.key)) || other.accepted(t, other.signedBy(t, f.key)) {
		t.Error("the keys of two issuers are mixed up")
	}
}

// Whoever waits for the keys waits for one request, and no longer than they want to.
func TestCallersShareOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, "ES256")
		set := idtokentest.Set(t, f.key.JWK())
		f.web.Serve(jwksURL, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			_, _ = w.Write([]byte(set))
		})
		raw := f.signedBy(t, f.key)
		began := time.Now()
		var wait sync.WaitGroup
		wait.Go(func() { // is the first to ask, and has left when the answer comes
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := f.verifier.FromApp(ctx, f.env, raw, []string{"client"}, "nonce")
			if took := time.Since(began); err == nil || took != time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
		synctest.Wait()
		for range 50 {
			wait.Go(func() {
				_, err := f.verifier.FromApp(t.Context(), f.env, raw, []string{"client"}, "nonce")
				if took := time.Since(began); err != nil || took != 3*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			})
		}
		wait.Wait()
		if n := len(f.web.Requests("")); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// ID-14: a server that says nothing holds nobody up for more than 10 seconds.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, "ES256")
		f.web.Serve(jwksURL, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		began := time.Now()
		if f.accepted(t, f.signedBy(t, f.key)) || time.Since(began) != outbound.Timeout {
			t.Errorf("after %v", time.Since(began))
		}
	})
}

func TestEnvIsNeeded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	raw := f.signedBy(t, f.key)
	for _, env := range []provider.Env{{}, {HTTP: f.env.HTTP}, {Now: f.env.Now}} {
		if _, err := f.verifier.FromApp(t.Context(), env, raw, []string{"client"}, "nonce"); !refused(err, "no HTTP or no Now in Env") {
			t.Errorf("without means: %v", err)
		}
	}
}

func FuzzToken(f *testing.F) {
	x := newFixture(f, "EdDSA")
	right := x.key.Sign(f, x.claims(nil))
	f.Add(right, "")
	f.Add(x.key.SignHeader(f, map[string]any{"alg": "none"}, x.claims(nil)), "x")
	f.Fuzz(func(t *testing.T, raw, claims string) {
		for _, token := range []string{raw, x.key.SignText(t, `{"alg":"EdDSA","kid":"key-1"}`, claims)} {
			c, err := x.fromTokenEndpoint(t, token)
			if err == nil && (c.Text("iss") != issuer || c.Text("nonce") != "nonce" || idtoken.CheckSubject(c.Text("sub")) != nil) {
				t.Errorf("%q is accepted", c)
			}
		}
	})
}

func FuzzKeys(f *testing.F) {
	key := idtokentest.NewKey(f, "ES256", "key-1")
	f.Add(idtokentest.Set(f, key.JWK(), idtokentest.NewRSA(f, "RS256", "r", 1024).JWK()))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)
	x := newFixture(f, "EdDSA")
	raw := x.key.Sign(f, x.claims(nil))
	mine, err := json.Marshal(x.key.JWK()["x"])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, set string) {
		x.web.JSON(jwksURL, set)
		x.verifier.Keys = idtoken.NewKeys(jwksURL)
		if x.accepted(t, raw) && !strings.Contains(set, string(mine)) {
			t.Errorf("accepted by %q", set)
		}
	})
}
