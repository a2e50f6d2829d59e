package idtoken_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/idtoken"
	"github.com/ostiary/auth/internal/idtoken/idtokentest"
	"github.com/ostiary/auth/provider"
)

const (
	issuer  = "https://idp.example"
	jwksURL = "https://idp.example/keys"
)

// fixture is an issuer with one key, and a client that knows it.
type fixture struct {
	web      *idtokentest.Web
	clock    *authtest.Clock
	key      *idtokentest.Key
	verifier *idtoken.Verifier
	env      provider.Env
}

func newFixture(t testing.TB, alg string) *fixture {
	t.Helper()
	f := &fixture{web: idtokentest.NewWeb(), clock: authtest.NewClock(), key: idtokentest.NewKey(t, alg, "key-1")}
	f.web.JSON(jwksURL, idtokentest.Set(t, f.key.JWK()))
	f.verifier = &idtoken.Verifier{
		Keys: idtoken.NewKeys(jwksURL), Issuer: idtoken.IssuedBy(issuer), Algorithms: idtoken.Algorithms,
	}
	f.env = idtokentest.Env(f.web, f.clock)
	return f
}

// claims are those of a token that is right, with changes; nil takes one out.
func (f *fixture) claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuer, "sub": "subject", "aud": "client", "nonce": "nonce",
		"iat": f.clock.Now().Unix(), "exp": f.clock.Now().Add(5 * time.Minute).Unix(),
		"email": "a@example.com", "email_verified": true, "name": "A", "picture": "https://idp.example/a.png",
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (f *fixture) fromTokenEndpoint(t testing.TB, raw string) (idtoken.Claims, error) {
	return f.verifier.FromTokenEndpoint(t.Context(), f.env, raw, "client", []string{"sister"}, "nonce", "access")
}

func (f *fixture) fromApp(t testing.TB, raw string) (idtoken.Claims, error) {
	return f.verifier.FromApp(t.Context(), f.env, raw, []string{"client", "sister"}, "nonce")
}

// both checks a token in both ways.
func (f *fixture) both(t testing.TB, raw string) (endpoint, app bool) {
	t.Helper()
	_, err := f.fromTokenEndpoint(t, raw)
	_, other := f.fromApp(t, raw)
	for _, e := range []error{err, other} {
		if e != nil && (len(raw) > 100 && strings.Contains(e.Error(), raw) || len(e.Error()) > 300) {
			t.Errorf("the error says too much: %.400v", e)
		}
	}
	return err == nil, other == nil
}

func TestTokenOfEachAlgorithmIsAccepted(t *testing.T) {
	t.Parallel()
	for _, alg := range idtoken.Algorithms {
		f := newFixture(t, alg)
		got, err := f.fromTokenEndpoint(t, f.key.Sign(t, f.claims(nil)))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		want := provider.Profile{
			Subject: "subject", Email: "a@example.com", EmailVerified: true, Name: "A", Picture: "https://idp.example/a.png",
		}
		if diff := cmp.Diff(want, got.Profile()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", alg, diff)
		}
		if endpoint, app := f.both(t, f.key.Sign(t, f.claims(nil))); !endpoint || !app {
			t.Errorf("%s: %v, %v", alg, endpoint, app)
		}
	}
}

// ID-03, ID-05, ID-06, ID-09, OA-16: one claim is changed at a time.
func TestClaims(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("nonce"))
	hashed := hex.EncodeToString(hash[:])
	const neither, both, app = "", "both", "app"
	f := newFixture(t, "ES256")
	now := f.clock.Now()
	list := func(s ...string) []string { return s }
	for _, tt := range []struct {
		name    string
		changes map[string]any
		want    string
	}{
		{"another issuer", map[string]any{"iss": "https://evil.example"}, neither},
		{"the issuer with a slash", map[string]any{"iss": issuer + "/"}, neither},
		{"the issuer in capitals", map[string]any{"iss": "HTTPS://IDP.EXAMPLE"}, neither},
		{"no issuer", map[string]any{"iss": nil}, neither},
		{"two issuers", map[string]any{"iss": list(issuer, "https://evil.example")}, neither},
		{"an issuer of another case of name", map[string]any{"iss": nil, "Iss": issuer}, neither},

		{"another audience", map[string]any{"aud": "other"}, neither},
		{"no audience", map[string]any{"aud": nil}, neither},
		{"an empty audience", map[string]any{"aud": ""}, neither},
		{"an empty list of audiences", map[string]any{"aud": []string{}}, neither},
		{"an audience that is a number", map[string]any{"aud": 1}, neither},
		{"a list of one", map[string]any{"aud": list("client")}, both},
		{"a list with a number", map[string]any{"aud": []any{"client", 1}}, neither},
		{"a sister's audience", map[string]any{"aud": "sister"}, app},
		{"an audience of another case", map[string]any{"aud": "Client"}, neither},
		{"an audience of another case of name", map[string]any{"aud": "other", "Aud": "client"}, neither},
		{"two audiences, of which one is nobody's", map[string]any{"aud": list("client", "other"), "azp": "client"}, neither},
		{"two audiences without azp", map[string]any{"aud": list("client", "sister")}, neither},
		{"two audiences, issued to this client", map[string]any{"aud": list("client", "sister"), "azp": "client"}, both},
		{"two audiences, issued to a sister", map[string]any{"aud": list("client", "sister"), "azp": "sister"}, app},
		{"issued to this client", map[string]any{"azp": "client"}, both},
		{"issued to a sister", map[string]any{"azp": "sister"}, app},
		{"issued to another client", map[string]any{"azp": "other"}, neither},
		{"issued to nobody", map[string]any{"azp": ""}, neither},
		{"issued to a number", map[string]any{"azp": 1}, neither},

		{"no nonce", map[string]any{"nonce": nil}, neither},
		{"another nonce", map[string]any{"nonce": "other"}, neither},
		{"an empty nonce", map[string]any{"nonce": ""}, neither},
		{"a nonce that is a list", map[string]any{"nonce": list("nonce")}, neither},
		{"a hashed nonce", map[string]any{"nonce": hashed}, app},
		{"a nonce hashed in capitals", map[string]any{"nonce": strings.ToUpper(hashed)}, neither},

		{"no subject", map[string]any{"sub": nil}, neither},
		{"an empty subject", map[string]any{"sub": ""}, neither},
		{"a subject of blanks", map[string]any{"sub": "  "}, neither},
		{"a subject that is a number", map[string]any{"sub": 12345}, neither},
		{"a subject that is a list", map[string]any{"sub": list("subject")}, neither},
		{"a subject of 255", map[string]any{"sub": strings.Repeat("x", 255)}, both},
		{"a subject of 256", map[string]any{"sub": strings.Repeat("x", 256)}, neither},
		{"a subject with a line break", map[string]any{"sub": "a\r\nb"}, neither},
		{"a subject beyond ASCII", map[string]any{"sub": "søren"}, neither},
		{"a subject of another case of name", map[string]any{"sub": nil, "SUB": "subject"}, neither},

		{"no expiry", map[string]any{"exp": nil}, neither},
		{"expired now", map[string]any{"exp": now.Unix()}, neither},
		{"expired a second ago", map[string]any{"exp": now.Unix() - 1}, neither},
		{"expiring in a second", map[string]any{"exp": now.Unix() + 1}, both},
		{"an expiry with a fraction", map[string]any{"exp": float64(now.Unix()) + 1.5}, both},
		{"an expiry that is text", map[string]any{"exp": "9999999999"}, neither},
		{"a negative expiry", map[string]any{"exp": -1}, neither},
		{"an expiry beyond all clocks", map[string]any{"exp": json.Number("1e300")}, neither},
		{"not valid yet", map[string]any{"nbf": now.Add(time.Hour).Unix()}, neither},
		{"valid since", map[string]any{"nbf": now.Unix()}, both},
		{"not said when", map[string]any{"iat": nil}, neither},
		{"issued in a minute", map[string]any{"iat": now.Add(time.Minute).Unix()}, both},
		{"issued in more than a minute", map[string]any{"iat": now.Add(61 * time.Second).Unix()}, neither},
		{"issued before there were clocks", map[string]any{"iat": -1}, neither},
		{"issued at a time that is text", map[string]any{"iat": "now"}, neither},

		{"distributed claims", map[string]any{
			"_claim_names":   map[string]string{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://canary.example/"}},
		}, both}, // SS-04
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			endpoint, inApp := f.both(t, f.key.Sign(t, f.claims(tt.changes)))
			if endpoint != (tt.want == both) || inApp != (tt.want != neither) {
				t.Errorf("accepted from the token endpoint: %v; from an app: %v; want: %q", endpoint, inApp, tt.want)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(f.web.Requests("")); n != 1 {
			t.Errorf("%d requests, want 1 for the keys", n)
		}
	})
}

// ID-08: a nonce that is given must be in the token, and one that is in the token must be given.
func TestNonceOfApps(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	for _, tt := range []struct {
		name  string
		claim any
		given string
		ok    bool
	}{
		{"none at all", nil, "", true},
		{"given and not in the token", nil, "nonce", false},
		{"in the token and not given", "nonce", "", false},
		{"empty in the token and not given", "", "", false},
		{"of no text in the token and not given", 0, "", false},
		{"the same", "nonce", "nonce", true},
		{"another", "nonce", "other", false},
		{"the hash of the token's", "nonce", "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304", false},
		{"hashed in the token", "78377b525757b494427f89014f97d79928f3938d14eb51e20fb5dec9834eb304", "nonce", true},
	} {
		raw := f.key.Sign(t, f.claims(map[string]any{"nonce": tt.claim}))
		_, err := f.verifier.FromApp(t.Context(), f.env, raw, []string{"client"}, tt.given)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A flow without a nonce is broken, whatever the token says.
	for _, nonce := range []any{nil, "", "nonce"} {
		raw := f.key.Sign(t, f.claims(map[string]any{"nonce": nonce}))
		if _, err := f.verifier.FromTokenEndpoint(t.Context(), f.env, raw, "client", nil, "", "access"); err == nil {
			t.Errorf("nonce %v is good enough for none", nonce)
		}
	}
}

// ID-05
func TestNoAudienceIsNotAnyAudience(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	for _, aud := range []any{"client", "", []string{}, nil} {
		raw := f.key.Sign(t, f.claims(map[string]any{"aud": aud}))
		if _, err := f.verifier.FromApp(t.Context(), f.env, raw, nil, "nonce"); err == nil {
			t.Errorf("audience %v is accepted where none is", aud)
		}
		if _, err := f.verifier.FromTokenEndpoint(t.Context(), f.env, raw, "", nil, "nonce", "access"); err == nil {
			t.Errorf("audience %v is accepted of no client", aud)
		}
	}
}

func TestAccessTokenBelongsToIDToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	right, other := sha256.Sum256([]byte("access")), sha256.Sum256([]byte("other"))
	for want, changes := range map[bool]map[string]any{
		true:  {"at_hash": idtokentest.Encode(right[:16])},
		false: {"at_hash": idtokentest.Encode(other[:16])},
	} {
		if _, err := f.fromTokenEndpoint(t, f.key.Sign(t, f.claims(changes))); (err == nil) != want {
			t.Errorf("%v: %v", changes, err)
		}
	}
}

// ID-01: forged and altered tokens.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "RS256")
	claims := f.claims(nil)
	right := f.key.Sign(t, claims)
	parts := strings.Split(right, ".")
	header := func(h map[string]any) string { return f.key.SignHeader(t, h, claims) }
	attacker := idtokentest.NewKey(t, "RS256", "attacker")
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(alg string) string {
		return idtokentest.Encode([]byte(`{"alg":"`+alg+`","kid":"key-1"}`)) + "." + idtokentest.Encode(text) + "."
	}
	// The public key as the secret of an HMAC, in the forms in which it is published.
	confused := func(secret []byte) string {
		input := strings.TrimSuffix(unsigned("HS256"), ".")
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return input + "." + idtokentest.Encode(mac.Sum(nil))
	}
	set, err := json.Marshal(f.key.JWK())
	if err != nil {
		t.Fatal(err)
	}
	object := func(more string) string {
		return `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"` + more + `}`
	}
	sha := sha512.Sum512(nil)
	for name, raw := range map[string]string{
		"nothing":                    "",
		"text":                       "token",
		"two parts":                  parts[0] + "." + parts[1],
		"four parts":                 right + ".x",
		"an encrypted token":         right + "." + parts[0] + "." + parts[1],
		"blanks":                     " " + right,
		"a line break":               right + "\n",
		"a JSON serialization":       object(""),
		"several signatures":         `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"no signature":               parts[0] + "." + parts[1] + ".",
		"a signature of another":     parts[0] + "." + parts[1] + "." + strings.Split(attacker.Sign(t, claims), ".")[2],
		"a signature of nothing":     parts[0] + "." + parts[1] + "." + idtokentest.Encode(sha[:]),
		"altered claims":             parts[0] + "." + idtokentest.Encode([]byte(strings.Replace(string(text), "subject", "victim", 1))) + "." + parts[2],
		"another key of the same id": attacker.SignHeader(t, map[string]any{"alg": "RS256", "kid": "key-1"}, claims),
		"a key that comes with it": attacker.SignHeader(t, map[string]any{
			"alg": "RS256", "kid": "attacker", "jwk": attacker.JWK(),
		}, claims),
		"a key at another place": attacker.SignHeader(t, map[string]any{
			"alg": "RS256", "kid": "attacker", "jku": "https://canary.example/keys", "x5u": "https://canary.example/cert",
		}, claims), // SS-04
		"alg none":               unsigned("none"),
		"alg None":               unsigned("None"),
		"alg none with a sig":    unsigned("none") + parts[2],
		"alg HS256, of the key":  confused(set),
		"alg HS256, of the kid":  confused([]byte("key-1")),
		"alg HS256, of nothing":  confused(nil),
		"no alg":                 header(map[string]any{"kid": "key-1"}),
		"another alg of the key": f.key.SignHeader(t, map[string]any{"alg": "PS256", "kid": "key-1"}, claims),
		"an alg for a better key": idtokentest.NewRSA(t, "RS512", "key-1", 2048).SignHeader(t,
			map[string]any{"alg": "RS512", "kid": "key-1"}, claims), // the key says that it is for RS256
		"a critical extension":        header(map[string]any{"alg": "RS256", "kid": "key-1", "crit": []string{"exp"}, "exp": 1}),
		"an access token":             header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": "at+jwt"}),
		"a logout token":              header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": "logout+jwt"}),
		"a type that is no text":      header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": 1}),
		"a kid that is no text":       header(map[string]any{"alg": "RS256", "kid": 1}),
		"claims that are a list":      f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, "["+string(text)+"]"),
		"claims and more":             f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, string(text)+"{}"),
		"a claim given twice":         f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, strings.Replace(string(text), "{", `{"sub":"victim",`, 1)),
		"claims that are not UTF-8":   f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, strings.Replace(string(text), "subject", "subj\xff", 1)),
		"a token that is too large":   f.key.Sign(t, f.claims(map[string]any{"x": strings.Repeat("x", 64<<10)})),
		"claims that are not encoded": f.key.SignHeader(t, map[string]any{"alg": "RS256", "kid": "key-1", "b64": false, "crit": []string{"b64"}}, claims),
	} {
		if endpoint, app := f.both(t, raw); endpoint || app {
			t.Errorf("%s: accepted from the token endpoint: %v; from an app: %v", name, endpoint, app)
		}
	}
	if endpoint, app := f.both(t, right); !endpoint || !app {
		t.Error("the right token is refused")
	}
	for _, typ := range []string{"JWT", "jwt"} {
		if endpoint, app := f.both(t, header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": typ})); !endpoint || !app {
			t.Errorf("the type %q is refused", typ)
		}
	}
	for _, r := range f.web.Requests("") {
		if r.URL.String() != jwksURL {
			t.Errorf("a token had %s fetched", r.URL)
		}
	}
}

// An issuer that has said what it signs with is believed, and none is believed that says it with a secret.
func TestAlgorithmsOfTheIssuer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	for _, tt := range []struct {
		algorithms []string
		ok         bool
	}{
		{[]string{"ES256"}, true},
		{[]string{"HS256", "none", "ES256"}, true},
		{[]string{"RS256", "ES384"}, false},
		{[]string{"HS256", "none"}, false},
		{nil, false},
	} {
		before := slices.Clone(tt.algorithms)
		f.verifier.Algorithms = tt.algorithms
		if endpoint, app := f.both(t, f.key.Sign(t, f.claims(nil))); endpoint != tt.ok || app != tt.ok {
			t.Errorf("%q: %v, %v", before, endpoint, app)
		}
		if !slices.Equal(before, tt.algorithms) {
			t.Errorf("%q has become %q", before, tt.algorithms)
		}
	}
}

// OA-22, OA-23, ID-11
func TestProfileOfClaims(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, claims string
		want         provider.Profile
	}{
		{"no address", `{"sub":"s","email_verified":true}`, provider.Profile{Subject: "s"}},
		{"an empty address", `{"sub":"s","email":"","email_verified":true}`, provider.Profile{Subject: "s"}},
		{"a list", `{"sub":"s","email":["a@example.com"],"email_verified":true}`, provider.Profile{Subject: "s"}},
		{
			"verified", `{"sub":"s","email":"a@example.com","email_verified":true}`,
			provider.Profile{Subject: "s", Email: "a@example.com", EmailVerified: true},
		},
		{"no flag", `{"sub":"s","email":"a@example.com"}`, provider.Profile{Subject: "s", Email: "a@example.com"}},
		{
			"a flag of another case", `{"sub":"s","email":"a@example.com","Email_Verified":true}`,
			provider.Profile{Subject: "s", Email: "a@example.com"},
		},
		{"names of another type", `{"sub":"s","name":1,"picture":{"url":"https://idp.example"}}`, provider.Profile{Subject: "s"}},
	} {
		claims, err := idtoken.ParseClaims([]byte(tt.claims))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, claims.Profile()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
	for _, flag := range []string{"false", `"true"`, `"false"`, "1", "0", "[true]", "null", "{}"} {
		claims, err := idtoken.ParseClaims([]byte(`{"sub":"s","email":"a@example.com","email_verified":` + flag + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if claims.Profile().EmailVerified {
			t.Errorf("%s is true", flag)
		}
	}
}
