package fakeidp_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what OAuth 1.0a signs with
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest/fakeidp"
)

// v1Call is a request of OAuth 1.0a that is about to be signed.
type v1Call struct {
	method, url               string
	query                     url.Values
	oauth                     map[string]string
	clientSecret, tokenSecret string
}

func escapeV1(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// signature is that of RFC 5849 §3.4, written down a second time.
func (c *v1Call) signature() string {
	var pairs []string
	for name, value := range c.oauth {
		if name != "oauth_signature" {
			pairs = append(pairs, escapeV1(name)+"="+escapeV1(value))
		}
	}
	for name, values := range c.query {
		for _, value := range values {
			pairs = append(pairs, escapeV1(name)+"="+escapeV1(value))
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha1.New, []byte(escapeV1(c.clientSecret)+"&"+escapeV1(c.tokenSecret)))
	_, _ = io.WriteString(mac, c.method+"&"+escapeV1(c.url)+"&"+escapeV1(strings.Join(pairs, "&")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// The signature of the example of RFC 5849 §1.2: what the tests sign with is not a mistake twice.
func TestTheTestsSignAsTheSpecificationDoes(t *testing.T) {
	t.Parallel()
	c := v1Call{
		method: "GET", url: "http://photos.example.net/photos", query: url.Values{"file": {"vacation.jpg"}, "size": {"original"}},
		oauth: map[string]string{
			"oauth_consumer_key": "dpf43f3p2l4k3l03", "oauth_token": "nnch734d00sl2jdk", "oauth_signature_method": "HMAC-SHA1",
			"oauth_timestamp": "137131202", "oauth_nonce": "chapoH",
		},
		clientSecret: "kd94hf93k423kf44", tokenSecret: "pfkkdhi9sl3r4s00",
	}
	if got, want := c.signature(), "MdpQcU8iPSUjWoN/UDMsK2sui9I="; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
}

// call is a request of the application, with parameters in pairs.
func (a *app) call(method, path, tokenSecret string, pairs ...string) *v1Call {
	c := &v1Call{
		method: method, url: a.URL() + path, clientSecret: a.client.Secret, tokenSecret: tokenSecret,
		oauth: map[string]string{
			"oauth_consumer_key": a.client.ID, "oauth_signature_method": "HMAC-SHA1", "oauth_nonce": rand.Text(),
			"oauth_timestamp": strconv.FormatInt(a.clock.Now().Unix(), 10), "oauth_version": "1.0",
		},
	}
	for i := 0; i < len(pairs); i += 2 {
		c.oauth[pairs[i]] = pairs[i+1]
	}
	return c
}

// send signs, unless that is done, and sends. It returns the status and the answer, a form or JSON.
func (c *v1Call) send(t testing.TB) (int, url.Values) {
	t.Helper()
	if _, ok := c.oauth["oauth_signature"]; !ok {
		c.oauth["oauth_signature"] = c.signature()
	}
	header := make([]string, 0, len(c.oauth))
	for name, value := range c.oauth {
		header = append(header, name+`="`+escapeV1(value)+`"`)
	}
	r, err := http.NewRequest(c.method, c.url+"?"+c.query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "OAuth "+strings.Join(header, ", "))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(string(body), "{") {
		var object jsonObject
		if err := json.Unmarshal(body, &object); err != nil {
			t.Fatal(err)
		}
		values := url.Values{}
		for name, value := range object {
			text, _ := value.(string)
			values.Set(name, text)
		}
		return answer.StatusCode, values
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, values
}

const v1Callback = redirectURI + "?state=the+state"

// requestToken gets a request token and its secret.
func (a *app) requestToken(t testing.TB) (token, secret string) {
	t.Helper()
	status, answer := a.call(http.MethodPost, fakeidp.RequestToken, "", "oauth_callback", v1Callback).send(t)
	if status != http.StatusOK || answer.Get("oauth_callback_confirmed") != "true" || answer.Get("oauth_token") == "" {
		t.Fatalf("request token: %d %v", status, answer)
	}
	return answer.Get("oauth_token"), answer.Get("oauth_token_secret")
}

func (a *app) authorizationV1(token string) string {
	return a.URL() + fakeidp.AuthorizationV1 + "?oauth_token=" + token
}

// accessToken signs Ada in.
func (a *app) accessToken(t testing.TB) url.Values {
	t.Helper()
	token, secret := a.requestToken(t)
	values := a.Visit(t, a.authorizationV1(token), a.ada).Values()
	status, answer := a.call(http.MethodPost, fakeidp.AccessToken, secret,
		"oauth_token", token, "oauth_verifier", values.Get("oauth_verifier")).send(t)
	if status != http.StatusOK {
		t.Fatalf("access token: %d %v", status, answer)
	}
	return answer
}

func TestAnAccountSignsInWithOAuth1(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	token, secret := a.requestToken(t)
	callback := a.Visit(t, a.authorizationV1(token), a.ada)
	values := callback.Values()
	if !strings.HasPrefix(callback.URL, v1Callback+"&") || values.Get("state") != "the state" || values.Get("oauth_token") != token {
		t.Errorf("the browser comes back to %s", callback.URL)
	}
	status, answer := a.call(http.MethodPost, fakeidp.AccessToken, secret,
		"oauth_token", token, "oauth_verifier", values.Get("oauth_verifier")).send(t)
	if status != http.StatusOK || answer.Get("user_id") != "ada" || answer.Get("screen_name") != "Ada Lovelace" {
		t.Fatalf("%d %v", status, answer)
	}
	c := a.call(http.MethodGet, fakeidp.VerifyCredentials, answer.Get("oauth_token_secret"), "oauth_token", answer.Get("oauth_token"))
	c.query = url.Values{"include_email": {"true"}, "more": {"b +~", "a&="}}
	status, profile := c.send(t)
	want := url.Values{
		"id_str": {"ada"}, "name": {"Ada Lovelace"}, "screen_name": {"Ada Lovelace"}, "email": {"ada@example.com"},
		"profile_image_url_https": {"https://example.com/ada.png"},
	}
	if diff := cmp.Diff(want, profile); status != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got)\n%s", status, diff)
	}
	a.Account(fakeidp.Account{Subject: "ada", Email: "ada@example.com"})
	delete(c.oauth, "oauth_signature")
	c.oauth["oauth_nonce"] = rand.Text()
	if _, profile := c.send(t); profile.Get("id_str") != "ada" || profile.Has("email") {
		t.Errorf("profile with an address that is not verified = %v", profile)
	}
	a.RevokeTokens(a.ada)
	delete(c.oauth, "oauth_signature")
	c.oauth["oauth_nonce"] = rand.Text()
	if status, _ := c.send(t); status != http.StatusUnauthorized {
		t.Errorf("after the owner has revoked it: %d", status)
	}
}

// A host that a transport leads to is signed for as https, which is how the client knows it.
func TestOAuth1SignsForTheAddressThatTheClientKnows(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Alias("/oauth/request_token", fakeidp.RequestToken)
	c := a.call(http.MethodPost, "", "", "oauth_callback", v1Callback)
	c.url = "https://api.twitter.com/oauth/request_token"
	for to, want := range map[string]int{
		c.url: http.StatusOK, "https://API.twitter.com:443/oauth/request_token": http.StatusOK,
		"https://api.twitter.com:8443/oauth/request_token": http.StatusUnauthorized,
	} {
		c.oauth["oauth_nonce"] = rand.Text()
		delete(c.oauth, "oauth_signature")
		r, err := http.NewRequest(http.MethodPost, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		header := `OAuth realm="Twitter", oauth_signature="` + escapeV1(c.signature()) + `"`
		for name, value := range c.oauth {
			header += ", " + name + `="` + escapeV1(value) + `"`
		}
		r.Header.Set("Authorization", header)
		client := http.Client{Transport: a.Transport(nil, "api.twitter.com", r.URL.Host)}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s, want %d", to, answer.Status, want)
		}
	}
}

func TestOAuth1RefusesARequest(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	tokens := a.accessToken(t)
	token, tokenSecret := tokens.Get("oauth_token"), tokens.Get("oauth_token_secret")
	other := a.Client(fakeidp.Client{RedirectURIs: []string{redirectURI}})
	request, requestSecret := a.requestToken(t)
	at := func(d time.Duration) string { return strconv.FormatInt(a.clock.Now().Add(d).Unix(), 10) }
	for name, amend := range map[string]func(c *v1Call){
		"nothing":                   nil,
		"a wrong signature":         func(c *v1Call) { c.oauth["oauth_signature"] = "AAAA" },
		"no signature":              func(c *v1Call) { c.oauth["oauth_signature"] = "" },
		"a wrong client secret":     func(c *v1Call) { c.clientSecret = "wrong" },
		"a wrong token secret":      func(c *v1Call) { c.tokenSecret = "wrong" },
		"no client":                 func(c *v1Call) { delete(c.oauth, "oauth_consumer_key") },
		"an unknown client":         func(c *v1Call) { c.oauth["oauth_consumer_key"] = "another" },
		"another client's token":    func(c *v1Call) { c.oauth["oauth_consumer_key"], c.clientSecret = other.ID, other.Secret },
		"plain text":                func(c *v1Call) { c.oauth["oauth_signature_method"] = "PLAINTEXT" },
		"another version":           func(c *v1Call) { c.oauth["oauth_version"] = "2.0" },
		"no token":                  func(c *v1Call) { delete(c.oauth, "oauth_token"); c.tokenSecret = "" },
		"a request token":           func(c *v1Call) { c.oauth["oauth_token"], c.tokenSecret = request, requestSecret },
		"no time":                   func(c *v1Call) { delete(c.oauth, "oauth_timestamp") },
		"a time long ago":           func(c *v1Call) { c.oauth["oauth_timestamp"] = at(-6 * time.Minute) },
		"a time to come":            func(c *v1Call) { c.oauth["oauth_timestamp"] = at(6 * time.Minute) },
		"no nonce":                  func(c *v1Call) { delete(c.oauth, "oauth_nonce") },
		"a query that is unsigned":  func(c *v1Call) { c.oauth["oauth_signature"] = c.signature(); c.query = url.Values{"a": {"b"}} },
		"a parameter in two places": func(c *v1Call) { c.query = url.Values{"oauth_nonce": {"another"}} },
	} {
		c := a.call(http.MethodGet, fakeidp.VerifyCredentials, tokenSecret, "oauth_token", token)
		want := http.StatusOK
		if amend != nil {
			amend(c)
			want = http.StatusUnauthorized
		}
		if status, answer := c.send(t); status != want {
			t.Errorf("%s: %d %v, want %d", name, status, answer, want)
		}
		if amend != nil {
			continue
		}
		if status, answer := c.send(t); status != http.StatusUnauthorized || !strings.Contains(answer.Get("error_description"), "nonce") {
			t.Errorf("the same nonce once more: %d %v", status, answer)
		}
	}
	for _, header := range []string{"OAuth", "OAuth a", `OAuth a="%zz"`, `OAuth a=b`} {
		r, err := http.NewRequest(http.MethodGet, a.URL()+fakeidp.VerifyCredentials, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		if status, answer := send(t, r); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %v", header, status, answer)
		}
	}
}

func TestOAuth1RefusesATrade(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for name, pairs := range map[string][]string{
		"another callback": {"oauth_callback", "https://evil.example/"},
		"out of band":      {"oauth_callback", "oob"},
		"no callback":      nil,
	} {
		if status, answer := a.call(http.MethodPost, fakeidp.RequestToken, "", pairs...).send(t); status != http.StatusForbidden {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	access := a.accessToken(t)
	c := a.call(http.MethodPost, fakeidp.RequestToken, "", "oauth_token", access.Get("oauth_token"), "oauth_callback", v1Callback)
	if status, answer := c.send(t); status != http.StatusUnauthorized {
		t.Errorf("a request token with an access token: %d %v", status, answer)
	}

	trade := func(token, secret, verifier string) int {
		t.Helper()
		status, _ := a.call(http.MethodPost, fakeidp.AccessToken, secret, "oauth_token", token, "oauth_verifier", verifier).send(t)
		return status
	}
	consented := func() (token, secret, verifier string) {
		t.Helper()
		token, secret = a.requestToken(t)
		return token, secret, a.Visit(t, a.authorizationV1(token), a.ada).Values().Get("oauth_verifier")
	}
	token, secret := a.requestToken(t)
	if status := trade(token, secret, ""); status != http.StatusUnauthorized {
		t.Errorf("nobody has consented: %d", status)
	}
	// OA-41
	token, secret, verifier := consented()
	if status := trade(token, secret, verifier); status != http.StatusOK {
		t.Errorf("the honest trade: %d", status)
	}
	if status := trade(token, secret, verifier); status != http.StatusUnauthorized {
		t.Errorf("a verifier twice: %d", status)
	}
	token, secret, _ = consented()
	_, _, verifier = consented()
	if status := trade(token, secret, verifier); status != http.StatusUnauthorized {
		t.Errorf("the verifier of another token: %d", status)
	}
	for name, token := range map[string]string{"no token": "", "an unknown token": "another", "a token that was consented to": func() string {
		token, _, _ := consented()
		return token
	}(), "an access token": access.Get("oauth_token")} {
		if said := failure(t, func(t testing.TB) { a.Visit(t, a.authorizationV1(token), a.ada) }); !strings.Contains(said, "not a request token") {
			t.Errorf("%s: the page says %q", name, said)
		}
	}
}

func TestWhoCancelsOAuth1ComesBackDenied(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	token, _ := a.requestToken(t)
	values := a.Cancel(t, a.authorizationV1(token)).Values()
	if names := slices.Sorted(maps.Keys(values)); !cmp.Equal(names, []string{"denied", "state"}) || values.Get("denied") != token {
		t.Errorf("the browser comes back with %v", values)
	}
	if said := failure(t, func(t testing.TB) { a.Visit(t, a.authorizationV1(token), a.ada) }); said == "" {
		t.Error("what was refused can be consented to")
	}
}
