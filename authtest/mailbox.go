package authtest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/mail"
)

// patience is how long a test waits for a letter that a running loop delivers. It is only spent by a test that fails.
const patience = 10 * time.Second

// Letter is a letter in a [Mailbox].
type Letter struct{ mail.Message }

// Link returns the link that the letter asks its reader to follow, or the empty string if it has none.
func (l Letter) Link() string { return l.Variables["link"] }

// Ticket returns the one-time secret in the letter, as it stands in the link or is to be typed in, or the empty string
// if it has none.
func (l Letter) Ticket() string { return l.Variables["ticket"] }

// Mailbox is a [mail.Sender] that keeps letters for a test to read. It is safe for concurrent use. Make one with
// [NewMailbox].
type Mailbox struct {
	mu      sync.Mutex
	letters []Letter
	read    map[int]bool  // by index: those that Next has returned
	arrived chan struct{} // closed when a letter comes, and replaced
	refuse  error
}

// NewMailbox returns an empty mailbox.
func NewMailbox() *Mailbox {
	return &Mailbox{read: make(map[int]bool), arrived: make(chan struct{})}
}

// Send implements [mail.Sender].
func (m *Mailbox) Send(ctx context.Context, message mail.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	message.Variables = maps.Clone(message.Variables)
	m.letters = append(m.letters, Letter{message})
	close(m.arrived)
	m.arrived = make(chan struct{})
	return nil
}

// Refuse makes Send return err from now on, as a mail server in trouble does, and nil makes it accept letters again.
func (m *Mailbox) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// All returns all letters in the order of their arrival.
func (m *Mailbox) All() []Letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.letters)
}

// To returns the letters to an address, in any spelling, in the order of their arrival. It does not wait: without a
// running [auth.Engine.Run] a letter has arrived when the call that caused it returns.
func (m *Mailbox) To(address string) []Letter {
	return slices.DeleteFunc(m.All(), func(l Letter) bool { return !sameAddress(l.To, address) })
}

// Last returns the latest letter to an address. If there is none it fails the test at once; it does not wait.
func (m *Mailbox) Last(t testing.TB, address string) Letter {
	t.Helper()
	letters := m.To(address)
	if len(letters) == 0 {
		t.Fatalf("authtest: no letter to %s", address)
	}
	return letters[len(letters)-1]
}

// Next returns the earliest letter to an address that Next has not returned before. It waits for it, for the tests of
// programs that deliver letters with [auth.Engine.Run]; if none comes within ten seconds it fails the test at once.
func (m *Mailbox) Next(t testing.TB, address string) Letter {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	letter, ok := m.wait(ctx, func(i int, l Letter) bool {
		if m.read[i] || !sameAddress(l.To, address) {
			return false
		}
		m.read[i] = true
		return true
	})
	if !ok {
		t.Fatalf("authtest: no further letter to %s has come", address)
	}
	return letter
}

// wait returns the first letter, by its index and content, that take takes, or false if there is none when ctx ends. It
// holds the lock while it asks.
func (m *Mailbox) wait(ctx context.Context, take func(int, Letter) bool) (Letter, bool) {
	for seen := 0; ; {
		m.mu.Lock()
		for ; seen < len(m.letters); seen++ {
			if take(seen, m.letters[seen]) {
				defer m.mu.Unlock()
				return m.letters[seen], true
			}
		}
		arrived := m.arrived
		m.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return Letter{}, false
		}
	}
}

// sameAddress compares addresses as the engine does.
func sameAddress(a, b string) bool {
	x, errX := emailaddr.Parse(a)
	y, errY := emailaddr.Parse(b)
	if errX != nil || errY != nil {
		return a == b
	}
	return x.Canonical == y.Canonical
}
