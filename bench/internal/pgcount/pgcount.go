// Package pgcount counts what a program asks of PostgreSQL, whatever the program is written in: it stands between the two.
//
// It counts what the server says, because that is the same for all drivers: a statement is one that the server has completed
// (CommandComplete), BEGIN and COMMIT included, and a round trip is one after which the server waits for the client
// (ReadyForQuery). Statements that fail are not counted, and preparing a statement is a round trip without one.
package pgcount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Count is what was counted so far.
type Count struct {
	Statements, Trips int64
}

// Sub returns what was counted since an earlier count.
func (c Count) Sub(earlier Count) Count {
	return Count{c.Statements - earlier.Statements, c.Trips - earlier.Trips}
}

// Proxy relays connections to a PostgreSQL server without TLS.
type Proxy struct {
	listener         net.Listener
	network, address string

	statements, trips atomic.Int64

	mu     sync.Mutex
	open   map[net.Conn]struct{} // nil when closed
	relays sync.WaitGroup
}

// Listen returns a proxy on a free port of the loopback interface that relays to the server at an address. Close ends it.
func Listen(network, address string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, network: network, address: address, open: map[net.Conn]struct{}{}}
	p.relays.Go(p.serve)
	return p, nil
}

// Addr returns where it listens.
func (p *Proxy) Addr() *net.TCPAddr { return p.listener.Addr().(*net.TCPAddr) }

// Count returns what was counted so far. What the client has received is counted.
func (p *Proxy) Count() Count { return Count{p.statements.Load(), p.trips.Load()} }

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.open {
		c.Close()
	}
	p.open = nil
	p.mu.Unlock()
	p.relays.Wait()
	return err
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		p.relays.Go(func() {
			defer client.Close()
			if !p.keep(client) {
				return
			}
			defer p.forget(client)
			p.relay(client)
		})
	}
}

// keep remembers a connection for Close, and reports whether that is still to come.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// relay copies both ways until either side ends.
func (p *Proxy) relay(client net.Conn) {
	first, err := startup(client)
	if err != nil {
		return
	}
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	if _, err := server.Write(first); err != nil {
		return
	}
	p.relays.Go(func() {
		io.Copy(server, client) //nolint:errcheck // either side may end at any time
		server.Close()
	})
	io.Copy(client, io.TeeReader(server, &counter{proxy: p})) //nolint:errcheck // as above
}

// counter counts the messages that are written to it.
type counter struct {
	scanner
	proxy *Proxy
	ready bool // the connection is set up
}

func (c *counter) Write(b []byte) (int, error) {
	c.scan(b, func(kind byte) {
		switch {
		case kind == commandComplete:
			c.proxy.statements.Add(1)
		case kind == readyForQuery && !c.ready:
			c.ready = true // which is no answer to a request
		case kind == readyForQuery:
			c.proxy.trips.Add(1)
		}
	})
	return len(b), nil
}

// Codes of the first message of a client. PostgreSQL, Frontend/Backend Protocol, Message Formats.
const (
	codeSSL    = 80877103
	codeGSSENC = 80877104
)

// maxStartup bounds the first message of a client, as the server does.
const maxStartup = 10000

// startup reads the message with which a connection begins. Requests for encryption it declines itself, because it could
// not count what it cannot read.
func startup(client io.ReadWriter) ([]byte, error) {
	for range 3 {
		head := make([]byte, 8)
		if _, err := io.ReadFull(client, head); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(head)
		if size < 8 || size > maxStartup {
			return nil, fmt.Errorf("a first message of %d bytes", size)
		}
		message := append(head, make([]byte, size-8)...)
		if _, err := io.ReadFull(client, message[8:]); err != nil {
			return nil, err
		}
		if code := binary.BigEndian.Uint32(head[4:]); code != codeSSL && code != codeGSSENC {
			return message, nil
		}
		if _, err := client.Write([]byte{'N'}); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the client wants nothing but encryption")
}
