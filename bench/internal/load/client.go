package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// patience is how long an answer may take.
const patience = 30 * time.Second

// maxAnswer bounds the body of an answer, in bytes.
const maxAnswer = 1 << 20

// Request is an HTTP request. A body goes with the length that it has.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
}

// Answer is what a server answers, its body read to the end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Cookie returns the value that the answer gives a cookie, "" if none. Of several it is the last, as it is for a browser.
func (a Answer) Cookie(name string) string {
	value := ""
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		if c.Name == name && c.MaxAge >= 0 {
			value = c.Value
		}
	}
	return value
}

// Client asks over one connection, which it keeps. Unlike [http.Client] it has no goroutine and no pool of its own, so that
// it takes little of the time that the server is measured with. It is not safe for concurrent use.
type Client struct {
	address string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
}

// NewClient returns one for a server at an address such as "127.0.0.1:8080". It connects at the first request.
func NewClient(address string) *Client {
	return &Client{address: address, dial: new(net.Dialer).DialContext}
}

// Do sends a request and reads the answer, for at most 30 seconds. It never sends a request twice, and connects again after
// the server has said that it closes the connection.
func (c *Client) Do(ctx context.Context, request Request) (Answer, error) {
	answer, keep, err := c.exchange(ctx, request)
	if !keep {
		c.Close()
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: %w", request.Method, request.Path, err)
	}
	return answer, nil
}

// exchange reports whether the connection is of further use.
func (c *Client) exchange(ctx context.Context, request Request) (answer Answer, keep bool, err error) {
	r, err := http.NewRequestWithContext(ctx, request.Method, "http://"+c.address+request.Path, nil)
	if err != nil {
		return answer, false, err
	}
	if request.Header != nil {
		r.Header = request.Header
	}
	if request.Body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(request.Body)), int64(len(request.Body))
	}
	if c.conn == nil {
		if c.conn, err = c.dial(ctx, "tcp", c.address); err != nil {
			return answer, false, err
		}
		c.r, c.w = bufio.NewReader(c.conn), bufio.NewWriter(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer, false, err
	}
	if err := r.Write(c.w); err != nil {
		return answer, false, err
	}
	if err := c.w.Flush(); err != nil {
		return answer, false, err
	}
	response, err := http.ReadResponse(c.r, r)
	if err != nil {
		return answer, false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer, false, err
	}
	if len(body) > maxAnswer {
		return answer, false, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return Answer{response.StatusCode, response.Header, body}, !response.Close, nil
}

// Close ends the connection, if there is one.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
