// Embed is a small notes service that has taken in the authentication engine.
//
// The service is in notes.go, and most of it knows nothing of authentication: it has a chi router, rows, and JSON. What
// the engine adds is in this file: users sign up and in below /auth, each of them gets a profile in the moment that
// they come into being, and the service's routes learn from the request who is calling.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store/memstore"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "address to listen on")
	flag.Parse()

	db := newDatabase()
	// A service that is to remember its users keeps this beside its other secrets.
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	engine, err := auth.New(memstore.New(), configure(db, auth.Config{
		ServerURL: "http://" + *addr + "/auth",
		ClientURL: "http://" + *addr,
		Secret:    secret,
		Password:  &auth.PasswordConfig{},
		// Without mail, anybody can sign up in anybody's name.
		Email:  auth.EmailConfig{AllowUnverified: true},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newService(db, engine)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on http://" + *addr)
	log.Fatal(httpadapter.NewServer(*addr, handler).ListenAndServe())
}

// configure adds to a configuration what this service wants of it.
func configure(db *database, c auth.Config) auth.Config {
	c.Roles.Allowed = []string{"user"}
	// The hook runs inside of the sign-up: if there can be no profile, there is no user either.
	c.Hooks.UserCreated = db.createProfile
	return c
}

// newService puts the engine's routes beside the service's own and tells these who is calling.
func newService(db *database, engine *auth.Engine) (http.Handler, error) {
	adapter, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Handle("/auth/*", http.StripPrefix("/auth", adapter))
	r.Group(func(r chi.Router) {
		r.Use(adapter.RequireUser)
		r.Mount("/notes", notes(db))
	})
	r.With(adapter.RequireRole("admin")).Get("/admin/notes/count", countNotes(db))
	return r, nil
}
