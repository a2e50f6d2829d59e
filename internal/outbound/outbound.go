// Package outbound makes requests to other servers: within bounded time, for answers of bounded size, and to nobody but who
// was asked for.
package outbound

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Bounds of one request. They hold whatever the client that is given to [Client] allows, unless it allows less.
const (
	// Timeout is how long a request takes at most, from the look-up of the name to the last byte of the answer.
	Timeout = 10 * time.Second
	// MaxBody is how many bytes an answer has at most, after decompression.
	MaxBody = 1 << 20
	// maxRedirects is how many redirects are followed.
	maxRedirects = 3
)

// ErrTooLarge is what reading an answer of more than [MaxBody] bytes, or of more than [Ask] takes, ends with.
var ErrTooLarge = errors.New("outbound: the answer is too large")

// ErrRedirect is wrapped by the error of a request whose answer sends it where it must not go.
var ErrRedirect = errors.New("outbound: redirect refused")

// Client returns a client with the transport of base, which may be nil and is not changed, within the bounds of this
// package:
//
//   - A request has ended after [Timeout], or that of base if it is shorter, the body included.
//   - Reading more than [MaxBody] bytes of an answer is an error, [ErrTooLarge], and never cuts it short.
//   - Redirects are followed within the same scheme, host and port, and not at all for anything but GET and HEAD. Whoever
//     answers with another gets no second request, so what the first one carried stays where it was meant to go.
//     The error wraps [ErrRedirect].
//   - There are no cookies.
//
// Without a transport of its own, base or not, it gets one that has deadlines for each step, demands TLS 1.2 and takes
// proxies from the environment (HTTPS_PROXY, NO_PROXY).
func Client(base *http.Client) *http.Client {
	c := http.Client{}
	if base != nil {
		c = *base
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	c.Transport = bounded{c.Transport}
	if c.Timeout <= 0 {
		c.Timeout = Timeout
	}
	c.Timeout = min(c.Timeout, Timeout)
	c.CheckRedirect = checkRedirect
	c.Jar = nil
	return &c
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    10,
		IdleConnTimeout:        90 * time.Second,
	}
}

// checkRedirect fails where it does not follow: a caller who forgets to look at the status has nothing to act on.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: there are more than %d", ErrRedirect, maxRedirects)
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return fmt.Errorf("%w: the request is a %s", ErrRedirect, first.Method)
	case next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host:
		return fmt.Errorf("%w: it leads to another origin", ErrRedirect)
	}
	return nil
}

// bounded is a transport whose answers have at most MaxBody bytes.
type bounded struct{ http.RoundTripper }

func (t bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	// The client would repeat in its error what it cannot parse, and that may be what the request has told the server.
	if location := response.Header.Get("Location"); location != "" {
		if _, err := r.URL.Parse(location); err != nil {
			_ = response.Body.Close()
			return nil, fmt.Errorf("%w: it leads to what is no URL", ErrRedirect)
		}
	}
	// What a transport decompresses, it has decompressed here.
	response.Body = &body{ReadCloser: response.Body, left: MaxBody}
	return response, nil
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] asks for.
func (t bounded) CloseIdleConnections() {
	if closer, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// body has left bytes to be read, and an error where there is one more.
type body struct {
	io.ReadCloser
	left int
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		n, b.left = b.left, 0
		return n, ErrTooLarge
	}
	b.left -= n
	return n, err
}

// CheckURL says what is wrong with the URL of an endpoint that is configured: it must be absolute, have a host and neither
// user nor fragment, and its scheme is https, or http to this very host, for tests. An address of the link-local range, where
// clouds keep the credentials of machines, is refused, and so is one that names no host.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("is not a URL")
	}
	host := u.Hostname()
	local := host == "localhost"
	if ip, err := netip.ParseAddr(host); err == nil {
		local = ip.IsLoopback()
		if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return errors.New("names an address that no endpoint has")
		}
	}
	switch {
	case host == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("has a user")
	case strings.Contains(s, "#"):
		return errors.New("has a fragment")
	case u.Scheme != "https" && !(u.Scheme == "http" && local):
		return fmt.Errorf("has the scheme %q, want https", cmp.Or(u.Scheme, "none"))
	}
	return nil
}

// BaseURL returns the base of the URLs of a service without a slash at its end: given if it is set, and otherwise def. ok is false
// if given is not a URL that [CheckURL] accepts, or has a query.
func BaseURL(given, def string) (base string, ok bool) {
	if given == "" {
		return def, true
	}
	return strings.TrimSuffix(given, "/"), CheckURL(given) == nil && !strings.Contains(given, "?")
}
