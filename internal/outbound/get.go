package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// Get fetches JSON, with the access token if that is not empty (RFC 6750 §2.1), as [Do] does.
func Get(ctx context.Context, c *http.Client, from, accessToken string) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, nil, errors.New("make the request")
	}
	request.Header.Set("Accept", "application/json")
	if accessToken != "" {
		request.Header.Set("Authorization", "Bearer "+accessToken)
	}
	return Do(c, request)
}

// skim is how much of an answer that nobody reads is read all the same, so that its connection can be used again.
const skim = 4 << 10

// Send makes a request and returns the status and the header of the answer, whatever they are, and nothing of its body. Its
// errors repeat neither the URL nor what the server says.
func Send(c *http.Client, request *http.Request) (status int, header http.Header, err error) {
	response, err := answer(c, request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, skim)
	return response.StatusCode, response.Header, nil
}

// answer makes a request that says who makes it. Its errors do not repeat the URL.
func answer(c *http.Client, request *http.Request) (*http.Response, error) {
	request.Header.Set("User-Agent", "ostiary-auth") // GitHub refuses requests without
	response, err := c.Do(request)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return response, err
}

// Once returns a copy of base, which may be nil, for requests that go to one place and are answered there: it follows no redirect,
// as whoever answers with one would learn what the request says, and has no cookies. Its bounds are those of base.
func Once(base *http.Client) *http.Client {
	c := http.Client{}
	if base != nil {
		c = *base
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Jar = nil
	return &c
}

// Ask makes a request and returns the status and the body of the answer, whatever they are. The body has at most max bytes, or the
// error is [ErrTooLarge]. Errors repeat neither the URL nor what the server says; the one of a request whose context has ended is
// the cause of that, and the one of any other deadline [context.DeadlineExceeded].
func Ask(c *http.Client, request *http.Request, max int64) (status int, body []byte, err error) {
	response, err := answer(c, request)
	if err != nil {
		return 0, nil, ended(request.Context(), err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, max+1))
	switch {
	case err != nil:
		return 0, nil, ended(request.Context(), err)
	case int64(len(body)) > max:
		return 0, nil, ErrTooLarge
	}
	return response.StatusCode, body, nil
}

// ended returns why there is no answer.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	}
	return err
}

// Do makes a request and returns the body and the header of the answer, whose status must be 200. Its errors repeat neither the
// URL nor what the server says.
func Do(c *http.Client, request *http.Request) ([]byte, http.Header, error) {
	response, err := answer(c, request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxBody+1)) // c may be another client
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	case len(body) > MaxBody:
		return nil, nil, ErrTooLarge
	}
	return body, response.Header, nil
}
