package auth_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// keysDown is a store whose calls for signing keys fail while it is down.
type keysDown struct {
	store.Store
	down *bool
}

func (s keysDown) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	if *s.down {
		return nil, storetest.ErrFault
	}
	return s.Store.SigningKeys(ctx, now)
}

func (s keysDown) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (bool, error) {
	if *s.down {
		return false, storetest.ErrFault
	}
	return s.Store.AddSigningKey(ctx, k, since)
}

// A transaction of the service's may see the keys as they were before one was revoked: what it sees is for that call alone, and
// nothing is written in it.
func TestKeysInATransactionOfTheService(t *testing.T) {
	t.Parallel()
	ctx := context.WithValue(background, transaction{}, true)
	begin := func(t *testing.T) (e *authtest.Engine, counter *storetest.Counter, down *bool) {
		t.Helper()
		counter, down = storetest.Count(memstore.New()), new(bool)
		return authtest.NewWithStore(t, joining{storetest.Count(keysDown{counter, down})}, rotating), counter, down
	}
	kidIn := func(t *testing.T, e *authtest.Engine) string {
		t.Helper()
		in, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		return kidOf(t, in.Session)
	}
	t.Run("each call looks for itself", func(t *testing.T) {
		t.Parallel()
		e, counter, _ := begin(t)
		kid := settled(t, e)
		e.Clock.Advance(lead) // longer than a replica signs without a look
		counter.Reset()
		for n := 1; n <= 2; n++ {
			if got := kidIn(t, e); got != kid {
				t.Errorf("%s signs", got)
			}
			if calls := counter.Calls(); calls["SigningKeys"] != n {
				t.Errorf("after %d calls: %v", n, calls)
			}
		}
		kids(t, e) // outside, the view is as old as it was
		if calls := counter.Calls(); calls["SigningKeys"] != 3 {
			t.Errorf("%v", calls)
		}
	})
	t.Run("and sees what others have made", func(t *testing.T) {
		t.Parallel()
		e, _, _ := begin(t)
		kid := settled(t, e)
		other := authtest.NewWithStore(t, e.Store, rotating)
		other.Clock.Set(e.Clock.Now())
		if err := other.RotateKeys(t.Context(), auth.RotateKeysParams{}); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(lead)
		if got := kidIn(t, e); got == kid || got != added(other)[0] {
			t.Errorf("%s signs", got)
		}
	})
	t.Run("a former key of the configuration leaves", func(t *testing.T) {
		t.Parallel()
		k := testKeys()
		e := authtest.NewWithStore(t, joining{memstore.New()}, rotating, keyed("EdDSA", k.ed), func(c *auth.Config) {
			c.AccessTokens.Keys.Retired = []auth.Key{{ID: "former", Algorithm: "ES256", Public: k.ec.Public(), RetiredAt: c.Now()}}
		})
		for after, want := range map[time.Duration]bool{15*time.Minute - time.Second: true, 15 * time.Minute: false} {
			r := authtest.NewWithStore(t, e.Store, rotating, keyed("EdDSA", k.ed), func(c *auth.Config) {
				c.AccessTokens.Keys.Retired = []auth.Key{{ID: "former", Algorithm: "ES256", Public: k.ec.Public(), RetiredAt: c.Now().Add(-after)}}
			})
			set, err := r.KeySet(ctx)
			if err != nil || strings.Contains(string(set), `"former"`) != want {
				t.Errorf("after %v: %s, %v", after, set, err)
			}
		}
	})
	t.Run("no key is made in it", func(t *testing.T) {
		t.Parallel()
		e, counter, _ := begin(t)
		derived := kidIn(t, e)
		if calls := counter.Calls(); calls["SigningKeys"] != 1 || calls["AddSigningKey"] != 0 {
			t.Errorf("%v", calls)
		}
		if published := kids(t, e); len(published) != 2 || !slices.Contains(published, derived) {
			t.Errorf("%s has signed, and %v are published", derived, published)
		}
	})
	t.Run("a token of an unknown key costs no look", func(t *testing.T) {
		t.Parallel()
		e, counter, _ := begin(t)
		settled(t, e)
		other := authtest.New(t, rotating)
		settled(t, other)
		e.Clock.Advance(30 * time.Second)
		counter.Reset()
		_, err := e.Authenticate(ctx, guestOf(t, other).AccessToken)
		wantErr(t, err, auth.ErrUnauthenticated)
		if n := counter.Trips(); n != 0 {
			t.Errorf("%v", counter.Calls())
		}
	})
	t.Run("the store fails", func(t *testing.T) {
		t.Parallel()
		e, _, down := begin(t)
		kid := settled(t, e)
		e.Clock.Advance(lead)
		*down = true
		if got := kidIn(t, e); got != kid {
			t.Errorf("%s signs", got)
		}
		if text := e.Logs.String(); strings.Contains(text, "could not be loaded") {
			t.Errorf("a look outside of the transaction: %s", text)
		}
		stranger := authtest.NewWithStore(t, e.Store, rotating)
		_, err := stranger.SignInAnonymous(ctx, auth.SignInAnonymousParams{})
		wantErr(t, err, auth.ErrInternal)
		wantErr(t, err, storetest.ErrFault)
	})
	t.Run("keys are not rotated in it", func(t *testing.T) {
		t.Parallel()
		e, counter, _ := begin(t)
		kid := settled(t, e)
		counter.Reset()
		wantErr(t, e.RotateKeys(ctx, auth.RotateKeysParams{Revoke: []string{kid}}), auth.ErrInvalidRequest)
		if n := counter.Trips(); n != 0 {
			t.Errorf("%v", counter.Calls())
		}
	})
}

// ST-18: each call of the store for keys is given five seconds, and what there is does meanwhile.
func TestAStoreThatHangsOverKeysIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method string
		call   int
		said   string
	}{
		"to list them":  {"SigningKeys", 3, "could not be loaded"}, // the first two are of the first key
		"to add one":    {"AddSigningKey", 2, "make a signing key"},
		"to retire one": {"ExpireSigningKey", 1, "retire a signing key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := storetest.Break(memstore.New(), storetest.Fault{
					Method: tt.method, Call: tt.call, Do: func(ctx context.Context) { <-ctx.Done() }, Err: context.DeadlineExceeded,
				})
				e := authtest.NewWithStore(t, s, realTime, rotating)
				guestOf(t, e)
				time.Sleep(every) // the next key is due
				begun := time.Now()
				session := guestOf(t, e)
				if took := time.Since(begun); took != 5*time.Second || s.Fired() != 1 {
					t.Errorf("it took %v, with %d faults", took, s.Fired())
				}
				if got := kidOf(t, session); got != added(e)[0] {
					t.Errorf("%s signs", got)
				}
				if !strings.Contains(e.Logs.String(), tt.said) {
					t.Errorf("the log does not say it:\n%s", e.Logs)
				}
				time.Sleep(2 * time.Minute)
				if e.Principal(t, session); len(kids(t, e)) != 2 {
					t.Errorf("two minutes later there are %v", kids(t, e))
				}
			})
		})
	}
}

// Whoever waits for the look of another may leave, and only then.
func TestWhoWaitsForKeysMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{
			Method: "SigningKeys", Call: 1, Do: func(context.Context) { <-hang },
		}), realTime, rotating)
		first, second := make(chan error), make(chan error)
		ask := func(ctx context.Context, done chan error) {
			_, err := e.KeySet(ctx)
			done <- err
		}
		go ask(t.Context(), first)
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		go ask(ctx, second)
		synctest.Wait()
		leave()
		wantErr(t, <-second, context.Canceled)
		close(hang)
		wantErr(t, <-first, nil)
	})
}

// Who signs with keys that are so old that another may sign elsewhere waits for the look that is under way; who verifies does not.
func TestASignatureWaitsForALookThatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{
			Method: "SigningKeys", Call: 3, Do: func(context.Context) { <-hang }, // the first two are of the first key
		}), realTime, rotating)
		session := guestOf(t, e)
		time.Sleep(lead/2 - time.Second)
		looked, signed := make(chan error), make(chan error, 1)
		go func() {
			_, err := e.KeySet(t.Context())
			looked <- err
		}()
		synctest.Wait()
		guestOf(t, e) // a second before
		time.Sleep(time.Second)
		_, _ = e.Authenticate(t.Context(), session.AccessToken)
		go func() {
			_, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{})
			signed <- err
		}()
		synctest.Wait()
		if len(signed) != 0 {
			t.Error("a key has signed that may no longer be the one")
		}
		close(hang)
		wantErr(t, <-looked, nil)
		wantErr(t, <-signed, nil)
	})
}

// The operator hears of each step of a rotation by hand that fails, and can do it again.
func TestRotateKeysWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storetest.Fault{
		"to list them":   {Method: "SigningKeys", Call: 1},
		"to add one":     {Method: "AddSigningKey", Call: 1},
		"to revoke one":  {Method: "ExpireSigningKey", Call: 1},
		"to look at all": {Method: "SigningKeys", Call: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			healthy := authtest.NewWithStore(t, s, rotating)
			kid := settled(t, healthy)
			broken := authtest.NewWithStore(t, storetest.Break(s, fault), rotating)
			broken.Clock.Set(healthy.Clock.Now())
			p := auth.RotateKeysParams{Revoke: []string{kid}}
			err := broken.RotateKeys(t.Context(), p)
			wantErr(t, err, auth.ErrInternal)
			wantErr(t, err, storetest.ErrFault)
			if err := broken.RotateKeys(t.Context(), p); name == "to look at all" {
				wantErr(t, err, auth.ErrInvalidRequest) // it is gone
			} else if err != nil {
				t.Error(err)
			}
			healthy.Clock.Advance(2 * time.Minute)
			if published := kids(t, healthy); slices.Contains(published, kid) || len(published) == 0 {
				t.Errorf("%v are published", published)
			}
		})
	}
	// One that another replica has removed meanwhile is what was wanted.
	s := memstore.New()
	e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "ExpireSigningKey", Err: store.ErrNotFound}), rotating)
	if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{settled(t, e)}}); err != nil {
		t.Error(err)
	}
}

// The loop tells of keys that it cannot load, and looks no more often than once a minute while it can.
func TestTheLoopLooksAfterTheKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		counter, down := storetest.Count(memstore.New()), false
		e := authtest.NewWithStore(t, keysDown{counter, &down}, realTime, rotating)
		looping(t, e, 10*time.Minute+time.Second)
		if n := counter.Calls()["SigningKeys"]; n != 12 { // the first look made a key and looked again
			t.Errorf("%d looks in ten minutes", n)
		}
		if text := e.Logs.String(); strings.Contains(text, "signing key") {
			t.Errorf("the log says that something has failed:\n%s", text)
		}
		down = true
		looping(t, e, 2*time.Minute)
		// It looks every ten seconds once what it knows is a minute old, and tells of each look.
		if n := strings.Count(e.Logs.String(), `msg="load signing keys"`); n != 7 {
			t.Errorf("the log says it %d times:\n%s", n, e.Logs)
		}
	})
}

// ST-16: a key that another replica has just made counts although this one's view does not have it: because its clock is behind by
// hours, or because the key is already gone. One that was gone long ago does not.
func TestWhatAnotherReplicaHasMade(t *testing.T) {
	t.Parallel()
	t.Run("with a clock behind by hours", func(t *testing.T) {
		t.Parallel()
		s := memstore.New()
		behind := authtest.NewWithStore(t, s, rotating)
		raced := false
		ahead := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "AddSigningKey", Call: 2, Do: func(context.Context) {
			raced = true
			if err := behind.RotateKeys(background, auth.RotateKeysParams{}); err != nil {
				t.Error(err)
			}
		}}), rotating)
		settled(t, ahead)
		ahead.Clock.Advance(every)
		behind.Clock.Set(ahead.Clock.Now().Add(-3 * time.Hour))
		guestOf(t, ahead)
		if n := len(storedKeysEver(t, ahead)); n != 2 || !raced {
			t.Errorf("there are %d keys", n)
		}
	})
	for age, want := range map[time.Duration]int{59 * time.Minute: 0, 61 * time.Minute: 1} {
		t.Run("and is gone since "+age.String(), func(t *testing.T) {
			t.Parallel()
			e := authtest.New(t, rotating)
			now := e.Clock.Now()
			if ok, err := e.Store.AddSigningKey(t.Context(), store.SigningKey{
				ID: strings.Repeat("x", 43), Algorithm: "EdDSA", Private: []byte("x"), CreatedAt: now.Add(-age), ActiveAt: now.Add(-age), ExpiresAt: now,
			}, time.Time{}); !ok || err != nil {
				t.Fatal(ok, err)
			}
			session := guestOf(t, e)
			if n := len(storedKeys(t, e)); n != want || len(added(e)) != want {
				t.Errorf("%d keys were made, want %d", n, want)
			}
			e.Principal(t, session)
		})
	}
}

// Of the secrets, the first signs until a key of the store does; tokens of the others are accepted. So it is after the store's keys
// are all gone.
func TestWhichDerivedKeySigns(t *testing.T) {
	t.Parallel()
	one, two := auth.Secret(bytes.Repeat([]byte("1"), 32)), auth.Secret(bytes.Repeat([]byte("2"), 32))
	secrets := func(secrets ...auth.Secret) func(*auth.Config) {
		return func(c *auth.Config) { c.Secret, c.PreviousSecrets = secrets[0], secrets[1:] }
	}
	s := memstore.New()
	plainOne, plainTwo := authtest.NewWithStore(t, s, secrets(one)), authtest.NewWithStore(t, s, secrets(two))
	ofOne, ofTwo := guestOf(t, plainOne), guestOf(t, plainTwo)
	e := authtest.NewWithStore(t, s, secrets(two, one), rotating)
	e.Principal(t, ofOne)
	e.Principal(t, ofTwo)
	if got := kidOf(t, guestOf(t, e)); got != kidOf(t, ofTwo) {
		t.Errorf("%s signs", got)
	}
	want := []string{storedKeys(t, e)[0].ID, kidOf(t, ofTwo), kidOf(t, ofOne)}
	if diff := cmp.Diff(want, kids(t, e)); diff != "" {
		t.Error(diff)
	}
	e.Clock.Advance(lead + grace)
	if diff := cmp.Diff(want[:1], kids(t, e)); diff != "" {
		t.Error(diff)
	}
}

// What does not hold a key of its algorithm is no key, is told of, and does not keep the others from theirs.
func TestRowsThatHoldNoKey(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	e := authtest.NewWithStore(t, s, rotating)
	kid := settled(t, e)
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	held := func(private any) []byte { // behind the time when the derived keys end
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return append(make([]byte, 8), der...)
	}
	for i, content := range [][]byte{nil, make([]byte, 7), make([]byte, 8), append(make([]byte, 8), "no key"...), held(exchange), held(curve)} {
		row := storedKeys(t, e)[0]
		row.ID = strings.Repeat(string(rune('a'+i)), 43)
		row.CreatedAt, row.ActiveAt = row.CreatedAt.Add(time.Duration(i+1)*time.Second), e.Clock.Now()
		row.Private = auth.SealKey(e.Engine, row.ID, content)
		if ok, err := s.AddSigningKey(t.Context(), row, row.CreatedAt.Add(-1)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	e.Clock.Advance(2 * time.Minute)
	if diff := cmp.Diff([]string{kid}, kids(t, e)); diff != "" {
		t.Error(diff)
	}
	if got := kidOf(t, guestOf(t, e)); got != kid {
		t.Errorf("%s signs", got)
	}
	if text := e.Logs.String(); strings.Count(text, "open a signing key") < 6 || strings.Contains(text, "could not be loaded") {
		t.Errorf("the log says:\n%s", text)
	}
}

// What is published is what is accepted, at every moment, also when the clock is set back.
func TestTheKeySetIsThatOfTheMoment(t *testing.T) {
	t.Parallel()
	e := authtest.New(t)
	key := func(id string, retired time.Time) auth.Key {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return auth.Key{ID: id, Algorithm: "ES256", Private: private, RetiredAt: retired}
	}
	begun := e.Clock.Now()
	after := func(d time.Duration) time.Time { return begun.Add(d) }
	if err := e.SetKeys(auth.Keys{
		Active: key("active", time.Time{}), Next: []auth.Key{key("next", time.Time{})},
		// Each stays for the fifteen minutes that a token lives.
		Retired: []auth.Key{
			key("third", after(3*time.Minute)), key("first", after(time.Minute)), key("second", after(2*time.Minute)), key("kept", time.Time{}),
		},
	}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at   time.Duration
		want []string
	}{
		{0, []string{"active", "next", "third", "first", "second", "kept"}},
		{16*time.Minute - 1, []string{"active", "next", "third", "first", "second", "kept"}},
		{16 * time.Minute, []string{"active", "next", "third", "second", "kept"}},
		{17 * time.Minute, []string{"active", "next", "third", "kept"}},
		{18*time.Minute - 1, []string{"active", "next", "third", "kept"}},
		{18 * time.Minute, []string{"active", "next", "kept"}},
		{30 * 24 * time.Hour, []string{"active", "next", "kept"}},
		{17 * time.Minute, []string{"active", "next", "third", "kept"}},
		{0, []string{"active", "next", "third", "first", "second", "kept"}},
	} {
		e.Clock.Set(after(step.at))
		for range 2 { // what is kept is the same
			if diff := cmp.Diff(step.want, kids(t, e)); diff != "" {
				t.Errorf("after %v: %s", step.at, diff)
			}
		}
	}
}

// A clock that has been set back by more than clocks are apart makes what was loaded old, and ends the pause after the last look.
func TestAClockThatIsSetBackEndsThePause(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, rotating)
	settled(t, e)
	other := authtest.New(t, rotating)
	settled(t, other)
	unknown := guestOf(t, other).AccessToken
	for _, step := range []struct {
		what string
		back time.Duration
		look func()
		want int
	}{
		{"what is known, by a minute", time.Minute, func() { kids(t, e) }, 0},
		{"what is known, by more", time.Minute + time.Microsecond, func() { kids(t, e) }, 1},
		{"an unknown key, by less", time.Minute - time.Microsecond, func() { _, _ = e.Authenticate(t.Context(), unknown) }, 0},
		{"an unknown key, by a minute", time.Minute, func() { _, _ = e.Authenticate(t.Context(), unknown) }, 1},
	} {
		e.Clock.Advance(5 * time.Minute)
		kids(t, e) // looks
		counter.Reset()
		e.Clock.Advance(-step.back)
		step.look()
		if n := counter.Calls()["SigningKeys"]; n != step.want {
			t.Errorf("%s: %d looks", step.what, n)
		}
	}
}

// A token that names a key of the set costs no look, whatever is wrong with it.
func TestKnownKeysCostNoLook(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, rotating)
	settled(t, e)
	if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{}); err != nil {
		t.Fatal(err)
	}
	known := kids(t, e)
	if len(known) != 2 {
		t.Fatalf("%v are published", known)
	}
	parts := strings.Split(guestOf(t, e).AccessToken, ".")
	e.Clock.Advance(time.Minute)
	counter.Reset()
	for _, kid := range known {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","kid":"` + kid + `","alg":"EdDSA"}`))
		_, err := authenticate(t, e, header+"."+parts[1]+"."+parts[2])
		wantErr(t, err, auth.ErrUnauthenticated)
	}
	if n := counter.Trips(); n != 0 {
		t.Errorf("%v", counter.Calls())
	}
}

// Whoever happens to ask is not who makes a key.
func TestNobodyIsSaidToMakeAKey(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, rotating)
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.7"), UserAgent: "Browser"})
	if _, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{}); err != nil {
		t.Fatal(err)
	}
	if events := e.Events.Of(auth.EventSigningKeyAdded); len(events) != 1 || events[0].Client != (auth.Client{}) {
		t.Errorf("%+v", events)
	}
}

// A key that has been made and cannot be read back does not keep the others from theirs; the operator hears of it, once for a look.
func TestAKeyThatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "SigningKeys", Call: 2}), rotating)
	derived := kidOf(t, guestOf(t, e))
	if n := strings.Count(e.Logs.String(), `msg="make a signing key"`); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, e.Logs)
	}
	e.Clock.Advance(2 * time.Minute)
	if published := kids(t, e); len(published) != 2 || !slices.Contains(published, derived) {
		t.Errorf("%v are published", published)
	}
	// The same of a look that fails: it is told of once, and not by those who come while nobody looks again.
	down := false
	e = authtest.NewWithStore(t, keysDown{memstore.New(), &down}, rotating)
	settled(t, e)
	down = true
	e.Clock.Advance(2 * time.Minute)
	for range 3 {
		kids(t, e)
	}
	if n := strings.Count(e.Logs.String(), `msg="the signing keys could not be loaded`); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, e.Logs)
	}
}

// One that another replica has removed is what was wanted, also on schedule: nobody is told.
func TestAFormerKeyThatIsGone(t *testing.T) {
	t.Parallel()
	e := authtest.NewWithStore(t, storetest.Break(memstore.New(), storetest.Fault{Method: "ExpireSigningKey", Err: store.ErrNotFound}), rotating)
	settled(t, e)
	e.Clock.Advance(every)
	guestOf(t, e)
	if text := e.Logs.String(); len(added(e)) != 2 || strings.Contains(text, "retire a signing key") {
		t.Errorf("%d keys, and the log says %q", len(added(e)), text)
	}
}

// JW-19: a configured key that leaves before the first of the store would sign, or has left, is followed at once.
func TestAConfiguredKeyThatLeavesEarly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		since  time.Duration // its retirement
		follow bool
	}{
		"in good time":    {-(lead + time.Minute), false},
		"early":           {-(lead - time.Minute), true},
		"now":             {0, true},
		"some time ago":   {15 * time.Minute, true},
		"a long time ago": {24 * time.Hour, true},
	} {
		e := authtest.New(t, rotating, func(x *auth.Config) {
			x.AccessTokens.Keys.Active = auth.Key{ID: "configured", Algorithm: "EdDSA", Private: testKeys().ed, RetiredAt: x.Now().Add(-c.since)}
			x.AccessTokens.Keys.Next = []auth.Key{{ID: "next", Algorithm: "ES256", Private: testKeys().ec}} // which does not sign
		})
		kid, made := kidOf(t, guestOf(t, e)), added(e)[0]
		if c.follow && kid != made || !c.follow && kid != "configured" {
			t.Errorf("%s: %s signs", name, kid)
		}
		// With none left that signs, a revocation makes one at once.
		if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{made}}); err != nil {
			t.Fatal(err)
		}
		if got := kidOf(t, guestOf(t, e)); got == made || got != added(e)[1] {
			t.Errorf("%s: after a revocation %s signs", name, got)
		}
	}
}

// Of two replicas that rotate at the same moment one does for both, unless a key is to be revoked: then each sees to it that there is
// one that signs.
func TestReplicasRotateAtTheSameMoment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mine, theirs bool // revoke the key that signs
		made         int  // by this one
	}{"ahead of schedule": {false, false, 0}, "one revokes": {true, false, 1}, "both revoke": {true, true, 1}} {
		s := memstore.New()
		other := authtest.NewWithStore(t, s, rotating)
		var race func()
		e := authtest.NewWithStore(t, storetest.Break(s, storetest.Fault{Method: "AddSigningKey", Do: func(context.Context) {
			if f := race; f != nil {
				race = nil
				f()
			}
		}}), rotating)
		kid := settled(t, e)
		other.Clock.Set(e.Clock.Now())
		revoke := func(yes bool) (p auth.RotateKeysParams) {
			if yes {
				p.Revoke = []string{kid}
			}
			return p
		}
		race = func() {
			if err := other.RotateKeys(background, revoke(c.theirs)); err != nil {
				t.Error(err)
			}
		}
		if err := e.RotateKeys(t.Context(), revoke(c.mine)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if mine, theirs := len(added(e))-1, len(added(other)); mine != c.made || theirs != 1 {
			t.Errorf("%s: %d and %d keys were made", name, mine, theirs)
		}
		if got := kidOf(t, guestOf(t, e)); (got == kid) == c.mine {
			t.Errorf("%s: %s signs", name, got)
		}
	}
}

// never is a store to which another has always just added a key.
type never struct {
	store.Store
	calls *int
}

func (s never) AddSigningKey(ctx context.Context, k store.SigningKey, since time.Time) (bool, error) {
	if *s.calls++; *s.calls == 1 {
		return s.Store.AddSigningKey(ctx, k, since)
	}
	return false, nil
}

// A revocation ends, and is one, whatever others make meanwhile.
func TestARevocationEnds(t *testing.T) {
	t.Parallel()
	calls := 0
	e := authtest.NewWithStore(t, never{memstore.New(), &calls}, rotating)
	kid := settled(t, e)
	if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{kid}}); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(kids(t, e), kid) || len(added(e)) != 1 {
		t.Errorf("%v are published, of %v", kids(t, e), added(e))
	}
}
