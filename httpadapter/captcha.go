package httpadapter

import (
	"context"
	"net/http"
	"strings"

	"github.com/ostiary/auth"
)

// captchaHeader has the answer to a captcha, whosever it is: clients of the documented API send no other.
const captchaHeader = "X-Cf-Turnstile-Response"

// withCaptcha returns the context of a request, in which the engine finds the answer to a captcha. Two headers are as good as
// one with both values (RFC 9110 §5.3), which is no answer: the blank in it is refused where an answer is asked for.
func withCaptcha(ctx context.Context, r *http.Request) context.Context {
	values := r.Header[captchaHeader]
	if len(values) == 0 {
		return ctx
	}
	return auth.WithCaptcha(ctx, strings.Join(values, ", "))
}
