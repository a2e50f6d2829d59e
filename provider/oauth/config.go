package oauth

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/ostiary/auth/internal/outbound"
)

// Config is a registration at a provider. What is left empty is the provider's own. It prints without the secret, whatever
// the verb.
type Config struct {
	ClientID     string // what the service is called there. Required.
	ClientSecret string // of the registration. Required, except by Apple.

	// Scopes are asked for in place of the default ones. Empty entries do not count. Without the scopes of the default,
	// profiles have no e-mail address, or cannot be had.
	Scopes []string

	// Where the provider is, if not at its usual place, such as a GitHub or GitLab of one's own: absolute URLs of https, or
	// of http to this host, without user and fragment.
	AuthorizationURL string
	TokenURL         string
	ProfileURL       string
}

const redacted = "oauth.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// withDefaults returns c completed by the defaults of the provider called name, or every mistake in it.
func (c Config) withDefaults(name string, def Config) (Config, error) {
	var mistakes []error
	wrong := func(text string) { mistakes = append(mistakes, fmt.Errorf("oauth: %s: %s", name, text)) }
	if c.ClientID == "" {
		wrong("ClientID is required")
	}
	if c.ClientSecret == "" {
		wrong("ClientSecret is required")
	}
	c.Scopes = slices.DeleteFunc(slices.Clone(c.Scopes), func(s string) bool { return strings.TrimSpace(s) == "" })
	if len(c.Scopes) == 0 {
		c.Scopes = def.Scopes
	}
	c.AuthorizationURL = cmp.Or(c.AuthorizationURL, def.AuthorizationURL)
	c.TokenURL = cmp.Or(c.TokenURL, def.TokenURL)
	c.ProfileURL = cmp.Or(c.ProfileURL, def.ProfileURL)
	for _, u := range []struct{ field, url string }{
		{"AuthorizationURL", c.AuthorizationURL}, {"TokenURL", c.TokenURL}, {"ProfileURL", c.ProfileURL},
	} {
		if u.url == "" {
			continue
		}
		if err := outbound.CheckURL(u.url); err != nil {
			wrong(u.field + " " + err.Error())
		}
	}
	return c, errors.Join(mistakes...)
}
