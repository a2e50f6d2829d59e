// Authboss is volatiletech/authboss behind HTTP, as a program to be measured.
//
// It comes without a database: the storer here is the least that its interfaces ask for, on the same driver and pool as ours.
// Its modules auth, register and remember are on, speaking JSON; its sessions are what they are by its documentation, signed
// cookies of gorilla/sessions. Nothing is logged.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/volatiletech/authboss/v3"
	_ "github.com/volatiletech/authboss/v3/auth"
	"github.com/volatiletech/authboss/v3/defaults"
	_ "github.com/volatiletech/authboss/v3/register"
	"github.com/volatiletech/authboss/v3/remember"

	"github.com/ostiary/auth/bench/internal/server"
)

func main() { server.Main(create) }

func create(ctx context.Context, s server.Settings, base string) (*http.Server, error) {
	pool, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, tables); err != nil {
		return nil, err
	}
	ab := authboss.New()
	ab.Config.Paths.RootURL = base
	ab.Config.Core.ViewRenderer = defaults.JSONRenderer{}
	defaults.SetCore(&ab.Config, true, false)
	silent := defaults.NewLogger(io.Discard)
	ab.Config.Core.Logger, ab.Config.Core.ErrorHandler = silent, defaults.NewErrorHandler(silent)
	ab.Config.Core.Redirector = &defaults.Redirector{
		Renderer: ab.Config.Core.ViewRenderer, FormValueName: authboss.FormValueRedirect, CorceRedirectTo200: true,
	}
	ab.Config.Storage.Server = storer{pool}
	ab.Config.Storage.SessionState = newSessions(s.Secret)
	ab.Config.Storage.CookieState = newCookies(s.Secret)
	if s.Hash == server.HashEqual {
		ab.Config.Core.Hasher = hasher{}
	}
	if err := ab.Init(); err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("/auth/", http.StripPrefix("/auth", ab.Config.Core.Router))
	// Who has signed in, as the session says.
	mux.HandleFunc("GET /verify", func(w http.ResponseWriter, r *http.Request) {
		id, err := ab.CurrentUserID(r)
		reply(w, id, err)
	})
	// The user, as its middleware loads them.
	mux.Handle("GET /user", authboss.Middleware2(ab, authboss.RequireFullAuth, authboss.RespondUnauthorized)(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			user, err := ab.CurrentUser(r)
			if err != nil {
				reply(w, "", err)
				return
			}
			reply(w, user.GetPID(), nil)
		},
	)))
	// Who comes back with a token to remember them by, and no session.
	mux.Handle("GET /remember", remember.Middleware(ab)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := ab.CurrentUserID(r)
		reply(w, id, err)
	})))
	return &http.Server{Handler: ab.LoadClientStateMiddleware(mux), ReadHeaderTimeout: 5 * time.Second}, nil
}

func reply(w http.ResponseWriter, id string, err error) {
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case id == "":
		http.Error(w, "nobody is signed in", http.StatusUnauthorized)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"email": id}) //nolint:errcheck // the client would see it
	}
}

// hasher hashes with Argon2id at the cost at which all are compared.
type hasher struct{}

func (hasher) GenerateHash(password string) (string, error) {
	return argon2id.CreateHash(password, &argon2id.Params{
		Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32,
	})
}

func (hasher) CompareHashAndPassword(hash, password string) error {
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	if err == nil && !ok {
		err = errors.New("the password is wrong")
	}
	return err
}
