package httpadapter

import (
	"context"
	_ "embed" // openapi.yaml
	"net/http"
	"time"

	"github.com/ostiary/auth"
)

// publicAge is how long others may keep the key set and the related origins. A key should be among the next ones for
// longer than that before it signs, as the least auth.RotationConfig.Lead is. Nobody is told to keep a set beyond that
// (stale-if-error, RFC 5861): a key that was revoked would be accepted for as long.
const publicAge = 5 * time.Minute

func (h *Handler) keySet(w http.ResponseWriter, r *http.Request) error {
	set, err := h.engine.KeySet(r.Context())
	if err != nil {
		return err
	}
	cacheable(w, r, "application/json", publicAge, append(set, '\n'))
	return nil
}

func (h *Handler) version(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, struct {
		Version string `json:"version"`
	}{h.engine.Version()})
}

// pingTime is how long the store may take to show that it is there. Probes ask again soon.
const pingTime = 5 * time.Second

func (h *Handler) health(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	if err := h.engine.Health(ctx); err != nil {
		return &failure{http.StatusServiceUnavailable, auth.CodeInternal, auth.ErrInternal.Message, err}
	}
	return reply(w, okBody)
}

//go:embed openapi.yaml
var openAPI []byte

func (h *Handler) openAPI(w http.ResponseWriter, r *http.Request) error {
	cacheable(w, r, "application/yaml", time.Hour, openAPI)
	return nil
}
