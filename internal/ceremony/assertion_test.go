package ceremony_test

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/internal/ceremony"
)

// replaced returns a change of the client data.
func replaced(old, with string) func(*assertion) {
	return func(a *assertion) { a.clientData = replaceOnce(a.t, a.clientData, old, with) }
}

func TestAssert(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	plain := ceremony.Use{UserVerified: true}
	tests := []struct {
		name   string
		change func(*assertion)
		record func(*ceremony.Credential)
		config func(*ceremony.Config)
		expect func(*ceremony.Expectation)
		want   ceremony.Use
	}{
		{name: "a plain answer", want: plain},
		{name: "user verification that is required", expect: func(e *ceremony.Expectation) { e.UserVerification = true }, want: plain},
		{ // WA-09: it is this assertion that counts, not the registration.
			name:   "no user verification where it is not required",
			change: func(a *assertion) { a.data.flags &^= flagUV },
		},
		{
			name:   "user verification for a credential that was registered without",
			record: func(c *ceremony.Credential) { c.UserVerified = false }, want: plain,
		},
		{ // WA-10
			name:   "a credential that has been backed up since",
			change: func(a *assertion) { a.data.flags |= flagBE | flagBS },
			record: func(c *ceremony.Credential) { c.BackupEligible = true },
			want:   ceremony.Use{UserVerified: true, BackupState: true},
		},
		{
			name:   "a credential that is not backed up any more",
			change: func(a *assertion) { a.data.flags |= flagBE },
			record: func(c *ceremony.Credential) { c.BackupEligible, c.BackupState = true, true },
			want:   plain,
		},
		{name: "reserved flags", change: func(a *assertion) { a.data.flags |= 0x22 }, want: plain},
		{ // WA-12
			name: "no user handle", change: func(a *assertion) { a.response["userHandle"] = drop }, want: plain,
		},
		{name: "a user handle that is null", change: func(a *assertion) { a.response["userHandle"] = nil }, want: plain},
		{name: "a user handle that is empty", change: func(a *assertion) { a.response["userHandle"] = "" }, want: plain},
		{
			name:   "a user handle of 64 bytes",
			change: func(a *assertion) { a.response["userHandle"] = b64(bytesOf(64, 'h')) },
			expect: func(e *ceremony.Expectation) { e.UserHandle = bytesOf(64, 'h') },
			want:   plain,
		},
		{
			name:   "attested credential data in an assertion",
			change: func(a *assertion) { a.data.flags |= flagAT; a.data.id, a.data.key = []byte("x"), encode(t, d.cose) },
			want:   plain,
		},
		{
			name:   "an attestation object in an assertion",
			change: func(a *assertion) { a.response["attestationObject"] = 1 },
			want:   plain,
		},
		{
			name:   "extension outputs of the authenticator", // WA-19
			change: func(a *assertion) { a.data.flags |= flagED; a.data.extensions = encode(t, map[string]any{"uvm": 1}) },
			want:   plain,
		},
		{
			name: "client extension outputs of any form", // WA-19
			change: func(a *assertion) {
				a.top["clientExtensionResults"] = raw(`{"credProps":true,"appid":true,"largeBlob":{"written":0},"prf":{"results":1}}`)
			},
			want: plain,
		},
		{
			name:   "the output of appid for a U2F key, whoever asked for it",
			change: func(a *assertion) { a.top["clientExtensionResults"] = raw(`{"appid":true}`) },
			record: func(c *ceremony.Credential) { c.AttestationFormat = "fido-u2f" },
			want:   plain,
		},
		{
			name:   "a frame in a page that is expected", // WA-06
			change: replaced(`"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://shop.test"`),
			config: func(c *ceremony.Config) { c.TopOrigins = []string{"https://shop.test"} },
			want:   plain,
		},
		{
			name:   "an algorithm that is not offered any more",
			config: func(c *ceremony.Config) { c.Algorithms = []int64{-8} },
			want:   plain,
		},
		// WA-17: the counter.
		{
			name:   "a counter that grows",
			change: func(a *assertion) { a.data.counter = 8 }, record: func(c *ceremony.Credential) { c.SignCount = 7 },
			want: ceremony.Use{UserVerified: true, SignCount: 8},
		},
		{
			name:   "a counter that begins to count",
			change: func(a *assertion) { a.data.counter = 1 },
			want:   ceremony.Use{UserVerified: true, SignCount: 1},
		},
		{
			name:   "a counter that stays",
			change: func(a *assertion) { a.data.counter = 7 }, record: func(c *ceremony.Credential) { c.SignCount = 7 },
			want: ceremony.Use{UserVerified: true, SignCount: 7, Rollback: true},
		},
		{
			name:   "a counter that goes down",
			change: func(a *assertion) { a.data.counter = 6 }, record: func(c *ceremony.Credential) { c.SignCount = 7 },
			want: ceremony.Use{UserVerified: true, SignCount: 7, Rollback: true},
		},
		{
			name: "a counter that goes to zero", record: func(c *ceremony.Credential) { c.SignCount = math.MaxUint32 },
			want: ceremony.Use{UserVerified: true, SignCount: math.MaxUint32, Rollback: true},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, e, a := credential(t, d), expected(), newAssertion(t, d)
			rp := relyingParty(t)
			if tt.change != nil {
				tt.change(a)
			}
			if tt.record != nil {
				tt.record(&c)
			}
			if tt.expect != nil {
				tt.expect(&e)
			}
			if tt.config != nil {
				rp = relyingParty(t, tt.config)
			}
			got, err := assert(rp, a.text(), c, e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAssertRefuses(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	tests := []struct {
		name   string
		change func(*assertion)
		record func(*ceremony.Credential)
		expect func(*ceremony.Expectation)
		why    string
	}{
		// WA-01, WA-02.
		{name: "the type of a registration", change: replaced("webauthn.get", "webauthn.create"), why: "ceremony type"},
		{name: "the type of a payment", change: replaced("webauthn.get", "payment.get"), why: "ceremony type"},
		{name: "a challenge of 31 bytes", change: replaced(challenge, b64(bytesOf(31, 'c'))), why: "does not have 32 bytes"},
		{name: "a challenge of 64 bytes", change: replaced(challenge, b64(bytesOf(64, 'c'))), why: "does not have 32 bytes"},
		{name: "a challenge with a line break", change: replaced(challenge, challenge+`\r\n`), why: "challenge is not base64url"},
		{name: "a challenge with stray bits", change: replaced(challenge, challenge[:42]+"P"), why: "challenge is not base64url"},

		// WA-06.
		{name: "a frame", change: replaced(`"crossOrigin":false`, `"crossOrigin":true`), why: "frame"},
		{name: "an embedding page without a frame", change: replaced(`"crossOrigin"`, `"topOrigin":"https://shop.test","crossOrigin"`), why: "topOrigin"},

		// WA-16.
		{name: "client data with a byte order mark", change: func(a *assertion) { a.clientData = "\ufeff" + a.clientData }, why: "clientDataJSON"},
		{name: "two origins", change: replaced(`"crossOrigin"`, `"origin":"https://evil.test","crossOrigin"`), why: "origin is given twice"},
		{name: "an origin with a capital", change: replaced(`"origin"`, `"Origin"`), why: `origin "" is not expected`},
		{name: "half a surrogate pair", change: replaced(`"crossOrigin"`, `"a":"\udfff","crossOrigin"`), why: "surrogate"},

		// WA-11, WA-08, WA-09, WA-10.
		{name: "another RP ID", change: func(a *assertion) { a.data.rpID = "evil.test" }, why: "RP Hash mismatch"},
		{name: "no user presence", change: func(a *assertion) { a.data.flags &^= flagUP }, why: "User presence"},
		{
			name: "no user verification", change: func(a *assertion) { a.data.flags &^= flagUV },
			expect: func(e *ceremony.Expectation) { e.UserVerification = true }, why: "User verification",
		},
		{
			name: "a backup that is not possible", change: func(a *assertion) { a.data.flags |= flagBS },
			why: "Backup State Flag is true",
		},
		{name: "a credential that can be backed up all of a sudden", change: func(a *assertion) { a.data.flags |= flagBE }, why: "Backup Eligible flag inconsistency"},
		{
			name: "a credential that cannot be backed up any more", record: func(c *ceremony.Credential) { c.BackupEligible = true },
			why: "Backup Eligible flag inconsistency",
		},

		// WA-12.
		{name: "the user handle of another", change: func(a *assertion) { a.response["userHandle"] = b64([]byte("other")) }, why: "User handle"},
		{name: "a part of the user handle", change: func(a *assertion) { a.response["userHandle"] = b64(handle[:8]) }, why: "User handle"},
		{name: "a user handle where there is no user", expect: func(e *ceremony.Expectation) { e.UserHandle = nil }, why: "User handle"},
		{name: "a user handle of 65 bytes", change: func(a *assertion) { a.response["userHandle"] = b64(bytesOf(65, 'h')) }, why: "userHandle has 65 bytes"},
		{name: "a user handle that is not base64url", change: func(a *assertion) { a.response["userHandle"] = b64(handle) + "==" }, why: "userHandle is not valid"},
		{name: "a user handle that is a number", change: func(a *assertion) { a.response["userHandle"] = 1 }, why: "userHandle must be a string"},

		// WA-18.
		{name: "the credential of another id", record: func(c *ceremony.Credential) { c.ID = []byte("other") }, why: "Unable to find the credential"},
		{name: "an empty credential id", change: func(a *assertion) { a.id = nil }, why: "id has 0 bytes"},
		{name: "a credential id of 1024 bytes", change: func(a *assertion) { a.id = bytesOf(1024, 'i') }, why: "id has 1024 bytes"},
		{name: "a credential id of 16 KiB", change: func(a *assertion) { a.id = bytesOf(16<<10, 'i') }, why: "id has 16384 bytes"},
		{name: "another rawId", change: func(a *assertion) { a.top["rawId"] = b64([]byte("other")) }, why: "differ"},
		{name: "another id", change: func(a *assertion) { a.top["id"] = b64([]byte("other")) }, why: "differ"},
		{name: "an id with a line break", change: func(a *assertion) { a.top["id"] = b64(a.id) + "\n" }, why: "id is not base64url"},

		// WA-16: bytes changed after signing.
		{
			name: "client data changed after signing", change: func(a *assertion) {
				a.sent = func(a *assertion, r map[string]any) { r["clientDataJSON"] = b64([]byte(a.clientData + " ")) }
			}, why: "assertion signature",
		},
		{
			name: "client data reordered after signing", change: func(a *assertion) {
				a.sent = func(a *assertion, r map[string]any) {
					r["clientDataJSON"] = b64([]byte(replaceOnce(a.t, a.clientData, `,"crossOrigin":false`, ``)))
				}
			}, why: "assertion signature",
		},
		{
			name: "a counter changed after signing", change: func(a *assertion) {
				a.sent = func(a *assertion, r map[string]any) { a.data.counter++; r["authenticatorData"] = b64(a.data.bytes()) }
			}, why: "assertion signature",
		},
		{
			name: "user verification claimed after signing", change: func(a *assertion) {
				a.data.flags &^= flagUV
				a.sent = func(a *assertion, r map[string]any) {
					a.data.flags |= flagUV
					r["authenticatorData"] = b64(a.data.bytes())
				}
			}, why: "assertion signature",
		},
		{
			name: "a reserved flag changed after signing", change: func(a *assertion) {
				a.sent = func(a *assertion, r map[string]any) { a.data.flags |= 2; r["authenticatorData"] = b64(a.data.bytes()) }
			}, why: "assertion signature",
		},

		// Signatures.
		{name: "the key of another", record: func(c *ceremony.Credential) { c.PublicKey = encode(t, newDevice(t, -7).cose) }, why: "assertion signature"},
		{name: "no signature", change: func(a *assertion) { a.response["signature"] = drop }, why: "signature is required"},
		{name: "an empty signature", change: func(a *assertion) { a.response["signature"] = "" }, why: "signature has 0 bytes"},
		{name: "a signature that is too large", change: func(a *assertion) { a.signature = make([]byte, maxSignature+1) }, why: "signature has 1025 bytes"},
		{name: "a signature as large as can be", change: func(a *assertion) { a.signature = make([]byte, maxSignature) }, why: "assertion signature"},
		{name: "a signature of zeros", change: func(a *assertion) { a.signature = []byte{0x30, 6, 2, 1, 0, 2, 1, 0} }, why: "assertion signature"},
		{name: "a signature with a byte behind it", change: resigned(func(s []byte) []byte { return append(s, 0) }), why: "assertion signature"},
		{name: "a signature that is cut", change: resigned(func(s []byte) []byte { return s[:len(s)-1] }), why: "assertion signature"},
		{name: "a signature with a bit flipped", change: resigned(func(s []byte) []byte { s[len(s)-1] ^= 1; return s }), why: "assertion signature"},
		{name: "a signature with padded numbers", change: resigned(padded), why: "assertion signature"},
		{name: "a signature of the two numbers only", change: resigned(bare), why: "assertion signature"},

		// WA-19.
		{name: "the flag ED without a map", change: func(a *assertion) { a.data.flags |= flagED }, why: "extensions data is missing"},
		{name: "a map without the flag ED", change: func(a *assertion) { a.data.extensions = []byte{0xa0} }, why: "flag not set"},
		{name: "the flag ED with null", change: func(a *assertion) { a.data.flags |= flagED; a.data.extensions = []byte{0xf6} }, why: "not a map"},
		{name: "the flag ED with a map and a byte", change: func(a *assertion) { a.data.flags |= flagED; a.data.extensions = []byte{0xa0, 0} }, why: "Leftover bytes"},
		{name: "the flag AT without data", change: func(a *assertion) { a.data.flags |= flagAT; a.data.aaguid = nil }, why: "data is missing"},
		{name: "authenticator data of 36 bytes", change: func(a *assertion) { a.response["authenticatorData"] = b64(a.data.bytes()[:36]) }, why: "too short"},
		{name: "authenticator data of 38 bytes", change: func(a *assertion) { a.data.extensions = []byte{0} }, why: "flag not set"},
		{
			name: "authenticator data that is too large by a byte", change: func(a *assertion) {
				a.data.flags |= flagED
				filler := maxAuthenticatorData + 1 - len(a.data.bytes()) - len("\xa1\x61a\x59\x00\x00")
				a.data.extensions = encode(t, map[string]any{"a": bytesOf(filler, 'a')})
			}, why: "authenticator data has more",
		},
		{
			name:   "the RP ID of appid, whoever asked for it",
			change: func(a *assertion) { a.data.rpID = origin; a.top["clientExtensionResults"] = raw(`{"appid":true}`) },
			record: func(c *ceremony.Credential) { c.AttestationFormat = "fido-u2f" },
			why:    "RP Hash mismatch",
		},
		{
			name:   "the RP ID of nothing",
			change: func(a *assertion) { a.data.rpID = ""; a.top["clientExtensionResults"] = raw(`{"appid":true}`) },
			record: func(c *ceremony.Credential) { c.AttestationFormat = "fido-u2f" }, why: "RP Hash mismatch",
		},

		// The JSON around it.
		{name: "no client data", change: func(a *assertion) { a.response["clientDataJSON"] = drop }, why: "clientDataJSON is required"},
		{name: "no authenticator data", change: func(a *assertion) { a.response["authenticatorData"] = nil }, why: "authenticatorData is required"},
		{name: "an unknown member of the response", change: func(a *assertion) { a.response["UserHandle"] = "" }, why: "UserHandle is not a known member"},
		{name: "transports in an assertion", change: func(a *assertion) { a.response["transports"] = []string{} }, why: "transports is not a known member"},
		{name: "another type of credential", change: func(a *assertion) { a.top["type"] = "Public-Key" }, why: "type is not public-key"},
		{name: "a text that is too large", change: func(a *assertion) { a.top["a"] = strings.Repeat("a", maxText) }, why: "more than"},
		{name: "client data that is too large", change: replaced(`"crossOrigin"`, `"a":"`+strings.Repeat("a", maxClientData)+`","crossOrigin"`), why: "clientDataJSON has"},

		// Records that no registration made.
		{name: "no key", record: func(c *ceremony.Credential) { c.PublicKey = nil }, why: "public key"},
		{name: "a key that is broken", record: func(c *ceremony.Credential) { c.PublicKey = c.PublicKey[:20] }, why: "public key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, e, a := credential(t, d), expected(), newAssertion(t, d)
			if tt.change != nil {
				tt.change(a)
			}
			if tt.record != nil {
				tt.record(&c)
			}
			if tt.expect != nil {
				tt.expect(&e)
			}
			use, err := assert(relyingParty(t), a.text(), c, e)
			wantError(t, err, tt.why)
			if use != (ceremony.Use{}) {
				t.Errorf("%+v beside an error", use)
			}
		})
	}
}

// resigned returns a change of the signature.
func resigned(change func([]byte) []byte) func(*assertion) {
	return func(a *assertion) { a.signature = change(a.device.sign(a.t, a.data.bytes(), a.clientData)) }
}

func padded(signature []byte) []byte {
	r, s := numbers(signature)
	number := func(n *big.Int) []byte { return slices.Concat([]byte{2, 34, 0, 0}, n.FillBytes(make([]byte, 32))) }
	return slices.Concat([]byte{0x30, 72}, number(r), number(s))
}

func bare(signature []byte) []byte {
	r, s := numbers(signature)
	return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
}

func numbers(signature []byte) (r, s *big.Int) {
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &pair); err != nil || len(rest) > 0 {
		panic(fmt.Sprint(err, rest))
	}
	return pair.R, pair.S
}

// A signature is verified with the algorithm of the stored key and no other.
func TestAlgorithmsAreKeptApart(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t)
	for _, alg := range slices.Concat(offered, []int64{-9, -19, -51, -52}) {
		t.Run(fmt.Sprint(alg), func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, alg)
			c := credential(t, d)
			if c.Algorithm != alg {
				t.Errorf("algorithm %d", c.Algorithm)
			}
			if _, err := assert(rp, newAssertion(t, d).text(), c, expected()); err != nil {
				t.Fatal(err)
			}
			if d.hash == 0 {
				return
			}
			// The same key and signature under another algorithm of the same key type.
			for other := range hashes {
				sameScheme := (alg > -37 || alg < -39) == (other > -37 || other < -39)
				if (hashes[other] == d.hash && sameScheme) || (other < -200 || other <= -37 && other >= -39) != (d.cose[1] == 3) {
					continue
				}
				cose := map[int64]any{}
				for k, v := range d.cose {
					cose[k] = v
				}
				cose[3] = other
				c := c
				c.PublicKey = encode(t, cose)
				_, err := assert(rp, newAssertion(t, d).text(), c, expected())
				wantError(t, err, "assertion")
			}
		})
	}
}

// WA-12: whether there is a user handle decides whether there must be one.
func TestUserHandleOfAnAssertion(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		given any
		want  []byte
	}{
		"none":     {drop, nil},
		"null":     {nil, nil},
		"empty":    {"", nil},
		"one byte": {b64([]byte{0}), []byte{0}},
	} {
		a := newAssertion(t, newDevice(t, -7))
		a.response["userHandle"] = tt.given
		parsed, err := ceremony.ParseAssertion(a.text())
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed.UserHandle(); !bytes.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%s: %#v", name, got)
		}
	}
}

// The accessors give copies.
func TestAssertionIsNotShared(t *testing.T) {
	t.Parallel()
	a, err := ceremony.ParseAssertion(newAssertion(t, newDevice(t, -7)).text())
	if err != nil {
		t.Fatal(err)
	}
	clear(a.CredentialID())
	clear(a.UserHandle())
	if a.Challenge() != challenge || string(a.CredentialID()) != "credential" || !bytes.Equal(a.UserHandle(), handle) {
		t.Errorf("challenge %q, id %q, user handle %q", a.Challenge(), a.CredentialID(), a.UserHandle())
	}
}

// The decoy fails where a wrong signature fails, after the same work: it does not matter for the time whether the credential
// is known.
func TestDecoyGetsAsFarAsAWrongSignature(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	for _, flags := range []byte{flagUP | flagUV, flagUP, flagUP | flagUV | flagBE, flagUP | flagUV | flagBE | flagBS} {
		for _, user := range []any{b64(handle), b64([]byte("somebody")), drop} {
			rp := relyingParty(t)
			a := newAssertion(t, d)
			a.data.flags = flags
			a.response["userHandle"] = user
			parsed, err := ceremony.ParseAssertion(a.text())
			if err != nil {
				t.Fatal(err)
			}
			wrong := ceremony.Credential{ID: a.id, PublicKey: encode(t, newDevice(t, -7).cose), BackupEligible: flags&flagBE != 0}
			e := ceremony.Expectation{UserHandle: parsed.UserHandle()}
			_, want := rp.Assert(parsed, wrong, e)
			wantError(t, want, "assertion signature")
			got := ceremony.AssertDecoy(rp, parsed, ceremony.Expectation{UserHandle: []byte("anybody")})
			if got == nil || got.Error() != want.Error() {
				t.Errorf("flags %x: decoy %v; wrong signature %v", flags, got, want)
			}
			rp.Decoy(parsed, e)
		}
	}
	// What is refused before the signature is refused there for known credentials too.
	rp := relyingParty(t)
	a := newAssertion(t, d)
	a.data.flags &^= flagUV
	parsed, err := ceremony.ParseAssertion(a.text())
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, ceremony.AssertDecoy(rp, parsed, ceremony.Expectation{UserVerification: true}), "User verification")
}
