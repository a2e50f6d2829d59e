package fakeidp_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest/fakeidp"
)

func TestAnAccountSignsInWithACode(t *testing.T) {
	t.Parallel()
	public := func(c *fakeidp.Client) { c.Public = true }
	inBody := func(c *fakeidp.Client) { c.Secret, c.AuthMethod = "the secret", "client_secret_post" }
	for name, c := range map[string]struct {
		amend         func(*fakeidp.Client)
		authorization []string
		token         []string
	}{
		"with a secret in the header": {},
		"with only such":              {amend: func(c *fakeidp.Client) { c.AuthMethod = "client_secret_basic" }},
		"with a secret in the body":   {amend: inBody, token: []string{"client_id", "the client", "client_secret", "the secret"}},
		"without a secret":            {amend: public, token: []string{"client_id", "the client"}},
		"without PKCE": {
			authorization: []string{"code_challenge", "-", "code_challenge_method", "-"}, token: []string{"code_verifier", "-"},
		},
		"with a query of its own": {
			authorization: []string{"redirect_uri", redirectURI + "?a=b"}, token: []string{"redirect_uri", redirectURI + "?a=b"},
		},
		"without a state":    {authorization: []string{"state", "-"}},
		"by form_post":       {authorization: []string{"response_mode", "form_post"}},
		"by response_mode":   {authorization: []string{"response_mode", "query"}},
		"with listed scopes": {amend: func(c *fakeidp.Client) { c.Scopes = []string{"openid", "email", "profile"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, func(client *fakeidp.Client) {
				client.ID = "the client"
				if c.amend != nil {
					c.amend(client)
				}
			})
			at := a.authorizationURL(c.authorization...)
			asked, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			callback := a.Visit(t, at, a.ada)
			values := callback.Values()
			if callback.Method == http.MethodGet && !strings.HasPrefix(callback.URL, asked.Query().Get("redirect_uri")) {
				t.Errorf("the browser is sent to %s", callback.URL)
			}
			if values.Get("state") != asked.Query().Get("state") || values.Has("state") != asked.Query().Has("state") {
				t.Errorf("state = %q, want that of %s", values.Get("state"), at)
			}
			if values.Get("iss") != a.Issuer() || values.Has("error") {
				t.Errorf("the browser comes back with %v", values)
			}
			status, tokens := a.redeem(t, values.Get("code"), c.token...)
			if status != http.StatusOK || tokens["token_type"] != "Bearer" || tokens["expires_in"] != 3600.0 || tokens["scope"] != "openid email profile" {
				t.Fatalf("%d %v", status, tokens)
			}
			if status, info := a.get(t, fakeidp.Userinfo, tokens["access_token"]); status != http.StatusOK || info["sub"] != "ada" {
				t.Errorf("userinfo: %d %v", status, info)
			}
		})
	}
}

// Who asks with a redirect URI that is not known to be the client's is not redirected: RFC 6749 §4.1.2.1.
func TestARequestOfNobodyKnownIsNotSentBack(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for name, at := range map[string]string{
		"no client":                    a.authorizationURL("client_id", "-"),
		"an empty client":              a.authorizationURL("client_id", ""),
		"an unknown client":            a.authorizationURL("client_id", "another"),
		"two clients":                  a.authorizationURL() + "&client_id=another",
		"no redirect URI":              a.authorizationURL("redirect_uri", "-"),
		"a redirect URI that goes on":  a.authorizationURL("redirect_uri", redirectURI+"/more"),
		"a redirect URI with a query":  a.authorizationURL("redirect_uri", redirectURI+"?x=y"),
		"a redirect URI in other case": a.authorizationURL("redirect_uri", "https://APP.test/callback"),
		"two redirect URIs":            a.authorizationURL() + "&redirect_uri=" + url.QueryEscape(redirectURI),
	} {
		answer, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", name, answer.Status)
		}
	}
}

func TestABadRequestIsSentBackWithAnError(t *testing.T) {
	t.Parallel()
	hybrid := func(pairs ...string) []string {
		return append([]string{"response_type", "code id_token", "response_mode", "form_post"}, pairs...)
	}
	listed := func(c *fakeidp.Client) { c.Scopes = []string{"openid"} }
	noChallenge := []string{"code_challenge", "-", "code_challenge_method", "-"}
	for name, c := range map[string]struct {
		amend func(*fakeidp.Client)
		pairs []string
		more  string
		want  string
	}{
		"no response type":               {pairs: []string{"response_type", "-"}, want: "invalid_request"},
		"the implicit flow":              {pairs: []string{"response_type", "token"}, want: "unsupported_response_type"},
		"an unknown response mode":       {pairs: []string{"response_mode", "fragment"}, want: "invalid_request"},
		"a parameter twice":              {more: "&state=another", want: "invalid_request"},
		"an id token in the query":       {pairs: []string{"response_type", "code id_token"}, want: "invalid_request"},
		"an id token without openid":     {pairs: hybrid("scope", "email"), want: "invalid_scope"},
		"an id token without nonce":      {pairs: hybrid("nonce", "-"), want: "invalid_request"},
		"a scope that is not the client": {amend: listed, want: "invalid_scope"},
		"a request object":               {pairs: []string{"request", "a.b.c"}, want: "request_not_supported"},
		"a request object elsewhere":     {pairs: []string{"request_uri", "https://app.test/"}, want: "request_uri_not_supported"},
		"a plain challenge":              {pairs: []string{"code_challenge_method", "plain"}, want: "invalid_request"},
		"a challenge of no method":       {pairs: []string{"code_challenge_method", "-"}, want: "invalid_request"},
		"a method without challenge":     {pairs: []string{"code_challenge", "-"}, want: "invalid_request"},
		"a challenge that is no SHA-256": {pairs: []string{"code_challenge", "c2hvcnQ"}, want: "invalid_request"},
		"a challenge in another base64":  {pairs: []string{"code_challenge", strings.Repeat("/", 43)}, want: "invalid_request"},
		"no challenge, and required":     {amend: func(c *fakeidp.Client) { c.RequirePKCE = true }, pairs: noChallenge, want: "invalid_request"},
		"no challenge of a public one":   {amend: func(c *fakeidp.Client) { c.Public = true }, pairs: noChallenge, want: "invalid_request"},
		"nobody signed in and no prompt": {pairs: []string{"prompt", "none"}, want: "login_required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			if c.amend != nil {
				c.amend(&a.client)
				a.client = a.Client(a.client)
			}
			callback := a.Visit(t, a.authorizationURL(c.pairs...)+c.more, a.ada)
			values := callback.Values()
			if values.Get("error") != c.want || values.Get("error_description") == "" || values.Has("code") || values.Has("id_token") {
				t.Errorf("the browser comes back with %v, want the error %s", values, c.want)
			}
			if values.Get("state") != "the state" || values.Get("iss") != a.Issuer() {
				t.Errorf("state = %q, iss = %q", values.Get("state"), values.Get("iss"))
			}
		})
	}
}

func TestTheTokenEndpointRefuses(t *testing.T) {
	t.Parallel()
	const invalidClient, invalidRequest, invalidGrant = "invalid_client", "invalid_request", "invalid_grant"
	noChallenge := []string{"code_challenge", "-", "code_challenge_method", "-"}
	for name, c := range map[string]struct {
		authorization []string
		token         []string
		amend         func(a *app)
		want          string
	}{
		"a wrong secret in the header":      {amend: func(a *app) { a.client.Secret = "wrong" }, want: invalidClient},
		"an unknown client":                 {amend: func(a *app) { a.client.ID = "another" }, want: invalidClient},
		"another client in the body":        {token: []string{"client_id", "the client", "client_secret", "wrong"}, want: invalidClient},
		"no secret":                         {token: []string{"client_id", "the client"}, want: invalidClient},
		"no client":                         {token: []string{"client_id", ""}, want: invalidClient},
		"a secret of a public client":       {amend: asPublic, token: []string{"client_id", "the client", "client_secret", "x"}, want: invalidClient},
		"a header of a client of the body":  {amend: onlyBy("client_secret_post"), want: invalidClient},
		"a body of a client of the header":  {amend: onlyBy("client_secret_basic"), token: []string{"client_id", "the client", "client_secret", "the secret"}, want: invalidClient},
		"no grant type":                     {token: []string{"grant_type", "-"}, want: invalidRequest},
		"another grant type":                {token: []string{"grant_type", "password"}, want: "unsupported_grant_type"},
		"no code":                           {token: []string{"code", "-"}, want: invalidRequest},
		"another code":                      {token: []string{"code", "another"}, want: invalidGrant},
		"no redirect URI":                   {token: []string{"redirect_uri", "-"}, want: invalidGrant},
		"another redirect URI":              {token: []string{"redirect_uri", redirectURI + "?a=b"}, want: invalidGrant},
		"no verifier":                       {token: []string{"code_verifier", "-"}, want: invalidGrant},
		"another verifier":                  {token: []string{"code_verifier", strings.Repeat("a", 43)}, want: invalidGrant},
		"a verifier without a challenge":    {authorization: noChallenge, want: invalidGrant},
		"a verifier that is too short":      {authorization: challengeOf("short"), token: []string{"code_verifier", "short"}, want: invalidGrant},
		"a verifier that is too long":       {authorization: challengeOf(strings.Repeat("a", 129)), token: []string{"code_verifier", strings.Repeat("a", 129)}, want: invalidGrant},
		"a verifier with other characters":  {authorization: challengeOf(strings.Repeat("/", 43)), token: []string{"code_verifier", strings.Repeat("/", 43)}, want: invalidGrant},
		"a code after a minute":             {amend: func(a *app) { a.clock.Advance(time.Minute) }, want: invalidGrant},
		"a code of another client":          {amend: func(a *app) { a.client = a.Client(fakeidp.Client{}) }, want: invalidGrant},
		"a code of a revoked consent":       {amend: func(a *app) { a.RevokeTokens(a.ada) }, want: invalidGrant},
		"a refresh token that is none":      {token: []string{"grant_type", "refresh_token", "refresh_token", "x"}, want: invalidGrant},
		"a refresh without a refresh token": {token: []string{"grant_type", "refresh_token"}, want: invalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, func(client *fakeidp.Client) { client.ID, client.Secret = "the client", "the secret" })
			code := a.code(t, c.authorization...)
			if c.amend != nil {
				c.amend(a)
			}
			want := http.StatusBadRequest
			if c.want == invalidClient {
				want = http.StatusUnauthorized
			}
			status, answer := a.redeem(t, code, c.token...)
			if status != want || answer["error"] != c.want || answer["error_description"] == "" || answer["access_token"] != nil {
				t.Errorf("%d %v, want %d %s", status, answer, want, c.want)
			}
		})
	}
}

func asPublic(a *app) {
	a.client.Public = true
	a.Client(a.client)
}

func onlyBy(method string) func(*app) {
	return func(a *app) {
		a.client.AuthMethod = method
		a.Client(a.client)
	}
}

func challengeOf(verifier string) []string {
	return []string{"code_challenge", challenge(verifier)}
}

func TestTheTokenEndpointTakesFormsAlone(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {a.code(t)}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
		"client_id": {a.client.ID}, "client_secret": {a.client.Secret},
	}
	const kind = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct{ query, kind, body, user string }{
		"JSON":                         {kind: "application/json", body: "{}"},
		"parameters in the URL":        {query: "?" + form.Encode(), kind: kind},
		"one parameter in the URL":     {query: "?client_secret=x", kind: kind, body: form.Encode()},
		"a parameter twice":            {kind: kind, body: form.Encode() + "&code=another"},
		"credentials in both places":   {kind: kind, body: form.Encode(), user: a.client.ID},
		"the same as a URL and a form": {query: "?" + form.Encode(), kind: kind, body: form.Encode()},
	} {
		r, err := http.NewRequest(http.MethodPost, a.URL()+fakeidp.Token+c.query, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.kind)
		if c.user != "" {
			r.SetBasicAuth(c.user, a.client.Secret)
		}
		if status, answer := send(t, r); status != http.StatusBadRequest || answer["error"] != "invalid_request" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	another := a.Client(fakeidp.Client{})
	contradiction := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {a.client.ID}}
	r, err := http.NewRequest(http.MethodPost, a.URL()+fakeidp.Token, strings.NewReader(contradiction.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.SetBasicAuth(another.ID, another.Secret)
	if status, answer := send(t, r); status != http.StatusUnauthorized || answer["error"] != "invalid_client" {
		t.Errorf("one client in the header and another in the body: %d %v", status, answer)
	}
	if status, answer := a.post(t, form); status != http.StatusOK {
		t.Errorf("the honest request: %d %v", status, answer)
	}
}

func TestTokensAreNotToBeStored(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	r, err := http.NewRequest(http.MethodPost, a.URL()+fakeidp.Token, strings.NewReader("client_id=x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("x", "y")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("header = %v, want one with no-store and Basic", answer.Header)
	}
}

// The second use of a code ends what came of the first: RFC 6749 §4.1.2.
func TestACodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	code := a.code(t)
	_, tokens := a.redeem(t, code)
	if status, info := a.get(t, fakeidp.Userinfo, tokens["access_token"]); status != http.StatusOK {
		t.Fatalf("before the second use: %d %v", status, info)
	}
	if status, answer := a.redeem(t, code); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("the second use: %d %v", status, answer)
	}
	if status, info := a.get(t, fakeidp.Userinfo, tokens["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("the access token of the first: %d %v", status, info)
	}
	if status, answer := a.refresh(t, tokens["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("the refresh token of the first: %d %v", status, answer)
	}
}

func TestAFailedAttemptSpendsACode(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	code := a.code(t)
	honest := a.client
	a.client = a.Client(fakeidp.Client{})
	a.redeem(t, code) // somebody else's attempt changes nothing
	a.client = honest
	a.redeem(t, code, "code_verifier", strings.Repeat("a", 43))
	if status, answer := a.redeem(t, code); status != http.StatusBadRequest {
		t.Errorf("after a wrong verifier: %d %v", status, answer)
	}
	code = a.code(t)
	a.client = a.Client(fakeidp.Client{})
	a.redeem(t, code)
	a.client = honest
	if status, answer := a.redeem(t, code); status != http.StatusOK {
		t.Errorf("after another client's attempt: %d %v", status, answer)
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.tokens(t)
	status, second := a.refresh(t, first["refresh_token"])
	if status != http.StatusOK || second["refresh_token"] == first["refresh_token"] || second["access_token"] == first["access_token"] {
		t.Fatalf("%d %v after %v", status, second, first)
	}
	status, third := a.refresh(t, second["refresh_token"], "scope", "openid")
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, third)
	}
	if status, answer := a.refresh(t, third["refresh_token"], "scope", "openid more"); status != http.StatusBadRequest || answer["error"] != "invalid_scope" {
		t.Errorf("with more scope than was granted: %d %v", status, answer)
	}
	honest := a.client
	a.client = a.Client(fakeidp.Client{})
	if status, answer := a.refresh(t, third["refresh_token"]); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("of another client: %d %v", status, answer)
	}
	a.client = honest
	if status, answer := a.refresh(t, first["refresh_token"]); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("the first once more: %d %v", status, answer)
	}
	// RFC 9700 §4.14.2: a second use is theft, and ends all.
	if status, answer := a.refresh(t, third["refresh_token"]); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("the last after reuse of the first: %d %v", status, answer)
	}
	if status, info := a.get(t, fakeidp.Userinfo, third["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("the access token after reuse: %d %v", status, info)
	}
}

func TestRefreshTokensThatAreKept(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(c *fakeidp.Client) { c.KeepRefreshToken = true })
	tokens := a.tokens(t)
	for range 3 {
		if status, answer := a.refresh(t, tokens["refresh_token"]); status != http.StatusOK || answer["refresh_token"] != nil {
			t.Errorf("%d %v, want an answer without a refresh token", status, answer)
		}
	}
	a.RevokeTokens(a.ada)
	if status, answer := a.refresh(t, tokens["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("after the owner has revoked it: %d %v", status, answer)
	}
	if b := newApp(t, func(c *fakeidp.Client) { c.NoRefreshToken = true }); b.tokens(t)["refresh_token"] != nil {
		t.Error("there is a refresh token for a client that gets none")
	}
}

func TestAnAccessTokenIsNeededAndExpires(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Profile("/me", func(account fakeidp.Account) any { return []any{account.Name} })
	a.Profile("/raw", func(fakeidp.Account) any { return []byte(`{"id": 9007199254740993}`) })
	a.Profile("/broken", func(fakeidp.Account) any { return func() {} })
	token := a.tokens(t)["access_token"].(string)
	for name, header := range map[string][]string{
		"none": nil, "another": {"Bearer another"}, "no scheme": {token}, "an empty one": {"Bearer "}, "another scheme": {"Basic " + token},
		"two": {"Bearer " + token, "Bearer another"},
	} {
		r, err := http.NewRequest(http.MethodGet, a.URL()+"/me?access_token="+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = header
		if status, answer := send(t, r); status != http.StatusUnauthorized || answer["error"] != "invalid_token" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	body := func(path string) string {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, a.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status + " " + string(b)
	}
	for path, want := range map[string]string{"/me": `200 OK ["Ada Lovelace"]`, "/raw": `200 OK {"id": 9007199254740993}`} {
		if got := body(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := body("/broken"); !strings.HasPrefix(got, "500 ") {
		t.Errorf("what has no JSON: %s", got)
	}
	a.clock.Advance(time.Hour - time.Second)
	if got := body("/me"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("within its life: %s", got)
	}
	a.clock.Advance(time.Second)
	if got := body("/me"); !strings.HasPrefix(got, "401 ") {
		t.Errorf("after its life: %s", got)
	}
}

func TestWhoIsKnownIsNotAsked(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	grace := a.Account(fakeidp.Account{Subject: "grace", Email: "Grace@Example.com"})
	// A person who cancels if asked tells whether somebody was asked.
	comesBackAs := func(pairs ...string) any {
		t.Helper()
		values := a.Cancel(t, a.authorizationURL(pairs...)).Values()
		if values.Has("error") {
			return values.Get("error")
		}
		_, tokens := a.redeem(t, values.Get("code"))
		claims, err := a.verify(t, tokens["id_token"])
		if err != nil {
			t.Fatal(err)
		}
		return claims["sub"]
	}
	var got []any
	got = append(got, comesBackAs(), comesBackAs("login_hint", "grace"), comesBackAs("login_hint", "grace@example.com"), comesBackAs("login_hint", "nobody"))
	got = append(got, comesBackAs("login_hint", "grace", "prompt", "select_account"))
	a.SignedIn(grace)
	got = append(got, comesBackAs(), comesBackAs("prompt", "none"), comesBackAs("prompt", "login"), comesBackAs("login_hint", "ada"))
	a.SignedIn(fakeidp.Account{})
	got = append(got, comesBackAs(), comesBackAs("prompt", "none"))
	want := []any{
		"access_denied", "grace", "grace", "access_denied", "access_denied",
		"grace", "grace", "access_denied", "ada",
		"access_denied", "login_required",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
