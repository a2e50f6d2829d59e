package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"math"
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
		LettersPerClient:  rate(e, "EMAIL", 10, time.Hour),
		LettersShared:     e.flag("AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL", false),
		TextsPerClient:    rate(e, "SMS", 10, time.Hour),
		GuessesPerClient:  rate(e, "BRUTE_FORCE", 10, 5*time.Minute),
		SignUpsPerClient:  rate(e, "SIGNUPS", 10, 5*time.Minute),
	}
}

func rate(e *environment, name string, burst int, per time.Duration) limit.Rate {
	name = "AUTH_RATE_LIMIT_" + name
	return limit.Rate{
		Burst: e.number(name+"_BURST", burst, 1, math.MaxInt32),
		Per:   e.duration(name+"_INTERVAL", per, time.Second, 31*24*time.Hour),
	}
}

// counting is where limits are counted: in this process, unless there is a Redis.
type counting struct {
	redis  *redis.Options
	prefix string
	closed bool // what Redis cannot count is refused, and not counted here
}

func countingPlace(e *environment) counting {
	const name = "AUTH_RATE_LIMIT_REDIS_URL"
	c := counting{prefix: e.text("AUTH_RATE_LIMIT_REDIS_PREFIX", "auth")}
	text := e.text(name, "")
	switch policy := e.text("AUTH_RATE_LIMIT_REDIS_OUTAGE", "local"); policy {
	case "local", "refuse":
		c.closed = policy == "refuse"
	default:
		e.wrong("AUTH_RATE_LIMIT_REDIS_OUTAGE", "%q is neither local nor refuse", policy)
	}
	if text == "" {
		return c
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		e.wrong(name, "is not a URL such as redis://:password@localhost:6379/0") // the error may quote the password
		return c
	}
	options.ContextTimeoutEnabled = true
	c.redis = options
	return c
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
