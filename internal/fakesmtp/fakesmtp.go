// Package fakesmtp is a mail server for tests. It speaks SMTP (RFC 5321) with STARTTLS, implicit TLS, AUTH and PIPELINING
// over real connections, keeps the letters it accepts and everything it was told, and misbehaves when asked to.
package fakesmtp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options say what kind of server it is. The zero value offers STARTTLS, and within it every mechanism.
type Options struct {
	Implicit    bool     // TLS from the first byte
	NoStartTLS  bool     // no STARTTLS
	NoEHLO      bool     // knows HELO only
	Mechanisms  []string // offered for AUTH; nil is all of them
	AuthInClear bool     // AUTH is offered without TLS too

	User, Password string
	Iterations     int  // of SCRAM; 0 is 4096
	Forge          bool // SCRAM goes as with a server that does not know the password: its proof is wrong
	SkipProof      bool // SCRAM ends without the server's proof

	// Answer, if set, is asked before a command is obeyed. If it returns a Reply that is not zero, that is the answer, and
	// the command has no effect. verb is the first word in upper case; "CONNECT" stands for the greeting, "CONTENT" for the
	// reply to a letter, and "AUTH-RESPONSE" for a line of an authentication.
	Answer func(c *Conn, verb, argument string) Reply
}

// Reply is an answer out of the ordinary.
type Reply struct {
	Text    string // written as it is, and CRLF after it
	Obey    bool   // write Text, and then go on as usual
	Unsaid  bool   // go on as usual, but close the connection in place of the proper answer
	Drop    bool   // then close the connection
	Silence bool   // say nothing until the client goes away
	Endless bool   // send one long reply until the client goes away
}

// Letter is a letter that the server has accepted.
type Letter struct {
	From, To string // the whole argument of MAIL and RCPT, parameters included
	Content  string
	Conn     int // the number of the connection
	TLS      bool
	User     string // who was authenticated
}

// Server is a running server.
type Server struct {
	Host string
	Port int
	Pool *x509.CertPool // has the authority of its certificate

	options  Options
	listener net.Listener
	config   *tls.Config

	mu      sync.Mutex
	conns   []*Conn
	letters []Letter
	more    chan struct{} // closed when a letter comes, and replaced
	clear   strings.Builder
}

// Conn is a connection of a client.
type Conn struct {
	Number  int // from 1
	Letters int // accepted so far

	done     chan struct{} // closed when the connection is
	server   *Server
	conn     net.Conn
	text     *textproto.Conn
	tls      bool
	greeted  bool
	user     string
	from, to string
	said     []string
	answered bool // by the test, in the middle of an authentication
}

// Start runs a server until the test ends. It listens on 127.0.0.1, for which its certificate is valid.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificate, pool := certificate(t)
	s := &Server{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Pool: pool,
		more: make(chan struct{}), options: o, listener: listener, config: &tls.Config{Certificates: []tls.Certificate{certificate}},
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			c := &Conn{Number: len(s.conns) + 1, server: s, conn: conn, done: make(chan struct{})}
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			running.Go(func() {
				defer close(c.done)
				defer conn.Close()
				c.serve()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.DropAll()
		running.Wait()
	})
	return s
}

// DropAll closes all connections, as a server that is restarted does.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.conn.Close()
	}
}

// Letters returns the letters accepted so far.
func (s *Server) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// Await waits until n letters have been accepted, or ctx ends, and returns those that there are.
func (s *Server) Await(ctx context.Context, n int) []Letter {
	for {
		s.mu.Lock()
		letters, more := slices.Clone(s.letters), s.more
		s.mu.Unlock()
		if len(letters) >= n {
			return letters
		}
		select {
		case <-more:
		case <-ctx.Done():
			return letters
		}
	}
}

// Conns returns how many connections there have been.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// AwaitEnd waits until a connection, by its number, has been closed.
func (s *Server) AwaitEnd(number int) {
	s.mu.Lock()
	c := s.conns[number-1]
	s.mu.Unlock()
	<-c.done
}

// Said returns the lines that a connection has sent outside of letters, by its number.
func (s *Server) Said(number int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.conns[number-1].said)
}

// Clear returns everything that the server was sent without TLS, on all connections.
func (s *Server) Clear() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clear.String()
}

// tap keeps a copy of what is read.
type tap struct {
	net.Conn
	s *Server
}

func (t tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.s.mu.Lock()
	t.s.clear.Write(p[:n])
	t.s.mu.Unlock()
	return n, err
}

// serve talks to a client until either has enough.
func (c *Conn) serve() {
	if c.server.options.Implicit {
		c.startTLS(c.conn)
	} else {
		c.text = textproto.NewConn(tap{c.conn, c.server})
	}
	if !c.answer("CONNECT", "", "220 fake.example.test ESMTP") {
		return
	}
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			return
		}
		c.hear(line)
		verb, argument, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		reply, effect := c.obey(verb, argument)
		if !c.answer(verb, argument, reply, effect) || verb == "QUIT" {
			return
		}
	}
}

func (c *Conn) hear(line string) {
	c.server.mu.Lock()
	c.said = append(c.said, line)
	c.server.mu.Unlock()
}

// obey returns the proper reply to a command, and what else it does once that is written.
func (c *Conn) obey(verb, argument string) (reply string, effect func() bool) {
	o := c.server.options
	none := func() bool { return true }
	switch verb {
	case "EHLO":
		if o.NoEHLO {
			return "502 5.5.2 what is EHLO?", none
		}
		lines := []string{"fake.example.test", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 1000000"}
		if !c.tls && !o.NoStartTLS {
			lines = append(lines, "STARTTLS")
		}
		if o.User != "" && (c.tls || o.AuthInClear) {
			lines = append(lines, "AUTH "+strings.Join(o.mechanisms(), " "))
		}
		return multi(250, lines...), func() bool { c.greeted = true; return true }
	case "HELO":
		return "250 fake.example.test", func() bool { c.greeted = true; return true }
	case "NOOP":
		return "250 2.0.0 fine", none
	case "QUIT":
		return "221 2.0.0 bye", none
	case "RSET":
		return "250 2.0.0 forgotten", func() bool { c.from, c.to = "", ""; return true }
	}
	if !c.greeted {
		return "503 5.5.1 introduce yourself", none
	}
	switch verb {
	case "STARTTLS":
		if c.tls || o.NoStartTLS {
			return "503 5.5.1 not here", none
		}
		// RFC 3207 §4.2: all that was said in the clear is forgotten.
		return "220 2.0.0 go ahead", func() bool { c.greeted = false; return c.startTLS(c.conn) }
	case "AUTH":
		return "", func() bool { return c.authenticate(argument) }
	case "MAIL":
		if !strings.HasPrefix(argument, "FROM:<") || c.from != "" {
			return "501 5.5.4 MAIL", none
		}
		return "250 2.1.0 sender ok", func() bool { c.from = strings.TrimPrefix(argument, "FROM:"); return true }
	case "RCPT":
		if !strings.HasPrefix(argument, "TO:<") || c.from == "" || c.to != "" {
			return "501 5.5.4 RCPT", none
		}
		return "250 2.1.5 recipient ok", func() bool { c.to = strings.TrimPrefix(argument, "TO:"); return true }
	case "DATA":
		if c.to == "" {
			return "503 5.5.1 no recipient", none
		}
		return "354 go ahead", c.receive
	}
	return "502 5.5.2 unknown command", none
}

// receive reads a letter up to its last line.
func (c *Conn) receive() bool {
	// Not by DotReader, which is lenient about line ends: a client that sends a bare one is to be found out.
	var content strings.Builder
	for {
		line, err := c.text.R.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		content.WriteString(strings.TrimPrefix(line, "."))
	}
	letter := Letter{From: c.from, To: c.to, Content: content.String(), Conn: c.Number, TLS: c.tls, User: c.user}
	c.from, c.to = "", ""
	return c.answer("CONTENT", "", "250 2.0.0 accepted", func() bool {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		c.Letters++
		c.server.letters = append(c.server.letters, letter)
		close(c.server.more)
		c.server.more = make(chan struct{})
		return true
	})
}

// answer writes what the test wants, or else reply, and has the effects of that. It reports whether to go on.
func (c *Conn) answer(verb, argument, reply string, effects ...func() bool) bool {
	instead, unsaid, alive := c.misbehave(verb, argument)
	if instead || !alive {
		return alive
	}
	// What is done is done before the client can know of it.
	early := verb == "CONTENT" || verb == "MAIL" || verb == "RCPT" || verb == "RSET" || verb == "EHLO" || verb == "HELO"
	if early && !run(effects) || unsaid || reply != "" && !c.write(reply) {
		return false
	}
	return early || run(effects)
}

// misbehave does what the test wants instead of a proper answer, if it wants anything, and reports whether it did, whether
// the proper answer is to be left out, and whether to go on.
func (c *Conn) misbehave(verb, argument string) (instead, unsaid, alive bool) {
	if c.server.options.Answer == nil {
		return false, false, true
	}
	r := c.server.options.Answer(c, verb, argument)
	switch {
	case r.Silence:
		_, _ = io.Copy(io.Discard, c.text.R)
		return true, false, false
	case r.Endless:
		for {
			if _, err := io.WriteString(c.text.W, "250-"+strings.Repeat("and so on ", 100)+"\r\n"); err != nil {
				return true, false, false
			}
		}
	}
	if r.Text != "" && !c.write(r.Text) {
		return true, false, false
	}
	return r.Text != "" && !r.Obey, r.Unsaid, !r.Drop
}

func run(effects []func() bool) bool {
	for _, effect := range effects {
		if !effect() {
			return false
		}
	}
	return true
}

// write sends a reply byte by byte, as far as one is as long as it should be: nobody may rely on it arriving in one piece.
func (c *Conn) write(reply string) bool {
	const proper = 1000
	for i, b := range []byte(reply + "\r\n") {
		if _, err := c.text.W.Write([]byte{b}); err != nil {
			return false
		}
		if b == '\n' || c.tls && i < proper { // flushing each byte in the clear would be a thousand packets to no purpose
			if err := c.text.W.Flush(); err != nil {
				return false
			}
		}
	}
	return true
}

func (c *Conn) startTLS(conn net.Conn) bool {
	encrypted := tls.Server(conn, c.server.config)
	if err := encrypted.Handshake(); err != nil {
		c.text = textproto.NewConn(conn)
		return false
	}
	c.text, c.tls = textproto.NewConn(encrypted), true
	return true
}

func multi(code int, lines ...string) string {
	prefix := string([]byte{'0' + byte(code/100), '0' + byte(code/10%10), '0' + byte(code%10)})
	for i := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		lines[i] = prefix + separator + lines[i]
	}
	return strings.Join(lines, "\r\n")
}

// certificate makes a certificate for 127.0.0.1.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
