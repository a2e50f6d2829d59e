package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/ostiary/auth/limit"
)

// Of guesses, only those that are wrong count: for the account, so that many clients do not get further than one, and for
// the client, so that it does not get further with many accounts.
func ExampleLimiter_guesses() {
	ctx := context.Background()
	limiter := limit.NewMemory(limit.MemoryConfig{})

	check := func(client, account string, right bool) string {
		guess := []limit.Take{
			{Bucket: "password-client", Key: client, Rate: limit.Rate{Burst: 20, Per: 5 * time.Minute}},
			{Bucket: "password-account", Key: account, Rate: limit.Rate{Burst: 3, Per: 30 * time.Minute}},
		}
		d, err := limiter.Take(ctx, guess...)
		if err != nil {
			return err.Error()
		}
		if !d.Allowed {
			return fmt.Sprintf("%s: wait %v", d.Bucket, d.RetryAfter.Round(time.Second))
		}
		if !right { // the comparison comes after the withdrawal
			return fmt.Sprintf("wrong, %d left", d.Remaining)
		}
		guess[0].Cost = -1
		guess[1].Cost = -guess[1].Rate.Burst // a success forgives what came before it
		if _, err := limiter.Take(ctx, guess...); err != nil {
			return err.Error()
		}
		return "welcome"
	}

	fmt.Println(check("192.0.2.1", "jane@example.org", false))
	fmt.Println(check("192.0.2.1", "jane@example.org", true))
	for i := range 4 {
		fmt.Println(check(fmt.Sprintf("198.51.100.%d", i), "jane@example.org", false))
	}
	// Output:
	// wrong, 2 left
	// welcome
	// wrong, 2 left
	// wrong, 1 left
	// wrong, 0 left
	// password-account: wait 10m0s
}

// A text message counts against everything that it could be abused for, or against nothing if it is not sent.
func ExampleMemory() {
	limiter := limit.NewMemory(limit.MemoryConfig{})
	send := func(number string) limit.Decision {
		d, err := limiter.Take(context.Background(),
			limit.Take{Bucket: "sms-number", Key: number, Rate: limit.Rate{Burst: 3, Per: time.Hour}},
			limit.Take{Bucket: "sms-country", Key: number[:3], Rate: limit.Rate{Burst: 4, Per: time.Hour}},
			limit.Take{Bucket: "sms-global", Rate: limit.Rate{Burst: 1000, Per: 24 * time.Hour}},
		)
		if err != nil {
			fmt.Println(err)
		}
		return d
	}
	for i := range 5 {
		d := send(fmt.Sprintf("+4179123456%d", i))
		fmt.Println(d.Allowed, d.Bucket, d.Remaining)
	}
	// Output:
	// true sms-number 2
	// true sms-number 2
	// true sms-country 1
	// true sms-country 0
	// false sms-country 0
}

// A decision has what the headers of an answer want to know.
func ExampleDecision() {
	limiter := limit.NewMemory(limit.MemoryConfig{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := limiter.Take(r.Context(), limit.Take{Bucket: "signup-client", Key: r.RemoteAddr, Rate: limit.Rate{Burst: 2, Per: time.Hour}})
		if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", d.Bucket, d.Rate.Burst, limit.Seconds(d.Rate.Per)))
		w.Header().Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", d.Bucket, d.Remaining, limit.Seconds(d.Reset)))
		if !d.Allowed {
			w.Header().Set("Retry-After", strconv.FormatInt(limit.Seconds(d.RetryAfter), 10))
			http.Error(w, "too many", http.StatusTooManyRequests)
		}
	})
	for range 3 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/signup", nil))
		fmt.Printf("%d %s %s %q\n", w.Code, w.Header().Get("RateLimit-Policy"), w.Header().Get("RateLimit"), w.Header().Get("Retry-After"))
	}
	// Output:
	// 200 "signup-client";q=2;w=3600 "signup-client";r=1;t=1800 ""
	// 200 "signup-client";q=2;w=3600 "signup-client";r=0;t=3600 ""
	// 429 "signup-client";q=2;w=3600 "signup-client";r=0;t=3600 "1800"
}

// broken is a limiter that cannot count.
type broken struct{}

func (broken) Take(_ context.Context, takes ...limit.Take) (limit.Decision, error) {
	return limit.Unavailable(errors.New("connection refused"), takes...)
}

// What happens without the server that counts is decided for each bucket by FailOpen, or by a second limiter: n replicas then allow n times as
// much, which may be better than nothing or than everything.
func ExampleUnavailable() {
	ctx := context.Background()
	guess := limit.Take{Bucket: "code-account", Key: "jane@example.org", Rate: limit.Rate{Burst: 1, Per: time.Hour}}
	read := limit.Take{Bucket: "read-client", Key: "192.0.2.1", Rate: limit.Rate{Burst: 100, Per: time.Minute}, FailOpen: true}

	_, err := broken{}.Take(ctx, guess)
	fmt.Println(err)
	d, err := broken{}.Take(ctx, read)
	fmt.Println(d.Allowed, d.Degraded, err)

	limiter := limit.WithFallback(broken{}, limit.NewMemory(limit.MemoryConfig{}))
	for range 2 {
		d, err = limiter.Take(ctx, guess)
		fmt.Println(d.Allowed, d.Degraded, err)
	}
	// Output:
	// limit: limiter unavailable: bucket code-account: connection refused
	// true true <nil>
	// true false <nil>
	// false false <nil>
}
