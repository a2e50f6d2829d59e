package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ostiary/auth/captcha"
)

// CaptchaConfig turns on captchas: callers must hand in the answer to one, by [WithCaptcha]. Without a good answer they get
// [ErrCaptchaFailed] before anything of an account is loaded, hashed, sent or counted; mistakes in the request itself are
// told before that. Where nobody can say whether an answer is good, because the service is down, nobody gets through: the
// error is [ErrInternal].
//
// An answer is good once, so that each further try needs another.
//
// Sign-ups are asked for one, as documented: [Engine.SignUpPassword] and [Engine.SignUpWebAuthn]. Signing up by a link or a
// code in a letter or text message is asked for one only where Messages says so, and by an identity provider never.
type CaptchaConfig struct {
	// Verifier says whether an answer is good. Required. Package captcha has those of the well-known services.
	Verifier captcha.Verifier

	// SignIn asks at [Engine.SignInPassword] as well.
	SignIn bool
	// Anonymous asks at [Engine.SignInAnonymous] as well.
	Anonymous bool
	// Messages asks wherever a stranger has a letter or a text message sent to an address or a number of their choice:
	// [Engine.SendMagicLink], [Engine.SendEmailOTP], [Engine.SendSMSOTP], [Engine.SendPasswordReset],
	// [Engine.SendVerificationEmail], and, for anonymous users, who are strangers, [Engine.Deanonymize].
	Messages bool

	// SendAddress tells the service from where the client calls, where that is known: it may judge better then, and learns who
	// is here. The default tells it nothing but the answer.
	SendAddress bool
}

func (c *CaptchaConfig) withDefaults(m *mistakes) *CaptchaConfig {
	o := *c
	if o.Verifier == nil {
		m.add("Captcha.Verifier", "is required")
	}
	return &o
}

// maxCaptcha is how long an answer is at most, in bytes, whatever the Verifier.
const maxCaptcha = 16 << 10

type captchaKey struct{}

// WithCaptcha hands the engine the answer to a captcha: the token that the widget in a page came back with. The HTTP adapter
// takes it from the header x-cf-turnstile-response. It goes to Config.Captcha.Verifier and nowhere else.
func WithCaptcha(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, captchaKey{}, &token) // a pointer, which nobody prints who prints the context
}

// guarded is what may ask for a captcha.
type guarded int

const (
	signingUp guarded = iota
	signingInByPassword
	signingInAnonymously
	havingMessagesSent
)

func (c *CaptchaConfig) guards(what guarded) bool {
	switch what {
	case signingInByPassword:
		return c.SignIn
	case signingInAnonymously:
		return c.Anonymous
	case havingMessagesSent:
		return c.Messages
	default:
		return true
	}
}

// isCaptchaToken reports whether s can be an answer: printable ASCII without blanks, of at most [maxCaptcha] bytes.
func isCaptchaToken(s string) bool {
	return s != "" && len(s) <= maxCaptcha && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// captcha lets those through who have passed one, where it is asked for.
func (e *Engine) captcha(ctx context.Context, what guarded) error {
	c := e.config.Captcha
	if c == nil || !c.guards(what) {
		return nil
	}
	r := captcha.Response{}
	if token, ok := ctx.Value(captchaKey{}).(*string); ok {
		r.Token = *token
	}
	if c.SendAddress {
		r.Address = clientOf(ctx).Address
	}
	err := captcha.ErrRefused
	if isCaptchaToken(r.Token) {
		err = guard(func() error { return c.Verifier.Verify(ctx, r) })
	}
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, captcha.ErrRefused):
		return ErrInternal.because(fmt.Errorf("captcha: %w", err))
	}
	reasons := captcha.ReasonMissing
	message := "missing x-cf-turnstile-response header"
	if r.Token != "" {
		reasons, message = "", ErrCaptchaFailed.Message
	}
	if refusal, ok := errors.AsType[*captcha.Refusal](err); ok {
		reasons = strings.Join(refusal.Reasons, ", ")
		message = fmt.Sprintf("failed to pass %s: [%s]", refusal.Service, reasons)
	}
	e.emit(ctx, Event{Type: EventCaptchaFailed, Code: CodeCaptchaFailed, Detail: reasons})
	return ErrCaptchaFailed.saying(message).because(err)
}
