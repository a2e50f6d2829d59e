package idtoken_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
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

// both checks a token in both ways. It returns why it is refused, which says nothing of what is in it.
func (f *fixture) both(t testing.TB, raw string) (endpoint, app error) {
	t.Helper()
	for err, check := range map[*error]func(testing.TB, string) (idtoken.Claims, error){&endpoint: f.fromTokenEndpoint, &app: f.fromApp} {
		var claims idtoken.Claims
		claims, *err = check(t, raw)
		switch e := *err; {
		case (e == nil) == (claims == nil):
			t.Errorf("%v beside %v", claims, e)
		case e != nil && (len(raw) > 100 && strings.Contains(e.Error(), raw) || len(e.Error()) > 300):
			t.Errorf("the error says too much: %.400v", e)
		}
	}
	return endpoint, app
}

// refused reports whether err is about what is said, or there is none if nothing is.
func refused(err error, why string) bool {
	if err == nil || why == "" {
		return (err == nil) == (why == "")
	}
	return strings.HasPrefix(err.Error(), "id token refused: ") && strings.Contains(err.Error(), why)
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
		if endpoint, app := f.both(t, f.key.Sign(t, f.claims(nil))); endpoint != nil || app != nil {
			t.Errorf("%s: %v, %v", alg, endpoint, app)
		}
	}
}

// ID-03, ID-05, ID-06, ID-09, OA-16: one claim is changed at a time.
func TestClaims(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("nonce"))
	hashed := hex.EncodeToString(hash[:])
	// Why a token is refused: at the token endpoint, and of an app.
	both := [2]string{}
	client := func(why string) [2]string { return [2]string{why, ""} }
	neither := func(why string) [2]string { return [2]string{why, why} }
	const (
		someone = "it is of another issuer"
		other   = "it is for another client"
		others  = "it is for others"
		nobody  = "it does not say for whom it is"
		party   = "it was issued to another client"
		nonce   = "it has another nonce"
		none    = "there is no subject"
		odd     = "the subject has characters"
		form    = "it is not an id token"
		expired = "it has expired"
		expiry  = `"exp" is not a time`
		issued  = `"iat" is not a time`
	)
	f := newFixture(t, "ES256")
	now := f.clock.Now()
	list := func(s ...string) []string { return s }
	for _, tt := range []struct {
		name    string
		changes map[string]any
		why     [2]string
	}{
		{"another issuer", map[string]any{"iss": "https://evil.example"}, neither(someone)},
		{"the issuer with a slash", map[string]any{"iss": issuer + "/"}, neither(someone)},
		{"the issuer in capitals", map[string]any{"iss": "HTTPS://IDP.EXAMPLE"}, neither(someone)},
		{"no issuer", map[string]any{"iss": nil}, neither(someone)},
		{"two issuers", map[string]any{"iss": list(issuer, "https://evil.example")}, neither(form)},
		{"an issuer of another case of name", map[string]any{"iss": nil, "Iss": issuer}, neither(someone)},

		{"another audience", map[string]any{"aud": "other"}, [2]string{other, others}},
		{"no audience", map[string]any{"aud": nil}, neither(nobody)},
		{"an empty audience", map[string]any{"aud": ""}, neither(nobody)},
		{"an empty list of audiences", map[string]any{"aud": []string{}}, neither(nobody)},
		{"an audience that is a number", map[string]any{"aud": 1}, neither(form)},
		{"a list of one", map[string]any{"aud": list("client")}, both},
		{"a list with a number", map[string]any{"aud": []any{"client", 1}}, neither(form)},
		{"a sister's audience", map[string]any{"aud": "sister"}, client(other)},
		{"an audience of another case", map[string]any{"aud": "Client"}, [2]string{other, others}},
		{"an audience of another case of name", map[string]any{"aud": "other", "Aud": "client"}, [2]string{other, others}},
		{"two audiences, of which one is nobody's", map[string]any{"aud": list("client", "other"), "azp": "client"}, neither(others)},
		{"two audiences without azp", map[string]any{"aud": list("client", "sister")}, neither("it is for several clients")},
		{"two audiences, issued to this client", map[string]any{"aud": list("client", "sister"), "azp": "client"}, both},
		{"two audiences, issued to a sister", map[string]any{"aud": list("client", "sister"), "azp": "sister"}, client(party)},
		{"issued to this client", map[string]any{"azp": "client"}, both},
		{"issued to a sister", map[string]any{"azp": "sister"}, client(party)},
		{"issued to another client", map[string]any{"azp": "other"}, neither(party)},
		{"issued to nobody", map[string]any{"azp": ""}, neither(party)},
		{"issued to a number", map[string]any{"azp": 1}, neither(party)},

		{"no nonce", map[string]any{"nonce": nil}, neither(nonce)},
		{"another nonce", map[string]any{"nonce": "other"}, neither(nonce)},
		{"an empty nonce", map[string]any{"nonce": ""}, neither(nonce)},
		{"a nonce that is a list", map[string]any{"nonce": list("nonce")}, neither(form)},
		{"a hashed nonce", map[string]any{"nonce": hashed}, client(nonce)},
		{"a nonce hashed in capitals", map[string]any{"nonce": strings.ToUpper(hashed)}, neither(nonce)},

		{"no subject", map[string]any{"sub": nil}, neither(none)},
		{"an empty subject", map[string]any{"sub": ""}, neither(none)},
		{"a subject of blanks", map[string]any{"sub": "  "}, neither(none)},
		{"a subject that is a number", map[string]any{"sub": 12345}, neither(form)},
		{"a subject that is a list", map[string]any{"sub": list("subject")}, neither(form)},
		{"a subject of 255", map[string]any{"sub": strings.Repeat("x", 255)}, both},
		{"a subject of 256", map[string]any{"sub": strings.Repeat("x", 256)}, neither("the subject is too long")},
		{"a subject with a blank", map[string]any{"sub": "a ~"}, both},
		{"a subject with a control character", map[string]any{"sub": "a\x1f"}, neither(odd)},
		{"a subject with the last control character", map[string]any{"sub": "a\x7f"}, neither(odd)},
		{"a subject with a line break", map[string]any{"sub": "a\r\nb"}, neither(odd)},
		{"a subject beyond ASCII", map[string]any{"sub": "søren"}, neither(odd)},
		{"a subject of another case of name", map[string]any{"sub": nil, "SUB": "subject"}, neither(none)},

		{"no expiry", map[string]any{"exp": nil}, neither(expired)},
		{"expired now", map[string]any{"exp": now.Unix()}, neither(expired)},
		{"expired a second ago", map[string]any{"exp": now.Unix() - 1}, neither(expired)},
		{"expiring in a second", map[string]any{"exp": now.Unix() + 1}, both},
		{"an expiry with a fraction", map[string]any{"exp": float64(now.Unix()) + 1.5}, both},
		{"an expiry that is text", map[string]any{"exp": "9999999999"}, neither(expiry)},
		{"a negative expiry", map[string]any{"exp": -1}, neither(expired)},
		{"an expiry beyond all clocks", map[string]any{"exp": json.Number("1e300")}, neither(": ")}, // which integer it becomes depends on the machine
		{"the last expiry", map[string]any{"exp": 1 << 40}, both},
		{"an expiry after the last", map[string]any{"exp": 1<<40 + 1}, neither(expiry)},
		{"an expiry of another case of name", map[string]any{"exp": nil, "Exp": now.Unix() + 60}, neither(expiry)},
		{"not valid yet", map[string]any{"nbf": now.Add(time.Hour).Unix()}, neither("not valid yet")},
		{"valid since", map[string]any{"nbf": now.Unix()}, both},
		{"not said when", map[string]any{"iat": nil}, neither(issued)},
		{"issued in a minute", map[string]any{"iat": now.Add(time.Minute).Unix()}, both},
		{"issued in more than a minute", map[string]any{"iat": now.Add(61 * time.Second).Unix()}, neither("it is of the future")},
		{"issued before there were clocks", map[string]any{"iat": -1}, neither(issued)},
		{"issued at the first second", map[string]any{"iat": 0}, both},
		{"issued at a time that is text", map[string]any{"iat": "now"}, neither(form)},

		{"distributed claims", map[string]any{
			"_claim_names":   map[string]string{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://canary.example/"}},
		}, both}, // SS-04
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			endpoint, inApp := f.both(t, f.key.Sign(t, f.claims(tt.changes)))
			if !refused(endpoint, tt.why[0]) || !refused(inApp, tt.why[1]) {
				t.Errorf("from the token endpoint: %v; from an app: %v; want: %q", endpoint, inApp, tt.why)
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
	const (
		unsignedToken = "it is not a signed token"
		noIDToken     = "it is not an id token"
		stranger      = "it is not signed by a key of the issuer"
		anotherType   = "it is of another type"
		noObject      = "the claims are not one JSON object"
	)
	for name, tt := range map[string]struct{ raw, why string }{
		"nothing":                    {"", unsignedToken},
		"text":                       {"token", unsignedToken},
		"two parts":                  {parts[0] + "." + parts[1], unsignedToken},
		"four parts":                 {right + ".x", unsignedToken},
		"an encrypted token":         {right + "." + parts[0] + "." + parts[1], unsignedToken},
		"blanks":                     {" " + right, unsignedToken},
		"a line break":               {right + "\n", unsignedToken},
		"a JSON serialization":       {object(""), unsignedToken},
		"several signatures":         {`{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`, unsignedToken},
		"no signature":               {parts[0] + "." + parts[1] + ".", unsignedToken},
		"a signature of another":     {parts[0] + "." + parts[1] + "." + strings.Split(attacker.Sign(t, claims), ".")[2], stranger},
		"a signature of nothing":     {parts[0] + "." + parts[1] + "." + idtokentest.Encode(sha[:]), stranger},
		"altered claims":             {parts[0] + "." + idtokentest.Encode([]byte(strings.Replace(string(text), "subject", "victim", 1))) + "." + parts[2], stranger},
		"another key of the same id": {attacker.SignHeader(t, map[string]any{"alg": "RS256", "kid": "key-1"}, claims), stranger},
		"a key that comes with it": {attacker.SignHeader(t, map[string]any{
			"alg": "RS256", "kid": "attacker", "jwk": attacker.JWK(),
		}, claims), stranger},
		"a key at another place": {attacker.SignHeader(t, map[string]any{
			"alg": "RS256", "kid": "attacker", "jku": "https://canary.example/keys", "x5u": "https://canary.example/cert",
		}, claims), stranger}, // SS-04
		"alg none":               {unsigned("none"), unsignedToken},
		"alg None":               {unsigned("None"), unsignedToken},
		"alg none with a sig":    {unsigned("none") + parts[2], noIDToken},
		"alg HS256, of the key":  {confused(set), noIDToken},
		"alg HS256, of the kid":  {confused([]byte("key-1")), noIDToken},
		"alg HS256, of nothing":  {confused(nil), noIDToken},
		"no alg":                 {header(map[string]any{"kid": "key-1"}), noIDToken},
		"another alg of the key": {f.key.SignHeader(t, map[string]any{"alg": "PS256", "kid": "key-1"}, claims), stranger},
		"an alg for a better key": {idtokentest.NewRSA(t, "RS512", "key-1", 2048).SignHeader(t,
			map[string]any{"alg": "RS512", "kid": "key-1"}, claims), stranger}, // the key says that it is for RS256
		"a critical extension":        {header(map[string]any{"alg": "RS256", "kid": "key-1", "crit": []string{"exp"}, "exp": 1}), stranger},
		"an access token":             {header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": "at+jwt"}), anotherType},
		"a logout token":              {header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": "logout+jwt"}), anotherType},
		"a type that is no text":      {header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": 1}), anotherType},
		"a kid that is no text":       {header(map[string]any{"alg": "RS256", "kid": 1}), noIDToken},
		"claims that are a list":      {f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, "["+string(text)+"]"), noIDToken},
		"claims and more":             {f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, string(text)+"{}"), noIDToken},
		"a claim given twice":         {f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, strings.Replace(string(text), "{", `{"sub":"victim",`, 1)), noObject},
		"claims that are not UTF-8":   {f.key.SignText(t, `{"alg":"RS256","kid":"key-1"}`, strings.Replace(string(text), "subject", "subj\xff", 1)), noObject},
		"a token that is too large":   {f.key.Sign(t, f.claims(map[string]any{"x": strings.Repeat("x", 64<<10)})), unsignedToken},
		"claims that are not encoded": {f.key.SignHeader(t, map[string]any{"alg": "RS256", "kid": "key-1", "b64": false, "crit": []string{"b64"}}, claims), stranger},
	} {
		if endpoint, app := f.both(t, tt.raw); !refused(endpoint, tt.why) || !refused(app, tt.why) {
			t.Errorf("%s: from the token endpoint: %v; from an app: %v; want: %q", name, endpoint, app, tt.why)
		}
	}
	if endpoint, app := f.both(t, right); endpoint != nil || app != nil {
		t.Error("the right token is refused")
	}
	for _, typ := range []string{"JWT", "jwt"} {
		if endpoint, app := f.both(t, header(map[string]any{"alg": "RS256", "kid": "key-1", "typ": typ})); endpoint != nil || app != nil {
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
		why        string
	}{
		{[]string{"ES256"}, ""},
		{[]string{"HS256", "none", "ES256"}, ""},
		{[]string{"RS256", "ES384"}, "it is not an id token"},
		{[]string{"HS256", "none"}, "no algorithm that is good enough"},
		{nil, "no algorithm that is good enough"},
	} {
		before := slices.Clone(tt.algorithms)
		f.verifier.Algorithms = tt.algorithms
		if endpoint, app := f.both(t, f.key.Sign(t, f.claims(nil))); !refused(endpoint, tt.why) || !refused(app, tt.why) {
			t.Errorf("%q: %v, %v", before, endpoint, app)
		}
		if !slices.Equal(before, tt.algorithms) {
			t.Errorf("%q has become %q", before, tt.algorithms)
		}
	}
}

// A token has the length that it may have, and none that is longer is looked at.
func TestLengthOfATokenIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	for n, why := range map[int]string{64 << 10: "", 64<<10 + 1: "it is not a signed token"} {
		// Three lengths of the header in turn: base64 has no text of every length.
		for blanks := range 3 {
			header := `{"alg":"ES256","kid":"key-1"}` + strings.Repeat(" ", blanks)
			claims, err := json.Marshal(f.claims(nil))
			if err != nil {
				t.Fatal(err)
			}
			rest := n - len(f.key.SignText(t, header, ""))
			size := base64.RawURLEncoding.DecodedLen(rest)
			if base64.RawURLEncoding.EncodedLen(size) != rest {
				continue
			}
			raw := f.key.SignText(t, header, string(claims)+strings.Repeat(" ", size-len(claims)))
			if len(raw) != n {
				t.Fatalf("a token of %d bytes", len(raw))
			}
			if endpoint, app := f.both(t, raw); !refused(endpoint, why) || !refused(app, why) {
				t.Errorf("%d bytes: %v, %v", n, endpoint, app)
			}
			n = 0
			break
		}
		if n != 0 {
			t.Errorf("there is no token of %d bytes", n)
		}
	}
}

// Times are those of the caller's clock, whatever the machine's says.
func TestTheClockIsTheCallers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ES256")
	for _, years := range []int{-20, 40} {
		f.clock.Advance(time.Duration(years) * 365 * 24 * time.Hour)
		if endpoint, app := f.both(t, f.key.Sign(t, f.claims(nil))); endpoint != nil || app != nil {
			t.Errorf("%v: %v, %v", f.clock.Now(), endpoint, app)
		}
	}
}

// An issuer without a name is not one that the token does not name.
func TestIssuersHaveNames(t *testing.T) {
	t.Parallel()
	for _, claims := range []idtoken.Claims{{}, {"iss": 1}, {"iss": nil}} {
		if idtoken.IssuedBy(issuer, "")(claims) {
			t.Errorf("%v is of an issuer", claims)
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
