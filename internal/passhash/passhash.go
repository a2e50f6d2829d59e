// Package passhash turns passwords into stored verifiers and checks passwords
// against them.
//
// New verifiers are Argon2id in the PHC string format. Verifiers that came
// from another system (Argon2i, bcrypt, scrypt, PBKDF2) are checked as they
// are and reported stale, so that the caller replaces them after the next
// successful sign-in.
//
// A verifier is input: it may have been imported from a file that somebody
// else wrote. Every cost it asks for is bounded before any work is done, see
// [Validate].
//
// Hashing is the most expensive thing that a stranger can ask an
// authentication service to do. A [Hasher] therefore limits how many hashes
// run at once, how much memory they hold, and how many callers may wait
// (OWASP ASVS 5.0 15.2.2).
package passhash

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/crypto/argon2"
)

// Lengths in bytes of what Hash produces (RFC 9106 §3.1: a salt of 16 bytes is
// recommended for password hashing).
const (
	saltLen = 16
	keyLen  = 32
)

var (
	// ErrUnsupported reports a verifier that is malformed, cut short, of an
	// unknown scheme, or that asks for more work than this package is willing
	// to do. No password matches it. Its text never contains the verifier.
	ErrUnsupported = errors.New("passhash: unsupported password hash")

	// ErrBusy reports that as many callers as [Options.MaxWaiting] allows are
	// already waiting to hash. Nothing was hashed; trying again later may
	// succeed.
	ErrBusy = errors.New("passhash: too many passwords waiting to be hashed")
)

// Params are the costs of an Argon2id hash (RFC 9106 §3.1).
type Params struct {
	// MemoryKiB is the memory that one hash fills, in KiB. At least 8 for each
	// thread, at most 262144 (256 MiB).
	MemoryKiB uint32
	// Time is the number of passes over that memory, from 1 to 64. MemoryKiB
	// times Time is at most 1048576.
	Time uint32
	// Threads is the number of lanes, each computed by a goroutine of its own,
	// from 1 to 16. It divides the memory, it does not multiply it.
	Threads uint8
}

// Default is 19 MiB, 2 passes, 1 thread: the configuration that the OWASP
// Password Storage Cheat Sheet names for Argon2id.
var Default = Params{MemoryKiB: 19 * 1024, Time: 2, Threads: 1}

// Validate reports whether the parameters are within the documented limits.
// These are the limits of the mechanism; whether a cost is high enough for a
// given service is for the caller to decide.
func (p Params) Validate() error {
	switch {
	case p.Threads < 1 || p.Threads > maxArgon2Threads:
		return fmt.Errorf("passhash: Threads is %d, must be from 1 to %d", p.Threads, maxArgon2Threads)
	case p.MemoryKiB < 8*uint32(p.Threads) || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("passhash: MemoryKiB is %d, must be from %d to %d", p.MemoryKiB, 8*uint32(p.Threads), maxMemoryKiB)
	case p.Time < 1 || p.Time > maxArgon2Time:
		return fmt.Errorf("passhash: Time is %d, must be from 1 to %d", p.Time, maxArgon2Time)
	case uint64(p.MemoryKiB)*uint64(p.Time) > maxArgon2Work:
		return fmt.Errorf("passhash: MemoryKiB times Time is %d, must be at most %d", uint64(p.MemoryKiB)*uint64(p.Time), maxArgon2Work)
	}
	return nil
}

// atLeast reports whether p costs an attacker no less than q. Threads do not
// count: they spread the same memory and the same passes over more cores.
func (p Params) atLeast(q Params) bool {
	return p.MemoryKiB >= q.MemoryKiB && p.Time >= q.Time
}

// Options configure a [Hasher]. The zero value is ready to use.
type Options struct {
	// Params are the costs of new hashes. The zero value means [Default].
	Params Params

	// MaxConcurrent is how many hashes with Params may run at the same time.
	// 0 means one for each Params.Threads of GOMAXPROCS, at least one: more
	// would not finish sooner, and would only hold more memory.
	MaxConcurrent int

	// MaxWaiting is how many callers may wait for their turn before further
	// ones get [ErrBusy]. 0 means 64 for each of MaxConcurrent, with [Default]
	// parameters a wait of roughly two seconds; a negative number means that
	// nobody waits.
	MaxWaiting int

	// Waited, unless nil, is called each time that somebody's turn to hash has
	// come, or that they left without it, with how long they waited and, where
	// they left, the error that they get.
	Waited func(ctx context.Context, waited time.Duration, err error)
}

// A Hasher hashes and verifies passwords. It is safe for concurrent use.
//
// The memory that running hashes hold together is at most MaxConcurrent times
// Params.MemoryKiB (until the garbage collector has run, twice as much again
// may be waiting to be freed: each hash allocates anew). A verifier that asks for more memory than Params
// takes the place of as many hashes as would fill that memory; one that asks
// for more than the whole budget runs alone, which bounds the memory by
// 256 MiB even then.
type Hasher struct {
	params Params
	slots  int
	gate   *gate
	waited func(context.Context, time.Duration, error) // may be nil

	// nothing is a verifier with the current costs that no password matches.
	nothing string
}

// New returns a Hasher, or an error that names the option that is out of
// range.
func New(o Options) (*Hasher, error) {
	if o.Params == (Params{}) {
		o.Params = Default
	}
	if err := o.Params.Validate(); err != nil {
		return nil, err
	}
	if o.MaxConcurrent < 0 {
		return nil, fmt.Errorf("passhash: MaxConcurrent is %d, must not be negative", o.MaxConcurrent)
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = max(1, runtime.GOMAXPROCS(0)/int(o.Params.Threads))
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 64 * o.MaxConcurrent
	}

	// A random key: finding a password for it is finding a preimage.
	var nothing [saltLen + keyLen]byte
	rand.Read(nothing[:])
	return &Hasher{
		params:  o.Params,
		slots:   o.MaxConcurrent,
		waited:  o.Waited,
		gate:    newGate(o.MaxConcurrent, max(0, o.MaxWaiting)),
		nothing: encodeArgon2id(o.Params, nothing[:saltLen], nothing[saltLen:]),
	}, nil
}

// Hash returns a new Argon2id verifier for password, with a random salt of its
// own:
//
//	$argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>
//
// Salt (16 bytes) and key (32 bytes) are in standard base64 without padding.
// The password counts byte for byte; normalising it is for the caller.
//
// The errors are [ErrBusy] and, wrapped, that of a ctx that ended before the
// hash began. A hash that has begun is finished.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx, 1); err != nil {
		return "", err
	}
	defer h.gate.leave(1)

	var salt [saltLen]byte
	rand.Read(salt[:])
	key := argon2.IDKey([]byte(password), salt[:], h.params.Time, h.params.MemoryKiB, h.params.Threads, keyLen)
	return encodeArgon2id(h.params, salt[:], key), nil
}

// Verify reports whether encoded was made from password. For a match, stale
// reports whether encoded is weaker than what Hash produces now (another
// scheme than Argon2id, less memory, fewer passes, a shorter salt or key) and
// should be replaced.
//
// Recognised are
//
//	$argon2id$v=19$m=…,t=…,p=…$salt$key     and $argon2i$
//	$2b$10$…                                bcrypt; also $2a$ and $2y$
//	$scrypt$ln=…,r=…,p=…$salt$key
//	$pbkdf2-sha256$i=…[,l=…]$salt$key       also -sha1 and -sha512
//	$pbkdf2-sha256$29000$salt$key           Passlib; also -sha512, and $pbkdf2$ for SHA-1
//	pbkdf2_sha256$600000$salt$key           Django; also pbkdf2_sha1
//
// bcrypt reads no more than 72 bytes of a password and stops at a NUL, so that
// different passwords would match the same verifier. A password with more than
// 72 bytes or with a NUL therefore never matches a bcrypt verifier.
//
// The errors are [ErrUnsupported] (wrapped), for which the caller answers as
// for a wrong password, [ErrBusy], and, wrapped, that of a ctx that ended
// before the hash began. An unsupported verifier costs the same time as
// [Hasher.VerifyNothing], so that an account that has one does not stand out.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, stale bool, err error) {
	v, err := parse(encoded)
	if err != nil {
		if ended := h.VerifyNothing(ctx, password); ended != nil {
			return false, false, ended
		}
		return false, false, err
	}

	n := h.slotsFor(v.memoryKiB())
	if err := h.enter(ctx, n); err != nil {
		return false, false, err
	}
	defer h.gate.leave(n)

	ok, err = v.match(password)
	return ok, ok && v.stale(h.params), err
}

// VerifyNothing does the work of verifying password against a verifier with
// the current parameters, and forgets the result. Calling it where there is
// nothing to verify against (an unknown user, a user without a password) keeps
// the time of the answer from telling so.
//
// The errors are [ErrBusy] and, wrapped, that of a ctx that ended before the
// hash began, exactly as for Verify.
func (h *Hasher) VerifyNothing(ctx context.Context, password string) error {
	_, _, err := h.Verify(ctx, h.nothing, password)
	return err
}

// enter waits for n slots, and tells how long that took.
func (h *Hasher) enter(ctx context.Context, n int) error {
	if h.waited == nil {
		return h.gate.enter(ctx, n)
	}
	began := time.Now()
	err := h.gate.enter(ctx, n)
	h.waited(ctx, time.Since(began), err)
	return err
}

// slotsFor returns how many of the concurrent hashes a hash with that much
// memory takes the place of.
func (h *Hasher) slotsFor(memoryKiB uint32) int {
	n := (uint64(memoryKiB) + uint64(h.params.MemoryKiB) - 1) / uint64(h.params.MemoryKiB)
	return int(min(max(n, 1), uint64(h.slots)))
}
