package breach

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const password = "correct horse"

// digits returns the SHA-1 of a password in the form of the service.
func digits(password string) string {
	return fmt.Sprintf("%X", sha1.Sum([]byte(password)))
}

// line returns the line of an answer that stands for a password.
func line(password string, count int) string {
	return fmt.Sprintf("%s:%d\r\n", digits(password)[5:], count)
}

// newClient returns a client of a service that answers with h.
func newClient(t testing.TB, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	o.Endpoint = server.URL + "/range/"
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second // a slow machine is not the subject
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func TestPwned(t *testing.T) {
	t.Parallel()
	other := line("another password", 7)
	padding := strings.Repeat("0", 34) + "1:0\r\n"
	tests := []struct {
		name, body string
		want       int
	}{
		{"the only line", line(password, 42), 42},
		{"the first line", line(password, 42) + other + padding, 42},
		{"a line in the middle", other + line(password, 42) + padding, 42},
		{"the last line without its end", other + strings.TrimSpace(line(password, 42)), 42},
		{"Unix line ends", strings.ReplaceAll(other+line(password, 42), "\r", ""), 42},
		{"lower case", strings.ToLower(other + line(password, 42)), 42},
		{"a count that fits no int32", line(password, 1<<40), 1<<31 - 1},
		{"another hash", other, 0},
		{"padding alone", padding, 0},
		{"padding with the hash of the password", other + line(password, 0), 0},
		{"malformed lines around", "\r\nnothing\r\n:\r\n:1\r\n" + strings.Repeat("F", 35) + "\r\n" + line(password, 42) + strings.Repeat("x", 200_000) + ":1\r\n", 42},
		{"the hash with a count that is no number", other + digits(password)[5:] + ":many\r\n", 0},
		{"the hash with a negative count", other + digits(password)[5:] + ":-1\r\n", 0},
		{"a hash that is one digit short", other + digits(password)[5:39] + ":1\r\n", 0},
		{"a hash that is one digit long", other + digits(password)[4:] + ":1\r\n", 0},
		{"the hash and one digit more", other + digits(password)[5:] + "0:1\r\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Options{}, answer(tt.body))
			for range 2 { // the second may come from the cache
				if got, err := c.Pwned(t.Context(), password); got != tt.want || err != nil {
					t.Errorf("Pwned = %d, %v; want %d, nil", got, err, tt.want)
				}
			}
		})
	}
}

// PW-16
func TestOnlyFiveDigitsOfTheHashLeave(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var dump []string
	c := newClient(t, Options{HTTPClient: &http.Client{Jar: jar}}, func(w http.ResponseWriter, r *http.Request) {
		var head bytes.Buffer
		_ = r.Header.Write(&head)
		dump = append(dump, r.Method+" "+r.RequestURI+"\n"+strings.ReplaceAll(head.String(), "\r", ""))
		http.SetCookie(w, &http.Cookie{Name: "visitor", Value: "1"})
		_, _ = w.Write([]byte(line("another password", 7)))
	})
	for range 2 {
		if _, err := c.Pwned(t.Context(), password); err != nil {
			t.Fatal(err)
		}
	}
	request := "GET /range/" + digits(password)[:5] + "\nAccept-Encoding: gzip\nAdd-Padding: true\nUser-Agent: ostiary-auth\n"
	if diff := cmp.Diff([]string{request, request}, dump); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// PW-16, W35
func TestAnswersThatMakeNoSense(t *testing.T) {
	t.Parallel()
	good := line(password, 42)
	filler := strings.Repeat(line("another password", 7), 1<<14)
	tests := []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"an error of the service", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(good))
		}},
		{"a limit of the service", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		}},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"nothing", answer("")},
		{"a page of a captive portal", answer("<html><body>Welcome: 1</body></html>\n")},
		{"a hash with a count that is no number", answer(digits(password)[5:] + ":many\r\n")},
		{"a hash with a count beyond all numbers", answer(digits(password)[5:] + ":99999999999999999999\r\n")},
		{"a huge answer", answer(good + filler)},
		{"a huge answer without lines", answer(strings.Repeat("0", maxAnswer+1))},
		{"a small answer that unpacks to a huge one", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(good + filler))
			_ = z.Close()
		}},
		{"a cut answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(good))
		}},
		{"a closed connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			c := newClient(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tt.handler(w, r)
			})
			n, err := c.Pwned(t.Context(), password)
			if n != 0 || !errors.Is(err, ErrUnavailable) {
				t.Fatalf("Pwned = %d, %v; want 0, ErrUnavailable", n, err)
			}
			if got := requests.Load(); got != 1 {
				t.Errorf("%d requests, want 1: there is no second try", got)
			}
			// PW-26
			for _, secret := range []string{password, digits(password)[:5], digits(password)[5:]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %q: %v", secret, err)
				}
			}
		})
	}
}

// PW-16, W35
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				t.Error("the prefix went to another server")
			}))
			t.Cleanup(elsewhere.Close)
			follow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
			c := newClient(t, Options{HTTPClient: follow}, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
			})
			if n, err := c.Pwned(t.Context(), password); n != 0 || !errors.Is(err, ErrUnavailable) {
				t.Errorf("Pwned = %d, %v; want 0, ErrUnavailable", n, err)
			}
		})
	}
}

// PW-16, W35
func TestASlowServiceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		before string
	}{
		{"before the answer", ""},
		{"within the answer", line("another password", 7)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Options{Timeout: 20 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
				if tt.before != "" {
					_, _ = w.Write([]byte(tt.before))
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			})
			n, err := c.Pwned(t.Context(), password)
			if n != 0 || !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Pwned = %d, %v; want 0, ErrUnavailable and DeadlineExceeded", n, err)
			}
		})
	}
}

func TestTheCallersContextEndsTheCall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, Options{}, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := c.Pwned(ctx, password); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Pwned returned %v, want ErrUnavailable and Canceled", err)
	}
}

// RL-20
func TestRequestsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	c := newClient(t, Options{MaxConcurrent: 2, CacheSize: -1}, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = w.Write([]byte(line(password, 1)))
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if n, err := c.Pwned(t.Context(), password); n != 1 || err != nil {
				t.Errorf("Pwned = %d, %v; want 1, nil", n, err)
			}
		})
	}
	<-arrived
	<-arrived
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Pwned(short, password); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the third call returned %v, want ErrUnavailable and DeadlineExceeded", err)
	}
	if len(arrived) != 0 {
		t.Error("the third request was sent while two were under way")
	}
	close(release)
	wg.Wait()
	if n, err := c.Pwned(t.Context(), password); n != 1 || err != nil {
		t.Errorf("afterwards Pwned = %d, %v; want 1, nil", n, err)
	}
}

// PW-16: what was looked up for a password that was then accepted does not show
// in the time that the next caller waits.
func TestOnlyRangesThatRefusedAPasswordAreKept(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var requests atomic.Int64
	c := newClient(t, Options{CacheTTL: time.Minute, Now: func() time.Time { return now }}, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte(line(password, 1)))
	})
	look := func(p string, want int, wantRequests int64) {
		t.Helper()
		n, err := c.Pwned(t.Context(), p)
		if n != want || err != nil {
			t.Errorf("Pwned(%q) = %d, %v; want %d, nil", p, n, err, want)
		}
		if got := requests.Load(); got != wantRequests {
			t.Errorf("%d requests so far, want %d", got, wantRequests)
		}
	}
	look("accepted", 0, 1)
	look("accepted", 0, 2)
	look(password, 1, 3)
	look(password, 1, 3)
	now = now.Add(time.Minute - time.Nanosecond)
	look(password, 1, 3)
	now = now.Add(time.Nanosecond)
	look(password, 1, 4)
	look(password, 1, 4)
}

func TestWithoutACacheNothingIsKept(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	c := newClient(t, Options{CacheSize: -1}, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte(line(password, 42)))
	})
	for want := range int64(3) {
		if n, err := c.Pwned(t.Context(), password); n != 42 || err != nil || requests.Load() != want+1 {
			t.Errorf("Pwned = %d, %v after %d requests", n, err, requests.Load())
		}
	}
}

func TestAFailureIsNotKept(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	fail.Store(true)
	c := newClient(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		if fail.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(line(password, 42)))
	})
	if _, err := c.Pwned(t.Context(), password); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Pwned returned %v, want ErrUnavailable", err)
	}
	fail.Store(false)
	if n, err := c.Pwned(t.Context(), password); n != 42 || err != nil {
		t.Errorf("Pwned = %d, %v; want 42, nil", n, err)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"a relative endpoint", Options{Endpoint: "/range/"}, "Endpoint"},
		{"an endpoint without a host", Options{Endpoint: "https:///range/"}, "Endpoint"},
		{"an endpoint of another scheme", Options{Endpoint: "ftp://mirror.test/range/"}, "Endpoint"},
		{"an endpoint with a query", Options{Endpoint: "https://mirror.test/?range="}, "Endpoint"},
		{"an endpoint with a fragment", Options{Endpoint: "https://mirror.test/#range"}, "Endpoint"},
		{"an endpoint that is no URL", Options{Endpoint: "https://mirror.test:port/"}, "Endpoint"},
		{"a negative timeout", Options{Timeout: -1}, "Timeout"},
		{"a negative bound", Options{MaxConcurrent: -1}, "MaxConcurrent"},
		{"a negative life", Options{CacheTTL: -1}, "CacheTTL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := New(tt.o)
			if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, %v; want an error about %s", c, err, tt.want)
			}
		})
	}
}

func TestOptionsAreTaken(t *testing.T) {
	t.Parallel()
	c, err := New(Options{Timeout: 3 * time.Second, MaxConcurrent: 2, CacheSize: 5, CacheTTL: 7 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if c.timeout != 3*time.Second || cap(c.turns) != 2 || c.cache.size != 5 || c.cache.ttl != 7*time.Minute {
		t.Errorf("%v, %d at once, %d ranges for %v", c.timeout, cap(c.turns), c.cache.size, c.cache.ttl)
	}
}

func TestTheZeroOptionsAskTheService(t *testing.T) {
	t.Parallel()
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var asked *http.Request
	c.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = r
		return nil, errors.New("no network in tests")
	})
	began := time.Now()
	if _, err := c.Pwned(t.Context(), "password"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Pwned returned %v, want ErrUnavailable", err)
	}
	if asked == nil {
		t.Fatal("nobody was asked")
	}
	if got, want := asked.URL.String(), "https://api.pwnedpasswords.com/range/5BAA6"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if deadline, ok := asked.Context().Deadline(); !ok || deadline.Before(began.Add(time.Second)) || time.Until(deadline) > time.Second {
		t.Errorf("the request has the deadline %v, want one in a second", deadline)
	}
	if cap(c.turns) != DefaultMaxConcurrent || c.cache.size != DefaultCacheSize || c.cache.ttl != DefaultCacheTTL {
		t.Errorf("%d at once, %d ranges for %v", cap(c.turns), c.cache.size, c.cache.ttl)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", ":", line(password, 1), line(password, 0), line(password, 3) + line("another password", 7), "\r\n\r\n",
		strings.Repeat("F", 35) + ":1", strings.Repeat("G", 35) + ":1", strings.Repeat("0", 35) + ":99999999999999999999",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		found, err := parse(body)
		if err != nil {
			if found != nil {
				t.Fatalf("parse returned %v and %v", found, err)
			}
			return
		}
		if len(found) > bytes.Count(body, []byte(":")) {
			t.Fatalf("%d hashes in %d lines", len(found), bytes.Count(body, []byte(":")))
		}
		for _, e := range found {
			suffix := fmt.Appendf(nil, "%X", e.suffix)[1:]
			if e.times == 0 || found.count(suffix) == 0 {
				t.Fatalf("%s stands in the answer and is not found", suffix)
			}
			if !bytes.Contains(bytes.ToUpper(body), suffix) {
				t.Fatalf("%s was found and does not stand in the answer", suffix)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var body []byte
	for i := range 2000 {
		body = append(body, line(fmt.Sprint(i), i)...)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
