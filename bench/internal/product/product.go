// Package product knows the products that are compared: how each is started, and how a client of it does each of the flows.
package product

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/ostiary/auth/bench/internal/load"
)

// Flow is something that clients of all products want to do.
type Flow string

// The flows.
const (
	Refresh Flow = "refresh" // prolong a session, with a write to the database where sessions are kept there
	User    Flow = "user"    // learn who is signed in from a record that cannot be out of date
	Verify  Flow = "verify"  // learn who is signed in from what the client presents alone
	SignIn  Flow = "sign-in" // with address and password, as one of those who have an account
	SignUp  Flow = "sign-up" // with a new address, and a password
)

// Flows are all of them, in the order in which they are shown.
var Flows = []Flow{Refresh, User, Verify, SignIn, SignUp}

// Hashes reports whether a flow is mostly the hashing of a password.
func (f Flow) Hashes() bool { return f == SignIn || f == SignUp }

// Way is how a product does a flow.
type Way struct {
	Request string // what a client sends: "POST /token"
	Note    string // how it differs from what the others do; "" if in nothing
	Variant string // what the server must be told: see Settings.Variant of package server
	// Script prepares one connection, over the client that it is given, and returns what the connection then does.
	Script func(ctx context.Context, c *load.Client, w World) (load.Script, error)
}

// World is what a script has to do with.
type World struct {
	Accounts   []Account // have signed up
	Connection int       // the number of the connection, less than that of the accounts
	Fresh      func() Account
}

// own is the account that no other connection uses.
func (w World) own() Account { return w.Accounts[w.Connection] }

// inTurn returns accounts one after the other, beginning with the connection's own.
func (w World) inTurn() func() Account {
	next := w.Connection
	return func() Account {
		a := w.Accounts[next%len(w.Accounts)]
		next++
		return a
	}
}

// Account is somebody's address and password.
type Account struct{ Email, Password string }

// Product is one that is compared.
type Product struct {
	Name    string
	Program string // the directory of its program below internal/servers
	Module  string // the Go module that has its version; "": see Package
	Package string // the npm package that has its version; "": see Module
	Hash    string // how it hashes passwords by default
	Ways    map[Flow]Way
	// Missing says of a flow that the product does not have what is missing.
	Missing map[Flow]string
	// SignUp makes an account.
	SignUp func(ctx context.Context, c *load.Client, a Account) error
}

// All returns the products, ours first as it is by default, and then with another signature.
func All() []Product { return []Product{ours(), oursHS256(), betterAuth(), authboss(), gopkgz()} }

// post is a request with a body of JSON.
func post(path string, header http.Header, body any) load.Request {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // they are all maps of strings
	}
	h := header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", "application/json")
	return load.Request{Method: http.MethodPost, Path: path, Header: h, Body: text}
}

func get(path string, header http.Header) load.Request {
	return load.Request{Method: http.MethodGet, Path: path, Header: header}
}

// object is what is said in a body of JSON.
type object = map[string]any

// ok reads an answer that must have this status and a body that is a JSON object.
func ok(a load.Answer, status int) (object, error) {
	if a.Status != status {
		return nil, fmt.Errorf("status is not %d: %.300s", status, a.Body)
	}
	var o object
	if err := json.Unmarshal(a.Body, &o); err != nil {
		return nil, fmt.Errorf("%w: %.300s", err, a.Body)
	}
	if o == nil {
		return nil, errors.New("the body is null")
	}
	return o, nil
}

// at returns the string at a path in an object, "" if there is none.
func at(o object, path ...string) string {
	for _, name := range path[:len(path)-1] {
		o, _ = o[name].(object)
	}
	s, _ := o[path[len(path)-1]].(string)
	return s
}

// same is an error unless a value is the one that is wanted, which is never empty.
func same(what, got, want string) error {
	if got != want || want == "" {
		return fmt.Errorf("%s is %q, want %q", what, got, want)
	}
	return nil
}

// present is an error if a value is empty.
func present(what, got string) error {
	if got == "" {
		return fmt.Errorf("there is no %s", what)
	}
	return nil
}

// cookies is the header of a client that has these cookies, given as name, value, name, value …
func cookies(pairs ...string) http.Header {
	r := http.Request{Header: http.Header{}}
	for i := 0; i < len(pairs); i += 2 {
		r.AddCookie(&http.Cookie{Name: pairs[i], Value: pairs[i+1]})
	}
	return r.Header
}
