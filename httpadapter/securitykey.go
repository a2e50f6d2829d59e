package httpadapter

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
)

func (h *Handler) addSecurityKey(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var nothing struct{}
	if err := h.decodeOptional(w, r, &nothing); err != nil {
		return err
	}
	options, err := h.engine.AddSecurityKey(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, options)
}

// verifyAddSecurityKey answers with no more of the key than is documented; the rest is in the list of keys.
func (h *Handler) verifyAddSecurityKey(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Credential json.RawMessage `json:"credential" strict:"required"`
		Nickname   string          `json:"nickname"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	key, err := h.engine.VerifyAddSecurityKey(r.Context(), principal, auth.VerifyAddSecurityKeyParams(body))
	if err != nil {
		return err
	}
	return reply(w, struct {
		ID       uuid.UUID `json:"id"`
		Nickname string    `json:"nickname,omitempty"`
	}{key.ID, key.Nickname})
}

func (h *Handler) listSecurityKeys(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	keys, err := h.engine.ListSecurityKeys(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, keys)
}

func (h *Handler) renameSecurityKey(w http.ResponseWriter, r *http.Request) error {
	principal, id, err := h.owner(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Nickname string `json:"nickname" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	keys, err := h.engine.RenameSecurityKey(r.Context(), principal, auth.RenameSecurityKeyParams{
		ID: id, Nickname: body.Nickname,
	})
	if err != nil {
		return err
	}
	return reply(w, keys)
}

func (h *Handler) removeSecurityKey(w http.ResponseWriter, r *http.Request) error {
	principal, id, err := h.owner(w, r)
	if err != nil {
		return err
	}
	signOutOthers, err := flag(r.URL.RawQuery, "signOutOthers")
	if err != nil {
		return err
	}
	keys, err := h.engine.RemoveSecurityKey(r.Context(), principal, auth.RemoveSecurityKeyParams{
		ID: id, SignOutOthers: signOutOthers,
	})
	if err != nil {
		return err
	}
	return reply(w, keys)
}

// flag returns the value of a query parameter that is true or false, and false if it is not given. Nothing else is taken
// for one of them: whoever wrote signOutOthers=1 must not believe that the others are signed out.
func flag(query, name string) (bool, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return false, invalid("the query is malformed")
	}
	if !q.Has(name) {
		return false, nil
	}
	value, err := one(q, name)
	if err != nil {
		return false, err
	}
	if value != "true" && value != "false" {
		return false, invalid("query parameter " + name + " must be true or false")
	}
	return value == "true", nil
}
