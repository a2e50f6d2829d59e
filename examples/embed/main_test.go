package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
)

// service is the whole service over an engine that the test holds in its hand.
type service struct {
	*authtest.Engine
	db     *database
	server *httptest.Server
}

func newTestService(t *testing.T, amend ...func(*auth.Config)) service {
	t.Helper()
	db := newDatabase()
	configured := func(c *auth.Config) { *c = configure(db, *c) }
	engine := authtest.New(t, append([]func(*auth.Config){configured}, amend...)...)
	handler, err := newService(db, engine.Engine)
	if err != nil {
		t.Fatal(err)
	}
	s := service{engine, db, httptest.NewServer(handler)}
	t.Cleanup(s.server.Close)
	return s
}

// call sends a request as the owner of a session, or as nobody, and reads the answer into v unless that is nil.
func (s service) call(t *testing.T, as *auth.Session, method, path, body string, v any) (status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if as != nil {
		r.Header.Set("Authorization", "Bearer "+as.AccessToken)
	}
	response, err := s.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if v != nil {
		if err := json.NewDecoder(response.Body).Decode(v); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return response.StatusCode
}

func TestANewUserHasAProfileAndCanWriteNotes(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	body := `{"email":"ada@example.com","password":"` + authtest.Password + `","options":{"displayName":"Ada"}}`
	if status := s.call(t, nil, "POST", "/auth/signup/email-password", body, nil); status != http.StatusOK {
		t.Fatalf("sign up: %d", status)
	}
	ticket := s.Mailbox.Last(t, "ada@example.com").Ticket()
	in, err := s.VerifyTicket(t.Context(), auth.VerifyTicketParams{Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	ada := in.Session
	if p := s.db.profiles[ada.User.ID]; p.Name != "Ada" {
		t.Errorf("profile = %+v, want Ada's", p)
	}

	var written note
	if status := s.call(t, ada, "POST", "/notes", `{"text":"buy milk"}`, &written); status != http.StatusCreated {
		t.Fatalf("write: %d", status)
	}
	var list []note
	s.call(t, ada, "GET", "/notes", "", &list)
	if len(list) != 1 || list[0].Text != "buy milk" {
		t.Errorf("notes = %+v, want the one that was written", list)
	}
	if status := s.call(t, ada, "DELETE", "/notes/"+written.ID.String(), "", nil); status != http.StatusNoContent {
		t.Errorf("delete: %d", status)
	}
}

func TestNotesAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	ada, bob := s.SignUp(t, "ada@example.com"), s.SignUp(t, "bob@example.com")
	var written note
	s.call(t, ada, "POST", "/notes", `{"text":"secret"}`, &written)

	var list []note
	s.call(t, bob, "GET", "/notes", "", &list)
	if len(list) != 0 {
		t.Errorf("Bob reads %+v", list)
	}
	if status := s.call(t, bob, "DELETE", "/notes/"+written.ID.String(), "", nil); status != http.StatusNotFound {
		t.Errorf("Bob deletes Ada's note: %d, want 404", status)
	}
	if status := s.call(t, nil, "GET", "/notes", "", nil); status != http.StatusUnauthorized {
		t.Errorf("nobody reads notes: %d, want 401", status)
	}
}

func TestTheProfileSaysHowManyNotesThereMayBe(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	ada := s.SignUp(t, "ada@example.com")
	for i := range s.db.profiles[ada.User.ID].MaxNotes {
		if status := s.call(t, ada, "POST", "/notes", `{"text":"x"}`, nil); status != http.StatusCreated {
			t.Fatalf("note %d: %d", i, status)
		}
	}
	if status := s.call(t, ada, "POST", "/notes", `{"text":"x"}`, nil); status != http.StatusConflict {
		t.Errorf("one too many: %d, want 409", status)
	}
}

func TestCountingNeedsTheRole(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	ada := s.SignUp(t, "ada@example.com")
	s.call(t, ada, "POST", "/notes", `{"text":"x"}`, nil)
	if status := s.call(t, ada, "GET", "/admin/notes/count", "", nil); status != http.StatusForbidden {
		t.Errorf("a user counts: %d, want 403", status)
	}

	// The service makes Ada an admin. Her next access token says so.
	_, err := s.UpdateUser(t.Context(), ada.User.ID, auth.UserUpdate{Roles: []string{"user", "admin"}})
	if err != nil {
		t.Fatal(err)
	}
	ada, err = s.Refresh(t.Context(), auth.RefreshParams{RefreshToken: ada.RefreshToken})
	if err != nil {
		t.Fatal(err)
	}
	var count struct{ Notes int }
	if status := s.call(t, ada, "GET", "/admin/notes/count", "", &count); status != http.StatusOK || count.Notes != 1 {
		t.Errorf("an admin counts: %d, %d notes, want one", status, count.Notes)
	}
}

func TestWithoutAProfileThereIsNoUser(t *testing.T) {
	t.Parallel()
	s := newTestService(t, func(c *auth.Config) {
		c.Hooks.UserCreated = func(context.Context, *auth.User) error { return errors.New("the disk is full") }
	})
	_, err := s.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
	if !errors.Is(err, auth.ErrInternal) {
		t.Errorf("sign up: %v, want %v", err, auth.ErrInternal)
	}
	if _, err := s.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"}); !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("find: %v, want %v", err, auth.ErrNotFound)
	}
	if letters := s.Mailbox.All(); len(letters) > 0 {
		t.Errorf("%d letters were sent to nobody", len(letters))
	}
}
