package main

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/store/memstore"
)

func TestTheProviderIsOfThisMachineAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page string
		is   bool
	}{
		{"http://localhost:8080", true},
		{"http://192.0.2.2:8080", false},
		{"http://[2001:db8::2]:8080", false},
	} {
		t.Run(c.page, func(t *testing.T) {
			t.Parallel()
			configured := config(c.page, newSecret(), &mailbox{})
			idp, err := startProvider(&configured)
			if err != nil {
				t.Fatal(err)
			}
			if idp != nil {
				defer idp.Close()
				at, err := url.Parse(idp.URL())
				if err != nil {
					t.Fatal(err)
				}
				if address, err := netip.ParseAddrPort(at.Host); err != nil || !address.Addr().IsLoopback() {
					t.Errorf("the provider is at %s, want an address of loopback", idp.URL())
				}
			}
			if is := idp != nil; is != c.is || len(configured.Providers) > 0 != c.is || len(configured.IDTokens) > 0 != c.is {
				t.Errorf("there is a provider: %t, and the engine knows %v and %v, want %t", is, configured.Providers, configured.IDTokens, c.is)
			}
		})
	}
}

func TestThePageHearsOfProvidersOnThisMachineAlone(t *testing.T) {
	t.Parallel()
	configured := config("http://localhost:8080", newSecret(), &mailbox{})
	idp, err := startProvider(&configured)
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	e := authtest.New(t, func(c *auth.Config) { c.Providers = configured.Providers })
	without := authtest.New(t)
	for _, c := range []struct {
		name, from, host string
		engine           *auth.Engine
		want             string
	}{
		{"here", "127.0.0.1:4000", "localhost:8080", e.Engine, `{"providers":["dev"]}`},
		{"another machine", "192.0.2.7:4000", "192.0.2.2:8080", e.Engine, `{"providers":[]}`},
		{"a name that leads here", "127.0.0.1:4000", "evil.example:8080", e.Engine, `{"providers":[]}`},
		{"there is none", "127.0.0.1:4000", "localhost:8080", without.Engine, `{"providers":[]}`},
	} {
		handler, err := routes(c.engine, &mailbox{})
		if err != nil {
			t.Fatal(err)
		}
		r, w := httptest.NewRequest(http.MethodGet, "/dev/providers", nil), httptest.NewRecorder()
		r.RemoteAddr, r.Host = c.from, c.host
		handler.ServeHTTP(w, r)
		if body := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || body != c.want {
			t.Errorf("%s: %d %s, want %s", c.name, w.Code, body, c.want)
		}
	}
}

// visit signs in at the provider, as a browser does, and returns who that is.
func (p program) visit(t *testing.T, account string) *auth.User {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	// Its cookies are those of the name by which the provider sends browsers back.
	page, err := client.Get(strings.Replace(p.url, "127.0.0.1", "localhost", 1) + "/v1/signin/provider/dev")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	arrived, err := client.PostForm(page.Request.URL.String(), url.Values{"account": {account}})
	if err != nil {
		t.Fatal(err)
	}
	arrived.Body.Close()
	token := arrived.Request.URL.Query().Get("refreshToken")
	if token == "" {
		t.Fatalf("the visit leads to %s, %s", arrived.Request.URL, arrived.Status)
	}
	var in auth.Session
	body, err := json.Marshal(map[string]string{"refreshToken": token})
	if err != nil {
		t.Fatal(err)
	}
	if status := p.post(t, "/v1/token", string(body), &in); status != http.StatusOK {
		t.Fatalf("refresh: %d", status)
	}
	return in.User
}

func TestTheAccountsAtTheProviderSurviveARestart(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "quickstart.db")
	p := start(t, db)
	before := p.visit(t, "mary")
	other := p.visit(t, "ada")
	p.end(t)
	p = start(t, db)
	defer p.end(t)
	after := p.visit(t, "mary")
	if before.ID != after.ID || before.ID == other.ID || after.DisplayName != "Mary Somerville" {
		t.Errorf("before a restart they are %+v, and after it %+v; somebody else is %+v", before, after, other)
	}
}

func TestIDTokensOfTheProviderSignIn(t *testing.T) {
	t.Parallel()
	configured := config("http://localhost:8080", newSecret(), &mailbox{})
	idp, err := startProvider(&configured)
	if err != nil {
		t.Fatal(err)
	}
	defer idp.Close()
	engine, err := auth.New(memstore.New(), configured)
	if err != nil {
		t.Fatal(err)
	}
	in, err := engine.SignInIDToken(t.Context(), auth.SignInIDTokenParams{Provider: devProvider, IDToken: idp.IDToken(t, devAccounts[0])})
	if err != nil || in.Session == nil || in.Session.User.Email != devAccounts[0].Email {
		t.Errorf("an id token is answered with %+v, %v", in, err)
	}
}
