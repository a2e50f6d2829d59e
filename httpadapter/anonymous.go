package httpadapter

import (
	"encoding/json"
	"net/http"

	"github.com/ostiary/auth"
)

func (h *Handler) signInAnonymous(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		DisplayName string          `json:"displayName"`
		Locale      string          `json:"locale"`
		Metadata    json.RawMessage `json:"metadata"`
	}
	if err := h.decodeOptional(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.SignInAnonymous(r.Context(), auth.SignInAnonymousParams(body))
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}
