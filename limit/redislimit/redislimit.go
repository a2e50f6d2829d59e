// Package redislimit counts in Redis, version 6 or later, or in a server that speaks its protocol and has its scripts, so
// that all replicas of a service share their limits.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis:6379", ContextTimeoutEnabled: true})
//	limiter, err := redislimit.New(client, redislimit.Config{Secret: secret})
//
// # One step
//
// A call is one script and one round trip (EVALSHA; one more whenever the server has lost the script), and Redis runs one
// script at a time. It is sent once and never repeated by the client, because nobody knows whether a call without an answer
// was counted: what fails has been counted once or not at all.
//
// # The clock
//
// Time is Redis' own (TIME), because replicas' clocks differ: one that is ahead would refill the budget for all. A clock
// that is set back, or that of a replica which takes over and is behind, refills nothing and keeps nobody waiting for
// longer than a whole budget takes.
//
// # What lies in Redis
//
// A key is {prefix}:bucket:hash. What was counted, such as an address, is in the hash and nowhere else: 128 bits of
// HMAC-SHA-256. Without [Config.Secret] anybody who reads the keys can find a telephone number by trying all of them. The
// value says how much is missing since when, some 40 bytes. A key expires when its bucket is full again, which is within
// a second of its rate's Per.
//
// All keys of a limiter have one hash tag, the prefix in braces. So in a Redis Cluster they are in one slot and on one
// node, which is what makes a call that needs several buckets one step there, too. Who needs more than a node can do has
// several limiters with different prefixes, for buckets that never meet in a call.
//
// Redis must not evict: with a maxmemory-policy other than noeviction or volatile-*, or with volatile-* and other keys that
// expire in the same server, a flood of keys makes it forget budgets that are used up. Replication is asynchronous: what
// was counted in the last moments before a failover may be forgotten.
//
// # When Redis does not answer
//
// A call takes no longer than [Config.Timeout]. What happens to one that was not answered in time, or not properly, is
// for each bucket to say: [limit.Take.FailOpen]. The zero value is an error, [limit.ErrUnavailable]. [Config.OnOutage] is
// told when that begins and ends, and not for each call.
package redislimit

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ostiary/auth/limit"
)

const (
	defaultPrefix  = "limit"
	defaultTimeout = 100 * time.Millisecond
)

// Config configures a [Limiter]. Its zero value works. It prints without its secret, whatever the verb.
type Config struct {
	// Prefix begins the name of every key and sets limiters apart that share a Redis. The default is "limit". It
	// must not contain braces.
	Prefix string

	// Secret keys the hash of what is counted. All replicas need the same. With another one, all budgets begin anew.
	Secret []byte

	// Timeout bounds a call, with waiting for a connection, making one, and a second round trip where that is needed.
	// The default is 100 milliseconds. The deadline of a context counts as well if it is earlier; that a context is cancelled is
	// noticed when the answer comes or Timeout has passed.
	Timeout time.Duration

	// OnOutage is called with the error when a call fails for the first time, and with nil at the first success after ten
	// seconds without another failure: twice per outage, however many calls fail and however the server staggers. Calls
	// that fail wait for it, so it should do no more than write a log. It may be nil.
	OnOutage func(err error)
}

const redacted = "redislimit.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Limiter is a [limit.Limiter] that counts in Redis.
type Limiter struct {
	client  redis.UniversalClient
	prefix  string
	secret  []byte
	timeout time.Duration
	outage  outage

	now  func() time.Time // in tests, in place of Redis' clock
	slop time.Duration    // for how much longer than needed a key lives
}

// New returns a limiter that uses client, which remains the caller's to close.
//
// The client must have ContextTimeoutEnabled, or no timeout of a context would reach its connections. The error names
// every mistake.
func New(client redis.UniversalClient, c Config) (*Limiter, error) {
	var mistakes []error
	wrong := func(text string) { mistakes = append(mistakes, errors.New("redislimit: "+text)) }
	bounded := true
	switch client := client.(type) {
	case nil:
		wrong("no client")
	case *redis.Client:
		bounded = client.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		bounded = client.Options().ContextTimeoutEnabled
	case *redis.Ring:
		bounded = client.Options().ContextTimeoutEnabled
	}
	if !bounded {
		wrong("the client must have ContextTimeoutEnabled")
	}
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if strings.ContainsAny(c.Prefix, "{}") {
		wrong("Prefix must not contain braces")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < 0 {
		wrong("Timeout must not be negative")
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return &Limiter{
		client: client, prefix: "{" + c.Prefix + "}:", secret: append([]byte(nil), c.Secret...), timeout: c.Timeout,
		outage: outage{notify: c.OnOutage, now: time.Now},
		slop:   time.Second,
	}, nil
}

// Take implements [limit.Limiter].
func (l *Limiter) Take(ctx context.Context, takes ...limit.Take) (limit.Decision, error) {
	if err := limit.Check(takes...); err != nil {
		return limit.Decision{}, err
	}
	d, err := l.ask(ctx, takes) // does nothing if ctx has ended
	if err == nil {
		l.outage.worked()
		return d, nil
	}
	// The caller's impatience is not Redis' fault.
	if err := ended(ctx); err != nil {
		return limit.Decision{}, err
	}
	err = fmt.Errorf("redislimit: %w", err)
	l.outage.failed(err)
	return limit.Unavailable(err, takes...)
}

// ended returns an error if ctx has ended. A connection may notice its deadline a little earlier than ctx does.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if deadline, ok := ctx.Deadline(); ok && err == nil && !time.Now().Before(deadline) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("redislimit: %w", err)
	}
	return nil
}

//go:embed take.lua
var source string

// Redis knows scripts by their SHA-1.
var digest = func() string {
	sum := sha1.Sum([]byte(source))
	return hex.EncodeToString(sum[:])
}()

// ask runs the script.
func (l *Limiter) ask(ctx context.Context, takes []limit.Take) (limit.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()

	args := make([]any, 0, 5+6*len(takes))
	args = append(args, "evalsha", digest, len(takes))
	for i := range takes {
		args = append(args, l.key(&takes[i]))
	}
	now := ""
	if l.now != nil {
		now = fmt.Sprint(l.now().UnixMicro())
	}
	args = append(args, now, l.slop.Milliseconds())
	for i := range takes {
		t := &takes[i]
		back, token := t.Rate.LowestTerms()
		args = append(args, token, back, int64(t.Rate.Burst)*token, int64(t.Amount())*token, t.Peek)
	}

	answer, err := l.run(ctx, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		args[0], args[1] = "eval", source
		answer, err = l.run(ctx, args)
	}
	if err != nil {
		return limit.Decision{}, err
	}
	return decision(answer, takes)
}

// once is a command that the client does not send again when it gets no answer.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

func (l *Limiter) run(ctx context.Context, args []any) ([]int64, error) {
	cmd := once{redis.NewCmd(ctx, args...)}
	cmd.SetFirstKeyPos(3)
	if err := l.client.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Int64Slice()
}

// decision reads the script's answer. It believes nothing that no bucket of takes could be.
func decision(answer []int64, takes []limit.Take) (limit.Decision, error) {
	if len(answer) != 4 || answer[0] < 1 || answer[0] > int64(len(takes)) {
		return limit.Decision{}, errAnswer
	}
	t := &takes[answer[0]-1]
	wait, left, reset, per := answer[1], answer[2], answer[3], t.Rate.Per.Microseconds()
	if wait < 0 || wait > per || left < 0 || left > int64(t.Rate.Burst) || reset < 0 || reset > per {
		return limit.Decision{}, errAnswer
	}
	return limit.Decision{
		Allowed: wait == 0, Bucket: t.Bucket, Rate: t.Rate, Remaining: int(left),
		RetryAfter: time.Duration(wait) * time.Microsecond, Reset: time.Duration(reset) * time.Microsecond,
	}, nil
}

var errAnswer = errors.New("unexpected answer")

// key returns the name of a bucket in Redis.
func (l *Limiter) key(t *limit.Take) string {
	h := hmac.New(sha256.New, l.secret)
	_, _ = io.WriteString(h, t.Bucket)
	_, _ = h.Write([]byte{0}) // is in no name
	_, _ = io.WriteString(h, t.Key)
	return l.prefix + t.Bucket + ":" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
