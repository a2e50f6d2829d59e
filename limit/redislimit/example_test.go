package redislimit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/limit/redislimit"
)

// Replicas that use the same Redis, prefix and secret count together.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "redis.example.com:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	limiter, err := redislimit.New(client, redislimit.Config{
		Prefix: "accounts",
		Secret: []byte(os.Getenv("LIMIT_SECRET")),
		OnOutage: func(err error) {
			if err != nil {
				slog.Error("rate limits are unavailable", "error", err)
			} else {
				slog.Info("rate limits are available again")
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = limiter // a limit.Limiter
	// Output:
}

// Without Redis, each bucket decides for itself whether what it counts may go on.
func ExampleLimiter_Take_withoutRedis() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true}) // nobody is there
	defer client.Close()
	limiter, err := redislimit.New(client, redislimit.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	rate := limit.Rate{Burst: 10, Per: time.Minute}
	d, err := limiter.Take(context.Background(), limit.Take{Bucket: "code-account", Key: "jane@example.org", Rate: rate})
	fmt.Println(d.Allowed, err != nil)
	d, err = limiter.Take(context.Background(), limit.Take{Bucket: "read-client", Key: "192.0.2.1", Rate: rate, FailOpen: true})
	fmt.Println(d.Allowed, d.Degraded, err)
	// Output:
	// false true
	// true true <nil>
}
