package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

// notes is the service that the engine is there for: one note for each user. They are kept in memory, whatever the users
// are kept in.
type notes struct {
	mu sync.Mutex
	of map[uuid.UUID]string
}

func newNotes() *notes { return &notes{of: map[uuid.UUID]string{}} }

// note is the note in requests and answers.
type note struct {
	Text string `json:"text"`
}

// maxNote bounds the body of a request, in bytes.
const maxNote = 8 << 10

// mount adds the service's own routes. A note is for its owner alone, and what has been erased is gone: that is only for
// somebody who has shown in the last five minutes, with a security key, that they are there.
func (n *notes) mount(mux *http.ServeMux, h *httpadapter.Handler) {
	mux.Handle("GET /note", h.RequireUser(http.HandlerFunc(n.read)))
	mux.Handle("PUT /note", h.RequireUser(http.HandlerFunc(n.write)))
	mux.Handle("DELETE /note", h.RequireElevation(5*time.Minute)(http.HandlerFunc(n.erase)))
}

func (n *notes) read(w http.ResponseWriter, r *http.Request) {
	p, _ := httpadapter.PrincipalFrom(r.Context())
	n.mu.Lock()
	text := n.of[p.UserID]
	n.mu.Unlock()
	answer(w, http.StatusOK, note{text})
}

func (n *notes) write(w http.ResponseWriter, r *http.Request) {
	p, _ := httpadapter.PrincipalFrom(r.Context())
	var body note
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxNote)).Decode(&body); err != nil {
		answer(w, http.StatusBadRequest, refusal{http.StatusBadRequest, auth.CodeInvalidRequest, "the note is too long, or is none"})
		return
	}
	n.mu.Lock()
	n.of[p.UserID] = body.Text
	n.mu.Unlock()
	answer(w, http.StatusOK, body)
}

func (n *notes) erase(w http.ResponseWriter, r *http.Request) {
	p, _ := httpadapter.PrincipalFrom(r.Context())
	n.mu.Lock()
	delete(n.of, p.UserID)
	n.mu.Unlock()
	answer(w, http.StatusOK, note{})
}

// refusal is the body of a failure, in the form that the engine's routes have.
type refusal struct {
	Status  int       `json:"status"`
	Error   auth.Code `json:"error"`
	Message string    `json:"message"`
}

func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who does not read any more cannot be told
}
