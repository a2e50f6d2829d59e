package auth_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// RL-17, SI-03: a hundred thousand attempts at one account within ten hours, from ten thousand addresses, are fifty guesses.
// What they leave behind is as little, and the owner comes and goes.
func TestAHundredThousandAttemptsAtOneAccount(t *testing.T) {
	t.Parallel()
	const attempts, addresses, hours = 100_000, 10_000, 10
	clock := authtest.NewClock()
	counts := limit.NewMemory(limit.MemoryConfig{Now: clock.Now})
	e := authtest.New(t, letters, limited, func(c *auth.Config) { c.Now, c.Limits.Limiter = clock.Now, counts })
	key := &authtest.Authenticator{}
	withKey(t, e, "ada@example.com", key)

	refused := 0
	for n := range attempts {
		clock.Advance(hours * time.Hour / attempts)
		switch err := tryPassword(e, from(1+n%addresses), "ada@example.com", "wrong"); {
		case exceeded(err) != "":
			refused++
		case !errors.Is(err, auth.ErrInvalidEmailPassword):
			t.Fatal(err)
		}
		if n%10_000 == 5_000 {
			if _, err := e.VerifySignInWebAuthn(from(0), auth.VerifySignInWebAuthnParams{Credential: key.Get(t, beginKeySignIn(t, e, ""))}); err != nil {
				t.Errorf("the owner's passkey, after %d attempts: %v", n, err)
			}
			if err := e.SendMagicLink(from(0), auth.SendMagicLinkParams{Email: "ada@example.com"}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.VerifyTicket(from(0), auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "ada@example.com").Ticket()}); err != nil {
				t.Errorf("the owner's link, after %d attempts: %v", n, err)
			}
		}
	}
	// The budget of an hour, ten times and once more, would be 110; that of the month is 50, and one or two come back.
	compared := len(e.Events.Of(auth.EventSignInFailed))
	if compared != attempts-refused || compared < 50 || compared > 52 {
		t.Errorf("%d passwords were compared, %d refused", compared, refused)
	}
	if n := len(e.Events.Of(auth.EventLimited)); n > hours*60 {
		t.Errorf("told %d times in %d minutes", n, hours*60)
	}
	if n := counts.Len(); n > compared+10 {
		t.Errorf("%d buckets are kept, of %d guesses", n, compared)
	}
}

// network is the n-th of as many IPv6 networks as anybody wants.
func network(n int) context.Context {
	a := [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1}
	binary.BigEndian.PutUint32(a[4:], uint32(n))
	return fromAddress(netip.AddrFrom16(a))
}

// RL-12: a million networks take no more room than there is for them, and win nobody a new budget who had exhausted theirs.
func TestAMillionNetworksTakeBoundedRoom(t *testing.T) {
	e := authtest.New(t, limited)
	first := fromAddress(netip.MustParseAddr("192.0.2.1"))
	for range 100 {
		if _, err := e.Admit(first); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for n := range 1_000_000 {
		if _, err := e.Admit(network(n)); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("they take %d MiB", grown>>20)
	}
	if _, err := e.Admit(first); exceeded(err) != auth.BudgetRequestsPerClient {
		t.Errorf("the exhausted client: %v", err)
	}
	runtime.KeepAlive(e)
}

// tally counts the calls of a limiter.
type tally struct {
	limit.Limiter
	calls atomic.Int64
}

func (c *tally) Take(ctx context.Context, takes ...limit.Take) (limit.Decision, error) {
	c.calls.Add(1)
	return c.Limiter.Take(ctx, takes...)
}

// RL-19: a refresh token that is none costs a round trip at most, none if it has not even the form of one, and no limiter.
func TestRandomRefreshTokensAreCheap(t *testing.T) {
	t.Parallel()
	store := storetest.Count(memstore.New())
	counts := &tally{Limiter: limit.NewMemory(limit.MemoryConfig{})}
	e := authtest.NewWithStore(t, store, limited, func(c *auth.Config) { c.Limits.Limiter = counts })
	session := e.SignUp(t, "ada@example.com")
	counts.calls.Store(0)
	before := store.Trips()
	const tokens = 100_000
	parallel(50, func() {
		for range tokens / 50 {
			if _, err := e.Refresh(background, auth.RefreshParams{RefreshToken: uuid.NewString()}); !errors.Is(err, auth.ErrInvalidRefreshToken) {
				t.Error(err)
				return
			}
		}
	})
	if n := store.Trips() - before; n > tokens {
		t.Errorf("%d round trips for %d tokens", n, tokens)
	}
	before = store.Trips()
	for _, malformed := range []string{"", "x", session.RefreshToken + "0", "00000000-0000-0000-0000-00000000000", string(make([]byte, 1<<16))} {
		_, _ = e.Refresh(background, auth.RefreshParams{RefreshToken: malformed})
	}
	if n := store.Trips() - before; n != 0 {
		t.Errorf("%d round trips for what is no token", n)
	}
	if n := counts.calls.Load(); n != 0 {
		t.Errorf("the limiter was asked %d times", n)
	}
	mustRefresh(t, e, session.RefreshToken)
}

// OA-12, AN-01: what strangers can have remembered without an account, or make accounts of, is bounded for each of them.
func TestWhatStrangersLeaveBehindIsBounded(t *testing.T) {
	t.Parallel()
	e := authtest.New(t, limited)
	challenges, guests := 0, 0
	for range 10_000 {
		if err := aBegin.call(e, 0, 0); exceeded(err) == "" {
			challenges++
		}
		if err := aSignUp.call(e, 0, 0); exceeded(err) == "" {
			guests++
		}
	}
	if challenges != 100 || guests != 10 || userCount(t, e.Store) != 10 {
		t.Errorf("%d challenges and %d guests at once, want 100 and 10", challenges, guests)
	}
}

// SI-07, EO-14, SM-02: one client that tries one password, or one code, on each of a thousand accounts, or has fifty numbers of
// one range sent texts.
func TestOneClientAtManyAccounts(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		costly
		calls, want int
		by          auth.Budget
	}{
		{aPassword, 1000, 10, auth.BudgetGuessesPerClient},
		{aCode, 1000, 10, auth.BudgetGuessesPerClient},
		{aText, 50, 10, auth.BudgetSMSPerClient},
		{aLetter, 1000, 10, auth.BudgetEmailsPerClient},
	} {
		e := authtest.New(t, letters, limited)
		passed := 0
		for n := range x.calls {
			switch err := x.call(e, 0, n); {
			case exceeded(err) == "":
				passed++
			case exceeded(err) != x.by || retryAfter(err) <= 0:
				t.Fatalf("%s: %v, after %v", x.name, err, retryAfter(err))
			}
		}
		if passed != x.want {
			t.Errorf("%s: %d of %d passed, want %d", x.name, passed, x.calls, x.want)
		}
	}
}
