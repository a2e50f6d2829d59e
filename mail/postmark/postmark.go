// Package postmark delivers letters with Postmark's API.
package postmark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	netmail "net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ostiary/auth/internal/emailaddr"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/mail"
)

const (
	defaultURL     = "https://api.postmarkapp.com"
	defaultStream  = "outbound"
	defaultTimeout = 30 * time.Second
)

// maxAnswer bounds what is read of an answer. A proper one has less than 1 KB.
const maxAnswer = 64 << 10

// Config says whose server it is and whom letters are from. Token and From are required. It prints without the token,
// whatever the verb.
type Config struct {
	Token string // of the server
	From  string // an address that the account may send from, or "Name <address>"

	// Stream is the message stream, of those for transactional mail. The default is "outbound".
	Stream string

	// Templates has Postmark render the letters, from templates of the account: the alias is the locale and the name of
	// the letter, such as "en.email-verify", and the model its variables. By default letters are sent as they are.
	Templates bool

	BaseURL    string        // another place than Postmark's, such as a proxy; https, or http to this host
	Timeout    time.Duration // bounds one Send as a whole; default 30 seconds
	HTTPClient *http.Client  // makes the requests; default one with [http.DefaultTransport]. It is copied, and follows no redirect
}

const redacted = "postmark.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the token out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Sender is a [mail.Sender] that delivers with Postmark. It is safe for concurrent use. Make one with [New].
type Sender struct {
	config *Config // complete; a pointer, which fmt does not follow
	http   *http.Client
	from   string
	domain string // of from
	url    string
}

var _ mail.Sender = (*Sender)(nil)

// Format keeps the token out of logs.
func (*Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "postmark.Sender") }

var streamName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`)

// New returns a Sender, or every mistake in c.
func New(c Config) (*Sender, error) {
	var mistakes []error
	wrong := func(text string) { mistakes = append(mistakes, errors.New("postmark: "+text)) }
	if c.Token == "" || strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		wrong("Token is required, and has no blanks")
	}
	from, domain, err := parseFrom(c.From)
	if err != nil {
		wrong(`From must be an address in ASCII, or "Name <address>"`)
	}
	if c.Stream == "" {
		c.Stream = defaultStream
	}
	if !streamName.MatchString(c.Stream) {
		wrong("Stream must be the ID of a message stream")
	}
	base, ok := outbound.BaseURL(c.BaseURL, defaultURL)
	if !ok {
		wrong("BaseURL must be an absolute https URL without user, query and fragment")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < 0 {
		wrong("Timeout must not be negative")
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	s := &Sender{config: &c, http: outbound.Once(c.HTTPClient), from: from, domain: domain, url: base + "/email"}
	if c.Templates {
		s.url += "/withTemplate"
	}
	return s, nil
}

// parseFrom returns the mailbox in the form of a header, and its domain, all in ASCII.
func parseFrom(s string) (mailbox, domain string, err error) {
	from, err := netmail.ParseAddress(s)
	if err != nil {
		return "", "", err
	}
	address, err := emailaddr.Parse(from.Address)
	if err != nil {
		return "", "", err
	}
	if strings.ContainsFunc(from.Name, unicode.IsControl) {
		return "", "", errors.New("a control character in a name")
	}
	if from.Name == "" {
		return address.Mailbox(), address.Domain, nil
	}
	from.Address = address.Mailbox()
	return from.String(), address.Domain, nil
}

// Error is why a letter was not delivered. It shows neither the token nor anything of the letter, and nothing of what
// Postmark wrote but its code (https://postmarkapp.com/developer/api/overview#error-codes).
type Error struct {
	Status int   // the HTTP status of the answer; 0 if there was none
	Code   int   // Postmark's code for the failure; 0 if it gave none
	Err    error // the cause where there is one, such as [context.DeadlineExceeded]
	letter bool  // it cannot be sent to anyone
}

// Error implements error.
func (e *Error) Error() string {
	parts := []string{"postmark"}
	if e.Status != 0 {
		parts = append(parts, "status "+strconv.Itoa(e.Status))
	}
	if e.Code != 0 {
		parts = append(parts, "code "+strconv.Itoa(e.Code))
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Postmark's codes for what another attempt would not change.
const (
	invalidRequest    = 300 // a field has a value that it cannot have
	inactiveRecipient = 406 // has complained, unsubscribed or bounced
)

// Permanent reports whether the same letter would be refused again.
func (e *Error) Permanent() bool {
	switch e.Status {
	case http.StatusUnprocessableEntity:
		return e.Code == invalidRequest || e.Code == inactiveRecipient
	case http.StatusRequestEntityTooLarge:
		return true
	default:
		return e.letter
	}
}

// request is the body of a request: the content of a letter, or the template that makes it.
type request struct {
	From          string `json:"From"`
	To            string `json:"To"`
	MessageStream string `json:"MessageStream"`
	TrackOpens    bool   `json:"TrackOpens"`
	TrackLinks    string `json:"TrackLinks"`

	Headers []header `json:"Headers,omitempty"`

	Subject  string `json:"Subject,omitempty"`
	TextBody string `json:"TextBody,omitempty"`
	HTMLBody string `json:"HtmlBody,omitempty"`

	TemplateAlias string            `json:"TemplateAlias,omitempty"`
	TemplateModel map[string]string `json:"TemplateModel,omitzero"`
}

type header struct{ Name, Value string }

// Send implements [mail.Sender]. It returns nil when Postmark has accepted the letter, and otherwise an [*Error].
func (s *Sender) Send(ctx context.Context, m mail.Message) error {
	to, err := emailaddr.Parse(m.To)
	if err != nil {
		return &Error{letter: true, Err: errNoRecipient}
	}
	r := request{
		From: s.from, To: to.Mailbox(), MessageStream: s.config.Stream,
		// Whatever the server's settings are: tracking would give the links of letters, and the tickets in them, to one more
		// party, and have them opened by its redirects.
		TrackOpens: false, TrackLinks: "None",
	}
	if m.ID != "" {
		if !mail.IsID(m.ID) {
			return &Error{letter: true, Err: errNoID}
		}
		// Without the second, Postmark makes up a Message-ID for each attempt.
		r.Headers = []header{{"Message-ID", "<" + m.ID + "@" + s.domain + ">"}, {"X-PM-KeepID", "true"}}
	}
	if s.config.Templates {
		r.TemplateAlias, r.TemplateModel = m.Locale+"."+m.Template, m.Variables
		if r.TemplateModel == nil {
			r.TemplateModel = map[string]string{}
		}
	} else {
		if m.Text == "" && m.HTML == "" {
			return &Error{letter: true, Err: errNoContent}
		}
		r.Subject, r.TextBody, r.HTMLBody = oneLine(m.Subject), m.Text, m.HTML
	}
	body, err := json.Marshal(r)
	if err != nil {
		return &Error{letter: true, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	status, answer, err := s.post(ctx, body)
	if err != nil {
		return &Error{Err: err}
	}
	var got struct {
		Code    *int   `json:"ErrorCode"`
		Message string `json:"MessageID"`
	}
	decoded := json.Unmarshal(answer, &got) == nil && got.Code != nil
	if status == http.StatusOK && decoded && *got.Code == 0 && got.Message != "" {
		return nil
	}
	e := &Error{Status: status}
	if decoded {
		e.Code = *got.Code
	}
	return e
}

// Causes of an Error that are found here and not by Postmark.
var (
	errNoRecipient = errors.New("the recipient is not an address in ASCII, or in an internationalised domain")
	errNoContent   = errors.New("there is neither a text nor an HTML body")
	errNoID        = errors.New("the ID is not one of letters, digits and -._~")
)

func (s *Sender) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Postmark-Server-Token", s.config.Token)
	return outbound.Ask(s.http, req, maxAnswer)
}

// oneLine makes a subject of any value: line ends of every kind and other control characters become blanks, and several
// blanks become one.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool {
		return r == ' ' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}), " ")
}
