package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
)

const (
	channelMail = "mail"

	// deliveryTime is how long one attempt may take. A message is hidden from others for twice as long.
	deliveryTime = 30 * time.Second
	// maxAttempts is after how many failures a message is given up: with the delays below, after about two days. One that
	// a sender says will never be taken is given up at once.
	maxAttempts  = 12
	firstRetry   = 10 * time.Second
	longestRetry = 12 * time.Hour

	batch         = 100
	pollInterval  = 5 * time.Second
	purgeInterval = time.Minute
)

// outbox is the engine's view of its loops: whether one runs here, and how to tell it that there is something to do.
type outbox struct {
	loops atomic.Int32
	wake  chan struct{}
}

// letter is a message in both its forms: the row that is written with a change, and what is delivered.
type letter struct {
	row     store.Message
	message mail.Message
}

// letter writes a letter to a user, in their language. vars are added to the variables that every letter has.
func (e *Engine) letter(ctx context.Context, template string, to *store.User, vars map[string]string) (letter, error) {
	all := map[string]string{
		"displayName": to.DisplayName,
		"email":       to.Email,
		"locale":      to.Locale,
		"serverUrl":   e.config.ServerURL,
		"clientUrl":   e.rules.redirects.Default().String(),
	}
	for k, v := range vars {
		all[k] = v
	}
	m, err := mail.Render(template, to.Locale, all)
	if err != nil {
		return letter{}, fmt.Errorf("letter %s: %w", template, err)
	}
	address, err := emailaddr.Parse(to.Email)
	if err != nil {
		return letter{}, fmt.Errorf("letter %s: %w", template, err)
	}
	m.To = address.Mailbox()
	body, err := json.Marshal(m)
	if err != nil {
		return letter{}, fmt.Errorf("letter %s: %w", template, err)
	}
	id, now := uuid.New(), e.now()
	row := store.Message{ID: id, Channel: channelMail, Body: e.box.Seal("message", id[:], body), CreatedAt: now, NextAt: now}
	if e.deliversItself(ctx) {
		// This call will deliver it as soon as it is written; no other should try meanwhile.
		row.Attempts, row.NextAt = 1, now.Add(2*deliveryTime)
	}
	return letter{row, m}, nil
}

// letters are those that belong to one change.
type letters []letter

// rows are what is written with the change.
func (ls letters) rows() []store.Message {
	rows := make([]store.Message, len(ls))
	for i, l := range ls {
		rows[i] = l.row
	}
	return rows
}

// notice writes a letter that tells a user what has happened to their account. There is none where there is nobody to
// tell, or no way to: the address is not known to be theirs, or no sender is configured. It repeats nothing that the
// caller of the moment can choose, who may be a thief.
func (e *Engine) notice(ctx context.Context, template string, to *store.User) (letters, error) {
	if e.config.Mail == nil || !to.EmailVerified || to.EmailKey == "" {
		return nil, nil
	}
	l, err := e.letter(ctx, template, to, nil)
	if err != nil {
		return nil, err
	}
	return letters{l}, nil
}

// verifyLink is the link of a letter: the documented route with its parameters in the documented order.
func (e *Engine) verifyLink(ticket, linkType, redirectTo string) string {
	return e.config.ServerURL + "/verify?" + url.Values{
		"redirectTo": {redirectTo}, "ticket": {ticket}, "type": {linkType},
	}.Encode()
}

// deliversItself reports whether a call delivers its letters before it returns: where no loop of this process does, and
// not in a transaction of the service's, which may yet be rolled back.
func (e *Engine) deliversItself(ctx context.Context) bool {
	return e.outbox.loops.Load() == 0 && !e.store.Joined(ctx)
}

// deliver sends a letter whose row has been written, or leaves it to a loop. A failure is no failure of the call: the row
// stays, and a loop tries again.
func (e *Engine) deliver(ctx context.Context, ls ...letter) {
	for _, l := range ls {
		if l.row.Attempts > 0 {
			e.attempt(context.WithoutCancel(ctx), l.row, l.message)
			continue
		}
		select {
		case e.outbox.wake <- struct{}{}:
		default:
		}
	}
}

// attempt tries to deliver a message that this process has claimed, and settles it.
func (e *Engine) attempt(ctx context.Context, row store.Message, m mail.Message) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTime)
	defer cancel()
	err := guard(func() error {
		if e.config.Mail == nil {
			return errors.New("no sender is configured")
		}
		return e.config.Mail.Send(ctx, m)
	})
	s := store.Settlement{ID: row.ID, Delivered: err == nil}
	if err != nil {
		s.Dead = row.Attempts >= maxAttempts || mail.IsPermanent(err)
		s.RetryAt = e.now().Add(backOff(row.Attempts))
		event := Event{Type: EventMessageFailed, Detail: "will be tried again"}
		if s.Dead {
			event = Event{Type: EventMessageGivenUp}
		}
		e.emit(ctx, event)
		e.config.Logger.ErrorContext(ctx, "deliver message", slog.Any("error", err),
			slog.String("message", row.ID.String()), slog.Int("attempts", row.Attempts), slog.Bool("given up", s.Dead))
	}
	// The deadline of the attempt is not that of the note that it was made.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), deliveryTime)
	defer cancel()
	if err := e.store.SettleMessage(ctx, s); err != nil {
		e.config.Logger.ErrorContext(ctx, "settle message", slog.Any("error", err), slog.String("message", row.ID.String()))
	}
}

// backOff is how long to wait after a failed attempt: twice as long each time, spread by up to a half so that messages
// that failed together are not tried together.
func backOff(attempts int) time.Duration {
	d := min(firstRetry<<min(attempts-1, 16), longestRetry)
	return d + rand.N(d/2+1)
}

// Run is the engine's one background loop: it delivers messages, again and later where that fails, and removes what has
// expired. Start it in one or more processes; it ends, having finished the message in hand, when ctx does, and returns
// ctx's error. Faults of the store are logged and tried again.
//
// Without a running loop, messages are delivered before the call that causes them returns, and one that fails waits for
// a loop. So does one that is caused within a transaction of the service's own: a service that uses those must run a loop
// somewhere.
func (e *Engine) Run(ctx context.Context) error {
	e.outbox.loops.Add(1)
	defer e.outbox.loops.Add(-1)
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	var purged time.Time
	for {
		e.deliverDue(ctx)
		if now := e.now(); now.Sub(purged) >= purgeInterval {
			e.purge(ctx)
			purged = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		case <-e.outbox.wake:
		}
	}
}

func (e *Engine) deliverDue(ctx context.Context) {
	for ctx.Err() == nil {
		now := e.now()
		// Claimed one by one, so that nobody holds a claim while waiting for another's slow delivery.
		due, err := e.store.ClaimMessages(ctx, now, now.Add(2*deliveryTime), 1)
		if err != nil {
			e.config.Logger.ErrorContext(ctx, "claim messages", slog.Any("error", err))
			return
		}
		if len(due) == 0 {
			return
		}
		row := due[0]
		var m mail.Message
		body, err := e.box.Open("message", row.ID[:], row.Body)
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			// Sealed under a secret that is no longer configured: nobody will ever read it.
			e.config.Logger.ErrorContext(ctx, "open message", slog.Any("error", err), slog.String("message", row.ID.String()))
			e.emit(ctx, Event{Type: EventMessageGivenUp})
			if err := e.store.SettleMessage(ctx, store.Settlement{ID: row.ID, Dead: true}); err != nil {
				e.config.Logger.ErrorContext(ctx, "settle message", slog.Any("error", err))
			}
			continue
		}
		e.attempt(context.WithoutCancel(ctx), row, m)
	}
}

func (e *Engine) purge(ctx context.Context) {
	p := store.Purge{Now: e.now(), Limit: batch}
	if a := e.config.Anonymous; a != nil && a.MaxIdle > 0 {
		p.AnonymousBefore = p.Now.Add(-a.MaxIdle)
	}
	for ctx.Err() == nil {
		n, err := e.store.Purge(ctx, p)
		if err != nil {
			e.config.Logger.ErrorContext(ctx, "purge", slog.Any("error", err))
			return
		}
		if n < p.Limit {
			return
		}
	}
}
