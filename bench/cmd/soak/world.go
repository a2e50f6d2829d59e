package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/verify"
)

const (
	// patience is how long anything that is waited for may take.
	patience = 30 * time.Second

	// night is how far the clock leaps. It is longer than anything lives that people leave, and than the day for which events are
	// kept, and that other one for which they may be overdue.
	night = 50 * time.Hour
	// life is of what people leave: sessions, links, and guests.
	life = 24 * time.Hour
)

// world is two replicas, and all that is around them.
type world struct {
	settings
	clock     clock
	place     *place
	stores    []*watched
	engines   []*auth.Engine
	bases     []string // the URLs of the replicas
	post      *post
	hooks     *hooks
	client    *http.Client // of people
	outbound  *http.Client // of the engines
	verifiers []*verify.Verifier
	residents []*person

	purged    atomic.Int64
	addresses atomic.Uint32 // of clients: each has another one
	lives     atomic.Int64
	requests  atomic.Int64
	open      atomic.Int64 // connections to the servers

	ctx  context.Context // ends with the first fault, which is its cause
	fail context.CancelCauseFunc

	mu       sync.Mutex
	deeds    map[string]int  // by name
	statuses map[int]int     // of answers
	keys     map[string]bool // that have signed, by "kid"
}

// serverURL is where the routes are said to be. Links in letters begin with it, and people go to any replica instead.
const serverURL, clientURL = "https://soak.example/v1", "https://soak.example"

// newWorld makes one. What it has opened closes with the returned function.
func newWorld(ctx context.Context, s settings) (_ *world, _ func() error, err error) {
	w := &world{settings: s, post: newPost(), deeds: map[string]int{}, statuses: map[int]int{}, keys: map[string]bool{}}
	w.ctx, w.fail = context.WithCancelCause(ctx)
	var closers []func() error
	closeWorld := func() error {
		w.fail(errors.New("it is over"))
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeWorld())
		}
	}()
	if w.place, err = open(ctx, s.store); err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() error { return w.place.close(context.WithoutCancel(ctx)) })
	serve := func(h http.Handler) (base string, err error) {
		server := httpadapter.NewServer("", h)
		server.ErrorLog = slog.NewLogLogger(w, slog.LevelError)
		server.ConnState = w.connState
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		closers = append(closers, func() error {
			err := server.Close()
			if served := <-done; !errors.Is(served, http.ErrServerClosed) {
				err = errors.Join(err, served)
			}
			return err
		})
		return "http://" + l.Addr().String(), nil
	}
	if w.hooks, err = newHooks(&w.clock, w.fail); err != nil {
		return nil, nil, err
	}
	receiver, err := serve(w.hooks)
	if err != nil {
		return nil, nil, err
	}
	w.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4 * s.workers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	w.outbound = &http.Client{Transport: &http.Transport{}}
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails; a broken source ends the program
	limiter := limit.NewMemory(limit.MemoryConfig{Now: w.clock.now})
	for _, replica := range w.place.replicas {
		watched := &watched{Store: replica, purged: &w.purged}
		engine, err := auth.New(watched, w.config(secret, limiter, receiver))
		if err != nil {
			return nil, nil, err
		}
		handler, err := httpadapter.New(engine, httpadapter.Options{
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Logger: slog.New(w),
		})
		if err != nil {
			return nil, nil, err
		}
		base, err := serve(handler)
		if err != nil {
			return nil, nil, err
		}
		verifier, err := verify.New(base+"/.well-known/jwks.json", verify.Options{Now: w.clock.now, HTTPClient: w.client})
		if err != nil {
			return nil, nil, err
		}
		w.stores, w.engines, w.bases, w.verifiers = append(w.stores, watched), append(w.engines, engine), append(w.bases, base), append(w.verifiers, verifier)
	}
	var loops sync.WaitGroup
	for _, e := range w.engines {
		loops.Go(func() {
			if err := e.Run(w.ctx); w.ctx.Err() == nil {
				w.fail(fmt.Errorf("a loop has ended: %w", err))
			}
		})
	}
	closers = append(closers, func() error { loops.Wait(); return nil })
	return w, closeWorld, w.settle()
}

// config has everything on that people use, and the limits as they are by default: each life has an address of its own.
func (w *world) config(secret auth.Secret, limiter limit.Limiter, receiver string) auth.Config {
	return auth.Config{
		ServerURL: serverURL, ClientURL: clientURL, Secret: secret,
		Password:     &auth.PasswordConfig{Argon2: w.argon2},
		WebAuthn:     &auth.WebAuthnConfig{},
		MagicLink:    &auth.MagicLinkConfig{},
		EmailOTP:     &auth.EmailOTPConfig{},
		MFA:          &auth.MFAConfig{},
		PAT:          &auth.PATConfig{},
		Anonymous:    &auth.AnonymousConfig{MaxIdle: life},
		Sessions:     auth.SessionsConfig{Idle: life, Absolute: life, Grace: time.Minute},
		Tickets:      auth.TicketsConfig{VerifyEmail: life},
		AccessTokens: auth.AccessTokensConfig{Rotate: &auth.RotationConfig{Every: 24 * time.Hour, Lead: time.Hour}},
		Limits:       auth.LimitsConfig{Limiter: limiter},
		Audit:        &auth.AuditConfig{Retention: 24 * time.Hour},
		Webhooks:     []auth.WebhookConfig{{Name: "soak", URL: receiver, Secrets: []auth.Secret{auth.Secret(w.hooks.text)}}},
		Mail:         w.post, Events: w.hooks, Now: w.clock.now, Logger: slog.New(w), HTTPClient: w.outbound,
	}
}

// connState counts the connections to the servers.
func (w *world) connState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		w.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		w.open.Add(-1)
	}
}

// The world is the [slog.Handler] of all that is logged: an error ends it, unless it is of a webhook that the receiver has
// refused.

// Enabled implements [slog.Handler].
func (w *world) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

// Handle implements [slog.Handler].
func (w *world) Handle(_ context.Context, r slog.Record) error {
	text, refused := r.Message, false
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		refused = refused || r.Message == "deliver message" && a.Key == "channel" && a.Value.String() == "webhook:soak"
		return true
	})
	if !refused || strings.Contains(text, "given up=true") {
		w.fail(fmt.Errorf("logged: %s", text))
	}
	return nil
}

// WithAttrs implements [slog.Handler].
func (w *world) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements [slog.Handler].
func (w *world) WithGroup(string) slog.Handler { return w }

// settle has the residents come.
func (w *world) settle() error {
	for i := range w.workers {
		p := w.newPerson(uint64(i))
		if err := p.movesIn(w.ctx); err != nil {
			return fmt.Errorf("a resident: %w", err)
		}
		w.residents = append(w.residents, p)
	}
	return nil
}

// byDay has people come and go until the day is over, and those who have come then go.
func (w *world) byDay(ctx context.Context, day time.Duration) error {
	over := time.Now().Add(day)
	var all sync.WaitGroup
	for _, resident := range w.residents {
		all.Go(func() {
			if err := resident.dwells(w.ctx); err != nil {
				w.fail(fmt.Errorf("a resident: %w", err))
			}
			for w.ctx.Err() == nil && time.Now().Before(over) {
				p := w.newPerson(uint64(w.lives.Add(1)) << 16)
				if err := p.lives(w.ctx); err != nil {
					w.fail(fmt.Errorf("life %s: %w", strings.Join(p.done, ", "), err))
				}
			}
		})
	}
	all.Wait()
	return w.fault(ctx)
}

// fault is what should not be, if there was any.
func (w *world) fault(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.Cause(w.ctx)
}

// byNight has the clock leap, waits until all that has ended is gone, and measures what is left.
func (w *world) byNight(ctx context.Context) (m morning, err error) {
	if _, err := w.engines[0].VerifyAuditTrail(w.ctx, auth.VerifyAuditTrailParams{}); err != nil {
		return m, fmt.Errorf("the audit trail: %w", err)
	}
	w.hooks.night.Store(true)
	defer w.hooks.night.Store(false)
	w.clock.leap(night)
	if err := w.until(ctx, w.isClean); err != nil {
		return m, err
	}
	// The loops have removed what had ended: nothing is left for another.
	now := w.clock.now()
	switch n, err := w.place.replicas[0].Purge(w.ctx, store.Purge{Now: now, Limit: 1000, AnonymousBefore: now.Add(-life)}); {
	case err != nil:
		return m, err
	case n > 0:
		return m, fmt.Errorf("%d rows that had ended were still there", n)
	}
	if m.rows, err = w.place.rows(w.ctx); err != nil {
		return m, err
	}
	for table, n := range m.rows {
		if most := w.most(table); n > most {
			return m, fmt.Errorf("there are %d rows in %s in a morning, and %d is the most", n, table, most)
		}
	}
	if err := w.until(ctx, w.isQuiet); err != nil {
		return m, err
	}
	m.lives, m.requests, m.purged = int(w.lives.Load()), int(w.requests.Load()), int(w.purged.Load())
	m.connections = w.place.connections()
	m.measure()
	return m, w.fault(ctx)
}

// most is how many rows there may be in a morning.
func (w *world) most(table string) int {
	switch table {
	case "users", "security_keys":
		return w.workers
	case "signing_keys":
		return 3 // one that signs, one that follows it, and one whose tokens have not expired
	case "events":
		return 64 // of the night: keys that were added, and that older events have gone
	}
	return 0
}

// until waits until nothing is missing.
func (w *world) until(ctx context.Context, missing func() (string, error)) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	limit := time.NewTimer(4 * patience)
	defer limit.Stop()
	for {
		what, err := missing()
		if err == nil {
			err = w.fault(ctx)
		}
		if err != nil || what == "" {
			return err
		}
		select {
		case <-poll.C:
		case <-limit.C:
			return fmt.Errorf("in the night, %v have gone by, and still %s", 4*patience, what)
		case <-w.ctx.Done():
		}
	}
}

// isClean says what is to be waited for before a night is over.
func (w *world) isClean() (string, error) {
	dusk := w.clock.before()
	for _, s := range w.stores {
		if until := s.until.Load(); until == nil || !until.After(dusk) {
			return "a loop has not removed what has ended", nil
		}
	}
	if n := w.hooks.waiting(); n > 0 {
		return fmt.Sprintf("%d events have not been told", n), nil
	}
	rows, err := w.place.rows(w.ctx)
	switch {
	case w.fault(context.Background()) != nil, err != nil:
		return "", err
	case rows["messages"] > 0:
		return fmt.Sprintf("%d messages are in the outbox", rows["messages"]), nil
	case rows["events"] > w.most("events"):
		return fmt.Sprintf("%d events are in the trail", rows["events"]), nil
	}
	return "", nil
}

// isQuiet says what is still open of that which has been closed.
func (w *world) isQuiet() (string, error) {
	w.client.CloseIdleConnections() // one that was just given back may have been too late
	w.outbound.CloseIdleConnections()
	if n := w.open.Load(); n > 0 {
		return fmt.Sprintf("%d connections are open", n), nil
	}
	return "", nil
}

// reply is what a replica answers.
type reply struct {
	status   int
	code     string   // of a refusal
	location *url.URL // of a redirect
	body     []byte
}

// ask makes one request at one of the replicas.
func (w *world) ask(ctx context.Context, replica int, from netip.Addr, method, path, bearer string, body any) (a reply, err error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		text = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, w.bases[replica]+path, text)
	if err != nil {
		return a, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	r.Header.Set("X-Forwarded-For", from.String())
	answer, err := w.client.Do(r)
	if err != nil {
		return a, err
	}
	defer answer.Body.Close()
	if a.body, err = io.ReadAll(answer.Body); err != nil {
		return a, err
	}
	a.status = answer.StatusCode
	w.requests.Add(1)
	w.mu.Lock()
	w.statuses[a.status]++
	w.mu.Unlock()
	switch {
	case a.status == http.StatusFound:
		if a.location, err = answer.Location(); err == nil {
			a.code = a.location.Query().Get("error")
		}
	case a.status != http.StatusOK:
		var no struct{ Error string }
		err = json.Unmarshal(a.body, &no)
		a.code = no.Error
	}
	return a, err
}

// newAddress is that of another client.
func (w *world) newAddress() netip.Addr {
	n := w.addresses.Add(1)
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func (w *world) newPerson(stream uint64) *person {
	return &person{world: w, random: mathrand.New(mathrand.NewPCG(w.seed, stream)), from: w.newAddress()}
}

// did counts a deed.
func (w *world) did(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deeds[name]++
}
