package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
	"github.com/ostiary/auth/webhook"
)

// hookSecret is a secret of a webhook whose bytes are all b.
func hookSecret(b byte) auth.Secret {
	return auth.Secret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)))
}

// hookTo is an endpoint at a host of its own name.
func hookTo(name string, events ...auth.EventType) auth.WebhookConfig {
	if len(events) == 0 {
		events = nil
	}
	return auth.WebhookConfig{Name: name, URL: "https://" + name + ".test/hooks?key=canary-of-the-url", Secrets: []auth.Secret{hookSecret('k')}, Events: events}
}

// call is a request that an endpoint has got.
type hookCall struct {
	at     time.Time
	host   string
	header http.Header
	body   string
}

func (c hookCall) id() string { return c.header.Get(webhook.HeaderID) }

// receivers is a transport that plays all endpoints.
type receivers struct {
	mu     sync.Mutex
	calls  []hookCall
	answer func(ctx context.Context, n int, c hookCall) *http.Response // n counts the calls to the host, from 1; nil for no answer
}

func (r *receivers) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil || q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" {
		return nil, fmt.Errorf("not a webhook: %s, %v", q.Method, err)
	}
	c := hookCall{time.Now(), q.URL.Host, q.Header.Clone(), string(body)}
	r.mu.Lock()
	r.calls = append(r.calls, c)
	n := 0
	for _, other := range r.calls {
		if other.host == c.host {
			n++
		}
	}
	r.mu.Unlock()
	a := response(http.StatusNoContent)
	if r.answer != nil {
		a = r.answer(q.Context(), n, c)
	}
	if a == nil {
		return nil, errors.New("connection refused")
	}
	return a, nil
}

// to returns the calls to a host.
func (r *receivers) to(name string) []hookCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []hookCall
	for _, c := range r.calls {
		if c.host == name+".test" {
			list = append(list, c)
		}
	}
	return list
}

func response(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("ok"))}
}

// hooked returns an amendment by which an engine tells endpoints of events.
func hooked(r *receivers, list ...auth.WebhookConfig) func(*auth.Config) {
	return func(c *auth.Config) {
		c.Webhooks, c.HTTPClient = list, &http.Client{Transport: r}
	}
}

// looping runs a loop of an engine, in the time of the bubble, for so long.
func looping(t *testing.T, e *authtest.Engine, d time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	time.Sleep(d)
	stop()
	wantErr(t, <-done, context.Canceled)
}

// LG-20: an endpoint is told of events, of those that it wants, in the documented form, signed; and a call does not wait for it.
func TestEventsAreSentByWebhook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{}
		counter := storetest.Count(memstore.New())
		e := authtest.NewWithStore(t, counter, realTime, hooked(r, hookTo("all"), hookTo("some", auth.EventSignedOut, auth.EventUserCreated)))
		counter.Reset()
		session := guestOf(t, e)
		if got := counter.Calls()["PutMessages"]; got != 2 || counter.Trips() != 3 {
			t.Errorf("for two events, %d trips more, of %d", got, counter.Trips())
		}
		if len(r.calls) != 0 {
			t.Error("a call has told an endpoint by itself")
		}
		began := time.Now()
		looping(t, e, time.Minute)
		events := e.Events.All()
		var types []string
		for _, c := range r.to("all") {
			if !c.at.Equal(began) {
				t.Errorf("told after %v", c.at.Sub(began))
			}
			types = append(types, strings.SplitN(c.body, `"`, 5)[3])
			secret, err := webhook.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{'k'}, 32)))
			if err != nil {
				t.Fatal(err)
			}
			if id, err := webhook.Verify(c.header, []byte(c.body), time.Now(), secret); err != nil || id == "" {
				t.Errorf("%q, %v", id, err)
			}
		}
		slices.Sort(types)
		if diff := cmp.Diff([]string{"signed-in", "user-created"}, types); diff != "" {
			t.Error(diff)
		}
		some := r.to("some")
		if len(some) != 1 {
			t.Fatalf("%d calls", len(some))
		}
		at, _ := events[0].At.MarshalText()
		want := fmt.Sprintf(`{"type":"user-created","timestamp":"%s","data":{"id":"%s","userId":"%s","method":"anonymous"}}`, at, events[0].ID, session.User.ID)
		if some[0].body != want {
			t.Errorf("%s\nwant %s", some[0].body, want)
		}
		for _, c := range r.to("all") {
			if c.body == want && c.id() == some[0].id() {
				t.Error("messages to two endpoints have one id")
			}
		}
		if left := len(r.calls); left != 3 {
			t.Errorf("%d calls", left)
		}
	})
}

// RL-20, SS-03, SS-07: whatever an endpoint does, letters and other endpoints are served, in time.
func TestAnEndpointThatFailsDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(ctx context.Context, c hookCall) *http.Response{
		"dead":       func(context.Context, hookCall) *http.Response { return nil },
		"silent":     func(ctx context.Context, _ hookCall) *http.Response { <-ctx.Done(); return nil },
		"failing":    func(context.Context, hookCall) *http.Response { return response(500) },
		"panicking":  func(context.Context, hookCall) *http.Response { panic("canary-of-the-transport") },
		"busy":       func(context.Context, hookCall) *http.Response { return response(429, "Retry-After", "86400") },
		"redirected": func(context.Context, hookCall) *http.Response { return response(307, "Location", "https://good.test/") },
		"moved":      func(context.Context, hookCall) *http.Response { return response(302, "Location", "https://good.test/") },
		"not there":  func(context.Context, hookCall) *http.Response { return response(404) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var under, most atomic.Int32
				r := &receivers{}
				r.answer = func(ctx context.Context, _ int, c hookCall) *http.Response {
					if c.host != "bad.test" {
						return response(200)
					}
					most.Store(max(most.Load(), under.Add(1)))
					defer under.Add(-1)
					return answer(ctx, c)
				}
				var letters []time.Time
				e := authtest.New(t, realTime, hooked(r, hookTo("bad"), hookTo("good")), func(c *auth.Config) {
					c.Mail = sendFunc(func(context.Context, mail.Message) error { letters = append(letters, time.Now()); return nil })
				})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- e.Run(ctx) }()
				synctest.Wait()
				const n = 30
				began := time.Now()
				for range n {
					guestOf(t, e)
				}
				if _, err := signUp(t, e, "ada@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if good := r.to("good"); len(good) != 2*n+1 || good[2*n].at.Sub(began) > 0 {
					t.Errorf("the other has got %d calls, the last after %v", len(good), good[len(good)-1].at.Sub(began))
				}
				if len(letters) != 1 || letters[0].Sub(began) > 0 {
					t.Errorf("letters at %v", letters)
				}
				time.Sleep(time.Hour)
				stop()
				<-done
				time.Sleep(time.Minute) // where the transport has panicked, the client's own timer goes on
				if most.Load() > 4 {
					t.Errorf("%d requests to one endpoint at once", most.Load())
				}
				if bad := len(r.to("bad")); bad == 0 || name != "not there" && name != "redirected" && name != "moved" && bad > 40 {
					t.Errorf("%d requests to an endpoint that fails", bad)
				}
				if got := len(r.to("good")); got != 2*n+1 {
					t.Errorf("the other has got %d calls", got)
				}
				// LG-10: neither a log nor an event says what is in the URL.
				e.Logs.AssertAbsent(t, "canary-of-the-url", "canary-of-the-transport", "bad.test", strings.Repeat("k", 32))
			})
		})
	}
}

// An endless or slow answer takes its ten seconds at most, and what is after the status does not matter.
func TestTheAnswerOfAnEndpointIsNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		r := &receivers{answer: func(ctx context.Context, n int, _ hookCall) *http.Response {
			a := response(200)
			a.Body = io.NopCloser(endlessAnswer{ctx, n == 1, &read})
			return a
		}}
		e := authtest.New(t, realTime, hooked(r, hookTo("x")))
		guestOf(t, e)
		began := time.Now()
		looping(t, e, time.Hour)
		if calls := r.to("x"); len(calls) != 2 || calls[1].at.Sub(began) > 10*time.Second {
			t.Errorf("%d calls", len(calls))
		}
		if read.Load() > 16<<10 {
			t.Errorf("%d bytes have been read", read.Load())
		}
	})
}

// endlessAnswer is a body that never ends, and may never come.
type endlessAnswer struct {
	ctx  context.Context
	slow bool
	read *atomic.Int64
}

func (b endlessAnswer) Read(p []byte) (int, error) {
	if b.slow {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	b.read.Add(int64(len(p)))
	return len(p), nil
}

// A message that is not taken comes again, the same but for its time, later each time, and is given up in the end. What happens
// to webhooks is told to no webhook.
func TestWebhooksAreTriedAgainAndGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: func(context.Context, int, hookCall) *http.Response { return response(404) }}
		e := authtest.New(t, realTime, hooked(r, hookTo("x")))
		guestOf(t, e)
		looping(t, e, 4*24*time.Hour)
		calls := r.to("x")
		if len(calls) != 24 {
			t.Errorf("%d calls for two messages", len(calls))
		}
		attempts := map[string][]hookCall{}
		for _, c := range calls {
			attempts[c.id()] = append(attempts[c.id()], c)
		}
		if len(attempts) != 2 {
			t.Errorf("%d messages", len(attempts))
		}
		secret, err := webhook.ParseSecret(string(bytes.Clone(hookSecret('k'))))
		if err != nil {
			t.Fatal(err)
		}
		for id, list := range attempts {
			for i, c := range list {
				if c.body != list[0].body {
					t.Errorf("attempt %d of %s has another body", i, id)
				}
				if _, err := webhook.Verify(c.header, []byte(c.body), c.at, secret); err != nil {
					t.Errorf("attempt %d of %s: %v", i, id, err)
				}
				if i > 1 && i < 10 && c.at.Sub(list[i-1].at) < list[i-1].at.Sub(list[i-2].at)*5/4 {
					t.Errorf("attempt %d of %s came %v after the one before", i, id, c.at.Sub(list[i-1].at))
				}
			}
		}
		failed, lost := e.Events.Of(auth.EventMessageFailed), e.Events.Of(auth.EventMessageGivenUp)
		if len(failed) != 22 || len(lost) != 2 || lost[0].Method != "webhook:x" || failed[0].Method != "webhook:x" {
			t.Errorf("%d failed, %d given up: %+v", len(failed), len(lost), lost)
		}
	})
}

func TestWhatAnEndpointAsksFor(t *testing.T) {
	t.Parallel()
	const base = 10 * time.Second // of the back-off, which is spread by up to a half
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, tt := range map[string]struct {
		answer      func() *http.Response
		calls       int
		least, most time.Duration
		lost        int
	}{
		"gone":                          {func() *http.Response { return response(410) }, 1, 0, 0, 1},
		"later":                         {func() *http.Response { return response(503, "Retry-After", "120") }, 2, 2 * time.Minute, 126 * time.Second, 0},
		"later, by a date":              {func() *http.Response { return response(429, "Retry-After", date(2*time.Minute)) }, 2, 119 * time.Second, 126 * time.Second, 0},
		"much later":                    {func() *http.Response { return response(429, "Retry-After", "999999") }, 2, time.Hour, time.Hour + 6*time.Second, 0},
		"at once":                       {func() *http.Response { return response(429, "Retry-After", "0") }, 2, base, base + 11*time.Second, 0},
		"in the past":                   {func() *http.Response { return response(429, "Retry-After", date(-time.Hour)) }, 2, base, base + 11*time.Second, 0},
		"nonsense":                      {func() *http.Response { return response(503, "Retry-After", "-5") }, 2, base, base + 11*time.Second, 0},
		"more seconds than there are":   {func() *http.Response { return response(503, "Retry-After", strings.Repeat("9", 40)) }, 2, base, base + 11*time.Second, 0},
		"a success that is not the 200": {func() *http.Response { return response(202) }, 1, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &receivers{answer: func(_ context.Context, n int, _ hookCall) *http.Response {
					if n == 1 {
						return tt.answer()
					}
					return response(200)
				}}
				e := authtest.New(t, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
				guestOf(t, e)
				looping(t, e, 3*time.Hour)
				calls := r.to("x")
				if len(calls) != tt.calls || len(e.Events.Of(auth.EventMessageGivenUp)) != tt.lost {
					t.Fatalf("%d calls, %d given up", len(calls), len(e.Events.Of(auth.EventMessageGivenUp)))
				}
				if tt.calls == 2 {
					if d := calls[1].at.Sub(calls[0].at); d < tt.least || d > tt.most {
						t.Errorf("tried again after %v, want %v to %v", d, tt.least, tt.most)
					}
				}
			})
		})
	}
}

// What waits is not delivered after days: an endpoint that was dead for long is not told of old things. What is new comes at once
// all the same.
func TestWhatHasWaitedTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{}
		e := authtest.New(t, realTime, hooked(r, hookTo("x")))
		guestOf(t, e)
		time.Sleep(time.Microsecond)
		guestOf(t, e)
		time.Sleep(3*24*time.Hour - time.Microsecond)
		guestOf(t, e)
		guestOf(t, e)
		time.Sleep(time.Microsecond) // now the first has waited for longer than it may, and the second just as long
		looping(t, e, time.Second)
		if calls, lost := r.to("x"), e.Events.Of(auth.EventMessageGivenUp); len(calls) != 6 || len(lost) != 2 {
			t.Errorf("%d calls, %d given up", len(calls), len(lost))
		}
	})
}

// An endpoint is left alone for a while by what says that it is in trouble, and not by what it says of one message. A pause that
// it asks for holds for all messages, and for this one in every process.
func TestWhatLeavesAnEndpointAlone(t *testing.T) {
	t.Parallel()
	for status, alone := range map[int]bool{0: true, 429: true, 500: true, 503: true, 599: true, 400: false, 410: false, 428: false, 430: false, 499: false, 302: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &receivers{answer: func(_ context.Context, n int, _ hookCall) *http.Response {
					switch {
					case n > 1:
						return response(200)
					case status == 0:
						return nil
					}
					return response(status, "Retry-After", "120")
				}}
				s := memstore.New()
				e := authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- e.Run(ctx) }()
				began := time.Now()
				guestOf(t, e)
				time.Sleep(time.Second)
				guestOf(t, e)
				time.Sleep(time.Second)
				if calls := r.to("x"); (len(calls) == 1) != alone {
					t.Errorf("%d calls", len(calls))
				}
				stop()
				<-done
				if status == 0 && strings.Count(e.Logs.String(), `connection refused" channel=webhook:x`) != 1 {
					t.Errorf("the log does not say why:\n%s", e.Logs)
				}
				// Another process knows of the first message alone when it is to be tried again.
				looping(t, authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("x", auth.EventSignedIn))), 10*time.Minute)
				calls := r.to("x")
				if status == 410 {
					return
				}
				i := slices.IndexFunc(calls[1:], func(c hookCall) bool { return c.id() == calls[0].id() }) + 1
				if i == 0 || len(calls) != 3 {
					t.Fatalf("%d calls", len(calls))
				}
				if again := calls[i].at.Sub(began); status != 0 && again < 2*time.Minute || again > 3*time.Minute {
					t.Errorf("tried again after %v", again)
				}
				if other := calls[3-i].at.Sub(began); alone && other < 2*time.Second || other > 10*time.Second {
					t.Errorf("the other has come after %v", other)
				}
			})
		})
	}
}

// The pause that an endpoint asks for is one from all messages.
func TestAPauseIsForAllMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: func(_ context.Context, n int, _ hookCall) *http.Response {
			if n == 1 {
				return response(503, "Retry-After", "120")
			}
			return response(200)
		}}
		e := authtest.New(t, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		guestOf(t, e)
		time.Sleep(time.Second)
		guestOf(t, e)
		time.Sleep(10 * time.Minute)
		stop()
		<-done
		calls := r.to("x")
		if len(calls) != 3 || calls[1].at.Sub(calls[0].at) < 2*time.Minute {
			t.Errorf("%d calls: %v", len(calls), calls)
		}
	})
}

// Four requests at once go to an endpoint that answers, and one to one that has failed, until it answers. Those that fail together
// are one failure, and what is given up without a request is none and no success.
func TestHowManyRequestsGoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{answer: func(_ context.Context, n int, _ hookCall) *http.Response {
			if n <= 4 {
				time.Sleep(time.Duration(n) * 100 * time.Millisecond)
				return response(500)
			}
			time.Sleep(3 * time.Second)
			return response(200)
		}}
		e := authtest.New(t, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
		began := time.Now()
		for range 4 {
			guestOf(t, e)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(time.Second)
		id := uuid.New()
		if err := e.Store.PutMessages(t.Context(), []store.Message{{ID: id, Channel: "webhook:x", Body: []byte("nobody can read it"), CreatedAt: began.Add(-1), NextAt: began}}); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			guestOf(t, e)
		}
		time.Sleep(time.Hour)
		stop()
		<-done
		var at []time.Duration
		for _, c := range r.to("x") {
			at = append(at, c.at.Sub(began))
		}
		if len(at) != 16 || len(e.Events.Of(auth.EventMessageGivenUp)) != 1 {
			t.Fatalf("%d calls, %d given up", len(at), len(e.Events.Of(auth.EventMessageGivenUp)))
		}
		if slices.Max(at[:4]) != 0 {
			t.Errorf("the first four begin after %v", at[:4])
		}
		if at[4] < 10*time.Second || at[4] > 16*time.Second {
			t.Errorf("after a failure it is tried again after %v", at[4])
		}
		if at[5] != at[4]+3*time.Second || at[8] != at[5] || at[9] != at[8]+3*time.Second {
			t.Errorf("then they begin after %v", at[4:])
		}
	})
}

// A loop that is told to end waits for the answers to what is under way.
func TestALoopWaitsForAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answered := 0
		r := &receivers{answer: func(context.Context, int, hookCall) *http.Response {
			time.Sleep(5 * time.Second)
			answered++
			return response(200)
		}}
		e := authtest.New(t, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
		guestOf(t, e)
		looping(t, e, time.Second)
		if o, err := e.Outbox(t.Context()); answered != 1 || err != nil || o != (auth.OutboxState{}) {
			t.Errorf("%d answers, %+v, %v", answered, o, err)
		}
	})
}

// What waits for an endpoint that is in the configuration no more goes nowhere. A replica whose configuration is older leaves
// to the others what it does not know.
func TestMessagesOfAnEndpointThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := &receivers{}, memstore.New()
		guestOf(t, authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("gone"))))
		other := authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("other", auth.EventSignedOut)))
		looping(t, other, time.Second)
		time.Sleep(9 * time.Minute)
		if o, err := other.Outbox(t.Context()); err != nil || o != (auth.OutboxState{Waiting: 2}) { // for somebody else
			t.Errorf("%+v, %v", o, err)
		}
		looping(t, other, 50*time.Minute)
		if n := len(other.Events.All()); n != 0 {
			t.Errorf("%d events", n)
		}
		looping(t, other, 20*time.Minute)
		lost := other.Events.Of(auth.EventMessageGivenUp)
		if len(lost) != 2 || lost[0].Method != "webhook:gone" || len(r.calls) != 0 {
			t.Errorf("given up: %+v; %d calls", lost, len(r.calls))
		}

		guestOf(t, authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("new"))))
		looping(t, other, 10*time.Minute)
		newer := authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("new")))
		looping(t, newer, 15*time.Minute)
		if n := len(r.to("new")); n != 2 || len(newer.Events.Of(auth.EventMessageGivenUp)) != 0 {
			t.Errorf("%d calls", n)
		}

		// They have an hour, and not more.
		guestOf(t, authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("gone"))))
		time.Sleep(time.Hour)
		looping(t, other, time.Second)
		if lost := other.Events.Of(auth.EventMessageGivenUp); len(lost) != 4 {
			t.Errorf("after an hour %d are given up", len(lost))
		}
	})
}

// A crash between the delivery and the note of it sends a message again, with the same id.
func TestACrashSendsAMessageAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := &receivers{}, memstore.New()
		broken := storetest.Break(s, storetest.Fault{Method: "SettleMessage"})
		e := authtest.NewWithStore(t, broken, realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
		guestOf(t, e)
		looping(t, e, time.Second)
		looping(t, authtest.NewWithStore(t, s, realTime, hooked(r, hookTo("x", auth.EventSignedIn))), 10*time.Minute)
		if calls := r.to("x"); len(calls) != 2 || calls[0].id() != calls[1].id() || calls[0].body != calls[1].body {
			t.Errorf("%+v", calls)
		}
	})
}

// While secrets are replaced, receivers that know either are content; afterwards, the old one signs nothing.
func TestWebhookSecretsRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parse := func(s auth.Secret) webhook.Secret {
			p, err := webhook.ParseSecret(string([]byte(s)))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		before, after := hookSecret('a'), hookSecret('b')
		for name, tt := range map[string]struct {
			secrets []auth.Secret
			want    [2]error
		}{
			"before": {[]auth.Secret{before}, [2]error{nil, webhook.ErrSignature}},
			"during": {[]auth.Secret{after, before}, [2]error{nil, nil}},
			"after":  {[]auth.Secret{after}, [2]error{webhook.ErrSignature, nil}},
		} {
			r := &receivers{}
			w := hookTo("x", auth.EventSignedIn)
			w.Secrets = tt.secrets
			e := authtest.New(t, realTime, hooked(r, w))
			guestOf(t, e)
			looping(t, e, time.Second)
			c := r.to("x")[0]
			for i, s := range []auth.Secret{before, after} {
				if _, err := webhook.Verify(c.header, []byte(c.body), time.Now(), parse(s)); !errors.Is(err, tt.want[i]) {
					t.Errorf("%s, secret %d: %v", name, i, err)
				}
			}
		}
	})
}

// ST-18, ST-19: a store that fails or hangs costs the event, and not the call.
func TestAStoreThatDoesNotTakeAWebhook(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storetest.Fault{
		"fails": {Method: "PutMessages"},
		"hangs": {Method: "PutMessages", Do: func(ctx context.Context) { <-ctx.Done() }, Err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &receivers{}
				e := authtest.NewWithStore(t, storetest.Break(memstore.New(), fault), realTime, hooked(r, hookTo("x", auth.EventSignedIn)))
				began := time.Now()
				guestOf(t, e)
				if d := time.Since(began); d > 5*time.Second {
					t.Errorf("the call has waited %v", d)
				}
				if !strings.Contains(e.Logs.String(), "write webhooks; the event will not be sent") {
					t.Error("nobody is told")
				}
			})
		})
	}
}

// Replicas share the work: with fifty at once who cause events and two loops, each message is delivered once where the endpoint
// answers, and at least once where it does not at first.
func TestReplicasDeliverEachWebhookOnce(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	r := &receivers{answer: func(_ context.Context, n int, c hookCall) *http.Response {
		if c.host == "shaky.test" && n%2 == 1 {
			return response(404) // which is no reason to leave the others waiting
		}
		return response(200)
	}}
	var engines []*authtest.Engine
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for range 2 {
		e := authtest.NewWithStore(t, s, hooked(r, hookTo("sound"), hookTo("shaky", auth.EventSignedIn)))
		if len(engines) > 0 {
			e.Clock.Advance(engines[0].Clock.Now().Sub(e.Clock.Now()))
		}
		engines = append(engines, e)
		loops.Go(func() { _ = e.Run(ctx) })
	}
	atOnce(50, func(i int) {
		if _, err := engines[i%2].SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err != nil {
			t.Error(err)
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	for len(r.to("sound")) < 100 || len(idsOf(r.to("shaky"))) < 50 {
		if time.Now().After(deadline) {
			t.Fatalf("%d and %d calls", len(r.to("sound")), len(r.to("shaky")))
		}
	}
	stop()
	loops.Wait()
	if sound := r.to("sound"); len(sound) != 100 || len(idsOf(sound)) != 100 {
		t.Errorf("%d calls for %d messages", len(sound), len(idsOf(sound)))
	}
}

func idsOf(calls []hookCall) map[string]bool {
	ids := map[string]bool{}
	for _, c := range calls {
		ids[c.id()] = true
	}
	return ids
}

// SS-01: what could not be told, or would be told in clear, is refused at once; and no mistake repeats a secret.
func TestWebhookMistakes(t *testing.T) {
	t.Parallel()
	with := func(change func(*auth.WebhookConfig)) []auth.WebhookConfig {
		w := hookTo("x")
		change(&w)
		return []auth.WebhookConfig{w}
	}
	url := func(s string) []auth.WebhookConfig { return with(func(w *auth.WebhookConfig) { w.URL = s }) }
	many := make([]auth.WebhookConfig, 17)
	for i := range many {
		many[i] = hookTo(fmt.Sprint("x", i))
	}
	for name, tt := range map[string]struct {
		list []auth.WebhookConfig
		want string
	}{
		"no name":             {with(func(w *auth.WebhookConfig) { w.Name = "" }), "Webhooks[0].Name"},
		"a name with a blank": {with(func(w *auth.WebhookConfig) { w.Name = "a b" }), "Webhooks[0].Name"},
		"a name twice":        {[]auth.WebhookConfig{hookTo("x"), hookTo("x")}, "Webhooks[1].Name"},
		"no URL":              {url(""), "Webhooks[0].URL"},
		"in clear":            {url("http://example.com/canary"), "Webhooks[0].URL"},
		"a file":              {url("file:///canary"), "Webhooks[0].URL"},
		"a user":              {url("https://canary:canary@example.com/"), "Webhooks[0].URL"},
		"a fragment":          {url("https://example.com/#canary"), "Webhooks[0].URL"},
		"link-local":          {url("https://169.254.169.254/canary"), "Webhooks[0].URL"},
		"no secret":           {with(func(w *auth.WebhookConfig) { w.Secrets = nil }), "Webhooks[0].Secrets"},
		"too many secrets":    {with(func(w *auth.WebhookConfig) { w.Secrets = slices.Repeat(w.Secrets, 5) }), "Webhooks[0].Secrets"},
		"a secret twice":      {with(func(w *auth.WebhookConfig) { w.Secrets = slices.Repeat(w.Secrets, 2) }), "Webhooks[0].Secrets[1]"},
		"a short secret":      {with(func(w *auth.WebhookConfig) { w.Secrets[0] = auth.Secret("whsec_canary00") }), "Webhooks[0].Secrets[0]"},
		"no such secret":      {with(func(w *auth.WebhookConfig) { w.Secrets[0] = auth.Secret("canary") }), "Webhooks[0].Secrets[0]"},
		"no events":           {with(func(w *auth.WebhookConfig) { w.Events = []auth.EventType{} }), "Webhooks[0].Events"},
		"an unknown event":    {with(func(w *auth.WebhookConfig) { w.Events = []auth.EventType{auth.EventSignedIn, "x"} }), "Webhooks[0].Events[1]"},
		"too many":            {many, "Webhooks"},
	} {
		c := validConfig()
		c.Webhooks = tt.list
		_, err := auth.New(memstore.New(), c)
		wrong, ok := errors.AsType[*auth.ConfigError](err)
		if !ok || wrong.Field != tt.want || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range prints(tt.list) {
			if strings.Contains(text, "canary") || strings.Contains(text, string(hookSecret('k'))[6:20]) {
				t.Errorf("%s prints %s", name, text)
			}
		}
	}
	c := validConfig()
	c.Webhooks = []auth.WebhookConfig{{Name: "x", URL: "http://127.0.0.1:8080/hooks?a=b", Secrets: []auth.Secret{hookSecret('k')}}}
	if _, err := auth.New(memstore.New(), c); err != nil {
		t.Error(err)
	}
}

// What Read returns is what an event says.
func TestAMessageIsReadAsItsEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receivers{}
		e := authtest.New(t, realTime, hooked(r, hookTo("x", auth.EventSignInFailed, auth.EventSignedOut)))
		ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("203.0.113.7"), UserAgent: "canary-agent"})
		if _, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: "canary-password"}); err == nil {
			t.Fatal("somebody has come in")
		}
		looping(t, e, time.Second)
		ev := e.Events.Of(auth.EventSignInFailed)[0]
		var m webhook.Message
		if err := json.Unmarshal([]byte(r.to("x")[0].body), &m); err != nil {
			t.Fatal(err)
		}
		want := webhook.Message{Type: "sign-in-failed", Timestamp: ev.At, Data: webhook.Event{
			ID: ev.ID.String(), Address: "203.0.113.7", Method: "password", Code: string(auth.CodeInvalidEmailPassword),
		}}
		if diff := cmp.Diff(want, m); diff != "" || strings.Contains(r.to("x")[0].body, "canary") {
			t.Error(diff, r.to("x")[0].body)
		}

		p := e.Principal(t, guestOf(t, e))
		if err := e.SignOut(t.Context(), p, auth.SignOutParams{All: true}); err != nil {
			t.Fatal(err)
		}
		looping(t, e, time.Second)
		ev = e.Events.Of(auth.EventSignedOut)[0]
		m = webhook.Message{}
		if err := json.Unmarshal([]byte(r.to("x")[1].body), &m); err != nil {
			t.Fatal(err)
		}
		want = webhook.Message{Type: "signed-out", Timestamp: ev.At, Data: webhook.Event{
			ID: ev.ID.String(), UserID: p.UserID.String(), SessionID: p.SessionID.String(), Detail: "all",
		}}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Error(diff)
		}
	})
}
