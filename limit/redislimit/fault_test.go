package redislimit_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/redislimit"
)

// impatient is a timeout for calls that are meant to run into it.
const impatient = 30 * time.Millisecond

// at returns options for a server that waits for nothing but a context: whoever forgets that one hangs.
func at(address string) *redis.Options {
	return &redis.Options{
		Addr: address, ContextTimeoutEnabled: true,
		DialerRetries: 1, DialTimeout: time.Hour, ReadTimeout: time.Hour, WriteTimeout: time.Hour, PoolTimeout: time.Hour,
	}
}

// fails checks that nothing can be counted, and that each bucket has its way.
func fails(t *testing.T, l limit.Limiter) error {
	t.Helper()
	for _, takes := range [][]limit.Take{{guess}, {open, guess}, {guess, open}} { // RL-11
		if d, err := l.Take(t.Context(), takes...); !errors.Is(err, limit.ErrUnavailable) || d != (limit.Decision{}) {
			t.Errorf("%+v, %v; want ErrUnavailable", d, err)
		}
	}
	other := open
	other.Bucket = "other"
	for _, takes := range [][]limit.Take{{open}, {open, other}} {
		d, err := l.Take(t.Context(), takes...)
		if want := (limit.Decision{Allowed: true, Degraded: true}); err != nil || d != want {
			t.Errorf("what fails open: %+v, %v; want %+v", d, err, want)
		}
	}
	_, err := l.Take(t.Context(), guess)
	if err != nil && strings.Contains(err.Error(), guess.Key) {
		t.Errorf("the error shows a key: %v", err)
	}
	return err
}

func TestWithoutRedisEachBucketHasItsWay(t *testing.T) { // RL-11, W22
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	fails(t, newLimiter(t, newClient(t, at(address)), redislimit.Config{}))
}

func TestASlowRedisDelaysNothingBeyondTheTimeout(t *testing.T) {
	t.Parallel()
	silent := newFake(t, func(string) string { return silence })
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and does not even greet
	if err != nil {
		t.Fatal(err)
	}
	serve(t, mute, func(net.Conn) { <-t.Context().Done() })
	never := at("127.0.0.1:1")
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	never.Dialer = func(context.Context, string, string) (net.Conn, error) { // as a name server that is lost
		<-release
		return nil, errors.New("no such host")
	}
	one := at(silent.address) // of which another caller has the only connection
	one.PoolSize = 1
	for name, o := range map[string]*redis.Options{
		"no answer":     at(silent.address),
		"no greeting":   at(mute.Addr().String()),
		"no connection": never,
		"no room":       one,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLimiter(t, newClient(t, o), redislimit.Config{Timeout: impatient})
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() { _ = fails(t, l) })
			}
			all.Wait()
		})
	}
	t.Run("the default", func(t *testing.T) {
		t.Parallel()
		l, err := redislimit.New(newClient(t, at(silent.address)), redislimit.Config{})
		if err != nil {
			t.Fatal(err)
		}
		_ = fails(t, l)
	})
}

func TestASlowRedisIsUsedAgainWhenItAnswers(t *testing.T) {
	t.Parallel()
	direct := connect(t)
	p := newProxy(t, direct.Options().Addr)
	o := options(t)
	o.Addr = p.address
	client := newClient(t, o)
	config := redislimit.Config{Prefix: prefix(t, direct)}
	calm := newLimiter(t, client, config)
	config.Timeout = impatient
	hasty := newLimiter(t, client, config)
	take(t, calm, guess)
	release := p.hold()
	fails(t, hasty)
	release()
	// Answers that came too late are not taken for those of other calls.
	for i := range 20 {
		d := take(t, calm, limit.Take{Bucket: "after", Rate: limit.Rate{Burst: 100, Per: time.Hour}})
		if d.Bucket != "after" || d.Remaining != 99-i {
			t.Fatalf("call %d: %+v", i, d)
		}
	}
}

func TestACallerWhoGivesUpIsNoOutage(t *testing.T) {
	t.Parallel()
	silent := newFake(t, func(string) string { return silence })
	var told outages
	l := newLimiter(t, newClient(t, at(silent.address)), redislimit.Config{Timeout: time.Hour, OnOutage: told.tell})

	ctx, cancel := context.WithTimeout(t.Context(), impatient)
	defer cancel()
	if d, err := l.Take(ctx, open); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, limit.ErrUnavailable) || d.Allowed {
		t.Errorf("%+v, %v; want DeadlineExceeded and nothing else", d, err)
	}
	// The client does not notice that somebody gives up before the deadline, but the limiter knows the difference when its
	// own has passed.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	impolite := newFake(t, func(string) string { cancel(); return silence })
	l = newLimiter(t, newClient(t, at(impolite.address)), redislimit.Config{Timeout: 10 * impatient, OnOutage: told.tell})
	if d, err := l.Take(ctx, open); !errors.Is(err, context.Canceled) || errors.Is(err, limit.ErrUnavailable) || d.Allowed {
		t.Errorf("%+v, %v; want Canceled and nothing else", d, err)
	}
	if told.String() != "" {
		t.Errorf("outages: %s, want none", &told)
	}
}

func TestAnAnswerThatMakesNoSenseIsNoPermission(t *testing.T) {
	t.Parallel()
	const hour = "3600000000"
	good := "*4\r\n:1\r\n:0\r\n:4\r\n:720000000\r\n"
	for name, answer := range map[string]string{
		"another protocol": "HTTP/1.1 400 Bad Request\r\n\r\n",
		"an error":         "-ERR no\r\n",
		"OK":               "+OK\r\n",
		"nil":              "$-1\r\n",
		"a number":         ":1\r\n",
		"an empty list":    "*0\r\n",
		"three numbers":    "*3\r\n:1\r\n:0\r\n:4\r\n",
		"five numbers":     "*5\r\n:1\r\n:0\r\n:4\r\n:0\r\n:0\r\n",
		"words":            "*4\r\n+a\r\n+b\r\n+c\r\n+d\r\n",
		"no bucket":        strings.Replace(good, ":1", ":0", 1),
		"another bucket":   strings.Replace(good, ":1", ":4", 1),
		"a negative wait":  strings.Replace(good, ":0", ":-1", 1),
		"a long wait":      strings.Replace(good, ":0", ":"+hour+"1", 1),
		"less than none":   strings.Replace(good, ":4", ":-1", 2),
		"more than all":    strings.Replace(good, ":4", ":6", 2),
		"a negative reset": strings.Replace(good, ":720000000", ":-1", 1),
		"a late reset":     strings.Replace(good, ":720000000", ":"+hour+"1", 1),
		"half an answer":   good[:12],
		"nothing":          "",
		"noise":            "\xff\xfe\x00\x01\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(string) string { return answer })
			l := newLimiter(t, newClient(t, at(f.address)), redislimit.Config{Timeout: 10 * impatient})
			fails(t, l)
		})
	}
	f := newFake(t, func(string) string { return good })
	d := take(t, newLimiter(t, newClient(t, at(f.address)), redislimit.Config{}), guess)
	want := limit.Decision{Allowed: true, Bucket: "guess", Rate: perHour, Remaining: 4, Reset: 12 * time.Minute}
	if d != want {
		t.Errorf("an answer that makes sense: %+v, want %+v", d, want)
	}
}

func TestACallIsOneRoundTripAndSentOnce(t *testing.T) {
	t.Parallel()
	const good = "*4\r\n:1\r\n:0\r\n:4\r\n:720000000\r\n"
	const noScript = "-NOSCRIPT No matching script. Please use EVAL.\r\n"
	for name, tt := range map[string]struct {
		digest, script string // the answers
		want           string
	}{
		"as ever":             {good, "", "EVALSHA"},
		"without the script":  {noScript, good, "EVALSHA EVAL"},
		"without any scripts": {noScript, noScript, "EVALSHA EVAL"},
		"an error":            {"-ERR no\r\n", good, "EVALSHA"},
		"a lost connection":   {"", good, "EVALSHA"},
		"a busy server":       {"-LOADING Redis is loading the dataset in memory\r\n", good, "EVALSHA"},
		"a replica":           {"-READONLY You can't write against a read only replica.\r\n", good, "EVALSHA"},
		"lost the second":     {noScript, "", "EVALSHA EVAL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(command string) string {
				if command == "EVALSHA" {
					return tt.digest
				}
				return tt.script
			})
			l := newLimiter(t, newClient(t, at(f.address)), redislimit.Config{})
			for range 3 {
				_, err := l.Take(t.Context(), guess, number, open)
				if ok := tt.digest == good || tt.digest == noScript && tt.script == good; ok != (err == nil) {
					t.Errorf("error %v", err)
				}
				if got := f.seen(); got != tt.want {
					t.Errorf("commands %s, want %s", got, tt.want)
				}
			}
		})
	}
}

func TestRedisRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := at(s.address)
	o.DialTimeout = patient
	var told outages
	c := authtest.NewClock()
	l := newLimiter(t, newClient(t, o), redislimit.Config{OnOutage: told.tell})
	l.UseOutageClock(c.Now)
	for range 5 {
		take(t, l, guess)
	}
	if d := take(t, l, guess); d.Allowed {
		t.Errorf("%+v, want it refused", d)
	}

	s.kill()
	fails(t, l)
	if told.String() != "-" {
		t.Errorf("outages: %s, want one that has begun", &told)
	}

	// It has lost the script, the connections and, since it keeps nothing, the budgets.
	s.start(t)
	if d, err := l.Take(t.Context(), guess); err == nil && d.Remaining != 4 {
		t.Errorf("%+v, want a new budget", d)
	}
	c.Advance(redislimit.Calm)
	deadline := time.Now().Add(patient)
	for {
		if _, err := l.Take(t.Context(), guess); err == nil {
			break
		}
		c.Advance(redislimit.Calm)
		if time.Now().After(deadline) {
			t.Fatal("Redis is not used again")
		}
	}
	take(t, l, guess)
	c.Advance(redislimit.Calm)
	take(t, l, guess)
	if told.String() != "-+" {
		t.Errorf("outages: %s, want one that is over", &told)
	}
}

// A script that is lost while the server lives, as by SCRIPT FLUSH or a failover, costs one round trip and no budget.
func TestALostScriptChangesNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := newClient(t, at(s.address))
	l := newLimiter(t, client, redislimit.Config{})
	for i := range 5 {
		if d := take(t, l, guess); d.Remaining != 4-i {
			t.Errorf("%d remain, want %d", d.Remaining, 4-i)
		}
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if d := take(t, l, guess); d.Allowed {
		t.Errorf("%+v, want it refused", d)
	}
}

// The rights are those that docs/operations.md names.
func TestItNeedsFewRights(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	user := []any{"acl", "setuser", "limiter", "on", ">password", "~{limit}:*"}
	for _, right := range []string{"+eval", "+evalsha", "+get", "+set", "+del", "+time", "+hello"} {
		user = append(user, right)
	}
	if err := newClient(t, at(s.address)).Do(t.Context(), user...).Err(); err != nil {
		t.Fatal(err)
	}
	o := at(s.address)
	o.Username, o.Password = "limiter", "password"
	client := newClient(t, o)
	l := newLimiter(t, client, redislimit.Config{})
	take(t, l, guess, number)
	back := guess
	back.Cost = -1
	if d := take(t, l, back); d.Remaining != 5 {
		t.Errorf("%+v, want all of it back", d)
	}
	if err := client.FlushAll(t.Context()).Err(); err == nil {
		t.Error("the user has more rights than it should")
	}
	if _, err := newLimiter(t, client, redislimit.Config{Prefix: "other"}).Take(t.Context(), guess); err == nil {
		t.Error("the user has rights to other keys")
	}
}

func TestACallForSeveralBucketsIsOneStepInACluster(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--cluster-enabled", "yes")
	direct := newClient(t, at(s.address))
	if err := direct.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patient)
	for {
		info, err := direct.ClusterInfo(t.Context()).Result()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the cluster does not start: %v\n%s", err, info)
		}
		if strings.Contains(info, "cluster_state:ok") {
			break
		}
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.address}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	l := newLimiter(t, client, redislimit.Config{Prefix: "limit-of:this"})
	for i := range 5 {
		if d := take(t, l, guess, number, open); !d.Allowed || d.Remaining != 4-i {
			t.Errorf("%+v, want it allowed", d)
		}
	}
	if d := take(t, l, guess, number, open); d.Allowed {
		t.Errorf("%+v, want it refused", d)
	}
}

func TestAnOutageIsToldOnceHoweverManyCallsFail(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	works := true
	set := func(w bool) {
		mu.Lock()
		defer mu.Unlock()
		works = w
	}
	f := newFake(t, func(string) string {
		mu.Lock()
		defer mu.Unlock()
		if works {
			return "*4\r\n:1\r\n:0\r\n:4\r\n:720000000\r\n"
		}
		return "-ERR no\r\n"
	})
	var told outages
	c := authtest.NewClock()
	l := newLimiter(t, newClient(t, at(f.address)), redislimit.Config{OnOutage: told.tell})
	l.UseOutageClock(c.Now)
	call := func(n int) {
		var all sync.WaitGroup
		for range n {
			all.Go(func() { _, _ = l.Take(t.Context(), open) })
		}
		all.Wait()
	}
	for _, step := range []struct {
		works bool
		pass  time.Duration
		want  string
	}{
		{true, 0, ""},
		{false, 0, "-"},
		{false, redislimit.Calm, "-"}, // it lasts
		{true, redislimit.Calm - 1, "-"},
		{false, 0, "-"}, // it staggers
		{true, 0, "-"},
		{true, redislimit.Calm - 1, "-"},
		{true, 1, "-+"},
		{true, redislimit.Calm, "-+"},
		{false, 0, "-+-"},
		{true, redislimit.Calm, "-+-+"},
	} {
		set(step.works)
		c.Advance(step.pass)
		call(20)
		if told.String() != step.want {
			t.Fatalf("outages: %s, want %s", &told, step.want)
		}
	}
	for _, err := range told.told {
		if err != nil && !strings.Contains(err.Error(), "ERR no") {
			t.Errorf("told %v, want the server's error", err)
		}
	}
}
