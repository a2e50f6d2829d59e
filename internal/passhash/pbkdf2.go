package passhash

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
)

// digest is the hash function under HMAC in a PBKDF2 verifier.
type digest struct {
	size uint32
	new  func() hash.Hash
}

var (
	sha1Digest   = digest{sha1.Size, sha1.New}
	sha256Digest = digest{sha256.Size, sha256.New}
	sha512Digest = digest{sha512.Size, sha512.New}
)

// pbkdf2Hash is a PBKDF2 verifier (RFC 8018 §5.2).
type pbkdf2Hash struct {
	digest     digest
	iterations uint32
	salt       []byte
	key        []byte
}

// parsePBKDF2 reads what follows the scheme: i=…[,l=…], or a bare number as
// Passlib writes it, then salt and key.
func parsePBKDF2(d digest, fields []string) (verifier, error) {
	if len(fields) != 3 {
		return nil, unsupported("PBKDF2 fields")
	}
	length := d.size
	var iterations uint32
	if n := number(fields[0]); n > 0 {
		iterations = n
		// Passlib's base64 has a full stop in the place of the plus sign.
		fields[1] = strings.ReplaceAll(fields[1], ".", "+")
		fields[2] = strings.ReplaceAll(fields[2], ".", "+")
	} else if c, ok := costs(fields[0], "i"); ok {
		iterations = c[0]
	} else if c, ok := costs(fields[0], "i", "l"); ok {
		iterations, length = c[0], c[1]
	} else {
		return nil, unsupported("PBKDF2 parameters")
	}
	salt, key, err := saltAndKey(fields[1], fields[2])
	if err != nil {
		return nil, err
	}
	return newPBKDF2(d, iterations, length, salt, key)
}

// parseDjango reads pbkdf2_sha256$iterations$salt$key, where the salt is used
// as it is written and the key is padded base64.
func parseDjango(fields []string) (verifier, error) {
	if len(fields) != 4 {
		return nil, unsupported("unknown scheme")
	}
	var d digest
	switch fields[0] {
	case "pbkdf2_sha256":
		d = sha256Digest
	case "pbkdf2_sha1":
		d = sha1Digest
	default:
		return nil, unsupported("unknown scheme")
	}
	salt := []byte(fields[2])
	if len(salt) < minSaltLen || len(salt) > maxSaltLen {
		return nil, unsupported("salt is not of %d to %d bytes", minSaltLen, maxSaltLen)
	}
	key, ok := decode(base64.StdEncoding, fields[3])
	if !ok {
		return nil, unsupported("key is not base64")
	}
	return newPBKDF2(d, number(fields[1]), d.size, salt, key)
}

func newPBKDF2(d digest, iterations, length uint32, salt, key []byte) (verifier, error) {
	// A key cut short is the prefix of the whole one and would still match.
	if uint32(len(key)) != length {
		return nil, unsupported("PBKDF2 key is %d bytes long, not %d", len(key), length)
	}
	blocks := (length + d.size - 1) / d.size
	if iterations < 1 || uint64(iterations)*uint64(blocks) > maxPBKDF2Work {
		return nil, unsupported("PBKDF2 iterations out of range")
	}
	return pbkdf2Hash{digest: d, iterations: iterations, salt: salt, key: key}, nil
}

// memoryKiB is next to nothing: a few blocks of the hash function.
func (h pbkdf2Hash) memoryKiB() uint32 { return 1 }

func (h pbkdf2Hash) match(password string) (bool, error) {
	key, err := pbkdf2.Key(h.digest.new, password, h.salt, int(h.iterations), len(h.key))
	if err != nil {
		return false, fmt.Errorf("passhash: %w", err)
	}
	return subtle.ConstantTimeCompare(key, h.key) == 1, nil
}

func (h pbkdf2Hash) stale(Params) bool { return true }
