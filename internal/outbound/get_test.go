package outbound_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
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
		if _, ok := r.Header["Authorization"]; ok == (r.URL.Path == "/public") {
			t.Errorf("%s: a token: %v", r.URL, ok)
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
	if body, _, err = outbound.Get(t.Context(), c, s.URL+"/public", ""); err == nil || err.Error() != "status 401" || body != nil {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	s.Close()
	if _, _, err = outbound.Get(t.Context(), c, s.URL+"/?key=secret", "secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
	if _, _, err = outbound.Get(t.Context(), c, "https://secret\n", ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no URL: %v", err)
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
	given := &http.Client{Transport: failing{}, Timeout: time.Second}
	if c := outbound.Once(given); c.Transport != given.Transport || c.Timeout != given.Timeout {
		t.Error("the bounds of the client are lost")
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
		{gone, &http.Client{Transport: failing{errors.New("connection reset")}}, over},
		{t.Context(), &http.Client{Transport: failing{os.ErrDeadlineExceeded}}, context.DeadlineExceeded},
	} {
		if _, _, err := ask(tt.ctx, tt.c); !errors.Is(err, tt.want) {
			t.Errorf("%v, want %v", err, tt.want)
		}
	}
	if _, _, err := ask(t.Context(), c); err == nil || strings.Contains(err.Error(), "secret") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v", err)
	}
}

// SS-07: Send is for answers that do not matter: it reads a little of them, so that the connection can be used again, and no more.
func TestSend(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{0: 0, 100: 100, 4 << 10: 4 << 10, outbound.MaxBody: 4 << 10} {
		answer := &recorded{Reader: io.LimitReader(zeros{}, int64(size))}
		c := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusTeapot, Header: http.Header{"Retry-After": {"120"}}, Body: answer, Request: r}, nil
		})}
		status, header, err := outbound.Send(c, request(t))
		if err != nil || status != http.StatusTeapot || header.Get("Retry-After") != "120" {
			t.Errorf("%d, %v, %v", status, header, err)
		}
		if answer.read != want || !answer.closed {
			t.Errorf("of %d bytes, %d have been read, want %d; closed: %v", size, answer.read, want, answer.closed)
		}
	}
	down := errors.New("connection refused")
	if status, header, err := outbound.Send(&http.Client{Transport: failing{down}}, request(t)); err == nil || err.Error() != down.Error() || status != 0 || header != nil {
		t.Errorf("nobody there: %d, %v, %v", status, header, err)
	}
}

// An answer that breaks off is none, and however one ends, its connection is given back.
func TestAnswersAreClosed(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for name, do := range map[string]func(*http.Client) error{
		"Ask": func(c *http.Client) error { _, _, err := outbound.Ask(c, request(t), 100); return err },
		"Do":  func(c *http.Client) error { _, _, err := outbound.Do(c, request(t)); return err },
		"Get": func(c *http.Client) error {
			_, _, err := outbound.Get(t.Context(), c, "https://idp.example", "")
			return err
		},
	} {
		for _, tt := range []struct {
			status   int
			location string
			body     io.Reader
			want     error // nil if others say
		}{
			{http.StatusOK, "", strings.NewReader("{}"), nil},
			{http.StatusOK, "", io.MultiReader(strings.NewReader("{"), iotest.ErrReader(broken)), broken},
			{http.StatusOK, "", zeros{}, outbound.ErrTooLarge},
			{http.StatusTeapot, "", strings.NewReader("{}"), nil},
			{http.StatusFound, "https://[", strings.NewReader(""), outbound.ErrRedirect},
		} {
			answer := &recorded{Reader: tt.body}
			c := outbound.Client(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tt.status, Header: http.Header{"Location": {tt.location}}, Body: answer, Request: r}, nil
			})})
			if err := do(c); tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", name, err, tt.want)
			}
			if !answer.closed {
				t.Errorf("%s: %d: left open", name, tt.status)
			}
		}
	}
}

func request(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://idp.example/secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recorded is a body that counts what is read of it.
type recorded struct {
	io.Reader
	read   int
	closed bool
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += n
	return n, err
}

func (r *recorded) Close() error {
	r.closed = true
	return nil
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
