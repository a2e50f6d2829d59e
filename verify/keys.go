package verify

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/auth/internal/jwks"
	"github.com/ostiary/auth/internal/outbound"
)

// How long a key set is kept without another look, whatever its server says; one that says nothing means five minutes.
const (
	minAge = time.Minute
	maxAge = time.Hour
)

const (
	usualAge = 5 * time.Minute
	// inPassing is how long after its time a set is still used by those for whom it is fetched again in the background.
	inPassing = time.Minute
	// pause is how long after one request there is no other.
	pause = 10 * time.Second
	// patience is how long a request may take.
	patience = 5 * time.Second
)

// methods verify signatures: with public keys, and nothing else.
var methods = map[string]jwt.SigningMethod{
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"ES256": jwt.SigningMethodES256, "EdDSA": jwt.SigningMethodEdDSA,
}

// keys are those of a key set.
type keys struct {
	url      string
	client   *http.Client
	maxStale time.Duration

	mu       sync.Mutex
	set      *keySet       // nil before the first
	fetching chan struct{} // closed at the end of the request under way; nil without
	tried    time.Time     // when the last one began
	err      error         // of the last one
}

// keySet is never changed.
type keySet struct {
	keys    map[string]*jwks.PublicKey
	fetched time.Time
	age     time.Duration // for how long it is kept
}

func newKeys(url string, base *http.Client, maxStale time.Duration) *keys {
	c := outbound.Client(base)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return outbound.ErrRedirect }
	return &keys{url: url, client: c, maxStale: maxStale}
}

// get returns the key of a name, or nil if there is none.
func (k *keys) get(ctx context.Context, id string, now time.Time) (*jwks.PublicKey, error) {
	k.mu.Lock()
	set := k.set
	fresh := set.within(now, 0)
	// One that is a little old will do until there is another, and an older one while the server does not answer: then nobody
	// has to wait.
	if fresh || set.within(now, min(inPassing, k.maxStale)) || k.err != nil && set.within(now, k.maxStale) {
		if key := set.keys[id]; key != nil {
			if !fresh {
				k.fetch(ctx, now)
			}
			k.mu.Unlock()
			return key, nil
		}
	}
	fetching := k.fetch(ctx, now)
	k.mu.Unlock()
	if fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	set = k.set
	if !set.within(now, k.maxStale) {
		return nil, fmt.Errorf("%w: %w", ErrNoKeys, k.err)
	}
	if key := set.keys[id]; key != nil {
		return key, nil
	}
	if k.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKeys, k.err) // the key may be new
	}
	return nil, nil
}

// within reports whether there is a set that was to be fetched again less than that ago. One from the future is of a clock
// that has been set back.
func (s *keySet) within(now time.Time, longer time.Duration) bool {
	if s == nil {
		return false
	}
	age := now.Sub(s.fetched)
	return age > -clockSkew && age < s.age+longer
}

// fetch begins a request, unless there is one under way or it is too early for another, and returns what is closed when it has
// ended; nil without one. The lock is held.
func (k *keys) fetch(ctx context.Context, now time.Time) <-chan struct{} {
	if k.fetching != nil {
		return k.fetching
	}
	// A clock that has been set back ends the pause.
	if since := now.Sub(k.tried); !k.tried.IsZero() && since < pause && since > -clockSkew {
		return nil
	}
	k.tried = now
	k.fetching = make(chan struct{})
	go k.run(context.WithoutCancel(ctx), now)
	return k.fetching
}

// run makes the request that began at now. Whoever began it may be gone before it has ended, and others wait for it.
func (k *keys) run(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	set, err := k.request(ctx, now)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err = err; err == nil {
		k.set = set
	}
	close(k.fetching)
	k.fetching = nil
}

func (k *keys) request(ctx context.Context, now time.Time) (set *keySet, err error) {
	// Nobody else would recover a panic in the caller's transport here.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic with a value of type %T\n%s", r, debug.Stack())
		}
	}()
	body, header, err := outbound.Get(ctx, k.client, k.url, "")
	if err != nil {
		return nil, err
	}
	list, err := jwks.Parse(body)
	if err != nil {
		return nil, err
	}
	set = &keySet{make(map[string]*jwks.PublicKey, len(list)), now, age(header)}
	for _, key := range list {
		set.keys[key.ID] = &key
	}
	return set, nil
}

// age is how long an answer is kept (RFC 9111 §4.2), within bounds. A cache on the way may have had it for a while.
func age(h http.Header) time.Duration {
	kept := usualAge
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minAge
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				kept = time.Duration(seconds) * time.Second
			}
		}
	}
	if seconds, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		kept -= time.Duration(seconds) * time.Second
	}
	return min(max(kept, minAge), maxAge)
}
