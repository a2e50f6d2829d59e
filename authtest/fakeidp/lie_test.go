package fakeidp_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest/fakeidp"
)

// Each lie is one by which an honest application can tell, and leaves all else as it is.
func TestLiesAreTold(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	honest := part(t, a.tokens(t)["id_token"], 1)
	delete(honest, "at_hash")
	aud, now := a.client.ID, float64(a.clock.Now().Unix())
	for name, c := range map[string]struct {
		lie    func(*fakeidp.IDToken)
		want   jsonObject // nil stands for a claim that is missing
		header jsonObject
		err    string
	}{
		"wrong nonce":             {fakeidp.LieWrongNonce, jsonObject{"nonce": "another-nonce"}, nil, "nonce is another-nonce"},
		"no nonce":                {fakeidp.LieNoNonce, jsonObject{"nonce": nil}, nil, "nonce is <nil>"},
		"wrong audience":          {fakeidp.LieWrongAudience, jsonObject{"aud": "another-client"}, nil, "aud is"},
		"extra audience":          {fakeidp.LieExtraAudience, jsonObject{"aud": []any{aud, "another-client"}}, nil, "aud is"},
		"wrong azp":               {fakeidp.LieWrongAZP, jsonObject{"azp": "another-client"}, nil, "azp is"},
		"expired":                 {fakeidp.LieExpired, jsonObject{"iat": now - 4200, "exp": now - 3600, "auth_time": now - 4200}, nil, "expired"},
		"not yet issued":          {fakeidp.LieNotYetIssued, jsonObject{"iat": now + 3600, "exp": now + 4200, "auth_time": now + 3600}, nil, "used before issued"},
		"alg none":                {fakeidp.LieAlgNone, nil, jsonObject{"alg": "none"}, "signing method none"},
		"signed with public key":  {fakeidp.LieSignedWithPublicKey, nil, jsonObject{"alg": "HS256"}, "signing method HS256"},
		"unknown key name":        {fakeidp.LieUnknownKeyName, nil, jsonObject{"kid": "unknown"}, "no key unknown"},
		"wrong key":               {fakeidp.LieWrongKey, nil, nil, "signature is invalid"},
		"other issuer":            {fakeidp.LieOtherIssuer, jsonObject{"iss": "https://another-issuer.example"}, nil, "issuer"},
		"no subject":              {fakeidp.LieNoSubject, jsonObject{"sub": nil}, nil, "sub is <nil>"},
		"numeric subject":         {fakeidp.LieNumericSubject, jsonObject{"sub": 12345.0}, nil, "sub"},
		"other subject":           {fakeidp.LieOtherSubject, jsonObject{"sub": "another-subject"}, nil, ""},
		"email_verified is text":  {fakeidp.LieEmailVerifiedIsText, jsonObject{"email_verified": "true"}, nil, ""},
		"wrong hash":              {fakeidp.LieWrongHash, jsonObject{"at_hash": strings.Repeat("A", 22)}, nil, ""},
		"a claim of the test's":   {fakeidp.Claim("roles", []any{"admin"}), jsonObject{"roles": []any{"admin"}}, nil, ""},
		"claims that are missing": {fakeidp.Without("exp", "email"), jsonObject{"exp": nil, "email": nil}, nil, "exp"},
	} {
		a.LieOnce(c.lie)
		token := a.tokens(t)["id_token"]
		_, err := a.verify(t, token)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: an honest application says %v, want %q", name, err, c.err)
		}
		want := jsonObject{}
		for _, claims := range []jsonObject{honest, c.want} {
			for claim, value := range claims {
				if want[claim] = value; value == nil {
					delete(want, claim)
				}
			}
		}
		got := part(t, token, 1)
		if _, ok := c.want["at_hash"]; !ok {
			delete(got, "at_hash")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		wantHeader := jsonObject{"alg": "RS256", "kid": "1", "typ": "JWT"}
		for member, value := range c.header {
			wantHeader[member] = value
		}
		if diff := cmp.Diff(wantHeader, headerOf(t, token)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if _, err := a.verify(t, a.tokens(t)["id_token"]); err != nil {
			t.Errorf("%s: the lie is told twice: %v", name, err)
		}
	}
}

// What the two lies about algorithms claim to be is what they are: an application that falls for them would be deceived.
func TestLiesAboutAlgorithmsAreGood(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		if err := a.RotateKey(algorithm); err != nil {
			t.Fatal(err)
		}
		var pem any
		peek := func(token *fakeidp.IDToken) { pem = token.Key }
		fooled := a.IDToken(t, a.ada, fakeidp.LieSignedWithPublicKey, peek)
		if _, err := jwt.Parse(fooled, func(*jwt.Token) (any, error) { return pem, nil }); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if key, _ := pem.([]byte); !bytes.HasPrefix(key, []byte("-----BEGIN PUBLIC KEY-----\n")) {
			t.Errorf("%s: the secret is %v", algorithm, pem)
		}
		unsigned := a.IDToken(t, a.ada, fakeidp.LieAlgNone)
		if _, err := jwt.Parse(unsigned, func(*jwt.Token) (any, error) { return jwt.UnsafeAllowNoneSignatureType, nil }); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		wrong := a.IDToken(t, a.ada, fakeidp.LieWrongKey, fakeidp.Claim("nonce", nonce))
		if _, err := a.verify(t, wrong); !errors.Is(err, jwt.ErrTokenSignatureInvalid) || headerOf(t, wrong)["alg"] != algorithm {
			t.Errorf("%s: signed with the wrong key: %v", algorithm, err)
		}
		// Where there is no key left to lie about they change nothing.
		a.IDToken(t, a.ada, fakeidp.LieAlgNone, fakeidp.LieSignedWithPublicKey, fakeidp.LieWrongKey)
	}
}

func TestANumericSubjectIsThatOfTheText(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	number := a.Account(fakeidp.Account{Subject: "42"})
	if sub := part(t, a.IDToken(t, number, fakeidp.LieNumericSubject), 1)["sub"]; sub != 42.0 {
		t.Errorf("sub = %v", sub)
	}
}

func TestLiesGoOnUntilMended(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	// A lie may ask the provider.
	a.Lie(func(token *fakeidp.IDToken) { token.Claims["iss"] = a.Issuer() + "/" })
	a.Break(fakeidp.Userinfo, fakeidp.FaultStatus(http.StatusBadGateway))
	a.BreakOnce(fakeidp.Discovery, fakeidp.FaultStatus(http.StatusBadGateway))
	for range 2 {
		tokens := a.tokens(t)
		if _, err := a.verify(t, tokens["id_token"]); !errors.Is(err, jwt.ErrTokenInvalidIssuer) {
			t.Errorf("err = %v", err)
		}
		if status, _ := a.get(t, fakeidp.Userinfo, tokens["access_token"]); status != http.StatusBadGateway {
			t.Errorf("userinfo: %d", status)
		}
	}
	a.LieOnce(fakeidp.LieNoSubject)
	a.Mend()
	tokens := a.tokens(t)
	if _, err := a.verify(t, tokens["id_token"]); err != nil {
		t.Error(err)
	}
	for _, path := range []string{fakeidp.Userinfo, fakeidp.Discovery} {
		if status, answer := a.get(t, path, tokens["access_token"]); status != http.StatusOK {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}
