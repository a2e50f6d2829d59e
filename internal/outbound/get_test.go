package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"slices"
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

// SS-07: Ask keeps its bound with any client, goes nowhere else, and says why there is no answer without saying what was asked.
func TestAsk(t *testing.T) {
	t.Parallel()
	const most = 100
	body := strings.Repeat("x", most)
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("User-Agent")+r.Header.Get("Cookie"))
		http.SetCookie(w, &http.Cookie{Name: "visitor", Value: "1", Path: "/"})
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = w.Write([]byte(body))
	}))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Client{Jar: jar}
	c := outbound.Once(base)
	ask := func(ctx context.Context, c *http.Client) (int, []byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/secret", nil)
		if err != nil {
			t.Fatal(err)
		}
		return outbound.Ask(c, r, most)
	}
	if status, got, err := ask(t.Context(), c); err != nil || status != http.StatusTemporaryRedirect || string(got) != body {
		t.Errorf("%d, %d bytes, %v", status, len(got), err)
	}
	body += "x"
	if status, got, err := ask(t.Context(), c); !errors.Is(err, outbound.ErrTooLarge) || status != 0 || got != nil {
		t.Errorf("%d, %d bytes, %v", status, len(got), err)
	}
	if want := []string{"/secret ostiary-auth", "/secret ostiary-auth"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if base.Jar == nil || base.CheckRedirect != nil || outbound.Once(nil) == nil {
		t.Error("the client was changed that was given")
	}

	over := errors.New("the caller is gone")
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	s.Close()
	for _, tt := range []struct {
		ctx  context.Context
		c    *http.Client
		want error
	}{
		{gone, c, over},
		{late, c, context.DeadlineExceeded},
		{t.Context(), &http.Client{Transport: failing{os.ErrDeadlineExceeded}}, context.DeadlineExceeded},
	} {
		if _, _, err := ask(tt.ctx, tt.c); !errors.Is(err, tt.want) {
			t.Errorf("%v, want %v", err, tt.want)
		}
	}
	if _, _, err := ask(t.Context(), c); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
