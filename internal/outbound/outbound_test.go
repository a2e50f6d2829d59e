package outbound_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/auth/internal/outbound"
)

func get(t *testing.T, c *http.Client, url string) ([]byte, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// SS-07
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	serve := func(path string, size int, compress bool) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			var to io.Writer = w
			if compress {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				defer z.Close()
				to = z
			}
			_, _ = io.Copy(to, io.LimitReader(zeros{}, int64(size)))
		})
	}
	serve("/full", outbound.MaxBody, false)
	serve("/full-compressed", outbound.MaxBody, true)
	serve("/over", outbound.MaxBody+1, false)
	serve("/over-compressed", outbound.MaxBody+1, true)
	serve("/bomb", 10<<20, true)
	s := httptest.NewServer(mux)
	defer s.Close()
	for _, base := range []*http.Client{nil, {}, s.Client(), outbound.Client(nil)} {
		c := outbound.Client(base)
		for _, path := range []string{"/full", "/full-compressed"} {
			if got, err := get(t, c, s.URL+path); err != nil || len(got) != outbound.MaxBody {
				t.Errorf("%s: %d bytes, %v", path, len(got), err)
			}
		}
		for _, path := range []string{"/over", "/over-compressed", "/bomb"} {
			if got, err := get(t, c, s.URL+path); !errors.Is(err, outbound.ErrTooLarge) || len(got) > outbound.MaxBody {
				t.Errorf("%s: %d bytes, %v", path, len(got), err)
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// SS-07
func TestRequestsEndInTime(t *testing.T) {
	t.Parallel()
	// Silent says nothing until the client has given up; trickle sends the head at once and the body never.
	silent := transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	trickle := transport(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: never{r.Context()}, Request: r}, nil
	})
	for _, tt := range []struct {
		name string
		base *http.Client
		want time.Duration
	}{
		{"a silent peer", &http.Client{Transport: silent}, outbound.Timeout},
		{"a slow body", &http.Client{Transport: trickle}, outbound.Timeout},
		{"a base with no patience", &http.Client{Transport: trickle, Timeout: time.Second}, time.Second},
		{"a base with none at all", &http.Client{Transport: trickle, Timeout: 1}, 1},
		{"a base that knows no end", &http.Client{Transport: trickle, Timeout: -1}, outbound.Timeout},
		{"a base with a little too much patience", &http.Client{Transport: silent, Timeout: outbound.Timeout + 1}, outbound.Timeout},
		{"a base with too much patience", &http.Client{Transport: silent, Timeout: time.Hour}, outbound.Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := get(t, outbound.Client(tt.base), "https://idp.example/")
				if took := time.Since(began); err == nil || took != tt.want {
					t.Errorf("%v after %v, want an error after %v", err, took, tt.want)
				}
			})
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type never struct{ ctx context.Context }

func (n never) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, n.ctx.Err()
}

func (never) Close() error { return nil }

// SS-03
func TestRedirectsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization")
	}))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.FormValue("location"))
		w.WriteHeader(map[string]int{"302": 302, "303": 303, "307": 307, "308": 308}[r.FormValue("status")])
	})
	mux.HandleFunc("/far", func(w http.ResponseWriter, r *http.Request) {
		if left, _ := strconv.Atoi(r.FormValue("left")); left > 0 {
			http.Redirect(w, r, fmt.Sprint("/far?left=", left-1), http.StatusFound)
		}
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	s := httptest.NewServer(mux)
	defer s.Close()
	c := outbound.Client(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }})
	try := func(method, path string) (string, error) {
		request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader("secret=1"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer secret")
		response, err := c.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	if got, err := try("GET", "/to?status=302&location=/here"); err != nil || got != "Bearer secret" {
		t.Errorf("a redirect to the same server: %q, %v", got, err)
	}
	if _, err := try("HEAD", "/to?status=302&location=/here"); err != nil {
		t.Errorf("a redirect of HEAD: %v", err)
	}
	if _, err := try("GET", "/far?left=3"); err != nil {
		t.Errorf("three redirects: %v", err)
	}
	if _, err := try("GET", "/far?left=4"); !errors.Is(err, outbound.ErrRedirect) {
		t.Errorf("four redirects: %v", err)
	}
	if _, err := try("GET", "/round"); !errors.Is(err, outbound.ErrRedirect) {
		t.Errorf("a redirect in circles: %v", err)
	}
	// Not even what is no URL, of which the client would tell: it may be what was sent.
	for _, location := range []string{"https://x.test/%zz?secret", "http://[secret"} {
		_, err := try("POST", "/to?status=302&location="+url.QueryEscape(location))
		if !errors.Is(err, outbound.ErrRedirect) || strings.Contains(errors.Unwrap(err).Error(), "secret") {
			t.Errorf("%s: %v", location, err)
		}
	}
	for _, status := range []string{"302", "303", "307", "308"} {
		for _, request := range []struct{ method, location string }{
			{"GET", elsewhere.URL},
			{"GET", strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/here"},
			{"GET", "http://169.254.169.254/latest/meta-data"},
			{"GET", strings.Replace(s.URL, "http:", "https:", 1)},
			{"POST", elsewhere.URL},
			{"POST", "/here"},
		} {
			got, err := try(request.method, "/to?status="+status+"&location="+request.location)
			if !errors.Is(err, outbound.ErrRedirect) {
				t.Errorf("%s redirected with %s to %s: %q, %v", request.method, status, request.location, got, err)
			}
		}
	}
	if len(asked) > 0 {
		t.Errorf("another server has heard %q", <-asked)
	}
}

func TestCookiesAreNotKept(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		_, _ = io.WriteString(w, r.Header.Get("Cookie"))
	}))
	defer s.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Client{Jar: jar}
	c := outbound.Client(base)
	for range 2 {
		if got, err := get(t, c, s.URL); err != nil || len(got) > 0 {
			t.Errorf("%q, %v", got, err)
		}
	}
	if base.Jar == nil || base.CheckRedirect != nil || base.Timeout != 0 || base.Transport != nil {
		t.Error("the base has been changed")
	}
}

// SS-08
func TestTLSIsNotNegotiable(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	for _, base := range []*http.Client{nil, {}} {
		c := outbound.Client(base)
		if _, err := get(t, c, s.URL); err == nil {
			t.Error("a certificate of nobody's is good enough")
		}
	}

	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	transport := outbound.NewTransport()
	transport.TLSClientConfig.RootCAs = old.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, err := get(t, outbound.Client(&http.Client{Transport: transport}), old.URL)
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
	if transport.TLSClientConfig.InsecureSkipVerify || transport.TLSClientConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("the default is %+v", transport.TLSClientConfig)
	}
}

func TestTheDefaultTransport(t *testing.T) {
	t.Parallel()
	transport := outbound.NewTransport()
	if reflect.ValueOf(transport.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("the environment does not choose the proxy")
	}
	// An attempt to connect has a deadline of its own, so that there is time for another address.
	if transport.DialContext == nil || transport.TLSHandshakeTimeout <= 0 || transport.TLSHandshakeTimeout >= outbound.Timeout {
		t.Error("a step can take all the time that there is")
	}
	if transport.MaxIdleConns <= 0 || transport.IdleConnTimeout <= 0 {
		t.Error("connections that nobody uses are kept, however many and however long")
	}

	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	transport.TLSClientConfig.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if got, err := get(t, outbound.Client(&http.Client{Transport: transport}), s.URL); err != nil || string(got) != "HTTP/2.0" {
		t.Errorf("a server that speaks HTTP/2 hears %s, %v", got, err)
	}
}

// Requests to one server that come in at once, and again, take no new connections the second time.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	const atOnce = 10
	var connections atomic.Int64
	var here sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		here.Done()
		here.Wait()
		_, _ = io.WriteString(w, "x")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := outbound.Client(nil)
	for range 2 {
		here.Add(atOnce)
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() {
				if got, err := get(t, c, s.URL); err != nil || string(got) != "x" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		all.Wait()
	}
	if n := connections.Load(); n != atOnce {
		t.Errorf("%d connections, want %d", n, atOnce)
	}
}

// Whoever shuts a client down shuts down the connections of the transport that it was given.
func TestIdleConnectionsCanBeClosed(t *testing.T) {
	t.Parallel()
	var idle idler
	outbound.Client(&http.Client{Transport: &idle}).CloseIdleConnections()
	if !idle.closed {
		t.Error("the transport was not told")
	}
	outbound.Client(&http.Client{Transport: transport(nil)}).CloseIdleConnections() // has none
}

type idler struct {
	transport
	closed bool
}

func (i *idler) CloseIdleConnections() { i.closed = true }

// SS-01
func TestCheckURL(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{
		"https://idp.example":                   true,
		"https://idp.example:8443/path?x=y":     true,
		"https://10.0.0.1/inside":               true,
		"http://127.0.0.1:8080":                 true,
		"http://localhost:8080/path":            true,
		"http://[::1]/":                         true,
		"":                                      false,
		"idp.example":                           false,
		"//idp.example":                         false,
		"/path":                                 false,
		"https://":                              false,
		"https:///path":                         false,
		"https://:443":                          false,
		"https:idp.example":                     false,
		"http://idp.example":                    false,
		"http://127.0.0.1.evil.example":         false,
		"http://localhost.evil.example":         false,
		"http://169.254.169.254/latest":         false,
		"https://169.254.169.254/latest":        false,
		"https://[::ffff:169.254.169.254]/":     false,
		"https://[fe80::1%25eth0]/":             false,
		"https://0.0.0.0/":                      false,
		"https://[::]/":                         false,
		"file:///etc/passwd":                    false,
		"ftp://idp.example":                     false,
		"ftp://localhost/path":                  false,
		"file://localhost/etc/passwd":           false,
		"https://user@idp.example":              false,
		"https://user:pw@idp.example":           false,
		"https://idp.example#fragment":          false,
		"https://idp.example/#":                 false,
		"https://idp.example/\r\nHost: evil":    false,
		"https://idp.example\\@evil.example":    false,
		"javascript:alert(1)//https://idp.test": false,
	} {
		if err := outbound.CheckURL(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                            "https://default.example",
		"https://proxy.example":       "https://proxy.example",
		"https://proxy.example/sms/":  "https://proxy.example/sms",
		"http://127.0.0.1:8080":       "http://127.0.0.1:8080",
		"http://localhost:8080/":      "http://localhost:8080",
		"http://[::1]:8080":           "http://[::1]:8080",
		"http://proxy.example":        "",
		"http://127.0.0.1.evil.test":  "",
		"http://localhost.evil.test":  "",
		"ftp://proxy.example":         "",
		"proxy.example":               "",
		"https://":                    "",
		"https://user@proxy.example":  "",
		"https://proxy.example?x=y":   "",
		"https://proxy.example/#x":    "",
		"https://proxy.example/\r\nx": "",
	} {
		got, ok := outbound.BaseURL(given, "https://default.example")
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", given, got, ok)
		}
	}
}
