package main

// section is a chapter of the document: structs, or functions that return options, of one package.
type section struct {
	title, intro string
	dir          string   // of the package, below the root
	structs      []string // in the order of the document
	options      []string // functions that return an option
}

// mainStruct is the struct whose tree of fields gives the others of its package their paths: Config.Sessions.Idle is Sessions.Idle,
// as in the errors of auth.New.
const (
	mainStruct = "Config"
	mainDir    = "."
)

var contents = []section{
	{
		title: "The engine",
		intro: "`auth.New(store, auth.Config{…})`. A field is called by its path, as in the errors of `auth.New`: a mistake in\n" +
			"`Sessions.Idle` is a `*auth.ConfigError` whose `Field` is `Sessions.Idle`, and all mistakes are reported at once.",
		dir: mainDir,
		structs: []string{
			mainStruct, "PasswordConfig", "Argon2", "WebAuthnConfig", "MagicLinkConfig", "EmailOTPConfig", "SMSConfig", "MFAConfig", "PATConfig",
			"AnonymousConfig", "SignUpConfig", "EmailConfig", "RolesConfig", "LocalesConfig", "GravatarConfig", "SessionsConfig",
			"AccessTokensConfig", "RotationConfig", "ElevationConfig", "TicketsConfig", "LimitsConfig", "CaptchaConfig", "Hooks",
			"WebhookConfig", "AuditConfig",
		},
	},
	{
		title: "The HTTP adapter", intro: "`httpadapter.New(engine, httpadapter.Options{…})`.",
		dir: "httpadapter", structs: []string{"Options", "CookieOptions"},
	},
	{
		title: "The PostgreSQL store", intro: "`pgstore.New(pool, options…)`, `pgstore.Open(ctx, dsn, options…)`, `pgstore.Migrate(ctx, pool, options…)`.",
		dir: "store/pgstore", options: []string{"Schema"},
	},
	{
		title: "The SQLite store", intro: "`sqlitestore.Open(ctx, path, options…)`. The memory store has no options.",
		dir: "store/sqlitestore", options: []string{"Prefix", "BusyTimeout", "Readers", "SyncNormal", "NoMigrate"},
	},
	{
		title: "Limits: rates, and the limiter in memory", intro: "`limit.NewMemory(limit.MemoryConfig{…})`.",
		dir: "limit", structs: []string{"Rate", "MemoryConfig"},
	},
	{
		title: "Limits: Redis", intro: "`redislimit.New(client, redislimit.Config{…})`.",
		dir: "limit/redislimit", structs: []string{"Config"},
	},
	{
		title: "Letters by SMTP", intro: "`smtpmail.New(smtpmail.Config{…})`, for `Mail`.",
		dir: "mail/smtpmail", structs: []string{"Config"},
	},
	{
		title: "Letters by Postmark", intro: "`postmark.New(postmark.Config{…})`, for `Mail`.",
		dir: "mail/postmark", structs: []string{"Config"},
	},
	{
		title: "Text messages by Twilio", intro: "`twilio.New(twilio.Config{…})`, for `SMS.Sender`, and `twilio.NewVerifier`, for `SMS.Verifier`.",
		dir: "sms/twilio", structs: []string{"Config"},
	},
	{
		title: "Text messages by Modica", intro: "`modica.New(modica.Config{…})`, for `SMS.Sender`.",
		dir: "sms/modica", structs: []string{"Config"},
	},
	{
		title: "Phone numbers", intro: "`phone.New(phone.Rules{…})`, whose method `Parse` is for `SMS.ParsePhone`.",
		dir: "sms/phone", structs: []string{"Rules"},
	},
	{
		title: "Captchas", intro: "`captcha.NewTurnstile`, `captcha.NewHCaptcha` and `captcha.NewReCAPTCHA`, for `Captcha.Verifier`.",
		dir: "captcha", structs: []string{"TurnstileConfig", "HCaptchaConfig", "ReCAPTCHAConfig"},
	},
	{
		title: "Well-known identity providers", intro: "`oauth.GitHub(oauth.Config{…})` and the like, for `Providers`; `oauth.AppleIDTokens` and `oauth.GoogleIDTokens`, for `IDTokens`.",
		dir:     "provider/oauth",
		structs: []string{"Config", "AppleConfig", "EntraConfig", "GoogleConfig", "TwitterConfig", "WorkOSConfig", "IDTokenConfig"},
	},
	{
		title: "Any provider of OpenID Connect", intro: "`oidc.New(oidc.Config{…})`, for `Providers` and `IDTokens`.",
		dir: "provider/oidc", structs: []string{"Config"},
	},
	{
		title: "Verifying access tokens elsewhere", intro: "`verify.New(jwksURL, verify.Options{…})`.",
		dir: "verify", structs: []string{"Options"},
	},
	{
		title: "OpenTelemetry", intro: "`otelauth.New(otelauth.Options{…})`.",
		dir: "otelauth", structs: []string{"Options"},
	},
}

// notConfiguration are the exported structs that are called like configuration and are none.
var notConfiguration = map[string]bool{
	"CreationOptions": true, // of a WebAuthn ceremony, for the browser
	"RequestOptions":  true,
	"SignUpOptions":   true, // of one call
}
