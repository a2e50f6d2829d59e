package smtpmail

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/fakesmtp"
)

// A context that ends just after its letter was accepted must not end the next letter, which has another one.
func TestCancelledConnectionIsNotKept(t *testing.T) {
	t.Parallel()
	server := fakesmtp.Start(t, fakesmtp.Options{})
	s, err := New(Config{
		Host: server.Host, Port: server.Port, TLSConfig: &tls.Config{RootCAs: server.Pool}, From: "noreply@example.org",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, cancelled := range []bool{true, false} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c, err := s.connection(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if cancelled {
			cancel()
		}
		s.release(c, nil)
		cancel()
		if kept := len(s.idle) == 1; kept == cancelled {
			t.Errorf("cancelled %v, kept %v", cancelled, kept)
		}
	}
}
