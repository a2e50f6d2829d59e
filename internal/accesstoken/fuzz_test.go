package accesstoken_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/accesstoken"
)

const (
	user      = "2c35b6f3-c4b9-48e3-978a-d4d0f1d42e24"
	namespace = "https://hasura.io/jwt/claims"
	good      = `{"sub":"` + user + `","iss":"i","exp":2000000000,"iat":1700000000,"aud":["a","b"],"amr":["pwd"],"` + namespace + `":{` +
		`"x-hasura-user-id":"` + user + `","x-hasura-default-role":"user","x-hasura-allowed-roles":["user","me"],"x-hasura-auth-elevated":"` + user + `"}}`
)

var now = time.Unix(1_700_000_000, 0)

// Of a token whose signature is good, but whose claims nobody has looked at: what is taken says of whom it is, in one spelling,
// for whom, and until when. encoding/json agrees.
func FuzzParse(f *testing.F) {
	for _, claims := range []string{
		good, strings.Replace(good, `"iss":"i"`, `"iss":"j"`, 1), strings.Replace(good, "2000000000", "1700000000", 1), strings.Replace(good, "2000000000", "2e9", 1),
		strings.Replace(good, "2000000000", "1e400", 1), strings.Replace(good, "2000000000", `"2000000000"`, 1), strings.Replace(good, `"iat":1700000000`, `"iat":1800000000`, 1),
		strings.Replace(good, `"iat":1700000000`, `"nbf":1800000000`, 1), strings.Replace(good, `"sub":"`+user, `"sub":"`+strings.ToUpper(user), 1),
		strings.Replace(good, `{"sub"`, `{"sub":"x","sub"`, 1), strings.Replace(good, `{"sub"`, `{"Sub":"x","sub"`, 1), strings.Replace(good, `["a","b"]`, `"b"`, 1),
		strings.Replace(good, `["a","b"]`, `["c"]`, 1), strings.Replace(good, `"x-hasura-user-id":"2`, `"x-hasura-user-id":"3`, 1), strings.Replace(good, user, "00000000-0000-0000-0000-000000000000", -1),
		good + " ", good + "{}", "null", "{}", "",
	} {
		f.Add([]byte(claims))
	}
	canonical := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	f.Fuzz(func(t *testing.T, claims []byte) {
		got, err := accesstoken.Parse(base64.RawURLEncoding.EncodeToString(claims), accesstoken.Rules{
			Issuer: "i", Audience: []string{"b"}, Namespace: namespace, Now: now, Skew: time.Minute,
		})
		if err != nil {
			return
		}
		var said struct {
			Sub, Iss      string
			Exp, Iat, Nbf float64
			Aud           any
			Namespace     map[string]any `json:"https://hasura.io/jwt/claims"`
		}
		if err := json.Unmarshal(claims, &said); err != nil {
			t.Fatalf("%s is accepted: %v", claims, err)
		}
		listed, _ := said.Aud.([]any)
		switch {
		case said.Iss != "i" || said.Aud != "b" && !slices.Contains(listed, any("b")):
			t.Fatalf("%s is accepted, from another or for another", claims)
		case said.Exp <= float64(now.Unix()) || said.Iat >= float64(now.Unix()+61) || said.Nbf >= float64(now.Unix()+61):
			t.Fatalf("%s is accepted now", claims)
		case !canonical.MatchString(said.Sub) || accesstoken.FormatID(got.UserID) != said.Sub || said.Namespace["x-hasura-user-id"] != said.Sub:
			t.Fatalf("%s is accepted as of %x", claims, got.UserID)
		case got.Elevated && said.Namespace["x-hasura-auth-elevated"] != said.Sub:
			t.Fatalf("%s is accepted as a step-up", claims)
		case got.DefaultRole == "" || said.Namespace["x-hasura-default-role"] != got.DefaultRole:
			t.Fatalf("%s is accepted with the role %q", claims, got.DefaultRole)
		case !got.Expires.After(now) || got.Expires.Unix() != int64(said.Exp):
			t.Fatalf("%s expires at %v", claims, got.Expires)
		}
	})
}

// A token has one spelling: what is taken apart is put together to the same again.
func FuzzSplit(f *testing.F) {
	for _, token := range []string{"e30.e30.AA", "a.b.", "..", "a.b.AB", "a.b.AA=", "a.b.A\nA", "a.b.c.d", "", "e30..AA"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, ok := accesstoken.Split(token)
		if !ok {
			return
		}
		again := got.Header + "." + got.Payload + "." + base64.RawURLEncoding.EncodeToString(got.Signature)
		if again != token || got.Input != got.Header+"."+got.Payload || strings.Count(token, ".") != 2 || len(token) > accesstoken.MaxLength {
			t.Fatalf("%q became %+v", token, got)
		}
	})
}

// A header that is taken says what it says to encoding/json, and nothing else.
func FuzzParseHeader(f *testing.F) {
	for _, header := range []string{
		`{"alg":"EdDSA","typ":"JWT","kid":"k"}`, `{"alg":"none","typ":"JWT"}`, `{"typ":"JWT"}`, `{"alg":"HS256","typ":"jwt"}`, `{"alg":"HS256","typ":"JWT","jku":"https://evil.test"}`,
		`{"alg":"HS256","alg":"none","typ":"JWT"}`, `{"Alg":"HS256","typ":"JWT"}`, `{"alg":"\u0048S256","typ":"JWT"}`, `{"alg":null,"typ":"JWT"}`, `{}`, ``,
	} {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		algorithm, id, ok := accesstoken.ParseHeader(base64.RawURLEncoding.EncodeToString(header))
		if !ok {
			return
		}
		said := map[string]any{}
		if err := json.Unmarshal(header, &said); err != nil {
			t.Fatalf("%s: %v", header, err)
		}
		for name := range said {
			if !slices.Contains([]string{"alg", "typ", "kid"}, name) {
				t.Fatalf("%s is accepted", header)
			}
		}
		text := func(name string) string { s, _ := said[name].(string); return s }
		if said["typ"] != "JWT" || text("alg") != algorithm || text("kid") != id {
			t.Fatalf("%s is read as %q, %q", header, algorithm, id)
		}
	})
}
