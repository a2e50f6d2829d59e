package passhash

import (
	"errors"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxBcryptPassword is how many bytes of a password bcrypt reads.
const maxBcryptPassword = 72

// bcryptHash is a bcrypt verifier, as it is stored.
type bcryptHash string

// parseBcrypt reads the cost, and salt and key in one field of 53 characters.
// The prefixes $2$ and $2x$ mark the output of defective implementations.
func parseBcrypt(encoded string, fields []string) (verifier, error) {
	if len(fields) != 2 || len(fields[0]) != 2 || len(fields[1]) != 22+31 {
		return nil, unsupported("bcrypt hash is cut or too long")
	}
	cost := number(strings.TrimPrefix(fields[0], "0"))
	if cost < minBcryptCost || cost > maxBcryptCost {
		return nil, unsupported("bcrypt cost is not from %d to %d", minBcryptCost, maxBcryptCost)
	}
	for _, c := range []byte(fields[1]) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '.' && c <= '9') { // ./0123456789
			return nil, unsupported("bcrypt salt or key is not base64")
		}
	}
	return bcryptHash(encoded), nil
}

// memoryKiB is the size of the Blowfish state.
func (h bcryptHash) memoryKiB() uint32 { return 5 }

func (h bcryptHash) match(password string) (bool, error) {
	// bcrypt cannot tell such a password from a shorter one. The work is done
	// all the same, or its absence would tell which accounts have a bcrypt
	// verifier.
	indistinct := len(password) > maxBcryptPassword || strings.IndexByte(password, 0) >= 0

	err := bcrypt.CompareHashAndPassword([]byte(h), []byte(password[:min(len(password), maxBcryptPassword)]))
	switch {
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return false, nil
	case err != nil:
		return false, unsupported("%v", err)
	}
	return !indistinct, nil
}

func (h bcryptHash) stale(Params) bool { return true }
