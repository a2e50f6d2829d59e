package captcha

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/ostiary/auth/internal/outbound"
)

// Where the services are.
const (
	turnstileURL = "https://challenges.cloudflare.com/turnstile/v0/siteverify"
	hCaptchaURL  = "https://api.hcaptcha.com/siteverify"
	reCAPTCHAURL = "https://www.google.com/recaptcha/api/siteverify"
)

// The names of the services, as a [Refusal] has them.
const (
	turnstile = "turnstile"
	hCaptcha  = "hcaptcha"
	reCAPTCHA = "recaptcha"
)

// How long an answer is at most, in bytes. Cloudflare documents the bound of Turnstile. The others document none, and their
// answers grow with what they have seen of a browser: 8 KiB is several times what they have been seen to have.
const (
	maxTurnstile = 2048
	maxOther     = 8192
)

// defaultMinScore is the one that Google suggests to begin with.
const defaultMinScore = 0.5

// TurnstileConfig is a widget of Cloudflare Turnstile. It prints without the secret, whatever the verb.
type TurnstileConfig struct {
	Secret string // the widget's secret key. Required.

	// Hostnames are the hosts of the pages that may ask, without scheme and port. An answer for another is refused. The
	// default leaves it to the service, which knows the widget's hosts.
	Hostnames []string
	// Action, unless empty, is what the widget in the page must have been rendered with.
	Action string

	// Endpoint is another place to ask, such as a proxy: https, or http to this very host, without user, query and fragment.
	// The default is Cloudflare's own.
	Endpoint string
	// HTTPClient is what requests are made with: its transport decides about proxies and trusted certificates. Of the rest
	// only a Timeout below 10 seconds counts. The default demands TLS 1.2.
	HTTPClient *http.Client
}

// Format implements [fmt.Formatter].
func (TurnstileConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (TurnstileConfig) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (TurnstileConfig) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewTurnstile returns a verifier for answers of Turnstile, which have at most 2048 bytes, or every mistake in c.
func NewTurnstile(c TurnstileConfig) (*Service, error) {
	return newService(Service{
		name: turnstile, endpoint: cmp.Or(c.Endpoint, turnstileURL), secret: &c.Secret, max: maxTurnstile,
		hostnames: c.Hostnames, action: c.Action,
	}, c.HTTPClient)
}

// HCaptchaConfig is a site of hCaptcha. It prints without the secret, whatever the verb.
type HCaptchaConfig struct {
	Secret string // of the account. Required.

	// SiteKey, unless empty, is the site whose answers are taken: one secret is for all sites of an account.
	SiteKey string
	// Hostnames are as in [TurnstileConfig].
	Hostnames []string

	Endpoint   string       // as in [TurnstileConfig]; default hCaptcha's own
	HTTPClient *http.Client // as in [TurnstileConfig]
}

// Format implements [fmt.Formatter].
func (HCaptchaConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (HCaptchaConfig) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (HCaptchaConfig) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewHCaptcha returns a verifier for answers of hCaptcha, of at most 8 KiB, or every mistake in c.
func NewHCaptcha(c HCaptchaConfig) (*Service, error) {
	return newService(Service{
		name: hCaptcha, endpoint: cmp.Or(c.Endpoint, hCaptchaURL), secret: &c.Secret, max: maxOther,
		hostnames: c.Hostnames, siteKey: c.SiteKey,
	}, c.HTTPClient)
}

// ReCAPTCHAConfig is a key of Google reCAPTCHA, v2 or v3. It prints without the secret, whatever the verb.
type ReCAPTCHAConfig struct {
	Secret string // of the key. Required.

	// MinScore is the least score of an answer that has one, as all of v3 have and none of v2 has: from 0 to 1, where 1 is
	// very likely a person. The default is 0.5, with which Google suggests to begin. v3 calls every answer good, whatever its
	// score. Where MinScore is set, an answer without a score is an error.
	MinScore float64
	// Action, unless empty, is what the page must have named when it asked. Only v3 has actions.
	Action string
	// Hostnames are as in [TurnstileConfig]. An answer from an Android app has no host, and is refused where this is set.
	Hostnames []string

	Endpoint   string       // as in [TurnstileConfig]; default Google's own
	HTTPClient *http.Client // as in [TurnstileConfig]
}

// Format implements [fmt.Formatter].
func (ReCAPTCHAConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (ReCAPTCHAConfig) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (ReCAPTCHAConfig) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewReCAPTCHA returns a verifier for answers of reCAPTCHA, of at most 8 KiB, or every mistake in c.
func NewReCAPTCHA(c ReCAPTCHAConfig) (*Service, error) {
	return newService(Service{
		name: reCAPTCHA, endpoint: cmp.Or(c.Endpoint, reCAPTCHAURL), secret: &c.Secret, max: maxOther,
		hostnames: c.Hostnames, action: c.Action, scored: c.MinScore != 0, minScore: cmp.Or(c.MinScore, defaultMinScore),
	}, c.HTTPClient)
}

// newService checks and completes s.
func newService(s Service, client *http.Client) (*Service, error) {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("captcha: %s: %w", s.name, fmt.Errorf(format, args...)))
	}
	if *s.secret == "" || !isVisible(*s.secret) {
		wrong("Secret is required, and has no blanks")
	}
	if !isVisible(s.siteKey) {
		wrong("SiteKey has blanks")
	}
	if !isVisible(s.action) {
		wrong("Action has blanks")
	}
	if !(s.minScore >= 0 && s.minScore <= 1) { // which a NaN is not, either
		wrong("MinScore is %v; it must be from 0 to 1", s.minScore)
	}
	hostnames := make([]string, len(s.hostnames))
	for i, h := range s.hostnames {
		if h == "" || !isVisible(h) || strings.ContainsAny(h, ":/?#@*") {
			wrong("Hostnames[%d] is not a host, such as app.example.com", i)
		}
		hostnames[i] = strings.ToLower(h)
	}
	s.hostnames = hostnames
	if err := outbound.CheckURL(s.endpoint); err != nil {
		wrong("Endpoint %w", err)
	} else if strings.Contains(s.endpoint, "?") {
		wrong("Endpoint has a query")
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	s.secret, s.client = new(*s.secret), outbound.Client(client)
	return &s, nil
}

// isVisible reports whether s has nothing but printable ASCII without blanks.
func isVisible(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(b byte) bool { return b <= ' ' || b > '~' })
}
