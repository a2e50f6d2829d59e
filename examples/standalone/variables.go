package main

import (
	"regexp"
	"strings"
)

// variables are those that this program reads, in the order of the README, each with the field that it sets: by its path in
// [auth.Config], or by package, struct and field. Those that set none are for the program itself. <X> stands for a provider.
var variables = []struct{ name, sets string }{
	{"AUTH_SECRET", "Secret"},
	{"AUTH_SERVER_URL", "ServerURL"},
	{"AUTH_CLIENT_URL", "ClientURL"},

	{"AUTH_STORE", ""},
	{"POSTGRES_CONNECTION", ""},
	{"HASURA_GRAPHQL_DATABASE_URL", ""},
	{"POSTGRES_MIGRATIONS_CONNECTION", ""},
	{"AUTH_STORE_SCHEMA", "pgstore.Schema"},
	{"AUTH_STORE_MIGRATE", "sqlitestore.NoMigrate"},

	{"AUTH_LISTEN", ""},
	{"AUTH_PORT", ""},
	{"AUTH_API_PREFIX", ""},
	{"AUTH_TRUSTED_PROXIES", "httpadapter.Options.TrustedProxies"},
	{"AUTH_CORS_ALLOWED_ORIGINS", "httpadapter.Options.AllowedOrigins"},
	{"AUTH_DEBUG", "Logger"},
	{"AUTH_LOG_FORMAT_TEXT", "Logger"},

	{"AUTH_SMTP_HOST", "smtpmail.Config.Host"},
	{"AUTH_SMTP_PORT", "smtpmail.Config.Port"},
	{"AUTH_SMTP_SECURE", "smtpmail.Config.TLS"},
	{"AUTH_SMTP_TLS", "smtpmail.Config.TLS"},
	{"AUTH_SMTP_USER", "smtpmail.Config.Username"},
	{"AUTH_SMTP_PASS", "smtpmail.Config.Password"},
	{"AUTH_SMTP_AUTH_METHOD", "smtpmail.Config.Auth"},
	{"AUTH_SMTP_SENDER", "smtpmail.Config.From"},
	{"AUTH_SMTP_HEADERS", "smtpmail.Config.Headers"},
	{"AUTH_SMTP_X_SMTPAPI_HEADER", "smtpmail.Config.ExtraHeaders"},
	{"AUTH_EMAIL_TEMPLATES_PATH", "Templates"},

	{"AUTH_SMS_PASSWORDLESS_ENABLED", "SMS"},
	{"AUTH_SMS_PROVIDER", "SMS.Sender"},
	{"AUTH_SMS_TWILIO_ACCOUNT_SID", "twilio.Config.AccountSID"},
	{"AUTH_SMS_TWILIO_AUTH_TOKEN", "twilio.Config.Token"},
	{"AUTH_SMS_TWILIO_MESSAGING_SERVICE_ID", "twilio.Config.Service"},
	{"AUTH_SMS_MODICA_USERNAME", "modica.Config.Username"},
	{"AUTH_SMS_MODICA_PASSWORD", "modica.Config.Password"},
	{"AUTH_SMS_COUNTRIES", "phone.Rules.Countries"},
	{"AUTH_SMS_DEFAULT_COUNTRY", "phone.Rules.Region"},

	{"AUTH_PROVIDER_<X>_ENABLED", "Providers"},
	{"AUTH_PROVIDER_<X>_CLIENT_ID", "oauth.Config.ClientID"},
	{"AUTH_PROVIDER_<X>_CLIENT_SECRET", "oauth.Config.ClientSecret"},
	{"AUTH_PROVIDER_<X>_SCOPE", "oauth.Config.Scopes"},
	{"AUTH_PROVIDER_<X>_AUTHORIZATION_URL", "oauth.Config.AuthorizationURL"},
	{"AUTH_PROVIDER_<X>_TOKEN_URL", "oauth.Config.TokenURL"},
	{"AUTH_PROVIDER_<X>_USER_PROFILE_URL", "oauth.Config.ProfileURL"},
	{"AUTH_PROVIDER_<X>_JWKS_URL", "oauth.GoogleConfig.JWKSURL"},
	{"AUTH_PROVIDER_<X>_ISSUER", "oauth.GoogleConfig.Issuer"},
	{"AUTH_PROVIDER_<X>_AUDIENCE", "IDTokens"},
	{"AUTH_PROVIDER_<X>_TENANT", "oauth.EntraConfig.Tenant"},
	{"AUTH_PROVIDER_APPLE_TEAM_ID", "oauth.AppleConfig.TeamID"},
	{"AUTH_PROVIDER_APPLE_KEY_ID", "oauth.AppleConfig.KeyID"},
	{"AUTH_PROVIDER_APPLE_PRIVATE_KEY", "oauth.AppleConfig.PrivateKey"},
	{"AUTH_PROVIDER_TWITTER_CONSUMER_KEY", "oauth.Config.ClientID"},
	{"AUTH_PROVIDER_TWITTER_CONSUMER_SECRET", "oauth.Config.ClientSecret"},
	{"AUTH_PROVIDER_TWITTER_REQUEST_TOKEN_URL", "oauth.TwitterConfig.RequestTokenURL"},
	{"AUTH_PROVIDER_WORKOS_DEFAULT_ORGANIZATION", "oauth.WorkOSConfig.DefaultOrganization"},
	{"AUTH_PROVIDER_WORKOS_DEFAULT_CONNECTION", "oauth.WorkOSConfig.DefaultConnection"},
	{"AUTH_PROVIDER_WORKOS_DEFAULT_DOMAIN", "oauth.WorkOSConfig.DefaultDomain"},
	{"AUTH_OIDC_PROVIDERS", "Providers"},
	{"AUTH_REFUSE_CONNECT", "httpadapter.Options.RefuseConnect"},
	{"HASURA_GRAPHQL_ADMIN_SECRET", "AdminSecret"},

	{"AUTH_DISABLE_SIGNUP", "SignUp.Disabled"},
	{"AUTH_DISABLE_NEW_USERS", "SignUp.DisableNewUsers"},
	{"AUTH_ANONYMOUS_USERS_ENABLED", "Anonymous"},
	{"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED", "Email.AllowUnverified"},
	{"AUTH_EMAIL_PASSWORDLESS_ENABLED", "MagicLink"},
	{"AUTH_OTP_EMAIL_ENABLED", "EmailOTP"},
	{"AUTH_CONFIRM_LINKS", "httpadapter.Options.ConfirmLinks"},
	{"AUTH_MAIL_LOG", "Mail"},
	{"AUTH_ACCESS_CONTROL_ALLOWED_REDIRECT_URLS", "AllowedRedirectURLs"},
	{"AUTH_ACCESS_CONTROL_ALLOWED_EMAILS", "Email.AllowedAddresses"},
	{"AUTH_ACCESS_CONTROL_ALLOWED_EMAIL_DOMAINS", "Email.AllowedDomains"},
	{"AUTH_ACCESS_CONTROL_BLOCKED_EMAILS", "Email.BlockedAddresses"},
	{"AUTH_ACCESS_CONTROL_BLOCKED_EMAIL_DOMAINS", "Email.BlockedDomains"},
	{"AUTH_USER_DEFAULT_ROLE", "Roles.Default"},
	{"AUTH_USER_DEFAULT_ALLOWED_ROLES", "Roles.Allowed"},
	{"AUTH_LOCALE_DEFAULT", "Locales.Default"},
	{"AUTH_LOCALE_ALLOWED_LOCALES", "Locales.Allowed"},
	{"AUTH_GRAVATAR_ENABLED", "Gravatar"},
	{"AUTH_GRAVATAR_DEFAULT", "Gravatar.Default"},
	{"AUTH_GRAVATAR_RATING", "Gravatar.Rating"},
	{"AUTH_PASSWORD_MIN_LENGTH", "Password.MinLength"},
	{"AUTH_PASSWORD_HIBP_ENABLED", "Password.Breached"},
	{"AUTH_CONCEAL_ERRORS", "ConcealErrors"},

	{"AUTH_WEBAUTHN_ENABLED", "WebAuthn"},
	{"AUTH_WEBAUTHN_RP_ID", "WebAuthn.RPID"},
	{"AUTH_WEBAUTHN_RP_NAME", "WebAuthn.RPName"},
	{"AUTH_WEBAUTHN_RP_ORIGINS", "WebAuthn.Origins"},
	{"AUTH_WEBAUTHN_ATTESTATION_TIMEOUT", "WebAuthn.Timeout"},
	{"AUTH_REQUIRE_ELEVATED_CLAIM", "Elevation.Mode"},
	{"AUTH_ELEVATION_METHODS", "Elevation.Methods"},

	{"AUTH_MFA_ENABLED", "MFA"},
	{"AUTH_MFA_TOTP_ISSUER", "MFA.Issuer"},

	{"AUTH_PREVIOUS_SECRETS", "PreviousSecrets"},
	{"HASURA_GRAPHQL_JWT_SECRET", "AccessTokens.Keys"},
	{"AUTH_KEY_ROTATION_DAYS", "AccessTokens.Rotate.Every"},
	{"AUTH_ACCESS_TOKEN_EXPIRES_IN", "AccessTokens.Lifetime"},
	{"AUTH_REFRESH_TOKEN_EXPIRES_IN", "Sessions.Idle"},
	{"AUTH_JWT_CUSTOM_CLAIMS", "AccessTokens.CustomClaims"},
	{"AUTH_JWT_CUSTOM_CLAIMS_DEFAULTS", "AccessTokens.CustomClaimsDefaults"},

	{"AUTH_RATE_LIMIT_ENABLE", "Limits.Off"},
	{"AUTH_RATE_LIMIT_GLOBAL_BURST", "Limits.RequestsPerClient.Burst"},
	{"AUTH_RATE_LIMIT_GLOBAL_INTERVAL", "Limits.RequestsPerClient.Per"},
	{"AUTH_RATE_LIMIT_EMAIL_BURST", "Limits.EmailsPerClient.Burst"},
	{"AUTH_RATE_LIMIT_EMAIL_INTERVAL", "Limits.EmailsPerClient.Per"},
	{"AUTH_RATE_LIMIT_EMAIL_IS_GLOBAL", "Limits.EmailsShared"},
	{"AUTH_RATE_LIMIT_SMS_BURST", "Limits.SMSPerClient.Burst"},
	{"AUTH_RATE_LIMIT_SMS_INTERVAL", "Limits.SMSPerClient.Per"},
	{"AUTH_RATE_LIMIT_BRUTE_FORCE_BURST", "Limits.GuessesPerClient.Burst"},
	{"AUTH_RATE_LIMIT_BRUTE_FORCE_INTERVAL", "Limits.GuessesPerClient.Per"},
	{"AUTH_RATE_LIMIT_SIGNUPS_BURST", "Limits.SignUpsPerClient.Burst"},
	{"AUTH_RATE_LIMIT_SIGNUPS_INTERVAL", "Limits.SignUpsPerClient.Per"},
	{"AUTH_RATE_LIMIT_REDIS_URL", "Limits.Limiter"},
	{"AUTH_RATE_LIMIT_REDIS_PREFIX", "redislimit.Config.Prefix"},
	{"AUTH_RATE_LIMIT_REDIS_OUTAGE", "Limits.Limiter"},

	{"AUTH_TURNSTILE_SECRET", "captcha.TurnstileConfig.Secret"},
	{"AUTH_HCAPTCHA_SECRET", "captcha.HCaptchaConfig.Secret"},
	{"AUTH_HCAPTCHA_SITE_KEY", "captcha.HCaptchaConfig.SiteKey"},
	{"AUTH_RECAPTCHA_SECRET", "captcha.ReCAPTCHAConfig.Secret"},
	{"AUTH_RECAPTCHA_MIN_SCORE", "captcha.ReCAPTCHAConfig.MinScore"},
	{"AUTH_CAPTCHA_HOSTNAMES", "captcha.TurnstileConfig.Hostnames"},
	{"AUTH_CAPTCHA_ACTION", "captcha.TurnstileConfig.Action"},
	{"AUTH_CAPTCHA_SIGNIN", "Captcha.SignIn"},
	{"AUTH_CAPTCHA_ANONYMOUS", "Captcha.Anonymous"},
	{"AUTH_CAPTCHA_MESSAGES", "Captcha.Messages"},
	{"AUTH_CAPTCHA_SEND_ADDRESS", "Captcha.SendAddress"},
	{"AUTH_CAPTCHA_URL", "captcha.TurnstileConfig.Endpoint"},

	{"AUTH_AUDIT_ENABLE", "Audit"},
	{"AUTH_AUDIT_RETENTION", "Audit.Retention"},

	{"AUTH_WEBHOOK_URL", "Webhooks[].URL"},
	{"AUTH_WEBHOOK_SECRETS", "Webhooks[].Secrets"},
	{"AUTH_WEBHOOK_EVENTS", "Webhooks[].Events"},
}

// blamed are the variables to which mistakes in a field are put down that not one variable alone sets.
var blamed = []struct{ name, field string }{
	{"AUTH_EMAIL_SIGNIN_EMAIL_VERIFIED_REQUIRED", "Mail"},
	{"AUTH_WEBAUTHN_RP_ID", "WebAuthn"},
	{"HASURA_GRAPHQL_JWT_SECRET", "AccessTokens"},
	{"AUTH_OIDC_PROVIDERS", "Providers"}, // the names of the others are ours
	{"AUTH_OIDC_PROVIDERS", "IDTokens"},
	{"AUTH_WEBHOOK_SECRETS", "Webhooks[]"},
}

var index = regexp.MustCompile(`\[[^]]*\]`)

// variable returns the name in the environment of a setting in the libraries.
func variable(field string) string {
	path := index.ReplaceAllString(field, "[]")
	for ; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		for _, b := range blamed {
			if b.field == path {
				return b.name
			}
		}
		for _, v := range variables {
			if v.sets == path || v.sets == "httpadapter.Options."+path {
				return v.name
			}
		}
	}
	return field
}
