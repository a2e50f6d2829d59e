package verify_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/verify"
)

const keySetURL = authtest.ServerURL + "/.well-known/jwks.json"

// direct answers requests by a handler, without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// routes are those of an engine.
func routes(t testing.TB, e *authtest.Engine) http.Handler {
	t.Helper()
	h, err := httpadapter.New(e.Engine, httpadapter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	h.Mount(mux, "/v1")
	return mux
}

func newVerifier(t testing.TB, h http.Handler, now func() time.Time, amend ...func(*verify.Options)) *verify.Verifier {
	t.Helper()
	o := verify.Options{HTTPClient: &http.Client{Transport: direct{h}}, Now: now}
	for _, f := range amend {
		f(&o)
	}
	v, err := verify.New(keySetURL, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ed25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// principal is what the engine says of a token, in this package's words.
func principal(p *auth.Principal) *verify.Claims {
	text := func(id uuid.UUID) string {
		if id == uuid.Nil {
			return ""
		}
		return id.String()
	}
	return &verify.Claims{
		UserID: p.UserID.String(), SessionID: text(p.SessionID), TokenID: p.TokenID, Anonymous: p.Anonymous, DefaultRole: p.DefaultRole,
		Roles: p.Roles, Elevated: p.Elevated, ElevatedBy: text(p.ElevatedBy), Scopes: p.Scopes, Custom: p.Claims, AMR: p.AMR,
		AuthTime: p.AuthTime, Expires: p.Expires,
	}
}

// Tokens of every algorithm that has a public key are accepted, and say what they say to the engine. JW-01, JW-03: those with a
// shared secret never are.
func TestVerifySaysWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]auth.Key{
		"the derived key": {}, "RS256": {Private: rsaKey}, "RS384": {Private: rsaKey}, "RS512": {Private: rsaKey, ID: "mine"},
		"EdDSA": {Private: ed25519Key(t), ID: "mine"}, "HS256": {Secret: make([]byte, 64)}, "HS512": {Secret: make([]byte, 64), ID: "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, func(c *auth.Config) {
				if name != "the derived key" {
					key.Algorithm = name
					c.AccessTokens.Keys.Active = key
				}
				c.AccessTokens.Audience = []string{"web", "api"}
				c.AccessTokens.Issuer, c.AccessTokens.ClaimsNamespace = "me", "claims"
				c.Hooks.Claims = hooked
			})
			v := newVerifier(t, routes(t, e), e.Clock.Now, func(o *verify.Options) {
				o.Issuer, o.ClaimsNamespace, o.Audience = "me", "claims", []string{"api"}
			})
			session := e.SignUp(t, "ada@example.com")
			c, err := v.Verify(t.Context(), session.AccessToken)
			if strings.HasPrefix(name, "HS") {
				if !errors.Is(err, verify.ErrInvalidToken) {
					t.Errorf("%+v, %v", c, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := principal(e.Principal(t, session))
			want.Audience, want.IssuedAt = []string{"web", "api"}, e.Clock.Now()
			if diff := cmp.Diff(want, c); diff != "" {
				t.Error(diff)
			}
			if !c.HasRole("user") || c.HasRole("admin") {
				t.Error("HasRole")
			}
			for other, amend := range map[string]func(*verify.Options){
				"another issuer": func(o *verify.Options) { o.Issuer = "you" }, "another audience": func(o *verify.Options) { o.Audience = []string{"admin"} },
				"another namespace": func(o *verify.Options) { o.ClaimsNamespace = "" },
			} {
				v := newVerifier(t, routes(t, e), e.Clock.Now, func(o *verify.Options) { o.Issuer, o.ClaimsNamespace = "me", "claims" }, amend)
				if _, err := v.Verify(t.Context(), session.AccessToken); !errors.Is(err, verify.ErrInvalidToken) {
					t.Errorf("%s: %v", other, err)
				}
			}
		})
	}
}

// JW-02 … JW-18, JW-26: of every token the verifier says what the engine says.
func TestVerifyRefusesWhatTheEngineRefuses(t *testing.T) {
	t.Parallel()
	key := ed25519Key(t)
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys.Active = auth.Key{Algorithm: "EdDSA", Private: key, ID: "k"} })
	v := newVerifier(t, routes(t, e), e.Clock.Now)
	session := e.SignUp(t, "ada@example.com")
	good := session.AccessToken
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding
	payload, err := b64.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	sign := func(header, claims string) string {
		input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims))
		return input + "." + b64.EncodeToString(ed25519.Sign(key, []byte(input)))
	}
	const plain = `{"alg":"EdDSA","typ":"JWT","kid":"k"}`
	header := func(h string) string { return sign(h, string(payload)) }
	text := func(old, with string) string {
		if !strings.Contains(string(payload), old) {
			t.Fatalf("there is no %s in %s", old, payload)
		}
		return sign(plain, strings.Replace(string(payload), old, with, 1))
	}
	claims := func(change func(m, ns map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal(payload, &m); err != nil {
			t.Fatal(err)
		}
		change(m, m["https://hasura.io/jwt/claims"].(map[string]any))
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return sign(plain, string(out))
	}
	with := func(name string, value any) string { return claims(func(m, _ map[string]any) { m[name] = value }) }
	role := func(name string, value any) string { return claims(func(_, ns map[string]any) { ns[name] = value }) }
	hmac := func(secret any) string {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{})
		maps.Copy(token.Header, map[string]any{"kid": "k"})
		s, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := e.Clock.Now().Unix()
	tokens := map[string]string{
		"the token": good, "signed again": header(plain), "its members in another order": header(`{"kid":"k","typ":"JWT","alg":"EdDSA"}`),
		"issued a little ahead": with("iat", now+59), "of another session": with("sid", uuid.NewString()), "of no session": claims(func(m, _ map[string]any) { delete(m, "sid") }),
		"with a custom claim": role("x-hasura-org", "7"), "elevated": role("x-hasura-auth-elevated", session.User.ID.String()),
		"of somebody's elevation": role("x-hasura-auth-elevated", uuid.NewString()), "with an elevation of a key": with("elevated_by", uuid.NewString()),

		"nothing": "", "a bearer": "Bearer " + good, "two segments": parts[0] + "." + parts[1], "four segments": good + ".x", "no signature": parts[0] + "." + parts[1] + ".",
		"a cut signature": good[:len(good)-1], "a padded one": good + "=", "a line end": good + "\n", "dots": strings.Repeat(".", 100_000), "ten megabytes": strings.Repeat("a", 10<<20),
		"another payload": parts[0] + "." + b64.EncodeToString([]byte(strings.Replace(string(payload), `"user"`, `"root"`, 1))) + "." + parts[2],
		"alg none":        b64.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"k"}`)) + "." + parts[1] + ".", "alg none, signed": header(`{"alg":"none","typ":"JWT","kid":"k"}`),
		"another alg": header(`{"alg":"ES256","typ":"JWT","kid":"k"}`), "a symmetric alg": header(`{"alg":"HS256","typ":"JWT","kid":"k"}`), "no alg": header(`{"typ":"JWT","kid":"k"}`),
		"signed with the public key": hmac([]byte(key.Public().(ed25519.PublicKey))), "signed with nothing": hmac([]byte{}),
		"no typ": header(`{"alg":"EdDSA","kid":"k"}`), "another typ": header(`{"alg":"EdDSA","typ":"at+jwt","kid":"k"}`),
		"jku": header(`{"alg":"EdDSA","typ":"JWT","kid":"k","jku":"https://evil.example"}`), "jwk": header(`{"alg":"EdDSA","typ":"JWT","kid":"k","jwk":{}}`),
		"x5u": header(`{"alg":"EdDSA","typ":"JWT","kid":"k","x5u":"https://evil.example"}`), "x5c": header(`{"alg":"EdDSA","typ":"JWT","kid":"k","x5c":["AA"]}`),
		"crit": header(`{"alg":"EdDSA","typ":"JWT","kid":"k","crit":["exp"]}`), "zip": header(`{"alg":"EdDSA","typ":"JWT","kid":"k","zip":"DEF"}`),
		"alg twice": header(`{"alg":"EdDSA","alg":"EdDSA","typ":"JWT","kid":"k"}`), "kid as a number": header(`{"alg":"EdDSA","typ":"JWT","kid":1}`),
		"kid as a path": header(`{"alg":"EdDSA","typ":"JWT","kid":"../../k"}`), "a header with more after": header(plain + "{}"),
		"sub twice": text(`{`, `{"sub":"`+session.User.ID.String()+`",`), "expired": with("exp", now), "no exp": claims(func(m, _ map[string]any) { delete(m, "exp") }),
		"exp as text": with("exp", "9999999999"), "from the future": with("iat", now+61), "not yet": with("nbf", now+61), "another issuer": with("iss", "you"),
		"sub of somebody else": with("sub", uuid.NewString()), "sub of nobody": claims(func(m, ns map[string]any) { m["sub"], ns["x-hasura-user-id"] = uuid.Nil, uuid.Nil }),
		"sub in upper case": claims(func(m, ns map[string]any) {
			u := strings.ToUpper(m["sub"].(string)) + ""
			m["sub"], ns["x-hasura-user-id"] = u, u
		}),
		"sub in braces": claims(func(m, ns map[string]any) {
			u := "{" + m["sub"].(string) + "}"
			m["sub"], ns["x-hasura-user-id"] = u, u
		}),
		"sub without form": claims(func(m, ns map[string]any) {
			m["sub"], ns["x-hasura-user-id"] = strings.Repeat("-", 36), strings.Repeat("-", 36)
		}),
		"no default role": claims(func(_, ns map[string]any) { delete(ns, "x-hasura-default-role") }), "roles as text": role("x-hasura-allowed-roles", "user"),
		"no role claims": claims(func(m, _ map[string]any) { delete(m, "https://hasura.io/jwt/claims") }), "amr as text": with("amr", "pwd"),
		"invalid UTF-8": text(`"user"`, "\"us\xffer\""),
	}
	accepted := 0
	for name, token := range tokens {
		p, refusal := e.Authenticate(t.Context(), token)
		c, err := v.Verify(t.Context(), token)
		if (err == nil) != (refusal == nil) || err != nil && (c != nil || !errors.Is(err, verify.ErrInvalidToken)) {
			t.Errorf("%s: %+v, %v, and the engine says %v", name, c, err, refusal)
			continue
		}
		if err == nil {
			accepted++
			want := principal(p)
			want.IssuedAt = c.IssuedAt
			if diff := cmp.Diff(want, c); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	if accepted != 10 {
		t.Errorf("%d are accepted", accepted)
	}
	// A token without a key id may be of any key to the engine, which has few; its own asymmetric ones always name theirs.
	if _, err := v.Verify(t.Context(), header(`{"alg":"EdDSA","typ":"JWT"}`)); !errors.Is(err, verify.ErrInvalidToken) {
		t.Errorf("no kid: %v", err)
	}
}

// JW-03: a key verifies the algorithm that the set has for it, and no other that its type could.
func TestAKeyHasOneAlgorithm(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys.Active = auth.Key{Algorithm: "RS256", Private: key, ID: "k"} })
	v := newVerifier(t, routes(t, e), e.Clock.Now)
	good := e.SignUp(t, "ada@example.com").AccessToken
	var claims jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(good, &claims); err != nil {
		t.Fatal(err)
	}
	for method, want := range map[jwt.SigningMethod]error{
		jwt.SigningMethodRS256: nil, jwt.SigningMethodRS384: verify.ErrInvalidToken, jwt.SigningMethodRS512: verify.ErrInvalidToken,
	} {
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = "k"
		signed, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), signed); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", method.Alg(), err, want)
		}
	}
}

func TestURLsAndOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "/jwks.json", "http://auth.example/jwks.json", "ftp://auth.example", "https://", "https://user:secret@auth.example/jwks.json",
		"http://169.254.169.254/jwks.json", "https://169.254.169.254/", "https://auth.example/jwks.json#x", "file:///etc/passwd",
	} {
		if _, err := verify.New(url, verify.Options{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"https://auth.example/jwks.json", "http://localhost:8080/jwks.json", "http://127.0.0.1:8080/jwks.json", "http://[::1]/jwks.json"} {
		if _, err := verify.New(url, verify.Options{}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, o := range []verify.Options{{Audience: []string{""}}, {MaxStale: 25 * time.Hour}} {
		if _, err := verify.New(keySetURL, o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// What an importer pays: golang-jwt, and nothing else from outside.
func TestWhatThePackageDependsOn(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		switch {
		case path == "github.com/ostiary/auth/verify", strings.HasPrefix(path, "github.com/golang-jwt/jwt/v5"):
		case strings.HasPrefix(path, "github.com/ostiary/auth/internal/"):
		default:
			t.Errorf("it depends on %s", path)
		}
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	up := true
	inner := routes(t, e)
	v := newVerifier(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		inner.ServeHTTP(w, r)
	}), e.Clock.Now)
	session := e.SignUp(t, "ada@example.com")
	h := v.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, verify.FromContext(r.Context()).UserID)
	}))
	do := func(authorization ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/notes", nil)
		r.Header["Authorization"] = authorization
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	good := "Bearer " + session.AccessToken
	for name, c := range map[string]struct {
		authorization []string
		status        int
		challenge     string
	}{
		"a token":               {[]string{good}, 200, ""},
		"in another case":       {[]string{"bearer " + session.AccessToken}, 200, ""},
		"none":                  {nil, 401, "Bearer"},
		"another scheme":        {[]string{"Basic " + session.AccessToken}, 401, "Bearer"},
		"two":                   {[]string{good, good}, 401, "Bearer"},
		"a token without":       {[]string{session.AccessToken}, 401, "Bearer"},
		"a bad token":           {[]string{good + "x"}, 401, `Bearer error="invalid_token"`},
		"a token with a blank":  {[]string{"Bearer  " + session.AccessToken}, 401, `Bearer error="invalid_token"`},
		"a token, and more":     {[]string{good + ", Basic x"}, 401, `Bearer error="invalid_token"`},
		"an empty bearer token": {[]string{"Bearer "}, 401, `Bearer error="invalid_token"`},
	} {
		w := do(c.authorization...)
		if w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if c.status == 200 && w.Body.String() != session.User.ID.String() {
			t.Errorf("%s: %s", name, w.Body)
		}
		if c.status == 401 && w.Body.String() != `{"status":401,"error":"unauthenticated-user","message":"User is not logged in"}`+"\n" {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	up = false
	e.Clock.Advance(12 * time.Hour)
	if w := do(good); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("without keys: %d", w.Code)
	}
	if verify.FromContext(t.Context()) != nil {
		t.Error("claims of nobody")
	}
}

func FuzzVerify(f *testing.F) {
	e := authtest.New(f)
	v := newVerifier(f, routes(f, e), e.Clock.Now)
	s := e.SignUp(f, "ada@example.com")
	f.Add(s.AccessToken)
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := v.Verify(t.Context(), token)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil && token != s.AccessToken {
			t.Fatalf("a token that was not issued is accepted: %q", token)
		}
	})
}

// parallel calls f n times at once and waits for all.
func parallel(n int, f func()) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			f()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}
