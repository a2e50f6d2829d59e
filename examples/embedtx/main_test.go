package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/examples/internal/pgtest"
	"github.com/ostiary/auth/internal/need"
	"github.com/ostiary/auth/store"
	"github.com/ostiary/auth/store/sqlitestore"
)

// counts are how many rows there are of each kind.
type counts struct{ users, sessions, profiles, invitations int }

// fixture is the whole service over an engine that the test holds in its hand.
type fixture struct {
	*authtest.Engine
	t      *testing.T
	db     database
	server *httptest.Server
}

const invitation = "K7Q2"

// services calls test once for each database, which is empty but for one invitation.
func services(t *testing.T, test func(*testing.T, fixture)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T) database{
		"sqlite":   newSQLite,
		"memory":   newMemory,
		"postgres": newPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			if err := db.invite(t.Context(), invitation, "pro"); err != nil {
				t.Fatal(err)
			}
			engine := authtest.NewWithStore(t, db.users(), func(c *auth.Config) { *c = configure(db, *c) })
			handler, err := newService(db, engine.Engine)
			if err != nil {
				t.Fatal(err)
			}
			f := fixture{engine, t, db, httptest.NewServer(handler)}
			t.Cleanup(f.server.Close)
			test(t, f)
		})
	}
}

func closed(t *testing.T, db database, err error) database {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newSQLite(t *testing.T) database {
	db, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "service.db"))
	return closed(t, db, err)
}

func newMemory(t *testing.T) database {
	db, err := openSQLite(t.Context(), sqlitestore.Memory)
	return closed(t, db, err)
}

// newPostgres makes all tables in a schema that is dropped after the test.
func newPostgres(t *testing.T) database {
	_, schema := pgtest.Schema(t)
	db, err := openPostgres(t.Context(), withSearchPath(t, need.PostgresDSN(), schema), schema)
	return closed(t, db, err)
}

// withSearchPath adds a parameter to a connection string of either form.
func withSearchPath(t *testing.T, dsn, schema string) string {
	t.Helper()
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " search_path=" + schema
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("AUTH_TEST_POSTGRES is no URL") // in which a password may stand
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func (f fixture) counts() (c counts) {
	f.t.Helper()
	const query = `SELECT (SELECT count(*) FROM %[1]susers), (SELECT count(*) FROM %[1]ssessions),
		(SELECT count(*) FROM profiles), (SELECT count(*) FROM invitations)`
	var row interface{ Scan(...any) error }
	switch db := f.db.(type) {
	case sqliteDatabase:
		row = db.store.DB().QueryRowContext(f.t.Context(), fmt.Sprintf(query, "auth_"))
	case postgresDatabase:
		row = db.pool.QueryRow(f.t.Context(), fmt.Sprintf(query, "")) // the search path leads there
	}
	if err := row.Scan(&c.users, &c.sessions, &c.profiles, &c.invitations); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f fixture) wants(when string, want counts) {
	f.t.Helper()
	if got := f.counts(); got != want {
		f.t.Errorf("%s: there are %+v, want %+v", when, got, want)
	}
}

// call sends a request as the owner of a session, or as nobody, and reads the answer into v unless that is nil.
func (f fixture) call(as *auth.Session, method, path, body string, v any) (status int) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if as != nil {
		r.Header.Set("Authorization", "Bearer "+as.AccessToken)
	}
	response, err := f.server.Client().Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	if v != nil {
		if err := json.NewDecoder(response.Body).Decode(v); err != nil {
			f.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return response.StatusCode
}

func (f fixture) join(code, email, password string, v any) (status int) {
	f.t.Helper()
	return f.call(nil, "POST", "/join", fmt.Sprintf(`{"invitation":%q,"email":%q,"password":%q}`, code, email, password), v)
}

func (f fixture) profile(as *auth.Session) (p profile) {
	f.t.Helper()
	if status := f.call(as, "GET", "/profile", "", &p); status != http.StatusOK {
		f.t.Errorf("GET /profile: %d", status)
	}
	return p
}

func TestAProfileComesAndGoesWithItsUser(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, f fixture) {
		var in auth.SignInResult
		body := `{"email":"ada@example.com","password":"` + authtest.Password + `","options":{"displayName":"Ada"}}`
		if status := f.call(nil, "POST", "/auth/signup/email-password", body, &in); in.Session == nil {
			t.Fatalf("sign up: %d, no session", status)
		}
		if got, want := f.profile(in.Session), (profile{Name: "Ada", Plan: "free"}); got != want {
			t.Errorf("profile = %+v, want %+v", got, want)
		}
		f.wants("after the sign-up", counts{users: 1, sessions: 1, profiles: 1, invitations: 1})

		if status := f.call(nil, "POST", "/auth/signup/email-password", body, nil); status != http.StatusConflict {
			t.Errorf("sign up again: %d, want 409", status)
		}
		f.wants("after another one with the same address", counts{users: 1, sessions: 1, profiles: 1, invitations: 1})

		if err := f.db.users().DeleteUser(t.Context(), store.UserDeletion{UserID: in.Session.User.ID}); err != nil {
			t.Fatal(err)
		}
		f.wants("after the user has gone", counts{invitations: 1})
	})
}

func TestAUserComesWithAProfileOrNotAtAll(t *testing.T) { // W26
	t.Parallel()
	full := errors.New("the disk is full")
	for name, fail := range map[string]func() error{
		"an error": func() error { return full },
		"a panic":  func() error { panic(full) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			services(t, func(t *testing.T, f fixture) {
				engine := authtest.NewWithStore(t, f.db.users(), func(c *auth.Config) {
					*c = configure(f.db, *c)
					c.Hooks.UserCreated = func(ctx context.Context, u *auth.User) error {
						if err := f.db.createProfile(ctx, u); err != nil {
							t.Errorf("the profile cannot be written: %v", err)
						}
						return fail()
					}
				})
				_, err := engine.SignUpPassword(t.Context(), auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
				if !errors.Is(err, auth.ErrInternal) {
					t.Errorf("sign up: %v, want %v", err, auth.ErrInternal)
				}
				f.wants("afterwards", counts{invitations: 1})
			})
		})
	}
}

func TestAnInvitationIsSpentByTheUserWhoJoins(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, f fixture) {
		var ada auth.Session
		if status := f.join(invitation, "ada@example.com", authtest.Password, &ada); status != http.StatusOK {
			t.Fatalf("join: %d", status)
		}
		if p := f.profile(&ada); p.Plan != "pro" {
			t.Errorf("profile = %+v, want the plan of the invitation", p)
		}
		f.wants("after joining", counts{users: 1, sessions: 1, profiles: 1})

		if status := f.join(invitation, "bob@example.com", authtest.Password, nil); status != http.StatusForbidden {
			t.Errorf("join with a spent invitation: %d, want 403", status)
		}
		f.wants("after a second try", counts{users: 1, sessions: 1, profiles: 1})
	})
}

func TestAnInvitationIsNotSpentWithoutAUser(t *testing.T) { // W26
	t.Parallel()
	services(t, func(t *testing.T, f fixture) {
		f.SignUp(t, "bob@example.com")
		before := counts{users: 1, sessions: 1, profiles: 1, invitations: 1}
		for name, c := range map[string]struct {
			code, email, password string
			want                  int
		}{
			"an unknown invitation": {"X", "ada@example.com", authtest.Password, http.StatusForbidden},
			"a short password":      {invitation, "ada@example.com", "short", http.StatusBadRequest},
			"a taken address":       {invitation, "bob@example.com", authtest.Password, http.StatusBadRequest},
		} {
			if status := f.join(c.code, c.email, c.password, nil); status != c.want {
				t.Errorf("%s: %d, want %d", name, status, c.want)
			}
			f.wants(name, before)
		}
	})
}

func TestAUserGoesWithTheServicesTransaction(t *testing.T) { // W26
	t.Parallel()
	services(t, func(t *testing.T, f fixture) {
		second := errors.New("the service has second thoughts")
		err := f.db.join(t.Context(), invitation, func(ctx context.Context) (uuid.UUID, error) {
			in, err := f.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: "ada@example.com", Password: authtest.Password})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.FindUser(ctx, auth.UserBy{ID: in.Session.User.ID}); err != nil {
				t.Errorf("the transaction does not see the user: %v", err)
			}
			return in.Session.User.ID, second
		})
		if !errors.Is(err, second) {
			t.Errorf("join: %v, want %v", err, second)
		}
		f.wants("after the rollback", counts{invitations: 1})
		if _, err := f.FindUser(t.Context(), auth.UserBy{Email: "ada@example.com"}); !errors.Is(err, auth.ErrNotFound) {
			t.Errorf("find: %v, want %v", err, auth.ErrNotFound)
		}
	})
}
