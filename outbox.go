package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/store"
)

const (
	channelMail = "mail"
	channelSMS  = "sms"

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
	wake  chan struct{} // there are messages to deliver
	tend  chan struct{} // there are events of transactions to write
}

// letter is a message in both its forms: the row that is written with a change, and what delivers it.
type letter struct {
	row  store.Message
	send func(context.Context) error
}

// letter writes a letter to a user, in their language. vars are added to the variables that every letter has.
func (e *Engine) letter(ctx context.Context, template string, to *store.User, vars map[string]string) (letter, error) {
	all := e.variables(to.Locale)
	all["displayName"], all["email"] = to.DisplayName, to.Email
	maps.Copy(all, vars)
	m, err := e.rules.texts.Mail(template, to.Locale, all)
	if err != nil {
		return letter{}, fmt.Errorf("letter %s: %w", template, err)
	}
	address, err := emailaddr.Parse(to.Email)
	if err != nil {
		return letter{}, fmt.Errorf("letter %s: %w", template, err)
	}
	m.To = address.Mailbox()
	row, err := e.row(channelMail, m, e.deliversItself(ctx))
	return letter{row, e.mails(row.ID, m)}, err
}

// variables are those that every message has.
func (e *Engine) variables(locale string) map[string]string {
	return map[string]string{
		"locale":     locale,
		"serverUrl":  e.config.ServerURL,
		"clientUrl":  e.rules.redirects.Default().String(),
		"clientHost": e.rules.clientHost,
	}
}

// row is the row of a message. At once says that this call will deliver it as soon as it is written: no other is to try
// meanwhile.
func (e *Engine) row(channel string, content any, atOnce bool) (store.Message, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return store.Message{}, fmt.Errorf("message: %w", err)
	}
	id, now := uuid.New(), e.now()
	row := store.Message{ID: id, Channel: channel, Body: e.box.Seal("message", id[:], body), CreatedAt: now, NextAt: now}
	if atOnce {
		row.Attempts, row.NextAt = 1, now.Add(2*deliveryTime)
	}
	return row, nil
}

// mails delivers a letter, which is called the same at every attempt.
func (e *Engine) mails(id uuid.UUID, m mail.Message) func(context.Context) error {
	m.ID = id.String()
	return func(ctx context.Context) error {
		if e.config.Mail == nil {
			return errors.New("no sender is configured")
		}
		return e.config.Mail.Send(ctx, m)
	}
}

// textMessage is a text message as it lies in the outbox. Without a text it is for the provider to make one.
type textMessage struct {
	sms.Message
	ExpiresAt time.Time // when the code in it does
}

// text writes a text message with a code.
func (e *Engine) text(ctx context.Context, template, number, locale, code string, expires time.Time) (letter, error) {
	m := textMessage{sms.Message{To: number, Code: code, Locale: locale}, expires}
	if code != "" {
		var err error
		all := e.variables(locale)
		all["code"] = code
		if m.Text, err = e.rules.texts.Text(template, locale, all); err != nil {
			return letter{}, fmt.Errorf("text message %s: %w", template, err)
		}
	}
	// Whoever asks for a code hears whether it was sent, as documented, unless that would tell them whose number it is.
	row, err := e.row(channelSMS, m, e.deliversItself(ctx) || !e.config.ConcealErrors && !e.store.Joined(ctx))
	return letter{row, e.texts(m)}, err
}

// texts delivers a text message.
func (e *Engine) texts(m textMessage) func(context.Context) error {
	return func(ctx context.Context) error {
		c := e.config.SMS
		switch {
		case c == nil:
			return errors.New("no sender is configured")
		case !e.now().Before(m.ExpiresAt):
			return &sms.Error{Provider: "outbox", Final: true, Err: errors.New("the code has expired")}
		case (m.Text == "") != (c.Verifier != nil):
			return &sms.Error{Provider: "outbox", Final: true, Err: errors.New("the code was made for another kind of sender")}
		case c.Verifier != nil:
			return c.Verifier.Start(ctx, m.To, m.Locale)
		}
		return c.Sender.Send(ctx, m.Message)
	}
}

// sending opens a message of the outbox.
func (e *Engine) sending(row store.Message) (func(context.Context) error, error) {
	body, err := e.box.Open("message", row.ID[:], row.Body)
	if err != nil {
		return nil, err
	}
	switch row.Channel {
	case channelMail:
		var m mail.Message
		err = json.Unmarshal(body, &m)
		return e.mails(row.ID, m), err
	case channelSMS:
		var m textMessage
		err = json.Unmarshal(body, &m)
		return e.texts(m), err
	}
	return e.webhookSending(&row, body)
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
	return e.noticeWith(ctx, template, to, nil)
}

// noticeWith is notice with further variables.
func (e *Engine) noticeWith(ctx context.Context, template string, to *store.User, vars map[string]string) (letters, error) {
	if e.config.Mail == nil || !to.EmailVerified || to.EmailKey == "" {
		return nil, nil
	}
	l, err := e.letter(ctx, template, to, vars)
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
			_ = e.attempt(ctx, l, false)
		} else {
			rouse(e.outbox.wake)
		}
	}
}

// rouse tells a loop of this process, if there is one, that there is something to do.
func rouse(loop chan struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}

// attempt tries to deliver a message that this process has claimed, and settles it. One that is tried once goes in any
// case. Whoever waits for the answer may leave: the attempt goes on.
func (e *Engine) attempt(ctx context.Context, l letter, once bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryTime)
	defer cancel()
	err := guard(func() error { return l.send(ctx) })
	s := store.Settlement{ID: l.row.ID, Delivered: err == nil || once}
	if err != nil {
		s.Dead = !once && (l.row.Attempts >= maxAttempts || mail.IsPermanent(err))
		s.RetryAt = e.now().Add(backOff(l.row.Attempts))
		if call, ok := errors.AsType[*callError](err); ok {
			s.RetryAt = e.now().Add(max(backOff(l.row.Attempts), call.pause))
		}
		event := Event{Type: EventMessageFailed, Method: l.row.Channel, Detail: "will be tried again"}
		switch {
		case once:
			event.Detail = "the caller was told"
		case s.Dead:
			event = Event{Type: EventMessageGivenUp, Method: l.row.Channel}
		}
		e.emit(ctx, event)
		e.config.Logger.ErrorContext(ctx, "deliver message", slog.Any("error", err), slog.String("channel", l.row.Channel),
			slog.String("message", l.row.ID.String()), slog.Int("attempts", l.row.Attempts), slog.Bool("given up", s.Dead || once))
	}
	e.settleMessage(ctx, l.row.Channel, s) // whose deadline is not that of the attempt
	return err
}

// hand delivers what has been written with a ticket. Where that is a text message that this call delivers itself, a failure
// is the call's, as documented, and voids the code.
func (e *Engine) hand(ctx context.Context, p posted) error {
	if p.letter.row.Channel != channelSMS || p.letter.row.Attempts == 0 || e.config.ConcealErrors {
		e.deliver(ctx, p.letter)
		return nil
	}
	failure := e.attempt(ctx, p.letter, true)
	if failure == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryTime)
	defer cancel()
	_, err := e.store.ChangeUser(ctx, store.UserChange{
		UserID: p.ticket.UserID, Now: e.now(), If: store.Conditions{Disabled: true}, Redeem: p.ticket.ID,
	})
	return ErrCannotSendSMS.because(errors.Join(failure, err))
}

// backOff is how long to wait after a failed attempt: twice as long each time, spread by up to a half so that messages
// that failed together are not tried together.
func backOff(attempts int) time.Duration {
	d := min(firstRetry<<min(attempts-1, 16), longestRetry)
	return d + rand.N(d/2+1)
}

// Run is the engine's one background loop: it delivers messages, again and later where that fails, each webhook apart from
// the others and from letters and text messages; it rotates keys, and removes what has expired or is too old. Start it in one or
// more processes; it ends, having finished the messages in hand, when ctx does, and returns
// ctx's error. Faults of the store are logged and tried again.
//
// Without a running loop, messages are delivered before the call that causes them returns, and one that fails waits for
// a loop. So does one that is caused within a transaction of the service's own: a service that uses those must run a loop
// somewhere. Webhooks are delivered by loops alone; see [WebhookConfig].
func (e *Engine) Run(ctx context.Context) error {
	e.outbox.loops.Add(1)
	defer e.outbox.loops.Add(-1)
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { e.tend(ctx) })
	for _, w := range e.rules.webhooks {
		others.Go(func() { e.deliverTo(ctx, w) })
	}
	poll := time.Tick(pollInterval)
	for {
		e.deliverDue(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll:
		case <-e.outbox.wake:
		}
	}
}

// tend does what the store and the keys need from time to time. Letters that take long do not keep it.
func (e *Engine) tend(ctx context.Context) {
	poll := time.Tick(pollInterval)
	var purged time.Time
	for {
		e.keepKeys(ctx)
		e.tendAudit(ctx)
		if now := e.now(); now.Sub(purged) >= purgeInterval {
			e.purge(ctx)
			e.giveUpStrays(ctx)
			e.purgeAudit(ctx)
			purged = now
		}
		select {
		case <-ctx.Done():
			e.tendAudit(context.WithoutCancel(ctx)) // a last time
			return
		case <-poll:
		case <-e.outbox.tend:
		}
	}
}

// deliverDue delivers the letters and text messages that are due, in turns: many of one kind do not keep back the other.
func (e *Engine) deliverDue(ctx context.Context) {
	for more := true; more; {
		more = false
		for _, channel := range []string{channelMail, channelSMS} {
			if row, ok := e.claim(ctx, store.MessageClaim{Channel: channel}); ok {
				_ = e.deliverRow(ctx, row)
				more = true
			}
		}
	}
}

// claim takes one message that is due; false without one. They are claimed one by one, so that nobody holds a claim while
// waiting for another's slow delivery.
func (e *Engine) claim(ctx context.Context, c store.MessageClaim) (store.Message, bool) {
	if ctx.Err() != nil {
		return store.Message{}, false
	}
	c.Now, c.Limit = e.now(), 1
	c.Until = c.Now.Add(2 * deliveryTime)
	due, err := e.store.ClaimMessages(ctx, c)
	if err != nil {
		e.config.Logger.ErrorContext(ctx, "claim messages", slog.Any("error", err))
		return store.Message{}, false
	}
	if len(due) == 0 {
		return store.Message{}, false
	}
	return due[0], true
}

// deliverRow tries to deliver a message that has been claimed.
func (e *Engine) deliverRow(ctx context.Context, row store.Message) error {
	send, err := e.sending(row)
	if err != nil {
		// Sealed under a secret that is no longer configured, say: nobody will ever read it.
		e.giveUp(ctx, row, err)
		return errNotTried
	}
	return e.attempt(ctx, letter{row, send}, false)
}

// giveUp ends a message that is never to be delivered, without an attempt.
func (e *Engine) giveUp(ctx context.Context, row store.Message, why error) {
	e.config.Logger.ErrorContext(ctx, "give up message", slog.Any("error", why), slog.String("channel", row.Channel),
		slog.String("message", row.ID.String()))
	e.emit(ctx, Event{Type: EventMessageGivenUp, Method: row.Channel})
	e.settleMessage(ctx, row.Channel, store.Settlement{ID: row.ID, Dead: true})
}

// settleMessage writes what became of a message. A dead letter is kept for the operator; a dead webhook is not, or strangers
// could fill the store by way of an endpoint that is down: its event says what it was.
func (e *Engine) settleMessage(ctx context.Context, channel string, s store.Settlement) {
	if s.Dead && isWebhook(channel) {
		s.Delivered, s.Dead = true, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryTime)
	defer cancel()
	if err := e.store.SettleMessage(ctx, s); err != nil {
		e.config.Logger.ErrorContext(ctx, "settle message", slog.Any("error", err), slog.String("message", s.ID.String()))
	}
}

func (e *Engine) purge(ctx context.Context) {
	p := store.Purge{Now: e.now(), Limit: batch}
	if a := e.config.Anonymous; a != nil && a.MaxIdle != 0 {
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

// OutboxState is how much there is in the outbox.
type OutboxState struct {
	Due     int // messages that wait for a loop, or for the next attempt of one: see [Engine.Run]
	Waiting int // being delivered, or to be tried again later
	Dead    int // given up, and kept for the operator

	// Delay is for how long the message has been due that has been due longest. More than a few seconds mean that no loop
	// runs, or that it cannot keep up.
	Delay time.Duration
}

// Outbox says how much there is in the outbox, which all engines over one store share. It costs one round trip, and the
// store counts what there is: it is for an operator who looks now and then, and not for every request.
func (e *Engine) Outbox(ctx context.Context) (_ OutboxState, err error) {
	defer e.begin(&ctx, "Outbox").end(&err)
	now := e.now()
	s, err := e.store.Outbox(ctx, now)
	if err != nil {
		return OutboxState{}, fmt.Errorf("count messages: %w", err)
	}
	state := OutboxState{Due: s.Due, Waiting: s.Waiting, Dead: s.Dead}
	if !s.DueSince.IsZero() {
		state.Delay = now.Sub(s.DueSince)
	}
	return state, nil
}
