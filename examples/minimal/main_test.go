package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
	"github.com/ostiary/auth/mail"
)

// letters keeps the link of each letter.
type letters chan string

func (l letters) Send(_ context.Context, m mail.Message) error {
	l <- m.Variables["link"]
	return nil
}

func TestWhoSignsUpIsGreeted(t *testing.T) {
	t.Parallel()
	sent := make(letters, 1)
	engine, handler, err := service(make(auth.Secret, 32), sent)
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, path, body, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	if w := call("GET", "/hello", "", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("a stranger is answered %d %s", w.Code, w.Body)
	}
	if w := call("POST", "/v1/signup/email-password", `{"email":"ada@example.com","password":"plum-tractor-eleven"}`, ""); w.Code != http.StatusOK {
		t.Fatalf("sign up: %d %s", w.Code, w.Body)
	}
	link, err := url.Parse(<-sent)
	if err != nil {
		t.Fatal(err)
	}
	w := call("GET", link.RequestURI(), "", "")
	to, err := w.Result().Location()
	if err != nil || to.Host != addr {
		t.Fatalf("the link: %d to %v, %v", w.Code, to, err)
	}
	session, err := engine.Refresh(t.Context(), auth.RefreshParams{RefreshToken: to.Query().Get("refreshToken")})
	if err != nil {
		t.Fatal(err)
	}
	if w := call("GET", "/hello", "", session.AccessToken); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), session.User.ID.String()) {
		t.Errorf("a user is answered %d %s", w.Code, w.Body)
	}
}

func TestTheServiceEndsWhenItIsTold(t *testing.T) {
	t.Parallel()
	engine, handler, err := service(make(auth.Secret, 32), make(letters, 1))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, engine, httpadapter.NewServer("127.0.0.1:0", handler)) }()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

func TestAPortThatIsTakenEndsTheService(t *testing.T) {
	t.Parallel()
	engine, handler, err := service(make(auth.Secret, 32), make(letters, 1))
	if err != nil {
		t.Fatal(err)
	}
	taken := httptest.NewServer(handler)
	defer taken.Close()
	if err := serve(t.Context(), engine, httpadapter.NewServer(taken.Listener.Addr().String(), handler)); err == nil {
		t.Error("nothing is wrong")
	}
}
