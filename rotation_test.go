package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

const (
	every = 24 * time.Hour
	lead  = time.Hour
	// grace is how long a key stays after the next has begun to sign: a token's lifetime, and what clocks are apart.
	grace = 15*time.Minute + time.Minute
)

func rotating(c *auth.Config) {
	c.AccessTokens.Rotate = &auth.RotationConfig{Every: every, Lead: lead}
}

// kids are the ids of the published keys.
func kids(t *testing.T, e *authtest.Engine) []string {
	t.Helper()
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal(keySetOf(t, e), &set); err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, k := range set.Keys {
		list = append(list, k.Kid)
	}
	return list
}

// kidOf is the key that signed a session's access token.
func kidOf(t *testing.T, s *auth.Session) string {
	t.Helper()
	token, _, err := jwt.NewParser().ParseUnverified(s.AccessToken, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := token.Header["kid"].(string)
	return kid
}

func guestOf(t *testing.T, e *authtest.Engine) *auth.Session {
	t.Helper()
	in, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	if err != nil {
		t.Fatal(err)
	}
	return in.Session
}

func storedKeys(t *testing.T, e *authtest.Engine) []store.SigningKey {
	t.Helper()
	keys, err := e.Store.SigningKeys(t.Context(), e.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// settled is a rotating engine whose first key signs, and that key.
func settled(t *testing.T, e *authtest.Engine) string {
	t.Helper()
	guestOf(t, e)
	e.Clock.Advance(lead)
	kid := kidOf(t, guestOf(t, e))
	e.Clock.Advance(grace)
	if diff := cmp.Diff([]string{kid}, kids(t, e)); diff != "" {
		t.Fatalf("after the beginning: %s", diff)
	}
	return kid
}

func added(e *authtest.Engine) []string {
	var list []string
	for _, ev := range e.Events.All() {
		if ev.Type == auth.EventSigningKeyAdded {
			list = append(list, ev.Detail)
		}
	}
	return list
}

// JW-20, W39: the life of a key, step by step. It is published before it signs, and stays until its last token has expired.
func TestTheLifeOfARotatedKey(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, rotating, func(c *auth.Config) { c.AccessTokens.Rotate.Algorithm = algorithm })
			begun := e.Clock.Now()
			derived := kidOf(t, guestOf(t, e))
			published := kids(t, e)
			if len(published) != 2 || !slices.Contains(published, derived) {
				t.Fatalf("at first %s signs and %v are published", derived, published)
			}
			first := storedKeys(t, e)[0]
			if first.Algorithm != algorithm || first.ID == derived {
				t.Errorf("the first key is %s, %s", first.Algorithm, first.ID)
			}
			// The key that was there before signs for another hour, and is accepted for as long as its tokens live.
			e.Clock.Set(begun.Add(lead - time.Second))
			last := guestOf(t, e)
			if kidOf(t, last) != derived {
				t.Error("a key signs before its time")
			}
			e.Clock.Set(begun.Add(lead))
			if got := kidOf(t, guestOf(t, e)); got != first.ID {
				t.Errorf("%s signs, not %s", got, first.ID)
			}
			e.Clock.Set(begun.Add(lead - time.Second + 15*time.Minute - time.Second))
			e.Principal(t, last)
			e.Clock.Set(begun.Add(lead + grace))
			if diff := cmp.Diff([]string{first.ID}, kids(t, e)); diff != "" {
				t.Errorf("after the derived key: %s", diff)
			}

			due := begun.Add(lead + every - lead)
			e.Clock.Set(due.Add(-time.Second))
			guestOf(t, e)
			if n := len(storedKeys(t, e)); n != 1 {
				t.Errorf("there are %d keys before it is time", n)
			}
			e.Clock.Set(due.Add(3 * time.Minute)) // the last look was just before
			guestOf(t, e)
			stored := storedKeys(t, e)
			if len(stored) != 2 || len(kids(t, e)) != 2 {
				t.Fatalf("%d keys are stored, %v published", len(stored), kids(t, e))
			}
			second := stored[1]
			if !second.CreatedAt.Equal(e.Clock.Now()) {
				t.Errorf("the second key was made at %v", second.CreatedAt)
			}
			if got := second.ActiveAt.Sub(e.Clock.Now()); got != lead {
				t.Errorf("the second key signs after %v", got)
			}
			if got, want := stored[0].ExpiresAt, second.ActiveAt.Add(grace); !got.Equal(want) {
				t.Errorf("the first leaves at %v, want %v", got, want)
			}
			e.Clock.Set(second.ActiveAt.Add(-time.Second))
			last = guestOf(t, e)
			if kidOf(t, last) != first.ID {
				t.Error("the second key signs before its time")
			}
			e.Clock.Set(second.ActiveAt)
			if kidOf(t, guestOf(t, e)) != second.ID {
				t.Error("the second key does not sign")
			}
			e.Clock.Advance(15*time.Minute - 2*time.Second)
			e.Principal(t, last)
			e.Clock.Set(second.ActiveAt.Add(grace))
			if diff := cmp.Diff([]string{second.ID}, kids(t, e)); diff != "" {
				t.Errorf("in the end: %s", diff)
			}
			run, end := context.WithTimeout(t.Context(), 20*time.Second)
			defer end()
			go func() { _ = e.Run(run) }()
			for len(storedKeysEver(t, e)) != 1 {
				if run.Err() != nil {
					t.Fatal("the first key is not purged")
				}
				runtime.Gosched()
			}
			if diff := cmp.Diff([]string{first.ID, second.ID}, added(e)); diff != "" {
				t.Errorf("events: %s", diff)
			}
			if text := e.Logs.String(); strings.Contains(text, "level=ERROR") {
				t.Errorf("the log says that something has failed:\n%s", text)
			}
		})
	}
}

// storedKeysEver are the keys that have not been removed, expired or not.
func storedKeysEver(t *testing.T, e *authtest.Engine) []store.SigningKey {
	t.Helper()
	keys, err := e.Store.SigningKeys(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// ST-16: replicas whose clocks are apart, and which rotate at the same moment, make one key.
func TestReplicasMakeOneKey(t *testing.T) {
	t.Parallel()
	for name, s := range rotationStores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := authtest.NewWithStore(t, s, rotating)
			b := authtest.NewWithStore(t, s, rotating)
			b.Clock.Set(a.Clock.Now().Add(-30 * time.Second))
			for round := range 4 {
				var mu sync.Mutex
				one := 0
				parallel(50, func() {
					mu.Lock()
					e := []*authtest.Engine{a, b}[one%2]
					one++
					mu.Unlock()
					if _, err := e.KeySet(t.Context()); err != nil {
						t.Error(err)
					}
				})
				if got := len(added(a)) + len(added(b)); got != round+1 {
					t.Fatalf("round %d: %d keys were made", round, got)
				}
				a.Clock.Advance(every)
				b.Clock.Advance(every)
			}
		})
	}
}

// With the clock set back, the next key is still one that others see as later.
func TestAClockThatIsSetBackMakesNoSecondKey(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	ahead, behind := authtest.NewWithStore(t, s, rotating), authtest.NewWithStore(t, s, rotating)
	ahead.Clock.Advance(48 * time.Hour)
	behind.Clock.Set(ahead.Clock.Now())
	guestOf(t, ahead)
	behind.Clock.Advance(-40 * time.Hour)
	guestOf(t, behind)
	if err := behind.RotateKeys(t.Context(), auth.RotateKeysParams{}); err != nil {
		t.Fatal(err)
	}
	keys := storedKeys(t, ahead)
	if len(keys) != 2 || !keys[1].CreatedAt.After(keys[0].CreatedAt) {
		t.Fatalf("%+v", keys)
	}
	if want := keys[1].CreatedAt.Add(time.Microsecond); !keys[1].ActiveAt.Equal(want) {
		t.Errorf("it signs from %v, want %v: after it is there", keys[1].ActiveAt, want)
	}
	guestOf(t, behind)
	// They leave in the order in which they sign.
	ahead.Clock.Advance(lead)
	if got := kidOf(t, guestOf(t, ahead)); got != keys[0].ID {
		t.Errorf("%s signs", got)
	}
	ahead.Clock.Advance(grace)
	if diff := cmp.Diff([]string{keys[0].ID}, kids(t, ahead)); diff != "" {
		t.Error(diff)
	}
}

// A replica that has not seen the newest key looks before it refuses, and before it signs with an old one.
func TestReplicasLearnOfKeys(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	a, b := authtest.NewWithStore(t, s, rotating), authtest.NewWithStore(t, s, rotating)
	b.Clock.Set(a.Clock.Now())
	kid := settled(t, a)
	b.Clock.Set(a.Clock.Now())
	guestOf(t, b)
	if err := a.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{kid}}); err != nil {
		t.Fatal(err)
	}
	session := guestOf(t, a)
	if kidOf(t, session) == kid {
		t.Fatal("a revoked key signs")
	}
	for _, e := range []*authtest.Engine{a, b} {
		e.Clock.Advance(10 * time.Second) // the last look was just now
		e.Principal(t, session)
	}
	if kidOf(t, guestOf(t, b)) == kid {
		t.Error("a revoked key signs at another replica")
	}
}

// A replica that was away for longer than a key needs to become the one that signs does not sign with the one before.
func TestAReplicaThatWasAwayLooksBeforeItSigns(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	a, b := authtest.NewWithStore(t, s, rotating), authtest.NewWithStore(t, s, rotating)
	kid := settled(t, a)
	b.Clock.Set(a.Clock.Now())
	guestOf(t, b)
	a.Clock.Advance(every)
	guestOf(t, a) // makes the next
	a.Clock.Advance(lead)
	b.Clock.Set(a.Clock.Now())
	if got := kidOf(t, guestOf(t, b)); got == kid || got != kidOf(t, guestOf(t, a)) {
		t.Errorf("%s signs", got)
	}
}

// JW-04, ST-18: tokens that name keys that nobody has make one look at the store in ten seconds, however many there are. Each
// is refused, and those of other forms make none.
func TestUnknownKeysCostOneLook(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, rotating)
	settled(t, e)
	other := authtest.New(t, rotating)
	settled(t, other)
	forged := guestOf(t, other).AccessToken
	e.Clock.Advance(time.Minute)
	counter.Reset()
	refuse := func(token string) {
		if _, err := e.Authenticate(background, token); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%v", err)
		}
	}
	parallel(50, func() {
		for range 20 {
			refuse(forged)
		}
	})
	if got := counter.Calls(); !cmp.Equal(got, map[string]int{"SigningKeys": 1}) {
		t.Errorf("%v", got)
	}
	e.Clock.Advance(10 * time.Second)
	counter.Reset()
	refuse(forged)
	refuse(forged)
	if n := counter.Trips(); n != 1 {
		t.Errorf("%d looks after ten seconds", n)
	}
	e.Clock.Advance(10 * time.Second)
	counter.Reset()
	_, rest, _ := strings.Cut(forged, ".")
	for _, header := range []string{
		`{"alg":"HS256","typ":"JWT","kid":"` + strings.Repeat("x", 43) + `"}`, `{"alg":"EdDSA","typ":"JWT","kid":"x"}`,
		`{"alg":"EdDSA","typ":"at+jwt","kid":"` + strings.Repeat("x", 43) + `"}`, `{"alg":"none"}`, `{}`, ``,
		`{"alg":"EdDSA","typ":"JWT","jku":"https://evil.example","kid":"` + strings.Repeat("x", 43) + `"}`,
	} {
		refuse(jwt.New(jwt.SigningMethodNone).EncodeSegment([]byte(header)) + "." + rest)
	}
	if n := counter.Trips(); n != 0 {
		t.Errorf("%d looks for tokens that no key could have signed", n)
	}
}

// The budgets of round trips hold with keys that rotate, and one call in two minutes has one more.
func TestRoundTripsWithRotation(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, rotating)
	settled(t, e)
	session := guestOf(t, e)
	trips := func(f func()) int {
		counter.Reset()
		f()
		return counter.Trips()
	}
	for _, flow := range []struct {
		name  string
		trips int
		run   func()
	}{
		{"Authenticate", 0, func() { e.Principal(t, session) }},
		{"KeySet", 0, func() { kids(t, e) }},
		{"SignInAnonymous", 1, func() { guestOf(t, e) }},
		{"Refresh", 1, func() { session = mustRefresh(t, e, session.RefreshToken) }},
	} {
		if got := trips(flow.run); got != flow.trips {
			t.Errorf("%s took %d trips, not %d", flow.name, got, flow.trips)
		}
		e.Clock.Advance(2 * time.Minute)
		if got := trips(flow.run); got != flow.trips+1 {
			t.Errorf("%s took %d trips when it was time to look, not %d", flow.name, got, flow.trips+1)
		}
		if got := trips(flow.run); got != flow.trips {
			t.Errorf("%s took %d trips after that, not %d", flow.name, got, flow.trips)
		}
	}
	e.Clock.Advance(2 * time.Minute)
	counter.Reset()
	parallel(50, func() { e.Principal(t, session) })
	if n := counter.Trips(); n != 1 {
		t.Errorf("fifty calls at once looked %d times", n)
	}
}

// While the store is down what is known stays good, and a token is never called bad because of it.
func TestKeysWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	down := false
	inner := memstore.New()
	s := storetest.Break(inner, storetest.Fault{Method: "SigningKeys", Do: func(context.Context) {
		if down {
			panic("the store is gone")
		}
	}})
	e := authtest.NewWithStore(t, s, rotating)
	settled(t, e)
	session := guestOf(t, e)
	down = true
	for range 3 {
		e.Clock.Advance(4 * time.Minute)
		e.Principal(t, session)
		if len(kids(t, e)) != 1 {
			t.Error("the key set has changed")
		}
		guestOf(t, e) // the rest of the store is there
	}
	foreign := authtest.New(t, rotating)
	settled(t, foreign)
	if _, err := authenticate(t, e, guestOf(t, foreign).AccessToken); !errors.Is(err, auth.ErrInternal) {
		t.Errorf("an unknown key: %v", err)
	}
	// Another replica that begins meanwhile knows nothing, and does not say that it does.
	b := authtest.NewWithStore(t, s, rotating)
	b.Clock.Set(e.Clock.Now())
	session = guestOf(t, e)
	_, err := authenticate(t, b, session.AccessToken)
	wantErr(t, err, auth.ErrInternal)
	_, err = b.KeySet(t.Context())
	wantErr(t, err, auth.ErrInternal)
	_, err = b.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
	wantErr(t, err, auth.ErrInternal)
	_, err = b.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken})
	wantErr(t, err, auth.ErrInternal)
	down = false
	b.Clock.Advance(10 * time.Second)
	mustRefresh(t, b, session.RefreshToken) // ST-08
	b.Principal(t, session)
}

// ST-18: a store that hangs holds nobody up for ever, and one caller asks it.
func TestAStoreThatHangsIsAskedByOne(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	hang := make(chan struct{})
	entered := make(chan struct{}, 1)
	s := storetest.Break(counter, storetest.Fault{Method: "SigningKeys", Call: 3, Do: func(ctx context.Context) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the look has no deadline")
		}
		entered <- struct{}{}
		<-hang
	}})
	e := authtest.NewWithStore(t, s, rotating)
	guestOf(t, e) // looks, makes a key and looks again
	session := guestOf(t, e)
	e.Clock.Advance(2 * time.Minute)
	leaving, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := e.Authenticate(leaving, session.AccessToken)
		done <- err
	}()
	<-entered
	leave() // others profit from what the one began who has left
	counter.Reset()
	parallel(50, func() { e.Principal(t, session) })
	if n := counter.Trips(); n != 0 {
		t.Errorf("%d others asked", n)
	}
	close(hang)
	if err := <-done; err != nil {
		t.Error(err)
	}
	e.Principal(t, session)
	if n := counter.Trips(); n != 1 {
		t.Errorf("%d looks", n)
	}
}

// Private keys lie sealed, each bound to its row; what cannot be opened does not exist.
func TestStoredKeysAreSealed(t *testing.T) {
	t.Parallel()
	t.Run("the row does not show the key", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		settled(t, e)
		row := storedKeys(t, e)[0]
		if len(row.Private) < 60 || bytes.HasPrefix(row.Private, []byte{0x30}) {
			t.Errorf("%x", row.Private)
		}
		e.Logs.AssertAbsent(t, string(row.Private))
	})
	t.Run("a sealed key in another row", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		settled(t, e)
		row := storedKeys(t, e)[0]
		moved := row
		moved.ID, moved.CreatedAt, moved.ActiveAt = strings.Repeat("m", 43), row.CreatedAt.Add(time.Second), row.ActiveAt.Add(time.Second)
		if _, err := e.Store.AddSigningKey(t.Context(), moved, row.CreatedAt); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(2 * time.Minute)
		if diff := cmp.Diff([]string{row.ID}, kids(t, e)); diff != "" {
			t.Error(diff)
		}
		if kidOf(t, guestOf(t, e)) != row.ID {
			t.Error("a key of another row signs")
		}
	})
	t.Run("a new secret with the former one", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		session := guestOf(t, e)
		next := authtest.NewWithStore(t, e.Store, rotating, func(c *auth.Config) {
			c.PreviousSecrets, c.Secret = []auth.Secret{c.Secret}, bytes.Repeat([]byte("n"), 32)
		})
		next.Clock.Set(e.Clock.Now())
		next.Principal(t, session)
		if kidOf(t, guestOf(t, next)) != kid {
			t.Error("another key signs")
		}
	})
	t.Run("a new secret without", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		session := guestOf(t, e)
		next := authtest.NewWithStore(t, e.Store, rotating, func(c *auth.Config) { c.Secret = bytes.Repeat([]byte("n"), 32) })
		next.Clock.Set(e.Clock.Now())
		fresh := guestOf(t, next)
		if got := kidOf(t, fresh); got == kid || !slices.Contains(kids(t, next), got) || len(kids(t, next)) != 1 {
			t.Errorf("%s signs, %v are published", got, kids(t, next))
		}
		next.Principal(t, fresh)
		_, err := authenticate(t, next, session.AccessToken)
		wantErr(t, err, auth.ErrUnauthenticated)
		if !strings.Contains(next.Logs.String(), kid) {
			t.Error("nobody is told of the key that cannot be opened")
		}
		// The others do as before.
		e.Clock.Advance(2 * time.Minute)
		if kidOf(t, guestOf(t, e)) != kid {
			t.Error("a replica follows a key that it cannot open")
		}
	})
}

// The operator's emergency: a key is out at once, with its tokens, and nothing else is.
func TestRotateKeys(t *testing.T) {
	t.Parallel()
	rotate := func(t *testing.T, e *authtest.Engine, revoke ...string) {
		t.Helper()
		if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: revoke}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("ahead of schedule", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		rotate(t, e)
		session := guestOf(t, e)
		if kidOf(t, session) != kid || len(kids(t, e)) != 2 {
			t.Errorf("%s signs, %v are published", kidOf(t, session), kids(t, e))
		}
		e.Clock.Advance(lead)
		if kidOf(t, guestOf(t, e)) == kid {
			t.Error("the former key signs")
		}
		e.Clock.Advance(grace)
		if got := kids(t, e); len(got) != 1 || got[0] == kid {
			t.Errorf("%v are published", got)
		}
	})
	t.Run("the key that signs", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		session := guestOf(t, e)
		rotate(t, e, kid)
		_, err := authenticate(t, e, session.AccessToken)
		wantErr(t, err, auth.ErrUnauthenticated)
		next := mustRefresh(t, e, session.RefreshToken)
		e.Principal(t, next)
		if diff := cmp.Diff([]string{kidOf(t, next)}, kids(t, e)); diff != "" {
			t.Error(diff)
		}
		if keys := storedKeys(t, e); len(keys) != 1 || !keys[0].ActiveAt.Equal(e.Clock.Now()) {
			t.Errorf("the next one signs from %v", keys[0].ActiveAt)
		}
		if ev := e.Events.All(); ev[len(ev)-1].Type != auth.EventSigningKeyRevoked || ev[len(ev)-1].Detail != kid {
			t.Errorf("%+v", ev[len(ev)-1])
		}
	})
	t.Run("the next key", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		rotate(t, e)
		e.Clock.Advance(time.Minute)
		next := added(e)[1]
		rotate(t, e, next)
		e.Clock.Advance(2 * time.Hour)
		if got := kids(t, e); len(got) != 1 || got[0] == next || got[0] == kid {
			t.Errorf("%v are published", got)
		}
		e.Principal(t, guestOf(t, e))
	})
	t.Run("a key that is retired", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		rotate(t, e)
		e.Clock.Advance(lead - time.Minute)
		session := guestOf(t, e)
		e.Clock.Advance(2 * time.Minute)
		later := guestOf(t, e)
		rotate(t, e, kid)
		_, err := authenticate(t, e, session.AccessToken)
		wantErr(t, err, auth.ErrUnauthenticated)
		e.Principal(t, later)
		if kidOf(t, guestOf(t, e)) != kidOf(t, later) {
			t.Error("the key that signs has changed")
		}
	})
	t.Run("before the first key signs", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		session := guestOf(t, e)
		rotate(t, e, added(e)...)
		if got := kids(t, e); len(got) != 1 || got[0] != kidOf(t, guestOf(t, e)) {
			t.Errorf("%v are published", got)
		}
		_, err := authenticate(t, e, session.AccessToken) // of the derived key, whose secret may be what was lost
		wantErr(t, err, auth.ErrUnauthenticated)
	})
	t.Run("refusals", func(t *testing.T) {
		t.Parallel()
		e := authtest.New(t, rotating)
		kid := settled(t, e)
		wantErr(t, e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{kid, "unknown"}}), auth.ErrInvalidRequest)
		if diff := cmp.Diff([]string{kid}, kids(t, e)); diff != "" {
			t.Error(diff)
		}
		wantErr(t, authtest.New(t).RotateKeys(t.Context(), auth.RotateKeysParams{}), auth.ErrDisabledEndpoint)
		if err := e.SetKeys(auth.Keys{Active: auth.Key{Algorithm: "EdDSA", Private: testKeys().ed}}); err == nil {
			t.Error("SetKeys changes keys that rotate")
		}
	})
	t.Run("while another look is under way", func(t *testing.T) {
		t.Parallel()
		var hang sync.Mutex
		entered := make(chan struct{})
		s := storetest.Break(memstore.New(), storetest.Fault{Method: "SigningKeys", After: true, Do: func(ctx context.Context) {
			if _, slow := ctx.Value(slowly{}).(bool); slow {
				close(entered)
				hang.Lock()
			}
		}})
		e := authtest.NewWithStore(t, s, rotating)
		kid := settled(t, e)
		session := guestOf(t, e)
		e.Clock.Advance(2 * time.Minute)
		hang.Lock()
		var looking sync.WaitGroup
		looking.Go(func() { _, _ = e.KeySet(context.WithValue(background, slowly{}, true)) })
		<-entered
		looking.Go(func() { rotate(t, e, kid) })
		for len(added(e)) < 2 {
			runtime.Gosched()
		}
		hang.Unlock()
		looking.Wait()
		_, err := authenticate(t, e, session.AccessToken)
		wantErr(t, err, auth.ErrUnauthenticated)
	})
}

type slowly struct{}

func TestRotationConfig(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]auth.RotationConfig{
		"too often":                  {Every: time.Minute},
		"too rarely":                 {Every: 500 * 24 * time.Hour},
		"known too late":             {Lead: 5 * time.Minute}, // for who keeps the key set
		"known longer than it signs": {Every: time.Hour, Lead: 2 * time.Hour},
		"a symmetric algorithm":      {Algorithm: "HS256"},
		"no such algorithm":          {Algorithm: "none"},
	} {
		_, err := auth.New(memstore.New(), auth.Config{
			ServerURL: "https://auth.test", ClientURL: "https://app.test", Secret: auth.Secret(hmacSecret),
			Email: auth.EmailConfig{AllowUnverified: true}, AccessTokens: auth.AccessTokensConfig{Rotate: &r},
		})
		if err == nil || !strings.Contains(err.Error(), "AccessTokens.Rotate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// New does not touch the store, rotation or not, and nobody's configuration is changed.
func TestNewLeavesRotationForLater(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	r := &auth.RotationConfig{}
	authtest.NewWithStore(t, counter, func(c *auth.Config) { c.AccessTokens.Rotate = r })
	if counter.Trips() != 0 || *r != (auth.RotationConfig{}) {
		t.Errorf("%v, %+v", counter.Calls(), r)
	}
}

// rotationStores are the stores of this module; the others are tested from outside.
func rotationStores(t *testing.T) map[string]store.Store {
	t.Helper()
	return map[string]store.Store{"memory": memstore.New()}
}
