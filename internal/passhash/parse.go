package passhash

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Limits on what a verifier may ask for. They admit the recommendations of the
// common libraries with room to spare, and keep the most expensive verifier
// that is accepted near two seconds on one core. The memory of Argon2 and
// scrypt goes up to 256 MiB, libsodium's "moderate".
const (
	maxEncodedLen = 512 // bytes of the whole string

	minSaltLen = 8 // bytes, once decoded
	maxSaltLen = 64
	minKeyLen  = 16
	maxKeyLen  = 64

	maxMemoryKiB = 256 << 10

	maxArgon2Time    = 64
	maxArgon2Work    = 1 << 20 // KiB of memory times passes
	maxArgon2Threads = 16

	minBcryptCost = 4
	maxBcryptCost = 15

	maxScryptLogN      = 20
	maxScryptBlockSize = 32 // r
	maxScryptParallel  = 16 // p
	maxScryptWork      = 1 << 20

	maxPBKDF2Work = 5_000_000 // iterations times blocks of output
)

// A verifier is a parsed password hash whose costs are within the limits.
type verifier interface {
	// memoryKiB is the memory that match needs.
	memoryKiB() uint32
	// match does the work and compares in constant time.
	match(password string) (bool, error)
	// stale reports whether the verifier is weaker than one made with current.
	stale(current Params) bool
}

// Validate reports whether Verify can check passwords against encoded, without
// doing any of the work: for use when verifiers are imported. The error wraps
// [ErrUnsupported]; its text says what is wrong and contains neither salt nor
// key.
//
// The limits are: 512 bytes altogether; salts of 8 to 64 bytes; keys of 16 to
// 64 bytes, and exactly as long as the scheme or the l= parameter says where
// one does, because a key cut short would match more passwords; memory of at
// most 256 MiB for Argon2 and scrypt; Argon2 with at most 64 passes, 16 lanes,
// and 1 GiB of memory times passes; bcrypt costs of 4 to 15; scrypt with at
// most 1 GiB of memory times p; PBKDF2 with at most 5,000,000 iterations for
// all blocks of the key together.
func Validate(encoded string) error {
	_, err := parse(encoded)
	return err
}

func parse(encoded string) (verifier, error) {
	if len(encoded) > maxEncodedLen {
		return nil, unsupported("longer than %d bytes", maxEncodedLen)
	}
	rest, found := strings.CutPrefix(encoded, "$")
	if !found {
		return parseDjango(strings.Split(encoded, "$"))
	}
	scheme, rest, _ := strings.Cut(rest, "$")
	switch fields := strings.Split(rest, "$"); scheme {
	case "argon2id", "argon2i":
		return parseArgon2(scheme == "argon2id", fields)
	case "2a", "2b", "2y":
		return parseBcrypt(encoded, fields)
	case "scrypt":
		return parseScrypt(fields)
	case "pbkdf2", "pbkdf2-sha1":
		return parsePBKDF2(sha1Digest, fields)
	case "pbkdf2-sha256":
		return parsePBKDF2(sha256Digest, fields)
	case "pbkdf2-sha512":
		return parsePBKDF2(sha512Digest, fields)
	}
	return nil, unsupported("unknown scheme")
}

// saltAndKey decodes the last two fields of a PHC string.
func saltAndKey(salt64, key64 string) (salt, key []byte, err error) {
	salt, ok := decode(base64.RawStdEncoding, salt64)
	if !ok || len(salt) < minSaltLen || len(salt) > maxSaltLen {
		return nil, nil, unsupported("salt is not base64 of %d to %d bytes", minSaltLen, maxSaltLen)
	}
	key, ok = decode(base64.RawStdEncoding, key64)
	if !ok || len(key) < minKeyLen || len(key) > maxKeyLen {
		return nil, nil, unsupported("key is not base64 of %d to %d bytes", minKeyLen, maxKeyLen)
	}
	return salt, key, nil
}

// decode is strict where encoding/base64 is not: trailing bits must be zero
// and line breaks are errors.
func decode(enc *base64.Encoding, s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := enc.Strict().DecodeString(s)
	return b, err == nil
}

// costs reads "a=1,b=2" for the given names, in that order and with nothing
// else between or behind, as the PHC string format demands.
func costs(s string, names ...string) ([]uint32, bool) {
	values := make([]uint32, len(names))
	for i, name := range names {
		field, rest, more := strings.Cut(s, ",")
		if more != (i < len(names)-1) {
			return nil, false
		}
		key, value, _ := strings.Cut(field, "=")
		if key != name {
			return nil, false
		}
		values[i], s = number(value), rest
	}
	return values, true
}

// number reads a decimal number in its one canonical spelling. It returns 0, or
// the largest number, for what is none: both are outside of every limit here.
func number(s string) uint32 {
	if strings.HasPrefix(s, "0") {
		return 0
	}
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}
