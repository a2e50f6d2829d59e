package authtest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what authenticator apps use (RFC 6238 §1.2)
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
)

// TOTPCode is what an authenticator app shows at an instant for a secret, as base32 (RFC 6238, with SHA-1, six digits and
// thirty seconds). A secret that is not base32 fails the test at once.
func TOTPCode(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(secret))
	if err != nil {
		t.Fatalf("authtest: TOTP secret: %v", err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[offset:])&0x7fffffff)%1_000_000)
}

// EnrolTOTP gives a user a second factor and returns its secret, as base32. The session must have signed in just now. A code
// is good once: to make the next one, [TOTPCode] needs a later time than [Clock.Now] is at the call. Any failure fails the
// test at once.
func (e *Engine) EnrolTOTP(t testing.TB, s *auth.Session) (secret string) {
	t.Helper()
	p := e.Principal(t, s)
	enrolment, err := e.GenerateTOTP(t.Context(), p, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatalf("authtest: enrol: %v", err)
	}
	err = e.SetMFA(t.Context(), p, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: TOTPCode(t, enrolment.Secret, e.Clock.Now())})
	if err != nil {
		t.Fatalf("authtest: enrol: %v", err)
	}
	return enrolment.Secret
}
