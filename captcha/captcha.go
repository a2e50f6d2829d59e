// Package captcha asks the services behind captchas whether an answer is good: Cloudflare Turnstile, hCaptcha and Google
// reCAPTCHA.
//
//	verifier, err := captcha.NewTurnstile(captcha.TurnstileConfig{
//		Secret:    os.Getenv("TURNSTILE_SECRET"),
//		Hostnames: []string{"app.example.com"},
//	})
//
// The engine asks where [github.com/ostiary/auth.CaptchaConfig] says. A captcha makes abuse more expensive, and no
// more than that: there are people, and programs, who solve them for money. It stands beside limits, not in their place.
package captcha

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
)

// Verifier says whether somebody has passed a captcha. It is safe for concurrent use.
type Verifier interface {
	// Verify returns nil if the answer is good, for this once: the same answer is refused when it comes again. An error that
	// matches [ErrRefused] says that the answer is not good: it is missing, unknown, expired, used, or for another page or
	// purpose. Any other error says that nobody knows, because the service is down, say, or the configuration is wrong; the
	// answer must not be taken for a good one. No error contains the answer.
	Verify(ctx context.Context, r Response) error
}

// Response is the answer to a captcha. It prints without the token, whatever the verb.
type Response struct {
	// Token is what the widget in the page came back with.
	Token string
	// Address is where the client calls from. It goes to the service, which weighs it: whether it may is for the operator to
	// say. The zero address does not go.
	Address netip.Addr
}

// Format implements [fmt.Formatter].
func (Response) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Response) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the token out of JSON and its like.
func (Response) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ErrRefused is matched by the error of an answer that is not good.
var ErrRefused = errors.New("captcha: the answer is refused")

// Refusal is an answer that is not good, and why. It matches [ErrRefused].
type Refusal struct {
	// Service is whose captcha it was, such as "turnstile".
	Service string
	// Reasons are codes of the service, such as "timeout-or-duplicate", or of this package; there may be none. Clients are told
	// them, so nothing of the answer may stand there.
	Reasons []string
}

// The reasons of this package. An answer that is missing, or that cannot be one, has the code that the services have for it.
const (
	ReasonMissing  = "missing-input-response"
	ReasonInvalid  = "invalid-input-response"
	ReasonHostname = "hostname-mismatch" // it is for another page than is expected
	ReasonAction   = "action-mismatch"   // it is for another purpose than is expected
	ReasonScore    = "low-score"         // it is more likely that of a program than is accepted
)

func (r *Refusal) Error() string {
	return fmt.Sprintf("%v by %s: [%s]", ErrRefused, r.Service, strings.Join(r.Reasons, ", "))
}

// Is reports whether target is [ErrRefused].
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

const redacted = "[redacted]"
