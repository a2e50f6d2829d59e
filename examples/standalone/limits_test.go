package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/limit"
)

// RL-01: the documented variables have the documented names and defaults.
func TestDocumentedLimits(t *testing.T) {
	t.Parallel()
	of := func(burst int, per time.Duration) limit.Rate { return limit.Rate{Burst: burst, Per: per} }
	for name, tt := range map[string]struct {
		env  map[string]string
		want auth.LimitsConfig
	}{
		"nothing is set": {nil, auth.LimitsConfig{
			RequestsPerClient: of(100, time.Minute), EmailsPerClient: of(10, time.Hour), SMSPerClient: of(10, time.Hour),
			GuessesPerClient: of(10, 5*time.Minute), SignUpsPerClient: of(10, 5*time.Minute),
		}},
		"all is set": {
			map[string]string{
				"AUTH_RATE_LIMIT_ENABLE":       "false",
				"AUTH_RATE_LIMIT_GLOBAL_BURST": "1", "AUTH_RATE_LIMIT_GLOBAL_INTERVAL": "2s",
				"AUTH_RATE_LIMIT_EMAIL_BURST": "3", "AUTH_RATE_LIMIT_EMAIL_INTERVAL": "4m", "AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL": "true",
				"AUTH_RATE_LIMIT_SMS_BURST": "5", "AUTH_RATE_LIMIT_SMS_INTERVAL": "6h",
				"AUTH_RATE_LIMIT_BRUTE_FORCE_BURST": "7", "AUTH_RATE_LIMIT_BRUTE_FORCE_INTERVAL": "1h30m",
				"AUTH_RATE_LIMIT_SIGNUPS_BURST": "9", "AUTH_RATE_LIMIT_SIGNUPS_INTERVAL": " 10s ",
			},
			auth.LimitsConfig{
				Off: true, EmailsShared: true,
				RequestsPerClient: of(1, 2*time.Second), EmailsPerClient: of(3, 4*time.Minute), SMSPerClient: of(5, 6*time.Hour),
				GuessesPerClient: of(7, 90*time.Minute), SignUpsPerClient: of(9, 10*time.Second),
			},
		},
	} {
		s, err := parse(good(tt.env), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, s.auth.Limits); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// attempts sends a wrong password so often and returns how often it was compared.
func attempts(t *testing.T, p *program, n int) (compared int) {
	t.Helper()
	for range n {
		switch status := p.call(t, "POST", "/v1/signin/email-password", "", `{"email":"ada@example.com","password":"plum-tractor"}`, nil); status {
		case http.StatusUnauthorized:
			compared++
		case http.StatusTooManyRequests:
		default:
			t.Fatal(status)
		}
	}
	return compared
}

func TestLimitsOverHTTP(t *testing.T) {
	t.Parallel()
	for enabled, want := range map[string]int{"": 10, "true": 10, "false": 30} {
		p := start(t, map[string]string{"AUTH_RATE_LIMIT_ENABLE": enabled})
		if n := attempts(t, p, 30); n != want {
			t.Errorf("AUTH_RATE_LIMIT_ENABLE=%s: %d of 30 wrong passwords were compared, want %d", enabled, n, want)
		}
		p.stop(t)
	}
}

// RL-11: a Redis that is not there holds nobody up, and its password is in no line of the log.
func TestWithoutTheRedisThatIsConfigured(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	_ = listener.Close()
	for outage, status := range map[string]int{"local": http.StatusUnauthorized, "refuse": http.StatusServiceUnavailable} {
		p := start(t, map[string]string{"AUTH_RATE_LIMIT_REDIS_URL": "redis://limiter:canary-password@" + gone + "/0", "AUTH_RATE_LIMIT_REDIS_OUTAGE": outage})
		if got := p.call(t, "POST", "/v1/signin/email-password", "", ada, nil); got != status {
			t.Errorf("%s: %d, want %d", outage, got, status)
		}
		if told := p.await(t, "Redis does not count limits"); told["counted in this process"] != (outage == "local") {
			t.Errorf("%s: %v", outage, told)
		}
		if outage == "local" {
			if n := attempts(t, p, 20); n != 9 {
				t.Errorf("%d more were compared, want 9 of the ten", n)
			}
		}
		if got := p.call(t, "POST", "/v1/signup/email-password", "", ada, nil); got != http.StatusOK {
			t.Errorf("%s: a sign-up: %d", outage, got)
		}
		p.stop(t)
		p.mu.Lock()
		for i, line := range p.lines {
			for name, v := range line {
				if text, ok := v.(string); ok && strings.Contains(text, "canary") {
					t.Errorf("line "+strconv.Itoa(i)+": %s is %q", name, text)
				}
			}
		}
		p.mu.Unlock()
		if strings.Contains(p.stderr.String(), "canary") {
			t.Errorf("stderr: %s", p.stderr.String())
		}
	}
}
