package passhash

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math"

	"golang.org/x/crypto/argon2"
)

// argon2Hash is an Argon2id or Argon2i verifier of version 1.3 (RFC 9106).
type argon2Hash struct {
	id     bool
	params Params
	salt   []byte
	key    []byte
}

func encodeArgon2id(p Params, salt, key []byte) string {
	b := make([]byte, 0, 128)
	b = fmt.Appendf(b, "$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, p.MemoryKiB, p.Time, p.Threads)
	b = base64.RawStdEncoding.AppendEncode(b, salt)
	b = append(b, '$')
	b = base64.RawStdEncoding.AppendEncode(b, key)
	return string(b)
}

// parseArgon2 reads v=19, m=…,t=…,p=…, salt and key. Verifiers without a
// version are of the withdrawn version 1.0; the optional key id and associated
// data of the format are not supported.
func parseArgon2(id bool, fields []string) (verifier, error) {
	if len(fields) != 4 || fields[0] != "v=19" {
		return nil, unsupported("Argon2 is not of version 19")
	}
	c, ok := costs(fields[1], "m", "t", "p")
	if !ok {
		return nil, unsupported("Argon2 parameters")
	}
	h := argon2Hash{id: id, params: Params{MemoryKiB: c[0], Time: c[1], Threads: uint8(min(c[2], math.MaxUint8))}}
	if err := h.params.Validate(); err != nil {
		return nil, unsupported("%v", err)
	}
	var err error
	h.salt, h.key, err = saltAndKey(fields[2], fields[3])
	return h, err
}

func (h argon2Hash) memoryKiB() uint32 { return h.params.MemoryKiB }

func (h argon2Hash) match(password string) (bool, error) {
	derive := argon2.Key
	if h.id {
		derive = argon2.IDKey
	}
	key := derive([]byte(password), h.salt, h.params.Time, h.params.MemoryKiB, h.params.Threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1, nil
}

func (h argon2Hash) stale(current Params) bool {
	return !h.id || !h.params.atLeast(current) || len(h.salt) < saltLen || len(h.key) < keyLen
}
