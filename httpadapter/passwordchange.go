package httpadapter

import (
	"net/http"

	"github.com/ostiary/auth"
)

func (h *Handler) sendPasswordReset(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email         string        `json:"email" strict:"required"`
		Options       letterOptions `json:"options"`
		CodeChallenge string        `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err := h.engine.SendPasswordReset(r.Context(), auth.SendPasswordResetParams{
		Email: body.Email, RedirectTo: body.Options.RedirectTo, CodeChallenge: body.CodeChallenge,
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

// changePassword reads the body before the bearer token: with a ticket it does not matter who brings it, however good or
// bad their token. A ticket that is empty is one that a page has lost. Whoever is signed in there did not mean their own
// password.
func (h *Handler) changePassword(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		NewPassword     string  `json:"newPassword" strict:"required"`
		Ticket          *string `json:"ticket"`
		CurrentPassword string  `json:"currentPassword"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	p := auth.ChangePasswordParams{NewPassword: body.NewPassword, CurrentPassword: body.CurrentPassword}
	var principal *auth.Principal
	switch {
	case body.Ticket == nil:
		var err error
		if principal, err = h.principal(w, r); err != nil {
			return err
		}
	case *body.Ticket == "":
		return invalid("ticket must not be empty")
	default:
		p.Ticket = *body.Ticket
	}
	if err := h.engine.ChangePassword(r.Context(), principal, p); err != nil {
		return err
	}
	return reply(w, okBody)
}
