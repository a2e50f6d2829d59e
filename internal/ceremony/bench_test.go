package ceremony_test

import (
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/ostiary/auth/internal/ceremony"
)

// BenchmarkAssert parses and verifies an ES256 assertion.
func BenchmarkAssert(b *testing.B) {
	d := newDevice(b, -7)
	c, text, rp := credential(b, d), newAssertion(b, d).text(), relyingParty(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := assert(rp, text, c, expected()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareAssert does the same with the library alone.
func BenchmarkBareAssert(b *testing.B) {
	d := newDevice(b, -7)
	c, text := credential(b, d), newAssertion(b, d).text()
	library, err := webauthn.New(&webauthn.Config{RPID: rpID, RPOrigins: []string{origin}})
	if err != nil {
		b.Fatal(err)
	}
	u := bareUser{webauthn.Credential{ID: c.ID, PublicKey: c.PublicKey}}
	session := webauthn.SessionData{Challenge: challenge, UserID: handle}
	b.ReportAllocs()
	for b.Loop() {
		parsed, err := protocol.ParseCredentialRequestResponseBytes(text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := library.ValidateLogin(u, session, parsed); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrongSignature and BenchmarkDecoy show that the time of a refusal does not tell known credentials from others.
func BenchmarkWrongSignature(b *testing.B) {
	c, text, rp := credential(b, newDevice(b, -7)), newAssertion(b, newDevice(b, -7)).text(), relyingParty(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := assert(rp, text, c, expected()); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkDecoy(b *testing.B) {
	text, rp := newAssertion(b, newDevice(b, -7)).text(), relyingParty(b)
	b.ReportAllocs()
	for b.Loop() {
		a, err := ceremony.ParseAssertion(text)
		if err != nil {
			b.Fatal(err)
		}
		rp.Decoy(a, expected())
	}
}

// BenchmarkRegister parses and verifies an ES256 registration without attestation.
func BenchmarkRegister(b *testing.B) {
	text, rp := newRegistration(b, newDevice(b, -7)).text(), relyingParty(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := register(rp, text, expected()); err != nil {
			b.Fatal(err)
		}
	}
}

type bareUser struct{ credential webauthn.Credential }

func (u bareUser) WebAuthnID() []byte          { return handle }
func (u bareUser) WebAuthnName() string        { return "" }
func (u bareUser) WebAuthnDisplayName() string { return "" }
func (u bareUser) WebAuthnCredentials() []webauthn.Credential {
	return []webauthn.Credential{u.credential}
}
