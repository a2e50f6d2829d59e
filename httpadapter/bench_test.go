package httpadapter_test

import (
	"context"
	"net/http"
	"net/http/httptest"
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

// BenchmarkVerifyToken is what the adapter adds to the engine: the difference between the two.
func BenchmarkVerifyToken(b *testing.B) {
	h := newFixture(b, httpadapter.Options{AllowedOrigins: []string{"https://app.test"}}, open)
	session := h.engine.SignUp(b, "ada@example.com")
	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.engine.Authenticate(context.Background(), session.AccessToken); err != nil {
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

// The adapter's share of a request stays within 40 allocations.
func TestTheAdapterCostsLittle(t *testing.T) {
	h := newFixture(t, httpadapter.Options{AllowedOrigins: []string{"https://app.test"}}, open)
	session := h.engine.SignUp(t, "ada@example.com")
	r := httptest.NewRequest("POST", "/token/verify", nil)
	r.Header.Set("Authorization", "Bearer "+session.AccessToken)
	r.Header.Set("Origin", "https://app.test")
	engine := testing.AllocsPerRun(100, func() {
		_ = h.engine.VerifyToken(context.Background(), auth.VerifyTokenParams{Token: session.AccessToken})
	})
	adapter := testing.AllocsPerRun(100, func() { h.ServeHTTP(&sink{header: http.Header{}}, r) })
	if adapter-engine > 40 {
		t.Errorf("%v allocations beyond the engine's %v, want at most 40", adapter-engine, engine)
	}
}
