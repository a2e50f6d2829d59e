package verify

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

type claimsKey struct{}

// FromContext returns the claims of the token of a request that has passed [Verifier.Require]. It is nil for others.
func FromContext(ctx context.Context) *Claims {
	c, _ := ctx.Value(claimsKey{}).(*Claims)
	return c
}

// Require lets requests with a good access token in their Authorization header (RFC 6750 §2.1) pass to next, and answers others
// with 401; with 503 where there is no telling for want of keys. The body is that of the engine's own routes.
func (v *Verifier) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r.Header)
		if !ok {
			refuse(w, http.StatusUnauthorized, "Bearer", `{"status":401,"error":"unauthenticated-user","message":"User is not logged in"}`)
			return
		}
		c, err := v.Verify(r.Context(), token)
		switch {
		case errors.Is(err, ErrInvalidToken):
			refuse(w, http.StatusUnauthorized, `Bearer error="invalid_token"`, `{"status":401,"error":"unauthenticated-user","message":"User is not logged in"}`)
		case err != nil:
			w.Header().Set("Retry-After", "10")
			refuse(w, http.StatusServiceUnavailable, "", `{"status":503,"error":"internal-server-error","message":"Internal server error"}`)
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, c)))
		}
	})
}

// bearer returns the one token of a request. Two are none: others might read the other.
func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}

func refuse(w http.ResponseWriter, status int, challenge, body string) {
	h := w.Header()
	if challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body + "\n"))
}
