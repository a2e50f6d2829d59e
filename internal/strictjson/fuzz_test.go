package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ostiary/auth/internal/strictjson"
)

// FuzzDecode: what is accepted, encoding/json accepts with the same result; what is refused has a safe message.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"email":"a@b.test"}`, requestBody,
		`{"email":"\u0061\ud83d\ude00","password":null,"options":{"metadata":{"a":[1,-0.5e3,null,{"b":"\n"}]},"extra":{"c":{}}}}`,
		`{"email":"a","options":{"remember":true,"lifetime":-1,"small":1,"count":2,"expiresAt":"2030-01-02T03:04:05Z",` +
			`"id":"00000000-0000-0000-0000-000000000001","nested":{"keys":[{"name":"k"}]},"times":[],"allowedRoles":["x"]}}`,
		`{"email":"a","email":"b"}`, `{"Email":"a"}`, "{\"email\":\"\xff\"}", `{"email":"\ud800"}`, `{"email":"a"} x`, `[]`, `{"a":`,
		`{"<script>":1}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want signUp
		if err := strictjson.Decode(body, &got); err != nil {
			var refused *strictjson.Error
			if !errors.As(err, &refused) {
				t.Fatalf("%v is not an *Error", err)
			}
			checkSafe(t, refused)
			if !reflect.DeepEqual(got, signUp{}) {
				t.Fatalf("destination after an error: %+v", got)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses: %v", err)
		}
		forgetNull(want.Options)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v %+v\nwant %+v %+v", got, got.Options, want, want.Options)
		}
	})
}

// forgetNull undoes the one difference to encoding/json: it keeps null in a json.RawMessage.
func forgetNull(o *options) {
	for ; o != nil; o = o.Nested {
		if string(o.Metadata) == "null" {
			o.Metadata = nil
		}
	}
}

// FuzzRoundTrip: what encoding/json writes is accepted and read back, unless it holds U+0000.
func FuzzRoundTrip(f *testing.F) {
	f.Add("a@b.test", "password", "en", "k", int64(5), uint16(6), true)
	f.Add("é\u2028", "\"\\\x1f", "", "😀", int64(-1), uint16(0), false)
	f.Fuzz(func(t *testing.T, email, password, locale, name string, lifetime int64, count uint16, remember bool) {
		total := 0
		for _, s := range []string{email, password, locale, name} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return
			}
			total += len(s)
		}
		if total > 2000 {
			return
		}
		metadata, err := json.Marshal(map[string]any{name: []any{email, lifetime}, name + "x": nil})
		if err != nil {
			t.Fatal(err)
		}
		expires := time.Unix(int64(count), 0).UTC()
		want := signUp{Email: email, Password: &password, Options: &options{
			Locale: locale, AllowedRoles: []string{name, email}, Metadata: metadata, Extra: map[string]any{name: password},
			Remember: remember, Lifetime: lifetime, Count: count, ExpiresAt: &expires, Nested: &options{Locale: name},
			Keys: []key{{name}, {locale}},
		}}
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got signUp
		if err := strictjson.Decode(body, &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v %+v\nwant %+v %+v", got, got.Options, want, want.Options)
		}
	})
}
