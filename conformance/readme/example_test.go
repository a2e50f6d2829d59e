// Package readme holds README.md to its word.
package readme

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store/memstore"
)

type discard struct{}

func (discard) Send(context.Context, mail.Message) error { return nil }

// service is the code of README.md, to the letter.
func service(secret auth.Secret, sender mail.Sender, notes http.Handler) error {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret, // at least 32 random bytes
		Password:  &auth.PasswordConfig{},
		Mail:      sender, // delivers letters
	})
	if err != nil {
		return err
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")                            // POST /v1/signup/email-password, …
	mux.Handle("GET /notes", routes.RequireUser(notes)) // your own, for signed-in users

	for _, path := range []string{"/v1/healthz", "/notes"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	return nil
}

func Example() {
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	notes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := httpadapter.PrincipalFrom(r.Context())
		fmt.Fprintln(w, "the notes of", p.UserID)
	})
	if err := service(secret, discard{}, notes); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 "OK"
	// 401 {"status":401,"error":"unauthenticated-user","message":"User is not logged in"}
}
