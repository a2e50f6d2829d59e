package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/limit"
)

// remembering is a limiter that notes for how long it is to remember id tokens.
type remembering struct {
	limit.Limiter
	mu   sync.Mutex
	life []time.Duration
}

func (r *remembering) Take(ctx context.Context, takes ...limit.Take) (limit.Decision, error) {
	r.mu.Lock()
	for _, t := range takes {
		if t.Bucket == "id-tokens" {
			r.life = append(r.life, t.Rate.Per)
		}
	}
	r.mu.Unlock()
	return r.Limiter.Take(ctx, takes...)
}

// ID-08: an id token that has been used is remembered until it expires, by any clock, and one that does not say when for two days.
func TestHowLongAUsedIDTokenIsRemembered(t *testing.T) {
	t.Parallel()
	r := &remembering{}
	v := newVisitor(t, func(c *auth.Config) {
		r.Limiter = limit.NewMemory(limit.MemoryConfig{Now: c.Now})
		c.Limits.Limiter = r
	})
	at := func(d time.Duration) string { return fmt.Sprintf(`"exp": %d`, v.Clock.Now().Add(d).Unix()) }
	var want []time.Duration
	for i, c := range []struct {
		claims string
		life   time.Duration
	}{
		{`"x": 1`, 48 * time.Hour},
		{at(time.Hour), time.Hour + time.Minute},
		{at(48 * time.Hour), 48*time.Hour + time.Minute},
		{at(-time.Hour), time.Minute},
		{`"exp": 0`, 48 * time.Hour},
		{`"exp": -1`, 48 * time.Hour},
		{at(time.Hour) + `, "exp": "later"`, 48 * time.Hour},
	} {
		_, err := v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{
			Provider: "here", Nonce: "nonce", IDToken: fmt.Sprintf(`{"Subject": "%d", "Name": "nonce", %s}`, i, c.claims),
		})
		if err != nil {
			t.Errorf("%s: %v", c.claims, err)
		}
		want = append(want, c.life)
	}
	if diff := cmp.Diff(want, r.life); diff != "" {
		t.Error(diff)
	}
}

// Two tokens are two, whatever form they have, and no longer than a token is.
func TestFormsOfIDTokens(t *testing.T) {
	t.Parallel()
	v := newVisitor(t, func(c *auth.Config) { c.Email.BlockedDomains = []string{"evil.example"} })
	signIn := func(token, nonce string) error {
		return only(v.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: "here", IDToken: token, Nonce: nonce}))
	}
	padded := func(n int) string {
		const begin, end = `{"Subject": "long", "Picture": "`, `"}`
		return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
	}
	named := func(n int) (token, nonce string) {
		nonce = strings.Repeat("n", n)
		return fmt.Sprintf(`{"Subject": "%d", "Name": "%s"}`, n, nonce), nonce
	}
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"a token with dots that is no JWT", signIn(`{"Subject": "1.a.b", "Name": "n"}`, "n"), nil},
		{"another one", signIn(`{"Subject": "2.a.b", "Name": "n"}`, "n"), nil},
		{"that one again", signIn(`{"Subject": "2.a.b", "Name": "n"}`, "n"), auth.ErrInvalidRequest},
		{"16 KiB", signIn(padded(16<<10), ""), nil},
		{"one byte more", signIn(padded(16<<10+1), ""), auth.ErrInvalidRequest},
		{"a nonce of 1024 bytes", signIn(named(1024)), nil},
		{"one byte more in the nonce", signIn(named(1025)), auth.ErrInvalidRequest},
		{"an address that is not admitted", signIn(`{"Subject": "3", "Name": "n", "Email": "m@evil.example"}`, "n"), auth.ErrInvalidEmailPassword},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	p := v.Principal(t, v.SignUp(t, "ada@example.com"))
	if err := v.LinkIDToken(t.Context(), p, auth.LinkIDTokenParams{Provider: "nowhere", IDToken: `{"Subject": "4"}`}); !errors.Is(err, auth.ErrDisabledEndpoint) {
		t.Errorf("a provider that there is not: %v", err)
	}
}
