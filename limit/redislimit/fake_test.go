package redislimit_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/ostiary/auth/internal/need"
)

// fake is a server that speaks the protocol and answers scripts as a test wants.
type fake struct {
	address string
	answer  func(command string) string // "" closes the connection, silence leaves it open without an answer

	mu       sync.Mutex
	commands []string // EVALSHA and EVAL, in the order of their arrival
}

const silence = "\x00"

func newFake(t *testing.T, answer func(command string) string) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{address: listener.Addr().String(), answer: answer}
	serve(t, listener, f.serve)
	return f
}

// serve has each connection of a listener served, until the test ends.
func serve(t *testing.T, listener net.Listener, each func(net.Conn)) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	ended := false
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			if ended {
				_ = conn.Close()
			}
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				each(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		ended = true
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

func (f *fake) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		answer := "+OK\r\n"
		switch command {
		case "HELLO":
			answer = "-ERR unknown command 'HELLO'\r\n"
		case "EVALSHA", "EVAL":
			f.mu.Lock()
			f.commands = append(f.commands, command)
			f.mu.Unlock()
			answer = f.answer(command)
		}
		if answer == silence {
			continue
		}
		if answer == "" {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// seen returns the commands that have arrived and forgets them.
func (f *fake) seen() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := strings.Join(f.commands, " ")
	f.commands = nil
	return all
}

// readCommand reads an array of strings and returns the first in capitals.
func readCommand(in *bufio.Reader) (string, error) {
	n, err := readLength(in, '*')
	if err != nil {
		return "", err
	}
	command := ""
	for i := range n {
		size, err := readLength(in, '$')
		if err != nil {
			return "", err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return "", err
		}
		if i == 0 {
			command = strings.ToUpper(string(text[:size]))
		}
	}
	return command, nil
}

func readLength(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, errors.New("not a command")
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// proxy stands in front of a server, and can keep back what it answers.
type proxy struct {
	address string
	gate    chan struct{} // closed while answers pass
	mu      sync.Mutex
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), gate: make(chan struct{})}
	close(p.gate)
	ctx := t.Context()
	serve(t, listener, func(conn net.Conn) {
		up, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			_, _ = io.Copy(up, conn)
			_ = up.Close()
		}()
		buffer := make([]byte, 4096)
		for {
			n, err := up.Read(buffer)
			if err != nil {
				return
			}
			p.mu.Lock()
			gate := p.gate
			p.mu.Unlock()
			select {
			case <-gate:
			case <-ctx.Done():
				return
			}
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	return p
}

// hold keeps answers back until release is called.
func (p *proxy) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gate := make(chan struct{})
	p.gate = gate
	return func() { close(gate) }
}

// server is a Redis of the test's own, which it can kill.
type server struct {
	address string
	process *exec.Cmd
}

// newServer starts a Redis that keeps nothing on disk.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	need.Program(t, "redis-server")
	// A port that was free a moment ago.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: listener.Addr().String()}
	_ = listener.Close()
	s.start(t, args...)
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *server) start(t *testing.T, args ...string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.address)
	args = append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)
	s.process = exec.Command("redis-server", args...)
	var log bytes.Buffer
	s.process.Stdout = &log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.address})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	for client.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			s.kill()
			t.Fatalf("redis-server does not start:\n%s", log.String())
		}
	}
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// outages collects what OnOutage was told.
type outages struct {
	mu   sync.Mutex
	told []error
}

func (o *outages) tell(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, err)
}

// String shows a "-" for each beginning and a "+" for each end.
func (o *outages) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := ""
	for _, err := range o.told {
		if err != nil {
			s += "-"
		} else {
			s += "+"
		}
	}
	return s
}
