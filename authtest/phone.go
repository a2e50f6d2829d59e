package authtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"

	"github.com/ostiary/auth/sms"
)

// Phone receives the text messages to all numbers, for a test to read. It is an [sms.Sender], and an [sms.Verifier] for
// those who use one: it then makes codes of its own. It is safe for concurrent use. Make one with [NewPhone].
type Phone struct {
	texts inbox[sms.Message]

	mu    sync.Mutex
	codes map[string]string // by number: what Start sent and Check has not accepted
}

// NewPhone returns a phone without messages.
func NewPhone() *Phone {
	return &Phone{texts: newInbox[sms.Message](), codes: make(map[string]string)}
}

// Send implements [sms.Sender].
func (p *Phone) Send(ctx context.Context, m sms.Message) error {
	if err := m.Check(); err != nil {
		return &sms.Error{Provider: "authtest", Final: true, Err: err}
	}
	return p.texts.put(ctx, m)
}

// Start implements [sms.Verifier].
func (p *Phone) Start(ctx context.Context, to, locale string) error {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	code := fmt.Sprintf("%06d", n)
	if err := p.Send(ctx, sms.Message{To: to, Text: code, Code: code, Locale: locale}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[to] = code
	return nil
}

// Check implements [sms.Verifier]. A code is right once; unlike those of a provider, it does not expire.
func (p *Phone) Check(ctx context.Context, to, code string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	right := code != "" && p.codes[to] == code
	if right {
		delete(p.codes, to)
	}
	return right, nil
}

// Refuse makes Send and Start return err from now on, as a gateway in trouble does, and nil makes them accept messages
// again.
func (p *Phone) Refuse(err error) { p.texts.refuseWith(err) }

// All returns all messages in the order of their arrival.
func (p *Phone) All() []sms.Message { return p.texts.all() }

// To returns the messages to a number in E.164, in the order of their arrival. It does not wait.
func (p *Phone) To(number string) []sms.Message {
	return slices.DeleteFunc(p.All(), func(m sms.Message) bool { return m.To != number })
}

// Last returns the latest message to a number. If there is none it fails the test at once; it does not wait.
func (p *Phone) Last(t testing.TB, number string) sms.Message {
	t.Helper()
	return last(t, p.To(number), "text message to "+number)
}

// Next returns the earliest message to a number that Next has not returned before. It waits for it, for the tests of
// programs that deliver messages with [auth.Engine.Run]; if none comes within ten seconds it fails the test at once.
func (p *Phone) Next(t testing.TB, number string) sms.Message {
	t.Helper()
	return p.texts.next(t, "text message to "+number, func(m sms.Message) bool { return m.To == number })
}
