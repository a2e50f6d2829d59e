package httpadapter

import (
	"encoding/json"
	"net/http"
	"regexp"
	"time"

	"github.com/ostiary/auth"
)

func (h *Handler) signInPAT(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		PersonalAccessToken string `json:"personalAccessToken" strict:"required"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	result, err := h.engine.SignInPAT(r.Context(), auth.SignInPATParams(body))
	if err != nil {
		return err
	}
	return h.replySignIn(w, result)
}

// dateTime is the form of a date-time of RFC 3339 §5.6, of which package time takes more than there is: hours of one digit,
// a comma for the point, and zones a day away.
var dateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func (h *Handler) createPAT(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	var body struct {
		ExpiresAt string          `json:"expiresAt" strict:"required"`
		Metadata  json.RawMessage `json:"metadata"`
		Scopes    []string        `json:"scopes"`
	}
	if err := h.decode(w, r, &body); err != nil {
		return err
	}
	expiresAt, err := time.Parse(time.RFC3339, body.ExpiresAt)
	if err != nil || !dateTime.MatchString(body.ExpiresAt) {
		return invalid("expiresAt must be a date and time with a zone, such as 2030-01-31T12:00:00Z (RFC 3339)")
	}
	pat, err := h.engine.CreatePAT(r.Context(), principal, auth.CreatePATParams{
		ExpiresAt: expiresAt.UTC(), Metadata: body.Metadata, Scopes: body.Scopes,
	})
	if err != nil {
		return err
	}
	return reply(w, pat)
}

func (h *Handler) listPATs(w http.ResponseWriter, r *http.Request) error {
	principal, err := h.principal(w, r)
	if err != nil {
		return err
	}
	tokens, err := h.engine.ListPATs(r.Context(), principal)
	if err != nil {
		return err
	}
	return reply(w, struct {
		PersonalAccessTokens []auth.PATDetails `json:"personalAccessTokens"`
	}{tokens})
}

func (h *Handler) revokePAT(w http.ResponseWriter, r *http.Request) error {
	principal, id, err := h.owner(w, r)
	if err != nil {
		return err
	}
	if err := h.engine.RevokePAT(r.Context(), principal, id); err != nil {
		return err
	}
	return reply(w, okBody)
}
