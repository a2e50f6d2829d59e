package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/ostiary/auth/internal/strictjson"
)

// signUp has every kind of destination that a request body needs.
type signUp struct {
	Email    string   `json:"email" strict:"required"`
	Password *string  `json:"password"`
	Options  *options `json:"options,omitempty"`
	//lint:ignore U1000 shows that unexported fields are no members
	ignored string
	Hidden  string `json:"-"`
	NoTag   string
	audit
}

type options struct {
	Locale       string          `json:"locale"`
	AllowedRoles []string        `json:"allowedRoles"`
	Metadata     json.RawMessage `json:"metadata"`
	Extra        map[string]any  `json:"extra"`
	Remember     bool            `json:"remember"`
	Lifetime     int64           `json:"lifetime"`
	Small        int8            `json:"small"`
	Count        uint16          `json:"count"`
	ExpiresAt    *time.Time      `json:"expiresAt"`
	ID           uuid.UUID       `json:"id"`
	Nested       *options        `json:"nested"`
	Keys         []key           `json:"keys"`
	Times        []time.Time     `json:"times"`
}

type key struct {
	Name string `json:"name" strict:"required"`
}

type audit struct {
	Reason string `json:"reason"`
}

func decode(t *testing.T, body string) (signUp, error) {
	t.Helper()
	var dst signUp
	err := strictjson.Decode(slices.Clip([]byte(body)), &dst) // nothing is read behind its end
	return dst, err
}

func TestDecode(t *testing.T) {
	t.Parallel()
	password := "pässword \"\\/\b\f\n\r\t😀"
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		name, body string
		want       signUp
	}{
		{"a minimal body", `{"email":"a@b.test"}`, signUp{Email: "a@b.test"}},
		{"white space everywhere", " {\t\"email\"\n:\r\"a\" , \"NoTag\" : \"n\" } \n", signUp{Email: "a", NoTag: "n"}},
		{"an empty required string", `{"email":""}`, signUp{}},
		{"escapes", `{"email":"\u0061\u00e9","password":"p\u00e4ssword \"\\\/\b\f\n\r\t\ud83d\uDE00"}`, signUp{Email: "aé", Password: &password}},
		{"an escaped member name", `{"\u0065mail":"a"}`, signUp{Email: "a"}},
		{"an embedded struct", `{"email":"a","reason":"r"}`, signUp{Email: "a", audit: audit{Reason: "r"}}},
		{"an empty nested object", `{"email":"a","options":{}}`, signUp{Email: "a", Options: &options{}}},
		{
			"every type", `{"email":"a","options":{"locale":"en","allowedRoles":["user","me"],"metadata": { "a" : [1, null] },
				"extra":{"n":1.5},"remember":true,"lifetime":-9223372036854775808,"small":127,"count":65535,
				"expiresAt":"2030-01-02T03:04:05Z","id":"00000000-0000-0000-0000-000000000001","nested":{"remember":false},
				"keys":[{"name":"k"}],"times":["2030-01-02T03:04:05Z"]}}`,
			signUp{Email: "a", Options: &options{
				Locale: "en", AllowedRoles: []string{"user", "me"}, Metadata: json.RawMessage(`{ "a" : [1, null] }`),
				Extra: map[string]any{"n": 1.5}, Remember: true, Lifetime: math.MinInt64, Small: 127, Count: 65535,
				ExpiresAt: &expires, ID: uuid.UUID{15: 1}, Nested: &options{}, Keys: []key{{"k"}}, Times: []time.Time{expires},
			}},
		},
		{"an empty array", `{"email":"a","options":{"allowedRoles":[]}}`, signUp{Email: "a", Options: &options{AllowedRoles: []string{}}}},
		// UR-13: null for an optional member is the same as leaving it out, whatever its type.
		{
			"null for optional members", `{"email":"a","password":null,"options":null,"reason":null}`,
			signUp{Email: "a"},
		},
		{
			"null for nested optional members",
			`{"email":"a","options":{"locale":null,"allowedRoles":null,"metadata":null,"extra":null,"remember":null,"lifetime":null,
				"count":null,"expiresAt":null,"id":null,"nested":null,"keys":null}}`,
			signUp{Email: "a", Options: &options{}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(t, tc.body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(signUp{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// UR-06, UR-10, SI-08
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, want string }{
		// Exactly one object.
		{"nothing", ``, `the body must be a JSON object`},
		{"white space", " \n", `the body must be a JSON object`},
		{"null", `null`, `the body must be a JSON object`},
		{"an array", `[{"email":"a"}]`, `the body must be a JSON object`},
		{"a string", `"email"`, `the body must be a JSON object`},
		{"a byte order mark", "\ufeff{\"email\":\"a\"}", `the body must be a JSON object`},
		{"a NUL before the body", "\x00{\"email\":\"a\"}", `the body must be a JSON object`},
		{"a second value", `{"email":"a"}{"email":"b"}`, `the body has data after its JSON object`},
		{"a second value behind white space", "{\"email\":\"a\"}\n{}", `the body has data after its JSON object`},
		{"a comma behind the body", `{"email":"a"},`, `the body has data after its JSON object`},
		{"a NUL behind the body", "{\"email\":\"a\"}\x00", `the body has data after its JSON object`},
		{"a form", `email=a&password=b`, `the body must be a JSON object`},

		// Grammar.
		{"no end", `{"email":"a"`, `the body is not valid JSON at byte 12`},
		{"an open string", `{"email":"a`, `the body is not valid JSON at byte 11`},
		{"an open bracket", `{`, `the body is not valid JSON at byte 1`},
		{"an open name", `{"email`, `the body is not valid JSON at byte 7`},
		{"a name only", `{"email"`, `the body is not valid JSON at byte 8`},
		{"no value", `{"email":`, `the body is not valid JSON at byte 9`},
		{"a brace as value", `{"email":}`, `the body is not valid JSON at byte 9`},
		{"a trailing comma", `{"email":"a",}`, `the body is not valid JSON at byte 13`},
		{"a leading comma", `{,"email":"a"}`, `the body is not valid JSON at byte 1`},
		{"no comma", `{"email":"a" "NoTag":"b"}`, `the body is not valid JSON at byte 13`},
		{"no colon", `{"email" "a"}`, `the body is not valid JSON at byte 9`},
		{"single quotes", `{'email':'a'}`, `the body is not valid JSON at byte 1`},
		{"a comment", `{/**/"email":"a"}`, `the body is not valid JSON at byte 1`},
		{"white space that is not JSON's", "{\"email\":\v\"a\"}", `the body is not valid JSON at byte 9`},
		{"a wrong bracket", `{"email":"a"]`, `the body is not valid JSON at byte 12`},
		{"an upper-case literal", `{"email":"a","options":{"remember":True}}`, `the body is not valid JSON at byte 35`},
		{"a literal at the end", `{"email":"a","options":{"remember":true`, `the body is not valid JSON at byte 39`},
		{"a literal cut short", `{"email":"a","options":nul}`, `the body is not valid JSON at byte 23`},
		{"NaN", `{"email":"a","options":{"lifetime":NaN}}`, `the body is not valid JSON at byte 35`},
		{"a control character in a string", "{\"email\":\"a\nb\"}", `the body is not valid JSON at byte 11`},
		{"a control character behind an escape", "{\"email\":\"\\n\n\"}", `the body is not valid JSON at byte 12`},
		{"the last control character in a string", "{\"email\":\"a\x1fb\"}", `the body is not valid JSON at byte 11`},
		{"the last control character behind an escape", "{\"email\":\"\\n\x1f\"}", `the body is not valid JSON at byte 12`},
		{"a raw NUL in a string", "{\"email\":\"a\x00\"}", `the body is not valid JSON at byte 11`},
		{"an unknown escape", `{"email":"\x"}`, `the body is not valid JSON at byte 10`},
		{"an unknown escape of four digits", `{"email":"\x0041"}`, `the body is not valid JSON at byte 10`},
		{"an escape without its last digit", `{"email":"\u123`, `the body is not valid JSON at byte 10`},
		{"an escape cut short", `{"email":"\u12`, `the body is not valid JSON at byte 10`},
		{"a backslash at the end", `{"email":"\`, `the body is not valid JSON at byte 10`},
		{"an escape with wrong digits", `{"email":"\u00g0"}`, `the body is not valid JSON at byte 10`},
		{"an open string behind an escape", `{"email":"\n`, `the body is not valid JSON at byte 12`},
		{"a number with a leading zero", `{"email":"a","options":{"lifetime":01}}`, `the body is not valid JSON at byte 37`},
		{"a number with a plus", `{"email":"a","options":{"lifetime":+1}}`, `the body is not valid JSON at byte 35`},
		{"a minus", `{"email":"a","options":{"lifetime":-}}`, `the body is not valid JSON at byte 36`},
		{"a minus at the end", `{"email":"a","options":{"lifetime":-`, `the body is not valid JSON at byte 36`},
		{"an exponent at the end", `{"email":"a","options":{"lifetime":1e`, `the body is not valid JSON at byte 37`},
		{"a fraction without digits", `{"email":"a","options":{"lifetime":1.}}`, `the body is not valid JSON at byte 37`},
		{"an exponent without digits", `{"email":"a","options":{"lifetime":1e+}}`, `the body is not valid JSON at byte 38`},
		{"an array with a trailing comma", `{"email":"a","options":{"allowedRoles":["a",]}}`, `the body is not valid JSON at byte 44`},
		{"an open array", `{"email":"a","options":{"allowedRoles":["a"`, `the body is not valid JSON at byte 43`},
		{"broken free-form content", `{"email":"a","options":{"metadata":{"a":[1,}]}}}`, `the body is not valid JSON at byte 43`},

		// Names.
		{"an unknown member", `{"email":"a","admin":true}`, `admin is not a known member`},
		{"an unknown nested member", `{"email":"a","options":{"role":"admin"}}`, `options.role is not a known member`},
		{"an unknown member in an array", `{"email":"a","options":{"keys":[{"name":"n"},{"x":1}]}}`, `options.keys[1].x is not a known member`},
		{"a field without member", `{"email":"a","Hidden":"x"}`, `Hidden is not a known member`},
		{"a dash", `{"email":"a","-":"x"}`, `- is not a known member`},
		{"an unexported field", `{"email":"a","ignored":"x"}`, `ignored is not a known member`},
		{"an embedded struct by name", `{"email":"a","audit":{}}`, `audit is not a known member`},
		{"another case", `{"Email":"a"}`, `Email is not a known member`},
		{"another case of a nested member", `{"email":"a","options":{"Locale":"en"}}`, `options.Locale is not a known member`},
		{"a letter that folds to s", "{\"email\":\"a\",\"pas\u017fword\":\"x\"}", `["pas\u017fword"] is not a known member`},
		{"a letter that folds to k", "{\"email\":\"a\",\"options\":{\"\u212aeys\":[]}}", `options["\u212aeys"] is not a known member`},
		{"a prototype", `{"email":"a","__proto__":{}}`, `__proto__ is not a known member`},
		{"an empty name", `{"email":"a","":1}`, `[""] is not a known member`},
		{"a name with blanks", `{"email ":"a"}`, `["email "] is not a known member`},
		{"a member twice", `{"email":"a","email":"b"}`, `email is given twice`},
		{"a member twice in two spellings", `{"email":"a","\u0065mail":"b"}`, `email is given twice`},
		{"a member twice, first null", `{"email":null,"email":"b"}`, `email is given twice`},
		{"a member twice, then null", `{"email":"a","email":null}`, `email is given twice`},
		{"a nested member twice", `{"email":"a","options":{"locale":"en","locale":"de"}}`, `options.locale is given twice`},
		{"an object twice", `{"email":"a","options":{},"options":{}}`, `options is given twice`},
		{"a free-form member twice", `{"email":"a","options":{"metadata":{"k":1,"k":2}}}`, `options.metadata.k is given twice`},
		{"a free-form member twice in two spellings", `{"email":"a","options":{"metadata":{"k":1,"\u006b":2}}}`, `options.metadata.k is given twice`},
		{"a free-form member twice deep down", `{"email":"a","options":{"metadata":{"a":[0,{"k":1,"k":2}]}}}`, `options.metadata.a[1].k is given twice`},
		{"a free-form member twice among many", `{"email":"a","options":{"metadata":{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"9":1}}}`, `options.metadata.9 is given twice`},
		{"an early free-form member twice among many", `{"email":"a","options":{"extra":{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"1":1}}}`, `options.extra.1 is given twice`},

		// Required.
		{"no required member", `{}`, `email is required`},
		{"null for a required member", `{"email":null}`, `email is required`},
		{"null for a required member among others", `{"email":null,"NoTag":"n"}`, `email is required`},
		{"no required nested member", `{"email":"a","options":{"keys":[{}]}}`, `options.keys[0].name is required`},

		// Types.
		{"a number for a string", `{"email":1}`, `email must be a string`},
		{"an array for a string", `{"email":["a@b.test"]}`, `email must be a string`},
		{"an object for a string", `{"email":{"$ne":""}}`, `email must be a string`},
		{"a number below zero for a string", `{"email":-1}`, `email must be a string`},
		{"false for a string", `{"email":false}`, `email must be a string`},
		{"true for a string", `{"email":true}`, `email must be a string`},
		{"a number for an optional string", `{"email":"a","password":123}`, `password must be a string`},
		{"a string for an object", `{"email":"a","options":"x"}`, `options must be an object`},
		{"an array for an object", `{"email":"a","options":[]}`, `options must be an object`},
		{"a number for a nested string", `{"email":"a","options":{"locale":1}}`, `options.locale must be a string`},
		{"a string for an array", `{"email":"a","options":{"allowedRoles":"admin"}}`, `options.allowedRoles must be an array`},
		{"an object for an array", `{"email":"a","options":{"allowedRoles":{"0":"admin"}}}`, `options.allowedRoles must be an array`},
		{"a number in an array of strings", `{"email":"a","options":{"allowedRoles":["a",1]}}`, `options.allowedRoles[1] must be a string`},
		{"null in an array of strings", `{"email":"a","options":{"allowedRoles":[null]}}`, `options.allowedRoles[0] must not be null`},
		{"null in an array of times", `{"email":"a","options":{"times":[null]}}`, `options.times[0] must not be null`},
		{"null in an array of objects", `{"email":"a","options":{"keys":[null]}}`, `options.keys[0] must not be null`},
		{"a string for a boolean", `{"email":"a","options":{"remember":"true"}}`, `options.remember must be true or false`},
		{"a number for a boolean", `{"email":"a","options":{"remember":1}}`, `options.remember must be true or false`},
		{"a string for an integer", `{"email":"a","options":{"lifetime":"1"}}`, `options.lifetime must be an integer`},
		{"a string for an unsigned integer", `{"email":"a","options":{"count":"1"}}`, `options.count must be an integer`},
		{"a fraction for an integer", `{"email":"a","options":{"lifetime":1.0}}`, `options.lifetime must be an integer`},
		{"an exponent for an integer", `{"email":"a","options":{"lifetime":1e3}}`, `options.lifetime must be an integer`},
		{"an integer too large", `{"email":"a","options":{"lifetime":9223372036854775808}}`, `options.lifetime is out of range`},
		{"an integer too small", `{"email":"a","options":{"small":-129}}`, `options.small is out of range`},
		{"an unsigned integer too large", `{"email":"a","options":{"count":65536}}`, `options.count is out of range`},
		{"an unsigned integer below zero", `{"email":"a","options":{"count":-1}}`, `options.count is out of range`},
		{"a text that is no time", `{"email":"a","options":{"expiresAt":"tomorrow"}}`, `options.expiresAt is not valid`},
		{"a number for a time", `{"email":"a","options":{"expiresAt":1}}`, `options.expiresAt is not valid`},
		{"a text that is no UUID", `{"email":"a","options":{"id":"x"}}`, `options.id is not valid`},
		{"a number for a UUID", `{"email":"a","options":{"id":1}}`, `options.id must be a string`},
		{"a string for free-form content", `{"email":"a","options":{"metadata":"{}"}}`, `options.metadata must be an object`},
		{"an array for free-form content", `{"email":"a","options":{"metadata":[]}}`, `options.metadata must be an object`},
		{"a number for a free-form map", `{"email":"a","options":{"extra":1}}`, `options.extra must be an object`},

		// Text.
		{"invalid UTF-8", "{\"email\":\"a\xff\"}", `email has text that is not valid UTF-8`},
		{"invalid UTF-8 behind an escape", "{\"email\":\"\\n\xff\"}", `email has text that is not valid UTF-8`},
		{"an overlong form", "{\"email\":\"\xc0\x80\"}", `email has text that is not valid UTF-8`},
		{"a surrogate in UTF-8", "{\"email\":\"\xed\xa0\x80\"}", `email has text that is not valid UTF-8`},
		{"invalid UTF-8 in a name", "{\"email\":\"a\",\"options\":{\"\xff\":1}}", `options has text that is not valid UTF-8`},
		{"invalid UTF-8 in free-form content", "{\"email\":\"a\",\"options\":{\"metadata\":{\"k\":\"\xff\"}}}", `options.metadata.k has text that is not valid UTF-8`},
		{"a character split by an escape", "{\"email\":\"\xc3\\u00a9\xa9\"}", `email has text that is not valid UTF-8`},
		{"half a surrogate pair", `{"email":"\ud800"}`, `email has text with half a surrogate pair`},
		{"a high half twice", `{"email":"\ud800\ud800"}`, `email has text with half a surrogate pair`},
		{"the low half first", `{"email":"\udc00\ud800"}`, `email has text with half a surrogate pair`},
		{"half a surrogate pair and an escape", `{"email":"\ud800\n"}`, `email has text with half a surrogate pair`},
		{"half a surrogate pair and the other without its backslash", `{"email":"\ud800xudc00"}`, `email has text with half a surrogate pair`},
		{"half a surrogate pair in a time", `{"email":"a","options":{"expiresAt":"\ud800"}}`, `options.expiresAt has text with half a surrogate pair`},
		{"half a surrogate pair at the end", `{"email":"\ud800`, `email has text with half a surrogate pair`},
		{"half a surrogate pair in free-form content", `{"email":"a","options":{"metadata":{"k":["\udfff"]}}}`, `options.metadata.k[0] has text with half a surrogate pair`},
		{"half a surrogate pair in a free-form name", `{"email":"a","options":{"metadata":{"\udfff":1}}}`, `options.metadata has text with half a surrogate pair`},
		{"U+0000", `{"email":"a\u0000"}`, `email has text with the character U+0000`},
		{"U+0000 in free-form content", `{"email":"a","options":{"metadata":{"k":"\u0000"}}}`, `options.metadata.k has text with the character U+0000`},
		{"U+0000 in a free-form name", `{"email":"a","options":{"metadata":{"\u0000":1}}}`, `options.metadata has text with the character U+0000`},

		// Numbers in free-form content.
		{"a free-form number of 65 digits", `{"email":"a","options":{"metadata":{"n":` + strings.Repeat("1", 65) + `}}}`, `options.metadata.n has too many digits`},
		{"a free-form number beyond float64", `{"email":"a","options":{"metadata":{"n":1e309}}}`, `options.metadata.n is out of range`},
		{"a free-form number with a huge exponent", `{"email":"a","options":{"metadata":{"n":-1E999999999}}}`, `options.metadata.n is out of range`},
		{"a free-form number that is nearly zero", `{"email":"a","options":{"metadata":{"n":0.1e-400}}}`, `options.metadata.n is out of range`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(t, tc.body)
			var refused *strictjson.Error
			if !errors.As(err, &refused) {
				t.Fatalf("got %+v, %v; want an *Error", got, err)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
			if diff := cmp.Diff(signUp{}, got, cmp.AllowUnexported(signUp{})); diff != "" {
				t.Errorf("destination after an error (-want +got):\n%s", diff)
			}
		})
	}
}

// A byte that begins, goes on with or ends something is told from those beside it in the alphabet.
func TestEveryByteIsWhatItsPlaceAllows(t *testing.T) {
	t.Parallel()
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 0x100 {
		s := string([]byte{byte(c)})
		_, err := decode(t, `{"email":"a","options":{"lifetime":1`+s+`}}`)
		if want := strings.Contains(digits+" \t\n\r", s); (err == nil) != want {
			t.Errorf("a digit and %q: %v", s, err)
		}
		got, err := decode(t, `{"email":"\u00`+"4"+s+`"}`)
		if value, no := strconv.ParseUint("4"+s, 16, 8); (err == nil) != (no == nil) || err == nil && got.Email != string(rune(value)) {
			t.Errorf("an escape with %q: %q, %v", s, got.Email, err)
		}
		if c == 0 || c >= 0x80 {
			continue // is refused for what it is, or is no text
		}
		name, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var refused *strictjson.Error
		if _, err := decode(t, `{`+string(name)+`:1}`); !errors.As(err, &refused) {
			t.Fatal(err)
		}
		if word := strings.Contains(digits+lower+upper+"-_", s); word != (refused.Path == s) || !word && !strings.HasPrefix(refused.Path, `["`) {
			t.Errorf("a member called %q is shown as %s", s, refused.Path)
		}
	}
}

func TestAMemberGivenTwiceIsFoundAmongMany(t *testing.T) {
	t.Parallel()
	var names strings.Builder
	for n := range 40 {
		fmt.Fprintf(&names, `"%d":0,`, n)
		for i := range n + 2 {
			_, err := decode(t, fmt.Sprintf(`{"email":"a","options":{"metadata":{%s"%d":0}}}`, names.String(), i))
			if want := fmt.Sprintf("options.metadata.%d is given twice", i); (err == nil) != (i > n) || err != nil && err.Error() != want {
				t.Fatalf("%d after those up to %d: %v", i, n, err)
			}
		}
	}
}

// What is embedded is part of the outer struct if it is a struct and has no name, and nothing else is.
func TestEmbedding(t *testing.T) {
	t.Parallel()
	var dst struct {
		Audit
		Named `json:"named"`
		Word
		Plain audit
	}
	body := `{"by":"b","named":{"at":"a"},"Word":"w","Plain":{"reason":"r"}}`
	if err := strictjson.Decode([]byte(body), &dst); err != nil {
		t.Fatal(err)
	}
	if dst.By != "b" || dst.At != "a" || dst.Word != "w" || dst.Plain.Reason != "r" {
		t.Errorf("got %+v", dst)
	}
	for _, body := range []string{`{"Audit":{}}`, `{"at":"a"}`, `{"reason":"r"}`, `{"Named":{}}`} {
		var refused *strictjson.Error
		if err := strictjson.Decode([]byte(body), &dst); !errors.As(err, &refused) || refused.Reason != "is not a known member" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

type (
	Audit struct {
		By string `json:"by"`
	}
	Named struct {
		At string `json:"at"`
	}
	Word string
)

// What stands beside each other is no deeper than one of it.
func TestDepthIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	many := func(value string) string { return strings.TrimSuffix(strings.Repeat(value+",", 40), ",") }
	for _, body := range []string{
		`{"email":"a","options":{"keys":[` + many(`{"name":"n"}`) + `]}}`,
		`{"email":"a","options":{"metadata":{"a":[` + many(`{}`) + `],"b":[` + many(`[]`) + `],"c":[` + many(`[{}]`) + `]}}}`,
	} {
		if _, err := decode(t, body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	type lists struct{ A, B, C []string }
	if err := (strictjson.Limits{Depth: 2}).Decode([]byte(`{"A":[],"B":[],"C":["x"]}`), new(lists)); err != nil {
		t.Error(err)
	}
	var refused *strictjson.Error
	if err := (strictjson.Limits{Depth: 1}).Decode([]byte(`{"A":[]}`), new(lists)); !errors.As(err, &refused) || refused.Error() != "A is nested too deeply" {
		t.Errorf("a list in a body that may have none: %v", err)
	}
}

// encoding/json has a limit of its own.
func TestAMapIsNoDeeperThanCanBeDecoded(t *testing.T) {
	t.Parallel()
	const depth = 10_001
	l := strictjson.Limits{Depth: 1 << 20, Values: 1 << 20, FreeForm: 1 << 20}
	body := `{"email":"a","options":{"extra":{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}}}`
	var dst signUp
	var refused *strictjson.Error
	if err := l.Decode([]byte(body), &dst); !errors.As(err, &refused) || refused.Error() != "options.extra is not valid" || dst.Options != nil {
		t.Errorf("got %v, %+v", err, dst)
	}
}

func TestDecodeTakesFreeFormValues(t *testing.T) {
	t.Parallel()
	for _, number := range []string{
		"true", "false", "null", "0", "-0", "0.0", "0e999999999", "0e-999999999", "1e308", "5e-324", "-1.5E+3", strings.Repeat("1", 64),
	} {
		body := `{"email":"a","options":{"metadata":{"n":` + number + `}}}`
		got, err := decode(t, body)
		if err != nil {
			t.Errorf("%s: %v", number, err)
		} else if want := `{"n":` + number + `}`; string(got.Options.Metadata) != want {
			t.Errorf("got %s, want %s", got.Options.Metadata, want)
		}
	}
}

// UR-06: at a limit a body is taken, one above it is refused.
func TestLimits(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string { // the whole body is depth levels deep
		return `{"email":"a","options":{"metadata":` + strings.Repeat(`{"a":`, depth-3) + `{}` + strings.Repeat("}", depth-3) + "}}"
	}
	arrays := func(depth int) string {
		return `{"email":"a","options":{"metadata":{"a":` + strings.Repeat("[", depth-3) + strings.Repeat("]", depth-3) + "}}}"
	}
	recursive := func(depth int) string {
		return `{"email":"a","options":` + strings.Repeat(`{"nested":`, depth-2) + "{}" + strings.Repeat("}", depth-2) + "}"
	}
	elements := func(values int) string { // email, options, metadata and a are values too
		return `{"email":"a","options":{"metadata":{"a":[` + strings.TrimSuffix(strings.Repeat("0,", values-4), ",") + "]}}}"
	}
	members := func(values int) string {
		var b strings.Builder
		for i := range values - 3 {
			fmt.Fprintf(&b, `,"%d":0`, i)
		}
		return `{"email":"a","options":{"metadata":{` + strings.TrimPrefix(b.String(), ",") + "}}}"
	}
	roles := func(values int) string { // email, options and allowedRoles are values too
		return `{"email":"a","options":{"allowedRoles":[` + strings.TrimSuffix(strings.Repeat(`"",`, values-3), ",") + "]}}"
	}
	sized := func(bytes int) string {
		return `{"email":"a","options":{"metadata":{"a":"` + strings.Repeat("x", bytes-len(`{"a":""}`)) + `"}}}`
	}

	for _, tc := range []struct {
		name   string
		limits strictjson.Limits
		body   func(int) string
		limit  int
		reason string
	}{
		{"depth of objects", strictjson.Limits{}, nested, 32, "is nested too deeply"},
		{"depth of arrays", strictjson.Limits{}, arrays, 32, "is nested too deeply"},
		{"depth of a destination that contains itself", strictjson.Limits{}, recursive, 32, "is nested too deeply"},
		{"depth as configured", strictjson.Limits{Depth: 5}, nested, 5, "is nested too deeply"},
		{"elements", strictjson.Limits{}, elements, 1024, "has too many values"},
		{"members", strictjson.Limits{}, members, 1024, "has too many values"},
		{"elements of a destination", strictjson.Limits{}, roles, 1024, "has too many values"},
		{"values as configured", strictjson.Limits{Values: 9}, members, 9, "has too many values"},
		{"free-form size", strictjson.Limits{}, sized, 16384, "is too large"},
		{"free-form size as configured", strictjson.Limits{FreeForm: 100}, sized, 100, "is too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var dst signUp
			if err := tc.limits.Decode([]byte(tc.body(tc.limit)), &dst); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			err := tc.limits.Decode([]byte(tc.body(tc.limit+1)), &dst)
			var refused *strictjson.Error
			if !errors.As(err, &refused) || refused.Reason != tc.reason {
				t.Fatalf("above the limit: got %v, want %q", err, tc.reason)
			}
			// There are too many in the body, wherever the last one stands.
			if whole := tc.reason == "has too many values"; whole != (refused.Path == "") {
				t.Errorf("above the limit: got %v", err)
			}
		})
	}
}

// UR-06: what is far above the limits is refused as soon as the limit is met.
func TestHugeBodies(t *testing.T) {
	t.Parallel()
	wrap := func(metadata string) string { return `{"email":"a","options":{"metadata":` + metadata + `}}` }
	for _, tc := range []struct{ name, body string }{
		{"1 MiB of text", wrap(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)},
		{"20,000 objects deep", wrap(strings.Repeat(`{"a":`, 20000))},
		{"20,000 arrays deep", wrap(`{"a":` + strings.Repeat("[", 20000))},
		{"a million digits", wrap(`{"a":` + strings.Repeat("9", 1000000) + `}`)},
		{"a million elements", wrap(`{"a":[` + strings.Repeat("0,", 1000000) + `0]}`)},
		{"a name of a million characters", `{"` + strings.Repeat("<", 1000000) + `":1}`},
		{"a million escapes", wrap(`{"a":"` + strings.Repeat(`\u0041`, 1000000) + `"}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var refused *strictjson.Error
			if _, err := decode(t, tc.body); !errors.As(err, &refused) {
				t.Fatalf("got %v", err)
			}
			if len(refused.Error()) > 401 {
				t.Errorf("message of %d bytes", len(refused.Error()))
			}
		})
	}
}

// LG-06, LG-12: whatever stands in a body, the message is short, one line of printable ASCII and free of markup.
func TestErrorIsSafeToShow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, path string }{
		{"a\r\nb", `["a\u000d\u000ab"]`},
		{"\x1b[31m", `["\u001b[31m"]`},
		{"\u2028\u202e", `["\u2028\u202e"]`},
		{"\x7f\u0085", `["\u007f\u0085"]`},
		{"<script>&'`", `["\u003cscript\u003e\u0026\u0027\u0060"]`},
		{`"\`, `["\u0022\u005c"]`},
		{"😀", `["\U0001f600"]`},
		{"a.b", `["a.b"]`},
		{"\x1f ~", `["\u001f ~"]`},
		{"\uffff", `["\uffff"]`},
		{"\U00010000", `["\U00010000"]`},
		{strings.Repeat("a", 40), strings.Repeat("a", 40)},
		{strings.Repeat("a", 41), `["` + strings.Repeat("a", 40) + `..."]`},
		{strings.Repeat("é", 100), `["` + strings.Repeat(`\u00e9`, 32) + `\u0...`},
	} {
		for _, format := range []string{`{%s:1}`, `{"email":"a","options":{"metadata":{%[1]s:1,%[1]s:2}}}`} {
			name, err := json.Marshal(tc.name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = decode(t, fmt.Sprintf(format, name))
			var refused *strictjson.Error
			if !errors.As(err, &refused) {
				t.Fatalf("%q: %v", tc.name, err)
			}
			if format[1] == '%' && refused.Path != tc.path {
				t.Errorf("%q: path %s, want %s", tc.name, refused.Path, tc.path)
			}
			checkSafe(t, refused)
		}
	}
	deep := `{"email":"a","options":{"metadata":` + strings.Repeat(`{"`+strings.Repeat("a", 40)+`":`, 40)
	_, err := decode(t, deep)
	var refused *strictjson.Error
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	checkSafe(t, refused)

	// A path is shown whole if it fits.
	level := strings.Repeat("a", 40)
	for size, want := range map[int]string{200: strings.Repeat("b", 19), 201: strings.Repeat("b", 16) + "..."} {
		name := strings.Repeat("b", size-len("options.metadata.")-4*len("."+level))
		body := `{"email":"a","options":{"metadata":` + strings.Repeat(`{"`+level+`":`, 4) + `{"` + name + `":1,"` + name + `":1`
		_, err := decode(t, body)
		if !errors.As(err, &refused) || refused.Path != "options.metadata"+strings.Repeat("."+level, 4)+"."+want {
			t.Errorf("a path of %d bytes: %v", size, err)
		}
	}
}

func checkSafe(t *testing.T, err *strictjson.Error) {
	t.Helper()
	for _, s := range []string{err.Path, err.Reason} {
		if len(s) > 200 {
			t.Errorf("%d bytes: %s", len(s), s)
		}
		for _, r := range s {
			if r < ' ' || r > '~' || strings.ContainsRune("<>&'`", r) {
				t.Errorf("character %q in %s", r, s)
			}
		}
	}
}

func TestNothingRefersToTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(`{"email":"abc","options":{"metadata":{"a":1},"extra":{"b":"c"},"allowedRoles":["user"]}}`)
	var dst signUp
	if err := strictjson.Decode(body, &dst); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if dst.Email != "abc" || string(dst.Options.Metadata) != `{"a":1}` || dst.Options.Extra["b"] != "c" || dst.Options.AllowedRoles[0] != "user" {
		t.Errorf("destination changed with the body: %+v, %+v", dst, dst.Options)
	}
}

func TestAbsentMembersKeepTheirField(t *testing.T) {
	t.Parallel()
	changed := options{Remember: true, Locale: "preset", Lifetime: 1}
	if err := strictjson.Decode([]byte(`{"remember":false,"locale":"","lifetime":0}`), &changed); err != nil {
		t.Fatal(err)
	}
	if changed.Remember || changed.Locale != "" || changed.Lifetime != 0 {
		t.Errorf("got %+v", changed)
	}
	dst := signUp{NoTag: "preset", audit: audit{Reason: "preset"}}
	if err := strictjson.Decode([]byte(`{"email":"a","reason":null}`), &dst); err != nil {
		t.Fatal(err)
	}
	if dst.NoTag != "preset" || dst.Reason != "preset" {
		t.Errorf("got %+v", dst)
	}
}

type (
	selfDecoding struct{ time.Time }
	unsuitable   struct{ F float64 }
)

// A destination that cannot work is told apart from a body that is refused.
func TestUnsuitableDestinations(t *testing.T) {
	t.Parallel()
	type tooMany struct {
		A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z, A1, B1, C1, D1, E1, F1, G1   string
		H1, I1, J1, K1, L1, M1, N1, O1, P1, Q1, R1, S1, T1, U1, V1, W1, X1, Y1, Z1, A2, B2, C2, D2, E2, F2, G2, H2 string
		I2, J2, K2, L2, M2                                                                                         string
	}
	for _, tc := range []struct {
		name string
		dst  any
		want string
	}{
		{"nil", nil, "not a non-nil pointer"},
		{"a struct", signUp{}, "not a non-nil pointer"},
		{"a nil pointer", (*signUp)(nil), "not a non-nil pointer"},
		{"a pointer to a map", &map[string]any{}, "not a non-nil pointer"},
		{"a type that decodes itself", &selfDecoding{}, "decodes itself"},
		{"a float", &struct{ F float64 }{}, "float64 is not supported"},
		{"an interface", &struct{ V any }{}, "interface {} is not supported"},
		{"bytes", &struct{ B []byte }{}, "[]uint8 is not supported"},
		{"an array", &struct{ A [2]string }{}, "[2]string is not supported"},
		{"a map of strings", &struct{ M map[string]string }{}, "map[string]string is not supported"},
		{"a channel in a slice", &struct{ C []chan int }{}, "chan int is not supported"},
		{"a pointer to a pointer", &struct{ P **string }{}, "**string is not supported"},
		{"a struct within", &struct{ S struct{ F float32 } }{}, "float32 is not supported"},
		{"a struct that is embedded", &struct{ unsuitable }{}, "float64 is not supported"},
		{"a string option", &struct {
			N int `json:"n,string"`
		}{}, "option string"},
		{"an unknown strict tag", &struct {
			N int `strict:"optional"`
		}{}, "strict tag"},
		{"two members of one name", &struct {
			A string `json:"B"`
			B string
		}{}, "second member"},
		{"two members of one name by embedding", &struct {
			audit
			B string `json:"reason"`
		}{}, "second member"},
		{"too many members", &tooMany{}, "more than 64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := strictjson.Decode([]byte(`{}`), tc.dst)
			var refused *strictjson.Error
			if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	body := []byte(requestBody)
	var dst request
	if n := testing.AllocsPerRun(100, func() {
		dst = request{}
		if err := strictjson.Decode(body, &dst); err != nil {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

type request struct {
	Email    string `json:"email" strict:"required"`
	Password string `json:"password" strict:"required"`
	Options  *struct {
		Locale       string   `json:"locale"`
		AllowedRoles []string `json:"allowedRoles"`
	} `json:"options"`
}

const requestBody = `{"email":"someone@example.test","password":"correct horse battery","options":{"locale":"en","allowedRoles":["user","me"]}}`

func BenchmarkDecode(b *testing.B) {
	body := []byte(requestBody)
	b.ReportAllocs()
	for b.Loop() {
		var dst request
		if err := strictjson.Decode(body, &dst); err != nil {
			b.Fatal(err)
		}
	}
}

// For comparison.
func BenchmarkUnmarshal(b *testing.B) {
	body := []byte(requestBody)
	b.ReportAllocs()
	for b.Loop() {
		var dst request
		if err := json.Unmarshal(body, &dst); err != nil {
			b.Fatal(err)
		}
	}
}

// The time for each member must not grow with their number, apart from what a cache miss costs.
func BenchmarkDecodeMembers(b *testing.B) {
	for _, n := range []int{100, 1000, 10000, 100000} {
		var body strings.Builder
		body.WriteString(`{"email":"a","options":{"metadata":{`)
		for i := range n {
			if i > 0 {
				body.WriteByte(',')
			}
			body.WriteString(strconv.Quote("key" + strconv.Itoa(i)))
			body.WriteString(`:"\u00e9"`)
		}
		body.WriteString("}}}")
		text := []byte(body.String())
		limits := strictjson.Limits{Values: 1 << 20, FreeForm: 1 << 24}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var dst signUp
				if err := limits.Decode(text, &dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
