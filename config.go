package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/auth/internal/ceremony"
	"github.com/ostiary/auth/internal/claimpath"
	"github.com/ostiary/auth/internal/emailaddr"
	texts "github.com/ostiary/auth/internal/letter"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/internal/redirect"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/provider"
)

// Config says how an [Engine] behaves. Required are ServerURL, ClientURL and Secret. Everything else has a default that
// is safe, and a capability whose section is nil is off: its methods return [ErrDisabledEndpoint].
type Config struct {
	// ServerURL is the public URL under which the routes are mounted, prefix included. Links in messages begin with it;
	// nothing is ever built from a request's Host header. Required.
	ServerURL string
	// ClientURL is where a browser is sent when a request names no other place. It is always an allowed redirect. Required.
	ClientURL string
	// AllowedRedirectURLs are further places that redirectTo may name. An entry allows itself and every path below it;
	// in its host, * stands for any run of characters other than a dot: https://*.example.com.
	AllowedRedirectURLs []string

	// Secret is the root of every key that the engine derives: at least 32 random bytes, equal on all replicas.
	// Whoever has it and the database can impersonate every user. Required.
	Secret Secret
	// PreviousSecrets are tried after Secret, so that it can be replaced without signing anybody out. What was made under one
	// and is still of use when it is removed is lost:
	//
	//   - Sessions, and the codes of an authenticator app, pass to Secret at each use: a session when it is refreshed, the
	//     secret of an app when a code of it is accepted. A session that lives has been refreshed within Sessions.Idle. Of a
	//     second factor that has not been used, codes of the app fail with [ErrInternal].
	//   - What else there is does not pass to Secret, and has an end: personal access tokens after PAT.MaxLifetime at most, links
	//     and codes after the longest of Tickets, access tokens after AccessTokens.Lifetime unless AccessTokens.Keys is set,
	//     keys that rotate after Rotate.Every, Rotate.Lead and a token's lifetime together (see also [Engine.RotateKeys]), and
	//     letters in the outbox after two days or so.
	//   - Recovery codes do not, either, and live until they are used or made anew. The tokens of providers are kept until they
	//     are handed out, and are new after each visit.
	//
	// So remove one when all these times have gone by since Secret replaced it on the last replica. Where there are second
	// factors, keep it, or be ready to help those who have not used theirs since: see [Engine.RemoveMFA].
	PreviousSecrets []Secret

	Password  *PasswordConfig
	WebAuthn  *WebAuthnConfig
	MagicLink *MagicLinkConfig
	EmailOTP  *EmailOTPConfig
	SMS       *SMSConfig
	MFA       *MFAConfig
	PAT       *PATConfig
	Anonymous *AnonymousConfig

	// Providers are identity providers with which users sign in, by name: the name stands in routes, in letters and with the
	// accounts that are linked, and is for ever. It has at most 32 lower-case letters, digits, hyphens and underscores. Package
	// provider/oauth has the well-known ones, package provider/oidc any that speaks OpenID Connect. The redirect URI to
	// register there is ServerURL, "/signin/provider/", the name, and "/callback".
	Providers map[string]provider.Provider
	// IDTokens are providers whose id tokens apps hand in, by name. It is the one in Providers where that is the same provider:
	// an account is then the same by either way.
	IDTokens map[string]provider.IDTokenVerifier
	// ForgetProviderTokens keeps nothing of what providers give. The default keeps it, sealed, until [Engine.ProviderTokens] has
	// handed it out.
	ForgetProviderTokens bool

	// AdminSecret is known to the service's own back end, and lets it do what [Engine.AuthenticateAdmin] is asked about.
	// Whoever knows it may: it should be random. The default is none, and lets nobody.
	AdminSecret Secret

	SignUp       SignUpConfig
	Email        EmailConfig
	Roles        RolesConfig
	Locales      LocalesConfig
	Gravatar     *GravatarConfig
	Sessions     SessionsConfig
	AccessTokens AccessTokensConfig
	Elevation    ElevationConfig
	Tickets      TicketsConfig
	Limits       LimitsConfig

	// Captcha asks strangers for the answer to a captcha. The default asks nobody.
	Captcha *CaptchaConfig

	// ConcealErrors keeps strangers from finding out which addresses have an account. Errors that would tell become
	// [ErrInvalidRequest]; where addresses are verified, signing up with a taken one answers as if it were free, and
	// its owner gets a letter.
	ConcealErrors bool

	// Mail delivers letters. Required unless Email.AllowUnverified is set.
	Mail mail.Sender
	// Templates are the service's own texts of letters and text messages, which come before the built-in ones: for each
	// locale and each letter the files subject.txt, body.txt and body.html, such as pt/email-verify/body.html, and for a
	// text message body.txt alone. A file replaces the built-in one of the same path; a language that is not built in
	// (those are bg, cs, en, es and fr) needs all three of each letter that it has. What it does not have is written in
	// Locales.Default, or else in English. [mail.Templates] are the built-in ones, to start from.
	//
	// In a file, ${name} stands for a variable, and no other syntax means anything. All letters have email, displayName,
	// locale, serverUrl, clientUrl and clientHost, the host of ClientURL. What else there is depends on the letter:
	//
	//	email-verify, signin-passwordless, password-reset       link, ticket, redirectTo
	//	email-confirm-change                                    link, ticket, redirectTo, newEmail
	//	signin-otp                                              ticket (the code), redirectTo
	//	elevate-otp                                             ticket (the code)
	//	recovery-code-used                                      left (how many there still are)
	//	identity-linked, identity-unlinked                      provider
	//	account-deleted, email-change-requested, email-changed,
	//	mfa-disabled, mfa-enabled, password-changed, pat-created,
	//	phone-changed, recovery-codes-renewed, security-key-added,
	//	security-key-removed, session-reuse, signup-attempt     none
	//	signin-passwordless-sms, phone-change-sms,
	//	elevate-otp-sms                                         code
	//
	// A variable that a letter does not have is nothing. Its users choose displayName: a letter that shows it can be made
	// to say anything to anybody, and no built-in one does. New reads all files, and reports every one that cannot be
	// used; docs/letters.md says more.
	Templates fs.FS
	// Hooks are the service's say in what happens.
	Hooks Hooks
	// Events receives what happened. The default writes to Logger.
	Events EventSink
	// Webhooks are servers that are told of events; see [WebhookConfig].
	Webhooks []WebhookConfig
	// Audit, unless nil, also writes what happened to a trail in the store that cannot be altered unseen.
	Audit *AuditConfig
	// Observer watches calls, for traces and metrics; see package github.com/ostiary/auth/otelauth. The default is none.
	Observer Observer

	// Now is the engine's one clock. The default is [time.Now].
	Now func() time.Time
	// Logger receives what an operator should know and no caller may. No secret, address or number is ever logged. The
	// default discards.
	Logger *slog.Logger
	// HTTPClient is what outbound requests are made with: its transport decides about proxies and trusted certificates. Of
	// the rest only a Timeout below 10 seconds counts. Every request ends after that time and takes at most 1 MiB of an
	// answer, redirects to another server are refused, and there are no cookies. The default demands TLS 1.2 and takes
	// proxies from the environment.
	HTTPClient *http.Client
}

// withDefaults returns a copy of c in which nothing is left to default, and every mistake in it by field path. The
// compiled rules are only valid without an error.
func (c Config) withDefaults() (Config, *rules, error) {
	var m mistakes
	r := &rules{}
	asked := c

	m.url("ServerURL", c.ServerURL)
	c.ServerURL = strings.TrimRight(c.ServerURL, "/")
	c.AllowedRedirectURLs = slices.Clone(c.AllowedRedirectURLs)
	client := r.compileRedirects(&m, &c)
	c.Secret, c.PreviousSecrets, c.AdminSecret = slices.Clone(c.Secret), slices.Clone(c.PreviousSecrets), slices.Clone(c.AdminSecret)
	c.checkSecrets(&m)

	if c.Password != nil {
		c.Password = c.Password.withDefaults(&m)
	}
	if c.WebAuthn != nil {
		w := *c.WebAuthn
		r.passkeys = w.withDefaults(&m, client)
		r.createExtensions = m.extensions("WebAuthn.CreateExtensions", &w.CreateExtensions)
		r.getExtensions = m.extensions("WebAuthn.GetExtensions", &w.GetExtensions)
		c.WebAuthn = &w
	}
	if c.EmailOTP != nil {
		c.EmailOTP = c.EmailOTP.withDefaults(&m)
	}
	if c.SMS != nil {
		c.SMS = c.SMS.withDefaults(&m)
	}
	if c.MFA != nil {
		c.MFA = c.MFA.withDefaults(&m, r.clientHost)
	}
	if c.PAT != nil {
		c.PAT = c.PAT.withDefaults(&m)
	}
	c.Tickets.withDefaults(&m, &asked)
	if w := c.WebAuthn; w != nil && c.Tickets.WebAuthn < w.Timeout {
		m.add("Tickets.WebAuthn", "is %v, and WebAuthn.Timeout %v: a client would wait for nothing", c.Tickets.WebAuthn, w.Timeout)
	}
	if c.Anonymous != nil && c.Anonymous.MaxIdle != 0 {
		m.duration("Anonymous.MaxIdle", c.Anonymous.MaxIdle, time.Hour, 10*365*24*time.Hour)
	}
	c.Providers, c.IDTokens = maps.Clone(c.Providers), maps.Clone(c.IDTokens)
	for name, p := range c.Providers {
		m.provider("Providers", name, p == nil)
	}
	for name, v := range c.IDTokens {
		m.provider("IDTokens", name, v == nil)
	}

	def(&c.SignUp.MaxMetadata, 16<<10)
	m.within("SignUp.MaxMetadata", c.SignUp.MaxMetadata, 1, 1<<20)
	r.acl = c.Email.compile(&m)
	c.Roles.withDefaults(&m)
	c.Locales.withDefaults(&m)
	if c.Gravatar != nil {
		c.Gravatar = c.Gravatar.withDefaults(&m)
	}
	c.Sessions.withDefaults(&m)
	r.claims = c.AccessTokens.withDefaults(&m)
	c.Elevation.withDefaults(&m)
	c.Limits.withDefaults(&m)
	if c.Captcha != nil {
		c.Captcha = c.Captcha.withDefaults(&m)
	}

	if c.Mail == nil && !c.Email.AllowUnverified {
		m.add("Mail", "is required because addresses are verified; set it, or set Email.AllowUnverified")
	}
	if c.Mail == nil && c.Email.AllowUnverified && (c.MagicLink != nil || c.EmailOTP != nil) {
		m.add("Mail", "is required by MagicLink and EmailOTP")
	}
	var err error
	if r.texts, err = compileTemplates(c.Locales.Default, c.Templates); err != nil {
		m.add("Templates", "%w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Events == nil {
		c.Events = LogEvents(c.Logger)
	}
	r.webhooks = m.webhooks(c.Webhooks)
	c.Webhooks = nil // what is of use has been compiled
	if c.Audit != nil {
		c.Audit = c.Audit.withDefaults(&m)
	}
	c.HTTPClient = outbound.Client(c.HTTPClient)
	return c, r, errors.Join(m...)
}

// compileRedirects returns ClientURL, or one to hear of other mistakes by.
func (r *rules) compileRedirects(m *mistakes, c *Config) string {
	client := c.ClientURL
	if _, err := redirect.Compile(client, nil); err != nil {
		if client == "" {
			err = errors.New("is required")
		}
		m.add("ClientURL", "%w", err)
		client = "https://client.invalid"
	}
	var err error
	if r.redirects, err = redirect.Compile(client, c.AllowedRedirectURLs); err != nil {
		m.add("AllowedRedirectURLs", "%w", err)
	}
	r.clientHost = origin(client).Hostname()
	return client
}

func (c *Config) checkSecrets(m *mistakes) {
	m.secret("Secret", c.Secret)
	for i, s := range c.PreviousSecrets {
		field := fmt.Sprintf("PreviousSecrets[%d]", i)
		m.secret(field, s)
		same := func(other Secret) bool { return bytes.Equal(other, s) }
		if same(c.Secret) || slices.ContainsFunc(c.PreviousSecrets[:i], same) {
			m.add(field, "is the same as another secret")
		}
	}
}

// builtInTexts are the same for all engines of the process.
var builtInTexts = sync.OnceValues(func() (*texts.Set, error) { return texts.Parse(mail.Templates()) })

// compileTemplates puts the service's own texts before the built-in ones.
func compileTemplates(defaultLocale string, own fs.FS) (*texts.Set, error) {
	set, err := builtInTexts()
	if err != nil {
		return nil, err
	}
	return set.With(defaultLocale, own)
}

// rules are what the texts of a Config compile to.
type rules struct {
	redirects *redirect.Rules
	acl       *emailaddr.ACL
	claims    *claimpath.Set // nil without custom claims
	passkeys  *ceremony.RelyingParty
	texts     *texts.Set
	webhooks  []*endpoint

	clientHost string // of ClientURL: letters show it, and codes of text messages are bound to it

	createExtensions, getExtensions extensions
}

// ConfigError is one mistake in a [Config]. The error of [New] joins one for each; match with [errors.As], or walk them
// through Unwrap() []error.
type ConfigError struct {
	Field string // the path of the field, such as "Sessions.Idle" or "PreviousSecrets[1]"
	Err   error  // what is wrong; it never repeats a secret
}

func (e *ConfigError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// mistakes collects what is wrong with a Config.
type mistakes []error

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, &ConfigError{field, fmt.Errorf(format, args...)})
}

// url checks the URL that links are made of. The rules for redirects leave nothing in it that two readers could take
// differently.
func (m *mistakes) url(field, s string) {
	err := redirect.CheckURL(s)
	switch {
	case s == "":
		m.add(field, "is required")
	case !isWebOrigin(strings.ToLower(s)):
		m.add(field, "is not an absolute http or https URL")
	case strings.ContainsAny(s, "?#"):
		m.add(field, "must have neither query nor fragment")
	case err != nil:
		m.add(field, "%w", err)
	}
}

func (m *mistakes) secret(field string, s Secret) {
	if len(s) < 32 {
		m.add(field, "has %d bytes; at least 32 random ones are needed", len(s))
	}
}

func (m *mistakes) within(field string, v, low, high int) {
	if v < low || v > high {
		m.add(field, "is %d; it must be from %d to %d", v, low, high)
	}
}

func (m *mistakes) atLeast(field string, v, low int) {
	if v < low {
		m.add(field, "is %d; it must be at least %d", v, low)
	}
}

func (m *mistakes) duration(field string, v, low, high time.Duration) {
	if v < low || v > high {
		m.add(field, "is %v; it must be from %v to %v", v, low, high)
	}
}

func (m *mistakes) oneOf(field, v string, known ...string) {
	if !slices.Contains(known, v) {
		m.add(field, "is %q; it must be one of %s", v, strings.Join(known, ", "))
	}
}

// def gives *v its default.
func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// with returns list with v in it, without touching list.
func with(list []string, v string) []string {
	if slices.Contains(list, v) {
		return slices.Clone(list)
	}
	return append(slices.Clone(list), v)
}
