// Package smtpmail delivers letters by SMTP.
//
//	sender, err := smtpmail.New(smtpmail.Config{
//		Host:     "smtp.example.com",
//		Username: "ostiary",
//		Password: os.Getenv("SMTP_PASSWORD"),
//		From:     "Example <noreply@example.com>",
//	})
//
// That is all that a submission service (RFC 6409) needs: port 587, STARTTLS, and the best authentication method that the
// server offers. TLS is never optional: a server that does not offer it gets no letter and no password, unless the
// configuration says [NoTLS].
//
// # Letters
//
// A letter is in the format of RFC 5322 and MIME with a text and an HTML alternative, in lines of bounded length and
// nothing but ASCII: other characters are encoded (RFC 2045, RFC 2047). No value of a letter can add a header, a recipient
// or a command: line ends, in all the forms that Unicode knows, are blanks in a header, and a recipient is an address or
// refused. Addresses with a local part outside of ASCII (RFC 6531) are refused, as the engine refuses them;
// internationalised domains are written in ASCII.
//
// # Connections
//
// Connections are kept for the next letters until they have been idle for some time. One that the server has closed
// meanwhile is noticed before a letter is entrusted to it, and replaced.
//
// A letter is delivered when the server has said so. If the connection breaks between the last byte of a letter and that
// reply, nobody knows, and a caller who tries again may deliver it twice. Both have one Message-ID, made of the letter's ID
// and the domain of From: servers and mailboxes that look for repetitions drop the second.
package smtpmail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	netmail "net/mail"
	"slices"
	"sync"
	"time"

	"github.com/ostiary/auth/mail"
)

// TLSMode says how a connection is encrypted. The zero value is [StartTLS].
type TLSMode int

const (
	// StartTLS begins in the clear and insists on STARTTLS (RFC 3207) before anything else. Its port is 587.
	StartTLS TLSMode = iota
	// ImplicitTLS begins with TLS (RFC 8314 §3). Its port is 465.
	ImplicitTLS
	// NoTLS sends everything in the clear, for a relay on the same host and for catching mail in development. The
	// password is not sent in the clear unless Host is localhost, 127.0.0.1 or ::1. Its port is 25.
	NoTLS
)

// AuthMethod is a SASL mechanism. The zero value is [AuthAuto].
type AuthMethod string

// Authentication methods. PLAIN and LOGIN show the server the password; the others prove that it is known.
const (
	// AuthAuto takes the first that the server offers of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN and CRAM-MD5. In the
	// clear, PLAIN and LOGIN are left out.
	AuthAuto        AuthMethod = ""
	AuthPlain       AuthMethod = "PLAIN"         // RFC 4616
	AuthLogin       AuthMethod = "LOGIN"         // obsolete; some servers have nothing else
	AuthCRAMMD5     AuthMethod = "CRAM-MD5"      // RFC 2195, obsolete
	AuthSCRAMSHA1   AuthMethod = "SCRAM-SHA-1"   // RFC 5802
	AuthSCRAMSHA256 AuthMethod = "SCRAM-SHA-256" // RFC 7677
)

const (
	defaultTimeout     = 30 * time.Second
	defaultIdleTimeout = 30 * time.Second
	defaultMaxConns    = 4
)

// Config says which server to use and as whom. Host and From are required. It prints without its password, whatever the
// verb.
type Config struct {
	Host string  // a name or an IP address, without a port
	Port int     // the server's; default 587, or with ImplicitTLS 465, or with NoTLS 25
	TLS  TLSMode // whether and how letters are encrypted on their way; default [StartTLS]

	// TLSConfig is for authorities and client certificates of one's own; nil verifies Host against the system's roots. It
	// is copied. Its ServerName defaults to Host, its MinVersion to TLS 1.2.
	TLSConfig *tls.Config

	// Username and Password authenticate the sender; without a Username nobody does. Auth chooses the method; the zero value is
	// [AuthAuto].
	Username string
	Password string
	Auth     AuthMethod

	From string // whom letters are from: an address, or "Name <address>"

	// HELO is the name by which the sender introduces itself. The default is the domain of From. A relay that checks it
	// wants the name of this host.
	HELO string

	// Timeout bounds one Send as a whole, with waiting for a connection. The default is 30 seconds. A context that
	// ends earlier counts as well, at every stage.
	Timeout time.Duration

	// MaxConns is how many connections there may be at a time. The default is 4. More letters wait.
	MaxConns int

	// IdleTimeout is for how long a connection is kept for another letter. The default is 30 seconds; a negative
	// value closes each after one letter.
	IdleTimeout time.Duration

	// Headers are headers that repeat parts of a letter, for programs that read mail; see [DocumentedHeaders]. Besides
	// those there are X-Client-Url, X-Display-Name, X-Email, X-Locale, X-New-Email and X-Server-Url. A header without a
	// value is left out. X-Link and X-Ticket hold what the recipient alone should see in a place that mail servers log:
	// for tests, not for production.
	Headers []string

	// ExtraHeaders are added to every letter as they are, such as X-SMTPAPI.
	ExtraHeaders map[string]string
}

const redacted = "smtpmail.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the password out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Sender is a [mail.Sender] that delivers by SMTP. It is safe for concurrent use. Make one with [New].
type Sender struct {
	config *Config // complete; a pointer, which fmt does not follow
	from   netmail.Address
	domain string // of from
	turns  chan struct{}

	mu     sync.Mutex
	idle   []*session // the one used last is the last
	closed bool
}

var _ mail.Sender = (*Sender)(nil)

// Format keeps the password out of logs: a service's own struct that holds a Sender can be printed.
func (*Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "smtpmail.Sender") }

// New returns a Sender, or every mistake in c. It does not connect.
func New(c Config) (*Sender, error) {
	var mistakes []error
	wrong := func(field, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("smtpmail: %s %w", field, fmt.Errorf(format, args...)))
	}
	s := &Sender{config: &c}
	if !isHost(c.Host) {
		wrong("Host", "must be a host name or an IP address, without a port")
	}
	defaultPort, ok := map[TLSMode]int{StartTLS: 587, ImplicitTLS: 465, NoTLS: 25}[c.TLS]
	if !ok {
		wrong("TLS", "must be StartTLS, ImplicitTLS or NoTLS")
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.Port < 0 || c.Port > 65535 {
		wrong("Port", "is %d", c.Port)
	}
	if c.TLSConfig == nil {
		c.TLSConfig = &tls.Config{}
	}
	c.TLSConfig = c.TLSConfig.Clone()
	if c.TLSConfig.ServerName == "" {
		c.TLSConfig.ServerName = c.Host
	}
	if c.TLSConfig.MinVersion == 0 {
		c.TLSConfig.MinVersion = tls.VersionTLS12
	}
	switch {
	case (c.Username == "") != (c.Password == ""):
		wrong("Username and Password", "go together: set both or none")
	case c.Username == "" && c.Auth != AuthAuto:
		wrong("Auth", "is set, and Username is not")
	case c.Auth != AuthAuto && !slices.Contains(preference, c.Auth):
		wrong("Auth", "is %q, which is none of %q", string(c.Auth), preference)
	case c.TLS == NoTLS && showsPassword(c.Auth) && !isLocal(c.Host):
		wrong("Auth", "is %s, which would send the password in the clear", c.Auth)
	}
	from, domain, err := parseFrom(c.From)
	if err != nil {
		wrong("From", "%w", err)
	}
	s.from, s.domain = from, domain
	if c.HELO == "" {
		c.HELO = domain
	} else if !isHost(c.HELO) && !isAddressLiteral(c.HELO) {
		wrong("HELO", "must be a host name or an address literal such as [192.0.2.1]")
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		def   time.Duration
	}{{"Timeout", &c.Timeout, defaultTimeout}, {"IdleTimeout", &c.IdleTimeout, defaultIdleTimeout}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if c.Timeout < 0 {
		wrong("Timeout", "is %v, must not be negative", c.Timeout)
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.MaxConns < 0 {
		wrong("MaxConns", "is %d, must not be negative", c.MaxConns)
	}
	for _, name := range c.Headers {
		if variableHeaders[name] == nil {
			wrong("Headers", "has %q, which is none of %q", name, slices.Sorted(maps.Keys(variableHeaders)))
		}
	}
	c.Headers = slices.Clone(c.Headers)
	for _, name := range slices.Sorted(maps.Keys(c.ExtraHeaders)) {
		if mistake := checkExtraHeader(name, c.ExtraHeaders[name]); mistake != "" {
			wrong(fmt.Sprintf("ExtraHeaders[%q]", name), "%s", mistake)
		}
	}
	c.ExtraHeaders = maps.Clone(c.ExtraHeaders)
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	s.turns = make(chan struct{}, c.MaxConns)
	return s, nil
}

// Send implements [mail.Sender]. It returns nil when the server has accepted the letter, and otherwise an [*Error]. It
// ends when ctx does, at whatever stage.
func (s *Sender) Send(ctx context.Context, m mail.Message) error {
	recipient, content, err := s.compose(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return &Error{Stage: stageConnect, cause: context.Cause(ctx)}
	}
	for {
		c, err := s.connection(ctx)
		if err != nil {
			return err
		}
		e := c.deliver(ctx, "<"+s.from.Address+">", recipient, content)
		s.release(c, e)
		if e == nil {
			return nil
		}
		if c.used && e.isBroken() && !e.sent && ctx.Err() == nil {
			// The server has closed a kept connection between our asking and our using it. It has not seen the letter.
			continue
		}
		return e
	}
}

// connection returns a kept connection that is known to work, or a new one. The error is an *Error.
func (s *Sender) connection(ctx context.Context) (*session, error) {
	for {
		c, err := s.takeIdle()
		if err != nil {
			return nil, err
		}
		if c == nil {
			return s.connect(ctx)
		}
		if c.ready(ctx) {
			return c, nil
		}
		c.drop()
	}
}

func (s *Sender) takeIdle() (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &Error{Stage: stageConnect, cause: errClosed}
	}
	if len(s.idle) == 0 {
		return nil, nil
	}
	last := len(s.idle) - 1
	c := s.idle[last]
	s.idle = s.idle[:last]
	c.expiry.Stop()
	return c, nil
}

// release keeps a connection for the next letter, or ends it.
func (s *Sender) release(c *session, e *Error) {
	if !c.unwatch() || e != nil && e.isBroken() {
		c.drop()
		return
	}
	if c.letters >= maxLetters || !s.keep(c) {
		c.quit()
	}
}

// keep adds a connection to the idle ones, of which there are never more than MaxConns.
func (s *Sender) keep(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.config.IdleTimeout < 0 {
		return false
	}
	s.idle = append(s.idle, c)
	c.expiry = time.AfterFunc(s.config.IdleTimeout, func() { s.expire(c) })
	return true
}

// expire ends a connection that has been idle for too long, unless somebody has just taken it.
func (s *Sender) expire(c *session) {
	s.mu.Lock()
	i := slices.Index(s.idle, c)
	if i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		c.quit()
	}
}

// Close ends the idle connections. Letters under way are delivered, and their connections ended; later ones fail. It
// always returns nil.
func (s *Sender) Close() error {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range idle {
		c.expiry.Stop()
		c.quit()
	}
	return nil
}
