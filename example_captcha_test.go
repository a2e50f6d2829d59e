package auth_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/captcha"
)

// invitations is a captcha of the service's own: a word that is good once. Those of the well-known services are in package
// captcha.
type invitations map[string]bool

func (i invitations) Verify(_ context.Context, r captcha.Response) error {
	if !i[r.Token] {
		return &captcha.Refusal{Service: "the door", Reasons: []string{captcha.ReasonInvalid}}
	}
	delete(i, r.Token)
	return nil
}

// Sign-ups need the answer to a captcha, which the HTTP adapter takes from a header, and other callers hand in.
func ExampleWithCaptcha() {
	engine := newEngine(func(c *auth.Config) {
		c.Captcha = &auth.CaptchaConfig{Verifier: invitations{"swordfish": true}}
	})
	signUp := func(ctx context.Context, email string) {
		_, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: email, Password: "plum-tractor-eleven"})
		if refused, ok := errors.AsType[*auth.Error](err); ok {
			fmt.Println(email, refused.Code, refused.Message)
			return
		}
		fmt.Println(email, "is in")
	}
	signUp(context.Background(), "ada@example.com")
	answered := auth.WithCaptcha(context.Background(), "swordfish")
	signUp(answered, "ada@example.com")
	signUp(answered, "bob@example.com")
	// Output:
	// ada@example.com captcha-failed missing x-cf-turnstile-response header
	// ada@example.com is in
	// bob@example.com captcha-failed failed to pass the door: [invalid-input-response]
}
