// Package gateway talks to the HTTP interfaces of providers of text messages: one request, one bounded answer, in bounded
// time, and to nobody else.
package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/sms"
)

// maxAnswer bounds what is read of an answer. A proper one has less than 2 KB.
const maxAnswer = 64 << 10

// Client sends requests to one provider.
type Client struct {
	provider string
	http     *http.Client
	timeout  time.Duration
}

// New returns a client for a provider. h may be nil; it is copied, and its redirect policy and cookie jar are not used.
func New(provider string, h *http.Client, timeout time.Duration) *Client {
	return &Client{provider, outbound.Once(h), timeout}
}

// Do posts a body and returns the status and the body of the answer. The error is an [*sms.Error].
func (c *Client) Do(
	ctx context.Context, endpoint, user, password, contentType, body string,
) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return 0, nil, &sms.Error{Provider: c.provider, Err: errRequest}
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	if status, answer, err = outbound.Ask(c.http, req, maxAnswer); err != nil {
		return 0, nil, &sms.Error{Provider: c.provider, Err: err}
	}
	return status, answer, nil
}

// errRequest leaves the URL out, in which accounts are named.
var errRequest = errors.New("make the request")
