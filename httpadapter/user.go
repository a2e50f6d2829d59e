package httpadapter

import "net/http"

func (h *Handler) user(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	user, err := h.engine.User(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, user)
}
