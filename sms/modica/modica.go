// Package modica sends text messages with Modica's gateway, REST API v2.
package modica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/internal/gateway"
)

const defaultURL = "https://api.modicagroup.com"

// A person waits.
const defaultTimeout = 10 * time.Second

const provider = "modica"

// Config says whose application it is. It prints without the password, whatever the verb.
type Config struct {
	Username string // the name of the gateway application. Required.
	Password string // its password. Required.

	BaseURL    string        // another place than Modica's, such as a proxy; https, or http to this host
	Timeout    time.Duration // bounds one call as a whole; default 10 seconds
	HTTPClient *http.Client  // makes the requests; default one with [http.DefaultTransport]. It is copied, and follows no redirect
}

const redacted = "modica.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the password out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Sender is an [sms.Sender] with Modica's gateway. Make one with [New].
type Sender struct {
	gateway *gateway.Client
	config  *Config // a pointer, which fmt does not follow
	url     string
}

var _ sms.Sender = (*Sender)(nil)

// Format keeps the password out of logs.
func (*Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "modica.Sender") }

// New returns a Sender, or every mistake in c.
func New(c Config) (*Sender, error) {
	var mistakes []error
	wrong := func(text string) { mistakes = append(mistakes, errors.New("modica: "+text)) }
	if c.Username == "" || strings.Contains(c.Username, ":") { // RFC 7617 §2
		wrong("Username is required, and has no colon")
	}
	if c.Password == "" {
		wrong("Password is required")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < 0 {
		wrong("Timeout must not be negative")
	}
	base, ok := outbound.BaseURL(c.BaseURL, defaultURL)
	if !ok {
		wrong("BaseURL must be an absolute https URL without user, query and fragment")
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return &Sender{gateway.New(provider, c.HTTPClient, c.Timeout), &c, base + "/rest/sms/v2/messages"}, nil
}

// Send implements [sms.Sender]. It returns nil when Modica has accepted the message, which it says by status 202 and
// nothing else, and otherwise an [*sms.Error].
func (s *Sender) Send(ctx context.Context, m sms.Message) error {
	if err := m.Check(); err != nil {
		return &sms.Error{Provider: provider, Final: true, Err: err}
	}
	body, err := json.Marshal(struct {
		Destination string `json:"destination"`
		Content     string `json:"content"`
	}{m.To, m.Text})
	if err != nil {
		return &sms.Error{Provider: provider, Final: true, Err: err}
	}
	status, _, err := s.gateway.Do(ctx, s.url, s.config.Username, s.config.Password, "application/json", string(body))
	if err != nil {
		return err
	}
	if status != http.StatusAccepted {
		// 400 is what it says of a number or a text that it does not take.
		return &sms.Error{Provider: provider, Status: status, Final: status == http.StatusBadRequest}
	}
	return nil
}
