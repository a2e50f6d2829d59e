package redislimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/limittest"
	"github.com/ostiary/auth/limit/redislimit"
)

// patient is a timeout for calls that are meant to succeed, on a machine that is busy.
const patient = 30 * time.Second

var (
	perHour = limit.Rate{Burst: 5, Per: time.Hour}
	guess   = limit.Take{Bucket: "guess", Key: "jane@example.org", Rate: perHour}
	number  = limit.Take{Bucket: "sms-number", Key: "+41791234567", Rate: perHour}
	open    = limit.Take{Bucket: "open", Key: "192.0.2.1", Rate: perHour, FailOpen: true}
)

// options say where the Redis is that the tests use, each with a prefix of its own.
func options(t testing.TB) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(need.RedisURL())
	if err != nil {
		t.Fatal(err)
	}
	o.ContextTimeoutEnabled = true
	return o
}

// connect returns a client.
func connect(t testing.TB) *redis.Client {
	t.Helper()
	client := newClient(t, options(t))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		need.Missing(t, fmt.Errorf("no Redis, set AUTH_TEST_REDIS: %w", err))
	}
	return client
}

func newClient(t testing.TB, o *redis.Options) *redis.Client {
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// prefix returns one whose keys are removed after the test.
func prefix(t testing.TB, client redis.UniversalClient) string {
	p := fmt.Sprintf("limit_test_%016x", rand.Uint64())
	t.Cleanup(func() {
		for _, key := range keys(t, client, p) {
			if err := client.Del(context.Background(), key).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

func keys(t testing.TB, client redis.UniversalClient, prefix string) []string {
	t.Helper()
	var all []string
	found := client.Scan(context.Background(), 0, "{"+prefix+"}:*", 1000).Iterator()
	for found.Next(context.Background()) {
		all = append(all, found.Val())
	}
	if err := found.Err(); err != nil {
		t.Error(err)
	}
	return all
}

func newLimiter(t testing.TB, client redis.UniversalClient, c redislimit.Config) *redislimit.Limiter {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = patient
	}
	l, err := redislimit.New(client, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func take(t testing.TB, l limit.Limiter, takes ...limit.Take) limit.Decision {
	t.Helper()
	d, err := l.Take(t.Context(), takes...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheContract(t *testing.T) {
	t.Parallel()
	client := connect(t)
	limittest.Run(t, func(t *testing.T, now func() time.Time) limit.Limiter {
		l := newLimiter(t, client, redislimit.Config{Prefix: prefix(t, client)})
		l.UseClock(now)
		return l
	})
}

// Two replicas, with clients of their own, count together.
func TestReplicasShareABudget(t *testing.T) { // RL-13
	t.Parallel()
	client := connect(t)
	c := redislimit.Config{Prefix: prefix(t, client), Secret: []byte("secret")}
	replicas := []limit.Limiter{newLimiter(t, client, c), newLimiter(t, connect(t), c)}
	var mu sync.Mutex
	var all sync.WaitGroup
	allowed := 0
	for i := range 50 {
		all.Go(func() {
			d, err := replicas[i%2].Take(t.Context(), guess, number)
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if allowed != 5 {
		t.Errorf("%d of 50 were allowed, want 5", allowed)
	}
}

// Without a clock of the tests, time passes as Redis says.
func TestTimeIsRedisOwn(t *testing.T) {
	t.Parallel()
	client := connect(t)
	l := newLimiter(t, client, redislimit.Config{Prefix: prefix(t, client)})
	before, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	all := guess
	all.Cost = 5
	take(t, l, all)
	after, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	value, err := client.Get(t.Context(), l.Key(&guess)).Result()
	if err != nil {
		t.Fatal(err)
	}
	var at, owed, back int64
	if _, err := fmt.Sscanf(value, "%d %d %d", &at, &owed, &back); err != nil {
		t.Fatal(err)
	}
	if at < before.UnixMicro() || at > after.UnixMicro() {
		t.Errorf("counted at %d, between %d and %d", at, before.UnixMicro(), after.UnixMicro())
	}
	if owed/back != time.Hour.Microseconds() {
		t.Errorf("%d µs are owed, want an hour", owed/back)
	}

	// A budget that is back after a moment is back after waiting for it.
	fast := limit.Take{Bucket: "fast", Rate: limit.Rate{Burst: 1, Per: 50 * time.Millisecond}}
	for range 3 {
		for d := take(t, l, fast); !d.Allowed; d = take(t, l, fast) {
			if d.RetryAfter > 50*time.Millisecond {
				t.Fatalf("RetryAfter is %v", d.RetryAfter)
			}
		}
	}
}

func TestNothingThatIsCountedCanBeReadInRedis(t *testing.T) {
	t.Parallel()
	client := connect(t)
	names := map[string]string{}
	for _, secret := range []string{"", "secret", "another"} {
		p := prefix(t, client)
		l := newLimiter(t, client, redislimit.Config{Prefix: p, Secret: []byte(secret)})
		take(t, l, guess, number)
		found := keys(t, client, p)
		if len(found) != 2 {
			t.Fatalf("%d keys, want 2", len(found))
		}
		for _, key := range found {
			value, err := client.Get(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, clear := range []string{"jane", "example", "4179", "1234567"} {
				if strings.Contains(key+value, clear) {
					t.Errorf("%s: %s shows %s", key, value, clear)
				}
			}
			name := strings.TrimPrefix(key, "{"+p+"}:")
			if other, exists := names[name]; exists {
				t.Errorf("%s is the same with the secrets %q and %q", name, other, secret)
			}
			names[name] = secret
		}
	}
	// Nor can it be seen that two buckets count the same.
	l := newLimiter(t, client, redislimit.Config{})
	hashes := map[string]bool{}
	for _, of := range []limit.Take{{Bucket: "a", Key: "bc"}, {Bucket: "b", Key: "bc"}, {Bucket: "ab", Key: "c"}} {
		key := l.Key(&of)
		hashes[key[strings.LastIndex(key, ":"):]] = true
	}
	if len(hashes) != 3 {
		t.Errorf("%d different hashes, want 3", len(hashes))
	}
	if text := fmt.Sprintf("%v %+v %#v", redislimit.Config{Secret: []byte("hush")}, redislimit.Config{Secret: []byte("hush")}, redislimit.Config{Secret: []byte("hush")}); strings.Contains(text, "hush") || strings.Contains(text, "104") {
		t.Errorf("the configuration prints as %s", text)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", redislimit.Config{Secret: []byte("hush")})
	if err := json.NewEncoder(&log).Encode(redislimit.Config{Secret: []byte("hush")}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "hush") || strings.Contains(log.String(), "aHVzaA") {
		t.Errorf("the configuration is logged as %s", log.String())
	}
}

func TestKeysExpireWhenTheirBucketsAreFull(t *testing.T) { // RL-12
	t.Parallel()
	client := connect(t)
	p := prefix(t, client)
	l := newLimiter(t, client, redislimit.Config{Prefix: p})
	life := func(t *testing.T, of limit.Take) time.Duration {
		t.Helper()
		d, err := client.PTTL(t.Context(), l.Key(&of)).Result()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	within := func(of limit.Take, want time.Duration) {
		t.Helper()
		if got := life(t, of); got > want+time.Second+time.Millisecond || got < want-10*time.Minute {
			t.Errorf("a key of %s lives for %v, want %v", of.Bucket, got, want)
		}
	}
	month := limit.Take{Bucket: "month", Rate: limit.Rate{Burst: 100, Per: 30 * 24 * time.Hour}, Cost: 100}
	take(t, l, guess, month)
	within(guess, 12*time.Minute)
	within(month, 30*24*time.Hour)
	take(t, l, guess)
	within(guess, 24*time.Minute)

	// What is full is no key at all.
	back, look := guess, number
	back.Cost, look.Peek = -5, true
	take(t, l, back, look)
	if n, err := client.Exists(t.Context(), l.Key(&guess), l.Key(&number)).Result(); err != nil || n != 0 {
		t.Errorf("%d keys of full buckets, %v", n, err)
	}

	// One whose need is over is removed by Redis itself.
	brief := limit.Take{Bucket: "brief", Rate: limit.Rate{Burst: 1, Per: time.Millisecond}}
	take(t, l, brief)
	deadline := time.Now().Add(patient)
	for life(t, brief) != -2 {
		if time.Now().After(deadline) {
			t.Fatal("a key never expires")
		}
	}
}

func TestAKeyThatIsSomethingElseIsNotTakenForABudget(t *testing.T) {
	t.Parallel()
	client := connect(t)
	l := newLimiter(t, client, redislimit.Config{Prefix: prefix(t, client)})
	key := l.Key(&guess)
	for name, set := range map[string]func() error{
		"a word":          func() error { return client.Set(t.Context(), key, "hello", 0).Err() },
		"nothing":         func() error { return client.Set(t.Context(), key, "", 0).Err() },
		"two numbers":     func() error { return client.Set(t.Context(), key, "1 2", 0).Err() },
		"a rate of zero":  func() error { return client.Set(t.Context(), key, "1 2 0", 0).Err() },
		"negative":        func() error { return client.Set(t.Context(), key, "1 -2 3", 0).Err() },
		"a list":          func() error { return client.RPush(t.Context(), key, "1").Err() },
		"something after": func() error { return client.Set(t.Context(), key, "1 2 3\n", 0).Err() },
	} {
		if err := client.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
		if err := set(); err != nil {
			t.Fatal(err)
		}
		if d, err := l.Take(t.Context(), number, guess); !errors.Is(err, limit.ErrUnavailable) || d.Allowed {
			t.Errorf("%s: %+v, %v; want ErrUnavailable", name, d, err)
		}
	}
	if n, err := client.Exists(t.Context(), l.Key(&number)).Result(); err != nil || n != 0 {
		t.Errorf("the other bucket was counted: %d, %v", n, err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	good := newClient(t, &redis.Options{ContextTimeoutEnabled: true})
	for name, tt := range map[string]struct {
		client redis.UniversalClient
		config redislimit.Config
		want   []string
	}{
		"no client":        {nil, redislimit.Config{}, []string{"no client"}},
		"a deaf client":    {newClient(t, &redis.Options{}), redislimit.Config{}, []string{"ContextTimeoutEnabled"}},
		"a deaf cluster":   {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}}), redislimit.Config{}, []string{"ContextTimeoutEnabled"}},
		"a deaf ring":      {redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}}), redislimit.Config{}, []string{"ContextTimeoutEnabled"}},
		"braces":           {good, redislimit.Config{Prefix: "a{b}"}, []string{"braces"}},
		"a negative time":  {good, redislimit.Config{Timeout: -1}, []string{"Timeout"}},
		"several mistakes": {nil, redislimit.Config{Timeout: -1, Prefix: "}"}, []string{"no client", "braces", "Timeout"}},
	} {
		l, err := redislimit.New(tt.client, tt.config)
		if err == nil || l != nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not speak of %q", name, err, want)
			}
		}
		if tt.client != nil && tt.client != redis.UniversalClient(good) {
			_ = tt.client.Close()
		}
	}
}

func BenchmarkRedis(b *testing.B) {
	client := connect(b)
	many := limit.Rate{Burst: 1_000_000, Per: time.Second}
	four := []limit.Take{
		{Bucket: "client", Key: "192.0.2.1", Rate: many},
		{Bucket: "account", Key: "jane@example.org", Rate: many},
		{Bucket: "prefix", Key: "+41", Rate: many},
		{Bucket: "global", Rate: many},
	}
	l := newLimiter(b, client, redislimit.Config{Prefix: prefix(b, client), Secret: []byte("secret")})
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("a bare round trip", func() error { return client.Ping(b.Context()).Err() })
	run("one", func() error { _, err := l.Take(b.Context(), four[:1]...); return err })
	run("four", func() error { _, err := l.Take(b.Context(), four...); return err })
}
