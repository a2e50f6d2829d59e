package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/webhook"
)

// WebhookConfig is a server that is told of events, by requests of the form of Standard Webhooks
// (https://www.standardwebhooks.com), version v1. Package webhook reads and verifies them, and docs/webhooks.md says what is
// in them.
//
// When a step has been committed, its event is written to the outbox, for all endpoints at once: one more round trip for an
// event that there is an endpoint for. [Engine.Run] delivers it: a call never waits for somebody's server, and without a loop
// somewhere nothing is ever sent. An event is lost if the process ends, or the store fails, between the step and that write;
// the latter is logged. Within a transaction of the service's own, it is written there: it is sent if that is committed, and
// never if it is rolled back.
//
// A message comes at least once, with the same webhook-id at each attempt, and not in order. An endpoint that is slow or dead
// delays neither the others nor letters. It has 10 seconds for an answer, whose status alone is looked at: 2xx is
// delivered; 410 (Gone) gives up the message, and it is for you to take the endpoint out of the configuration; after any other,
// redirects included, the message is tried again, later each time, up to twelve times and three days, and then given up with
// [EventMessageGivenUp], and kept nowhere. Where Retry-After asks for a longer pause than that, up to an hour, it gets it. After
// 429, 5xx, and no answer at all, the endpoint as a whole is left alone for a while. Events about the delivery of webhooks are
// sent to none.
type WebhookConfig struct {
	// Name is what the endpoint is called, in the outbox, in logs and in events: at most 32 lower-case letters, digits,
	// hyphens and underscores. What waits for a name goes to the URL that the name has then. What waits for one that is in
	// the configuration no more is given up an hour after it was written, and so outlasts a change of the configuration
	// that has not reached all replicas. Required.
	Name string
	// URL is https, or http to this very host for tests. Unlike in logs and errors, it may stand in it that nobody else
	// knows: it is shown to nobody. Required.
	URL string
	// Secrets sign, each by itself: "whsec_" and the base64 of 24 to 64 random bytes, as from
	//
	//	echo "whsec_$(openssl rand -base64 32)"
	//
	// More than one, at most four, is for replacing it: add the new one before the old, give it to the receiver, and take
	// away the old. Required.
	Secrets []Secret
	// Events are the types that the endpoint is told of; nil for all.
	Events []EventType
}

// Format keeps the secrets out of logs, and of the URL all but the host.
func (c WebhookConfig) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{webhook %s to %s %s}", c.Name, hostOf(c.URL), redacted)
}

// LogValue is [WebhookConfig.Format] for package slog.
func (c WebhookConfig) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalText keeps the same out of JSON and its like.
func (c WebhookConfig) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return redacted
	}
	return u.Hostname()
}

const (
	channelWebhook = "webhook" // and a colon and the name of the endpoint

	maxWebhooks       = 16
	maxWebhookSecrets = 4
	// webhookSlots is how many requests to one endpoint are under way at once in this process.
	webhookSlots = 4
	// webhookLife is how long a message may wait, whatever kept it.
	webhookLife = 3 * 24 * time.Hour
	// strayLife is how long a message may wait whose endpoint this process does not know.
	strayLife  = time.Hour
	strayRetry = 10 * time.Minute
	// longestRest is how long an endpoint that fails is left alone; it may ask for more, up to longestPause.
	longestRest  = 5 * time.Minute
	longestPause = time.Hour
	// webhookWrite is how long a call may take to write an event down.
	webhookWrite = 5 * time.Second
)

// webhooks completes and compiles the endpoints.
func (m *mistakes) webhooks(list []WebhookConfig) []*endpoint {
	if len(list) > maxWebhooks {
		m.add("Webhooks", "are %d; there can be %d", len(list), maxWebhooks)
	}
	var all []*endpoint
	for i, c := range list {
		field := fmt.Sprintf("Webhooks[%d]", i)
		w := &endpoint{name: c.Name, channel: channelWebhook + ":" + c.Name, url: c.URL, wake: make(chan struct{}, 1)}
		if !providerName.MatchString(c.Name) {
			m.add(field+".Name", "%q is not a name: at most 32 of a to z, 0 to 9, - and _, and neither of the last two first", c.Name)
		} else if slices.ContainsFunc(all, func(other *endpoint) bool { return other.name == c.Name }) {
			m.add(field+".Name", "%q is the name of another one", c.Name)
		}
		if err := outbound.CheckURL(c.URL); err != nil {
			m.add(field+".URL", "%w", err)
		}
		if n := len(c.Secrets); n < 1 || n > maxWebhookSecrets {
			m.add(field+".Secrets", "are %d; there must be from 1 to %d", n, maxWebhookSecrets)
		}
		for j, text := range c.Secrets {
			s, err := webhook.ParseSecret(string(text))
			if err != nil {
				m.add(fmt.Sprintf("%s.Secrets[%d]", field, j), "%w", err)
			}
			if slices.ContainsFunc(c.Secrets[:j], func(other Secret) bool { return bytes.Equal(other, text) }) {
				m.add(fmt.Sprintf("%s.Secrets[%d]", field, j), "is the same as another")
			}
			w.secrets = append(w.secrets, s)
		}
		if c.Events != nil && len(c.Events) == 0 {
			m.add(field+".Events", "is empty; leave it nil for all, or leave out the endpoint")
		}
		for j, t := range c.Events {
			if !slices.Contains(eventTypes, t) {
				m.add(fmt.Sprintf("%s.Events[%d]", field, j), "there is no event %q", t)
			}
		}
		w.events = slices.Clone(c.Events)
		all = append(all, w)
	}
	return all
}

// isWebhook reports whether a channel is that of an endpoint.
func isWebhook(channel string) bool { return strings.HasPrefix(channel, channelWebhook+":") }

// endpoint is a compiled WebhookConfig, and how it fares in this process.
type endpoint struct {
	name, channel, url string
	secrets            []webhook.Secret
	events             []EventType // nil for all
	wake               chan struct{}
	pace               pace
}

// wants reports whether an endpoint is told of an event. Those about webhooks would beget each other for ever.
func (w *endpoint) wants(ev *Event) bool {
	if isWebhook(ev.Method) {
		return false
	}
	return w.events == nil || slices.Contains(w.events, ev.Type)
}

// writeWebhooks is the sink that writes an event to the outbox, once for each endpoint that is told of it.
func (e *Engine) writeWebhooks(ctx context.Context, ev Event) {
	var rows []store.Message
	var told []*endpoint
	payload, err := json.Marshal(messageOf(&ev))
	for _, w := range e.rules.webhooks {
		if err != nil || !w.wants(&ev) {
			continue
		}
		var row store.Message
		if row, err = e.row(w.channel, json.RawMessage(payload), false); err == nil {
			rows, told = append(rows, row), append(told, w)
		}
	}
	if err == nil && len(rows) > 0 {
		ctx, cancel := context.WithTimeout(ctx, webhookWrite)
		defer cancel()
		err = e.store.PutMessages(ctx, rows)
	}
	if err != nil {
		e.config.Logger.ErrorContext(ctx, "write webhooks; the event will not be sent", slog.Any("error", err),
			slog.String("event", string(ev.Type)), slog.String("id", ev.ID.String()))
		return
	}
	for _, w := range told {
		rouse(w.wake)
	}
}

// messageOf is what an event tells.
func messageOf(ev *Event) webhook.Message {
	id := func(v uuid.UUID) string {
		if v == uuid.Nil {
			return ""
		}
		return v.String()
	}
	return webhook.Message{
		Type: string(ev.Type), Timestamp: ev.At,
		Data: webhook.Event{
			ID: ev.ID.String(), UserID: id(ev.UserID), SessionID: id(ev.SessionID), Address: ev.Client.address(),
			Method: ev.Method, Code: string(ev.Code), Detail: ev.Detail,
		},
	}
}

// calls delivers a message to its endpoint. At every attempt it is the same but for the time, and the signatures.
func (e *Engine) calls(w *endpoint, id uuid.UUID, body []byte) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
		if err != nil {
			return errors.New("make the request")
		}
		now := e.now()
		request.Header = webhook.Sign(id.String(), now, body, w.secrets...)
		request.Header.Set("Content-Type", "application/json")
		status, header, err := outbound.Send(e.outside, request)
		switch {
		case err != nil:
			return &callError{err: err}
		case status/100 == 2:
			return nil
		}
		return &callError{status: status, pause: retryAfter(header, now), err: fmt.Errorf("status %d", status)}
	}
}

// callError is why a message has not been taken.
type callError struct {
	status int           // zero without an answer
	pause  time.Duration // that the endpoint has asked for
	err    error
}

func (e *callError) Error() string { return "webhook: " + e.err.Error() }

// Permanent reports whether the endpoint has said that it is there no more.
func (e *callError) Permanent() bool { return e.status == http.StatusGone }

// down reports whether the endpoint, and not the message, is what fails.
func (e *callError) down() bool {
	return e.status == 0 || e.status == http.StatusTooManyRequests || e.status >= 500
}

// retryAfter reads the header of that name, in seconds or as a date (RFC 9110 §10.2.3). A server can make nobody wait for ever.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	d := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else {
		at, _ := http.ParseTime(text) // or the zero time, which is past
		d = at.Sub(now)
	}
	return min(max(d, 0), longestPause)
}

// pace says when the next request to an endpoint may begin. It is of this process alone: the outbox knows what is due.
type pace struct {
	mu       sync.Mutex
	busy     int
	failures int       // in a row
	failed   time.Time // the last of them; zero without one
	until    time.Time // nothing begins before
}

// begin reports whether a request may begin. To an endpoint that has failed there is one at a time.
func (p *pace) begin(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	slots := webhookSlots
	if p.failures > 0 {
		slots = 1
	}
	if p.busy >= slots || now.Before(p.until) {
		return false
	}
	p.busy++
	return true
}

// end says what became of a request that began at a time. Those that were under way together count as one failure.
func (p *pace) end(began, now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	call, answered := errors.AsType[*callError](err)
	switch {
	case errors.Is(err, errNotTried):
	case err == nil, answered && !call.down():
		p.failures, p.failed = 0, time.Time{}
	case !began.Before(p.failed):
		p.failures++
		p.failed = now
		p.until = now.Add(min(firstRetry<<min(p.failures-1, 16), longestRest))
		if answered {
			p.until = later(p.until, now.Add(call.pause))
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// idle takes back a begin that found nothing to do.
func (p *pace) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
}

// deliverTo delivers to one endpoint until ctx ends, and returns when nothing is under way any more.
func (e *Engine) deliverTo(ctx context.Context, w *endpoint) {
	var under sync.WaitGroup
	defer under.Wait()
	poll := time.Tick(pollInterval)
	for {
		for w.pace.begin(e.now()) {
			row, ok := e.claim(ctx, store.MessageClaim{Channel: w.channel})
			if !ok {
				w.pace.idle()
				break
			}
			under.Go(func() {
				began := e.now()
				err := e.deliverRow(ctx, row)
				w.pace.end(began, e.now(), err)
				rouse(w.wake) // there is a slot
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-poll:
		case <-w.wake:
		}
	}
}

// errNotTried is what became of a message that was given up without an attempt.
var errNotTried = errors.New("not tried")

// webhookSending opens a message for an endpoint.
func (e *Engine) webhookSending(row *store.Message, body []byte) (func(context.Context) error, error) {
	for _, w := range e.rules.webhooks {
		if w.channel == row.Channel {
			if e.now().Sub(row.CreatedAt) > webhookLife {
				return nil, errors.New("it has waited too long")
			}
			return e.calls(w, row.ID, body), nil
		}
	}
	return nil, fmt.Errorf("there is no channel %q", row.Channel)
}

// giveUpStrays ends what waits for endpoints that are in the configuration no more. Those of a configuration that is newer
// than this process's are left to who knows them.
func (e *Engine) giveUpStrays(ctx context.Context) {
	known := []string{channelMail, channelSMS}
	for _, w := range e.rules.webhooks {
		known = append(known, w.channel)
	}
	for range batch { // the rest has time until the next minute
		row, ok := e.claim(ctx, store.MessageClaim{Except: known})
		if !ok {
			return
		}
		now := e.now()
		if now.Sub(row.CreatedAt) < strayLife {
			e.settleMessage(ctx, row.Channel, store.Settlement{ID: row.ID, RetryAt: now.Add(strayRetry)})
			continue
		}
		e.giveUp(ctx, row, fmt.Errorf("there is no channel %q", row.Channel))
	}
}
