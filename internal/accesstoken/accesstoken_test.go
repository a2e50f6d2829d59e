package accesstoken_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/accesstoken"
)

const (
	session = "6d8f2b1c-0a3e-4f57-9b6d-1e2f3a4b5c6d"
	passkey = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// JW-13, JW-14, JW-17: a token has one spelling, and a bounded length.
func TestSplit(t *testing.T) {
	t.Parallel()
	// of returns a token of n bytes.
	of := func(n int) string { return "a." + strings.Repeat("b", n-len("a..AAAA")) + ".AAAA" }
	for _, tt := range []struct {
		name, token string
		want        bool
	}{
		{"a token", "a.b.AAAA", true},
		{"nothing in its parts", "..", true},
		{"the longest", of(accesstoken.MaxLength), true},
		{"longer than that", of(accesstoken.MaxLength + 1), false},
		{"a line feed in the header", "a\n.b.AAAA", false},
		{"a carriage return in the payload", "a.b\r.AAAA", false},
		{"a line feed in the signature", "a.b.AA\nAA", false},
		{"a carriage return behind it", "a.b.AAAA\r", false},
		{"one part", "a", false},
		{"two parts", "a.b", false},
		{"four parts", "a.b.AAAA.c", false},
		{"a dot behind it", "a.b.AAAA.", false},
		{"a padded signature", "a.b.AA==", false},
		{"a signature with stray bits", "a.b.AB", false},
		{"a signature in the other alphabet", "a.b.AA+/", false},
	} {
		got, ok := accesstoken.Split(tt.token)
		if ok != tt.want {
			t.Errorf("%s: %v", tt.name, ok)
		}
		if ok && got.Header+"."+got.Payload+"."+base64.RawURLEncoding.EncodeToString(got.Signature) != tt.token {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	want := accesstoken.Token{Header: "head", Input: "head.load", Signature: []byte{0, 0, 0}, Payload: "load"}
	if got, _ := accesstoken.Split("head.load.AAAA"); !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
}

// JW-02, JW-05, JW-06, JW-18: a header has an algorithm, the type of a token, perhaps the id of a key, and nothing else.
func TestParseHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header  string
		algorithm, id string // no algorithm: refused
	}{
		{"with a key", `{"alg":"EdDSA","typ":"JWT","kid":"k"}`, "EdDSA", "k"},
		{"without", `{"alg":"HS256","typ":"JWT"}`, "HS256", ""},
		{"in another order", ` { "kid" : "k" , "typ" : "JWT" , "alg" : "\u0048S256" } `, "HS256", "k"},
		{"no type", `{"alg":"HS256"}`, "", ""},
		{"another type", `{"alg":"HS256","typ":"at+jwt"}`, "", ""},
		{"the type in lower case", `{"alg":"HS256","typ":"jwt"}`, "", ""},
		{"a type that is no string", `{"alg":"HS256","typ":["JWT"]}`, "", ""},
		{"a number for the algorithm", `{"alg":256,"typ":"JWT"}`, "", ""},
		{"a number for the key", `{"alg":"HS256","typ":"JWT","kid":1}`, "", ""},
		{"a key set", `{"alg":"HS256","typ":"JWT","jku":"https://evil.test"}`, "", ""},
		{"an extension", `{"alg":"HS256","typ":"JWT","crit":["exp"]}`, "", ""},
		{"a member of another case", `{"alg":"HS256","typ":"JWT","Kid":"k"}`, "", ""},
		{"two algorithms", `{"alg":"HS256","alg":"none","typ":"JWT"}`, "", ""},
		{"a list", `[{"alg":"HS256","typ":"JWT"}]`, "", ""},
		{"something behind it", `{"alg":"HS256","typ":"JWT"}{}`, "", ""},
		{"nothing", ``, "", ""},
	} {
		algorithm, id, ok := accesstoken.ParseHeader(b64(tt.header))
		if ok != (tt.algorithm != "") || ok && (algorithm != tt.algorithm || id != tt.id) {
			t.Errorf("%s: %q, %q, %v", tt.name, algorithm, id, ok)
		}
	}
	// An encoding with a stray bit, with padding, with another character at its end, and none.
	whole, odd := b64(`{"alg":"HS256","typ":"JWT"}`), b64(`{"alg":"HS256","typ":"JWT" }`)
	if _, _, ok := accesstoken.ParseHeader(odd); !ok || !strings.HasSuffix(odd, "fQ") {
		t.Fatalf("%s is refused", odd)
	}
	for _, header := range []string{strings.TrimSuffix(odd, "Q") + "R", odd + "==", whole + "=", whole + "!", `{"alg":"HS256","typ":"JWT"}`} {
		if _, _, ok := accesstoken.ParseHeader(header); ok {
			t.Errorf("%s is accepted", header)
		}
	}
}

func rules() accesstoken.Rules {
	return accesstoken.Rules{Issuer: "i", Audience: []string{"b", "c"}, Namespace: namespace, Now: now, Skew: time.Minute}
}

// What a token says is what Parse returns, and of what it does not say there is nothing.
func TestParse(t *testing.T) {
	t.Parallel()
	id := func(s string) [16]byte { return uuid.MustParse(s) }
	role := func(more string) string {
		return `"` + namespace + `":{"x-hasura-user-id":"` + user + `","x-hasura-default-role":"user"` + more + `}`
	}
	least := `"sub":"` + user + `","iss":"i","aud":"b","exp":1700000001`
	plain := func(change func(*accesstoken.Claims)) accesstoken.Claims {
		c := accesstoken.Claims{
			UserID: id(user), DefaultRole: "user", Audience: []string{"b"}, Expires: time.Unix(1_700_000_001, 0).UTC(),
		}
		if change != nil {
			change(&c)
		}
		return c
	}
	for _, tt := range []struct {
		name, claims string
		want         accesstoken.Claims
	}{
		{"the least", `{` + least + `,` + role(``) + `}`, plain(nil)},
		{
			"everything",
			`{"sub":"` + user + `","iss":"i","aud":["a","b"],"exp":2000000000.9,"nbf":1.5e9,"iat":1700000000,"jti":"id","sid":"` + session + `","elevated_by":"` +
				passkey + `","auth_time":1600000000,"amr":["pwd","o\u0074p"],"scope":"read write","other":{"a":[1]},` +
				role(`,"x-hasura-allowed-roles":["user","me"],"x-hasura-user-is-anonymous":"true","x-hasura-auth-elevated":"`+user+`","x-hasura-org":"7","x-hasura-unit":"8","x-hasura-n":7`) + `}`,
			accesstoken.Claims{
				UserID: id(user), SessionID: id(session), ElevatedBy: id(passkey), TokenID: "id", Anonymous: true, Elevated: true, DefaultRole: "user",
				Roles: []string{"user", "me"}, Scopes: []string{"read", "write"}, AMR: []string{"pwd", "otp"}, Audience: []string{"a", "b"},
				Custom:   map[string]string{"x-hasura-org": "7", "x-hasura-unit": "8"},
				AuthTime: time.Unix(1_600_000_000, 0).UTC(), IssuedAt: time.Unix(1_700_000_000, 0).UTC(), Expires: time.Unix(2_000_000_000, 0).UTC(),
			},
		},
		{"times of no meaning", `{` + least + `,"iat":0,"auth_time":0,"nbf":0,` + role(``) + `}`, plain(nil)},
		{
			"the earliest times that there are", `{` + least + `,"iat":1,"auth_time":1,` + role(``) + `}`,
			plain(func(c *accesstoken.Claims) { c.IssuedAt, c.AuthTime = time.Unix(1, 0).UTC(), time.Unix(1, 0).UTC() }),
		},
		{
			"the latest", `{"sub":"` + user + `","iss":"i","aud":"b","exp":253402300799,` + role(``) + `}`,
			plain(func(c *accesstoken.Claims) { c.Expires = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }),
		},
		{"the elevation of somebody else", `{` + least + `,` + role(`,"x-hasura-auth-elevated":"`+session+`"`) + `}`, plain(nil)},
		{"an elevation that is no string", `{` + least + `,` + role(`,"x-hasura-auth-elevated":true`) + `}`, plain(nil)},
		{"no guest", `{` + least + `,` + role(`,"x-hasura-user-is-anonymous":"false"`) + `}`, plain(nil)},
		{"no custom claim", `{` + least + `,` + role(`,"x-hasura-n":7,"x-hasura-l":["a"],"x-hasura-z":null`) + `}`, plain(nil)},
		{"nothing where nothing need be", `{` + least + `,"sid":"","elevated_by":"","scope":"","jti":"",` + role(``) + `}`, plain(nil)},
	} {
		got, err := accesstoken.Parse(b64(tt.claims), rules())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

// Of a token that is good, one thing is another at a time.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	replaced := func(old, with string) string {
		if strings.Count(good, old) == 0 {
			t.Fatalf("there is no %s", old)
		}
		return strings.ReplaceAll(good, old, with)
	}
	first := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	member := func(name, value string) string { return `{"` + name + `":` + value + `,` + good[1:] }
	in := func(name, value string) string { return replaced(`:{"`, `:{"`+name+`":`+value+`,"`) }
	for _, tt := range []struct {
		name, claims string
		amend        func(*accesstoken.Rules)
		why          string // none: accepted
	}{
		{"a good token", good, nil, ""},

		// JW-07, JW-08: times.
		{"expiring in a second", replaced("2000000000", "1700000001"), nil, ""},
		{"expired", replaced("2000000000", "1700000000"), nil, "expired"},
		{"expired within the skew", replaced("2000000000", "1699999999"), nil, "expired"},
		{"no expiry", replaced(`"exp":2000000000,`, ""), nil, "expired"},
		{"an expiry of zero", replaced("2000000000", "0"), nil, "expired"},
		{"no expiry, before there were clocks", replaced(`"exp":2000000000,"iat":1700000000,`, ""), func(r *accesstoken.Rules) { r.Now = time.Unix(-1, 0) }, "expired"},
		{"the first second of all", replaced(`"exp":2000000000,"iat":1700000000,`, `"exp":1,`), func(r *accesstoken.Rules) { r.Now = time.Unix(0, 0) }, ""},
		{"issued a minute ahead", replaced("1700000000", "1700000060"), nil, ""},
		{"issued more than a minute ahead", replaced("1700000000", "1700000061"), nil, "not yet valid"},
		{"valid in a minute", member("nbf", "1700000060"), nil, ""},
		{"valid in more than a minute", member("nbf", "1700000061"), nil, "not yet valid"},
		{"an expiry that is text", replaced("2000000000", `"2000000000"`), nil, "not a time"},
		{"an expiry that is null", replaced("2000000000", `null`), nil, "not a time"},
		{"an expiry in a list", replaced("2000000000", `[2000000000]`), nil, "not a time"},
		{"an expiry after the last year", replaced("2000000000", `253402300800`), nil, "not a time"},
		{"an expiry after the last instant", replaced("2000000000", `253402300799.5`), nil, "not a time"},
		{"an expiry beyond all integers", replaced("2000000000", `1e300`), nil, "not a time"},
		{"an expiry beyond all numbers", replaced("2000000000", `1e400`), nil, "out of range"},
		{"issued before the first second", replaced("1700000000", "-1"), nil, "not a time"},
		{"issued half a second before it", replaced("1700000000", "-0.5"), nil, "not a time"},
		{"valid from a time that is text", member("nbf", `"1"`), nil, "not a time"},
		{"signed in at a time that is text", member("auth_time", `"1"`), nil, "not a time"},

		// JW-09, JW-10: from whom, and for whom.
		{"of another issuer", replaced(`"iss":"i"`, `"iss":"j"`), nil, "another issuer"},
		{"of no issuer", replaced(`"iss":"i",`, ``), nil, "another issuer"},
		{"an issuer of another case", replaced(`"iss":"i"`, `"iss":"I"`), nil, "another issuer"},
		{"an issuer that is a list", replaced(`"iss":"i"`, `"iss":["i"]`), nil, "not a string"},
		{"for one of several", replaced(`["a","b"]`, `["a","c"]`), nil, ""},
		{"for one alone", replaced(`["a","b"]`, `"c"`), nil, ""},
		{"for others", replaced(`["a","b"]`, `["a","d"]`), nil, "another audience"},
		{"for another alone", replaced(`["a","b"]`, `"a"`), nil, "another audience"},
		{"for nobody", replaced(`["a","b"]`, `[]`), nil, "another audience"},
		{"for it does not say whom", replaced(`"aud":["a","b"],`, ``), nil, "another audience"},
		{"for whom it likes, where that does not matter", replaced(`["a","b"]`, `["x"]`), func(r *accesstoken.Rules) { r.Audience = nil }, ""},
		{"for a number", replaced(`["a","b"]`, `["b",1]`), nil, "not a string"},
		{"for an object", replaced(`["a","b"]`, `{"b":1}`), nil, "must be an array"},
		{"methods that are text", replaced(`["pwd"]`, `"pwd"`), nil, "must be an array"},
		{"an id that is a number", member("jti", "1"), nil, "not a string"},
		{"scopes in a list", member("scope", `["a"]`), nil, "not a string"},

		// JW-11, JW-18, JW-26: who it is.
		{"no subject", first(`"sub":"`+user+`",`, ``), nil, "sub: "},
		{"a subject that is a number", first(`"sub":"`+user+`"`, `"sub":1`), nil, "not a string"},
		{"of nobody", replaced(user, "00000000-0000-0000-0000-000000000000"), nil, "sub: nobody"},
		{"two subjects", member("sub", `"x"`), nil, "given twice"},
		{"role claims of somebody else", first(`"x-hasura-user-id":"2`, `"x-hasura-user-id":"3`), nil, "differ"},
		{"role claims of nobody", replaced(`"x-hasura-user-id":"`+user+`",`, ``), nil, "differ"},
		{"a number for whose role claims they are", replaced(`"x-hasura-user-id":"`+user+`"`, `"x-hasura-user-id":1`), nil, "not a string"},
		{"of a session", member("sid", `"`+session+`"`), nil, ""},
		{"of a session that is none", member("sid", `"x"`), nil, "sid: "},
		{"of a session that is a number", member("sid", `1`), nil, "not a string"},
		{"elevated by a key", member("elevated_by", `"`+passkey+`"`), nil, ""},
		{"elevated by a key that is none", member("elevated_by", `"x"`), nil, "elevated_by: "},
		{"elevated by a number", member("elevated_by", `1`), nil, "not a string"},

		// Roles.
		{"no role claims", replaced(namespace, "other"), nil, "must be a JSON object"},
		{"role claims elsewhere", good, func(r *accesstoken.Rules) { r.Namespace = "claims" }, "must be a JSON object"},
		{"role claims in text", replaced(`:{"`, `:"","x":{"`), nil, "must be a JSON object"},
		{"no default role", replaced(`"x-hasura-default-role":"user",`, ``), nil, "no x-hasura-default-role"},
		{"an empty default role", replaced(`"x-hasura-default-role":"user"`, `"x-hasura-default-role":""`), nil, "no x-hasura-default-role"},
		{"a default role in a list", replaced(`"x-hasura-default-role":"user"`, `"x-hasura-default-role":["user"]`), nil, "not a string"},
		{"roles in text", replaced(`["user","me"]`, `"user"`), nil, "must be an array"},
		{"a role that is a number", replaced(`["user","me"]`, `["user",1]`), nil, "not a string"},
		{"a guest by a boolean", in("x-hasura-user-is-anonymous", "true"), nil, "not a string"},
		{"two default roles", in("x-hasura-default-role", `"admin"`), nil, "given twice"},

		{"a list", "[" + good + "]", nil, "must be a JSON object"},
		{"more behind it", good + "{}", nil, "data after"},
		{"nothing", "", nil, "must be a JSON object"},
	} {
		r := rules()
		if tt.amend != nil {
			tt.amend(&r)
		}
		_, err := accesstoken.Parse(b64(tt.claims), r)
		if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.why)
		}
	}
	for _, payload := range []string{b64(good) + "=", strings.TrimSuffix(b64(good+" "), "g") + "h", good} {
		if _, err := accesstoken.Parse(payload, rules()); err == nil || err.Error() != "not base64url" {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

// A user, a session and a key have one spelling each.
func TestIDsAreCanonical(t *testing.T) {
	t.Parallel()
	parse := func(id string) (*accesstoken.Claims, error) {
		return accesstoken.Parse(b64(strings.ReplaceAll(good, user, id)), rules())
	}
	c, err := parse(user)
	if err != nil || c.UserID != uuid.MustParse(user) || accesstoken.FormatID(c.UserID) != user {
		t.Errorf("%x, %v", c.UserID, err)
	}
	if got := accesstoken.FormatID([16]byte{}); got != "" {
		t.Errorf("nobody is %q", got)
	}
	ids := map[string]string{
		"upper case": strings.ToUpper(user), "braces": "{" + user[1:35] + "}", "no hyphens": strings.ReplaceAll(user, "-", ""), "too short": user[:35],
		"too long": user + "0", "all hyphens": strings.Repeat("-", 36), "a blank": " " + user[1:], "a sign": "+" + user[1:],
	}
	for i, c := range user {
		ids[fmt.Sprintf("another character at %d", i)] = user[:i] + "g" + user[i+1:]
		if c == '-' {
			ids[fmt.Sprintf("a digit at %d", i)] = user[:i] + "0" + user[i+1:]
		}
	}
	for name, id := range ids {
		if _, err := parse(id); err == nil {
			t.Errorf("%s: %s is accepted", name, id)
		}
	}
	for _, c := range "ABCDEF" {
		if _, err := parse(string(c) + user[1:]); err == nil {
			t.Errorf("%c is accepted", c)
		}
	}
}
