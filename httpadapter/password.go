package httpadapter

import (
	"encoding/json"
	"net/http"

	"github.com/ostiary/auth"
)

// signUpOptions is the wire form of [auth.SignUpOptions].
type signUpOptions struct {
	AllowedRoles []string        `json:"allowedRoles"`
	DefaultRole  string          `json:"defaultRole"`
	DisplayName  string          `json:"displayName"`
	Locale       string          `json:"locale"`
	Metadata     json.RawMessage `json:"metadata"`
	RedirectTo   string          `json:"redirectTo"`
}

func (h *Handler) signUpPassword(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email         string        `json:"email" strict:"required"`
		Password      string        `json:"password" strict:"required"`
		Options       signUpOptions `json:"options"`
		CodeChallenge string        `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.SignUpPassword(r.Context(), auth.SignUpPasswordParams{
		Email: body.Email, Password: body.Password, Options: auth.SignUpOptions(body.Options), CodeChallenge: body.CodeChallenge,
	})
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

func (h *Handler) signInPassword(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email    string `json:"email" strict:"required"`
		Password string `json:"password" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.SignInPassword(r.Context(), auth.SignInPasswordParams{Email: body.Email, Password: body.Password})
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}
