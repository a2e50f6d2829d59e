package httpadapter

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/ostiary/auth"
)

// A credential goes to the engine as the object that it came as, because a signature is on part of it: what must be in it,
// and what clients may add, the engine says. The rules that all JSON here obeys hold inside it too.

// signUpWebAuthn answers with the bare options, as documented: there is no member publicKey around them.
func (h *Handler) signUpWebAuthn(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email   string        `json:"email" strict:"required"`
		Options signUpOptions `json:"options"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	options, err := h.engine.SignUpWebAuthn(r.Context(), auth.SignUpWebAuthnParams{
		Email: body.Email, Options: auth.SignUpOptions(body.Options),
	})
	if err != nil {
		return err
	}
	return reply(w, options)
}

func (h *Handler) verifySignUpWebAuthn(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Credential json.RawMessage `json:"credential" strict:"required"`
		Options    struct {
			signUpOptions
			Nickname string `json:"nickname"` // where older clients put it
		} `json:"options"`
		Nickname      string `json:"nickname"`
		CodeChallenge string `json:"codeChallenge"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.VerifySignUpWebAuthn(r.Context(), auth.VerifySignUpWebAuthnParams{
		Credential:    body.Credential,
		Options:       auth.SignUpOptions(body.Options.signUpOptions),
		Nickname:      cmp.Or(body.Nickname, body.Options.Nickname),
		CodeChallenge: body.CodeChallenge,
	})
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

func (h *Handler) signInWebAuthn(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Email string `json:"email"`
	}
	if err := h.decodeOptional(w, r, &body); err != nil {
		return err
	}
	options, err := h.engine.SignInWebAuthn(r.Context(), auth.SignInWebAuthnParams(body))
	if err != nil {
		return err
	}
	return reply(w, options)
}

func (h *Handler) verifySignInWebAuthn(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Credential json.RawMessage `json:"credential" strict:"required"`
		Email      string          `json:"email"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.VerifySignInWebAuthn(r.Context(), auth.VerifySignInWebAuthnParams(body))
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

// relatedOrigins is the document of WebAuthn L3 §5.11.
func (h *Handler) relatedOrigins(w http.ResponseWriter, r *http.Request) error {
	origins := h.engine.RelatedOrigins()
	if len(origins) == 0 {
		return auth.ErrDisabledEndpoint
	}
	body, err := json.Marshal(struct {
		Origins []string `json:"origins"`
	}{origins})
	if err != nil {
		return err
	}
	cacheable(w, r, "application/json", publicAge, append(body, '\n'))
	return nil
}
