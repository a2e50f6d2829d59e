package oidc

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/ostiary/auth/internal/outbound"
)

// Config is a registration at a provider that speaks OpenID Connect. Issuer and ClientID are required. It prints without the
// secret, whatever the verb.
type Config struct {
	// Issuer is the name of the provider, exactly as it stands in its tokens: a URL of https, or of http to this host, without
	// query. Its metadata is at Issuer + "/.well-known/openid-configuration" (OpenID Connect Discovery §4) and must
	// name the same issuer.
	Issuer string
	// ClientID is the audience of id tokens.
	ClientID string
	// ClientSecret is empty for a public client, which proves by PKCE alone that a code is its own.
	ClientSecret string
	// SecretInBody sends the secret with the form of a token request (client_secret_post) where the metadata does not say
	// how it is to be sent. Without it, it goes by HTTP Basic.
	SecretInBody bool

	// Scopes are asked for in place of openid, email and profile. Empty entries do not count; openid is always asked for.
	Scopes []string
	// Params are further parameters of the authorisation request, such as "prompt" or "audience". Those that the protocol
	// needs cannot be set.
	Params map[string]string
	// RequestParams are the names of those parameters that a client may set by [provider.Request], such as "login_hint". They
	// come before Params. The default is none.
	RequestParams []string
	// FormPost has the browser come back with a form (OAuth 2.0 Form Post Response Mode) and not with a query.
	FormPost bool

	// Audiences are the client ids of apps whose id tokens [Provider.VerifyIDToken] accepts, besides ClientID, and whose
	// names may stand in an id token next to it.
	Audiences []string
	// DistrustEmail leaves Profile.EmailVerified false, whatever the provider says. It is for providers whose operator may not
	// speak for every address, such as that of a customer: who can write "email_verified" can be anybody otherwise.
	DistrustEmail bool

	// Where the provider is, in place of what its metadata says: absolute URLs of https, or of http to this host, without user
	// and fragment. If the first three are set, the metadata is never asked for, and there is no userinfo endpoint but
	// the one given.
	AuthorizationURL string
	TokenURL         string
	JWKSURL          string
	UserInfoURL      string
}

const redacted = "oidc.Config{[redacted]}"

// Format implements [fmt.Formatter].
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Config) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (Config) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// reserved are the parameters whose meaning the flow depends on.
var reserved = []string{
	"client_id", "client_secret", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "request",
	"request_uri", "response_mode", "response_type", "scope", "state",
}

// withDefaults returns a copy of c in which nothing is left to default, or every mistake in it.
func (c Config) withDefaults() (Config, error) {
	var mistakes []error
	wrong := func(text string) { mistakes = append(mistakes, errors.New("oidc: "+text)) }
	if err := outbound.CheckURL(c.Issuer); err != nil {
		wrong("Issuer " + err.Error())
	} else if strings.Contains(c.Issuer, "?") {
		wrong("Issuer has a query")
	}
	if c.ClientID == "" {
		wrong("ClientID is required")
	}
	c.Scopes = slices.DeleteFunc(slices.Clone(c.Scopes), func(s string) bool { return strings.TrimSpace(s) == "" })
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "email", "profile"}
	}
	if !slices.Contains(strings.Fields(strings.Join(c.Scopes, " ")), "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	c.Params, c.RequestParams = maps.Clone(c.Params), slices.Clone(c.RequestParams)
	for _, name := range append(slices.Sorted(maps.Keys(c.Params)), c.RequestParams...) {
		if name == "" || slices.Contains(reserved, name) {
			wrong(fmt.Sprintf("the parameter %q is not to be set", name))
		}
	}
	c.Audiences = slices.Clone(c.Audiences)
	if slices.Contains(c.Audiences, "") {
		wrong("Audiences has an empty entry")
	}
	for _, u := range []struct{ field, url string }{
		{"AuthorizationURL", c.AuthorizationURL}, {"TokenURL", c.TokenURL}, {"JWKSURL", c.JWKSURL}, {"UserInfoURL", c.UserInfoURL},
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
