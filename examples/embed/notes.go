package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

// note belongs to the user who wrote it.
type note struct {
	ID        uuid.UUID `json:"id"`
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"createdAt"`
	owner     uuid.UUID
}

// profile is what the service knows of a user.
type profile struct {
	Name      string
	MaxNotes  int
	CreatedAt time.Time
}

// database stands for the service's own: it has two tables.
type database struct {
	mu       sync.Mutex
	notes    []note
	profiles map[uuid.UUID]profile
}

func newDatabase() *database { return &database{profiles: make(map[uuid.UUID]profile)} }

// createProfile is the engine's hook for a new user. Where rows and users are in one database, they come and go together:
// examples/embedtx shows how.
func (db *database) createProfile(_ context.Context, u *auth.User) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.profiles[u.ID] = profile{Name: u.DisplayName, MaxNotes: 3, CreatedAt: u.CreatedAt}
	return nil
}

var errTooMany = errors.New("too many notes")

func (db *database) addNote(owner uuid.UUID, text string) (note, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := 0
	for _, other := range db.notes {
		if other.owner == owner {
			n++
		}
	}
	if n >= db.profiles[owner].MaxNotes {
		return note{}, errTooMany
	}
	added := note{ID: uuid.New(), Text: text, CreatedAt: time.Now().UTC(), owner: owner}
	db.notes = append(db.notes, added)
	return added, nil
}

func (db *database) notesOf(owner uuid.UUID) []note {
	db.mu.Lock()
	defer db.mu.Unlock()
	list := []note{}
	for _, n := range db.notes {
		if n.owner == owner {
			list = append(list, n)
		}
	}
	return list
}

// deleteNote reports whether the owner had such a note.
func (db *database) deleteNote(owner, id uuid.UUID) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	before := len(db.notes)
	db.notes = slices.DeleteFunc(db.notes, func(n note) bool { return n.owner == owner && n.ID == id })
	return len(db.notes) < before
}

func (db *database) countNotes() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.notes)
}

// notes are the routes of a user's own notes. They stand behind RequireUser, so there is always a principal.
func notes(db *database) http.Handler {
	r := chi.NewRouter()
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		user, _ := httpadapter.PrincipalFrom(r.Context())
		answer(w, http.StatusOK, db.notesOf(user.UserID))
	})
	r.Post("/", func(w http.ResponseWriter, r *http.Request) {
		user, _ := httpadapter.PrincipalFrom(r.Context())
		var body struct {
			Text string `json:"text"`
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&body)
		if err != nil || strings.TrimSpace(body.Text) == "" {
			refuse(w, http.StatusBadRequest, "text is required")
			return
		}
		n, err := db.addNote(user.UserID, body.Text)
		if err != nil {
			refuse(w, http.StatusConflict, err.Error())
			return
		}
		answer(w, http.StatusCreated, n)
	})
	r.Delete("/{id}", func(w http.ResponseWriter, r *http.Request) {
		user, _ := httpadapter.PrincipalFrom(r.Context())
		id, err := uuid.Parse(chi.URLParam(r, "id"))
		if err != nil || !db.deleteNote(user.UserID, id) {
			refuse(w, http.StatusNotFound, "no such note")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return r
}

func countNotes(db *database) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]int{"notes": db.countNotes()})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who does not read any more cannot be told
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"message": message})
}
