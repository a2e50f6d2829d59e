package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oauth"
)

const (
	appleToken = "https://appleid.apple.com/auth/token"
	appleKeys  = "https://appleid.apple.com/auth/keys"
)

func newApple(t testing.TB) *issuing {
	t.Helper()
	return newIssuing(t, appleToken, appleKeys, "", map[string]any{
		"iss": "https://appleid.apple.com", "sub": "001234.0123456789abcdef0123456789abcdef.0123", "nonce_supported": true,
		"email": "a@privaterelay.appleid.com", "email_verified": "true", "is_private_email": "true", "auth_time": 1,
	})
}

// applePrivateKey is a key in PEM, as Apple gives it.

func applePrivateKey(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func appleConfig(t testing.TB) (oauth.AppleConfig, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return oauth.AppleConfig{
		Config: oauth.Config{ClientID: "client"}, TeamID: "TEAM123456", KeyID: "KEY1234567", PrivateKey: applePrivateKey(t, key),
	}, key
}

func apple(t testing.TB) provider.Provider {
	t.Helper()
	c, _ := appleConfig(t)
	p, err := oauth.Apple(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestApple(t *testing.T) {
	t.Parallel()
	p := apple(t)
	wantAuthorization(t, p, "https://appleid.apple.com/auth/authorize", true, url.Values{
		"scope": {"name email"}, "response_mode": {"form_post"},
	})
	i := newApple(t)
	got, err := i.signIn(t, p, func(b *provider.Return) {
		b.Values.Set("user", `{"name":{"firstName":"Ada","lastName":"Lovelace"},"email":"victim@example.com"}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(provider.Profile{
		Subject: "001234.0123456789abcdef0123456789abcdef.0123", Email: "a@privaterelay.appleid.com", EmailVerified: true,
		Name: "Ada Lovelace",
	}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	form := i.sent(t, appleToken)
	if form.Get("code") != "the-code" || form.Get("code_verifier") != openIDVerifier || form.Get("client_id") != "client" ||
		form.Get("redirect_uri") != "https://app.example/callback" {
		t.Errorf("the form is %v", form)
	}
}

// W27: the client secret is made for the request, and never old.
func TestAppleClientSecret(t *testing.T) {
	t.Parallel()
	c, key := appleConfig(t)
	p, err := oauth.Apple(c)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 3 {
		i := newApple(t)
		i.clock.Advance(365 * 24 * time.Hour * time.Duration(len(seen)))
		i.claims["iat"], i.claims["exp"] = i.clock.Now().Unix(), i.clock.Now().Add(time.Hour).Unix()
		if _, err := i.signIn(t, p); err != nil {
			t.Fatal(err)
		}
		secret := i.sent(t, appleToken).Get("client_secret")
		parts := strings.Split(secret, ".")
		if len(parts) != 3 || seen[secret] {
			t.Fatalf("the secret is %q", secret)
		}
		seen[secret] = true
		decode := func(part string, v any) {
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err == nil {
				err = json.Unmarshal(b, v)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var header, claims map[string]any
		decode(parts[0], &header)
		decode(parts[1], &claims)
		if diff := cmp.Diff(map[string]any{"alg": "ES256", "kid": "KEY1234567"}, header); diff != "" {
			t.Errorf("the header (-want +got)\n%s", diff)
		}
		now := float64(i.clock.Now().Unix())
		if diff := cmp.Diff(map[string]any{
			"iss": "TEAM123456", "sub": "client", "aud": "https://appleid.apple.com", "iat": now, "exp": now + 300,
		}, claims); diff != "" {
			t.Errorf("the claims (-want +got)\n%s", diff)
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err != nil || len(signature) != 64 || !ecdsa.Verify(&key.PublicKey, digest[:],
			new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Error("the signature is wrong")
		}
	}
}

func TestApplePrivateKey(t *testing.T) {
	t.Parallel()
	c, key := appleConfig(t)
	text := c.PrivateKey
	lines := strings.Split(strings.TrimSpace(text), "\n")
	bare := strings.Join(lines[1:len(lines)-1], "\n")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, key string
		ok        bool
	}{
		{"as it came", text, true},
		{"with \\n", strings.ReplaceAll(text, "\n", `\n`), true},
		{"with CRLF", strings.ReplaceAll(text, "\n", "\r\n"), true},
		{"base64 of the file", base64.StdEncoding.EncodeToString([]byte(text)), true},
		{"without its first and last line", bare, true},
		{"on one line", strings.ReplaceAll(bare, "\n", ""), true},
		{"nothing", "", false},
		{"text", "secret", false},
		{"half of it", text[:100], false},
		{"P-384", applePrivateKey(t, p384), false},
		{"RSA", applePrivateKey(t, rsaKey), false},
		{"public", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), false},
	} {
		c.PrivateKey = tt.key
		_, err := oauth.Apple(c)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && tt.key != "" && strings.Contains(err.Error(), tt.key) {
			t.Errorf("%s: the error has the key in it", tt.name)
		}
	}
}

// OA-30, W27: the account is who the id token of the token endpoint says, whatever the browser says.
func TestAppleBrowserSaysNothingThatCounts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ user, name string }{
		"no name":                 {`{"email":"victim@example.com"}`, ""},
		"not JSON":                {`Ada`, ""},
		"a list":                  {`[{"name":{"firstName":"Ada"}}]`, ""},
		"a name that is text":     {`{"name":"Ada"}`, ""},
		"names of another type":   {`{"name":{"firstName":1,"lastName":["x"]}}`, ""},
		"a first name":            {`{"name":{"firstName":" Ada\r\n"}}`, "Ada"},
		"more than anybody needs": {`{"name":{"firstName":"` + strings.Repeat("x", 4<<10) + `"}}`, ""},
		"a subject and a flag":    {`{"sub":"victim","email_verified":true,"name":{"firstName":"Ada"}}`, "Ada"},
	} {
		i := newApple(t)
		delete(i.claims, "email")
		delete(i.claims, "email_verified")
		victim := maps.Clone(i.claims)
		victim["sub"], victim["email"], victim["email_verified"] = "victim", "victim@example.com", true
		got, err := i.signIn(t, apple(t), func(b *provider.Return) {
			b.Values.Set("user", tt.user)
			b.Values.Set("id_token", i.key.Sign(t, victim))
		})
		want := provider.Profile{Subject: "001234.0123456789abcdef0123456789abcdef.0123", Name: tt.name}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	i := newApple(t)
	i.token["id_token"] = ""
	got, err := i.signIn(t, apple(t), func(b *provider.Return) { b.Values.Set("id_token", i.key.Sign(t, i.claims)) })
	if err == nil {
		t.Errorf("an id token of the browser's: %+v", got)
	}
}

// OA-22: Apple alone documents the text "true".
func TestAppleEmailVerified(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]bool{
		`true`: true, `"true"`: true, `false`: false, `"false"`: false, `"TRUE"`: false, `1`: false, `"1"`: false,
		`[true]`: false, `["true"]`: false, `null`: false,
	} {
		i := newApple(t)
		i.claims["email_verified"] = json.RawMessage(flag)
		got, err := i.signIn(t, apple(t))
		if err != nil || got.EmailVerified != want {
			t.Errorf("%s: %v, %v", flag, got.EmailVerified, err)
		}
		v, err := oauth.AppleIDTokens(oauth.IDTokenConfig{Audiences: []string{"client"}})
		if err != nil {
			t.Fatal(err)
		}
		got, err = v.VerifyIDToken(t.Context(), i.env(), i.key.Sign(t, i.claims), "the-nonce")
		if err != nil || got.EmailVerified != want {
			t.Errorf("%s, of an app: %v, %v", flag, got.EmailVerified, err)
		}
	}
}

func TestAppleConfigIsChecked(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*oauth.AppleConfig){
		"ClientID":         func(c *oauth.AppleConfig) { c.ClientID = "" },
		"ClientSecret":     func(c *oauth.AppleConfig) { c.ClientSecret = "x" },
		"TeamID":           func(c *oauth.AppleConfig) { c.TeamID = "" },
		"KeyID":            func(c *oauth.AppleConfig) { c.KeyID = "" },
		"PrivateKey":       func(c *oauth.AppleConfig) { c.PrivateKey = "" },
		"JWKSURL":          func(c *oauth.AppleConfig) { c.JWKSURL = "http://appleid.apple.com/auth/keys" },
		"ProfileURL":       func(c *oauth.AppleConfig) { c.ProfileURL = "https://appleid.apple.com/" },
		"TokenURL":         func(c *oauth.AppleConfig) { c.TokenURL = "appleid.apple.com" },
		"AuthorizationURL": func(c *oauth.AppleConfig) { c.AuthorizationURL = "/" },
	} {
		c, _ := appleConfig(t)
		change(&c)
		if _, err := oauth.Apple(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, err := oauth.Apple(oauth.AppleConfig{})
	for _, field := range []string{"ClientID", "TeamID", "KeyID", "PrivateKey"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
	// LG-10
	c, key := appleConfig(t)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c)
	marshalled, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Split(c.PrivateKey, "\n")[1]
	for _, s := range []string{
		fmt.Sprintf("%v %+v %#v %s %x", c, c, c, c, c), log.String(), string(marshalled), fmt.Sprintf("%+v", apple(t)),
	} {
		if strings.Contains(s, line) || strings.Contains(s, fmt.Sprintf("%x", d)) || strings.Contains(s, fmt.Sprintf("%x", line)) {
			t.Errorf("the private key is printed: %s", s)
		}
	}
}
