package auth

import (
	"errors"
	"log/slog"
	"time"

	"github.com/ostiary/auth/limit"
)

// Code is the machine-readable name of a failure, as the documented API sends it in the member "error".
type Code string

// The codes of the documented API, and after them the six that this library adds where the documented server answered
// with an empty or differently shaped body.
const (
	CodeCannotSendSMS            Code = "cannot-send-sms"
	CodeDefaultRoleNotAllowed    Code = "default-role-must-be-in-allowed-roles"
	CodeDisabledEndpoint         Code = "disabled-endpoint"
	CodeDisabledMFATOTP          Code = "disabled-mfa-totp"
	CodeDisabledUser             Code = "disabled-user"
	CodeEmailAlreadyInUse        Code = "email-already-in-use"
	CodeEmailAlreadyVerified     Code = "email-already-verified"
	CodeForbiddenAnonymous       Code = "forbidden-anonymous"
	CodeInternal                 Code = "internal-server-error"
	CodeInvalidEmailPassword     Code = "invalid-email-password"
	CodeInvalidOTP               Code = "invalid-otp"
	CodeInvalidPAT               Code = "invalid-pat"
	CodeInvalidRefreshToken      Code = "invalid-refresh-token"
	CodeInvalidRequest           Code = "invalid-request"
	CodeInvalidState             Code = "invalid-state"
	CodeInvalidTicket            Code = "invalid-ticket"
	CodeInvalidTOTP              Code = "invalid-totp"
	CodeLocaleNotAllowed         Code = "locale-not-allowed"
	CodeMFATypeNotFound          Code = "mfa-type-not-found"
	CodeNoTOTPSecret             Code = "no-totp-secret"
	CodeOAuthProfileFetchFailed  Code = "oauth-profile-fetch-failed"
	CodeOAuthProviderError       Code = "oauth-provider-error"
	CodeOAuthTokenExchangeFailed Code = "oauth-token-echange-failed" // spelt so on the wire
	CodePasswordBreached         Code = "password-in-hibp-database"
	CodePasswordTooShort         Code = "password-too-short"
	CodeProviderAccountLinked    Code = "provider-account-already-linked"
	CodeRedirectNotAllowed       Code = "redirectTo-not-allowed"
	CodeRoleNotAllowed           Code = "role-not-allowed"
	CodeSignUpDisabled           Code = "signup-disabled"
	CodeTOTPAlreadyActive        Code = "totp-already-active"
	CodeUnverifiedUser           Code = "unverified-user"
	CodeUserNotAnonymous         Code = "user-not-anonymous"

	CodeCaptchaFailed     Code = "captcha-failed"
	CodeElevationRequired Code = "elevated-claim-required"
	CodeMethodNotAllowed  Code = "method-not-allowed"
	CodeRouteNotFound     Code = "route-not-found"
	CodeTooManyRequests   Code = "too-many-requests"
	CodeUnauthenticated   Code = "unauthenticated-user"
)

// One sentinel for each code that an [Engine] returns; match with [errors.Is]. Every error of an Engine method is an
// [*Error]; where a context ended or the store failed it is [ErrInternal], and the cause can be matched as well.
var (
	ErrCannotSendSMS            = sentinel(CodeCannotSendSMS, "Cannot send SMS, check your phone number is correct")
	ErrDefaultRoleNotAllowed    = sentinel(CodeDefaultRoleNotAllowed, "Default role must be in allowed roles")
	ErrDisabledEndpoint         = sentinel(CodeDisabledEndpoint, "This endpoint is disabled")
	ErrDisabledMFATOTP          = concealable(CodeDisabledMFATOTP, "User does not have TOTP MFA enabled")
	ErrDisabledUser             = concealable(CodeDisabledUser, "User is disabled")
	ErrEmailAlreadyInUse        = concealable(CodeEmailAlreadyInUse, "Email already in use")
	ErrEmailAlreadyVerified     = concealable(CodeEmailAlreadyVerified, "User's email is already verified")
	ErrForbiddenAnonymous       = concealable(CodeForbiddenAnonymous, "Forbidden, user is anonymous.")
	ErrInternal                 = sentinel(CodeInternal, "Internal server error")
	ErrInvalidEmailPassword     = concealable(CodeInvalidEmailPassword, "Incorrect email or password")
	ErrInvalidOTP               = concealable(CodeInvalidOTP, "Invalid or expired OTP")
	ErrInvalidPAT               = concealable(CodeInvalidPAT, "Invalid or expired personal access token")
	ErrInvalidRefreshToken      = concealable(CodeInvalidRefreshToken, "Invalid or expired refresh token")
	ErrInvalidRequest           = sentinel(CodeInvalidRequest, "The request payload is incorrect")
	ErrInvalidState             = sentinel(CodeInvalidState, "Invalid state")
	ErrInvalidTicket            = concealable(CodeInvalidTicket, "Invalid ticket")
	ErrInvalidTOTP              = concealable(CodeInvalidTOTP, "Invalid TOTP code")
	ErrLocaleNotAllowed         = sentinel(CodeLocaleNotAllowed, "Locale not allowed")
	ErrMFATypeNotFound          = sentinel(CodeMFATypeNotFound, "MFA type not found")
	ErrNoTOTPSecret             = concealable(CodeNoTOTPSecret, "User does not have a TOTP secret")
	ErrOAuthProfileFetchFailed  = sentinel(CodeOAuthProfileFetchFailed, "Failed to get user profile")
	ErrOAuthProviderError       = sentinel(CodeOAuthProviderError, "Provider returned an error")
	ErrOAuthTokenExchangeFailed = sentinel(CodeOAuthTokenExchangeFailed, "Failed to exchange token")
	ErrPasswordBreached         = sentinel(CodePasswordBreached, "Password is in HIBP database")
	ErrPasswordTooShort         = sentinel(CodePasswordTooShort, "Password is too short")
	ErrProviderAccountLinked    = sentinel(CodeProviderAccountLinked, "This provider account is already linked to a user")
	ErrRedirectNotAllowed       = sentinel(CodeRedirectNotAllowed, `The value of "options.redirectTo" is not allowed.`)
	ErrRoleNotAllowed           = concealable(CodeRoleNotAllowed, "Role not allowed")
	ErrSignUpDisabled           = concealable(CodeSignUpDisabled, "Sign up is disabled.")
	ErrTOTPAlreadyActive        = sentinel(CodeTOTPAlreadyActive, "TOTP MFA is already active")
	ErrUnverifiedUser           = concealable(CodeUnverifiedUser, "User is not verified.")
	ErrUserNotAnonymous         = sentinel(CodeUserNotAnonymous, "Logged in user is not anonymous")

	ErrCaptchaFailed     = sentinel(CodeCaptchaFailed, "The captcha was not passed")
	ErrElevationRequired = sentinel(CodeElevationRequired, "Elevated claim is required")
	ErrNotFound          = sentinel(CodeRouteNotFound, "Not found")
	ErrTooManyRequests   = sentinel(CodeTooManyRequests, "Too many requests")
	ErrUnauthenticated   = sentinel(CodeUnauthenticated, "User is not logged in")
)

// Error is a failure that may be told to the client: Code and Message are safe to send. What caused it is for the
// operator's log alone; see [Error.LogValue].
type Error struct {
	Code    Code
	Message string

	// RetryAfter is how long to wait before the same is worth another try; zero where nobody knows.
	RetryAfter time.Duration
	// Limit is the budget that was exceeded, with [ErrTooManyRequests]; zero where it was none of [LimitsConfig].
	Limit limit.Decision

	conceal bool  // becomes invalid-request where Config.ConcealErrors is set
	cause   error // nil, or what went wrong underneath
}

func sentinel(c Code, message string) *Error { return &Error{Code: c, Message: message} }

func concealable(c Code, message string) *Error {
	return &Error{Code: c, Message: message, conceal: true}
}

// Error returns the code, the message and, for the operator, the cause.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Is reports whether target is an *Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the cause. Nothing matches that of a concealed error: a caller who asks errors.Is learns no more from it
// than the client does.
func (e *Error) Unwrap() error { return e.cause }

// LogValue groups code and cause for the operator's log.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("code", string(e.Code)), slog.String("message", e.Message)}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// because returns e with the error that caused it.
func (e *Error) because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// saying returns e with a message of its own. The message must be safe to send.
func (e *Error) saying(message string) *Error {
	c := *e
	c.Message = message
	return &c
}

// limited returns e with the budget that was exceeded.
func (e *Error) limited(d limit.Decision) *Error {
	c := *e
	c.RetryAfter, c.Limit = d.RetryAfter, d
	return &c
}

// concealed is a cause that callers must not be able to match: it has a text, and nothing to unwrap.
type concealed struct{ error }

// settle turns the error that a method is about to return into the one that its caller gets: every error becomes an
// [*Error], and where errors are concealed, one that would tell something about an account becomes invalid-request.
// Every exported method that can fail defers it, by [Engine.begin].
func (e *Engine) settle(err *error) {
	if *err == nil {
		return
	}
	var known *Error
	if !errors.As(*err, &known) {
		*err = ErrInternal.because(*err)
		return
	}
	if e.config.ConcealErrors && known.conceal {
		*err = ErrInvalidRequest.because(concealed{known})
		return
	}
	*err = known
}
