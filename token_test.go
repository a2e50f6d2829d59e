package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

const hmacSecret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// testKeys are made once: RSA keys take their time.
var testKeys = sync.OnceValue(func() (k struct {
	rsa   *rsa.PrivateKey
	ec    *ecdsa.PrivateKey
	ec384 *ecdsa.PrivateKey
	ed    ed25519.PrivateKey
},
) {
	var errs [4]error
	k.rsa, errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.ec384, errs[2] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, k.ed, errs[3] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return k
})

func hs256(c *auth.Config) {
	c.AccessTokens.Keys = auth.Keys{Active: auth.Key{Algorithm: "HS256", Secret: auth.Secret(hmacSecret)}}
}

func authenticate(t *testing.T, e *authtest.Engine, token string) (*auth.Principal, error) {
	t.Helper()
	return e.Authenticate(t.Context(), token)
}

// The documented claims, and those that this library adds.
func TestAccessTokenClaims(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, hs256, unverified, func(c *auth.Config) {
		c.AccessTokens.Issuer = `an "issuer"`
		c.AccessTokens.Audience = []string{"api"}
	})
	in, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := in.Session
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(s.AccessToken, claims, func(*jwt.Token) (any, error) { return []byte(hmacSecret), nil })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"alg": "HS256", "typ": "JWT"}, token.Header); diff != "" {
		t.Errorf("header: %s", diff)
	}
	now := float64(e.Clock.Now().Unix())
	if jti, _ := claims["jti"].(string); len(jti) != 22 {
		t.Errorf("jti %q is not 128 bits", jti)
	}
	want := jwt.MapClaims{
		"sub": s.User.ID.String(), "iss": `an "issuer"`, "aud": "api", "iat": now, "exp": now + 900, "jti": claims["jti"],
		"sid": s.RefreshTokenID.String(), "auth_time": now, "acr": "aal1", "amr": []any{"pwd"},
		"https://hasura.io/jwt/claims": map[string]any{
			"x-hasura-allowed-roles": []any{"me", "user"}, "x-hasura-default-role": "user",
			"x-hasura-user-id": s.User.ID.String(), "x-hasura-user-is-anonymous": "false",
		},
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims: %s", diff)
	}
	p := e.Principal(t, s)
	wantP := &auth.Principal{
		UserID: s.User.ID, SessionID: s.RefreshTokenID, TokenID: claims["jti"].(string), DefaultRole: "user", Roles: []string{"me", "user"},
		AMR: []string{"pwd"}, AuthTime: e.Clock.Now(), Expires: e.Clock.Now().Add(15 * time.Minute),
	}
	if diff := cmp.Diff(wantP, p); diff != "" {
		t.Errorf("principal: %s", diff)
	}
}

// JW-01: every supported algorithm signs tokens that golang-jwt accepts with the published key, and no other.
func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	k := testKeys()
	for name, key := range map[string]auth.Key{
		"HS256": {Secret: auth.Secret(hmacSecret)}, "HS384": {Secret: auth.Secret(hmacSecret)}, "HS512": {Secret: auth.Secret(hmacSecret), ID: "mine"},
		"RS256": {Private: k.rsa}, "RS384": {Private: k.rsa}, "RS512": {Private: k.rsa, ID: "mine"},
		"ES256": {Private: k.ec}, "EdDSA": {Private: k.ed, Public: k.ed.Public()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key.Algorithm = name
			e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys.Active = key })
			s := e.SignUp(t, "ada@example.com")
			e.Principal(t, s)
			public := any([]byte(hmacSecret))
			if key.Private != nil {
				public = key.Private.Public()
			}
			token, err := jwt.Parse(s.AccessToken, func(*jwt.Token) (any, error) { return public, nil }, jwt.WithValidMethods([]string{name}))
			if err != nil {
				t.Fatal(err)
			}
			var set struct {
				Keys []map[string]string `json:"keys"`
			}
			if err := json.Unmarshal(keySetOf(t, e), &set); err != nil || set.Keys == nil {
				t.Fatalf("%s: %v", keySetOf(t, e), err)
			}
			kid, _ := token.Header["kid"].(string)
			if key.Private == nil { // JW-19, W39: no symmetric key is ever published
				if len(set.Keys) != 0 || kid != key.ID {
					t.Errorf("published %v, kid %q", set.Keys, kid)
				}
				return
			}
			if len(set.Keys) != 1 || set.Keys[0]["kid"] != kid || kid == "" || set.Keys[0]["alg"] != name {
				t.Errorf("published %v, kid %q", set.Keys, kid)
			}
		})
	}
}

// JW-02 … JW-18, JW-26, EL-03: a token is what this engine would have issued, or it is nothing. Each row changes one thing of a good token.
func TestVerifyRefusesEveryOtherToken(t *testing.T) {
	t.Parallel()
	k := testKeys()
	e := authtest.New(t, hs256, unverified)
	in, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good := in.Session.AccessToken
	parts := strings.Split(good, ".")
	payload := func() map[string]any {
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	b64 := base64.RawURLEncoding.EncodeToString
	sign := func(header, claims string) string {
		input := b64([]byte(header)) + "." + b64([]byte(claims))
		sig, err := jwt.SigningMethodHS256.Sign(input, []byte(hmacSecret))
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + b64(sig)
	}
	const plain = `{"alg":"HS256","typ":"JWT"}`
	header := func(h string) string { return sign(h, asJSON(payload())) }
	text := func(claims string) string { return sign(plain, claims) }
	claims := func(change func(m, ns map[string]any)) string {
		m := payload()
		change(m, m["https://hasura.io/jwt/claims"].(map[string]any))
		return text(asJSON(m))
	}
	with := func(name string, value any) string { return claims(func(m, _ map[string]any) { m[name] = value }) }
	role := func(name string, value any) string { return claims(func(_, ns map[string]any) { ns[name] = value }) }
	without := func(name string) string { return claims(func(m, _ map[string]any) { delete(m, name) }) }
	signed := func(m jwt.SigningMethod, key any) string {
		s, err := jwt.NewWithClaims(m, jwt.MapClaims(payload())).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := e.Clock.Now().Unix()
	raw := asJSON(payload())

	accepted := map[string]string{
		"the token itself":           good,
		"signed again":               text(raw),
		"with members in any order":  header(`{"typ":"JWT","alg":"HS256"}`),
		"issued a little ahead":      with("iat", now+59),
		"valid from a little ahead":  with("nbf", now+59),
		"with a fraction of time":    with("exp", float64(now)+800.5),
		"with a claim of another":    with("nonce", map[string]any{"a": []any{1}}),
		"with one more role claim":   role("x-hasura-org", "7"),
		"without a session id":       without("sid"),
		"expiring in a second":       with("exp", now+1),
		"with an audience unasked":   with("aud", []string{"a", "b"}),
		"with somebody's elevation":  role("x-hasura-auth-elevated", uuid.NewString()),
		"with true as an elevation":  role("x-hasura-auth-elevated", true),
		"with a list as elevation":   role("x-hasura-auth-elevated", []string{in.Session.User.ID.String()}),
		"with an empty elevation":    role("x-hasura-auth-elevated", ""),
		"with an escaped claim name": text(strings.Replace(raw, `"sub"`, `"su\u0062"`, 1)),
	}
	for name, token := range accepted {
		t.Run("accepted "+name, func(t *testing.T) {
			p, err := authenticate(t, e, token)
			if err != nil {
				t.Fatal(err)
			}
			if p.UserID != in.Session.User.ID || p.Elevated {
				t.Errorf("got %+v", p)
			}
		})
	}
	own := claims(func(m, ns map[string]any) { ns["x-hasura-auth-elevated"] = m["sub"] })
	if p, err := authenticate(t, e, own); err != nil || !p.Elevated {
		t.Errorf("the user's own elevation: %+v, %v", p, err)
	}

	refused := map[string]string{
		"nothing":                       "",
		"a bearer":                      "Bearer " + good,
		"two segments":                  parts[0] + "." + parts[1],
		"four segments":                 good + ".x",
		"five segments":                 good + ".x.y",
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"a cut signature":               good[:len(good)-1],
		"a padded signature":            good + "=",
		"another last character":        good[:len(good)-1] + nextInAlphabet(good[len(good)-1]),
		"a signature in another script": parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"a line end":                    good + "\n",
		"a changed payload":             parts[0] + "." + b64([]byte(strings.Replace(raw, `"user"`, `"admin"`, 1))) + "." + parts[2],
		"a hundred thousand dots":       strings.Repeat(".", 100_000),
		"ten megabytes":                 strings.Repeat("a", 10<<20),

		"alg none":                  b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".",
		"alg None":                  b64([]byte(`{"alg":"None","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"alg none, signed":          header(`{"alg":"none","typ":"JWT"}`),
		"no alg":                    header(`{"typ":"JWT"}`),
		"alg as a number":           header(`{"alg":256,"typ":"JWT"}`),
		"alg in lower case":         header(`{"alg":"hs256","typ":"JWT"}`),
		"another hash":              header(`{"alg":"HS512","typ":"JWT"}`),
		"alg given twice":           header(`{"alg":"HS256","alg":"HS256","typ":"JWT"}`),
		"alg spelt in two ways":     header(`{"alg":"HS256","\u0061lg":"none","typ":"JWT"}`),
		"ALG":                       header(`{"ALG":"HS256","typ":"JWT"}`),
		"no typ":                    header(`{"alg":"HS256"}`),
		"another typ":               header(`{"alg":"HS256","typ":"at+jwt"}`),
		"a state's typ":             header(`{"alg":"HS256","typ":"state"}`),
		"an unknown kid":            header(`{"alg":"HS256","typ":"JWT","kid":"x"}`),
		"kid as a path":             header(`{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}`),
		"kid as a number":           header(`{"alg":"HS256","typ":"JWT","kid":1}`),
		"kid as SQL":                header(`{"alg":"HS256","typ":"JWT","kid":"' or 1=1 --"}`),
		"jwk":                       header(`{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}}`),
		"jku":                       header(`{"alg":"HS256","typ":"JWT","jku":"http://127.0.0.1:1/jwks"}`),
		"x5c":                       header(`{"alg":"HS256","typ":"JWT","x5c":["AA"]}`),
		"x5u":                       header(`{"alg":"HS256","typ":"JWT","x5u":"http://127.0.0.1:1"}`),
		"crit":                      header(`{"alg":"HS256","typ":"JWT","crit":["exp"]}`),
		"b64":                       header(`{"alg":"HS256","typ":"JWT","b64":false}`),
		"zip":                       header(`{"alg":"HS256","typ":"JWT","zip":"DEF"}`),
		"a header that is no JSON":  header(`alg`),
		"a header that is an array": header(`["HS256"]`),
		"a header with more after":  header(plain + `{}`),
		"no header":                 "." + parts[1] + "." + parts[2],

		"an RSA key":               signed(jwt.SigningMethodRS256, k.rsa),
		"an RSA-PSS key":           signed(jwt.SigningMethodPS256, k.rsa),
		"an EC key":                signed(jwt.SigningMethodES256, k.ec),
		"an Ed25519 key":           signed(jwt.SigningMethodEdDSA, k.ed),
		"another secret":           signed(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 64))),
		"the empty secret":         signed(jwt.SigningMethodHS256, []byte{}),
		"a longer hash":            signed(jwt.SigningMethodHS512, []byte(hmacSecret)),
		"forged and expired":       strings.TrimSuffix(with("exp", now-1), "A") + "AA",
		"expired":                  with("exp", now-1),
		"expiring now":             with("exp", now),
		"no exp":                   without("exp"),
		"exp as text":              with("exp", "9999999999"),
		"exp null":                 with("exp", nil),
		"exp zero":                 with("exp", 0),
		"exp negative":             with("exp", -now),
		"exp beyond all years":     with("exp", 1e15),
		"exp beyond all numbers":   text(strings.Replace(raw, `"exp":`, `"exp":1e400,"x":`, 1)),
		"exp as a list":            with("exp", []int64{now + 100}),
		"iat in the future":        with("iat", now+61),
		"nbf in the future":        with("nbf", now+61),
		"nbf as text":              with("nbf", "soon"),
		"another issuer":           with("iss", "hasura-auth.evil"),
		"the issuer in other case": with("iss", "Hasura-Auth"),
		"no issuer":                without("iss"),
		"issuer as a list":         with("iss", []string{"hasura-auth"}),
		"no sub":                   without("sub"),
		"sub in upper case": claims(func(m, ns map[string]any) {
			u := strings.ToUpper(m["sub"].(string)) + ""
			m["sub"], ns["x-hasura-user-id"] = u, u
		}),
		"sub as a URN": claims(func(m, ns map[string]any) {
			u := "urn:uuid:" + m["sub"].(string)
			m["sub"], ns["x-hasura-user-id"] = u, u
		}),
		"sub in braces": claims(func(m, ns map[string]any) {
			u := "{" + m["sub"].(string) + "}"
			m["sub"], ns["x-hasura-user-id"] = u, u
		}),
		"sub without dashes": claims(func(m, ns map[string]any) {
			u := strings.ReplaceAll(m["sub"].(string), "-", "")
			m["sub"], ns["x-hasura-user-id"] = u, u
		}),
		"sub as a number":           with("sub", 1),
		"sub of somebody else":      with("sub", uuid.NewString()),
		"SUB":                       text(strings.Replace(raw, `"sub"`, `"SUB"`, 1)),
		"sub given twice":           text(strings.Replace(raw, `{`, `{"sub":"`+in.Session.User.ID.String()+`",`, 1)),
		"a foreign user id":         role("x-hasura-user-id", uuid.NewString()),
		"no user id":                claims(func(_, ns map[string]any) { delete(ns, "x-hasura-user-id") }),
		"no default role":           claims(func(_, ns map[string]any) { delete(ns, "x-hasura-default-role") }),
		"roles as text":             role("x-hasura-allowed-roles", "user"),
		"roles of numbers":          role("x-hasura-allowed-roles", []int{1}),
		"no role claims":            without("https://hasura.io/jwt/claims"),
		"role claims as a string":   with("https://hasura.io/jwt/claims", "{}"),
		"a session id that isn't":   with("sid", "1"),
		"amr as text":               with("amr", "pwd"),
		"a payload that's an array": text(`[]`),
		"an empty payload":          text(`{}`),
		"a payload with more":       text(raw + `x`),
		"invalid UTF-8":             text(strings.Replace(raw, `"user"`, "\"us\xffer\"", 1)),
		"a lone surrogate":          text(strings.Replace(raw, `"user"`, `"\ud800"`, 1)),
	}
	for name, token := range refused {
		t.Run("refused "+name, func(t *testing.T) {
			p, err := authenticate(t, e, token)
			if p != nil || !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("got %+v, %v", p, err)
			}
			// JW-23: the other way in says the same.
			wantErr(t, e.VerifyToken(t.Context(), auth.VerifyTokenParams{Token: token + map[bool]string{true: "x"}[token == "Bearer "+good]}), auth.ErrInvalidRequest)
		})
	}
	if err := e.VerifyToken(t.Context(), auth.VerifyTokenParams{Token: "Bearer " + good}); err != nil {
		t.Errorf("VerifyToken takes a bearer: %v", err)
	}
}

// nextInAlphabet returns the base64url character whose low bits differ from c's by one: the same bytes to a decoder that is
// not strict.
func nextInAlphabet(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

// JW-03: a public key is not a shared secret.
func TestAPublicKeyIsNoSecret(t *testing.T) {
	t.Parallel()
	k := testKeys()
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys.Active = auth.Key{Algorithm: "RS256", Private: k.rsa} })
	s := e.SignUp(t, "ada@example.com")
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	token, _, err := jwt.NewParser().ParseUnverified(s.AccessToken, claims)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"PEM":          pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"PEM trimmed":  []byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))),
		"DER":          der,
		"PKCS #1":      x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey),
		"the JWKS":     keySetOf(t, e),
		"the modulus":  k.rsa.N.Bytes(),
		"nothing":      {},
		"the key's id": []byte(token.Header["kid"].(string)),
	} {
		for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
			forged := jwt.NewWithClaims(method, claims)
			maps.Copy(forged.Header, map[string]any{"kid": token.Header["kid"]})
			text, err := forged.SignedString(secret)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := authenticate(t, e, text); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s with %s: %v", method.Alg(), name, err)
			}
		}
	}
}

// JW-09
func TestAudience(t *testing.T) {
	t.Parallel()
	issue := authtest.New(t, hs256, func(c *auth.Config) { c.AccessTokens.Audience = []string{"web", "api"} })
	s := issue.SignUp(t, "ada@example.com")
	for name, w := range map[string]struct {
		audience []string
		ok       bool
	}{
		"the same":         {[]string{"web", "api"}, true},
		"one of them":      {[]string{"api"}, true},
		"none asked for":   {nil, true},
		"another":          {[]string{"admin"}, false},
		"a prefix":         {[]string{"ap"}, false},
		"in another case":  {[]string{"API"}, false},
		"another and more": {[]string{"admin", "web2"}, false},
	} {
		e := authtest.New(t, hs256, func(c *auth.Config) { c.AccessTokens.Audience = w.audience })
		if _, err := authenticate(t, e, s.AccessToken); (err == nil) != w.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// JW-19, JW-20, W39: rotation in three steps, and every token is good until it expires.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	key := func() auth.Key {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return auth.Key{Algorithm: "EdDSA", Private: k}
	}
	first, second := key(), key()
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys = auth.Keys{Active: first} })
	published := func() int {
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(keySetOf(t, e), &set); err != nil {
			t.Fatal(err)
		}
		return len(set.Keys)
	}
	set := func(k auth.Keys) {
		t.Helper()
		if err := e.SetKeys(k); err != nil {
			t.Fatal(err)
		}
	}
	before := e.SignUp(t, "ada@example.com")
	set(auth.Keys{Active: first, Next: []auth.Key{second}})
	if published() != 2 {
		t.Errorf("%d keys are published", published())
	}
	first.RetiredAt = e.Clock.Now()
	set(auth.Keys{Active: second, Retired: []auth.Key{first}})
	e.Clock.Advance(time.Minute)
	after := e.SignIn(t, "ada@example.com")
	e.Principal(t, before)
	e.Principal(t, after)
	e.Clock.Advance(14 * time.Minute)
	if published() != 1 {
		t.Errorf("a retired key is still published after its last token has expired")
	}
	set(auth.Keys{Active: second})
	e.Principal(t, after)

	// A key that has left the set verifies nothing, however fresh the token.
	third := key()
	set(auth.Keys{Active: third})
	_, err := authenticate(t, e, after.AccessToken)
	wantErr(t, err, auth.ErrUnauthenticated)

	twice := third
	if err := e.SetKeys(auth.Keys{Active: third, Next: []auth.Key{twice}}); err == nil {
		t.Error("two keys with one id are accepted")
	}
	e.SignIn(t, "ada@example.com") // the refused set has changed nothing
}

// JW-20: keys without an id have one header between them, and each verifies what it signed.
func TestRotationOfSymmetricKeysWithoutIDs(t *testing.T) {
	t.Parallel()
	secrets := []auth.Key{{Algorithm: "HS256", Secret: auth.Secret(hmacSecret)}, {Algorithm: "HS256", Secret: auth.Secret(strings.Repeat("second", 8))}}
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys = auth.Keys{Active: secrets[0]} })
	before := e.SignUp(t, "ada@example.com")
	if err := e.SetKeys(auth.Keys{Active: secrets[1], Retired: secrets[:1]}); err != nil {
		t.Fatal(err)
	}
	e.Principal(t, before)
	e.Principal(t, e.SignIn(t, "ada@example.com"))
	if err := e.SetKeys(auth.Keys{Active: secrets[1]}); err != nil {
		t.Fatal(err)
	}
	_, err := authenticate(t, e, before.AccessToken)
	wantErr(t, err, auth.ErrUnauthenticated)
}

// A token that no verifier would take is not issued: the sign-up fails, and nothing is left of it.
func TestATokenIsNeverTooLargeToVerify(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) {
		c.AccessTokens.CustomClaims = map[string]string{"tags": "metadata.tags[*]"}
	})
	_, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{
		Metadata: json.RawMessage(`{"tags":["` + strings.Repeat("x", 15_000) + `"]}`),
	})
	wantErr(t, err, auth.ErrInvalidRequest)
	if n := userCount(t, e.Store); n != 0 {
		t.Errorf("%d users", n)
	}
}

// JW-12, ST-15
func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	k := testKeys()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]auth.Key{
		"an unknown algorithm":           {Algorithm: "ES512", Private: k.ec},
		"none":                           {Algorithm: "none", Secret: auth.Secret(hmacSecret)},
		"RSA-PSS":                        {Algorithm: "PS256", Private: k.rsa},
		"a short secret":                 {Algorithm: "HS256", Secret: auth.Secret(hmacSecret[:31])},
		"a secret shorter than the hash": {Algorithm: "HS512", Secret: auth.Secret(hmacSecret[:63])},
		"no secret":                      {Algorithm: "HS256"},
		"an RSA key of 1024 bits":        {Algorithm: "RS256", Private: short{k.rsa}},
		"a P-384 key":                    {Algorithm: "ES256", Private: k.ec384},
		"a P-256 key with ES384":         {Algorithm: "ES384", Private: k.ec},
		"an EC key for RS256":            {Algorithm: "RS256", Private: k.ec},
		"an RSA key for HS256":           {Algorithm: "HS256", Secret: auth.Secret(hmacSecret), Private: k.rsa},
		"a secret for RS256":             {Algorithm: "RS256", Secret: auth.Secret(hmacSecret), Private: k.rsa},
		"only the public half":           {Algorithm: "ES256", Public: k.ec.Public()},
		"halves of two keys":             {Algorithm: "ES256", Private: k.ec, Public: other.Public()},
		"a point off the curve":          {Algorithm: "ES256", Private: offCurve{k.ec}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := auth.New(memstore.New(), auth.Config{
				ServerURL: "https://auth.test", ClientURL: "https://app.test", Secret: auth.Secret(hmacSecret),
				Email: auth.EmailConfig{AllowUnverified: true}, AccessTokens: auth.AccessTokensConfig{Keys: auth.Keys{Active: key}},
			})
			if err == nil || !strings.Contains(err.Error(), "AccessTokens.Keys.Active") {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), hmacSecret[:31]) {
				t.Error("the error has the secret in it")
			}
		})
	}
}

// short is a key of 1024 bits, which crypto/rsa would not even make.
type short struct{ *rsa.PrivateKey }

func (k short) Public() crypto.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Rsh(k.N, 1024), E: k.E}
}

type offCurve struct{ *ecdsa.PrivateKey }

func (k offCurve) Public() crypto.PublicKey {
	p := k.PublicKey
	//lint:ignore SA1019 Only a key made of coordinates can be off the curve.
	p.X = new(big.Int).Add(p.X, big.NewInt(1))
	return &p
}

// A key may live elsewhere and only sign.
func TestAKeyMayBeASigner(t *testing.T) {
	t.Parallel()
	k := testKeys()
	for algorithm, signer := range map[string]crypto.Signer{"RS256": k.rsa, "ES256": k.ec, "EdDSA": k.ed} {
		e := authtest.New(t, func(c *auth.Config) {
			c.AccessTokens.Keys.Active = auth.Key{Algorithm: algorithm, Private: remote{signer}}
		})
		for range 20 { // ECDSA: numbers with leading zeros
			e.Principal(t, e.SignUp(t, uuid.NewString()+"@example.com"))
		}
	}
}

type remote struct{ crypto.Signer }

// RT-24, ST-08: a key that fails to sign costs nobody their token or their ticket.
func TestAKeyThatFails(t *testing.T) {
	t.Parallel()
	broken := &breakable{Signer: testKeys().ed}
	e := authtest.New(t, func(c *auth.Config) { c.AccessTokens.Keys.Active = auth.Key{Algorithm: "EdDSA", Private: broken} })
	s := e.SignUp(t, "ada@example.com")
	if _, err := signUp(t, e, "bob@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	ticket := e.Mailbox.Last(t, "bob@example.com").Ticket()
	broken.broken = true
	_, err := refresh(t, e, s.RefreshToken)
	wantErr(t, err, auth.ErrInternal)
	_, err = e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
	wantErr(t, err, auth.ErrInternal)
	_, err = e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	wantErr(t, err, auth.ErrInternal)
	if n := userCount(t, e.Store); n != 2 {
		t.Errorf("%d users", n)
	}
	broken.broken = false
	e.Clock.Advance(time.Hour)
	mustRefresh(t, e, s.RefreshToken)
	if _, err = e.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket}); err != nil {
		t.Error(err)
	}
}

// The documented encodings; JW-21.
func TestCustomClaims(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, unverified, func(c *auth.Config) {
		c.AccessTokens.CustomClaims = map[string]string{
			"plan": "metadata.plan", "X-Hasura-Orgs": "metadata.orgs[]", "Email": "email", "roles": "roles[].role", "missing": "metadata.none", "number": "metadata.number",
			"X-Hasura-Teams": "metadata.orgs[]", "phone": "phoneNumber",
		}
		c.AccessTokens.CustomClaimsDefaults = map[string]any{"plan": "free"}
		c.Hooks.Claims = func(_ context.Context, u *auth.User) (map[string]any, error) {
			return map[string]any{"tenant": []string{`a"b`, `c\d`}, "email": strings.ToUpper(u.Email), "teams": 7}, nil
		}
	})
	in, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{Metadata: json.RawMessage(`{"orgs":["a\"b","c"],"number":123456789012345678.90}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"x-hasura-plan": "free", "X-Hasura-Orgs": `{"a\"b","c"}`, "x-hasura-email": "ADA@EXAMPLE.COM", "x-hasura-roles": `{"me","user"}`,
		"x-hasura-missing": "null", "x-hasura-number": "123456789012345678.90", "x-hasura-tenant": `{"a\"b","c\\d"}`,
		"x-hasura-teams": "7", "x-hasura-phone": "null",
	}
	if diff := cmp.Diff(want, e.Principal(t, in.Session).Claims); diff != "" {
		t.Error(diff)
	}
}

// What a user does not have is null, and not an empty text.
func TestClaimsOfWhatAUserHas(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) {
		c.AccessTokens.CustomClaims = map[string]string{"mail": "email", "phone": "phoneNumber", "data": "metadata"}
	})
	guest, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		session           *auth.Session
		mail, phone, data string
	}{
		"a guest":                {guest.Session, "null", "null", "null"},
		"a user with an address": {e.SignUp(t, "ada@example.com"), "ada@example.com", "null", "null"},
		"a user with a number":   {signUpByPhone(t, e, adaPhone), "null", adaPhone, "null"},
	} {
		want := map[string]string{"x-hasura-mail": tt.mail, "x-hasura-phone": tt.phone, "x-hasura-data": tt.data}
		if diff := cmp.Diff(want, e.Principal(t, tt.session).Claims); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Nobody gets a token in which claims are missing that cannot be made.
func TestClaimsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wrap  func(store.Store) store.Store
		amend func(*auth.Config)
	}{
		"of metadata that are broken": {
			func(s store.Store) store.Store {
				return amended{s, func(u *store.User) { u.Metadata = json.RawMessage(`{"a":`) }}
			},
			func(c *auth.Config) { c.AccessTokens.CustomClaims = map[string]string{"a": "metadata.a"} },
		},
		"of a value without a JSON form": {
			func(s store.Store) store.Store { return s },
			func(c *auth.Config) {
				c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) { return map[string]any{"a": func() {}}, nil }
			},
		},
	} {
		s := memstore.New()
		authtest.NewWithStore(t, s).SignUp(t, "ada@example.com")
		e := authtest.NewWithStore(t, tt.wrap(s), tt.amend)
		in, err := signIn(t, e, "ada@example.com", authtest.Password)
		if !errors.Is(err, auth.ErrInternal) || in != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// amended is a store in which users are something else than was written.
type amended struct {
	store.Store
	change func(*store.User)
}

func (s amended) User(ctx context.Context, q store.UserQuery) (store.Account, error) {
	a, err := s.Store.User(ctx, q)
	s.change(&a.User)
	return a, err
}

func (s amended) ChangeUser(ctx context.Context, c store.UserChange) (store.User, error) {
	u, err := s.Store.ChangeUser(ctx, c)
	s.change(&u)
	return u, err
}

// JW-21: neither the configuration nor a hook can replace what the engine itself says.
func TestBuiltInClaimsCannotBeReplaced(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"user-id", "X-Hasura-User-Id", "x-hasura-allowed-roles", "DEFAULT-ROLE", "auth-elevated", "user-is-anonymous"} {
		c := auth.Config{
			ServerURL: "https://auth.test", ClientURL: "https://app.test", Secret: auth.Secret(hmacSecret), Email: auth.EmailConfig{AllowUnverified: true},
			AccessTokens: auth.AccessTokensConfig{CustomClaims: map[string]string{name: "metadata.x"}},
		}
		if _, err := auth.New(memstore.New(), c); err == nil {
			t.Errorf("%s is accepted as a custom claim", name)
		}
		e := authtest.New(t, func(c *auth.Config) {
			c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) { return map[string]any{name: "x"}, nil }
		})
		_, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
		wantErr(t, err, auth.ErrInternal)
	}
}

// The key configuration that Hasura and the documented server share.
func TestParseHasuraJWTSecret(t *testing.T) {
	t.Parallel()
	k := testKeys()
	der, err := x509.MarshalPKCS8PrivateKey(k.rsa)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	privatePEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	publicPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	for name, text := range map[string]string{
		"HS256":             asJSON(map[string]string{"type": "HS256", "key": hmacSecret, "issuer": "me", "claims_namespace": "ns"}),
		"RS256":             asJSON(map[string]string{"type": "RS256", "key": publicPEM, "signing_key": privatePEM, "kid": "one"}),
		"RS512 in one line": asJSON(map[string]string{"type": "RS512", "key": strings.ReplaceAll(publicPEM, "\n", `\n`), "signing_key": strings.ReplaceAll(privatePEM, "\n", `\n`)}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens, err := auth.ParseHasuraJWTSecret(text)
			if err != nil {
				t.Fatal(err)
			}
			e := authtest.New(t, func(c *auth.Config) { c.AccessTokens = tokens })
			e.Principal(t, e.SignUp(t, "ada@example.com"))
		})
	}
	for name, text := range map[string]string{
		"nothing":            ``,
		"no object":          `"` + hmacSecret + `"`,
		"no type":            asJSON(map[string]string{"key": hmacSecret}),
		"no key":             `{"type":"HS256"}`,
		"a short key":        `{"type":"HS256","key":"short"}`,
		"no signing key":     asJSON(map[string]string{"type": "RS256", "key": publicPEM}),
		"a key of a number":  `{"type":"HS256","key":1}`,
		"another public key": asJSON(map[string]string{"type": "RS256", "key": publicPEM[:len(publicPEM)/2], "signing_key": privatePEM}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := auth.ParseHasuraJWTSecret(text); err == nil || strings.Contains(err.Error(), hmacSecret) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// JW-20 of the documented server's users: a token that it issued, which names neither a session nor a token id, is good here.
func TestATokenOfTheDocumentedServerIsAccepted(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, hs256)
	id := uuid.NewString()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": id, "iss": "hasura-auth", "iat": e.Clock.Now().Unix(), "exp": e.Clock.Now().Add(time.Minute).Unix(),
		"https://hasura.io/jwt/claims": map[string]any{
			"x-hasura-allowed-roles": []string{"me", "user"}, "x-hasura-default-role": "user", "x-hasura-user-id": id, "x-hasura-user-is-anonymous": "false",
		},
	}).SignedString([]byte(hmacSecret))
	if err != nil {
		t.Fatal(err)
	}
	p, err := authenticate(t, e, token)
	if err != nil || p.UserID.String() != id || p.SessionID != uuid.Nil {
		t.Errorf("got %+v, %v", p, err)
	}
}

func FuzzAuthenticate(f *testing.F) {
	// The key is new in every process: what another one has signed is as good as forged.
	e := authtest.New(f)
	s := e.SignUp(f, "ada@example.com")
	f.Add(s.AccessToken)
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := e.Authenticate(t.Context(), token)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err == nil && token != s.AccessToken {
			t.Fatalf("a token that was not issued is accepted: %q", token)
		}
	})
}

// keySetOf is the published key set.
func keySetOf(t *testing.T, e *authtest.Engine) json.RawMessage {
	t.Helper()
	set, err := e.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type breakable struct {
	crypto.Signer
	broken bool
}

func (s *breakable) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.broken {
		return nil, errors.New("the key service is down")
	}
	return s.Signer.Sign(r, digest, o)
}
