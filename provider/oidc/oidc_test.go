package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/internal/idtoken/idtokentest"
	"github.com/ostiary/auth/internal/outbound"
	"github.com/ostiary/auth/provider"
	"github.com/ostiary/auth/provider/oidc"
)

const (
	issuer       = "https://idp.example"
	discoveryURL = issuer + "/.well-known/openid-configuration"
	secret       = "client-secret"
	accessToken  = "access-token"
	refreshToken = "refresh-token"
	// The example of RFC 7636, appendix B.
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// fake is a provider, whose answers a test may change.
type fake struct {
	web      *idtokentest.Web
	clock    *authtest.Clock
	key      *idtokentest.Key
	metadata map[string]any
	claims   map[string]any
	token    map[string]any
	userInfo string
}

func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{web: idtokentest.NewWeb(), clock: authtest.NewClock(), key: idtokentest.NewKey(t, "ES256", "key-1")}
	f.metadata = map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize?x=y", "token_endpoint": issuer + "/token",
		"userinfo_endpoint": issuer + "/userinfo", "jwks_uri": issuer + "/keys",
		"response_types_supported":              []string{"code"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
	}
	now := f.clock.Now()
	f.claims = map[string]any{
		"iss": issuer, "sub": "subject", "aud": "client", "nonce": "the-nonce", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": "a@example.com", "email_verified": true, "name": "A", "picture": issuer + "/a.png",
	}
	f.token = map[string]any{
		"access_token": accessToken, "refresh_token": refreshToken, "expires_in": 3600, "token_type": "Bearer",
	}
	f.userInfo = `{"sub":"subject","email":"b@example.com","email_verified":true,"name":"B","picture":"https://idp.example/b.png"}`
	serve := func(path string, document func() any) {
		f.web.Serve(issuer+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document())
		})
	}
	serve("/.well-known/openid-configuration", func() any { return f.metadata })
	serve("/keys", func() any { return map[string]any{"keys": []any{f.key.JWK()}} })
	serve("/token", func() any {
		answer := maps.Clone(f.token)
		if _, has := answer["id_token"]; !has {
			answer["id_token"] = f.key.Sign(t, f.claims)
		}
		return answer
	})
	serve("/userinfo", func() any { return json.RawMessage(f.userInfo) })
	return f
}

func (f *fake) env() provider.Env { return idtokentest.Env(f.web, f.clock) }

func config() oidc.Config {
	return oidc.Config{Issuer: issuer, ClientID: "client", ClientSecret: secret}
}

func newProvider(t testing.TB, amend ...func(*oidc.Config)) *oidc.Provider {
	t.Helper()
	c := config()
	for _, f := range amend {
		f(&c)
	}
	p, err := oidc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request() provider.Request {
	return provider.Request{
		RedirectURI: "https://app.example/callback", State: "the-state", Verifier: verifier, Nonce: "the-nonce",
	}
}

func back() provider.Return {
	return provider.Return{Request: request(), Values: url.Values{"code": {"the-code"}, "state": {"the-state"}}}
}

// signIn goes from the code to the profile.
func (f *fake) signIn(t testing.TB, p *oidc.Provider, b provider.Return) (provider.Profile, error) {
	t.Helper()
	tokens, err := p.Exchange(t.Context(), f.env(), b)
	if err != nil {
		return provider.Profile{}, err
	}
	return p.Profile(t.Context(), f.env(), b, tokens)
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newProvider(t)
	if n := len(f.web.Requests("")); n > 0 {
		t.Errorf("New has made %d requests", n)
	}
	authorization, err := p.Authorize(t.Context(), f.env(), request())
	if err != nil {
		t.Fatal(err)
	}
	want := issuer + "/authorize?" + url.Values{
		"x": {"y"}, "client_id": {"client"}, "redirect_uri": {"https://app.example/callback"}, "response_type": {"code"},
		"scope": {"openid email profile"}, "state": {"the-state"}, "nonce": {"the-nonce"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode()
	sorted, err := url.Parse(authorization.URL)
	if err != nil {
		t.Fatal(err)
	}
	sorted.RawQuery = sorted.Query().Encode()
	if authorization.URL = sorted.String(); authorization != (provider.Authorization{URL: want}) {
		t.Errorf("got  %+v\nwant %s", authorization, want)
	}

	tokens, err := p.Exchange(t.Context(), f.env(), back())
	if err != nil {
		t.Fatal(err)
	}
	if tokens.AccessToken != accessToken || tokens.RefreshToken != refreshToken || tokens.IDToken == "" ||
		!tokens.ExpiresAt.Equal(f.clock.Now().Add(time.Hour)) {
		t.Errorf("the tokens are %q, %q, %q until %v", tokens.AccessToken, tokens.RefreshToken, tokens.IDToken, tokens.ExpiresAt)
	}
	profile, err := p.Profile(t.Context(), f.env(), back(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(provider.Profile{
		Subject: "subject", Email: "a@example.com", EmailVerified: true, Name: "A", Picture: issuer + "/a.png",
	}, profile); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	asked := f.web.Requests(issuer + "/token")
	if len(asked) != 1 || len(f.web.Requests("")) != 3 {
		t.Fatalf("%d requests for tokens, %d in all", len(asked), len(f.web.Requests("")))
	}
	if diff := cmp.Diff(url.Values{
		"grant_type": {"authorization_code"}, "code": {"the-code"}, "redirect_uri": {"https://app.example/callback"},
		"code_verifier": {verifier},
	}, asked[0].PostForm); diff != "" {
		t.Errorf("the form (-want +got)\n%s", diff)
	}
	if user, password, _ := asked[0].BasicAuth(); user != "client" || password != secret {
		t.Errorf("the client is %q, %q", user, password)
	}
}

// Parameters of the configuration and, where it says so, of the request go with the browser; others are refused.
func TestParameters(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newProvider(t, func(c *oidc.Config) {
		c.Params = map[string]string{"prompt": "select_account", "audience": "api"}
		c.RequestParams = []string{"login_hint", "prompt"}
		c.Scopes = []string{"", "email", "offline_access"}
		c.FormPost = true
	})
	q := request()
	q.Params = url.Values{"login_hint": {"a@example.com"}, "prompt": {"login"}}
	got, err := p.Authorize(t.Context(), f.env(), q)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(got.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"prompt": "login", "audience": "api", "login_hint": "a@example.com", "scope": "openid email offline_access",
		"response_mode": "form_post",
	} {
		if u.Query().Get(name) != want {
			t.Errorf("%s is %q, want %q", name, u.Query().Get(name), want)
		}
	}
	if !got.FormPost {
		t.Error("the answer is not said to be a form")
	}
	for _, params := range []url.Values{
		{"audience": {"other"}}, {"redirect_uri": {"https://evil.example"}}, {"prompt": {"a", "b"}}, {"prompt": nil},
	} {
		q.Params = params
		if _, err := p.Authorize(t.Context(), f.env(), q); !errors.Is(err, provider.ErrParams) {
			t.Errorf("%v: %v", params, err)
		}
	}
}

// OA-15, OA-16: nobody goes without what protects the flow, there or back.
func TestRequestWithoutItsProtectionIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*provider.Return){
		"no verifier":     func(b *provider.Return) { b.Verifier = "" },
		"a weak verifier": func(b *provider.Return) { b.Verifier = "x" },
		"no nonce":        func(b *provider.Return) { b.Nonce = "" },
		"no state":        func(b *provider.Return) { b.State = "" },
		"no redirect URI": func(b *provider.Return) { b.RedirectURI = "" },
		"no code":         func(b *provider.Return) { b.Values.Del("code") },
	} {
		f := newFake(t)
		p := newProvider(t)
		b := back()
		change(&b)
		if _, err := p.Authorize(t.Context(), f.env(), b.Request); err == nil && name != "no code" {
			t.Errorf("%s: the browser goes all the same", name)
		}
		if _, err := p.Exchange(t.Context(), f.env(), b); err == nil || len(f.web.Requests(issuer+"/token")) > 0 {
			t.Errorf("%s: the code is exchanged all the same", name)
		}
	}
}

// OA-16, OA-19, OA-30, ID-01: how tokens are refused is tested where they are checked; here, that they are.
func TestIDTokenOfTheTokenEndpointDecides(t *testing.T) {
	t.Parallel()
	stranger := idtokentest.NewKey(t, "ES256", "key-1")
	for name, change := range map[string]func(*fake){
		"no id token":             func(f *fake) { f.token["id_token"] = "" },
		"an id token of a type":   func(f *fake) { f.token["id_token"] = 1 },
		"forged":                  func(f *fake) { f.token["id_token"] = stranger.Sign(t, f.claims) },
		"of another issuer":       func(f *fake) { f.claims["iss"] = "https://evil.example" },
		"for another client":      func(f *fake) { f.claims["aud"] = "app" },
		"issued to another":       func(f *fake) { f.claims["azp"] = "app" },
		"with another nonce":      func(f *fake) { f.claims["nonce"] = "other" },
		"without a nonce":         func(f *fake) { delete(f.claims, "nonce") },
		"expired":                 func(f *fake) { f.claims["exp"] = f.clock.Now().Unix() },
		"of nobody":               func(f *fake) { delete(f.claims, "sub") },
		"of a number":             func(f *fake) { f.claims["sub"] = json.Number("9007199254740993") },
		"of another access token": func(f *fake) { f.claims["at_hash"] = "x" },
	} {
		f := newFake(t)
		change(f)
		p := newProvider(t, func(c *oidc.Config) { c.Audiences = []string{"app"} })
		b := back()
		// One from the browser is never looked at.
		good := newFake(t)
		good.key = f.key
		b.Values.Set("id_token", f.key.Sign(t, good.claims))
		if got, err := f.signIn(t, p, b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// OA-17: an answer of another issuer goes no further, nor one of nobody's where the provider says who it is.
func TestIssuerOfTheAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		says any
		iss  []string
		ok   bool
	}{
		{nil, nil, true},
		{nil, []string{issuer}, true},
		{nil, []string{"https://evil.example"}, false},
		{nil, []string{""}, false},
		{true, []string{issuer}, true},
		{true, nil, false},
		{true, []string{issuer + "/"}, false},
		{false, nil, true},
	} {
		f := newFake(t)
		if tt.says != nil {
			f.metadata["authorization_response_iss_parameter_supported"] = tt.says
		}
		b := back()
		if tt.iss != nil {
			b.Values["iss"] = tt.iss
		}
		_, err := f.signIn(t, newProvider(t), b)
		if (err == nil) != tt.ok {
			t.Errorf("metadata %v, answer of %q: %v", tt.says, tt.iss, err)
		}
		if asked := len(f.web.Requests(issuer + "/token")); !tt.ok && asked > 0 {
			t.Errorf("metadata %v, answer of %q: the code has been sent", tt.says, tt.iss)
		}
	}
}

// OA-19, OA-22, OA-23
func TestUserInfo(t *testing.T) {
	t.Parallel()
	const same = `{"sub":"subject",`
	for _, tt := range []struct {
		name, userInfo string
		want           provider.Profile // besides the subject and the name of the id token; nothing if refused
		refused        bool
	}{
		{"an address", same + `"email":"b@example.com","email_verified":true}`, provider.Profile{Email: "b@example.com", EmailVerified: true}, false},
		{"an address, unverified", same + `"email":"b@example.com"}`, provider.Profile{Email: "b@example.com"}, false},
		{"an address, verified in words", same + `"email":"b@example.com","email_verified":"true"}`, provider.Profile{Email: "b@example.com"}, false},
		{"an address, verified by number", same + `"email":"b@example.com","email_verified":1}`, provider.Profile{Email: "b@example.com"}, false},
		{"a flag without an address", same + `"email_verified":true}`, provider.Profile{}, false},
		{"a list of addresses", same + `"email":["b@example.com"],"email_verified":true}`, provider.Profile{}, false},
		{"a picture", same + `"picture":"https://idp.example/b.png"}`, provider.Profile{Picture: "https://idp.example/b.png"}, false},
		{"a picture that is none", same + `"picture":"javascript:alert(1)"}`, provider.Profile{}, false},
		{"a picture without a host", same + `"picture":"https:///x"}`, provider.Profile{}, false},
		{"a picture with a user", same + `"picture":"https://u@idp.example/x"}`, provider.Profile{}, false},
		{"another subject", `{"sub":"victim","email":"b@example.com","email_verified":true}`, provider.Profile{}, true},
		{"a subject of another case", `{"sub":"Subject","email":"b@example.com"}`, provider.Profile{}, true},
		{"two subjects", `{"sub":"subject","sub":"victim"}`, provider.Profile{}, true},
		{"a subject that is a list", `{"sub":["subject"]}`, provider.Profile{}, true},
		{"no subject", `{"email":"b@example.com","email_verified":true}`, provider.Profile{}, true},
		{"a list", `[{"sub":"subject"}]`, provider.Profile{}, true},
		{"null", `null`, provider.Profile{}, true},
	} {
		f := newFake(t)
		f.userInfo = tt.userInfo
		delete(f.claims, "email")
		delete(f.claims, "picture")
		got, err := f.signIn(t, newProvider(t), back())
		if tt.refused {
			if err == nil {
				t.Errorf("%s: %+v", tt.name, got)
			}
			continue
		}
		tt.want.Subject, tt.want.Name = "subject", "A"
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", tt.name, err, diff)
		}
		asked := f.web.Requests(issuer + "/userinfo")
		if len(asked) != 1 || asked[0].Header.Get("Authorization") != "Bearer "+accessToken {
			t.Errorf("%s: %d requests", tt.name, len(asked))
		}
	}
	// Without the endpoint there is no address, and that is that.
	f := newFake(t)
	delete(f.claims, "email")
	delete(f.metadata, "userinfo_endpoint")
	if got, err := f.signIn(t, newProvider(t), back()); err != nil || got.Email != "" || got.EmailVerified {
		t.Errorf("%+v, %v", got, err)
	}
}

// W3: somebody else's provider does not speak for everybody's addresses.
func TestDistrustEmail(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newProvider(t, func(c *oidc.Config) { c.DistrustEmail = true })
	if got, err := f.signIn(t, p, back()); err != nil || got.Email != "a@example.com" || got.EmailVerified {
		t.Errorf("%+v, %v", got, err)
	}
	got, err := p.VerifyIDToken(t.Context(), f.env(), f.key.Sign(t, f.claims), "the-nonce")
	if err != nil || got.Email != "a@example.com" || got.EmailVerified {
		t.Errorf("from an app: %+v, %v", got, err)
	}
}

// ID-03, ASVS 10.5.3, SS-01: metadata of somebody else's, or which leads elsewhere, is none.
func TestMetadata(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change map[string]any // nil takes a member out
		ok     bool
	}{
		{"as it is", nil, true},
		{"members of other types", map[string]any{"scopes_supported": 1, "x": nil}, true},
		{"endpoints elsewhere", map[string]any{"token_endpoint": "https://token.example/"}, true},
		{"another issuer", map[string]any{"issuer": "https://evil.example"}, false},
		{"the issuer with a slash", map[string]any{"issuer": issuer + "/"}, false},
		{"no issuer", map[string]any{"issuer": nil}, false},
		{"an issuer of another case of name", map[string]any{"issuer": nil, "Issuer": issuer}, false},
		{"no authorization endpoint", map[string]any{"authorization_endpoint": nil}, false},
		{"no token endpoint", map[string]any{"token_endpoint": nil}, false},
		{"no keys", map[string]any{"jwks_uri": nil}, false},
		{"keys over http", map[string]any{"jwks_uri": "http://idp.example/keys"}, false},
		{"keys on this host", map[string]any{"jwks_uri": "http://127.0.0.1/keys"}, false},
		{"a token endpoint that is a file", map[string]any{"token_endpoint": "file:///etc/passwd"}, false},
		{"a token endpoint among the secrets of clouds", map[string]any{"token_endpoint": "https://169.254.169.254/"}, false},
		{"a userinfo endpoint over http", map[string]any{"userinfo_endpoint": "http://idp.example/"}, false},
		{"a script for the browser", map[string]any{"authorization_endpoint": "javascript:alert(1)"}, false},
		{"an endpoint that is a list", map[string]any{"token_endpoint": []string{issuer + "/token"}}, false},
	} {
		f := newFake(t)
		maps.Copy(f.metadata, tt.change)
		maps.DeleteFunc(f.metadata, func(_ string, v any) bool { return v == nil })
		if _, err := newProvider(t).Authorize(t.Context(), f.env(), request()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A slash at the end of the issuer is part of its name, and not of the place of its metadata.
	f := newFake(t)
	f.metadata["issuer"], f.claims["iss"] = issuer+"/", issuer+"/"
	p := newProvider(t, func(c *oidc.Config) { c.Issuer = issuer + "/" })
	if _, err := f.signIn(t, p, back()); err != nil {
		t.Errorf("an issuer with a slash: %v", err)
	}
}

// SS-07, SS-03: a provider may do what it likes, in bounded time and space; the failure is not asked for again at once.
func TestMetadataThatCannotBeHad(t *testing.T) {
	t.Parallel()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	for name, page := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a page":   text("<!doctype html>"),
		"nothing":  text(""),
		"a list":   text("[]"),
		"a flood":  text(`{"issuer":"` + strings.Repeat("x", 2<<20)),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		},
	} {
		f := newFake(t)
		good := f.web
		f.web = idtokentest.NewWeb()
		f.web.Serve(discoveryURL, page)
		env := f.env()
		env.HTTP = outbound.Client(env.HTTP)
		p := newProvider(t)
		for range 10 {
			_, err := p.Authorize(t.Context(), env, request())
			if err == nil || len(err.Error()) > 500 {
				t.Fatalf("%s: %.500v", name, err)
			}
		}
		if n := len(f.web.Requests("")); n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
		f.web = good
		f.clock.Advance(10 * time.Second)
		if _, err := p.Authorize(t.Context(), f.env(), request()); err != nil {
			t.Errorf("%s: not found again: %v", name, err)
		}
	}
}

func TestMetadataIsSharedAndKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		document, err := json.Marshal(f.metadata)
		if err != nil {
			t.Fatal(err)
		}
		f.web.Serve(discoveryURL, func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(5 * time.Second)
			_, _ = w.Write(document)
		})
		p := newProvider(t)
		var wait sync.WaitGroup
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := p.Authorize(ctx, f.env(), request()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who has no time: %v", err)
			}
		})
		for range 20 {
			wait.Go(func() {
				if _, err := p.Authorize(t.Context(), f.env(), request()); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		for range 3 {
			if _, err := f.signIn(t, p, back()); err != nil {
				t.Error(err)
			}
		}
		if n := len(f.web.Requests(discoveryURL)); n != 1 {
			t.Errorf("%d requests for metadata", n)
		}
		// Half a day later it is asked for again, and the keys are still there.
		f.clock.Advance(12 * time.Hour)
		if _, err := p.Authorize(t.Context(), f.env(), request()); err != nil {
			t.Error(err)
		}
		if n := len(f.web.Requests(discoveryURL)); n != 2 {
			t.Errorf("%d requests for metadata after half a day", n)
		}
		f.web.Serve(issuer+"/keys", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		f.claims["iat"], f.claims["exp"] = f.clock.Now().Unix(), f.clock.Now().Add(time.Hour).Unix()
		if _, err := f.signIn(t, p, back()); err != nil {
			t.Errorf("the keys are lost with the metadata: %v", err)
		}
	})
}

// The algorithms are those that the metadata names; without any, the one that all have.
func TestAlgorithmsOfTheMetadata(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		named any
		signs string
		ok    bool
	}{
		{[]string{"ES256"}, "ES256", true},
		{[]string{"RS256", "HS256", "none"}, "ES256", false},
		{[]string{"HS256", "none"}, "ES256", false},
		{nil, "ES256", false},
		{nil, "RS256", true},
	} {
		f := newFake(t)
		f.key = idtokentest.NewKey(t, tt.signs, "key-1")
		delete(f.metadata, "id_token_signing_alg_values_supported")
		if tt.named != nil {
			f.metadata["id_token_signing_alg_values_supported"] = tt.named
		}
		if _, err := f.signIn(t, newProvider(t), back()); (err == nil) != tt.ok {
			t.Errorf("%s where %v are named: %v", tt.signs, tt.named, err)
		}
	}
}

// With all that is needed configured, the provider is not asked who it is.
func TestNoDiscovery(t *testing.T) {
	t.Parallel()
	for _, inBody := range []bool{false, true} {
		f := newFake(t)
		delete(f.claims, "email")
		p := newProvider(t, func(c *oidc.Config) {
			c.AuthorizationURL, c.TokenURL, c.JWKSURL = issuer+"/authorize", issuer+"/token", issuer+"/keys"
			c.UserInfoURL, c.SecretInBody = issuer+"/userinfo", inBody
		})
		if _, err := p.Authorize(t.Context(), f.env(), request()); err != nil {
			t.Error(err)
		}
		if got, err := f.signIn(t, p, back()); err != nil || got.Email != "b@example.com" {
			t.Errorf("%+v, %v", got, err)
		}
		if len(f.web.Requests(discoveryURL)) > 0 {
			t.Error("the metadata was asked for")
		}
		asked := f.web.Requests(issuer + "/token")[0]
		if _, _, basic := asked.BasicAuth(); basic == inBody || (asked.PostForm.Get("client_secret") == secret) != inBody {
			t.Errorf("SecretInBody is %v: header %v, form %v", inBody, basic, asked.PostForm)
		}
	}
	// One URL alone takes the place of what the metadata says.
	f := newFake(t)
	f.metadata["token_endpoint"] = "https://elsewhere.example/"
	p := newProvider(t, func(c *oidc.Config) { c.TokenURL = issuer + "/token" })
	if _, err := f.signIn(t, p, back()); err != nil {
		t.Error(err)
	}
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		methods any
		amend   func(*oidc.Config)
		inBody  bool
	}{
		{"nothing said", nil, nil, false},
		{"both", []string{"client_secret_post", "client_secret_basic"}, nil, false},
		{"both, and the body preferred", []string{"client_secret_post", "client_secret_basic"}, func(c *oidc.Config) { c.SecretInBody = true }, true},
		{"the body alone", []string{"client_secret_post"}, nil, true},
		{"the header alone", []string{"client_secret_basic"}, func(c *oidc.Config) { c.SecretInBody = true }, false},
		{"no secret", nil, func(c *oidc.Config) { c.ClientSecret = "" }, true},
	} {
		f := newFake(t)
		if tt.methods != nil {
			f.metadata["token_endpoint_auth_methods_supported"] = tt.methods
		}
		var amend []func(*oidc.Config)
		if tt.amend != nil {
			amend = append(amend, tt.amend)
		}
		if _, err := f.signIn(t, newProvider(t, amend...), back()); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		asked := f.web.Requests(issuer + "/token")
		_, _, basic := asked[0].BasicAuth()
		if len(asked) != 1 || basic == tt.inBody || asked[0].PostForm.Has("client_id") != tt.inBody {
			t.Errorf("%s: %d requests, header %v, form %v", tt.name, len(asked), basic, asked[0].PostForm)
		}
	}
}

// The code goes out once, whatever comes back, and what comes back is not repeated in the error.
func TestTokenEndpointThatFails(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"the-code ` + secret + ` ` + verifier + `"}`))
		},
		"a page":    func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "<html>", r.PostForm) },
		"no tokens": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/"+r.PostForm.Encode(), http.StatusTemporaryRedirect)
		},
		"a flood": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) },
	} {
		f := newFake(t)
		f.web.Serve(issuer+"/token", page)
		env := f.env()
		env.HTTP = outbound.Client(env.HTTP)
		_, err := newProvider(t).Exchange(t.Context(), env, back())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, s := range []string{"the-code", secret, verifier} {
			if strings.Contains(err.Error(), s) {
				t.Errorf("%s: the error has %q in it: %v", name, s, err)
			}
		}
		if n := len(f.web.Requests("")); n != 2 {
			t.Errorf("%s: %d requests, want 2", name, n)
		}
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.token = map[string]any{"access_token": "second", "token_type": "Bearer"}
	got, err := newProvider(t).Refresh(t.Context(), f.env(), refreshToken)
	if err != nil || got.AccessToken != "second" || got.RefreshToken != refreshToken || !got.ExpiresAt.IsZero() {
		t.Errorf("%q, %q, %v, %v", got.AccessToken, got.RefreshToken, got.ExpiresAt, err)
	}
	if form := f.web.Requests(issuer + "/token")[0].PostForm; form.Get("refresh_token") != refreshToken {
		t.Errorf("the form is %v", form)
	}
	if _, err := newProvider(t).Refresh(t.Context(), f.env(), ""); err == nil {
		t.Error("nothing is refreshed")
	}
}

// ID-05, ID-06, ID-08
func TestVerifyIDToken(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	p := newProvider(t, func(c *oidc.Config) { c.Audiences, c.ClientSecret = []string{"ios", "android"}, "" })
	for _, tt := range []struct {
		name   string
		change map[string]any
		nonce  string
		ok     bool
	}{
		{"for the client", nil, "the-nonce", true},
		{"for an app", map[string]any{"aud": "ios"}, "the-nonce", true},
		{"for another app", map[string]any{"aud": "windows"}, "the-nonce", false},
		{"for two apps", map[string]any{"aud": []string{"ios", "client"}, "azp": "ios"}, "the-nonce", true},
		{"for two apps, issued to a third", map[string]any{"aud": []string{"ios", "client"}, "azp": "windows"}, "the-nonce", false},
		{"another nonce", nil, "other", false},
		{"no nonce given", nil, "", false},
		{"another issuer", map[string]any{"iss": "https://evil.example"}, "the-nonce", false},
	} {
		claims := maps.Clone(f.claims)
		maps.Copy(claims, tt.change)
		got, err := p.VerifyIDToken(t.Context(), f.env(), f.key.Sign(t, claims), tt.nonce)
		if (err == nil) != tt.ok || tt.ok && got.Subject != "subject" {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	if n := len(f.web.Requests("")); n != 2 {
		t.Errorf("%d requests, want 2, and none to the other issuer", n)
	}
}

// SS-01
func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oidc.Config){
		"no issuer":              func(c *oidc.Config) { c.Issuer = "" },
		"Issuer over http":       func(c *oidc.Config) { c.Issuer = "http://idp.example" },
		"Issuer with a query":    func(c *oidc.Config) { c.Issuer = "https://idp.example?x=y" },
		"Issuer with a fragment": func(c *oidc.Config) { c.Issuer = "https://idp.example#x" },
		"ClientID":               func(c *oidc.Config) { c.ClientID = "" },
		"AuthorizationURL":       func(c *oidc.Config) { c.AuthorizationURL = "http://idp.example" },
		"TokenURL":               func(c *oidc.Config) { c.TokenURL = "file:///token" },
		"JWKSURL":                func(c *oidc.Config) { c.JWKSURL = "https://u:p@idp.example" },
		"UserInfoURL":            func(c *oidc.Config) { c.UserInfoURL = "https://169.254.169.254/" },
		"Audiences":              func(c *oidc.Config) { c.Audiences = []string{"a", ""} },
		"state":                  func(c *oidc.Config) { c.Params = map[string]string{"state": "x"} },
		"nonce":                  func(c *oidc.Config) { c.RequestParams = []string{"nonce"} },
		"response_type":          func(c *oidc.Config) { c.Params = map[string]string{"response_type": "token"} },
	} {
		c := config()
		change(&c)
		_, err := oidc.New(c)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if word, _, found := strings.Cut(name, " "); !found && !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := oidc.New(oidc.Config{TokenURL: "x"})
	for _, field := range []string{"Issuer", "ClientID", "TokenURL"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
	if _, err := oidc.New(oidc.Config{Issuer: "http://localhost:8080/realms/a", ClientID: "client"}); err != nil {
		t.Errorf("a provider of this host: %v", err)
	}
}

// LG-10
func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := config()
	p := newProvider(t)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "provider", p)
	marshalled, err := json.Marshal([]any{c, p})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprint(c, p), fmt.Sprintf("%+v %#v %s %q %x %d", c, c, c, c, c, c), fmt.Sprintf("%+v %#v %v", p, p, struct{ P any }{p}),
		log.String(), string(marshalled),
	} {
		if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret)) {
			t.Errorf("the secret is printed: %s", s)
		}
	}
}

func TestEnvIsNeeded(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	ctx, none := t.Context(), provider.Env{}
	_, a := p.Authorize(ctx, none, request())
	_, e := p.Exchange(ctx, none, back())
	_, f := p.Profile(ctx, none, back(), provider.Tokens{})
	_, r := p.Refresh(ctx, none, refreshToken)
	_, v := p.VerifyIDToken(ctx, none, "x", "")
	for _, err := range []error{a, e, f, r, v} {
		if err == nil {
			t.Error("a call without means succeeds")
		}
	}
}

func FuzzMetadata(f *testing.F) {
	x := newFake(f)
	document, err := json.Marshal(x.metadata)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(document))
	f.Add(`{"issuer":"https://idp.example","token_endpoint":null}`)
	f.Fuzz(func(t *testing.T, document string) {
		x.web.JSON(discoveryURL, document)
		got, err := newProvider(t).Authorize(t.Context(), x.env(), request())
		if err != nil {
			return
		}
		if u, err := url.Parse(got.URL); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%q sends the browser to %q", document, got.URL)
		}
	})
}
