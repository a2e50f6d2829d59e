package otelauth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/store"
)

// verdict is how a call ended.
type verdict struct {
	outcome string
	fault   string // error.type; empty where nothing is broken
}

// The outcomes that are no codes of errors.
const (
	outcomeOK       = "ok"
	outcomeCanceled = "canceled"
	outcomeOther    = "other"
	outcomeAsked    = "second-factor-asked"
	outcomeError    = "error"
)

// The values of error.type. The last is the one that the conventions have for all the rest.
const (
	faultTimeout = "timeout"
	faultPanic   = "panic"
	faultOther   = "_OTHER"
)

func (v verdict) attributes() []attribute.KeyValue {
	own := make([]attribute.KeyValue, 1, 3)
	own[0] = outcomeKey.String(v.outcome)
	if v.fault != "" {
		own = append(own, semconv.ErrorTypeKey.String(v.fault))
	}
	return own
}

// end ends a span with the verdict. The text of an error stays out of it.
func (v verdict) end(span trace.Span) {
	if span.IsRecording() {
		span.SetAttributes(v.attributes()...)
		if v.fault != "" {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}

// broken is the verdict on a call that failed for no reason that the caller is told.
func broken(ctx context.Context, err error, outcome string) verdict {
	switch {
	case errors.Is(err, auth.ErrPanic):
		return verdict{outcome, faultPanic}
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return verdict{outcome: outcomeCanceled}
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{outcome, faultTimeout}
	}
	return verdict{outcome, faultOther}
}

// onMethod is the verdict on a call of the engine.
func onMethod(ctx context.Context, err error) verdict {
	if err == nil {
		return verdict{outcome: outcomeOK}
	}
	var known *auth.Error
	if !errors.As(err, &known) || known.Code == auth.CodeInternal {
		return broken(ctx, err, string(auth.CodeInternal))
	}
	return verdict{outcome: outcomeOf(known.Code)}
}

// onStore is the verdict on a call of the store, in which the hook of a sign-up may have failed.
func onStore(ctx context.Context, err, refused error) verdict {
	switch {
	case err == nil:
		return verdict{outcome: outcomeOK}
	case refused != nil && errors.Is(err, refused):
		return verdict{outcome: "refused"}
	case errors.Is(err, store.ErrNotFound):
		return verdict{outcome: "not-found"}
	case errors.Is(err, store.ErrMismatch):
		return verdict{outcome: "mismatch"}
	case errors.As(err, new(store.ErrConflict)):
		return verdict{outcome: "conflict"}
	case errors.As(err, new(store.ErrUnmet)):
		return verdict{outcome: "unmet"}
	}
	return broken(ctx, err, outcomeError)
}

// outcomeOf is a code as a label. A hook may return any code: those that this package does not know are one.
func outcomeOf(c auth.Code) string {
	if c == "" {
		return outcomeOK
	}
	if _, known := slices.BinarySearch(knownCodes, c); known {
		return string(c)
	}
	return outcomeOther
}

// knownCodes are all codes of package auth, in order.
var knownCodes = slices.Sorted(slices.Values([]auth.Code{
	auth.CodeCannotSendSMS, auth.CodeDefaultRoleNotAllowed, auth.CodeDisabledEndpoint, auth.CodeDisabledMFATOTP,
	auth.CodeDisabledUser, auth.CodeEmailAlreadyInUse, auth.CodeEmailAlreadyVerified, auth.CodeForbiddenAnonymous,
	auth.CodeInternal, auth.CodeInvalidEmailPassword, auth.CodeInvalidOTP, auth.CodeInvalidPAT, auth.CodeInvalidRefreshToken,
	auth.CodeInvalidRequest, auth.CodeInvalidState, auth.CodeInvalidTicket, auth.CodeInvalidTOTP, auth.CodeLocaleNotAllowed,
	auth.CodeMFATypeNotFound, auth.CodeNoTOTPSecret, auth.CodeOAuthProfileFetchFailed, auth.CodeOAuthProviderError,
	auth.CodeOAuthTokenExchangeFailed, auth.CodePasswordBreached, auth.CodePasswordTooShort, auth.CodeProviderAccountLinked,
	auth.CodeRedirectNotAllowed, auth.CodeRoleNotAllowed, auth.CodeSignUpDisabled, auth.CodeTOTPAlreadyActive,
	auth.CodeUnverifiedUser, auth.CodeUserNotAnonymous, auth.CodeCaptchaFailed, auth.CodeElevationRequired,
	auth.CodeMethodNotAllowed, auth.CodeRouteNotFound, auth.CodeTooManyRequests, auth.CodeUnauthenticated,
}))

// name is s if it can be one that the engine or the configuration has given to something, and no id, address or token.
func name(s string) string {
	const most = 48
	own, provider, _ := strings.Cut(s, ":")
	if s == "" || len(s) > most || strings.Trim(own, "abcdefghijklmnopqrstuvwxyz-") != "" ||
		strings.Trim(provider, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return outcomeOther
	}
	return s
}
