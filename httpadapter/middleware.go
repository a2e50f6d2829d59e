package httpadapter

import (
	"context"
	"errors"
	"net/http"

	"github.com/ostiary/auth"
)

// identity is what the context of a request keeps: who makes it, and which handler found that out. Where a program has
// several realms, a user of one is nobody in another.
type identity struct {
	handler   *Handler
	principal *auth.Principal
}

type identityKey struct{}

// PrincipalFrom returns who makes the request whose context this is. It reports false unless the request has come
// through [Handler.RequireUser], [Handler.RequireRole] or [Handler.RequireElevation].
func PrincipalFrom(ctx context.Context) (*auth.Principal, bool) {
	id, found := ctx.Value(identityKey{}).(identity)
	return id.principal, found
}

// RequireUser is middleware for the service's own routes: next is called for requests of signed-in users, anonymous ones
// included, and finds in the request's context the principal ([PrincipalFrom]) and the client ([auth.WithClient]).
// Others get the error body with 401 unauthenticated-user and a challenge (RFC 6750 §3), or what
// [CookieOptions.SignedOut] answers.
//
// A user is signed in by the bearer token of the Authorization header and, in cookie mode, by cookies; see
// [CookieOptions] for the rules that then hold. In cookie mode responses say Cache-Control: no-store unless next says
// otherwise, because a shared cache cannot tell one user's page from another's.
func (h *Handler) RequireUser(next http.Handler) http.Handler {
	return h.require(next, func(context.Context, *auth.Principal) error { return nil })
}

// require is [Handler.RequireUser] for users who pass a check.
func (h *Handler) require(next http.Handler, check func(context.Context, *auth.Principal) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, found := r.Context().Value(identityKey{}).(identity)
		known := found && id.handler == h
		if !known {
			r = r.WithContext(h.withClient(r))
			id = identity{handler: h}
		}
		var err error
		if !h.attempt(w, r, func() error {
			ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
			defer cancel()
			if !known {
				id.principal, err = h.admit(w, r.WithContext(ctx))
			}
			if err == nil {
				err = check(ctx, id.principal)
			}
			return nil
		}) {
			return
		}
		switch {
		case err == nil:
		case h.cookies != nil && h.cookies.signedOut != nil && failureOf(err).status == http.StatusUnauthorized:
			h.cookies.signedOut.ServeHTTP(w, r)
			return
		default:
			h.fail(w, r, err)
			return
		}
		if known {
			next.ServeHTTP(w, r)
			return
		}
		if h.cookies != nil {
			w.Header().Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
	})
}

// admit says who makes a request to a route of the service's.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (*auth.Principal, error) {
	if err := h.cookies.check(r); err != nil {
		return nil, err
	}
	return h.principal(w, r)
}

// RequireRole is [Handler.RequireUser] for users who may take a role; see [auth.Engine.CheckRole]. Others get the error
// body with 403 role-not-allowed: the documented code for a role that is not one's own, with the status that HTTP has
// for someone who is known and not allowed (RFC 9110 §15.5.4).
func (h *Handler) RequireRole(role string) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return h.require(next, func(ctx context.Context, p *auth.Principal) error {
			err := h.engine.CheckRole(ctx, p, role)
			if errors.Is(err, auth.ErrRoleNotAllowed) {
				return errRoleNotAllowed
			}
			return err
		})
	}
}
