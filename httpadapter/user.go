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

func (h *Handler) exportUser(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	data, err := h.engine.ExportAccount(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, data)
}

func (h *Handler) deleteUser(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	if err := h.engine.DeleteAccount(r.Context(), principal); err != nil {
		return err
	}
	if h.cookies != nil {
		h.cookies.forget(w)
	}
	return reply(w, okBody)
}
