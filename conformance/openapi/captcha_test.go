package openapi_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/captcha"
)

// oneAnswer is a verifier to whom one answer is good, and who is down for another.
type oneAnswer struct{}

const (
	goodAnswer = "0.good"
	noService  = "0.down"
)

func (oneAnswer) Verify(_ context.Context, r captcha.Response) error {
	switch r.Token {
	case goodAnswer:
		return nil
	case noService:
		return errors.New("the service does not answer")
	}
	return &captcha.Refusal{Service: "turnstile", Reasons: []string{captcha.ReasonInvalid}}
}

// withCaptchas asks for one wherever it can be asked for.
var withCaptchas = setup{config: func(c *auth.Config) {
	c.Captcha = &auth.CaptchaConfig{Verifier: oneAnswer{}, SignIn: true, Anonymous: true, Messages: true}
}}

// answered is a request with the answer to a captcha.
func answered(q request, token string) request { return q.with("X-Cf-Turnstile-Response", token) }

// guardedRoutes are those that may ask for a captcha, and what they answer to whom they let through.
var guardedRoutes = []struct {
	name   string
	by     func(*testing.T, *realm) request
	status int
	code   auth.Code
}{
	{"signing up", of(post("/signup/email-password", credentialsOf(email, another))), 200, ""},
	{"signing up with a key", of(post("/signup/webauthn", to(email))), 200, ""},
	{"signing in", of(post("/signin/email-password", credentialsOf(stranger, another))), 401, auth.CodeInvalidEmailPassword},
	{"signing in without a name", of(post("/signin/anonymous", "")), 200, ""},
	{"a link", of(post("/signin/passwordless/email", to(email))), 200, ""},
	{"a code", of(post("/signin/otp/email", to(email))), 200, ""},
	{"a text message", of(post("/signin/passwordless/sms", texted(""))), 200, ""},
	{"a link to set a password", of(post("/user/password/reset", to(email))), 200, ""},
	{"a link to verify an address", of(post("/user/email/send-verification-email", to(stranger))), 401, auth.CodeInvalidEmailPassword},
	{"a letter to a guest", byAnsweringGuest(post("/user/deanonymize", `{"signInMethod":"passwordless","email":"`+email+`"}`)), 200, ""},
	{"a text message to a guest", byAnsweringGuest(post("/user/deanonymize/sms", texted(""))), 200, ""},
}

// byAnsweringGuest is a request of a guest who has passed a captcha to become one.
func byAnsweringGuest(q request) func(*testing.T, *realm) request {
	return func(t *testing.T, r *realm) request {
		t.Helper()
		in, err := r.SignInAnonymous(auth.WithCaptcha(t.Context(), goodAnswer), auth.SignInAnonymousParams{})
		if err != nil {
			t.Fatal(err)
		}
		return q.as(in.Session)
	}
}

// captchaCalls are what happens with and without a good answer.
func captchaCalls() []call {
	var all []call
	for _, g := range guardedRoutes {
		with := func(token string) func(*testing.T, *realm) request {
			return func(t *testing.T, r *realm) request { return answered(g.by(t, r), token) }
		}
		all = append(
			all,
			call{g.name + " with a captcha passed", withCaptchas, with(goodAnswer), g.status, g.code},
			call{g.name + " without a captcha is refused", withCaptchas, g.by, 403, auth.CodeCaptchaFailed},
			call{g.name + " with a captcha not passed is refused", withCaptchas, with("0.bad"), 403, auth.CodeCaptchaFailed},
			call{g.name + " while nobody can say is refused", withCaptchas, with(noService), 500, auth.CodeInternal},
		)
	}
	return all
}
