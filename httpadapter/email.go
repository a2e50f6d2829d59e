package httpadapter

import (
	"net/http"

	"github.com/ostiary/auth"
)

// letterOptions say where the link in a letter leads.
type letterOptions struct {
	RedirectTo string `json:"redirectTo"`
}

func (h *Handler) sendVerificationEmail(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email         string        `json:"email" strict:"required"`
		Options       letterOptions `json:"options"`
		CodeChallenge string        `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err := h.engine.SendVerificationEmail(r.Context(), auth.SendVerificationEmailParams{
		Email: body.Email, RedirectTo: body.Options.RedirectTo, CodeChallenge: body.CodeChallenge,
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

// changeEmail knows the member codeChallenge because clients may send it with every request for a link. It has no effect:
// who follows this one gets no session that a code could stand for.
func (h *Handler) changeEmail(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		NewEmail      string        `json:"newEmail" strict:"required"`
		Options       letterOptions `json:"options"`
		CodeChallenge string        `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err = h.engine.ChangeEmail(r.Context(), principal, auth.ChangeEmailParams{
		NewEmail: body.NewEmail, RedirectTo: body.Options.RedirectTo,
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}
