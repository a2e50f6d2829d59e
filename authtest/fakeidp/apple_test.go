package fakeidp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest/fakeidp"
)

// appleApp is an application of Sign in with Apple. It proves itself with a token of the secret's.
type appleApp struct {
	*app
	key *ecdsa.PrivateKey
}

func newAppleApp(t testing.TB) *appleApp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, func(c *fakeidp.Client) {
		c.Apple = &fakeidp.Apple{TeamID: "TEAM", KeyID: "KEY", PublicKey: &key.PublicKey}
	})
	a.SetIssuer("https://appleid.apple.com")
	return &appleApp{a, key}
}

func (a *appleApp) claims() jwt.MapClaims {
	now := a.clock.Now()
	return jwt.MapClaims{
		"iss": "TEAM", "sub": a.client.ID, "aud": "https://appleid.apple.com", "iat": now.Unix(), "exp": now.Add(180 * 24 * time.Hour).Unix(),
	}
}

func (a *appleApp) secret(t testing.TB, claims jwt.MapClaims, amend func(*jwt.Token) any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "KEY"
	var key any = a.key
	if amend != nil {
		key = amend(token)
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (a *appleApp) callback(t testing.TB, pairs ...string) url.Values {
	t.Helper()
	honest := []string{"response_type", "code id_token", "response_mode", "form_post", "scope", "name email"}
	callback := a.Visit(t, a.authorizationURL(append(honest, pairs...)...), a.ada)
	if callback.Method != http.MethodPost {
		t.Fatalf("the browser comes back with %s %s", callback.Method, callback.URL)
	}
	return callback.Form
}

func TestAppleTellsTheNameAtTheFirstConsent(t *testing.T) {
	t.Parallel()
	a := newAppleApp(t)
	first := a.callback(t)
	if want := `{"name":{"firstName":"Ada","lastName":"Lovelace"},"email":"ada@example.com"}`; first.Get("user") != want {
		t.Errorf("user = %s, want %s", first.Get("user"), want)
	}
	if first.Get("state") != "the state" || first.Has("iss") {
		t.Errorf("form = %v", first)
	}
	front, err := a.verify(t, first.Get("id_token"))
	if err != nil {
		t.Fatal(err)
	}
	if front["c_hash"] == nil || front["email"] != "ada@example.com" || front["name"] != nil {
		t.Errorf("id token of the callback = %v", front)
	}
	status, tokens := a.redeem(t, first.Get("code"), "client_id", a.client.ID, "client_secret", a.secret(t, a.claims(), nil))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, tokens)
	}
	if back, err := a.verify(t, tokens["id_token"]); err != nil || back["sub"] != "ada" {
		t.Errorf("id token of the token endpoint = %v, %v", back, err)
	}
	if second := a.callback(t); second.Has("user") {
		t.Errorf("user is told once more: %v", second)
	}

	a.ada = a.Account(fakeidp.Account{Email: "x@example.com", Name: "Plato"})
	var user jsonObject
	if err := json.Unmarshal([]byte(a.callback(t, "scope", "name", "nonce", "-").Get("user")), &user); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(jsonObject{"name": jsonObject{"firstName": "Plato", "lastName": ""}}, user); diff != "" {
		t.Errorf("user of the scope name (-want +got)\n%s", diff)
	}
	a.ada = a.Account(fakeidp.Account{})
	if form := a.callback(t); form.Has("user") {
		t.Errorf("there is nothing to tell, and user is %s", form.Get("user"))
	}
}

func TestAppleSendsAFormIfItTellsAnything(t *testing.T) {
	t.Parallel()
	a := newAppleApp(t)
	values := a.Visit(t, a.authorizationURL("scope", "name"), a.ada).Values()
	if values.Get("error") != "invalid_request" {
		t.Errorf("with a scope and no form_post: %v", values)
	}
	values = a.Visit(t, a.authorizationURL("scope", "-"), a.ada).Values()
	if values.Get("code") == "" || values.Has("user") {
		t.Errorf("without a scope: %v", values)
	}
}

func TestAppleChecksTheClientSecret(t *testing.T) {
	t.Parallel()
	a := newAppleApp(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func() string {
		return func() string {
			claims := a.claims()
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
			return a.secret(t, claims, nil)
		}
	}
	signed := func(amend func(*jwt.Token) any) func() string {
		return func() string { return a.secret(t, a.claims(), amend) }
	}
	now := a.clock.Now()
	for name, secret := range map[string]func() string{
		"none":             func() string { return "" },
		"text":             func() string { return "secret" },
		"another team":     claim("iss", "ANOTHER"),
		"no team":          claim("iss", nil),
		"another client":   claim("sub", "another"),
		"no client":        claim("sub", nil),
		"another audience": claim("aud", "https://example.com"),
		"no audience":      claim("aud", nil),
		"no end":           claim("exp", nil),
		"ended":            claim("exp", now.Unix()),
		"seven months":     claim("exp", now.Add(210*24*time.Hour).Unix()),
		"no begin":         claim("iat", nil),
		"begins later":     claim("iat", now.Add(time.Minute).Unix()),
		"another key":      signed(func(*jwt.Token) any { return other }),
		"another key's name": signed(func(token *jwt.Token) any {
			token.Header["kid"] = "ANOTHER"
			return a.key
		}),
		"no key's name": signed(func(token *jwt.Token) any {
			delete(token.Header, "kid")
			return a.key
		}),
		"no signature": signed(func(token *jwt.Token) any {
			token.Method, token.Header["alg"] = jwt.SigningMethodNone, "none"
			return jwt.UnsafeAllowNoneSignatureType
		}),
	} {
		form := []string{"client_id", a.client.ID, "client_secret", secret()}
		if status, answer := a.redeem(t, a.callback(t).Get("code"), form...); status != http.StatusUnauthorized || answer["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}

	a.client.Secret = a.secret(t, a.claims(), nil)
	if status, answer := a.redeem(t, a.callback(t).Get("code")); status != http.StatusUnauthorized {
		t.Errorf("in the header: %d %v", status, answer)
	}
	keyless := a.client
	keyless.Apple = &fakeidp.Apple{TeamID: "TEAM", KeyID: "KEY"}
	a.Client(keyless)
	status, answer := a.redeem(t, "code", "client_id", a.client.ID, "client_secret", a.client.Secret)
	if status != http.StatusUnauthorized || !strings.Contains(answer["error_description"].(string), "no key") {
		t.Errorf("without a key: %d %v", status, answer)
	}
}
