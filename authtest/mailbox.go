package authtest

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/mail"
)

// Letter is a letter in a [Mailbox].
type Letter struct{ mail.Message }

// Link returns the link that the letter asks its reader to follow, or the empty string if it has none.
func (l Letter) Link() string { return l.Variables["link"] }

// Ticket returns the one-time secret in the letter, as it stands in the link or is to be typed in, or the empty string
// if it has none.
func (l Letter) Ticket() string { return l.Variables["ticket"] }

// Mailbox is a [mail.Sender] that keeps letters for a test to read. It is safe for concurrent use. Make one with
// [NewMailbox].
type Mailbox struct{ letters inbox[Letter] }

// NewMailbox returns an empty mailbox.
func NewMailbox() *Mailbox { return &Mailbox{newInbox[Letter]()} }

// Send implements [mail.Sender].
func (m *Mailbox) Send(ctx context.Context, message mail.Message) error {
	message.Variables = maps.Clone(message.Variables)
	return m.letters.put(ctx, Letter{message})
}

// Refuse makes Send return err from now on, as a mail server in trouble does, and nil makes it accept letters again.
func (m *Mailbox) Refuse(err error) { m.letters.refuseWith(err) }

// All returns all letters in the order of their arrival.
func (m *Mailbox) All() []Letter { return m.letters.all() }

// To returns the letters to an address, in any spelling, in the order of their arrival. It does not wait: without a
// running [auth.Engine.Run] a letter has arrived when the call that caused it returns.
func (m *Mailbox) To(address string) []Letter {
	return slices.DeleteFunc(m.All(), func(l Letter) bool { return !emailaddr.Same(l.To, address) })
}

// Last returns the latest letter to an address. If there is none it fails the test at once; it does not wait.
func (m *Mailbox) Last(t testing.TB, address string) Letter {
	t.Helper()
	return last(t, m.To(address), "letter to "+address)
}

// Next returns the earliest letter to an address that Next has not returned before. It waits for it, for the tests of
// programs that deliver letters with [auth.Engine.Run]; if none comes within ten seconds it fails the test at once.
func (m *Mailbox) Next(t testing.TB, address string) Letter {
	t.Helper()
	return m.letters.next(t, "letter to "+address, func(l Letter) bool { return emailaddr.Same(l.To, address) })
}
