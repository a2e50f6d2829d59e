package ceremony_test

import (
	"bytes"
	"testing"

	"github.com/ostiary/auth/internal/ceremony"
)

// FuzzParseRegistration: nothing panics, whatever the text is, and what is accepted is what it should be.
func FuzzParseRegistration(f *testing.F) {
	for _, v := range readVectors(f).Vectors {
		f.Add(v.registration(f))
	}
	r := newRegistration(f, newDevice(f, -7))
	r.response["transports"], r.top["authenticatorAttachment"] = []string{"usb", "usb", "\U0001f511"}, "platform"
	r.top["clientExtensionResults"] = map[string]any{"credProps": map[string]any{"rk": true}, "appid": true}
	r.clientData = replaceOnce(f, r.clientData, `"crossOrigin":false`, `"crossOrigin":true,"topOrigin":"https://example.com"`)
	f.Add(r.text())
	parties := fuzzedParties(f)
	f.Fuzz(func(t *testing.T, text []byte) { fuzzRegistration(t, parties, text) })
}

// FuzzAttestationObject gets to the attestation object without the way through base64url and JSON.
func FuzzAttestationObject(f *testing.F) {
	for _, v := range readVectors(f).Vectors {
		f.Add(unb64(f, v.Registration.CredentialID), unb64(f, v.Registration.ClientDataJSON), unb64(f, v.Registration.AttestationObject))
	}
	for _, alg := range offered {
		r := newRegistration(f, newDevice(f, alg))
		selfAttested(r)
		f.Add(r.data.id, []byte(r.clientData),
			encode(f, map[string]any{"fmt": r.format, "attStmt": r.statement, "authData": r.data.bytes()}))
	}
	parties := fuzzedParties(f)
	f.Fuzz(func(t *testing.T, id, clientData, object []byte) {
		fuzzRegistration(t, parties, assemble(t, id, map[string]any{
			"clientDataJSON": b64(clientData), "attestationObject": b64(object),
		}, nil, nil))
	})
}

func fuzzedParties(f *testing.F) []*ceremony.RelyingParty {
	f.Helper()
	embedding := func(c *ceremony.Config) { c.TopOrigins = []string{"https://example.com"} }
	return []*ceremony.RelyingParty{
		relyingParty(f, embedding), relyingParty(f, embedding, keepAttestation),
		relyingParty(f, embedding, func(c *ceremony.Config) { c.Metadata = directory{} }),
	}
}

func fuzzRegistration(t *testing.T, parties []*ceremony.RelyingParty, text []byte) {
	t.Helper()
	r, err := ceremony.ParseRegistration(text)
	if err != nil {
		return
	}
	if len(unb64(t, r.Challenge())) != 32 {
		t.Fatalf("challenge %q", r.Challenge())
	}
	for _, rp := range parties {
		c, err := rp.Register(r, ceremony.Expectation{UserHandle: handle})
		if err != nil {
			continue
		}
		if len(c.ID) == 0 || len(c.ID) > 1023 || len(c.PublicKey) > maxAuthenticatorData || len(c.Transports) > 8 ||
			c.BackupState && !c.BackupEligible {
			t.Fatalf("%+v", c)
		}
	}
}

// FuzzParseAssertion: nothing panics, whatever the text is, and nothing is accepted but what the key has signed.
func FuzzParseAssertion(f *testing.F) {
	var known []ceremony.Credential
	signed := map[string]bool{}
	seed := func(text []byte) {
		a, err := ceremony.ParseAssertion(text)
		if err != nil {
			return // with a challenge of another size
		}
		signed[a.Challenge()] = true
		f.Add(text)
	}
	for _, v := range readVectors(f).Vectors {
		known = append(known, v.credential(f))
		seed(v.assertion(f))
	}
	d := newDevice(f, -7)
	known = append(known, credential(f, d))
	a := newAssertion(f, d)
	a.data.flags |= flagED
	a.data.extensions = encode(f, map[string]any{"uvm": []any{[]int{1, 2, 3}}})
	a.top["clientExtensionResults"] = map[string]any{"prf": map[string]any{"enabled": true}}
	seed(a.text())
	rp := relyingParty(f, func(c *ceremony.Config) { c.TopOrigins = []string{"https://example.com"} })
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ceremony.ParseAssertion(text)
		if err != nil {
			return
		}
		if len(unb64(t, a.Challenge())) != 32 || len(a.CredentialID()) == 0 || len(a.UserHandle()) > 64 {
			t.Fatalf("challenge %q, id %x, user handle %x", a.Challenge(), a.CredentialID(), a.UserHandle())
		}
		e := ceremony.Expectation{UserHandle: handle}
		rp.Decoy(a, e)
		for _, c := range known {
			same := bytes.Equal(c.ID, a.CredentialID())
			c.ID = a.CredentialID() // so that every key is tried
			if _, err := rp.Assert(a, c, e); err == nil && (!same || !signed[a.Challenge()]) {
				t.Fatalf("accepted for challenge %q", a.Challenge())
			}
		}
	})
}
