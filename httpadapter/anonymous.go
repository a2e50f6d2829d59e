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

// deanonymize knows the member connection because older clients send it. It has no effect, as documented.
func (h *Handler) deanonymize(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		SignInMethod  string        `json:"signInMethod" strict:"required"`
		Email         string        `json:"email" strict:"required"`
		Password      *string       `json:"password"`
		Connection    string        `json:"connection"`
		Options       signUpOptions `json:"options"`
		CodeChallenge string        `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	p := auth.DeanonymizeParams{
		Method: auth.DeanonymizeMethod(body.SignInMethod), Email: body.Email, Options: auth.SignUpOptions(body.Options),
		CodeChallenge: body.CodeChallenge,
	}
	switch {
	case body.Password != nil:
		p.Password = *body.Password
	case p.Method == auth.DeanonymizeByPassword:
		return invalid("password is required with signInMethod email-password")
	}
	if err := h.engine.Deanonymize(r.Context(), principal, p); err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) deanonymizeBySMS(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		PhoneNumber string        `json:"phoneNumber" strict:"required"`
		Options     signUpOptions `json:"options"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	err = h.engine.Deanonymize(r.Context(), principal, auth.DeanonymizeParams{
		Method: auth.DeanonymizeBySMS, PhoneNumber: body.PhoneNumber, Options: auth.SignUpOptions(body.Options),
	})
	if err != nil {
		return err
	}
	return reply(w, okBody)
}

func (h *Handler) verifyDeanonymize(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body textedCode
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.VerifyDeanonymize(r.Context(), principal, auth.VerifyDeanonymizeParams(body))
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}
