package bench

import (
	"encoding/base64"
	"encoding/json"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// owner is a user as go-webauthn wants to see one.
type owner struct {
	handle     []byte
	credential webauthn.Credential
}

func (o owner) WebAuthnID() []byte          { return o.handle }
func (o owner) WebAuthnName() string        { return "" }
func (o owner) WebAuthnDisplayName() string { return "" }
func (o owner) WebAuthnCredentials() []webauthn.Credential {
	return []webauthn.Credential{o.credential}
}

// keyRealm is a realm whose user has a passkey, known to the bare library as well.
type keyRealm struct {
	*realm
	key     *authtest.Authenticator
	library *webauthn.WebAuthn
	owner   owner
}

func newKeyRealm(tb testing.TB, algorithm int) *keyRealm {
	tb.Helper()
	r := &keyRealm{
		realm: newRealm(tb, algorithms(tb)[1].key),
		key:   &authtest.Authenticator{Origin: "https://bench.example", Algorithm: algorithm},
	}
	options, err := r.engine.SignUpWebAuthn(tb.Context(), auth.SignUpWebAuthnParams{Email: "key@bench.example"})
	if err != nil {
		tb.Fatal(err)
	}
	answer := r.key.Create(tb, options)
	in, err := r.engine.VerifySignUpWebAuthn(tb.Context(), auth.VerifySignUpWebAuthnParams{Credential: answer})
	if err != nil {
		tb.Fatal(err)
	}
	r.library, err = webauthn.New(&webauthn.Config{RPID: "bench.example", RPDisplayName: "bench", RPOrigins: []string{"https://bench.example"}})
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		tb.Fatal(err)
	}
	var params []protocol.CredentialParameter
	for _, a := range keyAlgorithms {
		params = append(params, protocol.CredentialParameter{
			Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(a.cose),
		})
	}
	r.owner.handle = in.Session.User.ID[:]
	session := webauthn.SessionData{
		Challenge: options.Challenge, UserID: r.owner.handle, CredParams: params,
		Extensions: protocol.SessionExtensions{Requested: []string{"credProps"}},
	}
	credential, err := r.library.CreateCredential(r.owner, session, parsed)
	if err != nil {
		tb.Fatal(err)
	}
	r.owner.credential = *credential
	return r
}

// assertion is the answer to a sign-in that has just begun.
func (r *keyRealm) assertion(tb testing.TB) (challenge string, answer json.RawMessage) {
	options, err := r.engine.SignInWebAuthn(tb.Context(), auth.SignInWebAuthnParams{})
	if err != nil {
		tb.Fatal(err)
	}
	return options.Challenge, r.key.Get(tb, options)
}

func (r *keyRealm) finish(tb testing.TB, answer json.RawMessage) {
	if _, err := r.engine.VerifySignInWebAuthn(tb.Context(), auth.VerifySignInWebAuthnParams{Credential: answer}); err != nil {
		tb.Fatal(err)
	}
}

// bare verifies the answer as the documentation of go-webauthn says, with a challenge that somebody else has kept.
func (r *keyRealm) bare(tb testing.TB, challenge string, answer json.RawMessage) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.library.ValidateLogin(r.owner, webauthn.SessionData{Challenge: challenge, UserID: r.owner.handle}, parsed); err != nil {
		tb.Fatal(err)
	}
}

var keyAlgorithms = []struct {
	name string
	cose int
}{{"ES256", authtest.ES256}, {"RS256", authtest.RS256}, {"EdDSA", authtest.EdDSA}}

// BenchmarkSignInWebAuthn compares the end of a sign-in with a security key, from the JSON to the session, with its two
// signatures: the bare verification of the same assertion, from the JSON too, and the signing of an access token. Each turn
// has a sign-in of its own, whose beginning is not measured.
func BenchmarkSignInWebAuthn(b *testing.B) {
	for _, a := range keyAlgorithms {
		b.Run("key="+a.name, func(b *testing.B) {
			r := newKeyRealm(b, a.cose)
			sign, input := algorithms(b)[1].sign, []byte(r.session.AccessToken)
			times := map[string][]time.Duration{}
			timed := func(unit string, f func()) {
				start := time.Now()
				f()
				times[unit] = append(times[unit], time.Since(start))
			}
			for b.Loop() {
				challenge, answer := r.assertion(b)
				turns := []func(){
					func() { timed("engine-ns", func() { r.finish(b, answer) }) },
					func() { timed("bare-ns", func() { r.bare(b, challenge, answer); sign(input) }) },
				}
				for _, i := range mathrand.Perm(len(turns)) {
					turns[i]()
				}
			}
			for unit, list := range times {
				slices.Sort(list)
				b.ReportMetric(float64(list[len(list)/2]), unit)
			}
		})
	}
}

// TestTheBareLibraryVerifiesTheSame guards the comparison.
func TestTheBareLibraryVerifiesTheSame(t *testing.T) {
	t.Parallel()
	for _, a := range keyAlgorithms {
		r := newKeyRealm(t, a.cose)
		challenge, answer := r.assertion(t)
		r.bare(t, challenge, answer)
		r.finish(t, answer)
		if raw, err := base64.RawURLEncoding.DecodeString(challenge); err != nil || len(raw) != 32 {
			t.Errorf("challenge %q", challenge)
		}
	}
}
