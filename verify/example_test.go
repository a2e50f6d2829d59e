package verify_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/store/memstore"
	"github.com/ostiary/auth/verify"
)

// A service that has nothing of the engine but the URL of its key set.
func Example() {
	// Elsewhere: the engine and its routes.
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://auth.example.com/v1", ClientURL: "https://example.com", Secret: make([]byte, 32),
		Email: auth.EmailConfig{AllowUnverified: true}, Anonymous: &auth.AnonymousConfig{},
		AccessTokens: auth.AccessTokensConfig{Rotate: &auth.RotationConfig{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	routes.Mount(mux, "/v1")
	server := httptest.NewServer(mux)
	defer server.Close()

	// Here.
	v, err := verify.New(server.URL+"/v1/.well-known/jwks.json", verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	notes := v.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := verify.FromContext(r.Context())
		if !c.HasRole("anonymous") {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintf(w, "the notes of a guest, %t", c.Anonymous)
	}))

	in, err := engine.SignInAnonymous(context.Background(), auth.SignInAnonymousParams{})
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range []string{in.Session.AccessToken, "forged"} {
		r := httptest.NewRequest("GET", "/notes", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		notes.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 the notes of a guest, true
	// 401 {"status":401,"error":"unauthenticated-user","message":"User is not logged in"}
}
