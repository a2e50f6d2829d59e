package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/redislimit"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
)

// newEngine returns an engine of a replica whose limits l counts: 30 per hour of all that the tests do.
func newEngine(t *testing.T, s store.Store, l limit.Limiter) *authtest.Engine {
	t.Helper()
	return authtest.NewWithStore(t, s, func(c *auth.Config) {
		few, many := limit.Rate{Burst: 30, Per: time.Hour}, limit.Rate{Burst: 1000, Per: time.Hour}
		c.EmailOTP = &auth.EmailOTPConfig{}
		c.Password.MaxWaiting = 1000
		c.Limits = auth.LimitsConfig{
			Limiter:         l,
			EmailsPerClient: many, EmailsPerAddress: few, EmailsPerAddressLong: many,
			SMSPerClient: many, SMSPerNumber: few, SMSPerNumberLong: many,
			GuessesPerClient: many, GuessesPerAccount: few, GuessesPerAccountLong: many,
			PasswordsPerAccount: few, PasswordsPerAccountLong: many,
			SignUpsPerClient: few,
		}
	})
}

// call is one that a limit counts. failsOpen says whether it goes on where nothing can be counted.
type call struct {
	name      string
	failsOpen bool
	make      func(*authtest.Engine) error
}

var calls = []call{
	{"a password", false, func(e *authtest.Engine) error {
		_, err := e.SignInPassword(client, auth.SignInPasswordParams{Email: "ada@example.com", Password: "wrong"})
		return err
	}},
	{"a code", false, func(e *authtest.Engine) error {
		_, err := e.VerifyEmailOTP(client, auth.VerifyEmailOTPParams{Email: "ada@example.com", OTP: "000000"})
		return err
	}},
	{"a letter", true, func(e *authtest.Engine) error {
		return e.SendEmailOTP(client, auth.SendEmailOTPParams{Email: "ada@example.com"})
	}},
	{"a text message", false, func(e *authtest.Engine) error {
		return e.SendSMSOTP(client, auth.SendSMSOTPParams{PhoneNumber: "+41791234567"})
	}},
	{"a sign-up", true, func(e *authtest.Engine) error {
		_, err := e.SignInAnonymous(client, auth.SignInAnonymousParams{})
		return err
	}},
}

// client is who calls.
var client = auth.WithClient(context.Background(), auth.Client{Address: netip.MustParseAddr("198.51.100.1")})

// passes reports whether a limit lets an outcome pass, and fails the test if that is not known.
func passes(t *testing.T, err error) bool {
	t.Helper()
	if errors.Is(err, auth.ErrInternal) {
		t.Errorf("nothing was counted: %v", err)
	}
	return !errors.Is(err, auth.ErrTooManyRequests)
}

// RL-13: of fifty calls at the same moment to two replicas together exactly as many pass as the budget has.
func TestEnginesShareTheirLimits(t *testing.T) {
	t.Parallel()
	direct := connect(t)
	for _, x := range calls {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c := redislimit.Config{Prefix: prefix(t, direct), Secret: []byte("secret")}
			s := memstore.New()
			replicas := []*authtest.Engine{newEngine(t, s, newLimiter(t, connect(t), c)), newEngine(t, s, newLimiter(t, connect(t), c))}
			var passed atomic.Int64
			var all sync.WaitGroup
			for n := range 50 {
				all.Go(func() {
					if passes(t, x.make(replicas[n%2])) {
						passed.Add(1)
					}
				})
			}
			all.Wait()
			if n := passed.Load(); n != 30 {
				t.Errorf("%d passed, want 30", n)
			}
			for _, e := range replicas {
				if passes(t, x.make(e)) {
					t.Error("one more passed")
				}
			}
		})
	}
}

// RL-11, W22: without Redis each budget has its own way, and with a limiter to fall back upon each replica counts for itself.
// Nobody waits for longer than the limiter does: whoever did would wait for ever.
func TestEnginesWithoutRedis(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	_ = listener.Close()
	silent := newFake(t, func(string) string { return silence })
	for name, address := range map[string]string{"down": gone, "silent": silent.address} {
		for _, x := range calls {
			t.Run(name+", "+x.name, func(t *testing.T) {
				t.Parallel()
				l := newLimiter(t, newClient(t, at(address)), redislimit.Config{Timeout: impatient})
				e := newEngine(t, memstore.New(), l)
				for range 3 {
					err := x.make(e)
					if errors.Is(err, auth.ErrInternal) == x.failsOpen || errors.Is(err, auth.ErrTooManyRequests) {
						t.Errorf("%v, want it to fail open: %t", err, x.failsOpen)
					}
				}
				if n := len(e.Phone.All()); n > 0 {
					t.Errorf("%d text messages were sent", n)
				}
				e = newEngine(t, memstore.New(), limit.WithFallback(l, limit.NewMemory(limit.MemoryConfig{})))
				for n := range 32 {
					if passes(t, x.make(e)) != (n < 30) {
						t.Errorf("with a fallback, call %d", n+1)
					}
				}
			})
		}
	}
}

// While Redis stalls each replica counts for itself, from a budget that is full. When it answers again it knows what it knew.
func TestEnginesOutliveAStall(t *testing.T) {
	t.Parallel()
	direct := connect(t)
	p := newProxy(t, direct.Options().Addr)
	o := options(t)
	o.Addr = p.address
	c := redislimit.Config{Prefix: prefix(t, direct)}
	watch := newEngine(t, memstore.New(), newLimiter(t, direct, c)) // a replica whose way to Redis is another
	c.Timeout = 10 * impatient
	hasty, err := redislimit.New(newClient(t, o), c)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, memstore.New(), limit.WithFallback(hasty, limit.NewMemory(limit.MemoryConfig{})))
	password := calls[0]
	for n := range 20 {
		if !passes(t, password.make(watch)) {
			t.Fatalf("call %d", n+1)
		}
	}
	release := p.hold()
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if passes(t, password.make(e)) {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	release()
	if n := passed.Load(); n != 30 {
		t.Errorf("%d passed while Redis stalled, want 30", n)
	}
	// Redis may have counted calls whose answers came too late, and no others.
	left := 0
	for passes(t, password.make(watch)) {
		left++
	}
	if left > 10 {
		t.Errorf("%d were left of 30, of which 20 had been taken", left)
	}
	deadline := time.Now().Add(patient)
	for passes(t, password.make(e)) {
		if time.Now().After(deadline) {
			t.Fatal("Redis is not used again")
		}
	}
}

// A Redis that keeps nothing on disk has forgotten all counts when it comes back, as docs/abuse.md says, and counts from then on.
func TestARestartOfRedisForgetsWhatWasCounted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := at(s.address)
	o.DialTimeout = patient
	e := newEngine(t, memstore.New(), newLimiter(t, newClient(t, o), redislimit.Config{}))
	password := calls[0]
	count := func() string {
		passed := 0
		for passes(t, password.make(e)) {
			passed++
		}
		return fmt.Sprint(passed)
	}
	if n := count(); n != "30" {
		t.Fatalf("%s passed", n)
	}
	s.kill()
	if err := password.make(e); !errors.Is(err, auth.ErrInternal) {
		t.Errorf("without Redis: %v", err)
	}
	s.start(t)
	deadline := time.Now().Add(patient)
	for errors.Is(password.make(e), auth.ErrInternal) {
		if time.Now().After(deadline) {
			t.Fatal("Redis is not used again")
		}
	}
	if n := count(); n != "29" { // of which one has just been taken
		t.Errorf("%s passed after the restart, want 29", n)
	}
}
