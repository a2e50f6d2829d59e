package httpadapter

import (
	"net/http"

	"github.com/ostiary/auth"
)

// textedCode is the body of the routes that take the code of a text message, as text alone: as a number it would lose its
// leading zeros.
type textedCode struct {
	PhoneNumber string `json:"phoneNumber" strict:"required"`
	OTP         string `json:"otp" strict:"required"`
}

func (h *Handler) sendSMSOTP(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		PhoneNumber string        `json:"phoneNumber" strict:"required"`
		Options     signUpOptions `json:"options"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err := h.engine.SendSMSOTP(r.Context(), auth.SendSMSOTPParams{
		PhoneNumber: body.PhoneNumber, Options: auth.SignUpOptions(body.Options),
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) verifySMSOTP(w http.ResponseWriter, r *http.Request) error {
	var body textedCode
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.VerifySMSOTP(r.Context(), auth.VerifySMSOTPParams(body))
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

func (h *Handler) changePhone(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		NewPhoneNumber string `json:"newPhoneNumber" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	if err := h.engine.ChangePhone(r.Context(), principal, auth.ChangePhoneParams(body)); err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) verifyChangePhone(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		NewPhoneNumber string `json:"newPhoneNumber" strict:"required"`
		OTP            string `json:"otp" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	if err := h.engine.VerifyChangePhone(r.Context(), principal, auth.VerifyChangePhoneParams(body)); err != nil {
		return err
	}
	return reply(w, okBody)
}
