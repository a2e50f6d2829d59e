package authtest_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/auth/authtest"
)

// Each lie is one by which an honest application can tell, and leaves all else as it is.
func TestLiesAreTold(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	honest := part(t, a.tokens(t)["id_token"], 1)
	delete(honest, "at_hash")
	aud, now := a.client.ID, float64(a.clock.Now().Unix())
	for name, c := range map[string]struct {
		lie    func(*authtest.IDToken)
		want   jsonObject // nil stands for a claim that is missing
		header jsonObject
		err    string
	}{
		"wrong nonce":             {authtest.LieWrongNonce, jsonObject{"nonce": "another-nonce"}, nil, "nonce is another-nonce"},
		"no nonce":                {authtest.LieNoNonce, jsonObject{"nonce": nil}, nil, "nonce is <nil>"},
		"wrong audience":          {authtest.LieWrongAudience, jsonObject{"aud": "another-client"}, nil, "aud is"},
		"extra audience":          {authtest.LieExtraAudience, jsonObject{"aud": []any{aud, "another-client"}}, nil, "aud is"},
		"wrong azp":               {authtest.LieWrongAZP, jsonObject{"azp": "another-client"}, nil, "azp is"},
		"expired":                 {authtest.LieExpired, jsonObject{"iat": now - 4200, "exp": now - 3600, "auth_time": now - 4200}, nil, "expired"},
		"not yet issued":          {authtest.LieNotYetIssued, jsonObject{"iat": now + 3600, "exp": now + 4200, "auth_time": now + 3600}, nil, "used before issued"},
		"alg none":                {authtest.LieAlgNone, nil, jsonObject{"alg": "none"}, "signing method none"},
		"signed with public key":  {authtest.LieSignedWithPublicKey, nil, jsonObject{"alg": "HS256"}, "signing method HS256"},
		"unknown key name":        {authtest.LieUnknownKeyName, nil, jsonObject{"kid": "unknown"}, "no key unknown"},
		"wrong key":               {authtest.LieWrongKey, nil, nil, "signature is invalid"},
		"other issuer":            {authtest.LieOtherIssuer, jsonObject{"iss": "https://another-issuer.example"}, nil, "issuer"},
		"no subject":              {authtest.LieNoSubject, jsonObject{"sub": nil}, nil, "sub is <nil>"},
		"numeric subject":         {authtest.LieNumericSubject, jsonObject{"sub": 12345.0}, nil, "sub"},
		"other subject":           {authtest.LieOtherSubject, jsonObject{"sub": "another-subject"}, nil, ""},
		"email_verified is text":  {authtest.LieEmailVerifiedIsText, jsonObject{"email_verified": "true"}, nil, ""},
		"wrong hash":              {authtest.LieWrongHash, jsonObject{"at_hash": strings.Repeat("A", 22)}, nil, ""},
		"a claim of the test's":   {authtest.IDTokenClaim("roles", []any{"admin"}), jsonObject{"roles": []any{"admin"}}, nil, ""},
		"claims that are missing": {authtest.IDTokenWithout("exp", "email"), jsonObject{"exp": nil, "email": nil}, nil, "exp"},
	} {
		a.LieOnce(c.lie)
		token := a.tokens(t)["id_token"]
		_, err := a.verify(t, token)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: an honest application says %v, want %q", name, err, c.err)
		}
		want := jsonObject{}
		for _, claims := range []jsonObject{honest, c.want} {
			for claim, value := range claims {
				if want[claim] = value; value == nil {
					delete(want, claim)
				}
			}
		}
		got := part(t, token, 1)
		if _, ok := c.want["at_hash"]; !ok {
			delete(got, "at_hash")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		wantHeader := jsonObject{"alg": "RS256", "kid": "1", "typ": "JWT"}
		for member, value := range c.header {
			wantHeader[member] = value
		}
		if diff := cmp.Diff(wantHeader, headerOf(t, token)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if _, err := a.verify(t, a.tokens(t)["id_token"]); err != nil {
			t.Errorf("%s: the lie is told twice: %v", name, err)
		}
	}
}

// What the two lies about algorithms claim to be is what they are: an application that falls for them would be deceived.
func TestLiesAboutAlgorithmsAreGood(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for name, algorithm := range map[string]int{"RS256": authtest.RS256, "ES256": authtest.ES256, "EdDSA": authtest.EdDSA} {
		if err := a.RotateKey(algorithm); err != nil {
			t.Fatal(err)
		}
		var pem any
		peek := func(token *authtest.IDToken) { pem = token.Key }
		fooled := a.IDToken(t, a.ada, authtest.LieSignedWithPublicKey, peek)
		if _, err := jwt.Parse(fooled, func(*jwt.Token) (any, error) { return pem, nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if key, _ := pem.([]byte); !bytes.HasPrefix(key, []byte("-----BEGIN PUBLIC KEY-----\n")) {
			t.Errorf("%s: the secret is %v", name, pem)
		}
		unsigned := a.IDToken(t, a.ada, authtest.LieAlgNone)
		if _, err := jwt.Parse(unsigned, func(*jwt.Token) (any, error) { return jwt.UnsafeAllowNoneSignatureType, nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wrong := a.IDToken(t, a.ada, authtest.LieWrongKey, authtest.IDTokenClaim("nonce", nonce))
		if _, err := a.verify(t, wrong); !errors.Is(err, jwt.ErrTokenSignatureInvalid) || headerOf(t, wrong)["alg"] != name {
			t.Errorf("%s: signed with the wrong key: %v", name, err)
		}
		// Where there is no key left to lie about they change nothing.
		a.IDToken(t, a.ada, authtest.LieAlgNone, authtest.LieSignedWithPublicKey, authtest.LieWrongKey)
	}
}

func TestANumericSubjectIsThatOfTheText(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	number := a.Account(authtest.IdPAccount{Subject: "42"})
	if sub := part(t, a.IDToken(t, number, authtest.LieNumericSubject), 1)["sub"]; sub != 42.0 {
		t.Errorf("sub = %v", sub)
	}
}

func TestLiesGoOnUntilMended(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	// A lie may ask the provider.
	a.Lie(func(token *authtest.IDToken) { token.Claims["iss"] = a.Issuer() + "/" })
	a.Break(authtest.IdPUserinfo, authtest.FaultStatus(http.StatusBadGateway))
	a.BreakOnce(authtest.IdPDiscovery, authtest.FaultStatus(http.StatusBadGateway))
	for range 2 {
		tokens := a.tokens(t)
		if _, err := a.verify(t, tokens["id_token"]); !errors.Is(err, jwt.ErrTokenInvalidIssuer) {
			t.Errorf("err = %v", err)
		}
		if status, _ := a.get(t, authtest.IdPUserinfo, tokens["access_token"]); status != http.StatusBadGateway {
			t.Errorf("userinfo: %d", status)
		}
	}
	a.LieOnce(authtest.LieNoSubject)
	a.Mend()
	tokens := a.tokens(t)
	if _, err := a.verify(t, tokens["id_token"]); err != nil {
		t.Error(err)
	}
	for _, path := range []string{authtest.IdPUserinfo, authtest.IdPDiscovery} {
		if status, answer := a.get(t, path, tokens["access_token"]); status != http.StatusOK {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}

// answer gets userinfo as it comes, with a client that follows nothing.
func (a *app) answer(t testing.TB, ctx context.Context, path string, token any) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.(string))
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

func TestFaultsChangeOneAnswer(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.Profile("/list", func(authtest.IdPAccount) any { return []any{1, 2} })
	a.Alias("/me", authtest.IdPUserinfo)
	token := a.tokens(t)["access_token"]
	_, honest, err := a.answer(t, t.Context(), authtest.IdPUserinfo, token)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fault  authtest.IdPFault
		status int
		kind   string
		body   func(body string) bool
	}{
		"status": {authtest.FaultStatus(503), 503, "application/json", func(b string) bool { return strings.Contains(b, "server_error") }},
		"body":   {authtest.FaultBody(418, "text/plain", "tea"), 418, "text/plain", func(b string) bool { return b == "tea" }},
		"HTML":   {authtest.FaultHTML(), 200, "text/html; charset=utf-8", func(b string) bool { return strings.HasPrefix(b, "<!DOCTYPE html>") }},
		"token error": {authtest.FaultTokenError("invalid_grant", "no"), 200, "application/json", func(b string) bool {
			return b == `{"error":"invalid_grant","error_description":"no"}`
		}},
		"huge": {authtest.FaultHuge(), 200, "application/json", func(b string) bool {
			return len(b) == len(honest)+2<<20 && strings.TrimLeft(b, " ") == honest && json.Valid([]byte(b))
		}},
		"garbage":  {authtest.FaultGarbage(), 200, "application/json", func(b string) bool { return b == honest[:len(honest)/2] && !json.Valid([]byte(b)) }},
		"redirect": {authtest.FaultRedirect("https://example.com/x"), 307, "", func(b string) bool { return b == "" }},
		"another subject": {authtest.FaultOtherSubject(), 200, "application/json", func(b string) bool {
			return strings.Contains(b, `"sub":"another-subject"`) && strings.Contains(b, "ada@example.com")
		}},
		"an answer of the test's": {authtest.FaultAnswer(func(answer map[string]any) { delete(answer, "sub") }), 200, "application/json", func(b string) bool {
			return !strings.Contains(b, `"sub"`) && strings.Contains(b, "ada@example.com")
		}},
		"an answer without JSON": {authtest.FaultAnswer(func(answer map[string]any) { answer["x"] = func() {} }), 500, "application/json", func(b string) bool {
			return strings.Contains(b, "unsupported type")
		}},
		"a form where there is none":     {authtest.FaultForm(func(answer url.Values) { answer.Set("x", "y") }), 200, "application/json", func(b string) bool { return b == honest }},
		"a callback where there is none": {authtest.FaultDenied("access_denied", ""), 200, "application/json", func(b string) bool { return b == honest }},
		"a handler of the test's": {authtest.FaultHandler(func(http.Handler) http.Handler { return http.NotFoundHandler() }), 404, "text/plain; charset=utf-8", func(b string) bool {
			return b == "404 page not found\n"
		}},
	} {
		a.BreakOnce("/me", c.fault) // an alias is what it stands for
		answer, body, err := a.answer(t, t.Context(), authtest.IdPUserinfo, token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer.StatusCode != c.status || answer.Header.Get("Content-Type") != c.kind || !c.body(body) {
			t.Errorf("%s: %s %s %.200s", name, answer.Status, answer.Header.Get("Content-Type"), body)
		}
		if name == "redirect" && answer.Header.Get("Location") != "https://example.com/x" {
			t.Errorf("%s: to %s", name, answer.Header.Get("Location"))
		}
		if _, body, err := a.answer(t, t.Context(), authtest.IdPUserinfo, token); err != nil || body != honest {
			t.Errorf("%s: the answer after it is %.200s, %v", name, body, err)
		}
	}
	a.BreakOnce("/list", authtest.FaultAnswer(func(map[string]any) { t.Error("a list is no object") }))
	if _, body, err := a.answer(t, t.Context(), "/list", token); err != nil || body != "[1,2]" {
		t.Errorf("the list is %s, %v", body, err)
	}
	a.BreakOnce(authtest.IdPUserinfo, authtest.FaultDown())
	if answer, _, err := a.answer(t, t.Context(), authtest.IdPUserinfo, token); err == nil {
		t.Errorf("down: %s", answer.Status)
	}
}

func TestTheTokenEndpointGoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	code := a.code(t)
	a.BreakOnce(authtest.IdPToken, authtest.FaultTokenError("invalid_grant", "no"))
	if status, answer := a.redeem(t, code); status != http.StatusOK || answer["error"] != "invalid_grant" || answer["access_token"] != nil {
		t.Errorf("%d %v", status, answer)
	}
	a.BreakOnce(authtest.IdPToken, authtest.FaultAnswer(func(answer map[string]any) {
		delete(answer, "expires_in")
		answer["token_type"] = "mac"
	}))
	if status, answer := a.redeem(t, code); status != http.StatusOK || answer["token_type"] != "mac" || answer["expires_in"] != nil || answer["access_token"] == nil {
		t.Errorf("%d %v, want the tokens: what answers in place of the endpoint does not spend the code", status, answer)
	}
}

func TestAnEndpointHangs(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	token := a.tokens(t)["access_token"]

	hang := func(until <-chan struct{}) (arrived chan struct{}) {
		arrived = make(chan struct{})
		a.BreakOnce(authtest.IdPUserinfo, authtest.FaultHandler(func(next http.Handler) http.Handler { // the first is nearest to the endpoint
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-until:
				default:
					t.Error("what hangs was answered")
				}
				next.ServeHTTP(w, r)
			})
		}), authtest.FaultHang(until), authtest.FaultHandler(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				next.ServeHTTP(w, r)
			})
		}))
		return arrived
	}
	ended := make(chan error)

	arrived := hang(nil)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		_, _, err := a.answer(t, ctx, authtest.IdPUserinfo, token)
		ended <- err
	}()
	<-arrived
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}

	until := make(chan struct{})
	arrived = hang(until)
	go func() {
		answer, _, err := a.answer(t, t.Context(), authtest.IdPUserinfo, token)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = errors.New(answer.Status)
		}
		ended <- err
	}()
	<-arrived
	close(until)
	if err := <-ended; err != nil {
		t.Errorf("after the channel is closed: %v", err)
	}
}

// ID-14
func TestTheKeySetGoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, algorithm := range []int{authtest.ES256, authtest.EdDSA} {
		if err := a.RotateKey(algorithm); err != nil {
			t.Fatal(err)
		}
	}
	keys := func() (keys []jsonObject) {
		t.Helper()
		_, set := a.get(t, authtest.IdPKeys, nil)
		for _, key := range set["keys"].([]any) {
			keys = append(keys, key.(jsonObject))
		}
		return keys
	}
	honest := keys()
	if len(honest) != 3 || slices.ContainsFunc(honest, func(key jsonObject) bool { return key["d"] != nil }) {
		t.Fatalf("keys = %v", honest)
	}

	a.BreakOnce(authtest.IdPKeys, authtest.FaultPrivateKeys())
	for i, key := range keys() {
		if len(unbase64(t, key["d"])) < 31 {
			t.Errorf("key %d has the private part %v", i, key["d"])
		}
		delete(key, "d")
		if diff := cmp.Diff(honest[i], key); diff != "" {
			t.Errorf("key %d (-want +got)\n%s", i, diff)
		}
	}

	a.BreakOnce(authtest.IdPKeys, authtest.FaultDuplicateKeys())
	twice := keys()
	if len(twice) != 6 {
		t.Fatalf("%d keys, want 6", len(twice))
	}
	for i, key := range honest {
		other := twice[2*i]
		if diff := cmp.Diff(key, twice[2*i+1]); diff != "" {
			t.Errorf("the second of two keys (-want +got)\n%s", diff)
		}
		if other["kid"] != key["kid"] || other["alg"] != key["alg"] || cmp.Equal(other, key) {
			t.Errorf("the first of two keys is %v, the second %v", other, key)
		}
		publicKey(t, other)
	}

	if err := a.RotateToWeakKey(); err != nil {
		t.Fatal(err)
	}
	all := keys()
	weak := publicKey(t, all[len(all)-1]).(*rsa.PublicKey)
	if weak.N.BitLen() != 1024 || headerOf(t, a.IDToken(t, a.ada))["kid"] != all[len(all)-1]["kid"] {
		t.Errorf("a key of %d bits signs %v", weak.N.BitLen(), headerOf(t, a.IDToken(t, a.ada)))
	}
	if _, err := a.verify(t, a.IDToken(t, a.ada, authtest.IDTokenClaim("nonce", nonce))); err != nil {
		t.Errorf("the signature of the weak key: %v", err)
	}
}

func TestTheCallbackGoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	visit := func() url.Values {
		t.Helper()
		return a.Visit(t, a.authorizationURL(), a.ada).Values()
	}
	a.BreakOnce(authtest.IdPAuthorization, authtest.FaultDenied("access_denied", "not today"))
	want := url.Values{"error": {"access_denied"}, "error_description": {"not today"}, "state": {"the state"}, "iss": {a.Issuer()}}
	if diff := cmp.Diff(want, visit()); diff != "" {
		t.Errorf("denied (-want +got)\n%s", diff)
	}
	a.BreakOnce(authtest.IdPAuthorization, authtest.FaultDenied("temporarily_unavailable", ""))
	want = url.Values{"error": {"temporarily_unavailable"}, "state": {"the state"}, "iss": {a.Issuer()}}
	if diff := cmp.Diff(want, visit()); diff != "" {
		t.Errorf("denied without a description (-want +got)\n%s", diff)
	}
	a.BreakOnce(authtest.IdPAuthorization, authtest.FaultCallback(func(values url.Values) {
		values.Set("state", "another")
		values.Add("code", "another")
		values.Del("iss")
	}))
	if got := visit(); got.Get("state") != "another" || len(got["code"]) != 2 || got.Has("iss") {
		t.Errorf("the browser comes back with %v", got)
	}
	if got := visit(); got.Get("state") != "the state" || len(got["code"]) != 1 {
		t.Errorf("the next browser comes back with %v", got)
	}
	a.Break(authtest.IdPAuthorization, authtest.FaultDenied("access_denied", ""))
	for range 2 {
		if got := visit(); got.Get("error") != "access_denied" {
			t.Errorf("the browser comes back with %v", got)
		}
	}
	a.Mend()
	a.Break(authtest.IdPAuthorization, authtest.FaultStatus(http.StatusInternalServerError))
	if said := failure(t, func(t testing.TB) { a.Visit(t, a.authorizationURL(), a.ada) }); !strings.Contains(said, "500") {
		t.Errorf("the test fails with %q", said)
	}
}

func TestOAuth1GoesWrong(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	requestToken := func() url.Values {
		t.Helper()
		_, answer := a.call(http.MethodPost, authtest.IdPRequestToken, "", "oauth_callback", v1Callback).send(t)
		return answer
	}
	// OA-41
	a.BreakOnce(authtest.IdPRequestToken, authtest.FaultForm(func(answer url.Values) { answer.Del("oauth_callback_confirmed") }))
	if answer := requestToken(); answer.Has("oauth_callback_confirmed") || answer.Get("oauth_token") == "" {
		t.Errorf("answer = %v", answer)
	}
	a.BreakOnce(authtest.IdPRequestToken, authtest.FaultHuge())
	if answer := requestToken(); len(answer.Get("padding")) != 2<<20 || answer.Get("oauth_token") == "" {
		t.Errorf("%d bytes of padding", len(answer.Get("padding")))
	}
	token, _ := a.requestToken(t)
	a.BreakOnce(authtest.IdPAuthorizationV1, authtest.FaultCallback(func(values url.Values) { values.Set("oauth_token", "another") }))
	if values := a.Visit(t, a.authorizationV1(token), a.ada).Values(); values.Get("oauth_token") != "another" || values.Get("oauth_verifier") == "" {
		t.Errorf("the browser comes back with %v", values)
	}
}
