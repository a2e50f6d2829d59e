package auth_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
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
		down = true
		looping(t, e, 2*time.Minute)
		if !strings.Contains(e.Logs.String(), "load signing keys") {
			t.Errorf("the log does not say it:\n%s", e.Logs)
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
	if n := strings.Count(e.Logs.String(), "open a signing key"); n < 6 {
		t.Errorf("the log tells of %d:\n%s", n, e.Logs)
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
		Retired: []auth.Key{key("third", after(3*time.Minute)), key("first", after(time.Minute)), key("second", after(2*time.Minute))},
	}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at   time.Duration
		want []string
	}{
		{0, []string{"active", "next", "third", "first", "second"}},
		{16*time.Minute - 1, []string{"active", "next", "third", "first", "second"}},
		{16 * time.Minute, []string{"active", "next", "third", "second"}},
		{17 * time.Minute, []string{"active", "next", "third"}},
		{18*time.Minute - 1, []string{"active", "next", "third"}},
		{18 * time.Minute, []string{"active", "next"}},
		{30 * 24 * time.Hour, []string{"active", "next"}},
		{17 * time.Minute, []string{"active", "next", "third"}},
		{0, []string{"active", "next", "third", "first", "second"}},
	} {
		e.Clock.Set(after(step.at))
		for range 2 { // what is kept is the same
			if diff := cmp.Diff(step.want, kids(t, e)); diff != "" {
				t.Errorf("after %v: %s", step.at, diff)
			}
		}
	}
}
