package httpadapter

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/limit"
)

// setHeaders sets what every response says: keep it nowhere, do not guess its type, and tell nobody the URL that led to
// it, in which a ticket may stand. Nobody may show it in a frame, and what it answers is no page that could load anything
// (OWASP ASVS 5.0 3.4.6); the one page there is has a policy of its own.
func setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// okBody is the body of routes that have nothing else to say.
const okBody = "OK"

// reply answers with 200 and v as JSON.
func reply(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	write(w, http.StatusOK, body)
	return nil
}

// write sends a JSON text and the line end after it.
func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // who does not read any more cannot be told
}

// cacheable answers with a public document that may be kept for maxAge, or with 304 if the client has it already.
func cacheable(w http.ResponseWriter, r *http.Request, contentType string, maxAge time.Duration, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	header := w.Header()
	header.Del("RateLimit") // which is one client's, and a cache shows the answer to all
	header.Del("RateLimit-Policy")
	header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	header.Set("ETag", tag)
	for list := range strings.SplitSeq(strings.Join(r.Header["If-None-Match"], ","), ",") {
		// Weak comparison (RFC 9110 §13.1.2).
		if t := strings.TrimPrefix(strings.TrimSpace(list), "W/"); t == tag || t == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// failure is a failure with a status of its own: one that the adapter finds, or whose code has another status
// elsewhere.
type failure struct {
	status  int
	code    auth.Code
	message string
	cause   error // for the log, or nil
}

func (f *failure) Error() string { return string(f.code) + ": " + f.message }

var (
	errRouteNotFound    = &failure{http.StatusNotFound, auth.CodeRouteNotFound, "Route not found", nil}
	errMethodNotAllowed = &failure{http.StatusMethodNotAllowed, auth.CodeMethodNotAllowed, "Method not allowed", nil}
	errNoBody           = &failure{http.StatusBadRequest, auth.CodeInvalidRequest, "the body is required", nil}
	errTooLarge         = &failure{http.StatusRequestEntityTooLarge, auth.CodeInvalidRequest, "the body is too large", nil}
	errNotJSON          = &failure{http.StatusUnsupportedMediaType, auth.CodeInvalidRequest, "Content-Type must be application/json", nil}
	errNotForm          = &failure{http.StatusUnsupportedMediaType, auth.CodeInvalidRequest, "Content-Type must be application/x-www-form-urlencoded", nil}
	errEncoded          = &failure{http.StatusUnsupportedMediaType, auth.CodeInvalidRequest, "Content-Encoding is not supported", nil}
	errRoleNotAllowed   = &failure{http.StatusForbidden, auth.CodeRoleNotAllowed, auth.ErrRoleNotAllowed.Message, nil}
	errCrossOrigin      = &failure{http.StatusForbidden, auth.CodeInvalidRequest, "cross-origin request refused", nil}
)

// invalid is a refused request. The message is sent, so it must not repeat what the client sent.
func invalid(message string) error {
	return &auth.Error{Code: auth.CodeInvalidRequest, Message: message}
}

// statuses are the documented statuses of the codes; 400 where none stands here.
var statuses = map[auth.Code]int{
	auth.CodeDisabledEndpoint:     http.StatusConflict,
	auth.CodeDisabledMFATOTP:      http.StatusUnauthorized,
	auth.CodeDisabledUser:         http.StatusUnauthorized,
	auth.CodeEmailAlreadyInUse:    http.StatusConflict,
	auth.CodeForbiddenAnonymous:   http.StatusForbidden,
	auth.CodeInternal:             http.StatusInternalServerError,
	auth.CodeInvalidEmailPassword: http.StatusUnauthorized,
	auth.CodeInvalidPAT:           http.StatusUnauthorized,
	auth.CodeInvalidRefreshToken:  http.StatusUnauthorized,
	auth.CodeInvalidTicket:        http.StatusUnauthorized,
	auth.CodeInvalidTOTP:          http.StatusUnauthorized,
	auth.CodeSignUpDisabled:       http.StatusForbidden,
	auth.CodeUnverifiedUser:       http.StatusUnauthorized,

	auth.CodeCaptchaFailed:     http.StatusForbidden,
	auth.CodeElevationRequired: http.StatusForbidden,
	auth.CodeMethodNotAllowed:  http.StatusMethodNotAllowed,
	auth.CodeRouteNotFound:     http.StatusNotFound,
	auth.CodeTooManyRequests:   http.StatusTooManyRequests,
	auth.CodeUnauthenticated:   http.StatusUnauthorized,
}

// passing are the causes of failures that pass: there was no time, or nothing that could count.
var passing = []error{context.DeadlineExceeded, context.Canceled, limit.ErrUnavailable}

// failureOf says how an error is answered.
func failureOf(err error) failure {
	var own *failure
	if errors.As(err, &own) {
		return *own
	}
	var known *auth.Error
	if !errors.As(err, &known) {
		known = auth.ErrInternal
	}
	f := failure{http.StatusBadRequest, known.Code, known.Message, err}
	if status, listed := statuses[known.Code]; listed {
		f.status = status
	}
	if f.status == http.StatusInternalServerError && slices.ContainsFunc(passing, func(cause error) bool { return errors.Is(err, cause) }) {
		f.status = http.StatusServiceUnavailable
	}
	return f
}

// setRateLimit tells a client of a budget of its own, or that refuses it
// (draft-ietf-httpapi-ratelimit-headers-10). A decision about none sets nothing.
func setRateLimit(h http.Header, d limit.Decision) {
	if d.Bucket == "" {
		return
	}
	var text [96]byte
	b := append(text[:0], '"')
	b = append(append(b, d.Bucket...), '"')
	name := len(b)
	b = strconv.AppendInt(append(b, ";q="...), int64(d.Rate.Burst), 10)
	b = strconv.AppendInt(append(b, ";w="...), limit.Seconds(d.Rate.Per), 10)
	h["Ratelimit-Policy"] = []string{string(b)}
	next := d.Reset
	if !d.Allowed {
		next = d.RetryAfter
	}
	b = strconv.AppendInt(append(b[:name], ";r="...), int64(d.Remaining), 10)
	b = strconv.AppendInt(append(b, ";t="...), limit.Seconds(next), 10)
	h["Ratelimit"] = []string{string(b)}
}

// retryAfter is when to come back after a 429, in seconds. The one limit that does not say so is that on concurrent password
// hashes, and a hash takes a fraction of a second.
func retryAfter(err error) string {
	var known *auth.Error
	if errors.As(err, &known) && known.RetryAfter > 0 {
		return strconv.FormatInt(limit.Seconds(known.RetryAfter), 10)
	}
	return "1"
}

// fail answers with the error body.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failureOf(err)
	header := w.Header()
	setHeaders(header)
	switch {
	case f.status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", challenge(r, f.code))
	case f.code == auth.CodeElevationRequired:
		header.Set("WWW-Authenticate", stepUpChallenge(err, f.message))
	case f.status == http.StatusTooManyRequests:
		header.Set("Retry-After", retryAfter(err))
		if known := (*auth.Error)(nil); errors.As(err, &known) {
			setRateLimit(header, known.Limit)
		}
	case f.status >= http.StatusInternalServerError:
		h.logFailure(r, f)
	}
	body, err := json.Marshal(struct {
		Status  int       `json:"status"`
		Error   auth.Code `json:"error"`
		Message string    `json:"message"`
	}{f.status, f.code, f.message})
	if err != nil {
		panic(err) // two strings and a number
	}
	write(w, f.status, body)
}

// challenge is the WWW-Authenticate header of a 401 (RFC 9110 §15.5.2). A request that came without a bearer token is
// told no more than that one is wanted (RFC 6750 §3.1).
func challenge(r *http.Request, code auth.Code) string {
	if code == auth.CodeUnauthenticated {
		for _, value := range r.Header["Authorization"] {
			if scheme, _, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Bearer") {
				return `Bearer error="invalid_token"`
			}
		}
	}
	return "Bearer"
}

// logFailure tells the operator of a failure that is not the client's. A client who hung up is none.
func (h *Handler) logFailure(r *http.Request, f failure) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	h.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
		slog.String("method", r.Method),
		slog.String("route", r.Pattern),
		slog.Int("status", f.status),
		slog.Any("error", f.cause),
	)
}
