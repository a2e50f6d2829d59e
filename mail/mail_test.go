package mail_test

import (
	"strings"
	"testing"

	"github.com/ostiary/auth/mail"
)

// An ID can stand in a URL and in a header as it is, in any position of either.
func TestIDsNeedNoEncoding(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"2f1c9a4e-77b0-4c55-9f0e-0b7c8a3d1e11", "a", "0", "-", "_~-", "a.b.c", strings.Repeat("x", 100)} {
		if !mail.IsID(id) {
			t.Errorf("%q is refused", id)
		}
	}
	for _, id := range []string{
		"", ".", ".a", "a.", "a..b", " a", "a ", "a@b", "<a>", "a\n", "\na", "a\r\nb", "a\x00", "a/b", "a%41", "a+b", "é", "a\u2028", "a\xff",
		strings.Repeat("x", 101),
	} {
		if mail.IsID(id) {
			t.Errorf("%q is accepted", id)
		}
	}
}
