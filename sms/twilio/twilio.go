// Package twilio sends text messages with Twilio's Messages API, and proves numbers with its Verify API.
//
// Which of the two is a choice of the operator, made by calling [New] or [NewVerifier], and not by what the settings look
// like: each refuses the other's service.
package twilio

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/internal/gateway"
)

// Where Twilio is.
const (
	messagesURL = "https://api.twilio.com"
	verifyURL   = "https://verify.twilio.com"
)

// A person waits.
const defaultTimeout = 10 * time.Second

const provider = "twilio"

// Config says whose account it is and what to send with. It prints without the token, whatever the verb.
type Config struct {
	AccountSID string // "AC" and 32 hexadecimal digits. Required.
	KeySID     string // "SK" and 32 hexadecimal digits, of an API key; empty to use the account's own token
	Token      string // the secret of the API key, or the token of the account. Required.

	// Service is the messaging service that sends ("MG" and 32 hexadecimal digits) or, for a [Verifier], the one that
	// verifies ("VA" and 32 hexadecimal digits).
	Service string

	// From is who sends where there is no Service: a number of the account in E.164, a short code, or an alphanumeric
	// sender of up to 11 letters, digits and blanks. A [Verifier] has none.
	From string

	BaseURL    string        // another place than Twilio's, such as a proxy; https, or http to this host
	Timeout    time.Duration // bounds one call as a whole; default 10 seconds
	HTTPClient *http.Client  // makes the requests; default one with [http.DefaultTransport]. It is copied, and follows no redirect
}

const redacted = "twilio.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the token out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

var (
	accountSID  = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	keySID      = regexp.MustCompile(`^SK[0-9a-fA-F]{32}$`)
	messagesSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	verifySID   = regexp.MustCompile(`^VA[0-9a-fA-F]{32}$`)
	sender      = regexp.MustCompile(`^[0-9A-Za-z ]{3,11}$`)
)

// account is what Sender and Verifier have in common. They hold it by a pointer, which fmt does not follow.
type account struct {
	gateway *gateway.Client
	base    string
	user    string
	config  Config
}

// newAccount checks what both have in common and adds to mistakes.
func newAccount(c Config, base string, mistakes *[]error) *account {
	wrong := func(text string) { *mistakes = append(*mistakes, errors.New("twilio: "+text)) }
	if !accountSID.MatchString(c.AccountSID) {
		wrong("AccountSID must be AC and 32 hexadecimal digits")
	}
	if c.KeySID != "" && !keySID.MatchString(c.KeySID) {
		wrong("KeySID must be SK and 32 hexadecimal digits")
	}
	if c.Token == "" {
		wrong("Token is required")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < 0 {
		wrong("Timeout must not be negative")
	}
	base, ok := outbound.BaseURL(c.BaseURL, base)
	if !ok {
		wrong("BaseURL must be an absolute https URL without user, query and fragment")
	}
	return &account{
		gateway: gateway.New(provider, c.HTTPClient, c.Timeout), base: base, user: cmp.Or(c.KeySID, c.AccountSID), config: c,
	}
}

// post sends a form and returns the answer. The error is an *sms.Error if the answer is not 2xx.
func (a *account) post(ctx context.Context, path string, form url.Values) (answer, error) {
	var got answer
	const formType = "application/x-www-form-urlencoded"
	status, body, err := a.gateway.Do(ctx, a.base+path, a.user, a.config.Token, formType, form.Encode())
	if err != nil {
		return got, err
	}
	decoded := json.Unmarshal(body, &got) == nil
	got.status = status
	if status < 200 || status > 299 || !decoded {
		return got, got.failure()
	}
	return got, nil
}

// answer has the members of all the answers that matter here.
type answer struct {
	status int

	Code      int    `json:"code"`       // of a failure
	ErrorCode *int   `json:"error_code"` // of a message
	SID       string `json:"sid"`
	State     any    `json:"status"` // a word, or in a failure a number
	Account   string `json:"account_sid"`
	Service   string `json:"service_sid"`
	To        string `json:"to"`
}

// final are the codes that are about the number. There are more and more of them; one that is missing here is tried again.
var final = []int{
	21211, // not a number
	21610, // its owner does not want messages
	21614, // not a mobile number
	21635, // a landline
	60205, // a landline
}

func (a answer) failure() *sms.Error {
	code := a.Code
	if code == 0 && a.ErrorCode != nil {
		code = *a.ErrorCode
	}
	e := &sms.Error{Provider: provider, Status: a.status, Final: slices.Contains(final, code)}
	if code != 0 {
		e.Code = strconv.Itoa(code)
	}
	return e
}

// refused is what was found wrong before anything was sent.
func refused(err error) error { return &sms.Error{Provider: provider, Final: true, Err: err} }

// Sender is an [sms.Sender] with the Messages API. Make one with [New].
type Sender struct{ *account }

var _ sms.Sender = (*Sender)(nil)

// Format keeps the token out of logs.
func (*Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "twilio.Sender") }

// New returns a Sender, or every mistake in c.
func New(c Config) (*Sender, error) {
	var mistakes []error
	a := newAccount(c, messagesURL, &mistakes)
	switch {
	case verifySID.MatchString(c.Service):
		mistakes = append(mistakes, errors.New("twilio: Service is one that verifies; use NewVerifier"))
	case (c.Service == "") == (c.From == ""):
		mistakes = append(mistakes, errors.New("twilio: one of Service and From is required, and not both"))
	case c.Service != "" && !messagesSID.MatchString(c.Service):
		mistakes = append(mistakes, errors.New("twilio: Service must be MG and 32 hexadecimal digits"))
	case c.From != "" && sms.CheckNumber(c.From) != nil && !sender.MatchString(c.From):
		mistakes = append(mistakes, errors.New("twilio: From must be a number in E.164, or 3 to 11 letters, digits and blanks"))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return &Sender{a}, nil
}

// Send implements [sms.Sender]. It returns nil when Twilio has accepted the message, and otherwise an [*sms.Error].
func (s *Sender) Send(ctx context.Context, m sms.Message) error {
	if err := m.Check(); err != nil {
		return refused(err)
	}
	form := url.Values{"To": {m.To}, "Body": {m.Text}}
	if s.config.Service != "" {
		form.Set("MessagingServiceSid", s.config.Service)
	} else {
		form.Set("From", s.config.From)
	}
	got, err := s.post(ctx, "/2010-04-01/Accounts/"+s.config.AccountSID+"/Messages.json", form)
	if err != nil {
		return err
	}
	if got.SID == "" || got.ErrorCode != nil || got.State == "failed" || got.State == "undelivered" || got.State == "canceled" {
		return got.failure()
	}
	return nil
}

// Verifier is an [sms.Verifier] with the Verify API. Make one with [NewVerifier]. Its codes live for ten minutes, and for
// five attempts.
type Verifier struct{ *account }

var _ sms.Verifier = (*Verifier)(nil)

// Format keeps the token out of logs.
func (*Verifier) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "twilio.Verifier") }

// NewVerifier returns a Verifier, or every mistake in c.
func NewVerifier(c Config) (*Verifier, error) {
	var mistakes []error
	a := newAccount(c, verifyURL, &mistakes)
	switch {
	case messagesSID.MatchString(c.Service):
		mistakes = append(mistakes, errors.New("twilio: Service is one that sends messages; use New"))
	case !verifySID.MatchString(c.Service):
		mistakes = append(mistakes, errors.New("twilio: Service must be VA and 32 hexadecimal digits"))
	}
	if c.From != "" {
		mistakes = append(mistakes, errors.New("twilio: From is not for a verifier, which sends from numbers of its service"))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return &Verifier{a}, nil
}

// locales are the languages that Verify has texts in. It refuses a request for another; without one it goes by the number.
var locales = []string{
	"af", "ar", "ca", "zh", "zh-CN", "zh-HK", "hr", "cs", "da", "nl", "en", "en-GB", "et", "fi", "fr", "de", "el",
	"he", "hi", "hu", "id", "it", "ja", "kn", "ko", "lt", "ms", "mr", "nb", "pl", "pt", "pt-BR", "ro", "ru", "sk",
	"es", "sv", "tl", "te", "th", "tr", "uk", "vi",
}

// Start implements [sms.Verifier]. The error is an [*sms.Error].
func (v *Verifier) Start(ctx context.Context, to, locale string) error {
	if err := sms.CheckNumber(to); err != nil {
		return refused(err)
	}
	form := url.Values{"To": {to}, "Channel": {"sms"}}
	if slices.Contains(locales, locale) {
		form.Set("Locale", locale)
	}
	got, err := v.post(ctx, "/v2/Services/"+v.config.Service+"/Verifications", form)
	if err != nil {
		return err
	}
	if got.State != "pending" || !v.isAbout(got, to) {
		return got.failure()
	}
	return nil
}

var code = regexp.MustCompile(`^[0-9]{4,10}$`)

// tooManyChecks is Twilio's code for more attempts than a verification has.
const tooManyChecks = 60202

// Check implements [sms.Verifier]. An error is an [*sms.Error].
func (v *Verifier) Check(ctx context.Context, to, typed string) (bool, error) {
	if err := sms.CheckNumber(to); err != nil {
		return false, refused(err)
	}
	if !code.MatchString(typed) {
		return false, nil
	}
	form := url.Values{"To": {to}, "Code": {typed}}
	got, err := v.post(ctx, "/v2/Services/"+v.config.Service+"/VerificationCheck", form)
	switch {
	case got.status == http.StatusNotFound && got.Code == notFound, got.Code == tooManyChecks:
		return false, nil // there is no verification, or no more
	case err != nil:
		return false, err
	case !v.isAbout(got, to):
		return false, got.failure()
	}
	return got.State == "approved", nil
}

// notFound is Twilio's code for what does not exist.
const notFound = 20404

// isAbout reports whether an answer is about a number and this service, and not about somebody else's verification.
func (v *Verifier) isAbout(a answer, to string) bool {
	return a.To == to && a.Service == v.config.Service && a.Account == v.config.AccountSID
}
