package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/outbound"
)

// SS-07: Get keeps its bound with any client.
func TestGet(t *testing.T) {
	t.Parallel()
	size := outbound.MaxBody
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Accept") != "application/json" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write(make([]byte, size))
	}))
	c := &http.Client{}
	body, header, err := outbound.Get(t.Context(), c, s.URL, "secret")
	if err != nil || len(body) != size || header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("%d bytes, %v, %v", len(body), header, err)
	}
	size++
	if body, _, err = outbound.Get(t.Context(), c, s.URL, "secret"); !errors.Is(err, outbound.ErrTooLarge) || body != nil {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if body, _, err = outbound.Get(t.Context(), c, s.URL, ""); err == nil || err.Error() != "status 401" || body != nil {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	s.Close()
	if _, _, err = outbound.Get(t.Context(), c, s.URL+"/?key=secret", "secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}

// A transport that panics does so on a goroutine of ours, where nobody else would recover it.
func TestAPanicIsAFailure(t *testing.T) {
	t.Parallel()
	d := outbound.NewCached(func(context.Context, *http.Client) (int, time.Duration, error) { panic("secret") })
	if _, err := d.Get(t.Context(), http.DefaultClient, time.Now); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
