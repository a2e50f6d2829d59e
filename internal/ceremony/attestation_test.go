package ceremony_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-webauthn/webauthn/metadata"
	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
)

func keepAttestation(c *ceremony.Config) { c.KeepAttestation = true }

// selfAttested makes the answer one with self attestation, after the other changes to its data.
func selfAttested(r *registration) {
	r.format = "packed"
	r.statement = map[string]any{"alg": r.device.alg, "sig": r.device.sign(r.t, r.data.bytes(), r.clientData)}
}

// vectorNamed returns the vector with the id.
func vectorNamed(t testing.TB, id string) vector {
	t.Helper()
	v := readVectors(t).Vectors
	return v[slices.IndexFunc(v, func(v vector) bool { return v.ID == id })]
}

// changed returns the registration of v after a change to the members of its attestation statement.
func (v vector) changed(t testing.TB, change func(statement map[string]any)) []byte {
	t.Helper()
	var object struct {
		Format    string         `cbor:"fmt"`
		Statement map[string]any `cbor:"attStmt"`
		Data      []byte         `cbor:"authData"`
	}
	if err := cbor.Unmarshal(unb64(t, v.Registration.AttestationObject), &object); err != nil {
		t.Fatal(err)
	}
	change(object.Statement)
	v.Registration.AttestationObject = b64(encode(t, object))
	return v.registration(t)
}

func TestSelfAttestation(t *testing.T) {
	t.Parallel()
	for _, alg := range offered {
		r := newRegistration(t, newDevice(t, alg))
		selfAttested(r)
		c, err := register(relyingParty(t), r.text(), expected())
		if err != nil || c.AttestationFormat != "none" {
			t.Errorf("algorithm %d: %v, format %q", alg, err, c.AttestationFormat)
		}
		c, err = register(relyingParty(t, keepAttestation), r.text(), expected())
		if err != nil || c.AttestationFormat != "packed" {
			t.Errorf("algorithm %d with attestation: %v, format %q", alg, err, c.AttestationFormat)
		}
	}
}

// WA-14: a self attestation is verified whether it is kept or not, and statements have the form and size that they should
// have.
func TestStatementsThatAreAlwaysRefused(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	certificate := bytesOf(100, 0)
	chain := func(n int) []any { return slices.Repeat([]any{certificate}, n) }
	set := func(name string, value any) func(*registration) {
		return func(r *registration) { selfAttested(r); r.statement.(map[string]any)[name] = value }
	}
	format := func(name string, statement any) func(*registration) {
		return func(r *registration) { r.format, r.statement = name, statement }
	}
	sub := func(name string, statement any) any { return map[string]any{"fmt": name, "attStmt": statement} }
	u2f := func(n int) any { return map[string]any{"sig": []byte{1}, "x5c": chain(n)} }
	tests := []struct {
		name   string
		change func(*registration)
		why    string
	}{
		{"a self attestation by another key", set("sig", newDevice(t, -7).sign(t, []byte("x"), "y")), "verify signature"},
		{"a self attestation with an empty signature", set("sig", []byte{}), "verifying the signature"},
		{"a self attestation for other data", func(r *registration) { selfAttested(r); r.data.counter++ }, "verify signature"},
		{"a self attestation for another client data", func(r *registration) { selfAttested(r); r.clientData += " " }, "verify signature"},
		{"a self attestation with another algorithm", set("alg", -35), "algorithm does not equal"},
		{"a self attestation with a positive algorithm", set("alg", 7), "alg has the wrong type"},
		{"a self attestation with a named algorithm", set("alg", "ES256"), "alg has the wrong type"},
		{"a self attestation with a signature in text", set("sig", "AA"), "sig has the wrong type"},
		{"a self attestation without a signature", format("packed", map[string]any{"alg": -7}), "sig is required"},
		{"a self attestation without an algorithm", format("packed", map[string]any{"sig": []byte{1}}), "alg is required"},
		{"an ECDAA attestation", set("ecdaaKeyId", []byte{1}), "spec_unimplemented"},
		{"a packed attestation with no certificates", set("x5c", []any{}), "x5c must be an array"},
		{"a packed attestation with null for certificates", set("x5c", nil), "x5c must be an array"},
		{"a packed attestation with one certificate bare", set("x5c", certificate), "x5c must be an array"},
		{"a packed attestation with a certificate in text", set("x5c", []any{"MII"}), "x5c must be an array"},
		{"9 certificates", set("x5c", chain(maxCertificates+1)), "more than 8 certificates"},
		{"certificates of more than 16 KiB", set("x5c", []any{bytesOf(maxCertificateBytes, 0), []byte{0}}), "more than 8 certificates"},
		{"format none with a statement", format("none", map[string]any{"alg": -7}), "none with a statement"},
		{"format none with a statement of numbers", format("none", map[int]any{1: 2}), "statement: cbor"},
		{"an unknown format", format("packed2", map[string]any{}), `format "packed2" is not known`},
		{"a format with a capital", format("None", map[string]any{}), "is not known"},
		{"an empty format", format("", map[string]any{}), "is not known"},
		{"a format with a line break", format("a\nb\x1b[31m", map[string]any{}), `"a?b?[31m"`},
		{"a format of 10 KB", format(strings.Repeat("a", 10_000), map[string]any{}), `aaa..." is not known`},
		{"a TPM statement without certInfo", format("tpm", map[string]any{
			"ver": "2.0", "alg": -7, "x5c": chain(1), "sig": []byte{1}, "pubArea": []byte{1},
		}), "certInfo is required"},
		{"a TPM statement with a version in bytes", format("tpm", map[string]any{
			"ver": []byte("2.0"), "alg": -7, "x5c": chain(1), "sig": []byte{1}, "pubArea": []byte{1}, "certInfo": []byte{1},
		}), "ver has the wrong type"},
		{"an Apple statement without certificates", format("apple", map[string]any{}), "x5c is required"},
		{"a U2F statement without a signature", format("fido-u2f", map[string]any{"x5c": chain(1)}), "sig is required"},
		{"an Android statement without certificates", format("android-key", map[string]any{"alg": -7, "sig": []byte{1}}), "x5c is required"},
		{"a SafetyNet statement in text", format("android-safetynet", map[string]any{"ver": "1", "response": "a.b.c"}), "response has the wrong type"},
		{"a SafetyNet statement that is too large", format("android-safetynet", map[string]any{
			"ver": "1", "response": bytesOf(maxCertificateBytes+1, 'a'),
		}), "response has more"},
		{"a compound statement that is a map", format("compound", map[string]any{}), "must be an array"},
		{"a compound statement of numbers", format("compound", []any{1, 2}), "statement: cbor"},
		{"a compound statement of nothing", format("compound", []any{}), "2 to 4"},
		{"a compound statement of one", format("compound", []any{sub("fido-u2f", u2f(1))}), "2 to 4"},
		{"a compound statement of five", format("compound", slices.Repeat([]any{sub("fido-u2f", u2f(1))}, 5)), "2 to 4"},
		{"a compound statement with none", format("compound", []any{sub("fido-u2f", u2f(1)), sub("none", map[string]any{})}), "format none"},
		{"a compound statement in a compound one", format("compound", []any{sub("fido-u2f", u2f(1)), sub("compound", map[string]any{})}), "not known"},
		{"a compound statement of null", format("compound", []any{sub("fido-u2f", nil), sub("fido-u2f", u2f(1))}), "is required"},
		{"a compound statement with 10 certificates", format("compound", []any{sub("fido-u2f", u2f(5)), sub("fido-u2f", u2f(5))}), "more than 8 certificates"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistration(t, d)
			tt.change(r)
			for _, rp := range []*ceremony.RelyingParty{relyingParty(t), relyingParty(t, keepAttestation)} {
				_, err := register(rp, r.text(), expected())
				wantError(t, err, tt.why)
			}
		})
	}
}

// A statement with certificates is verified if it counts. If it does not, it does not matter, and the credential is one
// without attestation.
func TestStatementsThatAreRefusedIfTheyCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, vector string
		change       func(map[string]any)
		why          string
	}{
		{"a wrong packed signature", "packed-es256", func(s map[string]any) { s["sig"].([]byte)[10] ^= 1 }, "Signature validation"},
		{"a packed statement without its certificate", "packed-es256", func(s map[string]any) { s["x5c"] = []any{bytesOf(100, 0)} }, "parsing certificate"},
		{"a wrong U2F signature", "fido-u2f-es256", func(s map[string]any) { s["sig"].([]byte)[10] ^= 1 }, "Signature validation"},
		{"a TPM statement", "tpm-es256", func(map[string]any) {}, "invalid_attestation"},
		{"an Apple statement from an unknown root", "apple-es256", func(map[string]any) {}, "x5c cert chain: x509: certificate signed by unknown"},
		{"an Android statement from an unknown root", "android-key-es256", func(map[string]any) {}, "x5c cert chain"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := vectorNamed(t, tt.vector).changed(t, tt.change)
			_, err := register(relyingParty(t, keepAttestation), text, expected())
			wantError(t, err, tt.why)
			c, err := register(relyingParty(t), text, expected())
			if err != nil || c.AttestationFormat != "none" {
				t.Errorf("%v, format %q", err, c.AttestationFormat)
			}
		})
	}
}

// Whichever member of a statement is looked at first, each is looked at.
func TestEveryMemberOfAStatementCounts(t *testing.T) {
	t.Parallel()
	r := newRegistration(t, newDevice(t, -7))
	r.format, r.statement = "fido-u2f", map[string]any{"sig": "AA", "x5c": []any{[]byte{0}}}
	text := r.text()
	for range 50 {
		_, err := ceremony.ParseRegistration(text)
		wantError(t, err, "sig has the wrong type")
	}
}

// The limits of statements are those that are said.
func TestLargestStatements(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	u2f := func(certificates ...any) any {
		return map[string]any{"fmt": "fido-u2f", "attStmt": map[string]any{"sig": []byte{1}, "x5c": certificates}}
	}
	for _, tt := range []struct {
		name, format string
		statement    any
	}{
		{"8 certificates", "apple", map[string]any{"x5c": slices.Repeat([]any{[]byte{0}}, maxCertificates)}},
		{"certificates of 16 KiB", "apple", map[string]any{"x5c": []any{bytesOf(maxCertificateBytes-1, 0), []byte{0}}}},
		{"a SafetyNet statement of 16 KiB", "android-safetynet", map[string]any{"ver": "1", "response": bytesOf(maxCertificateBytes, 'a')}},
		{"four statements in one", "compound", slices.Repeat([]any{u2f([]byte{0}, []byte{0})}, 4)},
	} {
		r := newRegistration(t, d)
		r.format, r.statement = tt.format, tt.statement
		if c, err := register(relyingParty(t), r.text(), expected()); err != nil || c.AttestationFormat != "none" {
			t.Errorf("%s: %v, format %q", tt.name, err, c.AttestationFormat)
		}
	}
}

func TestCompoundAttestation(t *testing.T) {
	t.Parallel()
	d := newDevice(t, -7)
	r := newRegistration(t, d)
	selfAttested(r)
	good := map[string]any{"fmt": "packed", "attStmt": r.statement}
	bad := map[string]any{"fmt": "fido-u2f", "attStmt": map[string]any{"sig": []byte{1}, "x5c": []any{bytesOf(100, 0)}}}
	r.format = "compound"
	for _, tt := range []struct {
		name       string
		statements []any
		kept       bool
	}{{"two good ones", []any{good, good}, true}, {"a good and a bad one", []any{good, bad}, false}} {
		r.statement = tt.statements
		c, err := register(relyingParty(t, keepAttestation), r.text(), expected())
		if (err == nil) != tt.kept || (err == nil && c.AttestationFormat != "compound") {
			t.Errorf("%s, kept: %v, format %q", tt.name, err, c.AttestationFormat)
		}
		c, err = register(relyingParty(t), r.text(), expected())
		if err != nil || c.AttestationFormat != "none" {
			t.Errorf("%s, not kept: %v, format %q", tt.name, err, c.AttestationFormat)
		}
	}
}

// directory is a metadata provider with the entries of a test.
type directory struct {
	entries  map[uuid.UUID]*metadata.Entry
	demanded bool
	failure  error
}

func (d directory) GetEntry(_ context.Context, aaguid uuid.UUID) (*metadata.Entry, error) {
	return d.entries[aaguid], d.failure
}
func (d directory) GetValidateEntry(context.Context) bool                 { return d.demanded }
func (d directory) GetValidateEntryPermitZeroAAGUID(context.Context) bool { return false }
func (d directory) GetValidateTrustAnchor(context.Context) bool           { return true }
func (d directory) GetValidateStatus(context.Context) bool                { return true }
func (d directory) GetValidateAttestationTypes(context.Context) bool      { return true }
func (d directory) ValidateStatusReports(_ context.Context, reports []metadata.StatusReport) error {
	return metadata.ValidateStatusReports(reports, nil, []metadata.AuthenticatorStatus{metadata.Revoked})
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	v := vectorNamed(t, "packed-es256")
	root, err := x509.ParseCertificate(unb64(t, readVectors(t).AttestationRoot))
	if err != nil {
		t.Fatal(err)
	}
	model := v.credential(t).AAGUID
	entry := func(change ...func(*metadata.Entry)) directory {
		e := &metadata.Entry{AaGUID: model, MetadataStatement: metadata.Statement{
			AttestationTypes:            metadata.AuthenticatorAttestationTypes{metadata.BasicFull},
			AttestationRootCertificates: []*x509.Certificate{root},
		}}
		for _, f := range change {
			f(e)
		}
		return directory{entries: map[uuid.UUID]*metadata.Entry{model: e}, demanded: true}
	}
	revoked := entry(func(e *metadata.Entry) { e.StatusReports = []metadata.StatusReport{{Status: metadata.Revoked}} })
	tests := []struct {
		name               string
		provider           metadata.Provider
		registered, usable string // why not; empty: accepted
	}{
		{"a model that is known and trusted", entry(), "", ""},
		{"a model that was revoked", revoked, "status", "status"},
		{"a model that is not known", directory{demanded: true}, "no registered metadata", "no registered metadata"},
		{"a model that is not known and need not be", directory{}, "", ""},
		{"a directory that fails", directory{failure: errors.New("no blob yet")}, "no blob yet", "no blob yet"},
		{
			"a certificate of another root", entry(func(e *metadata.Entry) { e.MetadataStatement.AttestationRootCertificates = nil }),
			"trust chain", "",
		},
		{
			"another type of attestation", entry(func(e *metadata.Entry) {
				e.MetadataStatement.AttestationTypes = metadata.AuthenticatorAttestationTypes{metadata.BasicSurrogate}
			}),
			"attestation type", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rp := relyingParty(t, func(c *ceremony.Config) { c.Metadata = tt.provider })
			check := func(err error, why string) {
				t.Helper()
				if why == "" && err != nil {
					t.Fatal(err)
				} else if why != "" {
					wantError(t, err, why)
				}
			}
			c, err := register(rp, v.registration(t), expected())
			check(err, tt.registered)
			if err == nil && c.AttestationFormat != "packed" {
				t.Errorf("format %q", c.AttestationFormat)
			}

			c = v.credential(t)
			c.AttestationFormat = "packed"
			_, err = assert(rp, v.assertion(t), c, expected())
			check(err, tt.usable)

			// What is said of a model does not concern those who did not prove to be of it.
			for _, change := range []func(*ceremony.Credential){
				func(c *ceremony.Credential) { c.AttestationFormat = "none" },
				func(c *ceremony.Credential) { c.AAGUID = uuid.Nil },
			} {
				c := c
				change(&c)
				_, err = assert(rp, v.assertion(t), c, expected())
				check(err, "")
			}
			if c, err = register(rp, newRegistration(t, newDevice(t, -7)).text(), expected()); err != nil || c.AttestationFormat != "none" {
				t.Errorf("no attestation: %v, format %q", err, c.AttestationFormat)
			}
		})
	}
}
