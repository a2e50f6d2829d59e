package httpadapter_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakecaptcha"
	"github.com/ostiary/auth/captcha"
	"github.com/ostiary/auth/httpadapter"
)

// guarded asks for captchas everywhere.
func guarded(t *testing.T, service *fakecaptcha.Service) func(*auth.Config) {
	t.Helper()
	v, err := captcha.NewTurnstile(captcha.TurnstileConfig{Secret: service.Secret(), Endpoint: service.URL()})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *auth.Config) {
		c.Captcha = &auth.CaptchaConfig{Verifier: v, SignIn: true, Anonymous: true, Messages: true}
		c.MagicLink, c.EmailOTP = &auth.MagicLinkConfig{}, &auth.EmailOTPConfig{}
	}
}

// guardedRoutes are those that may be asked for a captcha.
var guardedRoutes = []struct{ path, body string }{
	{"/signup/email-password", credentials("ada@example.com")},
	{"/signup/webauthn", `{"email":"bob@example.com"}`},
	{"/signin/anonymous", ""},
	{"/signin/passwordless/email", `{"email":"eve@example.com"}`},
	{"/signin/passwordless/sms", `{"phoneNumber":"+41791234567"}`},
	{"/signin/otp/email", `{"email":"eve@example.com"}`},
	{"/user/password/reset", `{"email":"ada@example.com"}`},
	{"/user/email/send-verification-email", `{"email":"ada@example.com"}`},
}

const captchaHeader = "x-cf-turnstile-response"

// RL-14, W21: the answer comes in one header, once, and is sent on as it is.
func TestTheAnswerToACaptchaComesInAHeader(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	h := newFixture(t, httpadapter.Options{}, guarded(t, service))
	for _, route := range guardedRoutes {
		used := service.Solve(fakecaptcha.Solution{})
		if w := do(t, h, "POST", route.path, route.body, captchaHeader, used); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", route.path, w.Code, w.Body)
		}
		for _, c := range []struct {
			name    string
			headers []string
			message string
		}{
			{"none", nil, "missing x-cf-turnstile-response header"},
			{"an empty one", []string{captchaHeader, ""}, "missing x-cf-turnstile-response header"},
			{"a used one", []string{captchaHeader, used}, "failed to pass turnstile: [timeout-or-duplicate]"},
			{
				"one with members of JSON",
				[]string{captchaHeader, `x","secret":"` + fakecaptcha.TestSecret},
				"failed to pass turnstile: [invalid-input-response]",
			},
			{
				"one with members of a form",
				[]string{captchaHeader, `x&secret=` + fakecaptcha.TestSecret},
				"failed to pass turnstile: [invalid-input-response]",
			},
			{
				"two",
				[]string{captchaHeader, service.Solve(fakecaptcha.Solution{}), captchaHeader, service.Solve(fakecaptcha.Solution{})},
				"The captcha was not passed",
			},
			{
				"one and an empty one",
				[]string{captchaHeader, service.Solve(fakecaptcha.Solution{}), captchaHeader, ""},
				"The captcha was not passed",
			},
			{"a long one", []string{captchaHeader, strings.Repeat("a", 20<<10)}, "The captcha was not passed"},
			{"one in the header of another", []string{"h-captcha-response", service.Solve(fakecaptcha.Solution{})}, "missing x-cf-turnstile-response header"},
		} {
			w := do(t, h, "POST", route.path, route.body, c.headers...)
			wantRefused(t, w, 403, auth.CodeCaptchaFailed)
			var got struct{ Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Message != c.message {
				t.Errorf("%s, %s: %s", route.path, c.name, w.Body)
			}
		}
	}
	wantRefused(t, do(t, h, "POST", "/signin/email-password", credentials("ada@example.com")), 403, auth.CodeCaptchaFailed)
	if w := do(t, h, "POST", "/token/verify", `{"token":"x"}`, captchaHeader, "x", captchaHeader, "y"); w.Code != http.StatusBadRequest {
		t.Errorf("a route that asks for none: %d %s", w.Code, w.Body)
	}
}

// A body that is wrong is told before an answer is spent, and one who must not come in at all costs none either.
func TestAnAnswerIsNotSpentOnABadBody(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	h := newFixture(t, httpadapter.Options{}, guarded(t, service))
	for _, route := range guardedRoutes {
		wantRefused(t, do(t, h, "POST", route.path, `{"email":1}`, captchaHeader, service.Solve(fakecaptcha.Solution{})), 400, auth.CodeInvalidRequest)
	}
	if n := len(service.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// RL-14: a service that is down is a fault of ours, and the log says so without the answer.
func TestACaptchaServiceThatIsDown(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	service.Break(fakecaptcha.FaultCodes("invalid-input-secret"))
	logs := authtest.NewLogs()
	h := newFixture(t, httpadapter.Options{Logger: logs.Logger()}, guarded(t, service))
	for _, route := range guardedRoutes {
		token := service.Solve(fakecaptcha.Solution{})
		w := do(t, h, "POST", route.path, route.body, captchaHeader, token)
		wantRefused(t, w, 500, auth.CodeInternal)
		logs.AssertAbsent(t, token, service.Secret())
	}
	if n := strings.Count(logs.String(), "turnstile cannot say: [invalid-input-secret]"); n != 2*len(guardedRoutes) { // each as JSON and as text
		t.Errorf("%d lines: %s", n, logs)
	}
}

// Without a configuration no header is looked at.
func TestWithoutACaptchaNoHeaderIsNeeded(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	h := newFixture(t, httpadapter.Options{}, guarded(t, service), func(c *auth.Config) { c.Captcha = nil })
	for _, route := range guardedRoutes {
		for _, headers := range [][]string{nil, {captchaHeader, "x", captchaHeader, "y"}} {
			if w := do(t, h, "POST", route.path, route.body, headers...); w.Code != http.StatusOK && w.Code != http.StatusConflict {
				t.Errorf("%s: %d %s", route.path, w.Code, w.Body)
			}
		}
	}
}

// The header holds for the service's own handlers as well, which call the engine themselves.
func TestMiddlewareHandsTheAnswerOn(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	h := newFixture(t, httpadapter.Options{}, guarded(t, service))
	w := do(t, h, "POST", "/signin/anonymous", "", captchaHeader, service.Solve(fakecaptcha.Solution{}))
	session := want200[auth.SignInResult](t, w).Session
	var err error
	own := h.RequireUser(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		err = h.engine.SendSMSOTP(r.Context(), auth.SendSMSOTPParams{PhoneNumber: "+41791234567"})
	}))
	do(t, own, "POST", "/invite", "", append(bearer(session), captchaHeader, service.Solve(fakecaptcha.Solution{}))...)
	if err != nil {
		t.Error(err)
	}
}

// Pages of allowed origins may send the header.
func TestCORSAllowsTheCaptchaHeader(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{AllowedOrigins: []string{"https://app.test"}})
	r := httptest.NewRequest(http.MethodOptions, "/signup/email-password", nil)
	r.Header.Set("Origin", "https://app.test")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "content-type,"+captchaHeader)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Access-Control-Allow-Headers"); w.Code != http.StatusNoContent || !strings.Contains(got, captchaHeader) {
		t.Errorf("%d %q", w.Code, got)
	}
}
