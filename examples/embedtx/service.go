package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store"
)

// profile is what the service knows of a user.
type profile struct {
	Name string `json:"name"`
	Plan string `json:"plan"` // "free", or what an invitation gave
}

// database has the service's tables and the engine's.
type database interface {
	users() store.Store

	// createProfile is the engine's hook for a new user. Where it fails there is no user either.
	createProfile(ctx context.Context, u *auth.User) error
	profile(ctx context.Context, user uuid.UUID) (profile, error)

	invite(ctx context.Context, invitation, plan string) error

	// join signs a user up who has an invitation, which is spent if there is a user then and only if. What signUp does
	// with its context is part of the transaction; it returns the user. The error is errNoInvitation where there is none.
	join(ctx context.Context, invitation string, signUp func(context.Context) (uuid.UUID, error)) error

	close() error
}

var errNoInvitation = errors.New("there is no such invitation")

// join is the route of those who were invited.
func join(db database, engine *auth.Engine) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Invitation, Email, Password string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&body); err != nil {
			refuse(w, http.StatusBadRequest, "a JSON object is required")
			return
		}
		var session *auth.Session
		err := db.join(r.Context(), body.Invitation, func(ctx context.Context) (uuid.UUID, error) {
			in, err := engine.SignUpPassword(ctx, auth.SignUpPasswordParams{Email: body.Email, Password: body.Password})
			if err != nil {
				return uuid.Nil, err
			}
			session = in.Session
			return session.User.ID, nil
		})
		// What the engine returned counts from here on: it has been committed, or was never there.
		var refused *auth.Error
		switch {
		case err == nil:
			answer(w, http.StatusOK, session)
		case errors.Is(err, errNoInvitation):
			refuse(w, http.StatusForbidden, errNoInvitation.Error())
		case errors.As(err, &refused) && !errors.Is(err, auth.ErrInternal):
			refuse(w, http.StatusBadRequest, refused.Message)
		default:
			fail(w, r, err)
		}
	}
}

func showProfile(db database) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, _ := httpadapter.PrincipalFrom(r.Context()) // there is one behind RequireUser
		p, err := db.profile(r.Context(), user.UserID)
		if err != nil {
			fail(w, r, err)
			return
		}
		answer(w, http.StatusOK, p)
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // tokens may be in it
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who does not read any more cannot be told
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"message": message})
}

// fail logs what strangers are not told.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "request failed", slog.Any("error", err))
	refuse(w, http.StatusInternalServerError, "something went wrong")
}
