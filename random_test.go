package auth_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
)

// secretsOf is one of every secret that an engine makes, made while the source of randomness begins at seed.
func secretsOf(t *testing.T, seed uint64) map[string]string {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	v := newVisitor(t, letters, func(c *auth.Config) { c.Secret = bytes.Repeat([]byte{7}, 32) })
	v.Clock.Set(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	secrets := map[string]string{}

	s := v.SignUp(t, "ada@example.com")
	p := v.Principal(t, s)
	secrets["ticket of a verification link"] = v.Mailbox.Last(t, "ada@example.com").Ticket()
	secrets["refresh token"] = s.RefreshToken
	secrets["session id"] = s.RefreshTokenID.String()
	secrets["id of an access token"] = p.TokenID
	account, err := v.Store.User(t.Context(), store.UserQuery{ID: s.User.ID, Now: v.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	secrets["hash of a password, by its salt"] = account.User.PasswordHash
	secrets["refresh token of the next step"] = mustRefresh(t, v.Engine, s.RefreshToken).RefreshToken
	for _, m := range mailings[:3] {
		if err := m.send(v.Engine, "ada@example.com", ""); err != nil {
			t.Fatal(err)
		}
		secrets["ticket of "+m.name] = v.Mailbox.Last(t, "ada@example.com").Ticket()
	}
	change := textings()[1]
	secrets["texted code"] = change.code(t, v.Engine, p, adaPhone)
	if err := v.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com", CodeChallenge: challengeFor(verifier)}); err != nil {
		t.Fatal(err)
	}
	secrets["code in a redirect"] = followLink(t, v.Engine, "ada@example.com").Code
	secrets["personal access token"] = createPAT(t, v.Engine, p, time.Hour).Token

	secrets["challenge of a sign-in"] = challengeOf(t, beginKeySignIn(t, v.Engine, ""))
	secrets["challenge of a sign-up"] = challengeOf(t, beginKeySignUp(t, v.Engine, "bob@example.com"))
	start := v.start(t, "here", auth.SignUpOptions{})
	secrets["state of a visit"] = start.State
	secrets["binding of a visit"] = start.Binding
	secrets["verifier of a visit"] = v.here.visits[start.State].Verifier
	secrets["nonce of a visit"] = v.here.visits[start.State].Nonce

	secrets["secret of an authenticator app"] = v.EnrolTOTP(t, s)
	codes, err := v.GenerateRecoveryCodes(t.Context(), p, auth.GenerateRecoveryCodesParams{
		Code: nextCode(t, v.Engine, secrets["secret of an authenticator app"]),
	})
	if err != nil {
		t.Fatal(err)
	}
	secrets["recovery codes"] = strings.Join(codes, " ")
	secrets["ticket of a second factor"] = askedAgain(t, v.Engine, "ada@example.com")
	return secrets
}

// LG-16: every secret comes from the cryptographic source of the operating system, and from nothing else: where that source
// begins alike, so do the secrets, and where it does not, none is the same.
//
//nolint:paralleltest // the source of randomness is the process's
func TestSecretsComeFromTheCryptographicSource(t *testing.T) {
	authtest.New(t) // whose own secret is made once in a process
	first, again, other := secretsOf(t, 1), secretsOf(t, 1), secretsOf(t, 2)
	for name, secret := range first {
		if secret == "" {
			t.Errorf("%s: none", name)
		}
		if again[name] != secret {
			t.Errorf("%s: something else than the source decides: %q and %q", name, secret, again[name])
		}
		if other[name] == secret {
			t.Errorf("%s: the source does not decide: %q", name, secret)
		}
	}
}
