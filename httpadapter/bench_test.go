package httpadapter_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

// BenchmarkVerifyToken is what the adapter adds to the engine, limits included: the difference between the two.
func BenchmarkVerifyToken(b *testing.B) {
	h := newFixture(b, httpadapter.Options{AllowedOrigins: []string{"https://app.test"}}, open, perMinute(1_000_000_000))
	session := h.engine.SignUp(b, "ada@example.com")
	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := h.engine.VerifyToken(context.Background(), auth.VerifyTokenParams{Token: session.AccessToken}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("adapter", func(b *testing.B) {
		r := httptest.NewRequest("POST", "/token/verify", nil)
		r.Header.Set("Authorization", "Bearer "+session.AccessToken)
		r.Header.Set("User-Agent", "Test/1")
		b.ReportAllocs()
		for b.Loop() {
			w := &sink{header: http.Header{}}
			h.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				b.Fatal(w.status)
			}
		}
	})
}

// BenchmarkRequireUser is the same for a route of the service's.
func BenchmarkRequireUser(b *testing.B) {
	h := newFixture(b, httpadapter.Options{}, open)
	session := h.engine.SignUp(b, "ada@example.com")
	protected := h.RequireUser(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest("GET", "/own", nil)
	r.Header.Set("Authorization", "Bearer "+session.AccessToken)
	b.ReportAllocs()
	for b.Loop() {
		protected.ServeHTTP(&sink{header: http.Header{}}, r)
	}
}

// BenchmarkRefusal is the cost of a request that is refused before the engine is asked.
func BenchmarkRefusal(b *testing.B) {
	h := newFixture(b, httpadapter.Options{})
	r := httptest.NewRequest("GET", "/nowhere", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := &sink{header: http.Header{}}
		h.ServeHTTP(w, r)
		if w.status != http.StatusNotFound {
			b.Fatal(w.status)
		}
	}
}

// The adapter's share of a request stays within 40 allocations, behind a proxy and from a page of another origin, and so it does
// of one that is refused.
func TestTheAdapterCostsLittle(t *testing.T) {
	o := httpadapter.Options{AllowedOrigins: []string{"https://app.test"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	for name, requests := range map[string]int{"200": 1_000_000, "429": 1} {
		h := newFixture(t, o, open, perMinute(requests))
		session := h.engine.SignUp(t, "ada@example.com")
		r := httptest.NewRequest("POST", "/token/verify", nil)
		r.Header.Set("Authorization", "Bearer "+session.AccessToken)
		r.Header.Set("Origin", "https://app.test")
		r.Header.Set("X-Forwarded-For", "203.0.113.1, 198.51.100.1")
		ctx := auth.WithClient(context.Background(), auth.Client{Address: netip.MustParseAddr("198.51.100.1")})
		engine := testing.AllocsPerRun(100, func() {
			if _, err := h.engine.Admit(ctx); err == nil {
				_ = h.engine.VerifyToken(ctx, auth.VerifyTokenParams{Token: session.AccessToken})
			}
		})
		w := &sink{}
		adapter := testing.AllocsPerRun(100, func() {
			w.header = http.Header{}
			h.ServeHTTP(w, r)
		})
		if strconv.Itoa(w.status) != name || rateLimitOf(t, w.header).name == "" {
			t.Fatalf("status %d, %v", w.status, w.header)
		}
		t.Logf("%s: %v allocations, of which the engine's %v", name, adapter, engine)
		if adapter-engine > 40 {
			t.Errorf("%s: %v allocations beyond the engine's %v, want at most 40", name, adapter-engine, engine)
		}
	}
}
