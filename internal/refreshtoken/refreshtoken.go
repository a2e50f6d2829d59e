// Package refreshtoken makes refresh tokens that are computed and not stored.
//
// # Construction
//
// A session id is a UUID of version 8 (RFC 9562 §5.8) with 96 random bits r:
//
//	r[0:6] 80 00 80 00 r[6:12]
//
// A session counts its rotations: its generation g is 0 at first, and each refresh adds one. The refresh token of a
// generation is one block of AES,
//
//	token = AES-K(r || g)        r: 12 bytes, g: 4 bytes, big-endian
//
// written in the shape of a UUID: 32 lower-case hexadecimal digits and four hyphens. All 128 bits come from the cipher, so the
// version and variant digits of a token are arbitrary. K is a key of 16 or 32 bytes that serves no other purpose.
//
// Decode runs the cipher backwards. A token of any generation, however old, tells its session and its generation, and whoever
// keeps the session's present generation knows whether the token is the current one, the previous one or a replayed one:
// reuse of a rotated token is detected for as long as the session exists (RFC 9700 §4.14.2), and neither tokens nor
// hashes of tokens are stored.
//
// # Security
//
// AES under a secret key is a pseudorandom permutation. Input blocks of different (session, generation) differ, therefore
// tokens never collide, and a token that was not yet handed out is, to someone who has seen q others and knows what they
// stand for, one of 2^128-q equally likely values. The session id need not be secret (it is public: refreshTokenId, the sid
// claim), nor the generation. A blind guess is the current token of a given session with probability 2^-128, the bound of
// RFC 6749 §10.10, and of any of n sessions with n times that, as with random tokens of 128 bits (OWASP ASVS 5.0 7.2.3).
//
// A generation is at most [MaxGeneration], so 8 bits of each block are zero. Decode rejects 255 of 256 random values by them,
// before the store is asked. This is thrift, not protection; the check that counts is that the session exists in the store and
// has that generation.
//
// The permutation has no integrity of its own and needs none: a changed token decodes to an unrelated block, and that block
// names an existing session with probability n/2^96 if it is not rejected before.
//
// What an attacker can do:
//   - With a copy of the store and without the key: nothing. The store holds session ids and generations, and
//     tokens are the cipher's output for them. Write access to the store is another matter; it can give a session to
//     another user under any token format.
//   - With the key and without the store: make the current token of each session whose id is known. Its generation is found
//     by counting down, because a token of a generation that was not reached yet names nothing. Ids of other sessions carry 96
//     unknown bits. A leaked key is therefore as bad as a leaked token of every session whose id was seen; replace it and drop
//     the old one at once, which ends all sessions.
//   - With an old token: revoke that session, by presenting it. This is the intended answer to theft, and the loss of one
//     session.
//
// # Replacing the key
//
// Encode uses the current key; Decode reads with previous ones too. Tokens of one session and generation under two keys are two
// spellings of one state, so a rotation in which the key changes neither forks nor ends a session. Read with a key that
// is not its own, a token is plausible once in 256 times; Decode returns every plausible reading, and a false one names a
// session that does not exist.
//
// Session ids come from crypto/rand, which ends the program rather than return without entropy. The cipher runs in constant time on
// processors with AES instructions (amd64, arm64, ppc64le and s390x of this century); the portable implementation of the
// standard library uses tables.
package refreshtoken

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// MaxGeneration is the greatest generation of a session. Refreshing every second, it is reached after 194 days.
const MaxGeneration = 1<<24 - 1

var (
	// ErrSession is returned by [Codec.Encode] for a session id that NewSessionID cannot have made.
	ErrSession = errors.New("refreshtoken: not a session id")
	// ErrGeneration is returned by [Codec.Encode] for a generation beyond [MaxGeneration]. The session is at its end: its owner
	// signs in again.
	ErrGeneration = errors.New("refreshtoken: generation out of range")
)

// NewSessionID returns a fresh session id. Two are equal with probability 2^-96; a store that keeps them as a unique key
// notices.
func NewSessionID() uuid.UUID {
	var random [12]byte
	rand.Read(random[:]) // never fails: it ends the program instead
	return sessionID(random[:])
}

// sessionID puts 12 random bytes into the fixed bits of a UUID of version 8 and variant 10.
func sessionID(random []byte) uuid.UUID {
	var id uuid.UUID
	copy(id[0:6], random[0:6])
	id[6], id[8] = 0x80, 0x80
	copy(id[10:16], random[6:12])
	return id
}

// Codec encodes and decodes tokens. It is immutable and safe for concurrent use.
type Codec struct {
	keys []cipher.Block // current first
	// Buffers for the cipher, which would otherwise be allocated for each call: they pass through an interface.
	blocks sync.Pool
}

// New returns a Codec for the current key and, newest first, the keys that it replaced. Each has 16 or 32 bytes, all are different.
// They are not retained.
func New(keys ...[]byte) (*Codec, error) {
	if len(keys) == 0 {
		return nil, errors.New("refreshtoken: no key")
	}
	c := &Codec{blocks: sync.Pool{New: func() any { return new([aes.BlockSize]byte) }}}
	for i, key := range keys {
		if len(key) != 16 && len(key) != 32 {
			return nil, fmt.Errorf("refreshtoken: key %d has %d bytes, need 16 or 32", i, len(key))
		}
		for _, other := range keys[:i] {
			if bytes.Equal(key, other) {
				return nil, fmt.Errorf("refreshtoken: key %d repeats another one", i)
			}
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("refreshtoken: key %d: %w", i, err)
		}
		c.keys = append(c.keys, block)
	}
	return c, nil
}

// textLength is the length of a UUID in text.
const textLength = 36

// Encode returns the token of a generation of a session under the current key: 36 characters, always the same ones for the
// same key. The error is [ErrSession] or [ErrGeneration].
func (c *Codec) Encode(session uuid.UUID, generation uint32) (string, error) {
	if session[6] != 0x80 || session[7] != 0 || session[8] != 0x80 || session[9] != 0 {
		return "", ErrSession
	}
	if generation > MaxGeneration {
		return "", ErrGeneration
	}
	block := c.blocks.Get().(*[aes.BlockSize]byte)
	copy(block[0:6], session[0:6])
	copy(block[6:12], session[10:16])
	binary.BigEndian.PutUint32(block[12:], generation)
	c.keys[0].Encrypt(block[:], block[:])
	var text [textLength]byte
	hex.Encode(text[0:8], block[0:4])
	hex.Encode(text[9:13], block[4:6])
	hex.Encode(text[14:18], block[6:8])
	hex.Encode(text[19:23], block[8:10])
	hex.Encode(text[24:36], block[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	clear(block[:])
	c.blocks.Put(block)
	return string(text[:]), nil
}

// Claim is one reading of a token: what it says, not that it is true. The session may not exist, and the generation may be any.
type Claim struct {
	Session    uuid.UUID
	Generation uint32
	Key        int // index of the key that read it; 0 is the current one
}

// Decode returns the plausible readings of a token, at most one for each key, current key first; nil if there is none. Every
// token that Encode made with one of the keys is among them. Two readings of one token are possible and rare; the store
// knows the right one.
//
// It reads the one spelling that Encode writes. Upper case, braces, a urn:uuid: prefix, missing hyphens and blanks have no
// reading, so that no token has two spellings.
func (c *Codec) Decode(token string) []Claim {
	var sealed [aes.BlockSize]byte
	if !parse(token, &sealed) {
		return nil
	}
	block := c.blocks.Get().(*[aes.BlockSize]byte)
	var claims []Claim
	for i, key := range c.keys {
		*block = sealed
		key.Decrypt(block[:], block[:])
		if generation := binary.BigEndian.Uint32(block[12:]); generation <= MaxGeneration {
			claims = append(claims, Claim{Session: sessionID(block[:12]), Generation: generation, Key: i})
		}
	}
	clear(block[:])
	c.blocks.Put(block)
	return claims
}

// parse reads the text form of a UUID, strictly.
func parse(token string, out *[aes.BlockSize]byte) bool {
	if len(token) != textLength || token[8] != '-' || token[13] != '-' || token[18] != '-' || token[23] != '-' {
		return false
	}
	for i, at := range digits {
		high, low := strings.IndexByte(alphabet, token[at]), strings.IndexByte(alphabet, token[at+1])
		if high < 0 || low < 0 {
			return false
		}
		out[i] = byte(high<<4 | low)
	}
	return true
}

// digits says where in the text of a UUID the two digits of each byte stand.
var digits = [aes.BlockSize]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// alphabet are the digits by their values.
const alphabet = "0123456789abcdef"
