package docs_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/mail"
	"github.com/ostiary/auth/store/memstore"
)

// service has the second code of README.md, to the letter. Somebody visits what it has made.
func service(secret auth.Secret, sender mail.Sender, notes, erase http.Handler, visit func(http.Handler)) error {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1",
		ClientURL: "https://example.com",
		Secret:    secret, // at least 32 random bytes
		Password:  &auth.PasswordConfig{},
		WebAuthn:  &auth.WebAuthnConfig{}, // passkeys of pages on example.com
		Mail:      sender,                 // delivers letters
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
	recent := routes.RequireElevation(5 * time.Minute)  // for those who have just stepped up
	mux.Handle("DELETE /notes", recent(erase))

	visit(mux)
	return nil
}

// minimal is the first code of README.md, to the letter.
func minimal(secret auth.Secret, sender mail.Sender, mux *http.ServeMux, notes http.Handler) error {
	engine, err := auth.New(memstore.New(), auth.Config{
		ServerURL: "https://api.example.com/v1", ClientURL: "https://example.com",
		Secret: secret, Mail: sender, Password: &auth.PasswordConfig{},
	})
	if err != nil {
		return err
	}
	routes, err := httpadapter.New(engine, httpadapter.Options{})
	if err != nil {
		return err
	}
	routes.Mount(mux, "/v1")                            // POST /v1/signup/email-password, …
	mux.Handle("GET /notes", routes.RequireUser(notes)) // your own, for signed-in users

	return nil
}

// letters keeps the link of the letter that came last.
type letters struct{ link string }

func (l *letters) Send(_ context.Context, m mail.Message) error {
	l.link = m.Variables["link"]
	return nil
}

// notes are somebody's own: they say whose.
var notes = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p, _ := httpadapter.PrincipalFrom(r.Context())
	fmt.Fprint(w, p.UserID)
})

// page is a page on example.com that calls the service.
type page struct {
	service http.Handler
	browser authtest.Authenticator
	session auth.Session // the last one
}

// call sends a request and reads the answer into v unless that is nil.
func (p *page) call(method, path string, body, v any) (status int, text string) {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return 0, err.Error()
		}
	}
	r := httptest.NewRequest(method, path, &sent)
	r.Header.Set("Content-Type", "application/json")
	if token := p.session.AccessToken; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	p.service.ServeHTTP(w, r)
	if v != nil {
		if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
			return w.Code, err.Error()
		}
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

// ceremony gets options from a route, has the browser answer them, and sends the answer to the route's other half.
func (p *page) ceremony(path string, body any, answer func(options any, lies ...func(*authtest.Ceremony)) (json.RawMessage, error)) (status int) {
	var options json.RawMessage
	if status, text := p.call("POST", path, body, &options); status != http.StatusOK {
		fmt.Println(path, text)
		return status
	}
	credential, err := answer(options)
	if err != nil {
		fmt.Println(path, err)
		return 0
	}
	var in auth.SignInResult
	status, _ = p.call("POST", path+"/verify", map[string]any{"credential": credential}, &in)
	if in.Session != nil {
		p.session = *in.Session
	}
	return status
}

func Example_minimal() {
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	sent := &letters{}
	mux := http.NewServeMux()
	if err := minimal(secret, sent, mux, notes); err != nil {
		fmt.Println(err)
		return
	}
	p := &page{service: mux}
	fmt.Println(p.call("GET", "/notes", nil, nil))
	ada := map[string]any{"email": "ada@example.com", "password": "correct horse battery staple"}
	status, _ := p.call("POST", "/v1/signup/email-password", ada, nil)
	fmt.Println("sign up:", status)
	link, err := url.Parse(sent.link)
	if err != nil {
		fmt.Println(err)
		return
	}
	status, _ = p.call("GET", link.RequestURI(), nil, nil)
	fmt.Println("follow the link:", status)
	var in auth.SignInResult
	status, _ = p.call("POST", "/v1/signin/email-password", ada, &in)
	fmt.Println("sign in:", status)
	p.session = *in.Session
	status, owner := p.call("GET", "/notes", nil, nil)
	fmt.Println(status, "the user's own notes:", owner == p.session.User.ID.String())
	// Output:
	// 401 {"status":401,"error":"unauthenticated-user","message":"User is not logged in"}
	// sign up: 200
	// follow the link: 302
	// sign in: 200
	// 200 the user's own notes: true
}

func Example() {
	secret := make(auth.Secret, 32)
	rand.Read(secret) //nolint:errcheck // never fails
	sent := &letters{}
	erase := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "no notes are left") })

	err := service(secret, sent, notes, erase, func(service http.Handler) {
		p := &page{service: service, browser: authtest.Authenticator{Origin: "https://example.com"}}
		fmt.Println(p.call("GET", "/v1/healthz", nil, nil))
		fmt.Println(p.call("GET", "/notes", nil, nil))

		fmt.Println("sign up:", p.ceremony("/v1/signup/webauthn", map[string]any{"email": "ada@example.com"}, p.browser.TryCreate))
		link, err := url.Parse(sent.link)
		if err != nil {
			fmt.Println(err)
			return
		}
		status, _ := p.call("GET", link.RequestURI(), nil, nil)
		fmt.Println("follow the link:", status)
		fmt.Println("sign in:", p.ceremony("/v1/signin/webauthn", nil, p.browser.TryGet))
		status, owner := p.call("GET", "/notes", nil, nil)
		fmt.Println(status, "the user's own notes:", owner == p.session.User.ID.String())
		fmt.Println(p.call("DELETE", "/notes", nil, nil))
		fmt.Println("step up:", p.ceremony("/v1/elevate/webauthn", nil, p.browser.TryGet))
		fmt.Println(p.call("DELETE", "/notes", nil, nil))
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 "OK"
	// 401 {"status":401,"error":"unauthenticated-user","message":"User is not logged in"}
	// sign up: 200
	// follow the link: 302
	// sign in: 200
	// 200 the user's own notes: true
	// 403 {"status":403,"error":"elevated-claim-required","message":"Elevated claim is required"}
	// step up: 200
	// 200 no notes are left
}
