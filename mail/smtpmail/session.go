package smtpmail

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// maxReply bounds what is read for one step of the protocol, certificates included: a server cannot fill the memory.
	maxReply = 256 << 10
	// maxLetters is after how many letters a connection is ended. Servers do the same, less politely.
	maxLetters = 100
	// checkTime is how long a kept connection may take to show that it works. It is short because a connection that a
	// firewall has forgotten never answers.
	checkTime = 5 * time.Second
	// quitTime is how long the farewell may take.
	quitTime = time.Second
)

// session is a connection on which letters can be sent, by one goroutine at a time.
type session struct {
	wire    *wire
	client  *smtp.Client
	letters int
	used    bool        // before the letter under way
	unwatch func() bool // ends watch; false if it is too late, and the connection cancelled
	expiry  *time.Timer // set while idle
}

// connect dials and introduces itself. The error is an *Error.
func (s *Sender) connect(ctx context.Context) (_ *session, err error) {
	address := net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, failed(ctx, stageConnect, err)
	}
	c := &session{wire: &wire{Conn: conn}}
	c.watch(ctx)
	defer func() {
		if err != nil {
			c.unwatch()
			c.drop()
		}
	}()
	var line net.Conn = c.wire
	c.wire.left = maxReply
	if s.config.TLS == ImplicitTLS {
		encrypted := tls.Client(c.wire, s.config.TLSConfig)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, failed(ctx, stageTLS, err)
		}
		line = encrypted
	}
	c.wire.left = maxReply
	if c.client, err = smtp.NewClient(line, s.config.Host); err != nil {
		return nil, failed(ctx, stageConnect, err)
	}
	c.client.SkipSMTPUTF8(true) // letters need no more than ASCII, and with it fewer servers could pass them on
	if e := c.step(ctx, stageHello, func() error { return c.client.Hello(s.config.HELO) }); e != nil {
		return nil, e
	}
	if s.config.TLS == StartTLS {
		if e := c.startTLS(ctx, s.config.TLSConfig); e != nil {
			return nil, e
		}
	}
	if s.config.Username != "" {
		if e := c.authenticate(ctx, s.config); e != nil {
			return nil, e
		}
	}
	return c, nil
}

func (c *session) startTLS(ctx context.Context, config *tls.Config) *Error {
	if offered, _ := c.client.Extension("STARTTLS"); !offered {
		return &Error{Stage: stageTLS, cause: errNoTLS}
	}
	clear := c.client.Text
	if e := c.step(ctx, stageTLS, func() error { return c.client.StartTLS(config) }); e != nil {
		return e
	}
	if clear.R.Buffered() > 0 {
		// Somebody has put replies in the clear before those that TLS protects (CVE-2011-0411). They have not been read
		// and will not be, but where there is an attacker no letter goes.
		return &Error{Stage: stageTLS, cause: errUnasked}
	}
	return nil
}

// step is one exchange with the server, or a few at the same stage. It returns nil or what went wrong.
func (c *session) step(ctx context.Context, stage string, do func() error) *Error {
	c.wire.left = maxReply
	if err := do(); err != nil {
		return failed(ctx, stage, err)
	}
	return nil
}

// deliver sends a letter. It returns nil when the server has accepted it.
func (c *session) deliver(ctx context.Context, sender, recipient string, content []byte) *Error {
	c.letters++
	if e := c.step(ctx, stageSender, func() error { return c.client.Mail(sender) }); e != nil {
		return e
	}
	if e := c.step(ctx, stageRecipient, func() error { return c.client.Rcpt(recipient) }); e != nil {
		return e
	}
	sent := false
	e := c.step(ctx, stageContent, func() error {
		w, err := c.client.Data()
		if err != nil {
			return err
		}
		sent = true
		if _, err := w.Write(content); err != nil {
			return err
		}
		return w.Close()
	})
	if e != nil {
		e.sent = sent
	}
	return e
}

// ready reports whether a kept connection still works, and makes it the caller's for as long as ctx lasts.
func (c *session) ready(ctx context.Context) bool {
	c.used = true
	c.watch(ctx)
	deadline, _ := ctx.Deadline()
	c.wire.setDeadline(earlier(deadline, time.Now().Add(checkTime)))
	ok := c.step(ctx, stageHello, c.client.Reset) == nil
	c.wire.setDeadline(deadline)
	if !ok {
		c.unwatch()
	}
	return ok
}

// watch makes every read and write of the connection end when ctx does, which has a deadline.
func (c *session) watch(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	c.wire.setDeadline(deadline)
	c.unwatch = context.AfterFunc(ctx, c.wire.cancel)
}

// quit says farewell.
func (c *session) quit() {
	c.wire.setDeadline(time.Now().Add(quitTime))
	c.wire.left = maxReply
	_ = c.client.Quit()
	c.drop()
}

// drop closes the connection without a word.
func (c *session) drop() { _ = c.wire.Close() }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wire is a connection that reads no more than it is allowed, and that can be cancelled for good.
type wire struct {
	net.Conn
	left int // how many bytes may be read

	mu        sync.Mutex
	cancelled bool
}

func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, errTooLong
	}
	n, err := w.Conn.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, err
}

// setDeadline moves the deadline of reads and writes, unless the connection was cancelled.
func (w *wire) setDeadline(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.cancelled {
		_ = w.Conn.SetDeadline(t) // an error shows itself at the next read
	}
}

// cancel ends a read or write under way, and all later ones.
func (w *wire) cancel() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancelled = true
	_ = w.Conn.SetDeadline(time.Unix(1, 0))
}

// isHost reports whether s is an IP address or looks like a name that a resolver knows. Names within a network may have
// underscores.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	return s != "" && len(s) <= 253 && s[0] != '-' && s[0] != '.' && strings.Trim(s, allowed) == ""
}

// isAddressLiteral implements address-literal of RFC 5321 §4.1.3.
func isAddressLiteral(s string) bool {
	inner, ok := strings.CutPrefix(s, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !ok || !closed {
		return false
	}
	if v6, ok := strings.CutPrefix(inner, "IPv6:"); ok {
		a, err := netip.ParseAddr(v6)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	a, err := netip.ParseAddr(inner)
	return err == nil && a.Is4()
}

// isLocal reports whether what is sent to a host in the clear stays on this one.
func isLocal(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
