package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/google/uuid"

	"github.com/ostiary/auth/internal/ceremony"
	"github.com/ostiary/auth/internal/claimpath"
	"github.com/ostiary/auth/internal/emailaddr"
	texts "github.com/ostiary/auth/internal/letter"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/internal/passhash"
	"github.com/ostiary/auth/internal/phone"
	"github.com/ostiary/auth/internal/redirect"
	"github.com/ostiary/auth/limit"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/sms"
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

// PasswordConfig turns on e-mail and password.
type PasswordConfig struct {
	// MinLength and MaxLength bound the length in Unicode code points, after normalisation. The defaults are 8 and
	// 128; MinLength below 8 is accepted and not advised (OWASP ASVS 5.0 6.2.1), and MaxLength is at least 64
	// (6.2.9) and at most 1024.
	MinLength, MaxLength int
	// AllowCommon turns off the built-in list of the most common passwords (OWASP ASVS 5.0 6.2.4).
	AllowCommon bool
	// ContextWords are passwords to refuse besides: the service's name, say (OWASP ASVS 5.0 6.2.11). The user's own
	// address always is.
	ContextWords []string
	// Breached, unless nil, is asked about every new password. If it fails, the password is accepted and an event of
	// type [EventBreachCheckFailed] emitted. See [HIBP].
	Breached BreachChecker

	// Argon2 sets the cost of new hashes. A hash of another kind or of lower cost is replaced when its user signs in.
	Argon2 Argon2
	// MaxHashes is how many passwords are hashed at once; each takes Argon2.MemoryKiB. Further ones wait, at most
	// MaxWaiting of them, and those beyond get [ErrTooManyRequests]. The defaults are GOMAXPROCS divided by Argon2.Threads
	// and 64 times MaxHashes.
	MaxHashes, MaxWaiting int

	// ChangeWithin is how long after they signed in a user may change their password without giving the current one
	// (OWASP ASVS 5.0 6.2.3). The default is 10 minutes. A step-up, and a link to reset it, will always do.
	ChangeWithin time.Duration
}

// Argon2 are the cost parameters of Argon2id (RFC 9106).
type Argon2 struct {
	MemoryKiB uint32 // memory of one hash, in KiB; default 19456 (19 MiB)
	Time      uint32 // passes over the memory; default 2
	Threads   uint8  // lanes, which are computed in parallel; default 1
}

// BreachChecker knows passwords that have become public.
type BreachChecker interface {
	// Breached reports whether the password is known to attackers.
	Breached(ctx context.Context, password string) (bool, error)
}

// WebAuthnConfig turns on passkeys and other security keys.
type WebAuthnConfig struct {
	// RPID is the relying party's id: the domain that credentials are bound to, for ever. It must be the host of every
	// page that uses them or a registrable parent of it. The default is the host of ClientURL.
	RPID string
	// RPName is what people are shown. The default is RPID.
	RPName string
	// Origins are the pages and apps that may use credentials, besides the origin of ClientURL: "https://app.example.com",
	// "android:apk-key-hash:…". They are compared as they stand (WebAuthn L3 §13.4.9). Web origins of another domain than
	// RPID are related origins; see [Engine.RelatedOrigins].
	Origins []string
	// TopOrigins are the pages that may embed one of Origins in a frame and use credentials there. The default is none:
	// what comes out of a frame of another origin is refused.
	TopOrigins []string

	// Timeout is how long a client is told to wait for its user. The default is one minute. See also
	// TicketsConfig.WebAuthn.
	Timeout time.Duration
	// UserVerification is asked for when a key is created and when it signs in. The default is
	// [UserVerificationPreferred]. A sign-in in which the authenticator verified its user counts as two factors.
	UserVerification UserVerification
	// ResidentKey says whether a new key is to be one that can sign in without an e-mail address: "preferred", "required" or
	// "discouraged". The default is "preferred".
	ResidentKey string
	// Attachment is "platform" or "cross-platform" if new keys must be of that kind. Empty, they are of either.
	Attachment string
	// Attestation is what is asked for when a key is created: "none", "indirect", "direct" or "enterprise". The default is
	// "none". Whatever is asked for, a statement that comes must be valid. Without Metadata it proves nothing about its maker,
	// and with "none" not even its format is kept.
	Attestation string
	// Hints tell a client which kinds of key to offer first: "security-key", "client-device", "hybrid".
	Hints []string
	// CreateExtensions are the client extension inputs when a key is created. The default is credProps alone, which asks
	// whether the key is discoverable.
	CreateExtensions map[string]any
	// GetExtensions are the client extension inputs when a key signs in or steps up. The default is none.
	GetExtensions map[string]any

	// AllowRollback accepts a signature counter that did not grow. The default refuses it: there may be two copies of the
	// key. Both emit [EventSignCountRollback] (WebAuthn L3 §7.2 step 22).
	AllowRollback bool
	// AllowedAAGUIDs, unless empty, are the only models of authenticator whose keys can be added; DeniedAAGUIDs are
	// those that cannot. Without attestation and Metadata an authenticator is free to name any model.
	AllowedAAGUIDs, DeniedAAGUIDs []uuid.UUID
	// Metadata, unless nil, is asked about the model of each authenticator (FIDO Metadata Service); see the providers of
	// github.com/go-webauthn/webauthn/metadata. It needs Attestation "direct".
	Metadata metadata.Provider
	// MaxPerUser bounds the keys of one user, at the moment when an addition begins. The default is 50.
	MaxPerUser int
}

// UserVerification says whether an authenticator is to verify its user, by a PIN or a fingerprint, say, or whether a
// touch is enough.
type UserVerification string

// The values of UserVerification (WebAuthn L3 §5.8.6).
const (
	UserVerificationRequired    UserVerification = "required"
	UserVerificationPreferred   UserVerification = "preferred"
	UserVerificationDiscouraged UserVerification = "discouraged"
)

// ElevationConfig says when a user must step up: prove once more that they are there, with a security key or a code of their
// authenticator app for example, before they do what cannot be undone. See [Engine.Elevate].
type ElevationConfig struct {
	// Mode says of whom a step-up is demanded. The default is [ElevationDisabled].
	Mode ElevationMode
	// Methods are the ways to step up. The default is [ElevateByWebAuthn] and [ElevateByTOTP]. The others are weaker: a user who
	// has one of these two cannot use them.
	Methods []ElevationMethod
	// UserVerification is asked for when a user steps up with a security key. The default is [UserVerificationRequired]:
	// whoever has found a key cannot step up with it (NIST SP 800-63B-4 §2.2). With preferred a touch is enough.
	UserVerification UserVerification
	// FirstKeyWithin, unless 0, is how long after they signed in a user who has no security key yet may add one. The
	// default is as long as the session lives, as documented: whoever has stolen an access token of a user without a
	// key can give them one. The owner of a verified address gets a letter.
	FirstKeyWithin time.Duration
}

// ElevationMode says of whom a step-up is demanded.
type ElevationMode string

// The modes of elevation. Adding a first security key never needs a step-up.
const (
	ElevationDisabled    ElevationMode = "disabled"    // of nobody
	ElevationRecommended ElevationMode = "recommended" // of users with a security key or a second factor
	ElevationRequired    ElevationMode = "required"    // of everybody
)

// MagicLinkConfig turns on signing in by a link in a letter.
type MagicLinkConfig struct {
	// ExistingUsers keeps links from signing anybody up: they are for users who exist.
	ExistingUsers bool
}

// EmailOTPConfig turns on signing in by a code of six digits in a letter.
type EmailOTPConfig struct {
	// ExistingUsers keeps codes from signing anybody up: they are for users who exist.
	ExistingUsers bool
	// Tries is how many wrong codes void a code. The default is 5, the maximum 10.
	Tries int
}

// SMSConfig turns on phone numbers: signing in by a code in a text message, and having a number.
//
// Whoever holds a number holds what it opens, and numbers are given away, taken over and given to somebody else when they
// are no longer paid for: NIST SP 800-63B-4 §3.1.3.3 restricts their use.
type SMSConfig struct {
	// Sender delivers codes that the engine makes. Verifier is a provider that makes, delivers and checks codes of its
	// own; it is asked about numbers that somebody waits at, which takes time and so tells, whatever Config.ConcealErrors
	// says, and its messages do not say what a code is for. Exactly one of them is required.
	Sender   sms.Sender
	Verifier sms.Verifier

	// ParsePhone reads a number as somebody typed it and returns it in E.164, such as "+41791234567", or an error, which
	// the client gets as [ErrInvalidRequest] without its text. The default takes anything in international form; package
	// sms/phone knows numbering plans, and can tell which countries are served.
	ParsePhone func(string) (string, error)

	// ExistingUsers keeps codes from signing anybody up: they are for users who exist.
	ExistingUsers bool
	// Tries is how many wrong codes void a code. The default is 5, the maximum 10.
	Tries int
}

// MFAConfig turns on the enrolment of a second factor: codes of an authenticator app (TOTP, RFC 6238).
type MFAConfig struct {
	// Issuer is what the app shows. The default is "auth".
	Issuer string
	// Policy says after which first factors the second is asked for. The default is [MFAAlways].
	Policy MFAPolicy
}

// MFAPolicy says after which first factors a second one is asked for.
type MFAPolicy string

// The policies. In either case a passkey that has verified its user counts as two factors.
const (
	MFAAlways    MFAPolicy = "always"    // after every one
	MFAPasswords MFAPolicy = "passwords" // after a password alone, as documented: whoever reads the user's mail comes in without
)

// PATConfig turns on personal access tokens.
type PATConfig struct {
	// MaxLifetime bounds the life of a new token. The default is 366 days, the maximum ten years.
	MaxLifetime time.Duration
	// MaxPerUser bounds the tokens of one user. The default is 50, the maximum 1000.
	MaxPerUser int
}

// AnonymousConfig turns on anonymous users.
type AnonymousConfig struct {
	// MaxIdle is how long an anonymous user may be away before [Engine.Run] removes them. The default is 0: for ever.
	MaxIdle time.Duration
}

// SignUpConfig governs how users come into being, whatever the method.
type SignUpConfig struct {
	// Disabled refuses every new user with [ErrSignUpDisabled].
	Disabled bool
	// DisableNewUsers creates users disabled, for an operator to enable: the call returns [ErrDisabledUser].
	DisableNewUsers bool
	// MaxMetadata bounds the metadata that a client may send, in bytes. The default is 16 KiB.
	MaxMetadata int
}

// EmailConfig governs addresses, whatever the method.
type EmailConfig struct {
	// AllowUnverified lets users in before they have shown that their address is theirs. Anyone can then hold an
	// account in anybody's name until the owner of the address comes.
	AllowUnverified bool

	// Allowed and blocked addresses and domains, compared in their canonical form: a blocked address is refused; an
	// allowed one accepted; a blocked domain refused; an allowed one accepted; anything else is accepted if both
	// allow-lists are empty. They hold for every way in, and for refreshing: an address that the lists refuse gets
	// [ErrInvalidEmailPassword].
	AllowedAddresses, AllowedDomains []string
	BlockedAddresses, BlockedDomains []string
}

// RolesConfig says which roles users get.
type RolesConfig struct {
	// Default is the role of a user who asks for no other. The default is "user".
	Default string
	// Allowed are the roles that a user gets, and may ask for a part of, at sign-up. Default is always among them. The
	// default is "me".
	Allowed []string
}

// LocalesConfig says in which languages users are written to.
type LocalesConfig struct {
	Default string   // the language of a user who asks for no other that is allowed; default "en"
	Allowed []string // the languages that users may have: ISO 639 codes of two or three letters. Default is always among them
}

// GravatarConfig gives users without a picture one from gravatar.com. The URL holds the MD5 of the e-mail address, from
// which the address can be guessed by anyone who sees it.
type GravatarConfig struct {
	// Default is the picture of who has none there: "blank", "identicon", "monsterid", "wavatar", "retro", "robohash", "mp" or
	// "404". The default is "blank".
	Default string
	// Rating is the strictest rating that every picture must meet: "g", "pg", "r" or "x". The default is "g".
	Rating string
}

// SessionsConfig says how long sessions live.
type SessionsConfig struct {
	// Idle is how long a session lives without being refreshed. The default is 30 days.
	Idle time.Duration
	// Absolute is how long a session lives at most. The default is 180 days; it is never less than Idle.
	Absolute time.Duration
	// Grace is how long a refresh token that has been rotated still answers, with the same successor: for parallel
	// tabs and lost answers. Later use is theft (RFC 9700 §4.14.2) and ends the session. The default is 10 seconds, the
	// maximum one minute.
	Grace time.Duration
	// MaxPerUser bounds the live sessions of one user: the least recently used end. Those that were opened with a personal
	// access token are counted apart, for each token. The default is 100.
	MaxPerUser int
	// CheckOnVerify makes [Engine.Authenticate] and [Engine.VerifyToken] ask the store whether the session still
	// lives, so that a revoked one ends at once and not with its access token. It costs one read per call.
	CheckOnVerify bool
}

// AccessTokensConfig says what is in an access token and who signs it.
type AccessTokensConfig struct {
	// Lifetime of a token, which never outlives its session. The default is 15 minutes, the maximum 24 hours.
	Lifetime time.Duration
	// Issuer is the claim "iss". The default is "hasura-auth".
	Issuer string
	// Audience is the claim "aud". If set, a token must name one of these to be accepted.
	Audience []string
	// ClaimsNamespace is the claim that holds the role claims. The default is "https://hasura.io/jwt/claims".
	ClaimsNamespace string
	// Keys sign and verify. The default is one Ed25519 key derived from Secret, with those of PreviousSecrets retired.
	// See also [ParseHasuraJWTSecret] and [Engine.SetKeys].
	Keys Keys
	// Rotate has the engine make its keys itself, one after the other. The default is off: Keys sign until they are changed.
	Rotate *RotationConfig
	// CustomClaims maps the names of claims to paths in the user's record, such as "metadata.plan" or "email"; see
	// [Engine.Refresh] for when they are read. A claim that decides on access must not come from metadata that the user
	// can write at sign-up.
	CustomClaims map[string]string
	// CustomClaimsDefaults are the values of claims whose path leads nowhere.
	CustomClaimsDefaults map[string]any
}

// RotationConfig is for access tokens whose keys the engine makes, keeps in the store, sealed under Config.Secret, and
// replaces on a schedule. A key is published Lead before it signs, signs until the next one does, and stays published and
// accepted until the last of its tokens has expired; then it is removed.
//
// [Engine.Run] does so, and has each replica know the keys of the others within a minute. Where no loop runs, calls do: one in
// two minutes takes a round trip more. A token that names an unknown key has the engine look at most once in ten seconds.
// While the store is down, the keys that are known stay good.
//
// The keys of AccessTokens.Keys, or those derived from Secret, sign until the first key of the store does, Lead after the first
// call, and are accepted for a token's lifetime longer: have all replicas rotate by then. A replica that does not rotate does
// not accept the tokens of those that do, which is also what happens to all of them when Rotate is turned off again: clients
// have to refresh, and lose nothing else.
//
// A key that cannot be opened, because its secret is no longer configured or it was tampered with, is as good as absent, and
// logged. Without any, a new one is made and signs at once.
type RotationConfig struct {
	// Every is how long a key signs. The default is 30 days, the minimum an hour, the maximum 366 days.
	Every time.Duration
	// Lead is how long a key is published before it signs: longer than anybody keeps the key set without asking again. The
	// adapter allows for five minutes. The default is an hour, or Every if that is shorter; the minimum is 10 minutes, the
	// maximum Every.
	Lead time.Duration
	// Algorithm of new keys: "EdDSA" (Ed25519), "ES256" or "RS256" (of 2048 bits). The default is "EdDSA".
	Algorithm string
}

// TicketsConfig says how long one-time secrets live.
type TicketsConfig struct {
	VerifyEmail   time.Duration // the link in the letter that verifies an address; default 7 days
	MagicLink     time.Duration // a link that signs in; default 1 hour
	PasswordReset time.Duration // a link to set a new password; default 1 hour
	EmailChange   time.Duration // the link in the letter to a new address; default 1 hour
	EmailOTP      time.Duration // a code in a letter; default 10 minutes
	SMSOTP        time.Duration // a code in a text message; default 5 minutes, and 10 with a Verifier
	MFA           time.Duration // what a first factor earns of who has a second; default 5 minutes
	Code          time.Duration // what a client with a code challenge gets in a redirect; default 5 minutes
	ProviderState time.Duration // a visit to an identity provider; default 10 minutes
	WebAuthn      time.Duration // a challenge; default WebAuthn.Timeout if that is set, and otherwise 5 minutes
}

// LimitsConfig says how often something may happen. Who exceeds a budget gets [ErrTooManyRequests], which says when to come
// back, whether or not there is an account. Budgets refill evenly, so that up to twice as much happens in the first Per.
//
// A client is an IPv4 address, or the /64 that an IPv6 address is in, and known where [WithClient] has named it, as the HTTP
// adapter does for every request; without one, what is counted per client is not. Many people may share an address.
//
// Nobody elsewhere who exhausts a budget keeps the owner of an account out of it: passwords, codes and passkeys have budgets
// of their own or none, a link in a letter that has arrived stays good, and what refills does so from the first moment on.
type LimitsConfig struct {
	// Off turns the limits off, for tests and for services that have their own. Guesses of codes are always counted
	// (GuessesPerAccount and GuessesPerAccountLong): a code of six digits is no secret without.
	Off bool
	// Limiter counts. The default counts in this process and forgets when it ends; replicas need one in common, such as
	// that of package redislimit. RequestsPerClient is counted in each process in any case: it is there to protect that.
	Limiter limit.Limiter
	// FailOpen are the budgets that hold nobody back while Limiter cannot count; what another one counts is then refused,
	// with [ErrInternal]. The default is requests, letters, sign-ups and challenges: codes and passwords cannot be guessed,
	// nor text messages be sent at somebody's expense. To go on with those, count meanwhile in each process, by
	// [limit.WithFallback].
	FailOpen []Budget

	// RequestsPerClient bounds the requests to the adapter's routes, whatever comes of them; see [Engine.Admit]. The default
	// is 100 per minute.
	RequestsPerClient limit.Rate

	// LettersPerClient bounds the letters that one client can ask for. The default is 10 per hour. LettersShared makes it one
	// budget for all clients.
	LettersPerClient limit.Rate
	LettersShared    bool
	// LettersPerAddress and LettersPerAddressLong bound the letters to one address that anybody can ask for, whatever is in
	// them. The defaults are 10 per hour and 30 per day.
	LettersPerAddress, LettersPerAddressLong limit.Rate

	// TextsPerClient bounds the text messages that one client can ask for. The default is 10 per hour.
	TextsPerClient limit.Rate
	// TextsPerNumber and TextsPerNumberLong bound the text messages to one number. The defaults are 5 per hour and 15 per day.
	TextsPerNumber, TextsPerNumberLong limit.Rate
	// TextsPerCountry bounds the text messages to the numbers of one country code (ITU-T E.164), and Texts those to all. The
	// defaults are 500 per hour and 1000 per hour; who has fewer users than that wants less, because text messages are money.
	TextsPerCountry, Texts limit.Rate
	// UnansweredTexts bounds the text messages to one country code whose codes nobody enters. One that is entered makes up for
	// four: where fewer are, what sends them is not people, and no more are sent. The default is 50 per hour.
	UnansweredTexts limit.Rate

	// GuessesPerClient bounds what one client presents and is wrong: passwords, codes, links, personal access tokens, id
	// tokens, passkeys and admin secrets, for whatever account. What is right does not count, nor what was not compared because
	// something failed. Refresh and access tokens, and the ticket that sets a new password, are too long to be guessed and
	// count as requests only. The default is 10 per 5 minutes.
	GuessesPerClient limit.Rate
	// GuessesPerAccount bounds the guesses of codes for one address or number, however many codes were sent there; of codes of
	// one user's authenticator app, at sign-in, at a step-up and at changes each; and of their password by who is signed in. A
	// right one ends the count. GuessesPerAccountLong bounds the wrong ones in the long run. The defaults are 10 per hour and 50
	// per 30 days: NIST SP 800-63B-4 §3.2.2 allows 100 in a row, and so many there are at most in the first 30 days; after that,
	// half as many in each. Who is out of guesses has to come in otherwise: by a link say, or in place of a code of the app by a
	// recovery code, which is never counted, and ends both counts.
	GuessesPerAccount, GuessesPerAccountLong limit.Rate
	// PasswordsPerAccount and PasswordsPerAccountLong bound the wrong passwords for one address at sign-in, from wherever they
	// come and whether or not it has an account. The right one ends both counts, and so does a new one. The defaults are 10
	// per hour and 50 per 30 days, as above. Whose account is under attack comes in by anything else meanwhile, a link to reset
	// the password included.
	PasswordsPerAccount, PasswordsPerAccountLong limit.Rate

	// SignUpsPerClient bounds the sign-ups of one client, those with an address that is taken included, and guests. The
	// default is 10 per 5 minutes. Sign-ups by letter or text message are bounded by those.
	SignUpsPerClient limit.Rate
	// ChallengesPerClient bounds the sign-ins with a passkey and with an identity provider that one client begins: each has to
	// be remembered for minutes. The default is 100 per 5 minutes.
	ChallengesPerClient limit.Rate
}

// Secret is a value that must not be seen: it prints as "[redacted]" whatever the verb, and so do structs that hold it.
type Secret []byte

// Format implements [fmt.Formatter].
func (Secret) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and its like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "[redacted]"

// withDefaults returns a copy of c in which nothing is left to default, and every mistake in it by field path. The
// compiled rules are only valid without an error.
func (c Config) withDefaults() (Config, *rules, error) {
	var m mistakes
	r := &rules{}

	m.url("ServerURL", c.ServerURL)
	c.ServerURL = strings.TrimRight(c.ServerURL, "/")
	var err error
	client := c.ClientURL
	if _, err := redirect.Compile(client, nil); err != nil {
		if client == "" {
			err = errors.New("is required")
		}
		m.add("ClientURL", "%w", err)
		client = "https://client.invalid" // to hear about the others all the same
	}
	if r.redirects, err = redirect.Compile(client, c.AllowedRedirectURLs); err != nil {
		m.add("AllowedRedirectURLs", "%w", err)
	}
	r.clientHost = origin(client).Hostname()
	m.secret("Secret", c.Secret)
	for i, s := range c.PreviousSecrets {
		field := fmt.Sprintf("PreviousSecrets[%d]", i)
		m.secret(field, s)
		same := func(other Secret) bool { return bytes.Equal(other, s) }
		if same(c.Secret) || slices.ContainsFunc(c.PreviousSecrets[:i], same) {
			m.add(field, "is the same as another secret")
		}
	}

	if c.Password != nil {
		p := *c.Password
		def(&p.MinLength, 8)
		def(&p.MaxLength, 128)
		m.within("Password.MinLength", p.MinLength, 1, p.MaxLength)
		m.within("Password.MaxLength", p.MaxLength, 64, 1024)
		def(&p.Argon2.MemoryKiB, 19*1024)
		def(&p.Argon2.Time, 2)
		def(&p.Argon2.Threads, 1)
		params := passhash.Params{MemoryKiB: p.Argon2.MemoryKiB, Time: p.Argon2.Time, Threads: p.Argon2.Threads}
		if err := params.Validate(); err != nil {
			m.add("Password.Argon2", "%w", err)
		}
		def(&p.ChangeWithin, 10*time.Minute)
		m.duration("Password.ChangeWithin", p.ChangeWithin, time.Second, 24*time.Hour)
		m.atLeast("Password.MaxHashes", p.MaxHashes, 0)
		m.atLeast("Password.MaxWaiting", p.MaxWaiting, 0)
		c.Password = &p
	}

	for _, t := range []struct {
		field string
		life  *time.Duration
		usual time.Duration
		most  time.Duration
	}{
		{"VerifyEmail", &c.Tickets.VerifyEmail, 7 * 24 * time.Hour, 30 * 24 * time.Hour},
		{"MagicLink", &c.Tickets.MagicLink, time.Hour, 24 * time.Hour},
		{"PasswordReset", &c.Tickets.PasswordReset, time.Hour, 24 * time.Hour},
		{"EmailChange", &c.Tickets.EmailChange, time.Hour, 24 * time.Hour},
		{"EmailOTP", &c.Tickets.EmailOTP, 10 * time.Minute, time.Hour},
		{"MFA", &c.Tickets.MFA, 5 * time.Minute, time.Hour},
		{"Code", &c.Tickets.Code, 5 * time.Minute, 10 * time.Minute},
		{"ProviderState", &c.Tickets.ProviderState, 10 * time.Minute, time.Hour},
	} {
		def(t.life, t.usual)
		m.duration("Tickets."+t.field, *t.life, time.Minute, t.most)
	}
	c.Providers, c.IDTokens = maps.Clone(c.Providers), maps.Clone(c.IDTokens)
	for name, p := range c.Providers {
		m.provider("Providers", name, p == nil)
	}
	for name, v := range c.IDTokens {
		m.provider("IDTokens", name, v == nil)
	}
	if c.PAT != nil {
		o := *c.PAT
		def(&o.MaxLifetime, 366*24*time.Hour)
		def(&o.MaxPerUser, 50)
		m.duration("PAT.MaxLifetime", o.MaxLifetime, time.Minute, 10*366*24*time.Hour)
		m.within("PAT.MaxPerUser", o.MaxPerUser, 1, 1000)
		c.PAT = &o
	}
	if c.MFA != nil {
		o := *c.MFA
		def(&o.Issuer, "auth")
		def(&o.Policy, MFAAlways)
		if len(o.Issuer) > 64 || strings.ContainsFunc(o.Issuer, unicode.IsControl) {
			m.add("MFA.Issuer", "must be at most 64 bytes, without control characters")
		}
		m.oneOf("MFA.Policy", string(o.Policy), string(MFAAlways), string(MFAPasswords))
		c.MFA = &o
	}
	if c.SMS != nil {
		o := *c.SMS
		if (o.Sender == nil) == (o.Verifier == nil) {
			m.add("SMS", "needs either a Sender or a Verifier")
		}
		if o.Verifier != nil {
			def(&c.Tickets.SMSOTP, 10*time.Minute)
		}
		if o.ParsePhone == nil {
			o.ParsePhone = phone.Parse
		}
		def(&o.Tries, 5)
		m.within("SMS.Tries", o.Tries, 1, 10)
		c.SMS = &o
	}
	def(&c.Tickets.SMSOTP, 5*time.Minute)
	m.duration("Tickets.SMSOTP", c.Tickets.SMSOTP, time.Minute, time.Hour)
	if c.EmailOTP != nil {
		o := *c.EmailOTP
		def(&o.Tries, 5)
		m.within("EmailOTP.Tries", o.Tries, 1, 10)
		c.EmailOTP = &o
	}
	if c.WebAuthn != nil {
		w := *c.WebAuthn
		def(&c.Tickets.WebAuthn, w.Timeout)
		r.passkeys = w.withDefaults(&m, client)
		r.createExtensions = m.extensions("WebAuthn.CreateExtensions", &w.CreateExtensions)
		r.getExtensions = m.extensions("WebAuthn.GetExtensions", &w.GetExtensions)
		if c.Tickets.WebAuthn != 0 && c.Tickets.WebAuthn < w.Timeout {
			m.add("Tickets.WebAuthn", "is %v, and WebAuthn.Timeout %v: a client would wait for nothing", c.Tickets.WebAuthn, w.Timeout)
		}
		c.WebAuthn = &w
	}
	def(&c.Tickets.WebAuthn, 5*time.Minute)
	m.duration("Tickets.WebAuthn", c.Tickets.WebAuthn, time.Second, time.Hour)
	def(&c.Elevation.Mode, ElevationDisabled)
	m.oneOf("Elevation.Mode", string(c.Elevation.Mode), string(ElevationDisabled), string(ElevationRecommended), string(ElevationRequired))
	if c.Elevation.Methods == nil {
		c.Elevation.Methods = []ElevationMethod{ElevateByWebAuthn, ElevateByTOTP}
	}
	for i, method := range c.Elevation.Methods {
		if !slices.Contains(elevationMethods, method) {
			m.add(fmt.Sprintf("Elevation.Methods[%d]", i), "there is no way to step up called %q", method)
		}
	}
	c.Elevation.Methods = slices.Clone(c.Elevation.Methods)
	def(&c.Elevation.UserVerification, UserVerificationRequired)
	m.userVerification("Elevation.UserVerification", c.Elevation.UserVerification)
	m.atLeast("Elevation.FirstKeyWithin", int(c.Elevation.FirstKeyWithin), 0)

	if c.Anonymous != nil && c.Anonymous.MaxIdle != 0 {
		m.duration("Anonymous.MaxIdle", c.Anonymous.MaxIdle, time.Hour, 10*365*24*time.Hour)
	}

	if c.Captcha != nil {
		o := *c.Captcha
		if o.Verifier == nil {
			m.add("Captcha.Verifier", "is required")
		}
		c.Captcha = &o
	}
	def(&c.SignUp.MaxMetadata, 16<<10)
	m.within("SignUp.MaxMetadata", c.SignUp.MaxMetadata, 1, 1<<20)

	if c.Mail == nil && !c.Email.AllowUnverified {
		m.add("Mail", "is required because addresses are verified; set it, or set Email.AllowUnverified")
	}
	if c.Mail == nil && c.Email.AllowUnverified && (c.MagicLink != nil || c.EmailOTP != nil) {
		m.add("Mail", "is required by MagicLink and EmailOTP")
	}
	m.acl("Email.AllowedAddresses", c.Email.AllowedAddresses, nil, nil, nil)
	m.acl("Email.AllowedDomains", nil, c.Email.AllowedDomains, nil, nil)
	m.acl("Email.BlockedAddresses", nil, nil, c.Email.BlockedAddresses, nil)
	m.acl("Email.BlockedDomains", nil, nil, nil, c.Email.BlockedDomains)
	r.acl, _ = emailaddr.CompileACL(c.Email.AllowedAddresses, c.Email.AllowedDomains, c.Email.BlockedAddresses, c.Email.BlockedDomains)

	def(&c.Roles.Default, "user")
	if c.Roles.Allowed == nil {
		c.Roles.Allowed = []string{"me"}
	}
	m.each("Roles", c.Roles.Default, c.Roles.Allowed, isRole, "is empty or has blanks")
	c.Roles.Allowed = with(c.Roles.Allowed, c.Roles.Default)
	def(&c.Locales.Default, "en")
	m.each("Locales", c.Locales.Default, c.Locales.Allowed, isLocale, "is not two or three lower-case letters")
	if r.texts, err = compileTemplates(c.Locales.Default, c.Templates); err != nil {
		m.add("Templates", "%w", err)
	}
	c.Locales.Allowed = with(c.Locales.Allowed, c.Locales.Default)
	if c.Gravatar != nil {
		g := *c.Gravatar
		def(&g.Default, "blank")
		def(&g.Rating, "g")
		m.oneOf("Gravatar.Default", g.Default, "blank", "identicon", "monsterid", "wavatar", "retro", "robohash", "mp", "404")
		m.oneOf("Gravatar.Rating", g.Rating, "g", "pg", "r", "x")
		c.Gravatar = &g
	}

	def(&c.Sessions.Idle, 30*24*time.Hour)
	if c.Sessions.Absolute == 0 {
		c.Sessions.Absolute = max(180*24*time.Hour, c.Sessions.Idle)
	}
	def(&c.Sessions.Grace, 10*time.Second)
	def(&c.Sessions.MaxPerUser, 100)
	m.duration("Sessions.Idle", c.Sessions.Idle, time.Second, 10*365*24*time.Hour)
	m.duration("Sessions.Absolute", c.Sessions.Absolute, c.Sessions.Idle, 10*365*24*time.Hour)
	m.duration("Sessions.Grace", c.Sessions.Grace, time.Millisecond, time.Minute)
	m.atLeast("Sessions.MaxPerUser", c.Sessions.MaxPerUser, 1)

	a := &c.AccessTokens
	def(&a.Lifetime, 15*time.Minute)
	m.duration("AccessTokens.Lifetime", a.Lifetime, time.Second, 24*time.Hour)
	def(&a.Issuer, "hasura-auth")
	def(&a.ClaimsNamespace, "https://hasura.io/jwt/claims")
	if slices.Contains(a.Audience, "") {
		m.add("AccessTokens.Audience", "has an empty entry")
	}
	if slices.Contains(registeredClaims, a.ClaimsNamespace) {
		m.add("AccessTokens.ClaimsNamespace", "%q is a registered claim", a.ClaimsNamespace)
	}
	if a.Rotate != nil {
		rotate := *a.Rotate
		rotate.withDefaults(&m)
		a.Rotate = &rotate
	}
	if r.claims, err = compileClaims(a.CustomClaims, a.CustomClaimsDefaults); err != nil {
		m.add("AccessTokens.CustomClaims", "%w", err)
	}

	if c.Now == nil {
		c.Now = time.Now
	}
	c.AdminSecret = slices.Clone(c.AdminSecret)
	c.Limits.withDefaults(&m)
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

var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// provider checks one entry of a map of providers.
func (m *mistakes) provider(field, name string, missing bool) {
	switch {
	case !providerName.MatchString(name):
		m.add(field, "%q is not a name: at most 32 of a to z, 0 to 9, - and _, and neither of the last two first", name)
	case missing:
		m.add(fmt.Sprintf("%s[%q]", field, name), "is nil")
	}
}

func isWebOrigin(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// origin is the origin of a page, in the one spelling that browsers use.
func origin(page string) *url.URL {
	rules, err := redirect.Compile(page, nil)
	if err != nil {
		return &url.URL{} // has been reported
	}
	u, err := url.Parse(rules.Default().String())
	if err != nil {
		return &url.URL{}
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return &url.URL{Scheme: u.Scheme, Host: host}
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

// algorithms are the COSE algorithms of the keys that can be added, the most wanted first.
var algorithms = []int64{-7, -35, -36, -257, -258, -259, -37, -38, -39, -8}

// withDefaults completes w and compiles it. client is the checked ClientURL.
func (w *WebAuthnConfig) withDefaults(m *mistakes, client string) *ceremony.RelyingParty {
	page := origin(client)
	def(&w.RPID, page.Hostname())
	def(&w.RPName, w.RPID)
	w.Origins = with(w.Origins, page.String())
	def(&w.Timeout, time.Minute)
	m.duration("WebAuthn.Timeout", w.Timeout, time.Second, time.Hour)
	def(&w.UserVerification, UserVerificationPreferred)
	m.userVerification("WebAuthn.UserVerification", w.UserVerification)
	def(&w.ResidentKey, "preferred")
	m.oneOf("WebAuthn.ResidentKey", w.ResidentKey, "preferred", "required", "discouraged")
	if w.Attachment != "" {
		m.oneOf("WebAuthn.Attachment", w.Attachment, "platform", "cross-platform")
	}
	def(&w.Attestation, "none")
	m.oneOf("WebAuthn.Attestation", w.Attestation, "none", "indirect", "direct", "enterprise")
	if w.Metadata != nil && (w.Attestation == "none" || w.Attestation == "indirect") {
		m.add("WebAuthn.Metadata", "needs Attestation \"direct\" or \"enterprise\"")
	}
	if w.CreateExtensions == nil {
		w.CreateExtensions = map[string]any{"credProps": true}
	}
	w.Hints, w.AllowedAAGUIDs, w.DeniedAAGUIDs = slices.Clone(w.Hints), slices.Clone(w.AllowedAAGUIDs), slices.Clone(w.DeniedAAGUIDs)
	def(&w.MaxPerUser, 50)
	m.within("WebAuthn.MaxPerUser", w.MaxPerUser, 1, 1000)
	before := len(*m)
	if err := ceremony.CheckID(w.RPID); err != nil {
		m.add("WebAuthn.RPID", "%q: %w", w.RPID, err)
	}
	for i, o := range w.Origins {
		if err := ceremony.CheckOrigin(o); err != nil {
			m.add(fmt.Sprintf("WebAuthn.Origins[%d]", i), "%q %w", o, err)
		}
	}
	for i, o := range w.TopOrigins {
		if err := ceremony.CheckOrigin(o); err != nil || !isWebOrigin(o) {
			m.add(fmt.Sprintf("WebAuthn.TopOrigins[%d]", i), "%q is not the origin of a page", o)
		}
	}
	if len(*m) > before {
		return nil
	}
	rp, err := ceremony.New(ceremony.Config{
		ID: w.RPID, Name: w.RPName, Origins: w.Origins, TopOrigins: w.TopOrigins,
		Algorithms: algorithms, Metadata: w.Metadata, KeepAttestation: w.Attestation != "none",
	})
	if err != nil {
		m.add("WebAuthn", "%w", err)
	}
	return rp
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
	u, err := url.Parse(s)
	switch {
	case s == "":
		m.add(field, "is required")
		return
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		m.add(field, "is not an absolute http or https URL")
		return
	case u.User != nil || strings.ContainsAny(s, "?#"):
		m.add(field, "must have neither user, query nor fragment")
		return
	}
	if _, err := redirect.Compile(s, nil); err != nil {
		m.add(field, "%w", errors.Unwrap(err))
	}
}

func (m *mistakes) secret(field string, s Secret) {
	if len(s) < 32 {
		m.add(field, "has %d bytes; at least 32 random ones are needed", len(s))
	}
}

// acl checks one of the access lists by itself, so that a mistake in it has its name.
func (m *mistakes) acl(field string, allowed, allowedDomains, blocked, blockedDomains []string) {
	if _, err := emailaddr.CompileACL(allowed, allowedDomains, blocked, blockedDomains); err != nil {
		m.add(field, "%w", err)
	}
}

// each checks the default and every entry of a list.
func (m *mistakes) each(section, first string, list []string, ok func(string) bool, wrong string) {
	if !ok(first) {
		m.add(section+".Default", "%q %s", first, wrong)
	}
	for i, v := range list {
		if !ok(v) {
			m.add(fmt.Sprintf("%s.Allowed[%d]", section, i), "%q %s", v, wrong)
		}
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

// extensions takes client extension inputs out of the hands of who configures them.
func (m *mistakes) extensions(field string, inputs *map[string]any) extensions {
	text, err := json.Marshal(*inputs)
	if err != nil {
		m.add(field, "%w", err)
	}
	*inputs = maps.Clone(*inputs)
	return text
}

func (m *mistakes) userVerification(field string, v UserVerification) {
	m.oneOf(field, string(v), string(UserVerificationRequired), string(UserVerificationPreferred), string(UserVerificationDiscouraged))
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

func isRole(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func isLocale(s string) bool {
	return (len(s) == 2 || len(s) == 3) && !strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' })
}
