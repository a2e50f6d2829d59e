package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakecaptcha"
	"github.com/ostiary/auth/authtest/fakeidp"
	"github.com/ostiary/auth/captcha"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// turnstile is a configuration that asks everywhere for what the service has.
func turnstile(t *testing.T, service *fakecaptcha.Service) *auth.CaptchaConfig {
	t.Helper()
	v, err := captcha.NewTurnstile(captcha.TurnstileConfig{
		Secret: service.Secret(), Hostnames: []string{"app.test"}, Action: "auth", Endpoint: service.URL(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &auth.CaptchaConfig{Verifier: v, SignIn: true, Anonymous: true, Messages: true}
}

// human is a captcha that has been solved.
var human = fakecaptcha.Solution{Action: "auth"}

// guardedCall is a call that may be asked for a captcha.
type guardedCall struct {
	name string
	by   func(c *auth.CaptchaConfig) bool // whether it is
	call func(ctx context.Context, e *authtest.Engine, guest *auth.Principal) error
	// malformed is the same call with a mistake that needs nobody to be seen.
	malformed func(ctx context.Context, e *authtest.Engine, guest *auth.Principal) error
}

func guardedCalls() []guardedCall {
	always := func(*auth.CaptchaConfig) bool { return true }
	messages := func(c *auth.CaptchaConfig) bool { return c.Messages }
	const email = "new@example.com"
	signUp := func(password string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: password})
			return err
		}
	}
	key := func(email string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			_, err := e.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: email})
			return err
		}
	}
	signIn := func(email string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			_, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: email, Password: authtest.Password})
			return err
		}
	}
	anonymous := func(name string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			_, err := e.SignInAnonymous(ctx, auth.SignInAnonymousParams{DisplayName: name})
			return err
		}
	}
	link := func(email string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			return e.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: email})
		}
	}
	code := func(email string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			return e.SendEmailOTP(ctx, auth.SendEmailOTPParams{Email: email})
		}
	}
	text := func(number string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			return e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: number})
		}
	}
	reset := func(email string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			return e.SendPasswordReset(ctx, auth.SendPasswordResetParams{Email: email})
		}
	}
	resend := func(email string) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, _ *auth.Principal) error {
			return e.SendVerificationEmail(ctx, auth.SendVerificationEmailParams{Email: email})
		}
	}
	stay := func(p auth.DeanonymizeParams) func(context.Context, *authtest.Engine, *auth.Principal) error {
		return func(ctx context.Context, e *authtest.Engine, guest *auth.Principal) error {
			return e.Deanonymize(ctx, guest, p)
		}
	}
	return []guardedCall{
		{"a sign-up", always, signUp(authtest.Password), signUp("short")},
		{"a sign-up with a key", always, key(email), key("new")},
		{"a sign-in", func(c *auth.CaptchaConfig) bool { return c.SignIn }, signIn("ada@example.com"), signIn("ada")},
		{"an anonymous sign-in", func(c *auth.CaptchaConfig) bool { return c.Anonymous }, anonymous("x"), anonymous("\x07")},
		{"a link", messages, link("ada@example.com"), link("ada")},
		{"a code", messages, code("ada@example.com"), code("ada")},
		{"a text message", messages, text(adaPhone), text("1")},
		{"a reset link", messages, reset("ada@example.com"), reset("ada")},
		{"a verification link", messages, resend("pending@example.com"), resend("pending")},
		{
			"a guest who stays", messages,
			stay(auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless, Email: email}),
			stay(auth.DeanonymizeParams{Method: auth.DeanonymizeByPasswordless, Email: "new"}),
		},
		{
			"a guest who stays with a number", messages,
			stay(auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: bobPhone}),
			stay(auth.DeanonymizeParams{Method: auth.DeanonymizeBySMS, PhoneNumber: "1"}),
		},
	}
}

// guardedRealm is a store with somebody who has an account, somebody who is about to have one, and a guest; and two engines
// over it, of which one asks for captchas.
type guardedRealm struct {
	*authtest.Engine
	counter *storetest.Counter
	guest   *auth.Principal
	limits  *countingLimiter
	checks  *countingChecker
}

func newGuardedRealm(t *testing.T, c *auth.CaptchaConfig, amend ...func(*auth.Config)) *guardedRealm {
	t.Helper()
	r := &guardedRealm{counter: storetest.Count(memstore.New()), limits: &countingLimiter{}, checks: &countingChecker{}}
	open := authtest.NewWithStore(t, r.counter, letters)
	open.SignUp(t, "ada@example.com")
	if _, err := signUp(t, open, "pending@example.com", authtest.Password, auth.SignUpOptions{}); err != nil {
		t.Fatal(err)
	}
	stays := guest(t, open)
	r.Engine = authtest.NewWithStore(t, r.counter, append([]func(*auth.Config){letters, func(config *auth.Config) {
		config.Captcha, config.Password.Breached = c, r.checks
		config.Limits = auth.LimitsConfig{Limiter: r.limits}
		config.Hooks.BeforeSignUp = func(context.Context, *auth.SignUp) error { r.checks.n.Add(1); return nil }
	}}, amend...)...)
	r.guest = r.Principal(t, stays)
	r.counter.Reset()
	return r
}

// countingLimiter lets everything through, and counts what it is asked.
type countingLimiter struct{ n atomic.Int64 }

func (l *countingLimiter) Take(context.Context, ...limit.Take) (limit.Decision, error) {
	l.n.Add(1)
	return limit.Decision{Allowed: true}, nil
}

// countingChecker knows no password.
type countingChecker struct{ n atomic.Int64 }

func (c *countingChecker) Breached(context.Context, string) (bool, error) {
	c.n.Add(1)
	return false, nil
}

// untouched fails the test if anything has been loaded, counted, sent or asked.
func (r *guardedRealm) untouched(t *testing.T, name string) {
	t.Helper()
	if r.counter.Trips() != 0 || r.limits.n.Load() != 0 || r.checks.n.Load() != 0 || len(r.Mailbox.All()) != 0 || len(r.Phone.All()) != 0 {
		t.Errorf("%s: round trips %v, %d limits, %d checks, %d letters, %d text messages", name,
			r.counter.Calls(), r.limits.n.Load(), r.checks.n.Load(), len(r.Mailbox.All()), len(r.Phone.All()))
	}
}

// message is what a client is told.
func message(err error) string {
	if known, ok := errors.AsType[*auth.Error](err); ok {
		return known.Message
	}
	return ""
}

// RL-14: whoever has no good answer gets nowhere: nothing is loaded, counted, hashed, sent or asked of anybody else.
func TestNobodyGetsAnywhereWithoutACaptcha(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	used := service.Solve(human)
	injected := `x","secret":"` + fakecaptcha.TestSecret
	for _, conceal := range []bool{false, true} {
		for _, g := range guardedCalls() {
			for _, c := range []struct {
				name, token, detail, message string
			}{
				{"none", "", "missing-input-response", "missing x-cf-turnstile-response header"},
				{"one that nobody has given", "0.abc", "invalid-input-response", "failed to pass turnstile: [invalid-input-response]"},
				{"one that injects", injected, "invalid-input-response", "failed to pass turnstile: [invalid-input-response]"},
				{"one for another page", service.Solve(fakecaptcha.Solution{Action: "auth", Hostname: "evil.example"}), "hostname-mismatch", "failed to pass turnstile: [hostname-mismatch]"},
				{"one for another purpose", service.Solve(fakecaptcha.Solution{Action: "comment"}), "action-mismatch", "failed to pass turnstile: [action-mismatch]"},
				{"one that is too long for Turnstile", strings.Repeat("a", 2049), "invalid-input-response", "failed to pass turnstile: [invalid-input-response]"},
				{"one that is too long for anybody", strings.Repeat("a", 16<<10+1), "", "The captcha was not passed"},
				{"one with a blank", "0.abc, 0.abc", "", "The captcha was not passed"},
				{"one with a line end", "0.abc\r\n", "", "The captcha was not passed"},
				{"one that is no ASCII", "0.äbc", "", "The captcha was not passed"},
				{"a used one", used, "timeout-or-duplicate", "failed to pass turnstile: [timeout-or-duplicate]"},
			} {
				name := fmt.Sprintf("%s, %s, concealed %t", g.name, c.name, conceal)
				r := newGuardedRealm(t, turnstile(t, service), func(config *auth.Config) { config.ConcealErrors = conceal })
				if c.token == used { // by somebody else
					_ = turnstile(t, service).Verifier.Verify(t.Context(), captcha.Response{Token: used})
				}
				ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("192.0.2.7")})
				if c.token != "" {
					ctx = auth.WithCaptcha(ctx, c.token)
				}
				err := g.call(ctx, r.Engine, r.guest)
				if !errors.Is(err, auth.ErrCaptchaFailed) || message(err) != c.message {
					t.Errorf("%s: %v", name, err)
				}
				r.untouched(t, name)
				events := r.Events.All()
				if len(events) != 1 || events[0].Type != auth.EventCaptchaFailed || events[0].Code != auth.CodeCaptchaFailed ||
					events[0].Detail != c.detail || events[0].Client.Address.String() != "192.0.2.7" {
					t.Errorf("%s: %+v", name, events)
				}
				if c.token != "" && (strings.Contains(fmt.Sprintf("%v %+v", err, events), c.token) || strings.Contains(r.Logs.String(), c.token)) {
					t.Errorf("%s: the answer is in an error, an event or a log", name)
				}
			}
		}
	}
}

// A good answer lets one call through, once, and is asked for before anything else is spent.
func TestACaptchaLetsOneCallThrough(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for _, g := range guardedCalls() {
		r := newGuardedRealm(t, turnstile(t, service))
		token := service.Solve(human)
		ctx := auth.WithCaptcha(t.Context(), token)
		if err := g.call(ctx, r.Engine, r.guest); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		if err := g.call(ctx, r.Engine, r.guest); !errors.Is(err, auth.ErrCaptchaFailed) {
			t.Errorf("%s, again: %v", g.name, err)
		}
		r.Logs.AssertAbsent(t, token, service.Secret())
		for _, text := range []string{fmt.Sprintf("%+v", r.Events.All()), fmt.Sprintf("%v %+v %#v", ctx, ctx, ctx)} {
			if strings.Contains(text, token) {
				t.Errorf("%s: the answer is in %s", g.name, text)
			}
		}
	}
}

// What is wrong with the request itself is told without an answer being spent.
func TestAMalformedRequestCostsNoCaptcha(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for _, g := range guardedCalls() {
		r := newGuardedRealm(t, turnstile(t, service))
		before := len(service.Requests())
		err := g.malformed(t.Context(), r.Engine, r.guest)
		if err == nil || errors.Is(err, auth.ErrCaptchaFailed) || errors.Is(err, auth.ErrInternal) || len(service.Requests()) != before {
			t.Errorf("%s: %v", g.name, err)
		}
	}
}

// Each field asks where it says, and the sign-ups are always asked; without a configuration nobody is.
func TestWhereCaptchasAreAskedFor(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	verifier := turnstile(t, service).Verifier
	for _, c := range []*auth.CaptchaConfig{
		nil,
		{Verifier: verifier},
		{Verifier: verifier, SignIn: true},
		{Verifier: verifier, Anonymous: true},
		{Verifier: verifier, Messages: true},
	} {
		for _, g := range guardedCalls() {
			r := newGuardedRealm(t, c)
			err := g.call(t.Context(), r.Engine, r.guest)
			if asked := errors.Is(err, auth.ErrCaptchaFailed); asked != (c != nil && g.by(c)) || !asked && err != nil {
				t.Errorf("%s with %+v: %v", g.name, c, err)
			}
		}
	}
	if n := len(service.Requests()); n != 0 {
		t.Errorf("%d requests without an answer", n)
	}
}

// W35, RL-14: where nobody can say whether an answer is good, nobody gets through, and the fault is the operator's to see.
func TestNobodyGetsAnywhereWhileTheServiceIsDown(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for _, g := range guardedCalls() {
		for name, fault := range map[string]fakeidp.Fault{
			"down": fakeidp.FaultDown(), "endless": fakeidp.FaultEndless(), "a page": fakeidp.FaultHTML(), "broken": fakeidp.FaultStatus(500),
			"moved": fakeidp.FaultRedirect("https://evil.example/"), "wrong secret": fakecaptcha.FaultCodes("invalid-input-secret"),
		} {
			r := newGuardedRealm(t, turnstile(t, service))
			token := service.Solve(human)
			service.Break(fault)
			err := g.call(auth.WithCaptcha(t.Context(), token), r.Engine, r.guest)
			service.Break()
			known, ok := errors.AsType[*auth.Error](err)
			if !ok || known.Code != auth.CodeInternal || known.Message != auth.ErrInternal.Message || !strings.Contains(err.Error(), "turnstile") ||
				strings.Contains(err.Error(), token) || strings.Contains(err.Error(), service.Secret()) {
				t.Errorf("%s, %s: %v", g.name, name, err)
			}
			r.untouched(t, g.name+", "+name)
			if events, log := r.Events.All(), r.Logs.String(); len(events) != 0 || log != "" {
				t.Errorf("%s, %s: events %+v, log %s", g.name, name, events, log)
			}
		}
	}
}

// verifierFunc is a verifier of the service's own.
type verifierFunc func(context.Context, captcha.Response) error

func (f verifierFunc) Verify(ctx context.Context, r captcha.Response) error { return f(ctx, r) }

// A verifier of the service's own decides the same way: nil, a refusal, or a fault, whatever it is.
func TestAVerifierOfOnesOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verify  verifierFunc
		want    error
		message string
	}{
		"good":           {func(context.Context, captcha.Response) error { return nil }, nil, ""},
		"refused":        {func(context.Context, captcha.Response) error { return fmt.Errorf("no: %w", captcha.ErrRefused) }, auth.ErrCaptchaFailed, "The captcha was not passed"},
		"a fault":        {func(context.Context, captcha.Response) error { return errors.New("down") }, auth.ErrInternal, "Internal server error"},
		"an error of us": {func(context.Context, captcha.Response) error { return auth.ErrDisabledUser }, auth.ErrInternal, "Internal server error"},
		"a panic":        {func(context.Context, captcha.Response) error { panic("0.abc") }, auth.ErrInternal, "Internal server error"},
	} {
		e := authtest.New(t, func(config *auth.Config) { config.Captcha = &auth.CaptchaConfig{Verifier: c.verify} })
		_, err := e.SignUpWebAuthn(auth.WithCaptcha(t.Context(), "0.abc"), auth.SignUpWebAuthnParams{Email: "ada@example.com"})
		known, _ := errors.AsType[*auth.Error](err)
		want, _ := errors.AsType[*auth.Error](c.want)
		if (known == nil) != (want == nil) || known != nil && (known.Code != want.Code || known.Message != c.message || strings.Contains(err.Error(), "0.abc")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer is printable ASCII without blanks, of up to 16 KiB: a verifier sees nothing else.
func TestWhatAVerifierIsAsked(t *testing.T) {
	t.Parallel()
	const most = 16 << 10
	for answer, asked := range map[string]bool{
		"!~": true, strings.Repeat("a", most): true, "": false, strings.Repeat("a", most+1): false, "a b": false, "a\x7f": false, "\x1f": false,
	} {
		var seen []string
		e := authtest.New(t, func(config *auth.Config) {
			config.Captcha = &auth.CaptchaConfig{Verifier: verifierFunc(func(_ context.Context, r captcha.Response) error {
				seen = append(seen, r.Token)
				return nil
			})}
		})
		_, err := e.SignUpWebAuthn(auth.WithCaptcha(t.Context(), answer), auth.SignUpWebAuthnParams{Email: "ada@example.com"})
		if asked && (err != nil || len(seen) != 1 || seen[0] != answer) || !asked && (!errors.Is(err, auth.ErrCaptchaFailed) || len(seen) != 0) {
			t.Errorf("an answer of %d bytes: %v, %d asked", len(answer), err, len(seen))
		}
	}
}

// The service learns from where the client calls only if the operator wants it to.
func TestTheAddressStaysHere(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for _, send := range []bool{false, true} {
		for _, address := range []string{"", "2001:db8::1"} {
			c := turnstile(t, service)
			c.SendAddress = send
			e := authtest.New(t, func(config *auth.Config) { config.Captcha = c })
			token := service.Solve(human)
			ctx := auth.WithCaptcha(t.Context(), token)
			want := url.Values{"secret": {service.Secret()}, "response": {token}}
			if address != "" {
				ctx = auth.WithClient(ctx, auth.Client{Address: netip.MustParseAddr(address)})
			}
			if send && address != "" {
				want.Set("remoteip", address)
			}
			if _, err := e.SignUpWebAuthn(ctx, auth.SignUpWebAuthnParams{Email: "ada@example.com"}); err != nil {
				t.Fatal(err)
			}
			all := service.Requests()
			if diff := cmp.Diff(want, all[len(all)-1]); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// Of fifty who sign up with one answer at once, one does.
func TestOneCaptchaForManyAtOnce(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	r := newGuardedRealm(t, turnstile(t, service))
	ctx := auth.WithCaptcha(t.Context(), service.Solve(human))
	var through atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			switch _, err := r.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: fmt.Sprintf("n%d@example.com", i), Password: authtest.Password}); {
			case err == nil:
				through.Add(1)
			case !errors.Is(err, auth.ErrCaptchaFailed):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := through.Load(); n != 1 || userCount(t, r.Store) != 4 {
		t.Errorf("%d came through, %d users", n, userCount(t, r.Store))
	}
}

// ST-15
func TestACaptchaNeedsAVerifier(t *testing.T) {
	t.Parallel()
	c := validConfig()
	c.Captcha = &auth.CaptchaConfig{SignIn: true}
	_, err := auth.New(memstore.New(), c)
	if mistake, ok := errors.AsType[*auth.ConfigError](err); !ok || mistake.Field != "Captcha.Verifier" {
		t.Error(err)
	}
	verify := verifierFunc(func(context.Context, captcha.Response) error { return captcha.ErrRefused })
	c.Captcha.Verifier = verify
	e, err := auth.New(memstore.New(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.Captcha.SignIn = false // a caller who goes on using what it passed does not change the engine
	_, err = e.SignInPassword(t.Context(), auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password})
	if !errors.Is(err, auth.ErrCaptchaFailed) {
		t.Error(err)
	}
}
