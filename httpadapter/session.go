package httpadapter

import (
	"net/http"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/internal/strictjson"
)

// refresh answers with the bare session, as documented: it is not wrapped as those of a sign-in are.
func (h *Handler) refresh(w http.ResponseWriter, r *http.Request) error {
	if h.cookies != nil {
		var nothing struct{}
		if err := h.decodeOptional(w, r, &nothing); err != nil {
			return err
		}
		session, err := h.refreshCookies(w, r)
		if err != nil {
			return err
		}
		return reply(w, h.withoutTokens(w, session))
	}
	var body struct {
		RefreshToken string `json:"refreshToken" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	session, err := h.engine.Refresh(r.Context(), auth.RefreshParams(body))
	if err != nil {
		return err
	}
	return reply(w, session)
}

// verifyToken looks at every token that a request presents, the bearer first, and all must be good: the answer never
// vouches for a bad one because another was good.
func (h *Handler) verifyToken(w http.ResponseWriter, r *http.Request) error {
	presented := len(r.Header["Authorization"]) > 0
	if presented {
		if _, err := h.principal(w, r); err != nil {
			return err
		}
	}
	var body struct {
		Token *string `json:"token"`
	}
	if err := h.decodeOptional(w, r, &body); err != nil {
		return err
	}
	switch {
	case body.Token != nil:
		if err := h.engine.VerifyToken(r.Context(), auth.VerifyTokenParams{Token: *body.Token}); err != nil {
			return err
		}
	case !presented:
		if _, err := h.principal(w, r); err != nil {
			return err
		}
	}
	return reply(w, okBody)
}

// signOutBody is the one body in which unknown members are no error: documented clients send some.
type signOutBody struct {
	RefreshToken string `json:"refreshToken"`
	All          bool   `json:"all"`
	PATs         bool   `json:"personalAccessTokens"`
}

// signOut reads the bearer token only to sign out everywhere; to end one session its refresh token is enough, however
// old the access token.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	body, err := h.decodeSignOut(w, r)
	if err != nil {
		return err
	}
	p := auth.SignOutParams(body)
	var principal *auth.Principal
	if p.All {
		if principal, err = h.principal(w, r); err != nil {
			return err
		}
	}
	if h.cookies != nil {
		p.RefreshToken = get(r, h.cookies.refresh)
	}
	// Whoever has no cookie is signed out already.
	if h.cookies == nil || p.All || p.RefreshToken != "" {
		if err := h.engine.SignOut(r.Context(), principal, p); err != nil {
			return err
		}
	}
	if h.cookies != nil {
		h.cookies.forget(w)
	}
	return reply(w, okBody)
}

func (h *Handler) decodeSignOut(w http.ResponseWriter, r *http.Request) (body signOutBody, err error) {
	text, err := h.body(w, r)
	switch {
	case err != nil:
		return body, err
	case len(text) == 0 && h.cookies != nil:
		return body, nil
	case len(text) == 0:
		return body, errNoBody
	}
	known := []byte{'{'}
	err = strictjson.Members(text, func(name, value []byte) error {
		switch string(name) {
		case "refreshToken", "all", "personalAccessTokens":
			if len(known) > 1 {
				known = append(known, ',')
			}
			known = append(known, '"')
			known = append(known, name...)
			known = append(known, '"', ':')
			known = append(known, value...)
		}
		return nil
	})
	if err != nil {
		return body, refused(err)
	}
	return body, refused(h.limits.Decode(append(known, '}'), &body))
}

func (h *Handler) listSessions(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	sessions, err := h.engine.ListSessions(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, struct {
		Sessions []auth.SessionDetails `json:"sessions"`
	}{sessions})
}

func (h *Handler) revokeSession(w http.ResponseWriter, r *http.Request) error {
	principal, id, err := h.owner(w, r)
	if err != nil {
		return err
	}
	if err := h.engine.RevokeSession(r.Context(), principal, id); err != nil {
		return err
	}
	if h.cookies != nil && id == principal.SessionID {
		h.cookies.forget(w)
	}
	return reply(w, okBody)
}
