package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/webhook"
)

// clock is the present, and what the nights have added to it. It is safe for concurrent use.
type clock struct {
	leapt atomic.Int64 // nanoseconds
	last  atomic.Int64 // that of before the last night
}

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.leapt.Load())) }

// before is what it would be without the last night.
func (c *clock) before() time.Time { return time.Now().Add(time.Duration(c.last.Load())) }

func (c *clock) leap(d time.Duration) { c.last.Store(c.leapt.Swap(c.leapt.Load() + int64(d))) }

// post is a [mail.Sender] that keeps letters for who reads them, and no others. It is safe for concurrent use.
type post struct {
	mu      sync.Mutex
	letters map[string][]mail.Message // by address; those who have a mailbox
	arrived chan struct{}             // closed and replaced when a letter comes
	sent    int
}

func newPost() *post {
	return &post{letters: map[string][]mail.Message{}, arrived: make(chan struct{})}
}

// Send implements [mail.Sender].
func (p *post) Send(_ context.Context, m mail.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	to := strings.Trim(m.To, "<>")
	if _, known := p.letters[to]; known {
		p.letters[to] = append(p.letters[to], m)
		close(p.arrived)
		p.arrived = make(chan struct{})
	}
	return nil
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// open gives an address a mailbox, and shut takes it away.
func (p *post) open(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters[address] = nil
}

func (p *post) shut(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.letters, address)
}

// read waits for a letter, and takes it and all others out of the mailbox.
func (p *post) read(ctx context.Context, address, template string) (mail.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p.mu.Lock()
		for _, m := range p.letters[address] {
			if m.Template == template {
				p.letters[address] = nil
				p.mu.Unlock()
				return m, nil
			}
		}
		arrived := p.arrived
		p.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return mail.Message{}, fmt.Errorf("no letter %s has come to %s", template, address)
		}
	}
}

// hooks receives webhooks, and knows which events have been there of which none has told. It is safe for concurrent use.
type hooks struct {
	clock         *clock
	secret        webhook.Secret
	text          string
	fault         func(error)
	night         atomic.Bool // then it is well
	calls         atomic.Int64
	taken, failed atomic.Int64
	mu            sync.Mutex
	owed          map[uuid.UUID]bool
}

func newHooks(c *clock, fault func(error)) (*hooks, error) {
	var random [32]byte
	rand.Read(random[:]) //nolint:errcheck // never fails; a broken source ends the program
	h := &hooks{clock: c, fault: fault, text: "whsec_" + base64.StdEncoding.EncodeToString(random[:]), owed: map[uuid.UUID]bool{}}
	var err error
	h.secret, err = webhook.ParseSecret(h.text)
	return h, err
}

// Emit implements [auth.EventSink]. It is told of an event before that is sent.
func (h *hooks) Emit(_ context.Context, ev auth.Event) {
	if strings.HasPrefix(ev.Method, "webhook:") {
		return // none tells of those
	}
	if ev.Type == auth.EventMessageGivenUp || ev.Type == auth.EventAuditLost || ev.Type == auth.EventMessageFailed {
		h.fault(fmt.Errorf("an event %s: %s %s", ev.Type, ev.Method, ev.Detail))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.owed[ev.ID] = true
}

// waiting is how many events have not been told of.
func (h *hooks) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.owed)
}

// ServeHTTP takes a webhook, or fails as servers do.
func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, err := h.read(r)
	if err != nil {
		h.fault(fmt.Errorf("a webhook: %w", err))
		return
	}
	if n := h.calls.Add(1); !h.night.Load() {
		switch {
		case n%97 == 0:
			h.failed.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case n%193 == 0:
			h.failed.Add(1)
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		case n%389 == 0:
			h.failed.Add(1)
			panic(http.ErrAbortHandler) // hangs up
		}
	}
	id, err := uuid.Parse(m.Data.ID)
	if err != nil {
		h.fault(fmt.Errorf("the id of an event: %w", err))
		return
	}
	h.taken.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.owed, id)
}

func (h *hooks) read(r *http.Request) (*webhook.Message, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, webhook.MaxBody+1))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m, err := webhook.Read(r, h.clock.now(), h.secret)
	if errors.Is(err, webhook.ErrTime) { // signed before the night, and here after
		r.Body = io.NopCloser(bytes.NewReader(body))
		m, err = webhook.Read(r, h.clock.before(), h.secret)
	}
	return m, err
}
