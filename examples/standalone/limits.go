package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/redislimit"
)

// limits reads how often something may happen. Each documented limit is one of the engine's for clients.
func limits(e *environment) auth.LimitsConfig {
	return auth.LimitsConfig{
		Off:               !e.flag("AUTH_RATE_LIMIT_ENABLE", true),
		RequestsPerClient: rate(e, "GLOBAL", 100, time.Minute),
		EmailsPerClient:   rate(e, "EMAIL", 10, time.Hour),
		EmailsShared:      e.flag("AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL", false),
		SMSPerClient:      rate(e, "SMS", 10, time.Hour),
		GuessesPerClient:  rate(e, "BRUTE_FORCE", 10, 5*time.Minute),
		SignUpsPerClient:  rate(e, "SIGNUPS", 10, 5*time.Minute),
	}
}

func rate(e *environment, name string, burst int, per time.Duration) limit.Rate {
	name = "AUTH_RATE_LIMIT_" + name
	r := limit.Rate{
		Burst: e.number(name+"_BURST", burst, 1, math.MaxInt32),
		Per:   e.duration(name+"_INTERVAL", per, time.Second, 31*24*time.Hour),
	}
	if err := r.Check(); err != nil {
		e.wrong(name+"_BURST", "%v: choose rounder numbers", err)
		return limit.Rate{Burst: burst, Per: per}
	}
	return r
}

// counting is where limits are counted: in this process, unless there is a Redis.
type counting struct {
	redis  *redis.Options
	prefix string
	closed bool // what Redis cannot count is refused, and not counted here
}

// countingPlace reads where limits are to be counted, and what the operator should know of that. No mistake and no warning
// repeats the URL, because a password may stand in it.
func countingPlace(e *environment) (c counting, warnings []string) {
	const (
		server = "AUTH_RATE_LIMIT_REDIS_URL"
		prefix = "AUTH_RATE_LIMIT_REDIS_PREFIX"
		outage = "AUTH_RATE_LIMIT_REDIS_OUTAGE"
	)
	c.prefix = e.text(prefix, "auth")
	if strings.ContainsAny(c.prefix, "{}") {
		e.wrong(prefix, "%q has a brace", c.prefix)
	}
	switch policy := e.text(outage, "local"); policy {
	case "local", "refuse":
		c.closed = policy == "refuse"
	default:
		e.wrong(outage, "%q is neither local nor refuse", policy)
	}
	text := e.text(server, "")
	if text == "" {
		for _, name := range []string{prefix, outage} {
			if e.text(name, "") != "" {
				warnings = append(warnings, name+" has no effect: "+server+" is not set")
			}
		}
		return c, warnings
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		e.wrong(server, "is not a URL such as redis://:password@localhost:6379/0") // the error may quote the password
		return c, warnings
	}
	options.ContextTimeoutEnabled = true
	c.redis = options
	return c, warnings
}

// open returns what counts, nil for the engine's own, and what closes it.
func (c counting) open(secret auth.Secret, log *slog.Logger) (limit.Limiter, func() error, error) {
	if c.redis == nil {
		return nil, func() error { return nil }, nil
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("standalone: keys of limits"))
	client := redis.NewClient(c.redis)
	limiter, err := redislimit.New(client, redislimit.Config{
		Prefix: c.prefix,
		Secret: mac.Sum(nil),
		OnOutage: func(err error) {
			if err != nil {
				log.Error("Redis does not count limits", slog.Any("error", err), slog.Bool("counted in this process", !c.closed))
				return
			}
			log.Info("Redis counts limits again")
		},
	})
	switch {
	case err != nil:
		return nil, client.Close, err
	case c.closed:
		return limiter, client.Close, nil
	}
	return limit.WithFallback(limiter, limit.NewMemory(limit.MemoryConfig{})), client.Close, nil
}
