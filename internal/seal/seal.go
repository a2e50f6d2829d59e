// Package seal keeps secrets under one root secret: it seals values that must be read again, authenticates values that must
// only be recognised again, and derives keys for other uses.
//
// All keys come from the root secret by HKDF-SHA-256 (RFC 5869), one for each use, so that a key that leaks or a use that is
// broken says nothing about the others. To replace the root secret, make the old one a previous secret: new values are made
// with the current secret, values made with a previous one are still opened and recognised. Drop the previous secret when the
// last of them has expired or was sealed again.
//
// Values are sealed with XChaCha20-Poly1305 under a random nonce of 192 bits, large enough that nonces of any number of values
// do not collide. A sealed value is bound to a purpose and to its place (say, table, column and row key): copied to another
// row it does not open.
//
// Random bytes come from crypto/rand, which ends the program rather than return without entropy; no value is ever sealed under
// a predictable nonce.
package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// MinSecret is the least length of a secret in bytes: as much as the security level of every key that is derived from it.
const MinSecret = 32

// Overhead is the number of bytes by which a sealed value is longer than the plain one: version, nonce and tag.
const Overhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// version is the first byte of every sealed value: it names the layout and the cipher of the rest.
const version = 1

// ErrOpen is returned by [Box.Open] for every value that it does not open, without saying why: another purpose or place, another
// secret, a changed or cut value, an unknown version.
var ErrOpen = errors.New("seal: cannot open value")

// Box holds a current secret and previous ones. It is safe for concurrent use.
type Box struct {
	roots []root // current first

	// macs caches the keys of MAC by label. Readers load the map without a lock; it is replaced, never changed.
	macs   atomic.Pointer[map[string][]*macKey]
	adding sync.Mutex
}

// root is what is kept of one secret.
type root struct {
	key  []byte // pseudorandom key of HKDF-Extract
	aead cipher.AEAD
}

// New returns a Box for a secret and, newest first, the secrets that it replaced. Each is [MinSecret] bytes or longer, from a
// random source (a passphrase is not: its strength is not its length), and all are different. They are not retained.
func New(secret []byte, previous ...[]byte) (*Box, error) {
	var b Box
	secrets := append([][]byte{secret}, previous...)
	for i, s := range secrets {
		name := "secret"
		if i > 0 {
			name = fmt.Sprintf("previous secret %d", i-1)
		}
		if len(s) < MinSecret {
			return nil, fmt.Errorf("seal: %s has %d bytes, need %d", name, len(s), MinSecret)
		}
		for _, other := range secrets[:i] {
			if bytes.Equal(s, other) {
				return nil, fmt.Errorf("seal: %s repeats another secret", name)
			}
		}
		key, err := hkdf.Extract(sha256.New, s, nil)
		if err != nil {
			return nil, fmt.Errorf("seal: %s: %w", name, err)
		}
		r := root{key: key}
		if r.aead, err = chacha20poly1305.NewX(r.derive("seal", "", chacha20poly1305.KeySize)); err != nil {
			return nil, fmt.Errorf("seal: %s: %w", name, err)
		}
		b.roots = append(b.roots, r)
	}
	b.macs.Store(&map[string][]*macKey{})
	return &b, nil
}

// derive returns the key of a use. The length is part of the derivation: HKDF output of one length is otherwise a prefix of that
// of a greater one.
func (r *root) derive(use, label string, n int) []byte {
	key, err := hkdf.Expand(sha256.New, r.key, fmt.Sprintf("%s\x00%d\x00%s", use, n, label), n)
	if err != nil {
		panic(fmt.Sprintf("seal: key of %d bytes: %v", n, err))
	}
	return key
}

// Subkey returns a key of n bytes that belongs to label, derived from the current secret. The same label and length give
// the same key in every process that has the secret; another label or length gives an unrelated one. The caller owns the result
// and should derive it once.
//
// The length is the program's choice and never input: Subkey panics if it is not between 0 and 8160, the limit of HKDF-SHA-256.
func (b *Box) Subkey(label string, n int) []byte { return b.roots[0].derive("key", label, n) }

// Subkeys returns what Subkey would for each secret, current first.
func (b *Box) Subkeys(label string, n int) [][]byte {
	keys := make([][]byte, len(b.roots))
	for i := range b.roots {
		keys[i] = b.roots[i].derive("key", label, n)
	}
	return keys
}

// Seal encrypts and authenticates a value under the current secret. It opens only with the same purpose and the same aad, which
// are authenticated but not part of the result. purpose says what the value is; aad says where it belongs, such as the
// key of its row. The result is [Overhead] bytes longer than plaintext and differs each time. Its length shows the length of
// plaintext.
func (b *Box) Seal(purpose string, aad, plaintext []byte) []byte {
	sealed := make([]byte, 1+chacha20poly1305.NonceSizeX, len(plaintext)+Overhead)
	sealed[0] = version
	nonce := sealed[1:]
	rand.Read(nonce) // never fails: it ends the program instead
	return b.roots[0].aead.Seal(sealed, nonce, plaintext, context(purpose, aad))
}

// Open returns the value that Seal was given, whichever of the secrets was current then. Any failure is [ErrOpen].
func (b *Box) Open(purpose string, aad, sealed []byte) ([]byte, error) {
	plaintext, _, err := b.OpenStale(purpose, aad, sealed)
	return plaintext, err
}

// OpenStale is Open, and reports whether the value was sealed under a previous secret. Then it is stale: it must be sealed again
// before that secret can be dropped.
func (b *Box) OpenStale(purpose string, aad, sealed []byte) (plaintext []byte, stale bool, err error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, false, ErrOpen
	}
	nonce, ciphertext := sealed[1:1+chacha20poly1305.NonceSizeX], sealed[1+chacha20poly1305.NonceSizeX:]
	bound := context(purpose, aad)
	for i := range b.roots {
		if plaintext, err := b.roots[i].aead.Open(nil, nonce, ciphertext, bound); err == nil {
			return plaintext, i > 0, nil
		}
	}
	return nil, false, ErrOpen
}

// context is the associated data of the cipher. Lengths come first, so that different purposes, places and versions never
// give the same bytes.
func context(purpose string, aad []byte) []byte {
	out := make([]byte, 0, 1+8+len(purpose)+8+len(aad))
	out = append(out, version)
	out = binary.BigEndian.AppendUint64(out, uint64(len(purpose)))
	out = append(out, purpose...)
	out = binary.BigEndian.AppendUint64(out, uint64(len(aad)))
	return append(out, aad...)
}

// macKey computes HMACs under one key. States are reused because setting one up costs more than a short message.
type macKey struct{ states sync.Pool }

type macState struct {
	hash   hash.Hash
	length [8]byte
	sum    [sha256.Size]byte
}

func newMACKey(key []byte) *macKey {
	return &macKey{states: sync.Pool{New: func() any { return &macState{hash: hmac.New(sha256.New, key)} }}}
}

func (k *macKey) sum(parts [][]byte) [sha256.Size]byte {
	s := k.states.Get().(*macState)
	defer k.states.Put(s)
	s.hash.Reset()
	for _, part := range parts {
		binary.BigEndian.PutUint64(s.length[:], uint64(len(part)))
		s.hash.Write(s.length[:])
		s.hash.Write(part)
	}
	s.hash.Sum(s.sum[:0])
	return s.sum
}

// MAC returns the HMAC-SHA-256 of parts under a key that belongs to label, derived from the current secret. Each part is preceded
// by its length, so that ("ab", "c"), ("a", "bc") and ("abc") differ. Compare results in constant time ([hmac.Equal]) unless they
// are a look-up key.
//
// The keys of a label are derived at its first use and kept; labels are constants of the program, never input.
func (b *Box) MAC(label string, parts ...[]byte) [sha256.Size]byte {
	return b.macKeys(label)[0].sum(parts)
}

// MACs returns what MAC would for each secret, current first: every form in which a value may have been stored.
func (b *Box) MACs(label string, parts ...[]byte) [][sha256.Size]byte {
	keys := b.macKeys(label)
	sums := make([][sha256.Size]byte, len(keys))
	for i, key := range keys {
		sums[i] = key.sum(parts)
	}
	return sums
}

func (b *Box) macKeys(label string) []*macKey {
	if keys, found := (*b.macs.Load())[label]; found {
		return keys
	}
	b.adding.Lock()
	defer b.adding.Unlock()
	known := *b.macs.Load()
	if keys, found := known[label]; found {
		return keys
	}
	keys := make([]*macKey, len(b.roots))
	for i := range b.roots {
		keys[i] = newMACKey(b.roots[i].derive("mac", label, sha256.Size))
	}
	grown := maps.Clone(known)
	grown[label] = keys
	b.macs.Store(&grown)
	return keys
}
