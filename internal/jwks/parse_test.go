package jwks_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/internal/jwks"
)

func published(t testing.TB) jwks.Set {
	t.Helper()
	var set jwks.Set
	for _, k := range []struct {
		key any
		alg string
	}{{rsaKey(t), "RS256"}, {ecKey(t), "ES256"}, {edKey(t), "EdDSA"}} {
		jwk, err := jwks.PublicJWK(k.key, "", k.alg)
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, jwk)
	}
	return set
}

func TestWhatIsPublishedIsRead(t *testing.T) {
	t.Parallel()
	set := published(t)
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwks.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var again jwks.Set
	for _, k := range keys {
		jwk, err := jwks.PublicJWK(k.Key, k.ID, k.Algorithm)
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, jwk)
	}
	if diff := cmp.Diff(set, again); diff != "" {
		t.Error(diff)
	}
}

// JW-02, JW-03, JW-12: a key of a set is one that could have been published, or it is nothing.
func TestKeysOfASetThatAreLeftOut(t *testing.T) {
	t.Parallel()
	set := published(t)
	text := func(i int) string {
		b, err := json.Marshal(set[i])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rsa, ec, ed := text(0), text(1), text(2)
	decoded := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	encode := base64.RawURLEncoding.EncodeToString
	x, y := decoded(set[1].X), decoded(set[1].Y)
	with := func(key, member string) string { return strings.TrimSuffix(key, "}") + "," + member + "}" }
	for name, key := range map[string]string{
		"a symmetric key":               `{"kty":"oct","k":"AAAA","kid":"1","alg":"HS256"}`,
		"a symmetric algorithm":         strings.Replace(ed, "EdDSA", "HS256", 1),
		"an RSA key for ES256":          strings.Replace(rsa, "RS256", "ES256", 1),
		"an RSA key for PSS":            strings.Replace(rsa, "RS256", "PS256", 1),
		"no algorithm":                  strings.Replace(ed, `"alg":"EdDSA",`, "", 1),
		"alg none":                      strings.Replace(ed, "EdDSA", "none", 1),
		"no name":                       strings.Replace(ed, `"kid":"`+set[2].Kid+`",`, "", 1),
		"an empty name":                 strings.Replace(ed, set[2].Kid, "", 1),
		"for encryption":                strings.Replace(ed, `"sig"`, `"enc"`, 1),
		"for signing only":              with(ed, `"key_ops":["sign"]`),
		"for nothing":                   with(ed, `"key_ops":[]`),
		"for what is no list":           with(ed, `"key_ops":"verify"`),
		"for what is no operation":      with(ed, `"key_ops":["verify",1]`),
		"for what is no text":           strings.Replace(ed, `"sig"`, `1`, 1),
		"a private key":                 with(ed, `"d":"AAAA"`),
		"a private RSA key":             with(rsa, `"p":"AAAA"`),
		"a secret besides":              with(ed, `"k":"AAAA"`),
		"another curve":                 strings.Replace(ec, "P-256", "P-384", 1),
		"a point off the curve":         strings.Replace(ec, set[1].Y, set[1].X, 1),
		"P-256 of another type":         strings.Replace(ec, `"EC"`, `"OKP"`, 1),
		"Ed25519 of another type":       strings.Replace(ed, `"OKP"`, `"EC"`, 1),
		"Ed448":                         strings.Replace(ed, "Ed25519", "Ed448", 1),
		"a byte in the other half":      strings.NewReplacer(set[1].X, encode(append(x, y[0])), set[1].Y, encode(y[1:])).Replace(ec),
		"a short coordinate":            strings.Replace(ec, set[1].X, set[1].X[:40], 1),
		"a short Ed25519 key":           strings.Replace(ed, set[2].X, "AAAA", 1),
		"Ed25519 with padding":          strings.Replace(ed, set[2].X, set[2].X+"=", 1),
		"another spelling of a key":     strings.Replace(ed, set[2].X, set[2].X[:42]+"p", 1),
		"an RSA key of 512 bits":        strings.Replace(rsa, set[0].N, set[0].N[:86], 1),
		"an RSA key beyond measure":     strings.Replace(rsa, set[0].N, strings.Repeat("_", 3000), 1),
		"an even exponent":              strings.Replace(rsa, `"AQAB"`, `"BA"`, 1),
		"an exponent of 64 bits":        strings.Replace(rsa, `"AQAB"`, `"AQAAAAAAAAAB"`, 1),
		"an exponent of 5 bytes":        strings.Replace(rsa, `"AQAB"`, `"`+encode([]byte{0, 0, 1, 0, 1})+`"`, 1),
		"an exponent of 32 bits":        strings.Replace(rsa, `"AQAB"`, `"`+encode([]byte{0x80, 0, 0, 1})+`"`, 1),
		"an exponent with padding":      strings.Replace(rsa, `"AQAB"`, `"AQAB="`, 1),
		"a modulus with padding":        strings.Replace(rsa, set[0].N, encode(append([]byte{0, 0}, decoded(set[0].N)...))+"=", 1),
		"no exponent":                   strings.Replace(rsa, `"AQAB"`, `""`, 1),
		"a member that is not a string": strings.Replace(ed, `"Ed25519"`, `1`, 1),
		"an unknown type":               `{"kty":"AKP","alg":"ML-DSA-44","kid":"1","pub":"AAAA"}`,
		"no object":                     `1`,
	} {
		keys, err := jwks.Parse([]byte(`{"keys":[` + key + `,` + text(1) + `]}`))
		if name == "no object" || err == nil && len(keys) == 1 && keys[0].ID == set[1].Kid {
			continue
		}
		t.Errorf("%s: %+v, %v", name, keys, err)
	}
	for name, key := range map[string]string{
		"a member that nobody knows": with(ed, `"x5u":"https://evil.example"`), "no use": strings.Replace(ed, `"use":"sig",`, "", 1),
		"for verifying":          with(ed, `"key_ops":["verify"]`),
		"an exponent of 31 bits": strings.Replace(rsa, `"AQAB"`, `"`+encode([]byte{0x7f, 0xff, 0xff, 0xff})+`"`, 1),
	} {
		if keys, err := jwks.Parse([]byte(`{"keys":[` + key + `]}`)); err != nil || len(keys) != 1 {
			t.Errorf("%s: %+v, %v", name, keys, err)
		}
	}
}

func TestSetsThatAreRefused(t *testing.T) {
	t.Parallel()
	ed, err := json.Marshal(published(t)[2])
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`{"kid":"%d"}`, i)
	}
	for name, text := range map[string]string{
		"nothing": ``, "no object": `[]`, "no keys": `{}`, "null": `{"keys":null}`, "an object of keys": `{"keys":{}}`,
		"two sets": `{"keys":[],"keys":[]}`, "more behind": `{"keys":[]} x`, "cut off": `{"keys":[`,
		"a duplicate member":    `{"keys":[` + strings.Replace(string(ed), "{", `{"kid":"other",`, 1) + `]}`,
		"two keys with one kid": `{"keys":[` + string(ed) + `,` + string(ed) + `]}`,
		"too many keys":         `{"keys":[` + strings.Join(many, ",") + `]}`,
	} {
		if keys, err := jwks.Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, keys)
		}
	}
	if keys, err := jwks.Parse([]byte(`{"keys":[]}`)); err != nil || len(keys) != 0 {
		t.Errorf("the empty set: %v, %v", keys, err)
	}
	// As many as there may be, and what else is in the set does not matter, wherever it stands.
	for _, text := range []string{
		`{"keys":[` + string(ed) + `,` + strings.Join(many[:99], ",") + `]}`,
		`{"keys":[` + string(ed) + `],"other":[]}`, `{"other":[],"keys":[` + string(ed) + `]}`,
	} {
		if keys, err := jwks.Parse([]byte(text)); err != nil || len(keys) != 1 {
			t.Errorf("%.60s: %v, %v", text, keys, err)
		}
	}
}

// Who walks a set learns why the walk has ended: their own error is theirs, and comes at once.
func TestEachSaysWhyItEnds(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	many := `{"keys":[` + strings.Repeat(`1,`, 100) + `1]}`
	for name, tt := range map[string]struct {
		text  string
		stop  int // at this key; 0: never
		calls int
		want  error
	}{
		"to the end":    {`{"keys":[1,2,3]}`, 0, 3, nil},
		"to an error":   {`{"keys":[1,2,3]}`, 2, 2, enough},
		"too many":      {many, 0, 100, jwks.ErrTooMany},
		"not a set":     {`{"keys":[1,2`, 0, 0, jwks.ErrNotSet},
		"keys are not":  {`{"keys":{"a":1}}`, 0, 0, jwks.ErrNotSet},
		"without keys":  {`{"other":[1]}`, 0, 0, jwks.ErrNotSet},
		"nothing there": {``, 0, 0, jwks.ErrNotSet},
	} {
		calls := 0
		err := jwks.Each([]byte(tt.text), func([]byte) error {
			if calls++; calls == tt.stop {
				return enough
			}
			return nil
		})
		if !errors.Is(err, tt.want) || calls != tt.calls {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := json.Marshal(published(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := jwks.Parse(text)
		if err != nil && keys != nil {
			t.Fatal("keys with an error")
		}
		for _, k := range keys {
			written, err := jwks.PublicJWK(k.Key, k.ID, k.Algorithm)
			if err != nil || k.ID == "" {
				t.Fatalf("%+v: %v", k, err)
			}
			set, err := json.Marshal(map[string]any{"keys": []any{written}})
			if err != nil {
				t.Fatal(err)
			}
			again, err := jwks.Parse(set)
			if err != nil || len(again) != 1 || again[0].ID != k.ID || again[0].Algorithm != k.Algorithm || thumbprint(t, again[0].Key) != thumbprint(t, k.Key) {
				t.Fatalf("%+v is written as %s, which is %+v, %v", k, set, again, err)
			}
		}
	})
}
