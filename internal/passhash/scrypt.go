package passhash

import (
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/scrypt"
)

// scryptHash is an scrypt verifier (RFC 7914).
type scryptHash struct {
	logN, r, p uint32
	salt       []byte
	key        []byte
}

// parseScrypt reads ln=…,r=…,p=…, salt and key. A key cut short is the prefix
// of the whole one and would still match, so that only the two lengths in use
// are accepted.
func parseScrypt(fields []string) (verifier, error) {
	if len(fields) != 3 {
		return nil, unsupported("scrypt fields")
	}
	c, ok := costs(fields[0], "ln", "r", "p")
	if !ok {
		return nil, unsupported("scrypt parameters")
	}
	h := scryptHash{logN: c[0], r: c[1], p: c[2]}
	if h.logN < 1 || h.logN > maxScryptLogN || h.r < 1 || h.r > maxScryptBlockSize || h.p < 1 || h.p > maxScryptParallel {
		return nil, unsupported("scrypt parameters out of range")
	}
	if h.memoryKiB() > maxMemoryKiB || h.memoryKiB()*h.p > maxScryptWork {
		return nil, unsupported("scrypt cost too high")
	}
	var err error
	h.salt, h.key, err = saltAndKey(fields[1], fields[2])
	if err == nil && len(h.key) != 32 && len(h.key) != 64 {
		err = unsupported("scrypt key is not of 32 or 64 bytes")
	}
	return h, err
}

// memoryKiB is 128·r·N bytes, rounded up.
func (h scryptHash) memoryKiB() uint32 { return (h.r<<h.logN + 7) / 8 }

func (h scryptHash) match(password string) (bool, error) {
	key, err := scrypt.Key([]byte(password), h.salt, 1<<h.logN, int(h.r), int(h.p), len(h.key))
	if err != nil {
		return false, fmt.Errorf("passhash: %w", err)
	}
	return subtle.ConstantTimeCompare(key, h.key) == 1, nil
}

func (h scryptHash) stale(Params) bool { return true }
