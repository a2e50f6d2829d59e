// Authenticator is what the tests in JavaScript have in place of navigator.credentials, which Node does not have: the
// authenticators of package authtest, each with a browser in front of it that shows a page of the origin given.
//
//	authenticator http://localhost:3000
//
// It writes the URL that it serves to standard output. Below it, POST {kind}/{name}/create and POST {kind}/{name}/get take
// options and answer with a PublicKeyCredential, both as JSON. Authenticators are of the kind passkey, which most people
// have, or security-key, the plainest; each comes into being when it is first named. Where a browser would refuse, the
// status is 400 and the body is the name and the message of its exception. The program ends with its standard input.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/ostiary/auth/authtest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: authenticator ORIGIN")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	d := &drawer{origin: os.Args[1], held: make(map[string]*authtest.Authenticator)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{kind}/{name}/create", d.serve((*authtest.Authenticator).TryCreate))
	mux.HandleFunc("POST /{kind}/{name}/get", d.serve((*authtest.Authenticator).TryGet))
	fmt.Println("http://" + listener.Addr().String())

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, http.Serve(listener, mux))
	os.Exit(1)
}

// drawer holds the authenticators by kind and name.
type drawer struct {
	origin string
	mu     sync.Mutex
	held   map[string]*authtest.Authenticator
}

// take returns an authenticator, or nil if there is no such kind.
func (d *drawer) take(kind, name string) *authtest.Authenticator {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.held[kind+"/"+name]
	if a == nil {
		switch kind {
		case "passkey":
			a = &authtest.Authenticator{}
		case "security-key":
			a = authtest.NewSecurityKey()
		default:
			return nil
		}
		a.Origin = d.origin
		d.held[kind+"/"+name] = a
	}
	return a
}

type ceremony = func(a *authtest.Authenticator, options any, lies ...func(*authtest.Ceremony)) (json.RawMessage, error)

func (d *drawer) serve(perform ceremony) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := d.take(r.PathValue("kind"), r.PathValue("name"))
		if a == nil {
			http.NotFound(w, r)
			return
		}
		options, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := perform(a, options)
		if err != nil {
			var exception authtest.BrowserError
			if !errors.As(err, &exception) {
				exception = "Error"
			}
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"name": string(exception), "message": err.Error()})
			return
		}
		_, _ = w.Write(answer)
	}
}
