package ceremony_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
)

// replace returns a change of the client data.
func replace(old, with string) func(*registration) {
	return func(r *registration) { r.clientData = replaceOnce(r.t, r.clientData, old, with) }
}

func replaceOnce(t testing.TB, s, old, with string) string {
	t.Helper()
	if strings.Count(s, old) != 1 {
		t.Fatalf("%q is not once in %s", old, s)
	}
	return strings.Replace(s, old, with, 1)
}

// raw is a JSON text that is put into an answer as it is.
func raw(text string) json.RawMessage { return json.RawMessage(text) }

func TestRegister(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	plain := ceremony.Credential{
		ID: []byte("credential"), PublicKey: encode(t, d.cose), Algorithm: -7, UserVerified: true, AttestationFormat: "none",
	}
	with := func(change func(*ceremony.Credential)) ceremony.Credential {
		c := plain
		change(&c)
		return c
	}
	tests := []struct {
		name   string
		change func(*registration)
		config func(*ceremony.Config)
		expect ceremony.Expectation
		want   ceremony.Credential
	}{
		{name: "a plain answer", want: plain},
		{name: "user verification that is required", expect: ceremony.Expectation{UserVerification: true}, want: plain},
		{ // WA-09
			name:   "no user verification where it is not required",
			change: func(r *registration) { r.data.flags &^= flagUV },
			want:   with(func(c *ceremony.Credential) { c.UserVerified = false }),
		},
		{
			name: "backup flags, counter and model",
			change: func(r *registration) {
				r.data.flags |= flagBE | flagBS
				r.data.counter = 1 << 31
				r.data.aaguid = bytesOf(16, 7)
			},
			want: with(func(c *ceremony.Credential) {
				c.BackupEligible, c.BackupState, c.SignCount, c.AAGUID = true, true, 1<<31, uuid.UUID(bytesOf(16, 7))
			}),
		},
		{
			name:   "backup eligible and not backed up",
			change: func(r *registration) { r.data.flags |= flagBE },
			want:   with(func(c *ceremony.Credential) { c.BackupEligible = true }),
		},
		{name: "reserved flags", change: func(r *registration) { r.data.flags |= 0x22 }, want: plain},
		{
			name: "extension outputs of the authenticator that nobody requested", // WA-19
			change: func(r *registration) {
				r.data.flags |= flagED
				r.data.extensions = encode(t, map[string]any{"credProtect": 2})
			},
			want: plain,
		},
		{
			name:   "a credential id of 1 byte",
			change: func(r *registration) { r.data.id = []byte{0} },
			want:   with(func(c *ceremony.Credential) { c.ID = []byte{0} }),
		},
		{
			name:   "a credential id of 1023 bytes", // WA-18
			change: func(r *registration) { r.data.id = bytesOf(1023, 'i') },
			want:   with(func(c *ceremony.Credential) { c.ID = bytesOf(1023, 'i') }),
		},
		{
			name: "a key that is not in canonical order",
			change: func(r *registration) {
				r.data.key = slices.Concat([]byte{0xa5, 3, 0x26, 1, 2, 0x20, 1}, r.data.key[7:])
			},
			want: plain,
		},
		{
			name: "transports, of which those without the form of one are dropped",
			change: func(r *registration) {
				r.response["transports"] = []string{"usb", "USB", "", "hybrid", "usb", "smart-card", "<b>", "`", "{", "/", ":", strings.Repeat("a", 33), "x-9"}
			},
			want: with(func(c *ceremony.Credential) { c.Transports = []string{"usb", "hybrid", "smart-card", "x-9"} }),
		},
		{
			name: "transports at the ends of their form",
			change: func(r *registration) {
				r.response["transports"] = []string{"a", "z", "0", "9", "-", strings.Repeat("a", 32)}
			},
			want: with(func(c *ceremony.Credential) {
				c.Transports = []string{"a", "z", "0", "9", "-", strings.Repeat("a", 32)}
			}),
		},
		{
			name:   "more than 8 transports",
			change: func(r *registration) { r.response["transports"] = strings.Split("a b c d e f g h i j", " ") },
			want:   with(func(c *ceremony.Credential) { c.Transports = strings.Split("a b c d e f g h", " ") }),
		},
		{
			name:   "platform attachment",
			change: func(r *registration) { r.top["authenticatorAttachment"] = "platform" },
			want:   with(func(c *ceremony.Credential) { c.Attachment = "platform" }),
		},
		{
			name:   "cross-platform attachment",
			change: func(r *registration) { r.top["authenticatorAttachment"] = "cross-platform" },
			want:   with(func(c *ceremony.Credential) { c.Attachment = "cross-platform" }),
		},
		{
			name:   "an attachment of the future",
			change: func(r *registration) { r.top["authenticatorAttachment"] = "implanted" },
			want:   plain,
		},
		{
			name: "null for everything optional",
			change: func(r *registration) {
				r.top["authenticatorAttachment"], r.top["clientExtensionResults"] = nil, nil
				r.response["transports"], r.response["publicKey"], r.response["publicKeyAlgorithm"] = nil, nil, nil
				r.response["authenticatorData"] = nil
			},
			want: plain,
		},
		{
			name:   "nothing optional",
			change: func(r *registration) { r.top["clientExtensionResults"] = drop },
			want:   plain,
		},
		{
			name:   "unknown members around the response",
			change: func(r *registration) { r.top["nickname"], r.top["Id"] = map[string]any{"a": 1}, "x" },
			want:   plain,
		},
		{
			name: "other data, key and algorithm beside the attestation object, which are ignored",
			change: func(r *registration) {
				r.response["authenticatorData"], r.response["publicKey"], r.response["publicKeyAlgorithm"] = "AA==", 1, "x"
			},
			want: plain,
		},
		{
			name: "client extension outputs of any form", // WA-19
			change: func(r *registration) {
				r.top["clientExtensionResults"] = raw(`{"credProps":{"rk":true},"appid":true,"mine":{"a":[1]},"prf":7}`)
			},
			want: plain,
		},
		{
			name:   "unknown members of client data", // WA-16
			change: replace(`"crossOrigin":false`, `"crossOrigin":false,"new_keys_may_be_added_here":"x","Origin":"y","tokenBinding":{}`),
			want:   plain,
		},
		{name: "client data without crossOrigin", change: replace(`,"crossOrigin":false`, ``), want: plain},
		{name: "client data with white space and escapes", change: replace(`"origin":"https:`, "\n\t\"origin\" : \"\\u0068ttps:"), want: plain},
		{
			name:   "an app as origin", // WA-22
			change: replace(origin, "android:apk-key-hash:kLGi2hCFTdMSAMeYD4Mx7bXZ2lBFJPPfJZ8kEOaxUYU"),
			config: func(c *ceremony.Config) {
				c.Origins = append(c.Origins, "android:apk-key-hash:kLGi2hCFTdMSAMeYD4Mx7bXZ2lBFJPPfJZ8kEOaxUYU")
			},
			want: plain,
		},
		{
			name:   "a second origin with a port",
			change: replace(origin, "http://localhost:3000"),
			config: func(c *ceremony.Config) { c.Origins = append(c.Origins, "http://localhost:3000") },
			want:   plain,
		},
		{ // WA-06
			name:   "a frame in a page that is expected",
			change: replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://shop.test"`),
			config: func(c *ceremony.Config) { c.TopOrigins = []string{"https://shop.test"} },
			want:   plain,
		},
		{
			name:   "a frame in a page that is not named",
			change: replace(`"crossOrigin":false`, `"crossOrigin":true`),
			config: func(c *ceremony.Config) { c.TopOrigins = []string{"https://shop.test"} },
			want:   plain,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistration(t, d)
			if tt.change != nil {
				tt.change(r)
			}
			rp := relyingParty(t)
			if tt.config != nil {
				rp = relyingParty(t, tt.config)
			}
			got, err := register(rp, r.text(), tt.expect)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	embedding := func(c *ceremony.Config) { c.TopOrigins = []string{"https://shop.test"} }
	tests := []struct {
		name   string
		change func(*registration)
		config func(*ceremony.Config)
		expect ceremony.Expectation
		why    string
	}{
		// WA-01, WA-02: type and challenge.
		{name: "the type of an assertion", change: replace("webauthn.create", "webauthn.get"), why: "ceremony type"},
		{name: "a type with other letters", change: replace("webauthn.create", "WebAuthn.create"), why: "ceremony type"},
		{name: "no type", change: replace(`"type":"webauthn.create",`, ``), why: "ceremony type"},
		{name: "a challenge of 31 bytes", change: replace(challenge, b64(bytesOf(31, 'c'))), why: "does not have 32 bytes"},
		{name: "a challenge of 33 bytes", change: replace(challenge, b64(bytesOf(33, 'c'))), why: "does not have 32 bytes"},
		{name: "an empty challenge", change: replace(challenge, ""), why: "does not have 32 bytes"},
		{name: "no challenge", change: replace(`"challenge":"`+challenge+`",`, ``), why: "does not have 32 bytes"},
		{name: "a padded challenge", change: replace(challenge, challenge+"="), why: "challenge is not base64url"},
		{name: "a challenge with a line break", change: replace(challenge, challenge+`\n`), why: "challenge is not base64url"},
		{name: "a challenge with stray bits", change: replace(challenge, challenge[:42]+"N"), why: "challenge is not base64url"},
		{name: "a challenge in standard base64", change: replace(challenge, "+"+challenge[1:]), why: "challenge is not base64url"},

		// WA-06: frames.
		{name: "a frame", change: replace(`"crossOrigin":false`, `"crossOrigin":true`), why: "frame"},
		{
			name: "a frame in a page that is named", change: replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://shop.test"`),
			why: "frame",
		},
		{
			name: "a frame in another page", change: replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://evil.test"`),
			config: embedding, why: "topOrigin",
		},
		{
			name: "a frame in the page with a slash", change: replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://shop.test/"`),
			config: embedding, why: "topOrigin",
		},
		{
			name: "a frame in an own page", change: replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://example.org"`),
			config: embedding, why: "topOrigin",
		},
		{
			name: "a frame in a page with an empty name", change: replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":""`),
			config: embedding, why: "topOrigin",
		},
		{
			name: "an embedding page without a frame", change: replace(`"crossOrigin":false`, `"crossOrigin":false,"topOrigin":"https://shop.test"`),
			config: embedding, why: "although crossOrigin",
		},
		{
			name: "an empty embedding page without a frame", change: replace(`"crossOrigin":false`, `"topOrigin":""`),
			config: embedding, why: "although crossOrigin",
		},

		// WA-16: the form of client data.
		{name: "client data with a byte order mark", change: func(r *registration) { r.clientData = "\ufeff" + r.clientData }, why: "clientDataJSON"},
		{name: "client data that is an array", change: func(r *registration) { r.clientData = "[" + r.clientData + "]" }, why: "clientDataJSON"},
		{name: "empty client data", change: func(r *registration) { r.clientData = "" }, why: "clientDataJSON"},
		{name: "client data with something behind it", change: func(r *registration) { r.clientData += "{}" }, why: "after its JSON"},
		{name: "client data that is cut", change: func(r *registration) { r.clientData = r.clientData[:len(r.clientData)-1] }, why: "not valid JSON"},
		{name: "client data that is not UTF-8", change: replace(`"crossOrigin"`, "\"a\":\"\xff\",\"crossOrigin\""), why: "UTF-8"},
		{name: "client data in UTF-16", change: func(r *registration) { r.clientData = strings.Join(strings.Split(r.clientData, ""), "\x00") }, why: "clientDataJSON"},
		{name: "half a surrogate pair", change: replace(`"crossOrigin"`, `"a":"\ud800","crossOrigin"`), why: "surrogate"},
		{name: "two origins", change: replace(`"crossOrigin"`, `"origin":"https://evil.test","crossOrigin"`), why: "origin is given twice"},
		{name: "two origins, one escaped", change: replace(`"crossOrigin"`, `"\u006frigin":"https://evil.test","crossOrigin"`), why: "origin is given twice"},
		{name: "a member given twice that is not known", change: replace(`"crossOrigin"`, `"a":1,"a":1,"crossOrigin"`), why: "given twice"},
		{name: "a type with a capital", change: replace(`"type"`, `"Type"`), why: "ceremony type"},
		{name: "a challenge with a capital", change: replace(`"challenge"`, `"Challenge"`), why: "challenge does not have"},
		{name: "an origin with a capital", change: replace(`"origin"`, `"Origin"`), why: `origin "" is not expected`},
		{name: "a type that is a number", change: replace(`"webauthn.create"`, `1`), why: "type must be a string"},
		{name: "a challenge that is null", change: replace(`"`+challenge+`"`, `null`), why: "challenge must be a string"},
		{name: "an origin in an array", change: replace(`"`+origin+`"`, `["`+origin+`"]`), why: "origin must be a string"},
		{name: "a topOrigin that is null", change: replace(`"crossOrigin"`, `"topOrigin":null,"crossOrigin"`), why: "topOrigin must be a string"},
		{name: "a crossOrigin that is text", change: replace(`false`, `"false"`), why: "crossOrigin must be true or false"},
		{name: "a crossOrigin that is null", change: replace(`false`, `null`), why: "crossOrigin must be true or false"},
		{name: "a crossOrigin that is a number", change: replace(`false`, `0`), why: "crossOrigin must be true or false"},
		{
			name:   "client data that is too large",
			change: replace(`"crossOrigin"`, `"a":"`+strings.Repeat("a", maxClientData)+`","crossOrigin"`), why: "clientDataJSON has",
		},

		// WA-11, WA-08, WA-09, WA-10: the head of authenticator data.
		{name: "another RP ID", change: func(r *registration) { r.data.rpID = "evil.test" }, why: "RP Hash mismatch"},
		{name: "an RP ID above", change: func(r *registration) { r.data.rpID = "org" }, why: "RP Hash mismatch"},
		{name: "the origin as RP ID", change: func(r *registration) { r.data.rpID = origin }, why: "RP Hash mismatch"},
		{name: "no user presence", change: func(r *registration) { r.data.flags &^= flagUP }, why: "User presence"},
		{
			name: "no user verification", change: func(r *registration) { r.data.flags &^= flagUV },
			expect: ceremony.Expectation{UserVerification: true}, why: "User verification",
		},
		{name: "a backup that is not possible", change: func(r *registration) { r.data.flags |= flagBS }, why: "Backup Eligible"},

		// Attested credential data.
		{name: "no attested credential data", change: func(r *registration) { r.data.flags &^= flagAT }, why: "no attested credential data"},
		{
			name: "attested credential data without its flag", change: func(r *registration) {
				data := r.data.bytes()
				data[32] &^= flagAT
				r.rawData = data
			}, why: "flag not set",
		},
		{name: "authenticator data that is empty", change: func(r *registration) { r.rawData = []byte{} }, why: "too short"},
		{name: "authenticator data of 36 bytes", change: func(r *registration) { r.rawData = r.data.bytes()[:36] }, why: "too short"},
		{name: "the flag AT and nothing behind the head", change: func(r *registration) { r.rawData = r.data.bytes()[:37] }, why: "data is missing"},
		{name: "a credential id that is cut", change: func(r *registration) { r.rawData = r.data.bytes()[:60] }, why: "too short"},
		{name: "a key that is cut", change: func(r *registration) { r.data.key = r.data.key[:len(r.data.key)-1] }, why: "Public Key"},
		{name: "no key", change: func(r *registration) { r.data.key = nil }, why: "Public Key"},
		{name: "a byte behind the key", change: func(r *registration) { r.data.extensions = []byte{0} }, why: "Leftover bytes"},
		{name: "a map behind the key without its flag", change: func(r *registration) { r.data.extensions = []byte{0xa0} }, why: "Leftover bytes"}, // WA-19
		{name: "the flag ED without a map", change: func(r *registration) { r.data.flags |= flagED }, why: "extensions data is missing"},           // WA-19
		{name: "the flag ED with null", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0xf6} }, why: "not a map"},
		{name: "the flag ED with undefined", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0xf7} }, why: "not a map"},
		{name: "the flag ED with an array", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0x80} }, why: "extension outputs"},
		{name: "the flag ED with a cut map", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0xa1, 0x61, 'a'} }, why: "extension outputs"},
		{name: "the flag ED with numbers for names", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0xa1, 1, 1} }, why: "extension outputs"},
		{name: "the flag ED with a map and a byte", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0xa0, 0} }, why: "Leftover bytes"},
		{name: "the flag ED with two maps", change: func(r *registration) { r.data.flags |= flagED; r.data.extensions = []byte{0xa0, 0xa0} }, why: "Leftover bytes"},
		{
			name: "an extension given twice", change: func(r *registration) {
				r.data.flags |= flagED
				r.data.extensions = []byte{0xa2, 0x61, 'a', 1, 0x61, 'a', 2}
			}, why: "extension outputs",
		},
		{
			name: "authenticator data that is too large", change: func(r *registration) {
				r.data.flags |= flagED
				r.data.extensions = encode(r.t, map[string]any{"a": bytesOf(maxAuthenticatorData, 'a')})
			}, why: "authenticator data has more",
		},

		// WA-18: credential ids.
		{name: "an empty credential id", change: func(r *registration) { r.data.id = nil }, why: "id has 0 bytes"},
		{name: "a credential id of 1024 bytes", change: func(r *registration) { r.data.id = bytesOf(1024, 'i') }, why: "id has 1024 bytes"},
		{name: "a credential id of 16 KiB", change: func(r *registration) { r.data.id = bytesOf(16<<10, 'i') }, why: "id has 16384 bytes"},
		{
			name: "an attested credential id of 1024 bytes", change: func(r *registration) {
				r.data.id = bytesOf(1024, 'i')
				r.top["id"], r.top["rawId"] = b64(bytesOf(1023, 'i')), b64(bytesOf(1023, 'i'))
			}, why: "credential id length too long",
		},
		{name: "another attested credential id", change: func(r *registration) { r.top["id"], r.top["rawId"] = b64([]byte("other")), b64([]byte("other")) }, why: "not the attested"},
		{name: "an attested credential id that is longer than it says", change: func(r *registration) { r.data.idLength = 5 }, why: "Public Key"},
		{name: "an attested credential id that is shorter than it says", change: func(r *registration) { r.data.idLength = 1000 }, why: "too short"},
		{name: "another rawId", change: func(r *registration) { r.top["rawId"] = b64([]byte("other")) }, why: "differ"},
		{name: "another id", change: func(r *registration) { r.top["id"] = b64([]byte("other")) }, why: "differ"},
		{name: "no id", change: func(r *registration) { r.top["id"] = drop }, why: "differ"},
		{name: "neither id", change: func(r *registration) { r.top["id"], r.top["rawId"] = drop, drop }, why: "id has 0 bytes"},
		{name: "an id that is null", change: func(r *registration) { r.top["id"] = nil }, why: "id must be a string"},
		{name: "ids that are padded", change: func(r *registration) { s := b64(r.data.id) + "=="; r.top["id"], r.top["rawId"] = s, s }, why: "id is not base64url"},
		{name: "ids with stray bits", change: func(r *registration) { s := b64(r.data.id)[:13] + "B"; r.top["id"], r.top["rawId"] = s, s }, why: "id is not base64url"},
		{name: "ids with a line break", change: func(r *registration) { s := b64(r.data.id) + "\n"; r.top["id"], r.top["rawId"] = s, s }, why: "id is not base64url"},
		{name: "ids of a line break only", change: func(r *registration) { r.top["id"], r.top["rawId"] = "\r\n", "\r\n" }, why: "id is not base64url"},
		{name: "an id with a line break", change: func(r *registration) { r.top["id"] = b64(r.data.id) + "\n" }, why: "id is not base64url"},
		{name: "a rawId with a line break", change: func(r *registration) { r.top["rawId"] = b64(r.data.id) + "\n" }, why: "differ"},

		// The JSON around it.
		{name: "no type of the credential", change: func(r *registration) { r.top["type"] = drop }, why: "type is not public-key"},
		{name: "another type of credential", change: func(r *registration) { r.top["type"] = "password" }, why: "type is not public-key"},
		{name: "no response", change: func(r *registration) { r.top["response"] = drop }, why: "response is required"},
		{name: "a response that is null", change: func(r *registration) { r.top["response"] = nil }, why: "response: the body must be"},
		{name: "a response that is text", change: func(r *registration) { r.top["response"] = "{}" }, why: "response: the body must be"},
		{name: "no client data", change: func(r *registration) { r.response["clientDataJSON"] = drop }, why: "clientDataJSON is required"},
		{name: "no attestation object", change: func(r *registration) { r.response["attestationObject"] = nil }, why: "attestationObject is required"},
		{name: "an attestation object that is not base64url", change: func(r *registration) { r.response["attestationObject"] = "o2/=" }, why: "attestationObject is not valid"},
		{name: "client data with a line break in its encoding", change: func(r *registration) { r.response["clientDataJSON"] = b64([]byte(r.clientData)) + "\n" }, why: "clientDataJSON is not valid"},
		{name: "an unknown member of the response", change: func(r *registration) { r.response["getTransports"] = []string{} }, why: "getTransports is not a known member"},
		{name: "a signature in a registration", change: func(r *registration) { r.response["signature"] = "AA" }, why: "signature is not a known member"},
		{name: "a member of the response with a capital", change: func(r *registration) { r.response["ClientDataJSON"] = "AA" }, why: "not a known member"},
		{name: "transports that are text", change: func(r *registration) { r.response["transports"] = "usb" }, why: "transports must be an array"},
		{name: "transports that are numbers", change: func(r *registration) { r.response["transports"] = []int{1} }, why: "transports[0] must be a string"},
		{name: "an attachment that is a number", change: func(r *registration) { r.top["authenticatorAttachment"] = 1 }, why: "authenticatorAttachment must be a string"},
		{name: "client extension outputs that are an array", change: func(r *registration) { r.top["clientExtensionResults"] = []int{} }, why: "clientExtensionResults must be an object"},
		{name: "a client extension output given twice", change: func(r *registration) { r.top["a"] = raw(`{"b":1,"b":2}`) }, why: "given twice"},
		{name: "too many members", change: func(r *registration) { r.top["a"] = make([]int, 2000) }, why: "too many values"},
		{name: "too deep nesting", change: func(r *registration) { r.top["a"] = raw(strings.Repeat("[", 40) + strings.Repeat("]", 40)) }, why: "nested too deeply"},

		// Attestation objects.
		{name: "an attestation object that is too large", change: func(r *registration) { r.object = make([]byte, maxAttestationObject+1) }, why: "attestationObject has"},
		{name: "an attestation object that is empty", change: func(r *registration) { r.object = []byte{} }, why: "attestationObject has 0 bytes"},
		{name: "an attestation object that is null", change: func(r *registration) { r.object = []byte{0xf6} }, why: "must have fmt"},
		{name: "an attestation object that is an array", change: func(r *registration) { r.object = []byte{0x80} }, why: "attestation object"},
		{name: "an attestation object with a byte behind it", change: func(r *registration) { r.object = append(plainObject(r), 0) }, why: "attestation object: cbor: 1 bytes"},
		{name: "an attestation object that is cut", change: func(r *registration) { o := plainObject(r); r.object = o[:len(o)-1] }, why: "attestation object"},
		{name: "an attestation object of indefinite length", change: func(r *registration) { r.object = append(append([]byte{0xbf}, plainObject(r)[1:]...), 0xff) }, why: "indefinite"},
		{name: "an attestation object with a tag", change: func(r *registration) { r.object = append([]byte{0xc6}, plainObject(r)...) }, why: "attestation object"},
		{name: "an attestation object with a fourth member", change: func(r *registration) {
			r.object = encode(r.t, map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": r.data.bytes(), "epAtt": false})
		}, why: "must have fmt"},
		{name: "an attestation object without a statement", change: func(r *registration) {
			r.object = encode(r.t, map[string]any{"fmt": "none", "authData": r.data.bytes()})
		}, why: "must have fmt"},
		{name: "an attestation object with a capital", change: func(r *registration) {
			r.object = encode(r.t, map[string]any{"Fmt": "none", "attStmt": map[string]any{}, "authData": r.data.bytes()})
		}, why: "must have fmt"},
		{name: "an attestation object with a member given twice", change: func(r *registration) {
			o := plainObject(r)
			r.object = slices.Concat([]byte{0xa4}, o[1:], []byte{0x63, 'f', 'm', 't', 0x64, 'n', 'o', 'n', 'e'})
		}, why: "attestation object"},
		{name: "authenticator data as an array of numbers", change: func(r *registration) {
			var numbers []int
			for _, b := range r.data.bytes() {
				numbers = append(numbers, int(b))
			}
			r.object = encode(r.t, map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": numbers})
		}, why: "must have fmt"},
		{name: "a format that is not UTF-8", change: func(r *registration) {
			r.object = bytes.Replace(plainObject(r), []byte("none"), []byte("non\xff"), 1)
		}, why: "attestation object: cbor: invalid UTF-8"},
		{name: "a format in bytes", change: func(r *registration) { r.format = []byte("none") }, why: "must have fmt"},
		{name: "a statement that is null", change: func(r *registration) { r.statement = nil }, why: "must be a map"},
		{name: "a statement that is an array", change: func(r *registration) { r.statement = []int{} }, why: "must be a map"},
		{name: "an attestation object that claims a huge map", change: func(r *registration) { r.object = []byte{0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }, why: "attestation object"},
		{name: "an attestation object that claims a huge byte string", change: func(r *registration) {
			r.object = append([]byte{0xa1, 0x68, 'a', 'u', 't', 'h', 'D', 'a', 't', 'a', 0x5b}, bytesOf(8, 0x7f)...)
		}, why: "attestation object"},
		{name: "a statement with deep nesting", change: func(r *registration) {
			r.statement = map[string]any{"a": nested(100)}
		}, why: "nested"},
		{name: "extension outputs with deep nesting", change: func(r *registration) {
			r.data.flags |= flagED
			r.data.extensions = encode(r.t, map[string]any{"a": nested(100)})
		}, why: "nested"},
		{name: "a key that claims a huge array", change: func(r *registration) { r.data.key = []byte{0x9b, 0, 0, 0, 1, 0, 0, 0, 0} }, why: "Public Key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistration(t, d)
			tt.change(r)
			rp := relyingParty(t)
			if tt.config != nil {
				rp = relyingParty(t, tt.config)
			}
			_, err := register(rp, r.text(), tt.expect)
			wantError(t, err, tt.why)
		})
	}
}

func plainObject(r *registration) []byte {
	r.t.Helper()
	return encode(r.t, map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": r.data.bytes()})
}

// nested returns depth arrays in one another.
func nested(depth int) any {
	var v any = 1
	for range depth {
		v = []any{v}
	}
	return v
}

// WA-22: an origin is expected byte for byte, or not at all.
func TestOriginIsCompared(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t, func(c *ceremony.Config) {
		c.Origins = []string{origin, "https://xn--exmple-cua.test", "android:apk-key-hash:abc"}
		c.TopOrigins = c.Origins
	})
	d := newDevice(t, -7)
	c := credential(t, d)
	for _, other := range []string{
		"", "null", "*", "https://", "example.org", "//example.org",
		"http://example.org", "HTTPS://example.org", "ftp://example.org", "https:/example.org", "https:example.org",
		"https://example.org:443", "https://example.org:8443", "https://example.org:", "https://example.org:0443",
		"https://example.org/", "https://example.org/login", "https://example.org?", "https://example.org?a", "https://example.org#",
		"https://user@example.org", "https://user:pass@example.org", "https://@example.org", "https://evil.test@example.org",
		"https://example.org@evil.test", "https://example.org\\u0001", "https://example.org\\n", " https://example.org", "https://example.org ",
		"https://EXAMPLE.org", "https://Example.org", "https://example.ORG", "https://example.org.", "https://example%2eorg",
		"https://a.example.org", "https://www.example.org", "https://org", "https://example.org.evil.test", "https://example.orgx",
		"https://xexample.org", "https://evil.test", "https://evil.test/https://example.org", "https://evil.test#https://example.org",
		"https://ex\u00e4mple.test", "https://XN--EXMPLE-CUA.test", "https://xn--exmple-cua.test.", "https://xn--exmple-cub.test",
		"https://\u212axample.org", "https://example\u3002org",
		"android:apk-key-hash:ABC", "android:apk-key-hash:abcd", "android:apk-key-hash:", "android:apk-key-hash:abc/", "ios:bundle-id:abc",
		"https://example.org,https://evil.test",
	} {
		t.Run(other, func(t *testing.T) {
			t.Parallel()
			r := newRegistration(t, d)
			replace(origin, other)(r)
			_, err := register(rp, r.text(), expected())
			wantError(t, err, "is not expected")

			a := newAssertion(t, d)
			a.clientData = replaceOnce(t, a.clientData, origin, other)
			_, err = assert(rp, a.text(), c, expected())
			wantError(t, err, "is not expected")

			r = newRegistration(t, d)
			replace(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"`+other+`"`)(r)
			_, err = register(rp, r.text(), expected())
			wantError(t, err, "is not expected")
		})
	}
}

// The text is one JSON object that is read in one way only.
func TestTextIsStrictJSON(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	good := string(newRegistration(t, d).text())
	rp := relyingParty(t)
	if _, err := register(rp, []byte(" \n"+good+"\n"), expected()); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, why string }{
		{"nothing", "", "JSON object"},
		{"null", "null", "JSON object"},
		{"an array", "[" + good + "]", "JSON object"},
		{"a byte order mark", "\ufeff" + good, "JSON object"},
		{"a second object", good + "{}", "after its JSON object"},
		{"a cut object", good[:len(good)-1], "not valid JSON"},
		{"an id given twice", replaceOnce(t, good, `"id":`, `"id":"AA","id":`), "id is given twice"},
		{"a response given twice", replaceOnce(t, good, `"response":`, `"response":{},"response":`), "response"},
		{"client data given twice", replaceOnce(t, good, `"clientDataJSON":`, `"clientDataJSON":"AA","clientDataJSON":`), "clientDataJSON is given twice"},
		{"client data given twice, once escaped", replaceOnce(t, good, `"clientDataJSON":`, `"\u0063lientDataJSON":"AA","clientDataJSON":`), "clientDataJSON is given twice"},
		{"an id with a capital", replaceOnce(t, good, `"id":`, `"Id":`), "differ"},
		{"a rawId with a capital", replaceOnce(t, good, `"rawId":`, `"rawID":`), "differ"},
		{"a type with a capital", replaceOnce(t, good, `"type":`, `"Type":`), "type is not public-key"},
		{"a response with a capital", replaceOnce(t, good, `"response":`, `"Response":`), "response is required"},
		{"half a surrogate pair", replaceOnce(t, good, `"type":`, `"a":"\udc00","type":`), "surrogate"},
		{"text that is not UTF-8", replaceOnce(t, good, `"type":`, "\"a\":\"\xc0\xaf\",\"type\":"), "UTF-8"},
		{"a type that is null", replaceOnce(t, good, `"public-key"`, `null`), "type must be a string"},
		{"a text that is too large", replaceOnce(t, good, `"type":`, `"a":"`+strings.Repeat("a", maxText)+`","type":`), "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ceremony.ParseRegistration([]byte(tt.text))
			wantError(t, err, tt.why)
		})
	}
}

// The largest answer that is within every limit is accepted.
func TestLargestRegistration(t *testing.T) {
	t.Parallel()
	r := newRegistration(t, newDevice(t, -7))
	filler := maxClientData - len(r.clientData) - len(`"a":"",`)
	replace(`"crossOrigin"`, `"a":"`+strings.Repeat("a", filler)+`","crossOrigin"`)(r)
	r.data.id = bytesOf(1023, 'i')
	r.data.flags |= flagED
	filler = maxAuthenticatorData - len(r.data.bytes()) - len("\xa1\x61a\x59\x00\x00")
	r.data.extensions = encode(t, map[string]any{"a": bytesOf(filler, 'a')})
	r.format, r.statement = "fido-u2f", map[string]any{"sig": []byte{}, "x5c": [][]byte{bytesOf(maxCertificateBytes, 0)}}
	text := r.text()
	text = append(text, bytes.Repeat([]byte(" "), maxText-len(text))...)
	if _, err := register(relyingParty(t), text, expected()); err != nil {
		t.Fatal(err)
	}
	_, err := ceremony.ParseRegistration(append(text, ' '))
	wantError(t, err, fmt.Sprintf("more than %d bytes", maxText))
}

// What Register returns does not change when the parsed answer is used again.
func TestRegistrationCanBeUsedAgain(t *testing.T) {
	t.Parallel()
	r := newRegistration(t, newDevice(t, -7))
	r.response["transports"] = []string{"usb"}
	parsed, err := ceremony.ParseRegistration(r.text())
	if err != nil {
		t.Fatal(err)
	}
	rp := relyingParty(t)
	first, err := rp.Register(parsed, expected())
	if err != nil {
		t.Fatal(err)
	}
	first.ID[0], first.PublicKey[0], first.Transports[0] = 0, 0, ""
	second, err := rp.Register(parsed, expected())
	if err != nil {
		t.Fatal(err)
	}
	if string(second.ID) != "credential" || second.PublicKey[0] != 0xa5 || second.Transports[0] != "usb" {
		t.Errorf("changed: %+v", second)
	}
}
