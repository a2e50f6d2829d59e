package durability_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/verify"
)

// The schedule of the keys in the test, and how it is lived through.
const (
	rotateEvery = time.Hour
	rotateLead  = 10 * time.Minute
	keyGrace    = 15*time.Minute + time.Minute // a token's lifetime, and what clocks are apart
	clocksApart = 30 * time.Second
	tick        = time.Minute
	lived       = 3*time.Hour + 20*time.Minute
)

// ST-16, JW-20, W39: two replicas, whose clocks are 30 seconds apart, rotate their keys while users sign in, refresh and are
// verified at both and by a service that keeps the key set. No token is refused before it expires, no key is made twice, and
// none stays when its last token has expired.
func TestKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	for name, newPlace := range map[string]func(*testing.T) place{
		"memory": func(*testing.T) place { return place{} }, "SQLite": quickPlace, "PostgreSQL": postgresPlace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keysRotateUnderLoad(t, newPlace(t))
		})
	}
}

// rotation is the world of the test.
type rotation struct {
	clock    *authtest.Clock
	replicas [2]*authtest.Engine
	verifier *verify.Verifier
	rounds   [4]chan struct{} // of each worker, what tells that it has ended one
	signedBy sync.Map         // kid
	failed   atomic.Bool
}

func keysRotateUnderLoad(t *testing.T, p place) {
	r := &rotation{clock: authtest.NewClock()}
	for w := range r.rounds {
		r.rounds[w] = make(chan struct{}, 1)
	}
	s, done, err := p.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	for i := range r.replicas {
		if i > 0 && p.Driver != "" { // each has connections of its own
			if s, done, err = p.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(done)
		}
		r.replicas[i] = authtest.NewWithStore(t, s, func(c *auth.Config) {
			c.AccessTokens.Rotate = &auth.RotationConfig{Every: rotateEvery, Lead: rotateLead}
			c.Now = func() time.Time { return r.now(i) }
		})
	}
	r.verifier = r.newVerifier(t)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, e := range r.replicas {
		running.Go(func() { _ = e.Run(ctx) })
	}
	for w := range r.rounds {
		running.Go(func() { r.work(ctx, t, w) })
	}
	defer func() { stop(); running.Wait() }()

	rows := map[string]store.SigningKey{}
	for range int(lived / tick) {
		r.pass(t)
		var published [2][]string
		for i, e := range r.replicas {
			published[i] = publishedBy(t, e)
		}
		list, err := s.SigningKeys(t.Context(), r.clock.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range list {
			rows[row.ID] = row
		}
		for i := range published {
			r.noneStaysTooLong(t, i, published[i], rows)
		}
		if r.failed.Load() {
			t.FailNow()
		}
	}
	r.onePerRotation(t, rows)

	// What has left the set is removed.
	deadline := time.Now().Add(30 * time.Second)
	for {
		left, err := s.SigningKeys(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(left, func(k store.SigningKey) bool { return !r.clock.Now().Before(k.ExpiresAt.Add(2 * time.Minute)) }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d keys are left", len(left))
		}
		r.pass(t)
	}
}

// now is the clock of a replica.
func (r *rotation) now(i int) time.Time { return r.clock.Now().Add(-time.Duration(i) * clocksApart) }

// newVerifier is that of a service which asks now one replica and now the other.
func (r *rotation) newVerifier(t *testing.T) *verify.Verifier {
	var turn atomic.Int64
	var muxes [2]*http.ServeMux
	for i, e := range r.replicas {
		h, err := httpadapter.New(e.Engine, httpadapter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		muxes[i] = http.NewServeMux()
		h.Mount(muxes[i], "/v1")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		muxes[turn.Add(1)%2].ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	v, err := verify.New(server.URL+"/v1/.well-known/jwks.json", verify.Options{Now: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// pass lets time pass when everybody has done something since the last time.
func (r *rotation) pass(t *testing.T) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for w, ended := range r.rounds {
		// The first may have ended before the time was what it is now.
		for range 2 {
			select {
			case <-ended:
			case <-deadline:
				t.Fatalf("worker %d is stuck", w)
			}
		}
	}
	r.clock.Advance(tick)
}

// work signs in and refreshes, now here and now there, and has every token verified everywhere until it expires.
func (r *rotation) work(ctx context.Context, t *testing.T, w int) {
	fail := func(format string, args ...any) {
		if ctx.Err() == nil {
			t.Errorf(format, args...)
			r.failed.Store(true)
		}
	}
	type token struct {
		text    string
		expires time.Time
	}
	var tokens []token
	var session *auth.Session
	for n := 0; ctx.Err() == nil; n++ {
		e := r.replicas[(n+w)%2]
		if n%7 == 0 {
			in, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
			if err != nil {
				fail("sign in: %v", err)
				return
			}
			session = in.Session
		} else {
			next, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: session.RefreshToken})
			if err != nil {
				fail("refresh: %v", err)
				return
			}
			session = next
		}
		kid, expires := readToken(session.AccessToken)
		r.signedBy.Store(kid, true)
		tokens = append(tokens, token{session.AccessToken, expires})
		// The newest, and some older one: the oldest that lives and those between have their turns.
		tokens = slices.DeleteFunc(tokens, func(k token) bool { return !r.clock.Now().Before(k.expires) })
		for _, k := range []token{tokens[len(tokens)-1], tokens[0], tokens[n%len(tokens)]} {
			_, err1 := r.replicas[0].Authenticate(ctx, k.text)
			_, err2 := r.replicas[1].Authenticate(ctx, k.text)
			_, err3 := r.verifier.Verify(ctx, k.text)
			if r.clock.Now().Before(k.expires) && (err1 != nil || err2 != nil || err3 != nil) {
				kid, _ := readToken(k.text)
				fail("a token of %s that lives until %v is refused: %v, %v, %v", kid, k.expires, err1, err2, err3)
				return
			}
		}
		select {
		case r.rounds[w] <- struct{}{}:
		default:
		}
	}
}

// publishedBy are the ids of the keys that a replica publishes.
func publishedBy(t *testing.T, e *authtest.Engine) []string {
	t.Helper()
	text, err := e.KeySet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, k := range set.Keys {
		list = append(list, k.Kid)
	}
	return list
}

// noneStaysTooLong looks at the keys that a replica has published. One that is no row is the derived one.
func (r *rotation) noneStaysTooLong(t *testing.T, i int, published []string, rows map[string]store.SigningKey) {
	t.Helper()
	for _, kid := range published {
		var next time.Time // when the one after it began to sign
		for _, row := range rows {
			if row.ActiveAt.After(rows[kid].ActiveAt) && (next.IsZero() || row.ActiveAt.Before(next)) {
				next = row.ActiveAt
			}
		}
		if !next.IsZero() && !r.now(i).Before(next.Add(keyGrace)) {
			t.Errorf("replica %d still publishes %s, retired %v ago", i, kid, r.now(i).Sub(next))
		}
	}
}

// onePerRotation looks at the keys that there were.
func (r *rotation) onePerRotation(t *testing.T, rows map[string]store.SigningKey) {
	t.Helper()
	var made int
	for _, e := range r.replicas {
		made += len(e.Events.Of(auth.EventSigningKeyAdded))
	}
	list := make([]store.SigningKey, 0, len(rows))
	signed := 0
	for _, row := range rows {
		list = append(list, row)
		if _, ok := r.signedBy.Load(row.ID); ok {
			signed++
		}
	}
	slices.SortFunc(list, func(a, b store.SigningKey) int { return a.ActiveAt.Compare(b.ActiveAt) })
	if made != len(list) || signed < 4 {
		t.Errorf("%d keys were made, %d seen, and %d have signed", made, len(list), signed)
	}
	for i, k := range list {
		if known := k.ActiveAt.Sub(k.CreatedAt); known < rotateLead {
			t.Errorf("key %d signs %v after it was made", i, known)
		}
		if i > 0 && k.ActiveAt.Sub(list[i-1].ActiveAt) < rotateEvery-clocksApart {
			t.Errorf("key %d signs %v after the one before", i, k.ActiveAt.Sub(list[i-1].ActiveAt))
		}
	}
}

// readToken reads what a token says of its key and its end.
func readToken(token string) (kid string, expires time.Time) {
	parts := strings.Split(token, ".")
	var header struct{ Kid string }
	var claims struct{ Exp int64 }
	for i, into := range []any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return "", time.Time{}
		}
	}
	return header.Kid, time.Unix(claims.Exp, 0)
}
