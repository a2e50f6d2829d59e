package httpadapter

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/auth"
)

func (h *Handler) elevationMethods(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	methods, err := h.engine.ElevationMethods(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, struct {
		Methods []auth.ElevationMethod `json:"methods"`
	}{methods})
}

// elevateWebAuthn begins a step-up. Older clients name the user, who is that of the bearer token in any case.
func (h *Handler) elevateWebAuthn(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Email string `json:"email"`
	}
	if err := h.decodeOptional(w, r, &body); err != nil {
		return err
	}
	elevation, err := h.engine.Elevate(r.Context(), principal, auth.ElevateParams{
		Method: auth.ElevateByWebAuthn, Email: body.Email,
	})
	if err != nil {
		return err
	}
	return reply(w, elevation.WebAuthn)
}

func (h *Handler) verifyElevateWebAuthn(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Credential json.RawMessage `json:"credential" strict:"required"`
		Email      string          `json:"email"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	return h.elevate(w, r, principal, auth.VerifyElevationParams{
		Method: auth.ElevateByWebAuthn, Email: body.Email, Credential: body.Credential,
	})
}

func (h *Handler) elevateByCode(w http.ResponseWriter, r *http.Request, m auth.ElevationMethod) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		OTP string `json:"otp" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	return h.elevate(w, r, principal, auth.VerifyElevationParams{Method: m, OTP: body.OTP})
}

func (h *Handler) elevatePassword(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Password string `json:"password" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	return h.elevate(w, r, principal, auth.VerifyElevationParams{Method: auth.ElevateByPassword, Password: body.Password})
}

func (h *Handler) sendElevationEmailOTP(w http.ResponseWriter, r *http.Request) error {
	return h.sendElevationCode(w, r, auth.ElevateByEmailOTP)
}

func (h *Handler) sendElevationSMSOTP(w http.ResponseWriter, r *http.Request) error {
	return h.sendElevationCode(w, r, auth.ElevateBySMSOTP)
}

func (h *Handler) sendElevationCode(w http.ResponseWriter, r *http.Request, m auth.ElevationMethod) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	if err := h.decodeOptional(w, r, &struct{}{}); err != nil {
		return err
	}
	if _, err := h.engine.Elevate(r.Context(), principal, auth.ElevateParams{Method: m}); err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) elevateEmailOTP(w http.ResponseWriter, r *http.Request) error {
	return h.elevateByCode(w, r, auth.ElevateByEmailOTP)
}

func (h *Handler) elevateSMSOTP(w http.ResponseWriter, r *http.Request) error {
	return h.elevateByCode(w, r, auth.ElevateBySMSOTP)
}

func (h *Handler) elevateTOTP(w http.ResponseWriter, r *http.Request) error {
	return h.elevateByCode(w, r, auth.ElevateByTOTP)
}

// elevate answers as a sign-in does. The session is the one that the request came with.
func (h *Handler) elevate(w http.ResponseWriter, r *http.Request, principal *auth.Principal, p auth.VerifyElevationParams) error {
	session, err := h.engine.VerifyElevation(r.Context(), principal, p)
	if err != nil {
		return err
	}
	return h.replySignIn(w, &auth.SignInResult{Session: session})
}

// RequireElevation is [Handler.RequireUser] for users who have stepped up, at most maxAge ago; with maxAge 0, at any time
// that their access token still vouches for. See [auth.Engine.CheckElevation], which does not depend on the mode of
// elevation: users who cannot step up are not let through.
//
// Others get the error body with 403 elevated-claim-required and a challenge that says max_age, in whole seconds, unless
// maxAge is 0 (RFC 9470 §3). The client then steps up, in one of the ways that GET /elevate names, and asks again with the
// access token that it got.
//
// RequireElevation panics if maxAge is negative.
func (h *Handler) RequireElevation(maxAge time.Duration) func(next http.Handler) http.Handler {
	if maxAge < 0 {
		panic("httpadapter: RequireElevation with a negative age")
	}
	return func(next http.Handler) http.Handler {
		return h.require(next, func(ctx context.Context, p *auth.Principal) error {
			err := h.engine.CheckElevation(ctx, p, maxAge)
			if errors.Is(err, auth.ErrElevationRequired) && maxAge > 0 {
				return &tooLongAgo{err, maxAge}
			}
			return err
		})
	}
}

// tooLongAgo is the lack of a step-up that is no older than maxAge.
type tooLongAgo struct {
	error
	maxAge time.Duration
}

func (e *tooLongAgo) Unwrap() error { return e.error }

// stepUpChallenge is the WWW-Authenticate header of a refusal for want of a step-up (RFC 9470 §3).
func stepUpChallenge(err error, message string) string {
	challenge := `Bearer error="insufficient_user_authentication", error_description="` + describable(message) + `"`
	if old := (*tooLongAgo)(nil); errors.As(err, &old) {
		challenge += `, max_age="` + strconv.FormatInt(int64(old.maxAge/time.Second), 10) + `"`
	}
	return challenge
}

// describable leaves of a message what can stand in error_description (RFC 6750 §3). A hook's may have more.
func describable(message string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c < ' ', c > '~', c == '\\':
			return '?'
		}
		return c
	}, message)
}
