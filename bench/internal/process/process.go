// Package process runs the servers that are measured, each as a process of its own, and says what they use. It needs Linux.
package process

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/auth/bench/internal/server"
)

// startTime is how long a server may take to listen.
const startTime = time.Minute

// Command is how to start a server.
type Command struct {
	Path string
	Args []string
	Dir  string        // "": the working directory
	Env  []string      // besides the environment of this process
	End  time.Duration // how long it may take to end; 0: ten seconds
}

// Process is a server that runs.
type Process struct {
	Address string // where it listens
	command *exec.Cmd
	endTime time.Duration
	stdin   io.Closer
	stderr  tail
	ended   chan struct{} // closed when the process has ended, which sets err
	err     error
}

// Start starts a server and waits until it listens. The process ends at the latest when ctx does.
func Start(ctx context.Context, c Command, s server.Settings) (*Process, error) {
	settings, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &Process{ended: make(chan struct{}), endTime: cmp.Or(c.End, 10*time.Second), command: exec.CommandContext(ctx, c.Path, c.Args...)}
	p.command.Dir, p.command.Env, p.command.Stderr = c.Dir, append(os.Environ(), c.Env...), &p.stderr
	p.command.WaitDelay = p.endTime
	stdin, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, in := io.Pipe()
	p.command.Stdout = in
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.command.Wait()
		in.Close()
		close(p.ended)
	}()
	listens := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if address, ok := strings.CutPrefix(lines.Text(), server.Listening); ok {
				listens <- address
				break
			}
		}
		io.Copy(io.Discard, stdout) //nolint:errcheck // so that the server can write on
	}()
	if _, err := stdin.Write(append(settings, '\n')); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	ready, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case p.Address = <-listens:
		return p, nil
	case <-p.ended:
		return nil, p.failure("the server has ended", p.err)
	case <-ready.Done():
		return nil, p.failure("the server does not listen", errors.Join(ready.Err(), p.kill()))
	}
}

// Stop ends the server and waits until it has ended, as long as Command.End at most, after which it kills it. It is an error if the server had ended before, or
// ends with another status than 0.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
		return p.failure("the server had ended", p.err)
	default:
	}
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(p.endTime):
		return p.failure("the server does not end", p.kill())
	}
	if p.err != nil {
		return p.failure("the server fails", p.err)
	}
	return nil
}

// Logged returns the end of what the server has written to its standard error.
func (p *Process) Logged() string { return p.stderr.String() }

func (p *Process) kill() error {
	err := p.command.Process.Kill()
	<-p.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (p *Process) failure(what string, err error) error {
	if err != nil {
		what += ": " + err.Error()
	}
	if log := p.Logged(); log != "" {
		what += "\n" + log
	}
	return errors.New(what)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

// Version runs a program that prints its version, and returns the first line.
func Version(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}
