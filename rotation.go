package auth

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/auth/internal/jwks"
	"github.com/ostiary/auth/store"
)

// RotationConfig is for access tokens whose keys the engine makes, keeps in the store, sealed under Config.Secret, and
// replaces on a schedule. A key is published Lead before it signs, signs until the next one does, and stays published and
// accepted until the last of its tokens has expired; then it is removed.
//
// [Engine.Run] does so, and has each replica know the keys of the others within a minute. Where no loop runs, calls do: one in
// two minutes takes a round trip more. A token that names an unknown key has the engine look at most once in ten seconds.
// While the store is down, the keys that are known stay good.
//
// The keys of AccessTokens.Keys, or those derived from Secret, sign until the first key of the store does, Lead after the first
// call, and are accepted for a token's lifetime longer: have all replicas rotate by then. A replica that does not rotate does
// not accept the tokens of those that do, which is also what happens to all of them when Rotate is turned off again: clients
// have to refresh, and lose nothing else.
//
// A key that cannot be opened, because its secret is no longer configured or it was tampered with, is as good as absent, and
// logged. Without any, a new one is made and signs at once.
type RotationConfig struct {
	// Every is how long a key signs. The default is 30 days, the minimum an hour, the maximum 366 days.
	Every time.Duration
	// Lead is how long a key is published before it signs: longer than anybody keeps the key set without asking again. The
	// adapter allows for five minutes. The default is an hour, or Every if that is shorter; the minimum is 10 minutes, the
	// maximum Every.
	Lead time.Duration
	// Algorithm of new keys: "EdDSA" (Ed25519), "ES256" or "RS256" (of 2048 bits). The default is "EdDSA".
	Algorithm string
}

// rotated are the algorithms of keys that rotate.
var rotated = []string{"EdDSA", "ES256", "RS256"}

const (
	// keyAge is how old the engine's view of the keys is when a loop looks again, and lazyKeyAge when a call does because no
	// loop has. Both and the five minutes for which others keep the key set are well below minLead.
	keyAge     = time.Minute
	lazyKeyAge = 2 * time.Minute
	minLead    = 10 * time.Minute
	// keyRetry is how long nobody looks again after a failure, or because a token names an unknown key.
	keyRetry = 10 * time.Second
	// keyTime is how long one call of the store takes at most.
	keyTime = 5 * time.Second
	// openEnded is the life of a key that has no successor yet, which is given its end with one.
	openEnded = 100 * 365 * 24 * time.Hour
	// strayKey is how long after its making a key that is gone may still count as one: longer than clocks are apart.
	strayKey = time.Hour
)

func (r *RotationConfig) withDefaults(m *mistakes) {
	def(&r.Every, 30*24*time.Hour)
	def(&r.Lead, max(min(time.Hour, r.Every), minLead))
	def(&r.Algorithm, rotated[0])
	m.duration("AccessTokens.Rotate.Every", r.Every, time.Hour, 366*24*time.Hour)
	m.duration("AccessTokens.Rotate.Lead", r.Lead, minLead, max(r.Every, minLead))
	m.oneOf("AccessTokens.Rotate.Algorithm", r.Algorithm, rotated...)
}

// keyring is what the engine knows of its keys. All of it but the keys themselves is for those that rotate.
type keyring struct {
	current atomic.Pointer[keySet]
	base    *keySet // those that are configured or derived

	mu      sync.Mutex
	loading chan struct{} // closed at the end of the look at the store that is under way; nil without
	tried   time.Time     // when the last one began
	err     error         // of the last one
}

// old reports whether the set was loaded longer ago than that, or never. A clock that has been set back makes any set old.
func (s *keySet) old(now time.Time, age time.Duration) bool {
	d := now.Sub(s.loaded)
	return s.loaded.IsZero() || d >= age || d < -clockSkew
}

// knownKeys returns the keys as they are known, which costs nothing but where it is time to look at the store: then for one
// call, and the others do not wait. All wait for the very first look.
func (e *Engine) knownKeys(ctx context.Context, now time.Time) (*keySet, error) {
	set := e.keys.current.Load()
	if e.config.AccessTokens.Rotate == nil || !set.old(now, lazyKeyAge) {
		return set, nil
	}
	if e.store.Joined(ctx) {
		return e.joinedKeys(ctx, now)
	}
	return e.afterLoad(ctx, now, set.loaded.IsZero())
}

// joinedKeys is the keys as a transaction of the service's sees them, for this call alone: it may see them as they were before
// one was revoked.
func (e *Engine) joinedKeys(ctx context.Context, now time.Time) (*keySet, error) {
	rows, err := e.listKeys(ctx, now)
	if set := e.keys.current.Load(); err != nil && !set.loaded.IsZero() {
		return set, nil
	}
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return e.arrange(ctx, rows, now), nil
}

// newerKeys is knownKeys for who has found something missing.
func (e *Engine) newerKeys(ctx context.Context, now time.Time) (*keySet, error) {
	if e.store.Joined(ctx) {
		return e.knownKeys(ctx, now)
	}
	if _, err := e.loadKeys(ctx, now, true, false); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return e.keys.current.Load(), nil
}

// signingKey returns the key that signs now. A replica that has not looked for so long that it may have missed a key which
// signs elsewhere looks first.
func (e *Engine) signingKey(ctx context.Context, now time.Time) (*key, error) {
	set, err := e.knownKeys(ctx, now)
	if err != nil {
		return nil, err
	}
	if r := e.config.AccessTokens.Rotate; r != nil && !e.store.Joined(ctx) && set.old(now, r.Lead/2) {
		if set, err = e.afterLoad(ctx, now, true); err != nil {
			return nil, err
		}
	}
	if k := set.signer(now); k != nil {
		return k, nil
	}
	return nil, errors.New("there is no key to sign with")
}

// afterLoad looks at the store and returns what is known then, however that ended. Only who knows nothing depends on it.
func (e *Engine) afterLoad(ctx context.Context, now time.Time, wait bool) (*keySet, error) {
	looked, err := e.loadKeys(ctx, now, wait, false)
	set := e.keys.current.Load()
	switch {
	case err == nil:
	case set.loaded.IsZero():
		return nil, fmt.Errorf("signing keys: %w", err)
	case looked:
		e.config.Logger.WarnContext(ctx, "the signing keys could not be loaded, and stay as they were", slog.Any("error", err))
	}
	return set, nil
}

// keepKeys is the loop's part in the rotation.
func (e *Engine) keepKeys(ctx context.Context) {
	now := e.now()
	if e.config.AccessTokens.Rotate == nil || !e.keys.current.Load().old(now, keyAge) {
		return
	}
	if looked, err := e.loadKeys(ctx, now, true, false); looked && err != nil {
		e.config.Logger.ErrorContext(ctx, "load signing keys", slog.Any("error", err))
	}
}

// loadKeys looks at the store, once for all who come while it does, and not again for keyRetry: then the answer is that of
// the last time. Whoever does not wait has nil where another is at it. Whoever has changed something forces a look of their own. It
// reports whether this call has looked.
func (e *Engine) loadKeys(ctx context.Context, now time.Time, wait, force bool) (looked bool, err error) {
	r := &e.keys
	r.mu.Lock()
	for r.loading != nil {
		loading := r.loading
		r.mu.Unlock()
		if !wait {
			return false, nil
		}
		select {
		case <-loading:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		r.mu.Lock()
	}
	// A clock that has been set back ends the pause.
	if since := now.Sub(r.tried); !force && !r.tried.IsZero() && since < keyRetry && since > -clockSkew {
		defer r.mu.Unlock()
		return false, r.err
	}
	loading := make(chan struct{})
	r.loading, r.tried = loading, now
	r.mu.Unlock()

	err = guard(func() error { return e.readKeys(ctx, now) })

	r.mu.Lock()
	defer r.mu.Unlock()
	close(loading)
	r.loading, r.err = nil, err
	return true, err
}

// readKeys reads the keys of the store, and makes one if it is time. The context is not of a transaction.
func (e *Engine) readKeys(ctx context.Context, now time.Time) error {
	// Whoever happens to ask may leave, and others wait; what happens is not their doing.
	ctx = WithClient(context.WithoutCancel(ctx), Client{})
	rows, err := e.listKeys(ctx, now)
	if err != nil {
		return err
	}
	set := e.arrange(ctx, rows, now)
	if set.due(now, e.config.AccessTokens.Rotate) {
		if rows, err = e.replaceKey(ctx, rows, set, now); err != nil {
			// What there is may do for a long time yet.
			e.config.Logger.ErrorContext(ctx, "make a signing key", slog.Any("error", err))
		}
		set = e.arrange(ctx, rows, now)
	}
	e.endKeys(ctx, rows, set)
	e.keys.current.Store(set)
	return nil
}

// listKeys and the other calls of the store have keyTime each: making a key in between may take a busy machine longer.
func (e *Engine) listKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	ctx, cancel := context.WithTimeout(ctx, keyTime)
	defer cancel()
	return e.store.SigningKeys(ctx, now)
}

// replaceKey makes the next key, unless another replica has, and returns the rows that there are then.
func (e *Engine) replaceKey(ctx context.Context, rows []store.SigningKey, set *keySet, now time.Time) ([]store.SigningKey, error) {
	if _, err := e.addKey(ctx, rows, now, e.takesOver(set, now)); err != nil {
		return rows, err
	}
	found, err := e.listKeys(ctx, now)
	if err != nil {
		return rows, err
	}
	return found, nil
}

// arrange makes a set of the rows: who verifies, who signs when, and who leaves when.
func (e *Engine) arrange(ctx context.Context, rows []store.SigningKey, now time.Time) *keySet {
	set := &keySet{loaded: now}
	grace := e.config.AccessTokens.Lifetime + clockSkew
	var baseEnd time.Time
	for _, row := range rows {
		k, ends, err := e.openKey(row)
		if err != nil {
			e.config.Logger.ErrorContext(ctx, "open a signing key", slog.Any("error", err), slog.String("kid", row.ID))
			// It has followed the base keys, if no other is known to have.
			ends = row.ActiveAt.Add(grace)
		} else {
			set.signers = append(set.signers, k)
		}
		baseEnd = sooner(baseEnd, ends)
	}
	slices.SortFunc(set.signers, func(a, b *key) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.id, b.id)) })
	for i, k := range set.signers {
		if i+1 < len(set.signers) {
			k.until = earlier(k.until, set.signers[i+1].from.Add(grace))
		}
	}
	set.all = slices.Clone(set.signers)
	for _, b := range e.keys.base.all {
		k := *b
		if len(rows) > 0 {
			k.until = sooner(k.until, baseEnd)
		}
		if !k.live(now) {
			continue
		}
		set.all = append(set.all, &k)
		if slices.Contains(e.keys.base.signers, b) {
			set.signers = slices.Insert(set.signers, 0, &k)
		}
	}
	return set
}

// due reports whether it is time for another key.
func (s *keySet) due(now time.Time, r *RotationConfig) bool {
	if len(s.signers) == 0 {
		return true
	}
	last := s.signers[len(s.signers)-1]
	return last.from.IsZero() || !now.Before(last.from.Add(r.Every-r.Lead))
}

// based reports whether no key of the store signs.
func (s *keySet) based(now time.Time) bool {
	k := s.signer(now)
	return k == nil || k.from.IsZero()
}

// takesOver says when a key that is made now begins to sign: when everybody has had the time to hear of it, unless nothing
// signs until then whose tokens last.
func (e *Engine) takesOver(set *keySet, now time.Time) time.Time {
	c := &e.config.AccessTokens
	at := now.Add(c.Rotate.Lead)
	if k := set.signer(now); k == nil || !k.until.IsZero() && k.until.Before(at.Add(c.Lifetime)) {
		return now
	}
	return at
}

// addKey makes a key, unless another replica has made one that is not among the rows.
func (e *Engine) addKey(ctx context.Context, rows []store.SigningKey, now, activeAt time.Time) (bool, error) {
	// Clocks may be apart, and may be set back: what is made later has the later time, and each has a time of its own.
	created, since := now, now.Add(-strayKey)
	for i, row := range rows {
		if i == 0 || row.CreatedAt.After(since) {
			since = row.CreatedAt
		}
		if !row.CreatedAt.Before(created) {
			created = row.CreatedAt.Add(time.Microsecond)
		}
	}
	if activeAt.After(now) && !created.Before(activeAt) {
		activeAt = created.Add(time.Microsecond)
	}
	algorithm := e.config.AccessTokens.Rotate.Algorithm
	private, err := generateKey(algorithm)
	if err != nil {
		return false, err
	}
	id, err := jwks.Thumbprint(private.Public())
	if err != nil {
		return false, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return false, err
	}
	content := append(binary.BigEndian.AppendUint64(nil, uint64(e.baseEnd(rows, now, activeAt).UnixMicro())), der...)
	write, cancel := context.WithTimeout(ctx, keyTime)
	defer cancel()
	added, err := e.store.AddSigningKey(write, store.SigningKey{
		ID: id, Algorithm: algorithm, Private: e.box.Seal(sealedKey, []byte(id), content),
		CreatedAt: created, ActiveAt: activeAt, ExpiresAt: activeAt.Add(openEnded),
	}, since)
	if added && err == nil {
		e.emit(ctx, Event{Type: EventSigningKeyAdded, Detail: id})
	}
	return added, err
}

// endKeys tells the store when keys that have a successor leave.
func (e *Engine) endKeys(ctx context.Context, rows []store.SigningKey, set *keySet) {
	ctx, cancel := context.WithTimeout(ctx, keyTime)
	defer cancel()
	for _, row := range rows {
		for _, k := range set.signers {
			if k.id != row.ID || !k.until.Before(row.ExpiresAt) {
				continue
			}
			if err := e.store.ExpireSigningKey(ctx, k.id, k.until); err != nil && !errors.Is(err, store.ErrNotFound) {
				e.config.Logger.ErrorContext(ctx, "retire a signing key", slog.Any("error", err), slog.String("kid", k.id))
			}
		}
	}
}

// sealedKey is the purpose for which private keys are sealed. Each is bound to its "kid".
const sealedKey = "signing key"

// openKey returns the key of a row, and when the base keys are no longer accepted.
func (e *Engine) openKey(row store.SigningKey) (_ *key, baseEnd time.Time, err error) {
	content, err := e.box.Open(sealedKey, []byte(row.ID), row.Private)
	if err != nil {
		return nil, baseEnd, err
	}
	if len(content) < 8 {
		return nil, baseEnd, errors.New("not a private key")
	}
	baseEnd = time.UnixMicro(int64(binary.BigEndian.Uint64(content))).UTC()
	private, err := x509.ParsePKCS8PrivateKey(content[8:])
	if err != nil {
		return nil, baseEnd, errors.New("not a private key in PKCS #8") // the decoder's words are about the key
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, baseEnd, fmt.Errorf("a key of type %T cannot sign", private)
	}
	k, err := compileKey(Key{ID: row.ID, Algorithm: row.Algorithm, Private: signer}, true)
	if err != nil {
		return nil, baseEnd, err
	}
	k.from, k.until = row.ActiveAt, row.ExpiresAt
	return k, baseEnd, nil
}

// baseEnd is when the configured or derived keys are no longer accepted, given a key that is made now: a lifetime after the first
// key of the store began to sign. Each key that is made says so, because the first is gone one day, or revoked. One that signs
// from its making follows keys that are not to be trusted.
func (e *Engine) baseEnd(rows []store.SigningKey, now, activeAt time.Time) time.Time {
	if !activeAt.After(now) {
		return now
	}
	end := activeAt.Add(e.config.AccessTokens.Lifetime + clockSkew)
	for _, row := range rows {
		if _, ends, err := e.openKey(row); err == nil {
			end = sooner(end, ends)
		}
	}
	return end
}

// sooner is the earlier of two times, of which the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func generateKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

// RotateKeysParams says which keys are no longer to be trusted.
type RotateKeysParams struct {
	// Revoke are the ids ("kid") of keys that leave the key set at once. Tokens that they signed are refused, and their
	// owners have to refresh.
	Revoke []string
}

// RotateKeys makes a new key for access tokens ahead of schedule, where AccessTokens.Rotate is set. It signs Lead later, as on
// schedule; or at once, if no key is left that can sign until then because Revoke names it. Everything else stays as
// it is: no session ends.
//
// This engine refuses the tokens of a revoked key from here on, the other replicas within a minute, or two where no
// [Engine.Run] is running. Services that verify tokens by the key set do when they next fetch it: package verify at the latest
// after its MaxAge. A new key that signs at once is not in the sets that others keep, so their verifiers must look again when a
// token names a key that they do not know.
//
// A key of AccessTokens.Keys, or one derived from a secret, is not the store's: take it out of the configuration. Another
// call that rotates at the same moment does for both.
//
// Errors: [ErrDisabledEndpoint] without AccessTokens.Rotate; [ErrInvalidRequest] if Revoke names a key that the store does
// not have, or in a transaction of the service's own, and then nothing has happened.
func (e *Engine) RotateKeys(ctx context.Context, p RotateKeysParams) (err error) {
	defer e.begin(&ctx, "RotateKeys").end(&err)
	if e.config.AccessTokens.Rotate == nil {
		return ErrDisabledEndpoint
	}
	if e.store.Joined(ctx) {
		// It would sign before it is known whether there is such a key.
		return ErrInvalidRequest.saying("keys cannot be rotated in a transaction")
	}
	const attempts = 3
	now := e.now()
	for n := 1; ; n++ {
		rows, err := e.store.SigningKeys(ctx, now)
		if err != nil {
			return fmt.Errorf("list signing keys: %w", err)
		}
		if n == 1 {
			for _, id := range p.Revoke {
				if !slices.ContainsFunc(rows, func(r store.SigningKey) bool { return r.ID == id }) {
					return ErrInvalidRequest.saying("there is no signing key with this id")
				}
			}
		}
		left := slices.DeleteFunc(slices.Clone(rows), func(r store.SigningKey) bool { return slices.Contains(p.Revoke, r.ID) })
		at := now
		if set := e.arrange(ctx, left, now); len(p.Revoke) == 0 || !set.based(now) {
			at = e.takesOver(set, now)
		}
		added, err := e.addKey(ctx, rows, now, at)
		if err != nil {
			return fmt.Errorf("add signing key: %w", err)
		}
		if added || len(p.Revoke) == 0 || n == attempts {
			break
		}
	}
	for _, id := range p.Revoke {
		if err := e.store.ExpireSigningKey(ctx, id, now); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("revoke signing key: %w", err)
		}
		e.emit(ctx, Event{Type: EventSigningKeyRevoked, Detail: id})
	}
	if _, err := e.loadKeys(ctx, now, true, true); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	return nil
}
