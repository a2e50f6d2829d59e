package fakeidp_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest/fakeidp"
)

func TestDiscoveryLeadsToEveryEndpoint(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	_, found := a.get(t, fakeidp.Discovery, nil)
	for name, path := range map[string]string{
		"issuer": "", "authorization_endpoint": fakeidp.Authorization, "token_endpoint": fakeidp.Token,
		"userinfo_endpoint": fakeidp.Userinfo, "jwks_uri": fakeidp.Keys,
	} {
		if found[name] != a.URL()+path {
			t.Errorf("%s is %v", name, found[name])
		}
	}
	if found["authorization_response_iss_parameter_supported"] != true || !cmp.Equal(found["code_challenge_methods_supported"], []any{"S256"}) {
		t.Errorf("discovery = %v", found)
	}
}

func TestIDTokensAreSignedWithEveryAlgorithm(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			if err := a.RotateKey(algorithm); err != nil {
				t.Fatal(err)
			}
			values := a.Visit(t, a.authorizationURL("response_type", "code id_token", "response_mode", "form_post"), a.ada).Values()
			front, err := a.verify(t, values.Get("id_token"))
			if err != nil {
				t.Fatal(err)
			}
			_, tokens := a.redeem(t, values.Get("code"))
			back, err := a.verify(t, tokens["id_token"])
			if err != nil {
				t.Fatal(err)
			}
			if header := headerOf(t, tokens["id_token"]); header["alg"] != algorithm || header["kid"] != "2" {
				t.Errorf("header = %v", header)
			}
			if front["c_hash"] != halfHash(algorithm, values.Get("code")) || back["at_hash"] != halfHash(algorithm, tokens["access_token"].(string)) {
				t.Errorf("c_hash = %v, at_hash = %v", front["c_hash"], back["at_hash"])
			}
			now := float64(a.clock.Now().Unix())
			want := jsonObject{
				"iss": a.URL(), "aud": a.client.ID, "sub": "ada", "nonce": nonce, "iat": now, "exp": now + 600, "auth_time": now,
				"email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace", "picture": "https://example.com/ada.png",
				"at_hash": back["at_hash"],
			}
			if diff := cmp.Diff(want, jsonObject(back)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if newApp(t).RotateKey("none") == nil {
		t.Error("there is a key of no algorithm")
	}
}

func halfHash(algorithm, of string) string {
	sum := sha256.Sum256([]byte(of))
	half := sum[:16]
	if algorithm == "EdDSA" {
		sum := sha512.Sum512([]byte(of))
		half = sum[:32]
	}
	return base64.RawURLEncoding.EncodeToString(half)
}

func headerOf(t testing.TB, idToken any) jsonObject {
	t.Helper()
	return part(t, idToken, 0)
}

// part decodes a part of a token.
func part(t testing.TB, token any, i int) (object jsonObject) {
	t.Helper()
	parts := strings.Split(token.(string), ".")
	if len(parts) != 3 {
		t.Fatalf("%v is no token", token)
	}
	if err := json.Unmarshal(unbase64(t, parts[i]), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestTheScopeDecidesWhatIsTold(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for scope, want := range map[string]jsonObject{
		"openid":         {"sub": "ada"},
		"openid email":   {"sub": "ada", "email": "ada@example.com", "email_verified": true},
		"openid profile": {"sub": "ada", "name": "Ada Lovelace", "picture": "https://example.com/ada.png"},
	} {
		tokens := a.tokens(t, "scope", scope)
		_, info := a.get(t, fakeidp.Userinfo, tokens["access_token"])
		if diff := cmp.Diff(want, info); diff != "" {
			t.Errorf("userinfo with the scope %s (-want +got)\n%s", scope, diff)
		}
		claims, err := a.verify(t, tokens["id_token"])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"sub", "email", "email_verified", "name", "picture"} {
			if claims[name] != want[name] {
				t.Errorf("with the scope %s the id token says that %s is %v", scope, name, claims[name])
			}
		}
	}
	plain := a.tokens(t, "scope", "email", "nonce", "-")
	if plain["id_token"] != nil {
		t.Error("there is an id token without the scope openid")
	}
	if status, info := a.get(t, fakeidp.Userinfo, plain["access_token"]); status != http.StatusForbidden || info["error"] != "insufficient_scope" {
		t.Errorf("userinfo without the scope openid: %d %v", status, info)
	}
	if status, info := a.get(t, fakeidp.Userinfo, nil); status != http.StatusUnauthorized {
		t.Errorf("userinfo without a token: %d %v", status, info)
	}
}

func TestExtraClaimsAreToldAsTheyAre(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	extra := map[string]any{"email_verified": "true", "groups": []any{"staff"}}
	a.ada = a.Account(fakeidp.Account{Subject: "ada", Email: "ada@example.com", EmailVerified: true, Extra: extra})
	extra["groups"] = "changed later"
	tokens := a.tokens(t, "scope", "openid email")
	claims, err := a.verify(t, tokens["id_token"])
	if err != nil {
		t.Fatal(err)
	}
	_, info := a.get(t, fakeidp.Userinfo, tokens["access_token"])
	for _, told := range []jsonObject{jsonObject(claims), info} {
		if told["email_verified"] != "true" || !cmp.Equal(told["groups"], []any{"staff"}) {
			t.Errorf("told = %v", told)
		}
	}
}

func TestUserinfoCanBeAnything(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Profile(fakeidp.Userinfo, func(account fakeidp.Account) any { return jsonObject{"id": 0, "login": account.Name} })
	if _, info := a.get(t, fakeidp.Userinfo, a.tokens(t)["access_token"]); info["login"] != "Ada Lovelace" || info["sub"] != nil {
		t.Errorf("userinfo = %v", info)
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.tokens(t)["id_token"]
	if err := a.RotateKey("ES256"); err != nil {
		t.Fatal(err)
	}
	second := a.tokens(t)["id_token"]
	for _, token := range []any{first, second} {
		if _, err := a.verify(t, token); err != nil {
			t.Errorf("with both keys: %v", err)
		}
	}
	a.DropOldKeys()
	if _, err := a.verify(t, first); err == nil {
		t.Error("a key that was dropped is still there")
	}
	if _, err := a.verify(t, second); err != nil {
		t.Errorf("the key that signs was dropped: %v", err)
	}
	if err := a.RotateKey("ES256"); err != nil {
		t.Fatal(err)
	}
	if kid := headerOf(t, a.tokens(t)["id_token"])["kid"]; kid != "3" {
		t.Errorf("the third key is named %v", kid)
	}
	newApp(t).DropOldKeys() // of none
}

// Two providers have keys of one name, as two real ones may (ID-02), and still not the same keys.
func TestKeysOfOneNameAreNotTheSame(t *testing.T) {
	t.Parallel()
	a, b := newApp(t), newApp(t)
	token := b.IDToken(t, b.ada, fakeidp.Claim("iss", a.Issuer()), fakeidp.For(a.client), fakeidp.Claim("nonce", nonce))
	if headerOf(t, token)["kid"] != headerOf(t, a.IDToken(t, a.ada))["kid"] {
		t.Error("the keys have different names")
	}
	if _, err := a.verify(t, token); err == nil {
		t.Error("the key of one provider signs for another")
	}
}

func TestAnAppGetsAnIDToken(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	second := a.Client(fakeidp.Client{ID: "second"})
	claims, err := a.verify(t, a.IDToken(t, a.ada, fakeidp.Claim("nonce", nonce)))
	if err != nil {
		t.Fatal(err)
	}
	if claims["email"] != "ada@example.com" || claims["email_verified"] != true || claims["name"] != "Ada Lovelace" {
		t.Errorf("claims = %v", claims)
	}
	for name, c := range map[string]struct {
		lie  func(*fakeidp.IDToken)
		want jsonObject
	}{
		"by default":        {func(*fakeidp.IDToken) {}, jsonObject{"aud": a.client.ID}},
		"for another":       {fakeidp.For(second), jsonObject{"aud": "second", "azp": "second"}},
		"for two":           {fakeidp.For(second, a.client), jsonObject{"aud": []any{"second", a.client.ID}, "azp": "second"}},
		"for nobody":        {fakeidp.For(), jsonObject{"aud": []any{}}},
		"without audiences": {fakeidp.Without("aud", "azp"), jsonObject{}},
	} {
		got := part(t, a.IDToken(t, a.ada, c.lie), 1)
		for _, name := range []string{"aud", "azp"} {
			if !cmp.Equal(got[name], c.want[name]) {
				t.Errorf("%s: %s is %v, want %v", name, name, got[name], c.want[name])
			}
		}
		if got["nonce"] != nil {
			t.Errorf("%s: there is a nonce", name)
		}
	}
	if token := fakeidp.New(t).IDToken(t, a.ada); part(t, token, 1)["aud"] != "" {
		t.Error("without a client there is an audience")
	}
}

func TestATokenThatCannotBeMadeFailsTheTest(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for name, lie := range map[string]func(*fakeidp.IDToken){
		"claims that have no JSON": fakeidp.Claim("x", func() {}),
		"a header that has none":   func(token *fakeidp.IDToken) { token.Header["x"] = func() {} },
		"a key that is none":       func(token *fakeidp.IDToken) { token.Key = "key" },
	} {
		if said := failure(t, func(t testing.TB) { a.IDToken(t, a.ada, lie) }); said == "" {
			t.Errorf("%s: the test does not fail", name)
		}
		a.LieOnce(lie)
		if status, answer := a.redeem(t, a.code(t)); status != http.StatusInternalServerError || answer["error"] != "server_error" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
		a.LieOnce(lie)
		values := a.Visit(t, a.authorizationURL("response_type", "code id_token", "response_mode", "form_post"), a.ada).Values()
		if values.Get("error") != "server_error" || values.Has("code") {
			t.Errorf("%s: the browser comes back with %v", name, values)
		}
	}
}

func TestARefreshedIDTokenHasNoNonce(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	_, answer := a.refresh(t, a.tokens(t)["refresh_token"])
	claims := part(t, answer["id_token"], 1)
	if claims["sub"] != "ada" || claims["nonce"] != nil {
		t.Errorf("claims = %v", claims)
	}
}
