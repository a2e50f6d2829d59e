// Package gateway talks to the HTTP interfaces of providers of text messages: one request, one bounded answer, in bounded
// time, and to nobody else.
package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ostiary/auth/sms"
)

// maxAnswer bounds what is read of an answer. A proper one has less than 2 KB.
const maxAnswer = 64 << 10

var errTooLong = errors.New("the answer is too long")

// Client sends requests to one provider.
type Client struct {
	provider string
	http     http.Client
	timeout  time.Duration
}

// New returns a client for a provider. h may be nil; it is copied, and its redirect policy and cookie jar are not used.
func New(provider string, h *http.Client, timeout time.Duration) *Client {
	if h == nil {
		h = &http.Client{}
	}
	c := &Client{provider: provider, http: *h, timeout: timeout}
	// Providers do not redirect. Whoever does would learn the code.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http.Jar = nil
	return c
}

// Do posts a body and returns the status and the body of the answer. The error is an [*sms.Error].
func (c *Client) Do(
	ctx context.Context, endpoint, user, password, contentType, body string,
) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return 0, nil, c.failed(ctx, err)
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ostiary-auth")
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, c.failed(ctx, err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, c.failed(ctx, err)
	case len(answer) > maxAnswer:
		return 0, nil, c.failed(ctx, errTooLong)
	}
	return res.StatusCode, answer, nil
}

// failed leaves the URL out of an error, in which accounts are named.
func (c *Client) failed(ctx context.Context, err error) *sms.Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.DeadlineExceeded
	}
	return &sms.Error{Provider: c.provider, Err: err}
}
