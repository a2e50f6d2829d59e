// Provider is what the tests in JavaScript have in place of identity providers: that of package fakeidp, which plays Google,
// GitHub and WorkOS as well.
//
// It writes the URLs of the provider, and of what the tests have it do, to standard output, one a line. Below the second, POST
// /clients and /accounts take and answer with a fakeidp.Client and a fakeidp.Account as JSON. An account's id at
// GitHub is its Subject, which is a number then. The program ends with its standard input.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/ostiary/auth/authtest/fakeidp"
)

func main() {
	idp, err := fakeidp.Start("")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	idp.Profile("/user", func(a fakeidp.Account) any {
		return map[string]any{"id": json.RawMessage(a.Subject), "name": a.Name}
	})
	idp.Profile("/user/emails", func(a fakeidp.Account) any {
		return []any{map[string]any{"email": a.Email, "primary": true, "verified": a.EmailVerified}}
	})
	idp.Profile("/sso/profile", func(a fakeidp.Account) any {
		return map[string]any{"id": a.Subject, "email": a.Email, "first_name": a.Name}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clients", keep(idp.Client))
	mux.HandleFunc("POST /accounts", keep(idp.Account))
	fmt.Println(idp.URL())
	fmt.Println("http://" + listener.Addr().String())

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, http.Serve(listener, mux))
	os.Exit(1)
}

// keep has the provider keep what a request has.
func keep[T any](keep func(T) T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var kept T
		if err := json.NewDecoder(r.Body).Decode(&kept); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(keep(kept))
	}
}
