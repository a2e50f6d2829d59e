package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/accesstoken"
	"github.com/ostiary/auth/store/memstore"
)

// odd is a key whose public half is nothing that anybody knows.
type odd struct{ *ecdsa.PrivateKey }

func (odd) Public() crypto.PublicKey { return "public" }

// JW-12, ST-15: what is wrong with a key is said of the key in question.
func TestWhatIsWrongWithAKey(t *testing.T) {
	t.Parallel()
	k := testKeys()
	for name, c := range map[string]struct {
		keys auth.Keys
		want string
	}{
		"an EC key for RS256":        {auth.Keys{Active: auth.Key{Algorithm: "RS256", Private: k.ec}}, "Active RS256 needs an RSA key and has *ecdsa.PublicKey"},
		"an RSA key for ES256":       {auth.Keys{Active: auth.Key{Algorithm: "ES256", Private: k.rsa}}, "Active ES256 with *rsa.PublicKey is not supported"},
		"ES384":                      {auth.Keys{Active: auth.Key{Algorithm: "ES384", Private: k.ec384}}, "Active ES384 with *ecdsa.PublicKey is not supported"},
		"an EC key for EdDSA":        {auth.Keys{Active: auth.Key{Algorithm: "EdDSA", Private: k.ec}}, "Active EdDSA needs an Ed25519 key and has *ecdsa.PublicKey"},
		"a key of an unknown kind":   {auth.Keys{Active: auth.Key{Algorithm: "ES256", Private: odd{k.ec}, Public: k.ec.Public()}}, "Active ES256 with string is not supported"},
		"RSA-PSS":                    {auth.Keys{Active: auth.Key{Algorithm: "PS256", Private: k.rsa}}, `Active algorithm "PS256" is not one of`},
		"a private key for HS256":    {auth.Keys{Active: auth.Key{Algorithm: "HS256", Secret: auth.Secret(hmacSecret), Private: k.ec}}, "Active has an asymmetric key and a symmetric algorithm"},
		"a public key for HS256":     {auth.Keys{Active: auth.Key{Algorithm: "HS256", Secret: auth.Secret(hmacSecret), Public: k.ec.Public()}}, "Active has an asymmetric key and a symmetric algorithm"},
		"a secret of one byte":       {auth.Keys{Active: auth.Key{Algorithm: "RS256", Private: k.rsa, Secret: auth.Secret("x")}}, "Active has a symmetric key and an asymmetric algorithm"},
		"a short secret":             {auth.Keys{Active: auth.Key{Algorithm: "HS256", Secret: auth.Secret(hmacSecret[:31])}}, "Active HS256 needs a Secret of at least 32 bytes and has 31"},
		"only the public half":       {auth.Keys{Active: auth.Key{Algorithm: "ES256", Public: k.ec.Public()}}, "Active a key that signs needs Private"},
		"a P-384 key with a name":    {auth.Keys{Active: auth.Key{ID: "x", Algorithm: "ES256", Private: k.ec384}}, "Active "},
		"halves of two keys":         {auth.Keys{Active: auth.Key{Algorithm: "ES256", Private: k.ec, Public: k.ec384.Public()}}, "Active has a Public that is not the public half of Private"},
		"nothing but the next key":   {auth.Keys{Next: []auth.Key{{Algorithm: "ES256", Private: k.ec}}}, `Active algorithm "" is not one of`},
		"nothing but a former key":   {auth.Keys{Retired: []auth.Key{{Algorithm: "ES256", Private: k.ec}}}, `Active algorithm "" is not one of`},
		"a former key that is none":  {auth.Keys{Active: auth.Key{Algorithm: "ES256", Private: k.ec}, Retired: []auth.Key{{}}}, `Retired[0] algorithm "" is not one of`},
		"a next key that is the one": {auth.Keys{Active: auth.Key{Algorithm: "ES256", Private: k.ec}, Next: []auth.Key{{Algorithm: "ES256", Private: k.ec}}}, "Next[0] has the id of another key"},
	} {
		config := validConfig()
		config.AccessTokens.Keys = c.keys
		_, err := auth.New(memstore.New(), config)
		field, want, _ := strings.Cut(c.want, " ")
		if err == nil || !strings.Contains(err.Error(), "AccessTokens.Keys."+field) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A former key verifies by its public half alone.
func TestAFormerKeyNeedsNoPrivateHalf(t *testing.T) {
	t.Parallel()
	k := testKeys()
	before := authtest.New(t, keyed("ES256", k.ec))
	session := before.SignUp(t, "ada@example.com")
	after := replica(t, before, func(c *auth.Config) {
		c.AccessTokens.Keys = auth.Keys{
			Active: auth.Key{Algorithm: "EdDSA", Private: k.ed}, Retired: []auth.Key{{Algorithm: "ES256", Public: k.ec.Public()}},
		}
	})
	after.Principal(t, session)
}

// A key that has left the set signs nothing: nobody would take it.
func TestAKeyThatHasLeftDoesNotSign(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := auth.Key{Algorithm: "EdDSA", Private: testKeys().ed, RetiredAt: e.Clock.Now()}
	if err := e.SetKeys(auth.Keys{Active: key}); err != nil {
		t.Fatal(err)
	}
	guestOf(t, e)
	e.Clock.Advance(15 * time.Minute)
	in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if in != nil || !errors.Is(err, auth.ErrInternal) {
		t.Errorf("%v, %v", in, err)
	}
}

// JW-04, JW-18, JW-20: which key a token is verified with, however its header is written: the one that it names, for as long as that
// is in the set, or where it names none, any of its algorithm.
func TestWhichKeyATokenIsVerifiedWith(t *testing.T) {
	t.Parallel()
	former, other := auth.Secret(strings.Repeat("former", 8)), auth.Secret(strings.Repeat("other", 8))
	e := authtest.New(t)
	if err := e.SetKeys(auth.Keys{
		Active:  auth.Key{ID: "mine", Algorithm: "HS256", Secret: auth.Secret(hmacSecret)},
		Retired: []auth.Key{{ID: "former", Algorithm: "HS256", Secret: former, RetiredAt: e.Clock.Now()}},
	}); err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(guestOf(t, e).AccessToken, claims); err != nil {
		t.Fatal(err)
	}
	claims["exp"] = e.Clock.Now().Add(time.Hour).Unix() // later than the former key
	payload := base64.RawURLEncoding.EncodeToString([]byte(asJSON(claims)))
	token := func(header string, secret auth.Secret) string {
		input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload
		signature, err := jwt.SigningMethodHS256.Sign(input, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	type row struct {
		header string
		secret auth.Secret
		ok     [2]bool // in time for the former key, and later
	}
	mine := auth.Secret(hmacSecret)
	rows := map[string]row{
		"as the engine writes it":           {`{"alg":"HS256","kid":"mine","typ":"JWT"}`, mine, [2]bool{true, true}},
		"in another order":                  {`{"typ":"JWT","kid":"mine","alg":"HS256"}`, mine, [2]bool{true, true}},
		"without a name":                    {`{"typ":"JWT","alg":"HS256"}`, mine, [2]bool{true, true}},
		"in another order, forged":          {`{"typ":"JWT","kid":"mine","alg":"HS256"}`, other, [2]bool{}},
		"without a name, forged":            {`{"typ":"JWT","alg":"HS256"}`, other, [2]bool{}},
		"under the other's name":            {`{"typ":"JWT","kid":"mine","alg":"HS256"}`, former, [2]bool{}},
		"by the former key":                 {`{"alg":"HS256","kid":"former","typ":"JWT"}`, former, [2]bool{true, false}},
		"by the former key, otherwise":      {`{"typ":"JWT","kid":"former","alg":"HS256"}`, former, [2]bool{true, false}},
		"by the former key, without a name": {`{"typ":"JWT","alg":"HS256"}`, former, [2]bool{true, false}},
	}
	for i, after := range []time.Duration{15*time.Minute - time.Second, time.Second} {
		e.Clock.Advance(after)
		for name, r := range rows {
			if _, err := authenticate(t, e, token(r.header, r.secret)); r.ok[i] != (err == nil) || err != nil && !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s, %d: %v", name, i, err)
			}
		}
	}
}

// JW-21: a claim may hold any text, and comes out as it went in; what is no text becomes one.
func TestClaimsOfAnyText(t *testing.T) {
	t.Parallel()
	text := ""
	e := authtest.New(t, func(c *auth.Config) {
		c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) { return map[string]any{"text": text}, nil }
	})
	for in, out := range map[string]string{
		"a b": "a b", "a\x1fb": "a\x1fb", "a\nb": "a\nb", "a\\b": "a\\b", `a"b`: `a"b`, "a\x7fb": "a\x7fb", "é\u2028": "é\u2028", "<&>": "<&>",
		"a\xffb": "a\ufffdb",
	} {
		text = in
		if got := e.Principal(t, guestOf(t, e)).Claims["x-hasura-text"]; got != out {
			t.Errorf("%q comes out as %q", in, got)
		}
	}
}

// What is left out of a token is not in it: how a guest proved who they are, and the key of a step-up without one.
func TestClaimsThatAreLeftOut(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, func(c *auth.Config) { c.Elevation.Methods = []auth.ElevationMethod{auth.ElevateByPassword} })
	up, err := e.VerifyElevation(t.Context(), e.Principal(t, e.SignUp(t, "ada@example.com")), auth.VerifyElevationParams{
		Method: auth.ElevateByPassword, Password: authtest.Password,
	})
	if err != nil {
		t.Fatal(err)
	}
	for claim, s := range map[string]*auth.Session{"amr": guestOf(t, e), accesstoken.ClaimElevatedBy: up} {
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(s.AccessToken, claims); err != nil {
			t.Fatal(err)
		}
		if v, ok := claims[claim]; ok {
			t.Errorf("%s is %v", claim, v)
		}
	}
}

// JW-13: a token is issued up to the length that a verifier takes, and no longer.
func TestTheLongestToken(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for _, id := range []string{"a", "ab", "abc"} { // the lengths that tokens can have depend on that of their header
		text := ""
		e := authtest.New(t, func(c *auth.Config) {
			c.AccessTokens.Keys.Active = auth.Key{ID: id, Algorithm: "HS256", Secret: auth.Secret(hmacSecret)}
			c.Hooks.Claims = func(context.Context, *auth.User) (map[string]any, error) { return map[string]any{"text": text}, nil }
		})
		parts := strings.Split(guestOf(t, e).AccessToken, ".")
		least := base64.RawURLEncoding.DecodedLen(len(parts[1]))
		length := func(n int) int {
			return len(parts[0]) + 1 + base64.RawURLEncoding.EncodedLen(least+n) + 1 + len(parts[2])
		}
		n := 0
		for length(n) < accesstoken.MaxLength-3 {
			n++
		}
		for ; length(n) <= accesstoken.MaxLength+3; n++ {
			text = strings.Repeat("x", n)
			in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
			seen[length(n)] = true
			switch {
			case length(n) > accesstoken.MaxLength:
				if !errors.Is(err, auth.ErrInvalidRequest) {
					t.Errorf("%d bytes: %v", length(n), err)
				}
			case err != nil:
				t.Errorf("%d bytes: %v", length(n), err)
			default:
				if len(in.Session.AccessToken) != length(n) {
					t.Fatalf("%d bytes, not %d", len(in.Session.AccessToken), length(n))
				}
				e.Principal(t, in.Session)
			}
		}
	}
	if !seen[accesstoken.MaxLength] || !seen[accesstoken.MaxLength+1] {
		t.Errorf("only lengths %v", seen)
	}
}

func pkcs8PEM(t *testing.T, private any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// What the key configuration of Hasura says comes out of it, and what is wrong with it is named.
func TestWhatAHasuraJWTSecretSays(t *testing.T) {
	t.Parallel()
	k := testKeys()
	private := pkcs8PEM(t, k.rsa)
	for name, c := range map[string]struct {
		text string
		want auth.AccessTokensConfig
	}{
		"a secret": {
			asJSON(map[string]string{"type": "HS256", "key": hmacSecret, "kid": "one", "issuer": "me", "claims_namespace": "ns"}),
			auth.AccessTokensConfig{Issuer: "me", ClaimsNamespace: "ns", Keys: auth.Keys{Active: auth.Key{ID: "one", Algorithm: "HS256", Secret: auth.Secret(hmacSecret)}}},
		},
		"a private key alone": {
			asJSON(map[string]string{"type": "RS256", "signing_key": private}),
			auth.AccessTokensConfig{Keys: auth.Keys{Active: auth.Key{Algorithm: "RS256", Private: k.rsa}}},
		},
		"Ed25519, by Hasura's name": {
			asJSON(map[string]string{"type": "Ed25519", "signing_key": pkcs8PEM(t, k.ed)}),
			auth.AccessTokensConfig{Keys: auth.Keys{Active: auth.Key{Algorithm: "EdDSA", Private: k.ed}}},
		},
	} {
		got, err := auth.ParseHasuraJWTSecret(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b crypto.Signer) bool {
			return a == nil && b == nil || a != nil && b != nil && fmt.Sprint(a.Public()) == fmt.Sprint(b.Public())
		})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for text, want := range map[string]string{
		`"` + hmacSecret + `"`:                                                            "not a JSON object with string members",
		`{"type":"RS256","signing_key":"none"}`:                                           "signing_key: ",
		`{"type":"RS256","key":"` + "x" + `"}`:                                            "signing_key: ",
		`{"type":"HS256","key":"` + hmacSecret[:9] + `"}`:                                 "at least 32 bytes",
		asJSON(map[string]string{"type": "RS256", "signing_key": private, "key": "none"}): "JWT secret: key: ",
	} {
		if _, err := auth.ParseHasuraJWTSecret(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}
