package otelauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/otelauth"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/store/storetest"
)

// idp is a provider at which everybody is Ada.
type idp struct{}

func (idp) Authorize(_ context.Context, _ provider.Env, r provider.Request) (provider.Authorization, error) {
	return provider.Authorization{URL: "https://idp.test/authorize?state=" + url.QueryEscape(r.State), Secret: "provider-secret"}, nil
}

func (idp) Exchange(_ context.Context, _ provider.Env, r provider.Return) (provider.Tokens, error) {
	if r.Values.Get("code") != "provider-code" {
		return provider.Tokens{}, errors.New("invalid_grant: provider-bad-code")
	}
	return provider.Tokens{AccessToken: "provider-access-token", RefreshToken: "provider-refresh-token"}, nil
}

func (idp) Profile(context.Context, provider.Env, provider.Return, provider.Tokens) (provider.Profile, error) {
	return provider.Profile{Subject: "provider-subject", Email: "visitor@example.com", EmailVerified: true}, nil
}

func (idp) Refresh(context.Context, provider.Env, string) (provider.Tokens, error) {
	return provider.Tokens{}, provider.ErrNoRefresh
}

// telltale is a limiter that says more than it should.
type telltale struct{}

func (telltale) Take(_ context.Context, takes ...limit.Take) (limit.Decision, error) {
	return limit.Decision{Bucket: takes[0].Bucket + ":" + takes[0].Key}, nil
}

// everything is a day of an engine under w: all that it should do, and what it should not. It returns what nobody may find
// in telemetry.
func everything(t *testing.T, w *watch) (secrets []string) {
	t.Helper()
	broken := storetest.Break(memstore.New(),
		storetest.Fault{Method: "Ping", Err: errors.New("a row with ada@example.com")},
		storetest.Fault{Method: "EndSessions", Do: func(context.Context) { panic("ada@example.com") }})
	e := w.engine(t, broken, func(c *auth.Config) {
		c.Providers = map[string]provider.Provider{"somewhere": idp{}}
		c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
		c.Hooks.BeforeSession = func(_ context.Context, u *auth.User, _ []string) error {
			if u.Email == "refused@example.com" {
				return &auth.Error{Code: auth.Code("code-of-" + u.ID.String()), Message: "message to " + u.Email}
			}
			return nil
		}
	})
	if _, err := w.Watch(e.Engine); err != nil {
		t.Fatal(err)
	}
	hide := func(s ...string) { secrets = append(secrets, s...) }
	ctx := auth.WithClient(t.Context(), auth.Client{Address: netip.MustParseAddr("203.0.113.77"), UserAgent: "Agent-of-Ada"})
	hide("203.0.113.77", "Agent-of-Ada", authtest.Password, "ada@example.com", "refused@example.com", "visitor@example.com")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	session := func(in *auth.SignInResult, err error) *auth.Session {
		t.Helper()
		must(err)
		hide(in.Session.AccessToken, in.Session.RefreshToken, in.Session.RefreshTokenID.String(), in.Session.User.ID.String())
		return in.Session
	}

	// Sign-up, sign-in, refresh and theft.
	_, err := e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
	must(err)
	letter := e.Mailbox.Last(t, "ada@example.com")
	hide(letter.Ticket())
	verified, err := e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: letter.Ticket()})
	must(err)
	hide(verified.Session.AccessToken, verified.Session.RefreshToken, verified.Session.User.ID.String())
	in := session(e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: authtest.Password}))
	hide("a-password-that-is-wrong")
	_, err = e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: "a-password-that-is-wrong"})
	wantErr(t, err, auth.ErrInvalidEmailPassword)
	next, err := e.Refresh(ctx, auth.RefreshParams{RefreshToken: in.RefreshToken})
	must(err)
	hide(next.AccessToken, next.RefreshToken)
	must(e.VerifyToken(ctx, auth.VerifyTokenParams{Token: next.AccessToken}))
	wantErr(t, e.VerifyToken(ctx, auth.VerifyTokenParams{Token: next.AccessToken + "x"}), auth.ErrInvalidRequest)
	e.Clock.Advance(time.Hour)
	_, err = e.Refresh(ctx, auth.RefreshParams{RefreshToken: in.RefreshToken})
	wantErr(t, err, auth.ErrInvalidRefreshToken)

	// Letters and text messages.
	must(e.SendPasswordReset(ctx, auth.SendPasswordResetParams{Email: "ada@example.com"}))
	reset := e.Mailbox.Last(t, "ada@example.com").Ticket()
	hide(reset, "another-tractor-twelve")
	must(e.ChangePassword(ctx, nil, auth.ChangePasswordParams{Ticket: reset, NewPassword: "another-tractor-twelve"}))
	must(e.SendEmailOTP(ctx, auth.SendEmailOTPParams{Email: "ada@example.com"}))
	code := e.Mailbox.Last(t, "ada@example.com").Ticket()
	hide(code)
	in = session(e.VerifyEmailOTP(ctx, auth.VerifyEmailOTPParams{Email: "ada@example.com", OTP: code}))
	hide("+420777123456")
	must(e.SendSMSOTP(ctx, auth.SendSMSOTPParams{PhoneNumber: "+420777123456"}))
	text := e.Phone.Last(t, "+420777123456")
	hide(text.Code)
	session(e.VerifySMSOTP(ctx, auth.VerifySMSOTPParams{PhoneNumber: "+420777123456", OTP: text.Code}))

	// A second factor, and a personal access token.
	ada := e.Principal(t, in)
	pat, err := e.CreatePAT(ctx, ada, auth.CreatePATParams{ExpiresAt: e.Clock.Now().Add(100 * 24 * time.Hour)})
	must(err)
	hide(pat.Token, pat.ID.String())
	session(e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: pat.Token}))
	stray := uuid.NewString()
	hide(stray)
	_, err = e.SignInPAT(ctx, auth.SignInPATParams{PersonalAccessToken: stray})
	wantErr(t, err, auth.ErrInvalidPAT)
	secret := enrolTOTP(t, e, ada)
	hide(secret)
	asked, err := e.SignInPassword(ctx, auth.SignInPasswordParams{Email: "ada@example.com", Password: "another-tractor-twelve"})
	must(err)
	hide(asked.MFA.Ticket)
	e.Clock.Advance(time.Minute)
	otp := authtest.TOTPCode(t, secret, e.Clock.Now())
	hide(otp)
	session(e.VerifyMFA(ctx, auth.VerifyMFAParams{Ticket: asked.MFA.Ticket, OTP: otp}))

	// A visit to a provider, and visits to what is none.
	for _, code := range []string{"provider-bad-code", "provider-code"} {
		start, err := e.StartProvider(ctx, auth.StartProviderParams{Provider: "somewhere"})
		must(err)
		hide(start.State, start.Binding, code)
		result, err := e.FinishProvider(ctx, auth.FinishProviderParams{
			Provider: "somewhere", Binding: start.Binding, Values: url.Values{"state": {start.State}, "code": {code}},
		})
		if code == "provider-code" {
			must(err)
			hide(result.Session.AccessToken, result.Session.RefreshToken, result.Session.User.ID.String())
		}
	}
	hide("provider-secret", "provider-access-token", "provider-refresh-token", "provider-subject", "hostile-provider")
	for _, name := range []string{"hostile-provider", "hostile-provider/../x?token=y"} {
		_, _ = e.StartProvider(ctx, auth.StartProviderParams{Provider: name})
		_, _ = e.FinishProvider(ctx, auth.FinishProviderParams{Provider: name, Values: url.Values{"state": {"x"}, "code": {"y"}}})
		_, _ = e.SignInIDToken(ctx, auth.SignInIDTokenParams{Provider: name, IDToken: "z"})
	}

	// A hook, a limiter, a store and a sink that say what they should not.
	_, err = e.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "refused@example.com", Password: authtest.Password})
	must(err)
	_, err = e.VerifyTicket(ctx, auth.VerifyTicketParams{Ticket: e.Mailbox.Last(t, "refused@example.com").Ticket()})
	if known := (*auth.Error)(nil); !errors.As(err, &known) || !strings.HasPrefix(string(known.Code), "code-of-") {
		t.Errorf("the hook's refusal is %v", err)
	}
	limited := w.engine(t, memstore.New(), func(c *auth.Config) {
		c.MagicLink = &auth.MagicLinkConfig{}
		c.Limits = auth.LimitsConfig{Limiter: telltale{}}
	})
	wantErr(t, limited.SendMagicLink(ctx, auth.SendMagicLinkParams{Email: "ada@example.com"}), auth.ErrTooManyRequests)
	wantErr(t, e.Health(ctx), auth.ErrInternal)
	func() {
		defer func() { _ = recover() }()
		_ = e.SignOut(ctx, nil, auth.SignOutParams{RefreshToken: next.RefreshToken})
		t.Error("no panic")
	}()
	w.Emit(ctx, auth.Event{Type: auth.EventSignInFailed, Method: "ada@example.com", Code: "203.0.113.77", Detail: "ada@example.com"})
	w.Emit(ctx, auth.Event{Type: auth.EventLimited, Detail: "emails-address:ada@example.com"})
	w.Emit(ctx, auth.Event{Type: auth.EventType(stray), Detail: "ada@example.com"})
	return secrets
}

// LG-10, LG-19: no secret, id or address is in what leaves a process as telemetry: names, attributes, events and statuses of
// spans, labels of metrics, exemplars.
func TestNoSecretIsInTelemetry(t *testing.T) {
	t.Parallel()
	w := newWatch(t, otelauth.Options{})
	secrets := everything(t, w)
	if len(secrets) < 40 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	var dump strings.Builder
	spans := w.take()
	if len(spans) < 50 {
		t.Fatalf("only %d spans", len(spans))
	}
	values := map[attribute.Key]map[string]bool{}
	note := func(as ...attribute.KeyValue) {
		for _, a := range as {
			if values[a.Key] == nil {
				values[a.Key] = map[string]bool{}
			}
			values[a.Key][a.Value.AsString()] = true
		}
	}
	for _, s := range spans {
		fmt.Fprintln(&dump, s.Name, s.Status.Description, s.Attributes, s.Events, s.Links, s.InstrumentationScope.Attributes.Encoded(attribute.DefaultEncoder()))
		note(s.Attributes...)
	}
	metrics := w.collect(t)
	for _, scope := range metrics.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					note(p.Attributes.ToSlice()...)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					note(p.Attributes.ToSlice()...)
				}
			}
		}
	}
	raw, err := json.Marshal(metrics)
	if err != nil {
		t.Fatal(err)
	}
	dump.Write(raw)
	for i, s := range secrets {
		if s == "" {
			t.Errorf("secret %d is empty", i)
		} else if numeric := strings.Trim(s, "0123456789") == ""; numeric {
			// Six digits are in many a number; as a label they would stand alone.
			for key, of := range values {
				if of[s] {
					t.Errorf("secret %d is a value of %s", i, key)
				}
			}
		} else if strings.Contains(dump.String(), s) {
			t.Errorf("secret %d, %q, is in telemetry", i, s)
		}
	}

	known := regexp.MustCompile(`^(_OTHER|[A-Za-z]+([-:][a-z0-9]+)*)$`)
	for key, of := range values {
		if len(of) > 80 {
			t.Errorf("%s has %d values", key, len(of))
		}
		for v := range of {
			if _, err := uuid.Parse(v); err == nil || !known.MatchString(v) {
				t.Errorf("%s has the value %q", key, v)
			}
		}
	}
	for key, want := range map[attribute.Key]string{
		"auth.outcome": "other", "auth.sign_in.method": "other", "auth.limit.bucket": "other", "auth.event.type": "other",
	} {
		if !values[key][want] {
			t.Errorf("%s is never %q: the test has not tried what is hostile", key, want)
		}
	}
	if !values["auth.sign_in.method"]["provider:somewhere"] {
		t.Error("the visit to the provider is not there")
	}
}
