package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

type inSnapshot struct{}

// snapshots is a store with a transaction of the service's that sees the signing keys as they were when it began.
type snapshots struct {
	store.Store
	keys []store.SigningKey
}

func (s *snapshots) Joined(ctx context.Context) bool { return ctx.Value(inSnapshot{}) != nil }

func (s *snapshots) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	if s.Joined(ctx) {
		return s.keys, nil
	}
	return s.Store.SigningKeys(ctx, now)
}

// JW-20: a call in a transaction that is older than a revocation brings the revoked key back for nobody else.
func TestATransactionThatIsOlderThanARevocation(t *testing.T) {
	t.Parallel()
	s := &snapshots{Store: memstore.New()}
	e := authtest.NewWithStore(t, s, rotating)
	guestOf(t, e)
	e.Clock.Advance(lead + grace)
	session := guestOf(t, e)
	s.keys = storedKeys(t, e)
	if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{kidOf(t, session)}}); err != nil {
		t.Fatal(err)
	}
	tx := context.WithValue(t.Context(), inSnapshot{}, true)
	current := guestOf(t, e)
	for _, wait := range []time.Duration{11 * time.Second, 2 * time.Minute} {
		e.Clock.Advance(wait)
		_, _ = e.Authenticate(tx, "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6IkFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUEifQ.e30.AAAA")
		_, _ = e.Authenticate(tx, current.AccessToken)
		if _, err := e.Authenticate(t.Context(), session.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("after %v the revoked key's token: %v", wait, err)
		}
		if _, err := e.Authenticate(t.Context(), current.AccessToken); err != nil {
			t.Errorf("after %v the token of the key that signs: %v", wait, err)
		}
	}
}

// JW-20: the keys from before the rotation are gone for good, whichever of its own keys is revoked.
func TestRevokingAFormerKeyBringsNoOlderOneBack(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, rotating)
	base := kidOf(t, guestOf(t, e))
	e.Clock.Advance(lead)
	first := kidOf(t, guestOf(t, e))
	if first == base {
		t.Fatal("the store's key does not sign")
	}
	for kidOf(t, guestOf(t, e)) == first {
		e.Clock.Advance(time.Minute)
	}
	if slices.Contains(kids(t, e), base) || !slices.Contains(kids(t, e), first) {
		t.Fatalf("%v are published", kids(t, e))
	}
	if err := e.RotateKeys(t.Context(), auth.RotateKeysParams{Revoke: []string{first}}); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(kids(t, e), base) || slices.Contains(kids(t, e), first) {
		t.Errorf("%v are published", kids(t, e))
	}
	thief := authtest.NewWithStore(t, e.Store, func(c *auth.Config) { c.Now = e.Clock.Now })
	if _, err := e.Authenticate(t.Context(), guestOf(t, thief).AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a token that is made with the older key: %v", err)
	}
}

// A loop makes the audit trail independent of a former secret, although nothing happens.
func TestTheAuditTrailOutlivesASecret(t *testing.T) {
	t.Parallel()
	db := memstore.New()
	first, second := auth.Secret(strings.Repeat("first.", 6)), auth.Secret(strings.Repeat("second", 6))
	with := func(secrets ...auth.Secret) *authtest.Engine {
		return authtest.NewWithStore(t, db, audited, func(c *auth.Config) { c.Secret, c.PreviousSecrets = secrets[0], secrets[1:] })
	}
	guestOf(t, with(first))
	both := with(second, first)
	anchor := mustVerify(t, both)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- both.Run(ctx) }()
	stop()
	<-done
	e := with(second)
	guestOf(t, e)
	if n := len(e.Events.Of(auth.EventAuditLost)); n != 0 {
		t.Errorf("%d times events were lost", n)
	}
	if _, err := e.VerifyAuditTrail(t.Context(), auth.VerifyAuditTrailParams{Anchor: anchor, Newer: true}); err != nil {
		t.Errorf("from the anchor: %v", errors.Unwrap(err))
	}
}

// RL-20: what strangers cause does not stay because an endpoint is dead, and is told in the audit trail once.
func TestADeadEndpointKeepsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: func(context.Context, int, hookCall) *http.Response { return nil }}
		e := authtest.New(t, realTime, hooked(r, hookTo("one"), hookTo("two")), audited)
		const requests = 50
		for range requests {
			if err := guess(network(1), e); err != nil {
				t.Fatal(err)
			}
		}
		looping(t, e, 10*24*time.Hour)
		state, err := e.Outbox(t.Context())
		if err != nil || state != (auth.OutboxState{}) {
			t.Errorf("ten days later the outbox has %+v, %v", state, err)
		}
		if n := len(e.Events.Of(auth.EventMessageGivenUp)); n != 2*requests {
			t.Errorf("%d messages were given up, want %d", n, 2*requests)
		}
		if n := len(list(t, e, auth.AuditQuery{Limit: 1000})); n != 3*requests {
			t.Errorf("the audit trail has %d rows, want %d", n, 3*requests)
		}
	})
}

// faraway is a store that takes its time for the outbox, and knows for how long nobody has looked at the keys.
type faraway struct {
	store.Store
	last    time.Time
	longest time.Duration
}

func (s *faraway) ClaimMessages(ctx context.Context, c store.MessageClaim) ([]store.Message, error) {
	time.Sleep(50 * time.Millisecond) // of a synctest bubble
	return s.Store.ClaimMessages(ctx, c)
}

func (s *faraway) SigningKeys(ctx context.Context, now time.Time) ([]store.SigningKey, error) {
	if !s.last.IsZero() {
		s.longest = max(s.longest, time.Since(s.last))
	}
	s.last = time.Now()
	return s.Store.SigningKeys(ctx, now)
}

// ST-18: neither what is left of an endpoint nor a mail server that hangs keeps the loop from the keys.
func TestNothingKeepsTheLoopFromTheKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memstore.New()
		r := &receivers{answer: func(context.Context, int, hookCall) *http.Response { return nil }}
		old := authtest.NewWithStore(t, db, realTime, hooked(r, hookTo("gone")))
		for range 2_000 {
			if err := guess(t.Context(), old); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 20 {
			if _, err := old.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: fmt.Sprintf("u%d@example.com", n), Password: authtest.Password}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Hour)
		looks := &faraway{Store: db}
		e := authtest.NewWithStore(t, looks, realTime, rotating, func(c *auth.Config) { c.Mail = hanging{} })
		guestOf(t, e)
		looks.last = time.Now()
		looping(t, e, 10*time.Minute)
		if looks.longest > 90*time.Second {
			t.Errorf("the loop did not look at the keys for %v", looks.longest)
		}
	})
}

// hanging is a mail server that does not answer.
type hanging struct{}

// EN-01, EN-02: with errors concealed a sign-up asks as much of the store, whoever has the address.
func TestASignUpAsksTheSameForAnyAddress(t *testing.T) {
	t.Parallel()
	counter := storetest.Count(memstore.New())
	e := authtest.NewWithStore(t, counter, func(c *auth.Config) { c.ConcealErrors = true })
	e.SignUp(t, "ada@example.com")
	trips := map[string]int{}
	for _, who := range []string{"ada@example.com", "nobody@example.com"} {
		counter.Reset()
		if _, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: who, Password: "another long password 77"}); err != nil {
			t.Fatal(err)
		}
		trips[who] = counter.Trips()
	}
	if trips["ada@example.com"] != trips["nobody@example.com"] {
		t.Errorf("round trips: %v", trips)
	}
}

// EN-10, EN-14: with errors concealed the budget of passwords does not tell what the answer does not.
func TestTheBudgetDoesNotTellThePasswordOfADisabledAccount(t *testing.T) {
	t.Parallel()
	answers := func(right bool) (list []string) {
		e := authtest.New(t, limited, func(c *auth.Config) { c.ConcealErrors = true })
		s := e.SignUp(t, "ada@example.com")
		if _, err := e.UpdateUser(t.Context(), e.Principal(t, s).UserID, auth.UserUpdate{Disabled: new(true)}); err != nil {
			t.Fatal(err)
		}
		for n := range 12 {
			password := "wrong password"
			if right && n == 5 {
				password = authtest.Password
			}
			err := tryPassword(e, network(n), "ada@example.com", password)
			known := (*auth.Error)(nil)
			if !errors.As(err, &known) {
				t.Fatal(err)
			}
			list = append(list, string(known.Code))
		}
		return list
	}
	if diff := cmp.Diff(answers(false), answers(true)); diff != "" {
		t.Errorf("wrong ones alone (-), and the right one among them (+):\n%s", diff)
	}
}

func (hanging) Send(ctx context.Context, _ mail.Message) error {
	<-ctx.Done()
	return ctx.Err()
}

// joins is a store whose calls may be part of a transaction of the service's.
type joins struct{ store.Store }

func (joins) Joined(ctx context.Context) bool { return ctx.Value(inSnapshot{}) != nil }

// An event of a transaction of the service's waits for the loop, and that does not wait for its next look.
func TestTheLoopWritesTheEventsOfATransactionAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := authtest.NewWithStore(t, joins{memstore.New()}, realTime, audited)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		tx := context.WithValue(t.Context(), inSnapshot{}, true)
		if err := guess(tx, e); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(list(t, e, auth.AuditQuery{Limit: 10})); n != 1 {
			t.Errorf("%d events are in the trail, want 1", n)
		}
		stop()
		<-done
		if err := guess(tx, e); err != nil { // nobody writes it
			t.Fatal(err)
		}
		if n := len(list(t, e, auth.AuditQuery{Limit: 10})); n != 1 {
			t.Errorf("without a loop %d events are in the trail, want 1", n)
		}
	})
}
