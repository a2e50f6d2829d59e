package fakeidp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/ostiary/auth/authtest/fakeidp"
)

// Inside a test function, t is the test's own.
var t testing.TB = &exampleT{}

// A service that lets people sign in with GitHub is tested without GitHub, and without a browser.
func Example() {
	idp, err := fakeidp.Start("") // in a test: fakeidp.New(t)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()
	idp.Alias("/login/oauth/authorize", fakeidp.Authorization)
	idp.Alias("/login/oauth/access_token", fakeidp.Token)
	idp.Profile("/user", func(a fakeidp.Account) any {
		return map[string]any{"id": 583231, "login": a.Name, "email": a.Email}
	})
	client := idp.Client(fakeidp.Client{RedirectURIs: []string{"https://app.test/callback"}})
	ada := idp.Account(fakeidp.Account{Name: "ada", Email: "ada@example.com"})

	// The service: it knows GitHub by its addresses, and gets a client that leads elsewhere.
	service := &http.Client{Transport: idp.Transport(nil, "github.com", "api.github.com")}
	callback := func(w http.ResponseWriter, r *http.Request) {
		answer, err := service.PostForm("https://github.com/login/oauth/access_token", url.Values{
			"grant_type": {"authorization_code"}, "code": {r.FormValue("code")}, "redirect_uri": {"https://app.test/callback"},
			"client_id": {client.ID}, "client_secret": {client.Secret},
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		var token struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&token); err != nil || token.AccessToken == "" {
			http.Error(w, "GitHub is in trouble", http.StatusBadGateway)
			return
		}
		profile, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://api.github.com/user", nil)
		profile.Header.Set("Authorization", "Bearer "+token.AccessToken)
		if answer, err = service.Do(profile); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		var user struct{ Login string }
		_ = json.NewDecoder(answer.Body).Decode(&user)
		fmt.Fprintf(w, "Hello, %s", user.Login)
	}

	// The test: Ada visits the provider, and her browser brings back what she got there.
	signIn := func() {
		back := idp.Visit(t, "https://github.com/login/oauth/authorize?"+url.Values{
			"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {"https://app.test/callback"}, "state": {"x"},
		}.Encode(), ada)
		r, err := back.Request(t.Context())
		if err != nil {
			fmt.Println(err)
			return
		}
		w := httptest.NewRecorder()
		callback(w, r)
		fmt.Println(w.Code, w.Body)
	}
	signIn()
	idp.BreakOnce(fakeidp.Token, fakeidp.FaultHTML())
	signIn()
	// Output:
	// 200 Hello, ada
	// 502 GitHub is in trouble
}

// exampleT lets examples run outside of a test.
type exampleT struct{ testing.TB }

func (*exampleT) Helper()                           {}
func (*exampleT) Context() context.Context          { return context.Background() }
func (*exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
