package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/store/memstore"
)

// settings are what the environment says.
type settings struct {
	listen   string // address to listen on
	prefix   string // path under which the routes are mounted: empty, or with a slash before and none after it
	store    place
	counting counting
	auth     auth.Config
	http     httpadapter.Options
	warnings []string // for the operator
}

// Format keeps settings out of logs. The secrets in them know how to hide, and fmt does not ask what is in unexported
// fields.
func (settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[settings]") }

// parse reads the environment, lines of the form NAME=value. Logs and logged letters will go to w. Its error is the list
// of all [mistakes] in the environment.
func parse(environ []string, w io.Writer) (settings, error) {
	return read(newEnvironment(environ), w)
}

func read(e *environment, w io.Writer) (settings, error) {
	s := settings{
		listen: listenAddress(e),
		prefix: prefix(e),
	}
	s.store, s.warnings = storePlace(e)
	var warnings []string
	s.counting, warnings = countingPlace(e)
	s.warnings = append(s.warnings, warnings...)
	s.auth = auth.Config{
		ServerURL:           e.required("AUTH_SERVER_URL", "the public URL of this server, with AUTH_API_PREFIX"),
		ClientURL:           e.required("AUTH_CLIENT_URL", "where browsers are sent after a link was followed"),
		AllowedRedirectURLs: e.list("AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS"),
		Secret:              secret(e),
		PreviousSecrets:     previousSecrets(e),
		Password:            password(e),
		WebAuthn:            webAuthn(e),
		SignUp: auth.SignUpConfig{
			Disabled:        e.flag("AUTH_DISABLE_SIGNUP", false),
			DisableNewUsers: e.flag("AUTH_DISABLE_NEW_USERS", false),
		},
		Email: auth.EmailConfig{
			AllowUnverified:  !e.flag("AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED", true),
			AllowedAddresses: e.list("AUTH_ACCESS_CONTROL_ALLOWED_EMAILS"),
			AllowedDomains:   e.list("AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS"),
			BlockedAddresses: e.list("AUTH_ACCESS_CONTROL_BLOCKED_EMAILS"),
			BlockedDomains:   e.list("AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS"),
		},
		Roles: auth.RolesConfig{
			Default: e.text("AUTH_USER_DEFAULT_ROLE", ""),
			Allowed: e.list("AUTH_USER_DEFAULT_ALLOWED_ROLES"),
		},
		Locales: auth.LocalesConfig{
			Default: e.text("AUTH_LOCALE_DEFAULT", ""),
			Allowed: e.list("AUTH_LOCALE_ALLOWED_LOCALES"),
		},
		Gravatar: gravatar(e),
		Sessions: auth.SessionsConfig{
			// How long a session lives without being used. How long it lives at all stays the engine's default, which is
			// never less.
			Idle: e.seconds("AUTH_REFRESH_TOKEN_EXPIRES_IN", 30*24*time.Hour, 10*365*24*time.Hour),
		},
		Limits:        limits(e),
		AdminSecret:   auth.Secret(e.text("HASURA_GRAPHQL_ADMIN_SECRET", "")),
		AccessTokens:  accessTokens(e),
		Elevation:     elevation(e),
		ConcealErrors: e.flag("AUTH_CONCEAL_ERRORS", false),
		Logger:        newLogger(w, e.flag("AUTH_DEBUG", false), e.flag("AUTH_LOG_FORMAT_TEXT", false)),
	}
	s.auth.MFA, s.auth.PAT = secondFactor(e), &auth.PATConfig{}
	if e.flag("AUTH_ANONYMOUS_USERS_ENABLED", false) {
		s.auth.Anonymous = &auth.AnonymousConfig{}
	}
	s.auth.Audit = audit(e)
	if dir := e.text("AUTH_EMAIL_TEMPLATES_PATH", ""); dir != "" {
		s.auth.Templates = os.DirFS(dir)
	}
	s.auth.Captcha = captchas(e)
	s.auth.Mail = mailSender(e, w)
	if _, logged := s.auth.Mail.(*mail.Log); logged {
		s.warnings = append(s.warnings, "AUTH_MAIL_LOG is on: letters are logged and not sent, and who reads the log can follow their links")
	}
	s.auth.SMS = textMessages(e, w)
	if s.auth.SMS != nil {
		if _, logged := s.auth.SMS.Sender.(*sms.Log); logged {
			s.warnings = append(s.warnings, "AUTH_SMS_PROVIDER is dev: text messages are logged and not sent, and who reads the log can sign in as anybody")
		}
	}
	identityProviders(e, &s.auth)
	s.auth.Webhooks = webhooks(e)
	for _, way := range []struct {
		variable string
		turnOn   func()
	}{
		{"AUTH_EMAIL_PASSWORDLESS_ENABLED", func() { s.auth.MagicLink = &auth.MagicLinkConfig{} }},
		{"AUTH_OTP_EMAIL_ENABLED", func() { s.auth.EmailOTP = &auth.EmailOTPConfig{} }},
	} {
		switch on := e.flag(way.variable, false); {
		case on && s.auth.Mail == nil:
			e.wrong(way.variable, "is true, and there is no mail: set AUTH_SMTP_HOST, or AUTH_MAIL_LOG=true to have letters logged instead (for development only)")
		case on:
			way.turnOn()
		}
	}
	if s.auth.Mail == nil && !s.auth.Email.AllowUnverified {
		e.wrong("AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED", "is true, its default, and there is no mail: "+
			"set AUTH_SMTP_HOST, or AUTH_MAIL_LOG=true to have letters logged instead (for development only), or set this to false")
	}
	// The library has its say, over a store that is thrown away: nothing is opened before everything is known to be right.
	engine, err := auth.New(memstore.New(), s.auth)
	noteAll(e, err)
	s.http = httpadapter.Options{
		TrustedProxies: trustedProxies(e),
		AllowedOrigins: allowedOrigins(e, engine),
		ConfirmLinks:   e.flag("AUTH_CONFIRM_LINKS", false),
		RefuseConnect:  e.flag("AUTH_REFUSE_CONNECT", false),
		Logger:         s.auth.Logger,
	}
	if engine == nil {
		engine = &auth.Engine{} // only to hear what is wrong with the rest
	}
	_, err = httpadapter.New(engine, s.http)
	noteAll(e, err)
	if u, err := url.Parse(s.auth.ServerURL); err == nil && !strings.HasSuffix(strings.TrimRight(u.Path, "/"), s.prefix) {
		s.warnings = append(s.warnings, "AUTH_SERVER_URL does not end with AUTH_API_PREFIX: links in letters work only if a proxy adds it")
	}
	if s.auth.WebAuthn == nil && s.auth.MFA == nil && s.auth.Elevation.Mode != auth.ElevationDisabled {
		s.warnings = append(s.warnings, "AUTH_REQUIRE_ELEVATED_CLAIM demands step-ups, and nobody can step up: neither AUTH_WEBAUTHN_ENABLED nor AUTH_MFA_ENABLED is true")
	}
	s.warnings = append(s.warnings, unsupported(e)...)
	if len(e.mistakes) > 0 {
		return settings{}, e.mistakes
	}
	return s, nil
}

func listenAddress(e *environment) string {
	address := ":" + strconv.Itoa(e.number("AUTH_PORT", 4000, 0, 65535))
	address = e.text("AUTH_LISTEN", address)
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		e.wrong("AUTH_LISTEN", "%q is not an address such as 127.0.0.1:4000 or :4000", address)
	}
	return address
}

// pathPrefix has no character that means something else in a pattern of [http.ServeMux] or in a URL.
var pathPrefix = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

func prefix(e *environment) string {
	p := strings.TrimRight(e.text("AUTH_API_PREFIX", ""), "/")
	if !pathPrefix.MatchString(p) {
		e.wrong("AUTH_API_PREFIX", "%q is not a path such as /v1", p)
		return ""
	}
	return p
}

func secret(e *environment) auth.Secret {
	const name = "AUTH_SECRET"
	s := e.required(name, "at least 32 random bytes, such as from: openssl rand -base64 32")
	if strings.ContainsAny(s, ", \t\r\n") {
		e.wrong(name, "has a comma or a blank, so that it could not be listed in AUTH_PREVIOUS_SECRETS one day")
	}
	return auth.Secret(s)
}

func previousSecrets(e *environment) []auth.Secret {
	var secrets []auth.Secret
	for _, s := range e.list("AUTH_PREVIOUS_SECRETS") {
		secrets = append(secrets, auth.Secret(s))
	}
	return secrets
}

func password(e *environment) *auth.PasswordConfig {
	// The documented default of the minimum is 3. Here it is 8 (OWASP ASVS 5.0 6.2.1).
	c := &auth.PasswordConfig{MinLength: e.number("AUTH_PASSWORD_MIN_LENGTH", 8, 1, 128)}
	if e.flag("AUTH_PASSWORD_HIBP_ENABLED", false) {
		c.Breached = auth.HIBP(nil)
	}
	return c
}

func webAuthn(e *environment) *auth.WebAuthnConfig {
	const rpID = "AUTH_WEBAUTHN_RP_ID"
	c := &auth.WebAuthnConfig{
		RPID:    e.text(rpID, ""),
		RPName:  e.text("AUTH_WEBAUTHN_RP_NAME", ""),
		Origins: e.list("AUTH_WEBAUTHN_RP_ORIGINS"),
		Timeout: e.milliseconds("AUTH_WEBAUTHN_ATTESTATION_TIMEOUT", time.Second, time.Hour),
	}
	if !e.flag("AUTH_WEBAUTHN_ENABLED", false) {
		return nil
	}
	// The library would speak of an id that nobody has given.
	if client, err := url.Parse(e.text("AUTH_CLIENT_URL", "")); err == nil && c.RPID == "" {
		if _, err := netip.ParseAddr(client.Hostname()); err == nil {
			e.wrong(rpID, "is not set, and the host of AUTH_CLIENT_URL is an IP address, for which there are no passkeys: "+
				"use a domain, or localhost on your own machine")
		}
	}
	return c
}

func secondFactor(e *environment) *auth.MFAConfig {
	c := &auth.MFAConfig{Issuer: e.text("AUTH_MFA_TOTP_ISSUER", "auth")}
	if !e.flag("AUTH_MFA_ENABLED", false) {
		return nil
	}
	return c
}

func audit(e *environment) *auth.AuditConfig {
	c := &auth.AuditConfig{}
	if e.text("AUTH_AUDIT_RETENTION", "") != "" {
		c.Retention = e.seconds("AUTH_AUDIT_RETENTION", 0, 100*366*24*time.Hour)
	}
	if !e.flag("AUTH_AUDIT_ENABLE", false) {
		return nil
	}
	return c
}

func elevation(e *environment) auth.ElevationConfig {
	c := auth.ElevationConfig{Mode: auth.ElevationMode(e.text("AUTH_REQUIRE_ELEVATED_CLAIM", string(auth.ElevationDisabled)))}
	for _, method := range e.list("AUTH_ELEVATION_METHODS") {
		c.Methods = append(c.Methods, auth.ElevationMethod(method))
	}
	return c
}

func gravatar(e *environment) *auth.GravatarConfig {
	c := &auth.GravatarConfig{Default: e.text("AUTH_GRAVATAR_DEFAULT", ""), Rating: e.text("AUTH_GRAVATAR_RATING", "")}
	// The documented default is on. Here it is off: everyone who sees a user's picture would see a hash from which the
	// user's address can be guessed.
	if !e.flag("AUTH_GRAVATAR_ENABLED", false) {
		return nil
	}
	return c
}

func accessTokens(e *environment) auth.AccessTokensConfig {
	const name = "HASURA_GRAPHQL_JWT_SECRET"
	var c auth.AccessTokensConfig
	// Without it, the engine derives a key from AUTH_SECRET.
	if text := e.text(name, ""); text != "" {
		var err error
		if c, err = auth.ParseHasuraJWTSecret(text); err != nil {
			e.wrong(name, "%v", err)
			c = auth.AccessTokensConfig{}
		}
	}
	c.Lifetime = e.seconds("AUTH_ACCESS_TOKEN_EXPIRES_IN", 15*time.Minute, 24*time.Hour)
	if days := e.number("AUTH_KEY_ROTATION_DAYS", 0, 0, 366); days > 0 {
		c.Rotate = &auth.RotationConfig{Every: time.Duration(days) * 24 * time.Hour}
	}
	e.object("AUTH_JWT_CUSTOM_CLAIMS", &c.CustomClaims)
	e.object("AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS", &c.CustomClaimsDefaults)
	return c
}

func trustedProxies(e *environment) []netip.Prefix {
	const name = "AUTH_TRUSTED_PROXIES"
	var proxies []netip.Prefix
	for _, text := range e.list(name) {
		p, err := netip.ParsePrefix(text)
		if a, notAddress := netip.ParseAddr(text); notAddress == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			e.wrong(name, "%q is neither an address nor a network such as 10.0.0.0/8", text)
			continue
		}
		proxies = append(proxies, p)
	}
	return proxies
}

// allowedOrigins are those whose pages may call: by default the client's.
func allowedOrigins(e *environment, engine *auth.Engine) []string {
	if origins := e.list("AUTH_CORS_ALLOWED_ORIGINS"); origins != nil || engine == nil {
		return origins
	}
	client, err := engine.RedirectTo("") // in the form that browsers give it
	if err != nil {
		return nil
	}
	u, err := url.Parse(client)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil // an app's own scheme has no origin
	}
	host := u.Host
	if port := u.Port(); port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host = strings.TrimSuffix(host, ":"+port) // browsers leave it out
	}
	return []string{u.Scheme + "://" + host}
}

// noteAll notes what the libraries say of the settings, under the names of the environment. What has been noted of a
// variable before is not noted again.
func noteAll(e *environment, err error) {
	before := e.mistakes
	for _, m := range complaints(err) {
		if name := variable(m.name); !before.name(name) {
			e.wrong(name, "%s", m.reason)
		}
	}
}

// complaints takes an error of a library apart into the settings that it is about.
func complaints(err error) []mistake {
	switch err := err.(type) {
	case nil:
		return nil
	case *auth.ConfigError:
		return lines(err.Field, err.Err)
	case *httpadapter.OptionError:
		return lines(err.Field, err.Err)
	case interface{ Unwrap() []error }:
		var all []mistake
		for _, one := range err.Unwrap() {
			all = append(all, complaints(one)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		return complaints(inner)
	}
	return lines("configuration", err)
}

// lines makes a mistake of every line of an error: one that is about a list has one for each entry.
func lines(field string, err error) []mistake {
	var all []mistake
	for line := range strings.Lines(err.Error()) {
		all = append(all, mistake{field, strings.TrimSpace(line)})
	}
	return all
}

// newLogger returns the program's log.
func newLogger(w io.Writer, debug, text bool) *slog.Logger {
	options := &slog.HandlerOptions{}
	if debug {
		options.Level = slog.LevelDebug
	}
	if text {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
