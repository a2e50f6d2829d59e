package otelauth_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

func (w *watch) wantPoints(t *testing.T, name string, want map[string]float64) {
	t.Helper()
	if diff := cmp.Diff(want, w.points(t, name)); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

func TestSignInsAreCountedByMethodAndOutcome(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	e := w.engine(t, memstore.New(), func(c *auth.Config) { c.ConcealErrors = true })
	ada := e.SignUp(t, "ada@example.com") // comes in by the link
	for email, password := range map[string]string{"ada@example.com": "wrong-tractor-eleven", "bob@example.com": authtest.Password} {
		_, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: email, Password: password})
		wantErr(t, err, auth.ErrInvalidRequest) // concealed; the metric tells the operator what it was
	}
	e.SignIn(t, "ada@example.com")
	enrolTOTP(t, e, e.Principal(t, ada))
	if _, err := e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err != nil {
		t.Fatal(err)
	}
	w.wantPoints(t, "auth.sign_ins", map[string]float64{
		"ok email":                        1,
		"invalid-email-password password": 2,
		"ok password":                     1,
		"second-factor-asked password":    1,
		"ok anonymous":                    1,
	})
	if n := w.points(t, "auth.events")["mfa-enabled"]; n != 1 {
		t.Errorf("the event was counted %v times", n)
	}
}

// enrolTOTP gives a user a second factor and returns its secret.
func enrolTOTP(t *testing.T, e *authtest.Engine, who *auth.Principal) string {
	t.Helper()
	enrolment, err := e.GenerateTOTP(t.Context(), who, auth.GenerateTOTPParams{})
	if err != nil {
		t.Fatal(err)
	}
	code := authtest.TOTPCode(t, enrolment.Secret, e.Clock.Now())
	if err := e.SetMFA(t.Context(), who, auth.SetMFAParams{Type: auth.MFATypeTOTP, Code: code}); err != nil {
		t.Fatal(err)
	}
	return enrolment.Secret
}

func TestRefreshesAndTheftsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	e := w.engine(t, memstore.New())
	s := e.SignUp(t, "ada@example.com")
	for range 2 { // the second within the grace period
		if _, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: s.RefreshToken}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.points(t, "auth.refresh_token.reuses"); len(got) != 0 {
		t.Errorf("a theft was counted: %v", got)
	}
	e.Clock.Advance(time.Hour)
	for _, token := range []string{s.RefreshToken, "nothing"} {
		_, err := e.Refresh(t.Context(), auth.RefreshParams{RefreshToken: token})
		wantErr(t, err, auth.ErrInvalidRefreshToken)
	}
	w.wantPoints(t, "auth.refreshes", map[string]float64{"ok": 2, "invalid-refresh-token": 2})
	w.wantPoints(t, "auth.refresh_token.reuses", map[string]float64{"": 1})
}

// A budget that is exhausted counts once a minute, as its event does, however many calls it refuses.
func TestHitsOfLimitsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	e := w.engine(t, memstore.New(), func(c *auth.Config) {
		c.MagicLink = &auth.MagicLinkConfig{}
		c.Limits = auth.LimitsConfig{EmailsPerAddress: limit.Rate{Burst: 2, Per: time.Hour}}
	})
	for i := range 5 {
		err := e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com"})
		if i < 2 != (err == nil) {
			t.Errorf("letter %d: %v", i, err)
		}
	}
	w.wantPoints(t, "auth.limit.hits", map[string]float64{"emails-address": 1})
	e.Clock.Advance(time.Minute)
	wantErr(t, e.SendMagicLink(t.Context(), auth.SendMagicLinkParams{Email: "ada@example.com"}), auth.ErrTooManyRequests)
	w.wantPoints(t, "auth.limit.hits", map[string]float64{"emails-address": 2})
}

// SI-14: what a full queue does to sign-ins is to be seen.
func TestWaitsOfPasswordsAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	e := w.engine(t, memstore.New())
	e.SignUp(t, "ada@example.com")
	w.HashWaited(t.Context(), 3*time.Second, nil)
	w.HashWaited(t.Context(), time.Second, auth.ErrTooManyRequests)
	sums := map[string]float64{}
	for _, scope := range w.collect(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "auth.password.wait" {
				for _, p := range h.DataPoints {
					outcome, _ := p.Attributes.Value("auth.outcome")
					sums[outcome.AsString()] += p.Sum
				}
			}
		}
	}
	w.wantPoints(t, "auth.password.wait", map[string]float64{"ok": 2, "too-many-requests": 1})
	if sums["ok"] < 3 || sums["ok"] > 4 || sums["too-many-requests"] != 1 {
		t.Errorf("waited %v", sums)
	}
}

type sendFunc func(context.Context, mail.Message) error

func (f sendFunc) Send(ctx context.Context, m mail.Message) error { return f(ctx, m) }

func TestTheOutboxIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{Realm: "staff"})
	e := w.engine(t, memstore.New(), func(c *auth.Config) {
		c.Mail = sendFunc(func(context.Context, mail.Message) error { return errors.New("421 not now") })
	})
	watching, err := w.Watch(e.Engine)
	if err != nil {
		t.Fatal(err)
	}
	w.wantPoints(t, "auth.outbox.messages", map[string]float64{"due staff": 0, "waiting staff": 0, "dead staff": 0})
	w.wantPoints(t, "auth.outbox.delay", map[string]float64{"staff": 0})
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		if _, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: email, Password: authtest.Password}); err != nil {
			t.Fatal(err)
		}
		e.Clock.Advance(time.Hour)
	}
	due, err := e.Store.ClaimMessages(t.Context(), store.MessageClaim{Now: e.Clock.Now(), Until: e.Clock.Now(), Limit: 1})
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	if err := e.Store.SettleMessage(t.Context(), store.Settlement{ID: due[0].ID, Dead: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "eve@example.com", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	w.wantPoints(t, "auth.outbox.messages", map[string]float64{"due staff": 1, "waiting staff": 1, "dead staff": 1})
	if d := w.points(t, "auth.outbox.delay")["staff"]; d < 3500 || d > 3600 {
		t.Errorf("the delay is %v", d)
	}
	if err := watching.Unregister(); err != nil {
		t.Fatal(err)
	}
	w.wantPoints(t, "auth.outbox.messages", map[string]float64{})
}

// ST-18: a store that hangs, and one that panics, holds up the collection of metrics for a moment and not for ever.
func TestAnOutboxThatCannotBeCounted(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context){
		"hangs":  func(ctx context.Context) { <-ctx.Done() },
		"panics": func(context.Context) { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t, otelauth.Options{})
				e := w.engine(t, storetest.Break(memstore.New(), storetest.Fault{Method: "Outbox", Do: do}))
				if _, err := w.Watch(e.Engine); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var all metricdata.ResourceMetrics
				err := w.reader.Collect(t.Context(), &all)
				if err == nil || !strings.Contains(err.Error(), "otelauth: ") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if len(all.ScopeMetrics) != 1 {
					t.Error("the other metrics are not there")
				}
			})
		})
	}
}

func TestNewEngineWatchesAll(t *testing.T) {
	t.Parallel()
	config := func(l *slog.Logger, s auth.EventSink) auth.Config {
		return auth.Config{
			ServerURL: authtest.ServerURL, ClientURL: authtest.ClientURL, Secret: []byte("0123456789abcdef0123456789abcdef"),
			Anonymous: &auth.AnonymousConfig{}, Email: auth.EmailConfig{AllowUnverified: true}, Logger: l, Events: s,
		}
	}
	events, logs := &authtest.Events{}, authtest.NewLogs()
	for name, c := range map[string]auth.Config{
		"events of the service's": config(nil, events), "a logger": config(logs.Logger(), nil), "neither": config(nil, nil),
	} {
		w := newWatch(t, otelauth.Options{})
		e, err := w.NewEngine(memstore.New(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.SignInAnonymous(t.Context(), auth.SignInAnonymousParams{}); err != nil {
			t.Fatal(err)
		}
		if spans := w.take(); len(spans) != 2 {
			t.Errorf("%s: spans %q", name, lines(spans))
		}
		w.wantPoints(t, "auth.sign_ins", map[string]float64{"ok anonymous": 1})
		w.wantPoints(t, "auth.outbox.messages", map[string]float64{"due": 0, "waiting": 0, "dead": 0})
	}
	if len(events.Of(auth.EventSignedIn)) != 1 {
		t.Error("the service's own sink has no event")
	}
	if !strings.Contains(logs.String(), string(auth.EventSignedIn)) {
		t.Error("the event is not in the log")
	}

	w := newWatch(t, otelauth.Options{})
	c := config(nil, nil)
	if _, err := w.NewEngine(nil, c); err == nil || !strings.Contains(err.Error(), "the store is nil") {
		t.Errorf("without a store: %v", err)
	}
	c.Observer = newWatch(t, otelauth.Options{})
	if _, err := w.NewEngine(memstore.New(), c); err == nil {
		t.Error("another observer was replaced")
	}
}

// LG-19: codes are labels only as far as package auth knows them, and it must be all of them.
func TestEveryCodeIsALabel(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "../error.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	w := newWatch(t, otelauth.Options{})
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		want[code+" password"] = 1
		w.Emit(t.Context(), auth.Event{Type: auth.EventSignInFailed, Method: "password", Code: auth.Code(code)})
		return true
	})
	if len(want) < 38 {
		t.Errorf("the test sees %d codes", len(want))
	}
	w.wantPoints(t, "auth.sign_ins", want)
}

// The tables of the documentation have all metrics, with their units, and no other.
func TestTheTablesHaveAllMetrics(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	everything(t, w)
	made := map[string]string{}
	for _, scope := range w.collect(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			made[m.Name] = m.Unit
			if m.Description == "" {
				t.Errorf("%s has no description", m.Name)
			}
		}
	}
	if len(made) < 10 {
		t.Errorf("there are only %v", slices.Sorted(maps.Keys(made)))
	}
	for _, name := range []string{"doc.go", "../docs/operations.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]string{}
		for l := range strings.Lines(string(text)) {
			fields := strings.FieldsFunc(l, func(r rune) bool { return strings.ContainsRune(" \t\n/|,`", r) })
			if len(fields) > 2 && strings.HasPrefix(fields[0], "auth.") && slices.Contains([]string{"histogram", "counter", "gauge"}, fields[1]) {
				told[fields[0]] = fields[2]
			}
		}
		if diff := cmp.Diff(made, told); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// refusing is a MeterProvider that does not make one instrument, or takes no callback.
type refusing struct {
	metric.MeterProvider
	name string // of the instrument; empty for callbacks
}

type refusingMeter struct {
	metric.Meter
	name string
}

var errRefused = errors.New("refused by the provider")

func (p refusing) Meter(name string, o ...metric.MeterOption) metric.Meter {
	return refusingMeter{p.MeterProvider.Meter(name, o...), p.name}
}

func (m refusingMeter) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	if name == m.name {
		return nil, errRefused
	}
	return m.Meter.Float64Histogram(name, o...)
}

func (m refusingMeter) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	if name == m.name {
		return nil, errRefused
	}
	return m.Meter.Int64Counter(name, o...)
}

func (m refusingMeter) Int64ObservableGauge(name string, o ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	if name == m.name {
		return nil, errRefused
	}
	return m.Meter.Int64ObservableGauge(name, o...)
}

func (m refusingMeter) Float64ObservableGauge(name string, o ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	if name == m.name {
		return nil, errRefused
	}
	return m.Meter.Float64ObservableGauge(name, o...)
}

func (m refusingMeter) RegisterCallback(f metric.Callback, of ...metric.Observable) (metric.Registration, error) {
	if m.name == "" {
		return nil, errRefused
	}
	return m.Meter.RegisterCallback(f, of...)
}

// Whatever instrument the provider does not make, there is no telemetry that lacks it in silence.
func TestAnInstrumentThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"auth.operation.duration", "auth.store.duration", "auth.password.wait", "auth.sign_ins", "auth.refreshes",
		"auth.refresh_token.reuses", "auth.limit.hits", "auth.events", "auth.outbox.messages", "auth.outbox.delay",
	} {
		if w, err := otelauth.New(otelauth.Options{MeterProvider: refusing{noop.NewMeterProvider(), name}}); !errors.Is(err, errRefused) || w != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := otelauth.New(otelauth.Options{MeterProvider: refusing{noop.NewMeterProvider(), ""}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Watch(authtest.New(t).Engine); !errors.Is(err, errRefused) {
		t.Errorf("the outbox is not watched: %v", err)
	}
	e, err := w.NewEngine(memstore.New(), auth.Config{
		ServerURL: authtest.ServerURL, ClientURL: authtest.ClientURL, Secret: []byte("0123456789abcdef0123456789abcdef"),
		Email: auth.EmailConfig{AllowUnverified: true},
	})
	if !errors.Is(err, errRefused) || e != nil {
		t.Errorf("an engine whose outbox is not watched: %v", err)
	}
}

// Without providers, those of the process are used.
func TestTheProvidersOfTheProcess(t *testing.T) { // not parallel: it changes what is global
	tracers, meters := otel.GetTracerProvider(), otel.GetMeterProvider()
	defer func() {
		otel.SetTracerProvider(tracers)
		otel.SetMeterProvider(meters)
	}()
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	w, err := otelauth.New(otelauth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := authtest.NewWithStore(t, memstore.New(), func(c *auth.Config) { c.Observer = w })
	if err := e.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if len(spans.GetSpans()) != 1 || len(all.ScopeMetrics) != 1 {
		t.Errorf("%d spans, metrics of %d scopes", len(spans.GetSpans()), len(all.ScopeMetrics))
	}
}

// LG-19: what has the form of no name that was given is no label, and what has is one.
func TestNamesThatAreNoLabels(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	longest := strings.Repeat("a", 48)
	want := map[string]float64{"other": 0}
	for name, isOne := range map[string]bool{
		"password": true, "provider:my_idp-2": true, longest: true, longest + "a": false, "": false, "Ada": false, "ada@example.com": false,
		"provider:ada@example.com": false, "provider:a:b": false, "192.0.2.1": false, "signed in": false,
	} {
		w.Emit(t.Context(), auth.Event{Type: auth.EventType(name)})
		if isOne {
			want[name] = 1
		} else {
			want["other"]++
		}
	}
	w.wantPoints(t, "auth.events", want)
}
