package fakeidp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
	"github.com/ostiary/auth/authtest/fakeidp"
)

type jsonObject = map[string]any

const (
	redirectURI = "https://app.test/callback"
	verifier    = "a-code-verifier-of-forty-three-characters.~"
	nonce       = "the nonce"
)

// app is an application that does what it should.
type app struct {
	*fakeidp.Provider
	client fakeidp.Client
	ada    fakeidp.Account
	clock  *authtest.Clock
}

func newApp(t testing.TB, amend ...func(*fakeidp.Client)) *app {
	t.Helper()
	idp, clock := fakeidp.New(t), authtest.NewClock()
	idp.SetNow(clock.Now)
	client := fakeidp.Client{RedirectURIs: []string{redirectURI, redirectURI + "?a=b"}}
	for _, f := range amend {
		f(&client)
	}
	return &app{
		Provider: idp, clock: clock, client: idp.Client(client),
		ada: idp.Account(fakeidp.Account{
			Subject: "ada", Email: "ada@example.com", EmailVerified: true, Name: "Ada Lovelace", Picture: "https://example.com/ada.png",
		}),
	}
}

// set changes parameters, in pairs of a name and a value. A value of "-" takes the parameter away.
func set(values url.Values, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if values.Set(pairs[i], pairs[i+1]); pairs[i+1] == "-" {
			values.Del(pairs[i])
		}
	}
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authorizationURL is where the application sends a browser.
func (a *app) authorizationURL(pairs ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {a.client.ID}, "redirect_uri": {redirectURI}, "state": {"the state"},
		"scope": {"openid email profile"}, "nonce": {nonce},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	set(q, pairs...)
	return a.URL() + fakeidp.Authorization + "?" + q.Encode()
}

func (a *app) code(t testing.TB, pairs ...string) string {
	t.Helper()
	values := a.Visit(t, a.authorizationURL(pairs...), a.ada).Values()
	if values.Get("code") == "" {
		t.Fatalf("the browser comes back with %v", values)
	}
	return values.Get("code")
}

// post sends a form with the credentials of the client and returns the status and the JSON object of the answer.
func (a *app) post(t testing.TB, form url.Values) (int, jsonObject) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL()+fakeidp.Token, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !form.Has("client_id") {
		r.SetBasicAuth(url.QueryEscape(a.client.ID), url.QueryEscape(a.client.Secret))
	}
	return send(t, r)
}

// redeem trades a code for tokens.
func (a *app) redeem(t testing.TB, code string, pairs ...string) (int, jsonObject) {
	t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
	set(form, pairs...)
	return a.post(t, form)
}

func (a *app) refresh(t testing.TB, token any, pairs ...string) (int, jsonObject) {
	t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {fmt.Sprint(token)}}
	set(form, pairs...)
	return a.post(t, form)
}

// tokens signs Ada in.
func (a *app) tokens(t testing.TB, pairs ...string) jsonObject {
	t.Helper()
	status, answer := a.redeem(t, a.code(t, pairs...))
	if status != http.StatusOK {
		t.Fatalf("token endpoint: %d %v", status, answer)
	}
	return answer
}

// get asks with an access token.
func (a *app) get(t testing.TB, path string, token any) (int, jsonObject) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != nil {
		r.Header.Set("Authorization", fmt.Sprint("Bearer ", token))
	}
	return send(t, r)
}

func send(t testing.TB, r *http.Request) (int, jsonObject) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var object jsonObject
	if err := json.NewDecoder(answer.Body).Decode(&object); err != nil {
		t.Fatalf("%s %s: %s, %v", r.Method, r.URL, answer.Status, err)
	}
	return answer.StatusCode, object
}

// verify checks an id token as OpenID Connect Core §3.1.3.7 does.
func (a *app) verify(t testing.TB, idToken any) (jwt.MapClaims, error) {
	t.Helper()
	_, set := a.get(t, fakeidp.Keys, nil)
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(fmt.Sprint(idToken), claims, func(token *jwt.Token) (any, error) {
		for _, key := range set["keys"].([]any) {
			if key := key.(jsonObject); key["kid"] == token.Header["kid"] && key["alg"] == token.Header["alg"] {
				return publicKey(t, key), nil
			}
		}
		return nil, fmt.Errorf("no key %v", token.Header["kid"])
	}, jwt.WithValidMethods([]string{"RS256", "ES256", "EdDSA"}), jwt.WithIssuer(a.Issuer()), jwt.WithIssuedAt(),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(a.clock.Now))
	if err != nil {
		return nil, err
	}
	if subject, ok := claims["sub"].(string); !ok || subject == "" {
		return nil, fmt.Errorf("sub is %v", claims["sub"])
	}
	if claims["aud"] != a.client.ID {
		return nil, fmt.Errorf("aud is %v", claims["aud"])
	}
	if azp, ok := claims["azp"]; ok && azp != a.client.ID {
		return nil, fmt.Errorf("azp is %v", azp)
	}
	if claims["nonce"] != nonce {
		return nil, fmt.Errorf("nonce is %v", claims["nonce"])
	}
	return claims, nil
}

func publicKey(t testing.TB, key jsonObject) any {
	t.Helper()
	number := func(name string) *big.Int { return new(big.Int).SetBytes(unbase64(t, key[name])) }
	switch key["kty"] {
	case "RSA":
		return &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
	case "EC":
		point := append(append([]byte{4}, unbase64(t, key["x"])...), unbase64(t, key["y"])...)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		return public
	default:
		return ed25519.PublicKey(unbase64(t, key["x"]))
	}
}

func unbase64(t testing.TB, v any) []byte {
	t.Helper()
	s, _ := v.(string)
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || s == "" {
		t.Fatalf("%v is not base64url: %v", v, err)
	}
	return b
}

func TestAProviderKeepsAccountsBySubject(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	grace := a.Account(fakeidp.Account{Email: "grace@example.com"})
	if grace.Subject == "" || grace.Subject == a.Account(fakeidp.Account{}).Subject {
		t.Errorf("the subject that was made up is %q", grace.Subject)
	}
	tokens := a.tokens(t)
	a.Account(fakeidp.Account{Subject: "ada", Email: "countess@example.com"})
	if _, info := a.get(t, fakeidp.Userinfo, tokens["access_token"]); info["email"] != "countess@example.com" || info["name"] != nil {
		t.Errorf("userinfo of the account that has changed = %v", info)
	}
}

func TestAProviderKeepsClientsByID(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	if a.client.ID == "" || a.client.Secret == "" {
		t.Fatalf("client = %+v, want one with an id and a secret", a.client)
	}
	if public := a.Client(fakeidp.Client{Public: true}); public.Secret != "" || public.ID == a.client.ID {
		t.Errorf("public client = %+v, want one with another id and no secret", public)
	}
	code, old := a.code(t), a.client.Secret
	a.client.Secret = "another secret, with % + : in it"
	a.Client(a.client)
	if status, answer := a.redeem(t, code); status != http.StatusOK {
		t.Errorf("with the new secret: %d %v", status, answer)
	}
	a.client.Secret = old
	if status, answer := a.redeem(t, a.code(t)); status != http.StatusUnauthorized || answer["error"] != "invalid_client" {
		t.Errorf("with the old secret: %d %v", status, answer)
	}
}

func TestAProviderRecordsRequests(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Alias("/login/oauth/access_token", fakeidp.Token)
	form := url.Values{"grant_type": {"nonsense"}}
	r, err := http.NewRequest(http.MethodPost, a.URL()+"/login/oauth/access_token?x=y", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Client-Id", "abc")
	send(t, r)
	a.get(t, fakeidp.Discovery, nil)

	if n := len(a.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	for _, path := range []string{fakeidp.Token, "/login/oauth/access_token"} {
		requests := a.Requests(path)
		if len(requests) != 1 {
			t.Fatalf("%d requests to %s, want 1", len(requests), path)
		}
		got := requests[0]
		if got.Header.Get("Client-Id") != "abc" {
			t.Errorf("header = %v", got.Header)
		}
		got.Header = nil
		want := fakeidp.Request{
			Method: http.MethodPost, Host: r.URL.Host, Path: "/login/oauth/access_token", Query: url.Values{"x": {"y"}}, Form: form,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// Code that knows the addresses of a real provider meets this one.
func TestAProviderPlaysOthersByTheirAddresses(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.SetIssuer("https://login.example.com/tenant/v2.0")
	a.Alias("/tenant/oauth2/authorize", fakeidp.Authorization)
	a.Profile("/v1.0/me", func(account fakeidp.Account) any { return jsonObject{"id": account.Subject} })
	client := http.Client{Transport: a.Transport(nil, "login.example.com", "graph.example.com")}

	get := func(url, token string) (*http.Response, jsonObject) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var object jsonObject
		if err := json.NewDecoder(answer.Body).Decode(&object); err != nil {
			t.Fatal(err)
		}
		if answer.Request.URL.String() != url {
			t.Errorf("the answer seems to come from %s, want %s", answer.Request.URL, url)
		}
		return answer, object
	}
	_, discovered := get("https://login.example.com/tenant/v2.0/.well-known/openid-configuration", "")
	if discovered["issuer"] != "https://login.example.com/tenant/v2.0" || discovered["token_endpoint"] != "https://login.example.com/tenant/v2.0/token" {
		t.Errorf("discovery = %v", discovered)
	}
	at := strings.Replace(a.authorizationURL(), a.URL()+fakeidp.Authorization, "https://login.example.com/tenant/oauth2/authorize", 1)
	callback := a.Visit(t, at, a.ada)
	if iss := callback.Values().Get("iss"); iss != a.Issuer() {
		t.Errorf("iss = %q", iss)
	}
	_, tokens := a.redeem(t, callback.Values().Get("code"))
	if _, me := get("https://graph.example.com/v1.0/me", fmt.Sprint(tokens["access_token"])); me["id"] != "ada" {
		t.Errorf("profile = %v", me)
	}
	if hosts := a.Requests("/v1.0/me"); len(hosts) != 1 || hosts[0].Host != "graph.example.com" {
		t.Errorf("requests = %+v", hosts)
	}
}

func TestATransportLeadsElsewhereOnlyByTheNext(t *testing.T) {
	t.Parallel()
	a, b := newApp(t), newApp(t)
	if _, err := (&http.Client{Transport: a.Transport(nil)}).Get("https://example.com/"); err == nil || !strings.Contains(err.Error(), "outbound request to example.com") {
		t.Errorf("err = %v, want one that names the host", err)
	}
	both := http.Client{Transport: a.Transport(b.Transport(nil, "b.example.com"), "a.example.com")}
	for _, to := range []string{"https://a.example.com/", "https://b.example.com/", a.URL(), b.URL()} {
		answer, err := both.Get(to)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if len(a.Requests()) != 2 || len(b.Requests()) != 2 {
		t.Errorf("%d and %d requests, want 2 and 2", len(a.Requests()), len(b.Requests()))
	}
}

func TestClosingAProviderEndsWhatHangs(t *testing.T) {
	t.Parallel()
	idp, err := fakeidp.Start("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(idp.URL(), "http://localhost:") || strings.HasSuffix(idp.URL(), ":0") || idp.Issuer() != idp.URL() {
		t.Errorf("URL = %s, issuer = %s", idp.URL(), idp.Issuer())
	}
	if second, err := fakeidp.Start(strings.TrimPrefix(idp.URL(), "http://")); err == nil {
		second.Close()
		t.Error("two providers listen at one address")
	}
	arrived := make(chan struct{})
	idp.Break(fakeidp.Keys, fakeidp.FaultHang(nil), fakeidp.FaultHandler(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			next.ServeHTTP(w, r)
		})
	}))
	ended := make(chan error)
	go func() {
		answer, err := (&http.Client{Transport: &http.Transport{}}).Get(idp.URL() + fakeidp.Keys)
		if err == nil {
			answer.Body.Close()
		}
		ended <- err
	}()
	<-arrived
	idp.Close()
	if <-ended == nil {
		t.Error("what hangs was answered")
	}
	idp.Close()
}

func TestEndpointsHaveTheirMethods(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Profile("/me", func(fakeidp.Account) any { return nil })
	for path, allow := range map[string]string{
		fakeidp.Discovery: "GET", fakeidp.Keys: "GET", fakeidp.Token: "POST", fakeidp.Userinfo: "GET, POST",
		fakeidp.Authorization: "GET, POST", fakeidp.AuthorizationV1: "GET, POST", fakeidp.RequestToken: "POST",
		fakeidp.AccessToken: "POST", "/me": "GET",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			r, err := http.NewRequest(method, a.URL()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if refused := answer.StatusCode == http.StatusMethodNotAllowed; refused == strings.Contains(allow, method) {
				t.Errorf("%s %s: %s", method, path, answer.Status)
			} else if refused && answer.Header.Get("Allow") != allow {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, answer.Header.Get("Allow"), allow)
			}
		}
	}
}

func TestARequestThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	form := "application/x-www-form-urlencoded"
	for name, r := range map[string]struct{ query, body string }{
		"a query that is none": {"?a=%zz", ""},
		"a form that is none":  {"", "a=%zz"},
		"a huge form":          {"", "a=" + strings.Repeat("a", 1<<20)},
	} {
		answer, err := http.Post(a.URL()+fakeidp.Token+r.query, form, strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "cannot be read") {
			t.Errorf("%s: %s %s %v", name, answer.Status, body, err)
		}
	}
}

// fatal is what a test that fails says.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Helper()                  {}
func (f *fatal) Context() context.Context { return f.TB.Context() }
func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

// failure returns with what f fails its test, or the empty string.
func failure(t testing.TB, f func(testing.TB)) (said string) {
	t.Helper()
	failing := &fatal{TB: t}
	defer func() {
		if r := recover(); r != nil && r != failing { //nolint:errorlint // it is no error
			panic(r)
		}
		said = failing.said
	}()
	f(failing)
	return ""
}

func TestAVisitThatLeadsNowhereFailsTheTest(t *testing.T) {
	t.Parallel()
	a, other := newApp(t), newApp(t)
	for name, c := range map[string]struct {
		url  string
		want string
	}{
		"another provider":         {other.authorizationURL(), "is another provider"},
		"a redirect URI of others": {a.authorizationURL("redirect_uri", "https://evil.example/"), "redirect_uri is not one"},
		"no URL":                   {"http://a b/", "invalid character"},
	} {
		if said := failure(t, func(t testing.TB) { a.Visit(t, c.url, a.ada) }); !strings.Contains(said, c.want) {
			t.Errorf("%s: the test fails with %q, want %q", name, said, c.want)
		}
		if said := failure(t, func(t testing.TB) { a.Cancel(t, c.url) }); !strings.Contains(said, c.want) {
			t.Errorf("%s: the test fails with %q, want %q", name, said, c.want)
		}
	}
	stranger := fakeidp.Account{Subject: "stranger"}
	if said := failure(t, func(t testing.TB) { a.Visit(t, a.authorizationURL(), stranger) }); !strings.Contains(said, "Choose an account") {
		t.Errorf("with an unknown account the test fails with %q", said)
	}
	a.Close()
	if said := failure(t, func(t testing.TB) { a.Visit(t, a.authorizationURL(), a.ada) }); said == "" {
		t.Error("the provider is closed and sends the browser back")
	}
}

func TestACallbackIsARequestOfABrowser(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	get, err := a.Visit(t, a.authorizationURL(), a.ada).Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if get.Method != http.MethodGet || !strings.HasPrefix(get.URL.String(), redirectURI+"?") || get.FormValue("state") != "the state" {
		t.Errorf("%s %s", get.Method, get.URL)
	}
	if get.Header.Get("Sec-Fetch-Site") != "cross-site" || get.Header.Get("Origin") != "" {
		t.Errorf("header = %v", get.Header)
	}
	callback := a.Visit(t, a.authorizationURL("response_mode", "form_post"), a.ada)
	post, err := callback.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if post.Method != http.MethodPost || post.URL.String() != redirectURI || post.Header.Get("Origin") != a.URL() {
		t.Errorf("%s %s %v", post.Method, post.URL, post.Header)
	}
	if err := post.ParseForm(); err != nil || !cmp.Equal(post.PostForm, callback.Values()) || post.PostForm.Get("state") != "the state" {
		t.Errorf("form = %v, %v", post.PostForm, err)
	}
	if _, err := (fakeidp.Callback{Method: http.MethodGet, URL: "::"}).Request(t.Context()); err == nil {
		t.Error("a URL that is none makes a request")
	}
}

func TestOnePersonDoesNotGetInTheWayOfAnother(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i := range 20 {
		subject := fmt.Sprint("person ", i)
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			account := a.Account(fakeidp.Account{Subject: subject})
			_, tokens := a.redeem(t, a.Visit(t, a.authorizationURL(), account).Values().Get("code"))
			if claims, err := a.verify(t, tokens["id_token"]); err != nil || claims["sub"] != subject {
				t.Errorf("the id token says %v, %v", claims, err)
			}
		})
	}
}
