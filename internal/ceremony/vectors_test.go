package ceremony_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
)

// vectors are the test vectors of WebAuthn L3 §16.
type vectors struct {
	RPID, Origin, TopOrigin, AttestationRoot string
	Vectors                                  []vector
}

type vector struct {
	ID, Fmt      string
	Alg          int64
	Registration struct {
		CredentialID, AAGUID, PublicKey, Challenge, ClientDataJSON, AttestationObject string
		Flags                                                                         []string
		SignCount                                                                     uint32
	}
	Authentication struct {
		Challenge, ClientDataJSON, AuthenticatorData, Signature string
		Flags                                                   []string
		SignCount                                               uint32
	}
	Expect struct{ DefaultPolicy, CrossOriginAllowed, UserVerificationRequired string }
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/webauthn-l3-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Vectors) != 15 {
		t.Fatalf("%d vectors", len(v.Vectors))
	}
	return v
}

func (v vector) registration(t testing.TB) []byte {
	t.Helper()
	return assemble(t, unb64(t, v.Registration.CredentialID), map[string]any{
		"clientDataJSON": v.Registration.ClientDataJSON, "attestationObject": v.Registration.AttestationObject,
	}, nil, nil)
}

func (v vector) assertion(t testing.TB) []byte {
	t.Helper()
	return assemble(t, unb64(t, v.Registration.CredentialID), map[string]any{
		"clientDataJSON": v.Authentication.ClientDataJSON, "authenticatorData": v.Authentication.AuthenticatorData,
		"signature": v.Authentication.Signature,
	}, nil, nil)
}

// credential is the credential that the registration makes.
func (v vector) credential(t testing.TB) ceremony.Credential {
	t.Helper()
	aaguid, err := hex.DecodeString(v.Registration.AAGUID)
	if err != nil {
		t.Fatal(err)
	}
	flag := func(name string) bool { return slices.Contains(v.Registration.Flags, name) }
	return ceremony.Credential{
		ID: unb64(t, v.Registration.CredentialID), PublicKey: unb64(t, v.Registration.PublicKey), Algorithm: v.Alg,
		SignCount: v.Registration.SignCount, AAGUID: uuid.UUID(aaguid), AttestationFormat: "none",
		BackupEligible: flag("BE"), BackupState: flag("BS"), UserVerified: flag("UV"),
	}
}

// WA-29: every vector is accepted or refused as it says, under each policy.
func TestVectors(t *testing.T) {
	t.Parallel()
	file := readVectors(t)
	policies := []struct {
		name    string
		verdict func(vector) string
		change  func(*ceremony.Config)
		expect  ceremony.Expectation
	}{
		{
			name:    "by default",
			verdict: func(v vector) string { return v.Expect.DefaultPolicy },
			change:  func(*ceremony.Config) {},
		},
		{
			name:    "with embedding allowed",
			verdict: func(v vector) string { return v.Expect.CrossOriginAllowed },
			change:  func(c *ceremony.Config) { c.TopOrigins = []string{file.TopOrigin} },
		},
		{
			name:    "with user verification and embedding allowed",
			verdict: func(v vector) string { return v.Expect.UserVerificationRequired },
			change:  func(c *ceremony.Config) { c.TopOrigins = []string{file.TopOrigin} },
			expect:  ceremony.Expectation{UserVerification: true},
		},
	}
	for _, policy := range policies {
		for _, keep := range []bool{false, true} {
			rp := relyingParty(t, policy.change, func(c *ceremony.Config) {
				c.ID, c.Origins, c.KeepAttestation = file.RPID, []string{file.Origin}, keep
			})
			for _, v := range file.Vectors {
				name := v.ID + " " + policy.name
				if keep {
					name += " with attestation"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					verdict := policy.verdict(v)
					_, missing, _ := strings.Cut(verdict, "UV flag missing in ")
					accepted := func(half string) bool {
						if missing != "" {
							return !strings.Contains(missing, half)
						}
						return strings.HasPrefix(verdict, "accept")
					}
					wantRegistered, wantAsserted := accepted("registration"), accepted("authentication")
					if v.Alg == -53 { // Ed448, not offered
						wantRegistered, wantAsserted = false, false
					}
					// These chain up to the test root, which nobody trusts.
					if keep && strings.Contains(v.Expect.DefaultPolicy, "untrusted") {
						wantRegistered = false
					}

					// One vector has challenges of 128 bytes. They are refused, which is no reason to leave out the rest of it.
					size := len(unb64(t, v.Registration.Challenge))
					if _, err := ceremony.ParseRegistration(v.registration(t)); (err == nil) != (size == 32) {
						t.Errorf("registration with a challenge of %d bytes: %v", size, err)
					}
					if _, err := ceremony.ParseAssertion(v.assertion(t)); (err == nil) != (size == 32) {
						t.Errorf("assertion with a challenge of %d bytes: %v", size, err)
					}

					r, err := ceremony.ParseRegistrationWith(v.registration(t), size)
					if err != nil {
						t.Fatal(err)
					}
					if r.Challenge() != v.Registration.Challenge {
						t.Errorf("challenge %q", r.Challenge())
					}
					got, err := rp.Register(r, policy.expect)
					if (err == nil) != wantRegistered {
						t.Errorf("registration: %v; want it accepted: %t", err, wantRegistered)
					}
					want := v.credential(t)
					if err == nil {
						if keep {
							want.AttestationFormat = v.Fmt
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Error(diff)
						}
					}

					a, err := ceremony.ParseAssertionWith(v.assertion(t), size)
					if err != nil {
						t.Fatal(err)
					}
					if a.Challenge() != v.Authentication.Challenge || !slices.Equal(a.CredentialID(), want.ID) || a.UserHandle() != nil {
						t.Errorf("assertion: challenge %q, id %x, user handle %x", a.Challenge(), a.CredentialID(), a.UserHandle())
					}
					use, err := rp.Assert(a, want, policy.expect)
					if (err == nil) != wantAsserted {
						t.Errorf("assertion: %v; want it accepted: %t", err, wantAsserted)
					}
					if err == nil {
						flag := func(name string) bool { return slices.Contains(v.Authentication.Flags, name) }
						want := ceremony.Use{
							SignCount: v.Authentication.SignCount, BackupState: flag("BS"), UserVerified: flag("UV"),
						}
						if diff := cmp.Diff(want, use); diff != "" {
							t.Error(diff)
						}
					}
				})
			}
		}
	}
}

// WA-16: no byte of a signed assertion can be another.
func TestChangedVectorsAreRefused(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t, func(c *ceremony.Config) { c.TopOrigins = []string{readVectors(t).TopOrigin} })
	for _, v := range readVectors(t).Vectors {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			c, size := v.credential(t), len(unb64(t, v.Authentication.Challenge))
			for _, member := range []*string{
				&v.Authentication.ClientDataJSON, &v.Authentication.AuthenticatorData, &v.Authentication.Signature,
			} {
				original := *member
				for i := range unb64(t, original) {
					changed := unb64(t, original)
					changed[i] ^= 1 << (i % 8)
					*member = b64(changed)
					a, err := ceremony.ParseAssertionWith(v.assertion(t), size)
					if err == nil {
						_, err = rp.Assert(a, c, expected())
					}
					if err == nil {
						t.Fatalf("accepted with another byte %d of %s", i, original)
					}
				}
				*member = original
			}
		})
	}
}

// A registration can have any byte changed without harm. One that the credential itself has signed is refused then.
func TestChangedAttestationObjectsDoNoHarm(t *testing.T) {
	t.Parallel()
	rp := relyingParty(t, keepAttestation)
	for _, v := range readVectors(t).Vectors {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			original := unb64(t, v.Registration.AttestationObject)
			for i := range original {
				changed := slices.Clone(original)
				changed[i] ^= 1 << (i % 8)
				v.Registration.AttestationObject = b64(changed)
				if _, err := register(rp, v.registration(t), expected()); err == nil && v.ID == "packed-self-es256" {
					t.Fatalf("accepted with another byte %d", i)
				}
				v.Registration.AttestationObject = b64(original[:i])
				if _, err := register(rp, v.registration(t), expected()); err == nil {
					t.Fatalf("accepted after cutting at byte %d", i)
				}
			}
		})
	}
}
