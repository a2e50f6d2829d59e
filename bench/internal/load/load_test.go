package load_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/auth/bench/internal/load"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// ping asks for the root and wants the answer to say pong.
func ping() load.Script {
	return load.Script{
		Next: func() load.Request { return load.Request{Method: "GET", Path: "/"} },
		Check: func(a load.Answer) error {
			if a.Status != http.StatusOK || string(a.Body) != "pong" {
				return errors.New("no pong")
			}
			return nil
		},
	}
}

func TestEachConnectionIsKeptAndHasOneRequestUnderWay(t *testing.T) {
	t.Parallel()
	var busy, most, connections, requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := busy.Add(1)
		defer busy.Add(-1)
		for {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		requests.Add(1)
		io.WriteString(w, "pong") //nolint:errcheck // the client would see it
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { connections.Add(1); return ctx }
	s.Start()
	t.Cleanup(s.Close)
	l := load.New(strings.TrimPrefix(s.URL, "http://"), []load.Script{ping(), ping(), ping()})
	defer l.Close()
	got, err := l.Repeat(t.Context(), 50)
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 150 || requests.Load() != 150 {
		t.Errorf("%d requests are reported and %d were served, want 150", got.Requests, requests.Load())
	}
	if connections.Load() != 3 || most.Load() > 3 {
		t.Errorf("%d connections with %d requests at a time, want 3 with at most 3", connections.Load(), most.Load())
	}
	if got.Rate <= 0 || got.Latency(50) <= 0 || got.Latency(99) < got.Latency(50) {
		t.Errorf("rate %v, median %v, 99th percentile %v", got.Rate, got.Latency(50), got.Latency(99))
	}
}

func TestAWrongAnswerEndsTheMeasurement(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]http.HandlerFunc{
		"a wrong status":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a wrong body":          func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ping") }, //nolint:errcheck // see above
		"a connection that end": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) > 10 {
					last(w, r)
					return
				}
				io.WriteString(w, "pong") //nolint:errcheck // see above
			})
			l := load.New(address, []load.Script{ping(), ping()})
			defer l.Close()
			if got, err := l.Run(t.Context(), time.Minute); err == nil {
				t.Errorf("no error after %d requests", got.Requests)
			}
		})
	}
}

func TestRunSendsOneRequestHoweverLittleTimeThereIs(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "pong") }) //nolint:errcheck // see above
	l := load.New(address, []load.Script{ping(), ping()})
	defer l.Close()
	got, err := l.Run(t.Context(), 0)
	if err != nil || got.Requests != 2 {
		t.Errorf("%d requests (%v), want one on each of 2 connections", got.Requests, err)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		io.WriteString(w, "pong") //nolint:errcheck // see above
	})
	l := load.New(address, []load.Script{ping()})
	defer l.Close()
	if _, err := l.Run(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestAClientSaysAndReadsWhatItIsTold(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/echo":
			w.Header().Add("Set-Cookie", "a=first")
			w.Header().Add("Set-Cookie", "gone=; Max-Age=0")
			w.Header().Add("Set-Cookie", "a=last")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, "%s %s %d %s", r.Method, r.Header.Get("X-Test"), r.ContentLength, body)
		case "/close":
			w.Header().Set("Connection", "close")
		case "/large":
			w.Write(make([]byte, 1<<20+1)) //nolint:errcheck // the client does not want all of it
		}
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { connections.Add(1); return ctx }
	s.Start()
	t.Cleanup(s.Close)
	c := load.NewClient(strings.TrimPrefix(s.URL, "http://"))
	defer c.Close()

	got, err := c.Do(t.Context(), load.Request{
		Method: "PUT", Path: "/echo", Header: http.Header{"X-Test": {"value"}}, Body: []byte("some body"),
	})
	if want := "PUT value 9 some body"; err != nil || got.Status != http.StatusCreated || string(got.Body) != want {
		t.Errorf("%d %q (%v), want 201 %q", got.Status, got.Body, err, want)
	}
	for name, want := range map[string]string{"a": "last", "gone": "", "none": ""} {
		if v := got.Cookie(name); v != want {
			t.Errorf("cookie %s is %q, want %q", name, v, want)
		}
	}
	removed := load.Answer{Header: http.Header{"Set-Cookie": {"gone=x; Max-Age=0"}}}
	if v := removed.Cookie("gone"); v != "" {
		t.Errorf("a cookie that is removed is %q", v)
	}
	for range 3 {
		if _, err := c.Do(t.Context(), load.Request{Method: "GET", Path: "/close"}); err != nil {
			t.Errorf("after a connection that was closed: %v", err)
		}
	}
	// The first request of /close came over the connection of /echo.
	if connections.Load() != 3 {
		t.Errorf("%d connections, want 3", connections.Load())
	}
	if got, err := c.Do(t.Context(), load.Request{Method: "GET", Path: "/large"}); err == nil {
		t.Errorf("%d bytes are taken", len(got.Body))
	}
}
