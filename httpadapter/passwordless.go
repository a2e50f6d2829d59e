package httpadapter

import (
	"net/http"

	"github.com/ostiary/auth"
)

func (h *Handler) sendMagicLink(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email         string        `json:"email" strict:"required"`
		Options       signUpOptions `json:"options"`
		CodeChallenge string        `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err := h.engine.SendMagicLink(r.Context(), auth.SendMagicLinkParams{
		Email: body.Email, Options: auth.SignUpOptions(body.Options), CodeChallenge: body.CodeChallenge,
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) sendEmailOTP(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email   string        `json:"email" strict:"required"`
		Options signUpOptions `json:"options"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err := h.engine.SendEmailOTP(r.Context(), auth.SendEmailOTPParams{
		Email: body.Email, Options: auth.SignUpOptions(body.Options),
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

// verifyEmailOTP takes the code as text alone: as a number it would lose its leading zeros.
func (h *Handler) verifyEmailOTP(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email string `json:"email" strict:"required"`
		OTP   string `json:"otp" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.VerifyEmailOTP(r.Context(), auth.VerifyEmailOTPParams(body))
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}
