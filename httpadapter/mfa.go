package httpadapter

import (
	"net/http"
	"strings"

	"github.com/ostiary/auth"
)

// mfaTicket is the beginning of every ticket of a second factor.
const mfaTicket = "mfaTotp:"

// verifyMFATOTP takes the code as text alone: as a number it would lose its leading zeros.
func (h *Handler) verifyMFATOTP(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Ticket string `json:"ticket" strict:"required"`
		OTP    string `json:"otp" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	return h.verifyMFA(w, r, auth.VerifyMFAParams{Ticket: body.Ticket, OTP: body.OTP})
}

func (h *Handler) verifyMFARecovery(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Ticket       string `json:"ticket" strict:"required"`
		RecoveryCode string `json:"recoveryCode" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	return h.verifyMFA(w, r, auth.VerifyMFAParams{Ticket: body.Ticket, RecoveryCode: body.RecoveryCode})
}

func (h *Handler) verifyMFA(w http.ResponseWriter, r *http.Request, p auth.VerifyMFAParams) error {
	if !strings.HasPrefix(p.Ticket, mfaTicket) {
		return invalid("ticket must begin with " + mfaTicket) // documented: what cannot be a ticket is no wrong one
	}
	result, err := h.engine.VerifyMFA(r.Context(), p)
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

// generateTOTP begins an enrolment. It is documented as a GET, and ends an enrolment that began before: with the user's
// cookies no other site brings it about.
func (h *Handler) generateTOTP(w http.ResponseWriter, r *http.Request) error {
	if err := h.cookies.checkAsPost(r); err != nil {
		return err
	}
	return h.enrol(w, r, func() (p auth.GenerateTOTPParams, err error) { return p, nil })
}

// replaceTOTP begins the enrolment of somebody who has a second factor, and proves it with a code. A code is no part of a
// URL, which is why this is no GET.
func (h *Handler) replaceTOTP(w http.ResponseWriter, r *http.Request) error {
	return h.enrol(w, r, func() (auth.GenerateTOTPParams, error) {
		var body struct {
			Code string `json:"code" strict:"required"`
		}
		err := h.decode(w, r, &body)
		return auth.GenerateTOTPParams(body), err
	})
}

func (h *Handler) enrol(w http.ResponseWriter, r *http.Request, params func() (auth.GenerateTOTPParams, error)) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	p, err := params()
	if err != nil {
		return err
	}
	enrolment, err := h.engine.GenerateTOTP(r.Context(), principal, p)
	if err != nil {
		return err
	}
	return reply(w, enrolment)
}

func (h *Handler) setMFA(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Code         *string `json:"code"`
		Type         string  `json:"activeMfaType"`
		RecoveryCode string  `json:"recoveryCode"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	p := auth.SetMFAParams{Type: body.Type, RecoveryCode: body.RecoveryCode}
	switch {
	case body.Code != nil:
		p.Code = *body.Code
	case p.Type != "" || p.RecoveryCode == "":
		return invalid("code is required")
	}
	if err := h.engine.SetMFA(r.Context(), principal, p); err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) mfa(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	status, err := h.engine.MFA(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, status)
}

func (h *Handler) generateRecoveryCodes(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		Code string `json:"code"`
	}
	if err := h.decodeOptional(w, r, &body); err != nil {
		return err
	}
	codes, err := h.engine.GenerateRecoveryCodes(r.Context(), principal, auth.GenerateRecoveryCodesParams(body))
	if err != nil {
		return err
	}
	return reply(w, struct {
		RecoveryCodes []string `json:"recoveryCodes"`
	}{codes})
}
