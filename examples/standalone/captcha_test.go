package main

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakecaptcha"
	"github.com/ostiary/auth/captcha"
)

func TestCaptchasOfTheEnvironment(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	for name, tt := range map[string]struct {
		env        map[string]string
		good, bad  fakecaptcha.Solution
		want       auth.CaptchaConfig
		lastReason string
	}{
		"Turnstile": {
			env:  map[string]string{"AUTH_TURNSTILE_SECRET": service.Secret()},
			good: fakecaptcha.Solution{Hostname: "any.test"}, bad: fakecaptcha.Solution{Expired: true}, lastReason: "timeout-or-duplicate",
		},
		"Turnstile for one page": {
			env:  map[string]string{"AUTH_TURNSTILE_SECRET": service.Secret(), "AUTH_CAPTCHA_HOSTNAMES": "a.test, b.test", "AUTH_CAPTCHA_SIGNIN": "true"},
			good: fakecaptcha.Solution{Hostname: "b.test"}, bad: fakecaptcha.Solution{Hostname: "c.test"}, lastReason: captcha.ReasonHostname,
			want: auth.CaptchaConfig{SignIn: true},
		},
		"Turnstile for one action": {
			env:  map[string]string{"AUTH_TURNSTILE_SECRET": service.Secret(), "AUTH_CAPTCHA_ACTION": "auth", "AUTH_CAPTCHA_ANONYMOUS": "true"},
			good: fakecaptcha.Solution{Action: "auth"}, bad: fakecaptcha.Solution{}, lastReason: captcha.ReasonAction,
			want: auth.CaptchaConfig{Anonymous: true},
		},
		"hCaptcha": {
			env:  map[string]string{"AUTH_HCAPTCHA_SECRET": service.Secret(), "AUTH_HCAPTCHA_SITE_KEY": "site", "AUTH_CAPTCHA_MESSAGES": "true"},
			good: fakecaptcha.Solution{SiteKey: "site"}, bad: fakecaptcha.Solution{SiteKey: "other"}, lastReason: "sitekey-secret-mismatch",
			want: auth.CaptchaConfig{Messages: true},
		},
		"reCAPTCHA": {
			env:  map[string]string{"AUTH_RECAPTCHA_SECRET": service.Secret(), "AUTH_CAPTCHA_SEND_ADDRESS": "true"},
			good: fakecaptcha.Solution{}, bad: fakecaptcha.Solution{Score: 0.4}, lastReason: captcha.ReasonScore,
			want: auth.CaptchaConfig{SendAddress: true},
		},
		"reCAPTCHA with a score": {
			env:  map[string]string{"AUTH_RECAPTCHA_SECRET": service.Secret(), "AUTH_RECAPTCHA_MIN_SCORE": "0.8", "AUTH_CAPTCHA_ACTION": "auth"},
			good: fakecaptcha.Solution{Score: 0.8, Action: "auth"}, bad: fakecaptcha.Solution{Score: 0.7, Action: "auth"}, lastReason: captcha.ReasonScore,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"AUTH_CAPTCHA_URL": service.URL()}
			maps.Copy(env, tt.env)
			s, err := parse(good(env), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			v := s.auth.Captcha.Verifier
			if err := v.Verify(t.Context(), captcha.Response{Token: service.Solve(tt.good)}); err != nil {
				t.Error(err)
			}
			err = v.Verify(t.Context(), captcha.Response{Token: service.Solve(tt.bad)})
			if refusal, ok := errors.AsType[*captcha.Refusal](err); !ok || refusal.Reasons[0] != tt.lastReason {
				t.Error(err)
			}
			got := *s.auth.Captcha
			got.Verifier = nil
			if got != tt.want {
				t.Errorf("%+v", got)
			}
		})
	}
	s, err := parse(good(nil), io.Discard)
	if err != nil || s.auth.Captcha != nil {
		t.Errorf("nothing: %+v, %v", s.auth.Captcha, err)
	}
}

func TestCaptchasThatCannotBe(t *testing.T) {
	t.Parallel()
	on := func(more ...string) map[string]string {
		env := map[string]string{"AUTH_TURNSTILE_SECRET": "canary"}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"two services":             {on("AUTH_HCAPTCHA_SECRET", "canary"), "AUTH_HCAPTCHA_SECRET: is set, and so is AUTH_TURNSTILE_SECRET"},
		"three services":           {on("AUTH_HCAPTCHA_SECRET", "canary", "AUTH_RECAPTCHA_SECRET", "canary"), "AUTH_RECAPTCHA_SECRET: is set, and so is"},
		"a site of another":        {on("AUTH_HCAPTCHA_SITE_KEY", "s"), "AUTH_HCAPTCHA_SITE_KEY: is set, and AUTH_HCAPTCHA_SECRET is not"},
		"a score of another":       {on("AUTH_RECAPTCHA_MIN_SCORE", "0.5"), "AUTH_RECAPTCHA_MIN_SCORE: is set, and AUTH_RECAPTCHA_SECRET is not"},
		"an action of hCaptcha":    {map[string]string{"AUTH_HCAPTCHA_SECRET": "canary", "AUTH_CAPTCHA_ACTION": "a"}, "AUTH_CAPTCHA_ACTION: is set, and hCaptcha has no actions"},
		"a score of nothing":       {map[string]string{"AUTH_RECAPTCHA_SECRET": "canary", "AUTH_RECAPTCHA_MIN_SCORE": "0"}, `AUTH_RECAPTCHA_MIN_SCORE: "0" is not a number`},
		"a score that is none":     {map[string]string{"AUTH_RECAPTCHA_SECRET": "canary", "AUTH_RECAPTCHA_MIN_SCORE": "NaN"}, `AUTH_RECAPTCHA_MIN_SCORE: "NaN" is not a number`},
		"hosts without a service":  {map[string]string{"AUTH_CAPTCHA_HOSTNAMES": "a.test"}, "AUTH_CAPTCHA_HOSTNAMES: is set, and none of"},
		"sign-ins without one":     {map[string]string{"AUTH_CAPTCHA_SIGNIN": "true"}, "AUTH_CAPTCHA_SIGNIN: is true, and none of"},
		"messages without one":     {map[string]string{"AUTH_CAPTCHA_MESSAGES": "true"}, "AUTH_CAPTCHA_MESSAGES: is true, and none of"},
		"guests without one":       {map[string]string{"AUTH_CAPTCHA_ANONYMOUS": "true"}, "AUTH_CAPTCHA_ANONYMOUS: is true, and none of"},
		"http elsewhere":           {on("AUTH_CAPTCHA_URL", "http://captcha.example.com/"), "AUTH_TURNSTILE_SECRET: captcha: turnstile: Endpoint"}, // SS-01
		"a host that is an origin": {on("AUTH_CAPTCHA_HOSTNAMES", "https://a.test"), "AUTH_TURNSTILE_SECRET: captcha: turnstile: Hostnames[0]"},
		"no host":                  {on("AUTH_CAPTCHA_HOSTNAMES", ","), "AUTH_CAPTCHA_HOSTNAMES: has no entry"},
		"a secret with a line end": {on("AUTH_TURNSTILE_SECRET", "canary\n"), "AUTH_TURNSTILE_SECRET: captcha: turnstile: Secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(good(tt.env), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// The program asks for the answer, and takes it once.
func TestTheProgramAsksForACaptcha(t *testing.T) {
	t.Parallel()
	service := fakecaptcha.New(t)
	p := start(t, map[string]string{"AUTH_TURNSTILE_SECRET": service.Secret(), "AUTH_CAPTCHA_URL": service.URL()})
	token := service.Solve(fakecaptcha.Solution{})
	for i, want := range []int{http.StatusForbidden, http.StatusOK, http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.address+"/v1/signup/email-password",
			strings.NewReader(`{"email":"ada@example.com","password":"`+authtest.Password+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if i > 0 {
			r.Header.Set("x-cf-turnstile-response", token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("request %d: %d, want %d", i+1, answer.StatusCode, want)
		}
	}
	p.await(t, "captcha-failed")
	p.stop(t)
	for _, line := range p.lines {
		for name, value := range line {
			if text, ok := value.(string); ok && (strings.Contains(text, token) || strings.Contains(text, service.Secret())) {
				t.Errorf("the log has the answer or the secret in %s", name)
			}
		}
	}
}
