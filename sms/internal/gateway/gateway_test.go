package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/internal/gateway"
)

const secret = "token-of-the-account"

func do(ctx context.Context, c *gateway.Client, url string) (int, []byte, error) {
	return c.Do(ctx, url+"/Accounts/AC123/Messages", "user", secret, "text/plain", "to +41791234567")
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(readFirst(h))
	t.Cleanup(s.Close)
	return s
}

// readFirst reads the request, without which a server does not notice that the client has gone.
func readFirst(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(w, r)
	}
}

func TestRequestIsSentAsItIs(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/Accounts/AC123/Messages" || user != "user" || password != secret ||
			r.Header.Get("Content-Type") != "text/plain" || string(body) != "to +41791234567" {
			t.Errorf("%s %s, %v, %q", r.Method, r.URL, r.Header, body)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	})
	status, answer, err := do(t.Context(), gateway.New("test", nil, time.Minute), s.URL)
	if status != http.StatusAccepted || string(answer) != "thanks" || err != nil {
		t.Errorf("%d, %q, %v", status, answer, err)
	}
}

// W35, SM-05: an answer that does not come, does not end or breaks off is an error, in bounded time and memory.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var sent int // by the server; read when it is closed
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		timeout time.Duration
		want    error
	}{
		"no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 20 * time.Millisecond, context.DeadlineExceeded},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, 20 * time.Millisecond, context.DeadlineExceeded},
		"an answer without end": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				n, err := io.WriteString(w, strings.Repeat("x", 1<<10))
				sent += n
				if err != nil {
					return
				}
			}
		}, time.Minute, nil},
		"an answer that breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}, time.Minute, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(readFirst(tt.handler))
			_, answer, err := do(t.Context(), gateway.New("test", nil, tt.timeout), s.URL)
			s.Close()
			var e *sms.Error
			if answer != nil || !errors.As(err, &e) || tt.want != nil && !errors.Is(err, tt.want) || e.Permanent() {
				t.Errorf("%q, %v", answer, err)
			}
			if strings.Contains(err.Error(), "AC123") || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v", err)
			}
		})
	}
	if sent > 64<<20 {
		t.Errorf("%d bytes were read", sent)
	}
}

func TestContextEndsARequest(t *testing.T) {
	t.Parallel()
	reason := errors.New("the service shuts down")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(reason)
		<-r.Context().Done()
	})
	if _, _, err := do(ctx, gateway.New("test", nil, time.Minute), s.URL); !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, _, err = do(t.Context(), gateway.New("test", nil, time.Minute), "http://"+l.Addr().String())
	var e *sms.Error
	if !errors.As(err, &e) || e.Permanent() || strings.Contains(err.Error(), "AC123") {
		t.Errorf("error %v", err)
	}
}

// The credentials and the code go to the provider and to nobody whom it names, whatever the client that was given does.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s", r.Method, r.URL) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		got, _, err := do(t.Context(), gateway.New("test", &http.Client{}, time.Minute), s.URL)
		if got != status || err != nil {
			t.Errorf("%d: %d, %v", status, got, err)
		}
	}
}
