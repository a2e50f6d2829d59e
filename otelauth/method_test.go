package otelauth_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// Every method of the engine that takes a context and can fail is a span of its own name and a measurement, however it
// ends: called with nothing, some return a refusal, some succeed, and one without a principal may panic. Apart are the loop,
// and Admit, with which each request begins.
func TestEveryMethodOfTheEngineIsASpan(t *testing.T) {
	t.Parallel()
	seen := 0
	for m := range reflect.TypeFor[*auth.Engine]().Methods() {
		f := m.Type
		if f.NumIn() < 2 || f.In(1) != reflect.TypeFor[context.Context]() || m.Name == "Run" || m.Name == "Admit" {
			continue
		}
		seen++
		w := newWatch(t, otelauth.Options{})
		e := w.engine(t, memstore.New())
		args := []reflect.Value{reflect.ValueOf(e.Engine), reflect.ValueOf(t.Context())}
		for i := 2; i < f.NumIn() && !(f.IsVariadic() && i == f.NumIn()-1); i++ {
			args = append(args, reflect.Zero(f.In(i)))
		}
		func() {
			defer func() { _ = recover() }()
			m.Func.Call(args)
		}()
		spans := w.take()
		if len(spans) == 0 {
			t.Errorf("%s is no span", m.Name)
			continue
		}
		if last := spans[len(spans)-1]; last.Name != "auth."+m.Name || last.SpanKind != trace.SpanKindInternal || last.EndTime.IsZero() {
			t.Errorf("%s is the span %s", m.Name, line(last))
		}
		counted := 0.0
		for labels, n := range w.points(t, "auth.operation.duration") {
			if fields := labels + " "; len(fields) > len(m.Name) && fields[:len(m.Name)+1] == m.Name+" " {
				counted += n
			}
		}
		if counted != 1 {
			t.Errorf("%s was measured %v times", m.Name, counted)
		}
	}
	if seen < 60 {
		t.Errorf("the engine has %d methods: the test does not see them", seen)
	}
}

// A call of the store is below its method, and that below what the service was doing.
func TestSpansAreNested(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	var inHook trace.SpanContext
	e := w.engine(t, memstore.New(), func(c *auth.Config) {
		c.Hooks.UserCreated = func(ctx context.Context, _ *auth.User) error {
			inHook = trace.SpanContextFromContext(ctx)
			return nil
		}
	})
	ctx, service := w.tracer.Start(t.Context(), "POST /signup")
	if _, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	service.End()
	parents := map[string]string{}
	spans := w.take()
	for _, s := range spans {
		for _, p := range spans {
			if p.SpanContext.SpanID() == s.Parent.SpanID() {
				parents[s.Name] = p.Name
			}
		}
		if s.Name == "auth.store.CreateUser" && inHook.SpanID() != s.SpanContext.SpanID() {
			t.Error("the hook is not below the call of the store that it is part of")
		}
	}
	want := map[string]string{
		"auth.SignUpPassword": "POST /signup", "auth.store.CreateUser": "auth.SignUpPassword", "auth.store.SettleMessage": "auth.SignUpPassword",
	}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Error(diff)
	}
}

// Only what is broken is an error; what is refused, or given up by its caller, is an outcome.
func TestHowAMethodEnds(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancelLate()
	fault := func(err error) []storetest.Fault { return []storetest.Fault{{Method: "Ping", Err: err}} }
	ping := func(ctx context.Context, e *authtest.Engine) error { return e.Health(ctx) }
	for name, test := range map[string]struct {
		ctx     context.Context
		faults  []storetest.Fault
		call    func(context.Context, *authtest.Engine) error
		want    []string
		metrics map[string]float64
	}{
		"success": {
			call: ping,
			want: []string{"auth.store.Ping client auth.outcome=ok db.operation.name=Ping", "auth.Health internal auth.operation=Health auth.outcome=ok"},
			metrics: map[string]float64{
				"Health ok": 1,
			},
		},
		"a refusal": {
			call: func(ctx context.Context, e *authtest.Engine) error {
				_, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: "x"})
				return err
			},
			want:    []string{"auth.Refresh internal auth.operation=Refresh auth.outcome=invalid-refresh-token"},
			metrics: map[string]float64{"Refresh invalid-refresh-token": 1},
		},
		"a fault": {
			faults: fault(errors.New("relation of ada@example.com does not exist")), call: ping,
			want: []string{
				"auth.store.Ping client auth.outcome=error db.operation.name=Ping error.type=_OTHER Error",
				"auth.Health internal auth.operation=Health auth.outcome=internal-server-error error.type=_OTHER Error",
			},
			metrics: map[string]float64{"Health internal-server-error _OTHER": 1},
		},
		"a deadline": {
			ctx: late, call: ping,
			want: []string{
				"auth.store.Ping client auth.outcome=error db.operation.name=Ping error.type=timeout Error",
				"auth.Health internal auth.operation=Health auth.outcome=internal-server-error error.type=timeout Error",
			},
			metrics: map[string]float64{"Health internal-server-error timeout": 1},
		},
		"a caller who has left": {
			ctx: canceled, call: ping,
			want: []string{
				"auth.store.Ping client auth.outcome=canceled db.operation.name=Ping",
				"auth.Health internal auth.operation=Health auth.outcome=canceled",
			},
			metrics: map[string]float64{"Health canceled": 1},
		},
		"a store that gave up by itself": {
			faults: fault(fmt.Errorf("pool: %w", context.Canceled)), call: ping,
			want: []string{
				"auth.store.Ping client auth.outcome=error db.operation.name=Ping error.type=_OTHER Error",
				"auth.Health internal auth.operation=Health auth.outcome=internal-server-error error.type=_OTHER Error",
			},
			metrics: map[string]float64{"Health internal-server-error _OTHER": 1},
		},
		"a panic": {
			faults: []storetest.Fault{{Method: "Ping", Do: func(context.Context) { panic("ada@example.com") }}},
			call: func(ctx context.Context, e *authtest.Engine) (err error) {
				defer func() {
					if r := recover(); r != "ada@example.com" {
						err = fmt.Errorf("recovered %v", r)
					}
				}()
				_ = e.Health(ctx)
				return errors.New("no panic")
			},
			want: []string{
				"auth.store.Ping client auth.outcome=error db.operation.name=Ping error.type=panic Error",
				"auth.Health internal auth.operation=Health auth.outcome=internal-server-error error.type=panic Error",
			},
			metrics: map[string]float64{"Health internal-server-error panic": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, otelauth.Options{})
			e := w.engine(t, storetest.Break(memstore.New(), test.faults...))
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			err := test.call(ctx, e)
			if name == "a panic" && err != nil {
				t.Error(err)
			}
			spans := w.take()
			if diff := cmp.Diff(test.want, lines(spans)); diff != "" {
				t.Error(diff)
			}
			for _, s := range spans {
				if len(s.Events) != 0 { // where an SDK puts the text of errors
					t.Errorf("%s has events: %v", s.Name, s.Events)
				}
			}
			if diff := cmp.Diff(test.metrics, w.points(t, "auth.operation.duration")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRealmAndDatabaseAreAttributesOfAll(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{Realm: "staff", DBSystem: "sqlite"})
	e := w.engine(t, memstore.New())
	if err := e.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"auth.store.Ping client auth.outcome=ok auth.realm=staff db.operation.name=Ping db.system.name=sqlite",
		"auth.Health internal auth.operation=Health auth.outcome=ok auth.realm=staff",
	}
	if diff := cmp.Diff(want, lines(w.take())); diff != "" {
		t.Error(diff)
	}
	session := e.SignUp(t, "ada@example.com")
	e.SignIn(t, session.User.Email)
	for range 2 { // the second time, it is an old one
		_, _ = e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: session.RefreshToken})
		e.Clock.Advance(time.Minute)
	}
	if points := w.points(t, "auth.refresh_token.reuses"); len(points) != 1 {
		t.Errorf("reuses: %v", points)
	}
	if _, err := w.Watch(e.Engine); err != nil {
		t.Fatal(err)
	}
	for _, scope := range w.collect(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			for labels := range w.points(t, m.Name) {
				if !containsWord(labels, "staff") || containsWord(labels, "sqlite") != (m.Name == "auth.store.duration") {
					t.Errorf("%s has the labels %s", m.Name, labels)
				}
			}
		}
	}
}
